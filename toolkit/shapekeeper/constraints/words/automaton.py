"""A deterministic automaton as a value: what a table says, and what an editor draws."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..constraint import ConstraintError
from .patterns import read_pattern

__all__ = ["Automaton", "State", "Step", "alphabet_problems"]

State: TypeAlias = int | str
Step: TypeAlias = tuple[State, str, State]


@dataclass(frozen=True, init=False, repr=False)
class Automaton:
    """States, and steps between them that carry a symbol; words are what leads to an end.

    At most one step with a symbol leaves a state, so that a word has one way through: sums over
    words are sums over ways. A step that is not there is not allowed.

    Args:
        steps: `{(state, symbol): state}`, or triples (state, symbol, state).
        start: Where words begin.
        ends: Where they may end; one state or several.
        symbols: The alphabet in its order; by default the symbols of the steps, sorted.

    Attributes:
        symbols: The alphabet.
        steps: Triples (state, symbol, state), by state in the order of `states`, then by symbol.
        start: The first state.
        ends: In the order of `states`.
        states: The start, then the others as they are reached, those that never are last.

    Raises:
        ConstraintError: If two steps with one symbol leave a state, a symbol is not in the alphabet
            or empty, the alphabet repeats one, or an end is no state; all problems at once.

    Example:
        >>> machine = Automaton({(0, "a"): 1, (1, "b"): 0, (0, "c"): 2}, start=0, ends=2)
        >>> machine.symbols, machine.counts(5)
        (('a', 'b', 'c'), (0, 1, 0, 1, 0, 1))
    """

    symbols: tuple[str, ...]
    steps: tuple[Step, ...]
    start: State
    ends: tuple[State, ...]

    def __init__(
        self,
        steps: Mapping[tuple[Any, str], State] | Iterable[Step],  # keys are invariant
        *,
        start: State,
        ends: State | Iterable[State],
        symbols: Iterable[str] | None = None,
    ) -> None:
        listed = _triples(steps)
        wanted = [ends] if isinstance(ends, int | str) else list(ends)
        found = sorted({symbol for _, symbol, _ in listed}) if symbols is None else list(symbols)
        problems = alphabet_problems(found) + _step_problems(listed, found)
        states = {start, *(s for s, _, _ in listed), *(t for _, _, t in listed)}
        problems += [
            f"Wanted ends among the states, got {end!r}; no step leads there."
            for end in dict.fromkeys(wanted)
            if end not in states
        ]
        if problems:
            raise ConstraintError(" ".join(problems))
        object.__setattr__(self, "symbols", tuple(found))
        object.__setattr__(self, "start", start)
        where = {symbol: i for i, symbol in enumerate(found)}
        listed = sorted(dict.fromkeys(listed), key=lambda step: where[step[1]])
        order = {s: i for i, s in enumerate(_by_reach(start, listed))}
        ordered = sorted(listed, key=lambda step: order[step[0]])
        object.__setattr__(self, "steps", tuple(ordered))
        object.__setattr__(self, "ends", tuple(sorted(set(wanted), key=order.__getitem__)))

    @classmethod
    def from_pattern(cls, pattern: str, symbols: Iterable[str] | None = None) -> Automaton:
        r"""The smallest automaton of a regular expression.

        Python's signs: `|`, `( )`, `*`, `+`, `?`, `{2}`, `{2,3}`, `[abc]`, `[^a]`, `[a-c]`, `.` for
        any symbol, `\` before a sign that is meant as a symbol. Symbols are single characters;
        with a blank in the pattern, or a longer symbol in the alphabet, they are words between
        blanks and signs.

        Args:
            pattern: The regular expression, of whole words of the language.
            symbols: The alphabet; by default the symbols of the pattern, sorted.

        Returns:
            States 0, 1, ... as they are reached; 0 is the start.

        Raises:
            ConstraintError: If the pattern can't be read, with a caret under the place, or has a
                symbol that is not in the alphabet.
            ImportError: Without pyformlang, which `pip install 'shapekeeper[grammar]'` brings.

        Example:
            >>> Automaton.from_pattern("(the|a) dog+").counts(3)
            (0, 0, 2, 2)
        """
        alphabet, steps, start, ends = read_pattern(pattern, symbols)
        return cls(steps, start=start, ends=ends, symbols=alphabet)

    def __repr__(self) -> str:
        """The call that makes it."""
        more = (
            ""
            if self.symbols == tuple(sorted({s for _, s, _ in self.steps}))
            else (f", symbols={list(self.symbols)}")
        )
        return (
            f"Automaton({_table(self.steps)}, start={self.start!r}, ends={list(self.ends)}{more})"
        )

    @property
    def states(self) -> tuple[State, ...]:
        """All of them, the start first."""
        return tuple(_by_reach(self.start, self.steps))

    def target(self, state: State, symbol: str) -> State | None:
        """Where a symbol leads from a state; None where it is not allowed."""
        return self.moves(state).get(symbol)

    def moves(self, state: State) -> Mapping[str, State]:
        """Symbol -> state, for all symbols that may follow."""
        return self._moves.get(state, {})

    @property
    def _moves(self) -> dict[State, dict[str, State]]:
        kept = self.__dict__.get("_kept")
        if kept is None:
            kept = {}
            for source, symbol, target in self.steps:
                kept.setdefault(source, {})[symbol] = target
            object.__setattr__(self, "_kept", kept)
        return kept

    def __getstate__(self) -> dict[str, Any]:
        """What it is, without what was worked out from it."""
        return {name: getattr(self, name) for name in ("symbols", "steps", "start", "ends")}

    def counts(self, longest: int) -> tuple[int, ...]:
        """How many words there are of 0, 1, ... symbols, exactly.

        Args:
            longest: The largest length to count.

        Returns:
            `longest + 1` whole numbers.
        """
        ways = {self.start: 1}
        found = []
        for _ in range(longest + 1):
            found.append(sum(ways.get(end, 0) for end in self.ends))
            onward: dict[State, int] = {}
            for state, count in ways.items():
                for target in self.moves(state).values():
                    onward[target] = onward.get(target, 0) + count
            ways = onward
        return tuple(found)

    @property
    def unreachable(self) -> tuple[State, ...]:
        """States to which no steps lead from the start."""
        reached = set(_reach(self.start, self.steps))
        return tuple(state for state in self.states if state not in reached)

    @property
    def stuck(self) -> tuple[State, ...]:
        """States from which no steps lead to an end."""
        back = [(target, symbol, source) for source, symbol, target in self.steps]
        good = {state for end in self.ends for state in _reach(end, back)}
        return tuple(state for state in self.states if state not in good)

    def trimmed(self) -> Automaton:
        """Without the states that are in no word; the start stays."""
        out = ({*self.unreachable, *self.stuck}) - {self.start}
        steps = [(s, symbol, t) for s, symbol, t in self.steps if not {s, t} & out]
        ends = [end for end in self.ends if end not in out]
        return Automaton(steps, start=self.start, ends=ends, symbols=self.symbols)


def _triples(steps: Any) -> list[Step]:
    if isinstance(steps, Mapping):
        return [(source, symbol, target) for (source, symbol), target in steps.items()]
    return [tuple(step) for step in steps]  # type: ignore[misc]  # refused below if they are not


def _table(steps: tuple[Step, ...]) -> str:
    inside = ", ".join(f"({s!r}, {symbol!r}): {t!r}" for s, symbol, t in steps)
    return f"{{{inside}}}"


def alphabet_problems(symbols: Sequence[str]) -> list[str]:
    """What is wrong with an alphabet, a sentence each."""
    problems = []
    if odd := [s for s in symbols if not isinstance(s, str) or not s or any(map(str.isspace, s))]:
        problems.append(f"Wanted symbols that are words without blanks, got {odd[0]!r}.")
    if twice := sorted({str(s) for s in symbols if symbols.count(s) > 1}):
        problems.append(f"Wanted each symbol once in the alphabet, got {twice[0]!r} twice.")
    return problems


def _step_problems(steps: list[Step], symbols: list[str]) -> list[str]:
    problems = []
    leads: dict[tuple[State, str], State] = {}
    foreign = []
    for source, symbol, target in steps:
        if symbol not in symbols:
            foreign.append(symbol)
        other = leads.setdefault((source, symbol), target)
        if other != target:
            problems.append(
                f"From state {source} two steps carry “{symbol}” (to {other} and to {target}). A "
                "step must be certain; merge them or change a symbol."
            )
    for symbol in dict.fromkeys(foreign):
        problems.append(f"Wanted symbols of the alphabet {symbols}, got {symbol!r}; add it.")
    return problems


def _reach(start: State, steps: Iterable[Step]) -> Iterator[State]:
    """States in the order in which they are reached."""
    onward: dict[State, list[State]] = {}
    for source, _, target in steps:
        onward.setdefault(source, []).append(target)
    seen, waiting = {start}, [start]
    while waiting:
        state = waiting.pop(0)
        yield state
        for target in onward.get(state, []):
            if target not in seen:
                seen.add(target)
                waiting.append(target)


def _by_reach(start: State, steps: Iterable[Step]) -> list[State]:
    listed = list(steps)
    reached = list(_reach(start, listed))
    named = [state for source, _, target in listed for state in (source, target)]
    return list(dict.fromkeys([*reached, *named]))
