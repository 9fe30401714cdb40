"""A ticker beside coroutines, its picture, and two versions of a class side by side."""

from __future__ import annotations

import asyncio
import time

import pytest
from matplotlib.text import Annotation

from supalab import ArticleSupabaseAsync, FakeSupabaseAsync
from supalab.course.loop_lag import Heartbeat, heartbeat, lag_chart
from supalab.course.side_by_side import Difference, difference
from supalab.errors import SettingsError
from supalab.report.plot import description as describe


async def blocks(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


async def test_what_blocks_silences_the_ticker_and_what_waits_does_not() -> None:
    """Three that block are one silence of three; three that wait take the time of one, and the ticker goes on."""
    blocked = await heartbeat("blocking", *(blocks(0.1) for _ in range(3)))
    waited = await heartbeat("real-3", *(asyncio.sleep(0.1, "slept") for _ in range(3)))
    assert blocked.longest_lag > 0.25
    assert waited.longest_lag < blocked.longest_lag / 2
    assert waited.took < blocked.took
    assert blocked.results == (0.1, 0.1, 0.1)
    assert waited.results == ("slept",) * 3
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
    fig = lag_chart([made("blocking", silent), made("fake-3", even)], guess=0.25)
    assert len(fig.axes) == 2
    words = [text.get_text() for ax in fig.axes for text in ax.texts]
    assert [text for text in words if text.startswith("no turn")] == ["no turn for 400 ms"]
    assert "guess: 250 ms" in words
    guess = next(text for ax in fig.axes for text in ax.texts if text.get_text().startswith("guess"))
    assert isinstance(guess, Annotation)
    assert guess.get_annotation_clip() is False, "it stands above the panel, where matplotlib would leave it out"
    assert [len(ax.lines) for ax in fig.axes] == [3, 2]  # a line for each caller, and the guess
    assert "blocking: 2 callers, done after 400 ms, longest time that a tick came late 390 ms." in describe(fig)
    assert "The guess for blocking was 250 ms." in describe(fig)
    assert "guess" not in describe(lag_chart([made("fake-3", even)]))
    assert "lag up to 390 ms" in str(made("blocking", silent))
    with pytest.raises(SettingsError, match="no heartbeat to draw"):
        lag_chart([])


def test_a_difference_is_read_from_the_classes() -> None:
    """Lines that are in one alone are marked, others stand beside each other; both sides are whole and in order."""
    found = difference(FakeSupabaseAsync, ArticleSupabaseAsync, "__init__", "_get_client")
    left, right = [side[0] for side in found.rows], [side[1] for side in found.rows]
    assert [line for mark, line in left if mark == "-"] == [
        "def __init__(self, url: str, key: str | None, *, limit: int = 3, **options: Any) -> None:",
        "    super().__init__(url, key, limit=limit, **options)",
        "    self._executor = ThreadPoolExecutor(max_workers=limit)",
    ]
    assert any(mark == "+" and "async def _get_client" in line for mark, line in right)
    assert [line for _, line in left if line] == [line for line in found.old if line]
    assert [line for _, line in right if line] == [line for line in found.new if line]
    assert "supalab/clients/fake.py" in str(found)
    assert "-    self._executor = ThreadPoolExecutor(max_workers=limit)" in str(found)
    with pytest.raises(SettingsError, match="neither FakeSupabaseAsync nor ArticleSupabaseAsync defines 'nothing'"):
        difference(FakeSupabaseAsync, ArticleSupabaseAsync, "nothing")


def test_a_difference_shows_itself_without_colour() -> None:
    """Marks carry the meaning, and code is escaped."""
    shown = Difference(("old", "new"), ("a < b", "same"), ("a > b", "same", "more"))
    assert shown.rows == ((("-", "a < b"), ("+", "a > b")), (("", "same"), ("", "same")), (("", ""), ("+", "more")))
    assert "<strong>a &lt; b</strong>" in shown.html()
    assert "color" not in shown.html()
    assert shown._repr_mimebundle_()["text/plain"] == str(shown)
