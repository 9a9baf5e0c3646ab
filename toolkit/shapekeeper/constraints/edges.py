"""Connections from lists of edges: a table, a networkx graph.

Readers return arrays `[target, source]`; all that is wrong with a list is raised at once.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from math import isfinite
from typing import Any, TypeAlias

import networkx as nx
import numpy as np
import pandas as pd

from .constraint import ConstraintError

__all__ = ["read_graph", "read_table"]

SHOWN = 5  # names or edges that a message lists before it counts the rest
TURN = "table.rename(columns={'source': 'target', 'target': 'source'})"
NUMBERS = {"sign": "+1, -1 or 0 (either)", "weight": "finite numbers (0 or missing: free)"}

Edge: TypeAlias = tuple[Any, Any]  # source, target


def read_table(
    table: Any, sources: Iterable[Hashable], targets: Iterable[Hashable]
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """What `Connections.from_edges` makes: mask, presets, signs; None where the table has none."""
    table = pd.DataFrame(table)
    sources, targets = list(sources), list(targets)
    absent = [column for column in ("source", "target") if column not in table]
    given = list(map(str, table.columns))
    _raise(
        *_repeated("source", sources),
        *_repeated("target", targets),
        *(f"Wanted a column {column!r}, got {given}." for column in absent),
    )
    edges = list(zip(table["source"].tolist(), table["target"].tolist(), strict=True))
    values = {name: table[name].tolist() for name in NUMBERS if name in table}
    _raise(*_bad_names(edges, sources, targets), *_bad_numbers(edges, values))
    column, row = _places(sources), _places(targets)
    at = [row[target] for _, target in edges], [column[source] for source, _ in edges]
    matrices = {}
    for name, numbers in {"open": [True] * len(edges), **values}.items():
        matrices[name] = np.zeros((len(targets), len(sources)), bool if name == "open" else float)
        matrices[name][at] = numbers if name == "open" else list(map(_number, numbers))
    return matrices["open"], matrices.get("weight"), matrices.get("sign")


def read_graph(
    graph: nx.Graph, sources: Iterable[Hashable], targets: Iterable[Hashable]
) -> np.ndarray:
    """What `Connections.from_networkx` makes: the mask."""
    sources, targets, nodes = list(sources), list(targets), list(graph.nodes)
    _raise(
        *_repeated("source", sources),
        *_repeated("target", targets),
        *_unknown("source", [name for name in sources if name not in graph], nodes),
        *_unknown("target", [name for name in targets if name not in graph], nodes),
    )
    column, row = _places(sources), _places(targets)
    edges = [(a, b) for a, b, *_ in graph.edges]
    if not graph.is_directed():
        edges += [(b, a) for a, b in edges]
    mask = np.zeros((len(targets), len(sources)), bool)
    for source, target in edges:
        if source in column and target in row:
            mask[row[target], column[source]] = True
    if not mask.any():
        back = sum(source in row and target in column for source, target in edges)
        way_out = f" {back} run the other way: use graph.reverse()." if back else ""
        _raise(f"Wanted edges from sources to targets, got none.{way_out}")
    return mask


def _raise(*problems: str) -> None:
    if problems:
        raise ConstraintError(" ".join(problems))


def _places(names: Sequence[Hashable]) -> dict[Hashable, int]:
    return {name: i for i, name in enumerate(names)}


def _repeated(kind: str, names: Sequence[Hashable]) -> Iterator[str]:
    seen: set[Hashable] = set()
    twice = [name for name in names if name in seen or seen.add(name)]
    if twice:
        yield f"Wanted every {kind} once, got {_some(map(repr, twice))} more than once."


def _bad_names(
    edges: list[Edge], sources: Sequence[Hashable], targets: Sequence[Hashable]
) -> Iterator[str]:
    sends, hears = set(sources), set(targets)
    turned = [
        (s, t) for s, t in edges if s in hears and t in sends and not (s in sends and t in hears)
    ]
    others = set(edges) - set(turned)
    others = [edge for edge in edges if edge in others]  # in the order of the table
    yield from _unknown("source", [s for s, _ in others if s not in sends], sources)
    yield from _unknown("target", [t for _, t in others if t not in hears], targets)
    if turned:
        yield f"These look reversed: {_arrows(turned)}. If all are, {TURN} turns them."


def _unknown(kind: str, names: Iterable[Hashable], known: Sequence[Hashable]) -> Iterator[str]:
    missing = dict.fromkeys(names)
    if missing:
        by_text = {str(name): name for name in known}
        yield f"Unknown {kind}s: {_some(_with_match(name, by_text) for name in missing)}."


def _with_match(name: Hashable, by_text: dict[str, Hashable]) -> str:
    close = get_close_matches(str(name), list(by_text), n=1)
    return f"{name!r}{f' (did you mean {by_text[close[0]]!r}?)' if close else ''}"


def _bad_numbers(edges: list[Edge], values: dict[str, list[Any]]) -> Iterator[str]:
    """What is wrong with signs and presets, as far as the table has them."""
    read = {name: list(map(_number, numbers)) for name, numbers in values.items()}
    for name, numbers in read.items():
        allowed = [n is not None and (name != "sign" or n in (-1, 0, 1)) for n in numbers]
        odd = [n for n, fine in zip(values[name], allowed, strict=True) if not fine]
        if odd:
            found = _some(map(repr, dict.fromkeys(odd)))
            yield f"Wanted every {name} as {NUMBERS[name]}, got {found}."
        pairs = dict(zip(reversed(edges), reversed(numbers), strict=True))  # the first of each
        apart = [edge for edge, n in zip(edges, numbers, strict=True) if n != pairs[edge]]
        if apart:
            yield f"Wanted one {name} for each edge, got several for {_arrows(apart)}."
    if len(read) == 2:
        triples = zip(edges, read["sign"], read["weight"], strict=True)
        against = [edge for edge, sign, weight in triples if (sign or 0) * (weight or 0) < 0]
        if against:
            yield f"Wanted weights of the given sign, got the other for {_arrows(against)}."


def _number(value: Any) -> float | None:
    """A finite number; 0 where there is none; None for anything else."""
    if pd.isna(value):
        return 0.0
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None


def _arrows(edges: Iterable[Edge]) -> str:
    return _some(f"{source!r} → {target!r}" for source, target in dict.fromkeys(edges))


def _some(items: Iterable[str]) -> str:
    texts = list(items)
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more
