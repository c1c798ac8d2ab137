"""croissant.json: the pictures as records that machine learning can load, and what must be known of them.

Croissant 1.0 (https://docs.mlcommons.org/croissant/docs/croissant-spec.html) with its vocabulary of responsible AI. The
answers in that are facts of the run; where it knows none, they say so. The low and the high pictures are two sets of
records with the same `id`: mlcroissant joins a table with one set of files only.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlcroissant as mlc  # type: ignore[import-untyped]
import pandas as pd

from panodiff.audit.data import read_terms
from panodiff.audit.run import Run
from panodiff.files import hash_file, write_json
from panodiff.publishing.facts import (
    LICENCE,
    LICENCE_NAME,
    address,
    as_text,
    authors,
    dataset_name,
    newest_day,
    newest_record,
    read_citation,
)

CONFORMS_TO = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
TABLE = "images.csv"
_DESCRIPTIONS = {
    "id": "Of the picture; the same at both resolutions",
    "seed": "Of the run that drew it",
    "index": "Of the picture in that run: with the seed it gives the noise that the picture began as",
    "high_sha256": "SHA-256 of the PNG at high resolution",
    "low_sha256": "SHA-256 of the PNG at low resolution",
    "height": "Of the picture at high resolution, in pixels",
    "width": "Of the picture at high resolution, in pixels",
    "diffusion_model_sha256": "SHA-256 of the weights that drew it",
    "superres_model_sha256": "SHA-256 of the weights that brought it to high resolution",
}
_NUMBERS = ("seed", "index", "height", "width")
_RECORDS = {  # set of records: resolution, columns beside the picture
    "images": ("high", [name for name in _DESCRIPTIONS if name != "low_sha256"]),
    "low_images": ("low", ["id", "seed", "index", "low_sha256", "diffusion_model_sha256"]),
}


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What the answers are made from."""

    run: Run
    account: dict[str, Any]  # metrics/data.json
    evaluation: dict[str, Any]
    summary: dict[str, Any]
    num_published: int


def write_croissant(run: Run, folder: Path) -> None:
    """Write croissant.json into `folder`, where images.csv, the pictures and the metrics lie already.

    Raises:
        ValueError: The run has no records, or the terms of a source are not written down.
    """
    cited = read_citation(folder)
    metrics = {name: _read(folder / f"metrics/{name}.json") for name in ("data", "evaluation", "summary")}
    known = _Known(
        run=run,
        account=metrics["data"],
        evaluation=metrics["evaluation"],
        summary=metrics["summary"],
        num_published=len(pd.read_csv(folder / TABLE)),
    )
    metadata = mlc.Metadata(
        conforms_to=CONFORMS_TO,
        name=dataset_name(run),
        description=_collection(known),
        license=[mlc.CreativeWork(name=LICENCE_NAME, description=LICENCE)],
        creators=[
            (mlc.Person if author.is_person else mlc.Organization)(name=author.name, url=author.url)
            for author in authors(cited)
        ],
        cite_as=as_text(cited) if cited else None,
        url=address(cited) if cited.get("type") == "dataset" else None,
        date_published=newest_day(run),
        version=newest_record(run)["environment"]["panodiff"],
        distribution=[_table(folder), *(_pictures(resolution) for resolution, _ in _RECORDS.values())],
        record_sets=[_records(name, *about) for name, about in _RECORDS.items()],
        **_answers(known),
    )
    write_json(folder / "croissant.json", metadata.to_json())


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _table(folder: Path) -> mlc.FileObject:
    return mlc.FileObject(
        id=TABLE,
        name=TABLE,
        description="One row a picture",
        content_url=TABLE,
        content_size=f"{(folder / TABLE).stat().st_size} B",
        encoding_formats=["text/csv"],
        sha256=hash_file(folder / TABLE),
    )


def _pictures(resolution: str) -> mlc.FileSet:
    return mlc.FileSet(
        id=f"{resolution}-pngs",
        name=f"{resolution}-pngs",
        description=f"8-bit grey pictures at {resolution} resolution",
        includes=[f"images/{resolution}/*.png"],
        encoding_formats=["image/png"],
    )


def _records(name: str, resolution: str, columns: list[str]) -> mlc.RecordSet:
    pngs = f"{resolution}-pngs"
    file_name = mlc.Field(
        id=f"{name}/file_name",
        name="file_name",
        description="Of the PNG, by which a row finds its picture",
        data_types=[mlc.DataType.TEXT],
        source=mlc.Source(
            file_object=TABLE,
            extract=mlc.Extract(column=resolution),
            transforms=[mlc.Transform(regex=r"(?:.*/)?([^/]+)")],
        ),
        references=mlc.Source(file_set=pngs, extract=mlc.Extract(file_property="filename")),
    )
    picture = mlc.Field(
        id=f"{name}/{resolution}",
        name=resolution,
        description=f"The picture at {resolution} resolution",
        data_types=[mlc.DataType.IMAGE_OBJECT],
        source=mlc.Source(file_set=pngs, extract=mlc.Extract(file_property="content")),
    )
    return mlc.RecordSet(
        id=name,
        name=name,
        description=f"Each synthetic radiograph at {resolution} resolution with its row of {TABLE}",
        key=[f"{name}/id"],
        fields=[file_name, picture, *(_column(name, column) for column in columns)],
    )


