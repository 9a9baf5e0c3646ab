"""Laws of motion that every set without edges keeps."""

from math import pi

import pytest
import torch
from scipy import stats
from torch import Tensor

import shapekeeper as sk
from shapekeeper.constraints import Flat, Surface

MASK = torch.tensor([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 1, 1]])
SURFACES = [
    pytest.param(None, (3, 4), id="nothing binds"),
    pytest.param(sk.Circle(0.7), (3, 4), id="Circle"),
    pytest.param(sk.Sphere(1.5), (3, 4), id="Sphere"),
    pytest.param(sk.Orthogonal(), (4, 4), id="square"),
    pytest.param(sk.Orthogonal(), (5, 3), id="tall"),
    pytest.param(sk.Orthogonal(), (3, 5), id="wide"),
    pytest.param(sk.Orthogonal(4), (3, 2, 2, 2), id="kernel"),
    pytest.param(sk.Connections(MASK), (3, 4), id="Connections"),
    pytest.param(sk.Connections(MASK, fixed=MASK * torch.eye(3, 4)), (3, 4), id="presets"),
    pytest.param(sk.FilterShape.bandlimited(0.5, attenuation_db=20), (2, 15), id="band-limited"),
    pytest.param(sk.Connections(MASK) & sk.Sphere(), (3, 4), id="Connections & Sphere"),
    pytest.param(sk.Connections(MASK) & sk.Circle(0.7), (3, 4), id="Connections & Circle"),
    pytest.param(sk.Connections(MASK) & sk.Connections(MASK[2]), (3, 4), id="two Connections"),
]
EDGES = [
    sk.Box(-1, 1),
    sk.NonNegative(),
    sk.SpectralNorm(1.0),
    sk.FilterShape.lowpass(0.2, 0.5, attenuation_db=20),
    sk.Connections(MASK) & sk.Box(-1, 1),
    sk.Connections(MASK) & sk.NonNegative(),
    sk.Sphere() & sk.NonNegative(),
    sk.Connections(MASK, fixed=MASK * torch.eye(3, 4)) & sk.Circle(2.0),
    sk.Circle() & sk.Circle(2.0),
]
RUNS = 6
PACE = torch.linspace(0.2, 1.2, RUNS, dtype=torch.float64)


def normal(shape: tuple[int, ...], seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(RUNS, *shape, generator=draw, dtype=torch.float64)


def length(v: Tensor) -> Tensor:
    return v.flatten(1).norm(dim=1)


@pytest.mark.parametrize(("c", "shape"), SURFACES)
class TestMotion:
    @pytest.fixture
    def surface(self, c) -> Surface:
        return Flat() if c is None else c.surface

    @pytest.fixture
    def q(self, c, surface, shape) -> Tensor:
        x = 0.5 * normal(shape, seed=1)
        return surface.lift(x if c is None else c.project(x))

    @pytest.fixture
    def v(self, surface, q, shape) -> Tensor:
        return 0.1 * surface.tangent(q, normal(shape, seed=2))

    def test_a_position_stands_for_its_value(self, c, surface, q):
        x = surface.drop(q)
        assert c is None or c.allows(x).all()
        torch.testing.assert_close(surface.drop(surface.lift(x)), x)
        out = torch.empty_like(q)
        assert surface.drop(q, out=out) is out
        assert torch.equal(out, x)

    def test_the_tangent_part_is_a_part_at_a_right_angle(self, surface, q, shape):
        v = normal(shape, seed=3)
        along = surface.tangent(q, v)
        torch.testing.assert_close(surface.tangent(q, along), along)
        rest = v - along
        torch.testing.assert_close((rest * along).flatten(1).sum(1), torch.zeros(RUNS).double())
        torch.testing.assert_close(surface.tangent(q, rest), torch.zeros_like(v))

    @pytest.mark.parametrize("time", [0.5, 1.0, 2.0])
    def test_motion_stays_in_the_set_at_one_speed(self, c, surface, q, v, time):
        there, onward = surface.glide(q, v, time)
        assert c is None or c.allows(surface.drop(there)).all()
        torch.testing.assert_close(length(onward), length(v))
        torch.testing.assert_close(surface.tangent(there, onward), onward)

    def test_motion_leads_back(self, surface, q, v):
        there, onward = surface.glide(q, v, 0.7)
        back, home = surface.glide(there, -onward, 0.7)
        torch.testing.assert_close(surface.drop(back), surface.drop(q))
        torch.testing.assert_close(-home, v)

    def test_motion_begins_along_the_velocity(self, surface, q, v):
        h = 1e-4
        ahead, behind = (surface.glide(q, v, time)[0] for time in (h, -h))
        found = (ahead - behind) / (2 * h)
        scale = (q if surface.lift(q) is q else surface.glide(q * 0, v, 1.0)[0] / v)[:1, :1]
        wanted = v if surface.lift(q) is q else v * scale.flatten()[0]
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7)

    def test_the_pull_is_the_derivative_along_the_way(self, surface, q, v, shape):
        grad = normal(shape, seed=4)
        h = 1e-4
        ahead, behind = (surface.drop(surface.glide(q, v, time)[0]) for time in (h, -h))
        rise = (grad * (ahead - behind)).flatten(1).sum(1) / (2 * h)
        slope = (surface.pull(q, grad) * v).flatten(1).sum(1)
        torch.testing.assert_close(slope, rise, rtol=1e-6, atol=1e-7)

    def test_a_step_ends_in_the_set_close_to_where_it_aims(self, c, surface, q, v):
        end = surface.step(q, v, 0.01)
        assert c is None or c.allows(surface.drop(end)).all()
        free = surface.glide(q, v, 0.01)[0]
        assert (end - free).abs().max() <= 0.01**3

    def test_one_time_for_each_run(self, surface, q, v):
        times = PACE.view(-1, *[1] * (q.dim() - 1))
        moved, onward = surface.glide(q, v, times)
        stepped = surface.step(q, v, times)
        for i, time in enumerate(PACE.tolist()):
            one, way = surface.glide(q[i : i + 1], v[i : i + 1], time)
            torch.testing.assert_close(moved[i : i + 1], one)
            torch.testing.assert_close(onward[i : i + 1], way)
            torch.testing.assert_close(
                stepped[i : i + 1], surface.step(q[i : i + 1], v[i : i + 1], time)
            )

    @pytest.mark.parametrize("rows", [False, True])
    def test_in_place_is_the_same(self, surface, q, v, shape, rows):
        by = PACE.view(-1, *[1] * (q.dim() - 1)) if rows else 0.3
        grad, room = normal(shape, seed=5), torch.empty_like(q)
        slope = surface.tangent(q, surface.pull(q, grad))
        p = v.clone()
        surface.kick_(p, q.clone(), grad, by, room)
        torch.testing.assert_close(p, v + by * slope)
        down = q.clone()
        surface.descend_(down, grad, by, value := torch.empty_like(q))
        torch.testing.assert_close(down, surface.step(q, slope, -by))
        torch.testing.assert_close(value, surface.drop(down))
        shaken, noise = q.clone(), normal(shape, seed=6)
        surface.shiver_(shaken, grad, 0.1 * by, noise, 0.1 * by, value)
        torch.testing.assert_close(value, surface.drop(shaken))
        push = 0.1 * by * surface.tangent(q, noise) - 0.1 * by * slope
        torch.testing.assert_close(shaken, surface.step(q, push))
        moved, way = q.clone(), v.clone()
        surface.glide_(moved, way, by)
        for found, wanted in zip((moved, way), surface.glide(q, v, by), strict=True):
            torch.testing.assert_close(found, wanted)

    def test_tidy_changes_no_value(self, surface, q):
        far = surface.glide(q, torch.full_like(q, 40.0), 1.0)[0] if surface.lift(q) is not q else q
        tidied = far.clone()
        surface.tidy_(tidied)
        torch.testing.assert_close(surface.drop(tidied), surface.drop(far))


