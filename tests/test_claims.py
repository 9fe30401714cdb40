"""The article's claims: each has its experiments and rule, each rule can give another verdict, the table has all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from claimswork import changed, made

from supalab.errors import SettingsError, TrialError
from supalab.experiments import claims
from supalab.experiments.claims import COLUMNS, EXPERIMENTS, UNTESTABLE, Claim, catalogue
from supalab.experiments.claims_rules import CANNOT, HOLDS, NOT, OTHER, Evidence, NotSeen, numbers_of, rules
from supalab.measure.case import Case, Span, Trial, Workload, span_numbers
from supalab.measure.record import Record
from supalab.measure.run import trials_of
from supalab.report.plot import description
from supalab.shipped import shipped

CLAIMS = {claim.id: claim for claim in catalogue()}
RECORDED = shipped("data", "reference", "claims.json")
# The usual verdict of each claim, and changes of the evidence that give another verdict.
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
    ("production-response", OTHER, {"production": {"article-10": {"idle_s": 0.05}}}, HOLDS),
    ("production-response", OTHER, {"production": {"fake-10": {"response_p50_s": 2.4}}}, HOLDS),
    (
        "production-response",
        OTHER,
        {"production": {"article-10": {"response_p50_s": 2.4}, "fake-10": {"response_p50_s": 2.4}}},
        NOT,
    ),
    ("production-capacity", OTHER, {"production": {"fake-10": {"peak": 3.0}}}, HOLDS),
    ("production-capacity", OTHER, {"production": {"article-10": {"peak": 3.0}}}, NOT),
    ("production-memory", NOT, {"production": {"article-10": {"memory_bytes": 30000000.0}}}, HOLDS),
    (
        "production-memory",
        NOT,
        {"production": {"article-10": {"memory_bytes": 30000000.0}, "fake-10": {"memory_bytes": 30000000.0}}},
        OTHER,
    ),
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


@pytest.fixture(scope="module")
def found() -> Record:
    return Record.load(RECORDED)


def burst_of(
    arm: str, seconds: float = 0.15, *, requests: int = 50, turn: int = 0, fail: int = 0, **tags: Any
) -> Trial:
    """Return a trial of a burst whose requests take ``seconds`` each, the first ``fail`` of which fail."""
    case = Case(arm, Workload(requests, 0.15), "burst", turn)
    outcomes = ["ApiError 503" if number < fail else "ok" for number in range(requests)]
    begins = [number // case.limit * seconds for number in range(requests)]
    spans = [Span(0.0, began, began + seconds, outcome) for began, outcome in zip(begins, outcomes, strict=True)]
    seen = {"threads": 1 + case.limit, "cpu_ms": 1.7, "base_bytes": 20_000_000, "added_bytes": 1_000_000}
    return Trial(case, {**span_numbers(spans), **seen, "lag_p99_s": 0.004, "peak": case.limit, "connections": requests})


def verdict_of(name: str, evidence: Evidence) -> str:
    return CLAIMS[name].judged(evidence).verdict


def test_every_claim_is_bound_and_every_rule_is_used() -> None:
    """Each claim names an existing experiment and rule; no rule and no experiment is unused."""
    assert len(CLAIMS) == 48
    assert {claim.rule for claim in CLAIMS.values()} == {*rules(), UNTESTABLE}
    needed = {name for claim in CLAIMS.values() for name in claim.experiment.split()}
    assert needed == set(EXPERIMENTS)
    assert {case.tags["experiment"] for case in cases(quick=False)} == needed - {"none"}
    table = [claim for claim in CLAIMS.values() if claim.section == "Numbers claimed"]
    assert {claim.figure for claim in table} == {3, 10, 450, 150, 250, 180, 6.7, 20, 15, 5}


def cases(*, quick: bool, path: Path | None = None) -> Sequence[Case]:
    plan = claims.plan(quick=quick, claims=None if path is None else str(path))
    return [one.case for one in trials_of(plan, lambda case: Trial(case, {})) if isinstance(one, Trial)]


def test_what_cannot_be_tested_says_why() -> None:
    """A claim without an experiment has the reason in its note."""
    for claim in CLAIMS.values():
        assert (claim.rule == UNTESTABLE) == (claim.experiment == "none") == bool(claim.note)
        if claim.note:
            found = claim.judged(made())
            assert (found.verdict, found.sentence) == (CANNOT, claim.note)


def test_every_rule_that_judges_is_tried_in_both_directions() -> None:
    """The table above contains every claim that an experiment decides."""
    assert {row[0] for row in EITHER_WAY} == {claim.id for claim in CLAIMS.values() if claim.rule != UNTESTABLE}


@pytest.mark.parametrize(("name", "usual", "change", "other"), EITHER_WAY)
def test_a_verdict_follows_from_what_was_found(name: str, usual: str, change: dict[str, Any], other: str) -> None:
    """The usual evidence gives one verdict, different evidence another one; each has its reason."""
    before, after = CLAIMS[name].judged(made()), CLAIMS[name].judged(changed(**change))
    assert (before.verdict, after.verdict) == (usual, other)
    for found in (before, after):
        assert found.sentence.endswith(".")
        assert "\n" not in found.sentence
        assert any(letter.isdigit() for letter in found.sentence) or not found.here
        assert (found.value is None) == (CLAIMS[name].figure is None)


@pytest.mark.parametrize("claim", [one for one in CLAIMS.values() if one.rule != UNTESTABLE], ids=lambda c: c.id)
def test_a_rule_needs_what_its_claim_names_and_no_more(claim: Claim) -> None:
    """With only the named experiments the verdict is the same; without them the claim cannot be tested."""
    whole, named = made(), claim.experiment.split()
    only = Evidence({name: known for name, known in whole.numbers.items() if name.split()[0] in named})
    assert claim.judged(only) == claim.judged(whole)
    nothing = claim.judged(Evidence({}))
    assert nothing.verdict == CANNOT
    assert nothing.sentence.startswith("Not tested: ")


@pytest.mark.parametrize(
    ("asked", "value"),
    [
        ("before.peak", 3),
        ("before.total_s / control.total_s", 3.0),
        ("100 - 100 * control.total_s / before.total_s", 100 - 100 / 3),
        ("before.peak - 1 - 1", 1),
        ("8 / 2 / 2", 2.0),
        ("before.peak * 1e6", 3e6),
    ],
)
def test_evidence_calculates_as_one_reads(asked: str, value: float) -> None:
    """Products before differences, from left to right; a name may contain hyphens and spaces."""
    evidence = Evidence({"burst fake-3": {"peak": 3, "total_s": 15.0}, "burst fake-10": {"total_s": 5.0, "peak": 0}})
    assert evidence(asked) == pytest.approx(value)
    with pytest.raises(NotSeen, match="there is no ratio before.peak / control.peak"):
        evidence("before.peak / control.peak")


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("before.peak == 3 and before.peak < 3 or before.peak >= 3", True),
        ("before.peak == 3 and before.peak < 3", False),
        ("before.peak ~ 2", True),
        ("before.peak ~ 1.9", False),
        ("before.peak !~ 1.9", True),
        ("2 * before.peak > 5 and 2 * before.peak <= 6", True),
        ("", False),
    ],
)
def test_conditions_are_comparisons_joined_by_and_and_or(condition: str, met: bool) -> None:
    """An ``and`` binds more tightly; near means within a factor of 1.5; no condition is never met."""
    assert Evidence({"burst fake-3": {"peak": 3}}).meets(condition) is met


def test_a_claim_without_a_figure_is_judged_by_no_rule_that_needs_one() -> None:
    """It cannot be tested, and the reason is the claim's."""
    found = replace(CLAIMS["table-faster"], figure=None).judged(made())
    assert (found.verdict, found.sentence) == (CANNOT, "Not tested: the claim has no figure.")


