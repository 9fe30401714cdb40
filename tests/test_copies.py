"""The course outside its checkout: in a wheel, in a learner's working copy, and the progress that a host sees."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from supalab import SupabaseAsync
from supalab.cli import main
from supalab.course import NotDone, check, show_source
from supalab.course.attempts import Attempt, attempts, copies_in, host_table, learner_text, note, short_names
from supalab.course.copies import MARKER, brought_back, jupyter_options, working_copy
from supalab.course.exercises import EXERCISES
from supalab.course.feedback import State
from supalab.errors import SettingsError

ROOT = Path(__file__).parents[1]
NOTEBOOKS = {number: exercise.task.notebook for number, exercise in EXERCISES.items()}
NOW = datetime(2026, 6, 6, 12, 0, tzinfo=UTC)


def test_a_working_copy_has_what_a_learner_opens_and_nothing_else(tmp_path: Path) -> None:
    """Learner's notebooks and the glossary; no solutions, no sources, no notes of the instructor."""
    made = working_copy(tmp_path / "mine")
    names = {path.name for path in (tmp_path / "mine").iterdir()}
    assert names == {path.name for path in made} | {MARKER}
    assert {path.name for path in (ROOT / "notebooks").glob("*.ipynb")} <= names
    assert {"glossary.md", "HANDOUT.md"} <= names
    assert "INSTRUCTOR.md" not in names
    book = json.loads((tmp_path / "mine" / "00_start_here.ipynb").read_text(encoding="utf-8"))
    assert book["metadata"]["language_info"]["version"] == ".".join(map(str, sys.version_info[:3]))


def test_work_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    """A second call completes the folder and touches nothing else."""
    working_copy(tmp_path)
    mine = tmp_path / "05_step_3_the_context_manager.ipynb"
    mine.write_text("my work", encoding="utf-8")
    (tmp_path / "glossary.md").unlink()
    assert [path.name for path in working_copy(tmp_path)] == ["glossary.md"]
    assert mine.read_text(encoding="utf-8") == "my work"


def test_a_notebook_comes_back_and_the_old_one_is_kept(tmp_path: Path) -> None:
    """One by its number, or all; an unchanged notebook needs no copy, and a second copy does not replace the first."""
    working_copy(tmp_path)
    mine = tmp_path / "05_step_3_the_context_manager.ipynb"
    original = mine.read_text(encoding="utf-8")
    for turn in ("1", "2"):
        mine.write_text(f"my work {turn}", encoding="utf-8")
        [(book, kept)] = brought_back(tmp_path, "05")
        assert book == mine
        assert kept is not None
        assert kept.name == f"05_step_3_the_context_manager.yours-{turn}.ipynb"
        assert kept.read_text(encoding="utf-8") == f"my work {turn}"
        assert mine.read_text(encoding="utf-8") == original
    (tmp_path / "00_start_here.ipynb").unlink()
    back = brought_back(tmp_path, "all")
    assert len(back) == len(list((ROOT / "notebooks").glob("*.ipynb")))
    assert {kept for _, kept in back} == {None}
    assert (tmp_path / "00_start_here.ipynb").is_file()


def test_a_folder_that_is_no_place_for_it_is_refused_in_one_line(tmp_path: Path) -> None:
    """Other people's files, a file, a number that no notebook has, a folder that is no copy."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("x", encoding="utf-8")
    for act, said in (
        (lambda: working_copy(tmp_path / "other"), "holds other files"),
        (lambda: working_copy(tmp_path / "other" / "thesis.txt"), "is a file"),
        (lambda: brought_back(tmp_path / "other", "05"), "no working copy"),
        (lambda: copies_in([tmp_path / "nowhere"]), "is not a folder"),
        (lambda: copies_in([tmp_path]), "no working copy"),
    ):
        with pytest.raises(SettingsError, match=said) as refused:
            act()
        assert "\n" not in str(refused.value)
    working_copy(tmp_path / "mine")
    with pytest.raises(SettingsError, match="no notebook '99': choose from 00, 01"):
        brought_back(tmp_path / "mine", "99")


async def test_a_check_writes_one_line_in_a_working_copy_and_nothing_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exercise, state and time, and nothing else; in any other folder no file appears."""

    def stub(requests: int, threads: int, latency: float) -> float:
        raise NotDone

    monkeypatch.chdir(tmp_path)
    await check("01a", stub)
    assert list(tmp_path.iterdir()) == []
    working_copy(tmp_path)
    scope: dict[str, object] = {}
    exec(f"import math\n{EXERCISES['01a'].task.solution}", scope)
    for answer in (stub, lambda requests, threads, latency: 0.0, scope["makespan"]):
        await check("01a", answer)
    lines = [json.loads(line) for line in (tmp_path / MARKER).read_text(encoding="utf-8").splitlines()]
    assert [line["state"] for line in lines] == ["not done yet", "look again", "done"]
    assert {key for line in lines for key in line} == {"exercise", "state", "time"}
    assert [one.exercise for one in attempts(tmp_path)] == ["01a"] * 3


