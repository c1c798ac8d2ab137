"""What every description of a deposit for machines says alike: its name, day, authors, how to cite it, its licence."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from panodiff.audit.run import Record, Run

LICENCE_NAME = "Not decided by this program"
LICENCE = (
    "Who deposits these files decides under which licence, within the terms of the radiographs that the models learned "
    "from: see README.md."
)


@dataclass(frozen=True, kw_only=True)
class Author:
    """A person, or else an organisation."""

    name: str
    is_person: bool
    url: str | None = None  # ORCID of a person, or a website


def newest_record(run: Run) -> Record:
    """That of the stage that finished last.

    Raises:
        ValueError: There are no records.
    """
    if not run.records:
        raise ValueError("metrics/provenance has no records of the run: `dvc checkout` restores them from the cache")
    return max(run.records.values(), key=lambda record: str(record["finished"]))


def newest_day(run: Run) -> str:
    """The day on which the last stage finished, YYYY-MM-DD."""
    return str(newest_record(run)["finished"])[:10]


def dataset_name(run: Run) -> str:
    """What the deposit is called."""
    params = run.params
    learned = "drawn phantoms" if params.profile == "smoke" else ", ".join(params.sources)
    return f"Synthetic panoramic radiographs after {learned} (profile {params.profile}, seed {params.seed})"


def read_citation(folder: Path) -> dict[str, Any]:
    """CITATION.cff of the deposit, empty if it has none."""
    path = folder / "CITATION.cff"
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def authors(cited: Mapping[str, Any]) -> list[Author]:
    """The persons and organisations of an entry of CITATION.cff."""
    return [_author(entry) for entry in cited.get("authors", [])]


def _author(entry: Mapping[str, str]) -> Author:
    parts = [entry[key] for key in ("given-names", "name-particle", "family-names", "name-suffix") if key in entry]
    return Author(
        name=" ".join(parts) or entry["name"],
        is_person=bool(parts),
        url=entry.get("orcid") or entry.get("website"),
    )


def address(cited: Mapping[str, Any]) -> str | None:
    """Where an entry of CITATION.cff says that it is to be had."""
    return f"https://doi.org/{cited['doi']}" if "doi" in cited else cited.get("url") or cited.get("repository-code")


def as_text(cited: Mapping[str, Any]) -> str:
    """An entry of CITATION.cff with those that it refers to, in words."""
    names = "; ".join(author.name for author in authors(cited))
    dated = str(cited.get("date-released") or cited.get("year") or "")
    version = f"version {cited['version']}" if "version" in cited else ""
    parts = [names, cited.get("title"), version, dated, address(cited)]
    return " ".join([", ".join(filter(None, parts)) + ".", *map(as_text, cited.get("references", []))])
