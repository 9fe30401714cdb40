"""Cancelled callers: when each was free, which requests kept running, and when the process could end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from costs_made import cancellations, cancelled
from declared import NUMBERS

from supalab import Lab
from supalab.errors import SettingsError
from supalab.experiments.cancellation import arms, cancellation, plan
from supalab.measure.case import Trial
from supalab.measure.record import Record, each
from supalab.measure.run import Progress, expected_s, timeline
from supalab.measure.worker import THENS

LATENCY = 1.0
QUIET = {"cancelled_s": 0.1, "free_s": 0.002, "late_s": None, "late_outcome": None}


@pytest.fixture(scope="module")
def found() -> Record:
    """One run of each kind of program, with threads and with our client, in a lab with another latency."""
    with Lab(latency=0.01) as lab:
        told: list[Progress] = []
        result = cancellation(
            arms=["fake-4", "real-4"], callers=6, latency=LATENCY, at_s=0.15, repeat=1, lab=lab, progress=told.append
        )
        assert lab.conditions.latency == 0.01
    fractions = [so_far.fraction for so_far in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)
    assert (told[-1].done, told[-1].total) == (6, 6)
    return result


def of(found: Record, arm: str, then: str) -> Trial:
    (trial,) = [one for one in found.trials if (one.case.arm, one.case.tags["then"]) == (arm, then)]
    return trial


def test_threads_work_on_for_nobody_and_ours_disconnects(found: Record) -> None:
    """The lab finishes every request in flight; only a client that disconnects tells it that nobody waits."""
    for then in THENS:
        for arm, abandoned in (("fake-4", 0), ("real-4", 4)):
            trial = of(found, arm, then)
            assert (trial["answered"], trial["failed"], trial["abandoned"]) == (0, 0, abandoned)
            assert trial["served"] == 1 + 4 + (then == "ask"), "one request before, four for nobody, the new caller's"
    fake, real = each(arms(found))
    assert (fake.arm, fake.wasted, fake.still_running) == ("fake-4", 4, 4)
    assert (real.arm, real.wasted, real.still_running) == ("real-4", 4, 0)


def test_callers_are_free_at_once_whatever_goes_on_behind_them(found: Record) -> None:
    """Even fake async frees its callers long before the request could be done."""
    assert all(trial["free_s"] < LATENCY / 2 for trial in found.trials)
    assert all(trial["cancelled_s"] >= 0.15 for trial in found.trials)


def test_a_new_caller_waits_for_slots_that_work_for_nobody(found: Record) -> None:
    """Threads are busy until their requests are done: the new caller waits for one, and then for its response."""
    fake, real = (of(found, arm, "ask") for arm in ("fake-4", "real-4"))
    assert (fake["late_outcome"], real["late_outcome"]) == ("ok", "ok")
    assert fake["late_s"] > real["late_s"] + LATENCY / 4
    assert real["late_s"] >= LATENCY
    assert (fake["peak"], real["peak"]) == (4, 5)  # the slot is free while the lab still works on the old request


def test_the_process_ends_when_its_threads_do(found: Record) -> None:
    """asyncio.run ends immediately; a process with threads runs until their requests are done."""
    fake, real = (of(found, arm, "leave") for arm in ("fake-4", "real-4"))
    assert max(fake["run_s"], real["run_s"]) < LATENCY / 2
    assert fake["exit_s"] > LATENCY / 2 > real["exit_s"]
    fake, real = (of(found, arm, "close") for arm in ("fake-4", "real-4"))
    assert fake["closed_s"] > LATENCY / 2 > real["closed_s"]
    assert (fake["late_s"], fake["late_outcome"]) == (None, None)


def test_the_record_says_where_and_survives_a_file(found: Record, tmp_path: Path) -> None:
    """The arguments, machine and versions are in it, and it can be read from its file."""
    assert {"requests", "httptools", "python"} <= set(found.versions)
    assert found.machine["cpus"]
    assert {name for trial in found.trials for name in trial.numbers} <= set(NUMBERS)
    assert max(number for _, number in of(found, "fake-4", "leave").timeline) == 4
    assert Record.load(found.save(tmp_path / "cancel.json"), "cancel") == found


def test_blocking_callers_cannot_be_cancelled() -> None:
    """The loop cannot cancel anybody before all have their responses."""
    result = cancellation(arms=["blocking-1"], callers=3, latency=0.2, at_s=0.05, repeat=1)
    assert all(trial["cancelled_s"] > 3 * 0.2 for trial in result.trials)
    assert all((trial["answered"], trial["peak"]) == (3, 1) for trial in result.trials)
    (blocking,) = each(arms(result))
    assert (blocking.wasted, blocking.free_s > 3 * 0.2 - 0.05) == (0, True)


def test_the_labs_record_is_set_by_the_clients_clock() -> None:
    """The request that made the client ready is removed, and its end synchronises the clocks."""
    seen = ((0.0, 1), (0.5, 0), (0.6, 1), (0.61, 2), (1.1, 1), (1.11, 0))
    assert timeline(seen, QUIET, -0.001) == ((0.099, 1), (0.109, 2), (0.599, 1), (0.609, 0))
    assert timeline((), QUIET, -0.001) == ()


def test_an_answer_is_not_read_before_it_was_sent() -> None:
    """A slow first response would make the offset too late; the new caller's response corrects that."""
    seen = ((0.0, 1), (0.5, 0), (0.6, 1), (0.7, 2), (1.1, 1), (1.2, 0))
    late = {**QUIET, "late_s": 0.5, "late_outcome": "ok"}
    assert timeline(seen, late, -0.001)[-1] == (0.602, 0)  # 0.1 + 0.002 + 0.5


@pytest.mark.parametrize(
    ("changed", "wasted"),
    [
        ({"served": 5}, 4),
        ({"served": 5, "answered": 1}, 3),
        ({"served": 5, "late_s": 0.5, "late_outcome": "ok"}, 3),
        ({"served": 5, "late_s": 0.5, "late_outcome": "PoolTimeout"}, 4),
    ],
)
def test_only_requests_without_a_caller_are_for_nobody(changed: dict[str, Any], wasted: int) -> None:
    """Requests whose caller got a response, and the new caller's, are not counted as wasted."""
    found = replace(cancellations(), trials=(cancelled("real-10", "leave", **changed, abandoned=1),))
    (one,) = each(arms(found))
    assert (one.wasted, one.still_running) == (wasted, wasted - 1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"arms": []}, "is not a list of different names"),
        ({"arms": "fake-3"}, "is not a list of different names"),
        ({"arms": ["fake-3", "fake-3"]}, "is not a list of different names"),
        ({"arms": ["unreal-3"]}, "no arm is called"),
        ({"repeat": 0}, "repeat 0"),
        ({"callers": 0}, "requests 0"),
        ({"at_s": 0.5}, "nothing would be left to cancel"),
        ({"latency": float("nan")}, "latency nan"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(wrong: dict[str, Any], said: str) -> None:
    """One line with the value and what to do."""
    with pytest.raises(SettingsError, match=said) as caught:
        cancellation(**wrong)
    assert "\n" not in str(caught.value)


def test_a_blocking_arm_takes_all_its_callers_time() -> None:
    """The expected seconds know that blocking callers come one after another."""
    assert expected_s(plan(["blocking-1"], callers=20)) > 3 * expected_s(plan(["fake-10"], callers=20))
