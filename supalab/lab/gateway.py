"""The responses of Supabase's API gateway, which checks keys, hosts, CORS and limits before PostgREST. Pure.

Bodies are ``{"message", "hint"}`` or ``{"message"}`` without PostgREST's other keys, as reported from real projects
(github.com/writingmate/chatlabs issue 118, github.com/mmvergara/supadart issue 185).
"""

from __future__ import annotations

import hmac
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from supalab.lab.postgrest.http import Answer
from supalab.lab.postgrest.refusal import JSON_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BASE = b"/rest/v1"
RETRY = ("Retry-After", "1")


def json_answer(status: int, values: Mapping[str, object], *more: tuple[str, str]) -> Answer:
    """Return an answer with ``values`` as its JSON body."""
    return Answer(status, (("Content-Type", JSON_TYPE), *more), json.dumps(values).encode())


def message(status: int, words: str, *more: tuple[str, str], **values: object) -> Answer:
    """Return a response with one message, and optionally ``more`` headers and other ``values``."""
    return json_answer(status, {"message": words, **values}, *more)


NO_KEY = message(401, "No API key found in request", hint="No `apikey` request header or url param was found.")
WRONG_KEY = message(401, "Invalid API key", hint="Double check your Supabase `anon` or `service_role` API key.")
NO_ROUTE = message(404, "no Route matched with those values")
#: The answer to a request that did not end before the server stopped.
STOPPING = message(503, "The server is shutting down", RETRY)
#: The answer because of the error rate: PostgREST's words for a database that it cannot reach.
SPOILED = message(
    503,
    "Database client error. Retrying the connection.",
    code="PGRST001",
    details=None,
    hint="The lab fails some requests on purpose: its error rate is above 0.",
)
#: The response when the lab has a bug; it reveals no internals.
INTERNAL_ERROR = message(500, "An unexpected error happened", code="XX000", details=None, hint=None)


def too_large(limit: int) -> Answer:
    """Return the refusal of a body larger than ``limit`` bytes."""
    return message(413, f"Request size limit exceeded: a body may have {limit} bytes")


def too_busy(limit: int) -> Answer:
    """Return the refusal of a request when ``limit`` requests are in flight."""
    return message(503, f"Too many requests in flight: this server takes {limit} at once", RETRY)


# Pages in a browser

#: Pages that were served by this machine; other pages may not use the lab.
LOOPBACK = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)
# Headers that scripts in a page may read, as PostgREST lists them.
EXPOSED = (
    "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, Transfer-Encoding, "
    "Range-Unit, Preference-Applied, Retry-After"
)
ALLOWED = (
    "apikey, authorization, accept-profile, content-profile, content-type, prefer, range, range-unit, x-client-info"
)


def cors_headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the CORS headers that a browser needs for a page of this machine; none for other callers."""
    origin = headers.get("origin")
    if origin is None or not LOOPBACK.fullmatch(origin):
        return ()
    return ("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", EXPOSED), ("Vary", "Origin")


def preflight(method: str, headers: Mapping[str, str]) -> Answer | None:
    """Return the response to a CORS preflight, which has no key; None if the request is not a preflight.

    It allows pages of this machine, every method, and the headers that the page wants to send.
    """
    if method != "OPTIONS" or "origin" not in headers or "access-control-request-method" not in headers:
        return None
    if not cors_headers(headers):
        return message(
            403, f"a page from {headers['origin'][:100]!r} may not send requests: serve the page from http://localhost"
        )
    allowed = (
        ("Access-Control-Allow-Methods", "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS"),
        ("Access-Control-Allow-Headers", headers.get("access-control-request-headers") or ALLOWED),
        ("Access-Control-Max-Age", "3600"),
    )
    return Answer(200, allowed, b"")


# Access


def headers_of(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name; a repeated one is joined with commas, as in RFC 9110 (5.3)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


class Gate:
    """The access rules: the host names that a request may use and the key that it needs."""

    def __init__(self, port: int, key: str) -> None:
        names = ("127.0.0.1", "localhost")
        self._hosts = {f"{name}:{port}" for name in names} | (set(names) if port in {80, 443} else set())
        self._port, self._key = port, key.encode()

    def wrong_host(self, headers: Mapping[str, str]) -> Answer | None:
        """Return the refusal of a request for another host name (DNS rebinding by a page), or None.

        ``localhost`` is allowed: browsers always resolve it to this machine.
        """
        host = headers.get("host", "")
        if host.lower() in self._hosts:
            return None
        return message(400, f"Host {host[:100]!r} is not this server: use http://127.0.0.1:{self._port} instead")

    def refusal(self, headers: Mapping[str, str], query: str) -> Answer | None:
        """Return the 401 response for a missing or wrong key, or None.

        The ``apikey`` header decides, else the parameter of that name, else a Bearer token; with a valid key, the
        gateway does not check a user's own token.
        """
        shown = headers.get("apikey")
        if shown is None and "apikey=" in query:
            keys = [part[7:] for part in query.split("&") if part.startswith("apikey=")]
            shown = unquote_plus(keys[0]) if keys else None
        if shown is None:
            scheme, _, token = headers.get("authorization", "").partition(" ")
            shown = token.strip() if scheme.lower() == "bearer" else None
        if not shown:
            return NO_KEY
        return None if hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), self._key) else WRONG_KEY


def without_key(query: str) -> str:
    """Return the raw query without the parameter that contains a key."""
    if "apikey=" not in query:
        return query
    return "&".join(part for part in query.split("&") if not part.startswith("apikey="))
