"""Interval bounds against corners, random inputs and closed forms."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import shapekeeper as sk
from shapekeeper.networks import BoundsError, MaskedLinear, layer_path, output_bounds

INF = float("inf")


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def varied(module: nn.Module, seed: int = 0) -> nn.Module:
    """All numbers drawn, so that none has a sign or a size by chance of its start."""
    draw = draws(seed)
    with torch.no_grad():
        for name, tensor in itertools.chain(module.named_parameters(), module.named_buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=draw))
                if name.endswith("running_var"):
                    tensor.abs_().add_(0.1)
    return module.eval()


def sequence(*modules: nn.Module, seed: int = 0) -> nn.Module:
    return varied(nn.Sequential(*modules), seed)


# name -> network, and the shape of one input
NETWORKS = {
    "linear": (lambda: sequence(nn.Linear(5, 4)), (5,)),
    "no bias": (lambda: sequence(nn.Linear(5, 4, bias=False), nn.ReLU(), nn.Linear(4, 2)), (5,)),
    "deep": (
        lambda: sequence(
            nn.Linear(4, 7), nn.LeakyReLU(), nn.Dropout(0.5), nn.Linear(7, 7), nn.Tanh(),
            nn.Sequential(nn.Linear(7, 3), nn.Sigmoid()), nn.Linear(3, 2),
        ),
        (4,),
    ),
    "norm": (lambda: sequence(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Softplus()), (4,)),
    "plain norm": (lambda: sequence(nn.BatchNorm1d(4, affine=False), nn.Linear(4, 2)), (4,)),
    "masked": (
        lambda: sequence(MaskedLinear(sk.Connections([[1, 0, 1], [0, 1, 1]])), nn.ELU()),
        (3,),
    ),
    "convolution": (
        lambda: sequence(
            nn.Conv1d(2, 4, 3, padding="same", padding_mode="circular"), nn.BatchNorm1d(4),
            nn.ReLU(), nn.AvgPool1d(2), nn.Conv1d(4, 4, 2, groups=2, dilation=2, stride=2),
            nn.SELU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3),
        ),
        (2, 12),
    ),
    "images": (
        lambda: sequence(
            nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.CELU(), nn.MaxPool2d(2),
            nn.Conv2d(3, 2, (1, 2), bias=False), nn.Hardtanh(-0.7, 2.0), nn.AvgPool2d(2, padding=1),
            nn.Flatten(), nn.Linear(8, 2), nn.ReLU6(),
        ),
        (1, 6, 6),
    ),
    "flat": (lambda: sequence(nn.Hardsigmoid(), nn.Identity(), nn.Linear(3, 2)), (3,)),
}  # fmt: skip
KINDS = [pytest.param(*case, id=name) for name, case in NETWORKS.items()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("make", "shape"), KINDS)
def test_random_inputs_stay_within_bounds(make, shape, dtype):
    net, draw = make().to(dtype), draws(1)
    for width in (0.0, 1e-3, 1.0, 30.0):
        low = torch.randn(1, *shape, generator=draw).to(dtype)
        high = low + width * torch.rand(1, *shape, generator=draw).to(dtype)
        least, most = output_bounds(net, low, high)
        for _ in range(3):
            share = torch.rand(10_000, *shape, generator=draw).to(dtype)
            # Ends matter most: half of the numbers are one of them.
            share = torch.where(share < 0.25, 0.0, torch.where(share > 0.75, 1.0, share))
            x = torch.minimum(torch.maximum(low + share * (high - low), low), high)
            with torch.no_grad():
                value = net(x).double()
            assert (value >= least).all()
            assert (value <= most).all()
        assert least.shape == value[:1].shape


def test_a_hundred_thousand_inputs_of_one_small_net():
    net, draw = sequence(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)), draws(5)
    low, high = output_bounds(net, [[-1.0, 0.0, 2.0]], [[1.0, 0.5, 2.0]])
    x = torch.rand(100_000, 3, generator=draw) * torch.tensor([2.0, 0.5, 0.0])
    with torch.no_grad():
        value = net(x + torch.tensor([-1.0, 0.0, 2.0])).double()
    assert ((low <= value) & (value <= high)).all()


@pytest.mark.parametrize("seed", range(20))
def test_all_corners_of_a_layer_of_sums_and_nothing_beyond(seed):
    """One layer of sums: the largest value of a corner is the bound, up to rounding."""
    net, draw = varied(nn.Linear(6, 3, dtype=torch.float64), seed), draws(seed)
    low = torch.randn(6, generator=draw, dtype=torch.float64)
    high = low + torch.rand(6, generator=draw, dtype=torch.float64)
    corners = torch.tensor([*itertools.product(*zip(low, high, strict=True))], dtype=torch.float64)
    with torch.no_grad():
        value = net(corners)
    least, most = output_bounds(net, low[None], high[None])
    assert (least <= value).all()
    assert (value <= most).all()
    torch.testing.assert_close(least[0], value.amin(0), rtol=0, atol=1e-13)
    torch.testing.assert_close(most[0], value.amax(0), rtol=0, atol=1e-13)


def test_one_layer_reaches_as_far_as_its_absolute_weights():
    net = varied(nn.Linear(9, 4))
    low, high = output_bounds(net, -torch.ones(1, 9), torch.ones(1, 9), exact=True)
    reach = net.weight.detach().double().abs().sum(1)
    torch.testing.assert_close(high[0], net.bias.detach().double() + reach, rtol=1e-14, atol=0)
    torch.testing.assert_close(low[0], net.bias.detach().double() - reach, rtol=1e-14, atol=1e-14)


def test_known_answer_of_two_layers():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, -1.0], [2.0, 0.0]]))
        net[0].bias.copy_(torch.tensor([0.0, -1.0]))
        net[2].weight.copy_(torch.tensor([[1.0, -0.5]]))
        net[2].bias.copy_(torch.tensor([0.25]))
    # x in [0, 1] x [-1, 2]: sums [-2, 2] and [-1, 1], after ReLU [0, 2] and [0, 1]
    low, high = output_bounds(net, [[0.0, -1.0]], [[1.0, 2.0]], exact=True)
    assert low.item() == pytest.approx(-0.25, abs=1e-14)
    assert high.item() == pytest.approx(2.25, abs=1e-14)


def test_a_batch_norm_may_turn_ends_around():
    norm = varied(nn.BatchNorm1d(2))
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([-2.0, 3.0]))
        norm.running_mean.copy_(torch.tensor([1.0, -1.0]))
        norm.running_var.fill_(4.0 - norm.eps)
        norm.bias.zero_()
    low, high = output_bounds(norm, [[0.0, 0.0]], [[3.0, 3.0]], exact=True)
    torch.testing.assert_close(low[0], torch.tensor([-2.0, 1.5]).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(high[0], torch.tensor([1.0, 6.0]).double(), atol=1e-6, rtol=0)


def test_each_box_of_a_batch_by_itself():
    net = sequence(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    low = torch.randn(5, 3, generator=draws(2))
    high = low + 1
    together = output_bounds(net, low, high)
    for i in range(5):
        alone = output_bounds(net, low[i : i + 1], high[i : i + 1])
        for many, one in zip(together, alone, strict=True):
            torch.testing.assert_close(many[i : i + 1], one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("make", "shape"), KINDS)
def test_larger_boxes_have_larger_bounds(make, shape):
    net = make()
    x = torch.randn(1, *shape, generator=draws(3))
    low, high = output_bounds(net, x - 0.1, x + 0.1)
    for wider in (x.abs() + 1, torch.full_like(x, INF)):
        least, most = output_bounds(net, x - wider, x + wider)
        assert (least <= low).all()
        assert (most >= high).all()
        assert not (least.isnan() | most.isnan()).any()


# -- every input ---------------------------------------------------------------------------------


def test_a_bounded_layer_is_bounded_for_every_input():
    net = sequence(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    everywhere = torch.full((1, 3), INF)
    low, high = output_bounds(net, -everywhere, everywhere, exact=True)
    reach = net[2].weight.detach().double().abs().sum(1)
    torch.testing.assert_close(high[0], net[2].bias.detach().double() + reach, rtol=1e-13, atol=0)
    torch.testing.assert_close(low[0], net[2].bias.detach().double() - reach, rtol=1e-13, atol=0)


def test_a_weight_of_zero_keeps_infinity_out():
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.0, 1.0], [-3.0, 0.0]]))
        net.bias.zero_()
    low, high = output_bounds(net, [[-INF, 1.0]], [[2.0, 4.0]], exact=True)
    np.testing.assert_allclose(low, [[1.0, -6.0]], atol=1e-12)
    np.testing.assert_allclose(high, [[4.0, INF]], atol=1e-12)


@pytest.mark.parametrize(
    ("module", "range_"),
    [
        (nn.Tanh(), (-1, 1)),
        (nn.Sigmoid(), (0, 1)),
        (nn.Hardsigmoid(), (0, 1)),
        (nn.Softplus(), (0, INF)),
        (nn.ReLU(), (0, INF)),
        (nn.ReLU6(), (0, 6)),
        (nn.Hardtanh(-2, 3), (-2, 3)),
        (nn.LeakyReLU(), (-INF, INF)),
        (nn.Identity(), (-INF, INF)),
        (nn.ELU(0.5), (-0.5, INF)),
        (nn.CELU(2.0), (-2, INF)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_ranges_of_rising_functions(module, range_):
    low, high = output_bounds(module, torch.tensor([[-INF]]), torch.tensor([[INF]]), exact=True)
    assert low.item() == pytest.approx(range_[0], abs=1e-14)
    assert high.item() == pytest.approx(range_[1], abs=1e-14)


@pytest.mark.parametrize(
    "module",
    [nn.Tanh(), nn.Sigmoid(), nn.Hardsigmoid(), nn.Softplus(), nn.Softplus(3.0, 2), nn.ELU(2.0),
     nn.SELU(), nn.CELU(), nn.LeakyReLU()],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_functions_compute_in_short_types_lies_within(module, dtype):
    """Every box of a single number, densely from far below to far above 0."""
    x = torch.cat([torch.linspace(-30, 30, 60_001), torch.logspace(-30, 2, 2001)]).to(dtype)[
        :, None
    ]
    low, high = output_bounds(module, x, x)
    value = module(x).double()
    assert ((low <= value) & (value <= high)).all()
    width = (high - low).max().item()
    assert width < 100 * (1 + 30) * torch.finfo(dtype).eps + 0.2 * isinstance(module, nn.Softplus)


def test_torch_never_leaves_the_ranges_that_are_taken_as_exact():
    x = torch.linspace(2, 24, 2_000_001)
    assert torch.tanh(x).max() == 1
    assert torch.tanh(-x).min() == -1
    assert torch.sigmoid(x).max() == 1


# -- rounding ------------------------------------------------------------------------------------


def test_rounding_of_float32_is_within_and_real_numbers_are_not():
    """A sum that float32 rounds up lies beyond the bounds of real numbers alone."""
    net = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, 2.0**-24, 3 * 2.0**-25]]))
        value = net(torch.ones(1, 3)).double()
    low, high = output_bounds(net, torch.ones(1, 3), torch.ones(1, 3))
    assert low <= value <= high
    least, most = output_bounds(net, torch.ones(1, 3), torch.ones(1, 3), exact=True)
    assert not least <= value <= most
    assert (high - low).item() < 1e-6
    assert (most - least).item() < 1e-14


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.BatchNorm1d(7), (7,)),
        (nn.Conv1d(2, 3, 5), (2, 9)),
        (nn.AvgPool1d(3), (2, 9)),
        (nn.AdaptiveAvgPool2d(2), (1, 5, 5)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_rounding_of_other_sums(module, shape):
    """Of a box of a single input, what is computed is within, and mostly not the exact number."""
    module, x = varied(module), torch.randn(3000, *shape, generator=draws(6))
    low, high = output_bounds(module, x, x)
    least, most = output_bounds(module, x, x, exact=True)
    with torch.no_grad():
        value = module(x).double()
    assert ((low <= value) & (value <= high)).all()
    assert not ((least <= value) & (value <= most)).all()
    assert (high - low).max() < 1e-4


def test_bounds_beyond_the_largest_number_are_infinite():
    net = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        net.weight.fill_(1e38)
    low, high = output_bounds(net, [[-1.0]], [[100.0]])
    assert low.item() == pytest.approx(-1e38, rel=1e-6)
    assert high.item() == INF == net(torch.tensor([[100.0]])).item()


# -- what can't be followed ----------------------------------------------------------------------


class Twisted(nn.Linear):
    """A linear layer that is none."""

    def forward(self, x):
        return super().forward(x).sin()


def test_all_that_cannot_be_followed_is_named():
    net = nn.Sequential(
        nn.Sequential(nn.Linear(2, 2), nn.GELU()),
        nn.GRU(2, 3),
        nn.BatchNorm1d(3),
        Twisted(3, 3),
        nn.LeakyReLU(-0.1),
        nn.MaxPool1d(2, return_indices=True),
    )
    with pytest.raises(BoundsError) as raised:
        output_bounds(net, torch.zeros(1, 2), torch.ones(1, 2))
    words = str(raised.value)
    assert words.startswith(
        "Interval bounds can't follow 0.1 (GELU); 1 (GRU); 2 (BatchNorm1d), which is in training "
        "mode; 3 (Twisted); 4 (LeakyReLU), which falls somewhere; 5 (MaxPool1d), which returns "
        "indices as well. They follow Sequential, Linear, "
    )


def test_hooks_and_norms_by_the_batch_cannot_be_followed():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)).eval()
    net[0].register_forward_hook(lambda module, args, value: value * 2)
    with pytest.raises(BoundsError, match=r"0 \(Linear\), whose hooks may change.*norms by the"):
        output_bounds(net, torch.zeros(1, 2), torch.ones(1, 2))


@pytest.mark.parametrize(
    ("low", "high"),
    [([[1.0, 0.0]], [[0.0, 1.0]]), ([[float("nan"), 0.0]], [[1.0, 1.0]]), ([[INF, 0]], [[INF, 1]])],
)
def test_ends_the_wrong_way_round(low, high):
    with pytest.raises(BoundsError, match="Wanted ends low <= high, got low="):
        output_bounds(nn.Linear(2, 1), low, high)


# -- the way to a layer --------------------------------------------------------------------------


class Net(nn.Module):
    """Written by hand, with functions between the modules."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 5)
        self.encoder = nn.Sequential(nn.Linear(5, 3), nn.Sigmoid())
        self.last = nn.Linear(3, 2)

    def forward(self, x):
        x = torch.tanh(self.first(x.flatten(1)))
        return self.last(self.encoder(F.relu(x)))


