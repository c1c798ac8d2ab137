"""ro-crate-metadata.json: which file came of what, by which code, with which parameters, and when.

RO-Crate 1.1 with the profiles of Workflow Run RO-Crate 0.5 (https://w3id.org/ro/wfrun/provenance/0.5). All of it, times
too, is what the run's records say: the same run gives the same bytes.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from panodiff.audit.run import Record, Run, is_code, record_path
from panodiff.files import fingerprint, list_files, write_json
from panodiff.pipeline import leaves
from panodiff.publishing.facts import (
    LICENCE,
    LICENCE_NAME,
    Author,
    authors,
    dataset_name,
    newest_day,
    newest_record,
    read_citation,
)
from panodiff.publishing.materials import PICTURES, Crate, Entity, copied_from, file_entity, folder_entity, material
from panodiff.report.tables import stage_descriptions

METADATA = "ro-crate-metadata.json"
WORKFLOW = "pipeline/dvc.yaml"
CRATE, WORKFLOW_CRATE = "https://w3id.org/ro/crate/1.1", "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
COMPLETED = {"@id": "http://schema.org/CompletedActionStatus"}
_LEFT_OUT = (METADATA, "SHA256SUMS")  # this file, and the one that holds its hash


def write_crate(run: Run, folder: Path) -> None:
    """Write ro-crate-metadata.json into `folder`, where all else that it shall speak of lies already.

    Raises:
        ValueError: The run has no records, or the terms of a source are not written down.
    """
    names = [path.relative_to(folder).as_posix() for path in list_files(folder)]
    described = [name for name in names if name not in _LEFT_OUT and not name.startswith(tuple(PICTURES))]
    crate = Crate(run=run, folder=folder, files={name: fingerprint(folder / name) for name in described})
    _add_root(crate)
    _add_workflow(crate)
    actions = [_add_action(crate, record) for record in run.records.values()]
    whole = _add_whole_run(crate, actions)
    root = crate.entities["./"]
    root["mentions"] = [whole, *actions, _add_orchestration(crate, whole)]
    root["hasPart"] = _add_parts(crate)
    write_json(folder / METADATA, {"@context": f"{CRATE}/context", "@graph": list(crate.entities.values())})


def _add_root(crate: Crate) -> None:
    crate.add(
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": [{"@id": CRATE}, {"@id": WORKFLOW_CRATE}],
        }
    )
    crate.add(
        {
            "@id": "./",
            "@type": "Dataset",
            "name": dataset_name(crate.run),
            "description": "Pictures that a diffusion model and a super-resolution model drew, the measurements taken "
            "of them, and the record of how they were made. images/ holds no radiograph of a patient.",
            "datePublished": newest_day(crate.run),
            "conformsTo": [{"@id": profile} for profile in PROFILES],
            "license": {"@id": "#licence"},
            "author": [crate.add(_author(author)) for author in authors(read_citation(crate.folder))],
            "mainEntity": {"@id": WORKFLOW},
        }
    )
    for profile, (name, version) in PROFILES.items():
        crate.add({"@id": profile, "@type": "CreativeWork", "name": name, "version": version})
    crate.add({"@id": "#licence", "@type": "CreativeWork", "name": LICENCE_NAME, "description": LICENCE})


def _author(author: Author) -> Entity:
    name = author.url or f"#author/{quote(author.name)}"
    return {"@id": name, "@type": "Person" if author.is_person else "Organization", "name": author.name}


def _add_workflow(crate: Crate) -> None:
    """dvc.yaml, its language, its tools and its steps."""
    descriptions = stage_descriptions(crate.run.root / "dvc.yaml")
    version = newest_record(crate.run)["environment"]["panodiff"]
    where = read_citation(crate.folder).get("repository-code")
    tools, steps = {}, []
    for position, name in enumerate(crate.run.pipeline, start=1):
        base = name.partition("@")[0]
        tool = {"@id": _tool(name), "@type": "SoftwareApplication", "name": f"panodiff, stage {base}"}
        tool |= {"description": descriptions[base], "softwareVersion": version} | ({"url": where} if where else {})
        tools[base] = crate.add(tool)
        step = {"@id": _step(name), "@type": "HowToStep", "name": name, "position": position}
        steps.append(crate.add(step | {"workExample": tools[base]}))
    crate.add(
        {"@id": "https://dvc.org/", "@type": "ComputerLanguage", "name": "DVC pipeline", "url": "https://dvc.org/"}
    )
    kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
    about = {"name": "The pipeline", "programmingLanguage": {"@id": "https://dvc.org/"}}
    crate.add(
        file_entity(crate, WORKFLOW) | {"@type": kinds} | about | {"hasPart": list(tools.values()), "step": steps}
    )


def _tool(stage: str) -> str:
    return f"#stages/{stage.partition('@')[0]}.py"


def _step(stage: str) -> str:
    return f"{WORKFLOW}#{quote(stage, safe='@')}"


def _action(stage: str) -> str:
    return f"#run/{quote(stage, safe='@')}"


def _add_action(crate: Crate, record: Record) -> Entity:
    """What one stage read, with which parameters and where, and what it made."""
    read = [material(crate, path, known) for path, known in record["inputs"].items()]
    made = [material(crate, path, known) for path, known in record["outputs"].items()]
    pictures = [reference for path in record["outputs"] for reference in copied_from(crate, path)]
    return crate.add(
        {
            "@id": _action(record["stage"]),
            "@type": "CreateAction",
            "name": f"Run of {record['stage']}",
            "description": f"{record['cmd']} (processes: {record['world_size']}, resumes: {record['resumes']})",
            "identifier": record["fingerprint"],
            "instrument": {"@id": _tool(record["stage"])},
            "object": read + _add_values(crate, record),
            "result": made + pictures,
            "startTime": record["started"],
            "endTime": record["finished"],
            "actionStatus": COMPLETED,
        }
    )


def _add_values(crate: Crate, record: Record) -> list[Entity]:
    """Parameters, machine, packages and commit; one entity for all stages that had the same value."""
    values = _texts({**record["resolved_params"], "environment": record["environment"]})
    return [
        crate.add(
            {
                "@id": f"#value/{quote(name, safe='')}={quote(value, safe='')}",
                "@type": "PropertyValue",
                "name": name,
                "value": value,
            }
        )
        for name, value in values
    ]


def _texts(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in leaves(values).items():
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _add_whole_run(crate: Crate, actions: Iterable[Entity]) -> Entity:
    """The run of the workflow: from what no stage made to what lies in the folder."""
    parts = [crate.entities[action["@id"]] for action in actions]
    made = {entity["@id"]: entity for part in parts for entity in part["result"]}
    given = [material(crate, path, known) for path, known in _given(crate.run).items()]
    return crate.add(
        {
            "@id": "#run",
            "@type": "CreateAction",
            "name": f"Run of the pipeline, profile {crate.run.params.profile}",
            "description": "dvc repro",
            "instrument": {"@id": WORKFLOW},
            "object": [{"@id": "pipeline/params.yaml"}, *given],
            "result": [entity for name, entity in made.items() if not name.startswith("#")],
            "startTime": min(part["startTime"] for part in parts),
            "endTime": max(part["endTime"] for part in parts),
            "actionStatus": COMPLETED,
        }
    )


def _given(run: Run) -> dict[str, Mapping[str, Any]]:
    """The data that stages read and none made, neither whole nor in part."""
    made = [Path(out) for stage in run.pipeline.values() for out in stage.outs]
    read = {path: known for record in run.records.values() for path, known in record["inputs"].items()}
    return {
        path: known
        for path, known in read.items()
        if not is_code(path) and not any(Path(path).is_relative_to(out) or out.is_relative_to(path) for out in made)
    }


def _add_orchestration(crate: Crate, whole: Entity) -> Entity:
    """What DVC did: it ran each step."""
    lock = crate.folder / "pipeline/requirements.lock"
    pinned = re.search(r"^dvc==([\w.]+)", lock.read_text(encoding="utf-8"), re.MULTILINE) if lock.is_file() else None
    engine = {"@id": "#dvc", "@type": "SoftwareApplication", "name": "DVC", "url": "https://dvc.org/"}
    if pinned:
        engine |= {"softwareVersion": pinned[1], "description": "The version is that of pipeline/requirements.lock."}
    controls = [
        crate.add(
            {
                "@id": f"#control/{quote(stage, safe='@')}",
                "@type": "ControlAction",
                "name": f"DVC runs {stage}",
                "instrument": {"@id": _step(stage)},
                "object": {"@id": _action(stage)},
                "actionStatus": COMPLETED,
            }
        )
        for stage in crate.run.records
    ]
    organized = {"@id": "#organize", "@type": "OrganizeAction", "name": "Run of DVC", "instrument": crate.add(engine)}
    return crate.add(organized | {"object": controls, "result": whole, "actionStatus": COMPLETED})


def _add_parts(crate: Crate) -> list[Entity]:
    """Every file of the folder, and its folders of pictures."""
    about = {record_path(stage): _action(stage) for stage in crate.run.records}
    about |= {"README.md": "./", "pipeline/dvc.lock": "#run"}
    for name in crate.files:
        crate.add(file_entity(crate, name) | ({"about": {"@id": about[name]}} if name in about else {}))
    for name in PICTURES:
        if (crate.folder / name).is_dir():
            crate.add(folder_entity(crate, name))
    return [{"@id": name} for name, known in crate.entities.items() if name != "./" and _lies_here(known)]


def _lies_here(entity: Entity) -> bool:
    return entity["@type"] in ("File", "Dataset") or "File" in entity["@type"]
