"""Evolution of the runs of a strategy: whole populations on one batch, the best of them shown."""

import io
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from shapekeeper.randomness import seed_of
from shapekeeper.strategies import RejectionEvolution, StrategyError

from .candidates import Judged, Points
from .program import Named

__all__ = ["Evolution", "words"]

DIAGONAL = 100  # weights, beyond which the covariance is diagonal
DRAWS = 10  # times the population are drawn for one generation at most
NARROWEST = 1e-3  # times the first step size is as far as failing narrows it
NEAR = 2  # standard deviations of each number, which the mean may be off a set it passes through
FAR = 1e12  # factor on the first step size, or its inverse, beyond which numbers lose their meaning


def _library() -> Any:
    """The library that evolution is done by.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import cma
    except ImportError as error:
        raise ImportError(
            "RejectionEvolution needs cma: pip install 'shapekeeper[evolution]'. The other "
            "strategies work without."
        ) from error
    return cma


# Rows of weights, and which run each is of -> what they are worth.
Judge = Callable[[list[int], Points], Judged]
# Rows of weights -> the nearest allowed ones.
Project = Callable[[Points], Points]
# A run takes over a row of what was judged.
Show = Callable[[int, np.ndarray, Judged, int], None]


class Evolution:
    """One evolution for each run; all share the evaluation of their candidates.

    Args:
        hooks: The strategy.
        seeds: One for each run.
        purpose: What its random numbers are for; another stage draws others.
        shown: The networks that the runs show at first, `(runs, numbers)`.
        project: Where weights pass through a projection: what it makes of them; else None.

    Attributes:
        spent: Forward passes of each run.
        drawn: Candidates of each run.
        obeyed: How many of them obeyed.
        loss: Of the network that is shown, on the batch on which it was tried last.
        worst: Its worst violation there.

    Raises:
        ImportError: Without cma.
        StrategyError: If the budget is not enough for a single generation.
    """

    def __init__(
        self,
        hooks: RejectionEvolution,
        seeds: list[int],
        purpose: str,
        shown: Points,
        project: Project | None = None,
    ) -> None:
        self.hooks, self.library, self.project = hooks, _library(), project
        self.numbers = shown.shape[1]
        self.population = hooks.candidates(self.numbers)
        if hooks.evaluations <= self.population:
            raise StrategyError(
                f"Wanted evaluations for the network and a generation of {self.population} "
                f"candidates, {self.population + 1} or more, got {hooks.evaluations}."
            )
        self.draws = [Draws(seed, purpose) for seed in seeds]
        self.searches = [
            self._search(x, draws, hooks.step_size)
            for x, draws in zip(shown, self.draws, strict=True)
        ]
        self.shown = shown.copy()
        runs = len(seeds)
        self.spent, self.drawn, self.obeyed = [0] * runs, [0] * runs, [0] * runs
        self.loss, self.worst = np.full(runs, np.nan), np.zeros(runs)

    def go_on(self, due: int, living: list[int], judge: Judge, show: Show) -> bool:
        """Evolve on one batch until no whole generation is left of what is due.

        Args:
            due: Forward passes that each run should have done then.
            living: The runs that go on.
            judge: What rows are worth on the batch.
            show: Called where a run shows another network, or its own with what it was judged.

        Returns:
            Whether anything was tried.
        """
        tried: dict[int, tuple[Judged, int]] = {}  # what is shown, on this batch
        while active := [i for i in living if self.spent[i] + self._cost(i, tried) <= due]:
            self._generation(active, tried, judge, show)
        for i, (judged, row) in tried.items():
            self.loss[i], self.worst[i] = judged.loss[row], judged.worst[row]
        return bool(tried)

    # -- one generation ----------------------------------------------------------------------

    def _cost(self, i: int, tried: dict[int, Any]) -> int:
        """Forward passes of a generation in which nobody is drawn anew."""
        return self.population + (i not in tried) + (self.searches[i].countiter > 0)

    def _generation(
        self, active: list[int], tried: dict[int, tuple[Judged, int]], judge: Judge, show: Show
    ) -> None:
        """A population of each run, drawn anew as long as it has to be."""
        total = self.hooks.evaluations
        kept: dict[int, list[tuple[np.ndarray, Judged, int]]] = {i: [] for i in active}
        drawn = dict.fromkeys(active, 0)
        first = [(i, x) for i in active for x in self._known(i, tried)]
        while True:
            asked = {
                i: min(
                    self.population - len(kept[i]),
                    DRAWS * self.population - drawn[i],
                    total - self.spent[i] - sum(run == i for run, _ in first),
                )
                for i in active
            }
            fresh = [(i, x) for i, n in asked.items() if n > 0 for x in self._ask(i, n)]
            if not fresh:
                break
            pairs = first + fresh
            points = np.stack([x for _, x in pairs])
            judged = judge([i for i, _ in pairs], points)
            for row, (i, x) in enumerate(pairs):
                self.spent[i] += 1
                self._take(i, x, judged, row, tried, show)
                if row < len(first):
                    continue
                drawn[i] += 1
                self.drawn[i] += 1
                self.obeyed[i] += bool(judged.obeys[row])
                if judged.obeys[row] or self.hooks.violators == "ranked":
                    kept[i].append((x, judged, row))
            first = []
        for i in active:
            if len(kept[i]) == self.population:
                self._tell(i, kept[i])
            elif drawn[i] == DRAWS * self.population:
                size = self.searches[i].sigma
                narrower = max(size / 2, min(size, NARROWEST * self.hooks.step_size))
                self._anew(i, narrower if _obeys(tried[i]) else size)

    def _known(self, i: int, tried: dict[int, Any]) -> list[np.ndarray]:
        """The network that is shown, first on each batch, and the mean once it has moved."""
        mean = [self.searches[i].mean] if self.searches[i].countiter > 0 else []
        return ([] if i in tried else [self.shown[i]]) + mean

    def _take(
        self,
        i: int,
        x: np.ndarray,
        judged: Judged,
        row: int,
        tried: dict[int, tuple[Judged, int]],
        show: Show,
    ) -> None:
        """Show a network if it is better than the one that is shown; the first is that one."""
        if i in tried:
            may = judged.obeys[row]
            if self.hooks.violators == "ranked":
                may = judged.weights_obey[row]
            other, place = tried[i]
            if not may or not judged.rank(row) < other.rank(place):
                return
        tried[i] = judged, row
        self.shown[i] = x
        show(i, x, judged, row)

    def _tell(self, i: int, kept: list[tuple[np.ndarray, Judged, int]]) -> None:
        """Hand losses over; those that violate rank behind, by how much they do."""
        loss = np.array([judged.loss[row] for _, judged, row in kept])
        obeys = np.array([judged.obeys[row] for _, judged, row in kept])
        miss = np.array([judged.miss[row] for _, judged, row in kept])
        fitness = np.where(obeys, loss, loss[obeys].max(initial=0.0) + miss)
        broken = ~(np.isfinite(loss) & np.isfinite(fitness))
        fitness[broken] = fitness[~broken].max(initial=0.0) + 1
        with _quiet():
            self.searches[i].tell([x for x, _, _ in kept], fitness.tolist())
        self.searches[i].sent_solutions.clear()  # else it hoards the rejected ones
        if self.project is not None:
            self._pull(self.searches[i], self.project)
        spread = self.searches[i].sigma / self.hooks.step_size
        if not 1 / FAR < spread < FAR:
            self._anew(i, self.hooks.step_size)

    @staticmethod
    def _pull(search: Any, project: Project) -> None:
        """Keep the mean near the set.

        Outside, all that projects to the same point is worth the same: a mean that has overshot
        would stay there for good, and see nothing of the inside. On the edge itself every step
        outward would be as good as none, and the step size would grow without end.
        """
        nearest, reach = project(search.mean[None])[0], NEAR * search.stds
        search.mean = nearest + np.clip(search.mean - nearest, -reach, reach)

    def _ask(self, i: int, count: int) -> list[np.ndarray]:
        with _quiet():
            return self.searches[i].ask(count)

    # -- the library -------------------------------------------------------------------------

    def _anew(self, i: int, step_size: float) -> None:
        """Search around the network that is shown."""
        self.searches[i] = self._search(self.shown[i], self.draws[i], step_size)

    def _search(self, x: np.ndarray, draws: "Draws", step_size: float) -> Any:
        options = {
            "popsize": self.population,
            "CMA_diagonal": self.numbers > DIAGONAL,
            # The library's own choice for many weights demands pairs, and draws from numpy itself.
            "AdaptSigma": self.library.sigma_adaptation.CMAAdaptSigmaCSA,
            "randn": draws,
            "seed": np.nan,  # else it would seed numpy's global generator
            "verbose": -10,  # the only one that also reads no file
            "verb_log": 0,
            "verb_disp": 0,
        }
        with _quiet():
            return self.library.CMAEvolutionStrategy(x, step_size, options)

    def state(self) -> tuple[Named, dict[str, Any]]:
        """Tensors and plain data from which `restore` goes on."""
        pairs = zip(self.searches, self.draws, strict=True)
        packed = [np.frombuffer(pickle.dumps(pair), np.uint8).copy() for pair in pairs]
        tensors = {str(i): torch.from_numpy(bytes_) for i, bytes_ in enumerate(packed)}
        tensors |= {name: torch.from_numpy(getattr(self, name).copy()) for name in _ARRAYS}
        return tensors, {name: list(getattr(self, name)) for name in _COUNTS}

    def restore(self, tensors: Named, record: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        for i in range(len(self.searches)):
            packed = io.BytesIO(tensors[str(i)].cpu().numpy().tobytes())
            self.searches[i], self.draws[i] = _Unpacker(packed).load()
        for name in _ARRAYS:
            setattr(self, name, tensors[name].cpu().numpy().copy())
        for name in _COUNTS:
            setattr(self, name, list(record[name]))


_ARRAYS = ("shown", "loss", "worst")
_COUNTS = ("spent", "drawn", "obeyed")


class Draws:
    """Standard normal numbers, a function of seed, purpose and how often they were asked for.

    Args:
        seed: Of the run.
        purpose: What they are for.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        self.seed, self.purpose, self.block = seed, purpose, 0

    def __call__(self, *shape: int) -> np.ndarray:
        """The next block."""
        draw = np.random.default_rng(seed_of(self.seed, self.purpose, self.block))
        self.block += 1
        return draw.standard_normal(shape)


