"""The article's table, compared with a race: each number as stated, as measured, and with the fair control."""

from __future__ import annotations

import pytest
from made_race import made_race, without

from supalab.course import compare_with_article
from supalab.course.article_table import total_time_of
from supalab.errors import TrialError
from supalab.measure.case import Workload
from supalab.measure.record import Record

ARMS = ("fake-3", "fake-10", "article-10")


def test_each_number_of_the_article_stands_with_ours_and_the_control() -> None:
    """The limit's factor is there against fake-3 and gone against fake-10; what was not claimed is a dash."""
    found = compare_with_article(made_race(*ARMS, workload=Workload(60, 0.15)))
    rows = {str(what): [str(cell) for cell in cells] for what, *cells in found.rows}
    assert len(rows) == 6
    article, here, control = rows["most in flight"]
    assert article.startswith("3 → 10")
    assert "3.3)" in here
    assert "1.0)" in control
    assert rows["service time"][0] == "450 ms → 150 ms (÷3.0)"
    assert rows["queue + service time"][0] == "-"
    assert "1.0)" in rows["requests per second"][2]
    assert rows["process memory"][0] == "250 MB → 180 MB (÷1.4)"
    assert "fake-10 → article-10" in str(found)
    assert "…" not in str(found), "cut"
    assert all(what in found._repr_mimebundle_()["text/html"] for what in rows)


def test_the_total_time_of_another_burst_is_its_waves_by_those_measured() -> None:
    """Sixty requests through three are twenty waves, a hundred are thirty-four; through ten they are six and ten."""
    for arm, waves, more in (("fake-3", 20, 34), ("fake-10", 6, 10)):
        trial = made_race(arm, workload=Workload(60, 0.15)).trials[0]
        assert total_time_of(trial, 100) == pytest.approx(trial.makespan_s / waves * more)
        assert total_time_of(trial, 60) == pytest.approx(trial.makespan_s)


def test_what_cannot_be_compared_is_refused() -> None:
    """An arm that did not run, a race without a witness and one without memory are told in one line."""
    with pytest.raises(TrialError, match="no trial of arm 'fake-10'"):
        compare_with_article(made_race("fake-3", "article-10"))
    with pytest.raises(TrialError, match="what a lab saw, and memory"):
        compare_with_article(made_race(*ARMS, witnessed=False))
    with pytest.raises(TrialError, match="what a lab saw, and memory"):
        compare_with_article(Record("race", tuple(without(trial, "added_bytes") for trial in made_race(*ARMS).trials)))
