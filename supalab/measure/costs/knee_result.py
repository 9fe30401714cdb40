"""The knee as a record: points of throughput against the limit go in, each client's best limit comes out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from supalab.errors import TrialError
from supalab.measure.archive import Form

__all__ = ["KNEE", "NEAR", "Knee", "LeftOut", "Point"]

#: A limit is as good as the best if its throughput is within this part of the highest.
NEAR = 0.05


@dataclass(frozen=True, slots=True)
class Point:
    """One run of a client at a limit: answered requests per second, from as many closed callers as the limit.

    ``cpu_ms``: milliseconds of CPU of a request; ``errors``: requests that failed, which the throughput leaves out.
    """

    kind: str
    limit: int
    repeat: int
    requests: int
    makespan_s: float
    per_s: float
    cpu_ms: float
    errors: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A client that was not run at a limit, because two rounds there would have taken about so many seconds."""

    kind: str
    limit: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Knee:
    """All points at a lab of this latency (seconds), what was left out, and where and when (UTC, ISO 8601)."""

    latency: float
    points: tuple[Point, ...]
    left_out: tuple[LeftOut, ...]
    when: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of client, in the order in which they first ran."""
        return tuple(dict.fromkeys(point.kind for point in self.points))

    @property
    def limits(self) -> tuple[int, ...]:
        """The limits at which anything ran, ascending."""
        return tuple(sorted({point.limit for point in self.points}))

    def at(self, kind: str, limit: int) -> tuple[Point, ...]:
        """Return the repeats of one client at one limit, none if it was not run there."""
        return tuple(point for point in self.points if (point.kind, point.limit) == (kind, limit))

    def line(self, kind: str) -> dict[int, float]:
        """Return a client's throughput by limit, requests per second, medians of the repeats; ascending."""
        runs = {limit: self.at(kind, limit) for limit in self.limits}
        found = {limit: median(point.per_s for point in points) for limit, points in runs.items() if points}
        if not found:
            raise TrialError(f"the knee of {kind!r} was not measured: there are {', '.join(self.kinds) or 'none'}")
        return found

    def most(self, kind: str) -> float:
        """Return a client's highest throughput, requests per second."""
        return max(self.line(kind).values())

    def best(self, kind: str) -> int:
        """Return a client's best limit: the smallest whose throughput is within ``NEAR`` of the highest."""
        line = self.line(kind)
        return min(limit for limit, per_s in line.items() if per_s >= (1 - NEAR) * max(line.values()))

    def at_its_end(self, kind: str) -> bool:
        """Whether the best limit is the largest that was run, so that the knee may lie further on."""
        return self.best(kind) == max(self.line(kind))

    def ideal(self, limit: int) -> float:
        """Return the requests per second if nothing but latency took time."""
        return limit / self.latency


KNEE = Form("supalab-costs-knee", 1, Knee, "supalab costs knee")
