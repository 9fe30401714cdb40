"""Capacity: find the highest request rate at which a service on each client is fast enough.

Capacity is the highest rate of open-loop load with p95 below twice the response time of an idle service. Rates rise
step by step until one is too high, and one step further; then the gap is halved repeatedly. For comparison the same
search is run over an ideal queue: the same arrivals, and as many slots, with no client, no thread and no event loop.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.errors import SettingsError, TrialError
from supalab.experiments import Experiment
from supalab.experiments.load import late, percentiles, starred
from supalab.experiments.race import control_of
from supalab.measure.case import MOST
from supalab.measure.compare import percentile
from supalab.measure.record import Record, each, interrupted
from supalab.measure.run import Plan, checked_names
from supalab.measure.service import PATH, case_of, service_arm
from supalab.measure.traffic import LATE_S, MOST_PER_S, Traffic, poisson
from supalab.report.format import NEVER, duration, ms, size, stated
from supalab.report.plot import INK, colour, panel_title, response_axes, rule, sheet
from supalab.report.table import Content, Table
from supalab.settings import checked_number

NAME = "capacity"
ABOUT = "how much load a service can take with each client: response time against arrival rate, and the capacity"
#: The article's "before", the control with the new limit, the article's "after", and our client.
ARMS = ("fake-3", "fake-10", "article-10", "real-10")
QUICK = {"steps": (10.0, 20.0, 40.0, 80.0), "duration": 4.0, "requests": 60, "fine": 0.15}
#: The rates of the search, the highest one, and how close it comes to the capacity.
STEPS, MOST_RATE, FINE = (5.0, 10.0, 20.0, 40.0, 80.0), 640.0, 0.05
IDLE_S, CALLER_TIMEOUT_S = 2.0, 10.0
#: A step whose generator was late is measured once more, and then counts as it is.
TRIES = 2
#: Quick enough means a p95 below so many idle response times.
TOO_SLOW = 2.0
#: The article's numbers about production before and after, and the column of ``services`` with our number, times a
#: factor.
ARTICLE: Mapping[str, tuple[float, float, str, float]] = {
    "response time, ms (ours: idle)": (450, 150, "idle_s", 1000),
    "memory, MB (ours: most)": (250, 180, "memory_bytes", 1e-6),
    "capacity (article: concurrent; ours: /s)": (3, 10, "capacity", 1),
}
WHAT = "Response time (p95, logarithmic) against arrival rate, a line for each client."
FOOT = "The article says of its own service: 450 to 150 ms, 250 to 180 MB, 3 to 10 at once."
NOTES = (
    "Capacity: the highest rate of open-loop load with p95 below twice the idle response time (of one caller); a rate "
    "at most {fine:.0%} higher was too high.",
    "Ideal queue: the capacity of the same number of slots for the same arrivals, simulated without a client, threads "
    "or an event loop.",
    f"GET {PATH}, one request to the backend ({{latency}}) for each; a client's timeout is {{timeout:g}} s, a caller's "
    f"{CALLER_TIMEOUT_S:g} s; a failed request counts as never answered.",
)
MARKERS = ("X", "s", "D", "o", "^", "v", "P")


def plan(
    arms: Sequence[str] = ARMS,
    *,
    steps: Sequence[float] = STEPS,
    latency: float = 0.15,
    duration: float = 10.0,
    requests: int = 150,
    fine: float = FINE,
    most: float = MOST_RATE,
    seed: int = 1,
    timeout: float = 5.0,
) -> Plan:
    """Run each service when idle, then at rising rates; arms take turns at each rate and get the same arrivals.

    ``steps`` are tried until one is too high (doubled behind the last up to ``most``); then the gap is halved until it
    is no wider than ``fine``. A step is longer if ``duration`` would give fewer than ``requests``. Raises SettingsError
    for values that cannot work, TrialError if a service fails when idle.

    Args:
        arms: clients with their limits, separated by commas
        steps: rates that are tried, separated by commas
        latency: seconds that the server takes for a request (0.45 in the article)
        duration: seconds at each rate
        requests: fewest requests at each rate
        fine: precision of the capacity, as a share
        most: highest rate that is tried
        seed: random seed of the arrival times
        timeout: seconds after which a client gives up
    """
    climb = tuple(float(rate) for rate in steps)
    if not climb or sorted(set(climb)) != list(climb) or climb[0] <= 0:
        raise SettingsError(f"steps {steps!r} are not rates that go up, e.g. {STEPS}")
    checked_number("requests", requests, 1, MOST, "use e.g. 150")
    checked_number("most", most, climb[0], MOST_PER_S, f"use e.g. {MOST_RATE:.0f}", "requests per second")
    if not 0 < fine <= 1:
        raise SettingsError(f"fine {fine!r} is not a share above 0 and up to 1, e.g. {FINE}")
    if not latency > 0:
        raise SettingsError(f"latency {latency!r} is not above 0: a backend without latency fills no slot")
    names = [service_arm(name) for name in checked_names("arms", arms, ARMS)]
    too_slow: dict[str, float] = {}
    for name in names:
        idle = yield case_of(name, latency, Traffic(IDLE_S, callers=1), tags={"rate": None}, client_timeout=timeout)
        if idle is None or idle["errors"]:
            raise TrialError(f"the service on {name} fails when idle: {idle['failures'] if idle else 'no trial'}")
        too_slow[name] = TOO_SLOW * idle["response_p50_s"]
    tried: dict[str, dict[float, bool]] = {name: {} for name in names}
    while going := {name: rate for name in names if (rate := next_rate(tried[name], climb, fine, most)) is not None}:
        for name, rate in going.items():
            traffic = Traffic(max(duration, requests / rate), rate, seed=seed, timeout=CALLER_TIMEOUT_S)
            for _ in range(TRIES):
                trial = yield case_of(name, latency, traffic, tags={"rate": rate}, client_timeout=timeout)
                if trial is None or trial["send_delay_p99_s"] <= LATE_S:
                    break
            tried[name][rate] = trial is not None and _quick(trial["response_p95_s"], too_slow[name])


def _quick(p95: float | None, too_slow: float) -> bool:
    return p95 is not None and p95 < too_slow


def bracket(tried: Mapping[float, bool]) -> tuple[float | None, float | None]:
    """Return the highest good rate below the lowest bad rate, and that bad rate; ``None`` for a missing one."""
    bad = min((rate for rate, good in tried.items() if not good), default=None)
    below = [rate for rate, good in tried.items() if good and (bad is None or rate < bad)]
    return max(below, default=None), bad


def next_rate(
    tried: Mapping[float, bool], steps: Sequence[float], fine: float = FINE, most: float = MOST_RATE
) -> float | None:
    """Return the rate to try next; ``None`` if the gap is no wider than ``fine``, or there is no further rate."""
    good, bad = bracket(tried)
    ahead = [rate for rate in steps if rate not in tried]
    if bad is None:
        doubled = 2 * max(tried, default=1.0)
        return ahead[0] if ahead else doubled if doubled <= most else None
    beyond = next((rate for rate in steps if rate > bad), None)
    if beyond in ahead:
        return beyond
    low = good or 0.0
    middle = round((low + bad) / 2, 2)
    return middle if bad - low > fine * bad and low < middle < bad and middle >= fine * steps[0] else None


def search(is_good: Callable[[float], bool], steps: Sequence[float], fine: float = FINE) -> dict[float, bool]:
    """Run a whole search; return the rates in the order in which they were tried, and whether each was good."""
    tried: dict[float, bool] = {}
    while (rate := next_rate(tried, steps, fine)) is not None:
        tried[rate] = is_good(rate)
    return tried


def ideal_queue(arrivals: Sequence[float], slots: int, service_s: float) -> list[float]:
    """Return each arrival's response time in seconds: first come, first served, by whichever slot is free."""
    free = [0.0] * slots
    found = []
    for at in arrivals:
        done = max(at, heapq.heappop(free)) + service_s
        heapq.heappush(free, done)
        found.append(done - at)
    return found