def test_progress_that_cannot_be_written_or_read_hurts_nobody(tmp_path: Path) -> None:
    """A broken line is left out, and an unwritable progress file does not make a check fail."""
    (tmp_path / MARKER).write_text(
        '{"exercise": "01a"}\nnot json\n[]\n{"exercise": "02a", "state": "done", "time"', "utf-8"
    )
    assert attempts(tmp_path) == []
    (tmp_path / "odd" / MARKER).mkdir(parents=True)
    note("01a", State.DONE, tmp_path / "odd")


def test_a_learner_sees_what_is_done_and_what_is_next() -> None:
    """An exercise that was done stays done, even after a later try that fails."""
    tries = [
        Attempt("01a", State.DONE, NOW),
        Attempt("01a", State.LOOK_AGAIN, NOW),
        Attempt("02a", State.LOOK_AGAIN, NOW),
    ]
    said = learner_text(tries, NOTEBOOKS)
    assert said.startswith(f"Done: 1 of {len(EXERCISES)} exercises. Next: 02a, in 02_inside_the_loop.ipynb.\n")
    assert "\n○ 00a  ● 01a  ◐ 02a" in said
    assert "All of them are done" in learner_text([Attempt(one, State.DONE, NOW) for one in EXERCISES], NOTEBOOKS)


def test_a_host_sees_thirty_copies_at_once(tmp_path: Path) -> None:
    """A row for each copy under a shared folder, tries and minutes since the last check; names are folder names."""
    for number in range(30):
        copy = tmp_path / f"learner-{number:02}" / "supalab-course"
        working_copy(copy)
        for turn in range(number % 4):
            note("01a", State.DONE if turn == 2 else State.LOOK_AGAIN, copy)
    copies = copies_in([tmp_path])
    assert len(copies) == 30
    found = dict(zip(short_names(copies), map(attempts, copies), strict=True))
    later = datetime.now(UTC) + timedelta(minutes=7)
    table = host_table(found, list(EXERCISES), later).splitlines()
    assert len(table) == 33  # titles, copies, an empty line and the key
    assert max(map(len, table)) <= 110, "a projector shows no wider lines"
    assert table[1].split()[0] == "learner-00"
    assert table[1].endswith("never")
    assert "◐2" in table[3]
    assert "●3" in table[4]
    assert table[4].split()[-4:] == [f"1/{len(EXERCISES)}", "7", "min", "ago"]
    assert len({len(line) for line in table[1:-1] if line.endswith("min ago")}) == 1
    long = "a-learner-with-a-name-that-is-longer-than-what-is-left-of-a-line"
    assert host_table({long: []}, list(EXERCISES), later).splitlines()[1].startswith(f"{long}  ")


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["/home/ann/course", "/home/bo/course"], ["ann", "bo"]),
        (["/s/a", "/s/b/x"], ["a", "b/x"]),
        (["/s/x", "/s/x/y"], ["x", "x/y"]),
        (["/s/a/k/a", "/s/b/k/a"], ["a", "b"]),
        (["course"], ["course"]),
    ],
)
def test_a_copy_is_named_by_what_tells_it_from_the_others(folders: list[str], names: list[str]) -> None:
    """A host sees short folder names, not thirty long paths; no two names are equal."""
    assert short_names([Path(folder) for folder in folders]) == names


def test_a_wheel_carries_the_course(tmp_path: Path) -> None:
    """Built, unpacked in an empty folder and used from there, without the checkout: notebooks, solutions, records."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    [wheel] = (tmp_path / "dist").glob("*.whl")
    code = """
