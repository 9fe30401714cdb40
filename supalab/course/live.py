"""Show the state of a race below a notebook's cell: requests in flight as the lab counts them, or a line of progress.

No widgets: every notebook front end has updatable displays, and what was shown last is saved with the notebook. The
drawing is SVG, written as text, because it is drawn again several times a second.
"""

from __future__ import annotations

import base64
import html
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.ticker import MaxNLocator

from supalab.errors import LabError
from supalab.lab.handle import Lab
from supalab.lab.witness import Witness
from supalab.measure.case import Trial
from supalab.measure.run import Progress
from supalab.report.plot import INK, MUTED, colour

EVERY_S = 0.25
#: A reading may take at most this share of the time between two readings, so that watching does not change the race.
SHARE = 0.01
#: Sizes in pixels; the others are counts.
WIDTH, LEFT, RIGHT, TOP, GAP, HIGH, LEAST = 900, 150, 24, 12, 34, 90, 9
MOST_STEPS = 600
TICKS = MaxNLocator(6, steps=[1, 2, 5, 10])
LINE = 30
NOTHING = Witness(0, 0, 0, 0, 0, 0.0, ())

Show = Callable[[dict[str, Any]], None]


def displayed() -> Show | None:
    """Return a function that replaces a display's content (by MIME type); None outside a notebook."""
    from IPython import get_ipython
    from IPython.display import DisplayHandle

    if getattr(get_ipython(), "kernel", None) is None:
        return None
    handle = DisplayHandle()  # type: ignore[no-untyped-call]
    handle.display({"text/plain": "starting"}, raw=True)  # type: ignore[no-untyped-call]
    return lambda parts: handle.update(parts, raw=True)  # type: ignore[no-untyped-call]


def live_view(lab: Lab | None = None, *, share: float = SHARE) -> Callable[[Progress], None]:
    """Return a value for ``progress=`` of a race or a plan that shows its progress below the cell.

    With ``lab`` it draws the requests that the lab has in flight while they run; without, it fills one line. In a
    terminal it shows one line; if output goes to a file, it shows nothing. ``share``: the part of the time that looking
    at the lab may take.
    """
    show = displayed()
    if show is not None and lab is not None:
        return LiveView(lab, show, share=share)

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


@dataclass(frozen=True, slots=True)
class Row:
    """What the lab has counted of one arm so far; once the arm is ``done``, its last second is its total time."""

    arm: str
    seen: Witness = NOTHING
    done: bool = False

    @property
    def words(self) -> str:
        """What the lab has counted, in a few words."""
        seen = self.seen
        if self.done:
            now = f"{seen.served} answered, done after {seen.second:.1f} s"
        else:
            now = f"{seen.current} in flight, {seen.served} answered after {seen.second:.1f} s"
        return f"{now}, at most {seen.peak} in flight over {seen.connections} connections"


def finished(trial: Trial) -> Row:
    """Return the row of a finished trial; without a witness it has only its time and its responses."""
    known = {name: trial.get(name) or 0 for name in ("peak", "served", "connections")}
    if trial.get("served") is None:
        known["served"] = len(trial.answered)
    return Row(trial.arm, replace(NOTHING, **known, second=trial.makespan_s, timeline=trial.timeline), done=True)


def drawn(rows: Sequence[Row]) -> str:
    """Return the rows as SVG on white, on one scale of seconds, which grows with the slowest arm."""
    until = max([row.seen.second for row in rows] + [0.5])
    scale, height, parts = (WIDTH - LEFT - RIGHT) / until, TOP, list[str]()
    each = min(HIGH / max([row.seen.peak for row in rows] + [1]), LEAST)
    for row in rows:
        floor = height + max(round(each * row.seen.peak), LEAST)
        # A row that is not done yet is an outline, so that it can be distinguished without colour.
        fill = colour(row.arm) if row.done else "none"
        parts += [
            f'<text x="12" y="{height + 11}" font-weight="bold" fill="{INK}">{html.escape(row.arm)}</text>',
            f'<polygon points="{_steps(row.seen, floor, each, scale)}" fill="{fill}" stroke="{colour(row.arm)}"/>',
            f'<text x="{LEFT}" y="{floor + 13}" fill="{MUTED}">{row.words}</text>',
        ]
        height = floor + GAP
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


def _steps(seen: Witness, floor: int, each: float, scale: float) -> str:
    """Return the corners of the stepped area; of a long record, as many as fit on a screen."""
    every = max(len(seen.timeline) // MOST_STEPS, 1)
    points, last = [(0.0, 0)], 0
    for second, number in [*seen.timeline[::every], (seen.second, 0)]:
        points += [(second, last), (second, number)]
        last = number
    return " ".join(f"{LEFT + scale * x:.1f},{floor - each * n:.1f}" for x, n in points)


class LiveView:
    """Draw a race while it runs, from its progress and the lab's counts; ``rows`` is what was drawn last."""

    def __init__(
        self, lab: Lab, show: Show, *, share: float = SHARE, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._lab, self._show, self._share, self._clock, self._next = lab, show, share, clock, clock()
        self._rows: dict[str, Row] = {}

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
            self._next = began + max(EVERY_S, (self._clock() - began) / self._share)

    def look(self, arm: str) -> bool:
        """Ask the lab what it has seen of an arm since the last look; return whether there is something new to draw."""
        row = self._rows.get(arm, Row(arm))
        known = () if row.done else row.seen.timeline
        try:
            now = self._lab.witness(known[-1][0] if known else -1.0)
        except LabError:  # the race itself reports the error of its lab
            return False
        if known and now.second < row.seen.second:
            return False  # somebody has reset the lab's counters
        self._rows[arm] = Row(arm, replace(now, timeline=known + now.timeline))
        return True

    def draw(self) -> None:
        """Show all rows: an image with alternative text, and the same words."""
        words = " ".join(f"{row.arm}: {row.words}." for row in self.rows)
        data = base64.b64encode(drawn(self.rows).encode()).decode("ascii")
        image = f'<img alt="{html.escape(words, quote=True)}" src="data:image/svg+xml;base64,{data}">'
        self._show({"text/plain": words, "text/html": image})
