"""Do weights that move on a curved set learn less by heart? Digits, spirals and text.

Run as `python tests/benchmarks/bench_manifold_tasks.py --only digits` (or `spirals`, `text`);
`--quick` is a try of a few minutes. Every way to train has a grid of as many settings as every
other. One of them is chosen by the validation part, on seeds that are used for nothing else: digits
and spirals by the accuracy at the end, text by the best validation score of the run. Then come
fresh seeds, whose test part nothing was chosen by. "Stopped early" takes each run where its own
validation score was best, and its settings are chosen by that score. Prints what was tried and what
came out as markdown; `--out` is where comparisons and the figures go. Columns: `test` and `loss` on
the test part at the end, `lowest` the lowest test loss of the run, `at best` where validation was
best; `train` without noise, at the end.
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from math import log, sqrt
from pathlib import Path
from tempfile import gettempdir
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch import nn

import shapekeeper as sk
from shapekeeper.compare.statistics import paired_interval
from shapekeeper.tasks import Circles, OrthogonalLayers, noisy_digits, spirals, text

KEPT = 0.9  # of the momentum, a step
FREE = sk.Unconstrained("task")
MOMENTUM = "SGD with momentum"
STOPPED, OWN = f"{MOMENTUM}, stopped early", f"{MOMENTUM}, the task's own lr"
RUN = partial(sk.compare, device="cpu")


class Rates(NamedTuple):
    """Settings of `torch.optim.SGD`."""

    lr: float
    momentum: float = KEPT
    decay: float = 0.0


@dataclass(frozen=True)
class Way:
    """One setting of one way to train."""

    words: str
    task: sk.Task
    strategy: sk.Strategy
    stopped: bool = False  # judged where validation was best, not at the end


@dataclass(frozen=True)
class Trial:
    """What is compared: label -> settings to choose from; the first label is the reference."""

    name: str
    grid: dict[str, list[Way]]
    steps: int
    seeds: int
    tuning: range
    by: str = "end"  # or "best": which validation score chooses


# -- ways to train -------------------------------------------------------------------------------


def maker(make: Callable[..., sk.Task], **settings) -> Callable[..., sk.Task]:
    """(rule, rates or an optimizer) -> task, always the same for the same two."""

    @cache
    def made(rule=None, rates=None) -> sk.Task:
        if isinstance(rates, Rates):
            names = {"lr": rates.lr, "momentum": rates.momentum, "weight_decay": rates.decay}
            rates = partial(torch.optim.SGD, **names)
        trained_by = {"optimizer": rates} if rates else {}
        return make(constraints=rule, **settings, **trained_by)

    return made


def by_sgd(make, rates: Iterable[Rates], *, stopped=False) -> list[Way]:
    """Nothing is bound."""
    return [Way(said(None, rate), make(None, rate), FREE, stopped) for rate in rates]


def by_optimizer(make, strategies, rules, rates: Iterable[Rates]) -> list[Way]:
    """A strategy around plain SGD with momentum."""
    return [
        Way(said(rule, rate, strategy), make(rule, rate), strategy)
        for strategy, rule, rate in product(strategies, rules, rates)
    ]


def by_walking(make, rules, lrs, temperatures=(0.0,), kept=KEPT) -> list[Way]:
    """Along the set, by the steps of `ConstrainedLangevin`."""
    return [
        Way(said(rule, Rates(lr), t), make(rule), walk(lr, t, kept))
        for rule, lr, t in product(rules, lrs, temperatures)
    ]


def walk(lr: float, temperature: float, kept: float) -> sk.ConstrainedLangevin:
    """What is gradient descent at this learning rate and momentum, were it cold and free."""
    if not kept:
        return sk.ConstrainedLangevin(lr, temperature)
    h = sqrt(2 * lr / (1 + kept))
    return sk.ConstrainedLangevin(h, temperature, -log(kept) / h)


def said(rule, rates: Rates, more: sk.Strategy | float = 0.0) -> str:
    """Settings in words."""
    words = [f"lr {rates.lr:g}"]
    words += [f"decay {rates.decay:g}"] if rates.decay else []
    words += [f"r {rule.first:g}, {rule.others:g}"] if isinstance(rule, Circles) else []
    words += [f"strength {more.strength:g}"] if isinstance(more, sk.Penalty) else []
    words += [f"τ {more:g}"] if isinstance(more, float) and more else []
    return ", ".join(words)


# -- what is compared ----------------------------------------------------------------------------


def digits() -> list[Trial]:
    """Two networks on 300 digits, a tenth of them under a label drawn by lot."""
    trials = {"digits, 64-200-10": shallow(), "digits, 64-100-100-10": deep()}
    return [Trial(name, grid, 3000, 20, range(100, 105)) for name, grid in trials.items()]


def free_ways(make, lrs, decays) -> dict[str, list[Way]]:
    """SGD with momentum, at its end and stopped early; weight decay at two of these rates."""
    rates = [Rates(lr) for lr in lrs]
    few = lrs[1:3]
    return {
        MOMENTUM: by_sgd(make, rates),
        STOPPED: by_sgd(make, rates, stopped=True),
        "momentum and weight decay": by_sgd(make, [Rates(r, KEPT, d) for r in few for d in decays]),
    }


def shallow() -> dict[str, list[Way]]:
    """Six settings for each; and what comes out at the learning rate that nobody chose."""
    make, lrs = maker(noisy_digits, hidden=(200,)), (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
    radii = [Circles(0.14, 0.12), Circles(0.175, 0.225), Circles(0.25, 0.4)]
    few, warm = (0.005, 0.01), (1e-6, 1e-5, 1e-4)
    return {
        **free_ways(make, lrs, (1e-3, 1e-2, 3e-2)),
        "SGD": by_sgd(make, [Rates(10 * lr, 0) for lr in lrs]),
        "SGLD": by_walking(make, [None], (0.1, 0.5), warm, kept=0),
        "circle": by_walking(make, radii, few),
        "circle, warm": by_walking(make, radii[:2], few[1:], warm),
        "clipped at the radius": by_optimizer(
            make, [sk.Projection()], radii, (Rates(lr) for lr in few)
        ),
        OWN: by_sgd(make, [Rates(0.01)]),
        "circle, the task's own lr": by_walking(make, radii[1:2], [0.01]),
    }


def deep() -> dict[str, list[Way]]:
    """Six settings for each; and what comes out at the learning rate that nobody chose."""
    make, lrs = maker(noisy_digits, hidden=(100, 100)), (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
    middle, both = OrthogonalLayers(output=False), OrthogonalLayers()
    soft, rates = [sk.Penalty(s) for s in (0.01, 0.1, 1.0)], [Rates(lr) for lr in (0.005, 0.01)]
    start = [sk.Unconstrained()]
    return {
        **free_ways(make, lrs, (1e-3, 1e-2, 3e-2)),
        "orthogonal start only": by_optimizer(make, start, [both], (Rates(lr) for lr in lrs)),
        "orthogonal middle": by_walking(make, [middle], lrs),
        "orthogonal middle, output": by_walking(make, [both], lrs),
        "penalty, middle": by_optimizer(make, soft, [middle], rates),
        "penalty, middle, output": by_optimizer(make, soft, [both], rates),
        OWN: by_sgd(make, [Rates(0.01)]),
        "orthogonal middle, the task's own lr": by_walking(make, [middle], [0.01]),
        "orthogonal middle, output, the task's own lr": by_walking(make, [both], [0.01]),
    }


def two_spirals() -> list[Trial]:
    """The five ways of the published figure, four settings for each, without momenta and with."""
    make, lrs = maker(spirals), (0.02, 0.05, 0.1, 0.2)
    radii, plain = [Circles(5, 2), Circles(5, 1)], (0.1, 0.3, 1.0, 3.0)
    grid = {
        **free_ways(make, lrs, (1e-4, 1e-3)),
        "Langevin": by_walking(make, [None], (0.09,), (1e-6, 1e-5, 1e-4, 1e-3)),
        "circle": by_walking(make, radii, (0.05, 0.2)),
        "circle, warm": by_walking(make, radii, (0.09,), (1e-5, 1e-4)),
        "SGD, no momentum": by_sgd(make, [Rates(lr, 0) for lr in plain]),
        "weight decay, no momentum": by_sgd(
            make, [Rates(lr, 0, d) for lr in (0.3, 1.0) for d in (1e-4, 1e-3)]
        ),
        "SGLD, no momentum": by_walking(make, [None], (0.3, 1.0), (1e-6, 1e-5), kept=0),
        "circle, no momentum": by_walking(make, radii, (0.5, 1.0), kept=0),
        "circle, warm, no momentum": by_walking(make, radii, (1.0,), (1e-5, 1e-4), kept=0),
    }
    seeds = range(100, 105)
    return [
        Trial("spirals, 2-100-1", grid, 12_000, 20, seeds),
        Trial("spirals, as long as the figure", as_published(make), 50_000, 20, seeds),
    ]


def as_published(make) -> dict[str, list[Way]]:
    """The figure's five, 10 000 epochs, with the settings that 12 000 steps have chosen."""
    bound = [Circles(5, 2)]
    return {
        "SGD": by_sgd(make, [Rates(1.0, 0)]),
        "weight decay": by_sgd(make, [Rates(1.0, 0, 1e-4)]),
        "circle": by_walking(make, bound, (1.0,), kept=0),
        "SGLD": by_walking(make, [None], (1.0,), (1e-5,), kept=0),
        "circle, warm": by_walking(make, bound, (1.0,), (1e-4,), kept=0),
    }


