"""A layer that speaks: each of its values is a word of the language, at every step, for any input.

Whether a value is a word is asked of Python's regular expressions, not of the grammar.
"""

import copy
import io
import math
import pickle
import re
import warnings
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import shapekeeper as sk
from shapekeeper.compare import Run
from shapekeeper.compare.program import Program
from shapekeeper.constraints import ConstraintError
from shapekeeper.networks import StraightThrough

SYMBOLS = "abc·"
LANGUAGE = re.compile("((ab)*c|b{3})+·*")
GRAMMAR = sk.Grammar("((ab)*c|b{3})+", length=7, up_to=True)
EVENTS = 10_000
HARD = [sk.Projection(), sk.Reparametrization()]
hard = pytest.mark.parametrize("strategy", HARD, ids=lambda s: s.label)


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_words(x: Tensor) -> set[str]:
    """Every event is exactly a one-hot word of the language; which ones there are."""
    assert x.shape[-2:] == (7, 4)
    assert ((x == 0) | (x == 1)).all(), "neither 0 nor 1"
    assert (x.sum(-1) == 1).all(), "a slot with no symbol, or two"
    rows = x.detach().argmax(-1).reshape(-1, 7).unique(dim=0).tolist()
    texts = {"".join(SYMBOLS[i] for i in row) for row in rows}
    illegal = [text for text in texts if not LANGUAGE.fullmatch(text)]
    assert not illegal
    return texts


def inputs(dtype: torch.dtype = torch.float32, wild: float = 1e4) -> Tensor:
    """Like the training data, far from it, all alike, nothing, and next to nothing."""
    part = EVENTS // 5
    normal = torch.randn(part, 6, generator=draw(1))
    parts = [
        normal,
        wild * torch.randn(part, 6, generator=draw(2)),
        torch.zeros(part, 6),
        torch.arange(part)[:, None].expand(part, 6) / 100 - part / 200,
        normal * torch.finfo(dtype).smallest_normal / 8,
    ]
    return torch.cat([x.to(dtype) for x in parts])


class Speaker(nn.Module):
    """Scores of a word, the word, and what is read from it."""

    def __init__(self, scale: float = 1.0, drop: float | None = None):
        super().__init__()
        mixed = [nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 28)]
        dropped = [] if drop is None else [nn.Dropout(drop)]
        self.encoder = nn.Sequential(*mixed, *dropped, nn.Unflatten(-1, (7, 4)))
        self.speaker = StraightThrough()
        self.reader = nn.Linear(28, 3)
        with torch.no_grad():
            mixed[2].weight.mul_(scale**0.5).mul_(scale**0.5)  # 1e39 is no float32

    def forward(self, x: Tensor) -> Tensor:
        return self.reader(self.speaker(self.encoder(x)).flatten(-2))


def data(shift: float = 0.0) -> tuple[Tensor, Tensor]:
    x = torch.randn(160, 6, generator=draw(0)) + shift
    return x, x[:, :3].argmax(1)


def task(model=lambda seed: Speaker(), **changes) -> sk.Task:
    x, y = data()
    settings = {
        "data": sk.Data((x[:96], y[:96]), (x[96:], y[96:])),
        "loss": F.cross_entropy,
        "metric": sk.tasks.accuracy,
        "constraints": {"encoder": GRAMMAR},
        "batch_size": 16,
        "optimizer": partial(torch.optim.Adam, lr=1e-2),
    }
    return sk.Task("speaking", model=model, **{**settings, **changes})


