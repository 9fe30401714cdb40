"""Sample this process while a client works: threads, event loops, sockets, child processes, loop lag.

Nothing is patched. Python's frames show the call in which a thread waits, and their variables show the socket. A
blocking socket to the lab means that the thread waits for one response; event loops use non-blocking sockets.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from types import CodeType, FrameType
from typing import Any, NamedTuple

import psutil

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
EVERY_S, CONNECTIONS_EVERY_S = 0.008, 0.1
# How many frames of a thread are searched for its socket, and its names in the standard library, urllib3 and httpcore.
DEPTH = 4
SOCKET_NAMES = ("_sock", "sock", "_socket", "socket", "connection")
# A thread that waits in these modules waits for work, for a lock or for an event, not for a response.
WAITING = {"threading.py", "queue.py", "selectors.py", "windows_events.py"}
WORKERS = {"thread.py", "process.py", "connection.py", "synchronize.py", "popen_fork.py"}
WORKER_FOLDERS = {"futures", "multiprocessing"}
# Files of Python and anyio that start a thread's work; the first frame after them shows what the thread is for.
STARTERS = {"threading.py", "thread.py", "_asyncio.py"}
# Linux' tables of connections, and in them the other end as hexadecimal address:port and the socket's inode.
TABLES, REMOTE, INODE = ("/proc/net/tcp", "/proc/net/tcp6"), 2, 9

#: What a sample counts: a number of a ``Burst``, ("read", code of a thread's work) or ("loop", thread).
Key = str | tuple[str, Any]


class LabAddress(NamedTuple):
    """Where the lab is: its port on this machine, and its process id."""

    port: int
    pid: int = 0

    def is_peer(self, sock: socket.socket | int) -> bool:
        """Return whether a socket, or the socket with this number, is connected to the lab."""
        return self.is_at(_peer(sock))

    def is_at(self, address: Any) -> bool:
        """Return whether an address, in the form of the socket module, is the lab's."""
        return isinstance(address, tuple) and len(address) > 1 and address[1] == self.port and address[0] in LOOPBACK


def _peer(sock: socket.socket | int) -> Any:
    """Return the address of a socket's other end; None if it is not connected, closed meanwhile, or not a socket."""
    with suppress(OSError, ValueError):
        if isinstance(sock, socket.socket):
            return sock.getpeername()
        looked_at = socket.socket(fileno=sock)
        try:
            return looked_at.getpeername()
        finally:
            looked_at.detach()  # another object owns it, so it is not closed here
    return None


def watched_sockets(watcher: object, lab: LabAddress) -> int | None:
    """Return how many sockets to the lab a loop or selector watches; None if that is not visible (uvloop)."""
    # In this order, because a selector also has a `_selector`, the system's, which shows nothing.
    for one in (watcher, getattr(watcher, "_selector", None)):
        if isinstance(table := getattr(one, "_fd_to_key", None), dict):
            return sum(map(lab.is_peer, list(table)))
    pending = getattr(getattr(watcher, "_proactor", None), "_cache", None)  # the operations of the loop on Windows
    if not isinstance(pending, dict):
        return None
    parts = {part for operation in list(pending.values()) for part in operation if isinstance(part, socket.socket)}
    return sum(map(lab.is_peer, parts))


def _blocking_sockets(frame: FrameType | None) -> Iterator[socket.socket]:
    """Yield the blocking sockets in variables of the innermost frames, and in attributes of their ``self``."""
    for _ in range(DEPTH):
        if frame is None:
            return
        held = list(frame.f_locals.values())
        with suppress(AttributeError):
            inside = object.__getattribute__(frame.f_locals.get("self"), "__dict__")
            held += [inside.get(name) for name in SOCKET_NAMES]
        yield from (one for one in held if isinstance(one, socket.socket) and one.gettimeout() != 0.0)
        frame = frame.f_back


def _place(frame: FrameType) -> tuple[str, str, str]:
    """Return folder, file and function of a frame."""
    path = PurePath(frame.f_code.co_filename)
    return path.parent.name, path.name, frame.f_code.co_name


def _work_of(frame: FrameType | None) -> CodeType | None:
    """Return what a thread is for: its outermost function that is not part of the code that starts threads."""
    found = None
    while frame is not None:
        if _place(frame)[1] not in STARTERS:
            found = frame.f_code
        frame = frame.f_back
    return found


