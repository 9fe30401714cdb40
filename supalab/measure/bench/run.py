"""Clients and cases go in; every arm runs in fresh processes against one lab, taking turns; a Bench comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from supalab.clients.arms import arm, missing
from supalab.errors import SettingsError
from supalab.lab.handle import Lab
from supalab.measure.bench.cases import CASES, CLIENTS, QUICK_CASES, Case, Plan, Run, plan, trial_s
from supalab.measure.bench.result import Bench, row
from supalab.measure.race import Progress, RaceInterrupted, marks, race
from supalab.measure.trial import Trial

__all__ = ["BenchInterrupted", "bench", "planned"]

REPEAT = 5


class BenchInterrupted(KeyboardInterrupt):
    """Ctrl-C during a bench: nothing runs any more; ``bench`` holds what was measured until then."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        super().__init__(f"interrupted after {len(bench.rows)} arms")


def planned(
    clients: Sequence[str] | None = None,
    cases: Sequence[Case] | None = None,
    *,
    repeat: int | None = None,
    quick: bool = False,
) -> Plan:
    """Return what ``bench`` with the same arguments would run, leave out and need; raises SettingsError as it does.

    A client that is named must be there; of the usual ones, those whose package is not installed are left out.
    """
    times = (1 if quick else REPEAT) if repeat is None else repeat
    if isinstance(times, bool) or not isinstance(times, int) or times < 1:
        raise SettingsError(f"repeat {times!r} is not a whole number from 1: use e.g. {REPEAT}")
    for kind in clients or ():
        arm(f"{kind}-1")
    chosen = tuple(dict.fromkeys(clients)) if clients is not None else CLIENTS
    return plan(chosen, cases or (QUICK_CASES if quick else CASES), times, quick=quick, lacking=missing)


def bench(
    clients: Sequence[str] | None = None,
    cases: Sequence[Case] | None = None,
    *,
    repeat: int | None = None,
    quick: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Bench:
    """Run the clients (kinds such as ``"real"``; the usual ones by default) over the cases and return what was found.

    ``repeat``: trials of each arm, 5 by default, 1 if ``quick``; the arms take turns. A trial has no instruments but
    CPU and time. What would take minutes is run less often or left out; ``planned`` says it beforehand, the
    result's remarks afterwards. ``progress`` is called in this thread, about ten times a second.

    Raises SettingsError for arguments that cannot work, before any trial, LabError, TrialError when a worker breaks,
    BenchInterrupted on Ctrl-C.
    """
    todo = planned(clients, cases, repeat=repeat, quick=quick)
    times = max(run.repeat for run in todo.runs)
    kept: list[tuple[Case, Trial]] = []
    when = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        with Lab() as lab:
            for place, run in enumerate(todo.runs):
                _run(run, lab, kept, _part(todo, place, progress))
    except KeyboardInterrupt:
        raise BenchInterrupted(_result(todo, kept, times, when, finished=False)) from None
    return _result(todo, kept, times, when, finished=True)


def _run(run: Run, lab: Lab, kept: list[tuple[Case, Trial]], tell: Callable[[Progress], None]) -> None:
    """One race; its trials are kept even if it is interrupted."""
    trials: list[Trial] = []
    try:
        race(run.arms, run.case.workload, repeat=run.repeat, lab=lab, progress=tell, keep=trials, bare=run.case.warm_up)
    except RaceInterrupted:
        raise KeyboardInterrupt from None
    finally:
        kept += [(run.case, _slim(trial)) for trial in trials]


def _slim(trial: Trial) -> Trial:
    """Without the timeline: a bench has hundreds of trials and draws none."""
    return trial if trial.witness is None else replace(trial, witness=replace(trial.witness, timeline=()))


def _part(todo: Plan, place: int, progress: Callable[[Progress], None] | None) -> Callable[[Progress], None]:
    """Return what turns one race's progress into the whole bench's, by expected seconds."""
    seconds = [run.repeat * sum(trial_s(name, run.case) for name in run.arms) for run in todo.runs]
    trials = [run.repeat * len(run.arms) for run in todo.runs]
    begins = marks(seconds)

    def tell(so_far: Progress) -> None:
        if progress is not None:
            fraction = (begins[place] + so_far.fraction * seconds[place]) / begins[-1]
            progress(Progress(fraction, so_far.arm, sum(trials[:place]) + so_far.done, sum(trials), so_far.trial))

    return tell


def _result(todo: Plan, kept: list[tuple[Case, Trial]], repeat: int, when: str, *, finished: bool) -> Bench:
    cases = tuple(dict.fromkeys(run.case for run in todo.runs))
    rows = [
        row(case, trials)
        for case in cases
        for name in dict.fromkeys(name for run in todo.runs if run.case == case for name in run.arms)
        if (trials := [trial for of, trial in kept if of == case and trial.arm == name])
    ]
    versions: dict[str, str] = {}
    for _, trial in kept:
        versions |= trial.versions or {}
    return Bench(
        cases=cases,
        rows=tuple(rows),
        remarks=todo.remarks,
        repeat=repeat,
        when=when,
        machine=dict(kept[0][1].machine or {}) if kept else {},
        versions=versions,
        finished=finished,
    )
