"""The layers of a lattice as tensors on a device, made once for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .lattice import Lattice, Layer

__all__ = ["Table", "tables"]


@dataclass(frozen=True, eq=False)
class Table:
    """The steps of one layer, flat.

    Attributes:
        size: States and the most steps of one, `(states, fan)`.
        symbols: Number of the symbol of each step, `(states * fan,)`.
        targets: Number of the state it leads to.
        closed: Places that are filled up, `(states, fan, 1)`; None if there are none.
        dense: Whether every state has a step for every symbol, in order.
        by_symbol: Steps in the order of their symbols, and where each symbol's end.
        by_target: The same by the states that they lead to.
    """

    size: tuple[int, int]
    symbols: Tensor
    targets: Tensor
    closed: Tensor | None
    dense: bool
    by_symbol: tuple[Tensor, Tensor]
    by_target: tuple[Tensor, Tensor]


def tables(lattice: Lattice, like: Tensor) -> list[Table]:
    """The layers on the device of a tensor.

    Args:
        lattice: The words.
        like: Any tensor there.

    Returns:
        One table for each slot.
    """
    kept = lattice.copies
    if like.device not in kept:
        with torch.inference_mode(False):
            width = len(lattice.symbols)
            kept[like.device] = [_table(layer, width, like.device) for layer in lattice.layers]
    return kept[like.device]


def _table(layer: Layer, width: int, device: torch.device) -> Table:
    symbols, targets = layer.symbols.ravel(), layer.targets.ravel()
    is_open = layer.open.ravel()
    return Table(
        size=layer.symbols.shape,
        symbols=torch.from_numpy(symbols).to(device),
        targets=torch.from_numpy(targets).to(device),
        closed=None if is_open.all() else torch.from_numpy(~layer.open[..., None]).to(device),
        dense=bool(is_open.all()) and np.array_equal(layer.symbols, _all(layer, width)),
        by_symbol=_bags(symbols, is_open, width, device),
        by_target=_bags(targets, is_open, layer.states, device),
    )


def _all(layer: Layer, width: int) -> np.ndarray:
    return np.broadcast_to(np.arange(width), (len(layer.symbols), width))


def _bags(
    keys: np.ndarray, is_open: np.ndarray, count: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    order = np.argsort(np.where(is_open, keys, count), kind="stable")[: is_open.sum()]
    ends = np.concatenate([[0], np.bincount(keys[is_open], minlength=count).cumsum()])
    return torch.from_numpy(order).to(device), torch.from_numpy(ends.astype(np.int64)).to(device)
