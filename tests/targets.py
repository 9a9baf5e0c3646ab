"""Laws on sets with a mean that is known, and many chains of `ConstrainedLangevin` on them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import pi, sqrt, tanh

import numpy as np
import torch
from scipy.integrate import quad
from scipy.special import iv, ive
from torch import Tensor

import shapekeeper as sk
from shapekeeper.constraints import Surface

DOUBLE = torch.float64
FRICTION, STIFF = 2.0, 2.0
BAND = sk.FilterShape.bandlimited(0.5, attenuation_db=30)
TAPS = 15
WIRES = sk.Connections([[1, 0, 1, 1], [0, 1, 1, 0]])


@dataclass(frozen=True)
class Target:
    """A law `exp(-V / t)` on a set, and one number measured in each chain.

    Attributes:
        constraint: The set; None for all of space.
        evenly: `(chains, generator) -> values` that are spread evenly over a set without ends.
        energy: V of each chain, `(chains,)`, above 0.
        slope: The gradient of V with respect to the values.
        measure: A number of each chain, `(chains,)`.
        exact: Its mean under the law.
        steps: The largest step without friction, and with friction; each is halved twice.
        exactly: "with" or "without" friction, where the scheme has the right mean at any step.
        draw: Values from the law, where they are not to be drawn by rejection.
    """

    constraint: sk.Constraint | None
    evenly: Callable[[int, torch.Generator], Tensor]
    energy: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    measure: Callable[[Tensor], Tensor]
    exact: float
    steps: tuple[float, float]
    temperature: float = 1.0
    exactly: tuple[str, ...] = ()
    draw: Callable[[int, torch.Generator], Tensor] | None = None

    def start(self, chains: int, generator: torch.Generator) -> Tensor:
        """Values from the law itself, by rejection from even ones."""
        if self.draw is not None:
            return self.draw(chains, generator)
        kept: list[Tensor] = []
        while sum(map(len, kept)) < chains:
            x = self.evenly(2 * chains, generator)
            chance = torch.exp(-self.energy(x) / self.temperature)
            assert chance.max() <= 1
            kept.append(x[torch.rand(len(x), generator=generator, dtype=DOUBLE) < chance])
        return torch.cat(kept)[:chains]


def walked(
    target: Target, step: float, friction: float | None, chains: int, time: float, seed: int = 0
) -> Iterator[Tensor]:
    """The values of many chains that begin in the law, after each step.

    Args:
        target: The law.
        step: h.
        friction: None for none.
        chains: How many.
        time: How far they go, in as many steps as that takes.
        seed: Of the noise.
    """
    walk = sk.ConstrainedLangevin(step, target.temperature, friction)
    generator = torch.Generator().manual_seed(seed)
    c = target.constraint
    leaf, memory = walk.begin(c, x := target.start(chains, generator))
    if isinstance(c, sk.Circle):
        memory["position"] = torch.asin(x / c.radius)  # a start would be moved away from the ends
    if friction is not None:
        surface, q = c.surface if c else Surface(), memory.get("position", leaf)
        drawn = torch.randn(leaf.shape, generator=generator, dtype=DOUBLE) * sqrt(
            target.temperature
        )
        # The first kick is a whole one, where a scheme that begins in its own law has a half.
        p = drawn + step / 2 * surface.pull(q, target.slope(leaf))
        memory["momentum"] = surface.tangent(q, p)
    for _ in range(round(time / step)):
        noise = torch.randn(leaf.shape, generator=generator, dtype=DOUBLE)
        leaf = walk.advance(c, leaf, target.slope(leaf), memory, noise)
        yield leaf


def sample(
    target: Target,
    step: float,
    friction: float | None,
    chains: int,
    time: float,
    settle: float = 0.0,
    seed: int = 0,
) -> Tensor:
    """Mean over time of what is measured, one for each chain.

    Args:
        target: The law.
        step: h.
        friction: None for none.
        chains: How many.
        time: How long each is watched.
        settle: How long they run before that, to come from the law to that of the scheme.
        seed: Of the noise.
    """
    total, skipped = torch.zeros(chains, dtype=DOUBLE), round(settle / step)
    leaves = walked(target, step, friction, chains, settle + time, seed)
    for i, leaf in enumerate(leaves):
        if i >= skipped:
            total += target.measure(leaf)
    return total / (i + 1 - skipped)


def mean(chains: Tensor) -> tuple[float, float]:
    """Mean and its standard error, from independent chains."""
    return chains.mean().item(), (chains.std() / sqrt(len(chains))).item()


def extrapolated(steps: list[float], found: list[tuple[float, float]], order: int):
    """Mean and standard error at step 0, of a polynomial in `h^order` through three means."""
    h = np.array(steps) ** order
    weights = np.array([np.prod([o / (o - x) for o in h if o != x]) for x in h])  # Lagrange's
    means, errors = np.array(found).T
    return float(weights @ means), float(np.sqrt((weights**2) @ errors**2))


def slopes(found: list[tuple[float, float]], exact: float) -> list[tuple[float, float]]:
    """The order in h seen between one step and its half, with standard error."""
    biases = [(m - exact, e) for m, e in found]
    return [
        (float(np.log2(abs(a / b))), float(np.hypot(s / a, t / b) / np.log(2)))
        for (a, s), (b, t) in pairwise(biases)
    ]


# -- the laws -------------------------------------------------------------------------------------


def on_circle(radius: float, numbers: int, count: int, draw: torch.Generator) -> Tensor:
    """Numbers whose angles are spread evenly."""
    return radius * (2 * pi * torch.rand(count, numbers, generator=draw, dtype=DOUBLE)).sin()


def directions(*shape: int) -> Callable[[int, torch.Generator], Tensor]:
    """Vectors spread evenly over the unit sphere."""

    def evenly(count: int, draw: torch.Generator) -> Tensor:
        x = torch.randn(count, *shape, generator=draw, dtype=DOUBLE)
        return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)

    return evenly


def frames(rows: int, columns: int, turned: bool = False) -> Callable:
    """Haar's measure by Gram and Schmidt; `turned` takes the half with determinant 1."""

    def evenly(count: int, draw: torch.Generator) -> Tensor:
        q, r = torch.linalg.qr(torch.randn(count, rows, columns, generator=draw, dtype=DOUBLE))
        q = q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
        if turned:
            q[..., 0] *= torch.linalg.det(q).sign().unsqueeze(-1)
        return q

    return evenly


