"""Run an experiment's plan: each case runs against an idle lab with fresh counters; the result is a record.

A plan is a generator that yields cases and is sent the trial of each, so its next case may depend on earlier results.
With ideal trials sent instead, the same generator gives the expected duration. ``run`` gives each case a fresh process;
``here`` runs the same plan in the caller's own event loop, for a notebook.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias, TypeVar

from supalab.clients.arms import arm
from supalab.clients.base import BaseClient
from supalab.errors import LabError, SettingsError, SupalabError
from supalab.lab.conditions import Conditions
from supalab.lab.handle import Lab
from supalab.lab.witness import Witness
from supalab.measure.case import Case, Span, Trial, span_numbers
from supalab.measure.child import check, job, run_worker
from supalab.measure.instruments import machine, versions
from supalab.measure.record import Record, rounded
from supalab.measure.service import Context, Tick, ideal, quiet, serve
from supalab.measure.traffic import burst
from supalab.settings import MAX_TIMEOUT, Settings, checked_number

#: Yields a case, or a remark on what is left out and why.
Plan: TypeAlias = Generator[Case | str, Trial | None, None]
#: The result of measuring a case: ``numbers``, ``spans``, ``machine``, ``versions``.
Raw: TypeAlias = Mapping[str, Any]
T = TypeVar("T")

#: Seconds that the start of a process takes.
START_S = 0.8
#: Seconds, in addition to the expected time, that a worker may need and that a client waits.
WORKER_S, CLIENT_S = 300.0, 300.0
SLOWER = 20
TELL_EVERY_S = 0.1
MOST_REPEATS = 1_000
SEEN = ("peak", "served", "connections", "abandoned", "busy_s")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: ``fraction`` (0 to 1) of all, by expected seconds; the arm that runs; trials done and in all.

    If the length of the plan is unknown, ``total`` is 0 and ``fraction`` is that of the current trial. ``trial`` is the
    one that was just finished, else ``None``.
    """

    fraction: float
    arm: str
    done: int
    total: int
    trial: Any = None


