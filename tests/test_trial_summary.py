"""The table of a race: hand-made spans whose numbers anyone can check."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_race import made_race, made_trial, of_spans

from supalab.errors import TrialError
from supalab.experiments.race import arms, notes, table, together
from supalab.measure.case import Case, Span, Trial, Value, Workload, span_numbers
from supalab.measure.record import Record
from supalab.report.table import WIDTH
from supalab.report.table import text as text_of

SEEN: dict[str, Value] = {"peak": 2, "served": 4, "connections": 4, "abandoned": 0, "busy_s": 4.0}


def by_hand(*spans: Span, repeat: int = 0) -> Trial:
    numbers = {**span_numbers(spans), **SEEN, "base_bytes": 10, "added_bytes": 15, "cpu_ms": 2.0}
    case = Case("fake-2", Workload(requests=len(spans), latency=1.0), "burst", repeat, detail=True)
    return Trial(case, numbers, spans)


def raced(*trials: Trial) -> Record:
    return Record("race", trials)


def row(*trials: Trial) -> dict[str, float]:
    return dict(arms(raced(*trials)).iloc[0])


TWO_WAVES = (Span(0.0, 0.0, 1.0), Span(0.0, 0.0, 1.0), Span(0.0, 1.0, 2.0), Span(0.0, 1.0, 2.0))


def test_the_numbers_of_two_waves_are_what_anyone_would_say() -> None:
    """Four requests over two slots of one second: two seconds, half of them waiting, two a second."""
    found = row(by_hand(*TWO_WAVES))
    expected = {
        "arm": "fake-2", "requests": 4, "errors": 0, "peak": 2, "connections": 4, "makespan_s": 2.0, "ideal_ratio": 1.0,
        "per_s": 2.0, "wait_p50_s": 0.5, "service_p50_s": 1.0, "latency_p99_s": 2.0, "cpu_ms": 2.0, "added_bytes": 15,
        "law": 1.0, "in_flight": 2.0,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_failed_requests_stay_out_of_latencies_but_in_sight() -> None:
    """A failure changes the error count and the throughput, not the queue times of those answered."""
    found = row(by_hand(*TWO_WAVES[:3], Span(0.0, 1.0, 9.0, "ApiError 503")))
    assert (found["errors"], found["makespan_s"], found["latency_p99_s"]) == (1, 9.0, pytest.approx(1.98))
    assert found["per_s"] == pytest.approx(3 / 9)


def test_an_arm_that_failed_altogether_has_a_row_like_any_other() -> None:
    """All failed: no latency is claimed, errors are counted, nothing breaks."""
    failed = by_hand(*(Span(0.0, None, 1.0, "ConnectionLost") for _ in range(4)))
    found = row(failed)
    assert (found["errors"], found["per_s"]) == (4, 0.0)
    assert found["wait_p50_s"] != found["wait_p50_s"]
    assert found["latency_p99_s"] != found["latency_p99_s"]
    assert "4 x ConnectionLost" in text_of(table(raced(failed)))


def test_no_failure_hides_in_a_median() -> None:
    """If only one of three repeats failed, the row shows its errors."""
    assert row(*(made_trial("fake-3", repeat=repeat, fail=5 * (repeat == 2)) for repeat in range(3)))["errors"] == 5


def test_medians_are_taken_over_repeats() -> None:
    """The middle of three total times is the row's; a count is one that was really counted."""
    repeats = [by_hand(*TWO_WAVES[:3], Span(0.0, 1.0, end), repeat=i) for i, end in enumerate((2.0, 8.0, 4.0))]
    assert (row(*repeats)["makespan_s"], row(*repeats)["spread"]) == (4.0, 1.5)
    two = [
        replace(one, numbers={**one.numbers, "connections": number})
        for one, number in zip(repeats, (4, 7), strict=False)
    ]
    assert row(*two)["connections"] == 7


def test_an_unknown_latency_leaves_the_ratio_to_the_ideal_unknown() -> None:
    """For a real project nobody knows the ideal: nothing, not a guess."""
    found = dict(arms(made_race("fake-3", workload=Workload(latency=None), witnessed=False)).iloc[0])
    assert all(found[name] != found[name] for name in ("ideal_ratio", "peak", "connections", "law"))


