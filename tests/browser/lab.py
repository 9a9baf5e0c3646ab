"""A real JupyterLab on this machine, driven by a real browser.

Plumbing (opening a notebook, running a cell, asking Python) goes through Lab's application object;
what is under test goes through mouse and keyboard. Every wait is for a condition.
"""

import ast
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import nbformat

PACKAGES = ("jupyterlab", "ipykernel", "anywidget", "playwright")
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}
# The server ends with the tests however they end: then nobody holds the other end of its stdin.
LAUNCH = """
import os, signal, sys, threading
from jupyterlab.labapp import main

def end_with_the_tests():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=end_with_the_tests, daemon=True).start()
main()
"""
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def chromium() -> str | None:
    """Path of a Chromium on this machine: $SHAPEKEEPER_CHROMIUM, else the first one in the PATH."""
    named = os.environ.get("SHAPEKEEPER_CHROMIUM")
    if named:
        return named if Path(named).exists() else None
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def missing() -> str:
    """What the browser tests lack here and how to get it; empty if nothing."""
    lacking = [name for name in PACKAGES if find_spec(name) is None]
    if lacking:
        return f"no {', '.join(lacking)} here; pip install -e '.[lab,test]' brings them"
    if chromium() is None:
        return (
            "no Chromium found; on Debian: apt-get install chromium; "
            "or set SHAPEKEEPER_CHROMIUM to the path of one"
        )
    return ""


