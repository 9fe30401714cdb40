"""A ledger goes in, its picture comes out: the article's figures against those found here, and every verdict.

Each claim that has a figure is a row: the mark stands where ours is, as a multiple of the article's. Above them is a
mark for every claim, so that those without a figure are seen too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from supalab.measure.claims.judging import CANNOT, FACTOR, HOLDS, NOT, OTHER, VERDICTS, Verdict
from supalab.measure.claims.ledger import Ledger, Line
from supalab.report.plot import CLEAR, INK, MUTED, WIDTH_IN, Picture, describe_on, head, styled

__all__ = ["LOOKS", "draw_against_article", "draw_verdicts", "ledger_picture"]

#: Marker and colour of a verdict: shape and lightness differ as well as hue.
LOOKS: Mapping[Verdict, tuple[str, str]] = {
    HOLDS: ("o", "#1d4f91"),
    OTHER: ("D", "#f0a02f"),
    NOT: ("X", "#b3446c"),
    CANNOT: ("o", "white"),
}
NAMES = dict(zip(VERDICTS, ("hold", "hold for another reason", "do not hold", "cannot be tested here"), strict=True))
HEAD_IN, MARKS_IN, ROW_IN, FOOT_IN = 1.0, 1.0, 0.27, 0.62
LEFT, RIGHT = 0.44, 0.965
LEAST, MOST = 0.03, 33.0
# More letters would run out of the picture at its left.
LONGEST = 46


def ledger_picture(ledger: Ledger, *, fig: Figure | None = None) -> Figure:
    """Draw every verdict, and below each figure found here over the article's, on a scale of ratios.

    Draws on ``fig`` if one is given. A figure of nought or below, such as memory that grew where some was to be saved,
    stands at the left end of the scale, and its number beside it.
    """
    lines = [line for line in ledger.lines if line.claim.figure is not None and line.value is not None]
    height = HEAD_IN + MARKS_IN + ROW_IN * max(len(lines), 1) + FOOT_IN
    with styled():
        fig = fig or Picture(figsize=(WIDTH_IN, height))
        whole = fig.get_figheight()
        top = 1 - HEAD_IN / whole
        marks = fig.add_axes((16 / 72 / WIDTH_IN, top - 0.62 / whole, RIGHT - 16 / 72 / WIDTH_IN, 0.62 / whole))
        draw_verdicts(marks, ledger)
        rows = fig.add_axes((LEFT, FOOT_IN / whole, RIGHT - LEFT, top - (MARKS_IN + FOOT_IN) / whole))
        draw_against_article(rows, lines)
        head(fig, _title(ledger), _about(ledger))
    describe_on(fig, _described(ledger, lines))
    return fig


def draw_verdicts(ax: Axes, ledger: Ledger) -> None:
    """Draw a mark for every claim, in groups by verdict, with the number and the verdict's name under each group."""
    ax.axis("off")
    at, gap = 0.0, 2.2
    counts = ledger.counts
    for verdict in VERDICTS:
        number = counts[verdict]
        ax.plot([at + step for step in range(number)], [1] * number, **_mark(verdict, 7.5))
        ax.annotate(
            f"{number} {NAMES[verdict]}", (at - 0.45, 1), xytext=(0, -24), textcoords="offset points", fontsize=10.5,
            color=INK,
        )  # fmt: skip
        # A group is at least as wide as its name.
        at += max(number, len(NAMES[verdict]) * 0.42 + 1.3) + gap
    ax.set(xlim=(-0.6, max(at, 60.0)), ylim=(0, 1.6))


def draw_against_article(ax: Axes, lines: Sequence[Line]) -> None:
    """Draw each figure found here over the article's; the band is what counts as the same figure."""
    if not lines:
        ax.set(xticks=[], yticks=[])
        ax.annotate("no claim with a figure was tested", (0.5, 0.5), xycoords="axes fraction", ha="center")
        return
    ax.axvspan(1 / FACTOR, FACTOR, color="#e8edf3", zorder=0, linewidth=0)
    ax.axvline(1, color=MUTED, linewidth=1.2, zorder=1)
    for row, line in enumerate(lines):
        place = _place(line)
        ax.plot([1, place], [row, row], color="#c3cad2", linewidth=1.4, zorder=2)
        ax.plot([place], [row], zorder=3, **_mark(line.verdict, 8.5))
        left = place < 1
        # In the half where the mark is not, so that no number runs into a line.
        ax.annotate(
            line.here, (place, row), xytext=(-9 if left else 9, 0), textcoords="offset points", va="center",
            ha="right" if left else "left", fontsize=10, color=INK, bbox=CLEAR, zorder=4,
        )  # fmt: skip
    ax.set_yticks(range(len(lines)), [_label(line) for line in lines])
    ax.set(xscale="log", xlim=(LEAST / 5, MOST), ylim=(len(lines) - 0.4, -0.6))
    ax.xaxis.set_major_locator(FixedLocator([0.03, 0.1, 0.3, 1, 3, 10, 30]))
    ax.set_xticklabels(["1/30", "1/10", "1/3", "as claimed", "3x", "10x", "30x"])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="y", length=0, labelsize=10)
    ax.grid(visible=True, axis="x")
    ax.set_xlabel("found here, as a multiple of the article's figure", loc="left")


def _label(line: Line) -> str:
    return f"{textwrap.shorten(line.claim.claim, LONGEST, placeholder='…')}: {line.claim.stated}"


def _place(line: Line) -> float:
    ratio = (line.value or 0.0) / (line.claim.figure or 1.0)
    return min(max(ratio, LEAST), MOST / 1.3)


def _mark(verdict: Verdict, size: float) -> dict[str, Any]:
    marker, face = LOOKS[verdict]
    edge = INK if verdict in {CANNOT, OTHER} else face
    return {
        "linestyle": "none", "marker": marker, "markersize": size, "markerfacecolor": face, "markeredgecolor": edge,
        "markeredgewidth": 1.1,
    }  # fmt: skip


def _title(ledger: Ledger) -> str:
    n = ledger.counts
    return f"{len(ledger.lines)} claims on trial: {n[HOLDS]} hold as they were meant"


def _about(ledger: Ledger) -> str:
    size = "measured in small, times scaled back" if ledger.quick else "measured at the article's size"
    ended = "" if ledger.finished else ", interrupted"
    return f"{size}{ended}; grey band: within a factor of {FACTOR:g} of the article's figure"


def _described(ledger: Ledger, lines: Sequence[Line]) -> str:
    said = [f"The ledger of claims. {ledger.summary}"]
    said += [f"{line.claim.claim}: {line.claim.stated} claimed, {line.here} here, {line.verdict}." for line in lines]
    return " ".join(said)
