"""The checks of notebook 01, with right answers and the tempting wrong ones."""

import numpy as np
import pytest
import torch
from judging import NONSENSE, judged, survives
from torch import nn

from shapekeeper import course
from shapekeeper.course import notebook_01

pytestmark = pytest.mark.usefixtures("not_strict")


@pytest.mark.parametrize("key", ["01.1", "01.2", "01.3", "01.4"])
@pytest.mark.parametrize("answer", [*NONSENSE, {}], ids=lambda answer: type(answer).__name__)
def test_no_answer_whatever_makes_a_check_raise(key, answer):
    survives(key, answer)


@pytest.mark.parametrize("key", ["01.1", "01.2", "01.3", "01.4"])
def test_a_function_without_a_body_is_not_yet(key):
    def unwritten(*arguments): ...

    def described(first, second):
        """What it should do."""

    assert course.check(key, unwritten).state == "todo"
    assert course.check("01.3", described).state == "todo"


# 01.1


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (lambda A: A.T, "right", r"Right on 5 tables.*nn\.Embedding.*\[source, target\]"),
        (lambda A: A.T.numpy(), "right", "5 tables"),
        (lambda A: A.float().T, "right", "5 tables"),
        (lambda A: torch.einsum("st->ts", A.int()), "right", "5 tables"),
        (
            lambda A: A,
            "wrong",
            r"For 3×7 this cannot even be multiplied; for 5×5 it runs and connects the wrong way "
            r"round\. `W\[target, source\]`: rows are those who listen\.",
        ),
        (
            lambda A: A.reshape(A.shape[1], A.shape[0]),
            "wrong",
            r"The shape fits now, but reshape deals the same cards in a new order\. "
            r"Input \d now feeds (no output|outputs? [\d, ]+), wanted (no output|outputs? [\d, ]+)",
        ),
        (lambda A: A.flip(0).T, "wrong", r"wrong ones are connected\. Input \d now feeds"),
        (lambda A: ~A.T, "wrong", "wrong ones are connected"),
        # Right wherever the table is not square.
        (lambda A: A if len(A) == A.shape[1] else A.T, "wrong", "5 sources and 5 targets"),
        (lambda A: A.T * 2, "wrong", "only True and False"),
        (lambda A: A.T[None], "wrong", r"shape \(7, 3\).*shape \(1, 7, 3\)"),
    ],
)
def test_mask_for(answer, state, words):
    judged("01.1", answer, state, words)


def test_no_table_of_the_check_could_hide_a_transpose():
    seen = []
    assert course.check("01.1", lambda A: seen.append(A) or A.T)
    assert [tuple(A.shape) for A in seen] == [(3, 7), (7, 3), (5, 5), (2, 6), (6, 6)]
    for A in seen:
        turned = A.reshape(A.shape[1], A.shape[0])
        assert not torch.equal(turned, A.T)
        assert not any(torch.equal(A, own) for own in [course.example("01.1")])


# 01.2


def by_jacobian(layer, n_in):
    points = torch.randn(3, n_in)
    moved = [torch.autograd.functional.jacobian(layer, x) != 0 for x in points]
    return torch.stack(moved).any(0)


def by_hand(layer, n_in):
    found = False
    for _ in range(3):
        x = torch.randn(n_in)
        columns = []
        for i in range(n_in):
            y = x.clone()
            y[i] += 0.5
            columns.append(layer(y) != layer(x))
        found = torch.stack(columns, 1) | found
    return found


def at_one_point(layer, n_in):
    return torch.autograd.functional.jacobian(layer, torch.randn(n_in)) != 0


def at_zero(layer, n_in):
    return torch.autograd.functional.jacobian(layer, torch.zeros(n_in)) != 0


def steps_from_zero(layer, n_in):
    origin = layer(torch.zeros(n_in))
    return torch.stack([layer(x) != origin for x in torch.eye(n_in)], 1)


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (by_jacobian, "right", "Right on 5 layers, and you never looked inside"),
        (by_hand, "right", "5 layers"),
        (lambda layer, n: by_jacobian(layer, n).numpy(), "right", "5 layers"),
        (
            at_zero,
            "wrong",
            r"At 0 this layer is flat, so you report no connections though \d+ exist\. "
            r"Try a few random points\.",
        ),
        (steps_from_zero, "wrong", r"you miss \d+ of \d+ connections.*Try a few random points"),
        (
            lambda layer, n: layer.weight != 0,
            "wrong",
            "You looked at stored numbers. A masked layer may store a number it never uses: "
            "3 of yours are such.",
        ),
        (lambda layer, n: by_jacobian(layer, n).T, "wrong", r"\(out, in\).*\(3, 5\).*\(5, 3\)"),
        (
            lambda layer, n: torch.ones(len(layer(torch.ones(n))), n),
            "wrong",
            r"In a masked layer you report \d+ connections? that cannot move anything",
        ),
    ],
)
def test_who_moves(answer, state, words):
    judged("01.2", answer, state, words)


def test_the_verdict_on_chance_is_always_the_same_and_leaves_no_trace():
    torch.manual_seed(5)
    first = [repr(course.check("01.2", at_one_point)) for _ in range(3)]
    assert course.check("01.4", counted)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.rand(1) == after
    assert len(set(first)) == 1


