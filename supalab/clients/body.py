"""How a body is read: pieces from a stream flow in, at most ``cap`` bytes flow out, or ResponseTooLarge.

The client asks for no compression. A server that compresses all the same is inflated in small steps and counted before
anything is kept: 48 KB on the wire can be 50 MB in memory.
"""

from __future__ import annotations

import zlib

import httpx

from supalab.errors import BadResponse, ResponseTooLarge

__all__ = ["read_body"]

STEP = 64 * 1024
#: zlib's window sizes: gzip, and zlib's own format, which HTTP calls deflate.
WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}


async def read_body(response: httpx.Response, cap: int) -> bytes:
    """Return the whole body, as it was before any content encoding; the response is closed whatever happens.

    Raises ResponseTooLarge beyond ``cap`` bytes, BadResponse for an encoding that was not asked for and is not known.
    """
    pieces, size = [], 0
    try:
        async for piece in response.stream:  # type: ignore[union-attr]  # an async transport's stream
            size += len(piece)
            if size > cap:
                raise _too_large(cap)
            pieces.append(piece)
    finally:
        await response.aclose()
    body = b"".join(pieces)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    return body if encoding in {"", "identity"} or not body else _inflated(body, encoding, cap)


def _too_large(cap: int) -> ResponseTooLarge:
    return ResponseTooLarge(
        f"the answer is larger than {cap} bytes: ask for fewer rows (limit=, pages) or raise max_bytes"
    )


def _inflated(body: bytes, encoding: str, cap: int) -> bytes:
    if encoding not in WINDOW:
        raise BadResponse(f"the body is encoded as {encoding!r}, which was not asked for")
    for keep in (False, True):  # count first: a bomb is refused before it fills any memory
        whole = _inflate(body, WINDOW[encoding], cap, keep)
    return whole


def _inflate(body: bytes, window: int, cap: int, keep: bool) -> bytes:
    machine = zlib.decompressobj(window)
    pieces, size, rest = [], 0, body
    try:
        while rest and not machine.eof:
            piece = machine.decompress(rest, STEP)
            rest, size = machine.unconsumed_tail, size + len(piece)
            if size > cap:
                raise _too_large(cap)
            pieces += [piece] * keep
    except zlib.error as error:
        raise BadResponse(f"the compressed body is broken: {error}") from error
    if not machine.eof:
        raise BadResponse("the compressed body breaks off")
    return b"".join(pieces)
