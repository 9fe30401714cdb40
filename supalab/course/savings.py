"""Draw how many seconds each change saved, from a table with a row for each round and a column for each change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.course.predict import Guess
from supalab.errors import TrialError
from supalab.measure.compare import Difference
from supalab.report.changes import LOST, NOISE, SAVED, key_of, look_of
from supalab.report.format import count, duration
from supalab.report.plot import CLEAR, INK, sheet

__all__ = ["NOTHING", "savings_chart"]

#: The column in which an arm is compared with itself: what it seems to save is the noise.
NOTHING = "nothing"
GUESS: Mapping[str, Any] = {"color": INK, "linestyle": (0, (3, 2)), "linewidth": 1.8}


def savings_chart(saved: pd.DataFrame, *, guesses: Mapping[str, Guess] | None = None) -> Figure:
    """Draw the seconds that each change saved: a bar is the median of the rounds, a dot is one round.

    A change is above noise if all rounds have the same sign and the median is larger than every difference in the
    column ``nothing``, if there is one. ``guesses``: by column, in seconds or in % of all columns together.
    Raises TrialError for a table without rounds or changes.
    """
    if saved.empty:
        raise TrialError("there is nothing to draw: give a table with a row for each round, a column for each change")
    noise = float(saved[NOTHING].abs().max()) if NOTHING in saved else 0.0
    found = {
        str(change): Difference(float(each.median()), float(each.min()), float(each.max()), noise, len(each))
        for change, each in saved.items()
    }
    whole = float(saved.sum(axis="columns").median())
    expected = {change: seconds for change in found if (seconds := _seconds(guesses, change, whole)) is not None}
    title, about = _title(found), f"Seconds saved: median of {count(len(saved), 'round')}; a dot is one round"
    words = [f"{title}. {about}.", _described(found, whole, expected)]
    foot = "Pale band: the noise, an arm against itself. " * bool(noise) + "Dashed: your guess." * bool(expected)
    with sheet(
        title, about, words, (1, 1), 0.5 * len(found), foot=foot, head_in=1.05, foot_in=1.35, left=0.13
    ) as (fig, (ax,)):  # fmt: skip
        ends = [0.0, *expected.values(), *saved.to_numpy().flat]
        low, wide = min(ends), max(ends) - min(ends) or 1.0
        for place, (change, got) in enumerate(found.items()):
            _row(ax, place, got, [float(seconds) for seconds in saved[change]], expected.get(change))
            _say(ax, max(got.highest, expected.get(change, 0.0), 0.0), place, _words(got, whole))
        if noise:
            ax.axvspan(-noise, noise, color="#e3e7eb", zorder=0.5)
        ax.axvline(0, color=INK, linewidth=1.0, zorder=4)
        ax.set(xlim=(low - 0.03 * wide, max(ends) + 0.25 * wide), ylim=(len(found) - 0.45, -0.55))
        ax.set_yticks(range(len(found)), list(found))
        ax.grid(visible=False, axis="y")
        ax.set_xlabel("seconds saved (to the right) or lost (to the left)", loc="left")
        key_of(fig, [SAVED, LOST, NOISE])
    return fig


def _described(found: Mapping[str, Difference], whole: float, expected: Mapping[str, float]) -> str:
    said = [
        f"{change}: {_words(got, whole)} ({_signed(got.lowest)} to {_signed(got.highest)})"
        for change, got in found.items()
    ]
    said += [f"The guess for {change} was {duration(seconds)}" for change, seconds in expected.items()]
    return ". ".join(said) + "."


def _seconds(guesses: Mapping[str, Guess] | None, change: str, whole: float) -> float | None:
    """Return what somebody expected in seconds; a share of a whole that saved nothing is no number of seconds."""
    guess = (guesses or {}).get(change)
    if guess is None or guess.value is None:
        return None
    if not guess.unit.startswith("%"):
        return guess.value
    return guess.value / 100 * whole if whole > 0 else None


def _row(ax: Axes, place: int, got: Difference, each: list[float], guess: float | None) -> None:
    look = look_of(got)
    ax.barh(place, got.median, 0.56, color=look.face, hatch=look.hatch, edgecolor=look.edge, linewidth=1.0, zorder=3)
    ax.plot(each, [place] * len(each), "o", color=INK, markersize=3.6, zorder=5)
    if guess is not None:
        ax.plot([guess] * 2, [place - 0.42, place + 0.42], **GUESS, zorder=6)


def _say(ax: Axes, end: float, place: int, said: str) -> None:
    ax.annotate(
        said, (end, place), xytext=(10, 0), textcoords="offset points", va="center", bbox=CLEAR, zorder=4,
    )  # fmt: skip


def _words(got: Difference, whole: float) -> str:
    if not got.above_noise:
        return f"{_signed(got.median)} s, {NOISE.name}"
    part = f", {abs(got.median) / whole:.0%} of the whole" if whole > 0 else ""
    return f"{_signed(got.median)} s, {look_of(got).name}{part}"


def _signed(seconds: float) -> str:
    """Return seconds with a sign and three decimals; what rounds to nothing is ``+0.000``."""
    return f"{round(seconds, 3) + 0.0:+.3f}".replace("-", "\N{MINUS SIGN}")


def _title(found: Mapping[str, Difference]) -> str:
    clear = {change: got for change, got in found.items() if got.above_noise and change != NOTHING}
    saved = max(clear, key=lambda change: clear[change].median, default="")
    if not saved:
        return "No change can be distinguished from noise"
    if clear[saved].median > 0:
        return f"“{saved}” saved the most: {clear[saved].median:.3f} s"
    return "Nothing saved time; " + ", ".join(f"“{change}” lost {-got.median:.3f} s" for change, got in clear.items())
