"""Training steps of the blocked layout against dense weights times a mask.

Run it: `python tests/benchmarks/bench_layouts.py`. A step is forward, backward and Adam on a batch
of 64, in CPU time of one thread; all sides take turns in every round, medians are shown.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from statistics import median
from time import process_time

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


def recurrent_graph(regions: int, size: int, share: float, density: float = 1.0) -> RegionGraph:
    """A ring of regions with pathways added at random until `share` of all blocks is open."""
    draws = np.random.default_rng(0)
    ring = [(i, (i + 1) % regions) for i in range(regions)]
    others = [pair for pair in product(range(regions), repeat=2) if pair not in ring]
    others = [(i, j) for i, j in others if i != j]
    more = round(share * regions**2) - 2 * regions
    pairs = ring + [others[k] for k in draws.permutation(len(others))[:more]]
    last = regions - 1
    return RegionGraph(
        [Region(f"{i}", size, density, input=i == 0, output=i == last) for i in range(regions)],
        [Pathway(f"{i}", f"{j}", density) for i, j in pairs],
    )


def layered_graph(layers: int, across: int, size: int, share: float) -> RegionGraph:
    """Layers of regions in lanes, with pathways from lower layers added at random."""
    draws = np.random.default_rng(0)
    places = list(product(range(layers), range(across)))
    lanes = [((n - 1, i), (n, i)) for n, i in places if n]
    others = [(a, b) for a, b in product(places, repeat=2) if a[0] < b[0] and (a, b) not in lanes]
    more = round(share * (len(places) + len(lanes) + len(others))) - len(places) - len(lanes)
    pairs = lanes + [others[k] for k in draws.permutation(len(others))[: max(0, more)]]
    return RegionGraph(
        [Region(str(p), size, input=p[0] == 0, output=p[0] == layers - 1) for p in places],
        [Pathway(str(a), str(b)) for a, b in pairs],
    )


def training_step(net: nn.Module) -> Callable[[], None]:
    """Forward, backward and Adam on one batch, always the same."""
    draws = torch.Generator().manual_seed(0)
    x = torch.rand(BATCH, FEATURES, generator=draws)
    y = torch.randint(CLASSES, (BATCH,), generator=draws)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


def seconds(step: Callable[[], None], repeats: int) -> float:
    step()  # warm caches again: the other sides have just been here
    start = process_time()
    for _ in range(repeats):
        step()
    return (process_time() - start) / repeats


def medians(sides: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Seconds per step; in every round each side runs, for about as long as the others."""
    repeats = {name: max(1, round(0.1 / seconds(step, 1))) for name, step in sides.items()}
    taken = [{n: seconds(step, repeats[n]) for n, step in sides.items()} for _ in range(rounds)]
    return {name: median(times[name] for times in taken) for name in sides}


def report(
    title: str,
    graph: RegionGraph,
    by_hand: Callable[..., nn.Module],
    steps: int | None = None,
    rounds: int = 7,
) -> None:
    """Print one table."""
    build = partial(compile_network, graph, FEATURES, CLASSES, steps=steps)
    nets = {
        "W * mask": by_hand(masked=True),
        "plain dense": by_hand(masked=False),
        "RegionNetwork, dense": build(layout="dense"),
        "RegionNetwork, blocked": build(layout="blocked"),
    }
    times = medians({name: training_step(net) for name, net in nets.items()}, rounds)
    plans = {layout: build(layout=layout).plan for layout in ("dense", "blocked")}
    work = plans["blocked"].multiply_adds / plans["dense"].multiply_adds
    share = times["RegionNetwork, blocked"] / times["W * mask"]
    print(f"\n{title}: {graph.units} units, {len(graph.regions)} regions")
    print(f"{'':24}{'ms per step':>12}{'of W * mask':>13}{'times faster':>14}")
    for name, time in times.items():
        ratio = time / times["W * mask"]
        print(f"{name:24}{1e3 * time:12.2f}{ratio:13.3f}{1 / ratio:14.1f}")
    print(f"work left {work:.3f}, time left {share:.3f}: {share / work:.2f} times the work left;")
    print(f"layout='auto' takes {build().layout}")


def main() -> None:
    """Print all tables."""
    torch.set_num_threads(1)
    ring = recurrent_graph(32, 64, share=0.10)
    half = recurrent_graph(32, 64, share=0.10, density=0.5)
    stack = layered_graph(4, 8, 64, share=0.15)
    report("Recurrent, W used once", ring, partial(MaskedRecurrent, ring.mask(), 2), steps=2)
    report("Recurrent, W used 4 times", ring, partial(MaskedRecurrent, ring.mask(), 5), steps=5)
    report("The same, blocks half open", half, partial(MaskedRecurrent, half.mask(), 5), steps=5)
    report("Feed-forward", stack, partial(MaskedLayers, stack.mask(), 4 * [512]))


if __name__ == "__main__":
    main()
