"""What constrained Langevin dynamics samples: laws that are known, and the biases of its schemes.

Every seed is fixed: a bound in standard errors is passed or missed for good.
"""

from math import pi, sqrt, tanh

import numpy as np
import pytest
import torch
from scipy.stats import kstest, vonmises
from targets import (
    BAND,
    DOUBLE,
    FRICTION,
    GRID,
    PREDICTED,
    PULL,
    STIFF,
    TAPS,
    TARGETS,
    WIRES,
    extrapolated,
    law_of_turns,
    law_with_momenta,
    mean,
    sample,
    slopes,
    walked,
)
from torch import Tensor

import shapekeeper as sk

CHAINS = {"without": 2000, "with": 300}  # of matrices, each of which takes longer than a vector
TIME = {"without": 6.0, "with": 40.0}
dampings = pytest.mark.parametrize("damping", ["without", "with"])
UNLIKELY = 1e-3  # chance of a sample at least as odd, if all is well


def friction(damping: str) -> float | None:
    return FRICTION if damping == "with" else None


def steps_of(name: str, damping: str) -> list[float]:
    return [TARGETS[name].steps[damping == "with"] / 2**i for i in range(3)]


def found(name: str, damping: str, step: float, effort: float = 1.0, seed: int = 0):
    """Mean and standard error of the scheme's own law."""
    chains = CHAINS[damping] if name.startswith(("frame", "rotation")) else 2000
    time, settle = effort * TIME[damping], 3.0
    return mean(sample(TARGETS[name], step, friction(damping), chains, time, settle, seed))


@dampings
@pytest.mark.parametrize("name", TARGETS)
def test_the_mean_at_step_0_is_that_of_the_law(name, damping):
    """The dynamics samples the law; how far a step is off is seen in its dependence on the step."""
    steps, target = steps_of(name, damping), TARGETS[name]
    means = [found(name, damping, h, seed=i) for i, h in enumerate(steps)]
    end, error = extrapolated(steps, means, order=2 if damping == "with" else 1)
    assert error < 0.04 * target.exact, "or it shows nothing"
    assert abs(end - target.exact) < 4 * error


@pytest.mark.parametrize(("name", "damping"), PREDICTED)
def test_the_mean_at_a_large_step_is_that_of_the_scheme(name, damping):
    """Its law was computed on a grid, or is known; mostly it is far from that of the dynamics."""
    step = steps_of(name, damping)[0]
    m, error = found(name, damping, step, effort=2)
    assert abs(m - PREDICTED[name, damping](step)) < 4 * error
    assert error < 0.01 * m


@pytest.mark.parametrize(
    ("name", "damping"), [(n, d) for n, t in TARGETS.items() for d in t.exactly]
)
def test_where_a_scheme_is_exact_it_is_so_at_any_step(name, damping):
    """Springs with friction: Leimkuhler and Matthews 2013, eq. 13; flat losses: every turn."""
    m, error = found(name, damping, steps_of(name, damping)[0], effort=2)
    assert abs(m - TARGETS[name].exact) < 4 * error
    assert error < 0.01 * m


@pytest.mark.parametrize(
    ("name", "damping"),
    [("sphere, 10", "without"), ("sphere, 10", "with"), ("circle, spring", "without")],
)
def test_the_bias_shrinks_as_a_power_of_the_step(name, damping):
    """Halved without friction, a quarter with it."""
    means = [found(name, damping, h, effort=4, seed=5) for h in steps_of(name, damping)[:2]]
    ((order, error),) = slopes(means, TARGETS[name].exact)
    assert error < 0.13
    assert abs(order - (2 if damping == "with" else 1)) < 3 * error + 0.1


@pytest.mark.parametrize(
    ("name", "damping", "order"),
    [
        ("circle", "without", 1),
        ("circle, spring", "without", 1),
        ("circle, spring", "with", 2),
        ("frame 2x1", "without", 1),
        ("frame 2x1", "with", 2),
        ("connections", "without", 1),
    ],
)
def test_the_laws_of_the_schemes_have_their_orders(name, damping, order):
    steps = [TARGETS[name].steps[damping == "with"] / 2**i for i in (2, 3)]
    exact = TARGETS[name].exact
    (seen, _), *_ = slopes([(PREDICTED[name, damping](h), 0.0) for h in steps], exact)
    assert abs(seen - order) < 0.12


# -- laws that stay -------------------------------------------------------------------------------


def after(name: str, damping: str, step: float, chains: int, time: float = 2.0) -> Tensor:
    """Values of chains that began in the law."""
    *_, last = walked(TARGETS[name], step, friction(damping), chains, time, seed=3)
    return last


def chance(sample: Tensor, law) -> float:
    """Of one at least as far from the law, by Kolmogorov and Smirnov."""
    return kstest(sample.flatten().numpy(), law).pvalue


def angle_by_value(x: Tensor) -> Tensor:
    """The part of the angle between -pi/2 and pi/2 that a value of a circle tells."""
    return torch.asin(x.clamp(-1, 1))


def folded(law: np.ndarray):
    """Distribution of that part, for a law of angles on the grid."""
    at = np.linspace(-pi / 2, pi / 2, 2001)
    waves = np.fft.rfft(law) / len(GRID)
    angles = np.stack([at, pi - at])
    k = np.arange(1, 100)
    terms = 2 * (waves[1:100] * np.exp(1j * angles[..., None] * k)).real.sum(-1)
    density = (waves[0].real + terms).sum(0)
    total = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return lambda x: np.interp(x, at, total / total[-1])


