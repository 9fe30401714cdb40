"""The control path: gives the handle readings and takes new conditions, on a port and with a token of its own.

``GET /witness``, ``GET /now?SECONDS`` (what changed after so many), ``POST /reset``, ``GET /conditions``,
``PATCH /conditions``. Nothing here is counted, delayed or limited, so that looking never changes what is seen.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from supalab.errors import LabError, SettingsError
from supalab.lab.app import BodyTooLarge, CallerLeft, read_body, send_answer
from supalab.lab.gateway import headers_of, json_answer, too_large

if TYPE_CHECKING:
    from supalab.lab.app import Receive, Send
    from supalab.lab.conditions import LiveConditions
    from supalab.lab.connections import Connections
    from supalab.lab.messages import Answer
    from supalab.lab.witness import Tally

__all__ = ["ControlApp"]

BODY_LIMIT = 64 * 1024


class ControlApp:
    """The application on the lab's control port."""

    def __init__(self, port: int, token: str, live: LiveConditions, tally: Tally, connections: Connections) -> None:
        self._host = f"127.0.0.1:{port}"
        self._bearer = f"Bearer {token}".encode()
        self._live = live
        self._tally = tally
        self._connections = connections

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request of the handle's."""
        headers = headers_of(scope["headers"])
        shown = headers.get("authorization", "").encode("utf-8", "surrogateescape")
        if headers.get("host") != self._host or not hmac.compare_digest(shown, self._bearer):
            return await send_answer(send, json_answer(403, {"message": "not for you"}))
        try:
            body = await read_body(receive, headers, BODY_LIMIT)
        except BodyTooLarge:
            return await send_answer(send, too_large(BODY_LIMIT))
        except CallerLeft:
            return None
        return await send_answer(send, self._answer(scope["method"], scope["path"], body, scope["query_string"]))

    def _answer(self, method: str, path: str, body: bytes, query: bytes) -> Answer:
        match method, path:
            case "GET", "/now":
                return self._glance(query)
            case "GET", "/witness":
                return json_answer(200, self._tally.reading().as_json())
            case "POST", "/reset":
                self._tally.reset()
                self._live.reseed()
                return json_answer(200, self._tally.reading().as_json())
            case "GET", "/conditions":
                return json_answer(200, self._conditions())
            case "PATCH", "/conditions":
                return self._change(body)
        return json_answer(404, {"message": f"there is no {method} {path} here"})

    def _glance(self, query: bytes) -> Answer:
        try:
            after = float(query)
        except ValueError:
            words = f"/now?{query[:40].decode('latin-1')}: give seconds after the question mark"
            return json_answer(400, {"message": words})
        return json_answer(200, asdict(self._tally.glance(after)))

    def _conditions(self) -> dict[str, object]:
        conditions = self._live.conditions
        return {**conditions.as_json(), "ca_file": str(self._connections.ca_file) if conditions.tls else None}

    def _change(self, body: bytes) -> Answer:
        try:
            changes = json.loads(body)
        except (ValueError, RecursionError):
            return json_answer(400, {"message": "the body is not JSON"})
        if not isinstance(changes, dict):
            return json_answer(400, {"message": "the body is not a JSON object"})
        try:
            conditions = self._live.conditions.changed(changes)
        except SettingsError as error:
            return json_answer(400, {"message": str(error)})
        try:
            self._connections.prepare(conditions)
        except LabError as error:
            return json_answer(503, {"message": str(error)})
        self._live.conditions = conditions
        return json_answer(200, self._conditions())
