"""The page itself: gathers what the stages left, and renders it as one file that needs nothing beside it."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from panodiff.files import write_json, written_whole
from panodiff.images import read_grey
from panodiff.manifest import read_manifest
from panodiff.params import Params
from panodiff.pipeline import load_pipeline
from panodiff.record import describe_environment
from panodiff.report import charts, graph, looks, numbers, pictures, restored, sheets, sources, tables
from panodiff.report.numbers import Absent
from panodiff.sources.catalogue import read_catalogue

_HERE = Path(__file__).parent
Find = Callable[[str], Path]  # from a path below the project's top folder to where it lies


def make_report(
    params: Params, tracked: Mapping[str, Any], records: list[str], *, find: Find, page: Path, summary: Path
) -> None:
    """Write the page and metrics/summary.json.

    Args:
        params: Of the active profile.
        tracked: The sections of params.yaml that the page shows, by dotted key, as they stand in the file.
        records: The provenance records of the stages whose cost and fingerprints the page shows.
        find: Gives the path of an input.
        page: Where the page goes.
        summary: Where the few numbers go that `dvc metrics` shows.
    """
    evaluation = json.loads(find("metrics/evaluation.json").read_text(encoding="utf-8"))
    loaded = [json.loads(find(path).read_text(encoding="utf-8")) for path in records]
    content = {
        "head": _head(params),
        "results": _results(evaluation, params),
        "images": _images(params, find),
        "looks": _looks(evaluation, find),
        "superres": _superres(evaluation, params, find),
        "data": _data(params, find),
        "training": _training(find),
        "runs": _runs(loaded),
        "settings": tables.settings(tracked, params.profile),
    }
    write_json(summary, numbers.summarize(evaluation))
    with written_whole(page) as aside:
        aside.write_text(render(content), encoding="utf-8", errors="replace")  # file names may be no UTF-8


def render(content: Mapping[str, Any]) -> str:
    """The page; whatever came from files or parameters is escaped."""
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
    return environment.get_template("page.html.j2").render(**content, style=style, script=script)


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
        "rows": numbers.headline_rows(evaluation),
        "backbones": {name: numbers.pair_rows(evaluation, name) for name in numbers.backbones(evaluation)},
        "draws": numbers.draw_rows(evaluation),
        "scores": numbers.score_rows(evaluation),
        "counts": evaluation["counts"],
        "num_neighbours": params.evaluate.num_neighbours,
    }


def _images(params: Params, find: Find) -> dict[str, Any]:
    corpus = read_manifest(find("data/manifest") / "corpus.csv")
    synthetic = find("data/synthetic")
    high = synthetic / "high"
    drawn, factor = pictures.synthetic_grid(high, params.report.num_samples)
    return {
        "synthetic": drawn,
        "factor": factor,
        "real": pictures.real_grid(corpus, min(pictures.NUM_REAL, params.report.num_samples))[0],
        "pairs": pictures.low_high_pairs(synthetic, params.report.num_pairs),
    }


def _looks(evaluation: Mapping[str, Any], find: Find) -> dict[str, Any]:
    corpus, tables_of = read_manifest(find("data/manifest") / "corpus.csv"), find("metrics/evaluation")
    high = find("data/synthetic") / "high"
    published = [high / f"{name}.png" for name in pd.read_csv(tables_of / "published.csv")["id"]]
    return {
        "copies": evaluation["copies"],
        "copies_rows": looks.copies_rows(evaluation),
        "closest": looks.closest_pairs(tables_of / "copies.csv", corpus, high),
        "rows": looks.looks_rows(evaluation),
        "outside_any": {
            name: numbers.percent(share) for name, share in evaluation["plausibility"]["outside_any"].items()
        },
        "detected": looks.detection_rows(evaluation),
        "where": looks.where_picture(tables_of / "where.csv", published),
    }


def _superres(evaluation: Mapping[str, Any], params: Params, find: Find) -> dict[str, Any]:
    corpus = read_manifest(find("data/manifest") / "corpus.csv")
    return {
        "crops": restored.restored_crops(corpus, find("data/models/superres"), params.report.num_pairs),
        "spectrum": restored.spectrum_chart(find("metrics/evaluation") / "spectrum.csv"),
        "ceiling": restored.ceiling_table(evaluation),
        "halves": [evaluation["restored_vs_real"][name] for name in ("num_fake", "num_real")],
    }


def _data(params: Params, find: Find) -> dict[str, Any]:
    corpus = read_manifest(find("data/manifest") / "corpus.csv")
    account = json.loads(find("metrics/data.json").read_text(encoding="utf-8"))
    looks = find("metrics/corpus")
    catalogue = read_catalogue()
    return {
        "statuses": tables.STATUSES,
        "splits": tables.SPLITS,
        "counts": tables.source_counts(account, corpus),
        "published": {
            name: counts["published"] for name, counts in account["sources"].items() if "published" in counts
        },
        "groups": account["groups"],
        "flags": account["flags"],
        "reasons": tables.reasons(corpus),
        "terms": {source: catalogue.get(source) for source in params.sources} if params.profile == "paper" else {},
        "charts": sheets.draw_corpus(looks),
        "sheets": sheets.contact_sheets(find(f"data/harmonized/{params.profile}"), params.sources),
        "duplicates": sheets.sheet(looks / "duplicates.jpg", "Groups of radiographs that repeat each other", ""),
        "sources": sources.show_sources(find("metrics/sources")),
    }


def _training(find: Find) -> dict[str, Any]:
    diffusion, superres = find("metrics/diffusion"), find("metrics/superres")
    forward, reverse = (
        pictures.reduced(whole, pictures.factor_for(whole.size, pictures.SHEET_PIXELS))
        for whole in (read_grey(diffusion / "forward.png"), read_grey(diffusion / "reverse.png"))
    )
    return {
        "charts": charts.draw_charts({plan.folder: find(plan.folder) for plan in charts.PLANS}),
        "diffusion": pictures.diffusion_progress(diffusion),
        "superres": pictures.superres_progress(superres),
        "forward": pictures.picture(forward, "A radiograph at nine noise levels"),
        "reverse": pictures.picture(reverse, "Noise that becomes a radiograph, in nine pictures"),
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
        "costs": tables.costs(records, tables.stage_descriptions()),
        "environment": tables.environment_rows(records),
    }
