"""What holding an orthogonal matrix costs in each training step, against the plain step and peers.

Run it: `python tests/benchmarks/bench_orthogonal.py` (three minutes). A step is forward, backward
and the optimizer on a batch of 128, `nn.Linear(n, n)` without a bias, mean squared error, in CPU
time of one thread; once for a single weight, once for 32 seeds in one tensor. In every round all
sides take turns in a new order; a ratio is to the plain step of the same round. Shown are medians
of all rounds, the middle half, and the largest entry of `W^T W - 1`, in float64, after any round.
"""

import argparse
import random
from collections.abc import Callable
from statistics import median, quantiles
from time import thread_time

import geoopt
import geotorch
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal

import shapekeeper as sk

BATCH, SEEDS = 128, 32
RATE = 1e-3
Step = Callable[[], object]


class Layers(nn.Module):
    """One linear layer for each seed, in one tensor `(seeds, n, n)`; or a single one."""

    def __init__(self, *shape: int):
        super().__init__()
        frames = torch.linalg.qr(torch.randn(shape, generator=draw(0)))[0]
        self.weight = nn.Parameter(frames)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.mT


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def adam(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), lr=RATE)


def plain(net: Layers) -> torch.optim.Optimizer:
    return adam(net)


def projection(make: Callable[..., torch.optim.Optimizer], lr: float) -> Callable:
    def hold(net: Layers) -> torch.optim.Optimizer:
        optimizer = make(net.parameters(), lr=lr)
        sk.hold(net, {"weight": sk.Orthogonal()}, sk.Projection(), optimizer)
        return optimizer

    return hold


def langevin(**settings: float) -> Callable[[Layers], torch.optim.Optimizer]:
    def hold(net: Layers) -> torch.optim.Optimizer:
        strategy = sk.ConstrainedLangevin(step_size=0.1, **settings)
        return sk.hold(net, {"weight": sk.Orthogonal()}, strategy).optimizer

    return hold


def torch_cayley(net: Layers) -> torch.optim.Optimizer:
    orthogonal(net, "weight", orthogonal_map="cayley")
    return adam(net)


def geotorch_with(triv: str) -> Callable[[Layers], torch.optim.Optimizer]:
    def constrain(net: Layers) -> torch.optim.Optimizer:
        geotorch.orthogonal(net, "weight", triv=triv)
        return adam(net)

    return constrain


def geoopt_with(make: Callable[..., torch.optim.Optimizer], lr: float) -> Callable:
    def constrain(net: Layers) -> torch.optim.Optimizer:
        start = net.weight.detach()
        net.weight = geoopt.ManifoldParameter(start, manifold=geoopt.EuclideanStiefel())
        return make(net.parameters(), lr=lr)

    return constrain


PLAIN = "plain Adam"
OWN: dict[str, Callable[[Layers], torch.optim.Optimizer]] = {
    PLAIN: plain,
    "sk.hold, Projection, Adam": projection(torch.optim.Adam, RATE),
    "sk.hold, Projection, SGD": projection(torch.optim.SGD, 10 * RATE),
    "sk.hold, Langevin": langevin(),
    "sk.hold, Langevin with friction": langevin(friction=1.0),
}
RIVALS: dict[str, Callable[[Layers], torch.optim.Optimizer]] = {
    "torch cayley, Adam": torch_cayley,
    "geotorch cayley, Adam": geotorch_with("cayley"),
    "geotorch expm, Adam": geotorch_with("expm"),
    "geoopt RiemannianAdam": geoopt_with(geoopt.optim.RiemannianAdam, RATE),
    "geoopt RiemannianSGD": geoopt_with(geoopt.optim.RiemannianSGD, 10 * RATE),
}
# Adam against Adam, and one plain step along the gradient against another.
KINDS = {"Adam": [name for name in RIVALS if "Adam" in name], "": ["geoopt RiemannianSGD"]}


class Side:
    """One way to train, and how far its weight has been from orthogonal."""

    def __init__(self, net: Layers, optimizer: torch.optim.Optimizer):
        self.net, self.optimizer, self.error = net, optimizer, 0.0
        shape = net.weight.shape
        self.x = torch.randn(*shape[:-2], BATCH, shape[-1], generator=draw(1))
        self.y = torch.randn(*shape[:-2], BATCH, shape[-1], generator=draw(2))

    def step(self) -> None:
        self.optimizer.zero_grad()
        # A sum over seeds, so that each has the gradient that it has alone.
        losses = (self.net(self.x) - self.y).square().mean((-2, -1))
        losses.sum().backward()
        self.optimizer.step()

    def seconds(self, repeats: int) -> float:
        self.step()  # warm caches again: the other sides have just been here
        start = thread_time()
        for _ in range(repeats):
            self.step()
        taken = (thread_time() - start) / repeats
        w = self.net.weight.detach().double()
        miss = w.mT @ w - torch.eye(w.shape[-1], dtype=w.dtype)
        self.error = max(self.error, miss.abs().max().item())
        return taken


def compare(shape: tuple[int, ...], rounds: int, repeats: int) -> None:
    """Print one table."""
    sides = {}
    for name, constrain in (OWN | RIVALS).items():
        net = Layers(*shape)
        sides[name] = Side(net, constrain(net))
    taken: dict[str, list[float]] = {name: [] for name in sides}
    order = random.Random(0)
    for side in sides.values():
        side.seconds(repeats)
    for _ in range(rounds):
        for name in order.sample(list(sides), len(sides)):
            taken[name].append(sides[name].seconds(repeats))
    report(shape, taken, {name: side.error for name, side in sides.items()})


def report(shape: tuple[int, ...], taken: dict[str, list[float]], errors: dict[str, float]) -> None:
    print(f"\nWeight {' x '.join(map(str, shape))}, batch {BATCH}")
    print(f"{'':32}{'ms per step':>12}{'ratio':>8}{'middle half':>16}{'error':>10}")
    ratios = {}
    for name, times in taken.items():
        each = [t / base for t, base in zip(times, taken[PLAIN], strict=True)]
        low, _, high = quantiles(each, n=4)
        ratios[name] = median(each)
        print(
            f"{name:32}{1e3 * median(times):12.3f}{ratios[name]:8.2f}"
            f"{f'{low:.2f} – {high:.2f}':>16}{errors[name]:10.1e}"
        )
    for ours in list(OWN)[1:]:
        kind = "Adam" if "Adam" in ours else ""
        fastest = min(KINDS[kind], key=lambda name: ratios[name])
        print(f"{ours}: {ratios[fastest] / ratios[ours]:.2f} times as fast as {fastest}")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--sizes", type=int, nargs="*", default=[32, 128, 512])
    parser.add_argument("--alone", action="store_true", help="no tables for many seeds")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for n in asked.sizes:
        compare((n, n), asked.rounds, repeats=max(4, 100 * 32 // n))
    for n in [] if asked.alone else asked.sizes:
        if n <= 128:  # the slowest peer would take minutes a step
            compare((SEEDS, n, n), asked.rounds, repeats=max(2, 10 * 32 // n))


if __name__ == "__main__":
    main()
