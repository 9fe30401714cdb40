"""The article's table beside a race: its figures, ours, and ours with the fair control, each with its ratio."""

from __future__ import annotations

import pytest
from made_race import made_race, without

from supalab.course.beside import beside_the_article, makespan_of
from supalab.errors import TrialError
from supalab.measure.record import Record
from supalab.measure.workload import Workload

ARMS = ("fake-3", "fake-10", "article-10")


def test_each_figure_of_the_article_has_ours_and_the_control_beside_it() -> None:
    """The limit's factor is there against fake-3 and gone against fake-10; what was not claimed is a dash."""
    found = beside_the_article(made_race(*ARMS, workload=Workload(60, 0.15)))
    rows = {row.what: row for row in found.rows}
    assert len(rows) == 6
    assert rows["most in flight"].article.startswith("3 → 10")
    assert "3.3)" in rows["most in flight"].here
    assert "1.0)" in rows["most in flight"].control
    assert rows["one request, being served"].article == "450 ms → 150 ms  (÷ 3.0)"
    assert rows["one request, with its wait"].article == "-"
    assert "1.0)" in rows["requests per second"].control
    assert rows["memory of the process"].article == "250 MB → 180 MB  (÷ 1.4)"
    assert "fair control: fake-10 → article-10" in str(found)
    assert all(row.what in found._repr_mimebundle_()["text/html"] for row in found.rows)


def test_another_bursts_makespan_is_its_rounds_by_those_measured() -> None:
    """Sixty requests through three are twenty rounds, a hundred are thirty-four; through ten they are six and ten."""
    for arm, rounds, more in (("fake-3", 20, 34), ("fake-10", 6, 10)):
        trial = made_race(arm, workload=Workload(60, 0.15)).trials[0]
        assert makespan_of(trial, 100) == pytest.approx(trial.makespan_s / rounds * more)
        assert makespan_of(trial, 60) == pytest.approx(trial.makespan_s)


def test_what_cannot_be_compared_is_refused() -> None:
    """An arm that did not run, a race without a witness and one without memory are told in one line."""
    with pytest.raises(TrialError, match="no trial of arm 'fake-10'"):
        beside_the_article(made_race("fake-3", "article-10"))
    with pytest.raises(TrialError, match="what a lab saw, and memory"):
        beside_the_article(made_race(*ARMS, witnessed=False))
    with pytest.raises(TrialError, match="what a lab saw, and memory"):
        beside_the_article(Record("race", tuple(without(trial, "added_bytes") for trial in made_race(*ARMS).trials)))
