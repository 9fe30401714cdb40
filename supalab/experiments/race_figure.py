"""The figures of a race: arms side by side (in flight, latency, memory), and the timeline of requests in slots."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.experiments.race import control_of, describe, headline, shown_arms, subtitle, together
from supalab.measure.case import Span, Trial
from supalab.measure.compare import median_item
from supalab.measure.record import Record
from supalab.report.format import duration, size
from supalab.report.plot import INK, MUTED, colour, dots, label, legend, not_seen, pale, panel_title, row_label, sheet

#: What can be drawn: a record, or single trials of one workload.
Trials: TypeAlias = "Record | Iterable[Trial]"
Guesses: TypeAlias = "Mapping[str, float | None] | None"

CONTROL_HATCH = ".."
# Closer to 0 than this part of the scale, a number would overlap the 0.
CLOSE = 0.15
WHAT_SIDE = "Side by side: requests in flight over time, latency split into queue time and service time, memory added."
ROW_IN = 1.28
PANELS = (
    ("Requests in flight", "over time, as the lab counted them", "seconds"),
    ("One request's time", "", "seconds"),
    ("Memory added", "at the peak", "megabytes"),
)
#: What a row says of its client.
CLIENTS = {
    "fake": "requests, {n} threads",
    "session": "Session, {n} threads",
    "article": "httpx, as published",
    "real": "async, limit {n}",
}
#: How waiting is hatched, the colour of a latency whose parts are unknown, and how high a bar is.
WAITING_HATCH, UNKNOWN, BAR = "////", "#c3c9d0", 0.52
RANKS = ((50, "median"), (99, "p99"))
#: Inches of the timeline: a lane, the room between two arms, the panel of the queue.
LANE_IN, GAP_IN, QUEUE_IN = 0.145, 0.36, 1.6
#: With more lanes they get thinner; a bar is this part of its lane.
MOST_LANES, LANE_BAR = 20, 0.84
# The part of its time by which a request may seem to overlap the previous one in its slot.
OVERLAP = 0.5
WHAT_TIMELINE = "Timeline: one lane for each slot, one bar for each request, and below them the queue."
IN_PANEL: Any = ("data", "axes fraction")


def side_by_side(
    trials: Trials, *, arms: Sequence[str] | None = None, guesses: Guesses = None, fig: Figure | None = None
) -> Figure:
    """Draw requests in flight over time, latency and memory, one row for each arm, on shared scales.

    By default fake-3, its fair control fake-10 and real-10, if all of them ran. ``guesses``: makespans that somebody
    expected, in seconds by arm, ``None`` for no guess. Draws on ``fig`` if one is given. If there was no lab, the
    figure says what is unknown. Raises TrialError for an arm that did not run.
    """
    record = together(trials)
    names = shown_arms(record, arms)
    expected = _made_guesses(guesses, names)
    about = subtitle(record.trials[0].workload, len(record.of(names[0])))
    words, shape = [WHAT_SIDE, describe(record, names), *guessed(expected)], (len(names), 3)
    with sheet(
        headline(record, names), about, words, shape, ROW_IN * len(names), fig=fig, head_in=1.52, foot_in=0.72,
        left=0.16, right=0.975, width_ratios=(5, 3.1, 1.75), wspace=0.2, hspace=0.32,
    ) as (fig, axes):  # fmt: skip
        rows = {arm: axes[3 * place : 3 * place + 3] for place, arm in enumerate(names)}
        for arm, row in rows.items():
            hatch = CONTROL_HATCH if control_of(arm, names) else ""
            for draw, ax in zip((draw_in_flight, draw_latency, draw_memory), row, strict=True):
                draw(ax, record.of(arm), hatch=hatch)
            _arm_label(row[0], record.of(arm), names)
        _share(rows, record, expected)
        for ax, (title, note, unit), last in zip(axes[:3], PANELS, axes[-3:], strict=True):
            panel_title(ax, title, note)
            last.set_xlabel(unit)
        parts = [("queue time", pale(names[0]), WAITING_HATCH, "white")]
        parts += [("service time", colour(names[0]), "", "white")]
        legend(axes[1], parts, bbox_to_anchor=(0, 1.09), borderaxespad=0, labelcolor=MUTED)
    return fig


def _arm_label(ax: Axes, trials: Sequence[Trial], names: Sequence[str]) -> None:
    """Name the arm at the left of its row; the control is called the control, errors are counted."""
    first, real = trials[0], control_of(trials[0].arm, names)
    lines = [
        CLIENTS.get(first.case.kind, "limit {n}").format(n=first.limit),
        *([f"fair control of {real}"] if real else []),
    ]
    answered = [span for trial in trials for span in trial.answered]
    if answered and all(span.wait is None for span in answered):
        lines.append("wait not known")
    errors = max(trial.errors for trial in trials)
    if errors:
        lines.append(f"{errors} of {len(first.spans)} failed")
    row_label(ax, first.arm, lines)


def _share(rows: Mapping[str, Sequence[Axes]], record: Record, expected: Mapping[str, float]) -> None:
    """Give the panels of a column one scale, and label the first ones."""
    shown = [trial for arm in rows for trial in record.of(arm)]
    right = _right(shown, expected)
    peak = max(trial.get("peak") or 1 for trial in shown)
    slow = max((span.latency for trial in shown for span in trial.answered), default=1.0)
    heavy = max([0.1, *(trial["added_bytes"] / 1e6 for trial in shown if trial.get("added_bytes"))])
    for place, (arm, (flight, latency, memory)) in enumerate(rows.items(), start=1):
        flight.set(xlim=(0, right * 1.02), ylim=(0, peak * 1.3))
        flight.set_yticks([tick for tick in flight.get_yticks() if tick == 0 or tick > CLOSE * peak])
        latency.set(xlim=(0, slow * 1.24))
        memory.set(xlim=(0, heavy * 1.7))
        trial = _middle(record.of(arm))
        if trial.timeline:
            said = f"{trial['peak']} in flight, done after {duration(trial.makespan_s)}"
            _say_done(flight, said, trial.makespan_s, 0.5 * right, trial["peak"], 5)
        if arm in expected:
            _draw_guess(flight, expected[arm], 4 if place == len(rows) else -3)
        for ax in (flight, latency, memory):
            ax.grid(visible=True, axis="x")
            ax.tick_params(labelbottom=place == len(rows))


def _right(trials: Iterable[Trial], expected: Mapping[str, float]) -> float:
    """Return how far a time axis must reach."""
    return max([trial.makespan_s for trial in trials] + [guess * 1.1 for guess in expected.values()])


def _say_done(ax: Axes, said: str, at: float, far: float, top: float, up: float, **how: Any) -> None:
    """Write words at the end of a trial: to its right if there is room, else above it."""
    if at < far:
        label(ax, said, (at, top / 2), (9, 0), **how)
    else:
        label(ax, said, (at, top), (0, up), ha="right", **how)


def _middle(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the median makespan, for figures that can show only one."""
    return median_item(trials, lambda trial: trial.makespan_s)


