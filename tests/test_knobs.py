"""Panels with knobs: computed bursts that keep the law and nearly the lab's time, with widgets or without."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import IPython.display
import pytest
from made_trials import made_trial

from supalab.course import knobs
from supalab.course.knobs import Panel, at_the_lab, turn_the_knobs, turn_the_link
from supalab.course.knobs_picture import bars, beside_measured, burst_picture
from supalab.course.knobs_schedule import Computed, Setting, compute, makespan
from supalab.course.knobs_svg import Drawn
from supalab.course.knobs_words import burst_line, link_line, measured_line
from supalab.errors import SettingsError
from supalab.lab.handle import Lab
from supalab.measure.workload import Workload

MODEL = "application/vnd.jupyter.widget-view+json"
# Powers of two, so that sums of seconds are exact.
BURST, LINK = Setting(60, 3, 0.125), Setting(40, 8, 0.0625, 0.03125, kept=False, tls=True)
SETTINGS = [
    BURST, LINK, replace(LINK, kept=True), replace(LINK, tls=False), replace(LINK, limit=7), replace(BURST, limit=59),
    replace(BURST, limit=80), replace(BURST, limit=1), replace(LINK, rtt=0.0), Setting(1, 1, 0.25),
    Setting(5, 2, 0.0, 0.5),
]  # fmt: skip


def mean_busy(computed: Computed) -> float:
    """Requests in slots on average, counted at every change: the area under the curve over the makespan."""
    spans = [turn.span for turn in computed.turns]
    changes = sorted([(span.started or 0.0, 1) for span in spans] + [(span.done, -1) for span in spans])
    area, now, last = 0.0, 0, 0.0
    for at, change in changes:
        area, now, last = area + now * (at - last), now + change, at
    return area / last


def test_a_burst_by_hand() -> None:
    """Five requests, two at a time, one second each: three rounds, the last half empty."""
    found = compute(Setting(5, 2, 1.0))
    assert [(turn.lane, turn.span.started, turn.span.done) for turn in found.turns] == [
        (0, 0, 1), (1, 0, 1), (0, 1, 2), (1, 1, 2), (0, 2, 3),
    ]  # fmt: skip
    assert found.makespan_s == 3
    assert found.mean_wait_s == pytest.approx((0 + 0 + 1 + 1 + 2) / 5)
    assert found.throughput_per_s == pytest.approx(5 / 3)
    assert (found.setting.rounds, found.setting.in_last) == (3, 1)


def test_a_link_by_hand() -> None:
    """Two requests through one slot, 1 s at the server, 10 s a round trip: dialling is paid once, or each time."""
    one = Setting(2, 1, 1.0, 10.0, kept=True, tls=False)
    assert [turn.span.done for turn in compute(one).turns] == [21, 32]
    assert [turn.span.done for turn in compute(replace(one, kept=False)).turns] == [21, 42]
    assert [turn.span.done for turn in compute(replace(one, tls=True)).turns] == [31, 42]
    assert [turn.span.done for turn in compute(replace(one, kept=False, tls=True)).turns] == [31, 62]


@pytest.mark.parametrize("one", SETTINGS, ids=str)
def test_littles_law_holds_exactly(one: Setting) -> None:
    """In slots: throughput times service. In the queue: throughput times wait. And no slot serves two at once."""
    found = compute(one)
    assert mean_busy(found) == pytest.approx(found.throughput_per_s * found.mean_service_s, rel=1e-12)
    starts = sorted(turn.span.started or 0.0 for turn in found.turns)
    assert sum(starts) / found.makespan_s == pytest.approx(found.throughput_per_s * found.mean_wait_s, rel=1e-12)
    assert found.makespan_s == makespan(one)
    assert sum(turn.set_up > 0 for turn in found.turns) == (one.dialled if one.rtt else 0)
    for lane in {turn.lane for turn in found.turns}:
        mine = [turn.span for turn in found.turns if turn.lane == lane]
        assert all(later.started == earlier.done for earlier, later in pairwise(mine))
    assert max(turn.lane for turn in found.turns) < one.limit


@pytest.mark.parametrize("one", SETTINGS, ids=str)
def test_the_parts_of_a_bar_are_the_request(one: Setting) -> None:
    """Dialling, round trip and server's time follow one another from the slot's taking to the answer."""
    parts = bars(compute(one))
    assert sum(bar.ended - bar.began for bar in parts) == pytest.approx(
        sum(t.span.service or 0 for t in compute(one).turns)
    )
    assert sum(bar.fill == "tls" for bar in parts) == (one.dialled if one.tls and one.rtt else 0)
    assert max(bar.ended for bar in parts) == pytest.approx(makespan(one))


def test_what_the_panels_are_there_to_teach() -> None:
    """Twice the latency, twice the time; 59 is as slow as 30 of 60; beyond n is nothing; keeping pays where it does."""
    assert makespan(replace(BURST, latency=0.25)) == 2 * makespan(BURST)
    assert (
        makespan(replace(BURST, limit=59))
        == makespan(replace(BURST, limit=30))
        == 2 * makespan(replace(BURST, limit=60))
    )
    assert makespan(replace(BURST, limit=80)) == makespan(replace(BURST, limit=60))
    kept = replace(LINK, kept=True)
    assert makespan(kept) < makespan(LINK)
    assert makespan(replace(kept, rtt=0.0)) == makespan(replace(LINK, rtt=0.0))
    assert makespan(replace(kept, limit=40)) == makespan(replace(LINK, limit=40))


def test_words_hold_the_numbers() -> None:
    """Makespan, throughput, mean wait; a nearly empty last round, unused slots and the other manner are said."""
    assert "makespan 3.0 s, 20 requests/s, mean wait 1.4 s" in burst_line(compute(Setting(60, 3, 0.15)))
    assert "the last one has 1 request for 59 slots" in burst_line(compute(replace(BURST, limit=59)))
    assert "20 slots never used" in burst_line(compute(replace(BURST, limit=80)))
    assert "nobody waits" in burst_line(compute(replace(BURST, limit=80)))
    assert "Connections kept: 440 ms, shorter by a factor of 1.5." in link_line(
        compute(Setting(40, 10, 0.05, 0.04, False, True))
    )
    assert "Connections kept: just as long." in link_line(compute(replace(LINK, limit=40)))


def svg_of(drawn: Drawn) -> ElementTree.Element:
    return ElementTree.fromstring(drawn.svg)


PANELS = [turn_the_knobs, turn_the_link, lambda: turn_the_knobs(2), lambda: turn_the_link(2, limit=9, rtt=0.0)]


@pytest.mark.parametrize("make", PANELS)
def test_a_twin_is_a_sound_picture_with_words_that_says_it_is_computed(make: Any) -> None:
    """Well-formed, on opaque white, same twice; the description is long enough to replace it."""
    panel = make()
    for drawn, again in ((panel.twin, make().twin), (panel.picture(), make().picture())):
        assert drawn == again
        root = svg_of(drawn)
        assert root.find("{*}rect").attrib["fill"] == "white"  # type: ignore[union-attr]
        seen = " ".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))
        assert "computed: nothing but" in seen
        assert "computed: nothing but" in drawn.description
        shown = drawn._repr_mimebundle_()
        assert re.search(r'<img alt="[^"]{40,}" src="data:image/svg\+xml;base64,', shown["text/html"])
        assert shown["text/plain"] == drawn.description
        assert all(0 <= float(r.attrib.get("y", 0)) <= float(root.attrib["height"]) for r in root.iter("{*}rect"))


def test_the_time_axis_stays_while_the_burst_gets_faster() -> None:
    """A faster setting is a shorter picture on the start's scale, not the same picture with other numbers."""

    def right(now: Setting) -> float:
        drawn = burst_picture(now, BURST, most=80, latencies=(0.05, 0.5))
        found = [r for r in svg_of(drawn).iter("{http://www.w3.org/2000/svg}rect") if r.attrib.get("fill") == "#7d8790"]
        return max(float(r.attrib["x"]) + float(r.attrib["width"]) for r in found) - 92

    assert right(replace(BURST, limit=6)) == pytest.approx(right(BURST) / 2, rel=0.02)
    assert right(replace(BURST, limit=1)) == pytest.approx(right(BURST), rel=0.02)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a cell displays."""
    found: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", lambda thing, **_: found.append(thing))
    return found


def test_with_widgets_the_panel_comes_first_and_its_twin_below(shown: list[Any]) -> None:
    """Two outputs: the widget, with words for who cannot show it, and always the twin."""
    panel = turn_the_knobs()
    panel._ipython_display_()
    widget, twin = shown
    assert set(widget) == {MODEL, "text/html", "text/plain"}
    assert "picture below" in widget["text/html"]
    assert "<img" not in widget["text/html"]  # else the twin would be there twice
    assert twin is panel.twin


def test_without_widgets_the_twin_is_all_and_the_rest_works(shown: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ipywidgets cannot be imported nothing fails; the knobs can still be turned from code."""
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    panel = turn_the_link()
    panel._ipython_display_()
    assert shown == [panel.twin]
    panel.turn("kept", True)
    assert "connections kept" in panel.html()
    assert repr(panel) == panel.twin.description


