"""Checks of notebook 00: the tour."""

import networkx as nx
import numpy as np
import pandas as pd

from shapekeeper.course.verdicts import Wrong, called, exercise, number
from shapekeeper.regions import RegionGraph

LEAK = 0.01


@exercise("00.1")
def draw_it(graph) -> str:
    """A region `memory` that hears the middle and speaks to the hand; eye -> hand stays closed."""
    if not isinstance(graph, RegionGraph):
        raise Wrong("This is no drawing.", "a RegionGraph", f"a {type(graph).__name__}")
    _memory_is_there(graph)
    wires = {(p.source, p.target) for p in graph.settled().pathways}
    _memory_is_wired(wires)
    for source, target in (("eye", "middle"), ("middle", "hand")):
        if (source, target) not in wires:
            raise Wrong(f"{source}→{target} is gone. It was in the drawing and was to stay.")
    if ("eye", "hand") in wires:
        raise Wrong(
            "That runs, but eye→hand was to stay closed. `without_pathway` takes it out again."
        )
    if graph.problems():
        raise Wrong("The drawing is not finished.", got=" ".join(map(str, graph.problems())))
    ways = list(nx.all_simple_paths(nx.DiGraph(wires), "eye", "hand"))
    longest = max(map(len, ways)) - 1
    return (
        f"A signal now has {len(ways)} ways from eye to hand, and the longest takes {longest} "
        "pathways. The graph you started from is unchanged: a drawing is a value."
    )


def _memory_is_there(graph: RegionGraph) -> None:
    if "memory" not in graph.names:
        raise Wrong(
            "There is no region `memory`. `with_region` returns a new graph: keep what it returns.",
            "memory beside eye, middle and hand",
            ", ".join(graph.names) or "an empty drawing",
        )
    size = graph.region("memory").size
    if size != 8:
        raise Wrong("`memory` has another size.", "8 units", f"{size} units")


def _memory_is_wired(wires: set[tuple[str, str]]) -> None:
    hears, speaks = ("middle", "memory") in wires, ("memory", "hand") in wires
    if hears and not speaks:
        raise Wrong(
            "memory hears but nobody listens: it cannot change the output. Give it a pathway out.",
            "memory→hand",
        )
    if speaks and not hears:
        raise Wrong(
            "memory speaks but hears nobody: it has nothing to say. Give it a pathway in.",
            "middle→memory",
        )
    if not hears:
        raise Wrong("memory is alone: a region needs a way in and a way out.", "two pathways")


def four_runs(seed: int = 0) -> pd.DataFrame:
    """A table of four made-up runs, one of which lives on its leak.

    Args:
        seed: Which table.

    Returns:
        Runs A to D with their metric, the metric after the leak was cut, and the violation.

    Example:
        >>> four_runs().index.tolist()
        ['A', 'B', 'C', 'D']
    """
    draw = np.random.default_rng([seed, 2]).uniform
    good, bad = draw(0.80, 0.90), draw(0.20, 0.30)
    rows = [
        (good, good - draw(0.30, 0.40), draw(0.05, 0.10)),  # bought with the leak
        (draw(0.85, 0.97), 0.0, draw(0.20, 0.40)),  # violates most, loses nothing
        (bad, bad - draw(0.02, 0.05), draw(0.05, 0.10)),  # bad before the cut as well
        (draw(0.85, 0.97), 0.0, 0.0),  # holds its drawing
    ]
    runs = pd.DataFrame(rows, columns=["metric", "metric_held", "violation"]).round(3)
    runs["metric_held"] = runs["metric_held"].where(runs["metric_held"] > 0, runs["metric"])
    order = np.random.default_rng([seed, 3]).permutation(4)
    return runs.iloc[order].set_axis(list("ABCD"))


@exercise("00.2", example=four_runs)
def bought(function) -> str:
    """The run with the largest difference between the metric and the metric held."""
    tables = [four_runs(seed) for seed in range(1, 21)]
    answers = [str(called(function, table.copy())) for table in tables]
    right = [str((table["metric"] - table["metric_held"]).idxmax()) for table in tables]
    for table, answer, run in zip(tables, answers, right, strict=True):
        if answer != run:
            raise Wrong(_why_not_bought(table, answer), f"run {run}", f"run {answer}")
    return (
        "Right on 20 tables, and without a threshold: "
        "a run that holds its drawing has nothing to cut, so its drop is exactly 0."
    )


def _why_not_bought(runs: pd.DataFrame, answer: str) -> str:
    if answer not in runs.index:
        return "This is no run of the table."
    if answer == runs["violation"].idxmax():
        return (
            f"Run {answer} violates most, but loses nothing when cut. "
            "Violation is the cause, the drop is the bill."
        )
    if answer == runs["metric_held"].idxmin():
        return "That run was bad before the cut as well. Compare before with after."
    return f"Run {answer} loses nothing when cut: it scores what it scored before."


@exercise("00.3")
def strong_enough(answer) -> str:
    """The smallest strength that keeps the leak b = 1 / (strength + 1/2) of the pencil at 0.01."""
    strength = number(answer)
    if not strength >= 0:
        raise Wrong("A price is not negative.", "a number from 0 up", f"{strength:g}")
    leak = 1 / (strength + 0.5)
    wanted, got = f"|b| ≤ {LEAK:g}", f"|b| = {leak:.4g} at λ = {strength:g}"
    if np.isclose(strength, LEAK):
        raise Wrong(
            "That is the leak you allow, not the price you ask. A larger λ gives a smaller leak.",
            wanted,
            got,
        )
    if leak > LEAK:
        raise Wrong("Not strong enough. A larger λ gives a smaller leak.", wanted, got)
    # One per mille less must break it: one per cent less would let 100 pass.
    if 1 / (0.999 * strength + 0.5) <= LEAK:
        raise Wrong("It holds, but so does a smaller one: b = 1/(λ+½).", "the smallest λ", got)
    return (
        f"Half that leak costs twice the price: λ = {1 / (LEAK / 2) - 0.5:g}. "
        "No finite price buys a leak of 0."
    )
