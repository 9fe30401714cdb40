"""Capacity without a service: the search, bare slots, what the record says, and its tables and pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supalab.capacity.result import FORM, ArmCapacity, Capacity, Step, goals
from supalab.capacity.search import FINE, MOST_RATE, bracket, next_rate, search
from supalab.capacity.slots import slots_capacity, slots_responses
from supalab.capacity.table import tables
from supalab.errors import TrialError
from supalab.figures.capacity import capacity_picture, load_picture
from supalab.load.run import LoadRecord
from supalab.load.shots import Load, Shot
from supalab.report.plot import description
from supalab.report.table import text as plain

STEPS = (5.0, 10.0, 20.0, 40.0, 80.0)


@pytest.mark.parametrize("true_capacity", [6.0, 13.0, 19.9, 39.0, 57.0, 79.0])
def test_the_search_finds_a_capacity_between_the_steps(true_capacity: float) -> None:
    """Whatever the capacity of a made-up service is, the search encloses it as finely as it promises."""
    tried = search(lambda rate: rate <= true_capacity, STEPS)
    good, bad = bracket(tried)
    assert good is not None
    assert bad is not None
    assert good <= true_capacity < bad
    assert bad - good <= FINE * bad
    assert len(tried) <= len(STEPS) + 6


def test_the_search_climbs_first_and_looks_one_step_beyond() -> None:
    """The steps come in order up to the first bad one and one more; then every rate lies in the gap."""
    order = list(search(lambda rate: rate <= 13, STEPS))
    assert order[:5] == [5, 10, 20, 40, 15]
    assert all(10 < rate < 20 for rate in order[4:])


def test_a_search_that_finds_no_bad_rate_doubles_and_ends() -> None:
    """A service that takes everything has a capacity of at least the highest rate that was tried."""
    tried = search(lambda rate: True, (5.0, 10.0))
    assert bracket(tried) == (MOST_RATE, None)


def test_a_search_that_finds_no_good_rate_ends() -> None:
    """A service that takes nothing has none, and the search does not go on for ever."""
    tried = search(lambda rate: False, STEPS)
    assert bracket(tried)[0] is None
    assert next_rate(tried, STEPS) is None
    assert len(tried) < 15


def test_a_bad_rate_below_a_good_one_counts() -> None:
    """A disturbed step may be bad below a good one: the capacity is the careful reading."""
    assert bracket({5: True, 10: False, 20: True}) == (5, 10)


def test_bare_slots_queue_first_come_first_served() -> None:
    """Three arrivals at once at two slots: the third waits for the first."""
    assert slots_responses([0.0, 0.0, 0.0, 1.0], 2, 0.15) == pytest.approx([0.15, 0.15, 0.3, 0.15])


def test_ten_slots_take_more_than_ten_thirds_of_three() -> None:
    """Bursts hurt few slots more: by Poisson arrivals 3 to 10 slots earn more than 10/3, as queueing theory says."""
    how = {"steps": STEPS, "duration": 60.0, "requests": 1000, "seed": 2, "fine": FINE}
    three, ten = (slots_capacity(slots, 0.15, **how) for slots in (3, 10))  # type: ignore[arg-type]
    assert three is not None
    assert ten is not None
    assert 0.5 * 20 < three < 20
    assert 10 / 3 < ten / three < 6


def made_step(rate: float, p95: float | None, *, good: bool, errors: dict[str, int] | None = None) -> Step:
    p50, mean = None if p95 is None else 0.15, round(0.15 * rate, 4)
    return Step(rate, rate, rate, 100, p50, p95, p95, errors or {}, 3, mean, 100, 48_000_000, 0.002, good)


def made_arm(name: str, capacity: float, *, never: bool = False) -> ArmCapacity:
    """An arm whose capacity lies between ``capacity`` and 5 per cent more."""
    steps = (
        made_step(5.0, 0.16, good=True),
        made_step(capacity, 0.29, good=True),
        made_step(round(1.04 * capacity, 2), 0.34, good=False),
        made_step(2 * capacity, None if never else 3.1, good=False, errors={"HTTP 504": 40} if never else {}),
    )
    return ArmCapacity(name, int(name.rpartition("-")[2]), 0.153, 20, 20, 44_000_000, steps)


def made_capacity(**arms: float) -> Capacity:
    names = arms or {"fake_3": 13.0, "fake_10": 56.0, "article_10": 55.0, "real_10": 57.0}
    return Capacity(
        when="2026-11-22T20:00:00+00:00",
        machine={"system": "Linux", "cpus": "2"},
        versions={"python": "3.11.7"},
        path="/contests?size=10",
        latency=0.15,
        duration=10.0,
        requests=150,
        seed=1,
        timeout=5.0,
        patience=10.0,
        steps=STEPS,
        fine=FINE,
        finished=True,
        arms=tuple(made_arm(name.replace("_", "-"), rate, never=name == "fake_3") for name, rate in names.items()),
    )


def test_goals_are_judged_by_the_fair_control_too() -> None:
    """Against three threads the gain is large, against ten threads it must be about one."""
    gain, control = goals(made_capacity())
    assert gain.value == pytest.approx(57 / 13)
    assert control.value == pytest.approx(57 / 56)
    assert gain.reached
    assert control.reached
    better = made_capacity(fake_3=13.0, fake_10=40.0, real_10=57.0)
    assert [goal.reached for goal in goals(better)] == [True, False]
    assert [goal.reached for goal in goals(made_capacity(fake_3=13.0))] == [None, None]


def test_a_capacity_record_is_the_same_after_the_file() -> None:
    """Same result, same bytes; another format is refused in one line."""
    found = made_capacity()
    assert FORM.loads(FORM.dumps(found)) == found
    with pytest.raises(TrialError, match="supalab capacity"):
        FORM.loads('{"format": "supalab-trials", "version": 1}')


def test_the_table_has_the_article_the_control_and_the_errors() -> None:
    """Nothing is cut: capacities, what never came, the article's row beside ours, the goals, errors by kind."""
    words = plain(tables(made_capacity()))
    assert max(map(len, words.splitlines())) <= 100
    assert "…" not in words
    for said in ("13.0", "56.0", "450 -> 150", "250 -> 180", "13 -> 57", "reached", "40 x HTTP 504", "bare"):
        assert said in words
    missing = plain(tables(replace(made_capacity(fake_3=13.0), finished=False)))
    assert "not measured" in missing
    assert "Interrupted" in missing
    assert "No client" in plain(tables(replace(made_capacity(), arms=())))


