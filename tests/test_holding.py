"""`hold` against `compare`; what it refuses, reports and leaves behind."""

import copy
import gc
import io
import pickle
import re
import subprocess
import sys
import warnings
import weakref
from functools import partial

import pytest
import torch
from points import CLOSED, DOUBLE, MASK, OPTIMIZERS, Net, task
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune

import shapekeeper as sk
from shapekeeper.holding.watch import _HOLDERS
from shapekeeper.tasks import batch_indices

SEEDS = [0, 1]
STEPS = 60


class Thick(nn.Module):
    """The bound layer has weights of its own, and a batch norm."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(6, 8, dtype=DOUBLE), nn.BatchNorm1d(8, dtype=DOUBLE), nn.Tanh()
        )
        self.last = nn.Linear(8, 3, dtype=DOUBLE)

    def forward(self, x):
        return self.last(self.hidden(x))


PRESET = sk.Connections(MASK, fixed=MASK * (torch.arange(48).view(8, 6) % 5 == 0) * 0.3)


def own_loop(bound: sk.Task, strategy: sk.Strategy, seed: int) -> nn.Module:
    """What a user writes: a model, an optimizer, a loop, and `hold`."""
    model = bound.start_model(seed)
    optimizer = bound.optimizer(list(model.parameters()))
    held = sk.hold(model, bound.constraints, strategy, optimizer, steps=STEPS)
    x, y = bound.data.train
    for step in range(STEPS):
        epoch, k = divmod(step, len(x) // 16)
        chosen = batch_indices(seed, epoch, len(x), 16)[k]
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[chosen]), y[chosen]) + held.penalty()
        loss.backward()
        optimizer.step()
    return model


def assert_same(found: dict, wanted: dict) -> None:
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=1e-9, msg=name)


HALF = partial(sk.Stage, 0.5)
STRATEGIES = [
    sk.Unconstrained(),
    sk.Unconstrained(start="task"),
    sk.Penalty(0.7),
    sk.Penalty(0.3, norm="absolute"),
    sk.Freeze(),
    sk.Projection(),
    sk.Projection(every=3),
    sk.Reparametrization(),
    sk.Staged(sk.Stage(0.4, sk.Unconstrained(start="task")), sk.Stage(0.6, sk.Projection())),
    sk.Staged(HALF(sk.Penalty(0.7)), HALF(sk.Reparametrization(), rate=0.1)),
    sk.Staged(HALF(sk.Reparametrization()), HALF(sk.Projection(every=3), rate=0.5)),
    sk.Staged(HALF(sk.Freeze()), HALF(sk.Projection())),
    sk.Staged(HALF(sk.Projection()), HALF(sk.Freeze())),
    sk.Staged(
        sk.Stage(0.3, sk.Penalty(0.3, norm="absolute")),
        sk.Stage(0.3, sk.Reparametrization()),
        sk.Stage(0.4, sk.Unconstrained(), rate=0.2),
    ),
]


class TestSameNumbersAsCompare:
    @pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
    @pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.label)
    def test_of_a_weight(self, strategy, build):
        bound = task(optimizer=build)
        found = sk.compare(bound, [strategy], seeds=SEEDS, steps=STEPS)
        for seed, model in zip(SEEDS, found.models(strategy.label), strict=True):
            assert_same(own_loop(bound, strategy, seed).state_dict(), model.state_dict())

    @pytest.mark.parametrize(
        "c", [PRESET, sk.Box(-0.2, 0.3), CLOSED & sk.NonNegative()], ids=["presets", "box", "both"]
    )
    @pytest.mark.parametrize("strategy", STRATEGIES[2:10], ids=lambda s: s.label)
    def test_of_other_sets(self, strategy, c):
        bound = task(constraints={"first.weight": c, "last.bias": sk.Box(0.0, 0.1)})
        found = sk.compare(bound, [strategy], seeds=SEEDS, steps=STEPS)
        for seed, model in zip(SEEDS, found.models(strategy.label), strict=True):
            assert_same(own_loop(bound, strategy, seed).state_dict(), model.state_dict())

    @pytest.mark.parametrize("make", [Net, Thick], ids=["activation", "layer with weights"])
    @pytest.mark.parametrize(
        "strategy",
        [
            sk.Penalty(0.3),
            sk.Penalty(0.3, norm="absolute"),
            sk.Projection(),
            sk.Reparametrization(),
            sk.Staged(HALF(sk.Penalty(0.3)), HALF(sk.Projection(), rate=0.3)),
            sk.Staged(HALF(sk.Projection()), HALF(sk.Freeze())),
        ],
        ids=lambda s: s.label,
    )
    def test_of_the_value_of_a_layer(self, strategy, make):
        bound = task(model=lambda seed: make(), constraints={"hidden": sk.Box(-0.3, 0.4)})
        found = sk.compare(bound, [strategy], seeds=SEEDS, steps=STEPS)
        for seed, model in zip(SEEDS, found.models(strategy.label), strict=True):
            assert_same(own_loop(bound, strategy, seed).state_dict(), model.state_dict())

    def test_several_names_at_once(self):
        everything = {"first.weight": CLOSED, "last.bias": sk.Box(0, 1), "hidden": sk.Box(-0.5, 1)}
        bound = task(constraints=everything)
        for strategy in (sk.Projection(), sk.Penalty(0.2), sk.Reparametrization()):
            found = sk.compare(bound, [strategy], seeds=[0], steps=STEPS)
            (model,) = found.models(strategy.label)
            assert_same(own_loop(bound, strategy, 0).state_dict(), model.state_dict())


def test_several_optimizers_that_take_turns_count_once():
    """The weights are those of one optimizer, whichever steps first."""
    dense_first = sk.Staged(HALF(sk.Unconstrained(start="task")), HALF(sk.Projection()))

    def trained(split, order):
        torch.manual_seed(0)
        model = Net()
        groups = [[*model.first.parameters()], [*model.last.parameters()]]
        if not split:
            groups = [groups[0] + groups[1]]
        optimizers = [torch.optim.SGD(group, lr=0.1) for group in groups]
        constraints = {"first.weight": CLOSED, "last.weight": sk.Box(-0.1, 0.1)}
        held = sk.hold(model, constraints, dense_first, optimizers, steps=10)
        seen = []
        for _ in range(10):
            for optimizer in optimizers:
                optimizer.zero_grad()
            model(torch.ones(2, 6, dtype=DOUBLE)).square().sum().backward()
            for optimizer in optimizers[::order]:
                optimizer.step()
            seen.append([value == 0.0 for value in held.violation().values()])
        assert seen == [[False, False]] * 4 + [[True, True]] * 6
        assert "step 10" in repr(held)
        return model.state_dict()

    for order in (1, -1):
        trained(True, order)
    trained(False, 1)


def test_an_optimizer_that_steps_less_often_does_not_slow_the_stages():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    often, seldom = (torch.optim.SGD(layer.parameters(), lr=0.1) for layer in model)
    staged = sk.Staged(HALF(sk.Unconstrained(start="task")), HALF(sk.Projection()))
    held = sk.hold(model, {"*.weight": sk.Box(0, 1)}, staged, [seldom, often], steps=12)
    for step in range(6):
        assert held.violation()["1.weight"] > 0
        model(torch.ones(1, 3)).sum().backward()
        often.step()
        if step % 3 == 2:
            seldom.step()
    assert held.violation() == {"0.weight": 0.0, "1.weight": 0.0}


# -- names ----------------------------------------------------------------------------------------


class Tied(nn.Module):
    """An encoder and a decoder with one weight."""

    def __init__(self, decoder_first: bool = False):
        super().__init__()
        encoder, decoder = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        decoder.weight = encoder.weight
        pairs = {"encoder": encoder, "decoder": decoder}
        for name in sorted(pairs, reverse=not decoder_first):
            self.add_module(name, pairs[name])

    def forward(self, x):
        return self.decoder(torch.tanh(self.encoder(x)))


TRIANGLE = torch.ones(4, 4).tril().bool()


class TestNames:
    def test_patterns_bind_every_match(self):
        model = nn.ModuleDict({f"block{i}": nn.Linear(4, 4) for i in range(3)})
        held = sk.hold(model, {"block*.weight": sk.Connections(TRIANGLE)})
        assert held.names == [f"block{i}.weight" for i in range(3)]
        layers = sk.hold(nn.ModuleDict({"a1": nn.Tanh(), "a2": nn.Tanh()}), {"a?": sk.Box(0, 1)})
        assert layers.names == ["a1", "a2"]

    def test_a_name_is_no_pattern(self):
        class Odd(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_parameter("w[0]", nn.Parameter(torch.ones(2)))
                self.w0 = nn.Parameter(torch.ones(2))

        assert sk.hold(Odd(), {"w[0]": sk.Box(0, 0.5)}).names == ["w[0]"]

    @pytest.mark.parametrize("decoder_first", [False, True])
    @pytest.mark.parametrize("name", ["encoder.weight", "decoder.weight", "*.weight"])
    @pytest.mark.parametrize("strategy", [sk.Projection(), sk.Reparametrization()])
    def test_tied_weights_are_one(self, name, strategy, decoder_first):
        model = Tied(decoder_first)
        held = sk.hold(model, {name: sk.Connections(TRIANGLE)}, strategy)
        assert len(held.names) == 1
        for m in (model, copy.deepcopy(model)):
            optimizer = torch.optim.Adam(m.parameters(), lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                m(torch.randn(5, 4)).square().sum().backward()
                optimizer.step()
                assert m.encoder.weight is m.decoder.weight
                assert (m.encoder.weight[~TRIANGLE] == 0).all()
                states = m.state_dict()
                assert torch.equal(states["encoder.weight"], states["decoder.weight"])
                assert (states["encoder.weight"][~TRIANGLE] == 0).all()
            assert (m.encoder.weight[TRIANGLE] != 0).all()
        assert not torch.equal(model.encoder.weight, m.encoder.weight)

    @pytest.mark.parametrize(
        ("constraints", "words"),
        [
            ({}, "Wanted at least one name with its constraint, got none"),
            ({"0.wieght": sk.Box(0, 1)}, r"got '0.wieght'. Did you mean '0.weight'"),
            ({"xyz": sk.Box(0, 1)}, r"got 'xyz'. There are \['0.weight', '0.bias'"),
            ({"9*": sk.Box(0, 1)}, r"The pattern '9\*' matches no parameter and no submodule of"),
            ({"0.weight": "closed"}, "Wanted a constraint for '0.weight', got 'closed'"),
            ({"1.running_mean": sk.Box(0, 1)}, "'1.running_mean' is a buffer, which no optimizer"),
            ({"2.weight": sk.Box(0, 1)}, r"is pruned; torch.nn.utils.prune.remove\(module, 'weig"),
            ({"3.weight": sk.Box(0, 1)}, r"parametrize; remove_parametrizations\(module, 'weight'"),
            ({"4.weight": sk.Box(0, 1)}, "has no shape yet; run one forward pass first"),
            ({"0.weight": CLOSED}, r"'0.weight': Wanted a tensor whose last axes are \(8, 6\)"),
            ({"0.weight": sk.Box(0, 1), "0.w*": sk.Box(0, 2)}, "Two constraints bind '0.weight'"),
            ({"5.weight": sk.Box(0, 1)}, "Wanted real numbers in '5.weight', got torch.complex64"),
        ],
    )
    def test_what_can_not_be_bound(self, constraints, words):
        model = nn.Sequential(
            nn.Linear(3, 4),
            nn.BatchNorm1d(4),
            prune.random_unstructured(nn.Linear(4, 4), "weight", 0.5),
            parametrizations.orthogonal(nn.Linear(4, 4)),
            nn.LazyLinear(4),
            nn.Linear(4, 4, dtype=torch.complex64),
        )
        with pytest.raises(sk.HoldError, match=words):
            sk.hold(model, constraints)

    def test_tied_names_can_not_have_two_constraints(self):
        both = {"encoder.weight": sk.Box(0, 1), "decoder.weight": sk.NonNegative()}
        with pytest.raises(sk.HoldError, match=r"'encoder.weight' and 'decoder.weight' are one"):
            sk.hold(Tied(), both)

    def test_held_twice(self):
        model = Net()
        held = sk.hold(model, {"first.weight": CLOSED})
        with pytest.raises(sk.HoldError, match=r"'first.weight' is held already; Held.of"):
            sk.hold(model, {"first.weight": sk.Box(0, 1)})
        sk.hold(model, {"last.weight": sk.Box(0, 1)})
        held.remove()
        sk.hold(model, {"first.weight": sk.Box(0, 1)})

    def test_a_convolution_is_told_about_fit(self):
        with pytest.raises(sk.HoldError, match=r"connections.fit\(\(4, 4, 3\)\) repeats them over"):
            sk.hold(nn.Sequential(nn.Conv1d(4, 4, 3)), {"0.weight": sk.Connections(TRIANGLE)})

    def test_all_problems_at_once_and_the_model_is_untouched(self):
        model = Net()
        before = pickle.dumps(model)
        wrong = {"first.wieght": CLOSED, "last.weight": CLOSED, "hidden": 3}
        with pytest.raises(sk.HoldError) as error:
            sk.hold(model, wrong, sk.Penalty([1.0, 2.0]))
        for words in ("first.wieght", "'last.weight': Wanted", "for 'hidden'", "a sweep over"):
            assert words in str(error.value)
        assert pickle.dumps(model) == before
        assert not any(hooks for k, hooks in vars(model.first).items() if "hooks" in k)


class NoChart(sk.Constraint):
    """A set that Reparametrization can't hold."""

    event_dims = 1

    def check(self, shape):
        pass

    def residual(self, x):
        return x.sum(-1, keepdim=True), x[..., :0]

    def project(self, x):
        return x - x.mean(-1, keepdim=True)

    def sample(self, shape, generator=None):
        return self.project(torch.randn(shape, generator=generator))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "net"}, "Wanted a torch.nn.Module, got str"),
        ({"strategy": "project"}, r"Wanted a strategy such as Projection\(\), got 'project'"),
        ({"strategy": sk.Penalty([1.0, 2.0])}, r"sweep over \['Penalty 1', 'Penalty 2'\]; compare"),
        ({"strategy": STRATEGIES[8]}, "needs steps=, the number of all steps, got None"),
        ({"strategy": STRATEGIES[8], "steps": 0}, "needs steps=, the number of all steps, got 0"),
        ({"strategy": STRATEGIES[8], "steps": 1.5}, "the number of all steps, got 1.5"),
        (
            {"strategy": sk.Staged(HALF(sk.Freeze(), model=Net), HALF(sk.Freeze())), "steps": 9},
            "A stage with a model of its own can't be held in your loop",
        ),
        ({"optimizer": "Adam"}, "Wanted a torch.optim optimizer, or a list of them, got 'A'"),
        ({"optimizer": 3}, "Wanted a torch.optim optimizer, or a list of them, got 3"),
        (
            {"optimizer": torch.optim.SGD([torch.zeros(2, requires_grad=True)])},
            "'first.weight' is in no parameter group of the optimizer, so it would never move",
        ),
        (
            {"constraints": {"first.weight": NoChart()}, "strategy": sk.Reparametrization()},
            "'first.weight': NoChart has no chart, so Reparametrization can't hold it",
        ),
        (
            {"constraints": {"hidden": NoChart()}, "strategy": sk.Reparametrization()},
            "'hidden': NoChart has no chart, so Reparametrization can't hold it",
        ),
        ({"start": "middle"}, "Wanted start='constraint' or start='nearest', got 'middle'"),
    ],
)
def test_what_hold_refuses(arguments, words):
    given = {"model": Net(), "constraints": {"first.weight": CLOSED}, **arguments}
    with pytest.raises(sk.HoldError, match=words):
        sk.hold(**given)


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel])
def test_a_wrapped_model_is_refused(wrap):
    with pytest.raises(sk.HoldError, match=r"already: hold (it|the plain model) first, then"):
        sk.hold(wrap(Net()), {"first.weight": CLOSED})


