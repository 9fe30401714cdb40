"""Rules for the figures of the article's table: a claim and the evidence go in, a judgement comes out. Pure.

A figure of the "after" column holds *for another reason* when the fair control, threads with the same limit or with
connections kept, comes out as well: then the change that the article credits is not what earned it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from supalab.measure.claims.catalogue import Claim
from supalab.measure.claims.evidence import Evidence
from supalab.measure.claims.judging import (
    ALIKE,
    CANNOT,
    HOLDS,
    NOT,
    OTHER,
    Judgement,
    Rule,
    Verdict,
    near,
    seen,
    stated,
)  # fmt: skip
from supalab.report.format import duration, number, size

__all__ = ["FIGURE_RULES"]

BEFORE, AFTER, CONTROL = "fake-3", "article-10", "fake-10"
# 450 to 150 ms.
GAIN = 3.0
# Memory is steadier than time: a tenth is a difference.
MEMORY_FACTOR = 1.2


def peak(arm: str, c: Claim, e: Evidence) -> Judgement:
    """As many at once as claimed: the lab's count."""
    found = e.of("burst", arm)
    most = seen(found.peak, "requests in flight")
    asked = f"Of {found.requests} asked for at once"
    return Judgement(
        HOLDS if most == stated(c) else NOT,
        number(most),
        f"{asked}, the lab saw at most {most} of {arm} in flight.",
        float(most),
    )


def response_before(c: Claim, e: Evidence) -> Judgement:
    """The response time of three threads in the burst."""
    found = e.of("burst", BEFORE)
    value = 1000 * found.response_s
    return Judgement(
        HOLDS if near(value, stated(c)) else NOT,
        duration(found.response_s),
        f"From its slot to its answer a request of {BEFORE} took {duration(found.response_s)}, which is what the "
        f"server was told to take; its caller, who waits for the slot too, waited {duration(found.caller_s)} on "
        "average.",
        value,
    )


def response_after(c: Claim, e: Evidence) -> Judgement:
    """The response time after the change: in the burst, or else by connections that are kept over a distance.

    The figure here is that of the experiment in which the claim holds, and the burst's if it holds in none.
    """
    before, after = e.of("burst", BEFORE).response_s, e.of("burst", AFTER).response_s
    gain = GAIN if c.unit == "ms" else stated(c)
    said = f"With {AFTER} a request takes {duration(after)} where it took {duration(before)}"
    if near(before / after, gain):
        return _response(HOLDS, c, before, after, f"{said}: the client alone shortens it.")
    dialled, kept = e.of("far", BEFORE).response_s, e.of("far", "session-3").response_s
    there = f"over TLS with a long way it falls from {duration(dialled)} to {duration(kept)} when the same "
    if near(dialled / kept, gain):
        return _response(OTHER, c, dialled, kept, f"{said}; {there}three threads keep their connections.")
    return _response(NOT, c, before, after, f"{said}; not even {there}three threads keep their connections.")


def _response(verdict: Verdict, c: Claim, before: float, after: float, sentence: str) -> Judgement:
    if c.unit == "ms":
        return Judgement(verdict, duration(after), sentence, 1000 * after)
    return Judgement(verdict, f"{before / after:.1f}x", sentence, before / after)


def throughput_before(c: Claim, e: Evidence) -> Judgement:
    """Requests per second of three threads."""
    found = e.of("burst", BEFORE)
    law = f"{BEFORE} gave {found.per_s:.1f} a second: {found.in_flight:.1f} in flight of {duration(found.response_s)}"
    verdict = HOLDS if near(found.per_s, stated(c)) else NOT
    return Judgement(verdict, f"{found.per_s:.1f}/s", f"{law} each.", found.per_s)


def throughput_after(c: Claim, e: Evidence) -> Judgement:
    """Requests per second after the change, beside ten threads."""
    found, control = e.of("burst", AFTER), e.of("burst", CONTROL)
    verdict = _with_control(near(found.per_s, stated(c)), found.total_s, control.total_s)
    said = f"{AFTER} gave {found.per_s:.1f} a second, ten threads ({CONTROL}) {control.per_s:.1f}."
    return Judgement(verdict, f"{found.per_s:.1f}/s", said, found.per_s)


