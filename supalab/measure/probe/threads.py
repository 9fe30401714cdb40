"""What a thread does at this moment: its innermost frames flow in, one word for it flows out.

Python's frames show the call that is waited in, and their local variables the socket that is waited for. A blocking
socket to the lab means that this thread waits for one answer; event loops use sockets that do not block.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from types import CodeType, FrameType
from typing import Any, Literal

from supalab.measure.probe.sockets import LabAddress, is_connected, watched

__all__ = ["Doing", "Place", "doing", "loop_doing", "place"]

State = Literal["reading", "elsewhere", "resolving", "loop", "resting", "working"]
#: Where a frame stands: its code and the instruction in it.
Place = tuple[CodeType, int]

DEPTH = 4
# By which names the frames of the standard library, urllib3 and httpcore hold their socket.
SOCKET_NAMES = ("_sock", "sock", "_socket", "socket", "connection")
# Threads that wait in here wait for work, for a lock or for an event, not for an answer.
WAITING_ROOMS = {"threading.py", "queue.py", "selectors.py", "windows_events.py"}
WORKERS = {"thread.py", "process.py", "connection.py", "synchronize.py", "popen_fork.py"}
WORKER_FOLDERS = {"futures", "multiprocessing"}


@dataclass(frozen=True, slots=True)
class Doing:
    """``reading``: in a blocking read of the lab; ``elsewhere``: of another server; ``resolving`` a name; ``loop``:
    waiting for events, ``sockets`` of them from the lab; ``resting``; ``working``: anything else.
    """

    state: State
    sockets: int = 0


RESTING, READING, WORKING = Doing("resting"), Doing("reading"), Doing("working")


def place(frame: FrameType) -> Place:
    """Return where a frame stands."""
    return frame.f_code, frame.f_lasti


def doing(frame: FrameType, lab: LabAddress, at_rest: set[Place]) -> Doing:
    """Return what the thread with this innermost frame does; ``at_rest``: where threads stood before any burst."""
    code = frame.f_code
    file = PurePath(code.co_filename).name
    if file == "selectors.py" and code.co_name == "select":
        return Doing("loop", watched(frame.f_locals.get("self"), lab))
    if file in WAITING_ROOMS or (file in WORKERS and PurePath(code.co_filename).parent.name in WORKER_FOLDERS):
        return RESTING
    if code.co_name == "getaddrinfo" and file == "socket.py":
        return Doing("resolving")
    found = [sock for sock in _sockets(frame) if _blocks(sock)]
    if any(lab.is_peer_of(sock) for sock in found):
        return READING
    if place(frame) in at_rest:
        return RESTING
    return Doing("elsewhere") if any(map(is_connected, found)) else WORKING


def loop_doing(frame: FrameType, loop: object, lab: LabAddress, at_rest: set[Place]) -> Doing:
    """Return what the thread that runs ``loop`` does: it rests only where it waits for the loop's own events."""
    if frame.f_code.co_name == "select" and PurePath(frame.f_code.co_filename).name == "selectors.py":
        return RESTING if frame.f_locals.get("self") is getattr(loop, "_selector", None) else WORKING
    if place(frame) in at_rest:
        return RESTING
    return READING if any(_blocks(sock) and lab.is_peer_of(sock) for sock in _sockets(frame)) else WORKING


def _sockets(frame: FrameType) -> Iterator[socket.socket]:
    """The sockets that the innermost frames hold in their variables."""
    inner: FrameType | None = frame
    for _ in range(DEPTH):
        if inner is None:
            return
        names = inner.f_locals
        yield from (value for value in list(names.values()) if isinstance(value, socket.socket))
        held = _attribute_socket(names.get("self"))
        if held is not None:
            yield held
        inner = inner.f_back


def _attribute_socket(owner: Any) -> socket.socket | None:
    try:
        inside = object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return None
    held = (inside.get(name) for name in SOCKET_NAMES)
    return next((sock for sock in held if isinstance(sock, socket.socket)), None)


def _blocks(sock: socket.socket) -> bool:
    return sock.gettimeout() != 0.0
