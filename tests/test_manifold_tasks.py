"""Tasks of constrained Langevin training: drawn as said, split without leaks, bound by a rule."""

import gzip
import hashlib
import io
import json
import math
import sys
import warnings
from functools import partial
from itertools import chain
from urllib.error import URLError

import numpy as np
import pytest
import torch
from sklearn.datasets import _openml as openml
from sklearn.datasets import load_digits
from torch import nn
from torch.testing import assert_close

import shapekeeper as sk
from shapekeeper.randomness import generator
from shapekeeper.strategies import ConstrainedLangevin
from shapekeeper.tasks import (
    ALPHABET,
    CausalTransformer,
    Circles,
    OrthogonalLayers,
    Spirals,
    fashion_mnist,
    noisy_digits,
    published,
    spirals,
    symbols_of,
    text,
    text_parts,
)
from shapekeeper.tasks.text import _help


def rows(x):
    return {tuple(row) for row in x.flatten(1).tolist()}


# Rules


def test_circles_bind_every_matrix_the_first_with_a_radius_of_its_own():
    task = spirals(hidden=(100, 100), constraints=Circles(5, 2))
    radii = {name: circle.radius for name, circle in task.constraints.items()}
    assert radii == {"0.weight": 5, "2.weight": 2, "4.weight": 2}
    assert {c.radius for c in Circles(3)(task.start_model(0)).values()} == {3}


def test_circles_bind_kernels_and_tables_too():
    net = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.Embedding(4, 2))
    assert list(Circles(9)(net)) == ["0.weight", "2.weight"]


def test_circles_that_the_start_does_not_fit_on_are_refused_all_at_once():
    with pytest.raises(sk.TaskError, match=r"first=0\.7072.*others=0\.1001") as error:
        spirals(constraints=Circles(0.5, 0.05))
    assert len(error.value.problems) == 2
    assert spirals(constraints=Circles(0.7072, 0.1001)).constraints
    with pytest.raises(sk.TaskError, match=r"'2\.weight' starts.*wanted others="):
        noisy_digits(constraints=Circles(0.2, 0.02))
    with pytest.raises(sk.TaskError, match=r"'0\.weight' starts with numbers up to 4"):
        Circles(4.0)(nn.Sequential(nn.Embedding.from_pretrained(torch.full((3, 2), 4.1))))
    with pytest.raises(sk.ConstraintError, match="radius above 0"):
        Circles(1.0, 0.0)


def test_orthogonal_layers_are_all_but_the_first_and_perhaps_the_last():
    deep = {"hidden": (100, 100), "constraints": OrthogonalLayers()}
    assert spirals(**deep).constraints == {"2.weight": sk.Orthogonal(), "4.weight": sk.Orthogonal()}
    deep["constraints"] = OrthogonalLayers(output=False)
    assert list(spirals(**deep).constraints) == ["2.weight"]
    with pytest.raises(sk.TaskError, match=r"at least three weight matrices, this one has 2"):
        spirals(constraints=OrthogonalLayers(output=False))
    net = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))
    assert OrthogonalLayers()(net) == {"1.weight": sk.Orthogonal(4)}
    task = text("tiny", constraints=OrthogonalLayers())
    assert len(task.constraints) == 13  # six in each block, and the head
    assert "table.weight" not in task.constraints
    assert task.check()[0] == task.constraints


def test_constraints_may_be_named_one_by_one():
    box = sk.Box(-1, 1)
    assert spirals(constraints={"2.weight": box}).constraints == {"2.weight": box}
    assert spirals().constraints == {}


def test_the_code_of_a_task_says_its_rule():
    rule = OrthogonalLayers(output=False)
    for task in (
        spirals(constraints=Circles(5, 2), hidden=(9,)),
        noisy_digits(redrawn=0.2, hidden=(9, 9), constraints=rule),
    ):
        again = eval(task.code, {"sk": sk})
        assert again.constraints == task.constraints
        assert again.code == task.code


# Spirals


def test_points_lie_on_the_curve_and_the_other_class_opposite():
    shape = Spirals(radius=2.0, turns=3.0, power=0.5, noise=0.0)
    x, y = shape.points(2000, generator(0, "x"))
    first, second = x[y == 0], x[y == 1]
    assert torch.equal(second, -first)
    # without noise, radius and angle say the same: angle = 2 pi turns radius / 2
    out = first.norm(dim=1) / 2
    assert out.max() <= 1
    turned = torch.stack([(6 * math.pi * out).cos(), (6 * math.pi * out).sin()], 1)
    assert_close(first, 2 * out[:, None] * turned, atol=1e-5, rtol=0)


