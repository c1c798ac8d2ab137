"""The page itself: gathers what the stages left, and renders it as one file that needs nothing beside it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from panodiff.files import write_json, written_whole
from panodiff.manifest import SPLITS, STATUSES, read_manifest
from panodiff.params import Params
from panodiff.pipeline import load_pipeline
from panodiff.record import describe_environment
from panodiff.report import charts, graph, numbers, pictures, tables
from panodiff.report.figures import FigureFolder
from panodiff.report.numbers import Absent
from panodiff.report.pictures import Rows
from panodiff.report.sections import looks, restored, results, sheets, shots, sources, study, verdict
from panodiff.report.sections.shots import Find
from panodiff.sources.catalogue import read_catalogue

_HERE = Path(__file__).parent
_HEADLINE = (
    "The headline numbers: of this run, of its yardstick and as published, each with the ends of its 95 % interval "
    "where it has one. A value that was not measured is empty."
)
_SAMPLES = (
    "Synthetic radiographs of {} pixels, the first by number, none picked for its looks. Look for whole arches, teeth "
    "that differ, and jaws that close on both sides."
)
_CROPS = (
    "Radiographs of the test split reduced, and enlarged again: the square of each with the strongest edges. The third "
    "column should be sharper than the second and show nothing that the fourth does not; the last is grey where "
    "this model is right."
)
_PIPELINE = "Which stage reads what another one made; an arrow that another way already implies is left out."


def make_report(
    params: Params,
    tracked: Mapping[str, Any],
    records: list[str],
    *,
    find: Find,
    page: Path,
    summary: Path,
    figures: Path,
) -> None:
    """Write the page, metrics/summary.json and the figures for a paper.

    Args:
        params: Of the active profile.
        tracked: The sections of params.yaml that the page shows, by dotted key, as they stand in the file.
        records: The provenance records of the stages whose cost and fingerprints the page shows, and that it audits.
        find: Gives the path of an input.
        page: Where the page goes.
        summary: Where the few numbers go that `dvc metrics` shows.
        figures: The folder where the figures go.
    """
    evaluation = json.loads(find("metrics/evaluation.json").read_text(encoding="utf-8"))
    loaded = [json.loads(find(path).read_text(encoding="utf-8")) for path in records]
    shown = shots.gather(params, find)
    content = {
        "head": _head(params),
        "results": _results(evaluation, params),
        "pictures": {name: pictures.gallery(rows, shots.BYTES[name]) for name, rows in shown.items()},
        "looks": _looks(evaluation),
        "superres": _superres(evaluation, find),
        "data": _data(params, find),
        "study": study.show_study(find("metrics/study.json")),
        "training": _training(find),
        "runs": _runs(loaded),
        "audit": verdict.show_verdict(records),
        "settings": tables.settings(tracked, params.profile),
    }
    write_json(summary, results.summarize(evaluation))
    with written_whole(page) as aside:
        text = render("page.html.j2", content)
        aside.write_text(text, encoding="utf-8", errors="replace")  # file names may be no UTF-8
    _write_figures(figures, content, shown, results.headline_table(evaluation))


def render(template: str, content: Mapping[str, Any]) -> str:
    """The page, or a drawing of it; whatever came from files or parameters is escaped."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = numbers.number
    environment.tests["absent"] = lambda value: isinstance(value, Absent)
    style, script = (Markup((_HERE / name).read_text(encoding="utf-8")) for name in ("style.css", "zoom.js"))
    return environment.get_template(template).render(**content, style=style, script=script)


def _head(params: Params) -> dict[str, Any]:
    environment = describe_environment()
    return {
        "profile": params.profile,
        "seed": params.seed,
        "commit": tables.commit_text(environment["git"]),
        "differs": environment["git"] is None or environment["git"]["dirty"],
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "version": environment["panodiff"],
        "low_size": "×".join(map(str, params.harmonize.low_size)),
        "high_size": "×".join(map(str, params.harmonize.high_size)),
    }


def _results(evaluation: Mapping[str, Any], params: Params) -> dict[str, Any]:
    return {
        "rows": results.headline_rows(evaluation),
        "backbones": {name: results.pair_rows(evaluation, name) for name in results.backbones(evaluation)},
        "draws": results.draw_rows(evaluation),
        "scores": results.score_rows(evaluation),
        "counts": evaluation["counts"],
        "num_neighbours": params.evaluate.num_neighbours,
    }


