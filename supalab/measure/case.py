"""What one measurement is: a case that is asked for, and a trial, the case with the numbers it gave. Pure.

Numbers are seconds, bytes and counts; ``NUMBERS`` says what each is. The first sentence of an experiment's plan is a
case, every table and figure begins with trials.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from supalab.measure.trial import Span
from supalab.measure.workload import Workload

__all__ = ["NUMBERS", "Case", "Job", "Trial"]

#: What a worker does with a case: a burst with all instruments, one with the clock of CPU alone, one that is held while
#: its memory is read, one whose callers are cancelled, or an idle loop.
Job = Literal["burst", "bare", "held", "cancel", "idle"]

#: Every number of a trial: its name, and what it is.
NUMBERS: Mapping[str, str] = {
    "makespan_s": "seconds from the first request to the last response",
    "per_s": "answered requests per second of it",
    "errors": "requests that failed",
    "cpu_ms": "milliseconds of CPU of the client's process for each request",
    "threads": "most threads at once, the main one included",
    "lag_p50_s": "seconds by which the event loop ran a timer late, median",
    "lag_p99_s": "the same, 99th percentile",
    "lag_max_s": "the same, longest",
    "cancelled_s": "seconds from the callers' start to their cancellation",
    "free_s": "seconds from the cancellation until every caller had ended",
    "run_s": "the same until asyncio.run had returned",
    "exit_s": "the same until the process had joined its threads and ended",
    "late_s": "seconds that one new caller waited for its response, who asked right after the cancellation",
    "late_outcome": "what became of that caller: ok, or the name of an error",
    "closed_s": "seconds that closing the client took",
    "failed": "callers that had an error instead of the cancellation",
    "base_bytes": "memory of the process before the client was made",
    "held_bytes": "memory above that, without clean pages of program files (elsewhere than on Linux with them)",
    "uss_bytes": "the same with them: the unique set size",
    "answered": "callers that had their response when the memory was read, or in spite of the cancellation",
    "at_rest": "whether nothing moved any more when the memory was read",
    "settle_s": "seconds until nothing moved any more",
    "peak": "most requests in flight, as the lab saw them",
    "served": "requests that the lab answered",
    "connections": "connections that the lab saw",
    "abandoned": "requests that the lab answered though their client had disconnected",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to run: an arm over a workload, by a job of the worker, under conditions of the lab.

    ``tags`` stand in the trial's row too, ``options`` are for the job:
    ``warm_up``, requests that do not count; ``ticker``, seconds between the ticks that find the loop's lag;
    ``at_s`` and ``then``, when callers are cancelled and what follows; ``timeout``, the client's, in seconds.
    """

    arm: str
    workload: Workload
    job: Job = "bare"
    repeat: int = 0
    conditions: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The arm's name without its limit."""
        return self.arm.rpartition("-")[0]

    @property
    def limit(self) -> int:
        """The arm's limit."""
        return int(self.arm.rpartition("-")[2])

    @property
    def ideal_s(self) -> float:
        """Seconds that the server time alone would take."""
        return self.workload.ideal_s(self.limit) or 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """A case that was run, and its numbers; spans and timeline only where something draws them.

    ``timeline``: requests in flight that the lab saw, as (seconds, number) at each change.
    """

    case: Case
    numbers: Mapping[str, float | int | str | bool | None]
    spans: tuple[Span, ...] = ()
    timeline: tuple[tuple[float, int], ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.numbers[name]

    @property
    def row(self) -> dict[str, Any]:
        """One flat row of a tidy table."""
        one = self.case
        asked = {"arm": one.arm, "kind": one.kind, "limit": one.limit, "repeat": one.repeat}
        return {**asked, "requests": one.workload.requests, "ideal_s": one.ideal_s, **one.tags, **self.numbers}
