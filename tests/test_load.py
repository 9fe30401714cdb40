"""The load generator's pure parts and its pace: seeded arrivals, response from the intended start, late is said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import fmean, pstdev

import pytest

from supalab.errors import SettingsError
from supalab.load.generator import fire_closed, fire_open
from supalab.load.plan import Plan, target
from supalab.load.run import RECORD, LoadRecord
from supalab.load.schedule import leavers, poisson, rates
from supalab.load.shots import CAPPED, LATE_S, LEFT, TIMEOUT, Load, Shot
from supalab.load.table import table
from supalab.report.table import text as plain

URL = "http://127.0.0.1:9/contests"
PLAN = Plan(URL, duration=0.3, rate=50.0)


def made(*shots: Shot, rate: float = 10.0, duration: float = 1.0) -> Load:
    """A load with these shots."""
    return Load(URL, duration, rate, None, 1, 10.0, 1.8e9, 0.01, shots)


def test_arrivals_are_seeded_and_reproducible() -> None:
    """The same seed gives the same times, another seed others, and all lie within the duration."""
    assert poisson(20, 10, seed=3) == poisson(20, 10, seed=3) != poisson(20, 10, seed=4)
    assert all(0 < at < 10 for at in poisson(20, 10))
    assert list(poisson(20, 10)) == sorted(poisson(20, 10))


def test_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() -> None:
    """Over a long time the mean gap is 1/rate, and the gaps' standard deviation is as large as their mean."""
    times = poisson(50, 400)
    gaps = [b - a for a, b in pairwise(times)]
    assert len(times) / 400 == pytest.approx(50, rel=0.03)
    assert pstdev(gaps) == pytest.approx(fmean(gaps), rel=0.05)


def test_a_higher_rate_runs_through_the_same_bursts_faster() -> None:
    """Rates are comparable because one seed is one pattern, scaled."""
    slow, fast = poisson(10, 8), poisson(40, 2)
    assert [at / 4 for at in slow] == pytest.approx(fast)


def test_a_share_of_the_callers_leaves() -> None:
    """Leavers are seeded, and none and all of them are possible."""
    assert leavers(1000, 0.5) == leavers(1000, 0.5)
    assert 450 < sum(leavers(1000, 0.5)) < 550
    assert not any(leavers(100, 0.0))
    assert all(leavers(100, 1.0))


@pytest.mark.parametrize(
    ("text", "step", "found"),
    [
        ("20", None, (20,)),
        ("5,10,15", None, (5, 10, 15)),
        ("5..40", None, (5, 10, 20, 40)),
        ("5..30", None, (5, 10, 20, 30)),
        ("5..20", 5.0, (5, 10, 15, 20)),
        ("0.5..1", None, (0.5, 1)),
    ],
)
def test_rates_are_read_as_they_are_written(text: str, step: float | None, found: tuple[float, ...]) -> None:
    """One rate, a list, a range that doubles and one with a step."""
    assert rates(text, step) == found


@pytest.mark.parametrize(
    ("text", "step"), [("fast", None), ("40..5", None), ("0", None), ("5..1e9", None), ("5,10", 5.0), ("5..40", 0.0)]
)
def test_rates_that_cannot_work_are_one_line(text: str, step: float | None) -> None:
    """Other words are refused with the cure."""
    with pytest.raises(SettingsError) as refused:
        rates(text, step)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        {"url": "contests"},
        {"url": "http://me:secret@127.0.0.1/"},
        {"rate": None},
        {"callers": 3},
        {"rate": 0.0},
        {"rate": float("nan")},
        {"duration": -1.0},
        {"timeout": 0.0},
        {"leave_share": 1.5},
        {"cap": 0},
        {"rate": None, "callers": 0},
    ],
)
def test_a_plan_that_cannot_work_is_one_line(change: dict[str, object]) -> None:
    """Every argument is checked when the plan is made, and no message holds a password."""
    with pytest.raises(SettingsError) as refused:
        replace(PLAN, **change)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_plan_never_prints_its_headers_or_its_query() -> None:
    """Either may hold a key."""
    plan = replace(PLAN, url=f"{URL}?apikey=sb_hidden", headers={"apikey": "sb_hidden"})
    assert "sb_hidden" not in repr(plan)


def test_a_path_goes_below_the_address() -> None:
    """A service may live below a prefix; a path without its slash is refused."""
    assert target("http://127.0.0.1:1/agent/", "/contests?size=10") == "http://127.0.0.1:1/agent/contests?size=10"
    with pytest.raises(SettingsError, match="slash"):
        target(URL, "contests")


def test_an_address_with_a_query_is_refused_without_repeating_it() -> None:
    """The path would end up in the query, and a query may hold a key."""
    with pytest.raises(SettingsError, match="--path") as refused:
        target(f"{URL}/?apikey=sb_hidden", "/contests")
    assert "sb_hidden" not in str(refused.value)


def test_response_time_runs_from_the_intended_start() -> None:
    """A request sent 2 s late and answered in 0.1 s has taken its caller 2.1 s."""
    late = made(Shot(0.0, 2.0, 2.1, "ok"))
    assert late.response(50) == pytest.approx(2.1)
    assert late.slip_p99 == pytest.approx(2.0)
    assert late.late


def test_failed_requests_count_as_never_answered() -> None:
    """Ten per cent quick failures do not make p95 quick: it never came; p50 stands."""
    good = [Shot(i / 100, i / 100, i / 100 + 0.15, "ok") for i in range(90)]
    bad = [Shot(0.9 + i / 100, 0.9 + i / 100, 0.901 + i / 100, "HTTP 503") for i in range(10)]
    load = made(*good, *bad)
    assert load.response(50) == pytest.approx(0.15)
    assert load.response(95) is None
    assert load.errors == {"HTTP 503": 10}
    assert load.answered == 90


