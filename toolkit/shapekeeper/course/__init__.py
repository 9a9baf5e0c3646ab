"""What the notebooks need beside the library: budgets, predictions, checks.

    from shapekeeper import course

    budget = course.budget()              # how much this notebook trains
    course.predict("02.A", guess)         # note a guess before the run
    course.reveal("02.A", accuracies)     # lay the result beside it
    course.check("02.1", steps_needed)    # not yet, wrong or right; never raises
    course.strict()                       # from here on a check that is not right raises

Hints are text in the notebooks. The rest are problems and measurements that one notebook needs and
that are too long for its cells.
"""

from shapekeeper.course import (  # they register their checks
    notebook_00,  # noqa: F401
    notebook_01,  # noqa: F401
    notebook_02,  # noqa: F401
    notebook_03,  # noqa: F401
    notebook_04,  # noqa: F401
    notebook_05,  # noqa: F401
    notebook_06,  # noqa: F401
    notebook_07,  # noqa: F401
    notebook_08,  # noqa: F401
)
from shapekeeper.course.accidents import ACCIDENTS, accidents
from shapekeeper.course.budgets import Budget, budget
from shapekeeper.course.costs import numbers_kept, seconds_a_step
from shapekeeper.course.letters import letters_of
from shapekeeper.course.live import live
from shapekeeper.course.notebook_08 import violations
from shapekeeper.course.predictions import Prediction, predict, reveal
from shapekeeper.course.problems import (
    held_imitation,
    imitation,
    imitation_best,
    new_names,
    pencil_walk,
)
from shapekeeper.course.scripts import Script
from shapekeeper.course.sentences import sentence
from shapekeeper.course.stored import stored_runs, told_quartiles, told_runs
from shapekeeper.course.turns import turns
from shapekeeper.course.verdicts import NotRight, Verdict, check, example, strict

__all__ = [
    "ACCIDENTS",
    "Budget",
    "NotRight",
    "Prediction",
    "Script",
    "Verdict",
    "accidents",
    "budget",
    "check",
    "example",
    "held_imitation",
    "imitation",
    "imitation_best",
    "letters_of",
    "live",
    "new_names",
    "numbers_kept",
    "pencil_walk",
    "predict",
    "reveal",
    "seconds_a_step",
    "sentence",
    "stored_runs",
    "strict",
    "told_quartiles",
    "told_runs",
    "turns",
    "violations",
]
