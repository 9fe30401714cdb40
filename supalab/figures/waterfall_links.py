"""An explanation goes in, what connections earn over several links comes out: a row for each link, one time scale."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.errors import TrialError
from supalab.figures.waterfall import EARNED, LOST, UNTOLD, key, look_of
from supalab.measure.explain.result import Explanation, LinkStep
from supalab.measure.explain.words import failures, link_about, link_headline, link_lines
from supalab.report.plot import CLEAR, INK, MUTED, WIDTH_IN, Picture, describe_on, head, styled

__all__ = ["by_link", "draw_by_link"]

ROW_IN, GAP_ROWS, HEAD_IN, FOOT_IN = 0.36, 0.55, 1.1, 1.3
BAR = 0.62


def by_link(found: Explanation, *, fig: Figure | None = None) -> Figure:
    """Draw for how much shorter a request holds its slot, for each factor and link; draws on ``fig`` if one is given.

    Raises TrialError if no links were measured.
    """
    if not found.links:
        raise TrialError("this explanation has no links: measure it with links=True")
    places = _places(found.links)
    with styled():
        fig = fig or Picture(figsize=(WIDTH_IN, HEAD_IN + FOOT_IN + ROW_IN * (places[-1] + 1)))
        height = fig.get_figheight()
        ax = fig.add_axes((0.4, FOOT_IN / height, 0.575, 1 - (HEAD_IN + FOOT_IN) / height))
        draw_by_link(ax, found)
        _names(ax, found.links, places)
        head(fig, link_headline(found), link_about(found))
        key(fig, [EARNED, LOST, UNTOLD])
        foot = (
            "A request holds its slot from the moment it may go to its answer; before → after, medians of the rounds."
        )
        fig.text(16 / 72 / WIDTH_IN, 0.32 / height, foot, fontsize=9.5, color=MUTED)
    describe_on(fig, " ".join([f"{link_headline(found)}, {link_about(found)}.", *link_lines(found), *failures(found)]))
    return fig


def draw_by_link(ax: Axes, found: Explanation) -> None:
    """Draw earned milliseconds to the right of zero, lost ones to its left; the spread as a whisker."""
    ends = [0.0]
    for step, place in zip(found.links, _places(found.links), strict=True):
        got = found.slot_ms(step)
        look = look_of(got)
        ax.barh(place, got.middle, BAR, color=look.face, hatch=look.hatch, edgecolor=look.edge, linewidth=1.0, zorder=3)
        ax.plot([got.lowest, got.highest], [place] * 2, "-", color=INK, lw=1.4, marker="|", markersize=6, zorder=5)
        before, after = (sorted(found.slots_ms(side)) for side in (step.before, step.after))
        said = f"{_middle(before):.0f} → {_middle(after):.0f} ms"
        furthest = max(0.0, got.highest)
        ax.annotate(
            said, (furthest, place), xytext=(8, 0), textcoords="offset points", va="center", fontsize=10, color=INK,
            bbox=CLEAR, zorder=6,
        )  # fmt: skip
        ends += [got.lowest, got.highest]
    _frame(ax, ends, _places(found.links))


def _frame(ax: Axes, ends: Sequence[float], places: Sequence[float]) -> None:
    low, high = min(ends), max(ends)
    ax.set(xlim=(low - 0.04 * (high - low or 1), high + 0.22 * (high - low or 1)), ylim=(places[-1] + 0.6, -0.6))
    ax.axvline(0, color=INK, linewidth=1.0, zorder=4)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.grid(visible=True, axis="x")
    ax.set_xlabel("milliseconds that a request earns (to the right) or loses (to the left)", loc="left")


def _middle(values: Sequence[float]) -> float:
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def _places(steps: Sequence[LinkStep]) -> list[float]:
    """A row for each link, and a gap before another factor."""
    keys = list(dict.fromkeys(step.factor for step in steps))
    return [place + GAP_ROWS * keys.index(step.factor) for place, step in enumerate(steps)]


def _names(ax: Axes, steps: Sequence[LinkStep], places: Sequence[float]) -> None:
    """Write the factor at the left edge of the picture, once, and every row's link beside the row."""
    factor_at, link_at, seen = -0.4 * WIDTH_IN * 72 + 16, -0.115 * WIDTH_IN * 72, set()
    for step, place in zip(steps, places, strict=True):
        first = step.factor not in seen
        seen.add(step.factor)
        lines = [(step.link, link_at, 10.0)]
        lines += [(step.change.replace(", then ", " → "), factor_at, 11.0)] if first else []
        for text, left, size in lines:
            ax.annotate(
                text, (0, place), xycoords=ax.get_yaxis_transform(), xytext=(left, 0), textcoords="offset points",
                va="center", fontsize=size, color=INK, annotation_clip=False, fontweight="bold" if size > 10 else None,
            )  # fmt: skip