@dataclass(frozen=True)
class Blocks:
    """What binds the matrices of the blocks of a transformer: attention, and the two layers."""

    constraint: sk.Orthogonal

    def __call__(self, model: nn.Module) -> dict[str, sk.Orthogonal]:
        """Name -> constraint."""
        names = dict(model.named_parameters())
        inside = [k for k, weight in names.items() if k.startswith("blocks.") and weight.dim() > 1]
        return dict.fromkeys(inside, self.constraint)


def characters() -> list[Trial]:
    """A small transformer on 20 000 characters, and on 4000, which it soon knows by heart."""
    small, tiny = transformer("small", 0.4, 0.8), transformer("tiny", 0.2, 0.4)
    return [
        Trial("text, small", small, 3000, 5, range(100, 102), by="best"),
        Trial("text, tiny", tiny, 1000, 5, range(100, 102), by="best"),
    ]


def transformer(size: str, *radii: float) -> dict[str, list[Way]]:
    """Two settings for each."""
    make, lrs = maker(text, size=size, width=32, hidden=64, context=32), (0.03, 0.1)
    adam = [partial(torch.optim.Adam, lr=lr) for lr in (1e-3, 3e-3)]
    decayed = [Rates(0.1, KEPT, d) for d in (1e-3, 3e-3)]
    return {
        MOMENTUM: by_sgd(make, (Rates(lr) for lr in lrs)),
        "Adam": [Way(f"lr {a.keywords['lr']:g}", make(None, a), FREE) for a in adam],
        "momentum and weight decay": by_sgd(make, decayed),
        "orthogonal blocks": by_walking(make, [Blocks(sk.Orthogonal())], lrs),
        "circle": by_walking(make, [Circles(r, r) for r in radii], (0.1,)),
    }


