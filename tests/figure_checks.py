"""What the tests of figures ask: which texts are drawn, and whether two of them overlap."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

__all__ = ["drawn_texts", "overlap"]


def drawn_texts(fig: Figure) -> list[Any]:
    """Return the texts that are really visible: matplotlib also keeps labels of ticks outside the limits."""
    found = list(fig.texts)
    for ax in fig.axes:
        found += [*ax.texts, ax._left_title, ax.xaxis.label]
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, sorted(ax.get_ylim()))):
            ticks = [tick for tick in axis.get_major_ticks() if limits[0] <= tick.get_loc() <= limits[1]]
            found += [tick.label1 for tick in ticks if tick.label1.get_visible()]
    return [text for text in found if text.get_text().strip()]


def overlap(a: Any, b: Any) -> bool:
    """Whether two boxes overlap by more than half a pixel in both directions."""
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 0.5 and min(a.y1, b.y1) - max(a.y0, b.y0) > 0.5
