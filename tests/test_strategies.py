"""Strategies on two numbers: what a hook does, what a setting may be."""

import json
import pickle

import pytest
import torch

import shapekeeper as sk
from shapekeeper.strategies import stage_ends

CLOSED = sk.Connections([[1, 0]])
X = torch.tensor([[[2.0, 3.0]], [[2.0, -3.0]]])  # (runs, target, source)

EVERY = [
    sk.Unconstrained(),
    sk.Unconstrained(start="task"),
    sk.Penalty(0.5),
    sk.Penalty(0.5, norm="absolute"),
    sk.Penalty(0.5, growth=1.02),
    sk.AugmentedLagrangian(),
    sk.AugmentedLagrangian(0.0, 0.5, growth=2.0),
    sk.Freeze(),
    sk.Projection(),
    sk.Projection(every=4),
    sk.Reparametrization(),
    sk.RejectionEvolution(),
    sk.RejectionEvolution(500, 12, 0.5, "ranked"),
    sk.RejectionEvolution(inside=sk.Projection()),
    sk.RejectionEvolution(inside=sk.Reparametrization()),
    sk.Staged(sk.Stage(0.3, sk.Penalty(1.0)), sk.Stage(0.7, sk.Freeze(), rate=0.5)),
]


@pytest.mark.parametrize("strategy", EVERY, ids=lambda s: s.label)
class TestValues:
    def test_json_round_trip(self, strategy):
        assert sk.Strategy.from_json(json.loads(json.dumps(strategy.to_json()))) == strategy

    def test_pickle_and_hash(self, strategy):
        copy = pickle.loads(pickle.dumps(strategy))
        assert copy == strategy
        assert hash(copy) == hash(strategy)

    def test_repr_is_the_call(self, strategy):
        assert eval(repr(strategy), vars(sk)) == strategy

    def test_labels_are_distinct(self, strategy):
        assert [s.label for s in EVERY].count(strategy.label) == 1


def test_price_is_summed_over_a_run_never_averaged():
    assert sk.Penalty(0.5).price(CLOSED, X, {}).tolist() == [4.5, 4.5]
    assert sk.Penalty(0.5).price(CLOSED, X[:1], {}).tolist() == [4.5]
    assert sk.Unconstrained().price(CLOSED, X, {}) == 0


def test_the_absolute_penalty_moves_by_lr_times_strength_and_stops_at_zero():
    strategy = sk.Penalty(10.0, norm="absolute")
    assert strategy.repair(CLOSED, X, {}, lr=0.1)[..., 1].flatten().tolist() == [2.0, -2.0]
    assert (strategy.repair(CLOSED, X, {}, lr=0.5)[..., 1] == 0).all()
    assert torch.equal(strategy.repair(CLOSED, X, {}, lr=0.1)[..., 0], X[..., 0])


def test_the_absolute_penalty_goes_straight_to_the_nearest_value():
    x = torch.tensor([[3.0, 4.0]])
    moved = sk.Penalty(10.0, norm="absolute").repair(sk.Sphere(), x, {}, lr=0.1)
    torch.testing.assert_close(moved, x * 4 / 5)  # one unit of length along the radius
    there = sk.Penalty(10.0, norm="absolute").repair(sk.Sphere(), x, {}, lr=1.0)
    torch.testing.assert_close(there, x / 5)


