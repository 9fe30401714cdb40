"""Servers with a fault, for notebook 06.

Each has threads of its own, so that a blocking client in the kernel's thread does not block the server too.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from supalab.errors import SettingsError

FAULTS = ("refuses", "closes", "silent", "html", "slow")
TIMEOUT_S = 5.0
PAGE = b"<!doctype html><title>Gateway</title><p>We are working on it."
HEAD = "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n"


class _Server(socketserver.ThreadingTCPServer):
    """Gives each caller its fault. Its threads are joined at the end: those that wait check ``stop``."""

    def __init__(self, fault: str, gap_s: float, size: int) -> None:
        self.fault, self.gap_s, self.stop = fault, gap_s, threading.Event()
        self.kind, self.body = (
            ("text/html", PAGE) if fault == "html" else ("application/json", b"[%*s]" % (size - 2, b""))
        )
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(socketserver.StreamRequestHandler):
    server: _Server
    timeout, disable_nagle_algorithm = TIMEOUT_S, True

    def handle(self) -> None:
        does = self.server
        if does.fault == "silent":
            does.stop.wait()
            return
        with suppress(OSError):  # the client has disconnected, which is expected here
            # Read to the empty line: closing with unread bytes would cause a reset, which is another fault.
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            if does.fault == "closes":
                return
            self.wfile.write(HEAD.format(does.kind, len(does.body)).encode())
            for byte in does.body:
                if does.fault == "slow" and does.stop.wait(does.gap_s):
                    return
                self.wfile.write(bytes([byte]))


@contextmanager
def faulty_server(fault: str, *, gap_s: float = 0.1, size: int = 25) -> Iterator[str]:
    """Run a server with one fault and give its address.

    ``fault``: ``"refuses"`` (nothing listens there), ``"closes"`` (closes the connection instead of a response),
    ``"silent"`` (an https address whose TLS handshake never ends), ``"html"`` (status 200 and a web page), ``"slow"``
    (a response of ``size`` bytes, one every ``gap_s`` seconds). Raises SettingsError for another fault.
    """
    if fault not in FAULTS:
        raise SettingsError(f"there is no fault {fault!r}: choose from {', '.join(FAULTS)}")
    if fault == "refuses":
        with socket.create_server(("127.0.0.1", 0)) as taken:
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        yield url
        return
    with _Server(fault, gap_s, size) as server:
        accepting = threading.Thread(target=server.serve_forever, args=(0.02,), name="faulty-server", daemon=True)
        accepting.start()
        try:
            yield f"{'https' if fault == 'silent' else 'http'}://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.stop.set()
            server.shutdown()
            accepting.join()