def test_a_layer_compiled_in_place_is_refused():
    model = Net()
    model.first.compile()
    with pytest.raises(sk.HoldError, match="is compiled already: hold it first"):
        sk.hold(model, {"first.weight": CLOSED})


def test_an_optimizer_need_not_have_what_never_moves():
    model = Net()
    others = torch.optim.SGD(model.last.parameters(), lr=0.1)
    assert sk.hold(model, {"first.weight": CLOSED}, sk.Freeze(), others).violation() == {
        "first.weight": 0.0
    }
    thaw = sk.Staged(HALF(sk.Freeze()), HALF(sk.Projection()))
    with pytest.raises(sk.HoldError, match="is in no parameter group"):
        sk.hold(Net(), {"first.weight": CLOSED}, thaw, others, steps=9)


def test_sparse_gradients_have_no_chart():
    layer = nn.Embedding(4, 4, sparse=True)
    with pytest.raises(sk.HoldError, match="has sparse gradients, which no chart can pass on"):
        sk.hold(layer, {"weight": sk.Connections(TRIANGLE)}, sk.Reparametrization())


def test_data_parallel_replicas_are_refused():
    """Not on a machine without GPUs, so the mark that torch puts on a replica stands for it."""
    model = Net()
    sk.hold(model, {"first.weight": CLOSED})
    model.first._is_replica = True
    with pytest.raises(sk.HoldError, match=r"wrap the model in torch.nn.parallel.Distributed"):
        model(torch.ones(1, 6, dtype=DOUBLE))


