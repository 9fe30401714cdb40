"""A ticker that runs together with coroutines, and its chart."""

from __future__ import annotations

import asyncio
import time

import pytest
from matplotlib.text import Annotation

from supalab.course.charts import lag
from supalab.course.heartbeat import Heartbeat, heartbeat
from supalab.errors import SettingsError
from supalab.report.plot import description as describe


async def blocks(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


async def test_what_blocks_silences_the_ticker_and_what_waits_does_not() -> None:
    """Three blocking calls cause a silence three times as long; three waiting calls take the time of one."""
    blocked = await heartbeat("blocking", *(blocks(0.1) for _ in range(3)))
    waited = await heartbeat("real-3", *(asyncio.sleep(0.1, "slept") for _ in range(3)))
    assert blocked.longest_lag > 0.25
    assert waited.longest_lag < blocked.longest_lag / 2
    assert waited.took < blocked.took
    assert [end > start for start, end in blocked.callers + waited.callers] == [True] * 6


async def test_an_error_is_raised_and_nothing_runs_on() -> None:
    """The other coroutines are cancelled, and so is the ticker."""
    cancelled = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def breaks() -> None:
        await asyncio.sleep(0)
        raise KeyError("name")

    before = asyncio.all_tasks()
    with pytest.raises(KeyError):
        await heartbeat("x", endless(), breaks())
    assert cancelled.is_set()
    assert asyncio.all_tasks() == before
    with pytest.raises(SettingsError, match="at least one coroutine"):
        await heartbeat("x")


def made(name: str, ticks: tuple[float, ...]) -> Heartbeat:
    return Heartbeat(name, ticks, ((0.1, 0.3), (0.1, 0.5)))


def test_the_picture_has_a_row_for_each_and_says_its_numbers() -> None:
    """Silences are named where they are, the guess is drawn, and the description has all of it."""
    even = tuple(number / 100 for number in range(61))
    silent = tuple(tick for tick in even if not 0.1 < tick < 0.5)
    fig = lag([made("blocking", silent), made("fake-3", even)], guess=0.25)
    assert len(fig.axes) == 2
    words = [text.get_text() for ax in fig.axes for text in ax.texts]
    assert [text for text in words if text.startswith("no tick")] == ["no tick for 400 ms"]
    assert "guess: 250 ms" in words
    guess = next(text for ax in fig.axes for text in ax.texts if text.get_text().startswith("guess"))
    assert isinstance(guess, Annotation)
    assert guess.get_annotation_clip() is False, "it stands above the panel, where matplotlib would leave it out"
    callers = [ax.collections[1].get_segments() for ax in fig.axes]  # type: ignore[attr-defined]
    assert [len(lines) for lines in callers] == [2, 2]
    assert [len(ax.lines) for ax in fig.axes] == [1, 0], "the guess alone"
    assert "blocking: 2 callers, done after 400 ms, longest time that a tick came late 390 ms." in describe(fig)
    assert "The guess for blocking was 250 ms." in describe(fig)
    assert "guess" not in describe(lag([made("fake-3", even)]))
    assert "lag up to 390 ms" in str(made("blocking", silent))
    with pytest.raises(SettingsError, match="no heartbeat to draw"):
        lag([])
