"""What a probe saw, before anybody judges it: plain frozen numbers, so that the judge can be tested by hand.

Seconds of waiting are the coin of all of them: one thread that waits for one answer of the lab for 0.3 s is 0.3, and
so is one request in flight at the lab for as long. Who waited for the requests in flight is what tells clients apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from supalab.measure.archive import DECIMALS

__all__ = ["Burst", "Seen", "Sequence", "Waits", "micro"]


@dataclass(frozen=True, slots=True)
class Waits:
    """Who was seen waiting for the lab during a burst, in seconds.

    ``loop_read``: the loop's own thread inside a blocking read of a socket to the lab; ``loop_rest``: the same thread
    waiting for events, as it should; ``loop_stuck``: the same thread anywhere else, at one and the same instruction
    from one look to the next. ``threads_read``: other threads inside such a read. ``threads_work``: other
    threads that do something only during bursts and are in no socket that Python can see. ``threads_elsewhere``:
    other threads in a read of another server. ``threads_resolving``: other threads that look up a name.
    ``loop_sockets``: sockets to the lab that the loop watches, each for as long as it was watched; ``other_loops``: the
    same of loops in other threads that watch several at once. ``processes``: connections to the lab that child
    processes hold; ``own``: those that this process holds.
    """

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


@dataclass(frozen=True, slots=True)
class Burst:
    """``calls`` calls started at once, and what was seen for the ``watched_s`` seconds that they were looked at.

    From the lab: ``peak`` in flight, requests ``served``, ``connections`` opened, ``refused`` for its own limit,
    ``busy_s`` (requests in flight, integrated over time) and its ``timeline``. ``connects_loop`` and
    ``connects_threads``: connections to the lab that Python code opened, by thread. ``stood_s``: seconds for which the
    loop ran nothing of ours and used no CPU either, counting pauses of 0.1 s and more; ``gap_s`` is the longest pause
    and ``gap_cpu_s`` the CPU in it. ``failed``: calls that raised, by the error's name; ``lost`` never came back.
    """

    calls: int
    latency_s: float
    watched_s: float
    peak: int
    served: int
    connections: int
    refused: int
    busy_s: float
    timeline: tuple[tuple[float, int], ...]
    waits: Waits
    looks: int = 0
    threads_most: int = 0
    processes_most: int = 0
    connects_loop: int = 0
    connects_threads: int = 0
    lookups_loop: int = 0
    lookups_threads: int = 0
    stood_s: float = 0.0
    gap_s: float = 0.0
    gap_cpu_s: float = 0.0
    finished: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0

    @property
    def in_flight(self) -> float:
        """Mean number of requests in flight at the lab while it was watched."""
        return self.busy_s / self.watched_s if self.watched_s else 0.0


def micro(burst: Burst) -> Burst:
    """Return a burst to the microsecond: a record keeps no more, so it is the same before and after it was a file."""
    waits = Waits(**{part.name: round(getattr(burst.waits, part.name), DECIMALS) for part in fields(Waits)})
    timeline = tuple((round(second, DECIMALS), number) for second, number in burst.timeline)
    floats = [part.name for part in fields(Burst) if isinstance(getattr(burst, part.name), float)]
    seconds: dict[str, Any] = {name: round(getattr(burst, name), DECIMALS) for name in floats}
    return replace(burst, waits=waits, timeline=timeline, **seconds)


@dataclass(frozen=True, slots=True)
class Sequence:
    """``calls`` calls one after another: requests the lab served and connections it saw opened for them."""

    calls: int
    served: int
    connections: int


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything one probe saw; ``trouble`` says why it ended early.

    ``loop``: what kind of event loop; ``loop_shows_sockets``: whether Python can see which sockets it watches, and
    ``connects_heard`` whether Python hears of its connections.
    """

    sequence: Sequence | None = None
    bursts: tuple[Burst, ...] = ()
    loop: str = ""
    loop_shows_sockets: bool = True
    connects_heard: bool = True
    trouble: str | None = None
