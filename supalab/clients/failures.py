"""What went wrong, in one tree: an exception from below and its call flow in, an error of ours flows out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import httpx

from supalab.clients.retry import is_read
from supalab.errors import ClientClosed, ConnectionLost, DeadlineExceeded, OutcomeUnknown
from supalab.replies import without
from supalab.settings import Settings
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
    waited = f"{_what(call)} was not done within {timeout:g} s: it waited for {WAITING_FOR[phase]}"
    maybe = "" if is_read(call.method) or phase != "answer" else "; it may have been applied"
    return DeadlineExceeded(waited + maybe, phase=phase)


def closed_meanwhile(call: Call) -> ClientClosed:
    """The client was closed while a request was on its way."""
    maybe = "" if is_read(call.method) else "; it may have been applied"
    return ClientClosed(f"the client was closed while {_what(call)} was on its way{maybe}")


def lost(error: Exception, call: Call, settings: Settings, *, answering: bool) -> ConnectionLost:
    """The connection could not be made or has broken; for a write that may have arrived, OutcomeUnknown.

    ``answering``: the answer had begun, so the request surely arrived.
    """
    reason = f"{settings.url}: {without(str(error), settings.secrets) or type(error).__name__}"
    unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)) and not answering
    if is_read(call.method) or unsent:
        found = ConnectionLost(f"{_what(call)} failed, there was no answer from {reason}")
    else:
        found = OutcomeUnknown(f"{_what(call)} may have been applied: no answer came from {reason}")
    found.__cause__ = None if _tells(error, settings.secrets) else error
    return found


def _tells(error: BaseException | None, secrets: Iterable[str]) -> bool:
    """Whether an error from below, or one of its causes, shows a secret: a broken answer may repeat what was sent."""
    while error is not None:
        shown = f"{error} {error!r}"
        if any(secret in shown for secret in secrets):
            return True
        error = error.__cause__ or error.__context__
    return False


def _what(call: Call) -> str:
    return f"{call.method} {call.target.partition('?')[0]}"
