"""Plausible wrong answers for the exercise of notebook 12, and a piece of what each must be told."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import requests

from supalab.clients.fake import NO_PROXIES


class LooksAsync:
    """The client that the notebook shows: a thread, a lock, and a new connection for each request."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._headers = f"{url}/rest/v1", {"apikey": key}
        self._order = asyncio.Lock()

    async def select(self, table: str) -> Any:
        """Return ten rows of a table."""
        async with self._order:
            return await self._fetch(f"{self._url}/{table}?limit=10")

    async def _fetch(self, address: str) -> Any:
        response = await asyncio.to_thread(self._get, address)
        response.raise_for_status()
        return response.json()

    def _get(self, address: str) -> requests.Response:
        return requests.get(address, headers=self._headers, proxies=NO_PROXIES, timeout=30)


class InAPoolOfFour(LooksAsync):
    """The lock is gone, the threads are not; four, because the default pool may have more than ten."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, key)
        self._pool = ThreadPoolExecutor(4)

    async def select(self, table: str) -> Any:
        address = f"{self._url}/{table}?limit=10"
        return (await asyncio.get_running_loop().run_in_executor(self._pool, self._get, address)).json()

    async def aclose(self) -> None:
        self._pool.shutdown(wait=False)


class Blocks(LooksAsync):
    async def _fetch(self, address: str) -> Any:
        return self._get(address).json()


class Good:
    def __init__(self, url: str, key: str) -> None:
        self._url = f"{url}/rest/v1"
        self._client = httpx.AsyncClient(headers={"apikey": key}, trust_env=False)
        self._order = asyncio.Lock()

    async def _ask(self, table: str) -> Any:
        return (await self._client.get(f"{self._url}/{table}?limit=10")).json()

    async def select(self, table: str) -> Any:
        return await self._ask(table)

    async def aclose(self) -> None:
        await self._client.aclose()


class KeepsTheLock(Good):
    async def select(self, table: str) -> Any:
        async with self._order:
            return await self._ask(table)


class ReadsCertificatesEachTime(Good):
    """As a client that is created in each call; the pause stands for the certificates, so that it always shows."""

    async def select(self, table: str) -> Any:
        time.sleep(0.05)  # the mistake
        return await self._ask(table)


class DialsEachTime(LooksAsync):
    async def select(self, table: str) -> Any:
        async with httpx.AsyncClient(headers=self._headers, trust_env=False, verify=False) as client:
            return (await client.get(f"{self._url}/{table}?limit=10")).json()


class ForgetsAwait(Good):
    async def select(self, table: str) -> Any:
        return self._client.get(f"{self._url}/{table}?limit=10").json()  # type: ignore[attr-defined]


class ReturnsACoroutine(Good):
    async def select(self, table: str) -> Any:
        return self._ask(table)


class AllRows(Good):
    async def select(self, table: str) -> Any:
        return (await self._client.get(f"{self._url}/{table}")).json()


class SaysNothing(Good):
    async def select(self, table: str) -> Any:
        await self._ask(table)


_kept: list[Any] = []


class NeverCloses(Good):
    async def aclose(self) -> None:
        _kept.append(self)


class PlainMethod(LooksAsync):
    def select(self, table: str) -> Any:  # the async is forgotten, as it may be
        return requests.get(f"{self._url}/{table}", headers=self._headers, proxies={"http": "", "https": ""}).json()


WRONG: dict[str, tuple[tuple[Any, str], ...]] = {
    "12a": (
        (LooksAsync, "A thread still waits"),
        (InAPoolOfFour, "4 at once is the size of its thread pool"),
        (Blocks, "the whole loop is blocked"),
        (KeepsTheLock, "wait for one another"),
        (ReadsCertificatesEachTime, "reads the certificates again"),
        (DialsEachTime, "It opens a connection for each request"),
        (NeverCloses, "aclose must close"),
        (PlainMethod, "a plain def where an async def is meant"),
        (ForgetsAwait, "an await is missing"),
        (ReturnsACoroutine, "an await is missing in it"),
        (AllRows, "?limit=10"),
        (SaysNothing, "select must return ten rows"),
    ),
}
