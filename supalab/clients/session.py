"""Fake async with one change: the threads share a ``requests.Session``, so connections are reused.

The control for the claim "no pooling with threads": this is its only difference from ``fake.py``.
"""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from supalab.clients.fake import FakeSupabaseAsync

__all__ = ["SessionSupabaseAsync"]


class SessionSupabaseAsync(FakeSupabaseAsync):
    """Threads and ``requests`` as before, with connections kept open between requests."""

    def __init__(self, url: str, key: str | None, **options: Any) -> None:
        super().__init__(url, key, **options)
        self._http = requests.Session()
        self._http.trust_env = False
        # The threads share it, so it keeps no cookies that one caller could send for another.
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # The default pool keeps 10: with more threads it would close connections and open new ones.
        self._http.mount(self._settings.url, HTTPAdapter(pool_maxsize=self._settings.limit))

    async def aclose(self) -> None:
        """As before, and then close the connections."""
        await super().aclose()
        self._http.close()
