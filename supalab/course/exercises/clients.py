"""Judge clients: created at the right moment (03a), closed (05a), and really async (12a)."""

from __future__ import annotations

import asyncio
import gc
import inspect
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import psutil

from supalab.course.check import StopCheck, described, equal, finding, named, outcome, required, stop, unfinished
from supalab.course.feedback import Finding
from supalab.errors import SettingsError
from supalab.lab.handle import Lab
from supalab.probe import Verdict, probe
from supalab.probe.judge import BLOCKING, CANNOT_TELL, FAKE, MIXED, REAL

#: Checks, 20 ms apart, until a socket must be closed.
CLOSING = 25


@asynccontextmanager
async def small_client(make: Callable[[str, str], Any], lab: Lab) -> AsyncIterator[Any]:
    """A learner's client based on SmallClient; its httpx client is closed at the end, whatever the learner wrote."""
    db = make(lab.url, lab.key)
    try:
        yield db
    finally:
        if db._client is not None:
            await db._client.aclose()


def open_sockets(lab: Lab) -> int:
    """Count the sockets of this process that are connected to the lab, as the operating system lists them."""
    port = int(lab.url.rpartition(":")[2])
    found = psutil.Process().net_connections("tcp")
    return sum(bool(one.raddr) and one.raddr.port == port and one.status != psutil.CONN_TIME_WAIT for one in found)


async def sockets_left(lab: Lab, what: str) -> Finding:
    """Count the sockets that are still open; a socket that is being closed gets a moment."""
    for _ in range(CLOSING):
        if open_sockets(lab) == 0:
            break
        await asyncio.sleep(0.02)
    return equal(what, 0, open_sockets(lab), "still_open")


# 03a: a client that is created at the right moment.

LATENCY_S, PATIENCE_S = 0.08, 4.0
LIMIT, CALLERS, LATER = 4, 10, 3
#: What happens to a client on a loop. ENDED: _get_client used something that belongs to the previous loop.
RESPONSE, ENDED, REFUSED = "a response", "_get_client fails: Event loop is closed", "_get_client says"
ANOTHER = "a new client for each call of _get_client"


async def lazy(answer: type[Any]) -> AsyncIterator[Finding]:
    """Create clients of the class and use them: by many callers at once, then later, and on a second loop."""
    if not isinstance(answer, type):
        stop("the answer", "a class", described(answer), "no_class")
    async with Lab(latency=LATENCY_S) as lab:
        yield equal("httpx clients before the first use", 0, _made_early(answer, lab), "in_init")
        async with _recorded(answer, lab) as (db, seen):
            asked = await asyncio.gather(*(db.select("contests") for _ in range(CALLERS)), return_exceptions=True)
            failed = [one for one in asked if isinstance(one, BaseException)]
            if failed:
                raise _first_use(answer, failed, seen)
            first, at_first = await asyncio.to_thread(lab.witness), set(map(id, seen))
            for _ in range(LATER):
                await db.select("contests")
            later, more = await asyncio.to_thread(lab.witness), set(map(id, seen)) - at_first
            yield _one_for_all(db, len(at_first), each_time=bool(more))
            # Several clients have a limit each, and this has been said already.
            fewer, unlimited = first.peak < LIMIT, len(at_first) == 1
            yield equal(f"most in flight with limit={LIMIT}", LIMIT, first.peak, fewer=fewer, unlimited=unlimited)
            new = later.connections - first.connections
            yield equal(f"new connections for {LATER} later requests", 0, new, "not_stored")
        yield await asyncio.to_thread(_second_loop, answer, lab)


def _made_early(answer: type[Any], lab: Lab) -> int:
    """Count the httpx clients that an object of the class creates before its first use."""

    def clients() -> set[int]:
        return {id(one) for one in gc.get_objects() if issubclass(type(one), httpx.AsyncClient)}

    before = clients()
    db = answer(lab.url, lab.key, limit=LIMIT)
    early = len(clients() - before)
    del db
    return early


