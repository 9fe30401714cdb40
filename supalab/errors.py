"""All errors that supalab raises on purpose, in one tree. An error outside this tree is a bug in supalab.

::

    SupalabError
    ├── SettingsError      an argument is invalid: a URL, a key, a limit, a file (also a ValueError)
    ├── LabError           the lab could not start, or has ended
    ├── AgentError         the contest agent could not start, or has ended
    ├── TrialError         a record of trials that cannot be read, or trials that must not be compared
    └── ClientError        a request failed
        ├── ApiError           the server returned an error
        ├── BadResponse        the server's response is not valid PostgREST
        │   └── ResponseTooLarge   the response is larger than the client accepts
        ├── DeadlineExceeded   the timeout expired (also a TimeoutError)
        ├── ConnectionLost     the connection failed before a response (also a ConnectionError)
        │   └── OutcomeUnknown     it failed during a write, which may or may not have been applied
        └── ClientClosed       the client was closed before or while the request ran (also a RuntimeError)

No message contains a key. Every error can be copied and pickled, so it can be passed between processes.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AgentError",
    "ApiError",
    "BadResponse",
    "ClientClosed",
    "ClientError",
    "ConnectionLost",
    "DeadlineExceeded",
    "LabError",
    "OutcomeUnknown",
    "ResponseTooLarge",
    "SettingsError",
    "SupalabError",
    "TrialError",
]

#: How many characters of a value a message shows at most.
LONGEST = 200


def shown(value: object) -> str:
    """Write a value for a message: in one line, shortened if it is long; only its type if it cannot be written."""
    try:
        text = " ".join(repr(value).splitlines())
    except Exception:  # a number with more digits than Python writes, or an error in its own __repr__
        text = f"<{type(value).__name__}>"
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


class SupalabError(Exception):
    """Any error that supalab raises on purpose.

    ``partial``: the record of what was finished, if an experiment ended early.
    """

    partial: object = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Python would call the class with the message only, which does not fit a class with other arguments.
        return _made_again, (type(self), self.args), self.__dict__


def _made_again(kind: type[SupalabError], args: tuple[Any, ...]) -> SupalabError:
    error = kind.__new__(kind)
    error.args = args
    return error


class SettingsError(SupalabError, ValueError):
    """An argument is invalid; the message names it, its value and what to do."""


class LabError(SupalabError):
    """The lab could not start, or it has ended; the message says why."""


class AgentError(SupalabError):
    """The contest agent could not start, or its process has ended; the message says why."""


class TrialError(SupalabError):
    """A record of trials cannot be read, or two trials must not be compared."""


class ClientError(SupalabError):
    """A request did not end with a response that can be used."""


class ApiError(ClientError):
    """The server returned an error; the attributes are those of its body.

    ``status``: the HTTP status. ``code``: PostgREST's or PostgreSQL's code, None if a gateway responded.
    ``details`` and ``hint`` may be None.
    """

    def __init__(
        self, status: int, message: str, *, code: str | None = None, details: str | None = None, hint: str | None = None
    ) -> None:
        self.status, self.message, self.code, self.details, self.hint = status, message, code, details, hint
        super().__init__(f"{status} {code}: {message}" if code else f"{status}: {message}")


class BadResponse(ClientError):
    """The server's response is not valid PostgREST: for example invalid JSON, or a gateway's error page."""


class ResponseTooLarge(BadResponse):
    """The response is larger than the client accepts; no part of it was kept."""


class DeadlineExceeded(ClientError, TimeoutError):
    """The timeout expired; ``phase`` says while waiting for what: ``slot``, ``connect``, ``response``, ``pause``."""

    def __init__(self, message: str, *, phase: str) -> None:
        self.phase = phase
        super().__init__(message)


class ConnectionLost(ClientError, ConnectionError):
    """The connection could not be opened, or it broke before the whole response had arrived."""


class OutcomeUnknown(ConnectionLost):
    """The connection broke during a write: the server may or may not have applied it."""


class ClientClosed(ClientError, RuntimeError):
    """The client was closed before or while the request ran; make a new one with ``async with``."""