def held(
    strategy: sk.Strategy, dtype: torch.dtype = torch.float32
) -> tuple[Speaker, torch.optim.Optimizer, sk.Held]:
    torch.manual_seed(0)
    model = Speaker().to(dtype)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, eps=1e-4)
    return model, optimizer, sk.hold(model, {"encoder": GRAMMAR}, strategy, optimizer)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, at: int, price=lambda: 0.0) -> float:
    x, y = data()
    rows = torch.arange(16 * at, 16 * at + 16) % len(x)
    dtype = next(model.parameters()).dtype
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x[rows].to(dtype)), y[rows])
    (loss + price()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    optimizer.step()
    return loss.item()


def heard(model: Speaker, x: Tensor) -> Tensor:
    """What the encoder passes on."""
    found: list[Tensor] = []
    handle = model.speaker.register_forward_pre_hook(lambda module, args: found.append(args[0]))
    model(x)
    handle.remove()
    return found[0]


# In the language at every step


@pytest.mark.parametrize(
    ("dtype", "wild"),
    [
        (torch.float32, 1e4),
        (torch.float64, 1e4),
        (torch.bfloat16, 1e4),
        (torch.float16, 1e3),
    ],
    ids=["float32", "float64", "bfloat16", "float16"],
)
@hard
def test_a_held_layer_speaks_the_language_at_every_step(strategy, dtype, wild):
    model, optimizer, holding = held(strategy, dtype)
    x, spoken = inputs(dtype, wild), set()
    for at in range(12):
        assert step(model, optimizer, at) > 0
        value = heard(model, x)
        assert value.dtype == dtype
        spoken |= assert_words(value)
        assert holding.violation() == {"encoder": 0.0}
    with torch.no_grad():
        assert_words(heard(model.eval(), x))
    assert len(spoken) > 10


@hard
def test_under_autocast(strategy):
    model, optimizer, _ = held(strategy)
    x = inputs()
    for at in range(12):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            step(model, optimizer, at)
            assert_words(heard(model, x))


@hard
def test_compare_speaks_the_language_at_every_step(strategy, monkeypatch):
    training = Run(task(), [strategy], seeds=3, steps=12)
    passed: list[Tensor] = []
    plain = Program.losses

    def losses(*args):
        found = plain(*args)
        passed.append(found[2]["encoder"])
        return found

    monkeypatch.setattr(Program, "losses", losses)
    x, spoken = inputs(), set()
    for _ in training.train():
        (part,) = training.parts
        weights, treat = part.weights(), part.hooks.output
        value = part.program.predict(weights, part.buffers, x, True, treat)[2]["encoder"]
        assert value.shape == (3, EVENTS, 7, 4)
        spoken |= assert_words(value)
    assert len(passed) >= 12
    for value in passed:
        assert_words(value)
    frame = training.comparison().frame
    assert set(frame["allowed"]) == {1.0}
    assert set(frame["violation_peak"]) == {0.0}
    assert len(spoken) > 10


@hard
def test_all_strategies_learn_and_raw_scores_are_no_words(strategy):
    found = sk.compare(task(), [strategy], seeds=3, steps=200).frame
    last, first = (found[found["step"] == at].set_index("seed") for at in (200, 0))
    assert (last["loss"] < first["loss"]).to_list() == [True] * 3
    assert min(last["metric"]) > 0.5
    assert max(found["violation_raw:encoder"]) > 0


@pytest.mark.parametrize("at", [torch.inf, -torch.inf, torch.nan])
@hard
def test_inputs_that_are_not_finite_are_refused(strategy, at):
    model, _, _ = held(strategy)
    model.encoder[1] = nn.Identity()  # tanh makes infinity 1
    x = inputs()[:5].clone()
    x[1:3, 0] = at
    with pytest.raises(ConstraintError, match=r"finite scores, got (nan|-?inf) in 2 of 5 events"):
        model(x)


@pytest.mark.parametrize("drop", [None, 0.1], ids=["batched", "one by one"])
@pytest.mark.parametrize("strategy", [*HARD, sk.Penalty(1.0)], ids=lambda s: s.label)
def test_a_run_that_diverges_is_marked_and_the_others_go_on(strategy, drop):
    """Weights of 1e38 are finite, and sums of them are not."""

    def model(seed: int) -> nn.Module:
        return Speaker(scale=1e39 if seed == 1 else 1.0, drop=drop)

    assert all(p.isfinite().all() for p in model(1).parameters())
    assert not model(1).get_submodule("encoder")(data()[0]).isfinite().all()
    with warnings.catch_warnings(action="ignore"):  # of models that are trained one by one
        found = sk.compare(task(model), [strategy], seeds=3, steps=6)
        alone = sk.compare(task(model), [strategy], seeds=[2], steps=6).frame
    last = found.frame[found.frame["step"] == 6].set_index("seed")
    assert last["diverged"].to_dict() == {0: False, 1: True, 2: False}
    assert last["loss"].isna().to_dict() == {0: False, 1: True, 2: False}
    assert alone["loss"].iloc[-1] == pytest.approx(last["loss"][2], rel=1e-5)


# A penalty


def test_a_penalty_makes_a_layer_speak_without_holding_it():
    model, optimizer, holding = held(sk.Penalty(1.0))
    before = GRAMMAR.penalty(heard(model, data()[0])).mean().item()
    assert before > 2
    for at in range(150):
        step(model, optimizer, at, holding.penalty)
    scores = heard(model, data()[0])
    assert GRAMMAR.penalty(scores).mean() < 0.05
    legal = [bool(LANGUAGE.fullmatch("".join(SYMBOLS[i] for i in row)))
             for row in scores.argmax(-1).tolist()]  # fmt: skip
    assert sum(legal) > 0.98 * len(legal)


def test_a_penalty_is_the_mean_over_events_of_what_it_is_known_to_be():
    layer = nn.Sequential(nn.Linear(3, 4), nn.Unflatten(-1, (2, 2)))
    with torch.no_grad():
        for p in layer.parameters():
            p.zero_()
    pair = sk.Grammar.from_words(["00", "11"])
    holding = sk.hold(layer, {"1": pair}, sk.Penalty(2.0))
    layer(torch.randn(5, 3, generator=draw(0)))
    assert float(torch.as_tensor(holding.penalty()).detach()) == pytest.approx(
        2 * math.log(2), rel=1e-6
    )


# What a held layer survives


def saved(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "torch.save": saved,
}


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
@hard
def test_copies_speak_and_learn_alike(strategy, duplicate):
    model, optimizer, _ = held(strategy)
    step(model, optimizer, 0)
    twin = duplicate(model)
    assert sk.Held.of(twin).names == ["encoder"]
    x = inputs()
    assert torch.equal(assert_same_words(model, x), heard(twin, x))
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (model, twin)]
    for at in range(3):
        losses = [step(m, o, at) for m, o in zip((model, twin), optimizers, strict=True)]
        assert losses[0] == losses[1]
    assert torch.equal(assert_same_words(model, x), heard(twin, x))


