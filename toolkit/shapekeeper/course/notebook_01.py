"""Checks of notebook 01: connections."""

import dis
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from shapekeeper.constraints import Connections
from shapekeeper.course.verdicts import Unwritten, Wrong, attempted, called, exercise, number
from shapekeeper.networks import MaskedLinear
from shapekeeper.randomness import generator


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def _moved(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Which outputs move when one input moves at a point, bool (out, in)."""
    return torch.autograd.functional.jacobian(layer, x) != 0  # type: ignore[operator]


def _yes_no(answer: Any, shape: tuple[int, int], why: str) -> Tensor:
    """The answer as bools of a shape, or `Wrong`."""
    try:
        matrix = torch.as_tensor(answer).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(answer).__name__
        raise Wrong("This is no matrix.", f"shape {shape}", f"a {kind}") from error
    if tuple(matrix.shape) != shape:
        raise Wrong(why, f"shape {shape}", f"shape {tuple(matrix.shape)}")
    if not ((matrix == 0) | (matrix == 1)).all():
        raise Wrong("A wire is there or it is not.", "only True and False", "other numbers")
    return matrix.bool()


@contextmanager
def _own_chance() -> Iterator[None]:
    """The same draws whenever a check runs, and no trace in those of the reader."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(12)
        yield


# 01.1

SHAPES = ((3, 7), (7, 3), (5, 5), (2, 6), (6, 6))


def who_feeds_whom(seed: int = 0, sources: int = 3, targets: int = 4) -> Tensor:
    """Who feeds whom, drawn at random, as people write it: one row for each source.

    Args:
        seed: Which draw.
        sources: Rows.
        targets: Columns.

    Returns:
        A bool tensor (sources, targets), `[source, target]`.

    Example:
        >>> who_feeds_whom().shape
        torch.Size([3, 4])
    """
    draw = generator(seed, "course/table", sources)
    return torch.rand(sources, targets, generator=draw) < 0.5


@exercise("01.1", example=who_feeds_whom)
def mask_for(function) -> str:
    """A mask `[target, source]` from a table `[source, target]`."""
    tables = [who_feeds_whom(seed, *shape) for seed, shape in enumerate(SHAPES, 1)]
    answers = [called(function, table.clone()) for table in tables]
    as_it_is = all(_same(answer, table) for answer, table in zip(answers, tables, strict=True))
    for table, answer in zip(tables, answers, strict=True):
        _turned(table, answer, as_it_is)
    return (
        f"Right on {len(tables)} tables. One layer wants the table as it is: "
        "`nn.Embedding` keeps its weight as [source, target]."
    )


def _turned(table: Tensor, answer: Any, as_it_is: bool) -> None:
    sources, targets = table.shape
    why = "`W[target, source]`: rows are those who listen."
    if as_it_is:
        why = (
            f"For {sources}×{targets} this cannot even be multiplied; for 5×5 it runs and connects "
            f"the wrong way round. {why}"
        )
    mask = _yes_no(answer, (targets, sources), why)
    weight = torch.ones(targets, sources) * mask
    moves = _moved(lambda x: weight @ x, torch.ones(sources))
    if torch.equal(moves, table.T):
        return
    source = int((moves != table.T).any(0).nonzero()[0])
    why = f"In a table of {sources} sources and {targets} targets the wrong ones are connected."
    if sources != targets and torch.equal(mask, table.reshape(targets, sources)):
        why = "The shape fits now, but reshape deals the same cards in a new order."
    feeds = f"{why} Input {source + 1} now feeds {_outputs(moves[:, source])}"
    raise Wrong(f"{feeds}, wanted {_outputs(table[source])}.")


def _same(answer: Any, table: Tensor) -> bool:
    try:
        return torch.equal(torch.as_tensor(answer).bool(), table)
    except (TypeError, ValueError, RuntimeError):
        return False


def _outputs(hears: Tensor) -> str:
    which = [str(i + 1) for i in hears.nonzero().flatten().tolist()]
    if not which:
        return "no output"
    return f"output{'s' if len(which) > 1 else ''} {', '.join(which)}"


# 01.2


@dataclass(frozen=True)
class _Layer:
    """A layer whose connections are known."""

    name: str
    layer: nn.Module
    pattern: Tensor
    stored: Tensor | None = None

    @property
    def flat(self) -> bool:
        """Whether nothing moves at 0."""
        return not _moved(self.layer, torch.zeros(self.pattern.shape[1])).any()


def _weights(pattern: Tensor, seed: int) -> Tensor:
    """Weights away from 0 where there is a wire, 0 elsewhere."""
    draw = generator(seed, "course/weights")
    size = 0.3 + torch.rand(pattern.shape, generator=draw)
    return pattern * size * (2 * torch.randint(2, pattern.shape, generator=draw) - 1)


def _linear(weight: Tensor, bias: float = 0.0) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.fill_(bias)
    return layer


def _masked(pattern: Tensor, unused: int) -> MaskedLinear:
    """A masked layer that stores some numbers it never reads."""
    layer = MaskedLinear(Connections(pattern))
    with torch.no_grad():
        layer.weight.copy_(_weights(pattern, 2))
        spots = (~pattern).nonzero()[:unused]
        layer.weight[spots[:, 0], spots[:, 1]] = 0.7
    return layer


def _asleep(pattern: Tensor) -> nn.Module:
    """Pairs of ReLU units that all sleep near 0; at any other point one of each pair is awake."""
    weight, eye = _weights(pattern, 3), torch.eye(len(pattern))
    inward = _linear(torch.cat([weight, -weight]), bias=-0.001)
    return nn.Sequential(inward, nn.ReLU(), _linear(torch.cat([eye, -2 * eye], 1)))


def _gated(pattern: Tensor) -> nn.Module:
    """Half of the wires carry a value, half open a gate for it; at 0 there is no value to pass."""
    draw = generator(4, "course/gates")
    gates = torch.rand(pattern.shape, generator=draw) < 0.5
    gates[torch.arange(len(gates)), pattern.int().argmax(1)] = False  # each has a value to pass
    weight = _weights(pattern, 4)
    return nn.Sequential(_linear(torch.cat([weight * ~gates, weight * gates])), nn.GLU())


def _layers() -> Iterator[_Layer]:
    def drawn(seed: int, targets: int, sources: int) -> Tensor:
        pattern = who_feeds_whom(seed, sources, targets).T.contiguous()
        pattern[torch.arange(targets), torch.arange(targets) % sources] = True
        return pattern

    full = torch.ones(3, 5, dtype=torch.bool)
    yield _Layer("a dense layer", _linear(_weights(full, 1)), full)
    pattern = drawn(12, 4, 6)
    masked = _masked(pattern, unused=3)
    yield _Layer("a masked layer", masked, pattern, masked.weight.detach() != 0)
    for seed, (targets, sources) in enumerate(((3, 5), (4, 4)), 13):
        pattern = drawn(seed, targets, sources)
        yield _Layer("a layer of ReLU units", _asleep(pattern), pattern)
    pattern = drawn(15, 3, 7)
    yield _Layer("a layer with gates", _gated(pattern), pattern)


@exercise("01.2")
def who_moves(function) -> str:
    """Which outputs move when an input moves, found from outside."""
    with _own_chance():
        layers = list(_layers())
        for case in layers:
            answer = called(function, case.layer, case.pattern.shape[1])
            _found_from_outside(case, answer)
    return (
        f"Right on {len(layers)} layers, and you never looked inside. So the same test works on a "
        "whole network; what it cannot promise is a point where nobody looked."
    )


def _found_from_outside(case: _Layer, answer: Any) -> None:
    targets, sources = case.pattern.shape
    got = _yes_no(answer, (targets, sources), "Rows are those who listen: (out, in).")
    if not torch.equal(got, case.pattern):
        wanted = f"{_some(int(case.pattern.sum()), 'connection')} in {case.name}"
        raise Wrong(_why_not_moved(case, got), wanted, int(got.sum()))


def _why_not_moved(case: _Layer, got: Tensor) -> str:
    extra, missed = int((got & ~case.pattern).sum()), int((~got & case.pattern).sum())
    if case.stored is not None and torch.equal(got, case.stored):
        return (
            "You looked at stored numbers. A masked layer may store a number it never uses: "
            f"{extra} of yours are such."
        )
    if case.flat and not got.any():
        return (
            f"At 0 this layer is flat, so you report no connections though {missed} exist. "
            "Try a few random points."
        )
    if missed and not extra:
        return (
            f"In {case.name} you miss {missed} of {int(case.pattern.sum())} connections: where you "
            "looked, they move nothing. Try a few random points."
        )
    return f"In {case.name} you report {_some(extra, 'connection')} that cannot move anything."


# 01.3

OPTIMIZERS = {
    "Adam": partial(torch.optim.Adam, lr=1e-2, weight_decay=1e-2),
    "AdamW": partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1),
    "SGD with momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.9),
}


