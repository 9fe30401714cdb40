"""Work done ahead: requests flow in as soon as they are known, and are worked on while their latency passes.

A lab with a thousand requests in flight spends most of its time waiting. If each request were worked on when its time
is up, or before its clock is set, a burst would push every later one back; done in between, in short turns, it fits
into the idle time and the latency stays what was asked for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Ahead", "Job"]

# After so long the event loop may see to arrivals and timers.
TURN_S = 0.001

Asked = TypeVar("Asked")
Made = TypeVar("Made")


class Job(Generic[Asked, Made]):
    """One piece of work: what was asked and, once it was worked on, what was made of it or why not."""

    __slots__ = ("asked", "done", "error", "made")

    made: Made

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.done = False
        self.error: Exception | None = None


class Ahead(Generic[Asked, Made]):
    """The queue of what waits to be worked on, in the order of arrival; ``work`` is done exactly once for each."""

    def __init__(self, work: Callable[[Asked], Made]) -> None:
        self._work = work
        self._jobs: deque[Job[Asked, Made]] = deque()
        self._under_way = False

    def put(self, asked: Asked) -> Job[Asked, Made]:
        """Queue a piece of work; it will be done soon, or at the latest when its result is asked for."""
        job: Job[Asked, Made] = Job(asked)
        self._jobs.append(job)
        if not self._under_way:
            self._under_way = True
            asyncio.get_running_loop().call_soon(self._turn)
        return job

    def result(self, job: Job[Asked, Made]) -> Made:
        """Return what was made of ``job``, working on it now if that was not done yet; raises what the work raised."""
        self._do(job)
        if job.error is not None:
            raise job.error
        return job.made

    def _do(self, job: Job[Asked, Made]) -> None:
        if job.done:
            return
        job.done = True
        try:
            job.made = self._work(job.asked)
        except Exception as error:  # kept for the one who asks for the result
            job.error = error

    def _turn(self) -> None:
        end = perf_counter() + TURN_S
        while self._jobs and perf_counter() < end:
            self._do(self._jobs.popleft())
        self._under_way = bool(self._jobs)
        if self._under_way:
            asyncio.get_running_loop().call_soon(self._turn)