def test_the_layers_of_the_check_have_the_connections_they_claim():
    for case in notebook_01._layers():
        points = torch.randn(20, case.pattern.shape[1], generator=torch.Generator().manual_seed(1))
        for x in points:
            assert torch.equal(notebook_01._moved(case.layer, x), case.pattern), case.name
    flat = [case.flat for case in notebook_01._layers()]
    assert flat == [False, False, True, True, False]


# 01.3


def multiplied(weight, mask):
    with torch.no_grad():
        weight.mul_(mask)


def through_data(weight, mask):
    weight.data = weight.data * mask


def by_index(weight, mask):
    weight.data[~mask] = 0


def gradient_again(weight, mask):
    weight.grad *= mask


def another_hook(weight, mask):
    weight.register_hook(lambda gradient: gradient * mask)


def new_tensor(weight, mask):
    weight = weight * mask


def returns_new_tensor(weight, mask):
    return weight * mask


def other_way_round(weight, mask):
    weight.data *= ~mask


def all_of_it(weight, mask):
    weight.data.zero_()


def halved(weight, mask):
    weight.data[~mask] /= 2


def with_gradient(weight, mask):
    weight.mul_(mask)


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (
            multiplied,
            "right",
            r"Leak 0\.0 after each of 50 steps; without your repair it was 0\.\d",
        ),
        (through_data, "right", "you push back"),
        (by_index, "right", "you push back"),
        (
            gradient_again,
            "wrong",
            "The gradient is already 0. The step comes from the average of old gradients.*"
            r"leak 0\.0 after each step .* 0\.\d+ \(Adam\)",
        ),
        (another_hook, "wrong", "The gradient is already 0"),
        (
            new_tensor,
            "wrong",
            "You made a new tensor; the layer and the optimizer still hold the old one. "
            "Change it in place.",
        ),
        (returns_new_tensor, "wrong", "You made a new tensor"),
        (other_way_round, "wrong", "deletes the open wires"),
        (all_of_it, "wrong", "open ones no longer learn"),
        (halved, "wrong", "closed weights are left that are not 0"),
        (with_gradient, "wrong", "RuntimeError: a leaf Variable"),
    ],
)
def test_after_step(answer, state, words):
    judged("01.3", answer, state, words)


def test_every_optimizer_of_the_check_leaks_without_a_repair():
    for name, make in notebook_01.OPTIMIZERS.items():
        assert notebook_01._ghost(make, notebook_01._no_repair)[0] > 1e-3, name
    plain = notebook_01._ghost(lambda p: torch.optim.SGD(p, lr=0.1), notebook_01._no_repair)
    assert plain[0] == 0.0


# 01.4


def counted(mask, fixed, bias):
    return int(mask.sum() - (fixed != 0).sum() + bias.sum())


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (counted, "right", r"Right on 6 layers.*The first of them has \d+, and stores 24: Adam"),
        (lambda M, F, b: torch.tensor(counted(M, F, b)), "right", "6 layers"),
        (lambda M, F, b: M.sum() + b.sum(), "wrong", "A preset wire is open but not free."),
        (lambda M, F, b: M.sum(), "wrong", "A preset wire is open but not free."),
        (lambda M, F, b: M.numel() + b.sum(), "wrong", "Closed wires are not learned."),
        (lambda M, F, b: M.numel(), "wrong", "Closed wires are not learned."),
        (lambda M, F, b: M.numel() - (F != 0).sum() + b.sum(), "wrong", "Presets alone are left"),
        (lambda M, F, b: (M & (F == 0)).sum(), "wrong", "Every bias that is there is free too"),
        (lambda M, F, b: (M & (F == 0)).sum() + len(b), "wrong", "Biases have a mask too"),
        (lambda M, F, b: 7, "wrong", r"three kinds of wires.*\d+ free numbers of a layer \d×\d"),
        (lambda M, F, b: M, "wrong", "a number .* a Tensor"),
    ],
)
def test_free_numbers(answer, state, words):
    judged("01.4", answer, state, words)


def test_the_rank_agrees_with_wiggling_stored_numbers_one_by_one():
    """A second implementation: which stored numbers change what the layer does."""
    for seed, (targets, sources) in enumerate(notebook_01.SIZES, 1):
        mask, fixed, bias = notebook_01._spec(seed, targets, sources)
        weight = torch.where(fixed != 0, fixed, mask.float())
        layer = nn.Linear(sources, targets)
        x = torch.cat([torch.zeros(1, sources), torch.eye(sources)])
        free = 0
        for entry in np.ndindex(targets, sources + 1):
            read, offset = weight.clone(), torch.zeros(targets)
            if entry[1] == sources:
                offset[entry[0]] += bias[entry[0]].float()
            else:
                # what the layer reads after the stored number was raised by one
                read[entry] += float(mask[entry] and fixed[entry] == 0)
            now = nn.functional.linear(x, read, offset)
            before = nn.functional.linear(x, weight, torch.zeros(targets))
            free += bool((now != before).any())
        assert layer.weight.shape == mask.shape
        assert notebook_01._rank(mask, fixed, bias) == free == counted(mask, fixed, bias)
