"""Strategies that train as one program take the same steps as each of them would alone."""

from functools import partial

import pandas as pd
import pytest
import torch
from comparisons import (
    RATE,
    TASKS,
    Dropping,
    assert_same,
    assert_same_weights,
    normed,
    shifted,
    short,
)
from points import OPTIMIZERS, Net, task
from torch.optim.optimizer import register_optimizer_step_post_hook

import shapekeeper as sk
from shapekeeper.compare.run import Run

pytestmark = pytest.mark.filterwarnings("ignore:.*seeds were trained one after another")


LATE = sk.Staged(sk.Stage(0.7, sk.Unconstrained(start="task")), sk.Stage(0.3, sk.Projection()))
SOFT = [
    sk.Unconstrained(),
    sk.Penalty([0.1, 1.0, 10.0]),
    sk.Penalty([0.1, 1.0], norm="absolute"),
    sk.Penalty(0.01, growth=1.1),
    sk.AugmentedLagrangian([0.5, 2.0], dual_step=[0.01, 0.1]),
]
HARD = [sk.Freeze(), sk.Projection(), sk.Projection(every=3)]
STAGED = [
    sk.Staged(sk.Stage(0.4, sk.Penalty([0.1, 1.0])), sk.Stage(0.6, sk.Projection(), rate=0.1)),
    sk.Staged(
        sk.Stage(0.2, sk.Unconstrained()),
        sk.Stage(0.3, sk.Penalty(1.0)),
        sk.Stage(0.5, sk.Freeze()),
    ),
    LATE,
]
SHORT_FIRST = [
    sk.Staged(sk.Stage(0.5, sk.Projection(), model=short), sk.Stage(0.5, sk.Projection())),
    sk.Staged(sk.Stage(0.5, sk.Unconstrained(), model=short), sk.Stage(0.5, sk.Freeze(), rate=0.5)),
]
WEIGHTS = [*SOFT, *HARD, sk.Reparametrization(), *STAGED]
OUTPUTS = [
    sk.Unconstrained(),
    sk.Penalty([0.1, 1.0]),
    sk.Penalty(0.5, norm="absolute"),
    sk.AugmentedLagrangian([0.5, 2.0]),
    sk.Freeze(),
    sk.Projection(),
    sk.Reparametrization(),
    LATE,
]
# A filter asks more of a multiplier than wires do.
GENTLE = sk.AugmentedLagrangian([0.01, 0.1], dual_step=1e-3)
# A short network has neither regions nor filters.
TABLE = dict.fromkeys(TASKS, WEIGHTS) | {
    "dense": [*WEIGHTS, *SHORT_FIRST],
    "buffers": [*WEIGHTS, *SHORT_FIRST],
    "bound output": OUTPUTS,
    "filters": [sk.Penalty([0.1, 1.0]), GENTLE, *HARD, *STAGED[:1]],
}
SEEDS, STEPS = 3, 30


def one_by_one(bound: sk.Task, strategies: list[sk.Strategy]) -> list[sk.Comparison]:
    alone = [variant for strategy in strategies for variant in strategy.variants()]
    return [sk.compare(bound, [one], seeds=SEEDS, steps=STEPS) for one in alone]


def assert_as_alone(company: sk.Comparison, alone: list[sk.Comparison], bound: float) -> None:
    """The frames of all, one under the other, are the frame of the company; so are weights."""
    frame = pd.concat([one.frame for one in alone], ignore_index=True)
    found, wanted = (f.drop(columns="seconds") for f in (company.frame, frame))
    pd.testing.assert_frame_equal(found, wanted, check_like=True, rtol=bound, atol=bound)
    for one in alone:
        (label,) = one.strategies
        mine = sk.Comparison(**{**vars(company), "tensors": {label: company.tensors[label]}})
        assert_same_weights(mine, one, bound)


@pytest.mark.parametrize("name", TASKS)
def test_in_company_as_alone(name):
    bound = TASKS[name]()
    company = sk.compare(bound, TABLE[name], seeds=SEEDS, steps=STEPS)
    assert_as_alone(company, one_by_one(bound, TABLE[name]), 1e-9)
    assert not company.frame["diverged"].any()


def together(run: Run) -> list[list[str]]:
    """Which strategies share a pass in the step to come, sweeps by their first."""
    companies: dict = {}
    for part in run.parts:
        companies.setdefault(part.companions, []).append(next(iter(part.strategies)))
    return list(companies.values())


def begun(bound: sk.Task, strategies: list[sk.Strategy], steps: int = STEPS) -> Run:
    run = Run(bound, strategies, seeds=2, steps=steps)
    next(run.train())
    return run


def test_a_sweep_is_the_rows_of_one_part():
    run = begun(task(), [sk.Penalty([0.1, 1.0, 10.0]), sk.Projection(), STAGED[0]])
    assert [list(part.strategies) for part in run.parts] == [
        ["Penalty 0.1", "Penalty 1", "Penalty 10"],
        ["Projection"],
        ["Staged Penalty 0.1 → Projection", "Staged Penalty 1 → Projection"],
    ]
    assert [part.runs for part in run.parts] == [6, 2, 4]
    next(run.train())
    (slab,) = run.parts[0].slabs
    assert slab.tensor.shape == (6, sum(p.numel() for p in Net().parameters()))