def test_only_one_function_needs_widgets() -> None:
    """The import stands inside, so that a course without widgets loses its knobs and nothing else."""
    tree = ast.parse(Path(knobs.__file__).read_text(encoding="utf-8"))
    inside = [node for node in ast.walk(tree) if isinstance(node, ast.Import) and node.names[0].name == "ipywidgets"]
    assert inside
    assert not any(node in tree.body for node in inside)


def test_turning_a_knob_redraws_picture_and_words() -> None:
    """Each knob of both panels changes the alternative text; milliseconds become seconds; a field keeps its range."""
    for panel, turns in (
        (turn_the_knobs(), {"limit": 59, "latency": 300}),
        (turn_the_link(), {"rtt": 120, "limit": 7, "kept": True, "tls": False}),
    ):
        view = panel.widget().children[1]
        for part, value in turns.items():
            before, drawn = view.value, panel.drawn
            panel.fields[part].value = value
            assert view.value != before
            assert panel.drawn == drawn + 1
        assert view.value.count("<img alt=") == 1
    panel = turn_the_knobs()
    panel.widget()
    panel.fields["latency"].value = 300
    assert panel.setting.latency == 0.3
    panel.fields["limit"].value = 10_000
    assert panel.setting.limit == 80


def test_every_knob_is_a_field_with_a_label_that_a_keyboard_can_turn() -> None:
    """Number fields and boxes only: JupyterLab's command mode takes the arrow keys from lists and radio buttons."""
    for panel in (turn_the_knobs(), turn_the_link()):
        panel.widget()
        assert len(panel.fields) >= 2
        for field in panel.fields.values():
            assert type(field).__name__ in {"BoundedIntText", "Checkbox"}
            assert field.description


