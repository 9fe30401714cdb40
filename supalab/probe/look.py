"""Sample this process while a client works: threads, event loops, sockets, child processes, lag of the loop.

Nothing is patched. Python's frames show in which call a thread waits, and their variables show the socket. A blocking
socket to the lab means that the thread waits for one response; event loops use non-blocking sockets.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import CodeType, FrameType
from typing import Any, NamedTuple

import psutil

__all__ = ["Connect", "Heartbeat", "Lab", "Pause", "Tally", "Watcher", "connects", "hears_connects", "watched_sockets"]

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
EVERY_S, CONNECTIONS_EVERY_S = 0.008, 0.1
# How many frames of a thread are searched for its socket, and by which names the standard library, urllib3 and
# httpcore hold it.
DEPTH = 4
SOCKET_NAMES = ("_sock", "sock", "_socket", "socket", "connection")
# Threads that wait in here wait for work, for a lock or for an event, not for a response.
WAITING = {"threading.py", "queue.py", "selectors.py", "windows_events.py"}
WORKERS = {"thread.py", "process.py", "connection.py", "synchronize.py", "popen_fork.py"}
WORKER_FOLDERS = {"futures", "multiprocessing"}
# Files of Python and anyio that start a thread's work; what the thread is for comes after them.
STARTERS = {"threading.py", "thread.py", "_asyncio.py"}
# Linux' tables of connections, and in them the other end as hexadecimal address:port and the socket's inode.
TABLES, REMOTE, INODE = ("/proc/net/tcp", "/proc/net/tcp6"), 2, 9

#: What a sample counts: a field of ``Burst``, ("read", code of a thread's work) or ("loop", thread).
Key = str | tuple[str, Any]


def _peer(sock: socket.socket) -> Any:
    try:
        return sock.getpeername()
    except OSError:  # not connected, or closed meanwhile
        return None


def _peer_of_number(number: int) -> Any:
    try:
        looked_at = socket.socket(fileno=number)
    except (OSError, ValueError):  # not a socket, or closed meanwhile
        return None
    try:
        return _peer(looked_at)
    finally:
        looked_at.detach()  # another object owns it, so it is not closed here


@dataclass(frozen=True)
class Lab:
    """Where the lab is: its port on this machine, and the number of its process."""

    port: int
    pid: int = 0

    def is_at(self, address: Any) -> bool:
        """Whether an address, as the socket module writes it, is the lab's."""
        return isinstance(address, tuple) and len(address) > 1 and address[1] == self.port and address[0] in LOOPBACK


def _selector_table(watcher: object) -> dict[Any, Any] | None:
    # In this order: a selector has a `_selector` too, the system's, which shows nothing.
    tables = (getattr(one, "_fd_to_key", None) for one in (watcher, getattr(watcher, "_selector", None)))
    return next((table for table in tables if isinstance(table, dict)), None)


def hears_connects(loop: object) -> bool:
    """Whether Python learns of a loop's connections: uvloop and the loop of Windows connect without an audit event."""
    return _selector_table(loop) is not None


def watched_sockets(watcher: object, lab: Lab) -> int | None:
    """Return how many sockets to the lab a loop or selector watches now; None where that cannot be seen (uvloop)."""
    table = _selector_table(watcher)
    if table is not None:
        return sum(lab.is_at(_peer_of_number(number)) for number in list(table) if isinstance(number, int))
    pending = getattr(getattr(watcher, "_proactor", None), "_cache", None)  # the operations of Windows' loop
    if not isinstance(pending, dict):
        return None
    parts = [part for operation in list(pending.values()) for part in operation]
    return sum(lab.is_at(_peer(sock)) for sock in {part for part in parts if isinstance(part, socket.socket)})


def _sockets(frame: FrameType | None) -> Iterator[socket.socket]:
    """The sockets in the variables of the innermost frames, and in attributes of their ``self``."""
    for _ in range(DEPTH):
        if frame is None:
            return
        names = frame.f_locals
        held = list(names.values())
        with suppress(AttributeError):
            inside = object.__getattribute__(names.get("self"), "__dict__")
            held += [inside.get(name) for name in SOCKET_NAMES]
        yield from (value for value in held if isinstance(value, socket.socket))
        frame = frame.f_back


def _file_of(frame: FrameType) -> tuple[str, str]:
    path = PurePath(frame.f_code.co_filename)
    return path.parent.name, path.name


def _place(frame: FrameType) -> tuple[CodeType, int]:
    return frame.f_code, frame.f_lasti


def _work_of(frame: FrameType | None) -> CodeType | None:
    """What a thread is for: its outermost function that is not of the machinery that starts threads."""
    found = None
    while frame is not None:
        if _file_of(frame)[1] not in STARTERS:
            found = frame.f_code
        frame = frame.f_back
    return found


