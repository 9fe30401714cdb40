"""The lab's control API, on its own port with its own token: read the counters, change the conditions.

``GET /witness``, ``GET /witness?SECONDS`` (only the part of its timeline after that second), ``POST /reset``, ``GET
/conditions``, ``PATCH /conditions``. These requests are not counted, delayed or limited, so reading the counters does
not change them.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from supalab.errors import LabError, SettingsError
from supalab.lab.app import BodyTooLarge, CallerLeft, read_body, send_answer
from supalab.lab.gateway import headers_of, json_answer, message, too_large

if TYPE_CHECKING:
    from supalab.lab.app import Receive, Send
    from supalab.lab.conditions import LiveConditions
    from supalab.lab.postgrest.http import Answer
    from supalab.lab.witness import Tally

BODY_LIMIT = 64 * 1024


class ControlApp:
    """The application on the lab's control port."""

    def __init__(self, port: int, token: str, live: LiveConditions, tally: Tally) -> None:
        self._host, self._bearer = f"127.0.0.1:{port}", f"Bearer {token}".encode()
        self._live, self._tally = live, tally

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request of the lab's handle."""
        headers = headers_of(scope["headers"])
        shown = headers.get("authorization", "").encode("utf-8", "surrogateescape")
        if headers.get("host") != self._host or not hmac.compare_digest(shown, self._bearer):
            return await send_answer(send, message(403, "not for you"))
        try:
            body = await read_body(receive, headers, BODY_LIMIT)
            answer = self._answer(scope["method"], scope["path"], body, scope["query_string"])
        except CallerLeft:
            return None
        except BodyTooLarge:
            answer = too_large(BODY_LIMIT)
        except SettingsError as error:
            answer = message(400, str(error))
        except (ValueError, RecursionError):
            answer = message(400, "the body or the query cannot be read")
        except LabError as error:
            answer = message(503, str(error))
        return await send_answer(send, answer)

    def _answer(self, method: str, path: str, body: bytes, query: bytes) -> Answer:
        """Return the answer; raises SettingsError, LabError, or ValueError for a request that cannot be read."""
        match method, path:
            case "GET", "/witness":
                return json_answer(200, asdict(self._tally.reading(float(query or b"-1"))))
            case "POST", "/reset":
                self._tally.reset()
                self._live.reseed()
                return json_answer(200, asdict(self._tally.reading()))
            case "GET", "/conditions":
                pass
            case "PATCH", "/conditions":
                changes = json.loads(body)
                if not isinstance(changes, dict):
                    raise SettingsError("the body is not a JSON object")
                self._live.change(self._live.conditions.changed(changes))
            case _:
                return message(404, f"there is no {method} {path} here")
        return json_answer(200, {**asdict(self._live.conditions), "ca_file": self._live.ca_file})
