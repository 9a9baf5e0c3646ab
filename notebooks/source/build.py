"""Build the notebooks from their sources.

`NN_name.py` in this folder (jupytext, percent format) is the only copy edited by hand. From each,
this writes `notebooks/NN_name.ipynb` with the solutions taken out, and
`notebooks/solutions/NN_name.ipynb` with the solutions left in and every check made strict.

In a source:
    ### BEGIN SOLUTION ... ### END SOLUTION    lines that students see as `...` (or `name = ...`)
    code  # SOLUTION                           the same for one line
    # %% tags=["solution"]                     a cell that only the solutions notebook has
    # %% [markdown] tags=["hint"]              each paragraph becomes one folded hint

    python notebooks/source/build.py            write what is stale
    python notebooks/source/build.py --check    write nothing; fail if something is stale
"""

import argparse
import ast
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

BLOCK = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION\n?", re.M | re.S)
LINE = re.compile(r"^([ \t]*)(\S.*?)[ \t]+# SOLUTION$", re.M)
MARKER = re.compile(r"^.*#[ \t]*(?:BEGIN|END)?[ \t]*SOLUTION\b.*$", re.M | re.I)
TAGS = {"hint", "solution"}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
STRICT = (
    "from shapekeeper import course\n\ncourse.strict()  # a check that is not right stops the run"
)


class SourceError(ValueError):
    """A source that the builder refuses."""


def student_code(code: str) -> str:
    """Code with its solutions replaced by `...`."""
    return LINE.sub(_stub, BLOCK.sub(lambda found: _stub(found) + "\n", code)).rstrip("\n")


def solution_code(code: str) -> str:
    """Code with its solutions, without their markers."""
    return LINE.sub(r"\1\2", BLOCK.sub(r"\2", code)).rstrip("\n")


def folded(hints: str) -> str:
    """Each paragraph folded away: opens without code, in JupyterLab and on the web alike."""
    paragraphs = re.split(r"\n\s*\n", hints.strip())
    fold = "<details><summary>Hint {}</summary>\n\n{}\n\n</details>"
    return "\n\n".join(fold.format(i, text) for i, text in enumerate(paragraphs, 1))


def build(text: str, name: str) -> tuple[NotebookNode, NotebookNode]:
    """The student and the solutions notebook of one source.

    Raises:
        SourceError: A tag is unknown, or a marker would reach the students.
    """
    cells = jupytext.reads(text, fmt="py:percent").cells
    ids = _ids(cells)
    strict = new_code_cell(STRICT, id="strict")
    solutions = [strict, *(_cell(c, i, solution_code) for c, i in zip(cells, ids, strict=True))]
    student = [
        _cell(cell, i, student_code)
        for cell, i in zip(cells, ids, strict=True)
        if "solution" not in cell.metadata.get("tags", [])
    ]
    problems = [
        f"cell {number} has the unknown tag {tag!r} (known: {', '.join(sorted(TAGS))})"
        for number, cell in enumerate(cells, 1)
        for tag in set(cell.metadata.get("tags", [])) - TAGS
    ]
    survivors = [line for c in student + solutions for line in MARKER.findall(c.source)]
    problems += [f"a marker survived in {line!r}" for line in dict.fromkeys(survivors)]
    if problems:
        raise SourceError(f"{name}: " + "; ".join(problems) + ".")
    return _notebook(student), _notebook(solutions)


def stale(source: Path, write: bool = False) -> list[str]:
    """Notebooks that differ from what their sources say; `write` brings them up to date."""
    notebooks, found = source.parent, []
    wanted = {}
    for path in sorted(source.glob("[0-9]*.py")):
        student, solutions = build(path.read_text(encoding="utf-8"), path.stem)
        wanted[notebooks / f"{path.stem}.ipynb"] = student
        wanted[notebooks / "solutions" / f"{path.stem}.ipynb"] = solutions
    for path, notebook in wanted.items():
        text = nbformat.writes(notebook) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            found.append(f"{path.relative_to(notebooks)} is not what its source says")
            if write:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
    orphans = {*notebooks.glob("*.ipynb"), *notebooks.glob("solutions/*.ipynb")} - set(wanted)
    return found + [f"{p.relative_to(notebooks)} has no source: delete it" for p in sorted(orphans)]


def _stub(found: re.Match[str]) -> str:
    """`...`, indented like the solution; `name = ...` where the solution ends by setting a name."""
    space, code = found.groups()
    try:
        last = next(reversed(ast.parse(dedent(code)).body), None)
    except SyntaxError as error:
        raise SourceError(f"a solution must be whole statements, unlike {code!r}") from error
    return (
        f"{space}{ast.unparse(last.targets[0])} = ..."
        if isinstance(last, ast.Assign)
        else f"{space}..."
    )


def _ids(cells: list[NotebookNode]) -> list[str]:
    """Identifiers that follow from the contents, so that an edit changes one cell's alone."""
    seen: Counter[str] = Counter()
    ids = []
    for cell in cells:
        digest = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        seen[digest] += 1
        ids.append(digest if seen[digest] == 1 else f"{digest}-{seen[digest]}")
    return ids


def _cell(cell: NotebookNode, identifier: str, code: Callable[[str], str]) -> NotebookNode:
    hint = "hint" in cell.metadata.get("tags", [])
    text = code(cell.source) if cell.cell_type == "code" else cell.source
    return NotebookNode(cell, id=identifier, metadata={}, source=folded(text) if hint else text)


def _notebook(cells: list[NotebookNode]) -> NotebookNode:
    metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    notebook = new_notebook(cells=cells, metadata=metadata)
    nbformat.validate(notebook)
    return notebook


def main(arguments: list[str] | None = None) -> int:
    """Build all notebooks, or check them; the exit status is 1 if a check finds something."""
    parser = argparse.ArgumentParser(description="Build the notebooks from their sources.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    check = parser.parse_args(arguments).check
    found = stale(Path(__file__).parent, write=not check)
    for line in found:
        print(line if check else line.replace("is not what its source says", "written"))
    return int(check and bool(found))


if __name__ == "__main__":
    sys.exit(main())
