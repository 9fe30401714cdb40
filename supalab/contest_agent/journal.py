"""The service's memory of requests: ASGI flows through both ways; request ids, log lines and counts flow out.

A log line is one JSON object with the fields that Cloud Run's log viewer knows. No secret stands in any: lines hold
no headers and no query, and a key that strays into a path or a traceback is taken out.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders

from supalab.contest_agent.bounds import CallerLeft
from supalab.contest_agent.problems import Trouble, problem, trouble_of
from supalab.replies import without

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.datastructures import State
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from supalab.contest_agent.metrics import Meters

__all__ = ["Journal", "start_logging"]

log = logging.getLogger("supalab.contest_agent")

BUG = Trouble(500, "the service met an error of its own; the log has it under the request's id")
SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
#: Not HTTP's but widely used: the caller closed the request.
CALLER_LEFT = 499
#: The process ended before the request did.
CUT_SHORT = 503
UNSEEN = frozenset({"/metrics"})  # looking at the counts should not change them


class Journal:
    """The outermost middleware: names each request, times it, counts it, writes its line, and catches what is a bug."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state
        self._meters: Meters = state.meters
        self._secrets: Sequence[str] = state.options.settings.secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and keep a record of it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request_id = _id_of(scope, self._secrets)
        scope.setdefault("state", {})["request_id"] = request_id
        began, status, cause, answering = perf_counter(), CUT_SHORT, "", False

        async def named(message: Message) -> None:
            nonlocal status, answering
            if message["type"] == "http.response.start":
                status, answering = message["status"], True
                self._sign(message, request_id)
            await send(message)

        seen = scope["path"] not in UNSEEN
        if seen:
            self._meters.begun()
        try:
            await self._app(scope, receive, named)
        except CallerLeft:
            status = CALLER_LEFT
        except Exception as error:
            cause, trouble = type(error).__name__, _trouble_in(error, request_id)
            if answering:
                raise  # half an answer cannot be mended: the server hangs up
            await problem(trouble, request_id)(scope, receive, named)
        finally:
            if seen:
                self._write(scope, request_id, status, perf_counter() - began, cause)
        return None

    def _sign(self, message: Message, request_id: str) -> None:
        headers = MutableHeaders(scope=message)
        headers["X-Request-ID"] = request_id
        if self._state.leaving:
            headers["Connection"] = "close"

    def _write(self, scope: Scope, request_id: str, status: int, seconds: float, cause: str) -> None:
        template = getattr(scope.get("route"), "path_format", "(none)")
        self._meters.ended(scope["method"], template, status, seconds)
        entry = {
            "request_id": request_id,
            "method": scope["method"],
            "path": scope["path"],
            "route": template,
            "status": status,
            "ms": round(seconds * 1000, 1),
        } | ({"error": cause} if cause else {})
        log.log(logging.ERROR if status == 500 else logging.INFO, "request", extra={"entry": entry})


def _trouble_in(error: Exception, request_id: str) -> Trouble:
    trouble = trouble_of(error)
    if trouble is None:
        log.error("a bug", exc_info=error, extra={"entry": {"request_id": request_id}})
    return trouble or BUG


def _id_of(scope: Scope, secrets: Sequence[str]) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    sane = SANE_ID.fullmatch(given) and without(given, secrets) == given
    return given if sane else uuid4().hex


class JsonLines(logging.Formatter):
    """A record becomes one line of JSON, with ``secrets`` taken out of every text."""

    def __init__(self, secrets: Sequence[str], client: str) -> None:
        super().__init__()
        self._secrets = secrets
        self._client = client

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "severity": record.levelname,
            "message": record.getMessage(),
            "client": self._client,
            **getattr(record, "entry", {}),
        }
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        # Before it is JSON, which may write a key's letters in another way.
        return json.dumps({name: self._clean(value) for name, value in line.items()})

    def _clean(self, value: object) -> object:
        return without(value, self._secrets) if isinstance(value, str) else value


def start_logging(secrets: Sequence[str], client: str) -> None:
    """Write the lines to standard error: the service's own from INFO up, what libraries say from WARNING up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(secrets, client))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    log.setLevel(logging.INFO)