class Watcher:
    """Sample all threads, the event loops and the owners of connections to the lab every few milliseconds.

    ``watch`` blocks, so run it in its own thread. The attributes hold the results of its last run: ``seconds`` for each
    thing that was seen (the sum over all threads), the ``most`` at once, and ``names`` of threads.
    """

    def __init__(self, loop: object, lab: LabAddress) -> None:
        self._loop, self._lab, self._loop_thread = loop, lab, threading.get_ident()
        # Where threads are while nothing happens. The loop's thread has its own set: a lock is a usual place for a
        # worker, but not for the loop.
        self._usual: set[object] = set()
        self._places: set[object] = set()
        self._loop_was: object = None
        self._stop = threading.Event()
        self.names: dict[Key, str] = {}
        self.seconds: defaultdict[Key, float] = defaultdict(float)
        self.most: Counter[Key] = Counter()
        self.watched_s = 0.0

    def stop(self) -> None:
        """End ``watch`` at its next sample."""
        self._stop.set()

    def learn_rest(self, seconds: float) -> None:
        """Watch for some seconds, and remember where each thread is as the place where it rests."""
        self.watch(lambda passed: passed > seconds)
        self._usual |= self._places

    def watch(self, enough: Callable[[float], bool]) -> None:
        """Sample until ``stop``, or until ``enough`` (called with the seconds since the start) returns true."""
        self._stop.clear()
        self.seconds, self.most, self._places = defaultdict(float), Counter(), set()
        last, mine, held = Counter[Key](), set[object](), list[set[object]]()
        began = before = time.perf_counter()
        due, over = began + CONNECTIONS_EVERY_S / 2, False
        while not over:
            stopped = self._stop.wait(EVERY_S)
            look, now = self._look(), time.perf_counter()
            # The time between two samples is divided between them, because it may be long.
            for key, number in (last + look).items():
                self.seconds[key] += number * (now - before) / 2
            self.most |= look
            last, before, self.watched_s = look, now, now - began
            over = stopped or enough(now - began)
            if now > due or (over and not held):
                here, there = _connections(self._lab)
                mine |= here  # also connections that were opened just before or after the last reading
                if there - mine and not _children(
                    self._lab
                ):  # then all are ours, and some were closed during the reading
                    mine |= there
                held.append(there)
                read = time.perf_counter()
                due = read + max(CONNECTIONS_EVERY_S, 2 * (read - now))
        self.seconds["own"] = self.watched_s * sum(len(there & mine) for there in held) / len(held)
        self.seconds["processes"] = self.watched_s * sum(len(there - mine) for there in held) / len(held)

    def _look(self) -> Counter[Key]:
        look = Counter[Key]({"loop_sockets": watched_sockets(self._loop, self._lab) or 0})
        frames = sys._current_frames()
        del frames[threading.get_ident()]
        for thread, frame in frames.items():
            where = (thread == self._loop_thread, frame.f_code, frame.f_lasti)
            self._places.add(where)
            at_rest, (folder, file, function) = where in self._usual, _place(frame)
            selects = file == "selectors.py" and function == "select"
            if thread == self._loop_thread:
                if selects:
                    at_rest = frame.f_locals.get("self") is getattr(self._loop, "_selector", None)
                elif not at_rest and any(map(self._lab.is_peer, _blocking_sockets(frame))):
                    look["loop_read"] = 1
                look["loop_rest" if at_rest else "loop_stuck"] = int(at_rest or self._loop_was == (id(frame), where))
                self._loop_was = (id(frame), where)
            elif selects:
                self._count(look, ("loop", thread), watched_sockets(frame.f_locals.get("self"), self._lab) or 0, thread)
            elif file == "socket.py" and function == "getaddrinfo":
                look["threads_resolving"] += 1
            elif file not in WAITING and not (file in WORKERS and folder in WORKER_FOLDERS):
                peers = list(map(_peer, _blocking_sockets(frame)))
                if any(map(self._lab.is_at, peers)):
                    self._count(look, ("read", _work_of(frame)), 1, thread)
                elif not at_rest:
                    look["threads_elsewhere" if any(peers) else "threads_work"] += 1
        return look

    def _count(self, look: Counter[Key], key: Key, number: int, thread: int) -> None:
        look[key] += number
        if number and key not in self.names:
            self.names[key] = next((one.name for one in threading.enumerate() if one.ident == thread), "a thread")


def _own_sockets() -> set[object]:
    """Return the inodes of this process's sockets."""
    links = list[str]()
    for file in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            links.append(str(file.readlink()))  # socket:[12345]
    return {link[8:-1].encode() for link in links if link.startswith("socket:[")}


