"""What went wrong, in one tree: an exception from below and its call flow in, an error of ours flows out. Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

import httpx

from supalab.clients.retry import is_read
from supalab.errors import ClientClosed, ConnectionLost, DeadlineExceeded, OutcomeUnknown
from supalab.wire import Call

__all__ = ["Phase", "closed_meanwhile", "late", "lost"]

Phase: TypeAlias = Literal["slot", "connect", "answer", "pause"]
WAITING_FOR = {
    "slot": "a slot (all of the client's limit were taken)",
    "connect": "a connection",
    "answer": "the answer",
    "pause": "its next try, after the server had turned it away",
}


def late(call: Call, timeout: float, phase: Phase) -> DeadlineExceeded:
    """The deadline, which covers everything, has passed."""
    return DeadlineExceeded(
        f"{_what(call)} was not done within {timeout:g} s: it waited for {WAITING_FOR[phase]}", phase=phase
    )


def closed_meanwhile(call: Call) -> ClientClosed:
    """The client was closed while a request was on its way."""
    return ClientClosed(f"the client was closed while {_what(call)} was on its way; whether it was applied is unknown")


def lost(error: Exception, call: Call, url: str, *, answering: bool) -> ConnectionLost:
    """The connection could not be made or has broken; for a write that may have arrived, OutcomeUnknown.

    ``answering``: the answer had begun, so the request surely arrived.
    """
    reason = f"{url}: {str(error) or type(error).__name__}"
    unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)) and not answering
    if is_read(call.method) or unsent:
        found = ConnectionLost(f"{_what(call)} failed, there was no answer from {reason}")
    else:
        found = OutcomeUnknown(f"{_what(call)} may have been applied: no answer came from {reason}")
    found.__cause__ = error
    return found


def _what(call: Call) -> str:
    return f"{call.method} {call.target.partition('?')[0]}"
