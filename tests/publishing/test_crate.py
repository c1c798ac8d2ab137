"""The RO-Crate of a deposit: whole, in the words of its profiles, and made of the records alone."""

import json
import shutil
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from rocrate.rocrate import ROCrate

from panodiff.audit.run import Run, load_records, record_path
from panodiff.files import hash_file, list_files, write_json
from panodiff.publishing.crate import METADATA, WORKFLOW, write_crate

Graph = dict[str, dict[str, Any]]

# What RO-Crate 1.1, Workflow RO-Crate 1.0 and the Workflow Run Crate profiles 0.5 ask of entities by their type, with
# MUST; and with SHOULD where the records know it.
REQUIRED = {
    "File": {"name", "encodingFormat"},
    "Dataset": {"name", "description"},
    "ComputationalWorkflow": {"hasPart", "step", "programmingLanguage", "name"},
    "ComputerLanguage": {"name", "url"},
    "SoftwareApplication": {"name", "softwareVersion"},
    "HowToStep": {"workExample", "position"},
    "CreateAction": {"instrument", "object", "result", "name", "description", "startTime", "endTime", "actionStatus"},
    "ControlAction": {"instrument", "object", "actionStatus"},
    "OrganizeAction": {"instrument", "object", "result", "actionStatus"},
    "PropertyValue": {"name", "value"},
    "CreativeWork": set(),
    "SoftwareSourceCode": {"name"},
    "HowTo": {"step"},
    "Organization": {"name"},
}
ROOT_REQUIRED = {
    *("name", "description", "datePublished", "license", "mainEntity", "hasPart", "conformsTo", "mentions", "author"),
}
POINTS_TO = {  # property of a type: the type of what it must point to
    ("CreateAction", "instrument"): {"SoftwareApplication", "ComputationalWorkflow"},
    ("ControlAction", "instrument"): {"HowToStep"},
    ("ControlAction", "object"): {"CreateAction"},
    ("OrganizeAction", "instrument"): {"SoftwareApplication"},
    ("OrganizeAction", "object"): {"ControlAction"},
    ("OrganizeAction", "result"): {"CreateAction"},
    ("HowToStep", "workExample"): {"SoftwareApplication"},
    ("ComputationalWorkflow", "hasPart"): {"SoftwareApplication"},
    ("ComputationalWorkflow", "step"): {"HowToStep"},
    ("ComputationalWorkflow", "programmingLanguage"): {"ComputerLanguage"},
}


@pytest.fixture
def graph(run: Run, folder: Path) -> Graph:
    write_crate(run, folder)
    return read(folder)


def read(folder: Path) -> Graph:
    entities = json.loads((folder / METADATA).read_text(encoding="utf-8"))["@graph"]
    graph = {entity["@id"]: entity for entity in entities}
    assert len(graph) == len(entities)
    return graph


def change_record(run: Run, stage: str, **changes: Any) -> Run:
    path = run.root / record_path(stage)
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | changes)
    return load_records(list(run.records), run.root)


def types(entity: dict[str, Any]) -> list[str]:
    return entity["@type"] if isinstance(entity["@type"], list) else [entity["@type"]]


def of_type(graph: Graph, name: str) -> list[dict[str, Any]]:
    return [entity for entity in graph.values() if name in types(entity)]


def references(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item["@id"] for item in values if isinstance(item, dict)]


def test_every_reference_leads_to_an_entity_or_to_the_web(graph: Graph):
    leading = [(name, key, to) for name, entity in graph.items() for key in entity for to in references(entity[key])]
    assert len(leading) > 500
    assert [link for link in leading if link[2] not in graph and not link[2].startswith(("http://", "https://"))] == []


def test_only_specifications_and_statuses_are_left_to_the_web(graph: Graph):
    links = {to for entity in graph.values() for key in entity for to in references(entity[key])}
    assert links - graph.keys() == {"https://w3id.org/ro/crate/1.1", "http://schema.org/CompletedActionStatus"}


