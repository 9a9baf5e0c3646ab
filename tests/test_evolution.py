"""Evolution reaches known optima, rejects what violates, and is a function of its seed."""

import io
import json
import pickle
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from comparisons import TASKS, Dropping, assert_same, normed
from points import CLOSED, DOUBLE, points, task
from scipy.optimize import brentq, lsq_linear, nnls
from torch import nn
from torch.nn import functional as F

import shapekeeper as sk
from shapekeeper.compare import candidates, evolution, misfit
from shapekeeper.compare.candidates import Judged
from shapekeeper.compare.run import Run

pytest.importorskip("cma")
pytestmark = pytest.mark.filterwarnings("ignore:.*seeds were trained one after another")

THROUGH = sk.Projection()
NARROW = sk.Box(-0.9, 0.9)


# -- a line through points: what is best can be computed -------------------------------------------

DRAW = torch.Generator().manual_seed(5)
X = torch.randn(40, 5, generator=DRAW, dtype=DOUBLE)
Y = X @ torch.tensor([1.5, -0.7, 0.2, -1.2, 0.4], dtype=DOUBLE)
Y = Y + 0.3 * torch.randn(40, generator=DRAW, dtype=DOUBLE)


class Line(nn.Module):
    """One row of five weights; `out` is a layer, so that its value can be bound."""

    def __init__(self, start=0.3):
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, 5), start, dtype=DOUBLE))
        self.out = nn.Identity()

    def forward(self, x):
        return self.out(x @ self.weight[0])


def line(constraints, **changes) -> sk.Task:
    settings = {
        "model": lambda seed: Line(),
        "data": sk.Data((X, Y), (X, Y)),
        "loss": F.mse_loss,
        "metric": F.mse_loss,
        "better": "lower",
        "constraints": constraints,
        "batch_size": 40,
        "optimizer": lambda tensors: torch.optim.SGD(tensors, lr=0.1),
    }
    return sk.Task("line", **{**settings, **changes})


def on_the_sphere() -> np.ndarray:
    """Least squares of length 1: (H + m) w = b, with m where the length is right."""
    values, vectors = np.linalg.eigh((X.T @ X).numpy() / 40)
    turned = vectors.T @ (X.T @ Y).numpy() / 40
    m = brentq(lambda m: np.sum((turned / (values + m)) ** 2) - 1, -values[0] + 1e-9, 100)
    return vectors @ (turned / (values + m))


def masked() -> np.ndarray:
    """Least squares without the second weight."""
    found, _, _, _ = np.linalg.lstsq(X[:, [0, 2, 3, 4]].numpy(), Y.numpy(), rcond=None)
    return np.insert(found, 1, 0.0)


BEST = {
    "box": (sk.Box(-0.5, 0.5), lsq_linear(X.numpy(), Y.numpy(), (-0.5, 0.5)).x),
    "not negative": (sk.NonNegative(), nnls(X.numpy(), Y.numpy())[0]),
    "sphere": (sk.Sphere(), on_the_sphere()),
    "mask": (sk.Connections([[1, 0, 1, 1, 1]]), masked()),
}


def mse(weights: np.ndarray) -> float:
    return float(np.mean((X.numpy() @ weights - Y.numpy()) ** 2))


@pytest.mark.parametrize(
    ("name", "changes", "off", "above"),
    [
        # Where candidates at an edge are drawn anew, the step size narrows before all is found.
        ("box", {}, 0.1, 0.01),
        ("not negative", {}, 0.1, 0.01),
        ("box", {"violators": "ranked"}, 1e-3, 1e-4),
        ("not negative", {"violators": "ranked"}, 1e-3, 1e-4),
        ("box", {"inside": THROUGH}, 1e-6, 1e-9),
        ("not negative", {"inside": THROUGH}, 1e-6, 1e-9),
        ("sphere", {"inside": THROUGH}, 1e-6, 1e-9),
        ("sphere", {"inside": sk.Reparametrization()}, 1e-6, 1e-9),
        ("mask", {"inside": THROUGH}, 1e-6, 1e-9),
    ],
)
def test_reaches_the_optimum(name, changes, off, above):
    c, best = BEST[name]
    strategy = sk.RejectionEvolution(2500, **changes)
    found = sk.compare(line({"weight": c}), [strategy], seeds=3, steps=60)
    weights = found.tensors[strategy.label]["weight"][:, 0].numpy()
    assert np.abs(weights - best).max() < off
    assert max(map(mse, weights)) < mse(best) * (1 + above)
    assert (found.frame["violation_peak"] <= c.tolerance(DOUBLE)).all()
    assert found.holds(strategy.label) == "always"


