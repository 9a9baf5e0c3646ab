"""What a comparison view is to train, as it is typed: strategies, seeds, steps, device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

import torch

from shapekeeper.compare import ComparisonError, misfit
from shapekeeper.networks import RegionNetwork
from shapekeeper.regions.parts import literal
from shapekeeper.strategies import Stage, Staged, Strategy, StrategyError
from shapekeeper.tasks import Task
from shapekeeper.widgets import comparison_words as words
from shapekeeper.widgets.comparison_kinds import (
    KINDS,
    PARTS,
    Kind,
    kind_of,
    look,
    number_text,
    spaced,
)

__all__ = ["Entry", "Setup", "call"]

TICKED = ("Unconstrained", "Penalty", "Projection")  # beforehand
Given = Iterable[Strategy] | Mapping[str, Strategy] | None


@dataclass
class Entry:
    """One strategy of the list.

    Attributes:
        id: What the browser calls it.
        name: Name of the strategy's class.
        kind: How it is offered.
        texts: Setting -> what its field holds.
        ticked: Whether it is to be trained.
        copy: Whether it may be removed.
        label: A name of its own, if it was given one.
        fixed: The strategy itself, if its settings can't be typed.
        unfit: Why it can't train the task.
    """

    id: str
    name: str
    kind: Kind
    texts: dict[str, str] = field(default_factory=dict)
    ticked: bool = False
    copy: bool = False
    label: str = ""
    fixed: Strategy | None = None
    unfit: str = ""

    def values(self) -> tuple[dict[str, Any], dict[str, str]]:
        """What the fields say, and what is wrong with them, by the name of the setting."""
        found, problems = {}, {}
        for setting in self.kind.settings:
            try:
                read = setting.read(self.texts[setting.name])
            except ValueError as error:
                problems[setting.name] = str(error)
            else:
                found[setting.name] = read[0] if len(read) == 1 else read
        return found, problems

    def problems(self) -> dict[str, str]:
        """What is wrong, by the name of the setting."""
        if self.fixed is not None:
            return {}
        values, problems = self.values()
        if problems:
            return problems
        usual = {s.name: s.read(s.text) for s in self.kind.settings}
        usual = {name: read[0] if len(read) == 1 else read for name, read in usual.items()}
        changed = [name for name in values if values[name] != usual[name]]
        # each by itself first, so that the words stand under the right field
        for tried in [*([name] for name in changed), changed]:
            try:
                self.kind.make(**usual | {name: values[name] for name in tried})
            except StrategyError as error:
                return {tried[-1]: str(error)}
        return {}

    def strategies(self) -> list[Strategy]:
        """What would be trained, sweeps as they are; nothing while there are problems."""
        if self.fixed is not None:
            return [self.fixed]
        if self.problems():
            return []
        made = self.kind.make(**self.values()[0])
        return made if isinstance(made, list) else [made]

    def runs(self, setting: str) -> int:
        """How many values a setting has."""
        value = self.values()[0].get(setting)
        return len(value) if isinstance(value, list) else 1

    def wording(self) -> str:
        """Settings in short, for the list."""
        if self.fixed is not None:
            return self.fixed.label.removeprefix(self.name).strip()
        if self.name == "Staged":
            return f"{self.texts['first']} → {self.texts['then']}"
        told = []
        for setting in self.kind.settings:
            text, name = self.texts[setting.name], setting.name.replace("_", " ")
            if name == "strength":
                told.append(text)
            elif text != setting.text:
                told.append(text if setting.choices else f"{name} {text}")
        return ", ".join(told)


class Setup:
    """The strategies to choose from, and how they are trained.

    Args:
        task: What is trained, or None.
        strategies: What is ticked beforehand; None: the yardstick, one that asks, one that holds.
        seeds: How many runs, or which seeds.
        steps: Of each run.
        device: Where.

    Raises:
        TaskError: If the task can't be trained.
        ComparisonError: If something is no strategy, or the device is not there.

    Example:
        >>> import shapekeeper as sk
        >>> setup = Setup(sk.tasks.pencil(), None, 5, 500, "auto")
        >>> list(setup.labelled())
        ['Unconstrained', 'Penalty 0.1', 'Penalty 1', 'Penalty 10', 'Projection']
        >>> setup.set("penalty", "strength", "2, -1")
        >>> setup.problems()
        ['Penalty, strength: Wanted a finite strength from 0 up, got -1.0.']
    """

    def __init__(self, task: Task | None, strategies: Given, seeds: Any, steps: int, device: Any):
        self.task = task
        self._outputs_alone = self._weights_alone = False
        self.title = ""
        if task is not None:
            weights, outputs = task.check()
            self._outputs_alone, self._weights_alone = not weights, not outputs
            model = task.start_model(0)
            regions = len(model.graph.regions) if isinstance(model, RegionNetwork) else 0
            self.title = f"{task.name} on {regions} regions" if regions else task.name
        self.choices = _devices()
        self.texts = {"seeds": _seeds_text(seeds), "steps": str(steps), "device": str(device)}
        self.entries = self._offered(strategies)

    # The list

    def _offered(self, strategies: Given) -> list[Entry]:
        """What was given first, in its order; then the other strategies that there are."""
        given = strategies if isinstance(strategies, Mapping) else dict(enumerate(strategies or ()))
        entries: list[Entry] = []
        for label, strategy in given.items():
            if not isinstance(strategy, Strategy):
                raise ComparisonError(f"Wanted strategies, e.g. Projection(), got {strategy!r}.")
            entry = _entry(strategy)
            entry.label = label if isinstance(label, str) else ""
            entry.copy = any(other.name == entry.name for other in entries)
            self._place(entries, entry, len(entries))
        for name in KINDS:
            if not any(entry.name == name for entry in entries):
                kind = KINDS[name]
                texts = {setting.name: setting.text for setting in kind.settings}
                self._place(entries, Entry("", name, kind, texts), len(entries))
        for entry in entries:
            self._fit(entry)
            wanted = bool(given) or entry.name in TICKED
            entry.ticked = (
                wanted and not entry.unfit and (not given or entry in entries[: len(given)])
            )
        return entries

    def _place(self, entries: list[Entry], entry: Entry, index: int) -> None:
        """Put an entry into the list, under an id of its own."""
        base = spaced(entry.name).lower().replace(" ", "-")
        taken = {other.id for other in entries}
        numbers = (f"{base}-{i}" for i in range(2, len(taken) + 3))
        entry.id = base if base not in taken else next(n for n in numbers if n not in taken)
        entries.insert(index, entry)

    def _fit(self, entry: Entry) -> None:
        """Ask whether the task can be trained with the settings as they are."""
        strategies = entry.strategies()
        if self.task is not None and strategies:
            entry.unfit = misfit(self.task, strategies[0])
            entry.ticked &= not entry.unfit

    def entry(self, given: Any) -> Entry:
        """The entry with this id.

        Raises:
            ComparisonError: If there is none.
        """
        for entry in self.entries:
            if entry.id == given:
                return entry
        ids = [entry.id for entry in self.entries]
        close = get_close_matches(str(given), ids, n=1) or ids
        raise ComparisonError(f"Wanted a strategy of the list, e.g. {close[0]!r}, got {given!r}.")

    # What a person does

    def tick(self, id: str, on: bool) -> None:
        """Choose a strategy, or not.

        Raises:
            ComparisonError: If it doesn't fit the task.
        """
        entry = self.entry(id)
        if on and entry.unfit:
            raise ComparisonError(f"{spaced(entry.name)} doesn't fit this task: {entry.unfit}")
        entry.ticked = bool(on)

    def set(self, id: str, setting: str, text: str) -> None:
        """Type into a field of a strategy.

        Raises:
            ComparisonError: If it has no such setting.
        """
        entry = self.entry(id)
        if setting not in entry.texts:
            told = f"It has {', '.join(entry.texts)}." if entry.texts else "It has none."
            raise ComparisonError(
                f"Wanted a setting of {spaced(entry.name)}, got {setting!r}. {told}"
            )
        entry.texts[setting] = str(text).strip()
        self._fit(entry)

    def add(self, id: str) -> Entry:
        """A second copy of a strategy, with another setting.

        Raises:
            ComparisonError: If it has no settings, so that the second would be the same.
        """
        entry = self.entry(id)
        if entry.fixed is not None or not entry.texts:
            raise ComparisonError(
                f"{spaced(entry.name)} has no settings to change here; a second one would be the "
                "same."
            )
        first = entry.kind.settings[0]
        text = first.text if entry.problems() else first.other(entry.texts[first.name])
        copy = Entry("", entry.name, entry.kind, {**entry.texts, first.name: text}, copy=True)
        self._place(self.entries, copy, self.entries.index(entry) + 1)
        self._fit(copy)
        copy.ticked = not copy.unfit
        return copy

    def remove(self, id: str) -> Entry:
        """Take a second copy away.

        Raises:
            ComparisonError: If it is no copy.
        """
        entry = self.entry(id)
        if not entry.copy:
            raise ComparisonError(f"{spaced(entry.name)} stays in the list; untick it instead.")
        self.entries.remove(entry)
        return entry

    def field(self, name: str, text: str) -> None:
        """Type how many seeds, how many steps, or where.

        Raises:
            ComparisonError: If there is no such field.
        """
        if name not in self.texts:
            raise ComparisonError(f"Wanted one of {', '.join(self.texts)}, got {name!r}.")
        self.texts[name] = str(text).strip()

    # What it means

    @property
    def seeds(self) -> int | list[int]:
        """How many runs, or which."""
        text = self.texts["seeds"]
        return [int(part) for part in text.split(",") if part.strip()] if "," in text else int(text)

    @property
    def count(self) -> int:
        """How many seeds."""
        return self.seeds if isinstance(self.seeds, int) else len(self.seeds)

    @property
    def steps(self) -> int:
        """Steps of each run."""
        return int(self.texts["steps"])

    @property
    def device(self) -> str:
        """Where."""
        return self.texts["device"]

    @property
    def ticked(self) -> list[Entry]:
        """What is to be trained."""
        return [entry for entry in self.entries if entry.ticked]

    @property
    def evolves(self) -> bool:
        """Whether something is to be trained whose steps are no measure of time."""
        stages = [stage for one in self.labelled().values() for stage in one.stages()]
        return any(stage.strategy.evolves for stage in stages)

    def _named(self) -> list[tuple[str, Strategy]]:
        """Labels, or nothing where the usual one will do, and strategies with their sweeps."""
        found = [(entry.label, one) for entry in self.ticked for one in entry.strategies()]
        labels = [one.label for label, one in found if not label]
        return [(label or _by_share(one, labels), one) for label, one in found]

    def _all_labels(self) -> list[tuple[str, Strategy]]:
        return [pair for label, one in self._named() for pair in _swept(label, one)]

    def labelled(self) -> dict[str, Strategy]:
        """Label -> strategy without a sweep, in their order, as `compare` calls them."""
        return dict(self._all_labels())

    def call(self) -> str:
        """The strategies as Python."""
        named = self._named()
        if not any(label for label, _ in named):
            return _list("[", [call(one) for _, one in named], "]")
        pairs = [f"{literal(label)}: {call(one)}" for label, one in self._explicit(named)]
        return _list("{", pairs, "}")

    def _explicit(self, named: list[tuple[str, Strategy]]) -> list[tuple[str, Strategy]]:
        """One pair for each label; a sweep without a name is written out."""
        return [
            pair
            for label, one in named
            for pair in ([(label, one)] if label else [(v.label, v) for v in one.variants()])
        ]

    def problems(self) -> list[str]:
        """Everything that has to change before training can begin; the first is the worst."""
        if self.task is None:
            return [" ".join(words.NO_TASK)]
        found = [f"{name}: {text}" for name, text in self.field_problems().items() if text]
        for entry in self.ticked:
            told = spaced(entry.name)
            found += [f"{told}, {name}: {text}" for name, text in entry.problems().items()]
        if all(entry.unfit for entry in self.entries):
            found.append(words.nothing_fits(self.entries[0].unfit))
        elif not self.ticked:
            found.append(words.NOTHING_TICKED)
        labels = [label for label, _ in self._all_labels()]
        for label in dict.fromkeys(x for i, x in enumerate(labels) if x in labels[:i]):
            found.append(words.twice(label))
        return found

    def field_problems(self) -> dict[str, str]:
        """What is wrong with seeds, steps and device."""
        return {
            "seeds": _seeds_problem(self.texts["seeds"]),
            "steps": _whole_problem(self.texts["steps"]),
            "device": words.wanted_device(self.device, self.choices)
            if self.device not in self.choices
            else "",
        }

    # What is shown

    def shown(self) -> dict[str, Any]:
        """Everything for the browser."""
        task, problems = self.task, self.field_problems()
        own = {
            "seeds": {},
            "steps": {},
            "device": {"choices": self.choices, "here": self.here},
        }
        return {
            "task": self.title,
            "metric": task.metric_name if task else "",
            "better": task.better if task else "higher",
            "unit": self._unit(),
            "ticked": len(self.ticked),
            "total": len(self.entries),
            "runs": len(self._all_labels()),
            "ready": not self.problems(),
            "entries": [self._shown(entry) for entry in self.entries],
            "fields": {
                name: {"text": self.texts[name], "problem": problems[name], **more}
                for name, more in own.items()
            },
        }

    @property
    def here(self) -> str:
        """The device that is meant."""
        automatic = "cuda" if torch.cuda.is_available() else "cpu"
        return automatic if self.device == "auto" else self.device

    def _unit(self) -> str:
        bound = [*self.task.constraints.values()] if self.task else []
        return bound[0].unit if len(bound) == 1 else ""

    def _shown(self, entry: Entry) -> dict[str, Any]:
        problems, kind = entry.problems(), entry.kind
        return {
            "id": entry.id,
            "kind": entry.name,
            "name": entry.label or spaced(entry.name),
            "words": entry.wording(),
            "look": look(kind, self.always(entry)),
            "ticked": entry.ticked,
            "copy": entry.copy,
            "about": kind.about,
            "promise": self._promise(entry),
            "fits": words.fits(entry.unfit),
            "watch": kind.watch,
            "unfit": entry.unfit,
            "settings": [
                {
                    "name": setting.name,
                    "text": entry.texts[setting.name],
                    "hint": setting.hint,
                    "runs": entry.runs(setting.name),
                    "problem": problems.get(setting.name, ""),
                    "choices": list(setting.choices),
                }
                for setting in (kind.settings if entry.fixed is None else ())
            ],
        }

    def always(self, entry: Entry) -> bool:
        """Whether the shape holds at every step."""
        variants = [v for one in entry.strategies() for v in one.variants()]
        return bool(variants) and all(map(self.holds, variants))

    def holds(self, strategy: Strategy) -> bool:
        """Whether a strategy promises the shape at every step."""
        return all(self._promised(stage) for stage in strategy.stages())

    def _promised(self, stage: Stage) -> bool:
        return self._promises(stage) == {"structural"}

    def _promises(self, stage: Stage) -> set[str]:
        """What is promised of all that the task binds."""
        asked = set() if self._outputs_alone else {stage.strategy.guarantee}
        return asked | (set() if self._weights_alone else {stage.strategy.output_guarantee})

    def _promise(self, entry: Entry) -> str:
        variants = [v for one in entry.strategies() for v in one.variants()]
        metric = self.task.metric_name if self.task else "metric"
        ends = [self._promises(v.stages()[-1]) for v in variants]
        last = bool(ends) and all(promises == {"structural"} for promises in ends)
        checked = bool(ends) and not any("none" in promises for promises in ends)
        return words.promise(self.always(entry), last, checked, metric)


def _entry(strategy: Strategy) -> Entry:
    """An entry in which a strategy is typed, or the strategy itself stands."""
    name, kind = type(strategy).__name__, kind_of(strategy)
    texts = _typed(strategy, kind)
    if texts is not None:
        entry = Entry("", name, kind, texts)
        if entry.strategies() == [strategy]:
            return entry
    return Entry("", name, kind, fixed=strategy)


def _typed(strategy: Strategy, kind: Kind) -> dict[str, str] | None:
    """What fields would hold, as far as it can be typed."""
    if isinstance(strategy, Staged):
        names = {one: name for name, one in PARTS.items()}
        held = [names.get(part.strategy, "") for part in strategy.parts]
        if len(held) != 2 or not all(held):
            return None
        return {"share": number_text(strategy.parts[0].share), "first": held[0], "then": held[1]}
    values = {f.name: getattr(strategy, f.name) for f in fields(strategy)}
    if values.keys() != {setting.name for setting in kind.settings}:
        return None
    return {name: _text(value) for name, value in values.items()}


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    if value is None:
        return "none"
    if isinstance(value, Strategy):
        return value.label
    return number_text(value) if isinstance(value, int | float) else str(value)


def _swept(label: str, strategy: Strategy) -> list[tuple[str, Strategy]]:
    """Labels and strategies of a sweep, as `compare` calls them."""
    variants = strategy.variants()
    if not label:
        return [(one.label, one) for one in variants]
    if len(variants) == 1:
        return [(label, variants[0])]
    return [(label + one.label.removeprefix(type(one).__name__), one) for one in variants]


def _by_share(strategy: Strategy, labels: list[str]) -> str:
    """A name by the share of the first part, where the stages alone don't tell them apart."""
    if not isinstance(strategy, Staged) or labels.count(strategy.label) < 2:
        return ""
    share = f"{100 * strategy.parts[0].share:g} %"
    return strategy.label.replace("Staged", f"Staged {share}", 1)


