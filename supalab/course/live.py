"""Show below a notebook's cell how a race is doing: its slots as they fill, or one line of progress.

No widgets: every notebook front end has updatable displays, and what was shown last is saved with the notebook. The
drawing is SVG, written as text, because it is drawn again several times a second.
"""

from __future__ import annotations

import asyncio
import base64
import heapq
import html
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from matplotlib.ticker import MaxNLocator

from supalab.errors import LabError
from supalab.lab.handle import Lab
from supalab.measure.case import Trial
from supalab.measure.run import Progress
from supalab.report.plot import INK, MUTED, colour

__all__ = ["Bar", "LiveView", "Row", "bars", "drawn", "finished", "in_words", "live_view", "progress_line", "watched"]

EVERY_S = 0.25
#: A reading may take this share of the time between two readings, so that watching does not change the race.
SHARE = 0.01
#: Pixels, unless they are counts.
WIDTH, LEFT, RIGHT, TOP, GAP, LANE = 900, 150, 24, 12, 34, 9
MOST_LANES, MOST_BARS, STEPS_HIGH = 24, 600, 90
TICKS = MaxNLocator(6, steps=[1, 2, 5, 10])
LINE = 30

Show = Callable[[dict[str, Any]], None]


def displayed() -> Show | None:
    """Return a function that shows a display's parts (by MIME type) instead of the last ones; None elsewhere."""
    try:
        from IPython import get_ipython
        from IPython.display import DisplayHandle
    except ImportError:  # pragma: no cover
        return None
    if getattr(get_ipython(), "kernel", None) is None:
        return None
    handle = DisplayHandle()  # type: ignore[no-untyped-call]
    handle.display({"text/plain": ""}, raw=True)  # type: ignore[no-untyped-call]
    return lambda parts: handle.update(parts, raw=True)  # type: ignore[no-untyped-call]


def progress_line() -> Callable[[Progress], None]:
    """Return something for ``progress=`` that fills one line below the cell.

    In a terminal it is a line of the terminal; where output goes into a file it is silent.
    """
    show = displayed()
    if show is not None:
        show({"text/plain": "starting"})

    def tell(so_far: Progress) -> None:
        words = _line(so_far)
        if show is not None:
            show({"text/plain": words})
        elif sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{words}" + "\n" * (so_far.done == so_far.total))

    return tell


def _line(so_far: Progress) -> str:
    if not so_far.total:
        return f"{so_far.arm}, {so_far.done} trials done"
    full = round(LINE * min(so_far.fraction, 1.0))
    bar = f"{'█' * full}{'░' * (LINE - full)} {so_far.fraction:4.0%}"
    return f"{bar}  {so_far.arm}, {so_far.done} of {so_far.total} trials"


class Bar(NamedTuple):
    """One request: its lane, and the seconds when it began and ended; ``ended`` is ``None`` while it is in flight."""

    lane: int
    began: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """What the lab has counted of one arm so far.

    ``changes`` are (second, requests in flight); ``second`` is now, or the total time once the arm is ``done``.
    """

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


def finished(trial: Trial) -> Row:
    """Return the row of a finished trial; without a witness it has only its time and its responses."""
    if trial.get("peak") is None:
        return Row(trial.arm, second=trial.makespan_s, served=len(trial.answered), done=True)
    served, peak, connections = (trial[name] for name in ("served", "peak", "connections"))
    return Row(trial.arm, trial.timeline, trial.makespan_s, served, peak, connections, done=True)


def bars(changes: Iterable[tuple[float, int]]) -> list[Bar]:
    """Give each request a lane: a new one takes the lowest free lane, the oldest one ends first.

    The number in flight is the lab's count. Which request ended is an assumption, because the lab counts only.
    """
    free: list[int] = []
    running: list[tuple[float, int]] = []  # the oldest is the first
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
    """Return the rows as SVG on a white ground, on one scale of seconds, which grows with the slowest arm."""
    until = max([row.second for row in rows] + [0.5])
    scale, height, parts = (WIDTH - LEFT - RIGHT) / until, TOP, list[str]()
    for row in rows:
        tall = LANE * max(row.peak, 1) if row.peak <= MOST_LANES else STEPS_HIGH
        parts += _row(row, height, tall, scale)
        height += tall + GAP
    parts += [
        f'<text x="{LEFT + scale * tick:.1f}" y="{height - 6}" fill="{MUTED}" text-anchor="middle">{tick:g} s</text>'
        for tick in TICKS.tick_values(0, until)
        if tick <= until
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>'
    )


