"""Which states of an automaton are alike."""

from collections.abc import Collection, Hashable, Mapping
from typing import TypeVar

__all__ = ["alike"]

State = TypeVar("State", bound=Hashable)


def alike(moves: Mapping[State, Mapping[str, State]], ends: Collection[State]) -> dict[State, int]:
    """The number of the class of each state; from states of one class the same words follow.

    Classes are split until all states of each lead to the same ones (E. F. Moore 1956, Gedanken-
    experiments on sequential machines).

    Args:
        moves: State -> symbol -> state, for every state, all of which reach an end.
        ends: Where words may end.

    Returns:
        Numbers from 0 on, in the order of the states.

    Example:
        >>> alike({0: {"a": 1}, 1: {"a": 2}, 2: {"a": 1}}, ends=[1, 2])
        {0: 0, 1: 1, 2: 1}
    """
    block = {state: int(state in ends) for state in moves}
    count = len(set(block.values()))
    while True:
        numbers: dict[tuple, int] = {}
        block = {
            state: numbers.setdefault(
                (block[state], *sorted((symbol, block[t]) for symbol, t in onward.items())),
                len(numbers),
            )
            for state, onward in moves.items()
        }
        if len(numbers) == count:
            return block
        count = len(numbers)
