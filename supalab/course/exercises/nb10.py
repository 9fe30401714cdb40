"""Notebook 10: a limit and a timeout go in; a service with them meets a load and a slow spell, callers are asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from supalab.contest_agent.handle import Agent
from supalab.course.check import Exercise, NotDone
from supalab.course.feedback import Finding
from supalab.errors import SettingsError
from supalab.lab.handle import Lab
from supalab.measure.case import Span
from supalab.measure.service import PATH, send
from supalab.measure.traffic import LATE_S, TIMEOUT, Traffic, response
from supalab.settings import Settings

__all__ = ["EXERCISES"]

RATE, LATENCY_S, SLOW_S = 40.0, 0.15, 2.0
FAIR_S, SLOW_FOR_S, CALLER_TIMEOUT_S = 1.7, 1.0, 1.6
#: Who comes so shortly before the spell may be served in it, and nobody's settings are to blame.
BETWEEN_S, STARTING_S = 0.25, 1.2
P95_S, SOON_S = 2 * LATENCY_S, 1.0
#: After so many seconds there is no second try: nobody waits longer for a machine that is busy with something else.
AGAIN_WITHIN_S = 8.0
#: Nobody waits for so many seconds; somebody means milliseconds.
MILLISECONDS = 100


async def settings(answer: Mapping[str, Any]) -> list[Finding]:
    """Start a service with ``answer``'s limit and timeout, and judge what its callers and the lab saw."""
    try:
        limit, timeout = _read(answer)
        began = time.monotonic()
        findings, late = await _tried(limit, timeout)
        if _in_doubt(findings, late) and time.monotonic() - began < AGAIN_WITHIN_S:
            findings, late = await _tried(limit, timeout)
    except SettingsError as error:
        words = "limit is a whole number of slots, from 1; timeout is a number of seconds above 0."
        return [Finding("the settings", "a limit and a timeout", str(error), False, words)]
    if _in_doubt(findings, late):
        words = "Something else kept this machine busy, so the times above say little. Run the check once more."
        findings.append(Finding("the load", "sent in time", "late", False, words))
    return findings


def _in_doubt(findings: list[Finding], late: bool) -> bool:
    """Whether a late generator may have measured the machine and not the service."""
    return late and not all(finding.ok for finding in findings)


def _read(answer: Any) -> tuple[int, float]:
    if not isinstance(answer, Mapping) or not {"limit", "timeout"} <= set(answer):
        raise SettingsError(f"{answer!r} does not have both: write e.g. {{'limit': 3, 'timeout': 5.0}}")
    more = ", ".join(repr(name) for name in answer if name not in {"limit", "timeout"})
    if more:
        raise SettingsError(f"{more} has no effect here: give only limit and timeout")
    limit, timeout = answer["limit"], answer["timeout"]
    if limit is ... or timeout is ...:
        raise NotDone("choose both")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise SettingsError(f"limit is {limit!r}")
    return limit, timeout


async def _tried(limit: int, seconds: float) -> tuple[list[Finding], bool]:
    async with (
        Lab(latency=LATENCY_S) as lab,
        Agent(client=f"real-{limit}", url=lab.url, key=lab.key, timeout=seconds) as agent,
    ):
        await asyncio.to_thread(lab.reset)
        found, begin = await asyncio.to_thread(_loaded, agent, lab)
        spans, late = found["spans"], found["numbers"]["send_delay_p99_s"] > LATE_S
        peak = (await asyncio.to_thread(lab.witness)).peak
    fair = [span for span in spans if span.asked < begin - BETWEEN_S]
    slow = [span for span in spans if span.asked >= begin]
    return [_fair(fair, limit, seconds), _soon(slow, seconds), _left_behind(peak, limit)], late


def _loaded(agent: Agent, lab: Lab) -> tuple[dict[str, Any], float]:
    """Run the load and make the backend slow on the way; return it, and when that was in the load's own seconds."""
    start, changed = time.time() + STARTING_S, list[float]()

    def tick(_: float) -> None:
        if not changed and time.time() >= start + FAIR_S:
            lab.set(latency=SLOW_S)
            changed.append(time.time())

    traffic = Traffic(FAIR_S + SLOW_FOR_S, RATE, timeout=CALLER_TIMEOUT_S)
    found = send(Settings(agent.url, None, rest_path=""), PATH, traffic, start=start, tick=tick)
    return found, changed[0] - found["epoch"]


def _fair(spans: list[Span], limit: int, timeout: float) -> Finding:
    p95, lost = response(spans, 95), sum(not span.ok for span in spans)
    said = f"{p95:.2f} s" if p95 is not None else "too many failed"
    need = RATE * LATENCY_S
    ok = p95 is not None and p95 < P95_S and limit > need
    law = f"{RATE:g}/s x {LATENCY_S:g} s = {need:g} in flight on average"
    if ok:
        words = ""
    elif limit < need:
        words = f"{law}: with {limit} slots the queue only grows."
    elif limit == need:
        words = f"{law}: all {limit} slots are always busy, and the queue that a cluster leaves never drains."
    elif timeout <= 2 * LATENCY_S:
        words = "The service gave up on requests that the backend was about to answer. The timeout is too short for it."
    else:
        words = (
            "Some requests waited long for a slot. Leave some room above the average, because requests "
            "come in clusters."
        )
    observed = said + (f", {lost} of {len(spans)} lost" if lost else "")
    if p95 is not None and limit <= need:
        observed += ", in these first seconds"
    return Finding("normal load: p95", f"under {P95_S:g} s under sustained load", observed, ok, words)


def _soon(spans: list[Span], timeout: float) -> Finding:
    slowest = max(span.latency for span in spans)
    unanswered = sum(span.outcome == TIMEOUT for span in spans)
    ok = slowest <= SOON_S and not unanswered
    words = (
        f"With a timeout of {timeout:g} s the service may take {1.2 * timeout:g} s to say no. After a quick refusal "
        "callers can do something else."
    )
    if timeout >= MILLISECONDS:
        words = f"Did you mean milliseconds? The timeout is in seconds: write {timeout / 1000:g} for {timeout:g} ms."
    observed = f"{slowest:.2f} s at most" + (f"; {unanswered} got none" if unanswered else "")
    return Finding(
        "slow backend: a response, even if it is 503 or 504", f"within {SOON_S:g} s", observed, ok, "" if ok else words
    )


def _left_behind(peak: int, limit: int) -> Finding:
    """No target, but worth a look: a request that is given up stays at the backend until it is done."""
    expected = f"no target: {limit} slots, and the requests that they gave up"
    return Finding("slow backend: most requests in flight there", expected, str(peak), True)


EXERCISES = (
    Exercise(
        "10a",
        "set limit and deadline",
        (
            "The limit: Little's law gives the mean number in flight under normal load; leave room above it. "
            "The timeout: the service may take 1.2 times as long.",
            "40 x 0.15 = 6 in flight: a limit of 10 leaves room. With a timeout of 0.7 s the service "
            "answers within 0.84 s.",
        ),
        settings,
    ),
)
