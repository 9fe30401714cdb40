"""Several races for one question: conditions for each, one progress, and records that survive a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from supalab import Lab
from supalab.errors import SettingsError, TrialError
from supalab.measure.archive import Form
from supalab.measure.campaign import Experiment, expected_s, run, share_of
from supalab.measure.race import Progress
from supalab.measure.trial import Workload

SMALL = Workload(6, 0.02)


@dataclass(frozen=True)
class Part:
    name: str
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Found:
    parts: tuple[Part, ...]
    machine: dict[str, str]
    total: float | None = None


FOUND = Form("supalab-test", 3, Found, "a test")


def test_each_experiment_has_its_own_conditions_and_the_labs_are_put_back() -> None:
    """The trials say under which conditions they ran; afterwards the lab is as it was given."""
    with Lab(latency=0.3, rtt=0.001) as lab:
        before = lab.conditions
        seen: list[Progress] = []
        found = run(
            [
                Experiment("plain", ("real-3",), SMALL),
                Experiment("far", ("real-3", "fake-3"), SMALL, rtt=0.02, tls=True),
            ],
            lab=lab,
            progress=seen.append,
        )
        assert lab.conditions == before
    assert [found[name].trials[0].backend.rtt for name in ("plain", "far")] == [0.0, 0.02]
    assert [found[name].trials[0].backend.tls for name in ("plain", "far")] == [False, True]
    assert found["far"].arms == ("real-3", "fake-3")
    assert not any(trial.errors for trials in found.trials.values() for trial in trials)
    assert found.machine["cpus"]
    assert {"httpx", "requests"} <= set(found.versions)
    fractions = [so_far.fraction for so_far in seen]
    assert fractions == sorted(fractions)
    assert (fractions[-1], seen[-1].done, seen[-1].total) == (1.0, 3, 3)


def test_a_campaign_of_nothing_or_of_twins_is_refused() -> None:
    """Results are found by name, so names must differ; an unknown arm is refused before anything runs."""
    one = Experiment("one", ("real-3",), SMALL)
    with pytest.raises(SettingsError, match="name them apart"):
        run([one, one])
    with pytest.raises(SettingsError, match="there must be one"):
        run([])
    with pytest.raises(SettingsError, match="no arm is called"):
        Experiment("other", ("unreal-3",), SMALL)


def test_progress_counts_by_expected_seconds() -> None:
    """A long experiment has the larger share of the bar; distance makes a trial longer."""
    short, long = Experiment("a", ("real-1",), SMALL), Experiment("b", ("real-1",), SMALL, repeat=3, rtt=0.1, tls=True)
    assert expected_s([short, long]) == pytest.approx(short.expected_s + long.expected_s)
    assert long.expected_s > 3 * short.expected_s
    said: list[Progress] = []
    share_of([short, long], 1, said.append)(Progress(0.5, "real-1", 1, 3))
    assert said[0].fraction == pytest.approx((short.expected_s + long.expected_s / 2) / expected_s([short, long]))
    assert (said[0].done, said[0].total) == (2, 4)


def test_a_frozen_result_comes_back_from_its_file(tmp_path: Path) -> None:
    """Lists come back as tuples, nested parts as their own kind, and the same result gives the same bytes."""
    found = Found((Part("a", (0.1234567, 2.0)), Part("b", ())), {"cpus": "2"})
    path = FOUND.save(found, tmp_path / "found.json")
    again = FOUND.load(path)
    assert again == Found((Part("a", (0.123457, 2.0)), Part("b", ())), {"cpus": "2"})
    assert FOUND.dumps(again) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not a record of a test"),
        ("[]", "not a record of a test: format None"),
        ('{"format": "supalab-trials", "version": 1}', "format 'supalab-trials', version 1"),
        ('{"format": "supalab-test", "version": 2}', "format 'supalab-test', version 2"),
        ('{"format": "supalab-test", "version": 3, "parts": 5, "machine": {}}', "a broken record of a test: parts"),
        ('{"format": "supalab-test", "version": 3, "parts": []}', "machine: Field required"),
    ],
)
def test_what_is_no_such_record_is_one_line(text: str, said: str) -> None:
    """Another file, another version or a broken one: what it is instead, in one line."""
    with pytest.raises(TrialError, match=said) as caught:
        FOUND.loads(text)
    assert "\n" not in str(caught.value)
