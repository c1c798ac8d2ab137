"""The drawing of the pipeline: true to dvc.yaml, and legible."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st
from small import ROOT

from panodiff.pipeline import StageDefinition, load_pipeline
from panodiff.report.graph import NODE_HEIGHT, NODE_WIDTH, draw_graph, read_graph


def stage(name: str, deps: tuple[str, ...], outs: tuple[str, ...]) -> StageDefinition:
    return StageDefinition(name=name, cmd="", deps=deps, outs=outs, params=())


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, frozenset[str]]:
    """Acyclic graphs: a stage reads some of those before it."""
    names = [f"s{number}" for number in range(draw(st.integers(1, 9)))]
    return {
        name: draw(st.frozensets(st.sampled_from(names[:index]), max_size=3)) if index else frozenset()
        for index, name in enumerate(names)
    }


def test_this_project_s_graph_is_as_designed():
    graph = read_graph(load_pipeline(ROOT))
    assert list(graph) == list(dict.fromkeys(name.partition("@")[0] for name in load_pipeline(ROOT)))
    assert graph["ingest"] == {"phantoms"}
    assert graph["upscale"] == {"sample", "train_superres"}
    assert "train_superres" not in graph["sample"]


def test_items_of_a_matrix_are_one_node_and_folders_join_what_lies_in_them():
    pipeline = {
        "a@x": stage("a@x", (), ("data/x",)),
        "a@y": stage("a@y", (), ("data/y",)),
        "b": stage("b", ("data",), ("out/folder",)),
        "c": stage("c", ("out/folder/file.csv", "database"), ()),
    }
    assert read_graph(pipeline) == {"a": frozenset(), "b": {"a"}, "c": {"b"}}


def test_an_edge_that_another_way_implies_is_left_out():
    pipeline = {
        "a": stage("a", (), ("x",)),
        "b": stage("b", ("x",), ("y",)),
        "c": stage("c", ("x", "y"), ()),
    }
    assert read_graph(pipeline)["c"] == {"b"}


@given(graphs())
def test_boxes_never_overlap_and_lie_inside(graph: dict[str, frozenset[str]]):
    drawing = draw_graph(graph)
    assert {box.name for box in drawing.boxes} == set(graph)
    for box in drawing.boxes:
        assert 0 <= box.x <= drawing.width - NODE_WIDTH
        assert 0 <= box.y <= drawing.height - NODE_HEIGHT
    for one, other in combinations(drawing.boxes, 2):
        assert abs(one.x - other.x) >= NODE_WIDTH or abs(one.y - other.y) >= NODE_HEIGHT


@given(graphs())
def test_every_edge_is_drawn_and_points_down(graph: dict[str, frozenset[str]]):
    drawing = draw_graph(graph)
    top = {box.name: box.y for box in drawing.boxes}
    assert set(drawing.edges) == {(maker, reader) for reader, makers in graph.items() for maker in makers}
    assert len(drawing.paths) == len(drawing.edges)
    assert all(top[maker] < top[reader] for maker, reader in drawing.edges)
