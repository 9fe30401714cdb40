"""``supalab costs``: the parts that are asked for, their files, and what is refused before anything runs."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from costs_made import cancellations, knee, lag, memory

from supalab import Lab
from supalab.commands import costs as commands_costs
from supalab.errors import SettingsError
from supalab.experiments import Experiment
from supalab.experiments import costs as all_costs
from supalab.experiments.costs import PARTS, costs, planned_s
from supalab.measure.record import FORM, Record
from supalab.measure.run import Interrupted, Progress

MADE: dict[str, Any] = {"memory": memory(), "lag": lag(), "cancel": cancellations(), "knee": knee()}


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    commands_costs.add_costs(parser)
    return parser.parse_args(words)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Parts that measure nothing and give results made by hand; what each was called with."""
    called: dict[str, dict[str, Any]] = {}

    def pretend(name: str) -> Experiment:
        class Pretended(Experiment):
            def run(self, *, lab: object = None, progress: Any = None, **how: Any) -> Any:
                called[name] = how
                progress(Progress(1.0, name, 1, 1))
                return MADE[name]

        return Pretended(**vars(PARTS[name]))

    for name in list(PARTS):
        monkeypatch.setitem(all_costs.PARTS, name, pretend(name))
    return called


def test_without_words_all_parts_run_and_each_has_its_files(
    made: dict[str, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table of each on stdout, the time it takes beforehand on stderr, a record and a picture named after each."""
    given = options("--json", str(tmp_path / "c.json"), "--figure", str(tmp_path / "c.png"))
    assert commands_costs.costs(given) == 0
    assert set(made) == set(PARTS)
    names = {f"c-{part}.{kind}" for part in PARTS for kind in ("json", "png")}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert Record.load(tmp_path / "c-cancel.json", "cancel") == MADE["cancel"]
    out, err = capsys.readouterr()
    assert "minutes on a quiet machine" in err
    assert err.count("written:") == 8
    assert all(PARTS[part].headline(made) in " ".join(out.split()) for part, made in MADE.items())


def test_one_part_has_the_file_that_was_named(made: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """No suffix where there is but one; quick and repeat reach it."""
    given = options("knee", "--quick", "--repeat", "2", "--json", str(tmp_path / "k.json"))
    assert commands_costs.costs(given) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"k.json"}
    assert made == {"knee": {"repeat": 2, "limits": PARTS["knee"].quick["limits"]}}


def test_ctrl_c_reports_what_was_finished(
    made: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The parts before it and its own finished runs are printed, and the exit code says so."""

    class Stopped(Experiment):
        def run(self, **_: Any) -> Any:
            raise Interrupted(cancellations("real-10"))

    monkeypatch.setitem(all_costs.PARTS, "cancel", Stopped(**vars(PARTS["cancel"])))
    assert commands_costs.costs(options("lag", "cancel", "knee")) == 130
    out = capsys.readouterr().out
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
        ("knee", {"kinds": ["real", "fake"], "limits": [2]}),
    ],
)
def test_ctrl_c_keeps_the_runs_that_were_finished(part: str, how: dict[str, Any]) -> None:
    """Each part ends at once with what it has: one run, of which the record still says where and when."""
    with Lab(latency=0.015) as lab:
        with pytest.raises(Interrupted) as interrupted:
            PARTS[part].run(**how, repeat=1, lab=lab, progress=Stop())
        assert lab.conditions.latency == 0.015
    found = interrupted.value.found
    assert len(found.trials) == 1
    assert FORM.loads(FORM.dumps(found)) == found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["heat"], "no cost is called 'heat': choose from memory, lag, cancel, knee"),
        (["knee", "--repeat", "0"], "repeat 0"),
        (["knee", "--figure", "k.txt"], "let its name end in"),
        (["knee", "--json", "no/such/folder/k.json"], "cannot write"),
        (["--json", "k.png", "--figure", "k.png"], "would be written twice"),
    ],
)
def test_what_cannot_work_is_refused_before_minutes_are_spent(
    made: dict[str, dict[str, Any]], words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with the value and the cure; nothing was measured."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=said):
        commands_costs.costs(options(*words))
    assert not made


def test_progress_goes_on_from_part_to_part(made: dict[str, dict[str, Any]]) -> None:
    """Each part has the share of its expected seconds; the last ends the whole."""
    told: list[float] = []
    costs(["lag", "knee"], quick=True, progress=lambda so_far: told.append(so_far.fraction))
    assert told == [
        pytest.approx(planned_s(["lag"], quick=True) / planned_s(["lag", "knee"], quick=True)),
        pytest.approx(1.0),
    ]
    assert set(made) == {"lag", "knee"}


def test_a_quick_look_is_much_shorter() -> None:
    """Under three minutes in place of more."""
    assert planned_s(quick=True) < 180 < planned_s()


def test_a_real_part_runs_in_a_lab_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From words to a record, with nothing made by hand."""
    small = {"arms": ("real-2",), "callers": 3, "latency": 0.2, "repeat": 1}
    monkeypatch.setitem(all_costs.PARTS, "cancel", replace(PARTS["cancel"], quick=small))
    assert commands_costs.costs(options("cancel", "--quick", "--json", str(tmp_path / "c.json"))) == 0
    found = Record.load(tmp_path / "c.json", "cancel")
    assert [trial["abandoned"] for trial in found.trials] == [2, 2, 2]
