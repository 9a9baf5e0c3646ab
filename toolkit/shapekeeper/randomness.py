"""Randomness as a function of (seed, purpose, position): nothing is held open.

A run that is stopped, resumed, sent elsewhere, or trained in other company draws the same numbers,
since every block of draws has a fresh generator of its own.
"""

from zlib import crc32

import numpy as np
import torch

__all__ = ["generator", "seed_of"]


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
