"""Draw which rows of a table a filter finds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from supalab.report.plot import INK, MUTED, WIDTH_IN, Picture, colour, describe_on, head, styled

__all__ = ["rows_found"]

#: The ids that came back, or the reason why none could.
Found = Collection[int] | str

COLUMNS, ROW_IN, HEAD_IN, FOOT_IN = 50, 1.12, 1.45, 0.15
LABEL_AT = -0.16 * WIDTH_IN * 72 + 16
LEFT_OF: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center", "fontsize": 10}
WAYS = ("glued into the address", "passed as data")


def rows_found(typed: Mapping[str, tuple[Found, Found]], ids: Sequence[int]) -> Figure:
    """Draw the table once for each text and way, a square for each row, filled if it was found.

    ``typed``: for each text what it found glued into the address, and passed as data. ``ids``: of all rows.
    """
    height = HEAD_IN + ROW_IN * len(typed) + FOOT_IN
    with styled():
        fig = Picture(figsize=(WIDTH_IN, height))
        grid = fig.add_gridspec(
            len(typed), 2, left=0.16, right=0.985, top=1 - HEAD_IN / height, bottom=FOOT_IN / height, hspace=0.5
        )
        for row, (text, ways) in enumerate(typed.items()):
            for column, found in enumerate(ways):
                ax = fig.add_subplot(grid[row, column])
                _table(ax, found, ids)
                if row == 0:
                    ax.set_title(WAYS[column], pad=24)
                if column == 0:
                    ax.annotate(text, (0, 0.5), xytext=(LABEL_AT, 0), family="monospace", color=INK, **LEFT_OF)
        head(fig, "What was typed, and which rows came back", "a square is a row of the table; dark: it was found")
    describe_on(fig, _described(typed, len(ids)))
    return fig


def _table(ax: Axes, found: Found, ids: Sequence[int]) -> None:
    chosen = set() if isinstance(found, str) else set(found)
    for place, one in enumerate(ids):
        hit = one in chosen
        at, size = (place % COLUMNS, -(place // COLUMNS)), 0.84 if hit else 0.5
        corner = (at[0] - size / 2, at[1] - size / 2)
        ax.add_patch(Rectangle(corner, size, size, facecolor=colour("real-1") if hit else "#d5dade", linewidth=0))
    ax.set(xlim=(-1, COLUMNS), ylim=(-((len(ids) - 1) // COLUMNS) - 0.7, 0.7))
    ax.axis("off")
    ax.annotate(
        _said(found, len(ids)),
        (0, 1),
        xycoords="axes fraction",
        xytext=(4, 2),
        textcoords="offset points",
        va="bottom",
        fontsize=10,
        color=MUTED,
        annotation_clip=False,
    )


def _said(found: Found, whole: int) -> str:
    return found if isinstance(found, str) else f"{len(found)} of {whole} rows"


def _described(typed: Mapping[str, tuple[Found, Found]], whole: int) -> str:
    said = [
        f"{text!r}: {_said(glued, whole)} {WAYS[0]}, {_said(data, whole)} {WAYS[1]}."
        for text, (glued, data) in typed.items()
    ]
    return f"Rows found for what was typed. {' '.join(said)}"
