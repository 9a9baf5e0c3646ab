"""Randomness as a function of (seed, purpose, position): nothing is held open.

A run that is stopped, resumed, sent elsewhere, or trained in other company draws the same numbers,
since every block of draws has a fresh generator of its own.
"""

from collections.abc import Sequence
from math import prod
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

__all__ = ["Noise", "generator", "seed_of"]

DRAWN = 2**14  # numbers that are worth a generator of their own


def seed_of(seed: int, purpose: str, block: int = 0) -> int:
    """The 63-bit seed for one block of draws.

    Args:
        seed: The run's seed, a whole number from 0 up.
        purpose: What is drawn, e.g. `"model"`, `"data"`, `"batches"`, `"mask/b<a"`.
        block: Position in the stream of this purpose, e.g. the epoch.

    Returns:
        A whole number that `torch.manual_seed` takes.

    Raises:
        ValueError: If seed or block is negative.

    Example:
        >>> seed_of(0, "model") == seed_of(0, "model"), seed_of(0, "model") == seed_of(1, "model")
        (True, False)
    """
    if seed < 0 or block < 0:
        raise ValueError(f"Wanted a seed and a block from 0 up, got seed={seed}, block={block}.")
    sequence = np.random.SeedSequence([seed, crc32(purpose.encode()), block])
    # torch.manual_seed takes signed 64 bits; half of the unsigned range is plenty.
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator(
    seed: int, purpose: str, block: int = 0, device: str | torch.device = "cpu"
) -> torch.Generator:
    """A fresh generator for one block of draws.

    Args:
        seed: The run's seed, a whole number from 0 up.
        purpose: What is drawn.
        block: Position in the stream of this purpose.
        device: Where the generator draws; the numbers differ between kinds of device.

    Returns:
        A generator that nobody else holds.

    Example:
        >>> torch.randperm(4, generator=generator(0, "batches", 1)).shape
        torch.Size([4])
    """
    return torch.Generator(device).manual_seed(seed_of(seed, purpose, block))


class Noise:
    """Standard normal numbers for each step of some runs, a function of seed, name and step.

    A fresh generator takes as long as some thousand numbers, so that of a small tensor the numbers
    of many steps are one block of draws.

    Args:
        seeds: One for each run.

    Example:
        >>> noise = Noise([0, 1])
        >>> weight = torch.zeros(2, 5, 3)
        >>> again = Noise([1]).at(7, "weight", weight[:1])
        >>> bool((noise.at(7, "weight", weight)[1] == again[0]).all())
        True
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = seeds
        self._blocks: dict[str, tuple[int, Tensor]] = {}

    def at(self, step: int, name: str, like: Tensor) -> Tensor:
        """The numbers of one step.

        Args:
            step: From 0 up.
            name: Of the tensor that they are for.
            like: That tensor, `(runs, *shape)`: shape, type and device of the numbers.

        Returns:
            `(runs, *shape)`; not to be written to.
        """
        shape = tuple(like.shape[1:])
        steps = max(1, DRAWN // max(1, prod(shape)))
        block, place = divmod(step, steps)
        last, drawn = self._blocks.get(name, (-1, like))
        same = last == block and drawn.dtype == like.dtype and drawn.device == like.device
        if not same:
            drawn = like.new_empty(steps, len(self.seeds), *shape)
            for i, seed in enumerate(self.seeds):
                draw = generator(seed, f"noise/{name}", block, like.device)
                drawn[:, i] = torch.randn(
                    steps, *shape, generator=draw, dtype=like.dtype, device=like.device
                )
            self._blocks[name] = block, drawn
        return drawn[place]
