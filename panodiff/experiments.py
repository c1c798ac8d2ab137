"""Mean and standard deviation over seeds, of the experiments that `dvc exp run` has made.

Experiments belong to one group where all that dvc tracks is the same but for `seed`: the parameters, and the code and
data that come from no stage. What stages make of it differs with the seed, and is no part of the comparison.
"""

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panodiff.files import write_csv
from panodiff.pipeline import leaves

METRICS = "metrics/summary.json"
RAW, SPLIT = "data/raw", "data/manifest"
_SHORT = 8  # letters of a hash that are shown
_UNSET = "unset"


class ExperimentsError(ValueError):
    """There is nothing to compare; the message says what to run."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One finished experiment."""

    name: str
    seed: int
    settings: dict[str, Any]  # all that it was made from but the seed: parameters by dotted key, hashes by path
    data: dict[str, str]  # hashes of the raw data and of the split, by path
    metrics: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A metric over seeds; `sd` is the sample's standard deviation (n - 1), of one seed there is none."""

    count: int
    mean: float
    sd: float | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Experiments that differ in the seed alone, ordered by it; named by what sets them off from the other groups."""

    name: str
    runs: tuple[Experiment, ...]
    repeats: tuple[str, ...]  # names of experiments with a seed that another one has already: they do not count

    def spreads(self) -> dict[str, Spread]:
        """Each metric that any of the runs has."""
        values: dict[str, list[float]] = {}
        for run in self.runs:
            for name, value in run.metrics.items():
                values.setdefault(name, []).append(value)
        return {name: spread(found) for name, found in values.items()}


def compare_seeds(root: Path = Path(), csv_path: Path | None = None) -> list[str]:
    """The lines of a Markdown table, a group a column, and what must be known to read it.

    Args:
        root: The project's top folder.
        csv_path: Where to write the same as a CSV file as well, a row a group and metric.

    Raises:
        ExperimentsError: The commit that is checked out has no finished experiment.
    """
    groups = group_by_settings(finished(_ask_dvc(root)))
    if not groups:
        raise ExperimentsError(
            f"the commit that is checked out has no finished experiment with a seed and {METRICS}: "
            f"`dvc exp run -S seed=1 -n NAME` makes one (of unchanged parameters in seconds, from the cache), "
            f"`dvc exp show` lists them"
        )
    if csv_path is not None:
        write_spreads(groups, csv_path)
    return [*_head_lines(groups), "", *markdown(_cells(groups)), "", *_foot_lines(groups)]


def _ask_dvc(root: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json", "--param-deps", "--no-pager"]
    quiet = os.environ | {"DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=root, env=quiet, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ExperimentsError(f"`dvc exp show` must list the experiments, and failed:\n{done.stderr.strip()}")
    shown: list[dict[str, Any]] = json.loads(done.stdout)
    return shown


def finished(shown: Sequence[Mapping[str, Any]]) -> list[Experiment]:
    """The finished experiments of `dvc exp show --json`, of all commits in it; a row without `seed` is none."""
    found = []
    for commit in shown:
        for listed in commit.get("experiments") or []:
            state = (listed.get("executor") or {}).get("state", "success")
            newest = listed["revs"][0]
            experiment = _experiment(listed.get("name") or newest["rev"], newest.get("data") or {})
            if state == "success" and experiment is not None:
                found.append(experiment)
    return found


def _experiment(name: str, data: Mapping[str, Any]) -> Experiment | None:
    params = leaves(data.get("params", {}).get("params.yaml", {}).get("data") or {})
    metrics = data.get("metrics", {}).get(METRICS, {}).get("data") or {}
    seed = params.pop("seed", None)
    if seed is None or not metrics:
        return None
    made = [path for path, out in data["outs"].items() if not out["is_data_source"]]
    hashes = {path: str(dep["hash"]) for path, dep in data["deps"].items()}
    given = {
        path: known[:_SHORT]
        for path, known in hashes.items()
        if not _lies_in(path, made) and not any(_lies_in(out, [path]) for out in made)
    }
    return Experiment(
        name=name,
        seed=seed,
        settings=params | given,
        data={path: known for path, known in hashes.items() if _lies_in(path, [RAW, SPLIT])},
        metrics={key: value for key, value in metrics.items() if type(value) in (int, float)},
    )


def _lies_in(path: str, folders: Sequence[str]) -> bool:
    return any(Path(path).is_relative_to(folder) for folder in folders)


def group_by_settings(experiments: Sequence[Experiment]) -> list[Group]:
    """The groups, ordered by name; of several experiments with one seed the one listed first counts."""
    alike: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        alike.setdefault(json.dumps(experiment.settings, sort_keys=True), []).append(experiment)
    members = list(alike.values())
    keys = differing([runs[0].settings for runs in members])
    return sorted((_group(runs, keys) for runs in members), key=lambda group: group.name)


def _group(runs: Sequence[Experiment], keys: Sequence[str]) -> Group:
    by_seed: dict[int, Experiment] = {}
    for run in runs:
        by_seed.setdefault(run.seed, run)
    settings, labels = runs[0].settings, _labels(keys)
    return Group(
        name=", ".join(f"{labels[key]}={_text(settings.get(key, _UNSET))}" for key in keys) or "all",
        runs=tuple(by_seed[seed] for seed in sorted(by_seed)),
        repeats=tuple(run.name for run in runs if by_seed[run.seed] is not run),
    )


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys whose values tell these settings from each other; those that only some have just where they must."""
    keys = list(dict.fromkeys(key for each in settings for key in each))
    differ = [key for key in keys if len({_text(each.get(key, _UNSET)) for each in settings}) > 1]
    shared = [key for key in differ if all(key in each for each in settings)]
    told_apart = {tuple(_text(each[key]) for key in shared) for each in settings}
    return shared if len(told_apart) == len(settings) else differ


