"""What the drawing widgets share: one value with a history, and a conversation with the browser."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import anywidget
from traitlets import Dict, List, Unicode

__all__ = ["DrawingWidget", "Message", "Widget", "source"]

# {"kind": "bad" | "warn" | "info" | "good", "text", "detail", "regions", "ways", and for what was
# refused "key", "field", "got"}; ways are {"label", "do", …}
Message = dict[str, Any]

HISTORY = 200


def source(*names: str) -> str:
    """The text of a widget's files, one after the other: a module can't import its neighbors.

    As text, not as a path: anywidget watches a path from a thread, which keeps the widget alive
    after it is closed.
    """
    return "\n".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in names)


class Beginning(NamedTuple):
    """What was when a gesture began."""

    gesture: str
    state: Mapping[str, Any]
    past: tuple[Any, ...]
    future: tuple[Any, ...]


class Widget(anywidget.AnyWidget):
    """A widget that leaves nothing behind."""

    def close(self) -> None:
        """Removes the widget from every page, with the models that belong to it."""
        layout = self.layout
        super().close()
        if layout is not None:
            layout.close()


class DrawingWidget(Widget):
    """A widget whose drawing is its `value`, a frozen structure that Python checks.

    The browser proposes edits. A malformed one is put back, with a message; an unfinished one is
    kept, and what is missing is listed. History is kept here, so that all views of the widget
    undo together, and edits made in Python can be undone as well. Moves of one gesture, which
    come with its name, are one edit.

    Attributes:
        kept: Names of the traits that history brings back; the first is what the browser edits.
        selected: Keys of what is selected in the drawing.
        messages: What is shown in the status strip, the worst first.
    """

    kept: ClassVar[tuple[str, ...]] = ("value",)
    value: Any

    selected = List(Unicode()).tag(sync=True)
    messages = List(Dict()).tag(sync=True)
    facts = Dict().tag(sync=True)  # what Python computes for the drawing
    command = Dict().tag(sync=True)  # what the browser asks for: {"do", "id", "gesture", …}

    def __init__(self, **traits: Any):
        self._past: deque[tuple[Any, str]] = deque(maxlen=HISTORY)
        self._future: deque[tuple[Any, str]] = deque(maxlen=HISTORY)
        self._recording = False
        self._from_browser = False  # whether a message of the browser is being answered
        self._gesture = ""  # whose moves arrive now
        self._begun: Beginning | None = None
        self._answered = ""
        self._spoken = {"id": 0, "text": "", "refused": False}
        self._refused: list[Message] = []
        self._remark: Message | None = None
        self._last: dict[str, Any] = {}  # what history keeps, as of the last report
        self.observe(self._take, self.kept[0])
        super().__init__(**traits)
        self._recording = True

    # What a widget says about its value

    def code(self) -> str:
        """The Python that rebuilds the value."""
        return self.value.code()

    def _refusals(self, data: Any) -> list[Message]:
        """Why the browser's value is no value at all; empty if it is one."""
        raise NotImplementedError

    def _described(self, before: Any, after: Any) -> str:
        """What has happened between two drawings, in one sentence."""
        raise NotImplementedError

    def _judged(self) -> list[Message]:
        """Everything there is to say about the value."""
        raise NotImplementedError

    def _computed(self) -> dict[str, Any]:
        """Numbers that the drawing shows."""
        raise NotImplementedError

    def _has(self, key: str) -> bool:
        """Whether the value has what a key of the drawing names."""
        raise NotImplementedError

    def _picture(self) -> str:
        """The value as an SVG image."""
        raise NotImplementedError

    def _settle(self) -> None:
        """Lets everything else follow the drawing."""

    def _consequence(self) -> str:
        """What is worth hearing after an edit, beside what it was."""
        return ""

    def _ask(self, command: Mapping[str, Any]) -> None:
        """Does what only this kind of widget can do."""

    def _remarked(self, before: Any, after: Any) -> Message | None:
        """What an edit in the browser is worth mentioning for, beside what is wrong with it."""

    # History

    def undo(self) -> None:
        """Takes back the last edit, whether it was made in the browser or in Python."""
        self._step(self._past, self._future, "Undone")

    def redo(self) -> None:
        """Makes the edit again that was taken back last."""
        self._step(self._future, self._past, "Redone")

    def _step(self, here: deque, there: deque, verb: str) -> None:
        if not here:
            return
        state, words = here.pop()
        there.append((self._state(), words))
        self._begun = None
        self._speak(f"{verb}: {words[:1].lower()}{words[1:]}")
        self._restore(state)

    def _state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.kept}

    def _restore(self, state: Mapping[str, Any]) -> None:
        """What history kept, the drawing last: everything else is to follow it."""
        self._recording = False
        try:
            for name in reversed(self.kept):
                setattr(self, name, state[name])
        finally:
            self._recording = True

    def _take(self, change: Any) -> None:
        self._refused, self._remark = [], None
        self._settle()
        if self._recording:
            self._record(change.new)
        self.selected = [key for key in self.selected if self._has(key)]
        self._report()

    def _beginning(self) -> Beginning:
        """What was before the gesture whose moves arrive now, or before this one edit."""
        begun = self._begun
        if begun is not None and self._gesture and self._gesture == begun.gesture:
            return begun
        return Beginning(self._gesture, self._last, tuple(self._past), tuple(self._future))

    def _record(self, after: Any) -> None:
        """Notes what was before. A gesture that ends where it began leaves no trace."""
        self._begun = begun = self._beginning()
        before = begun.state[self.kept[0]]
        words = self._described(before, after)
        self._past, self._future = deque(begun.past, HISTORY), deque(begun.future, HISTORY)
        if before == after:
            self._restore(begun.state)
        else:
            self._past.append((begun.state, words))
            self._future.clear()
        self._speak(f"{words} {self._consequence()}".strip())

    def _speak(self, text: str, refused: bool = False) -> None:
        self._spoken = {"id": self._spoken["id"] + 1, "text": text, "refused": refused}

    def _report(self) -> None:
        self._last = self._state()
        remark = [self._remark] if self._remark else []
        self.messages = [*self._refused, *remark, *self._judged()]
        self.facts = {
            **self._computed(),
            "answered": self._answered,
            "code": self.code(),
            "said": self._spoken,
            "undo": self._past[-1][1] if self._past else "",
            "redo": self._future[-1][1] if self._future else "",
        }

    # Conversation

    def notify_change(self, change: Any) -> None:
        """Sends what follows from a change in the same message as the change."""
        with self.hold_sync():
            super().notify_change(change)

    def set_state(self, sync_data: Mapping[str, Any]) -> None:
        """Takes one message from the browser; a malformed value is put back where it came from."""
        state, drawn = dict(sync_data), self.kept[0]
        command, before = state.pop("command", None), getattr(self, drawn)
        if isinstance(command, Mapping):
            self._gesture = str(command.get("gesture") or "")
            self._answered = str(command.get("id", ""))
        self._from_browser = True
        try:
            with self.hold_sync():
                refused = self._refusals(state[drawn]) if drawn in state else []
                if refused:
                    state = {k: v for k, v in state.items() if k not in (drawn, "selected")}
                    self.send_state([drawn, "selected"])
                super().set_state(state)
                if isinstance(command, Mapping):
                    self._answer(command, refused, before)
        except Exception:
            # the browser waits for its answer before it says anything else
            self.facts = {**self.facts, "answered": self._answered}
            raise
        finally:
            self._from_browser, self._gesture = False, ""

    def _answer(self, command: Mapping[str, Any], refused: list[Message], before: Any) -> None:
        self._refused = [{**message, "refused": self._answered} for message in refused]
        if refused:
            self._speak(f"{refused[0]['text']} {refused[0]['detail']}".strip(), refused=True)
        do = command.get("do")
        if do == "undo":
            self.undo()
        elif do == "redo":
            self.redo()
        else:
            self._ask(command)
            self._remark = self._remarked(before, getattr(self, self.kept[0]))
        self._report()

    # Without a front end

    def __repr__(self) -> str:
        return self.code()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        return {**data, "text/plain": self.code(), "image/svg+xml": self._picture()}, metadata
