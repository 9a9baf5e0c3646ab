"""Plots: a value in, axes out.

Every function takes an optional `ax` and returns the axes it drew on; without one it makes a figure
through pyplot. None of them trains, shows, or changes a global style. Light or dark is read off the
axes, and each strategy has one color and one mark everywhere.

- What was drawn: `wiring` and `matrix` of a region graph, a mask, or weights.
- What came out: `tradeoff`, `training` and `table` of a comparison; `bars` and `lines` of anything
  with seeds.
- `look`: color and mark of a strategy, for plots of one's own.
"""

from .cells import matrix
from .curves import training
from .graphs import wiring
from .groups import bars
from .ink import look
from .lines import lines
from .plane import tradeoff
from .rows import table

__all__ = ["bars", "lines", "look", "matrix", "table", "tradeoff", "training", "wiring"]
