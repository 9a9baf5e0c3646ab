"""Langevin steps on two processes; `python langevin_processes.py FOLDER` leaves the ends there."""

import gc
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from points import Net, points
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import shapekeeper as sk

PROCESSES, STEPS = 2, 20
SETS = {"first.weight": sk.Circle(0.8), "last.weight": sk.Orthogonal()}
WALKS = {
    "without friction": sk.ConstrainedLangevin(0.1, temperature=1e-3),
    "with friction": sk.ConstrainedLangevin(0.2, temperature=1e-3, friction=0.5),
}


def train(walk: sk.ConstrainedLangevin, rank: int | None = None) -> dict[str, torch.Tensor]:
    """The state of the model at the end; each process sees its half of the data."""
    torch.manual_seed(0)
    model = Net()
    held = sk.hold(model, SETS, walk)
    run = model if rank is None else DistributedDataParallel(model)
    x, y = points().train
    mine = slice(None) if rank is None else slice(rank, None, PROCESSES)
    for _ in range(STEPS):
        held.optimizer.zero_grad()
        F.cross_entropy(run(x[mine]), y[mine]).backward()
        held.optimizer.step()
    return model.state_dict()


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    meet = f"file://{folder}/meet"
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=PROCESSES)
    torch.save({name: train(walk, rank) for name, walk in WALKS.items()}, f"{folder}/end{rank}")
    # A wrapped model that outlives its group can wait for a thread that waits for it.
    gc.collect()
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.multiprocessing.spawn(work, args=(str(Path(sys.argv[1])),), nprocs=PROCESSES)
