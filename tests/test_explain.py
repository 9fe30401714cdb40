"""What made the difference: the mathematics on made-up trials, the sentences, and one small run of everything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from declared import NUMBERS
from made_explanation import LEVELS, made_explanation

from supalab.errors import SettingsError, TrialError
from supalab.experiments.explain import (
    ARTICLE_FACTORS,
    NOISE,
    WHOLE,
    Explained,
    Step,
    chain,
    explain,
    explained,
    headline,
    link_notes,
    notes,
    plan,
    tables,
)  # fmt: skip
from supalab.measure.case import Case, Workload
from supalab.measure.record import Record
from supalab.measure.run import Progress, expected_s
from supalab.report.table import text as text_of

KEYS = ["limit", "reuse", "library", "async", "keepalive", "gate", "around", "transport"]


def seen(**how: Any) -> Explained:
    return explained(made_explanation(**how))


def step(found: Explained, key: str, link: str = "") -> Step:
    (one,) = [one for one in (found.links if link else found.steps) if (one.factor.key, one.link) == (key, link)]
    return one


def test_each_factor_is_a_pair_and_the_next_one_begins_where_it_ends() -> None:
    """Eight factors lead from the article's before to ours; four of them are the article's own step."""
    factors = chain(3, 10)
    assert [one.key for one in factors] == KEYS
    assert (factors[0].before, factors[-1].after) == ("fake-3", "real-10")
    assert [one.after for one in factors[:-1]] == [one.before for one in factors[1:]]
    assert factors[ARTICLE_FACTORS - 1].after == "article-10"
    assert chain(5, 100)[0].after == "fake-100"


def cases(**asked: Any) -> list[Case]:
    return [one for one in plan(**asked) if isinstance(one, Case)]


def test_a_round_holds_every_pair_the_whole_and_the_links() -> None:
    """Arms take turns in pairs after a warm-up; reuse is measured over five links; links can be left out."""
    todo = cases(requests=100, latency=0.45, repeat=2)
    first = [one for one in todo if one.repeat == 0]
    ran = [(one.tags["factor"], one.tags["link"]) for one in first]
    assert [key for key in dict.fromkeys(key for key, link in ran if not link) if key != WHOLE] == KEYS
    assert [one.arm for one in first if one.tags["factor"] == WHOLE] == ["fake-3", "article-10", "real-10"]
    assert len({link for key, link in ran if key == "reuse" and link}) == 5
    assert {("async", "TLS, 40 ms"), ("keepalive", "TLS, 40 ms")} <= set(ran)
    assert all(one.options["warm_up"] == 10 for one in todo)
    assert {one.workload for one in todo if one.tags["link"]} == {Workload(40, 0.05)}
    assert [one.arm for one in todo if one.tags["factor"] == "limit"] == ["fake-3", "fake-10", "fake-10", "fake-3"]
    less = cases(requests=100, latency=0.45, repeat=2, links=False)
    assert len(less) == 2 * (2 * 8 + 3)
    assert expected_s(plan(links=False)) < expected_s(plan())


def test_the_usual_burst_fits_the_limit() -> None:
    """Ten requests for each slot: 100 at a limit of 10; at 100 they are a thousand short ones."""
    assert {one.workload for one in cases(links=False)} == {Workload(100, 0.15)}
    assert {one.workload for one in cases(limit=100, links=False)} == {Workload(1000, 0.05)}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"before": 10}, "make the second larger"),
        ({"before": 0}, "before 0"),
        ({"repeat": 0}, "repeat 0"),
        ({"repeat": True}, "repeat True"),
        ({"requests": 0}, "requests 0"),
        ({"latency": -1.0}, "latency -1"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(how: dict[str, Any], said: str) -> None:
    """No step up, no rounds, no requests: one line with the cure."""
    with pytest.raises(SettingsError, match=said):
        explain(**how)


def test_the_headline_names_what_saved_most() -> None:
    """One factor that saved nearly all, or the two that saved much; a losing factor is never called one of them."""
    assert headline(made_explanation()) == ("15.4 s to 4.7 s to 4.6 s: almost all of the gain comes from 10 threads")
    dear = tuple(s + 30 for s in LEVELS[4:8])
    said = headline(made_explanation(levels=(*LEVELS[:4], *dear, LEVELS[8])))
    assert said.startswith("15.4 s to 34.7 s to 4.6 s: ")
    assert "by a faster connection pool" in said
    assert "by 10 threads" in said
    assert "async" not in said
    assert "no factor is above noise" in headline(made_explanation(jitter=20))


def test_an_arm_compared_with_itself_says_what_noise_is() -> None:
    """If pairs of the same arm differ by this much, no factor can be above noise."""
    quiet, loud = seen(), seen(jitter=0.06)
    assert step(quiet, "async").saved.noise == pytest.approx(0, abs=1e-9)
    assert step(quiet, "async").saved.above_noise
    assert step(loud, "async").saved.noise == pytest.approx(0.06, rel=0.1)
    assert step(loud, "limit").saved.above_noise
    got = step(loud, "transport").saved
    assert got.lowest > 0
    assert not got.above_noise, "smaller than noise, although every round has the same sign"


def test_the_remainder_is_what_the_factors_leave() -> None:
    """Without jitter the factors sum to the whole; seconds that belong to no factor are the remainder."""
    whole = seen()
    assert whole.ours.saved.median == pytest.approx(LEVELS[0] - LEVELS[-1])
    assert whole.article.saved.median == pytest.approx(LEVELS[0] - LEVELS[4])
    assert whole.left(whole.ours) == pytest.approx(0, abs=1e-9)
    late = seen(off=0.5)
    assert late.left(late.ours) == pytest.approx(-0.5)
    assert late.left(late.article) == pytest.approx(-0.5)
    assert sum(late.share(one.saved.median) or 0 for one in late.steps) == pytest.approx(10.84 / 10.34)
    assert "do not add up" not in " ".join(notes(made_explanation(off=0.5)))
    assert " ".join(notes(made_explanation(off=2.0))).count("do not add up") == 2


def test_a_whole_that_saved_nothing_has_no_shares() -> None:
    """If our client is as slow as before, nothing is divided by zero."""
    nothing = made_explanation(off=LEVELS[0])
    found = seen(off=LEVELS[0])
    assert found.share(1.0) is None
    assert "nothing was saved" in headline(nothing)
    assert "%" not in " ".join(notes(nothing))
    assert "fake-3 -> fake-10" in text_of(tables(nothing))


def test_a_slot_is_held_for_as_long_as_a_wave_takes() -> None:
    """Over links the number is milliseconds per request: makespan divided by waves, for any size of burst."""
    found = seen()
    assert step(found, "reuse", "HTTP").before["slot_ms"].iloc[0] == pytest.approx(110)
    assert step(found, "reuse", "TLS, 40 ms").saved.median == pytest.approx(89)
    assert not step(found, "library", "HTTP").saved.above_noise


def test_every_factor_has_a_sentence_with_its_numbers() -> None:
    """Seconds and share where they can be told, CPU where it moved, connections where they did."""
    said = dict(zip(KEYS, notes(made_explanation()), strict=False))
    assert said["limit"] == "- 10 threads instead of 3: saves 10.80 s, 100% of the whole."
    assert "the lab saw 110 connections for 110 requests, then 10" in said["reuse"]
    assert "costs 110 ms" in said["async"]
    assert "CPU time per request rises from 1.80 to 3.00 ms" in said["keepalive"]
    assert "CPU time per request falls from 1.10 to 0.45 ms" in said["transport"]
    assert NOISE in said["around"]
    assert len(set(said.values())) == len(KEYS)


def test_cpu_is_said_because_seconds_hide_it() -> None:
    """The CPU time per request before, after and with our client, and the two factors that reduced it most."""
    assert notes(made_explanation())[-1] == (
        "CPU time per request: 1.50 ms before, 1.80 ms after the article's step, 0.45 ms with SupabaseAsync; "
        "reduced most by a semaphore in front of the pool and a faster connection pool."
    )


def test_the_words_say_where_the_articles_pool_throws_reuse_away() -> None:
    """Over the far link the library's pool loses what reuse saved; over plain HTTP there is nothing to lose."""
    lines = list(link_notes(seen()))
    assert "saves 5 ms (HTTP), within noise (TLS)" in lines[0]
    assert "saves 89 ms (TLS, 40 ms)" in lines[0]
    assert "within noise (HTTP), costs 87 ms (TLS, 40 ms)" in lines[1]
    assert lines[-1] == (
        "Over TLS, 40 ms, keep-alive for 5 connections loses 98% of what reuse saved: "
        "the lab saw 105 connections for 50 requests."
    )
    assert sum("of what reuse saved" in line for line in lines) == 1


