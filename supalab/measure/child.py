"""The parent's side of a worker: a job goes in, its one line of result comes out; no worker outlives the call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import IO, Any

from supalab.errors import TrialError
from supalab.lab.process import child_environment
from supalab.measure.trial import Workload
from supalab.settings import Settings

__all__ = ["job", "run_worker"]

LOOK_S = 0.1
KILLED_S = 5.0
LOG_TAIL = 300


def job(kind: str, arm: str, settings: Settings, workload: Workload) -> dict[str, Any]:
    """Return what a worker reads; it holds the key, so never print it.

    ``kind``: ``"trial"``, ``"bench"`` or ``"check"``, and for what it costs ``"memory"``, ``"idle"`` or ``"cancel"``.
    """
    return {
        "kind": kind,
        "arm": arm,
        "settings": asdict(settings),
        "workload": asdict(workload),
        "parent": os.getpid(),
    }


def run_worker(
    job: Mapping[str, Any],
    *,
    limit_s: float,
    tick: Callable[[float], None],
    module: str = "supalab.measure.worker",
    who: str | None = None,
) -> dict[str, Any]:
    """Run one job in a fresh process and return its result; ``tick`` is called with the seconds so far meanwhile.

    ``module`` is what the process runs, ``who`` what its errors call it (the worker of the job's arm). Raises
    TrialError when the worker breaks or needs more than ``limit_s``. However this ends, Ctrl-C included, the worker
    has gone.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            # As the lab's child: a learner's own random.py or httpx.py in this folder is not imported in there.
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=child_environment(),
            # Ctrl-C reaches the whole foreground group: the worker is in none, its parent ends it.
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        try:
            line = _converse(process, json.dumps(job).encode() + b"\n", limit_s, tick)
        finally:
            _end(process)
        return _understood(line, log, who or f"the worker of arm {job['arm']!r}")


def _converse(process: subprocess.Popen[bytes], line: bytes, limit_s: float, tick: Callable[[float], None]) -> bytes:
    said: list[bytes] = []
    assert process.stdin is not None
    assert process.stdout is not None
    # A thread reads, because a pipe cannot be waited for with a time limit on every system.
    reader = threading.Thread(target=_read_all, args=(process.stdout, said), daemon=True)
    reader.start()
    try:
        process.stdin.write(line)
        process.stdin.flush()
    except OSError:
        pass  # it ended before it read its job; its log says why
    began = time.monotonic()
    while reader.is_alive():
        reader.join(LOOK_S)
        seconds = time.monotonic() - began
        if seconds > limit_s:
            raise TrialError(f"a trial had no result after {limit_s:.0f} s: use fewer requests or a larger limit")
        tick(seconds)
    return b"".join(said)


def _read_all(stream: IO[bytes], said: list[bytes]) -> None:
    said.append(stream.read())


def _end(process: subprocess.Popen[bytes]) -> None:
    """Make sure that it has gone; it has its result out when it closes stdout, so there is nothing to lose."""
    if process.poll() is None:
        try:
            process.wait(0 if sys.exc_info()[0] else KILLED_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(KILLED_S)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _understood(line: bytes, log: IO[bytes], who: str) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads(line)
    except ValueError:
        log.seek(0)
        tail = log.read()[-LOG_TAIL:].decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise TrialError(f"{who} broke: {tail[-1]}") from None
    return result
