"""Bench: measure what a request costs with each client, from one request at a time to a thousand in flight.

Clients take turns over fixed cases, in fresh processes; only time and CPU time are measured. Numbers are compared
within one run on one machine, so the goals of our client are ratios.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from supalab.clients.arms import arm, missing
from supalab.errors import SettingsError
from supalab.experiments import Experiment
from supalab.measure.case import Case, Workload
from supalab.measure.record import Record, each, failures, interrupted, medians
from supalab.measure.run import Plan, checked_repeat, rotated
from supalab.report.format import runs, stated
from supalab.report.plot import against, panel_title, sheet
from supalab.report.table import Cell, Column, Content, Table

NAME, ABOUT = "bench", "CPU time and total time of our client and of third-party clients, in six cases"
#: The kinds of client that are compared, as in ``supalab.clients.arms``.
CLIENTS = (
    *("real", "real-httpx", "httpx", "httpx2", "httpx-over-ours", "aiohttp"),
    *("supabase", "to-thread", "fake", "session"),
)
#: Only run without server time, where nothing hides the work that our own code adds to its transport.
NO_LATENCY_ONLY = "httpx-over-ours"


class Size(NamedTuple):
    """One case: a workload at one limit, after ``warm_up`` requests that do not count.

    Without a warm-up, the creation of the client counts too.
    """

    name: str
    limit: int
    workload: Workload
    warm_up: int = 1


CASES = (
    Size("limit-10", 10, Workload(100, 0.15)),
    Size("limit-100", 100, Workload(1000, 0.05)),
    Size("limit-1000", 1000, Workload(2000, 0.15)),
    Size("cold-10", 10, Workload(100, 0.15), warm_up=0),
    Size("zero-1", 1, Workload(500, 0.0, callers=1), warm_up=50),
    Size("zero-10", 10, Workload(1500, 0.0, callers=10), warm_up=100),
)
REPEAT, QUICK_REQUESTS = 5, 400
#: How many seconds a trial takes without its process, for those that take much longer than the server time (a 2-core
#: machine, November 2026); and milliseconds of work per request for all others. They are only used for estimates.
LONG = {"httpx2-1000": 16.0, "real-httpx-1000": 36.0, "httpx-1000": 35.0, "supabase-1000": 40.0, "to-thread-1000": 14.0}
LONG |= dict.fromkeys(("real-httpx-100", "httpx-100", "supabase-100"), 10.0)
USUAL_MS = 1.5
#: A trial that takes longer than this many seconds is run at most twice, and not for a quick look.
LONG_S, LONG_REPEATS = 15.0, 2


class Goal(NamedTuple):
    """A goal for our client: a number in one case, or its ratio to the number of the client ``over``."""

    name: str
    at_most: float
    case: str
    number: str
    over: str = ""


GOALS = (
    Goal("CPU time, limit 10: SupabaseAsync / official client", 0.40, "limit-10", "cpu_ms", "supabase"),
    Goal("CPU time, limit 100: SupabaseAsync / official client", 0.12, "limit-100", "cpu_ms", "supabase"),
    Goal("total time / ideal, limit 10: SupabaseAsync", 1.08, "limit-10", "ratio"),
    Goal("total time / ideal, limit 100: SupabaseAsync", 2.0, "limit-100", "ratio"),
    Goal("CPU time, limit 10: SupabaseAsync / plain aiohttp", 1.9, "limit-10", "cpu_ms", "aiohttp"),
    Goal(
        "CPU time, no latency: SupabaseAsync / plain httpx on its transport", 1.20, "zero-10", "cpu_ms", NO_LATENCY_ONLY
    ),
    Goal("errors, 2,000 at once, limit 1,000: SupabaseAsync", 0, "limit-1000", "errors"),
)
WHAT = "CPU time per request, and total time divided by the ideal, against the concurrency limit."
FOOT = (
    "real: SupabaseAsync; real-httpx: over httpx's own pool; supabase: official, with semaphore; to-thread: official "
    "sync;\nfake, session: requests in threads; all others: used directly. A line that ends early: the next "
    "limit is too slow.\n"
    f"Where one trial takes more than {LONG_S:.0f} s: {LONG_REPEATS} runs at most."
)


def plan(clients: Sequence[str] | None = None, *, repeat: int | None = None, quick: bool = False) -> Plan:
    """Run each client in each case, taking turns, ``repeat`` times.

    Slow cases are run less often or left out, and default clients whose package is not installed are left out; remarks
    say which. Raises SettingsError for invalid values and for a named client that is not available.

    Args:
        clients: kinds of client, separated by commas (default: all that are installed)
        repeat: trials of each, taking turns (5, or 1 for a quick look)
        quick: once, and only the short cases
    """
    times = checked_repeat((1 if quick else REPEAT) if repeat is None else repeat)
    for kind in clients or ():
        arm(f"{kind}-1")
    chosen = list(dict.fromkeys(CLIENTS if clients is None else clients))
    if not chosen:
        raise SettingsError(f"clients {clients!r} leave nothing to run: use some of {', '.join(CLIENTS)}")
    yield from (f"{kind} left out: it {lack}" for kind in chosen if (lack := missing(kind)))
    here = [kind for kind in chosen if not missing(kind)]
    for size in CASES:
        often: dict[str, int] = {}
        for kind in here:
            if kind != NO_LATENCY_ONLY or not size.workload.latency:
                often[f"{kind}-{size.limit}"] = yield from _how_often(kind, size, times, quick=quick)
        load = size.workload
        if quick and not load.latency:
            load = replace(load, requests=min(load.requests, QUICK_REQUESTS))
        for turn in range(times):
            for name in rotated([name for name, most in often.items() if turn < most], turn):
                options = {"warm_up": size.warm_up, "seconds": trial_s(name.rpartition("-")[0], size)}
                yield Case(name, load, "bare", turn, tags={"case": size.name}, options=options)


def _how_often(kind: str, size: Size, times: int, *, quick: bool) -> Generator[str, None, int]:
    """Return how often a client is run in a case, and say why if that is less often than asked for."""
    seconds, most = trial_s(kind, size), 0 if quick else LONG_REPEATS
    if seconds <= LONG_S or times <= most:
        return times
    less = f"run {most} times only" if most else "left out"
    yield f"{kind}-{size.limit} ({size.name}) {less}: one trial takes about {seconds:.0f} s"
    return most


def trial_s(kind: str, size: Size) -> float:
    """Return the seconds that one trial should take, without the start of its process."""
    usual = (size.workload.ideal_s(size.limit) or 0.0) + USUAL_MS / 1000 * (size.workload.requests + size.warm_up)
    return round(LONG.get(f"{kind}-{size.limit}", usual), 3)


def _runs(record: Record) -> pd.DataFrame:
    """Return every trial with its total time divided by the ideal, NaN for a case without latency."""
    rows = record.rows
    return rows.assign(ratio=rows["makespan_s"] / rows["ideal_s"].where(rows["ideal_s"] > 0))


def seen(record: Record) -> Mapping[tuple[str, str], Any]:
    """Return the medians of each case and kind of client, with ``cpu_ms``, ``ratio`` and the worst repeat's errors."""
    return {(one.case, one.kind): one for one in each(medians(_runs(record), "case", "kind"))}


