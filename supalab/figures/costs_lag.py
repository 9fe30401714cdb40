"""What lag costs goes in, a picture comes out: how late the loop is with each client, and what a request costs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from supalab.figures.panels import not_seen
from supalab.measure.costs.lag import LagCosts, LagRun, middle_lag
from supalab.measure.costs.words import lag_headline, lag_notes
from supalab.measure.trial import Lag
from supalab.report.format import duration
from supalab.report.lines import look
from supalab.report.plot import CLEAR, INK, MUTED, WIDTH_IN, Picture, describe_on, foot, head, panel_title, styled

__all__ = ["loop_lag"]

ROW_IN, HEAD_IN, FOOT_IN = 0.5, 1.5, 1.05
PARTS = (("p50", "o", "p50"), ("p99", "D", "p99"), ("max", ">", "longest"))
MARKS = ((1e-4, "0.1 ms"), (1e-3, "1 ms"), (1e-2, "10 ms"), (1e-1, "100 ms"), (1.0, "1 s"), (10.0, "10 s"))
LEAST_S = 5e-5
IDLE = "idle loop"


def loop_lag(found: LagCosts, *, fig: Figure | None = None) -> Figure:
    """Draw p50, p99 and the longest lag of each client on a log axis, and CPU of a request and threads beside it.

    A large mark is the median of the repeats, a small one each repeat. Draws on ``fig`` if one is given.
    """
    with styled():
        rows = 1 + len(found.arms)
        height = HEAD_IN + ROW_IN * rows + FOOT_IN
        fig = fig or Picture(figsize=(WIDTH_IN, height))
        grid = fig.add_gridspec(1, 2, width_ratios=(7, 3), left=0.115, right=0.965, wspace=0.05)
        grid.update(top=1 - HEAD_IN / fig.get_figheight(), bottom=FOOT_IN / fig.get_figheight())
        lags, costs = fig.add_subplot(grid[0, 0]), fig.add_subplot(grid[0, 1])
        panel_title(lags, "How late the event loop is", "a timer every 5 ms: 10 ms late is a loop held up for 10 ms")
        panel_title(costs, "CPU of a request", "milliseconds; threads beside it")
        if found.runs:
            _lags(lags, found)
            _costs(costs, found)
        for ax in (lags, costs):
            _rows(ax, found, names=ax is lags)
        head(fig, lag_headline(found), _about(found))
        foot(fig, _foot(found))
    describe_on(fig, " ".join([_what(), *lag_notes(found)]))
    return fig


def _what() -> str:
    return "How late the event loop is with each client: median, 99th percentile and longest lag, and CPU of a request."


def _rows(ax: Axes, found: LagCosts, *, names: bool) -> None:
    ax.set_ylim(len(found.arms) + 0.5, -0.5)
    ax.set_yticks(range(1 + len(found.arms)), [IDLE, *found.arms] if names else [])
    ax.tick_params(axis="y", length=0)
    if not found.runs:
        ax.set_xticks([])
        not_seen(ax, "not measured")


def _lags(ax: Axes, found: LagCosts) -> None:
    rows: list[tuple[str, Lag, Sequence[Lag]]] = [(a, found.middle(a).lag, _all(found.of(a))) for a in found.arms]
    if found.idle:
        _lag_row(ax, 0, IDLE, middle_lag(found.idle), found.idle)
    for place, (arm, middle, repeats) in enumerate(rows, start=1):
        _lag_row(ax, place, arm, middle, repeats)
    longest = max(lag.max for _, _, repeats in rows for lag in repeats)
    ax.set(xscale="log", xlim=(LEAST_S, max(longest, 0.1) * 3.5))
    ax.set_xticks([at for at, _ in MARKS if at <= longest * 3], [text for at, text in MARKS if at <= longest * 3])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(visible=True, axis="x")
    for _, marker, name in PARTS:
        ax.plot([], [], marker, color=MUTED, markersize=8, label=name)
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False, handletextpad=0.1, fontsize=9.5)


def _all(runs: Sequence[LagRun]) -> list[Lag]:
    return [run.lag for run in runs]


def _lag_row(ax: Axes, place: int, arm: str, middle: Lag, repeats: Sequence[Lag]) -> None:
    shade = look(arm.rpartition("-")[0])[0]
    ax.hlines(place, max(middle.p50, LEAST_S), middle.max, color=shade, linewidth=2.2, zorder=2)
    for part, marker, _ in PARTS:
        for lag in repeats if len(repeats) > 1 else ():
            ax.plot(max(getattr(lag, part), LEAST_S), place, marker, color=INK, markersize=3, alpha=0.55, zorder=3)
        at = max(getattr(middle, part), LEAST_S)
        ax.plot(at, place, marker, color=shade, markersize=10, markeredgecolor="white", zorder=4)
    furthest = max([middle.max, *(lag.max for lag in repeats)])
    ax.annotate(
        duration(middle.max), (furthest, place), xytext=(11, 0), textcoords="offset points", va="center", bbox=CLEAR
    )


def _costs(ax: Axes, found: LagCosts) -> None:
    most = max(run.cpu_ms for run in found.runs)
    for place, arm in enumerate(found.arms, start=1):
        run = found.middle(arm)
        ax.barh(place, run.cpu_ms, 0.5, color=look(arm.rpartition("-")[0])[0])
        repeats = [one.cpu_ms for one in found.of(arm)]
        if len(repeats) > 1:
            ax.plot(repeats, [place] * len(repeats), "o", color=INK, markersize=3, zorder=4)
        threads = "1 thread" if run.threads == 1 else f"{run.threads} threads"
        failed = f", {run.errors} failed" if run.errors else ""
        ax.annotate(
            f"{run.cpu_ms:.2f}, {threads}{failed}", (max(repeats), place), xytext=(7, 0), textcoords="offset points",
            va="center", fontsize=9.5, bbox=CLEAR,
        )  # fmt: skip
    ax.set_xlim(0, most * 2.1)
    ax.grid(visible=True, axis="x")


def _about(found: LagCosts) -> str:
    repeats = len({run.repeat for run in found.runs})
    again = f"; median of {repeats} runs, a small mark for each" if repeats > 1 else ""
    return f"As many callers as slots ask again and again, each request {duration(found.latency)} at the server{again}"


def _foot(found: LagCosts) -> str:
    sizes: dict[int, list[str]] = {}
    for run in found.runs:
        sizes.setdefault(run.requests, []).append(run.arm)
    asked = "; ".join(f"{number:,} requests: {', '.join(dict.fromkeys(arms))}" for number, arms in sizes.items())
    return f"{asked}.\nThe client is made within the measurement; the ticker's own CPU is taken off."