def draw_in_flight(ax: Axes, trials: Sequence[Trial], *, hatch: str = "") -> None:
    """Draw requests in flight over time as the lab saw them: stepped, the middle one of repeated trials."""
    trial = _middle(trials)
    if not trial.timeline:
        not_seen(ax, "not witnessed: only a lab can count this")
        return
    start = min((s.asked if s.started is None else s.started) for s in trial.spans)
    times = [start, *(start + at for at, _ in trial.timeline)]
    counts = [0, *(count for _, count in trial.timeline)]
    # With a line of width 0, the hatch would disappear too.
    look: dict[str, Any] = {"facecolor": colour(trial.arm), "hatch": hatch, "edgecolor": "white", "linewidth": 0.1}
    ax.fill_between(times, counts, step="post", **look)
    ends = [other.makespan_s for other in trials]
    ax.plot(ends, [0] * len(ends), "o", markersize=4, color=INK, clip_on=False, zorder=4)
    ax.set_yticks([0, trial["peak"]])


def draw_latency(ax: Axes, trials: Sequence[Trial], *, hatch: str = "") -> None:
    """Draw the median and the 99th request as bars of queue time and service time; a dot for each repeat."""
    arm, answered = trials[0].arm, [trial for trial in trials if trial.answered]
    if not answered:
        not_seen(ax, f"no answers: {trials[0].errors} errors")
        return
    for place, (rank, _) in enumerate(RANKS):
        spans = [_typical(trial, rank) for trial in answered]
        span = median_item(spans, lambda span: span.latency)
        wait, served = span.wait or 0.0, colour(arm) if span.wait is not None else UNKNOWN
        ax.barh(place, wait, BAR, color=pale(arm), hatch=WAITING_HATCH, edgecolor="white")
        ax.barh(place, span.latency - wait, BAR, left=wait, color=served, hatch=hatch, edgecolor="white")
        latencies = sorted(one.latency for one in spans)
        dots(ax, latencies, place)
        label(ax, duration(span.latency), (latencies[-1], place))
    ax.set_yticks([0, 1], [name for _, name in RANKS])
    ax.set_ylim(1.62, -0.62)


