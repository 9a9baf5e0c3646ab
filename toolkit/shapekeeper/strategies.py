"""How training holds a constraint: the strategies, one under the other.

A strategy is a frozen value. It sees named tensors with a leading axis of runs, `(runs, *shape)`,
one constraint at a time, and a memory: a dict of tensors with the same leading axis, for whatever
it must remember between steps. It knows no network and no task, and meets the optimizer in `before`
alone. Each hook below does nothing unless a strategy says otherwise; reading what a strategy
overrides is reading what it does.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, product
from math import exp, log
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor, nn

from shapekeeper.constraints import Constraint, Flat, Surface, onward
from shapekeeper.optimizers import (
    asks_again,
    equalize_second_moment,
    mixes_numbers,
    rescales_for_good,
)

__all__ = [
    "AugmentedLagrangian",
    "ConstrainedLangevin",
    "Freeze",
    "Penalty",
    "Projection",
    "RejectionEvolution",
    "Reparametrization",
    "Stage",
    "Staged",
    "Strategy",
    "StrategyError",
    "Unconstrained",
]

STRONGEST = 1e4  # times the strength that it began with is as far as a penalty grows
STRETCH = 50  # steps after which an augmented Lagrangian looks back
BLOCK = 2**16  # numbers that are moved at once
EVERYWHERE = Flat()  # where nothing binds

Memory: TypeAlias = dict[str, Tensor]
# A number, or a list of numbers: one strategy for each. Hooks only ever see the number.
FloatOrSweep: TypeAlias = Any
IntOrSweep: TypeAlias = Any


class StrategyError(ValueError):
    """A strategy that can't be made, or can't be used here."""


@dataclass(frozen=True)
class Strategy:
    """What all strategies share: hooks that do nothing.

    A setting given as a list is a sweep, one strategy for each value (`variants`).

    Attributes:
        guarantee: What is promised of a weight at every step: `"structural"` (for all inputs and
            weights) or `"none"`.
        output_guarantee: What is promised of the value of a layer; `"empirical"` is of the inputs
            that were checked.
        rate: Factor on the optimizer's step of a bound tensor.
        charted: Whether the network sees something else of a weight than the optimizer moves.
        advances: Whether it takes the steps itself, of bound and unbound tensors alike, instead of
            an optimizer.
        evolves: Whether it tries whole networks on a batch, without gradients; then nothing of it
            is asked but `starting_point`, `begin`, `weights` and `output`.
        priced: Whether a bound weight adds to the loss.
        output_priced: Whether the value of a bound layer does.
        rowwise: Settings that the hooks for weights read by `setting`: strategies that differ in
            nothing else train as the rows of one tensor.
        runaway_words: What it means when `runaway` finds a run, and the way out; one sentence each.

    Example:
        >>> [s.label for s in Penalty([0.1, 1.0]).variants()]
        ['Penalty 0.1', 'Penalty 1']
    """

    guarantee: ClassVar[str] = "none"
    output_guarantee: ClassVar[str] = "none"
    rate: ClassVar[float] = 1.0
    charted: ClassVar[bool] = False
    advances: ClassVar[bool] = False
    evolves: ClassVar[bool] = False
    priced: ClassVar[bool] = False
    output_priced: ClassVar[bool] = False
    rowwise: ClassVar[tuple[str, ...]] = ()
    runaway_words: ClassVar[str] = ""
    kinds: ClassVar[dict[str, type["Strategy"]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        """Note the class under its name, so that JSON finds it."""
        super().__init_subclass__(**options)
        Strategy.kinds[cls.__name__] = cls

    def __post_init__(self) -> None:
        """Keep a sweep as a tuple, and check every value of it."""
        for field in dataclasses.fields(self):
            if isinstance(value := getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(value))
        for variant in self.variants():
            if problem := variant.problem():
                raise StrategyError(problem)

    def problem(self) -> str:
        """What is wrong with the settings, or nothing."""
        return ""

    def variants(self) -> list["Strategy"]:
        """The strategies that a sweep stands for; this one alone if nothing is swept."""
        settings = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        if not any(isinstance(value, tuple) for value in settings.values()):
            return [self]
        choices = [v if isinstance(v, tuple) else (v,) for v in settings.values()]
        return [type(self)(**dict(zip(settings, c, strict=True))) for c in product(*choices)]

    @property
    def label(self) -> str:
        """Name and settings, as tables and legends show them."""
        shown = [
            getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        ]
        words = [f"{v:g}" if isinstance(v, (int, float)) else str(v) for v in shown]
        return " ".join([type(self).__name__, *words])

    def stages(self) -> tuple["Stage", ...]:
        """The strategies to go through, each with its share of the steps."""
        return (Stage(1.0, self),)

    def setting(self, name: str, memory: Memory) -> Any:
        """A number of this strategy: `(runs,)` where the runs differ in it, else the setting."""
        return memory.get(name, getattr(self, name))

    def starting_point(self, c: Constraint, x: Tensor) -> Tensor:
        """Where a bound weight begins, `(runs, *shape)`; the same for every strategy."""
        return c.start(x)

    def begin(self, c: Constraint, x: Tensor) -> tuple[Tensor, Memory]:
        """What the optimizer moves, and what the strategy remembers, from a start `x`."""
        return x, {}

    def weights(self, c: Constraint, leaf: Tensor, memory: Memory) -> Tensor:
        """What the network sees of the tensor that the optimizer moves."""
        return leaf

    def output(self, c: Constraint, value: Tensor) -> Tensor:
        """What a bound layer passes on; sees one run."""
        return value

    def price(self, c: Constraint, value: Tensor, memory: Memory) -> Tensor | float:
        """What is added to the loss of each run, `(runs,)`."""
        return 0.0

    def output_price(self, c: Constraint, value: Tensor, memory: Memory) -> Tensor | float:
        """What the value of a layer, `(runs, batch, ...)`, adds to the loss, `(runs,)`.

        Summed over the batch. The memory is empty when a training or a stage begins; what is put
        there stays.
        """
        return self.price(c, value, {})

    def output_after(self, c: Constraint, value: Tensor, memory: Memory) -> None:
        """What is learned from the value of a layer, `(runs, batch, ...)`, after the step."""

    def before(
        self, c: Constraint, leaf: Tensor, optimizer: torch.optim.Optimizer, group: dict[str, Any]
    ) -> None:
        """Prepare the optimizer's step of a bound tensor, `(*batch, *event)` with its gradient."""

    def repair(self, c: Constraint, leaf: Tensor, memory: Memory, lr: float) -> Tensor:
        """The bound tensor after the optimizer's step; may write into `leaf`."""
        return leaf

    @property
    def noisy(self) -> bool:
        """Whether `advance` draws."""
        return False

    def advance(
        self, c: Constraint | None, leaf: Tensor, grad: Tensor, memory: Memory, noise: Tensor | None
    ) -> Tensor:
        """Take a step of the strategy's own; returns the tensor.

        Args:
            c: What it may be; None where nothing binds it.
            leaf: The tensor, `(runs, *shape)`; written to.
            grad: Of the loss of each run.
            memory: Of `begin`; written to.
            noise: Standard normal numbers of the same shape, or None if not `noisy`.
        """
        raise NotImplementedError(f"{type(self).__name__} leaves the steps to an optimizer.")

    def recall(self, c: Constraint, x: Tensor, memory: Memory) -> Tensor:
        """The bound tensor after a memory was loaded, which may know it better than `x`."""
        return x

    def revisit(self, c: Constraint, x: Tensor, memory: Memory) -> Tensor:
        """The bound tensor after somebody else wrote `x` to it; the memory follows."""
        return x

    def runaway(self, memory: Memory) -> Tensor | None:
        """Which runs' memory of a bound tensor runs away, `(runs,)`; None if none can."""
        return None

    def unfit(self, c: Constraint, optimizer: torch.optim.Optimizer) -> str:
        """Why this optimizer can't train a bound tensor, and what can; nothing if it can."""
        return ""

    def to_json(self) -> dict[str, Any]:
        """A plain dict from which `Strategy.from_json` makes an equal strategy."""
        settings = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {"strategy": type(self).__name__, **settings}

    @staticmethod
    def from_json(saved: dict[str, Any]) -> "Strategy":
        """The strategy that `to_json` wrote; stages lose models of their own.

        Raises:
            StrategyError: If no strategy has that name.
        """
        settings = dict(saved)
        kind = settings.pop("strategy", None)
        if kind not in Strategy.kinds:
            raise StrategyError(f"Wanted a strategy, got {kind!r}; there are {[*Strategy.kinds]}.")
        if kind == "Staged":
            stages = [dict(stage) for stage in settings["parts"]]
            for stage in stages:
                stage["strategy"] = Strategy.from_json(stage["strategy"])
            return Staged(*(Stage(**stage) for stage in stages))
        if settings.get("inside"):
            settings["inside"] = Strategy.from_json(settings["inside"])
        return Strategy.kinds[kind](**settings)


