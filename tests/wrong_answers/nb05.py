"""Plausible wrong answers for the exercises of notebook 05, and a piece of what each must be told."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from supalab.clients.article import ArticleSupabaseAsync
from supalab.clients.fake import FakeSupabaseAsync
from supalab.clients.real import SupabaseAsync
from supalab.course.small import SmallClient


class Good(SmallClient):
    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> Any:
        await self.close()


class ReturnsNothing(Good):
    async def __aenter__(self) -> Any:
        pass


class NeverCloses(Good):
    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> Any:
        pass


class Swallows(Good):
    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> Any:
        await self.close()
        return True


class ClosesInGoodTimesOnly(Good):
    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> Any:
        if error is None:
            await self.close()


class DoesNotLook(Good):
    async def close(self) -> None:
        await self._client.aclose()  # type: ignore[union-attr]


class OpensAgain(Good):
    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
        self._client = None


class CallsItClose(Good):
    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()  # type: ignore[attr-defined]


class ClosesAfterErrorsOnly(Good):
    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> Any:
        if error is not None:
            await self.close()


class NotAsync(Good):
    def __aenter__(self) -> Any:
        return self


class TakesNothing(Good):
    async def __aexit__(self) -> Any:  # type: ignore[override]
        await self.close()


async def _leave(db: Any, *, pause: float = 0.1) -> float:
    tasks = [asyncio.create_task(db.select("contests", limit=1)) for _ in range(3)]
    if pause:
        await asyncio.sleep(pause)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    began = time.perf_counter()
    await db.select("contests", limit=1)
    return time.perf_counter() - began


async def with_threads(url: str, key: str) -> float:
    async with FakeSupabaseAsync(url, key, limit=3) as db:
        return await _leave(db)


async def with_more_threads(url: str, key: str) -> float:
    async with FakeSupabaseAsync(url, key, limit=10) as db:
        return await _leave(db)


async def at_once(url: str, key: str) -> float:
    async with SupabaseAsync(url, key, limit=3) as db:
        return await _leave(db, pause=0.0)


async def waits_for_all(url: str, key: str) -> float:
    async with SupabaseAsync(url, key, limit=3) as db:
        await asyncio.gather(*(db.select("contests", limit=1) for _ in range(3)))
        began = time.perf_counter()
        await db.select("contests", limit=1)
        return time.perf_counter() - began


async def has_slots_to_spare(url: str, key: str) -> float:
    async with SupabaseAsync(url, key) as db:
        return await _leave(db)


async def says_nothing(url: str, key: str) -> None:
    async with SupabaseAsync(url, key, limit=3) as db:
        await _leave(db)


async def warms_up(url: str, key: str) -> float:
    async with SupabaseAsync(url, key, limit=3) as db:
        await db.select("contests", limit=1)
        return await _leave(db)


async def gathers_what_it_cancelled(url: str, key: str) -> None:
    async with SupabaseAsync(url, key, limit=3) as db:
        tasks = [asyncio.create_task(db.select("contests", limit=1)) for _ in range(3)]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def catches_no_timeout(url: str, key: str) -> None:
    async with SupabaseAsync(url, key, limit=3) as db, asyncio.timeout(0.1):
        await asyncio.gather(*(db.select("contests", limit=1) for _ in range(3)))


async def makes_no_tasks(url: str, key: str) -> None:
    async with SupabaseAsync(url, key, limit=3) as db:
        reads = [db.select("contests", limit=1) for _ in range(3)]
        for read in reads:
            read.cancel()  # type: ignore[attr-defined]


async def never_asks_again(url: str, key: str) -> float:
    async with SupabaseAsync(url, key, limit=3) as db:
        tasks = [asyncio.create_task(db.select("contests", limit=1)) for _ in range(3)]
        await asyncio.wait(tasks)
        return 0.4


async def asks_elsewhere(url: str, key: str) -> float:
    return 0.4


_kept: list[Any] = []


async def leaves_it_open(url: str, key: str) -> float:
    _kept.append(ArticleSupabaseAsync(url, key, limit=3))
    # Creating its httpx client reads certificates, which takes long on a busy machine: so this is done first.
    await _kept[-1]._get_client()
    return await _leave(_kept[-1])


class RaisesWhatIsNotThere(SmallClient):
    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def __aenter__(self) -> RaisesWhatIsNotThere:
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        await self.close()
        raise error


async def cancels_the_list(url: str, key: str) -> Any:
    async with SupabaseAsync(url, key, limit=3) as db:
        callers = [asyncio.create_task(db.select("contests", limit=1)) for _ in range(3)]
        await asyncio.sleep(0.1)
        callers.cancel()  # type: ignore[attr-defined]


WRONG: dict[str, tuple[tuple[Any, str], ...]] = {
    "05a": (
        (ReturnsNothing, "return self"),
        (NeverCloses, "its socket is still open"),
        (Swallows, "swallows the error of the block"),
        (ClosesInGoodTimesOnly, "Close in any case"),
        (DoesNotLook, "there is nothing to close"),
        (OpensAgain, "which nobody will close"),
        (CallsItClose, "its own method is aclose()"),
        (ClosesAfterErrorsOnly, "with an error in the block or without"),
        (NotAsync, "all three must exist and be async def"),
        (TakesNothing, "three values in addition to self"),
        (RaisesWhatIsNotThere, "Your code raised an error"),
    ),
    "05b": (
        (with_threads, "a thread cannot be cancelled"),
        (with_more_threads, "a thread cannot be cancelled"),
        (at_once, "cancelled before it ever ran"),
        (waits_for_all, "No client disconnected"),
        (has_slots_to_spare, "Open the client with limit=3"),
        (says_nothing, "how many seconds the last read took"),
        (leaves_it_open, "still open"),
        (warms_up, "cancel_three begins with a read of its own"),
        (gathers_what_it_cancelled, "asyncio.wait waits for it and raises nothing"),
        (catches_no_timeout, "The timeout cancelled the reads"),
        (makes_no_tasks, "asyncio.create_task starts it"),
        (cancels_the_list, "Your code raised an error"),
        (never_asks_again, "an await before its select"),
        (asks_elsewhere, "the url and key that your function receives"),
    ),
}
