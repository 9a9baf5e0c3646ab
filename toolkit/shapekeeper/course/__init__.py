"""What the notebooks need beside the library: budgets, predictions, checks.

    from shapekeeper import course

    budget = course.budget()              # how much this notebook trains
    course.predict("02.A", guess)         # note a guess before the run
    course.reveal("02.A", accuracies)     # lay the result beside it
    course.check("02.1", steps_needed)    # not yet, wrong or right; never raises
    course.strict()                       # from here on a check that is not right raises

Hints are text in the notebooks.
"""

from shapekeeper.course import notebook_00, notebook_02  # noqa: F401  they register their checks
from shapekeeper.course.budgets import Budget, budget
from shapekeeper.course.predictions import Prediction, predict, reveal
from shapekeeper.course.verdicts import NotRight, Verdict, check, example, strict

__all__ = [
    "Budget",
    "NotRight",
    "Prediction",
    "Verdict",
    "budget",
    "check",
    "example",
    "predict",
    "reveal",
    "strict",
]
