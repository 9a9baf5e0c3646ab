"""What the filter shape editor says: about a drawing, about an edit, about what it refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import isfinite
from typing import Any

from shapekeeper.constraints import ConstraintError, FilterShape
from shapekeeper.widgets.drawing_widget import Message
from shapekeeper.widgets.filter_forms import Drawing, to_drawing, to_shape
from shapekeeper.widgets.filter_outcome import FilterOutcome

__all__ = [
    "LONGEST",
    "about_layer",
    "aloud",
    "described",
    "judged",
    "legend",
    "outlined",
    "padding",
    "refusals",
    "remark",
    "result",
    "wanted_line",
    "wanted_taps",
]

LONGEST = 255  # taps; up to where a sufficient length is looked for as well
LEVELS = {"pass": ("a ripple", (0.001, 40.0)), "stop": ("an attenuation", (0.1, 200.0))}  # in dB
LOUDEST = 1000.0  # gain of a target
NARROW = 0.001  # of Nyquist: as near as edges of a band, and points, may come
FIRST = "Hatched ground is forbidden. Drag a handle, or use the arrow keys."
LOOKING = "Looking for a way out …"


def _message(kind: str, text: str, detail: str = "", **more: Any) -> Message:
    return {"kind": kind, "text": text, "detail": detail, "ways": [], **more}


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def _digits(value: float, least: int, most: int) -> str:
    """A number with as many digits as it needs, and at least so many behind the point."""
    whole, _, behind = f"{value:.{most}f}".partition(".")
    behind = behind.rstrip("0").ljust(least, "0")
    return f"{whole}.{behind}" if behind else whole


def _frequency(value: float, nyquist: float) -> str:
    return _digits(value, 2, 4) if nyquist == 1 else f"{_digits(value, 0, 2)} Hz"


def _nyquist(drawing: Mapping[str, Any]) -> float:
    rate = drawing["sampling_rate"]
    return 1.0 if rate is None else rate / 2


# About a drawing


def judged(outcome: FilterOutcome, value: FilterShape, taps: int, searched: bool) -> list[Message]:
    """What there is to say about a drawing, the worst first.

    Args:
        outcome: Of the drawing.
        value: The last drawing that could be met.
        taps: And its kernel length.
        searched: Whether ways out may be looked for, which takes longer than all the rest.
    """
    found = outcome.feasibility
    if outcome.feasible:
        limited = outcome.shape.kind == "band-limited"
        start = f"{outcome.taps} taps meet this drawing, " if limited else ""
        said = f"{start}{found.statement}"
        return [_message("good", said if said.endswith(".") else f"{said}.", FIRST)]
    if not searched:
        return [_message("bad", found.statement, LOOKING)]
    ways = [
        {"label": label, "do": "edit", "drawing": to_drawing(shape, taps)}
        for label, shape, taps in found.ways
        if isinstance(taps, int)
    ]
    change = {0: "Bands farther apart would help.", 1: "One way out:"}.get(len(ways), "Change one:")
    detail = f"{found.reason} {change}".strip()
    said = [_message("bad", found.statement, detail, ways=ways)]
    if (value, taps) != (outcome.shape, outcome.taps):
        kept = f"{value!r}, {taps} taps."
        text = "The value is still the last drawing that could be met:"
        said.append(_message("info", text, kept))
    return said


def about_layer(outcome: FilterOutcome) -> list[Message]:
    """What the drawing and the layer that it is for don't agree on."""
    if outcome.layer is None or len(outcome.layer) == outcome.taps:
        return []
    text = f"The layer's kernels have {len(outcome.layer)} taps, the drawing {outcome.taps}."
    return [_message("info", text, "To use it, make the layer anew with that kernel size.")]


def padding() -> Message:
    """What to know about every layer whose kernels are held."""
    text = "Zero padding leaks at the borders whatever the kernel:"
    return _message("info", text, "about −27 dB on 40 samples.")


def result(outcome: FilterOutcome) -> dict[str, Any]:
    """The kernel in numbers: a title, and rows of words, number, and whether that is a miss."""
    found = outcome.feasibility
    limited = outcome.shape.kind == "band-limited"
    rows = [*_levels(outcome)]
    if limited and outcome.feasible:
        rows.insert(0, ("band-limited", f"{found.freedom} free numbers of {outcome.taps}"))
    if not outcome.feasible:
        times = _number(found.scale, 1) if found.scale < 1000 else "over 1000"
        rows.append(("misses by", f"{times} × tolerance"))
    elif outcome.moved is not None:
        rows.append(("moved by", f"{100 * outcome.moved:.0f} % of its norm"))
    elif not limited:
        rows.append(("free numbers", f"{found.freedom} of {outcome.taps}"))
    return {"title": _title(outcome), "rows": [[*row, not outcome.feasible] for row in rows]}