def test_many_weights_are_varied_too():
    """Beyond 100 the covariance is diagonal; the library's own choice would refuse to go on."""
    bound = task(constraints={"first.weight": CLOSED}, batch_size=64)
    found = sk.compare(bound, [sk.RejectionEvolution(3000, inside=THROUGH)], seeds=1, steps=40)
    wide = replace(bound, model=lambda seed: Wide())
    big = sk.compare(wide, [sk.RejectionEvolution(3000, inside=THROUGH)], seeds=1, steps=40)
    for one in (found, big):
        losses = one.frame["loss"].to_numpy()
        assert losses[-1] < 0.5 * losses[0]
        assert (one.frame["violation_peak"] == 0).all()


class Wide(nn.Module):
    """More than 100 weights."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8, dtype=DOUBLE)
        self.middle = nn.Linear(8, 8, dtype=DOUBLE)
        self.last = nn.Linear(8, 3, dtype=DOUBLE)

    def forward(self, x):
        return self.last(torch.tanh(self.middle(torch.tanh(self.first(x)))))


# -- rejection ------------------------------------------------------------------------------------


@pytest.mark.parametrize("violators", ["rejected", "ranked"])
def test_no_network_that_is_shown_violates_on_what_was_checked(violators):
    """All examples are in each batch, and are measured again by themselves."""
    bound = line({"out": sk.Box(-1.5, 1.5)})
    strategy = sk.RejectionEvolution(1500, violators=violators)
    found = sk.compare(bound, [strategy], seeds=3, steps=50)
    assert (found.frame["violation"] == 0).all()
    assert (found.frame["violation_peak"] == 0).all()
    # The edge is worth something: the best line without it says more than 1.5.
    free = np.linalg.lstsq(X.numpy(), Y.numpy(), rcond=None)[0]
    assert np.abs(X.numpy() @ free).max() > 2
    last = found.final()["metric"]
    assert (last < 0.8 * mse(np.full(5, 0.3))).all()
    assert found.holds(strategy.label) == "when checked"
    assert found.summary()["holds"].to_list() == ["when checked"]


def test_a_start_that_violates_gives_way_to_a_candidate_that_obeys():
    bound = line({"out": sk.Box(-4, 4)}, model=lambda seed: Line(start=1.0))
    strategy = sk.RejectionEvolution(1000, step_size=0.5)
    found = sk.compare(bound, [strategy], seeds=2, steps=20)
    first, last = (found.frame[found.frame["step"] == step] for step in (0, 20))
    assert (first["violation"] > 0).all()
    assert (last["violation"] == 0).all()


@pytest.mark.parametrize(
    "constraints", [{"weight": sk.Connections([[1, 0, 1, 1, 1]])}, {"out": sk.Sphere()}]
)
def test_where_nothing_obeys_the_network_stays_and_the_notes_say_so(constraints):
    strategy = sk.RejectionEvolution(700)
    run = Run(line(constraints), [strategy], seeds=2, steps=10)
    for _ in run.train():
        pass
    found = run.comparison()
    weights = found.tensors[strategy.label]["weight"]
    start = Line().weight.detach()
    start = next(iter(constraints.values())).start(start) if "weight" in constraints else start
    assert torch.equal(weights, start.expand(2, 1, 5))
    drawn = sum(run.parts[0].evolution.drawn)
    assert drawn > 1300
    told = f"{drawn:,}".replace(",", " ")
    assert found.notes[-1] == (
        f"RejectionEvolution 700: 0 of {told} candidates of 2 seeds obeyed; it had nothing to "
        "start from, and the network stayed as it was. Way out: inside=Projection()."
    )


def test_notes_tell_how_many_obeyed():
    found = sk.compare(line({"weight": NARROW}), [sk.RejectionEvolution(500)], seeds=1, steps=5)
    assert (
        "evaluations counts forward passes of candidates, others forward-backward passes"
        in (found.notes[0])
    )
    assert found.notes[-1].startswith("RejectionEvolution 500: ")
    assert found.notes[-1].endswith(" candidates obeyed.")
    inside = sk.RejectionEvolution(500, inside=THROUGH)
    quiet = sk.compare(line({"weight": NARROW}), [inside], seeds=1, steps=5)
    assert not any("obeyed" in note for note in quiet.notes)


def test_what_is_no_number_is_rejected():
    """Half of the plane has no loss."""

    def loss(prediction, target):
        value = F.mse_loss(prediction, target)
        return torch.where(prediction.mean() > 0, value / 0, value)

    bound = line({"weight": sk.Box(-5, 5)}, loss=loss, model=lambda seed: Line(start=0.01))
    for violators in ("rejected", "ranked"):
        strategy = sk.RejectionEvolution(600, violators=violators)
        found = sk.compare(bound, [strategy], seeds=2, steps=10)
        last = found.final()
        assert np.isfinite(last["loss"]).all()
        assert not last["diverged"].any()


def test_luck_with_an_easy_batch_does_not_last():
    """Two kinds of batches: what is best on one of them alone is not shown on the other."""
    x = torch.ones(8, 5, dtype=DOUBLE)
    y = torch.tensor([1.0] * 4 + [-1.0] * 4, dtype=DOUBLE)
    data = sk.Data((x, y), (x, y))
    bound = line({"weight": NARROW}, data=data, batch_size=1)
    run = Run(bound, [sk.RejectionEvolution(400)], seeds=1, steps=20)
    seen = []
    for _ in run.train():
        part = run.parts[0]
        if part.step:
            inputs, target = part.batches.at(part.step - 1)
            shown = part.tensors()["weight"]
            now = (inputs @ shown[0, 0] - target).square().mean()
            seen.append((float(part.evolution.loss[0]), float(now)))
    assert all(a == pytest.approx(b, abs=1e-12) for a, b in seen)


# -- graded ---------------------------------------------------------------------------------------


def judged(loss, miss, obeys) -> Judged:
    columns = [np.array(column, float) for column in (loss, miss, miss)]
    return Judged(*columns, np.array(obeys), np.array(obeys), {})


def test_those_that_obey_rank_first_and_the_others_by_how_much_they_violate():
    found = judged([5.0, 1.0, 3.0, 0.1, np.nan], [0, 0, 2.0, 0.5, 0], [1, 1, 0, 0, 0])
    assert sorted(range(5), key=found.rank) == [1, 0, 3, 2, 4]


def test_the_search_is_told_the_ranks_of_deb():
    strategy = sk.RejectionEvolution(100, violators="ranked")
    search = evolution.Evolution(strategy, [0], "evolution", np.zeros((1, 4)))
    told = []

    class Search:
        sigma, sent_solutions = 0.1, {}

        def tell(self, rows, fitness):
            told.extend(fitness)

    search.searches[0] = Search()
    found = judged([5.0, 1.0, 3.0, 0.1, np.nan], [0, 0, 2.0, 0.5, 0], [True, True] + [False] * 3)
    search._tell(0, [(np.zeros(4), found, row) for row in range(5)])
    assert told == [5.0, 1.0, 7.0, 5.5, 8.0]


# -- the same numbers -----------------------------------------------------------------------------

SMALL = sk.RejectionEvolution(600, inside=THROUGH)
STRATEGIES = [SMALL, sk.RejectionEvolution([400, 600]), sk.Projection()]


@pytest.mark.parametrize("name", ["buffers", "data of each seed", "bound output"])
def test_alone_and_in_company(name):
    together = sk.compare(TASKS[name](), STRATEGIES, seeds=[0, 3], steps=12)
    for strategy in [one for many in STRATEGIES for one in many.variants()]:
        for i, seed in enumerate([0, 3]):
            alone = sk.compare(TASKS[name](), [strategy], seeds=[seed], steps=12)
            kept = together.frame.query("strategy == @strategy.label and seed == @seed")
            columns = ["loss", "metric", "violation", "evaluations"]
            np.testing.assert_allclose(
                kept[columns].to_numpy(float), alone.frame[columns].to_numpy(float), atol=1e-9
            )
            for key, tensor in alone.tensors[strategy.label].items():
                other = together.tensors[strategy.label][key][i]
                torch.testing.assert_close(other, tensor[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["buffers", "not separable", "bound output"])
def test_one_program_as_one_network_after_another(name):
    one, two = (
        sk.compare(TASKS[name](), [SMALL], seeds=2, steps=12, batched=batched)
        for batched in (True, False)
    )
    assert_same(two, one, bound=1e-9)


def test_a_model_that_draws_is_tried_candidate_by_candidate():
    bound = task(model=lambda seed: Dropping(), batch_size=64)
    found = sk.compare(bound, [SMALL], seeds=2, steps=12)
    assert "since its model can't run under torch.vmap" in found.notes[0]
    losses = found.frame.groupby("seed")["loss"].agg(["first", "last"])
    assert (losses["last"] < losses["first"]).all()


def test_pieces_of_a_population_are_judged_as_the_whole(monkeypatch):
    whole = sk.compare(normed(), [SMALL], seeds=2, steps=6)
    monkeypatch.setattr(candidates, "ROOM", 1000)
    assert_same(sk.compare(normed(), [SMALL], seeds=2, steps=6), whole, bound=1e-9)


LATE = sk.Staged(sk.Stage(0.5, sk.Projection()), sk.Stage(0.5, SMALL))
EARLY = sk.Staged(sk.Stage(0.5, sk.RejectionEvolution(300)), sk.Stage(0.5, sk.Projection()))


@pytest.mark.parametrize("at", [1, 4, 7, 11])
def test_stopped_and_gone_on_with(tmp_path, at):
    strategies = [SMALL, sk.RejectionEvolution(600), LATE, EARLY]
    wanted = sk.compare(normed(), strategies, seeds=2, steps=12)
    run = Run(normed(), strategies, seeds=2, steps=12, checkpoint=tmp_path)
    for progress in run.train():
        if progress.step == at:
            break
    found = sk.compare(normed(), strategies, seeds=2, steps=12, checkpoint=tmp_path)
    assert_same(found, wanted, bound=1e-9)
    assert found.notes == wanted.notes


def test_in_other_processes():
    strategies = [SMALL, EARLY]
    one, two = (sk.compare(normed(), strategies, seeds=3, steps=12, n_jobs=n) for n in (1, 2))
    assert_same(two, one, bound=1e-9)
    assert two.notes == one.notes


def test_a_folder_can_make_searches_and_nothing_else():
    """The state of a search is a pickle, and a folder may come from anywhere."""

    class Harm:
        def __reduce__(self):
            return print, ("harm",)

    for harm in (Harm(), np.savetxt, np.random.default_rng, io.StringIO()):
        with pytest.raises(pickle.UnpicklingError, match="Wanted the state of an evolution, got"):
            evolution._Unpacker(io.BytesIO(pickle.dumps(harm))).load()


# -- the library ----------------------------------------------------------------------------------


def numpy_state() -> tuple:
    """Of the generator that everybody shares."""
    return np.random.get_state()  # noqa: NPY002  # that nobody seeds it is the question


def test_nothing_global_is_touched(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    before = numpy_state(), torch.get_rng_state(), np.get_printoptions()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sk.compare(line({"weight": NARROW}), [sk.RejectionEvolution(900)], seeds=2, steps=9)
    after = numpy_state(), torch.get_rng_state(), np.get_printoptions()
    assert all(np.array_equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    assert torch.equal(before[1], after[1])
    assert before[2] == after[2]
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_a_search_that_has_found_everything_begins_anew():
    """Far beyond convergence the library's numbers would leave their range."""
    single = line({"weight": sk.Box(-9, 9)})
    found = sk.compare(single, [sk.RejectionEvolution(12_000)], seeds=1, steps=10)
    best = lsq_linear(X.numpy(), Y.numpy(), (-9, 9)).x
    weights = found.tensors["RejectionEvolution 12000"]["weight"][0, 0].numpy()
    np.testing.assert_allclose(weights, best, atol=1e-7)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "cma", None)
    words = r"RejectionEvolution needs cma: pip install 'shapekeeper\[evolution\]'"
    with pytest.raises(ImportError, match=words):
        sk.compare(line({"weight": NARROW}), [sk.RejectionEvolution(500)], seeds=1, steps=5)
    assert "pip install 'shapekeeper[evolution]'" in misfit(
        line({"weight": NARROW}), sk.RejectionEvolution(500)
    )
    assert sk.RejectionEvolution(500).label == "RejectionEvolution 500"


