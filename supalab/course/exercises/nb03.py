"""Notebook 03: a learner's lazy client goes in; how many are made, when, and on how many loops they work, come out."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import httpx

from supalab.course.check import Exercise, unfinished
from supalab.course.feedback import Finding
from supalab.lab.handle import Lab
from supalab.lab.witness import Witness
from supalab.settings import Settings

__all__ = ["EXERCISES"]

LATENCY_S = 0.08
LIMIT, CALLERS, LATER = 4, 10, 3
PATIENCE_S = 4.0
LOOP_WORDS = (
    "The stored client belongs to the loop that created it, and its connections ended with it. Remember the loop "
    "together with the client, and create a new client if asyncio.get_running_loop() is another loop."
)

#: What _get_client comes to when it touches what belongs to the ended loop: no refusal of its own.
ENDED = "_get_client fails: Event loop is closed"
CLOSE_WORDS = (
    "_get_client tried to use or close the old client, whose loop has ended: nobody can close it any more. "
    "Drop it, and create a new one."
)


async def lazy(answer: type[Any]) -> list[Finding]:
    """Make clients of the class and use them: at first by many callers at once, later, and on a second loop."""
    if not isinstance(answer, type):
        return [
            Finding(
                "the answer",
                "a class",
                f"a {type(answer).__name__}",
                False,
                "Give check() the class itself, without parentheses after it.",
            )
        ]
    async with Lab(latency=LATENCY_S) as lab:
        made = _made_early(answer, lab)
        seen: list[Any] = []
        try:
            findings = await _used(_listening(answer, seen)(lab.url, lab.key, limit=LIMIT), seen, lab)
        finally:
            for client in {id(one): one for one in seen}.values():
                with suppress(Exception):  # it may be anything
                    await (asyncio.to_thread(client.close) if isinstance(client, httpx.Client) else client.aclose())
        if len(findings) > 1:
            findings.append(await asyncio.to_thread(_second_loop, answer, lab))
    return [made, *findings]


async def _used(db: Any, seen: list[Any], lab: Lab) -> list[Finding]:
    refused = await _first_use(db, seen)
    if refused is not None:
        return [refused]
    first = await asyncio.to_thread(lab.witness)
    for _ in range(LATER):
        await db.select("contests")
    later = await asyncio.to_thread(lab.witness)
    one = _one_for_all(db, seen)
    return [one, _limited(first, alone=one.ok), _used_again(first, later)]


def _made_early(answer: type[Any], lab: Lab) -> Finding:
    before = _clients()
    db = answer(lab.url, lab.key, limit=LIMIT)
    early = len(_clients() - before)
    del db
    words = "" if not early else "__init__ creates a client. Leave it at None there, and create it in _get_client."
    return Finding("httpx clients before the first use", "0", str(early), not early, words)


def _clients() -> set[int]:
    """The httpx clients that there are in this process, by identity."""
    return {id(one) for one in gc.get_objects() if issubclass(type(one), httpx.AsyncClient)}


def _listening(answer: type[Any], seen: list[Any]) -> type[Any]:
    class Listening(answer):  # type: ignore[misc]  # whatever the learner wrote
        async def _get_client(self) -> Any:
            client = await super()._get_client()
            seen.append(client)
            return client

    return Listening


async def _first_use(db: Any, seen: Sequence[Any]) -> Finding | None:
    """Many callers at once, none before them; what keeps them from an answer is a finding."""
    found = await asyncio.gather(*(db.select("contests") for _ in range(CALLERS)), return_exceptions=True)
    failed = [one for one in found if isinstance(one, BaseException)]
    if not failed:
        return None
    error = next((one for one in failed if unfinished(one)), failed[0])
    words = _kept_out(error, seen)
    if not words:
        raise error
    said = f"{len(failed)} of {CALLERS} failed: {type(error).__name__}"
    return Finding("the first requests", "all get a response", said, False, words)


def _kept_out(error: BaseException, seen: Sequence[Any]) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return "The lab refused these requests: each needs self._headers, which hold the key."
    if None in seen:
        return "_get_client must return a client every time. Is there a way through it without a return?"
    if any(isinstance(client, httpx.Client) for client in seen):
        return "httpx.Client blocks; the one to await is httpx.AsyncClient."
    if isinstance(error, TypeError) and "await" in str(error):
        return "select awaits the result of _get_client: it must stay `async def`."
    if isinstance(error, AttributeError) and error.name == "max_connections":
        return "limits= takes no number but an object: httpx.Limits(max_connections=self._limit)."
    return ""


def _one_for_all(db: Any, seen: Sequence[Any]) -> Finding:
    number = len({id(client) for client in seen})
    words = "" if number == 1 else "Each call of _get_client creates a client: keep the first in self._client."
    if number > 1 and getattr(db, "_client", None) is not None and getattr(db, "_loop", None) is None:
        words = (
            "Each call of _get_client creates a client, although one is stored: self._loop was never set, so every "
            "loop looks like another one. Set it together with self._client."
        )
    elif 1 < number < len(seen):
        words = (
            "Other tasks ran between the check of self._client and its assignment. Is there an await between the two? "
            "Without one, no other task can run there."
        )
    return Finding(f"httpx clients for the first {CALLERS} callers at once", "1", str(number), number == 1, words)


def _limited(seen: Witness, *, alone: bool) -> Finding:
    """``alone``: there was one client. Several have a limit each, and what is said of them is enough."""
    ok = seen.peak == LIMIT
    words = ""
    if alone and not ok:
        words = "Pass httpx.Limits(max_connections=self._limit): without it, a client takes up to 100."
    if seen.peak < LIMIT:
        words = "Fewer requests were in flight than the limit allows: max_connections should be self._limit."
    return Finding(f"most in flight with limit={LIMIT}", str(LIMIT), str(seen.peak), ok, words)


def _used_again(first: Witness, later: Witness) -> Finding:
    new = later.connections - first.connections
    words = (
        ""
        if not new
        else "Every request opens a new connection, because the client, which holds the connections, is not stored."
    )
    return Finding(f"new connections for {LATER} later requests", "0", str(new), not new, words)


def _second_loop(answer: type[Any], lab: Lab) -> Finding:
    """Use one client on a loop that ends, then on another; runs in a thread, which may have loops of its own."""
    settings = Settings(lab.url, lab.key)
    with warnings.catch_warnings():
        # The first loop's connections are left open on purpose, and Python says so when they are collected.
        warnings.simplefilter("ignore", ResourceWarning)
        db = answer(settings.url, settings.key, limit=LIMIT)
        outcomes = [asyncio.run(_on_this_loop(db)) for _ in range(2)]
        del db
        gc.collect()
    ok = outcomes[0] == "a response" and not outcomes[1].startswith("a client that fails")
    words = CLOSE_WORDS if outcomes[1] == ENDED else LOOP_WORDS
    ok = ok and outcomes[1] != ENDED
    refused = outcomes[1].startswith("_get_client says")  # a clear refusal of one's own is right, too
    return Finding(
        "the same object on a second loop",
        "a response, or an error from _get_client" if refused else "a response",
        outcomes[1] if outcomes[0] == "a response" else outcomes[0],
        ok,
        "" if ok else words,
    )


async def _on_this_loop(db: Any) -> str:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await db._get_client()
    except TimeoutError:
        return "a client that fails: _get_client never returned"
    except Exception as error:
        return ENDED if "loop is closed" in str(error) else f"_get_client says {type(error).__name__}"
    try:
        async with asyncio.timeout(PATIENCE_S):
            await db.select("contests")
    except Exception as error:
        return f"a client that fails: {type(error).__name__}"
    return "a response"


EXERCISES = (
    Exercise(
        "03a",
        "create a client at the right moment",
        (
            "Check self._client and assign it with no await in between. Also ask which loop is running: "
            "asyncio.get_running_loop().",
            "If self._client is None or self._loop is not loop, set self._loop = loop and self._client = "
            "httpx.AsyncClient(headers=self._headers, limits=httpx.Limits(max_connections=self._limit)). "
            "Return self._client in both cases.",
        ),
        lazy,
    ),
)
