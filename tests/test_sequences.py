"""Text of four letters: of its grammar, as hard as is said, and read in order."""

import re
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import log

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.testing import assert_close

import shapekeeper as sk
from shapekeeper.tasks import TaskError, sequence_floor, sequence_text, sequences, two_texts

DOUBLE = torch.float64


def spelled(places) -> str:
    return "".join("()ab"[i] for i in places.tolist())


def of_one_hot(x) -> str:
    assert (x.sum(-1) == 1).all()
    return spelled(x.argmax(-1))


# -- the grammar, by readers of its strings -------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 5, 977])
def test_easy_text_is_repeated_pairs_in_brackets(length):
    for text in map(spelled, sequence_text(0, length, streams=4, seed=3)):
        assert len(text) == length
        assert re.fullmatch(r"(\((ab)+\))*(\((ab)*a?)?", text), text


@pytest.mark.parametrize("level", [1, 2, 3, 6])
def test_each_group_is_the_last_backwards_with_one_letter_turned(level):
    places = Counter()
    for text in map(spelled, sequence_text(level, 300 * (level + 2), streams=3, seed=1)):
        assert re.fullmatch(rf"(\([ab]{{{level}}}\)){{300}}", text)
        groups = re.findall("[ab]+", text)
        for last, group in pairwise(groups):
            turned = [i for i, (a, b) in enumerate(zip(last[::-1], group, strict=True)) if a != b]
            assert len(turned) == 1, (last, group)
            places[turned[0]] += 1
    # all places alike
    assert len(places) == level
    turns, chance = places.total(), 1 / level
    spread = (turns * chance * (1 - chance)) ** 0.5
    assert all(abs(n - turns * chance) <= 4 * spread for n in places.values())


def test_a_text_that_ends_in_the_middle_of_a_group_is_the_beginning_of_a_longer_one():
    whole = sequence_text(3, 50, streams=1, seed=5)
    assert whole.shape == (1, 50)
    assert spelled(whole[0]).startswith("(")
    for level in (0, 3):
        long, short = (sequence_text(level, n, streams=1, seed=5) for n in (50, 48))
        assert torch.equal(long[:, :48], short)


def test_first_groups_are_any():
    firsts = Counter(spelled(t)[1:3] for t in sequence_text(2, 4, streams=4000, seed=0))
    assert set(firsts) == {"aa", "ab", "ba", "bb"}
    assert stats.chisquare([*firsts.values()]).pvalue > 1e-3


