"""The filter shape editor: a magnitude response, drawn by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from traitlets import Dict, Instance, Int, TraitError, observe, validate

from shapekeeper.constraints import FilterShape
from shapekeeper.widgets import filter_words
from shapekeeper.widgets.drawing_widget import DrawingWidget, Message, source
from shapekeeper.widgets.filter_forms import FORMS, Drawing, empty, formed, to_drawing, to_shape
from shapekeeper.widgets.filter_outcome import Curve, FilterOutcome, worst_filter
from shapekeeper.widgets.filter_picture import picture

__all__ = ["FilterShapeEditor"]

TAPS = 31
MANY = 256  # filters; of more, the worst is not looked for anew at each move of the hand


class FilterShapeEditor(DrawingWidget):
    """Draws what filters may do to each frequency: forbidden ground is hatched.

    What is drawn by hand becomes the value when kernels of that length can meet it. While none
    can, the plot shows the kernel that misses least and says what would help, and the value stays
    the last drawing that could be met (after a drag, the one from before it). What is assigned
    from Python is taken as it is.

    Args:
        shape: What is drawn at first; by default a low-pass.
        taps: Length of the kernel; by default that of the weight, else 31.
        weight: Of the layer that is to be held, or kernels alone, `(..., taps)`. Of several
            filters the plot shows the one that misses most, and the allowed kernel nearest to it.
        name: What the weight is called, for the bar.

    Attributes:
        value: The last drawing that could be met, a `FilterShape`.
        taps: The kernel length that goes with it.
        drawing: What is on the screen, as JSON: the arguments of `FilterShape`, and `taps`.
        selected: What is selected: "b:0" for the first band, "t:0" for a target's first point.

    Raises:
        traitlets.TraitError: If the value is to be something else than a `FilterShape` of one
            dimension, or taps no number from 1 to 255.

    Example:
        >>> editor = FilterShapeEditor(FilterShape.lowpass(0.2, 0.35), taps=15)
        >>> editor.messages[0]["text"]
        'No symmetric kernel of 15 taps meets this drawing.'
        >>> [way["label"] for way in editor.messages[0]["ways"]]
        ['Use 21 taps', 'Stop from 0.39', 'Ask for 30 dB']
        >>> editor.taps = 21
        >>> editor.messages[0]["kind"]
        'good'
        >>> editor.close()
    """

    _esm = source(
        "shared.js",
        "drawing_view.js",
        "filter_plot.js",
        "filter_panel.js",
        "filter_drawing.js",
        "filter_shape_editor.js",
    )
    _css = source("shared.css", "filter_shape_editor.css")

    kept: ClassVar[tuple[str, ...]] = ("drawing", "value", "taps")

    drawing = Dict().tag(sync=True)
    value = Instance(FilterShape)
    taps = Int(TAPS)

    def __init__(
        self,
        shape: FilterShape | None = None,
        taps: int | None = None,
        weight: Any = None,
        name: str = "",
        **traits: Any,
    ):
        self.name, self._opening = name, shape is None
        self._weight, self._filters, self._chosen = weight, _living(weight), 0
        self._outcome: FilterOutcome | None = None
        self._settling = self._turned = False
        self._searched = True
        shape = empty() if shape is None else shape
        if taps is None:
            taps = TAPS if self._filters is None else self._filters.shape[-1]
        drawing = to_drawing(shape, taps) if isinstance(shape, FilterShape) else {}
        super().__init__(value=shape, taps=taps, drawing=drawing, **traits)

    # -- the value and the drawing -----------------------------------------------------------

    @property
    def weight(self) -> Any:
        """What is in the layer now; assign it again when training has changed it."""
        return self._weight

    @weight.setter
    def weight(self, weight: Any) -> None:
        self._weight, self._filters = weight, _living(weight)
        self._settle()
        self._report()

    @property
    def outcome(self) -> FilterOutcome:
        """What the drawing on the screen comes to."""
        assert self._outcome is not None  # made with the first drawing
        return self._outcome

    @validate("value")
    def _is_a_line(self, proposal: Any) -> FilterShape:
        shape = proposal["value"]
        if shape.dimensions != 1:
            raise TraitError(filter_words.wanted_line(shape.dimensions))
        return shape

    @validate("taps")
    def _is_a_length(self, proposal: Any) -> int:
        taps = proposal["value"]
        if not 1 <= taps <= filter_words.LONGEST:
            raise TraitError(filter_words.wanted_taps(taps))
        return taps

    @validate("drawing")
    def _is_a_drawing(self, proposal: Any) -> Drawing:
        drawing = proposal["value"]
        if refused := filter_words.refusals(self.drawing or drawing, drawing):
            raise TraitError(" ".join(f"{m['text']} {m['detail']}".strip() for m in refused))
        return drawing

    @observe("value", "taps")
    def _assigned(self, change: Any) -> None:
        """What Python assigns is drawn: another length for what is drawn, or another drawing."""
        if self._settling or not self._recording:
            return
        length = {**self.drawing, "taps": self.taps}
        drawing = length if change.name == "taps" else to_drawing(self.value, self.taps)
        if drawing == self.drawing:  # it was drawn before, and could not be met
            self._report()
        self.drawing = drawing

    def _settle(self) -> None:
        """The value follows the drawing."""
        shape, taps = to_shape(self.drawing), int(self.drawing["taps"])
        shape = self.value if shape == self.value else shape  # which knows its kernels already
        before = self._outcome
        self._searched = not self._from_browser
        self._outcome = FilterOutcome(shape, taps, self._shown_filter(shape))
        self._turned = before is not None and before.feasible != self._outcome.feasible
        if self._recording and self._outcome.feasible:
            self._follow(shape, taps)
        elif self._recording and self._gesture:
            # the last place that could be met on the way would depend on how fast the hand was
            before = self._beginning().state
            self._follow(before["value"], before["taps"])

    def _follow(self, shape: FilterShape, taps: int) -> None:
        self._settling = True
        try:
            self.value, self.taps = shape, taps
        finally:
            self._settling = False

    def _shown_filter(self, shape: FilterShape) -> Tensor | None:
        """The filter that misses most; during a gesture in a large layer, still the same one."""
        self._filters = filters = _living(self._weight)
        if filters is None:
            return None
        if len(filters) <= MANY or not self._gesture:
            self._chosen = worst_filter(shape, filters)
        return filters[min(self._chosen, len(filters) - 1)]

    # -- what the editor says ----------------------------------------------------------------

    def code(self) -> str:
        """The Python that rebuilds the value."""
        return f"import shapekeeper as sk\n\nshape = sk.{self.value!r}\ntaps = {self.taps}\n"

    def _refusals(self, data: Any) -> list[Message]:
        return filter_words.refusals(self.drawing, data)

    def _described(self, before: Drawing, after: Drawing) -> str:
        return filter_words.described(before, after)

    def _consequence(self) -> str:
        """Who can't see the curve turn red is told when it does, and when it no longer is."""
        return self.outcome.feasibility.statement if self._turned else ""

    def _remarked(self, before: Drawing, after: Drawing) -> Message | None:
        return filter_words.remark(before, after)

    def _judged(self) -> list[Message]:
        said = filter_words.judged(self.outcome, self.value, self.taps, self._searched)
        said += filter_words.about_layer(self.outcome)
        return [*said, filter_words.padding()] if self._filters is not None and self._new else said

    @property
    def _new(self) -> bool:
        """Whether nothing has been done yet."""
        return not self._past and not self._future

    def _computed(self) -> dict[str, Any]:
        outcome, filters = self.outcome, self._filters
        said = filter_words.judged(outcome, self.value, self.taps, self._searched)
        return {
            "name": self.name,
            "opening": self._opening and self._new,
            "feasible": outcome.feasible,
            "searched": self._searched or outcome.feasible,
            "kernel": _rounded(outcome.kernel.numpy(), 6),
            "curve": _plain(outcome.curve),
            "enlarged": {str(i): _plain(curve) for i, curve in outcome.enlarged.items()},
            "legend": filter_words.legend(outcome, 0 if filters is None else len(filters)),
            "result": filter_words.result(outcome),
            "aloud": filter_words.aloud(outcome),
            "outlined": filter_words.outlined(self.drawing, said),
        }

    def _has(self, key: str) -> bool:
        kind, _, number = key.partition(":")
        things = {"b": self.drawing["bands"], "t": self.drawing["points"]}.get(kind, [])
        return number.isdigit() and int(number) < len(things)

    def _answer(self, command: Mapping[str, Any], refused: list[Message], before: Any) -> None:
        if command.get("do") != "ways":
            return super()._answer(command, refused, before)
        # The drawing asks by itself after a rest: what was said to the last edit is still so.
        self._searched = True
        self._report()

    def _ask(self, command: Mapping[str, Any]) -> None:
        if command.get("do") == "form" and command.get("form") in FORMS:
            self.drawing = formed(str(command["form"]), self.drawing)

    def _picture(self) -> str:
        return picture(self.outcome)


def _living(weight: Any) -> Tensor | None:
    """The filters of a weight that are not zero, `(filters, taps)`; None if there is none.

    Raises:
        ValueError: If it is no tensor of finite numbers with an axis of taps.
    """
    if weight is None:
        return None
    given = torch.as_tensor(weight).detach().to("cpu", torch.float64)
    taps = given.shape[-1] if given.ndim else 0
    if not given.isfinite().all() or not 1 <= taps <= filter_words.LONGEST:
        raise ValueError(
            "Wanted the weight of a convolution, finite numbers (out, in, taps) with at most "
            f"{filter_words.LONGEST} taps, or kernels (..., taps), got shape {tuple(given.shape)}."
        )
    flat = given.reshape(-1, taps)
    living = flat[flat.norm(dim=1) > 0]
    return living if len(living) else None


def _plain(curve: Curve) -> dict[str, Any]:
    """A curve as JSON, to a hundredth of a dB."""
    return {
        "low": curve.low,
        "high": curve.high,
        "levels": _rounded(curve.levels, 3),
        "layer": _rounded(curve.layer, 2),
        "runs": [list(run) for run in curve.runs],
    }


def _rounded(values: np.ndarray, digits: int) -> list[float]:
    return np.round(values, digits).tolist()
