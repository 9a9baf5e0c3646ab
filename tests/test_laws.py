"""Laws that every constraint keeps; a new constraint joins by one row of the table."""

import pickle

import pytest
import torch
from torch import Tensor

import shapekeeper as sk
from shapekeeper import (
    Box,
    Connections,
    Constraint,
    FilterShape,
    NonNegative,
    Orthogonal,
    Signs,
    SpectralNorm,
    Sphere,
)

TALL = torch.tensor([[1, 0, 1], [0, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]])
PRESET = torch.zeros(5, 3)
PRESET[0, 2], PRESET[4, 1] = 0.5, -2.0
NARROW = PRESET / 4  # -0.5 is no number of any low precision away from an end by chance
HEARD = torch.tensor([[1, 0, 1], [0, 0, 1], [0, 1, 0], [1, 1, 0], [1, 1, 1]])  # no row is closed
DALE = torch.tensor([1, 1, -1])
MIXED = torch.tensor([[1, 0, -1], [-1, -1, 0], [0, 0, 1], [1, 1, 1], [0, 1, -1]])
INF = float("inf")
PLACES = torch.randn(9, 3, generator=torch.Generator().manual_seed(4))  # codes of any direction
CROWD = torch.randn(30, 2, generator=torch.Generator().manual_seed(5)) + 2

