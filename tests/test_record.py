"""Reference material by one command: measured, kept when finished, compared, and shown on pages as it was recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from supalab.cli import main
from supalab.commands import record as commands_record
from supalab.errors import SettingsError, TrialError
from supalab.measure.archive import Form
from supalab.measure.race import Progress
from supalab.reference import recipes as all_recipes
from supalab.reference.compare import pairs, table
from supalab.reference.pages import marked, refreshed
from supalab.reference.recipe import AnyRecipe, Recipe, Tell
from supalab.reference.recipes import RECIPES
from supalab.reference.record import chosen, expected_s, measured
from supalab.report.table import Table

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Result:
    number: float


FORM = Form("supalab-test", 1, Result, "a test")


def a_recipe(name: str, number: float, seconds: float = 10.0, breaks: bool = False) -> AnyRecipe:
    def run(tell: Tell) -> Result:
        tell(Progress(0.5, "real-3", 1, 2))
        if breaks:
            raise TrialError("the worker broke")
        tell(Progress(1.0, "real-3", 2, 2))
        return Result(number)

    return Recipe(
        name=name,
        about=f"about {name}",
        run=run,
        expected_s=lambda: seconds,
        save=FORM.save,
        load=FORM.load,
        draw=lambda result: {f"{name}.png": Figure()},
        tables=lambda result: Table((), (), empty=f"the number is {result.number}"),
        figures=lambda result: {"number": result.number, "zero": 0.0},
    )


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> tuple[AnyRecipe, ...]:
    made = (a_recipe("one", 1.0), a_recipe("two", 2.0, 30.0))
    monkeypatch.setattr(all_recipes, "RECIPES", made)
    return made


def test_every_recipe_has_its_reference_and_can_be_compared_with_it() -> None:
    """What is recorded can be read, printed in 100 columns, drawn, and has figures; file names differ."""
    names = [one.name for one in RECIPES]
    assert len(set(names)) == len(names)
    folder = ROOT / "data" / "reference"
    pictures: list[str] = []
    for one in RECIPES:
        result = one.load(folder / one.record)
        assert max(map(len, one.text(result).splitlines())) <= 100, one.name
        figures = one.figures(result)
        assert figures, one.name
        assert not any(pair.apart for pair in pairs(one.name, figures, figures))
        drawn = one.draw(result)
        assert all((folder / name).is_file() for name in drawn), one.name
        assert all(len(getattr(figure, "supalab_description", "")) > 40 for figure in drawn.values()), one.name
        pictures += drawn
    assert len(set(pictures)) == len(pictures)


def test_nothing_else_lies_among_the_references() -> None:
    """Every file there is made by a recipe, but for the page that says what they are, which names them all."""
    folder = ROOT / "data" / "reference"
    made = {one.record for one in RECIPES}
    made |= {name for one in RECIPES for name in one.draw(one.load(folder / one.record))}
    assert {path.name for path in folder.iterdir()} == made | {"README.md"}
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert [name for name in made if f"`{name}`" not in page] == []


def test_a_part_is_chosen_by_name() -> None:
    """In the order of the recipes, whatever the order of the names; an unknown name is told what there is."""
    made = (a_recipe("one", 1.0), a_recipe("two", 2.0))
    assert [one.name for one in chosen(made, ["two", "one"])] == ["one", "two"]
    assert chosen(made, None) == made
    with pytest.raises(SettingsError, match="'three': choose from one, two"):
        chosen(made, ["three"])
    assert expected_s(made) == 20.0


def test_progress_is_of_the_whole_by_expected_seconds() -> None:
    """Half of the first of two, which takes a quarter of the time, is an eighth of all."""
    made = (a_recipe("one", 1.0, 10.0), a_recipe("two", 2.0, 30.0))
    told: list[Progress] = []
    measured(made, lambda recipe, result: None, told.append)
    assert [(so_far.fraction, so_far.arm, so_far.done, so_far.total) for so_far in told] == [
        (0.125, "one", 0, 2),
        (0.25, "one", 1, 2),
        (0.625, "two", 1, 2),
        (1.0, "two", 2, 2),
    ]


def test_what_is_finished_is_kept_when_the_next_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first record and its picture are there; of the broken one, nothing; one line and exit code 2."""
    monkeypatch.setattr(all_recipes, "RECIPES", (a_recipe("one", 1.0), a_recipe("two", 2.0, breaks=True)))
    assert main(["record", "--into", str(tmp_path)]) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"one.json", "one.png"}
    assert FORM.load(tmp_path / "one.json") == Result(1.0)


