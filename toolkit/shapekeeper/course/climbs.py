"""How far a test loss climbs once a network begins to learn by heart."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from shapekeeper.compare import Comparison
from shapekeeper.tasks import Task

__all__ = ["accuracies", "behind", "climbs", "only", "saved", "told"]


def climbs(found: Comparison) -> pd.DataFrame:
    """How the test loss ended, how far it had climbed, and what stopping early would have given.

    Args:
        found: A comparison whose metric is the loss, with a validation part.

    Returns:
        By strategy and seed: `at the end`; `climbed`, the end minus the lowest that it ever was;
        `stopped early`, what it was when the loss on the validation part was lowest.

    Example:
        >>> import torch, shapekeeper as sk
        >>> task = sk.tasks.spirals()
        >>> task = replace(task, metric=task.loss, better="lower", metric_name="loss")
        >>> found = sk.compare(task, [sk.Unconstrained()], seeds=2, steps=10)
        >>> climbs(found)["climbed"].ge(0).tolist()
        [True, True]
    """
    runs = found.frame.groupby(["strategy", "seed"], sort=False)
    last, lowest = runs["metric"].last(), runs["metric"].min()
    early = found.frame.loc[runs["metric:validation"].idxmin()].set_index(["strategy", "seed"])
    table = {"at the end": last, "climbed": last - lowest, "stopped early": early["metric"]}
    return pd.DataFrame(table)


def told(table: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """Mean ± standard deviation over the seeds; the mean alone where there is one seed.

    Args:
        table: Numbers by strategy and seed.
        digits: Decimals.

    Returns:
        Words by strategy.

    Example:
        >>> index = pd.MultiIndex.from_product([["a"], [0, 1]], names=["strategy", "seed"])
        >>> told(pd.DataFrame({"loss": [1.0, 2.0]}, index)).loc["a", "loss"]
        '1.500 ± 0.707'
    """
    seeds = table.groupby("strategy", sort=False)
    return seeds.agg(lambda values: _mean_and_spread(values, digits))


def accuracies(found: Comparison, task: Task) -> pd.Series:
    """Test accuracy of each strategy, mean ± standard deviation over the seeds.

    Args:
        found: A comparison on the task, or on one with the same test data.
        task: Whose metric is the accuracy.

    Returns:
        Words by strategy.

    Example:
        >>> import shapekeeper as sk
        >>> task = sk.tasks.spirals()
        >>> found = sk.compare(task, {"SGD": sk.Unconstrained()}, seeds=1, steps=2)
        >>> accuracies(found, task).name, len(accuracies(found, task)["SGD"])
        ('accuracy', 5)
    """
    column = {}
    for name in found.strategies:
        nets = zip(found.seeds, found.models(name), strict=True)
        tests = [(net, *task.data_for(seed).test) for seed, net in nets]
        column[name] = _mean_and_spread([task.metric(net(x), y).item() for net, x, y in tests], 3)
    return pd.Series(column, name="accuracy")


def _mean_and_spread(values: Sequence[float] | pd.Series, digits: int) -> str:
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def only(found: Comparison, names: Sequence[str]) -> Comparison:
    """A comparison that shows some of its strategies; each looks as it does among them all.

    Args:
        found: A comparison.
        names: The strategies to be shown.

    Returns:
        The same comparison, in which the others have no numbers.

    Example:
        >>> import shapekeeper as sk
        >>> pair = {"a": sk.Penalty(1.0), "b": sk.Penalty(2.0)}
        >>> found = sk.compare(sk.tasks.pencil(), pair, seeds=1, steps=2)
        >>> only(found, ["b"]).final()["metric"].isna().to_list()
        [True, False]
    """
    frame, numbers = found.frame.copy(), ["loss", "metric", "metric_held", "violation"]
    frame.loc[~frame["strategy"].isin(names), numbers] = np.nan
    return replace(found, frame=frame)


def saved(found: Comparison, name: str, than: str = "SGD", digits: int = 2) -> dict[str, object]:
    """How much less a strategy climbed than another in the same seed.

    Args:
        found: A comparison whose metric is the loss.
        name: The strategy.
        than: The other.
        digits: Decimals.

    Returns:
        Mean over the seeds, its 95 % interval (Student's t) and what that says: `less`, `more` or
        `cannot tell`; one seed has no interval.

    Example:
        >>> import shapekeeper as sk
        >>> task = sk.tasks.spirals()
        >>> task = replace(task, metric=task.loss, better="lower", metric_name="loss")
        >>> pair = {"SGD": sk.Unconstrained(), "another": sk.Unconstrained("task")}
        >>> list(saved(sk.compare(task, pair, seeds=2, steps=2), "another"))
        ['who', 'than', 'climbs less by', 'low', 'high', 'which is']
    """
    climbed = climbs(found)["climbed"]
    pairs = climbed[than] - climbed[name]
    names = {"who": name, "than": than}
    return names | _interval("climbs less by", pairs, digits, ("less", "more"))


def behind(found: Comparison, name: str, than: str = "SGD", digits: int = 2) -> dict[str, object]:
    """How much higher a strategy ends than another one, stopped early, would be in the same seed.

    Args:
        found: A comparison whose metric is the loss.
        name: The strategy, at the end.
        than: The other, stopped early.
        digits: Decimals.

    Returns:
        As `saved`, with `higher`, `lower` or `cannot tell`.

    Example:
        >>> import shapekeeper as sk
        >>> task = sk.tasks.spirals()
        >>> task = replace(task, metric=task.loss, better="lower", metric_name="loss")
        >>> found = sk.compare(task, {"SGD": sk.Unconstrained()}, seeds=1, steps=2)
        >>> behind(found, "SGD")["which is"]
        'one seed'
    """
    table = climbs(found)
    pairs = table["at the end"][name] - table["stopped early"][than]
    names = {"who, at the end": name, "than, stopped early": than}
    return names | _interval("is higher by", pairs, digits, ("higher", "lower"))


def _interval(what: str, pairs: Any, digits: int, words: tuple[str, str]) -> dict[str, object]:
    """Mean, 95 % interval and verdict, of the numbers as they are shown."""
    if len(pairs) < 2:
        mean = round(float(pairs.mean()), digits)
        return {what: mean, "low": "", "high": "", "which is": "one seed"}
    bounds = stats.ttest_1samp(pairs, 0).confidence_interval()
    mean, low, high = (round(float(number), digits) for number in (pairs.mean(), *bounds))
    said = words[0] if low > 0 else words[1] if high < 0 else "cannot tell"
    return {what: mean, "low": low, "high": high, "which is": said}
