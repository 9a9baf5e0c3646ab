"""What a layer said, above what was meant."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from .ink import SMALL, TINY, Ink, axes, blank, caption

__all__ = ["words"]

LINE = 0.52  # inches of a row
LETTER = 0.075  # inches of a letter, about


def words(
    said: Sequence[Sequence[str]],
    meant: Sequence[Sequence[str]],
    texts: Sequence[str],
    ax: Axes | None = None,
    *,
    slots: Sequence[str] = (),
) -> Axes:
    """A row for each sentence: in each slot the symbol that was said, and small, the true one.

    Slots in which the two agree are shaded and their frame is thick.

    Args:
        said: Words, each a sequence of symbols.
        meant: The true words, as many and as long.
        texts: What was asked, one for each word.
        ax: Where to draw; None makes a figure of fitting size.
        slots: Names of the slots, written above.

    Returns:
        The axes; slot k of row i is the square from (k, i).

    Raises:
        ValueError: If there are not as many words, or slots, of each.

    Example:
        >>> ax = words([("child", "pl")], [("dog", "pl")], ["the dogs"])
        >>> [patch.get_linewidth() > 1 for patch in ax.patches]
        [False, True]
    """
    sizes = {len(word) for word in [*said, *meant, *([slots] if slots else [])]}
    if not len(said) == len(meant) == len(texts) or len(sizes) != 1 or not said:
        raise ValueError(
            "Wanted as many words said as meant and texts, all of one length; got "
            f"{len(said)}, {len(meant)} and {len(texts)}, of {sorted(sizes)} symbols."
        )
    (length,) = sizes
    reach = max(len(text) for text in texts) * LETTER / 0.8 + 0.1  # of the texts, in slots
    ax = axes(ax, 0.8 * (length + reach) + 0.3, LINE * (len(said) + 0.6) + 0.5)
    ink = blank(ax)
    ax.set(xlim=(-reach, length), ylim=(len(said), -0.6 if slots else -0.1))
    for k, name in enumerate(slots):
        ax.text(k + 0.5, -0.15, name, ha="center", fontsize=TINY, color=ink.soft)
    for i, (one, other, text) in enumerate(zip(said, meant, texts, strict=True)):
        ax.text(-0.15, i + 0.5, text, ha="right", va="center", fontsize=SMALL, color=ink.ink)
        for k, (symbol, true) in enumerate(zip(one, other, strict=True)):
            _cell(ax, k, i, symbol, true)
    right = sum(tuple(a) == tuple(b) for a, b in zip(said, meant, strict=True))
    caption(
        ax,
        "Large: what the layer said. Small: what it would be if its symbols meant what they are "
        f"called. Shaded: the same. Whole words that are true: {right} of {len(said)}.",
    )
    return ax


def _cell(ax: Axes, k: int, i: int, symbol: str, true: str) -> None:
    ink, same = Ink.of(ax), symbol == true
    ground, edge = (ink.shelf, ink.good) if same else ("none", ink.hair)
    width = 1.6 if same else 0.8
    ax.add_patch(Rectangle((k + 0.04, i + 0.06), 0.92, 0.88, fc=ground, ec=edge, linewidth=width))
    ax.text(k + 0.5, i + 0.4, symbol, ha="center", va="center", fontsize=SMALL, color=ink.ink)
    small = {"ha": "center", "va": "center", "fontsize": TINY - 1, "color": ink.soft}
    ax.text(k + 0.5, i + 0.76, true, **small)