def _cases(record: Record) -> Mapping[str, Case]:
    """Return one case of each name, in the order in which they ran."""
    return {trial["case"]: trial.case for trial in record.trials}


def headline(record: Record) -> str:
    """Say how much the CPU time per request grows from the first limit to the second: plain httpx and our client."""
    every, names = seen(record), _against_limit(record)[:2]
    ends: list[Any] = [every.get((name, kind)) for kind in ("httpx", "real") for name in names]
    if len(ends) < 4 or None in ends:
        return "CPU time per request as the concurrency limit grows"
    few, many, our_few, our_many = ends
    plain, ours = many.cpu_ms / few.cpu_ms, our_many.cpu_ms / our_few.cpu_ms
    limits = f"limit {few.limit:.0f} to {many.limit:.0f}"
    return f"CPU time per request, {limits}: plain httpx x {plain:.1f}, SupabaseAsync x {ours:.1f}"


def notes(record: Record) -> list[str]:
    """Say how often each was run, what was left out, and what failed."""
    times = "one trial of each" if record.repeats == 1 else f"medians of {record.repeats} trials of each, taking turns"
    said = [f"{times}; CPU time of the client's process after a warm-up (cold: none); -: did not run.", *record.remarks]
    said += [f"* {sentence}" for sentence in failures(record, "case")]
    return said + interrupted(record, "cases and repeats")


