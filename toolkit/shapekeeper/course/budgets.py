"""How much a notebook trains, and the stamp on figures that mean nothing."""

import os
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar

import matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")

NAMES = ("smoke", "quick", "full")
STAMP = "smoke run: numbers mean nothing"
VARIABLE = "SHAPEKEEPER_BUDGET"
# Matplotlib calls the functions listed here on each figure that pyplot makes, whatever the backend.
_HOOK = f"{__name__}:stamp"


@dataclass(frozen=True)
class Budget:
    """How much to train.

    Attributes:
        name: "smoke" (seconds, for tests), "quick" (minutes on two cores) or "full" (a GPU).

    >>> Budget("quick").pick(smoke=1, quick=2, full=3)
    2
    >>> Budget("smoke").steps(600), Budget("quick").steps(600)
    (10, 600)
    """

    name: str

    def __post_init__(self):
        if self.name not in NAMES:
            close = get_close_matches(self.name, NAMES, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"{VARIABLE} must be one of {', '.join(NAMES)}, not {self.name!r}.{hint}"
            )

    def pick(self, *, smoke: T, quick: T, full: T) -> T:
        """The value that belongs to this budget."""
        return {"smoke": smoke, "quick": quick, "full": full}[self.name]

    @property
    def seeds(self) -> int:
        """How often each strategy is trained: 1, 5 or 20 times."""
        return self.pick(smoke=1, quick=5, full=20)

    def steps(self, steps: int) -> int:
        """That many training steps; in a smoke run at most ten."""
        return self.pick(smoke=min(steps, 10), quick=steps, full=steps)


def budget() -> Budget:
    """The budget in the environment variable `SHAPEKEEPER_BUDGET`; "quick" if there is none.

    In a smoke run every figure that pyplot makes from here on carries a stamp.

    Returns:
        The budget.

    Raises:
        ValueError: The variable holds another word.

    >>> budget().name in ("smoke", "quick", "full")
    True
    """
    chosen = Budget(os.environ.get(VARIABLE) or "quick")
    hooks = [hook for hook in matplotlib.rcParams["figure.hooks"] if hook != _HOOK]
    stamped = [_HOOK] if chosen.name == "smoke" else []
    matplotlib.rcParams["figure.hooks"] = hooks + stamped
    return chosen


def stamp(figure: "Figure") -> None:
    """Write across a figure that its numbers mean nothing."""
    figure.text(
        0.5, 0.5, STAMP, color="crimson", alpha=0.45, fontsize=16, rotation=20,
        ha="center", va="center", zorder=1000, in_layout=False,
    )  # fmt: skip
