"""Capacity: up to which request rate is a service on each client fast enough?

Capacity is the highest rate of open-loop load with p95 below twice the response time of an idle service. Rates rise
step by step until one is too high, and one step further; then the gap is halved repeatedly. For comparison the same
search is run over an ideal queue: the same arrivals, and as many slots, with no client, no thread and no event loop.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.errors import SettingsError, TrialError
from supalab.experiments import Experiment
from supalab.experiments.load import percentiles
from supalab.experiments.race import control_of
from supalab.measure.case import Trial
from supalab.measure.compare import percentile
from supalab.measure.record import Record
from supalab.measure.run import Plan, Progress, checked_names
from supalab.measure.service import PATH, case_of, service_arm
from supalab.measure.traffic import LATE_S, Traffic, poisson
from supalab.report.format import NEVER, duration, ms, size, stated
from supalab.report.lines import response_axes, rule
from supalab.report.plot import INK, colour, panel_title, sheet
from supalab.report.table import Table

__all__ = ["ARMS", "Service", "capacity", "figure", "headline", "ideal_queue", "notes", "plan", "services", "tables"]

NAME = "capacity"
#: The article's before, its control with the same limit, the article's after, and ours.
ARMS = ("fake-3", "fake-10", "article-10", "real-10")
STEPS, MOST_RATE, FINE = (5.0, 10.0, 20.0, 40.0, 80.0), 640.0, 0.05
LATENCY_S, TIMEOUT_S, CALLER_TIMEOUT_S = 0.15, 5.0, 10.0
DURATION_S, IDLE_S, REQUESTS = 10.0, 2.0, 150
#: A step whose generator was late is measured once more, and then counts as it is.
TRIES = 2
#: Quick enough: p95 below so many idle response times.
TOO_SLOW = 2.0
#: The article's row about production: response time (s), memory (MB), capacity; before and after.
ARTICLE: Mapping[str, tuple[float, float]] = {"response": (0.45, 0.15), "memory": (250, 180), "capacity": (3, 10)}
MARKERS = ("X", "s", "D", "o", "^", "v", "P")


def capacity(*, progress: Callable[[Progress], None] | None = None, **asked: Any) -> Record:
    """Find what a service on each arm's client can take; ``asked`` and errors as in ``plan`` and ``run``."""
    return EXPERIMENT.run(progress=progress, **asked)


def plan(
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
) -> Plan:
    """Run each service when idle, then at rising rates; the arms take turns at each rate and get the same arrivals.

    ``steps``: rates that are tried until one is too high (doubled behind the last up to ``most``); then the gap is
    halved until it is no wider than ``fine``. ``duration``: seconds of a step, longer where that brings fewer than
    ``requests``; ``timeout``: of the services' clients. Raises SettingsError for values that cannot work, TrialError if
    a service fails when idle.
    """
    climb = tuple(float(rate) for rate in steps)
    if not climb or sorted(set(climb)) != list(climb) or climb[0] <= 0:
        raise SettingsError(f"steps {steps!r} are not rates that go up, e.g. {STEPS}")
    if not latency > 0:
        raise SettingsError(f"latency {latency!r} is not above 0: a backend without latency fills no slot")
    names = [service_arm(name) for name in checked_names("arms", arms, ARMS)]
    how: dict[str, Any] = {"client_timeout": timeout}
    too_slow: dict[str, float] = {}
    for name in names:
        idle = yield case_of(name, latency, Traffic(IDLE_S, callers=1), tags={"rate": None}, **how)
        if idle is None or idle["errors"]:
            raise TrialError(f"the service on {name} fails when idle: {idle['failures'] if idle else 'no trial'}")
        too_slow[name] = TOO_SLOW * idle["response_p50_s"]
    tried: dict[str, dict[float, bool]] = {name: {} for name in names}
    while going := {name: rate for name in names if (rate := next_rate(tried[name], climb, fine, most)) is not None}:
        for name, rate in going.items():
            traffic = Traffic(max(duration, requests / rate), rate, seed=seed, timeout=CALLER_TIMEOUT_S)
            for _ in range(TRIES):
                trial = yield case_of(name, latency, traffic, tags={"rate": rate}, **how)
                if trial is None or trial["send_delay_p99_s"] <= LATE_S:
                    break
            tried[name][rate] = trial is not None and _quick(trial["response_p95_s"], too_slow[name])


