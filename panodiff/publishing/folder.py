"""`panodiff publish`: the folder that is deposited with a synthetic dataset, whole or not at all.

Nothing in it shows or names a patient: of the radiographs that the models learned from it holds counts and hashes,
and pictures only where every source's terms allow passing them on.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

import panodiff
from panodiff.audit.audit import audit
from panodiff.audit.data import read_terms
from panodiff.audit.findings import Finding, as_markdown, fails, verdict
from panodiff.audit.run import Run
from panodiff.files import hash_file, list_files, move_whole, write_csv
from panodiff.images import read_text_chunks
from panodiff.manifest import COLUMNS, read_manifest
from panodiff.publishing.cards import write_dataset_card, write_model_cards
from panodiff.publishing.claim import write_claim
from panodiff.report.tables import size

RESOLUTIONS = ("high", "low")
IMAGE_COLUMNS = (
    *("id", "high", "low", "high_sha256", "low_sha256", "seed", "index", "height", "width"),
    *("diffusion_model_sha256", "superres_model_sha256"),
)
PERSONAL = ("path", "patient", "high_path", "low_path")  # columns of corpus.csv that stay at home
_METRICS = (
    *("summary.json", "evaluation.json", "evaluation/*.csv", "data.json", "study.json", "study/*", "figures/*"),
    *("*/history.csv", "*/milestones.csv", "sources/*", "provenance/*.json", "report.html"),
)
_FOOLED = "study/fooled.png"  # the pictures that readers judged wrongly, real ones among them
_PIPELINE = ("dvc.yaml", "dvc.lock", "params.yaml", "requirements.lock", "LICENSE", "NOTICE")
_SUMS = "SHA256SUMS"


def publish(run: Run, out: Path) -> list[str]:
    """Write the folder `out`; lines for the terminal.

    Raises:
        ValueError: Something stands in the way; nothing was written. The message says what, and what to do.
    """
    if find_spec("mlcroissant") is None:
        raise ValueError('publishing needs mlcroissant: pip install "panodiff[audit]"')
    if out.is_file() or out.is_symlink() or (out.is_dir() and any(out.iterdir())):
        raise ValueError(f"{out} must be a new or an empty folder: name another one, or empty it")
    findings = audit(run)
    _refuse_if_failing(findings)
    refuse_real_pictures(run)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".partial", dir=out.parent) as aside:
        write_folder(run, findings, Path(aside) / "folder")
        move_whole(Path(aside) / "folder", out)
    files = list_files(out)
    num_images = len(list((out / "images/high").iterdir()))
    return [
        f"{out}: {num_images} images at two resolutions, {len(files)} files, "
        f"{size(sum(file.stat().st_size for file in files))}",
        verdict(findings),
        f"What only you know: “For the depositor to fill in” in {out / 'README.md'}, “for the author” in "
        f"{out / 'CLAIM.md'}; afterwards make {_SUMS} anew (docs/publishing.md)",
        f"To check it: cd {out} && sha256sum -c --quiet {_SUMS}",
    ]


def _refuse_if_failing(findings: Sequence[Finding]) -> None:
    if not fails(findings):
        return
    failed = [finding for finding in findings if finding.problems]
    named = [
        f"- {finding.title}: {finding.problems[0]}"
        + (f" (and {len(finding.problems) - 1} more)" if len(finding.problems) > 1 else "")
        for finding in failed
    ]
    lines = [f"A run can be published while its audit holds. {verdict(findings)}", *named]
    raise ValueError("\n".join([*lines, "`panodiff audit` says all of it, and what to do"]))


def sources_not_to_show(run: Run) -> list[str]:
    """The sources whose terms do not allow passing on pictures of their radiographs."""
    return [source for source in run.params.sources if not read_terms(run, source).redistribution]


def refuse_real_pictures(run: Run) -> None:
    """The report and the figures show real radiographs, unless params.yaml says otherwise."""
    closed = sources_not_to_show(run)
    if not (run.params.report.real_images and closed):
        return
    named = ", ".join(f"data/raw/{run.params.profile}/{source}.dvc" for source in closed)
    raise ValueError(
        f"metrics/report.html shows radiographs of {', '.join(closed)}, whose noted terms do not allow passing them "
        f"on: set `report.real_images: false` in params.yaml and `dvc repro`, or, if their terms allow it, note "
        f"`redistribution: true` below `meta:` in {named} and `dvc repro`, which makes the report anew"
    )


def write_folder(run: Run, findings: Sequence[Finding], folder: Path) -> None:
    """Write the content of the deposit of an audited run to the new folder `folder`."""
    from panodiff.publishing.crate import write_crate  # noqa: PLC0415 - needs an extra, that `publish` asks for
    from panodiff.publishing.croissant import write_croissant  # noqa: PLC0415

    folder.mkdir()
    _copy_images(run, folder)
    _copy_metrics(run, folder)
    _write_corpus(run, folder / "metrics/corpus.csv")
    (folder / "metrics/audit.md").write_text(_audit(run, findings), encoding="utf-8")
    for name in _PIPELINE:
        _copy(run.root / name, folder / "pipeline" / name)
    _copy(run.root / "CITATION.cff", folder / "CITATION.cff")
    write_model_cards(run, folder)
    write_dataset_card(run, folder)
    write_claim(run, folder)
    write_croissant(run, folder)
    write_crate(run, folder)
    sums = [f"{hash_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in list_files(folder)]
    (folder / _SUMS).write_text("".join(sums), encoding="utf-8")


def _copy_images(run: Run, folder: Path) -> None:
    ids = list(pd.read_csv(run.root / "metrics/evaluation/published.csv", dtype=str)["id"])
    if not ids:
        raise ValueError("metrics/evaluation/published.csv lists no image: there is nothing to publish")
    for name in ids:
        for resolution in RESOLUTIONS:
            copied = folder / "images" / resolution / f"{name}.png"
            _copy(run.root / f"data/synthetic/{resolution}/{name}.png", copied)
    write_csv(folder / "images.csv", IMAGE_COLUMNS, _image_rows(run, folder, ids))


def _image_rows(run: Run, folder: Path, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    rows = pd.read_csv(run.root / "data/synthetic/high/rows.csv", dtype=str).set_index("id")
    for name in ids:
        row = rows.loc[name]
        high = f"images/high/{name}.png"
        text = read_text_chunks(folder / high)
        with Image.open(folder / high) as image:
            width, height = image.size
        yield {
            "id": name,
            "high": high,
            "low": f"images/low/{name}.png",
            "high_sha256": row["sha256"],
            "low_sha256": row["low_sha256"],
            "seed": row["seed"],
            "index": row["index"],
            "height": height,
            "width": width,
            **{f"{model}_model_sha256": text[f"panodiff:{model}_model_sha256"] for model in ("diffusion", "superres")},
        }


def _copy_metrics(run: Run, folder: Path) -> None:
    metrics = run.root / "metrics"
    paths = [path for pattern in _METRICS for path in metrics.glob(pattern) if path.is_file()]
    found = {path.relative_to(metrics).as_posix() for path in paths}
    if sources_not_to_show(run):
        found.discard(_FOOLED)
    for name in sorted(found):
        _copy(metrics / name, folder / "metrics" / name)


def _write_corpus(run: Run, path: Path) -> None:
    """The account of every input file, without what names a file or a patient."""
    corpus = read_manifest(run.root / "data/manifest/corpus.csv")
    columns = [name for name in COLUMNS if name not in PERSONAL]
    corpus[columns].to_csv(path, index=False, lineterminator="\n")


def _audit(run: Run, findings: Sequence[Finding]) -> str:
    facts = [
        ("by", f"panodiff {panodiff.__version__}, `panodiff publish`"),
        ("profile", run.params.profile),
        ("seed", str(run.params.seed)),
        ("dvc.lock", f"SHA-256 {run.contents.sha256('dvc.lock')}"),
    ]
    return as_markdown(findings, "Audit of the run", facts)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
