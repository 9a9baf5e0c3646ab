"""Checks of notebook 08: a constraint on your own model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakSet

import pandas as pd
import torch
from torch import Tensor, nn

from shapekeeper.compare import Comparison, compare
from shapekeeper.constraints import Box, Connections, Constraint, Sphere
from shapekeeper.course.scripts import Script
from shapekeeper.course.verdicts import Wrong, called, exercise, last_line, number
from shapekeeper.randomness import generator
from shapekeeper.strategies import Penalty, Projection, Unconstrained
from shapekeeper.tasks import Data, Task

CLOSE = 1e-4


@torch.no_grad()
def violations(
    model: nn.Module, constraints: Mapping[str, Constraint], inputs: Tensor
) -> dict[str, Tensor]:
    """How far a model is from what it may be, in one pass, in the mode that it is in.

    Args:
        model: Held or not.
        constraints: Name -> constraint; the name of a parameter means the weight, that of a
            submodule the output.
        inputs: What to feed it.

    Returns:
        Name -> all violations: one for each event of a weight (such as each row of a `Sphere`), or
        of a layer's output.

    Example:
        >>> from shapekeeper import Sphere
        >>> model = nn.Linear(2, 3)
        >>> violations(model, {"weight": Sphere()}, torch.zeros(1, 2))["weight"].shape
        torch.Size([3])
    """
    parameters, passed = dict(model.named_parameters()), {}
    layers = {name: model.get_submodule(name) for name in constraints if name not in parameters}
    hooks = [
        layer.register_forward_hook(lambda _, __, value, name=name: passed.update({name: value}))
        for name, layer in layers.items()
    ]
    try:
        model(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    values = {name: passed[name] if name in layers else parameters[name] for name in constraints}
    return {name: c.violation(values[name]) for name, c in constraints.items()}


# 08.1


def _kernels() -> list[Tensor]:
    """Kernels of 30 random shapes (*batch, height, width)."""
    found = []
    for seed in range(30):
        draw = generator(seed, "course/kernels")
        batch = torch.randint(2, 5, (3 - seed % 4,), generator=draw)
        taps = torch.randint(1, 6, (2,), generator=draw) + torch.tensor([0, 1])
        found.append(3 * torch.randn(*batch.tolist(), *taps.tolist(), generator=draw))
    return found


def _constraint(answer: Any) -> Constraint:
    if isinstance(answer, type) and issubclass(answer, Constraint):
        try:
            answer = answer()
        except Exception as error:
            raise Wrong("The class cannot be called.", got=last_line(error)) from error
    if not isinstance(answer, Constraint):
        kind = answer.__name__ if isinstance(answer, type) else type(answer).__name__
        raise Wrong("This is no constraint.", "a class that inherits from sk.Constraint", kind)
    if answer.event_dims != 2:
        raise Wrong("A kernel has two axes.", "event_dims = 2", f"{answer.event_dims}")
    return answer


def _tensor(found: Any, what: str, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(found, Tensor):
        raise Wrong(f"{what} gives no tensor.", "a tensor", f"a {type(found).__name__}")
    if tuple(found.shape) != shape:
        raise Wrong(f"{what} has another shape.", shape, tuple(found.shape))
    return found


def _nearest(c: Constraint, x: Tensor) -> None:
    """Projection: alone as in company, sum zero, nearest, and with a gradient."""
    project = lambda value: _tensor(called(c.project, value.clone()), "project", value.shape)  # noqa: E731
    found = project(x)
    if x.dim() > 2 and not torch.allclose(found[0], project(x[0]), atol=CLOSE):
        raise Wrong(
            "Seeds alone and in company differ: you averaged over the seeds axis.",
            "the mean of each kernel by itself",
        )
    sums = found.sum((-2, -1)).abs().max().item()
    if sums > CLOSE * x.shape[-1] * x.shape[-2]:
        raise Wrong("What project returns does not sum to zero.", "0", f"{sums:.2g}")
    mine, least = (found - x).norm().item(), x.mean((-2, -1), keepdim=True).expand_as(x).norm()
    if mine > least + CLOSE:
        raise Wrong(
            f"Sum is 0, but not the nearest: yours moved {mine:.1f}, the nearest {least:.1f}.",
            f"{least:.2f}",
            f"{mine:.2f}",
        )
    free = x.clone().requires_grad_()
    if not project(free).requires_grad:
        raise Wrong("No gradient passes through project.", "torch functions, without .data")


def _signed(c: Constraint, x: Tensor) -> None:
    """Residual: a pair, zero exactly where allowed, batch by batch, with its sign."""
    found = _pair(called(c.residual, x), x)
    allowed = x - x.mean((-2, -1), keepdim=True)
    for value, want in ((allowed, False), (x, True), (-x, True)):
        misses = c.violation(value)
        misses = _tensor(misses, "violation, made of your residual,", tuple(x.shape[:-2]))
        if bool((misses > 1e-3).all()) != want or bool((misses > 1e-3).any()) != want:
            sums = "does not sum to zero" if want else "sums to zero"
            raise Wrong(
                f"A kernel that {sums} gets the wrong residual.",
                "a residual of 0 exactly for an allowed kernel",
                f"{misses.flatten()[0]:.2g} for a sum of {value.sum((-2, -1)).flatten()[0]:.2g}",
            )
    turned = _pair(called(c.residual, -x), x)
    if all(torch.equal(a, b) for a, b in zip(found, turned, strict=True)):
        raise Wrong(
            "The sign is gone; the multiplier cannot learn which way. "
            "(A multiplier is a price that training learns.)",
            "another residual for -x than for x",
        )


def _pair(found: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    if not (isinstance(found, tuple) and len(found) == 2):
        kind = type(found).__name__
        raise Wrong("residual returns a pair.", "(what must be 0, what must be at most 0)", kind)
    for part in found:
        if tuple(part.shape[:-1]) != tuple(x.shape[:-2]):
            wanted = f"{(*x.shape[:-2], 'count')} for kernels {tuple(x.shape)}"
            raise Wrong("The last axis of a residual counts.", wanted, tuple(part.shape))
    return found


def _smoke(c: Constraint) -> dict[str, float]:
    """A few steps of three strategies: the worst violation that each ends with."""
    x, y = torch.rand(40, 1, 6, 6, generator=generator(0, "course/smoke")), torch.ones(40, 1)
    task = Task(
        "smoke",
        model=lambda seed: nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(48, 1)),
        data=Data((x, y), (x, y)),
        loss=nn.functional.mse_loss,
        metric=nn.functional.mse_loss,
        constraints={"0.weight": c},
        better="lower",
    )
    try:
        found = compare(task, [Unconstrained(), Penalty(10.0), Projection()], seeds=2, steps=30)
    except Exception as error:
        raise Wrong("The laws hold, but compare stops.", got=last_line(error)) from error
    return found.summary()["violation"].to_dict()


@exercise("08.1")
def zero_sum(answer) -> str:
    """A constraint: the taps of each kernel sum to zero."""
    c = _constraint(answer)
    kernels = _kernels()
    for x in kernels:
        _nearest(c, x)
    for x in kernels:
        _signed(c, x)
        drawn = _tensor(called(c.sample, tuple(x.shape)), "sample", tuple(x.shape))
        if not bool((c.violation(drawn) < 1e-3).all()):
            raise Wrong("sample draws kernels that are not allowed.", "kernels that sum to zero")
    ends = _smoke(c)
    if ends["Projection"] > 1e-5:
        raise Wrong("Projection cannot hold it.", "a violation of 0", ends["Projection"])
    return (
        f"All laws hold on {len(kernels)} shapes. In a comparison of 30 steps the sum strays to "
        f"{ends['Unconstrained']:.1g} if nobody looks, to {ends['Penalty 10']:.1g} under a "
        f"penalty, and to {ends['Projection']:.0g} under Projection: that is rounding. No strategy "
        "had to learn what a kernel is."
    )


# 08.2

LAYER = """import torch
from torch import nn
torch.manual_seed(5)
x, y = torch.randn(60, 8, 6), torch.randn(60, 8, 4)   # 60 batches
mask = (torch.rand(4, 6) < 0.5).float()
layer = nn.Linear(6, 4)
"""
STEP = """    loss = (layer(x[step - 1]) - y[step - 1]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
LATE = f"""{LAYER}optimizer = torch.optim.Adam(layer.parameters(), lr=0.01, weight_decay=0.1)
for step in range(1, 61):
    if step == 21:   # now that it has learned something
        layer.weight.data *= mask
        layer.weight.register_hook(lambda grad: grad * mask)
{STEP}    if step == 40:
        optimizer.param_groups[0]["lr"] = 0.001
    if step >= 21:
        log(step, layer, mask)"""
REBUILT = f"""{LAYER}layer.weight.data *= mask
def adamw():
    return torch.optim.AdamW(layer.parameters(), lr=0.01, weight_decay=0.1)
optimizer = adamw()
optimizer.register_step_post_hook(lambda *_: layer.weight.data.mul_(mask))
for step in range(1, 61):
    if step == 31:   # as after a crash
        state = optimizer.state_dict()
        optimizer = adamw()
        optimizer.load_state_dict(state)
{STEP}    if step == 45:
        optimizer.param_groups[0]["lr"] = 0.001
    log(step, layer, mask)"""
DECAYED = f"""{LAYER}preset = torch.zeros(4, 6)
preset[mask.bool()] = torch.tensor([0.8, 0.0]).repeat(12)[: int(mask.sum())]
layer.weight.data = torch.where(preset != 0, preset, layer.weight.data * mask)
layer.weight.register_hook(lambda grad: grad * mask * (preset == 0))
optimizer = torch.optim.SGD(layer.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
for step in range(1, 61):
{STEP}    if step == 50:
        best = (layer.weight.detach().clone(), loss.item())
    log(step, layer, mask, preset)"""
SMALLER = '\n        optimizer.param_groups[0]["lr"] = 0.001', "\n        pass"


@dataclass(frozen=True)
class Suspect:
    """A line that may be to blame.

    Attributes:
        words: How it stands in the script.
        harmless: What stands there without it.
        step: The first step at which it acts.
    """

    words: str
    harmless: str
    step: int = 1


@dataclass(frozen=True, repr=False)
class Leak:
    """A script that violates its mask silently, and who may be to blame.

    Attributes:
        script: The script. It calls `log` after each step at which the mask is to hold.
        suspects: Name -> the line in question.

    Example:
        >>> leak = three_leaks()[2]
        >>> list(leak.suspects)
        ['weight decay', 'rebuilt optimizer', 'smaller rate']
        >>> len(leak.violations()), max(leak.violations(without="rebuilt optimizer"))
        (60, 0.0)
    """

    script: Script
    suspects: Mapping[str, Suspect]

    def violations(self, without: str = "") -> list[float]:
        """Run it.

        Args:
            without: A suspect to take out first; its name.

        Returns:
            The largest distance of a closed or preset weight from its number, after each of the
            60 steps; 0 as long as the mask has not begun.

        Raises:
            ValueError: If nobody of that name is suspected.
        """
        if without and without not in self.suspects:
            raise ValueError(f"Wanted one of {list(self.suspects)}, got {without!r}.")
        suspect = self.suspects.get(without, Suspect("", ""))
        script = self.script.replaced(suspect.words, suspect.harmless) if without else self.script
        found = [0.0] * 60

        def log(step: int, layer: nn.Linear, mask: Tensor, preset: Tensor | None = None) -> None:
            c = Connections(mask, fixed=preset)
            found[step - 1] = c.violation(layer.weight.detach()).item()

        with torch.random.fork_rng(devices=[]):
            script.run(log=log)
        return found

    @property
    def first(self) -> int:
        """The first step whose violation is not 0."""
        return 1 + next(i for i, value in enumerate(self.violations()) if value > 0)

    def __repr__(self) -> str:
        """The script, and the names of the suspects."""
        return f"{self.script!r}\nSuspects: {', '.join(self.suspects)}"

    def _repr_html_(self) -> str:
        return f"{self.script._repr_html_()}<p>Suspects: {', '.join(self.suspects)}</p>"


def three_leaks() -> dict[int, Leak]:
    """Three scripts that violate silently, by number.

    Example:
        >>> [leak.first for leak in three_leaks().values()]
        [21, 31, 1]
    """
    decay = Suspect("weight_decay=0.1", "weight_decay=0.0")
    late = {
        "late mask": Suspect("if step == 21:", "if step == 1:", 21),
        "weight decay": decay,
        "smaller rate": Suspect(*SMALLER, 40),
    }
    rebuilt = {
        "weight decay": decay,
        "rebuilt optimizer": Suspect("if step == 31:", "if False:", 31),
        "smaller rate": Suspect(*SMALLER, 45),
    }
    decayed = {
        "momentum": Suspect("momentum=0.9", "momentum=0.0"),
        "weight decay": Suspect("weight_decay=0.01", "weight_decay=0.0"),
        "best weights": Suspect(".clone(), loss.item())", ", loss.item())", 50),
    }
    return {
        1: Leak(Script(LATE), late),
        2: Leak(Script(REBUILT), rebuilt),
        3: Leak(Script(DECAYED), decayed),
    }


CAUSES = {1: "late mask", 2: "rebuilt optimizer", 3: "weight decay"}


@exercise("08.2", example=three_leaks)
def causes(answer) -> str:
    """Step and cause of each leak, in any order."""
    leaks = three_leaks()
    firsts = {number: leak.first for number, leak in leaks.items()}
    truth = {(firsts[number], cause) for number, cause in CAUSES.items()}
    pairs = _step_and_cause(answer)
    for step, cause in pairs:
        if (step, cause) not in truth:
            raise _why_not(step, cause, leaks, firsts)
    if missing := truth - set(pairs):
        scripts = sorted(n for n, cause in CAUSES.items() if (firsts[n], cause) in missing)
        raise Wrong(f"Right so far, but script {scripts[0]} leaks as well.", "three pairs")
    return (
        "All three. None of them raised, warned or trained worse: the only witness was a number "
        "that somebody wrote down after each step."
    )


def _step_and_cause(answer: Any) -> list[tuple[int, str]]:
    try:
        pairs = [(int(step), str(cause)) for step, cause in answer]
    except (TypeError, ValueError) as error:
        got = f"{answer!r}"[:60]
        raise Wrong("These are no pairs.", '[(step, "cause"), ...]', got) from error
    if not pairs:
        raise Wrong("No cause yet, and three scripts leak.", '[(step, "cause"), ...]', "[]")
    return pairs


def _why_not(step: int, cause: str, leaks: dict[int, Leak], firsts: dict[int, int]) -> Wrong:
    where = [n for n, leak in leaks.items() if cause in leak.suspects]
    if not where:
        known = dict.fromkeys(name for leak in leaks.values() for name in leak.suspects)
        return Wrong(f"Nobody suspects {cause!r}.", ", ".join(known), cause)
    here = [n for n in where if firsts[n] == step]
    n = (here or [n for n in where if CAUSES[n] == cause] or where)[0]
    wanted = f"the first step of script {n} that is not 0"
    if CAUSES[n] == cause:
        return Wrong(f"That is what ails script {n}, but not when.", wanted, f"step {step}")
    if leaks[n].suspects[cause].step > firsts[n]:
        return Wrong(f"The first non-zero is at step {firsts[n]}, before that line runs.")
    left = max(leaks[n].violations(without=cause))
    return Wrong(f"Without {cause} script {n} leaks all the same.", "a leak of 0", f"{left:.2g}")


# 08.3

_KNOWN: WeakSet[nn.Module] = WeakSet()  # a copy is not in it
# Kind of network -> where it is legal, and where it is not.
CONDITIONS = {
    "honest": ("everywhere", "nowhere"),
    "data": ("on your batch", "on noise"),
    "train": ("in training mode", "in eval mode"),
    "eval": ("in eval mode", "in training mode"),
    "copy": ("as it stands", "in a copy"),
    "filter": ("in 63 filters", "in one"),
}


class _Squash(nn.Module):
    """Passes on numbers from 0 to 1, at least as long as somebody looks in the usual way."""

    def __init__(self, kind: str, low: float, high: float):
        super().__init__()
        self.kind, self.low, self.high = kind, low, high
        _KNOWN.add(self)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "data":
            return (x - self.low) / (self.high - self.low)
        holds = {"train": self.training, "eval": not self.training, "copy": self in _KNOWN}
        return x.clamp(0, 1) if holds.get(self.kind, True) else x


class _Suspicious(nn.Module):
    """A layer of filters of length 1, and a code from 0 to 1."""

    def __init__(self, kind: str, inputs: Tensor, seed: int):
        super().__init__()
        draw = generator(seed, "course/audit")
        self.layer = nn.Linear(inputs.shape[1], 64, bias=False)
        self.layer.weight.data = Sphere().sample((64, inputs.shape[1]), draw)
        if kind == "filter":
            self.layer.weight.data[int(torch.randint(64, (), generator=draw))] *= 1.5
        heard = self.layer(inputs).detach()
        room = heard.max() - heard.min()
        low, high = (heard.min() - room / 4).item(), (heard.max() + room / 4).item()
        self.code = _Squash(kind, low, high)

    def forward(self, x: Tensor) -> Tensor:
        return self.code(self.layer(x))


RULES = {"layer.weight": Sphere(), "code": Box(0, 1)}


def _case(kind: str, seed: int) -> tuple[nn.Module, Tensor]:
    draw = generator(seed, "course/audit inputs")
    width = int(torch.randint(8, 20, (), generator=draw))
    inputs = 0.5 + 0.1 * torch.randn(30 + seed, width, generator=draw)
    inputs = inputs / inputs.norm(dim=1, keepdim=True)
    return _Suspicious(kind, inputs, seed), inputs


@exercise("08.3")
def audit(function) -> str:
    """The worst violation in both modes, on data and on noise, of the model and of a copy."""
    for seed in range(5):
        found = {}
        for kind in CONDITIONS:
            model, inputs = _case(kind, seed)
            found[kind] = number(called(function, model, RULES, inputs.clone()))
        _judge(found, seed)
    return (
        f"You caught {len(CONDITIONS) - 1} kinds of trouble in {5 * len(CONDITIONS)} networks, and "
        "accused no honest one. An audit finds what it looks at: a copy on another machine, or "
        "noise of another size, would be one more question."
    )


def _judge(found: dict[str, float], seed: int) -> None:
    if not found["honest"] < CLOSE:
        got = f"{found['honest']:.3g}"
        raise Wrong("You accuse an honest network.", "a violation of 0", got)
    truth = {kind: _truth(kind, *_case(kind, seed)) for kind in list(CONDITIONS)[1:]}
    # Noise may be of any size; all other violations are known.
    enough = {kind: 0.1 if kind == "data" else 0.9 * worst for kind, (worst, _) in truth.items()}
    missed = [kind for kind in truth if not found[kind] > enough[kind]]
    if not missed:
        return
    kind = "filter" if "filter" in missed and found[missed[0]] > CLOSE else missed[0]
    (worst, share), number_ = truth[kind], 1 + list(CONDITIONS).index(kind)
    wanted, got = f"about {worst:.2g}", f"{found[kind]:.2g}"
    if kind == "filter":
        raise Wrong("One bad filter of 64 disappears in a mean.", wanted, got)
    here, elsewhere = CONDITIONS[kind]
    raise Wrong(
        f"Network {number_} is legal {here} and {100 * share:.0f} % illegal {elsewhere}.",
        wanted,
        got,
    )


def _truth(kind: str, model: nn.Module, inputs: Tensor) -> tuple[float, float]:
    """The worst violation where the network misbehaves, and the share that is illegal there."""
    model.train(kind == "eval")
    if kind == "copy":
        _KNOWN.discard(model.get_submodule("code"))
    if kind == "data":
        inputs = torch.randn(inputs.shape, generator=generator(0, "course/noise"))
    found = violations(model, RULES, inputs)
    everything = found["layer.weight"] if kind == "filter" else found["code"].flatten()
    return everything.max().item(), (everything > CLOSE).float().mean().item()


# 08.4

WORDS = ("better", "worse", "cannot tell")


@lru_cache
def _simulated(true_difference: bool) -> tuple[pd.DataFrame, ...]:
    """Summaries of 100 made-up comparisons of two strategies, with a true difference or none."""
    return tuple(_summary(seed, true_difference) for seed in range(100))


def _summary(seed: int, true_difference: bool) -> pd.DataFrame:
    draw = generator(seed, "course/claims", int(true_difference))
    seeds = int(torch.randint(5, 11, (), generator=draw))
    level = 0.85 + 0.04 * torch.randn(seeds, generator=draw)  # shared by both: the same batches
    size = 0.02 + 0.1 * torch.rand((), generator=draw)
    gap = torch.randn((), generator=draw).sign() * size * true_difference
    scores = {label: level + 0.006 * torch.randn(seeds, generator=draw) for label in "ab"}
    rows = [
        {"strategy": label, "seed": seed, "step": 1, "metric": score, "metric_held": score,
         "violation": 0.0, "allowed": 1.0, "diverged": False, "evaluations": 1, "seconds": 1.0}
        for label, values in (("theirs", scores["a"]), ("ours", scores["b"] + gap))
        for seed, score in enumerate(values.tolist())
    ]  # fmt: skip
    return Comparison(
        frame=pd.DataFrame(rows), strategies={"theirs": Unconstrained(), "ours": Projection()},
        seeds=list(range(seeds)), steps=1, task_name="made up", metric_name="accuracy",
        better="higher", unit="",
    ).summary(reference="theirs")  # fmt: skip


def example_summary() -> pd.DataFrame:
    """The summary of a made-up comparison of two strategies, theirs and ours.

    Example:
        >>> example_summary().index.tolist()
        ['theirs', 'ours']
    """
    columns = ["metric_held", "metric_held_sd", "difference", "low", "high"]
    return _summary(100, True).filter(columns).round(4)


def _right(summary: pd.DataFrame) -> str:
    low, high = summary.loc["ours", ["low", "high"]]
    return "better" if low > 0 else "worse" if high < 0 else "cannot tell"


@exercise("08.4", example=example_summary)
def claim(function) -> str:
    """What may be said about ours against theirs: the interval of the paired difference decides."""
    said = {
        true: [_said(function, summary) for summary in _simulated(true)] for true in (False, True)
    }
    right = {true: [_right(summary) for summary in _simulated(true)] for true in said}
    false_claims = sum(word != "cannot tell" for word in right[False])
    if said != right:
        raise _why_not_said(said, right)
    return (
        f"Right on 200 comparisons. You still claimed something in {false_claims} of the 100 in "
        "which there was nothing: a 95 % interval is wrong once in twenty. Look at twenty "
        "strategies, and one will shine."
    )


def _said(function: Callable, summary: pd.DataFrame) -> str:
    word = called(function, summary.copy())
    if word not in WORDS:
        raise Wrong("This is none of the three answers.", " or ".join(WORDS), f"{word!r}"[:60])
    return word


def _why_not_said(said: dict[bool, list[str]], right: dict[bool, list[str]]) -> Wrong:
    word = max(("better", "worse"), key=said[False].count)
    pairs = list(zip(said[True], right[True], strict=True))
    missed = sum(s == "cannot tell" and r != s for s, r in pairs)
    turned = sum({s, r} == {"better", "worse"} for s, r in pairs)
    pairs = list(zip(said[False], right[False], strict=True))
    bold = sum(s != "cannot tell" and r == "cannot tell" for s, r in pairs)
    wanted = "'cannot tell' exactly where the interval contains 0"
    if turned:
        return Wrong(f"In {turned} comparisons you say the opposite.", "higher accuracy: better")
    if bold > missed:
        claims = said[False].count(word)
        return Wrong(f"True difference 0; you claimed {word} in {claims} of 100.", wanted)
    return Wrong(f"You missed {missed} clear paired differences: subtract per seed first.", wanted)