@pytest.mark.parametrize(
    "move",
    [
        lambda layer: prune.random_unstructured(layer, "weight", 0.5),
        lambda layer: parametrize.register_parametrization(layer, "weight", nn.Identity()),
        parametrizations.weight_norm,
    ],
    ids=["prune", "parametrize", "weight_norm"],
)
def test_a_weight_that_moves_elsewhere_is_missed(move):
    model = Net()
    sk.hold(model, {"first.weight": CLOSED})
    move(model.first)
    with pytest.raises(sk.HoldError, match=r"'first.weight' is no parameter any more; pruning and"):
        model(torch.ones(1, 6, dtype=DOUBLE))
    sk.hold(charted := Net(), {"first.weight": CLOSED}, sk.Reparametrization())
    with pytest.raises((TypeError, AssertionError), match=r"'weight(_orig)?'"):
        move(charted.first)  # PyTorch itself refuses


# -- where training begins ------------------------------------------------------------------------


def test_start():
    x = torch.ones(1, 6, dtype=DOUBLE)

    def held(optimizer_moved, **options):
        torch.manual_seed(3)
        model = Net()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        if optimizer_moved:
            model(x).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        before = model.first.weight.detach().clone()
        sk.hold(model, {"first.weight": CLOSED}, sk.Projection(), optimizer, **options)
        return before, model.first.weight.detach()

    for moved, options, nearest in [
        (False, {}, False),
        (True, {}, True),
        (True, {"start": "constraint"}, False),
        (False, {"start": "nearest"}, True),
    ]:
        before, after = held(moved, **options)
        assert torch.equal(after, CLOSED.project(before) if nearest else CLOSED.start(before))


