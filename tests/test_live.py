"""Watching a race: the lab's counts, a well-formed drawing, and looks that cost next to nothing."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from made_race import made_trial

from supalab import Lab, race
from supalab.course.live import HIGH, LiveView, Row, drawn, finished, live_view
from supalab.errors import LabError
from supalab.lab.witness import Tally, Witness
from supalab.measure.case import Workload
from supalab.measure.run import Progress


def shapes(svg: str, kind: str) -> list[ET.Element]:
    return ET.fromstring(svg).findall(f"{{http://www.w3.org/2000/svg}}{kind}")


def corners(svg: str) -> list[list[tuple[float, float]]]:
    points = [one.get("points", "").split() for one in shapes(svg, "polygon")]
    return [[tuple(map(float, point.split(","))) for point in each] for each in points]  # type: ignore[misc]


def test_the_drawing_has_the_number_in_flight_and_its_words() -> None:
    """One stepped area for each arm, an outline while it runs; twice as many in flight are twice as high."""
    row = Row("a<b-3", Witness(2, 1, 1, 2, 0, 0.9, ((0.0, 1), (0.1, 2), (0.5, 1)), second=0.7))
    svg = drawn([row, Row("real-3", replace(row.seen, served=3), done=True)])
    assert [one.get("fill") == "none" for one in shapes(svg, "polygon")] == [True, False]
    heights = sorted({y for _, y in corners(svg)[0]})
    assert heights[2] - heights[0] == pytest.approx(2 * (heights[2] - heights[1]))
    said = "1 in flight, 1 answered after 0.7 s, at most 2 in flight over 2 connections"
    assert row.words == said
    assert said in "".join(ET.fromstring(svg).itertext())


def test_any_number_in_flight_and_any_length_fit_on_a_screen() -> None:
    """A hundred in flight are not higher than the row, however long the record is."""
    changes = tuple((k / 1000, k % 96) for k in range(10_000))
    svg = drawn([Row("real-100", Witness(96, 0, 5000, 100, 0, 480.0, changes, second=10.0))])
    heights = [y for _, y in corners(svg)[0]]
    assert max(heights) - min(heights) <= HIGH
    assert len(svg) < 50_000


@pytest.mark.parametrize("seconds", [0.0, 0.04, 0.9, 7.0, 130.0, 5000.0])
def test_every_length_has_an_axis_of_a_few_round_seconds(seconds: float) -> None:
    """Between two and seven marks, whatever the race takes."""
    marks = [
        text
        for text in shapes(drawn([Row("real-3", Witness(0, 0, 0, 0, 0, 0.0, (), second=seconds))]), "text")
        if text.get("text-anchor")
    ]
    assert 2 <= len(marks) <= 7


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class SlowLab:
    """A lab whose witness takes ``took`` seconds of a made-up clock."""

    def __init__(self, clock: Clock, took: float) -> None:
        self._clock, self._took, self.asked = clock, took, list[float]()

    def witness(self, after: float = -1.0) -> Witness:
        self.asked.append(after)
        self._clock.now += self._took
        now = self._clock.now
        return Witness(3, 3, len(self.asked), 7, 0, 3 * now, ((now, 3),), second=now)


def watch(view: Callable[[Progress], None], clock: Clock, seconds: float) -> None:
    """Tell the view ten times a second, as a race does."""
    until = clock.now + seconds
    while clock.now < until:
        view(Progress(0.1, "fake-3", 0, 2))
        clock.now += 0.1


@pytest.mark.parametrize(("took", "most"), [(0.0, 41), (0.001, 41), (0.02, 6), (0.5, 1)])
def test_looking_takes_a_hundredth_of_the_time_at_most(took: float, most: int) -> None:
    """Four looks a second if a look is cheap, fewer if it is expensive."""
    clock = Clock()
    lab = SlowLab(clock, took)
    view = LiveView(lab, lambda parts: None, clock=clock)  # type: ignore[arg-type]
    watch(view, clock, 10.0)
    assert 1 <= len(lab.asked) <= most
    assert took * (len(lab.asked) - 1) <= 0.01 * clock.now


def test_a_look_asks_only_for_what_is_new() -> None:
    """The first look asks for all, the next ones for what came after the last change that is known."""
    clock = Clock()
    lab = SlowLab(clock, 0.001)
    view = LiveView(lab, lambda parts: None, clock=clock)  # type: ignore[arg-type]
    watch(view, clock, 1.0)
    assert lab.asked[0] == -1.0
    assert lab.asked[1:] == [second for second, _ in view.rows[0].seen.timeline[:-1]]


def test_a_lab_that_is_gone_is_the_races_matter() -> None:
    """A look that fails draws nothing and raises nothing."""

    class Gone:
        def witness(self, after: float) -> Witness:
            raise LabError("gone")

    view = LiveView(Gone(), lambda parts: None)  # type: ignore[arg-type]
    view(Progress(0.1, "fake-3", 0, 2))
    assert view.rows == ()


def test_a_later_reading_has_only_what_came_after() -> None:
    """Only the changes after the given second, and the counts of now."""
    clock = Clock()
    tally = Tally(room=8, clock=clock)
    assert tally.reading() == Witness(0, 0, 0, 0, 0, 0.0, ())
    for second in (1.0, 2.0, 3.0):
        clock.now = second
        tally.enter()
    clock.now = 4.5
    assert tally.reading(0.0) == Witness(3, 3, 0, 0, 0, 7.5, ((1.0, 2), (2.0, 3)), second=3.5)


def test_a_watched_race_shows_the_labs_own_counts() -> None:
    """At the end there is a finished row for each arm, as witnessed; on the way, rows that were not finished."""
    shown: list[dict[str, Any]] = []
    with Lab() as lab:
        view = LiveView(lab, shown.append)
        trials = race(["fake-2", "real-5"], Workload(20, 0.1), lab=lab, progress=view)
    assert [(row.arm, row.seen.peak, row.seen.served, row.done) for row in view.rows] == [
        ("fake-2", 2, 20, True),
        ("real-5", 5, 20, True),
    ]
    assert view.rows == tuple(finished(trial) for trial in trials.trials)
    assert any(" in flight, " in parts["text/plain"] for parts in shown)
    html = shown[-1]["text/html"]
    assert f'alt="{shown[-1]["text/plain"]}"' in html
    found = re.search(r"base64,([^\"]+)", html)
    assert found
    ET.fromstring(base64.b64decode(found[1]))


def test_without_a_witness_the_row_says_what_is_known() -> None:
    """A trial against a real project has a time and answers, and no lanes."""
    row = finished(made_trial("real-3", witnessed=False))
    assert row.done
    assert f"{row.seen.served} answered, done after " in row.words


def test_outside_a_notebook_it_is_a_line_and_silent_in_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a kernel: nothing in a file, one line that is overwritten in a terminal."""
    with Lab() as lab:
        tell = live_view(lab)
    tell(Progress(0.5, "fake-3", 1, 2))
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    live_view()(Progress(0.5, "fake-3", 1, 2))
    assert re.search(r"█{15}░{15}  50%  fake-3, 1 of 2 trials$", capsys.readouterr().err)


def test_a_plan_that_does_not_tell_its_length_has_a_line_without_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bar would promise an end that nobody knows; the trials that are done are counted."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    live_view()(Progress(0.5, "fake-3", 4, 0))
    assert capsys.readouterr().err.endswith("fake-3, 4 trials done")
