"""Measure how late an event loop runs a ticker while coroutines run, and draw it.

A ticker is the smallest other task of a loop. If it is late, everything on the loop is late: no response is read, no
health check is answered, no timer runs.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.errors import SettingsError
from supalab.report.format import count, duration
from supalab.report.plot import CLEAR, INK, MUTED, WIDTH_IN, Picture, colour, describe_on, head, pale, row_label, styled

__all__ = ["Heartbeat", "heartbeat", "lag_chart"]

EVERY_S = 0.01
#: Ticks before the first coroutine and after the last, so that the chart shows the undisturbed loop.
AROUND_S = 0.1
HEAD_IN, FOOT_IN, TICKS_IN, CALLER_IN, GAP_IN, MOST_CALLERS = 1.15, 0.65, 0.42, 0.1, 0.42, 20
#: A silence is shaded from so many ticks on, and has words if there is room: this part of the picture's width.
SHADED, ROOM_FOR_WORDS = 5, 0.15


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """When a loop ticked, and from when to when each coroutine ran, from its first step to its end; seconds.

    ``results`` has what the coroutines returned, in their order.
    """

    name: str
    ticks: tuple[float, ...]
    callers: tuple[tuple[float, float], ...]
    every: float = EVERY_S
    results: tuple[Any, ...] = field(default=(), repr=False)

    @property
    def longest_lag(self) -> float:
        """The latest that a tick came, in seconds after it was due."""
        return max(end - start for start, end in itertools.pairwise(self.ticks)) - self.every

    @property
    def took(self) -> float:
        """Seconds from the first step of the first coroutine to the end of the last."""
        return max(end for _, end in self.callers) - min(start for start, _ in self.callers)

    def __str__(self) -> str:
        return f"{self.name}: done after {duration(self.took)}, loop lag up to {duration(max(self.longest_lag, 0.0))}"


async def heartbeat(name: str, *coroutines: Coroutine[Any, Any, Any], every: float = EVERY_S) -> Heartbeat:
    """Run coroutines at once on this loop together with a ticker; if one raises, the others are cancelled first.

    ``name`` is for the picture; one such as ``fake-3`` gets its arm's colour. ``every``: seconds between ticks.
    """
    if not coroutines:
        raise SettingsError("heartbeat needs at least one coroutine to listen to")
    origin, ticks = time.perf_counter(), list[float]()
    ticker = asyncio.create_task(_tick(ticks, origin, every))
    callers: dict[int, tuple[float, float]] = {}
    tasks: list[asyncio.Task[Any]] = []
    try:
        await asyncio.sleep(AROUND_S)
        tasks += [asyncio.create_task(_timed(number, one, callers, origin)) for number, one in enumerate(coroutines)]
        results = await asyncio.gather(*tasks)
        await asyncio.sleep(AROUND_S)
    finally:
        for task in (ticker, *tasks):
            task.cancel()
        await asyncio.gather(ticker, *tasks, return_exceptions=True)
        for one in coroutines:
            one.close()
    return Heartbeat(name, tuple(ticks), tuple(callers[number] for number in sorted(callers)), every, tuple(results))


async def _tick(ticks: list[float], origin: float, every: float, now: Callable[[], float] = time.perf_counter) -> None:
    while True:
        ticks.append(now() - origin)
        await asyncio.sleep(every)


async def _timed(
    number: int, coroutine: Coroutine[Any, Any, Any], callers: dict[int, tuple[float, float]], origin: float
) -> Any:
    began = time.perf_counter() - origin
    try:
        return await coroutine
    finally:
        callers[number] = (began, time.perf_counter() - origin)


def lag_chart(beats: Sequence[Heartbeat], *, guess: float | None = None) -> Figure:
    """Draw a row for each run: its ticks as strokes, and below them a line for each caller, on one time axis.

    ``guess``: the expected lag of the first row in seconds; drawn as a dashed bracket above it.
    """
    if not beats:
        raise SettingsError("there is no heartbeat to draw: make one with `await heartbeat(…)`")
    heights = [TICKS_IN + CALLER_IN * min(len(beat.callers), MOST_CALLERS) for beat in beats]
    whole = HEAD_IN + sum(heights) + GAP_IN * (len(beats) - 1) + FOOT_IN
    right = max(beat.ticks[-1] for beat in beats)
    with styled():
        fig, top = Picture(figsize=(WIDTH_IN, whole)), whole - HEAD_IN
        for beat, height in zip(beats, heights, strict=True):
            ax = fig.add_axes((0.16, (top - height) / whole, 0.815, height / whole))
            _draw(ax, beat, height, right * 1.01)
            ax.tick_params(labelbottom=beat is beats[-1])
            top -= height + GAP_IN
        ax.set_xlabel("seconds")
        if guess is not None:
            _draw_guess(fig.axes[0], beats[0], guess)
        about = f"Each stroke is a tick; one is due every {duration(beats[0].every)}."
        head(
            fig,
            "Which client keeps the loop responsive?",
            f"{about} Each line below is a call, from its start to its response.",
        )
    describe_on(fig, described(beats, guess))
    return fig


def described(beats: Sequence[Heartbeat], guess: float | None = None) -> str:
    """Return sentences that describe the chart of these runs."""
    rows = [
        f"{beat.name}: {count(len(beat.callers), 'caller')}, done after {duration(beat.took)}, "
        f"longest time that a tick came late {duration(max(beat.longest_lag, 0.0))}."
        for beat in beats
    ]
    said = f" The guess for {beats[0].name} was {duration(guess)}." if guess is not None else ""
    return f"Ticks of an event loop during the work of {count(len(beats), 'client')}. {' '.join(rows)}{said}"


def _draw(ax: Axes, beat: Heartbeat, height: float, right: float) -> None:
    ceiling = TICKS_IN / height  # the part of the panel that the ticks have
    ax.vlines(beat.ticks, 1 - 0.8 * ceiling, 1, color=INK, linewidth=1.1)
    lines = beat.callers[:MOST_CALLERS]
    for place, (start, end) in enumerate(lines):
        y = (1 - ceiling) * (1 - (place + 0.5) / len(lines))
        ax.plot(
            [start, max(end, start + right / 400)],
            [y, y],
            color=colour(beat.name),
            linewidth=3.2,
            solid_capstyle="butt",
        )
    start, end = max(itertools.pairwise(beat.ticks), key=lambda pair: pair[1] - pair[0])
    if end - start > SHADED * beat.every:
        ax.axvspan(
            start, end, ymin=1 - 0.8 * ceiling, facecolor=pale("fake-3"), hatch="//", edgecolor="white", linewidth=0
        )
    if end - start > ROOM_FOR_WORDS * right:
        ax.annotate(
            f"no turn for {duration(end - start)}",
            ((start + end) / 2, 1 - 0.4 * ceiling),
            ha="center",
            va="center",
            bbox=CLEAR,
        )
    ax.set(xlim=(0, right), ylim=(0, 1), yticks=[])
    ax.grid(visible=True, axis="x")
    row_label(ax, beat.name, [f"done after {duration(beat.took)}", f"lag up to {duration(max(beat.longest_lag, 0.0))}"])


def _draw_guess(ax: Axes, beat: Heartbeat, guess: float) -> None:
    began = min(start for start, _ in beat.callers)
    ax.plot([began, began + guess], [1.03, 1.03], color=INK, linestyle=(0, (4, 3)), linewidth=1.6, clip_on=False)
    ax.annotate(
        f"guess: {duration(guess)}",
        (began, 1.03),
        xytext=(0, 3),
        textcoords="offset points",
        color=MUTED,
        va="bottom",
        annotation_clip=False,
    )