def test_strategies_share_a_pass_where_they_see_the_same_model_and_batches():
    run = begun(task(), [*WEIGHTS, *SHORT_FIRST])
    *long, first, second = [next(iter(part.strategies)) for part in run.parts]
    assert together(run) == [long, [first, second]]
    for progress in run.train():
        if progress.step == STEPS // 2:
            break
    next(run.train())
    assert together(run) == [[*long, first, second]], "the short network is left behind"


@pytest.mark.parametrize("strategy", OUTPUTS, ids=lambda s: s.label)
def test_a_bound_output_is_never_shared(strategy):
    run = begun(TASKS["bound output"](), [strategy, sk.Unconstrained(start="task")])
    assert all(len(company) == 1 for company in together(run))
    assert all(len(part.strategies) == 1 for part in run.parts)


def test_a_model_that_can_not_be_batched_trains_beside_those_that_can():
    """The stage draws random numbers, so its strategy trains alone; the others go on together."""
    dropping = sk.Stage(0.5, sk.Projection(), model=lambda seed: Dropping())
    strategies = [
        sk.Penalty([0.1, 1.0]),
        sk.Staged(dropping, sk.Stage(0.5, sk.Projection())),
        sk.Projection(),
    ]
    company = sk.compare(task(), strategies, seeds=SEEDS, steps=STEPS)
    assert ["one after another" in note for note in company.notes] == [True]
    assert_as_alone(company, one_by_one(task(), strategies), 1e-9)
    run = begun(task(), strategies)
    assert together(run)[0] == ["Penalty 0.1", "Projection"]
    assert [part.seeds for part in run.parts] == [[0, 1], [0], [1], [0, 1]]


def test_nothing_can_be_batched():
    bound = task(model=lambda seed: Dropping())
    strategies = [sk.Penalty([0.1, 1.0]), sk.Projection()]
    company = sk.compare(bound, strategies, seeds=SEEDS, steps=STEPS)
    assert_as_alone(company, one_by_one(bound, strategies), 0.0)


@pytest.mark.parametrize(
    "build", [partial(torch.optim.SGD, lr=RATE), OPTIMIZERS["SGD with momentum"]]
)
@pytest.mark.parametrize("bound", [task, normed, TASKS["not separable"]])
def test_what_diverges_reaches_nobody(bound, build):
    """One row of a sweep leaves the finite numbers, and a wild strategy beside it does too."""
    wild, tame = sk.Penalty([0.1, 1e200, 1.0]), [sk.Projection(), sk.Penalty(0.5, "absolute")]
    bound = bound(optimizer=build)
    company = sk.compare(bound, [wild, *tame], seeds=SEEDS, steps=STEPS)
    lost = company.frame.groupby("strategy", sort=False)["diverged"].any()
    assert lost.to_dict() == {
        "Penalty 0.1": False,
        "Penalty 1e+200": True,
        "Penalty 1": False,
        "Projection": False,
        "Penalty 0.5 absolute": False,
    }
    assert_as_alone(company, one_by_one(bound, [wild, *tame]), 1e-9)
    assert len([note for note in company.notes if "diverged" in note]) == 1


@pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_a_seed_whose_data_are_no_numbers_reaches_no_other_seed(build):
    def spoilt(seed: int) -> sk.Data:
        (x, y), test = shifted(seed).train, shifted(seed).test
        return sk.Data((x * float("nan") if seed == 1 else x, y), test)

    strategies = [sk.Penalty([0.1, 1.0]), sk.Freeze(), sk.Projection()]
    good, bad = (
        sk.compare(normed(data=data, optimizer=build), strategies, seeds=SEEDS, steps=STEPS)
        for data in (shifted, spoilt)
    )
    after = bad.frame[bad.frame["step"] > 0]
    assert (after["diverged"] == (after["seed"] == 1)).all()
    a, b = (c.frame[c.frame["seed"] != 1].drop(columns="seconds") for c in (good, bad))
    pd.testing.assert_frame_equal(a, b, rtol=1e-9, atol=1e-9)


def test_the_order_of_strategies_is_that_of_the_table_and_changes_no_number():
    strategies = [sk.Projection(), sk.Penalty([0.1, 1.0]), sk.Freeze(), LATE]
    one = sk.compare(task(), strategies, seeds=SEEDS, steps=STEPS)
    other = sk.compare(task(), strategies[::-1], seeds=SEEDS, steps=STEPS)
    labels = [variant.label for s in strategies for variant in s.variants()]
    assert list(one.frame["strategy"].unique()) == labels
    order = one.frame.groupby("strategy", sort=False)[["step", "seed"]].apply(
        lambda rows: rows.to_numpy().tolist()
    )
    assert all(rows == sorted(rows) for rows in order)
    index = ["strategy", "seed", "step"]
    a, b = (c.frame.set_index(index).drop(columns="seconds") for c in (one, other))
    pd.testing.assert_frame_equal(a, b.loc[a.index], rtol=1e-9, atol=1e-9)


