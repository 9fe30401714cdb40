"""Judge the settings of a service: its limit and its timeout, under normal load and with a slow backend (10a)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from supalab.contest_agent.handle import Agent
from supalab.course.check import filled, finding, stop
from supalab.course.feedback import Finding
from supalab.errors import SettingsError
from supalab.lab.handle import Lab
from supalab.measure.case import Span
from supalab.measure.service import PATH, send
from supalab.measure.traffic import LATE_S, TIMEOUT, Traffic, response
from supalab.settings import Settings

RATE, LATENCY_S, SLOW_S = 40.0, 0.15, 2.0
NORMAL_S, OUTAGE_S, CALLER_TIMEOUT_S = 1.7, 1.0, 1.6
#: A request that starts this shortly before the outage may be served during the outage, whatever the settings are.
BETWEEN_S, STARTING_S = 0.25, 1.2
P95_S, SOON_S = 2 * LATENCY_S, 1.0
#: After this many seconds there is no second try, so that learners do not wait longer on a busy machine.
AGAIN_WITHIN_S = 8.0
#: A timeout of this many seconds is probably meant in milliseconds.
MILLISECONDS = 100


async def settings(answer: Mapping[str, Any]) -> AsyncIterator[Finding]:
    """Run a service with ``answer``'s limit and timeout, and judge what its callers and the lab saw."""
    limit, timeout = filled(answer, ("limit", "timeout"), "limit_and_timeout")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        stop("limit", "a whole number from 1", repr(limit), "limit_and_timeout")
    began = time.monotonic()
    try:
        findings, in_doubt = await _tried(limit, timeout)
        if in_doubt and time.monotonic() - began < AGAIN_WITHIN_S:
            findings, in_doubt = await _tried(limit, timeout)
    except SettingsError as error:
        stop("timeout", "seconds", str(error), "limit_and_timeout")
    for one in findings:
        yield one
    if in_doubt:
        yield finding("the load", "sent in time", "late", False).because("busy")


async def _tried(limit: int, seconds: float) -> tuple[list[Finding], bool]:
    """Return the findings, and whether a late load generator may have measured the machine instead of the service."""
    async with (
        Lab(latency=LATENCY_S) as lab,
        Agent(client=f"real-{limit}", url=lab.url, key=lab.key, timeout=seconds) as agent,
    ):
        await asyncio.to_thread(lab.reset)
        found, begin = await asyncio.to_thread(_loaded, agent, lab)
        peak = (await asyncio.to_thread(lab.witness)).peak
    normal = [span for span in found["spans"] if span.asked < begin - BETWEEN_S]
    outage = [span for span in found["spans"] if span.asked >= begin]
    # There is no target, but it is interesting: an abandoned request stays at the backend until it is done.
    no_target = f"no target: {limit} slots, and the requests that the client gave up"
    in_flight = finding("slow backend: most requests in flight there", no_target, peak, True)
    findings = [_normal(normal, limit, seconds), _soon(outage, seconds), in_flight]
    late = found["numbers"]["send_delay_p99_s"] > LATE_S
    return findings, late and not all(one.ok for one in findings)


def _loaded(agent: Agent, lab: Lab) -> tuple[dict[str, Any], float]:
    """Run the load and make the backend slow during it; return the load, and at which of its seconds that was."""
    start, changed = time.time() + STARTING_S, list[float]()

    def tick(_: float) -> None:
        if not changed and time.time() >= start + NORMAL_S:
            lab.set(latency=SLOW_S)
            changed.append(time.time())

    traffic = Traffic(NORMAL_S + OUTAGE_S, RATE, timeout=CALLER_TIMEOUT_S)
    found = send(Settings(agent.url, None, rest_path=""), PATH, traffic, start=start, tick=tick)
    return found, changed[0] - found["epoch"]


def _normal(spans: list[Span], limit: int, timeout: float) -> Finding:
    p95, lost = response(spans, 95), sum(not span.ok for span in spans)
    need = RATE * LATENCY_S
    observed = f"{p95:.2f} s" if p95 is not None else "too many failed"
    observed += f", {lost} of {len(spans)} lost" if lost else ""
    observed += ", in these first seconds" if p95 is not None and limit <= need else ""
    expected, ok = f"under {P95_S:g} s under sustained load", p95 is not None and p95 < P95_S and limit > need
    return finding("normal load: p95", expected, observed, ok).because(
        "clusters",
        say={"law": f"{RATE:g}/s x {LATENCY_S:g} s = {need:g} in flight on average", "limit": limit},
        too_few=limit < need,
        always_busy=limit == need,
        gave_up=timeout <= 2 * LATENCY_S,
    )


def _soon(spans: list[Span], timeout: float) -> Finding:
    slowest = max(span.latency for span in spans)
    unanswered = sum(span.outcome == TIMEOUT for span in spans)
    what, ok = "slow backend: a response, even if it is 503 or 504", slowest <= SOON_S and not unanswered
    observed = f"{slowest:.2f} s at most" + (f"; {unanswered} got none" if unanswered else "")
    return finding(what, f"within {SOON_S:g} s", observed, ok).because(
        "to_say_no",
        say={"timeout": f"{timeout:g}", "gives_up": f"{1.2 * timeout:g}", "seconds": f"{timeout / 1000:g}"},
        milliseconds=timeout >= MILLISECONDS,
    )
