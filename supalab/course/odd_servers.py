"""Servers that answer oddly, for notebook 06: a manner goes in, an address comes out, and nothing is left afterwards.

Each has threads of its own: a blocking client in the kernel's thread must not keep it from misbehaving.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeAlias

__all__ = ["a_page", "closed_port", "dripping", "hanging_up", "silent"]

#: What is done with one connection; the event is set when the server is to end.
Manner: TypeAlias = Callable[[socket.socket, threading.Event], None]

PATIENCE_S = 5.0
PAGE = b"<!doctype html><title>Gateway</title><p>We are working on it."


class _Server(socketserver.ThreadingTCPServer):
    # Its threads are joined at the end: each looks at the event.
    request_queue_size = 64


@contextmanager
def _serving(manner: Manner) -> Iterator[str]:
    stop = threading.Event()

    class Meets(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):  # the caller has lost patience: that is what this is for
                self.request.settimeout(PATIENCE_S)
                manner(self.request, stop)

    with _Server(("127.0.0.1", 0), Meets) as server:
        accepting = threading.Thread(target=server.serve_forever, args=(0.02,), name="odd-server", daemon=True)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            stop.set()
            server.shutdown()
            accepting.join()


@contextmanager
def dripping(*, gap_s: float = 0.1, size: int = 25) -> Iterator[str]:
    """Serve a body of ``size`` bytes, one every ``gap_s`` seconds; gives the address."""

    def manner(caller: socket.socket, stop: threading.Event) -> None:
        _whole_request(caller)
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = b"[" + b" " * (size - 2) + b"]"
        caller.sendall(_head("application/json", body))
        for byte in body:
            if stop.wait(gap_s):
                return
            caller.sendall(bytes([byte]))

    with _serving(manner) as url:
        yield url


@contextmanager
def hanging_up() -> Iterator[str]:
    """Serve nobody: take the request and close the connection without a word; gives the address."""
    with _serving(lambda caller, stop: _whole_request(caller)) as url:
        yield url


@contextmanager
def silent() -> Iterator[str]:
    """Take every connection and never say anything; gives an https address, whose handshake never ends."""

    def manner(caller: socket.socket, stop: threading.Event) -> None:
        stop.wait()

    with _serving(manner) as url:
        yield url.replace("http:", "https:")


@contextmanager
def a_page() -> Iterator[str]:
    """Answer everything with 200 and a web page, as a gateway in between may do; gives the address."""

    def manner(caller: socket.socket, stop: threading.Event) -> None:
        _whole_request(caller)
        caller.sendall(_head("text/html", PAGE) + PAGE)

    with _serving(manner) as url:
        yield url


def closed_port() -> str:
    """Return an address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/"


def _whole_request(caller: socket.socket) -> None:
    """Read up to the empty line; closing with bytes unread would be a reset, which is another fault."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        piece = caller.recv(65_536)
        if not piece:
            raise ConnectionError("the caller left before it had asked")
        seen += piece


def _head(kind: str, body: bytes) -> bytes:
    lines = ("HTTP/1.1 200 OK", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()
