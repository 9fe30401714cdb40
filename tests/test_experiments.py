"""What all experiments share: the registry, how a record shows itself, the runner in a kernel, noise."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from costs_made import knee
from declared import NUMBERS
from matplotlib.figure import Figure

from supalab import Lab
from supalab.errors import SettingsError, TrialError
from supalab.experiments import experiment, recorded
from supalab.measure.case import Case, Span, Trial, Workload
from supalab.measure.compare import Difference, compare, noise_of, percentile
from supalab.measure.record import Record
from supalab.measure.run import Plan, Progress, here, run
from supalab.reference import RECORDED
from supalab.report.plot import description


def test_a_record_shows_its_experiments_table_and_figure() -> None:
    """The last line of a notebook's cell is headline, table and notes; the same as text."""
    found, made = knee(), experiment("throughput")
    shown = found._repr_mimebundle_()
    assert made.headline(found) in shown["text/html"]
    assert "<table>" in shown["text/html"]
    assert str(found) == str(found.table()) == shown["text/plain"]
    assert all(note.split()[0] in str(found) for note in made.notes(found))
    assert isinstance(found.figure(), Figure)
    with pytest.raises(TrialError, match="throughput has no figure 'nothing': there are throughput"):
        found.figure("nothing")
    with pytest.raises(TrialError, match="no experiment is called 'nothing'"):
        Record("nothing").table()


@pytest.mark.parametrize("name", RECORDED)
def test_whatever_was_finished_can_be_shown(name: str) -> None:
    """After Ctrl-C at any step, the table is there, and each figure too, or one line says what it lacks."""
    whole = recorded(name)
    for finished in {0, 1, 2, 3, len(whole.trials) // 2, len(whole.trials) - 1}:
        found = replace(whole, trials=whole.trials[:finished], finished=False)
        assert str(found.table())
        for figure in experiment(name).figures:
            reasons = list[str]()
            try:
                assert description(found.figure(figure))
            except TrialError as error:
                reasons.append(str(error))
            assert all(re.fullmatch(r"(no|this) [^\n]+: [^\n]+", reason) for reason in reasons)


def _two(*, latency: float = 0.02) -> Plan:
    trial = yield Case("real-2", Workload(6, latency), "burst", detail=True)
    yield "one remark"
    assert trial is not None
    yield Case("fake-3", Workload(trial["peak"] * 3, latency), conditions={"rtt": 0.001}, options={"warm_up": 3})


async def test_a_plan_runs_in_the_callers_own_loop() -> None:
    """With the same numbers as in processes, but those of a process's instruments; the lab is as it was before."""
    told: list[Progress] = []
    async with Lab(latency=0.01) as lab:
        found = await here(_two(latency=0.05), lab, name="two", progress=told.append)
        assert (lab.conditions.latency, lab.conditions.rtt) == (0.01, 0.0)
    assert (found.name, found.asked, found.remarks, found.finished) == ("two", {"latency": 0.05}, ("one remark",), True)
    first, second = found.trials
    assert (first["peak"], first["served"], first["connections"], first["errors"]) == (2, 6, 2, 0)
    assert len(first.spans) == 6
    assert max(count for _, count in first.timeline) == 2
    assert (second.spans, second["served"]) == ((), 6)
    assert first["makespan_s"] >= first.case.ideal_s == pytest.approx(0.15)
    assert first["latency_p99_s"] >= first["wait_p99_s"]
    assert set(first.numbers) <= set(NUMBERS)
    assert [one.trial for one in told if one.trial is not None] == [first, second]
    assert found.versions["python"]


async def test_a_job_that_needs_a_process_is_refused_in_a_kernel() -> None:
    """One line that says what to use instead."""

    def one() -> Plan:
        yield Case("real-1", Workload(1), "held")

    async with Lab() as lab:
        with pytest.raises(SettingsError, match=r"job 'held' needs a process of its own: use run\(\)"):
            await here(one(), lab)


def test_a_cases_conditions_end_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next case has those of the lab again."""
    seen: list[Any] = []

    def plan() -> Plan:
        yield Case("real-1", Workload(1, 0.01), conditions={"rtt": 0.003, "tls": True})
        yield Case("real-1", Workload(1, None))

    with Lab(latency=0.02, jitter=0.001) as lab:
        monkeypatch.setattr(lab, "reset", lambda: seen.append(lab.conditions))
        found = run(plan, name="two", lab=lab)
    first, second = seen
    assert (first.latency, first.jitter, first.rtt, first.tls) == (0.01, 0.001, 0.003, True)
    assert (second.latency, second.jitter, second.rtt, second.tls) == (0.02, 0.001, 0.0, False)
    assert not found.rows["errors"].any()


def test_a_span_that_ends_before_it_starts_is_refused() -> None:
    """A record whose times are out of order is broken."""
    with pytest.raises(TrialError, match="asked, started and done in this order"):
        Trial(Case("real-1", Workload(1)), {}, (Span(1.0, 0.5, 2.0),))


def test_percentiles_are_linear_and_never_infinite() -> None:
    """What was never answered is infinitely slow: a percentile within it is no number."""
    assert percentile([], 50) is None
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.5
    assert percentile(range(101), 99) == 99
    never = float("inf")
    assert percentile([1.0, 2.0, never], 50) == 2.0
    assert percentile([1.0, never], 50) is None
    assert percentile([never] * 3, 50) is None


def test_a_saving_is_above_noise_when_all_rounds_agree_and_it_is_larger() -> None:
    """A saving is positive; a single round must be twice as large as the noise."""
    found = compare([3.0, 4.0, 5.0], [1.0, 1.0, 1.0], noise=0.1)
    assert (found.median, found.lowest, found.highest, found.rounds) == (3.0, 2.0, 4.0, 3)
    assert found.noise == pytest.approx(0.4)
    assert found.above_noise
    assert not compare([3.0, 0.5], [1.0, 1.0]).above_noise
    assert not Difference(0.3, 0.3, 0.3, noise=0.2).above_noise
    assert Difference(0.5, 0.5, 0.5, noise=0.2).above_noise


def test_noise_is_what_an_arm_saves_beside_itself() -> None:
    """From trials of one arm in one round; an arm with too few repeats is judged by the noise of all."""
    sides = [("real-10", [1.0, 2.0]), ("real-10", [1.1, 2.0]), ("fake-10", [5.0, 5.0]), ("fake-10", [5.0, 6.0])]
    assert noise_of(sides, {"real-10", "fake-10"}) == noise_of(sides, {"real-10"}) > 0
    assert noise_of([("real-10", [1.0]), ("fake-10", [2.0])], {"real-10"}) == 0.0
