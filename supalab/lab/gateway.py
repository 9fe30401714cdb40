"""Answers as Supabase's API gateway does before PostgREST is asked: keys, hosts, CORS, limits. Pure functions.

Bodies are ``{"message", "hint"}`` or ``{"message"}`` without PostgREST's other keys, as reported from real projects
(github.com/writingmate/chatlabs issue 118, github.com/mmvergara/supadart issue 185).
"""

from __future__ import annotations

import hmac
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from supalab.lab.messages import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "BASE",
    "NO_ROUTE",
    "Gate",
    "cors_headers",
    "headers_of",
    "internal_error",
    "json_answer",
    "preflight",
    "spoiled",
    "stopping",
    "too_busy",
    "too_large",
    "without_key",
]

BASE = b"/rest/v1"


def json_answer(status: int, values: Mapping[str, object], *more: tuple[str, str]) -> Answer:
    """Return an answer with ``values`` as its JSON body."""
    return Answer(status, (("Content-Type", "application/json; charset=utf-8"), *more), json.dumps(values).encode())


NO_KEY = json_answer(
    401,
    {"message": "No API key found in request", "hint": "No `apikey` request header or url param was found."},
)
WRONG_KEY = json_answer(
    401,
    {
        "message": "Invalid API key",
        "hint": "Double check your Supabase `anon` or `service_role` API key.",
    },
)
NO_ROUTE = json_answer(404, {"message": "no Route matched with those values"})


#: Pages that were served by this machine; any other page has no business here.
LOOPBACK = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)
# What scripts in a page may read, as PostgREST lists it.
EXPOSED = (
    "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, Transfer-Encoding, "
    "Range-Unit, Preference-Applied, Retry-After"
)
METHODS = "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS"
ALLOWED = (
    "apikey, authorization, accept-profile, content-profile, content-type, prefer, range, range-unit, x-client-info"
)
PREFLIGHT_S = "3600"


def cors_headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what a browser wants to see in any answer to a page of this machine; nothing for other callers."""
    origin = headers.get("origin")
    if origin is None or not LOOPBACK.fullmatch(origin):
        return ()
    return ("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", EXPOSED), ("Vary", "Origin")


def preflight(method: str, headers: Mapping[str, str]) -> Answer | None:
    """Return the answer to a browser's question whether a page may ask, which comes without a key; None if it is none.

    It says yes to pages of this machine, to every method and to the headers that the page wants to send.
    """
    if method != "OPTIONS" or "origin" not in headers or "access-control-request-method" not in headers:
        return None
    if not cors_headers(headers):
        words = f"a page from {headers['origin'][:100]!r} may not ask: serve the page from http://localhost"
        return json_answer(403, {"message": words})
    wanted = headers.get("access-control-request-headers") or ALLOWED
    return Answer(
        200,
        (
            ("Access-Control-Allow-Methods", METHODS),
            ("Access-Control-Allow-Headers", wanted),
            ("Access-Control-Max-Age", PREFLIGHT_S),
        ),
        b"",
    )


def too_large(limit: int) -> Answer:
    """Return the refusal of a body above ``limit`` bytes."""
    return json_answer(413, {"message": f"Request size limit exceeded: a body may have {limit} bytes"})


def too_busy(limit: int) -> Answer:
    """Return the refusal of a request above ``limit`` in flight."""
    return json_answer(
        503, {"message": f"Too many requests in flight: this server takes {limit} at once"}, ("Retry-After", "1")
    )


def stopping() -> Answer:
    """Return the answer to a request that the server's end cut short."""
    return json_answer(503, {"message": "The server is shutting down"}, ("Retry-After", "1"))


def _in_postgrest_shape(status: int, code: str, message: str, hint: str | None) -> Answer:
    return json_answer(status, {"code": code, "details": None, "hint": hint, "message": message})


def spoiled() -> Answer:
    """Return what the error rate puts in an answer's place: PostgREST's words for a database out of reach."""
    return _in_postgrest_shape(
        503,
        "PGRST001",
        "Database client error. Retrying the connection.",
        "The lab fails some requests on purpose: its error rate is above 0.",
    )


def internal_error() -> Answer:
    """Return the answer to a request that met a bug; it says nothing of the inside."""
    return _in_postgrest_shape(500, "XX000", "An unexpected error happened", None)


def headers_of(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name; a repeated one is joined with commas, as RFC 9110 (5.3) has it."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


class Gate:
    """Who may come in: the address they must have meant and the key they must have."""

    def __init__(self, port: int, key: str) -> None:
        names = ("127.0.0.1", "localhost")
        self._hosts = {f"{name}:{port}" for name in names} | (set(names) if port in {80, 443} else set())
        self._port = port
        self._key = key.encode()

    def wrong_host(self, headers: Mapping[str, str]) -> Answer | None:
        """Return the refusal of a caller who asked for another name, which a page may have pointed here; else None.

        ``localhost`` is fine: browsers let nobody point it elsewhere.
        """
        host = headers.get("host", "")
        if host.lower() in self._hosts:
            return None
        return json_answer(
            400, {"message": f"Host {host[:100]!r} is not this server: ask http://127.0.0.1:{self._port} instead"}
        )

    def refusal(self, headers: Mapping[str, str], query: str) -> Answer | None:
        """Return the 401 that this request deserves, if any.

        The ``apikey`` header decides, else the parameter of that name, else a Bearer token; beside a valid key a
        user's own token is none of the gateway's business.
        """
        shown = headers.get("apikey")
        if shown is None:
            shown = _key_in(query)
        if shown is None:
            scheme, _, token = headers.get("authorization", "").partition(" ")
            shown = token.strip() if scheme.lower() == "bearer" else None
        if not shown:
            return NO_KEY
        known = hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), self._key)
        return None if known else WRONG_KEY


def _key_in(query: str) -> str | None:
    if "apikey=" not in query:
        return None
    for part in query.split("&"):
        if part.startswith("apikey="):
            return unquote_plus(part.removeprefix("apikey="))
    return None


def without_key(query: str) -> str:
    """Return the raw query without the parameter that carries a key."""
    if "apikey=" not in query:
        return query
    return "&".join(part for part in query.split("&") if not part.startswith("apikey="))
