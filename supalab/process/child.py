"""The parent's side of a child process: starts ``python -m module``, receives its reports, and stops it.

The child's side is ``attach.py``. ``Owner`` is what the handles on a child share.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Self, TextIO

from supalab.errors import SettingsError, SupalabError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

__all__ = ["Child", "Owner", "Program", "ProgressLine", "free_folder"]

SILENCE_LIMIT_S = 30.0
#: Seconds that a child may take to be gone after it should have killed itself.
STOP_MARGIN_S = 1.2
TAIL_BYTES = 2_000
STRAY_LINES = 50
#: A start that is over sooner needs no progress line.
SHOW_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Program:
    """What a child process runs: ``python -m module``. Messages use ``name`` and are raised as ``error``.

    ``hard_end``: seconds in which it stops after a request; then it kills itself, whatever it does.
    """

    module: str
    name: str
    error: type[SupalabError]
    hard_end: float = 0.0

    def failed(self, what: str) -> SupalabError:
        """Return the program's error, saying ``what`` of it."""
        return self.error(f"the {self.name} {what}")


class Child:
    """A started child process that has its options; raises the program's error when it cannot be started.

    ``folder``: the child's files while it runs, its ``log`` among them. ``ready``: the child's report when it is ready,
    with its ports and secrets.
    """

    def __init__(self, program: Program, options: Mapping[str, object]) -> None:
        self.owner, self.program = os.getpid(), program
        self.ready: dict[str, Any] = {}
        try:
            self.folder = free_folder()
        except OSError:
            words = "needs a temporary folder, and none can be written to: set TMPDIR to a folder with room"
            raise program.failed(words) from None
        self.log = self.folder / "log"
        self._stray: deque[bytes] = deque(maxlen=STRAY_LINES)
        self._reports: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._process = self._spawn()
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        self.pid, self._input = self._process.pid, self._process.stdin
        # A thread, because not every system can wait for a pipe with a timeout.
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        job = {"parent": self.owner, "folder": str(self.folder), "hard_end": program.hard_end, "options": options}
        try:
            with contextlib.suppress(OSError):  # it has ended already, which the reader of its output notices
                self._input.write(json.dumps(job).encode() + b"\n")
                self._input.flush()
        except BaseException:
            self.kill()
            raise

    def _spawn(self) -> subprocess.Popen[bytes]:
        if not sys.executable:
            raise self.program.failed("could not be started: this Python does not say where it is (sys.executable)")
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
            words = f"could not be started with {sys.executable!r}: {error.strerror}"
            raise self.program.failed(words) from None

    def _read(self, stdout: IO[bytes]) -> None:
        with stdout:
            for line in stdout:
                report = None
                with contextlib.suppress(ValueError):
                    report = json.loads(line)
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
            raise self.program.failed(f"could not be started: {report['error']}")
        return report

    def wait_until_ready(self, silence_limit: float = SILENCE_LIMIT_S) -> None:
        """Wait while the child makes progress, and store its report in ``ready``.

        Raises the program's error when the child ends or reports nothing for ``silence_limit`` seconds, SettingsError
        when its options are the cause; the child has then ended.
        """
        try:
            with ProgressLine(f"the {self.program.name} loads its data") as line:
                while (report := self.hear(silence_limit)) and "progress" in report:
                    line.show(*report["progress"])
            if report is None:
                words = f"said nothing for {silence_limit:g} s before it was ready: try again"
                raise self.program.failed(words + self.log_tail())
            if "error" in report:
                raise (SettingsError if report["kind"] == "SettingsError" else self.program.error)(report["error"])
            self.ready = report
        except EOFError:
            words = f"ended before it was ready (exit code {self._process.wait()})"
            error = self.program.failed(words + self.log_tail())
            self.kill()
            raise error from None
        except BaseException:
            self.kill()
            raise

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
        """Stop the child, and kill it if it does not stop in time; requests in flight may finish. Safe to call twice.

        Returns its exit code.
        """
        if os.getpid() != self.owner:
            return None  # a forked copy must not end its parent's child
        try:
            self._close_input()
            if sys.platform != "win32":
                self._process.terminate()  # it may be deaf on that ear: a process forked here holds its input open
            self.wait(self.program.hard_end + STOP_MARGIN_S)
        finally:
            self.kill()
        return self._process.returncode

    def kill(self) -> None:
        """End it at once, whatever it does, and remove its files."""
        if os.getpid() == self.owner:
            self._process.kill()
            self._process.wait()
            self._close_input()
            self._reader.join(1.0)  # a process that the child forked may hold its output open
            shutil.rmtree(self.folder, ignore_errors=True)

    def _close_input(self) -> None:
        with contextlib.suppress(OSError):
            self._input.close()


