"""A comparison as a still picture, for pages without a front end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil, floor, isfinite, log10
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from shapekeeper.widgets.drawing_widget import Message

__all__ = ["picture"]

WIDTH = 720
PLANE = (64, 60, 292, 218)  # left, top, width, height
CURVES = (464, 232, 56, 24)  # left, width, height of each, gap
ROWS = 340  # where the table begins
COLUMNS = {"holds": 300, "metric": 428, "held": 528, "violation": 628}
MARKS = {
    "x": "M-4-4L4 4M4-4L-4 4",
    "up": "M0-5.5L5 4H-5Z",
    "down": "M0 5.5L5-4H-5Z",
    "diamond": "M0-5.5L5.5 0L0 5.5L-5.5 0Z",
    "diamond-open": "M0-5.5L5.5 0L0 5.5L-5.5 0Z",
    "square": "M-4-4H4V4H-4Z",
    "circle": "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0",
    "hexagon": "M-5 0L-2.5-4.4H2.5L5 0L2.5 4.4H-2.5Z",
    "hexagon-open": "M-4.4-2.5V2.5L0 5L4.4 2.5V-2.5L0-5Z",
}
Points = Mapping[str, Mapping[str, Sequence[Any]]]


class Axis(NamedTuple):
    """Where numbers stand between two places; of a logarithmic one, 0 has a place of its own."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    zero: float = 0.0

    def at(self, value: float) -> float:
        """The place of a number."""
        if self.log and value <= 0:
            return self.zero
        share = (log10(value) if self.log else value) - self.low
        return self.start + share / ((self.high - self.low) or 1) * (self.end - self.start)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Places and words."""
        if self.log:
            for power in range(ceil(self.low), floor(self.high) + 1):
                yield self.at(10.0**power), f"{10.0**power:g}"
        else:
            for share in (0, 0.5, 1):
                value = self.low + share * (self.high - self.low)
                yield self.at(value), f"{value:.3g}".replace("-", "−")


def picture(
    setup: Mapping[str, Any],
    runs: Sequence[Mapping[str, Any]],
    result: Mapping[str, Any],
    points: Points,
    messages: Sequence[Message],
) -> str:
    """An SVG image: the price of keeping the shape, the curves, and the table.

    Before anything was trained, it says what would be.

    Args:
        setup: As the browser gets it, as all that follows.
        runs: The runs.
        result: The table, or nothing.
        points: The curves of each run by its key.
        messages: The status strip.

    Example:
        >>> setup = {"task": "digits", "entries": [], "metric": "accuracy", "better": "higher"}
        >>> picture(setup, [], {}, {}, []).count("<path")
        0
    """
    title = f"Comparison: {setup['task'] or 'no task'}"
    status = [f"{message['text']} {message['detail']}" for message in messages[:1]]
    ended = bool(result.get("rows"))
    body = _ended(runs, result, points) if ended else _chosen(setup)
    rows = len(result["rows"]) if ended else sum(entry["ticked"] for entry in setup["entries"])
    height = (ROWS if ended else 40) + 22 * (rows + 2)
    parts = [_text(16, 22, title, bold=True), *body, *(_text(16, height - 12, t) for t in status)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img" aria-label={quoteattr(" ".join([title, *status]))}'
        f' font-family="sans-serif" font-size="12" color="#444"><title>{escape(title)}</title>'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>'
    )


def _chosen(setup: Mapping[str, Any]) -> Iterator[str]:
    """What would be trained."""
    for i, entry in enumerate(entry for entry in setup["entries"] if entry["ticked"]):
        yield _mark(28, 52 + 22 * i, entry["look"])
        yield _text(48, 56 + 22 * i, f"{entry['name']} {entry['words']}")


def _ended(
    runs: Sequence[Mapping[str, Any]], result: Mapping[str, Any], points: Points
) -> Iterator[str]:
    by_key = {run["key"]: run for run in runs}
    yield from _plane(by_key, result)
    yield from _curves(runs, points, result["metric"])
    for name, x in COLUMNS.items():
        words = {"holds": "shape holds", "metric": result["metric"]}
        words["held"] = f"{result['metric']} held"
        yield _text(x, ROWS, words.get(name, name), bold=name == "held")
    for i, row in enumerate(result["rows"]):
        y, run = ROWS + 22 * (i + 1), by_key[row["key"]]
        yield _mark(28, y - 4, run["look"])
        yield _text(48, y, run["label"])
        if row["diverged"]:
            yield _text(COLUMNS["holds"], y, row["diverged"])
            continue
        for name, x in COLUMNS.items():
            value = row[name]
            text = value if isinstance(value, str) else _number(value)
            yield _text(x, y, text, bold=name == "held")


def _plane(by_key: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[str]:
    """Violation across, the metric up; an arrow down to what is left when the shape is enforced."""
    left, top, width, height = PLANE
    rows = [row for row in result["rows"] if row["metric"] is not None]
    if not rows:
        return
    across = _log_axis([row["violation"] or 0 for row in rows], left + 52, left + width, left + 16)
    heights = [row[name] for row in rows for name in ("metric", "held") if row[name] is not None]
    worst, best = min(heights), max(heights)
    if result["better"] == "lower":
        worst, best = best, worst
    up = Axis(worst, best, top + height - 8, top + 8)
    yield f'<rect x="{left}" y="{top}" width="32" height="{height}" fill="#2e7d32" opacity="0.1"/>'
    yield from _frame(left, top, width, height, across.ticks(), up.ticks())
    yield _text(left + 16, top + height + 16, "0", "middle", bold=True)
    yield _text(left + width / 2, top + height + 34, "violation after training", "middle")
    yield _text(left, top - 6, f"{result['metric']}, as trained and enforced")
    for row in rows:
        look = by_key[row["key"]]["look"]
        x, y = across.at(row["violation"] or 0), up.at(row["metric"])
        end = up.at(row["held"]) if row["held"] is not None else y
        if abs(end - y) > 8:
            back = end - 6 if end > y else end + 6
            tip = f"M{x - 3:.1f} {back:.1f}L{x:.1f} {end:.1f}L{x + 3:.1f} {back:.1f}"
            yield f'<path d="M{x:.1f} {y:.1f}V{end:.1f}{tip}" {_pen(look["light"])}/>'
        yield _mark(x, y, look)


def _curves(runs: Sequence[Mapping[str, Any]], points: Points, metric: str) -> Iterator[str]:
    """Loss, metric and violation over the steps."""
    left, width, height, gap = CURVES
    steps = [step for curve in points.values() for step in curve["step"]]
    across = Axis(0, max(steps, default=1), left, left + width)
    for i, (name, title) in enumerate(
        (("loss", "loss"), ("metric", metric), ("violation", "violation"))
    ):
        top = PLANE[1] + i * (height + gap)
        values = [v[0] for c in points.values() for v in c[name] if v[0] is not None]
        up = _up_axis(name, values, top + height, top)
        ends = across.ticks() if i == 2 else ()
        yield from _frame(left, top, width, height, ends, [*up.ticks()][:: max(1, i)])
        yield _text(left, top - 6, title)
        for run in runs:
            yield _curve(points[run["key"]], name, across, up, run)


def _up_axis(name: str, values: list[float], bottom: float, top: float) -> Axis:
    if name != "metric" and any(value > 0 for value in values):
        return _log_axis(values, bottom - 8, top, bottom - 2)
    return Axis(min(values, default=0), max(values, default=1), bottom, top)


def _log_axis(values: list[float], start: float, end: float, zero: float) -> Axis:
    powers = [log10(value) for value in values if value > 0 and isfinite(value)]
    low, high = floor(min(powers, default=-1)), ceil(max(powers, default=0))
    return Axis(low, max(high, low + 1), start, end, True, zero)


def _curve(
    curve: Mapping[str, Sequence[Any]], name: str, across: Axis, up: Axis, run: Mapping[str, Any]
) -> str:
    pairs = [(s, v[0]) for s, v in zip(curve["step"], curve[name], strict=True)]
    path = [f"{across.at(s):.1f} {up.at(v):.1f}" for s, v in pairs if v is not None]
    if not path:
        return ""
    dash = f' stroke-dasharray="{run["dash"]}"' if run["dash"] else ""
    return f'<path d="M{"L".join(path)}" {_pen(run["look"]["light"])}{dash}/>'


def _frame(
    left: float, top: float, width: float, height: float,
    across: Iterable[tuple[float, str]], up: Iterable[tuple[float, str]],
) -> Iterator[str]:  # fmt: skip
    yield f'<path d="M{left} {top}V{top + height}H{left + width}" {_pen("currentColor", 0.75)}/>'
    for x, words in across:
        yield _text(x, top + height + 16, words, "middle")
    for y, words in up:
        yield _text(left - 6, y + 4, words, "end")


def _mark(x: float, y: float, look: Mapping[str, Any]) -> str:
    path, open = MARKS[look["mark"]], not look["filled"]
    fill = "#fff" if open else look["light"]
    return (
        f'<path d="{path}" transform="translate({x:.1f} {y:.1f})" fill="{fill}"'
        f' stroke="{look["light"]}" stroke-width="1.5"/>'
    )


def _pen(color: str, width: float = 1.5) -> str:
    return f'fill="none" stroke="{color}" stroke-width="{width:g}"'


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}".replace("-", "−")


def _text(x: float, y: float, text: str, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight} fill="currentColor">'
        f"{escape(text)}</text>"
    )
