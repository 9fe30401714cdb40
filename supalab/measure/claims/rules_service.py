"""Rules for the article's "production": a claim and what services under load did go in, a judgement comes out. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from supalab.measure.claims.catalogue import Claim
from supalab.measure.claims.evidence import Evidence
from supalab.measure.claims.judging import ALIKE, FACTOR, HOLDS, NOT, OTHER, Judgement, Rule, near, stated
from supalab.report.format import duration, number, size

__all__ = ["SERVICE_RULES"]


def service_response(c: Claim, e: Evidence) -> Judgement:
    """How much sooner the service answers: idle, and at a rate that overruns three threads; beside ten threads."""
    idle, idle_after = e.served("idle_before"), e.served("idle_after")
    busy, busy_after, control = (e.served(f"overrun_{which}") for which in ("before", "after", "control"))
    alike, loaded, alone = idle / idle_after, busy / busy_after, busy / control
    enough = stated(c) / FACTOR
    verdict = HOLDS if near(alike, stated(c)) else NOT if loaded < enough else OTHER if alone >= enough else HOLDS
    value = alike if near(alike, stated(c)) or verdict == NOT else loaded
    said = f"Idle, it answers in {duration(idle)} before and {duration(idle_after)} after; "
    said += f"overrun, in {duration(busy)} and "
    said += f"{duration(busy_after)}, and with ten threads in {duration(control)}."
    return Judgement(verdict, f"{alike:.1f}x to {loaded:.0f}x", said, value)


def service_capacity(c: Claim, e: Evidence) -> Judgement:
    """How many more requests the service has at its backend at once; beside ten threads.

    A count of the backend's, as the pace that a service keeps depends on how busy the machine is.
    """
    before, after, control = (e.served(f"in_flight_{which}") for which in ("before", "after", "control"))
    value, alone = after / before, control / before
    verdict = NOT if not near(value, stated(c)) else OTHER if alone * ALIKE >= value else HOLDS
    said = f"At its backend the service has {number(before)} requests at once before, {number(after)} after, and "
    said += f"{number(control)} with ten threads{_paces(e)}."
    return Judgement(verdict, f"{value:.1f}x", said, value)


def _paces(e: Evidence) -> str:
    """Up to which rates the service is not slow; nothing of one that is slow at every rate that was tried."""
    paces = [e.production.get(f"pace_{which}") for which in ("before", "after", "control")]
    if None in paces:
        return ""
    slow, quick, control = (number(pace or 0.0) for pace in paces)
    return f"; it is not slow up to {slow}, {quick} and {control} requests a second"


def service_memory(c: Claim, e: Evidence) -> Judgement:
    """How much less memory the service's process holds; beside ten threads."""
    before, after, control = (e.served(f"memory_{which}") for which in ("before", "after", "control"))
    value, alone = 100 * (1 - after / before), 100 * (1 - control / before)
    wanted = stated(c) / FACTOR
    verdict = NOT if value < wanted else OTHER if alone >= wanted else HOLDS
    change = f"{value:.0f} % less" if value > 0 else f"{-value:.0f} % more"
    said = f"Under load the service holds {size(before)} before, {size(after)} after, {size(control)} with ten threads."
    return Judgement(verdict, change, said, value)


SERVICE_RULES: Mapping[str, Rule] = {
    "service_response": service_response,
    "service_capacity": service_capacity,
    "service_memory": service_memory,
}
