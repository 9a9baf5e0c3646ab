"""Births and deaths: who is due, what it would change, and what it does to tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from shapekeeper.optimizers import SECOND_MOMENTS
from shapekeeper.randomness import generator

from .anatomy import MULTIPLIERS, Named
from .held import mixes_nodes

if TYPE_CHECKING:
    from .growing import Growing

__all__ = ["Chances", "edit"]

BLOCK = 256  # steps whose chances are one block of draws
LEAST = 0.1  # the share of what is remembered of others that is smaller than a newcomer's
# What optimizers keep of squared gradients or their sizes; all else that they keep is a momentum.
SIZES = {*SECOND_MOMENTS.values(), "sum", "max_exp_avg_sq", "exp_inf", "step_size"}


class Chances:
    """Uniform numbers of each step, a function of seed and step whoever else grows.

    Args:
        seeds: One for each run.
        nodes: How many there may be.
        areas: How many there are.
        device: Where they are needed.
    """

    def __init__(self, seeds: list[int], nodes: int, areas: int, device: torch.device) -> None:
        self.seeds, self.sizes, self.device = seeds, [nodes, nodes, areas, areas], device
        self.block, self.drawn = -1, torch.empty(0)

    def at(self, step: int) -> list[Tensor]:
        """Numbers for which spares to keep, who dies, where one is born, and where for no reason.

        Returns:
            Two times `(runs, nodes)`, two times `(runs, areas)`.
        """
        block, place = divmod(step, BLOCK)
        if block != self.block:
            shape = BLOCK, sum(self.sizes)
            each = [
                torch.rand(shape, generator=generator(seed, "growth", block), dtype=torch.float64)
                for seed in self.seeds
            ]
            self.block, self.drawn = block, torch.stack(each).to(self.device)
        return list(self.drawn[:, place].split(self.sizes, dim=1))


def edit(growing: Growing, x: Tensor, y: Tensor, h: Tensor | None) -> None:
    """Delete and add the nodes that are due, unless it would change too much.

    Args:
        growing: The runs.
        x: Inputs of the batch that was just learned from.
        y: Its targets.
        h: The activities before it.
    """
    seen = growing.seen()
    worth = growing.worth(seen)
    dying, born = _due(growing, worth)
    if not bool((dying | born).any()):
        return
    rows = (dying | born).any(1).nonzero().squeeze(1)
    batch = x[rows], y[rows], None if h is None else h[rows]
    before = _loss(growing, seen, batch, rows)
    _bury(growing, dying, rows, batch, before, worth)
    _bear(growing, born, rows, batch)


def _due(growing: Growing, worth: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes to be deleted, and places for new ones, both `(runs, nodes)`."""
    rule, alive = growing.rule, growing.alive
    keep, die, add, stray = growing.chances.at(growing.step)
    low = alive & (worth <= rule.threshold)
    idle = alive & (worth <= rule.hysteresis * rule.threshold)
    old = growing.step - growing.born >= rule.grace
    dying, born = torch.zeros_like(alive), torch.zeros_like(alive)
    for i, span in enumerate(growing.anatomy.slices.values()):
        # Which spares are kept is drawn; an area never loses its last node.
        order = torch.where(low[:, span], keep[:, span], 2.0).argsort(1).argsort(1)
        last = (low[:, span] == alive[:, span]).all(1, keepdim=True)
        spares = order < last.long().clamp_min(rule.spares)
        dying[:, span] = low[:, span] & ~spares & (die[:, span] < rule.delete) & old[:, span]
        few = idle[:, span].sum(1) < rule.spares
        wanted = (few & (add[:, i] < rule.add)) | (stray[:, i] < rule.stray)
        # Not in one step: a death raises the worth of all others a little, a birth lowers it.
        wanted &= ~dying[:, span].any(1) & ~alive[:, span].all(1)
        first = (~alive[:, span]).long().argmax(1)
        places = torch.arange(span.stop - span.start, device=alive.device)
        born[:, span] = wanted[:, None] & (places == first[:, None])
    return dying, born


