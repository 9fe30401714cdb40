"""What a capacity experiment found: a frozen record of every step of every arm; ratios and goals come out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from supalab.capacity.search import bracket
from supalab.capacity.slots import TOO_SLOW, slots_capacity
from supalab.measure.archive import Form

__all__ = ["ARTICLE", "FORM", "ArmCapacity", "Capacity", "Goal", "Step", "goals"]

#: The article's row about production: response time (s), memory (MB), capacity; before and after.
ARTICLE: Mapping[str, tuple[float, float]] = {
    "response_s": (0.45, 0.15),
    "memory_mb": (250, 180),
    "capacity": (3, 10),
}


@dataclass(frozen=True)
class Step:
    """One rate on one service. Seconds, bytes, requests a second; a percentile that never came is ``None``.

    ``in_flight_peak``, ``in_flight_mean``, ``backend_requests``: as the lab witnessed. ``memory_bytes``: unique set
    size of the service's process at the end. ``late_s``: p99 of how late the generator sent.
    """

    rate: float
    sent_per_s: float
    answered_per_s: float
    requests: int
    p50: float | None
    p95: float | None
    p99: float | None
    errors: Mapping[str, int]
    in_flight_peak: int
    in_flight_mean: float
    backend_requests: int
    memory_bytes: int | None
    late_s: float
    good: bool


@dataclass(frozen=True)
class ArmCapacity:
    """One client's service: its response time when idle (median of one caller, one request at a time) and its steps.

    ``idle_requests`` and ``idle_backend_requests`` show how many requests of the backend one of the service makes.
    """

    arm: str
    limit: int
    idle_s: float
    idle_requests: int
    idle_backend_requests: int
    memory_idle_bytes: int | None
    steps: tuple[Step, ...]

    @property
    def threshold_s(self) -> float:
        """Twice the idle response time, which p95 must stay below."""
        return TOO_SLOW * self.idle_s

    @property
    def bracket(self) -> tuple[float | None, float | None]:
        """The highest good rate and the lowest bad one; ``None`` for what was not found."""
        return bracket({step.rate: step.good for step in self.steps})

    @property
    def capacity(self) -> float | None:
        """The highest rate with p95 below twice the idle response time; ``None`` if no rate was."""
        return self.bracket[0]

    @property
    def at_capacity(self) -> Step | None:
        """The step at that rate."""
        return next((step for step in self.steps if step.rate == self.capacity), None)

    @property
    def memory_peak_bytes(self) -> int | None:
        """The largest memory of the service's process at the end of a step."""
        return max((step.memory_bytes for step in self.steps if step.memory_bytes is not None), default=None)


@dataclass(frozen=True)
class Capacity:
    """Services that differ in their client alone, over one lab: what each can take. Seconds.

    ``latency``: the backend's. ``duration``: of a step, longer where that brings fewer than ``requests``.
    ``timeout``: of a service's client; ``patience``: of a caller. ``steps``: the rates that were climbed before
    the halving, which ends at ``fine``.
    """

    when: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    path: str
    latency: float
    duration: float
    requests: int
    seed: int
    timeout: float
    patience: float
    steps: tuple[float, ...]
    fine: float
    finished: bool
    arms: tuple[ArmCapacity, ...]

    def of(self, arm: str) -> ArmCapacity | None:
        """Return one arm's part, ``None`` if it did not run."""
        return next((found for found in self.arms if found.arm == arm), None)

    def ratio(self, arm: str, other: str) -> float | None:
        """Return one capacity over another, ``None`` if either is not known."""
        one, two = self.of(arm), self.of(other)
        if one is None or two is None or not one.capacity or not two.capacity:
            return None
        return one.capacity / two.capacity

    def slots(self, arm: ArmCapacity) -> float | None:
        """Return the capacity of as many bare slots, found by the same search over the same arrivals."""
        return slots_capacity(
            arm.limit,
            arm.idle_s,
            steps=self.steps,
            duration=self.duration,
            requests=self.requests,
            seed=self.seed,
            fine=self.fine,
        )


FORM = Form("supalab-capacity", 1, Capacity, "supalab capacity")


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal: ``value`` must lie from ``low`` to ``high``; ``None`` was not measured."""

    name: str
    low: float
    high: float | None
    value: float | None

    @property
    def reached(self) -> bool | None:
        """Whether it was reached, ``None`` if it was not measured."""
        return None if self.value is None else self.low <= self.value <= (self.high or float("inf"))


def goals(found: Capacity) -> tuple[Goal, ...]:
    """Return the goals of the issue, with what was measured."""
    return (
        Goal("capacity real-10 / fake-3", 3.0, None, found.ratio("real-10", "fake-3")),
        Goal("capacity real-10 / fake-10, the fair control", 0.75, 1.25, found.ratio("real-10", "fake-10")),
    )
