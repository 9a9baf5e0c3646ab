"""A small recurrent network, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import Annulus, Circle
from matplotlib.patheffects import withStroke

from ..networks import RegionNetwork
from .ink import SMALL, TINY, Ink, axes, blank, caption, points

__all__ = ["nodes"]

Names = Mapping[str, Sequence[int]]

MOST = 150  # nodes; beyond that nothing can be told apart
# Lengths in steps from place to place along a circle.
DISC = 0.4  # radius of a node whose weights all have full size
WIDTH = 0.3  # of a link with a weight of full size, where it begins
LOOP = 0.16  # the same of a ring
LEAST = 0.02  # share of full size from which on a weight is drawn
INWARD = 0.55  # how far links within a region bend to its middle
ASIDE = 0.1  # how far they bend to their left, so that two ways are two links


class Ring(NamedTuple):
    """The circle of one region.

    Attributes:
        name: Of the region.
        center: (2,).
        places: Of all nodes that have one, (places, 2).
        own: The place of each node of this network, in its order.
        names: Of these nodes.
    """

    name: str
    center: np.ndarray
    places: np.ndarray
    own: list[int]
    names: list[int]

    @property
    def radius(self) -> float:
        """Of the circle; 0 with one place."""
        return float(np.linalg.norm(self.places[0] - self.center))


def nodes(
    net: RegionNetwork,
    ax: Axes | None = None,
    *,
    ids: Names | None = None,
    stages: Sequence[Names] = (),
    limit: float | None = None,
) -> Axes:
    """Every node of a region network, on a circle for each region, and every weight between two.

    A link is wide where it begins and ends in a point (D. Holten, J. J. van Wijk 2009, A user study
    on visualizing directed edges in graphs); small weights are thin and faint. A ring is the weight
    of a node on itself, and its disc has the area of the mean size of what goes out of it, to
    nodes and to the readout alike.

    Args:
        net: Such as `Growth.models` gives, with at most 150 nodes.
        ax: Where to draw; None makes a figure.
        ids: Names of its nodes, region -> names, as `Growth.ids` gives them; they are written
            beside the nodes.
        stages: The same for other stages of the run: whoever lives in one of them keeps a place in
            this picture, clockwise by name from the top on.
        limit: The |weight| that gets full size; None: the largest between nodes. Pictures that are
            to be compared need the same limit.

    Returns:
        The axes; from place to place is about one unit.

    Raises:
        ValueError: If it is no region network, is too large, or the names are not those of its
            nodes.

    Example:
        >>> import shapekeeper as sk
        >>> ax = nodes(sk.tasks.sequences(2, units=3).start_model(0))
        >>> [disc.get_gid() for disc in ax.patches if isinstance(disc, Circle)]
        ['0', '1', '2']
    """
    _check(net, ids, stages)
    rings = _rings(net, ids, stages)
    weights = _numbers(net.weight_matrix())
    limit = limit or float(abs(weights).max(initial=0.0)) or 1.0
    shares = np.clip(weights / limit, -1, 1)
    at = np.concatenate([ring.places[ring.own] for ring in rings])
    middles = np.concatenate([np.tile(ring.center, (len(ring.own), 1)) for ring in rings])
    discs = DISC * np.sqrt(np.minimum(_outgoing(net) / limit, 1))
    reach = 1.2 if len(rings) == 1 else 1.9  # beyond the circles there are words
    low = np.min([ring.center - ring.radius - reach for ring in rings], axis=0)
    high = np.max([ring.center + ring.radius + reach for ring in rings], axis=0)
    ax = axes(ax, *_inches(*(high - low)))
    blank(ax)
    ax.margins(0)
    ax.update_datalim([low, high])
    ax.autoscale_view()
    ax.set_aspect("equal", adjustable="datalim")  # so the caption has the whole width
    _links(ax, shares, at, middles, discs)
    names = [str(name) for ring in rings for name in ring.names]
    for place, disc, loop, name in zip(at.tolist(), discs, shares.diagonal(), names, strict=True):
        _node(ax, place, disc, loop, name)
    for ring in rings:
        _words(ax, ring, named=ids is not None, alone=len(rings) == 1)
    faint = (shares != 0) & (abs(shares) < LEAST)
    caption(
        ax,
        f"A link ends in a point. Blue: above 0, orange: below. Full width: {limit:.3g}"
        f"{f'; below {LEAST * limit:.1g}: not drawn' * bool(faint.any())}.",
        "Disc: mean |weight| going out. Ring: weight on itself.",
    )
    return ax


def _check(net: RegionNetwork, ids: Names | None, stages: Sequence[Names]) -> None:
    if not isinstance(net, RegionNetwork):
        raise ValueError(
            f"Wanted a RegionNetwork, got {type(net).__name__}; the weights of a layer are drawn "
            "by matrix."
        )
    if net.graph.units > MOST:
        raise ValueError(
            f"Wanted at most {MOST} nodes, got {net.graph.units}; matrix draws larger networks."
        )
    if stages and ids is None:
        raise ValueError(
            "Wanted ids of this network too, got only those of stages to compare it with."
        )
    sizes = {region.name: region.size for region in net.graph.regions}
    given = sizes if ids is None else {name: len(set(names)) for name, names in ids.items()}
    if given != sizes:
        raise ValueError(
            f"Wanted as many names as there are nodes, {sizes}, got {given}; take models and ids "
            "of the same step and the same run."
        )


def _numbers(weights: torch.Tensor) -> np.ndarray:
    return weights.detach().cpu().double().numpy()


def _rings(net: RegionNetwork, ids: Names | None, stages: Sequence[Names]) -> list[Ring]:
    """A circle for each region; several lie on a circle of their own, the first two above."""
    graph = net.graph
    own = ids or {name: range(part.start, part.stop) for name, part in graph.slices.items()}
    all_names = [
        sorted({name for stage in (own, *stages) for name in stage.get(region, ())})
        for region in graph.names
    ]
    many = np.array([len(names) for names in all_names])
    radii = np.where(many > 1, np.maximum(many / (2 * np.pi), 0.7), 0.0)
    turn = np.pi / 2 + np.pi / len(radii)
    wide = 0.0
    if len(radii) > 1:
        wide = (radii + np.roll(radii, 1)).max() + 2.6
        wide /= 2 * np.sin(np.pi / len(radii))
    centers = wide * _around(len(radii), turn)
    return [
        Ring(
            region,
            center,
            center + radius * _around(len(names), np.pi / 2),
            [names.index(name) for name in own[region]],
            list(own[region]),
        )
        for region, center, radius, names in zip(
            graph.names, centers, radii, all_names, strict=True
        )
    ]


def _around(many: int, start: float) -> np.ndarray:
    """Clockwise on the unit circle, (many, 2)."""
    angles = start - 2 * np.pi * np.arange(many) / many
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def _outgoing(net: RegionNetwork) -> np.ndarray:
    """Mean size of what goes out of each node, averaged over the tensors that read it."""
    means = abs(_numbers(net.weight_matrix())).mean(0)
    heard = [net.graph.slices[region.name] for region in net.graph.regions if region.output]
    read = np.concatenate([np.r_[span] for span in heard])
    means[read] = (means[read] + abs(_numbers(net.output_weight)).mean(0)) / 2
    return means


def _inches(width: float, height: float) -> tuple[float, float]:
    scale = min(5.0 / height, 7.4 / width, 0.6)
    return max(scale * width, 4.4), scale * height + 0.7


def _links(
    ax: Axes, shares: np.ndarray, at: np.ndarray, middles: np.ndarray, discs: np.ndarray
) -> None:
    """Every weight from one node to another, the largest on top."""
    ink = Ink.of(ax)
    pairs = np.argwhere((abs(shares) >= LEAST) & ~np.eye(len(shares), dtype=bool))
    sizes = shares[pairs[:, 0], pairs[:, 1]]
    order = np.argsort(abs(sizes), kind="stable")
    shapes, colors = [], []
    for (target, source), share in zip(pairs[order].tolist(), sizes[order].tolist(), strict=True):
        within = (middles[target] == middles[source]).all()
        half = (at[source] + at[target]) / 2
        bend = INWARD * (middles[source] - half) if within else np.zeros(2)
        gap = float(discs[target]) + 0.08
        shapes.append(_wedge(at[source], at[target], half + bend, gap, WIDTH * abs(share)))
        colors.append(_shade(ink, share))
    ax.add_collection(PolyCollection(shapes, facecolors=colors, linewidths=0, zorder=2))


def _shade(ink: Ink, share: float) -> tuple[float, float, float, float]:
    return to_rgba(ink.sink if share > 0 else ink.source, 0.1 + 0.8 * abs(share))


def _wedge(
    start: np.ndarray, end: np.ndarray, control: np.ndarray, gap: float, width: float
) -> np.ndarray:
    """The outline of a curve that begins wide, and ends in a point before it reaches its end."""
    way = end - start
    control = control + ASIDE * np.array([-way[1], way[0]])
    t = np.linspace(0, 1, 25)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end
    curve = curve[np.linalg.norm(curve - end, axis=1) >= gap]
    along = np.gradient(curve, axis=0)
    left = np.stack([-along[:, 1], along[:, 0]], 1) / np.linalg.norm(along, axis=1)[:, None]
    half = width / 2 * np.linspace(1, 0, len(curve))[:, None] * left
    return np.concatenate([curve + half, (curve - half)[::-1]])


def _node(ax: Axes, at: tuple[float, float], disc: float, loop: float, name: str) -> None:
    """A disc, and a ring around it if it has a weight on itself."""
    ink = Ink.of(ax)
    ax.add_patch(Circle(at, max(disc, 0.05), color=ink.ink, linewidth=0, zorder=4, gid=name))
    if abs(loop) >= LEAST:
        wide = LOOP * abs(loop)
        style = {"color": _shade(ink, loop), "linewidth": 0, "zorder": 3}
        ax.add_patch(Annulus(at, disc + 0.05 + wide, wide, **style))


def _words(ax: Axes, ring: Ring, named: bool, alone: bool) -> None:
    """Names of nodes outside, that of the region inside; a dot where nobody lives yet or still."""
    ink = Ink.of(ax)
    free = np.delete(ring.places, ring.own, axis=0)
    ax.plot(*free.T, ".", color=ink.mix(0.35), markersize=3, zorder=1)
    unit = min(np.array(points(ax)) / np.ptp([ax.get_xlim(), ax.get_ylim()], axis=1))
    halo = [withStroke(linewidth=2.5, foreground=ink.paper)]
    style = {"ha": "center", "va": "center", "zorder": 5, "path_effects": halo}
    for place, name in zip(ring.places[ring.own], ring.names, strict=True):
        out = (place - ring.center) / (ring.radius or 1.0)
        if named and unit > TINY:
            x, y = place + 0.85 * (out if ring.radius else np.array([0, 1]))
            ax.text(x, y, str(name), fontsize=TINY - 1, color=ink.soft, **style)
    if not alone:
        x, y = ring.center
        y += (ring.radius + 1.5) * (1 if y > -1e-9 else -1)
        ax.text(x, y, ring.name, fontsize=SMALL, weight="bold", color=ink.ink, **style)
