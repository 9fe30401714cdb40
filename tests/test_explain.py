"""What earned the speed-up: the mathematics on made trials, its words, and one small run of everything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_trials import made_trial

from supalab import Lab
from supalab.errors import SettingsError, TrialError
from supalab.lab.conditions import Conditions
from supalab.measure.campaign import Campaign, CampaignInterrupted, Experiment, run
from supalab.measure.explain import ExplainInterrupted, explain, explained, planned
from supalab.measure.explain import table as explain_table
from supalab.measure.explain import words as explain_words
from supalab.measure.explain.chain import ARTICLE_FACTORS, chain
from supalab.measure.explain.plan import WHOLE, usual
from supalab.measure.explain.result import EXPLANATION, Earned, Explanation, LinkStep, Side, Step, Whole, earned, side
from supalab.measure.race import Progress
from supalab.measure.trial import Trial, TrialSet, Witnessed
from supalab.measure.workload import Workload
from supalab.report.table import text as text_of

KEYS = ["limit", "reuse", "library", "async", "keepalive", "gate", "around", "transport"]
# Seconds and milliseconds of CPU of an arm of the chain, in order: the article's size.
LEVELS = (15.42, 4.62, 4.60, 4.61, 4.72, 4.70, 4.65, 4.65, 4.58)
CPU = (1.5, 1.5, 1.0, 1.1, 1.8, 3.0, 1.3, 1.1, 0.45)
SHIFTS = (0.0, 0.02, -0.01)
DIALLED = {"fake": 110, "httpx-threads": 105, "article": 105}


def made_side(arm: str, level: float, cpu: float, *, by: float = 0.0, errors: int = 0) -> Side:
    """Three rounds around a level; ``by``: how much later this arm is in this pair than elsewhere."""
    dialled = (DIALLED.get(arm.rpartition("-")[0], 10),) * 3
    seconds = tuple(level + shift + by for shift in SHIFTS)
    return Side(arm, seconds, tuple(cpu * (1 + shift) for shift in SHIFTS), dialled, 110, errors)


def made_explanation(
    *,
    links: bool = True,
    jitter: float = 0.0,
    errors: int = 0,
    off: float = 0.0,
    levels: Sequence[float] = LEVELS,
    after: int = 10,
) -> Explanation:
    """The article's size; ``jitter``: what an arm differs by between its pairs, ``off``: seconds on no factor."""
    factors = chain(3, after)
    arms = [factor.before for factor in factors] + [factors[-1].after]
    ends = [made_side(*each) for each in zip(arms, levels, CPU, strict=True)]
    again = [made_side(*each, by=jitter, errors=errors) for each in zip(arms, levels, CPU, strict=True)]
    steps = [Step(one.key, one.change, a, b) for one, a, b in zip(factors, ends[:-1], again[1:], strict=True)]
    article, ours = (replace(one, makespan_s=tuple(s + off for s in one.makespan_s)) for one in (ends[4], ends[8]))
    return Explanation(
        workload=Workload(100, 0.45),
        limits=(3, after),
        rounds=3,
        steps=tuple(steps),
        whole=Whole(ends[0], article, ours),
        links=made_links() if links else (),
        link_workload=Workload(40, 0.1) if links else None,
        when="2026-11-22T17:00:00+00:00",
        machine={"system": "Linux", "cpus": "2"},
        versions={"python": "3.11.7"},
    )


def made_links() -> tuple[LinkStep, ...]:
    """Three trips for a new connection over TLS, one for a kept one; four waves of requests."""
    changes = {factor.key: (factor.change, factor.before, factor.after) for factor in chain()}
    rows = [("reuse", "HTTP", 0.0, 110, 105), ("reuse", "TLS, 40 ms", 0.04, 235, 146)]
    rows += [("library", "HTTP", 0.0, 105, 105), ("library", "TLS, 40 ms", 0.04, 146, 233)]
    rows += [("keepalive", "TLS, 40 ms", 0.04, 235, 146)]
    made = []
    for key, link, rtt, before, after in rows:
        change, one, other = changes[key]
        sides = [made_side(arm, 4 * ms / 1000, 1.0) for arm, ms in ((one, before), (other, after))]
        made.append(LinkStep(key, change, link, rtt, rtt > 0, *sides))
    return tuple(made)


