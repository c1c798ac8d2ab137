"""Mean and deviation over seeds."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from panodiff.experiments import (
    Experiment,
    ExperimentsError,
    Spread,
    compare_seeds,
    differences,
    differing,
    finished,
    group_by_settings,
    markdown,
    plus_minus,
    spread,
    write_spreads,
)

STEPS = "profiles.smoke.diffusion.training.num_steps"


def run(name: str, seed: int, metrics: dict[str, float], raw: str = "same", **settings: object) -> Experiment:
    return Experiment(
        name=name,
        seed=seed,
        settings=settings,
        data={"data/raw/smoke/adld": raw, "data/manifest": raw},
        metrics=metrics,
    )


def test_the_deviation_is_that_of_a_sample():
    known = spread([2.0, 4.0, 9.0])  # mean 5; squares 9 + 1 + 16 = 26; 26 / 2 = 13
    assert known.count == 3
    assert known.mean == 5.0
    assert known.sd == pytest.approx(13**0.5)


def test_a_single_seed_has_no_deviation_which_is_not_zero():
    assert spread([2.0]) == Spread(count=1, mean=2.0, sd=None)
    assert plus_minus(spread([2.0])) == "2"
    assert plus_minus(spread([2.0, 2.0])) == "2 ± 0"


def test_a_mean_is_written_as_finely_as_its_deviation():
    assert plus_minus(Spread(count=3, mean=0.581966, sd=0.02149)) == "0.582 ± 0.021"
    assert plus_minus(Spread(count=3, mean=27.3882, sd=1.26)) == "27.4 ± 1.3"
    assert plus_minus(Spread(count=3, mean=1234.5, sd=321.0)) == "1234 ± 321"
    assert plus_minus(Spread(count=3, mean=-0.00113, sd=0.00042)) == "-0.00113 ± 0.00042"


def test_experiments_that_differ_in_the_seed_alone_are_one_group():
    steps = {STEPS: 300}
    runs = [
        run("a", 2, {"ssim": 0.4}, **{"diffusion.loss": "l1"}, **steps),
        run("b", 1, {"ssim": 0.2}, **{"diffusion.loss": "l1"}, **steps),
        run("c", 1, {"ssim": 0.9}, **{"diffusion.loss": "l2"}, **steps),
    ]
    l1, l2 = group_by_settings(runs)
    assert (l1.name, [member.seed for member in l1.runs]) == ("loss=l1", [1, 2])
    assert (l2.name, [member.seed for member in l2.runs]) == ("loss=l2", [1])
    assert l1.spreads()["ssim"].mean == pytest.approx(0.3)
    assert l1.spreads()["ssim"].sd == pytest.approx(0.02**0.5)  # 0.1² + 0.1²


def test_code_that_differs_parts_groups_as_parameters_do():
    groups = group_by_settings(
        [run("a", 1, {}, **{"panodiff/superres": "aa"}), run("b", 2, {}, **{"panodiff/superres": "bb"})]
    )
    assert [group.name for group in groups] == ["panodiff/superres=aa", "panodiff/superres=bb"]


def test_a_seed_that_was_run_twice_counts_once():
    (group,) = group_by_settings(
        [run("new", 1, {"ssim": 0.2}), run("old", 1, {"ssim": 0.8}), run("two", 2, {"ssim": 0.4})]
    )
    assert group.spreads()["ssim"] == spread([0.2, 0.4])
    assert group.repeats == ("old",)


def test_a_metric_that_a_run_lacks_is_counted_without_it():
    (group,) = group_by_settings([run("a", 1, {"ssim": 0.2, "fid": 9.0}), run("b", 2, {"ssim": 0.4})])
    assert group.spreads()["fid"] == Spread(count=1, mean=9.0, sd=None)


def test_groups_are_compared_over_the_seeds_that_both_have():
    first = [run("a", 1, {"ssim": 0.5}, loss="l1"), run("b", 2, {"ssim": 0.9}, loss="l1"), run("c", 3, {}, loss="l1")]
    second = [
        run("d", 2, {"ssim": 1.0}, loss="l2"),
        run("e", 1, {"ssim": 0.8}, loss="l2"),
        run("f", 4, {"ssim": 7}, loss="l2"),
    ]
    known = differences(*group_by_settings([*first, *second]))["ssim"]  # 0.3 and 0.1
    assert (known.count, known.mean) == (2, pytest.approx(0.2))
    assert known.sd == pytest.approx(0.02**0.5)


def test_groups_are_named_by_what_all_have_where_that_tells_them_apart():
    smoke = {"profile": "smoke", "profiles.smoke.steps": 1, "seedless": 5}
    pilot = {"profile": "pilot", "profiles.pilot.steps": 2, "seedless": 5}
    assert differing([smoke, pilot]) == ["profile"]
    assert differing([smoke, smoke | {"profiles.smoke.batch_size": 4}]) == ["profiles.smoke.batch_size"]
    assert differing([smoke]) == []


def test_parameters_with_the_same_last_word_are_named_in_full():
    both = [{"a.steps": 1, "b.steps": 1, "b.loss": "l1"}, {"a.steps": 2, "b.steps": 3, "b.loss": "l2"}]
    names = [group.name for group in group_by_settings([run("x", 1, {}, **each) for each in both])]
    assert names == ["a.steps=1, b.steps=1, loss=l1", "a.steps=2, b.steps=3, loss=l2"]


def listed(state: str | None, metrics: dict[str, object], **deps: str) -> dict[str, object]:
    data = {
        "params": {"params.yaml": {"data": {"seed": 3, "diffusion": {"loss": "l2"}, "sources": ["adld"]}}},
        "metrics": {"metrics/summary.json": {"data": metrics}},
        "deps": {path: {"hash": known} for path, known in deps.items()},
        "outs": {
            "data/raw/smoke": {"is_data_source": False},
            "data/raw/paper/adld": {"is_data_source": True},
            "data/synthetic/low": {"is_data_source": False},
        },
    }
    executor = state and {"state": state}
    return {"name": "mine", "executor": executor, "revs": [{"rev": "abc", "name": "mine", "data": data}]}


def test_an_experiment_is_known_by_what_no_stage_made():
    made = {"data/raw/smoke/adld": "11", "data/synthetic": "44"}  # in what a stage made, and around it
    made |= {"data/raw/paper/adld": "2222222222.dir", "stages/sample.py": "33"}
    (found,) = finished(
        [{"experiments": None}, {"experiments": [listed(None, {"profile": "smoke", "ssim": 0.5}, **made)]}]
    )
    assert (found.name, found.seed, found.metrics) == ("mine", 3, {"ssim": 0.5})
    assert found.settings == {
        "diffusion.loss": "l2",
        "sources": ["adld"],
        "data/raw/paper/adld": "22222222",
        "stages/sample.py": "33",
    }
    assert found.data == {"data/raw/smoke/adld": "11", "data/raw/paper/adld": "2222222222.dir"}


def test_what_has_not_finished_does_not_count():
    numbers: dict[str, object] = {"ssim": 0.5}
    rows = [listed("running", numbers), listed("failed", numbers), listed("queued", numbers), listed("success", {})]
    assert finished([{"experiments": rows}]) == []
    assert len(finished([{"experiments": [listed("success", numbers)]}])) == 1


def test_a_table_stands_straight():
    assert markdown([["", "a|b"], ["ssim", "1"]]) == ["|      | a\\|b |", "| ---- | ---- |", "| ssim | 1    |"]


def test_a_csv_file_leaves_the_deviation_of_one_seed_empty(tmp_path: Path):
    runs = [
        run("a", 1, {"ssim": 2.0}, loss="l1"),
        run("b", 2, {"ssim": 4.0}, loss="l1"),
        run("c", 1, {"ssim": 5.0}, loss="l2"),
    ]
    write_spreads(group_by_settings(runs), tmp_path / "seeds.csv")
    with (tmp_path / "seeds.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["group", "metric", "seeds", "mean", "sd"]
    assert rows[1][:4] == ["loss=l1", "ssim", "2", "3.0"]
    assert float(rows[1][4]) == pytest.approx(2**0.5)
    assert rows[2] == ["loss=l2", "ssim", "1", "5.0", ""]


DVC_YAML = f"""stages:
  draw:
    cmd: {sys.executable} draw.py
    params: [{{raw_seed}}]
    deps: [draw.py]
    outs: [data/raw/smoke]
  measure:
    cmd: {sys.executable} measure.py
    params: [seed, loss]
    deps: [measure.py, data/raw/smoke]
    metrics: [metrics/summary.json: {{{{cache: false}}}}]
