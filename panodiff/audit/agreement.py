"""Whether disk, dvc.lock, dvc.yaml, params.yaml and the records tell the same story."""

from collections.abc import Iterator

from panodiff.audit.findings import Finding
from panodiff.audit.run import Run, record_path
from panodiff.params_file import read_tracked
from panodiff.pipeline import StageDefinition
from panodiff.stage import combine


def check_outputs(run: Run) -> Finding:
    """Every output of every stage is there, and hashes to what dvc.lock and the stage's record say."""
    paths = [(stage, out) for stage in run.pipeline.values() for out in stage.outs]
    found = [problem for stage, out in paths for problem in _about_output(run, stage, out)]
    contents = [run.contents.at(out) for stage, out in paths]
    files, size = sum(c.num_files for c in contents if c), sum(c.num_bytes for c in contents if c)
    return Finding(
        title="Every output is there, as dvc.lock and the records have it",
        examined=f"{files:,} files, {size / 1e6:,.1f} MB, hashed anew",
        problems=tuple(found),
    )


def _about_output(run: Run, stage: StageDefinition, out: str) -> Iterator[str]:
    locked, content = run.lock.get(stage.name), run.contents.at(out)
    if locked is None:
        if out == stage.outs[0]:
            yield f"{stage.name} has not run: `dvc repro` makes its outputs"
        return
    if content is None:
        yield f"{out}, of {stage.name}, is missing: `dvc checkout` restores it from the cache"
        return
    md5 = locked.outs.get(out)
    if md5 != content.md5:
        files = run.contents.differing(out, md5) if md5 else []
        yield from files or [f"{out}, of {stage.name}, is not what dvc.lock has ({_short(md5, content.md5)})"]
    if out == record_path(stage.name):
        if stage.name not in run.records:
            yield f"{out} is not a provenance record: `dvc checkout` restores it from the cache"
        return
    recorded = run.records.get(stage.name, {}).get("outputs", {}).get(out, {}).get("sha256")
    if recorded != content.sha256 and stage.name in run.records:
        yield f"{out} is not what {record_path(stage.name)} has ({_short(recorded, content.sha256)})"


def check_inputs(run: Run) -> Finding:
    """Every dependency is still what its stage read."""
    paths = [(stage, dep) for stage in run.stages for dep in stage.deps]
    found = [problem for stage, dep in paths for problem in _about_input(run, stage, dep)]
    return Finding(
        title="Every input still is what its stage read",
        examined=f"{len(paths)} inputs of {len(run.stages)} stages",
        problems=tuple(dict.fromkeys(found)),
    )


def _about_input(run: Run, stage: StageDefinition, dep: str) -> Iterator[str]:
    content = run.contents.at(dep)
    if content is None:
        yield f"{dep}, which {stage.name} read, is missing"
        return
    md5 = run.lock[stage.name].deps.get(dep)
    if md5 != content.md5:
        files = run.contents.differing(dep, md5) if md5 else []
        yield from files or [f"{dep} is not what {stage.name} read by dvc.lock ({_short(md5, content.md5)})"]
    if stage.name in run.records:
        recorded = run.records[stage.name]["inputs"].get(dep, {}).get("sha256")
        if recorded != content.sha256:
            yield f"{dep} is not what {stage.name} read by its record ({_short(recorded, content.sha256)})"


def _short(known: str | None, found: str) -> str:
    """Two hashes side by side, as far as they tell them apart."""
    return f"{known[:12]}… there, {found[:12]}… found" if known else f"none there, {found[:12]}… found"


def check_definitions(run: Run) -> Finding:
    """Commands, dependencies, outputs and parameters are the same in dvc.yaml, params.yaml, lock and records."""
    found = [problem for stage in run.stages for problem in _about_definition(run, stage)]
    unknown = [f"dvc.lock has a stage {name} that dvc.yaml has not" for name in _strangers(run)]
    return Finding(
        title="dvc.yaml, params.yaml, dvc.lock and the records agree",
        examined=f"{len(run.stages)} stages",
        problems=(*found, *unknown),
    )


def _strangers(run: Run) -> list[str]:
    """Stages of the lock that dvc.yaml does not have; sources of another profile stay in it rightly."""
    known = {name.partition("@")[0] for name in run.pipeline}
    return [name for name in run.lock if name.partition("@")[0] not in known]


def _about_definition(run: Run, stage: StageDefinition) -> Iterator[str]:
    locked, record = run.lock[stage.name], run.records.get(stage.name)
    tracked = read_tracked(stage.params, run.root / "params.yaml")
    if locked.cmd != stage.cmd:
        yield f"{stage.name}: dvc.lock has the command `{locked.cmd}`, dvc.yaml `{stage.cmd}`"
    for kind, theirs, ours in (("reads", locked.deps, stage.deps), ("makes", locked.outs, stage.outs)):
        if odd := sorted(set(theirs) ^ set(ours)):
            yield f"{stage.name}: dvc.lock and dvc.yaml do not agree on what it {kind}: {', '.join(odd)}"
    for key in [key for key, value in tracked.items() if locked.params.get(key) != value]:
        yield f"{stage.name}: params.yaml has another {key} than dvc.lock: put it back, or run `dvc repro`"
    if record is None:
        return
    for key in [key for key in stage.params if record["params"].get(key) != locked.params.get(key)]:
        yield f"{stage.name}: its record has another {key} than dvc.lock"
    if (record["stage"], record["cmd"]) != (stage.name, locked.cmd):
        yield f"{record_path(stage.name)} is the record of {record['stage']}, run by `{record['cmd']}`"
    sha256 = {path: known["sha256"] for path, known in record["inputs"].items()}
    if combine(stage.name, record["params"], sha256) != record["fingerprint"]:
        yield f"{record_path(stage.name)}: the fingerprint does not follow from its parameters and inputs"


def check_chain(run: Run) -> Finding:
    """What a stage read is what another one made: the hashes of the records hold together, end to end.

    Links whose two ends are one and the same path are compared here. Where a stage reads a part of an output, or a
    folder of several, both sides are compared with what lies on disk (`check_outputs`, `check_inputs`).
    """
    makers = {out: stage.name for stage in run.pipeline.values() for out in stage.outs}
    links = [
        (name, path, makers[path])
        for name, record in run.records.items()
        for path in record["inputs"]
        if makers.get(path) in run.records and path in run.records[makers[path]]["outputs"]
    ]
    problems = [
        f"{name} read another {path} than {maker} made, by their records"
        for name, path, maker in links
        if run.records[name]["inputs"][path]["sha256"] != run.records[maker]["outputs"][path]["sha256"]
    ]
    return Finding(
        title="Hashes chain from producer to consumer",
        examined=f"{len(links)} links between {len(run.records)} records",
        problems=tuple(problems),
    )
