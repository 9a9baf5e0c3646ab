"""A language of words of one length, as layers of states: trimmed, minimal, deterministic."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from math import log2
from typing import Any

import numpy as np

from ..constraint import ConstraintError

__all__ = ["PAD", "Lattice", "Layer", "Source"]

PAD = "·"  # stands in the slots after a word that is shorter than the layer
MOST_STATES = 200_000
MOST_STEPS = 5_000_000
FAR = 12  # lengths that an error about an empty language looks at

_PADDED = ("padded",)  # where a word has ended and only padding follows


@dataclass(frozen=True)
class Source:
    """What a language is unrolled from: states, symbols that may follow, states that may end.

    Attributes:
        start: The first state.
        moves: State and number of symbols that may still come -> symbol -> state; what needs more
            may be left out.
        is_end: Whether a word may end in a state.
    """

    start: Hashable
    moves: Callable[[Any, int], Mapping[str, Hashable]]
    is_end: Callable[[Any], bool]


@dataclass(frozen=True, eq=False)
class Layer:
    """The steps of one slot, those of a state in a row; rows are filled up to the longest.

    Attributes:
        symbols: Number of the symbol of each step, `(states, fan)`.
        targets: Number of the state in the next layer, `(states, fan)`.
        open: Whether there is such a step, or the place is filled up.
        states: How many states the next layer has.
    """

    symbols: np.ndarray
    targets: np.ndarray
    open: np.ndarray
    states: int


@dataclass(frozen=True, eq=False)
class Lattice:
    """All words of a language that have exactly one length; each is one way from left to right.

    Layer t keeps the states that t symbols reach and from which the remaining symbols can still
    reach an end, and joins those from which the same words follow. So no way ends before the last
    slot, and no sum over ways is empty.

    Attributes:
        symbols: The alphabet, the last axis of a word.
        layers: One for each slot; the first has one state, and all ways end in one.
        count: How many words there are.

    Example:
        >>> from shapekeeper import Grammar
        >>> lattice = Grammar("(ab)*c", length=5).lattice
        >>> lattice.count, [len(layer.symbols) for layer in lattice.layers]
        (1, [1, 1, 1, 1, 1])
    """

    symbols: tuple[str, ...]
    layers: tuple[Layer, ...]
    count: int
    copies: dict[Any, Any] = field(default_factory=dict, repr=False)  # on devices

    @classmethod
    def unroll(cls, source: Source, symbols: tuple[str, ...], length: int, padded: bool) -> Lattice:
        """The words of a language that have one length, or at most that many symbols.

        Args:
            source: The language.
            symbols: The alphabet; with padding, `PAD` is its last.
            length: Slots of the layer.
            padded: Whether shorter words, of at least one symbol, count and are filled up.

        Returns:
            The lattice.

        Raises:
            ConstraintError: If there is no word, or there are too many states.
        """
        source = _padding(source) if padded else source
        where = {symbol: i for i, symbol in enumerate(symbols)}
        reached = _forward(source, length)
        # From the last slot backward, states with equal steps are one (the minimal automaton of a
        # finite language; D. Revuz 1992, Minimisation of acyclic deterministic automata).
        number = {state: 0 for state in reached[-1] if source.is_end(state)}
        ways = [1]
        layers: list[Layer] = []
        for states in reversed(reached[:-1]):
            rows: dict[tuple, int] = {}
            here: dict[Hashable, int] = {}
            for state, moves in states.items():
                kept = [(where[v], number[t]) for v, t in moves.items() if t in number]
                if kept:
                    here[state] = rows.setdefault(tuple(sorted(kept)), len(rows))
            layers.append(_layer(list(rows), len(ways)))
            ways = [sum(ways[target] for _, target in row) for row in rows]
            number = here
        if not number:
            raise ConstraintError(_no_word(source, length, padded))
        return cls(symbols, tuple(reversed(layers)), ways[0])

    @property
    def length(self) -> int:
        """How many slots there are."""
        return len(self.layers)

    @property
    def widest(self) -> int:
        """The most steps that leave one state."""
        return max(layer.symbols.shape[1] for layer in self.layers)

    @property
    def steps(self) -> int:
        """How many steps all layers have, filled up."""
        return sum(layer.symbols.size for layer in self.layers)

    def words(self) -> Iterator[tuple[str, ...]]:
        """All words, padding included, in the order of the alphabet."""
        ways: Iterator[tuple[tuple[str, ...], int]] = iter([((), 0)])
        for layer in self.layers:
            ways = self._onward(ways, layer)
        return (word for word, _ in ways)

    def _onward(
        self, ways: Iterator[tuple[tuple[str, ...], int]], layer: Layer
    ) -> Iterator[tuple[tuple[str, ...], int]]:
        for word, state in ways:
            fan = layer.open[state].sum()
            for symbol, target in zip(
                layer.symbols[state, :fan], layer.targets[state, :fan], strict=True
            ):
                yield (*word, self.symbols[symbol]), int(target)

    @property
    def bits(self) -> float:
        """Logarithm of the number of words to base 2."""
        return log2(self.count)


def _forward(source: Source, length: int) -> list[dict[Hashable, Mapping[str, Hashable]]]:
    """The states that 0, 1, ... symbols reach, with their moves; those of the last have none."""
    layers: list[dict[Hashable, Mapping[str, Hashable]]] = []
    waiting: dict[Hashable, None] = {source.start: None}
    states = steps = 0
    for slot in range(length):
        layer = {state: source.moves(state, length - slot) for state in waiting}
        layers.append(layer)
        waiting = {target: None for moves in layer.values() for target in moves.values()}
        states += len(layer)
        steps += sum(map(len, layer.values()))
        if states > MOST_STATES or steps > MOST_STEPS:
            raise ConstraintError(
                f"Wanted at most {MOST_STATES:,} states and {MOST_STEPS:,} steps over all slots, "
                f"got more by slot {slot + 1} of {length}. Use fewer symbols, a shorter length, or "
                "rules that need to remember less."
            )
    return [*layers, {state: {} for state in waiting}]


def _padding(source: Source) -> Source:
    """The same words with padding after them, up to any length; the empty one is no word."""

    def moves(state: Any, left: int) -> Mapping[str, Hashable]:
        if state is _PADDED:
            return {PAD: _PADDED}
        before, first = state
        onward: dict[str, Hashable] = {
            symbol: (target, False) for symbol, target in source.moves(before, left).items()
        }
        ended = {PAD: _PADDED} if not first and source.is_end(before) else {}
        return onward | ended

    def is_end(state: Any) -> bool:
        return state is _PADDED or (not state[1] and source.is_end(state[0]))

    return Source((source.start, True), moves, is_end)


def _layer(rows: list[tuple[tuple[int, int], ...]], states: int) -> Layer:
    fan = max((len(row) for row in rows), default=0)
    symbols, targets = np.zeros((2, len(rows), fan), dtype=np.int64)
    is_open = np.zeros((len(rows), fan), dtype=bool)
    for i, row in enumerate(rows):
        symbols[i, : len(row)], targets[i, : len(row)] = zip(*row, strict=True)
        is_open[i, : len(row)] = True
    return Layer(symbols, targets, is_open, states)


def _no_word(source: Source, length: int, padded: bool) -> str:
    """What an error says of a language that is empty at a length."""
    if padded:
        return f"No word has at most {length} symbols. Wanted at least one word, got none."
    some = list(_lengths(source, max(FAR, 2 * length)))
    if not some:
        return (
            f"No word has exactly {length} symbols. Wanted at least one word, got none; nor has "
            f"the language a word of any length up to {max(FAR, 2 * length)}."
        )
    shown = [n for n in some if n < length][-5:]
    shown += [n for n in some if n > length][: max(1, 5 - len(shown))]
    ellipsis = ", …" if some[-1] > shown[-1] else ""
    return (
        f"No word has exactly {length} symbols. Wanted at least one word, got none; lengths that "
        f"have words: {', '.join(map(str, shown))}{ellipsis}."
    )


def _lengths(source: Source, longest: int) -> Iterator[int]:
    """Lengths from 1 on that have words."""
    waiting: dict[Hashable, None] = {source.start: None}
    for length in range(1, longest + 1):
        moves = [source.moves(state, longest - length + 1) for state in waiting]
        waiting = {target: None for move in moves for target in move.values()}
        if len(waiting) > MOST_STATES // 10:
            return
        if any(source.is_end(state) for state in waiting):
            yield length
