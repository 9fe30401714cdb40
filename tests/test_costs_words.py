"""The costs in words and tables: sentences that follow from the numbers of hand-made results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from costs_made import cancellations, cancelled, held, knee, lag, lag_run, memory, point

from supalab.experiments import cancellation, throughput
from supalab.experiments import lag as loop_lag
from supalab.experiments import memory as memory_held
from supalab.measure.record import Record, each
from supalab.report.format import duration, listed, size
from supalab.report.table import WIDTH, Table
from supalab.report.table import text as text_of

EXPERIMENTS: dict[str, Any] = {"lag": loop_lag, "throughput": throughput, "memory": memory_held, "cancel": cancellation}


def headline(found: Record) -> str:
    return EXPERIMENTS[found.name].headline(found)


def notes(found: Record) -> list[str]:
    return EXPERIMENTS[found.name].notes(found)


def table(found: Record) -> Table:
    return EXPERIMENTS[found.name].table(found)


def said(found: Record) -> str:
    return " ".join(notes(found))


@pytest.mark.parametrize("found", [memory(), lag(), cancellations(), knee()], ids=lambda found: found.name)
def test_a_table_has_its_headline_its_notes_and_no_long_line(found: Record) -> None:
    """All that is said stands in the text, which fits the width that it is given."""
    written = text_of(table(found))
    assert max(map(len, written.splitlines())) <= WIDTH
    flat = " ".join(written.split())
    for sentence in (headline(found), *notes(found)):
        assert " ".join(sentence.split()) in flat


@pytest.mark.parametrize(
    "name", [*EXPERIMENTS, "race", "bench", "load", "explain", "claims", "detective", "capacity", "faults"]
)
def test_nothing_measured_is_said_plainly(name: str) -> None:
    """An empty result is one sentence, no error."""
    assert str(Record(name)) == "No trial was finished.\n"


def test_memory_says_what_one_more_request_takes() -> None:
    """The slope between the smallest and the largest number, by hand: (60.1 - 0.605) MB over 990 requests."""
    assert "from 10 to 1,000: fake 60 KB and real 20 KB" in said(memory())
    assert headline(memory()) == "1,000 requests in flight: fake 60.1 MB and real 20.1 MB"


def test_memory_says_where_there_is_no_difference() -> None:
    """Overlapping repeats are named, at their number; without any, that is said; one process shows nothing."""
    alike = said(memory(held("article", 10, 605_000, 700_000)))
    assert "No difference: fake and article at 10 in flight (their repeats overlap)." in alike
    assert "never overlap" in said(memory())
    single = replace(memory(), trials=tuple(one for one in memory().trials if one.case.repeat == 0))
    assert "no difference is above noise" in said(single)


def test_memory_says_if_the_order_depends_on_the_number() -> None:
    """A client that is largest when small and smallest when large is no simple winner."""
    turned = memory(held("article", 10, 2_000_000, 2_010_000), held("article", 1_000, 30_000_000, 30_100_000))
    assert "real < fake < article at 10; real < article < fake at 1,000" in said(turned)
    assert "depends on the number" not in said(memory())


def test_memory_holds_its_spread_against_the_goal() -> None:
    """The largest coefficient of variation, where it is, and every cell above five per cent."""
    assert "(real at 10; the goal is 5%)" in said(memory())
    wide = said(memory(held("article", 10, 1_000_000, 2_000_000)))
    assert "47.1% (article at 10; above the goal of 5%: article at 10)" in wide


def test_memory_of_requests_that_were_not_together_is_marked() -> None:
    """A note with the peak, and a question mark in the table."""
    found = memory(held("article", 10, 1_000_000, 1_001_000, peak=8))
    assert "article at 10: not reliable, at most 8 were in flight together" in said(found)
    assert "1.00 ± 0.00 ?" in text_of(table(found))


def test_lag_compares_within_a_limit_and_with_an_idle_loop() -> None:
    """Blocking is as long as all its requests; medians of the repeats; the idle loop is there for comparison."""
    assert headline(lag()) == "The event loop was blocked for up to 3.0 s with blocking-1, up to 6.0 ms with real-10"
    assert "blocking-1 blocked the loop for 3.0 s: its 20 requests of 150 ms" in said(lag())
    assert (
        "p99/longest fake-10 6.0 ms/18 ms, real-10 3.0 ms/6.0 ms; CPU time per request in ms: fake 1.50, real"
        in said(lag())
    )
    assert "p99 1.0 ms" in said(lag())
    (middle,) = (one for _, one in loop_lag.arms(lag()).iterrows() if one["arm"] == "fake-10")
    assert (middle["threads"], middle["errors"]) == (11, 0)
    assert middle["lag_max_s"] == pytest.approx(0.018)


def test_lag_counts_failures() -> None:
    """Failed requests are mentioned with the numbers that leave them out."""
    failing = lag(lag_run("fake-10", 0.1, 0.1, errors=1), lag_run("fake-10", 0.1, 0.1, repeat=1, errors=2))
    assert "fake-10: 2 of 100 requests failed in the worst trial (2 x ReadError)" in said(failing)


def test_cancellation_says_who_works_on() -> None:
    """Slots that are still busy, disconnected requests, the new caller's response and the end, for each arm."""
    fake, real, _ = notes(cancellations())
    assert "10 of its requests kept running" in fake
    assert "1.8 times the server time" in fake
    assert "the process exited after 400 ms" in fake
    assert "it disconnected 10 requests" in real
    assert "1.0 times the server time" in real
    assert headline(cancellations()) == "After cancellation, fake-10 keeps working"
    assert headline(cancellations("real-10")) == "After cancellation, no client keeps working (real-10)"


