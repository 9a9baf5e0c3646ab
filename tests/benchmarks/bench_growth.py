"""Networks that find their own size: what they find, what it is worth, and what edits change.

Run as `python tests/benchmarks/bench_growth.py --csv growth.csv`; `--only "levels"` for one table,
`--seeds 2` for a quick look. All seeds of a row train at once; the whole takes about two hours on
one quiet core. Lines are appended as they are made, and rows that the file has are not made again.
`--csv toolkit/shapekeeper/course/growth.csv` writes the table that notebook 06 shows, `--markdown`
prints medians and quartiles.
"""

import argparse
import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import pandas as pd
import torch
from scipy.stats import spearmanr

import shapekeeper as sk
from shapekeeper.growth import READOUT_MULTIPLIERS, Growth, GrowthRule, grow

# Births five times as likely as the author's: 16 texts are read at once here, where he reads one,
# in as many times fewer steps.
RULE = GrowthRule(add=0.05)
EASY, HARD, LONG = 2500, 4500, 3500
UNITS = 64
SHOWN = (
    "table row seed step turn nodes useful metric node_steps waited births deaths "
    "largest_birth largest_death mean_death made"
).split()
AREAS = ("left", "right", "spare")


@dataclass(frozen=True)
class Row:
    """One line of a table: what is grown, and how.

    Attributes:
        tasks: One after the other.
        steps: Of each.
        rule: How nodes come and go.
        start: Nodes at the start.
        prices: Area -> factor on its tax.
    """

    tasks: tuple[sk.Task, ...]
    steps: tuple[int, ...]
    rule: GrowthRule = RULE
    start: int = 1
    prices: dict[str, float] | None = None


def level(n: int, units: int = UNITS) -> sk.Task:
    """The text with groups of so many letters."""
    return sk.tasks.sequences(n, units=units)


def fixed(size: int, rule: GrowthRule = RULE) -> Row:
    """The same tax on a network that stays as large as it is."""
    return Row((level(4, size),), (HARD,), rule.fixed(), size)


def areas(spare: bool) -> sk.RegionGraph:
    """Two areas that read and write a text each, and perhaps one that could help both."""
    sizes = (40, 64) if not spare else (40, 56)
    regions = [
        sk.Region(name, size, input=4, output=True)
        for name, size in zip(AREAS[:2], sizes, strict=True)
    ]
    if not spare:
        return sk.RegionGraph(regions)
    ways = [(a, b) for a in AREAS for b in AREAS if a != b and "spare" in (a, b)]
    return sk.RegionGraph(
        [*regions, sk.Region("spare", 24)], [sk.Pathway(source, target) for source, target in ways]
    )


def both(price: float | None) -> Row:
    """Two texts at once; a spare area where it has a price.

    The tax is three times as high: under the usual one all rooms fill up.
    """
    task = sk.tasks.two_texts(0, 4, graph=areas(price is not None))
    prices = None if price is None else {"spare": price}
    return Row((task,), (HARD,), replace(RULE, penalty=3e-4), prices=prices)


TABLES: dict[str, dict[str, Callable[[], Row]]] = {
    "levels": {
        "easy": lambda: Row((level(0),), (HARD,)),
        **{f"groups of {n}": lambda n=n: Row((level(n),), (HARD,)) for n in (2, 3, 4, 5)},
    },
    # Under three times the tax the number settles where the task is learned.
    "taxed levels": {
        name: lambda n=n: Row((level(n),), (HARD,), replace(RULE, penalty=3e-4))
        for n, name in [(0, "easy"), *((n, f"groups of {n}") for n in (3, 4, 5, 6))]
    },
    "sizes": {
        "fixed 8": lambda: fixed(8),
        "fixed 16": lambda: fixed(16),
        "fixed 24": lambda: fixed(24),
        "fixed 43": lambda: fixed(43),  # what the grown ones end with
        "fixed 60": lambda: fixed(60),
        "fixed 24, no tax": lambda: fixed(24, replace(RULE, penalty=0.0)),
    },
    "switch": {
        "easy, hard, easy": lambda: Row((level(0), level(4), level(0)), (EASY, LONG, LONG)),
    },
    "knobs": {
        "3 spares, births .2": lambda: Row((level(4),), (HARD,), replace(RULE, spares=3, add=0.2)),
        "no tax": lambda: Row((level(4),), (HARD,), replace(RULE, penalty=0.0)),
        "tax × 3": lambda: Row((level(4),), (HARD,), replace(RULE, penalty=3e-4)),
    },
    "worths": {
        "readout multipliers": lambda: Row((level(4),), (HARD,), READOUT_MULTIPLIERS),
        "multipliers": lambda: Row((level(4),), (HARD,), replace(RULE, worth="multipliers")),
    },
    "areas": {
        "two areas": lambda: both(None),
        "spare area, price 1": lambda: both(1.0),
        "spare area, price 10": lambda: both(10.0),
    },
}