def ideal_capacity(slots: int, idle_s: float, asked: Mapping[str, Any]) -> float | None:
    """Return the capacity of an ideal queue, found by the same search over the same arrivals."""

    def is_good(rate: float) -> bool:
        arrivals = poisson(rate, max(asked["duration"], asked["requests"] / rate), asked["seed"])
        return _quick(percentile(ideal_queue(arrivals, slots, idle_s), 95), TOO_SLOW * idle_s)

    return bracket(search(is_good, asked["steps"], asked["fine"]))[0]


def steps_of(record: Record) -> pd.DataFrame:
    """Return a row for each arm and rate, in order of rate; if a rate was tried twice, the last try counts."""
    rows = record.rows[record.rows["rate"].notna()].drop_duplicates(["arm", "rate"], keep="last")
    return rows.sort_values("rate").sort_values("arm", key=lambda arms: arms.map(record.arms.index), kind="stable")


def services(record: Record) -> pd.DataFrame:
    """Return a row for each arm in the order in which they ran: its service when idle and at its capacity.

    ``capacity`` and ``ideal``: its own capacity and that of an ideal queue with as many slots, in requests per second;
    ``too_much``: the lowest rate that was too high. ``times``: its capacity over that of fake-3. ``idle_s``,
    ``too_slow_s``: response times. ``memory_bytes``: of its process, at most. The other numbers are those of the trial
    at its capacity. A value that was not found is NaN.
    """
    rows = []
    for idle in (trial for trial in record.trials if trial["rate"] is None):
        steps, idle_s = steps_of(record), idle["response_p50_s"]
        mine = steps[steps["arm"] == idle.arm].set_index("rate")
        quick = mine["response_p95_s"].astype(float) < TOO_SLOW * idle_s
        good, bad = bracket(dict(zip(mine.index, quick, strict=True)))
        rows.append({
            **mine.reindex([good]).iloc[0], "arm": idle.arm, "limit": idle.limit, "idle_s": idle_s,
            "too_slow_s": TOO_SLOW * idle_s, "capacity": good, "too_much": bad,
            "ideal": ideal_capacity(idle.limit, idle_s, record.asked), "errors": int(mine["errors"].sum()),
            "idle_bytes": idle["memory_bytes"], "memory_bytes": mine["memory_bytes"].max(),
        })  # fmt: skip
    every = pd.DataFrame(rows).set_index("arm", drop=False)
    numbers = every.astype(dict.fromkeys(["capacity", "too_much", "ideal", "idle_bytes", "memory_bytes"], float))
    return numbers.assign(times=numbers["capacity"] / numbers["capacity"].get("fake-3", float("nan")))