def linear(field: Tensor, top: float) -> dict[str, Callable[[Tensor], Tensor]]:
    """`V = top - <field, x>`, top being the largest product on the set."""

    def energy(x: Tensor) -> Tensor:
        return (top + 1e-12) - (x * field).flatten(1).sum(1)

    return {"energy": energy, "slope": lambda x: (-field).expand_as(x)}


def harmonic(k: float) -> dict[str, Callable[[Tensor], Tensor]]:
    """`V = k / 2 |x|^2`."""

    def energy(x: Tensor) -> Tensor:
        return k / 2 * x.square().flatten(1).sum(1)

    return {"energy": energy, "slope": lambda x: k * x}


def along_axis(*shape: int, strength: float) -> Tensor:
    """A field in the direction of the last entry of each vector."""
    field = torch.zeros(shape, dtype=DOUBLE)
    field[..., -1] = strength
    return field


def mean_cosine(dimensions: int, strength: float) -> float:
    """Of a von Mises and Fisher law: `I_(d/2)(s) / I_(d/2 - 1)(s)`."""
    return float(iv(dimensions / 2, strength) / iv(dimensions / 2 - 1, strength))


def mean_trace_of_rotations(a: float) -> float:
    """Of `exp(a tr Q)` on rotations of space: by angle, with density `1 - cos`, over 3."""
    zero, one, two = (ive(n, 2 * a) for n in (0, 1, 2))
    cosine = (one - (zero + two) / 2) / (zero - one)
    return float(1 + 2 * cosine) / 3


def mean_trace_of_frames(a: float) -> float:
    """Of `exp(a (q11 + q22))` on two orthonormal vectors in space, over 2.

    With a third, their product, they are a rotation; by its quaternion the trace of two columns is
    `2 u cos(w)`, u from 0 to 1 and w from 0 to 2 pi, both evenly.
    """
    z = quad(lambda u: iv(0, 2 * a * u), 0, 1)[0]
    return quad(lambda u: 2 * u * iv(1, 2 * a * u), 0, 1)[0] / z / 2


def mean_square_on_circle(stiffness: float, radius: float) -> float:
    """Of w under `exp(-stiffness w^2)` with evenly spread angles, over the square of the radius."""
    weigh = [
        quad(lambda a, n=n: np.sin(a) ** n * np.exp(-stiffness * (radius * np.sin(a)) ** 2), 0, pi)
        for n in (0, 2)
    ]
    return weigh[1][0] / weigh[0][0]


def normal(scale: float, c: sk.Constraint | None, *shape: int) -> Callable:
    """Normal numbers, those of the set's tangent space."""

    def draw(count: int, generator: torch.Generator) -> Tensor:
        x = scale * torch.randn(count, *shape, generator=generator, dtype=DOUBLE)
        return x if c is None else c.project(x)

    return draw


