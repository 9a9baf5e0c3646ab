"""Randomness is a function of seed, purpose and block."""

import itertools
import subprocess
import sys

import pytest
import torch

from shapekeeper.randomness import generator, seed_of


def test_every_stream_is_its_own():
    keys = itertools.product(range(5), ["data", "model", "batches", "mask/a<b"], range(5))
    seeds = [seed_of(*key) for key in keys]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_numbers_never_change():
    # Saved results and stopped runs stand on these; Python's own hash() would differ by process.
    known = "from shapekeeper.randomness import seed_of; print(seed_of(3, 'batches', 2))"
    other = subprocess.run(
        [sys.executable, "-c", known], capture_output=True, text=True, check=True
    )
    assert int(other.stdout) == seed_of(3, "batches", 2) == 7327723761491905701


def test_a_generator_is_nobody_elses():
    first, second = generator(0, "model"), generator(0, "model")
    torch.rand(3, generator=first)
    assert torch.equal(
        torch.rand(3, generator=generator(0, "model")), torch.rand(3, generator=second)
    )


@pytest.mark.parametrize(("seed", "block"), [(-1, 0), (0, -1)])
def test_negative_numbers(seed, block):
    with pytest.raises(ValueError, match="Wanted a seed and a block from 0 up"):
        seed_of(seed, "data", block)
