"""Draw what changes saved: horizontal bars that look saved, lost or within noise, with words and the rounds' spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.measure.compare import Difference
from supalab.report.plot import INK, MARGIN_IN, WIDTH_IN, key, label

__all__ = ["BAR", "LEFT", "LOST", "NOISE", "SAVED", "Bar", "Look", "bars", "key_of", "look_of", "margin"]

#: How high a bar is, of the room between two.
BAR = 0.6


class Look(NamedTuple):
    """How a change is drawn and what it is called: lightness and hatch tell as much as the hue."""

    name: str
    face: str
    hatch: str
    edge: str


SAVED = Look("saved", "#2a9d8f", "", "#1d6f65")
LOST = Look("lost", "#e3b3c6", "////", "#b3446c")
NOISE = Look("within noise", "#dfe3e7", "....", "#7d8790")
LEFT = Look("not explained by the factors", "white", "xxxx", INK)


class Bar(NamedTuple):
    """A bar with words at its end, in the colour of a level or the look of a change; ``spread``: over the rounds."""

    start: float
    end: float
    said: str
    look: Look | str
    spread: Sequence[float] = ()

    @property
    def most(self) -> float:
        """Where the words begin."""
        return max(self.start, self.end, *self.spread)


def look_of(got: Difference) -> Look:
    """Return how a difference is drawn: by its sign, or as noise."""
    if not got.above_noise:
        return NOISE
    return SAVED if got.median > 0 else LOST


def key_of(fig: Figure, looks: Sequence[Look]) -> None:
    """Name the looks in a line at the lower left."""
    at = (10 / 72 / WIDTH_IN, 0.62 / fig.get_figheight())
    key(fig, looks, line=1.0, bbox_to_anchor=at)


def bars(ax: Axes, drawn: Mapping[Any, Bar], unit: str, across: tuple[float, float]) -> None:
    """Draw bars at their places from top to bottom."""
    for place, bar in drawn.items():
        how: dict[str, Any] = {"color": bar.look}
        if isinstance(bar.look, Look):  # the edge keeps a bar visible that is thinner than a pixel
            how = {"color": bar.look.face, "hatch": bar.look.hatch, "edgecolor": bar.look.edge, "linewidth": 1.0}
        ax.barh(place, abs(bar.end - bar.start), BAR, left=min(bar.start, bar.end), zorder=3, **how)
        ax.plot(bar.spread, [place] * len(bar.spread), color=INK, linewidth=1.4, marker="|", markersize=6, zorder=5)
        weight = "bold" if isinstance(bar.look, str) else "normal"
        label(ax, bar.said, (bar.most, place), (9, 0), color=INK, fontsize=10, fontweight=weight, zorder=6)
    ax.set(xlim=across, ylim=(max(drawn) + 0.6, -0.6), yticks=[])
    ax.set_xlabel(unit, loc="left")
    ax.spines["left"].set_visible(False)
    ax.grid(visible=True, axis="x")


def margin(ax: Axes, place: float, said: str, left: float, up: float, **how: Any) -> None:
    """Write words in the left margin; ``left``: where, as a part of the figure's width from the panel's edge."""
    at: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "va": "center"}
    by = (72 * (left * WIDTH_IN + MARGIN_IN), up)
    ax.annotate(said, (0, place), xytext=by, annotation_clip=False, **{"fontsize": 11, "color": INK, **at, **how})
