"""What all figures share: colours, titles and labels, lines over limits, text descriptions, and saving."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from supalab.errors import SettingsError
from supalab.report.files import write

if TYPE_CHECKING:
    import pandas as pd

STYLE = Path(__file__).parent.parent / "supalab.mplstyle"
INK, MUTED = "#1b2733", "#5b6773"
OTHER = "#7d8790"
# Behind text, so that no grid line runs through it.
CLEAR = {"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"}
ABOVE: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "left", "va": "bottom"}
#: The width of every figure and of the margin next to its text, in inches.
WIDTH_IN, MARGIN_IN = 11.0, 16 / 72
# By kind of client: colour, marker, dash. Lightness differs as well as hue, so that they differ in grey too; no pair
# differs only in red and green. Our client has the thick line.
LOOKS: Mapping[str, tuple[str, str, str]] = {
    "real": ("#1d4f91", "o", "-"),
    "real-httpx": ("#1d4f91", "o", "--"),
    "article": ("#6f8fd0", "s", "-"),
    "httpx": ("#6f8fd0", "s", "-"),
    "httpx2": ("#a9bde6", "D", "-"),
    "kept": ("#8463a8", "P", "-."),
    "aiohttp": ("#2a9d8f", "^", "-"),
    "supabase": ("#b3446c", "P", "-"),
    "to-thread": ("#d48aa6", "P", ":"),
    "session": ("#c9772b", "D", "-"),
    "fake": ("#f0a02f", "X", "--"),
    "blocking": ("#3d4650", "v", ":"),
}
# Names at the ends of lines are at least so many points apart.
GAP_PT = 14.0
SUFFIXES = {".png", ".svg", ".pdf"}


def colour(arm: str) -> str:
    """Return the colour of an arm: that of its kind."""
    return look(arm.rpartition("-")[0])[0]


def look(kind: str) -> tuple[str, str, str]:
    """Return colour, marker and dash of a kind of client."""
    return LOOKS.get(kind, (OTHER, "D", "-"))


def pale(arm: str) -> str:
    """Return a tint of the arm's colour, for waiting."""
    red, green, blue = (int(colour(arm)[at : at + 2], 16) for at in (1, 3, 5))
    return "#{:02x}{:02x}{:02x}".format(*(round(255 - 0.3 * (255 - part)) for part in (red, green, blue)))


@contextmanager
def styled() -> Iterator[None]:
    """Draw with the project's style and ignore the caller's own matplotlib settings."""
    with mpl.style.context(["default", str(STYLE)]):
        yield


@contextmanager
def sheet(
    title: str, about: str, words: Iterable[str], shape: tuple[int, int], body_in: float, *, foot: str = "",
    fig: Figure | None = None, head_in: float = 1.45, foot_in: float = 1.0, left: float = 0.06, right: float = 0.985,
    **grid: Any,
) -> Iterator[tuple[Figure, list[Axes]]]:  # fmt: skip
    """Begin a figure in the project's style, or continue with ``fig``; yield it and its panels, row by row.

    ``title`` and ``about`` stand above the panels, ``foot`` below; ``words``: the sentences of the text description.
    ``body_in``: inches for the panels, between a head and a foot; ``grid``: how they share them, as in ``GridSpec``.
    """
    with styled():
        fig = fig or Picture(figsize=(WIDTH_IN, head_in + body_in + foot_in))
        high = fig.get_figheight()
        places = fig.add_gridspec(*shape, left=left, right=right, top=1 - head_in / high, bottom=foot_in / high, **grid)
        fig.text(MARGIN_IN / WIDTH_IN, 1 - 0.42 / high, title, fontsize=16, fontweight="bold", color=INK)
        fig.text(MARGIN_IN / WIDTH_IN, 1 - 0.72 / high, about, fontsize=11, color=MUTED)
        fig.text(MARGIN_IN / WIDTH_IN, 0.16 / high, foot, fontsize=9.5, color=MUTED, va="bottom")
        describe_on(fig, " ".join(words))
        yield fig, [fig.add_subplot(places[at]) for at in range(shape[0] * shape[1])]


def nothing(title: str) -> Figure:
    """Draw a figure that says that nothing was measured."""
    with sheet(title, "", [title + "."], (1, 1), 1.0) as (fig, (ax,)):
        ax.set_xticks([])
        not_seen(ax, "not measured")
    return fig


