"""Serves HTTP on this machine with uvicorn, as a child process or a command does: until an event ends it."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from typing import TYPE_CHECKING

import uvicorn

from supalab.errors import LabError

try:
    from supalab.process.bounded_http import BoundedHttp as HttpProtocol
except ImportError:  # no httptools; uvicorn bounds the head itself then
    from uvicorn.protocols.http.h11_impl import H11Protocol as HttpProtocol  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

__all__ = ["HOST", "HttpProtocol", "ManagedServer", "listen"]

HOST = "127.0.0.1"


class ManagedServer(uvicorn.Server):
    """uvicorn's server, with a call when it is ready and an event that ends it, in place of its signals."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], ending: Event) -> None:
        super().__init__(config)
        self._ready = ready
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then say so."""
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether the end was asked for."""
        self.should_exit = self.should_exit or self._ending.is_set()
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: uvicorn would raise them again at the end, and a clean end must be exit code 0."""
        yield


def listen(port: int, host: str = HOST) -> socket.socket:
    """Return a socket bound to ``host``, an address, and ``port``; raises LabError when the port is taken or forbidden.

    It names TCP and turns Nagle's algorithm off: without that, each request on a kept connection takes about
    44 ms more (github.com/Kludex/uvicorn issue 3149).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # On Windows this option would let another program share the port.
    if sys.platform != "win32":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise LabError(_why_not(port, host, error)) from None
    return sock


def _why_not(port: int, host: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: end what listens there, or give port 0 for any free one"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"host {host!r} is no address of this machine ({error.strerror}): give {HOST}, or 0.0.0.0 for every one"
    return f"port {port} cannot be used ({error.strerror}): give port 0 for any free one"