class Tally:
    """Add up samples: the seconds of each thing, and how many there were at once."""

    def __init__(self) -> None:
        self._last: Mapping[Key, int] = {}
        self.seconds: defaultdict[Key, float] = defaultdict(float)
        self.most: defaultdict[Key, int] = defaultdict(int)

    def add(self, look: Mapping[Key, int], seconds: float) -> None:
        """Add a sample; the time since the last one is divided equally between both, because it may be long."""
        for key in {*self._last, *look}:
            self.seconds[key] += seconds / 2 * (self._last.get(key, 0) + look.get(key, 0))
            self.most[key] = max(self.most[key], look.get(key, 0))
        self._last = look


class Watcher:
    """Sample all threads, the event loops and the owners of connections to the lab every few milliseconds.

    ``watch`` blocks, so run it in its own thread; the attributes hold the results of its last run.
    """

    def __init__(self, loop: object, lab: Lab) -> None:
        self._loop, self._lab, self._loop_thread = loop, lab, threading.get_ident()
        # Where threads are while nothing happens; the loop's apart: a lock is a usual place for a worker, not for it.
        self._rest: dict[bool, set[tuple[CodeType, int]]] = {True: set(), False: set()}
        self._ours: set[int] = set()
        self._loop_was = (0, 0)
        self._stop = threading.Event()
        self.names: dict[Key, str] = {}
        self.tally, self.watched_s = Tally(), 0.0

    def stop(self) -> None:
        """End ``watch`` at its next sample."""
        self._stop.set()

    def learn_rest(self, seconds: float) -> None:
        """Learn for some seconds in which places threads are while nothing happens."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            for thread, frame in sys._current_frames().items():
                if thread != threading.get_ident():
                    self._rest[thread == self._loop_thread].add(_place(frame))
            time.sleep(EVERY_S)

    def watch(self, enough: Callable[[float], bool]) -> None:
        """Sample until ``stop``, or until ``enough`` (called with the seconds since the start) returns true."""
        self._stop.clear()
        self.tally = Tally()
        mine, held = set[object](), list[set[object]]()
        # Reading the system's table is slow: it has its own thread, so that no sample waits for it.
        over = threading.Event()
        reader = threading.Thread(
            target=self._read_connections, args=(over, mine, held), name="supalab-probe", daemon=True
        )
        reader.start()
        self._ours = {threading.get_ident(), reader.ident or 0}
        began = last = time.perf_counter()
        try:
            while True:
                stopped = self._stop.wait(EVERY_S)
                look = self._look()
                now = time.perf_counter()
                self.tally.add(look, now - last)
                last, self.watched_s = now, now - began
                if stopped or enough(now - began):
                    return
        finally:
            over.set()
            reader.join()
            counts = [(len(there & mine), len(there - mine)) for there in held] or [(0, 0)]
            for name, numbers in zip(("own", "processes"), zip(*counts, strict=True), strict=True):
                self.tally.seconds[name] = sum(numbers) / len(counts) * self.watched_s

    def _read_connections(self, over: threading.Event, mine: set[object], held: list[set[object]]) -> None:
        pause = CONNECTIONS_EVERY_S / 2
        while not over.wait(pause):
            began = time.perf_counter()
            here, there = _connections(self._lab)
            mine |= here  # also what was opened just before or after the last reading
            if not over.is_set() or not held:
                held.append(there)
            pause = max(CONNECTIONS_EVERY_S, 2 * (time.perf_counter() - began))

    def _look(self) -> dict[Key, int]:
        look: defaultdict[Key, int] = defaultdict(int)
        look["loop_sockets"] = watched_sockets(self._loop, self._lab) or 0
        frames = sys._current_frames()
        for thread, frame in frames.items():
            if thread == self._loop_thread:
                self._look_at_loop(look, frame)
            elif thread not in self._ours:
                self._look_at_thread(look, thread, frame)
        del frames  # it holds this very frame: a circle
        return look

    def _look_at_loop(self, look: dict[Key, int], frame: FrameType) -> None:
        here, was = (id(frame), frame.f_lasti), self._loop_was
        self._loop_was = here
        if _file_of(frame)[1] == "selectors.py" and frame.f_code.co_name == "select":
            rests = frame.f_locals.get("self") is getattr(self._loop, "_selector", None)
        else:
            rests = _place(frame) in self._rest[True]
            if not rests and any(sock.gettimeout() != 0.0 and self._lab.is_at(_peer(sock)) for sock in _sockets(frame)):
                look["loop_read"] = 1
        look["loop_rest"], look["loop_stuck"] = int(rests), int(not rests and here == was)

    def _look_at_thread(self, look: dict[Key, int], thread: int, frame: FrameType) -> None:
        folder, file = _file_of(frame)
        function = frame.f_code.co_name
        if file == "selectors.py" and function == "select":
            self._count(look, ("loop", thread), thread, watched_sockets(frame.f_locals.get("self"), self._lab) or 0)
        elif file in WAITING or (file in WORKERS and folder in WORKER_FOLDERS):
            return
        elif file == "socket.py" and function == "getaddrinfo":
            look["threads_resolving"] += 1
        else:
            peers = [_peer(sock) for sock in _sockets(frame) if sock.gettimeout() != 0.0]
            if any(map(self._lab.is_at, peers)):
                self._count(look, ("read", _work_of(frame)), thread, 1)
            elif _place(frame) not in self._rest[False]:
                look["threads_elsewhere" if any(peers) else "threads_work"] += 1

    def _count(self, look: dict[Key, int], key: Key, thread: int, number: int) -> None:
        look[key] += number
        if number and key not in self.names:
            self.names[key] = next((one.name for one in threading.enumerate() if one.ident == thread), "a thread")


def _connections(lab: Lab) -> tuple[set[object], set[object]]:
    """Find connections to the lab: those of this process, and all visible ones, by what identifies them.

    On Linux the tables list all connections of the machine, and only the lab's lines are parsed: after many requests
    there are tens of thousands, and reading them with psutil would block the loop. On other systems psutil reads each
    child process.
    """
    if sys.platform == "linux":
        there: set[object] = set()
        for table in TABLES:
            with suppress(OSError):
                lines = [line.split() for line in Path(table).read_bytes().splitlines() if b":%04X" % lab.port in line]
                there |= {line[INODE] for line in lines if line[REMOTE].endswith(b"0100007F:%04X" % lab.port)}
        links = []
        for file in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                links.append(str(file.readlink()))  # socket:[12345]
        return {link[8:-1].encode() for link in links if link.startswith("socket:[")}, there - {b"0"}
    mine, *children = [_held_by(process, lab) for process in (psutil.Process(), *_children(lab))]
    return mine, mine.union(*children)


def _children(lab: Lab) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return [child for child in psutil.Process().children(recursive=True) if child.pid != lab.pid]
    return []


def _held_by(process: psutil.Process, lab: Lab) -> set[object]:
    try:
        table = process.net_connections(kind="tcp")
    except (psutil.Error, OSError):  # it has ended, or access is denied
        return set()
    return {tuple(one.laddr) for one in table if one.raddr and lab.is_at(tuple(one.raddr))}


class Pause(NamedTuple):
    """The time between two beats of the event loop: seconds in all, and CPU seconds of the loop's thread."""

    seconds: float
    cpu_s: float