def _connections(lab: LabAddress) -> tuple[set[object], set[object]]:
    """Return the connections to the lab, by what identifies them: those of this process, and all that are visible.

    On Linux the tables list all connections of the machine, and only the lab's lines are parsed: after many requests
    there are tens of thousands, and psutil, which reads them for each child process, would block the loop.
    """
    if sys.platform == "linux":
        there, mine = set[object](), _own_sockets()
        for table in TABLES:
            with suppress(OSError):
                lines = [line.split() for line in Path(table).read_bytes().splitlines() if b":%04X" % lab.port in line]
                there |= {line[INODE] for line in lines if line[REMOTE].endswith(b"0100007F:%04X" % lab.port)}
        return mine | _own_sockets(), there - {b"0"}  # read twice: one that opens or closes meanwhile is ours too

    def held_by(process: psutil.Process) -> set[object]:
        with suppress(psutil.Error, OSError):  # the process has ended, or access is denied
            table = process.net_connections(kind="tcp")
            return {tuple(one.laddr) for one in table if one.raddr and lab.is_at(tuple(one.raddr))}
        return set()

    own = held_by(psutil.Process())
    return own, own.union(*map(held_by, _children(lab)))


def _children(lab: LabAddress) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return [child for child in psutil.Process().children(recursive=True) if child.pid != lab.pid]
    return []


class Pause(NamedTuple):
    """The time between two beats of the event loop: seconds in all, and CPU seconds of the loop's thread."""

    seconds: float
    cpu_s: float


class Heartbeat:
    """A timer on the running event loop: how late it comes shows how long the loop was busy or blocked.

    ``with Heartbeat() as heart:``. Python's garbage collector is off meanwhile: in a process with many objects, one
    pass takes half a second, for which the client would be blamed.
    """

    #: Shorter pauses come from the machine.
    LONG_S = 0.1
    #: The part of a pause in which a blocked loop may use the CPU, to write a request and to read its response.
    IDLE = 0.08
    #: A pause that uses the CPU for more than this part is CPU work; the rest of it comes from a busy machine.
    WORK = 0.2

    def __init__(
        self, every: float = 0.01, clock: Callable[[], Pause] = lambda: Pause(time.perf_counter(), time.thread_time())
    ) -> None:
        self._every, self._clock = every, clock
        self.pauses: list[Pause] = []

    def __enter__(self) -> Heartbeat:
        self._collected = gc.isenabled()
        gc.disable()
        self._last = self._clock()
        self._timer = asyncio.get_running_loop().call_later(self._every, self._tick)
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self.beat()  # the current pause counts too
        if self._collected:
            gc.enable()

    def _tick(self) -> None:
        self.beat()
        self._timer = asyncio.get_running_loop().call_later(self._every, self._tick)

    def beat(self) -> None:
        """Note the pause since the last beat."""
        now, last = self._clock(), self._last
        self.pauses.append(Pause(now.seconds - last.seconds, now.cpu_s - last.cpu_s))
        self._last = now

    @property
    def blocked_s(self) -> float:
        """Seconds of long pauses in which the loop's thread hardly used the CPU: on a busy machine a thread that works
        gets a part of the CPU only, and one that waits for a response uses next to nothing of it.
        """
        long = [pause for pause in self.pauses if pause.seconds >= self.LONG_S]
        return sum(pause.seconds for pause in long if pause.cpu_s < self.IDLE * pause.seconds)

    def longest_block_s(self) -> float:
        """Return the longest pause since the last call, without time in which the loop only lacked a CPU."""
        self.beat()
        pauses, self.pauses = self.pauses, []
        return max(one.cpu_s if one.cpu_s > self.WORK * one.seconds else one.seconds for one in pauses)


class Connect(NamedTuple):
    """A connection that Python code opens: its port (0: unknown), its thread, and the thread's work."""

    port: int
    thread: int
    work: CodeType | None


_hooked = False
_heard: list[Connect] | None = None


@contextmanager
def connects() -> Iterator[list[Connect]]:
    """Collect the connections that Python opens in a list, which grows meanwhile.

    An audit hook cannot be removed: it is added once, at the first probe, and does nothing between probes.
    """
    global _hooked, _heard  # there is one hook for the process
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked = True
    _heard = heard = list[Connect]()
    try:
        yield heard
    finally:
        _heard = None


def _hook(event: str, args: tuple[Any, ...]) -> None:
    heard = _heard
    if heard is None or event != "socket.connect":
        return
    # Whatever a hook raises would be raised in the client's own code.
    with suppress(Exception):
        address = args[1]
        port = address[1] if isinstance(address, tuple) and len(address) > 1 else 0
        heard.append(Connect(int(port), threading.get_ident(), _work_of(sys._getframe(1))))
