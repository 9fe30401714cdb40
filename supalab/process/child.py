"""The parent's side: starts ``python -m module`` as a child, hears its reports, and ends it.

The child's side is ``attach.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from supalab.errors import SettingsError, SupalabError
from supalab.process.progress import ProgressLine

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Child", "Program"]

SILENCE_LIMIT_S = 30.0
TAIL_BYTES = 2_000
STRAY_LINES = 50


@dataclass(frozen=True, slots=True)
class Program:
    """What a child runs: ``python -m module``; ``name`` is what messages call it, ``error`` what they are raised as.

    ``stop_limit``: seconds in which it ends by itself when it is told to; more means that it hangs.
    """

    module: str
    name: str
    error: type[SupalabError]
    stop_limit: float


class Child:
    """A started program, which has been told its options; raises the program's error when it cannot be started.

    ``folder``: where the child keeps its files while it lives, its log among them.
    """

    def __init__(self, program: Program, options: Mapping[str, object]) -> None:
        self.owner = os.getpid()
        self.program = program
        self.ready: dict[str, Any] = {}
        """What the child said when it was ready: its ports and its secrets."""
        self.folder = self._free_name()
        self._stray: deque[bytes] = deque(maxlen=STRAY_LINES)
        self._reports: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._process = self._spawn()
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        job = {"parent": os.getpid(), "folder": str(self.folder), "options": options}
        try:
            self._say(json.dumps(job).encode() + b"\n")
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def log(self) -> Path:
        """The file with all that the child has printed."""
        return self.folder / "log"

    def error(self, what: str) -> SupalabError:
        """Return the program's error, saying ``what`` of it."""
        return self.program.error(f"the {self.program.name} {what}")

    def _free_name(self) -> Path:
        try:
            # The child makes it: it would stay behind if this process were killed before the child knows of it.
            return Path(tempfile.gettempdir()) / f"supalab-{secrets.token_hex(8)}"
        except OSError:
            raise self.error(
                "needs a temporary folder, and none can be written to: set TMPDIR to a folder with room"
            ) from None

    def _spawn(self) -> subprocess.Popen[bytes]:
        if not sys.executable:
            raise self.error("could not be started: this Python does not say where it is (sys.executable)")
        # A session of its own: an interrupt meant for the kernel must not reach the child.
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        try:
            return subprocess.Popen(
                # -P: a learner's own random.py or uvicorn.py in this folder must not be imported in there.
                [sys.executable, "-P", "-m", self.program.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,  # until the child has a log, what it prints comes here
                env=_environment(),
                **apart,
            )
        except OSError as error:
            raise self.error(f"could not be started with {sys.executable!r}: {error.strerror}") from None

    def _say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it is dead already: its silence tells
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _read(self, stdout: IO[bytes]) -> None:
        """Sort what the child says, in a thread: a pipe cannot be waited for with a limit on every system."""
        with stdout:
            for line in stdout:
                try:
                    report = json.loads(line)
                except ValueError:
                    report = None
                if isinstance(report, dict):
                    self._reports.put(report)
                else:
                    self._stray.append(line)
        self._reports.put(None)

    def hear(self, limit: float) -> dict[str, Any] | None:
        """Return the child's next report, None when there was none for ``limit`` seconds; EOFError when it is over."""
        try:
            report = self._reports.get(timeout=limit)
        except queue.Empty:
            return None
        if report is None:
            raise EOFError
        if report.get("kind") == "OSError":
            raise self.error(f"could not be started: {report['error']}")
        return report

    def wait_until_ready(self, silence_limit: float = SILENCE_LIMIT_S) -> None:
        """Wait as long as the child makes progress, and keep what it says when it is ready in ``ready``.

        Raises the program's error when it ends or says nothing for ``silence_limit`` seconds, SettingsError when its
        options are why; the child is gone then.
        """
        try:
            with ProgressLine(f"the {self.program.name} loads its data") as line:
                while not self.ready:
                    report = self._next(silence_limit)
                    if "progress" in report:
                        line.show(*report["progress"])
                    else:
                        self.ready = report
        except BaseException:
            self.kill()
            raise

    def _next(self, silence_limit: float) -> dict[str, Any]:
        try:
            report = self.hear(silence_limit)
        except EOFError:
            code = self._process.wait()
            raise self.error(f"ended before it was ready (exit code {code}){self.log_tail()}") from None
        if report is None:
            raise self.error(f"said nothing for {silence_limit:g} s before it was ready: try again{self.log_tail()}")
        if "error" in report:
            raise (SettingsError if report["kind"] == "SettingsError" else self.program.error)(report["error"])
        return report

    def exit_code(self) -> int | None:
        """Return the code it ended with, or None while it runs."""
        return self._process.poll()

    def wait(self, limit: float) -> None:
        """Wait until it has ended by itself, at most ``limit`` seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(limit)

    def log_text(self) -> str:
        """Return the end of what it printed."""
        said = b"".join(list(self._stray))
        with contextlib.suppress(OSError):
            said += self.log.read_bytes()[-TAIL_BYTES:]
        return said[-TAIL_BYTES:].decode("utf-8", "replace").strip()

    def log_tail(self) -> str:
        """Return the end of its log as a clause for a message, or nothing if it printed nothing."""
        said = self.log_text()
        return f"; the end of its log:\n{said}" if said else ""

    def stop(self) -> int | None:
        """Ask it to end, wait, and kill it if it does not; what is in flight has time to finish. Safe to call twice.

        Returns its exit code.
        """
        if os.getpid() != self.owner:
            return None  # a forked copy must not end its parent's child
        try:
            self._close_input()
            if sys.platform != "win32":
                self._process.terminate()  # it may be deaf on that ear: a process forked here holds its input open
            self.wait(self.program.stop_limit)
        finally:
            self.kill()
        return self._process.returncode

    def kill(self) -> None:
        """End it at once, whatever it does, and remove its files."""
        if os.getpid() != self.owner:
            return
        self._process.kill()
        self._process.wait()
        self._close_input()
        self._reader.join(1.0)  # a process that the child forked may hold its output open
        shutil.rmtree(self.folder, ignore_errors=True)

    def _close_input(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()


def _environment() -> dict[str, str]:
    """Return this environment, with the checkout's place in it when supalab runs from one that is not installed."""
    environment = dict(os.environ)
    root = Path(__file__).resolve().parents[2]
    if root.name not in {"site-packages", "dist-packages"}:
        paths = [environment.get("PYTHONPATH"), str(root)]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment
