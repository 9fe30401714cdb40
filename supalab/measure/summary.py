"""Trials in, one row of figures for each arm out: medians over its repeats, ``None`` where nobody saw it.

Latency, wait and service come from answered requests only; how many were not answered always stands beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median, median_high
from typing import Any

from supalab.measure.compare import percentile
from supalab.measure.littles_law import law, mean_in_flight
from supalab.measure.trial import Span, Trial, TrialSet

__all__ = ["UNSTABLE_SPREAD", "percentile", "spread", "summary", "typical"]

UNSTABLE_SPREAD = 0.10


def typical(trial: Trial, q: float) -> Span | None:
    """Return the answered request at the q-th percentile of latency: a real one, so its parts add up."""
    ordered = sorted(trial.answered, key=lambda span: span.latency)
    return ordered[max(math.ceil(len(ordered) * q / 100), 1) - 1] if ordered else None


def spread(trials: Sequence[Trial]) -> float | None:
    """Return (slowest - fastest) ÷ median makespan over repeats; ``None`` for one trial."""
    makespans = [trial.makespan_s for trial in trials]
    return (max(makespans) - min(makespans)) / median(makespans) if len(makespans) > 1 and median(makespans) else None


def summary(trials: TrialSet) -> list[dict[str, Any]]:
    """Return one row for each arm, JSON-ready, in the order in which the arms first ran.

    Seconds (``_s``), bytes, milliseconds (``cpu_ms_per_request``) and counts; medians over repeats, but
    ``errors`` is the worst repeat's, so that no failure hides in a median.
    """
    return [_row(arm, trials.of(arm)) for arm in trials.arms]


def _row(arm: str, trials: Sequence[Trial]) -> dict[str, Any]:
    return {
        "arm": arm,
        "requests": trials[0].workload.requests,
        "errors": max(trial.errors for trial in trials),
        "peak_in_flight": _count(trials, lambda t: t.witness.peak if t.witness else None),
        "connections": _count(trials, lambda t: t.witness.connections if t.witness else None),
        "makespan_s": _middle(trials, lambda t: t.makespan_s),
        "ideal_ratio": _middle(trials, lambda t: t.makespan_s / t.ideal_s if t.ideal_s else None),
        "throughput_per_s": _middle(trials, lambda t: t.throughput_per_s),
        "wait_p50_s": _middle(trials, lambda t: percentile(_waits(t), 50)),
        "service_p50_s": _middle(trials, lambda t: percentile(_services(t), 50)),
        "latency_p99_s": _middle(trials, lambda t: percentile(_latencies(t), 99)),
        "cpu_ms_per_request": _middle(
            trials, lambda t: None if t.cpu_s is None else 1000 * t.cpu_s / t.workload.requests
        ),
        "memory_added_bytes": _count(trials, lambda t: t.memory.added_bytes if t.memory else None),
        "wait_p99_s": _middle(trials, lambda t: percentile(_waits(t), 99)),
        "service_p99_s": _middle(trials, lambda t: percentile(_services(t), 99)),
        "latency_p50_s": _middle(trials, lambda t: percentile(_latencies(t), 50)),
        "in_flight_mean": _middle(trials, mean_in_flight),
        "littles_law": _middle(trials, law),
        "threads_peak": _count(trials, lambda t: t.threads_peak),
        "loop_lag_p99_s": _middle(trials, lambda t: t.loop_lag.p99 if t.loop_lag else None),
        "limit": trials[0].limit,
        "ideal_s": trials[0].ideal_s,
        "repeats": len(trials),
        "makespan_spread": spread(trials),
    }


def _waits(trial: Trial) -> list[float]:
    return [span.wait for span in trial.answered if span.wait is not None]


def _services(trial: Trial) -> list[float]:
    return [span.service for span in trial.answered if span.service is not None]


def _latencies(trial: Trial) -> list[float]:
    return [span.latency for span in trial.answered]


def _middle(trials: Sequence[Trial], figure: Callable[[Trial], float | None]) -> float | None:
    seen = [value for value in map(figure, trials) if value is not None]
    return median(seen) if seen else None


def _count(trials: Sequence[Trial], figure: Callable[[Trial], int | None]) -> int | None:
    """A count stays a whole number that was really counted, hence the higher of two middles."""
    seen = [value for value in map(figure, trials) if value is not None]
    return median_high(seen) if seen else None
