"""Draw a shape, train a network, keep the shape."""

from . import regions, tasks
from .compare import Comparison, ComparisonError, Progress, compare
from .constraints import (
    Box,
    Circle,
    Connections,
    Constraint,
    ConstraintError,
    FilterShape,
    NonNegative,
    Orthogonal,
    Signs,
    SpectralNorm,
    Sphere,
)
from .holding import Held, HoldError, hold
from .networks import MaskedLinear, RegionNetwork, compile_network
from .regions import Pathway, Region, RegionGraph, StructureError
from .strategies import (
    AugmentedLagrangian,
    ConstrainedLangevin,
    Freeze,
    Penalty,
    Projection,
    Reparametrization,
    Stage,
    Staged,
    Strategy,
    StrategyError,
    Unconstrained,
)
from .tasks import Data, Task, TaskError

__all__ = [
    "AugmentedLagrangian",
    "Box",
    "Circle",
    "Comparison",
    "ComparisonError",
    "Connections",
    "ConstrainedLangevin",
    "Constraint",
    "ConstraintError",
    "Data",
    "FilterShape",
    "Freeze",
    "Held",
    "HoldError",
    "MaskedLinear",
    "NonNegative",
    "Orthogonal",
    "Pathway",
    "Penalty",
    "Progress",
    "Projection",
    "Region",
    "RegionGraph",
    "RegionNetwork",
    "Reparametrization",
    "Signs",
    "SpectralNorm",
    "Sphere",
    "Stage",
    "Staged",
    "Strategy",
    "StrategyError",
    "StructureError",
    "Task",
    "TaskError",
    "Unconstrained",
    "compare",
    "compile_network",
    "hold",
    "regions",
    "tasks",
]
