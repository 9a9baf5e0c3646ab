"""Tasks that know the call that made them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from math import isfinite
from textwrap import indent
from typing import Any, ParamSpec

from shapekeeper.constraints import FilterShape, Grammar
from shapekeeper.regions import RegionGraph

from .rules import Rule
from .task import Task

__all__ = ["written"]

P = ParamSpec("P")


def written(factory: Callable[P, Task]) -> Callable[P, Task]:
    """Let the tasks that a function makes know the call, as their `code`.

    It stays empty where an argument can't be written down.

    Args:
        factory: A function of `shapekeeper.tasks` that makes a task.

    Returns:
        The same function, whose tasks have their code.

    Example:
        >>> from shapekeeper.tasks import pencil
        >>> pencil(start=(0.0, 0.5)).code
        'sk.tasks.pencil(start=(0.0, 0.5))'
    """

    @wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> Task:
        task = factory(*args, **kwargs)
        given = [*map(_argument, args)]
        named = {name: _argument(value) for name, value in kwargs.items()}
        if all(given) and all(named.values()):
            words = [*given, *(f"{name}={text}" for name, text in named.items())]
            # frozen: assignment goes around the class, as dataclasses do it themselves
            object.__setattr__(task, "code", f"sk.tasks.{factory.__name__}({_joined(words)})")
        return task

    return make


def _argument(value: Any) -> str:
    """A value as Python writes it, or nothing if it can't be written."""
    if isinstance(value, Task):
        return value.code
    if isinstance(value, RegionGraph):
        return value.code().partition("graph = ")[2].strip()
    if isinstance(value, FilterShape | Grammar):
        return "" if "‹" in repr(value) else f"sk.{value!r}"  # a digest is no call
    if isinstance(value, Rule):
        return f"sk.tasks.{value!r}"
    if isinstance(value, tuple | list):
        parts = [*map(_argument, value)]
        return repr(value) if all(parts) and type(value) in (tuple, list) else ""
    if isinstance(value, float):  # of numpy as well
        return repr(float(value)) if isfinite(value) else ""
    return repr(value) if value is None or type(value) in (bool, int, str) else ""


def _joined(words: list[str]) -> str:
    """Arguments in one line, or each in its own if one is longer than a line."""
    if not any("\n" in word for word in words):
        return ", ".join(words)
    return "\n" + "".join(f"{indent(word, '    ')},\n" for word in words)
