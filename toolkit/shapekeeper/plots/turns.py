"""Where one task ends and the next begins, over any plot against the step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes

from .ink import TINY, Ink

__all__ = ["Turn", "mark_turns", "turns_of"]


class Turn(NamedTuple):
    """One task, from the step it began after to its last step.

    Example:
        >>> Turn(0, 150, "easy")
        Turn(start=0, end=150, task='easy')
    """

    start: int
    end: int
    task: str


def turns_of(frame: pd.DataFrame, names: tuple[str, ...] = ()) -> list[Turn]:
    """The tasks of a table of runs, in turn.

    Args:
        frame: With a column `step`, perhaps `turn` (the number of the task), perhaps `task`.
        names: What to call the tasks; by default as the table does, or else by number.

    Returns:
        At least one.

    Example:
        >>> turns_of(pd.DataFrame({"step": [0, 5, 9], "turn": [0, 0, 1]}), ("easy", "hard"))
        [Turn(start=0, end=5, task='easy'), Turn(start=5, end=9, task='hard')]
    """
    frame = frame if "turn" in frame else frame.assign(turn=0)
    found: list[Turn] = []
    for k, (_, rows) in enumerate(frame.groupby("turn", sort=True)):
        known = str(rows["task"].to_list()[0]) if "task" in frame else f"task {k + 1}"
        steps = rows["step"].to_numpy(int)
        start = found[-1].end if found else int(steps.min())
        found.append(Turn(start, int(steps.max()), names[k] if names else known))
    return found


def mark_turns(ax: Axes, turns: Iterable[Turn]) -> None:
    """A hairline where the task changes, and above each part what it is called."""
    ink, around = Ink.of(ax), Ink.around(ax)
    spans: dict[tuple[int, int], dict[str, None]] = {}
    for turn in turns:
        spans.setdefault(turn[:2], {})[turn.task] = None
    for start, _ in spans:
        if start > ax.get_xlim()[0]:
            ax.axvline(start, color=ink.mix(0.45), linewidth=0.8, zorder=1.5)
    for (start, _), names in spans.items():
        ax.annotate(
            " / ".join(names),
            xy=(start, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, 3),
            textcoords="offset points",
            fontsize=TINY,
            color=around.soft,
            annotation_clip=False,
        )
