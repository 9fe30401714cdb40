"""The one runner: a plan yields cases, each runs against a quiet lab with a fresh witness, and a record is made.

A plan is a generator that is sent the trial of each case, so that a plan may depend on what it has found. Sent ideal
trials, the same generator tells how long it should take.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

from supalab.errors import LabError, SettingsError
from supalab.lab.handle import Lab
from supalab.lab.witness import Witness
from supalab.measure.archive import rounded
from supalab.measure.campaign import put_back
from supalab.measure.cancelled import timeline
from supalab.measure.case import Case, Job, Trial
from supalab.measure.child import job, run_worker
from supalab.measure.costs.idle import IDLE_S
from supalab.measure.race import START_S, Progress
from supalab.measure.record import Record
from supalab.settings import Settings

__all__ = ["Interrupted", "Plan", "checked_names", "checked_repeat", "expected_s", "rotated", "run", "trials_of"]

#: Yields a case, or a remark: what is left out, and why.
Plan: TypeAlias = Generator[Case | str, Trial | None, None]
T = TypeVar("T")

QUIET_S, LOOK_S = 60.0, 0.02
#: What a worker may need, and what a client waits at most, beyond what is expected.
WORKER_S, CLIENT_S = 300.0, 300.0
SLOWER = 20
#: What the worker calls a job.
KINDS: Mapping[Job, str] = {"burst": "trial", "bare": "bench", "held": "held", "cancel": "cancel", "idle": "idle"}


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: nothing runs any more; ``found`` is the record of what was finished, ``None`` if nothing was."""

    def __init__(self, found: object) -> None:
        self.found = found
        super().__init__("interrupted")


def trials_of(plan: Plan, measure: Callable[[Case], Trial]) -> Generator[Trial | str, None, None]:
    """Go through a plan; yield each trial and each remark."""
    sent: Trial | None = None
    while True:
        try:
            step = plan.send(sent)
        except StopIteration:
            return
        sent = None if isinstance(step, str) else measure(step)
        yield step if sent is None else sent  # type: ignore[misc]  # a step without a trial is a remark


def expected_s(plan: Plan) -> float:
    """Return the seconds that a plan should take on a quiet machine, its lab included; raises what the plan raises."""
    return 1.0 + sum(map(_seconds, _cases(plan)))


def _cases(plan: Plan) -> list[Case]:
    """The cases of a plan, if only the server took time."""
    return [found.case for found in trials_of(plan, _ideal) if isinstance(found, Trial)]


def _ideal(case: Case) -> Trial:
    seconds = max(case.ideal_s, 1e-3)
    return Trial(case, {"makespan_s": seconds, "per_s": case.workload.requests / seconds})


def _seconds(case: Case) -> float:
    warm = math.ceil(case.options.get("warm_up", 0) / case.limit) * (case.workload.latency or 0.0)
    return float(START_S + (IDLE_S if case.job == "idle" else case.ideal_s) + warm)


@dataclass(slots=True)
class _Found:
    """What there is so far."""

    name: str
    asked: Mapping[str, Any]
    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    trials: list[Trial] = field(default_factory=list)
    remarks: dict[str, None] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def record(self, *, finished: bool) -> Record:
        return Record(
            self.name,
            tuple(self.trials),
            self.asked,
            tuple(self.remarks),
            self.when,
            self.machine,
            self.versions,
            finished,
        )


def run(
    plan: Callable[..., Plan],
    *,
    name: str,
    lab: Lab | None = None,
    progress: Callable[[Progress], None] | None = None,
    **asked: Any,
) -> Record:
    """Run ``plan(**asked)`` case by case, in a lab of its own unless one is given, whose conditions are put back.

    ``progress`` is called in this thread, about ten times a second. Raises what the plan raises before anything is
    started, SettingsError for an arm that cannot run, LabError, TrialError when a worker breaks, and Interrupted,
    which holds the finished trials, on Ctrl-C.
    """
    bound = inspect.signature(plan).bind(**asked)
    bound.apply_defaults()
    weights = [_seconds(case) for case in _cases(plan(**asked))]
    found = _Found(name, {key: _plain(value) for key, value in bound.arguments.items()})
    tell = _Teller(weights, progress)
    try:
        with ExitStack() as stack:
            here = lab or stack.enter_context(Lab())
            stack.callback(put_back, here, here.conditions)

            def measure(case: Case) -> Trial:
                trial, raw = _measured(case, here, lambda seconds: tell.runs(case, seconds))
                found.machine.update(raw["machine"])
                found.versions.update(raw["versions"])
                return trial

            for step in trials_of(plan(**asked), measure):
                if isinstance(step, str):
                    found.remarks[step] = None
                    continue
                found.trials.append(step)
                tell.finished(step.case)
    except KeyboardInterrupt:
        raise Interrupted(found.record(finished=False) if found.trials else None) from None
    return found.record(finished=True)