class Picture(Figure):
    """A matplotlib Figure with a text description, which a notebook shows as its alternative text."""

    @property
    def description(self) -> str:
        """What the figure shows, in sentences."""
        return description(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.description}

    def html(self) -> str:
        """Return the figure as an HTML image that contains its data."""
        buffer = io.BytesIO()
        _write(self, buffer, "png")
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        alt, width = html.escape(self.description, quote=True), round(self.get_figwidth() * 100)
        return (
            f'<img alt="{alt}" src="data:image/png;base64,{data}" width="{width}" '
            'style="max-width:100%;height:auto;background:white">'
        )


def describe_on(fig: Figure, text: str) -> None:
    """Put the description on a figure."""
    fig.supalab_description = text  # type: ignore[attr-defined]


def description(fig: Figure) -> str:
    """Return the text description of a figure, ``""`` if there is none."""
    return str(getattr(fig, "supalab_description", ""))


def check_suffix(path: Path) -> None:
    """Raise SettingsError unless the name ends with a supported kind of picture."""
    if path.suffix.lower() not in SUFFIXES:
        raise SettingsError(f"cannot draw {str(path)!r}: use a name that ends in {', '.join(sorted(SUFFIXES))}")


def save(fig: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, SVG or PDF, by the name's ending, with its description inside; return the path.

    Same figure, same bytes. Raises SettingsError for another ending, or if the file cannot be written.
    """
    path = Path(path)
    check_suffix(path)
    buffer = io.BytesIO()
    kind = path.suffix.lower()[1:]
    _write(fig, buffer, kind)
    data = _small(buffer, description(fig)) if kind == "png" else buffer.getvalue()
    return write(data, path)


def _small(buffer: io.BytesIO, text: str) -> bytes:
    """Return a PNG with a palette of 256 colours: flat colours lose nothing, and the file is a third of the size."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    words, small = PngInfo(), io.BytesIO()
    words.add_itxt("Description", text)
    with Image.open(buffer) as full:
        drawn = full.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        drawn.save(small, "png", optimize=True, pnginfo=words, dpi=full.info["dpi"])
    return small.getvalue()


def _write(fig: Figure, buffer: io.BytesIO, kind: str) -> None:
    # No date and no version of the program: two runs must give the same bytes.
    metadata: dict[str, dict[str, str | None]] = {
        "png": {"Description": description(fig), "Software": None},
        "svg": {"Description": description(fig), "Date": None, "Creator": None},
        "pdf": {"Subject": description(fig), "CreationDate": None, "Creator": None, "Producer": None},
    }
    with styled():
        fig.savefig(buffer, format=kind, metadata=metadata[kind])


def legend(on: Figure | Axes, parts: Iterable[tuple[str, str, str, str]], *, line: float = 0.0, **how: Any) -> None:
    """Explain colours and hatches: a patch for each name, face, hatch and edge; ``how``: arguments of ``legend``.

    ``line``: the width of the edges.
    """
    patches = [
        Patch(label=name, facecolor=face, hatch=hatch, edgecolor=edge, linewidth=line)
        for name, face, hatch, edge in parts
    ]
    usual: dict[str, Any] = {"loc": "lower left", "ncols": len(patches), "frameon": False, "fontsize": 9.5}
    close = {"handlelength": 1.4, "columnspacing": 1.6, "borderpad": 0}
    on.legend(handles=patches, **usual | close | how)


def row_label(ax: Axes, name: str, lines: Sequence[str]) -> None:
    """Write a name and smaller lines under it at the figure's left edge, next to a panel of the first column."""
    left, at = 72 * (MARGIN_IN - ax.get_position().x0 * WIDTH_IN), {**ABOVE, "annotation_clip": False}
    ax.annotate(name, (0, 0.5), xytext=(left, 5), fontsize=13, fontweight="bold", color=INK, **at)
    ax.annotate("\n".join(lines), (0, 0.5), xytext=(left, 1), fontsize=9.5, color=MUTED, **{**at, "va": "top"})


def panel_title(ax: Axes, title: str, note: str) -> None:
    """Write a panel's title and a smaller line below it."""
    ax.set_title(title, pad=24)
    ax.annotate(note, (0, 1), xytext=(0, 9), color=MUTED, fontsize=9.5, **ABOVE | {"va": "baseline"})


def label(ax: Axes, text: str, at: tuple[float, float], by: tuple[float, float] = (7, 0), **how: Any) -> None:
    """Write words next to a point, ``by`` so many points to the right and up, on a background that hides the grid."""
    across = "center" if not by[0] else "left" if by[0] > 0 else "right"
    up = "center" if not by[1] else "bottom" if by[1] > 0 else "top"
    ax.annotate(text, at, xytext=by, textcoords="offset points", **{"ha": across, "va": up, "bbox": CLEAR, **how})


def dots(ax: Axes, values: Sequence[float], place: float, size: float = 4) -> None:
    """Draw the values of repeated trials on a bar, a dot for each; a single value needs no dot."""
    if len(values) > 1:
        ax.plot(values, [place] * len(values), "o", color=INK, markersize=size, zorder=4)


def not_seen(ax: Axes, text: str) -> None:
    """Write into a panel that there is no data to draw."""
    ax.set_yticks([])
    label(ax, text, (0.5, 0.5), (0, 0), xycoords="axes fraction", color=MUTED, style="italic")


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
    """Draw a line for each kind over its limits: the middle of the repeats of ``y``, with a bar from lowest to highest.

    ``ticks``: the numbers on the x axis (the measured limits); ``room``: the space for the names, as a power of the
    axis' range; ``log``: whether the y axis is logarithmic too. ``middle``: median or mean. ``hollow``: unreliable
    points, as (kind, limit). ``stars``: the limit of each kind that is marked; ``notes`` follow the names.
    """
    if rows.empty:
        ax.set_xticks([])
        not_seen(ax, "not measured")
        return
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
    _name_lines(ax, ends, notes or {})


def response_axes(ax: Axes, rates: Sequence[float], low_s: float, top_s: float) -> None:
    """Make the axes for response time (seconds, logarithmic) against arrival rate."""
    _log_values(ax)
    ax.set(ylim=(low_s, top_s), xlim=(0, 1.04 * max(rates, default=1.0)))
    ax.set_xlabel("arrival rate: requests per second", loc="left")
    ax.grid(visible=True)


def rule(ax: Axes, height: float, text: str, left: float = 0.0) -> None:
    """Draw a dotted line at this height, with its name above it."""
    ax.axhline(height, color=MUTED, linewidth=1.2, linestyle=(0, (2, 2)), zorder=2)
    label(
        ax, text, (left, height), (6, 4), xycoords=("axes fraction", "data"), color=MUTED, fontsize=9.5, va="baseline"
    )


def _draw(ax: Axes, kind: str, line: pd.Series[float], hollow: Collection[int]) -> None:
    shade, marker, dash = look(kind)
    thick = kind == "real"
    points: dict[str, Any] = {"marker": marker, "markersize": 7.5 if thick else 6.5, "zorder": 3 + thick}
    edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.7}
    ax.plot(line.index, line, dash, color=shade, linewidth=3.2 if thick else 1.9, **points, **edge)
    empty, edge = line[line.index.isin(hollow)], {"markeredgecolor": shade, "markeredgewidth": 1.5}
    if len(empty):
        ax.plot(empty.index, empty, linestyle="none", color="white", **points, **edge)


def _log_axis(ax: Axes, ticks: Sequence[int], label: str, room: float) -> None:
    """Make the x axis logarithmic with these ticks, and leave room on the right for the lines' names."""
    wide = max(ticks[-1] / ticks[0], 10)
    ax.set_xlim(ticks[0] * 0.8, ticks[-1] * wide**room)  # first, because a single point gives the axis no limits
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(label, loc="left")
    ax.grid(visible=True)


def _log_values(ax: Axes) -> None:
    """Make the y axis logarithmic, with plain numbers."""
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
    """Move ascending heights ``GAP_PT`` apart, none below ``floor``, with as little change as possible.

    Without the gaps this is the closest sequence that never falls (isotonic regression, by its min-max formula).
    """
    bare = [height - GAP_PT * place for place, height in enumerate(heights)]
    found = []
    for place in range(len(bare)):
        least = [min(mean(bare[low:high]) for high in range(place + 1, len(bare) + 1)) for low in range(place + 1)]
        found.append(max(*least, floor) + GAP_PT * place)
    return found