def test_the_strategies_of_two_calls_may_be_named_and_numbered_at_will():
    """Seeds in any order and number, labels of one's own: each run is the same run."""
    one = sk.compare(task(), {"soft": sk.Penalty([0.1, 1.0])}, seeds=[7, 2, 5], steps=STEPS)
    other = sk.compare(task(), [sk.Freeze(), sk.Penalty(1.0)], seeds=[5], steps=STEPS)
    rows = [
        c.frame[(c.frame["strategy"] == label) & (c.frame["seed"] == 5)]
        .drop(columns=["seconds", "strategy"])
        .reset_index(drop=True)
        for c, label in ((one, "soft 1"), (other, "Penalty 1"))
    ]
    pd.testing.assert_frame_equal(*rows, rtol=1e-9, atol=1e-9)
    assert one.frame["seed"].unique().tolist() == [7, 2, 5]


# -- stop, and go on ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["buffers", "bound output", "filters", "not batched"])
def test_stopped_after_every_step_as_never_stopped(name):
    bound = task(model=lambda seed: Dropping()) if name == "not batched" else TASKS[name]()
    strategies = {"bound output": OUTPUTS, "buffers": [*WEIGHTS, *SHORT_FIRST]}.get(name, HARD)
    straight = Run(bound, strategies, seeds=2, steps=12)
    wanted = [row for progress in straight.train() for row in progress.rows]
    run, rows, items = Run(bound, strategies, seeds=2, steps=12), [], 0
    while not run.finished:
        for progress in run.train():
            rows += progress.rows
            break
        assert progress.step == run.step == items
        items += 1
    assert items == 13
    assert list(run.train()) == []
    assert_same(run.comparison(), straight.comparison(), bound=0.0)
    assert [drop_seconds(row) for row in rows] == [drop_seconds(row) for row in wanted]


def drop_seconds(row: dict) -> str:
    return repr({name: value for name, value in row.items() if name != "seconds"})


def test_what_is_looked_at_on_the_way_changes_nothing():
    strategies = [sk.Penalty([0.1, 1.0]), LATE]
    straight = sk.compare(normed(), strategies, seeds=2, steps=STEPS)
    run = Run(normed(), strategies, seeds=2, steps=STEPS)
    for progress in run.train():
        found = run.comparison()
        assert found.final()["step"].max() <= progress.step
        unfinished = [] if run.finished else [f"Stopped at step {progress.step} of {STEPS}."]
        assert [note for note in found.notes if "Stopped" in note] == unfinished
    assert_same(run.comparison(), straight, bound=0.0)


def test_nothing_measured_yet():
    with pytest.raises(sk.ComparisonError, match=r"Nothing was measured yet: wanted at least one"):
        Run(task(), [sk.Projection()], seeds=1, steps=2).comparison()


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("at", [1, 2, 3])
def test_interrupted_in_the_middle_of_a_step(tmp_path, at):
    """Ctrl+C after the optimizers of some parts have moved, and those of others have not."""
    strategies = [sk.Penalty([0.1, 1.0]), sk.Freeze(), sk.Projection()]
    wanted = sk.compare(normed(), strategies, seeds=2, steps=STEPS)
    run = Run(normed(), strategies, seeds=2, steps=STEPS, checkpoint=tmp_path / "kept")
    for progress in run.train():
        if progress.step == 10:
            break
    moved = 0

    def interrupt(optimizer, *_):
        nonlocal moved
        moved += 1
        if moved == at + 3 * len(run.parts):
            raise KeyboardInterrupt

    hook = register_optimizer_step_post_hook(interrupt)
    before = contents(tmp_path / "kept")
    try:
        with pytest.raises(KeyboardInterrupt):
            list(run.train())
    finally:
        hook.remove()
    run.save()
    assert run.torn
    assert run.step == 13
    assert contents(tmp_path / "kept") == before, "half a step is not kept"
    with pytest.raises(sk.ComparisonError, match=r"in the middle of step 14, and can't go on"):
        next(run.train())
    found = sk.compare(normed(), strategies, seeds=2, steps=STEPS, checkpoint=tmp_path / "kept")
    assert_same(found, wanted, bound=0.0)


def test_interrupted_between_two_steps_it_is_whole(tmp_path):
    strategies = [sk.Penalty([0.1, 1.0]), sk.Projection()]
    wanted = sk.compare(task(), strategies, seeds=2, steps=STEPS)
    run = Run(task(), strategies, seeds=2, steps=STEPS, checkpoint=tmp_path / "kept")

    def watch():
        for progress in run.train():
            if progress.step == 7:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch()
    assert not run.torn
    list(run.train())
    assert_same(run.comparison(), wanted, bound=0.0)
