"""The pipeline as a picture: stages in layers from top to bottom, drawn from dvc.yaml's own lists.

Layout after Sugiyama et al. 1981: a stage's layer is its longest way from a start; edges across several layers bend at
unseen nodes on each; within a layer, nodes stand in the order of the mean place of their neighbours.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from panodiff.pipeline import StageDefinition

NODE_WIDTH, NODE_HEIGHT = 132, 40
_GAP_X, _GAP_Y, _BEND_WIDTH = 18, 34, 26
_SWEEPS = 8

Edge = tuple[str, str]  # from the stage that makes to the stage that reads
Graph = Mapping[str, frozenset[str]]  # stage → the stages whose outputs it reads


@dataclass(frozen=True, kw_only=True)
class Box:
    """A stage's place: upper left corner, in pixels of the picture."""

    name: str
    x: float
    y: float


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What the page draws: boxes of NODE_WIDTH × NODE_HEIGHT, and the paths of SVG between them."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    paths: tuple[str, ...]
    edges: tuple[Edge, ...]


def read_graph(pipeline: Mapping[str, StageDefinition]) -> dict[str, frozenset[str]]:
    """Which stage reads which stage's outputs; the items of a matrix stage are one node, ways round are left out."""
    reads: dict[str, set[str]] = {_stem(name): set() for name in pipeline}
    for reader in pipeline.values():
        for maker in pipeline.values():
            if _stem(reader.name) != _stem(maker.name) and _touch(reader.deps, maker.outs):
                reads[_stem(reader.name)].add(_stem(maker.name))
    return _without_ways_round(reads)


def _stem(name: str) -> str:
    return name.partition("@")[0]


def _touch(deps: Iterable[str], outs: Iterable[str]) -> bool:
    """Whether a dependency is an output, lies in one, or holds one."""
    pairs = [(PurePosixPath(dep), PurePosixPath(out)) for dep in deps for out in outs]
    return any(dep.is_relative_to(out) or out.is_relative_to(dep) for dep, out in pairs)


def _without_ways_round(reads: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    """The transitive reduction: an edge goes where another way leads to the same stage."""
    above = {name: _all_above(name, reads) for name in reads}
    return {
        name: frozenset(maker for maker in makers if not any(maker in above[other] for other in makers))
        for name, makers in reads.items()
    }


def _all_above(name: str, reads: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(reads[name])
    while waiting:
        if (maker := waiting.pop()) not in found:
            found.add(maker)
            waiting += reads[maker]
    return found


def draw_graph(graph: Graph) -> Drawing:
    """Places for all stages of an acyclic graph, and the lines between them."""
    layer = _layers(graph)
    rows: list[list[str]] = [[] for _ in range(max(layer.values()) + 1)]
    for name in graph:
        rows[layer[name]].append(name)
    chains = [_chain(maker, reader, layer) for reader in graph for maker in sorted(graph[reader])]
    for chain in chains:
        for depth, node in enumerate(chain[1:-1], start=layer[chain[0]] + 1):
            rows[depth].append(node)
    links = [link for chain in chains for link in pairwise(chain)]
    _order(rows, links)
    return _place(rows, chains, set(graph))


def _layers(graph: Graph) -> dict[str, int]:
    layer: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in layer:
            layer[name] = 1 + max((depth(maker) for maker in graph[name]), default=-1)
        return layer[name]

    for name in graph:
        depth(name)
    return layer


def _chain(maker: str, reader: str, layer: Mapping[str, int]) -> list[str]:
    """The two ends and a bend on each layer between them."""
    bends = [f"{maker}>{reader}>{depth}" for depth in range(layer[maker] + 1, layer[reader])]
    return [maker, *bends, reader]


def _order(rows: list[list[str]], links: list[tuple[str, str]]) -> None:
    """Sort each row by the mean place of its neighbours in the row before, downwards and upwards in turn."""
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        pairs = list(pairwise(rows))
        for upper, lower in pairs if downwards else reversed(pairs):
            fixed, moved = (upper, lower) if downwards else (lower, upper)
            place = {name: index / max(len(fixed) - 1, 1) for index, name in enumerate(fixed)}
            beside: dict[str, list[float]] = {name: [] for name in moved}
            for start, end in links:
                near, far = (start, end) if downwards else (end, start)
                if near in place and far in beside:
                    beside[far].append(place[near])
            moved.sort(key=lambda name: sum(beside[name]) / len(beside[name]) if beside[name] else 0.5)


def _place(rows: list[list[str]], chains: list[list[str]], stages: set[str]) -> Drawing:
    widths = [[NODE_WIDTH if name in stages else _BEND_WIDTH for name in row] for row in rows]
    total = max(sum(row) + _GAP_X * (len(row) - 1) for row in widths) + 2
    centre: dict[str, tuple[float, float]] = {}
    for depth, (row, sizes) in enumerate(zip(rows, widths, strict=True)):
        x = (total - sum(sizes) - _GAP_X * (len(row) - 1)) / 2
        for name, size in zip(row, sizes, strict=True):
            centre[name] = (x + size / 2, 1 + depth * (NODE_HEIGHT + _GAP_Y) + NODE_HEIGHT / 2)
            x += size + _GAP_X
    return Drawing(
        width=total,
        height=2 + len(rows) * NODE_HEIGHT + (len(rows) - 1) * _GAP_Y,
        boxes=tuple(
            Box(name=name, x=x - NODE_WIDTH / 2, y=y - NODE_HEIGHT / 2)
            for name, (x, y) in centre.items()
            if name in stages
        ),
        paths=tuple(_path([centre[name] for name in chain]) for chain in chains),
        edges=tuple((chain[0], chain[-1]) for chain in chains),
    )


def _path(points: list[tuple[float, float]]) -> str:
    """A smooth line from the lower side of the first box, through the bends, to the upper side of the last."""
    half = NODE_HEIGHT / 2
    x, y = points[0]
    commands = [f"M{x:.1f} {y + half:.1f}"]
    for number, (to_x, to_y) in enumerate(points[1:], start=2):
        last = number == len(points)
        middle, end = to_y - half - _GAP_Y / 2, to_y - half - (4 if last else 0)
        commands.append(f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {end:.1f}")
        if not last:
            commands.append(f"V{to_y + half:.1f}")
        x = to_x
    return "".join(commands)