#: Called with the progress in the caller's thread, about ten times a second.
Tell: TypeAlias = Callable[[Progress], None]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed, and nothing runs any more; ``found`` is the record of finished trials, or ``None``."""

    def __init__(self, found: object) -> None:
        self.found = found
        super().__init__("interrupted")


def in_worker(case: Case, context: Context, tick: Tick) -> Raw:
    """Run a case in a fresh process."""
    # An experiment measures how fast a client is, not whether it meets a deadline: a long queue must not be an error.
    usual = min(max(context.settings.timeout, CLIENT_S + 4 * case.ideal_s), MAX_TIMEOUT)
    patient = replace(context.settings, timeout=case.options.get("timeout", usual))
    asked = job(case.job, case.arm, patient, case.workload, case.options)
    raw = run_worker(asked, limit_s=WORKER_S + SLOWER * _seconds(case), tick=tick)
    if "error" in raw:
        raise SettingsError(f"arm {case.arm!r} cannot run: {raw['error']['text']}")
    return raw


#: Jobs that are not done by a fresh process for each case: a service stays up for the next case.
ELSEWHERE: Mapping[str, Callable[[Case, Context, Tick], Raw]] = {"serve": serve}


def trials_of(plan: Plan, measure: Callable[[Case], Trial]) -> Generator[Trial | str, None, None]:
    """Go through a plan; yield each trial and each remark."""
    sent: Trial | None = None
    with suppress(StopIteration):
        while True:
            step = plan.send(sent)
            if isinstance(step, Case):
                sent = measure(step)
                yield sent
            else:
                sent = None
                yield step


def expected_s(plan: Plan) -> float:
    """Return how many seconds a plan should take on a quiet machine, with its lab; raises what the plan raises."""
    return 1.0 + sum(map(_seconds, _cases(plan)))


def _cases(plan: Plan) -> list[Case]:
    """Return the cases of a plan, as if only the server took time."""
    return [found.case for found in trials_of(plan, _ideal) if isinstance(found, Trial)]


def _ideal(case: Case) -> Trial:
    if case.job == "serve":
        return Trial(case, ideal(case))
    seconds = max(case.ideal_s, 1e-3)
    return Trial(case, {"makespan_s": seconds, "per_s": case.workload.requests / seconds})


def _seconds(case: Case) -> float:
    """Return the seconds of a case: its process, the server time, and round trips."""
    if "seconds" in case.options or not case.limit:
        return START_S + float(case.options.get("seconds", 0.0))
    warm = math.ceil(case.options.get("warm_up", 0) / case.limit)
    waves = math.ceil(case.workload.requests / case.workload.width(case.limit)) + warm
    # A new connection costs a round trip, TLS two more; the request itself has one. This is the worst case.
    trips: float = (2 + 2 * case.conditions.get("tls", False)) * case.conditions.get("rtt", 0.0)
    return float(START_S + waves * ((case.workload.latency or 0.0) + trips))


def trial_of(case: Case, raw: Raw, seen: Witness | None) -> Trial:
    """Return the trial of one case: what was measured, and what the lab saw of it (``None`` for a real project)."""
    spans = [Span(*row) for row in raw.get("spans", ())]
    numbers = (span_numbers(spans) if spans else {}) | raw["numbers"]
    steps: Sequence[tuple[float, int]] = ()
    if seen is not None:
        numbers |= {name: getattr(seen, name) for name in SEEN}
        if case.job == "cancel":
            steps = timeline(seen.timeline, numbers, raw["warm_s"])
        elif case.detail and case.job != "serve":
            steps = seen.timeline
    kept = tuple(Span(*row) for row in rounded(spans)) if case.detail else ()
    return Trial(case, rounded(numbers), kept, tuple(map(tuple, rounded(steps))))


def timeline(seen: Sequence[tuple[float, int]], numbers: Raw, warm_s: float) -> tuple[tuple[float, int], ...]:
    """Return the requests in flight that the lab saw, in seconds since the start of callers that are cancelled. Pure.

    The lab's record begins with the warm-up request (until ``warm_s``), which is left out. Both sides know when that
    request and the new caller's request ended, and this gives the offset between the two clocks: a response cannot
    arrive before it was sent, so the tighter of the two bounds is used.
    """
    ready = next((place for place, (_, in_flight) in enumerate(seen) if in_flight == 0), 0)
    ends = [(warm_s, ready)] * bool(seen)
    if ends and numbers["late_outcome"] == "ok":
        ends.append((numbers["cancelled_s"] + numbers["free_s"] + numbers["late_s"], -1))
    shift = min((at - seen[place][0] for at, place in ends), default=0.0)
    return tuple((round(at + shift, 6), in_flight) for at, in_flight in seen[ready + 1 :])


class _SoFar:
    """The unfinished record; it reports the progress of the run in expected seconds.

    ``cases``: the expected cases; none if they are unknown, and then progress is that of each trial.
    """

    def __init__(self, name: str, asked: Mapping[str, Any], tell: Tell | None, cases: Sequence[Case] = ()) -> None:
        # A sequence becomes a list, as in a record.
        plain = {key: list(one) if isinstance(one, (tuple, range)) else one for key, one in asked.items()}
        self._about: dict[str, Any] = {"name": name, "asked": plain, "machine": {}, "versions": {}}
        self._about["when"] = datetime.now(UTC).isoformat(timespec="seconds")
        self._trials, self._remarks = list[Trial](), dict[str, None]()
        self._tells, self._total = tell, len(cases)
        self._begun_s, self._whole_s = 0.0, sum(map(_seconds, cases))

    def remark(self, words: str) -> None:
        """Keep a remark of the plan, once."""
        self._remarks[words] = None

    def runs(self, case: Case, seconds: float) -> None:
        """Report that a case has run for some seconds; it counts as finished only when it has ended."""
        whole_s = self._whole_s or _seconds(case)
        self._tell(case, (self._begun_s + min(seconds, 0.99 * _seconds(case))) / whole_s)

    def finished(self, case: Case, raw: Raw, seen: Witness | None) -> Trial:
        """Keep, report and return the trial of a measurement; its machine and versions go into the record."""
        for name in ("machine", "versions"):
            self._about[name] |= raw[name]
        self._trials.append(trial_of(case, raw, seen))
        self._begun_s = min(self._begun_s + _seconds(case), self._whole_s)
        last = len(self._trials) >= self._total
        self._tell(case, 1.0 if last else self._begun_s / self._whole_s, self._trials[-1])
        return self._trials[-1]

    def _tell(self, case: Case, fraction: float, trial: Trial | None = None) -> None:
        if self._tells is not None:
            done = len(self._trials)
            total = max(self._total, done) if self._total else 0
            self._tells(Progress(min(fraction, 1.0), case.arm, done, total, trial))

    def record(self, *, finished: bool) -> Record:
        """Return the record of what is finished."""
        return Record(trials=tuple(self._trials), remarks=tuple(self._remarks), finished=finished, **self._about)

    @contextmanager
    def saved(self) -> Iterator[None]:
        """Add the record of finished trials to the error that ended the run early."""
        try:
            yield
        except KeyboardInterrupt:
            raise Interrupted(self.record(finished=False) if self._trials else None) from None
        except SupalabError as error:
            error.partial = self.record(finished=False) if self._trials else None
            raise


def run(
    plan: Callable[..., Plan],
    *,
    name: str,
    lab: Lab | None = None,
    settings: Settings | None = None,
    progress: Tell | None = None,
    checked: bool = False,
    **asked: Any,
) -> Record:
    """Run ``plan(**asked)`` case by case, in a new lab or in the given one, whose conditions are restored at the end.

    ``settings``: a real project to use instead of a lab; then there is no witness. ``progress`` is called in this
    thread, about ten times a second. ``checked``: send one request first, so that a wrong key or table is one clear
    error. Raises what the plan raises before anything is started, SettingsError for an arm that cannot run, LabError,
    TrialError when a worker breaks, and Interrupted, which holds the finished trials, on Ctrl-C. Any other error has
    the record of the finished trials, if any, as ``partial``.
    """
    bound = inspect.signature(plan).bind(**asked)
    bound.apply_defaults()
    cases = _cases(plan(**asked))
    so_far = _SoFar(name, bound.arguments, progress, cases)
    with so_far.saved(), ExitStack() as stack:
        context = _context(stack, lab, settings)
        if checked and cases:
            backend = context.settings if context.lab is None else _prepared(cases[0], context.lab, context.base)
            check(backend, cases[0].workload, in_lab=context.lab is not None)
        for step in trials_of(plan(**asked), lambda case: _measured(case, context, so_far)):
            if isinstance(step, str):
                so_far.remark(step)
    return so_far.record(finished=True)


def _context(stack: ExitStack, lab: Lab | None, settings: Settings | None) -> Context:
    if settings is not None:
        if lab is not None:
            raise SettingsError("lab and settings were both given: an experiment has one backend, give one of them")
        return Context(settings, stack)
    backend = lab or stack.enter_context(Lab())
    base = backend.conditions
    stack.callback(put_back, backend, base)
    return Context(_settings_of(backend), stack, backend, base)


def _settings_of(lab: Lab) -> Settings:
    return Settings(lab.url, lab.key, ca_file=None if lab.ca_file is None else str(lab.ca_file))


def put_back(lab: Lab, before: Conditions) -> None:
    """Restore a lab's conditions; an error because the lab has ended is ignored, since an earlier error is reported."""
    with suppress(LabError):
        lab.set(**asdict(before))