def test_each_entity_has_what_the_profiles_ask_of_its_type(graph: Graph):
    seen = {name for entity in graph.values() for name in types(entity)}
    assert seen == REQUIRED.keys()
    for entity in graph.values():
        for name in types(entity):
            assert REQUIRED[name] - entity.keys() == set()
    assert ROOT_REQUIRED - graph["./"].keys() == set()


def test_properties_point_to_what_the_profiles_say(graph: Graph):
    for (name, key), allowed in POINTS_TO.items():
        for entity in of_type(graph, name):
            targets = references(entity[key])
            assert targets
            assert all(allowed & set(types(graph[target])) for target in targets), (entity["@id"], key)


def test_descriptor_and_root_conform_to_versioned_profiles(graph: Graph):
    descriptor = graph[METADATA]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["about"] == {"@id": "./"}
    workflow_crate = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
    assert references(descriptor["conformsTo"]) == ["https://w3id.org/ro/crate/1.1", workflow_crate]
    profiles = [f"https://w3id.org/ro/wfrun/{name}/0.5" for name in ("process", "workflow", "provenance")]
    assert references(graph["./"]["conformsTo"]) == [*profiles, workflow_crate]
    for profile in (*profiles, workflow_crate):
        assert graph[profile]["@type"] == "CreativeWork"
        assert graph[profile]["version"] == profile.rpartition("/")[2]
        assert graph[profile]["name"]
    date.fromisoformat(graph["./"]["datePublished"])
    licence = graph[graph["./"]["license"]["@id"]]
    assert licence["name"] and "README.md" in licence["description"]


def test_context_is_that_of_ro_crate(graph: Graph, folder: Path):
    assert json.loads((folder / METADATA).read_text())["@context"] == "https://w3id.org/ro/crate/1.1/context"


def test_main_entity_is_the_pipeline(graph: Graph, run: Run):
    workflow = graph[graph["./"]["mainEntity"]["@id"]]
    assert workflow["@id"] == WORKFLOW
    assert set(types(workflow)) == {"File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"}
    assert [graph[step]["name"] for step in references(workflow["step"])] == list(run.pipeline)
    assert len(references(workflow["hasPart"])) == len({name.partition("@")[0] for name in run.pipeline})
    assert [action["@id"] for action in actions(graph) if action["instrument"]["@id"] == WORKFLOW] == ["#run"]


def actions(graph: Graph) -> list[dict[str, Any]]:
    return of_type(graph, "CreateAction")


def test_steps_stand_after_those_whose_outputs_they_read(graph: Graph, run: Run):
    position = {entity["name"]: entity["position"] for entity in of_type(graph, "HowToStep")}
    links = list(_links(run))
    assert len(links) > 30
    assert [(maker, reader) for maker, reader in links if position[maker] >= position[reader]] == []


def _links(run: Run) -> Iterator[tuple[str, str]]:
    for maker in run.pipeline.values():
        for reader in run.pipeline.values():
            pairs = [(Path(out), Path(dep)) for out in maker.outs for dep in reader.deps]
            if any(dep.is_relative_to(out) or out.is_relative_to(dep) for out, dep in pairs):
                yield maker.name, reader.name


def test_each_stage_that_ran_has_an_action_that_dvc_started(graph: Graph, run: Run):
    names = {f"Run of {stage}" for stage in run.records}
    assert {action["name"] for action in actions(graph)} - names == {graph["#run"]["name"]}
    (organized,) = of_type(graph, "OrganizeAction")
    controlled = [references(graph[control]["object"])[0] for control in references(organized["object"])]
    assert sorted(graph[name]["name"] for name in controlled) == sorted(names)
    assert organized["result"] == {"@id": "#run"}
    assert graph["#dvc"]["softwareVersion"][0].isdigit()
    assert set(references(graph["./"]["mentions"])) == {action["@id"] for action in actions(graph)} | {"#organize"}


def test_times_are_those_of_the_records(graph: Graph, run: Run):
    for stage, record in run.records.items():
        action = graph[f"#run/{stage}"]
        assert (action["startTime"], action["endTime"]) == (record["started"], record["finished"])
        assert datetime.fromisoformat(action["endTime"]).tzinfo is not None
    assert graph["#run"]["startTime"] == run.records["phantoms"]["started"]
    assert graph["#run"]["endTime"] == run.records["report"]["finished"]


