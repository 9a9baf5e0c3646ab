"""Regions, pathways, and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, Field, dataclass, fields
from difflib import get_close_matches
from numbers import Real
from typing import Any

__all__ = ["Pathway", "Problem", "Region", "StructureError"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a graph, in words for the person who draws it.

    Attributes:
        message: What was wanted and what was given.
        detail: The reason, or the way out.
        regions: Names of the regions concerned, so that a drawing can show them.

    Example:
        >>> print(Problem("No input.", "Mark “eye” as input, for example."))
        No input. Mark “eye” as input, for example.
    """

    message: str
    detail: str = ""
    regions: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.message} {self.detail}".strip()


class StructureError(ValueError):
    """A graph that can't be: everything that is wrong with it, at once.

    Attributes:
        found: The problems as values, each with the regions it concerns.
        problems: The same problems as sentences.

    Example:
        >>> error = StructureError([Problem("No input."), Problem("No output.")])
        >>> error.problems
        ['No input.', 'No output.']
    """

    def __init__(self, found: Iterable[Problem]):
        self.found = tuple(found)
        super().__init__(self.found)

    @property
    def problems(self) -> list[str]:
        """Every problem as one or two sentences."""
        return [str(problem) for problem in self.found]

    def __str__(self) -> str:
        if len(self.found) == 1:
            return str(self.found[0])
        return "\n".join([f"{len(self.found)} problems:", *(f"- {p}" for p in self.problems)])


@dataclass(frozen=True, eq=False, repr=False)
class Region:
    """A named group of units: one circle of the drawing.

    A region by itself is not checked; the graph it is put into checks all its parts together.

    Attributes:
        name: What the region is called; every region of a graph has a name of its own.
        size: How many units it has, from 1 up.
        density: The share of open connections among its own units, more than 0 and at most 1.
        position: Where it is drawn, (x, y) in pixels of a canvas 588 wide and 480 high; None
            leaves that to `RegionGraph.arranged`.
        level: Its level in a hierarchy, if one is known; drawings put levels in columns.
        input: True sees all features of the input; a whole number n the next n features, in
            region order; False none.
        output: Whether the answer is read from this region.
        sign: +1 or -1 if all weights from its units to units, its own included, have that sign or
            are zero; None leaves it free.

    Example:
        >>> Region("eye", 32, input=True)
        Region("eye", 32, input=True)
    """

    name: str
    size: int
    density: float = 1.0
    position: tuple[float, float] | None = None
    level: float | None = None
    input: bool | int = False
    output: bool = False
    sign: int | None = None

    def __post_init__(self):
        _set(self, size=whole(self.size), density=number(self.density), sign=whole(self.sign))
        _set(self, position=pair(self.position, number), level=plain(self.level))
        _set(self, input=plain(self.input), output=plain(self.output))

    def _key(self) -> tuple[Any, ...]:
        # True == 1 in Python, but input=True sees all features and input=1 a single one.
        return (*(getattr(self, field.name) for field in fields(self)), type(self.input))

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Region) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return as_call(self)


@dataclass(frozen=True, repr=False)
class Pathway:
    """The channels from one region to another: one arrow of the drawing.

    Attributes:
        source: Name of the region that sends.
        target: Name of the region that receives.
        density: The share of open connections between the two, more than 0 and at most 1.
        known: False marks a pathway that was never tested: drawn dashed, and closed unless asked
            otherwise.
        evidence: How many entries of a database (confirm, contradict) it, if anybody counted.

    Example:
        >>> Pathway("eye", "hand", density=0.25)
        Pathway("eye", "hand", density=0.25)
    """

    source: str
    target: str
    density: float = 1.0
    known: bool = True
    evidence: tuple[int, int] | None = None

    def __post_init__(self):
        _set(self, density=number(self.density), known=plain(self.known))
        _set(self, evidence=pair(self.evidence, whole))

    def __repr__(self) -> str:
        return as_call(self)


def _set(value: Any, **attributes: Any) -> None:
    for name, attribute in attributes.items():
        object.__setattr__(value, name, attribute)


def plain(value: Any) -> Any:
    """A NumPy or PyTorch scalar as its Python value; anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def whole(value: Any) -> Any:
    """A whole number as `int` (tables often hold 64.0); anything else as it is, to be refused."""
    value = plain(value)
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if is_whole else value


def number(value: Any) -> Any:
    """A real number as `float`; anything else as it is, to be refused."""
    value = plain(value)
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else value


def pair(value: Any, convert: Any) -> Any:
    """A list, tuple or array of two as a tuple; anything else as it is."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return tuple(convert(v) for v in value) if isinstance(value, list | tuple) else value


def as_call(value: Any, prefix: str = "") -> str:
    """The call that makes a region or pathway, without arguments at their default.

    Args:
        value: A `Region` or `Pathway`.
        prefix: What stands before the name of the class, e.g. `"sk."`.

    Example:
        >>> as_call(Pathway("eye", "hand"), prefix="sk.")
        'sk.Pathway("eye", "hand")'
    """
    arguments = [_argument(field, getattr(value, field.name)) for field in fields(value)]
    return f"{prefix}{type(value).__name__}({', '.join(filter(None, arguments))})"


def _argument(field: Field, value: Any) -> str:
    if field.default is MISSING:
        return literal(value)
    return f"{field.name}={literal(value)}" if value != field.default else ""


def literal(value: Any) -> str:
    """A value as Python writes it, in double quotes, and whole floats in pairs without `.0`."""
    if isinstance(value, tuple):
        return f"({', '.join(_short(v) for v in value)})"
    text = repr(value)
    if isinstance(value, str) and text[0] == "'" and '"' not in text:
        return f'"{text[1:-1]}"'
    return text


def _short(value: Any) -> str:
    is_whole = isinstance(value, float) and value.is_integer()
    return repr(int(value)) if is_whole else literal(value)


def way_to_name(wrong: Any, names: Iterable[str]) -> str:
    """What to say after a name nobody has: the closest one, else all of them."""
    names = list(names)
    close = get_close_matches(str(wrong), names, n=1)
    if close:
        return f"Did you mean “{close[0]}”?"
    return f"Regions are {listed(names)}." if names else "The graph has no regions yet."


def listed(names: Iterable[str]) -> str:
    """Names in quotes, with commas."""
    return ", ".join(f"“{name}”" for name in names)
