"""The comparison view: choose strategies, train them, watch them, and read the table."""

from __future__ import annotations

import asyncio
import atexit
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from textwrap import indent
from time import monotonic
from typing import Any, ClassVar
from weakref import WeakSet

from traitlets import Dict, List, Unicode, observe

from shapekeeper.compare import Comparison, ComparisonError, Progress, Run
from shapekeeper.compare.training import LOGGED
from shapekeeper.regions.parts import literal
from shapekeeper.strategies import Strategy
from shapekeeper.tasks import Task
from shapekeeper.widgets import comparison_words as words
from shapekeeper.widgets.comparison_picture import picture
from shapekeeper.widgets.comparison_run import Listener, Trainer
from shapekeeper.widgets.comparison_session import Session
from shapekeeper.widgets.comparison_setup import Setup
from shapekeeper.widgets.drawing_widget import Message, Widget, source

__all__ = ["ComparisonView"]

PACE = 0.5  # seconds between two messages to the browser, at least
PATIENCE = 5.0  # seconds that closing waits for the step under way
POLL = 0.05  # seconds between two looks at the thread
QUICK = 8.0  # seconds; if a first step of each strategy took longer, no time is measured ahead
BUSY = ("starting", "running", "stopping")
SETTLED = ("stopped", "failed", "finished")

_views: WeakSet[ComparisonView] = WeakSet()