def test_adagrad_has_not_moved_what_it_has_a_state_for():
    """It makes its state when it is built."""
    torch.manual_seed(0)
    model = Net()
    before = model.first.weight.detach().clone()
    optimizer = torch.optim.Adagrad(model.parameters())
    sk.hold(model, {"first.weight": CLOSED}, sk.Reparametrization(), optimizer)
    assert torch.equal(model.first.weight, CLOSED.start(before))
    model(torch.ones(1, 6, dtype=DOUBLE)).sum().backward()
    optimizer.step()
    late = torch.optim.Adagrad(model.parameters())
    late.step()


@pytest.mark.parametrize("build", [*OPTIMIZERS.values(), torch.optim.Adagrad])
def test_momentum_from_before_a_chart_is_forgotten_or_refused(build):
    def moved_model():
        model = Net()
        optimizer = build(model.parameters())
        model(torch.ones(1, 6, dtype=DOUBLE)).sum().backward()
        optimizer.step()
        return model, optimizer

    model, optimizer = moved_model()
    box = sk.Box(-5.0, 5.0)
    sk.hold(model, {"first.weight": box}, sk.Reparametrization(), optimizer)
    assert model.first._parameters["weight"].grad is None
    before = model.first.weight.clone()
    optimizer.step()
    assert torch.equal(model.first.weight, before)

    model, optimizer = moved_model()
    sk.hold(model, {"first.weight": box}, sk.Reparametrization())
    model(torch.ones(1, 6, dtype=DOUBLE)).sum().backward()
    with pytest.raises(sk.HoldError, match=r"remembers steps of 'first.weight' from before it had"):
        optimizer.step()


