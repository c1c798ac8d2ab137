"""What params.yaml may hold, and how it is told what it must not."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from small import ROOT

from panodiff.params import EncoderParams, Params, SourceParams, UNetParams
from panodiff.params_file import ParamsError, load_params, merge, read_tracked, scale_fields

RAW = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def field_paths(section: type[BaseModel], path: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        if name == "source":
            for source in RAW["sources"]:
                yield from field_paths(SourceParams, f"source.{source}.")
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from field_paths(field.annotation, f"{path}{name}.")
        else:
            yield path + name


def leaf_paths(node: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaf_paths(value, f"{path}{key}.")
        else:
            yield path + key


def planted(folder: Path, changes: dict[str, Any]) -> Path:
    """params.yaml with the values at dotted paths changed; a value of `...` takes the key away."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for dotted, value in changes.items():
        *sections, key = dotted.split(".")
        node = content
        for section in sections:
            node = node.setdefault(section, {})
        if value is ...:
            del node[key]
        else:
            node[key] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder / "params.yaml"


def test_every_leaf_of_the_file_is_a_field_and_every_field_is_in_the_file():
    base = {key: value for key, value in RAW.items() if key != "profiles"}
    leaves = {path.partition(".crop.")[0] + ".crop" if ".crop." in path else path for path in leaf_paths(base)}
    assert leaves == set(field_paths(Params))  # a crop is a word or margins


def test_every_profile_loads_and_differs_from_the_base_in_scale_only(tmp_path: Path):
    for profile in ("smoke", "pilot", "paper"):
        params = load_params(planted(tmp_path, {"profile": profile}))
        assert params.profile == profile
        expected = merge({key: value for key, value in RAW.items() if key != "profiles"}, RAW["profiles"][profile])
        assert params.model_dump(mode="json") == expected | {"profile": profile}
    assert RAW["profiles"]["paper"] == {section: {} for section in RAW["profiles"]["paper"]}


