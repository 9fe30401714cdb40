"""Measure memory, threads, CPU time and event-loop lag of this process, without the cost of measuring."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from supalab.measure.compare import percentile

__all__ = ["TICKER_S", "Lag", "LoopLag", "Memory", "Sampler", "uss", "written"]

ROLLUP = Path("/proc/self/smaps_rollup")

CALIBRATE_EVERY_S = 0.005
# Each wake-up of an idle loop costs 0.1 ms or so of CPU: at 5 ms apart a slow arm would pay more for its
# ticks than for its requests. 20 ms apart sees the same lags, only fewer of them.
TICKER_S = 0.02


@dataclass(frozen=True, slots=True)
class Memory:
    """Unique set size of the process in bytes: before the client was made, and at its highest."""

    base_bytes: int
    peak_bytes: int

    @property
    def added_bytes(self) -> int:
        """Bytes that client and requests added at the peak."""
        return self.peak_bytes - self.base_bytes


@dataclass(frozen=True, slots=True)
class Lag:
    """How late the event loop ran a timer, in seconds."""

    p50: float
    p99: float
    max: float


def uss(process: psutil.Process | None = None) -> int | None:
    """Return the unique set size in bytes (what would be freed if the process ended), ``None`` if it is unknown.

    Source: psutil's ``memory_full_info``. RSS would count pages shared with other processes.
    """
    try:
        return int((process or psutil.Process()).memory_full_info().uss)
    except (psutil.Error, OSError, AttributeError):
        return None


def written() -> int | None:
    """Return the part of the unique set size that this process has written to, in bytes; outside Linux, all of it.

    The rest are clean pages of program files. Whether the system counts them as unique depends on the other processes:
    a second Python process makes them shared. Source: ``Private_Dirty`` in ``smaps_rollup``.
    """
    try:
        found = re.search(r"^Private_Dirty:\s+(\d+) kB$", ROLLUP.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return uss() if found is None else 1024 * int(found[1])


class Sampler:
    """A daemon thread that samples the memory and threads of this process every ``every`` seconds.

    ``mark`` sets the baseline; ``peaks`` returns the peaks since then. ``cpu_s``: its own CPU time in seconds.
    """

    def __init__(self, every: float = 0.04) -> None:
        self._every = every
        self._process = psutil.Process()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._base: int | None = None
        self._peak: int | None = None
        self._threads_base = self._threads_peak = 0
        self.cpu_s = 0.0
        self._thread = threading.Thread(target=self._run, name="supalab-sampler", daemon=True)

    def start(self) -> Sampler:
        """Start the thread and return the sampler."""
        self._thread.start()
        return self

    def mark(self) -> None:
        """Take the current values as the baseline: later threads and memory are the client's."""
        with self._lock:
            self._base = self._peak = uss(self._process)
            self._threads_base = self._threads_peak = self._process.num_threads()

    def look(self) -> None:
        """Take one sample, from any thread."""
        with self._lock:
            seen = uss(self._process)
            if seen is not None:
                self._peak = max(seen, self._peak or 0)
            self._threads_peak = max(self._threads_peak, self._process.num_threads())

    def stop(self) -> None:
        """Take a last sample and stop the thread."""
        self.look()
        self._stopped.set()
        self._thread.join()

    @property
    def memory(self) -> Memory | None:
        """Baseline and peak in bytes, ``None`` if this system does not provide them."""
        return None if self._base is None or self._peak is None else Memory(self._base, self._peak)

    @property
    def threads_peak(self) -> int:
        """The most threads at once: those since the mark, and the main one."""
        return 1 + self._threads_peak - self._threads_base

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            self.look()
            self.cpu_s = time.thread_time()


class LoopLag:
    """A timer on the running event loop, every ``every`` seconds: its delay is how long the loop was blocked.

    ``cpu_per_tick``: seconds of CPU a tick costs, known after ``calibrate``.
    """

    def __init__(self, every: float = TICKER_S) -> None:
        self._every = every
        self._late: list[float] = []
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.cpu_per_tick = 0.0

    async def calibrate(self, seconds: float = 0.15) -> None:
        """Tick on an otherwise idle loop for a while, to measure what a tick costs."""
        every, self._every = self._every, CALIBRATE_EVERY_S
        before = time.thread_time()
        self.start()
        await asyncio.sleep(seconds)
        self.stop()
        self._every = every
        self.cpu_per_tick = (time.thread_time() - before) / max(len(self._late), 1)
        self._late.clear()

    def start(self) -> None:
        """Start ticking; needs a running event loop."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + self._every
        self._timer = loop.call_at(self._due, self._tick, loop)

    def stop(self) -> None:
        """Stop ticking; a tick that is overdue counts as late as it is by now."""
        if self._timer is None:
            return
        overdue = asyncio.get_running_loop().time() - self._due
        if overdue > 0:
            self._late.append(overdue)
        self._timer.cancel()
        self._timer = None

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU that the ticks since calibration have cost, by estimate."""
        return self.cpu_per_tick * len(self._late)

    @property
    def lag(self) -> Lag | None:
        """How late the ticks came, in seconds; ``None`` before the first."""
        if not self._late:
            return None
        p50, p99 = percentile(self._late, 50), percentile(self._late, 99)
        return Lag(p50 or 0.0, p99 or 0.0, max(self._late))

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._late.append(max(loop.time() - self._due, 0.0))
        self._due = loop.time() + self._every
        self._timer = loop.call_at(self._due, self._tick, loop)
