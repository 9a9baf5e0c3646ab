"""Training steps of the blocked layout against dense weights times a mask.

Run it: `python tests/benchmarks/bench_layouts.py`. One thread; all sides take turns in every round,
and medians over rounds are shown. A step is forward, backward and Adam on a batch of 64.
"""

from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter

import networkx as nx
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shapekeeper.networks import compile_network
from shapekeeper.regions import Pathway, Region, RegionGraph

BATCH, FEATURES, CLASSES = 64, 64, 10


class MaskedRecurrent(nn.Module):
    """What one writes by hand: the weight times the mask, in every forward pass."""

    def __init__(self, mask: Tensor, steps: int, masked: bool = True):
        super().__init__()
        self.steps, self.masked = steps, masked
        self.register_buffer("mask", mask.float())
        self.cell = nn.Linear(*mask.shape)
        self.inward = nn.Linear(FEATURES, 64, bias=False)
        self.outward = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.cell.weight * self.mask if self.masked else self.cell.weight
        seen = self.inward(x)
        drive = F.pad(seen, (0, len(weight) - seen.shape[1])) + self.cell.bias
        h = torch.relu(drive)
        for _ in range(self.steps - 1):
            h = torch.relu(F.linear(h, weight) + drive)
        return self.outward(h[:, -64:])


class MaskedLayers(nn.Module):
    """Layer by layer, each reading all layers before it through a weight times a mask."""

    def __init__(self, mask: Tensor, widths: list[int], masked: bool = True):
        super().__init__()
        self.widths, self.masked = widths, masked
        ends = np.cumsum([0, *widths]).tolist()
        spans = [slice(*ends[i : i + 2]) for i in range(len(widths))]
        self.inward = nn.Linear(FEATURES, widths[0])
        self.outward = nn.Linear(widths[-1], CLASSES)
        self.own = nn.ModuleList(nn.Linear(n, n, bias=False) for n in widths)
        self.lower = nn.ModuleList(
            nn.Linear(end, n) for end, n in zip(ends[1:-1], widths[1:], strict=True)
        )
        for i, span in enumerate(spans):
            self.register_buffer(f"own_mask_{i}", mask[span, span].float())
            self.register_buffer(f"lower_mask_{i}", mask[span, : span.start].float())

    def weight(self, kind: str, i: int) -> Tensor:
        weight = (self.own[i] if kind == "own" else self.lower[i - 1]).weight
        return weight * getattr(self, f"{kind}_mask_{i}") if self.masked else weight

    def forward(self, x: Tensor) -> Tensor:
        z, seen = self.inward(x), []
        for i in range(len(self.widths)):
            if i:
                before = torch.cat(seen, 1)
                z = F.linear(before, self.weight("lower", i), self.lower[i - 1].bias)
            seen.append(torch.relu(z + F.linear(torch.relu(z), self.weight("own", i))))
        return self.outward(seen[-1])


def recurrent_graph(regions: int, size: int, share: float, seed: int = 0) -> RegionGraph:
    """So many regions in a ring of pathways, and more at random, until `share` of blocks is open."""
    draws = np.random.default_rng(seed)
    names = [f"r{i}" for i in range(regions)]
    ring = [(i, (i + 1) % regions) for i in range(regions)]
    others = [
        (i, j) for i in range(regions) for j in range(regions) if i != j and (i, j) not in ring
    ]
    more = round(share * regions**2) - 2 * regions
    pairs = ring + [others[k] for k in draws.permutation(len(others))[:more]]
    return RegionGraph(
        [
            Region(name, size, input=i == 0, output=i == regions - 1)
            for i, name in enumerate(names)
        ],
        [Pathway(names[i], names[j]) for i, j in pairs],
    )


def layered_graph(layers: int, width: int, size: int, share: float, seed: int = 0) -> RegionGraph:
    """Layers of regions; each hears one of the layer before it and, at random, others below."""
    draws = np.random.default_rng(seed)
    regions = [
        Region(f"{layer}.{i}", size, input=layer == 0, output=layer == layers - 1)
        for layer in range(layers)
        for i in range(width)
    ]
    pairs = {(f"{n - 1}.{i}", f"{n}.{i}") for n in range(1, layers) for i in range(width)}
    rest = [
        (a.name, b.name)
        for k, b in enumerate(regions)
        for a in regions[: k // width * width]
        if (a.name, b.name) not in pairs
    ]
    readable = len(regions) + len(pairs) + len(rest)
    more = max(0, round(share * readable) - len(regions) - len(pairs))
    pairs |= {rest[k] for k in draws.permutation(len(rest))[:more]}
    return RegionGraph(regions, [Pathway(*pair) for pair in sorted(pairs)])


def training_step(net: nn.Module, x: Tensor, y: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


def milliseconds(sides: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Medians of one step; every round runs each side for about as long."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    repeats = {}
    for name, step in sides.items():
        step()
        start = perf_counter()
        step()
        repeats[name] = max(1, round(0.05 / (perf_counter() - start)))
    for _ in range(rounds):
        for name, step in sides.items():
            step()
            start = perf_counter()
            for _ in range(repeats[name]):
                step()
            taken[name].append(1e3 * (perf_counter() - start) / repeats[name])
    return {name: median(times) for name, times in taken.items()}


def report(title: str, graph: RegionGraph, by_hand: Callable[..., nn.Module], steps: int | None):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(BATCH, FEATURES, generator=generator)
    y = torch.randint(CLASSES, (BATCH,), generator=generator)
    build = partial(compile_network, graph, FEATURES, CLASSES, steps=steps)
    nets = {
        "W * mask by hand": by_hand(masked=True),
        "plain dense by hand": by_hand(masked=False),
        "dense": build(layout="dense"),
        "blocked": build(layout="blocked"),
    }
    times = milliseconds({n: training_step(net, x, y) for n, net in nets.items()}, rounds=9)
    plan = nets["blocked"].plan
    work = plan.multiply_adds / nets["dense"].plan.multiply_adds
    print(f"\n{title}: {graph.units} units, {len(graph.regions)} regions, "
          f"{100 * plan.share_open:.1f} % open, {100 * work:.1f} % of multiply-adds left")
    print(f"{'':22}{'ms per step':>12}{'of W * mask':>14}{'times faster':>14}")
    reference = times["W * mask by hand"]
    for name, time in times.items():
        print(f"{name:22}{time:12.2f}{100 * time / reference:12.1f} %{reference / time:14.1f}")
    print(f"auto takes {build(layout='auto').layout}")
    return times


def main() -> None:
    torch.set_num_threads(1)
    for steps in (2, 5):
        graph = recurrent_graph(32, 64, share=0.10)
        products = "1 product" if steps == 2 else f"{steps - 1} products"
        report(f"recurrent, {products} with W", graph,
               partial(MaskedRecurrent, graph.mask(), steps), steps)


if __name__ == "__main__":
    main()
