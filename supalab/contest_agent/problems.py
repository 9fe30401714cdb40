"""What went wrong, for the caller: whatever a client of ours raises flows in, one shape of answer flows out (RFC 9457).

Each kind of client has exceptions of its own. ``TABLE`` knows them by name, so that no client's library is loaded
that the service does not use: its memory is one of the things to compare.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

__all__ = ["Failed", "Invalid", "Problem", "Trouble", "invalid", "problem", "status_of", "trouble_of"]

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a request ends without what was asked for; ``retry``: asking again a little later may well work."""

    status: int
    detail: str
    retry: bool = False
    errors: tuple[dict[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


class Failed(Exception):
    """What the service itself raises to end a request."""

    def __init__(self, status: int, detail: str, *, retry: bool = False) -> None:
        self.trouble = Trouble(status, detail, retry)
        super().__init__(detail)


class Invalid(BaseModel):
    """One thing that was wrong with a request."""

    at: str = Field(examples=["query.page"])
    message: str


class Problem(BaseModel):
    """What went wrong: RFC 9457's problem details."""

    type: str = Field("about:blank", description="The status says all there is to say of the kind.")
    title: str = Field(description="The status in words.", examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no contest 501"])
    request_id: str = Field(description="The same as in the header X-Request-ID and in the service's log.")
    errors: list[Invalid] = Field([], description="What was wrong with the request, piece by piece.")


BUSY = Trouble(503, "the backend cannot be reached or takes no more requests just now", retry=True)
FULL = Trouble(503, "all of the service's connections to the backend are taken", retry=True)
CLOSING = Trouble(503, "the service is shutting down", retry=True)
LATE = Trouble(504, "the backend did not answer in time; a write may have been applied")
DOUBT = Trouble(502, "the connection to the backend broke during a write, which may have been applied: look first")
BROKEN = Trouble(502, "the backend's answer was not understood")
REFUSED = Trouble(502, "the backend refused the service itself: its address or key is wrong")
WRONG = Trouble(502, "the backend failed")
INVALID = Trouble(422, "the backend cannot take one of the values")
CONFLICT = Trouble(409, "a contest with this id or this url exists already")

#: By package and class; an exception is looked up by its own class first, then by those it derives from. To ask again
#: is harmless even after a write that was lost on its way: a new contest brings its own id, a change is the same twice.
TABLE: dict[str, Trouble] = {
    # our own tree: the real client, and what all clients share
    "supalab.SettingsError": INVALID,
    "supalab.BadResponse": BROKEN,
    "supalab.DeadlineExceeded": LATE,
    "supalab.OutcomeUnknown": DOUBT,
    "supalab.ConnectionLost": BUSY,
    "supalab.ClientClosed": CLOSING,
    "supalab.ClientError": WRONG,
    # httpx: the article's client
    "httpx.PoolTimeout": FULL,
    "httpx.ConnectTimeout": BUSY,
    "httpx.TimeoutException": LATE,
    "httpx.DecodingError": BROKEN,
    "httpx.RemoteProtocolError": BUSY,  # mostly: the server hung up
    "httpx.TransportError": BUSY,
    "httpx.HTTPError": WRONG,
    # requests: fake async
    "requests.ConnectTimeout": BUSY,
    "requests.Timeout": LATE,
    "requests.ConnectionError": BUSY,
    "requests.ChunkedEncodingError": BUSY,
    "requests.ContentDecodingError": BROKEN,
    "requests.RequestException": WRONG,
    # a backend's row that is no contest
    "pydantic_core.ValidationError": BROKEN,
}
#: What our own client waited for when its time was up; nothing was sent yet.
BY_PHASE = {"slot": FULL, "connect": BUSY}
BY_STATUS = {
    400: INVALID,
    422: INVALID,
    409: CONFLICT,
    401: REFUSED,
    403: REFUSED,
    404: REFUSED,
    408: BUSY,
    429: BUSY,
    502: BUSY,
    503: BUSY,
    504: LATE,
}


def status_of(error: BaseException) -> int | None:
    """Return the status of the backend's answer that ``error`` stands for, None if there was no answer."""
    found = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    return found if isinstance(found, int) else None


def trouble_of(error: BaseException) -> Trouble | None:
    """Say what an exception means to a caller; None for one that is a bug."""
    if isinstance(error, Failed):
        return error.trouble
    if isinstance(error, ExceptionGroup):  # several queries at once: the first to fail has cancelled the others
        return trouble_of(error.exceptions[0])
    names = [f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__]
    found = next((TABLE[name] for name in names if name in TABLE), None)
    if found is LATE:
        return BY_PHASE.get(getattr(error, "phase", ""), LATE)
    status = status_of(error)
    if found is None or found is not WRONG or status is None:
        return found
    return BY_STATUS.get(status, BUSY if 520 <= status <= 530 else WRONG)


def invalid(errors: Iterable[Mapping[str, Any]]) -> Trouble:
    """Put pydantic's findings into words; what was sent is not repeated."""
    found = tuple({"at": ".".join(map(str, one["loc"])), "message": str(one["msg"])} for one in errors)
    return Trouble(422, "the request is not valid", errors=found)


def problem(trouble: Trouble, request_id: str) -> Response:
    """Return the answer to a request that met ``trouble``."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(trouble.status).phrase,
        "status": trouble.status,
        "detail": trouble.detail,
        "request_id": request_id,
        "errors": list(trouble.errors),
    }
    headers = {**trouble.headers, **({"Retry-After": str(RETRY_AFTER_S)} if trouble.retry else {})}
    return Response(json.dumps(body), trouble.status, headers, MEDIA_TYPE)
