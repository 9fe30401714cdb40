"""The figures of a race: side by side (in flight, latency, memory) and the timeline of every request in its slot."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import TypeAlias

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, DrawingArea
from matplotlib.patches import Rectangle

from supalab.experiments.race import control_of, describe, headline, shown_arms, subtitle, together
from supalab.measure.case import Span, Trial
from supalab.measure.record import Record
from supalab.report.format import duration, size
from supalab.report.plot import (
    ABOVE,
    CLEAR,
    INK,
    MUTED,
    WIDTH_IN,
    Picture,
    colour,
    describe_on,
    head,
    not_seen,
    pale,
    row_label,
    sheet,
    styled,
)  # fmt: skip

__all__ = [
    "draw_in_flight", "draw_lanes", "draw_latency", "draw_memory", "draw_waiting", "in_lanes", "middle", "side_by_side",
    "timeline",
]  # fmt: skip

#: What can be drawn: a record, or loose trials of one workload.
Trials: TypeAlias = "Record | Iterable[Trial]"

CONTROL_HATCH = ".."
# Nearer to 0 than this part of the scale, a number would run into the 0.
CLOSE = 0.15
ABOUT_SIDE = "Side by side: requests in flight over time, latency split into wait and service, memory added."
ROW_IN, HEAD_IN, FOOT_IN = 1.28, 1.52, 0.72
COLUMNS = ("Requests in flight", "One request's latency", "Memory added")
NOTES = ("over time, as the lab counted them", "", "at the peak")
KEY = ("waiting for a slot", "being served")
ABOUT = {
    "fake": "requests, {n} threads",
    "session": "Session, {n} threads",
    "article": "httpx, as printed",
    "real": "async, limit {n}",
}
WAITING_HATCH, BAR, UNKNOWN = "////", 0.52, "#c3c9d0"
RANKS = ((50, "median"), (99, "p99"))
LANE_IN, GAP_IN, LANES_HEAD_IN, LANES_FOOT_IN, QUEUE_IN = 0.145, 0.36, 1.3, 0.7, 1.6
MOST_LANES = 20
# The part of its time by which a request may seem to overlap the one before it in its slot.
LATE_NOTE = 0.5
ABOUT_TIMELINE = "Timeline: one lane for each slot, one bar for each request, and below them the queue."
LANE_BAR = 0.84


def side_by_side(
    trials: Trials,
    *,
    arms: Sequence[str] | None = None,
    guesses: Mapping[str, float | None] | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Draw requests in flight over time, latency and memory, one row for each arm, on shared scales.

    By default fake-3, its fair control fake-10 and real-10, if all of them ran. ``guesses``: makespans that somebody
    expected, in seconds by arm, ``None`` for no guess. Draws on ``fig`` if one is given. If there was no lab, the
    figure says what is unknown. Raises TrialError for an arm that did not run.
    """
    found = together(trials)
    names = shown_arms(found, arms)
    expected = _made_guesses(guesses, names)
    about = subtitle(found.trials[0].workload, len(found.of(names[0])))
    words, shape = [ABOUT_SIDE, describe(found, names) + _guessed(expected)], (len(names), 3)
    with sheet(
        headline(found, names), about, words, shape, ROW_IN * len(names), fig=fig, head_in=HEAD_IN, foot_in=FOOT_IN,
        left=0.16, right=0.975, width_ratios=(5, 3.1, 1.75), wspace=0.2, hspace=0.32,
    ) as (fig, axes):  # fmt: skip
        rows = [axes[at : at + 3] for at in range(0, len(axes), 3)]
        for row, arm in zip(rows, names, strict=True):
            _fill(row, found.of(arm), names)
        _share(rows, [found.of(arm) for arm in names], expected.values())
        for row, arm in zip(rows, names, strict=True):
            if arm in expected:
                _draw_guess(row[0], expected[arm], inside=row is rows[-1])
        _key(rows[0][1], names[0])
    return fig


def _fill(row: Sequence[Axes], trials: Sequence[Trial], names: Sequence[str]) -> None:
    hatch = CONTROL_HATCH if control_of(trials[0].arm, names) else ""
    draw_in_flight(row[0], trials, hatch=hatch)
    draw_latency(row[1], trials, hatch=hatch)
    draw_memory(row[2], trials, hatch=hatch)
    _arm_label(row[0], trials, names)