def _title(outcome: FilterOutcome) -> str:
    if not outcome.feasible:
        return "Closest miss"
    if outcome.nearest:
        return "Nearest kernel"
    return "Quietest kernel" if outcome.shape.kind == "band-limited" else "Most interior kernel"


def _levels(outcome: FilterOutcome) -> Iterator[tuple[str, str]]:
    if outcome.error is not None:
        yield "largest error", _number(outcome.error, 3)
        return
    kinds = {band.kind for band in outcome.shape.bands}
    if "stop" in kinds:
        yield "worst stop", f"{_number(outcome.report.worst_stop_db, 1)} dB"
    if "pass" in kinds:
        ripple = outcome.report.worst_ripple_db
        yield "worst ripple", f"{_number(ripple, 2)} dB" if ripple < 60 else "over 60 dB"


def legend(outcome: FilterOutcome, filters: int) -> dict[str, str]:
    """What the two lines are, the one for the layer's kernel only if there is one."""
    kernel = "kernel that misses least" if not outcome.feasible else _title(outcome).lower()
    solid = "nearest allowed kernel" if outcome.nearest else kernel
    worst = f", worst of {filters}" if filters > 1 else ""
    layer = "" if outcome.layer is None else f"kernel now in the layer{worst}"
    return {"solid": solid, "dashed": layer}


def aloud(outcome: FilterOutcome) -> str:
    """The facts in one sentence, for who can't see them."""
    start = f"{outcome.taps} taps meet this drawing"
    if not outcome.feasible:
        start = outcome.feasibility.statement.rstrip(".")
    levels = [f"{label} {value}" for label, value, _ in result(outcome)["rows"]]
    return ", ".join([start, *levels])


def outlined(drawing: Drawing, messages: list[Message]) -> list[str]:
    """The fields that the ways out would change."""
    fields: list[str] = []
    for way in (way for message in messages for way in message["ways"] if "drawing" in way):
        fields += _changed_fields(drawing, way["drawing"])
    return [*dict.fromkeys(fields)]


def _changed_fields(before: Drawing, after: Drawing) -> Iterator[str]:
    if before["taps"] != after["taps"]:
        yield "taps"
    for i, (old, new) in enumerate(zip(before["bands"], after["bands"], strict=False)):
        for name, a, b in zip(("low", "high", "decibels"), old[1:], new[1:], strict=True):
            if a != b:
                yield f"{name}-{i}"
    if before["points"] != after["points"]:
        yield "tolerance"


# About an edit


def described(before: Drawing, after: Drawing) -> str:
    """What has happened between two drawings, in one sentence."""
    said = [*_changes(before, after)]
    if 0 < len(said) <= 3:
        return " ".join(said)
    return f"Now {to_shape(after)!r}, {after['taps']} taps." if said else "As it was."


def _changes(before: Drawing, after: Drawing) -> Iterator[str]:
    if before["taps"] != after["taps"]:
        yield f"{after['taps']} taps."
    if before["gain"] != after["gain"]:
        yield f"Gain {'held at 1' if after['gain'] == 'unit' else 'left free'}."
    if before["sampling_rate"] != after["sampling_rate"]:
        rate = after["sampling_rate"]
        yield "Frequencies in units of Nyquist." if rate is None else f"Sampling rate {rate:g} Hz."
        return  # all frequencies follow it
    if before["dilation"] != after["dilation"]:
        yield f"Dilation {after['dilation']}."
    yield from _form_changes(before, after)


def _form_changes(before: Drawing, after: Drawing) -> Iterator[str]:
    old, new = ([band[0] for band in drawing["bands"]] for drawing in (before, after))
    if bool(before["points"]) != bool(after["points"]):
        yield "Now a free-hand target." if after["points"] else f"Now {_form(new)}."
    elif after["points"]:
        yield from _point_changes(before["points"], after["points"], _nyquist(after))
    elif old == new:
        yield from _band_changes(before["bands"], after["bands"], _nyquist(after))
    else:
        come = [band for band in after["bands"] if band not in before["bands"]]
        gone = [band for band in before["bands"] if band not in after["bands"]]
        if len(come) == 1 and not gone:
            yield f"{_band(come[0], _nyquist(after))} added."
        elif len(gone) == 1 and not come:
            yield f"{_kind(gone[0])} band removed."
        else:
            yield f"Now {_form(new)}."