def test_each_factor_is_a_pair_and_the_next_one_begins_where_it_ends() -> None:
    """Eight factors lead from the article's before to ours; four of them are the article's own step."""
    factors = chain(3, 10)
    assert [one.key for one in factors] == KEYS
    assert (factors[0].before, factors[-1].after) == ("fake-3", "real-10")
    assert [one.after for one in factors[:-1]] == [one.before for one in factors[1:]]
    assert factors[ARTICLE_FACTORS - 1].after == "article-10"
    assert chain(5, 100)[0].after == "fake-100"


def test_a_round_holds_every_pair_the_whole_and_the_links() -> None:
    """Arms take turns in pairs after a warm-up; reuse is measured over five links; links can be left out."""
    todo = planned(Workload(100, 0.45), repeat=2)
    names = [one.name for one in todo.experiments]
    assert [name for name in names if name in KEYS] == KEYS
    assert next(one.arms for one in todo.experiments if one.name == WHOLE) == ("fake-3", "article-10", "real-10")
    assert sum(name.startswith("reuse over") for name in names) == 5
    assert {"async over TLS, 40 ms", "keepalive over TLS, 40 ms"} <= set(names)
    assert all(one.bare == 10 and one.repeat == 1 for one in todo.experiments)
    assert todo.link_workload == Workload(40, 0.05)
    less = planned(Workload(100, 0.45), repeat=2, links=False)
    assert len(less.experiments) == 9
    assert less.link_workload is None
    assert less.expected_s < todo.expected_s