def _quick(p95: float | None, too_slow: float) -> bool:
    return p95 is not None and p95 < too_slow


def bracket(tried: Mapping[float, bool]) -> tuple[float | None, float | None]:
    """Return the highest good rate below the lowest bad one, and that bad one; ``None`` for what was not found."""
    bad = min((rate for rate, good in tried.items() if not good), default=None)
    below = [rate for rate, good in tried.items() if good and (bad is None or rate < bad)]
    return max(below, default=None), bad


def next_rate(
    tried: Mapping[float, bool], steps: Sequence[float], fine: float = FINE, most: float = MOST_RATE
) -> float | None:
    """Return the rate to try next; ``None`` when the gap is no wider than ``fine``, or there is nowhere to go."""
    good, bad = bracket(tried)
    if bad is None:
        ahead = [rate for rate in steps if rate not in tried]
        if ahead:
            return ahead[0]
        doubled = 2 * max(tried, default=1.0)
        return doubled if doubled <= most else None
    beyond = next((rate for rate in steps if rate > bad), None)
    if beyond is not None and beyond not in tried:
        return beyond
    low = good or 0.0
    middle = round((low + bad) / 2, 2)
    return middle if bad - low > fine * bad and low < middle < bad and middle >= fine * steps[0] else None


def search(is_good: Callable[[float], bool], steps: Sequence[float], fine: float = FINE) -> dict[float, bool]:
    """Run a whole search; returns the rates in the order in which they were tried, and whether they were good."""
    tried: dict[float, bool] = {}
    while (rate := next_rate(tried, steps, fine)) is not None:
        tried[rate] = is_good(rate)
    return tried


def ideal_queue(arrivals: Sequence[float], slots: int, service_s: float) -> list[float]:
    """Return the response time of each arrival, in seconds: first come, first served, by whichever slot is free."""
    free = [0.0] * slots
    found = []
    for at in arrivals:
        done = max(at, heapq.heappop(free)) + service_s
        heapq.heappush(free, done)
        found.append(done - at)
    return found


@dataclass(frozen=True)
class Service:
    """One arm's part of a record: its service when idle, and at each rate (the last try counts), in order of rate."""

    arm: str
    idle: Trial
    steps: tuple[Trial, ...]
    asked: Mapping[str, Any]

    @property
    def limit(self) -> int:
        """The client's concurrency limit."""
        return self.idle.case.limit

    @property
    def idle_s(self) -> float:
        """The response time when one caller asks at a time."""
        return float(self.idle["response_p50_s"])

    @property
    def too_slow_s(self) -> float:
        """Twice that, which p95 must stay below."""
        return TOO_SLOW * self.idle_s

    @property
    def bracket(self) -> tuple[float | None, float | None]:
        """The highest good rate and the lowest bad one; ``None`` for what was not found."""
        return bracket({one["rate"]: _quick(one["response_p95_s"], self.too_slow_s) for one in self.steps})

    @property
    def capacity(self) -> float | None:
        """The highest rate that is quick enough; ``None`` if no rate was."""
        return self.bracket[0]

    @property
    def at_capacity(self) -> Trial | None:
        """The trial at that rate."""
        return next((one for one in self.steps if one["rate"] == self.capacity), None)

    @property
    def ideal(self) -> float | None:
        """The capacity of an ideal queue with as many slots, found by the same search over the same arrivals."""
        asked = self.asked

        def is_good(rate: float) -> bool:
            arrivals = poisson(rate, max(asked["duration"], asked["requests"] / rate), asked["seed"])
            return _quick(percentile(ideal_queue(arrivals, self.limit, self.idle_s), 95), self.too_slow_s)

        return bracket(search(is_good, asked["steps"], asked["fine"]))[0]

    @property
    def memory_bytes(self) -> int | None:
        """The largest memory of the service's process at the end of a step."""
        return max((one["memory_bytes"] for one in self.steps if one["memory_bytes"] is not None), default=None)

    @property
    def errors(self) -> int:
        """Requests that failed, in all steps."""
        return sum(one["errors"] for one in self.steps)


