"""When is a service well again: requests and the end of a spell go in, seconds and counts come out. Pure.

Well means what it means for capacity: p95 below twice the idle response time, here over a window that slides from
request to request. A window is a number of requests, since few seconds of few requests have no percentiles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from supalab.load.shots import LEFT, OK, Shot, rank, stayed

__all__ = ["WINDOW", "for_nobody", "lost", "recovery_s", "response_in"]

#: Of 10 requests p95 is the slowest: the first ten in a row that are quick end the spell's aftermath. A longer window
#: would blame the spell for a hiccup of the machine seconds later.
WINDOW = 10


def recovery_s(shots: Sequence[Shot], end: float, threshold: float, window: int = WINDOW) -> float | None:
    """Return the seconds from the spell's end to the first request from which on the service is well again.

    That request, and p95 of the ``window`` requests that begin with it, take less than ``threshold`` seconds. 0 if
    it is the first request after the end; ``None`` if there is none. Callers who leave early say nothing either way.
    """
    after = [shot for shot in sorted(stayed(shots)) if shot.intended >= end]
    for place, shot in enumerate(after[: max(len(after) - window + 1, 0)]):
        p95 = rank((one.response_s for one in after[place : place + window]), 95)
        if shot.response_s < threshold and p95 is not None and p95 < threshold:
            return shot.intended - end if place else 0.0
    return None


def lost(shots: Sequence[Shot]) -> Mapping[str, int]:
    """Return how many callers who stayed had no answer, by kind of failure."""
    return dict(sorted(Counter(shot.outcome for shot in stayed(shots) if shot.outcome != OK).items()))


def response_in(shots: Sequence[Shot], begin: float, end: float, q: float = 95) -> float | None:
    """Return the response time at rank q of the callers who stayed and came from ``begin`` to ``end`` seconds."""
    return rank((shot.response_s for shot in stayed(shots) if begin <= shot.intended < end), q)


def for_nobody(shots: Sequence[Shot], served: int, spoiled: int) -> int:
    """Return how many good answers of the backend reached no caller: it worked for nobody.

    ``served`` requests were finished by the backend, ``spoiled`` of them as errors; each answered caller took one.
    """
    return max(served - spoiled - sum(shot.ok for shot in shots), 0)


def left(shots: Sequence[Shot]) -> int:
    """Return how many callers left early, as they were meant to."""
    return sum(shot.outcome == LEFT for shot in shots)