def test_after_each_pair_another_follows_six_times_in_ten():
    text = spelled(sequence_text(0, 100_000, seed=2)[0])
    after = Counter(text[i + 1] for i in (m.start() for m in re.finditer("b", text[:-1])))
    assert set(after) == {"a", ")"}
    assert stats.binomtest(after["a"], after.total(), 0.6).pvalue > 1e-3
    # no memory: strings have a geometric length
    lengths = Counter(len(s) // 2 for s in re.findall("[ab]+", text[:-100]))
    strings = lengths.total()
    wanted = [strings * 0.4 * 0.6**k for k in range(5)]
    found = [lengths[k + 1] for k in range(5)]
    rest = strings - sum(found), strings - sum(wanted)
    assert stats.chisquare([*found, rest[0]], [*wanted, rest[1]]).pvalue > 1e-3


# -- the floors, by counting ----------------------------------------------------------------------


def counted(contexts, letters) -> float:
    """Entropy of letters given contexts, in nats, weighted by how often each stands there."""
    pairs, pair_counts = np.unique(contexts * 4 + letters, return_counts=True)
    known, known_counts = np.unique(contexts, return_counts=True)
    of_context = dict(zip(known.tolist(), known_counts.tolist(), strict=True))
    above = np.array([of_context[c] for c in (pairs // 4).tolist()])
    return float(-(pair_counts * np.log(pair_counts / above)).sum() / len(letters))


def test_the_floor_of_easy_text():
    text = sequence_text(0, 150_000, seed=7)[0].numpy()
    found = counted(text[:-1], text[1:])
    assert found == pytest.approx(sequence_floor(0), abs=1e-3)
    # nothing further back tells more
    assert counted(text[:-2] * 4 + text[1:-1], text[2:]) == pytest.approx(found, abs=2e-4)


@pytest.mark.parametrize("level", [1, 2, 4, 6])
def test_the_floor_of_hard_text(level):
    """Given the last group and what has been read of this one, letter by letter."""
    size = level + 2
    streams = 10
    text = sequence_text(level, 10**6 // (streams * size) * size, streams, seed=7).numpy()
    groups = text.reshape(streams, -1, size)
    last = (groups[:, :-1, 1:-1] - 2) @ (2 ** np.arange(level))
    now = groups[:, 1:]
    total, begun = 0.0, np.ones_like(last)
    for place in range(size):
        context = begun * 2**level + last
        total += counted(context.ravel(), now[:, :, place].ravel())
        begun = begun * 4 + now[:, :, place]
    # Counting knows a little too much: half a nat for each context, over all characters.
    assert total / size == pytest.approx(sequence_floor(level), abs=1.2e-3)


def test_floors_that_are_known():
    found = [round(sequence_floor(level), 4) for level in (0, 1, 2, 4, 6)]
    assert found == [0.2404, 0, round(log(2) / 4, 4), 0.231, 0.224]


# -- windows --------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 4])
def test_windows_are_read_in_order_across_batches(level):
    streams, window, windows = 3, 7, 11
    task = sequences(level, units=4, streams=streams, window=window, windows=windows)
    x, y = task.data_for(5).train
    wanted = sequence_text(level, window * windows + 1, streams, seed=5)
    batches = task.batches(seed=5, epoch=2, n=len(x))
    assert batches.shape == (windows, streams)
    for stream, text in enumerate(map(spelled, wanted)):
        seen = "".join(of_one_hot(x[batch[stream]]) for batch in batches)
        guessed = "".join(spelled(y[batch[stream]]) for batch in batches)
        assert seen == text[:-1]
        assert guessed == text[1:]


def test_each_seed_has_a_text_of_its_own_and_all_are_judged_by_one():
    task = sequences(3, units=4, streams=2, window=10, windows=6)
    zero, one, again = (task.data_for(seed) for seed in (0, 1, 0))
    assert not torch.equal(zero.train[0], one.train[0])
    assert_close(zero.train, again.train, rtol=0, atol=0)
    assert_close(zero.test, one.test, rtol=0, atol=0)
    # a text of its own, that continues over its windows
    x, y = (part.unflatten(0, (-1, 2)).transpose(0, 1).flatten(1, 2) for part in zero.test)
    for stream in range(2):
        assert of_one_hot(x[stream])[1:] == spelled(y[stream])[:-1]
        assert of_one_hot(x[stream]) != of_one_hot(zero.train[0][stream::2].flatten(0, 1))


def test_two_texts_are_two_texts():
    task = two_texts(0, 3, streams=2, window=10, windows=5)
    x, y = (part.unflatten(0, (-1, 2)) for part in task.data_for(4).train)
    left, right = (of_one_hot(x[:, 0, :, part].flatten(0, 1)) for part in (slice(4), slice(4, 8)))
    assert left == spelled(sequence_text(0, 51, 2, seed=4)[0])[:-1]
    assert re.fullmatch(r"(\([ab]{3}\))*.*", right)
    for side, text in enumerate((left, right)):
        assert spelled(y[:, 0, :, side].flatten())[:-1] == text[1:]


def test_equal_levels_are_still_two_texts():
    x = two_texts(3, 3, streams=2, window=20, windows=5).data_for(0).train[0]
    assert not torch.equal(x[..., :4], x[..., 4:])


def test_the_score_is_nats_per_character():
    """Of one who knows the probabilities, and of one who knows nothing."""
    task = sequences(0, units=4, streams=8, window=50, windows=100)
    x, y = task.data_for(0).train
    chances = torch.tensor([[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0.4, 0.6, 0]])
    scores = chances.clamp_min(1e-30).log()[x.argmax(-1)]
    assert task.metric(scores, y).item() == pytest.approx(sequence_floor(0), abs=5e-3)
    assert task.metric(torch.zeros_like(scores), y).item() == pytest.approx(log(4), abs=1e-6)
    both = two_texts(0, 0, streams=8, window=50, windows=10)
    z = both.data_for(0).test[1]
    assert both.loss(torch.zeros(*z.shape[:2], 8), z).item() == pytest.approx(2 * log(4), abs=1e-6)


@pytest.mark.parametrize(
    "task", [sequences(2, units=5, windows=7), two_texts(0, 2, streams=3, windows=4)]
)
def test_the_code_of_a_task_makes_it_again(task):
    again = eval(task.code, {"sk": sk})
    assert_close(again.data_for(3).train, task.data_for(3).train, rtol=0, atol=0)
    starts = (dict(one.start_model(3).named_parameters()) for one in (again, task))
    assert_close(*starts, rtol=0, atol=0)


def test_weights_begin_small_and_biases_at_0():
    net = sequences(units=64).start_model(0)
    assert net.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert torch.cat([net.bias, net.output_bias]).abs().max() == 0
    assert (sequences(units=64).start_model(1).weight != net.weight).all()


# -- batches in order -----------------------------------------------------------------------------


def halving(in_order: bool) -> sk.Task:
    """Half way to each target in turn: the final weight is the order of the batches, in binary."""
    draw = torch.Generator().manual_seed(0)
    y = torch.randint(2, (16, 1), generator=draw).double()
    x = torch.ones(16, 1, dtype=DOUBLE)

    def model(seed: int) -> nn.Module:
        net = nn.Linear(1, 1, bias=False, dtype=DOUBLE)
        nn.init.zeros_(net.weight)
        return net

    def loss(prediction, target):
        return 0.5 * (prediction - target).square().mean()

    return sk.Task(
        "halving",
        model=model,
        data=sk.Data((x, y), (x, y)),
        loss=loss,
        metric=loss,
        constraints={"weight": sk.Box(-5, 5)},
        batch_size=1,
        optimizer=partial(torch.optim.SGD, lr=0.5),
        better="lower",
        in_order=in_order,
    )


def test_compare_takes_batches_in_order():
    task = halving(in_order=True)
    targets = task.data_for(0).train[1].flatten().tolist()
    order = [*targets, *targets[:4]]  # and from the beginning after the end
    found = sk.compare(task, [sk.Unconstrained()], seeds=2, steps=20, device="cpu")
    start = sk.Box(-5, 5).start(torch.zeros(1, dtype=DOUBLE)).item()
    wanted = start / 2**20 + sum(y / 2 ** (20 - k) for k, y in enumerate(order))
    weights = found.tensors["Unconstrained"]["weight"].flatten()
    assert weights.tolist() == pytest.approx([wanted] * 2, abs=1e-15)
    shuffled = sk.compare(halving(False), [sk.Unconstrained()], seeds=2, steps=20, device="cpu")
    assert len({wanted, *shuffled.tensors["Unconstrained"]["weight"].flatten().tolist()}) == 3


def test_batches_that_are_cut():
    x = torch.zeros(7, 1)
    task = replace(halving(True), data=sk.Data((x, x), (x, x)), batch_size=3)
    assert task.batches(seed=0, epoch=0, n=7).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert task.batches(seed=1, epoch=9, n=7).tolist() == [[0, 1, 2], [3, 4, 5]]
    mixed = replace(task, in_order=False).batches(seed=1, epoch=9, n=7)
    assert sorted({*mixed.flatten().tolist()} | {0}) != mixed.flatten().tolist()
    with pytest.raises(ValueError, match="batch_size is 3, but there are 2 training examples"):
        task.batches(seed=0, epoch=0, n=2)


def test_a_checkpoint_refuses_batches_in_another_order(tmp_path):
    sk.compare(halving(True), [sk.Projection()], steps=4, seeds=1, checkpoint=tmp_path)
    with pytest.raises(sk.ComparisonError, match="in_order"):
        sk.compare(halving(False), [sk.Projection()], steps=4, seeds=1, checkpoint=tmp_path)


# -- networks that go on --------------------------------------------------------------------------


def three_areas(layout: str = "dense", **settings):
    graph = sk.RegionGraph(
        [sk.Region("a", 4, input=2), sk.Region("b", 3), sk.Region("c", 5, input=1, output=True)],
        [sk.Pathway("a", "b"), sk.Pathway("b", "c", density=0.5), sk.Pathway("c", "a")],
    )
    net = sk.compile_network(graph, 3, 2, layout=layout, activation=torch.tanh, **settings)
    return net.double()


@pytest.mark.parametrize("layout", ["dense", "blocked"])
@pytest.mark.parametrize("cuts", [(9,), (1, 2), (4, 5, 8)])
def test_going_on_is_one_long_call(layout, cuts):
    net = three_areas(layout, steps=2)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(6, 10, 3, generator=draw, dtype=DOUBLE)
    h, answers = net.rest(6), []
    assert h.shape == (12, 6)
    assert h.dtype == DOUBLE
    for window in x.tensor_split(cuts, dim=1):
        answer, h = net(window, h)
        answers.append(answer)
    assert_close(torch.cat(answers, dim=1), net(x), rtol=0, atol=1e-14)
    # what it goes on from matters, and it is the activities of all units
    other, after = net(x[:, 9:], torch.zeros_like(h))
    assert (other - answers[-1][:, -1:]).abs().max() > 1e-3
    assert after.shape == h.shape


def test_one_step_by_hand():
    """h' = tanh(W h + W_in x + b), y = W_out h' + b_out."""
    net = sequences(units=5, level=2).start_model(1).double()
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(3, 1, 4, generator=draw, dtype=DOUBLE)
    h = torch.randn(5, 3, generator=draw, dtype=DOUBLE)
    after = torch.tanh(net.weight @ h + net.input_weights[0] @ x[:, 0].T + net.bias[:, None])
    answer = net.output_weight @ after + net.output_bias[:, None]
    found = net(x, h)
    assert_close(found[1], after)
    assert_close(found[0][:, 0].T, answer)


def test_gradients_flow_through_what_it_goes_on_from():
    net = three_areas(steps=2)
    x = torch.ones(1, 3, 3, dtype=DOUBLE)
    h = net.rest(1).requires_grad_()
    net(x, h)[0].sum().backward()
    assert (h.grad != 0).any()


def test_nothing_can_go_on():
    forward = sk.RegionGraph(
        [sk.Region("a", 2, input=True), sk.Region("b", 2, output=True)], [sk.Pathway("a", "b")]
    )
    feedforward = sk.compile_network(forward, 3, 2)
    wanted = r"Wanted a recurrent network and input of shape \(batch, time, features\) to go on"
    with pytest.raises(ValueError, match=wanted + r".*\(5, 4, 3\) and a network with steps=None"):
        feedforward(torch.zeros(5, 4, 3), feedforward.rest(5))
    net = three_areas(steps=2)
    with pytest.raises(ValueError, match=wanted + r".*\(5, 3\).*Leave h out, or compile with"):
        net(torch.zeros(5, 3, dtype=DOUBLE), net.rest(5))
    with pytest.raises(ValueError, match=r"Wanted input of shape .*, got \(5, 4, 2\)"):
        net(torch.zeros(5, 4, 2, dtype=DOUBLE), net.rest(5))


# -- two areas ------------------------------------------------------------------------------------


def sides(task, net, other: int):
    """How far the outputs of each side move if the text of one side is another."""
    x = task.data_for(0).test[0].to(next(net.parameters()).dtype)
    y = x.clone()
    part = slice(4 * other, 4 * other + 4)
    y[..., part] = y[..., part].flip(0)
    moved = (net(x) - net(y)).abs()
    return moved[..., :4].max().item(), moved[..., 4:].max().item()


def test_left_outputs_cannot_see_the_right_area():
    task = two_texts(0, 2, streams=4, window=10, windows=5)
    net = sk.growth.grow(task, seeds=1, steps=15, start=5, device="cpu").models()[0]
    left, right = sides(task, net, other=1)
    assert (left, right > 0) == (0, True)
    left, right = sides(task, net, other=0)
    assert (left > 0, right) == (True, 0)
    # it is the constraint that keeps them apart
    assert min(sides(task, task.start_model(3), other=1)) > 0


def test_areas_may_help_each_other_and_still_speak_for_themselves():
    graph = sk.RegionGraph(
        [sk.Region(name, 5, input=4, output=True) for name in ("left", "right")]
        + [sk.Region("between", 3)],
        [sk.Pathway("right", "between"), sk.Pathway("between", "left")],
    )
    task = two_texts(0, 2, graph=graph, streams=4, window=10, windows=5)
    found = sk.growth.grow(task, seeds=1, steps=15, start=3, device="cpu")
    net = found.models()[0]
    assert sides(task, net, other=1)[0] > 0
    assert sides(task, net, other=0)[1] == 0
    sizes = {region.name: region.size for region in net.graph.regions}
    heard = net.output_weight[:, : sizes["left"]], net.output_weight[:, sizes["left"] :]
    assert heard[0][4:].abs().max() == heard[1][:4].abs().max() == 0
    assert min(heard[0][:4].abs().max(), heard[1][4:].abs().max()) > 0


# -- errors ---------------------------------------------------------------------------------------


def test_all_problems_at_once():
    with pytest.raises(TaskError) as caught:
        sequences(level=-1, units=0, streams=1.5, window=True, windows="3")
    assert caught.value.problems == [
        "Wanted level as a whole number from 0 up, got -1.",
        "Wanted units as a whole number from 1 up, got 0.",
        "Wanted streams as a whole number from 1 up, got 1.5.",
        "Wanted window as a whole number from 1 up, got True.",
        "Wanted windows as a whole number from 1 up, got '3'.",
    ]
    with pytest.raises(
        TaskError, match=r"characters as a .* from 1 up, got 0\. .*streams .* got '2'"
    ):
        sequence_text(3, 0, streams="2")
    with pytest.raises(TaskError, match=r"^sequences: Wanted level as a whole number from 0 up"):
        sequence_floor(2.0)


def test_two_texts_refuse_what_has_not_two_of_each():
    graph = sk.RegionGraph(
        [sk.Region("a", 3, input=4), sk.Region("b", 3, input=3, output=True)],
        [sk.Pathway("a", "b")],
    )
    with pytest.raises(TaskError, match=r"got 2 inputs of \[4, 3\] and 1 outputs\. Mark two"):
        two_texts(graph=graph)
    with pytest.raises(TaskError, match=r"easy .* got -1\..*hard .* got -2\..*streams .* got 0"):
        two_texts(easy=-1, hard=-2, streams=0)
