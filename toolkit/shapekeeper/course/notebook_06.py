"""Checks of notebook 06: a network that finds its own size."""

from collections.abc import Callable, Iterator, Mapping
from math import e, isfinite, log
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from shapekeeper.course.verdicts import Wrong, called, exercise, number
from shapekeeper.randomness import generator
from shapekeeper.tasks import sequence_floor

__all__: list[str] = []

# 06.1

CHANCES = (0.6, 0.75, 0.3, 0.9)  # to go on after an "ab"
LETTERS = 1_000_000


def _choice(p: float) -> float:
    """Nats of one decision."""
    return -p * log(p) - (1 - p) * log(1 - p)


def _floor(p: float) -> float:
    return _choice(p) / (1 - p) / (2 + 2 / (1 - p))


def _counted(p: float) -> float:
    """What it cost to guess a text that was drawn, per letter."""
    draws = generator(round(1000 * p), "course/floor")
    strings = round(LETTERS / (2 + 2 / (1 - p)))
    u = torch.rand(strings, generator=draws, dtype=torch.float64)
    pairs = (u.log() / log(p)).floor() + 1  # of "ab" in each string
    again = float(pairs.sum()) - strings
    letters = 2 * float(pairs.sum()) + 2 * strings
    return -(again * log(p) + strings * log(1 - p)) / letters


@exercise("06.1")
def floor(function) -> str:
    """What the best guesser pays for a letter of the easy text."""
    for p in CHANCES:
        got = number(called(function, p))
        if not isfinite(got) or abs(got - _floor(p)) > 1e-6:
            raise _why_not_floor(p, got)
    counted = _counted(0.75)
    off = abs(number(called(function, 0.75)) / counted - 1)
    if off > 0.01:
        raise Wrong("A text that was drawn says otherwise.", f"{counted:.4f}", f"off by {off:.1%}")
    return (
        f"{sequence_floor(0):.4f} for p = 0.6; and a text of {LETTERS:,} letters with p = 0.75 "
        f"costs {counted:.4f} to guess, {off:.1%} from yours. Most letters are free: whoever knows "
        "the rule pays at the end of each `ab` and nowhere else."
    )


def _why_not_floor(p: float, got: float) -> Wrong:
    right, told = _floor(p), f"{got:.4f} for p = {p:g}"
    wanted = f"{right:.4f} for p = {p:g}"
    known = {
        _choice(p) / 2: "Your strings are 2 characters short: the brackets are read, too.",
        right / log(2): f"That is in bits: ×{log(e, 2):.2f}. The loss is in nats.",
        _choice(p): "That is one decision, not one character.",
        _choice(p) / (1 - p): "That is one string, not one character.",
        _choice(p) / (2 + 2 / (1 - p)): "A string has a decision after each `ab`, not one.",
        sequence_floor(0): "That is the floor for p = 0.6. Let it follow p.",
    }
    for value, why in known.items():
        if abs(got - value) < 1e-6:
            return Wrong(why, wanted, told)
    return Wrong("It is another number.", wanted, told)


# 06.2

Net = dict[str, Tensor]
Memory = dict[str, Net]
AXES = {"Wxh": (0,), "Whh": (0, 1), "bh": (0,), "Why": (1,), "by": (), "h": (0,)}
INPUTS, OUTPUTS, STREAMS = 4, 3, 2
UPDATES = 5


class Patient(NamedTuple):
    """A node to be removed, its network, and what the optimizer remembers."""

    i: int
    net: Net
    opt: Memory


def patient(nodes: int = 6, i: int = 2, seed: int = 0) -> Patient:
    """A small recurrent network in training, one node of which says nothing to anybody.

    Args:
        nodes: How many it has.
        i: The silent one.
        seed: Draws the numbers.

    Returns:
        The node; the tensors `Wxh`, `Whh`, `bh`, `Why`, `by` and the activities `h`, as
        `(targets, sources)` and `(nodes, streams)`; and for each but `h` the running `mean` of its
        gradient and of its `square`.

    Example:
        >>> i, net, opt = patient()
        >>> {name: tuple(tensor.shape) for name, tensor in net.items()}
        {'Wxh': (6, 4), 'Whh': (6, 6), 'bh': (6,), 'Why': (3, 6), 'by': (3,), 'h': (6, 2)}
    """
    draws = generator(seed, "course/surgery", nodes)
    shapes = {"Wxh": (nodes, INPUTS), "Whh": (nodes, nodes), "bh": (nodes,),
              "Why": (OUTPUTS, nodes), "by": (OUTPUTS,), "h": (nodes, STREAMS)}  # fmt: skip

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draws, dtype=torch.float64)

    net = {name: drawn(*shape) for name, shape in shapes.items()}
    net["h"] = net["h"].tanh()
    net["Whh"][:, i] = net["Why"][:, i] = 0
    opt = {
        name: {"mean": 0.1 * drawn(*shape), "square": drawn(*shape).square()}
        for name, shape in shapes.items()
        if name != "h"
    }
    return Patient(i, net, opt)


