"""What an answer becomes for the caller. Pure: ``Reply`` (status, headers, body) → ``Rows``, a value, or one error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from supalab.errors import ApiError, BadResponse
from supalab.wire import Call, Row

__all__ = ["Reply", "Rows", "rows", "value"]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came: ``headers`` may be any mapping that ignores case.

    ``hide`` is the key: a server may repeat it in an error, and no message of ours does.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    hide: str | None = field(default=None, repr=False)


class Rows(list[Row]):
    """The rows of an answer: a plain list, with what the server said about the whole.

    ``total``: rows that fit the filters, when the call asked for it. ``truncated``: the server holds back rows
    that the call asked for (Supabase cuts at 1,000 without an error); None when it cannot be known.
    """

    total: int | None = None
    truncated: bool | None = None


def rows(call: Call, reply: Reply) -> Rows:
    """Read an answer to ``call`` as rows; raises ApiError for an error, BadResponse for what is not the dialect."""
    found = value(reply)
    # No body: the call asked for none (head, return=minimal).
    found = [] if found is None else [found] if isinstance(found, dict) else found
    if not isinstance(found, list):
        raise BadResponse(f"expected rows, got {type(found).__name__}: {_start_of(reply)}")
    result = Rows(found)
    result.total = _total(reply)
    if result.total is not None:
        asked = result.total - call.offset if call.limit is None else min(call.limit, result.total - call.offset)
        result.truncated = call.method == "GET" and len(result) < asked
    return result


def value(reply: Reply) -> Any:
    """Read an answer as any JSON value, None for an empty body; raises ApiError or BadResponse."""
    if not 200 <= reply.status < 300:
        raise _api_error(reply)
    if not reply.body:
        return None
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise BadResponse(f"status {reply.status}, but the body is not JSON: {_start_of(reply)}") from error


def _api_error(reply: Reply) -> ApiError:
    try:
        said = json.loads(reply.body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        said = {"message": said if isinstance(said, str) else _start_of(reply)}
    code, message, details, hint = (
        None if said.get(name) is None else _without_key(str(said[name]), reply)
        for name in ("code", "message", "details", "hint")
    )
    return ApiError(reply.status, message or "the server gave no reason", code=code, details=details, hint=hint)


def _start_of(reply: Reply) -> str:
    return _without_key(reply.body.decode("utf-8", "replace"), reply)[:200].strip()


def _without_key(text: str, reply: Reply) -> str:
    return text.replace(reply.hide, "(key)") if reply.hide else text


def _total(reply: Reply) -> int | None:
    written = reply.headers.get("content-range", "").rpartition("/")[2]
    return int(written) if written.isdecimal() else None
