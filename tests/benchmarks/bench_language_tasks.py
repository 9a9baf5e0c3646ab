"""Layers that speak a grammar, few words for evolution, and nodes in a range: all strategies.

Run as `python tests/benchmarks/bench_language_tasks.py --folder runs/language`, which takes about
40 minutes on one quiet core; `--only "few words"` for one task, `--seeds 2` for a quick look. What
is trained is kept in the folder, and a second call goes on from there. `--csv` writes the table
that notebook 07 shows, `--markdown` prints it.
"""

import argparse
import datetime
import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from math import log2
from pathlib import Path
from time import perf_counter
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import shapekeeper as sk
from shapekeeper.tasks import (
    Translator,
    distinct_words,
    few_words,
    interlingua,
    ranges,
    short_translator,
    slot_information,
    translation,
    true_words,
)

STEPS = {"translation": 650, "few words": 1500, "range": 3000}
EVALUATIONS = 25_600
NONSENSE = 2000
COLUMNS = (
    "table row seed grammar labels bits train test pairs allowed nonsense raw true distinct "
    "information filter_off seconds evaluations made"
).split()
Trained = Callable[[], sk.Comparison]


# Translation ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One line of the table of the translation task."""

    task: sk.Task
    strategy: sk.Strategy
    grammar: str = ""
    labels: float = 0.0


def staged(*parts: tuple[float, float], labels: float) -> Row:
    """The encoder alone first, then the whole network: shares, and rates of the encoder."""
    first = sk.Stage(0.4, sk.Unconstrained(), model=short_translator)
    others = [sk.Stage(share, sk.Reparametrization(), rate=rate) for share, rate in parts]
    return Row(translation("tight", labels=labels), sk.Staged(first, *others), "tight", labels)


def without_norm(task: sk.Task) -> sk.Task:
    def make(seed: int) -> nn.Module:
        model = Translator()
        model.encoder.norm = nn.Identity()
        return model

    return replace(task, model=make)


def translations() -> dict[str, Row]:
    medium, held = translation("medium"), sk.Reparametrization()
    rows = {
        "free vector": Row(translation(None, words=False), sk.Unconstrained()),
        "free word": Row(medium, sk.Unconstrained(), "all"),
    }
    for strength in (0.01, 0.03, 0.1, 0.3, 1.0):
        rows[f"penalty {strength:g}"] = Row(medium, sk.Penalty(strength), "medium")
    rows["projection, medium"] = Row(medium, sk.Projection(), "medium")
    rows["projection, loose"] = Row(translation("loose"), sk.Projection(), "loose")
    rows["projection, tight"] = Row(translation("tight"), sk.Projection(), "tight")
    for kind in ("tight", "medium", "loose"):
        rows[f"conditioned, {kind}"] = Row(translation(kind), held, kind)
    rows["conditioned, loose, no normalization"] = Row(
        without_norm(translation("loose")), held, "loose"
    )
    rows["free word, 5 % labels"] = Row(
        translation("tight", labels=0.05), sk.Unconstrained(), "all", 0.05
    )
    rows["conditioned, tight, 5 % labels"] = Row(
        translation("tight", labels=0.05), held, "tight", 0.05
    )
    rows["staged 5 %, frozen, then rate 0.1"] = staged((0.4, 0.0), (0.2, 0.1), labels=0.05)
    rows["staged 100 %, rate 0.1 at once"] = staged((0.6, 0.1), labels=1.0)
    rows["staged 100 %, frozen"] = staged((0.6, 0.0), labels=1.0)
    rows["staged 100 %, frozen, then rate 0.1"] = staged((0.4, 0.0), (0.2, 0.1), labels=1.0)
    return rows


def nonsense_sentences() -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randint(1, 32, (NONSENSE, 11), generator=draw)


@torch.no_grad()
def audit_translation(name: str, row: Row, found: sk.Comparison) -> Iterator[dict]:
    against = interlingua("medium" if row.grammar in ("", "all") else row.grammar)
    if row.grammar == "all" and row.labels:
        against = interlingua("tight")
    label = next(iter(found.strategies))
    last = found.frame[found.frame["step"] == found.steps]
    data = row.task.data_for(0)
    for seed, model in zip(found.seeds, found.models(label), strict=True):
        model.eval()
        heard = said(model, data.test[0])
        raw = said(unfiltered(model), data.test[0], module="encoder")
        right = last[last["seed"] == seed].iloc[0]
        off = right_sentences(unfiltered(model), data.test)
        speaks = row.grammar != ""
        yield {
            "table": "translation",
            "row": name,
            "seed": seed,
            "grammar": row.grammar or "none",
            "labels": row.labels,
            "bits": bits(row),
            "train": right["metric:validation"],
            "test": right["metric"],
            "pairs": right["metric:pairs"],
            "allowed": share(against, heard),
            "nonsense": share(against, said(model, nonsense_sentences())),
            "raw": share(against, raw, read=True),
            "true": true_words(heard, data.test[1]) if speaks else float("nan"),
            "distinct": distinct_words(heard, data.test[1]),
            "information": slot_information(heard, data.test[1]),
            "filter_off": off,
            "seconds": right["seconds"] / len(found.seeds),
            "evaluations": right["evaluations"],
        }


