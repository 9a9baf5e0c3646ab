"""What a training is, as named tensors and plain data: checkpoints hold it, and workers send it."""

from typing import Any

import torch
from torch import Tensor

from .program import Named
from .training import Training

__all__ = ["restore", "state_of"]

Record = dict[str, Any]


@torch.no_grad()
def state_of(part: Training) -> tuple[Named, Record]:
    """Everything from which a training goes on to the same numbers.

    Args:
        part: Between two steps.

    Returns:
        Tensors by name on the CPU (`leaf/…`, `buffer/…`, `memory/…`, `output/…`, `optimizer/…`,
        `evolution/…`, `run/…`), and the rest as plain data.
    """
    tensors = {f"run/{name}": getattr(part, name) for name in ("alive", "peak", "loss_sum")}
    record: Record = {name: getattr(part, name) for name in _PLAIN}
    if part.index >= 0:
        tensors |= {f"leaf/{name}": leaf for name, leaf in part.handles.items()}
        tensors |= {f"buffer/{name}": buffer for name, buffer in part.buffers.items()}
        tensors |= _flat("memory", part.memory) | _flat("output", part.output_memory)
    # Only what evolves has these.
    record |= {name: value for name in _OF_EVOLUTION if any(value := getattr(part, name))}
    if part.evolution is not None:
        state, record["evolution"] = part.evolution.state()
        tensors |= {f"evolution/{name}": tensor for name, tensor in state.items()}
    if part.optimizer is not None:
        record["moving"], record["optimizer"] = part.moving, []
        for i, slab in enumerate(part.slabs):
            kept = part.optimizer.state.get(slab.tensor, {})
            inside = {k: v for k, v in kept.items() if isinstance(v, Tensor)}
            tensors |= {f"optimizer/{i}/{key}": value for key, value in inside.items()}
            plain = {k: v for k, v in kept.items() if k not in inside}
            on_cpu = [k for k, v in inside.items() if v.device.type == "cpu"]
            record["optimizer"].append({"plain": plain, "on_cpu": on_cpu})
    return {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, record


@torch.no_grad()
def restore(part: Training, tensors: Named, record: Record) -> None:
    """Make a fresh training what `state_of` took down.

    Args:
        part: As it was made then, with nothing trained.
        tensors: What `state_of` gave.
        record: The same.

    Raises:
        KeyError: If a tensor is missing.
        RuntimeError: If one has another shape.
    """
    moved = {name: tensor.to(part.device) for name, tensor in tensors.items()}
    if record["index"] >= 0:
        part.enter(record["index"])
        if "moving" in record:
            part.arm(record["moving"])
        _fill(part.handles, _under("leaf", moved))
        part.buffers = {name: moved[f"buffer/{name}"] for name in part.buffers}
        for kind, memory in (("memory", part.memory), ("output", part.output_memory)):
            for name in memory:
                memory[name] = _under(f"{kind}/{name}", moved)
        for i, kept in enumerate(record.get("optimizer", [])):
            assert part.optimizer is not None
            inside = _under(f"optimizer/{i}", moved)
            # An optimizer keeps its count of steps on the CPU unless it is told otherwise.
            inside |= {k: tensors[f"optimizer/{i}/{k}"] for k in kept["on_cpu"]}
            if inside or kept["plain"]:
                part.optimizer.state[part.slabs[i].tensor] = inside | kept["plain"]
        if part.evolution is not None:
            part.evolution.restore(_under("evolution", tensors), record["evolution"])
    for name in ("alive", "peak", "loss_sum"):
        setattr(part, name, moved[f"run/{name}"])
    for name in _OF_EVOLUTION:
        setattr(part, name, record.get(name, getattr(part, name)))
    for name in _PLAIN:
        setattr(part, name, record[name])


_PLAIN = ("step", "index", "loss_steps", "seconds", "history", "notes")
_OF_EVOLUTION = ("extra", "tallies")


def _flat(kind: str, memories: dict[str, Named]) -> Named:
    return {f"{kind}/{n}/{key}": t for n, memory in memories.items() for key, t in memory.items()}


def _under(prefix: str, tensors: Named) -> Named:
    """Tensors whose names begin so, by the rest of their name; weights have no "/" in theirs."""
    start = f"{prefix}/"
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def _fill(into: Named, tensors: Named) -> None:
    for name, tensor in into.items():
        tensor.copy_(tensors[name])
