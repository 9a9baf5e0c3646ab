"""Context-free rules, unrolled to words of bounded length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from math import inf
from typing import Any, TypeAlias

from ..constraint import ConstraintError
from .lattice import Source

__all__ = ["Rules", "read_rules", "rules_source", "terminals"]

MOST_STACKS = 50_000

Rules: TypeAlias = tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]
Stack: TypeAlias = tuple[str, ...]


def read_rules(rules: Mapping[str, Iterable[Any] | str]) -> Rules:
    """Rules as a value: (name, alternatives), each alternative the symbols that replace the name.

    Args:
        rules: Name -> alternatives, each a text of symbols between blanks, or a sequence of them.
            What has no rule is a symbol of the language. An empty alternative leaves the name out.

    Returns:
        The rules in the order given.

    Raises:
        ConstraintError: If there is no rule, or a name has no alternative.

    Example:
        >>> read_rules({"S": ["a S b", "a b"]})
        (('S', (('a', 'S', 'b'), ('a', 'b'))),)
    """
    if not isinstance(rules, Mapping) or not rules:
        raise ConstraintError(f"Wanted rules such as {{'S': ['a S b', 'a b']}}, got {rules!r}.")
    read = []
    for name, given in rules.items():
        alternatives = [given] if isinstance(given, str) else list(given)
        if not alternatives:
            raise ConstraintError(f"Wanted at least one alternative for {name!r}, got none.")
        split = [tuple(a.split()) if isinstance(a, str) else tuple(a) for a in alternatives]
        read.append((name, tuple(dict.fromkeys(split))))
    return tuple(read)


def terminals(rules: Rules) -> list[str]:
    """The symbols that no rule replaces, sorted.

    Example:
        >>> terminals(read_rules({"S": ["a S b", "a b"]}))
        ['a', 'b']
    """
    names = {name for name, _ in rules}
    used = {symbol for _, alternatives in rules for stack in alternatives for symbol in stack}
    return sorted(used - names)


def rules_source(rules: Rules, start: str) -> Source:
    """The language of rules: a state is the set of all that may still have to be said.

    Each member of a state is a stack of names and symbols, cut where it needs more symbols than are
    left. As sets, states are deterministic whatever the rules: ambiguity counts no word twice, and
    left recursion ends, since rules without empty alternatives make every turn longer.

    Args:
        rules: From `read_rules`.
        start: The name that words come from.

    Returns:
        What a lattice is unrolled from.
    """
    bare = _without_empty(dict(rules))
    least = _least_lengths(bare)

    def need(stack: Stack) -> float:
        return sum(least.get(symbol, 1) for symbol in stack)

    def moves(state: frozenset[Stack], left: int) -> Mapping[str, frozenset[Stack]]:
        found: dict[str, set[Stack]] = {}
        waiting = [stack for stack in state if stack and need(stack) <= left]
        seen = set(waiting)
        while waiting:
            head, *rest = waiting.pop()
            if head not in bare:
                found.setdefault(head, set()).add(tuple(rest))
                continue
            for alternative in bare[head]:
                stack = (*alternative, *rest)
                if stack not in seen and need(stack) <= left:
                    seen.add(stack)
                    waiting.append(stack)
            if len(seen) > MOST_STACKS:
                raise ConstraintError(
                    f"Wanted at most {MOST_STACKS:,} ways to go on after the same symbols, got "
                    "more. Use a shorter length, or rules that are less ambiguous."
                )
        return {symbol: frozenset(found[symbol]) for symbol in sorted(found)}

    return Source(frozenset({(start,)}), moves, lambda state: () in state)


def _without_empty(rules: Mapping[str, tuple[Stack, ...]]) -> dict[str, set[Stack]]:
    """The same words but the empty one, by rules without empty alternatives."""
    empty: set[str] = set()
    while more := {
        name
        for name, alternatives in rules.items()
        if name not in empty and any(set(stack) <= empty for stack in alternatives)
    }:
        empty |= more
    bare: dict[str, set[Stack]] = {}
    for name, alternatives in rules.items():
        bare[name] = set()
        for stack in alternatives:
            choices = [((s,), ()) if s in empty else ((s,),) for s in stack]
            shorter = {tuple(s for part in picked for s in part) for picked in product(*choices)}
            bare[name] |= {found for found in shorter if found and found != (name,)}
    return bare


def _least_lengths(rules: Mapping[str, set[Stack]]) -> dict[str, float]:
    """The fewest symbols that each name stands for; infinite if it never ends."""
    least: dict[str, float] = dict.fromkeys(rules, inf)
    while True:
        shorter = {
            name: min((sum(least.get(s, 1) for s in stack) for stack in stacks), default=inf)
            for name, stacks in rules.items()
        }
        if shorter == least:
            return least
        least = shorter
