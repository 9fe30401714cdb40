"""The knobs of notebook 01: a computed burst that is right, with widgets or without, compared with the lab."""

from __future__ import annotations

import sys
from typing import Any

import IPython.display
import pytest

from supalab import FakeSupabaseAsync
from supalab.course import observe
from supalab.course.knobs import Setting, turn_the_knobs
from supalab.errors import SettingsError
from supalab.lab.handle import Lab

MODEL = "application/vnd.jupyter.widget-view+json"
BURST = Setting(60, 3, 0.125)  # a power of two, so that sums of seconds are exact


def test_a_burst_by_hand() -> None:
    """Five requests, two at a time, one second each: three waves, the last one half empty."""
    found = Setting(5, 2, 1.0)
    assert [(span.started, span.done) for span in found.spans] == [(0, 1), (0, 1), (1, 2), (1, 2), (2, 3)]
    assert (found.waves, found.makespan_s) == (3, 3.0)
    assert str(found) == "2 at a time, 1.0 s each: 3 waves; the last one has 1 request, done after 3.0 s"


@pytest.mark.parametrize("one", [BURST, Setting(60, 59, 0.125), Setting(60, 80, 0.125), Setting(7, 1, 0.25)], ids=str)
def test_littles_law_holds_exactly(one: Setting) -> None:
    """Throughput times service time is the mean in flight, and the last response ends the makespan."""
    assert max(span.done for span in one.spans) == one.makespan_s
    area = sum(span.done - (span.started or 0.0) for span in one.spans)
    assert area / one.makespan_s == pytest.approx(one.requests / one.makespan_s * one.latency, rel=1e-12)
    busy = max(sum((a.started or 0.0) <= b.started < a.done for a in one.spans) for b in one.spans)  # type: ignore[operator]
    assert busy == min(one.limit, one.requests)


def test_what_the_knobs_are_there_to_teach() -> None:
    """Twice the server time is twice the makespan; n - 1 is as slow as n / 2; a limit above n changes nothing."""
    at = {limit: Setting(60, limit, 0.125).makespan_s for limit in (3, 30, 59, 60, 80)}
    assert Setting(60, 3, 0.25).makespan_s == 2 * at[3]
    assert at[59] == at[30] == 2 * at[60]
    assert at[80] == at[60]
    assert "20 slots never used" in str(Setting(60, 80, 0.125))


def test_the_chart_and_the_table_say_what_they_show() -> None:
    """The description says that it is computed, and the table has every setting's result."""
    panel = turn_the_knobs()
    assert "Computed from the server time alone. 60 requests, 3 at a time, 150 ms each: 20 waves" in (
        panel.picture().description
    )
    six = panel.settings()
    assert [row[:4] for row in six.rows] == [
        ["3", "150 ms", "20", "3.0 s"], ["3", "300 ms", "20", "6.0 s"], ["30", "150 ms", "2", "300 ms"],
        ["59", "150 ms", "2", "300 ms"], ["60", "150 ms", "1", "150 ms"], ["80", "150 ms", "1", "150 ms"],
    ]  # fmt: skip
    assert "20 slots never used" in str(six)
    assert "60 requests at once. Computed from the server time alone." in str(six)
    assert panel.picture().html().count("<img alt=") == 1


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a cell displays."""
    found: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", lambda thing, **_: found.append(thing))
    return found


def test_with_widgets_the_knobs_come_first_and_six_settings_below(shown: list[Any]) -> None:
    """Two outputs: the widget, with words for a page that cannot show it, and always the table of six."""
    panel = turn_the_knobs()
    panel._ipython_display_()
    widget, six = shown
    assert set(widget) == {MODEL, "text/html", "text/plain"}
    assert "table below" in widget["text/html"]
    assert len(six.rows) == 6


def test_without_widgets_one_sentence_says_why_and_the_rest_works(
    shown: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where ipywidgets cannot be imported nothing fails, and the setting can still be changed from code."""
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    panel = turn_the_knobs()
    panel._ipython_display_()
    assert [len(one.rows) for one in shown] == [6]
    assert "pip install ipywidgets" in capsys.readouterr().out
    panel.turn("limit", 30)
    assert "30 at a time" in panel.picture().description


def test_turning_a_knob_draws_again() -> None:
    """Each knob changes the chart's words; milliseconds become seconds; a field keeps its range."""
    panel = turn_the_knobs()
    shown = panel.widget()
    for part, value in {"limit": 59, "latency": 300}.items():
        before = shown.children[1].value
        panel.fields[part].value = value
        assert shown.children[1].value != before
    assert panel.setting == Setting(60, 59, 0.3)
    panel.fields["limit"].value = 10_000
    assert panel.setting.limit == 80
    assert {type(field).__name__ for field in panel.fields.values()} == {"BoundedIntText"}
    assert all(field.description for field in panel.fields.values())


@pytest.mark.parametrize("requests", [2, 3, 61, 900])
def test_the_ends_of_every_knob_can_be_drawn(requests: int) -> None:
    """The smallest and the largest value of each knob, and their combinations."""
    panel = turn_the_knobs(requests)
    panel.widget()
    for part, field in panel.fields.items():
        for value in (field.min, field.max):
            panel.turn(part, value if part == "limit" else value / 1000)
            assert f"{requests} requests" in panel.picture().description
    assert len(panel.settings().rows) == 6


@pytest.mark.parametrize(
    "make",
    [
        lambda: turn_the_knobs(1), lambda: turn_the_knobs(limit=0), lambda: turn_the_knobs(latency=-1),
        lambda: turn_the_knobs(latency=0), lambda: turn_the_knobs(latency=float("nan")), lambda: Setting(10**9, 1, 0.1),
    ],
)  # fmt: skip
def test_a_burst_that_cannot_be_is_refused_in_one_line(make: Any) -> None:
    """The message has the value's name and what to give instead."""
    with pytest.raises(SettingsError, match="give") as refused:
        make()
    assert "\n" not in str(refused.value)


async def test_the_computation_is_a_floor_and_not_far_below_the_lab() -> None:
    """One measured burst: never faster than computed, and of its order."""
    computed = turn_the_knobs(12, limit=4, latency=0.1).setting
    async with Lab(latency=computed.latency) as lab, FakeSupabaseAsync(lab.url, lab.key, limit=computed.limit) as db:
        trial = await observe(db, lab, "fake-4", requests=computed.requests)
    assert trial.errors == 0
    assert computed.makespan_s <= trial.makespan_s <= 4 * computed.makespan_s
