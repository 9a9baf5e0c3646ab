"""One framed remark, in a notebook and in a terminal."""

from collections.abc import Sequence
from html import escape

AMBER, RED, GREEN, BLUE = "#b7791f", "#d64545", "#2f9e44", "#3b82c4"


def card(head: str, lines: Sequence[str], color: str) -> str:
    """HTML of a remark: text in the notebook's own color, the state as a word and an edge.

    Args:
        head: The first words, in bold; the state stands here, so that color is not needed.
        lines: What follows, one paragraph each.
        color: Of the edge, as `#rrggbb`, and thinly of the ground.

    >>> card("Right.", ["1 < 2"], GREEN).count("1 &lt; 2")
    1
    """
    body = "".join(f'<div style="margin-top:2px">{escape(line)}</div>' for line in lines)
    # The words inherit the theme's color: none is dark enough for light and light enough for dark.
    style = f"border-left:5px solid {color};background:{color}1f;padding:4px 12px;margin:4px 0"
    return f'<div role="status" style="{style};line-height:1.45"><b>{escape(head)}</b>{body}</div>'
