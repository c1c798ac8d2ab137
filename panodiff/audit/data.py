"""Whether people's data are accounted for: sources and their terms, every file, splits, copies, what pictures say."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pandas as pd
import yaml

from panodiff.audit.findings import Finding
from panodiff.audit.run import Run
from panodiff.files import list_files
from panodiff.images import read_text_chunks
from panodiff.manifest import STATUSES, read_manifest

TERMS = ("licence", "doi", "accessed", "terms")  # of `meta:` in data/raw/<profile>/<source>.dvc


@dataclass(frozen=True, kw_only=True)
class SourceTerms:
    """Under what terms a source was had, as its .dvc file says."""

    licence: str
    doi: str  # or another address, where the set has no DOI
    accessed: str  # the day of the download, YYYY-MM-DD
    terms: str  # what they allow and ask for, in words
    redistribution: bool = False  # whether pictures of its radiographs may be passed on


DRAWN = SourceTerms(
    licence="none needed",
    doi="none",
    accessed="with the run",
    terms="drawn phantoms of no patients",
    redistribution=True,
)


def read_terms(run: Run, source: str) -> SourceTerms:
    """The terms of one source.

    Raises:
        ValueError: They are not written down; the message says where they belong.
    """
    if run.params.profile == "smoke":
        return DRAWN
    path = run.root / f"data/raw/{run.params.profile}/{source}.dvc"
    name = path.relative_to(run.root)
    if not path.is_file():
        raise ValueError(
            f"{name} is missing: `dvc add data/raw/{run.params.profile}/{source}`, then write into it {_ASKED}"
        )
    meta = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("meta") or {}
    if missing := [key for key in TERMS if not str(meta.get(key) or "").strip()]:
        raise ValueError(f"{name} does not say {', '.join(missing)}: write into it {_ASKED}")
    if meta.get("redistribution", False) not in (True, False):
        raise ValueError(f"{name}: meta.redistribution must be true or false, got {meta['redistribution']!r}")
    return SourceTerms(
        **{key: str(meta[key]).strip() for key in TERMS}, redistribution=bool(meta.get("redistribution", False))
    )


_ASKED = "`meta:` with licence, doi (or url), accessed (the day) and terms"


def check_terms(run: Run) -> Finding:
    """Each source has licence, DOI, day of access and terms written down beside it, and is what was added then."""
    problems = []
    for source in run.params.sources:
        try:
            read_terms(run, source)
        except ValueError as error:
            problems.append(str(error))
    return Finding(
        title="Each source has its licence, DOI, day of access and terms",
        examined="drawn phantoms" if run.params.profile == "smoke" else f"{len(run.params.sources)} sources",
        problems=(*problems, *_changed_since_added(run)),
    )


def _changed_since_added(run: Run) -> Iterator[str]:
    for source in run.params.sources:
        folder = f"data/raw/{run.params.profile}/{source}"
        path = run.root / f"{folder}.dvc"
        if run.params.profile == "smoke" or not path.is_file():
            continue
        known = (yaml.safe_load(path.read_text(encoding="utf-8")).get("outs") or [{}])[0].get("md5")
        content = run.contents.at(folder)
        if known and content and content.md5 != known:
            files = run.contents.differing(folder, known)
            yield from files or [f"{folder} is not what `dvc add` took (MD5 {known}, found {content.md5})"]


def check_accounting(run: Run) -> Finding:
    """Each file of the raw folders is one row of the corpus, and found = kept + duplicate + rejected."""
    corpus = _corpus(run)
    if isinstance(corpus, Finding):
        return corpus
    account = json.loads((run.root / "metrics/data.json").read_text(encoding="utf-8"))
    problems = list(_about_counts(corpus, account)) + list(_about_raw_files(run, corpus))
    return Finding(
        title="Every input file is accounted for: found = kept + duplicate + rejected",
        examined=f"{len(corpus)} files of {corpus['source'].nunique()} sources",
        problems=tuple(problems),
    )


def _about_counts(corpus: pd.DataFrame, account: dict[str, Any]) -> Iterator[str]:
    for source, rows in corpus.groupby("source"):
        counts = account.get("sources", {}).get(source, {})
        for status in (*STATUSES, "beside"):
            number = int((rows["status"] == status).sum())
            if counts.get(status) != number:
                yield f"metrics/data.json has {counts.get(status)} {status} files of {source}, corpus.csv {number}"
        if counts.get("found") != sum(counts.get(status, 0) for status in STATUSES):
            yield f"metrics/data.json: of {source}, kept + duplicate + rejected is not the {counts.get('found')} found"
    known = corpus["status"].isin([*STATUSES, "beside"])
    silent = ~known | (corpus["status"].isin(["duplicate", "rejected"]) & corpus["reason"].isna())
    yield from (f"corpus.csv does not say what became of {name}, or why" for name in corpus.loc[silent, "id"])


def _about_raw_files(run: Run, corpus: pd.DataFrame) -> Iterator[str]:
    """Plain files of the raw folders against the rows, both ways; members of archives go with their archive."""
    for source, rows in corpus.groupby("source"):
        folder = f"data/raw/{run.params.profile}/{source}"
        known = dict(zip(rows["path"].astype(str), rows["sha256"], strict=True))
        for name, sha256 in known.items():
            is_plain = (run.root / folder / name).is_file() and pd.notna(sha256)
            if is_plain and run.contents.sha256(f"{folder}/{name}") != sha256:
                yield f"{folder}/{name} is not the file that was taken in (corpus.csv has SHA-256 {sha256})"
        archives = {part for name in known for part in _folders_above(name)}
        found = {file.relative_to(run.root / folder).as_posix() for file in list_files(run.root / folder)}
        yield from (f"{folder}/{name} has no row in corpus.csv" for name in sorted(found - set(known) - archives))


def _folders_above(name: str) -> list[str]:
    return [str(folder) for folder in PurePosixPath(name).parents]


def check_splits(run: Run) -> Finding:
    """Images of one group, copies of each other or of one patient, are in one split."""
    corpus = _corpus(run)
    if isinstance(corpus, Finding):
        return corpus
    kept = corpus[corpus["status"] == "kept"]
    counts = kept.groupby("group")["split"].nunique(dropna=False)
    patients = kept.dropna(subset=["patient"]).groupby("patient")["split"].nunique(dropna=False)
    return Finding(
        title="No group of copies, and no patient, is in two splits",
        examined=f"{len(kept)} images, {len(counts)} groups, {len(patients)} known patients",
        problems=tuple(
            [f"group {name} is in {number} splits" for name, number in counts[counts > 1].items()]
            + [f"patient {name} is in {number} splits" for name, number in patients[patients > 1].items()]
            + [f"{name} is kept and in no split" for name in kept.loc[kept["split"].isna(), "id"]]
        ),
    )


def check_published(run: Run) -> Finding:
    """No synthetic image that was found to copy a patient is in the set that may be published, and none is unknown."""
    title = "No copy of a patient is in the published set"
    try:
        copies = _table(run, "metrics/evaluation/copies.csv")
        published = _table(run, "metrics/evaluation/published.csv")
        rows = _table(run, "data/synthetic/high/rows.csv")
    except (OSError, ValueError) as error:
        return Finding(title=title, examined="nothing", problems=(f"cannot be checked: {error}",))
    flagged = set(copies.loc[copies["is_copy"].astype(int) == 1, "id"])
    ids, drawn, searched = list(published["id"]), set(rows["id"]), set(copies["id"])
    return Finding(
        title=title,
        examined=f"{len(ids)} published of {len(rows)} drawn, {len(flagged)} found to be copies",
        problems=tuple(
            [f"{name} is published and is a copy of a training image" for name in ids if name in flagged]
            + [f"{name} is published and was never drawn" for name in ids if name not in drawn]
            + [f"{name} is published and was not searched for copies" for name in ids if name not in searched]
        ),
    )


def check_pictures(run: Run) -> Finding:
    """Every synthetic PNG has a row with its hash, and itself says that it is synthetic, its models and its index."""
    found = [_about_pictures(run, resolution) for resolution in ("low", "high")]
    return Finding(
        title="Every synthetic picture says what it is, as its row does",
        examined=f"{sum(number for number, _ in found)} PNG files",
        problems=tuple(problem for _, problems in found for problem in problems),
    )


def _about_pictures(run: Run, resolution: str) -> tuple[int, list[str]]:
    folder = f"data/synthetic/{resolution}"
    try:
        rows = _table(run, f"{folder}/rows.csv")
    except (OSError, ValueError) as error:
        return 0, [f"cannot be checked: {error}"]
    models = {"panodiff:diffusion_model_sha256": "data/models/diffusion"}
    if resolution == "high":
        models["panodiff:superres_model_sha256"] = "data/models/superres"
    weights = {key: f"{path}/model.safetensors" for key, path in models.items()}
    expected = {key: run.contents.sha256(path) for key, path in weights.items() if (run.root / path).is_file()}
    problems: list[str] = []
    for values in rows.to_dict("records"):
        row = {str(key): value for key, value in values.items()}
        path = f"{folder}/{row['id']}.png"
        problems += _about_picture(run, path, row, expected | _said_by_row(row))
    names = {path.name for path in (run.root / folder).glob("*.png")}
    strangers = sorted(names - {f"{name}.png" for name in rows["id"]})
    return len(rows), problems + [f"{folder}/{name} has no row in rows.csv" for name in strangers]


def _said_by_row(row: dict[str, Any]) -> dict[str, str]:
    return {"panodiff:seed": str(row["seed"]), "panodiff:index": str(row["index"])}


def _about_picture(run: Run, path: str, row: dict[str, Any], expected: dict[str, str]) -> Iterator[str]:
    if not (run.root / path).is_file():
        yield f"{path} is missing"
        return
    if run.contents.sha256(path) != row["sha256"]:
        yield f"{path} is not the picture of its row in rows.csv (SHA-256)"
    try:
        chunks = read_text_chunks(run.root / path)
    except (OSError, SyntaxError, ValueError) as error:
        yield f"{path} cannot be read: {error}"
        return
    if not chunks.get("Title", "").startswith("Synthetic"):
        yield f"{path} does not say that it is synthetic"
    for key, value in expected.items():
        if chunks.get(key) != value:
            yield f"{path} says {key} = {chunks.get(key)}, its row or model {value}"


def _corpus(run: Run) -> pd.DataFrame | Finding:
    try:
        return read_manifest(run.root / "data/manifest/corpus.csv")
    except (OSError, ValueError) as error:
        return Finding(title="The corpus can be read", examined="nothing", problems=(f"{error}: `dvc checkout`",))


def _table(run: Run, path: str) -> pd.DataFrame:
    return pd.read_csv(run.root / path)