def test_an_action_names_what_it_read_and_made(graph: Graph, run: Run):
    for stage, record in run.records.items():
        action = graph[f"#run/{stage}"]
        for key, known in (("object", record["inputs"]), ("result", record["outputs"])):
            entities = [graph[name] for name in references(action[key])]
            found = {entity["sha256"] for entity in entities if "sha256" in entity}
            assert {entry["sha256"] for entry in known.values()} <= found, (stage, key)


def test_an_action_names_parameters_environment_and_commit(graph: Graph):
    entities = [graph[name] for name in references(graph["#run/sample"]["object"])]
    values = {entity["name"]: entity["value"] for entity in entities if entity["@type"] == "PropertyValue"}
    assert values["seed"] == "1"
    assert values["sample.sampler"] == "dpm_solver++"
    assert values["sample.num_inference_steps"] == "20"  # of the profile, not of the base
    assert values["environment.git.commit"] == "f18cba9611d1f99ccb8ea56a6f29550cf99c84b6"
    assert values["environment.python"] == "3.11.7"


def test_what_lies_in_the_folder_is_named_by_its_path(graph: Graph):
    assert {"@id": "metrics/data.json"} in graph["#run/split"]["result"]
    assert {"@id": "metrics/evaluation/"} in graph["#run/evaluate"]["result"]
    assert {"@id": "images/high/"} in graph["#run/upscale"]["result"]
    assert {"@id": "images/low/"} in graph["#run/sample"]["result"]
    assert {"@id": "metrics/evaluation.json"} in graph["#run"]["result"]
    assert {"@id": "pipeline/params.yaml"} in graph["#run"]["object"]


def test_what_is_not_in_the_folder_is_told_by_its_hash(graph: Graph, run: Run):
    (models,) = [entity for entity in graph.values() if entity.get("name") == "data/models/diffusion"]
    assert models["@id"].startswith("#")
    assert models["@type"] == "CreativeWork"
    assert models["sha256"] == run.records["train_diffusion"]["outputs"]["data/models/diffusion"]["sha256"]
    assert "Files: 1, bytes: 7." in models["description"]
    (raw,) = [entity for entity in graph.values() if entity.get("name") == "data/raw/smoke/adld"]
    assert "drawn phantoms of no patients" in raw["description"]


def test_a_file_that_is_not_the_one_of_the_record_is_not_passed_off_as_it(run: Run, folder: Path):
    (folder / "metrics/data.json").write_text("{}", encoding="utf-8")
    write_crate(run, folder)
    graph = read(folder)
    assert {"@id": "metrics/data.json"} not in graph["#run/split"]["result"]
    assert {"@id": "metrics/data.json"} in graph["./"]["hasPart"]


def test_each_file_is_a_part_with_its_hash_and_size(graph: Graph, folder: Path):
    parts = references(graph["./"]["hasPart"])
    assert len(parts) == len(set(parts))
    files = {name: graph[name] for name in parts if "File" in types(graph[name])}
    there = {path.relative_to(folder).as_posix(): path for path in list_files(folder)}
    assert files.keys() == {name for name in there if name != METADATA and not name.startswith("images/")}
    for name, entity in files.items():
        if name in ("README.md", "CLAIM.md"):  # the depositor fills them in
            assert "sha256" not in entity and "contentSize" not in entity
        else:
            assert entity["sha256"] == hash_file(there[name])
            assert entity["contentSize"] == str(there[name].stat().st_size)
        assert entity["encodingFormat"] != "application/octet-stream"
    assert {entity["@id"] for entity in of_type(graph, "Dataset")} - {"./"} <= set(parts)


def test_pictures_are_two_folders_however_many_they_are(graph: Graph):
    assert {name for name in graph if name.startswith("images/")} == {"images/high/", "images/low/"}
    assert "Files: 2," in graph["images/high/"]["description"]


