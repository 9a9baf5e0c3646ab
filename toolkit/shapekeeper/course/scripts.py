"""Somebody else's program, and the lines that were added to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape
from typing import Any

from shapekeeper.course.cards import GREEN

__all__ = ["Script"]


@dataclass(frozen=True, repr=False)
class Script:
    r"""A program as text, which can be changed by a line, shown, and run.

    Attributes:
        text: The program.
        added: Numbers of the lines that somebody added, from 0 up.

    Example:
        >>> theirs = Script("x = 1\ny = 2")
        >>> ours = theirs.with_line("x = x + seen", after="x = 1")
        >>> ours
          x = 1
        + x = x + seen
          y = 2
        >>> ours.run(seen=5)["x"]
        6
    """

    text: str
    added: tuple[int, ...] = ()

    def with_line(self, line: str, *, after: str) -> Script:
        """The program with one line more.

        Args:
            line: The new line.
            after: The beginning of the line that it comes after.

        Returns:
            A new script; the old one stays as it is.

        Raises:
            ValueError: If no line begins like that, or more than one.
        """
        lines = self.text.splitlines()
        found = [i for i, old in enumerate(lines) if old.startswith(after)]
        if len(found) != 1:
            raise ValueError(f"Wanted one line that begins with {after!r}, got {len(found)}.")
        place = found[0] + 1
        moved = (i + (i >= place) for i in self.added)
        text = "\n".join([*lines[:place], line, *lines[place:]])
        return Script(text, tuple(sorted([*moved, place])))

    def replaced(self, old: str, new: str) -> Script:
        """The program with other words in one place.

        Raises:
            ValueError: If the old words do not stand in it exactly once.
        """
        if self.text.count(old) != 1:
            raise ValueError(f"Wanted {old!r} once, got it {self.text.count(old)} times.")
        return replace(self, text=self.text.replace(old, new))

    def run(self, **names: Any) -> dict[str, Any]:
        """Run it.

        Args:
            **names: What the program finds already there.

        Returns:
            All names when it has come to its end.
        """
        exec(compile(self.text, "<script>", "exec"), names)
        return names

    def __repr__(self) -> str:
        """The program; a plus stands before each line that was added."""
        lines = enumerate(self.text.splitlines())
        return "\n".join(f"{'+' if i in self.added else ' '} {line}".rstrip() for i, line in lines)

    def _repr_html_(self) -> str:
        """The same for a notebook, in the page's own color; what was added lies on green."""
        ground = f"background:{GREEN}33;font-weight:bold"
        rows = "".join(
            f'<div style="{ground if row.startswith("+") else ""}">{escape(row) or " "}</div>'
            for row in repr(self).splitlines()
        )
        frame = "border-left:5px solid #8888;padding:4px 12px;margin:4px 0;line-height:1.35"
        frame += ";font-family:monospace"
        return f'<pre style="{frame}">{rows}</pre>'
