"""A small project in which every stage before the report has left what it leaves, made by the stages' own code."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from small import ROOT, SmallStage, pictures, small_encoder, write_small_params

from panodiff.checkpoint import model_sha256, save_model
from panodiff.corpus.duplicates import COPIES
from panodiff.corpus.look import write_look
from panodiff.corpus.split import account
from panodiff.diffusion.train import train_diffusion
from panodiff.evaluation.evaluate import Models, Run, evaluate
from panodiff.features.analysis import draw_images, draw_synthetic, make_maps, write_analysis
from panodiff.features.contrastive import train_encoder
from panodiff.files import hash_file, write_csv, write_json
from panodiff.harmonize.contact import write_contact_sheet
from panodiff.images import area_average, read_grey, write_grey
from panodiff.manifest import read_manifest, write_manifest
from panodiff.params import Params
from panodiff.params_file import load_params, read_tracked
from panodiff.pipeline import load_pipeline
from panodiff.record import describe_environment
from panodiff.report.page import make_report
from panodiff.sampling.sample import synthetic_text
from panodiff.study.readings import analyse_readings
from panodiff.superres.losses import encoder_loss
from panodiff.superres.model import load_superres
from panodiff.superres.train import train_superres

SPLITS = {"train": 14, "val": 4, "test": 8}
NUM_SYNTHETIC = 9
CHANGES = {"sources": ["adld", "tufts"], "report": {"num_samples": 5, "num_pairs": 2}}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, with a corpus of two sources and trained, if untalented, networks."""
    root = tmp_path_factory.mktemp("report") / "project"
    root.mkdir()
    before = Path.cwd()
    os.chdir(root)
    try:
        fill()
    finally:
        os.chdir(before)
    return root


