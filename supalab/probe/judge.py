"""Decide what kind of client was observed, and what else is said of it. Pure.

The only question is what waited while requests were in flight at the lab. Pool sizes, created threads, the peak alone
and a late event loop alone are not evidence: a warm pool creates no thread, a pool of 200 has a high peak, a semaphore
has a low one, and CPU work makes any loop late.
"""

from __future__ import annotations

from collections.abc import Iterator

from supalab.probe.seen import Row

__all__ = [
    "BLOCKING", "CANNOT_TELL", "FAKE", "KINDS", "MIXED", "NEW_EACH", "NO_REUSE", "OUTSIDE", "PROCESSES", "REAL",
    "SOMEBODY_ELSE", "judge",
]  # fmt: skip

BLOCKING, FAKE, REAL = "blocking", "fake async (threads)", "real async"
PROCESSES, OUTSIDE, MIXED = "worker processes", "concurrent, outside Python", "mixed"
CANNOT_TELL = "cannot tell"
KINDS = (BLOCKING, FAKE, REAL, PROCESSES, OUTSIDE, MIXED, CANNOT_TELL)

SOMEBODY_ELSE = "somebody else sends requests to the same lab: give the probe a lab of its own"
UNSEEN = "the lab saw none of the requests of the bursts: does the client cache responses?"
AT_ONCE = "the lab answers at once, without its latency: it refuses these requests (a wrong key or address?)"
NO_REUSE = "no connection reuse"

# Shares of the waiting. Threads and sockets are seen or not seen, so a little of each is already a mixture;
# a request that nothing was seen waiting for may be a sampling error.
SOME, SEEN, CLEAR = 0.08, 0.2, 0.5
# Shares of the time: the event loop blocked, waiting for events, stuck at one place.
STILL, AWAKE, STUCK = 0.6, 0.4, 0.5
# A loop that is blocked for long in each call has few requests in flight: those that were sent before the next block.
FEW = 3
# New connections for each request, one call after another; and for each request in flight at once: one is enough for
# as long as they are kept.
NEW_EACH, RECONNECTS = 0.8, 1.5
# Any client needs the event loop for a few milliseconds a call.
BLOCK_S, WORK_S = 0.01, 0.25


def judge(n: Row) -> tuple[str, tuple[str, ...]]:
    """Return what kind of client this is, and the remarks; for ``cannot tell`` the reason alone."""
    kind, said = next(rule for rules in (_useless, _blocked, _waited, _unseen) for rule in rules(n))
    return kind, (said,) if kind == CANNOT_TELL else (*([said] if said else []), *_remarks(n, kind))


def _useless(n: Row) -> Iterator[tuple[str, str]]:
    """Why nothing can be concluded from these bursts."""
    if n.trouble:
        yield CANNOT_TELL, n.trouble
    if not n.bursts:
        yield CANNOT_TELL, UNSEEN
    if refused := n.total["refused"]:
        yield CANNOT_TELL, f"the lab refused {refused} requests, being full: start it with a larger max_in_flight"
    if any(one["peak"] > 1.3 * one["calls"] * n.requests_per_call + 3 for one in n.bursts):
        yield CANNOT_TELL, SOMEBODY_ELSE
    failed, ended = n.failed.total(), n.failed.total() + n.total["finished"]
    if failed > ended / 2:
        most = n.failed.most_common(1)[0][0]
        yield CANNOT_TELL, f"most calls of the bursts fail: {failed} of {ended}, most with {most}"
    if all(one["busy"] < one["latency_s"] for one in n.bursts) and n.total["requests"] > 2:
        yield CANNOT_TELL, AT_ONCE


def _blocked(n: Row) -> Iterator[tuple[str, str]]:
    """A loop that is held up by starting threads or processes still has many requests waited for elsewhere."""
    several = n.peak_of_calls > 1
    seen_waiting = n.share_loop_sockets + n.share_threads_read
    if several and SOME < n.share_loop_read < 1 - 2 * SOME and seen_waiting > 2 * SOME:
        yield MIXED, "some calls block the event loop, others do not"
    if n.share_loop_read > SOME:
        yield BLOCKING, ""
    elsewhere = max(n.share_threads_read, n.share_processes)
    still = n.mean["blocked"] > STILL and n.mean["loop_rest"] < AWAKE and n.mean["loop_stuck"] > STUCK
    if still and n.peak_of_calls <= FEW and not (several and elsewhere > SEEN):
        what = "for other threads or processes" if elsewhere > CLEAR else "in code that is no read of the lab"
        yield BLOCKING, f"the event loop's thread waits {what}{'' if elsewhere > CLEAR else ' as far as Python sees'}"


def _waited(n: Row) -> Iterator[tuple[str, str]]:
    """Whoever was seen waiting did wait: what was missed on a busy machine is more of the same."""
    loops = n.share_loop_sockets + n.share_other_loops
    if n.most_threads > SOME and max(loops, n.share_processes) > 2 * SOME:
        yield MIXED, "some requests are waited for by threads, others are not"
    if min(n.share_processes, loops) > 2 * SOME:
        yield MIXED, "some requests are made by worker processes, others are not"
    if n.most_threads >= SEEN:
        yield FAKE, ""
    by_python = n.total["connects_loop"] + n.total["connects_threads"]
    if loops >= SEEN and n.connects_heard and n.total["connections"] and not by_python:
        yield OUTSIDE, "its sockets are watched by the event loop, as those of real async are"
    if loops >= SEEN:
        yield REAL, "in an event loop of another thread" if n.share_other_loops > n.share_loop_sockets else ""
    if n.share_processes >= SEEN:
        yield PROCESSES, ""


def _unseen(n: Row) -> Iterator[tuple[str, str]]:
    """Nothing visible to Python waited: code outside Python, another kind of loop, or another process."""
    if n.share_threads_outside and n.most["own"]:
        yield FAKE, "each thread waits inside code outside Python"
    if n.share_unseen > CLEAR and n.most["own"]:
        yield OUTSIDE if n.loop_shows_sockets else REAL, ""
    if n.share_processes > 0:
        yield PROCESSES, ""  # they were seen with a connection, at least in some of the samples
    yield CANNOT_TELL, f"{n.share_unseen + n.share_threads_outside:.0%} of the requests have no visible waiter"


def _remarks(n: Row, kind: str) -> Iterator[str]:
    if n.limit is not None and kind not in {BLOCKING, MIXED}:
        yield f"limited to {n.limit}"
    if n.shared:
        yield f"calls share requests ({n.shared})"
    if (n.new_connections_per_request or 0) >= NEW_EACH:
        yield NO_REUSE
    elif any(one["connections"] > RECONNECTS * one["peak"] for one in n.bursts):
        yield "drops connections under load"
    if n.requests_per_call >= 1.5:
        yield f"{n.requests_per_call:.0f} requests for each call"
    if kind != BLOCKING and n.call_blocks_s >= BLOCK_S:
        yield f"blocks the event loop for {1000 * n.call_blocks_s:.0f} ms in each call"
    elif kind != BLOCKING and n.most["gap_cpu_s"] > WORK_S:
        yield f"blocks the event loop for {n.most['gap_cpu_s']:.1f} s of CPU work at a stretch"
    if n.background:
        yield f"other threads of this process send requests too: {', '.join(n.background)}"
    if failed := n.failed.total() + n.total["lost"]:
        yield f"{failed} of {n.total['calls']} calls of the bursts failed"
