"""The builder: from one source to a student and a solutions notebook."""

import importlib.util
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

BUILDER = Path(__file__).parent.parent / "notebooks" / "source" / "build.py"
_spec = importlib.util.spec_from_file_location("build", BUILDER)
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)

SOURCE = '''\
# %% [markdown]
# # Twice
# A question.

# %%
from shapekeeper import course


# %%
def bought(frame):
    """The run that lives on its leak."""
    ### BEGIN SOLUTION
    drop = frame["metric"] - frame["metric_held"]
    return drop.idxmax()
    ### END SOLUTION


# %% [markdown] tags=["hint"]
# Two columns matter.
#
# `idxmax` of
# the difference.

# %%
strength = 99.5  # SOLUTION
course.check("00.3", strength)

# %%
course.check("00.2", bought)

# %% tags=["solution"]
print("only in the solutions")

# %%
### BEGIN SOLUTION
half = strength / 2
name = {
    "half": half,
}
### END SOLUTION
'''


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "notebooks" / "source"
    source.mkdir(parents=True)
    (source / "00_twice.py").write_text(SOURCE)
    return source


def cells(notebook):
    return [cell.source for cell in notebook.cells]


def test_students_get_dots_where_the_solutions_were():
    student, _ = build.build(SOURCE, "00_twice")
    assert cells(student)[2:] == [
        'def bought(frame):\n    """The run that lives on its leak."""\n    ...',
        "<details><summary>Hint 1</summary>\n\nTwo columns matter.\n\n</details>\n\n"
        "<details><summary>Hint 2</summary>\n\n`idxmax` of\nthe difference.\n\n</details>",
        'strength = ...\ncourse.check("00.3", strength)',
        'course.check("00.2", bought)',
        "name = ...",
    ]


def test_solutions_are_strict_and_whole_and_carry_no_marker():
    _, solutions = build.build(SOURCE, "00_twice")
    assert cells(solutions)[0].startswith("from shapekeeper import course\n\ncourse.strict()")
    assert "return drop.idxmax()" in cells(solutions)[3]
    assert cells(solutions)[5] == 'strength = 99.5\ncourse.check("00.3", strength)'
    assert cells(solutions)[7] == 'print("only in the solutions")'
    assert "SOLUTION" not in nbformat.writes(solutions)


@pytest.mark.parametrize("which", [0, 1], ids=["student", "solutions"])
def test_notebooks_name_their_kernel_and_nothing_else(which):
    notebook = build.build(SOURCE, "00_twice")[which]
    assert notebook.metadata == {
        "kernelspec": {
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
    }
    assert all(cell.metadata == {} for cell in notebook.cells)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


def test_a_cell_keeps_its_id_when_another_changes():
    before = [cell.id for cell in build.build(SOURCE, "00_twice")[0].cells]
    changed = SOURCE.replace("A question.", "Another question.")
    after = [cell.id for cell in build.build(changed, "00_twice")[0].cells]
    assert before[0] != after[0]
    assert before[1:] == after[1:]
    repeated = SOURCE + "\n# %%\n1\n\n# %%\n1\n"
    ids = [cell.id for cell in build.build(repeated, "00_twice")[0].cells]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "slip", ["## BEGIN SOLUTION", "#SOLUTION", "# solution", "### END SOLUTION"]
)
def test_a_surviving_marker_is_refused(slip):
    source = SOURCE + f"\n# %%\nx = 1\n{slip}\n"
    with pytest.raises(build.SourceError, match=rf"00_twice: a marker survived in '{slip}'"):
        build.build(source, "00_twice")


def test_a_misspelled_tag_is_refused():
    source = SOURCE.replace('tags=["solution"]', 'tags=["solutions"]')
    with pytest.raises(build.SourceError, match=r"unknown tag 'solutions' .known: hint, solution"):
        build.build(source, "00_twice")


def test_half_a_statement_is_no_solution():
    source = SOURCE + "\n# %%\nfor i in range(3):  # SOLUTION\n    print(i)\n"
    with pytest.raises(build.SourceError, match="whole statements, unlike 'for i in range"):
        build.build(source, "00_twice")


def test_check_finds_what_is_stale_and_building_heals_it(folder):
    both = ["00_twice.ipynb", "solutions/00_twice.ipynb"]
    assert build.stale(folder) == [f"{name} is not what its source says" for name in both]
    build.stale(folder, write=True)
    assert build.stale(folder) == []
    (folder / "00_twice.py").write_text(SOURCE.replace("99.5", "99.6"))
    assert build.stale(folder) == [f"{name} is not what its source says" for name in both]


def test_check_finds_outputs_and_orphans(folder):
    build.stale(folder, write=True)
    path = folder.parent / "00_twice.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].execution_count = 3
    nbformat.write(notebook, path)
    nbformat.write(notebook, folder.parent / "99_gone.ipynb")
    assert build.stale(folder) == [
        "00_twice.ipynb is not what its source says",
        "99_gone.ipynb has no source: delete it",
    ]


def test_the_command_writes_checks_and_fails(folder, monkeypatch, capsys):
    monkeypatch.setattr(build, "__file__", str(folder / "build.py"))
    assert build.main(["--check"]) == 1
    assert "00_twice.ipynb is not what its source says" in capsys.readouterr().out
    assert not (folder.parent / "00_twice.ipynb").exists()
    assert build.main([]) == 0
    assert "00_twice.ipynb written" in capsys.readouterr().out
    assert build.main(["--check"]) == 0


def test_both_notebooks_run_to_their_end():
    student, solutions = build.build(SOURCE, "00_twice")
    for notebook in (student, solutions):
        NotebookClient(notebook, timeout=120).execute()
    shown = student.cells[4].outputs[-1].data["text/plain"]
    assert shown.startswith("00.3 not yet.")
    assert solutions.cells[5].outputs[-1].data["text/plain"].startswith("00.3 right.")
