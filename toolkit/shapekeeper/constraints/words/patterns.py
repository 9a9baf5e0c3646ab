"""From a regular expression to the smallest automaton."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeAlias

from ..constraint import ConstraintError
from .merging import alike

__all__ = ["pattern_symbols", "read_pattern"]

SIGNS = "|()*+?{}[].^\\"
MOST_COPIES = 1000  # of what is repeated
MOST_STATES = 20_000  # before those that are alike are joined

# ("some", names), ("any", names to leave out), ("join" | "either", parts),
# ("repeat", part, least, most or None)
Tree: TypeAlias = tuple[Any, ...]
Table: TypeAlias = list[tuple[int, str, int]]
Letters: TypeAlias = dict[tuple[int, ...], str]  # numbers of symbols -> what pyformlang reads
Moves: TypeAlias = dict[frozenset, dict[str, frozenset]]


def read_pattern(
    pattern: str, symbols: Iterable[str] | None = None
) -> tuple[tuple[str, ...], Table, int, list[int]]:
    """The smallest deterministic automaton of a pattern.

    The syntax tree is ours, for the sake of its messages; pyformlang makes the automaton.

    Args:
        pattern: A regular expression; see `Automaton.from_pattern`.
        symbols: The alphabet, or None for the symbols of the pattern.

    Returns:
        The alphabet; steps (state, symbol, state) over states 0, 1, ... in the order in which they
        are reached; the start, 0; the ends.

    Raises:
        ConstraintError: If the pattern can't be read.
        ImportError: Without pyformlang.

    Example:
        >>> read_pattern("(ab)*c")
        (('a', 'b', 'c'), [(0, 'a', 1), (0, 'c', 2), (1, 'b', 0)], 0, [2])
    """
    given = None if symbols is None else list(symbols)
    reader = _Reader(pattern, words=any(len(symbol) > 1 for symbol in given or ()))
    tree = reader.whole()
    named = reader.named
    alphabet = sorted(set(named)) if given is None else given
    if foreign := [name for name in dict.fromkeys(named) if name not in alphabet]:
        raise ConstraintError(
            f"Wanted symbols of the alphabet {alphabet}, got {foreign[0]!r} in “{pattern}”; add it."
        )
    if not alphabet:
        raise ConstraintError(f"Wanted a pattern with at least one symbol, got “{pattern}”.")
    letters: Letters = {}
    spelled = _spelled(tree, alphabet, letters)
    return tuple(alphabet), *_smallest(spelled, alphabet, letters)


def pattern_symbols(pattern: str) -> tuple[str, ...]:
    """The symbols that a pattern names, sorted.

    Args:
        pattern: A regular expression that can be read.

    Returns:
        Each once.

    Example:
        >>> pattern_symbols("(ab)*c")
        ('a', 'b', 'c')
    """
    reader = _Reader(pattern, words=False)
    reader.whole()
    return tuple(sorted(set(reader.named)))


class _Reader:
    """Reads a pattern from left to right."""

    def __init__(self, pattern: str, words: bool) -> None:
        if not isinstance(pattern, str):
            raise ConstraintError(f"Wanted a pattern such as '(ab)*c', got {pattern!r}.")
        self.pattern, self.place = pattern, 0
        self.words = words or any(map(str.isspace, pattern.strip()))
        self.named: list[str] = []

    def whole(self) -> Tree:
        """The pattern to its end."""
        tree = self.either()
        if self.place < len(self.pattern):  # only a bracket ends an alternative early
            self.refuse(f"Wanted an opening bracket before “{self.next}”", "none")
        return tree

    @property
    def next(self) -> str:
        """The next character, empty at the end; blanks are passed over."""
        while self.pattern[self.place : self.place + 1].isspace():
            self.place += 1
        return self.pattern[self.place : self.place + 1]

    def refuse(self, wanted: str, got: str, place: int | None = None) -> None:
        """Raise, with a caret under the place."""
        place = self.place if place is None else place
        raise ConstraintError(f"{wanted}, got {got}.\n{self.pattern}\n{' ' * place}^")

    def either(self) -> Tree:
        """Alternatives."""
        parts = [self.join()]
        while self.next == "|":
            self.place += 1
            parts.append(self.join())
        return parts[0] if len(parts) == 1 else ("either", parts)

    def join(self) -> Tree:
        """One thing after another."""
        parts = []
        while self.next and self.next not in "|)":
            parts.append(self.repeated())
        return parts[0] if len(parts) == 1 else ("join", parts)

    def repeated(self) -> Tree:
        """One thing, and how often."""
        tree = self.one()
        if not self.next or self.next not in "*+?{":
            return tree
        sign = self.next
        self.place += 1
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(sign) or self.counts()
        if self.next and self.next in "*+?{":  # to Python, a+? is a lazy a+, and not (a+)?
            self.refuse("Wanted one sign that repeats, or brackets before the next", self.shown)
        return ("repeat", tree, least, most)

    @property
    def shown(self) -> str:
        """The next character in quotes."""
        return f"“{self.next}”"

    def counts(self) -> tuple[int, int | None]:
        """What stands in curly brackets."""
        found = re.compile(r"\s*(\d+)\s*(,?)\s*(\d*)\s*\}").match(self.pattern, self.place)
        if not found:
            self.refuse("Wanted a count such as {2}, {2,} or {2,3}", "another text", self.place - 1)
        assert found
        least, comma, most = found.groups()
        low, high = int(least), int(most) if most else (None if comma else int(least))
        if (high is not None and not low <= high <= MOST_COPIES) or low > MOST_COPIES:
            wanted = f"Wanted counts in order and at most {MOST_COPIES}"
            self.refuse(wanted, f"{{{least}{comma}{most}}}", self.place - 1)
        self.place = found.end()
        return low, high

    def one(self) -> Tree:
        """A symbol, a group, a class, or any."""
        sign = self.next
        if sign in "*+?{":
            self.refuse(f"Wanted something to repeat before “{sign}”", "nothing")
        if sign == "(":
            self.place += 1
            tree = self.either()
            if not self.next:
                shown = f"the end of “{self.pattern}”"
                self.refuse("Wanted a closing bracket", shown, len(self.pattern))
            self.place += 1
            return tree
        if sign == "[":
            return self.klass()
        if sign == ".":
            self.place += 1
            return ("any", [])
        if sign in "]}^":
            self.refuse(f"Wanted a backslash before a “{sign}” that is a symbol", f"“{sign}”")
        return ("some", [self.symbol()])

    def symbol(self) -> str:
        """The name of one symbol."""
        name = ""
        while self.place < len(self.pattern):
            char = self.pattern[self.place]
            if char == "\\":
                char = self.pattern[self.place + 1 : self.place + 2]
                if not char or char.isalnum():
                    shown = f"“\\{char}”" if char else f"the end of “{self.pattern}”"
                    self.refuse("Wanted one of the signs | ( ) * + ? { } [ ] . ^ after \\", shown)
                self.place += 1
            elif char in SIGNS or char.isspace():
                break
            name, self.place = name + char, self.place + 1
            if not self.words:
                break
        self.named.append(name)
        return name

    def klass(self) -> Tree:
        """One of several symbols, or any but these."""
        opened = self.place
        self.place += 1
        but = self.next == "^"
        self.place += but
        names: list[str] = []
        while self.next != "]":
            if not self.next:
                shown = f"the end of “{self.pattern}”"
                self.refuse("Wanted a closing bracket ]", shown, len(self.pattern))
            if self.next in SIGNS and self.next != "\\":
                self.refuse("Wanted symbols between [ and ]", f"“{self.next}”")
            names.append(self.symbol())
            span = self.pattern[self.place : self.place + 1] == "-" and not self.words
            if span and self.pattern[self.place + 1 : self.place + 2] not in ("", "]"):
                self.place += 1
                first, last = names.pop(), self.symbol()
                if ord(first) > ord(last):
                    self.refuse("Wanted a range in order", f"“{first}-{last}”", opened)
                between = [chr(code) for code in range(ord(first), ord(last) + 1)]
                names += between
                self.named += between
        self.place += 1
        if not names:
            self.refuse("Wanted at least one symbol between [ and ]", "none", opened)
        return ("any" if but else "some", names)


def _spelled(tree: Tree, alphabet: list[str], letters: Letters) -> str:
    """The tree as pyformlang writes it; symbols that may stand in one place are one letter.

    So a text is no longer for a large alphabet, and no symbol needs a backslash.
    """
    kind = tree[0]
    if kind in ("some", "any"):
        found = tuple(i for i, name in enumerate(alphabet) if (name in tree[1]) == (kind == "some"))
        if not found:
            raise ConstraintError(
                f"Wanted a symbol that is not among {tree[1]}, but the alphabet is {alphabet}."
            )
        return letters.setdefault(found, f"s{len(letters)}")
    if kind in ("either", "join"):
        parts = [_spelled(part, alphabet, letters) for part in tree[1]]
        return _halved(parts, "|" if kind == "either" else " ")
    _, part, least, most = tree
    once = _spelled(part, alphabet, letters)
    copies = [once] * least
    copies += [f"({once})*"] if most is None else [f"({once}|$)"] * (most - least)
    return _halved(copies, " ")


def _halved(parts: list[str], sign: str) -> str:
    """All parts with a sign between them, in brackets that are no deeper than they must be.

    Of three parts without brackets, pyformlang reads the first and calls itself for the others.
    """
    if len(parts) <= 1:
        return parts[0] if parts else "$"
    middle = len(parts) // 2
    return f"({_halved(parts[:middle], sign)}{sign}{_halved(parts[middle:], sign)})"


def _smallest(spelled: str, alphabet: list[str], letters: Letters) -> tuple[Table, int, list[int]]:
    """The minimal automaton of what pyformlang reads, with states numbered as they are reached.

    Its own `minimize` follows every path, which never ends where there are many.
    """
    try:
        from pyformlang.regular_expression import Regex
    except ImportError as error:
        raise ImportError(
            "Grammars from a pattern need pyformlang: pip install 'shapekeeper[grammar]'. "
            "Grammar.from_table, from_words and from_rules do without."
        ) from error
    moves, ends = _deterministic(Regex(spelled).to_epsilon_nfa(), alphabet, letters)
    leading = _leading(moves, ends)
    kept = {
        state: {symbol: target for symbol, target in onward.items() if target in leading}
        for state, onward in moves.items()
        if state in leading
    }
    block = alike(kept, ends)
    first = {block[state]: state for state in reversed(kept)}
    order = {block[state]: None for state in list(moves)[:1] if state in kept}
    table: Table = []
    for number in (waiting := list(order)):
        for symbol in alphabet:
            target = kept[first[number]].get(symbol)
            if target is None:
                continue
            if block[target] not in order:
                order[block[target]] = None
                waiting.append(block[target])
            table.append((number, symbol, block[target]))
    name = {number: i for i, number in enumerate(order)}
    renamed = [(name[source], symbol, name[target]) for source, symbol, target in table]
    return renamed, 0, sorted({name[block[end]] for end in ends})


def _deterministic(
    machine: Any, alphabet: list[str], letters: Letters
) -> tuple[Moves, set[frozenset]]:
    """Sets of states that words lead to, the start first, and those where words end."""
    meant = {letter: numbers for numbers, letter in letters.items()}
    closed = {state: frozenset(machine.eclose(state)) for state in machine.states}
    onward = {
        state: [
            (meant[letter.value], frozenset().union(*(closed[target] for target in targets)))
            for letter, targets in steps.items()
            if letter.value in meant
        ]
        for state, steps in machine.to_dict().items()
    }
    moves: Moves = {}
    waiting = [frozenset().union(*(closed[state] for state in machine.start_states))]
    for state in waiting:
        if state in moves:
            continue
        found: dict[int, frozenset] = {}
        for part in state:
            for numbers, reached in onward.get(part, []):
                found |= {i: found.get(i, frozenset()) | reached for i in numbers}
        moves[state] = {alphabet[i]: found[i] for i in sorted(found)}
        waiting += dict.fromkeys(found.values())
        if len(moves) > MOST_STATES:
            raise ConstraintError(
                f"Wanted a pattern of at most {MOST_STATES:,} states, got more. Use one that needs "
                "to remember less, or Grammar.from_words."
            )
    return moves, {state for state in moves if state & machine.final_states}


def _leading(moves: Moves, ends: set[frozenset]) -> set[frozenset]:
    """The states that lead to an end."""
    back: dict[frozenset, list[frozenset]] = {}
    for source, onward in moves.items():
        for target in onward.values():
            back.setdefault(target, []).append(source)
    found = set(ends)
    waiting = list(ends)
    for state in waiting:
        waiting += (new := set(back.get(state, [])) - found)
        found |= new
    return found
