"""Runs too long for a notebook: a table made once by a program, that comes with the library."""

from __future__ import annotations

from math import nan
from pathlib import Path

import pandas as pd

__all__ = ["stored_runs", "told_runs"]

TABLES = ("translation", "few words", "range")
PLACE = Path(__file__).with_name("interlingua.csv")
REMAKE = (
    "python tests/benchmarks/bench_language_tasks.py --csv "
    "toolkit/shapekeeper/course/interlingua.csv"
)


def stored_runs(table: str, path: Path | None = None) -> pd.DataFrame:
    """Runs of notebook 07 that were trained beforehand, and when and how.

    Args:
        table: "translation", "few words" or "range".
        path: The file; by default the one that comes with the library.

    Returns:
        A line for each row of the table and seed. `attrs["made"]` says when it was made and from
        how many seeds, `attrs["command"]` how to make it again.

    Raises:
        ValueError: If there is no such table, the file is another one, or it has no such runs.
        FileNotFoundError: If the file is not there; the message says how to make it.

    Example:
        >>> stored_runs("letters")
        Traceback (most recent call last):
        ValueError: Wanted one of 'translation', 'few words', 'range', got 'letters'.
    """
    if table not in TABLES:
        raise ValueError(f"Wanted one of {', '.join(map(repr, TABLES))}, got {table!r}.")
    place = path or PLACE
    if not place.exists():
        raise FileNotFoundError(
            f"{place} is not there. It comes with the library, and this makes it again, in "
            f"about an hour on one quiet core: {REMAKE}"
        )
    found = pd.read_csv(place)
    if missing := {"table", "row", "seed", "made"} - set(found):
        raise ValueError(f"Wanted a table of stored runs, {place} has no {sorted(missing)}.")
    rows = found.loc[found["table"] == table].dropna(axis=1, how="all").reset_index(drop=True)
    if rows.empty:
        raise ValueError(f"{place} has no runs of {table!r}; this makes them: {REMAKE}")
    rows.attrs |= {"made": rows["made"].iloc[0], "command": REMAKE}
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


def _mean_and_spread(values) -> str:
    numbers = pd.Series(values, dtype=float).dropna()
    if numbers.empty:
        return ""
    size = abs(numbers.mean())
    near_an_end = 0 < size < 0.1 or 0.995 <= size < 1  # of shares; 1.00 is for all
    digits = 4 if near_an_end else 2 if size < 100 else 0
    spread = f" ± {numbers.std():.{digits}f}" if len(numbers) > 1 else ""
    return f"{numbers.mean():.{digits}f}{spread}"
