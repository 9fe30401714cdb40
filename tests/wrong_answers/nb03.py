"""Plausible wrong answers for the exercise of notebook 03, and a piece of what they must be told."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx


class Common:
    def __init__(self, url: str, key: str, limit: int = 10) -> None:
        self._base = f"{url}/rest/v1"
        self._headers = {"apikey": key, "Authorization": f"Bearer {key}"}
        self._limit = limit
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def _new(self, **other: Any) -> httpx.AsyncClient:
        options = {"headers": self._headers, "limits": httpx.Limits(max_connections=self._limit)} | other
        return httpx.AsyncClient(**options)

    async def _get_client(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client, self._loop = self._new(), loop
        return self._client

    async def select(self, table: str) -> Any:
        client = await self._get_client()
        answer = await client.get(f"{self._base}/{table}", params={"limit": 10})
        answer.raise_for_status()
        return answer.json()


class AtOnce(Common):
    """Creates the client in __init__, as most people write it first."""

    def __init__(self, url: str, key: str, limit: int = 10) -> None:
        super().__init__(url, key, limit)
        self._client = self._new()

    async def _get_client(self) -> Any:
        return self._client


class AsPrinted(Common):
    """The article's version: lazy, and unaware of event loops."""

    async def _get_client(self) -> Any:
        if self._client is None:
            self._client = self._new()
        return self._client


class AwaitBetween(Common):
    """An await before the assignment, to get the headers."""

    async def _get_client(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            await asyncio.sleep(0.001)
            self._client, self._loop = self._new(), loop
        return self._client


class EachTime(Common):
    async def _get_client(self) -> Any:
        return self._new()


class WithoutLimits(Common):
    def _new(self, **other: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(headers=self._headers)


class WithoutHeaders(Common):
    def _new(self, **other: Any) -> httpx.AsyncClient:
        return super()._new(headers={})


class ReturnsOnlyTheFirst(Common):
    async def _get_client(self) -> Any:
        if self._client is None:
            self._client = self._new()
            return self._client
        return None


class LockOfOneLoop(Common):
    """A lock keeps other callers out, but it belongs to one loop itself."""

    def __init__(self, url: str, key: str, limit: int = 10) -> None:
        super().__init__(url, key, limit)
        self._lock = asyncio.Lock()

    async def _get_client(self) -> Any:
        async with self._lock:
            if self._client is None:
                self._client = self._new()
            return self._client


class LoopNeverRemembered(Common):
    async def _get_client(self) -> Any:
        if self._client is None or self._loop is not asyncio.get_running_loop():
            self._client = self._new()
        return self._client


class ClosesTheOldOne(Common):
    """Closes the old client, but its loop has already ended."""

    async def _get_client(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            if self._client is not None:
                await self._client.aclose()
            self._client, self._loop = self._new(), loop
        return self._client


class OneThatBlocks(Common):
    def _new(self, **other: Any) -> Any:
        return httpx.Client(headers=self._headers, limits=httpx.Limits(max_connections=self._limit))


class NotAsyncAnyMore(Common):
    def _get_client(self) -> Any:  # type: ignore[override]
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client, self._loop = self._new(), loop
        return self._client


class ALimitThatIsANumber(Common):
    def _new(self, **other: Any) -> httpx.AsyncClient:
        return super()._new(limits=self._limit)


class LoopFirst(Common):
    """The loop is stored before the client is created, so later callers get None after the first one's error."""

    async def _get_client(self) -> Any:
        if self._loop is not asyncio.get_running_loop():
            self._loop = asyncio.get_running_loop()
            self._client = await self._made()
        return self._client

    async def _made(self) -> httpx.AsyncClient:
        return self._new(limits=self._limit)


class UnknownArgument(LoopFirst):
    async def _made(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(headers=self._headers, max_connections=self._limit)  # type: ignore[call-arg]


class AwaitsAClient(LoopFirst):
    async def _made(self) -> Any:
        return await self._new()  # type: ignore[misc]


class SecondLoopNeverStored(Common):
    async def _get_client(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._client is None:
            self._client, self._loop = self._new(), loop
        if self._loop is not loop:
            self._client = self._new()
        return self._client


WRONG: dict[str, tuple[tuple[Any, str], ...]] = {
    "03a": (
        (AtOnce, "Leave it at None there"),
        (AsPrinted, "Remember the loop"),
        (AwaitBetween, "Is there an await between the two?"),
        (EachTime, "keep the first in self._client"),
        (WithoutLimits, "takes up to 100"),
        (LockOfOneLoop, "Remember the loop"),
        (ReturnsOnlyTheFirst, "without a return"),
        (WithoutHeaders, "which hold the key"),
        (LoopNeverRemembered, "self._loop was never set"),
        (ClosesTheOldOne, "it can no longer be closed"),
        (OneThatBlocks, "the client that you can await is httpx.AsyncClient"),
        (NotAsyncAnyMore, "it must stay `async def`"),
        (ALimitThatIsANumber, "takes an object, not a number"),
        (LoopFirst, "takes an object, not a number"),
        (UnknownArgument, "Your code raised an error"),
        (AwaitsAClient, "You await something that is not a coroutine"),
        (SecondLoopNeverStored, "Store the new loop"),
    ),
}
