"""What each optimizer leaves of a shape under each strategy, interrupted or not: all of it."""

import pytest
import torch
from hold_cells import HELD, OF_ADAMW, OPTIMIZERS, STEPS, STRATEGIES, Cell, run_cell
from hold_cells import run_on_two_processes as on_two_processes

import shapekeeper as sk

MIXED = "Muon lets gradients of forbidden directions move allowed ones"
INSIDE = "LBFGS takes many steps inside one, and .* acts between steps only"
SPARSE = "'fc.weight' has sparse gradients, which no chart can pass on"
REFUSED = {("Muon", name): MIXED for name in STRATEGIES if "Projection" in name}
REFUSED |= {("LBFGS", name): INSIDE for name in STRATEGIES if "Reparam" not in name}
REFUSED |= {("SparseAdam", name): SPARSE for name in STRATEGIES if "Reparam" in name}
OFFERED = [(o, s) for o in OPTIMIZERS for s in STRATEGIES if (o, s) not in REFUSED]


@pytest.mark.parametrize(("optimizer", "strategy"), OFFERED, ids=lambda name: name)
def test_the_shape_is_kept_at_each_step_and_a_resume_changes_nothing(optimizer, strategy):
    plain, resumed = (run_cell(optimizer, strategy, how) for how in ("plain", "resumed"))
    assert plain.worst == resumed.worst == 0.0
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert repr(plain.held) == repr(resumed.held)
    assert f"step {STEPS}" in repr(plain.held)


@pytest.mark.parametrize(("optimizer", "strategy"), REFUSED, ids=lambda name: name)
def test_what_can_not_be_offered_says_why(optimizer, strategy):
    with pytest.raises(sk.HoldError, match=REFUSED[optimizer, strategy]):
        Cell(optimizer, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_network_learns(strategy):
    """Or a weight that nobody moves would pass."""
    cell = Cell("AdamW", strategy)
    before = cell.model.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    for step in range(STEPS):
        cell.take(step)
    after = cell.model.state_dict()
    assert not torch.equal(after["out.weight"], before["out.weight"])
    moved = after["fc.weight"] != before["fc.weight"]
    free = HELD.mask & (HELD.fixed == 0)
    assert moved[free].all() == (strategy != "Freeze")
    assert (after["fc.weight"][~HELD.mask] == 0).all()
    assert torch.equal(after["fc.weight"][HELD.fixed != 0], HELD.fixed[HELD.fixed != 0].float())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_loop_without_hold_would_lose_the_shape(strategy):
    """The same cell, the strategy taken away halfway."""
    cell = Cell("AdamW", strategy)
    for step in range(STEPS // 2):
        cell.take(step)
    cell.held.remove()
    cell.take(STEPS // 2)
    assert cell.worst > 1e-4


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("situation", [s for s in OF_ADAMW if s != "2 processes"])
def test_adamw_in_other_situations(strategy, situation):
    plain, other = (run_cell("AdamW", strategy, how) for how in ("plain", situation))
    assert other.worst == 0.0
    rounding = {"bf16 autocast": 0.3, "compiled": 1e-4, "deepcopied": 0.0}[situation]
    for name, value in plain.model.state_dict().items():
        assert (value - other.model.state_dict()[name]).abs().max() <= rounding, name


def test_two_processes_are_one(tmp_path):
    ends = on_two_processes(tmp_path)
    for end in ends:
        assert "DistributedDataParallel has wrapped this model already: hold" in end["wrapped"]
    for strategy in STRATEGIES:
        whole = Cell("AdamW", strategy, torch.float64)
        for step in range(STEPS):
            whole.take(step)
        (worst, first), (other_worst, second) = (end[strategy] for end in ends)
        assert worst == other_worst == 0.0
        for name, value in whole.model.state_dict().items():
            assert torch.equal(first[name], second[name]), (strategy, name)
            torch.testing.assert_close(first[name], value, atol=1e-9, rtol=0, msg=strategy)