def _form(kinds: list[str]) -> str:
    names = {"ps": "a low-pass", "sp": "a high-pass", "sps": "a band-pass", "psp": "a notch"}
    return names.get("".join(kind[0] for kind in kinds), f"{len(kinds)} bands")


def _kind(band: list[Any]) -> str:
    return str(band[0]).capitalize()


def _band(band: list[Any], nyquist: float) -> str:
    kind, low, high, decibels = band
    place = f"from {_frequency(low, nyquist)} to {_frequency(high, nyquist)}"
    return f"{kind.capitalize()} band {place}, {_digits(decibels, 0, 2)} dB,"


def _band_changes(old: list[Any], new: list[Any], nyquist: float) -> Iterator[str]:
    for (_, *a), band in zip(old, new, strict=True):
        kind, low, high, decibels = band
        if a[0] != low or a[1] != high:
            yield f"{_kind(band)} {_stretch(low, high, nyquist)}."
        if a[2] != decibels:
            word, least = ("Ripple", 1) if kind == "pass" else ("Attenuation", 0)
            yield f"{word} {_digits(decibels, least, 2)} dB."


def _stretch(low: float, high: float, nyquist: float) -> str:
    if low == 0:
        return f"up to {_frequency(high, nyquist)}"
    if high == nyquist:
        return f"from {_frequency(low, nyquist)}"
    return f"from {_frequency(low, nyquist)} to {_frequency(high, nyquist)}"


def _point_changes(old: list[Any], new: list[Any], nyquist: float) -> Iterator[str]:
    if len(old) != len(new):
        yield f"Target of {len(new)} points."
        return
    tolerances = [{point[2] for point in points} for points in (old, new)]
    if tolerances[0] != tolerances[1]:
        yield f"Tolerance {_digits(new[0][2], 2, 3)}."
    moved = [b for a, b in zip(old, new, strict=True) if a[:2] != b[:2]]
    if len(moved) == 1:
        yield f"Point at {_frequency(moved[0][0], nyquist)}, gain {_digits(moved[0][1], 2, 3)}."
    elif moved:
        yield f"Target of {len(new)} points."


def remark(before: Drawing, after: Drawing) -> Message | None:
    """A band that was removed can be taken back."""
    gone = len(before["bands"]) - len(after["bands"])
    if gone == 1 and described(before, after).endswith("removed."):
        return _message("info", described(before, after), ways=[{"label": "Undo", "do": "undo"}])
    return None


# About what is refused


def wanted_taps(taps: Any) -> str:
    """What a kernel length has to be."""
    return f"Wanted a whole number of taps from 1 to {LONGEST}, got “{taps}”."


def wanted_line(dimensions: Any) -> str:
    """What a shape has to be."""
    return (
        f"Wanted a shape of one dimension, got dimensions={dimensions}. What is held in two "
        "dimensions has no curve to draw; sk.hold takes the shape as it is."
    )


def refusals(before: Drawing, data: Any) -> list[Message]:
    """Why what the browser sent is no drawing, at the field where it was typed if there is one.

    Args:
        before: The drawing as it is.
        data: What is to become of it.
    """
    if not _is_drawing(data, before):
        return [_message("bad", "Wanted a filter drawing.")]
    if data["dimensions"] != 1:
        return [_message("bad", wanted_line(data["dimensions"]))]
    said = [*_refused_settings(data)] or [*_refused_places(before, data)]
    if said:
        return said
    try:
        to_shape(data)
    except (ConstraintError, TypeError, OverflowError) as error:
        text, _, detail = str(error).partition(". ")
        return [_message("bad", f"{text.rstrip('.')}.", detail)]
    return []


def _is_drawing(data: Any, before: Drawing) -> bool:
    """Whether the parts are there: what is in them is for the fields to say."""
    if not isinstance(data, Mapping) or set(data) != set(before):
        return False
    parts = ((data["bands"], 4), (data["points"], 3))
    return all(
        isinstance(part, list) and all(isinstance(e, list) and len(e) == n for e in part)
        for part, n in parts
    ) and all(band[0] in ("pass", "stop") for band in data["bands"])


def _refused_at(field: str, got: Any, text: str, detail: str = "") -> Message:
    return _message("bad", text, detail, field=field, got=str(got))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return isfinite(value)
    except OverflowError:
        return False


