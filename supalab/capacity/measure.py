"""The capacity experiment: arms go in; they are measured idle and at rising rates; a ``Capacity`` comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from supalab.capacity.result import ArmCapacity, Capacity, Step
from supalab.capacity.scene import ARMS, PATH, Scene, scene
from supalab.capacity.search import FINE, MOST_RATE, next_rate, search
from supalab.capacity.slots import step_s
from supalab.clients.arms import arm
from supalab.errors import SettingsError
from supalab.load.run import load, made_on
from supalab.load.shots import Load

__all__ = ["QUICK", "STEPS", "CapacityInterrupted", "capacity", "expected_s"]

STEPS = (5.0, 10.0, 20.0, 40.0, 80.0)
LATENCY_S, TIMEOUT_S, PATIENCE_S = 0.15, 5.0, 10.0
DURATION_S, IDLE_S, REQUESTS = 10.0, 2.0, 150
AROUND_S = 1.4
#: A service of N slots is full at N / latency requests a second, and with bursts too slow somewhat before.
USUAL_PART = 0.8
TRIES = 2
QUICK: dict[str, Any] = {"steps": (10.0, 20.0, 40.0, 80.0), "duration": 4.0, "requests": 60, "fine": 0.15}

Progress = Callable[[float, str, int, int], None]


class CapacityInterrupted(KeyboardInterrupt):
    """Ctrl-C during the experiment: nothing runs any more; ``found`` holds what was measured until then."""

    def __init__(self, found: Capacity) -> None:
        self.found = found
        super().__init__(f"interrupted after {sum(len(one.steps) for one in found.arms)} steps")


@dataclass
class _Todo:
    """One arm while it is measured."""

    arm: str
    found: ArmCapacity | None = None
    tried: dict[float, bool] = field(default_factory=dict)


def capacity(
    arms: Sequence[str] = ARMS,
    *,
    steps: Sequence[float] = STEPS,
    latency: float = LATENCY_S,
    duration: float = DURATION_S,
    requests: int = REQUESTS,
    fine: float = FINE,
    most: float = MOST_RATE,
    seed: int = 1,
    timeout: float = TIMEOUT_S,
    progress: Progress = lambda *_: None,
) -> Capacity:
    """Measure what a service on each arm's client can take; the arms take turns, rate by rate, over one lab.

    ``steps``: rates that are climbed until one is bad (doubled behind the last up to ``most``); then the gap is
    halved until it is no wider than ``fine``. All arms meet the same seeded arrivals. ``latency``: the backend's,
    seconds; ``duration``: of one step, longer where that brings fewer than ``requests``; ``timeout``: of the services'
    clients. ``progress`` is called with the share done (0 to 1), the arm, the steps done and about how many there
    will be.

    Raises SettingsError for arguments that cannot work, LabError, AgentError, TrialError, CapacityInterrupted on
    Ctrl-C.
    """
    climb = _checked(steps, latency)
    whole = Capacity(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        **made_on(),
        path=PATH,
        latency=latency,
        duration=duration,
        requests=requests,
        seed=seed,
        timeout=timeout,
        patience=PATIENCE_S,
        steps=climb,
        fine=fine,
        finished=False,
        arms=(),
    )
    todo = [_Todo(arm(name).name) for name in arms]
    expected = expected_s(
        arms, steps=climb, latency=latency, duration=duration, requests=requests, fine=fine, timeout=timeout
    )
    planned = sum(len(_planned(one.arm, climb, latency, fine)) for one in todo)
    try:
        with scene(arms, latency=latency, timeout=timeout) as here:
            _measure(here, whole, most, todo, _share(progress, expected, planned))
    except KeyboardInterrupt:
        raise CapacityInterrupted(_result(whole, todo)) from None
    return replace(_result(whole, todo), finished=True)


def expected_s(
    arms: Sequence[str] = ARMS,
    *,
    steps: Sequence[float] = STEPS,
    latency: float = LATENCY_S,
    duration: float = DURATION_S,
    requests: int = REQUESTS,
    fine: float = FINE,
    timeout: float = TIMEOUT_S,
) -> float:
    """Return the seconds that such an experiment needs, if each arm's capacity is what its slots allow."""
    seconds = 0.0
    for name in arms:
        ceiling = arm(name).limit / latency
        lengths = {rate: step_s(rate, duration, requests) for rate in _planned(name, steps, latency, fine)}
        backlog = sum(min(timeout, lengths[rate] * max(rate / ceiling - 1, 0.0)) for rate in lengths)
        seconds += AROUND_S + IDLE_S + len(lengths) * AROUND_S + sum(lengths.values()) + backlog
    return seconds