# constraint, shape of one event plus what broadcasts over it, name
LAWS = [
    pytest.param(Connections(TALL), (5, 3), id="Connections"),
    pytest.param(Connections(TALL, fixed=PRESET), (5, 3), id="Connections with presets"),
    pytest.param(Connections(TALL[0]), (3,), id="Connections of a bias"),
    pytest.param(Connections(TALL.expand(2, 5, 3) > 0), (2, 5, 3), id="Connections of a kernel"),
    pytest.param(Box(-1.0, 0.5), (4,), id="Box"),
    pytest.param(Box(0.25, INF), (4,), id="Box open above"),
    pytest.param(Box(-INF, -0.1), (4,), id="Box open below"),
    pytest.param(Box(0, 0.3), (4,), id="Box with an end that rounds"),
    pytest.param(NonNegative(), (4,), id="NonNegative"),
    pytest.param(sk.Circle(0.7), (4,), id="Circle"),
    pytest.param(Connections(TALL) & sk.Circle(0.3), (5, 3), id="Connections & Circle"),
    pytest.param(Signs(DALE), (5, 3), id="Signs of sources"),
    pytest.param(Signs(MIXED), (5, 3), id="Signs of weights"),
    pytest.param(Sphere(), (4,), id="Sphere"),
    pytest.param(Sphere(2.5), (3, 4), id="Sphere of another radius"),
    pytest.param(Connections(TALL) & Signs(DALE), (5, 3), id="Connections & Signs"),
    pytest.param(
        Signs(MIXED) & Connections(TALL, fixed=PRESET.abs() * MIXED), (5, 3),
        id="Signs & Connections with presets",
    ),
    pytest.param(Connections(TALL) & NonNegative(), (5, 3), id="Connections & NonNegative"),
    pytest.param(Connections(TALL) & Box(-0.1, 0.3), (5, 3), id="Connections & Box"),
    pytest.param(
        Connections(TALL, fixed=NARROW) & Box(-0.6, 0.7) & Signs(MIXED * (NARROW == 0)), (5, 3),
        id="Connections with presets & Box & Signs",
    ),
    pytest.param(Box(-0.5, 1) & Box(0.1, INF), (4,), id="Box & Box"),
    pytest.param(Connections(TALL) & Connections(TALL[4]) & Connections(MIXED > 0), (5, 3),
                 id="Connections & Connections"),
    pytest.param(Connections(HEARD) & Sphere(), (5, 3), id="Connections & Sphere"),
    pytest.param(Sphere(0.5) & NonNegative(), (4,), id="Sphere & NonNegative"),
    pytest.param(Signs(DALE) & Sphere(2.0), (5, 3), id="Signs & Sphere"),
    pytest.param(
        Connections(HEARD) & Signs(MIXED) & Sphere(), (5, 3), id="Connections & Signs & Sphere"
    ),
    pytest.param(Orthogonal(), (5, 5), id="Orthogonal"),
    pytest.param(Orthogonal(), (7, 3), id="Orthogonal, tall"),
    pytest.param(Orthogonal(), (2, 3, 6), id="Orthogonal, wide"),
    pytest.param(Orthogonal(event_dims=4), (5, 2, 2, 3), id="Orthogonal kernel"),
    pytest.param(Orthogonal(event_dims=3), (6, 2, 2), id="Orthogonal kernel, tall"),
    pytest.param(SpectralNorm(), (5, 3), id="SpectralNorm"),
    pytest.param(SpectralNorm(0.1), (4, 4), id="SpectralNorm, small"),
    pytest.param(SpectralNorm(2.0, event_dims=4), (3, 2, 2, 2), id="SpectralNorm of a kernel"),
    pytest.param(sk.Simplex(), (4,), id="Simplex"),
    pytest.param(sk.Simplex(0.5), (3, 7), id="Simplex of another total"),
    pytest.param(sk.Codebook(PLACES), (3,), id="Codebook"),
    pytest.param(sk.Codebook(CROWD), (5, 2), id="Codebook of a crowd"),
    pytest.param(sk.Codebook([[-0.5], [0.25], [1.0]]), (4, 1), id="Codebook of levels"),
    pytest.param(sk.Grammar("(ab)*c", length=5, up_to=True), (5, 4), id="Grammar"),
    pytest.param(sk.Grammar.from_words(["abc", "cab", "bca", "aaa"]), (2, 3, 3),
                 id="Grammar of words"),
    pytest.param(
        sk.Grammar.from_table(
            {("q", "0"): "q", ("q", "1"): "r", ("r", "0"): "r"}, start="q", ends="r", length=4
        ), (4, 2), id="Grammar of a table",
    ),
    pytest.param(
        sk.Grammar.from_rules(
            {"S": ["NP V"], "NP": ["dogs", "old NP"], "V": ["bark", "V loudly"]}, length=4
        ), (4, 4), id="Grammar of rules",
    ),
    pytest.param(FilterShape.bandlimited(0.5, attenuation_db=20), (3, 15), id="band-limited"),
    pytest.param(FilterShape.bandlimited(0.6, attenuation_db=20, dimensions=2), (2, 7, 6),
                 id="band-limited in a plane"),
    pytest.param(FilterShape.lowpass(0.2, 0.45, attenuation_db=25), (2, 16), id="low-pass"),
    pytest.param(
        FilterShape.lowpass(0.2, 0.45, attenuation_db=25, gain="unit"), (15,),
        id="low-pass of gain 1",
    ),
    pytest.param(FilterShape.target([0, 0.5, 1], [1, 0.7, 0.3], 0.1), (11,), id="target"),
]  # fmt: skip
BATCHES = [pytest.param((), id="one"), pytest.param((6,), id="six"), pytest.param((2, 3), id="2x3")]
DISCRETE = (sk.Codebook, sk.Grammar)  # sets of single points
DTYPES = [torch.float32, torch.float64]
LOW = [torch.float16, torch.bfloat16]


