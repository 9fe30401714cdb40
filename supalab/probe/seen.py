"""The raw observations of a probe, and the numbers that are computed from them. Pure.

All waiting is counted in seconds: one thread that waits 0.3 s for a response of the lab counts 0.3, and so does one
request that is in flight at the lab for 0.3 s. So the two can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = ["Burst", "Seen", "Shares", "shares"]

# A peak of this part of a burst is the burst's own; a smaller one is a limit if it was held for this part of the time.
FULL, HELD = 0.9, 0.6
# Fewer requests than this part of the calls: the calls share them.
SHARED = 0.7
CLEAR, LITTLE = 0.5, 0.2


@dataclass(frozen=True, slots=True)
class Burst:
    """``calls`` calls started at once, and what was seen in the ``watched_s`` seconds after that.

    The lab counted ``peak`` (most in flight), ``connections`` opened, ``refused`` for its own limit, ``busy_s``
    (requests in flight, integrated over time) and the ``timeline``; ``requests`` are those of the whole burst.
    Requests of the process's other threads (``background_s``) are in none of them but the timeline.

    Who was seen waiting, in seconds. The event loop's thread: ``loop_read`` in a blocking read of a socket to the lab,
    ``loop_rest`` waiting for events, ``loop_stuck`` anywhere else, at one instruction from one look to the next. Other
    threads: ``threads_read`` in such a read, ``threads_elsewhere`` in a read of another server, ``threads_resolving``
    looking up a name, ``threads_work`` anywhere else where they were not before the burst. Sockets to the lab that an
    event loop watches: ``loop_sockets``, ``other_loops`` in other threads. Connections to the lab that are held by
    other processes (``processes``) and by this one (``own``).

    ``connects_loop`` and ``connects_threads``: connections to the lab that Python opened, by thread. ``blocked_s``:
    pauses of the loop of 0.1 s and more without use of the CPU; ``gap_s`` is the longest pause of all, ``gap_cpu_s``
    its CPU time. ``failed``: calls that raised, by the error's name; ``lost``: calls that never returned.
    """

    calls: int
    latency_s: float
    watched_s: float
    peak: int
    requests: int
    connections: int
    refused: int
    busy_s: float
    timeline: tuple[tuple[float, int], ...]
    loop_read: float = 0.0
    loop_rest: float = 0.0
    loop_stuck: float = 0.0
    threads_read: float = 0.0
    threads_work: float = 0.0
    threads_elsewhere: float = 0.0
    threads_resolving: float = 0.0
    loop_sockets: float = 0.0
    other_loops: float = 0.0
    processes: float = 0.0
    own: float = 0.0
    background_s: float = 0.0
    connects_loop: int = 0
    connects_threads: int = 0
    blocked_s: float = 0.0
    gap_s: float = 0.0
    gap_cpu_s: float = 0.0
    finished: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0

    def kept(self, peak: int) -> bool:
        """Whether so many requests were in flight for most of the time between the first and the last such moment."""
        at = [second for second, number in self.timeline if number >= peak]
        if not at or at[-1] - at[0] < self.latency_s:
            return False
        held = sum(
            after - second
            for (second, number), (after, _) in pairwise(self.timeline)
            if number >= peak and at[0] <= second < at[-1]
        )
        return held >= HELD * (at[-1] - at[0])


@dataclass(frozen=True, slots=True)
class Seen:
    """All observations of one probe; ``trouble`` says why it ended early.

    ``calls`` calls were made one after another: the lab counted ``requests`` and new ``connections`` for them, and each
    blocked the event loop for ``call_blocks_s`` seconds. ``loop``: what kind of event loop; ``loop_shows_sockets``:
    whether Python can see which sockets it watches, ``connects_heard``: whether Python learns of its connections.
    ``background``: names of the process's other threads that send requests of their own.
    """

    calls: int = 0
    requests: int = 0
    connections: int = 0
    call_blocks_s: float = 0.0
    bursts: tuple[Burst, ...] = ()
    loop: str = ""
    loop_shows_sockets: bool = True
    connects_heard: bool = True
    background: tuple[str, ...] = ()
    trouble: str | None = None

    @property
    def useful(self) -> list[Burst]:
        """The bursts of which the lab saw something."""
        return [burst for burst in self.bursts if burst.requests or burst.busy_s]

    @property
    def requests_per_call(self) -> float:
        """Return how many requests one call makes, counted over sequential calls."""
        return max(self.requests / self.calls, 1.0) if self.calls else 1.0

    @property
    def new_connections(self) -> float | None:
        """Return the connections opened per sequential request: 0 is full reuse, 1 is none; None if unknown."""
        return self.connections / self.requests if self.requests > 1 else None

    @property
    def shared(self) -> Burst | None:
        """The largest burst if its calls shared their requests, else None."""
        last = self.bursts[-1] if self.bursts else None
        shares_them = last and 0 < last.requests < SHARED * last.finished * round(self.requests_per_call)
        return last if shares_them else None

    @property
    def limit(self) -> int | None:
        """Return the most requests that the client keeps in flight; None if no burst reached such a limit.

        Two sizes of burst with the same peak are a limit; one peak below its burst is one if it was held for a while.
        """
        bursts = [burst for burst in self.bursts if burst.peak]
        if not bursts or self.shared or bursts[-1].peak >= FULL * bursts[-1].calls:
            return None
        peaks = [burst.peak for burst in bursts if burst.peak < FULL * burst.calls]
        same = len(peaks) > 1 and len(set(peaks)) == 1
        return peaks[-1] if same or bursts[-1].kept(peaks[-1]) else None


@dataclass(frozen=True, slots=True)
class Shares:
    """What waited, as shares of all waiting for the lab; ``unseen`` is the rest, and no share is counted twice.

    ``at_work``: the part of it that could be threads in code outside Python, one for each request.
    """

    loop: float = 0.0
    threads: float = 0.0
    events: float = 0.0
    other_loops: float = 0.0
    processes: float = 0.0
    unseen: float = 0.0
    at_work: float = 0.0

    @property
    def outside(self) -> float:
        """The share that threads wait for inside code outside Python: 0 unless most of it is unseen and they work."""
        part = min(self.unseen, self.at_work)
        return part if part > CLEAR and self.processes < LITTLE else 0.0


def shares(bursts: Sequence[Burst]) -> Shares:
    """Divide the waiting of some bursts among what was seen waiting, starting with reads from the lab."""
    busy = sum(burst.busy_s for burst in bursts)
    if not busy:
        return Shares()
    left, parts = 1.0, list[float]()
    for name in ("loop_read", "threads_read", "loop_sockets", "other_loops", "processes"):
        parts.append(min(left, sum(getattr(burst, name) for burst in bursts) / busy))
        left -= parts[-1]
    loop, threads, events, other_loops, processes = parts
    at_work = sum(burst.threads_work for burst in bursts) / busy
    return Shares(loop, threads, events, other_loops, processes, left, at_work)
