"""One comparison on many processes is the comparison of one process."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import joblib
import psutil
import pytest
import torch
from comparisons import TASKS, Dropping, assert_same, normed
from points import Net, task
from torch.nn import functional as F

import shapekeeper as sk
from shapekeeper.compare.run import Run

pytestmark = pytest.mark.filterwarnings("ignore:.*seeds were trained one after another")

HOME = os.getpid()
LATE = sk.Staged(sk.Stage(0.5, sk.Unconstrained()), sk.Stage(0.5, sk.Projection()))
STRATEGIES = [
    sk.Penalty([0.1, 1.0]),
    sk.AugmentedLagrangian([0.5, 2.0], dual_step=0.1),
    sk.Freeze(),
    LATE,
]


@pytest.mark.parametrize("name", ["buffers", "bound output", "filters", "not batched"])
def test_strategies_in_two_processes_as_in_one(name):
    bound = task(model=lambda seed: Dropping()) if name == "not batched" else TASKS[name]()
    one, two = (sk.compare(bound, STRATEGIES, seeds=3, steps=20, n_jobs=jobs) for jobs in (1, 2))
    assert_same(two, one, bound=1e-9)
    assert two.notes == one.notes
    assert list(two.strategies) == list(one.strategies)


def test_the_seeds_of_one_strategy_in_two_processes():
    seeds = [5, 0, 3, 8, 1]
    one, two = (sk.compare(normed(), [LATE], seeds=seeds, steps=20, n_jobs=jobs) for jobs in (1, 2))
    assert_same(two, one, bound=1e-9)
    assert two.seeds == seeds
    split = Run(normed(), [LATE], seeds=seeds, steps=20, groups=2)
    assert [part.seeds for part in split.parts] == [[5, 0], [3, 8, 1]]


def test_the_work_is_done_elsewhere_and_a_callback_hears_of_each_part(tmp_path):
    """Each process that trains leaves a file; here, only one step of each strategy is tried."""
    passes, heard = [], []

    def loss(prediction, target):
        passes.append(0)
        (tmp_path / str(os.getpid())).touch()
        return F.cross_entropy(prediction, target)

    def hear(progress: sk.Progress) -> None:
        assert max(row["step"] for row in progress.rows) == progress.steps == 20
        heard.append((progress.step, {row["strategy"] for row in progress.rows}))

    settings = {"seeds": 2, "steps": 20, "n_jobs": 2, "callback": hear}
    found = sk.compare(task(loss=loss), STRATEGIES, **settings)
    elsewhere = {int(path.name) for path in tmp_path.iterdir()} - {HOME}
    assert 1 <= len(elsewhere) <= 2
    assert 0 < len(passes) < 60
    assert [step for step, _ in heard] == [0, 0, 0, 20]
    assert sum(len(labels) for _, labels in heard) == len(found.strategies) == 6


def test_a_folder_is_where_it_is_asked_for_wherever_the_workers_began(tmp_path, monkeypatch):
    settings = {"seeds": 2, "steps": 5, "n_jobs": 2}
    sk.compare(task(), STRATEGIES[2:], **settings)  # they stay, and go on in the folder of now
    monkeypatch.chdir(tmp_path)
    sk.compare(task(), STRATEGIES[2:], checkpoint="kept", **settings)
    parts = list((tmp_path / "kept").glob("*.safetensors"))
    assert len(parts) == 2


def test_what_is_refused_is_refused_before_a_worker_is_asked():
    with pytest.raises(sk.TaskError, match=r"did you mean 'first.weight'"):
        sk.compare(
            task(constraints={"first.wieght": sk.Sphere()}), [sk.Freeze()], seeds=2, n_jobs=2
        )


def test_the_default_type_travels():
    """Models and data here are made of whatever the default is; a worker has another."""
    before = torch.get_default_dtype()
    made = task(model=lambda seed: Net(dtype=None))
    try:
        torch.set_default_dtype(torch.float64)
        one, two = (sk.compare(made, STRATEGIES, seeds=2, steps=20, n_jobs=jobs) for jobs in (1, 2))
    finally:
        torch.set_default_dtype(before)
    assert two.tensors["Freeze"]["last.weight"].dtype == torch.float64
    assert_same(two, one, bound=1e-9)
    asked = joblib.Parallel(n_jobs=2)(joblib.delayed(torch.get_default_dtype)() for _ in range(4))
    assert set(asked) == {before}, "and the worker has its own back"


def test_stopped_by_a_callback_it_goes_on_from_its_checkpoint(tmp_path, recwarn):
    """Whether many processes began and one goes on, or the other way round."""
    wanted = sk.compare(normed(), STRATEGIES, seeds=3, steps=20)
    for first, then in ((1, 2), (2, 1)):
        heard: list[set[str]] = []

        def stop(progress, heard=heard):
            heard.append({row["strategy"] for row in progress.rows})
            return True

        settings = {"seeds": 3, "steps": 20, "checkpoint": tmp_path / str(first)}
        begun = sk.compare(normed(), STRATEGIES, **settings, n_jobs=first, callback=stop)
        assert begun.notes == ["Stopped at step 0 of 20."]
        assert len(heard) == 1
        assert set(begun.strategies) == set(begun.frame["strategy"]) == heard[0]
        found = sk.compare(normed(), STRATEGIES, **settings, n_jobs=then)
        assert_same(found, wanted, bound=1e-9)
        again = sk.compare(normed(), STRATEGIES, **settings, n_jobs=then)
        assert_same(again, found, bound=0.0)
    assert not [w for w in recwarn if "cancelled" in str(w.message)]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("the wire was cut"), "the wire was cut"),
        (sk.TaskError("task 'points'", ["No data.", "No light."]), r"'points': No data\. No light"),
    ],
    ids=["ValueError", "TaskError"],
)
def test_an_error_in_a_worker_arrives_with_its_words(error, words):
    with pytest.raises(type(error), match=words):
        sk.compare(task(loss=failing_with(error)), STRATEGIES, seeds=2, steps=20, n_jobs=2)


def failing_with(error: Exception):
    """A loss that fails where this module was not at home."""

    def loss(prediction, target):
        if os.getpid() != HOME:
            raise error
        return F.cross_entropy(prediction, target)

    return loss


# -- a script -------------------------------------------------------------------------------------


def gone(processes) -> bool:
    """Whether they all end, asked until they do."""
    return not psutil.wait_procs(processes, timeout=60)[1]


def test_a_script_with_lambdas_and_classes_of_its_own(tmp_path):
    command = [sys.executable, str(Path(__file__).with_name("worked.py")), str(tmp_path)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    words = process.communicate(timeout=240)[1]
    assert process.returncode == 0, words
    one, two = (sk.Comparison.load(tmp_path / jobs) for jobs in ("1", "2"))
    assert_same(two, one, bound=1e-9)
    assert len(two.frame) == 3 * 3 * 21
    left = [p for p in psutil.process_iter() if session(p.pid) == process.pid]
    assert gone(left), "no worker outlives its script"


def session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


# -- a cluster ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client():
    """Two worker processes of one thread; when they are let go, nothing is left of them."""
    distributed = pytest.importorskip(
        "distributed", reason="a Dask cluster needs distributed: pip install shapekeeper[cluster]"
    )
    before = begun_here()
    made = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with made, distributed.Client(made) as client:
        address = made.scheduler_address
        yield client
        begun = begun_here() - before
    assert len(begun) >= 2
    assert gone(begun), "no worker is left behind"
    host, port = address.removeprefix("tcp://").split(":")
    with socket.socket() as asked:
        assert asked.connect_ex((host, int(port))) != 0, "nor a port"


def begun_here() -> set:
    """Processes below this one, but for one that Python keeps to look after shared memory."""
    below = psutil.Process().children(recursive=True)
    return {p for p in below if not any("resource_tracker" in word for word in p.cmdline())}


@pytest.fixture
def cluster(client):
    with joblib.parallel_config(backend="dask"):
        yield client


def test_a_cluster_as_one_process(cluster):
    wanted = sk.compare(normed(), STRATEGIES, seeds=3, steps=20)
    assert_same(sk.compare(normed(), STRATEGIES, seeds=3, steps=20, n_jobs=2), wanted)
    seeds = sk.compare(normed(), [LATE], seeds=4, steps=20, n_jobs=2)
    assert_same(seeds, sk.compare(normed(), [LATE], seeds=4, steps=20))


def test_an_error_on_a_cluster_arrives_with_its_words(cluster):
    failing = task(loss=failing_with(ValueError("the wire was cut")))
    with pytest.raises(ValueError, match="the wire was cut"):
        sk.compare(failing, STRATEGIES, seeds=2, steps=20, n_jobs=2)


class Killer(Thread):
    """Kills the first worker that is seen to have taken so many steps and to have saved some."""

    def __init__(self, marks: Path, steps: int, kept: Path):
        super().__init__(daemon=True)
        self.marks, self.steps, self.kept, self.killed = marks, steps, kept, 0
        self.start()

    def run(self):
        deadline = time.monotonic() + 240
        while not self.killed and time.monotonic() < deadline:
            taken = {path: path.stat().st_size for path in self.marks.iterdir()}
            far = [int(path.name) for path, size in taken.items() if size >= self.steps]
            if far and any(self.kept.glob("*.safetensors")):
                os.kill(far[0], signal.SIGKILL)
                self.killed = far[0]
            time.sleep(0.001)


def test_one_of_two_workers_is_killed(cluster, tmp_path):
    """The other one, or one that takes its place, trains what is missing: to the same numbers."""
    marks, kept = tmp_path / "marks", tmp_path / "kept"
    marks.mkdir()

    def loss(prediction, target):
        if os.getpid() != HOME:
            with open(marks / str(os.getpid()), "a") as file:
                file.write(".")  # one for each pass
        return F.cross_entropy(prediction, target)

    strategies = [sk.Penalty([0.1, 1.0]), sk.Projection()]
    settings = {"seeds": 2, "steps": 400}
    wanted = sk.compare(normed(), strategies, **settings)
    killer = Killer(marks, 150, kept)
    found = sk.compare(normed(loss=loss), strategies, **settings, n_jobs=2, checkpoint=kept)
    killer.join()
    assert killer.killed, "or nothing was tested"
    assert not psutil.pid_exists(killer.killed)
    assert_same(found, wanted, bound=1e-9)
    assert len(list(marks.iterdir())) >= 2
