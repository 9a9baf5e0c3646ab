"""A folder from which a comparison goes on after it was stopped, or killed."""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from time import perf_counter
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.optim import Optimizer

from shapekeeper.constraints import Constraint
from shapekeeper.strategies import Strategy
from shapekeeper.tasks import Task

from .comparison import ComparisonError
from .program import Named
from .state import restore, state_of
from .training import Training

__all__ = ["Checkpoint"]

FORMAT = 1  # of the folder
PLAN = "checkpoint.json"
SPARED = 20  # times as long as it takes to save are trained before it is done again
AT_LEAST = 0.2  # seconds of training between two saves
_ABSENT = object()
_LACKS = (LookupError, AttributeError)  # what is raised where something is not what it should be


class Checkpoint:
    """Where the parts of a comparison are kept, each in a file of its own.

    A file is written beside its place and then put there in one move, so that it is whole whenever
    the process dies, and workers may write into one folder; what a killed process had begun to
    write ends in `.part`, is never read, and may be deleted. A part is known by its strategies and
    seeds: in a folder that has some of them already, only the others are trained.

    Args:
        folder: Where; made when first written to.
        task: What is trained.
        seeds: Of all runs.
        steps: Of each run.
        groups: The seeds as they are trained together; those that a folder was begun with are kept.

    Attributes:
        groups: The seeds as they are trained together.

    Raises:
        ComparisonError: If the folder holds something else; nothing in it is touched.
    """

    def __init__(
        self, folder: str | Path, task: Task, seeds: list[int], steps: int, groups: list[list[int]]
    ) -> None:
        # A worker may have been started in another folder, and another comparison.
        self.folder = Path(folder).absolute()
        wanted = {"format": FORMAT, "task": _described(task, seeds[0]), "seeds": seeds}
        wanted = json.loads(json.dumps({**wanted, "steps": steps}))
        # Parts know to which comparison they belong: a file may have come from another folder.
        self.mark = _digest_of(json.dumps(wanted, sort_keys=True))
        found = self._found()
        if found is not None:
            self._refuse_other(found, wanted)
        self.groups: list[list[int]] = found["groups"] if found else groups
        self.plan = {**wanted, "groups": self.groups}
        self.saved: dict[str, int] = {}  # file name -> step
        self.last, self.cost = perf_counter(), 0.0

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In another process the clock is another one."""
        self.__dict__ |= state | {"last": perf_counter()}

    def load(self, part: Training) -> None:
        """Bring a part to where its file says it was; one without a file stays as it is.

        Raises:
            ComparisonError: If the file is damaged.
        """
        path = self.folder / _file_name(part)
        if not path.exists():
            return
        try:
            tensors, record = _read(path, self.mark)
            restore(part, tensors, record)
        except (SafetensorError, OSError, ValueError, TypeError, RuntimeError, *_LACKS) as error:
            raise ComparisonError(
                f"Wanted a part of a comparison as it was saved, got a damaged file, {path} "
                f"({error}). Delete that file to train its runs anew, or use another folder; "
                "nothing was changed."
            ) from error
        self.saved[path.name] = part.step

    def save(self, parts: Iterable[Training]) -> None:
        """Write every part that has taken a step since it was written last."""
        started = perf_counter()
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / PLAN).exists():
            self._put(PLAN, json.dumps(self.plan, indent=1).encode())
        for part in parts:
            name = _file_name(part)
            if part.history and self.saved.get(name) != part.step:
                self._put(name, _written(part, self.mark))
                self.saved[name] = part.step
        self.last = perf_counter()
        self.cost = self.last - started

    def save_now_and_then(self, parts: Iterable[Training]) -> None:
        """Save where enough was trained since, so that it costs a few percent at most."""
        if perf_counter() - self.last > max(AT_LEAST, SPARED * self.cost):
            self.save(parts)

    def _found(self) -> dict[str, Any] | None:
        """The plan in the folder; None if there is no folder, or an empty one."""
        plan = self.folder / PLAN
        if not plan.exists():
            if self.folder.is_file():
                raise ComparisonError(f"Wanted a folder, got the file {str(self.folder)!r}.")
            with suppress(FileNotFoundError):
                names = sorted(os.listdir(self.folder))
                if others := [name for name in names if not name.endswith(".part")]:
                    raise ComparisonError(
                        f"Wanted an empty folder or a checkpoint, got {str(self.folder)!r} with "
                        f"{', '.join(others[:3])}. Use another folder."
                    )
            return None
        try:
            found = json.loads(plan.read_text(encoding="utf-8"))
            complete = found.keys() >= {"format", "task", "seeds", "steps", "groups"}
            if found.get("format") == FORMAT:  # what another format means by these is not known
                complete &= [s for group in found["groups"] for s in group] == found["seeds"]
                complete &= isinstance(found["task"], dict)
        except (ValueError, TypeError, OSError, *_LACKS) as error:
            raise _unreadable(plan, str(error)) from error
        if not complete:
            raise _unreadable(plan, "it is not what a plan is")
        return found

    def _refuse_other(self, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        if found["format"] != FORMAT:
            raise ComparisonError(
                f"Wanted a checkpoint of format {FORMAT}, got {found['format']} in "
                f"{str(self.folder)!r}; read it with the version of shapekeeper that wrote it."
            )
        here, there = ({**d, **d["task"]} for d in (wanted, found))
        names = [name for name in here if name != "task" and here[name] != there.get(name, _ABSENT)]
        if names:
            told = [f"{n} {_short(here[n])}, it has {_short(there.get(n))}" for n in names]
            raise ComparisonError(
                f"The checkpoint in {str(self.folder)!r} is of another comparison. Wanted "
                f"{'; '.join(told)}. Use another folder, or ask for what it holds."
            )

    def _put(self, name: str, content: bytes) -> None:
        """Write a file in one move; of two writers the last wins, and neither leaves a half."""
        file = NamedTemporaryFile(dir=self.folder, suffix=".part", delete=False)
        try:
            with file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(file.name, self.folder / name)
        except BaseException:
            with suppress(FileNotFoundError):  # the move itself may be behind us
                os.unlink(file.name)
            raise


def _unreadable(path: Path, reason: str) -> ComparisonError:
    return ComparisonError(
        f"Wanted the plan of a checkpoint, got a damaged file, {path} ({reason}). Use another "
        "folder; nothing was changed."
    )


def _file_name(part: Training) -> str:
    """One name for one set of strategies and seeds."""
    strategies = {label: _identity(s) for label, s in part.strategies.items()}
    content = json.dumps([strategies, part.seeds, part.batched])
    return f"{sha256(content.encode()).hexdigest()[:16]}.safetensors"


def _identity(strategy: Strategy) -> Any:
    """A strategy as plain data; the model of a stage is code, and known by its name."""
    models = [stage.model for stage in strategy.stages()]
    return strategy.to_json(), [_name(model) if model else None for model in models]


def _described(task: Task, seed: int) -> dict[str, Any]:
    """What must be the same for a training to go on, weights and data by their digest."""
    optimizer = task.optimizer(list(task.start_model(seed).parameters()))
    data = task.data_for(seed).parts.items()
    return {
        "name": task.name,
        "metric": task.metric_name,
        "loss": _name(task.loss),
        "regularizer": _name(task.regularizer) if task.regularizer else None,
        "supervision": _name(task.supervision) if task.supervision else None,
        "batch_size": task.batch_size,
        "in_order": task.in_order,
        "optimizer": [type(optimizer).__name__, _digest_of(_rates(optimizer))],
        "constraints": {name: _digest_of(_words(c)) for name, c in task.constraints.items()},
        "starting weights": _digest(task.start_model(seed).state_dict()),
        "data": _digest({f"{n}/{i}": t for n, pair in data for i, t in enumerate(pair)}),
    }


def _rates(optimizer: Optimizer) -> str:
    """The settings of all groups of parameters."""
    groups = optimizer.param_groups
    return repr([{k: v for k, v in group.items() if k != "params"} for group in groups])


def _words(c: Constraint) -> str:
    """A constraint as text; somebody's own need not be plain data."""
    try:
        return json.dumps(c.to_json())
    except TypeError:
        return repr(c)


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__qualname__)


def _digest_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def _digest(tensors: Named) -> str:
    """A short digest of names, shapes, types and numbers."""
    flat = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    return sha256(save({name: t.clone() for name, t in flat.items()})).hexdigest()[:16]


def _written(part: Training, mark: str) -> bytes:
    """A part as one file: tensors, and everything else in its header."""
    tensors, record = state_of(part)
    text = json.dumps(record)
    digest = _digest_of(_digest(tensors) + text)
    head = {"format": str(FORMAT), "comparison": mark, "digest": digest, "record": text}
    return save(tensors, head)


def _read(path: Path, mark: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        head = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    if head.get("format") != str(FORMAT):
        raise ValueError(f"format {head.get('format')}, wanted {FORMAT}")
    if head["comparison"] != mark:
        raise ValueError("it belongs to another comparison")
    if head["digest"] != _digest_of(_digest(tensors) + head["record"]):
        raise ValueError("its numbers are not those that were written")
    return tensors, json.loads(head["record"])


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 60 else f"{text[:57]}…"