def test_a_power_of_one_half_spreads_points_evenly_over_the_disk():
    x, _ = Spirals(noise=0.0).points(40_000, generator(0, "x"))
    for r in (0.3, 0.5, 0.9):
        inside = (x.norm(dim=1) < r).double().mean().item()
        assert inside == pytest.approx(r**2, abs=4 * r * math.sqrt((1 - r**2) / 20_000))


def test_noise_has_its_standard_deviation_and_is_each_points_own():
    noisy, y = Spirals(noise=0.05).points(20_000, generator(0, "x"))
    clean, _ = Spirals(noise=0.0).points(20_000, generator(0, "x"))
    off = noisy - clean
    assert off.std().item() == pytest.approx(0.05, rel=4 / math.sqrt(2 * 40_000))
    together = torch.corrcoef(torch.cat([off[y == 0], off[y == 1]], 1).T) - torch.eye(4)
    assert together.abs().max() < 4 / math.sqrt(10_000)


def test_each_seed_draws_its_own_points_and_always_the_same():
    task = spirals()
    first, again, other = (task.data_for(seed) for seed in (0, 0, 1))
    for part, (x, y) in first.parts.items():
        assert torch.equal(again.parts[part][0], x)
        assert not rows(other.parts[part][0]) & rows(x)
        assert y.bincount().tolist() == [len(y) // 2] * 2
    assert not rows(first.train[0]) & (rows(first.test[0]) | rows(first.validation[0]))
    assert not torch.equal(task.start_model(0)[0].weight, task.start_model(1)[0].weight)


def test_the_tight_spirals():
    task = spirals(radius=2, turns=4, noise=0.02, train=500, test=1000, batch_size=25)
    data = task.data_for(0)
    assert len(data.train[1]) == 500
    assert len(data.test[1]) == 1000
    assert data.test[0].norm(dim=1).max().item() == pytest.approx(2, abs=0.1)


def test_loss_and_accuracy_of_a_spiral_by_hand():
    task = spirals()
    logit, target = torch.tensor([[0.0], [2.0], [1.0]]), torch.tensor([0, 1, 0])
    wanted = (math.log(2) + math.log1p(math.exp(-2)) + math.log1p(math.exp(1))) / 3
    assert task.loss(logit, target).item() == pytest.approx(wanted)
    assert task.metric(logit, target).item() == pytest.approx(2 / 3)


def test_spirals_that_can_not_be():
    with pytest.raises(sk.TaskError, match=r"train must be even.*got 7.*test.*got 0") as error:
        spirals(train=7, test=0)
    assert len(error.value.problems) == 2
    with pytest.raises(sk.TaskError, match=r"turns must be above 0, got 0.*noise.*got -1"):
        spirals(turns=0, noise=-1)
    with pytest.raises(sk.TaskError, match=r"needs a unit, got sizes=\(2, 0, 1\)"):
        spirals(hidden=(0,)).start_model(0)


# Noisy digits


def true_labels(x):
    bunch = load_digits()
    known = {tuple(row): int(y) for row, y in zip(bunch.data, bunch.target, strict=True)}
    return torch.tensor([known[tuple(row)] for row in (x * 16).tolist()])


def test_a_tenth_of_the_labels_is_redrawn_and_a_tenth_of_these_stays_right():
    wrong = []
    for seed in range(40):
        x, y = noisy_digits().data_for(seed).train
        off = y != true_labels(x)
        assert off[30:].sum() == 0
        wrong.append(off[:30])
    share = torch.cat(wrong).double().mean().item()
    assert share == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 1200))


def test_validation_and_test_keep_their_labels():
    data = noisy_digits(redrawn=1.0).data_for(3)
    for x, y in (data.validation, data.test):
        assert torch.equal(y, true_labels(x))


def test_no_image_of_the_test_is_ever_learned_from_or_chosen_by():
    task = noisy_digits()
    test = rows(task.data_for(0).test[0])
    for seed in range(5):
        data = task.data_for(seed)
        train, validation = rows(data.train[0]), rows(data.validation[0])
        assert rows(data.test[0]) == test
        assert (len(train), len(validation), len(test)) == (300, 900, 597)
        assert not train & validation
        assert not test & (train | validation)