MARGINS = {"unit": "fraction", "top": 0.1, "left": 0.1, "bottom": 0.1, "right": 0.1}
WRONG = {
    "misspelt key": ({"diffusion.training.learning_rat": 1.0}, "diffusion.training.learning_rat", "unknown key"),
    "misspelt section": ({"difusion": {}}, "difusion", "unknown key"),
    "misspelt source key": ({"source.tufts.crops": "auto"}, "source.tufts.crops", "known here: crop"),
    "wrong type": ({"split.val": "a tenth"}, "split.val", "got 'a tenth'"),
    "text for a number": ({"diffusion.training.weight_decay": "1e-3"}, "diffusion.training.weight_decay", "'1e-3'"),
    "number for a flag": ({"source.adld.deskew": 1}, "source.adld.deskew", "got 1"),
    "margin of all": ({"source.adld.crop": MARGINS | {"top": 0.5}}, "source.adld.crop", "{'top': 0.5}"),
    "half a pixel": ({"source.adld.crop": MARGINS | {"unit": "pixels", "left": 0.1}}, "source.adld.crop", "'left'"),
    "misspelt crop": ({"source.adld.crop": "automatic"}, "source.adld.crop", "automatic"),
    "misspelt margin": ({"source.adld.crop": MARGINS | {"topp": 0}}, "source.adld.crop.topp", "known here: bottom"),
    "closed window": ({"source.adld.window": [50, 50]}, "source.adld", "[50.0, 50.0]"),
    "fraction of an image": ({"phantoms.num_patients": 2.5}, "phantoms.num_patients", "got 2.5"),
    "not a number": ({"superres.loss.l1": float("nan")}, "superres.loss.l1", "finite"),
    "infinite": ({"encoder.temperature": float("inf")}, "encoder.temperature", "finite"),
    "negative": ({"phantoms.num_patients": -1}, "phantoms.num_patients", "got -1"),
    "null": ({"harmonize.aspect": None}, "harmonize.aspect", "got None"),
    "missing section": ({"split": ...}, "split", "missing"),
    "missing key": ({"sample.eta": ...}, "sample.eta", "missing"),
    "source without section": ({"source.tufts": ...}, "sources", "['tufts']"),
    "heads for other depths": ({"profiles.smoke.superres.network.num_heads": [3]}, "superres.network", "2 against 1"),
    "source twice": ({"sources": ["adld", "adld"]}, "sources", "differ"),
    "source that leaves data/raw": ({"sources": ["../x"]}, "sources", "../x"),
    "indivisible size": ({"harmonize.high_size": [512, 1000]}, "harmonize", "512×1000 against 128×256"),
    "size too small for the network": (
        {"diffusion.network.widths": [8] * 8, "diffusion.network.attention": [False] * 7, "profiles.paper": {}}
        | {"profiles.smoke.diffusion.network": {}, "profiles.pilot.diffusion.network": {}},
        "harmonize.low_size",
        "multiple of 128",
    ),
    "crop larger than the image": ({"profiles.smoke.superres.crop_size": 136}, "superres.crop_size", "136"),
    "crop that the discriminator cannot halve": ({"profiles.smoke.superres.crop_size": 60}, "superres.crop_size", "60"),
    "window that cannot be filled": (
        {"profiles.smoke.superres.network.window_size": 16, "profiles.smoke.superres.crop_size": 24},
        "superres.network.window_size",
        "16",
    ),
    "HAT too narrow": ({"profiles.smoke.superres.network.embed_dim": 24}, "superres.network", "24"),
    "encoder width": ({"profiles.smoke.encoder.widths": [8, 12]}, "encoder", "[12]"),
    "contrast of one image": ({"profiles.smoke.encoder.training.batch_size": 1}, "encoder", "at least 2"),
    "crop the wrong way round": ({"encoder.crop": [1.0, 0.5]}, "encoder", "smallest"),
    "heads that do not divide": ({"profiles.smoke.superres.network.num_heads": [5, 3]}, "superres.network", "[5]"),
    "warm-up longer than the training": (
        {"profiles.smoke.encoder.training.warmup_steps": 400},
        "encoder.training",
        "400 against 400",
    ),
    "steps that do not divide": (
        {"sample.sampler": "ddim", "profiles.smoke.sample.num_inference_steps": 30},
        "sample.num_inference_steps",
        "30",
    ),
    "more steps than timesteps": ({"sample.num_inference_steps": 2000}, "sample.num_inference_steps", "2000"),
    "science in an overlay": ({"profiles.smoke.diffusion.loss": "l2"}, "profiles.smoke.diffusion.loss", "network"),
    "seed in an overlay": ({"profiles.pilot.seed": 2}, "profiles.pilot.seed", "may set only"),
    "nested science": (
        {"profiles.paper.encoder.training": {"clip_norm": 2.0}},
        "profiles.paper.encoder.training.clip_norm",
        "may set only",
    ),
    "misspelt overlay key": ({"profiles.smoke.sample.images": 3}, "profiles.smoke.sample.images", "num_images"),
    "null overlay": ({"profiles.smoke.upscale": None}, "profiles.smoke.upscale", "write {}"),
    "null profile": ({"profiles.paper": None}, "profiles.paper", "write {}"),
    "null inside an overlay": ({"profiles.smoke.encoder.training": None}, "profiles.smoke.encoder.training", "{}"),
    "list for a section": ({"profiles.smoke.encoder": [1]}, "profiles.smoke.encoder", "must be a mapping"),
    "unknown profile": ({"profile": "large"}, "profile", "smoke, pilot, paper"),
    "a fourth profile": ({"profiles.large": {}}, "profiles", "no others"),
    "value from an overlay": (
        {"profiles.pilot.diffusion.training.num_steps": 0},
        "profiles.pilot.diffusion.training.num_steps",
        "got 0",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_with_the_path_of_the_key(tmp_path: Path, case: str):
    changes, where, what = WRONG[case]
    with pytest.raises(ParamsError) as caught:
        load_params(planted(tmp_path, changes))
    lines = str(caught.value).splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(str(tmp_path / "params.yaml"))
    assert where in lines[0]
    assert what in lines[0]


def test_two_wrong_values_are_told_at_once(tmp_path: Path):
    with pytest.raises(ParamsError) as caught:
        load_params(planted(tmp_path, {"split.val": 2, "seed": -1}))
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["seed", "split.val"]


def test_a_file_that_is_no_mapping_no_yaml_or_not_there_is_told_so(tmp_path: Path):
    path = tmp_path / "params.yaml"
    with pytest.raises(ParamsError, match="is missing"):
        load_params(path)
    path.write_text("- 1\n", encoding="utf-8")
    with pytest.raises(ParamsError, match="mapping of sections, got list"):
        load_params(path)
    path.write_text("a: [1\n", encoding="utf-8")
    with pytest.raises(ParamsError, match="not valid YAML"):
        load_params(path)


def test_an_overlay_replaces_lists_and_merges_mappings():
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 3}
    assert merge(base, {"a": {"y": [5]}}) == {"a": {"x": 1, "y": [5]}, "b": 3}
    assert base == {"a": {"x": 1, "y": [1, 2]}, "b": 3}


def test_only_scale_may_be_overlaid():
    allowed = scale_fields(Params)
    assert set(allowed["diffusion"]) == {"network", "training"}
    assert "temperature" not in allowed["encoder"]
    assert {"seed", "sources", "source", "split", "phantoms"}.isdisjoint(allowed)
    assert scale_fields(EncoderParams)["training"]["num_steps"] is True


def test_tracked_values_are_those_of_the_file_and_a_missing_one_is_named(tmp_path: Path):
    path = planted(tmp_path, {})
    tracked = read_tracked(["seed", "profiles.smoke.sample"], path)
    assert tracked == {"seed": RAW["seed"], "profiles.smoke.sample": RAW["profiles"]["smoke"]["sample"]}
    with pytest.raises(ParamsError, match=r"profiles\.smoke\.nothing is missing"):
        read_tracked(["profiles.smoke.nothing"], path)


@pytest.mark.parametrize("case", ["misspelt key", "science in an overlay", "missing section", "null overlay"])
def test_a_stage_refuses_a_wrong_file_before_any_work(tmp_path: Path, case: str):
    changes, where, _ = WRONG[case]
    planted(tmp_path, changes)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    shutil.copytree(ROOT / "stages", tmp_path / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    before = {path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts}
    command = [sys.executable, "-B", "-m", "stages.train_diffusion"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert where in done.stderr
    assert {path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts} == before


def test_eta_belongs_to_ddim_and_zero_terminal_snr_to_the_velocity(tmp_path: Path):
    with pytest.raises(ParamsError, match="eta must be 0 for sampler: unipc"):
        load_params(planted(tmp_path, {"sample.sampler": "unipc", "sample.eta": 0.5}))
    with pytest.raises(ParamsError, match=r"zero_terminal_snr needs prediction: v_prediction"):
        load_params(planted(tmp_path, {"diffusion.prediction": "epsilon"}))


def test_the_published_settings_of_the_docs_are_parameters(tmp_path: Path):
    text = (ROOT / "docs" / "diffusion.md").read_text(encoding="utf-8")
    settings = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    changes = {f"{section}.{key}": value for section, values in settings.items() for key, value in values.items()}
    changes["diffusion.training"] = RAW["diffusion"]["training"] | changes["diffusion.training"]
    params = load_params(planted(tmp_path, changes | {"profile": "paper"}))
    assert params.diffusion.network == UNetParams(
        widths=(64, 128, 256, 512), attention=(False, True, True), patch_size=1
    )
    assert (params.diffusion.schedule.beta_max, params.diffusion.prediction) == (0.02, "epsilon")
    assert (params.sample.sampler, params.sample.num_inference_steps, params.sample.eta) == ("ddim", 250, 1.0)
