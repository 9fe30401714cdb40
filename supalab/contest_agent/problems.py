"""Turn errors into responses: the right status, and one JSON format for all errors (RFC 9457).

Each kind of client has its own exceptions. ``TABLE`` lists them by name, so that only the library of the service's
client is loaded: the service's memory is one of the things to compare.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from asgi_correlation_id import correlation_id
from fastapi import Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
#: Sent with an error after which the same request may succeed a little later; in seconds.
RETRY = {"Retry-After": "1"}


class Invalid(BaseModel):
    """One thing that was wrong with a request."""

    at: str = Field(examples=["query.page"])
    message: str


class Problem(BaseModel):
    """What went wrong: RFC 9457's problem details."""

    type: str = Field("about:blank", description="Always about:blank: the status says what kind of problem it is.")
    title: str = Field(description="The status in words.", examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no contest 501"])
    request_id: str = Field(description="The same as in the header X-Request-ID and in the service's log.")
    errors: list[Invalid] = Field([], description="Each thing that was wrong with the request.")


BUG = HTTPException(500, "the service met an error of its own; the log has it under the request's id")
NOT_VALID = HTTPException(422, "the request is not valid")
BUSY = HTTPException(503, "the backend cannot be reached or takes no more requests at the moment", RETRY)
FULL = HTTPException(503, "all of the service's connections to the backend are taken", RETRY)
CLOSING = HTTPException(503, "the service is shutting down", RETRY)
LATE = HTTPException(504, "the backend did not answer in time; a write may have been applied")
DOUBT = HTTPException(
    502, "the connection to the backend broke during a write, which may have been applied: check before you repeat it"
)
BROKEN = HTTPException(502, "the backend's answer was not understood")
REFUSED = HTTPException(502, "the backend refused the service itself: its address or key is wrong")
FAILED = HTTPException(502, "the backend failed")
INVALID = HTTPException(422, "the backend cannot take one of the values")
CONFLICT = HTTPException(409, "a contest with this id or this url exists already")

# It is harmless to repeat a write that may have been applied: a new contest has its own id, and a change gives the same
# result twice.
_MEANT: tuple[tuple[HTTPException, tuple[str, ...]], ...] = (
    (BUSY, ("supalab.ConnectionLost", "httpx.ConnectTimeout", "httpx.RemoteProtocolError", "httpx.TransportError")),
    (BUSY, ("requests.ConnectTimeout", "requests.ConnectionError", "requests.ChunkedEncodingError")),
    (FULL, ("httpx.PoolTimeout",)),
    (CLOSING, ("supalab.ClientClosed",)),
    (LATE, ("supalab.DeadlineExceeded", "httpx.TimeoutException", "requests.Timeout")),
    (DOUBT, ("supalab.OutcomeUnknown",)),
    (BROKEN, ("supalab.BadResponse", "httpx.DecodingError", "requests.ContentDecodingError")),
    (BROKEN, ("pydantic_core.ValidationError",)),  # a backend's row that is not a contest
    (INVALID, ("supalab.SettingsError",)),
    (FAILED, ("supalab.ClientError", "httpx.HTTPError", "requests.RequestException")),
)
#: By package and class; an exception is looked up by its own class first, then by those it derives from.
TABLE = {name: meant for meant, names in _MEANT for name in names}
#: The phases of our own client in which nothing was sent before its time was up.
BY_PHASE = {"slot": FULL, "connect": BUSY}
BY_STATUS = {
    **dict.fromkeys((400, 422), INVALID),
    409: CONFLICT,
    **dict.fromkeys((401, 403, 404), REFUSED),
    **dict.fromkeys((408, 429, 502, 503, *range(520, 531)), BUSY),
    504: LATE,
}


def status_of(error: BaseException) -> int | None:
    """Return the backend's status that ``error`` stands for, None if there was no response."""
    found = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    return found if isinstance(found, int) else None


def problem_of(error: BaseException) -> HTTPException | None:
    """Return what a client's exception means for a caller; None for an exception that is a bug of the service."""
    if isinstance(error, ExceptionGroup):  # several queries at once: the first to fail has cancelled the others
        return problem_of(error.exceptions[0])
    if isinstance(error, HTTPException):
        return error
    if isinstance(error, RequestValidationError):
        return NOT_VALID
    names = [f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__]
    found = next((TABLE[name] for name in names if name in TABLE), None)
    if found is LATE:
        return BY_PHASE.get(getattr(error, "phase", ""), LATE)
    return BY_STATUS.get(status_of(error) or 0, FAILED) if found is FAILED else found


def problem(error: Exception) -> Response:
    """Return the response to a request that failed with ``error``; it does not repeat what the caller sent."""
    found = problem_of(error) or BUG
    wrong = error.errors() if isinstance(error, RequestValidationError) else ()
    body = Problem(
        type="about:blank",
        title=HTTPStatus(found.status_code).phrase,
        status=found.status_code,
        detail=found.detail,
        request_id=correlation_id.get() or "",
        errors=[Invalid(at=".".join(map(str, one["loc"])), message=one["msg"]) for one in wrong],
    )
    # ASCII, because a caller's field name may be a text that UTF-8 cannot encode.
    return Response(json.dumps(body.model_dump()), found.status_code, found.headers, MEDIA_TYPE)


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare the errors with which a route can respond, so that the OpenAPI document lists them."""
    return {status: {"model": Problem} for status in statuses}
