"""An automaton as it is drawn by hand: with places, and perhaps unfinished."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite
from typing import Any, NamedTuple, TypeAlias

from shapekeeper.constraints import Automaton
from shapekeeper.widgets.drawn_places import CANVAS, arranged, free_place

__all__ = [
    "LONGEST",
    "PAD",
    "DrawingError",
    "DrawnAutomaton",
    "DrawnState",
    "Fault",
    "Step",
    "chip_texts",
]

LONGEST = 200  # symbols; a layer of that many slots is as long as a line of text
PAD = "·"

Step: TypeAlias = tuple[str, str, str]


class Fault(NamedTuple):
    """What is wrong with a drawing, and at which thing and field it was drawn or typed."""

    text: str
    detail: str = ""
    key: str | None = None
    field: str | None = None
    got: Any = None
    step: Step | None = None  # the later one of two that are not certain


class DrawingError(ValueError):
    """A drawing that can't be; `found` lists why."""

    def __init__(self, found: Iterable[Fault]):
        self.found = tuple(found)
        super().__init__(" ".join(f"{f.text} {f.detail}".strip() for f in self.found))


@dataclass(frozen=True)
class DrawnState:
    """A state: its name, where it is drawn, and whether words may end in it."""

    name: str
    position: tuple[float, float]
    end: bool = False


