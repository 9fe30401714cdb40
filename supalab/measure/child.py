"""Do one thing in a fresh worker process: run a job, or send one request to find out whether a backend works.

No worker outlives the call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from supalab.errors import SettingsError, TrialError
from supalab.measure.case import Workload
from supalab.process.child import Child, Program
from supalab.settings import Settings

LOOK_S = 0.1
WORKER = Program("supalab.measure.worker", "worker", TrialError)
#: Seconds that a worker has to end after it has reported its result.
LEAVE_S = 5.0
CHECK_S = 30.0


def job(
    name: str, arm: str, settings: Settings, workload: Workload, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the job for a worker; it contains the key, so never print it.

    ``name``: of a job in the worker's table; ``options``: the job's arguments in addition to arm and workload.
    """
    told = {"job": name, "arm": arm, "options": dict(options or {})}
    return told | {"settings": asdict(settings), "workload": asdict(workload)}


def run_worker(
    job: Mapping[str, Any],
    *,
    limit_s: float,
    tick: Callable[[float], None] = lambda _: None,
    who: str | None = None,
) -> dict[str, Any]:
    """Run one job in a fresh process and return its result; ``tick`` is called with the seconds so far meanwhile.

    ``who`` is its name in errors (default: the worker of the job's arm). Raises TrialError if the worker breaks or
    needs more than ``limit_s``. However this ends, also by Ctrl-C, the worker has ended.
    """
    who = who or f"the worker of arm {job['arm']!r}"
    child = Child(WORKER, job)
    began = time.monotonic()
    try:
        while (result := child.hear(LOOK_S)) is None:
            seconds = time.monotonic() - began
            if seconds > limit_s:
                raise TrialError(f"a trial had no result after {limit_s:.0f} s: use fewer requests or a larger limit")
            tick(seconds)
        child.exit_code(LEAVE_S)
        if not result:
            tail = child.log_text().splitlines() or ["it gave no reason"]
            raise TrialError(f"{who} broke: {tail[-1]}")
    finally:
        child.kill()
    if "kind" in result and "error" in result:
        raise TrialError(f"{who} broke: {result['error']}")
    return result


def check(settings: Settings, workload: Workload, *, in_lab: bool) -> None:
    """Read one row of the workload's table, so that an error that would come a hundred times is one clear line.

    Raises SettingsError when the address, the key, the table or the columns cannot work. A 5xx of a lab (its error
    rate) does not stop the race, which counts these errors.
    """
    soon = CHECK_S + (workload.latency or 0.0)
    # Our client has the clearest errors.
    result = run_worker(job("check", "real-1", replace(settings, timeout=soon), workload), limit_s=2 * soon)
    error = result.get("error")
    if error and not (in_lab and (error["status"] or 0) >= 500):
        raise SettingsError(_cure(error, settings.url, workload))


def _cure(error: Mapping[str, Any], url: str, workload: Workload) -> str:
    """Return one line that says what is wrong, with its value and what to do."""
    status, text = error["status"], " ".join(str(error["text"]).split())
    if error["type"] == "SettingsError":  # no request was sent, and the message says what to do
        return text
    if error["type"] in {"ConnectionLost", "DeadlineExceeded"}:
        return f"url {url!r} cannot be reached ({text}): check the address, or leave it out to race in the lab"
    refused = f"key was refused by {url} ({text}): copy the project's publishable (anon) key again"
    by_status = {
        400: f"columns {workload.columns!r} of table {workload.table!r} cannot be read ({text}): name others",
        401: refused,
        403: refused,
        404: f"table {workload.table!r} is not at {url} ({text}): name a table that is there",
    }
    return by_status.get(status, f"url {url!r} does not answer as a Supabase project does ({text}): check the address")
