"""Decide what kind of client was observed: its kind, remarks and, if it is undecided, the reason. Pure.

The only question is what waited while requests were in flight at the lab. Pool sizes, created threads, the peak alone
and a late event loop alone are not evidence: a warm pool creates no thread, a pool of 200 has a high peak, a semaphore
has a low one, and CPU work makes any loop late.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from supalab.probe.seen import Burst, Seen, Shares, shares

__all__ = [
    "BLOCKING", "CANNOT_TELL", "FAKE", "KINDS", "MIXED", "NO_REUSE", "OUTSIDE", "PROCESSES", "REAL", "SOMEBODY_ELSE",
    "Finding", "judge",
]  # fmt: skip

BLOCKING, FAKE, REAL = "blocking", "fake async (threads)", "real async"
PROCESSES, OUTSIDE, MIXED = "worker processes", "concurrent, outside Python", "mixed"
CANNOT_TELL = "cannot tell"
KINDS = (BLOCKING, FAKE, REAL, PROCESSES, OUTSIDE, MIXED, CANNOT_TELL)

SOMEBODY_ELSE = "somebody else sends requests to the same lab: give the probe a lab of its own"

# Shares of the waiting. Threads and sockets are seen or not seen, so a little of each is already a mixture;
# a request that nothing was seen waiting for may be a sampling error.
SOME, SEEN, CLEAR = 0.08, 0.2, 0.5
# Shares of the time: the event loop blocked, waiting for events, stuck at one place.
STILL, AWAKE, STUCK = 0.6, 0.4, 0.5
# A loop that is blocked for long in each call has few requests in flight: those that were sent before the next block.
FEW = 3
NO_REUSE = 0.8
# New connections for each request in flight: one is enough for as long as they are kept.
RECONNECTS = 1.5
# Any client needs the event loop for a few milliseconds a call.
BLOCK_S, WORK_S = 0.01, 0.25


@dataclass(frozen=True, slots=True)
class Finding:
    """The decision: ``why`` is the reason for ``cannot tell``, else empty."""

    kind: str
    remarks: tuple[str, ...] = ()
    why: str = ""


def judge(seen: Seen) -> Finding:
    """Return what kind of client this is."""
    bursts = seen.useful
    why = seen.trouble or _useless(seen, bursts)
    if why:
        return Finding(CANNOT_TELL, why=why)
    kind, said = _kind(seen, bursts, shares(bursts))
    if kind == CANNOT_TELL:
        return Finding(kind, why=said)
    return Finding(kind, ((said,) if said else ()) + _remarks(seen, bursts, kind))


def _useless(seen: Seen, bursts: Sequence[Burst]) -> str:
    """Why nothing can be concluded from these bursts, or nothing."""
    if not bursts:
        return "the lab saw none of the requests of the bursts: does the client keep answers and ask only once?"
    refused = sum(burst.refused for burst in bursts)
    if refused:
        return f"the lab turned {refused} requests away, being full: start it with a larger max_in_flight"
    if any(burst.peak > 1.3 * burst.calls * seen.requests_per_call + 3 for burst in bursts):
        return SOMEBODY_ELSE
    failed: Counter[str] = sum((Counter(burst.failed) for burst in bursts), Counter())
    ended = sum(burst.finished for burst in bursts) + failed.total()
    if failed.total() > ended / 2:
        return f"most calls of the bursts fail: {failed.total()} of {ended}, most with {failed.most_common(1)[0][0]}"
    if all(burst.busy_s < burst.latency_s for burst in bursts) and sum(burst.requests for burst in bursts) > 2:
        return "the lab answers at once, without its latency: it turns these requests away (a wrong key or address?)"
    return ""


def _kind(seen: Seen, bursts: Sequence[Burst], found: Shares) -> tuple[str, str]:
    """Return the kind with a remark, which may be empty; for ``cannot tell`` it is the reason."""
    peak = max(burst.peak for burst in bursts) / round(seen.requests_per_call)
    if peak > 1 and SOME < found.loop < 1 - 2 * SOME and found.events + found.threads > 2 * SOME:
        return MIXED, "some calls block the event loop, others do not"
    # A loop that is held up by starting threads or processes still has many requests waited for elsewhere.
    elsewhere = peak > 1 and max(found.threads, found.processes) > SEEN
    if found.loop > SOME or (_stands_still(bursts) and peak <= FEW and not elsewhere):
        return BLOCKING, _how_it_blocks(found)
    threads = max(shares([burst]).threads for burst in bursts)
    events = found.events + found.other_loops
    if threads > SOME and max(events, found.processes) > 2 * SOME:
        return MIXED, "some requests are waited for by threads, others are not"
    if min(found.processes, events) > 2 * SOME:
        return MIXED, "some requests are made by worker processes, others are not"
    # Whoever was seen waiting did wait: what was missed on a busy machine is more of the same.
    if max(threads, events, found.processes) < SEEN:
        return _unseen(seen, bursts, found)
    if threads >= SEEN:
        return FAKE, ""
    return _by_events(seen, bursts, found) if events >= SEEN else (PROCESSES, "")


def _stands_still(bursts: Sequence[Burst]) -> bool:
    def part(name: str) -> float:
        seconds: float = sum(getattr(burst, name) for burst in bursts)
        return seconds / sum(burst.watched_s for burst in bursts)

    return part("blocked_s") > STILL and part("loop_rest") < AWAKE and part("loop_stuck") > STUCK


def _how_it_blocks(found: Shares) -> str:
    if found.loop > SOME:
        return ""
    if found.threads > CLEAR or found.processes > CLEAR:
        return "the event loop's thread waits for other threads or processes"
    return "the event loop's thread waits in code that is no read of the lab as far as Python sees"


def _by_events(seen: Seen, bursts: Sequence[Burst], found: Shares) -> tuple[str, str]:
    opened = sum(burst.connections for burst in bursts)
    by_python = sum(burst.connects_loop + burst.connects_threads for burst in bursts)
    if seen.connects_heard and opened and not by_python:
        return OUTSIDE, "its sockets are watched by the event loop, as those of real async are"
    return REAL, "in an event loop of another thread" if found.other_loops > found.events else ""


def _unseen(seen: Seen, bursts: Sequence[Burst], found: Shares) -> tuple[str, str]:
    """Decide when nothing visible to Python waited: code outside Python, another kind of loop, or another process."""
    if found.unseen > CLEAR and any(burst.own > 0 for burst in bursts):
        if found.outside:
            return FAKE, "each thread waits inside code outside Python"
        return (OUTSIDE if seen.loop_shows_sockets else REAL), ""
    if found.processes > 0:
        return PROCESSES, ""  # they were seen with a connection, at least in some of the samples
    return CANNOT_TELL, f"{found.unseen:.0%} of the requests have no visible waiter"


def _remarks(seen: Seen, bursts: Sequence[Burst], kind: str) -> tuple[str, ...]:
    said = []
    if seen.limit is not None and kind not in {BLOCKING, MIXED}:
        said.append(f"limited to {seen.limit}")
    if seen.shared:
        requests = "1 request" if seen.shared.requests == 1 else f"{seen.shared.requests} requests"
        said.append(f"calls share requests ({seen.shared.finished} calls, {requests})")
    if seen.new_connections is not None and seen.new_connections >= NO_REUSE:
        said.append("no connection reuse")
    elif any(burst.connections > RECONNECTS * burst.peak for burst in bursts):
        said.append("drops connections under load")
    if seen.requests_per_call >= 1.5:
        said.append(f"{seen.requests_per_call:.0f} requests for each call")
    work = max(burst.gap_cpu_s for burst in bursts)
    if kind != BLOCKING and seen.call_blocks_s >= BLOCK_S:
        said.append(f"blocks the event loop for {1000 * seen.call_blocks_s:.0f} ms in each call")
    elif kind != BLOCKING and work > WORK_S:
        said.append(f"blocks the event loop for {work:.1f} s of CPU work at a stretch")
    if seen.background:
        said.append(f"other threads of this process send requests too: {', '.join(seen.background)}")
    failed = sum(sum(burst.failed.values()) + burst.lost for burst in bursts)
    if failed:
        said.append(f"{failed} of {sum(burst.calls for burst in bursts)} calls of the bursts failed")
    return tuple(said)
