"""The article's claims: every one is bound, every rule can say otherwise, and the ledger says what was found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from claimswork import changed, made
from made_trials import made_set, made_trial

from supalab.errors import SettingsError, TrialError
from supalab.measure.claims import table as ledger_table
from supalab.measure.claims.catalogue import COLUMNS, Claim, catalogue
from supalab.measure.claims.evidence import Evidence, figures_of, from_spans, reduced
from supalab.measure.claims.experiments import gathered, planned
from supalab.measure.claims.judging import CANNOT, HOLDS, NOT, OTHER, VERDICTS
from supalab.measure.claims.ledger import LEDGER, Ledger, ledger_of
from supalab.measure.claims.rules import EXPERIMENTS, RULES, checked, judge
from supalab.measure.claims.run import expected_s
from supalab.measure.trial import Span, TrialSet, Workload
from supalab.report.table import text as text_of

CLAIMS = {claim.id: claim for claim in catalogue()}
# As it is usually found, and how what was found would have to change for the verdict to be another.
EITHER_WAY: list[tuple[str, str, dict[str, Any], str]] = [
    ("problem-limit", OTHER, {"burst": {"fake-10": {"peak": 3}}}, HOLDS),
    ("problem-limit", OTHER, {"burst": {"fake-3": {"peak": 4}}}, NOT),
    ("problem-thread", NOT, {"burst": {"fake-3": {"threads": 100}}}, HOLDS),
    ("problem-memory", NOT, {"burst": {"fake-3": {"process_bytes": 60_000_000}}}, HOLDS),
    ("problem-pooling", OTHER, {"reuse": {"session-3": {"connections": 100}}}, HOLDS),
    ("problem-pooling", OTHER, {"reuse": {"fake-3": {"connections": 3}}}, NOT),
    ("before-loop", HOLDS, {"facts": {"loop_inside_is_running": False}}, NOT),
    ("step-lazy", HOLDS, {"facts": {"clients_before": 1}}, NOT),
    ("step-lazy", HOLDS, {"facts": {"clients_made": 20}}, NOT),
    ("step-request", HOLDS, {"facts": {"methods_good": 3}}, NOT),
    ("step-context", HOLDS, {"facts": {"open_after_close": 1}}, NOT),
    ("table-concurrent-before", HOLDS, {"burst": {"fake-3": {"peak": 5}}}, NOT),
    ("table-concurrent-after", HOLDS, {"burst": {"article-10": {"peak": 9}}}, NOT),
    ("table-response-before", HOLDS, {"burst": {"fake-3": {"response_s": 0.15}}}, NOT),
    ("table-response-after", OTHER, {"burst": {"article-10": {"response_s": 0.15}}}, HOLDS),
    ("table-response-after", OTHER, {"far": {"session-3": {"response_s": 0.46}}}, NOT),
    ("table-memory-before", CANNOT, {"burst": {"fake-3": {"process_bytes": 250_000_000}}}, HOLDS),
    ("table-memory-after", CANNOT, {"burst": {"article-10": {"process_bytes": 400_000_000}}}, NOT),
    ("table-throughput-before", HOLDS, {"burst": {"fake-3": {"per_s": 20.0}}}, NOT),
    ("table-throughput-after", OTHER, {"burst": {"fake-10": {"total_s": 15.0}}}, HOLDS),
    ("table-throughput-after", OTHER, {"burst": {"article-10": {"per_s": 66.7}}}, NOT),
    ("table-total-before", HOLDS, {"burst": {"fake-3": {"total_s": 5.0}}}, NOT),
    ("table-total-after", OTHER, {"burst": {"fake-10": {"total_s": 15.0}}}, HOLDS),
    ("table-total-after", OTHER, {"burst": {"article-10": {"total_s": 1.5}}}, NOT),
    ("table-faster", OTHER, {"burst": {"fake-10": {"total_s": 15.0}}}, HOLDS),
    ("table-faster", OTHER, {"burst": {"article-10": {"total_s": 14.0}}}, NOT),
    ("production-response", OTHER, {"production": {"idle_after": 0.05}}, HOLDS),
    ("production-response", OTHER, {"production": {"overrun_control": 2.4}}, HOLDS),
    ("production-response", OTHER, {"production": {"overrun_after": 2.4, "overrun_control": 2.4}}, NOT),
    ("production-capacity", OTHER, {"production": {"in_flight_control": 3.0}}, HOLDS),
    ("production-capacity", OTHER, {"production": {"in_flight_after": 3.0}}, NOT),
    ("production-memory", NOT, {"production": {"memory_after": 30e6}}, HOLDS),
    ("production-memory", NOT, {"production": {"memory_after": 30e6, "memory_control": 30e6}}, OTHER),
    ("kind-before", HOLDS, {"burst": {"fake-10": {"threads": 0}}}, NOT),
    ("kind-after", HOLDS, {"burst": {"article-10": {"threads": 10}}}, NOT),
    ("kind-after", HOLDS, {"burst": {"article-10": {"peak": 1}}}, NOT),
    ("concurrency-before", HOLDS, {"burst": {"fake-10": {"peak": 3}}}, NOT),
    ("concurrency-after", NOT, {"facts": {"crowd_peak": 150, "default_connections": 1000}}, HOLDS),
    ("memory-before", NOT, {"burst": {"fake-3": {"threads": 80}}}, HOLDS),
    ("memory-after", OTHER, {"wide": {"kept-100": {"added_bytes": 2_000_000}}}, HOLDS),
    ("memory-after", OTHER, {"wide": {"real-100": {"added_bytes": 8_000_000}}}, NOT),
    ("pooling-before", HOLDS, {"facts": {"in_turn_requests": 1}}, NOT),
    ("pooling-after", HOLDS, {"facts": {"in_turn_httpx": 20}}, NOT),
    ("caution-exceptions", HOLDS, {"facts": {"status_caught_by_old_name": True}}, NOT),
    ("caution-mapping", NOT, {"facts": {"refused_caught_by_new_name": False}}, HOLDS),
    ("caution-mapping", NOT, {"facts": {"refused_caught_by_old_name": True}}, HOLDS),
    ("caution-pooling", NOT, {"reuse": {"article-10": {"connections": 10}}}, HOLDS),
    (
        "caution-timeouts",
        NOT,
        {"facts": {"queue_answered_article": 4}},
        HOLDS,
    ),
    ("lesson-band-aid", OTHER, {"burst": {"fake-10": {"total_s": 15.0}}}, HOLDS),
    ("lesson-client", OTHER, {"facts": {"left_next_article_s": 1.9}}, NOT),
    ("lesson-crowds", OTHER, {"wide": {"kept-100": {"cpu_ms": 0.4}}}, HOLDS),
    ("lesson-crowds", OTHER, {"wide": {"real-100": {"cpu_ms": 1.3}}}, NOT),
    ("lesson-serverless", NOT, {"burst": {"article-10": {"process_bytes": 15_000_000}}}, HOLDS),
    ("lesson-realtime", NOT, {"burst": {"fake-10": {"lag_s": 0.45}}}, HOLDS),
    ("end-response", OTHER, {"burst": {"article-10": {"response_s": 0.15}}}, HOLDS),
    ("end-memory", NOT, {"burst": {"article-10": {"process_bytes": 14_000_000}}}, HOLDS),
    (
        "end-memory",
        NOT,
        {"burst": {"article-10": {"process_bytes": 14_000_000}, "fake-10": {"process_bytes": 14_000_000}}},
        OTHER,
    ),
    ("end-unlimited", NOT, {"burst": {"article-10": {"peak": 100}}}, HOLDS),
    ("end-resources", HOLDS, {"facts": {"open_after_close": 2}}, NOT),
    ("end-resources", HOLDS, {"facts": {"left_next_article_s": 1.9}}, NOT),
    ("end-refactor", NOT, {"burst": {"fake-10": {"total_s": 15.0}}}, HOLDS),
]


def made_ledger(evidence: Evidence | None = None, **about: Any) -> Ledger:
    evidence = evidence or made()
    lines = ledger_of(catalogue(), evidence)
    return replace(Ledger(lines, evidence, False, True, "2026-11-22T20:00:00+00:00", {"cpus": "2"}, {}), **about)


def test_every_claim_is_bound_and_every_rule_is_used() -> None:
    """No claim without an experiment and a rule that exist; no rule and no experiment that nobody needs."""
    claims = checked(catalogue())
    assert len(claims) >= 30
    assert {claim.rule for claim in claims} == set(RULES)
    assert {name for claim in claims for name in claim.experiments} == set(EXPERIMENTS)
    assert {one.race for one in planned(True)} == set(EXPERIMENTS) - {"tries", "production", "none"}
    table = [claim for claim in claims if claim.section == "Figures claimed"]
    assert {claim.figure for claim in table} == {3, 10, 450, 150, 250, 180, 6.7, 20, 15, 5}


def test_what_cannot_be_tested_says_why() -> None:
    """Only a claim bound to nothing has no experiment, and then its note is the reason."""
    for claim in catalogue():
        assert (claim.rule == "untestable") == (claim.experiments == ("none",)) == bool(claim.note)
        if claim.note:
            found = judge(claim, made())
            assert (found.verdict, found.sentence) == (CANNOT, claim.note)


def test_every_rule_that_judges_is_tried_in_both_directions() -> None:
    """The table above leaves out no claim that an experiment decides."""
    decided = {claim.id for claim in catalogue() if claim.rule != "untestable"}
    assert {row[0] for row in EITHER_WAY} == decided


@pytest.mark.parametrize(("name", "usual", "change", "other"), EITHER_WAY)
def test_a_verdict_follows_from_what_was_found(name: str, usual: str, change: dict[str, Any], other: str) -> None:
    """The evidence as it is gives one verdict, evidence that differs in what matters another; both in one sentence."""
    before, after = judge(CLAIMS[name], made()), judge(CLAIMS[name], changed(**change))
    assert (before.verdict, after.verdict) == (usual, other)
    for found in (before, after):
        assert found.sentence.endswith(".")
        assert "\n" not in found.sentence
        assert any(letter.isdigit() for letter in found.sentence) or not found.here


@pytest.mark.parametrize("claim", [one for one in CLAIMS.values() if one.experiments != ("none",)], ids=lambda c: c.id)
def test_a_rule_needs_what_its_claim_names_and_no_more(claim: Claim) -> None:
    """With only the named experiments the verdict is the same; without them it cannot be tested, and says why."""
    whole = made()
    only = Evidence(
        {name: arms for name, arms in whole.races.items() if name in claim.experiments},
        whole.facts if "tries" in claim.experiments else {},
        whole.production if "production" in claim.experiments else {},
    )
    assert judge(claim, only) == judge(claim, whole)
    nothing = judge(claim, Evidence())
    assert nothing.verdict == CANNOT
    assert nothing.sentence.startswith("Not tested: ")


def test_figures_of_a_run_with_failures_decide_nothing() -> None:
    """Speed that was bought with errors is no speed: the claim cannot be tested, and the errors are counted."""
    found = judge(CLAIMS["table-faster"], changed(burst={"article-10": {"errors": 7}}))
    assert found.verdict == CANNOT
    assert "7 of 100 requests of article-10 failed" in found.sentence


@pytest.mark.parametrize("slower", [1.0, 1.15, 1.3])
def test_a_busy_machine_gives_the_same_verdicts(slower: float) -> None:
    """Every time longer, most for the client that computes most, and memory a tenth more: no verdict changes."""
    usual = {line.claim.id: line.verdict for line in made_ledger().lines}
    slow: dict[str, Any] = {}
    for race, arms in made().races.items():
        slow[race] = {}
        for arm, f in arms.items():
            by = slower if arm.startswith(("article", "kept")) else 1 + (slower - 1) / 2
            slow[race][arm] = {
                "total_s": f.total_s * by,
                "per_s": f.per_s / by,
                "response_s": f.response_s * by,
                "lag_s": 0.04 * slower,
                "process_bytes": int((f.process_bytes or 0) * (1 + (slower - 1) / 3)),
            }
    busy = {line.claim.id: line.verdict for line in ledger_of(catalogue(), changed(**slow))}
    assert busy == usual


def test_trials_become_figures_scaled_back() -> None:
    """A run in small, with a third of the time and half of the requests, gives the figures of the whole one."""
    small = figures_of(made_trial("fake-3", Workload(50, 0.15)), 3.0)
    assert small.response_s == pytest.approx(0.45, rel=0.05)
    assert small.total_s == pytest.approx(15.3, rel=0.06)
    assert small.per_s == pytest.approx(6.6, rel=0.06)
    assert small.in_flight == pytest.approx(3, rel=0.05)
    assert (small.limit, small.peak, small.at_once, small.connections, small.threads) == (3, 3, 3, 50, 3)
    assert small.cpu_ms == pytest.approx(1.7, rel=0.01)


def test_of_repeats_the_one_in_the_middle_counts() -> None:
    """A real trial is taken, never a mixture of several."""
    trials = made_set("fake-3", "real-10", repeats=3)
    found = reduced(trials)
    assert set(found) == {"fake-3", "real-10"}
    middle = sorted(trial.makespan_s for trial in trials.of("fake-3"))[1]
    assert found["fake-3"].total_s == pytest.approx(middle)


def test_errors_of_every_repeat_count() -> None:
    """The figures are those of one trial, but no failure of another vanishes with it."""
    trials = TrialSet((made_trial("fake-3"), made_trial("fake-3", repeat=1, fail=60)))
    assert reduced(trials)["fake-3"].errors == 60


def test_what_is_run_again_counts_with_the_first_and_the_quicker_of_two_is_taken() -> None:
    """A stall in one of the short trials of a quick run leaves no trace in the figures."""
    plan = [one for one in planned(True) if one.race == "burst"]
    assert [one.experiment.name for one in plan] == ["burst", "burst-again"]
    first, second = made_trial("fake-10", repeat=0), made_trial("fake-10", repeat=1)
    stalled = replace(first, spans=tuple(span._replace(done=span.done + 5) for span in first.spans))
    trials = {"burst": TrialSet((stalled, made_trial("fake-3"))), "burst-again": TrialSet((second,))}
    found = gathered(trials, plan)
    assert set(found) == {"burst"}
    assert set(found["burst"]) == {"fake-10", "fake-3"}
    assert found["burst"]["fake-10"].total_s == pytest.approx(second.makespan_s * plan[0].scale)


def test_spans_without_slots_or_answers_are_no_crash() -> None:
    """Where no slot is known the response runs from asking; where nothing was answered there is nothing but errors."""
    known = from_spans("a-2", 2, [Span(0, None, 2), Span(0, None, 4)], 1.0)
    assert (known.response_s, known.at_once, known.in_flight) == (3, 2, 1.5)
    failed = from_spans("a-2", 2, [Span(0, None, 2, "ApiError 503")], 1.0)
    assert (failed.errors, failed.per_s, failed.at_once) == (1, 0.0, 0)


def test_the_ledger_counts_and_finds() -> None:
    """The summary's counts add up to all claims; a line is found by its id."""
    ledger = made_ledger()
    assert set(ledger.counts) == set(VERDICTS)
    assert sum(ledger.counts.values()) == len(ledger.lines)
    assert ledger.summary.startswith(f"Of {len(ledger.lines)} claims {ledger.counts[HOLDS]} hold, ")
    assert ledger.of("table-faster").verdict == OTHER
    with pytest.raises(TrialError, match="no claim 'nothing'"):
        ledger.of("nothing")


