"""README.md of the deposit, a dataset card, and the cards of the models: every answer is a measured fact of the run.

The questions of the dataset card are those of Gebru et al. 2021 (arXiv 1803.09010).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import panodiff
from panodiff.audit.data import SourceTerms, read_terms
from panodiff.audit.run import Run
from panodiff.manifest import SPLITS, STATUSES
from panodiff.publishing.facts import dataset_name
from panodiff.report.numbers import Absent, number, percent, shown
from panodiff.report.sections.results import Row, headline_rows
from panodiff.report.tables import duration
from panodiff.sources.catalogue import read_catalogue

MODELS = ("diffusion", "superres")
_HUB_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source of the radiographs that the models learned from."""

    name: str
    title: str  # as its publishers call it, where the catalogue knows it
    citation: str
    counts: dict[str, int]  # found, kept, duplicate, rejected
    splits: dict[str, int]  # kept ones
    terms: SourceTerms


def render(template: str, **content: Any) -> str:
    """A document from one of the templates beside this module; texts from files fit into the cells of tables."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # it is Markdown; `cell` takes care of what files say
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": cell, "number": number, "percent": percent, "duration": duration}
    return environment.get_template(template).render(**content)


def cell(text: object) -> str:
    """On one line, with nothing that ends the cell of a Markdown table or begins a tag."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def write_dataset_card(run: Run, folder: Path) -> None:
    """Write README.md of the deposit in `folder`, which holds its images.csv already."""
    evaluation = _read(run.root / "metrics/evaluation.json")
    account = _read(run.root / "metrics/data.json")
    images = pd.read_csv(folder / "images.csv")
    drawn = len(pd.read_csv(run.root / "data/synthetic/high/rows.csv"))
    text = render(
        "dataset.md.j2",
        title=dataset_name(run),
        phantoms=run.params.profile == "smoke",
        params=run.params,
        version=panodiff.__version__,
        num_images=len(images),
        num_drawn=drawn,
        hub_size=next((name for limit, name in _HUB_SIZES if len(images) < limit), "n>1M"),
        low_size="×".join(map(str, run.params.harmonize.low_size)),
        high_size="×".join(map(str, run.params.harmonize.high_size)),
        models={name: images[f"{name}_model_sha256"].iloc[0] for name in MODELS},
        sources=_sources(run, account),
        total=account["total"],
        rejected_because=account["rejected_because"],
        groups=account["groups"],
        evaluation=evaluation,
        rows=[_row(row) for row in headline_rows(evaluation)],
        artefacts=_printed(shown(evaluation, "detectability.artefacts.auc")),
        commits=_commits(run),
        environment=run.records["train_diffusion"]["environment"],
        seconds={name: record["seconds_of_last_run"] for name, record in run.records.items()},
        first=images.iloc[0],
        has_study=(folder / "metrics/study.json").is_file() and "pooled" in _read(folder / "metrics/study.json"),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _sources(run: Run, account: Mapping[str, Any]) -> list[Source]:
    known = read_catalogue() if run.params.profile == "paper" else {}
    return [
        Source(
            name=name,
            title=known[name].title if name in known else "",
            citation=known[name].citation if name in known else "",
            counts={key: account["sources"][name][key] for key in ("found", *STATUSES)},
            splits={split: account["splits_by_source"].get(name, {}).get(split, 0) for split in SPLITS},
            terms=read_terms(run, name),
        )
        for name in run.params.sources
    ]


def _row(row: Row) -> dict[str, str]:
    """A line of the table of results."""
    return {
        "title": row.measure.title,
        "meaning": row.measure.meaning,
        "better": row.measure.better,
        "ours": _printed(row.ours),
        "beside": "" if isinstance(row.beside, Absent) else f"{row.beside} ({row.measure.beside_what})",
    }


def _printed(value: str | Absent) -> str:
    return f"not measured: {value.reason}" if isinstance(value, Absent) else value


def _commits(run: Run) -> dict[str, list[str]]:
    """The stages that ran at each commit."""
    commits: dict[str, list[str]] = {}
    for name, record in run.records.items():
        commits.setdefault(record["environment"]["git"]["commit"], []).append(name)
    return commits


def write_model_cards(run: Run, folder: Path) -> None:
    """Write the cards of both models, with the licence of each source that the model's own card did not know."""
    (folder / "model-cards").mkdir()
    for model in MODELS:
        text = (run.root / f"data/models/{model}/README.md").read_text(encoding="utf-8")
        for source in run.params.sources:
            text = with_licence(text, source, read_terms(run, source).licence)
        (folder / f"model-cards/{model}.md").write_text(text, encoding="utf-8")


def with_licence(card: str, source: str, licence: str) -> str:
    """A model's card that names the licence of one source, where its table of training images says `not known`."""
    row = rf"^(\| {re.escape(source)} \| \d+ \|) not known \|$"
    return re.sub(row, lambda match: f"{match[1]} {cell(licence)} |", card, flags=re.MULTILINE)
