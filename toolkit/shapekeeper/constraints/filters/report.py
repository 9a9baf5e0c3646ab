"""A layer of filters against a drawing, in numbers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .gauge import Gauge

if TYPE_CHECKING:
    from .filter_shape import FilterShape

__all__ = ["FilterReport"]

DEAD = 1e-4  # of the largest norm of a layer


@dataclass(frozen=True)
class FilterReport:
    """How each filter of a layer stands to its drawing, levels relative to its own gain.

    A dead filter, whose norm is below 1e-4 of the layer's largest, has no response to speak of: it
    is counted, and left out of everything else.

    Attributes:
        stop_db: Highest level in any stop band, `(filters,)`; minus infinity without a stop band.
        ripple_db: Farthest that a pass band is off the gain, up or down, `(filters,)`.
        excess_db: Worst miss of the drawing, `(filters,)`; 0 where it is met.
        met: Whether the drawing is met, `(filters,)`.
        dead: Which filters are dead, `(filters,)`.
        worst_gain: The largest gain of the whole layer at any frequency of the drawing: the top
            singular value of its matrix of responses `(out, in)` (H. Sedghi, V. Gupta and P. M.
            Long 2019, The singular values of convolutional layers). Filters that each stay
            below d may add up to `d sqrt(out in)`.
        worst_stop_gain: The same over the stop bands alone; 0 without one.

    Example:
        >>> from shapekeeper import FilterShape
        >>> shape = FilterShape.bandlimited(0.5, attenuation_db=30)
        >>> report = shape.measure(shape.sample((4, 2, 15)))
        >>> report.filters, report.worst_stop_db < -30
        (8, True)
    """

    stop_db: np.ndarray
    ripple_db: np.ndarray
    excess_db: np.ndarray
    met: np.ndarray
    dead: np.ndarray
    worst_gain: float
    worst_stop_gain: float

    @classmethod
    def of(cls, shape: "FilterShape", gauge: Gauge, weight: Tensor) -> "FilterReport":
        """What `FilterShape.measure` gives."""
        weight = weight.detach().cpu().double()
        flat = weight.reshape(-1, gauge.cosines.shape[0])
        norm = flat.norm(dim=1)
        level, excess = gauge.level(flat).numpy(), gauge.excess(flat).numpy()
        gains = _layer_gains(gauge, weight, shape.dimensions)
        passes = ~gauge.stops
        return cls(
            stop_db=level[:, gauge.stops].max(1, initial=-np.inf),
            ripple_db=np.abs(level[:, passes]).max(1, initial=0.0) if not shape.points
            else np.maximum(excess[:, passes].max(1, initial=0.0), 0),
            excess_db=excess.max(1).clip(min=0),
            met=excess.max(1) <= shape.tolerance(torch.float32),
            dead=(norm <= DEAD * norm.max()).numpy(),
            worst_gain=float(gains.max()),
            worst_stop_gain=float(gains[gauge.stops].max(initial=0.0)),
        )  # fmt: skip

    @property
    def filters(self) -> int:
        """How many filters there are."""
        return len(self.dead)

    @property
    def share_met(self) -> float:
        """Share of the filters that are not dead which meet the drawing."""
        return float(self.met[~self.dead].mean()) if not self.dead.all() else 1.0

    @property
    def worst_stop_db(self) -> float:
        """The highest level in a stop band of any filter that is not dead."""
        return float(self.stop_db[~self.dead].max(initial=-np.inf))

    @property
    def median_stop_db(self) -> float:
        """The median of the highest levels in the stop bands."""
        return float(np.median(self.stop_db[~self.dead])) if not self.dead.all() else -np.inf

    @property
    def worst_ripple_db(self) -> float:
        """The farthest that a pass band is off."""
        return float(self.ripple_db[~self.dead].max(initial=0.0))

    @property
    def worst_excess_db(self) -> float:
        """The worst miss of the drawing."""
        return float(self.excess_db[~self.dead].max(initial=0.0))

    @property
    def median_excess_db(self) -> float:
        """The median miss of the drawing."""
        return float(np.median(self.excess_db[~self.dead])) if not self.dead.all() else 0.0

    def __repr__(self) -> str:
        """The numbers a reader asks for, in one line."""
        return f"FilterReport({self})"

    def __str__(self) -> str:
        """The same without a name."""
        told = [f"{self.share_met:.0%} of {self.filters - self.dead.sum()} filters meet it"]
        if np.isfinite(self.worst_stop_db):
            told.append(f"worst stop {self.worst_stop_db:.1f} dB, median {self.median_stop_db:.1f}")
        if self.worst_ripple_db:
            told.append(f"worst ripple {self.worst_ripple_db:.2f} dB")
        told.append(f"worst miss {self.worst_excess_db:.2f} dB")
        told += [f"{self.dead.sum()} dead"] if self.dead.any() else []
        return "; ".join([*told, f"the layer's worst gain {self.worst_gain:.3g}"])


def _layer_gains(gauge: Gauge, weight: Tensor, dimensions: int) -> np.ndarray:
    """Top singular value of the matrix of responses at each frequency, `(F,)`."""
    sizes = weight.shape[: weight.dim() - dimensions]
    flat = weight.reshape(*(sizes if len(sizes) == 2 else (-1, 1)), gauge.cosines.shape[0])
    cosines, sines = (part.on(flat.device, flat.dtype) for part in (gauge.cosines, gauge.sines))
    matrices = torch.complex(flat @ cosines, -(flat @ sines)).movedim(-1, 0)
    return torch.linalg.matrix_norm(matrices, ord=2).numpy()