def _column(records: str, name: str) -> mlc.Field:
    return mlc.Field(
        id=f"{records}/{name}",
        name=name,
        description=_DESCRIPTIONS[name],
        data_types=[mlc.DataType.INTEGER if name in _NUMBERS else mlc.DataType.TEXT],
        source=mlc.Source(file_object=TABLE, extract=mlc.Extract(column=name)),
    )


def _answers(known: _Known) -> dict[str, Any]:
    """What the vocabulary of responsible AI asks."""
    records = known.run.records
    return {
        "data_collection": _collection(known),
        "data_collection_type": ["Others: drawn by models that learned from radiographs"],
        "data_collection_timeframe": [
            records[stage][key] for stage, key in (("sample", "started"), ("upscale", "finished")) if stage in records
        ],
        "data_collection_raw_data": " ".join(_sources(known)),
        "data_preprocessing_protocol": _preprocessing(known),
        "data_annotation_protocol": ["None: the pictures have no labels."],
        "data_biases": list(_biases(known)),
        "data_limitations": list(_limitations(known)),
        "data_use_cases": [
            "Research on synthetic panoramic radiographs, and on the methods that draw and judge them.",
            "Not for diagnosis. The run tried no use of the pictures beyond the measurements in metrics/.",
        ],
        "data_social_impact": "Not assessed by the run. Each PNG says in its text that it is synthetic, by which "
        "models and from which seed; without that text it may be taken for the radiograph of a patient.",
        "personal_sensitive_information": _personal(known),
        "data_release_maintenance_plan": "Not decided by this program: who deposits the files keeps them. What made "
        "them is in pipeline/ and metrics/provenance/.",
    }


def _collection(known: _Known) -> str:
    sizes = known.run.params.harmonize
    low, high = (f"{height}×{width}" for height, width in (sizes.low_size, sizes.high_size))
    searched = known.evaluation["copies"]["synthetic"]
    return (
        f"{known.num_published} synthetic panoramic radiographs of {high} pixels: a diffusion model drew them at "
        f"{low}, a super-resolution model enlarged them. {searched['num']} were drawn and compared with training "
        f"images, {searched['flagged']} found to copy one, {known.evaluation['copies']['dropped']} left out for it."
    )


def _sources(known: _Known) -> Iterator[str]:
    for source, counts in known.account["sources"].items():
        terms = read_terms(known.run, source)
        yield (
            f"{source}: {counts['found']} radiographs found, {counts['kept']} kept, {_learned(known)[source]} to learn "
            f"from; licence: {terms.licence}; from: {terms.doi}; had: {terms.accessed}; terms: {terms.terms}."
        )


def _learned(known: _Known) -> dict[str, int]:
    return {source: splits.get("train", 0) for source, splits in known.account["splits_by_source"].items()}


def _preprocessing(known: _Known) -> list[str]:
    total, counts = known.account["total"], known.evaluation["counts"]
    return [
        f"Of {total['found']} radiographs {total['kept']} were kept; {total['duplicate']} repeat another one, "
        f"{total['rejected']} were rejected (metrics/data.json).",
        "Those kept were turned upright, cropped to the jaws and brought to both resolutions (pipeline/params.yaml).",
        f"{counts['train']} of them were the models' to learn from; {counts['test']} that no model saw are what the "
        f"pictures are measured against. Copies that were found, and known patients, were never parted.",
    ]


def _biases(known: _Known) -> Iterator[str]:
    learned = _learned(known)
    shares = ", ".join(
        f"{source} {number} ({number / sum(learned.values()):.0%})" for source, number in learned.items()
    )
    yield f"Training images by source: {shares}. The pictures follow these sources, with what they over-represent."
    yield "The run knows neither age nor sex of those whom the sources show."
    for features, found in known.evaluation.get("detectability", {}).items():
        if auc := found.get("auc"):
            yield (
                f"Detectability ({features}): a classifier tells the pictures from real ones with an area under the "
                f"ROC curve of {auc['value']}; 0.5 is chance (metrics/evaluation.json)."
            )


def _limitations(known: _Known) -> Iterator[str]:
    if known.run.params.profile == "smoke":
        yield "Drawn phantoms stood in for patients: the pictures show that the pipeline works, nothing about patients."
    numbers = ", ".join(f"{name} {value}" for name, value in known.summary.items() if name != "profile")
    yield f"Measured: {numbers} (metrics/summary.json; with intervals and comparisons: metrics/evaluation.json)."
    yield from (f"Not measured: {name}: {reason}." for name, reason in known.evaluation.get("absent", {}).items())


def _personal(known: _Known) -> list[str]:
    planted: Mapping[str, Any] = known.evaluation["copies"]["planted"]
    return [
        "images/ holds drawn pictures only, no radiograph of a patient.",
        f"Pictures that copy a training image were searched for; the same search found {planted['flagged']} of "
        f"{planted['num']} planted copies. That none escaped it is not proved.",
    ]
