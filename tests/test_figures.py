"""Figures: their descriptions match, they are the same twice, and odd trials do not break them."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from itertools import pairwise

import matplotlib.colors
import pytest
from figure_checks import drawn_texts, overlap
from made_race import made_race, made_trial, of_spans, without
from matplotlib.figure import Figure
from PIL import Image

from supalab.errors import SettingsError, TrialError
from supalab.experiments import race_figure
from supalab.experiments.race import describe
from supalab.experiments.race_figure import in_lanes, side_by_side, timeline
from supalab.measure.case import Span, Trial, Workload
from supalab.measure.record import Record
from supalab.report.plot import colour, description, save


def raced(*trials: Trial) -> Record:
    return Record("race", trials)


DRAWINGS = (side_by_side, timeline)


def texts(fig: Figure) -> list[str]:
    fig.draw_without_rendering()
    return [text.get_text() for text in fig.findobj(lambda a: hasattr(a, "get_text")) if text.get_text()]


@pytest.mark.parametrize("draw", DRAWINGS)
def test_the_same_trials_give_the_same_bytes(draw, tmp_path):
    """Two pictures of the same trials are identical files, whatever the caller's own settings are."""
    first = save(draw(made_race()), tmp_path / "a.png").read_bytes()
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30}):
        again = save(draw(made_race()), tmp_path / "b.png").read_bytes()
    assert first == again


@pytest.mark.parametrize("draw", DRAWINGS)
def test_a_picture_carries_its_words(draw, tmp_path):
    """The description holds the numbers, goes into the PNG and becomes the notebook image's alternative text."""
    fig = draw(made_race())
    said = description(fig)
    assert said.endswith(describe(made_race()))
    assert all(part in said for part in ("fake-3: at most 3 in flight over 100 connections", "fair control"))
    assert said.encode("latin-1") in save(fig, tmp_path / "a.png").read_bytes()
    assert f'alt="{said}"' in fig._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize("draw", DRAWINGS)
def test_a_saved_picture_is_small_and_keeps_its_colours(draw, tmp_path):
    """A palette halves the file at least; white stays white and every arm's colour is there as it was drawn."""
    fig, full = draw(made_race()), tmp_path / "full.png"
    fig.savefig(full, dpi=200)
    saved = save(fig, tmp_path / "a.png")
    assert saved.stat().st_size < full.stat().st_size / 2
    with Image.open(saved) as small, Image.open(full) as plain:
        assert small.size == plain.size
        image, drawn = small.convert("RGB"), plain.convert("RGB")
    counts = sorted(drawn.getcolors(drawn.width * drawn.height), reverse=True)
    kept = {colour for _, colour in image.getcolors(256)}
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert {colour for _, colour in counts[:5]} <= kept


@pytest.mark.parametrize("draw", DRAWINGS)
def test_the_control_is_called_the_control(draw):
    """The arm with threads and the same limit is named as the fair control in the picture itself."""
    assert any("fair control of real-10" in text for text in texts(draw(made_race())))


def test_the_title_says_threads_or_async_only_if_the_control_kept_pace():
    """A control that is slower, or errors, take the sentence out of the title."""
    kept = texts(side_by_side(made_race()))
    assert any("with threads or with async" in text for text in kept)
    slow = _slower("fake-10", 2)
    for control in (slow, made_trial("fake-10", fail=1)):
        trials = raced(made_trial("fake-3"), control, made_trial("real-10"))
        assert not any("with threads or with async" in text for text in texts(side_by_side(trials)))


def _slower(arm: str, factor: float) -> Trial:
    trial = made_trial(arm)
    return of_spans(trial, [span._replace(done=round(span.done * factor, 6)) for span in trial.spans])


def test_the_words_say_same_pace_only_where_the_title_would():
    """Within a tenth they finish together; beyond it the later one is named, whichever it is; 0 % is not claimed."""
    together = describe(raced(_slower("fake-10", 1), replace(_slower("fake-10", 1), case=made_trial("real-10").case)))
    assert "with the same limit they finish within less than 1% of each other" in together
    late = describe(raced(_slower("fake-10", 2), made_trial("real-10")))
    assert re.search(r"with the same limit fake-10 finishes 1\.\d s \((9|10)\d%\) after real-10\.", late)
    early = describe(raced(made_trial("fake-10"), _slower("real-10", 2)))
    assert re.search(r"with the same limit real-10 finishes 1\.\d s \((9|10)\d%\) after fake-10\.", early)
    assert "within" not in late + early


def test_the_memory_of_repeats_is_called_a_median_and_stands_off_the_dots():
    """With repeats the number is away from the dots; a single trial's number is next to its bar."""
    one = made_trial("real-10", repeat=1)
    outlier = replace(one, numbers={**one.numbers, "added_bytes": 9_000_000})
    fig = side_by_side(raced(made_trial("real-10"), outlier))
    label = next(text for text in fig.axes[2].texts if "MB" in text.get_text())
    assert label.get_text().startswith("median ")
    fig.draw_without_rendering()
    dots = fig.axes[2].transData.transform([(9.0, 0.0)])[0]
    assert not label.get_window_extent().contains(*dots)
    assert label.get_window_extent().y0 > dots[1]
    single = side_by_side(raced(made_trial("real-10")))
    assert any(re.fullmatch(r"[\d.]+ MB", text.get_text()) for text in single.axes[2].texts)


