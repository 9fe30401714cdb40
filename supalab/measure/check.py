"""Send one request before a race, so that an error that would come a hundred times is one clear line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from supalab.errors import SettingsError
from supalab.measure.child import job, run_worker
from supalab.measure.workload import Workload
from supalab.settings import Settings

__all__ = ["check", "cure"]

# Ours has the clearest errors of all arms.
CHECKING_ARM = "real-1"
CHECK_S = 30.0


def check(settings: Settings, workload: Workload, *, in_lab: bool) -> None:
    """Read one row of the workload's table in a process of its own.

    Raises SettingsError when the address, the key, the table or the columns cannot work. A 5xx of a lab (its error
    rate) does not stop the race, which counts these errors.
    """
    soon = CHECK_S + (workload.latency or 0.0)
    asked = job("check", CHECKING_ARM, replace(settings, timeout=soon), workload)
    result = run_worker(asked, limit_s=2 * soon, tick=lambda _: None)
    error = result.get("error")
    if error and not (in_lab and (error["status"] or 0) >= 500):
        raise SettingsError(cure(error, settings.url, workload))


def cure(error: dict[str, Any], url: str, workload: Workload) -> str:
    """Return one line that names what is wrong, its value and what to do."""
    status, text = error["status"], " ".join(str(error["text"]).split())
    if error["type"] == "SettingsError":  # no request was sent, and the message says what to do
        return text
    if error["type"] in {"ConnectionLost", "DeadlineExceeded"}:
        return f"url {url!r} cannot be reached ({text}): check the address, or leave it out to race in the lab"
    if status in {401, 403}:
        return f"key was refused by {url} ({text}): copy the project's publishable (anon) key again"
    if status == 404:
        return f"table {workload.table!r} is not at {url} ({text}): name a table that is there"
    if status == 400:
        return f"columns {workload.columns!r} of table {workload.table!r} cannot be read ({text}): name others"
    return f"url {url!r} does not answer as a Supabase project does ({text}): check the address"