def services(found: Record) -> dict[str, Service]:
    """Return the arms of a record, by name, in the order in which they ran."""
    idle = {trial.arm: trial for trial in found.trials if trial["rate"] is None}
    steps: dict[str, dict[float, Trial]] = {name: {} for name in idle}
    for trial in found.trials:
        if trial["rate"] is not None:
            steps[trial.arm][trial["rate"]] = trial
    return {
        name: Service(name, idle[name], tuple(steps[name][rate] for rate in sorted(steps[name])), found.asked)
        for name in idle
    }


def ratio(found: Record, arm: str, other: str) -> float | None:
    """Return one arm's capacity over another's, ``None`` if either is not known."""
    one, two = (services(found).get(name) for name in (arm, other))
    return one.capacity / two.capacity if one and two and one.capacity and two.capacity else None


def headline(found: Record) -> str:
    """Say the capacities of three threads, of ten, and of ten at once with async."""
    every = services(found)
    known = [every[name].capacity if name in every else None for name in ("fake-3", "fake-10", "real-10")]
    if not all(known):
        return "What a service can take, by its client"
    few, control, real = known
    return f"3 threads: {few:.3g} requests per second.  10 threads: {control:.3g}.  10 at once with async: {real:.3g}."


def notes(found: Record) -> list[str]:
    """Say each client's capacity, idle response time, memory and failures, and how far apart the controls are."""
    said = ["Capacity is the highest rate with p95 below twice the idle response time."]
    for one in services(found).values():
        at, memory = one.at_capacity, one.memory_bytes
        there = f", {at['in_flight_mean']:.1f} in flight on average there" if at is not None else ""
        weight = "" if memory is None else f", {size(memory)} of memory at most"
        failed = f", {one.errors} requests failed in all steps" if one.errors else ""
        said.append(f"{_label(one, None)}, idle {duration(one.idle_s)}{there}{weight}{failed}.")
    apart = ratio(found, "real-10", "fake-10")
    control = f"fake-10 is the control of real-10 with the same limit; real-10's capacity is {apart or 0:.2f} times it."
    return [*said, control] if apart is not None else said


def _label(one: Service, control: str | None) -> str:
    good, bad = one.bracket
    said = "no rate was good" if good is None else f"{'' if bad is not None else 'at least '}{good:.1f}/s"
    return f"{one.arm}: {said}" + (f", control of {control}" if control else "")


def tables(found: Record) -> list[Table]:
    """Return the clients, p95 at each rate that was climbed, and the article's row next to ours."""
    every = list(services(found).values())
    if not every:
        return [Table((), (), empty="No client was measured.")]
    titles = (
        "client", "idle\nms", "capacity\n/s", "ideal\nqueue", "x\nfake-3", "response there, ms\np50 / p95 / p99",
        "in flight\npeak/mean", "memory MB\nidle/most", "errors",
    )  # fmt: skip
    clients = Table(titles, [_row(found, one) for one in every], notes=_about(found))
    rates = {one.arm: {step["rate"]: step for step in one.steps} for one in every}
    climb = [
        [f"{rate:g}/s", *(ms(mine[rate]["response_p95_s"], NEVER) if rate in mine else "" for mine in rates.values())]
        for rate in found.asked["steps"]
        if any(rate in mine for mine in rates.values())
    ]
    article = ("in production", "article\nbefore -> after", "here\nfake-3 -> real-10", "control\nfake-10")
    return [
        clients,
        Table(["p95 ms at", *rates], climb),
        Table(article, _beside_article(found), notes=_remarks(found, every)),
    ]


