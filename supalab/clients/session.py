"""Fake async with one change: the threads share a ``requests.Session``, so connections are reused.

The control for the claim "no pooling with threads": this is its only difference from ``fake.py``.
"""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from supalab.clients.fake import FakeSupabaseAsync
from supalab.replies import Reply
from supalab.wire import Call


class SessionSupabaseAsync(FakeSupabaseAsync):
    """Threads and ``requests`` as before, with connections kept open between requests."""

    def __init__(self, url: str, key: str | None, **options: Any) -> None:
        super().__init__(url, key, **options)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = self._settings.ca_file or True
        # The threads share it, so it keeps no cookies that one caller could send for another.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # The default pool keeps 10: with more threads it would close connections and open new ones.
        self._session.mount(self._settings.url, HTTPAdapter(pool_maxsize=self._settings.limit))

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
        """Close the threads as in ``fake.py``, and then the connections."""
        await super().aclose()
        self._session.close()