"""
PROGRAMS = {
    "draw.py": """
import pathlib, yaml
folder = pathlib.Path("data/raw/smoke")
folder.mkdir(parents=True)
folder.joinpath("seed").write_text(str(yaml.safe_load(open("params.yaml"))[KEY]))
""",
    "measure.py": """
import json, pathlib, yaml
params = yaml.safe_load(open("params.yaml"))
pathlib.Path("metrics").mkdir(exist_ok=True)
number = params["seed"] + {"l1": 0, "l2": 100}[params["loss"]]
pathlib.Path("metrics/summary.json").write_text(json.dumps({"profile": "smoke", "ssim": number, "copies": 0.5}))
""",
}


class Repository:
    """A small repository of dvc and git, whose pipeline draws raw data from one parameter and measures them."""

    def __init__(self, root: Path, *, raw_seed: str) -> None:
        self.root = root
        files = {name: text.replace("KEY", repr(raw_seed)) for name, text in PROGRAMS.items()}
        files |= {"params.yaml": "seed: 1\nloss: l1\n", "dvc.yaml": DVC_YAML.format(raw_seed=raw_seed)}
        for name, text in files.items():
            (root / name).write_text(text, encoding="utf-8")
        author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        self._run("git", "init", "-q")
        self._run(sys.executable, "-m", "dvc", "init", "-q")
        (root / ".gitignore").write_text("/data/raw/smoke\n", encoding="utf-8")
        self._run("git", "add", "-A")
        self._run("git", *author, "commit", "-qm", "as it stands")

    def experiment(self, name: str, **params: object) -> None:
        changes = [argument for key, value in params.items() for argument in ("-S", f"{key}={value}")]
        self._run(sys.executable, "-m", "dvc", "exp", "run", "-q", "-n", name, *changes)

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, cwd=self.root, env=os.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def own_dvc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site-cache"))
    root = tmp_path / "repository"
    root.mkdir()
    return root


def test_real_experiments_are_compared_over_their_seeds(own_dvc: Path):
    repository = Repository(own_dvc, raw_seed="seed")
    with pytest.raises(ExperimentsError, match="dvc exp run -S seed=1"):
        compare_seeds(own_dvc)
    repository.experiment("one", seed=1)
    repository.experiment("two", seed=2)
    repository.experiment("other-loss", seed=1, loss="l2")
    lines = compare_seeds(own_dvc)
    assert lines[0] == "3 experiments in 2 groups that differ in loss"
    assert lines[3:8] == [
        "|        | loss=l1     | loss=l2 | second - first, seed by seed |",
        "| ------ | ----------- | ------- | ---------------------------- |",
        "| seeds  | 1, 2        | 1       | 1                            |",
        "| ssim   | 1.50 ± 0.71 | 101     | 100                          |",
        "| copies | 0.5 ± 0     | 0.5     | 0                            |",
    ]
    assert any("no data in common" in line for line in lines[8:])


def test_seeds_that_share_the_raw_data_are_said_to(own_dvc: Path):
    repository = Repository(own_dvc, raw_seed="loss")
    repository.experiment("one", seed=1)
    assert any("One seed says nothing of chance" in line for line in compare_seeds(own_dvc))
    repository.experiment("two", seed=2)
    assert any("data and split in common" in line for line in compare_seeds(own_dvc))


def test_outside_a_repository_the_message_is_dvc_s_own(own_dvc: Path):
    with pytest.raises(ExperimentsError, match="not inside of a DVC repository"):
        compare_seeds(own_dvc)
