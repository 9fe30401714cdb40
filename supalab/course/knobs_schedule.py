"""A burst if nothing but the network and the server took time: a setting goes in, the time of each request comes out.

Pure: no client, no lab, no clock. First come, first served, by the slot that has been free longest. Seconds everywhere.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

from supalab.errors import SettingsError
from supalab.measure.trial import Span

__all__ = ["Computed", "Setting", "Turn", "compute", "makespan"]

# More lanes or bars than a screen has room for.
MOST = 1000


@dataclass(frozen=True, slots=True)
class Setting:
    """What the knobs say: a burst of ``requests``, ``limit`` at a time, each ``latency`` seconds at the server.

    ``rtt``: seconds of a round trip, of which a request takes one, and a new connection one more, or two with ``tls``.
    ``kept``: a slot keeps its connection; else it dials for each request. None is open at the start.
    Raises SettingsError for what cannot be played.
    """

    requests: int
    limit: int
    latency: float
    rtt: float = 0.0
    kept: bool = True
    tls: bool = False

    def __post_init__(self) -> None:
        for name in ("requests", "limit"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
                raise SettingsError(f"{name} is {value!r}: give a whole number from 1 to {MOST}")
        for name in ("latency", "rtt"):
            value = getattr(self, name)
            good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not good or value < 0:
                raise SettingsError(f"{name} is {value!r}: give seconds from 0 (150 ms is 0.15)")
        if self.latency + self.rtt <= 0:
            raise SettingsError("latency and rtt are both 0: then nothing takes time; give one of them, in seconds")

    @property
    def set_up(self) -> float:
        """Seconds to open a connection: a round trip for TCP, and one for TLS (1.3)."""
        return self.rtt * (2 if self.tls else 1)

    @property
    def each(self) -> float:
        """Seconds of one request on an open connection."""
        return self.rtt + self.latency

    @property
    def rounds(self) -> int:
        """How many requests the busiest slot serves, one after another."""
        return math.ceil(self.requests / self.limit)

    @property
    def in_last(self) -> int:
        """Requests of the last round."""
        return self.requests - (self.rounds - 1) * self.limit

    @property
    def dialled(self) -> int:
        """Connections that are opened."""
        return min(self.limit, self.requests) if self.kept else self.requests


@dataclass(frozen=True, slots=True)
class Turn:
    """One request: its lane, from 0, its span, and the seconds at the span's start in which it dials."""

    lane: int
    span: Span
    set_up: float


@dataclass(frozen=True, slots=True)
class Computed:
    """A whole burst, computed; the turns are in the order of starting."""

    setting: Setting
    turns: tuple[Turn, ...]

    @property
    def makespan_s(self) -> float:
        """Seconds from the first question to the last answer."""
        return max(turn.span.done for turn in self.turns)

    @property
    def throughput_per_s(self) -> float:
        """Requests answered in a second."""
        return len(self.turns) / self.makespan_s

    @property
    def mean_wait_s(self) -> float:
        """Seconds that a request waits for a slot, on average."""
        return sum(turn.span.wait or 0.0 for turn in self.turns) / len(self.turns)

    @property
    def mean_service_s(self) -> float:
        """Seconds that a request holds its slot, on average."""
        return sum(turn.span.service or 0.0 for turn in self.turns) / len(self.turns)


def compute(setting: Setting) -> Computed:
    """Return the burst, request by request."""
    free = [(0.0, lane) for lane in range(min(setting.limit, setting.requests))]
    opened: set[int] = set()
    turns = []
    for _ in range(setting.requests):
        start, lane = heapq.heappop(free)
        set_up = 0.0 if setting.kept and lane in opened else setting.set_up
        opened.add(lane)
        done = start + set_up + setting.each
        heapq.heappush(free, (done, lane))
        turns.append(Turn(lane, Span(0.0, start, done), set_up))
    return Computed(setting, tuple(turns))


def makespan(setting: Setting) -> float:
    """Return the burst's seconds without going through its requests: rounds, and what is dialled before them."""
    return setting.rounds * setting.each + setting.set_up * (1 if setting.kept else setting.rounds)
