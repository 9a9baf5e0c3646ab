"""What is sure of the values that trained networks pass on: proved, checked, or broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf, isnan, nan
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from shapekeeper.constraints import Constraint, ConstraintError, Grammar
from shapekeeper.networks import BoundsError, layer_path, output_bounds
from shapekeeper.strategies import Strategy
from shapekeeper.tasks import Data, Task

from .audit_inputs import EVERY_INPUT, Box, audit_inputs, regions
from .comparison import Comparison, ComparisonError
from .said import lies_within, spoken, words_worth

__all__ = ["Audit", "audit"]

GUARANTEES = ("structural", "certified", "empirical", "none")  # from the strongest
CHUNK = 1000  # inputs at once

Truth = Tensor | Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """What `audit` found.

    Attributes:
        frame: One row per strategy, seed and bound name. `guarantee` is one of

            - `"structural"`: by the strategy, for all inputs and weights;
            - `"certified"`: proved of the trained network, for the inputs that `holds_for` names;
            - `"empirical"`: everything that was checked was allowed, and nothing more is known;
            - `"none"`: something that was checked was not allowed.

            `allowed` is the share of values in the set on test data, as in the frame of a
            comparison; `allowed:noisy` the same on a part of the data called noisy, and
            `allowed:nonsense` on nonsense input; `raw`, `raw:noisy` ... the same with the
            strategy's filters taken out of all layers. `metric` is on test data, and
            `metric_filter_off` without the filters. Of a layer that speaks, `distinct_words` is the
            number of different words per different meaning (without `truth`: per different input),
            and `true_words` the share of inputs for which the word is the true one. `worst` is the
            largest violation of all that was checked, in `unit`, and `checked` how many values that
            were. `margin` is how far inside the ends of a range the proved bounds stay; below 0
            nothing is proved. A row of a diverged run has no numbers.
        metric_name: What the metric is.
        notes: What a reader of the numbers should know.

    Example:
        >>> import shapekeeper as sk
        >>> found = sk.compare(sk.tasks.pencil(), [sk.Projection()], seeds=2, steps=10)
        >>> sk.audit(found)
        Audit(1 strategy, 2 seeds: structural)
    """

    frame: pd.DataFrame
    metric_name: str
    notes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        """What was audited, and the guarantees that were found."""
        rows = self.frame.to_dict("records")
        strategies, seeds = (len({row[name] for row in rows}) for name in ("strategy", "seed"))
        found = {row["guarantee"] for row in rows}
        return (
            f"Audit({strategies} {'strategies' if strategies > 1 else 'strategy'}, {seeds} "
            f"seed{'s' if seeds > 1 else ''}: {', '.join(g for g in GUARANTEES if g in found)})"
        )

    def _repr_html_(self) -> str:
        return self.summary().to_html()

    def summary(self) -> pd.DataFrame:
        """Each strategy in one row, to be read: texts, in the order in which a reader asks.

        Is it sure, and for which inputs? How many values are in the set: on test data, elsewhere,
        on nonsense? And without the filter? What does the network still do, with and without it?
        What are its words worth? How far off is the worst?

        Returns:
            Mean ± standard deviation over the seeds that did not diverge; the weakest guarantee and
            the worst violation of all of these. A share is 1 or 0 only if it is so exactly.
        """
        groups: dict[tuple[Any, Any], list[dict[Any, Any]]] = {}
        for row in self.frame.to_dict("records"):
            groups.setdefault((row["strategy"], row["bound"]), []).append(row)
        table = pd.DataFrame([self._line(runs) for runs in groups.values()])
        table.index = pd.MultiIndex.from_tuples(list(groups), names=["strategy", "bound"])
        if len({bound for _, bound in groups}) == 1:
            table.index = table.index.droplevel("bound")
        return table.loc[:, (table != "").any()]

    def _line(self, runs: list[dict[Any, Any]]) -> dict[str, str]:
        good = [run for run in runs if not run["diverged"]]
        weakest = max(good or runs, key=lambda run: GUARANTEES.index(run["guarantee"]))
        line = {"guarantee": weakest["guarantee"], "holds for": weakest["holds_for"]}
        for kind, words in {"allowed": "in set", "raw": "in set, filter off"}.items():
            for column in self.frame:
                name, _, part = str(column).partition(":")
                if name == kind:
                    line[f"{words}: {part or 'test'}"] = _share([run[column] for run in good])
        metric = self.metric_name
        line[metric] = _number([run["metric"] for run in good])
        line[f"{metric}, filter off"] = _number([run["metric_filter_off"] for run in good])
        line["distinct words"] = _share([run["distinct_words"] for run in good])
        line["true words"] = _share([run["true_words"] for run in good])
        worst = max((run["worst"] for run in good), default=nan)
        line["worst"] = "" if isnan(worst) else f"{worst:.3g} {weakest['unit']}".strip()
        lost = len(runs) - len(good)
        line["diverged"] = f"{lost} of {len(runs)}" if lost else ""
        return line


def audit(
    comparison: Comparison,
    *,
    constraints: Mapping[str, Constraint] | None = None,
    truth: Truth | None = None,
    nonsense: int | Tensor = 10_000,
    region: tuple[Any, Any] | None = None,
) -> Audit:
    """Find out what is sure of the networks of a comparison, and what was only seen.

    Where the set of a layer is a product of intervals and the way to the layer is a chain of
    modules that `output_bounds` follows, interval bounds try to prove that its value stays in the
    set: for every input, and if that fails for a box of inputs. What is proved is the function of
    real numbers; the network's own rounding may carry a value past an end by some units in the last
    place. Up to 32 of them count as kept in what is structural or certified. A weight is
    what it is for every input, so one that is found allowed is certified.

    Args:
        comparison: What `compare` found, with its task.
        constraints: Name of a layer or weight -> the set that it is audited against, instead of
            the task's. Another set than the one that the strategy holds is structural only if it is
            known to hold all of that (intervals in intervals, words in words).
        truth: What a layer that speaks should say on test data: inputs and targets -> one-hot words
            `(examples, length, symbols)`, or these words.
        nonsense: Inputs that no data would have, or how many to make: of whole numbers uniform ones
            from the range of the training inputs; of others normal noise of 10 times their spread,
            and some that are one number throughout, 0 among them.
        region: Smallest and largest inputs of the box for which bounds are sought, of a shape that
            broadcasts with one example; the box of the training inputs by default.

    Returns:
        The audit.

    Raises:
        ComparisonError: If there is nothing to audit, no task, or an argument does not fit; all
            problems at once.
        TaskError: If a constraint names nothing in the model.

    Example:
        >>> import shapekeeper as sk
        >>> from functools import partial
        >>> from torch.nn.functional import mse_loss
        >>> x = torch.linspace(-1, 1, 32)[:, None]
        >>> def net(seed):
        ...     return nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
        >>> task = sk.Task("line", model=net, data=sk.Data((x, 2 * x), (x, 2 * x)), loss=mse_loss,
        ...                metric=mse_loss, better="lower", metric_name="error",
        ...                constraints={"2": sk.Box(-1.0, 1.0)})
        >>> strategies = [sk.Unconstrained(), sk.Projection()]
        >>> found = sk.audit(sk.compare(task, strategies, seeds=2, steps=300))
        >>> table = found.summary()
        >>> table["holds for"].to_list()
        ['', 'every input, whatever the weights']
        >>> table["guarantee"].to_dict()
        {'Unconstrained': 'none', 'Projection': 'structural'}
        >>> table["in set: nonsense"]["Projection"], table.columns[2]
        ('1', 'in set: test')
    """
    constraints = constraints or {}
    notes: dict[str, None] = {}  # a set that keeps its order
    rows: list[dict[str, Any]] = []
    for label in comparison.strategies:
        models, final = comparison.models(label), comparison.final().loc[label]
        case = _Case.of(comparison, label, constraints)
        for seed, trained in zip(comparison.seeds, models, strict=True):
            model = case.bare(trained, seed)
            data = case.task.data_for(seed).to("cpu", _dtype(model))
            inputs, boxes = audit_inputs(data, nonsense), regions(data.train[0], region)
            diverged = bool(final.loc[seed, "diverged"])
            found = case.lost(inputs) if diverged else case.seen(model, data, inputs, truth)
            for name, row in found.items():
                proof = {} if diverged else case.proved(model, name, row, boxes, notes)
                first = {"strategy": label, "seed": seed, "bound": name, "diverged": diverged}
                rows.append({**first, **row, **proof})
    if not rows:
        raise ComparisonError(
            "Wanted something to audit, and the task binds nothing. Name a layer, e.g. "
            "audit(comparison, constraints={'encoder': Box(0, 1)})."
        )
    frame = pd.DataFrame(rows)
    shares = [c for kind in ("allowed", "raw") for c in frame if c.partition(":")[0] == kind]
    return Audit(frame.loc[:, [*_FIRST, *shares, *_LAST]], comparison.metric_name, list(notes))


_FIRST = ("strategy", "seed", "bound", "guarantee", "holds_for")
_SCORES = ("metric", "metric_filter_off", "distinct_words", "true_words")
_LAST = (*_SCORES, "worst", "unit", "margin", "checked", "diverged")


@dataclass(frozen=True)
class _Case:
    """What the networks of a strategy are audited for.

    Attributes:
        task: With the model that was trained last.
        strategy: That of the last stage.
        layers: Name of a layer -> the set that it is audited against.
        weights: The same of weights.
        held: Name of a weight -> the set that the strategy never lets it leave.
        filters: Name of a layer -> the set through which the strategy sends its value.
    """

    task: Task
    strategy: Strategy
    layers: dict[str, Constraint]
    weights: dict[str, Constraint]
    held: dict[str, Constraint]
    filters: dict[str, Constraint]

    @classmethod
    def of(cls, comparison: Comparison, label: str, constraints: Mapping[str, Constraint]) -> _Case:
        task = comparison.tasks.get(label, comparison.task)
        assert task is not None  # the comparison has made models of it
        stage = comparison.strategies[label].stages()[-1]
        task = replace(task, model=stage.model) if stage.model else task
        replace(task, constraints=constraints).check()
        model = task.start_model(comparison.seeds[0])
        modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
        audited = {**task.constraints, **constraints}
        held = task.constraints if stage.strategy.guarantee == "structural" else {}
        filters = task.constraints if stage.strategy.output_guarantee == "structural" else {}
        return cls(
            task,
            stage.strategy,
            layers={name: c for name, c in audited.items() if name in modules},
            weights={name: c for name, c in audited.items() if name in parameters},
            held={name: c for name, c in held.items() if name in parameters},
            filters={name: c for name, c in filters.items() if name in modules},
        )

    @property
    def bound(self) -> dict[str, Constraint]:
        """All that is audited."""
        return {**self.weights, **self.layers}

    def bare(self, trained: nn.Module, seed: int) -> nn.Module:
        """The trained network without the hooks that filter."""
        model = self.task.start_model(seed)
        pairs = zip(
            (*model.parameters(), *model.buffers()),
            (*trained.parameters(), *trained.buffers()),
            strict=True,
        )
        with torch.no_grad():
            for tensor, found in pairs:
                tensor.copy_(found)
        return model.eval()

    # -- what can be seen --------------------------------------------------------------------

    def lost(self, inputs: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
        """The rows of a diverged run, by name."""
        columns = [_column(kind, part) for kind in ("allowed", "raw") for part in inputs]
        row = dict.fromkeys([*columns, *_SCORES, "worst", "margin"], nan)
        row |= {"guarantee": "none", "holds_for": "", "checked": 0}
        return {name: {**row, "unit": c.unit} for name, c in self.bound.items()}

    @torch.no_grad()
    def seen(
        self, model: nn.Module, data: Data, inputs: Mapping[str, Tensor], truth: Truth | None
    ) -> dict[str, dict[str, Any]]:
        """The rows of one network before anything is proved, by name."""
        rows = self.lost(inputs)
        totals = {name: _Tally() for name in self.bound}
        for name, c in self.weights.items():
            totals[name] = _Tally.of(c, model.get_parameter(name))
            rows[name]["allowed"] = totals[name].share
        probe = _Probe(model, self)
        for part, x in inputs.items():
            passed = self._tallies(probe, x, filtered=True)
            raw = self._tallies(probe, x, filtered=False) if self.filters else passed
            for name in self.layers:
                rows[name][_column("allowed", part)] = passed[name].share
                rows[name][_column("raw", part)] = raw[name].share
                totals[name] += passed[name]
        scores = self._scores(probe, data, truth)
        for name, row in rows.items():
            rows[name] = row | totals[name].columns | scores[""] | scores.get(name, {})
        probe.leave()
        return rows

    def _tallies(self, probe: _Probe, x: Tensor, filtered: bool) -> dict[str, _Tally]:
        """How much of what the layers pass on is allowed."""
        tallies = {name: _Tally() for name in self.layers}
        for some in x.split(CHUNK):
            _, values = probe(some, filtered)
            for name, c in self.layers.items():
                for value in values[name]:
                    try:
                        c.check(tuple(value.shape))
                    except ConstraintError as error:
                        raise ComparisonError(f"{name!r} can't be audited so: {error}") from error
                    tallies[name] += _Tally.of(c, value)
        return tallies

    def _scores(
        self, probe: _Probe, data: Data, truth: Truth | None
    ) -> dict[str, dict[str, float]]:
        """The metric on test data, and by layer what its words are worth."""
        x, y = data.test
        prediction, values = probe(x, filtered=True)
        scores = {"": {"metric": float(self.task.metric(prediction, y))}}
        if self.filters:
            prediction, _ = probe(x, filtered=False)
        scores[""]["metric_filter_off"] = float(self.task.metric(prediction, y))
        speaking = [name for name, c in self.layers.items() if isinstance(c, Grammar)]
        if truth is not None and len(speaking) != 1:
            raise ComparisonError(
                "Wanted one layer that is audited against a Grammar, whose words the truth tells; "
                f"got {speaking or 'none'}."
            )
        told = truth if isinstance(truth, Tensor) or truth is None else truth(x, y)
        for name in speaking:
            if (said := spoken(values[name], len(x))) is not None:
                scores[name] = words_worth(name, said, x, told)
        return scores

    # -- what can be proved ------------------------------------------------------------------

    def proved(
        self,
        model: nn.Module,
        name: str,
        row: dict[str, Any],
        boxes: Mapping[str, Box],
        notes: dict[str, None],
    ) -> dict[str, Any]:
        """Guarantee, for which inputs it holds, and the margin of the proof."""
        c, dtype = self.bound[name], _dtype(model)
        rounding = max(c.tolerance(dtype), Constraint.tolerance(c, dtype))
        kept = row["worst"] <= rounding  # NaN is not
        found, where, margin = "none", "", nan
        if name in self.weights and kept:
            steady = name in self.held and lies_within(self.held[name], c)
            found, where = "structural" if steady else "certified", EVERY_INPUT
        elif name in self.filters and kept and lies_within(self.filters[name], c):
            found, where = "structural", f"{EVERY_INPUT}, whatever the weights"
        elif name in self.layers:
            shares = [share for key, share in row.items() if key.partition(":")[0] == "allowed"]
            if all(share == 1 for share in shares):
                found, where = "empirical", f"the {row['checked']:,} values checked"
            for region, box in boxes.items():
                if found == "certified" or not c.separable:
                    break
                try:
                    margin = self._margin(model, name, box)
                except BoundsError as error:
                    notes[f"{name!r}: {error}"] = None
                    break
                if margin >= -rounding and (kept or region != EVERY_INPUT):
                    found, where = "certified", region
        return {"guarantee": found, "holds_for": where, "margin": margin}

    def _margin(self, model: nn.Module, name: str, box: Box) -> float:
        """How far inside its set the value of a layer stays for all inputs of a box."""
        path = layer_path(model, name)
        on_the_way = set(path.modules())
        if between := [n for n in self.filters if model.get_submodule(n) in on_the_way]:
            raise BoundsError(f"Bounds don't go through what filters the value of {between[0]!r}.")
        low, high = output_bounds(path, *box, exact=True)
        least, most = (torch.as_tensor(end).to(low) for end in self.layers[name].ends())
        # An end at infinity keeps everything in; infinity minus infinity would be NaN.
        above = torch.where(least.isinf(), inf, low - least)
        below = torch.where(most.isinf(), inf, most - high)
        return torch.minimum(above.min(), below.min()).item()  # NaN where one is


class _Probe:
    """A network that tells what its layers pass on, with the filters of a strategy or without."""

    def __init__(self, model: nn.Module, case: _Case) -> None:
        self.model, self.case, self.filtered = model, case, True
        self.values: dict[str, list[Tensor]] = {}
        names = {**case.layers, **case.filters}
        self.handles = [
            model.get_submodule(name).register_forward_hook(self._hook(name)) for name in names
        ]

    @torch.no_grad()
    def __call__(self, x: Tensor, filtered: bool) -> tuple[Tensor, dict[str, list[Tensor]]]:
        """The prediction, and each layer's values, one for each time that it was called."""
        self.filtered = filtered
        self.values = {name: [] for name in self.case.layers}
        prediction = self.model(x)
        if unused := [name for name, values in self.values.items() if not values]:
            raise ComparisonError(f"Wanted layers that the network calls, got {unused}.")
        return prediction, self.values

    def leave(self) -> None:
        """Take the hooks out."""
        for handle in self.handles:
            handle.remove()

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], Tensor]:
        def pass_on(module: nn.Module, args: Any, value: Any) -> Tensor:
            if not isinstance(value, Tensor):
                raise ComparisonError(
                    f"The output of {name!r} is a {type(value).__name__}, and a set is of tensors. "
                    "Name a submodule that returns one."
                )
            if self.filtered and name in self.case.filters:
                value = self.case.strategy.output(self.case.filters[name], value)
            if name in self.values:
                self.values[name].append(value.clone())  # what follows may write to it
            return value

        return pass_on


