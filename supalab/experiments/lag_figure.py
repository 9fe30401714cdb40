"""The figure of loop lag: how late the loop is with each client, and what a request costs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from supalab.experiments import lag
from supalab.measure.case import Trial
from supalab.measure.record import Record
from supalab.report.format import count, duration
from supalab.report.lines import look
from supalab.report.plot import (
    CLEAR,
    INK,
    MUTED,
    WIDTH_IN,
    Picture,
    describe_on,
    foot,
    head,
    not_seen,
    panel_title,
    styled,
)

__all__ = ["figure"]

ROW_IN, HEAD_IN, FOOT_IN = 0.5, 1.5, 1.05
PARTS = (("lag_p50_s", "o", "p50"), ("lag_p99_s", "D", "p99"), ("lag_max_s", ">", "longest"))
MARKS = ((1e-4, "0.1 ms"), (1e-3, "1 ms"), (1e-2, "10 ms"), (1e-1, "100 ms"), (1.0, "1 s"), (10.0, "10 s"))
LEAST_S = 5e-5
IDLE = "idle loop"
WHAT = "How late the event loop is with each client (median, 99th percentile, longest), and CPU time per request."


def figure(found: Record, *, fig: Figure | None = None) -> Figure:
    """Draw p50, p99 and the longest lag of each client on a log axis, and CPU of a request and threads beside it.

    A large mark is the median of the repeats, a small one each repeat. Draws on ``fig`` if one is given.
    """
    with styled():
        rows = 1 + len(lag.arms(found))
        height = HEAD_IN + ROW_IN * rows + FOOT_IN
        fig = fig or Picture(figsize=(WIDTH_IN, height))
        grid = fig.add_gridspec(1, 2, width_ratios=(7, 3), left=0.115, right=0.965, wspace=0.05)
        grid.update(top=1 - HEAD_IN / fig.get_figheight(), bottom=FOOT_IN / fig.get_figheight())
        lags, costs = fig.add_subplot(grid[0, 0]), fig.add_subplot(grid[0, 1])
        panel_title(
            lags, "How late the event loop is", "a timer every 5 ms: 10 ms late: the loop was blocked for 10 ms"
        )
        panel_title(costs, "CPU time per request", "milliseconds, and threads")
        if lag.arms(found):
            _lags(lags, found)
            _costs(costs, found)
        for ax in (lags, costs):
            _rows(ax, found, names=ax is lags)
        head(fig, lag.headline(found), _about(found))
        foot(fig, _foot(found))
    describe_on(fig, " ".join([WHAT, *lag.notes(found)]))
    return fig


def _rows(ax: Axes, found: Record, *, names: bool) -> None:
    ax.set_ylim(len(lag.arms(found)) + 0.5, -0.5)
    ax.set_yticks(range(1 + len(lag.arms(found))), [IDLE, *lag.arms(found)] if names else [])
    ax.tick_params(axis="y", length=0)
    if not lag.arms(found):
        ax.set_xticks([])
        not_seen(ax, "not measured")


def _lags(ax: Axes, found: Record) -> None:
    rows = [(IDLE, lag.idle(found)), *((name, lag.of(found, name)) for name in lag.arms(found))]
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


def _lag_row(ax: Axes, place: int, arm: str, trials: Sequence[Trial]) -> None:
    shade, middle = look(arm.rpartition("-")[0])[0], lag.middle(trials)
    ax.hlines(place, max(middle["lag_p50_s"], LEAST_S), middle["lag_max_s"], color=shade, linewidth=2.2, zorder=2)
    for part, marker, _ in PARTS:
        for trial in trials if len(trials) > 1 else ():
            ax.plot(max(trial[part], LEAST_S), place, marker, color=INK, markersize=3, alpha=0.55, zorder=3)
        at = max(middle[part], LEAST_S)
        ax.plot(at, place, marker, color=shade, markersize=10, markeredgecolor="white", zorder=4)
    furthest, said = max(trial["lag_max_s"] for trial in trials), duration(middle["lag_max_s"])
    ax.annotate(said, (furthest, place), xytext=(11, 0), textcoords="offset points", va="center", bbox=CLEAR)


def _costs(ax: Axes, found: Record) -> None:
    most = max(trial["cpu_ms"] for name in lag.arms(found) for trial in lag.of(found, name))
    for place, arm in enumerate(lag.arms(found), start=1):
        one, repeats = lag.middle(lag.of(found, arm)), [trial["cpu_ms"] for trial in lag.of(found, arm)]
        ax.barh(place, one["cpu_ms"], 0.5, color=look(arm.rpartition("-")[0])[0])
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
    for name in lag.arms(found):
        sizes.setdefault(lag.of(found, name)[0].case.workload.requests, []).append(name)
    asked = "; ".join(f"{number:,} requests: {', '.join(arms)}" for number, arms in sizes.items())
    return f"{asked}.\nThe client is made within the measurement; the ticker's own CPU time is subtracted."