def _looks(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    outside = evaluation["plausibility"]["outside_any"]
    return {
        "copies": evaluation["copies"],
        "copies_rows": looks.copies_rows(evaluation),
        "rows": looks.looks_rows(evaluation),
        "outside_any": {name: numbers.percent(share) for name, share in outside.items()},
        "detected": looks.detection_rows(evaluation),
    }


def _superres(evaluation: Mapping[str, Any], find: Find) -> dict[str, Any]:
    return {
        "spectrum": restored.spectrum_chart(find("metrics/evaluation") / "spectrum.csv"),
        "ceiling": restored.ceiling_table(evaluation),
        "halves": [evaluation["restored_vs_real"][name] for name in ("num_fake", "num_real")],
    }


def _data(params: Params, find: Find) -> dict[str, Any]:
    corpus = read_manifest(find("data/manifest") / "corpus.csv")
    account = json.loads(find("metrics/data.json").read_text(encoding="utf-8"))
    catalogue = read_catalogue()
    return {
        "statuses": STATUSES,
        "splits": SPLITS,
        "counts": tables.source_counts(account, corpus),
        "published": {
            name: counts["published"] for name, counts in account["sources"].items() if "published" in counts
        },
        "groups": account["groups"],
        "flags": account["flags"],
        "reasons": tables.reasons(corpus),
        "terms": {source: catalogue.get(source) for source in params.sources} if params.profile == "paper" else {},
        "charts": sheets.draw_corpus(find("metrics/corpus")),
        "sources": sources.show_sources(find("metrics/sources")),
    }


def _training(find: Find) -> dict[str, Any]:
    diffusion, superres = find("metrics/diffusion"), find("metrics/superres")
    return {
        "charts": charts.draw_charts({plan.folder: find(plan.folder) for plan in charts.PLANS}),
        "diffusion_steps": shots.milestones(diffusion),
        "superres_steps": shots.milestones(superres, shots.NUM_SUPERRES_MILESTONES),
        "superres_columns": shots.SUPERRES_COLUMNS,
        "forward_rows": pd.read_csv(diffusion / "forward.csv").to_dict("records"),
    }


def _runs(records: list[tables.Record]) -> dict[str, Any]:
    drawing = graph.draw_graph(graph.read_graph(load_pipeline()))
    return {
        "graph": drawing,
        "node_width": graph.NODE_WIDTH,
        "node_height": graph.NODE_HEIGHT,
        "seconds": {record["stage"]: tables.duration(record["seconds_of_last_run"]) for record in records},
        "total": tables.duration(sum(record["seconds_of_last_run"] for record in records)),
        "energy": tables.energy(records),
        "energy_tried": any("energy_j" in record for record in records),
        "energy_reasons": tables.energy_reasons(records),
        "costs": tables.costs(records, tables.stage_descriptions()),
        "environment": tables.environment_rows(records),
    }


def _write_figures(
    folder: Path, content: Mapping[str, Any], shown: Mapping[str, Rows | Absent], headline: pd.DataFrame
) -> None:
    """What of the page belongs in a paper, file by file."""
    head, data = content["head"], content["data"]
    phantoms = ["drawn phantoms, no patients"] if head["profile"] == "smoke" else []
    figures = FigureFolder(folder, [f"profile {head['profile']}", f"seed {head['seed']}", *phantoms])
    figures.add_table("headline", headline, _HEADLINE)
    figures.add_grid("samples-high", shown["synthetic"], _SAMPLES.format(head["high_size"]))
    figures.add_grid("samples-low", shown["low"], _SAMPLES.format(head["low_size"]))
    figures.add_rows("superres-crops", shown["crops"], _CROPS)
    for chart in (*content["training"]["charts"], content["superres"]["spectrum"]):
        figures.add_chart(chart)
    for chart in (*data["charts"], *data["sources"]["maps"]):
        figures.add_chart(chart)
    untimed = {"runs": content["runs"] | {"seconds": {}}, "of_its_own": True}  # the same in every run
    figures.add_drawing("pipeline", render("graph.svg.j2", untimed), _PIPELINE)
    figures.close()