class _Unpacker(pickle.Unpickler):
    """Makes searches, and nothing that could run a program: a folder may come from anywhere."""

    def find_class(self, module: str, name: str) -> Any:
        """A part of the library, an array, or our own draws."""
        found = super().find_class(module, name) if "." not in name else None
        part = module.startswith("cma.") and (isinstance(found, type) or name in _PARTS)
        array = module.partition(".")[0] == "numpy" and name in _ARRAY_PARTS
        if part or array or found is Draws:
            return found
        raise pickle.UnpicklingError(f"Wanted the state of an evolution, got {module}.{name}.")


_PARTS = {"_pass", "is_feasible"}
_ARRAY_PARTS = {"_reconstruct", "dtype", "eigh", "ndarray", "scalar"}


@contextmanager
def _quiet() -> Iterator[None]:
    """What the library warns of is about its own termination, which is not asked for here."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _obeys(shown: tuple[Judged, int]) -> bool:
    judged, row = shown
    return bool(judged.obeys[row])


def words(label: str, hooks: RejectionEvolution, drawn: list[int], obeyed: list[int]) -> str:
    """How many candidates obeyed, in a sentence; none where what is inside sees to that.

    Args:
        label: What the strategy is called.
        hooks: The strategy.
        drawn: Candidates of each seed.
        obeyed: How many of them obeyed.
    """
    if hooks.inside is not None or not sum(drawn):
        return ""
    seeds = f" of {len(drawn)} seeds" if len(drawn) > 1 else ""
    told = f"{label}: {_spaced(sum(obeyed))} of {_spaced(sum(drawn))} candidates{seeds} obeyed"
    if not (barren := obeyed.count(0)):
        return f"{told}."
    where = "" if barren == len(drawn) else f"in {barren} seeds none did: "
    left = "it had nothing to start from, and the network stayed as it was"
    if hooks.violators == "ranked":
        left = "what is shown is the network whose layers violate least"
    return f"{told}; {where}{left}. Way out: inside=Projection()."


def _spaced(count: int) -> str:
    return f"{count:,}".replace(",", " ")
