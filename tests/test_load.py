"""Traffic and loads without a service: seeded arrivals, response time from the intended start, a late generator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import fmean, pstdev

import pytest

from supalab.errors import SettingsError
from supalab.experiments.load import EXPERIMENT, figure, plan, rates, table
from supalab.measure import traffic as module
from supalab.measure.case import Span, Trial
from supalab.measure.record import FORM, Record, rounded
from supalab.measure.service import Private, case_of
from supalab.measure.traffic import (
    CAPPED,
    DISCONNECTED,
    LATE_S,
    TIMEOUT,
    Traffic,
    closed_loop,
    failures,
    open_loop,
    poisson,
    response,
    traffic_numbers,
)
from supalab.report.plot import description
from supalab.report.table import text as plain

TRAFFIC = Traffic(0.3, rate=50.0)


def made(*loads: tuple[float | None, Sequence[Span]], finished: bool = True) -> Record:
    """A record of loads of one second: their rates, ``None`` for three closed callers, and their requests."""
    trials = []
    for rate, spans in loads:
        load = Traffic(1.0, rate, None if rate else 3)
        case = case_of(
            "real-10", 0.15, load, tags={"asked": f"{rate:g}/s" if rate else "3 callers", "rate": rate}, detail=True
        )
        trials.append(Trial(case, rounded(traffic_numbers(spans, 1.0)), tuple(spans)))
    asked = {"path": "/contests", "service": None, "client": "real", "duration": 1.0, "timeout": 10.0}
    return Record("load", tuple(trials), asked, when="2026-11-22T20:00:00+00:00", finished=finished)


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
        {"rate": None},
        {"callers": 3},
        {"rate": 0.0},
        {"rate": float("nan")},
        {"rate": True},
        {"rate": "20"},
        {"duration": -1.0},
        {"duration": 1e9},
        {"timeout": 0.0},
        {"flood": -1.0},
        {"flood_timeout": 0.0},
        {"rate": None, "callers": 0},
        {"rate": None, "callers": 10**9},
        {"rate": None, "callers": 2.5},
        {"flood": 5.0},
        {"flood": 5.0, "flood_from": 0.1, "flood_until": 0.4},
        {"rate": None, "callers": 3, "flood": 5.0, "flood_until": 0.2},
    ],
)
def test_traffic_that_cannot_work_is_one_line(change: dict[str, object]) -> None:
    """Every argument is checked when the traffic is made."""
    with pytest.raises(SettingsError) as refused:
        replace(TRAFFIC, **change)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_a_private_path_shows_no_query() -> None:
    """It may hold a key; the whole path is there for who sends it, also after a copy."""
    path = Private("/contests?apikey=sb_hidden")
    assert (path, f"{path!r}", path.whole) == ("/contests", "'/contests'", "/contests?apikey=sb_hidden")
    case = case_of("x", None, TRAFFIC, path=path, tags={"asked": "", "rate": 50.0})
    found = Record("load", (Trial(case, {}),), {"path": path})
    assert "sb_hidden" not in FORM.dumps(found) + repr(found)


def test_a_path_begins_with_a_slash() -> None:
    """It goes below the service's address."""
    with pytest.raises(SettingsError, match="slash"):
        next(plan(path="contests"))


def test_response_time_runs_from_the_intended_start() -> None:
    """A request sent 2 s late and answered in 0.1 s has taken its caller 2.1 s."""
    found = traffic_numbers([Span(0.0, 2.0, 2.1)], 1.0)
    assert found["response_p50_s"] == pytest.approx(2.1)
    assert found["send_delay_p99_s"] == pytest.approx(2.0)
    assert "did not keep up" in plain(table(made((10.0, [Span(0.0, 2.0, 2.1)]))))


def test_failed_requests_count_as_never_answered() -> None:
    """Ten per cent of quick failures do not make p95 quick: it never came; p50 is a number."""
    good = [Span(i / 100, i / 100, i / 100 + 0.15) for i in range(90)]
    bad = [Span(0.9 + i / 100, 0.9 + i / 100, 0.901 + i / 100, "HTTP 503") for i in range(10)]
    found = traffic_numbers(good + bad, 1.0)
    assert found["response_p50_s"] == pytest.approx(0.15)
    assert found["response_p95_s"] is None
    assert (found["errors"], found["failures"]) == (10, "10 x HTTP 503")


def test_clients_that_were_meant_to_disconnect_are_no_errors() -> None:
    """They are counted by themselves and are in no percentile."""
    spans = [Span(0.0, 0.0, 0.1, DISCONNECTED), Span(0.1, 0.1, 0.3)]
    found = traffic_numbers(spans, 1.0)
    assert (found["disconnected"], found["errors"], failures(spans)) == (1, 0, {})
    assert response(spans, 99) == pytest.approx(0.2)


def test_answers_per_second_last_until_the_last_one() -> None:
    """A backlog that is served after the arrivals end does not count as served while they came."""
    found = traffic_numbers([Span(i / 10, i / 10, 2.0) for i in range(10)], 1.0)
    assert (found["sent_per_s"], found["answered_per_s"], found["lasted_s"]) == (10.0, 5.0, 2.0)


