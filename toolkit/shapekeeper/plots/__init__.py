"""Plots: a value in, axes out.

Every function takes an optional `ax` and returns the axes it drew on; without one it makes a figure
through pyplot. None of them trains, shows, or changes a global style. Light or dark is read off the
axes, and each strategy has one color and one mark everywhere.

- What was drawn: `wiring` and `matrix` of a region graph, a mask, or weights.
- What came out: `tradeoff`, `training` and `table` of a comparison; `bars` and `lines` of anything
  with seeds.
- `landscape`: paths of two weights over a loss.
- What filters do: `response` of a layer against what was drawn, `response_over_time` while it was
  trained, and the `taps` of kernels.
- What moves on a `circle` or a `sphere`, a `histogram` beside its law, a `running_mean` beside the
  truth; the `singular_values` of matrices; the `decisions` of a network in the plane.
- What a layer may say: the `lattice` of a grammar with its best word; the `words` that were said,
  beside what was meant. `scatter`: one number of each run against another.
- Networks that grow: their `growth` against the step, the `lifetimes` of their nodes, and the
  `nodes` of one of them with all that links them.
- `look`: color and mark of a strategy, for plots of one's own.
"""

from .cells import matrix
from .circles import circle
from .curves import training
from .decisions import decisions
from .drift import response_over_time
from .filters import response
from .graphs import wiring
from .groups import bars
from .growth import growth
from .ink import look
from .landscape import landscape
from .lattice import lattice
from .laws import histogram, running_mean
from .lifetimes import lifetimes
from .lines import lines
from .nodes import nodes
from .plane import tradeoff
from .rows import table
from .said import words
from .scatter import scatter
from .spectra import singular_values
from .spheres import sphere
from .stems import taps

__all__ = [
    "bars",
    "circle",
    "decisions",
    "growth",
    "histogram",
    "landscape",
    "lattice",
    "lifetimes",
    "lines",
    "look",
    "matrix",
    "nodes",
    "response",
    "response_over_time",
    "running_mean",
    "scatter",
    "singular_values",
    "sphere",
    "table",
    "taps",
    "tradeoff",
    "training",
    "wiring",
    "words",
]
