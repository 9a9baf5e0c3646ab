"""The table of checkboxes without a browser: what it takes, refuses and gives back."""

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from traitlets import TraitError

import shapekeeper as sk
from shapekeeper.widgets import WireTable

DRAWN = pd.DataFrame([[1, 0], [1, 1], [0, 0]], ["A", "B", "C"], ["R1", "R2"])
MODELS = ipywidgets.widgets.widget._instances


@pytest.fixture
def boxes():
    boxes = WireTable(DRAWN)
    yield boxes
    boxes.close()


def test_what_was_drawn_comes_back_as_bools_and_as_edges(boxes):
    pd.testing.assert_frame_equal(boxes.value, DRAWN.astype(bool))
    assert boxes.edges().to_numpy().tolist() == [["A", "R1"], ["B", "R1"], ["B", "R2"]]
    assert list(boxes.edges()) == ["source", "target"]


def test_edges_make_the_connections_of_the_turned_table(boxes):
    made = sk.Connections.from_edges(boxes.edges(), sources=boxes.sources, targets=boxes.targets)
    np.testing.assert_array_equal(made.mask, DRAWN.to_numpy(bool).T)


def test_no_wire_is_a_table_too():
    boxes = WireTable(DRAWN * 0)
    assert not boxes.value.to_numpy().any()
    assert boxes.edges().shape == (0, 2)
    boxes.close()


def test_the_value_is_a_copy_and_can_be_assigned(boxes):
    table = boxes.value
    table.loc["C", "R2"] = True
    assert not boxes.value.loc["C", "R2"]
    boxes.value = table
    pd.testing.assert_frame_equal(boxes.value, table)


def test_the_browsers_order_does_not_matter_and_repeats_count_once(boxes):
    boxes.set_state({"wires": [[2, 1], [0, 0], [2, 1]]})
    assert boxes.wires == [[0, 0], [2, 1]]
    assert boxes.edges()["source"].tolist() == ["A", "C"]


@pytest.mark.parametrize("wires", [[[3, 0]], [[0, 2]], [[-1, 0]], [[0]], [[0, 0, 0]]])
def test_wires_outside_of_the_table_are_refused(boxes, wires):
    with pytest.raises(TraitError, match=r"pairs of row and column of a table \(3, 2\), got"):
        boxes.wires = wires
    pd.testing.assert_frame_equal(boxes.value, DRAWN.astype(bool))


def test_other_names_are_refused(boxes):
    with pytest.raises(TraitError, match=r"the rows \['A', 'B', 'C'\].*got \['R1', 'R2'\]"):
        boxes.value = DRAWN.T
    with pytest.raises(TraitError, match=r"name of its own .*\['A', 'A', 'B'\]"):
        WireTable(DRAWN.set_axis(["A", "A", "B"]))


def test_it_prints_as_its_table_and_leaves_nothing_behind():
    before = len(MODELS)
    boxes = WireTable(DRAWN)
    assert repr(boxes) == repr(DRAWN.astype(bool))
    boxes.close()
    assert len(MODELS) == before