def _capacities(record: Record) -> pd.Series[float]:
    """Return the capacities with three threads, ten threads, and ten requests at once with async; NaN if not found."""
    return services(record)["capacity"].reindex(["fake-3", "fake-10", "real-10"])


def headline(record: Record) -> str:
    """Say the capacities with three threads, with ten threads, and with ten at once in async code."""
    few, control, real = _capacities(record)
    if pd.isna(few + control + real):
        return "How much load a service can take with each client"
    return f"3 threads: {few:.3g} requests per second.  10 threads: {control:.3g}.  10 at once with async: {real:.3g}."


def notes(record: Record) -> list[str]:
    """Say each client's capacity, idle response time, memory and failures, and how far apart the controls are."""
    said = ["Capacity is the highest rate with p95 below twice the idle response time."]
    for one in each(services(record)):
        there = "" if pd.isna(one.capacity) else f", {one.in_flight_mean:.1f} in flight on average there"
        weight = "" if pd.isna(one.memory_bytes) else f", {size(one.memory_bytes)} of memory at most"
        failed = f", {one.errors} requests failed in all steps" if one.errors else ""
        said.append(f"{one.arm}: {_capacity(one)}, idle {duration(one.idle_s)}{there}{weight}{failed}.")
    _, control, real = _capacities(record)
    if not pd.isna(real / control):
        apart = f"real-10's capacity is {real / control:.2f} times it."
        said.append(f"fake-10 is the control of real-10 with the same limit; {apart}")
    return said


def _capacity(one: Any) -> str:
    """Return ``60.0/s``, or ``>= 60.0/s`` if no rate was too high."""
    if pd.isna(one.capacity):
        return "not found"
    return f"{'>= ' if pd.isna(one.too_much) else ''}{one.capacity:.1f}/s"


def tables(record: Record) -> list[Table]:
    """Return the clients, p95 at each rate that was tried, and the article's row next to ours."""
    every, steps = services(record), steps_of(record)
    columns: dict[str, str | Callable[[Any], Content]] = {
        "client": "{arm}",
        "idle\nms": lambda one: ms(one.idle_s),
        "capacity": _capacity,
        "ideal\nqueue": "{ideal:.1f}",
        "x\nfake-3": "{times:.1f}",
        "response there, ms\np50 / p95 / p99": lambda one: "" if pd.isna(one.capacity) else percentiles(one),
        "in flight\npeak/mean": "{peak:.0f}/{in_flight_mean:.1f}",
        "memory MB\nidle/most": "{idle_mb:.0f}/{most_mb:.0f}",
        "errors": starred,
    }
    megabytes = {"idle_mb": every["idle_bytes"] / 1e6, "most_mb": every["memory_bytes"] / 1e6}
    asked = {**record.asked, "latency": stated(record.asked["latency"])}
    p95 = {arm: mine.set_index("rate")["response_p95_s"] for arm, mine in steps.groupby("arm", sort=False)}
    climb = [
        [f"{rate:g}/s", *(ms(mine[rate], NEVER) if rate in mine else "" for mine in p95.values())]
        for rate in asked["steps"]
        if any(rate in mine for mine in p95.values())
    ]
    named = {f"{one.arm} at {one.rate:g}/s": one for one in each(steps)}
    failed = [f"* {name}: {one.failures}" for name, one in named.items() if one.errors]
    said = late(name for name, one in named.items() if one.send_delay_p99_s > LATE_S)
    said += interrupted(record, "steps")
    article = ("in production", "article\nbefore -> after", "here\nfake-3 -> real-10", "control\nfake-10")
    return [
        Table.of(every.assign(**megabytes), columns, notes=[*failed, *(note.format(**asked) for note in NOTES)]),
        Table(["p95 ms at", *map(str, p95)], climb),
        Table(article, _with_article(every), notes=said),
    ]