def _nothing_written(weight, mask): ...


def _is_unwritten(function: Any) -> bool:
    """A repair need not return anything, so that what it does must tell whether it was written."""
    if not hasattr(function, "__code__"):
        return False
    does, nothing = (
        [step.opname for step in dis.get_instructions(f)] for f in (function, _nothing_written)
    )
    return does == nothing and attempted(function, torch.ones(1), torch.ones(1)) is None


def _no_repair(weight: Tensor, mask: Tensor) -> None:
    """The hook alone."""


def _repair(weight: Tensor, mask: Tensor) -> None:
    with torch.no_grad():
        weight.mul_(mask)


def _ghost(make: Callable, after_step: Callable) -> tuple[float, Tensor]:
    """The hook put on late: largest leak of 50 steps, and all weights at the end."""
    draw = generator(0, "course/ghost")
    mask = torch.rand(5, 8, generator=draw) < 0.4
    x, teacher, start = (torch.randn(n, 8, generator=draw) for n in (64, 5, 5))
    weight, leak = nn.Parameter(start.clone()), 0.0
    optimizer = make([weight])
    for step in range(70):
        if step == 20:
            weight.data *= mask
            weight.register_hook(lambda gradient: gradient * mask)
        optimizer.zero_grad()
        (x @ weight.T - x @ teacher.T).square().mean().backward()
        optimizer.step()
        if step >= 20:
            attempted(after_step, weight, mask.clone())
            leak = max(leak, weight.detach()[~mask].abs().max().item())
    return leak, weight.detach()