def test_callers_who_were_meant_to_leave_are_no_errors() -> None:
    """They are counted by themselves and are in no percentile."""
    load = made(Shot(0.0, 0.0, 0.1, LEFT), Shot(0.1, 0.1, 0.3, "ok"))
    assert (load.left, load.answered, load.errors) == (1, 1, {})
    assert load.response(99) == pytest.approx(0.2)


def test_answers_a_second_last_until_the_last_one() -> None:
    """A backlog that is served after the arrivals end does not count as served while they came."""
    load = made(*(Shot(i / 10, i / 10, 2.0, "ok") for i in range(10)))
    assert (load.sent_per_s, load.answered_per_s) == (10.0, 5.0)


def test_a_crowd_comes_besides_and_leaves() -> None:
    """The usual callers come as they would without it, and all of the crowd are leavers, in its time."""
    plan = Plan(URL, duration=10.0, rate=20.0, crowd_rate=50.0, crowd_from=3.0, crowd_until=5.0)
    assert [at for at, leaves in plan.arrivals if not leaves] == list(poisson(20.0, 10.0))
    crowd = [at for at, leaves in plan.arrivals if leaves]
    assert 70 < len(crowd) < 130
    assert 3.0 <= min(crowd) <= max(crowd) < 5.0
    with pytest.raises(SettingsError, match="crowd"):
        replace(plan, crowd_until=11.0)


def staying(times: Sequence[float]) -> list[tuple[float, bool]]:
    """A schedule of callers who stay."""
    return [(at, False) for at in times]


async def answered() -> str:
    await asyncio.sleep(0.02)
    return "ok"


async def never() -> str:
    await asyncio.sleep(60)
    return "ok"


async def test_an_open_load_does_not_wait_for_answers() -> None:
    """All requests are in flight together although none is answered: their callers give up, and none is dropped."""
    times = [i / 100 for i in range(20)]
    shots = await fire_open(replace(PLAN, timeout=0.5), staying(times), never)
    assert [shot.intended for shot in shots] == times
    assert {shot.outcome for shot in shots} == {TIMEOUT}
    assert max(shot.sent for shot in shots) < min(shot.done for shot in shots)


async def test_a_generator_that_was_late_says_so() -> None:
    """Something holds up the loop: the shots behind it were sent late, and their response time contains it."""

    async def blocks_once() -> str:
        if not blocked:
            blocked.append(True)
            time.sleep(0.15)
        return "ok"

    blocked: list[bool] = []
    shots = await fire_open(PLAN, staying([0.01, 0.02, 0.03, 0.3]), blocks_once)
    assert shots[1].slip_s > LATE_S
    assert shots[1].response_s >= shots[1].slip_s
    assert shots[3].slip_s < shots[1].slip_s
    assert made(*shots).late


async def test_the_cap_is_an_outcome() -> None:
    """What is over the cap is not sent, and is in the result all the same."""
    shots = await fire_open(replace(PLAN, cap=3, timeout=0.3), staying([0.01 * i for i in range(10)]), never)
    outcomes = [shot.outcome for shot in shots]
    assert outcomes.count(TIMEOUT) == 3
    assert outcomes.count(CAPPED) == 7


async def test_callers_leave_early_by_plan() -> None:
    """Those who leave do so after their time, the others stay to their timeout."""
    plan = replace(PLAN, rate=200.0, leave_share=0.5, leave_after=0.05, timeout=0.3)
    shots = await fire_open(plan, plan.arrivals, never)
    left = [shot for shot in shots if shot.outcome == LEFT]
    assert len(left) == sum(leavers(len(shots), 0.5, plan.seed))
    assert max(s.done - s.intended for s in left) < min(s.done - s.intended for s in shots if s.outcome == TIMEOUT)


async def test_closed_callers_ask_one_request_after_another() -> None:
    """With two callers never more than two requests overlap, and both keep asking until the time is over."""
    shots = await fire_closed(replace(PLAN, rate=None, callers=2), answered)
    assert len(shots) > 6
    assert all(sum(a.sent < b.sent < a.done for a in shots) < 2 for b in shots)
    assert all(shot.sent < PLAN.duration for shot in shots)


async def test_a_closed_caller_that_is_refused_pauses() -> None:
    """A service that is down is not asked thousands of times a second."""

    async def refused() -> str:
        return "no connection"

    assert 2 <= len(await fire_closed(replace(PLAN, rate=None, callers=2), refused)) <= 8


def test_the_table_names_rates_errors_and_lateness() -> None:
    """A row for each load; errors by kind and a late generator are said below."""
    good = made(Shot(0.0, 0.001, 0.15, "ok"))
    bad = made(Shot(0.0, 0.5, 0.6, "HTTP 503"), rate=20.0)
    record = LoadRecord("2026-11-22T20:00:00+00:00", {}, {}, "GET /contests", True, (good, bad))
    words = plain(table(record))
    assert "150 / 150 / 150" in words
    assert "never / never / never" in words
    assert "20/s: 1 x HTTP 503" in words
    assert "did not keep pace" in words
    assert max(map(len, words.splitlines())) <= 100


def test_a_record_of_loads_is_the_same_after_the_file() -> None:
    """Every request survives, as one short row."""
    load = made(Shot(0.0, 0.001, 0.15, "ok"), Shot(0.1, 0.1, 0.2, LEFT))
    record = LoadRecord("2026-11-22T20:00:00+00:00", {"cpus": "2"}, {"aiohttp": "3"}, "GET /contests", True, (load,))
    assert RECORD.loads(RECORD.dumps(record)) == record
