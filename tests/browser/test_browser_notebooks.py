"""Every student notebook runs from top to bottom in JupyterLab, unsolved, at the smoke budget."""

from pathlib import Path

import lab
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
BROKEN = ("Error displaying widget", "Failed to load model", "Error creating widget")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_run_all_reaches_the_end(path, open_notebook):
    notebook = open_notebook(path, own_kernel=True)
    outputs = notebook.run_all()
    raised = [line for cell in outputs for line in lab.errors(cell)]
    assert not raised, "\n\n".join(raised)
    # Lab stops at the first failing cell, so the last code cell must have run.
    assert notebook.call(lab.EXECUTION_COUNTS)[-1] is not None
    for words in BROKEN:
        assert notebook.page.get_by_text(words).count() == 0, words
    complaints = [line for line in notebook.console if line.startswith("uncaught")]
    assert not complaints, "\n".join(complaints)
