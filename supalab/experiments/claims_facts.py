"""Collect facts for claims that a race cannot decide: which exceptions are raised, what times out, what stays open.

This runs in a fresh worker process, with its own lab whose conditions change during the run.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import requests

from supalab.clients.article import ArticleSupabaseAsync
from supalab.clients.base import Client
from supalab.clients.fake import FakeSupabaseAsync
from supalab.lab.handle import Lab

EXPECTED_S = 11.0
#: Server time in seconds while callers are cancelled and queue: long compared with delays of a busy machine.
SLOW_S = 1.0
# Callers are cancelled soon after their requests have begun, and long before the responses.
LEAVE_AT = 0.15
# With one slot and a timeout of 1.8 server times, the third in the queue waits for its slot longer than that.
QUEUED, PATIENCE = 4, 1.8
IN_TURN, FIRST_CALLS, CROWD = 20, 20, 150
# A server sends a byte each GAP_S, BYTES of them: every gap is far below the timeout, the whole is far above it.
GAP_S, BYTES, TIMEOUT_S = 0.2, 12, 0.8
ROW_ID = 900_001
ROW = {"id": ROW_ID, "title": "Tried out", "url": "https://contests.test/tried-out"}
KINDS: Mapping[str, Callable[..., Client]] = {"fake": FakeSupabaseAsync, "article": ArticleSupabaseAsync}


def facts() -> dict[str, Any]:
    """Try everything out, and return what was found, by name."""
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy from the system's settings must not take loopback traffic either
    with Lab() as lab:
        found = _errors(lab) | _defaults() | _in_turn(lab) | _loops() | asyncio.run(_article(lab))
        lab.set(latency=SLOW_S)
        found |= asyncio.run(_slow(lab))
        lab.reset()
        return found | asyncio.run(_crowd(lab))


def _raised(ask: Callable[..., Any], *given: Any, **how: Any) -> Exception | None:
    try:
        ask(*given, **how)
    except Exception as error:
        return error
    return None


def _name(error: object) -> str:
    return type(error).__name__ if isinstance(error, BaseException) else "ok"


def _errors(lab: Lab) -> dict[str, Any]:
    """Record which errors both libraries raise for a missing table and for a closed port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = f"http://127.0.0.1:{taken.getsockname()[1]}/"

    def ask(get: Callable[..., Any], url: str) -> None:
        get(url, headers={"apikey": lab.key}, timeout=30).raise_for_status()

    found: dict[str, Any] = {}
    for what, url in (("status", f"{lab.url}/rest/v1/no_such_table"), ("refused", refused)):
        old, new = _raised(ask, requests.get, url), _raised(ask, httpx.get, url)
        found |= {
            f"{what}_requests": _name(old),
            f"{what}_httpx": _name(new),
            f"{what}_caught_by_old_name": isinstance(new, requests.HTTPError),
            f"{what}_caught_by_new_name": isinstance(new, httpx.HTTPError),
            f"{what}_requests_is_oserror": isinstance(old, OSError),
            f"{what}_httpx_is_oserror": isinstance(new, OSError),
        }
    return found


def _defaults() -> dict[str, Any]:
    """Return timeouts (seconds, -1 for none) and limits from the libraries' signatures."""
    old, new = (inspect.signature(one).parameters for one in (requests.Session.request, httpx.AsyncClient))
    timeouts = {"requests": old["timeout"].default, "httpx": new["timeout"].default.read}
    found = {f"default_timeout_{name}_s": -1.0 if wait is None else float(wait) for name, wait in timeouts.items()}
    return found | {"default_connections": new["limits"].default.max_connections}


def _in_turn(lab: Lab) -> dict[str, Any]:
    """Count the connections of requests that are sent one after another, which never need two at once."""
    found = {"in_turn": IN_TURN}
    with requests.Session() as session, httpx.Client(trust_env=False) as client:
        gets: Mapping[str, Callable[..., Any]] = {
            "requests": requests.get, "session": session.get, "httpx": client.get,
        }  # fmt: skip
        for name, get in gets.items():
            lab.reset()
            for _ in range(IN_TURN):
                get(f"{lab.url}/rest/v1/contests?limit=1", headers={"apikey": lab.key}).raise_for_status()
            found[f"in_turn_{name}"] = lab.witness().connections
    return found


def _loops() -> dict[str, Any]:
    """Call ``asyncio.get_event_loop`` in a coroutine and in another thread, where no loop runs."""

    async def inside() -> bool:
        return asyncio.get_event_loop() is asyncio.get_running_loop()

    def outside() -> str:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            error = _raised(lambda: asyncio.get_event_loop().close())
        return _name(error) if error or not said else said[0].category.__name__

    with ThreadPoolExecutor(1) as pool:  # a new thread, where no loop was ever set
        return {"loop_inside_is_running": asyncio.run(inside()), "loop_outside": pool.submit(outside).result()}


