"""One JupyterLab, one browser and one kernel for the whole run; a new page for each test."""

import os
from pathlib import Path

import lab
import pytest


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


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


@pytest.fixture
def open_notebook(server, browser, kernel, request):
    """A function from a list of cells, or from the path of a notebook, to an open notebook."""
    opened = request.node.opened = []

    def open_one(cells, own_kernel=False, width=1280, height=1000, scale=1):
        name = f"{request.node.originalname}-{len(opened)}.ipynb"
        if isinstance(cells, Path):
            (server.notebooks / name).write_bytes(cells.read_bytes())
        else:
            lab.write_notebook(server.notebooks / name, cells)
        page = browser.new_page(
            viewport={"width": width, "height": height}, device_scale_factor=scale
        )
        notebook = lab.Notebook(page, server, None if own_kernel else kernel)
        opened.append(notebook)
        return notebook.open(name)

    yield open_one
    for notebook in opened:
        notebook.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.failed:
        for i, notebook in enumerate(getattr(item, "opened", [])):
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
