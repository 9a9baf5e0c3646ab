"""What a tensor may be."""

from .connections import Connections
from .constraint import Constraint, ConstraintError
from .entrywise import Box, NonNegative, Signs
from .filters import FilterShape
from .intersection import Intersection
from .sphere import Sphere

__all__ = [
    "Box",
    "Connections",
    "Constraint",
    "ConstraintError",
    "FilterShape",
    "Intersection",
    "NonNegative",
    "Signs",
    "Sphere",
]