def test_a_flood_comes_in_addition_and_disconnects() -> None:
    """The usual callers come as they would without it, and all of the flood disconnect, in its time."""
    found = Traffic(10.0, rate=20.0, flood=50.0, flood_from=3.0, flood_until=5.0).arrivals
    assert [at for at, leaves in found if not leaves] == list(poisson(20.0, 10.0))
    flood = [at for at, leaves in found if leaves]
    assert 70 < len(flood) < 130
    assert 3.0 <= min(flood) <= max(flood) < 5.0


def staying(times: Sequence[float]) -> list[tuple[float, bool]]:
    """A schedule of callers who stay."""
    return [(at, False) for at in times]


async def answered() -> str:
    await asyncio.sleep(0.02)
    return "ok"


async def never() -> str:
    await asyncio.sleep(60)
    return "ok"


async def test_an_open_loop_does_not_wait_for_responses() -> None:
    """All requests are in flight together although none is answered: their callers give up, and none is dropped."""
    times = [i / 100 for i in range(20)]
    spans = await open_loop(replace(TRAFFIC, timeout=0.5), staying(times), never)
    assert [span.asked for span in spans] == times
    assert {span.outcome for span in spans} == {TIMEOUT}
    assert max(span.started or 0.0 for span in spans) < min(span.done for span in spans)


async def test_a_generator_that_was_late_says_so() -> None:
    """If something blocks the loop, requests are sent late, and their response time contains the delay."""

    async def blocks_once() -> str:
        if not blocked:
            blocked.append(True)
            time.sleep(0.15)
        return "ok"

    blocked: list[bool] = []
    spans = await open_loop(TRAFFIC, staying([0.01, 0.02, 0.03, 0.3]), blocks_once)
    waits = [span.wait or 0.0 for span in spans]
    assert waits[1] > LATE_S
    assert spans[1].latency >= waits[1]
    assert waits[3] < waits[1]


async def test_the_cap_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over the cap is not sent, and is in the result all the same."""
    monkeypatch.setattr(module, "CAP", 3)
    spans = await open_loop(replace(TRAFFIC, timeout=0.3), staying([0.01 * i for i in range(10)]), never)
    outcomes = [span.outcome for span in spans]
    assert outcomes.count(TIMEOUT) == 3
    assert outcomes.count(CAPPED) == 7


async def test_a_flood_disconnects_early() -> None:
    """Those who disconnect do so after their time, the others stay to their timeout."""
    traffic = Traffic(0.3, 100.0, timeout=0.3, flood=100.0, flood_until=0.3, flood_timeout=0.05)
    spans = await open_loop(traffic, traffic.arrivals, never)
    left = [span for span in spans if span.outcome == DISCONNECTED]
    assert len(left) == sum(disconnects for _, disconnects in traffic.arrivals) > 10
    assert max(span.latency for span in left) < min(span.latency for span in spans if span.outcome == TIMEOUT)


async def test_closed_callers_ask_one_request_after_another() -> None:
    """With two callers never more than two requests overlap, and both keep asking until the time is up."""
    spans = await closed_loop(Traffic(0.3, callers=2), answered)
    assert len(spans) > 6
    assert all(sum(a.asked < b.asked < a.done for a in spans) < 2 for b in spans)
    assert all(span.asked < 0.3 for span in spans)


async def test_a_closed_caller_that_is_refused_pauses() -> None:
    """A service that is down is not asked thousands of times per second."""

    async def refused() -> str:
        return "no connection"

    assert 2 <= len(await closed_loop(Traffic(0.3, callers=2), refused)) <= 8


GOOD = (Span(0.0, 0.001, 0.15), Span(0.1, 0.1, 0.3))
BAD = (Span(0.0, 0.5, 0.6, "HTTP 503"),)


def test_the_table_names_rates_errors_and_lateness() -> None:
    """A row for each load; errors by kind and a late generator are said below."""
    words = plain(table(made((10.0, GOOD[:1]), (20.0, BAD), finished=False)))
    assert "150 / 150 / 150" in words
    assert "never / never / never" in words
    assert "20/s: 1 x HTTP 503" in words
    assert "did not keep up" in words
    assert "Interrupted" in words
    assert max(map(len, words.splitlines())) <= 100


def test_a_record_of_loads_is_the_same_after_the_file() -> None:
    """Every request survives."""
    found = made((10.0, GOOD), (None, BAD))
    assert FORM.loads(FORM.dumps(found)) == found
    assert found.table() is not None


def test_the_figure_of_a_load_counts_failures() -> None:
    """Each rate is in the description with its percentiles, or that they never came, and its failures."""
    said = description(figure(made((5.0, GOOD), (10.0, [Span(0.0, 0.0, 10.0, TIMEOUT)]))))
    assert "5/s: median 175 ms" in said
    assert "0 of 2 failed" in said
    assert "10/s: median never, p95 never, p99 never, 1 of 1 failed" in said


def test_closed_callers_have_no_rate_to_draw_against() -> None:
    """The figure says so rather than being empty; the description has the numbers all the same."""
    fig = figure(made((None, GOOD[:1])))
    assert "3 callers: median 150 ms" in description(fig)
    assert "no arrival rate to draw" in " ".join(text.get_text() for text in fig.axes[0].texts)


def test_a_plan_of_loads_says_how_long_it_takes() -> None:
    """Four rates of ten seconds, and what starting takes."""
    assert 40 < EXPERIMENT.expected_s() < 50
    assert EXPERIMENT.expected_s(callers=3) < 20
