"""A service under load, for the claims about the article's "production": what it does when idle and when overrun."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from supalab.experiments import capacity
from supalab.measure.case import Case
from supalab.measure.run import Context, Outcome

__all__ = ["expected_s", "served"]

#: Twice what three slots of 150 ms can do, and well below what ten can.
OVERRUN_PER_S = 40.0
HOW: Mapping[str, Any] = {"steps": (10.0, 20.0, OVERRUN_PER_S, 80.0), "duration": 4.0, "requests": 40, "fine": 0.3}


def expected_s(arm: str) -> float:
    """Return the seconds that one service should take."""
    return capacity.EXPERIMENT.expected_s(arms=(arm,), **HOW)


def served(case: Case, context: Context, tick: Callable[[float], None]) -> Outcome:
    """Put the service of an arm under load.

    ``in_flight``: most requests at once at the backend, as it witnessed; ``capacity_per_s``: requests per second up to
    which the service answers without being slow; ``idle_s``, ``overrun_s``: median response when nothing else is
    asked, and at a rate that overruns three threads; ``process_bytes``: of its process.
    """
    whole = expected_s(case.arm)
    found = capacity.capacity(arms=(case.arm,), **HOW, progress=lambda so_far: tick(so_far.fraction * whole))
    (one,) = capacity.services(found).values()
    overrun = next((step["response_p50_s"] for step in one.steps if step["rate"] == OVERRUN_PER_S), None)
    numbers = {
        "in_flight": max((step["peak"] for step in one.steps), default=None),
        "capacity_per_s": one.capacity or 0.0,
        "idle_s": one.idle_s,
        "overrun_s": overrun,
        "process_bytes": one.memory_bytes,
    }
    return Outcome(numbers, machine=found.machine, versions=found.versions)
