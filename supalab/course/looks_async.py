"""A client that looks async: a lab's url and key flow in; every method is awaited, and nothing happens at once.

Notebook 12 shows it, probes it and has it mended. Its three faults are the lesson, so they stay: a thread waits for
each request, one caller waits for the other, and each request dials anew.
"""

from __future__ import annotations

import asyncio
from typing import Any

import requests

from supalab.clients.fake import NO_PROXIES

__all__ = ["LooksAsync"]


class LooksAsync:
    """Reads contests; all its methods are coroutines."""

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
