"""What a tensor may be."""

from .circle import Circle
from .connections import Connections
from .constraint import Constraint, ConstraintError
from .entrywise import Box, NonNegative, Signs
from .filters import FilterShape
from .intersection import Intersection
from .orthogonal import Orthogonal
from .spectral_norm import SpectralNorm
from .sphere import Sphere
from .surface import Flat, Surface, onward
from .words import Automaton, Grammar

__all__ = [
    "Automaton",
    "Box",
    "Circle",
    "Connections",
    "Constraint",
    "ConstraintError",
    "FilterShape",
    "Flat",
    "Grammar",
    "Intersection",
    "NonNegative",
    "Orthogonal",
    "Signs",
    "SpectralNorm",
    "Sphere",
    "Surface",
    "onward",
]