def lines(table: str, name: str, found: Growth) -> pd.DataFrame:
    """A line for each run and every other logged step; what edits changed stands in the last."""
    frame = found.frame.rename(columns=lambda c: c.replace(":", " "))
    edits = found.events.assign(size=found.events["jump"].abs())
    last = frame["step"] == frame["step"].max()
    for event in ("birth", "death"):
        sizes = edits.loc[edits["event"] == event].groupby("seed")["size"]
        frame.loc[last, f"{event}s"] = frame.loc[last, "seed"].map(sizes.size()).fillna(0)
        frame.loc[last, f"largest_{event}"] = frame.loc[last, "seed"].map(sizes.max())
        frame.loc[last, f"mean_{event}"] = frame.loc[last, "seed"].map(sizes.mean())
    frame["made"] = f"{datetime.date.today()}, {len(found.seeds)} seeds"
    by_area = [c for c in frame if c.startswith("nodes ")] if table == "areas" else []
    frame = frame.assign(table=table, row=name).reindex(columns=[*SHOWN, *by_area])
    sizes = {"largest_birth": 7, "largest_death": 7, "mean_death": 7}
    shown = frame.loc[frame["step"].isin(sorted({*frame["step"]})[::2])]
    for column, digits in ({"metric": 5} | sizes).items():
        shown = shown.assign(**{column: shown[column].round(digits)})
    return shown


def made(args: argparse.Namespace) -> Iterator[pd.DataFrame]:
    """All rows that were asked for and are not there."""
    known = pd.read_csv(args.csv) if args.csv.exists() else pd.DataFrame(columns=SHOWN)
    there = set(zip(known["table"], known["row"], strict=True))
    yield known
    for table, rows in TABLES.items():
        for name, row in rows.items():
            if (args.only and args.only not in (table, name)) or (table, name) in there:
                continue
            spec, began = row(), perf_counter()
            found = grow(
                spec.tasks,
                spec.rule,
                seeds=args.seeds,
                steps=[max(1, int(n * args.effort)) for n in spec.steps],
                start=spec.start,
                prices=spec.prices,
            )
            print(f"{table} / {name}: {found!r}, {perf_counter() - began:.0f} s", flush=True)
            yield lines(table, name, found)


def told(runs: pd.DataFrame) -> str:
    """Medians and quartiles at the end of each row, as a Markdown table."""
    last = runs.loc[runs["step"] == runs.groupby(["table", "row"])["step"].transform("max")]
    rows = []
    for (table, row), group in last.groupby(["table", "row"], sort=False):
        cells = [table, row]
        for what, form in (("nodes", ".0f"), ("metric", ".4f"), ("node_steps", ",.0f")):
            low, middle, high = (group[what].quantile(q) for q in (0.25, 0.5, 0.75))
            cells.append(f"{middle:{form}} [{low:{form}}, {high:{form}}]")
        cells += [f"{int(group[k].sum())}" for k in ("births", "deaths", "waited")]
        cells += [f"{group[k].max():.1e}" for k in ("largest_birth", "largest_death")]
        rows.append(" | ".join(cells))
    names = (
        "table | row | nodes | nats per character | node-steps | births | deaths | waited "
        "| largest jump of a birth | of a death"
    )
    # Groups of two are another task: which letter was turned is the parity of three, of which no
    # two tell anything. Longer groups leave a letter as it was more often than not.
    known = [f"groups of {n}" for n in (3, 4, 5, 6)]
    text = "\n".join([names, " | ".join(["---"] * 10), *rows])
    for table in ("levels", "taxed levels"):
        runs = last.loc[(last["table"] == table) & last["row"].isin(known)]
        for with_easy in (False, True):
            easy = last.loc[(last["table"] == table) & (last["row"] == "easy") & with_easy]
            ranked = pd.concat([runs, easy])
            if ranked["row"].nunique() > 1:
                levels = ranked["row"].map({"easy": 0, **{name: int(name[-1]) for name in known}})
                rank, p = spearmanr(levels, ranked["nodes"])
                text += (
                    f"\n\nRank correlation of level and nodes, {table}, "
                    f"{', '.join(ranked['row'].unique())}: {rank:.2f} (p = {p:.1g}, "
                    f"{len(ranked)} runs)."
                )
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=Path("growth.csv"))
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--effort", type=float, default=1.0, help="factor on all steps")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    parts = []
    for part in made(args):
        parts.append(part)
        pd.concat([p for p in parts if len(p)] or parts, ignore_index=True).to_csv(
            args.csv, index=False
        )
    if args.markdown:
        print(told(pd.read_csv(args.csv)))


if __name__ == "__main__":
    main()
