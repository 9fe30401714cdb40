"""The article's "before": ``async def`` on the outside, ``requests`` in a few threads on the inside. Fake async.

Its faults are kept because the course teaches them: no more requests in flight than threads; a new connection for every
request; cancelling a caller stops neither the thread nor the server; ``timeout`` limits each gap between bytes, not the
whole request.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from supalab.clients.base import Client
from supalab.replies import Reply
from supalab.wire import Call

# By default, requests lets ~/.netrc replace our Authorization header and sends even loopback traffic to HTTP_PROXY.
NO_PROXIES = {"http": "", "https": ""}


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class FakeSupabaseAsync(Client):
    """The client to migrate from: at most ``limit`` requests at once, each in a thread with its own connection."""

    def __init__(self, url: str, key: str | None, *, limit: int = 3, **options: Any) -> None:
        super().__init__(url, key, limit=limit, **options)
        self._executor = ThreadPoolExecutor(max_workers=limit)

    async def _request(self, call: Call) -> Reply:
        loop = asyncio.get_event_loop()  # as in the article; today one writes get_running_loop()
        return await loop.run_in_executor(self._executor, self._send, call)

    def _send(self, call: Call) -> Reply:
        call.started()
        r = requests.request(
            call.method,
            self._base + call.target,
            headers={**self._headers, **call.headers},
            data=call.body,
            timeout=self._settings.timeout,
            verify=self._settings.ca_file or True,
            allow_redirects=False,
            auth=_no_netrc,
            proxies=NO_PROXIES,
        )
        r.raise_for_status()
        return Reply(r.status_code, r.headers, r.content)

    async def aclose(self) -> None:
        """Drop the requests that still wait, and let the threads finish their requests; nothing can stop those."""
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)
