"""Spans go in, the request timeline comes out: a lane for each slot, a bar for each request, one time axis."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from supalab.figures.panels import draw_guess, middle, not_seen
from supalab.figures.side import arm_label
from supalab.figures.words import control_of, describe, guessed, headline, made_guesses, shown_arms, subtitle
from supalab.measure.trial import Span, Trial, TrialSet
from supalab.report.format import duration
from supalab.report.plot import CLEAR, INK, WIDTH_IN, Picture, colour, describe_on, head, pale, row_label, styled

__all__ = ["draw_lanes", "draw_waiting", "in_lanes", "timeline"]

LANE_IN, GAP_IN, HEAD_IN, FOOT_IN, QUEUE_IN = 0.145, 0.36, 1.3, 0.7, 1.6
MOST_LANES = 20
# The part of its time by which a request may seem to overlap the one before it in its slot.
LATE_NOTE = 0.5
ABOUT_PICTURE = "Timeline: one lane for each slot, one bar for each request, and below them the queue."
BAR = 0.84


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
    left, right, top, bottom = span.started or 0.0, span.done, lane - BAR / 2, lane + BAR / 2
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def timeline(
    trials: TrialSet,
    *,
    arms: Sequence[str] | None = None,
    guesses: Mapping[str, float | None] | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Draw the lanes of each arm above one another, and below them how many requests still wait, on one time axis.

    Of repeated trials the middle one is drawn. ``guesses``: makespans that somebody expected, in seconds by arm,
    ``None`` for no guess. Draws on ``fig`` if one is given. Raises TrialError for an arm that did not run.
    """
    names = shown_arms(trials, arms)
    expected = made_guesses(guesses, names)
    about = subtitle(trials.workload)  # of repeats, one is drawn
    chosen = [middle(trials.of(arm)) for arm in names]
    with styled():
        heights = [_height(trial) for trial in chosen] + [QUEUE_IN]
        whole = HEAD_IN + sum(heights) + GAP_IN * len(chosen) + FOOT_IN
        fig = fig or Picture(figsize=(WIDTH_IN, whole))
        axes = _stack(fig, heights)
        right = max([trial.makespan_s for trial in chosen] + [guess * 1.1 for guess in expected.values()])
        for ax, trial in zip(axes, chosen, strict=False):
            draw_lanes(ax, trial)
            ax.set_xlim(0, right * 1.02)
            _finish(ax, trial, right)
            arm_label(ax, trials.of(trial.arm), names)
            if trial.arm in expected:
                draw_guess(ax, expected[trial.arm])
        draw_waiting(axes[-1], chosen)
        row_label(axes[-1], "the queue", ["requests still", "waiting for a slot"])
        axes[-1].set(xlim=(0, right * 1.02), xlabel="seconds")
        head(fig, headline(trials, names), f"Every bar is a request, every lane a slot. {about}.")
    describe_on(fig, f"{ABOUT_PICTURE} {describe(trials, names)}{guessed(expected)}")
    return fig


def _height(trial: Trial) -> float:
    lanes = 1 + max((lane for lane, _ in in_lanes(trial.spans, trial.limit)), default=0)
    return max(LANE_IN * min(lanes, MOST_LANES), 0.45)


def _stack(fig: Figure, heights: Sequence[float]) -> list[Axes]:
    """Place axes of these heights (inches) under one another, all with the same left and right."""
    whole, top = fig.get_figheight(), fig.get_figheight() - HEAD_IN
    scale = (top - FOOT_IN - GAP_IN * (len(heights) - 1)) / sum(heights)
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