def _planned(name: str, steps: Sequence[float], latency: float, fine: float) -> list[float]:
    """The rates that the search would try if the arm's slots were all that counts."""
    full = arm(name).limit / latency
    return list(search(lambda rate: rate <= USUAL_PART * full, steps, fine))


def _checked(steps: Sequence[float], latency: float) -> tuple[float, ...]:
    climb = tuple(float(rate) for rate in steps)
    if not climb or sorted(set(climb)) != list(climb) or climb[0] <= 0:
        raise SettingsError(f"steps {steps!r} are not rates that go up, e.g. {STEPS}")
    if not latency > 0:
        raise SettingsError(f"latency {latency!r} is not above 0: a backend without latency fills no slot")
    return climb


def _share(progress: Progress, expected: float, steps: int) -> Callable[[float, str, int], None]:
    """Seconds measured so far become the share of all, which never quite arrives before the end."""
    return lambda seconds, name, done: progress(min(seconds / expected, 0.99), name, done, max(steps, done + 1))


def _result(whole: Capacity, todo: Sequence[_Todo]) -> Capacity:
    return replace(whole, arms=tuple(one.found for one in todo if one.found is not None))


def _measure(
    here: Scene, whole: Capacity, most: float, todo: Sequence[_Todo], tell: Callable[[float, str, int], None]
) -> None:
    spent, done = 0.0, 0

    def run(one: _Todo, rate: float | None) -> Load:
        nonlocal spent
        how = {"callers": 1} if rate is None else {"rate": rate}
        seconds = IDLE_S if rate is None else step_s(rate, whole.duration, whole.requests)
        plan = here.plan(one.arm, seconds, seed=whole.seed, timeout=whole.patience, **how)
        here.lab.reset()
        found = load(plan, tick=lambda now: tell(spent + min(now, seconds), one.arm, done))
        spent += seconds + AROUND_S
        return found

    for one in todo:
        one.found = _idle(here, one.arm, run(one, None))
        here.settle()
    going = list(todo)
    while going:
        for one in list(going):
            rate = next_rate(one.tried, whole.steps, whole.fine, most)
            if rate is None:
                going.remove(one)
                continue
            _step(here, one, rate, lambda one=one, rate=rate: run(one, rate))  # type: ignore[misc]
            done += 1


def _idle(here: Scene, name: str, found: Load) -> ArmCapacity:
    return ArmCapacity(
        arm=name,
        limit=arm(name).limit,
        idle_s=here.idle_s(name, found),
        idle_requests=len(found.shots),
        idle_backend_requests=here.lab.witness().served,
        memory_idle_bytes=here.agents[name].memory(),
        steps=(),
    )


def _step(here: Scene, one: _Todo, rate: float, run: Callable[[], Load]) -> None:
    """Measure one rate; a step whose generator was late is measured once more, and then counts as it is."""
    assert one.found is not None
    for _ in range(TRIES):
        load_found = run()
        step = _figures(here, one.found, rate, load_found)
        if load_found.errors:
            # Callers who were cut off may have broken the client (httpx's pool): the next step wants a whole one.
            here.restart(one.arm)
        here.settle()
        if not load_found.late:
            break
    one.tried[rate] = step.good
    one.found = replace(one.found, steps=tuple(sorted((*one.found.steps, step), key=lambda s: s.rate)))


def _figures(here: Scene, arm_found: ArmCapacity, rate: float, found: Load) -> Step:
    seen, memory = here.lab.witness(), here.agents[arm_found.arm].memory()
    lasted = max(found.duration, max((shot.done for shot in found.shots), default=0.0))
    p50, p95, p99 = (None if (s := found.response(q)) is None else round(s, 6) for q in (50, 95, 99))
    return Step(
        rate=rate,
        sent_per_s=round(found.sent_per_s, 3),
        answered_per_s=round(found.answered_per_s, 3),
        requests=len(found.shots),
        p50=p50,
        p95=p95,
        p99=p99,
        errors=found.errors,
        in_flight_peak=seen.peak,
        in_flight_mean=round(seen.busy_s / lasted, 3),
        backend_requests=seen.served + seen.current,
        memory_bytes=memory,
        late_s=round(found.slip_p99, 6),
        good=p95 is not None and p95 < arm_found.threshold_s,
    )