@pytest.mark.parametrize("step", [0.8, 0.4, 0.2])
def test_a_circle_keeps_its_law_with_friction(step):
    """The law of the scheme, which from 0.4 on nobody can tell from that of the dynamics."""
    angles = angle_by_value(after("circle", "with", step, 10_000, time=8.0))
    assert chance(angles, folded(law_with_momenta(PULL, step, FRICTION))) > UNLIKELY
    if step < 0.8:
        assert chance(angles, folded(vonmises.pdf(GRID - pi / 2, 2.0))) > UNLIKELY


@pytest.mark.parametrize("step", [0.2, 0.1, 0.05])
def test_a_circle_comes_to_the_law_of_the_scheme_without_friction(step):
    angles = angle_by_value(after("circle", "without", step, 10_000, time=4.0))
    assert chance(angles, folded(law_of_turns(PULL, step, 2 * step))) > UNLIKELY
    assert chance(angles, folded(vonmises.pdf(GRID - pi / 2, 2.0))) < 1e-5


def test_the_two_laws_of_a_circle_are_one_at_small_steps():
    exact = vonmises.pdf(GRID - pi / 2, 2.0)
    exact /= exact.sum()
    assert abs(law_of_turns(PULL, 1e-3, 2e-3) - exact).max() < 1e-3 * exact.max()
    assert abs(law_with_momenta(PULL, 0.1, FRICTION) - exact).max() < 1e-3 * exact.max()


@dampings
def test_a_flat_loss_on_a_circle_is_the_arcsine_law(damping):
    """W. Feller's: most of the time near the ends."""
    values = after("circle, flat", damping, 0.3, 10_000) / 0.5
    assert chance(values, lambda x: 0.5 + np.arcsin(x) / pi) > UNLIKELY
    assert (values.abs() > sqrt(0.5)).double().mean() == pytest.approx(0.5, abs=0.01)


def test_a_sphere_keeps_its_moments():
    """Of a von Mises and Fisher law in space: along the field, and across it."""
    x = after("sphere, 3", "with", 0.1, 40_000)
    m = 1 / tanh(2) - 1 / 2
    wanted = {
        "along": (x[:, 2], m),
        "along, squared": (x[:, 2] ** 2, 1 - m),
        "across": (x[:, 0], 0.0),
        "across, squared": (x[:, 0] ** 2, m / 2),
        "both": (x[:, 0] * x[:, 2], 0.0),
    }
    for name, (values, exact) in wanted.items():
        got, error = mean(values)
        assert abs(got - exact) < 4 * error + 1e-3, name  # 1e-3: the scheme's own bias


def test_rotations_keep_the_law_of_their_angle():
    x = after("rotation 3x3", "with", 0.1, 4000)
    cosines = ((x.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1)
    at = np.linspace(0, pi, 4001)
    total = np.cumsum((1 - np.cos(at)) * np.exp(2 * np.cos(at)))
    assert chance(torch.acos(cosines), lambda a: np.interp(a, at, total / total[-1])) > UNLIKELY
    # Any axis: the law does not change when all is turned.
    axis = torch.stack([x[:, 2, 1] - x[:, 1, 2], x[:, 0, 2] - x[:, 2, 0]], -1)
    share = axis[:, 0] / (2 * torch.sin(torch.acos(cosines)))
    assert chance(share, lambda s: (s + 1) / 2) > UNLIKELY


@dampings
def test_a_rotation_stays_a_rotation(damping):
    x = after("rotation 3x3", damping, 0.1, 500, time=10.0)
    torch.testing.assert_close(torch.linalg.det(x), torch.ones(500, dtype=DOUBLE))


@dampings
def test_a_subspace_has_the_covariance_of_its_projection(damping):
    step = 0.1
    x = torch.stack(list(walked(TARGETS["band-limited"], step, friction(damping), 4000, 4.0)))
    flat = x.reshape(-1, TAPS)
    spread = 1 / STIFF if damping == "with" else PREDICTED["band-limited", damping](step)
    wanted = spread * BAND.project(torch.eye(TAPS, dtype=DOUBLE))
    assert (flat.T @ flat / len(flat) - wanted).abs().max() < 0.02 * spread
    assert (BAND.project(flat) - flat).abs().max() < 1e-12


@dampings
def test_closed_connections_stay_closed(damping):
    closed = ~WIRES.mask
    for x in walked(TARGETS["connections"], 0.1, friction(damping), 50, 5.0):
        assert (x[:, closed] == 0).all()


def test_momenta_on_a_sphere_are_normal_along_it():
    """Free motion is a rotation, so the law of momenta is exact at any step."""
    walk, sphere = sk.ConstrainedLangevin(0.7, 0.3, 1.5), sk.Sphere(2.0)
    draw = torch.Generator().manual_seed(0)
    x, memory = walk.begin(sphere, sphere.sample((20_000, 4), draw).double())
    for _ in range(15):
        noise = torch.randn(x.shape, generator=draw, dtype=DOUBLE)
        x = walk.advance(sphere, sphere.project(x), torch.zeros_like(x), memory, noise)
    p = memory["momentum"]
    assert (p * x).sum(1).abs().max() < 1e-12
    energy, error = mean(p.square().sum(1))
    assert abs(energy - 3 * 0.3) < 4 * error
    length, error = mean(p.square().sum(1).square())
    assert abs(length - 15 * 0.3**2) < 4 * error  # of chi-squared with 3 degrees: 3 * 5
