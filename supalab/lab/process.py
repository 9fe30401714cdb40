"""A child process behind a handle such as ``Lab``: options flow in, its first line flows out, and it never outlives us.

The child's own end of this is ``leash.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from supalab.errors import LabError, SettingsError, SupalabError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LAB", "Child", "Program", "child_environment", "in_thread"]

READY_LIMIT_S = 30.0
TAIL_BYTES = 2_000


class Options(Protocol):
    """What a program is started with."""

    def as_json(self) -> dict[str, object]:
        """Return the options as JSON's values."""


@dataclass(frozen=True, slots=True)
class Program:
    """What a child runs: ``python -m module``; ``name`` is what messages call it, ``error`` what they are raised as.

    ``stop_limit``: seconds in which it ends by itself when it is told to; more means that it hangs.
    """

    module: str
    name: str
    error: type[SupalabError]
    stop_limit: float


LAB = Program("supalab.lab", "lab", LabError, stop_limit=4.0)


class Child:
    """A started program; ``ready`` holds what it said: its ports and its secrets.

    Raises the program's error when it does not start, with the child's reason, and SettingsError when the options are
    why.
    """

    def __init__(self, options: Options, program: Program = LAB, *, ready_limit: float = READY_LIMIT_S) -> None:
        self.owner = os.getpid()
        self.program = program
        self.folder = Path(tempfile.mkdtemp(prefix="supalab-"))
        self.log = self.folder / f"{program.name}.log"
        try:
            self._process = self._spawn()
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise self._error(f"could not be started with {sys.executable!r}: {error.strerror}") from None
        try:
            self.ready = self._first_words(options, ready_limit)
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def _error(self, what: str) -> SupalabError:
        return self.program.error(f"the {self.program.name} {what}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        if not sys.executable:
            raise self._error("could not be started: this Python does not say where it is (sys.executable)")
        # A session of its own: an interrupt meant for the kernel must not reach the child.
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        with self.log.open("wb") as log:
            return subprocess.Popen(
                # -P: a learner's own random.py or uvicorn.py in this folder must not be imported in there.
                [sys.executable, "-P", "-m", self.program.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=child_environment(),
                **apart,
            )

    def _first_words(self, options: Options, limit: float) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        job = {"parent": os.getpid(), "folder": str(self.folder), "options": options.as_json()}
        watchdog = threading.Timer(limit, self._process.kill)
        watchdog.start()
        try:
            with contextlib.suppress(OSError):  # it is dead already: its silence tells
                stdin.write(json.dumps(job).encode() + b"\n")
                stdin.flush()
            line = stdout.readline()
        finally:
            watchdog.cancel()
            watchdog.join()
            stdout.close()
        return self._understood(line, limit)

    def _understood(self, line: bytes, limit: float) -> dict[str, Any]:
        if not line:
            code = self._process.wait()
            raise self._error(f"ended before it was ready (exit code {code}, limit {limit:g} s){self.log_tail()}")
        try:
            words: dict[str, Any] = json.loads(line)
        except ValueError:
            raise self._error(f"said a first line that was not understood: {line[:80]!r}{self.log_tail()}") from None
        if "error" in words:
            raise (SettingsError if words["kind"] == "SettingsError" else self.program.error)(words["error"])
        return words

    def exit_code(self) -> int | None:
        """Return the code it ended with, or None while it runs."""
        return self._process.poll()

    def log_tail(self) -> str:
        """Return the end of its log as a clause for a message, or nothing if it said nothing."""
        try:
            said = self.log.read_bytes()[-TAIL_BYTES:].decode("utf-8", "replace").strip()
        except OSError:
            said = ""
        return f"; the end of its log:\n{said}" if said else ""

    def stop(self) -> int | None:
        """Ask it to end, wait, and kill it if it does not; what is in flight has time to finish. Safe to call twice.

        Returns its exit code.
        """
        if os.getpid() != self.owner:
            return None  # a forked copy must not end its parent's child
        try:
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            if sys.platform != "win32":
                self._process.terminate()  # it may be deaf on that ear: a process forked here holds its input open
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self.program.stop_limit)
        finally:
            self.kill()
        return self._process.returncode

    def kill(self) -> None:
        """End it at once, whatever it does, and remove its files."""
        if os.getpid() != self.owner:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def child_environment() -> dict[str, str]:
    """Return this environment, with the checkout's place in it when supalab runs from one that is not installed."""
    environment = dict(os.environ)
    root = Path(__file__).resolve().parents[2]
    if root.name not in {"site-packages", "dist-packages"}:
        paths = [environment.get("PYTHONPATH"), str(root)]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


async def in_thread(action: Callable[[], object]) -> None:
    """Do ``action`` in a thread that is gone afterwards."""
    with ThreadPoolExecutor(1) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, action)
