"""A child's end of the leash: its parent's first line flows in, one JSON line flows out; it never outlives the parent.

It leaves when asked (SIGTERM, or its standard input closed), and when its parent is gone by any means. Nothing but
those two lines passes through the pipes, and no secret is ever an argument. The parent's end is ``process.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Leash", "held", "say"]

LOOK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Leash:
    """What a child was told: its options, a folder for files that live as long as it, and the event that ends it."""

    options: dict[str, Any]
    folder: Path
    ending: threading.Event
    alive: Callable[[], bool]

    def slipped(self) -> None:
        """Tidy up at the end if the parent, whose duty that is, has gone."""
        if not self.alive():
            shutil.rmtree(self.folder, ignore_errors=True)


def held(hard_end: Callable[[dict[str, Any]], float]) -> Leash:
    """Read the first line, and from now on leave with the parent; call it before anything heavy is imported.

    ``hard_end``: options → seconds after which the process is gone once its end was asked for, whatever it does.
    """
    # An interrupted cell must not end the child; at once, so that no moment is open to it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    job: dict[str, Any] = json.loads(_first_line())
    leash = Leash(job["options"], Path(job["folder"]), threading.Event(), parent_watch(job["parent"]))
    signal.signal(signal.SIGTERM, lambda *_: leash.ending.set())
    threading.Thread(target=_await_end_of_input, args=(leash.ending,), daemon=True).start()
    threading.Thread(target=_guard, args=(leash, hard_end(leash.options)), daemon=True).start()
    return leash


def say(values: Mapping[str, object]) -> None:
    """Tell the parent the one thing it waits for; whatever is printed later goes to the log."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(values).encode() + b"\n")
        # The parent closes its end now.
        os.dup2(2, 1)


def _first_line() -> bytes:
    """Read standard input up to its first line's end, unbuffered.

    A thread that waits inside ``sys.stdin`` would hold its lock, which the interpreter needs when it ends.
    """
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return line


def _await_end_of_input(ending: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    ending.set()


def _guard(leash: Leash, hard_end: float) -> None:
    """Leave at once when the parent is gone, and at the latest some seconds after the end was asked for.

    Both are needed: the input stays open while a process forked by the parent lives.
    """
    latest = float("inf")
    while True:
        if not leash.alive():
            leash.slipped()
            os._exit(0)
        now = time.monotonic()
        if now > latest:
            os._exit(1)
        if leash.ending.is_set():
            latest = min(latest, now + hard_end)
            time.sleep(LOOK_EVERY_S / 4)
        else:
            leash.ending.wait(LOOK_EVERY_S)


def parent_watch(pid: int) -> Callable[[], bool]:
    """Return a function that says whether process ``pid``, which started this one, still lives."""
    if sys.platform == "win32":
        import psutil

        try:
            return psutil.Process(pid).is_running
        except psutil.NoSuchProcess:
            return lambda: False
    if os.getppid() == pid:
        # A process whose parent ends gets another one; this notices even if the number is used again.
        return lambda: os.getppid() == pid
    return lambda: _exists(pid)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