def _typical(trial: Trial, q: float) -> Span:
    """Return the answered request at the q-th percentile of latency: a real request, so that its parts add up."""
    ordered = sorted(trial.answered, key=lambda span: span.latency)
    return ordered[max(math.ceil(len(ordered) * q / 100), 1) - 1]


def draw_memory(ax: Axes, trials: Sequence[Trial], *, hatch: str = "") -> None:
    """Draw the megabytes that client and requests added at the peak; a dot for each repeat."""
    added = [trial["added_bytes"] / 1e6 for trial in trials if trial.get("added_bytes") is not None]
    ax.set_yticks([])
    ax.set_ylim(0.9, -0.9)
    if not added:
        not_seen(ax, "not measured")
        return
    ax.barh(0, median(added), BAR, color=colour(trials[0].arm), hatch=hatch, edgecolor="white")
    dots(ax, added, 0)
    said = size(median(added) * 1e6)
    # With repeats it is above the bar: next to the dots it would look like the last dot's value.
    if len(added) > 1:
        label(ax, f"median {said}", (0, -BAR / 2), (2, 4))
    else:
        label(ax, said, (added[0], 0))


def _draw_guess(ax: Axes, seconds: float, up: float = -3) -> None:
    """Mark the time that a learner guessed with a dashed line through the panel, and name it below or at its foot."""
    ax.axvline(seconds, color=INK, linestyle=(0, (4, 3)), linewidth=1.6, zorder=2.6)  # under words
    label(ax, f"guess: {duration(seconds)}", (seconds, 0), (0, up), xycoords=IN_PANEL, zorder=6)


def in_lanes(spans: Sequence[Span], limit: int) -> list[tuple[int, Span]]:
    """Give every request that took a slot a lane, and return (lane, span) in the order of starting.

    A request takes the lane that has been free longest; one opens only if all are busy. ``limit``: the slots there
    should be. More lanes open only for requests that clearly overlap: on a busy machine, the next request may take a
    slot some milliseconds before the previous caller notes its response.
    """
    free: list[tuple[float, int]] = []
    placed = []
    for span in sorted((s for s in spans if s.started is not None), key=lambda s: (s.started, s.asked)):
        start = span.started or 0.0
        slack = OVERLAP * (span.done - start) if len(free) >= limit else 0.0
        lane = heapq.heappop(free)[1] if free and free[0][0] <= start + slack else len(free)
        heapq.heappush(free, (span.done, lane))
        placed.append((lane, span))
    return placed


def draw_lanes(ax: Axes, trial: Trial) -> None:
    """Draw one trial's lanes from the top down; failed requests are hollow."""
    placed = in_lanes(trial.spans, trial.limit)
    ax.spines["left"].set_visible(False)
    if not placed:
        not_seen(ax, "not known: the client did not tell when a request took its slot")
        return
    lanes = _lanes(trial)
    for good in (True, False):
        mine = [(lane, span) for lane, span in placed if span.ok is good]
        # Edges separate the bars; with many requests they would hide them.
        edged = lanes <= MOST_LANES and len(mine) <= 40 * lanes
        look: dict[str, Any] = {"facecolor": colour(trial.arm), "edgecolor": "white"}
        if not good:
            look = {"facecolor": "white", "edgecolor": INK, "hatch": "xxxx"} if edged else {"facecolor": INK}
        for lane in range(lanes):
            bars = [(span.started or 0.0, span.service or 0.0) for at, span in mine if at == lane]
            ax.broken_barh(bars, (lane - LANE_BAR / 2, LANE_BAR), linewidth=float(edged), **look)
    ax.set(yticks=[], ylim=(lanes - 0.4, -0.6))


