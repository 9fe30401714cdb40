"""Waiting, tried out: a slow lab goes in; who was answered after callers left, queued or came in a crowd comes out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx

from supalab.clients.article import ArticleSupabaseAsync
from supalab.clients.base import Client
from supalab.clients.fake import FakeSupabaseAsync
from supalab.lab.handle import Lab
from supalab.measure.claims.evidence import Fact

__all__ = ["crowd", "waiting"]

# Callers leave soon after their requests have begun, and long before these end.
LEAVE_AT = 0.15
# With one slot and a timeout of 1.8 latencies, the third in the queue waits for its slot longer than that.
QUEUED, PATIENCE = 4, 1.8
CROWD = 150


async def waiting(lab: Lab, latency: float) -> dict[str, Fact]:
    """Cancel callers of both clients and ask once more; queue for one slot with a timeout. All at once."""
    fake, article, fake_queue, article_queue = await asyncio.gather(
        _next_answer(FakeSupabaseAsync(lab.url, lab.key, limit=3), latency),
        _next_answer(ArticleSupabaseAsync(lab.url, lab.key, limit=3), latency),
        _queue(FakeSupabaseAsync(lab.url, lab.key, limit=1, timeout=PATIENCE * latency)),
        _queue(ArticleSupabaseAsync(lab.url, lab.key, limit=1, timeout=PATIENCE * latency)),
    )
    return {
        "left_latency_s": latency,
        "left_next_fake_s": round(fake, 3),
        "left_next_article_s": round(article, 3),
        "queue_asked": QUEUED,
        "queue_timeout_s": PATIENCE * latency,
        "queue_answered_fake": fake_queue.count("ok"),
        "queue_answered_article": article_queue.count("ok"),
        "queue_error_article": next((name for name in article_queue if name != "ok"), "ok"),
    }


async def crowd(lab: Lab) -> dict[str, Fact]:
    """Ask httpx as it comes for more at once than its default pool has connections; the lab counts."""
    async with httpx.AsyncClient(headers={"apikey": lab.key}, timeout=60, trust_env=False) as client:
        url = f"{lab.url}/rest/v1/contests?limit=1"
        answers = await asyncio.gather(*(client.get(url) for _ in range(CROWD)))
    found = await asyncio.to_thread(lab.witness)
    return {"crowd": CROWD, "crowd_answered": sum(r.is_success for r in answers), "crowd_peak": found.peak}


async def _next_answer(db: Client, latency: float) -> float:
    """Take all slots, let those callers leave, and return the seconds that one more waits for its answer."""
    async with db:
        first = [asyncio.create_task(db.select("contests", limit=1)) for _ in range(3)]
        await asyncio.sleep(LEAVE_AT * latency)
        for task in first:
            task.cancel()
        await asyncio.wait(first)
        return await _timed(lambda: db.select("contests", limit=1))


async def _timed(ask: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await ask()
    return time.perf_counter() - began


async def _queue(db: Client) -> list[str]:
    async with db:
        answers = await asyncio.gather(*(db.select("contests", limit=1) for _ in range(QUEUED)), return_exceptions=True)
    return [type(answer).__name__ if isinstance(answer, BaseException) else "ok" for answer in answers]