async def _article(lab: Lab) -> dict[str, Any]:
    """Try the article's three steps: when its client is created, whether all methods work, what is open at the end."""
    clients = set()

    class Counting(ArticleSupabaseAsync):
        async def _get_client(self) -> httpx.AsyncClient:
            client = await super()._get_client()
            clients.add(client)
            return client

    async with Counting(lab.url, lab.key) as db:
        before = len(clients)
        await asyncio.gather(*(db.select("contests", limit=1) for _ in range(FIRST_CALLS)))
        made = len(clients)
        mine: dict[str, int] = {"id": ROW_ID}
        wrote, changed = await db.insert("contests", ROW), await db.update("contests", {"host": "me"}, filters=mine)
        read, gone = await db.select("contests", filters=mine), await db.delete("contests", filters=mine)
    good = [len(wrote) == 1, len(changed) == 1, [row["host"] for row in read] == ["me"], len(gone) == 1]
    by_an_error = ArticleSupabaseAsync(lab.url, lab.key)
    with suppress(LookupError):
        async with by_an_error:
            await by_an_error.select("contests", limit=1)
            raise LookupError
    async with FakeSupabaseAsync(lab.url, lab.key) as fake:
        await asyncio.gather(*(fake.select("contests", limit=1) for _ in range(FIRST_CALLS)))
    left = [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
    return {
        "clients_before": before, "clients_made": made, "clients_calls": FIRST_CALLS, "methods": len(good),
        "methods_good": sum(good), "threads_after_close": len(left),
        "open_after_close": sum(one._client is None or not one._client.is_closed for one in (db, by_an_error)),
    }  # fmt: skip


async def _slow(lab: Lab) -> dict[str, Any]:
    """Cancel callers of both clients and send a new request; queue for one slot with a timeout. All run in parallel."""
    waits = [_next_answer(kind(lab.url, lab.key, limit=3)) for kind in KINDS.values()]
    queues = [_queue(kind(lab.url, lab.key, limit=1, timeout=PATIENCE * SLOW_S)) for kind in KINDS.values()]
    seconds, answers, drip = await asyncio.gather(asyncio.gather(*waits), asyncio.gather(*queues), _dripping())
    found = {f"left_next_{name}_s": round(waited, 3) for name, waited in zip(KINDS, seconds, strict=True)}
    found |= {f"queue_answered_{name}": queue.count("ok") for name, queue in zip(KINDS, answers, strict=True)}
    failed = next((name for name in answers[1] if name != "ok"), "none")
    asked = {"left_latency_s": SLOW_S, "queue_asked": QUEUED, "queue_timeout_s": PATIENCE * SLOW_S}
    return found | drip | asked | {"queue_error_article": failed}


async def _next_answer(db: Client) -> float:
    """Fill all slots, cancel those callers, and return the seconds that a new caller waits for its response."""
    async with db:
        first = [asyncio.create_task(db.select("contests", limit=1)) for _ in range(3)]
        await asyncio.sleep(LEAVE_AT * SLOW_S)
        for task in first:
            task.cancel()
        await asyncio.wait(first)
        began = time.perf_counter()
        await db.select("contests", limit=1)
        return time.perf_counter() - began


async def _queue(db: Client) -> list[str]:
    async with db:
        answers = await asyncio.gather(*(db.select("contests", limit=1) for _ in range(QUEUED)), return_exceptions=True)
    return [_name(answer) for answer in answers]


async def _dripping() -> dict[str, str]:
    """Ask a server that sends one byte at a time, with a timeout below the total time and above each gap."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\nConnection: close\r\n\r\n".encode())
        for _ in range(BYTES):
            await asyncio.sleep(GAP_S)
            writer.write(b".")
        writer.close()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        url = "http://{}:{}/".format(*server.sockets[0].getsockname())
        asked = [asyncio.to_thread(_raised, get, url, timeout=TIMEOUT_S) for get in (requests.get, httpx.get)]
        old, new = await asyncio.gather(*asked)
    return {"drip_requests": _name(old), "drip_httpx": _name(new)}


async def _crowd(lab: Lab) -> dict[str, Any]:
    """Send more requests at once than the default pool of httpx has connections; the lab counts them."""
    async with httpx.AsyncClient(headers={"apikey": lab.key}, timeout=60, trust_env=False) as client:
        url = f"{lab.url}/rest/v1/contests?limit=1"
        await asyncio.gather(*(client.get(url) for _ in range(CROWD)))
    peak = (await asyncio.to_thread(lab.witness)).peak
    return {"crowd": CROWD, "crowd_peak": peak}
