"""How often the intervals of a reader study hold the truth, in simulated studies with random readers and cases.

    python benchmarks/study_coverage.py                 # 4000 studies of each kind, two minutes on two cores

The truth is ½ where readers cannot tell, else the mean of all simulated studies. Beside the interval for readers and
cases stands the t-interval over readers alone. Results go to benchmarks/results/study_coverage.json.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "study" / "analysis"))

from studies import Model, levels_of

from panodiff.files import write_json
from panodiff.study.analysis.mrmc import balanced, delong, obuchowski_rockette
from panodiff.study.analysis.scores import over_readers

ROOT = Path(__file__).parents[1]
KINDS = ((1.0, 0.15), (1.0, 0.3), (1.0, 0.8), (1.8, 0.3), (2.5, 0.15), (0.0, 0.15), (0.0, 0.3), (0.0, 0.8))
SIZES = ((6, 100), (3, 20))  # readers, cases of either label
FIGURES = {"auc": delong, "certainty_weighted": partial(balanced, rule="certainty_weighted")}


def main() -> None:
    """Print the shares and write them down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--studies", type=int, default=4000, help="of each kind")
    num = parser.parse_args().studies
    os.environ["OMP_NUM_THREADS"] = "1"
    kinds = list(product(KINDS, SIZES))
    with ProcessPoolExecutor() as pool:
        results = list(pool.map(partial(simulate, num), kinds))
    for row in results:
        print(row)
    write_json(ROOT / "benchmarks" / "results" / "study_coverage.json", {"studies_of_each_kind": num, "kinds": results})


def simulate(num: int, kind: tuple[tuple[float, float], tuple[int, int]]) -> dict:
    """What of `num` studies of one kind held the truth, in per cent."""
    (shift, spread), (num_readers, num_cases) = kind
    rng, model = np.random.default_rng(11), Model(shift=shift, reader=spread)
    found: dict[str, list[tuple[dict, dict]]] = {name: [] for name in FIGURES}
    for _ in range(num):
        X, Y = (levels_of(part, shift) / 4 for part in model.impressions(rng, num_readers, num_cases))
        for name, figure in FIGURES.items():
            values, covariance = figure(X, Y)
            found[name].append((obuchowski_rockette(values, covariance), over_readers(values.tolist())))
    row = {"shift": shift, "spread_of_readers": spread, "readers": num_readers, "cases_of_either_label": num_cases}
    return row | {name: shares(pairs, 0.5 if shift == 0 else None) for name, pairs in found.items()}


def shares(pairs: list[tuple[dict, dict]], truth: float | None) -> dict[str, float]:
    """Of the studies that have an interval, how many hold the truth, and how many reject chance."""
    pairs = [pair for pair in pairs if "p" in pair[0]]
    value = float(np.mean([both["mean"] for both, _ in pairs])) if truth is None else truth

    def holding(which: int) -> float:
        return 100 * float(np.mean([pair[which]["low"] <= value <= pair[which]["high"] for pair in pairs]))

    return {
        "truth": value,
        "readers_and_cases": holding(0),
        "readers_alone": holding(1),
        "p_below_0.05": 100 * float(np.mean([both["p"] < 0.05 for both, _ in pairs])),
    }


if __name__ == "__main__":
    main()