# -- training and judging ------------------------------------------------------------------------


def judged(found: sk.Comparison, label: str, stopped: bool) -> pd.DataFrame:
    """One row for each seed."""
    task, rows = found.tasks.get(label, found.task), found.frame.query("strategy == @label")
    sign, scale = (1, 100) if task.better == "higher" else (-1, 1)
    picked = rows[rows["metric:validation"].notna()]
    best = picked.loc[(sign * picked["metric:validation"]).groupby(picked["seed"]).idxmax()]
    best, last = best.set_index("seed"), found.final().loc[label]
    seen = best if stopped else last
    learned, checked = (scores(found, label, part) for part in ("train", "validation"))
    table = pd.DataFrame(
        {
            "test": scale * seen["metric"],
            "loss": seen["loss:test"],
            "lowest": rows.groupby("seed")["loss:test"].min(),
            "at best": scale * best["metric"],
            "loss at best": best["loss:test"],
            "step": seen["step"],
            "train": scale * learned["metric"],
            "train loss": learned["loss"],
            "peak": last["violation_peak"] if task.constraints else np.nan,
            "end": sign * last["metric:validation"],
            "best": sign * best["metric:validation"],
            "validation loss": checked["loss"],
            "seconds": last["seconds"],
        }
    )
    table.loc[last["diverged"].astype(bool)] = np.nan
    return table.assign(**{"train": np.nan, "train loss": np.nan}) if stopped else table


