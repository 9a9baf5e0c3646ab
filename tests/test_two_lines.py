"""Somebody's script, as it stands in notebook 08, holds a constraint once two lines are added."""

import difflib

import jupytext
import pytest
import torch
from torch import nn

import shapekeeper as sk
from shapekeeper import course

STEPS = 150


@pytest.fixture(scope="module")
def scripts(root):
    """What the notebook calls `theirs`, `ours`, `by_hand`, and its `streams`."""
    source = root / "notebooks" / "source" / "08_your_model.py"
    cells = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent").cells
    names = {"course": course, "sk": sk, "torch": torch}
    begins = ("theirs = ", "streams = ", 'line = "optimizer.register_step_post_hook')
    for begin in begins:
        (cell,) = [c.source for c in cells if c.source.startswith(begin)]
        exec(cell.split("\nruns[")[0], names)
    return names


def ran(scripts, name):
    """The script's own names, and the weight of conv2 after each step."""
    seen = []
    given = {"streams": scripts["streams"], "mask": scripts["streams"].mask, "steps": STEPS}
    given["log"] = lambda model: seen.append(model.conv2.weight.detach().clone())
    # Not by Script.run: these are texts, and a text needs nobody's help to run.
    exec(compile(scripts[name].text, name, "exec"), given)
    return given, seen


def largest_closed(weight):
    """Without the library: what leads from one stream of channels into the other."""
    return max(weight[:8, 4:].abs().max().item(), weight[8:, :4].abs().max().item())


def test_the_script_is_somebody_elses(scripts):
    text = scripts["theirs"].text
    assert "shapekeeper" not in text
    assert "hold" not in text
    assert len(text.splitlines()) < 45


def test_two_lines_are_added_and_nothing_else_changes(scripts):
    theirs, ours = (scripts[name].text.splitlines() for name in ("theirs", "ours"))
    changes = [line for line in difflib.ndiff(theirs, ours) if not line.startswith("  ")]
    assert [change[:2] for change in changes] == ["+ ", "+ "]
    assert changes[0] == "+ import shapekeeper as sk"
    assert changes[1].startswith("+ held = sk.hold(model, ")


def test_without_them_closed_weights_are_never_zero(scripts):
    run, seen = ran(scripts, "theirs")
    assert len(seen) == STEPS
    assert min(map(largest_closed, seen)) > 0.05
    assert run["accuracy"] > 0.9


def test_with_them_closed_weights_are_zero_after_every_step(scripts):
    run, seen = ran(scripts, "ours")
    assert [largest_closed(weight) for weight in seen] == [0.0] * STEPS
    assert run["held"].violation() == {"conv2.weight": 0.0}
    assert run["accuracy"] > 0.9
    open_weights = seen[-1][:8, :4], seen[-1][8:, 4:]
    assert all((part != 0).all() for part in open_weights)


def test_the_mask_of_the_notebook_is_the_two_streams(scripts):
    blocks = torch.zeros(16, 8, 3, 3, dtype=torch.bool)
    blocks[:8, :4] = blocks[8:, 4:] = True
    assert torch.equal(scripts["streams"].mask, blocks)


@pytest.mark.parametrize(("name", "leaks"), [("by_hand", True), ("ours", False)])
def test_a_rebuilt_optimizer_forgets_a_hook_and_not_a_hold(scripts, name, leaks):
    run, seen = ran(scripts, name)
    assert max(map(largest_closed, seen)) == 0.0
    saved = run["optimizer"].state_dict()
    run["optimizer"] = torch.optim.AdamW(run["model"].parameters(), lr=3e-3)
    run["optimizer"].load_state_dict(saved)
    run["train_for"](5)
    assert (max(map(largest_closed, seen)) > 1e-3) == leaks


def test_the_two_lines_leave_the_script_a_plain_model_under_its_own_names(scripts):
    (theirs, _), (ours, _) = ran(scripts, "theirs"), ran(scripts, "ours")
    assert list(theirs["model"].state_dict()) == list(ours["model"].state_dict())
    plain = theirs["Net"]()
    plain.load_state_dict(ours["model"].state_dict())
    assert isinstance(plain, nn.Module)
    images = torch.randn(5, 1, 8, 8)
    assert torch.equal(plain(images), ours["model"](images))
