"""What the comparison view says: before, during and after training, and about what it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from traceback import format_exception
from typing import Any

from shapekeeper.strategies import Penalty, Strategy
from shapekeeper.widgets.drawing_widget import Message

__all__ = [
    "NOTHING_TICKED",
    "NO_TASK",
    "about",
    "before",
    "diverged",
    "duration",
    "failed",
    "finished",
    "first_line",
    "fits",
    "gone_on",
    "not_kept",
    "not_ranked",
    "note",
    "nothing_fits",
    "number",
    "problem",
    "promise",
    "starting",
    "stopped",
    "stopping",
    "twice",
    "wanted_device",
    "wanted_seeds",
    "wanted_whole",
    "working",
]

NO_TASK = ("Wanted a task, got none.", "Pass one: ComparisonView(sk.tasks.digits()).")
NOTHING_TICKED = "Wanted at least one strategy, got none. Tick one."
LOSING_NOTHING = "You can stop at any time and go on later."


def _message(kind: str, text: str, detail: str = "", ways: Iterable[Message] = ()) -> Message:
    return {"kind": kind, "text": text, "detail": detail, "ways": [*ways], "more": ""}


def _halves(sentences: str) -> tuple[str, str]:
    """The statement, and what follows it."""
    text, *rest = re.split(r"(?<=[.!?]) (?=[A-Z“])", sentences, maxsplit=1)
    return text, "".join(rest)


def number(value: float | None, digits: int = 3) -> str:
    """A number for reading aloud.

    Example:
        >>> number(-0.6371), number(None)
        ('−0.637', 'no number')
    """
    return "no number" if value is None else f"{value:.{digits}g}".replace("-", "−")


def many(count: int, thing: str) -> str:
    """So many of a thing.

    Example:
        >>> many(1, "run"), many(5, "seed")
        ('1 run', '5 seeds')
    """
    return f"{count} {thing}{'' if count == 1 else 's'}"


# Time


def duration(seconds: float) -> str:
    """How long something took.

    Example:
        >>> duration(0.42), duration(41.2), duration(111), duration(7500)
        ('0.4 s', '41 s', '1 min 51 s', '2 h 5 min')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def about(seconds: float) -> str:
    """How long something will take, as far as that can be known.

    Example:
        >>> [about(s) for s in (2, 34, 111, 8000)]
        ['a few seconds', 'about 30 seconds', 'about 2 minutes', 'about 2 hours']
    """
    if seconds < 8:
        return "a few seconds"
    if seconds < 55:
        return f"about {10 * round(seconds / 10)} seconds"
    if seconds < 5400:
        return f"about {many(max(1, round(seconds / 60)), 'minute')}"
    return f"about {many(round(seconds / 3600), 'hour')}"


# Before


def before(runs: int, seeds: int, seconds: float | None) -> Message:
    """What will be trained, and how long that takes here if it is known."""
    time = f": {about(seconds)} here." if seconds is not None else "."
    return _message("info", f"{many(runs, 'run')} of {many(seeds, 'seed')}{time}", LOSING_NOTHING)


def problem(sentences: str) -> Message:
    """What has to change before training can begin."""
    return _message("bad", *_halves(sentences))


def fits(reason: str) -> str:
    """Which shapes of the task a strategy can hold."""
    return reason or "every shape of this task"


def promise(always: bool, last: bool, checked: bool, metric: str) -> str:
    """What a strategy promises of the shape."""
    if always:
        return "the shape holds at every step"
    if last:
        return "the shape holds from the last part on"
    if checked:
        return "the shape holds on the inputs that were checked, once a candidate obeys"
    return f"none: read violation and {metric} held"


def nothing_fits(reason: str) -> str:
    """No strategy can train the task."""
    return f"No strategy can train this task. {reason}"


def twice(label: str) -> str:
    """Two runs of one name."""
    return f"Two runs are called “{label}”. Change a setting of one of them, or untick it."


