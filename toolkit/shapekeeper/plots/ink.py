"""Colors, marks and dashes: the same strategy looks the same in every picture.

Light or dark is read off the background by luminance, so custom themes work. The colors were chosen
so that they stay apart for normal, deuteranope, protanope and tritanope sight, and so that each has
a contrast of at least 3 against its background. Nothing here touches global style.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex, to_rgb, to_rgba
from matplotlib.transforms import ScaledTranslation, Transform

from ..strategies import Strategy

__all__ = ["Ink", "look"]

# Name of the strategy's class -> color on light ground, color on dark ground, marker.
# Warm asks, cool holds, gray is the yardstick.
STRATEGIES = {
    "Unconstrained": ("#5b5b5b", "#a7a7a7", "x"),
    "Penalty": ("#d57d15", "#f19417", "^"),
    "AugmentedLagrangian": ("#9b1a0b", "#e25737", "D"),
    "Staged": ("#926800", "#dcce49", "v"),
    "Freeze": ("#207abd", "#b5ceee", "s"),
    "Projection": ("#22388a", "#73acfb", "o"),
    "Reparametrization": ("#6e9d79", "#66daa8", "D"),
    "ConstrainedLangevin": ("#9d63fc", "#987bfd", "h"),
    "RejectionEvolution": ("#c53294", "#cc6fc1", "H"),
}
# Members of a sweep share color and mark and differ by dash (in line widths).
DASHES = ((0, (4, 2.4)), "-", (0, (1.2, 2)), (0, (6, 2, 1.2, 2)))
MARKS = "osD^vPX"
SMALL, TINY = 9.0, 8.0  # Points.


@dataclass(frozen=True)
class Ink:
    """The colors of one background.

    Attributes:
        paper: The background itself, `#rrggbb`.
        dark: Whether the background is dark.

    Example:
        >>> Ink("#ffffff").ink, Ink("#111111").ink
        ('#212121', '#e0e0e0')
    """

    paper: str
    dark: bool = False

    def __post_init__(self):
        # Black and white contrast alike with this luminance: (1.05 * 0.05) ** 0.5 - 0.05.
        object.__setattr__(self, "dark", luminance(self.paper) < 0.179)

    @classmethod
    def of(cls, ax: Axes) -> Ink:
        """The colors for what is drawn inside an axes."""
        return cls(_first_opaque(ax.get_facecolor(), *_figures(ax)))

    @classmethod
    def around(cls, ax: Axes) -> Ink:
        """The colors for what is written outside an axes, on the figure."""
        return cls(_first_opaque(*_figures(ax)))

    def mix(self, share: float, color: str | None = None) -> str:
        """So much of a color (by default black or white) on the paper, opaque."""
        top = to_rgb(color or ("white" if self.dark else "black"))
        ground = to_rgb(self.paper)
        red, green, blue = (share * t + (1 - share) * g for t, g in zip(top, ground, strict=True))
        return to_hex((red, green, blue))

    def choose(self, light: str, dark: str) -> str:
        """One of a pair of colors."""
        return dark if self.dark else light

    def on(self, fill: Any) -> str:
        """The color of words on a fill: black or white, whichever stands out more."""
        return "#ffffff" if Ink(to_hex(fill)).dark else "#000000"

    @property
    def ink(self) -> str:
        """Names and strokes."""
        return self.mix(0.87)

    @property
    def soft(self) -> str:
        """What is said in a lower voice: axes, captions."""
        return self.mix(0.60 if self.dark else 0.62)

    @property
    def hair(self) -> str:
        """Grids and rules."""
        return self.mix(0.20 if self.dark else 0.11)

    @property
    def wash(self) -> str:
        """The inside of a region, a closed cell."""
        return self.mix(0.07 if self.dark else 0.05)

    @property
    def good(self) -> str:
        """The shape holds."""
        return self.choose("#2e7d32", "#66bb6a")

    @property
    def bad(self) -> str:
        """A run that came to nothing."""
        return self.choose("#c62828", "#ef6a5a")

    @property
    def shelf(self) -> str:
        """The ground where the violation is exactly 0."""
        return self.mix(0.10, self.good)

    @property
    def source(self) -> str:
        """What comes in."""
        return self.choose("#b3541e", "#f0a070")

    @property
    def sink(self) -> str:
        """What goes out."""
        return self.choose("#1565c0", "#64b5f6")

    def ramp(self, least: float = 0.16) -> Colormap:
        """From a faint gray, which is not paper, to full ink; nothing but lightness changes."""
        colors = [self.mix(share) for share in np.linspace(least, 0.92, 5)]
        return LinearSegmentedColormap.from_list("ink", colors).with_extremes(bad=self.paper)


def luminance(color: Any) -> float:
    """Relative luminance of a color (WCAG 2.2), 0 for black to 1 for white."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _figures(ax: Axes) -> list[Any]:
    figures = [ax.get_figure(), ax.get_figure(root=True)]
    return [figure.get_facecolor() for figure in figures]


def _first_opaque(*colors: Any) -> str:
    for color in colors:
        if to_rgba(color)[3] > 0.5:
            return to_hex(color)
    # Nothing is painted: what lies below is the notebook page, and the text color knows it.
    return "#111111" if luminance(mpl.rcParams["text.color"]) > 0.5 else "#ffffff"


