"""Rules that the OpenAPI document cannot express; schemathesis loads this before it calls the service."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Make a contest end after its start: no JSON Schema can compare two members, but the service does."""
    body = case.body
    if not isinstance(body, dict):
        return
    start, end = body.get("starts_at"), body.get("ends_at")
    if _moment(start) is not None and _moment(end) is not None and _moment(end) <= _moment(start):
        body["starts_at"], body["ends_at"] = (None, end) if start == end else (end, start)


def _moment(text: object) -> Any:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else None
