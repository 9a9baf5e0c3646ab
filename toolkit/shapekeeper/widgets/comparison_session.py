"""One training of a comparison, as the view tells it: runs, curves, divergences, the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from shapekeeper.compare import Comparison, Run
from shapekeeper.strategies import Strategy
from shapekeeper.widgets import comparison_words as words
from shapekeeper.widgets.comparison_curves import Curves, reduced
from shapekeeper.widgets.comparison_kinds import DASHES, kind_of, look, spaced
from shapekeeper.widgets.drawing_widget import Message

__all__ = ["Session"]


class Session:
    """What is known about the runs of one training.

    Args:
        strategies: Label -> strategy without a sweep.
        filled: Label -> whether the shape holds at every step.
        seeds: How many there are.
        steps: Of each run.

    Attributes:
        curves: The points of each run.
        keys: Label -> what the browser calls the run.
        lost: Label -> when a run left the finite numbers, and in which seeds.
        notes: What a reader of the numbers should know.
        reference: Label of the run that the others are compared with.

    Example:
        >>> from shapekeeper import Penalty
        >>> session = Session(dict(a=Penalty(0.1), b=Penalty(1.0)), dict(a=False, b=False), 2, 100)
        >>> [run["dash"] for run in session.shown()]
        ['5 3', '']
        >>> nan = dict(loss=float("nan"), metric=float("nan"), violation=float("nan"))
        >>> session.take([dict(strategy="b", seed=1, step=8, diverged=True, **nan)])
        ['b diverged; the others go on.']
    """

    def __init__(
        self, strategies: Mapping[str, Strategy], filled: Mapping[str, bool], seeds: int, steps: int
    ):
        self.strategies, self.filled = dict(strategies), dict(filled)
        self.seeds, self.steps = seeds, steps
        self.keys = {label: f"r{i}" for i, label in enumerate(self.strategies)}
        self.curves = Curves(self.keys)
        self.values: dict[str, float | None] = dict.fromkeys(self.strategies)
        self.lost: dict[str, dict[str, Any]] = {}
        self.notes: list[str] = []
        self.reference = next(iter(self.strategies))
        self._tenths = 0

    # While it trains

    def take(self, rows: Iterable[Mapping[str, Any]]) -> list[str]:
        """New rows of the table; what is worth hearing about them."""
        rows = list(rows)
        self.curves.add(rows)
        found = []
        for label in dict.fromkeys(row["strategy"] for row in rows):
            mine = [row for row in rows if row["strategy"] == label]
            newest = max(row["step"] for row in mine)
            self.values[label] = reduced(r["metric"] for r in mine if r["step"] == newest)[0]
            found += self._losses(label, [row for row in mine if row["diverged"]])
        return found

    def _losses(self, label: str, rows: list[Mapping[str, Any]]) -> list[str]:
        if not rows:
            return []
        new = label not in self.lost
        first = min(row["step"] for row in rows)
        lost = self.lost.setdefault(label, {"step": first, "seeds": [], "of": self.seeds})
        lost["seeds"] = sorted({*lost["seeds"], *(row["seed"] for row in rows)})
        return [self._warning(label)["text"]] if new else []

    def warned(self, text: str) -> None:
        """A warning is a note."""
        self.notes.append(text)

    def listen(self, run: Run) -> None:
        """What the run has noted until now."""
        begun = [part for part in run.parts if part.history]
        remarks = [note for part in begun for note in [*part.notes, *part.warnings()]]
        remarks += run.words_of_evolution() if run.finished else []  # they count on until then
        self.notes = [*dict.fromkeys([*self.notes, *run.notes, *remarks])]

    def tenth(self, step: int) -> str:
        """What to say at each tenth of the way."""
        tenths = 10 * step // self.steps
        if tenths <= self._tenths or tenths == 10:
            return ""
        self._tenths = tenths
        return f"Step {step} of {self.steps}, {10 * tenths} %."

    def warnings(self) -> list[Message]:
        """One message for each run that left the finite numbers."""
        return [self._warning(label) for label in self.lost]

    def _warning(self, label: str) -> Message:
        held = [s for name, s in self.strategies.items() if name not in self.lost]
        strategy, alone = self.strategies[label], len(self.strategies) == 1
        return words.diverged(label, strategy, alone, held, kind_of(strategy).way)

    def remarks(self) -> list[Message]:
        """The notes as messages."""
        return [words.note(text) for text in dict.fromkeys(self.notes)]

    def shown(self) -> list[dict[str, Any]]:
        """The runs for the browser."""
        kinds = [type(strategy).__name__ for strategy in self.strategies.values()]
        return [
            self._shown(label, kinds[i], kinds.count(kinds[i]), kinds[:i].count(kinds[i]))
            for i, label in enumerate(self.strategies)
        ]

    def _shown(self, label: str, name: str, alike: int, place: int) -> dict[str, Any]:
        usual = label == name or label.startswith(f"{name} ")
        return {
            "key": self.keys[label],
            "label": label,
            "name": spaced(name) if usual else label,
            "words": label.removeprefix(name).strip() if usual else "",
            "kind": name,
            "look": look(kind_of(self.strategies[label]), self.filled[label]),
            "dash": DASHES[place % len(DASHES)] if alike > 1 else "",
            "value": None if label in self.lost else self.values[label],
            "diverged": self.lost.get(label),
        }

    # When it has trained

    def table(self, found: Comparison, at: int | None) -> dict[str, Any]:
        """The results for the browser.

        Args:
            found: The comparison.
            at: The step at which it was left, or None.
        """
        summary, final = found.summary(self.reference), found.final()
        rows = [
            self._row(found, label, summary.loc[label], final.loc[label])
            for label in found.strategies
        ]
        return {
            "reference": self.keys[self.reference],
            "at": at,
            "metric": found.metric_name,
            "better": found.better,
            "unit": found.unit,
            "rows": rows,
        }

    def _row(self, found: Comparison, label: str, summary: Any, final: Any) -> dict[str, Any]:
        lost = self.lost.get(label)
        told = words.not_ranked(lost["step"], len(lost["seeds"]), lost["of"]) if lost else ""
        numbers = {
            "metric": summary["metric"],
            "metric_sd": summary["metric_sd"],
            "held": summary["metric_held"],
            "held_sd": summary["metric_held_sd"],
            "violation": summary["violation"],
            **{name: summary[name] for name in ("difference", "low", "high")},
        }
        row = {name: None if lost else _finite(value) for name, value in numbers.items()}
        if label == self.reference or self.reference in self.lost:
            row |= dict.fromkeys(("difference", "low", "high"))
        low, high = row["low"], row["high"]
        columns = {"violation": "violation", "metric": "metric", "held": "metric_held"}
        return {
            "key": self.keys[label],
            "holds": found.holds(label),
            **row,
            "clear": low is not None and high is not None and (low > 0 or high < 0),
            "seconds": _finite(summary["seconds"]),
            "diverged": told,
            "seeds": {
                name: [] if lost else [_finite(value) for value in final[column]]
                for name, column in columns.items()
            },
        }


def _finite(value: Any) -> float | None:
    return float(value) if isfinite(value) else None