def tall_field(rows: int, columns: int, a: float) -> Tensor:
    """a on the diagonal."""
    field = torch.zeros(rows, columns, dtype=DOUBLE)
    field.fill_diagonal_(a)
    return field


def gaussian(c: sk.Constraint | None, shape: tuple[int, ...], free: float, k: float = STIFF):
    """A Gaussian on a subspace of so many dimensions; measured is the mean square of one."""
    draw = normal(1 / sqrt(k), c, *shape)
    return Target(
        c, draw, **harmonic(k), measure=lambda x: x.square().flatten(1).sum(1) / free,
        exact=1 / k, steps=(0.1, 0.8), exactly=("with",), draw=draw,
    )  # fmt: skip


def last(x: Tensor) -> Tensor:
    """The last entry of each vector, averaged over a chain's vectors."""
    return x[..., -1].reshape(len(x), -1).mean(1)


def trace(x: Tensor) -> Tensor:
    """The mean of the diagonal."""
    return x.diagonal(dim1=-2, dim2=-1).mean(-1)


CUT = sk.Sphere() & sk.Connections([[1, 0, 1, 0, 1]])
SPRING, RADIUS = 3.0, 1.0
FLAT = {"energy": lambda x: torch.zeros(len(x), dtype=DOUBLE), "slope": torch.zeros_like}


def _in_cut(count: int, draw: torch.Generator) -> Tensor:
    x = torch.zeros(count, 1, 5, dtype=DOUBLE)
    x[..., ::2] = directions(1, 3)(count, draw)
    return x


TARGETS: dict[str, Target] = {
    "sphere, 3": Target(
        sk.Sphere(), directions(3), **linear(along_axis(3, strength=2.0), 2.0),
        measure=last, exact=1 / tanh(2) - 1 / 2, steps=(0.08, 0.8),
    ),
    "sphere, 10": Target(
        sk.Sphere(), directions(10), **linear(along_axis(10, strength=4.0), 4.0),
        measure=last, exact=mean_cosine(10, 4.0), steps=(0.04, 0.4),
    ),
    "cut sphere": Target(
        CUT, _in_cut, **linear(along_axis(1, 5, strength=2.0), 2.0),
        measure=last, exact=1 / tanh(2) - 1 / 2, steps=(0.08, 0.8),
    ),
    "circle": Target(
        sk.Circle(1.0), partial(on_circle, 1.0, 4),
        energy=lambda x: 2 * (1 - x).sum(1), slope=lambda x: torch.full_like(x, -2.0),
        measure=lambda x: x.mean(1), exact=float(iv(1, 2) / iv(0, 2)), steps=(0.2, 0.8),
    ),
    "circle, spring": Target(
        sk.Circle(RADIUS), partial(on_circle, RADIUS, 4),
        energy=lambda x: SPRING * x.square().sum(1), slope=lambda x: 2 * SPRING * x,
        measure=lambda x: x.square().mean(1), exact=mean_square_on_circle(SPRING, RADIUS),
        steps=(0.1, 0.6),
    ),
    "circle, flat": Target(
        sk.Circle(0.5), partial(on_circle, 0.5, 4), **FLAT,
        measure=lambda x: x.square().mean(1), exact=0.125, steps=(0.2, 0.8),
        exactly=("without", "with"),
    ),
    "frame 2x1": Target(
        sk.Orthogonal(), frames(2, 1), **linear(tall_field(2, 1, 2.0), 2.0),
        measure=trace, exact=mean_cosine(2, 2.0), steps=(0.06, 0.4),
    ),
    "frame 3x1": Target(
        sk.Orthogonal(), frames(3, 1), **linear(tall_field(3, 1, 2.0), 2.0),
        measure=trace, exact=mean_cosine(3, 2.0), steps=(0.06, 0.4),
    ),
    "rotation 2x2": Target(
        sk.Orthogonal(), frames(2, 2, turned=True), **linear(tall_field(2, 2, 1.0), 2.0),
        measure=trace, exact=mean_cosine(2, 2.0), steps=(0.12, 0.5),
    ),
    "rotation 3x3": Target(
        sk.Orthogonal(), frames(3, 3, turned=True), **linear(tall_field(3, 3, 1.0), 3.0),
        measure=trace, exact=mean_trace_of_rotations(1.0), steps=(0.08, 0.5),
    ),
    "frame 3x2": Target(
        sk.Orthogonal(), frames(3, 2), **linear(tall_field(3, 2, 1.5), 3.0),
        measure=trace, exact=mean_trace_of_frames(1.5), steps=(0.06, 0.4),
    ),
    "connections": gaussian(WIRES, (2, 4), 5),
    "unbound": gaussian(None, (4,), 4),
    "band-limited": gaussian(BAND, (TAPS,), 4),
}  # fmt: skip


