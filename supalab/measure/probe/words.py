"""Sentences for learners: a finding flows in, what it means for their program flows out. Pure."""

from __future__ import annotations

from supalab.measure.probe.judge import (
    BLOCKING,
    CANNOT_TELL,
    FAKE,
    MIXED,
    OUTSIDE,
    PROCESSES,
    REAL,
    Finding,
    shares,
)
from supalab.measure.probe.limits import limit_of, new_connections
from supalab.measure.probe.seen import Seen

__all__ = ["sentences"]

MEANING = {
    BLOCKING: "While one of its requests is under way the whole event loop stands still: no other request starts, "
    "and nothing else in the program runs.",
    FAKE: "Each of its requests sits in a thread that waits for the answer. The event loop stays free, but there are "
    "never more requests in flight than threads, and cancelling a caller does not stop its thread.",
    REAL: "The event loop itself waits for all of its requests at once; no thread waits for them.",
    PROCESSES: "Its requests are made by other processes, which wait for the answers in its place.",
    OUTSIDE: "Its requests run at the same time, and the code that makes them is not Python: neither threads of "
    "Python nor sockets of Python wait for them.",
    MIXED: "Not all of its requests are made in the same way: some are waited for by the event loop, others by a "
    "thread, a process, or with the loop standing still.",
    CANNOT_TELL: "This client could not be judged",
}


def sentences(finding: Finding, seen: Seen) -> tuple[str, ...]:
    """Return what the finding means, in a few sentences."""
    if finding.kind == CANNOT_TELL:
        return (f"{MEANING[CANNOT_TELL]}: {finding.why}.",)
    said = [MEANING[finding.kind]]
    if finding.kind == MIXED:
        said.append(_parts(seen))
    limit = limit_of(seen)
    if f"limited to {limit}" in finding.remarks:
        said.append(f"It keeps at most {limit} in flight, whatever you start; the rest waits in a queue of its own.")
    if "no connection reuse" in finding.remarks:
        said.append("It opens a new connection for each request, which costs one more round trip, with TLS two.")
    elif new_connections(seen) == 0:
        said.append("It uses its connections again.")
    named = {f"limited to {limit}", "no connection reuse"}
    said += [f"{remark[:1].upper()}{remark[1:]}." for remark in finding.remarks if remark not in named]
    return tuple(said)


def _parts(seen: Seen) -> str:
    found = shares([one for one in seen.bursts if one.busy_s])
    parts = {
        "the blocked loop": found.loop,
        "threads": found.threads,
        "an event loop": found.events + found.other_loops,
        "other processes": found.processes,
    }
    return (
        "Of the waiting, "
        + ", ".join(f"{share:.0%} is done by {who}" for who, share in parts.items() if share > 0)
        + "."
    )