def _row(found: Record, one: Service) -> list[str]:
    times, at = ratio(found, one.arm, "fake-3"), one.at_capacity
    good, bad = one.bracket
    known = f"{good:.1f}" if bad is not None else f">= {good:.1f}"
    return [
        one.arm,
        ms(one.idle_s),
        known if good is not None else "none" if one.steps else "?",
        "" if one.ideal is None else f"{one.ideal:.1f}",
        "" if times is None else f"{times:.1f}",
        "" if at is None else percentiles(at),
        "" if at is None else f"{at['peak']}/{at['in_flight_mean']:.1f}",
        f"{_megabytes(one.idle['memory_bytes'])}/{_megabytes(one.memory_bytes)}",
        str(one.errors) + "*" * bool(one.errors),
    ]


def _megabytes(number: int | None) -> str:
    return "?" if number is None else f"{number / 1e6:.0f}"


def _about(found: Record) -> list[str]:
    asked = found.asked
    return [
        "Capacity: the highest rate of open-loop load with p95 below twice the idle response time (of one caller); "
        f"{asked['fine']:.0%} more, or less than that, was too much.",
        "Ideal queue: the capacity of as many slots as the client has for the same arrivals, simulated: no client, no "
        "thread, no event loop.",
        f"GET {PATH}, one request of the backend ({stated(asked['latency'])}) for each; a client's timeout is "
        f"{asked['timeout']:g} s, a caller's {CALLER_TIMEOUT_S:g} s; a failed request counts as one never answered.",
    ]


def _beside_article(found: Record) -> list[list[str]]:
    every = services(found)
    ours = [every.get(name) for name in ("fake-3", "real-10", "fake-10")]
    idle = [1000 * one.idle_s if one else None for one in ours]
    memory = [one.memory_bytes / 1e6 if one and one.memory_bytes else None for one in ours]
    rates = [one.capacity if one else None for one in ours]
    response = tuple(1000 * seconds for seconds in ARTICLE["response"])
    rows = [
        ("response time, ms (ours: idle)", response, idle),
        ("memory, MB (ours: most)", ARTICLE["memory"], memory),
        ("capacity (article: concurrent; ours: /s)", ARTICLE["capacity"], rates),
    ]
    return [[name, _change(*theirs), _change(*here[:2]), _one(here[2])] for name, theirs, here in rows]


def _change(before: float | None, after: float | None) -> str:
    factor = "" if not before or not after else f"  (x {after / before:.2f})"
    return f"{_one(before)} -> {_one(after)}{factor}"