def bits(row: Row) -> float:
    if not row.grammar:
        return float("nan")
    return interlingua(row.grammar).bits - log2(interlingua("tight").count)


def said(model: nn.Module, x: Tensor, module: str = "speaker") -> Tensor:
    heard = []
    hook = model.get_submodule(module).register_forward_hook(lambda *call: heard.append(call[2]))
    model(x)
    hook.remove()
    return heard[0]


def unfiltered(model: nn.Module) -> nn.Module:
    bare = deepcopy(model)
    bare.encoder._forward_hooks.clear()
    return bare


def share(grammar: sk.Grammar, values: Tensor, read: bool = False) -> float:
    """Share of values that are exactly a word of the grammar, or, read, whose best symbols are."""
    word = F.one_hot(values.argmax(-1), values.shape[-1]).to(values.dtype)
    exact = torch.ones(len(values), dtype=torch.bool) if read else (word == values).all(-1).all(-1)
    return (exact & grammar.allows(word)).double().mean().item()


def right_sentences(model: nn.Module, part: tuple[Tensor, Tensor]) -> float:
    prediction = model(part[0]).argmax(-1)
    return (prediction == part[1][:, :6]).all(-1).double().mean().item()


# Few words -----------------------------------------------------------------------------------


def from_an_allowed_word(task: sk.Task) -> sk.Task:
    """The same, beginning with networks that say one allowed word whatever they hear."""
    word = task.constraints["encoder"].encode([task.constraints["encoder"].examples(1)[0]])[0]

    def make(seed: int) -> nn.Module:
        model = task.model(seed)
        with torch.no_grad():
            model.get_parameter("encoder.2.bias").copy_(4 * word.flatten())
        return model

    return replace(task, model=make)


def few_words_rows() -> dict[str, tuple[sk.Task, sk.Strategy]]:
    task = few_words()
    anything = replace(task, constraints={})
    constant = from_an_allowed_word(task)
    evolution = sk.RejectionEvolution(EVALUATIONS)
    return {
        "gradient, free word": (task, sk.Unconstrained()),
        "gradient, penalty 0.1": (task, sk.Penalty(0.1)),
        "gradient, penalty 1": (task, sk.Penalty(1.0)),
        "gradient, projection": (task, sk.Projection()),
        "gradient, conditioned": (task, sk.Reparametrization()),
        "evolution, free word": (anything, evolution),
        "evolution, violators rejected": (task, evolution),
        "evolution, violators rejected, from an allowed word": (constant, evolution),
        "evolution, violators ranked last": (task, replace(evolution, violators="ranked")),
        "evolution, projection inside": (task, replace(evolution, inside=sk.Projection())),
    }


@torch.no_grad()
def audit_few_words(name: str, task: sk.Task, found: sk.Comparison) -> Iterator[dict]:
    grammar = few_words().constraints["encoder"]
    label = next(iter(found.strategies))
    last = found.frame[found.frame["step"] == found.steps]
    draw = torch.Generator().manual_seed(1)
    noise = torch.randn(NONSENSE, 12, generator=draw)
    for seed, model in zip(found.seeds, found.models(label), strict=True):
        x, y = task.data_for(seed).test
        right = last[last["seed"] == seed].iloc[0]
        bare = unfiltered(model)
        heard = said(model, x)
        yield {
            "table": "few words",
            "row": name,
            "seed": seed,
            "grammar": "twenty words",
            "bits": 0.0,
            "test": right["metric"],
            "allowed": share(grammar, heard),
            "nonsense": share(grammar, said(model, noise)),
            "raw": share(grammar, said(bare, x, module="encoder"), read=True),
            "distinct": len({tuple(w) for w in heard.argmax(-1).tolist()}) / 20,
            "filter_off": (bare(x).argmax(-1) == y).double().mean().item(),
            "seconds": right["seconds"] / len(found.seeds),
            "evaluations": right["evaluations"],
        }