def _row(row: Row, top: int, tall: int, scale: float) -> list[str]:
    now = f"{row.served} answered" if row.done else f"{row.current} in flight, {row.served} answered"
    after = f", done after {row.second:.1f} s" if row.done else ""
    parts = [
        f'<text x="12" y="{top + 11}" font-weight="bold" fill="{INK}">{html.escape(row.arm)}</text>',
        f'<text x="{LEFT}" y="{top + tall + 13}" fill="{MUTED}">{now}, at most {row.peak} at once, '
        f"{row.connections} connections{after}</text>",
    ]
    shade = colour(row.arm)
    if row.peak > MOST_LANES or len(row.changes) > 2 * MOST_BARS:
        return [*parts, f'<polygon points="{_steps(row, top + tall, tall, scale)}" fill="{shade}"/>']
    for bar in bars(row.changes):
        left, right = (LEFT + scale * s for s in (bar.began, row.second if bar.ended is None else bar.ended))
        # A request in flight is an outline that is not filled yet: it can be distinguished without colour.
        look = f'fill="{shade}"' if bar.ended is not None else f'fill="none" stroke="{shade}"'
        place = f'x="{left:.1f}" y="{top + LANE * bar.lane}" width="{max(right - left - 1, 1):.1f}" height="{LANE - 2}"'
        parts.append(f"<rect {place} {look}/>")
    return parts


def _steps(row: Row, floor: int, tall: int, scale: float) -> str:
    """The number in flight as the corners of one stepped area, for more lanes than a screen has room for."""
    every = max(len(row.changes) // MOST_BARS, 1)
    points, last = [(0.0, 0)], 0
    for second, number in [*row.changes[::every], (row.second, 0)]:
        points += [(second, last), (second, number)]
        last = number
    return " ".join(f"{LEFT + scale * x:.1f},{floor - tall * n / row.peak:.1f}" for x, n in points)


def in_words(rows: Sequence[Row]) -> str:
    """Return what the drawing shows, one sentence for each row."""
    said = [
        f"{row.arm}: done after {row.second:.1f} s, at most {row.peak} in flight over {row.connections} connections."
        if row.done
        else f"{row.arm}: {row.current} in flight, {row.served} answered after {row.second:.1f} s."
        for row in rows
    ]
    return " ".join(said) or "Nothing has been sent yet."


class LiveView:
    """Draw a race while it runs, from its progress and the lab's counts; ``rows`` is what was drawn last."""

    def __init__(self, lab: Lab, show: Show, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._lab, self._show, self._clock, self._next = lab, show, clock, clock()
        self._rows: dict[str, Row] = {}
        self.draw()

    @property
    def rows(self) -> tuple[Row, ...]:
        """One row for each arm that has begun, in this order."""
        return tuple(self._rows.values())

    def __call__(self, so_far: Progress) -> None:
        """Take in the race's progress; draw at most four times a second, and whenever a trial ends."""
        began = self._clock()
        if so_far.trial is not None:
            self._rows[so_far.trial.arm] = finished(so_far.trial)
            self.draw()
        elif began >= self._next:
            if self.look(so_far.arm):
                self.draw()
            self._next = began + max(EVERY_S, (self._clock() - began) / SHARE)

    def look(self, arm: str) -> bool:
        """Ask the lab what it has seen of an arm since the last look; return whether there is something to draw."""
        row = self._rows.get(arm, Row(arm))
        row = Row(arm) if row.done else row
        try:
            now = self._lab.now(row.changes[-1][0] if row.changes else -1.0)
        except LabError:  # the race itself reports the error of its lab
            return False
        if row.changes and now.second < row.second:
            return False  # somebody has reset the record
        counts = {name: getattr(now, name) for name in ("second", "served", "peak", "connections")}
        self._rows[arm] = replace(row, changes=row.changes + now.changes, **counts)
        return True

    def draw(self) -> None:
        """Show all rows: an image with its words as alternative text, and the words."""
        words = in_words(self.rows)
        parts = {"text/plain": words}
        if self._rows:
            data = base64.b64encode(drawn(self.rows).encode()).decode("ascii")
            image = f'<img alt="{html.escape(words, quote=True)}" src="data:image/svg+xml;base64,{data}">'
            parts["text/html"] = image
        self._show(parts)


@asynccontextmanager
async def watched(lab: Lab, arm: str) -> AsyncIterator[Callable[[Trial], None]]:
    """Draw the slots while the body of this block awaits its requests; call what it yields with the trial.

    The lab is asked in a thread, so that the notebook's loop never waits. Outside a notebook nothing is shown.
    """
    show = displayed()
    if show is None:
        yield lambda trial: None
        return
    view = LiveView(lab, show)

    async def look_again() -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            if await asyncio.to_thread(view.look, arm):
                view.draw()

    looking = asyncio.create_task(look_again())
    try:
        yield lambda trial: view(Progress(1.0, arm, 1, 1, trial))
    finally:
        looking.cancel()


def live_view(lab: Lab) -> Callable[[Progress], None]:
    """Return something for ``race(lab=lab, progress=…)`` that draws each request in its slot while the race runs.

    The numbers are the lab's. In a terminal it is a progress line, and in a file it is silent.
    """
    show = displayed()
    return progress_line() if show is None else LiveView(lab, show)
