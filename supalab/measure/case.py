"""What an experiment runs (``Case``) and what it measures (``Trial``, a row of numbers).

Experiments, tables and figures all use these types. Pure: nothing here opens a file or a socket or reads a clock. Times
are in seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

from supalab.errors import TrialError
from supalab.measure.compare import percentile
from supalab.measure.workload import Workload

__all__ = ["NUMBERS", "Case", "Number", "Span", "Trial", "check_order", "span_numbers"]

Number = float | int | str | bool | None

#: Every number of a trial: its name, and what it is. A test refuses a number that is not listed here.
NUMBERS: Mapping[str, str] = {
    "makespan_s": "seconds from the first request to the last response",
    "per_s": "answered requests per second of it",
    "errors": "requests that failed",
    "failures": "how they failed, such as 3 x HTTP 504, 1 x timeout",
    "latency_p50_s": "seconds from asking to the answer, median of the answered requests",
    "latency_p99_s": "the same, 99th percentile",
    "latency_mean_s": "the same, mean",
    "wait_p50_s": "queue time: seconds of it spent waiting for a slot, median",
    "wait_p99_s": "the same, 99th percentile",
    "service_p50_s": "service time: seconds of it spent being served, median",
    "service_p99_s": "the same, 99th percentile",
    "service_mean_s": "mean service time of all requests that took a slot, failed ones too",
    "at_once": "most requests between slot and response at once, as the client has them",
    "cpu_ms": "milliseconds of CPU of the client's process for each request",
    "threads": "most threads at once, the main one included",
    "lag_p50_s": "seconds by which the event loop ran a timer late, median",
    "lag_p99_s": "the same, 99th percentile",
    "lag_max_s": "the same, longest",
    "base_bytes": "unique set size of the client's process before the client was made",
    "added_bytes": "bytes that client and requests added to it at the peak",
    "cancelled_s": "seconds from the callers' start to their cancellation",
    "free_s": "seconds from the cancellation until every caller had ended",
    "run_s": "the same until asyncio.run had returned",
    "exit_s": "the same until the process had joined its threads and ended",
    "late_s": "seconds that one new caller waited for its response, who asked right after the cancellation",
    "late_outcome": "what became of that caller: ok, or the name of an error",
    "closed_s": "seconds that closing the client took",
    "failed": "callers that had an error instead of the cancellation",
    "held_bytes": "memory above the base, without clean pages of program files (elsewhere than on Linux with them)",
    "uss_bytes": "the same with them: the unique set size",
    "answered": "callers that had their response when the memory was read, or in spite of the cancellation",
    "at_rest": "whether nothing moved any more when the memory was read",
    "settle_s": "seconds until nothing moved any more",
    "peak": "most requests in flight, as the lab saw them",
    "served": "requests that the lab answered",
    "connections": "connections that the lab saw",
    "abandoned": "requests that the lab answered though their client had disconnected",
    "busy_s": "seconds that all requests together spent in the lab",
    "requests": "requests that were sent",
    "sent_per_s": "requests sent per second",
    "answered_per_s": "requests answered per second, until the last one was done",
    "lasted_s": "seconds until the last one was done",
    "response_p50_s": "seconds from the intended start to the response, median; none if so many were never answered",
    "response_p95_s": "the same, 95th percentile",
    "response_p99_s": "the same, 99th percentile",
    "disconnected": "clients that disconnected before the response, as they were meant to",
    "send_delay_p99_s": "seconds by which requests were sent later than intended, 99th percentile",
    "idle_s": "seconds of a response when the service had one caller only, median",
    "memory_bytes": "unique set size of the service's process at the end",
    "in_flight_mean": "requests in flight at the lab, mean over the whole load",
    "failed_on_purpose": "requests that the lab answered with an error because it was told to",
    "fault_from_s": "seconds from the load's start until the fault began",
    "fault_until_s": "the same until it ended",
}


class Span(NamedTuple):
    """One request: when it was asked for (or intended), started and finished, and how it ended.

    ``started``: when it took a slot or was sent; ``None`` if it never did, or if the client does not report it.
    ``outcome``: ``"ok"`` or a short error name such as ``"ApiError 503"``.
    """

    asked: float
    started: float | None
    done: float
    outcome: str = "ok"

    @property
    def ok(self) -> bool:
        """Whether the request was answered."""
        return self.outcome == "ok"

    @property
    def wait(self) -> float | None:
        """Queue time: seconds spent waiting for a slot, ``None`` if unknown."""
        return None if self.started is None else self.started - self.asked

    @property
    def service(self) -> float | None:
        """Service time: seconds spent being served, ``None`` if unknown."""
        return None if self.started is None else self.done - self.started

    @property
    def latency(self) -> float:
        """Seconds from asking to the answer: queue time and service time together."""
        return self.done - self.asked


def check_order(spans: Iterable[Span]) -> None:
    """Raise TrialError for a span that is done before it started."""
    for span in spans:
        if not span.asked <= (span.asked if span.started is None else span.started) <= span.done:
            raise TrialError(f"a span must be asked, started and done in this order, not {span}")


def span_numbers(spans: Sequence[Span]) -> dict[str, Number]:
    """Return the numbers of spans; latency, queue time and service time are those of answered requests only.

    Numbers that no request provides are left out.
    """
    makespan = max(span.done for span in spans) - min(span.asked for span in spans)
    good = [span for span in spans if span.ok]
    parts: Mapping[str, list[float]] = {
        "latency": [span.latency for span in good],
        "wait": [span.wait for span in good if span.wait is not None],
        "service": [span.service for span in good if span.service is not None],
    }
    found: dict[str, Number] = {
        f"{name}_p{q}_s": percentile(values, q) for name, values in parts.items() if values for q in (50, 99)
    }
    served = [span.service for span in spans if span.service is not None]
    if len(good) < len(spans):
        failed = Counter(span.outcome for span in spans if not span.ok).most_common()
        found["failures"] = ", ".join(f"{times} x {outcome}" for outcome, times in failed)
    return {
        "makespan_s": makespan,
        "per_s": len(good) / makespan if makespan else 0.0,
        "errors": len(spans) - len(good),
        **found,
        **({"latency_mean_s": sum(parts["latency"]) / len(good)} if good else {}),
        **({"service_mean_s": sum(served) / len(served), "at_once": _at_once(good)} if served else {}),
    }


def _at_once(spans: Iterable[Span]) -> int:
    """Count the most requests that held a slot at once."""
    held = [(span.started, span.done) for span in spans if span.started is not None]
    # At the same moment, a response counts before a start: the slot was passed on.
    changes = sorted([(began, 1) for began, _ in held] + [(done, -1) for _, done in held])
    return max(accumulate((change for _, change in changes), initial=0))


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to run: an arm over a workload, by a job of the worker, under conditions of the lab.

    ``job``: a name from the worker's table of jobs. ``tags`` are added to the trial's row. ``detail``: keep every
    request's span and the lab's timeline, for a figure that draws them. ``options`` are for the job: ``warm_up``,
    requests that do not count; ``ticker``, seconds between the ticks that measure the loop's lag; ``at_s`` and
    ``then``, when callers are cancelled and what follows; ``timeout``, the client's, in seconds; ``seconds``, how long
    the case should take, if the server time does not determine it.
    """

    arm: str
    workload: Workload
    job: str = "bare"
    repeat: int = 0
    conditions: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    detail: bool = False

    @property
    def kind(self) -> str:
        """The arm's name without its limit."""
        return self.arm.rpartition("-")[0]

    @property
    def limit(self) -> int:
        """The arm's limit; 0 for something that has none, such as the address of a service."""
        number = self.arm.rpartition("-")[2]
        return int(number) if number.isdecimal() else 0

    @property
    def ideal_s(self) -> float:
        """Seconds that the server time alone would take."""
        return (self.workload.ideal_s(self.limit) or 0.0) if self.limit else 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """A case that was run, and its numbers.

    ``spans`` and ``timeline``, which is (seconds since the lab's first request, requests in flight), are kept only
    where the case asks for them. Raises TrialError for a span that ends before it starts.
    """

    case: Case
    numbers: Mapping[str, Number]
    spans: tuple[Span, ...] = ()
    timeline: tuple[tuple[float, int], ...] = ()

    def __post_init__(self) -> None:
        check_order(self.spans)

    def __getitem__(self, name: str) -> Any:
        """Return a number, or a tag of the case, by its name; raises KeyError if there is neither."""
        return self.numbers[name] if name in self.numbers else self.case.tags[name]

    def get(self, name: str) -> Any:
        """Return a number, ``None`` if it was not measured."""
        return self.numbers.get(name)

    @property
    def arm(self) -> str:
        """The arm's name, such as ``fake-3``."""
        return self.case.arm

    @property
    def limit(self) -> int:
        """The arm's limit: its requests in flight at most."""
        return self.case.limit

    @property
    def workload(self) -> Workload:
        """What was asked of it."""
        return self.case.workload

    @property
    def makespan_s(self) -> float:
        """Total time: seconds from the first request to the last response, failed requests included."""
        return float(self["makespan_s"])

    @property
    def errors(self) -> int:
        """How many requests failed."""
        return int(self["errors"])

    @property
    def answered(self) -> tuple[Span, ...]:
        """The spans that ended well; latencies come from these alone."""
        return tuple(span for span in self.spans if span.ok)

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How often each outcome came, the most frequent first."""
        return dict(Counter(span.outcome for span in self.spans).most_common())

    @property
    def row(self) -> dict[str, Any]:
        """One flat row of a tidy table."""
        one = self.case
        asked = {"arm": one.arm, "kind": one.kind, "limit": one.limit, "repeat": one.repeat}
        return {
            **asked,
            "requests": one.workload.requests,
            "latency": one.workload.latency,
            "ideal_s": one.ideal_s,
            **one.tags,
            **self.numbers,
        }