def undone_steps(seeds: int, steps: int) -> Iterator[dict]:
    """Adam whose steps are undone where a word of the 40 sentences leaves the language."""
    task = from_an_allowed_word(few_words())
    grammar = task.constraints["encoder"]
    for seed in range(seeds):
        x, y = task.data_for(seed).train
        model, undone, started = task.start_model(seed), 0, perf_counter()
        optimizer = task.optimizer(list(model.parameters()))
        for _ in range(steps):
            before = deepcopy((model.state_dict(), optimizer.state_dict()))
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            if not grammar.allows(model.encoder(x)).all():
                model.load_state_dict(before[0])
                optimizer.load_state_dict(before[1])
                undone += 1
        heard = said(model, x)
        yield {
            "table": "few words",
            "row": "gradient, violating steps undone",
            "seed": seed,
            "grammar": "twenty words",
            "bits": 0.0,
            "test": (model(x).argmax(-1) == y).double().mean().item(),
            "allowed": share(grammar, heard),
            "raw": share(grammar, model.encoder(x), read=True),
            "distinct": len({tuple(w) for w in heard.argmax(-1).tolist()}) / 20,
            "undone": undone / steps,
            "seconds": perf_counter() - started,
            "evaluations": steps,
        }


# Nodes in a range ----------------------------------------------------------------------------


@dataclass(frozen=True)
class HardClamp(sk.Strategy):
    """The clamp with its own derivative, which is 0 outside."""

    output_guarantee: ClassVar[str] = "structural"

    def output(self, c: sk.Constraint, value: Tensor) -> Tensor:
        return value.clamp(c.low, c.high)


@dataclass(frozen=True)
class StraightClamp(sk.Strategy):
    """The clamp with the derivative of the identity."""

    output_guarantee: ClassVar[str] = "structural"

    def output(self, c: sk.Constraint, value: Tensor) -> Tensor:
        return value + (value.clamp(c.low, c.high) - value).detach()


class BoundedLinear(nn.Linear):
    """A linear layer whose values stay between 0 and 1 for all inputs from -1 to 1."""

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.sigmoid(self.bias)
        room = torch.minimum(bias, 1 - bias)
        size = self.weight.abs().sum(1)
        return F.linear(x, self.weight * (room / size.clamp(min=1e-9)).clamp(max=1)[:, None], bias)


def with_bounded_weights(task: sk.Task) -> sk.Task:
    def make(seed: int) -> nn.Module:
        model = task.model(seed)
        model.nodes[2] = BoundedLinear(24, 8)
        return model

    return replace(task, model=make)


def range_rows() -> dict[str, tuple[sk.Task, sk.Strategy]]:
    task, outside = ranges(), ranges(shift=2.0)
    return {
        "free": (task, sk.Unconstrained()),
        "penalty 1": (task, sk.Penalty(1.0)),
        "penalty 100": (task, sk.Penalty(100.0)),
        "learned price": (task, sk.AugmentedLagrangian()),
        "hard clamp": (task, HardClamp()),
        "hard clamp, started outside": (outside, HardClamp()),
        "straight-through clamp": (task, StraightClamp()),
        "projection": (task, sk.Projection()),
        "projection, started outside": (outside, sk.Projection()),
        "reparametrization": (task, sk.Reparametrization()),
        "bounded weights": (with_bounded_weights(task), sk.Unconstrained()),
        "evolution, violators rejected": (task, sk.RejectionEvolution(EVALUATIONS)),
        "evolution, projection inside": (
            task,
            sk.RejectionEvolution(EVALUATIONS, inside=sk.Projection()),
        ),
    }


def log_barrier(seeds: int, steps: int, strength: float = 0.01) -> Iterator[dict]:
    """Adam on the loss minus logarithms of the room left; it begins inside of the range.

    A batch on which a node is out of the range has no logarithm: the step before it is undone.
    """
    task = ranges()
    for seed in range(seeds):
        data, model = task.data_for(seed), task.start_model(seed)
        with torch.no_grad():
            model.nodes[2].weight.mul_(0.1)
            model.nodes[2].bias.fill_(0.5)
        optimizer, undone, started = task.optimizer(list(model.parameters())), 0, perf_counter()
        before = deepcopy((model.state_dict(), optimizer.state_dict()))
        draw = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            batch = torch.randint(len(data.train[0]), (task.batch_size,), generator=draw)
            x, y = (part[batch] for part in data.train)
            nodes = model.nodes(x)
            if ((nodes <= 0) | (nodes >= 1)).any():
                model.load_state_dict(before[0])
                optimizer.load_state_dict(before[1])
                undone += 1
                continue
            before = deepcopy((model.state_dict(), optimizer.state_dict()))
            room = (nodes.log() + (1 - nodes).log()).sum(1).mean()
            optimizer.zero_grad()
            (F.mse_loss(model.surface(nodes), y) - strength * room).backward()
            optimizer.step()
        with torch.no_grad():
            yield {
                "table": "range",
                "row": f"log barrier {strength:g}",
                "seed": seed,
                "test": F.mse_loss(model(data.test[0]), data.test[1]).item(),
                "allowed": in_range(model.nodes(data.test[0])),
                "nonsense": in_range(model.nodes(data.shifted["far"][0])),
                "raw": in_range(model.nodes(data.test[0])),
                "distinct": (model.nodes(data.train[0]).std(0) > 1e-6).double().mean().item(),
                "filter_off": F.mse_loss(model(data.test[0]), data.test[1]).item(),
                "undone": undone / steps,
                "seconds": perf_counter() - started,
                "evaluations": steps,
            }