@exercise("01.3")
def after_step(function) -> str:
    """What repairs the hook that was put on late."""
    if _is_unwritten(function):
        raise Unwritten("after_step does nothing yet. Write its body; nothing need be returned.")
    unrepaired = []
    for name, make in OPTIMIZERS.items():
        leak, weight = _ghost(make, function)
        if leak > 0:
            raise Wrong(_why_ghost(function), "leak 0.0 after each step", f"{leak:.2g} ({name})")
        _, wanted = _ghost(make, _repair)
        if not torch.allclose(weight, wanted, atol=1e-5):
            raise Wrong(
                "The closed weights stay 0, but the open ones no longer learn as they did.",
                "open weights as the optimizer left them",
                f"other ones ({name})",
            )
        unrepaired.append(_ghost(make, _no_repair)[0])
    worst = ", ".join(f"{leak:.2g}" for leak in unrepaired)
    return (
        f"Leak 0.0 after each of 50 steps; without your repair it was {worst}. The optimizers "
        "still remember the old gradients: they push, and you push back."
    )


def _why_ghost(function: Callable) -> str:
    """What the answer does to a weight and a gradient that are 1 everywhere."""
    weight = nn.Parameter(torch.ones(2, 3))
    weight.grad = torch.ones(2, 3)
    mask = torch.tensor([[True, False, True], [False, True, True]])
    attempted(function, weight, mask.clone())
    if torch.equal(weight.detach() == 0, mask):
        return "That deletes the open wires and keeps the closed ones: `mask` is true where open."
    if weight.detach().ne(1).any():
        return "You change the weight, but closed weights are left that are not 0."
    gradient = weight.grad
    if gradient is None or gradient.ne(1).any() or weight._backward_hooks:
        return (
            "The gradient is already 0. The step comes from the average of old gradients: "
            "look at what it does to the weight."
        )
    return (
        "You made a new tensor; the layer and the optimizer still hold the old one. "
        "Change it in place."
    )


