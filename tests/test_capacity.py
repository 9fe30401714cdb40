"""Capacity without a service: the search, the ideal queue, what the record says, and its tables and figure."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from supalab.experiments.capacity import (
    EXPERIMENT,
    FINE,
    MOST_RATE,
    bracket,
    compared,
    figure,
    ideal_capacity,
    ideal_queue,
    next_rate,
    search,
    services,
    tables,
)
from supalab.measure.case import Case, Trial, Workload
from supalab.measure.record import FORM, Record
from supalab.report.plot import description
from supalab.report.table import text as plain

STEPS = (5.0, 10.0, 20.0, 40.0, 80.0)


@pytest.mark.parametrize("true_capacity", [6.0, 13.0, 19.9, 39.0, 57.0, 79.0])
def test_the_search_finds_a_capacity_between_the_steps(true_capacity: float) -> None:
    """For any capacity of a made-up service, the search brackets it as finely as it promises."""
    tried = search(lambda rate: rate <= true_capacity, STEPS)
    good, bad = bracket(tried)
    assert good is not None
    assert bad is not None
    assert good <= true_capacity < bad
    assert bad - good <= FINE * bad
    assert len(tried) <= len(STEPS) + 6


def test_the_search_climbs_first_and_looks_one_step_beyond() -> None:
    """The steps come in order up to the first bad one and one more; then every rate is in the gap."""
    order = list(search(lambda rate: rate <= 13, STEPS))
    assert order[:5] == [5, 10, 20, 40, 15]
    assert all(10 < rate < 20 for rate in order[4:])


def test_a_search_that_finds_no_bad_rate_doubles_and_ends() -> None:
    """A service that handles everything has at least the highest rate that was tried as its capacity."""
    tried = search(lambda rate: True, (5.0, 10.0))
    assert bracket(tried) == (MOST_RATE, None)


def test_a_search_that_finds_no_good_rate_ends() -> None:
    """A service that handles nothing has no capacity, and the search ends."""
    tried = search(lambda rate: False, STEPS)
    assert bracket(tried)[0] is None
    assert next_rate(tried, STEPS) is None
    assert len(tried) < 15


def test_a_bad_rate_below_a_good_one_counts() -> None:
    """A disturbed step may be bad below a good one: the lower capacity counts."""
    assert bracket({5: True, 10: False, 20: True}) == (5, 10)


def test_the_ideal_queue_is_first_come_first_served() -> None:
    """Three arrivals at once at two slots: the third waits for the first."""
    assert ideal_queue([0.0, 0.0, 0.0, 1.0], 2, 0.15) == pytest.approx([0.15, 0.15, 0.3, 0.15])


def test_ten_slots_take_more_than_ten_thirds_of_three() -> None:
    """Bursts hurt few slots more: with random arrivals, 3 to 10 slots gain more than 10/3."""
    asked = {"steps": STEPS, "duration": 60.0, "requests": 1000, "seed": 2, "fine": FINE}
    three, ten = (ideal_capacity(slots, 0.153, asked) for slots in (3, 10))
    assert three is not None
    assert ten is not None
    assert 0.5 * 20 < three < 20
    assert 10 / 3 < ten / three < 6


def made_idle(name: str) -> Trial:
    idle = made_step(name, 1.0, 0.16)
    return replace(
        idle, numbers={**idle.numbers, "memory_bytes": 44_000_000}, case=replace(idle.case, tags={"rate": None})
    )


def made_step(name: str, rate: float, p95: float | None, *, errors: int = 0) -> Trial:
    numbers = {f"response_p{q}_s": p95 for q in (95, 99)} | {"response_p50_s": None if p95 is None else 0.153}
    numbers |= {"in_flight_mean": round(0.15 * rate, 4), "send_delay_p99_s": 0.002}
    failed = {"errors": errors, "failures": f"{errors} x HTTP 504" if errors else ""}
    counted = {"peak": 3, "served": 100, "memory_bytes": 48_000_000}
    return Trial(Case(name, Workload(100, 0.15), "serve", tags={"rate": rate}), {**numbers, **failed, **counted})


def made_arm(name: str, capacity: float, *, never: bool = False) -> tuple[Trial, ...]:
    """An arm whose capacity lies between ``capacity`` and 5 per cent more."""
    return (
        made_idle(name),
        made_step(name, 5.0, 0.16),
        made_step(name, capacity, 0.29),
        made_step(name, round(1.04 * capacity, 2), 0.34),
        made_step(name, 2 * capacity, None if never else 3.1, errors=40 if never else 0),
    )


def made_capacity(**arms: float) -> Record:
    rates = arms or {"fake_3": 13.0, "fake_10": 56.0, "article_10": 55.0, "real_10": 57.0}
    made = [made_arm(name.replace("_", "-"), rate, never=name == "fake_3") for name, rate in rates.items()]
    trials = [trial for arm in made for trial in arm]
    asked = {"arms": list(rates), "steps": list(STEPS), "latency": 0.15, "duration": 10.0, "requests": 150}
    asked |= {"fine": FINE, "most": MOST_RATE, "seed": 1, "timeout": 5.0}
    return Record("capacity", tuple(trials), asked, when="2026-11-22T20:00:00+00:00", machine={"cpus": "2"})


def test_capacities_are_compared_with_three_threads_and_with_the_control() -> None:
    """Against three threads the gain is large, against ten about one; missing values are left out."""
    found = compared(made_capacity())
    assert found["capacity real-10 / fake-3"] == pytest.approx(57 / 13)
    assert found["capacity real-10 / fake-10, the control"] == pytest.approx(57 / 56)
    assert not any("/ fake" in name for name in compared(made_capacity(fake_3=13.0)))


def test_a_rate_that_was_tried_again_counts_as_it_was_then() -> None:
    """A step whose generator was late is measured again, and the second result counts."""
    found = made_capacity(fake_3=13.0)
    again = replace(found, trials=(*found.trials, made_step("fake-3", 13.0, 0.9)))
    assert services(found).loc["fake-3", "capacity"] == 13.0
    assert services(again).loc["fake-3", "capacity"] == 5.0


def test_a_capacity_record_is_the_same_after_the_file() -> None:
    """Same result, same bytes."""
    found = made_capacity()
    assert FORM.loads(FORM.dumps(found)) == found


def test_the_table_has_the_article_the_control_and_the_errors() -> None:
    """Nothing is cut: capacities, what never came, the article's row next to ours, errors by kind."""
    words = plain(tables(made_capacity()))
    assert max(map(len, words.splitlines())) <= 100
    assert "…" not in words
    for said in ("13.0", "56.0", "450 -> 150", "250 -> 180", "13 -> 57", "never", "40 x HTTP 504", "ideal"):
        assert said in words
    first = plain(tables(made_capacity())[:1])
    assert "40*" in first
    assert re.search(r"^\* fake-3 at .*: 40 x HTTP 504$", first, re.MULTILINE), (
        "nothing below the table explains its star"
    )
    assert "Interrupted" in plain(tables(replace(made_capacity(fake_3=13.0), finished=False)))


def test_the_figure_says_what_it_shows() -> None:
    """The description names every client with its capacity, the control, and how many failed."""
    said = description(figure(made_capacity()))
    for name in ("fake-3: 13.0/s", "fake-10: 56.0/s", "article-10: 55.0/s", "real-10: 57.0/s"):
        assert name in said
    assert "control of real-10" in said
    assert "40 requests failed" in said


def test_a_figure_is_drawn_of_whatever_was_finished() -> None:
    """With one arm, or an arm without steps, there is still a figure."""
    found = made_capacity(fake_3=13.0)
    for trials in (found.trials, found.trials[:1]):
        assert "Response time" in description(figure(replace(found, trials=trials)))


def test_the_plan_tells_how_long_it_takes_before_anything_runs() -> None:
    """With ideal trials, the plan climbs and halves as usual: minutes, and less with the quick options."""
    assert EXPERIMENT.expected_s(**EXPERIMENT.quick) < 180 < EXPERIMENT.expected_s() < 900