def wanted_whole(text: str) -> str:
    """What a count has to be."""
    return f"Wanted a whole number from 1 up, got “{text}”."


def wanted_seeds(text: str) -> str:
    """What a list of seeds has to be."""
    return f"Wanted a count, or different seeds from 0 up with commas between, got “{text}”."


def wanted_device(text: str, choices: Sequence[str]) -> str:
    """What a device has to be."""
    close = get_close_matches(text, choices, n=1) or [choices[0]]
    return f"Wanted one of {', '.join(choices)}, got “{text}”. Use {close[0]}."


# During


def starting() -> Message:
    """The first thing that is done."""
    return _message("info", "Trying one step of each strategy …")


def working(runs: int, seeds: int, steps: int) -> str:
    """Training begins."""
    return f"Training {many(runs, 'run')} of {many(seeds, 'seed')}, {many(steps, 'step')}."


def stopping() -> Message:
    """The step that is under way is taken to its end."""
    return _message("info", "Stops after this step.")


def note(text: str) -> Message:
    """What a reader of the numbers should know."""
    return _message("info", *_halves(text))


def gone_on(step: int, folder: object) -> Message:
    """A checkpoint was found."""
    text = f"Goes on from step {step}, as kept in “{folder}”."
    return _message("info", text, "Delete that folder to train anew.")


def not_kept(folder: object) -> str:
    """A checkpoint is in the way."""
    return f"This training is not kept. The former one is in “{folder}”; delete that to keep this."


def diverged(
    label: str, strategy: Strategy, alone: bool, held: Iterable[Strategy], way: str
) -> Message:
    """A run left the finite numbers.

    Args:
        label: What it is called.
        strategy: What it is.
        alone: Whether there is no other run.
        held: Strategies of the runs that are finite still.
        way: What to set otherwise, if there is something.
    """
    text = f"{label} diverged." if alone else f"{label} diverged; the others go on."
    told = ["Its loss stopped being a finite number."]
    if isinstance(strategy, Penalty):
        weaker = [s.strength for s in held if isinstance(s, Penalty)]
        if best := max((s for s in weaker if s < strategy.strength), default=0):
            told.append(f"A strength of {best:g} held.")
    ways = [*filter(None, [way]), "a smaller learning rate"]
    told.append(f"Way out: {', or '.join(ways)}.")
    return _message("warn", text, " ".join(told))


# After


def stopped(step: int) -> Message:
    """Training was left, and can be gone on with."""
    detail = "Resume goes on to the same numbers as an unbroken run."
    return _message("info", f"Stopped at step {step}.", detail)


def finished(seconds: float, runs: int, seeds: int, steps: int) -> Message:
    """Training went to its end."""
    told = [many(runs, "run"), f"{many(seeds, 'seed')} each", many(steps, "step")]
    detail = f"{', '.join(told)}, the same start and the same batches."
    return _message("good", f"Finished in {duration(seconds)}.", detail)


def failed(error: BaseException, kept: bool) -> Message:
    """Training raised."""
    lines = f"{type(error).__name__}: {error}".strip().splitlines()
    detail = "What was found until then is kept." if kept else "Nothing was trained."
    more = "".join(format_exception(error))
    return _message("bad", lines[-1].strip(), detail) | {"more": more}


def not_ranked(step: int, lost: int, seeds: int) -> str:
    """What stands in the table where a run has no numbers."""
    return f"diverged at step {step} in {lost} of {many(seeds, 'seed')}; not ranked"


def first_line(label: str, metric: str, row: Mapping[str, Any]) -> str:
    """The first line of the table, read aloud."""
    if row["diverged"]:
        return f"{label}: {row['diverged']}."
    return (
        f"{label}: {metric} {number(row['metric'])}, held {number(row['held'])}, violation "
        f"{number(row['violation'])}, shape holds: {row['holds']}."
    )
