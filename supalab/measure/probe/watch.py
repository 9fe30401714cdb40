"""The watcher beside a burst: it runs in a thread of the probe's own, looks every few milliseconds, and adds up.

Flow: the process's threads, the loop and the system's table of connections → seconds, by who waits → ``Waits``.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

from supalab.measure.probe.owners import Owners, owners
from supalab.measure.probe.seen import Waits
from supalab.measure.probe.sockets import LabAddress, watched
from supalab.measure.probe.threads import Place, doing, loop_doing, place

__all__ = ["Look", "Rest", "Tally", "Watcher", "rest_places"]

EVERY_S = 0.008
OWNERS_EVERY_S = 0.3


def rest_places(seconds: float, every: float = EVERY_S) -> set[tuple[int, Place]]:
    """Return which thread stands where while nothing happens, looking for some seconds."""
    found: set[tuple[int, Place]] = set()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        frames = sys._current_frames()
        found |= {(thread, place(frame)) for thread, frame in frames.items() if thread != threading.get_ident()}
        del frames
        time.sleep(every)
    return found


@dataclass
class Rest:
    """Where threads stood while nothing happened: the one that runs the loop, and all others.

    Apart, because a lock is a place to rest for a worker, and none for the loop.
    """

    loop_thread: int
    loop: set[Place] = field(default_factory=set)
    others: set[Place] = field(default_factory=set)

    def add(self, places: set[tuple[int, Place]]) -> None:
        """Take in what ``rest_places`` found."""
        for thread, where in places:
            (self.loop if thread == self.loop_thread else self.others).add(where)


@dataclass
class Look:
    """One look: 1 or 0 for the loop's thread, how many of the other threads, how many sockets to the lab.

    ``loops``: sockets to the lab that loops in other threads watch, by thread.
    """

    loop_read: int = 0
    loop_rest: int = 0
    loop_stuck: int = 0
    threads_read: int = 0
    threads_work: int = 0
    threads_elsewhere: int = 0
    threads_resolving: int = 0
    loop_sockets: int = 0
    loops: dict[int, int] = field(default_factory=dict)


COUNTS = (
    "loop_read",
    "loop_rest",
    "loop_stuck",
    "threads_read",
    "threads_work",
    "threads_elsewhere",
    "threads_resolving",
)
COUNTED = {"reading": "threads_read", "working": "threads_work", "elsewhere": "threads_elsewhere"}
COUNTED |= {"resolving": "threads_resolving"}


class Tally:
    """Looks and the seconds between them flow in, sums in seconds flow out."""

    def __init__(self) -> None:
        self._last = Look()
        self._sums = dict.fromkeys((*COUNTS, "loop_sockets"), 0.0)
        # Of each thread with a loop: seconds with a socket to the lab, sockets x seconds, most at once.
        self._loops: dict[int, tuple[float, float, int]] = {}
        self.threads_most = 0

    def add(self, look: Look, seconds: float) -> None:
        """Add a look; the time since the last one belongs to both by halves, for it may have been long."""
        for one in (self._last, look):
            for name in self._sums:
                self._sums[name] += seconds / 2 * getattr(one, name)
            for thread, sockets in one.loops.items():
                spent, product, most = self._loops.get(thread, (0.0, 0.0, 0))
                self._loops[thread] = (spent + seconds / 2, product + seconds / 2 * sockets, max(most, sockets))
        self.threads_most = max(self.threads_most, look.threads_read)
        self._last = look

    def waits(self, own: float, processes: float) -> Waits:
        """Return the sums; a loop that never had two sockets at once is a thread that waits for one answer."""
        several = {thread for thread, (_, _, most) in self._loops.items() if most > 1}
        single = sum(spent for thread, (spent, _, _) in self._loops.items() if thread not in several)
        sums = {**self._sums, "threads_read": self._sums["threads_read"] + single}
        return Waits(
            **sums, other_loops=sum(self._loops[thread][1] for thread in several), processes=processes, own=own
        )


class Watcher:
    """Looks at every thread, at the loop's sockets and at who holds connections, until it is told to stop.

    ``run`` blocks, so it belongs into a thread.
    """

    def __init__(self, loop: object, lab: LabAddress, at_rest: Rest) -> None:
        self._loop, self._lab, self._at_rest = loop, lab, at_rest
        self._tally = Tally()
        self._stop = threading.Event()
        self._owners: list[Owners] = []
        self._ours: set[int] = set()
        self._loop_was = (0, 0)
        self.looks = 0
        self.watched_s = 0.0

    def stop(self) -> None:
        """End ``run`` at its next look."""
        self._stop.set()

    @property
    def waits(self) -> Waits:
        """What was added up; connections are means over a few readings of the system's table."""
        counts = self._owners or [Owners()]
        own, children = (sum(getattr(one, name) for one in counts) / len(counts) for name in ("own", "children"))
        return self._tally.waits(own * self.watched_s, children * self.watched_s)

    @property
    def threads_most(self) -> int:
        """The most threads that were in a read of the lab at once."""
        return self._tally.threads_most

    @property
    def processes_most(self) -> int:
        """The most child processes that held a connection to the lab at once."""
        return max((one.processes for one in self._owners), default=0)

    def run(self, enough: Callable[[float], bool]) -> None:
        """Look until ``stop``, or until ``enough`` (asked with the seconds since the start) says so."""
        # The system's table takes long to read: in a thread of its own, so that no look waits for it.
        over = threading.Event()
        reader = threading.Thread(target=self._read_owners, args=(over,), name="supalab-probe-owners", daemon=True)
        reader.start()
        self._ours = {threading.get_ident(), reader.ident or 0}
        began = last = time.perf_counter()
        try:
            while True:
                stopped = self._stop.wait(EVERY_S)
                look = self._look()
                now = time.perf_counter()
                self._tally.add(look, now - last)
                self.looks += 1
                last, self.watched_s = now, now - began
                if stopped or enough(now - began):
                    return
        finally:
            over.set()
            reader.join()

    def _read_owners(self, over: threading.Event) -> None:
        pause = OWNERS_EVERY_S / 6
        while not over.wait(pause):
            found = owners(self._lab)
            if not over.is_set() or not self._owners:
                self._owners.append(found)
            pause = OWNERS_EVERY_S

    def _look(self) -> Look:
        look = Look(loop_sockets=watched(self._loop, self._lab))
        frames = sys._current_frames()
        for thread, frame in frames.items():
            if thread in self._ours:
                continue
            if thread == self._at_rest.loop_thread:
                self._look_at_loop(look, frame)
                continue
            what = doing(frame, self._lab, self._at_rest.others)
            if what.state in COUNTED:
                name = COUNTED[what.state]
                setattr(look, name, getattr(look, name) + 1)
            if what.sockets:
                look.loops[thread] = what.sockets
        del frames  # it holds this very frame: a circle
        return look

    def _look_at_loop(self, look: Look, frame: FrameType) -> None:
        state = loop_doing(frame, self._loop, self._lab, self._at_rest.loop).state
        look.loop_read, look.loop_rest = int(state == "reading"), int(state == "resting")
        here = (id(frame), frame.f_lasti)
        look.loop_stuck = int(state != "resting" and here == self._loop_was)
        self._loop_was = here
