"""Any blog's table, checked with Little's law: what agrees, what follows, and what contradicts."""

from __future__ import annotations

import pytest

from supalab.errors import SettingsError
from supalab.measure.littles_law import Row, blog_table, row_of

BEFORE = Row(limit=3, response_s=0.45, per_s=6.7, n=100, total_s=15)
AFTER = Row(limit=10, response_s=0.15, per_s=20, n=100, total_s=5)


def kinds(reading, column):
    return [kind for name, kind, _ in reading.rows if name == column]


def test_the_articles_table_contradicts_itself_after_and_not_before() -> None:
    """Three in flight explain both columns; ten would take 1.5 s; the limit had no part in the gain."""
    reading = blog_table(BEFORE, AFTER)
    assert kinds(reading, "before") == ["agree", "agree"]
    assert kinds(reading, "after") == ["agree", "imply", "contradict"]
    said = " ".join(str(reading).split())
    assert "are 3 in flight: a limit of 10 is not the bottleneck" in said
    assert "66.7 per second, done in 1.5 s, not 5 s" in said
    assert "each request took 500 ms" in said
    assert "The limit is 3.3x, but it had no effect" in said
    assert max(map(len, str(reading).splitlines())) <= 100


def test_a_table_in_which_the_limit_earned_the_gain_is_consistent() -> None:
    """Ten in flight at the same response time: more in flight explains the throughput, without a contradiction."""
    reading = blog_table(BEFORE, Row(limit=10, response_s=0.45, per_s=22, n=100, total_s=4.5))
    assert "contradict" not in kinds(reading, "before") + kinds(reading, "after")
    assert "3.3x because more requests are in flight and 1x because each takes less time" in " ".join(
        str(reading).split()
    )
    assert "had no part" not in str(reading)


def test_more_in_flight_than_allowed_is_a_contradiction() -> None:
    """100/s of 150 ms each need fifteen slots; a burst that ends too soon is the same contradiction."""
    for row in (Row(limit=10, response_s=0.15, per_s=100), Row(limit=10, response_s=0.15, n=100, total_s=1)):
        ((_, kind, sentence),) = blog_table(row).rows
        assert kind == "contradict"
        assert "15 in flight, more than the limit of 10" in sentence


def test_throughput_of_another_run_is_told_from_that_of_the_burst() -> None:
    """100 requests in 5 s are 20/s; 50/s come from another run."""
    assert kinds(blog_table(Row(per_s=50, n=100, total_s=5)), "table") == ["contradict"]
    assert kinds(blog_table(Row(per_s=20.5, n=100, total_s=5)), "table") == ["agree"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("limit=10,rate=20", "a request takes 500 ms"),
        ("limit=10,response=500ms", "20 per second at most"),
        ("limit=10,response=0.5,n=100", "100 requests take 5 s at least"),
        ("rate=20,response=0.15", "are 3 in flight."),
        ("limit=3,response=0.45,n=4,total=0.9", "the limit of 3 is the bottleneck"),
    ],
)
def test_two_figures_imply_the_third(words: str, said: str) -> None:
    """From any two numbers the third follows, and nothing is called a contradiction."""
    reading = blog_table(row_of(words))
    assert "contradict" not in kinds(reading, "table")
    assert said in " ".join(str(reading).split())


@pytest.mark.parametrize("words", ["limit=10", "n=100,total=5", "response=1", "n=100,limit=3"])
def test_too_little_is_said_to_be_too_little(words: str) -> None:
    """One number alone implies nothing, and the answer says so."""
    assert kinds(blog_table(row_of(words)), "table") == ["lack"]


def test_numbers_agree_within_15_per_cent() -> None:
    """3.3 in flight counts as 3; 3.5 counts as more."""
    assert kinds(blog_table(Row(limit=3, response_s=0.5, per_s=6.6)), "table") == ["agree"]
    assert kinds(blog_table(Row(limit=3, response_s=0.5, per_s=7.0)), "table") == ["contradict"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("limit=3,speed=4", "'speed=4' in"),
        ("limit", "'limit' in .*not a number"),
        ("limit=3,limit=4", "'limit=4' in .*once"),
        ("limit=0", "limit 0.0 is not a number above 0"),
        ("response=nan", "response_s nan"),
        ("response=fast", "not a number"),
    ],
)
def test_words_that_are_no_table_are_one_line(words: str, said: str) -> None:
    """The part that is wrong is named."""
    with pytest.raises(SettingsError, match=said) as caught:
        row_of(words)
    assert "\n" not in str(caught.value)
