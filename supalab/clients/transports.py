"""What stands under an httpx client: settings flow in, a transport or a TLS context flows out.

``fast_transport`` keeps httpx's API on aiohttp's connections, which cost a fraction of the CPU of httpx's own pool
and do not slow down as it grows (measured: ``data/reference``).
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import httpx

from supalab.errors import SettingsError
from supalab.settings import Settings
from supalab.wire import Call, nobody_is_watching

__all__ = ["Transport", "aiohttp_transport", "fast_transport", "httpx_transport", "tls", "watched"]

#: Makes the transport of a client; called on the client's event loop, at its first request.
Transport: TypeAlias = Callable[[Settings], httpx.AsyncBaseTransport]


def tls(settings: Settings) -> ssl.SSLContext | bool:
    """What to verify certificates against: the settings' own authorities, or True for httpx's default.

    Raises SettingsError for a file that holds none.
    """
    if settings.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise SettingsError(f"ca_file {settings.ca_file!r} cannot be read as PEM certificates: {error}") from error


def fast_transport() -> Transport:
    """The default: connections by aiohttp.

    They are imported now: at the top it would double the time of an import, on a running loop it would hold that up.
    """
    from supalab.clients.over_aiohttp import OverAiohttp

    return OverAiohttp


def aiohttp_transport(settings: Settings) -> httpx.AsyncBaseTransport:
    """The default's transport, for a client of one's own: ``httpx.AsyncClient(transport=…)``."""
    return fast_transport()(settings)


def httpx_transport(settings: Settings) -> httpx.AsyncBaseTransport:
    """httpx's own connections, with as many kept alive as may be open, so that none is dropped and redialled.

    For comparisons. A request that is cancelled at an unlucky moment can cost this pool a connection for ever, even
    behind the gate (httpcore 1.0.9, seen after some hundred cancellations); and at DEBUG, httpcore logs the headers
    that a server sends, whatever they repeat. The default has neither fault.
    """
    limits = httpx.Limits(max_connections=settings.limit, max_keepalive_connections=settings.limit)
    return httpx.AsyncHTTPTransport(verify=tls(settings), limits=limits, trust_env=False)


def watched(call: Call) -> dict[str, Any]:
    """The httpx extension that tells a watcher when the pool gives the request a connection; empty if none watches."""
    return {} if call.started is nobody_is_watching else {"trace": _first_sign_of_life(call.started)}


def _first_sign_of_life(started: Callable[[], None]) -> Callable[[str, dict[str, Any]], Awaitable[None]]:
    async def trace(event: str, info: dict[str, Any]) -> None:
        # Called for every step from dialling on; the watcher keeps the first.
        started()

    return trace