def test_the_usual_burst_fits_the_limit() -> None:
    """Ten requests for each slot: 100 at a limit of 10; at 100 they are a thousand short ones."""
    assert (usual(10), usual(100)) == (Workload(100, 0.15), Workload(1000, 0.05))
    assert planned(after=100, links=False).workload == usual(100)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"before": 10}, "let the second be larger"),
        ({"before": 0}, "limit 0"),
        ({"repeat": 0}, "repeat 0"),
        ({"repeat": True}, "repeat True"),
        ({"workload": Workload(10, None)}, "latency None"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(how: dict, said: str) -> None:
    """No step up, no rounds, no known latency: one line with the cure."""
    with pytest.raises(SettingsError, match=said):
        explain(**how)


def test_a_difference_is_taken_within_rounds() -> None:
    """A machine that slows down between rounds moves both sides alike: no spread of the earned seconds."""
    before, after = Side("fake-3", (6.0, 8.0, 7.0), (), (), 9), Side("fake-10", (2.0, 4.0, 3.5), (), (), 9)
    assert earned(before, after) == Earned(4.0, 3.5, 4.0, 0.0, 3)
    assert earned(before, after).told
    assert not earned(after, replace(after, makespan_s=(1.9, 4.1, 3.4))).told, "the spread covers 0"


def test_a_single_round_must_be_clearer() -> None:
    """One round has no spread: what two rounds could tell, it cannot, unless it is twice the noise."""
    assert Earned(0.15, 0.12, 0.18, 0.1, 2).told
    assert not Earned(0.15, 0.15, 0.15, 0.1, 1).told
    assert Earned(0.25, 0.25, 0.25, 0.1, 1).told


def test_the_headline_names_what_earned_most() -> None:
    """One factor that earned nearly all, or the two that earned much; a losing factor is never called an earner."""
    assert explain_words.headline(made_explanation()) == (
        "15.4 s to 4.7 s to 4.6 s: nearly all of it earned by 10 threads in place of 3"
    )
    dear = tuple(s + 30 for s in LEVELS[4:8])
    found = made_explanation(levels=(*LEVELS[:4], *dear, LEVELS[8]))
    assert explain_words.headline(found).startswith("15.4 s to 34.7 s to 4.6 s: ")
    assert "by a faster connection pool" in explain_words.headline(found)
    assert "by 10 threads" in explain_words.headline(found)
    assert "async" not in explain_words.headline(found)
    assert "no factor can be told from noise" in explain_words.headline(made_explanation(jitter=20))


def test_an_arm_compared_with_itself_says_what_noise_is() -> None:
    """What the same arm differs by between its pairs cannot be told of any factor, whatever its spread is."""
    quiet, loud = made_explanation(), made_explanation(jitter=0.06)
    small = KEYS.index("async")
    assert quiet.seconds(quiet.steps[small]).noise == pytest.approx(0, abs=1e-9)
    assert quiet.seconds(quiet.steps[small]).told
    assert loud.seconds(loud.steps[small]).noise == pytest.approx(0.06, rel=0.1)
    assert loud.seconds(loud.steps[0]).told
    got = loud.seconds(loud.steps[KEYS.index("transport")])
    assert got.lowest > 0
    assert not got.told, "smaller than noise, although every round has the same sign"


def test_the_remainder_is_what_the_factors_leave() -> None:
    """Without jitter the factors sum to the whole; seconds on no factor are the remainder, not spread over factors."""
    whole = made_explanation()
    assert whole.earned_s == pytest.approx(LEVELS[0] - LEVELS[-1])
    assert whole.article_s == pytest.approx(LEVELS[0] - LEVELS[4])
    assert whole.remainder_s == pytest.approx(0, abs=1e-9)
    late = made_explanation(off=0.5)
    assert late.remainder_s == pytest.approx(-0.5)
    assert late.article_remainder_s == pytest.approx(-0.5)
    assert sum(late.share(step) or 0 for step in late.steps) == pytest.approx(10.84 / 10.34)
    assert "do not add up" not in "".join(explain_words.sums(late))
    assert all("do not add up" in line for line in explain_words.sums(made_explanation(off=2.0)))


def test_a_whole_that_earned_nothing_has_no_shares() -> None:
    """Where ours is as slow as before, nobody divides by it."""
    nothing = made_explanation(off=LEVELS[0])
    assert nothing.share(nothing.steps[0]) is None
    assert "nothing was earned" in explain_words.headline(nothing)
    assert "%" not in explain_words.sums(nothing)[1]
    assert "fake-3 -> fake-10" in text_of(explain_table.tables(nothing))


def test_a_slot_is_held_for_as_long_as_a_wave_takes() -> None:
    """Over links the figure is milliseconds a request: makespan over waves, whatever the size of the burst."""
    found = made_explanation()
    near, far = found.links[:2]
    assert found.slots_ms(near.before)[0] == pytest.approx(110)
    assert found.slot_ms(far).middle == pytest.approx(89)
    assert not found.slot_ms(found.links[2]).told


def test_every_factor_has_a_sentence_with_its_numbers() -> None:
    """Seconds and share where they can be told, CPU where it moved, connections where they did."""
    found = made_explanation()
    said = dict(zip(KEYS, (explain_words.sentence(step, found) for step in found.steps), strict=True))
    assert said["limit"] == "10 threads in place of 3: earns 10.80 s, 100% of the whole."
    assert "the lab saw 110 connections for 110 requests, then 10" in said["reuse"]
    assert "costs 110 ms" in said["async"]
    assert "CPU of a request rises from 1.80 to 3.00 ms" in said["keepalive"]
    assert "CPU of a request falls from 1.10 to 0.45 ms" in said["transport"]
    assert explain_words.NOTHING in said["around"]
    assert len(set(said.values())) == len(KEYS)


def test_cpu_is_said_because_seconds_hide_it() -> None:
    """The cost of a request before, after and with ours, and the two factors that cut it most."""
    assert explain_words.cpu_line(made_explanation()) == (
        "CPU of a request: 1.50 ms before, 1.80 ms the article's after, 0.45 ms ours; "
        "cut most by a gate before the pool and a faster connection pool."
    )


def test_the_words_say_where_the_articles_pool_throws_reuse_away() -> None:
    """Over the far link the library's pool loses what reuse earned; over plain HTTP there is nothing to lose."""
    lines = explain_words.link_lines(made_explanation())
    assert "earns 5 ms (HTTP), earns 89 ms (TLS, 40 ms)" in lines[0]
    assert "not told from noise (HTTP), costs 87 ms (TLS, 40 ms)" in lines[1]
    assert lines[-1] == (
        "Over TLS, 40 ms, a pool that keeps 5 loses 98% of what reuse earned: "
        "the lab saw 105 connections for 110 requests."
    )
    assert sum("of what reuse earned" in line for line in lines) == 1


def test_the_table_shows_all_and_fits() -> None:
    """A row and a sentence for each factor, both sums, the links; ASCII, at most 100 columns."""
    text = text_of(explain_table.tables(made_explanation(jitter=0.03)))
    assert all(len(line) <= 100 and line.isascii() for line in text.splitlines())
    assert all(f"{one.before} -> {one.after}" in text for one in chain())
    assert "= the article's step" in text
    assert "= the way to ours" in text
    assert text.count("not explained by the factors") == 2
    assert "TLS, 40 ms" in text
    assert "~" in text.split("depends on the link")[1]
    long = text_of(explain_table.tables(made_explanation(levels=[100 * one for one in LEVELS], after=1000)))
    assert "…" not in text + long
    assert "depends on the link" not in text_of(explain_table.tables(made_explanation(links=False)))


def test_failures_stand_beside_the_figures() -> None:
    """An arm that failed is named below the table, with how often."""
    assert "article-10: 7 requests failed" in text_of(explain_table.tables(made_explanation(errors=7)))
    assert "failed" not in text_of(explain_table.tables(made_explanation()))


def test_an_explanation_comes_back_from_its_file(tmp_path: Path) -> None:
    """Format and version are in it; the same bytes twice; another format is one line."""
    path = EXPLANATION.save(made_explanation(), tmp_path / "explain.json")
    again = EXPLANATION.load(path)
    assert EXPLANATION.dumps(again) == path.read_text(encoding="utf-8")
    assert [step.factor for step in again.steps] == KEYS
    assert again.remainder_s == pytest.approx(made_explanation().remainder_s, abs=1e-5)
    whole = json.loads(path.read_text(encoding="utf-8"))
    assert (whole["format"], whole["version"]) == ("supalab-explain", 1)
    with pytest.raises(TrialError, match="supalab explain"):
        EXPLANATION.loads(json.dumps(whole | {"steps": 5}))


def test_a_side_is_what_its_trials_say() -> None:
    """Makespans and CPU by round, the lab's connections, the worst round's failures."""
    trials = [made_trial("fake-3", repeat=turn, fail=turn) for turn in range(2)]
    got = side(trials)
    assert got.makespan_s == tuple(round(trial.makespan_s, 6) for trial in trials)
    assert got.cpu_ms == (1.7, 1.7)
    assert (got.connections, got.requests, got.errors) == ((100, 100), 100, 1)


def test_rounds_run_everything_once_and_then_again() -> None:
    """Experiments alternate, each round another arm is first, repeats count on, progress ends at the end."""
    seen: list[Progress] = []
    pair = Workload(4, 0.01)
    two = [Experiment("a", ("real-3", "fake-3"), pair, bare=1), Experiment("b", ("real-3",), pair, rtt=0.01, bare=1)]
    with Lab() as lab:
        found = run(two, lab=lab, progress=seen.append, rounds=2)
    ended = [so_far.trial for so_far in seen if so_far.trial]
    assert [(trial.arm, trial.backend.rtt > 0) for trial in ended] == [
        *(("real-3", False), ("fake-3", False), ("real-3", True)),
        *(("fake-3", False), ("real-3", False), ("real-3", True)),
    ]
    assert [trial.repeat for trial in found["a"].of("fake-3")] == [0, 1]
    fractions = [so_far.fraction for so_far in seen]
    assert fractions == sorted(fractions)
    assert (fractions[-1], seen[-1].done, seen[-1].total) == (pytest.approx(1.0), 6, 6)
    with pytest.raises(SettingsError, match="rounds 0"):
        run(two, rounds=0)


def test_an_interrupt_between_two_races_keeps_what_was_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the lab changes its conditions is as good as Ctrl-C in a race."""

    def raced(arms: Sequence[str], workload: Workload, *, keep: list[Trial], **_: object) -> None:
        keep += [made_trial(name, workload) for name in arms]

    def changed(*, rtt: float = 0.0, **_: object) -> None:
        if rtt:
            raise KeyboardInterrupt

    monkeypatch.setattr("supalab.measure.campaign.race", raced)
    conditions = Conditions()
    two = [Experiment("near", ("real-3",), Workload(4, 0.01)), Experiment("far", ("real-3",), rtt=0.1)]
    with pytest.raises(CampaignInterrupted) as caught:
        run(two, lab=SimpleNamespace(conditions=conditions, set=changed))
    assert [len(trials) for trials in caught.value.campaign.trials.values()] == [1]


def _trials(todo_rounds: int, finished: int, *, short: str = "") -> Campaign:
    """Made trials for the plan without links; the experiment ``short`` has one round less."""
    todo = planned(Workload(20, 0.05), repeat=todo_rounds, links=False)
    trials = {
        one.name: TrialSet(
            tuple(
                replace(_made(name, turn), arm=name)
                for turn in range(finished - (one.name == short))
                for name in one.arms
            )
        )
        for one in todo.experiments
    }
    return Campaign(trials, "2026-11-22T17:00:00+00:00")


def _made(arm: str, turn: int):
    kind = arm.rpartition("-")[0]
    like = kind if kind in {"fake", "session", "article", "real"} else "article"
    limit = arm.rpartition("-")[2]
    trial = made_trial(f"{like}-{limit}", Workload(20, 0.05), repeat=turn)
    assert isinstance(trial.witness, Witnessed)
    return trial


def test_only_finished_rounds_count() -> None:
    """An interrupt in the third round leaves two; in the first, none."""
    todo = planned(Workload(20, 0.05), repeat=3, links=False)
    found = explained(todo, _trials(3, 3, short="transport"))
    assert found is not None
    assert (found.rounds, found.finished) == (2, False)
    assert all(len(one.before.makespan_s) == 2 for one in found.steps)
    assert "finished rounds, 2 of them" in text_of(explain_table.tables(found))
    assert explained(todo, _trials(3, 1, short="gate")) is None
    assert explained(todo, Campaign({}, "")) is None


def test_ctrl_c_keeps_the_finished_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured until then is in the exception."""

    def interrupted(*_: object, **__: object) -> Campaign:
        raise CampaignInterrupted(_trials(3, 2))

    monkeypatch.setattr("supalab.measure.explain.run.run", interrupted)
    with pytest.raises(ExplainInterrupted) as caught:
        explain(Workload(20, 0.05), links=False)
    assert caught.value.explanation is not None
    assert caught.value.explanation.rounds == 2


def test_a_small_run_finds_the_limit_and_adds_up() -> None:
    """The step from 3 to 10 earns by far the most, the factors sum to the whole, nothing fails."""
    told: list[Progress] = []
    found = explain(Workload(20, 0.15), repeat=1, links=False, progress=told.append)
    by_key = {step.factor: step for step in found.steps}
    assert max(by_key, key=lambda key: found.seconds(by_key[key]).middle) == "limit"
    assert found.seconds(by_key["limit"]).told
    assert (found.share(by_key["limit"]) or 0) > 0.6
    assert abs(found.remainder_s) <= 0.25 * found.earned_s
    assert explain_words.failures(found) == []
    reuse, keepalive = by_key["reuse"], by_key["keepalive"]
    assert (reuse.before.connections, reuse.after.connections) == ((30,), (10,))
    assert (keepalive.before.connections[0] > 12, keepalive.after.connections) == (True, (10,))
    assert found.finished
    assert {"httpx", "requests", "httptools"} <= set(found.versions)
    assert (told[-1].done, told[-1].total) == (19, 19)
    assert EXPLANATION.loads(EXPLANATION.dumps(found)) == found
