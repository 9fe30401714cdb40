"""Servers with a fault, for notebook 06.

Each has threads of its own, so that a blocking client in the kernel's thread does not block the server too.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TypeAlias

from supalab.errors import SettingsError

__all__ = ["faulty_server"]

#: Handles one connection; the event is set when the server should stop.
Behaviour: TypeAlias = Callable[[socket.socket, threading.Event], None]

TIMEOUT_S = 5.0
PAGE = b"<!doctype html><title>Gateway</title><p>We are working on it."


class _Server(socketserver.ThreadingTCPServer):
    # Its threads are joined at the end, so each checks the event.
    request_queue_size = 64


@contextmanager
def _serving(behaviour: Behaviour) -> Iterator[str]:
    stop = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):  # the client has disconnected, which is expected here
                self.request.settimeout(TIMEOUT_S)
                behaviour(self.request, stop)

    with _Server(("127.0.0.1", 0), Handler) as server:
        accepting = threading.Thread(target=server.serve_forever, args=(0.02,), name="faulty-server", daemon=True)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            stop.set()
            server.shutdown()
            accepting.join()


def _slow(gap_s: float, size: int) -> Behaviour:
    def send(caller: socket.socket, stop: threading.Event) -> None:
        _whole_request(caller)
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = b"[" + b" " * (size - 2) + b"]"
        caller.sendall(_head("application/json", body))
        for byte in body:
            if stop.wait(gap_s):
                return
            caller.sendall(bytes([byte]))

    return send


def _closes(caller: socket.socket, stop: threading.Event) -> None:
    _whole_request(caller)


def _silent(caller: socket.socket, stop: threading.Event) -> None:
    stop.wait()


def _html(caller: socket.socket, stop: threading.Event) -> None:
    _whole_request(caller)
    caller.sendall(_head("text/html", PAGE) + PAGE)


BEHAVIOURS: Mapping[str, Behaviour] = {"closes": _closes, "silent": _silent, "html": _html}


@contextmanager
def faulty_server(fault: str, *, gap_s: float = 0.1, size: int = 25) -> Iterator[str]:
    """Run a server with one fault and give its address.

    ``fault``: ``"refuses"`` (nothing listens there), ``"closes"`` (closes the connection instead of a response),
    ``"silent"`` (an https address whose TLS handshake never ends), ``"html"`` (status 200 and a web page), ``"slow"``
    (a response of ``size`` bytes, one every ``gap_s`` seconds). Raises SettingsError for another fault.
    """
    if fault == "refuses":
        with socket.create_server(("127.0.0.1", 0)) as taken:
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        yield url
        return
    behaviour = _slow(gap_s, size) if fault == "slow" else BEHAVIOURS.get(fault)
    if behaviour is None:
        raise SettingsError(f"there is no fault {fault!r}: choose from refuses, slow, {', '.join(BEHAVIOURS)}")
    with _serving(behaviour) as url:
        yield url.replace("http:", "https:") if fault == "silent" else url


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