def _with_article(every: pd.DataFrame) -> list[list[str]]:
    """Return the article's numbers before and after, ours, and the control's; ``?`` for a value that was not found."""
    rows = []
    for name, (before, after, column, factor) in ARTICLE.items():
        few, real, control = factor * every[column].reindex(["fake-3", "real-10", "fake-10"])
        changes = [f"{one:.3g} -> {two:.3g}  (x {two / one:.2f})" for one, two in ((before, after), (few, real))]
        rows.append([name, *(cell.replace("nan", "?") for cell in (*changes, f"{control:.3g}"))])
    return rows


def figure(record: Record) -> Figure:
    """Draw p95 against the arrival rate, a line for each client with its capacity marked, and requests in flight.

    A response that never came is drawn at the top edge.
    """
    every, steps = services(record), steps_of(record)
    service = "contest-agent, a service on each client, one after another"
    about = f"{service}, with a backend of {duration(record.asked['latency'])}; the same open-loop load for all"
    words = [WHAT, headline(record), *notes(record)]
    weights = ", ".join(f"{one.arm} {size(one.memory_bytes)}" for one in each(every.dropna(subset="memory_bytes")))
    with sheet(
        headline(record), about, words, (1, 2), 3.5, foot=f"Memory of the service at most: {weights}.\n{FOOT}",
        head_in=1.65, foot_in=1.4, left=0.075, right=0.975, width_ratios=(2.1, 1), wspace=0.2,
    ) as (fig, (left, right)):  # fmt: skip
        _lines(left, every, steps, steps["response_p95_s"].astype(float).fillna(CALLER_TIMEOUT_S))
        response_axes(left, list(steps["rate"]), 0.1, CALLER_TIMEOUT_S)
        diamond: dict[str, Any] = {"marker": "d", "markersize": 11, "markeredgecolor": INK, "markeredgewidth": 1.2}
        for one in each(every.dropna(subset="capacity")):
            left.plot(one.capacity, one.too_slow_s, color=colour(one.arm), zorder=12, **diamond)
        rule(left, every["too_slow_s"].mean(), "twice the idle response time", 0.31)
        below: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.0, -0.14), "ncols": len(every)}
        left.legend(**below, frameon=False, borderpad=0, fontsize=10)
        panel_title(left, "Response time", "p95 from the intended start, seconds; a diamond marks the capacity")
        _lines(right, every, steps, steps["in_flight_mean"])
        for limit in sorted(set(every["limit"])):
            rule(right, limit, f"limit {limit}")
        right.set(xlim=left.get_xlim(), ylim=(0, 1.15 * every["limit"].max()))
        right.set_xlabel("requests per second", loc="left")
        right.grid(visible=True)
        panel_title(right, "In flight at the backend", "mean of a step, as the lab counted")
    return fig


def _lines(ax: Axes, every: pd.DataFrame, steps: pd.DataFrame, values: pd.Series[float]) -> None:
    """Draw a line for each client over the rate; a control is dashed, with hollow marks."""
    for place, one in enumerate(each(every)):
        mine, shade, control = steps["arm"] == one.arm, colour(one.arm), control_of(one.arm, list(every["arm"]))
        ax.plot(
            steps["rate"][mine], values[mine].clip(upper=CALLER_TIMEOUT_S), "--" if control else "-", color=shade,
            marker=MARKERS[place % len(MARKERS)], markersize=7, markeredgewidth=0.8, linewidth=2.4,
            markeredgecolor=INK if control else "white", markerfacecolor="white" if control else shade, clip_on=False,
            zorder=3 + place, label=f"{one.arm}: {_capacity(one)}" + (f", control of {control}" if control else ""),
        )  # fmt: skip


def compared(record: Record) -> dict[str, float]:
    """Return the ratios of capacities, then capacities and idle response times."""
    few, control, real = _capacities(record)
    numbers = {"capacity real-10 / fake-3": real / few, "capacity real-10 / fake-10, the control": real / control}
    for column, unit in (("capacity", "capacity /s"), ("idle_s", "idle s")):
        numbers |= {f"{arm}: {unit}": value for arm, value in services(record)[column].items()}
    return {name: float(value) for name, value in numbers.items() if pd.notna(value)}


EXPERIMENT = Experiment(NAME, ABOUT, plan, headline, notes, tables, {NAME: figure}, compared, quick=QUICK)
capacity = EXPERIMENT.run