def _measured(case: Case, context: Context, so_far: _SoFar) -> Trial:
    """Measure one case against a quiet lab whose counters start again, or against a real project without counters."""
    measure, tick = ELSEWHERE.get(case.job, in_worker), partial(so_far.runs, case)
    lab = context.lab
    if lab is None:
        return so_far.finished(case, measure(case, context, tick), None)
    raw = measure(case, replace(context, settings=_prepared(case, lab, context.base)), tick)
    return so_far.finished(case, raw, quiet(lab, case.workload.latency or 0.0))


def _prepared(case: Case, lab: Lab, base: Conditions) -> Settings:
    """Set the lab's conditions for the case and reset its witness; return how to reach the lab then."""
    latency = base.latency if case.workload.latency is None else case.workload.latency
    quiet(lab, latency)
    lab.set(**{**asdict(base), "latency": latency, **case.conditions})
    lab.reset()
    return _settings_of(lab)


async def here(
    plan: Plan, lab: Lab, *, name: str = "", progress: Tell | None = None, client: BaseClient | None = None
) -> Record:
    """Run a plan in the caller's own event loop, such as a notebook's, and return its record.

    The jobs ``burst`` and ``bare`` run here, without the instruments that need a process of their own: memory, threads
    and loop lag. ``progress`` is called in a thread, about ten times a second. ``client``: an open client to use
    instead of one that is made for each case. The lab's conditions are restored. Raises SettingsError for another job.
    """
    so_far = _SoFar(name, inspect.getgeneratorlocals(plan), progress)
    before = await asyncio.to_thread(lambda: lab.conditions)
    sent: Trial | None = None
    with suppress(StopIteration), ExitStack() as stack:
        stack.callback(put_back, lab, before)
        while True:
            step = plan.send(sent)
            if isinstance(step, Case):
                sent = await _in_kernel(step, lab, before, so_far, client)
            else:
                so_far.remark(step)
                sent = None
    return so_far.record(finished=True)


