"""What layers say: their words, what these are worth, and which language lies in which."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from shapekeeper.constraints import Constraint, Grammar

from .comparison import ComparisonError

__all__ = ["lies_within", "spoken", "words_worth"]


def spoken(values: list[Tensor], examples: int) -> Tensor | None:
    """The symbols that a layer says of each example.

    Args:
        values: Words or scores `(examples, ..., symbols)`, one tensor for each time that the layer
            was called.
        examples: How many there are.

    Returns:
        Numbers of the largest entries `(examples, slots)`, those of all calls after each other;
        None where the first axis of a value does not count examples.

    Example:
        >>> spoken([torch.eye(3)[None, [2, 0]]], 1)
        tensor([[2, 0]])
    """
    if any(len(value) != examples for value in values):
        return None
    return torch.cat([value.argmax(-1).flatten(1) for value in values], 1)


def words_worth(name: str, said: Tensor, x: Tensor, true: Tensor | None) -> dict[str, float]:
    """How many different words there are per different meaning, and how many are true.

    Each meaning counts by the word that most of its examples get.

    Args:
        name: Of the layer.
        said: What `spoken` gives.
        x: Inputs `(examples, ...)`.
        true: One-hot true words `(examples, length, symbols)`, the meanings; without them each
            different input is one.

    Returns:
        `distinct_words`, above 0 and at most 1, and `true_words`, the share of examples.

    Raises:
        ComparisonError: If the true words do not fit what is said.

    Example:
        >>> said, true = torch.tensor([[0], [0], [1]]), torch.eye(2)[[0, 1, 1], None]
        >>> words_worth("encoder", said, torch.zeros(3, 1), true)["distinct_words"]
        0.5
    """
    if true is None:
        means = x.reshape(len(x), -1)
    else:
        means = true.argmax(-1).flatten(1).to(said)
        if means.shape != said.shape:
            raise ComparisonError(
                f"Wanted the true words of {name!r} as one-hot (examples, length, symbols), for "
                f"{len(said)} examples and {said.shape[1]} slots, got {tuple(true.shape)}."
            )
    word, meaning = (torch.unique(rows, dim=0, return_inverse=True)[1] for rows in (said, means))
    pairs, times = torch.unique(torch.stack([meaning, word]), dim=1, return_counts=True)
    order = np.lexsort((pairs[1], -times, pairs[0]))  # the usual word of each meaning first
    _, first = np.unique(pairs[0].numpy()[order], return_index=True)
    usual = pairs[1].numpy()[order][first]
    worth = {"distinct_words": len(np.unique(usual)) / len(usual)}
    if true is not None:
        worth["true_words"] = (said == means).all(1).double().mean().item()
    return worth


def lies_within(inner: Constraint, outer: Constraint) -> bool:
    """Whether one set is known to lie in another.

    Args:
        inner: The one.
        outer: The other.

    Returns:
        Whether they are equal, or products of intervals of which each holds the other, or languages
        all of whose words the other has; else False, whatever is the case.

    Example:
        >>> from shapekeeper import Box, NonNegative
        >>> lies_within(Box(0.0, 1.0), NonNegative()), lies_within(NonNegative(), Box(0.0, 1.0))
        (True, False)
    """
    if inner == outer:
        return True
    if isinstance(inner, Grammar) and isinstance(outer, Grammar):
        return _speaks_within(inner, outer)
    if not (inner.separable and outer.separable):
        return False
    (low, high), (least, most) = inner.ends(), outer.ends()
    return bool((low >= least).all() and (high <= most).all())


def _speaks_within(inner: Grammar, outer: Grammar) -> bool:
    """Whether all words of one language are words of another, by going both ways at once.

    No way of a lattice ends early, so a step that only the first has is a word that only it has.
    """
    if inner.symbols != outer.symbols or inner.length != outer.length:
        return False
    reached = {(0, 0)}
    for ours, theirs in zip(inner.lattice.layers, outer.lattice.layers, strict=True):
        onward = set()
        for state, other in reached:
            there = dict(_steps(theirs, other))
            for symbol, target in _steps(ours, state):
                if symbol not in there:
                    return False
                onward.add((target, there[symbol]))
        reached = onward
    return True


def _steps(layer: Any, state: int) -> list[tuple[int, int]]:
    """Symbols and next states of a state."""
    ways = layer.open[state]
    symbols, targets = layer.symbols[state][ways], layer.targets[state][ways]
    return list(zip(symbols.tolist(), targets.tolist(), strict=True))
