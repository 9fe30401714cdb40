"""Watch a race while it runs: its progress goes in, the lab is glanced at, a drawing below the cell fills.

No widgets: an updatable display, which every notebook front end has, and whose last state is saved with the notebook.
Elsewhere it is a plain progress bar.
"""

from __future__ import annotations

import asyncio
import base64
import html
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from supalab.course.progress import displayed, progress_line
from supalab.course.slots import Row, drawn, in_words
from supalab.errors import LabError
from supalab.lab.handle import Lab
from supalab.measure.case import Trial
from supalab.measure.run import Progress

__all__ = ["LiveView", "live_view", "watched"]

EVERY_S = 0.25
#: A look may take this share of the time between two looks, so that watching changes nothing that is seen.
SHARE = 0.01

Show = Callable[[dict[str, Any]], None]


class LiveView:
    """What ``live_view`` gives: called with a race's progress, it draws; ``rows`` is what it has drawn last."""

    def __init__(self, lab: Lab, show: Show, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._lab = lab
        self._show = show
        self._clock = clock
        self._next = clock()
        self._rows: dict[str, Row] = {}
        show(payload(()))

    @property
    def rows(self) -> tuple[Row, ...]:
        """One row for each arm that has begun, in this order."""
        return tuple(self._rows.values())

    def __call__(self, so_far: Progress) -> None:
        """Take in how far the race is; draws at most four times a second, and whenever a trial ends."""
        if so_far.trial is not None:
            self._rows[so_far.trial.arm] = finished(so_far.trial)
            self.draw()
        elif self._clock() >= self._next:
            self.look(so_far.arm)

    def look(self, arm: str) -> None:
        """Glance at the lab and draw what an arm has come to."""
        began = self._clock()
        if self.glance(arm):
            self.draw()
        self._next = began + max(EVERY_S, (self._clock() - began) / SHARE)

    def glance(self, arm: str) -> bool:
        """Take in what the lab has seen of an arm since the last glance; return whether there is something to draw."""
        row = self._rows.get(arm)
        if row is None or row.done:
            row = Row(arm)
        try:
            now = self._lab.now(row.changes[-1][0] if row.changes else -1.0)
        except LabError:  # the race itself says what is wrong with its lab
            return False
        if row.changes and now.second < row.second:
            return False  # somebody has reset the record
        self._rows[arm] = replace(
            row,
            changes=row.changes + now.changes,
            second=now.second,
            served=now.served,
            peak=now.peak,
            connections=now.connections,
        )
        return True

    def draw(self) -> None:
        """Show all rows as they are."""
        self._show(payload(self.rows))


def finished(trial: Trial) -> Row:
    """Return a trial's row when all is known; without a witness it is empty but for its time."""
    if trial.get("peak") is None:
        return Row(trial.arm, second=trial.makespan_s, served=len(trial.answered), done=True)
    served, peak, connections = (trial[name] for name in ("served", "peak", "connections"))
    return Row(trial.arm, trial.timeline, trial.makespan_s, served, peak, connections, done=True)


def payload(rows: tuple[Row, ...]) -> dict[str, Any]:
    """Return the drawing for a display: an image with its words as alternative text, and the words."""
    words = in_words(rows)
    if not rows:
        return {"text/plain": words}
    data = base64.b64encode(drawn(rows).encode()).decode("ascii")
    picture = f'<img alt="{html.escape(words, quote=True)}" src="data:image/svg+xml;base64,{data}">'
    return {"text/html": picture, "text/plain": words}


@asynccontextmanager
async def watched(lab: Lab, arm: str) -> AsyncIterator[Callable[[Trial], None]]:
    """Show requests taking their slots while the body of this block awaits them; call what it gives with the trial.

    It glances in a thread, as every wait on a notebook's loop should be. Outside a notebook nothing is shown.
    """
    show = displayed()
    if show is None:
        yield lambda trial: None
        return
    view = LiveView(lab, show)
    looking = asyncio.create_task(_looked(view, arm))
    try:
        yield lambda trial: view(Progress(1.0, arm, 1, 1, trial))
    finally:
        looking.cancel()


async def _looked(view: LiveView, arm: str) -> None:
    while True:
        await asyncio.sleep(EVERY_S)
        if await asyncio.to_thread(view.glance, arm):
            view.draw()


def live_view(lab: Lab) -> Callable[[Progress], None]:
    """Return something for ``race(lab=lab, progress=…)`` that shows requests taking their slots as it happens.

    The numbers are the lab's. In a terminal it is a progress bar, and nothing where there is no place for one.
    """
    show = displayed()
    return progress_line() if show is None else LiveView(lab, show)
