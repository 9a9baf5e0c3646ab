"""Checks of exercises: not yet, wrong or right.

A check tries the reader's answer on instances that the reader has not seen. It tests properties,
never the text of the answer, and it answers the usual wrong answers by name.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from shapekeeper.course.cards import AMBER, GREEN, RED, card

_exercises: dict[str, Callable[[Any], str]] = {}
_examples: dict[str, Callable[[], Any]] = {}
_strict = False

NOT_YET = "Replace the dots by your answer, then run this cell again."


class NotRight(AssertionError):
    """A check that is not right, after `strict()`."""


class Wrong(Exception):
    """What a check raises about a wrong answer.

    Args:
        why: One or two sentences to the reader.
        wanted: What a right answer gives.
        got: What this one gave.
    """

    def __init__(self, why: str, wanted: object = "", got: object = ""):
        super().__init__(why)
        self.wanted, self.got = str(wanted), str(got)


class Unwritten(Exception):
    """What a check raises about a function that returns nothing yet."""


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check found; true only if the answer is right.

    Attributes:
        key: The exercise, such as "00.1".
        state: "todo" (amber), "wrong" (red) or "right" (green).
        message: What to do, why it is wrong, or something new about the right answer.
        wanted: For a wrong answer, what a right one gives.
        got: For a wrong answer, what it gave.

    >>> Verdict("00.3", "wrong", "Too small.", wanted="99.5", got="3")
    00.3 wrong. Too small.
      wanted: 99.5
      got: 3
    """

    key: str
    state: Literal["todo", "wrong", "right"]
    message: str
    wanted: str = ""
    got: str = ""

    def __bool__(self) -> bool:
        return self.state == "right"

    @property
    def _head(self) -> str:
        return f"{self.key} {'not yet' if self.state == 'todo' else self.state}."

    @property
    def _details(self) -> list[str]:
        pairs = (("wanted", self.wanted), ("got", self.got))
        return [f"{name}: {text}" for name, text in pairs if text]

    def __repr__(self) -> str:
        return "\n  ".join([f"{self._head} {self.message}", *self._details])

    def _repr_html_(self) -> str:
        color = {"todo": AMBER, "wrong": RED, "right": GREEN}[self.state]
        return card(self._head, [self.message, *self._details], color)


def exercise(key: str, example: Callable[[], Any] | None = None):
    """Register a check.

    Args:
        key: The exercise it belongs to.
        example: Makes one instance for the reader to try; not among those the check uses.

    Returns:
        A decorator for a function that takes the answer, and returns the sentence for a right one
        or raises `Wrong` or `Unwritten`.
    """

    def register(judge: Callable[[Any], str]) -> Callable[[Any], str]:
        _exercises[key] = judge
        if example is not None:
            _examples[key] = example
        return judge

    return register


def check(key: str, answer: Any) -> Verdict:
    """Judge an answer. Never raises about the answer, unless `strict()` was called.

    Args:
        key: The exercise, such as "00.1".
        answer: What the exercise asks for; `...` and None mean "not yet".

    Returns:
        A verdict that notebooks show as a card; true only if the answer is right.

    Raises:
        KeyError: There is no such exercise.
        NotRight: After `strict()`, if the answer is not right.

    >>> check("00.3", ...)
    00.3 not yet. Replace the dots by your answer, then run this cell again.
    >>> bool(check("00.3", 99.5))
    True
    """
    verdict = _judge(key, _named(_exercises, key, "exercise"), answer)
    if _strict and not verdict:
        raise NotRight(repr(verdict))
    return verdict


def example(key: str) -> Any:
    """One instance of an exercise to try an answer on; the check uses others.

    Args:
        key: The exercise, such as "00.2".

    Returns:
        One instance, such as a table.

    Raises:
        KeyError: There is no such exercise, or it needs no example.

    >>> example("00.2").columns.tolist()
    ['metric', 'metric_held', 'violation']
    """
    return _named(_examples, key, "exercise with an example")()


def strict() -> None:
    """From now on a check that is not right raises `NotRight`; for solutions notebooks."""
    global _strict
    _strict = True


def called(function: Callable, *arguments: Any) -> Any:
    """What the reader's function returns.

    Raises:
        Wrong: It is no function, or it stopped with an exception.
        Unwritten: It returned nothing.
    """
    result = attempted(function, *arguments)
    if result is None or result is ...:
        name = getattr(function, "__name__", "your function")
        raise Unwritten(f"{name} returns nothing yet. Write its body, and `return` the answer.")
    return result


def attempted(function: Callable, *arguments: Any) -> Any:
    """What the reader's function returns, if only None.

    Raises:
        Wrong: It is no function, or it stopped with an exception.
    """
    if not callable(function):
        raise Wrong("This is no function.", "a function", f"a {type(function).__name__}")
    try:
        return function(*arguments)
    except Exception as error:
        name = getattr(function, "__name__", "Your function")
        raise Wrong(f"{name} stopped with an exception.", got=last_line(error)) from error


def number(answer: Any) -> float:
    """The answer as a float.

    Raises:
        Wrong: It is no number.
    """
    try:
        return float(answer)
    except (TypeError, ValueError) as error:
        raise Wrong("This is no number.", "a number", f"a {type(answer).__name__}") from error


def last_line(error: BaseException) -> str:
    """The last line of an exception, which says what went wrong.

    >>> last_line(KeyError("size"))
    "KeyError: 'size'"
    """
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]


def _judge(key: str, judge: Callable[[Any], str], answer: Any) -> Verdict:
    if answer is None or answer is ...:
        return Verdict(key, "todo", NOT_YET)
    try:
        return Verdict(key, "right", judge(answer))
    except Unwritten as error:
        return Verdict(key, "todo", str(error))
    except Wrong as error:
        return Verdict(key, "wrong", str(error), error.wanted, error.got)
    except Exception as error:  # an answer of a kind that no check thought of
        return Verdict(key, "wrong", "This answer cannot be read.", got=last_line(error))


def _named(registry: dict[str, Callable], key: str, what: str) -> Callable:
    if key in registry:
        return registry[key]
    close = get_close_matches(str(key), registry, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise KeyError(f"There is no {what} {key!r}; there are {', '.join(sorted(registry))}.{hint}")
