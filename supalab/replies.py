"""What an answer becomes for the caller. Pure: ``Reply`` (status, headers, body) → ``Rows``, a value, or one error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from supalab.errors import ApiError, BadResponse
from supalab.wire import Call, Row

__all__ = ["Reply", "Rows", "rows", "value", "without"]

REDIRECT = "the server points to another address, which is not followed: check the url (https, not http?)"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came: ``headers`` may be any mapping that ignores case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Rows(list[Row]):
    """The rows of an answer: a plain list, with what the server said about the whole.

    ``total``: rows that fit the filters, when the call asked for it. ``truncated``: the server holds back rows
    that the call asked for (Supabase cuts at 1,000 without an error); None when it cannot be known, which takes
    ``count="exact"``.
    """

    total: int | None = None
    truncated: bool | None = None


def rows(call: Call, reply: Reply, hide: Iterable[str] = ()) -> Rows:
    """Read an answer to ``call`` as rows; raises ApiError for an error, BadResponse for what is not the dialect.

    ``hide``: the secrets of the client, which a server may repeat and no message of ours does.
    """
    found = value(reply, hide)
    if not reply.body and (call.method == "HEAD" or (call.method != "GET" and _asked_for_none(call))):
        found = []
    found = [found] if isinstance(found, dict) else found
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise BadResponse(f"expected rows, got {type(found).__name__}: {_start_of(reply, hide)}")
    result = Rows(found)
    if call.headers.get("Prefer", "").startswith("count="):
        result.total = _total(reply)
    if result.total is not None and call.headers["Prefer"] == "count=exact":
        asked = result.total - call.offset if call.limit is None else min(call.limit, result.total - call.offset)
        result.truncated = call.method == "GET" and len(result) < asked
    return result


def _asked_for_none(call: Call) -> bool:
    return "return=representation" not in call.headers.get("Prefer", "")


def value(reply: Reply, hide: Iterable[str] = ()) -> Any:
    """Read an answer as any JSON value, None for an empty body; raises ApiError or BadResponse."""
    if not 200 <= reply.status < 300:
        raise _api_error(reply, hide)
    if not reply.body:
        return None
    try:
        return STRICT.decode(reply.body.decode())
    except (ValueError, RecursionError) as error:
        problem = f"{type(error).__name__} in the body, which should be JSON (status {reply.status})"
    # Not chained: the error of a decoder carries the whole body, and a body may repeat the key.
    raise BadResponse(f"{problem}: {_start_of(reply, hide)}")


def without(text: str, hide: Iterable[str]) -> str:
    """``text`` with every secret replaced."""
    for secret in hide:
        text = text.replace(secret, "(key)")
    return text


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


#: Python's own decoder takes NaN and Infinity, which no JSON has.
STRICT = json.JSONDecoder(parse_constant=_no_constant)


def _api_error(reply: Reply, hide: Iterable[str]) -> ApiError:
    try:
        said = json.loads(reply.body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        said = {"message": said if isinstance(said, str) else _start_of(reply, hide)}
    code, message, details, hint = (
        None if said.get(name) is None else without(str(said[name]), hide)
        for name in ("code", "message", "details", "hint")
    )
    silent = REDIRECT if 300 <= reply.status < 400 else "the server gave no reason"
    return ApiError(reply.status, message or silent, code=code, details=details, hint=hint)


def _start_of(reply: Reply, hide: Iterable[str]) -> str:
    return without(reply.body.decode("utf-8", "replace"), hide)[:200].strip()


def _total(reply: Reply) -> int | None:
    written = reply.headers.get("content-range", "").rpartition("/")[2]
    # No table has 10**18 rows, and int() itself refuses thousands of digits.
    return int(written) if written.isdecimal() and written.isascii() and len(written) <= 18 else None