@asynccontextmanager
async def _recorded(answer: type[Any], lab: Lab) -> AsyncIterator[tuple[Any, list[Any]]]:
    """Create an object of the class and a list of all that its _get_client returns; these are closed at the end."""
    seen: list[Any] = []

    class Recorded(answer):  # type: ignore[misc]  # whatever the learner wrote
        async def _get_client(self) -> Any:
            seen.append(await super()._get_client())
            return seen[-1]

    try:
        yield Recorded(lab.url, lab.key, limit=LIMIT), seen
    finally:
        for client in {id(one): one for one in seen}.values():
            with suppress(Exception):  # it may be anything
                await (asyncio.to_thread(client.close) if isinstance(client, httpx.Client) else client.aclose())


def _first_use(answer: type[Any], failed: Sequence[BaseException], seen: Sequence[Any]) -> BaseException:
    """End the check if the first callers fail: with a finding if the reason is known, else with their own error."""
    error = next((one for one in failed if unfinished(one)), failed[0])
    found = finding(
        "the first requests", "all get a response", f"{len(failed)} of {CALLERS} failed: {type(error).__name__}", False
    ).because(
        no_key=isinstance(error, httpx.HTTPStatusError),
        no_return=isinstance(error, AttributeError) and error.obj is None,
        blocking=any(isinstance(client, httpx.Client) for client in seen),
        plain=not inspect.iscoroutinefunction(answer._get_client),
        no_limits=isinstance(error, AttributeError) and error.name == "max_connections",
    )
    return StopCheck(found) if found.reason else error


def _one_for_all(db: Any, number: int, *, each_time: bool) -> Finding:
    stored = getattr(db, "_client", None) is not None
    what = f"httpx clients for the first {CALLERS} callers at once"
    not_used, no_loop = number == 0, stored and getattr(db, "_loop", None) is None
    return equal(what, 1, number, "each_time", not_used=not_used, await_between=not each_time, loop_not_set=no_loop)


def _second_loop(answer: type[Any], lab: Lab) -> Finding:
    """Use one client on a loop that ends, then on another; runs in a thread, which may have loops of its own."""
    with warnings.catch_warnings():
        # The first loop's connections are left open on purpose, and Python warns about that when they are collected.
        warnings.simplefilter("ignore", ResourceWarning)
        db = answer(lab.url, lab.key, limit=LIMIT)
        first, second = (asyncio.run(_on_this_loop(db)) for _ in range(2))
        del db
        gc.collect()
    refused = second.startswith(REFUSED)  # a clear error of the learner's own is right, too
    expected = f"{RESPONSE}, or an error from _get_client" if refused else RESPONSE
    observed, ok = second if first == RESPONSE else first, first == RESPONSE and (second == RESPONSE or refused)
    return finding("the same object on a second loop", expected, observed, ok).because(
        "other_loop", closes_the_old=second == ENDED, loop_not_stored=second == ANOTHER
    )


async def _on_this_loop(db: Any) -> str:
    try:
        async with asyncio.timeout(PATIENCE_S):
            client = await db._get_client()
    except TimeoutError:
        return "a client that fails: _get_client never returned"
    except Exception as error:
        return ENDED if "loop is closed" in str(error) else f"{REFUSED} {type(error).__name__}"
    try:
        async with asyncio.timeout(PATIENCE_S):
            await db.select("contests")
            again = await db._get_client()
    except Exception as error:
        return f"a client that fails: {type(error).__name__}"
    return RESPONSE if again is client else ANOTHER


# 05a: a client that closes itself.

ENTERED, AN_ERROR = "async with … as db", "an error in the block"