def _loss(growing: Growing, seen: Named, batch: Any, rows: Tensor) -> Tensor:
    """Loss of some runs with these weights."""
    x, y, h = batch
    some = {name: value[rows] for name, value in seen.items()}
    return growing.losses(growing.effective(some), x, y, h, rows)[0]


def _admitted(growing: Growing, jump: Tensor, asked: Tensor) -> Tensor:
    """Which of the rows that ask for an edit may have it."""
    most = growing.rule.largest_jump
    fine = jump.isfinite() if most is None else jump.abs() <= most
    return fine & asked


def _bury(
    growing: Growing, dying: Tensor, rows: Tensor, batch: Any, before: Tensor, worth: Tensor
) -> None:
    if not bool(dying.any()):
        return
    alive = growing.alive & ~dying
    left = {
        name: value * growing.entries_of(name, alive, value.ndim)
        for name, value in growing.seen().items()
    }
    left = growing.held(left, alive)
    jump = _loss(growing, left, batch, rows) - before
    asked = dying[rows].any(1)
    allowed = _admitted(growing, jump, asked)
    growing.waited[rows[asked & ~allowed]] += 1
    dying = dying & torch.zeros_like(dying).index_fill_(0, rows[allowed], True)
    _note(growing, "death", dying, rows, jump, worth)
    growing.alive &= ~dying
    growing.ids[dying] = -1
    growing.settle()
    _write_mixed(growing, left, dying)


def _bear(growing: Growing, born: Tensor, rows: Tensor, batch: Any) -> None:
    if not bool(born.any()):
        return
    seen = growing.seen()
    before = _loss(growing, seen, batch, rows)
    alive = growing.alive | born
    fresh = _newborn(growing, born, alive, seen)
    jump = _loss(growing, fresh, batch, rows) - before
    asked = born[rows].any(1)
    allowed = _admitted(growing, jump, asked)
    growing.waited[rows[asked & ~allowed]] += 1
    born = born & torch.zeros_like(born).index_fill_(0, rows[allowed], True)
    if not bool(born.any()):
        return
    old = {k: growing.lives(k).expand_as(leaf).clone() for k, leaf in growing.leaves.items()}
    growing.alive |= born
    growing.born[born] = growing.step
    for row, node in born.nonzero().tolist():
        growing.ids[row, node] = growing.names[row]
        growing.names[row] += 1
    growing.settle()
    for name, leaf in growing.leaves.items():
        new = growing.lives(name).expand_as(leaf) & ~old[name]
        if bool(new.any()):
            growing.write(name, fresh[name], new)
            _remember(growing.optimizer.state[leaf], old[name], new)
    _write_mixed(growing, fresh, born)
    statistics = {name for name, _ in growing.model.named_buffers()}
    for area in growing.anatomy.areas:
        for name in {place.tensor for place in area.places(0)} & statistics:
            new = growing.anatomy.entries(name, ~born, growing.buffers[name].ndim)
            start = 1.0 if name in area.ones else 0.0
            growing.buffers[name] = torch.where(new, growing.buffers[name], start)
    _note(growing, "birth", born, rows, jump, growing.worth())


def _newborn(growing: Growing, born: Tensor, alive: Tensor, seen: Named) -> Named:
    """The weights with those of new nodes in them."""
    rule, anatomy = growing.rule, growing.anatomy
    fresh = {name: value.clone() for name, value in seen.items()}
    ones = {name for area in anatomy.areas for name in area.ones}
    for row in born.any(1).nonzero().squeeze(1).tolist():
        draws = generator(growing.seeds[row], "growth/birth", growing.step)
        for name in sorted(anatomy.owners.keys() & seen.keys()):
            value = fresh[name]
            new = anatomy.entries(name, alive[row, None], value.ndim)[0]
            new = new & ~growing.entries[name][row]
            drawn = torch.randn(value.shape[1:], generator=draws, dtype=torch.float64).to(value)
            if value.ndim == 2:
                drawn = torch.full_like(drawn, 1.0 if name in ones else 0.0)
            else:
                drawn = drawn * rule.spread
            value[row] = torch.where(new, drawn, value[row])
    # Before scaling, so that what is closed is not counted; after it, since not all sets are cones.
    fresh = _allowed(growing, fresh, alive)
    _scale_newborn(growing, fresh, born, alive)
    return _allowed(growing, fresh, alive)