import supalab
from pathlib import Path
from supalab.course.exercises import EXERCISES
from supalab.course.copies import working_copy
from supalab.shipped import shipped
assert ".whl" not in supalab.__file__
print(len(working_copy(Path("supalab-course"))), "def makespan" in EXERCISES["01a"].task.solution)
print(shipped("data", "reference", "race.json").is_file(), shipped("data", "claims.csv").is_file())
print(supalab.__file__)
"""
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(tmp_path / "site")], check=True)
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "empty", capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second, where = done.stdout.splitlines()
    books = ROOT / "notebooks"
    assert first == f"{sum(len([*books.glob(kind)]) for kind in ('*.ipynb', '[gH]*.md', 'board-*.png'))} True"
    assert second == "True True"
    assert str(tmp_path / "site") in where
    assert follow_links(tmp_path / "empty" / "supalab-course") > 100


def follow_links(folder: Path) -> int:
    """Follow every link and picture of every page of a working copy; all targets must be in it."""
    pages = {path.name: page_text(path) for path in folder.iterdir() if path.suffix in (".md", ".ipynb")}
    followed = 0
    for name, text in pages.items():
        outside = re.findall(r"`(?:supalab|data|tests|notebooks|solutions)/[^`]*`", text)
        assert not outside, f"{name} speaks of {outside}, which is not in the working copy"
        for target, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
            assert (folder / (target or name)).is_file(), f"{name} leads to {target}, which is not in the working copy"
            titles = re.findall(r"^#+ (.+)$", pages[target or name], re.MULTILINE) if heading else []
            assert not heading or heading in {title.replace(" ", "-") for title in titles}, f"{name}: {heading}"
            followed += 1
    return followed


def page_text(path: Path) -> str:
    """A page's text, or all the prose of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def test_a_learner_reads_the_code_behind_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole and as it is, for a class, a method, a function or a module; for anything else a sentence that helps."""
    seen: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: seen.append(data))
    for thing in (SupabaseAsync, SupabaseAsync.select, working_copy, sys.modules["supalab.wire"]):
        show_source(thing)
        code = seen[-1]["text/plain"]
        assert code == textwrap.dedent(inspect.getsource(thing))
        assert code.endswith("\n")
        assert "~~~~" not in code
        assert seen[-1]["text/markdown"] == f"~~~~python\n{code}~~~~"
    for other in (5, len, SupabaseAsync("http://127.0.0.1:1", "secret-key")):
        with pytest.raises(SettingsError, match=r"has no Python source: name a class.*show_source") as no:
            show_source(other)
        assert "secret" not in str(no.value)


def test_a_copy_is_made_without_jupyterlab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For Binder, dev containers and hubs, where a JupyterLab runs already; what is there is not touched."""
    monkeypatch.chdir(tmp_path)
    assert main(["course", "--copy-only"]) == 0
    first = tmp_path / "supalab-course" / "00_start_here.ipynb"
    assert "begin with" in capsys.readouterr().out
    first.write_text("my work", encoding="utf-8")
    assert main(["course", "--copy-only"]) == 0
    assert "0 new files" in capsys.readouterr().out
    assert first.read_text(encoding="utf-8") == "my work"
    assert main(["course", "--copy-only", "mine", "--ip=0.0.0.0"]) == 2
    assert "'--ip=0.0.0.0' is not used with" in capsys.readouterr().err


def test_a_terminal_inside_a_working_copy_needs_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """JupyterLab's terminal opens there: the copy is found, and none is made inside it; 5 is 05."""
    working_copy(tmp_path)
    mine = tmp_path / "05_step_3_the_context_manager.ipynb"
    mine.write_text("my work", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["course", "--fresh", "5"]) == 0
    assert "your version is 05_step_3_the_context_manager.yours-1.ipynb" in capsys.readouterr().out
    assert main(["course", "--copy-only"]) == 0
    assert main(["progress"]) == 0
    assert "Next: 01a, in 01_see_the_ceiling.ipynb" in capsys.readouterr().out
    assert not (tmp_path / "supalab-course").exists()


def test_the_courses_command_is_found_in_jupyterlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if it was started by its path, from an environment that is not activated."""
    from jupyterlab.labapp import LabApp

    started = list[str]()
    monkeypatch.setattr(LabApp, "launch_instance", lambda options: started.append(os.environ["PATH"]))
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")
    assert main(["course", str(tmp_path / "mine")]) == 0
    assert started == [os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin"])]


def test_jupyterlab_opens_the_copy_at_the_first_notebook(tmp_path: Path) -> None:
    """Its root is the copy, and no news comes from the network."""
    options = jupyter_options(tmp_path)
    assert options[0] == f"--ServerApp.root_dir={tmp_path.resolve()}"
    assert options[1].endswith("/lab/tree/00_start_here.ipynb")
