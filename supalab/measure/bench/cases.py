"""What the bench runs: clients, cases and repeats go in, a plan comes out, with what it leaves out and why. Pure.

Some combinations take minutes, because their pool looks at every connection for every request. Costs known from
earlier runs tell beforehand which: those run less often or not at all, and the plan says so in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from supalab.errors import SettingsError
from supalab.measure.workload import Workload

__all__ = ["CASES", "CLIENTS", "QUICK_CASES", "Case", "Plan", "Remark", "Run", "plan"]

#: The kinds of client that are compared, as in ``supalab.clients.arms``.
CLIENTS = (
    *("real", "real-httpx", "httpx", "httpx2", "httpx-over-ours", "aiohttp"),
    *("supabase", "to-thread", "fake", "session"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One workload at one limit, after ``warm_up`` requests that do not count; ``only``: run no other kinds.

    With no warm-up the making of the client counts as well.
    """

    name: str
    limit: int
    workload: Workload
    warm_up: int = 1
    about: str = ""
    only: tuple[str, ...] | None = None


BURSTS_ONLY = tuple(kind for kind in CLIENTS if kind != "httpx-over-ours")
CASES = (
    Case("limit-10", 10, Workload(100, 0.15), about="100 requests at once, 150 ms each", only=BURSTS_ONLY),
    Case("limit-100", 100, Workload(1000, 0.05), about="1,000 requests at once, 50 ms each", only=BURSTS_ONLY),
    Case("limit-1000", 1000, Workload(2000, 0.15), about="2,000 requests at once, 150 ms each", only=BURSTS_ONLY),
    Case("cold-10", 10, Workload(100, 0.15), 0, "as limit-10, the making of the client counted", BURSTS_ONLY),
    Case("zero-1", 1, Workload(500, 0.0, callers=1), 50, "no latency, one request after another"),
    Case("zero-10", 10, Workload(1500, 0.0, callers=10), 100, "no latency, 10 callers"),
)
#: The same questions, with fewer requests where the answer does not need them.
QUICK_CASES = (*CASES[:4], *(replace(case, workload=replace(case.workload, requests=400)) for case in CASES[4:]))

#: CPU in ms for a request at a limit of so many (a 2-core machine, November 2026): good for guessing how long a trial
#: takes, and for nothing else.
COST_MS = {
    "real": {1: 0.6, 1000: 1.0},
    "real-httpx": {1: 1.0, 100: 10.0, 1000: 18.0},
    "httpx": {1: 2.5, 100: 9.5, 1000: 17.5},
    "httpx2": {1: 1.0, 1000: 8.0},
    "httpx-over-ours": {1: 0.5},
    "aiohttp": {1: 0.3},
    "supabase": {1: 1.5, 100: 9.5, 1000: 20.0},
    "to-thread": {1: 1.0, 100: 5.0, 1000: 7.0},
    "fake": {1: 1.7, 1000: 3.0},
    "session": {1: 1.2, 1000: 3.0},
}
UNKNOWN_MS = 3.0
START_S, CASE_S = 1.0, 1.5
#: A trial that takes longer than this many seconds is run twice at most, or is left out.
LONG_S, TOO_LONG_S, QUICK_TOO_LONG_S = 15.0, 60.0, 25.0
LONG_REPEATS = 2


@dataclass(frozen=True, slots=True)
class Run:
    """Arms that take turns over one case, ``repeat`` times."""

    case: Case
    arms: tuple[str, ...]
    repeat: int


@dataclass(frozen=True, slots=True)
class Remark:
    """What was left out or done less often, or must be known beside a figure; ``case`` is ``""`` for all."""

    case: str
    arm: str
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All that will be run, in order, what will not, and the seconds it should take."""

    runs: tuple[Run, ...]
    remarks: tuple[Remark, ...]
    expected_s: float


def trial_s(arm: str, case: Case) -> float:
    """Return the seconds that one trial should take, starting its process included."""
    kind = arm.rpartition("-")[0]
    steps = COST_MS.get(kind, {1: UNKNOWN_MS})
    cost = steps[max(step for step in steps if step <= case.limit)] / 1000
    # Half of it overlaps with the latency, give or take: only the sum's size matters.
    work = cost * (case.workload.requests + case.warm_up)
    return START_S + max(work, (case.workload.ideal_s(case.limit) or 0.0) + work / 2)


def plan(
    clients: Sequence[str],
    cases: Sequence[Case],
    repeat: int,
    *,
    quick: bool = False,
    lacking: Callable[[str], str | None] = lambda kind: None,
) -> Plan:
    """Say what to run; ``lacking`` tells what a kind lacks to run here, ``None`` if nothing.

    Raises SettingsError if there is nothing to run.
    """
    remarks = [Remark("", kind, f"left out: it {lack}") for kind in clients if (lack := lacking(kind))]
    here = [kind for kind in clients if not lacking(kind)]
    runs: list[Run] = []
    for case in cases:
        arms = [f"{kind}-{case.limit}" for kind in here if case.only is None or kind in case.only]
        limit_s = QUICK_TOO_LONG_S if quick else TOO_LONG_S
        slow = [arm for arm in arms if trial_s(arm, case) > LONG_S]
        hopeless = [arm for arm in slow if trial_s(arm, case) > limit_s]
        arms = [arm for arm in arms if arm not in hopeless]
        runs += _turns(case, arms, [arm for arm in arms if arm in slow], repeat)
        remarks += [_hopeless(case, arm) for arm in hopeless]
        remarks += [_less_often(case, arm) for arm in slow if arm not in hopeless and repeat > LONG_REPEATS]
    if not runs:
        raise SettingsError(f"clients {list(clients)!r} leave nothing to run: use some of {', '.join(CLIENTS)}")
    seconds = sum(CASE_S + run.repeat * sum(trial_s(arm, run.case) for arm in run.arms) for run in runs)
    return Plan(tuple(runs), tuple(remarks), seconds)


def _turns(case: Case, arms: list[str], slow: list[str], repeat: int) -> list[Run]:
    """The first repeats with all arms; those that the slow ones leave out follow."""
    if not slow or repeat <= LONG_REPEATS:
        return [Run(case, tuple(arms), repeat)] if arms else []
    fast = tuple(arm for arm in arms if arm not in slow)
    return [Run(case, tuple(arms), LONG_REPEATS), *([Run(case, fast, repeat - LONG_REPEATS)] if fast else [])]


def _hopeless(case: Case, arm: str) -> Remark:
    return Remark(case.name, arm, f"left out: one trial would take about {trial_s(arm, case):.0f} s")


def _less_often(case: Case, arm: str) -> Remark:
    return Remark(case.name, arm, f"run {LONG_REPEATS} times only: one trial takes about {trial_s(arm, case):.0f} s")
