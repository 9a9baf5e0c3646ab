"""The audit against second ways to find the same numbers, and against networks made by hand."""

import itertools
from copy import deepcopy
from functools import partial
from math import isnan

import numpy as np
import pandas as pd
import pytest
import torch
from points import DOUBLE, Net, points, task
from torch import nn
from torch.nn import functional as F

import shapekeeper as sk
from shapekeeper.compare.audit_inputs import audit_inputs
from shapekeeper.compare.said import lies_within
from shapekeeper.networks import StraightThrough

SHARE = 1e-6  # a comparison has shares in single precision
STILL = partial(torch.optim.SGD, lr=0.0)


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def in_a_box(**changes) -> sk.Task:
    """The points' network with its hidden values bound, and a shifted part."""
    return task(**{"constraints": {"hidden": sk.Box(-0.5, 0.5)}, **changes})


HELD = [
    sk.Unconstrained(),
    sk.Penalty(1.0),
    sk.Projection(),
    sk.Reparametrization(),
    sk.Staged(sk.Stage(0.5, sk.Unconstrained()), sk.Stage(0.5, sk.Projection())),
]


@pytest.fixture(scope="module")
def boxed() -> sk.Comparison:
    return sk.compare(in_a_box(), HELD, seeds=2, steps=40)


# -- a layer in a range --------------------------------------------------------------------------


def runs(audit: sk.Audit) -> dict[tuple[str, int], dict]:
    return {(row["strategy"], row["seed"]): row for row in audit.frame.to_dict("records")}


def test_numbers_are_those_of_the_comparison(boxed):
    test = points().test[0]
    data = sk.Data(points().train, points().test)
    plain = sk.compare(in_a_box(data=data), HELD, seeds=2, steps=40)
    for row in runs(sk.audit(plain, nonsense=test)).values():
        found = plain.final().loc[(row["strategy"], row["seed"])]
        assert row["allowed"] == pytest.approx(found["allowed"], abs=SHARE)
        assert row["metric"] == pytest.approx(found["metric"], abs=1e-12)
        assert row["worst"] == pytest.approx(found["violation"], abs=1e-12)
        assert row["unit"] == "value"
    for row in runs(sk.audit(boxed, nonsense=50)).values():
        found = boxed.final().loc[(row["strategy"], row["seed"])]
        assert row["allowed"] == pytest.approx(found["allowed"], abs=SHARE)
        assert row["metric"] == pytest.approx(found["metric"], abs=1e-12)


