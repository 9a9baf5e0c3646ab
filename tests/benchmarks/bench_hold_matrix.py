"""The worst violation that 200 steps of each optimizer leave under each strategy.

Run as `python tests/benchmarks/bench_hold_matrix.py`; `tests/test_hold_matrix.py` asserts what it
prints. A cell is the largest violation of any step, or "refused" where `hold` raises and says why.
"""

import sys
import tempfile
from pathlib import Path

import torch

import shapekeeper as sk

sys.path.insert(0, str(Path(__file__).parent.parent))
from hold_cells import (
    OF_ADAMW,
    OPTIMIZERS,
    SITUATIONS,
    STEPS,
    STRATEGIES,
    run_cell,
    run_on_two_processes,
)


def worst(optimizer: str, strategy: str, situation: str) -> str:
    try:
        return f"{run_cell(optimizer, strategy, situation).worst:g}"
    except sk.HoldError:
        return "refused"


def print_table(first: str, rows: dict[str, list[str]], columns: list[str]) -> None:
    widths = [max(map(len, rows)), *(max(7, len(column)) for column in columns)]
    for name, cells in {first: columns, **rows}.items():
        padded = [f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)]
        print(f"{name:<{widths[0]}}  {'  '.join(padded)}")


def main() -> None:
    torch.set_num_threads(1)
    print(f"Worst violation of any of {STEPS} steps (after the change, where there are stages):")
    print(f"{' | '.join(SITUATIONS)}\n")
    rows = {
        optimizer: [" | ".join(worst(optimizer, s, how) for how in SITUATIONS) for s in STRATEGIES]
        for optimizer in OPTIMIZERS
    }
    rows = {
        name: [c.replace("refused | refused", "refused") for c in r] for name, r in rows.items()
    }
    print_table("", rows, list(STRATEGIES))
    with tempfile.TemporaryDirectory() as folder:
        ends = run_on_two_processes(Path(folder))
    rows = {how: [worst("AdamW", s, how) for s in STRATEGIES] for how in OF_ADAMW[:-1]}
    rows[OF_ADAMW[-1]] = [f"{max(end[s][0] for end in ends):g}" for s in STRATEGIES]
    print_table("\nAdamW", rows, list(STRATEGIES))


if __name__ == "__main__":
    main()
