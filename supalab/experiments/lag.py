"""Loop lag: how late the event loop is with each client, and what a request costs in CPU time and threads.

A ticker runs every 5 ms in the clients' loop; its own CPU time is subtracted from theirs. It is delayed by the machine
(an idle loop is measured too), by the client's work on the loop, and, with threads, by waiting for the GIL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from supalab.clients.arms import arm
from supalab.errors import TrialError
from supalab.experiments import Experiment
from supalab.measure.case import Case, Trial
from supalab.measure.record import Record
from supalab.measure.run import Plan, checked_names, checked_repeat, rotated
from supalab.measure.workload import Workload
from supalab.report.format import count, duration
from supalab.report.lines import look
from supalab.report.plot import CLEAR, INK, MUTED, describe_on, foot, head, not_seen, panel_title, sheet
from supalab.report.table import Cell, Content, Table

__all__ = [
    "EXPERIMENT",
    "arms",
    "compared",
    "figure",
    "headline",
    "idle",
    "lag",
    "middle",
    "notes",
    "of",
    "plan",
    "table",
]

NAME = "lag"
ARMS = ("blocking-1", "fake-10", "session-10", "article-10", "real-10", "fake-100", "article-100", "real-100")
TICKER_S, IDLE_S = 0.005, 1.5
LATENCY_S, REPEAT = 0.15, 3
# Every arm uses each slot equally often; a blocking arm, which has only one slot, a little more.
ROUNDS, BLOCKING_ROUNDS = 10, 20
LAGS = ("lag_p50_s", "lag_p99_s", "lag_max_s")
PARTS = (("lag_p50_s", "o", "p50"), ("lag_p99_s", "D", "p99"), ("lag_max_s", ">", "longest"))
MARKS = ((1e-4, "0.1 ms"), (1e-3, "1 ms"), (1e-2, "10 ms"), (1e-1, "100 ms"), (1.0, "1 s"), (10.0, "10 s"))
LEAST_S = 5e-5
IDLE = "idle loop"
WHAT = "How late the event loop is with each client (median, 99th percentile, longest), and CPU time per request."


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
    rows = pd.DataFrame([trial.row for trial in trials])
    return pd.Series({**rows.median(numeric_only=True), "errors": rows["errors"].sum() if "errors" in rows else 0})


def _middles(found: Record) -> Mapping[str, pd.Series[Any]]:
    return {name: middle(of(found, name)) for name in arms(found)}


def headline(found: Record) -> str:
    """Say how long the loop was blocked at most: with the worst arm, and with the best."""
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


def figure(found: Record, *, fig: Figure | None = None) -> Figure:
    """Draw p50, p99 and the longest lag of each client on a log axis, and CPU time per request and threads.

    A large mark is the median of the repeats, a small one each repeat. Draws on ``fig`` if one is given.
    """
    rows = 1 + len(arms(found))
    how: dict[str, Any] = {"head_in": 1.5, "foot_in": 1.05, "left": 0.115, "right": 0.965}
    with sheet((1, 2), 0.5 * rows, fig=fig, width_ratios=(7, 3), wspace=0.05, **how) as (fig, (lags, costs)):
        panel_title(lags, "How late the event loop is", "delay of a timer that is due every 5 ms")
        panel_title(costs, "CPU time per request", "milliseconds, and threads")
        if arms(found):
            _lag_panel(lags, found)
            _cost_panel(costs, found)
        for ax in (lags, costs):
            _rows(ax, found, names=ax is lags)
        head(fig, headline(found), _about(found))
        foot(fig, _foot(found))
    describe_on(fig, " ".join([WHAT, *notes(found)]))
    return fig


def _rows(ax: Axes, found: Record, *, names: bool) -> None:
    ax.set_ylim(len(arms(found)) + 0.5, -0.5)
    ax.set_yticks(range(1 + len(arms(found))), [IDLE, *arms(found)] if names else [])
    ax.tick_params(axis="y", length=0)
    if not arms(found):
        ax.set_xticks([])
        not_seen(ax, "not measured")


def _lag_panel(ax: Axes, found: Record) -> None:
    rows = [(IDLE, idle(found)), *((name, of(found, name)) for name in arms(found))]
    for place, (name, trials) in enumerate(rows):
        if trials:
            _lag_row(ax, place, name, trials)
    longest = max(trial["lag_max_s"] for _, trials in rows[1:] for trial in trials)
    ax.set(xscale="log", xlim=(LEAST_S, max(longest, 0.1) * 3.5))
    ax.set_xticks([at for at, _ in MARKS if at <= longest * 3], [text for at, text in MARKS if at <= longest * 3])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(visible=True, axis="x")
    for _, marker, name in PARTS:
        ax.plot([], [], marker, color=MUTED, markersize=8, label=name)
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False, handletextpad=0.1, fontsize=9.5)


def _lag_row(ax: Axes, place: int, name: str, trials: Sequence[Trial]) -> None:
    shade, typical = look(name.rpartition("-")[0])[0], middle(trials)
    ax.hlines(place, max(typical["lag_p50_s"], LEAST_S), typical["lag_max_s"], color=shade, linewidth=2.2, zorder=2)
    for part, marker, _ in PARTS:
        for trial in trials if len(trials) > 1 else ():
            ax.plot(max(trial[part], LEAST_S), place, marker, color=INK, markersize=3, alpha=0.55, zorder=3)
        at = max(typical[part], LEAST_S)
        ax.plot(at, place, marker, color=shade, markersize=10, markeredgecolor="white", zorder=4)
    furthest, said = max(trial["lag_max_s"] for trial in trials), duration(typical["lag_max_s"])
    ax.annotate(said, (furthest, place), xytext=(11, 0), textcoords="offset points", va="center", bbox=CLEAR)


def _cost_panel(ax: Axes, found: Record) -> None:
    most = max(trial["cpu_ms"] for name in arms(found) for trial in of(found, name))
    for place, name in enumerate(arms(found), start=1):
        one, repeats = middle(of(found, name)), [trial["cpu_ms"] for trial in of(found, name)]
        ax.barh(place, one["cpu_ms"], 0.5, color=look(name.rpartition("-")[0])[0])
        if len(repeats) > 1:
            ax.plot(repeats, [place] * len(repeats), "o", color=INK, markersize=3, zorder=4)
        failed = f", {one['errors']:.0f} failed" if one["errors"] else ""
        ax.annotate(
            f"{one['cpu_ms']:.2f}, {count(int(one['threads']), 'thread')}{failed}", (max(repeats), place),
            xytext=(7, 0), textcoords="offset points", va="center", fontsize=9.5, bbox=CLEAR,
        )  # fmt: skip
    ax.set_xlim(0, most * 2.1)
    ax.grid(visible=True, axis="x")


def _about(found: Record) -> str:
    again = f"; median of {found.repeats} runs, a small mark for each" if found.repeats > 1 else ""
    each = duration(found.asked["latency"])
    return f"Closed loop: as many callers as the limit, each request {each} at the server{again}"


def _foot(found: Record) -> str:
    sizes: dict[int, list[str]] = {}
    for name in arms(found):
        sizes.setdefault(of(found, name)[0].case.workload.requests, []).append(name)
    asked = "; ".join(f"{number:,} requests: {', '.join(arms)}" for number, arms in sizes.items())
    return f"{asked}.\nThe client is made within the measurement; the ticker's own CPU time is subtracted."


EXPERIMENT = Experiment(
    name=NAME,
    about="event-loop lag, CPU and threads",
    plan=plan,
    headline=headline,
    notes=notes,
    tables=table,
    figures={NAME: figure},
    compared=compared,
    full={"repeat": REPEAT},
    quick={"repeat": 1},
)
lag = EXPERIMENT.run
