"""Run one job in a fresh worker process and return its result; no worker outlives the call."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from supalab.errors import TrialError
from supalab.measure.workload import Workload
from supalab.process.child import Child, Program
from supalab.settings import Settings

__all__ = ["job", "run_worker"]

LOOK_S = 0.1
KILLED_S = 5.0


def job(
    name: str, arm: str, settings: Settings, workload: Workload, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a worker reads; it holds the key, so never print it.

    ``name``: of a job in the worker's table; ``options``: what the job takes besides arm and workload.
    """
    return {
        "job": name,
        "arm": arm,
        "settings": asdict(settings),
        "workload": asdict(workload),
        "options": dict(options or {}),
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
    who = who or f"the worker of arm {job['arm']!r}"
    child = Child(Program(module, "worker", TrialError, KILLED_S), job)
    began = time.monotonic()
    try:
        while (result := child.hear(LOOK_S)) is None:
            seconds = time.monotonic() - began
            if seconds > limit_s:
                raise TrialError(f"a trial had no result after {limit_s:.0f} s: use fewer requests or a larger limit")
            tick(seconds)
        child.wait(KILLED_S)
    except EOFError:
        tail = child.log_text().splitlines() or ["it said nothing"]
        raise TrialError(f"{who} broke: {tail[-1]}") from None
    finally:
        child.kill()
    if "kind" in result and "error" in result:
        raise TrialError(f"{who} broke: {result['error']}")
    return result