# 01.4


def _spec(seed: int, targets: int, sources: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mask, presets and biases of one layer, drawn at random."""
    draw = generator(seed, "course/spec")
    mask = torch.rand(targets, sources, generator=draw) < 0.6
    preset = mask & (torch.rand(mask.shape, generator=draw) < 0.4)
    fixed = preset * (0.5 + torch.rand(mask.shape, generator=draw))
    bias = torch.rand(targets, generator=draw) < 0.5
    bias[0], mask[0, 0], fixed[0, 0] = False, True, 0.5
    return mask, fixed, bias


def layer_to_count() -> tuple[Tensor, Tensor, Tensor]:
    """A layer's mask (out, in), presets (out, in; 0: none) and which outputs have a bias (out,).

    Example:
        >>> [part.shape for part in layer_to_count()]
        [torch.Size([3, 4]), torch.Size([3, 4]), torch.Size([3])]
    """
    return _spec(0, 3, 4)


def _rank(mask: Tensor, fixed: Tensor, bias: Tensor) -> int:
    """In how many independent ways small changes of stored numbers change what a layer does."""
    layer = MaskedLinear(Connections(mask, fixed=fixed), bias_mask=bias).double()
    inputs = torch.cat([torch.zeros(1, mask.shape[1]), torch.eye(mask.shape[1])]).double()

    def outputs(weight: Tensor, offset: Tensor) -> Tensor:
        tensors = {"weight": weight, "bias": offset}
        return torch.func.functional_call(layer, tensors, inputs).flatten()

    assert layer.bias is not None
    parts = torch.autograd.functional.jacobian(outputs, (layer.weight, layer.bias))
    changes = torch.cat([part.flatten(1) for part in parts], 1)
    return int(torch.linalg.matrix_rank(changes))


SIZES = ((3, 7), (7, 3), (4, 6), (1, 5), (6, 2), (5, 5))


@exercise("01.4", example=layer_to_count)
def free_numbers(function) -> str:
    """How many numbers of a layer training can change."""
    specs = [_spec(seed, *size) for seed, size in enumerate(SIZES, 1)]
    answers = [number(called(function, *(part.clone() for part in spec))) for spec in specs]
    with _own_chance():
        ranks = [_rank(*spec) for spec in specs]
    for spec, answer, rank in zip(specs, answers, ranks, strict=True):
        if answer != rank:
            targets, sources = spec[0].shape
            wanted = f"{rank} free numbers of a layer {targets}×{sources}"
            raise Wrong(_why_miscounted(specs, answers), wanted, f"{answer:g}")
    stored = specs[0][0].numel() + len(specs[0][2])
    return (
        f"Right on {len(specs)} layers: as many independent ways there are to change what the "
        f"layer does. The first of them has {ranks[0]}, and stores {stored}: Adam keeps two more "
        "for each stored one. A mask saves no memory."
    )


def _why_miscounted(specs: list[tuple[Tensor, Tensor, Tensor]], answers: list[float]) -> str:
    """Which weights and which biases were counted, if they can be told."""
    wires = {
        "A preset wire is open but not free.": lambda m, f: m.sum(),
        "Closed wires are not learned.": lambda m, f: m.numel(),
        "Presets alone are left out: closed wires are not learned either.": lambda m, f: (
            m.numel() - (f != 0).sum()
        ),
        "": lambda m, f: (m & (f == 0)).sum(),
    }
    biases = {
        "Every bias that is there is free too.": lambda b: 0,
        "Biases have a mask too: not every output has one.": len,
        "": lambda b: b.sum(),
    }
    for about_wires, count in wires.items():
        for about_biases, more in biases.items():
            guess = [float(count(m, f) + more(b)) for m, f, b in specs]
            if guess == answers:
                return about_wires or about_biases
    return "There are three kinds of wires, and only one of them learns."
