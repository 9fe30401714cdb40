"""The watcher beside a burst: it runs in a thread of the probe's own, looks every few milliseconds, and adds up.

Flow: the process's threads, the loop and the system's table of connections → seconds, by who waits → ``Waits``.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from supalab.measure.probe.owners import Owners, owners
from supalab.measure.probe.seen import Waits
from supalab.measure.probe.sockets import LabAddress, watched
from supalab.measure.probe.threads import Doing, Place, doing, loop_doing, place

__all__ = ["Rest", "Watcher", "rest_places"]

EVERY_S = 0.008
OWNERS_EVERY_S = 0.12


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
class _Tally:
    """The sums while they are made: seconds by what was seen."""

    loop_read: float = 0.0
    loop_rest: float = 0.0
    threads_read: float = 0.0
    threads_work: float = 0.0
    threads_elsewhere: float = 0.0
    threads_resolving: float = 0.0
    loop_sockets: float = 0.0
    processes: float = 0.0
    own: float = 0.0
    # Loops in other threads: (seconds with a socket to the lab, sockets x seconds, most at once) of each thread.
    loops: dict[int, tuple[float, float, int]] = field(default_factory=dict)

    def waits(self) -> Waits:
        """A loop that never had two sockets at once is a thread that waits for one answer, whatever it waits with."""
        several = {thread for thread, (_, _, most) in self.loops.items() if most > 1}
        return Waits(
            self.loop_read,
            self.loop_rest,
            self.threads_read + sum(one[0] for thread, one in self.loops.items() if thread not in several),
            self.threads_work,
            self.threads_elsewhere,
            self.threads_resolving,
            self.loop_sockets,
            sum(self.loops[thread][1] for thread in several),
            self.processes,
            self.own,
        )


class Watcher:
    """Looks at every thread, at the loop's sockets and at who holds connections, until it is told to stop.

    ``run`` blocks, so it belongs into a thread.
    """

    def __init__(self, loop: object, lab: LabAddress, at_rest: Rest) -> None:
        self._loop, self._lab, self._at_rest = loop, lab, at_rest
        self._tally = _Tally()
        self._owners = Owners()
        self._stop = threading.Event()
        self.looks = self.threads_most = self.processes_most = 0
        self.watched_s = 0.0

    def stop(self) -> None:
        """End ``run`` at its next look."""
        self._stop.set()

    @property
    def waits(self) -> Waits:
        """What was added up so far."""
        return self._tally.waits()

    def run(self, enough: Callable[[float], bool]) -> None:
        """Look until ``stop``, or until ``enough`` (asked with the seconds since the start) says so."""
        began = last = time.perf_counter()
        next_owners = began + OWNERS_EVERY_S / 2
        while True:
            stopped = self._stop.wait(EVERY_S)
            now = time.perf_counter()
            # What is seen now stands for the time since the last look, however late this one comes.
            self._look(now - last)
            if now >= next_owners:
                self._owners = owners(self._lab)
                self.processes_most = max(self.processes_most, self._owners.processes)
                next_owners = time.perf_counter() + OWNERS_EVERY_S
            last, self.watched_s = now, now - began
            if stopped or enough(now - began):
                return

    def _look(self, seconds: float) -> None:
        self.looks += 1
        reading = 0
        frames = sys._current_frames()
        me = threading.get_ident()
        for thread, frame in frames.items():
            if thread == me:
                continue
            if thread == self._at_rest.loop_thread:
                self._loop_does(loop_doing(frame, self._loop, self._lab, self._at_rest.loop), seconds)
                continue
            what = doing(frame, self._lab, self._at_rest.others)
            self._thread_does(thread, what, seconds)
            reading += what.state == "reading"
        del frames  # it holds this very frame: a circle
        self.threads_most = max(self.threads_most, reading)
        self._tally.loop_sockets += seconds * watched(self._loop, self._lab)
        self._tally.own += seconds * self._owners.own
        self._tally.processes += seconds * self._owners.children

    def _loop_does(self, what: Doing, seconds: float) -> None:
        self._tally.loop_read += seconds * (what.state == "reading")
        self._tally.loop_rest += seconds * (what.state == "resting")

    def _thread_does(self, thread: int, what: Doing, seconds: float) -> None:
        tally = self._tally
        tally.threads_read += seconds * (what.state == "reading")
        tally.threads_work += seconds * (what.state == "working")
        tally.threads_elsewhere += seconds * (what.state == "elsewhere")
        tally.threads_resolving += seconds * (what.state == "resolving")
        if what.sockets:
            spent, sockets, most = tally.loops.get(thread, (0.0, 0.0, 0))
            tally.loops[thread] = (
                spent + seconds,
                sockets + seconds * what.sockets,
                max(most, what.sockets),
            )
