"""JupyterLab in a headless Chromium: a copy of the notebooks flows in, what a reader would see flows out."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labwork import soon
from playwright.sync_api import Page

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
#: Nothing may go out to the network, no news may cover the page, and cells out of sight are painted too.
SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps"]

# What the page shows, read from the notebook's model and from what is painted.
SEEN = """() => {
  const open = [...window.jupyterapp.shell.widgets('main')];
  const panel = open.find(one => one.content && one.content.widgets && one.context);
  if (!panel) return null;
  const session = panel.context.sessionContext, kernel = session.session && session.session.kernel;
  const cells = panel.content.widgets.filter(cell => cell.model.type === 'code').map(cell => ({
    source: cell.model.sharedModel.getSource(),
    count: cell.model.executionCount,
    prompt: (cell.node.querySelector('.jp-InputPrompt') || {}).textContent || '',
    outputs: cell.model.sharedModel.getOutputs(),
    images: [...cell.node.querySelectorAll('.jp-OutputArea img')].map(image => ({
      alt: image.alt, src: image.src.slice(-400), painted: image.complete && image.naturalWidth > 30 &&
        image.getBoundingClientRect().width > 30})),
  }));
  return {path: panel.context.path, ready: session.isReady && panel.context.isReady,
          kernel: kernel ? kernel.status : null, cells};
}"""


def chromium() -> str | None:
    """A Chromium of this machine, or the one that ``playwright install chromium`` has fetched, or None."""
    from playwright.sync_api import sync_playwright

    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if found := shutil.which(name):
            return found
    with sync_playwright() as driver:
        fetched = driver.chromium.executable_path
    return fetched if Path(fetched).exists() else None


@contextmanager
def jupyter_lab(home: Path, *, theme: str = "JupyterLab Light") -> Iterator[str]:
    """JupyterLab on a copy of the notebooks, with settings of its own; gives the address to open, token and all."""
    shutil.copytree(NOTEBOOKS, home / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for name, values in (SETTINGS | {"@jupyterlab/apputils-extension/themes": {"theme": theme}}).items():
        path = home / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    token, port = secrets.token_hex(16), _free_port()
    with (
        (home / "lab.log").open("wb") as log,
        subprocess.Popen(
            [*_command(home, token, port)], env=_environment(home), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        ) as process,
    ):
        base = f"http://127.0.0.1:{port}"
        try:
            assert soon(lambda: _answers(f"{base}/api/status?token={token}", process), 60), (
                home / "lab.log"
            ).read_text()
            yield f"{base}/lab/tree/{{}}?token={token}&reset"
        finally:
            process.send_signal(signal.SIGINT if sys.platform == "win32" else signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _command(home: Path, token: str, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *(f"--ServerApp.root_dir={home / 'notebooks'}", "--LabApp.expose_app_in_browser=True"),
        *("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
        "--LabApp.extension_manager=readonly",
    ]


def _environment(home: Path) -> dict[str, str]:
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "run",
        "IPYTHONDIR": "ipython",
    }
    places |= {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    for name in places.values():
        (home / name).mkdir(exist_ok=True)
    return {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1", **{name: str(home / place) for name, place in places.items()}}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "JupyterLab has ended"
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2):
            return True
    except OSError:
        return False


@dataclass
class Book:
    """A notebook in the browser, and what has been seen in it while it ran."""

    page: Page
    name: str
    outside: set[str] = field(default_factory=set)

    @classmethod
    def opened(cls, page: Page, address: str, name: str) -> Book:
        """Open it and wait until its kernel is idle."""
        book = cls(page, name)
        host = address.split("/lab/")[0]
        page.on("request", lambda request: book.outside.add(request.url) if book._goes_out(request.url, host) else None)
        page.goto(address.format(name), wait_until="domcontentloaded", timeout=90_000)
        page.wait_for_function("() => window.jupyterapp && window.jupyterapp.shell", timeout=90_000)
        assert soon(book._open, 90), f"{name} did not open with an idle kernel"
        return book

    @staticmethod
    def _goes_out(url: str, host: str) -> bool:
        return not url.startswith((host, host.replace("http", "ws", 1), "data:", "blob:"))

    def _open(self) -> bool:
        seen = self.page.evaluate(SEEN)
        return bool(seen and seen["ready"] and seen["kernel"] == "idle" and seen["path"] == self.name)

    def cells(self) -> list[dict[str, Any]]:
        """The code cells as they are now."""
        return list(self.page.evaluate(SEEN)["cells"])

    def run_all(self, seconds: float = 240) -> Iterator[list[dict[str, Any]]]:
        """Click Run > Run All Cells, as people do; give how the cells look, again and again, until all is idle."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
        self.page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
        before, end = self.cells(), time.monotonic() + seconds
        while time.monotonic() < end:
            now = self.cells()
            yield now
            if self.idle(now) and now == before:
                return
            before = now
            time.sleep(0.2)
        raise AssertionError(f"{self.name} is not done: {[cell['prompt'] for cell in before]}")

    def idle(self, cells: list[dict[str, Any]]) -> bool:
        """Whether every cell has run and none is waiting."""
        asked = [cell for cell in cells if cell["source"].strip()]
        return all(cell["count"] and "*" not in cell["prompt"] for cell in asked)

    def code(self, at: int) -> Any:
        """The editor of a code cell."""
        return self.page.locator(".jp-CodeCell .jp-InputArea-editor .cm-content").nth(at)
