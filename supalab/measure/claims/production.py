"""A service under load: nothing goes in, the figures that the article's "production" is judged by come out.

This is the one place that knows the capacity experiment. Of its services, which differ in their client alone, it takes
what each can take, how it answers when idle and when three threads are overrun, and the memory of its process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supalab.capacity.result import Capacity

__all__ = ["ARMS", "expected_s", "reduced", "served"]

#: The article's before, its after, and the fair control.
ARMS: Mapping[str, str] = {"before": "fake-3", "after": "article-10", "control": "fake-10"}
#: Twice what three slots of 150 ms can do, and well below what ten can.
OVERRUN_PER_S = 40.0
HOW: Mapping[str, Any] = {"steps": (10.0, 20.0, OVERRUN_PER_S, 80.0), "duration": 4.0, "requests": 40, "fine": 0.3}


def expected_s() -> float:
    """Return the seconds that it should take."""
    from supalab.capacity import measure

    return measure.expected_s(tuple(ARMS.values()), **HOW)


def served(tick: Callable[[float], None] = lambda _: None) -> Mapping[str, float]:
    """Put the services under load and return their figures; ``tick`` is called with the seconds so far."""
    from supalab.capacity.measure import capacity

    whole = expected_s()
    return reduced(capacity(tuple(ARMS.values()), **HOW, progress=lambda share, *_: tick(share * whole)))


def reduced(found: Capacity) -> dict[str, float]:
    """Return the figures by name, for each arm; what was not found is left out.

    ``in_flight``: most requests at once at the backend, as it witnessed; ``pace``: requests a second up to which the
    service answers without being slow; ``idle``, ``overrun``: median response (seconds) when nothing else is asked, and
    at a rate that overruns three threads; ``memory``: bytes of its process.
    """
    figures: dict[str, float | None] = {}
    for which, name in ARMS.items():
        arm = found.of(name)
        if arm is None:
            continue
        step = next((one for one in arm.steps if one.rate == OVERRUN_PER_S), None)
        figures |= {
            f"in_flight_{which}": max((one.in_flight_peak for one in arm.steps), default=None),
            f"pace_{which}": arm.capacity,
            f"idle_{which}": arm.idle_s,
            f"overrun_{which}": step.p50 if step else None,
            f"memory_{which}": arm.memory_peak_bytes,
        }
    return {name: value for name, value in figures.items() if value is not None}
