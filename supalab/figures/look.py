"""How every picture looks and how it leaves: colours and hatches of arms, a Figure that shows its words, saving."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
from matplotlib.figure import Figure

from supalab.errors import SettingsError

__all__ = ["CLEAR", "INK", "MUTED", "Picture", "colour", "describe_on", "description", "pale", "save", "styled"]

STYLE = Path(__file__).parent.parent / "supalab.mplstyle"
INK, MUTED = "#1b2733", "#5b6773"
# By kind of client; light and dark, so that they stay apart in grey too; no red is told from a green.
COLOURS = {"fake": "#f0a02f", "session": "#c9772b", "article": "#6f8fd0", "real": "#1d4f91"}
OTHER = "#7d8790"
# Behind text, so that no grid line runs through it.
CLEAR = {"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"}
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