def free_folder() -> Path:
    """Return the name of a new temporary folder, and remove folders whose owners were killed.

    The name contains this process's id. The child makes the folder itself: if this process made it and were killed, the
    folder would remain. Raises OSError when no temporary folder can be written to.
    """
    shared = Path(tempfile.gettempdir())
    for left in shared.glob("supalab-*-*"):
        owner = re.fullmatch(r"supalab-(\d+)-[0-9a-f]{16}", left.name)
        if owner:
            import psutil  # loaded only where there is such a folder

            if not psutil.pid_exists(int(owner[1])):
                shutil.rmtree(left, ignore_errors=True)
    return shared / f"supalab-{os.getpid()}-{secrets.token_hex(8)}"


def _environment() -> dict[str, str]:
    """Return this environment, with the checkout's place in it when supalab runs from one that is not installed."""
    environment = dict(os.environ)
    root = Path(__file__).resolve().parents[2]
    if root.name not in {"site-packages", "dist-packages"}:
        paths = [environment.get("PYTHONPATH"), str(root)]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


class ProgressLine:
    """A progress line such as ``the lab loads its data: 40 of 250 MB``, shown after a second and cleared at the end.

    Nothing is shown where standard error is no terminal.
    """

    def __init__(self, what: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._clock, self._stream = what, clock, sys.stderr if stream is None else stream
        self._from, self._width = clock() + SHOW_AFTER_S, 0

    def show(self, done: int, total: int) -> None:
        """Show how many bytes are done, and of how many."""
        # Under pythonw, standard error is None.
        if self._stream is not None and self._stream.isatty() and self._clock() >= self._from:
            text = f"{self._what}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"
            print(f"\r{text:{self._width}}", end="", file=self._stream, flush=True)
            self._width = len(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._width:
            print(f"\r{'':{self._width}}\r", end="", file=self._stream, flush=True)


class Owner(ABC):
    """A handle that starts one child process and ends it: by ``with``, by ``async with``, or by ``start``, ``stop``."""

    USE: ClassVar[str]
    """How it is to be used, for messages: ``"with Lab() as lab:"``."""
    _child: Child | None = None

    @abstractmethod
    def _job(self) -> Mapping[str, object]:
        """Return the child's options as JSON values."""

    @abstractmethod
    def _program(self) -> Program:
        """Return what the child runs."""

    def start(self) -> Self:
        """Start the child and return this handle when it is ready; a running child is not started again.

        A child that has ended is cleaned up first.

        Raises LabError (a lab) or AgentError (a contest agent) when it does not start, with its reason or the end of
        its log.
        """
        if self._child is not None and self._child.exit_code() is not None:
            self.kill()
        if self._child is None:
            child = Child(self._program(), self._job())
            child.wait_until_ready()
            self._child = child
        return self

    def stop(self) -> int | None:
        """Stop the child; requests in flight have some seconds to finish. Safe to call twice.

        Returns the exit code, 0 for a clean end, or None when it did not run.
        """
        child, self._child = self._child, None
        return None if child is None else child.stop()

    def kill(self) -> None:
        """Kill the child at once, as SIGKILL does; requests in flight are lost. Safe to call twice."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        try:
            await _in_thread(self.start)
        except asyncio.CancelledError:
            self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await _in_thread(self.stop)

    def __del__(self) -> None:
        child = self._child
        if child is not None and child.owner == os.getpid():
            child.kill()
            warnings.warn(f"{self!r} was never stopped: use `{self.USE}` or call stop()", ResourceWarning, stacklevel=2)

    @property
    def pid(self) -> int:
        """The number of the child's process."""
        return self._running().pid

    def _running(self) -> Child:
        child = self._child
        if child is None:
            raise self._program().failed(f"is not running: use it inside `{self.USE}`, or call start()")
        code = child.exit_code()
        if code is not None:
            raise self._program().error(
                f"the {child.program.name}'s process is gone (exit code {code}): start it again{child.log_tail()}"
            )
        return child


async def _in_thread(action: Callable[[], object]) -> None:
    """Do ``action`` in a thread that is gone afterwards."""
    with ThreadPoolExecutor(1) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, action)
