"""Summary and table: hand-made spans whose figures anyone can check by head."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_trials import made_set, made_trial

from supalab.measure import table
from supalab.measure.summary import percentile, spread, summary, typical
from supalab.measure.trial import Backend, Memory, Span, Trial, TrialSet, Witnessed
from supalab.measure.workload import Workload
from supalab.report.table import WIDTH
from supalab.report.table import text as text_of

KEYS = [
    *("arm", "requests", "errors", "peak_in_flight", "connections", "makespan_s", "ideal_ratio", "throughput_per_s"),
    *("wait_p50_s", "service_p50_s", "latency_p99_s", "cpu_ms_per_request", "memory_added_bytes"),
]


def by_hand(*spans: Span, repeat: int = 0) -> Trial:
    return Trial(
        arm="fake-2",
        limit=2,
        workload=Workload(requests=len(spans), latency=1.0),
        spans=spans,
        witness=Witnessed(2, len(spans), 4, 0, 4.0),
        memory=Memory(10, 25),
        cpu_s=0.008,
        repeat=repeat,
    )


TWO_WAVES = (Span(0.0, 0.0, 1.0), Span(0.0, 0.0, 1.0), Span(0.0, 1.0, 2.0), Span(0.0, 1.0, 2.0))


def test_the_figures_of_two_waves_are_what_anyone_would_say():
    """Four requests over two slots of one second: two seconds, half of them waiting, two a second."""
    row = summary(TrialSet((by_hand(*TWO_WAVES),)))[0]
    assert [row[key] for key in KEYS] == ["fake-2", 4, 0, 2, 4, 2.0, 1.0, 2.0, 0.5, 1.0, 2.0, 2.0, 15]
    assert list(row)[: len(KEYS)] == KEYS
    assert row["littles_law"] == 1.0


def test_failed_requests_stay_out_of_latencies_but_in_sight():
    """A failure changes the error count and the throughput, not the waits of those answered."""
    failed = by_hand(*TWO_WAVES[:3], Span(0.0, 1.0, 9.0, "ApiError 503"))
    row = summary(TrialSet((failed,)))[0]
    assert (row["errors"], row["makespan_s"], row["latency_p99_s"]) == (1, 9.0, pytest.approx(1.98))
    assert row["throughput_per_s"] == pytest.approx(3 / 9)


def test_an_arm_that_failed_altogether_has_a_row_like_any_other():
    """All failed: no latency is claimed, errors are counted, nothing breaks."""
    row = summary(TrialSet((by_hand(*(Span(0.0, None, 1.0, "ConnectionLost") for _ in range(4))),)))[0]
    assert (row["errors"], row["wait_p50_s"], row["latency_p99_s"], row["throughput_per_s"]) == (4, None, None, 0.0)


def test_no_failure_hides_in_a_median():
    """Of three repeats only one failed: the row shows its errors."""
    trials = TrialSet(tuple(made_trial("fake-3", repeat=repeat, fail=5 * (repeat == 2)) for repeat in range(3)))
    assert summary(trials)[0]["errors"] == 5


def test_medians_are_taken_over_repeats():
    """The middle of three makespans is the row's."""
    repeats = [by_hand(*TWO_WAVES[:3], Span(0.0, 1.0, end), repeat=i) for i, end in enumerate((2.0, 8.0, 4.0))]
    assert summary(TrialSet(tuple(repeats)))[0]["makespan_s"] == 4.0
    assert spread(repeats) == 1.5


def test_percentiles_and_the_typical_request():
    """Percentiles are linear between neighbours; the typical request is one that really was."""
    assert [percentile([3.0, 1.0, 2.0], q) for q in (0, 25, 50, 100)] == [1.0, 1.5, 2.0, 3.0]
    assert percentile([], 50) is None
    trial = by_hand(*TWO_WAVES)
    assert typical(trial, 50) in TWO_WAVES[:2]
    assert typical(trial, 99) in TWO_WAVES[2:]
    assert typical(trial, 0) in TWO_WAVES[:2]


def test_an_unknown_latency_leaves_the_ratio_to_the_ideal_unknown():
    """For a real project nobody knows the ideal: null, not a guess."""
    trials = made_set("fake-3", workload=Workload(latency=None), witnessed=False)
    row = summary(trials)[0]
    assert (row["ideal_ratio"], row["peak_in_flight"], row["connections"], row["littles_law"]) == (None,) * 4


def test_the_table_fits_a_pipe():
    """Plain text: no line above 100 columns, no escape sequence, one line an arm with its eleven cells."""
    arms = ("fake-3", "fake-10", "session-10", "article-10", "real-3", "real-10")
    lines = text_of(table.table(made_set(*arms))).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert not any("\x1b" in line for line in lines)
    assert [len(line.split()) for line in lines[: lines.index("")] if line.startswith(arms)] == [11] * 6


def test_the_footnotes_name_controls_law_spread_and_errors():
    """Who shares a limit, whether Little's law holds, what failed; and a warning where repeats are far apart."""
    notes = " ".join(table.footnotes(made_set() + TrialSet((made_trial("real-10", fail=3),))))
    assert "fake-10, real-10 (limit 10)" in notes
    assert "it holds" in notes
    assert "3 x ApiError 503" in notes
    assert "unstable" not in notes
    apart = TrialSet((by_hand(*TWO_WAVES), by_hand(*TWO_WAVES[:3], Span(0.0, 1.0, 3.0))))
    assert any("May be unstable" in note for note in table.footnotes(apart))


def test_a_race_without_a_fair_control_says_so():
    """Two arms of different limits are not compared in silence."""
    assert any("No two arms share a limit" in note for note in table.footnotes(made_set("fake-3", "real-10")))


def test_what_nobody_witnessed_is_blank_and_explained():
    """Without a lab the cells are empty and a footnote says why."""
    unseen = text_of(table.table(made_set("fake-3", "real-3", witnessed=False)))
    assert "None" not in unseen
    assert "Blank:" in unseen


def test_no_finished_trial_is_said_not_drawn():
    """An interrupted race without results still prints one sentence."""
    assert text_of(table.table(TrialSet())) == "No trial was finished.\n"


def test_littles_law_is_not_checked_across_a_wire():
    """With a round trip, TLS or no latency the lab and the client time different things: no verdict."""
    far = TrialSet(tuple(replace(trial, backend=Backend(rtt=0.04)) for trial in made_set()))
    assert any("Little's law" in note for note in table.footnotes(made_set()))
    assert not any("Little's law" in note for note in table.footnotes(far))


@pytest.mark.parametrize(
    ("factor", "said", "unsaid"), [(2, "beside the latency", "below"), (0.5, "busy for longer", "above")]
)
def test_littles_law_says_why_it_is_off_in_the_direction_it_is_off(factor, said, unsaid):
    """More in the client than in the lab is work; more in the lab than in the client is something else."""
    trial = made_trial("real-10")
    witness = replace(trial.witness, busy_s=trial.witness.busy_s / factor)
    law = next(note for note in table.footnotes(TrialSet((replace(trial, witness=witness),))) if "Little's law" in note)
    assert "is off" in law
    assert said in law
    assert unsaid not in law