# -- what is counted, and what is refused ---------------------------------------------------------


def test_evaluations_are_forward_passes_and_never_more_than_the_budget():
    passes = []

    def loss(prediction, target):
        passes.append(0)
        return F.mse_loss(prediction, target)

    bound = line({"weight": sk.Box(-0.5, 0.5)}, loss=loss)
    strategy = sk.RejectionEvolution(300)
    run = Run(bound, [strategy], seeds=1, steps=10, batched=False)
    evaluated = []
    for progress in run.train():
        evaluated += [row["evaluations"] for row in progress.rows]
    # By step t no more than t tenths of the budget; what one redraws, the next steps save.
    assert evaluated[0] == 0
    assert evaluated == sorted(evaluated)
    assert 290 <= evaluated[-1] <= 300
    measured = 1 + 11  # the first row's loss, and the test loss of each row
    assert len(passes) - measured == evaluated[-1]


def test_a_sweep_and_rivals_by_gradient_stand_in_one_table():
    strategies = [sk.RejectionEvolution(500, step_size=[0.03, 0.3]), sk.Projection()]
    found = sk.compare(line({"weight": NARROW}), strategies, seeds=2, steps=20)
    assert list(found.strategies) == [
        "RejectionEvolution 500, step 0.03",
        "RejectionEvolution 500, step 0.3",
        "Projection",
    ]
    evaluations = found.summary()["evaluations"]
    assert (evaluations.iloc[:2] > 480).all()
    assert evaluations["Projection"] == 20