def total_before(c: Claim, e: Evidence) -> Judgement:
    """The time for 100 requests with three threads, beside async at the same limit."""
    found, control = e.of("burst", BEFORE), e.of("burst", "real-3")
    said = (
        f"{BEFORE} took {duration(found.total_s)}; async with the same limit (real-3) took {duration(control.total_s)}."
    )
    return Judgement(HOLDS if near(found.total_s, stated(c)) else NOT, duration(found.total_s), said, found.total_s)


def total_after(c: Claim, e: Evidence) -> Judgement:
    """The time for 100 requests after the change, beside ten threads."""
    found, control = e.of("burst", AFTER), e.of("burst", CONTROL)
    verdict = _with_control(near(found.total_s, stated(c)), found.total_s, control.total_s)
    said = f"{AFTER} took {duration(found.total_s)}, ten threads ({CONTROL}) {duration(control.total_s)}."
    return Judgement(verdict, duration(found.total_s), said, found.total_s)


def faster(c: Claim, e: Evidence) -> Judgement:
    """The speed-up of the burst: by the change, and by seven threads more."""
    before, after, control = (e.of("burst", arm) for arm in (BEFORE, AFTER, CONTROL))
    value, alone = before.total_s / after.total_s, before.total_s / control.total_s
    verdict = _with_control(near(value, stated(c)), after.total_s, control.total_s)
    same = "as fast" if verdict == OTHER else f"{alone:.1f}x"
    said = f"{value:.1f}x from {BEFORE} to {AFTER}; {CONTROL}, one number changed, is {same}"
    return Judgement(verdict, f"{value:.1f}x", f"{said} ({duration(control.total_s)}).", value)


def _with_control(holds: bool, found: float, control: float) -> Verdict:
    """The control is as good when it is no slower than ALIKE allows."""
    if not holds:
        return NOT
    return OTHER if control <= found * ALIKE else HOLDS


def memory_of(arm: str, c: Claim, e: Evidence) -> Judgement:
    """Megabytes of a whole process: ours holds a client and nothing else, the article's held a service."""
    held = seen(e.of("burst", arm).process_bytes, "memory of the process")
    value = held / 1e6
    if near(value, stated(c), MEMORY_FACTOR):
        return Judgement(HOLDS, size(held), f"The process of {arm} holds {size(held)}.", value)
    if value > stated(c):
        return Judgement(
            NOT, size(held), f"The process of {arm} alone holds {size(held)}, more than the service.", value
        )
    rest = stated(c) - value
    said = f"The process of {arm}, a client and its libraries, holds {size(held)}; what the other {rest:.0f} MB of "
    return Judgement(CANNOT, size(held), f"{said}the article's service held is not known.", value)


def memory_saved(c: Claim, e: Evidence) -> Judgement:
    """The part of a process's memory that the change saves, beside ten threads."""
    before, after, control = (
        seen(e.of("burst", arm).process_bytes, "memory of the process") for arm in (BEFORE, AFTER, CONTROL)
    )
    value = 100 * (1 - after / before)
    wanted = stated(c) / 2
    verdict = NOT if value < wanted else OTHER if 100 * (1 - control / before) >= wanted else HOLDS
    change = f"{value:.0f} % less" if value > 0 else f"{-value:.0f} % more"
    said = (
        f"The process holds {size(before)} with {BEFORE}, {size(after)} with {AFTER}, {size(control)} with {CONTROL}."
    )
    return Judgement(verdict, change, said, value)


def _bound(rule: Callable[..., Judgement], *first: str) -> Rule:
    return partial(rule, *first)


FIGURE_RULES: Mapping[str, Rule] = {
    "peak_before": _bound(peak, BEFORE),
    "peak_after": _bound(peak, AFTER),
    "response_before": response_before,
    "response_after": response_after,
    "throughput_before": throughput_before,
    "throughput_after": throughput_after,
    "total_before": total_before,
    "total_after": total_after,
    "faster": faster,
    "memory_before": _bound(memory_of, BEFORE),
    "memory_after": _bound(memory_of, AFTER),
    "memory_saved": memory_saved,
}