@dataclass(frozen=True)
class DrawnAutomaton:
    """States and steps as they are drawn, with the length of the words that are wanted.

    It may be unfinished: without a start, an end, or a word of that length.

    Args:
        states: In the order in which they were drawn.
        steps: Triples (state, symbol, state).
        start: Name of the state where words begin; None while there is none.
        symbols: The alphabet in its order.
        length: How many symbols a word has.
        up_to: Whether shorter words count too.
        pattern: The regular expression that the drawing follows; None if the drawing leads.

    Raises:
        DrawingError: If names repeat, a step is loose or not certain, a symbol is no word, or the
            length is no number from 1 to 200; all problems at once.
    """

    states: tuple[DrawnState, ...]
    steps: tuple[Step, ...]
    start: str | None
    symbols: tuple[str, ...]
    length: int
    up_to: bool
    pattern: str | None = None

    def __post_init__(self) -> None:
        found = [*self._state_faults(), *self._symbol_faults(), *self._step_faults()]
        found += self._length_faults()
        if found:
            raise DrawingError(found)
        order = {state.name: i for i, state in enumerate(self.states)}
        symbols = {symbol: i for i, symbol in enumerate(self.symbols)}
        steps = sorted(set(self.steps), key=lambda s: (order[s[0]], order[s[2]], symbols[s[1]]))
        object.__setattr__(self, "steps", tuple(steps))

    @classmethod
    def empty(cls, length: int = 9, up_to: bool = True) -> DrawnAutomaton:
        """One state, where words begin."""
        place = (128.0, CANVAS[1] / 2)
        return cls((DrawnState("0", place),), (), "0", (), length, up_to)

    @classmethod
    def of(
        cls,
        automaton: Automaton,
        length: int,
        up_to: bool,
        pattern: str | None = None,
        places: Mapping[str, tuple[float, float]] | None = None,
    ) -> DrawnAutomaton:
        """An automaton with a place for every state, the same each time.

        Args:
            automaton: What is drawn.
            length: Of the words, in symbols.
            up_to: Whether shorter ones count too.
            pattern: What it was made from, if it was a pattern.
            places: Where states are drawn; by default they are arranged.

        Example:
            >>> from shapekeeper.constraints import Automaton
            >>> even = Automaton({(0, "a"): 1, (1, "a"): 0}, start=0, ends=0)
            >>> [(s.name, s.end) for s in DrawnAutomaton.of(even, 4, False).states]
            [('0', True), ('1', False)]
        """
        names = {state: str(state) for state in automaton.states}
        if len(set(names.values())) < len(names):  # 1 and "1"
            names = {state: str(i) for i, state in enumerate(automaton.states)}
        steps = tuple((names[s], symbol, names[t]) for s, symbol, t in automaton.steps)
        if places is None:
            places = arranged(list(names.values()), _chips(steps), names[automaton.start])
        ends = {names[end] for end in automaton.ends}
        states = tuple(DrawnState(n, places[n], n in ends) for n in names.values())
        start = names[automaton.start]
        return cls(states, steps, start, automaton.symbols, length, up_to, pattern)

    # JSON

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DrawnAutomaton:
        """The drawing that `to_json` wrote; states without a place get a free one.

        Raises:
            DrawingError: If it is none.
        """
        wanted = "Wanted a drawing with states, steps, a start, symbols and a length."
        try:
            states, places = [], []
            for entry in data["states"]:
                place = entry.get("position") or free_place(places)
                x, y = (float(value) for value in place)
                places.append((x, y))
                states.append(DrawnState(_word(entry["name"]), (x, y), entry.get("end") is True))
            steps = tuple(tuple(_word(part) for part in step) for step in data["steps"])
            if any(len(step) != 3 for step in steps):
                raise TypeError("a step is (state, symbol, state)")
            start, pattern = data.get("start"), data.get("pattern")
            return cls(
                tuple(states),
                steps,  # type: ignore[arg-type]  # three words each
                None if start is None else _word(start),
                tuple(_word(symbol) for symbol in data["symbols"]),
                data["length"],
                data.get("up_to") is True,
                None if pattern is None else _word(pattern),
            )
        except DrawingError:
            raise
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            raise DrawingError([Fault(wanted, f"Got something else: {error}")]) from error

    def to_json(self) -> dict[str, Any]:
        """The drawing as JSON."""
        states = [{"name": s.name, "position": list(s.position), "end": s.end} for s in self.states]
        return {
            "states": states,
            "steps": [list(step) for step in self.steps],
            "start": self.start,
            "symbols": list(self.symbols),
            "length": self.length,
            "up_to": self.up_to,
            "pattern": self.pattern,
        }

    # What is drawn

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the states."""
        return tuple(state.name for state in self.states)

    @property
    def ends(self) -> tuple[str, ...]:
        """Names of the states where words may end."""
        return tuple(state.name for state in self.states if state.end)

    @property
    def language(self) -> tuple[Any, ...]:
        """What decides about the words, whatever their length."""
        return frozenset(self.steps), self.start, frozenset(self.ends)

    def target(self, state: str, symbol: str) -> str | None:
        """Where a symbol leads from a state; None where it is not allowed."""
        return self._targets.get((state, symbol))

    @cached_property
    def _targets(self) -> dict[tuple[str, str], str]:
        return {(source, symbol): target for source, symbol, target in self.steps}

    @cached_property
    def automaton(self) -> Automaton | None:
        """What is drawn, without places; None without a start or without symbols."""
        if self.start is None or not self.symbols:
            return None
        joined = {self.start, *(s for s, _, _ in self.steps), *(t for _, _, t in self.steps)}
        ends = [_plain(end) for end in self.ends if end in joined]
        steps = [(_plain(s), symbol, _plain(t)) for s, symbol, t in self.steps]
        return Automaton(steps, start=_plain(self.start), ends=ends, symbols=self.symbols)

    @cached_property
    def lone(self) -> tuple[str, ...]:
        """States without a step, but for the start."""
        joined = {end for source, _, target in self.steps for end in (source, target)}
        return tuple(name for name in self.names if name not in joined and name != self.start)

    def counts(self, longest: int) -> tuple[int, ...]:
        """How many words there are of 0, 1, ... symbols."""
        return self.automaton.counts(longest) if self.automaton else (0,) * (longest + 1)

    @property
    def count(self) -> int:
        """How many words there are of the wanted length."""
        counts = self.counts(self.length)
        return sum(counts[1:]) if self.up_to else counts[-1]  # a layer says at least one symbol

    def wanting(self, length: int, up_to: bool) -> DrawnAutomaton:
        """The same drawing for words of another length."""
        return replace(self, length=length, up_to=up_to)

    # Checks

    def _state_faults(self) -> list[Fault]:
        names = self.names
        found = [
            Fault("Wanted a name of its own for each state,", f"got “{name}” twice.")
            for name in dict.fromkeys(names)
            if names.count(name) > 1
        ]
        if not names:
            found.append(Fault("Wanted at least one state, got none."))
        if not all(isfinite(value) for state in self.states for value in state.position):
            found.append(Fault("Wanted a place for each state, got one that is not finite."))
        if self.start is not None and self.start not in names:
            found.append(Fault("Wanted a start among the states,", f"got “{self.start}”."))
        return found

    def _symbol_faults(self) -> list[Fault]:
        found = []
        for symbol in dict.fromkeys(self.symbols):
            at: dict[str, Any] = {"field": "symbol", "got": symbol}
            if not symbol or any(map(str.isspace, symbol)):
                text = f"Wanted a symbol without blanks, got “{symbol}”."
                found.append(Fault(text, "Any character or word will do.", **at))
            elif symbol == PAD:
                text = f"Wanted another symbol, got “{PAD}”, which stands for padding."
                found.append(Fault(text, "Any other character or word will do.", **at))
            elif self.symbols.count(symbol) > 1:
                text = f"Wanted a symbol of its own, got “{symbol}”, which is there already."
                found.append(Fault(text, "Take another one.", **at))
        return found

    def _step_faults(self) -> list[Fault]:
        found = []
        leads: dict[tuple[str, str], str] = {}
        names = set(self.names)
        for source, symbol, target in self.steps:
            if loose := [end for end in (source, target) if end not in names]:
                found.append(Fault("Wanted steps between states,", f"got one at “{loose[0]}”."))
            if symbol not in self.symbols:
                found.append(Fault("Wanted steps with symbols of the drawing,", f"got “{symbol}”."))
            other = leads.setdefault((source, symbol), target)
            if other != target:
                found.append(self._uncertain(source, symbol, other, target))
        return found

    def _uncertain(self, source: str, symbol: str, other: str, target: str) -> Fault:
        return Fault(
            f"From state {source} two steps carry “{symbol}” (to {other} and to {target}).",
            "A step must be certain; merge them or change a symbol.",
            step=(source, symbol, target),
        )

    def _length_faults(self) -> list[Fault]:
        length = self.length
        if isinstance(length, int) and not isinstance(length, bool) and 1 <= length <= LONGEST:
            return []
        text = f"Wanted a whole number from 1 to {LONGEST}, got “{length}”."
        return [Fault(text, field="length", got=length)]


def chip_texts(steps: Iterable[Step]) -> dict[tuple[str, str], str]:
    """What stands on the arrow from one state to another: its symbols, or how many."""
    carried: dict[tuple[str, str], list[str]] = {}
    for source, symbol, target in steps:
        carried.setdefault((source, target), []).append(symbol)
    return {
        ends: ", ".join(symbols) if len(symbols) <= 3 else f"{len(symbols)} symbols"
        for ends, symbols in carried.items()
    }


def _chips(steps: Iterable[Step]) -> dict[tuple[str, str], float]:
    """How wide the chip of each arrow is, in pixels."""
    return {ends: 14 + 7.9 * len(text) for ends, text in chip_texts(steps).items()}


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"wanted a word, got {value!r}")
    return value


def _plain(name: str) -> int | str:
    """States that are numbers, as numbers: so they are typed."""
    return int(name) if name.isascii() and name.isdigit() and str(int(name)) == name else name
