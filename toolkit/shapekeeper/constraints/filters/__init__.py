"""Convolution kernels with a drawn magnitude response."""

from .bandlimited import Subspace
from .drawing import Band, Point
from .drift import Drift, drift_bound, response_drift
from .feasibility import Feasibility
from .filter_shape import FilterShape
from .report import FilterReport
from .responses import response

__all__ = [
    "Band",
    "Drift",
    "Feasibility",
    "FilterReport",
    "FilterShape",
    "Point",
    "Subspace",
    "drift_bound",
    "response",
    "response_drift",
]
