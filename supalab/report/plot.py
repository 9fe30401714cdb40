"""The plot kit that all figures share: colours, heads and labels, axes, a figure that describes itself, saving."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from supalab.errors import SettingsError

__all__ = [
    "ABOVE", "CLEAR", "COLOURS", "INK", "MUTED", "OTHER", "WIDTH_IN", "Picture", "check_suffix", "colour",
    "describe_on", "description", "foot", "head", "log_axis", "log_values", "look", "name_lines", "pale",
    "panel_title", "row_label", "save", "styled",
]  # fmt: skip

STYLE = Path(__file__).parent.parent / "supalab.mplstyle"
INK, MUTED = "#1b2733", "#5b6773"
# By kind of client; light and dark, so that they stay apart in grey too; no red is told from a green.
COLOURS = {"fake": "#f0a02f", "session": "#c9772b", "article": "#6f8fd0", "real": "#1d4f91"}
OTHER = "#7d8790"
# Behind text, so that no grid line runs through it.
CLEAR = {"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"}
ABOVE: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "left", "va": "bottom"}
#: The width of every figure, in inches.
WIDTH_IN = 11.0
SUFFIXES = {".png", ".svg", ".pdf"}
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


def colour(arm: str) -> str:
    """Return the colour of an arm: that of its kind."""
    return COLOURS.get(arm.rpartition("-")[0], OTHER)


def pale(arm: str) -> str:
    """Return a tint of the arm's colour, for waiting."""
    red, green, blue = (int(colour(arm)[at : at + 2], 16) for at in (1, 3, 5))
    return "#{:02x}{:02x}{:02x}".format(*(round(255 - 0.3 * (255 - part)) for part in (red, green, blue)))


@contextmanager
def styled() -> Iterator[None]:
    """Use the project's style for what is drawn inside, and nothing of the caller's own settings."""
    with mpl.style.context(["default", str(STYLE)]):
        yield


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
    """Return the description that was put on a figure, ``""`` if there is none."""
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
    try:
        path.write_bytes(data)
    except OSError as error:
        raise SettingsError(f"cannot write {str(path)!r}: {error.strerror or error}; choose another path") from None
    return path


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
    """Write a title and a line about it at the top left."""
    height = fig.get_figheight()
    fig.text(16 / 72 / WIDTH_IN, 1 - 0.42 / height, title, fontsize=16, fontweight="bold", color=INK)
    fig.text(16 / 72 / WIDTH_IN, 1 - 0.72 / height, about, fontsize=11, color=MUTED)


def row_label(ax: Axes, name: str, lines: Sequence[str]) -> None:
    """Write a name and smaller lines under it in the left margin of the picture."""
    left, at = -0.16 * WIDTH_IN * 72 + 16, {**ABOVE, "annotation_clip": False}
    ax.annotate(name, (0, 0.5), xytext=(left, 5), fontsize=13, fontweight="bold", color=INK, **at)
    ax.annotate("\n".join(lines), (0, 0.5), xytext=(left, 1), fontsize=9.5, color=MUTED, **{**at, "va": "top"})


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