@pytest.fixture
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The project as working directory, and what makes its page."""
    monkeypatch.chdir(made)
    return SimpleNamespace(root=made, report=report)


def report(
    out: Path, changed: Mapping[str, Path] | None = None, profile: str = "smoke", *, real_images: bool = True
) -> str:
    """The page, written to `out` with summary and figures; the inputs that `changed` names are read from elsewhere."""
    stage = load_pipeline()["report"]

    def find(path: str) -> Path:
        path = path.replace(f"data/harmonized/{profile}", "data/harmonized/smoke")  # which is what was made
        assert any(Path(path).is_relative_to(dep) for dep in stage.deps), f"dvc.yaml does not list {path}"
        return (changed or {}).get(path, Path(path))

    params = load_params()
    shown = params.report.model_copy(update={"real_images": real_images})
    make_report(
        params.model_copy(update={"profile": profile, "report": shown}),
        read_tracked(stage.params) | {f"profiles.{profile}": {}},
        [dep for dep in stage.deps if dep.startswith("metrics/provenance/")],
        find=find,
        page=out / "report.html",
        summary=out / "summary.json",
        figures=out / "figures",
    )
    return (out / "report.html").read_text(encoding="utf-8")


def fill() -> None:
    """Write all inputs of the report below the working directory."""
    write_small_params(Path("params.yaml"), CHANGES)
    Path("dvc.yaml").write_text((ROOT / "dvc.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    params = load_params()
    corpus = write_corpus()
    write_json(Path("metrics/data.json"), account(corpus, params))
    train_all()
    write_synthetic(params.harmonize.scale)
    write_sources(corpus, params)
    cpu = torch.device("cpu")
    models = Models(
        backbones={"encoder": small_encoder()},
        upscale=load_superres(Path("data/models/superres"), cpu),
        lpips=None,
        device=cpu,
    )
    run = Run(params=params, models=models, corpus=corpus, tables=Path("metrics/evaluation"), check_stop=lambda: None)
    evaluate(run, Path("data/synthetic"), Path("metrics/evaluation.json"))
    places = {"out": Path("metrics/study.json"), "figures": Path("metrics/study")}
    analyse_readings(Path("data/readings"), Path("data/study"), seed=params.seed, **places)  # nobody has read yet
    write_records()


def write_sources(corpus: pd.DataFrame, params: Params) -> None:
    """Maps of the sources; the harmonized images stand in for the files as they were found."""
    raw = Path("data/raw/smoke")
    real = draw_images(corpus, 500, params.seed)
    for row in real.itertuples():
        write_grey(raw / row.source / row.path, read_grey(Path(row.high_path)))
    drawn = draw_synthetic(Path("data/synthetic/high"), 500, params.seed)
    cpu = torch.device("cpu")
    maps = make_maps(real, drawn, small_encoder(), raw=raw, sources=params.source, device=cpu)
    write_analysis(maps, corpus, params, Path("metrics/sources"))


def write_corpus() -> pd.DataFrame:
    """Images of two sources in three splits, three that repeat one, and one that is broken."""
    images = iter(pictures(sum(SPLITS.values()), 64, 128))
    rows: list[dict[str, Any]] = []
    for split, count in SPLITS.items():
        for index in range(count):
            source = ("adld", "tufts")[index % 2]
            row = {"id": f"{source}-{len(rows):012x}", "source": source, "path": f"{len(rows)}.png"}
            paths = {
                f"{resolution}_path": f"data/harmonized/smoke/{source}/{resolution}/{row['id']}.png"
                for resolution in ("high", "low")
            }
            image = next(images)
            write_grey(Path(paths["high_path"]), image)
            write_grey(Path(paths["low_path"]), area_average(image, 2))
            about = {"format": "PNG", "height": 64, "width": 128, "group": row["id"]}
            rows.append(row | paths | about | {"status": "kept", "split": split})
    copies = []
    for n in (0, 2, 4):
        name, of = f"adld-{100 + n:012x}", f"adld-{n:012x}"
        copied = rows[n] | {"status": "duplicate", "split": None, "id": name, "path": f"r{n}.png", "copy_of": of}
        rows.append(copied | {"reason": f"same pixels as {of}"})
        copies.append({"id": name, "copy_of": of, "kind": "same pixels", "correlation": 1.0})
    rows[0]["flags"] = "small upscaled"
    rows.append({"source": "tufts", "status": "rejected", "id": "tufts-ffffffffffff", "reason": "cannot be decoded"})
    rows.append({"source": "tufts", "status": "beside", "id": "tufts-eeeeeeeeeeee", "reason": "not a radiograph"})
    write_manifest(Path("data/manifest/corpus.csv"), pd.DataFrame(rows))
    write_csv(Path("data/manifest/copies.csv"), COPIES, copies)
    write_look(Path("data/manifest"), Path("metrics/corpus"))
    write_sheet("adld", rows)
    return read_manifest(Path("data/manifest/corpus.csv"))


def write_sheet(source: str, rows: list[dict[str, Any]]) -> None:
    """The contact sheet of one source; the other one has none."""
    done = {"crop_top": 0, "crop_left": 0, "crop_bottom": 64, "crop_right": 128, "rotation_deg": 0, "inverted": 0}
    table = pd.DataFrame([row | done for row in rows if row["source"] == source and row["status"] == "kept"])
    shown = {index: read_grey(Path(row["high_path"])) for index, row in table.iterrows()}
    write_contact_sheet(Path(f"data/harmonized/smoke/{source}"), table.assign(flags=None), shown)


def train_all() -> None:
    """Models, histories and figures of the three trainings, twelve steps each."""
    params, low_size, high_size = load_params(), (32, 64), (64, 128)
    save_model(Path("data/models/encoder"), small_encoder(), {"widths": [8, 16]})

    def stores(size: tuple[int, int]) -> dict[str, Any]:
        return {"images": pictures(10, *size), "held_out": pictures(3, *size, seed=1)}

    def places(kind: str) -> dict[str, Any]:
        model = Path("data/models") / (kind if kind != "encoder" else "unused")
        return {"model": model, "metrics": Path("metrics") / kind}

    def stage(kind: str) -> Any:
        return SmallStage(params=params, scratch=Path("scratch") / kind)

    train_encoder(stage("encoder"), **stores(high_size), **places("encoder"))
    train_diffusion(stage("diffusion"), counts=[], **stores(low_size), **places("diffusion"))
    train_superres(
        stage("superres"),
        **stores(high_size),
        **places("superres"),
        scale=params.harmonize.scale,
        perceptual=encoder_loss(small_encoder()),
        lpips=None,
        counts=[],
    )


def write_synthetic(scale: int) -> None:
    """Pictures in place of samples, which say of themselves what samples say."""
    ids = [f"synthetic-{index:06d}" for index in range(NUM_SYNTHETIC)]
    diffusion, superres = (model_sha256(Path("data/models") / name) for name in ("diffusion", "superres"))
    text = synthetic_text({"diffusion_model_sha256": diffusion, "seed": "1"})
    high = pictures(NUM_SYNTHETIC, 64, 128, seed=2)
    for resolution, images, more in (
        ("low", [area_average(image, scale) for image in high], {}),
        ("high", high, {"panodiff:superres_model_sha256": superres}),
    ):
        folder, rows = Path("data/synthetic") / resolution, []
        for index, (name, image) in enumerate(zip(ids, images, strict=True)):
            write_grey(folder / f"{name}.png", image, text | more | {"panodiff:index": str(index)})
            rows.append({"id": name, "index": index, "seed": 1, "sha256": hash_file(folder / f"{name}.png")})
        write_csv(folder / "rows.csv", rows[0], rows)


def write_records() -> None:
    """A provenance record for every stage, as panodiff.stage writes them."""
    environment = describe_environment()
    made = {
        out: {"sha256": f"{number:064x}", "num_files": number, "num_bytes": 1000 * number}
        for number, stage in enumerate(load_pipeline().values(), start=1)
        for out in stage.outs
    }
    for number, stage in enumerate(load_pipeline().values(), start=1):
        record = {
            "stage": stage.name,
            "profile": "smoke",
            "fingerprint": f"{number + 100:064x}",
            "cmd": stage.cmd,
            "params": {},
            "inputs": {dep: made[dep] for dep in stage.deps if dep in made},
            "outputs": {out: made[out] for out in stage.outs},
            "finished": f"2026-01-01T00:{number:02d}:00+00:00",
            "seconds_of_last_run": float(number),
            "resumes": 0,
            "world_size": 1,
            "notes": {"images_a_second": 12.5} if stage.name.startswith("train") else {},
            "environment": environment,
            "energy_j": {"gpu": 7200.0 * number, "absent": {"cpu": "its counter hides"}},
        }
        write_json(Path(f"metrics/provenance/{stage.name}.json"), record)


@pytest.fixture
def evaluation(made: Path) -> dict[str, Any]:
    """The contents of metrics/evaluation.json, to be changed at will."""
    content: dict[str, Any] = yaml.safe_load((made / "metrics/evaluation.json").read_text(encoding="utf-8"))
    return content