def _refused_settings(data: Mapping[str, Any]) -> Iterator[Message]:
    taps, rate = data["taps"], data["sampling_rate"]
    if not (_is_number(taps) and 1 <= taps <= LONGEST and taps == int(taps)):
        yield _refused_at("taps", taps, wanted_taps(taps))
    if rate is not None and not (_is_number(rate) and rate > 0):
        detail = "Leave the field empty for units of Nyquist."
        yield _refused_at("rate", rate, f"Wanted a sampling rate above 0 Hz, got “{rate}”.", detail)


def _refused_places(before: Drawing, data: Mapping[str, Any]) -> Iterator[Message]:
    nyquist = _nyquist(data)
    for i, (kind, low, high, decibels) in enumerate(data["bands"]):
        for name, value in (("low", low), ("high", high)):
            if not (_is_number(value) and 0 <= value <= nyquist):
                yield _refused_at(f"{name}-{i}", value, _wanted_frequency(value, nyquist))
        word, (least, most) = LEVELS[kind]
        if not (_is_number(decibels) and least <= decibels <= most):
            text = f"Wanted {word} from {least:g} to {most:g} dB, got “{decibels}”."
            yield _refused_at(f"decibels-{i}", decibels, text)
    for i, (frequency, gain, tolerance) in enumerate(data["points"]):
        if not (_is_number(frequency) and 0 <= frequency <= nyquist):
            text = _wanted_frequency(frequency, nyquist)
            yield _refused_at(f"frequency-{i}", frequency, text)
        if not (_is_number(gain) and 0 <= gain <= LOUDEST):
            text = f"Wanted a gain from 0 to {LOUDEST:g}, got “{gain}”."
            yield _refused_at(f"gain-{i}", gain, text)
        if not (_is_number(tolerance) and 1e-4 <= tolerance <= LOUDEST):
            text = f"Wanted a tolerance from 0.0001 to {LOUDEST:g}, got “{tolerance}”."
            yield _refused_at("tolerance", tolerance, text)
            return
    yield from _refused_order(before, data, nyquist)


def _wanted_frequency(value: Any, nyquist: float) -> str:
    last = "1, which is Nyquist," if nyquist == 1 else f"{_digits(nyquist, 0, 2)} Hz,"
    return f"Wanted a frequency from 0 to {last} got “{value}”."


def _refused_order(before: Drawing, data: Mapping[str, Any], nyquist: float) -> Iterator[Message]:
    """Edges and points that were typed beyond their neighbors."""
    places = [e for band in data["bands"] for e in band[1:3]] or [p[0] for p in data["points"]]
    old = [e for band in before["bands"] for e in band[1:3]] or [p[0] for p in before["points"]]
    if not all(map(_is_number, places)) or len(old) != len(places):
        return
    for i, (a, b) in enumerate(pairwise(places)):
        between = bool(data["bands"]) and i % 2 == 1
        least = 0.0 if between and _alike(data["bands"], i) else NARROW * nyquist * (1 - 1e-9)
        if b - a >= least:  # two bands of one kind may touch
            continue
        typed = i if places[i] != old[i] else i + 1
        words = _order_words(data, i, typed, nyquist)
        yield _refused_at(_field(data, typed), f"{places[typed]:g}", *words)
        return


def _alike(bands: list[list[Any]], i: int) -> bool:
    return bands[i // 2][0] == bands[i // 2 + 1][0]


def _field(data: Mapping[str, Any], i: int) -> str:
    return f"{('low', 'high')[i % 2]}-{i // 2}" if data["bands"] else f"frequency-{i}"


def _order_words(data: Mapping[str, Any], i: int, typed: int, nyquist: float) -> tuple[str, str]:
    places = [e for band in data["bands"] for e in band[1:3]] or [p[0] for p in data["points"]]
    if not data["bands"]:
        apart = _frequency(NARROW * nyquist, nyquist)
        return "Wanted points in rising order of frequency.", f"They keep {apart} apart."
    first, second = data["bands"][i // 2], data["bands"][(i + 1) // 2]
    if i % 2 == 0:
        side = "above its beginning" if typed == i + 1 else "below its end"
        other = _frequency(places[i if typed == i + 1 else i + 1], nyquist)
        apart = f"A band is {_frequency(NARROW * nyquist, nyquist)} wide at least."
        return f"Wanted a frequency {side}, {other}, got “{places[typed]:g}”.", apart
    if typed == i:
        edge = _frequency(places[i + 1], nyquist)
        return f"{_kind(first)} must end before {second[0]} begins ({edge}).", "Move that first."
    edge = _frequency(places[i], nyquist)
    return f"{_kind(second)} must begin after {first[0]} ends ({edge}).", "Move that first."