def test_the_picture_says_what_it_shows() -> None:
    """The description names every client with its capacity, the control, and how many failed."""
    said = description(capacity_picture(made_capacity()))
    for name in ("fake-3: 13.0/s", "fake-10: 56.0/s", "article-10: 55.0/s", "real-10: 57.0/s"):
        assert name in said
    assert "fair control" in said
    assert "40 requests failed" in said


def test_a_picture_is_drawn_of_whatever_was_finished() -> None:
    """One arm, an arm without steps, none: a picture all the same."""
    found = made_capacity(fake_3=13.0)
    for arms in (found.arms, (replace(found.arms[0], steps=()),), ()):
        assert "Response time" in description(capacity_picture(replace(found, arms=arms)))


def test_the_picture_of_a_load_counts_failures() -> None:
    """Each rate is in the description with its percentiles, or that they never came, and its failures."""
    shots = (Shot(0.0, 0.0, 0.15, "ok"), Shot(0.1, 0.1, 0.3, "ok"))
    good = Load("http://127.0.0.1:1/", 1.0, 5.0, None, 1, 10.0, 1.8e9, 0.01, shots)
    bad = replace(good, rate=10.0, shots=(Shot(0.0, 0.0, 10.0, "timeout"),))
    record = LoadRecord("2026-11-22T20:00:00+00:00", {}, {}, "GET /contests", True, (good, bad))
    said = description(load_picture(record))
    assert "5 a second: median 150 ms, p95 200 ms, p99 200 ms, 0 of 2 failed" in said
    assert "10 a second: median never, p95 never, p99 never, 1 of 1 failed" in said


def test_closed_callers_have_no_rate_to_draw_against() -> None:
    """The picture says so rather than being empty; the description has the figures all the same."""
    load = Load("http://127.0.0.1:1/", 1.0, None, 3, 1, 10.0, 1.8e9, 0.01, (Shot(0.0, 0.0, 0.15, "ok"),))
    fig = load_picture(LoadRecord("2026-11-22T20:00:00+00:00", {}, {}, "GET /contests", True, (load,)))
    assert "3 callers: median 150 ms" in description(fig)
    assert "no rate to draw" in " ".join(text.get_text() for text in fig.axes[0].texts)