def passed_on(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    seen = []
    handle = model.hidden.register_forward_hook(lambda m, a, value: seen.append(value))
    with torch.no_grad():
        model.eval()(x)
    handle.remove()
    return seen[0]


def share_within(values: torch.Tensor) -> float:
    return ((values >= -0.5) & (values <= 0.5)).double().mean().item()


def test_shares_are_those_of_the_networks_that_are_handed_out(boxed):
    nonsense = 5 * torch.randn(1700, 6, generator=draws(0), dtype=DOUBLE)
    audit = sk.audit(boxed, nonsense=nonsense)
    data, worse = points(), 0
    for label in boxed.strategies:
        for seed, model in enumerate(boxed.models(label)):
            row = runs(audit)[label, seed]
            plain = Net()
            plain.load_state_dict(model.state_dict())
            parts = {"": data.test[0], ":noisy": data.shifted["noisy"][0], ":nonsense": nonsense}
            for part, x in parts.items():
                assert row[f"allowed{part}"] == pytest.approx(share_within(passed_on(model, x)))
                raw = torch.tanh(plain.first(x))
                assert row[f"raw{part}"] == pytest.approx(share_within(raw))
                worse += row[f"allowed{part}"] > row[f"raw{part}"]
            off = sk.tasks.accuracy(plain(data.test[0]), data.test[1]).item()
            assert row["metric_filter_off"] == pytest.approx(off)
            assert row["checked"] == 8 * (26 + 26 + 1700)
    assert worse > 10  # a filter that does nothing would show nothing


def test_guarantees_of_strategies_on_a_layer(boxed):
    audit = sk.audit(boxed, nonsense=200)
    found = audit.frame.groupby("strategy")["guarantee"].unique().map(list).to_dict()
    assert found == {
        "Unconstrained": ["none"],
        "Penalty 1": ["none"],
        "Projection": ["structural"],
        "Reparametrization": ["structural"],
        "Staged Unconstrained → Projection": ["structural"],
    }
    assert audit.frame.columns[:8].to_list() == [
        "strategy", "seed", "bound", "guarantee", "holds_for", "allowed", "allowed:noisy",
        "allowed:nonsense",
    ]  # fmt: skip
    assert repr(audit) == "Audit(5 strategies, 2 seeds: structural, none)"
    # The hidden values are a tanh's: proved to be within 1, and no further.
    margins = audit.frame.set_index("strategy")["margin"]
    assert -0.5 <= margins["Unconstrained"].max() < -0.3
    assert margins["Projection"].isna().all()


def test_the_same_numbers_after_saving_and_again(boxed, tmp_path):
    found = sk.audit(boxed, nonsense=50).frame
    pd.testing.assert_frame_equal(sk.audit(boxed, nonsense=50).frame, found)
    loaded = sk.Comparison.load(boxed.save(tmp_path), task=in_a_box())
    pd.testing.assert_frame_equal(sk.audit(loaded, nonsense=50).frame, found)
    with pytest.raises(sk.ComparisonError, match="Wanted a task to build the models from"):
        sk.audit(sk.Comparison.load(tmp_path))


def test_another_set_than_the_one_that_was_held(boxed):
    wider = sk.audit(boxed, constraints={"hidden": sk.Box(-0.7, 2.0)}, nonsense=50).frame
    narrower = sk.audit(boxed, constraints={"hidden": sk.Box(-0.1, 0.1)}, nonsense=50).frame
    whole = sk.audit(boxed, constraints={"hidden": sk.Box(-1.0, 1.0)}, nonsense=50).frame
    projected = wider["strategy"] == "Projection"
    assert set(wider[projected]["guarantee"]) == {"structural"}
    assert set(narrower["guarantee"]) == {"none"}
    assert (narrower[projected]["allowed"] < 1).all()
    free = whole["strategy"] == "Unconstrained"
    assert set(whole[free]["guarantee"]) == {"certified"}
    assert set(whole[free]["holds_for"]) == {"every input"}


def test_a_layer_that_nothing_binds_can_be_audited():
    found = sk.compare(in_a_box(constraints={}), [sk.Projection()], seeds=1, steps=5)
    with pytest.raises(sk.ComparisonError, match="Wanted something to audit, and the task binds"):
        sk.audit(found)
    row = runs(sk.audit(found, constraints={"first": sk.Box(-1.0, 1.0)}))["Projection", 0]
    assert row["guarantee"] == "none"
    assert row["raw"] == row["allowed"] < 1
    assert row["metric"] == row["metric_filter_off"]


# -- what is proved ------------------------------------------------------------------------------


def size(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return prediction.square().mean()


def made(net: nn.Module, constraint: sk.Constraint, name: str = "value", x=None, way=None):
    """A comparison of networks that stay as they are made."""
    x = torch.linspace(-1, 1, 21)[:, None] if x is None else x

    def model(seed: int) -> nn.Module:
        return deepcopy(net)

    still = sk.Task(
        "still", model=model, data=sk.Data((x, x), (x, x)), constraints={name: constraint},
        loss=size, metric=size, better="lower",
        optimizer=STILL, batch_size=4,
    )  # fmt: skip
    return sk.compare(still, [way or sk.Unconstrained()], seeds=1, steps=1)


def layers(**modules: nn.Module) -> nn.Sequential:
    net = nn.Sequential()
    for name, module in modules.items():
        net.add_module(name, module)
    return net


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))
    return layer


def only(audit: sk.Audit) -> dict:
    (row,) = audit.frame.to_dict("records")
    return row