def test_the_ledger_survives_its_file(tmp_path: Path) -> None:
    """Same result, same bytes, evidence and all, so that it can be judged anew."""
    ledger = made_ledger()
    path = LEDGER.save(ledger, tmp_path / "ledger.json")
    again = LEDGER.load(path)
    assert LEDGER.dumps(again) == path.read_text(encoding="utf-8")
    anew = [(line.verdict, line.sentence) for line in ledger_of(catalogue(), again.evidence)]
    assert anew == [(line.verdict, line.sentence) for line in ledger.lines]
    assert json.loads(path.read_text(encoding="utf-8"))["format"] == "supalab-claims"


def test_the_table_fits_100_columns_and_has_every_claim() -> None:
    """Claim, figures, verdict and sentence of each are there, and the summary is below."""
    ledger = made_ledger(quick=True, finished=False)
    text = text_of(ledger_table.table(ledger))
    assert max(map(len, text.splitlines())) <= 100
    words = " ".join(text.split())
    for line in ledger.lines:
        assert line.claim.claim.split()[0] in words
    assert ledger.summary in words
    assert text.count("◆") == ledger.counts[OTHER] + 1
    assert "…" not in text
    assert "Interrupted" in text


def test_the_notebooks_table_is_html_with_nothing_unescaped() -> None:
    """A notebook shows the ledger as a table with the verdicts in words; what is read from a file is escaped."""
    ledger = made_ledger()
    hostile = replace(ledger.lines[0], sentence="<script>")
    page = replace(ledger, lines=(hostile, *ledger.lines[1:]))._repr_html_()
    assert page.count("<tr>") == 1 + len(ledger.lines) + len({line.claim.section for line in ledger.lines})
    assert "<script>" not in page
    assert "holds, for another reason" in page


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a,b\n1,2\n", "they must be id, section"),
        (f"{','.join(COLUMNS)}\nx,s,c,,,burst,peak_before,\nx,s,c,,,burst,peak_before,\n", "two claims 'x'"),
        (f"{','.join(COLUMNS)}\nx,s,c,three,,burst,peak_before,\n", "figure 'three' is not a number"),
        (f"{','.join(COLUMNS)}\nx,s,c,3,,burst,peak_before,a,b\n", "not one field for each column"),
        (f"{','.join(COLUMNS)}\nx,s,c,3,,blast,peak_before,\n", "experiment 'blast'"),
        (f"{','.join(COLUMNS)}\nx,s,c,3,,burst,peek,\n", "rule 'peek'"),
    ],
)
def test_a_table_that_is_none_of_claims_is_one_line(tmp_path: Path, rows: str, said: str) -> None:
    """What is wrong with it, with the value, before anything is measured."""
    (tmp_path / "mine.csv").write_text(rows, encoding="utf-8")
    with pytest.raises(SettingsError, match=said) as caught:
        expected_s(True, tmp_path / "mine.csv")
    assert "\n" not in str(caught.value)


def test_the_whole_takes_four_minutes_and_in_small_one() -> None:
    """What it should take on a quiet machine stays below what is promised."""
    assert expected_s(False) < 240
    assert expected_s(True) < 60
