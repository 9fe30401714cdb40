"""The observations of a probe, and the flat row of numbers that all rules, sentences and tables use. Pure.

All waiting is counted in seconds: a thread that waits 0.3 s for a response of the lab counts 0.3, and so does a request
that is in flight at the lab for 0.3 s. So the two can be compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from types import SimpleNamespace

# What can wait for a request; the most reliable sign comes first.
WAITING = ("loop_read", "threads_read", "loop_sockets", "other_loops", "processes")
# If a peak reaches this part of the burst, it shows no limit; a smaller one does if it was held for this part of the
# time.
FULL, HELD = 0.9, 0.6
# If there are fewer requests than this part of the calls, the calls share requests.
SHARED = 0.7
CLEAR, LITTLE = 0.5, 0.2

#: The numbers of a probe by name, as attributes; ``row`` makes it.
Row = SimpleNamespace


@dataclass(frozen=True, slots=True)
class Burst:
    """Calls that were started at once, and what was seen until the end of the watch.

    ``timeline``: (second, requests in flight) at the lab. ``failed``: calls that raised, by the error's name.
    ``numbers``: ``calls``, and the lab's ``latency_s``. The lab counted ``peak`` (most in flight), ``connections``
    opened, ``refused`` for its own limit; ``requests`` are those of the whole burst. Requests of the process's other
    threads are in none of them but the timeline. ``connects_loop``, ``connects_threads``: connections to the lab that
    Python opened, by thread. ``gap_s``: the longest pause of the event loop, ``gap_cpu_s`` its CPU time. ``finished``
    and ``lost`` (never returned): how calls ended.

    In seconds: ``watched`` in all; ``busy``, requests in flight at the lab, integrated over time; ``background``, those
    of other threads; ``blocked``, pauses of the loop of 0.1 s and more without use of the CPU. The event loop's thread:
    ``loop_read`` in a blocking read of a socket to the lab, ``loop_rest`` waiting for events, ``loop_stuck`` anywhere
    else, at one instruction from one look to the next. Other threads: ``threads_read`` in such a read,
    ``threads_elsewhere`` in a read of another server, ``threads_resolving`` looking up a name, ``threads_work``
    anywhere else where they were not before the burst. Sockets to the lab that an event loop watches:
    ``loop_sockets``, ``other_loops`` in other threads. Connections to the lab that are held by other processes
    (``processes``) and by this one (``own``).
    """

    numbers: Mapping[str, int | float]
    timeline: tuple[tuple[float, int], ...] = ()
    failed: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int | float:
        """Return one of the numbers; 0 if nothing was seen."""
        return self.numbers.get(name, 0)


@dataclass(frozen=True, slots=True)
class Seen:
    """All observations of one probe; ``trouble`` says why it ended early.

    ``calls`` calls were made one after another: the lab counted ``requests`` and new ``connections`` for them, and each
    blocked the event loop for ``call_blocks_s`` seconds. ``loop``: what kind of event loop; ``loop_shows_sockets``:
    whether Python can see which sockets it watches, ``connects_heard``: whether Python learns of its connections.
    ``background``: names of the process's other threads that send requests of their own. ``unclosed``: why the client
    could not be closed.
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
    trouble: str = ""
    unclosed: str = ""

    @property
    def requests_per_call(self) -> float:
        """How many requests one call makes, counted over calls one after another."""
        return max(self.requests / self.calls, 1.0) if self.calls else 1.0


def row(seen: Seen) -> Row:
    """Return all numbers of a probe; a burst without any request at the lab does not count.

    ``total`` and ``most``: the sum and the highest of each number of the bursts; ``mean``: how many there were of each
    thing on average; for the loop's own thread it is the part of the time. ``share_…``: what waited, as shares of all
    waiting.
    """
    bursts, each = [one for one in seen.bursts if one["requests"] or one["busy"]], round(seen.requests_per_call)
    total, most, failed = Counter[str](), Counter[str](), Counter[str]()
    for one in bursts:
        total.update(one.numbers)
        most |= Counter(one.numbers)
        failed.update(one.failed)
    shared = _shared(bursts, each)
    waited = shares(bursts)
    return Row(
        **{name: value for name, value in asdict(seen).items() if name != "bursts"},
        **waited,
        share_loops=waited["share_loop_sockets"] + waited["share_other_loops"],
        bursts=bursts,
        total=total,
        most=most,
        mean=defaultdict(float, {name: value / total["watched"] for name, value in total.items()}),
        most_threads=max((shares([one])["share_threads_read"] for one in bursts), default=0.0),
        waiting_s=total["busy"],
        watched_s=total["watched"],
        loop_blocked=total["blocked"] / total["watched"] if bursts else None,
        peak=most["peak"] if bursts else None,
        peak_of_calls=most["peak"] / each,
        worst=max(bursts, key=lambda one: one["gap_s"], default=None),
        failed=failed,
        limit=None if shared else _limit([one for one in bursts if one["peak"]]),
        shared=shared,
        requests_per_call=seen.requests_per_call,
        # 0 is full reuse, 1 is none; a single request shows nothing.
        new_connections_per_request=seen.connections / seen.requests if seen.requests > 1 else None,
    )


def shares(bursts: Sequence[Burst]) -> dict[str, float]:
    """Return what waited, as shares of all waiting for the lab: no request counts twice.

    Waiting without a visible waiter counts as threads in code outside Python, if it is most of the waiting and a thread
    was at work for each request.
    """
    busy = sum(one["busy"] for one in bursts)
    seconds = {name: sum(one[name] for one in bursts) for name in (*WAITING, "threads_work")}
    left, found = 1.0 if busy else 0.0, {}
    for name in WAITING:
        found[f"share_{name}"] = min(left, seconds[name] / busy) if busy else 0.0
        left -= found[f"share_{name}"]
    outside = min(left, seconds["threads_work"] / busy) if busy else 0.0
    outside = outside if outside > CLEAR and found["share_processes"] < LITTLE else 0.0
    return found | {"share_threads_outside": outside, "share_unseen": left - outside}


def _shared(bursts: Sequence[Burst], each: int) -> str:
    """Return the calls and requests of the largest burst if its calls shared requests, else nothing."""
    if not bursts or not 0 < bursts[-1]["requests"] < SHARED * bursts[-1]["finished"] * each:
        return ""
    requests = bursts[-1]["requests"]
    return f"{bursts[-1]['finished']} calls, {requests} request{'s' if requests > 1 else ''}"


def _limit(bursts: Sequence[Burst]) -> int | None:
    """Return the most requests that the client keeps in flight; None if no burst reached a limit.

    The same peak in two bursts of different size shows a limit; a peak below the size of its burst does if it was held
    for a while.
    """
    if not bursts or bursts[-1]["peak"] >= FULL * bursts[-1]["calls"]:
        return None
    peaks = [int(one["peak"]) for one in bursts if one["peak"] < FULL * one["calls"]]
    same = len(peaks) > 1 and len(set(peaks)) == 1
    return peaks[-1] if same or _held(bursts[-1], peaks[-1]) else None


def _held(burst: Burst, peak: int) -> bool:
    """Whether so many requests were in flight for most of the time between the first and the last such moment."""
    at = [second for second, number in burst.timeline if number >= peak]
    if not at or at[-1] - at[0] < burst["latency_s"]:
        return False
    steps = pairwise(burst.timeline)
    held = sum(end - start for (start, number), (end, _) in steps if number >= peak and at[0] <= start < at[-1])
    return held >= HELD * (at[-1] - at[0])