def values(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def per_event(c: Constraint, x: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that an answer per event has."""
    return tuple(x.shape[: x.dim() - c.event_dims])


def as_read(c: Constraint, x: Tensor, certainty: float = 1.0) -> Tensor:
    """`x` itself; for a grammar, which reads scores as words, scores that say one word alone."""
    if not isinstance(c, sk.Grammar):
        return x
    word = torch.nn.functional.one_hot(x.argmax(-1), x.shape[-1]).to(x.dtype)
    return certainty * word


@pytest.fixture(params=DTYPES, ids=str)
def dtype(request) -> torch.dtype:
    return request.param


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("c", "shape"), LAWS)
class TestLaws:
    def test_projecting_twice_is_projecting_once(self, c, shape, batch, dtype):
        once = c.project(values((*batch, *shape), dtype))
        torch.testing.assert_close(c.project(once), once, atol=c.tolerance(dtype), rtol=0)

    def test_projecting_in_place_is_projecting(self, c, shape, batch, dtype):
        x = values((*batch, *shape), dtype).requires_grad_()
        nearest, leaf = c.project(x.detach()), x.detach().clone().requires_grad_()
        assert c.project_(leaf) is leaf
        assert torch.equal(leaf, nearest)

    def test_projection_is_allowed(self, c, shape, batch, dtype):
        assert c.allows(c.project(values((*batch, *shape), dtype))).all()

    def test_projection_is_nearer_than_any_sample(self, c, shape, batch, dtype):
        x = values((*batch, *shape), dtype)
        nearest = (x - c.project(x)).square().sum()
        for seed in range(1000, 1020):  # far from the seed of x, which may share its draws
            other = c.sample(tuple(x.shape), torch.Generator().manual_seed(seed)).to(dtype)
            assert nearest <= (x - other).square().sum()

    def test_violation_is_zero_where_allowed_and_only_there(self, c, shape, batch, dtype):
        x = as_read(c, values((*batch, *shape), dtype))
        allowed, forbidden = c.project(x), c.violation(x)
        assert tuple(forbidden.shape) == per_event(c, x, shape)
        assert (c.violation(allowed) <= c.tolerance(dtype)).all()
        moved = (x - allowed).abs()
        moved = moved.flatten(-c.event_dims).amax(-1) if c.event_dims else moved
        assert torch.equal(forbidden > c.tolerance(dtype), moved > c.tolerance(dtype))
        assert (forbidden > 0).any(), "the values of this law must leave the set"

    def test_penalty_is_zero_where_allowed_and_only_there(self, c, shape, batch, dtype):
        x = as_read(c, values((*batch, *shape), dtype), certainty=1e3)
        assert tuple(c.penalty(x).shape) == per_event(c, x, shape)
        allowed = as_read(c, c.project(x), certainty=1e3)
        assert (c.penalty(allowed) <= c.tolerance(dtype) ** 2).all()
        assert torch.equal(c.penalty(x) > 0, c.violation(x) > 0)

    def test_residual_says_what_violation_says(self, c, shape, batch, dtype):
        x = values((*batch, *shape), dtype)
        equal, at_most = c.residual(x)
        misses = torch.cat([equal.abs(), at_most.clamp(min=0)], -1)
        # The violation of a codebook is a distance, of which residuals are the coordinates.
        worst = misses.norm(dim=-1) if isinstance(c, sk.Codebook) else misses.amax(-1)
        torch.testing.assert_close(worst, c.violation(x))

    def test_gradients_are_finite_at_allowed_points(self, c, shape, batch, dtype):
        for function in (c.project, c.penalty):
            x = c.project(values((*batch, *shape), dtype)).requires_grad_()
            (grad,) = torch.autograd.grad(function(x).sum(), x)
            assert torch.isfinite(grad).all()

    def test_start_is_allowed_and_stays(self, c, shape, batch, dtype):
        start = c.start(values((*batch, *shape), dtype))
        assert c.allows(start).all()
        torch.testing.assert_close(c.start(start), start)

    def test_chart_inverts(self, c, shape, batch, dtype):
        x = c.project(values((*batch, *shape), dtype))
        # Inside the chart's domain: a start on the boundary is moved inside first.
        inside = c.from_free(c.to_free(x, at=x), at=x)
        again = c.from_free(c.to_free(inside, at=x), at=x)
        torch.testing.assert_close(again, inside)
        assert (inside - x).abs().max() <= 2e-3

    def test_chart_gives_allowed_values_whatever_the_free_numbers(self, c, shape, batch, dtype):
        at = c.project(values((*batch, *shape), dtype))
        for scale in (1.0, 1e3):
            u = scale * values((*batch, *shape), dtype, seed=1)
            assert c.allows(c.from_free(u, at=at)).all()

    def test_batch_axes_are_one_by_one(self, c, shape, batch, dtype):
        x = values((*batch, *shape), dtype)
        flat = x.reshape(-1, *shape)
        for function in (c.project, c.start):
            alone = torch.stack([function(row) for row in flat]).reshape(x.shape)
            # Products with a matrix are summed in another order.
            same = 1e-12 if c.separable else 8 * torch.finfo(dtype).eps * x.abs().max().item()
            torch.testing.assert_close(function(x), alone, rtol=0, atol=same)
        step = 4 * torch.finfo(dtype).eps  # vector units round exp and log their own way
        for function in (c.to_free, c.from_free):
            alone = torch.stack([function(row) for row in flat]).reshape(x.shape)
            torch.testing.assert_close(function(x), alone, rtol=step, atol=step)
        for function in (c.violation, c.penalty, c.allows):
            alone = torch.stack([function(row) for row in flat])
            torch.testing.assert_close(function(x).reshape(alone.shape), alone)

    def test_vmap(self, c, shape, batch, dtype):
        x = values((4, *batch, *shape), dtype)
        for function in (c.project, c.start, c.violation, c.penalty, c.allows, c.from_free):
            torch.testing.assert_close(torch.vmap(function)(x), function(x))

    def test_sample_is_allowed_and_repeats(self, c, shape, batch, dtype):
        draw = [c.sample((*batch, *shape), torch.Generator().manual_seed(3)) for _ in range(2)]
        assert torch.equal(*draw)
        assert draw[0].shape == (*batch, *shape)
        assert c.allows(draw[0]).all()

    def test_not_a_number_is_not_allowed(self, c, shape, batch, dtype):
        x = torch.full((*batch, *shape), torch.nan, dtype=dtype)
        assert not c.allows(x).any()

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
    def test_cuda_equals_cpu(self, c, shape, batch, dtype):
        x = values((*batch, *shape), dtype)
        for function in (c.project, c.violation, c.penalty, c.start, c.from_free):
            torch.testing.assert_close(function(x.cuda()).cpu(), function(x))


@pytest.mark.parametrize("dtype", [*LOW, *DTYPES], ids=str)
@pytest.mark.parametrize(("c", "shape"), LAWS)
class TestLowPrecision:
    def test_projection_is_allowed(self, c, shape, dtype):
        x = c.project(values((50, *shape), dtype))
        assert x.dtype == dtype
        assert c.allows(x).all()
        assert torch.isfinite(x).all()

    def test_projecting_twice_is_projecting_once(self, c, shape, dtype):
        once = c.project(values((50, *shape), dtype))
        torch.testing.assert_close(c.project(once), once, atol=c.tolerance(dtype), rtol=0)

    def test_chart_gives_allowed_values(self, c, shape, dtype):
        at = c.project(values((50, *shape), dtype))
        for u in (c.to_free(at, at=at), 100 * values((50, *shape), dtype, seed=1)):
            assert torch.isfinite(u).all()
            assert c.allows(c.from_free(u, at=at)).all()


@pytest.mark.parametrize("dtype", [*LOW, *DTYPES], ids=str)
@pytest.mark.parametrize(("c", "shape"), [law for law in LAWS if law.values[0].separable])
def test_products_of_intervals_are_exact(c, shape, dtype):
    x = values((50, *shape), dtype)
    assert c.tolerance(dtype) == 0
    for allowed in (c.project(x), c.start(x), c.from_free(x)):
        assert (c.violation(allowed) == 0).all()


@pytest.mark.parametrize(("c", "shape"), LAWS)
class TestValues:
    def test_json_round_trip(self, c, shape):
        import json

        assert Constraint.from_json(json.loads(json.dumps(c.to_json()))) == c

    def test_pickle_round_trip(self, c, shape):
        copy = pickle.loads(pickle.dumps(c))
        assert copy == c
        assert hash(copy) == hash(c)

    def test_repr_is_the_call(self, c, shape):
        assert eval(repr(c), vars(sk) | {"inf": INF}) == c

    def test_check_takes_the_shape(self, c, shape):
        c.check(shape)
        c.check((7, *shape))

    def test_frozen(self, c, shape):
        with pytest.raises(AttributeError):
            c.low = 3
