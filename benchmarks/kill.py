"""Kills dvc or a stage with signal 9 at random moments, lets the next `dvc repro` go on, and compares the outputs.

    python benchmarks/kill.py --stage train_diffusion --times 5

Each trial runs in a copy of the project at a small budget: one kill at a random moment, then `dvc repro` to the end.
The outputs must be those of an undisturbed run, byte for byte. Printed is a row a trial: what was killed, when, and
where the next run went on. `--stage all` takes every stage that keeps state.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "pipeline"))

from killing import KINDS, Trials

STAGES = ("train_encoder", "train_diffusion", "train_superres", "sample")


def main() -> None:
    """Print a table of the trials; the exit code is 1 if an output differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--stage", default="all", choices=["all", *STAGES])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    draw, differing = random.Random(arguments.seed), 0
    print(f"{'stage':<16}{'killed':<8}{'moment':>9}  {'went on at':<18}equal", flush=True)
    for stage in STAGES if arguments.stage == "all" else (arguments.stage,):
        with tempfile.TemporaryDirectory() as folder:
            trials = Trials(Path(folder), stage)
            for number in range(arguments.times):
                (kill,) = trials.run((KINDS[number % 2],), draw)
                equal = trials.hashes() == trials.expected
                differing += not equal
                moment = f"{kill.moment_s:.1f} s"
                print(
                    f"{stage:<16}{kill.kind:<8}{moment:>9}  {kill.went_on_at:<18}{'yes' if equal else 'NO'}", flush=True
                )
    sys.exit(differing > 0)


if __name__ == "__main__":
    main()
