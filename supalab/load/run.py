"""Run loads from here: a plan goes in, a process of its own fires it, a ``Load`` comes out; several make a record."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from supalab.load.plan import Plan
from supalab.load.shots import Load, Shot
from supalab.measure.archive import Form
from supalab.measure.child import run_worker
from supalab.measure.machine import machine, versions

__all__ = ["RECORD", "LoadRecord", "expected_s", "load", "loads", "made_on"]

START_S = 0.6
PATIENCE_S = 60.0
DECIMALS = 6
#: What the generator, the service and the lab run on; they are processes of their own, so none is loaded here.
ELSEWHERE = ("fastapi", "httptools", "httpx", "requests", "starlette", "urllib3", "uvicorn")


@dataclass(frozen=True)
class LoadRecord:
    """Loads on one service, in the order in which they ran; ``finished`` is False if Ctrl-C ended them early."""

    when: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    about: str
    finished: bool
    loads: tuple[Load, ...]


RECORD = Form("supalab-load", 1, LoadRecord, "supalab load")


def load(plan: Plan, *, start: float | None = None, tick: Callable[[float], None] = lambda _: None) -> Load:
    """Fire one plan from a fresh process and return every request; blocks until the last one is over.

    ``start``: when to begin, as ``time.time``; at once by default. ``tick`` is called in this thread, about ten times
    a second, with the seconds so far. Raises TrialError when the process breaks; it is gone when this returns.
    """
    job = {"parent": os.getpid(), "plan": asdict(plan), "start": start}
    found = run_worker(
        job, limit_s=plan.most_s + PATIENCE_S, tick=tick, module="supalab.load.worker", who="the load generator"
    )
    return Load(
        url=plan.url.partition("?")[0],
        duration=plan.duration,
        rate=plan.rate,
        callers=plan.callers,
        seed=plan.seed,
        timeout=plan.timeout,
        epoch=round(found["epoch"], DECIMALS),
        cpu_s=round(found["cpu_s"], DECIMALS),
        shots=tuple(_shot(row) for row in found["shots"]),
    )


def loads(plans: Sequence[Plan], *, keep: list[Load], progress: Callable[[float, int], None] = lambda *_: None) -> None:
    """Fire plans one after another; each load is added to ``keep`` when it is over, so Ctrl-C loses none of them.

    ``progress`` is called with the share of all (0 to 1), by expected seconds, and the number of loads that are over.
    """
    for done, plan in enumerate(plans):
        before, whole = expected_s(plans[:done]), expected_s(plans)

        def tick(seconds: float, before: float = before, whole: float = whole, done: int = done) -> None:
            progress((before + min(seconds, expected_s([plans[done]]))) / whole, done)

        keep.append(load(plan, tick=tick))
    progress(1.0, len(plans))


def expected_s(plans: Sequence[Plan]) -> float:
    """Return the seconds that these loads need if nothing is slow."""
    return sum(START_S + plan.duration for plan in plans)


def made_on() -> dict[str, Any]:
    """Return ``machine`` and ``versions`` for a record of what several processes did."""
    there = {name: version(name) for name in ELSEWHERE}
    return {"machine": machine(), "versions": there | versions()}


def _shot(row: Sequence[Any]) -> Shot:
    """Microseconds are what a record keeps: a load is the same before and after it was a file."""
    intended, sent, done = (round(float(at), DECIMALS) for at in row[:3])
    return Shot(intended, sent, done, str(row[3]))
