"""What the cards and the checklists of a deposit say, and that each pointer leads to something."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import telling
import yaml

from panodiff.audit.run import Run
from panodiff.publishing.cards import cell, with_licence, write_dataset_card, write_model_cards
from panodiff.publishing.claim import look_up, read_checklists, short
from panodiff.publishing.folder import write_folder

DATASHEET = (  # its sections, Gebru et al. 2021
    "Motivation",
    "Composition",
    "Collection process",
    "Preprocessing",
    "Uses",
    "Distribution",
    "Maintenance",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return telling.make_run(tmp_path_factory.mktemp("cards") / "project", redistribution=True)


@pytest.fixture(scope="module")
def deposit(made: Run) -> Path:
    folder = made.root.parent / "deposit"
    write_folder(made, [], folder)
    return folder


@pytest.fixture(scope="module")
def card(deposit: Path) -> str:
    return (deposit / "README.md").read_text(encoding="utf-8")


def test_the_header_is_one_that_the_hub_reads(card: str):
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["license"] == "other"
    assert header["size_categories"] == ["n<1K"]
    assert [config["data_dir"] for config in header["configs"]] == ["images/high", "images/low"]
    assert "pilot" in header["pretty_name"]


@pytest.mark.parametrize("section", [*DATASHEET, "For the depositor to fill in"])
def test_each_section_of_a_datasheet_is_there(card: str, section: str):
    assert f"\n## {section}\n" in card


def test_the_card_counts_what_the_run_made(card: str):
    assert "3 were drawn, 2 are here. The others were found to repeat a training image." in card
    assert "| clinic | 3 | 3 | 0 | 0 | 1 | 1 | 1 |" in card
    assert "synthetic images, against the training images | 3 | 1 | 33\N{NO-BREAK SPACE}%" in card
    assert "| Precision | 0.25 [0.125, 0.5] |" in card
    assert "not measured: no sets.low.synthetic_vs_test.fd_encoder was measured" in card
    assert "no dentist has judged" in card
    assert "f18cba9611d1f99ccb8ea56a6f29550cf99c84b6" in card


def test_the_terms_of_each_source_stand_in_one_row(card: str):
    assert "| clinic | by agreement \\| of 2026 | 10.1/2 | 2026-01-31 | research only | yes |" in card


def test_a_set_from_phantoms_says_that_nothing_binds_and_nothing_counts(made: Run, tmp_path: Path, deposit: Path):
    run = replace(made, params=made.params.model_copy(update={"profile": "smoke"}))
    (tmp_path / "images.csv").write_bytes((deposit / "images.csv").read_bytes())
    write_dataset_card(run, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "Drawn phantoms: no one's terms bind." in text
    assert "none of these numbers says anything about patients" in text


def test_the_cards_of_the_models_name_the_licences(made: Run, tmp_path: Path):
    write_model_cards(made, tmp_path)
    for model in telling.HASHES:
        text = (tmp_path / f"model-cards/{model}.md").read_text(encoding="utf-8")
        assert text == telling.card(model).replace("not known", "by agreement \\| of 2026")


def test_a_licence_that_a_card_knows_stays():
    card = "| adld | 3 | CC0 |\n| dentex | 4 | not known |\n| adldx | 5 | not known |\n"
    assert with_licence(card, "adld", "MIT") == card
    assert with_licence(card, "dentex", "MIT") == card.replace("| 4 | not known |", "| 4 | MIT |")


def test_a_cell_holds_no_end_of_a_cell_and_no_tag():
    assert cell("a | b\nc <script>") == "a \\| b c &lt;script>"


def test_the_update_of_claim_has_44_items_in_order():
    claim, generative = read_checklists().values()
    assert [item.number for item in claim] == [str(number) for number in range(1, 45)]
    assert [item.number for item in generative] == [f"G{number}" for number in range(1, len(generative) + 1)]


def test_each_item_is_answered_or_asked_of_the_author():
    for items in read_checklists().values():
        for item in items:
            assert item.where or item.said or item.author, item.number


def test_each_item_has_its_line_and_each_value_is_that_of_its_pointer(deposit: Path):
    text = (deposit / "CLAIM.md").read_text(encoding="utf-8")
    for items in read_checklists().values():
        for item in items:
            assert f"\n| {item.number} | {item.name} | " in text
    total = json.loads((deposit / "metrics/data.json").read_text(encoding="utf-8"))["total"]
    assert f"`metrics/data.json: total.kept` | {total['kept']} |" in text
    assert "`metrics/evaluation.json: detectability.encoder.auc` | 0.25 [0.125, 0.5] |" in text
    assert "`metrics/study.json: absent` | no reader study has been held yet |" in text
    assert "study.json: agreement" not in text  # there was no study


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("metrics/none.json", ""),
        ("metrics/data.json", "total.lost"),
        ("metrics/data.json", "total.kept.more"),
        ("pipeline/params.yaml", "sampler"),
        ("images.csv", "patient"),
        ("README.md", "Datasheet"),
    ],
)
def test_a_pointer_to_nothing_is_refused(deposit: Path, name: str, key: str):
    with pytest.raises(ValueError, match=r"to which CLAIM\.md points"):
        look_up(deposit, name, key)


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (None, ""),
        (False, "no"),
        (-0.25, "−0.25"),
        ([128, 256], "128, 256"),
        ({"train": 182, "val": 25}, "train 182, val 25"),
        ({"deep": {"er": 1}}, ""),
        ("a" * 48, "a" * 48),
        ("a" * 49, ""),
    ],
)
def test_values_are_shown_where_they_are_short(value: object, printed: str):
    assert short(value) == printed
