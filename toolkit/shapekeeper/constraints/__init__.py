"""What a tensor may be."""

from .connections import Connections
from .constraint import Constraint, ConstraintError
from .outputs import Box

__all__ = ["Box", "Connections", "Constraint", "ConstraintError"]
