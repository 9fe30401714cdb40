"""What the pictures of costs share: kinds of client go in, their looks and names at the ends of lines come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from supalab.figures.look import CLEAR, COLOURS, INK, MUTED, OTHER
from supalab.figures.side import WIDTH_IN

__all__ = ["foot", "log_axis", "log_values", "look", "name_lines", "panel_title"]

# Lightness, marker and dash differ as well as hue; ours is the thick one.
LOOKS: Mapping[str, tuple[str, str, str]] = {
    "real": (COLOURS["real"], "o", "-"),
    "article": (COLOURS["article"], "s", "-"),
    "kept": ("#8463a8", "P", "-."),
    "session": (COLOURS["session"], "D", "-"),
    "fake": (COLOURS["fake"], "X", "--"),
    "blocking": ("#3d4650", "v", ":"),
}
GAP_PT = 14.0


def look(kind: str) -> tuple[str, str, str]:
    """Return colour, marker and dash of a kind of client."""
    return LOOKS.get(kind, (OTHER, "D", "-"))


def panel_title(ax: Axes, title: str, note: str) -> None:
    """Write a panel's title and a smaller line below it."""
    ax.set_title(title, pad=24)
    ax.annotate(
        note, (0, 1), xytext=(0, 9), xycoords="axes fraction", textcoords="offset points", color=MUTED, fontsize=9.5
    )


def foot(fig: Figure, text: str) -> None:
    """Write the fine print at the bottom left."""
    fig.text(16 / 72 / WIDTH_IN, 0.16 / fig.get_figheight(), text, fontsize=9.5, color=MUTED, va="bottom")


def log_axis(ax: Axes, ticks: Sequence[int], label: str) -> None:
    """Make the x axis a log one with these ticks, and room at its right for the lines' names."""
    ax.set(xscale="log", xlim=(ticks[0] * 0.8, ticks[-1] * (ticks[-1] / ticks[0]) ** 0.24))
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(label, loc="left")
    ax.grid(visible=True)


def log_values(ax: Axes) -> None:
    """Make the y axis a log one with plain numbers."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def name_lines(ax: Axes, ends: Mapping[str, tuple[float, float]], notes: Mapping[str, str] | None = None) -> None:
    """Write each line's name beside its end, apart from each other; ends at one place on the x axis make way."""
    each = 72.0 / ax.figure.dpi
    for column in sorted({x for x, _ in ends.values()}):
        found = sorted((float(ax.transData.transform(end)[1]) * each, kind) for kind, end in ends.items())
        here = [(height, kind) for height, kind in found if ends[kind][0] == column]
        floor = float(ax.get_window_extent().y0) * each + GAP_PT / 2
        for (height, kind), place in zip(here, _apart([height for height, _ in here], floor), strict=True):
            text = kind + (notes or {}).get(kind, "")
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
