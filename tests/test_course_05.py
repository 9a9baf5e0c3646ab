"""Notebook 05: the checks with right answers and the tempting wrong ones."""

from dataclasses import replace

import nbformat
import pandas as pd
import pytest
import torch
from judging import NONSENSE, judged, survives
from matplotlib.figure import Figure

from shapekeeper import course, plots
from shapekeeper.compare import Comparison
from shapekeeper.course import climbs, notebook_05
from shapekeeper.strategies import Projection, Unconstrained

pytestmark = pytest.mark.usefixtures("not_strict")

KEYS = ["05.1", "05.2", "05.3", "05.4"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("answer", NONSENSE, ids=lambda answer: type(answer).__name__)
def test_no_answer_whatever_makes_a_check_raise(key, answer):
    survives(key, answer)


@pytest.mark.parametrize("key", KEYS[:3])
def test_a_function_without_a_body_is_not_yet(key):
    def unwritten(*arguments): ...

    assert course.check(key, unwritten).state == "todo"


# 05.1


def adam(grad, state, lr=0.05, square=torch.square):
    """What Adam adds to a weight."""
    t = state["t"] = state.get("t", 0) + 1
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * grad
    state["v"] = 0.999 * state.get("v", 0) + 0.001 * square(grad)
    m, v = state["m"] / (1 - 0.9**t), state["v"] / (1 - 0.999**t)
    return -lr * m / (v.sqrt() + 1e-8)


def back(w):
    return w / w.norm()


def along(w, v):
    return v - (v @ w) * w


def one_moment(w, grad, state):
    return back(w + adam(grad, state, square=lambda g: g.square().mean()))


def tangent_first(w, grad, state):
    return back(w + adam(along(w, grad), state))


def plain(w, grad, state):
    return back(w + adam(grad, state))


def slower(w, grad, state):
    return back(w + adam(grad, state, lr=0.01))


def too_late(w, grad, state):
    return back(w + along(w, adam(grad, state)))


def too_late_and_slower(w, grad, state):
    return back(w + along(w, adam(grad, state, lr=0.02)))


def gradient_descent(w, grad, state):
    return back(w - 0.05 * grad)


def one_moment_slower(w, grad, state):
    return back(w + adam(grad, state, lr=0.03, square=lambda g: g.square().mean()))


def with_momentum(w, grad, state):
    state["m"] = 0.9 * state.get("m", 0) + grad
    return back(w - 0.02 * state["m"])


def by_the_length(w, grad, state):
    return back(w - 0.05 * grad / grad.norm())


def shorter_gradient(w, grad, state):
    return plain(w, grad / grad.norm(), state)


def ten_times(w, grad, state):
    # Adam takes a constant factor out entirely.
    return plain(w, 10 * grad + 0.1 * grad.norm() * grad, state)


def off_the_sphere(w, grad, state):
    return w + adam(grad, state)


def never_moving(w, grad, state):
    return w


def only_in_the_plane(w, grad, state):
    return tangent_first(w, grad, state) if len(w) == 2 else plain(w, grad, state)


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (one_moment, "right", "20 goals in 2 to 10 dimensions, off by"),
        (tangent_first, "right", "one second moment"),
        (one_moment_slower, "right", "off by"),
        (gradient_descent, "wrong", "no longer Adam: plain gradient descent arrives as well"),
        (with_momentum, "wrong", "no longer Adam: plain gradient descent"),
        (by_the_length, "wrong", "no longer Adam: it remembers nothing"),
        (shorter_gradient, "wrong", r"Same wrong place. Adam divides.*direction.*\(0\.71, 0\.71\)"),
        (ten_times, "wrong", "Same wrong place. Adam divides"),
        (plain, "todo", r"as it stands: it rests at \(0\.71, 0\.71\)"),
        (slower, "wrong", r"Same wrong place, reached more slowly: \(0\.71, 0\.71\)"),
        (too_late, "wrong", r"Too late: the scaling has already bent it.*the error is 0\.\d\d"),
        (too_late_and_slower, "wrong", "Too late"),
        (off_the_sphere, "wrong", "not on the unit sphere.*norm 1"),
        (never_moving, "wrong", "does not end at the nearest point"),
        (only_in_the_plane, "wrong", "in some cases, and not in this one"),
        (lambda w, grad, state: w[:1], "wrong", "another shape"),
        (lambda w, grad, state: w * float("nan"), "wrong", "numbers that are none"),
    ],
)
def test_resting_place(answer, state, words):
    judged("05.1", answer, state, words)


