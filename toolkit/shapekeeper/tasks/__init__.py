"""Tasks: data with a known answer, and data that is real. Each function returns a `Task`."""

from .pencil import PencilAnswer, pencil, pencil_answer
from .task import Data, Task, TaskError, accuracy, batch_indices

__all__ = [
    "Data",
    "PencilAnswer",
    "Task",
    "TaskError",
    "accuracy",
    "batch_indices",
    "pencil",
    "pencil_answer",
]
