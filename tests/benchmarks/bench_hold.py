"""What holding a mask costs in each training step, against the plain step and the other ways.

Run it: `python tests/benchmarks/bench_hold.py` (two minutes). A step is forward, backward and the
optimizer on a batch of 64, `nn.Linear(2048, 2048)`, 1 of 10 weights open at random places, in CPU
time of one thread. In every round all sides take turns in a new order; a ratio is to the plain step
of the same round. Two plain networks take part, and their mean is the plain step: what divides them
is where their memory happens to lie. Shown are the median of all rounds and the middle half.
"""

import argparse
import random
from collections.abc import Callable
from statistics import median, quantiles
from time import thread_time

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize, prune
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

import shapekeeper as sk

SIZE, BATCH = 2048, 64
OPTIMIZERS = {
    "Adam": lambda p: torch.optim.Adam(p, lr=1e-3),
    "AdamW, fused": lambda p: torch.optim.AdamW(p, lr=1e-3, fused=True),
    "SGD": lambda p: torch.optim.SGD(p, lr=1e-3),
}
STEP_HOOKS = (_global_optimizer_pre_hooks, _global_optimizer_post_hooks)
Optimizer = Callable[..., torch.optim.Optimizer]
Sides = dict[str, Callable[[], None]]


class Masked(nn.Module):
    """A parametrization one writes oneself."""

    def __init__(self, mask: Tensor):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, w: Tensor) -> Tensor:
        return w * self.mask


class TimesMask(nn.Linear):
    """What one writes by hand: the weight times the mask, in every forward pass."""

    def __init__(self, mask: Tensor):
        super().__init__(*mask.T.shape)
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


def pruned(mask: Tensor) -> nn.Module:
    return prune.custom_from_mask(linear(mask), "weight", mask)


def parametrized(mask: Tensor) -> nn.Module:
    layer = linear(mask)
    parametrize.register_parametrization(layer, "weight", Masked(mask))
    return layer


def gradient_hook(mask: Tensor) -> nn.Module:
    layer = linear(mask)
    with torch.no_grad():
        layer.weight.mul_(mask)
    layer.weight.register_hook(lambda grad: grad * mask)
    return layer


def linear(mask: Tensor) -> nn.Linear:
    return nn.Linear(*mask.T.shape)


def held(strategy: sk.Strategy) -> Callable[[Tensor], nn.Module]:
    def build(mask: Tensor) -> nn.Module:
        layer = linear(mask)
        sk.hold(layer, {"weight": sk.Connections(mask)}, strategy)
        return layer

    return build


PLAIN, TWIN = "plain step", "plain step, its twin"
WAYS: dict[str, Callable[[Tensor], nn.Module]] = {
    PLAIN: linear,
    TWIN: linear,
    "sk.hold, Projection": held(sk.Projection()),
    "sk.hold, Reparametrization": held(sk.Reparametrization()),
    "sk.MaskedLinear": lambda mask: sk.MaskedLinear(sk.Connections(mask)),
    "W * mask in forward": TimesMask,
    "torch parametrize": parametrized,
    "torch prune": pruned,
    "gradient hook": gradient_hook,
}


def training_step(net: nn.Module, size: int, make: Optimizer) -> Callable[[], None]:
    """Forward, backward and optimizer on one batch, always the same."""
    x = torch.rand(BATCH, size, generator=torch.Generator().manual_seed(0))
    optimizer = make(net.parameters())

    def step() -> None:
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()

    return step


def seconds(step: Callable[[], None], repeats: int) -> float:
    step()  # warm caches again: the other sides have just been here
    start = thread_time()
    for _ in range(repeats):
        step()
    return (thread_time() - start) / repeats


