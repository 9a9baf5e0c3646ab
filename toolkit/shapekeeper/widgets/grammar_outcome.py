"""What a drawn automaton comes to: a grammar, its words, and the code that makes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from json import dumps
from pprint import pformat
from textwrap import indent
from typing import Any

import torch

from shapekeeper.constraints import Automaton, ConstraintError, Grammar
from shapekeeper.constraints.words.rules import terminals
from shapekeeper.constraints.words.spelling import merged, spelled
from shapekeeper.widgets.drawn_automaton import PAD, DrawnAutomaton

__all__ = ["READS", "SHORT", "GrammarOutcome", "Trial", "code", "drawing_of"]

READS = find_spec("pyformlang") is not None  # whether patterns can be read here
SHORT = 48  # characters of a pattern that its field shows
TANGLED = 24  # steps beyond a tree, above which nobody would read the pattern
SAMPLES = 6


@dataclass(frozen=True)
class Trial:
    """A word that was tried: what is to be changed, and how many slots are still open."""

    changes: tuple[tuple[int, str, str], ...]  # slot from 0, symbol, the symbol it should be
    open: int


class GrammarOutcome:
    """A drawing with all that follows from it.

    Args:
        drawn: The drawing.
        known: A grammar that says the same, if there is one already.
    """

    def __init__(self, drawn: DrawnAutomaton, known: Grammar | None = None):
        self.drawn = drawn
        self._known = known
        self.problem = ""

    @cached_property
    def pattern(self) -> str:
        """The pattern of the drawing; empty if it has no words, or nobody could read it."""
        if self.drawn.pattern is not None:
            return self.drawn.pattern
        automaton = self.drawn.automaton
        return "" if automaton is None else _pattern(automaton)

    @cached_property
    def is_short(self) -> bool:
        """Whether the field shows the pattern."""
        return self.drawn.pattern is not None or len(self.pattern) <= SHORT

    @cached_property
    def grammar(self) -> Grammar | None:
        """What the layer may say; None while that is nothing."""
        drawn = self.drawn
        if self._known is not None:
            return self._known
        if drawn.automaton is None or not drawn.count:
            return None
        sizes: dict[str, Any] = {"length": drawn.length, "up_to": drawn.up_to}
        try:
            if READS and self.pattern and self.is_short:
                symbols = None if _named(self.pattern) == drawn.symbols else drawn.symbols
                return Grammar(self.pattern, **sizes, alphabet=symbols)
            trimmed = drawn.automaton.trimmed()
            used = sorted({symbol for _, symbol, _ in trimmed.steps})
            symbols = None if tuple(used) == drawn.symbols else drawn.symbols
            return Grammar.from_table(
                trimmed.steps, start=trimmed.start, ends=trimmed.ends, **sizes, alphabet=symbols
            )
        except ConstraintError as error:  # too many states
            self.problem = str(error)
            return None

    @property
    def strings(self) -> int:
        """How many strings of the drawing's symbols have the length."""
        k, n = len(self.drawn.symbols), self.drawn.length
        return sum(k**i for i in range(1, n + 1)) if self.drawn.up_to else k**n

    @cached_property
    def lengths(self) -> list[int]:
        """Lengths that have words: as far as the wanted one, and to the next one after it."""
        automaton = self.drawn.automaton
        if automaton is None:
            return []
        far = self.drawn.length + len(automaton.states) + 1
        return [n for n, count in enumerate(automaton.counts(far)) if count and n]

    @cached_property
    def goes_on(self) -> bool:
        """Whether there are words of any length."""
        trimmed = self.drawn.automaton and self.drawn.automaton.trimmed()
        if not trimmed:
            return False
        states = len(trimmed.states)
        return any(trimmed.counts(2 * states)[states:])  # longer than a way that repeats no state

    def samples(self, dice: int) -> list[tuple[str, ...]]:
        """All words by length if there are few, else some that a throw of the dice gives."""
        if self.grammar is None:
            return []
        generator = torch.Generator().manual_seed(dice)
        words = self.grammar.examples(SAMPLES, generator)
        return sorted(words, key=len) if self.has_all else words

    @property
    def has_all(self) -> bool:
        """Whether all words are shown."""
        return self.drawn.count <= SAMPLES

    def tried(self, slots: Sequence[str | None]) -> Trial | None:
        """What is wrong with a word, of which some slots may be open; None if there is no grammar.

        With shorter words allowed an open slot is padding.
        """
        if self.grammar is None or not any(slots):
            return None
        symbols = self.grammar.symbols
        filled = [PAD if slot is None and self.drawn.up_to else slot for slot in slots]
        scores = torch.zeros(self.grammar.shape)
        for i, slot in enumerate(filled):
            if slot is not None:
                scores[i, symbols.index(slot)] = 1.0
        nearest = [symbols[i] for i in self.grammar.project(scores).argmax(-1).tolist()]
        pairs = enumerate(zip(filled, nearest, strict=True))
        changes = tuple((i, got, best) for i, (got, best) in pairs if got not in (None, best))
        return Trial(changes, filled.count(None))  # type: ignore[arg-type]  # None is left out


