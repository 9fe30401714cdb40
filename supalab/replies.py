"""Read a server's response (``Reply``) as rows, as a JSON value, or as an error. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from supalab.errors import ApiError, BadResponse
from supalab.wire import Call, Row

#: How many characters of a server's message an error repeats.
LONGEST = 2000
#: Fields in which servers and gateways give their reason, in the order of preference.
REASONS = ("message", "msg", "error_description", "error", "detail", "title", "errors")
#: How many objects inside a row (of embedded resources, of JSON columns) are tried to find the start of the row.
MOST_INNER = 10
REDIRECT = "the server redirects to another address, which the client does not follow: check the url (https, not http?)"


@dataclass(frozen=True, slots=True)
class Reply:
    """A response as it arrived: ``headers`` may be any mapping that ignores case.

    Only the status is printed: a broken server may repeat the key in the rest.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Rows(list[Row]):
    """The rows of a response: a plain list, with what the server said about the whole result.

    ``total``: how many rows fit the filters, if the call asked for it. ``truncated``: whether the server left out rows
    that the call asked for (Supabase cuts at 1,000 without an error); None if unknown, because only ``count="exact"``
    shows it.
    """

    total: int | None = None
    truncated: bool | None = None


def rows(call: Call, reply: Reply, hide: Iterable[str] = ()) -> Rows:
    """Read a response to ``call`` as rows; raises ApiError for an error, BadResponse if it is not valid PostgREST.

    ``hide``: the client's secrets, which are removed from error messages in case the server repeats them.
    """
    found = value(reply, hide)
    prefer = call.headers.get("Prefer", "")
    asked_for_none = call.method == "HEAD" or (call.method != "GET" and "return=representation" not in prefer)
    if found is None and asked_for_none:
        found = []
    found = [found] if isinstance(found, dict) else found
    if not isinstance(found, list) or not set(map(type, found)) <= {dict}:
        del found  # tools print the variables of an error's frames, and a broken server may repeat the key
        raise BadResponse(f"expected rows (status {reply.status}), got {_start_of(reply, hide) or 'nothing'}")
    result = Rows(found)
    if prefer.startswith("count="):
        result.total = _total(reply)
    if result.total is not None and prefer == "count=exact":
        asked = result.total - call.offset if call.limit is None else min(call.limit, result.total - call.offset)
        result.truncated = call.method == "GET" and len(result) < asked
    return result


def value(reply: Reply, hide: Iterable[str] = ()) -> Any:
    """Read a response as any JSON value, None for an empty body; raises ApiError or BadResponse."""
    if not 200 <= reply.status < 300:
        raise _api_error(reply, hide)
    if not reply.body:
        return None
    try:
        return STRICT.decode(reply.body.decode())
    except (ValueError, RecursionError) as error:
        problem = f"the body is not JSON (status {reply.status}): {error}"
    # Not chained: a decoder's error contains the whole body, which may repeat the key.
    raise BadResponse(f"{problem}: {_start_of(reply, hide)}")


def last_row(reply: Reply) -> Row | None:
    """Decode only the last row of a response, with fractions as text, because a float may lose digits.

    In valid JSON it is the text from some brace to the end of the array. A brace inside a string cannot be mistaken for
    it: the quote that ends this string would begin another string, which never ends.
    """
    text = reply.body.decode("utf-8", "replace").rstrip()
    start = len(text)
    for _ in range(MOST_INNER):
        start = text.rfind("{", 0, start)
        if start < 0:
            return None
        if isinstance(row := _as_written(text[start:].removesuffix("]")), dict):
            return row
    found = _as_written(text)
    return found[-1] if isinstance(found, list) and isinstance(found[-1], dict) else None


def _as_written(text: str) -> Any:
    with suppress(ValueError, RecursionError):
        return AS_WRITTEN.decode(text)
    return None


def without(text: str, hide: Iterable[str]) -> str:
    """Return ``text`` with every secret replaced."""
    for secret in hide:
        text = text.replace(secret, "(key)")
    return text


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(number: str) -> float:
    if math.isinf(found := float(number)):
        raise ValueError(f"{number[:20]} is larger than any float")
    return found


#: Python's own decoder takes NaN and Infinity, which no JSON has, and reads 1e999 as infinity.
STRICT = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
#: Keeps numbers with a fraction as text, because some have more digits than a float.
AS_WRITTEN = json.JSONDecoder(parse_float=str)


def _api_error(reply: Reply, hide: Iterable[str]) -> ApiError:
    start = _start_of(reply, hide)
    try:
        said = json.loads(reply.body)
        words = _reason(said)
    except (ValueError, RecursionError):
        said = words = None
    known = {name: str(word) for name, word in (said if isinstance(said, dict) else {"body": start}).items() if word}
    if not words and known.keys() - {"code"}:  # the body has no known field for a message, but more than a code
        words = known.get("message") or start
    words = words or (REDIRECT if 300 <= reply.status < 400 else "the server gave no reason")
    code, details, hint = (without(known.get(name, ""), hide)[:LONGEST] or None for name in ("code", "details", "hint"))
    code = None if code == str(reply.status) else code
    return ApiError(reply.status, without(words, hide)[:LONGEST], code=code, details=details, hint=hint)


def _reason(said: Any) -> str | None:
    """Return the message in an error's body, wherever this kind of server puts it."""
    if isinstance(said, list):
        return _reason(said[0]) if said else None
    if isinstance(said, dict):
        return next((found for name in REASONS if (found := _reason(said.get(name)))), None)
    return said if isinstance(said, str) else None


def _start_of(reply: Reply, hide: Iterable[str]) -> str:
    """The beginning of the body in one line, without signs that move a terminal's cursor."""
    start = without(reply.body.decode("utf-8", "replace"), hide)[:200]
    return " ".join("".join(sign if sign.isprintable() else " " for sign in start).split())


def _total(reply: Reply) -> int | None:
    written = reply.headers.get("content-range", "").rpartition("/")[2]
    # No table has 10**18 rows, and int() itself refuses thousands of digits.
    return int(written) if written.isdecimal() and written.isascii() and len(written) <= 18 else None