@pytest.mark.parametrize("seed", range(5))
def test_bounded_weights_behind_a_tanh_are_certified_for_every_input(seed):
    """Rows whose absolute weights sum to the slack around the middle of the range."""
    draw = draws(seed)
    weight, bias = torch.randn(8, 16, generator=draw), torch.rand(8, generator=draw)
    slack = torch.minimum(bias, 1 - bias)[:, None]
    weight = weight * (slack / weight.abs().sum(1, keepdim=True)).clamp(max=1)
    net = layers(
        first=nn.Linear(1, 16), wave=nn.Tanh(), value=linear(weight.tolist(), bias.tolist())
    )
    row = only(sk.audit(made(layers(net=net, last=nn.Linear(8, 1)), sk.Box(0.0, 1.0), "net.value")))
    assert (row["guarantee"], row["holds_for"]) == ("certified", "every input")
    assert row["margin"] == pytest.approx(0, abs=1e-6)
    assert row["allowed:nonsense"] > 0.999
    wider = layers(first=net[0], wave=net[1], value=linear((1.01 * weight).tolist(), bias.tolist()))
    row = only(sk.audit(made(wider, sk.Box(0.0, 1.0))))
    assert row["holds_for"] != "every input"


def test_certified_where_the_training_inputs_are_and_broken_elsewhere():
    found = made(layers(value=linear([[0.5]], [0.25])), sk.Box(-1.0, 1.0))
    row = only(sk.audit(found))
    assert (row["guarantee"], row["holds_for"]) == ("certified", "the box of the training inputs")
    assert row["margin"] == pytest.approx(0.25)
    assert (row["allowed"], row["raw"]) == (1, 1)
    assert row["allowed:nonsense"] < 0.5
    row = only(sk.audit(found, region=(-2.5, 1.5)))
    assert (row["guarantee"], row["holds_for"]) == ("certified", "the given box")
    assert row["margin"] == pytest.approx(0.0, abs=1e-9)
    row = only(sk.audit(found, region=(-2.6, 1.5)))
    assert row["guarantee"] == "none"
    assert row["margin"] == pytest.approx(-0.05)


def test_what_was_only_seen_is_empirical():
    """A value that is always 0, of which bounds know no more than -2 to 2."""
    net = layers(twice=linear([[1.0], [1.0]], [0.0, 0.0]), value=linear([[1.0, -1.0]], [0.0]))
    row = only(sk.audit(made(net, sk.Box(-1.0, 1.0))))
    assert (row["guarantee"], row["holds_for"]) == ("empirical", "the 10,021 values checked")
    assert row["margin"] == pytest.approx(-1.0)
    row = only(sk.audit(made(net, sk.Box(-1.0, 1.0)), region=(-0.5, 0.5)))
    assert row["guarantee"] == "certified"


def test_a_filter_promises_nothing_of_another_set():
    net = layers(value=linear([[0.0]], [0.3]), last=nn.Linear(1, 1))
    found = made(net, sk.Box(0.0, 1.0), way=sk.Projection())
    row = only(sk.audit(found, constraints={"value": sk.Box(0.2, 0.4)}))
    assert (row["guarantee"], row["allowed"], row["raw"]) == ("empirical", 1, 1)
    # What the filter makes of a value that was in the other set is not in it.
    found = made(net, sk.Box(0.5, 1.0), way=sk.Projection())
    audit = sk.audit(found, constraints={"value": sk.Box(0.2, 0.4)})
    row = only(audit)
    assert (row["guarantee"], row["allowed"], row["raw"]) == ("none", 0, 1)
    assert row["worst"] == pytest.approx(0.1)
    assert audit.notes == ["'value': Bounds don't go through what filters the value of 'value'."]


def test_one_side_without_an_end_is_enough():
    positive = layers(first=nn.Linear(1, 4), bump=nn.ReLU(), value=linear([[1.0] * 4], [0.0]))
    row = only(sk.audit(made(positive, sk.NonNegative())))
    assert (row["guarantee"], row["holds_for"]) == ("certified", "every input")


def test_what_bounds_cannot_follow_is_said():
    net = layers(first=nn.Linear(1, 3), odd=nn.GELU(), value=nn.Linear(3, 2), last=nn.Linear(2, 1))
    audit = sk.audit(made(net, sk.Box(-50.0, 50.0)), nonsense=10)
    assert only(audit)["guarantee"] == "empirical"
    assert isnan(only(audit)["margin"])
    assert len(audit.notes) == 1
    assert audit.notes[0].startswith("'value': Interval bounds can't follow 1 (GELU). They follow")