def test_a_claim_that_is_not_there_is_one_line() -> None:
    """The line lists the known names."""
    with pytest.raises(TrialError, match="no claim 'nothing': there are problem-limit, "):
        claims.verdicts(Record("claims"), ["nothing"])


def test_numbers_of_a_run_with_failures_decide_nothing() -> None:
    """If requests failed, speed does not count: the claim cannot be tested, and errors are counted."""
    found = CLAIMS["table-faster"].judged(changed(burst={"article-10": {"errors": 7}}))
    assert found.verdict == CANNOT
    assert "7 of 100 requests of burst article-10 failed" in found.sentence


@pytest.mark.parametrize("slower", [1.0, 1.15, 1.3])
def test_a_busy_machine_gives_the_same_verdicts(slower: float) -> None:
    """Longer times, most for the client that computes most, and a tenth more memory change no verdict."""
    slow = {name: dict(known) for name, known in made().numbers.items()}
    for name, known in slow.items():
        if "total_s" in known:
            by = slower if "article" in name or "kept" in name else 1 + (slower - 1) / 2
            known |= {"lag_s": 0.04 * slower, "process_bytes": int(known["process_bytes"] * (1 + (slower - 1) / 3))}
            known |= {"per_s": known["per_s"] / by, **{part: known[part] * by for part in ("total_s", "response_s")}}
    assert {name: verdict_of(name, Evidence(slow)) for name in CLAIMS} == {
        name: verdict_of(name, made()) for name in CLAIMS
    }