def test_in_stages():
    found = sk.compare(normed(), [EARLY, LATE], seeds=2, steps=12)
    last = found.final()["evaluations"]
    assert (last > 280 + 5).all()
    assert found.holds(LATE.label) == "always"
    assert any(note.startswith(f"{EARLY.label}: 0 of ") for note in found.notes)
    checked = sk.Staged(sk.Stage(0.5, sk.Penalty(1.0)), sk.Stage(0.5, sk.RejectionEvolution(300)))
    bound = task(constraints={"hidden": sk.Box(-0.5, 0.5)})
    told = sk.compare(bound, [checked], seeds=1, steps=8)
    assert told.holds(checked.label) == "when checked"


def test_the_statistics_of_what_is_shown_are_its_own():
    """A batch norm's running mean after one step is that of the network that is shown."""
    run = Run(normed(batch_size=64), [sk.RejectionEvolution(20, inside=THROUGH)], seeds=1, steps=1)
    for _ in run.train():
        pass
    part = run.parts[0]
    tensors = {k: v[0] for k, v in part.tensors().items()}
    x, _ = part.batches.at(0)
    hidden = x[0] @ tensors["first.weight"].T + tensors["first.bias"]
    torch.testing.assert_close(tensors["norm.running_mean"], 0.1 * hidden.mean(0))
    assert tensors["norm.num_batches_tracked"] == 1