def test_a_set_that_is_no_product_of_intervals_is_not_certified():
    net = layers(value=linear([[0.0], [0.0]], [0.6, 0.8]), last=nn.Linear(2, 1))
    audit = sk.audit(made(net, sk.Sphere()))
    assert only(audit)["guarantee"] == "empirical"
    assert audit.notes == []


def test_a_value_that_is_not_a_number_holds_nowhere():

    class Root(nn.Module):
        def forward(self, x):
            return x.sqrt()

    x = torch.linspace(0, 1, 20)[:, None]
    found = made(layers(value=Root(), last=nn.Linear(1, 1)), sk.NonNegative(), x=x)
    row = only(sk.audit(found, nonsense=1000))
    assert row["guarantee"] == "none"
    assert isnan(row["worst"])
    assert row["allowed"] == 1
    assert 0.4 < row["allowed:nonsense"] < 0.6


def test_bounds_stop_at_a_filter_on_the_way():
    """Both layers are held; the second is audited against what nothing holds."""

    def model(seed: int) -> nn.Module:
        return layers(first=nn.Linear(1, 2), second=nn.Linear(2, 1))

    x = torch.linspace(-1, 1, 20)[:, None]
    both = sk.Task(
        "both", model=model, data=sk.Data((x, x), (x, x)), loss=F.mse_loss, metric=F.mse_loss,
        constraints={"first": sk.Box(0.0, 1.0)}, better="lower", batch_size=4,
    )  # fmt: skip
    found = sk.compare(both, [sk.Projection()], seeds=2, steps=3)
    audit = sk.audit(found, constraints={"second": sk.Box(-9.0, 9.0)})
    rows = audit.frame.set_index(["bound", "seed"])["guarantee"]
    assert rows.to_dict() == {
        ("first", 0): "structural", ("first", 1): "structural",
        ("second", 0): "empirical", ("second", 1): "empirical",
    }  # fmt: skip
    assert audit.notes == ["'second': Bounds don't go through what filters the value of 'first'."]
    assert audit.summary().index.to_list() == [("Projection", "first"), ("Projection", "second")]
    assert audit.summary().index.names == ["strategy", "bound"]


def test_an_in_place_layer_behind_changes_nothing():
    """What was passed on is counted, not what the next layer made of it."""
    net = layers(value=linear([[1.0]], [0.0]), clip=nn.ReLU(inplace=True))
    x = torch.linspace(-1, 1, 20)[:, None]
    row = only(sk.audit(made(net, sk.NonNegative(), x=x), nonsense=5))
    assert row["allowed"] == row["raw"] == 0.5


# -- weights -------------------------------------------------------------------------------------


def test_weights_are_what_they_are_for_every_input():
    strategies = [sk.Penalty(1e-3), sk.Penalty(30.0, norm="absolute"), sk.Projection(), sk.Freeze()]
    found = sk.compare(task(), strategies, seeds=2, steps=100)
    audit = sk.audit(found, nonsense=20)
    rows = runs(audit)
    assert {label: row["guarantee"] for (label, _), row in rows.items()} == {
        "Penalty 0.001": "none",
        "Penalty 30 absolute": "certified",
        "Projection": "structural",
        "Freeze": "structural",
    }
    for (label, seed), row in rows.items():
        final = found.final().loc[(label, seed)]
        assert row["allowed"] == pytest.approx(final["allowed"], abs=SHARE)
        assert row["worst"] == pytest.approx(final["violation"], rel=1e-12)
        assert row["metric"] == row["metric_filter_off"] == pytest.approx(final["metric"])
        assert row["holds_for"] == ("" if label == "Penalty 0.001" else "every input")
    assert audit.frame["allowed:nonsense"].isna().all()
    assert "in set: nonsense" not in audit.summary()


# -- words ---------------------------------------------------------------------------------------

LANGUAGE = sk.Grammar("(ab|ba)c?", length=3, up_to=True)
TOKENS = torch.cartesian_prod(*[torch.arange(3, 7)] * 3)  # 64 sentences of three tokens


