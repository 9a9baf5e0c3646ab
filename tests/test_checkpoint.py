"""A comparison that is killed and started again ends with the numbers of one that never was."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import fields
from functools import partial
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import torch
from comparisons import TASKS, Dropping, assert_same, normed, shifted
from killed import COMPARISONS
from points import CLOSED, DOUBLE, Net, points, task
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import shapekeeper as sk
from shapekeeper.compare import checkpoint
from shapekeeper.compare.run import Run
from shapekeeper.compare.training import Training
from shapekeeper.optimizers import ELEMENTWISE

pytestmark = pytest.mark.filterwarnings("ignore:.*seeds were trained one after another")

LAGRANGE = sk.AugmentedLagrangian([0.5, 2.0], dual_step=0.1)
STRATEGIES = [sk.Penalty([0.1, 1.0]), sk.Freeze(), sk.Projection()]
HERE = Path(__file__).parent


@pytest.fixture
def always(monkeypatch):
    """Save after each step."""
    monkeypatch.setattr(checkpoint, "AT_LEAST", 0)
    monkeypatch.setattr(checkpoint, "SPARED", 0)


# -- killed ---------------------------------------------------------------------------------------


def started(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-W", "ignore", str(HERE / "killed.py"), str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def written(folder: Path) -> dict[str, int]:
    """When each file of the checkpoints was written."""
    found = {}
    for path in folder.glob("*/*.safetensors"):
        try:
            found[str(path)] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found


def wait_for(process: subprocess.Popen, condition) -> None:
    """Return when the condition holds; fail when the process is at its end before."""
    deadline = time.monotonic() + 120
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"It was at its end too soon: {process.communicate()[1]}")
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def kill_after(process: subprocess.Popen, folder: Path, writes: int, half: bool) -> None:
    """Kill when so many files were seen to be written, if possible in the middle of the next."""
    before, seen = written(folder), 0

    def enough() -> bool:
        nonlocal before, seen
        now = written(folder)
        seen += sum(now[name] != before.get(name) for name in now)
        before = now
        return seen >= writes and (not half or seen > 2 * writes or any(folder.glob("*/*.part")))

    wait_for(process, enough)
    process.kill()
    assert process.wait() == -9, "killed, and not at its end"
    process.communicate()


def test_killed_five_times_as_never_killed(tmp_path):
    draw = random.Random(20)
    progress = []
    for kill in range(5):
        process = started(tmp_path)
        kill_after(process, tmp_path, writes=draw.randint(1, 40), half=kill % 2 == 0)
        progress.append(sum(steps(tmp_path).values()))
    assert all(a < b for a, b in pairwise(progress)), "each life went on from the one before"
    process = started(tmp_path)
    assert process.wait(120) == 0, process.communicate()[1]
    process.communicate()
    for name, compare in COMPARISONS.items():
        found, wanted = sk.Comparison.load(tmp_path / "ends" / name), compare()
        # What was written as text and read again is the same number.
        assert_same(found, sk.Comparison.load(wanted.save(tmp_path / "wanted" / name)), bound=1e-9)


def steps(folder: Path) -> dict[str, int]:
    """How far each part in the folders below has come."""
    found = {}
    for path in folder.glob("*/*.safetensors"):
        with safe_open(path, framework="pt") as file:
            head = file.metadata()
        if "record" in head:
            found[str(path)] = json.loads(head["record"])["step"]
    return found


# -- stopped, in one process ----------------------------------------------------------------------


def stopped(bound: sk.Task, folder: Path, at: int, strategies=STRATEGIES, total=12) -> Run:
    """Train until a step."""
    run = Run(bound, strategies, seeds=2, steps=total, checkpoint=folder)
    for progress in run.train():
        if progress.step == at:
            break
    return run


@pytest.mark.parametrize("name", ["Adam and buffers", "SGD and filters", "not batched"])
def test_a_new_run_for_each_step(tmp_path, name):
    settings = COMPARISONS[name].keywords | {"steps": 8}
    wanted = sk.compare(*COMPARISONS[name].args, **settings)
    for at in range(9):
        run = Run(*COMPARISONS[name].args, **settings, checkpoint=tmp_path)
        assert run.step == max(0, at - 1)
        for progress in run.train():
            if progress.step == at:
                break
        assert run.step == at
    assert run.finished
    assert_same(run.comparison(), wanted, bound=0.0)
    again = Run(*COMPARISONS[name].args, **settings, checkpoint=tmp_path)
    assert again.finished
    assert again.seconds > 0
    assert list(again.train()) == []
    assert_same(again.comparison(), wanted, bound=0.0)


OTHERS = [
    partial(torch.optim.SGD, lr=1e-2),
    partial(torch.optim.SGD, lr=1e-2, momentum=0.9, nesterov=True),
    partial(torch.optim.Adam, lr=1e-2, amsgrad=True),
    partial(torch.optim.Adam, lr=torch.tensor(1e-2)),
    partial(torch.optim.RMSprop, lr=1e-2, momentum=0.9, centered=True),
    partial(torch.optim.Adafactor, lr=1e-2),
    lambda parameters: torch.optim.Adam(
        [{"params": [p], "lr": 1e-3 * (i + 1)} for i, p in enumerate(parameters)]
    ),
]


@pytest.mark.parametrize("build", [*(partial(o, lr=1e-2) for o in ELEMENTWISE), *OTHERS])
def test_every_optimizer_goes_on(tmp_path, build):
    bound = normed(optimizer=build)
    wanted = sk.compare(bound, STRATEGIES, seeds=2, steps=12)
    run = stopped(bound, tmp_path, at=5)
    assert run.step == 5
    found = sk.compare(bound, STRATEGIES, seeds=2, steps=12, checkpoint=tmp_path)
    assert_same(found, wanted, bound=0.0)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("total", [1, 12])
def test_every_task_goes_on(tmp_path, name, total):
    bound, strategies = TASKS[name](), [sk.Penalty([0.1, 1.0]), LAGRANGE, sk.Projection()]
    wanted = sk.compare(bound, strategies, seeds=2, steps=total)
    stopped(bound, tmp_path, total // 2, strategies, total)
    found = sk.compare(bound, strategies, seeds=2, steps=total, checkpoint=tmp_path)
    assert_same(found, wanted, bound=0.0)


def test_single_precision_goes_on(tmp_path):
    bound = task(model=lambda seed: Net(torch.float32))
    wanted = sk.compare(bound, STRATEGIES, seeds=2, steps=12)
    stopped(bound, tmp_path, at=5)
    found = sk.compare(bound, STRATEGIES, seeds=2, steps=12, checkpoint=tmp_path)
    assert_same(found, wanted, bound=0.0)


def test_a_run_that_diverged_stays_where_it_was(tmp_path):
    bound = task(optimizer=partial(torch.optim.SGD, lr=1e-2))
    strategies = [sk.Penalty([0.1, 1e200]), sk.Projection()]
    wanted = sk.compare(bound, strategies, seeds=2, steps=12)
    assert wanted.final()["diverged"].sum() == 2
    stopped(bound, tmp_path, 5, strategies)
    found = sk.compare(bound, strategies, seeds=2, steps=12, checkpoint=tmp_path)
    assert_same(found, wanted, bound=0.0)
    assert found.notes == wanted.notes


def test_what_was_noted_is_still_noted(tmp_path):
    """Here, that a chart can't begin on the end of an interval."""
    bound = task(constraints={"first.weight": sk.Box(0.0, 1.0)})
    strategies = [sk.Reparametrization(), sk.Projection()]
    wanted = sk.compare(bound, strategies, seeds=2, steps=12)
    assert "was moved inside" in wanted.notes[0]
    stopped(bound, tmp_path, 5, strategies)
    found = sk.compare(bound, strategies, seeds=2, steps=12, checkpoint=tmp_path)
    assert found.notes == wanted.notes