@torch.no_grad()
def scores(found: sk.Comparison, label: str, part: str) -> pd.DataFrame:
    """Metric and loss of the trained networks on a part of the data, by seed."""
    task, rows = found.tasks.get(label, found.task), {}
    for seed, model in zip(found.seeds, found.models(label), strict=True):
        x, y = task.data_for(seed).parts[part]
        rows[seed] = {"metric": task.metric(model(x), y), "loss": task.loss(model(x), y)}
    return pd.DataFrame(rows).T.astype(float)


def tried(trial: Trial) -> dict[str, pd.DataFrame]:
    """Label -> one row for each setting, the best one first."""
    ways = [way for settings in trial.grid.values() for way in settings]
    found = {task: compared(task, ways, trial) for task in dict.fromkeys(w.task for w in ways)}
    return {
        label: ranked(
            {way: judged(found[way.task], way.strategy.label, way.stopped) for way in settings},
            trial.by,
        )
        for label, settings in trial.grid.items()
    }


def compared(task: sk.Task, ways: list[Way], trial: Trial) -> sk.Comparison:
    """All strategies that are tried on one task."""
    strategies = dict.fromkeys(way.strategy for way in ways if way.task is task)
    return RUN(task, [*strategies], seeds=trial.tuning, steps=trial.steps)


def ranked(rows: dict[Way, pd.DataFrame], by: str) -> pd.DataFrame:
    """Settings by their mean validation score; those with a run that diverged last."""
    means = [
        {"way": way, "lost": runs["end"].isna().sum(), **runs.mean().to_dict()}
        for way, runs in rows.items()
    ]
    table = pd.DataFrame(means)
    table["score"] = [row["best" if row["way"].stopped else by] for row in means]
    return table.sort_values(
        ["lost", "score", "validation loss"], ascending=[True, False, True], ignore_index=True
    )


def final(trial: Trial, chosen: dict[str, Way]) -> sk.Comparison:
    """Every label with its chosen setting, on fresh seeds, beside each other."""
    alone = {
        label: RUN(way.task, {label: way.strategy}, seeds=trial.seeds, steps=trial.steps)
        for label, way in chosen.items()
    }
    first, *others = alone
    return alone[first].beside({label: alone[label] for label in others})


# -- tables --------------------------------------------------------------------------------------


