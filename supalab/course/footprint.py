"""The memory that one learner takes: JupyterLab starts and runs notebook 00; megabytes by process flow out.

For whoever plans a room: ``python -m supalab.course.footprint``. It takes about half a minute and a free port.
Memory is unique set size (USS), what would come free if the process went: pages that learners share are not in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from supalab.course.build import cells
from supalab.errors import SettingsError
from supalab.shipped import shipped

__all__ = ["Peak", "footprint", "main", "role", "told"]

PATIENCE_S, EVERY_S = 60.0, 0.2


def role(command: Sequence[str]) -> str:
    """Say what a process of a learner's is, by its command line."""
    known = {"jupyterlab": "JupyterLab", "ipykernel_launcher": "the kernel", "supalab.lab": "the lab"}
    return next((name for word, name in known.items() if word in command), "a race's workers")


class Peak:
    """Memory by role, looked at again and again: the last look, and the one with the most in all."""

    def __init__(self) -> None:
        self.last: Mapping[str, float] = {}
        self.most: Mapping[str, float] = {}

    def add(self, seen: Mapping[str, float]) -> None:
        """Take one look into account, in megabytes by role."""
        self.last = seen
        if sum(seen.values()) > sum(self.most.values()):
            self.most = seen


def _look(root: int) -> dict[str, float]:
    import psutil

    seen: dict[str, float] = {}
    parent = psutil.Process(root)
    for process in [parent, *parent.children(recursive=True)]:
        try:
            name = role(process.cmdline())
            seen[name] = seen.get(name, 0.0) + process.memory_full_info().uss / 1e6
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            continue  # it has just ended
    return seen


@contextmanager
def _jupyter(runtime: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Run a server on a free port; yields its pid and what it says of itself."""
    options = ["--no-browser", "--ServerApp.port=0", f"--ServerApp.root_dir={shipped('notebooks')}", "--allow-root"]
    environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(runtime)}
    with subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options, "--LabApp.news_url=None"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            yield server.pid, json.loads(_waited_for(runtime, "jpserver-*.json").read_text(encoding="utf-8"))
        finally:
            server.terminate()


def _waited_for(folder: Path, pattern: str) -> Path:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = [path for path in folder.glob(pattern) if path.stat().st_size]
        if found:
            time.sleep(EVERY_S)  # it may be half written
            return found[0]
        time.sleep(EVERY_S)
    raise SettingsError(f"JupyterLab has not come up within {PATIENCE_S:g} s: does `supalab lab` start?")


def _open(server: Mapping[str, Any], notebook: str) -> None:
    body = {"path": notebook, "name": notebook, "type": "notebook", "kernel": {"name": "python3"}}
    request = urllib.request.Request(  # noqa: S310 - the address is the server's own word
        f"{server['url']}api/sessions",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"token {server['token']}", "Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(request, timeout=PATIENCE_S).close()


def _run(connection: Path, codes: Sequence[str]) -> None:
    from jupyter_client.blocking.client import BlockingKernelClient

    client = BlockingKernelClient()
    client.load_connection_file(str(connection))
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE_S)
        for code in codes:
            done = client.execute_interactive(code, timeout=PATIENCE_S, output_hook=lambda _: None)
            if done["content"]["status"] != "ok":
                raise SettingsError(f"a cell of the notebook failed: {done['content'].get('evalue')}")
    finally:
        client.stop_channels()


def footprint(stem: str = "00_start_here") -> Peak:
    """Run a notebook in a JupyterLab of its own and look at the memory; raises SettingsError when it does not run."""
    source = shipped("notebooks", "source", f"{stem}.py").read_text(encoding="utf-8")
    codes = [cell.text(solved=True) for cell in cells(source) if not cell.prose]
    peak, over = Peak(), threading.Event()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, _jupyter(Path(folder)) as (pid, server):

        def watch() -> None:
            while not over.wait(EVERY_S):
                peak.add(_look(pid))

        _open(server, f"{stem}.ipynb")
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            _run(_waited_for(Path(folder), "kernel-*.json"), codes)
        finally:
            over.set()
            watcher.join()
        peak.add(_look(pid))
    return peak


def told(peak: Peak) -> str:
    """Return both looks as a table, megabytes in whole numbers."""
    names = dict.fromkeys([*peak.last, *peak.most])
    rows = [f"{name:18}{peak.last.get(name, 0):8.0f}{peak.most.get(name, 0):8.0f}" for name in names]
    total = f"{'together':18}{sum(peak.last.values()):8.0f}{sum(peak.most.values()):8.0f}"
    return "\n".join([f"{'MB':18}{'after':>8}{'at most':>8}", *rows, total])


def main() -> int:
    """Measure and print."""
    sys.stdout.write("Runs notebook 00 in a JupyterLab of its own; about half a minute.\n")
    before = os.times()
    sys.stdout.write(f"{told(footprint())}\n")
    after = os.times()
    worked = after.children_user - before.children_user + after.children_system - before.children_system
    if worked:  # Windows does not tell
        sys.stdout.write(f"{worked:.0f} s of a processor in {after.elapsed - before.elapsed:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
