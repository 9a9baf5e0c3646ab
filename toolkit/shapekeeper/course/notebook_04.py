"""Checks of notebook 04: strategies."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from shapekeeper.constraints import Connections, Constraint, FilterShape, NonNegative, Sphere
from shapekeeper.course.verdicts import Unwritten, Wrong, attempted, called, exercise, number
from shapekeeper.randomness import generator
from shapekeeper.strategies import (
    AugmentedLagrangian,
    Freeze,
    Penalty,
    Strategy,
)
from shapekeeper.tasks import pencil_answer

# 04.1

STRENGTH = 2.0


@exercise("04.1")
def bill(answer) -> str:
    """Loss of the pencil problem at strength 2, as trained and after b alone is set to 0."""
    trained, held = _pair(answer)
    right, free = pencil_answer(STRENGTH), pencil_answer(float("inf"))
    wanted, got = f"{right.loss:g} and ?", f"{trained:.4g} and {held:.4g}"
    if np.isclose(trained, right.loss + STRENGTH * right.b**2, atol=1e-3):
        raise Wrong("You added the price. The loss is what is left without it.", wanted, got)
    if not np.isclose(trained, right.loss, atol=1e-3):
        raise Wrong("Where training ends, the pull of the price equals that of the loss: "
                    "b = 1/(λ + ½).", "L at that b and the best a for it", got)  # fmt: skip
    if np.isclose(held, right.loss, atol=1e-3):
        raise Wrong("You did not cut: set b to 0 and keep a.", wanted, got)
    if np.isclose(held, free.loss, atol=1e-3):
        raise Wrong(
            "You retrained a after the cut. That is a fair idea with another name (Staged); the "
            "arrow does not retrain.",
            wanted,
            got,
        )
    if not np.isclose(held, right.held, atol=1e-3):
        raise Wrong("Put b = 0 into the loss and leave a where it was trained to.", wanted, got)
    leak, stronger = right.b, pencil_answer(10 * STRENGTH)
    return (
        f"The leak of {leak:g} earned {free.loss - trained:.2f} and costs {held - free.loss:.2f} "
        f"when it is cut. At ten times the strength it earns {free.loss - stronger.loss:.2f} and "
        f"costs {stronger.held - free.loss:.3f}: the gain shrinks like b, the bill like b²."
    )


def _pair(answer: Any) -> tuple[float, float]:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong("These are not two losses.", "(trained, held)", f"a {type(answer).__name__}")
    if any(one is ... or one is None for one in answer):
        raise Unwritten("Put a number in place of the dots, for each of the two.")
    trained, held = map(number, answer)
    return trained, held


# 04.2


class Held(NamedTuple):
    """Weights with a leading axis of seeds, and what some of them may be."""

    weights: dict[str, Tensor]
    constraints: dict[str, Constraint]


def weights_and_constraints(seed: int = 0, runs: int = 3) -> Held:
    """The weights of a small network for several seeds, and constraints on one of them.

    Args:
        seed: Which draw.
        runs: How many seeds.

    Returns:
        Name -> weights `(runs, *shape)`, and name -> constraint.

    Example:
        >>> weights, constraints = weights_and_constraints()
        >>> weights["hidden.weight"].shape, list(constraints)
        (torch.Size([3, 2, 5]), ['hidden.weight'])
    """
    draw = generator(seed, "course/repair")
    shapes = {"readout.bias": (4,), "hidden.weight": (2, 5), "readout.weight": (4, 2)}
    return Held(_drawn(shapes, runs, draw), {"hidden.weight": NonNegative()})


def _drawn(shapes: Mapping[str, tuple[int, ...]], runs: int, draw: torch.Generator) -> dict:
    """Parameters, as an optimizer has them: gradients are recorded."""
    return {
        name: torch.randn(runs, *shape, generator=draw).requires_grad_()
        for name, shape in shapes.items()
    }


def _cases() -> Iterator[Held]:
    """One kind of constraint at a time, then several; as many seeds as no other axis has."""
    yield weights_and_constraints(1, runs=3)
    draw = generator(2, "course/repair")
    mask = torch.rand(4, 7, generator=draw) < 0.4
    shapes = {"eye.bias": (4,), "eye.weight": (4, 7), "hand.weight": (3, 4), "hand.scale": (3, 2)}
    bound = {"eye.weight": Connections(mask), "hand.scale": Sphere(2.0)}
    yield Held(_drawn(shapes, 5, draw), bound)
    shapes = {"kernels": (6, 1, 15), "mix.weight": (2, 6), "mix.bias": (2,)}
    bound = {"kernels": FilterShape.bandlimited(0.5), "mix.weight": NonNegative()}
    yield Held(_drawn(shapes, 5, draw), bound)


@exercise("04.2", example=weights_and_constraints)
def repair(function) -> str:
    """Each constrained tensor becomes its projection, in place; the others stay."""
    cases = list(_cases())
    for case in cases:
        _repaired(function, case)
    kinds = sorted({type(c).__name__ for case in cases for c in case.constraints.values()})
    return (
        f"Right for {', '.join(kinds)}, and you wrote nothing about any of them: strategy and "
        "constraint don't know each other. The library's Projection is the same few words."
    )


def _repaired(function: Callable, case: Held) -> None:
    before = {name: w.detach().clone() for name, w in case.weights.items()}
    # A dict of our own: a tensor that is replaced in theirs is still at hand here.
    answer = attempted(function, dict(case.weights), dict(case.constraints))
    after = {name: w.detach().clone() for name, w in case.weights.items()}
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    if not moved and answer is None and not _replaces(function, case):
        raise Unwritten("Nothing changes yet: write the body of your function.")
    if not moved:
        raise Wrong(
            "The weights are unchanged after the step.",
            "allowed numbers in the tensors themselves, where the optimizer has them",
            "new tensors" if answer is not None else "other tensors under the old names",
        )
    for name in moved:
        if name not in case.constraints:
            raise Wrong(f"`{name}` has no constraint but moved.", "as it was", "other numbers")
    for name, c in case.constraints.items():
        _is_nearest(name, c, before[name], after[name])
    _is_lawful(function, case, before, after)


def _replaces(function: Callable, case: Held) -> bool:
    """Whether it puts other tensors into the dict."""
    weights = {name: w.detach().clone() for name, w in case.weights.items()}
    given = dict(weights)
    attempted(function, given, dict(case.constraints))
    return any(given.get(name) is not w for name, w in weights.items())


def _is_nearest(name: str, c: Constraint, before: Tensor, after: Tensor) -> None:
    allowed = c.allows(after).reshape(len(after), -1).all(1)
    if not allowed.all():
        row = int((~allowed).nonzero()[0])
        raise Wrong(
            f"`{name}` is not allowed in row {row}. The first axis counts the seeds.",
            "every row allowed",
            f"violation {c.violation(after[row]).max().item():.3g} in row {row}",
        )
    if not torch.allclose(after, c.project(before), atol=1e-5):
        far, near = ((x - before).norm().item() for x in (after, c.project(before)))
        why = f"`{name}` is allowed, but not the nearest allowed value."
        raise Wrong(why, f"moved by {near:.3g}", f"moved by {far:.3g}")


def _is_lawful(function: Callable, case: Held, before: dict, after: dict) -> None:
    """Twice is once; alone is together."""
    attempted(function, dict(case.weights), dict(case.constraints))
    alone = {name: w[1:2].clone().requires_grad_() for name, w in before.items()}
    attempted(function, dict(alone), dict(case.constraints))
    for name in case.constraints:
        if not torch.allclose(case.weights[name].detach(), after[name], atol=1e-5):
            raise Wrong(f"A second time, `{name}` moved again.", "twice is once")
        if not torch.allclose(alone[name].detach(), after[name][1:2], atol=1e-5):
            raise Wrong(f"A seed alone got another `{name}` than in company.", "the same numbers")


# 04.3

ROUNDS = 30
PENALTIES = (0.5, 2.0, 8.0)


class _Slope(NamedTuple):
    """A loss of b alone, curvature/2 · b² - price · b, whose multiplier at b = 0 is the price."""

    price: float
    curvature: float

    def rest(self, mu: float, rho: float) -> float:
        """Where the augmented loss rests: its slope, curvature b - price + mu + rho b, is 0."""
        return (self.price - mu) / (self.curvature + rho)


PENCIL = _Slope(2.0, 1.0)


def _slopes() -> list[_Slope]:
    draw = np.random.default_rng([4, 3]).uniform
    return [PENCIL, *(_Slope(draw(-4, 4), draw(0.5, 1.5)) for _ in range(5))]


@exercise("04.3")
def learn_the_price(function) -> str:
    """The update of the multiplier, from 30 rounds on the pencil problem and others like it."""
    for slope in _slopes():
        for rho in PENALTIES:
            prices, leaks = _rounds(function, slope, rho)
            if not (abs(prices[-1] - slope.price) < 0.02 and abs(leaks[-1]) < 0.01):
                raise Wrong(
                    _why_not_learned(function, slope, rho),
                    f"μ = {slope.price:.3g}, b = 0 after {ROUNDS} rounds at ρ = {rho:g}",
                    f"μ = {prices[-1]:.3g}, b = {leaks[-1]:.3g}",
                )
    factors = ", ".join(f"{1 / (1 + rho):.2f}" for rho in PENALTIES)
    return (
        f"Here what is missing shrinks by 1/(1 + ρ) a round: by {factors}. A plain penalty's leak "
        "stays; here it is used to learn, and fades because the price takes its place."
    )


def _rounds(function: Callable, slope: _Slope, rho: float) -> tuple[list[float], list[float]]:
    """What μ and b are in each round: minimize, then update."""
    prices, leaks = [0.0], []
    for _ in range(ROUNDS):
        leaks.append(slope.rest(prices[-1], rho))
        prices.append(number(called(function, prices[-1], rho, leaks[-1])))
    return prices, [*leaks, slope.rest(prices[-1], rho)]


def _why_not_learned(function: Callable, slope: _Slope, rho: float) -> str:
    prices, _ = _rounds(function, PENCIL, PENALTIES[0])
    if not np.isfinite(prices).all() or abs(prices[3] - 2) > abs(prices[1] - 2) > 2:
        told = ", ".join(f"{price:.1f}".replace("-", "\N{MINUS SIGN}") for price in prices[1:4])
        return f"μ runs away from 2: {told} … The sign must make leaking dearer when b > 0."
    ending, settled = _rounds(function, slope, rho)
    # What it remembers: the same leak, another old price.
    one, other = (number(called(function, mu, rho, 0.3)) for mu in (0.0, 1.0))
    if np.isclose(one, other):
        return f"It forgets what it learned: b stays at {settled[-1]:.2g}, as with a plain penalty."
    if abs(ending[-1] - slope.price) < abs(ending[5] - slope.price):
        return "It learns, but too slowly: the step that fits the penalty is ρ."
    return "It does not settle where b is 0. Keep the old price, and add to it what the leak says."


# 04.4

CASES = ((1, 0.5), (10, 0.5), (100, 0.5), (3, 0.0), (37, 0.0))


@exercise("04.4")
def share(function) -> str:
    """The share of proposals inside a box that is narrower by one factor in each direction."""
    draw = np.random.default_rng([4, 4])
    more = [(int(draw.integers(2, 40)), float(draw.uniform(0.1, 0.9))) for _ in range(10)]
    for n, width in (*CASES, *more):
        got = number(called(function, n, width))
        if not np.isclose(got, width**n, rtol=1e-6, atol=0):
            told = f"{got:.3g} at n = {n}, width {width:.2g}"
            raise Wrong(_why_not_share(function, n, width), f"{width**n:.3g}", told)
    return (
        f"At n = 100 it is {0.5**100:.0e}: a million proposals a second since the beginning of the "
        "universe would have found none. A line has no area, so a closed weight never has a "
        "chance at all."
    )


def _why_not_share(function: Callable, n: int, width: float) -> str:
    ten = float(called(function, 10, 0.5))
    if np.isclose(ten, 0.5):
        return "All n must be inside at once."
    if np.isclose(ten, 0.05):
        found = int((np.random.default_rng(4).random((100_000, 10)) < 0.5).all(1).sum())
        return f"That would be 5 % at n = 10. Simulate 100 000 draws: you find about {found}."
    if width == 0:
        return "A wall has no width: nothing that is drawn at random lies on it."
    if width != 0.5 and np.isclose(float(called(function, n, width)), 0.5**n):
        return "Right for half the width. Use the width that is given."
    return "The directions are independent: multiply."


# 04.5


class Project(NamedTuple):
    """What somebody needs, and what is wrong with a strategy for it, or nothing."""

    need: str
    objection: Callable[[Strategy], str]


def _kinds(strategy: Strategy) -> set[type[Strategy]]:
    return {type(stage.strategy) for stage in strategy.stages()}


def _always(strategy: Strategy) -> bool:
    return all(stage.strategy.guarantee == "structural" for stage in strategy.stages())


def _learns(strategy: Strategy) -> bool:
    return any(stage.rate * stage.strategy.rate > 0 for stage in strategy.stages())


def _for_pacemaker(strategy: Strategy) -> str:
    if _kinds(strategy) & {Penalty, AugmentedLagrangian}:
        which = "A penalty" if Penalty in _kinds(strategy) else "A Lagrangian"
        return f"{which} asks. This needs a structural guarantee."
    if not _always(strategy):
        return "It holds at the end, or now and then. This needs it at every step."
    return "" if _learns(strategy) else "It never leaves what is allowed, and it never learns."


def _for_black_box(strategy: Strategy) -> str:
    if not _kinds(strategy) <= {Penalty, AugmentedLagrangian}:
        return "There is nothing to project with. A Lagrangian needs only the value."
    if isinstance(strategy, Penalty) and strategy.norm == "absolute":
        return "The absolute penalty steps toward the nearest value, which nobody knows."
    return ""


def _for_hunch(strategy: Strategy) -> str:
    if _kinds(strategy) == {Penalty}:
        return ""
    if AugmentedLagrangian in _kinds(strategy):
        return "It raises its price until nothing leaks, whatever the data say."
    if strategy.guarantee == "structural":
        return "It can't be overruled: here the data may, if they insist."
    return "It does not know your hunch: nothing pulls."


def _for_transplant(strategy: Strategy) -> str:
    if _kinds(strategy) == {Freeze}:
        return ""
    if not _learns(strategy) or Freeze not in _kinds(strategy):
        return "Allowed is not enough: it moves the layer, and the year of training is gone."
    return "Frozen at first, then not. It has to stay to the last bit, to the end."


def _for_late_shape(strategy: Strategy) -> str:
    if Freeze in _kinds(strategy) and not _learns(strategy):
        return "Frozen from the start it never learns what it was allowed to learn first."
    if strategy.guarantee != "structural":
        return "Nothing makes it exact at the end."
    if _always(strategy):
        return "It closes the wires from the first step. In the first half all may be used."
    return ""


PROJECTS = {
    "pacemaker": Project(
        "A layer has to learn on. The regulator requires that closed wires never carry anything, "
        "at no step.",
        _for_pacemaker,
    ),
    "black box": Project(
        "A simulator returns how far a weight is from what is allowed, with a gradient. Nobody "
        "knows the nearest allowed weight.",
        _for_black_box,
    ),
    "hunch": Project(
        "You believe that some wires are useless. Mostly closed is enough, and if the data insist, "
        "they may overrule you.",
        _for_hunch,
    ),
    "transplant": Project(
        "A layer was trained for a year and meets its drawing. You have twenty examples for a new "
        "layer behind it. The old one has to stay as it is, to the last bit.",
        _for_transplant,
    ),
    "late shape": Project(
        "At the end the drawing holds exactly, since the chip has no other wires. Until half of "
        "the time is over, all wires may be used to learn.",
        _for_late_shape,
    ),
}


def projects() -> dict[str, str]:
    """Five projects, and what each needs.

    Example:
        >>> list(projects())
        ['pacemaker', 'black box', 'hunch', 'transplant', 'late shape']
    """
    return {name: project.need for name, project in PROJECTS.items()}


@exercise("04.5", example=projects)
def choose(answer) -> str:
    """A strategy for each project whose guarantee covers the need, and that can be computed."""
    if not isinstance(answer, dict):
        raise Wrong("Wanted a strategy for each project.", "a dict", f"a {type(answer).__name__}")
    missing = [name for name in PROJECTS if answer.get(name, ...) in (..., None)]
    if missing:
        raise Unwritten(f"Still to choose: {', '.join(missing)}.")
    for name, project in PROJECTS.items():
        strategy = answer[name]
        if not isinstance(strategy, Strategy):
            made = " Make one, with brackets." if isinstance(strategy, type) else ""
            raise Wrong(f"{name}: this is no strategy.{made}", "sk.…(…)", repr(strategy))
        for one in strategy.variants():
            if objection := project.objection(one):
                raise Wrong(f"{name}: {objection}", project.need, one.label)
    kinds = {type(s).__name__ for s in answer.values()}
    return (
        f"Five needs, {len(kinds)} kinds of strategy. None of them was chosen by its score: what "
        "must hold, and what you can compute, come first."
    )