def test_a_record_is_kept_even_if_its_picture_cannot_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes of measuring are not lost to a fault in drawing."""

    def broken(result: Result) -> dict[str, Figure]:
        raise TrialError("no picture")

    monkeypatch.setattr(all_recipes, "RECIPES", (replace(a_recipe("one", 1.0), draw=broken),))
    assert main(["record", "--into", str(tmp_path)]) == 2
    assert FORM.load(tmp_path / "one.json") == Result(1.0)


def test_pages_show_what_was_finished_when_the_rest_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, or a recipe that breaks, leaves no page behind its record."""
    page = tmp_path / "README.md"
    page.write_text("<!-- recorded: one -->\n\n```text\nold\n```\n", encoding="utf-8")
    monkeypatch.setattr(all_recipes, "RECIPES", (a_recipe("one", 7.0), a_recipe("two", 2.0, breaks=True)))
    monkeypatch.setattr(commands_record, "PAGES", ("README.md",))
    monkeypatch.setattr(commands_record, "shipped", lambda *parts: page if parts == ("README.md",) else tmp_path)
    assert main(["record"]) == 2
    assert "the number is 7.0" in page.read_text(encoding="utf-8")


def test_compare_reads_the_references_before_it_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that is not there costs no minutes."""
    unmeasured = replace(a_recipe("one", 1.0), run=lambda tell: pytest.fail("it measured"))
    monkeypatch.setattr(all_recipes, "RECIPES", (unmeasured,))
    monkeypatch.setattr(commands_record, "shipped", lambda *parts: tmp_path)
    assert main(["record", "--compare"]) == 2


@pytest.mark.usefixtures("two")
def test_the_list_says_what_there_is_and_measures_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Name, time and what it is, one line each."""
    assert main(["record", "--list"]) == 0
    assert " ".join(capsys.readouterr().out.split()) == "one about 10 s about one two about 30 s about two"


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--only", "three"], "choose from one, two"), (["--into", "nowhere/at/all"], "is no folder")],
)
def test_bad_input_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is measured, with exit code 2."""
    assert main(["record", *arguments]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_compare_shows_both_runs_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reference, today and their ratio stand side by side; the reference stays as it was."""
    reference = FORM.save(Result(2.0), tmp_path / "one.json")
    monkeypatch.setattr(all_recipes, "RECIPES", (a_recipe("one", 3.0),))
    monkeypatch.setattr(commands_record, "shipped", lambda *parts: tmp_path)
    assert main(["record", "--compare"]) == 0
    printed = capsys.readouterr().out
    assert "number 2 3 1.50 <- apart" in " ".join(printed.split())
    assert "1 of 2 figures are more than 25% apart" in printed
    assert list(tmp_path.iterdir()) == [reference]
    assert FORM.load(reference) == Result(2.0)


def test_figures_are_far_apart_by_a_quarter_of_the_smaller() -> None:
    """The mark does not depend on which run is the reference; a change of sign is far, two zeros are not."""
    rows = pairs(
        "r",
        {"a": 4.0, "b": 5.0, "c": 0.0, "d": 1.0, "e": -1.0, "gone": 1.0},
        {"a": 5.0, "b": 3.9, "c": 0.0, "d": 0.0, "e": 1.0},
    )
    assert [row.apart for row in rows] == [False, True, False, True, True]
    assert [row.ratio for row in rows][2] is None
    assert table([]).empty.startswith("Nothing to compare")


def test_a_page_shows_what_is_recorded(tmp_path: Path) -> None:
    """Each marked block is made anew from its record, the rest of the page stays; an unknown mark is refused."""
    one = a_recipe("one", 1.0)
    FORM.save(Result(7.0), tmp_path / "one.json")
    page = "before\n\n<!-- recorded: one -->\n\n```text\nold\nlines\n```\n\nafter ```text\n"
    assert marked(page) == ["one"]
    fresh = refreshed(page, [one], tmp_path)
    assert fresh == page.replace("old\nlines\n", "the number is 7.0\n")
    assert refreshed(fresh, [one], tmp_path) == fresh
    with pytest.raises(SettingsError, match="'one': choose from two"):
        refreshed(page, [a_recipe("two", 1.0)], tmp_path)
