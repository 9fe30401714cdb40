"""Notebook 12: a learner's client goes in; it is used once, counted, and then the probe says what it really is."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from supalab.course.check import Exercise
from supalab.course.feedback import Finding
from supalab.course.sockets import open_sockets
from supalab.errors import SettingsError
from supalab.lab.handle import Lab
from supalab.probe import Verdict, probe
from supalab.probe.judge import BLOCKING, CANNOT_TELL, FAKE, MIXED, REAL

__all__ = ["EXERCISES"]

ROWS, AT_ONCE = 10, 10
#: Looks, 20 ms apart, that a socket has for closing.
CLOSING = 25
#: What is said to a verdict that is not *real async*.
WORDS = {
    BLOCKING: "While one of its requests is in flight, the whole loop is blocked. Look for code that waits without an "
    "await: requests, time.sleep, a plain httpx.Client.",
    FAKE: "A thread still waits for each request. Look for to_thread, run_in_executor or requests: "
    "httpx.AsyncClient has the same get, and you can await it.",
    MIXED: "Part of it is real async, and part is not: it sends requests in two ways. Which one is the old way?",
}


async def really_async(answer: Callable[[str, str], Any]) -> list[Finding]:
    """Use the learner's client once and close it; if it reads and closes, ask the probe for its verdict."""
    async with Lab() as lab:
        found = await _used(answer(lab.url, lab.key), lab)
        if not all(one.ok for one in found):
            return found
        try:
            verdict = await probe(answer, lab=lab, name="your client")
        except SettingsError as error:
            return [*found, Finding("the probe", REAL, "it could not begin", False, str(error))]
    return [*found, *_findings(verdict)]


async def _used(client: Any, lab: Lab) -> list[Finding]:
    try:
        rows = await client.select("contests")
    finally:
        if hasattr(client, "aclose"):
            await client.aclose()
    good = isinstance(rows, list) and len(rows) == ROWS
    words = "select must return ten rows, as LooksAsync does: return response.json()."
    if isinstance(rows, list):
        words = f"select must return ten rows: LooksAsync asks for them with ?limit={ROWS} after the table's name."
    elif inspect.isawaitable(rows):
        words = "select must return rows, but it returns something that was never awaited: an await is missing in it."
        if inspect.iscoroutine(rows):
            rows.close()  # or Python warns later, below another cell
    left = await _left(lab)
    closing = "aclose must close what was opened: await self._client.aclose(). Then the check runs the probe."
    return [
        Finding("one select", f"{ROWS} rows", _rows(rows), good, "" if good else words),
        Finding("sockets left open after aclose", "0", str(left), left == 0, "" if left == 0 else closing),
    ]


async def _left(lab: Lab) -> int:
    """The sockets still open; what is being closed, by the other side or a thread, has a moment."""
    for _ in range(CLOSING):
        if open_sockets(lab) == 0:
            break
        await asyncio.sleep(0.02)
    return open_sockets(lab)


def _rows(rows: object) -> str:
    return f"{len(rows)} rows" if isinstance(rows, list) else type(rows).__name__


def _findings(verdict: Verdict) -> list[Finding]:
    """What the probe says, its limit and its connections; a client that could not be judged has its reason."""
    real = verdict.kind == REAL
    words = "" if real else WORDS.get(verdict.kind, " ".join(verdict.sentences))
    found = [Finding("the probe's verdict", REAL, verdict.headline, real, words)]
    if verdict.kind != CANNOT_TELL:
        found += [_at_once(verdict), _connections(verdict)]
    return found


def _at_once(verdict: Verdict) -> Finding:
    peak = max((burst.peak for burst in verdict.seen.bursts), default=0)
    ok = peak >= AT_ONCE
    words = "Its callers wait for one another. Does a call hold a lock or a semaphore while it waits for the server?"
    if verdict.kind == FAKE and peak > 1:
        words = (
            f"{peak} at once is the size of its thread pool. If no size is given, it depends on the "
            "number of processors."
        )
    if ok or verdict.kind == BLOCKING:
        words = ""  # what blocks the loop is the reason, and was said
    return Finding("most requests in flight, of 50 calls", f"{AT_ONCE} or more", str(peak), ok, words)


def _connections(verdict: Verdict) -> Finding:
    ok = "no connection reuse" not in verdict.remarks
    words = (
        "It opens a connection for each request: requests.get does this, and so does a client that is created in "
        "select. Create one httpx.AsyncClient in __init__, and keep it."
    )
    observed = "reused" if ok else "a new one for each request"
    return Finding("connections", "reused", observed, ok, "" if ok else words)


EXERCISES = (
    Exercise(
        "12a",
        "get the verdict real async",
        (
            "Remove three things: the thread with requests, the lock around everything, and the "
            "connection for each call. "
            "One httpx.AsyncClient, created in __init__, replaces all three.",
            "In __init__: self._client = httpx.AsyncClient(headers={'apikey': key}, trust_env=False). In select: "
            "response = await self._client.get(address), and no lock. In aclose: await self._client.aclose().",
        ),
        really_async,
    ),
)