class Speaker(nn.Module):
    """Tokens to scores to a word to a class."""

    def __init__(self):
        super().__init__()
        self.read = nn.Embedding(7, 4, dtype=DOUBLE)
        self.scores = nn.Sequential(
            nn.Flatten(), nn.Linear(12, 12, dtype=DOUBLE), nn.BatchNorm1d(12, dtype=DOUBLE),
            nn.Unflatten(1, LANGUAGE.shape),
        )  # fmt: skip
        self.speak = StraightThrough()
        self.answer = nn.Linear(12, 4, dtype=DOUBLE)

    def forward(self, x):
        return self.answer(self.speak(self.scores(self.read(x))).flatten(1))


def speaking(**changes) -> sk.Task:
    chosen = torch.randperm(64, generator=draws(0))
    x, y = TOKENS[chosen], TOKENS[chosen, 0] - 3
    return sk.Task(
        "speaking",
        **{
            "model": lambda seed: Speaker(),
            "data": sk.Data((x[:48], y[:48]), (x, y)),
            "loss": F.cross_entropy,
            "metric": sk.tasks.accuracy,
            "constraints": {"scores": LANGUAGE},
            "batch_size": 16,
            "optimizer": partial(torch.optim.Adam, lr=2e-2),
            **changes,
        },
    )