async def _in_kernel(case: Case, lab: Lab, base: Conditions, so_far: _SoFar, given: BaseClient | None) -> Trial:
    if case.job not in {"burst", "bare"}:
        raise SettingsError(f"job {case.job!r} needs a process of its own: use run() instead of here()")
    settings = await asyncio.to_thread(_prepared, case, lab, base)
    over = asyncio.Event()
    ticking = asyncio.create_task(_tick(case, so_far, over))
    try:
        async with arm(case.arm).build(settings) if given is None else nullcontext(given) as client:
            if warm_up := case.options.get("warm_up", 0):
                await burst(client, replace(case.workload, requests=warm_up), watch=False)
                await asyncio.to_thread(lab.reset)
            cpu = time.process_time()
            rate = case.options.get("rate")
            spans = await burst(client, case.workload, rate=rate, watch=case.job == "burst" or rate is not None)
            cpu = time.process_time() - cpu
        seen = await asyncio.to_thread(quiet, lab, case.workload.latency or 0.0)
    finally:
        over.set()
        await ticking  # it must not draw after the end
    numbers = {"cpu_ms": 1000 * cpu / case.workload.requests}
    raw = {"numbers": numbers, "spans": spans, "machine": machine(), "versions": versions()}
    return so_far.finished(case, raw, seen)


async def _tick(case: Case, so_far: _SoFar, over: asyncio.Event) -> None:
    """Report the progress of a case until it ends; in a thread, because a live view asks the lab."""
    began = time.perf_counter()
    while not over.is_set():
        await asyncio.to_thread(so_far.runs, case, time.perf_counter() - began)
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), TELL_EVERY_S)


def checked_repeat(repeat: int) -> int:
    """Return a number of repeats; raises SettingsError for anything else."""
    return int(checked_number("repeat", repeat, 1, MOST_REPEATS, "use e.g. 3"))


def checked_names(what: str, names: Sequence[str], example: Sequence[str]) -> tuple[str, ...]:
    """Return the names; raises SettingsError for an empty list, duplicates, or a text instead of a list."""
    if isinstance(names, str) or not names or len(set(names)) != len(names):
        raise SettingsError(f"{what} {names!r} is not a list of different names: use e.g. {list(example)}")
    return tuple(names)


def rotated(items: Sequence[T], turn: int) -> list[T]:
    """Return the items with another one first in each round, so that it is not always the same item that runs first."""
    return [items[(place + turn) % len(items)] for place in range(len(items))]
