"""Signal 9, to dvc and to the training, at random moments: the next `dvc repro` goes on to the same bytes."""

import random
from pathlib import Path

from killing import KINDS, Trials


def test_a_training_whose_dvc_and_then_itself_were_killed_ends_with_the_weights_of_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    trials = Trials(tmp_path, "train_diffusion", patients=3)
    kills = trials.run(KINDS, random.Random())
    assert trials.hashes() == trials.expected, kills
    assert {"data/models/diffusion", "metrics/diffusion"} <= trials.expected.keys()
    assert not [
        path
        for path in (trials.copy.root / ".scratch" / "train_diffusion").iterdir()
        if path.is_dir() and not path.suffix
    ]
