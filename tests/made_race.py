"""Trials made by a small simulation, for tests that need no lab."""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping, Sequence
from typing import Any

from supalab.lab.witness import Witness
from supalab.measure.case import Case, Span, Trial, Value, Workload
from supalab.measure.record import Record
from supalab.measure.run import trial_of

__all__ = ["made_race", "made_trial", "of_spans", "without"]

KIND_MB = {"fake": 0.65, "session": 0.54, "article": 2.6, "real": 0.7}


def made_trial(
    arm: str,
    workload: Workload | None = None,
    *,
    repeat: int = 0,
    seed: int = 1,
    fail: int = 0,
    witnessed: bool = True,
    conditions: Mapping[str, Any] | None = None,
) -> Trial:
    """Return a burst over ``limit`` slots, with service times just above the latency; the first ``fail`` fail."""
    workload = workload or Workload()
    kind, _, number = arm.rpartition("-")
    limit, dice = int(number), random.Random(f"{arm} {repeat} {seed}")
    free = [0.004 + 0.0004 * slot for slot in range(limit)]
    spans = []
    for index in range(workload.requests):
        started = heapq.heappop(free)
        done = started + (workload.latency or 0.15) + 0.003 + 0.002 * dice.random()
        heapq.heappush(free, done + 0.0005)
        outcome = "ApiError 503" if index < fail else "ok"
        spans.append(Span(round(0.00001 * index, 6), round(started, 6), round(done, 6), outcome))
    numbers = {
        "base_bytes": 22_000_000,
        "added_bytes": int(KIND_MB.get(kind, 1.0) * 1_000_000 * (1 + 0.1 * dice.random())),
        "cpu_ms": 1.7,
        "threads": 1 + limit if kind in {"fake", "session"} else 1,
        "lag_p50_s": 0.001,
        "lag_p99_s": 0.002,
        "lag_max_s": 0.004,
    }
    case = Case(arm, workload, "burst", repeat, conditions or {}, detail=True)
    return trial_of(case, {"numbers": numbers, "spans": spans}, _witness(spans, limit, kind) if witnessed else None)


def of_spans(like: Trial, spans: Sequence[Span], **numbers: Value) -> Trial:
    """Return the same case with other spans and new numbers; ``numbers`` replace some of them."""
    lab = {name: value for name, value in like.numbers.items() if name in {"peak", "served", "connections", "busy_s"}}
    own = {name: like.numbers[name] for name in ("base_bytes", "added_bytes", "cpu_ms", "threads", "lag_p99_s")}
    made = trial_of(like.case, {"numbers": {**own, **lab, **numbers}, "spans": spans}, None)
    return Trial(made.case, made.numbers, made.spans, like.timeline)


def without(trial: Trial, *names: str) -> Trial:
    """Return the same trial as if these numbers had not been measured."""
    numbers = {name: value for name, value in trial.numbers.items() if name not in names}
    return Trial(trial.case, numbers, trial.spans, trial.timeline)


def _witness(spans: list[Span], limit: int, kind: str) -> Witness:
    inside = [(s.started + 0.001, s.done - 0.001) for s in spans if s.started is not None]
    changes = sorted([(a, 1) for a, _ in inside] + [(b, -1) for _, b in inside])
    now, timeline, first = 0, [], changes[0][0]
    for at, change in changes:
        now += change
        timeline.append((round(at - first, 6), now))
    busy = round(sum(b - a for a, b in inside), 6)
    connections = len(spans) if kind == "fake" else limit
    return Witness(max(n for _, n in timeline), 0, len(spans), connections, 0, busy, tuple(timeline))


def made_race(*arms: str, workload: Workload | None = None, repeats: int = 1, witnessed: bool = True) -> Record:
    """Return a race of these arms, by default the three of the side-by-side figure."""
    names = arms or ("fake-3", "fake-10", "real-10")
    trials = [
        made_trial(arm, workload, repeat=repeat, witnessed=witnessed) for repeat in range(repeats) for arm in names
    ]
    return Record("race", tuple(trials), {"arms": list(names)}, machine={"cpus": "2"}, versions={"python": "3.11.7"})
