"""Fake async with one thing changed: the threads share a ``requests.Session``, so connections are used again.

The fair control for "no pooling with threads": it differs from ``fake.py`` in nothing but that.
"""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import HTTPAdapter

from supalab.clients.fake import FakeSupabaseAsync
from supalab.replies import Reply
from supalab.settings import Settings
from supalab.wire import Call

__all__ = ["SessionSupabaseAsync"]


class SessionSupabaseAsync(FakeSupabaseAsync):
    """Threads and ``requests`` as before, with connections kept open between requests."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        limit: int = 3,
        timeout: float = 30.0,
        ca_file: str | None = None,
        rest_path: str = "/rest/v1",
    ) -> None:
        super().__init__(url, key, limit=limit, timeout=timeout, ca_file=ca_file, rest_path=rest_path)
        self._session = _session(self._settings)

    def _send(self, call: Call) -> Reply:
        call.started()
        r = self._session.request(
            call.method,
            self._base + call.target,
            headers={**self._headers, **call.headers},
            data=call.body,
            timeout=self._settings.timeout,
            allow_redirects=False,
        )
        r.raise_for_status()
        return Reply(r.status_code, r.headers, r.content)

    async def aclose(self) -> None:
        """As before, and then close the connections."""
        await super().aclose()
        self._session.close()


def _session(settings: Settings) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # shared by threads: nothing to mix up
    session.verify = settings.ca_file or True
    # The default pool keeps 10: with more threads than that it would drop and redial.
    session.mount(settings.url, HTTPAdapter(pool_maxsize=settings.limit))
    return session
