"""What all figures share: colours, titles and labels, text descriptions, and saving."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from supalab.errors import SettingsError
from supalab.report.files import write

__all__ = [
    "ABOVE", "CLEAR", "COLOURS", "INK", "MUTED", "OTHER", "WIDTH_IN", "Picture", "check_suffix", "colour",
    "describe_on", "description", "dots", "head", "key", "label", "not_seen", "nothing", "pale", "panel_title",
    "row_label", "save", "sheet", "styled",
]  # fmt: skip

STYLE = Path(__file__).parent.parent / "supalab.mplstyle"
INK, MUTED = "#1b2733", "#5b6773"
# By kind of client; light and dark, so that they differ in grey too; no pair differs only in red and green.
COLOURS = {"fake": "#f0a02f", "session": "#c9772b", "article": "#6f8fd0", "real": "#1d4f91"}
OTHER = "#7d8790"
# Behind text, so that no grid line runs through it.
CLEAR = {"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"}
ABOVE: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "left", "va": "bottom"}
#: The width of every figure, and of the margin beside its words, in inches.
WIDTH_IN, MARGIN_IN = 11.0, 16 / 72
SUFFIXES = {".png", ".svg", ".pdf"}


def colour(arm: str) -> str:
    """Return the colour of an arm: that of its kind."""
    return COLOURS.get(arm.rpartition("-")[0], OTHER)


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
    """Begin a figure in the project's style, or go on with ``fig``; yield it and its panels, row by row.

    ``title`` and ``about`` stand above the panels, ``foot`` below; ``words``: the sentences of the text description.
    ``body_in``: inches for the panels, between a head and a foot; ``grid``: how they share them, as in ``GridSpec``.
    """
    with styled():
        fig = fig or Picture(figsize=(WIDTH_IN, head_in + body_in + foot_in))
        high = fig.get_figheight()
        places = fig.add_gridspec(*shape, left=left, right=right, top=1 - head_in / high, bottom=foot_in / high, **grid)
        head(fig, title, about)
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
    """A matplotlib Figure that carries its description, and shows itself in a notebook with it as alternative text."""

    @property
    def description(self) -> str:
        """What the picture shows, in sentences."""
        return description(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.description}

    def html(self) -> str:
        """Return the picture as an HTML image, data and all."""
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
    """Raise SettingsError unless the name ends in a kind of picture that can be written."""
    if path.suffix.lower() not in SUFFIXES:
        raise SettingsError(f"cannot draw {str(path)!r}: let its name end in {', '.join(sorted(SUFFIXES))}")


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


def head(fig: Figure, title: str, about: str) -> None:
    """Write a title and a subtitle at the top left."""
    height = fig.get_figheight()
    fig.text(MARGIN_IN / WIDTH_IN, 1 - 0.42 / height, title, fontsize=16, fontweight="bold", color=INK)
    fig.text(MARGIN_IN / WIDTH_IN, 1 - 0.72 / height, about, fontsize=11, color=MUTED)


def key(on: Figure | Axes, parts: Iterable[tuple[str, str, str, str]], **how: Any) -> None:
    """Say what colours and hatches mean: a patch for each name, face, hatch and edge; ``how`` as in ``legend``."""
    patches = [Patch(facecolor=face, hatch=hatch, edgecolor=edge, label=name) for name, face, hatch, edge in parts]
    usual = {"loc": "lower left", "ncols": len(patches), "frameon": False, "fontsize": 9.5, "handlelength": 1.4}
    on.legend(handles=patches, **usual | {"columnspacing": 1.6, "borderpad": 0, "borderaxespad": 0} | how)


def row_label(ax: Axes, name: str, lines: Sequence[str]) -> None:
    """Write a name and smaller lines under it in the left margin of the figure."""
    left, at = -0.16 * WIDTH_IN * 72 + 16, {**ABOVE, "annotation_clip": False}
    ax.annotate(name, (0, 0.5), xytext=(left, 5), fontsize=13, fontweight="bold", color=INK, **at)
    ax.annotate("\n".join(lines), (0, 0.5), xytext=(left, 1), fontsize=9.5, color=MUTED, **{**at, "va": "top"})


def panel_title(ax: Axes, title: str, note: str) -> None:
    """Write a panel's title and a smaller line below it."""
    ax.set_title(title, pad=24)
    ax.annotate(note, (0, 1), xytext=(0, 9), color=MUTED, fontsize=9.5, **ABOVE | {"va": "baseline"})


def label(ax: Axes, text: str, at: tuple[float, float], by: tuple[float, float] = (7, 0), **how: Any) -> None:
    """Write words next to a point, ``by`` so many points to the right and up, on a ground that hides the grid."""
    across = "center" if not by[0] else "left" if by[0] > 0 else "right"
    up = "center" if not by[1] else "bottom" if by[1] > 0 else "top"
    ax.annotate(text, at, xytext=by, textcoords="offset points", **{"ha": across, "va": up, "bbox": CLEAR, **how})


def dots(ax: Axes, values: Sequence[float], place: float, size: float = 4) -> None:
    """Draw the values of repeated trials on a bar, a dot for each; a single one is the bar's end."""
    if len(values) > 1:
        ax.plot(values, [place] * len(values), "o", color=INK, markersize=size, zorder=4)


def not_seen(ax: Axes, text: str) -> None:
    """Write in a panel that there is no data to draw."""
    ax.set_yticks([])
    label(ax, text, (0.5, 0.5), (0, 0), xycoords="axes fraction", color=MUTED, style="italic")
