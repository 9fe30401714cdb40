"""Kinds of client and limits go in; requests per second at each limit come out: where more slots stop helping.

Closed callers, as many as the limit, ask again as soon as they are answered; connections are open before the clock
starts. A client that gets slower is asked less, so that a trial stays short, and left out where that cannot help.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from supalab.clients.arms import Arm, arm
from supalab.errors import SettingsError
from supalab.lab.handle import Lab
from supalab.measure.archive import rounded
from supalab.measure.costs.knee_result import KNEE, NEAR, Knee, LeftOut, Point
from supalab.measure.costs.lab import (
    FINISHED,
    CostsInterrupted,
    checked_names,
    checked_repeat,
    kept_conditions,
    now,
    quiet,
    rotated,
    teller,
)
from supalab.measure.machine import merged
from supalab.measure.race import START_S, Progress, race
from supalab.measure.trial import Trial, Workload

__all__ = ["KINDS", "KNEE", "LIMITS", "NEAR", "Knee", "LeftOut", "Point", "expected_s", "requests_for", "throughput"]

KINDS = ("fake", "session", "kept", "real")
LIMITS = (3, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 400)
LATENCY_S = 0.1
# A trial is about so long, but goes round its slots some times, as its first and last round are not full ones; a slow
# client goes round fewer times, and where even that takes too long it is left out.
TRIAL_S, LONG_S, MOST_S = 2.0, 4.0, 8.0
ROUNDS, FEWEST_ROUNDS = 5, 2


@dataclass(slots=True)
class _Found:
    """What there is so far; ``pace``: each client's last throughput, from which the next trial's size is told."""

    latency: float
    when: str = field(default_factory=now)
    trials: list[Trial] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    pace: dict[str, tuple[int, float]] = field(default_factory=dict)

    def knee(self) -> Knee:
        machine, versions = (merged(getattr(trial, what) for trial in self.trials) for what in ("machine", "versions"))
        return Knee(self.latency, tuple(self.points), tuple(self.left_out), self.when, machine, versions)


def requests_for(limit: int, latency: float, pace: tuple[int, float] | None) -> tuple[int, float]:
    """Return how many requests make a trial of about ``TRIAL_S`` seconds, and how many seconds they should take.

    ``pace``: the limit before and the requests per second there; a client's throughput is taken to grow no more than
    its limit and no more than by half, and may fall past the knee.
    """
    per_s = limit / latency
    if pace is not None:
        per_s = min(per_s, pace[1] * min(limit / pace[0], 1.5))
    rounds = ROUNDS if ROUNDS * limit / per_s < LONG_S else FEWEST_ROUNDS
    requests = max(rounds * limit, round(TRIAL_S * per_s))
    return requests, requests / per_s


def expected_s(
    kinds: Sequence[str] = KINDS, limits: Sequence[int] = LIMITS, repeat: int = 1, latency: float = LATENCY_S
) -> float:
    """Return the seconds that ``throughput`` should take on a quiet machine, if no client is slow."""
    return 1.0 + repeat * len(kinds) * sum(_trial_s(limit, latency) for limit in limits)


def _trial_s(limit: int, latency: float) -> float:
    return START_S + latency + requests_for(limit, latency, None)[1]


def throughput(
    kinds: Sequence[str] = KINDS,
    limits: Sequence[int] = LIMITS,
    *,
    latency: float = LATENCY_S,
    repeat: int = 1,
    lab: Lab | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Knee:
    """Run each kind of client at each limit, ascending, ``repeat`` times, and return the throughputs.

    In a lab of its own unless one is given, which gets its latency back. Raises SettingsError for values that cannot
    work, LabError, TrialError when a worker breaks, CostsInterrupted on Ctrl-C.
    """
    plan = _plan(kinds, limits, repeat, latency)
    weights = [_trial_s(one.limit, latency) for _, one in plan]
    found = _Found(latency)
    try:
        with kept_conditions(lab) as here:
            for done, (turn, one) in enumerate(plan):
                tell = teller(progress, weights, done, one.name)
                _run(one, turn, here, found, tell)
                tell(FINISHED)
    except KeyboardInterrupt:
        raise CostsInterrupted(found.knee() if found.points else None) from None
    return found.knee()


def _plan(kinds: Sequence[str], limits: Sequence[int], repeat: int, latency: float) -> list[tuple[int, Arm]]:
    checked_repeat(repeat)
    Workload(1, latency)
    if not latency:
        raise SettingsError("latency 0: there is no ideal to compare with, use e.g. 0.1")
    names = checked_names("kinds", kinds, KINDS)
    numbers = sorted(set(limits))
    if not numbers:
        raise SettingsError(f"limits {limits!r} is empty: use e.g. 3, 10, 30")
    rows = [[arm(f"{kind}-{limit}") for kind in names] for limit in numbers]
    return [(turn, one) for turn in range(repeat) for place, row in enumerate(rows) for one in rotated(row, place)]


def _run(one: Arm, turn: int, lab: Lab, found: _Found, tick: Callable[[float], None]) -> None:
    known = found.pace.get(one.kind)
    if known is not None and known[0] >= one.limit:
        known = None  # a new turn begins again with the smallest limit
    requests, seconds = requests_for(one.limit, found.latency, known)
    skipped = any(out.kind == one.kind and out.limit <= one.limit for out in found.left_out)
    if skipped or seconds > MOST_S:
        if not any((out.kind, out.limit) == (one.kind, one.limit) for out in found.left_out):
            found.left_out.append(LeftOut(one.kind, one.limit, round(seconds, 1)))
        return
    quiet(lab, found.latency)
    trials = race(
        [one.name],
        Workload(requests, found.latency, callers=one.limit),
        lab=lab,
        bare=one.limit,
        checked=True,
        progress=lambda so_far: tick(so_far.fraction * _trial_s(one.limit, found.latency)),
    )
    trial = trials.trials[0]
    found.trials.append(trial)
    found.points.append(_point(trial, one, turn))
    found.pace[one.kind] = (one.limit, max(trial.throughput_per_s, 0.1))


def _point(trial: Trial, one: Arm, turn: int) -> Point:
    return Point(
        kind=one.kind,
        limit=one.limit,
        repeat=turn,
        requests=trial.workload.requests,
        makespan_s=rounded(trial.makespan_s),
        per_s=rounded(trial.throughput_per_s),
        cpu_ms=rounded(1000 * (trial.cpu_s or 0.0) / trial.workload.requests),
        errors=trial.errors,
    )
