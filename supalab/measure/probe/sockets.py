"""Sockets and what watches them: an event loop or a socket flows in, whether the lab is at its other end flows out."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

__all__ = ["LabAddress", "hears_connects", "is_connected", "shows_sockets", "watched"]

HOSTS = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


class LabAddress:
    """The lab's end of a connection: its port on this machine, and the number of its process."""

    def __init__(self, port: int, pid: int = 0) -> None:
        self.port, self.pid = port, pid

    def is_at(self, address: Any) -> bool:
        """Whether an address, as the socket module writes it, is the lab's."""
        return isinstance(address, tuple) and len(address) >= 2 and address[1] == self.port and address[0] in HOSTS

    def is_peer_of(self, sock: socket.socket) -> bool:
        """Whether the lab is at the other end of a socket."""
        try:
            return self.is_at(sock.getpeername())
        except OSError:  # not connected, or closed meanwhile
            return False

    def is_peer_of_number(self, number: int) -> bool:
        """Whether the lab is at the other end of the socket with this number (file descriptor)."""
        try:
            looked_at = socket.socket(fileno=number)
        except (OSError, ValueError):  # not a socket, or closed meanwhile
            return False
        try:
            return self.is_peer_of(looked_at)
        finally:
            looked_at.detach()  # it belongs to somebody else: closing it here would be a theft


def is_connected(sock: socket.socket) -> bool:
    """Whether anybody is at the other end of a socket."""
    try:
        return bool(sock.getpeername())
    except OSError:
        return False


def shows_sockets(loop: object) -> bool:
    """Whether Python can see which sockets an event loop watches: not so with uvloop, which watches them in C."""
    return _selector_of(loop) is not None or _pending_of(loop) is not None


def hears_connects(loop: object) -> bool:
    """Whether Python hears of a loop's connections: uvloop and the loop of Windows connect past its audit events."""
    return _selector_of(loop) is not None


def watched(watcher: object, lab: LabAddress) -> int:
    """Return how many sockets to the lab an event loop, or a selector, watches at this moment."""
    pending = _pending_of(watcher)
    if pending is not None:
        return len({id(sock) for sock in _sockets_in(pending) if lab.is_peer_of(sock)})
    selector = _selector_of(watcher)
    return sum(lab.is_peer_of_number(number) for number in _numbers_in(selector))


def _selector_of(watcher: object) -> object | None:
    """The selector itself, or a loop's; its table of numbers is what all kinds of selector share."""
    # In this order: a selector has a `_selector` too, the system's, which shows nothing.
    candidates = (watcher, getattr(watcher, "_selector", None))
    return next((one for one in candidates if isinstance(getattr(one, "_fd_to_key", None), dict)), None)


def _numbers_in(selector: object | None) -> list[int]:
    return [number for number in list(getattr(selector, "_fd_to_key", ())) if isinstance(number, int)]


def _pending_of(loop: object) -> dict[Any, Any] | None:
    """What the loop of Windows waits for: its operations by address."""
    pending = getattr(getattr(loop, "_proactor", None), "_cache", None)
    return pending if isinstance(pending, dict) else None


def _sockets_in(pending: dict[Any, Any]) -> Iterator[socket.socket]:
    for operation in list(pending.values()):
        yield from (part for part in operation if isinstance(part, socket.socket))
