"""The rule by which nodes come and go."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

__all__ = ["OUTGOING_WEIGHTS", "READOUT_MULTIPLIERS", "GrowthError", "GrowthRule"]

Worth = Literal["outgoing", "multipliers", "readout multipliers"]
WORTHS = ("outgoing", "multipliers", "readout multipliers")


class GrowthError(ValueError):
    """Something can't grow as asked; the message says what was wanted and the way out."""


@dataclass(frozen=True, kw_only=True)
class GrowthRule:
    """When a node is worthless, how worthless ones go, and how new ones come.

    After each step of training a tax is taken off what makes a node matter. Nodes whose worth fell
    to the threshold are *spares*: so many are kept, to be of use one day; each further one is
    deleted with some probability. While an area has fewer spares than that, a new one is born with
    some probability. So the number of nodes is a balance between births and a tax.

    The rule is that of T. Miconi 2016, Neural networks with differentiable structure (arXiv
    1606.06216), which has two forms: `OUTGOING_WEIGHTS`, his later program and the default here,
    and `READOUT_MULTIPLIERS`, the paper's text. What he left open is a setting of its own below.

    Args:
        worth: What a node is worth. `"outgoing"`: the mean size of its weights to each tensor that
            reads it, averaged over these tensors, times the number of outputs that it has a weight
            to, or of all for one that has none (for one recurrent layer his
            `(sum |W_out| + outputs · sum |W| / N) / 2`). Where activations
            have no bound, times the size of its incoming weights, or growing these would evade the
            tax. `"multipliers"`: a factor of its own on all its outgoing weights, whose size is
            kept where it was, or they would evade the tax. `"readout multipliers"`: a factor on
            its way to the readout alone, as in the paper; what it does inside the network then
            does not count, and deleting it can hurt.
        threshold: Worth up to which a node is spare.
        spares: How many of them each area keeps.
        add: Probability of a birth at each step while an area has fewer.
        delete: Probability for each further one to be deleted at each step.
        stray: Probability of a birth at each step whatever the spares do, so that growth does not
            stand still where a spare never becomes useful: a dead unit of ReLU never does, so that
            .01 is a better choice for a few hundred steps of them.
        penalty: The tax: what is taken off the size of each outgoing weight (or multiplier) after
            each step, not below 0 (or `floor`). It is no part of the loss, where an adaptive
            optimizer would divide it away.
        floor: Least value of a multiplier.
        hysteresis: A node counts as useful, so that a new spare may be born, above so many
            thresholds; it is deleted below one. Another birth lowers the worth of all a little,
            since worth is a mean: without a gap, births and deaths chatter.
        grace: Steps for which a newborn node can't be deleted.
        newborn: Worth of a newborn node in thresholds.
        spread: Standard deviation of its incoming weights; where activations have no bound, they
            are made one long instead.
        step_bound: Largest move of any number in one step, whatever the optimizer; None for no
            bound.
        largest_jump: A birth or a death that would change the loss of the running batch by more
            waits for another step; None lets all through. Either way every jump is measured.

    Raises:
        GrowthError: If a setting can't be; all of them at once.

    Example:
        >>> GrowthRule().threshold, OUTGOING_WEIGHTS == GrowthRule()
        (0.05, True)
        >>> GrowthRule(add=2.0)
        Traceback (most recent call last):
        shapekeeper.growth.rule.GrowthError: Wanted add as a probability from 0 to 1, got 2.0.
    """

    worth: Worth = "outgoing"
    threshold: float = 0.05
    spares: int = 1
    add: float = 0.01
    delete: float = 0.05
    stray: float = 1e-4
    penalty: float = 1e-4
    floor: float = 0.0
    hysteresis: float = 1.25
    grace: int = 0
    newborn: float = 0.5
    spread: float = 0.01
    step_bound: float | None = 0.01
    largest_jump: float | None = 1e-3

    def __post_init__(self) -> None:
        if wrong := [*self._wrong()]:
            raise GrowthError(" ".join(wrong))

    def _wrong(self) -> Iterator[str]:
        if self.worth not in WORTHS:
            yield f"Wanted worth as one of {', '.join(map(repr, WORTHS))}, got {self.worth!r}."
        for name in ("add", "delete", "stray"):
            if not (_number(value := getattr(self, name)) and 0 <= value <= 1):
                yield f"Wanted {name} as a probability from 0 to 1, got {value!r}."
        for name in ("threshold", "penalty", "floor", "newborn", "spread"):
            if not (_number(value := getattr(self, name)) and 0 <= value < float("inf")):
                yield f"Wanted {name} as a number from 0 up, got {value!r}."
        for name in ("spares", "grace"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                yield f"Wanted {name} as a whole number from 0 up, got {value!r}."
        if not (_number(self.hysteresis) and self.hysteresis >= 1):
            yield f"Wanted hysteresis as a number from 1 up, got {self.hysteresis!r}."
        for name in ("step_bound", "largest_jump"):
            value = getattr(self, name)
            if value is not None and not (_number(value) and value > 0):
                yield f"Wanted {name} as a number above 0 or None, got {value!r}."

    @property
    def multiplied(self) -> bool:
        """Whether nodes have multipliers."""
        return self.worth != "outgoing"

    def fixed(self) -> "GrowthRule":
        """The same tax, and nodes neither come nor go: what a growing network is compared with.

        Example:
            >>> rule = GrowthRule(add=0.05).fixed()
            >>> rule.add, rule.delete, rule.penalty
            (0.0, 0.0, 0.0001)
        """
        return replace(self, add=0.0, delete=0.0, stray=0.0)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# The last state of the author's program: worth by outgoing weights, a tax after the step.
OUTGOING_WEIGHTS = GrowthRule()

# The text on arXiv. Its tax of 3e-5 is charged at each of 40 letters, and its edits are not asked
# what they change. It went through Adagrad, which divides it away; here it comes after the step.
READOUT_MULTIPLIERS = GrowthRule(
    worth="readout multipliers",
    add=0.05,
    delete=0.25,
    penalty=40 * 3e-5,
    floor=0.025,
    hysteresis=1.0,
    newborn=1.0,
    step_bound=None,
    largest_jump=None,
)
