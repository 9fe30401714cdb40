"""The child's side of a child process: receives its options, sends reports, and exits when its parent exits.

The parent writes one JSON line to standard input; this process writes JSON lines: progress, then its report. It exits
on SIGTERM, when its standard input is closed, and when its parent has ended for any reason. Secrets are never arguments
of the process. The parent's side is ``child.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supalab.errors import SupalabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LOOK_EVERY_S = 0.2


@contextlib.contextmanager
def attach_to_parent() -> Iterator[Attachment]:
    """Read the parent's line, and exit with the parent from now on; call it before large imports.

    A SupalabError is reported to the parent, and the exit code is 2. At the end the folder is removed, except after a
    crash, because the parent then reads the log.
    """
    # An interrupted cell must not end the child; this comes first, so that it holds from the start.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = b""
    # Unbuffered: a thread that waits inside sys.stdin would hold its lock, which the interpreter needs when it ends.
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            os._exit(0)  # the parent ended before it wrote everything
        line += byte
    parent = Attachment(json.loads(line))
    try:
        yield parent
    except SupalabError as error:
        parent.report({"kind": type(error).__name__, "error": str(error)})
        parent.leave(2)
    parent.remove_folder()


class Attachment:
    """The options from the parent, and the methods to report to it.

    ``folder``: for files that are needed only while this process runs, its log among them. ``ending``: set when the
    process should stop.
    """

    def __init__(self, job: Mapping[str, Any]) -> None:
        self.options: dict[str, Any] = job["options"]
        self.folder, self.ending = Path(job["folder"]), threading.Event()
        self._alive, self._hard_end = _parent_watch(job["parent"]), job["hard_end"]
        self._reports = os.fdopen(os.dup(1), "wb")
        signal.signal(signal.SIGTERM, lambda *_: self.ending.set())
        self._make_folder(log=job["log"])
        # One thread if possible, because a measuring worker counts its threads.
        if sys.platform == "win32":
            threading.Thread(target=self._await_end_of_input, name="supalab-input", daemon=True).start()
        threading.Thread(target=self._watch, name="supalab-watch", daemon=True).start()

    def report(self, values: Mapping[str, object], *, last: bool = False) -> None:
        """Send the parent one JSON line; ``last``: no other report follows."""
        with contextlib.suppress(OSError):  # the parent is gone, and the watch ends this process
            self._reports.write(json.dumps(values).encode() + b"\n")
            self._reports.flush()
            if last:
                self._reports.close()

    def progress(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` bytes are done, so that the parent keeps waiting."""
        self.report({"progress": [done, total]})

    def leave(self, code: int = 0) -> None:
        """Remove the folder and end this process immediately, whatever still runs in it."""
        self.remove_folder()
        os._exit(code)

    def remove_folder(self) -> None:
        """Remove the process's files; log lines are lost from then on."""
        if sys.platform == "win32":  # on systems where an open file cannot be removed
            _print_to(os.devnull)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_folder(self, *, log: bool) -> None:
        """Make the folder and send all output from now on to the log file in it, or to standard error.

        The parent does not make it, because a parent that is killed at that moment would leave it behind.
        """
        try:
            self.folder.mkdir(mode=0o700)
            if log:
                _print_to(self.folder / "log")
            else:
                os.dup2(2, 1)
        except OSError as error:
            where = str(self.folder.parent)
            said = f"no folder can be made in {where!r} ({error.strerror}): make room there, or set TMPDIR to another"
            self.report({"kind": "OSError", "error": said})
            os._exit(2)

    def _watch(self) -> None:
        """Exit immediately when the parent has ended, and within some seconds after a stop request.

        It checks the parent process as well as the input: a fork of the parent can keep the input open.
        """
        latest = float("inf")
        while self._alive() and time.monotonic() < latest:
            if self.ending.is_set():
                latest = min(latest, time.monotonic() + self._hard_end)
                time.sleep(min(LOOK_EVERY_S / 4, self._hard_end))
            elif sys.platform == "win32":  # systems that can wait only for sockets: a thread reads the input
                self.ending.wait(LOOK_EVERY_S)
            elif select.select([0], [], [], LOOK_EVERY_S)[0] and not os.read(0, 1024):
                self.ending.set()
        self.leave(1 if self._alive() else 0)

    def _await_end_of_input(self) -> None:
        with contextlib.suppress(OSError):
            os.read(0, 1)  # the parent writes nothing more
        self.ending.set()


def _print_to(path: str | Path) -> None:
    """Send what this process prints to a file."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _parent_watch(pid: int) -> Callable[[], bool]:
    """Return a function that says whether the parent process (number ``pid``) is still running."""
    if sys.platform == "win32":
        import psutil

        try:
            return psutil.Process(pid).is_running
        except psutil.NoSuchProcess:
            return lambda: False
    # A process whose parent ends gets another parent. This check works even if the number is used again.
    parent = os.getppid()
    return lambda: os.getppid() == parent
