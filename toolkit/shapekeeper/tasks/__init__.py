"""Tasks: data with a known answer, and data that is real. Each function returns a `Task`."""

from .digits import banded_brain, digit_images, digits
from .pencil import PencilAnswer, pencil, pencil_answer
from .senses import eye_and_ear, senses, senses_best, senses_trials
from .task import Data, Task, TaskError, accuracy, batch_indices
from .two_digits import left_accuracy, right_accuracy, two_digits, two_halves

__all__ = [
    "Data",
    "PencilAnswer",
    "Task",
    "TaskError",
    "accuracy",
    "banded_brain",
    "batch_indices",
    "digit_images",
    "digits",
    "eye_and_ear",
    "left_accuracy",
    "pencil",
    "pencil_answer",
    "right_accuracy",
    "senses",
    "senses_best",
    "senses_trials",
    "two_digits",
    "two_halves",
]