def test_the_plain_way_errs_by_a_lot_in_every_dimension():
    for goal, start in notebook_05._goals():
        end = notebook_05._walk(plain, goal, start, 1500)
        assert (end - notebook_05._nearest(goal)).norm() > 0.1


def test_the_step_in_the_notebook_is_not_yet_as_long_as_nobody_changes_it(root):
    cells = nbformat.read(root / "notebooks" / "05_manifolds.ipynb", as_version=4).cells
    (source,) = [cell.source for cell in cells if 'check("05.1"' in cell.source]
    names = {"course": course}
    exec(source, names)
    judged("05.1", names["step"], "todo", "as it stands")


# 05.2


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (lambda Q, P: P - Q @ (P.T @ Q + Q.T @ P) / 2, "right", "6 directions for 4 × 4, 11 for"),
        (
            lambda Q, P: (P - Q @ (Q.T @ P)) + Q @ (Q.T @ P - P.T @ Q) / 2,
            "right",
            "Square and tall",
        ),
        (lambda Q, P: P - Q @ Q.T @ P, "wrong", "For square Q this is always 0: no rotation left"),
        (
            lambda Q, P: P - Q @ (P.T @ Q + Q.T @ P),
            "wrong",
            r"Did you forget the half\? Applied twice it differs from once by \d",
        ),
        (lambda Q, P: P, "wrong", "That is P itself"),
        (
            lambda Q, P: Q @ (Q.T @ P - P.T @ Q) / 2,
            "wrong",
            "took off more than you must: for 5 × 3",
        ),
        (lambda Q, P: P - P @ Q.T @ P, "wrong", "^Applied twice|skew"),
        (lambda Q, P: P - Q @ P, "wrong", "stopped with an exception"),
        (lambda Q, P: (P - Q @ (P.T @ Q + Q.T @ P) / 2).T, "wrong", "another shape"),
    ],
)
def test_tangent(answer, state, words):
    judged("05.2", answer, state, words)


def test_the_right_tangent_keeps_the_columns_at_right_angles_to_second_order():
    # The truth from somewhere else: a tiny step along it leaves QᵀQ = I by its square alone.
    Q, P = course.example("05.2")
    T = P - Q @ (P.T @ Q + Q.T @ P) / 2
    errors = [((Q + e * T).T @ (Q + e * T) - torch.eye(3)).norm() for e in (1e-3, 1e-4)]
    assert errors[0] / errors[1] == pytest.approx(100, rel=1e-3)


# 05.3


def turn(theta, xi, angle):
    return (
        theta * angle.cos() + xi * angle.sin(),
        xi * angle.cos() - theta * angle.sin(),
    )


def one_after_the_other(theta, xi, angle):
    theta = theta * angle.cos() + xi * angle.sin()
    return theta, xi * angle.cos() - theta * angle.sin()


def in_place(theta, xi, angle):
    theta.copy_(theta * angle.cos() + xi * angle.sin())
    xi.copy_(xi * angle.cos() - theta * angle.sin())
    return theta, xi


def by_angle(theta, xi, angle):
    radius = (theta**2 + xi**2).sqrt()
    at = torch.atan2(theta, xi) + angle
    return radius * at.sin(), radius * at.cos()


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (turn, "right", "Exact for any angle. After 10000 turns the radius is off by"),
        (by_angle, "right", "Exact"),
        (
            one_after_the_other,
            "wrong",
            "Radius lost 62% after 200 rotations of 0.1. Both need the old",
        ),
        (in_place, "wrong", "Both need the old"),
        (
            lambda t, x, a: (t + a * x, x - a * t),
            "wrong",
            r"the tangent, not the circle: the radius is 2\.\d+ after 200",
        ),
        (lambda t, x, a: turn(t, x, -a), "wrong", "You turn the other way"),
        (lambda t, x, a: turn(t, x, 2 * a), "wrong", "the angle is another one"),
        (lambda t, x, a: (t, x), "wrong", "Nothing has moved"),
        (lambda t, x, a: t, "wrong", "Return both"),
    ],
)
def test_rotate(answer, state, words):
    judged("05.3", answer, state, words)


# 05.4

RIGHT = {
    "connections": True,
    "box": True,
    "non-negative": True,
    "silent band": True,
    "sphere": False,
    "orthogonal": False,
}


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({}, "right", "Tried on 1000 pairs each.*0% and 0% are allowed.*moving averages"),
        ({"orthogonal": True}, "wrong", "orthogonal: The mean of a rotation by 0° and one by 180°"),
        ({"sphere": True}, "wrong", "sphere: The middle between two points"),
        ({"connections": False}, "wrong", "connections: Zeros average to zero"),
        ({"silent band": False}, "wrong", "two silences"),
        ({"box": "yes"}, "wrong", "box: wanted True or False"),
        ({"box": ..., "sphere": None}, "todo", "Still to answer: box, sphere"),
    ],
)
def test_averages(change, state, words):
    judged("05.4", RIGHT | change, state, words)


