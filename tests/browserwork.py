"""Open the course in a headless Chromium, and read what a learner would see."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from labwork import soon

if TYPE_CHECKING:
    from playwright.sync_api import Page

#: Cells out of sight are rendered too, and nothing is saved automatically. The course itself switches the news off.
SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps"]

# What the page shows, read from the notebook's model and from the rendered page.
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
    """Return Playwright's Chromium, else one of this machine, else None."""
    from playwright.sync_api import sync_playwright

    try:
        with sync_playwright() as driver:
            fetched = driver.chromium.executable_path
    except Exception:  # a driver that cannot run here counts as no browser
        return None
    return fetched if Path(fetched).exists() else shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def jupyter_lab(home: Path) -> Iterator[str]:
    """Run JupyterLab as ``supalab course`` does, with its working copy ``mine``; yield the address to open."""
    for name, values in SETTINGS.items():
        path = home / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    token = secrets.token_hex(16)
    command, log = _command(home, token), home / "lab.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=_environment(home), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        assert soon(lambda: process.poll() is not None or _base(home), 60), "JupyterLab did not start"
        base = _base(home)
        assert base, log.read_text(encoding="utf-8", errors="replace")
        yield f"{base}/lab/tree/{{}}?token={token}&reset"
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop it and its kernels, by force if necessary."""
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def _base(home: Path) -> str | None:
    """Return the address that JupyterLab has written down and responds at, None until then."""
    for path in (home / "run").glob("jpserver-*.json"):
        with suppress(OSError, ValueError):
            told = json.loads(path.read_text(encoding="utf-8"))
            base = f"http://127.0.0.1:{told['port']}"
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"{base}/api/status?token={told['token']}", timeout=2):
                return base
    return None


def _command(home: Path, token: str) -> list[str]:
    return [
        *(sys.executable, "-m", "supalab", "course", str(home / "mine"), "--no-browser", "--allow-root"),
        # If this port is taken, it tries others, and writes down which one it uses.
        *(f"--ServerApp.port={_free_port()}", "--ServerApp.port_retries=50", "--ServerApp.ip=127.0.0.1"),
        f"--IdentityProvider.token={token}",
        "--LabApp.expose_app_in_browser=True",
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


# Keeps every state of every picture below a code cell.
WATCH = """() => {
  const states = window.supalabStates = {};
  const look = () => document.querySelectorAll('.jp-Notebook .jp-CodeCell').forEach((cell, at) =>
    cell.querySelectorAll('.jp-OutputArea img').forEach(image => (states[at] ??= new Set()).add(image.src)));
  new MutationObserver(look).observe(document.querySelector('.jp-Notebook'),
    {childList: true, subtree: true, attributes: true, attributeFilter: ['src']});
}"""
STATES = "() => Object.fromEntries(Object.entries(window.supalabStates).map(([at, seen]) => [at, seen.size]))"


@dataclass
class Book:
    """A notebook in the browser, and what was seen in it while it ran."""

    page: Page
    name: str
    outside: set[str] = field(default_factory=set)

    @classmethod
    def opened(cls, page: Page, address: str, name: str) -> Book:
        """Open it and wait until its kernel is idle."""
        book = cls(page, name)
        host = address.split("/lab/")[0]
        page.on("request", lambda request: book.outside.add(request.url) if book._goes_out(request.url, host) else None)
        page.goto(address.format(name), wait_until="domcontentloaded", timeout=60_000)
        page.wait_for_function("() => window.jupyterapp && window.jupyterapp.shell", timeout=60_000)
        assert soon(book._open, 60), f"{name} did not open with an idle kernel"
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

    def run_all(self, seconds: float = 150) -> Iterator[list[dict[str, Any]]]:
        """Click Run > Run All Cells as people do; yield the state of the cells repeatedly until all is idle."""
        self.page.evaluate(WATCH)
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

    def states(self, at: int) -> int:
        """Return how many different pictures a code cell has shown since Run All."""
        return int(self.page.evaluate(STATES).get(str(at), 0))

    def idle(self, cells: list[dict[str, Any]]) -> bool:
        """Return whether every cell has run and none is waiting."""
        asked = [cell for cell in cells if cell["source"].strip()]
        return all(cell["count"] and "*" not in cell["prompt"] for cell in asked)

    def code(self, at: int) -> Any:
        """Return the editor of a code cell."""
        return self.page.locator(".jp-CodeCell .jp-InputArea-editor .cm-content").nth(at)
