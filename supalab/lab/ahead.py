"""Work done ahead: requests flow in as soon as they are known, and are worked on while their latency passes.

A lab with a thousand requests in flight spends most of its time waiting. If each request were worked on when its time
is up, or before its clock is set, a burst would push every later one back; done in between, in short turns, it fits
into the idle time and the latency stays what was asked for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from supalab.lab.messages import Answer, Request

__all__ = ["Ahead", "Answering", "Job"]

# After so long the event loop may see to arrivals and timers.
TURN_S = 0.001


class Answering(Protocol):
    """Anything that turns a request into an answer."""

    def answer(self, request: Request) -> Answer:
        """Answer one request; never raises."""


class Job:
    """One request and, once it was worked on, its answer."""

    __slots__ = ("answer", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.answer: Answer | None = None


class Ahead:
    """The queue of requests that wait to be worked on, in the order of their arrival."""

    def __init__(self, rest: Answering) -> None:
        self._rest = rest
        self._jobs: deque[Job] = deque()
        self._under_way = False

    def put(self, request: Request) -> Job:
        """Queue ``request``; it will be worked on soon, or at the latest when its answer is asked for."""
        job = Job(request)
        self._jobs.append(job)
        if not self._under_way:
            self._under_way = True
            asyncio.get_running_loop().call_soon(self._turn)
        return job

    def answer(self, job: Job) -> Answer:
        """Return the answer to ``job``, working on it now if that was not done yet."""
        if job.answer is None:
            job.answer = self._rest.answer(job.request)
        return job.answer

    def _turn(self) -> None:
        end = perf_counter() + TURN_S
        while self._jobs and perf_counter() < end:
            self.answer(self._jobs.popleft())
        self._under_way = bool(self._jobs)
        if self._under_way:
            asyncio.get_running_loop().call_soon(self._turn)
