"""Draw a shape, train a network, keep the shape."""

from . import regions, tasks
from .compare import Comparison, ComparisonError, Progress, compare
from .constraints import Box, Connections, Constraint, ConstraintError
from .networks import RegionNetwork, compile_network
from .regions import Pathway, Region, RegionGraph, StructureError
from .strategies import (
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
    "Box",
    "Comparison",
    "ComparisonError",
    "Connections",
    "Constraint",
    "ConstraintError",
    "Data",
    "Freeze",
    "Pathway",
    "Penalty",
    "Progress",
    "Projection",
    "Region",
    "RegionGraph",
    "RegionNetwork",
    "Reparametrization",
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
    "regions",
    "tasks",
]