class TestGrowingPenalty:
    GROWING = sk.Penalty(0.5, growth=2.0)

    def test_grows_after_each_step_of_a_run_that_is_not_allowed(self):
        leaf, memory = self.GROWING.begin(CLOSED, X)
        assert memory["strength"].tolist() == [0.5, 0.5]
        assert self.GROWING.repair(CLOSED, leaf, memory, lr=0.1) is leaf
        assert memory["strength"].tolist() == [1.0, 1.0]
        one_allowed = X * torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]]])
        self.GROWING.repair(CLOSED, one_allowed, memory, lr=0.1)
        assert memory["strength"].tolist() == [1.0, 2.0]
        assert self.GROWING.price(CLOSED, X, memory).tolist() == [9.0, 18.0]

    def test_one_row_that_is_not_allowed_is_enough(self):
        """Events of a run share one strength, so that its price is that of a run."""
        rows = torch.tensor([[[2.0, 0.0], [2.0, 0.0]], [[2.0, 0.0], [2.0, 1.0]]])
        sphere = sk.Sphere(2.0)
        _, memory = self.GROWING.begin(sphere, rows)
        self.GROWING.repair(sphere, rows, memory, lr=0.1)
        assert memory["strength"].tolist() == [0.5, 1.0]

    def test_ends_at_ten_thousand_times_the_strength(self):
        _, memory = self.GROWING.begin(CLOSED, X)
        for _ in range(30):
            self.GROWING.repair(CLOSED, X, memory, lr=0.1)
        assert memory["strength"].tolist() == [5000.0, 5000.0]

    def test_what_does_not_grow_remembers_nothing(self):
        leaf, memory = sk.Penalty(0.5).begin(CLOSED, X)
        sk.Penalty(0.5).repair(CLOSED, leaf, memory, lr=0.1)
        assert memory == {}

    def test_asks_for_a_price_inside_the_set(self):
        """Where the set knows what is inside; a fixed strength asks for the set itself."""
        drawn = sk.FilterShape.bandlimited(0.5, attenuation_db=30)
        edge = drawn.inside().project(torch.randn(1, 40, 15, dtype=torch.float64))
        edge[0, 0] = 0
        edge[0, 0, 7] = 1  # an impulse lets everything pass
        _, memory = self.GROWING.begin(drawn, edge)
        wanted = 0.5 * drawn.inside().penalty(edge).sum(1)
        torch.testing.assert_close(self.GROWING.price(drawn, edge, memory), wanted)
        fixed = sk.Penalty(0.5).price(drawn, edge, {})
        torch.testing.assert_close(fixed, 0.5 * drawn.penalty(edge).sum(1))
        assert (wanted > 1.03 * fixed).all()

    def test_says_so(self):
        assert sk.Penalty(1.0, growth=1.0135).label == "Penalty 1 growing 1.0135"
        labels = [s.label for s in sk.Penalty(1.0, growth=[1.01, 1.1]).variants()]
        assert labels == ["Penalty 1 growing 1.01", "Penalty 1 growing 1.1"]
        assert self.GROWING.guarantee == "none"


def test_projection_every_third_step():
    strategy = sk.Projection(every=3)
    leaf, memory = strategy.begin(CLOSED, X)
    closed = []
    for _ in range(6):
        leaf = strategy.repair(CLOSED, leaf, memory, lr=0.1)
        closed.append(bool((leaf[..., 1] == 0).all()))
        leaf = leaf + 1
    assert closed == [False, False, True, False, False, True]
    assert strategy.guarantee == "none"


def test_who_promises_what():
    structural = [s.label for s in EVERY if s.guarantee == "structural"]
    evolved = [
        "RejectionEvolution",
        "RejectionEvolution 500, population 12, step 0.5, ranked",
        "RejectionEvolution Projection inside",
        "RejectionEvolution Reparametrization inside",
    ]
    last = "Staged Penalty 1 → Freeze"
    assert structural == ["Freeze", "Projection", "Reparametrization", *evolved, last]
    on_outputs = [s.label for s in EVERY if s.output_guarantee == "structural"]
    assert on_outputs == ["Projection", "Projection 4", "Reparametrization", *evolved[2:]]
    checked = [s.label for s in EVERY if s.output_guarantee == "empirical"]
    assert checked == evolved[:2]


def test_sweeps():
    labels = [s.label for s in sk.Penalty([0.1, 1, 10.0]).variants()]
    assert labels == ["Penalty 0.1", "Penalty 1", "Penalty 10"]
    staged = sk.Staged(sk.Stage(0.5, sk.Penalty([1.0, 2.0])), sk.Stage(0.5, sk.Freeze()))
    assert [s.label for s in staged.variants()] == [
        "Staged Penalty 1 → Freeze",
        "Staged Penalty 2 → Freeze",
    ]
    assert sk.Projection().variants() == [sk.Projection()]
    assert hash(sk.Penalty([1.0, 2.0])) == hash(sk.Penalty((1.0, 2.0)))


@pytest.mark.parametrize("steps", [1, 7, 100, 499])
def test_stages_fill_all_steps(steps):
    thirds = [sk.Stage(1 / 3, sk.Freeze())] * 3
    ends = stage_ends(sk.Staged(*thirds).stages(), steps)
    assert ends[-1] == steps
    assert ends == sorted(ends)


WORDS = sk.Grammar.from_words(["ab", "ba"])