def measured(sides: Sides, rounds: int, repeats: int) -> dict[str, list[float]]:
    """Seconds per step of each side in each round."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    order = random.Random(0)
    for step in sides.values():
        seconds(step, repeats)
    for _ in range(rounds):
        for name in order.sample(list(sides), len(sides)):
            taken[name].append(seconds(sides[name], repeats))
    return taken


def report(title: str, taken: dict[str, list[float]], unit: str = "ms") -> dict[str, float]:
    """Print medians and ratios; give the ratios."""
    first = next(iter(taken))
    twins = zip(taken[first], taken.get(TWIN, taken[first]), strict=True)
    base = [(one + other) / 2 for one, other in twins]
    scale = {"ms": 1e3, "µs": 1e6}[unit]
    print(f"\n{title}")
    print(f"{'':34}{unit + ' per step':>12}{'ratio':>8}{'middle half':>15}{'more, ' + unit:>12}")
    ratios = {}
    for name, times in taken.items():
        each = [t / plain for t, plain in zip(times, base, strict=True)]
        more = median(t - plain for t, plain in zip(times, base, strict=True))
        low, _, high = quantiles(each, n=4)
        ratios[name] = median(each)
        print(
            f"{name:34}{scale * median(times):12.2f}{ratios[name]:8.3f}"
            f"{f'{low:.3f} – {high:.3f}':>15}{scale * more:12.2f}"
        )
    return ratios


def large(name: str, rounds: int) -> None:
    """One optimizer on the large layer, and whether projection is as cheap as it should be."""
    mask = (torch.rand(SIZE, SIZE, generator=torch.Generator().manual_seed(1)) < 0.1).float()
    make = OPTIMIZERS[name]
    sides = {way: training_step(build(mask), SIZE, make) for way, build in WAYS.items()}
    ratios = report(f"nn.Linear({SIZE}, {SIZE}), {name}", measured(sides, rounds, repeats=2))
    ours = ratios["sk.hold, Projection"]
    others = ("W * mask in forward", "torch parametrize", "torch prune")
    cheapest = ours < min(ratios[other] for other in others)
    print(f"Projection at {ours:.3f}: at most 1.05: {ours <= 1.05}; below the others: {cheapest}")


def small(rounds: int) -> None:
    """A layer so small that hooks are what one sees."""
    make = OPTIMIZERS["Adam"]
    mask = (torch.rand(32, 32, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    names = [PLAIN, TWIN, "sk.hold, Projection", "sk.hold, Reparametrization"]
    names += ["sk.MaskedLinear", "W * mask in forward", "torch parametrize", "torch prune"]
    sides = {name: training_step(WAYS[name](mask), 32, make) for name in names}
    report("nn.Linear(32, 32), Adam", measured(sides, rounds, repeats=100), unit="µs")


def not_held(rounds: int) -> None:
    """What the hooks on all optimizers cost a model that holds nothing."""
    make = OPTIMIZERS["Adam"]
    held(sk.Projection())(torch.ones(2, 2))  # from here on, optimizers tell of their steps
    every, none = [dict(hooks) for hooks in STEP_HOOKS], [{} for _ in STEP_HOOKS]
    for layers in (1, 50):
        net = nn.Sequential(*(nn.Linear(32, 32) for _ in range(layers)))
        step = training_step(net, 32, make)
        sides = {
            "nothing was ever held": with_step_hooks(none, step),
            "something else is held": with_step_hooks(every, step),
        }
        taken = measured(sides, rounds, repeats=max(10, 100 // layers))
        report(f"A plain model of {2 * layers} parameters", taken, unit="µs")


def with_step_hooks(wanted: list[dict], step: Callable[[], None]) -> Callable[[], None]:
    """The same step with these hooks on all optimizers, and no others."""

    def run() -> None:
        for hooks, mine in zip(STEP_HOOKS, wanted, strict=True):
            hooks.clear()
            hooks.update(mine)
        step()

    return run


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    for name in OPTIMIZERS:
        large(name, rounds)
    small(rounds)
    not_held(rounds)


if __name__ == "__main__":
    main()
