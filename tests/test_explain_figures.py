"""The pictures of an explanation: every factor in their words, nothing overlaps, odd explanations do not break them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from figure_checks import drawn_texts, overlap
from made_explanation import LEVELS, made_explanation
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from supalab.errors import TrialError
from supalab.experiments.explain import explained, link_notes, notes
from supalab.experiments.explain_figure import by_link, waterfall
from supalab.measure.record import Record
from supalab.report.plot import description, save

DRAWINGS = (waterfall, by_link)


def _texts(fig: Figure) -> list[str]:
    fig.draw_without_rendering()
    return [text.get_text() for text in drawn_texts(fig)]


@pytest.mark.parametrize("draw", DRAWINGS)
def test_the_same_explanation_gives_the_same_bytes_with_its_words(
    draw: Callable[[Record], Figure], tmp_path: Path
) -> None:
    """Two pictures are identical files, and each carries its description."""
    first, again = (save(draw(made_explanation()), tmp_path / f"{name}.png").read_bytes() for name in "ab")
    assert first == again
    assert description(draw(made_explanation())).encode("latin-1") in first


def test_the_description_has_every_sentence() -> None:
    """What each factor saved, both sums and CPU; over links, each factor and link."""
    found = made_explanation()
    for note in notes(found):
        assert note.removeprefix("- ") in description(waterfall(found))
    for note in link_notes(explained(found)):
        assert note in description(by_link(found))


def test_a_bar_hangs_where_the_one_before_it_ended() -> None:
    """Levels start at zero, factors lead from one level to the next, in the order of the chain."""
    bars = [bar for bar in waterfall(made_explanation()).axes[0].patches if isinstance(bar, Rectangle)]
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
    assert len(bars) == 11
    assert [ends[row][0] for row in (0, 5, 10)] == [0, 0, 0]
    assert [ends[row][1] for row in (0, 5, 10)] == pytest.approx([LEVELS[0], LEVELS[4], LEVELS[8]])
    assert ends[1] == pytest.approx((LEVELS[1], LEVELS[0]))
    assert ends[4] == pytest.approx((LEVELS[3], LEVELS[4])), "async costs: the bar rises again"


def test_a_remainder_has_a_row_when_it_is_over_one_per_cent() -> None:
    """Seconds on no factor are drawn and named; a hundredth of the whole is not."""
    assert "remainder" not in _texts(waterfall(made_explanation(off=0.05)))
    assert _texts(waterfall(made_explanation(off=0.5))).count("remainder") == 1


@pytest.mark.parametrize(
    "found",
    [
        made_explanation(),
        made_explanation(jitter=0.08, off=0.6, errors=7),
        made_explanation(off=LEVELS[0]),
        made_explanation(limit=100, levels=(18.4, 1.9, 1.2, 2.5, 9.8, 15.3, 13.9, 17.1, 4.5), repeat=1),
    ],
    ids=["usual", "noisy and failed", "nothing earned", "another limit"],
)
@pytest.mark.parametrize("draw", DRAWINGS)
def test_no_two_texts_meet(draw: Callable[[Record], Figure], found: Record) -> None:
    """No words overlap and none leaves the page, whatever was found."""
    fig = draw(found)
    fig.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn_texts(fig)]
    page = fig.bbox
    assert [said for said, b in boxes if b.x0 < page.x0 or b.x1 > page.x1 or b.y0 < page.y0 or b.y1 > page.y1] == []
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]]
    assert [(a[0], b[0]) for a, b in pairs if overlap(a[1], b[1])] == []


def test_nothing_to_draw_is_said() -> None:
    """Without links there is no figure of them, without a finished round none at all."""
    with pytest.raises(TrialError, match="no links"):
        by_link(made_explanation(links=False))
    with pytest.raises(TrialError, match="no round was finished"):
        waterfall(replace(made_explanation(), trials=()))
    mine = Figure(figsize=(11, 8))
    assert waterfall(made_explanation(), fig=mine) is mine
