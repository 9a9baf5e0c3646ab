"""What is held, how well, and what else moves it: a small table."""

from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from shapekeeper.constraints import Connections, Constraint

from .held_output import HeldOutput
from .held_weight import HeldWeight
from .schedule import Schedule

__all__ = ["Report", "report"]

TILES = (64, 32, 16)  # smaller blocks are no faster than the whole matrix
COLUMNS = ["name", "constraint", "strategy", "guarantee", "violation", "unit", "weight decay"]
WORTH = 2**16  # entries from which the layout of a weight matters


@dataclass(frozen=True)
class Report:
    """A table with notes below it; prints as text, shows as HTML in a notebook.

    Attributes:
        frame: One row per name: constraint, strategy, guarantee, violation, unit, weight decay.
        notes: One sentence each.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        """Table, then notes."""
        return "\n".join([self.frame.to_string(), *(f"- {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return f"{self.frame.to_html()}<ul>{notes}</ul>"


def report(
    schedule: Schedule,
    weights: list[HeldWeight],
    outputs: list[HeldOutput],
    violation: dict[str, float],
) -> Report:
    """The report of one `hold`.

    Args:
        schedule: Strategy and step.
        weights: Held parameters.
        outputs: Held layers.
        violation: Name -> worst violation.

    Returns:
        The table and its notes.
    """
    hooks = schedule.hooks
    rows, notes = [], []
    for held in [*weights, *outputs]:
        c = held.constraint
        assert c is not None
        a_weight = isinstance(held, HeldWeight)
        rows.append(
            {
                "name": held.name,
                "constraint": str(c),
                "strategy": hooks.label,
                "guarantee": hooks.guarantee if a_weight else hooks.output_guarantee,
                "violation": violation[held.name],
                "unit": c.unit,
                "weight decay": _decay(held) if a_weight else "—",
            }
        )
        if a_weight:
            notes += _notes(held)
        lost = hooks.runaway(held.memory)
        if lost is not None and lost.any():
            notes.append(f"{held.name}: {hooks.runaway_words}")
    if len(schedule.parts) > 1:
        notes.append(
            f"Stage {schedule.stage + 1} of {len(schedule.parts)} at step {schedule.step} of "
            f"{schedule.steps}; stages end after steps "
            f"{', '.join(str(int(end)) for end in schedule.ends[:-1])}."
        )
    return Report(pd.DataFrame(rows, columns=COLUMNS).set_index("name"), tuple(notes))


def _notes(held: HeldWeight) -> list[str]:
    """What a reader should know about one weight."""
    notes = []
    c = held.constraint
    assert c is not None
    if c.separable and abs(held.grown - 1) > 1e-3:
        notes.append(
            f"{held.name}: at the start, what may be non-zero was scaled by {held.grown:.3g} to "
            "keep the size of what arrives; start='nearest' leaves it."
        )
    if held.moved_inside > 1e-5:
        notes.append(f"{held.name}: its start was moved inside by up to {held.moved_inside:.2g}.")
    frozen = any(part.rate * part.strategy.rate == 0.0 for part in held.schedule.parts)
    for module, _ in held.places if frozen else ():
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.track_running_stats:
            notes.append(
                f"{held.name}: running statistics are buffers and move on in training mode; "
                "Freeze on the layer's name keeps them too."
            )
    if held.charted:
        notes.append(
            f"{held.name}: named_parameters() gives the free numbers, the attribute and "
            "state_dict() what they stand for."
        )
    for module, _ in held.places:
        notes += [f"{held.name}: {note}" for note in c.notes(held.value().detach(), module)]
    return notes + (_layout(held.name, c) if isinstance(c, Connections) else [])


def _layout(name: str, c: Connections) -> list[str]:
    """Whether storing only blocks would be faster, and by how much."""
    mask = c.mask
    if mask.dim() != 2 or mask.numel() < WORTH:
        return []
    shares = {size: _share_of_tiles(mask, size) for size in TILES}
    size = min(shares, key=lambda s: shares[s])
    if shares[size] > 0.5:
        return [
            f"{name}: open weights lie all over the matrix, so projecting after each step is the "
            "cheapest exact way; no layout would be faster."
        ]
    return [
        f"{name}: only {100 * shares[size]:.0f} % of its {size}×{size} tiles hold an open weight. "
        f"A blocked layout (compile_network of a RegionGraph) would multiply "
        f"{1 / shares[size]:.1f} times fewer numbers."
    ]


def _share_of_tiles(mask: Tensor, size: int) -> float:
    """Share of tiles, counted by their entries, that hold an open weight."""
    rows, columns = mask.shape
    padded = nn.functional.pad(mask, (0, -columns % size, 0, -rows % size))
    tiles = padded.unflatten(0, (-1, size)).unflatten(2, (-1, size)).any(3).any(1)
    return tiles.float().mean().item()


def _decay(held: HeldWeight) -> str:
    """What weight decay does to a weight under its strategy."""
    decays = [
        group.get("weight_decay", 0.0)
        for optimizer in held.schedule.optimizers
        for group in optimizer.param_groups
        if any(p is held.leaf for p in group["params"])
    ]
    if not decays:
        return "no optimizer seen yet"
    strongest = max(float(decay) for decay in decays)
    return f"{strongest:g}: {_pull(held)}" if strongest else "none"


@torch.no_grad()
def _pull(held: HeldWeight) -> str:
    """Where decay pulls to."""
    c, x = held.constraint, held.value()
    assert c is not None
    if held.schedule.rate == 0.0:
        return "undone, like every step"
    if held.charted:
        return f"pulls the free numbers to 0, so the weight to {_rest(held, c)}"
    held_hard = held.hooks.guarantee == "structural"
    if held_hard and not c.separable and torch.allclose(c.project(x / 2), x):
        return "pulls to 0, and the projection brings it back"
    where = c.project(torch.zeros_like(x))
    if not where.any():
        return "pulls what is free to 0"
    if isinstance(c, Connections):
        return "pulls what is free to 0; presets stay"
    return f"pulls to 0, the nearest allowed value being {_words(where)}"


def _rest(held: HeldWeight, c: Constraint) -> str:
    """The weight that free numbers of 0 stand for."""
    zero = torch.zeros_like(held.leaf)[None]
    rest: Any = held.hooks.weights(c, zero, held.memory)[0]
    at = held.memory.get("at")
    if at is not None and torch.allclose(rest, at[0]) and rest.any():
        return "its starting point"
    return _words(rest)


def _words(x: Tensor) -> str:
    low, high = x.min().item(), x.max().item()
    return f"{low:.3g}" if low == high else f"{low:.3g} … {high:.3g}"