@lru_cache(maxsize=256)
def _named(pattern: str) -> tuple[str, ...]:
    """The alphabet of a pattern that comes without one."""
    try:
        return Automaton.from_pattern(pattern).symbols
    except ConstraintError:  # it names no symbol
        return ()


@lru_cache(maxsize=256)
def _pattern(automaton: Automaton) -> str:
    """The pattern, where a drawing has one that is worth the search."""
    trimmed = automaton.trimmed()
    if not trimmed.ends or not trimmed.steps:
        return ""
    small = merged(trimmed)
    joined = {(source, target) for source, _, target in small.steps}
    return spelled(automaton) if len(joined) - len(small.states) < TANGLED else ""


def drawing_of(grammar: Grammar, places: Mapping[str, Any] | None = None) -> DrawnAutomaton:
    """The drawing of a grammar; of words and rules, the smallest automaton that has no loop."""
    sizes: dict[str, Any] = {"length": grammar.length, "up_to": grammar.up_to}
    if grammar.form == "pattern":
        automaton = Automaton.from_pattern(grammar.source, grammar.alphabet)
        return DrawnAutomaton.of(automaton, **sizes, pattern=grammar.source, places=places)
    if grammar.form == "table":
        steps, start, ends = grammar.source
        automaton = Automaton(steps, start=start, ends=ends, symbols=grammar.alphabet)
    else:
        automaton = merged(_unrolled(grammar))
    return DrawnAutomaton.of(automaton, **sizes, places=places)


def _unrolled(grammar: Grammar) -> Automaton:
    """Layer by layer, each state a number; where padding may follow, a word may end."""
    steps, ends, first = [], [], 0
    for layer in grammar.lattice.layers:
        after = first + len(layer.open)
        for state, (names, targets, is_open) in enumerate(
            zip(layer.symbols.tolist(), layer.targets.tolist(), layer.open.tolist(), strict=True)
        ):
            for name, target, there in zip(names, targets, is_open, strict=True):
                symbol = grammar.symbols[name]
                if there and symbol == PAD and grammar.up_to:
                    ends.append(first + state)
                elif there:
                    steps.append((first + state, symbol, after + target))
        first = after
    ends += range(first, first + grammar.lattice.layers[-1].states)
    known = {0, *(target for _, _, target in steps)}
    automaton = Automaton(
        steps, start=0, ends=[end for end in ends if end in known], symbols=grammar.alphabet
    )
    return automaton.trimmed()


# Code


def code(grammar: Grammar | None, note: str = "") -> str:
    """The Python that makes a grammar."""
    head = "import shapekeeper as sk\n\n"
    if grammar is None:
        return f"{head}grammar = None  # nothing with words is drawn\n"
    return f"{head}{note}grammar = {_call(grammar)}\n"


def _call(grammar: Grammar) -> str:
    sizes = f"length={grammar.length}" + (", up_to=True" if grammar.up_to else "")
    source = grammar.source
    if grammar.form == "pattern":
        more = _alphabet(grammar, _named(source))
        return f"sk.Grammar({_quoted(source)}, {sizes}{more})"
    if grammar.form == "table":
        steps, start, ends = source
        more = _alphabet(grammar, {symbol for _, symbol, _ in steps})
        tail = f"start={_name(start)}, ends=[{', '.join(map(_name, ends))}], {sizes}{more}"
        return f"sk.Grammar.from_table(\n{_table(steps)},\n    {tail},\n)"
    if grammar.form == "words":
        more = _alphabet(grammar, {symbol for word in source for symbol in word})
        return f"sk.Grammar.from_words(\n{_block(list(source))}{more},\n)"
    rules, start = source
    table = {name: [" ".join(part) for part in alternatives] for name, alternatives in rules}
    first = "" if start == rules[0][0] else f", start={_name(start)}"
    more = _alphabet(grammar, terminals(rules))
    return f"sk.Grammar.from_rules(\n{_block(table)},\n    {sizes}{first}{more},\n)"


def _alphabet(grammar: Grammar, found: Iterable[str]) -> str:
    """The alphabet, where it is not the one that would be found."""
    if tuple(sorted(found)) == grammar.alphabet:
        return ""
    return f", alphabet=[{', '.join(map(_name, grammar.alphabet))}]"


def _name(value: Any) -> str:
    return dumps(value, ensure_ascii=False)


def _quoted(pattern: str) -> str:
    if "\\" in pattern and '"' not in pattern and not pattern.endswith("\\"):
        return f'r"{pattern}"'
    return repr(pattern) if '"' in pattern else f'"{pattern}"'


def _block(value: Any) -> str:
    return indent(pformat(value, width=84, sort_dicts=False), "    ")


def _table(steps: Sequence[tuple[Any, str, Any]]) -> str:
    """Steps of one state in a row."""
    rows: dict[Any, list[str]] = {}
    for source, symbol, target in steps:
        rows.setdefault(source, []).append(f"({_name(source)}, {_name(symbol)}): {_name(target)},")
    lines = [" ".join(row) for row in rows.values()]
    return "    {\n" + "".join(f"        {line}\n" for line in lines) + "    }"
