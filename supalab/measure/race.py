"""Run arms over a workload, each in a fresh process, and return what the clients and the lab measured.

``race`` → for each trial: reset the witness → worker process → its spans and figures + what the lab saw → ``Trial``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from supalab.clients.arms import DEFAULT_ARMS, Arm, arm
from supalab.errors import LabError, SettingsError
from supalab.lab.handle import Lab
from supalab.measure.check import check
from supalab.measure.child import job, run_worker
from supalab.measure.run import START_S, Progress, put_back
from supalab.measure.trial import Backend, Lag, Memory, Span, Trial, TrialSet, Witnessed, Workload
from supalab.settings import Settings

__all__ = ["START_S", "Progress", "RaceInterrupted", "marks", "race"]

PATIENCE_S = 300.0
PATIENCE = 20


class RaceInterrupted(KeyboardInterrupt):
    """Ctrl-C during a race: the worker and the race's own lab have gone; ``trials`` holds the finished ones."""

    def __init__(self, trials: TrialSet) -> None:
        self.trials = trials
        super().__init__(f"interrupted after {len(trials)} trials")


def race(
    arms: Sequence[str] = DEFAULT_ARMS,
    workload: Workload | None = None,
    *,
    repeat: int = 1,
    lab: Lab | None = None,
    settings: Settings | None = None,
    progress: Callable[[Progress], None] | None = None,
    keep: list[Trial] | None = None,
    bare: int | None = None,
    ticker_s: float | None = None,
    checked: bool = False,
) -> TrialSet:
    """Run every arm over the workload, ``repeat`` times, and return the trials.

    Without ``lab`` and ``settings`` a lab is started for the race. A given ``lab`` keeps its conditions, but during the
    race its latency is the workload's. With ``settings`` the requests go to a real project: then there is no witness,
    and the workload's latency counts as unknown. Arms take turns: each round runs all of them and starts with another
    one. ``keep``: a list to which each trial is added when it is finished. ``progress`` is called in this thread, about
    ten times a second. ``bare``: run this many warm-up requests first, and then measure without instruments: no memory,
    lag or slots, but undisturbed CPU and times. ``ticker_s``: seconds between the ticks that measure the loop's lag.
    ``checked``: everything is known to work, so send no request beforehand.

    Raises SettingsError for arguments that cannot work (an unknown arm, a wrong key, a table that is not there, …)
    before any trial, LabError, TrialError when a worker breaks, RaceInterrupted on Ctrl-C.
    """
    plan = _plan(arms, repeat)
    trials: list[Trial] = [] if keep is None else keep
    first = len(trials)
    try:
        with _backend(lab, settings, workload or Workload()) as course:
            if not checked:
                check(course.settings, course.workload, in_lab=course.lab is not None)
            _run(plan, replace(course, bare=bare, ticker_s=ticker_s), progress, trials)
    except KeyboardInterrupt:
        raise RaceInterrupted(TrialSet(tuple(trials[first:]))) from None
    return TrialSet(tuple(trials[first:]))


@dataclass(frozen=True, slots=True)
class _Course:
    """What all trials of one race share; ``lab`` is ``None`` for a real project."""

    workload: Workload
    settings: Settings
    backend: Backend
    lab: Lab | None
    bare: int | None = None
    ticker_s: float | None = None


def _plan(arms: Sequence[str], repeat: int) -> list[tuple[int, Arm]]:
    """Return (repeat, arm) in running order."""
    if isinstance(repeat, bool) or not isinstance(repeat, int) or repeat < 1:
        raise SettingsError(f"repeat {repeat!r} is not a whole number from 1: use e.g. 3")
    if isinstance(arms, str) or not arms:
        raise SettingsError(f"arms {arms!r} is not a list of names: use e.g. {list(DEFAULT_ARMS[:2])}")
    chosen = [arm(name) for name in arms]
    names = [one.name for one in chosen]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingsError(f"arm {twice!r} is named twice: name it once, and use repeat to run it again")
    # Rotated, so that no arm is always the first one on a cold machine.
    return [(turn, chosen[(place + turn) % len(chosen)]) for turn in range(repeat) for place in range(len(chosen))]


@contextmanager
def _backend(lab: Lab | None, settings: Settings | None, workload: Workload) -> Iterator[_Course]:
    if lab is not None and settings is not None:
        raise SettingsError("lab and settings were both given: a race has one backend, give one of them")
    if settings is not None:
        yield _Course(replace(workload, latency=None), settings, Backend(where=settings.url), None)
        return
    with ExitStack() as stack:
        if lab is None:
            lab = stack.enter_context(Lab(latency=workload.latency or 0.0))
        elif workload.latency is not None:
            stack.callback(put_back, lab, lab.conditions)
            lab.set(latency=workload.latency)
        yield _in_lab(lab, workload)


