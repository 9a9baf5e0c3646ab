"""Tasks: data with a known answer, and data that is real. Each function returns a `Task`."""

from .digits import banded_brain, digit_images, digits
from .genes import (
    ExpressionNetwork,
    PlantedRegulators,
    best_cutoff,
    gene_set_scores,
    genes,
    planted_regulators,
    regulator_scores,
    scaled_by_training,
    share_right,
)
from .pencil import PencilAnswer, pencil, pencil_answer
from .regulators import RegulatoryNetwork, read_regulators, regulator_penalty
from .senses import eye_and_ear, senses, senses_best, senses_trials
from .task import Data, Task, TaskError, accuracy, batch_indices
from .two_digits import left_accuracy, right_accuracy, two_digits, two_halves

__all__ = [
    "Data",
    "ExpressionNetwork",
    "PencilAnswer",
    "PlantedRegulators",
    "RegulatoryNetwork",
    "Task",
    "TaskError",
    "accuracy",
    "banded_brain",
    "batch_indices",
    "best_cutoff",
    "digit_images",
    "digits",
    "eye_and_ear",
    "gene_set_scores",
    "genes",
    "left_accuracy",
    "pencil",
    "pencil_answer",
    "planted_regulators",
    "read_regulators",
    "regulator_penalty",
    "regulator_scores",
    "right_accuracy",
    "scaled_by_training",
    "senses",
    "senses_best",
    "senses_trials",
    "share_right",
    "two_digits",
    "two_halves",
]
