"""What an experiment runs (``Workload``, ``Case``) and what it measures (``Span``, ``Trial``: a row of numbers).

Experiments, tables and figures all use these types. Pure: nothing here opens a file or a socket or reads a clock. Times
are in seconds. The numbers of a trial are described in ``data/reference/README.md``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

from supalab.errors import SettingsError, TrialError
from supalab.measure.compare import percentile
from supalab.report.format import counts
from supalab.settings import checked_number

#: What a trial holds under one name: mostly numbers, but also kinds of failures in words.
Value = float | int | str | bool | None

#: A larger value is surely a mistyped number, or milliseconds instead of seconds.
MOST, MOST_ROWS, LONGEST_S = 100_000, 1_000_000, 30


@dataclass(frozen=True, slots=True)
class Workload:
    """The requests of a trial: how many, by how many callers at once, with which query, at which latency.

    ``latency``: seconds the lab takes for each request, ``None`` for a real project, where it is unknown. ``callers``:
    number of callers that each send the next request after a response; ``None``: all requests at once. ``table``,
    ``columns``, ``limit``: the query; ``limit`` is the rows per request, ``None`` for all. Raises SettingsError with
    the value and what to do.
    """

    requests: int = 100
    latency: float | None = 0.15
    callers: int | None = None
    table: str = "contests"
    columns: str = "*"
    limit: int | None = 10

    def __post_init__(self) -> None:
        checked_number("requests", self.requests, 1, MOST, "use e.g. 100")
        if self.callers is not None:
            checked_number("callers", self.callers, 1, MOST, "use e.g. 10, or leave it out for all requests at once")
        if self.limit is not None:
            checked_number("rows", self.limit, 1, MOST_ROWS, "give the rows of a response, or leave it out for all")
        if self.latency is not None:
            cure = "it is in seconds, so write 0.15 for 150 ms"
            latency = checked_number("latency", self.latency, 0, LONGEST_S, cure, "seconds")
            object.__setattr__(self, "latency", float(latency))
        for name in ("table", "columns"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise SettingsError(f"{name} {getattr(self, name)!r} is empty or not text: name what to select")

    def width(self, limit: int) -> int:
        """Return how many requests an arm with this limit can have in flight here."""
        return min(limit, self.requests, self.callers or self.requests)

    def ideal_s(self, limit: int) -> float | None:
        """Return the total time in seconds if only latency took time; ``None`` if the latency is unknown."""
        return None if self.latency is None else math.ceil(self.requests / self.width(limit)) * self.latency


class Span(NamedTuple):
    """One request: when it was asked for (or intended), started and finished, and how it ended.

    ``started``: when it took a slot or was sent; ``None`` if it never was, or if the client does not report it.
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
        """Service time: seconds from the slot to the response, ``None`` if unknown."""
        return None if self.started is None else self.done - self.started

    @property
    def latency(self) -> float:
        """Seconds from the call to the response: queue time and service time together."""
        return self.done - self.asked


def span_numbers(spans: Sequence[Span]) -> dict[str, Value]:
    """Return the numbers of spans; latency, queue time and service time are those of answered requests only.

    Numbers that no request has are left out.
    """
    makespan = max(span.done for span in spans) - min(span.asked for span in spans)
    good = [span for span in spans if span.ok]
    found: dict[str, Value] = {
        "makespan_s": makespan,
        "per_s": len(good) / makespan if makespan else 0.0,
        "errors": len(spans) - len(good),
    }
    for name in ("latency", "wait", "service"):
        values = [value for span in good if (value := getattr(span, name)) is not None]
        if values:
            found |= {f"{name}_p{q}_s": percentile(values, q) for q in (50, 99)}
    if len(good) < len(spans):
        found["failures"] = counts(dict(Counter(span.outcome for span in spans if not span.ok).most_common()))
    if good:
        found["latency_mean_s"] = sum(span.latency for span in good) / len(good)
    served = [span.service for span in spans if span.service is not None]
    if served:
        found |= {"service_mean_s": sum(served) / len(served), "at_once": _at_once(good)}
    return found


def _at_once(spans: Iterable[Span]) -> int:
    """Count the most requests that held a slot at once."""
    held = [(span.started, span.done) for span in spans if span.started is not None]
    # At the same moment, a response counts before a start, because the slot was passed on.
    changes = sorted([(began, 1) for began, _ in held] + [(done, -1) for _, done in held])
    return max(accumulate((change for _, change in changes), initial=0))


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to run: an arm over a workload, by a job of the worker, under conditions of the lab.

    ``job``: a name from the worker's table of jobs. ``tags`` are added to the trial's row. ``detail``: keep every
    request's span and the lab's timeline, for a figure that draws them. ``options`` are for the job: ``warm_up``,
    requests that do not count; ``rate``, requests per second, instead of all at once; ``ticker``, seconds between the
    ticks that measure the loop's lag; ``at_s`` and ``then``, when callers are cancelled and what follows; ``timeout``,
    the client's, in seconds; ``seconds``, how long the case should take, if the server time does not determine it.
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
        """The arm's limit; 0 for something without one, such as the address of a service."""
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
    numbers: Mapping[str, Value]
    spans: tuple[Span, ...] = ()
    timeline: tuple[tuple[float, int], ...] = ()

    def __post_init__(self) -> None:
        for span in self.spans:
            if not span.asked <= (span.asked if span.started is None else span.started) <= span.done:
                raise TrialError(f"a span must be asked, started and done in this order, not {span}")

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
        """The requests that it was asked for."""
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
    def row(self) -> dict[str, Any]:
        """Return one flat row for a table."""
        one, load = self.case, self.case.workload
        asked = {"arm": one.arm, "kind": one.kind, "limit": one.limit, "repeat": one.repeat}
        asked |= {"requests": load.requests, "latency": load.latency, "ideal_s": one.ideal_s}
        return {**asked, **one.tags, **self.numbers}