def _patients() -> Iterator[Patient]:
    for seed, (nodes, i) in enumerate([(10, 4), (7, 0), (5, 4), (8, 6)], start=1):
        yield patient(nodes, i, seed)


def _text(seed: int) -> tuple[Tensor, Tensor]:
    draws = generator(seed, "course/surgery/text")
    x = torch.randn(6, INPUTS, STREAMS, generator=draws, dtype=torch.float64)
    return x, torch.randn(6, OUTPUTS, STREAMS, generator=draws, dtype=torch.float64)


def _said(net: Mapping[str, Tensor], x: Tensor) -> Tensor:
    h, out = net["h"], []
    for now in x:
        h = torch.tanh(net["Wxh"] @ now + net["Whh"] @ h + net["bh"][:, None])
        out.append(net["Why"] @ h + net["by"][:, None])
    return torch.stack(out)


def _updated(net: Net, opt: Memory, seed: int, updates: int, silent: int | None = None) -> Net:
    """The network after some updates of an optimizer with two memories; a silent node stays so."""
    x, y = _text(seed)
    memory = {name: [value.clone() for value in kept.values()] for name, kept in opt.items()}
    leaves = {name: net[name].clone().requires_grad_() for name in opt}
    for _ in range(updates):
        loss = (_said({**leaves, "h": net["h"]}, x) - y).square().mean()
        grads = torch.autograd.grad(loss, list(leaves.values()))
        with torch.no_grad():
            for (name, leaf), grad in zip(leaves.items(), grads, strict=True):
                mean, square = memory[name]
                mean.lerp_(grad, 0.1)
                square.lerp_(grad.square(), 0.01)
                step = 0.01 * mean / (square.sqrt() + 1e-8)
                if silent is not None and name in ("Whh", "Why"):
                    step[:, silent] = 0
                leaf -= step
    return {name: leaf.detach() for name, leaf in leaves.items()}


def _cut(name: str, tensor: Tensor, i: int) -> Tensor:
    for axis in AXES[name]:
        stay = [k for k in range(tensor.shape[axis]) if k != i]
        tensor = tensor.index_select(axis, torch.tensor(stay))
    return tensor


@exercise("06.2", example=patient)
def without(function) -> str:
    """A node removed from a network and from what its optimizer remembers."""
    worst = 0.0
    for seed, (i, net, opt) in enumerate(_patients()):
        given = {name: dict(kept) for name, kept in _copied(opt).items()}
        small, memory = _operated(called(function, i, _copied({"": net})[""], given), net, opt)
        _judge_net(small, net, i, seed)
        _judge_memory(small, memory, net, opt, i, seed)
        for updates in (0, 1, UPDATES):
            after = _updated(small, memory, seed, updates)
            whole = _updated(net, opt, seed, updates, silent=i)
            gaps = [(after[k] - _cut(k, whole[k], i)).abs().max() for k in after]
            worst = max(worst, *map(float, gaps))
    return (
        f"Outputs and {UPDATES} updates agree on four networks, up to {worst:.0e}. Nobody can tell "
        "that a node is gone. In torch.optim what is remembered hangs on the Parameter object: a "
        "smaller parameter is a new one, and its memory has to be carried over by hand."
    )


def _copied(tensors: Mapping[str, Net]) -> Memory:
    return {k: {n: t.clone() for n, t in kept.items()} for k, kept in tensors.items()}


def _operated(answer: Any, net: Net, opt: Memory) -> tuple[Net, Memory]:
    """The answer as the two dicts it should be."""
    try:
        small, memory = answer
        small = {name: torch.as_tensor(small[name]).detach().double() for name in net}
        memory = {
            name: {key: torch.as_tensor(memory[name][key]).detach().double() for key in kept}
            for name, kept in opt.items()
        }
    except (TypeError, ValueError, KeyError, IndexError, RuntimeError) as error:
        raise Wrong(
            "Return both, the network and what the optimizer remembers, with the names they had.",
            f"two dicts: {', '.join(net)}; {', '.join(opt)}",
            f"a {type(answer).__name__}",
        ) from error
    return small, memory