class Watched(Net):
    """The input is written to in place, beside the way."""

    def forward(self, x):
        x.add_(1)
        return self.last(self.encoder(self.first(x)))


class Looped(Net):
    def forward(self, x):
        x = self.first(x)
        for _ in range(2):
            x = self.encoder(x)[:, [0, 1, 2, 0, 1]]
        return x


class Branching(Net):
    def forward(self, x):
        return self.last(self.encoder(self.first(x if x.sum() > 0 else -x)))


class Added(Net):
    def forward(self, x):
        return self.last(self.encoder(self.first(x) + 1.0))


def test_a_path_gives_what_the_layer_gives():
    net = Net().eval()
    x, seen = torch.randn(3, 2, 2, generator=draws(4)), []
    handle = net.encoder.register_forward_hook(lambda m, a, value: seen.append(value))
    net(x)
    handle.remove()
    path = layer_path(net, "encoder")
    torch.testing.assert_close(path(x), seen[0], rtol=0, atol=0)
    assert [*path][-1] is net.encoder
    low, high = output_bounds(layer_path(net, "last"), x, x)
    assert ((low <= net(x)) & (net(x) <= high)).all()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Watched, "what 'first' reads is read elsewhere, too"),
        (Looped, "'encoder' is called 2 times"),
        (Branching, "Wanted a forward pass that torch.fx can trace up to 'encoder', got: "),
        (Added, "'add' on the way is none that bounds follow"),
    ],
)
def test_ways_that_are_no_chain(kind, words):
    with pytest.raises(BoundsError, match=words):
        layer_path(kind().eval(), "encoder")