@pytest.mark.parametrize("c", EDGES, ids=str)
def test_sets_with_edges_have_no_surface(c):
    assert c.surface is None


def test_angles_do_not_grow():
    circle, far = sk.Circle(0.5), torch.tensor([0.3 + 200 * pi, -0.3 - 200 * pi, 3.0])
    circle.tidy_(far)
    torch.testing.assert_close(far, torch.tensor([0.3, -0.3, 3.0]), rtol=0, atol=1e-4)
    lost = torch.tensor([torch.nan, 200 * pi])
    circle.tidy_(lost)  # a run that has left the finite numbers leaves the others alone
    assert lost[0].isnan()
    assert abs(lost[1]) < 1e-4


def test_the_slack_completes_the_circle():
    circle = sk.Circle(0.05)
    q = torch.linspace(-20, 20, 10_001)
    off = circle.drop(q).square() + circle.slack(q).square() - circle.radius**2
    assert off.abs().max() <= 1e-6 * circle.radius**2


def test_no_number_leaves_its_range_at_any_angle():
    for radius in (0.1, 0.3, 0.7, 3.3):  # not one of them is a float32
        circle = sk.Circle(radius)
        for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
            q = torch.linspace(1.4, 1.7, 5001).to(dtype)
            assert (circle.violation(circle.drop(q)) == 0).all()


@pytest.mark.parametrize("radius", [0.0, -1.0, float("inf"), float("nan")])
def test_a_circle_needs_a_radius(radius):
    with pytest.raises(sk.ConstraintError, match="Wanted a finite radius above 0, got"):
        sk.Circle(radius)


def test_a_start_at_the_end_of_its_range_can_move():
    circle, x = sk.Circle(2.0), torch.tensor([2.0, -2.0, 0.5])
    free = circle.to_free(x).requires_grad_()
    circle.from_free(free).sum().backward()
    assert (free.grad > 0.05).all()
    moved = (circle.from_free(free) - x).abs()
    assert moved.max() <= 1e-3 * 4 + 1e-6
    assert moved[2] <= 1e-6


def test_samples_of_a_circle_follow_the_arcsine_law():
    x = sk.Circle(2.0).sample((20_000,), torch.Generator().manual_seed(0))
    law = stats.arcsine(loc=-2, scale=4)
    assert stats.kstest(x.numpy(), law.cdf).pvalue > 0.01


def test_a_long_row_of_circles_turns_as_a_short_one():
    circle, count = sk.Circle(0.5), 2**18 + 7
    draw = torch.Generator().manual_seed(0)
    q, grad = torch.randn(2, count, generator=draw).double().unbind()
    long, x = q.clone(), torch.empty_like(q)
    circle.descend_(long, grad, 0.1, x)
    for part in (slice(0, 1000), slice(2**17 - 500, 2**17 + 500), slice(count - 1000, count)):
        short, value = q[part].clone(), torch.empty(1000, dtype=torch.float64)
        circle.descend_(short, grad[part], 0.1, value)
        torch.testing.assert_close(long[part], short, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(x[part], value, rtol=1e-12, atol=1e-12)