@dataclass(frozen=True)
class Unconstrained(Strategy):
    """Ordinary training: the constraint is measured, never held.

    Args:
        start: `"constraint"` begins where every strategy begins, at an allowed value; `"task"` at
            the weights that the task's own model starts with.

    Example:
        >>> Unconstrained(start="task").label
        'Unconstrained task'
    """

    start: Literal["constraint", "task"] = "constraint"

    def problem(self) -> str:
        """A start that is neither of the two."""
        if self.start in ("constraint", "task"):
            return ""
        return f"Wanted start='constraint' or start='task', got {self.start!r}."

    def starting_point(self, c: Constraint, x: Tensor) -> Tensor:
        """The constraint's start, or the task's."""
        return c.start(x) if self.start == "constraint" else x


@dataclass(frozen=True)
class Penalty(Strategy):
    """Training pays for what is not allowed, in proportion to a strength.

    The squared penalty is part of the loss: its pull fades near the allowed set, so weights come
    near it and never arrive. The absolute one is a proximal step after the optimizer's (N. Parikh
    and S. Boyd 2014, Proximal Algorithms, section 6.1.3): weights move toward the nearest allowed
    value by `lr * strength` and stop exactly there; in the loss, Adam would rescale it away.
    On the value of a layer both kinds are part of the loss, summed over the layer's nodes and
    averaged over the batch.

    Args:
        strength: Price of one unit of squared (or absolute) residual, from 0 up; a list is a sweep.
        norm: `"squared"` or `"absolute"`.
        growth: Factor on the strength of a squared penalty after each step that leaves the weight
            not allowed, up to 10 000 times the strength; each run by itself. What is priced then
            is a set a little inside, where the constraint knows one (`Constraint.inside`). A list
            is a sweep.

    Raises:
        StrategyError: If a strength is negative or not finite, the norm is neither, or growth is
            below 1, asked of an absolute penalty, or asked of the value of a layer.

    Example:
        >>> from shapekeeper import Connections
        >>> Penalty(10.0).price(Connections([[1, 0]]), torch.tensor([[[3.0, 0.5]]]), {})
        tensor([2.5000])
    """

    strength: FloatOrSweep
    norm: Literal["squared", "absolute"] = "squared"
    growth: FloatOrSweep = 1.0

    output_priced: ClassVar[bool] = True

    @property
    def rowwise(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on the setting
        """The strength; one that grows is remembered from the start."""
        return ("strength",) if self.growth == 1 else ()

    @property
    def priced(self) -> bool:  # type: ignore[override]  # depends on the setting
        """The squared penalty is part of the loss; the absolute one is not."""
        return self.norm == "squared"

    def unfit(self, c: Constraint, optimizer: torch.optim.Optimizer) -> str:
        """The absolute penalty is a step after each step, and some take many inside one."""
        return _many_in_one(self, optimizer) if self.norm == "absolute" else ""

    def problem(self) -> str:
        """A strength or norm that can't be."""
        if not (isinstance(self.strength, (int, float)) and 0 <= self.strength < float("inf")):
            return f"Wanted a finite strength from 0 up, got {self.strength!r}."
        if self.norm not in ("squared", "absolute"):
            return f"Wanted norm='squared' or norm='absolute', got {self.norm!r}."
        if not (isinstance(self.growth, (int, float)) and 1 <= self.growth < float("inf")):
            return f"Wanted a finite growth from 1 up, got {self.growth!r}."
        if self.growth > 1 and self.norm == "absolute":
            return "Wanted norm='squared' for a strength that grows: the absolute one arrives."
        return ""

    @property
    def label(self) -> str:
        """As tables and legends show it."""
        number = isinstance(self.strength, (int, float))
        words = [f"Penalty {self.strength:g}" if number else f"Penalty {self.strength}"]
        words += ["absolute"] if self.norm == "absolute" else []
        words += [f"growing {self.growth:g}"] if self.growth != 1 else []
        return " ".join(words)

    def begin(self, c: Constraint, x: Tensor) -> tuple[Tensor, Memory]:
        """A strength for each run where it may grow."""
        return x, {} if self.growth == 1 else {"strength": x.new_full((len(x),), self.strength)}

    def price(self, c: Constraint, value: Tensor, memory: Memory) -> Tensor | float:
        """The squared penalty; the absolute one is paid after the step, in `repair`."""
        if self.norm == "absolute":
            return 0.0
        if self.growth > 1:
            return memory["strength"] * _per_run(c.inside().penalty(value))
        return self.setting("strength", memory) * _per_run(c.penalty(value))

    def output_price(self, c: Constraint, value: Tensor, memory: Memory) -> Tensor | float:
        """The penalty on the value of a layer, squared or absolute."""
        if self.growth > 1:
            raise StrategyError(
                "A strength that grows is for weights: what a layer gives changes with every "
                "batch. Wanted Penalty(strength) on the value of a layer, or Projection."
            )
        if self.norm == "squared":
            return self.price(c, value, {})
        return self.strength * _per_run((value - c.project(value)).abs())

    def repair(self, c: Constraint, leaf: Tensor, memory: Memory, lr: float) -> Tensor:
        """The absolute penalty's step toward the nearest allowed value; growth."""
        if self.growth > 1:
            met = c.allows(leaf).reshape(len(leaf), -1).all(1)
            grown = (memory["strength"] * self.growth).clamp(max=STRONGEST * self.strength)
            memory["strength"] = torch.where(met, memory["strength"], grown)
        if self.norm == "squared":
            return leaf
        way, reach = c.project(leaf) - leaf, lr * self.setting("strength", memory)
        if isinstance(reach, Tensor):
            reach = reach.view(-1, *[1] * (leaf.dim() - 1))
        if c.separable:
            return leaf + way.clamp(-reach, reach)
        axes = tuple(range(-c.event_dims, 0))
        length = torch.linalg.vector_norm(way, dim=axes, keepdim=True)
        return leaf + way * (reach / length.clamp(min=torch.finfo(way.dtype).tiny)).clamp(max=1)


@dataclass(frozen=True)
class AugmentedLagrangian(Strategy):
    """Training pays a price for what is not allowed, and learns the price.

    Each residual has a multiplier. With h the residuals that should be 0, g those that should be
    at most 0, and r the penalty, the loss f becomes

        f + sum(mu h + r/2 h²) + sum(max(0, lambda + r g)² - lambda²) / (2 r)

    (M. R. Hestenes 1969, Multiplier and gradient methods; M. J. D. Powell 1969, A method for
    nonlinear constraints in minimization problems; R. T. Rockafellar 1974, Augmented Lagrange
    multiplier functions and duality in nonconvex programming; J. Nocedal and S. J. Wright 2006,
    Numerical optimization, eq. 17.36 and section 17.4). One step of the optimizer takes the place
    of each minimization (J. C. Platt and A. H. Barr 1988, Constrained differential optimization);
    after it, at the new weights,

        mu <- mu + dual_step h        lambda <- max(0, lambda + dual_step max(g, -lambda / r)).

    Where this settles everything is allowed, up to the noise of training, and a multiplier is what
    the loss would gain per unit if its residual were let go (`equal` and `at_most` in the memory
    that `Held.state_dict` has of a name). Until then nothing is promised: prices learned too fast
    swing ever further (`runaway`).

    On the value of a layer each residual of an example has a multiplier, shared by the batch and by
    all calls of the layer; it learns from their mean, as priced before the step. The quadratic part
    is priced example by example.

    Args:
        penalty: r, the price of half a squared residual, from 0 up; it damps the swinging. 0 is the
            plain Lagrangian. A list is a sweep.
        dual_step: Step of the multipliers, above 0. A list is a sweep.
        growth: Factor on the penalty, and on the dual step along with it, after each 50 steps whose
            largest residual is above 3/4 of that of the 50 before, a thousandth of the largest of
            all, and what is allowed; up to 10 000 times, each run by itself (after Nocedal and
            Wright, algorithm 17.4). Plain gradient descent bears no penalty above 2 / lr. A list is
            a sweep.

    Raises:
        StrategyError: If the penalty is negative, the dual step not above 0, growth below 1, or one
            of them not finite, all problems at once; or (when training begins) if the residuals of
            a set have no derivative.

    Example:
        >>> from shapekeeper import Connections
        >>> closed, weight = Connections([[1, 0]]), torch.tensor([[[3.0, 0.5]]])
        >>> strategy = AugmentedLagrangian(penalty=2.0, dual_step=4.0)
        >>> leaf, memory = strategy.begin(closed, weight)
        >>> before = strategy.price(closed, weight, memory)
        >>> leaf = strategy.repair(closed, leaf, memory, lr=0.1)
        >>> memory["equal"], before, strategy.price(closed, weight, memory)
        (tensor([[0., 2.]]), tensor([0.2500]), tensor([1.2500]))
    """

    penalty: FloatOrSweep = 1.0
    dual_step: FloatOrSweep = 0.01
    growth: FloatOrSweep = 1.0

    priced: ClassVar[bool] = True
    output_priced: ClassVar[bool] = True
    rowwise: ClassVar[tuple[str, ...]] = ("penalty", "dual_step", "growth")
    runaway_words: ClassVar[str] = (
        "the multipliers run away: they overshoot further each time, and the residuals with them. "
        "Use a smaller dual_step, or a larger penalty."
    )

    def problem(self) -> str:
        """Numbers that can't be, all of them."""
        wanted = {
            "penalty": ("from 0 up", lambda number: number >= 0),
            "dual_step": ("above 0", lambda number: number > 0),
            "growth": ("from 1 up", lambda number: number >= 1),
        }
        return " ".join(
            f"Wanted a finite {name} {words}, got {number!r}."
            for name, (words, fits) in wanted.items()
            if not (isinstance(number := getattr(self, name), (int, float)) and fits(number))
            or number == float("inf")
        )

    @property
    def label(self) -> str:
        """As tables and legends show it."""
        penalty, step, growth = (
            f"{n:g}" if isinstance(n, (int, float)) else f"{n}"
            for n in (self.penalty, self.dual_step, self.growth)
        )
        growing = "" if self.growth == 1 else f" growing {growth}"
        if self == AugmentedLagrangian():
            return "AugmentedLagrangian"
        return f"AugmentedLagrangian {penalty}{growing}, dual {step}"

    def begin(self, c: Constraint, x: Tensor) -> tuple[Tensor, Memory]:
        """No multiplier charges anything yet."""
        _refuse_steps(c)
        return x, _uncharged(*c.residual(x))

    def output(self, c: Constraint, value: Tensor) -> Tensor:
        """The value as it is, of which residuals can be priced."""
        _refuse_steps(c)
        return value

    def price(self, c: Constraint, value: Tensor, memory: Memory) -> Tensor | float:
        """What the multipliers and the penalty charge."""
        return self._charge(self._counted(c.residual(value), memory), memory)

    def repair(self, c: Constraint, leaf: Tensor, memory: Memory, lr: float) -> Tensor:
        """The weight stays as it is; the multipliers learn from it."""
        counted = self._counted(c.residual(leaf), memory)
        self._learn(counted, memory)
        self._look_back(_worst(counted), c.tolerance(leaf.dtype), memory)
        return leaf

    def output_price(self, c: Constraint, value: Tensor, memory: Memory) -> Tensor | float:
        """What they charge for each example, summed over the batch."""
        residuals = c.residual(_with_batch(c, value))
        if "grown" not in memory:
            memory |= _uncharged(*(r.detach().sum(1) for r in residuals))
        wanted = [tuple(memory[kind].shape[1:]) for kind in ("equal", "at_most")]
        if (given := [tuple(r.shape[2:]) for r in residuals]) != wanted:
            raise StrategyError(
                "There is one multiplier for each residual of an example: wanted values of one "
                f"shape, whose residuals have shapes {wanted}, got {given}. Penalty and Projection "
                "take any."
            )
        return self._charge(self._counted(residuals, memory, batch=True), memory)

    def output_after(self, c: Constraint, value: Tensor, memory: Memory) -> None:
        """The multipliers learn from the mean over the batch."""
        if not value.numel():
            return
        counted = self._counted(c.residual(_with_batch(c, value)), memory, batch=True)
        means = {kind: (price[:, 0], r.mean(1)) for kind, (price, r) in counted.items()}
        self._learn(means, memory)
        self._look_back(_worst(counted), c.tolerance(value.dtype), memory)

    def runaway(self, memory: Memory) -> Tensor | None:
        """Whether the multipliers have swung through zero, further each time.

        Looked at are stretches of training, each as long as all before it. In one that counts,
        the multiplier that moves most has turned its sign and come half as far on the other side
        (those of `at_most`: gone to zero), over a range 1.2 times that of the stretch before. Two
        such stretches in a row are a runaway, until the range falls below 0.7 times.
        """
        if "grown" not in memory:
            return None
        return memory["streak"] + _swings_on(memory) >= 2

    def _counted(
        self, residuals: tuple[Tensor, Tensor], memory: Memory, batch: bool = False
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Multipliers and residuals of each kind that the constraint has.

        With `max(g, -lambda / r)` in the place of g, the price of g has the form of that of h.
        """
        counted = {}
        for kind, residual in zip(("equal", "at_most"), residuals, strict=True):
            if residual.shape[-1]:
                price = memory[kind].unsqueeze(1) if batch else memory[kind]
                if kind == "at_most":
                    # Without a penalty the floor is -inf, or 0 where nothing is charged.
                    penalty = self._penalty(residual, memory)
                    floor = -price / penalty.clamp(min=torch.finfo(penalty.dtype).tiny)
                    residual = torch.maximum(residual, floor)
                counted[kind] = price, residual
        return counted

    def _penalty(self, like: Tensor, memory: Memory) -> Tensor:
        return _along(self.setting("penalty", memory) * memory["grown"], like)

    def _charge(self, counted: dict[str, tuple[Tensor, Tensor]], memory: Memory) -> Tensor | float:
        """The price of each run."""
        charges = [
            _per_run(r * (price + 0.5 * self._penalty(r, memory) * r))
            for price, r in counted.values()
        ]
        return sum(charges[1:], charges[0]) if charges else 0.0

    def _learn(self, counted: dict[str, tuple[Tensor, Tensor]], memory: Memory) -> None:
        """One step of the multipliers."""
        for kind, (price, residual) in counted.items():
            step = _along(self.setting("dual_step", memory) * memory["grown"], residual)
            price = price + step * residual
            memory[kind] = price = price.clamp(min=0) if kind == "at_most" else price
            memory[f"{kind}_low"] = torch.minimum(memory[f"{kind}_low"], price)
            memory[f"{kind}_high"] = torch.maximum(memory[f"{kind}_high"], price)

    def _look_back(self, worst: Tensor | float, tolerance: float, memory: Memory) -> None:
        """Count the step; from time to time let the penalty grow, and see how prices swing."""
        memory["peak"] = torch.clamp(memory["peak"], min=worst)
        # The count stays on the CPU, where reading it waits for nothing.
        memory["steps"] = memory["steps"].cpu() + 1
        stretches, rest = divmod(int(memory["steps"][0]), STRETCH)
        if rest:
            return
        peak, grown = memory["peak"], memory["grown"] * self.setting("growth", memory)
        memory["top"] = torch.maximum(memory["top"], peak)
        # What training has settled to, or rounding leaves, no penalty takes away.
        enough = torch.maximum(0.75 * memory["peak_before"], 1e-3 * memory["top"])
        stuck = peak > enough.clamp(min=tolerance)
        memory["grown"] = torch.where(stuck, grown.clamp(max=STRONGEST), memory["grown"])
        memory["peak_before"], memory["peak"] = peak, torch.zeros_like(peak)
        if stretches & (stretches - 1) == 0:  # a power of two
            memory["streak"] = torch.where(_swings_on(memory), memory["streak"] + 1, 0)
            memory["swing"], _ = _swing(memory)
            for kind in ("equal", "at_most"):
                memory[f"{kind}_low"] = memory[f"{kind}_high"] = memory[kind]


@dataclass(frozen=True)
class Freeze(Strategy):
    """Bound tensors keep the value they have when training begins.

    A frozen layer also keeps its buffers, such as the running mean of a batch norm.

    Example:
        >>> Freeze().rate
        0.0
    """

    guarantee: ClassVar[str] = "structural"
    rate: ClassVar[float] = 0.0

    def unfit(self, c: Constraint, optimizer: torch.optim.Optimizer) -> str:
        """Frozen means put back after the step, and some take many inside one."""
        return _many_in_one(self, optimizer)


@dataclass(frozen=True)
class Projection(Strategy):
    """After the optimizer's step, each bound tensor jumps to the nearest allowed value.

    A. A. Goldstein 1964, Convex programming in Hilbert space: projected gradient descent. A bound
    layer passes on the nearest allowed value.

    Where the set is no product of intervals, Adam, AdamW, NAdam, RAdam and RMSprop rescale each
    event as a whole (`equalize_second_moment`); other optimizers that rescale are refused.

    Args:
        every: Project after each so many steps; beyond 1 nothing is promised in between. A list is
            a sweep.

    Raises:
        StrategyError: If `every` is not a whole number from 1 up.

    Example:
        >>> from shapekeeper import Connections
        >>> Projection().repair(Connections([[1, 0]]), torch.ones(1, 1, 2), {}, lr=0.1)
        tensor([[[1., 0.]]])
    """

    every: IntOrSweep = 1

    output_guarantee: ClassVar[str] = "structural"

    def problem(self) -> str:
        """A period that can't be."""
        whole = isinstance(self.every, int) and self.every >= 1
        return "" if whole else f"Wanted a whole number from 1 up for every, got {self.every!r}."

    @property
    def guarantee(self) -> str:  # type: ignore[override]  # depends on the setting
        """Structural where each step is followed by a projection."""
        return "structural" if self.every == 1 else "none"

    def begin(self, c: Constraint, x: Tensor) -> tuple[Tensor, Memory]:
        """Count steps where not all are followed by a projection."""
        return x, {} if self.every == 1 else {"steps": torch.zeros(len(x), device=x.device)}

    def output(self, c: Constraint, value: Tensor) -> Tensor:
        """The nearest allowed value."""
        return c.project(value)

    def before(
        self, c: Constraint, leaf: Tensor, optimizer: torch.optim.Optimizer, group: dict[str, Any]
    ) -> None:
        """One rate for each event, where the nearest point would otherwise be the wrong one."""
        if not c.separable and not isinstance(optimizer, torch.optim.SGD | torch.optim.ASGD):
            equalize_second_moment(optimizer, group, leaf, c.event_dims)

    def unfit(self, c: Constraint, optimizer: torch.optim.Optimizer) -> str:
        """Optimizers after which the nearest point is the wrong one."""
        if mixes_numbers(optimizer):
            return (
                f"{type(optimizer).__name__} lets gradients of forbidden directions move allowed "
                "ones: training would rest at the wrong point. Use Reparametrization, or an "
                "optimizer that treats each number by itself, such as SGD or AdamW."
            )
        if c.separable or not rescales_for_good(optimizer):
            return _many_in_one(self, optimizer)
        return (
            f"{type(optimizer).__name__} rescales each number by itself, and {type(c).__name__} "
            "is no product of intervals: training would rest at the wrong point. Use "
            "torch.optim.SGD, or Adam, AdamW, NAdam, RAdam or RMSprop (not centered), or "
            "Reparametrization."
        )

    def repair(self, c: Constraint, leaf: Tensor, memory: Memory, lr: float) -> Tensor:
        """The nearest allowed value, each `every` steps."""
        if self.every == 1:
            return c.project_(leaf, memory)
        memory["steps"] = memory["steps"] + 1
        due = (memory["steps"] % self.every == 0).view(-1, *[1] * (leaf.dim() - 1))
        return torch.where(due, c.project(leaf), leaf)


@dataclass(frozen=True)
class Reparametrization(Strategy):
    """The optimizer moves free numbers; a chart turns any of them into an allowed value.

    M. Lezcano-Casado 2019, Trivializations for gradient-based optimization on manifolds, section 3.

    Example:
        >>> from shapekeeper import Connections
        >>> closed = Connections([[1, 0]])
        >>> leaf, memory = Reparametrization().begin(closed, torch.ones(1, 1, 2))
        >>> Reparametrization().weights(closed, leaf, memory)
        tensor([[[1., 0.]]])
    """

    guarantee: ClassVar[str] = "structural"
    output_guarantee: ClassVar[str] = "structural"
    charted: ClassVar[bool] = True

    def begin(self, c: Constraint, x: Tensor) -> tuple[Tensor, Memory]:
        """Free numbers in the chart around the start."""
        return c.to_free(x, at=x), {"at": x}

    def weights(self, c: Constraint, leaf: Tensor, memory: Memory) -> Tensor:
        """What the free numbers stand for."""
        return c.from_free(leaf, at=memory["at"])

    def output(self, c: Constraint, value: Tensor) -> Tensor:
        """What the layer's own numbers stand for, read as free numbers."""
        return c.from_free(value)


@dataclass(frozen=True)
class ConstrainedLangevin(Strategy):
    """Training moves along the set itself, and shivers there: Langevin dynamics under constraints.

    It moves all tensors, those that nothing binds by the plain scheme, and no optimizer is used.
    With V the mean loss of a batch, t the temperature and h the step size, positions q follow

        dq = -grad V dt + sqrt(2 t) dW                             without friction, or
        dq = p dt,  dp = (-grad V - friction p) dt + sqrt(2 friction t) dW

    within the set (B. Leimkuhler, T. Vlaar, T. Pouchon and A. Storkey 2021, Better training using
    weight-constrained stochastic dynamics). With gradients of the whole loss they come to
    be spread as exp(-V / t) over the surface. Steps are taken along the tangent and end in the set:
    without friction by the scheme of Euler and Maruyama, whose error is of first order in h; with
    friction by kick, half a drift, friction and noise, half a drift (B. Leimkuhler and C. Matthews
    2016, Efficient molecular dynamics using geodesic integration and solvent-solute splitting), one
    gradient a step and an error of second order.

    At temperature 0 it is gradient descent along the set: at learning rate h without friction, else
    with momentum `k = exp(-friction h)` at learning rate `h^2 (1 + k) / 2`.

    Args:
        step_size: h, above 0; a list is a sweep, as for all three.
        temperature: In units of the mean loss of a batch, from 0 up.
        friction: Of the momenta, per unit of time and above 0; None for no momenta.

    Raises:
        StrategyError: If a number is out of range, or (when training begins) a set has edges.

    Example:
        >>> from shapekeeper import Sphere
        >>> walk, sphere = ConstrainedLangevin(0.5), Sphere()
        >>> point, memory = walk.begin(sphere, torch.tensor([[1.0, 0.0]]))
        >>> walk.advance(sphere, point, torch.tensor([[3.0, -2.0]]), memory, noise=None)
        tensor([[0.5403, 0.8415]])
    """

    step_size: FloatOrSweep
    temperature: FloatOrSweep = 0.0
    friction: FloatOrSweep | None = None

    guarantee: ClassVar[str] = "structural"
    advances: ClassVar[bool] = True

    def problem(self) -> str:
        """Numbers out of range."""
        wanted = {
            "a finite step_size above 0": (self.step_size, _positive(self.step_size)),
            "a finite temperature from 0 up": (
                self.temperature,
                self.temperature == 0 or _positive(self.temperature),
            ),
            "a finite friction above 0, or None for no momenta": (
                self.friction,
                self.friction is None or _positive(self.friction),
            ),
        }
        return " ".join(f"Wanted {w}, got {v!r}." for w, (v, good) in wanted.items() if not good)

    @property
    def rowwise(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on the setting
        """All that are numbers, but a temperature of 0: cold drifts are whole, not in halves."""
        warm = ("temperature",) if self.noisy else ()
        return ("step_size", *warm, *(("friction",) if self.friction is not None else ()))

    @property
    def noisy(self) -> bool:
        """Whether it is warmer than 0."""
        return self.temperature > 0

    @property
    def label(self) -> str:
        """As tables and legends show it."""
        numbers = [f"{self.step_size:g}" if _positive(self.step_size) else f"{self.step_size}"]
        settings = {"τ": self.temperature or None, "γ": self.friction}
        numbers += [
            f"{sign}={value:g}" if isinstance(value, (int, float)) else f"{sign}={value}"
            for sign, value in settings.items()
            if value is not None
        ]
        return " ".join(["ConstrainedLangevin", *numbers])

    def unfit(self, c: Constraint | None, optimizer: torch.optim.Optimizer) -> str:
        """Every optimizer but the one that takes the steps of a strategy."""
        if getattr(optimizer, "strategy", None) == self:
            return ""
        return (
            f"ConstrainedLangevin takes the steps itself, so {type(optimizer).__name__} must not. "
            "Give no optimizer to hold, and call held.optimizer.step()."
        )

    def starting_point(self, c: Constraint | None, x: Tensor) -> Tensor:
        """The constraint's start; of a tensor that nothing binds, the tensor."""
        return x if c is None else c.start(x)

    def begin(self, c: Constraint | None, x: Tensor) -> tuple[Tensor, Memory]:
        """Momenta of zero, and a position where that is something else than the value."""
        surface = _surface(c)
        q = surface.lift(x)
        memory = {} if q is x else {"position": q}
        if self.friction is not None:
            memory["momentum"] = torch.zeros_like(x)
        return surface.drop(q), memory

    def recall(self, c: Constraint, x: Tensor, memory: Memory) -> Tensor:
        """The value at the position, where there is one of its own."""
        return _surface(c).drop(memory["position"]) if "position" in memory else x

    def revisit(self, c: Constraint, x: Tensor, memory: Memory) -> Tensor:
        """The value itself; positions of their own are found anew, and momenta turned along."""
        surface = _surface(c)
        if "position" in memory and not (same := self.recall(c, x, memory) == x).all():
            memory["position"] = torch.where(same, memory["position"], surface.lift(x))
            x = self.recall(c, x, memory)
        if "momentum" in memory:
            p = memory["momentum"]
            along = surface.tangent(memory.get("position", x), p)
            # Free motion asks for a tangent; what rounding makes of one stays, bit by bit.
            if (along - p).abs().amax() > 1e3 * torch.finfo(p.dtype).eps * p.abs().amax():
                memory["momentum"] = along
        return x

    def advance(
        self, c: Constraint | None, leaf: Tensor, grad: Tensor, memory: Memory, noise: Tensor | None
    ) -> Tensor:
        """One step along the set, by one gradient."""
        move = self._walk if self.friction is None else self._drift
        move(_surface(c), memory.get("position", leaf), leaf, grad, memory, noise)
        return leaf

    def _walk(
        self,
        surface: Surface,
        q: Tensor,
        leaf: Tensor,
        grad: Tensor,
        memory: Memory,
        noise: Tensor | None,
    ) -> None:
        """Euler and Maruyama: a step along the tangent, back to the set."""
        h = _along(self.setting("step_size", memory), q)
        if noise is None:
            surface.descend_(q, grad, h, leaf)
            return
        temperature = _along(self.setting("temperature", memory), q)
        surface.shiver_(q, grad, h, noise, (2 * temperature * h) ** 0.5, leaf)

    def _drift(
        self,
        surface: Surface,
        q: Tensor,
        leaf: Tensor,
        grad: Tensor,
        memory: Memory,
        noise: Tensor | None,
    ) -> None:
        """Kick, half a drift, friction and noise, half a drift."""
        h, p = _along(self.setting("step_size", memory), q), memory["momentum"]
        kept = _exp(-_along(self.setting("friction", memory), q) * h)
        surface.kick_(p, q, grad, -h, room=leaf)
        if noise is None:
            # Friction alone leaves the direction: both halves are one way.
            surface.glide_(q, p, h * (1 + kept) / 2)
            p.mul_(kept)
        else:
            surface.glide_(q, p, h / 2)
            temperature = _along(self.setting("temperature", memory), q)
            spread = ((1 - kept**2) * temperature) ** 0.5
            onward(p.mul_(kept), surface.tangent(q, noise), spread, out=p)
            surface.glide_(q, p, h / 2)
            surface.tidy_(q)
        surface.drop(q, out=leaf)


@dataclass(frozen=True)
class RejectionEvolution(Strategy):
    """Networks vary at random, those that obey and do best are varied again: no gradient is asked.

    All weights, bound or not, are the numbers of CMA-ES (N. Hansen and A. Ostermeier 2001,
    Completely derandomized self-adaptation in evolution strategies; N. Hansen 2016, The CMA
    evolution strategy: a tutorial). It draws the candidates of a generation from a normal
    distribution around their mean, and learns mean, step size and covariance from their ranks.
    Beyond 100 weights the covariance is diagonal (R. Ros and N. Hansen 2008, A simple modification
    in CMA-ES achieving linear time and space complexity). Nothing of it needs a derivative, of the
    loss or of the constraint.

    What is shown, measured and handed back is the best network so far that obeys: every bound
    weight, and the value of every bound layer for every example of the batch. It is tried again on
    each batch, as is the mean, so that luck with an easy one does not keep it. Of a layer that is a
    promise for the inputs that were checked, and no more; of a weight it holds for all. The search
    begins at the allowed start of the weights. If the layers do not obey there, and no candidate
    does either, nothing takes its place, and the notes of the comparison say so.

    Rejection needs a set with an inside: of a mask, a sphere, or words that a whole batch has to
    match, chance finds none, and `inside` is the way.

    Args:
        evaluations: Forward passes of one network on one batch that each seed may spend, from one
            generation up. Part of the budget falls to each step of a comparison, and the candidates
            of a step see the batch of that step. A list is a sweep.
        population: Candidates of a generation, from 4 up; by default 4 + 3 log(weights).
        step_size: Standard deviation of the first generation, above 0. A list is a sweep.
        violators: `"rejected"`: a candidate that violates is drawn anew, up to ten populations for
            one generation. If that is not enough, the generation is over, and the next is drawn
            with half the step size around the network that is shown, if that obeys. `"ranked"`:
            every candidate counts, those that obey before all others, and these by how much they
            violate (K. Deb 2000, An efficient constraint handling method for genetic algorithms).
        inside: `Projection()` or `Reparametrization()`: weights and values of layers pass through
            it, so that nobody violates.

    Raises:
        StrategyError: If a number is out of range, or `violators` or `inside` is something else;
            all problems at once.

    Example:
        >>> RejectionEvolution(5000, inside=Projection()).label
        'RejectionEvolution 5000, Projection inside'
        >>> RejectionEvolution().candidates(2408)
        27
    """

    evaluations: IntOrSweep = 20_000
    population: IntOrSweep | None = None
    step_size: FloatOrSweep = 0.1
    violators: Literal["rejected", "ranked"] = "rejected"
    inside: Projection | Reparametrization | None = None

    guarantee: ClassVar[str] = "structural"
    evolves: ClassVar[bool] = True

    def problem(self) -> str:
        """Settings that can't be, all of them."""
        every, reach = self.evaluations, self.inside
        people = self.population
        through = reach == Projection() or isinstance(reach, Reparametrization)
        wanted = {
            "a whole number of evaluations from 1 up": (every, _whole(every, 1)),
            "a population of at least 4, or None": (people, people is None or _whole(people, 4)),
            "a finite step_size above 0": (self.step_size, _positive(self.step_size)),
            "violators='rejected' or violators='ranked'": (
                self.violators,
                self.violators in ("rejected", "ranked"),
            ),
            "inside=Projection(), inside=Reparametrization() or None": (
                reach,
                reach is None or through,
            ),
        }
        return " ".join(f"Wanted {w}, got {v!r}." for w, (v, good) in wanted.items() if not good)

    @property
    def output_guarantee(self) -> str:  # type: ignore[override]  # depends on the setting
        """That of what is inside; else of the inputs that were checked."""
        return "empirical" if self.inside is None else self.inside.output_guarantee

    @property
    def charted(self) -> bool:  # type: ignore[override]  # depends on the setting
        """Where weights pass through something."""
        return self.inside is not None

    @property
    def label(self) -> str:
        """As tables and legends show it."""
        usual, words = RejectionEvolution(), []
        words += [f"{self.evaluations}"] if self.evaluations != usual.evaluations else []
        words += [f"population {self.population}"] if self.population is not None else []
        size = self.step_size
        shown = f"step {size:g}" if _positive(size) else f"step {size}"
        words += [shown] if size != usual.step_size else []
        words += [self.violators] if self.violators != usual.violators else []
        words += [f"{self.inside.label} inside"] if self.inside is not None else []
        return f"RejectionEvolution {', '.join(words)}".strip()

    def candidates(self, numbers: int) -> int:
        """How many candidates a generation has, of a network of so many weights."""
        return self.population or 4 + int(3 * log(numbers))

    def begin(self, c: Constraint, x: Tensor) -> tuple[Tensor, Memory]:
        """The weight itself, or what is inside has to vary."""
        return (x, {}) if self.inside is None else self.inside.begin(c, x)

    def weights(self, c: Constraint, leaf: Tensor, memory: Memory) -> Tensor:
        """What varies, through what is inside."""
        if self.inside == Projection():
            return c.project(leaf)
        return leaf if self.inside is None else self.inside.weights(c, leaf, memory)

    def output(self, c: Constraint, value: Tensor) -> Tensor:
        """The value of a layer, through what is inside."""
        return value if self.inside is None else self.inside.output(c, value)

    def to_json(self) -> dict[str, Any]:
        """The settings; what is inside as its own."""
        inside = None if self.inside is None else self.inside.to_json()
        return super().to_json() | {"inside": inside}


@dataclass(frozen=True)
class Stage:
    """One part of a staged training.

    Args:
        share: Share of all steps, above 0 and at most 1.
        strategy: What holds the constraints in this stage.
        model: `seed -> nn.Module` for a stage with a network of its own, e.g. a shorter one.
        rate: Factor on the optimizer's step of the bound tensors; the others keep theirs.

    Raises:
        StrategyError: If the share, the rate or the strategy can't be; all problems at once.

    Example:
        >>> Stage(0.5, Freeze()).rate
        1.0
    """

    share: float
    strategy: Strategy
    model: Callable[[int], nn.Module] | None = None
    rate: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what can't be trained."""
        problems = []
        if not 0 < self.share <= 1:
            problems.append(f"Wanted a share of steps above 0 and at most 1, got {self.share!r}.")
        if not self.rate >= 0:
            problems.append(f"Wanted a rate from 0 up, got {self.rate!r}.")
        own = isinstance(self.strategy, Strategy) and (
            self.strategy.advances or self.strategy.evolves
        )
        if own and self.rate != 1:
            problems.append(
                f"{type(self.strategy).__name__} takes its own steps: wanted rate=1 and another "
                f"step_size, got rate={self.rate!r}."
            )
        if not isinstance(self.strategy, Strategy) or isinstance(self.strategy, Staged):
            problems.append(f"Wanted a strategy that has no stages, got {self.strategy!r}.")
        if problems:
            raise StrategyError(" ".join(problems))


@dataclass(frozen=True, init=False, repr=False)
class Staged(Strategy):
    """One strategy after another: thaw, dense then masked, a shorter network first.

    At a boundary values pass by name and shape, projected if the next strategy promises to hold
    the constraint; tensors that the next model lacks are dropped, new ones come from its own
    factory. Optimizer and memory start anew, so no momentum crosses.

    Args:
        *parts: The stages; their shares sum to 1.

    Raises:
        StrategyError: If there is no stage, or the shares do not sum to 1.

    Example:
        >>> Staged(Stage(0.5, Unconstrained()), Stage(0.5, Projection())).label
        'Staged Unconstrained → Projection'
    """

    parts: tuple[Stage, ...]

    def __init__(self, *parts: Stage) -> None:
        """See the class."""
        object.__setattr__(self, "parts", parts)
        if not parts or not all(isinstance(part, Stage) for part in parts):
            raise StrategyError(f"Wanted stages, e.g. Stage(0.5, Freeze()), got {parts!r}.")
        total = sum(part.share for part in parts)
        if abs(total - 1) > 1e-6:
            raise StrategyError(f"Wanted shares that sum to 1, got {total:g}.")

    def __repr__(self) -> str:
        """The call that makes it."""
        return f"Staged({', '.join(map(repr, self.parts))})"

    @property
    def guarantee(self) -> str:  # type: ignore[override]  # depends on the stages
        """What the last stage promises; `stage_ends` says from when on."""
        return self.parts[-1].strategy.guarantee

    @property
    def output_guarantee(self) -> str:  # type: ignore[override]  # depends on the stages
        """What the last stage promises."""
        return self.parts[-1].strategy.output_guarantee

    @property
    def label(self) -> str:
        """The stages in their order."""
        return f"Staged {' → '.join(part.strategy.label for part in self.parts)}"

    def variants(self) -> list[Strategy]:
        """One staged strategy for each choice of the sweeps in its stages."""
        choices = [part.strategy.variants() for part in self.parts]
        if all(len(choice) == 1 for choice in choices):
            return [self]
        return [Staged(*map(_with_strategy, self.parts, picked)) for picked in product(*choices)]

    def stages(self) -> tuple[Stage, ...]:
        """The parts."""
        return self.parts

    def to_json(self) -> dict[str, Any]:
        """The stages; a model of a stage's own is left out, since it is code."""
        parts = [
            {"share": p.share, "strategy": p.strategy.to_json(), "rate": p.rate} for p in self.parts
        ]
        return {"strategy": "Staged", "parts": parts}


def joinable(one: Strategy, other: Strategy) -> bool:
    """Whether two strategies differ in rowwise settings alone.

    Args:
        one: A strategy without a sweep.
        other: The same.

    Returns:
        Whether their runs can be the rows of one tensor, moved by one optimizer.

    Example:
        >>> joinable(Penalty(1.0), Penalty(10.0)), joinable(Penalty(1.0), Projection())
        (True, False)
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, Staged) and isinstance(other, Staged):
        pairs = list(zip(one.parts, other.parts, strict=False))
        alike = all((a.share, a.rate, a.model) == (b.share, b.rate, b.model) for a, b in pairs)
        same = len(one.parts) == len(other.parts) and alike
        return same and all(joinable(a.strategy, b.strategy) for a, b in pairs)
    fixed = [f.name for f in dataclasses.fields(one) if f.name not in one.rowwise]
    same = all(getattr(one, name) == getattr(other, name) for name in fixed)
    return same and one.rowwise == other.rowwise


def stage_ends(stages: tuple[Stage, ...], steps: int) -> list[int]:
    """The step after which each stage ends.

    Args:
        stages: What `Strategy.stages` gives.
        steps: Number of all steps.

    Returns:
        As many steps as stages, the last one `steps`.

    Example:
        >>> stage_ends((Stage(0.3, Freeze()), Stage(0.7, Projection())), steps=100)
        [30, 100]
    """
    return [round(done * steps) for done in accumulate(stage.share for stage in stages)]


def _with_strategy(stage: Stage, strategy: Strategy) -> Stage:
    return dataclasses.replace(stage, strategy=strategy)


def _many_in_one(strategy: Strategy, optimizer: torch.optim.Optimizer) -> str:
    if not asks_again(optimizer):
        return ""
    return (
        f"{type(optimizer).__name__} takes many steps inside one, and {strategy.label} acts "
        "between steps only. Use Reparametrization, or an optimizer that takes one gradient a step."
    )


def _refuse_steps(c: Constraint) -> None:
    if not c.graded:
        raise StrategyError(
            f"{type(c).__name__} counts what is not allowed, and AugmentedLagrangian prices "
            "residuals that have a derivative. Unconstrained, Penalty, Freeze, Staged, Projection, "
            "Reparametrization and RejectionEvolution hold it."
        )


def _surface(c: Constraint | None) -> Surface:
    """Along what a tensor moves."""
    if c is None:
        return EVERYWHERE
    if c.surface is None:
        raise StrategyError(
            f"{type(c).__name__} has edges, and ConstrainedLangevin moves along sets without: "
            "Circle (for a range of numbers), Connections, FilterShape.bandlimited, Orthogonal and "
            "Sphere. Unconstrained, Penalty, AugmentedLagrangian, Freeze, Staged, Projection, "
            "Reparametrization and RejectionEvolution hold it."
        )
    return c.surface


def _whole(number: Any, least: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= least


def _positive(number: Any) -> bool:
    return isinstance(number, (int, float)) and 0 < number < float("inf")


def _exp(number: Any) -> Any:
    return number.exp() if isinstance(number, Tensor) else exp(number)


def _per_run(penalties: Tensor) -> Tensor:
    """Sum over all but the runs axis; a sum, so that company never changes a step."""
    return penalties.reshape(len(penalties), -1).sum(1)


def _along(number: Any, like: Tensor) -> Any:
    """A number for each run, in a shape that broadcasts; a setting as it is."""
    if not isinstance(number, Tensor):
        return number
    return number.to(like.dtype).view(-1, *[1] * (like.dim() - 1))


def _with_batch(c: Constraint, value: Tensor) -> Tensor:
    """The value of a layer with an axis of examples, also where it gave a single one."""
    return value if value.dim() > c.event_dims + 1 else value.unsqueeze(1)


def _uncharged(equal: Tensor, at_most: Tensor) -> Memory:
    """What an augmented Lagrangian remembers at its start, from residuals `(runs, ..., count)`."""
    memory: Memory = {}
    for kind, residual in (("equal", equal), ("at_most", at_most)):
        # In half precision small steps would be lost.
        dtype = torch.promote_types(residual.dtype, torch.float32)
        for name in (kind, f"{kind}_low", f"{kind}_high"):
            memory[name] = torch.zeros_like(residual, dtype=dtype)
    runs = memory["equal"].new_zeros(len(equal))
    memory |= {"peak": runs, "top": runs, "streak": runs, "grown": runs + 1, "steps": runs.cpu()}
    return memory | {name: runs + float("inf") for name in ("peak_before", "swing")}


def _worst(counted: dict[str, tuple[Tensor, Tensor]]) -> Tensor | float:
    """The largest residual of each run that is not allowed."""
    misses = [
        (r.abs() if kind == "equal" else r.clamp(min=0)).reshape(len(r), -1).amax(1)
        for kind, (_, r) in counted.items()
    ]
    return torch.stack(misses).amax(0) if misses else 0.0


def _swing(memory: Memory) -> tuple[Tensor, Tensor]:
    """How far the multipliers of each run moved in this stretch, and how far from zero they were.

    One that can't be negative has moved as far as it can when it has come back to zero.
    """
    moved, reached = [], []
    for kind, whole in (("equal", 1.0), ("at_most", 1.5)):
        low, high = (memory[f"{kind}_{end}"].flatten(1) for end in ("low", "high"))
        if high.shape[1]:
            moved.append(whole * (high - low).amax(1))
            reached.append(torch.maximum(high, -low).amax(1))
    nothing = torch.zeros_like(memory["peak"])
    return torch.stack([nothing, *moved]).amax(0), torch.stack([nothing, *reached]).amax(0)


def _swings_on(memory: Memory) -> Tensor:
    """Whether this stretch is one of a runaway; `AugmentedLagrangian.runaway` says which are."""
    swing, reached = _swing(memory)
    wanted = torch.where(memory["streak"] >= 2, 0.7, 1.2) * memory["swing"]
    return (swing > 1.48 * reached) & (swing > wanted)