def test_a_panel_shown_twice_is_one_panel() -> None:
    """Both places show the same knobs and the same picture."""
    panel = turn_the_knobs()
    first, second = panel.widget(), panel.widget()
    panel.fields["limit"].value = 30
    assert first.children[1] is second.children[1]
    assert "done after 300 ms" in panel.picture().svg


@pytest.mark.parametrize(
    "make",
    [
        lambda: turn_the_knobs(1), lambda: turn_the_knobs(limit=0), lambda: turn_the_knobs(latency=-1),
        lambda: turn_the_knobs(latency=0), lambda: turn_the_link(latency=0.0),
        lambda: turn_the_link(rtt=float("nan")), lambda: Setting(10**9, 1, 0.1),
    ],
)  # fmt: skip
def test_a_burst_that_cannot_be_is_refused_in_one_line(make: Any) -> None:
    """The message has the value's name and a cure."""
    with pytest.raises(SettingsError, match="give") as refused:
        make()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("requests", [2, 3, 7, 30, 61, 900])
def test_all_that_knobs_can_say_can_be_drawn(requests: int) -> None:
    """The ends of every range and their combinations: no division by nothing, no lost axis."""
    for panel in (turn_the_knobs(requests), turn_the_link(requests)):
        panel.widget()
        for part, field in panel.fields.items():
            for value in (True, False) if isinstance(field.value, bool) else (field.min, field.max):
                panel.turn(part, value)
                svg_of(panel.picture())
                assert "nan" not in panel.picture().svg


def test_failures_of_the_measured_burst_are_said() -> None:
    """Requests that failed are counted beside the makespans."""
    trial = made_trial("fake-3", Workload(60, 0.15), fail=7)
    assert measured_line(Setting(60, 3, 0.15), trial).endswith("7 of 60 failed.")
    svg_of(beside_measured(Setting(60, 3, 0.15), trial))


@pytest.mark.parametrize(
    "panel",
    [turn_the_knobs(12, limit=4, latency=0.1), *(turn_the_link(12, limit=4, latency=0.05, rtt=0.05) for _ in "ab")],
    ids=["burst", "anew", "kept"],
)
async def test_the_computation_is_a_floor_and_not_far_below_the_lab(
    panel: Panel, request: pytest.FixtureRequest
) -> None:
    """One measured trial: never faster than computed, and of its order; the lab is put back as it was."""
    seen: list[Any] = []
    if request.node.callspec.id == "kept":
        panel.turn("kept", True)
    with Lab(latency=0.02) as lab, pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            knobs.picture,
            "beside_measured",
            lambda one, trial: seen.append((one, trial)) or beside_measured(one, trial),
        )
        before = lab.conditions
        drawn = await at_the_lab(panel, lab)
        assert lab.conditions == before
    one, trial = seen[0]
    assert trial.errors == 0
    assert makespan(one) <= trial.makespan_s <= 4 * makespan(one)
    # A pool of threads may dial once or twice too often.
    assert trial.witness.connections == one.dialled or (one.kept and trial.witness.connections < one.requests)
    assert "Computed" in drawn.description
    svg_of(drawn)


async def test_a_long_run_of_what_the_knobs_say_is_watched_and_a_short_one_is_not() -> None:
    """Beyond some seconds the slots are shown while they fill, so nobody sits before a still page."""
    watched: list[bool] = []

    async def watching(*seen: Any, watch: bool, requests: int) -> Any:
        watched.append(watch)
        return made_trial("fake-2", Workload(requests))

    panel = turn_the_knobs(12, limit=2, latency=0.05)
    with Lab(latency=0.02) as lab, pytest.MonkeyPatch.context() as patch:
        patch.setattr(knobs, "observe", watching)
        patch.setattr(knobs.picture, "beside_measured", lambda one, trial: None)
        for long in (0.29, 0.31):  # 6 rounds of 0.05 s
            patch.setattr(knobs, "LONG_S", long)
            await at_the_lab(panel, lab)
    assert watched == [True, False]
