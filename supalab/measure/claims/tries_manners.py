"""Threads, connections and the article's three steps, tried out: a lab goes in, counts come out."""

from __future__ import annotations

import asyncio
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import requests

from supalab.clients.article import ArticleSupabaseAsync
from supalab.clients.fake import FakeSupabaseAsync
from supalab.lab.handle import Lab
from supalab.measure.claims.evidence import Fact

__all__ = ["manners"]

IN_TURN, FIRST_CALLS = 20, 20
ROW_ID = 900_001
ROW = {"id": ROW_ID, "title": "Tried out", "url": "https://contests.test/tried-out"}


def manners(lab: Lab) -> dict[str, Fact]:
    """Count connections for requests one after another, clients made; use each method once."""
    return {
        **_connections(lab),
        **asyncio.run(_first_use(lab)),
        **asyncio.run(_methods(lab)),
        **asyncio.run(_closing(lab)),
        **_loops(),
    }


def _connections(lab: Lab) -> dict[str, Fact]:
    """Ask one after another, so that no two need a connection at once."""
    url, headers = f"{lab.url}/rest/v1/contests?limit=1", {"apikey": lab.key}
    found: dict[str, Fact] = {"in_turn": IN_TURN}

    def counted(name: str, get: Any) -> None:
        lab.reset()
        for _ in range(IN_TURN):
            get(url, headers=headers).raise_for_status()
        found[name] = lab.witness().connections

    counted("in_turn_requests", requests.get)
    with requests.Session() as session:
        counted("in_turn_session", session.get)
    with httpx.Client(trust_env=False) as client:
        counted("in_turn_httpx", client.get)
    return found


async def _first_use(lab: Lab) -> dict[str, Fact]:
    """Look for the article's client before the first request and after many at once."""
    made = 0

    class Counting(ArticleSupabaseAsync):
        async def _get_client(self) -> httpx.AsyncClient:
            nonlocal made
            had = self._client
            client = await super()._get_client()
            made += client is not had
            return client

    async with Counting(lab.url, lab.key) as db:
        before = made
        await asyncio.gather(*(db.select("contests", limit=1) for _ in range(FIRST_CALLS)))
    return {"clients_before": before, "clients_made": made, "clients_calls": FIRST_CALLS}


async def _methods(lab: Lab) -> dict[str, Fact]:
    """Read, insert, update and delete a row: each goes through the article's one ``_request``."""
    async with ArticleSupabaseAsync(lab.url, lab.key) as db:
        mine: dict[str, int] = {"id": ROW_ID}
        wrote = await db.insert("contests", ROW)
        changed = await db.update("contests", {"host": "nobody"}, filters=mine)
        read = await db.select("contests", filters=mine)
        gone = await db.delete("contests", filters=mine)
    good = [len(wrote) == 1, len(changed) == 1, [row["host"] for row in read] == ["nobody"], len(gone) == 1]
    return {"methods": len(good), "methods_good": sum(good)}


async def _closing(lab: Lab) -> dict[str, Fact]:
    """Leave both clients' ``async with``, once by an exception, and look what stays open."""
    left: list[bool] = []
    for error in (None, LookupError()):
        db = ArticleSupabaseAsync(lab.url, lab.key)
        try:
            async with db:
                await db.select("contests", limit=1)
                if error:
                    raise error
        except LookupError:
            pass
        left.append(db._client is None or not db._client.is_closed)
    async with FakeSupabaseAsync(lab.url, lab.key) as fake:
        await asyncio.gather(*(fake.select("contests", limit=1) for _ in range(FIRST_CALLS)))
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
    return {"open_after_close": sum(left), "threads_after_close": len(threads)}


def _loops() -> dict[str, Fact]:
    """Call ``asyncio.get_event_loop`` in a coroutine and in another thread, where no loop runs."""

    async def inside() -> bool:
        return asyncio.get_event_loop() is asyncio.get_running_loop()

    same = asyncio.run(inside())
    # A thread of its own: no loop was ever set there.
    with ThreadPoolExecutor(1) as pool:
        outside = pool.submit(_outside).result()
    return {"loop_inside_is_running": same, "loop_outside": outside}


def _outside() -> str:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            asyncio.get_event_loop().close()
        except RuntimeError as error:
            return type(error).__name__
    return said[0].category.__name__ if said else "ok"