def true_words(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A word of the language for each class."""
    return LANGUAGE.encode(["ab", "ba", "abc", "bac"])[y]


@pytest.fixture(scope="module")
def spoken() -> sk.Comparison:
    ways = [sk.Unconstrained(), sk.Penalty(0.3), sk.Projection(), sk.Reparametrization()]
    return sk.compare(speaking(), ways, seeds=2, steps=60)


def test_words_against_a_reading_by_hand(spoken):
    audit = sk.audit(spoken, truth=true_words, nonsense=300)
    words = {"".join(word) for word in LANGUAGE.examples(99)}
    x, y = speaking().data_for(0).test
    classes = "ab ba abc bac".split()
    for label in spoken.strategies:
        for seed, model in enumerate(spoken.models(label)):
            plain = Speaker().eval()
            plain.load_state_dict(model.state_dict())
            scores = plain.scores(plain.read(x))
            raw = ["".join(word) for word in LANGUAGE.decode(scores)]
            # The end of decode leaves padding off; a word may still have some in the middle.
            legal = [word in words for word in raw]
            held = label in ("Projection", "Reparametrization")
            passed = LANGUAGE.project(scores) if held else scores
            said = ["".join(word) for word in LANGUAGE.decode(passed)]
            row = runs(audit)[label, seed]
            assert row["raw"] == pytest.approx(np.mean(legal))
            assert row["allowed"] == pytest.approx(np.mean([word in words for word in said]))
            right = np.mean([word == classes[k] for word, k in zip(said, y, strict=True)])
            assert row["true_words"] == pytest.approx(right)
            usual = set()
            for kind in range(4):
                of = [word for word, k in zip(said, y, strict=True) if k == kind]
                usual.add(max(sorted(set(of), key=rank), key=of.count))
            assert row["distinct_words"] == pytest.approx(len(usual) / 4)
            answer = plain.answer(plain.speak(scores).flatten(1))
            off = sk.tasks.accuracy(answer, y).item()
            assert row["metric_filter_off"] == pytest.approx(off)
            assert row["metric"] == pytest.approx(spoken.final().loc[(label, seed), "metric"])
            assert row["allowed"] == pytest.approx(spoken.final().loc[(label, seed), "allowed"])
            assert row["guarantee"] == ("structural" if held else row["guarantee"])
            assert row["unit"] == "symbols"
            assert row["worst"] == int(row["worst"])
    off = audit.frame["metric_filter_off"] != audit.frame["metric"]
    assert off.any()
    assert (audit.frame["raw"] < 1).any()


def rank(word: str) -> list[int]:
    return [LANGUAGE.symbols.index(v) for v in word.ljust(3, LANGUAGE.symbols[-1])]


def test_different_words_per_input_without_a_truth(spoken):
    row = runs(sk.audit(spoken, nonsense=10))["Projection", 0]
    x, _ = speaking().data_for(0).test
    model = spoken.models("Projection")[0].eval()
    seen = []
    model.scores.register_forward_hook(lambda m, a, value: seen.append(value))
    model(x)
    assert row["distinct_words"] == pytest.approx(len(set(LANGUAGE.decode(seen[0]))) / 64)
    assert isnan(row["true_words"])


def test_words_of_another_grammar(spoken):
    every = sk.Grammar("[abc]{1,3}", length=3, up_to=True, alphabet="abc")
    same = sk.Grammar.from_words(["ab", "ba", "abc", "bac"], alphabet="abc")
    for grammar in (every, same):
        row = runs(sk.audit(spoken, constraints={"scores": grammar}, nonsense=10))["Projection", 0]
        assert row["guarantee"] == "structural"
    few = sk.Grammar.from_words(["ab", "abc"], alphabet="abc")
    audit = sk.audit(spoken, constraints={"scores": few}, nonsense=10)
    assert runs(audit)["Projection", 0]["guarantee"] == "none"
    assert runs(audit)["Projection", 0]["allowed"] < 1
    free = sk.compare(speaking(constraints={}), [sk.Unconstrained()], seeds=1, steps=10)
    row = runs(sk.audit(free, constraints={"scores": LANGUAGE}, truth=true_words))
    assert row["Unconstrained", 0]["allowed"] < 1


def test_true_words_by_tensor_and_what_does_not_fit(spoken, boxed):
    x, y = speaking().data_for(0).test
    given = sk.audit(spoken, truth=true_words(x, y), nonsense=10).frame
    pd.testing.assert_frame_equal(given, sk.audit(spoken, truth=true_words, nonsense=10).frame)
    with pytest.raises(sk.ComparisonError, match=r"for 64 examples and 3 slots, got \(63, 3, 4\)"):
        sk.audit(spoken, truth=true_words(x, y)[:63], nonsense=10)
    with pytest.raises(sk.ComparisonError, match="Wanted one layer that is audited against a Gra"):
        sk.audit(boxed, truth=true_words, nonsense=10)
    with pytest.raises(sk.ComparisonError, match=r"'scores' can't be audited so: .*\(2, 2\)"):
        sk.audit(spoken, constraints={"scores": sk.Grammar("ab|ba", length=2)}, nonsense=10)


def test_languages_within_languages():
    every = ["".join(word) for word in itertools.product("ab", repeat=3)]
    draw, inside = draws(1), 0
    for _ in range(300):
        picks = torch.rand(2, 8, generator=draw) < torch.rand(2, 1, generator=draw)
        lists = [[word for word, on in zip(every, pick, strict=True) if on] for pick in picks]
        if not all(lists):
            continue
        one, other = (sk.Grammar.from_words(words, alphabet="ab") for words in lists)
        assert lies_within(one, other) == (set(lists[0]) <= set(lists[1]))
        inside += lies_within(one, other)
    assert inside > 20
    turned = sk.Grammar.from_words(every, alphabet="ba")
    assert not lies_within(one, turned)
    assert lies_within(sk.NonNegative(), sk.NonNegative())
    assert not lies_within(sk.Sphere(), sk.Box(-1.0, 1.0))


# -- what the networks are asked -----------------------------------------------------------------


def test_nonsense_of_numbers():
    x = 3 + 2 * torch.randn(500, 4, generator=draws(0))
    made = audit_inputs(sk.Data((x, x), (x[:5], x[:5])), 10_000)["nonsense"]
    assert made.shape == (10_000, 4)
    assert made.dtype == x.dtype
    constant = made[(made == made[:, :1]).all(1)]
    assert len(constant) == 100
    assert (constant == 0).all(1).sum() == 1
    assert constant[:, 0].max() == pytest.approx(3 + 20, abs=1.5)
    noise = made[100:]
    assert noise.mean().item() == pytest.approx(3, abs=0.5)
    assert noise.std().item() == pytest.approx(20, rel=0.05)
    again = audit_inputs(sk.Data((x, x), (x, x)), 10_000)["nonsense"]
    assert (made == again).all()


def test_nonsense_of_whole_numbers_and_of_yes_and_no():
    made = audit_inputs(sk.Data((TOKENS, TOKENS), (TOKENS, TOKENS)), 4000)["nonsense"]
    assert made.dtype == TOKENS.dtype
    counts = made.flatten().bincount()[3:]
    assert len(counts) == 4
    assert counts.double().div(12_000).sub(0.25).abs().max() < 0.02
    flags = TOKENS > 4
    made = audit_inputs(sk.Data((flags, flags), (flags, flags)), 50)["nonsense"]
    assert made.dtype == torch.bool
    assert 0.3 < made.double().mean() < 0.7


def test_nonsense_of_inputs_that_are_all_alike():
    x = torch.full((4, 2), 0.5)
    made = audit_inputs(sk.Data((x, x), (x, x)), 1000)["nonsense"]
    assert torch.isfinite(made).all()
    assert made.std() > 1


@pytest.mark.parametrize(
    ("nonsense", "words"),
    [
        (0, "Wanted a tensor of nonsense, or how many inputs to make, from 1 up; got 0."),
        (True, "from 1 up; got True."),
        ("much", "from 1 up; got 'much'."),
        (torch.zeros(3), r"inputs are \(64, 6\), and at least one input; got \(3,\)"),
        (torch.zeros(0, 6), r"got \(0, 6\)"),
        (torch.full((3, 6), torch.inf), "Wanted finite inputs, .*: 3 of 3 in nonsense. No network"),
    ],
)
def test_nonsense_that_is_none(boxed, nonsense, words):
    with pytest.raises(sk.ComparisonError, match=words):
        sk.audit(boxed, nonsense=nonsense)


def test_numbers_are_no_nonsense_for_tokens(spoken):
    with pytest.raises(
        sk.ComparisonError, match=r"Wanted nonsense of the data's type, torch.int64"
    ):
        sk.audit(spoken, nonsense=torch.rand(4, 3))


def test_infinite_inputs_are_refused(boxed):
    (x, y), (tx, ty) = points().train, points().test
    tx = tx.clone()
    tx[1, 2], tx[4] = torch.inf, torch.nan
    bad = sk.Data((x, y), (tx, ty), late=(tx[:2], ty[:2]))
    found = sk.Comparison(**{**vars(boxed), "task": in_a_box(data=bad)})
    with pytest.raises(sk.ComparisonError, match="or NaN: 2 of 26 in test, 1 of 2 in late"):
        sk.audit(found)


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ((torch.zeros(5), 1.0), r"broadcasts with an input, \(6,\), got"),
        ((1.0, 0.0), "Wanted a region with low <= high everywhere"),
        ((0.0, float("nan")), "Wanted a region with low <= high everywhere"),
        (3.0, "Wanted region="),
    ],
)
def test_regions_that_are_none(boxed, region, words):
    with pytest.raises(sk.ComparisonError, match=words):
        sk.audit(boxed, region=region)


def test_a_name_that_is_not_there(boxed):
    with pytest.raises(sk.TaskError, match="unknown name 'hiden'; did you mean 'hidden'"):
        sk.audit(boxed, constraints={"hiden": sk.NonNegative()})


# -- models of other kinds -----------------------------------------------------------------------


class Looping(nn.Module):
    """Its layer is called three times, the last time on other values."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6, dtype=DOUBLE)
        self.spare = nn.Linear(6, 6)
        self.last = nn.Linear(6, 3, dtype=DOUBLE)

    def forward(self, x):
        for _ in range(3):
            x = 2 * self.first(x)
        return self.last(x)


def test_all_calls_of_a_layer_count():
    looped = in_a_box(model=lambda seed: Looping(), constraints={"first": sk.Box(-1.0, 1.0)})
    found = sk.compare(looped, [sk.Unconstrained(), sk.Projection()], seeds=2, steps=5)
    audit = sk.audit(found, nonsense=100)
    for (label, seed), row in runs(audit).items():
        final = found.final().loc[(label, seed)]
        assert row["allowed"] == pytest.approx(final["allowed"], abs=SHARE)
        assert row["checked"] == 3 * 6 * (26 + 26 + 100)
    assert 0 < runs(audit)["Unconstrained", 0]["allowed"] < 1
    assert audit.notes == [
        "'first': Wanted a layer that the forward pass calls once, and 'first' is called 3 times."
    ]
    with pytest.raises(sk.ComparisonError, match=r"Wanted layers that the network calls.*spare"):
        sk.audit(found, constraints={"spare": sk.NonNegative()}, nonsense=10)


def test_a_layer_that_gives_no_tensor():
    class Pair(Net):
        def __init__(self):
            super().__init__()
            self.memory = nn.GRU(8, 8, dtype=DOUBLE)

        def forward(self, x):
            return self.last(self.memory(self.hidden(self.first(x)))[0])

    paired = in_a_box(model=lambda seed: Pair(), constraints={})
    found = sk.compare(paired, [sk.Unconstrained()], seeds=1, steps=2, batched=False)
    with pytest.raises(sk.ComparisonError, match="The output of 'memory' is a tuple, and a set is"):
        sk.audit(found, constraints={"memory": sk.NonNegative()})


def test_a_diverged_run_has_no_numbers():
    wild = in_a_box(optimizer=partial(torch.optim.SGD, lr=float("inf")))
    found = sk.compare(wild, [sk.Unconstrained(), sk.Projection()], seeds=2, steps=30)
    assert found.final()["diverged"].all()
    audit = sk.audit(found, nonsense=10)
    assert audit.frame["diverged"].all()
    assert set(audit.frame["guarantee"]) == {"none"}
    assert audit.frame[["allowed", "raw:noisy", "metric", "worst"]].isna().all(axis=None)
    assert audit.summary()["diverged"].to_list() == ["2 of 2", "2 of 2"]


def test_rivals_that_stand_beside(boxed):
    other = in_a_box(constraints={"hidden": sk.Box(-0.9, 0.9)})
    rival = sk.compare(other, [sk.Projection()], seeds=2, steps=40)
    row = runs(sk.audit(boxed.beside({"rival": rival}), nonsense=20))["rival", 1]
    assert row["guarantee"] == "structural"
    assert row["worst"] == 0


# -- to be read ----------------------------------------------------------------------------------


def test_the_table_to_be_read(boxed):
    audit = sk.audit(boxed, nonsense=200)
    table = audit.summary()
    assert table.columns.to_list() == [
        "guarantee", "holds for", "in set: test", "in set: noisy", "in set: nonsense",
        "in set, filter off: test", "in set, filter off: noisy", "in set, filter off: nonsense",
        "accuracy", "accuracy, filter off", "worst",
    ]  # fmt: skip
    assert table.index.to_list() == list(boxed.strategies)
    assert table.loc["Projection", "in set: nonsense"] == "1"
    assert table.loc["Projection", "worst"] == "0 value"
    shares = audit.frame[audit.frame["strategy"] == "Unconstrained"]["allowed"]
    wanted = f"{shares.mean():.3f} ± {shares.std():.3f}"
    assert table.loc["Unconstrained", "in set: test"] == wanted
    assert audit._repr_html_() == table.to_html()


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        ([1.0, 1.0], "1"),
        ([0.0, 0.0], "0"),
        ([0.99999], ">0.999"),
        ([0.00001], "<0.001"),
        ([1.0, 0.9999], ">0.999 ± 0.000"),
        ([0.5], "0.500"),
        ([0.25, 0.75], "0.500 ± 0.354"),
    ],
)
def test_what_is_not_all_is_not_shown_as_all(boxed, shares, text):
    frame = sk.audit(boxed, nonsense=10).frame
    some = frame[frame["strategy"] == "Projection"].iloc[: len(shares)].assign(allowed=shares)
    assert sk.Audit(some, "accuracy").summary()["in set: test"].to_list() == [text]


def test_the_weakest_seed_speaks_for_all(boxed):
    frame = sk.audit(boxed, nonsense=10).frame
    some = frame[frame["strategy"] == "Projection"].assign(guarantee=["structural", "empirical"])
    assert sk.Audit(some, "accuracy").summary()["guarantee"].to_list() == ["empirical"]
