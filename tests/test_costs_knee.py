"""The knee: how large a trial is, what is left out, and a small real one."""

from __future__ import annotations

from typing import Any

import pytest
from costs_made import knee
from made_trials import made_trial

from supalab import Lab
from supalab.errors import SettingsError
from supalab.measure.costs import knee as costs_knee
from supalab.measure.costs.knee import KNEE, LeftOut, expected_s, requests_for, throughput
from supalab.measure.race import Progress
from supalab.measure.trial import TrialSet, Workload


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


def test_a_client_that_became_too_slow_is_left_out(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> None:
    """At the first limit that would take too long and at all above, and in later turns too; others go on."""
    asked: list[str] = []

    def race(arms: list[str], workload: Workload, **_: Any) -> TrialSet:
        asked.append(arms[0])
        # The made trial has as many slots as its name says: a slow client is one with a single slot.
        slow = arms[0].startswith("fake") and workload.callers and workload.callers > 3
        trial = made_trial(f"{arms[0].rpartition('-')[0]}-{1 if slow else workload.callers}", workload)
        return TrialSet((trial,))

    monkeypatch.setattr(costs_knee, "race", race)
    found = throughput(["fake", "real"], [30, 3, 10, 200, 100], latency=0.1, repeat=2, lab=lab)
    assert [name for name in asked if name.startswith("real")] == 2 * [
        *("real-3", "real-10", "real-30", "real-100", "real-200")
    ]
    assert [name for name in asked if name.startswith("fake")] == ["fake-3", "fake-10", "fake-30"] * 2
    assert [(out.kind, out.limit) for out in found.left_out] == [("fake", 100), ("fake", 200)]
    assert isinstance(found.left_out[0], LeftOut)
    assert len(found.at("real", 3)) == 2


def test_a_small_knee_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """More slots give more throughput while latency is all there is, near the ideal, with threads and with ours."""
    monkeypatch.setattr(costs_knee, "TRIAL_S", 0.3)
    told: list[Progress] = []
    with Lab(latency=0.01) as lab:
        found = throughput(["fake", "real"], [2, 8], latency=0.1, lab=lab, progress=told.append)
        assert lab.conditions.latency == 0.01
    assert (found.kinds, found.limits, found.left_out) == (("fake", "real"), (2, 8), ())
    for kind in found.kinds:
        line = found.line(kind)
        assert line[2] <= found.ideal(2)
        assert line[8] > 2 * line[2]
        assert found.best(kind) == 8
    assert not any(point.errors for point in found.points)
    assert told[-1].fraction == pytest.approx(1.0)
    assert found.machine["cpus"]
    assert KNEE.loads(KNEE.dumps(found)) == found


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


def test_a_record_comes_back() -> None:
    """Points and what was left out survive the file."""
    assert KNEE.loads(KNEE.dumps(knee())) == knee()
    assert expected_s(["real"], [3, 10]) < expected_s(["real", "fake"], [3, 10])