class Mine(sk.Constraint, final=False):
    """What a newcomer writes: no dataclass, and nothing of it can be JSON."""

    event_dims = 1

    def __repr__(self):
        return "Mine()"

    def check(self, shape):
        pass

    def residual(self, x):
        return x.sum(-1, keepdim=True), x[..., :0]

    def project(self, x):
        return x - x.mean(-1, keepdim=True)

    def sample(self, shape, generator=None):
        return self.project(torch.randn(shape, generator=generator))


def test_a_constraint_of_ones_own_goes_on(tmp_path):
    bound = task(constraints={"first.weight": Mine()})
    wanted = sk.compare(bound, STRATEGIES, seeds=2, steps=12)
    stopped(bound, tmp_path, at=5)
    found = sk.compare(bound, STRATEGIES, seeds=2, steps=12, checkpoint=tmp_path)
    assert_same(found, wanted, bound=0.0)


def test_only_what_is_missing_is_trained(tmp_path):
    few, calls = [sk.Freeze(), sk.Penalty([0.1, 1.0])], 0

    def loss(prediction, target):
        nonlocal calls
        calls += 1
        return nn.functional.cross_entropy(prediction, target)

    bound = task(loss=loss)
    sk.compare(bound, few, seeds=2, steps=12, checkpoint=tmp_path)
    before = contents(tmp_path)
    calls = 0
    all_ = [*few, sk.Projection()]
    found = sk.compare(bound, all_, seeds=2, steps=12, checkpoint=tmp_path)
    with_some, calls = calls, 0
    assert_same(found, sk.compare(bound, all_, seeds=2, steps=12), bound=1e-9)
    finished = {name: content for name, content in contents(tmp_path).items() if name in before}
    assert finished == before
    assert len(contents(tmp_path)) == len(before) + 1
    # One strategy was trained, and all were tried: fewer passes than for all.
    assert with_some < calls
    calls = 0
    sk.compare(bound, all_, seeds=2, steps=12, checkpoint=tmp_path)
    assert calls < with_some - 12