def _arm_label(ax: Axes, trials: Sequence[Trial], names: Sequence[str]) -> None:
    """Name the arm at the left of its row; the control is called the control, errors are counted."""
    arm, real = trials[0].arm, control_of(trials[0].arm, names)
    about = ABOUT.get(arm.rpartition("-")[0], "limit {n}").format(n=trials[0].limit)
    lines = [about, *([f"fair control of {real}"] if real else [])]
    answered = [span for trial in trials for span in trial.answered]
    if answered and all(span.wait is None for span in answered):
        lines.append("wait not known")
    errors = max(trial.errors for trial in trials)
    if errors:
        lines.append(f"{errors} of {len(trials[0].spans)} failed")
    row_label(ax, arm, lines)


def _share(
    rows: Sequence[Sequence[Axes]], all_trials: Sequence[Sequence[Trial]], expected: Iterable[float] = ()
) -> None:
    flat = [trial for trials in all_trials for trial in trials]
    right = max([trial.makespan_s for trial in flat] + [guess * 1.1 for guess in expected])
    peak = max((trial["peak"] for trial in flat if trial.get("peak")), default=1)
    slow = max((span.latency for trial in flat for span in trial.answered), default=1.0)
    heavy = max((trial["added_bytes"] / 1e6 for trial in flat if trial.get("added_bytes")), default=1.0)
    for row, trials in zip(rows, all_trials, strict=True):
        row[0].set(xlim=(0, right * 1.02), ylim=(0, peak * 1.3))
        row[1].set(xlim=(0, slow * 1.24))
        row[2].set(xlim=(0, max(heavy, 0.1) * 1.7))
        _label_in_flight(row[0], trials, right)
        row[0].set_yticks([tick for tick in row[0].get_yticks() if tick == 0 or tick > CLOSE * peak])
        for ax in row:
            ax.grid(visible=True, axis="x")
            ax.tick_params(labelbottom=row is rows[-1])
    for ax, title, note in zip(rows[0], COLUMNS, NOTES, strict=True):
        ax.set_title(title, pad=25)
        ax.annotate(note, (0, 1), xytext=(0, 10), color=MUTED, fontsize=9.5, **ABOVE)
    for ax, label in zip(rows[-1], ("seconds", "seconds", "megabytes"), strict=True):
        ax.set_xlabel(label)


def _key(ax: Axes, arm: str) -> None:
    """Name the two parts of a bar above the first ones."""
    left = 0
    for text, face, hatch in zip(KEY, (pale(arm), colour(arm)), (WAITING_HATCH, ""), strict=True):
        swatch = DrawingArea(14, 9)
        swatch.add_artist(Rectangle((0, 0), 14, 9, facecolor=face, hatch=hatch, edgecolor="white", linewidth=0.1))
        box = AnnotationBbox(
            swatch, (0, 1), xybox=(left + 7, 14), xycoords="axes fraction", boxcoords="offset points", frameon=False
        )
        ax.add_artist(box)
        ax.annotate(text, (0, 1), xytext=(left + 20, 10), color=MUTED, fontsize=9.5, **ABOVE)
        left += 116


