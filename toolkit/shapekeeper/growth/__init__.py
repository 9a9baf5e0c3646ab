"""Differentiable structure: networks, and areas of networks, that find their own size."""

from .areas import Area, Place, areas_of
from .growth import Growth, grow
from .rule import OUTGOING_WEIGHTS, READOUT_MULTIPLIERS, GrowthError, GrowthRule

__all__ = [
    "OUTGOING_WEIGHTS",
    "READOUT_MULTIPLIERS",
    "Area",
    "Growth",
    "GrowthError",
    "GrowthRule",
    "Place",
    "areas_of",
    "grow",
]