def test_records_and_readme_say_what_they_are_about(graph: Graph):
    assert graph["metrics/provenance/harmonize@adld.json"]["about"] == {"@id": "#run/harmonize@adld"}
    assert graph["README.md"]["about"] == {"@id": "./"}
    assert graph["README.md"]["encodingFormat"] == "text/markdown"


def test_authors_are_those_of_the_citation_file(run: Run, folder: Path):
    text = """authors:
  - {given-names: Ada, family-names: Lovelace, orcid: "https://orcid.org/0000-0000-0000-0001"}
  - name: An Institute
"""
    (folder / "CITATION.cff").write_text(text, encoding="utf-8")
    write_crate(run, folder)
    graph = read(folder)
    authors = [graph[name] for name in references(graph["./"]["author"])]
    assert [(entity["@type"], entity["name"]) for entity in authors] == [
        ("Person", "Ada Lovelace"),
        ("Organization", "An Institute"),
    ]
    assert authors[0]["@id"] == "https://orcid.org/0000-0000-0000-0001"


def test_the_same_run_gives_the_same_bytes(run: Run, folder: Path, tmp_path: Path):
    write_crate(run, folder)
    first = (folder / METADATA).read_bytes()
    write_crate(run, folder)
    assert (folder / METADATA).read_bytes() == first
    shutil.copytree(folder, tmp_path / "elsewhere")
    write_crate(run, tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / METADATA).read_bytes() == first


@pytest.mark.parametrize(
    "change", [{"fingerprint": "0" * 64}, {"started": "2026-01-31T09:00:00+00:00"}, {"outputs": {}}]
)
def test_another_record_gives_another_crate(run: Run, folder: Path, change: dict[str, Any]):
    write_crate(run, folder)
    first = read(folder)
    write_crate(change_record(run, "sample", **change), folder)
    changed = {name for name, entity in read(folder).items() if first.get(name) != entity}
    assert "#run/sample" in changed


def test_two_versions_of_one_input_are_two_entities(run: Run, folder: Path):
    other = {"sha256": "ab" * 32, "num_files": 2, "num_bytes": 9}
    run = change_record(run, "study", inputs={"data/manifest": other})
    write_crate(run, folder)
    versions = [entity for entity in read(folder).values() if entity.get("name") == "data/manifest"]
    assert len({entity["sha256"] for entity in versions}) == 2


def test_two_values_of_one_parameter_are_two_entities(run: Run, folder: Path):
    write_crate(change_record(run, "study", resolved_params={"seed": 2}), folder)
    seeds = [entity for entity in read(folder).values() if entity.get("name") == "seed"]
    assert sorted(entity["value"] for entity in seeds) == ["1", "2"]


def test_the_day_is_that_of_the_newest_record(run: Run, folder: Path):
    write_crate(change_record(run, "study", finished="2026-02-01T00:00:01+00:00"), folder)
    assert read(folder)["./"]["datePublished"] == "2026-02-01"


def test_the_whole_run_began_with_what_no_stage_made(run: Run, folder: Path):
    write_crate(run, folder)
    assert read(folder)["#run"]["object"] == [{"@id": "pipeline/params.yaml"}]
    del run.pipeline["phantoms"]  # as with radiographs that were put there
    del run.records["phantoms"]
    write_crate(run, folder)
    graph = read(folder)
    given = {graph[name]["name"] for name in references(graph["#run"]["object"])[1:]}
    assert given == {"data/raw/smoke", *(f"data/raw/smoke/{source}" for source in run.params.sources)}


def test_a_run_without_records_is_refused(run: Run, folder: Path):
    run.records.clear()
    with pytest.raises(ValueError, match=r"no records of the run: `dvc checkout`"):
        write_crate(run, folder)


def test_the_ro_crate_library_reads_it(graph: Graph, folder: Path):
    crate = ROCrate(folder)
    assert crate.mainEntity.id == WORKFLOW
    assert crate.mainEntity["programmingLanguage"]["name"] == "DVC pipeline"
    assert crate.dereference("#run/upscale")["instrument"].id == "#stages/upscale.py"
    assert {entity.id for entity in crate.data_entities} == set(references(graph["./"]["hasPart"]))