# -- values of layers -----------------------------------------------------------------------------

NARROW = sk.Box(-0.1, 0.1)


class TestOutputs:
    @pytest.mark.parametrize("strategy", [sk.Projection(), sk.Reparametrization()])
    @pytest.mark.parametrize("mode", ["train", "eval"])
    def test_hold_for_any_noise(self, strategy, mode):
        torch.manual_seed(0)
        model = getattr(Thick(), mode)()
        seen = []
        held = sk.hold(model, {"hidden": NARROW}, strategy)
        model.last.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        for size in (1e-3, 1.0, 1e6):
            with torch.set_grad_enabled(mode == "train"):
                model(size * torch.randn(50, 6, dtype=DOUBLE))
        assert torch.cat(seen).abs().max() <= 0.1
        assert held.violation() == {"hidden": 0.0}

    def test_violation_is_the_worst_since_the_weights_moved(self):
        model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        held = sk.hold(model, {"0": sk.Box(0, 1)}, sk.Penalty(1.0), optimizer)
        with torch.no_grad():
            model[0].weight.fill_(1.0)
        assert held.violation()["0"] != held.violation()["0"], "NaN: nothing passed yet"
        for x, worst in [(3.0, 2.0), (5.0, 4.0), (2.0, 4.0)]:
            loss = model(torch.full((2, 1), x)).sum() + held.penalty()
            assert held.violation() == {"0": worst}
        loss.backward()
        optimizer.step()
        model(torch.full((2, 1), 1.5))
        assert held.violation() == {"0": 0.5}
        model(torch.zeros(0, 1))
        assert held.violation() == {"0": 0.5}, "an empty batch changes nothing"

    def test_penalty_prices_each_value_once(self):
        model = nn.Sequential(nn.Identity(), nn.Linear(1, 1))
        held = sk.hold(model, {"0": sk.Box(0, 1)}, sk.Penalty(2.0))
        x = torch.tensor([[3.0], [1.0]])
        model(x)
        assert held.penalty().item() == 2.0 * 4.0 / 2
        model(x)
        model(x)
        assert held.penalty().item() == 2 * 2.0 * 4.0 / 2
        with pytest.raises(sk.HoldError, match=r"No value of '0' to price.*needs a forward pass"):
            held.penalty()
        with torch.no_grad():
            model(x)
        with pytest.raises(sk.HoldError, match="No value of '0' to price"):
            held.penalty()

    def test_a_value_without_batch_axis_is_priced(self):
        class Sum(nn.Module):
            def forward(self, x):
                return x.sum()

        held = sk.hold(model := nn.Sequential(Sum()), {"0": sk.Box(0, 1)}, sk.Penalty(1.0))
        model(torch.ones(4))
        assert held.penalty().item() == 9.0

    def test_gradients_are_those_of_the_price(self):
        torch.manual_seed(0)
        model = Net()
        held = sk.hold(model, {"hidden": NARROW}, sk.Penalty(0.7))
        x = torch.randn(16, 6, dtype=DOUBLE)
        (model(x).sum() + held.penalty()).backward()
        found = model.first.weight.grad.clone()
        plain = Net()
        plain.load_state_dict(model.state_dict())
        value = plain.hidden(plain.first(x))
        price = 0.7 * (value.abs() - 0.1).clamp(min=0).square().sum() / 16
        (plain.last(value).sum() + price).backward()
        torch.testing.assert_close(found, plain.first.weight.grad)

    @pytest.mark.parametrize("make", [lambda: nn.LSTM(6, 8), lambda: nn.MultiheadAttention(6, 2)])
    def test_a_tuple_can_not_be_held(self, make):
        model = nn.Sequential(make())
        sk.hold(model, {"0": NARROW})
        x = torch.ones(2, 1, 6)
        with pytest.raises(sk.HoldError, match="The output of '0' is a tuple; a constraint needs"):
            model[0](*[x] * (3 if isinstance(model[0], nn.MultiheadAttention) else 1))

    def test_a_value_of_the_wrong_shape(self):
        model = Net()
        sk.hold(model, {"hidden": sk.Connections(torch.ones(5))})
        with pytest.raises(sk.ConstraintError, match=r"last axes are \(5,\)"):
            model(torch.ones(1, 6, dtype=DOUBLE))

    def test_a_frozen_layer_keeps_its_buffers(self):
        torch.manual_seed(0)
        model = Thick()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        sk.hold(model, {"hidden": sk.Box(-9, 9)}, sk.Freeze(), optimizer)
        before = copy.deepcopy(model.hidden.state_dict())
        buffers = list(model.buffers())
        plain = Thick().train()
        plain.load_state_dict(model.state_dict())
        for _ in range(3):
            x = torch.randn(16, 6, dtype=DOUBLE)
            torch.testing.assert_close(model.hidden(x), plain.hidden(x), msg="batch statistics")
            optimizer.zero_grad()
            (model(x) + model(x)).square().sum().backward()
            optimizer.step()
        for name, value in model.hidden.state_dict().items():
            assert torch.equal(value, before[name]), name
        assert all(a is b for a, b in zip(model.buffers(), buffers, strict=True))
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            model(torch.ones(2, 5, dtype=DOUBLE))
        assert all(a is b for a, b in zip(model.buffers(), buffers, strict=True))

    def test_a_forgotten_penalty_warns_once(self):
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        held = sk.hold(model, {"hidden": NARROW}, sk.Penalty(1.0), optimizer)
        x = torch.ones(2, 6, dtype=DOUBLE)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(5):
                model(x).sum().backward()
                optimizer.step()
        (warning,) = caught
        assert "Penalty 1 holds nothing unless its price is in the loss" in str(warning.message)
        assert warning.filename == __file__
        assert len(held._outputs[0].recorded) <= 1, "values from before a step are let go"

    @pytest.mark.parametrize(
        "strategy", [sk.Penalty(1.0, norm="absolute"), sk.Projection(), sk.Unconstrained()]
    )
    def test_a_weight_without_a_price_needs_no_penalty(self, strategy):
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        held = sk.hold(model, {"first.weight": CLOSED}, strategy, optimizer)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(2):
                model(torch.ones(2, 6, dtype=DOUBLE)).sum().backward()
                optimizer.step()
        assert held.penalty().item() == 0.0

    def test_torch_func_goes_through(self):
        model = Net()
        held = sk.hold(model, {"hidden": NARROW})
        x = torch.randn(3, 6, dtype=DOUBLE)
        jacobians = torch.func.vmap(torch.func.jacrev(model))(x)
        assert jacobians.shape == (3, 3, 6)
        model(x)
        assert held.violation() == {"hidden": 0.0}


