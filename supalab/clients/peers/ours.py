"""Our own client with one thing changed: httpx's connections under it in place of aiohttp's. For comparison only."""

from __future__ import annotations

from typing import Any

from supalab.clients.real import SupabaseAsync
from supalab.clients.transports import httpx_transport

__all__ = ["RealOverHttpx"]


class RealOverHttpx(SupabaseAsync):
    """``SupabaseAsync`` over httpx's own transport: gate, deadline and errors as ever, so what differs is the pool."""

    def __init__(self, url: str, key: str | None, **options: Any) -> None:
        super().__init__(url, key, transport=httpx_transport, **options)
