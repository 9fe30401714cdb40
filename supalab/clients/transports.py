"""What stands under an httpx client: settings → a transport or a TLS context; and what a failure down there means.

``aiohttp_transport`` keeps httpx's API on aiohttp's connections, which cost a fraction of the CPU of httpx's own pool
and do not slow down as it grows (measured: ``data/reference``).
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx

from supalab.settings import Settings
from supalab.wire import Call, nobody_is_watching

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Transport", "aiohttp_transport", "httpx_transport", "tls", "was_sent", "watched"]

#: Makes the transport of a client; called on the client's event loop, at its first request.
Transport: TypeAlias = Callable[[Settings], httpx.AsyncBaseTransport]
#: Seconds an idle connection is kept; below the 60 to 75 s after which common servers and gateways hang up.
KEEP_ALIVE = 30.0


def tls(settings: Settings) -> ssl.SSLContext | bool:
    """What to verify certificates against: the settings' own authorities, or True for httpx's default."""
    return ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else True


def aiohttp_transport(settings: Settings) -> httpx.AsyncBaseTransport:
    """The default: connections by aiohttp."""
    from httpx_aiohttp import AiohttpTransport  # here, because it doubles the time of an import

    # A plain http:// address needs no certificates, and loading them is most of the cost of making a client.
    verify = tls(settings) if settings.url.startswith("https") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    transport = AiohttpTransport(verify=verify, trust_env=False)
    transport.client = partial(_aiohttp_session, settings, transport.ssl_context)
    return transport


def _aiohttp_session(settings: Settings, context: ssl.SSLContext) -> aiohttp.ClientSession:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=settings.limit, ssl=context, keepalive_timeout=KEEP_ALIVE)
    # No cookies: one caller's session must not become another's.
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


def httpx_transport(settings: Settings) -> httpx.AsyncBaseTransport:
    """httpx's own connections, with as many kept alive as may be open, so that none is dropped and redialled."""
    limits = httpx.Limits(max_connections=settings.limit, max_keepalive_connections=settings.limit)
    return httpx.AsyncHTTPTransport(verify=tls(settings), limits=limits, trust_env=False)


def was_sent(error: BaseException) -> bool:
    """Whether a request may have reached the server before ``error``; False only when no connection was made."""
    import aiohttp

    # httpx-aiohttp 0.2 calls every lost connection a ConnectTimeout: only the cause tells them apart.
    if isinstance(error.__cause__, aiohttp.ClientError):
        return not isinstance(error.__cause__, aiohttp.ClientConnectorError)
    return not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol))


def watched(call: Call) -> dict[str, Any]:
    """The httpx extension that tells a watcher when the pool gives the request a connection; empty if none watches."""
    return {} if call.started is nobody_is_watching else {"trace": _first_sign_of_life(call.started)}


def _first_sign_of_life(started: Callable[[], None]) -> Callable[[str, dict[str, Any]], Awaitable[None]]:
    async def trace(event: str, info: dict[str, Any]) -> None:
        # Called for every step from dialling on; the watcher keeps the first.
        started()

    return trace
