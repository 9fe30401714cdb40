"""One audit hook for the whole process: Python's news of connections and name look-ups flow to whoever listens.

An audit hook cannot be taken out again, so it is put in once, at the first probe, and does nothing while no probe runs.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

__all__ = ["EVENTS", "Heard", "is_listening", "listening"]

EVENTS = ("socket.connect", "socket.getaddrinfo")


@dataclass(frozen=True, slots=True)
class Heard:
    """One event: which ``thread`` did it, and the ``port`` it was about (0: not known)."""

    event: str
    thread: int
    port: int


_installed = False
_ear: list[Heard] | None = None


def is_listening() -> bool:
    """Whether a probe listens now."""
    return _ear is not None


@contextmanager
def listening() -> Iterator[list[Heard]]:
    """Collect what is heard, in a list that grows meanwhile; source: the audit events of Python's ``socket``."""
    global _installed, _ear  # there is one hook for the process
    if not _installed:
        sys.addaudithook(_hook)
        _installed = True
    ear: list[Heard] = []
    _ear = ear
    try:
        yield ear
    finally:
        _ear = None


def _hook(event: str, args: tuple[Any, ...]) -> None:
    ear = _ear
    if ear is None or event not in EVENTS:
        return
    # Whatever a hook raises would be raised in the client's own code.
    with suppress(Exception):
        ear.append(Heard(event, threading.get_ident(), _port(args[1])))


def _port(place: Any) -> int:
    """``("127.0.0.1", 8000)`` for a connection, the port alone for a look-up."""
    given = place[1] if isinstance(place, tuple) and len(place) > 1 else place
    return int(given) if isinstance(given, (int, str)) and str(given).isdecimal() else 0