def test_callers_of_a_blocked_loop_are_not_called_free() -> None:
    """The cancellation came after all responses, and this is said and counted."""
    found = cancellations("blocking-1")
    assert "came after 10.0 s, when all 20 callers had their responses" in said(found)
    (blocking,) = each(cancellation.arms(found))
    assert blocking.free_s == pytest.approx(9.901)
    assert headline(found) == "Nothing could be cancelled"


def test_a_pool_that_the_cancellation_broke_is_said() -> None:
    """A new caller's error is in the words and in the table."""
    found = replace(cancellations(), trials=(cancelled("real-10", "ask", late_outcome="PoolTimeout"),))
    assert "1 new caller had an error" in said(found)
    assert "broken" in text_of(table(found))


def test_the_best_limit_is_the_smallest_that_is_as_good() -> None:
    """Within five per cent of the highest; at the last limit, the peak may be further on."""
    found = knee()
    assert list(throughput.lines(found)) == ["real", "fake", "kept"]
    every = list(throughput.lines(found).values())
    assert [throughput.best(line) for line in every] == [100, 30, 10]
    assert [throughput.still_growing(line) for line in every] == [True, False, False]
    assert throughput.ideal(found, 10) == 100
    assert headline(found) == "The best limit: real 100 or more, fake 30 and kept 10"
    assert "fake: best at 30 in flight with 240 requests/s, 80% of the ideal there; more slots, up to 100" in said(
        found
    )
    assert "kept: best at 10 in flight with 94 requests/s, 94% of the ideal there; at 30 it is down to 40" in said(
        found
    )
    assert "kept was left out at 100" in said(found)
    assert "2 processors" in said(found)


def test_the_knee_takes_medians_and_counts_failures() -> None:
    """Three repeats at one limit give their median; failed requests are mentioned."""
    found = knee(point("fake", 30, 500.0, repeat=1), point("fake", 30, 260.0, repeat=2, errors=7))
    assert throughput.lines(found)["fake"][30] == 260.0
    assert "fake-30: 7 of 520 requests failed" in said(found)


@pytest.mark.parametrize(
    "found",
    [
        memory(*(held(kind, n, 10**6 * n, 2 * 10**6 * n) for kind in ("article", "session") for n in (10, 1_000))),
        cancellations("fake-10", "real-10", "blocking-1"),
        lag(),
        knee(*(point(kind, 3, 12_345.0) for kind in ("session", "httpx2", "aiohttp"))),
    ],
    ids=lambda found: found.name,
)
def test_no_cell_of_a_wide_table_is_cut(found: Record) -> None:
    """Four clients, seven lines, times of ten seconds: every cell is whole at the usual width."""
    assert "…" not in text_of(table(found))


def test_short_words() -> None:
    """Numbers for people, and lists that end in "and"."""
    assert [duration(value) for value in (3.05, 0.154, 0.0008)] == ["3.0 s", "154 ms", "0.8 ms"]
    assert [size(value) for value in (65_900_000, 209_000)] == ["65.9 MB", "0.21 MB"]
    assert [listed([]), listed(["a"]), listed(["a", "b", "c"])] == ["", "a", "a, b and c"]
