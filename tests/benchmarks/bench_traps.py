"""What every library does in every trap: one table, measured anew.

Run it: `python tests/benchmarks/bench_traps.py` (under a minute); `--markdown` prints the table so.
The experiments are those of `tests/traps.py`. Every cell is the worst of Adam, AdamW and SGD with
momentum, all with weight decay, unless a row names its optimizer. geotorch and geoopt keep
orthogonal matrices where the others keep a mask, and vectors of length one from row 11 on. cooper
holds by multipliers, which need time: see the second row.
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, it sees this folder alone

import traps
from traps import KEPT, KINDS, MASKS, NORMS, SPHERES, TALL, NotAskedError, Way, installed

COLUMNS = (
    "do it yourself",
    "torch prune",
    "torch parametrize",
    "geotorch",
    "geoopt",
    "nn4n",
    "cooper",
    "sk Projection",
    "sk Reparametrization",
)
Ways = dict[str, type[Way]]


@dataclass(frozen=True)
class Row:
    """One experiment, who is asked, and with which optimizers."""

    title: str
    experiment: Callable[[type[Way], str], float]
    ways: Ways
    kinds: tuple[str, ...] = KINDS
    worst: Callable = max


def by_hand(ways: Ways, way: type[Way]) -> Ways:
    """The same libraries, and another way to do it oneself."""
    return ways | {"do it yourself": way}


ADAM, GIVEN, ADAGRAD = ("no decay",), ("torch.optim.Adam",), ("torch.optim.Adagrad",)
PULLED = SPHERES | {"torch parametrize": traps.TorchOrthogonal}
ROWS = [
    Row("1 from the first step: leak", traps.from_the_start, KEPT),
    Row("1 the same after 2,000 steps of Adam", traps.in_the_long_run, KEPT, ADAM),
    Row("2 put on after 20 steps: leak", traps.late, KEPT),
    Row("3 presets: drift", traps.presets, MASKS),
    Row("4 deepcopy, 5 steps: leak", traps.deepcopied, KEPT),
    Row("5 frozen, gradients of 0: drift", traps.frozen, MASKS),
    Row("5 frozen after backward: drift", traps.frozen_after_backward, MASKS),
    Row("6 four frozen rows: drift", traps.rows, by_hand(MASKS, traps.RowsOff)),
    Row("7 frozen batch norm: its mean drifts", traps.running_mean, NORMS),
    Row("8 rebuilt optimizer: leak", traps.rebuilt_optimizer, by_hand(KEPT, traps.StepHook)),
    Row("9 nn.init: change (0: ignored)", traps.init_moves, KEPT, worst=min),
    Row("9 nn.init: leak", traps.init_leaks, KEPT),
    Row("10 optimizer built before: motion", traps.early_optimizer, KEPT, worst=min),
    Row("10 the same on unit vectors", traps.early_optimizer, SPHERES, worst=min),
    Row("11 torch's Adam: off the sphere", traps.wrong_optimizer, SPHERES, GIVEN),
    Row("11 torch's Adagrad: off the sphere", traps.wrong_optimizer, SPHERES, ADAGRAD),
    Row("11 Adam: cost above the least", traps.excess, SPHERES, ADAM),
    Row("12 decay alone: way from start left", traps.left_by_decay, PULLED, ADAM),
    Row("13 default AdamW, a step: size left", traps.one_step_of_adamw, TALL, ADAM),
    Row("weight read after a step: wrong by", traps.stale, KEPT),
    Row("state dict → plain network: leak", traps.loaded_plain, KEPT, ADAM),
    Row("saved, rebuilt, resumed: difference", traps.resumed, KEPT),
    Row("torch.save(module), 5 steps: leak", traps.pickled, KEPT),
    Row("compiled, fullgraph: leak", traps.compiled, KEPT, ADAM),
    Row("bfloat16 autocast: leak", traps.autocast, KEPT),
    Row("DDP, one process: leak", traps.distributed, KEPT, ADAM),
]


def cell(row: Row, column: str, notes: list[str]) -> str:
    """A number, a word, or a word with a note."""
    way = row.ways.get(column)
    if way is None:
        return "—"
    if not installed(way):
        return "not installed"
    try:
        number = f"{row.worst(row.experiment(way, kind) for kind in row.kinds):.1g}"
    except NotAskedError:
        return "—"
    except Exception as error:  # whatever a library raises is what the table is about
        words = shorten(f"{type(error).__name__}: {error}", 150, placeholder=" …")
        return f"raises {noted(words, notes)}"
    said = report(way) if row.experiment is traps.left_by_decay else ""
    return f"{number} {noted(f'report(): {said}', notes)}" if said else number


def report(way: type[Way]) -> str:
    """What a library says of the decay of a weight."""
    session = way("Adam").hold()
    session.step()
    return session.says()


def noted(words: str, notes: list[str]) -> str:
    """The mark of a note; equal notes share one."""
    if words not in notes:
        notes.append(words)
    return f"[{notes.index(words) + 1}]"


def print_table(table: list[list[str]], markdown: bool) -> None:
    """Titles on the left, columns as wide as they must be."""
    if markdown:
        rule = ["---"] * len(table[0])
        for line in [table[0], rule, *table[1:]]:
            print(f"| {' | '.join(line)} |")
        return
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for title, *cells in table:
        shown = [f"{c:>{w}}" for c, w in zip(cells, widths[1:], strict=True)]
        print("  ".join([f"{title:<{widths[0]}}", *shown]))


def main() -> None:
    """Print the table and its notes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", action="store_true", help="a table for a page")
    markdown = parser.parse_args().markdown
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # those of other libraries at import
    notes: list[str] = []
    table = [["", *COLUMNS]]
    for row in ROWS:
        table.append([row.title, *(cell(row, column, notes) for column in COLUMNS)])
    print_table(table, markdown)
    print("\n—: does not arise here")
    for i, note in enumerate(notes, 1):
        print(f"{'- ' if markdown else ''}[{i}] {note}")


if __name__ == "__main__":
    main()