def test_failures_stand_beside_the_speeds():
    """Failures of an arm are in the title, at its row and in the description."""
    trials = raced(made_trial("fake-3", fail=7), made_trial("real-3"))
    fig = side_by_side(trials)
    assert sum("7 of 100 failed" in text or "(7 failed)" in text for text in texts(fig)) >= 2
    assert "7 of 100 requests failed" in description(fig)


def test_what_was_not_witnessed_is_said_instead_of_drawn():
    """Without a lab the first column holds words and no steps."""
    fig = side_by_side(made_race(witnessed=False))
    assert sum("not witnessed" in text for text in texts(fig)) == 3
    assert not any(axes.collections for axes in fig.axes[::3])


def _without_slots(found: Record) -> Record:
    return raced(*(of_spans(t, [s._replace(started=None) for s in t.spans]) for t in found.trials))


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize(
    "trials",
    [
        raced(made_trial("fake-3", fail=100), made_trial("real-10")),
        made_race(workload=Workload(requests=1, latency=0.0)),
        _without_slots(made_race(witnessed=False)),
        raced(*(without(t, "base_bytes", "added_bytes") for t in made_race().trials)),
        made_race("fake-3", "fake-100", "real-100", workload=Workload(300, 0.05)),
        made_race("fake-3", "fake-10", "session-10", "article-10", "real-3", "real-10", repeats=3),
    ],
    ids=["all failed", "one request", "no slots known", "no memory", "crowded", "six arms"],
)
def test_odd_trials_make_a_picture_too(draw, trials, tmp_path):
    """A PNG of the project's width comes out, whatever is missing."""
    data = save(draw(trials, arms=trials.arms), tmp_path / "odd.png").read_bytes()
    assert struct.unpack(">I", data[16:20]) == (2200,)


@pytest.mark.parametrize("draw", DRAWINGS)
def test_a_given_figure_is_drawn_on(draw):
    """Drawn into the caller's own figure, with its words put on it."""
    mine = Figure(figsize=(11, 6))
    assert draw(made_race(), fig=mine) is mine
    assert mine.axes
    assert "fake-3" in description(mine)


def test_no_two_texts_meet():
    """In the usual picture no words overlap and none leaves the page."""
    for fig in (side_by_side(made_race(repeats=2)), timeline(made_race())):
        fig.draw_without_rendering()
        boxes = [text.get_window_extent() for text in drawn_texts(fig)]
        inside = fig.bbox
        assert len(boxes) > 10
        assert all(inside.x0 <= b.x0 and b.x1 <= inside.x1 and inside.y0 <= b.y0 and b.y1 <= inside.y1 for b in boxes)
        pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]]
        assert not [1 for a, b in pairs if overlap(a, b)]


def test_kinds_differ_in_lightness():
    """In grey the kinds of client are still apart, fake and real by far."""

    def grey(arm: str) -> float:
        red, green, blue = matplotlib.colors.to_rgb(colour(arm))
        return 0.299 * red + 0.587 * green + 0.114 * blue

    greys = sorted(grey(arm) for arm in ("fake-3", "session-3", "article-3", "real-3"))
    assert min(b - a for a, b in pairwise(greys)) > 0.02
    assert grey("fake-3") - grey("real-3") > 0.3


def test_as_many_lanes_as_slots():
    """A burst over three slots takes three lanes, and every request is in one."""
    placed = in_lanes(made_trial("fake-3").spans, 3)
    assert {lane for lane, _ in placed} == {0, 1, 2}
    assert len(placed) == 100


def test_a_client_that_breaks_its_limit_shows_more_lanes():
    """Requests that clearly overlap are never put into one lane, whatever the limit says."""
    assert {lane for lane, _ in in_lanes([Span(0, 0, 1), Span(0, 0.2, 1.2), Span(0, 0.9, 1.9)], 1)} == {0, 1}


@pytest.mark.parametrize("name", ["picture.gif", "picture", "nowhere/picture.png"])
def test_a_picture_that_cannot_be_written_is_refused_by_name(name, tmp_path):
    """A wrong ending or a missing folder is one clear line."""
    with pytest.raises(SettingsError, match="picture"):
        save(side_by_side(made_race()), tmp_path / name)


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_vector_pictures_are_the_same_twice(suffix, tmp_path):
    """No date and no random name gets into SVG or PDF."""
    files = [save(timeline(made_race()), tmp_path / f"{i}{suffix}").read_bytes() for i in (1, 2)]
    assert files[0] == files[1]


def test_an_arm_that_did_not_run_is_refused():
    """Asking for an absent arm names it."""
    with pytest.raises(TrialError, match="'real-99'"):
        timeline(made_race(), arms=["real-99"])
    with pytest.raises(TrialError, match="no trials"):
        side_by_side(raced())


def test_a_panel_goes_on_axes_of_yours():
    """Each draw function fills the axes it is given, and nothing else."""
    trials = made_race().of("fake-3")
    fig = Figure()
    axes = fig.subplots(5)
    race_figure.draw_in_flight(axes[0], trials)
    race_figure.draw_latency(axes[1], trials)
    race_figure.draw_memory(axes[2], trials)
    race_figure.draw_lanes(axes[3], trials[0])
    race_figure.draw_waiting(axes[4], trials)
    assert all(ax.has_data() for ax in axes)