def _in_lab(lab: Lab, workload: Workload) -> _Course:
    c = lab.conditions
    backend = Backend("lab", c.jitter, c.rtt, c.tls, c.error_rate)
    ca_file = None if lab.ca_file is None else str(lab.ca_file)
    return _Course(replace(workload, latency=c.latency), Settings(lab.url, lab.key, ca_file=ca_file), backend, lab)


def marks(seconds: Sequence[float]) -> list[float]:
    """Return the start of each of several consecutive pieces of work, and last the end of all, in seconds.

    They are added one by one, so that a piece ends exactly where the next begins and progress never falls: from Python
    3.12 on, ``sum`` rounds differently.
    """
    return list(accumulate(seconds, initial=0.0))


def _run(
    plan: list[tuple[int, Arm]], course: _Course, progress: Callable[[Progress], None] | None, trials: list[Trial]
) -> None:
    tell = progress or (lambda _: None)
    expected = [START_S + (course.workload.ideal_s(one.limit) or 0.0) for _, one in plan]
    begins = marks(expected)
    for done, (turn, one) in enumerate(plan):

        def tick(seconds: float, done: int = done, name: str = one.name) -> None:
            part = min(seconds, expected[done])
            tell(Progress((begins[done] + part) / begins[-1], name, done, len(plan)))

        trial = _trial(one, turn, course, tick)
        trials.append(trial)
        tell(Progress(begins[done + 1] / begins[-1], one.name, done + 1, len(plan), trial))


def _trial(one: Arm, turn: int, course: _Course, tick: Callable[[float], None]) -> Trial:
    ideal = course.workload.ideal_s(one.limit) or math.ceil(course.workload.requests / one.limit)
    # The race measures how fast clients are, not whether they meet a deadline: a long queue must not be an error.
    patience = (30 if course.bare is None else 300) + 4 * ideal
    patient = replace(course.settings, timeout=max(course.settings.timeout, patience))
    when = datetime.now(UTC).isoformat(timespec="seconds")
    if course.lab is not None:
        course.lab.reset()
    options = {} if course.ticker_s is None else {"ticker": course.ticker_s}
    asked = job("burst", one.name, patient, course.workload, options)
    if course.bare is not None:
        asked = job("bare", one.name, patient, course.workload, {"warm_up": course.bare})
    result = run_worker(asked, limit_s=PATIENCE_S + PATIENCE * ideal, tick=tick)
    if "error" in result:
        raise SettingsError(f"arm {one.name!r} cannot run: {result['error']['text']}")
    return Trial(
        arm=one.name,
        limit=one.limit,
        workload=course.workload,
        backend=course.backend,
        witness=_witnessed(course.lab),
        repeat=turn,
        when=when,
        **_figures(result),
    )


def _figures(result: dict[str, Any]) -> dict[str, Any]:
    numbers, spans = result["numbers"], result["spans"]
    lag = [_micro(numbers.get(f"lag_{part}_s")) for part in ("p50", "p99", "max")]
    memory = None
    if "added_bytes" in numbers:
        memory = Memory(numbers["base_bytes"], numbers["base_bytes"] + numbers["added_bytes"])
    return {
        "spans": tuple(Span(*(_micro(part) for part in row)) for row in spans),
        "memory": memory,
        "cpu_s": _micro(numbers["cpu_ms"] * len(spans) / 1000),
        "threads_peak": numbers.get("threads"),
        "loop_lag": None if lag[0] is None else Lag(*lag),
        "versions": result["versions"],
        "machine": result["machine"],
    }


def _micro(value: Any) -> Any:
    """Microseconds are what a record keeps: a trial is the same before and after it was a file."""
    return round(value, 6) if isinstance(value, float) else value


def _witnessed(lab: Lab | None) -> Witnessed | None:
    if lab is None:
        return None
    w = lab.witness()
    if w.served == 0 and w.peak == 0:
        raise LabError("the lab saw none of the trial's requests: its witness was reset by somebody else")
    timeline = tuple((_micro(float(at)), in_flight) for at, in_flight in w.timeline)
    return Witnessed(w.peak, w.served, w.connections, w.abandoned, _micro(w.busy_s), timeline)
