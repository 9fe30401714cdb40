"""Errors and timeouts, tried out: a lab goes in, which exception each library raised and what timed out comes out.

``requests`` and ``httpx`` meet the same refusals: a table that is not there, a closed port, a server that answers a
byte at a time.
"""

from __future__ import annotations

import inspect
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress

import httpx
import requests

from supalab.lab.handle import Lab
from supalab.measure.claims.evidence import Fact

__all__ = ["dripping", "errors"]

# The server sends a byte each GAP_S, BYTES of them: every gap is far below the timeout, the whole is far above it.
GAP_S, BYTES, TIMEOUT_S = 0.2, 12, 0.8


def errors(lab: Lab) -> dict[str, Fact]:
    """Raise the real exceptions, and read the default timeouts and limits off the libraries' signatures."""
    nowhere, headers = f"{lab.url}/rest/v1/no_such_table", {"apikey": lab.key}
    refused = f"http://127.0.0.1:{_closed_port()}/"
    old_status = _raised(lambda: requests.get(nowhere, headers=headers, timeout=30).raise_for_status())
    new_status = _raised(lambda: httpx.get(nowhere, headers=headers, timeout=30).raise_for_status())
    old_refused = _raised(lambda: requests.get(refused, timeout=30))
    new_refused = _raised(lambda: httpx.get(refused, timeout=30))
    limits = inspect.signature(httpx.AsyncClient).parameters["limits"].default
    timeout = inspect.signature(httpx.AsyncClient).parameters["timeout"].default
    default = inspect.signature(requests.Session.request).parameters["timeout"].default
    return {
        "status_requests": _name(old_status),
        "status_httpx": _name(new_status),
        "status_caught_by_old_name": isinstance(new_status, requests.HTTPError),
        "status_caught_by_new_name": isinstance(new_status, httpx.HTTPError),
        "refused_requests": _name(old_refused),
        "refused_httpx": _name(new_refused),
        "refused_caught_by_old_name": isinstance(old_refused, requests.HTTPError),
        "refused_caught_by_new_name": isinstance(new_refused, httpx.HTTPError),
        "refused_requests_is_oserror": isinstance(old_refused, OSError),
        "refused_httpx_is_oserror": isinstance(new_refused, OSError),
        "default_timeout_requests_s": -1.0 if default is None else float(default),
        "default_timeout_httpx_s": -1.0 if timeout.read is None else float(timeout.read),
        "default_connections": limits.max_connections,
        "default_kept": limits.max_keepalive_connections,
    }


def dripping() -> dict[str, Fact]:
    """Ask a server that sends a byte at a time, with a timeout below the whole and above each gap."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=_drip, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        old, old_s = _asked(lambda: requests.get(url, timeout=TIMEOUT_S))
        new, new_s = _asked(lambda: httpx.get(url, timeout=TIMEOUT_S))
    return {
        "drip_timeout_s": TIMEOUT_S,
        "drip_requests": old,
        "drip_requests_s": round(old_s, 2),
        "drip_httpx": new,
        "drip_httpx_s": round(new_s, 2),
    }


def _drip(server: socket.socket) -> None:
    with suppress(OSError):  # it is closed when both have asked
        while True:
            caller, _ = server.accept()
            with caller, suppress(OSError):  # the caller has lost patience: that is a result too
                caller.recv(65_536)
                caller.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\nConnection: close\r\n\r\n".encode())
                for _ in range(BYTES):
                    time.sleep(GAP_S)
                    caller.sendall(b".")


def _asked(ask: Callable[[], object]) -> tuple[str, float]:
    began = time.perf_counter()
    error = _raised(ask)
    return _name(error), time.perf_counter() - began


def _raised(ask: Callable[[], object]) -> Exception | None:
    try:
        ask()
    except Exception as error:
        return error
    return None


def _name(error: Exception | None) -> str:
    return "ok" if error is None else type(error).__name__


def _closed_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return int(taken.getsockname()[1])
