"""Throughput against the limit: how large a trial is, what is left out, its record, and a small real one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from costs_made import knee
from declared import NUMBERS

from supalab import Lab
from supalab.errors import SettingsError, TrialError
from supalab.experiments import throughput as experiment
from supalab.experiments.throughput import best, lines, plan, requests_for, throughput
from supalab.measure.case import Case, Trial, Workload
from supalab.measure.record import Record
from supalab.measure.run import Interrupted, Progress, expected_s, run, trials_of


def test_a_trial_is_sized_by_the_pace_before() -> None:
    """Without one the ideal counts; with one no more than half as much again, and never fewer than the rounds."""
    assert requests_for(10, 0.1, None) == (200, 2.0)
    assert requests_for(20, 0.1, (10, 100.0)) == (300, 2.0)
    assert requests_for(12, 0.1, (10, 100.0)) == (240, 2.0)
    assert requests_for(400, 0.1, (300, 900.0))[0] == pytest.approx(2 * 1200, abs=1)


def test_a_slow_client_goes_round_its_slots_only_twice() -> None:
    """Five rounds where they are quick, two where they would take too long."""
    requests, seconds = requests_for(100, 0.1, (75, 40.0))
    assert requests == 200
    assert seconds == pytest.approx(200 / (40 * 100 / 75))
    assert requests_for(400, 0.1, (300, 500.0))[0] == 5 * 400


def test_a_client_that_became_too_slow_is_left_out() -> None:
    """At the first limit that would take too long and at all above, and in later turns too; others go on."""

    def measure(case: Case) -> Trial:
        slots = 1 if case.kind == "fake" and case.limit > 3 else case.limit
        return Trial(case, {"per_s": slots / 0.1})

    found = list(trials_of(plan(["fake", "real"], [30, 3, 10, 200, 100], latency=0.1, repeat=2), measure))
    arms = [one.case.arm for one in found if isinstance(one, Trial)]
    assert [arm for arm in arms if arm.startswith("real")] == 2 * [
        *("real-3", "real-10", "real-30", "real-100", "real-200")
    ]
    assert [arm for arm in arms if arm.startswith("fake")] == ["fake-3", "fake-10", "fake-30"] * 2
    remarks = [one for one in found if isinstance(one, str)]
    assert len(remarks) == 1
    assert remarks[0].startswith("fake was left out at 100 and 200: it had become too slow")


def test_a_small_record_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """More slots give more throughput while the server time is all there is, near the ideal, threads or async."""
    monkeypatch.setattr(experiment, "TRIAL_S", 0.3)
    told: list[Progress] = []
    with Lab(latency=0.01) as lab:
        found = throughput(kinds=["fake", "real"], limits=[2, 8], latency=0.1, lab=lab, progress=told.append)
        assert lab.conditions.latency == 0.01
    assert not found.remarks
    for kind in ("fake", "real"):
        mine = lines(found)[kind]
        assert mine[2] <= experiment.ideal(found, 2)
        assert mine[8] > 2 * mine[2]
        assert best(mine) == 8
    assert not found.rows["errors"].any()
    assert [trial["peak"] for trial in found.trials] == [trial.case.limit for trial in found.trials]
    assert told[-1].fraction == 1.0
    assert (told[-1].done, told[-1].total) == (4, 4)
    assert [one.fraction for one in told] == sorted(one.fraction for one in told)
    assert found.machine["cpus"]
    assert {name for trial in found.trials for name in trial.numbers} <= set(NUMBERS)
    assert Record.load(found.save(tmp_path / "t.json")) == found


def test_ctrl_c_keeps_finished_trials_and_gives_the_lab_its_conditions_back() -> None:
    """The record says that it is not whole; before the first trial there is none."""

    def stop(so_far: Progress) -> None:
        if so_far.done == 1:
            raise KeyboardInterrupt

    def one(*, requests: int = 2) -> Any:
        yield "a remark"
        yield Case("real-2", Workload(requests, 0.0))
        yield Case("fake-2", Workload(requests, 0.0))

    with Lab(latency=0.01) as lab:
        with pytest.raises(Interrupted) as stopped:
            run(one, name="one", lab=lab, progress=stop)
        assert lab.conditions.latency == 0.01
    found = stopped.value.found
    assert isinstance(found, Record)
    assert (found.finished, found.remarks, found.asked) == (False, ("a remark",), {"requests": 2})
    assert [trial.case.arm for trial in found.trials] == ["real-2"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kinds": []}, "not a list of different names"),
        ({"kinds": ["unreal"]}, "no arm is called"),
        ({"limits": []}, "is empty"),
        ({"limits": [0]}, "limit"),
        ({"latency": 0.0}, "latency 0"),
        ({"repeat": -1}, "repeat -1"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(wrong: dict[str, Any], said: str) -> None:
    """Before anything is started."""
    with pytest.raises(SettingsError, match=said):
        throughput(**wrong)


def test_a_record_comes_back(tmp_path: Path) -> None:
    """Trials and remarks survive the file, same bytes; a record of something else is refused in one line."""
    path = knee().save(tmp_path / "k.json")
    assert Record.load(path, "throughput") == knee()
    assert Record.load(path).save(tmp_path / "again.json").read_bytes() == path.read_bytes()
    with pytest.raises(TrialError, match="is a record of throughput, not of memory"):
        Record.load(path, "memory")
    path.write_text('{"format": "supalab-trials"}', encoding="utf-8")
    with pytest.raises(TrialError, match="not a record of supalab"):
        Record.load(path)


def test_more_clients_take_longer() -> None:
    """The expected time is that of the plan, walked through with ideal trials."""
    assert expected_s(plan(["real"], [3, 10])) < expected_s(plan(["real", "fake"], [3, 10]))


def test_a_worker_loads_neither_pandas_nor_matplotlib() -> None:
    """Memory is measured there, so nothing of the parent's is imported."""
    code = "import sys, supalab.measure.worker; print({'pandas', 'matplotlib', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"
