"""The curves of a comparison, seeds reduced to mean, low and high."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

__all__ = ["Curves"]

MOST = 400  # points of a curve; beyond, every second one is dropped
CURVES = ("loss", "metric", "violation")
Point = list[float | None]


class Curves:
    """Points of every run, and which of them the browser has not got yet.

    Args:
        keys: Label -> what the browser calls the run.

    Example:
        >>> curves = Curves({"Projection": "r0"})
        >>> row = {"strategy": "Projection", "step": 0, "metric": 0.5, "violation": 0.0}
        >>> curves.add([row | {"loss": 1.0}, row | {"loss": 2.0}, row | {"loss": float("nan")}])
        >>> curves.news()["runs"]["r0"]["loss"]
        [[1.5, 1.0, 2.0]]
        >>> curves.news()
        {}
    """

    def __init__(self, keys: Mapping[str, str]):
        self.keys = dict(keys)
        self.points: dict[str, dict[str, list[Any]]] = {
            key: {name: [] for name in ("step", *CURVES)} for key in self.keys.values()
        }
        self._sent = dict.fromkeys(self.points, 0)
        self._fresh = True

    @property
    def started(self) -> bool:
        """Whether there is a point."""
        return any(points["step"] for points in self.points.values())

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Rows of the table; those of one strategy and step come together."""
        groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
        for row in rows:
            groups.setdefault((self.keys[row["strategy"]], row["step"]), []).append(row)
        for (key, step), seeds in groups.items():
            points = self.points[key]
            points["step"].append(step)
            for name in CURVES:
                points[name].append(reduced(row[name] for row in seeds))
            if len(points["step"]) > MOST:
                self._thin(points)

    def _thin(self, points: dict[str, list[Any]]) -> None:
        """Every second point, and the newest."""
        for name, values in points.items():
            points[name] = [*values[:-1:2], values[-1]]
        self._fresh = True

    def news(self) -> dict[str, Any]:
        """A message with the points that were not sent yet; nothing if there are none."""
        if self._fresh:
            return self.everything()
        runs = {
            key: {name: values[self._sent[key] :] for name, values in points.items()}
            for key, points in self.points.items()
            if len(points["step"]) > self._sent[key]
        }
        self._note_sent()
        return {"kind": "points", "fresh": False, "runs": runs} if runs else {}

    def everything(self) -> dict[str, Any]:
        """A message with all points, for a view that knows none."""
        self._note_sent()
        self._fresh = False
        runs = {key: {n: [*v] for n, v in points.items()} for key, points in self.points.items()}
        return {"kind": "points", "fresh": True, "runs": runs}

    def _note_sent(self) -> None:
        self._sent = {key: len(points["step"]) for key, points in self.points.items()}


def reduced(values: Iterable[float]) -> Point:
    """Mean, lowest and highest of the finite values; nothing where none is finite."""
    finite = [float(value) for value in values if isfinite(value)]
    if not finite:
        return [None, None, None]
    return [sum(finite) / len(finite), min(finite), max(finite)]