def _allowed(growing: Growing, fresh: Named, alive: Tensor) -> Named:
    if growing.hooks.guarantee != "structural":
        return fresh
    nearest = {
        name: c.project(fresh[name]) * growing.anatomy.entries(name, alive, fresh[name].ndim)
        for name, c in growing.constraints.items()
    }
    return fresh | nearest


def _write_mixed(growing: Growing, tensors: Named, edited: Tensor) -> None:
    """Let all numbers of the edited runs follow where one node's bear on another's."""
    if growing.hooks.guarantee != "structural":
        return
    rows = edited.any(1)
    for name, c in growing.constraints.items():
        value = tensors[name]
        if mixes_nodes(c, name, value.ndim - 1, growing.anatomy):
            where = rows.view(-1, *[1] * (value.ndim - 1)).expand_as(value)
            growing.write(name, value, where)


def _scale_newborn(growing: Growing, fresh: Named, born: Tensor, alive: Tensor) -> None:
    """Make the incoming weights of unbounded nodes one long, and what goes out worth its due."""
    anatomy, rule = growing.anatomy, growing.rule
    for area, span in zip(anatomy.areas, anatomy.slices.values(), strict=True):
        if area.bounded or area.scaled_by:
            continue
        names = [place.tensor for place in area.places(0) if place.tensor in fresh]
        sizes = sum(anatomy.gathered(name, 0, fresh[name].square()) for name in names)
        assert isinstance(sizes, Tensor)
        inside = torch.zeros_like(born)
        inside[:, span] = born[:, span]
        factors = torch.where(inside & (sizes > 0), sizes.rsqrt(), 1)
        for name in names:
            fresh[name] *= anatomy.along(name, 0, factors, fresh[name].ndim)
    if rule.multiplied:
        lengths = growing.lengths(fresh)
        if rule.worth == "multipliers":
            for name in anatomy.readers:
                factors = torch.where(born, 1 / lengths, 1)
                fresh[name] *= anatomy.along(name, 1, factors, fresh[name].ndim)
        first = torch.full_like(lengths, rule.newborn * rule.threshold)
        fresh[MULTIPLIERS] = torch.where(born, first, fresh[MULTIPLIERS])
        return
    worth = growing.worth(fresh, alive)
    due = rule.newborn * rule.threshold / worth
    factors = torch.where(born & (worth > 0), due, 1)
    for name in anatomy.readers:
        fresh[name] *= anatomy.along(name, 1, factors, fresh[name].ndim)


def _remember(state: dict[str, Any], old: Tensor, new: Tensor) -> None:
    """Let what an optimizer keeps of squared gradients begin where it is for others.

    A newcomer's gradients are small, since it is hardly active and hardly read: as small as the
    smallest tenth of what is known, whatever the scale of the loss. From 0 each newcomer would be
    driven by noise alone, since what an optimizer has no memory of it moves at full speed; from a
    fixed number, a loss on another scale would not move it at all.
    """
    for key in SIZES & state.keys():
        value = state[key]
        for row in new.flatten(1).any(1).nonzero().squeeze(1).tolist():
            known = value[row][old[row]]
            if known.numel():
                value[row] = torch.where(new[row], known.quantile(LEAST), value[row])


def _note(
    growing: Growing, event: str, nodes: Tensor, rows: Tensor, jump: Tensor, worth: Tensor
) -> None:
    at = {row: i for i, row in enumerate(rows.tolist())}
    for row, node in nodes.nonzero().tolist():
        growing.events.append(
            {
                "seed": growing.seeds[row],
                "step": growing.step,
                "event": event,
                "area": growing.anatomy.areas[int(growing.anatomy.area[node])].name,
                "node": int(growing.ids[row, node]),
                "worth": float(worth[row, node]),
                "jump": float(jump[at[row]]),
                "age": growing.step - int(growing.born[row, node]),
            }
        )