def look(strategy: Strategy, ax: Axes | None = None, *, filled: bool | None = None) -> dict:
    """Color and mark of a strategy, as keywords for `ax.plot`.

    Args:
        strategy: The strategy; settings don't matter.
        ax: Where it will be drawn; decides between the light and the dark set. None: light.
        filled: Whether the shape holds at every step; by default what the strategy promises of a
            weight. An open mark is filled with the background, so that lines end at its rim.

    Returns:
        color, marker, markerfacecolor, markeredgecolor and markeredgewidth.

    Example:
        >>> from shapekeeper import Penalty, Projection
        >>> look(Projection())["color"], look(Projection())["marker"]
        ('#22388a', 'o')
        >>> look(Penalty(0.1))["markerfacecolor"]
        '#ffffff'
    """
    ink = Ink.of(ax) if ax is not None else Ink("#ffffff")
    fallback = (Ink("#ffffff").ink, Ink("#111111").ink, "P")
    light, dark, marker = STRATEGIES.get(type(strategy).__name__, fallback)
    color = ink.choose(light, dark)
    if filled is None:
        filled = all(part.strategy.guarantee == "structural" for part in strategy.stages())
    return {
        "color": color,
        "marker": marker,
        "markerfacecolor": color if filled else ink.paper,
        "markeredgecolor": color,
        "markeredgewidth": 2.2 if marker == "x" else 1.5,
    }


def nth_look(ax: Axes, k: int) -> dict[str, Any]:
    """A color and a mark for the k-th line that has none."""
    ink = Ink.of(ax)
    color = (ink.ink, ink.source, ink.soft, ink.sink)[k % 4]
    return {"color": color, "marker": MARKS[k % len(MARKS)]}


def axes(ax: Axes | None, width: float, height: float) -> Axes:
    """The given axes, or those of a new figure of so many inches."""
    if ax is None:
        ax = plt.subplots(figsize=(width, height), layout="constrained")[1]
    return ax


def plain(ax: Axes) -> Ink:
    """Quiet spines, ticks and grid in the colors of the background."""
    ink, around = Ink.of(ax), Ink.around(ax)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(ink.hair)
    ax.tick_params(which="both", length=0, labelsize=SMALL, labelcolor=around.soft)
    ax.grid(True, which="major", color=ink.hair, linewidth=0.7)
    ax.minorticks_off()
    ax.set_axisbelow(True)
    return ink


def blank(ax: Axes) -> Ink:
    """No spines and no ticks."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.grid(False)
    return Ink.of(ax)


def title_axes(ax: Axes, x: str, y: str) -> None:
    """Axis labels in the colors of the figure."""
    ax.set_xlabel(x, color=Ink.around(ax).ink, fontsize=SMALL)
    ax.set_ylabel(y, color=Ink.around(ax).ink, fontsize=SMALL)


def caption(ax: Axes, *lines: str) -> None:
    """Lines under the axes and its label, in a lower voice, about as wide as the axes."""
    letters = max(int(points(ax)[0] / (0.5 * TINY)), 30)
    below = ax.xaxis.label if ax.xaxis.get_label_position() == "bottom" else ax.transAxes
    ax.annotate(
        "\n".join(fill(line, letters) for line in lines if line),
        xy=(0, 0),
        xycoords=(ax.transAxes, below),
        xytext=(0, -5),
        textcoords="offset points",
        ha="left",
        va="top",
        fontsize=TINY,
        linespacing=1.35,
        color=Ink.around(ax).soft,
        annotation_clip=False,
    )


def nudged(ax: Axes, dx: float, dy: float, base: Transform | None = None) -> Transform:
    """A transform, by default that of the data, and then so many points to the right and up."""
    return (base or ax.transData) + ScaledTranslation(dx / 72, dy / 72, ax.figure.dpi_scale_trans)


def points(ax: Axes) -> tuple[float, float]:
    """Width and height of an axes in points, as it stands now."""
    box = ax.get_window_extent()
    return box.width * 72 / ax.figure.dpi, box.height * 72 / ax.figure.dpi


def decimals(values: Any) -> int:
    """How many decimals leave three significant digits to the largest value, at most three."""
    largest = float(np.nanmax(np.abs(values), initial=0.0))
    return 3 if largest < 10 else 2 if largest < 100 else 1 if largest < 1000 else 0


def number(value: float, digits: int, sign: str = "") -> str:
    """A number as text, with a real minus sign."""
    return f"{value:{sign}.{digits}f}".replace("-", "\N{MINUS SIGN}")


class Arranger(Artist):
    """Draws nothing; moves other artists just before they are drawn, when sizes are known.

    Subclasses write `arrange(renderer)`.
    """

    def __init__(self, ax: Axes):
        super().__init__()
        self.ax = ax
        self.set_zorder(-1e6)  # Artists are drawn in this order.
        self.set_in_layout(False)
        ax.add_artist(self)

    def arrange(self, renderer: Any) -> None:
        """Move the artists."""
        raise NotImplementedError

    def draw(self, renderer: Any) -> None:
        """Called by the axes, before everything else in it is drawn."""
        self.arrange(renderer)