def assert_same_words(model: Speaker, x: Tensor) -> Tensor:
    value = heard(model, x)
    assert_words(value)
    return value


@hard
def test_a_state_is_that_of_the_model_alone(strategy):
    model, optimizer, holding = held(strategy)
    step(model, optimizer, 0)
    plain = Speaker()
    plain.load_state_dict(model.state_dict())
    other, _, its = held(strategy)
    other.load_state_dict(model.state_dict())
    its.load_state_dict(holding.state_dict())
    assert torch.equal(other(inputs()), model(inputs()))
    assert not torch.equal(plain(inputs()), model(inputs()))


@hard
def test_casts_and_removal(strategy):
    model, _, holding = held(strategy)
    for dtype in (torch.float64, torch.bfloat16, torch.float32):
        model.to(dtype)
        value = heard(model, inputs(dtype))
        assert value.dtype == dtype
        assert_words(value)
    holding.remove()
    assert not ((heard(model, inputs()) == 0) | (heard(model, inputs()) == 1)).all()


class Small(nn.Module):
    """Two slots alone: compiling takes seconds for each slot."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(6, 6), nn.Unflatten(-1, (2, 3)))
        self.reader = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.reader(self.encoder(x).flatten(-2))


@pytest.mark.parametrize(
    ("strategy", "backend"),
    [
        (sk.Projection(), "eager"),
        (sk.Reparametrization(), "eager"),
        (sk.Penalty(0.3), "eager"),
        (sk.Reparametrization(), "inductor"),
    ],
    ids=lambda value: getattr(value, "label", value),
)
def test_compiled_models_speak_and_learn_alike(strategy, backend):
    torch._dynamo.reset()
    grammar = sk.Grammar("(ab|b)c?", length=2, up_to=False, alphabet="abc")
    twins, x = [], inputs()
    for compiled in (False, True):
        torch.manual_seed(0)
        model = Small()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        holding = sk.hold(model, {"encoder": grammar}, strategy, optimizer)
        run: Any = torch.compile(model, backend=backend) if compiled else model
        losses = [step(run, optimizer, at, holding.penalty) for at in range(6)]
        twins.append((model, losses))
        words = {"".join("abc"[i] for i in row) for row in model.encoder(x).argmax(-1).tolist()}
        assert (words <= {"ab", "bc"}) == (strategy in HARD)
    assert twins[1][1] == pytest.approx(twins[0][1], abs=1e-4)
    for name, tensor in twins[0][0].state_dict().items():
        torch.testing.assert_close(twins[1][0].state_dict()[name], tensor, rtol=0, atol=1e-4)
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["project", "from_free", "penalty", "marginals"])
def test_a_grammar_nobody_has_asked_yet_may_be_compiled(name):
    torch._dynamo.reset()
    asked, fresh = (sk.Grammar("ab|bc|cc", length=2) for _ in range(2))
    x = torch.randn(5, 2, 3, generator=draw(3), requires_grad=True)

    def value_and_pull(f) -> tuple[Tensor, Tensor]:
        value = f(x)
        along = torch.randn(value.shape, generator=draw(4))
        return value, torch.autograd.grad((value * along).sum(), x)[0]

    wanted = value_and_pull(getattr(asked, name))
    compiled = torch.compile(getattr(fresh, name), backend="aot_eager")
    torch.testing.assert_close(value_and_pull(compiled), wanted)
    torch.testing.assert_close(value_and_pull(getattr(fresh, name)), wanted)  # nothing fake is kept
    torch._dynamo.reset()


@hard
def test_vmap_over_the_weights_of_many(strategy):
    torch.manual_seed(0)
    models = [Speaker() for _ in range(3)]
    for model in models:
        sk.hold(model, {"encoder": GRAMMAR}, strategy)
    x = inputs()[::100]
    weights, buffers = torch.func.stack_module_state(models)  # type: ignore[arg-type]
    base = models[0]

    def call(w, b):
        return torch.func.functional_call(base, (w, b), (x,))

    for value, model in zip(torch.vmap(call)(weights, buffers), models, strict=True):
        torch.testing.assert_close(value, model(x))


@hard
def test_gradient_checkpointing_and_accumulation(strategy):
    from torch.utils.checkpoint import checkpoint

    model, _, _ = held(strategy)
    x, y = data()
    grads = []
    for call in (model, lambda v: checkpoint(model, v, use_reentrant=False)):
        model.zero_grad()
        for half in (slice(0, 80), slice(80, 160)):
            F.cross_entropy(call(x[half]), y[half]).backward()
        grads.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(grads[0]) == 6
    for one, other in zip(*grads, strict=True):
        assert torch.equal(one, other)