async def closed(answer: Callable[[str, str], Any]) -> AsyncIterator[Finding]:
    """Use the learner's client in ``async with`` in every possible way, and count its sockets each time."""
    async with Lab() as lab:
        async with small_client(answer, lab) as db:
            got, inside = await _entered(db, lab)
            observed = "the client itself" if got is db else repr(got)
            yield required(finding(ENTERED, "the client itself", observed, got is db).because("return_self"))
            after = (await sockets_left(lab, "")).observed
            observed = f"{inside} inside, {after} after the block"
            ok = inside > 0 and after == "0"
            yield required(
                finding("sockets to the lab", "1 inside, 0 after the block", observed, ok).because("not_closed")
            )
        async with small_client(answer, lab) as db:
            seen = await _with_an_error(db)
            yield equal(f"{AN_ERROR}: what the caller sees", "the error", seen, "swallowed")
            yield await sockets_left(lab, f"{AN_ERROR}: sockets left")
        async with small_client(answer, lab) as db:
            _, error = await outcome(_closed_twice(db))
            seen = "fine" if error is None else named(error)
            yield equal("a client that was never used, closed twice", "fine", seen, "nothing_to_close")
        async with small_client(answer, lab) as db:
            async with db:
                await db.select("contests", limit="1")
            _, error = await outcome(db.select("contests", limit="1"))
            seen = "rows, over a new connection" if error is None else named(error)
            yield finding("a request after the end", "an error", seen, error is not None).because("opened_again")


async def _entered(db: Any, lab: Lab) -> tuple[object, int]:
    """Return what ``as`` names, and count the sockets inside the block after a request."""
    inside = 0
    try:
        async with db as got:
            if got is db:
                await db.select("contests", limit="1")
                inside = open_sockets(lab)
    except AttributeError as error:
        if error.name != "close" or not isinstance(error.obj, httpx.AsyncClient):
            raise
        stop(ENTERED, "to run", named(error), "aclose")
    except TypeError as error:  # async with found nothing to await, no method, or one with too few parameters
        if "BaseException" in str(error):  # `raise error` where there is none
            raise
        stop(ENTERED, "to run", named(error), "three_methods")
    return got, inside


async def _with_an_error(db: Any) -> str:
    try:
        async with db:
            await db.select("contests", limit="1")
            raise LookupError
    except LookupError:
        return "the error"
    return "nothing: the error was gone"


async def _closed_twice(db: Any) -> None:
    async with db:
        pass
    await db.close()


# 12a: a client that the probe calls real async.

ROWS, AT_ONCE = 10, 10


async def really_async(answer: Callable[[str, str], Any]) -> AsyncIterator[Finding]:
    """Use the learner's client once and close it; if it reads and closes, ask the probe for its verdict."""
    async with Lab() as lab:
        client = answer(lab.url, lab.key)
        try:
            rows = await client.select("contests")
        finally:
            if hasattr(client, "aclose"):
                await client.aclose()
        read = finding(
            "one select", f"{ROWS} rows", described(rows), isinstance(rows, list) and len(rows) == ROWS
        ).because("rows", ten=isinstance(rows, list), unawaited=inspect.isawaitable(rows))
        left = await sockets_left(lab, "sockets left open after aclose")
        yield read
        yield left
        if not (read.ok and left.ok):
            return
        verdict, error = await outcome(probe(answer, lab=lab, name="your client"))
        if isinstance(error, SettingsError):
            stop("the probe", REAL, "it could not begin", "no_verdict", why=error)
        if error is not None:
            raise error
    for one in _judged_by_the_probe(verdict):
        yield one


def _judged_by_the_probe(verdict: Verdict) -> list[Finding]:
    """Return the verdict, requests in flight and connections; for a client without a verdict, the reason."""
    kind, peak = verdict.kind, max((int(burst["peak"]) for burst in verdict.seen.bursts), default=0)
    said = finding("the probe's verdict", REAL, verdict.headline, kind == REAL).because(
        "no_verdict",
        say={"why": " ".join(verdict.sentences)},
        blocking=kind == BLOCKING,
        fake=kind == FAKE,
        mixed=kind == MIXED,
    )
    if kind == CANNOT_TELL:
        return [said]
    # The reason is that it blocks the loop, which was said already.
    blocks = next((one for one in verdict.remarks if one.startswith("blocks the event loop")), "")
    at_once = finding("most requests in flight, of 50 calls", f"{AT_ONCE} or more", peak, peak >= AT_ONCE).because(
        say={"peak": peak, "why": blocks}, pool=kind == FAKE and peak > 1, costly=bool(blocks), in_turn=kind != BLOCKING
    )
    seen = "a new one for each request" if "no connection reuse" in verdict.remarks else "reused"
    return [said, at_once, equal("connections", "reused", seen, "not_reused")]
