"""The stage study: cases of a reader study, real and synthetic, that nothing but the picture itself tells apart.

`served/` may be shown to readers; key.csv says which case is what and stays beside that folder, never in it.
All cases pass through one writer: same size, same encoding, no text chunks, names and order drawn at random, one
file time. The draw follows from the seed alone: who knows the seed and has the data can repeat it, so neither belongs
on the readers' machine.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from panodiff.files import write_csv, write_json
from panodiff.images import read_grey, write_grey
from panodiff.manifest import kept
from panodiff.params import Params
from panodiff.randomness import derived_seed, numpy_generator

FILE_TIME = 946_684_800  # 2000-01-01, of every case: the times of writing would tell the order of the work


@dataclass(frozen=True, kw_only=True)
class Case:
    """A radiograph drawn for the study."""

    label: str  # real | synthetic
    id: str  # of the manifest or of the synthetic set
    path: Path
    warm_up: bool = False  # shown first, to learn the task; answers to it do not count


def even_shares(available: dict[str, int], wanted: int) -> dict[str, int]:
    """How many to draw from each source: as even as possible, `wanted` in all, or all there are.

    Of sources that differ by the one image that cannot be shared out, the larger comes first, then the name.
    """
    shares = dict.fromkeys(available, 0)
    order = sorted(available, key=lambda source: (-available[source], source))
    for _ in range(min(wanted, sum(available.values()))):
        open_sources = [source for source in order if shares[source] < available[source]]
        shares[min(open_sources, key=lambda source: shares[source])] += 1
    return shares


def draw_real(corpus: pd.DataFrame, split: str, wanted: int, seed: int) -> list[Case]:
    """`wanted` images of a split, or all if there are fewer, as evenly from its sources as it allows."""
    by_source = {str(source): rows for source, rows in kept(corpus, split).groupby("source")}
    shares = even_shares({source: len(rows) for source, rows in by_source.items()}, wanted)
    cases = []
    for source, rows in by_source.items():
        chosen = numpy_generator(seed, f"study/{split}/{source}").choice(len(rows), size=shares[source], replace=False)
        drawn = rows.iloc[chosen][["id", "high_path"]].astype(str)
        cases += [Case(label="real", id=name, path=Path(path)) for name, path in drawn.to_numpy().tolist()]
    return cases


def draw_synthetic(folder: Path, published: Path, wanted: int, seed: int) -> list[Case]:
    """`wanted` of the images in `folder` whose ids stand in the table `published`, or all if there are fewer."""
    ids = [str(name) for name in pd.read_csv(published)["id"]]
    chosen = numpy_generator(seed, "study/synthetic").choice(len(ids), size=min(wanted, len(ids)), replace=False)
    return [Case(label="synthetic", id=ids[index], path=folder / f"{ids[index]}.png") for index in chosen]


def draw_cases(params: Params, *, corpus: pd.DataFrame, synthetic: Path, published: Path) -> list[Case]:
    """The cases that count, then those of the warm-up: real ones of the val split, and as many further synthetic ones.

    A warm-up of one kind alone would teach readers to expect that kind.
    """
    section, seed, warm = params.study, params.seed, params.study.num_warm_up // 2
    fake = draw_synthetic(synthetic, published, section.num_synthetic + warm, seed)
    counted, further = fake[: section.num_synthetic], fake[section.num_synthetic :]
    familiar = draw_real(corpus, "val", len(further), seed) if further else []
    first = [*familiar, *further[: len(familiar)]]
    return [
        *draw_real(corpus, "test", section.num_real, seed),
        *counted,
        *(replace(case, warm_up=True) for case in first),
    ]


def draw_study(params: Params, *, corpus: pd.DataFrame, synthetic: Path, published: Path, out: Path) -> None:
    """Write `out`/key.csv (case, label, id, warm_up) and `out`/served: cases/*.png, cases.csv (no labels), study.json.

    Synthetic cases come from the images that the evaluation left to be published: a copy of a patient is a real case
    under a wrong label. Where a set holds fewer images than asked for, all of it is taken, and study.json says so; the
    warm-up gives way to the cases that count.

    Raises:
        ValueError: The images drawn differ in size.
    """
    section, seed, served = params.study, params.seed, out / "served"
    drawn = draw_cases(params, corpus=corpus, synthetic=synthetic, published=published)
    order = numpy_generator(seed, "study/order").permutation(len(drawn))
    names = [f"case-{derived_seed(seed, 'study/name', index):016x}" for index in range(len(drawn))]
    named = [(name, drawn[index]) for name, index in zip(names, order, strict=True)]
    size = write_cases(named, served / "cases")
    write_csv(
        served / "cases.csv",
        ["case", "path", "warm_up"],
        [{"case": name, "path": f"cases/{name}.png", "warm_up": int(case.warm_up)} for name, case in named],
    )
    key = [{"case": name, "label": case.label, "id": case.id, "warm_up": int(case.warm_up)} for name, case in named]
    write_csv(out / "key.csv", ["case", "label", "id", "warm_up"], key)
    write_json(
        served / "study.json",
        {
            "profile": params.profile,
            "num_cases": sum(not case.warm_up for case in drawn),
            "num_warm_up": {"asked": section.num_warm_up, "drawn": sum(case.warm_up for case in drawn)},
            "num_repeats": section.num_repeats,
            "break_every": section.break_every,
            "time_limit_s": section.time_limit_s,
            "num_real": _counted(section.num_real, drawn, "real"),
            "num_synthetic": _counted(section.num_synthetic, drawn, "synthetic"),
            "size": list(size),
        },
    )


def _counted(asked: int, drawn: list[Case], label: str) -> dict[str, int]:
    return {"asked": asked, "drawn": sum(case.label == label and not case.warm_up for case in drawn)}


def write_cases(named: list[tuple[str, Case]], folder: Path) -> tuple[int, ...]:
    """Write each case under its name, decoded and encoded anew; the (height, width) that all share."""
    size: tuple[int, ...] | None = None
    for name, case in named:
        image = read_grey(case.path)
        size = size or image.shape
        if image.shape != size:
            raise ValueError(f"a case of another size gives itself away: {case.path} is {image.shape}, not {size}")
        path = folder / f"{name}.png"
        write_grey(path, image)
        os.utime(path, (FILE_TIME, FILE_TIME))
    assert size is not None  # at least one case of each label is asked for, and kept() refuses an empty split
    return size
