"""What a tensor may be."""

from .circle import Circle
from .codebook import Codebook
from .connections import Connections
from .constraint import Constraint, ConstraintError
from .entrywise import Box, NonNegative, Signs
from .filters import FilterShape
from .intersection import Intersection
from .orthogonal import Orthogonal
from .simplex import Simplex
from .spectral_norm import SpectralNorm
from .sphere import Sphere
from .surface import Flat, Surface, onward
from .words import Automaton, Grammar

__all__ = [
    "Automaton",
    "Box",
    "Circle",
    "Codebook",
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
    "Simplex",
    "SpectralNorm",
    "Sphere",
    "Surface",
    "onward",
]
