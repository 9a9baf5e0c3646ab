"""What candidates of an evolution are worth: rows of one program, of all runs at once."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from shapekeeper.constraints import Constraint
from shapekeeper.strategies import RejectionEvolution

from .program import Named, Program

__all__ = ["Judged", "Panel", "Points"]

ROOM = 2**22  # numbers of weights and inputs that are judged at once

Points = np.ndarray  # (rows, numbers)


@dataclass
class Judged:
    """What rows of weights are worth on a batch.

    Attributes:
        loss: `(rows,)`; not finite where there is no number.
        miss: Mean violation over the events of each constraint, summed over the constraints.
        worst: The worst violation, in units of the constraints' scales.
        obeys: Whether everything is allowed.
        weights_obey: Whether the weights are.
        buffers: What layers have written to their buffers, `(rows, *shape)` by name.
    """

    loss: np.ndarray
    miss: np.ndarray
    worst: np.ndarray
    obeys: np.ndarray
    weights_obey: np.ndarray
    buffers: Named

    def rank(self, row: int) -> tuple[bool, float, float]:
        """The smaller, the better: numbers at all, what violates less, the loss."""
        miss = 0.0 if self.obeys[row] else float(self.miss[row])
        loss = float(self.loss[row])
        return not np.isfinite(loss + miss), miss, loss


class Panel:
    """Judges rows of weights: all of a population, and of all runs, as rows of one program.

    Args:
        hooks: The strategy.
        program: The model as a function of stacked tensors.
        like: What varies, `(runs, *shape)` by name: shapes, types and device.
        memory: What the strategy remembers of bound weights.
    """

    def __init__(
        self,
        hooks: RejectionEvolution,
        program: Program,
        like: Named,
        memory: dict[str, Named],
    ) -> None:
        self.hooks, self.program, self.like, self.memory = hooks, program, like, memory

    def flat(self, leaves: Named) -> Points:
        """Leaves `(runs, *shape)` as rows of numbers in double precision."""
        columns = [leaf.detach().flatten(1).double().cpu() for leaf in leaves.values()]
        return torch.cat(columns, 1).numpy()

    def leaves(self, points: Points) -> Named:
        """Rows of numbers as leaves `(rows, *shape)`."""
        sizes = [leaf[0].numel() for leaf in self.like.values()]
        columns = torch.from_numpy(points).split(sizes, 1)
        return {
            name: column.to(leaf.device, leaf.dtype).unflatten(1, leaf.shape[1:])
            if leaf.dim() > 1
            else column[:, 0].to(leaf.device, leaf.dtype)
            for column, (name, leaf) in zip(columns, self.like.items(), strict=True)
        }

    def project(self, points: Points) -> Points:
        """Rows whose bound weights are the nearest allowed ones."""
        on_weights = self.program.on_weights
        leaves = self.leaves(points).items()
        return self.flat({k: on_weights[k].project(v) if k in on_weights else v for k, v in leaves})

    def judge(
        self, runs: list[int], points: Points, buffers: Named, batch: tuple[Tensor, Tensor]
    ) -> Judged:
        """What rows are worth.

        Args:
            runs: Which run each row is of.
            points: The rows, `(rows, numbers)`.
            buffers: Of the runs; every row writes to a copy.
            batch: Inputs and targets `(runs, batch, ...)`.
        """
        each = points.shape[1] + sum(t[0].numel() for t in (*batch, *buffers.values()))
        size = max(1, ROOM // each) if self.program.batched else 1
        pieces = [
            self._judge(runs[at : at + size], points[at : at + size], buffers, batch)
            for at in range(0, len(runs), size)
        ]
        numbers = {
            name: np.concatenate([getattr(piece, name) for piece in pieces])
            for name in ("loss", "miss", "worst", "obeys", "weights_obey")
        }
        written = {name: torch.cat([piece.buffers[name] for piece in pieces]) for name in buffers}
        return Judged(**numbers, buffers=written)

    def _judge(
        self, runs: list[int], points: Points, buffers: Named, batch: tuple[Tensor, Tensor]
    ) -> Judged:
        hooks, program = self.hooks, self.program
        leaves = self.leaves(points)
        rows = torch.as_tensor(runs, device=batch[0].device)
        seen = {
            name: hooks.weights(
                program.on_weights[name],
                leaf,
                {key: kept[rows] for key, kept in self.memory[name].items()},
            )
            if name in program.on_weights
            else leaf
            for name, leaf in leaves.items()
        }
        own = {name: buffer[rows] for name, buffer in buffers.items()}
        x, y = (t[rows] for t in batch)
        loss, _, passed = program.losses(seen, own, x, y, hooks.output)
        weights = [(c, seen[name]) for name, c in program.on_weights.items()]
        layers = [(c, passed[name]) for name, c in program.on_outputs.items()]
        allowed = [_allowed(c, value) for c, value in weights + layers]
        weights_obey = _all(allowed[: len(weights)], len(runs))
        obeys = _all(allowed, len(runs))
        if hooks.inside is not None:  # what passes through it is allowed, but for its rounding
            weights_obey[:] = obeys[:] = True
        misses = [
            c.violation(value).reshape(len(runs), -1).double() / c.scale
            for c, value in weights + layers
        ]
        nothing = np.zeros(len(runs))
        miss = sum((_numpy(m.mean(1)) for m in misses), nothing)
        worst = np.stack([nothing, *(_numpy(m.amax(1)) for m in misses)]).max(0)
        lost = _numpy(loss.double())
        return Judged(lost, miss, worst, obeys & np.isfinite(lost), weights_obey, own)


def _allowed(c: Constraint, value: Tensor) -> np.ndarray:
    return _numpy(c.allows(value).reshape(len(value), -1).all(1))


def _all(allowed: list[np.ndarray], rows: int) -> np.ndarray:
    return np.all([np.ones(rows, dtype=bool), *allowed], axis=0)


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
