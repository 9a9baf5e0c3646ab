"""Means that constrained Langevin dynamics samples, against laws whose means are known.

Run as `python tests/benchmarks/bench_sampler.py` (about a quarter of an hour on one core);
`--markdown` prints a table for a page, `--only sphere,frame` is for targets with one of these in
their name, and `--effort 4` samples four times as long. Chains begin in the law itself and settle
in that of the scheme.

Every target is sampled at three steps, each half of the one before. *Off* is the bias of the mean,
with the standard error of independent chains; *scheme* the bias that the scheme has by its own law,
where that was computed without sampling. *At step 0* is the mean of a polynomial through the three,
in h without friction and in h^2 with it, with its distance from the exact mean in standard errors.
*Order* is the slope of the bias in a logarithmic plot, between the first two and the last two
steps, where both biases are ten standard errors or more, or of the biases of the scheme's own law,
in brackets. Orders of 1 without and 2 with friction are those of the schemes as h goes to 0. Where
every step has the exact law, no order can be seen.
"""

import argparse
import sys
from pathlib import Path
from time import perf_counter

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, it sees this folder alone

from targets import FRICTION, PREDICTED, TARGETS, extrapolated, mean, sample, slopes

HEAD = ["target", "friction", "exact", "h", "off", "scheme", "at step 0", "order"]
CHAINS = {"frame": 2000, "rotation": 2000, "sphere, 10": 4000}
TIMES = {"with": 400.0, "without": 150.0}
SETTLE = 6.0
WORST = 0.003  # standard error, as a share of the exact mean


def main() -> None:
    given = argparse.ArgumentParser()
    given.add_argument("--markdown", action="store_true", help="a table for a page")
    given.add_argument("--only", default="", help="parts of names of targets, with commas between")
    given.add_argument("--effort", type=float, default=1.0, help="factor on the time sampled")
    chosen = given.parse_args()
    torch.set_num_threads(1)
    put(HEAD, chosen.markdown)
    if chosen.markdown:
        put(["---"] * len(HEAD), True)
    started, misses = perf_counter(), []
    for name in TARGETS:
        for damping in ("without", "with"):
            if any(part in name for part in chosen.only.split(",")):
                misses += measure(name, damping, chosen.effort, chosen.markdown)
    print(f"\n{perf_counter() - started:.0f} s; misses: {misses or 'none'}")


def measure(name: str, damping: str, effort: float, markdown: bool) -> list[str]:
    """Print the rows of a target under one damping; what is not as it should be."""
    target, predict = TARGETS[name], PREDICTED.get((name, damping))
    friction = FRICTION if damping == "with" else None
    chains = next((n for kind, n in CHAINS.items() if name.startswith(kind)), 8000)
    steps = [target.steps[damping == "with"] / 2**i for i in range(3)]
    time = TIMES[damping] * effort
    found = [
        mean(sample(target, h, friction, chains, time, SETTLE, seed=i)) for i, h in enumerate(steps)
    ]
    order = 2 if friction else 1
    end, error = extrapolated(steps, found, order)
    away = (end - target.exact) / error
    seen = orders(found, target.exact)
    if predict and damping not in target.exactly:
        of_law = slopes([(predict(h), 0.0) for h in steps], target.exact)
        seen = [f"{s} ({slope:.2f})" for s, (slope, _) in zip(seen, of_law, strict=True)]
    last = [f"{end:.5f} ({away:+.1f})", "; ".join(seen)]
    for i, (h, (m, e)) in enumerate(zip(steps, found, strict=True)):
        scheme = target.exact if damping in target.exactly else predict and predict(h)
        words = "" if scheme is None else f"{scheme - target.exact:+.5f}"
        put(
            [
                *([name, damping, f"{target.exact:.5f}"] if i == 0 else [""] * 3),
                f"{h:g}",
                f"{m - target.exact:+.5f} ± {e:.5f}",
                words,
                *(last if i == 2 else [""] * 2),
            ],
            markdown,
        )
    misses = [f"{name} {damping}: {away:+.1f} standard errors"] if abs(away) > 3 else []
    if max(e for _, e in found) > WORST * target.exact:
        misses.append(f"{name} {damping}: a standard error above {WORST:.1%}")
    return misses


def orders(found: list[tuple[float, float]], exact: float) -> list[str]:
    """Those that can be seen."""
    seen = [all(abs(m - exact) >= 10 * e for m, e in found[i : i + 2]) for i in range(2)]
    pairs = zip(slopes(found, exact), seen, strict=True)
    return [f"{slope:.2f} ± {error:.2f}" if ok else "—" for (slope, error), ok in pairs]


def put(cells: list[str], markdown: bool) -> None:
    """One row."""
    if markdown:
        print(f"| {' | '.join(cells)} |", flush=True)
        return
    widths = (16, 9, 9, 8, 21, 10, 17, 1)
    padded = (cell.ljust(w) for cell, w in zip(cells, widths, strict=True))
    print("".join(padded).rstrip(), flush=True)


if __name__ == "__main__":
    main()
