"""Model cards: README.md in a model's folder, in the layout of the Hugging Face Hub.

A card says what the model's own files and its maker's arguments say, and no more. What is said of a kind of model alone
stands beside that kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import pandas as pd
import yaml
from safetensors import safe_open

from panodiff.checkpoint import model_sha256
from panodiff.files import written_whole

LICENSE = """## License

`other`: this card grants no licence. Who passes the model on must know the terms of the weights and of the images that
they were trained on."""


PHANTOMS = "It was trained on drawn phantoms, of no patients, for minutes: it is there to try the pipeline."


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """The images of one source that a model was trained on."""

    source: str
    number: int
    licence: str | None = None  # None: not known


def count_by_source(corpus: pd.DataFrame) -> list[TrainingImages]:
    """How many images of the train split come from each source."""
    train_rows = corpus[(corpus["split"] == "train") & (corpus["status"] == "kept")]
    numbers = train_rows["source"].value_counts(sort=False)
    return [TrainingImages(source=str(source), number=int(number)) for source, number in numbers.items()]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What the cards of all models of one kind share; texts are Markdown."""

    pipeline_tag: str  # of the Hugging Face Hub
    tags: tuple[str, ...]
    direct_use: str
    out_of_scope: str
    limits: tuple[str, ...]  # whole sentences


@dataclass(frozen=True, kw_only=True)
class Example:
    """Code that runs in the model's folder as it stands, and a sentence on what it does."""

    code: str
    sentence: str


def write_card(
    folder: Path,
    kind: Kind,
    *,
    title: str,
    summary: str,
    details: Mapping[str, str],
    example: Example,
    origin: str,
    settings: Mapping[str, object] | None,
    images: Sequence[TrainingImages],
    limits: Sequence[str],
) -> None:
    """Write README.md beside the model.safetensors in `folder`.

    Args:
        folder: What `save_model` wrote.
        kind: Of the model.
        title: The heading.
        summary: Whole sentences below it.
        details: Facts by name; the hash of the weights is added.
        example: How to use the model.
        origin: Whole sentences: how the model was trained, or whence it comes.
        settings: Of its training, by name; a row of a table each. None: not known.
        images: That it was trained on, by source. Empty: not known.
        limits: Whole sentences, beside those of its kind.
    """
    sections = [
        f"---\n{yaml.safe_dump(_metadata(kind), sort_keys=False)}---",
        f"# {title}\n\n{summary}",
        _details({**details, "Weights": f"`model.safetensors`, SHA-256 `{model_sha256(folder)}`"}),
        f"## Uses\n\n### Direct Use\n\n{kind.direct_use}\n\n### Out-of-Scope Use\n\n{kind.out_of_scope}",
        "## Bias, Risks, and Limitations\n\n" + "\n".join(f"- {limit}" for limit in (*kind.limits, *limits)),
        "## How to Get Started with the Model\n\nIn this folder, where panodiff is installed:\n\n"
        f"```python\n{example.code}```\n\n{example.sentence}",
        f"## Training Details\n\n### Training Data\n\n{_data(images)}",
        f"### Training Procedure\n\n{origin}" + (f"\n\n{_table(('setting', 'value'), settings)}" if settings else ""),
        LICENSE,
    ]
    with written_whole(folder / "README.md") as aside:
        aside.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def code(text: str) -> str:
    """`text` on one line, as Markdown shows code; marks that would end that are replaced."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"


def counted(folder: Path) -> str:
    """How many parameters the weights in `folder` are, and in how many tensors."""
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        tensors = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118 - it is no mapping
        sizes = [prod(tensor.get_shape()) for tensor in tensors if tensor.get_dtype() != "I64"]  # those are indices
    return f"{sum(sizes):,} parameters in {len(sizes)} tensors"


def listed(values: Sequence[object]) -> str:
    """The values in one line."""
    return ", ".join(map(str, values))


def _metadata(kind: Kind) -> dict[str, object]:
    return {
        "license": "other",
        "library_name": "panodiff",
        "pipeline_tag": kind.pipeline_tag,
        "tags": list(kind.tags),
    }


def _details(rows: Mapping[str, str]) -> str:
    return "## Model Details\n\n" + "\n".join(f"- **{name}:** {text}" for name, text in rows.items())


def _data(images: Sequence[TrainingImages]) -> str:
    if not images:
        return "Which images it was trained on is not known here."
    total = sum(part.number for part in images)
    lines = [f"| {_cell(part.source)} | {part.number} | {_cell(part.licence or 'not known')} |" for part in images]
    return "\n".join([f"{total} images.\n", "| source | images | licence |", "|---|---|---|", *lines])


def _table(header: tuple[str, str], rows: Mapping[str, object]) -> str:
    lines = [f"| {_cell(name)} | {_cell(str(value))} |" for name, value in rows.items()]
    return "\n".join([f"| {' | '.join(header)} |", "|---|---|", *lines])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
