"""One arm's trials go in, one panel is drawn on the axes that are given: in flight over time, latency, memory."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from matplotlib.axes import Axes

from supalab.measure.summary import typical
from supalab.measure.trial import Trial
from supalab.report.format import duration, size
from supalab.report.plot import CLEAR, INK, MUTED, colour, pale

__all__ = ["draw_guess", "draw_in_flight", "draw_latency", "draw_memory", "middle", "not_seen"]

WAITING_HATCH = "////"
BAR = 0.52
UNKNOWN = "#c3c9d0"
RANKS = ((50, "median"), (99, "p99"))


def middle(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the median makespan, for pictures that can show but one."""
    return sorted(trials, key=lambda trial: trial.makespan_s)[(len(trials) - 1) // 2]


def not_seen(ax: Axes, text: str) -> None:
    """Say in the panel that there is nothing to draw, rather than draw a guess."""
    ax.annotate(
        text, (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", color=MUTED, style="italic", bbox=CLEAR
    )


def draw_in_flight(ax: Axes, trials: Sequence[Trial], *, hatch: str = "") -> None:
    """Draw requests in flight over time as the lab saw them: stepped, the middle one of repeated trials."""
    trial = middle(trials)
    if trial.witness is None or not trial.witness.timeline:
        ax.set_yticks([])
        not_seen(ax, "not witnessed: only a lab can count this")
        return
    start = min((s.asked if s.started is None else s.started) for s in trial.spans)
    times = [start, *(start + at for at, _ in trial.witness.timeline)]
    counts = [0, *(count for _, count in trial.witness.timeline)]
    # A line of no width would take the hatch with it.
    ax.fill_between(
        times, counts, step="post", facecolor=colour(trial.arm), hatch=hatch, edgecolor="white", linewidth=0.1
    )
    for other in trials:
        ax.plot(other.makespan_s, 0, marker="o", markersize=4, color=INK, clip_on=False, zorder=4)
    ax.set_yticks([0, trial.witness.peak])


def label_in_flight(ax: Axes, trials: Sequence[Trial], right: float) -> None:
    """Write peak and makespan: beside the steps where there is room, else above them."""
    trial = middle(trials)
    if trial.witness is None or not trial.witness.timeline:
        return
    said = f"{trial.witness.peak} in flight, done after {duration(trial.makespan_s)}"
    beside = trial.makespan_s < 0.5 * right
    ax.annotate(
        said,
        (trial.makespan_s, trial.witness.peak * (0.5 if beside else 1)),
        xytext=(9, 0) if beside else (0, 5),
        textcoords="offset points",
        ha="left" if beside else "right",
        va="center" if beside else "bottom",
        bbox=CLEAR,
    )


def draw_latency(ax: Axes, trials: Sequence[Trial], *, hatch: str = "") -> None:
    """Draw the median and the 99th request as bars of waiting and being served; a dot for each repeat."""
    arm = trials[0].arm
    ax.set_yticks([0, 1], [name for _, name in RANKS])
    ax.set_ylim(1.62, -0.62)
    if not any(trial.answered for trial in trials):
        not_seen(ax, f"no answers: {trials[0].errors} errors")
        return
    for place, (rank, _) in enumerate(RANKS):
        spans = [span for trial in trials if (span := typical(trial, rank)) is not None]
        span = sorted(spans, key=lambda one: one.latency)[(len(spans) - 1) // 2]
        wait = span.wait or 0.0
        ax.barh(place, wait, BAR, color=pale(arm), hatch=WAITING_HATCH, edgecolor="white")
        served = colour(arm) if span.wait is not None else UNKNOWN
        ax.barh(place, span.latency - wait, BAR, left=wait, color=served, hatch=hatch, edgecolor="white")
        if len(spans) > 1:
            ax.plot([one.latency for one in spans], [place] * len(spans), "o", markersize=4, color=INK, zorder=4)
        furthest = max(one.latency for one in spans)
        ax.annotate(
            duration(span.latency),
            (furthest, place),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            bbox=CLEAR,
        )


def draw_memory(ax: Axes, trials: Sequence[Trial], *, hatch: str = "") -> None:
    """Draw the memory that client and requests added at the peak, megabytes; a dot for each repeat."""
    added = [trial.memory.added_bytes / 1e6 for trial in trials if trial.memory is not None]
    ax.set_yticks([])
    ax.set_ylim(0.9, -0.9)
    if not added:
        not_seen(ax, "not measured")
        return
    ax.barh(0, median(added), BAR, color=colour(trials[0].arm), hatch=hatch, edgecolor="white")
    said, repeated = size(median(added) * 1e6), len(added) > 1
    if repeated:
        ax.plot(added, [0] * len(added), "o", markersize=4, color=INK, zorder=4)
    # With repeats above the bar: beside the dots it would be read as the last one's value.
    ax.annotate(
        f"median {said}" if repeated else said,
        (0, -BAR / 2) if repeated else (added[0], 0),
        xytext=(2, 4) if repeated else (7, 0),
        textcoords="offset points",
        va="bottom" if repeated else "center",
        bbox=CLEAR,
    )


def draw_guess(ax: Axes, seconds: float, *, inside: bool = False) -> None:
    """Mark the time that somebody expected: a dashed line through the panel, with its name below, or at its foot."""
    ax.axvline(seconds, color=INK, linestyle=(0, (4, 3)), linewidth=1.6, zorder=2.6)  # under words
    ax.annotate(
        f"guess: {duration(seconds)}",
        (seconds, 0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 4 if inside else -3),
        textcoords="offset points",
        ha="center",
        va="bottom" if inside else "top",
        bbox=CLEAR,
        zorder=6,
    )
