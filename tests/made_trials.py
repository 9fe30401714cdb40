"""Trials made by a small simulation, for tests that need no lab: an arm goes in, spans and a witness come out."""

from __future__ import annotations

import heapq
import random

from supalab.measure.trial import Lag, Memory, Span, Trial, TrialSet, Witnessed
from supalab.measure.workload import Workload

__all__ = ["made_set", "made_trial"]

KIND_MB = {"fake": 0.65, "session": 0.54, "article": 2.6, "real": 0.7}


def made_trial(
    arm: str, workload: Workload | None = None, *, repeat: int = 0, seed: int = 1, fail: int = 0, witnessed: bool = True
) -> Trial:
    """One burst over ``limit`` slots, each service a little above the latency; the first ``fail`` requests fail."""
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
    memory = 22_000_000
    added = int(KIND_MB[kind] * 1_000_000 * (1 + 0.1 * dice.random()))
    return Trial(
        arm=arm,
        limit=limit,
        workload=workload,
        spans=tuple(spans),
        witness=_witness(spans, limit, kind) if witnessed else None,
        memory=Memory(memory, memory + added),
        cpu_s=round(0.0017 * workload.requests, 6),
        threads_peak=1 + limit if kind in {"fake", "session"} else 1,
        loop_lag=Lag(0.001, 0.002, 0.004),
        repeat=repeat,
        when="2026-11-22T17:00:00+00:00",
        versions={"python": "3.11.7"},
        machine={"system": "Linux", "cpus": "2"},
    )


def _witness(spans: list[Span], limit: int, kind: str) -> Witnessed:
    inside = [(s.started + 0.001, s.done - 0.001) for s in spans if s.started is not None]
    changes = sorted([(a, 1) for a, _ in inside] + [(b, -1) for _, b in inside])
    now, timeline, first = 0, [], changes[0][0]
    for at, change in changes:
        now += change
        timeline.append((round(at - first, 6), now))
    busy = round(sum(b - a for a, b in inside), 6)
    connections = len(spans) if kind == "fake" else limit
    return Witnessed(max(n for _, n in timeline), len(spans), connections, 0, busy, tuple(timeline))


def made_set(*arms: str, workload: Workload | None = None, repeats: int = 1, witnessed: bool = True) -> TrialSet:
    """Trials of these arms, by default the three of the side-by-side picture."""
    names = arms or ("fake-3", "fake-10", "real-10")
    return TrialSet(
        tuple(
            made_trial(arm, workload, repeat=repeat, witnessed=witnessed) for repeat in range(repeats) for arm in names
        )
    )
