"""What the laws don't say: values, words, and the numbers of single constraints."""

import json
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch

import shapekeeper as sk
from shapekeeper.constraints.tensor_value import TensorValue

WIDE = [[1, 0, 1, 1], [0, 0, 1, 0]]


def test_a_mask_comes_as_whatever_people_have():
    forms = [
        WIDE,
        np.array(WIDE),
        np.array(WIDE, dtype=bool),
        np.array(WIDE, dtype=float),
        torch.tensor(WIDE),
        torch.tensor(WIDE) > 0,
        pd.DataFrame(WIDE, index=["hand", "mouth"], columns=list("abcd")),
    ]
    made = [sk.Connections(form) for form in forms]
    assert len(set(made)) == 1
    assert made[0].mask.tolist() == [[True, False, True, True], [False, False, True, False]]


def test_the_mask_that_is_handed_out_is_a_copy():
    c = sk.Connections(WIDE)
    c.mask[0, 1] = True
    assert c == sk.Connections(WIDE)
    given = torch.tensor(WIDE)
    c = sk.Connections(given)
    given[0, 1] = 1
    assert c == sk.Connections(WIDE)


def test_rows_are_targets():
    layer = torch.nn.Linear(4, 2)
    c = sk.Connections(WIDE)
    c.check(tuple(layer.weight.shape))
    with torch.no_grad():
        layer.weight.copy_(c.project(layer.weight))
    moved = torch.autograd.functional.jacobian(layer, torch.randn(4)) != 0
    assert torch.equal(moved, c.mask)


def test_equal_content_is_equal_whatever_the_history():
    a, b = sk.Connections(WIDE), sk.Connections(np.array(WIDE, float))
    a.project(torch.randn(2, 4))  # a device copy must not become part of the value
    assert a == b
    assert hash(a) == hash(b)
    assert pickle.dumps(a) == pickle.dumps(b)
    assert a != sk.Connections(WIDE, fixed=np.array(WIDE) * 0.5)
    assert a != sk.Connections(np.array(WIDE).T)
    assert a != sk.Connections(np.array(WIDE).reshape(-1))


def test_a_large_mask_prints_short_and_saves_small():
    mask = torch.rand(200, 300, generator=torch.Generator().manual_seed(0)) < 0.1
    c = sk.Connections(mask)
    assert re.fullmatch(r"Connections\(‹200×300, 10 % open, [0-9a-f]{4}…›\)", repr(c))
    text = json.dumps(c.to_json())
    assert len(text) < 15_000, "one bit per connection, compressed"
    assert sk.Constraint.from_json(json.loads(text)) == c
    assert len(pickle.dumps(c)) < 2 * 200 * 300 / 8 + 2_000


@pytest.mark.parametrize("entries", [4096, 4097])
def test_json_lists_up_to_4096_entries(entries):
    saved = TensorValue.of(np.arange(entries) % 2 == 0).to_json()
    assert isinstance(saved, list) == (entries == 4096)
    np.testing.assert_array_equal(TensorValue.array_from_json(saved), np.arange(entries) % 2 == 0)


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.array([True] * 9), [[1, 2]]])
def test_a_tensor_value_gives_back_what_it_took(array):
    value = TensorValue.of(array)
    np.testing.assert_array_equal(value.numpy(), np.asarray(array))
    assert torch.equal(value.on(torch.device("cpu")), torch.as_tensor(np.asarray(array)))
    assert value == pickle.loads(pickle.dumps(value))


def test_device_copies_made_in_inference_mode_can_be_trained_with():
    c = sk.Connections([[1, 0, 1]])
    with torch.inference_mode():
        c.project(torch.randn(1, 3))
    x = torch.randn(1, 3, requires_grad=True)
    c.penalty(c.project(x) + x).sum().backward()
    assert x.grad is not None


def test_start_keeps_the_variance_of_what_arrives():
    draw = torch.Generator().manual_seed(0)
    mask = torch.rand(400, 300, generator=draw) < 0.1
    dense = torch.randn(400, 300, generator=draw) / 300**0.5
    x = torch.randn(300, 1000, generator=draw)
    c = sk.Connections(mask)
    wanted = (dense @ x).var().item()
    assert (c.start(dense) @ x).var().item() == pytest.approx(wanted, rel=0.05)
    assert (c.project(dense) @ x).var() < 0.2 * wanted


