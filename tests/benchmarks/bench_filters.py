"""How long filters take to hold: the exact nearest ones, those that are followed, the way in.

Run as `python tests/benchmarks/bench_filters.py`; `--threads 2` for more threads. The table shows
the best of some rounds, in milliseconds, for random filters far from the drawing and for allowed
ones that are 10 % off.
"""

import argparse
from collections.abc import Callable
from time import perf_counter

import torch

from shapekeeper import FilterShape
from shapekeeper.constraints.filters.interior_point import nearest
from shapekeeper.constraints.filters.symmetric import SymmetricKernels

DRAWINGS = {
    15: FilterShape.lowpass(0.2, 0.5, attenuation_db=30),
    31: FilterShape.lowpass(0.2, 0.35),
    65: FilterShape.lowpass(0.2, 0.3, attenuation_db=60),
}
COUNTS = (16, 4096)


def milliseconds(run: Callable[[], object], rounds: int) -> float:
    """The best of some rounds, after one that doesn't count."""
    run()
    took = []
    for _ in range(rounds):
        started = perf_counter()
        run()
        took.append(perf_counter() - started)
    return 1e3 * min(took)


def coordinates(kernels: SymmetricKernels, count: int, far: bool) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    set_ = kernels.coordinates
    noise = torch.randn(2, count, set_.rows.shape[1], generator=draw, dtype=torch.float64)
    if far:
        return noise[0]
    allowed = set_.ray(noise[0])
    size = torch.linalg.vector_norm(allowed, dim=-1, keepdim=True) / allowed.shape[-1] ** 0.5
    return allowed + 0.1 * size * noise[1]


def row(taps: int, count: int) -> list[float]:
    kernels = SymmetricKernels.of(DRAWINGS[taps].pieces, taps, "free")
    far, near = (coordinates(kernels, count, far) for far in (True, False))
    single, memory, rounds = near.float(), {}, 30 if count < 100 else 5
    runs = {
        "nearest, far": lambda: nearest(far, kernels.coordinates),
        "nearest, near": lambda: nearest(near, kernels.coordinates),
        "followed": lambda: kernels.tracker.track(single, memory),
        "way in": lambda: kernels.coordinates.ray(single),
    }
    return [milliseconds(run, rounds) for run in runs.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    print(
        f"{'taps':>5}{'filters':>9}{'nearest, far':>14}{'near':>9}{'followed':>10}{'way in':>8}  ms"
    )
    for taps in DRAWINGS:
        for count in COUNTS:
            far, near, followed, way_in = row(taps, count)
            print(f"{taps:>5}{count:>9}{far:>14.1f}{near:>9.1f}{followed:>10.2f}{way_in:>8.3f}")


if __name__ == "__main__":
    main()