# -- the report -----------------------------------------------------------------------------------


def reported(strategy, c=CLOSED, optimizer=None, name="first.weight", model=None, **options):
    model = model or Net()
    make = optimizer or partial(torch.optim.AdamW, lr=0.1, weight_decay=0.1)
    optimizer = make(model.parameters())  # nobody but its owner keeps an optimizer alive
    return sk.hold(model, {name: c}, strategy, optimizer, **options).report()


class TestReport:
    def test_one_row_for_each_name(self):
        model = Net()
        model.last.weight.data.clamp_(0.1, 0.2)
        held = sk.hold(model, {"first.weight": CLOSED, "last.weight": sk.Box(0, 1)})
        frame = held.report().frame
        assert list(frame.index) == ["first.weight", "last.weight"]
        assert list(frame.columns) == [
            "constraint",
            "strategy",
            "guarantee",
            "violation",
            "unit",
            "weight decay",
        ]
        assert frame["violation"].tolist() == [0.0, 0.0]
        assert frame["guarantee"].tolist() == ["structural", "structural"]
        assert frame["weight decay"].tolist() == ["no optimizer seen yet"] * 2

    @pytest.mark.parametrize(
        ("strategy", "c", "words"),
        [
            (sk.Projection(), CLOSED, "0.1: pulls what is free to 0"),
            (sk.Projection(), PRESET, "0.1: pulls what is free to 0; presets stay"),
            (sk.Projection(), sk.Box(2, 3), "0.1: pulls to 0, the nearest allowed value being 2"),
            (sk.Projection(), sk.Sphere(), "0.1: pulls to 0, and the projection brings it back"),
            (sk.Penalty(1.0), CLOSED, "0.1: pulls what is free to 0"),
            (sk.Freeze(), CLOSED, "0.1: undone, like every step"),
            (
                sk.Reparametrization(),
                sk.Box(1, 3),
                "0.1: pulls the free numbers to 0, so the weight to 2",
            ),
            (
                sk.Reparametrization(),
                sk.Sphere(),
                "0.1: pulls the free numbers to 0, so the weight to its starting point",
            ),
        ],
    )
    def test_what_weight_decay_does(self, strategy, c, words):
        assert reported(strategy, c).frame["weight decay"].tolist() == [words]

    def test_decay_goes_where_the_report_says(self):
        for c, goal in [(sk.Box(1.0, 3.0), 2.0), (sk.Sphere(), None)]:
            model = Net()
            start = c.start(model.first.weight.detach())
            optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=1.0)
            sk.hold(model, {"first.weight": c}, sk.Reparametrization(), optimizer)
            free = model.first._parameters["weight"]
            with torch.no_grad():
                free.add_(0.3)
            for _ in range(300):
                free.grad = torch.zeros_like(free)
                optimizer.step()
            wanted = torch.full_like(start, goal) if goal else start
            torch.testing.assert_close(model.first.weight.detach(), wanted)

    def test_no_decay(self):
        plain = partial(torch.optim.SGD, lr=0.1)
        report = reported(sk.Projection(), optimizer=plain)
        assert report.frame["weight decay"].tolist() == ["none"]

    @pytest.mark.parametrize(
        ("tiles", "words"),
        [
            (0.1, "only 10 % of its 64×64 tiles hold an open weight.* 10.0 times fewer numbers"),
            (None, "open weights lie all over the matrix.* no layout would be faster"),
        ],
    )
    def test_whether_another_layout_would_be_faster(self, tiles, words):
        size = 640
        if tiles:
            mask = torch.eye(10).repeat_interleave(64, 0).repeat_interleave(64, 1)
        else:
            mask = torch.rand(size, size, generator=torch.Generator().manual_seed(0)) < 0.1
        layer = nn.Sequential(nn.Linear(size, size))
        report = reported(sk.Projection(), sk.Connections(mask), name="0.weight", model=layer)
        assert any(re.search(words, note) for note in report.notes)

    def test_a_small_matrix_needs_no_layout(self):
        assert not any("layout" in note for note in reported(sk.Projection()).notes)

    def test_notes(self):
        def notes(*args, **options):
            return " ".join(reported(*args, **options).notes)

        assert "what may be non-zero was scaled by 1." in notes(sk.Projection())
        assert "scaled" not in notes(sk.Projection(), start="nearest")
        assert "moved inside by up to" in notes(sk.Reparametrization(), sk.Box(0.0, 0.1))
        assert "gives the free numbers" in notes(sk.Reparametrization())
        staged = sk.Staged(sk.Stage(0.3, sk.Penalty(1.0)), sk.Stage(0.7, sk.Projection()))
        assert "Stage 1 of 2 at step 0 of 50; stages end after steps 15." in notes(staged, steps=50)
        ones = sk.Connections(torch.ones(8))
        batch_norm = partial(notes, c=ones, name="hidden.1.weight", model=Thick())
        assert "running statistics are buffers and move on" in batch_norm(strategy=sk.Freeze())
        batch_norm = partial(notes, c=ones, name="hidden.1.weight", model=Thick())
        assert "running statistics" not in batch_norm(strategy=sk.Projection())

    def test_text_and_html(self):
        report = reported(sk.Reparametrization(), sk.Box(0, 1))
        assert "Box(low=0, high=1)" in repr(report)
        assert "\n- first.weight: " in repr(report)
        assert "<table" in report._repr_html_()
        assert "<li>first.weight: " in report._repr_html_()


