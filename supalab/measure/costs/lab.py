"""What the costs share: a plan of runs goes in, a quiet lab for each, fair turns and one progress come out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from supalab.clients.arms import Arm
from supalab.errors import LabError, SettingsError
from supalab.lab.handle import Lab
from supalab.lab.witness import Witness
from supalab.measure.child import job, run_worker
from supalab.measure.race import Progress, marks
from supalab.measure.workload import Workload
from supalab.settings import Settings

__all__ = [
    "ask_worker",
    "kept_conditions",
    "now",
    "quiet",
    "teller",
]

PATIENCE_S = 60.0
LOOK_S = 0.02
#: What a run's progress is told when there is its result.
FINISHED = math.inf
NEARLY = 0.99


def now() -> str:
    """Return the time, UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def teller(
    progress: Callable[[Progress], None] | None, weights: Sequence[float], done: int, name: str
) -> Callable[[float], None]:
    """Return what is told the seconds of one run, after ``done`` others, and tells how far all are.

    A run counts as finished when it is told ``FINISHED``, however much longer than expected it takes.
    """
    begins = marks(weights)

    def tell(seconds: float) -> None:
        if progress is not None:
            part = weights[done] if seconds == FINISHED else min(seconds, NEARLY * weights[done])
            progress(Progress((begins[done] + part) / begins[-1], name, done + (seconds == FINISHED), len(weights)))

    return tell


@contextmanager
def kept_conditions(lab: Lab | None) -> Iterator[Lab]:
    """A lab to change the latency of: one of its own, or the given one, which gets its latency back."""
    if lab is None:
        with Lab() as own:
            yield own
        return
    before = lab.conditions.latency
    try:
        yield lab
    finally:
        with suppress(LabError):  # it is gone: what went wrong before that is the reason to tell
            lab.set(latency=before)


def quiet(lab: Lab, latency: float) -> Witness:
    """Wait until the lab has finished what it still works on, some latencies at most, and return its record."""
    end = time.monotonic() + PATIENCE_S + 2 * latency
    while (seen := lab.witness()).current:
        if time.monotonic() > end:
            raise LabError(f"the lab still has {seen.current} requests in flight: does somebody else use it?")
        time.sleep(LOOK_S)
    return seen


def ask_worker(
    kind: str,
    one: Arm,
    workload: Workload,
    lab: Lab,
    tick: Callable[[float], None],
    *,
    timeout: float,
    limit_s: float,
    more: Mapping[str, Any],
) -> tuple[dict[str, Any], Witness]:
    """Run one job in a fresh process against a quiet lab with a fresh record; return its result and that record.

    ``timeout``: the client's, in seconds; ``limit_s``: the worker's. Raises SettingsError when the arm cannot run.
    """
    latency = workload.latency or 0.0
    quiet(lab, latency)
    lab.set(latency=latency)
    lab.reset()
    ca_file = None if lab.ca_file is None else str(lab.ca_file)
    asked = job(kind, one.name, Settings(lab.url, lab.key, timeout=timeout, ca_file=ca_file), workload)
    raw = run_worker(asked | dict(more), limit_s=limit_s, tick=tick)
    if "error" in raw:
        raise SettingsError(f"arm {one.name!r} cannot run: {raw['error']['text']}")
    return raw, quiet(lab, latency)