def _labels(keys: Sequence[str]) -> dict[str, str]:
    """The last word of each key where that is enough, else the whole key; paths stay whole."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: key if "/" in key or last.count(word) > 1 else word for key, word in zip(keys, last, strict=True)}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def differences(first: Group, second: Group) -> dict[str, Spread]:
    """Of each metric, the second group's value less the first's, over the seeds that both have."""
    before = {run.seed: run.metrics for run in first.runs}
    values: dict[str, list[float]] = {}
    for run in second.runs:
        for name in run.metrics.keys() & before.get(run.seed, {}).keys():
            values.setdefault(name, []).append(run.metrics[name] - before[run.seed][name])
    return {name: spread(found) for name, found in values.items()}


def spread(values: Sequence[float]) -> Spread:
    """Mean and the sample's standard deviation."""
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Spread(count=len(values), mean=statistics.mean(values), sd=sd)


def plus_minus(known: Spread) -> str:
    """Mean ± standard deviation, both to the second significant digit of the latter; a lone value to its fourth."""
    if not known.sd:
        return f"{known.mean:.4g}" + (" ± 0" if known.sd == 0 else "")
    digits = max(0, 1 - math.floor(math.log10(known.sd)))
    return f"{known.mean:.{digits}f} ± {known.sd:.{digits}f}"


def markdown(cells: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table whose columns stand straight in a terminal; the first row is its head."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in cells]
    widths = [max(map(len, column)) for column in zip(*escaped, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in escaped]
    rule = ["-" * width for width in widths]
    return [f"| {' | '.join(row)} |" for row in [padded[0], rule, *padded[1:]]]


def _cells(groups: Sequence[Group]) -> list[list[str]]:
    columns = [(group.name, [run.seed for run in group.runs], group.spreads()) for group in groups]
    if len(groups) == 2 and (shared := sorted(set(columns[0][1]) & set(columns[1][1]))):
        columns.append(("second - first, seed by seed", shared, differences(*groups)))
    names = dict.fromkeys(name for _, _, spreads in columns for name in spreads)
    return [
        ["", *(head for head, _, _ in columns)],
        ["seeds", *(", ".join(map(str, seeds)) for _, seeds, _ in columns)],
        *([name, *(_cell(spreads.get(name), len(seeds)) for _, seeds, spreads in columns)] for name in names),
    ]


def _cell(known: Spread | None, num_seeds: int) -> str:
    if known is None:
        return ""
    return plus_minus(known) + (f" ({known.count} of {num_seeds} seeds)" if known.count < num_seeds else "")


def _head_lines(groups: Sequence[Group]) -> list[str]:
    num_runs = sum(len(group.runs) for group in groups)
    keys = differing([group.runs[0].settings for group in groups])
    differ = f" that differ in {', '.join(keys)}" if keys else ""
    return [
        f"{num_runs} experiment{'s' if num_runs != 1 else ''} in {len(groups)} "
        f"group{'s' if len(groups) != 1 else ''}{differ}",
        "mean ± standard deviation over seeds (of the sample, n - 1)",
    ]


def _foot_lines(groups: Sequence[Group]) -> list[str]:
    repeats = [name for group in groups for name in group.repeats]
    repeated = f"Left out, for another one of the group has their seed: {', '.join(repeats)}."
    return [*_data_lines(groups), *([repeated] if repeats else [])]


def _data_lines(groups: Sequence[Group]) -> list[str]:
    several = [group.runs for group in groups if len(group.runs) > 1]
    if not several:
        return ["One seed says nothing of chance: `dvc exp run -S seed=2 -n NAME` adds another."]
    raw, split = (any(_differ(runs, folder) for runs in several) for folder in (RAW, SPLIT))
    if raw:
        return [
            "Seeds have no data in common: each has its own raw data, so ± holds the variation of the data as well,",
            "but that of a difference seed by seed does not, where both groups have the seed's data in common.",
        ]
    if split:
        return ["Seeds have the raw data in common and split them anew, so ± holds the choice of the split as well."]
    return ["Seeds have data and split in common, so ± holds the chance of training and drawing alone."]


def _differ(runs: Sequence[Experiment], folder: str) -> bool:
    def below(run: Experiment) -> dict[str, str]:
        return {path: known for path, known in run.data.items() if _lies_in(path, [folder])}

    return any(below(run) != below(runs[0]) for run in runs)


def write_spreads(groups: Sequence[Group], path: Path) -> None:
    """A row a group and metric; the deviation of a single seed is empty."""
    rows = [
        {"group": group.name, "metric": name, "seeds": known.count, "mean": known.mean, "sd": known.sd}
        for group in groups
        for name, known in group.spreads().items()
    ]
    write_csv(path, ["group", "metric", "seeds", "mean", "sd"], rows)
