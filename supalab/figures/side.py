"""Trials of several arms go in, the side-by-side picture comes out: a row for each arm, three things to compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, DrawingArea
from matplotlib.patches import Rectangle

from supalab.figures import panels
from supalab.figures.words import control_of, describe, guessed, headline, made_guesses, shown_arms, subtitle
from supalab.measure.trial import Trial, TrialSet
from supalab.report.plot import ABOVE, MUTED, WIDTH_IN, Picture, colour, describe_on, head, pale, row_label, styled

__all__ = ["CONTROL_HATCH", "arm_label", "side_by_side"]

CONTROL_HATCH = ".."
# Nearer to 0 than this part of the scale, a number would run into the 0.
CLOSE = 0.15
ABOUT_PICTURE = "Side by side: requests in flight over time, latency split into wait and service, memory added."
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


def side_by_side(
    trials: TrialSet,
    *,
    arms: Sequence[str] | None = None,
    guesses: Mapping[str, float | None] | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Draw requests in flight over time, latency and memory, one row for each arm, on shared scales.

    By default fake-3, its fair control fake-10 and real-10, if all of them ran. ``guesses``: makespans that somebody
    expected, in seconds by arm, ``None`` for no guess. Draws on ``fig`` if one is given. What no lab witnessed is
    said, not guessed. Raises TrialError for an arm that did not run.
    """
    names = shown_arms(trials, arms)
    expected = made_guesses(guesses, names)
    trials.workload  # noqa: B018  # a set without trials is refused here, in one line
    with styled():
        height = HEAD_IN + ROW_IN * len(names) + FOOT_IN
        fig = fig or Picture(figsize=(WIDTH_IN, height))
        grid = fig.add_gridspec(
            len(names), 3, width_ratios=(5, 3.1, 1.75), left=0.16, right=0.975, wspace=0.2, hspace=0.32
        )
        high, low = fig.get_figheight() - HEAD_IN, FOOT_IN
        grid.update(top=high / fig.get_figheight(), bottom=low / fig.get_figheight())
        rows = [[fig.add_subplot(grid[row, column]) for column in range(3)] for row in range(len(names))]
        for row, arm in zip(rows, names, strict=True):
            _fill(row, trials.of(arm), names)
        _share(rows, [trials.of(arm) for arm in names], expected.values())
        for row, arm in zip(rows, names, strict=True):
            if arm in expected:
                panels.draw_guess(row[0], expected[arm], inside=row is rows[-1])
        head(fig, headline(trials, names), subtitle(trials.workload, len(trials.of(names[0]))))
        _key(rows[0][1], names[0])
    describe_on(fig, f"{ABOUT_PICTURE} {describe(trials, names)}{guessed(expected)}")
    return fig


def _fill(row: Sequence[Axes], trials: Sequence[Trial], names: Sequence[str]) -> None:
    hatch = CONTROL_HATCH if control_of(trials[0].arm, names) else ""
    panels.draw_in_flight(row[0], trials, hatch=hatch)
    panels.draw_latency(row[1], trials, hatch=hatch)
    panels.draw_memory(row[2], trials, hatch=hatch)
    arm_label(row[0], trials, names)


def arm_label(ax: Axes, trials: Sequence[Trial], names: Sequence[str]) -> None:
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
    peak = max((trial.witness.peak for trial in flat if trial.witness), default=1)
    slow = max((span.latency for trial in flat for span in trial.answered), default=1.0)
    heavy = max((trial.memory.added_bytes / 1e6 for trial in flat if trial.memory), default=1.0)
    for row, trials in zip(rows, all_trials, strict=True):
        row[0].set(xlim=(0, right * 1.02), ylim=(0, peak * 1.3))
        row[1].set(xlim=(0, slow * 1.24))
        row[2].set(xlim=(0, max(heavy, 0.1) * 1.7))
        panels.label_in_flight(row[0], trials, right)
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
    for text, face, hatch in zip(KEY, (pale(arm), colour(arm)), (panels.WAITING_HATCH, ""), strict=True):
        swatch = DrawingArea(14, 9)
        swatch.add_artist(Rectangle((0, 0), 14, 9, facecolor=face, hatch=hatch, edgecolor="white", linewidth=0.1))
        box = AnnotationBbox(
            swatch, (0, 1), xybox=(left + 7, 14), xycoords="axes fraction", boxcoords="offset points", frameon=False
        )
        ax.add_artist(box)
        ax.annotate(text, (0, 1), xytext=(left + 20, 10), color=MUTED, fontsize=9.5, **ABOVE)
        left += 116
