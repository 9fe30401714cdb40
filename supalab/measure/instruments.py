"""Measure memory, threads, CPU time and event-loop lag of this process; describe the machine and its libraries."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path

import psutil

from supalab import __version__
from supalab.measure.compare import percentile

ROLLUP = Path("/proc/self/smaps_rollup")
LIBRARIES = (
    *("httpx", "httpcore", "anyio", "httptools", "aiohttp", "requests", "urllib3", "uvloop"),
    *("httpx2", "httpcore2", "supabase", "postgrest", "fastapi", "uvicorn"),
)
CALIBRATE_EVERY_S = 0.005
# Each wake-up of an idle loop costs about 0.1 ms of CPU time: with a tick every 5 ms, a slow arm would pay more for its
# ticks than for its requests. With a tick every 20 ms, the same lags are seen, only fewer of them.
TICKER_S = 0.02


def machine() -> dict[str, str]:
    """Return the system, processor, number of CPUs and kind of Python; no name of the machine or its user."""
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cpus": str(os.cpu_count() or "?"),
        "implementation": platform.python_implementation(),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, supalab and the network libraries that this process has loaded."""
    loaded = {name: version(name) for name in LIBRARIES if name in sys.modules}
    return {"python": platform.python_version(), "supalab": __version__, **loaded}


def uss(process: psutil.Process | None = None) -> int | None:
    """Return the unique set size in bytes (memory that would be freed if the process ended), ``None`` if unknown.

    Source: psutil's ``memory_full_info``. RSS would count pages shared with other processes.
    """
    try:
        return int((process or psutil.Process()).memory_full_info().uss)
    except (psutil.Error, OSError, AttributeError):
        return None


def written() -> int | None:
    """Return the part of the unique set size that this process has written to, in bytes; all of it outside Linux.

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

    ``mark`` sets the baseline; ``numbers`` has the peaks since then. ``cpu_s``: its own CPU time in seconds.
    """

    def __init__(self, every: float = 0.04) -> None:
        self._every, self._process = every, psutil.Process()
        self._stopped, self._lock = threading.Event(), threading.Lock()
        self._base = self._peak = (0, 0)
        self.cpu_s = 0.0
        self._thread = threading.Thread(target=self._run, name="supalab-sampler", daemon=True)

    def start(self) -> Sampler:
        """Start the thread and return the sampler."""
        self._thread.start()
        return self

    def mark(self) -> None:
        """Take the current values as the baseline: threads and memory that come later belong to the client."""
        with self._lock:
            self._base = self._peak = self._values()

    def sample(self) -> None:
        """Take one sample; may be called from any thread."""
        with self._lock:
            memory, threads = self._values()
            self._peak = (max(memory, self._peak[0]), max(threads, self._peak[1]))

    def stop(self) -> None:
        """Take a last sample and stop the thread."""
        self.sample()
        self._stopped.set()
        self._thread.join()

    @property
    def numbers(self) -> dict[str, int]:
        """Return bytes at the baseline and added at the peak, if known on this system, and the most threads at once."""
        (base, quiet), (peak, busy) = self._base, self._peak
        # The main thread, and those that were created since the mark.
        return ({"base_bytes": base, "added_bytes": peak - base} if base else {}) | {"threads": 1 + busy - quiet}

    def _values(self) -> tuple[int, int]:
        return uss(self._process) or 0, self._process.num_threads()

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            self.sample()
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
        """Tick for a while on a loop that is otherwise idle, to measure what a tick costs."""
        other, before = LoopLag(CALIBRATE_EVERY_S), time.thread_time()
        other.start()
        await asyncio.sleep(seconds)
        other.stop()
        self.cpu_per_tick = (time.thread_time() - before) / max(len(other._late), 1)

    def start(self) -> None:
        """Start ticking; needs a running event loop."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + self._every
        self._timer = loop.call_at(self._due, self._tick)

    def stop(self) -> None:
        """Stop ticking; an overdue tick counts as late as it is now."""
        if self._timer is None:
            return
        overdue = asyncio.get_running_loop().time() - self._due
        if overdue > 0:
            self._late.append(overdue)
        self._timer.cancel()
        self._timer = None

    def _tick(self) -> None:
        self._late.append(max(asyncio.get_running_loop().time() - self._due, 0.0))
        self.start()

    @property
    def cpu_s(self) -> float:
        """The estimated CPU seconds that the ticks since the calibration have cost."""
        return self.cpu_per_tick * len(self._late)

    @property
    def numbers(self) -> dict[str, float]:
        """Return how late the ticks came, in seconds; nothing before the first tick."""
        if not self._late:
            return {}
        parts = {"p50": percentile(self._late, 50), "p99": percentile(self._late, 99), "max": max(self._late)}
        return {f"lag_{name}_s": value or 0.0 for name, value in parts.items()}