def middle(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the median makespan, for pictures that can show but one."""
    return sorted(trials, key=lambda trial: trial.makespan_s)[(len(trials) - 1) // 2]


def draw_in_flight(ax: Axes, trials: Sequence[Trial], *, hatch: str = "") -> None:
    """Draw requests in flight over time as the lab saw them: stepped, the middle one of repeated trials."""
    trial = middle(trials)
    if not trial.timeline:
        ax.set_yticks([])
        not_seen(ax, "not witnessed: only a lab can count this")
        return
    start = min((s.asked if s.started is None else s.started) for s in trial.spans)
    times = [start, *(start + at for at, _ in trial.timeline)]
    counts = [0, *(count for _, count in trial.timeline)]
    # A line of no width would take the hatch with it.
    ax.fill_between(
        times, counts, step="post", facecolor=colour(trial.arm), hatch=hatch, edgecolor="white", linewidth=0.1
    )
    for other in trials:
        ax.plot(other.makespan_s, 0, marker="o", markersize=4, color=INK, clip_on=False, zorder=4)
    ax.set_yticks([0, trial["peak"]])


def _label_in_flight(ax: Axes, trials: Sequence[Trial], right: float) -> None:
    """Write peak and total time next to the steps if there is room, else above them."""
    trial = middle(trials)
    if not trial.timeline:
        return
    said = f"{trial['peak']} in flight, done after {duration(trial.makespan_s)}"
    beside = trial.makespan_s < 0.5 * right
    ax.annotate(
        said,
        (trial.makespan_s, trial["peak"] * (0.5 if beside else 1)),
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
        spans = [span for trial in trials if (span := _typical(trial, rank)) is not None]
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
    added = [trial["added_bytes"] / 1e6 for trial in trials if trial.get("added_bytes") is not None]
    ax.set_yticks([])
    ax.set_ylim(0.9, -0.9)
    if not added:
        not_seen(ax, "not measured")
        return
    ax.barh(0, median(added), BAR, color=colour(trials[0].arm), hatch=hatch, edgecolor="white")
    said, repeated = size(median(added) * 1e6), len(added) > 1
    if repeated:
        ax.plot(added, [0] * len(added), "o", markersize=4, color=INK, zorder=4)
    # With repeats it is above the bar: next to the dots it would be read as the last one's value.
    ax.annotate(
        f"median {said}" if repeated else said,
        (0, -BAR / 2) if repeated else (added[0], 0),
        xytext=(2, 4) if repeated else (7, 0),
        textcoords="offset points",
        va="bottom" if repeated else "center",
        bbox=CLEAR,
    )


def _draw_guess(ax: Axes, seconds: float, *, inside: bool = False) -> None:
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


def in_lanes(spans: Sequence[Span], limit: int) -> list[tuple[int, Span]]:
    """Give every request that took a slot a lane, and return (lane, span) in the order of starting.

    A request takes the lane that has been free longest; one opens only if all are busy. ``limit``: the slots there
    should be. More lanes open only for requests that clearly overlap: on a busy machine a slot is taken
    again some milliseconds before the old request's caller notes that it is done.
    """
    free: list[tuple[float, int]] = []
    placed = []
    for span in sorted((s for s in spans if s.started is not None), key=lambda s: (s.started, s.asked)):
        start = span.started or 0.0
        slack = LATE_NOTE * (span.done - start) if len(free) >= limit else 0.0
        lane = heapq.heappop(free)[1] if free and free[0][0] <= start + slack else len(free)
        heapq.heappush(free, (span.done, lane))
        placed.append((lane, span))
    return placed


def draw_lanes(ax: Axes, trial: Trial) -> None:
    """Draw one trial's lanes from the top down; failed requests are hollow."""
    placed = in_lanes(trial.spans, trial.limit)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    if not placed:
        not_seen(ax, "not known: the client did not tell when a request took its slot")
        return
    lanes = 1 + max(lane for lane, _ in placed)
    for good in (True, False):
        boxes = [_box(lane, span) for lane, span in placed if span.ok is good]
        # Edges part the bars; in a crowd they would hide them.
        line = 1.0 if lanes <= MOST_LANES and len(boxes) <= 40 * lanes else 0.0
        face, edge, hatch = (colour(trial.arm), "white", "") if good else ("white", INK, "xxxx")
        if not good and not line:
            face, hatch = INK, ""
        if boxes:
            ax.add_collection(PolyCollection(boxes, facecolor=face, edgecolor=edge, hatch=hatch, linewidth=line))
    ax.set_ylim(lanes - 0.4, -0.6)


def _box(lane: int, span: Span) -> list[tuple[float, float]]:
    left, right, top, bottom = span.started or 0.0, span.done, lane - LANE_BAR / 2, lane + LANE_BAR / 2
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def timeline(
    trials: Trials,
    *,
    arms: Sequence[str] | None = None,
    guesses: Mapping[str, float | None] | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Draw the lanes of each arm above one another, and below them how many requests still wait, on one time axis.

    Of repeated trials the middle one is drawn. ``guesses``: makespans that somebody expected, in seconds by arm,
    ``None`` for no guess. Draws on ``fig`` if one is given. Raises TrialError for an arm that did not run.
    """
    found = together(trials)
    names = shown_arms(found, arms)
    expected = _made_guesses(guesses, names)
    about = subtitle(found.trials[0].workload)  # of repeats, one is drawn
    chosen = [middle(found.of(arm)) for arm in names]
    with styled():
        heights = [_height(trial) for trial in chosen] + [QUEUE_IN]
        whole = LANES_HEAD_IN + sum(heights) + GAP_IN * len(chosen) + LANES_FOOT_IN
        fig = fig or Picture(figsize=(WIDTH_IN, whole))
        axes = _stack(fig, heights)
        right = max([trial.makespan_s for trial in chosen] + [guess * 1.1 for guess in expected.values()])
        for ax, trial in zip(axes, chosen, strict=False):
            draw_lanes(ax, trial)
            ax.set_xlim(0, right * 1.02)
            _finish(ax, trial, right)
            _arm_label(ax, found.of(trial.arm), names)
            if trial.arm in expected:
                _draw_guess(ax, expected[trial.arm])
        draw_waiting(axes[-1], chosen)
        row_label(axes[-1], "the queue", ["requests still", "waiting for a slot"])
        axes[-1].set(xlim=(0, right * 1.02), xlabel="seconds")
        head(fig, headline(found, names), f"Every bar is a request, every lane a slot. {about}.")
    describe_on(fig, f"{ABOUT_TIMELINE} {describe(found, names)}{_guessed(expected)}")
    return fig


def _height(trial: Trial) -> float:
    lanes = 1 + max((lane for lane, _ in in_lanes(trial.spans, trial.limit)), default=0)
    return max(LANE_IN * min(lanes, MOST_LANES), 0.45)


def _stack(fig: Figure, heights: Sequence[float]) -> list[Axes]:
    """Place axes of these heights (inches) under one another, all with the same left and right."""
    whole, top = fig.get_figheight(), fig.get_figheight() - LANES_HEAD_IN
    scale = (top - LANES_FOOT_IN - GAP_IN * (len(heights) - 1)) / sum(heights)
    axes = []
    for height in heights:
        top -= height * scale
        axes.append(fig.add_axes((0.16, top / whole, 0.815, height * scale / whole)))
        top -= GAP_IN
    return axes


def _finish(ax: Axes, trial: Trial, right: float) -> None:
    ax.tick_params(labelbottom=False)
    ax.grid(visible=True, axis="x")
    beside = trial.makespan_s < 0.7 * right
    ax.annotate(
        f"done after {duration(trial.makespan_s)}",
        (trial.makespan_s, 0.5 if beside else 1),
        xycoords=("data", "axes fraction"),
        xytext=(9, 0) if beside else (0, 4),
        textcoords="offset points",
        ha="left" if beside else "right",
        va="center" if beside else "bottom",
        bbox=CLEAR,
    )


def draw_waiting(ax: Axes, chosen: Sequence[Trial]) -> None:
    """Draw for each trial how many requests have been asked for but have no slot yet: its staircase."""
    names = [trial.arm for trial in chosen]
    if all(span.started is None for trial in chosen for span in trial.spans):
        ax.set_yticks([])
        not_seen(ax, "not known: no client told when a request took its slot")
        return
    for place, trial in enumerate(chosen):
        started = sorted(span.started for span in trial.spans if span.started is not None)
        waiting = [len(trial.spans) - done for done in range(len(started) + 1)]
        # A control is wide and pale, and what it controls thin: where the two go together, both are seen.
        wide, shade = (7.0, pale(trial.arm)) if control_of(trial.arm, names) else (2.0, colour(trial.arm))
        line = "--" if shade in map(colour, names[:place]) else "-"  # of one kind, or of none that has a colour
        ax.step([0.0, *started], waiting, line, where="post", color=shade, linewidth=wide, zorder=2 + (wide < 3))
        if not started:
            continue
        # Each name at another height, so that no two can meet.
        step = round(len(started) * (0.3 + 0.4 * place / max(len(chosen) - 1, 1)))
        at = started[min(step, len(started) - 1)]
        ax.annotate(trial.arm, (at, waiting[step]), xytext=(9, 3), textcoords="offset points", va="bottom", bbox=CLEAR)
    ax.set_ylim(0, None)
    ax.grid(visible=True)


def _typical(trial: Trial, q: float) -> Span | None:
    """Return the answered request at the q-th percentile of latency: a real one, so its parts add up."""
    ordered = sorted(trial.answered, key=lambda span: span.latency)
    return ordered[max(math.ceil(len(ordered) * q / 100), 1) - 1] if ordered else None


def _made_guesses(guesses: Mapping[str, float | None] | None, names: Sequence[str]) -> dict[str, float]:
    """Total times that somebody expected, in seconds, of the arms that are shown; who skipped is left out."""
    return {name: guess for name, guess in (guesses or {}).items() if guess is not None and name in names}


def _guessed(expected: Mapping[str, float]) -> str:
    """Guesses as sentences that follow a description."""
    return "".join(f" The guess for {name} was {duration(guess)}." for name, guess in expected.items())
