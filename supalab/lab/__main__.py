"""The lab as a child process: one JSON line of options flows in, one JSON line flows out when it is ready, or why not.

It leaves when asked (SIGTERM, or its standard input closed), and when its parent is gone by any means. Nothing but
those two lines passes through the pipes, and no secret is ever an argument.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from supalab.lab.server import Running

LOOK_EVERY_S = 0.2
HARD_END_S = 2.8


def main() -> int:
    """Run a lab as the child of the process that wrote the first line to standard input; returns the exit code."""
    # An interrupted cell must not end the lab; before the imports, so that no moment is open to it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    job: dict[str, Any] = json.loads(_first_line())
    folder = Path(job["folder"])
    ending = threading.Event()
    alive = parent_watch(job["parent"])
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    threading.Thread(target=_await_end_of_input, args=(ending,), daemon=True).start()
    threading.Thread(target=_guard, args=(alive, folder, ending), daemon=True).start()
    code = _run(job, folder, ending)
    if not alive():
        shutil.rmtree(folder, ignore_errors=True)
    return code


def _run(job: dict[str, Any], folder: Path, ending: threading.Event) -> int:
    from supalab.errors import SupalabError

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        from supalab.lab.server import ServeOptions, run

        run(ServeOptions.from_json(job["options"]), folder, _say_ready, ending)
    except SupalabError as error:
        _say({"kind": type(error).__name__, "error": str(error)})
        return 2
    return 0


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


def _say(values: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(values).encode() + b"\n")
        # The parent closes its end now; whatever prints later goes to the log.
        os.dup2(2, 1)


def _say_ready(running: Running) -> None:
    _say(
        {
            "port": running.port,
            "key": running.key,
            "control_port": running.control_port,
            "token": running.token,
            "ca_file": str(running.ca_file) if running.ca_file else None,
        }
    )


def _await_end_of_input(ending: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    ending.set()


def _guard(alive: Callable[[], bool], folder: Path, ending: threading.Event) -> None:
    """Leave at once when the parent is gone, and at the latest some seconds after the end was asked for.

    Both are needed: the input stays open while a process forked by the parent lives.
    """
    latest = float("inf")
    while True:
        if not alive():
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(0)
        now = time.monotonic()
        if now > latest:
            os._exit(1)
        if ending.is_set():
            latest = min(latest, now + HARD_END_S)
            time.sleep(LOOK_EVERY_S / 4)
        else:
            ending.wait(LOOK_EVERY_S)


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


if __name__ == "__main__":
    sys.exit(main())