def _lanes(trial: Trial) -> int:
    return 1 + max((lane for lane, _ in in_lanes(trial.spans, trial.limit)), default=0)


def timeline(
    trials: Trials, *, arms: Sequence[str] | None = None, guesses: Guesses = None, fig: Figure | None = None
) -> Figure:
    """Draw the lanes of each arm, one arm above another, and below them how many requests still wait, on one time axis.

    Of repeated trials, the one with the median makespan is drawn. ``guesses``: makespans that somebody expected, in
    seconds by arm, ``None`` for no guess. Draws on ``fig`` if one is given. Raises TrialError for an arm that did not
    run.
    """
    record = together(trials)
    names = shown_arms(record, arms)
    expected = _made_guesses(guesses, names)
    chosen = [_middle(record.of(arm)) for arm in names]
    about = f"Every bar is a request, every lane a slot. {subtitle(record.trials[0].workload)}."
    words = [WHAT_TIMELINE, describe(record, names), *guessed(expected)]
    heights = [*(max(LANE_IN * min(_lanes(trial), MOST_LANES), 0.45) for trial in chosen), QUEUE_IN]
    right, gaps = _right(chosen, expected), GAP_IN * len(heights) / sum(heights)
    with sheet(
        headline(record, names), about, words, (len(heights), 1), sum(heights) + GAP_IN * len(chosen), fig=fig,
        head_in=1.3, foot_in=0.7, left=0.16, right=0.975, height_ratios=heights, hspace=gaps,
    ) as (fig, (*lanes, queue)):  # fmt: skip
        for ax, trial in zip(lanes, chosen, strict=True):
            draw_lanes(ax, trial)
            ax.tick_params(labelbottom=False)
            said, at = f"done after {duration(trial.makespan_s)}", trial.makespan_s
            drawn = any(span.started is not None for span in trial.spans)  # else there are words in the panel
            _say_done(ax, said, at, 0.7 * right * drawn, 1, 4, xycoords=IN_PANEL)
            _arm_label(ax, record.of(trial.arm), names)
            if trial.arm in expected:
                _draw_guess(ax, expected[trial.arm])
        draw_waiting(queue, chosen)
        row_label(queue, "the queue", ["requests still", "waiting for a slot"])
        queue.set_xlabel("seconds")
        for ax in (*lanes, queue):
            ax.set_xlim(0, right * 1.02)
            ax.grid(visible=True, axis="x")
    return fig


def draw_waiting(ax: Axes, chosen: Sequence[Trial]) -> None:
    """Draw for each trial, as a stepped line, how many requests wait for a slot."""
    names = [trial.arm for trial in chosen]
    if all(span.started is None for trial in chosen for span in trial.spans):
        not_seen(ax, "not known: no client told when a request took its slot")
        return
    for place, trial in enumerate(chosen):
        started = sorted(span.started for span in trial.spans if span.started is not None)
        waiting = [len(trial.spans) - done for done in range(len(started) + 1)]
        # A control is drawn wide and pale, its counterpart thin: both can be seen where they coincide.
        wide, shade = (7.0, pale(trial.arm)) if control_of(trial.arm, names) else (2.0, colour(trial.arm))
        line = "--" if shade in map(colour, names[:place]) else "-"  # arms of one kind, or of a kind without a colour
        ax.step([0.0, *started], waiting, line, where="post", color=shade, linewidth=wide, zorder=2 + (wide < 3))
        if started:
            # Each name at another height, so that no two overlap.
            step = round(len(started) * (0.3 + 0.4 * place / max(len(chosen) - 1, 1)))
            label(ax, trial.arm, (started[min(step, len(started) - 1)], waiting[step]), (9, 3))
    ax.set_ylim(0, None)
    ax.grid(visible=True)


def _made_guesses(guesses: Guesses, names: Sequence[str]) -> dict[str, float]:
    """Return the guessed total times, in seconds, of the arms that are shown; skipped guesses are left out."""
    return {name: guess for name, guess in (guesses or {}).items() if guess is not None and name in names}


def guessed(expected: Mapping[str, float]) -> list[str]:
    """Return guesses as sentences that follow a description."""
    return [f"The guess for {name} was {duration(guess)}." for name, guess in expected.items()]
