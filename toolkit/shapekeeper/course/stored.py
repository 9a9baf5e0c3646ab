"""Runs too long for a notebook: tables made once by a program, that come with the library."""

from __future__ import annotations

from math import nan
from pathlib import Path
from typing import NamedTuple

import pandas as pd

__all__ = ["stored_runs", "told_quartiles", "told_runs"]


class File(NamedTuple):
    """A file of stored runs.

    Attributes:
        tables: What is in it.
        program: What makes it.
        time: How long that takes on one quiet core.
    """

    tables: tuple[str, ...]
    program: str
    time: str


PLACE = Path(__file__).parent
FILES = {
    "growth.csv": File(
        ("levels", "taxed levels", "sizes", "switch", "knobs", "worths", "areas"),
        "bench_growth.py",
        "about two hours",
    ),
    "interlingua.csv": File(
        ("translation", "few words", "range"), "bench_language_tasks.py", "about an hour"
    ),
}


def stored_runs(table: str, path: Path | None = None) -> pd.DataFrame:
    """Runs of notebooks 06 and 07 that were trained beforehand, and when and how.

    Args:
        table: Of 06: "levels", "taxed levels", "sizes", "switch", "knobs", "worths" or "areas".
            Of 07: "translation", "few words" or "range".
        path: The file; by default the one that comes with the library.

    Returns:
        A line for each row of the table and seed, in 06 also for each logged step. `attrs["made"]`
        says when it was made and from how many seeds, `attrs["command"]` how to make it again.

    Raises:
        ValueError: If there is no such table, the file is another one, or it has no such runs.
        FileNotFoundError: If the file is not there; the message says how to make it.

    Example:
        >>> stored_runs("range")["row"].iloc[0]
        'free'
        >>> stored_runs("letters")
        Traceback (most recent call last):
        ValueError: Wanted one of 'levels', 'taxed levels', 'sizes', 'switch', 'knobs', 'worths', \
'areas', 'translation', 'few words', 'range', got 'letters'.
    """
    of = {known: name for name, file in FILES.items() for known in file.tables}
    if table not in of:
        raise ValueError(f"Wanted one of {', '.join(map(repr, of))}, got {table!r}.")
    name, file = of[table], FILES[of[table]]
    place = path or PLACE / name
    remake = f"python tests/benchmarks/{file.program} --csv toolkit/shapekeeper/course/{name}"
    if not place.exists():
        raise FileNotFoundError(
            f"{place} is not there. It comes with the library, and this makes it again, in "
            f"{file.time} on one quiet core: {remake}"
        )
    found = pd.read_csv(place)
    if missing := {"table", "row", "seed", "made"} - set(found):
        raise ValueError(f"Wanted a table of stored runs, {place} has no {sorted(missing)}.")
    rows = found.loc[found["table"] == table].dropna(axis=1, how="all").reset_index(drop=True)
    if rows.empty:
        raise ValueError(f"{place} has no runs of {table!r}; this makes them: {remake}")
    rows.attrs |= {"made": rows["made"].iloc[0], "command": remake}
    return rows.drop(columns=["table", "made"])


def told_runs(runs: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """Mean ± standard deviation over the seeds, in words.

    Args:
        runs: What `stored_runs` gave, or some of its lines.
        columns: Column -> its name in the result, in order.

    Returns:
        Words by row; empty where nothing was measured.

    Example:
        >>> runs = pd.DataFrame({"row": ["a", "a"], "test": [0.5, 0.7], "raw": [None, None]})
        >>> told_runs(runs, {"test": "right", "raw": "raw"}).loc["a"].to_list()
        ['0.60 ± 0.14', '']
    """
    groups = runs.groupby("row", sort=False)
    return pd.DataFrame(
        {
            name: {
                row: _mean_and_spread(lines[column].astype(float) if column in lines else [nan])
                for row, lines in groups
            }
            for column, name in columns.items()
        }
    )


def told_quartiles(runs: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """Median and quartiles over the seeds at the last step, in words.

    Args:
        runs: What `stored_runs` gave of networks that grow, or some of its lines.
        columns: Column -> its name in the result, in order.

    Returns:
        Words by row; empty where nothing was measured.

    Example:
        >>> runs = pd.DataFrame({"row": ["a"] * 3, "seed": range(3), "nodes": [4, 9, 2]})
        >>> told_quartiles(runs, {"nodes": "nodes", "jump": "jump"}).loc["a"].to_list()
        ['4 [3, 6]', '']
    """
    last = runs.groupby(["row", "seed"], sort=False, as_index=False).last()
    found = {name: {} for name in columns.values()}
    for row, lines in last.groupby("row", sort=False):
        for column, name in columns.items():
            values = lines[column].dropna() if column in lines else pd.Series(dtype=float)
            low, middle, high = map(_plainly, values.astype(float).quantile([0.25, 0.5, 0.75]))
            found[name][row] = f"{middle} [{low}, {high}]" if len(values) else ""
    return pd.DataFrame(found)


def _plainly(value: float) -> str:
    """As many digits as one wants to read."""
    if value >= 1:
        return f"{value:,.0f}"
    return f"{value:.4g}" if value >= 0.001 or value == 0 else f"{value:.1e}"


def _mean_and_spread(values) -> str:
    numbers = pd.Series(values, dtype=float).dropna()
    if numbers.empty:
        return ""
    size = abs(numbers.mean())
    near_an_end = 0 < size < 0.1 or 0.995 <= size < 1  # of shares; 1.00 is for all
    digits = 4 if near_an_end else 2 if size < 100 else 0
    spread = f" ± {numbers.std():.{digits}f}" if len(numbers) > 1 else ""
    return f"{numbers.mean():.{digits}f}{spread}"
