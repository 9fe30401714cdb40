"""``supalab costs``: each part is a command of its own; without one, all of them are measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commandwork import refused, said
from costs_made import cancellations, knee, lag, memory

from supalab import Lab
from supalab.commands import COSTS
from supalab.experiments import Experiment, experiment
from supalab.measure.record import FORM, Record
from supalab.measure.run import Interrupted, Progress

MADE: dict[str, Record] = {"memory": memory(), "lag": lag(), "cancel": cancellations(), "throughput": knee()}


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Experiments that measure nothing and give records made by hand; what each was called with."""
    found: dict[str, dict[str, Any]] = {}

    def run(one: Experiment, *, progress: Any, **asked: Any) -> Record:
        found[one.name] = asked
        progress(Progress(1.0, one.name, 1, 1))
        return MADE[one.name]

    monkeypatch.setattr(Experiment, "run", run)
    return found


def test_without_a_part_all_run_and_each_has_its_files(called: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """A table of each on stdout, the time it takes on stderr, a record and a figure named after each."""
    code, out, err = said("costs", "--json", tmp_path / "c.json", "--figure", tmp_path / "c.png")
    assert code == 0
    assert called == {name: dict(experiment(name).full) for name in COSTS}
    names = {f"c-{part}.{kind}" for part in COSTS for kind in ("json", "png")}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert Record.load(tmp_path / "c-cancel.json", "cancel") == MADE["cancel"]
    assert err.count("on a quiet machine") == 4
    assert err.count("written:") == 8
    assert all(experiment(name).headline(found) in " ".join(out.split()) for name, found in MADE.items())


def test_one_part_has_the_file_that_was_named(called: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """No addition where there is but one; quick and what was said reach it."""
    assert said("costs", "throughput", "--quick", "--repeat", 2, "--json", tmp_path / "k.json")[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"k.json"}
    assert called == {"throughput": {"repeat": 2, "limits": experiment("throughput").quick["limits"]}}
    assert said("costs", "throughput", "--limits", "3, 10", "--kinds", "fake,real")[0] == 0
    assert called["throughput"] == {"limits": (3, 10), "kinds": ("fake", "real")}


def test_ctrl_c_ends_all_and_keeps_what_was_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts before it and its own finished runs are printed, and the exit code says so."""

    def run(one: Experiment, **_: Any) -> Record:
        if one.name == "cancel":
            raise Interrupted(cancellations("real-10"))
        return MADE[one.name]

    monkeypatch.setattr(Experiment, "run", run)
    code, out, _ = said("costs", "--quick")
    assert code == 130
    assert "blocking-1" in out
    assert "real-10: 20 callers free" in out
    assert "best limit" not in out


class Stop:
    """Told of progress, it is as if somebody pressed Ctrl-C when the first run was finished."""

    def __call__(self, so_far: Progress) -> None:
        """Interrupt."""
        if so_far.done:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("part", "how"),
    [
        ("memory", {"kinds": ["real", "fake"], "in_flight": [2]}),
        ("lag", {"arms": ["real-2", "fake-2"], "latency": 0.01}),
        ("cancel", {"arms": ["real-2"], "callers": 2, "latency": 0.2, "at_s": 0.05}),
        ("throughput", {"kinds": ["real", "fake"], "limits": [2]}),
    ],
)
def test_ctrl_c_keeps_the_runs_that_were_finished(part: str, how: dict[str, Any]) -> None:
    """Each part ends at once with what it has: one run, of which the record still says where and when."""
    with Lab(latency=0.015) as lab:
        with pytest.raises(Interrupted) as interrupted:
            experiment(part).run(**how, repeat=1, lab=lab, progress=Stop())
        assert lab.conditions.latency == 0.015
    found = interrupted.value.found
    assert isinstance(found, Record)
    assert len(found.trials) == 1
    assert FORM.loads(FORM.dumps(found)) == found


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["heat"], "heat"),
        (["throughput", "--repeat", "0"], "repeat 0"),
        (["throughput", "--limits", "3,many"], "--limits: '3,many' is not a list of numbers"),
        (["throughput", "--figure", "k.txt"], "use a name that ends in"),
        (["throughput", "--json", "no/such/folder/k.json"], "cannot write"),
        (["lag", "--json", "k.png", "--figure", "k.png"], "would be written twice"),
        (["--figure", "k.txt"], "use a name that ends in"),
    ],
)
def test_what_cannot_work_is_refused_before_minutes_are_spent(
    called: dict[str, dict[str, Any]], words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with the value and the cure; nothing was measured."""
    monkeypatch.chdir(tmp_path)
    assert told in refused("costs", *words)
    assert not called
    assert not list(tmp_path.iterdir())


def test_a_quick_look_is_much_shorter() -> None:
    """Under three minutes instead of more."""
    quick, full = (
        sum(one.expected_s(**asked) for one, asked in asks)
        for asks in (
            [(experiment(name), experiment(name).quick) for name in COSTS],
            [(experiment(name), experiment(name).full) for name in COSTS],
        )
    )
    assert quick < 180 < full


def test_a_real_part_runs_in_a_lab_of_its_own(tmp_path: Path) -> None:
    """From words to a record, with nothing made by hand."""
    words = ["--arms", "real-2", "--callers", "3", "--latency", "0.2", "--repeat", "1"]
    assert said("costs", "cancel", *words, "--json", tmp_path / "c.json")[0] == 0
    found = Record.load(tmp_path / "c.json", "cancel")
    assert [trial["abandoned"] for trial in found.trials] == [2, 2, 2]