class Heartbeat:
    """A timer on the running event loop: how late it comes shows how long the loop was busy or blocked.

    ``with Heartbeat() as heart:``. Python's garbage collector is off meanwhile: in a process that holds much, one pass
    of it takes half a second, which would be blamed on the client.
    """

    #: Shorter pauses are the machine's.
    LONG_S = 0.1
    #: The part of a pause in which a blocked loop may use the CPU: to write a request and to read its response.
    IDLE = 0.08
    #: A pause with more use of the CPU than this part is CPU work, and lasts longer than that only on a busy machine.
    WORK = 0.2

    def __init__(
        self,
        every: float = 0.01,
        clock: Callable[[], float] = time.perf_counter,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._every, self._clock, self._cpu = every, clock, cpu
        self.pauses: list[Pause] = []

    def __enter__(self) -> Heartbeat:
        self._collected = gc.isenabled()
        gc.disable()
        self._last = (self._clock(), self._cpu())
        self._again()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self.beat()  # the pause until now counts
        if self._collected:
            gc.enable()

    def beat(self) -> None:
        """Note the pause since the last beat."""
        now, cpu = self._clock(), self._cpu()
        self.pauses.append(Pause(now - self._last[0], cpu - self._last[1]))
        self._last = (now, cpu)

    @property
    def blocked_s(self) -> float:
        """Seconds of long pauses in which the loop's thread hardly used the CPU: on a busy machine a thread that works
        gets a part of the CPU only, and one that waits for a response uses next to nothing of it.
        """
        long = [pause for pause in self.pauses if pause.seconds >= self.LONG_S]
        return sum(pause.seconds for pause in long if pause.cpu_s < self.IDLE * pause.seconds)

    def longest_block_s(self) -> float:
        """Return the longest pause since this was last asked, without the time in which the loop only lacked a CPU."""
        self.beat()
        longest = max(
            pause.cpu_s if pause.cpu_s > self.WORK * pause.seconds else pause.seconds for pause in self.pauses
        )
        self.pauses.clear()
        return longest

    def _again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every, self._tick)

    def _tick(self) -> None:
        self.beat()
        self._again()


class Connect(NamedTuple):
    """A connection that Python code opens: its port (0: unknown), its thread, and the work that opened it."""

    port: int
    thread: int
    work: CodeType | None


_hooked = False
_heard: list[Connect] | None = None


@contextmanager
def connects() -> Iterator[list[Connect]]:
    """Collect the connections that Python opens, in a list that grows meanwhile.

    An audit hook cannot be taken out again: it is put in once, at the first probe, and does nothing between probes.
    """
    global _hooked, _heard  # there is one hook for the process
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked = True
    heard: list[Connect] = []
    _heard = heard
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
