"""httpx's transport on aiohttp's connections: an httpx request flows in, an httpx response or error flows out.

A module of its own because importing aiohttp doubles the time of an import; ``fast_transport`` loads it.
"""

from __future__ import annotations

import ssl
from functools import partial

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from supalab.clients.transports import tls
from supalab.settings import Settings

__all__ = ["OverAiohttp"]

#: Seconds an idle connection is kept; below the 60 to 75 s after which common servers and gateways hang up.
KEEP_ALIVE = 30.0
#: Bytes in a header: PostgREST repeats the whole query in Content-Location, and a long in.(…) is longer than aiohttp's
#: usual 8,190.
LONGEST_HEADER = 256 * 1024
# httpx-aiohttp 0.2 calls every lost connection a ConnectTimeout, and lets some of aiohttp's own errors through.
# Whether a connection was made decides whether a write may have been applied, so here is the exact map; first match.
MEANING: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientConnectionError, httpx.ReadError),
    (aiohttp.ClientError, httpx.RemoteProtocolError),
)


class OverAiohttp(AiohttpTransport):
    """At most ``settings.limit`` connections, all of them kept; no cookies, no redirects, nothing sent twice."""

    def __init__(self, settings: Settings) -> None:
        # A plain http:// address needs no certificates, and loading them is most of the cost of making a client.
        secure = settings.url.startswith("https")
        super().__init__(verify=tls(settings) if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=False)
        self.client = partial(_session, settings.limit, self.ssl_context)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; raises httpx's errors, whatever went wrong below."""
        try:
            return await super().handle_async_request(request)
        except (httpx.TransportError, aiohttp.ClientError) as error:
            found = _meant(error, request)
        raise found


def _meant(error: Exception, request: httpx.Request) -> Exception:
    """httpx's word for an error of aiohttp's, or of httpx-aiohttp's about one."""
    cause = error.__cause__ if isinstance(error.__cause__, aiohttp.ClientError) else error
    meant = next((ours for theirs, ours in MEANING if isinstance(cause, theirs)), None)
    if meant is None:
        return error
    if isinstance(cause, aiohttp.ClientResponseError):
        found = meant(cause.message, request=request)
        found.__cause__ = cause.__cause__  # it would show all headers of the request, the key among them
        return found
    found = meant(str(cause) or type(cause).__name__, request=request)
    found.__cause__ = cause
    return found


def _session(limit: int, context: ssl.SSLContext) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=limit, ssl=context, keepalive_timeout=KEEP_ALIVE)
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),  # one caller's session must not become another's
        trust_env=False,
        max_line_size=LONGEST_HEADER,
        max_field_size=LONGEST_HEADER,
    )
    # aiohttp sends a DELETE again when a kept connection breaks; a write is never sent twice. It has no public switch.
    session._retry_connection = False
    return session