class ComparisonView(Widget):
    """A comparison to work in: strategies with their settings, live curves, and what came of it.

    Training runs in the background, so the notebook stays usable; it can be stopped after any step
    and goes on to the same numbers. When the cell that made the view is run again, the former view
    stops and closes.

    Args:
        task: What to train.
        strategies: What is ticked at first, or label -> strategy; by default the yardstick
            (Unconstrained), one that asks (Penalty) and one that holds (Projection).
        seeds: How many runs of each strategy, or which seeds.
        steps: Optimizer steps of each run.
        device: `"auto"` takes a GPU where there is one.
        checkpoint: A folder to go on from, and to keep the training in.

    Attributes:
        state: `"setup"`, `"starting"`, `"running"`, `"stopping"`, `"stopped"`, `"failed"` or
            `"finished"`.
        comparison: What was found when training ended last, also if it was stopped; None before.
        messages: What is shown in the status strip, the worst first.

    Raises:
        TaskError: If a constraint names nothing in the model, or a tensor can't hold it.
        ComparisonError: If something is no task or no strategy.

    Example:
        >>> import shapekeeper as sk
        >>> view = ComparisonView(sk.tasks.pencil(), [sk.Projection()], seeds=2, steps=20)
        >>> view.messages[0]["text"], view.state
        ('1 run of 2 seeds.', 'setup')
        >>> view.run()
        Comparison('pencil problem': Projection; 2 seeds, 20 steps)
        >>> print(view.code())
        import shapekeeper as sk
        <BLANKLINE>
        task = sk.tasks.pencil()
        comparison = sk.compare(task, [sk.Projection()], seeds=2, steps=20)
        comparison.summary()
        <BLANKLINE>
        >>> view.close()
    """

    _esm = source(
        "shared.js",
        "comparison_marks.js",
        "comparison_axes.js",
        "comparison_plots.js",
        "comparison_plane.js",
        "comparison_table.js",
        "comparison_setup.js",
        "comparison_frame.js",
        "comparison_view.js",
    )
    _css = source("shared.css", "comparison_view.css")

    _trainer: Trainer | None = None  # also where the constructor has refused

    state = Unicode("setup").tag(sync=True)
    setup = Dict().tag(sync=True)
    runs = List(Dict()).tag(sync=True)
    progress = Dict().tag(sync=True)
    messages = List(Dict()).tag(sync=True)
    result = Dict().tag(sync=True)
    written = Unicode().tag(sync=True)  # the browser calls it code, which here is a method
    said = Dict().tag(sync=True)
    command = Dict().tag(sync=True)  # what the browser asks for: {"do", "id", …}
    answered = Unicode().tag(sync=True)  # the id of the last command; the browser waits for it

    def __init__(
        self,
        task: Task | None = None,
        strategies: Iterable[Strategy] | Mapping[str, Strategy] | None = None,
        *,
        seeds: int | Iterable[int] = 5,
        steps: int = 500,
        device: str = "auto",
        checkpoint: str | Path | None = None,
        **traits: Any,
    ):
        self._cell = _executing_cell()
        _close_former(self._cell)
        _refuse_no_task(task)
        self._lock = threading.RLock()  # the thread that trains tells, the browser asks
        self._checkpoint = checkpoint
        started = monotonic()
        self._setup = Setup(task, strategies, seeds, steps, device)
        self._slow = monotonic() - started > QUICK
        # seconds of one run of one seed, for all but the steps and for each step
        self._pace: tuple[float, float] | None = None
        self._arguments: list[str] = []  # of `compare`, as they were when it could be called last
        self._session: Session | None = None
        self._error: BaseException | None = None
        self._begun: Message | None = None
        self.comparison: Comparison | None = None
        self._announced: list[str] = []
        self._flushed = 0.0
        super().__init__(**traits)
        self.said = {"id": 0, "text": "", "refused": False}
        self.on_msg(self._asked)
        self._tell()
        _views.add(self)

    # -- what can be asked for ---------------------------------------------------------------

    def run(self) -> Any:
        """Train: begin, or go on where it was stopped.

        Returns:
            In a notebook something to wait for, `comparison = await view.run()`; training goes on
            in the background whether or not somebody waits. Interrupting the wait stops it.
            Without an event loop the call itself waits, and returns the `Comparison`.

        Raises:
            ComparisonError: If something has to change before training can begin.
        """
        if self.state not in BUSY:
            with self._lock, self.hold_sync():
                self._go() if self.state == "stopped" else self._start()
        return self._waited_for()

    def stop(self) -> None:
        """Stop after the step that is under way; nothing is lost."""
        with self._lock, self.hold_sync():
            if self._trainer is not None and self.state in BUSY:
                self._trainer.stop()
                self.state = "stopping"
                self._tell()

    def resume(self) -> Any:
        """Go on where training was stopped, to the same numbers as if it had not been.

        Returns:
            As `run` does.

        Raises:
            ComparisonError: If nothing was stopped.
        """
        if self.state != "stopped":
            raise ComparisonError(
                f"Wanted a comparison that was stopped, got one in the state {self.state!r}. Use "
                "run()."
            )
        return self.run()

    def code(self) -> str:
        """The Python that makes the same comparison without the view."""
        task, name = self._setup.task, "task"
        lines = ["import shapekeeper as sk", ""]
        if task is not None and task.code:
            lines.append(f"task = {task.code}")
        elif not (name := _name_of(task)):
            lines.append("task = ...  # your task")
        lines.append(f"comparison = {self._compare_call(name or 'task')}")
        reference = self._session.reference if self._session else ""
        first = not reference or reference == next(iter(self._setup.labelled()))
        lines.append(f"comparison.summary({'' if first else literal(reference)})")
        return "\n".join(lines) + "\n"

    def _compare_call(self, name: str) -> str:
        setup = self._setup
        if not self._arguments or not setup.problems():
            fields = {"seeds": _list_text(setup.texts["seeds"]), "steps": setup.texts["steps"]}
            fields |= {"device": literal(setup.device)} if setup.device != "auto" else {}
            self._arguments = [setup.call(), *(f"{key}={text}" for key, text in fields.items())]
        line = f"sk.compare({', '.join([name, *self._arguments])})"
        if len(line) <= 80 and "\n" not in line:
            return line
        lines = [f"{indent(text, '    ')},\n" for text in [name, *self._arguments]]
        return f"sk.compare(\n{''.join(lines)})"

    def close(self) -> None:
        """Stop training and remove the view from every page."""
        _views.discard(self)
        trainer, self._trainer = self._trainer, None
        if trainer is not None:
            trainer.stop()
            trainer.join(PATIENCE)
        super().close()

    # -- commands of the browser -------------------------------------------------------------

    @observe("command")
    def _commanded(self, change: Any) -> None:
        command = change.new
        do = self._doing.get(str(command.get("do")), ComparisonView._unknown)
        with self._lock, self.hold_sync():
            try:
                do(self, command)
                self._tell()
            except ComparisonError as error:
                self._say(str(error), refused=True)
            finally:  # the browser waits for its answer before it says anything else
                self.answered = str(command.get("id", ""))

    def _unknown(self, command: Mapping[str, Any]) -> None:
        raise ComparisonError(f"Wanted one of {', '.join(self._doing)}, got {command.get('do')!r}.")

    def _tick(self, command: Mapping[str, Any]) -> None:
        self._unlocked().tick(str(command.get("entry")), bool(command.get("on")))

    def _set(self, command: Mapping[str, Any]) -> None:
        setting, text = str(command.get("setting")), str(command.get("text", ""))
        self._unlocked().set(str(command.get("entry")), setting, text)

    def _add(self, command: Mapping[str, Any]) -> None:
        entry = self._unlocked().add(str(command.get("entry")))
        self._say(f"A second {entry.name} added, {entry.wording() or 'as the first'}.")

    def _remove(self, command: Mapping[str, Any]) -> None:
        entry = self._unlocked().remove(str(command.get("entry")))
        self._say(f"{entry.name} {entry.wording()} removed.".replace("  ", " "))

    def _field(self, command: Mapping[str, Any]) -> None:
        self._unlocked().field(str(command.get("name")), str(command.get("text", "")))

    def _unlocked(self) -> Setup:
        if self.state != "setup":
            raise ComparisonError(
                "Settings are locked while there is a training. Use Change strategies first."
            )
        return self._setup

    def _asked_to_run(self, command: Mapping[str, Any]) -> None:
        if self.state in ("setup", "failed"):
            self._start()

    def _asked_again(self, command: Mapping[str, Any]) -> None:
        if self.state in SETTLED:
            self._start(anew=True)

    def _asked_to_stop(self, command: Mapping[str, Any]) -> None:
        self.stop()

    def _asked_to_resume(self, command: Mapping[str, Any]) -> None:
        if self.state == "stopped":
            self._go()

    def _change(self, command: Mapping[str, Any]) -> None:
        """Back to the settings; what was trained can't be gone on with."""
        if self.state in SETTLED:
            self._trainer = self._session = self._error = None
            self.state, self.runs, self.progress, self.result = "setup", [], {}, {}

    def _refer(self, command: Mapping[str, Any]) -> None:
        session, found = self._session, self.comparison
        if session is None or found is None or self.state not in SETTLED:
            return
        labels = {key: label for label, key in session.keys.items()}
        if label := labels.get(str(command.get("run"))):
            session.reference = label
            self.result = session.table(found, self.result["at"])
            self._say(f"Compared with {label}.")

    _doing: ClassVar[dict[str, Callable[[ComparisonView, Mapping[str, Any]], None]]] = {
        "tick": _tick,
        "set": _set,
        "add": _add,
        "remove": _remove,
        "field": _field,
        "run": _asked_to_run,
        "stop": _asked_to_stop,
        "resume": _asked_to_resume,
        "again": _asked_again,
        "over": _change,
        "change": _change,
        "reference": _refer,
    }

    def _asked(self, widget: Any, content: Any, buffers: Any) -> None:
        """A view that opens late wants all points."""
        with self._lock:
            if isinstance(content, Mapping) and content.get("do") == "points" and self._session:
                self.send(self._session.curves.everything())

    # -- training ----------------------------------------------------------------------------

    def _start(self, anew: bool = False) -> None:
        """Train what is chosen: from the beginning, or as far as the checkpoint has come."""
        setup = self._setup
        if found := setup.problems():
            raise ComparisonError(found[0])
        assert setup.task is not None  # else there was a problem
        task, strategies = setup.task, setup.labelled()
        settings = {"seeds": setup.seeds, "steps": setup.steps, "device": setup.device}
        filled = {label: setup.holds(strategy) for label, strategy in strategies.items()}
        self._session = session = Session(strategies, filled, setup.count, setup.steps)
        folder = None if anew else self._checkpoint
        if anew and self._checkpoint:
            session.notes.append(words.not_kept(self._checkpoint))
        listener = Listener(self._began, self._stepped, session.warned, self._ended)
        self._trainer = Trainer(
            lambda: Run(task, strategies, checkpoint=folder, **settings), listener
        )
        self.comparison = self._error = self._begun = None
        self.state, self.result, self.runs = "starting", {}, session.shown()
        self.progress = self._progress(0, 0.0, setup.here)
        self._say(words.working(len(strategies), setup.count, setup.steps))
        self._go()

    def _go(self) -> None:
        """Let the thread work; what has begun already goes on at once."""
        assert self._trainer is not None
        if self._trainer.run is not None:
            self.state = "running"
        self._tell()
        self._trainer.go()

    def _began(self, run: Run) -> None:
        with self._lock, self.hold_sync():
            session = self._session
            assert session is not None
            session.listen(run)
            if run.step and not session.curves.started:
                session.take(run.comparison().frame.to_dict("records"))
                self._begun = words.gone_on(run.step, self._checkpoint)
            if self.state == "starting":
                self.state = "running"
            self._flush(run, self.state)

    def _stepped(self, run: Run, progress: Progress) -> None:
        session = self._session
        if session is None:
            return
        if progress.rows:
            with self._lock:
                self._announced += session.take(progress.rows)
        if monotonic() - self._flushed >= PACE:
            with self._lock, self.hold_sync():
                self._flush(run, self.state)

    def _flush(self, run: Run, state: str) -> None:
        """Tell the browser what is new."""
        session = self._session
        assert session is not None
        self._flushed = monotonic()
        if run.step:
            self._pace = 0.0, run.seconds / (run.step * len(session.strategies) * session.seeds)
        going = run.step > 1 and state in BUSY
        to_go = run.seconds / run.step * (run.steps - run.step) if going else None
        self.progress = self._progress(run.step, run.seconds, str(run.device), to_go)
        self.runs = session.shown()
        if text := session.tenth(run.step):
            self._announced.append(text)
        if self._announced and state in BUSY:
            self._say(" ".join(self._announced))
            self._announced = []
        if news := session.curves.news():
            self.send(news)
        self.messages = self._told(state)

    def _ended(self, run: Run | None, error: BaseException | None) -> None:
        found = _found(run)
        with self._lock, self.hold_sync():
            session, self.comparison, self._error = self._session, found, error
            assert session is not None
            done = run is not None and run.finished
            state = "failed" if error else "finished" if done else "stopped"
            if found is not None and run is not None:
                session.listen(run)
                self.result = session.table(found, None if done else run.step)
                self._flush(run, state)
            self.messages = self._told(state)
            self._say(" ".join([*self._announced, self._ending(session, state)]))
            self._announced = []
            self.state = state  # last: who waits for it finds everything

    def _ending(self, session: Session, state: str) -> str:
        """The end of a training, read aloud."""
        text = self.messages[0]["text"]
        if state != "finished":
            return text
        first = next(iter(session.strategies))
        return f"{text} {words.first_line(first, self.result['metric'], self.result['rows'][0])}"

    def _waited_for(self) -> Any:
        trainer = self._trainer
        assert trainer is not None
        return Training(self, trainer) if _in_a_loop() else self._waited_here(trainer)

    def _waited_here(self, trainer: Trainer) -> Comparison:
        try:
            while trainer.busy:
                trainer.join(POLL)
        except KeyboardInterrupt:
            self.stop()
            trainer.join()
            raise
        return self._outcome(trainer)

    def _outcome(self, trainer: Trainer) -> Comparison:
        if trainer.error is not None:
            raise trainer.error
        if self.comparison is None:
            raise ComparisonError("The view was closed before anything was measured.")
        return self.comparison

    # -- what is said ------------------------------------------------------------------------

    def _say(self, text: str, refused: bool = False) -> None:
        self.said = {"id": self.said["id"] + 1, "text": text, "refused": refused}

    def _tell(self) -> None:
        """Everything that follows from the state and the settings."""
        if self.state == "setup":
            self.setup = self._setup.shown()
        self.messages = self._told(self.state)
        self.written = self.code()

    def _told(self, state: str) -> list[Message]:
        """The status strip, the worst first; what came of a training comes before all warnings."""
        setup, session = self._setup, self._session
        if session is None:
            problems = [words.problem(text) for text in setup.problems()]
            return problems or [words.before(len(setup.labelled()), setup.count, self._expected())]
        runs, begun = len(session.strategies), [self._begun] if self._begun else []
        step, seconds = self.progress["step"], self.progress["seconds"]
        warned, remarks = session.warnings(), [*begun, *session.remarks()]
        plain = {
            "starting": words.starting(),
            "running": words.before(runs, session.seeds, self._expected()),
            "stopping": words.stopping(),
            "stopped": words.stopped(step),
            "finished": words.finished(seconds, runs, session.seeds, session.steps),
        }
        if state == "running":
            return [*warned, plain["running"], *remarks]
        if state == "failed" and self._error is not None:
            return [words.failed(self._error, bool(self.result)), *warned, *remarks]
        return [plain[state], *warned, *remarks]

    def _expected(self) -> float | None:
        """Seconds that all takes, if it is known how long one step does."""
        if self._pace is None or self._setup.evolves:
            return None
        fixed, each = self._pace
        runs = len(self._setup.labelled()) * self._setup.count
        return runs * (fixed + each * self._setup.steps)

    def _progress(
        self, step: int, seconds: float, device: str, to_go: float | None = None
    ) -> dict[str, Any]:
        return {
            "step": step,
            "steps": self._setup.steps,
            "seconds": seconds,
            "to_go": to_go,
            "seeds": self._setup.count,
            "device": device,
        }

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """The state for the browser."""
        state = super().get_state(key, drop_defaults)
        if "written" in state:
            state["code"] = state.pop("written")
        return state

    # -- where it is shown -------------------------------------------------------------------

    def _measure(self) -> None:
        """Take a few steps, to know how long all will take."""
        setup = self._setup
        if self._pace is not None or self._slow or self.state != "setup" or setup.problems():
            return
        if setup.evolves:  # a few of its steps may be much of its budget
            return
        assert setup.task is not None  # else there was a problem
        strategies, steps = setup.labelled(), 2 * LOGGED  # every second step has rows
        settings = {"seeds": setup.seeds, "steps": steps, "device": setup.device}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                run = Run(setup.task, strategies, **settings)
                seconds = [run.seconds for _, _ in zip(run.train(), range(5), strict=False)]
        except Exception:  # training will raise it again, where somebody looks
            return
        first, each, with_rows = seconds[0], seconds[3] - seconds[2], seconds[4] - seconds[3]
        runs = len(strategies) * setup.count
        rows = min(setup.steps, LOGGED) * max(0.0, with_rows - each)
        self._pace = (first + rows) / runs, each / runs
        self._tell()

    def __repr__(self) -> str:
        return self.code()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict] | None:
        self._measure()
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        with self._lock:
            points = self._session.curves.points if self._session else {}
            drawn = picture(self.setup, self.runs, self.result, points, self.messages)
        return {**data, "text/plain": self.code(), "image/svg+xml": drawn}, metadata


