"""Training on two processes; `python hold_processes.py FOLDER` leaves there what each ended at."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from hold_cells import STEPS, STRATEGIES, Cell
from torch.nn.parallel import DistributedDataParallel

PROCESSES = 2


def train(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=PROCESSES
    )
    ends = {}
    for name in STRATEGIES:
        cell = Cell("AdamW", name, torch.float64)
        cell.run = DistributedDataParallel(cell.model)
        for step in range(STEPS):
            # Each process takes its half of the batch; DistributedDataParallel averages.
            cell.take(step, part=slice(rank * 8, rank * 8 + 8))
        ends[name] = (cell.worst, cell.model.state_dict())
    torch.save(ends, Path(folder) / f"end{rank}")
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.multiprocessing.spawn(train, args=(sys.argv[1],), nprocs=PROCESSES)