@dataclass(frozen=True)
class _Tally:
    """How many values were checked and allowed, and the worst violation; NaN is the worst."""

    count: int = 0
    allowed: int = 0
    worst: float = 0.0

    @classmethod
    def of(cls, c: Constraint, value: Tensor) -> _Tally:
        allowed, worst = c.allows(value), c.violation(value).max().item()
        return cls(allowed.numel(), int(allowed.sum()), worst)

    def __add__(self, other: _Tally) -> _Tally:
        worst = nan if isnan(self.worst + other.worst) else max(self.worst, other.worst)
        return _Tally(self.count + other.count, self.allowed + other.allowed, worst)

    @property
    def share(self) -> float:
        return self.allowed / self.count

    @property
    def columns(self) -> dict[str, Any]:
        return {"worst": self.worst, "checked": self.count}


def _dtype(model: nn.Module) -> torch.dtype:
    """What the model computes in."""
    numbers = (*model.parameters(), *model.buffers())
    return next((t.dtype for t in numbers if t.is_floating_point()), torch.get_default_dtype())


# -- texts ---------------------------------------------------------------------------------------


def _column(kind: str, part: str) -> str:
    """As the columns of a comparison are called: the test part is understood."""
    return kind if part == "test" else f"{kind}:{part}"


def _share(shares: list[float]) -> str:
    """Mean ± spread of shares; what is not all or nothing is not shown as 1 or 0."""
    known = pd.Series(shares, dtype=float).dropna().to_numpy()
    if not len(known):
        return ""
    if (known == known[0]).all() and known[0] in (0, 1):
        return f"{known[0]:.0f}"
    mean = known.mean()
    text = "<0.001" if mean < 0.0005 else ">0.999" if mean >= 0.9995 else f"{mean:.3f}"
    return f"{text} ± {known.std(ddof=1):.3f}" if len(known) > 1 else text


def _number(numbers: list[float]) -> str:
    """Mean ± spread."""
    known = pd.Series(numbers, dtype=float).dropna().to_numpy()
    if not len(known):
        return ""
    spread = f" ± {known.std(ddof=1):.2g}" if len(known) > 1 else ""
    return f"{known.mean():.3g}{spread}"
