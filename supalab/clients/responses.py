"""Read a response's body, decide whether to retry, and choose the error to raise. Only the read does I/O.

Only reads are retried: a write whose response was lost may have been applied. The client does not ask for compression.
If a server compresses anyway, the body is decompressed in small steps and its size is checked before it is stored,
because 48 KB on the network can be 50 MB in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from typing import Literal, TypeAlias

import httpx

from supalab.errors import BadResponse, ClientClosed, ConnectionLost, DeadlineExceeded, OutcomeUnknown, ResponseTooLarge
from supalab.replies import Reply, without
from supalab.settings import Settings
from supalab.wire import Call

#: Methods that change nothing, so they can be sent again.
READS = frozenset({"GET", "HEAD"})
#: How often a read is sent at most.
TRIES = 3
#: Seconds that the first pause lasts at most; each further one may last twice as long.
FIRST_PAUSE = 0.2
#: Too many requests, or a server or gateway that cannot work at the moment (52x: Cloudflare before a Supabase project).
PASSING = frozenset({429, 502, 503, 504, 520, 521, 522, 523, 524})
STEP = 64 * 1024
#: zlib's window sizes: gzip, and zlib's own format, which HTTP calls deflate.
WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}
#: Compressed pieces in one body; servers send one, or a few.
MOST_MEMBERS = 100

Phase: TypeAlias = Literal["slot", "connect", "response", "pause"]
WAITING_FOR = {
    "slot": "a slot (all of the client's limit were taken)",
    "connect": "a connection",
    "response": "the response",
    "pause": "its retry, after the server had refused it",
}
#: When one of these is raised, no byte of the request has been sent.
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.LocalProtocolError)


def worth_another(method: str, outcome: Reply | ConnectionLost, attempt: int) -> bool:
    """Return whether to retry a request after this outcome of its ``attempt``-th try (counted from 1)."""
    passing = isinstance(outcome, ConnectionLost) or outcome.status in PASSING
    return passing and method in READS and attempt < TRIES


def pause(attempt: int, outcome: Reply | ConnectionLost, chance: Random) -> float:
    """Return the seconds to wait after the ``attempt``-th try: the server's Retry-After, else a random, growing pause.

    The pause is random, because clients that failed together would otherwise retry together.
    """
    asked = retry_after(outcome.headers) if isinstance(outcome, Reply) else None
    return asked if asked is not None else chance.uniform(0, FIRST_PAUSE * 2 ** (attempt - 1))


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Read Retry-After, in seconds or as a date (RFC 9110); None when it is missing or makes no sense."""
    written = headers.get("retry-after", "").strip()
    if written.isdecimal() and written.isascii() and len(written) < 12:
        return float(written)
    try:
        when = parsedate_to_datetime(written)
    except (TypeError, ValueError, OverflowError):  # a year of 300 digits overflows
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


def late(call: Call, timeout: float, phase: Phase) -> DeadlineExceeded:
    """Return the error for a deadline that has passed."""
    waited = f"{_what(call)} was not done within {timeout:g} s: it waited for {WAITING_FOR[phase]}"
    return DeadlineExceeded(waited + _doubt(call, phase), phase=phase)


def closed_meanwhile(call: Call, phase: Phase) -> ClientClosed:
    """Return the error for a request during which the client was closed."""
    return ClientClosed(f"the client was closed while {_what(call)} was on its way{_doubt(call, phase)}")


def _doubt(call: Call, phase: Phase) -> str:
    """Return what the message adds for a write that was sent and may have been applied."""
    return "" if call.method in READS or phase != "response" else "; it may have been applied"


def lost(error: Exception, call: Call, settings: Settings, *, begun: bool) -> ConnectionLost:
    """Return the error for a failed connection: OutcomeUnknown for a write that may have arrived.

    ``begun``: the response had begun, so the request certainly arrived.
    """
    reason = f"{settings.url}: {without(str(error), settings.secrets) or type(error).__name__}"
    if call.method in READS or (isinstance(error, UNSENT) and not begun):
        found = ConnectionLost(f"{_what(call)} failed, there was no response from {reason}")
    else:
        found = OutcomeUnknown(f"{_what(call)} may have been applied: no response came from {reason}")
    found.__cause__ = None if _tells(error, settings.secrets) else error
    return found


def _tells(error: BaseException | None, secrets: Iterable[str]) -> bool:
    """Return whether an error or one of its causes shows a secret: a broken response may repeat what was sent."""
    while error is not None:
        shown = f"{error} {error!r}"
        if any(secret in shown for secret in secrets):
            return True
        error = error.__cause__ or error.__context__
    return False


def _what(call: Call) -> str:
    return f"{call.method} {call.target.partition('?')[0]}"


async def read_body(response: httpx.Response, cap: int) -> bytes:
    """Return the whole decoded body; the response is closed in every case.

    Raises ResponseTooLarge above ``cap`` bytes, BadResponse for an unknown content encoding.
    The body of an error is empty if it cannot be decoded, because its status says more.
    """
    if isinstance(response.stream, httpx.ByteStream):  # the whole body is here, and there is nothing to close
        body = b"".join(response.stream)
    else:
        body = await _streamed(response, cap)
    if len(body) > cap:
        raise too_large(cap)
    # Known encodings are short; of what a broken server may repeat there, a key, the message shows the beginning alone.
    encoding = response.headers.get("content-encoding", "identity")[:10].strip().lower()
    if encoding in {"", "identity"} or not body:
        return body
    try:
        return _inflated(body, encoding, cap)
    except BadResponse:
        if response.is_success:
            raise
        return b""


async def _streamed(response: httpx.Response, cap: int) -> bytes:
    """Read a response to its end, or to a little more than ``cap`` bytes."""
    body = bytearray()
    try:
        async for piece in response.stream:  # type: ignore[union-attr]  # an async transport's stream
            body += piece
            if len(body) > cap:
                break
    finally:
        await response.aclose()
    return bytes(body)


def too_large(cap: int) -> ResponseTooLarge:
    """Return the error for a response with more bytes than the client accepts."""
    return ResponseTooLarge(
        f"the response is larger than {cap} bytes: ask for fewer rows (limit=, pages) or raise max_bytes; for a write,"
        " which may have been applied, use return_='minimal'"
    )


def _inflated(body: bytes, encoding: str, cap: int) -> bytes:
    if encoding not in WINDOW:
        raise BadResponse(f"the body is encoded as {encoding!r}, which was not asked for")
    size = 0
    for piece in _inflated_pieces(body, WINDOW[encoding]):  # counted first: a bomb is refused before it fills memory
        size += len(piece)
        if size > cap:
            raise too_large(cap)
    return b"".join(_inflated_pieces(body, WINDOW[encoding]))


def _inflated_pieces(body: bytes, window: int) -> Iterator[bytes]:
    machine, members = zlib.decompressobj(window), 1
    try:
        for at in range(0, len(body), STEP):
            rest = body[at : at + STEP]
            while rest:
                if machine.eof:  # gzip may have several members, one after another
                    machine, members = zlib.decompressobj(window), members + 1
                yield machine.decompress(rest, STEP)
                rest = machine.unused_data if machine.eof else machine.unconsumed_tail
                if members > MOST_MEMBERS:
                    raise BadResponse(f"the compressed body has more than {MOST_MEMBERS} parts")
    except zlib.error as error:
        raise BadResponse(f"the compressed body is broken: {error}") from error
    if not machine.eof:
        raise BadResponse("the compressed body breaks off")
