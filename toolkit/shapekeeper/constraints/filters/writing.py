"""A filter's drawing as the call that makes it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .filter_shape import FilterShape

__all__ = ["written"]

USUAL = {"ripple_db": 1.0, "attenuation_db": 40.0}


def written(shape: "FilterShape") -> str:
    """The call that makes a shape, the shortest that there is."""
    options = {
        name: getattr(shape, name)
        for name, usual in (
            ("gain", "free"), ("sampling_rate", None), ("dilation", 1), ("dimensions", 1),
        )
        if getattr(shape, name) != usual
    }  # fmt: skip
    name, arguments, levels = _form(shape)
    options = {k: v for k, v in levels.items() if v != USUAL[k]} | options
    told = [*map(_told, arguments), *(f"{k}={_told(v)}" for k, v in options.items())]
    return f"FilterShape{name}({', '.join(told)})"


def _form(shape: "FilterShape") -> tuple[str, list[Any], dict[str, float]]:
    """Name of the method that makes a shape, its arguments, and its levels in dB."""
    bands = shape.bands
    if shape.points:
        frequencies, gains, tolerances = (
            list(column) for column in zip(*shape.points, strict=True)
        )
        same = len(set(tolerances)) == 1
        return ".target", [frequencies, gains, tolerances[0] if same else tolerances], {}
    kinds = "".join(band.kind[0] for band in bands)
    levels = {
        {"p": "ripple_db", "s": "attenuation_db"}[kind]: band.decibels
        for kind, band in zip(kinds, bands, strict=True)
    }
    alike = all(
        band.decibels == levels["ripple_db" if band.kind == "pass" else "attenuation_db"]
        for band in bands
    )
    whole = bands[0].low == 0 and bands[-1].high == shape.nyquist
    edges = [edge for band in bands for edge in band[1:3]]
    if alike and set(kinds) == {"s"}:
        pairs = [band[1:3] for band in bands]
        one = pairs[0] if pairs[0][1] != shape.nyquist else pairs[0][0]
        return ".bandlimited", [one if len(pairs) == 1 else pairs], levels
    if alike and whole and kinds == "ps":
        return ".lowpass", edges[1:3], levels
    if alike and whole and kinds == "sp":
        return ".highpass", [edges[2], edges[1]], levels
    if alike and whole and kinds == "sps":
        return ".bandpass", [(edges[2], edges[3]), (edges[1], edges[4])], levels
    if alike and whole and kinds == "psp":
        return ".bandstop", [(edges[1], edges[4]), (edges[2], edges[3])], levels
    return "", [[tuple(band) for band in bands]], {}


def _told(value: Any) -> str:
    """A number without a trailing .0; lists and pairs of them."""
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_told, value))})"
    if isinstance(value, list):
        return f"[{', '.join(map(_told, value))}]"
    return repr(value)
