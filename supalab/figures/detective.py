"""A case goes in, its picture comes out: suspects against the figures of the article's table, ticks and crosses."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from supalab.measure.detective.case import ARTICLE, Account, Case, Cell
from supalab.report.plot import INK, MUTED, WIDTH_IN, Picture, describe_on, head, styled

__all__ = ["case_picture", "draw_matrix"]

FITS, MISSES = "#1d4f91", "#b3446c"
PALE = {True: "#e3ebf5", False: "#f7e9ef"}
HEAD_IN, ROW_IN, FOOT_IN = 0.95, 0.56, 0.12
LEFT_IN = 3.95
NAMES = {"at once": "at once", "response": "response", "throughput": "throughput", "100 requests": "100 requests"}


def case_picture(case: Case, *, fig: Figure | None = None) -> Figure:
    """Draw a row for each suspect and a column for each figure, before and after; the article's own stand on top.

    Draws on ``fig`` if one is given.
    """
    with styled():
        fig = fig or Picture(figsize=(WIDTH_IN, HEAD_IN + ROW_IN * (len(case.accounts) + 2) + FOOT_IN))
        whole = fig.get_figheight()
        ax = fig.add_axes((0, FOOT_IN / whole, 1, 1 - (HEAD_IN + FOOT_IN) / whole))
        draw_matrix(ax, case)
        head(fig, _title(case), _about(case))
    describe_on(fig, _described(case))
    return fig


def draw_matrix(ax: Axes, case: Case) -> None:
    """Draw the matrix in inches from its top left, so that words keep their size."""
    rows = len(case.accounts) + 2
    ax.set(xlim=(0, WIDTH_IN), ylim=(rows * ROW_IN, 0))
    ax.axis("off")
    width = (WIDTH_IN - LEFT_IN - 0.3) / (2 * len(ARTICLE))
    for column, (when, figure) in enumerate((when, figure) for when in ("before", "after") for figure in ARTICLE):
        x = LEFT_IN + column * width + 0.12 * (when == "after")
        if column % len(ARTICLE) == 0:
            ax.text(x + 0.06, 0.14, when, fontsize=11.5, fontweight="bold", color=INK, va="center")
        ax.text(x + 0.06, 0.42, NAMES[figure], fontsize=8.6, color=MUTED, va="center")
        for row, account in enumerate(case.accounts):
            cell = next(c for c in account.cells if (c.figure, c.when) == (figure, when))
            if row == 0:
                ax.text(x + 0.06, 1.5 * ROW_IN, cell.stated, fontsize=10.5, fontweight="bold", color=INK, va="center")
            _cell(ax, cell, x, (row + 2) * ROW_IN, width)
    ax.text(16 / 72, 1.5 * ROW_IN, "the article", fontsize=11, fontweight="bold", color=INK, va="center")
    for row, account in enumerate(case.accounts):
        _suspect(ax, account, (row + 2.5) * ROW_IN)


def _suspect(ax: Axes, account: Account, y: float) -> None:
    all_fit = not account.missed
    ax.text(16 / 72, y, account.suspect.letter, fontsize=13, fontweight="bold", color=INK, va="center")
    ax.text(0.5, y - 0.1, account.suspect.story, fontsize=9.6, color=INK, va="center")
    said = f"{account.explained} of {len(account.cells)} figures"
    ax.text(0.5, y + 0.13, said, fontsize=9.2, color=FITS if all_fit else MUTED, va="center",
            fontweight="bold" if all_fit else "normal")  # fmt: skip


def _cell(ax: Axes, cell: Cell, x: float, y: float, width: float) -> None:
    edge = FITS if cell.fits else MISSES
    ax.add_patch(
        Rectangle((x + 0.02, y + 0.04), width - 0.04, ROW_IN - 0.08, facecolor=PALE[cell.fits], edgecolor="none")
    )
    # A tick or a cross as a line of its own: fonts differ in whether they have the signs.
    cx, cy = x + 0.13, y + ROW_IN / 2
    if cell.fits:
        ax.plot([cx - 0.045, cx - 0.01, cx + 0.055], [cy, cy + 0.05, cy - 0.06], color=edge, linewidth=2)
    else:
        for slope in (-1, 1):
            ax.plot([cx - 0.045, cx + 0.045], [cy - 0.05 * slope, cy + 0.05 * slope], color=edge, linewidth=2)
    words = cell.text.replace(", ", "\n")
    ax.text(x + 0.24, cy, words, fontsize=9.2, color=INK, va="center", linespacing=1.05)


def _title(case: Case) -> str:
    whole = [one.suspect.letter for one in case.accounts if not one.missed]
    if whole:
        return f"All of the article's figures at once: only in {_either(whole)}"
    most = max((one.explained for one in case.accounts), default=0)
    return f"No story has all of the article's figures at once: {most} of {2 * len(ARTICLE)} at best"


def _either(letters: list[str]) -> str:
    return " or ".join(part for part in (", ".join(letters[:-1]), letters[-1]) if part)


def _about(case: Case) -> str:
    size = "measured in small, times scaled back" if case.quick else "measured at full size"
    return f"{len(case.accounts)} stories against the article's table, {size}; a tick: within a factor of 1.5"


def _described(case: Case) -> str:
    return " ".join([f"The detective's matrix. {case.solution}", *(one.sentence for one in case.accounts)])