def test_trials_become_numbers_scaled_back() -> None:
    """A small run, with a third of the time and half of the requests, gives the numbers of a full run."""
    small = numbers_of([burst_of("fake-3")], 3.0)
    assert small["response_s"] == pytest.approx(0.45)
    assert small["total_s"] == pytest.approx(15.3)
    assert small["per_s"] == pytest.approx(6.53, rel=0.01)
    assert small["in_flight"] == pytest.approx(3, rel=0.05)
    names = ("limit", "peak", "at_once", "connections", "threads", "cpu_ms", "process_bytes")
    assert [small[name] for name in names] == [3, 3, 3, 50, 3, 1.7, 21_000_000]


def test_of_repeats_the_one_in_the_middle_counts_and_of_two_the_quicker() -> None:
    """A real trial is used, never a mixture: a stall in one of two trials has no effect."""
    one, two, stalled = burst_of("fake-10", 0.15), burst_of("fake-10", 0.17, turn=1), burst_of("fake-10", 3.0, turn=2)
    assert numbers_of([stalled, one, two])["total_s"] == numbers_of([two])["total_s"]
    assert numbers_of([stalled, one])["total_s"] == numbers_of([one])["total_s"]


def test_errors_of_every_repeat_count() -> None:
    """The numbers come from one trial, but failures of the others are counted too."""
    assert numbers_of([burst_of("fake-3"), burst_of("fake-3", turn=1, fail=60, requests=80)])["errors"] == 60


def test_spans_without_slots_or_answers_are_no_crash() -> None:
    """Without slots, the response time starts with the call; without responses, only errors are left."""
    case = Case("a-2", Workload(2, 0.15))
    known = numbers_of([Trial(case, span_numbers([Span(0, None, 2), Span(0, None, 4)]))])
    assert (known["response_s"], known["in_flight"]) == (3, 1.5)
    failed = numbers_of([Trial(case, span_numbers([Span(0, None, 2, "ApiError 503")]))])
    assert (failed["errors"], failed["per_s"]) == (1, 0.0)


def test_trials_of_another_record_are_judged_too() -> None:
    """A race of the three arms of a claim, its server time divided by three, gives the claim's verdict."""
    trials = [burst_of(arm) for arm in ("fake-3", "fake-10", "article-10")]
    judged = claims.verdicts(Record("race", tuple(trials)), ["table-faster", "table-memory-before"], scale=3.0)
    assert dict(judged["verdict"]) == {"table-faster": OTHER, "table-memory-before": CANNOT}
    assert judged.loc["table-faster", "here"] == "3.4x"


def test_quick_is_the_same_in_small() -> None:
    """Each experiment has the same arms, but there is no service; short trials run twice."""
    small, whole = cases(quick=True), cases(quick=False)
    arms = {(case.tags["experiment"], case.arm) for case in whole if case.job != "serve"}
    assert {(case.tags["experiment"], case.arm) for case in small} == arms
    assert sorted(case.arm for case in small if case.repeat) == ["article-10", "fake-10"]
    assert claims.EXPERIMENT.expected_s(quick=False) < 240
    assert claims.EXPERIMENT.expected_s(quick=True) < 60


def test_the_recorded_verdicts_are_counted(found: Record) -> None:
    """The counts add up to all claims, and the headline, the notes and the table say them."""
    judged = claims.verdicts(found)
    counts = [int((judged["verdict"] == verdict).sum()) for verdict in (HOLDS, OTHER, NOT, CANNOT)]
    assert sum(counts) == len(CLAIMS) == len(judged)
    assert claims.headline(found) == f"48 claims tested: {counts[0]} hold as stated"
    assert claims.notes(found)[0].startswith(f"Of 48 claims {counts[0]} hold, {counts[1]} hold for another reason, ")
    assert set(claims.compared(found)) == {f"claim {claim.id}" for claim in CLAIMS.values() if claim.figure is not None}


