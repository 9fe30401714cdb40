"""Notebook 09: a rule for the limit goes in; the client runs at that limit, and at one slot fewer, at a lab."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from supalab.clients.real import SupabaseAsync
from supalab.course.check import Exercise
from supalab.course.feedback import Finding
from supalab.lab.handle import Lab
from supalab.measure.burst import burst
from supalab.measure.workload import Workload

__all__ = ["EXERCISES"]

#: (requests per second, latency): each needs a part of a slot more than a whole number, so that a limit that is just
#: right has room for a slow machine, and one slot fewer cannot do it however quick the machine is.
CASES = ((26, 0.05), (35, 0.1), (23, 0.2))
#: One slot has room for all of it; no run can show that a slot fewer would not do.
SMALL = (3, 0.1)
#: A whole number of slots: no run can tell that nothing was to be rounded, so this one is compared with arithmetic.
WHOLE = (60, 0.15)
#: So much of the wanted rate counts as reached: a request takes a little more than its latency.
REACHED = 0.9
ROUNDS, TRIES = 2, 4
BUSY = (
    "By arithmetic this limit is enough, so your rule is not the reason: this machine was busy. "
    "Run the check again when it has less to do."
)
#: So many times the slots that are needed are not run: it would show nothing more.
FAR = 6


async def limits(rule: Callable[[float, float], Any]) -> list[Finding]:
    """Run the client with the limit that ``rule(per_s, latency)`` gives, and with one fewer, as many callers asking."""
    found = []
    async with Lab() as lab:
        for per_s, latency in (*CASES, SMALL):
            limit = rule(per_s, latency)
            found.append(_whole(per_s, latency, limit))
            if found[-1].ok:
                lab.set(latency=latency)
                found.append(await _reached(lab, per_s, latency, int(limit)))
    return [*found, _no_more(*WHOLE, rule(*WHOLE))]


def _about(per_s: float, latency: float) -> str:
    return f"{per_s:g} requests/s at {latency:g} s"


def _whole(per_s: float, latency: float, limit: Any) -> Finding:
    """Is it a limit at all, and of the right size?"""
    words, number, observed = "", isinstance(limit, int) and not isinstance(limit, bool), f"{limit!r}"
    if inspect.iscoroutine(limit):
        limit.close()
        observed = "a coroutine"
        words = "The function computes and waits for nothing, so use a plain def: an async def returns a coroutine."
    elif limit is None:
        words = "The function returned nothing. Is there a return?"
    elif isinstance(limit, float) and limit.is_integer():
        words = "The number is whole, but its type is float: int(…) makes it a whole number."
    elif not number:
        words = "A slot exists or it does not: half a slot does not exist. In which direction must you round?"
    elif limit < 1:
        words = "With a limit of 0 no request is ever sent. One slot is the minimum."
    elif limit > FAR * (per_s * latency + 1):
        words = (
            "This is far more than is ever in flight. In flight = throughput x time: multiply. "
            "The latency is in seconds."
        )
    return Finding(f"{_about(per_s, latency)}: the limit", "a whole number of slots", observed, not words, words)


def _no_more(per_s: float, latency: float, limit: Any) -> Finding:
    """Is a limit that comes out whole left as it is?"""
    size, needed = _whole(per_s, latency, limit), round(per_s * latency)
    if not size.ok or limit == needed:
        return size
    words = f"{per_s:g} x {latency:g} is exactly {needed}: nothing is left over, so there is nothing to add."
    return Finding(size.what, f"{needed} slots", size.observed, False, words)


async def _reached(lab: Lab, per_s: float, latency: float, limit: int) -> Finding:
    what = f"{_about(per_s, latency)}: a client with a limit of {limit}"
    here = await _per_s(lab, limit, latency, per_s)
    if here < REACHED * per_s:
        words = (
            BUSY
            if limit / latency >= per_s
            else (
                f"With a limit of {limit} and {latency:g} s per request, the slots are full before "
                "this rate is reached, "
                "and callers queue. If you rounded, round up."
            )
        )
        return Finding(what, f"{per_s:g} requests/s, or nearly", f"{here:.1f} requests/s", False, words)
    fewer = 0.0 if limit == 1 else await _per_s(lab, limit - 1, latency, per_s)
    ok = fewer < REACHED * per_s
    words = (
        ""
        if ok
        else (
            "It reaches the rate, but one slot fewer reaches it as well. Slots that you do not need have a cost: "
            "every slot is a connection that the server keeps open."
        )
    )
    observed = f"{here:.1f} requests/s" + (f"; with {limit - 1}: {fewer:.1f}" if limit > 1 else "")
    return Finding(what, f"{per_s:g} requests/s, or nearly; with one slot fewer less", observed, ok, words)


async def _per_s(lab: Lab, limit: int, latency: float, wanted: float) -> float:
    """Requests per second from as many callers as slots; a busy machine gets some more chances."""
    best = 0.0
    async with SupabaseAsync(lab.url, lab.key, limit=limit) as db:
        await burst(db, Workload(limit, latency), watch=False)  # opens the connections
        for _ in range(TRIES):
            spans = await burst(db, Workload(ROUNDS * limit, latency, callers=limit), watch=False)
            best = max(best, sum(span.outcome == "ok" for span in spans) / max(span.done for span in spans))
            if best >= REACHED * wanted or limit / latency < REACHED * wanted:
                break
    return best


EXERCISES = (
    Exercise(
        "09a",
        "choose the limit",
        (
            "Use Little's law: in flight = throughput x time. The limit must allow what you want in flight.",
            "math.ceil(per_s * latency): the requests in flight on average, rounded up.",
        ),
        limits,
    ),
)
