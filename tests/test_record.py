"""Reference records by one command: measured, kept when finished, compared, and shown on pages as recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commandwork import refused, said
from made_race import made_race
from matplotlib.figure import Figure

from supalab import reference
from supalab.errors import SettingsError, TrialError
from supalab.experiments import Experiment, experiment, recorded
from supalab.measure.record import Record
from supalab.measure.run import Progress
from supalab.reference import chosen, marked, pairs, refreshed, table
from supalab.report.table import text

ROOT = Path(__file__).parents[1]


class Pretended(Experiment):
    """The race, but it takes ten seconds by plan, measures nothing, and may fail."""

    def run(self, *, progress: Callable[[Progress], None] | None = None, **asked: Any) -> Record:
        """Return a record made by hand."""
        assert progress is not None
        progress(Progress(0.5, "real-3", 1, 2))
        if self.about == "breaks":
            raise TrialError("the worker broke")
        progress(Progress(1.0, "real-3", 2, 2))
        return replace(made_race("fake-3", "real-3"), name=self.name)

    def expected_s(self, **asked: Any) -> float:
        """Ten seconds."""
        return 10.0


def pretended(name: str, about: str = "") -> Experiment:
    figures = {name: lambda found: Figure()}
    return Pretended(
        **{**vars(experiment("race")), "name": name, "about": about or f"about {name}", "figures": figures}
    )


@pytest.fixture
def experiments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Experiment]:
    """Two experiments that measure nothing, in place of all that are recorded."""
    made = {"race": pretended("race"), "lag": pretended("lag")}
    monkeypatch.setattr(reference, "RECORDED", ("race", "lag"))
    monkeypatch.setattr(reference, "experiment", lambda name: made[name])
    return made


def test_every_experiment_has_its_reference_and_can_be_compared_with_it() -> None:
    """What is recorded can be read, printed in 100 columns, drawn, and has numbers; file names differ."""
    folder, drawn = ROOT / "data" / "reference", list[str]()
    for one in chosen():
        found = recorded(one.name)
        assert max(map(len, text(one.table(found)).splitlines())) <= 100, one.name
        numbers = one.compared(found)
        assert numbers, one.name
        assert not pairs(numbers, numbers)["apart"].any()
        for name, draw in one.figures.items():
            assert (folder / f"{name}.png").is_file(), one.name
            assert len(getattr(draw(found), "supalab_description", "")) > 40, one.name
            drawn.append(name)
    assert len(set(drawn)) == len(drawn)


def test_nothing_else_lies_among_the_references() -> None:
    """Every file there is made by an experiment, but for the page that says what they are, which names them all."""
    folder = ROOT / "data" / "reference"
    made = {f"{one.name}.json" for one in chosen()} | {f"{name}.png" for one in chosen() for name in one.figures}
    assert {path.name for path in folder.iterdir()} == made | {"README.md"}
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert [name for name in made if f"`{name}`" not in page] == []


@pytest.mark.usefixtures("experiments")
def test_a_part_is_chosen_by_name() -> None:
    """In the order of recording, whatever the order of the names; an unknown name is told what there is."""
    assert [one.name for one in chosen(["lag", "race"])] == ["race", "lag"]
    with pytest.raises(SettingsError, match="'three': choose from race, lag"):
        chosen(["three"])


@pytest.mark.usefixtures("experiments")
def test_what_is_measured_is_written_and_said(tmp_path: Path) -> None:
    """A record and a figure of each, nothing else; how long it takes is said first."""
    code, out, err = said("record", "--into", tmp_path)
    assert (code, out) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"race.json", "race.png", "lag.json", "lag.png"}
    assert "2 recordings, about 20 s: race, lag" in err


def test_what_is_finished_is_kept_when_the_next_breaks(experiments: dict[str, Experiment], tmp_path: Path) -> None:
    """The first record and its figure are there; of the broken one, nothing; the reason and exit code 2."""
    experiments["lag"] = pretended("lag", "breaks")
    code, _, err = said("record", "--into", tmp_path)
    assert code == 2
    assert err.endswith("supalab: the worker broke\n")
    assert {path.name for path in tmp_path.iterdir()} == {"race.json", "race.png"}
    assert Record.load(tmp_path / "race.json").arms == ("fake-3", "real-3")


def test_a_record_is_kept_even_if_its_figure_cannot_be_drawn(
    experiments: dict[str, Experiment], tmp_path: Path
) -> None:
    """Minutes of measuring are not lost to a fault in drawing."""

    def broken(found: Record) -> Figure:
        raise TrialError("no picture")

    experiments["race"] = replace(experiments["race"], figures={"race": broken})
    assert said("record", "--only", "race", "--into", tmp_path)[0] == 2
    assert Record.load(tmp_path / "race.json").arms


def test_pages_show_what_was_finished_when_the_rest_is_stopped(
    experiments: dict[str, Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C, or an experiment that breaks, leaves no page behind its record."""
    page = tmp_path / "README.md"
    page.write_text("<!-- recorded: race -->\n\n```text\nold\n```\n", encoding="utf-8")
    experiments["lag"] = pretended("lag", "breaks")
    monkeypatch.setattr(reference, "shipped", lambda *parts: page if parts == ("README.md",) else tmp_path)
    monkeypatch.setattr(reference, "PAGES", ("README.md",))
    assert said("record")[0] == 2
    assert "fake-3" in page.read_text(encoding="utf-8")