@pytest.mark.parametrize(
    "ask",
    [
        lambda strategy: strategy.output(WORDS, WORDS.encode(["ab"])),
        lambda strategy: strategy.begin(WORDS, WORDS.encode(["ab"])),
    ],
    ids=["layer", "weight"],
)
def test_multipliers_need_a_derivative(ask):
    words = (
        "Grammar counts what is not allowed, and AugmentedLagrangian prices residuals that have a "
        "derivative. Unconstrained, Penalty, Freeze, Staged, Projection, Reparametrization and "
        "RejectionEvolution hold it."
    )
    with pytest.raises(sk.StrategyError) as refused:
        ask(sk.AugmentedLagrangian())
    assert str(refused.value) == words


def test_what_varies_passes_through_what_is_inside():
    start = torch.tensor([[[3.0, 5.0]]])
    for inside in (sk.Projection(), sk.Reparametrization()):
        strategy = sk.RejectionEvolution(inside=inside)
        leaf, memory = strategy.begin(CLOSED, CLOSED.project(start))
        moved = strategy.weights(CLOSED, leaf + 1, memory)
        assert moved.tolist() == [[[4.0, 0.0]]]
        assert strategy.output(CLOSED, start).tolist() == [[[3.0, 0.0]]]
    free = sk.RejectionEvolution()
    assert free.weights(CLOSED, start, {}) is start
    assert free.output(CLOSED, start) is start


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sk.Penalty(-1.0), "Wanted a finite strength from 0 up, got -1.0"),
        (lambda: sk.Penalty([1.0, float("inf")]), "Wanted a finite strength from 0 up, got inf"),
        (lambda: sk.Penalty("strong"), "got 'strong'"),
        (lambda: sk.Penalty(1.0, norm="l1"), "Wanted norm='squared' or norm='absolute', got 'l1'"),
        (lambda: sk.Penalty(1.0, growth=0.9), "Wanted a finite growth from 1 up, got 0.9"),
        (lambda: sk.Penalty(1.0, growth=[1.1, float("inf")]), "growth from 1 up, got inf"),
        (lambda: sk.Penalty(1.0, growth="fast"), "growth from 1 up, got 'fast'"),
        (
            lambda: sk.Penalty(1.0, norm="absolute", growth=1.1),
            "Wanted norm='squared' for a strength that grows: the absolute one arrives",
        ),
        (
            lambda: sk.Penalty(1.0, growth=1.1).output_price(CLOSED, X, {}),
            "grows is for weights.*Wanted Penalty.strength. on the value of a layer, or Projection",
        ),
        (lambda: sk.Projection(every=0), "Wanted a whole number from 1 up for every, got 0"),
        (lambda: sk.Projection(every=1.5), "Wanted a whole number from 1 up for every, got 1.5"),
        (lambda: sk.Unconstrained(start="anywhere"), "got 'anywhere'"),
        (
            lambda: sk.RejectionEvolution(0, population=3, step_size=-1, violators="shot"),
            "evaluations from 1 up, got 0.*at least 4, or None, got 3.*step_size above 0, got -1"
            ".*violators='rejected' or violators='ranked', got 'shot'",
        ),
        (
            lambda: sk.RejectionEvolution(inside=sk.Projection(every=2)),
            r"inside=Projection\(\), .* or None, got Projection\(every=2\)",
        ),
        (lambda: sk.RejectionEvolution([100, 2.5]), "whole number of evaluations.*got 2.5"),
        (
            lambda: sk.Stage(0.5, sk.RejectionEvolution(), rate=0.1),
            "RejectionEvolution takes its own steps: wanted rate=1 .* got rate=0.1",
        ),
        (lambda: sk.Staged(), "Wanted stages, e.g. Stage"),
        (lambda: sk.Staged(sk.Freeze()), "Wanted stages, e.g. Stage"),
        (lambda: sk.Staged(sk.Stage(0.4, sk.Freeze())), "Wanted shares that sum to 1, got 0.4"),
        (lambda: sk.Stage(0.0, sk.Freeze(), rate=-1), "above 0 and at most 1.*a rate from 0 up"),
        (lambda: sk.Stage(1.0, sk.Staged(sk.Stage(1.0, sk.Freeze()))), "that has no stages"),
        (lambda: sk.Strategy.from_json({"strategy": "Pray"}), "Wanted a strategy, got 'Pray'"),
    ],
)
def test_bad_settings(make, words):
    with pytest.raises(sk.StrategyError, match=words):
        make()