def _one(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"


def _remarks(found: Record, every: Sequence[Service]) -> list[str]:
    steps = [(f"{one.arm} at {step['rate']:g}/s", step) for one in every for step in one.steps]
    said = [f"* {name}: {step['failures']}" for name, step in steps if step["errors"]]
    late = [name for name, step in steps if step["send_delay_p99_s"] > LATE_S]
    if late:
        said.append(f"A busy machine: more than {1000 * LATE_S:.0f} ms late (p99) were sent {', '.join(late)}.")
    return said if found.finished else [*said, "Interrupted: steps are missing."]


def figure(found: Record, *, fig: Figure | None = None) -> Figure:
    """Draw p95 against arrival rate, a line for each client with its capacity marked, and what was in flight.

    A response that never came is drawn at the top edge. Draws on ``fig`` if one is given.
    """
    every = [one for one in services(found).values() if one.steps]
    backend = f"contest-agent, a service on each client in turn, over a backend of {duration(found.asked['latency'])}"
    about = f"{backend}; the same open-loop load for all"
    what = "Response time (p95, logarithmic) against arrival rate, a line for each client."
    words = [what, headline(found), *notes(found)]
    with sheet(
        headline(found), about, words, (1, 2), 3.5, foot=_foot(every), fig=fig, head_in=1.65, foot_in=1.05, left=0.075,
        right=0.975, width_ratios=(2.1, 1), wspace=0.2,
    ) as (fig, panels):  # fmt: skip
        left, right = panels
        _lines(left, every, lambda one: min(one["response_p95_s"] or CALLER_TIMEOUT_S, CALLER_TIMEOUT_S))
        _lines(right, every, lambda one: one["in_flight_mean"])
        rates = [step["rate"] for one in every for step in one.steps]
        response_axes(left, rates, 0.1, CALLER_TIMEOUT_S)
        _marks(left, every)
        for limit in sorted({one.limit for one in every}):
            rule(right, limit, f"limit {limit}")
        right.set(xlim=left.get_xlim(), ylim=(0, 1.15 * max((one.limit for one in every), default=1)))
        right.set_xlabel("requests per second", loc="left")
        right.grid(visible=True)
        panel_title(left, "Response time", "p95 from the intended start, seconds; a diamond marks the capacity")
        panel_title(right, "In flight at the backend", "mean of a step, as the lab counted")
    return fig


def _marks(ax: Axes, every: Sequence[Service]) -> None:
    """Mark each capacity, draw what is too slow, and name the lines."""
    for one in every:
        if one.capacity is not None:
            how: dict[str, Any] = {
                "marker": "d",
                "markersize": 11,
                "markeredgecolor": INK,
                "markeredgewidth": 1.2,
                "zorder": 12,
            }
            ax.plot(one.capacity, one.too_slow_s, color=colour(one.arm), **how)
    if every:
        too_slow = sum(one.too_slow_s for one in every) / len(every)
        rule(ax, too_slow, "twice the idle response time", 0.31)
        ax.legend(loc="upper left", bbox_to_anchor=(0.0, 1.0), framealpha=1.0, edgecolor="none", fontsize=10)


def _lines(ax: Axes, every: Sequence[Service], value: Callable[[Trial], float]) -> None:
    """Draw one line for each client against the rate; a control is dashed, with hollow marks."""
    names = [one.arm for one in every]
    for place, one in enumerate(every):
        shade, control = colour(one.arm), control_of(one.arm, names)
        ax.plot(
            [step["rate"] for step in one.steps], [value(step) for step in one.steps], "--" if control else "-",
            color=shade, marker=MARKERS[place % len(MARKERS)], markersize=7, markeredgewidth=0.8, linewidth=2.4,
            markeredgecolor=INK if control else "white", markerfacecolor="white" if control else shade, clip_on=False,
            label=_label(one, control), zorder=3 + place,
        )  # fmt: skip


def _foot(every: Sequence[Service]) -> str:
    weights = ", ".join(f"{one.arm} {size(one.memory_bytes)}" for one in every if one.memory_bytes is not None)
    (slow, quick), (heavy, light), (few, many) = (ARTICLE[name] for name in ("response", "memory", "capacity"))
    article = (
        f"{1000 * slow:.0f} to {1000 * quick:.0f} ms, {heavy:.0f} to {light:.0f} MB, {few:.0f} to {many:.0f} at once"
    )
    return f"Memory of the service at most: {weights}.\nThe article says of its own service: {article}."


def compared(found: Record) -> dict[str, float]:
    """Return the ratios of capacities, then capacities and idle response times."""
    every = services(found).values()
    numbers = {
        "capacity real-10 / fake-3": ratio(found, "real-10", "fake-3"),
        "capacity real-10 / fake-10, the control": ratio(found, "real-10", "fake-10"),
        **{f"{one.arm}: capacity /s": one.capacity for one in every},
        **{f"{one.arm}: idle s": one.idle_s for one in every},
    }
    return {name: value for name, value in numbers.items() if value is not None}


EXPERIMENT = Experiment(
    name=NAME,
    about="what a service can take by its client: response time against arrival rate, and the capacity",
    plan=plan,
    headline=headline,
    notes=notes,
    tables=tables,
    figures={NAME: figure},
    compared=compared,
    quick={"steps": (10.0, 20.0, 40.0, 80.0), "duration": 4.0, "requests": 60, "fine": 0.15},
)
