"""The strategies that a comparison view offers: what they are called, look like, and ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from shapekeeper.strategies import (
    AugmentedLagrangian,
    ConstrainedLangevin,
    Freeze,
    Penalty,
    Projection,
    RejectionEvolution,
    Reparametrization,
    Stage,
    Staged,
    Strategy,
    Unconstrained,
)

__all__ = ["DASHES", "KINDS", "Kind", "Setting", "kind_of", "look", "number_text", "spaced"]

# Members of a sweep share color and mark and differ by dash.
DASHES = ("5 3", "", "1.5 3", "8 3 1.5 3")
SWEEP = "Commas make a sweep."


@dataclass(frozen=True)
class Setting:
    """One setting of a strategy, as a field.

    Attributes:
        name: Name of the argument.
        text: What the field holds at first.
        hint: What may be typed.
        read: Text -> values, more than one for a sweep; raises ValueError with what was wanted.
        choices: All that may be typed, if it is a choice.
    """

    name: str
    text: str
    hint: str
    read: Callable[[str], list[Any]]
    choices: tuple[str, ...] = ()

    def other(self, text: str) -> str:
        """Another text than this one, for a second copy."""
        if self.choices:
            return self.choices[(self.choices.index(text) + 1) % len(self.choices)]
        value = self.read(text)[-1]
        return number_text(value / 2 if self.read is _shares else value * 10)


@dataclass(frozen=True)
class Kind:
    """A strategy as the view offers it.

    Attributes:
        make: Values of the settings -> strategies.
        mark: Name of the mark.
        light: Color on light ground.
        dark: Color on dark ground.
        about: What it does, in one sentence.
        watch: What to look out for.
        settings: What can be set.
        way: What to set otherwise where training leaves the finite numbers.
    """

    make: Callable[..., Strategy | list[Strategy]]
    mark: str
    light: str
    dark: str
    about: str = ""
    watch: str = ""
    settings: tuple[Setting, ...] = ()
    way: str = ""


def number_text(value: float) -> str:
    """A number as short as it can be typed, without loss.

    Example:
        >>> number_text(10.0), number_text(0.1)
        ('10', '0.1')
    """
    return repr(value).removesuffix(".0")


def spaced(name: str) -> str:
    """A class name in words.

    Example:
        >>> spaced("AugmentedLagrangian")
        'Augmented Lagrangian'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)


# Reading fields


def _parts(text: str, wanted: str) -> list[str]:
    parts = [part for part in re.split(r"[,;\s]+", text.strip().replace("−", "-")) if part]
    if not parts:
        raise ValueError(f"Wanted {wanted}, got nothing.")
    if twice := [part for i, part in enumerate(parts) if part in parts[:i]]:
        raise ValueError(f"Wanted each value once, got {twice[0]} twice.")
    return parts


def _numbers(text: str) -> list[float]:
    return [_number(part) for part in _parts(text, "a number, or several, e.g. 0.1, 1, 10")]


