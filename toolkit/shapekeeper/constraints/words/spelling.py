"""From an automaton back to a short regular expression."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

from ..constraint import ConstraintError
from .automaton import Automaton, State
from .merging import alike
from .patterns import SIGNS

__all__ = ["merged", "spelled"]

WIDTH = 6  # orders of elimination that are kept beside each other
MANY = 10  # states, above which only the cheapest next one is eliminated

# ("symbol", name), ("join", parts), ("either", parts), ("star" | "plus" | "maybe", part);
# the empty word is a join of nothing, and None is the language without words
Tree: TypeAlias = tuple[Any, ...]
Edges: TypeAlias = dict[tuple[State, State], Tree]

EMPTY: Tree = ("join", ())
FIRST, LAST = -1, -2  # beside the merged states 0, 1, ...


def spelled(automaton: Automaton) -> str:
    r"""A short regular expression of an automaton's words, as `Automaton.from_pattern` reads it.

    States are eliminated one after the other (Brzozowski & McCluskey 1963, "Signal flow graph
    techniques for sequential circuit state diagrams"), in the order that gives the shortest text
    of those tried; what repeats is drawn together on the way. The shortest of all is not looked
    for: that is a hard problem (PSPACE-complete).

    Args:
        automaton: Any automaton that has words.

    Returns:
        A pattern. If a symbol is longer than a character, all are words between blanks.

    Raises:
        ConstraintError: If the automaton has no words.

    Example:
        >>> spelled(Automaton({(0, "a"): 1, (1, "b"): 0, (0, "c"): 2}, start=0, ends=2))
        '(ab)*c'
    """
    if not automaton.trimmed().ends:
        raise ConstraintError(
            "Wanted an automaton with words, got one whose start reaches no end; add a step or an "
            "end."
        )
    words = any(len(symbol) > 1 for symbol in automaton.symbols)
    tree = _eliminated(merged(automaton.trimmed()), words)
    text = _text(tree, words)
    return f"( {text} )" if words and " " not in text else text


# Automaton


def merged(automaton: Automaton) -> Automaton:
    """The same words over states 0, 1, ... of which no two are alike.

    Args:
        automaton: One without states that are in no word.

    Example:
        >>> chain = Automaton({(0, "a"): 1, (1, "a"): 2, (2, "a"): 1}, start=0, ends=[1, 2])
        >>> merged(chain)
        Automaton({(0, 'a'): 1, (1, 'a'): 1}, start=0, ends=[1])
    """
    block = alike({state: automaton.moves(state) for state in automaton.states}, automaton.ends)
    return Automaton(
        [(block[s], symbol, block[t]) for s, symbol, t in automaton.steps],
        start=block[automaton.start],
        ends={block[end] for end in automaton.ends},
        symbols=automaton.symbols,
    )


def _eliminated(automaton: Automaton, words: bool) -> Tree:
    edges: Edges = {}
    for source, symbol, target in automaton.steps:
        edge = (source, target)
        edges[edge] = _either(edges.get(edge), ("symbol", symbol))
    inner = set(automaton.states)
    edges[FIRST, automaton.start] = EMPTY
    for end in automaton.ends:
        edges[end, LAST] = EMPTY
    width = WIDTH if len(inner) <= MANY else 1
    beam = [(edges, inner)]
    for _ in range(len(inner)):
        found: dict[frozenset[State], tuple[int, Edges, set[State]]] = {}
        for held, left in beam:
            chosen = left if width > 1 else {min(left, key=lambda k: _fan(held, k))}
            for state in automaton.states:
                if state not in chosen:
                    continue
                rest = frozenset(left - {state})
                new = _without(held, state)
                price = sum(_length(tree, words) for tree in new.values())
                if rest not in found or price < found[rest][0]:
                    found[rest] = (price, new, set(rest))
        ranked = sorted(found.values(), key=lambda entry: entry[0])
        beam = [(new, left) for _, new, left in ranked[:width]]
    return beam[0][0][FIRST, LAST]


def _fan(edges: Edges, state: State) -> int:
    """How many new edges it takes to do without a state."""
    into = sum(target == state != source for source, target in edges)
    return into * sum(source == state != target for source, target in edges)


def _without(edges: Edges, state: State) -> Edges:
    """The same words over one state less."""
    into = [(s, tree) for (s, t), tree in edges.items() if t == state != s]
    out = [(t, tree) for (s, t), tree in edges.items() if s == state != t]
    around = (state, state) in edges and _star(edges[state, state])
    left = {edge: tree for edge, tree in edges.items() if state not in edge}
    for source, before in into:
        for target, after in out:
            through = _join(before, around or EMPTY, after)
            left[source, target] = _either(left.get((source, target)), through)
    return left


# Trees, as short as simple rules make them


def _parts(tree: Tree, kind: str) -> tuple[Tree, ...]:
    return tree[1] if tree[0] == kind else (tree,)


def _is_empty_allowed(tree: Tree) -> bool:
    kind, inside = tree
    if kind == "join":
        return all(map(_is_empty_allowed, inside))
    if kind == "either":
        return any(map(_is_empty_allowed, inside))
    return kind in ("star", "maybe") or (kind == "plus" and _is_empty_allowed(inside))


def _star(tree: Tree) -> Tree:
    kind, inside = tree
    if tree == EMPTY:
        return EMPTY
    if kind in ("star", "plus", "maybe"):
        return _star(inside)
    if kind == "join" and _is_empty_allowed(tree):  # (a*b*)* is (a|b)*
        return _star(_either(*inside))
    if kind == "either":
        bare = [part[1] if part[0] in ("star", "plus", "maybe") else part for part in inside]
        inner = _either(*(part for part in bare if part != EMPTY))
        return ("star", inner[1] if inner[0] in ("star", "plus", "maybe") else inner)
    return ("star", tree)


def _maybe(tree: Tree) -> Tree:
    if _is_empty_allowed(tree):
        return tree
    return ("star", tree[1]) if tree[0] == "plus" else ("maybe", tree)


@lru_cache(maxsize=20_000)
def _join(*trees: Tree) -> Tree:
    parts: list[Tree] = []
    for part in (part for tree in trees for part in _parts(tree, "join")):
        parts.append(part)
        while _drawn_together(parts):
            pass
    return parts[0] if len(parts) == 1 else ("join", tuple(parts))


def _drawn_together(parts: list[Tree]) -> bool:
    """A a* is a+, and so is a* a; a* a* is a*; whether the end of the list became shorter."""
    kind, inside = parts[-1]
    if kind in ("star", "plus"):
        body = list(_parts(inside, "join"))
        before = parts[-1 - len(body) : -1]
        if kind == "star" and before == body:
            parts[-1 - len(body) :] = [("plus", inside)]
            return True
        if len(parts) > 1 and parts[-2][0] in ("star", "maybe") and parts[-2][1] == inside:
            parts[-2:] = [parts[-1]]
            return True
        if kind == "star" and len(parts) > 1 and parts[-2] == ("plus", inside):
            parts.pop()
            return True
    for back in range(2, len(parts) + 1):
        if parts[-back][0] == "star":
            body = list(_parts(parts[-back][1], "join"))
            if parts[len(parts) - back + 1 :] == body:
                parts[-back:] = [("plus", parts[-back][1])]
                return True
    if len(parts) > 1 and kind == "maybe" and parts[-2] in (("star", inside),):
        parts.pop()
        return True
    return False


@lru_cache(maxsize=20_000)
def _either(*trees: Tree | None) -> Tree:
    given = [part for tree in trees if tree is not None for part in _parts(tree, "either")]
    allowed = any(map(_is_empty_allowed, given))
    parts = [part[1] if part[0] == "maybe" else part for part in given if part != EMPTY]
    parts = list(dict.fromkeys(part for tree in parts for part in _parts(tree, "either")))
    for kind in ("star", "plus"):
        wider = {part[1] for part in parts if part[0] == kind}
        narrow = [("plus", inside) for inside in wider] if kind == "star" else []
        parts = [part for part in parts if part not in wider and part not in narrow]
    parts = _shared(_shared(parts, 0), -1)
    if not parts:
        return EMPTY
    tree = parts[0] if len(parts) == 1 else ("either", tuple(parts))
    return _maybe(tree) if allowed else tree


def _shared(parts: list[Tree], side: int) -> list[Tree]:
    """What begins (0) or ends (-1) alike, once: ab|ac is a(b|c)."""
    groups: dict[Tree, list[Tree]] = {}
    for part in parts:
        groups.setdefault(_parts(part, "join")[side], []).append(part)
    found = []
    for edge, members in groups.items():
        if len(members) == 1:
            found += members
            continue
        rests = [
            _join(*(_parts(m, "join")[1:] if side == 0 else _parts(m, "join")[:-1]))
            for m in members
        ]
        rest = _either(*rests)
        found.append(_join(edge, rest) if side == 0 else _join(rest, edge))
    return list(dict.fromkeys(part for tree in found for part in _parts(tree, "either")))


# Text


@lru_cache(maxsize=20_000)
def _length(tree: Tree, words: bool) -> int:
    return len(_text(tree, words))


def _text(tree: Tree, words: bool) -> str:
    kind, inside = tree
    if kind == "symbol":
        return "".join(f"\\{char}" if char in SIGNS else char for char in inside)
    if kind == "join":
        return (" " if words else "").join(_closed(part, words, "either") for part in inside)
    if kind == "either":
        return _choice(inside, words) or "|".join(sorted(_text(part, words) for part in inside))
    sign = {"star": "*", "plus": "+", "maybe": "?"}[kind]
    return _closed(inside, words, "either", "join", "star", "plus", "maybe") + sign


def _choice(parts: tuple[Tree, ...], words: bool) -> str:
    """[abc], where that is shorter than (a|b|c) and no harder to read."""
    names = sorted(part[1] for part in parts if part[0] == "symbol")
    if words or len(names) < len(parts) or len(names) < 3:
        return ""
    return f"[{''.join(f'{chr(92)}{c}' if c in SIGNS + '-' else c for c in names)}]"


def _closed(tree: Tree, words: bool, *kinds: str) -> str:
    """A part, in brackets where it would be read with its neighbors."""
    bare = tree[0] not in kinds or (tree[0] == "either" and bool(_choice(tree[1], words)))
    return _text(tree, words) if bare else f"({_text(tree, words)})"
