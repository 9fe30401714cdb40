"""What a load brought: requests with their times go in, rates, percentiles and counts come out. Pure.

A response time runs from the *intended* start: a request that waited because the service was slow, or because its
sender was late, has waited. Leaving that out is coordinated omission, and makes a slow service look quick.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["CAPPED", "LATE_S", "LEFT", "LOST", "OK", "REFUSED", "TIMEOUT", "Load", "Shot", "rank"]

OK, LEFT, TIMEOUT = "ok", "left", "timeout"
REFUSED, LOST, CAPPED = "no connection", "connection lost", "over the cap"
#: A generator whose requests are sent later than this (p99, seconds) has disturbed what it measures.
LATE_S = 0.02


class Shot(NamedTuple):
    """One request: when it was meant to start, was sent and was over, in seconds since the load began.

    ``outcome``: ``ok`` for a whole 2xx answer, ``HTTP 503`` and the like, ``timeout``, ``left`` for a caller who
    was meant to leave early and did, ``no connection``, ``connection lost`` or ``over the cap``.
    """

    intended: float
    sent: float
    done: float
    outcome: str

    @property
    def ok(self) -> bool:
        """Whether it was answered."""
        return self.outcome == OK

    @property
    def response_s(self) -> float:
        """Seconds from the intended start to the whole answer; infinite if none came."""
        return self.done - self.intended if self.ok else math.inf

    @property
    def slip_s(self) -> float:
        """Seconds by which it was sent late."""
        return self.sent - self.intended


def rank(values: Iterable[float], q: float) -> float | None:
    """Return the value at rank q (0-100), a real one of them; ``None`` of nothing, and where it is infinite."""
    ordered = sorted(values)
    if not ordered:
        return None
    found = ordered[max(math.ceil(len(ordered) * q / 100), 1) - 1]
    return found if math.isfinite(found) else None


@dataclass(frozen=True)
class Load:
    """One load as it was: what was asked, and every request. Seconds; ``epoch`` is when it began, as ``time.time``.

    ``url`` has no query, which may hold a key. ``cpu_s``: CPU the generator's process used while it sent.
    """

    url: str
    duration: float
    rate: float | None
    callers: int | None
    seed: int
    timeout: float
    epoch: float
    cpu_s: float
    shots: tuple[Shot, ...]

    @property
    def sent_per_s(self) -> float:
        """Requests sent a second."""
        return len(self.shots) / self.duration

    @property
    def answered(self) -> int:
        """Requests that got a whole 2xx answer."""
        return sum(shot.ok for shot in self.shots)

    @property
    def answered_per_s(self) -> float:
        """Answers a second, until the last request was over."""
        return self.answered / max(self.duration, max((shot.done for shot in self.shots), default=0.0))

    @property
    def errors(self) -> Mapping[str, int]:
        """How many requests had no answer, by kind; callers who were meant to leave are none of them."""
        return dict(sorted(Counter(s.outcome for s in self.shots if s.outcome not in {OK, LEFT}).items()))

    @property
    def left(self) -> int:
        """Callers who left before the answer, as they were meant to."""
        return sum(shot.outcome == LEFT for shot in self.shots)

    def response(self, q: float) -> float | None:
        """Return the response time at rank q (0-100); ``None`` if so many failed that it never came.

        A failed request counts as one that never was answered, so that failing quickly does not look quick.
        """
        return rank((shot.response_s for shot in stayed(self.shots)), q)

    @property
    def slip_p99(self) -> float:
        """Seconds by which requests were sent late, at rank 99."""
        return rank((shot.slip_s for shot in self.shots), 99) or 0.0

    @property
    def late(self) -> bool:
        """Whether the generator did not keep pace, so that the response times are partly its own."""
        return self.slip_p99 > LATE_S


def stayed(shots: Sequence[Shot]) -> list[Shot]:
    """Return the requests whose callers did not leave early."""
    return [shot for shot in shots if shot.outcome != LEFT]
