"""Figures of the costs: they draw the data, describe it in words, and can be written to a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from costs_made import cancellations, held, knee, lag, memory, point
from matplotlib.figure import Figure

from supalab.experiments import cancellation, throughput
from supalab.experiments import lag as loop_lag
from supalab.experiments import memory as memory_held
from supalab.measure.record import Record
from supalab.report.plot import description, save

CASES: list[tuple[Callable[..., Figure], Any]] = [
    (memory_held.figure, memory(held("article", 10, 10**6, 10**6, peak=9))),
    (loop_lag.figure, lag()),
    (cancellation.figure, cancellations("fake-10", "real-10", "blocking-1")),
    (throughput.figure, knee(point("real", 30, 290.0, repeat=1))),
]


EXPERIMENTS: dict[str, Any] = {"lag": loop_lag, "throughput": throughput, "memory": memory_held, "cancel": cancellation}


def headline(found: Any) -> str:
    return EXPERIMENTS[found.name].headline(found)


def notes(found: Any) -> list[str]:
    return EXPERIMENTS[found.name].notes(found)


NAMES = ["memory", "lag", "cancellation", "throughput"]


def texts(fig: Figure) -> str:
    return " ".join([text.get_text() for text in fig.texts] + [text.get_text() for ax in fig.axes for text in ax.texts])


def places(line: Any) -> int:
    """Where on the x axis a line's one point is."""
    (at,) = line.get_xdata()
    return int(at)


@pytest.mark.parametrize(("draw", "found"), CASES, ids=NAMES)
def test_a_picture_says_what_it_shows(draw: Callable[..., Figure], found: Any, tmp_path: Path) -> None:
    """The headline is written on it, every note is in its description, and it becomes a file."""
    fig = draw(found)
    assert headline(found) in texts(fig)
    for note in notes(found):
        assert note in description(fig)
    assert save(fig, tmp_path / "picture.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", [*EXPERIMENTS, "race", "bench", "load"])
def test_a_picture_of_nothing_says_so(name: str, tmp_path: Path) -> None:
    """A figure without data says so, and it can be written."""
    fig = Record(name).figure()
    assert "not measured" in texts(fig)
    assert save(fig, tmp_path / "nothing.svg").stat().st_size > 0


def test_no_words_run_over_the_edges_or_each_other() -> None:
    """Every text lies within the picture; names at the ends of lines keep apart."""
    for draw, found in CASES:
        fig = draw(found)
        fig.canvas.draw()
        width, height = fig.canvas.get_width_height()
        boxes = [
            (text.get_text(), text.get_window_extent())
            for text in [*fig.texts, *(text for ax in fig.axes for text in ax.texts)]
            if text.get_text()
        ]
        for words, box in boxes:
            assert box.x0 >= 0, words
            assert box.x1 <= width, words
            assert box.y0 >= 0, words
            assert box.y1 <= height, words
    ends = [text for text in throughput.figure(knee()).axes[0].texts if "best" in text.get_text()]
    assert len(ends) == 3


def test_every_best_limit_has_a_star() -> None:
    """As many stars as clients, each at its best limit."""
    stars = [line for line in throughput.figure(knee()).axes[0].lines if line.get_marker() == "*"]
    assert sorted(places(star) for star in stars) == [10, 30, 100]


def test_unsound_cells_are_hollow() -> None:
    """A cell whose requests were not all in flight together has a white mark."""
    fig = memory_held.figure(memory(held("article", 10, 10**6, 10**6, peak=9)))
    hollow = [line for line in fig.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [places(line) for line in hollow] == [10]