def test_the_record_survives_its_file(found: Record, tmp_path: Path) -> None:
    """Same record, same bytes, so that it can be judged again."""
    again = Record.load(found.save(tmp_path / "claims.json"), "claims")
    assert again == found
    assert (tmp_path / "claims.json").read_bytes() == RECORDED.read_bytes()


def test_the_table_fits_100_columns_and_has_every_claim(found: Record) -> None:
    """Claim, figures, verdict and sentence of each are there, and the summary is below."""
    text = str(replace(found, asked={"quick": True}, finished=False))
    assert max(map(len, text.splitlines())) <= 100
    words = " ".join(text.split())
    for claim in CLAIMS.values():
        assert claim.claim.split()[0] in words
    assert claims.notes(found)[0] in words
    assert text.count("◆") == (claims.verdicts(found)["verdict"] == OTHER).sum() + 1
    assert "…" not in text
    assert "Interrupted" in text
    assert "Quick" in text


def test_the_notebooks_table_is_html_with_nothing_unescaped(found: Record, tmp_path: Path) -> None:
    """A notebook shows a table with the verdicts in words; what is read from a file is escaped."""
    path = tmp_path / "mine.csv"
    hostile = "x,<b>,<script>,,,none,untestable,<img>"
    path.write_text(f"{shipped('data', 'claims.csv').read_text(encoding='utf-8')}{hostile}\n", encoding="utf-8")
    page = replace(found, asked={"claims": str(path)})._repr_mimebundle_()["text/html"]
    assert page.count("<tr>") == 1 + 49 + 1 + len({claim.section for claim in CLAIMS.values()})
    assert not [tag for tag in ("<script>", "<img>", "<b>") if tag in page]
    assert "holds, for another reason" in page


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a,b\n1,2\n", "they must be id, section"),
        (f"{','.join(COLUMNS)}\nx,s,c,,,burst,peak_before,\nx,s,c,,,burst,peak_before,\n", "2 claims 'x'"),
        (f"{','.join(COLUMNS)}\nx,s,c,three,,burst,peak_before,\n", "figure 'three' is not a number"),
        (f"{','.join(COLUMNS)}\nx,s,c,3,,burst,peak_before,a,b\n", "not one field for each column"),
        (f"{','.join(COLUMNS)}\nx,s,c,3,,blast,peak_before,\n", "experiment 'blast'"),
        (f"{','.join(COLUMNS)}\nx,s,c,3,,burst,peek,\n", "rule 'peek'"),
        (",".join(COLUMNS), "has no claims"),
    ],
)
def test_a_table_that_is_none_of_claims_is_one_line(tmp_path: Path, rows: str, said: str) -> None:
    """The line says what is wrong, with the value, before anything is measured."""
    (tmp_path / "mine.csv").write_text(rows, encoding="utf-8")
    with pytest.raises(SettingsError, match=said) as caught:
        claims.EXPERIMENT.expected_s(quick=True, claims=str(tmp_path / "mine.csv"))
    assert "\n" not in str(caught.value)


def test_the_figure_has_every_value_and_verdict(found: Record) -> None:
    """A mark for each claim by its verdict's shape, a row for each figure, and all of it in words."""
    drawn = claims.figure(found)
    marks, rows = drawn.axes
    judged = claims.verdicts(found)
    assert sum(len(line.get_xdata()) for line in marks.lines) == len(judged)
    figures = judged[judged["figure"].notna()]
    assert len(rows.get_yticklabels()) == len(figures) > 15
    assert len({look[3:] for look in claims.LOOKS.values()}) == 4
    words = description(drawn)
    assert claims.notes(found)[0] in words
    for line in figures.itertuples():
        assert f"{line.stated} claimed, {line.here} here" in words


def test_a_record_without_trials_is_drawn_all_the_same() -> None:
    """If nothing ran, the figure says so, and no claim is judged."""
    empty = Record("claims", finished=False)
    assert "no claim with a figure was tested" in [text.get_text() for text in claims.figure(empty).axes[1].texts]
    assert set(claims.verdicts(empty)["verdict"]) == {CANNOT}
