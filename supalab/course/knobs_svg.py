"""Lanes, staircases and axes as SVG: times go in, text comes out.

Pure text, no plotting library: a picture that follows a knob is drawn anew many times a second, and must not lag.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from supalab.report.plot import INK, MUTED, OTHER

__all__ = [
    "WIDTH", "Bar", "Box", "Drawn", "Line", "chart", "lanes", "marked", "sheet", "text", "time_axis", "waiting",
]  # fmt: skip

WIDTH = 900
LANE, GAP = 30.0, 3.0
GRID, PALE, DARK = "#e6e9ed", "#d3d9df", "#3b4754"
#: What a bar is filled with: the server's time, a request's own round trip, and the two that a new connection costs.
FILLS = {"server": OTHER, "trip": PALE, "tcp": "url(#tcp)", "tls": "url(#tls)"}
PATTERNS = (
    '<defs><pattern id="tcp" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    f'<rect width="5" height="5" fill="white"/><rect width="1.8" height="5" fill="{DARK}"/></pattern>'
    '<pattern id="tls" width="5" height="5" patternUnits="userSpaceOnUse"><rect width="5" height="5" fill="white"/>'
    f'<circle cx="2.5" cy="2.5" r="1.6" fill="{DARK}"/></pattern></defs>'
)


# Words are read over bars and lines too.
HALO = ' stroke="white" stroke-width="3.5" paint-order="stroke" stroke-linejoin="round"'


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture as SVG that carries its description, and shows itself in a notebook with it as alternative text."""

    svg: str
    description: str

    def html(self) -> str:
        """Return the picture as an HTML image, data and all."""
        data = base64.b64encode(self.svg.encode()).decode("ascii")
        return (
            f'<img alt="{html.escape(self.description, quote=True)}" src="data:image/svg+xml;base64,{data}" '
            f'width="{WIDTH}" style="display:block;max-width:100%;height:auto;background:white">'
        )

    def __str__(self) -> str:
        return self.description

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.description}


@dataclass(frozen=True, slots=True)
class Box:
    """A place on the sheet in pixels, with the scale of its time axis: ``until`` seconds are as wide as the box."""

    left: float
    top: float
    width: float
    height: float
    until: float

    @property
    def floor(self) -> float:
        """The lower edge."""
        return self.top + self.height

    def x(self, seconds: float) -> float:
        """Return where a second lies."""
        return self.left + self.width * seconds / self.until


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a request: its lane, from when to when (seconds), and its filling: a key of ``FILLS`` or a colour."""

    lane: int
    began: float
    ended: float
    fill: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart: (x, y) points, whether it is dashed, and a label at its end."""

    points: tuple[tuple[float, float], ...]
    dashed: bool = False
    label: str = ""


def sheet(height: float, parts: Sequence[str]) -> str:
    """Return the parts as one SVG on a white ground, so that it reads on a dark page too."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" font-family="DejaVu Sans, Verdana, sans-serif" font-size="12">'
        f'{PATTERNS}<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>'
    )


def text(
    x: float, y: float, words: str, *, size: float = 12, bold: bool = False, anchor: str = "start", ink: str = MUTED
) -> str:
    """Return words at a place."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{ink}" text-anchor="{anchor}"{weight}{HALO}>'
        f"{html.escape(words)}</text>"
    )


def lanes(box: Box, bars: Sequence[Bar], number: int) -> list[str]:
    """Draw bars in so many lanes from the top down; a lane is as high as the box has room for, 30 pixels at most."""
    pitch = min(box.height / number, LANE)
    # Where lanes are thinner than their gaps, bars touch, and a bar that stands alone stays visible.
    high = pitch - GAP if pitch > 3 * GAP else max(pitch * 0.8, 2.5)
    parts = []
    for bar in bars:
        left, right = box.x(bar.began), box.x(bar.ended)
        edge = f' stroke="{DARK}" stroke-width="0.7"' if bar.fill in ("tcp", "tls") and pitch > 3 * GAP else ""
        place = f'x="{left:.1f}" y="{box.top + pitch * bar.lane:.1f}" width="{max(right - left - 1, 0.6):.1f}"'
        parts.append(f'<rect {place} height="{high:.1f}" fill="{FILLS.get(bar.fill, bar.fill)}"{edge}/>')
    return parts