def markdown(head: list[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table."""
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    print("\n".join([f"\n| {' | '.join(head)} |", "|---" * len(head) + "|", *lines]), flush=True)


def show_tried(tables: dict[str, pd.DataFrame]) -> None:
    """All settings, validation alone; the best one of each label first."""
    rows = []
    for label, table in tables.items():
        for i, row in table.iterrows():
            score = "diverged" if row["lost"] else f"{abs(row['score']):.4f}"
            loss = f"{row['validation loss']:.3f}"
            rows.append(["" if i else label, row["way"].words, score, loss])
    markdown(["", "setting", "validation score", "validation loss at the end"], rows)


def show_final(trial: Trial, runs: dict[str, pd.DataFrame], chosen: dict[str, Way]) -> None:
    """Means and standard deviations over seeds, then what each has over the reference."""
    columns = {
        "test": 2, "loss": 3, "lowest": 3, "at best": 2, "loss at best": 3, "train": 2,
        "train loss": 3,
    }  # fmt: skip
    head = ["", "setting", *columns, "violation peak", "seconds"]
    markdown(
        head,
        (
            [label, chosen[label].words]
            + [spread(table[name], n) for name, n in columns.items()]
            + [number(table["peak"].max()), f"{table['seconds'].max():.0f}"]
            for label, table in runs.items()
        ),
    )
    references = [label for label in (MOMENTUM, STOPPED, OWN) if label in runs] or [*runs][:1]
    pairs = [(reference, column) for reference in references for column in ("test", "loss")]
    markdown(
        ["", *(f"{column} minus {reference}" for reference, column in pairs)],
        (
            [label, *(minus(table[column], runs[other][column]) for other, column in pairs)]
            for label, table in runs.items()
        ),
    )


def spread(values: pd.Series, digits: int) -> str:
    """Mean ± standard deviation."""
    if not values.notna().any():
        return "–"
    return f"{values.mean():.{digits}f} ± {values.std():.{digits}f}"


def number(value: float) -> str:
    """A violation, or a dash where nothing is bound."""
    return "–" if np.isnan(value) else f"{value:.1e}"


def minus(one: pd.Series, other: pd.Series) -> str:
    """Mean paired difference with its 95 % interval."""
    pairs = (one - other).dropna()
    if not pairs.any():
        return "–"
    low, high = paired_interval(pairs.to_numpy())
    return f"{pairs.mean():+.3g} [{low:+.3g}, {high:+.3g}]"


def show_curves(found: sk.Comparison, column: str, places: int = 13) -> None:
    """A column of the frame against the step, mean ± standard deviation over seeds."""
    curves = found.frame.groupby(["strategy", "step"], sort=False)[column].agg(["mean", "std"])
    steps = sorted(set(found.frame["step"]))
    steps = [steps[i] for i in np.linspace(0, len(steps) - 1, places).round().astype(int)]
    markdown(
        [column, *map(str, steps)],
        (
            [label, *("{:.2f} ± {:.2f}".format(*curves.loc[(label, step)]) for step in steps)]
            for label in found.strategies
        ),
    )


def draw(found: sk.Comparison, column: str, path: Path) -> None:
    """The same as a figure."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for label in found.strategies:
        rows = found.frame.query("strategy == @label").groupby("step")[column]
        mean, sd = rows.mean(), rows.std()
        (line,) = axes.plot(mean.index, mean, label=label)
        axes.fill_between(mean.index, mean - sd, mean + sd, color=line.get_color(), alpha=0.2)
    axes.set(xlabel="step", ylabel=f"{found.metric_name}, validation")
    begun = found.frame.query("step > 0").groupby(["strategy", "step"])[column].mean()
    axes.set_ylim(0.95 * begun.min(), 1.05 * begun.max())
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def show(trial: Trial, out: Path) -> None:
    """Choose settings, train, print."""
    print(f"\n## {trial.name}: {trial.steps} steps, {trial.seeds} seeds", flush=True)
    chosen = {label: ways[0] for label, ways in trial.grid.items()}
    if any(len(ways) > 1 for ways in trial.grid.values()):
        print(f"Settings by {len(trial.tuning)} other seeds:")
        show_tried(tables := tried(trial))
        chosen = {label: table["way"][0] for label, table in tables.items()}
    found = final(trial, chosen)
    folder = found.save(out / trial.name.replace(", ", "_"))
    runs = {label: judged(found, label, way.stopped) for label, way in chosen.items()}
    pd.concat(runs, names=["label", "seed"]).to_csv(folder / "judged.csv")
    show_final(trial, runs, chosen)
    if trial.by == "best":
        show_curves(found, "metric:validation")
        draw(found, "metric:validation", folder / "validation.png")


def main() -> None:
    trials = {"digits": digits, "spirals": two_spirals, "text": characters}
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=[*trials])
    parser.add_argument("--seeds", type=int, help="instead of 20, or 5 for text")
    parser.add_argument("--quick", action="store_true", help="two seeds, a twentieth of the steps")
    parser.add_argument("--out", type=Path, default=Path(gettempdir()) / "manifold_tasks")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in [asked.only] if asked.only else trials:
        for trial in trials[name]():
            if asked.quick:
                trial = replace(trial, steps=trial.steps // 20, seeds=2, tuning=trial.tuning[:2])
            show(replace(trial, seeds=asked.seeds or trial.seeds), asked.out)


if __name__ == "__main__":
    main()
