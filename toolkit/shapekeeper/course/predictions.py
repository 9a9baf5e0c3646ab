"""Guesses that a reader makes before a run. They are never graded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from shapekeeper.course.cards import AMBER, BLUE, card

NO_GUESS = "No guess yet. Two seconds of guessing are worth ten minutes of reading."
KINDS = (
    "A guess is a number, an order of names, a point (x, y), points in a list, "
    "or one of these for each name"
)

_guesses: dict[str, Any] = {}


@dataclass(frozen=True, repr=False)
class Prediction:
    """A guess, or what became of it.

    Attributes:
        key: The prediction, such as "02.A".
        guess: A number, an order of names, a point (x, y), points in a list, a dict of these;
            None: no guess.
        message: What there is to say about it, one line each.
    """

    key: str
    guess: Any
    message: str

    def __repr__(self) -> str:
        return self.message

    def _repr_html_(self) -> str:
        color = AMBER if self.guess is None else BLUE
        return card(f"Prediction {self.key}", self.message.splitlines(), color)


def predict(key: str, guess: Any) -> Prediction:
    """Note a guess, so that `reveal` can lay the result beside it.

    Args:
        key: The prediction, such as "02.A".
        guess: A number, a list of names in order, a point (x, y), a list of points (such as before
            and after), or a dict with one of these for each name; None for no guess.

    Returns:
        What notebooks show as a card.

    >>> predict("00.A", None)
    No guess yet. Two seconds of guessing are worth ten minutes of reading.
    >>> predict("00.A", 80)
    Noted: 80. The run will tell.
    """
    if guess is ...:
        guess = None
    if guess is not None and not _is_guess(guess):
        message = f"{KINDS}. This is a {type(guess).__name__}: {guess!r}."
        guess = None
    else:
        message = NO_GUESS if guess is None else f"Noted: {_told(guess)}. The run will tell."
    _guesses[key] = guess
    return Prediction(key, guess, message)


def reveal(key: str, outcome: Any) -> Prediction:
    """Lay a result beside the guess made for it.

    Args:
        key: The prediction, such as "02.A".
        outcome: For a number, the values of all seeds; for an order, the names as they came out;
            for a point, an array (seeds, 2); for points in a list, an array (seeds, points, 2);
            for a dict of guesses, a dict of these.

    Returns:
        One line per result, which notebooks show as a card; the spread is the standard deviation
        over seeds.

    >>> _ = predict("00.A", 80)
    >>> reveal("00.A", [20.0, 30.0, 40.0])
    You said 80, it is 30, spread 10.
    """
    guess = _guesses.get(key)
    if not isinstance(outcome, Mapping):
        return Prediction(key, guess, _compared(guess, outcome))
    guesses = guess if isinstance(guess, Mapping) else {}
    lines = [f"{name}: {_compared(guesses.get(name), found)}" for name, found in outcome.items()]
    return Prediction(key, guess, "\n".join(lines))


def _compared(guess: Any, outcome: Any) -> str:
    said = "No guess. It" if guess is None else f"You said {_told(guess)}, it"
    if _is_order(outcome):
        return f"{said} is {_told(outcome)}.{_swapped(guess, outcome)}"
    values = np.asarray(outcome, dtype=float)
    if _is_point(guess) or values.ndim == 2:
        values = values.reshape(-1, 2)
    mean = np.atleast_1d(values).mean(axis=0)
    if len(np.atleast_1d(values)) < 2:
        return f"{said} is {_told(mean)} (one seed)."
    return f"{said} is {_told(mean)}, spread {_told(values.std(axis=0, ddof=1))}."


def _swapped(guess: Any, outcome: Sequence[str]) -> str:
    if guess is None:
        return ""
    pairs = [pair for pair in combinations(outcome, 2) if set(pair) <= set(guess)]
    swapped = sum(guess.index(first) > guess.index(second) for first, second in pairs)
    return f" {swapped} of {len(pairs)} pairs came out the other way round."


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_told(one)}" for name, one in value.items())
    if _is_order(value):
        return " → ".join(value)
    if np.ndim(value) == 2:
        return " → ".join(map(_told, value))
    if np.ndim(value) == 1:
        return f"({', '.join(_told(one) for one in value)})"
    return f"{float(value):.3g}"


def _is_guess(guess: Any) -> bool:
    if isinstance(guess, Mapping):
        return bool(guess) and all(_is_guess(one) for one in guess.values())
    return _is_order(guess) or _is_point(guess) or _is_points(guess) or _is_number(guess)


def _is_number(guess: Any) -> bool:
    return isinstance(guess, int | float | np.number) and not isinstance(guess, bool)


def _is_order(guess: Any) -> bool:
    names = isinstance(guess, list | tuple) and len(guess) > 1
    return names and all(isinstance(name, str) for name in guess)


def _is_point(guess: Any) -> bool:
    pair = isinstance(guess, list | tuple) and len(guess) == 2
    return pair and all(_is_number(number) for number in guess)


def _is_points(guess: Any) -> bool:
    several = isinstance(guess, list | tuple) and len(guess) > 1
    return several and all(_is_point(point) for point in guess)
