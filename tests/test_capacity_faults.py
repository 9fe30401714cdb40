"""Faults in production: recovery with made-up requests, texts of record, table and figure, and small real runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from supalab.errors import SettingsError
from supalab.experiments.faults import ENOUGH, faults, figure, tables, windows
from supalab.experiments.faults import recovery as recovery_of
from supalab.measure.case import Case, Span, Trial, Workload
from supalab.measure.record import FORM, Record
from supalab.measure.run import Interrupted
from supalab.measure.traffic import DISCONNECTED
from supalab.report.plot import description
from supalab.report.table import text as plain

IDLE, END = 0.15, 7.0


def made_spans(slow: float, until: float, *, begin: float = 4.0, whole: float = 20.0) -> list[Span]:
    """Eight requests per second; from ``begin`` to ``until`` they take ``slow`` seconds, or are lost if that is 0."""
    spans = []
    for place in range(int(8 * whole)):
        at = place / 8
        bad = begin <= at < until
        spans.append(Span(at, at, at + ((slow or 1.2) if bad else IDLE), "HTTP 504" if bad and not slow else "ok"))
    return spans


def made_trial(spans: Sequence[Span], arm: str = "fake-3", fault: str = "slow", **more: int) -> Trial:
    """A fault from 4 to 7 s."""
    numbers: dict[str, float | int] = {"idle_s": IDLE, "fault_from_s": 4.0, "fault_until_s": END, "peak": 3}
    numbers |= {"served": len(spans), "failed_on_purpose": 0, "abandoned": 0, "send_delay_p99_s": 0.002, **more}
    case = Case(arm, Workload(len(spans) or 1, 0.15), "serve", tags={"fault": fault}, detail=True)
    return Trial(case, numbers, tuple(spans))


def made_faults(*made: Trial) -> Record:
    asked = {"rate": 8.0, "flood": 16.0, "flood_timeout": 0.1, "timeout": 1.0, "seed": 1}
    return Record("faults", made, asked, when="2026-11-22T20:00:00+00:00")


def made_window(spans: Sequence[Span], **more: int) -> Any:
    (one,) = windows(made_faults(made_trial(spans, **more))).itertuples()
    return one


def recovery(spans: Sequence[Span]) -> float | None:
    return recovery_of(spans, END, 2 * IDLE)


def test_recovery_counts_from_the_end_of_the_fault() -> None:
    """If requests are slow until 2 s after the end, the recovery takes 2 s."""
    assert recovery(made_spans(0.9, 9.0)) == pytest.approx(2.0)


def test_a_service_that_was_quick_at_the_end_recovered_immediately() -> None:
    """The first request after the end was quick, and so were the next ones."""
    assert recovery(made_spans(0.9, END)) == 0.0


def test_too_few_requests_after_a_fault_say_nothing() -> None:
    """With fewer than enough of them, it is unknown whether the service has recovered."""
    spans = [span for span in made_spans(0.9, END) if span.asked < END + (ENOUGH - 4) / 8]
    assert 0 < sum(span.asked >= END for span in spans) < ENOUGH
    assert recovery(spans) is None


def test_lost_requests_are_no_recovery() -> None:
    """A service that fails quickly has not recovered."""
    assert recovery(made_spans(0.0, 9.0)) == pytest.approx(2.0)


def slowed(spans: Sequence[Span], at: float) -> list[Span]:
    """Return the same with one more slow request: the first that came at ``at`` or later."""
    found = list(spans)
    place = next(place for place, span in enumerate(found) if span.asked >= at)
    found[place] = found[place]._replace(done=found[place].asked + 0.9)
    return found


def test_a_hiccup_after_enough_quick_requests_is_not_the_faults() -> None:
    """Ten quick requests in a row are a recovery; a slow one among them starts the count again."""
    assert recovery(slowed(made_spans(0.9, END), END + ENOUGH / 8)) == 0.0
    assert recovery(slowed(made_spans(0.9, END), 7.5)) == pytest.approx(0.625)
    assert recovery(slowed(made_spans(0.9, END), END)) == pytest.approx(0.125)


def test_a_recovery_that_was_not_seen_is_none() -> None:
    """If requests are slow to the end of the load, or too few, there is no recovery time."""
    assert recovery(made_spans(0.9, 20.0)) is None
    assert recovery(made_spans(0.9, END, whole=END + (ENOUGH - 1) / 8)) is None


def test_clients_that_disconnect_say_nothing_of_recovery_and_are_not_lost() -> None:
    """A flood that disconnects is neither slow nor lost."""
    flood = [Span(END + at / 50, END + at / 50, 7.1 + at / 50, DISCONNECTED) for at in range(50)]
    one = made_window(sorted([*made_spans(0.9, END), *flood]))
    assert (one.recovery_s, one.lost, one.disconnected) == (0.0, 0, 50)


def test_what_was_lost_is_counted_by_kind_and_by_time() -> None:
    """24 requests of the fault and 16 behind it were lost."""
    one = made_window(made_spans(0.0, 9.0))
    assert (one.lost, one.failures, one.lost_after) == (40, "40 x HTTP 504", 16)
    assert math.isnan(one.during_s)
    assert one.before_s == pytest.approx(IDLE)


def test_wasted_work_is_what_no_caller_took() -> None:
    """Of 100 finished requests, 10 failed on purpose and 60 reached their callers."""
    spans = [Span(0.0, 0.0, 0.1)] * 60 + [Span(0.0, 0.0, 0.1, "timeout")] * 40
    assert made_window(spans, served=100, failed_on_purpose=10).wasted == 30
    assert made_window(spans, served=20).wasted == 0


def test_a_faults_record_is_the_same_after_the_file() -> None:
    """Every request of every fault survives."""
    found = made_faults(made_trial(made_spans(0.9, 9.0)), made_trial(made_spans(0.9, END), "real-10"))
    assert FORM.loads(FORM.dumps(found)) == found


def test_table_and_figure_say_when_each_recovered() -> None:
    """Numbers and words for each client and fault, nothing cut; a fault that did not run is left out."""
    found = made_faults(
        made_trial(made_spans(0.9, 9.0)),
        made_trial(made_spans(0.9, END), "real-10"),
        made_trial(made_spans(0.0, 9.0), "real-10", "down"),
        made_trial(made_spans(0.9, 20.0), "fake-3", "left"),
        made_trial(made_spans(0.0, 20.0), "article-10", "left"),
    )
    words = plain(tables(replace(found, finished=False)))
    assert max(map(len, words.splitlines())) <= 100
    assert "…" not in words
    for said in ("immediately", "2.0 s", "not seen", "real-10 40 x HTTP 504", "Interrupted", "issue 1093"):
        assert said in " ".join(words.split())
    told = description(figure(found))
    assert "real-10, the backend takes 2 s for 3.0 s: recovered immediately" in told
    assert "fake-3, a flood of clients disconnects for 3.0 s: did not recover while we watched" in told


def test_a_flood_that_disconnects_holds_threads_and_not_slots() -> None:
    """Every client of the flood disconnects: fake's threads keep working, async closes the connection."""
    found = faults(arms=("fake-3", "real-10"), faults=("left",), before=0.5, fault=3.0, after=2.5, rate=12.0)
    fake, real = windows(found).itertuples()
    assert fake.disconnected == real.disconnected > 100
    assert fake.peak == 3
    # The thread that works for a cancelled caller does not disconnect.
    assert fake.noticed == 0
    assert fake.wasted > 10
    assert real.noticed > 50
    assert real.lost == 0
    assert real.recovery_s >= 0
    assert real.recovered in plain(tables(found))


