"""Arms go in; each has its callers cancelled in fresh processes; who was free when, and who worked on, comes out.

The client says when its callers were free; what went on after that is the lab's word. The lab works on every request
to its end, as servers do, whether or not anybody listens; it knows that nobody does only where the client hung up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supalab.clients.arms import Arm, arm
from supalab.errors import SettingsError, TrialError
from supalab.lab.handle import Lab
from supalab.lab.witness import Witness
from supalab.measure.archive import Form, rounded
from supalab.measure.costs.cancelled import THENS
from supalab.measure.costs.lab import FINISHED, ask_worker, kept_conditions, now, teller
from supalab.measure.machine import merged
from supalab.measure.race import START_S, Progress
from supalab.measure.run import Interrupted, checked_names, checked_repeat, rotated
from supalab.measure.workload import Workload

__all__ = ["ARMS", "CANCELLATION", "Cancellations", "Cancelled", "cancellation", "expected_s", "judged"]

ARMS = ("fake-10", "session-10", "article-10", "real-10")
CALLERS, LATENCY_S, AT_S, REPEAT = 20, 0.5, 0.1, 3
PATIENCE_S = 60.0
# What a caller waits at most for an answer, beyond the latency: a pool that the cancellation broke never gives a slot.
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Cancelled:
    """One run: all callers were cancelled at once, and then the program did ``then``.

    ``cancelled_s``: from the callers' start to the cancellation; the rest of the seconds count from the cancellation.
    ``free_s``: until every caller had ended; ``run_s``: until ``asyncio.run`` had returned; ``exit_s``: until the
    process had joined its threads and ended. ``late_s`` (``then`` is ``"ask"``): how long one new caller, who asked
    at once, waited for the answer, and ``late_outcome`` ``"ok"`` or the name of an error. ``closed_s`` (not for
    ``"leave"``): how long closing the client took.

    ``answered`` and ``failed``: callers who had an answer or an error in spite of the cancellation. ``for_nobody``:
    requests that the lab finished though their caller was gone; ``hung_up``: those of them where the lab was told, so
    that a server that looks could stop; ``peak``: most in flight at the lab. ``timeline``: (seconds from the
    callers' start, requests in flight at the lab).
    """

    arm: str
    limit: int
    repeat: int
    then: str
    cancelled_s: float
    free_s: float
    run_s: float
    exit_s: float
    late_s: float | None
    late_outcome: str | None
    closed_s: float | None
    answered: int
    failed: int
    for_nobody: int
    hung_up: int
    peak: int
    timeline: tuple[tuple[float, int], ...] = ()

    @property
    def carried_on(self) -> int:
        """Requests that the client itself saw through to their end, in slots of its own, for nobody."""
        return self.for_nobody - self.hung_up


@dataclass(frozen=True, slots=True)
class Cancellations:
    """All runs, and what was asked: so many callers at a lab of this latency (seconds), cancelled after ``at_s``."""

    callers: int
    latency: float
    at_s: float
    runs: tuple[Cancelled, ...]
    when: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms' names, in the order in which they first ran."""
        return tuple(dict.fromkeys(run.arm for run in self.runs))

    def of(self, arm: str, then: str | None = None) -> tuple[Cancelled, ...]:
        """Return the runs of one arm, or those that did ``then``; raises TrialError if there is none."""
        found = tuple(run for run in self.runs if run.arm == arm and then in {None, run.then})
        if not found:
            raise TrialError(f"no cancellation of arm {arm!r}: there are {', '.join(self.arms) or 'none'}")
        return found


CANCELLATION = Form("supalab-costs-cancellation", 1, Cancellations, "supalab costs cancel")


def expected_s(
    arms: Sequence[str] = ARMS, *, callers: int = CALLERS, latency: float = LATENCY_S, repeat: int = REPEAT
) -> float:
    """Return the seconds that ``cancellation`` should take on a quiet machine."""
    return 1.0 + repeat * len(THENS) * sum(_run_s(name, callers, latency) for name in arms)


def _run_s(name: str, callers: int, latency: float) -> float:
    alone = callers * latency if name.startswith("blocking-") else latency
    return START_S + latency + alone


def cancellation(
    arms: Sequence[str] = ARMS,
    *,
    callers: int = CALLERS,
    latency: float = LATENCY_S,
    at_s: float = AT_S,
    repeat: int = REPEAT,
    lab: Lab | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Cancellations:
    """Cancel all ``callers`` of each arm ``at_s`` seconds after they asked, and see what goes on afterwards.

    Each arm runs ``repeat`` times for each of: asking once more, closing the client, just ending the program. In
    a lab of its own unless one is given, which gets its latency back. Raises SettingsError for values that cannot work,
    LabError, TrialError when a worker breaks, and Interrupted on Ctrl-C.
    """
    chosen, workload = _checked(arms, callers, latency, at_s, repeat)
    plan = [(turn, one, then) for turn in range(repeat) for one in rotated(chosen, turn) for then in THENS]
    weights = [_run_s(one.name, callers, latency) for _, one, _ in plan]
    when, raws = now(), list[dict[str, Any]]()
    runs: list[Cancelled] = []

    def found() -> Cancellations:
        machine, versions = (merged(raw[what] for raw in raws) for what in ("machine", "versions"))
        return Cancellations(callers, latency, at_s, tuple(runs), when, machine, versions)

    try:
        with kept_conditions(lab) as here:
            for done, (turn, one, then) in enumerate(plan):
                tell = teller(progress, weights, done, one.name)
                raw, seen = _run(one, then, workload, at_s, here, tell)
                raws.append(raw)
                runs.append(judged(one, turn, then, raw, seen))
                tell(FINISHED)
    except KeyboardInterrupt:
        raise Interrupted(found() if runs else None) from None
    return found()


def _checked(arms: Sequence[str], callers: int, latency: float, at_s: float, repeat: int) -> tuple[list[Arm], Workload]:
    checked_repeat(repeat)
    workload = Workload(callers, latency)
    if not 0 < at_s < latency:
        raise SettingsError(
            f"at_s {at_s!r} is not between 0 and the latency, {latency} s: nothing would be left to cancel"
        )
    return [arm(name) for name in checked_names("arms", arms, ARMS)], workload


def _run(
    one: Arm, then: str, workload: Workload, at_s: float, lab: Lab, tick: Callable[[float], None]
) -> tuple[dict[str, Any], Witness]:
    latency = workload.latency or 0.0
    return ask_worker(
        "cancel",
        one,
        workload,
        lab,
        tick,
        timeout=TIMEOUT_S + 2 * latency,
        limit_s=PATIENCE_S + 3 * _run_s(one.name, workload.requests, latency),
        more={"cancel": {"at_s": at_s, "then": then}},
    )


def judged(one: Arm, turn: int, then: str, raw: Mapping[str, Any], seen: Witness) -> Cancelled:
    """Put the worker's figures and the lab's record together; pure.

    The record begins with the one request that made the client ready, which is taken out of it. The ends of that
    request and of the newcomer's, which both sides know, set the lab's clock by the client's: no answer came before it
    was sent, so the tighter of the two holds.
    """
    ready = next((place for place, (_, in_flight) in enumerate(seen.timeline) if in_flight == 0), 0)
    later = raw["late_outcome"] == "ok"
    ends = [(raw["warm_s"], ready)] * bool(seen.timeline)
    if later and ends:
        ends.append((raw["cancelled_s"] + raw["free_s"] + raw["late_s"], -1))
    shift = min((at - seen.timeline[place][0] for at, place in ends), default=0.0)
    burst = seen.timeline[ready + 1 :]
    return Cancelled(
        arm=one.name,
        limit=one.limit,
        repeat=turn,
        then=then,
        for_nobody=seen.served - 1 - later - raw["answered"],
        hung_up=seen.abandoned,
        peak=max((in_flight for _, in_flight in burst), default=0),
        timeline=tuple((round(at + shift, 6), in_flight) for at, in_flight in burst),
        answered=raw["answered"],
        failed=raw["failed"],
        late_outcome=raw["late_outcome"],
        cancelled_s=rounded(raw["cancelled_s"]),
        free_s=rounded(raw["free_s"]),
        run_s=rounded(raw["run_s"]),
        exit_s=rounded(raw["exit_s"]),
        late_s=rounded(raw["late_s"]),
        closed_s=rounded(raw["closed_s"]),
    )
