"""A table of checkboxes: who may talk to whom, wire by wire."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from traitlets import List, TraitError, Unicode, validate

from shapekeeper.widgets.drawing_widget import Widget, source

__all__ = ["WireTable"]


class WireTable(Widget):
    """A box to tick for each wire from a source to a target, with the wires as arrows beside it.

    Meant for a few names; long lists are better read from a table (`Connections.from_edges`).

    Args:
        table: Yes/no entries as people write them, one row for each source, one column for each
            target, with the names as index and columns.

    Attributes:
        value: The table as it is ticked now, a fresh copy; assign another one with the same names
            to tick by program.

    Raises:
        traitlets.TraitError: If the table has no names, repeats one, or has other names than
            before.

    Example:
        >>> boxes = WireTable(pd.DataFrame([[1, 0], [0, 1], [0, 0]], ["A", "B", "C"], ["R1", "R2"]))
        >>> boxes.edges()
          source target
        0      A     R1
        1      B     R2
        >>> boxes.value.loc["C", "R2"]
        np.False_
        >>> boxes.close()
    """

    _esm = source("shared.js", "wire_table.js")
    _css = source("wire_table.css")

    sources = List(Unicode()).tag(sync=True)
    targets = List(Unicode()).tag(sync=True)
    wires = List(List()).tag(sync=True)  # pairs of row and column

    def __init__(self, table: pd.DataFrame, **traits: Any) -> None:
        sources, targets = _names(table.index), _names(table.columns)
        wires = np.argwhere(table.to_numpy(bool)).tolist()
        super().__init__(sources=sources, targets=targets, wires=wires, **traits)

    @property
    def value(self) -> pd.DataFrame:
        """The table as it is ticked now."""
        table = pd.DataFrame(False, list(self.sources), list(self.targets))
        for row, column in self.wires:
            table.iloc[row, column] = True
        return table

    @value.setter
    def value(self, table: pd.DataFrame) -> None:
        if [*table.index] != self.sources or [*table.columns] != self.targets:
            raise TraitError(
                f"Wanted a table with the rows {self.sources} and the columns {self.targets}, got "
                f"{[*table.index]} and {[*table.columns]}. Make a new WireTable for other names."
            )
        self.wires = np.argwhere(table.to_numpy(bool)).tolist()

    def edges(self) -> pd.DataFrame:
        """The ticked wires, one row each, with the columns `source` and `target`."""
        pairs = [(self.sources[row], self.targets[column]) for row, column in self.wires]
        return pd.DataFrame(pairs, columns=["source", "target"])

    @validate("wires")
    def _in_table(self, proposal: Any) -> list[list[int]]:
        """Wires of the table, each once, row by row."""
        size = (len(self.sources), len(self.targets))
        for wire in proposal["value"]:
            if len(wire) != 2 or not all(0 <= i < n for i, n in zip(wire, size, strict=True)):
                raise TraitError(f"Wanted pairs of row and column of a table {size}, got {wire}.")
        return sorted({tuple(wire): wire for wire in proposal["value"]}.values())

    def __repr__(self) -> str:
        return repr(self.value)


def _names(axis: Iterable[Any]) -> list[str]:
    names = [str(name) for name in axis]
    if not names or len(set(names)) < len(names):
        raise TraitError(f"Wanted a name of its own for each row and column, got {names}.")
    return names
