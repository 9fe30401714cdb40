"""Loop lag: how late is the event loop with each client, and what does a request cost in CPU and threads?

A ticker comes every 5 ms, in the loop that the clients run in; its own CPU is taken off theirs. It is late by what the
machine does to any loop (an idle one is measured too), by the client's work on the loop, and, with threads, by waiting
for their turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from supalab.clients.arms import arm
from supalab.errors import TrialError
from supalab.experiments import Experiment
from supalab.lab.handle import Lab
from supalab.measure.case import Case, Trial
from supalab.measure.record import Record
from supalab.measure.run import Plan, Progress, checked_names, checked_repeat, rotated
from supalab.measure.workload import Workload
from supalab.report.format import duration
from supalab.report.table import Cell, Content, Table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["arms", "headline", "idle", "lag", "middle", "notes", "of", "plan", "table"]

NAME = "lag"
ARMS = ("blocking-1", "fake-10", "session-10", "article-10", "real-10", "fake-100", "article-100", "real-100")
TICKER_S, IDLE_S = 0.005, 1.5
LATENCY_S, REPEAT = 0.15, 3
# Every arm goes round its slots as often; a blocking one, which has but one slot, a little more.
ROUNDS, BLOCKING_ROUNDS = 10, 20
LAGS = ("lag_p50_s", "lag_p99_s", "lag_max_s")


def lag(*, lab: Lab | None = None, progress: Callable[[Progress], None] | None = None, **asked: Any) -> Record:
    """Run each arm beside a ticker and return the record; ``asked`` and errors as in ``plan`` and ``run``."""
    return EXPERIMENT.run(lab=lab, progress=progress, **asked)


def plan(arms: Sequence[str] = ARMS, *, latency: float = LATENCY_S, repeat: int = REPEAT) -> Plan:
    """A loop with nothing to do, then each arm with as many closed-loop callers as its limit; ``repeat`` times.

    Raises SettingsError for values that cannot work.
    """
    checked_repeat(repeat)
    chosen = [arm(name) for name in checked_names("arms", arms, ARMS)]
    options = {"ticker": TICKER_S}
    for turn in range(repeat):
        # Any arm will do: the loop is idle.
        yield Case("real-1", Workload(1, latency), "idle", turn, options=options | {"seconds": IDLE_S})
        for one in rotated(chosen, turn):
            load = Workload(ROUNDS * one.limit, latency, callers=one.limit)
            blocking = Workload(BLOCKING_ROUNDS, latency)
            yield Case(one.name, blocking if one.kind == "blocking" else load, "burst", turn, options=options)


def of(found: Record, name: str) -> list[Trial]:
    """Return the repeats of one arm; raises TrialError if it did not run."""
    mine = [trial for trial in found.trials if trial.case.job == "burst" and trial.case.arm == name]
    if not mine:
        raise TrialError(f"no lag of arm {name!r}: there are {', '.join(arms(found)) or 'none'}")
    return mine


def idle(found: Record) -> list[Trial]:
    """Return the trials of a loop with nothing to do."""
    return [trial for trial in found.trials if trial.case.job == "idle"]


def arms(found: Record) -> list[str]:
    """Return the arms that ran, in the order in which they are compared."""
    ran = dict.fromkeys(trial.case.arm for trial in found.trials if trial.case.job == "burst")
    return [name for name in found.asked["arms"] if name in ran]


def middle(trials: Sequence[Trial]) -> pd.Series[Any]:
    """Return the medians of repeated trials; requests that failed are added up."""
    import pandas as pd

    rows = pd.DataFrame([trial.row for trial in trials])
    return pd.Series({**rows.median(numeric_only=True), "errors": rows["errors"].sum() if "errors" in rows else 0})


def _middles(found: Record) -> Mapping[str, pd.Series[Any]]:
    return {name: middle(of(found, name)) for name in arms(found)}


def headline(found: Record) -> str:
    """Say how long the loop was blocked at worst: the most of all arms, and the least."""
    longest = {name: float(one["lag_max_s"]) for name, one in _middles(found).items()}
    ranked = sorted(longest, key=lambda name: -longest[name])
    said = [f"up to {duration(longest[name])} with {name}" for name in dict.fromkeys([*ranked[:1], *ranked[-1:]])]
    return f"The event loop was blocked for {', '.join(said)}" if said else "Lag was not measured"


def notes(found: Record) -> list[str]:
    """Say what blocking does, how threads and async compare at each limit, what an idle loop has, and what failed."""
    every = _middles(found)
    if not every:
        return ["No arm was run."]
    errors = {name: one["errors"] for name, one in every.items() if one["errors"]}
    failed = [f"{name}: {number:.0f} requests failed; they are in its numbers." for name, number in errors.items()]
    return [*_blocking(every, found.asked["latency"]), *_by_limit(every), *_idle(found), *failed]


def _blocking(every: Mapping[str, pd.Series[Any]], latency: float) -> Iterator[str]:
    for name, one in every.items():
        if name.startswith("blocking-"):
            yield (
                f"{name} blocked the loop for {duration(one['lag_max_s'])}: its {one['requests']:.0f} requests of "
                f"{duration(latency)}, one after another, and nothing else in between."
            )


def _by_limit(every: Mapping[str, pd.Series[Any]]) -> Iterator[str]:
    others = {name: one for name, one in every.items() if not name.startswith("blocking-")}
    for limit in dict.fromkeys(one["limit"] for one in others.values()):
        group = {name: one for name, one in others.items() if one["limit"] == limit}
        lags = [f"{name} {duration(one['lag_p99_s'])}/{duration(one['lag_max_s'])}" for name, one in group.items()]
        cpu = ", ".join(f"{name.rpartition('-')[0]} {one['cpu_ms']:.2f}" for name, one in group.items())
        yield f"Limit {limit:.0f}: p99/longest {', '.join(lags)}; CPU time per request in ms: {cpu}."


def _idle(found: Record) -> Iterator[str]:
    if ticks := idle(found):
        p50, p99, longest = (duration(middle(ticks)[name]) for name in LAGS)
        yield (
            f"A loop with nothing to do, for comparison: p50 {p50}, p99 {p99}, longest {longest}. The ticker's own CPU "
            "time is subtracted."
        )


def table(found: Record) -> Table:
    """Return CPU, threads and lag, a row for each arm, below that of an idle loop."""
    titles = ["arm", "requests", "CPU ms/\nrequest", "threads", "lag ms\np50", "p99", "longest", "errors"]
    rows: list[list[Content]] = []
    if idle(found):
        rows.append(["idle loop", "", "", "1", *_lags(middle(idle(found))), ""])
    for name, one in _middles(found).items():
        errors = Cell(f"{one['errors']:.0f}", "bad" if one["errors"] else "")
        numbers = (f"{one['requests']:.0f}", f"{one['cpu_ms']:.2f}", f"{one['threads']:.0f}")
        rows.append([name, *numbers, *_lags(one), errors])
    return Table(titles, rows, headline=headline(found), notes=notes(found))


def _lags(one: pd.Series[Any]) -> list[str]:
    return [f"{1000 * one[name]:,.1f}" for name in LAGS]


def compared(found: Record) -> dict[str, float]:
    """Return CPU of a request and the 99th percentile of the lag, of each arm."""
    every = _middles(found)
    cpu = {f"{name}: CPU ms/request": float(one["cpu_ms"]) for name, one in every.items()}
    return cpu | {f"{name}: lag p99, ms": 1000 * float(one["lag_p99_s"]) for name, one in every.items()}


def figure(found: Record) -> Figure:
    """Draw how late the loop is with each client."""
    from supalab.experiments import lag_figure

    return lag_figure.figure(found)


EXPERIMENT = Experiment(
    name=NAME,
    about="event-loop lag, CPU and threads",
    plan=plan,
    headline=headline,
    notes=notes,
    tables=table,
    figures={"lag": figure},
    compared=compared,
    full={"repeat": REPEAT},
    quick={"repeat": 1},
)
