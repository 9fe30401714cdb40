"""Decide what kind of client was observed, and which remarks to make. Pure.

The only question is what waited while requests were in flight at the lab. Pool sizes, created threads, the peak alone
and a late event loop alone are not evidence: a warm pool creates no thread, a pool of 200 has a high peak, a semaphore
has a low one, and CPU work makes any loop late.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TypeAlias

from supalab.probe.seen import Row

Rule: TypeAlias = tuple[object, str, str]

BLOCKING, FAKE, REAL = "blocking", "fake async (threads)", "real async"
PROCESSES, OUTSIDE, MIXED = "worker processes", "concurrent, outside Python", "mixed"
CANNOT_TELL = "cannot tell"
KINDS = (BLOCKING, FAKE, REAL, PROCESSES, OUTSIDE, MIXED, CANNOT_TELL)

SOMEBODY_ELSE = (
    "requests come to the lab that no call made, from somebody else or from a task of the client: "
    "give the probe a lab of its own, and a client without such a task"
)
UNSEEN = "the lab saw none of the requests of the bursts: does the client cache responses?"
AT_ONCE = "the lab answers at once, without its latency: it refuses these requests (a wrong key or address?)"
NO_REUSE = "no connection reuse"

# Shares of the waiting. A small share of threads and of sockets is already a mixture; a request without a visible
# waiter may be a sampling error.
SOME, SEEN, CLEAR = 0.08, 0.2, 0.5
# Shares of the time: the event loop blocked, waiting for events, stuck at one place.
STILL, AWAKE, STUCK = 0.6, 0.4, 0.5
# A loop that is blocked for long in each call has few requests in flight: only those that were sent before the next
# block.
FEW = 3
# New connections per request, one call after another; and per request in flight at once: one is enough if connections
# are kept.
NEW_EACH, RECONNECTS = 0.8, 1.5
# Any client needs the event loop for a few milliseconds per call.
BLOCK_S, WORK_S = 0.01, 0.25


def judge(n: Row) -> tuple[str, tuple[str, ...]]:
    """Return what kind of client this is, and the remarks; for ``cannot tell`` the reason alone."""
    rules = chain(_useless(n), _blocked(n), _waited(n), _unseen(n))
    kind, said = next((kind, said) for holds, kind, said in rules if holds)
    remarks = () if kind == CANNOT_TELL else (said for holds, said in _remarks(n, kind) if holds)
    return kind, (*([said] if said else []), *remarks)


# Rules in order: whether the rule holds, the kind, and the remarks. The first rule that holds decides.


def _useless(n: Row) -> Iterator[Rule]:
    """Return why these bursts allow no conclusion."""
    yield n.trouble, CANNOT_TELL, n.trouble
    yield not n.bursts, CANNOT_TELL, UNSEEN
    full = f"the lab refused {n.total['refused']} requests, because it was full: start it with a larger max_in_flight"
    yield n.total["refused"], CANNOT_TELL, full
    most = max(one["peak"] - 1.3 * one["calls"] * n.requests_per_call for one in n.bursts)
    yield most > 3, CANNOT_TELL, SOMEBODY_ELSE
    failed, ended = n.failed.total(), n.failed.total() + n.total["finished"]
    error = max(n.failed, key=n.failed.__getitem__, default="")
    latency_s = max(one["latency_s"] for one in n.bursts)
    often = f"most calls of the bursts fail: {failed} of {ended}, most with {error}"
    fail = f"{often}, while the lab takes {latency_s:.1f} s for a response"
    yield failed > ended / 2, CANNOT_TELL, fail
    at_once = all(one["busy"] < one["latency_s"] for one in n.bursts)
    yield at_once and n.total["requests"] > 2, CANNOT_TELL, AT_ONCE


def _blocked(n: Row) -> Iterator[Rule]:
    """Judge a blocked loop; if threads or processes are only being started, many requests have other waiters."""
    several, in_read = n.peak_of_calls > 1, n.share_loop_read
    others = n.share_loop_sockets + n.share_threads_read > 2 * SOME
    some = several and others and SOME < in_read < 1 - 2 * SOME
    yield some, MIXED, "some calls block the event loop, others do not"
    yield in_read > SOME, BLOCKING, ""
    still = n.mean["blocked"] > STILL and n.mean["loop_rest"] < AWAKE and n.mean["loop_stuck"] > STUCK
    elsewhere = max(n.share_threads_read, n.share_processes)
    blocked = still and n.peak_of_calls <= FEW and not (several and elsewhere > SEEN)
    waits = "the event loop's thread waits"
    yield blocked and elsewhere > CLEAR, BLOCKING, f"{waits} for other threads or processes"
    yield blocked, BLOCKING, f"{waits} in code that, as far as Python can see, does not read from the lab"


def _waited(n: Row) -> Iterator[Rule]:
    """Judge by the waiters that were seen: on a busy machine, more of the same may have been missed."""
    loops, threads, processes = n.share_loops, n.most_threads, n.share_processes
    beside_threads = threads > SOME and max(loops, processes) > 2 * SOME
    yield beside_threads, MIXED, "some requests are waited for by threads, others are not"
    beside_processes = min(processes, loops) > 2 * SOME
    yield beside_processes, MIXED, "some requests are made by worker processes, others are not"
    yield threads >= SEEN, FAKE, ""
    by_python = n.total["connects_loop"] + n.total["connects_threads"]
    foreign = n.connects_heard and n.total["connections"] and not by_python
    watched = "its sockets are watched by the event loop, as those of real async are"
    yield loops >= SEEN and foreign, OUTSIDE, watched
    elsewhere = "in an event loop of another thread" if n.share_other_loops > n.share_loop_sockets else ""
    yield loops >= SEEN, REAL, elsewhere
    yield processes >= SEEN, PROCESSES, ""


def _unseen(n: Row) -> Iterator[Rule]:
    """Judge requests without a visible waiter: code outside Python, another kind of loop, or another process."""
    ours = n.most["own"]
    yield ours and n.share_threads_outside, FAKE, "each thread waits in code outside Python"
    yield ours and n.share_unseen > CLEAR, OUTSIDE if n.loop_shows_sockets else REAL, ""
    yield n.share_processes, PROCESSES, ""  # they were seen with a connection, at least in some of the samples
    unseen = n.share_unseen + n.share_threads_outside
    yield True, CANNOT_TELL, f"{unseen:.0%} of the requests have no visible waiter"


def _remarks(n: Row, kind: str) -> Iterator[tuple[object, str]]:
    """Return the remarks about a client, each with whether it holds."""
    yield n.limit is not None and kind not in {BLOCKING, MIXED}, f"limited to {n.limit}"
    yield n.shared, f"calls share requests ({n.shared})"
    new_each = (n.new_connections_per_request or 0) >= NEW_EACH
    yield new_each, NO_REUSE
    # On a busy machine many connections are open before the first request is sent.
    held = [max(one["peak"], one["own"] / one["watched"]) for one in n.bursts]
    drops = any(one["connections"] > RECONNECTS * most for one, most in zip(n.bursts, held, strict=True))
    yield drops and not new_each, "drops connections under load"
    yield n.requests_per_call >= 1.5, f"{n.requests_per_call:.0f} requests for each call"
    each, work_s = n.call_blocks_s >= BLOCK_S, n.most["gap_cpu_s"]
    blocks = "blocks the event loop for"
    yield kind != BLOCKING and each, f"{blocks} {1000 * n.call_blocks_s:.0f} ms in each call"
    yield kind != BLOCKING and not each and work_s > WORK_S, f"{blocks} {work_s:.1f} s of CPU work at a stretch"
    yield n.background, f"other threads of this process send requests too: {', '.join(n.background)}"
    failed, lost, calls = n.failed.total(), n.total["lost"], f"of {n.total['calls']} calls of the bursts"
    yield failed, f"{failed} {calls} failed"
    yield lost, f"{lost} {calls} did not return in time"
    yield n.unclosed, f"closing it failed ({n.unclosed})"
