"""Draws from the seed, the purpose and the index, and from nothing else."""

import random

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from panodiff.randomness import derived_seed, numpy_generator, seeded_init, torch_generator


@given(st.integers(0, 2**40), st.text(max_size=20), st.integers(0, 2**32 - 1))
def test_a_seed_is_a_function_of_its_three_parts_and_fits_every_generator(seed: int, purpose: str, index: int):
    value = derived_seed(seed, purpose, index)
    assert 0 <= value < 2**63
    assert derived_seed(seed, purpose, index) == value
    assert derived_seed(seed + 1, purpose, index) != value
    assert derived_seed(seed, purpose + "/", index) != value


def test_no_two_indices_share_what_pytorch_takes_of_a_seed():
    """Its CPU generator drops the upper half: two images would be twins, with a chance of one in 6 for 40,000."""
    assert torch.equal(*(torch.randn(9, generator=torch.Generator().manual_seed(5 + n)) for n in (0, 2**32)))
    for purpose in ("sample", "diffusion/noise"):
        seeds = [derived_seed(1, purpose, index) % 2**32 for index in range(200_000)]
        assert len(set(seeds)) == len(seeds)


def test_the_seeds_of_neighbours_have_nothing_in_common():
    bits = np.array([[derived_seed(1, "sample", index) >> bit & 1 for bit in range(63)] for index in range(4000)])
    assert np.abs(bits.mean(0) - 0.5).max() < 0.05
    flips = (bits[1:] != bits[:-1]).mean(0)
    assert np.abs(flips - 0.5).max() < 0.05


def test_a_draw_does_not_depend_on_what_was_drawn_before():
    alone = torch.randn(5, generator=torch_generator(1, "x", 7))
    torch.manual_seed(3)
    torch.randn(11, generator=torch_generator(1, "x", 6))
    assert torch.equal(alone, torch.randn(5, generator=torch_generator(1, "x", 7)))
    assert not torch.equal(alone, torch.randn(5, generator=torch_generator(1, "x", 8)))
    assert not torch.equal(alone, torch.randn(5, generator=torch_generator(2, "x", 7)))
    assert numpy_generator(1, "x", 7).random() == numpy_generator(1, "x", 7).random()
    assert numpy_generator(1, "x", 7).random() != numpy_generator(1, "y", 7).random()


def test_networks_start_from_the_seed_and_the_global_generators_stay_where_they_were():
    torch.manual_seed(9)
    before = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1]  # noqa: NPY002
    weights = []
    for seed in (1, 1, 2):
        with seeded_init(seed, "x"):
            weights.append(torch.nn.Linear(3, 3).weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == random.getstate()
    assert np.array_equal(before[2], np.random.get_state()[1])  # noqa: NPY002
