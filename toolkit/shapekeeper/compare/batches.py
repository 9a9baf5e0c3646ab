"""Data and batches of a group of seeds, on the device that trains."""

import torch
from torch import Tensor

from shapekeeper.tasks import Data, Task

__all__ = ["Batches"]


class Batches:
    """What runs are trained on, step by step: a function of seed and step, whatever else trains.

    Args:
        task: Whose data.
        seeds: One run for each.
        device: Where the data lie.
        dtype: What floating inputs and targets become.

    Attributes:
        shared: Whether all runs see the same data.
        data: Part -> (inputs, targets), with a leading axis of runs unless shared.
    """

    def __init__(
        self, task: Task, seeds: list[int], device: torch.device, dtype: torch.dtype
    ) -> None:
        self.task, self.seeds, self.device = task, seeds, device
        data = [task.data_for(seed) for seed in seeds]
        self.shared = all(d is data[0] for d in data)
        parts = data[:1] if self.shared else data
        moved = [d.to(device, dtype) for d in parts]
        self.data = moved[0].parts if self.shared else _stacked(moved)
        self.order: tuple[int, Tensor] | None = None  # epoch, and what its batches hold
        self.last: tuple[int, tuple[Tensor, Tensor]] | None = None  # step, and its batch

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets `(runs, batch, ...)` of a step; strategies in company ask in turn."""
        if self.last is None or self.last[0] != step:
            self.last = step, self._pick(step)
        return self.last[1]

    def _pick(self, step: int) -> tuple[Tensor, Tensor]:
        x, y = self.data["train"]
        chosen = self._chosen(step, x.shape[0 if self.shared else 1])
        if not self.shared:
            runs = torch.arange(len(chosen), device=self.device)[:, None]
            return x[runs, chosen], y[runs, chosen]
        # index_select copies whole rows; indexing with a matrix is several times slower.
        picked = [t.index_select(0, chosen.flatten()).unflatten(0, chosen.shape) for t in (x, y)]
        return picked[0], picked[1]

    def _chosen(self, step: int, examples: int) -> Tensor:
        """Which examples `(runs, batch)` a step takes."""
        epoch, k = divmod(step, max(1, examples // self.task.batch_size))
        if self.order is None or self.order[0] != epoch:
            orders = [self.task.batches(seed, epoch, examples) for seed in self.seeds]
            self.order = epoch, torch.stack(orders).to(self.device)
        return self.order[1][:, k]


def _stacked(data: list[Data]) -> dict[str, tuple[Tensor, Tensor]]:
    """Parts of all runs' data with a runs axis; every part must have one size."""
    parts = [d.parts for d in data]
    return {
        name: (
            torch.stack([p[name][0] for p in parts]),
            torch.stack([p[name][1] for p in parts]),
        )
        for name in parts[0]
    }
