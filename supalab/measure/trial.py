"""The results of a race: one ``Trial`` per run of an arm, and sets of trials that may be compared.

Pure: nothing here opens a file or a socket or reads a clock. Times are seconds since the trial's start, memory is in
bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from supalab.errors import TrialError
from supalab.measure.case import Span, check_order
from supalab.measure.workload import Workload

__all__ = ["Backend", "Lag", "Memory", "Span", "Trial", "TrialSet", "Witnessed", "Workload"]


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What the lab saw of one trial; ``timeline`` is (seconds since its first request, requests in flight)."""

    peak: int
    served: int
    connections: int
    abandoned: int
    busy_s: float
    timeline: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """Unique set size of the worker in bytes: before the client was made, and at its highest."""

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


@dataclass(frozen=True, slots=True)
class Backend:
    """What answered: ``where`` is ``"lab"`` or a project's address; the rest are the lab's conditions."""

    where: str = "lab"
    jitter: float = 0.0
    rtt: float = 0.0
    tls: bool = False
    error_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of one arm over one workload, with all measured values.

    ``limit``: the arm's concurrency limit. ``cpu_s``: seconds of CPU from making the client to the last response,
    without the instruments' own. ``threads_peak``: threads of the worker, without the instruments'. ``repeat`` counts
    from 0. ``when``: UTC, ISO 8601. A value that was not measured is ``None``.
    """

    arm: str
    limit: int
    workload: Workload
    spans: tuple[Span, ...]
    backend: Backend = Backend()
    witness: Witnessed | None = None
    memory: Memory | None = None
    cpu_s: float | None = None
    threads_peak: int | None = None
    loop_lag: Lag | None = None
    repeat: int = 0
    when: str = ""
    versions: Mapping[str, str] | None = None
    machine: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        check_order(self.spans)
        if len(self.spans) != self.workload.requests:
            raise TrialError(f"{self.arm}: {len(self.spans)} spans for {self.workload.requests} requests")

    @property
    def answered(self) -> tuple[Span, ...]:
        """The spans that ended well; figures of latency come from these alone."""
        return tuple(span for span in self.spans if span.ok)

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How often each outcome came, the most frequent first."""
        return dict(Counter(span.outcome for span in self.spans).most_common())

    @property
    def errors(self) -> int:
        """How many requests did not end well."""
        return len(self.spans) - len(self.answered)

    @property
    def makespan_s(self) -> float:
        """Seconds from the first question to the last answer, failed requests included."""
        return max(span.done for span in self.spans) - min(span.asked for span in self.spans)

    @property
    def ideal_s(self) -> float | None:
        """The seconds that latency alone would take at this limit; ``None`` if it is unknown."""
        return self.workload.ideal_s(self.limit)

    @property
    def throughput_per_s(self) -> float:
        """Answered requests per second of makespan."""
        return len(self.answered) / self.makespan_s if self.makespan_s else 0.0


@dataclass(frozen=True, slots=True)
class TrialSet:
    """Trials that may be compared: one workload against one backend; raises TrialError for unlike ones."""

    trials: tuple[Trial, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "trials", tuple(self.trials))
        for trial in self.trials[1:]:
            for what in ("workload", "backend"):
                _check_alike(trial.arm, getattr(self.trials[0], what), getattr(trial, what))

    def __add__(self, other: TrialSet) -> TrialSet:
        return TrialSet(self.trials + other.trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    def __len__(self) -> int:
        return len(self.trials)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms' names, in the order in which they first ran."""
        return tuple(dict.fromkeys(trial.arm for trial in self.trials))

    @property
    def workload(self) -> Workload:
        """The workload of all trials; raises TrialError if there is none."""
        if not self.trials:
            raise TrialError("there are no trials: run a race first")
        return self.trials[0].workload

    def of(self, arm: str) -> tuple[Trial, ...]:
        """Return the trials of one arm, its repeats; raises TrialError for an arm that did not run."""
        found = tuple(trial for trial in self.trials if trial.arm == arm)
        if not found:
            raise TrialError(f"no trial of arm {arm!r}: there are {', '.join(self.arms) or 'none'}")
        return found


def _check_alike(arm: str, first: Workload | Backend, other: Workload | Backend) -> None:
    unlike = [f.name for f in fields(first) if getattr(first, f.name) != getattr(other, f.name)]
    if unlike:
        said = ", ".join(f"{name} {getattr(first, name)!r} and {getattr(other, name)!r}" for name in unlike)
        raise TrialError(f"unlike trials cannot be compared: {said} (arm {arm!r}); run them over one workload")