def tables(record: Record) -> list[Table]:
    """Return a table of clients and cases, and one of goals."""
    every, cases = seen(record), _cases(record)
    titles = ["CPU ms/request\nx ideal", *(f"{name}\nn = {case.workload.requests}" for name, case in cases.items())]
    kinds = dict.fromkeys(kind for _, kind in every)
    rows = [[kind, *(_cell(every.get((name, kind))) for name in cases)] for kind in kinds]
    goals = [_goal(goal, reached(goal, every)) for goal in GOALS]
    return [Table(titles, rows, notes=notes(record)), Table(["goal", "at most", "measured", Column("")], goals)]


def _cell(one: Any) -> str:
    """Return ``0.71  1.06x``; a dash for a case that did not run, a star for errors that are listed below."""
    if one is None:
        return "-"
    ratio = f"  {one.ratio:5.2f}x" if pd.notna(one.ratio) else ""
    return f"{one.cpu_ms:.2f}{ratio}{'*' if one.errors else ''}"


def _goal(goal: Goal, value: float | None) -> list[Content]:
    places = 2 if goal.at_most else 0
    asked = [goal.name, f"{goal.at_most:.{places}f}"]
    if value is None:
        return [*asked, "", Cell("not measured", "dim")]
    verdict = Cell("reached", "good") if value <= goal.at_most else Cell("missed", "bad")
    return [*asked, f"{value:.{places}f}", verdict]


def reached(goal: Goal, every: Mapping[tuple[str, str], Any]) -> float | None:
    """Return the number that a goal is about; ``None`` if it was not measured."""
    ours, theirs = (every.get((goal.case, kind)) for kind in ("real", goal.over))
    if ours is None or (goal.over and theirs is None):
        return None
    value = float(getattr(ours, goal.number))
    return value / float(getattr(theirs, goal.number)) if goal.over else value


def _against_limit(record: Record) -> list[str]:
    """Return the cases that the figure draws: those with a latency and a warm-up."""
    return [name for name, case in _cases(record).items() if case.ideal_s and case.options["warm_up"]]


def figure(record: Record) -> Figure:
    """Draw CPU time per request, and total time divided by the ideal, against the limit, one line for each client.

    A point is the median of the repeats; the bar through it reaches from the lowest to the highest.
    """
    names, rows = _against_limit(record), _runs(record)
    rows = rows[rows["case"].isin(names)]
    # A single point is not drawn, unless there is only one case.
    rows = rows[rows.groupby("kind")["case"].transform("nunique") >= min(2, len(names))]
    marks, said = {}, []
    for kind, mine in medians(rows, "case", "kind").groupby("kind", sort=False):
        failed = mine["errors"].sum()
        marks[str(kind)] = f" ({failed} failed)" if failed else ""
        said.append(f"{kind}{marks[str(kind)]}: {', '.join(map(_point, each(mine)))}.")
    about, words = _about(record, names), [f"{WHAT} {headline(record)}.", *said]
    with sheet(
        headline(record), about, words, (1, 2), 4.0, foot=FOOT, foot_in=1.2, wspace=0.14
    ) as (fig, (cpu, ratio)):  # fmt: skip
        for ax, number in ((cpu, "cpu_ms"), (ratio, "ratio")):
            against(ax, rows, number, "concurrency limit", room=0.33, notes=marks)
        panel_title(cpu, "CPU time per request", "milliseconds of the client's process")
        panel_title(ratio, "Total time / ideal", "1: if only server time counted")
    return fig


def _point(one: Any) -> str:
    return f"{one.cpu_ms:.2f} ms and {one.ratio:.2f} times the ideal at {one.limit:,.0f}"


def _about(record: Record, names: Sequence[str]) -> str:
    loads = [(case.limit, case.workload) for name, case in _cases(record).items() if name in names]
    sizes = [f"{load.requests:,} requests of {stated(load.latency or 0)} (limit {limit:,})" for limit, load in loads]
    return ", ".join([*sizes, runs(record.repeats)])


def compared(record: Record) -> dict[str, float]:
    """Return the numbers that the goals are about."""
    values = {goal.name: reached(goal, seen(record)) for goal in GOALS}
    return {name: value for name, value in values.items() if value is not None}


EXPERIMENT = Experiment(NAME, ABOUT, plan, headline, notes, tables, {"knee": figure}, compared, quick={"quick": True})
bench = EXPERIMENT.run