def _plain(value: Any) -> Any:
    """A sequence as a tuple of numbers or text, as a record keeps it."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


class _Teller:
    """Tells how far a run is, by expected seconds; a case is finished when it says so, however long it takes."""

    def __init__(self, weights: Sequence[float], progress: Callable[[Progress], None] | None) -> None:
        self._whole, self._total, self._progress = sum(weights), len(weights), progress
        self._begun, self._done = 0.0, 0

    def runs(self, case: Case, seconds: float) -> None:
        self._tell(case, self._begun + min(seconds, 0.99 * _seconds(case)))

    def finished(self, case: Case) -> None:
        self._begun += _seconds(case)
        self._done += 1
        self._tell(case, self._begun if self._done < self._total else self._whole)

    def _tell(self, case: Case, seconds: float) -> None:
        if self._progress is not None:
            total = max(self._total, self._done)
            self._progress(Progress(min(seconds / self._whole, 1.0), case.arm, self._done, total))


def _measured(case: Case, lab: Lab, tick: Callable[[float], None]) -> tuple[Trial, Mapping[str, Any]]:
    """Run one case in a fresh process against a quiet lab with a fresh record."""
    latency = case.workload.latency or 0.0
    _quiet(lab, latency)
    lab.set(latency=latency, **case.conditions)
    lab.reset()
    ca_file = None if lab.ca_file is None else str(lab.ca_file)
    timeout = case.options.get("timeout", CLIENT_S + 4 * case.ideal_s)
    settings = Settings(lab.url, lab.key, timeout=timeout, ca_file=ca_file)
    asked = job(KINDS[case.job], case.arm, settings, case.workload) | {"warm_up": 0, **case.options}
    raw = run_worker(asked, limit_s=WORKER_S + SLOWER * case.ideal_s, tick=tick)
    if "error" in raw:
        raise SettingsError(f"arm {case.arm!r} cannot run: {raw['error']['text']}")
    seen = _quiet(lab, latency)
    numbers = rounded({**_of_worker(raw, case), **_of_lab(seen)})
    steps = timeline(seen.timeline, numbers, raw["warm_s"]) if case.job == "cancel" else ()
    return Trial(case, numbers, timeline=steps), raw


def _quiet(lab: Lab, latency: float) -> Witness:
    """Wait until the lab has nothing in flight, and return what it saw."""
    end = time.monotonic() + QUIET_S + 2 * latency
    while (seen := lab.witness()).current:
        if time.monotonic() > end:
            raise LabError(f"the lab still has {seen.current} requests in flight: does somebody else use it?")
        time.sleep(LOOK_S)
    return seen


def _of_worker(raw: Mapping[str, Any], case: Case) -> dict[str, Any]:
    if "numbers" in raw:
        return dict(raw["numbers"])
    lag = raw["loop_lag"] or {}
    numbers: dict[str, Any] = {f"lag_{part}_s": value for part, value in lag.items()}
    if "spans" not in raw:  # nothing was asked for
        return numbers
    if raw["threads_peak"] is not None:
        numbers["threads"] = raw["threads_peak"]
    spans = raw["spans"]
    makespan = max(done for _, _, done, _ in spans) - min(asked for asked, *_ in spans)
    good = sum(outcome == "ok" for *_, outcome in spans)
    return numbers | {
        "makespan_s": makespan,
        "per_s": good / makespan if makespan else 0.0,
        "errors": len(spans) - good,
        "cpu_ms": 1000 * raw["cpu_s"] / case.workload.requests,
    }


def _of_lab(seen: Witness) -> dict[str, Any]:
    return {name: getattr(seen, name) for name in ("peak", "served", "connections", "abandoned")}


def checked_repeat(repeat: object) -> int:
    """Return a number of repeats; raises SettingsError for any other thing."""
    if isinstance(repeat, bool) or not isinstance(repeat, int) or repeat < 1:
        raise SettingsError(f"repeat {repeat!r} is not a whole number from 1: use e.g. 3")
    return repeat


def checked_names(what: str, names: Sequence[str], example: Sequence[str]) -> tuple[str, ...]:
    """Return different names; raises SettingsError for none, for twins and for a text instead of a list."""
    if isinstance(names, str) or not names or len(set(names)) != len(names):
        raise SettingsError(f"{what} {names!r} is not a list of different names: use e.g. {list(example)}")
    return tuple(names)


def rotated(items: Sequence[T], turn: int) -> list[T]:
    """Return the items with another one first in each turn, so that none is always the one on a cold machine."""
    return [items[(place + turn) % len(items)] for place in range(len(items))]