def test_the_table_shows_all_and_fits() -> None:
    """A row and a sentence for each factor, both sums, the links; ASCII, at most 100 columns."""
    text = text_of(tables(made_explanation(jitter=0.03)))
    assert all(len(line) <= 100 and line.isascii() for line in text.splitlines())
    assert all(f"{one.before} -> {one.after}" in text for one in chain())
    assert "= the article's step" in text
    assert "= the whole step to SupabaseAsync" in text
    assert text.count("not explained by the factors") == 2
    assert "TLS, 40 ms" in text
    assert "~" in text.split("depending on the network")[1]
    long = text_of(tables(made_explanation(levels=[100 * one for one in LEVELS], limit=1000)))
    assert "…" not in text + long
    assert "depending on the network" not in text_of(tables(made_explanation(links=False)))


def test_failures_stand_beside_the_numbers() -> None:
    """An arm that failed is named below the table with the number of failures."""
    assert "article-10: 7 of 100 requests failed" in text_of(tables(made_explanation(errors=7)))
    assert "failed" not in text_of(tables(made_explanation()))


def test_only_finished_rounds_count() -> None:
    """An interrupt in the third round leaves two; in the first, none; after a round, that round counts."""
    whole = made_explanation(links=False)
    found = replace(whole, trials=whole.trials[:-1], finished=False)
    got = explained(found)
    assert got.ours.saved.rounds == 2
    assert all(len(one.before) == len(one.after) == 2 for one in got.steps)
    assert "finished rounds count, 2 of them" in text_of(tables(found))
    each = len(whole.trials) // 3
    once = explained(replace(whole, trials=whole.trials[:each], finished=False))
    assert once.ours.saved.rounds == 1
    for trials in ((), whole.trials[:5]):
        none = replace(whole, trials=trials, finished=False)
        with pytest.raises(TrialError, match="no round was finished"):
            explained(none)
        assert "No round was finished" in text_of(tables(none))


def test_a_small_run_finds_the_limit_and_adds_up(tmp_path: Path) -> None:
    """The step from 3 to 10 saves by far the most, the factors sum to the whole, nothing fails."""
    told: list[Progress] = []
    record = explain(requests=20, latency=0.25, repeat=1, links=False, progress=told.append)
    found = explained(record)
    assert max(found.steps, key=lambda one: one.saved.median).factor.key == "limit"
    limit = step(found, "limit").saved
    assert limit.above_noise
    assert (found.share(limit.median) or 0) > 0.6
    assert abs(found.left(found.ours)) <= 0.25 * found.ours.saved.median
    assert not record.rows["errors"].any()
    reuse, keepalive = step(found, "reuse"), step(found, "keepalive")
    assert (list(reuse.before["connections"]), list(reuse.after["connections"])) == ([30], [10])
    assert (keepalive.before["connections"].iloc[0] > 12, list(keepalive.after["connections"])) == (True, [10])
    assert {"httpx", "requests", "httptools"} <= set(record.versions)
    assert {name for trial in record.trials for name in trial.numbers} <= set(NUMBERS)
    assert (told[-1].done, told[-1].total) == (19, 19)
    assert Record.load(record.save(tmp_path / "explain.json"), "explain") == record
