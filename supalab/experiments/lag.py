"""Loop lag: measure how late the event loop is with each client, and a request's CPU time and threads.

A ticker runs every 5 ms in the clients' loop; its own CPU time is subtracted from theirs. It is delayed by the machine
(an idle loop is measured too), by the client's work on the loop, and, with threads, by waiting for the GIL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from supalab.clients.arms import arm
from supalab.experiments import Experiment
from supalab.measure.case import Case, Workload
from supalab.measure.record import Record, each, failures, medians
from supalab.measure.run import Plan, checked_names, checked_repeat, rotated
from supalab.report.format import count, duration, runs, stated
from supalab.report.plot import INK, MUTED, dots, label, look, panel_title, sheet
from supalab.report.table import Cell, Table

NAME, ABOUT = "lag", "event-loop lag, CPU and threads"
ARMS = ("blocking-1", "fake-10", "session-10", "article-10", "real-10", "fake-100", "article-100", "real-100")
TICKER_S, IDLE_S = 0.005, 1.5
# Every arm uses each slot equally often; a blocking arm, which has only one slot, a little more.
ROUNDS, BLOCKING_ROUNDS = 10, 20
PARTS = {"lag_p50_s": ("o", "p50"), "lag_p99_s": ("D", "p99"), "lag_max_s": (">", "longest")}
TICKS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
LEAST_S = 5e-5
IDLE = "idle loop"
FOOT = (
    f"Each slot is used {ROUNDS} times, that of a blocking client {BLOCKING_ROUNDS} times.\nThe client is made within "
    "the measurement; the ticker's own CPU time is subtracted."
)
WHAT = "How late the event loop is with each client (median, 99th percentile, longest), and CPU time per request."


def plan(arms: Sequence[str] = ARMS, *, latency: float = 0.15, repeat: int = 3) -> Plan:
    """Run an idle loop, then each arm with as many closed-loop callers as its limit; ``repeat`` times.

    Raises SettingsError for values that cannot work.

    Args:
        arms: clients with their limits, separated by commas
        latency: seconds that the server takes for a request (0.45 in the article)
        repeat: trials of each, taking turns
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


def _runs(record: Record) -> pd.DataFrame:
    """Return every run; the idle loop is an arm of its own, without requests."""
    rows, idle = record.rows, pd.Series([trial.case.job == "idle" for trial in record.trials])
    rows = rows.reindex(columns=[*rows, *({"cpu_ms", "errors", "threads"} - {*rows})])
    rows.loc[idle, ["arm", "kind"]] = IDLE
    # The axis is logarithmic, and a coarse clock would read 0.
    return rows.assign(requests=rows["requests"].mask(idle), **rows[list(PARTS)].clip(lower=LEAST_S))


def arms(record: Record) -> pd.DataFrame:
    """Return a row for each arm, the idle loop first, then in the order of the plan: medians of its repeats."""
    return medians(_runs(record), "arm", "kind")


def headline(record: Record) -> str:
    """Say how long the loop was blocked at most, with the worst arm and with the best."""
    seen = _asked(arms(record)).sort_values("lag_max_s", ascending=False, kind="stable")
    if seen.empty:
        return "No arm ran"
    said = [f"up to {duration(one.lag_max_s)} with {one.arm}" for one in each(seen.iloc[[0, -1]])]
    return f"The event loop was blocked for {', '.join(dict.fromkeys(said))}"


