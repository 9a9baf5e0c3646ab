"""Does a layer that stays the filter you drew pay? Every strategy and the rivals on five tasks.

Run as `python tests/benchmarks/bench_filter_tasks.py`; `--task shortcut` runs one of the tasks,
`--seeds 3 --steps 200` is quicker. Prints one markdown table for each task: accuracy in percent on
the test and on its shifts, mean ± standard deviation over seeds; the worst level in the stop band
of any filter of any seed, relative to the filter's own gain; the share of filters that meet the
drawing; and the seconds all seeds took. Nothing is chosen by any of these numbers: all settings are
those written below.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import torch

import shapekeeper as sk
from shapekeeper import tasks

GROWTH = 1.4 ** (1 / 25)  # 1.4 every 25 steps
FREE = sk.Unconstrained("task")
TASKS: dict[str, tuple[Callable[..., sk.Task], dict, sk.FilterShape]] = {
    # maker, its settings, and the template that stands beside the band-limited drawing
    "shapes 40": (tasks.shapes, {}, sk.FilterShape.lowpass(0.2, 0.5, attenuation_db=30)),
    "shapes 160, stride 2": (
        tasks.shapes,
        {"samples": 160, "taps": 31, "stride": 2},
        sk.FilterShape.lowpass(0.3, 0.5, attenuation_db=30),
    ),
    "tones": (tasks.tones, {}, sk.FilterShape.lowpass(0.3, 0.5)),
    "shortcut": (tasks.shortcut, {}, sk.FilterShape.lowpass(0.3, 0.5)),
    "both bands": (tasks.both_bands, {}, sk.FilterShape.lowpass(0.3, 0.5)),
}


def staged(task: sk.Task, rate: float) -> sk.Strategy:
    """A short network that pays for its filters, then the whole one with a small rate for them."""
    first = sk.Stage(0.5, sk.Penalty(1.0), model=tasks.short_model(task))
    return sk.Staged(first, sk.Stage(0.5, sk.Unconstrained(), rate=rate))


def prefiltered(task: sk.Task, taps: int | None = None) -> sk.Strategy:
    """A free network behind a fixed filter."""
    return sk.Staged(sk.Stage(1.0, FREE, model=tasks.prefiltered_model(task, taps)))


def rows(task: sk.Task, template: sk.Task) -> dict[str, tuple[sk.Task, sk.Strategy]]:
    """Label -> what is trained how."""
    own = {
        "free": FREE,
        "shaped start only": sk.Unconstrained(),
        **{f"penalty {s:g}": sk.Penalty(s) for s in (0.1, 1.0, 10.0)},
        "penalty that grows": sk.Penalty(1.0, growth=GROWTH),
        "freeze": sk.Freeze(),
        "staged, rate 0.1": staged(task, 0.1),
        "staged, rate 0.01": staged(task, 0.01),
        "projection": sk.Projection(),
        "reparametrization": sk.Reparametrization(),
        "fixed prefilter": prefiltered(task),
        "fixed prefilter, 31 taps": prefiltered(task, 31),
    }
    if task.model.keywords["taps"] == 31:
        del own["fixed prefilter, 31 taps"]
    return {
        **{label: (task, strategy) for label, strategy in own.items()},
        "noise in training": (tasks.augmented(task), FREE),
        "template, projection": (template, sk.Projection()),
        "template, reparametrization": (template, sk.Reparametrization()),
        "windowed sinc": (tasks.with_sinc(task), sk.Unconstrained()),
    }


def row(label: str, task: sk.Task, strategy: sk.Strategy, seeds: int, steps: int) -> str:
    """One line of the table."""
    started = perf_counter()
    found = sk.compare(task, {label: strategy}, seeds=seeds, steps=steps, device="cpu")
    seconds = perf_counter() - started
    (shape,) = task.constraints.values()
    reports = [shape.measure(model.shaped.weight) for model in found.models(label)]
    worst = max(report.worst_stop_db for report in reports)
    met = 100 * sum(report.share_met for report in reports) / len(reports)
    cells = [label]
    for column in columns(task):
        scores = 100 * found.final()[column]
        cells.append(f"{scores.mean():.1f} ± {scores.std():.1f}")
    lost = found.final()["diverged"].sum()
    cells += [f"{worst:.1f}", f"{met:.0f}", f"{seconds:.0f}"]
    return f"| {' | '.join(cells)} |" + (f" {lost} diverged" if lost else "")


def columns(task: sk.Task) -> list[str]:
    """The columns of the test and its shifts."""
    return ["metric", *(f"metric:{name}" for name in task.data_for(0).shifted)]


def show(name: str, seeds: int, steps: int) -> None:
    """Everything on one task."""
    make, settings, drawing = TASKS[name]
    task = make(**settings)
    template = replace(make(drawing, **settings), name=f"{name}, template")
    shifts = [column.partition(":")[2] for column in columns(task)[1:]]
    head = ["", "test", *shifts, "worst stop, dB", "filters that meet it, %", "seconds"]
    print(f"\n{name}: {seeds} seeds, {steps} steps; {task.constraints['shaped.weight']}")
    print(f"template: {drawing}\n\n| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for label, (other, strategy) in rows(task, template).items():
        print(row(label, other, strategy, seeds, steps), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--task", choices=[*TASKS, "all"], default="all")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for name in [*TASKS] if chosen.task == "all" else [chosen.task]:
        show(name, chosen.seeds, chosen.steps)


if __name__ == "__main__":
    main()