@torch.no_grad()
def audit_range(name: str, task: sk.Task, found: sk.Comparison) -> Iterator[dict]:
    label = next(iter(found.strategies))
    last = found.frame[found.frame["step"] == found.steps]
    for seed, model in zip(found.seeds, found.models(label), strict=True):
        data = task.data_for(seed)
        right = last[last["seed"] == seed].iloc[0]
        bare = deepcopy(model)
        bare.nodes._forward_hooks.clear()
        near, far = (in_range(model.nodes(part[0])) for part in (data.test, data.shifted["far"]))
        values = model.nodes(data.train[0])
        yield {
            "table": "range",
            "row": name,
            "seed": seed,
            "test": right["metric"],
            "allowed": near,
            "nonsense": far,
            "raw": in_range(bare.nodes(data.test[0])),
            "distinct": (values.std(0) > 1e-6).double().mean().item(),
            "filter_off": F.mse_loss(bare(data.test[0]), data.test[1]).item(),
            "seconds": right["seconds"] / len(found.seeds),
            "evaluations": right["evaluations"],
        }


def in_range(values: Tensor) -> float:
    return ((values >= 0) & (values <= 1)).double().mean().item()


# The table -----------------------------------------------------------------------------------


def kept(folder: Path, name: str, task: sk.Task, train: Trained) -> sk.Comparison:
    """The comparison as it was trained before, else trained now."""
    place = folder / "".join(c if c.isalnum() else "-" for c in name)
    if not place.exists():
        train().save(place)
    return sk.Comparison.load(place, task=task)


def table(folder: Path, seeds: int, only: str | None) -> pd.DataFrame:
    rows: list[dict] = []
    if only in (None, "translation"):
        for name, row in translations().items():
            found = kept(folder, name, row.task, trained(row.task, row.strategy, seeds))
            rows += audit_translation(name, row, found)
            print(name, f"{rows[-1]['test']:.3f}", flush=True)
    for kind, lines, audit in (
        ("few words", few_words_rows, audit_few_words),
        ("range", range_rows, audit_range),
    ):
        if only not in (None, kind):
            continue
        for name, (task, strategy) in lines().items():
            found = kept(folder, f"{kind} {name}", task, trained(task, strategy, seeds, kind))
            rows += audit(name, task, found)
            print(name, f"{rows[-1]['test']:.3f}", flush=True)
        if kind == "few words":
            rows += undone_steps(seeds, STEPS[kind])
        else:
            for strength in (0.0001, 0.001, 0.01):
                rows += log_barrier(seeds, STEPS[kind], strength)
    found = pd.DataFrame(rows)
    found["made"] = f"{datetime.date.today()}, {seeds} seeds, bench_language_tasks.py"
    return found.reindex(columns=[*COLUMNS, *(c for c in found.columns if c not in COLUMNS)])


def trained(task: sk.Task, strategy: sk.Strategy, seeds: int, kind: str = "translation") -> Trained:
    return lambda: sk.compare(task, [strategy], seeds=seeds, steps=STEPS[kind])


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """Mean ± standard deviation over the seeds."""
    numbers = [c for c in found.columns if c not in ("table", "row", "seed", "grammar", "made")]
    grouped = found.groupby(["table", "row"], sort=False)[numbers]
    mean, spread = grouped.mean(), grouped.std()
    text = mean.copy().astype(object)
    for column in numbers:
        digits = 4 if column == "test" and (mean[column] < 0.2).any() else 2
        text[column] = [
            "" if pd.isna(m) else f"{m:.{digits}f} ± {s:.{digits}f}"
            for m, s in zip(mean[column], spread[column].fillna(0), strict=True)
        ]
    return text


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=Path("runs/language"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=[*STEPS])
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--markdown", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    result = table(asked.folder, asked.seeds, asked.only)
    if asked.csv:
        result.to_csv(asked.csv, index=False, float_format="%.6g")
    print(shown(result).to_markdown() if asked.markdown else shown(result).to_string())
