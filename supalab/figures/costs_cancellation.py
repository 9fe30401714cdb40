"""Cancellations go in, a picture comes out: what the lab works on when the callers have gone, client by client."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from supalab.figures.panels import not_seen
from supalab.measure.costs.cancellation import Cancellations, Cancelled
from supalab.measure.costs.words_more import Middle, cancel_headline, cancel_notes, middle_of
from supalab.report.format import duration
from supalab.report.lines import look
from supalab.report.plot import CLEAR, INK, MUTED, WIDTH_IN, Picture, describe_on, foot, head, row_label, styled

__all__ = ["after_cancellation"]

ROW_IN, HEAD_IN, FOOT_IN = 1.25, 1.5, 1.15
NOBODY, HUNG_UP = "#c9ced4", "#eef0f2"
Steps = list[tuple[float, int]]


def after_cancellation(found: Cancellations, *, fig: Figure | None = None) -> Figure:
    """Draw requests in flight at the lab over time, one row for each arm, with the cancellation and a new caller.

    Of several repeats the one whose new caller waited the middle time is drawn. Draws on ``fig`` if one is given.
    """
    with styled():
        arms = found.arms or ("",)
        fig = fig or Picture(figsize=(WIDTH_IN, HEAD_IN + ROW_IN * len(arms) + FOOT_IN))
        height = fig.get_figheight()
        grid = fig.add_gridspec(len(arms), 1, left=0.16, right=0.975, hspace=0.42)
        grid.update(top=1 - HEAD_IN / height, bottom=FOOT_IN / height)
        axes = [fig.add_subplot(grid[place, 0]) for place in range(len(arms))]
        if found.arms:
            _all(axes, found)
        else:
            axes[0].set(xticks=[], yticks=[])
            not_seen(axes[0], "not measured")
        head(fig, cancel_headline(found), _about(found))
        foot(fig, _foot(found))
    describe_on(fig, " ".join([_what(), *cancel_notes(found)]))
    return fig


def _what() -> str:
    return "Requests in flight at the lab before and after all callers are cancelled, one row for each client."


def _about(found: Cancellations) -> str:
    return (
        f"{found.callers} callers, each request {duration(found.latency)} at the server; all are cancelled after "
        f"{duration(found.at_s)}, and at once a new caller asks"
    )


def _foot(found: Cancellations) -> str:
    turns = len({run.repeat for run in found.runs})
    return (
        "The lab works on every request to its end, as servers do; it is told that nobody waits only where the client "
        "hangs up.\nTriangle: when a program that just ends has ended. Seconds beside marks count from the cancellation"
        + (f"; the numbers are medians of {turns} runs." if turns > 1 else ".")
    )


def _all(axes: Sequence[Axes], found: Cancellations) -> None:
    drawn = [_shown(found, arm) for arm in found.arms]
    right = max(_end(run) for run in drawn) * 1.04
    top = max(run.peak for run in drawn)
    for ax, run in zip(axes, drawn, strict=True):
        ax.set(xlim=(0, right), ylim=(0, top * 1.5))
        _row(ax, run, middle_of(found, run.arm), found)
        ax.set_yticks([0, run.limit] if run.limit <= top else [0])
        ax.grid(visible=True, axis="x")
        ax.tick_params(labelbottom=ax is axes[-1])
    axes[-1].set_xlabel("seconds since the callers asked", loc="left")
    _key(axes[0])


def _shown(found: Cancellations, arm: str) -> Cancelled:
    asking = sorted((run for run in found.of(arm) if run.then == "ask"), key=lambda run: run.late_s or 0.0)
    return asking[(len(asking) - 1) // 2] if asking else found.of(arm)[0]


def _end(run: Cancelled) -> float:
    last = run.timeline[-1][0] if run.timeline else 0.0
    return max(last, run.cancelled_s + run.free_s + (run.late_s or 0.0))


def _row(ax: Axes, run: Cancelled, middle: Middle, found: Cancellations) -> None:
    colour = look(run.arm.rpartition("-")[0])[0]
    whole = [(0.0, 0), *((at, count) for at, count in run.timeline)]
    new = _newcomer(run, found.latency)
    before, after = _split(whole, run.cancelled_s)
    face, hatch = (NOBODY, "////") if run.carried_on else (HUNG_UP, "....")
    _fill(ax, before, None, colour, "")
    _fill(ax, after, new, face, hatch)
    if new is not None:
        ax.fill_between(new, [1, 1], facecolor=colour, edgecolor="white", linewidth=0.3, zorder=3)
        at = run.cancelled_s + run.free_s + (run.late_s or 0.0)
        late = at > ax.get_xlim()[1] * 0.8
        ax.plot(at, 0.5, "o", color=colour, markeredgecolor=INK, markersize=7, clip_on=False, zorder=5)
        ax.annotate(
            f"new caller: answer after {duration(middle.late_s or 0.0)}, {middle.late_ratio:.1f} x latency",
            (at, 0.5), xytext=(-2, 9) if late else (10, 2), textcoords="offset points",
            ha="right" if late else "left", va="bottom", color=INK, bbox=CLEAR, zorder=6,
        )  # fmt: skip
    ax.axvline(run.cancelled_s, color=INK, linewidth=1.4, linestyle="--", zorder=4)
    _ended(ax, middle, found)
    row_label(ax, run.arm, _lines(middle, found))


def _ended(ax: Axes, middle: Middle, found: Cancellations) -> None:
    if middle.exit_s is None:
        return
    at, height = found.at_s + middle.exit_s, 0.93 * ax.get_ylim()[1]
    late = at > ax.get_xlim()[1] * 0.8
    ax.plot(at, height, "v", color=INK, markersize=8, clip_on=False, zorder=6)
    ax.annotate(
        f"process over after {duration(middle.exit_s)}", (at, height), xytext=(-9, 0) if late else (9, 0),
        textcoords="offset points", ha="right" if late else "left", va="center", color=MUTED, fontsize=9.5, bbox=CLEAR,
        zorder=5,
    )  # fmt: skip


def _lines(middle: Middle, found: Cancellations) -> list[str]:
    if middle.answered == found.callers:
        return ["cannot be", "cancelled"]
    if middle.carried_on:
        return [f"{middle.carried_on} slots worked on", "for nobody"]
    return [f"hung up on {middle.hung_up},", "slots free at once"]


def _newcomer(run: Cancelled, latency: float) -> tuple[float, float] | None:
    """When the lab worked on the new caller's request; it was the last one."""
    if run.late_outcome != "ok" or not run.timeline:
        return None
    end = run.timeline[-1][0]
    return end - latency, end