def test_saving_is_rare_where_it_is_dear(tmp_path, monkeypatch):
    """With a clock of its own: a save that takes a second waits for twenty seconds of training."""
    now, saves = [0.0], []
    monkeypatch.setattr(checkpoint, "perf_counter", lambda: now[0])
    run = Run(task(), [sk.Freeze()], seeds=1, steps=99, checkpoint=tmp_path)
    put = run.checkpoint._put

    def slow(name, content):
        saves.append(now[0])
        now[0] += 1.0
        put(name, content)

    monkeypatch.setattr(run.checkpoint, "_put", slow)
    for _ in run.train():
        now[0] += 2.0
    plan, first, second, third, *_ = saves
    assert (plan, first) == (2.0, 3.0)
    assert 40 < second - 4 < 45
    assert 20 < third - (second + 1) < 25


# -- damaged, or of another comparison -------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def half(tmp_path_factory) -> Path:
    """A checkpoint that was left in the middle; tests take copies of it."""
    folder = tmp_path_factory.mktemp("half")
    stopped(task(), folder, at=5)
    return folder


@pytest.fixture
def mine(half, tmp_path) -> Path:
    return Path(shutil.copytree(half, tmp_path / "mine"))


def refused(folder: Path, words: str, bound=None, strategies=STRATEGIES, **settings) -> None:
    before = contents(folder)
    with pytest.raises(sk.ComparisonError, match=words) as caught:
        Run(bound or task(), strategies, **{"seeds": 2, "steps": 12, **settings}, checkpoint=folder)
    assert str(folder) in str(caught.value), "it says where"
    assert contents(folder) == before, "nothing is touched"


def part_of(folder: Path) -> Path:
    return sorted(folder.glob("*.safetensors"))[0]


CUTS = [0, 1, 7, 8, 9, 500, -2000, -8, -1]


@pytest.mark.parametrize("length", CUTS)
def test_a_part_that_was_cut(mine, length):
    path = part_of(mine)
    path.write_bytes(path.read_bytes()[:length])
    refused(mine, rf"a damaged file, .*{path.name} .*Delete that file to train its runs anew")


@pytest.mark.parametrize("length", [0, 1, 7, 100, -100, -1])
def test_a_plan_that_was_cut(mine, length):
    path = mine / "checkpoint.json"
    path.write_bytes(path.read_bytes()[:length])
    refused(mine, r"Wanted the plan of a checkpoint, got a damaged file, .*checkpoint\.json")


