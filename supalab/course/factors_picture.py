"""What each step of a chain earned, as a picture: rounds and guesses go in, a row for each step comes out.

A bar is the median of the rounds, a dot one round. The pale band is what a step earns that changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from supalab.course.factors import NOTHING, Rounds, Taken, in_seconds, signed
from supalab.course.predict import Guess
from supalab.experiments.explain_figures import LOST, NOISE, SAVED, look_of
from supalab.experiments.race import subtitle
from supalab.measure.case import Trial
from supalab.report.format import count, duration
from supalab.report.plot import CLEAR, INK, MUTED, WIDTH_IN, Picture, describe_on, head, styled

__all__ = ["what_earned"]

ROW_IN, HEAD_IN, FOOT_IN, LEFT = 0.56, 1.05, 1.2, 0.255
BAR, BAND = 0.56, "#e3e7eb"


def what_earned(found: Rounds, *, guesses: Mapping[str, Guess] | None = None) -> Figure:
    """Draw the seconds that each step earned; ``guesses`` by a step's key, in seconds or in % of the whole."""
    steps, expected = found.steps, in_seconds(found, guesses or {})
    with styled():
        fig = Picture(figsize=(WIDTH_IN, HEAD_IN + ROW_IN * len(steps) + FOOT_IN))
        height = fig.get_figheight()
        ax = fig.add_axes((LEFT, FOOT_IN / height, 0.985 - LEFT, 1 - (HEAD_IN + FOOT_IN) / height))
        for place, step in enumerate(steps):
            guess = expected.get(step.key)
            _bar(ax, place, step, found.whole.median, max(step.saved.highest, guess or 0.0, 0.0))
            if guess is not None:
                ax.plot([guess] * 2, [place - 0.42, place + 0.42], **_GUESS, zorder=6)
        _frame(ax, steps, list(expected.values()))
        _key(fig, steps, guessed=bool(expected))
        head(fig, _title(found), _about(found))
    describe_on(fig, _described(found, expected))
    return fig


_GUESS: dict[str, Any] = {"color": INK, "linestyle": (0, (3, 2)), "linewidth": 1.8}


def _bar(ax: Axes, place: int, step: Taken, whole: float, end: float) -> None:
    got, look = step.saved, look_of(step.saved)
    ax.barh(place, got.median, BAR, color=look.face, hatch=look.hatch, edgecolor=look.edge, linewidth=1.0, zorder=3)
    ax.plot(step.each, [place] * len(step.each), "o", color=INK, markersize=3.6, zorder=5)
    part = f", {_part(got.median, whole)}" if whole > 0 else ""
    ax.annotate(
        f"{signed(got.median)} s{part}".replace("-", "\N{MINUS SIGN}"), (end, place), xytext=(10, 0),
        textcoords="offset points", va="center", bbox=CLEAR, zorder=4,
    )  # fmt: skip
    left = -LEFT * WIDTH_IN * 72 + 16
    arms = f"{step.before[0].arm} → {step.after[0].arm}"
    lines = [(step.change, 6, 11, INK)] + [(arms, -7.5, 8.5, MUTED)] * (arms != step.change)
    for text, shift, size, shade in lines:
        ax.annotate(
            text, (0, place), xycoords=ax.get_yaxis_transform(), xytext=(left, shift), va="center",
            textcoords="offset points", fontsize=size, color=shade, annotation_clip=False,
        )  # fmt: skip


def _part(seconds: float, whole: float) -> str:
    return f"{round(100 * seconds / whole)}%"  # rounded first, so that there is no "-0%"


def _frame(ax: Axes, steps: tuple[Taken, ...], guesses: list[float]) -> None:
    ends = [0.0, *guesses, *(seconds for step in steps for seconds in step.each)]
    low, wide = min(ends), max(ends) - min(ends) or 1.0
    ax.set(xlim=(low - 0.03 * wide, max(ends) + 0.2 * wide), ylim=(len(steps) - 0.45, -0.55))
    for step in steps:
        if step.key == NOTHING:
            ax.axvspan(step.saved.lowest, step.saved.highest, color=BAND, zorder=0.5)
    ax.axvline(0, color=INK, linewidth=1.0, zorder=4)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.grid(visible=True, axis="x")
    ax.set_xlabel("seconds saved (to the right) or lost (to the left)", loc="left")


def _key(fig: Figure, steps: tuple[Taken, ...], *, guessed: bool) -> None:
    handles: list[Patch | Line2D] = [
        Patch(facecolor=look.face, hatch=look.hatch, edgecolor=look.edge, linewidth=1.0, label=look.name)
        for look in (SAVED, LOST, NOISE)
    ]
    handles.append(Line2D([], [], color=INK, marker="o", markersize=3.6, linestyle="", label="one round"))
    handles += [Patch(facecolor=BAND, label="noise band: an arm against itself")] * any(
        step.key == NOTHING for step in steps
    )
    handles += [Line2D([], [], **_GUESS, label="your guess")] * guessed
    fig.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(10 / 72 / WIDTH_IN, 0.1 / fig.get_figheight()),
        ncols=len(handles), frameon=False, fontsize=9.5, handlelength=1.6, columnspacing=1.6,
    )  # fmt: skip


def _title(found: Rounds) -> str:
    steps = found.steps
    ends = (
        f"{found.arms[0]} {duration(_median(steps[0].before))} → {found.arms[-1]} {duration(_median(steps[-1].after))}"
    )
    best, whole = max(steps, key=lambda step: step.saved.median), found.whole
    earned = whole.above_noise and whole.median > 0 and best.saved.above_noise
    if earned:
        return f"{ends}; most by “{best.change}”"
    told = [f"“{step.change}” {signed(step.saved.median)} s" for step in steps if step.saved.above_noise]
    return ", ".join(told[:2]).replace("-0", "\N{MINUS SIGN}0") or ends


def _median(trials: Sequence[Trial]) -> float:
    return median(trial.makespan_s for trial in trials)


def _about(found: Rounds) -> str:
    seen = {"tls": False, "rtt": 0.0, **found.trials[0][0].case.conditions}
    link = [*(["TLS"] if seen["tls"] else []), *([f"a round trip of {duration(seen['rtt'])}"] if seen["rtt"] else [])]
    over = f", over {' and '.join(link)}" if link else ""
    return f"{subtitle(found.workload)}{over}; median of {count(len(found.trials[0]), 'round')}, taking turns"


def _described(found: Rounds, expected: Mapping[str, float]) -> str:
    whole, said = found.whole.median, [f"What each step saves. {_title(found)}. {_about(found)}."]
    for step in found.steps:
        part = f", {_part(step.saved.median, whole)} of the whole" if whole > 0 else ""
        guess = f"; the guess was {duration(expected[step.key])}" if step.key in expected else ""
        said.append(f"{step}{part}{guess}.")
    return " ".join(said)