def launch(playwright):
    """Chromium with an empty profile of its own; the sandbox is off only where it can't work."""
    args = [*CHROMIUM_ARGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    return playwright.chromium.launch(executable_path=chromium(), args=args)


def write_notebook(path: Path, cells: list[str]) -> None:
    """A notebook of code cells. Without a kernelspec Lab would ask for one in a modal dialog."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={"kernelspec": KERNEL},
    )
    nbformat.write(notebook, path)


class Server:
    """JupyterLab on a free port of 127.0.0.1, in a process group and a home folder of its own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="shapekeeper-lab-"))
        self.notebooks = self.folder / "notebooks"
        self.notebooks.mkdir()
        self.token = secrets.token_hex(16)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._write_settings()
        self._log = (self.folder / "server.log").open("w")
        self._process = subprocess.Popen(
            self._command(),
            cwd=self.notebooks,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _write_settings(self) -> None:
        for plugin, values in SETTINGS.items():
            path = self.folder / "settings" / f"{plugin}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-c", LAUNCH, "--no-browser", "--ip=127.0.0.1"),
            *(["--allow-root"] if os.geteuid() == 0 else []),
            f"--port={self.port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={self.notebooks}",
            f"--IdentityProvider.token={self.token}",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.extension_manager=readonly",
            f"--LabApp.user_settings_dir={self.folder / 'settings'}",
            f"--LabApp.workspaces_dir={self.folder / 'workspaces'}",
        ]

    def _environment(self) -> dict[str, str]:
        # SHAPEKEEPER_* would reach the kernels and change what the notebooks do.
        dropped = ("JUPYTER", "SHAPEKEEPER_", "IPYTHON", "MPLBACKEND")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        home = {
            name: str(self.folder / name.lower())
            for name in (
                *("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"),
                *("JUPYTER_DATA_DIR", "IPYTHONDIR"),
            )
        }
        for path in home.values():
            Path(path).mkdir()
        return kept | home | {"SHAPEKEEPER_BUDGET": "smoke"}

    def _wait(self, seconds: float = 60.0) -> None:
        address = f"http://127.0.0.1:{self.port}/api/status?token={self.token}"
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(address, timeout=2).close()
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.1)
                break
        raise RuntimeError(f"JupyterLab did not start:\n{self.log()}")

    def start_kernel(self) -> str:
        """Starts a kernel that notebooks can share; its id."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/kernels",
            data=json.dumps({"name": "python3"}).encode(),
            headers={"Authorization": f"token {self.token}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["id"]

    def log(self) -> str:
        """The last lines the server wrote."""
        self._log.flush()
        return (self.folder / "server.log").read_text()[-3000:]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/lab?token={self.token}&reset"

    def stop(self) -> None:
        """Ends the server with its kernels, which are in its group or its children."""
        for sent in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(self._process.pid, sent)
                self._process.wait(timeout=10)
                break
        self._process.stdin.close()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


# The notebook in front, as Lab's own object.
PANEL = "const panel = window.jupyterapp.shell.currentWidget;"
OPEN = """async ([path, kernel]) => {
  const app = window.jupyterapp;
  await app.restored;
  app.shell.collapseLeft();
  const panel = await app.commands.execute('docmanager:open',
    {path, factory: 'Notebook', kernel});
  await panel.context.ready;
  await panel.revealed;
  await panel.sessionContext.ready;
  // Before the kernel has answered once, Lab drops requests to run a cell without a word.
  await panel.sessionContext.session.kernel.info;
  app.shell.activateById(panel.id);
}"""
RUN = f"""async index => {{
  {PANEL}
  panel.content.activeCellIndex = index;
  await window.jupyterapp.commands.execute('notebook:run-cell');
  return panel.content.widgets[index].model.outputs.toJSON();
}}"""
RUN_ALL = f"""async () => {{
  {PANEL}
  await window.jupyterapp.commands.execute('notebook:run-all-cells');
  return panel.content.widgets.map(cell => cell.model.outputs ? cell.model.outputs.toJSON() : []);
}}"""
COUNT_CELLS = f"() => {{ {PANEL} return panel.content.widgets.length; }}"
DIRTY = f"() => {{ {PANEL} return panel.context.model.dirty; }}"
EXECUTION_COUNTS = f"""() => {{
  {PANEL}
  return panel.content.widgets.map(cell => cell.model).filter(model => model.type === 'code')
    .map(model => model.executionCount);
}}"""
ASK = f"""async ([expression, wanted, seconds]) => {{
  {PANEL}
  const kernel = panel.sessionContext.session.kernel;
  const end = performance.now() + 1000 * seconds;
  for (;;) {{
    const reply = (await kernel.requestExecute({{
      code: 'import json as _json_', silent: true, store_history: false,
      user_expressions: {{v: `_json_.dumps(${{expression}})`}},
    }}).done).content.user_expressions.v;
    if (reply.status !== 'ok')
      throw new Error(`${{expression}}: ${{reply.ename}}: ${{reply.evalue}}`);
    // The answer is the repr of a Python string of JSON.
    const text = reply.data['text/plain'];
    if (wanted === null || text === wanted || performance.now() > end) return text;
    await new Promise(resolve => setTimeout(resolve, 40));
  }}
}}"""
EXECUTE = f"""async code => {{
  {PANEL}
  const kernel = panel.sessionContext.session.kernel;
  const reply = (await kernel.requestExecute({{code, store_history: false}}).done).content;
  if (reply.status !== 'ok') throw new Error(`${{reply.ename}}: ${{reply.evalue}}`);
}}"""
RESTART = f"async () => {{ {PANEL} await panel.sessionContext.session.kernel.restart(); }}"
SHUTDOWN = f"async () => {{ {PANEL} if (panel) await panel.sessionContext.shutdown(); }}"
AS_NEW = """
import ipywidgets
ipywidgets.Widget.close_all()
get_ipython().reset()
"""
CLOSE = f"""async () => {{
  {PANEL}
  panel.dispose();
  if (document.body.dataset.jpThemeName !== 'JupyterLab Light')
    await window.jupyterapp.commands.execute('apputils:change-theme',
      {{theme: 'JupyterLab Light'}});
  return document.querySelectorAll('.jp-NotebookPanel, .jp-Dialog, .sk-editor').length;
}}"""
THEME = """async theme => {
  await window.jupyterapp.commands.execute('apputils:change-theme', {theme});
}"""


def boot(browser, server: Server, scale: float = 1):
    """A page of its own with JupyterLab in it, and no notebook yet."""
    page = browser.new_page(device_scale_factor=scale)
    page.set_default_timeout(15_000)
    page.goto(server.url)
    page.wait_for_function("() => typeof window.jupyterapp === 'object'", timeout=60_000)
    return page


class Notebook:
    """One notebook in a page with JupyterLab, with a kernel of its own or a shared one."""

    def __init__(self, page, server: Server, kernel: str | None = None) -> None:
        self.page, self.server, self.kernel = page, server, kernel
        self.console: list[str] = []
        self.sent: list[bytes] = []  # messages of widgets to the kernel
        self._heard = {"console": self._keep, "pageerror": self._throw, "websocket": self._listen}
        for event, heard in self._heard.items():
            page.on(event, heard)

    def _keep(self, message) -> None:
        if message.type != "debug":
            self.console.append(f"{message.type}: {message.text}")

    def _throw(self, error) -> None:
        self.console.append(f"uncaught: {error}")

    def _listen(self, socket) -> None:
        socket.on("framesent", self._count)

    def _count(self, frame) -> None:
        frame = frame.encode() if isinstance(frame, str) else frame
        if b'"comm_msg"' in frame:
            self.sent.append(frame)

    def call(self, function: str, argument=None, seconds: float = 60.0):
        """`page.evaluate` with the time limit it lacks."""
        limit = f"""(argument) => Promise.race([({function})(argument), new Promise((_, no) =>
            setTimeout(() => no(new Error('no answer within {seconds} s')), {1000 * seconds}))])"""
        return self.page.evaluate(limit, argument)

    def open(self, path: str) -> "Notebook":
        self.call(OPEN, [path, {"id": self.kernel} if self.kernel else {"name": "python3"}])
        return self

    def run(self, index: int, seconds: float = 120.0) -> list[dict]:
        """Runs one cell and returns its outputs; an error in it fails the test."""
        outputs = self.call(RUN, index, seconds)
        assert not errors(outputs), "\n".join(errors(outputs))
        return outputs

    def run_all(self, seconds: float = 600.0) -> list[list[dict]]:
        return self.call(RUN_ALL, seconds=seconds)

    def ask(self, expression: str):
        """The value of a Python expression in the kernel, without a cell and without a trace."""
        return _value(self.call(ASK, [expression, None, 0]))

    def until(self, expression: str, wanted, seconds: float = 10.0) -> None:
        """Waits until the Python expression has the wanted value; fails with what it has."""
        text = repr(json.dumps(wanted))
        got = self.call(ASK, [expression, text, seconds], seconds + 30)
        assert _value(got) == wanted, f"{expression}: wanted {wanted!r}, got {_value(got)!r}"

    def execute(self, code: str) -> None:
        """Runs Python in the kernel without a cell."""
        self.call(EXECUTE, code)

    def theme(self, name: str) -> None:
        self.call(THEME, f"JupyterLab {name}")
        self.page.wait_for_function(
            "name => document.body.dataset.jpThemeName === name", arg=f"JupyterLab {name}"
        )

    def collect_garbage(self) -> None:
        session = self.page.context.new_cdp_session(self.page)
        session.send("HeapProfiler.collectGarbage")
        session.detach()

    def cell(self, index: int):
        panel = self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook")
        return panel.locator(".jp-Cell").nth(index)

    @property
    def cell_count(self) -> int:
        return self.call(COUNT_CELLS)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def drag(self, start: tuple[float, float], end: tuple[float, float], steps: int = 8) -> None:
        """A drag as a hand makes it; a jump without steps is none."""
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(*end, steps=steps)
        mouse.up()

    def close(self) -> bool:
        """Ends the notebook and its kernel; a shared kernel is left as if new, and so is the page.

        Returns:
            Whether nothing of the notebook is left in the page, so that it can take another one.
        """
        try:
            if self.kernel:
                self.execute(AS_NEW)
            else:
                self.call(SHUTDOWN, seconds=10)
            left = self.call(CLOSE, seconds=10)
        except Exception:  # whatever it was, this page takes no other notebook
            return False
        for event, heard in self._heard.items():
            self.page.remove_listener(event, heard)
        return left == 0


def errors(outputs: list[dict]) -> list[str]:
    """The error outputs of a cell, as text."""
    return [
        f"{o['ename']}: {o['evalue']}\n" + "\n".join(o["traceback"])
        for o in outputs
        if o["output_type"] == "error"
    ]


def center(locator) -> tuple[float, float]:
    """The middle of an element on the screen."""
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def _value(text: str):
    return json.loads(ast.literal_eval(text))
