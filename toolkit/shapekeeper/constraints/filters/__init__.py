"""Convolution kernels with a drawn magnitude response."""

from .bandlimited import Subspace
from .drawing import Band, Point
from .feasibility import Feasibility
from .filter_shape import FilterShape
from .report import FilterReport
from .responses import response

__all__ = ["Band", "Feasibility", "FilterReport", "FilterShape", "Point", "Subspace", "response"]