def test_the_fault_lasts_as_long_as_it_was_meant_to_and_is_over_then() -> None:
    """With a slow backend and a timeout of 1 s, requests during the fault are lost, and those well after it are not."""
    found = faults(arms=("real-10",), faults=("slow",), before=0.5, fault=1.5, after=2.5, rate=10.0)
    (one,) = windows(found).itertuples()
    assert 1.3 < one.end - one.begin < 2.5
    assert one.failures == f"{one.lost} x HTTP 504"
    assert one.lost > 5
    assert math.isnan(one.during_s)
    assert all(span.ok for span in one.spans if not one.begin - 0.2 < span.asked < one.end + 1.2)
    assert one.recovery_s >= 0


def test_ctrl_c_before_the_first_fault_is_over_leaves_nothing() -> None:
    """Interrupted in its first fault: there is no record."""

    def progress(*at: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as stopped:
        faults(arms=("real-10",), faults=("down",), before=0.5, fault=0.5, after=0.5, progress=progress)
    assert stopped.value.found is None


@pytest.mark.parametrize("kinds", [("fire",), ("none",), (), ("slow", "slow"), "slow"])
def test_a_fault_that_is_none_is_refused(kinds: Sequence[str]) -> None:
    """An unknown fault gives one line, before anything is started."""
    with pytest.raises(SettingsError, match="slow") as refused:
        faults(arms=("real-10",), faults=kinds)
    assert "\n" not in str(refused.value)
