"""The evidence in rows: what was seen flows in, what each part of it speaks for flows out; words for experts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from supalab.measure.archive import DECIMALS
from supalab.measure.probe.judge import Shares, shares
from supalab.measure.probe.limits import limit_of, new_connections, requests_per_call
from supalab.measure.probe.seen import Burst, Seen
from supalab.measure.probe.verdict import Evidence

__all__ = ["evidence", "numbers"]

MUCH, LITTLE = 0.5, 0.08


def evidence(seen: Seen) -> tuple[Evidence, ...]:
    """Return one row for each thing that was looked at; nothing if no burst was seen."""
    bursts = [one for one in seen.bursts if one.served or one.busy_s]
    if not bursts:
        return ()
    found = shares(bursts)
    rows = [
        _threads(bursts, found),
        _loop_thread(bursts, found),
        _pulse(bursts),
        _events(seen, bursts, found),
        _owners(bursts),
        _connects(seen, bursts),
        _peaks(seen, bursts),
        _reuse(seen),
        *_others(bursts, found),
    ]
    return tuple(rows)


def numbers(seen: Seen) -> dict[str, float | None]:
    """Return the figures that the judge went by: shares of the waiting, counts, the limit if there is one."""
    bursts = [one for one in seen.bursts if one.served or one.busy_s]
    found = shares(bursts)
    watched = sum(one.watched_s for one in bursts)
    figures: dict[str, float | None] = {
        "waiting_s": sum(one.busy_s for one in bursts),
        "watched_s": watched,
        "share_loop_read": found.loop,
        "share_threads_read": found.threads,
        "share_loop_sockets": found.events,
        "share_other_loops": found.other_loops,
        "share_processes": found.processes,
        "share_threads_outside": found.outside,
        "share_unseen": found.unseen - found.outside,
        "loop_stood_still": sum(one.stood_s for one in bursts) / watched if watched else None,
        "peak": max((one.peak for one in bursts), default=None),
        "limit": limit_of(seen),
        "requests_per_call": requests_per_call(seen),
        "new_connections_per_request": new_connections(seen),
    }
    return {name: value if value is None else round(value, DECIMALS) for name, value in figures.items()}


def _mean(bursts: Sequence[Burst], seconds: float) -> float:
    return seconds / sum(one.watched_s for one in bursts)


def _threads(bursts: Sequence[Burst], found: Shares) -> Evidence:
    reading = _mean(bursts, sum(one.waits.threads_read for one in bursts))
    flying = _mean(bursts, sum(one.busy_s for one in bursts))
    most = max(one.threads_most for one in bursts)
    seen = (
        f"on average {reading:.1f} threads were waiting to read from the lab, at most {most}, "
        f"for {flying:.1f} requests in flight there"
    )
    if found.threads > MUCH:
        return Evidence("other threads", seen, "a thread waits for each request")
    if found.outside:
        work = _mean(bursts, sum(one.waits.threads_work for one in bursts))
        seen += f"; {work:.1f} were in code outside Python"
        return Evidence("other threads", seen, "a thread waits for each request, outside Python")
    if max(shares([one]).threads for one in bursts) > LITTLE:
        return Evidence("other threads", seen, "threads wait for some of the requests")
    return Evidence("other threads", seen, "threads do not wait for the requests")


def _loop_thread(bursts: Sequence[Burst], found: Shares) -> Evidence:
    watched = sum(one.watched_s for one in bursts)
    rest = sum(one.waits.loop_rest for one in bursts) / watched
    reading = sum(one.waits.loop_read for one in bursts) / watched
    seen = f"{rest:.0%} of the time waiting for events, {reading:.0%} waiting to read from the lab"
    return Evidence(
        "the loop's thread", seen, "the loop is blocked" if found.loop > MUCH else "the loop is not in a read"
    )


def _pulse(bursts: Sequence[Burst]) -> Evidence:
    worst = max(bursts, key=lambda one: one.gap_s)
    still = sum(one.stood_s for one in bursts) / sum(one.watched_s for one in bursts)
    seen = (
        f"stood still for {still:.0%} of the time; the longest pause was {1000 * worst.gap_s:.0f} ms, "
        f"{1000 * worst.gap_cpu_s:.0f} ms of it work on the processor"
    )
    if still > MUCH:
        return Evidence("the loop's pulse", seen, "it is kept waiting: it is blocked")
    if worst.gap_cpu_s > MUCH * worst.gap_s and worst.gap_s > LITTLE:
        return Evidence("the loop's pulse", seen, "it was busy, not blocked")
    return Evidence("the loop's pulse", seen, "it is not blocked")


def _events(seen: Seen, bursts: Sequence[Burst], found: Shares) -> Evidence:
    if not seen.loop_shows_sockets:
        return Evidence("sockets in the loop", f"{seen.loop} does not show them", "nothing")
    watched = _mean(bursts, sum(one.waits.loop_sockets for one in bursts))
    other = _mean(bursts, sum(one.waits.other_loops for one in bursts))
    said = f"on average {watched:.1f} sockets to the lab were watched by the loop"
    said += f", {other:.1f} by loops in other threads" if other else ""
    if found.events + found.other_loops > MUCH:
        return Evidence("sockets in the loop", said, "the event loop waits for the requests")
    if found.events + found.other_loops > LITTLE:
        return Evidence("sockets in the loop", said, "an event loop waits for some of the requests")
    return Evidence("sockets in the loop", said, "no event loop waits for the requests")


def _owners(bursts: Sequence[Burst]) -> Evidence:
    own = _mean(bursts, sum(one.waits.own for one in bursts))
    children = _mean(bursts, sum(one.waits.processes for one in bursts))
    most = max(one.processes_most for one in bursts)
    said = f"on average {own:.1f} connections to the lab are this process's, {children:.1f} those of child processes"
    if most:
        return Evidence("who holds connections", f"{said} ({most} of them)", "other processes make requests")
    return Evidence("who holds connections", said, "no other process makes requests")


def _connects(seen: Seen, bursts: Sequence[Burst]) -> Evidence:
    loop, threads = sum(one.connects_loop for one in bursts), sum(one.connects_threads for one in bursts)
    opened = sum(one.connections for one in bursts)
    said = f"the lab saw {opened} new connections; Python opened {loop} in the loop's thread, {threads} in others"
    if not opened or (not loop and not threads and not seen.connects_heard):
        return Evidence("who connects", said, "nothing")
    if not loop and not threads:
        return Evidence("who connects", said, "somebody outside this Python connects")
    return Evidence("who connects", said, "threads connect" if threads > loop else "the loop's thread connects")


def _peaks(seen: Seen, bursts: Sequence[Burst]) -> Evidence:
    said = ", ".join(f"{one.peak} of {one.calls}" for one in bursts)
    limit = limit_of(seen)
    speaks = f"at most {limit} at once" if limit else "no limit below the last burst"
    return Evidence("peak in flight at the lab", f"{said} calls at once", f"{speaks}; not for a kind of client")


def _reuse(seen: Seen) -> Evidence:
    new = new_connections(seen)
    if new is None or seen.sequence is None:
        return Evidence("one call after another", "too few to say", "nothing")
    said = f"{seen.sequence.served} requests on {seen.sequence.connections} new connections"
    return Evidence("one call after another", said, "a new connection each" if new >= 0.8 else "connections are kept")


def _others(bursts: Sequence[Burst], found: Shares) -> list[Evidence]:
    """What is there now and then, and misleads: it is said, and speaks for nothing."""
    rows: Mapping[str, tuple[float, str]] = {
        "threads at other servers": (sum(one.waits.threads_elsewhere for one in bursts), "in a read of another server"),
        "threads at other work": (
            0.0 if found.outside else sum(one.waits.threads_work for one in bursts),
            "at work that is no read of the lab",
        ),
        "name look-ups": (sum(one.waits.threads_resolving for one in bursts), "looking up a name"),
    }
    return [
        Evidence(title, f"on average {_mean(bursts, seconds):.1f} threads {what}", "nothing: real async has those too")
        for title, (seconds, what) in rows.items()
        if _mean(bursts, seconds) > LITTLE
    ]
