"""The event loop's pulse: a timer on the loop flows in, how long the loop stood still, and on what, flows out.

A loop that is late and used the processor was busy; one that is late and did not was kept waiting, by a read or a lock.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["LONG_S", "Gap", "Pulse", "stood_still"]

EVERY_S = 0.01
#: Shorter pauses are the machine's.
LONG_S = 0.1
#: The part of a pause that a blocked loop may use: to write a request and to read its answer.
IDLE = 0.08


@dataclass(frozen=True, slots=True)
class Gap:
    """A pause between two beats: seconds in all, and seconds of the loop's thread on the processor."""

    seconds: float
    cpu_s: float


def stood_still(gaps: list[Gap]) -> float:
    """Return the seconds of long pauses in which the loop's thread was hardly on the processor.

    On a busy machine a thread that works gets a part of the processor only; one that waits for an answer uses next to
    nothing of it.
    """
    return sum(gap.seconds for gap in gaps if gap.seconds >= LONG_S and gap.cpu_s < IDLE * gap.seconds)


class Pulse:
    """Beats on the running loop from ``start`` to ``stop``; leaves nothing behind.

    Python's garbage collector rests meanwhile: in a process that holds much, one pass of it takes half a second, which
    would be blamed on the client.
    """

    def __init__(
        self,
        every: float = EVERY_S,
        clock: Callable[[], float] = time.perf_counter,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._every, self._clock, self._cpu = every, clock, cpu
        self._last = (0.0, 0.0)
        self._timer: asyncio.TimerHandle | None = None
        self._collected = False
        self.gaps: list[Gap] = []

    def start(self) -> None:
        """Start beating; needs a running event loop."""
        self._collected = gc.isenabled()
        gc.disable()
        self._last = (self._clock(), self._cpu())
        self._again()

    def stop(self) -> None:
        """Stop beating; the pause until now counts."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.beat()
            if self._collected:
                gc.enable()

    def beat(self) -> None:
        """Note the pause since the last beat."""
        now, cpu = self._clock(), self._cpu()
        self.gaps.append(Gap(now - self._last[0], cpu - self._last[1]))
        self._last = (now, cpu)

    @property
    def longest(self) -> Gap:
        """The longest pause."""
        return max(self.gaps, key=lambda gap: gap.seconds, default=Gap(0.0, 0.0))

    def _again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every, self._tick)

    def _tick(self) -> None:
        self.beat()
        self._again()
