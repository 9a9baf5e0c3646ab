"""Training on two processes; `python hold_processes.py FOLDER` leaves there what each ended at."""

import gc
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from hold_cells import HELD, STEPS, STRATEGIES, Cell
from torch.nn.parallel import DistributedDataParallel

import shapekeeper as sk

PROCESSES = 2


def train(strategy: str, rank: int) -> tuple[float, dict[str, Any]]:
    """The worst violation of any step, and the state of the model at the end."""
    cell = Cell("AdamW", strategy, torch.float64)
    cell.run = DistributedDataParallel(cell.model)
    for step in range(STEPS):
        # Each process takes its half of the batch; DistributedDataParallel averages.
        cell.take(step, part=slice(rank * 8, rank * 8 + 8))
    return cell.worst, cell.model.state_dict()


def words_for_a_wrapped_model() -> str:
    """What hold says when it comes too late."""
    wrapped = DistributedDataParallel(torch.nn.Sequential(torch.nn.Linear(6, 8)))
    try:
        sk.hold(wrapped, {"module.0.weight": HELD})
    except sk.HoldError as error:
        return str(error)
    return "nothing"


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    meet = f"file://{folder}/meet"
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=PROCESSES)
    end: dict[str, Any] = {strategy: train(strategy, rank) for strategy in STRATEGIES}
    end["wrapped"] = words_for_a_wrapped_model()
    torch.save(end, Path(folder) / f"end{rank}")
    # A wrapped model that outlives its group can wait for a thread that waits for it.
    gc.collect()
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.multiprocessing.spawn(work, args=(sys.argv[1],), nprocs=PROCESSES)
