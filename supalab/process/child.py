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
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, TextIO

from supalab.errors import SettingsError, SupalabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SILENCE_LIMIT_S = 30.0
#: Seconds that a child has to end after it should have killed itself.
STOP_MARGIN_S = 1.2
TAIL_BYTES = 2_000
STRAY_LINES = 50
#: A shorter start needs no progress line.
SHOW_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Program:
    """What a child process runs: ``python -m module``. Messages use ``name`` and are raised as ``error``.

    ``hard_end``: seconds in which it stops after a request; after that it kills itself. ``log``: what it
    prints goes to a file, otherwise to our standard error.
    """

    module: str
    name: str
    error: type[SupalabError]
    hard_end: float = 0.0
    log: bool = True

    def failed(self, what: str) -> SupalabError:
        """Return the program's error with ``what`` went wrong."""
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
        job = {"parent": self.owner, "folder": self.folder, "hard_end": program.hard_end, "log": program.log}
        line = json.dumps(job | {"options": options}, default=os.fspath).encode() + b"\n"
        self._stray: deque[bytes] = deque(maxlen=STRAY_LINES)
        self._reports: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._process = self._spawn()
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        self.pid, self._input = self._process.pid, self._process.stdin
        # A thread, because not every system can wait for a pipe with a timeout.
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        try:
            with contextlib.suppress(OSError):  # it has already ended, and the reader of its output notices this
                self._input.write(line)
                self._input.flush()
        except BaseException:
            self.kill()
            raise

    def _spawn(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                # -P: a learner's own random.py or uvicorn.py in this folder must not be imported in there.
                [str(sys.executable), "-P", "-m", self.program.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Until the child has a log, what it prints comes with its reports.
                stderr=subprocess.STDOUT if self.program.log else None,
                env=_environment(),
                # A session of its own, on Windows a group: an interrupt meant for the kernel must not reach the child.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
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
        self._reports.put({})

    def hear(self, limit: float) -> dict[str, Any] | None:
        """Return the child's next report, an empty one at its end, None if there was none for ``limit`` seconds."""
        try:
            return self._reports.get(timeout=limit)
        except queue.Empty:
            return None

    def wait_until_ready(self, silence_limit: float = SILENCE_LIMIT_S) -> None:
        """Wait as long as the child makes progress, and store its report in ``ready``.

        Raises the program's error if the child ends or reports nothing for ``silence_limit`` seconds, SettingsError if
        its options are the cause; the child has then ended.
        """
        try:
            with progress_line(f"the {self.program.name} loads its data") as show:
                while (report := self.hear(silence_limit)) and "progress" in report:
                    show(*report["progress"])
            if report is None:
                words = f"said nothing for {silence_limit:g} s before it was ready: try again"
                raise self.program.failed(words + self.log_tail())
            if not report:
                words = f"ended before it was ready (exit code {self._process.wait()})"
                raise self.program.failed(words + self.log_tail())
            if "error" in report:
                raise (SettingsError if report["kind"] == "SettingsError" else self.program.error)(report["error"])
            self.ready = report
        except BaseException:
            self.kill()
            raise

    def exit_code(self, within: float = 0.0) -> int | None:
        """Return its exit code, or None if it does not end within so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(within)
        return None

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
        """Stop the child, and kill it if it does not stop in time; requests in flight can finish. Safe to call twice.

        Returns its exit code.
        """
        if os.getpid() != self.owner:
            return None  # a forked copy must not end its parent's child
        try:
            self._close_input()
            if sys.platform != "win32":
                self._process.terminate()  # a process forked here may hold its input open
            self.exit_code(self.program.hard_end + STOP_MARGIN_S)
        finally:
            self.kill()
        return self._process.returncode

    def kill(self) -> None:
        """End it immediately, whatever it does, and remove its files."""
        if os.getpid() == self.owner:
            self._process.kill()
            self._process.wait()
            self._close_input()
            self._reader.join(1.0)  # a process that the child has forked may hold its output open
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
    """Return this environment, with the path of supalab's checkout if it is not installed."""
    environment = dict(os.environ)
    # Compiling every module leaves megabytes of free memory; a measured client would use it and seem to need none.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    root = Path(__file__).resolve().parents[2]
    if root.name not in {"site-packages", "dist-packages"}:
        paths = [environment.get("PYTHONPATH"), str(root)]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


@contextlib.contextmanager
def progress_line(
    what: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows a line such as ``the lab loads its data: 40 of 250 MB`` from bytes done and all.

    The line comes after a second and is cleared at the end. Nothing is shown if standard error is not a terminal.
    """
    out = sys.stderr if stream is None else stream  # under pythonw, standard error is None
    begin, text = clock() + SHOW_AFTER_S, ""

    def show(done: int, total: int) -> None:
        nonlocal text
        if out is not None and out.isatty() and clock() >= begin:
            text = f"{what}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"
            print(f"\r{text}", end="", file=out, flush=True)

    try:
        yield show
    finally:
        if text:
            print(f"\r{' ' * len(text)}\r", end="", file=out, flush=True)


class Owner:
    """A handle that starts one child process and ends it: by ``with``, by ``async with``, or by ``start``, ``stop``.

    ``options`` are the child's, as JSON values. ``title`` is the name in the handle's ``repr``.
    """

    _child: Child | None = None

    def __init__(self, program: Program, options: Mapping[str, object], title: str) -> None:
        self._program, self._job, self._title = program, options, title

    def __repr__(self) -> str:
        child = self._child
        where = ", not running" if child is None else f" {self._address(child)}, process {child.pid}"
        return f"<{self._title}{where}>"

    def start(self) -> Self:
        """Start the child and return this handle when it is ready; a running child is not started again.

        A child that has ended is cleaned up first.

        Raises LabError (a lab) or AgentError (a contest agent) if it does not start, with the reason or the end of its
        log.
        """
        if self._child is None or self._child.exit_code() is not None:
            self.stop()
            child = Child(self._program, self._job)
            child.wait_until_ready()
            self._child = child
        return self

    def stop(self) -> int | None:
        """Stop the child; requests in flight have some seconds to finish. Safe to call twice.

        Returns the exit code, 0 for a clean end, or None if it did not run.
        """
        child, self._child = self._child, None
        return None if child is None else child.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        try:
            await _in_thread(self.start)
        except asyncio.CancelledError:
            self.stop()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await _in_thread(self.stop)

    def __del__(self) -> None:
        child = self._child
        if child is not None and child.owner == os.getpid():
            child.kill()
            words = f"{self!r} was never stopped: use it in a `with` block, or call stop()"
            warnings.warn(words, ResourceWarning, stacklevel=2)

    @property
    def url(self) -> str:
        """The address to send requests to."""
        return self._address(self._running())

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._running().pid

    def _address(self, child: Child) -> str:
        return str(child.ready["url"])

    def _running(self) -> Child:
        child, program = self._child, self._program
        if child is None:
            raise program.failed("is not running: use it inside a `with` block, or call start()")
        code = child.exit_code()
        if code is not None:
            raise program.failed(f"process is gone (exit code {code}): start it again{child.log_tail()}")
        return child


async def _in_thread(action: Callable[[], object]) -> None:
    """Run ``action`` in a thread that ends afterwards."""
    with ThreadPoolExecutor(1) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, action)