# -- letting go -----------------------------------------------------------------------------------


class TestRemove:
    @pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.label)
    def test_leaves_a_plain_model_with_allowed_weights(self, strategy):
        model = Net()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        constraints = {"first.weight": CLOSED, "last.bias": sk.Box(0, 1)}
        held = sk.hold(model, constraints, strategy, optimizer, steps=4)
        x = torch.randn(5, 6, dtype=DOUBLE)
        for _ in range(4):
            optimizer.zero_grad()
            (model(x).square().sum() + held.penalty()).backward()
            optimizer.step()
        before, allowed = model(x), set(held.violation().values()) == {0.0}
        held.remove()
        assert not any(
            hooks for m in model.modules() for k, hooks in vars(m).items() if "hook" in k
        )
        assert "weight" not in vars(model.first)
        assert isinstance(model.first.weight, nn.Parameter)
        assert CLOSED.violation(model.first.weight) == 0
        assert sk.Box(0, 1).violation(model.last.bias).amax() == 0
        assert not allowed or torch.equal(model(x), before)
        with pytest.raises(sk.HoldError, match="Nothing is held on this model"):
            sk.Held.of(model)
        assert held.violation() == {}
        assert held.penalty().item() == 0.0
        assert len(held.report().frame) == 0
        weight = model.first.weight.detach().clone()
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
        assert (model.first.weight != weight)[~MASK].any(), "the optimizer goes on, unbound"

    def test_plain_torch_can_load_it(self, tmp_path):
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
        held = sk.hold(model, {"0.weight": CLOSED, "1": sk.Box(0, 1)}, sk.Reparametrization())
        held.remove()
        torch.save(model, tmp_path / "model.pt")
        code = (
            "import sys, torch; sys.modules['shapekeeper'] = None;"
            f"m = torch.load({str(tmp_path / 'model.pt')!r}, weights_only=False);"
            "print(m(torch.ones(1, 6)).sum().item())"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert float(run.stdout) == pytest.approx(model(torch.ones(1, 6)).sum().item())

    def test_only_its_own_hooks_go(self):
        model = Net()
        model.first.register_forward_hook(lambda *args: None, always_call=True)
        other = sk.hold(model, {"last.weight": sk.Box(0, 1)})
        sk.hold(model, {"first.weight": CLOSED}, sk.Reparametrization()).remove()
        assert len(model.first._forward_hooks) == len(model.first._forward_hooks_always_called) == 1
        assert sk.Held.of(model).names == other.names


# -- finding the handle ---------------------------------------------------------------------------


def test_held_of():
    model = Net()
    with pytest.raises(sk.HoldError, match="Nothing is held on this model; hold"):
        sk.Held.of(model)
    sk.hold(model, {"first.weight": CLOSED})
    assert sk.Held.of(model).names == ["first.weight"]
    assert sk.Held.of(model).strategy == sk.Projection()
    sk.hold(model, {"hidden": sk.Box(0, 1)}, sk.Penalty(1.0))
    with pytest.raises(sk.HoldError, match=r"2 calls of hold are on this model.*Held.of\(model, n"):
        sk.Held.of(model)
    assert sk.Held.of(model, "hidden").strategy == sk.Penalty(1.0)
    with pytest.raises(sk.HoldError, match="Nothing of the name 'last' is held on this model"):
        sk.Held.of(model, "last")


def test_a_saved_state_fits_only_the_same_hold():
    held = sk.hold(Net(), {"first.weight": CLOSED})
    state = held.state_dict()
    for other, words in [
        (sk.hold(Net(), {"first.weight": CLOSED}, sk.Freeze()), "other strategy: wanted"),
        (sk.hold(Net(), {"first.weight": PRESET}), "other constraints: wanted"),
    ]:
        before = io.BytesIO()
        torch.save(other.state_dict(), before)
        with pytest.raises(sk.HoldError, match=words):
            other.load_state_dict(state)
    with pytest.raises(sk.HoldError, match=r"Wanted what held.state_dict\(\) gave, got keys"):
        held.load_state_dict(held.model.state_dict())


# -- nothing is left behind -----------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.label)
def test_a_model_that_is_gone_is_gone(strategy):
    gc.collect()
    entries = len(_HOLDERS)
    model = Thick()
    optimizer = torch.optim.Adam(model.parameters())
    constraints = {"last.weight": sk.Box(-1, 1), "hidden": sk.Box(-9, 9)}
    held = sk.hold(model, constraints, strategy, optimizer, steps=4)
    for _ in range(3):
        (model(torch.randn(4, 6, dtype=DOUBLE)).sum() + held.penalty()).backward()
        optimizer.step()
    copied = copy.deepcopy(model)
    gone = [weakref.ref(m) for m in (model, copied, model.last.weight, optimizer)]
    assert len(_HOLDERS) > entries
    del model, copied, optimizer, held
    gc.collect()
    assert [ref() for ref in gone] == [None] * 4
    assert len(_HOLDERS) == entries


def test_optimizers_of_other_models_are_untouched():
    held_model, free = Net(), [Net(), Net()]
    free[1].load_state_dict(free[0].state_dict())
    x = torch.randn(4, 6, dtype=DOUBLE)

    def trained(model):
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
        return optimizer

    trained(free[0])
    held = sk.hold(held_model, {"first.weight": CLOSED})
    optimizer = trained(free[1])
    assert_same(free[0].state_dict(), free[1].state_dict())
    assert optimizer not in held._schedule.optimizers