def test_start_scales_each_row_by_fan_in_over_open():
    x = torch.tensor([[3.0, 4.0, 5.0, 6.0], [1.0, 1.0, 2.0, 0.0]])
    start = sk.Connections(WIDE).start(x)
    torch.testing.assert_close(start[0], x[0] * torch.tensor([1, 0, 1, 1]) * (4 / 3) ** 0.5)
    # An entry that is zero feeds nothing, so it is no part of the fan-in.
    torch.testing.assert_close(start[1], x[1] * torch.tensor([0, 0, 1, 0]) * 3**0.5)


def test_start_leaves_presets_alone():
    fixed = torch.tensor([[0.25, 0, 0, 0], [0, 0, 0, 0]])
    start = sk.Connections(WIDE, fixed=fixed).start(torch.ones(2, 4))
    torch.testing.assert_close(start[0], torch.tensor([0.25, 0, 1, 1]) * torch.tensor(
        [1, 0, 1.5**0.5, 1.5**0.5]))  # fmt: skip


def test_a_row_without_connections_starts_at_zero():
    start = sk.Connections([[0, 0], [1, 0]]).start(torch.ones(2, 2))
    assert start[0].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("mask", "fixed", "words"),
    [
        ([[0.0, 0.3], [1.0, 2.0]], None, r"got 0.3 at \[0, 1\] and 1 more such entries"),
        ([[0.5]], None, r"Say from where on a connection is open, e.g. Connections\(matrix > 0.5"),
        ([["a", "b"]], None, "Wanted a mask of 0 and 1, got entries of type"),
        ([], None, "at least one entry and one axis"),
        (1, None, "at least one entry and one axis"),
        ([[1, 0]], [[0.0, 2.0]], r"got 2.0 at \[0, 1\], which is closed"),
        ([[1, 0]], [[0.0], [2.0]], r"presets of the mask's shape \(1, 2\), got \(2, 1\)"),
        ([[1, 0]], [[np.nan, 0.0]], "Wanted finite presets"),
        ([[0.5, 0]], [[0.0, 2.0]], r"got 0.5 at \[0, 0\].* got 2.0 at \[0, 1\], which is closed"),
    ],
)
def test_bad_masks(mask, fixed, words):
    with pytest.raises(sk.ConstraintError, match=words):
        sk.Connections(mask, fixed=fixed)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((4, 2), r"last axes are \(2, 4\).*got \(4, 2\). That is the transpose"),
        ((2, 5), r"last axes are \(2, 4\).*got \(2, 5\).$"),
        ((4,), r"got \(4,\)"),
    ],
)
def test_a_mask_of_the_wrong_shape(shape, words):
    with pytest.raises(sk.ConstraintError, match=words):
        sk.Connections(WIDE).check(shape)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (1.0, 0.0, "Wanted low < high, got low=1.0, high=0.0"),
        (1.0, 1.0, "Wanted low < high"),
        (float("nan"), 1.0, "Wanted low < high"),
        (-float("inf"), float("inf"), "that allows all"),
    ],
)
def test_bad_ranges(low, high, words):
    with pytest.raises(sk.ConstraintError, match=words):
        sk.Box(low, high)


def test_the_one_sided_clamp_lets_back_in_and_nothing_out():
    x = torch.tensor([-2.0, -2.0, 0.5, 0.5, 3.0, 3.0], requires_grad=True)
    pull = torch.tensor([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0])
    (grad,) = torch.autograd.grad((sk.Box(0.0, 1.0).project(x) * pull).sum(), x)
    # Descent moves against the gradient: from below only a negative one leads back in.
    assert grad.tolist() == [-1.0, 0.0, -1.0, 1.0, 0.0, 1.0]


def test_a_node_that_starts_outside_comes_back():
    x = torch.tensor([5.0], requires_grad=True)
    step = torch.optim.SGD([x], lr=0.1)
    for _ in range(100):
        step.zero_grad()
        (sk.Box(0.0, 1.0).project(x) - 0.3).square().backward()
        step.step()
    assert x.item() == pytest.approx(0.3, abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("ends", [(-0.1, 0.3), (0.1, 0.7), (-1e-3, 1e3)])
def test_the_chart_never_steps_past_an_end_by_rounding(ends, dtype):
    c = sk.Box(*ends)
    u = torch.linspace(-100, 100, 2001, dtype=dtype)
    assert (c.violation(c.from_free(u)) == 0).all()


def test_json_of_something_else():
    with pytest.raises(sk.ConstraintError, match="Wanted a constraint, got 'Conections'"):
        sk.Constraint.from_json({"constraint": "Conections", "mask": [[1]]})
