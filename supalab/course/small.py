"""The smallest client of the three migration steps: it returns rows or raises ApiError.

Notebooks 04 and 05 extend it: it can read, but it cannot yet write (04) or close (05). Learners add these parts.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from supalab import replies
from supalab.wire import Row


class SmallClient:
    """A client that sends everything through ``_request`` and has one method; the learner adds the others.

    Its httpx client is made at the first request, as in step 1, and is not closed yet.
    """

    def __init__(self, url: str, key: str) -> None:
        self._base = f"{url}/rest/v1"
        self._headers = {"apikey": key, "Authorization": f"Bearer {key}"}
        self._client: httpx.AsyncClient | None = None

    def _get_client(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(headers=self._headers, verify=_tls(), trust_env=False)
        return self._client

    async def _request(
        self,
        method: str,
        table: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Row | Sequence[Row] | None = None,
        prefer: str | None = None,
    ) -> list[Row]:
        headers = {"Prefer": prefer} if prefer else {}
        response = await self._get_client().request(
            method, f"{self._base}/{table}", params=params, json=json, headers=headers
        )
        # An error status raises ApiError here.
        found: Any = replies.value(replies.Reply(response.status_code, response.headers, response.content))
        return found or []  # no body: the rows were not asked for

    async def select(self, table: str, **params: str) -> list[Row]:
        """Return rows: ``select("contests", limit="3")``. Raises ApiError."""
        return await self._request("GET", table, params=params)


@functools.cache
def _tls() -> ssl.SSLContext:
    # Reading the certificate authorities takes a tenth of a second; a notebook that creates twenty clients does it
    # once.
    return httpx.create_ssl_context(trust_env=False)