def _size(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "a single number"


def _judge_net(small: Net, net: Net, i: int, seed: int) -> None:
    for name, tensor in small.items():
        right = _cut(name, net[name], i)
        if tensor.shape != right.shape:
            raise Wrong(f"{name} is now {_size(tensor)}.", _size(right), _size(tensor))
    x, _ = _text(seed)
    gap = float((_said(small, x) - _said(net, x)).abs().max())
    if not gap < 1e-6:
        other = [k for k, t in small.items() if not torch.equal(t, _cut(k, net[k], i))]
        raise Wrong(
            f"The sizes are right, but the network answers otherwise. Is node {i} gone, and "
            f"nobody else, from {' and '.join(other)}?",
            "the same outputs",
            f"off by {gap:.2g}",
        )


def _judge_memory(small: Net, memory: Memory, net: Net, opt: Memory, i: int, seed: int) -> None:
    nodes = len(net["bh"])
    whole = [k for k, kept in memory.items() if AXES[k] and _sizes(kept) == _sizes(opt[k])]
    first = {k: {n: _cut(k, t, nodes - 1) for n, t in kept.items()} for k, kept in opt.items()}
    if i < nodes - 1 and (whole or _same(memory, first)):
        raise Wrong(
            f"Outputs agree now, but after one update node {i + 1} has moved with node {i}'s "
            "memory.",
            "what the optimizer remembers, without the same node",
            f"{whole[0]} remembered as {_size(memory[whole[0]]['mean'])}" if whole else
            "what it remembers, without the last node",
        )  # fmt: skip
    for name, kept in memory.items():
        for key, tensor in kept.items():
            if tensor.shape != small[name].shape:
                raise Wrong(
                    f"Outputs agree now, but the optimizer's {key} of {name} does not fit.",
                    _size(small[name]),
                    _size(tensor),
                )
    after = _updated(small, memory, seed, UPDATES)
    right = _updated(net, opt, seed, UPDATES, silent=i)
    gap = max(float((after[k] - _cut(k, right[k], i)).abs().max()) for k in after)
    if gap < 1e-6:
        return
    forgot = all(not bool(t.any()) for kept in memory.values() for t in kept.values())
    why = "the optimizer has forgotten everything" if forgot else "the memories are others"
    raise Wrong(
        f"Outputs agree now, but {why}: after {UPDATES} updates the nodes that stayed are "
        "elsewhere.",
        "the updates that the rest would have had",
        f"off by {gap:.2g}",
    )


def _sizes(kept: Mapping[str, Tensor]) -> list[torch.Size]:
    return [tensor.shape for tensor in kept.values()]


def _same(one: Memory, other: Memory) -> bool:
    return all(torch.equal(t, other[k][n]) for k, kept in one.items() for n, t in kept.items())


# 06.3

TAXES = (0.01, 1e-3, 0.07)


class Taxed(NamedTuple):
    """Weights, and what is taken off."""

    w: Tensor
    A: float


def taxed(seed: int = 0, A: float = 0.01) -> Taxed:
    """Weights of both signs, some of them smaller than the tax, one of them 0.

    Args:
        seed: Which draw.
        A: The tax.

    Returns:
        Weights and tax.

    Example:
        >>> w, A = taxed()
        >>> w.shape, A
        (torch.Size([3, 4]), 0.01)
    """
    shape = (3 + seed, 4 + 2 * seed)
    w = 6 * A * torch.randn(shape, generator=generator(seed, "course/tax"), dtype=torch.float64)
    w[0, :3] = torch.tensor([0.0, A / 3, -A / 3], dtype=torch.float64)
    return Taxed(w, A)


def _instances() -> Iterator[Taxed]:
    for seed, A in enumerate(TAXES, start=1):
        yield taxed(seed, A)


def _soft(w: Tensor, A: float) -> Tensor:
    return w.sign() * (w.abs() - A).clamp(min=0)


@exercise("06.3", example=taxed)
def after_step(function) -> str:
    """Each weight A nearer to 0, and never past it."""
    longest = 0
    for w, A in _instances():
        now = w
        for step in range(1, int((w.abs() / A).max()) + 2):
            found, right = _taxed_by(function, now, A), _soft(now, A)
            if not torch.allclose(found, right, rtol=0, atol=1e-12):
                raise _why_not_taxed(function, now, A, found, right)
            now = found
            longest = max(longest, step)
        if bool(now.any()):
            raise Wrong("Some weights never arrive at 0.", "0", f"{float(now.abs().max()):.2g}")
    return (
        f"Each weight is 0 after ⌈|w|/A⌉ steps, {longest} at most, and stays there; none changed "
        "sign. An error gradient can hold a weight up, but it has to pull with more than A."
    )


def _taxed_by(function: Callable, w: Tensor, A: float) -> Tensor:
    answer = called(function, w.clone(), A)
    try:
        found = torch.as_tensor(answer).detach().double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Wrong("Return the new weights.", f"shape {tuple(w.shape)}",
                    f"a {type(answer).__name__}") from error  # fmt: skip
    if found.numel() == 1:
        raise _divided(w)
    if found.shape != w.shape or not found.isfinite().all():
        raise Wrong("Return the new weights.", f"finite, shape {tuple(w.shape)}",
                    f"shape {tuple(found.shape)}")  # fmt: skip
    return found


def _divided(w: Tensor, steps: int = 20) -> Wrong:
    """What Adam makes of a tax in the loss."""
    moved = []
    for A in (1e-4, 1e-2):
        leaf = w.clone().requires_grad_()
        optimizer = torch.optim.Adam([leaf], lr=1e-3)
        for _ in range(steps):
            optimizer.zero_grad()
            (A * leaf.abs().sum()).backward()
            optimizer.step()
        moved.append(float((leaf.detach() - w).abs().max()))
    return Wrong(
        "A = 1e-4 and A = 1e-2 shrink it equally fast: Adam divides the constant away.",
        "new weights, each A nearer to 0",
        f"in the loss, after {steps} steps of Adam: {moved[0]:.3g} and {moved[1]:.3g} nearer",
    )


def _why_not_taxed(function: Callable, w: Tensor, A: float, found: Tensor, right: Tensor) -> Wrong:
    worst = int((found - right).abs().argmax())
    before, wanted, got = (float(t.flatten()[worst]) for t in (w, right, found))
    told = f"{wanted:.3g} from {before:.3g}", f"{got:.3g}"
    moves = [(_taxed_by(function, w, tax) - w) for tax in (1e-4, 1e-2)]
    if torch.equal(found, w):
        return Wrong("Nothing was taken off.", *told)
    if bool(moves[0].any()) and torch.allclose(*moves, rtol=1e-2, atol=1e-9):
        return _divided(w)
    if bool((found * w < 0).any()):
        return Wrong(f"It overshoots and jitters around 0 with ± {A:g}.", *told)
    if not bool(found[w < 0].any()):
        return Wrong("A negative weight is gone at once: shrink its size, and keep its sign.",
                     *told)  # fmt: skip
    if bool(((w < 0) & (found < w)).any()):
        return Wrong("A negative weight grows: shrink its size, and keep its sign.", *told)
    if bool((found[(w != 0) & (w.abs() < A)] != 0).any()):
        return Wrong("A share of a weight is taken off, so that it never arrives at 0.", *told)
    return Wrong("Another amount was taken off.", *told)


# 06.4

FOUND = 40  # nodes at the end of the run that the rivals are for
RIVALS = pd.DataFrame(
    [
        (10, "1e-4", 4500, 5),
        (20, "1e-4", 4500, 5),
        (40, "1e-4", 4500, 5),
        (40, "none", 4500, 5),
        (40, "1e-4", 1500, 5),
        (120, "1e-4", 4500, 5),
        (120, "1e-4", 4500, 1),
        (120, "none", 4500, 5),
    ],
    columns=["nodes", "tax", "gradient evaluations", "seeds"],
    index=[*"ABCDEFGH"],
)


def rivals_offered() -> pd.DataFrame:
    """Eight networks of fixed size, for a network that grew to 40 nodes.

    Returns:
        A row for each, by letter.

    Example:
        >>> print(*rivals_offered().loc["C"])
        40 1e-4 4500 5
    """
    return RIVALS.copy()


@exercise("06.4", example=rivals_offered)
def rivals(answer) -> str:
    """Fixed networks that a grown one has to be compared with."""
    try:
        names = [str(name) for name in answer]
    except TypeError as error:
        raise Wrong("This is no list.", "letters, such as ['A', 'B']",
                    f"a {type(answer).__name__}") from error  # fmt: skip
    if strange := [name for name in names if name not in RIVALS.index]:
        raise Wrong("There is no such rival.", f"letters from {', '.join(RIVALS.index)}",
                    repr(strange[0]))  # fmt: skip
    if not names:
        raise Wrong("With no rival at all, anything helps.", "some letters", "none")
    if why := _unfair(set(names)):
        raise Wrong(why, "rivals that differ in nothing but their size", ", ".join(names))
    return (
        "The same tax, the same number of gradient evaluations, several seeds, and sizes on both "
        "sides of the question: either rival may win. They know the size that was found "
        "beforehand, which growing had to find; what it is to be praised for is that."
    )


def _unfair(chosen: set[str]) -> str:
    if chosen <= {"A", "B"}:
        return "You chose rivals that must lose."
    if "E" in chosen:
        return "E had a third of the gradient evaluations: it loses for want of time."
    if "G" in chosen:
        return "G is one seed. How much do seeds differ?"
    for free, same in (("D", "C"), ("H", "F")):
        if free in chosen and same not in chosen:
            return f"{free} pays no tax. Then the penalty may be what helped."
    if "C" not in chosen:
        return f"None has the size that was found, {FOUND}: then size may be what helped."
    if "F" not in chosen:
        return "A rival must be able to win, and a larger one is missing: sizes on both sides."
    return ""