# -- the laws of the schemes ----------------------------------------------------------------------

GRID = 2 * pi * np.arange(256) / 256


def _resting(kernel: np.ndarray) -> np.ndarray:
    """The law on the grid that a matrix of densities `[to, from]` leaves as it is."""
    kernel = kernel / kernel.sum(0)
    return np.linalg.solve(kernel - np.eye(len(GRID)) + 1 / len(GRID), np.full(256, 1 / 256))


def law_of_turns(force: np.ndarray, step: float, variance: float) -> np.ndarray:
    """Of angles that turn by `step * force` and normal noise in each step."""
    turn = GRID[:, None] - GRID - step * force
    wrapped = turn[..., None] + 2 * pi * np.arange(-4, 5)
    return _resting(np.exp(-(wrapped**2) / (2 * variance)).sum(-1))


def law_of_projected_turns(force: np.ndarray, step: float, variance: float) -> np.ndarray:
    """Of angles that go so far along the tangent, and then straight back to the circle."""
    turn = (GRID[:, None] - GRID + pi) % (2 * pi) - pi
    way = np.tan(np.where(abs(turn) < pi / 2, turn, 0))
    density = np.exp(-((way - step * force) ** 2) / (2 * variance)) * (1 + way**2)
    return _resting(np.where(abs(turn) < pi / 2, density, 0))


def law_with_momenta(
    force: np.ndarray, step: float, friction: float, turn: Callable = np.positive
) -> np.ndarray:
    """Of angles under kick, half a drift, friction and noise at temperature 1, half a drift.

    A drift turns by as much as it is long, or by what `turn` makes of that.
    """
    w = np.linspace(-9, 9, 192, endpoint=False)
    p = np.exp(-(w**2) / 2) * np.ones((len(GRID), 1))
    kept = np.exp(-friction * step)
    rub = np.exp(-((w[:, None] - kept * w) ** 2) / (2 * (1 - kept**2)))
    rub /= rub.sum(0)
    waves = np.fft.fftfreq(192, 18 / 192) * 2 * pi
    kick = np.exp(-1j * waves * step * force[:, None])
    drift = np.exp(-1j * np.fft.fftfreq(256, 1 / 256)[:, None] * turn(w * step / 2))

    def shift(p: np.ndarray, phase: np.ndarray, axis: int) -> np.ndarray:
        return np.fft.ifft(np.fft.fft(p, axis=axis) * phase, axis=axis).real

    for _ in range(round(30 / step)):
        p = shift(p, kick, 1)
        p = shift(shift(p, drift, 0) @ rub.T, drift, 0)
        p /= p.sum()
    return p.sum(1)


def by_rattle(way: np.ndarray) -> np.ndarray:
    """The turn of a way along the tangent that comes back to the circle along the old normal."""
    return np.arcsin(np.clip(way, -1, 1))  # longer ones are too rare to count here


PULL, SPRUNG = 2 * np.cos(GRID), -SPRING * np.sin(2 * GRID)  # forces on an angle a, V = -2 sin a
PREDICTED: dict[tuple[str, str], Callable[[float], float]] = {
    ("circle", "without"): lambda h: np.sin(GRID) @ law_of_turns(PULL, h, 2 * h),
    ("circle", "with"): lambda h: np.sin(GRID) @ law_with_momenta(PULL, h, FRICTION),
    ("circle, spring", "without"): lambda h: np.sin(GRID) ** 2 @ law_of_turns(SPRUNG, h, 2 * h),
    ("circle, spring", "with"): lambda h: np.sin(GRID) ** 2 @ law_with_momenta(SPRUNG, h, FRICTION),
    ("frame 2x1", "without"): lambda h: np.sin(GRID) @ law_of_projected_turns(PULL, h, 2 * h),
    ("frame 2x1", "with"): lambda h: np.sin(GRID) @ law_with_momenta(PULL, h, FRICTION, by_rattle),
    # An angle of a rotation is a length of sqrt(2): half the force, half the variance.
    ("rotation 2x2", "without"): lambda h: np.sin(GRID) @ law_of_projected_turns(PULL / 2, h, h),
    ("rotation 2x2", "with"): lambda h: (
        np.sin(GRID)
        @ law_with_momenta(PULL / sqrt(2), h, FRICTION, lambda way: by_rattle(way / sqrt(2)))
    ),
    # An autoregression: w' = (1 - h k) w + noise.
    ("unbound", "without"): lambda h: 1 / (STIFF * (1 - h * STIFF / 2)),
    ("connections", "without"): lambda h: 1 / (STIFF * (1 - h * STIFF / 2)),
    ("band-limited", "without"): lambda h: 1 / (STIFF * (1 - h * STIFF / 2)),
}