def _asked(seen: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of clients, without the idle loop."""
    return seen[seen["arm"] != IDLE]


def notes(record: Record) -> list[str]:
    """Say what blocking does, how threads and async compare at each limit, the lag of an idle loop, and what failed."""
    seen = arms(record)
    idle = [_idle(one) for one in each(seen[seen["arm"] == IDLE])]
    return [*_by_limit(_asked(seen)), *idle, *failures(record)]


def _by_limit(asked: pd.DataFrame) -> Iterator[str]:
    for one in each(asked[asked["kind"] == "blocking"]):
        yield (
            f"{one.arm} blocked the loop for {duration(one.lag_max_s)}: its {one.requests:.0f} requests of "
            f"{duration(one.latency)} ran one after another, and nothing else ran in between."
        )
    for limit, group in asked[asked["kind"] != "blocking"].groupby("limit", sort=False):
        lags = [f"{one.arm} {duration(one.lag_p99_s)}/{duration(one.lag_max_s)}" for one in each(group)]
        cpu = ", ".join(f"{one.kind} {one.cpu_ms:.2f}" for one in each(group))
        yield f"Limit {limit:.0f}: p99/longest {', '.join(lags)}; CPU time per request in ms: {cpu}."


def _idle(one: Any) -> str:
    p50, p99, longest = (duration(getattr(one, name)) for name in PARTS)
    lag = f"p50 {p50}, p99 {p99}, longest {longest}"
    return f"An idle loop, for comparison: {lag}. The ticker's own CPU time is subtracted."


def table(record: Record) -> Table:
    """Return CPU time, threads and lag: a row for the idle loop, and one for each arm."""
    seen = arms(record)
    seen = seen.assign(threads=seen["threads"].mask(seen["arm"] == IDLE, 1), **(1000 * seen[list(PARTS)]))
    return Table.of(seen, {
        "arm": "{arm}", "requests": "{requests:.0f}", "CPU ms/\nrequest": "{cpu_ms:.2f}", "threads": "{threads:.0f}",
        "lag ms\np50": "{lag_p50_s:,.1f}", "p99": "{lag_p99_s:,.1f}", "longest": "{lag_max_s:,.1f}",
        "errors": lambda one: Cell("" if one.arm == IDLE else f"{one.errors:.0f}", "bad" if one.errors > 0 else ""),
    }, headline=headline(record), notes=notes(record))  # fmt: skip


def compared(record: Record) -> dict[str, float]:
    """Return the CPU time per request and the 99th percentile of the lag, for each arm."""
    every = list(each(_asked(arms(record))))
    cpu = {f"{one.arm}: CPU ms/request": one.cpu_ms for one in every}
    return cpu | {f"{one.arm}: lag p99, ms": 1000 * one.lag_p99_s for one in every}


def figure(record: Record) -> Figure:
    """Draw p50, p99 and the longest lag of each client on a log axis, and CPU time per request and threads.

    A large mark is the median of the repeats, a small one each repeat.
    """
    seen, every = arms(record), _runs(record)
    every = every.assign(place=every["arm"].map({arm: place for place, arm in seen["arm"].items()}))
    load = f"as many callers as the limit, each request {duration(record.asked['latency'])} at the server"
    about = f"Closed loop: {load}; {runs(record.repeats)}, a small mark for each"
    with sheet(
        headline(record), about, [WHAT, *notes(record)], (1, 2), 0.5 * len(seen), foot=FOOT, head_in=1.5,
        foot_in=1.05, left=0.115, right=0.965, width_ratios=(7, 3), wspace=0.05,
    ) as (fig, (lags, costs)):  # fmt: skip
        panel_title(lags, "How late the event loop is", "delay of a timer that is due every 5 ms")
        panel_title(costs, "CPU time per request", "milliseconds, and threads")
        _draw_lags(lags, seen, every)
        _draw_costs(costs, seen, every)
        for ax in (lags, costs):
            ax.set(ylim=(len(seen) - 0.5, -0.5), yticks=range(len(seen)))
            ax.set_yticklabels(seen["arm"] if ax is lags else [""] * len(seen))
            ax.tick_params(axis="y", length=0)
            ax.grid(visible=True, axis="x")
    return fig


def _draw_lags(ax: Axes, seen: pd.DataFrame, every: pd.DataFrame) -> None:
    shades, longest = [look(kind)[0] for kind in seen["kind"]], every["lag_max_s"].max()
    ax.hlines(seen.index, seen["lag_p50_s"], seen["lag_max_s"], color=shades, linewidth=2.2, zorder=2)
    for part, (marker, name) in PARTS.items():
        ax.plot([], [], marker, color=MUTED, markersize=8, label=name)
        ax.scatter(every[part], every["place"], s=9, color=INK, marker=marker, alpha=0.55, zorder=3)
        ax.scatter(seen[part], seen.index, s=100, color=shades, marker=marker, edgecolors="white", zorder=4)
    for one in each(seen):
        label(ax, duration(one.lag_max_s), (every["lag_max_s"][every["place"] == one.Index].max(), one.Index), (11, 0))
    ticks = [at for at in TICKS if at <= longest * 3]
    ax.set(xscale="log", xlim=(LEAST_S, max(longest, 0.1) * 3.5))
    ax.set_xticks(ticks, list(map(stated, ticks)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False, handletextpad=0.1, fontsize=9.5)


def _draw_costs(ax: Axes, seen: pd.DataFrame, every: pd.DataFrame) -> None:
    for one in each(_asked(seen)):
        mine = every["cpu_ms"][every["place"] == one.Index]
        failed = f", {one.errors:.0f} failed" if one.errors else ""
        ax.barh(one.Index, one.cpu_ms, 0.5, color=look(one.kind)[0])
        dots(ax, list(mine), one.Index, 3)
        said = f"{one.cpu_ms:.2f}, {count(int(one.threads), 'thread')}{failed}"
        label(ax, said, (mine.max(), one.Index), fontsize=9.5)
    ax.set_xlim(0, 2.1 * (every["cpu_ms"].fillna(0).max() or 1.0))


EXPERIMENT = Experiment(NAME, ABOUT, plan, headline, notes, table, {NAME: figure}, compared, quick={"repeat": 1})
lag = EXPERIMENT.run