# As Python


def call(strategy: Strategy) -> str:
    """The call that makes a strategy, after `import shapekeeper as sk`.

    Example:
        >>> from shapekeeper.strategies import Penalty
        >>> call(Penalty([0.1, 1.0], growth=1.01))
        'sk.Penalty([0.1, 1.0], growth=1.01)'
    """
    own = type(strategy).__module__ == Strategy.__module__
    name = f"{'sk.' if own else ''}{type(strategy).__name__}"
    if isinstance(strategy, Staged):
        return f"{name}({', '.join(map(_stage, strategy.parts))})"
    given = [
        (setting, getattr(strategy, setting.name))
        for setting in fields(strategy)
        if getattr(strategy, setting.name) != setting.default
    ]
    first = fields(strategy)[0].name if given else ""
    told = [
        f"{'' if setting.name == first else f'{setting.name}='}{_literal(value)}"
        for setting, value in given
    ]
    return f"{name}({', '.join(told)})"


def _stage(stage: Stage) -> str:
    told = [literal(stage.share), call(stage.strategy)]
    told += ["model=..."] if stage.model else []
    told += [f"rate={stage.rate!r}"] if stage.rate != 1 else []
    return f"sk.Stage({', '.join(told)})"


def _literal(value: Any) -> str:
    if isinstance(value, Strategy):
        return call(value)
    return repr(list(value)) if isinstance(value, tuple) else literal(value)


def _list(left: str, parts: list[str], right: str) -> str:
    """Parts in one line, or each in a line of its own."""
    line = f"{left}{', '.join(parts)}{right}"
    if len(line) <= 60 and "\n" not in line:
        return line
    return f"{left}\n" + "".join(f"    {part},\n" for part in parts) + right


# Fields


def _devices() -> list[str]:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    several = [f"cuda:{i}" for i in range(count) if count > 1]
    return ["auto", "cpu", *(["cuda"] if count else []), *several]


def _seeds_text(seeds: Any) -> str:
    if isinstance(seeds, int | str):
        return str(seeds)
    numbers = [str(int(seed)) for seed in seeds]
    return ", ".join(numbers) + ("," if len(numbers) == 1 else "")


def _seeds_problem(text: str) -> str:
    if "," not in text:
        return _whole_problem(text)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    good = parts and all(part.isdecimal() for part in parts) and len(set(parts)) == len(parts)
    return "" if good else words.wanted_seeds(text)


def _whole_problem(text: str) -> str:
    return "" if text.isdecimal() and int(text) > 0 else words.wanted_whole(text)