def test_one_flipped_bit_anywhere_in_a_part(mine):
    """300 bits, drawn; and each bit of the first bytes, which hold the length of the header."""
    run = Run(task(), STRATEGIES, seeds=2, steps=12, checkpoint=mine)
    part = next(p for p in run.parts if "Penalty 0.1" in p.strategies)
    path = mine / checkpoint._file_name(part)
    whole, draw = path.read_bytes(), random.Random(3)
    places = [*range(64), *(draw.randrange(8 * len(whole)) for _ in range(300))]
    for place in places:
        spoilt = bytearray(whole)
        spoilt[place // 8] ^= 1 << place % 8
        path.write_bytes(spoilt)
        fresh = Training(part.task, part.strategies, part.seeds, part.steps, part.device)
        with pytest.raises(sk.ComparisonError, match="damaged file"):
            run.checkpoint.load(fresh)
        assert path.read_bytes() == spoilt
    path.write_bytes(whole)
    fresh = Training(part.task, part.strategies, part.seeds, part.steps, part.device)
    run.checkpoint.load(fresh)
    assert fresh.step == 5


def test_one_flipped_bit_anywhere_in_the_plan(mine):
    path = mine / "checkpoint.json"
    whole, draw = path.read_bytes(), random.Random(4)
    for place in (draw.randrange(8 * len(whole)) for _ in range(300)):
        spoilt = bytearray(whole)
        spoilt[place // 8] ^= 1 << place % 8
        path.write_bytes(spoilt)
        if json_of(spoilt) == json.loads(whole):
            continue  # white space
        with pytest.raises(sk.ComparisonError, match=r"damaged file|another comparison|format"):
            checkpoint.Checkpoint(mine, task(), [0, 1], 12, [[0, 1]])
        assert path.read_bytes() == spoilt


def json_of(text: bytes):
    try:
        return json.loads(text)
    except ValueError:
        return None


@pytest.mark.parametrize(
    "rubbish",
    [
        "", "null", "7", "[]", "[1]", '"text"', "{}", "{", "\x00", "NaN", '{"format": 1}',
        '{"format": 1, "task": 3, "seeds": [0], "steps": 1, "groups": [[0]]}',
        '{"format": 1, "task": {}, "seeds": [0, 1], "steps": 12, "groups": 5}',
        '{"format": 1, "task": {}, "seeds": [0, 1], "steps": 12, "groups": [0, 1]}',
        '{"format": 1, "task": {}, "seeds": [0, 1], "steps": 12, "groups": [[0], [2]]}',
        '{"format": 1, "task": {}, "seeds": [0, 1], "steps": 12, "groups": [[0, 1], [1]]}',
    ],
)  # fmt: skip
def test_a_plan_that_is_rubbish(mine, rubbish):
    (mine / "checkpoint.json").write_text(rubbish)
    refused(mine, r"Wanted the plan of a checkpoint, got a damaged file")


def test_a_plan_that_is_no_text(mine):
    (mine / "checkpoint.json").write_bytes(b"\xff\xfe\x00")
    refused(mine, r"Wanted the plan of a checkpoint, got a damaged file")


def test_a_plan_of_another_format(mine):
    path = mine / "checkpoint.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2, "groups": "other"}))
    refused(mine, r"Wanted a checkpoint of format 1, got 2 in .*the version of shapekeeper that")


def rewritten(path: Path, **changes) -> None:
    """A part with other words in its header."""
    with safe_open(path, framework="pt") as file:
        head, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    save_file(tensors, path, head | changes)


def test_a_part_of_another_format(mine):
    rewritten(part_of(mine), format="2")
    refused(mine, r"a damaged file, .*\(format 2, wanted 1\)")


@pytest.mark.parametrize("record", ["", "{}", "[]", "3", '"text"', "null"])
def test_a_part_whose_record_is_rubbish(mine, record, monkeypatch):
    """Also where the digest was made to fit."""
    rewritten(part_of(mine), record=record)
    refused(mine, "a damaged file, .*its numbers are not those that were written")
    monkeypatch.setattr(checkpoint, "_digest_of", lambda text: "fits")
    monkeypatch.setattr(checkpoint, "_digest", lambda tensors: "fits")
    (mine / "checkpoint.json").unlink()
    for path in mine.glob("*.safetensors"):
        path.unlink()
    stopped(task(), mine, at=5)
    rewritten(part_of(mine), record=record)
    refused(mine, r"a damaged file, .*Delete that file")


def test_a_file_that_holds_other_tensors(mine):
    save_file({"a": torch.zeros(2)}, part_of(mine))
    refused(mine, r"a damaged file, .*\(format None, wanted 1\)")


def test_a_part_from_another_folder(mine, tmp_path):
    """The same strategies and seeds, trained on something else: its name is the same."""
    stopped(task(batch_size=8), tmp_path / "other", at=5)
    path = part_of(mine)
    shutil.copy(tmp_path / "other" / path.name, path)
    refused(mine, r"a damaged file, .*\(it belongs to another comparison\)")


def test_a_damaged_part_can_be_deleted(mine):
    path = part_of(mine)
    path.write_bytes(b"")
    refused(mine, "Delete that file to train its runs anew")
    path.unlink()
    found = sk.compare(task(), STRATEGIES, seeds=2, steps=12, checkpoint=mine)
    assert_same(found, sk.compare(task(), STRATEGIES, seeds=2, steps=12), bound=1e-9)


@pytest.mark.parametrize("name", ["notes.txt", "frame.csv", "abc.safetensors", ".hidden"])
def test_a_folder_of_somebody_else(tmp_path, name):
    (tmp_path / name).write_text("precious")
    refused(tmp_path, rf"Wanted an empty folder or a checkpoint, got .* with {name}\. Use another")


def test_a_comparison_that_was_saved_is_no_checkpoint(tmp_path):
    sk.compare(task(), STRATEGIES, seeds=2, steps=2).save(tmp_path)
    refused(tmp_path, "Wanted an empty folder or a checkpoint, got .* with comparison.json")


def test_a_file_in_place_of_the_folder(tmp_path):
    path = tmp_path / "a file"
    path.write_text("precious")
    with pytest.raises(sk.ComparisonError, match=r"Wanted a folder, got the file .*a file"):
        Run(task(), STRATEGIES, seeds=2, steps=12, checkpoint=path)
    assert path.read_text() == "precious"


def test_foreign_files_beside_a_checkpoint_are_left_alone(mine):
    (mine / "notes.txt").write_text("precious")
    found = sk.compare(task(), STRATEGIES, seeds=2, steps=12, checkpoint=mine)
    assert_same(found, sk.compare(task(), STRATEGIES, seeds=2, steps=12), bound=1e-9)
    assert (mine / "notes.txt").read_text() == "precious"


def other_points() -> sk.Data:
    (x, y), test = points().train, points().test
    return sk.Data((x + 1e-9, y), test)


def short_batches(parameters):
    return torch.optim.Adam([{"params": parameters, "lr": 2e-2}], lr=1e-2, weight_decay=1e-2)


@pytest.mark.parametrize(
    ("bound", "settings", "words"),
    [
        ({}, {"seeds": 3}, r"Wanted seeds \[0, 1, 2\], it has \[0, 1\]"),
        ({}, {"seeds": [1, 0]}, r"Wanted seeds \[1, 0\], it has \[0, 1\]"),
        ({}, {"steps": 13}, "Wanted steps 13, it has 12"),
        ({"data": other_points()}, {}, r"Wanted data \w+, it has \w+\. Use another folder"),
        ({"data": shifted}, {"seeds": [1, 2]}, "Wanted seeds .*; data "),
        ({"model": lambda seed: Net(width=9), "constraints": {}}, {}, "constraints .*starting wei"),
        ({"model": lambda seed: Dropping()}, {"seeds": [5, 6]}, "starting weights"),
        ({"batch_size": 8}, {}, "Wanted batch_size 8, it has 16"),
        ({"loss": nn.functional.multi_margin_loss}, {}, "Wanted loss multi_margin_loss, it has cr"),
        ({"optimizer": torch.optim.Adam}, {}, "Wanted optimizer"),
        ({"optimizer": short_batches}, {}, "Wanted optimizer"),
        ({"constraints": {"first.weight": sk.Connections(~CLOSED.mask)}}, {}, "Wanted constraints"),
        ({"metric_name": "share"}, {}, "Wanted metric share, it has accuracy"),
        ({"regularizer": lambda tensors: 0.0}, {}, "Wanted regularizer .*, it has None"),
        ({"supervision": lambda raw, y: 0.0}, {}, "Wanted supervision .*, it has None"),
        ({"batch_size": 8}, {"steps": 9, "seeds": 1}, "seeds .*; steps 9.*; batch_size 8"),
    ],
)
def test_a_checkpoint_of_another_comparison(mine, bound, settings, words):
    words = f"is of another comparison. .*{words}"
    refused(mine, words, bound=task(**bound), strategies=[sk.Unconstrained()], **settings)


def test_another_name_is_another_task(mine):
    settings = {field.name: getattr(task(), field.name) for field in fields(sk.Task) if field.init}
    refused(
        mine, "Wanted name others, it has points", bound=sk.Task(**{**settings, "name": "others"})
    )


# -- half-written ----------------------------------------------------------------------------------


def test_what_a_kill_left_half_written_is_harmless(mine):
    (mine / "tmpabc.part").write_bytes(b"half")
    found = sk.compare(task(), STRATEGIES, seeds=2, steps=12, checkpoint=mine)
    assert_same(found, sk.compare(task(), STRATEGIES, seeds=2, steps=12), bound=1e-9)
    assert (mine / "tmpabc.part").read_bytes() == b"half", "another process may be writing it"


def test_killed_before_the_plan_was_written(tmp_path):
    (tmp_path / "tmpabc.part").write_bytes(b"half")
    stopped(task(), tmp_path, at=5)
    assert (tmp_path / "checkpoint.json").exists()


class Crash(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("error", [Crash, KeyboardInterrupt, OSError], ids=lambda e: e.__name__)
@pytest.mark.parametrize("function", ["replace", "fsync"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_while_writing(tmp_path, monkeypatch, always, function, error, after):
    """Whatever call it comes in, what lies in the folder is whole, and nothing is left over."""
    wanted = sk.compare(task(), STRATEGIES, seeds=2, steps=12)
    done, calls = getattr(os, function), 0

    def crash(*args):
        nonlocal calls
        calls += 1
        if calls % 5 == 0:
            if after:
                done(*args)
            raise error("here")
        return done(*args)

    crashes = 0
    for _ in range(30):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, crash)
            try:
                run = Run(task(), STRATEGIES, seeds=2, steps=12, checkpoint=tmp_path)
                list(run.train())
                break
            except error:
                crashes += 1
        assert not run.torn, "a save comes between two steps"
        assert not list(tmp_path.glob("*.part"))
    assert crashes > 3
    assert_same(run.comparison(), wanted, bound=0.0)


def test_a_full_disk_costs_no_training(tmp_path, monkeypatch, always):
    """The same run goes on when there is room again."""
    wanted = sk.compare(task(), STRATEGIES, seeds=2, steps=12)
    run = Run(task(), STRATEGIES, seeds=2, steps=12, checkpoint=tmp_path)

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            list(run.train())
    list(run.train())
    assert_same(run.comparison(), wanted, bound=0.0)
    again = Run(task(), STRATEGIES, seeds=2, steps=12, checkpoint=tmp_path)
    assert_same(again.comparison(), wanted, bound=0.0)


def test_killed_between_two_files_of_one_save(tmp_path, monkeypatch, always):
    """Parts at different steps: those behind catch up, then all go on together."""
    wanted = sk.compare(task(), STRATEGIES, seeds=2, steps=12)
    run, replaced = Run(task(), STRATEGIES, seeds=2, steps=12, checkpoint=tmp_path), 0
    move = os.replace

    def dies(*args):
        nonlocal replaced
        replaced += 1
        if replaced == 12:
            raise Crash
        move(*args)

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(Crash):
        list(run.train())
    monkeypatch.undo()
    again = Run(task(), STRATEGIES, seeds=2, steps=12, checkpoint=tmp_path)
    assert len({part.step for part in again.parts}) == 2
    rows = [row for progress in again.train() for row in progress.rows]
    assert_same(again.comparison(), wanted, bound=0.0)
    frame = pd.DataFrame(rows)
    assert not frame.duplicated(["strategy", "seed", "step"]).any()


def test_without_a_checkpoint_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sk.compare(task(), STRATEGIES, seeds=2, steps=5)
    assert not list(tmp_path.iterdir())
    run = Run(task(), STRATEGIES, seeds=2, steps=5, checkpoint=tmp_path / "a" / "folder")
    assert not list(tmp_path.iterdir()), "not before the first step"
    next(run.train())
    run.save()
    assert (tmp_path / "a" / "folder" / "checkpoint.json").exists()


def test_a_checkpoint_is_small_and_no_code(half):
    """Plain data alone: nothing is unpickled."""
    assert {path.suffix for path in half.iterdir()} == {".json", ".safetensors"}
    numbers = sum(p.numel() for p in Net().parameters())
    part = max(half.glob("*.safetensors"), key=lambda p: p.stat().st_size)
    with safe_open(part, framework="pt") as file:
        kept = sum(file.get_tensor(name).numel() for name in file.keys())
        assert file.get_tensor("leaf/first.weight").dtype == DOUBLE
    assert kept < 4 * 4 * numbers  # runs, and leaf, gradient means and their squares
