"""A race while it runs, as a drawing: glances at the lab go in, lanes that fill (SVG) and a line of words come out.

Pure text, no plotting library: a drawing that is made anew several times a second must cost next to nothing.
"""

from __future__ import annotations

import heapq
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from supalab.report.plot import INK, MUTED, colour

__all__ = ["Bar", "Row", "bars", "drawn", "in_words"]

WIDTH, LEFT, RIGHT, TOP, GAP = 900, 150, 24, 12, 34
LANE, MOST_LANES, MOST_BARS, STEPS = 9, 24, 600, 90
TICKS = 6


@dataclass(frozen=True, slots=True)
class Bar:
    """One request in flight: its lane, when it began and when it ended (seconds); ``None`` while it is in flight."""

    lane: int
    began: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One arm as far as it has come; ``changes`` are (seconds, requests in flight), ``second`` is now."""

    arm: str
    changes: tuple[tuple[float, int], ...] = ()
    second: float = 0.0
    served: int = 0
    peak: int = 0
    connections: int = 0
    done: bool = False

    @property
    def current(self) -> int:
        """Requests in flight now."""
        return self.changes[-1][1] if self.changes and not self.done else 0


def bars(changes: Iterable[tuple[float, int]]) -> list[Bar]:
    """Give each request a lane, from counts alone: a new one takes the lowest free lane, the oldest leaves first.

    How many are in flight is the lab's own count; which of them left first is assumed.
    """
    free: list[int] = []
    running: list[tuple[float, int]] = []  # by start: the oldest is the first
    lanes, found = 0, list[Bar]()
    for second, number in changes:
        while len(running) < number:
            lane = heapq.heappop(free) if free else (lanes := lanes + 1) - 1
            running.append((second, lane))
        while len(running) > number:
            began, lane = running.pop(0)
            heapq.heappush(free, lane)
            found.append(Bar(lane, began, second))
    return found + [Bar(lane, began, None) for began, lane in running]


def drawn(rows: Sequence[Row]) -> str:
    """Return the rows as SVG on a white ground, on one scale of seconds, which grows with the slowest."""
    until = max([row.second for row in rows] + [0.5])
    height, parts = TOP, list[str]()
    for row in rows:
        tall = LANE * max(row.peak, 1) if row.peak <= MOST_LANES else STEPS
        parts += _row(row, height, tall, (WIDTH - LEFT - RIGHT) / until)
        height += tall + GAP
    parts += _axis(height - GAP + 20, until)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>'
    )


def _row(row: Row, top: int, tall: int, scale: float) -> list[str]:
    said = f"{row.served} answered" if row.done else f"{row.current} in flight, {row.served} answered"
    parts = [
        f'<text x="12" y="{top + 11}" font-weight="bold" fill="{INK}">{html.escape(row.arm)}</text>',
        f'<text x="{LEFT}" y="{top + tall + 13}" fill="{MUTED}">{said}, at most {row.peak} at once, '
        f"{row.connections} connections{f', done after {row.second:.1f} s' if row.done else ''}</text>",
    ]
    if row.peak > MOST_LANES or len(row.changes) > 2 * MOST_BARS:
        return [*parts, _steps(row, top, tall, scale)]
    for bar in bars(row.changes):
        left, right = LEFT + scale * bar.began, LEFT + scale * (row.second if bar.ended is None else bar.ended)
        # A request in flight is an outline that is not filled yet: told apart without colour.
        look = f'fill="{colour(row.arm)}"' if bar.ended is not None else f'fill="none" stroke="{colour(row.arm)}"'
        place = f'x="{left:.1f}" y="{top + LANE * bar.lane}" width="{max(right - left - 1, 1):.1f}" height="{LANE - 2}"'
        parts.append(f"<rect {place} {look}/>")
    return parts


def _steps(row: Row, top: int, tall: int, scale: float) -> str:
    """More lanes than a screen has room for: the number in flight as one stepped area."""
    every = max(len(row.changes) // MOST_BARS, 1)
    points, last, floor = [f"{LEFT},{top + tall}"], 0, top + tall
    for second, number in [*row.changes[::every], (row.second, row.current)]:
        x = LEFT + scale * second
        points += [f"{x:.1f},{floor - tall * last / row.peak:.1f}", f"{x:.1f},{floor - tall * number / row.peak:.1f}"]
        last = number
    return f'<polygon points="{" ".join(points)} {points[-1].partition(",")[0]},{floor}" fill="{colour(row.arm)}"/>'


def _axis(y: float, until: float) -> list[str]:
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 300, 3600) if until / step <= TICKS)
    scale = (WIDTH - LEFT - RIGHT) / until
    ticks = [n * step for n in range(int(until / step) + 1)]
    return [
        f'<text x="{LEFT + scale * tick:.1f}" y="{y + 8}" fill="{MUTED}" text-anchor="middle">{tick:g} s</text>'
        for tick in ticks
    ]


def in_words(rows: Sequence[Row]) -> str:
    """Return what the drawing shows as one sentence for each row."""
    said = [
        f"{row.arm}: done after {row.second:.1f} s, at most {row.peak} in flight over {row.connections} connections."
        if row.done
        else f"{row.arm}: {row.current} in flight, {row.served} answered after {row.second:.1f} s."
        for row in rows
    ]
    return " ".join(said) or "Nothing has been sent yet."
