"""Tasks know the call that made them, and the call makes the same task."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

import shapekeeper as sk
from shapekeeper.regions import Pathway, Region, RegionGraph

GRAPH = RegionGraph(
    [Region('the "eye"', 8, 0.5, input=True), Region("hand\n2", 6, output=True, sign=-1)],
    [Pathway('the "eye"', "hand\n2", 0.25)],
    note="it's\nmade up",
)
LOW = sk.FilterShape.lowpass(0.2, 0.4, ripple_db=1.5, attenuation_db=25)
TASKS = {
    "digits": lambda: sk.tasks.digits(),
    "drawn": lambda: sk.tasks.digits(GRAPH, steps=3, drawing=2),
    "two": lambda: sk.tasks.two_digits(sk.regions.two_hemispheres()),
    "senses": lambda: sk.tasks.senses(noise=np.float64(0.25), delay=2),
    "pencil": lambda: sk.tasks.pencil(start=(0.5, -1)),
    "genes": lambda: sk.tasks.genes("shuffled", examples=40, penalty=0.1),
    "shapes": lambda: sk.tasks.shapes(LOW, taps=21, noise_band=(0.5, 0.75)),
    "tones": lambda: sk.tasks.tones(sk.FilterShape.target([0, 0.2, 0.5, 1], [1, 1, 0, 0], 0.1),
                                    noise_band=(0.5, 1)),
    "shortcut": lambda: sk.tasks.shortcut(taps=15),
    "both": lambda: sk.tasks.both_bands(sk.FilterShape.bandlimited((0.5, 0.75))),
    "sinc": lambda: sk.tasks.with_sinc(sk.tasks.augmented(sk.tasks.tones(), copies=1)),
}  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_the_code_makes_the_same_task(name):
    task = TASKS[name]()
    again = eval(task.code, {"sk": sk})
    assert task.code.startswith("sk.tasks.")
    assert (again.name, again.code, again.batch_size) == (task.name, task.code, task.batch_size)
    assert again.constraints == task.constraints
    for seed in (0, 3):
        ours, theirs = task.data_for(seed).parts, again.data_for(seed).parts
        assert ours.keys() == theirs.keys()
        for part in ours:
            for a, b in zip(ours[part], theirs[part], strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=0)
        ours, theirs = (t.start_model(seed).state_dict() for t in (task, again))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_how_the_code_reads():
    assert sk.tasks.digits().code == "sk.tasks.digits()"
    assert sk.tasks.senses(noise=np.float64(0.25)).code == "sk.tasks.senses(noise=0.25)"
    assert TASKS["sinc"]().code == (
        "sk.tasks.with_sinc(sk.tasks.augmented(sk.tasks.tones(), copies=1))"
    )
    lines = TASKS["drawn"]().code.splitlines()
    assert lines[:2] == ["sk.tasks.digits(", "    sk.RegionGraph("]
    assert lines[-3:] == ["    steps=3,", "    drawing=2,", ")"]


def test_what_cannot_be_written_has_no_code():
    x = torch.zeros(4, 1)
    own = sk.Task(
        "own", model=lambda seed: nn.Linear(1, 1), data=sk.Data((x, x), (x, x)), loss=mse_loss,
        metric=mse_loss,
    )  # fmt: skip
    assert own.code == ""
    assert sk.tasks.genes(truth=sk.tasks.planted_regulators(0)).code == ""
    assert sk.tasks.pencil(start=(0.0, float("inf"))).code == ""
    assert sk.tasks.with_sinc(replace(sk.tasks.tones(), batch_size=8)).code == ""


def test_a_task_that_was_changed_has_no_code():
    assert replace(sk.tasks.digits(), batch_size=8).code == ""


def test_factories_keep_their_name_and_words():
    assert sk.tasks.digits.__name__ == "digits"
    assert sk.tasks.digits.__doc__.startswith("Name the digit in a real image")
