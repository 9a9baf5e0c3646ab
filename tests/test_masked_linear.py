"""The masked linear layer against `nn.Linear` and the mask itself."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state
from torch.testing import assert_close

import shapekeeper as sk

MASK = torch.tensor([[1, 0, 1, 1], [0, 0, 1, 0], [0, 1, 0, 0]])  # out 3, in 4
FIXED = torch.zeros(3, 4)
FIXED[0, 2] = -0.5
LAYERS = {
    "mask": lambda: sk.MaskedLinear(sk.Connections(MASK)),
    "presets": lambda: sk.MaskedLinear(sk.Connections(MASK, fixed=FIXED)),
    "signs": lambda: sk.MaskedLinear(sk.Connections(MASK) & sk.Signs([1, 1, -1, -1])),
    "bias mask": lambda: sk.MaskedLinear(sk.Connections(MASK), bias_mask=[1, 0, 1]),
    "no bias": lambda: sk.MaskedLinear(sk.Connections(MASK), bias=False),
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def test_an_output_moves_with_its_own_inputs_and_no_others():
    layer = sk.MaskedLinear(sk.Connections(MASK))
    with torch.no_grad():
        layer.weight.normal_()  # closed ones too
    slope = torch.autograd.functional.jacobian(layer, torch.randn(4))
    assert torch.equal(slope != 0, MASK > 0)
    assert torch.equal(slope, layer.weight_matrix())


@every_layer
def test_the_numbers_are_those_of_a_linear_layer(make):
    layer, x = make(), torch.randn(2, 5, 4)
    with torch.no_grad():
        layer.weight.normal_()
        if layer.bias is not None:
            layer.bias.normal_()
    plain = nn.Linear(4, 3, bias=layer.bias is not None)
    weight = (layer.weight * MASK).detach()
    if "Signs" in repr(layer.connections):
        weight = torch.cat([weight[:, :2].clamp(min=0), weight[:, 2:].clamp(max=0)], 1)
    if "fixed" in repr(layer.connections):
        weight[0, 2] = -0.5
    state = {"weight": weight}
    if layer.bias is not None:
        keep = torch.tensor([1, 0, 1]) if layer.bias_connections else 1
        state["bias"] = layer.bias.detach() * keep
    plain.load_state_dict(state)
    assert_close(layer(x), plain(x))
    assert torch.equal(layer.weight_matrix(), weight)
    assert list(layer.state_dict()) == list(plain.state_dict())


@every_layer
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_no_optimizer_opens_a_closed_weight_or_moves_a_preset(make, optimizer):
    layer = make()
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(64, 4, generator=draw), torch.randn(64, 3, generator=draw)
    step = optimizer(layer.parameters(), lr=0.05, weight_decay=0.1)
    before = (layer(x) - y).square().mean().item()
    for _ in range(60):
        step.zero_grad()
        (layer(x) - y).square().mean().backward()
        step.step()
        assert (layer.connections.violation(layer.weight_matrix()) == 0).all()
    assert (layer(x) - y).square().mean().item() < before
    assert (layer.weight_matrix()[MASK == 0] == 0).all()
    zero = layer(torch.zeros(4))
    if layer.bias_connections:
        assert (zero[1].item(), zero[0].item() != 0) == (0, True)


def test_the_start_is_that_of_linear_made_allowed():
    torch.manual_seed(3)
    layer = sk.MaskedLinear(sk.Connections(MASK, fixed=FIXED), bias_mask=[1, 0, 1])
    torch.manual_seed(3)
    plain = nn.Linear(4, 3)
    c = sk.Connections(MASK, fixed=FIXED)
    assert torch.equal(layer.weight, c.start(plain.weight))
    assert torch.equal(layer.bias, plain.bias * torch.tensor([1, 0, 1]))
    torch.manual_seed(3)
    layer.weight.data.zero_()
    layer.reset_parameters()
    assert torch.equal(layer.weight, c.start(plain.weight))


def test_a_weight_of_the_wrong_sign_comes_back():
    layer = sk.MaskedLinear(sk.Connections([[1]]) & sk.NonNegative(), bias=False)
    with torch.no_grad():
        layer.weight.fill_(-1.0)
    assert layer.weight_matrix().item() == 0
    step = torch.optim.SGD(layer.parameters(), lr=0.2)
    for _ in range(60):
        step.zero_grad()
        (layer(torch.ones(1)) - 0.7).square().sum().backward()
        step.step()
    assert layer.weight_matrix().item() == pytest.approx(0.7, abs=1e-3)


@every_layer
def test_copies_pickles_and_files_are_the_same_layer(make):
    layer, x = make(), torch.randn(5, 4)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    again = make()
    again.load_state_dict(layer.state_dict())
    saved = torch.load(file, weights_only=False)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), saved, again):
        assert torch.equal(other(x), layer(x))
        assert repr(other) == repr(layer)
        assert other.connections == layer.connections


@every_layer
def test_many_layers_run_as_one(make):
    layers, x = [make() for _ in range(3)], torch.randn(3, 5, 4)
    state, buffers = stack_module_state(layers)
    run = torch.vmap(lambda p, b, x: functional_call(layers[0], (p, b), (x,)))
    together = run(state, buffers, x)
    for layer, alone, inputs in zip(layers, together, x, strict=True):
        assert_close(alone, layer(inputs))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@every_layer
def test_other_precisions(make, dtype):
    layer = make().to(dtype)
    out = layer(torch.randn(5, 4, dtype=dtype))
    assert out.dtype == dtype
    assert torch.isfinite(out).all()
    assert (layer.connections.violation(layer.weight_matrix()) == 0).all()
    assert (layer.weight_matrix()[MASK == 0] == 0).all()


@every_layer
def test_autocast(make):
    layer, x = make(), torch.randn(5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)
        out.float().sum().backward()
    assert out.dtype == torch.bfloat16
    assert (layer.weight.grad[MASK == 0] == 0).all()


def test_one_line_says_it_all():
    layer = sk.MaskedLinear(sk.Connections(MASK, fixed=FIXED), bias=False)
    words = "MaskedLinear(in_features=4, out_features=3, bias=False, open=5 of 12 (42 %))"
    assert repr(layer) == words


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sk.MaskedLinear(MASK), r"got Tensor. Write MaskedLinear\(Connections\(mask\)\)"),
        (lambda: sk.MaskedLinear(sk.NonNegative()), r"Wanted Connections, or .* NonNegative\(\)"),
        (lambda: sk.MaskedLinear(sk.Connections([1, 0])), r"got those of shape \(2,\)"),
        (
            lambda: sk.MaskedLinear(sk.Connections(MASK), bias_mask=[1, 0]),
            r"Wanted a bias_mask of shape \(3,\), got \(2,\)",
        ),
        (
            lambda: sk.MaskedLinear(sk.Connections(MASK), bias_mask=[1, 0, 2]),
            "bias_mask: Wanted a mask of 0 and 1",
        ),
        (
            lambda: sk.MaskedLinear(sk.Connections([1, 0]), bias=False, bias_mask=[1, 0]),
            r"got those of shape \(2,\). Wanted no bias_mask where bias=False",
        ),
    ],
)
def test_bad_layers(make, words):
    with pytest.raises(sk.ConstraintError, match=words):
        make()