class Training:
    """A training in the background: `await` it for the comparison."""

    def __init__(self, view: ComparisonView, trainer: Trainer):
        self._view, self._trainer = view, trainer

    def __await__(self) -> Generator[Any, None, Comparison]:
        return self._wait().__await__()

    async def _wait(self) -> Comparison:
        try:
            while self._trainer.busy:
                await asyncio.sleep(POLL)
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._view.stop()
            raise
        return self._view._outcome(self._trainer)

    def __repr__(self) -> str:
        return f"Training in the background, {self._view.state}; await it for the comparison."


def _found(run: Run | None) -> Comparison | None:
    try:
        return None if run is None else run.comparison()
    except ComparisonError:  # nothing was measured yet
        return None


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _refuse_no_task(task: Any) -> None:
    if task is None or isinstance(task, Task):
        return
    name = getattr(task, "__name__", "")
    way = f"Call it: {name}()." if callable(task) and name else words.NO_TASK[1]
    raise ComparisonError(f"Wanted a task, got {task!r}. {way}")


def _list_text(text: str) -> str:
    return f"[{text.strip().rstrip(',')}]" if "," in text else text


# The notebook


def _shell() -> Any:
    """The shell of the notebook, if this is one."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def _name_of(task: Task | None) -> str:
    """What the notebook calls a task."""
    names = getattr(_shell(), "user_ns", {})
    own = [n for n, v in [*names.items()] if v is task and task is not None and n[:1] != "_"]
    return own[0] if own else ""


def _executing_cell() -> tuple[str, str]:
    """The cell that is being executed, and this execution of it; empty where there is none.

    Where the notebook doesn't say which cell it is, its code has to do.
    """
    parent = getattr(_shell(), "get_parent", dict)() or {}
    cell = parent.get("metadata", {}).get("cellId") or parent.get("content", {}).get("code")
    return str(cell or ""), str(parent.get("header", {}).get("msg_id", ""))


def _close_former(cell: tuple[str, str]) -> None:
    """Close what a former execution of the same cell has made."""
    for view in list(_views):
        if cell[0] and view._cell[0] == cell[0] and view._cell[1] != cell[1]:
            view.close()


@atexit.register
def _stop_all() -> None:
    """A thread inside torch must not meet the end of the interpreter."""
    for view in list(_views):
        trainer = view._trainer
        if trainer is not None:
            trainer.stop()
            trainer.join(PATIENCE)
