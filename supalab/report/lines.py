"""Draw a line for each kind of client on a logarithmic axis, with its spread and its name at the end."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from supalab.report.plot import CLEAR, COLOURS, INK, MUTED, OTHER, label, not_seen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["against", "look", "response_axes", "rule"]

# By kind of client: colour, marker, dash. Lightness differs as well as hue; ours is the thick one.
LOOKS: Mapping[str, tuple[str, str, str]] = {
    "real": (COLOURS["real"], "o", "-"),
    "real-httpx": (COLOURS["real"], "o", "--"),
    "article": (COLOURS["article"], "s", "-"),
    "httpx": (COLOURS["article"], "s", "-"),
    "httpx2": ("#a9bde6", "D", "-"),
    "kept": ("#8463a8", "P", "-."),
    "aiohttp": ("#2a9d8f", "^", "-"),
    "supabase": ("#b3446c", "P", "-"),
    "to-thread": ("#d48aa6", "P", ":"),
    "session": (COLOURS["session"], "D", "-"),
    "fake": (COLOURS["fake"], "X", "--"),
    "blocking": ("#3d4650", "v", ":"),
}
GAP_PT = 14.0


def look(kind: str) -> tuple[str, str, str]:
    """Return colour, marker and dash of a kind of client."""
    return LOOKS.get(kind, (OTHER, "D", "-"))


def against(
    ax: Axes,
    rows: pd.DataFrame,
    y: str,
    xlabel: str,
    *,
    ticks: Sequence[int] = (),
    room: float = 0.24,
    log: bool = True,
    middle: str = "median",
    hollow: Collection[tuple[str, int]] = (),
    stars: Mapping[str, int] | None = None,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Draw a line for each kind over its limits: the middle of the repeats of ``y``, a bar from lowest to highest.

    ``ticks``: the numbers on the x axis (where something was measured); ``room``: the space for the names, as a power
    of the axis' range; ``log``: whether the y axis is logarithmic too. ``middle``: median or mean. ``hollow``:
    unreliable points, as (kind, limit). ``stars``: the limit of each kind that is marked; ``notes`` follow the names.
    """
    if rows.empty:
        ax.set_xticks([])
        return not_seen(ax, "not measured")
    if log:
        _log_values(ax)
    ends = {}
    for kind, mine in rows.groupby("kind", sort=False):
        spread = mine.groupby("limit")[y].agg([middle, "min", "max"])
        line, shade = spread[middle], look(str(kind))[0]
        _draw(ax, str(kind), line, {limit for name, limit in hollow if name == kind})
        ax.vlines(spread.index, spread["min"], spread["max"], color=shade, linewidth=1.2)
        ends[str(kind)] = (float(line.index[-1]), float(line.iloc[-1]))
        if stars is not None:
            at = stars[str(kind)]
            ax.plot(at, line[at], "*", color=shade, markersize=20, markeredgecolor=INK, markeredgewidth=1.0, zorder=6)
    _log_axis(ax, ticks or sorted(set(rows["limit"])), xlabel, room)
    low, high = rows[y].min(), rows[y].max()
    if not log:
        ax.set_ylim(bottom=0)
    elif high < 1.01 * low:  # matplotlib finds no range around a single value
        ax.set_ylim(low / 2, high * 2)
    return _name_lines(ax, ends, notes or {})


def response_axes(ax: Axes, rates: Sequence[float], low_s: float, top_s: float) -> None:
    """Make the axes for response time (seconds, logarithmic) against arrival rate."""
    _log_values(ax)
    ax.set(ylim=(low_s, top_s), xlim=(0, 1.04 * max(rates, default=1.0)))
    ax.set_xlabel("arrival rate: requests per second", loc="left")
    ax.grid(visible=True)


def rule(ax: Axes, height: float, text: str, left: float = 0.0) -> None:
    """Draw a dotted line at a height, with its name above it."""
    ax.axhline(height, color=MUTED, linewidth=1.2, linestyle=(0, (2, 2)), zorder=2)
    label(
        ax, text, (left, height), (6, 4), xycoords=("axes fraction", "data"), color=MUTED, fontsize=9.5, va="baseline"
    )


def _draw(ax: Axes, kind: str, line: pd.Series[float], hollow: Collection[int]) -> None:
    shade, marker, dash = look(kind)
    thick = kind == "real"
    ax.plot(line.index, line, dash, color=shade, linewidth=3.2 if thick else 1.9, zorder=3 + thick)
    for x, y in zip(line.index, line, strict=True):
        empty = x in hollow
        ax.plot(
            x, y, marker, color="white" if empty else shade, markersize=7.5 if thick else 6.5, zorder=4 + thick,
            markeredgecolor=shade if empty else "white", markeredgewidth=1.5 if empty else 0.7,
        )  # fmt: skip


def _log_axis(ax: Axes, ticks: Sequence[int], label: str, room: float) -> None:
    """Make the x axis a log one with these ticks, and room at its right for the lines' names."""
    wide = max(ticks[-1] / ticks[0], 10)
    ax.set_xlim(ticks[0] * 0.8, ticks[-1] * wide**room)  # first: a single point has no limits of its own
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(label, loc="left")
    ax.grid(visible=True)


def _log_values(ax: Axes) -> None:
    """Make the y axis a log one with plain numbers."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def _name_lines(ax: Axes, ends: Mapping[str, tuple[float, float]], notes: Mapping[str, str]) -> None:
    """Write each line's name next to its end without overlaps; names at the same x are moved apart."""
    each = 72.0 / ax.figure.dpi
    for column in sorted({x for x, _ in ends.values()}):
        found = sorted((float(ax.transData.transform(end)[1]) * each, kind) for kind, end in ends.items())
        here = [(height, kind) for height, kind in found if ends[kind][0] == column]
        floor = float(ax.get_window_extent().y0) * each + GAP_PT / 2
        for (height, kind), place in zip(here, _apart([height for height, _ in here], floor), strict=True):
            text = kind + notes.get(kind, "")
            ax.annotate(
                text, ends[kind], xytext=(20, place - height), textcoords="offset points", va="center", color=INK,
                fontsize=10, fontweight="bold" if kind == "real" else "normal", bbox=CLEAR, zorder=5,
                arrowprops={"arrowstyle": "-", "color": look(kind)[0], "linewidth": 1.0, "shrinkA": 0, "shrinkB": 5},
            )  # fmt: skip


def _apart(heights: Sequence[float], floor: float) -> list[float]:
    """Move ascending heights apart to ``GAP_PT``: those too close share their middle, and none is below ``floor``."""
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _spread(groups[-2], floor)[-1] + GAP_PT > _spread(groups[-1], floor)[0]:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [place for group in groups for place in _spread(group, floor)]


def _spread(group: Sequence[float], floor: float) -> list[float]:
    bottom = max(sum(group) / len(group) - GAP_PT * (len(group) - 1) / 2, floor)
    return [bottom + GAP_PT * place for place in range(len(group))]
