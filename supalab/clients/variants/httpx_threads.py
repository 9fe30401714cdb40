"""httpx without async: a ``Call`` goes to a thread, a shared ``httpx.Client`` sends it, its ``Reply`` comes back.

It stands between ``session.py``, which has another library, and ``article.py``, which has no threads: the same
library with the same pool, called the other way.
"""

from __future__ import annotations

import httpx

from supalab.clients.fake import FakeSupabaseAsync
from supalab.clients.transports import tls
from supalab.replies import Reply
from supalab.settings import Settings
from supalab.wire import Call

__all__ = ["HttpxInThreads"]


class HttpxInThreads(FakeSupabaseAsync):
    """Threads as in ``fake.py``, which share one ``httpx.Client`` with the article's limits."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        limit: int = 10,
        timeout: float = 30.0,
        ca_file: str | None = None,
        rest_path: str = "/rest/v1",
    ) -> None:
        super().__init__(url, key, limit=limit, timeout=timeout, ca_file=ca_file, rest_path=rest_path)
        self._client = _client(self._settings)

    def _send(self, call: Call) -> Reply:
        call.started()
        r = self._client.request(call.method, self._base + call.target, headers=call.headers, content=call.body)
        r.raise_for_status()
        return Reply(r.status_code, r.headers, r.content)

    async def aclose(self) -> None:
        """Let the threads finish what they have begun, then close the connections."""
        await super().aclose()
        self._client.close()


def _client(settings: Settings) -> httpx.Client:
    return httpx.Client(
        headers=settings.headers,
        timeout=settings.timeout,
        limits=httpx.Limits(max_connections=settings.limit, max_keepalive_connections=settings.limit // 2),
        verify=tls(settings),
        trust_env=False,
    )