@pytest.mark.parametrize("width", [WIDTH, 80])
def test_the_table_fits_a_pipe_and_a_narrow_terminal(width: int) -> None:
    """No line above the width, no escape sequence, no number cut: one line an arm with its eleven cells."""
    names = ("fake-3", "fake-10", "session-10", "article-10", "real-3", "real-10")
    lines = text_of(table(made_race(*names)), width).splitlines()
    assert max(map(len, lines)) <= width
    assert not any("\x1b" in line for line in lines)
    rows = [line.split() for line in lines if line.startswith(names) and len(line.split()) == 11]
    assert [cells[0] for cells in rows] == list(names)
    assert not any("…" in line for line in lines)


def test_the_notes_name_controls_law_spread_and_errors() -> None:
    """Who shares a limit, whether Little's law holds, what failed; and a warning where repeats are far apart."""
    said = " ".join(notes(raced(*made_race().trials, made_trial("real-10", fail=3))))
    assert "fake-10, real-10 (limit 10)" in said
    assert "it holds" in said
    assert "3 x ApiError 503" in said
    assert "unstable" not in said
    apart = raced(by_hand(*TWO_WAVES), by_hand(*TWO_WAVES[:3], Span(0.0, 1.0, 3.0)))
    assert any("May be unstable" in note for note in notes(apart))


def test_a_race_without_a_fair_control_says_so() -> None:
    """Two arms of different limits are not compared in silence."""
    assert any("No two arms share a limit" in note for note in notes(made_race("fake-3", "real-10")))


def test_a_race_that_ended_early_says_what_is_missing() -> None:
    """The arms that did not run, or that repeats are missing."""
    asked = {"arms": ["fake-3", "fake-10", "real-10"]}
    early = Record("race", (made_trial("fake-3"),), asked, finished=False)
    assert notes(early)[-1] == "Ended early. Missing: fake-10, real-10."
    assert notes(replace(made_race(), finished=False))[-1] == "Ended early. Missing: repeats."
    assert "Ended early" not in str(made_race())


def test_what_nobody_witnessed_is_blank_and_explained() -> None:
    """Without a lab these cells are empty, and a note says why."""
    unseen = text_of(table(made_race("fake-3", "real-3", witnessed=False)))
    assert "nan" not in unseen
    assert "None" not in unseen
    assert "Blank:" in unseen


def test_no_finished_trial_is_said_not_drawn() -> None:
    """An interrupted race without results still prints one sentence."""
    assert str(raced()) == "No trial was finished.\n"


def test_littles_law_is_not_checked_across_a_wire() -> None:
    """With a round trip, TLS or no latency the lab and the client time different things: no verdict."""
    far = raced(*(made_trial(name, conditions={"rtt": 0.04}) for name in ("fake-3", "real-3")))
    assert any("Little's law" in note for note in notes(made_race()))
    assert not any("Little's law" in note for note in notes(far))


@pytest.mark.parametrize(
    ("factor", "said", "unsaid"), [(2, "in addition to the latency", "below"), (0.5, "busy for longer", "above")]
)
def test_littles_law_says_why_it_is_off_in_the_direction_it_is_off(factor: float, said: str, unsaid: str) -> None:
    """More in the client than in the lab is work; more in the lab than in the client is something else."""
    trial = made_trial("real-10")
    odd = of_spans(trial, trial.spans, busy_s=trial["busy_s"] / factor)
    law = next(note for note in notes(raced(odd)) if "Little's law" in note)
    assert "is off" in law
    assert said in law
    assert unsaid not in law


def test_trials_of_one_race_share_workload_and_conditions() -> None:
    """Adding another workload or other conditions names what differs; no trials are refused."""
    with pytest.raises(TrialError, match=r"requests 100 and 50"):
        together([made_trial("fake-3"), made_trial("real-3", Workload(requests=50))])
    with pytest.raises(TrialError, match=r"tls False and True"):
        together([made_trial("fake-3"), made_trial("fake-3", conditions={"tls": True})])
    with pytest.raises(TrialError, match="no trials"):
        together([])