def test_models_carry_what_is_inside():
    bound = task(constraints={"hidden": sk.Box(-0.5, 0.5)})
    strategy = sk.RejectionEvolution(200, inside=sk.Reparametrization())
    found = sk.compare(bound, [strategy], seeds=1, steps=4)
    assert found.holds(strategy.label) == "always"
    seen = []
    (model,) = found.models(strategy.label)
    model.hidden.register_forward_hook(lambda module, args, value: seen.append(value))
    model(points().test[0])
    assert seen[0].abs().max() < 0.5


def test_hold_refuses_it():
    net = Line()
    words = "RejectionEvolution tries whole populations of networks.*only one of: use compare"
    for strategy in (sk.RejectionEvolution(), sk.Staged(sk.Stage(1.0, sk.RejectionEvolution()))):
        with pytest.raises(sk.HoldError, match=words):
            sk.hold(net, {"weight": NARROW}, strategy)


def test_a_budget_below_one_generation_is_refused():
    few = sk.RejectionEvolution(8)
    with pytest.raises(sk.StrategyError, match="a generation of 8 candidates, 9 or more, got 8"):
        sk.compare(line({"weight": NARROW}), [few], seeds=1, steps=5)
    assert "9 or more, got 8" in misfit(line({"weight": NARROW}), few)
    assert misfit(line({"weight": NARROW}), sk.RejectionEvolution(9)) == ""


def test_a_saved_comparison_knows_it(tmp_path):
    strategy = sk.RejectionEvolution(100, inside=sk.Reparametrization())
    found = sk.compare(line({"weight": NARROW}), [strategy], seeds=1, steps=5)
    again = sk.Comparison.load(found.save(tmp_path))
    assert again.strategies == {strategy.label: strategy}
    assert again.holds(strategy.label) == "always"
    assert sk.Strategy.from_json(json.loads(json.dumps(strategy.to_json()))) == strategy