@pytest.mark.usefixtures("experiments")
def test_compare_reads_the_references_before_it_measures(tmp_path: Path) -> None:
    """A reference that is not there costs no minutes."""
    assert "cannot read" in refused("record", "--compare", "--into", tmp_path)


@pytest.mark.usefixtures("experiments")
def test_the_list_says_what_there_is_and_measures_nothing() -> None:
    """Name, time and what it is, one line each."""
    assert " ".join(said("record", "--list")[1].split()) == "race about 10 s about race lag about 10 s about lag"


@pytest.mark.usefixtures("experiments")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--only", "three"], "choose from race, lag"), (["--into", "nowhere/at/all"], "is not a folder")],
)
def test_bad_input_is_one_line(arguments: list[str], told: str) -> None:
    """Before anything is measured, with exit code 2."""
    assert told in refused("record", *arguments)


def test_compare_shows_both_runs_and_writes_nothing(experiments: dict[str, Experiment], tmp_path: Path) -> None:
    """Reference, today and their ratio stand side by side; the reference stays as it was."""
    found = replace(made_race("fake-3", "real-3"), name="race")
    slower = [replace(trial, numbers={**trial.numbers, "cpu_ms": 0.85}) for trial in found.trials]
    path = replace(found, trials=tuple(slower)).save(tmp_path / "race.json")
    before = path.read_bytes()
    code, out, _ = said("record", "--compare", "--only", "race", "--into", tmp_path)
    assert code == 0
    assert "fake-3: CPU ms/request 0.85 1.7 2.00 <- apart" in " ".join(out.split())
    assert "2 of 10 numbers are more than 25% apart" in out
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_numbers_are_far_apart_by_a_quarter_of_the_smaller() -> None:
    """The mark does not depend on which run is the reference; a change of sign is far, two zeros are not."""
    rows = pairs(
        {"a": 4.0, "b": 5.0, "c": 0.0, "d": 1.0, "e": -1.0, "gone": 1.0},
        {"a": 5.0, "b": 3.9, "c": 0.0, "d": 0.0, "e": 1.0},
    )
    assert [*rows.index] == ["a", "b", "c", "d", "e"]
    assert [*rows["apart"]] == [False, True, False, True, True]
    assert [*rows["ratio"].isna()] == [False, False, True, False, False]
    assert table("r", pairs({"gone": 1.0}, {})).empty.startswith("Nothing to compare")


def test_a_page_shows_what_is_recorded(tmp_path: Path) -> None:
    """Each marked block is made anew from its record, the rest of the page stays; an unknown mark is refused."""
    found = made_race("fake-3")
    found.save(tmp_path / "race.json")
    page = "before\n\n<!-- recorded: race -->\n\n```text\nold\nlines\n```\n\nafter ```text\n"
    assert marked(page) == ["race"]
    fresh = refreshed(page, tmp_path)
    assert fresh == page.replace("old\nlines\n", f"{text(found.table()).rstrip()}\n")
    assert refreshed(fresh, tmp_path) == fresh
    with pytest.raises(SettingsError, match="'two': choose from race"):
        refreshed(page.replace("recorded: race", "recorded: two"), tmp_path)