def waiting(box: Box, starts: Sequence[float]) -> list[str]:
    """Draw how many requests still wait for a slot, given when each took its slot: a staircase down to nothing."""
    most, now = len(starts), len(starts)
    points = [f"{box.left:.1f},{box.top:.1f}"]
    for start in sorted(starts):
        points.append(f"{box.x(start):.1f},{box.floor - box.height * now / most:.1f}")
        now -= 1
        points.append(f"{box.x(start):.1f},{box.floor - box.height * now / most:.1f}")
    return [
        f'<polyline points="{" ".join(points)}" fill="none" stroke="{DARK}" stroke-width="1.6"/>',
        text(box.left - 8, box.top + 10, str(most), size=11, anchor="end"),
        text(box.left - 8, box.floor, "0", size=11, anchor="end"),
    ]


def marked(box: Box, second: float, words: str, *, dashed: bool = False, y: float = 0.0) -> list[str]:
    """Draw a moment as a line from top to bottom, with words beside it where there is room."""
    x, way = box.x(second), ' stroke-dasharray="5 4"' if dashed else ""
    right = x > box.left + 0.6 * box.width
    return [
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{box.top:.1f}" y2="{box.floor:.1f}" stroke="{MUTED if dashed else INK}" '
        f'stroke-width="1.5"{way}/>',
        text(x - 6 if right else x + 6, y or box.top + 12, words, anchor="end" if right else "start", ink=INK),
    ]


def time_axis(box: Box, *, labels: bool = True, most: int = 6) -> list[str]:
    """Draw the grid of seconds behind a box, and its numbers below."""
    step, parts = _step(box.until, most), []
    for tick in (step * n for n in range(int(box.until / step + 1e-9) + 1)):
        x = box.x(tick)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{box.top:.1f}" y2="{box.floor:.1f}" stroke="{GRID}"/>')
        parts += [text(x, box.floor + 15, f"{tick:g} s", size=11, anchor="middle")] * labels
    return parts


def _step(until: float, most: int) -> float:
    tens = 10.0 ** math.floor(math.log10(until / most))
    return next(tens * factor for factor in (1, 2, 5, 10) if until / (tens * factor) <= most)


def chart(
    box: Box, lines: Sequence[Line], dot: tuple[float, float], *, x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[tuple[float, str]], logarithmic: bool = False,
) -> list[str]:  # fmt: skip
    """Draw lines over a row of numbers, with a dot where the knobs stand; ``until`` of the box is the x at its right.

    The lowest and the highest of ``y_ticks`` are the box's floor and top.
    """
    bend: Callable[[float], float] = math.log10 if logarithmic else float
    low, high = bend(y_ticks[0][0]), bend(y_ticks[-1][0])

    def y(value: float) -> float:
        return box.floor - box.height * (bend(value) - low) / (high - low)

    parts = []
    for value, words in y_ticks:
        place = f'x1="{box.left:.1f}" x2="{box.left + box.width:.1f}" y1="{y(value):.1f}" y2="{y(value):.1f}"'
        parts.append(f'<line {place} stroke="{GRID}"/>')
        parts.append(text(box.left - 6, y(value) + 4, words, size=11, anchor="end"))
    parts += [text(box.x(value), box.floor + 15, words, size=11, anchor="middle") for value, words in x_ticks]
    for line in lines:
        points = " ".join(f"{box.x(one):.1f},{y(other):.1f}" for one, other in line.points)
        look = f'stroke="{MUTED}" stroke-dasharray="5 4"' if line.dashed else f'stroke="{INK}"'
        parts.append(f'<polyline points="{points}" fill="none" stroke-width="1.8" {look}/>')
        last = line.points[-1]
        parts += [text(box.x(last[0]), y(last[1]) - 7, line.label, size=11, anchor="end", ink=INK)] * bool(line.label)
    return [*parts, f'<circle cx="{box.x(dot[0]):.1f}" cy="{y(dot[1]):.1f}" r="5" fill="{INK}" stroke="white"/>']