def test_a_misspelled_name_is_asked_about():
    answer = {name: yes for name, yes in RIGHT.items() if name != "sphere"} | {"spheer": False}
    judged("05.4", answer, "todo", "answer: sphere. You have 'spheer'; is it 'sphere'")


def test_the_sets_that_are_shown_are_the_ones_that_are_tried():
    assert list(course.example("05.4")) == list(RIGHT)


# How far a loss climbs


@pytest.fixture
def found():
    """Two strategies, two seeds, three looks at each."""
    losses = {("SGD", 0): (2, 1, 5), ("SGD", 1): (2, 3, 7), ("held", 0): (3, 2, 2.5)}
    losses["held", 1] = 4, 3, 3
    early = {("SGD", 0): 1, ("SGD", 1): 1, ("held", 0): 2, ("held", 1): 0}  # the lowest validation
    rows = [
        {"strategy": name, "seed": seed, "step": k, "metric": float(loss), "metric_held": 9.0,
         "metric:validation": float(k != early[name, seed]), "violation": 1.0, "loss": 0.0,
         "diverged": False}
        for (name, seed), values in losses.items()
        for k, loss in enumerate(values)
    ]  # fmt: skip
    strategies = {"SGD": Unconstrained(), "held": Projection()}
    facts = {"task_name": "t", "metric_name": "loss", "better": "lower", "unit": ""}
    return Comparison(pd.DataFrame(rows), strategies, [0, 1], steps=2, **facts)


def test_a_climb_is_the_end_above_the_lowest_and_stopping_looks_at_other_data(found):
    table = climbs.climbs(found)
    assert table["at the end"].to_list() == [5, 7, 2.5, 3]
    assert table["climbed"].to_list() == [4, 5, 0.5, 0]
    assert table["stopped early"].to_list() == [1, 3, 2.5, 4]
    assert climbs.told(table, digits=1)["climbed"].to_list() == ["4.5 ± 0.7", "0.2 ± 0.4"]


def test_what_is_saved_is_paired_by_seed_and_told_with_its_interval(found):
    row = climbs.saved(found, "held", digits=1)
    # Mean of 3.5 and 5; with two seeds the interval is 12.7 standard errors of .75 wide.
    assert (row["climbs less by"], row["low"], row["high"]) == (4.2, -5.3, 13.8)
    assert row["which is"] == "cannot tell"
    other = climbs.behind(found, "SGD", than="held")
    assert (other["is higher by"], other["which is"]) == (2.75, "cannot tell")


def test_one_seed_has_neither_spread_nor_interval(found):
    one = replace(found, frame=found.frame[found.frame["seed"] == 0], seeds=[0])
    assert climbs.told(climbs.climbs(one))["climbed"].to_list() == ["4.000", "0.500"]
    row = climbs.saved(one, "held")
    assert (row["climbs less by"], row["low"], row["which is"]) == (3.5, "", "one seed")


def test_what_is_not_shown_keeps_its_place_and_the_others_their_looks(found):
    part = climbs.only(found, ["held"])
    assert list(part.strategies) == ["SGD", "held"]
    assert part.frame["metric"].isna().sum() == 6
    assert found.frame["metric"].notna().all()
    ax = plots.training(part, ax=Figure().add_subplot())
    names = {text.get_text() for text in ax.texts}
    assert "held" in names
    assert "SGD" not in names


# The two sheets


@pytest.mark.parametrize("sheet", [1, -1])
def test_examples_were_made_by_a_matrix_of_their_sheet_and_the_start_is_a_rotation(sheet):
    task = course.turns(sheet)
    for seed in range(3):
        x, y = task.data_for(seed).train
        # Least squares knows the matrix to the size of the noise.
        found = torch.linalg.lstsq(x, y).solution
        assert torch.linalg.det(found).item() == pytest.approx(sheet, abs=0.1)
        assert (y - x @ found).square().mean().item() == pytest.approx(0.01, rel=0.1)
        start = task.start_model(seed).weight
        assert torch.linalg.det(start).item() == pytest.approx(1, abs=1e-4)
    with pytest.raises(ValueError, match="sheet=1 or sheet=-1, got 2"):
        course.turns(2)
