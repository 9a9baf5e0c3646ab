"""One JupyterLab, one browser and one kernel for the whole run; a notebook for each test.

A page with JupyterLab in it takes one notebook after the other: booting Lab takes far more than
opening a notebook. It takes no more after a failure, or if anything is left in it.
"""

import os
from itertools import count
from pathlib import Path

import lab
import pytest

# The files that take longest, first: at the end, no process waits long for the other's last file.
LONG = ("comparison_view", "notebooks", "grammar_editor", "filter_editor", "looks")


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
    rank = {f"test_browser_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture(scope="session")
def server():
    lacking = lab.missing()
    if lacking and os.environ.get("SHAPEKEEPER_BROWSER") == "required":
        pytest.fail(f"SHAPEKEEPER_BROWSER=required, but {lacking}")
    if lacking:
        pytest.skip(lacking)
    server = lab.Server()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def browser(server):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = lab.launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def kernel(server):
    """A kernel to share: importing torch for every test anew would take most of the time."""
    return server.start_kernel()


@pytest.fixture(scope="session")
def idle():
    """Pages with JupyterLab in them and no notebook."""
    return []


NUMBERS = count()  # a path that was open before would bring its kernel along


@pytest.fixture
def open_notebook(server, browser, kernel, idle, request):
    """A function from a list of cells, or from the path of a notebook, to an open notebook."""
    opened = request.node.opened = []

    def open_one(cells, own_kernel=False, width=1280, height=1000, scale=1):
        name = f"{request.node.originalname}-{next(NUMBERS)}.ipynb"
        if isinstance(cells, Path):
            (server.notebooks / name).write_bytes(cells.read_bytes())
        else:
            lab.write_notebook(server.notebooks / name, cells)
        page = idle.pop() if idle and scale == 1 else lab.boot(browser, server, scale)
        page.set_viewport_size({"width": width, "height": height})
        notebook = lab.Notebook(page, server, None if own_kernel else kernel)
        opened.append((notebook, scale))
        return notebook.open(name)

    yield open_one
    for notebook, scale in opened:
        clean, page = notebook.close(), notebook.page
        if clean and scale == 1 and not request.node.failed and not idle:
            page.emulate_media(reduced_motion="null")
            page.context.clear_permissions()
            page.mouse.move(0, 0)
            idle.append(page)
        else:
            page.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.failed = report.failed
    if report.when == "call" and report.failed:
        for i, (notebook, _) in enumerate(getattr(item, "opened", [])):
            report.sections.append((f"browser page {i}", _evidence(item, i, notebook)))
    return report


def _evidence(item, i, notebook) -> str:
    """A picture of the failure and the last lines of the browser's console."""
    default = item.config.rootpath / ".pytest_cache" / "browser"
    folder = Path(os.environ.get("SHAPEKEEPER_SCREENSHOTS", default))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"failed-{item.name.replace('/', '_')}-{i}.png"
    notebook.page.screenshot(path=path)
    return "\n".join([f"screenshot: {path}", *notebook.console[-40:]])
