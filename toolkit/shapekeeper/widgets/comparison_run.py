"""Training in the background: one thread that steps a comparison, and can be stopped."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from shapekeeper.compare import Progress, Run

__all__ = ["Listener", "Trainer"]


@dataclass(frozen=True)
class Listener:
    """Who hears, in the thread that trains, what happens there.

    Attributes:
        began: Every strategy has been tried, and training begins or goes on.
        stepped: A step was taken.
        warned: Something in training has warned.
        ended: Training is at its end, was stopped, or raised.
    """

    began: Callable[[Run], None]
    stepped: Callable[[Run, Progress], None]
    warned: Callable[[str], None]
    ended: Callable[[Run | None, BaseException | None], None]


class Trainer:
    """Steps a run in one daemon thread; between any two steps it can be stopped.

    A run that was stopped goes on where it was, to the same numbers.

    Args:
        begin: Makes the run, which takes a moment; called in the thread.
        listener: Who hears what happens.

    Attributes:
        run: What is trained, once it was begun.
        error: What training raised, or None.
    """

    def __init__(self, begin: Callable[[], Run], listener: Listener):
        self._begin, self._listener = begin, listener
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.run: Run | None = None
        self.error: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Whether the thread is at work."""
        return self._thread is not None and self._thread.is_alive()

    def go(self) -> None:
        """Train on, in the background."""
        self.join()  # what was stopped may be about to end
        self._stop.clear()
        self.error = None
        self._thread = threading.Thread(target=self._work, name="comparison", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave training after the step that is under way."""
        self._stop.set()

    def join(self, seconds: float | None = None) -> None:
        """Wait until the thread is at its end."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def _work(self) -> None:
        try:
            with _hearing_warnings(self._listener.warned):
                self._train()
        except BaseException as error:  # a thread has nobody else to tell
            self.error = error
        self._listener.ended(self.run, self.error)

    def _train(self) -> None:
        if self.run is None:
            self.run = self._begin()
        self._listener.began(self.run)
        steps = self.run.train()  # leaving it keeps what is to be kept
        try:
            for progress in steps:
                self._listener.stepped(self.run, progress)
                if self._stop.is_set():
                    break
        finally:
            steps.close()


_hearers: dict[int, Callable[[str], None]] = {}
_usual: Callable[..., None] = warnings.showwarning


def _show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
    hear = _hearers.get(threading.get_ident())
    if hear is None:
        _usual(message, category, *rest, **more)
    else:
        hear(str(message))


@contextmanager
def _hearing_warnings(hear: Callable[[str], None]) -> Iterator[None]:
    """Warnings of this thread go to the listener.

    `warnings.catch_warnings` would swallow those of all threads, and what a thread prints lands in
    whichever cell is being executed.
    """
    global _usual
    if warnings.showwarning is not _show:
        _usual, warnings.showwarning = warnings.showwarning, _show
    _hearers[threading.get_ident()] = hear
    try:
        yield
    finally:
        del _hearers[threading.get_ident()]
        if not _hearers and warnings.showwarning is _show:
            warnings.showwarning = _usual
