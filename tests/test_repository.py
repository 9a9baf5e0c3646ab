"""What holds the repository together: README, pins, Binder, notebooks."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections import OrderedDict

import pytest
import torch
from packaging.requirements import Requirement

import shapekeeper as sk


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text()


def tracked(root, *patterns):
    """Files that git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return [root / name for name in found.stdout.splitlines() if (root / name).exists()]


def fenced(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def pins(path):
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {canonical(line.split("==")[0]): line.split("==")[1] for line in lines}


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


# README


def test_the_badge_opens_this_repository_at_this_version(project, readme):
    address = project["urls"]["Repository"].removeprefix("https://github.com/")
    links = re.findall(r"https://mybinder\.org/v2/\S+?(?=\))", readme)
    assert links == [
        f"https://mybinder.org/v2/gh/{address}/v{project['version']}"
        "?urlpath=lab/tree/notebooks/00_tour.ipynb"
    ]


def test_the_changelog_knows_this_version(root, project):
    assert f"\n## [{project['version']}] - " in (root / "CHANGELOG.md").read_text()


def test_readme_points_at_files_that_exist(root, readme):
    links = re.findall(r"\]\(([^):]+)\)", readme)
    assert len(links) > 2
    assert [link for link in links if not (root / link).exists()] == []
    lab, _ = fenced(readme, "bash")
    assert (root / shlex.split(lab)[-1]).exists()


def test_both_commands_install_with_the_pins(readme):
    commands = fenced(readme, "bash")
    install = ".venv/bin/pip install -c constraints.txt -e"
    assert [f"python3 -m venv .venv && {install} " in command for command in commands] == [True] * 2


def test_readme_holds_one_line_of_tests_and_the_push_runs_it(root, readme):
    search = re.search(r"tests=\$\((.*)\)", (root / ".ci" / "run").read_text())[1]
    found = subprocess.run(["bash", "-c", search], cwd=root, capture_output=True, text=True)
    assert found.stdout.splitlines() == fenced(readme, "bash")[1].splitlines()
    assert len(found.stdout.splitlines()) == 1
    assert shlex.split(found.stdout)[-3:] == ["tests", "toolkit", "notebooks"]


def test_the_code_of_readme_runs_and_draws(tmp_path, readme):
    code, *_ = fenced(readme, "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    environment = os.environ | {"MPLBACKEND": "agg"}
    ran = subprocess.run(
        [sys.executable, "-W", "error:::shapekeeper", "-c", code],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "Projection" in ran.stdout
    assert (tmp_path / "tour.png").stat().st_size > 10_000


def test_the_comparison_of_readme_is_kept_and_spread(tmp_path, monkeypatch, readme):
    _, code, *_ = fenced(readme, "python")
    monkeypatch.chdir(tmp_path)
    strategies = [sk.Unconstrained(), sk.Penalty([0.1, 1.0]), sk.Projection()]
    names = {"sk": sk, "task": sk.tasks.pencil(), "strategies": strategies}
    exec(code, names)
    assert names["comparison"].seeds_needed("Projection", 0.01) >= 2
    again = sk.compare(names["task"], strategies, seeds=20, checkpoint="runs/digits")
    assert again.frame.equals(names["comparison"].frame)


def test_the_two_lines_of_readme_hold_zeros(readme):
    _, _, code, *_ = fenced(readme, "python")
    assert len(code.splitlines()) == 2
    model = torch.nn.Sequential(OrderedDict(encoder=torch.nn.Linear(5, 3)))
    names = {"sk": sk, "torch": torch, "model": model, "A": torch.eye(3, 5)}
    exec(code, names)
    for _ in range(3):
        model(torch.ones(2, 5)).sum().backward()
        names["optimizer"].step()
    assert torch.equal(model.encoder.weight != 0, torch.eye(3, 5) > 0)
    assert names["held"].violation() == {"encoder.weight": 0.0}


def test_the_walk_of_readme_stays_on_the_surface(readme):
    *_, code, _, _ = fenced(readme, "python")
    assert len(code.splitlines()) == 2
    model = torch.nn.Sequential(OrderedDict(hidden=torch.nn.Linear(6, 4)))
    names = {"sk": sk, "model": model}
    exec(code, names)
    held, start = names["held"], model.hidden.weight.detach().clone()
    for _ in range(20):
        held.optimizer.zero_grad()
        model(torch.ones(3, 6)).square().sum().backward()
        held.optimizer.step()
        assert held.violation()["hidden.weight"] <= 1e-6
    assert (model.hidden.weight - start).abs().max() > 0.01


def test_the_filter_of_readme_stays_one(readme):
    *_, code, _, _, _ = fenced(readme, "python")
    assert len(code.splitlines()) == 2
    model = torch.nn.Sequential(OrderedDict(conv1=torch.nn.Conv1d(2, 3, 31)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    names = {"sk": sk, "model": model, "optimizer": optimizer}
    exec(code, names)
    for _ in range(20):
        optimizer.zero_grad()
        model(torch.ones(2, 2, 40)).square().sum().backward()
        optimizer.step()
        assert names["held"].violation()["conv1.weight"] <= 0.02


def test_the_layer_of_readme_speaks_the_grammar(readme):
    *_, code, _ = fenced(readme, "python")
    assert len(code.splitlines()) == 2
    layers = OrderedDict(encoder=torch.nn.Sequential(torch.nn.Linear(4, 30)))
    layers["encoder"].append(torch.nn.Unflatten(1, (5, 6)))
    model = torch.nn.Sequential(layers)
    names = {"sk": sk, "model": model, "optimizer": torch.optim.Adam(model.parameters())}
    exec(code, names)
    assert f"# {names['words'].count} words" in code
    wanted = re.compile("(the|a) (dog|cat) (sees|hears) (the|a) (dog|cat)")
    for _ in range(5):
        said = model(1e3 * torch.randn(50, 4))
        said[:, :, 0].sum().backward()
        names["optimizer"].step()
        assert all(wanted.fullmatch(" ".join(word)) for word in names["words"].decode(said))


def test_the_areas_of_readme_find_their_sizes(readme):
    *_, code = fenced(readme, "python")
    short = code.replace("seeds=5, steps=4500", "seeds=2, steps=3")
    assert short != code
    names = {"sk": sk}
    exec(short, names)
    graph, net = names["found"].graphs()[0], names["found"].models()[0]
    assert [(region.name, region.size) for region in graph.regions] == [("left", 1), ("right", 1)]
    assert net.weight.shape == (2, 2)


# Pins


def test_every_dependency_has_a_pin_that_is_allowed(root, project):
    extras = project["optional-dependencies"]
    wanted = [Requirement(r) for r in sum(extras.values(), project["dependencies"])]
    pinned = pins(root / "constraints.txt")
    assert [r for r in wanted if pinned.get(canonical(r.name)) not in r.specifier] == []


@pytest.mark.parametrize("name", ["constraints.txt", "binder/requirements.txt"])
def test_pins_name_no_place_and_no_build(root, name):
    lines = (root / name).read_text().splitlines()
    pin = re.compile(r"[A-Za-z0-9_.-]+==[0-9a-z.]+")
    assert [x for x in lines if not x.startswith("#") and not pin.fullmatch(x)] == []


# Binder


@pytest.fixture(scope="module")
def dockerfile(root, tmp_path_factory):
    """The Dockerfile of a clone, which repo2docker prints without Docker and without a network."""
    clone = tmp_path_factory.mktemp("binder") / "clone"
    for path in tracked(root, "binder", "pyproject.toml"):
        copy = clone / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
        copy.chmod(path.stat().st_mode)
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(clone)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return (done.stdout + done.stderr).splitlines()


def line_of(dockerfile, words):
    (number,) = [i for i, line in enumerate(dockerfile) if line.startswith(words)]
    return number


def test_binder_installs_the_heavy_layer_before_it_copies_the_repository(dockerfile):
    install = "RUN ${KERNEL_PYTHON_PREFIX}/bin/pip install --no-cache-dir -r"
    order = [
        line_of(dockerfile, f'{install} "binder/requirements.txt"'),
        line_of(dockerfile, "COPY --chown=0:0 src/ ${REPO_DIR}"),
        line_of(dockerfile, "RUN ./binder/postBuild"),
        line_of(dockerfile, 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"'),
    ]
    assert order == sorted(order)
    assert any(
        "environment.py-3.12" in line.replace("-2e", ".").replace("-2d", "-") for line in dockerfile
    )


def test_binder_pins_what_the_course_needs_and_no_more(root, project):
    extras = project["optional-dependencies"]
    needed = sum(
        (extras[name] for name in ("lab", "grammar", "evolution")), project["dependencies"]
    )
    pinned = pins(root / "binder" / "requirements.txt")
    assert set(pinned) == {canonical(Requirement(r).name) for r in needed}
    tested = pins(root / "constraints.txt")
    assert pinned == {name: tested[name] for name in pinned}


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_binder_scripts_can_be_run(root, name):
    assert os.access(root / "binder" / name, os.X_OK)
    subprocess.run(["bash", "-n", root / "binder" / name], check=True)


def test_binder_starts_what_it_is_told_on_one_thread(root):
    command = [root / "binder" / "start", "bash", "-c", 'echo "$OMP_NUM_THREADS" "$0"', "told"]
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "told"]


def test_binder_stops_when_its_installation_fails(root, tmp_path):
    pip = tmp_path / "pip"
    pip.write_text("#!/bin/sh\nexit 3\n")
    pip.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run([root / "binder" / "postBuild"], env=environment).returncode == 3


# Notebooks


def test_notebooks_are_what_their_sources_say(root):
    command = [sys.executable, "notebooks/source/build.py", "--check"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_notebooks_carry_no_outputs(root):
    for path in tracked(root, "*.ipynb"):
        notebook = json.loads(path.read_text())
        shown = [c for c in notebook["cells"] if c.get("outputs") or c.get("execution_count")]
        assert (path.name, shown) == (path.name, [])
        assert "widgets" not in notebook["metadata"]


def test_students_and_solutions_go_together(root):
    students = {path.name for path in (root / "notebooks").glob("*.ipynb")}
    solutions = {path.name for path in (root / "notebooks" / "solutions").glob("*.ipynb")}
    assert students == solutions
    assert "00_tour.ipynb" in students


# House rules


def test_test_files_have_names_of_their_own(root):
    names = [path.name for path in tracked(root, "tests/*test_*.py")]
    assert sorted(set(names)) == sorted(names)


def test_no_file_names_a_place_on_some_machine(root):
    homes = re.compile(r"(?<![\w.])/(?:home|root|Users|tmp)/\w")
    text = [p for p in tracked(root) if p.suffix not in {".png"} and p.name != "test_repository.py"]
    assert [p.name for p in text if homes.search(p.read_text(encoding="utf-8"))] == []