def _number(part: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise ValueError(f"Wanted numbers with commas between them, e.g. 0.1, 1, 10, got “{part}”.")
    return value


def _wholes(text: str) -> list[int]:
    parts = _parts(text, "a whole number from 1 up")
    if odd := [part for part in parts if not part.isdecimal() or int(part) < 1]:
        raise ValueError(f"Wanted whole numbers from 1 up, got “{odd[0]}”.")
    return [int(part) for part in parts]


def _shares(text: str) -> list[float]:
    shares = _numbers(text)
    if odd := [share for share in shares if not 0 < share < 1]:
        raise ValueError(f"Wanted a share between 0 and 1, got {number_text(odd[0])}.")
    return shares


def _chosen(choices: Mapping[str, Any]) -> Callable[[str], list[Any]]:
    def read(text: str) -> list[Any]:
        if text not in choices:
            raise ValueError(f"Wanted one of {', '.join(choices)}, got “{text}”.")
        return [choices[text]]

    return read


def _frictions(text: str) -> list[float | None]:
    wanted = "none, a number, or several, e.g. none, 0.1, 1"
    return [None if p.lower() == "none" else _number(p) for p in _parts(text, wanted)]


def _populations(text: str) -> list[int | None]:
    return [None] if text.strip().lower() == "none" else [*_wholes(text)]


def _choice(name: str, choices: Iterable[str] | Mapping[str, Any], text: str, hint: str) -> Setting:
    known = dict(choices) if isinstance(choices, Mapping) else {c: c for c in choices}
    return Setting(name, text, hint, _chosen(known), tuple(known))


def _sweep(name: str, text: str, hint: str) -> Setting:
    return Setting(name, text, f"{SWEEP} {hint}", _numbers)


PARTS: dict[str, Strategy] = {
    "Unconstrained": Unconstrained(),
    "Penalty 0.1": Penalty(0.1),
    "Penalty 1": Penalty(1.0),
    "Penalty 10": Penalty(10.0),
    "Freeze": Freeze(),
    "Projection": Projection(),
    "Reparametrization": Reparametrization(),
}


INSIDE = {"none": None, "Projection": Projection(), "Reparametrization": Reparametrization()}


def _staged(share: float | list[float], first: Strategy, then: Strategy) -> list[Strategy]:
    shares = share if isinstance(share, list) else [share]
    return [Staged(Stage(part, first), Stage(round(1 - part, 12), then)) for part in shares]


# In the order of the list; the colors are those of the plots.
KINDS = {
    "Unconstrained": Kind(
        Unconstrained,
        "x",
        "#5b5b5b",
        "#a7a7a7",
        "Ordinary training: the shape is measured, never held.",
        "what it learns outside the shape is lost when the shape is enforced",
        (
            _choice(
                "start",
                ("constraint", "task"),
                "constraint",
                "constraint: begins where all others begin; task: at the task's own start.",
            ),
        ),
    ),
    "Penalty": Kind(
        Penalty,
        "up",
        "#d57d15",
        "#f19417",
        "Adds to the loss the distance of the weights from the shape, times a strength: they end "
        "near the shape, and what is left over is the violation.",
        "a large strength may need a smaller learning rate",
        (
            _sweep("strength", "0.1, 1, 10", "From 0 up."),
            _choice(
                "norm",
                ("squared", "absolute"),
                "squared",
                "squared: comes near the shape; absolute: arrives where it is strong enough.",
            ),
            _sweep("growth", "1", "Factor after each step outside the shape, from 1 up."),
        ),
        "a smaller strength",
    ),
    "AugmentedLagrangian": Kind(
        AugmentedLagrangian,
        "diamond-open",
        "#9b1a0b",
        "#e25737",
        "A penalty beside a price that is learned: it rises until the shape is met, so that the "
        "penalty can stay weak.",
        "the price needs steps to find its level; follow the violation",
        (
            _sweep("penalty", "1", "From 0 up."),
            _sweep("dual_step", "0.01", "How fast the price is learned, above 0."),
            _sweep("growth", "1", "Factor on the penalty where it is not enough, from 1 up."),
        ),
        "a smaller dual_step, a larger penalty",
    ),
    "Staged": Kind(
        _staged,
        "down",
        "#926800",
        "#dcce49",
        "One strategy for the first part of the steps, another for the rest.",
        "the optimizer starts anew in between",
        (
            Setting("share", "0.5", f"Of the first part. {SWEEP} Between 0 and 1.", _shares),
            _choice("first", PARTS, "Unconstrained", "What holds the shape in the first part."),
            _choice("then", PARTS, "Projection", "What holds the shape in the rest."),
        ),
    ),
    "Freeze": Kind(
        Freeze,
        "square",
        "#207abd",
        "#b5ceee",
        "What the shape binds keeps the value it starts with; everything else trains.",
        "what is frozen learns nothing",
    ),
    "Projection": Kind(
        Projection,
        "circle",
        "#22388a",
        "#73acfb",
        "After the optimizer's step, the weights jump to the nearest value that the shape allows.",
        "above 1, nothing is promised between two projections",
        (Setting("every", "1", f"After each so many steps. {SWEEP} From 1 up.", _wholes),),
    ),
    "Reparametrization": Kind(
        Reparametrization,
        "diamond",
        "#6e9d79",
        "#66daa8",
        "Training moves free numbers, and a chart turns any of them into an allowed value.",
        "a chart bends distances: another learning rate may suit it better",
    ),
    "ConstrainedLangevin": Kind(
        ConstrainedLangevin,
        "hexagon",
        "#9d63fc",
        "#987bfd",
        "Takes its own steps along the shape itself, of all weights; above temperature 0 they "
        "shiver there.",
        "the task's optimizer is not used, so its step size has to be found anew",
        (
            _sweep("step_size", "0.1", "Above 0."),
            _sweep("temperature", "0", "In units of the loss, from 0 up."),
            Setting("friction", "none", f"none: no momenta. {SWEEP} Above 0.", _frictions),
        ),
        "a smaller step_size",
    ),
    "RejectionEvolution": Kind(
        RejectionEvolution,
        "hexagon-open",
        "#c53294",
        "#cc6fc1",
        "Varies all weights at random, without gradients: a network that violates the shape is "
        "rejected, the best of the others is varied on.",
        "where no candidate obeys it learns nothing; its evaluations are forward passes, no steps",
        (
            _sweep("step_size", "0.1", "Of the first variations, above 0."),
            Setting("evaluations", "20000", f"Forward passes of a seed. {SWEEP}", _wholes),
            Setting("population", "none", "none: by the number of weights. From 4.", _populations),
            _choice(
                "violators",
                ("rejected", "ranked"),
                "rejected",
                "rejected: never kept; ranked: behind those that obey, by how much they violate.",
            ),
            _choice("inside", INSIDE, "none", "What weights and layers pass through."),
        ),
        "a smaller step_size",
    ),
}


def kind_of(strategy: Strategy) -> Kind:
    """How a strategy is offered; one that is not in the list explains itself."""
    if (name := type(strategy).__name__) in KINDS:
        return KINDS[name]
    about = (type(strategy).__doc__ or "").strip().partition("\n")[0]
    return Kind(type(strategy), "circle", "#212121", "#e0e0e0", about)


def look(kind: Kind, filled: bool) -> dict[str, Any]:
    """Mark and colors, as the browser wants them.

    Args:
        kind: How the strategy is offered.
        filled: Whether the shape holds at every step.
    """
    return {"mark": kind.mark, "light": kind.light, "dark": kind.dark, "filled": filled}