def _split(steps: Steps, at: float) -> tuple[Steps, Steps]:
    """Cut a stepped line in two at one second."""
    level = _count(steps, at)
    before = [step for step in steps if step[0] <= at]
    return [*before, (at, level)], [(at, level), *(step for step in steps if step[0] > at)]


def _count(steps: Steps, at: float) -> int:
    return next((count for second, count in reversed(steps) if second <= at), 0)


def _fill(ax: Axes, steps: Steps, new: tuple[float, float] | None, face: str, hatch: str) -> None:
    """Fill under a stepped line; the new caller's own request, at the bottom, is left out."""
    span = new or (0.0, 0.0)
    times = sorted({*(at for at, _ in steps), *(at for at in span if at > steps[0][0])})
    counts = [_count(steps, at) for at in times]
    floor = [min(int(span[0] <= at < span[1]), count) for at, count in zip(times, counts, strict=True)]
    ax.fill_between(
        times, counts, floor, step="post", facecolor=face, hatch=hatch, edgecolor=MUTED if hatch else "white",
        linewidth=0.0 if hatch else 0.1,
    )  # fmt: skip


def _key(ax: Axes) -> None:
    parts = [
        Patch(facecolor=INK, label="for a caller"),
        Patch(
            facecolor=NOBODY, hatch="////", edgecolor=MUTED, linewidth=0.0, label="for nobody, and the client works on"
        ),
        Patch(
            facecolor=HUNG_UP, hatch="....", edgecolor=MUTED, linewidth=0.0, label="the lab alone: the client hung up"
        ),
    ]
    ax.legend(
        handles=parts, loc="lower left", bbox_to_anchor=(0.0, 1.02), ncols=3, frameon=False, fontsize=9.5,
        borderaxespad=0.0, title="Requests in flight, as the lab counted them", alignment="left",
        title_fontproperties={"weight": "bold", "size": 12},
    )  # fmt: skip