def test_each_seed_learns_from_its_own_images():
    task = noisy_digits()
    first, again, other = (task.data_for(seed).train for seed in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert 50 < len(rows(first[0]) & rows(other[0])) < 130  # 90 by chance


def test_noisy_digits_that_can_not_be():
    with pytest.raises(sk.TaskError, match=r"train must be from 1 to 999, got 1000.*redrawn.*-1"):
        noisy_digits(train=1000, redrawn=-1)


# In company


@pytest.mark.parametrize("make", [spirals, partial(noisy_digits, hidden=(20, 20))])
def test_runs_are_trained_as_one_program(make):
    task = make(constraints=Circles(5, 2))
    found = sk.compare(task, [sk.Unconstrained(), sk.Projection()], seeds=2, steps=3)
    assert found.notes == []
    assert found.final()["loss"].notna().all()


def test_a_circle_keeps_noisy_labels_from_being_learned_by_heart():
    task = noisy_digits(constraints=Circles(0.175, 0.225))
    found = sk.compare(task, [sk.Unconstrained(), sk.Projection()], seeds=3, steps=1500)
    last = found.final().groupby(level="strategy").mean()
    assert last["loss"]["Unconstrained"] < 0.9 * last["loss"]["Projection"]
    assert last["loss:test"]["Projection"] < 0.95 * last["loss:test"]["Unconstrained"]
    assert last["metric"]["Projection"] > last["metric"]["Unconstrained"]


# The transformer


def reference(block, width, heads, hidden, norm_first):
    """The same block as PyTorch builds it."""
    layer = nn.TransformerEncoderLayer(
        width, heads, hidden, dropout=0.0, batch_first=True, norm_first=norm_first
    )
    inside = [block.query, block.key, block.value]
    pairs = {
        layer.self_attn.in_proj_weight: torch.cat([p.weight for p in inside]),
        layer.self_attn.in_proj_bias: torch.cat([p.bias for p in inside]),
    }
    twins = {
        layer.self_attn.out_proj: block.out,
        layer.linear1: block.up,
        layer.linear2: block.down,
        layer.norm1: block.norm_seen,
        layer.norm2: block.norm_thought,
    }
    for theirs, ours in twins.items():
        pairs |= {theirs.weight: ours.weight, theirs.bias: ours.bias}
    with torch.no_grad():
        for theirs, ours in pairs.items():
            theirs.copy_(ours)
    return layer


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_block_is_that_of_pytorch(norm_first):
    torch.manual_seed(0)
    sizes = {"width": 12, "heads": 3, "hidden": 20, "norm_first": norm_first}
    net = CausalTransformer(7, 9, **sizes)
    for parameter in net.parameters():  # gains and biases that are not 1 and 0
        nn.init.normal_(parameter, std=0.5)
    x = torch.randint(7, (4, 9))
    h = math.sqrt(12) * net.table(x) + net.positions
    mask = nn.Transformer.generate_square_subsequent_mask(9)
    for block in net.blocks:
        layer = reference(block, **sizes)
        expected = layer(h, src_mask=mask, is_causal=True)
        h = block(h)
        assert_close(h, expected)
    assert_close(net(x), net.head(net.norm(h)))


@pytest.mark.parametrize("norm_first", [True, False])
def test_what_comes_later_never_changes_what_was_said(norm_first):
    torch.manual_seed(0)
    net = CausalTransformer(7, 9, width=8, norm_first=norm_first)
    x = torch.randint(7, (5, 9))
    for place in range(9):
        changed = x.clone()
        changed[:, place] = (x[:, place] + 1) % 7
        off = (net(changed) - net(x)).abs().amax((0, 2))
        assert (off[:place] == 0).all()
        assert off[place] > 1e-4
    assert_close(net(x[:, :4]), net(x)[:, :4])


def test_positions_are_sines():
    net = CausalTransformer(3, 50, width=8)
    for place, i in ((0, 0), (7, 1), (49, 3)):
        angle = place / 10_000 ** (2 * i / 8)
        pair = net.positions[place, [2 * i, 2 * i + 1]].tolist()
        assert pair == pytest.approx([math.sin(angle), math.cos(angle)], abs=1e-5)
    assert "positions" not in net.state_dict()


def test_a_transformer_that_can_not_be():
    with pytest.raises(sk.TaskError, match=r"even multiple of heads, got.*width=9, heads=2"):
        CausalTransformer(3, 5, width=9)


# Text


def characters(symbols):
    return "".join(ALPHABET[i] for i in symbols.tolist())


def test_symbols_are_places_in_the_alphabet():
    assert len(ALPHABET) == 96
    assert characters(symbols_of(ALPHABET)) == ALPHABET


def test_targets_are_the_inputs_one_character_on():
    data = text("full").data_for(0)
    for x, y in data.parts.values():
        assert x.dtype == y.dtype == torch.uint8
        assert torch.equal(x[:, 1:], y[:, :-1])


def test_windows_never_cross_parts():
    parts = text_parts()
    for size in ("tiny", "full"):
        for name, (x, y) in text(size).data_for(0).parts.items():
            for i in range(0, len(x), 97):
                assert characters(x[i]) + characters(y[i, -1:]) in parts[name]
    x, _ = text("full").data_for(0).train
    last = characters(x[-1])
    assert len(parts["train"]) - parts["train"].rindex(last) < 64 + 9  # nothing is left unused


def test_windows_to_be_judged_by_do_not_overlap_and_reach_through_their_part():
    parts = text_parts()
    for name in ("validation", "test"):
        x, _ = text("small").data_for(0).parts[name]
        found, begin = [], 0
        for window in map(characters, x):
            begin = parts[name].index(window, begin)
            found.append(begin)
            begin += 64
        assert len(found) == 128
        assert found[-1] > 0.97 * len(parts[name])


def test_no_paragraph_of_the_test_was_read_in_training():
    paragraphs = {
        name: {" ".join(p.split()) for p in part.split("\n\n")[1:-1]}
        for name, part in text_parts().items()
    }
    assert not paragraphs["test"] & paragraphs["train"]
    assert not paragraphs["test"] & paragraphs["validation"]
    assert not paragraphs["validation"] & paragraphs["train"]
    assert sum(map(len, paragraphs.values())) > 1000


def test_a_text_of_ones_own(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("“Why…\n\n\n why” –\tλ!\n\n" + "\n\n".join(map(str, range(9000))), "utf-8")
    parts = text_parts(path)
    assert parts["train"].startswith('"Why...\n\n why" -??!\n\n0\n\n1\n\n')
    task = text("tiny", source=str(path), context=16)
    assert eval(task.code, {"sk": sk}).data_for(0).test[0].equal(task.data_for(0).test[0])
    path.write_text("too short")
    with pytest.raises(sk.TaskError, match=r"more than context=64 characters, got train 7.*longer"):
        text("tiny", source=path)
    with pytest.raises(sk.TaskError, match=r"in UTF-8, but '.*none.txt' can't be read"):
        text("tiny", source=tmp_path / "none.txt")


def test_python_without_its_help_is_told_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    _help.cache_clear()
    with pytest.raises(sk.TaskError, match=r"without pydoc_data.*source="):
        text("tiny")


def test_text_that_can_not_be():
    with pytest.raises(
        sk.TaskError, match=r"size of tiny, small, full and context >= 1.*'huge', 0"
    ):
        text("huge", context=0)


def test_loss_in_nats_and_metric_in_bits():
    task = text("tiny")
    logits, target = torch.zeros(2, 3, 96), torch.zeros(2, 3, dtype=torch.uint8)
    assert task.loss(logits, target).item() == pytest.approx(math.log(96))
    assert task.metric(logits, target).item() == pytest.approx(math.log2(96))


def test_circles_bind_all_matrices_of_the_transformer():
    task = text("tiny", layers=1, constraints=Circles(0.2, 0.5))
    names = [n for n, weight in task.start_model(0).named_parameters() if weight.dim() > 1]
    assert list(task.constraints) == names
    assert task.constraints["table.weight"] == sk.Circle(0.2)
    assert len(names) == 8
    with pytest.raises(sk.TaskError, match=r"'table.weight' starts with numbers up to"):
        text("tiny", constraints=Circles(0.1))


def test_the_transformer_trains_as_one_program_and_learns_more_than_frequencies():
    small = {"context": 32, "width": 32, "layers": 1, "hidden": 32}
    task = text("tiny", **small, constraints=Circles(0.6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a layer without a rule for many runs would warn
        found = sk.compare(task, [sk.Unconstrained(), sk.Projection()], seeds=2, steps=200)
    assert found.notes == []
    counts = symbols_of(text_parts()["train"][:4000]).long().bincount().double()
    entropy = torch.distributions.Categorical(counts).entropy().item()
    assert (found.final()["loss"] < entropy - 0.4).all()


# Fashion-MNIST


def answer(name, url, pixels, labels):
    """What OpenML says at a url about a small data set of that form."""
    header = "".join(f"@ATTRIBUTE pixel{i} REAL\n" for i in range(1, 785))
    rows = (f"{','.join(map(str, x))},{y}\n" for x, y in zip(pixels, labels, strict=True))
    classes = ",".join(map(str, range(10)))
    arff = f"@RELATION {name}\n{header}@ATTRIBUTE class {{{classes}}}\n@DATA\n{''.join(rows)}"
    arff = arff.encode()
    if "/features/" in url:
        names = [*((f"pixel{i}", "numeric") for i in range(1, 785)), ("class", "nominal")]
        common = {"is_ignore": "false", "is_row_identifier": "false", "number_of_missing_values": 0}
        features = [
            {"index": i, "name": n, "data_type": t, "is_target": str(n == "class").lower()} | common
            for i, (n, t) in enumerate(names)
        ]
        return json.dumps({"data_features": {"feature": features}}).encode()
    if "/qualities/" in url:
        quality = [{"name": "NumberOfInstances", "value": str(len(labels))}]
        return json.dumps({"data_qualities": {"quality": quality}}).encode()
    if "/list/" in url:
        known = [{"did": 40996, "name": name, "version": 1, "status": "active"}]
        return json.dumps({"data": {"dataset": known}}).encode()
    if url.endswith("/40996"):
        said = {"id": 40996, "name": name, "version": 1, "status": "active", "format": "ARFF"}
        said |= {"url": "https://www.openml.org/data/v1/download/18238735", "description": "small"}
        said |= {"md5_checksum": hashlib.md5(arff).hexdigest()}
        return json.dumps({"data_set_description": said}).encode()
    return arff


class Reply(io.BytesIO):
    def info(self):
        return {}


@pytest.fixture
def small_fashion(tmp_path, monkeypatch):
    """A home with 70 images in it, and no network."""
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (70, 784)), np.arange(70) % 10
    asked = []

    def serve(request):
        asked.append(request.full_url)
        return Reply(answer("Fashion-MNIST", request.full_url, pixels, labels))

    monkeypatch.setattr(openml, "urlopen", serve)
    fashion_mnist(train=1, data_home=tmp_path)
    assert len(asked) == 5
    monkeypatch.setattr(openml, "urlopen", unplugged)
    return tmp_path, torch.tensor(pixels), torch.tensor(labels)


def unplugged(request):
    raise URLError("no network")


def test_fashion_mnist_is_read_from_disk_and_split_as_the_paper_does(small_fashion):
    home, pixels, labels = small_fashion
    data = fashion_mnist(train=10, validation=6, data_home=home).data_for(3)
    assert [len(y) for _, y in data.parts.values()] == [10, 54, 6]
    known = {tuple(row): i for i, row in enumerate(pixels.tolist())}
    places = {}
    for name, (x, y) in data.parts.items():
        assert x.min() >= 0
        assert x.max() <= 1
        rows = (x * 255).round().to(torch.int64).tolist()
        places[name] = [known[tuple(row)] for row in rows]
        assert torch.equal(y, labels[places[name]])
    assert sorted(chain(*places.values())) == list(range(70))  # each image once
    assert set(range(60, 70)) <= set(places["test"])  # the official test images
    bare = fashion_mnist(train=10, data_home=str(home))
    assert bare.data_for(0).validation is None
    assert len(bare.data_for(0).test[1]) == 60


def test_fashion_mnist_trains(small_fashion):
    task = fashion_mnist(
        train=30, data_home=small_fashion[0], batch_size=10, constraints=Circles(0.05, 0.1)
    )
    assert {n: c.radius for n, c in task.constraints.items()} == {"0.weight": 0.05, "2.weight": 0.1}
    found = sk.compare(task, [sk.Projection()], seeds=2, steps=2)
    assert found.notes == []


def test_fashion_mnist_that_can_not_be(small_fashion):
    with pytest.raises(sk.TaskError, match=r"no more than 60 together, got 60 and 1"):
        fashion_mnist(train=60, validation=1, data_home=small_fashion[0])


def test_without_disk_and_network_the_way_out_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(openml, "urlopen", unplugged)
    monkeypatch.setattr(openml.time, "sleep", lambda seconds: None)
    with (
        pytest.warns(UserWarning, match="network error"),
        pytest.raises(sk.TaskError, match=r"data in '.*' or a network.*no network.*data_home="),
    ):
        fashion_mnist(data_home=tmp_path)


def test_a_damaged_file_is_told_as_well(small_fashion, monkeypatch):
    home = small_fashion[0]
    monkeypatch.setattr(openml.time, "sleep", lambda seconds: None)
    for path in (home / "openml").rglob("*18238735*"):
        path.write_bytes(gzip.compress(b"@RELATION broken"))
    with (
        pytest.warns((UserWarning, RuntimeWarning)),
        pytest.raises(sk.TaskError, match=r"Wanted the data in"),
    ):
        fashion_mnist(data_home=home)


# Published settings


ALL = [value for value in vars(published).values() if isinstance(value, published.Published)]


def test_what_is_known_of_the_overview_figure():
    told = {(r.method, r.what): (r.low, r.high, r.sure) for r in published.OVERVIEW_SPIRALS.numbers}
    accuracies = {m: low for (m, what), (low, _, _) in told.items() if what == "test accuracy, %"}
    assert accuracies == {
        "SGD": 81,
        "SGD with weight decay": 80.45,
        "C-SGD": 86.95,
        "SGLD": 84.45,
        "C-SGLD": 91.7,
    }
    # multiples of 0.05 %: 2000 test points
    assert all(value * 20 == pytest.approx(round(value * 20)) for value in accuracies.values())
    assert told["SGLD", "test loss"] == (0.75, 1.3, "by eye")
    data = published.OVERVIEW_SPIRALS.task.data_for(0)
    assert len(data.test[1]) == 2000
    with pytest.raises(sk.TaskError, match=r"step_size and temperature are not known"):
        _ = published.OVERVIEW_SPIRALS.strategy
    with pytest.raises(sk.TaskError, match="number of steps is not known"):
        _ = published.OVERVIEW_SPIRALS.steps


def test_settings_of_the_published_fashion_mnist(small_fashion, monkeypatch):
    told = published.FASHION_MNIST
    assert told.strategy == ConstrainedLangevin(0.3, friction=1.0)
    assert told.momentum == pytest.approx(math.exp(-0.3))
    assert (told.radii, told.runs, told.epochs, told.batch_size) == ((0.05, 0.1), 20, 400, 128)
    assert told.steps == 400 * 78
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(small_fashion[0]))
    with pytest.raises(sk.TaskError, match="no more than 60 together, got 10000"):
        _ = told.task
    assert told.make(train=10).constraints == Circles(0.05, 0.1)(
        nn.Sequential(nn.Linear(784, 1000), nn.ReLU(), nn.Linear(1000, 10))
    )


def test_settings_of_the_published_resnet():
    told = published.CIFAR10_RESNET34
    assert told.momentum == pytest.approx(0.9)
    assert told.strategy.step_size**2 == pytest.approx(0.1)
    rates = {epoch: h**2 for epoch, h in told.schedule}
    assert rates == pytest.approx({0: 0.1 / 3, 1: 0.2 / 3, 2: 0.1, 51: 0.01, 101: 0.001})
    with pytest.raises(sk.TaskError, match=r"not part of this library; sk\.tasks\.noisy_digits"):
        _ = told.task


def test_settings_of_the_tight_spirals():
    task = published.TIGHT_SPIRALS.task
    assert published.TIGHT_SPIRALS.steps == 4000 * 20 == 4000 * (500 // task.batch_size)
    optimizer = task.optimizer(task.start_model(0).parameters())
    assert isinstance(optimizer, torch.optim.Adam)
    assert optimizer.defaults["lr"] == published.TIGHT_SPIRALS.step_size
    with pytest.raises(sk.TaskError, match="trained by Adam, without constraints"):
        _ = published.TIGHT_SPIRALS.strategy


@pytest.mark.parametrize("told", ALL, ids=lambda told: told.name)
def test_every_published_experiment_has_a_source_and_a_task_or_one_nearby(told):
    assert "arXiv" in told.source
    assert told.unsure
    assert (told.make is None) == bool(told.nearest)
    if told.nearest:
        assert eval(told.nearest, {"sk": sk}).constraints
    elif told is not published.FASHION_MNIST:
        assert told.task.check()


def test_there_are_six_published_experiments():
    assert len(ALL) == 6
