"""Count what the lab sees: requests in flight, connections, clients that disconnected, and a timeline of these.

``Tally`` counts inside the lab with constant memory; ``Witness`` is one reading of it, a plain value that can be sent
as JSON.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TIMELINE_ROOM = 20_000


@dataclass(frozen=True, slots=True)
class Witness:
    """What the lab saw since it started or was last reset.

    ``peak`` and ``current``: most requests in flight, and those in flight now; a request is in flight from its accepted
    headers until its answer is sent. ``served``: requests finished, with any status and whether or not the client was
    still connected. ``connections``: connections opened. ``abandoned``: requests finished after their client had
    disconnected. ``errors``: responses replaced by an error because of the error rate. ``refused``: requests refused by
    the limit, which were never in flight. ``busy_s``: requests in flight, integrated over time, in seconds; divided by
    a span of seconds it is the mean in flight. ``timeline``: (seconds, requests in flight) at each change, counted from
    the first request; long records keep only every second, fourth, … change, and always the last one. ``second``:
    seconds from the first request to this reading.
    """

    peak: int
    current: int
    served: int
    connections: int
    abandoned: int
    busy_s: float
    timeline: tuple[tuple[float, int], ...]
    errors: int = 0
    refused: int = 0
    second: float = 0.0

    @property
    def last_arrival_s(self) -> float:
        """Seconds from the first request to the arrival of the last one."""
        changes = pairwise([(0.0, 0), *self.timeline])
        return max(second for (_, before), (second, number) in changes if number > before)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Witness:
        """Build a witness from the JSON of ``dataclasses.asdict``."""
        timeline = tuple((float(second), int(number)) for second, number in values["timeline"])
        return cls(**{**values, "timeline": timeline})

    def __str__(self) -> str:
        requests = "1 request" if self.served == 1 else f"{self.served} requests"
        connections = "1 connection" if self.connections == 1 else f"{self.connections} connections"
        seen = f"{requests} served, at most {self.peak} in flight, {connections}"
        return f"{seen}, {self.abandoned} finished after their client had disconnected" if self.abandoned else seen


class Tally:
    """The running counts; it takes all its memory here, once."""

    def __init__(self, *, room: int = TIMELINE_ROOM, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._room = room
        self._seconds = array("d", bytes(8 * room))
        self._numbers = array("i", [0]) * room
        self.current = 0
        self.reset()

    def reset(self) -> None:
        """Start the counts again; requests in flight stay in flight and are the new peak."""
        self.peak = self.current
        self.served = self.connections = self.abandoned = self.errors = self.refused = 0
        self._busy = 0.0
        self._kept, self._seen, self._stride = 0, 0, 1
        self._origin = self._last = self._clock()
        if self.current:
            self._keep(0.0)

    def enter(self) -> None:
        """Count a request as in flight."""
        self._change(1)
        self.peak = max(self.peak, self.current)

    def leave(self) -> None:
        """Count a request as no longer in flight."""
        self._change(-1)

    def _change(self, step: int) -> None:
        now = self._clock()
        if not self._seen:
            self._origin = self._last = now
        self._busy += self.current * (now - self._last)
        self._last = now
        self.current += step
        self._keep(now - self._origin)

    def _keep(self, second: float) -> None:
        if self._seen % self._stride == 0:
            if self._kept == self._room:
                self._thin()
            self._seconds[self._kept] = second
            self._numbers[self._kept] = self.current
            self._kept += 1
        self._seen += 1

    def _thin(self) -> None:
        half = (self._room + 1) // 2
        self._seconds[:half] = self._seconds[::2]
        self._numbers[:half] = self._numbers[::2]
        self._kept, self._stride = half, self._stride * 2

    def reading(self, after: float = -1.0) -> Witness:
        """Return the current counts, with the changes of the timeline later than ``after`` seconds."""
        now = self._clock()
        first = bisect_right(self._seconds, after, 0, self._kept)
        timeline = list(zip(self._seconds[first : self._kept], self._numbers[first : self._kept], strict=True))
        last = (self._last - self._origin, self.current)
        if timeline and timeline[-1] != last:
            timeline.append(last)
        return Witness(
            peak=self.peak,
            current=self.current,
            served=self.served,
            connections=self.connections,
            abandoned=self.abandoned,
            busy_s=self._busy + self.current * (now - self._last),
            timeline=tuple(timeline),
            errors=self.errors,
            refused=self.refused,
            second=now - self._origin if self._seen else 0.0,
        )
