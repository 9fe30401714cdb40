"""What a number of slots alone would do: arrivals and a service time go in, response times come out. Pure.

No client, no threads, no event loop: first come, first served, by whichever slot is free. Where a measured service
agrees with this, its capacity is the number of its slots and nothing else.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from supalab.capacity.search import bracket, search
from supalab.load.schedule import poisson
from supalab.load.shots import rank

__all__ = ["TOO_SLOW", "slots_capacity", "slots_responses", "step_s"]

#: Capacity is the highest rate with p95 below so many idle response times.
TOO_SLOW = 2.0


def slots_responses(arrivals: Sequence[float], slots: int, service_s: float) -> list[float]:
    """Return the response time of each arrival, in seconds."""
    free = [0.0] * slots
    found = []
    for at in arrivals:
        done = max(at, heapq.heappop(free)) + service_s
        heapq.heappush(free, done)
        found.append(done - at)
    return found


def step_s(rate: float, duration: float, requests: int) -> float:
    """Return the seconds of a step: ``duration``, or longer where that brings too few requests for a percentile."""
    return max(duration, requests / rate)


def slots_capacity(
    slots: int, service_s: float, *, steps: Sequence[float], duration: float, requests: int, seed: int, fine: float
) -> float | None:
    """Return the capacity that the same search over the same arrivals finds for bare slots."""

    def is_good(rate: float) -> bool:
        arrivals = poisson(rate, step_s(rate, duration, requests), seed)
        found = rank(slots_responses(arrivals, slots, service_s), 95)
        return found is not None and found < TOO_SLOW * service_s

    return bracket(search(is_good, steps, fine))[0]
