"""The pages around the course: timetables, glossary, the README's table, Binder, dev container, Actions."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from supalab.course import binder
from supalab.course.footprint import Peak, role, told
from supalab.course.timetable import WORKSHOPS, Item, Workshop, course_table, filled, lesson, lessons, pages, timetable
from supalab.errors import SettingsError

ROOT = Path(__file__).parents[1]
BOOKS = ROOT / "notebooks"
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTES = (BOOKS / "INSTRUCTOR.md").read_text(encoding="utf-8")
GLOSSARY = (BOOKS / "glossary.md").read_text(encoding="utf-8")
SOURCE = """# %% [markdown]
# # 01 · A title
#
# **7 minutes.** It happens
# here.
#
# - more
# %% exercise 01a
x = 1
"""


def prose(path: Path) -> str:
    book = json.loads(path.read_text(encoding="utf-8"))
    return "\n\n".join("".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "markdown")


def entries() -> dict[str, str]:
    """The glossary's terms, each with what is said of it."""
    return dict(re.findall(r"^## (.+)\n\n((?:.+\n)+)", GLOSSARY, re.MULTILINE))


def linked(path: Path) -> list[str]:
    """The terms that a notebook links to, as anchors."""
    return re.findall(r"\(glossary\.md#([^)]+)\)", prose(path))


PROSE = {path.stem: prose(path) for path in sorted(BOOKS.glob("*.ipynb"))}
LINKED = {path.stem: linked(path) for path in sorted(BOOKS.glob("*.ipynb"))}


def test_a_notebook_announces_itself_once() -> None:
    """Title, minutes and idea come from the source's first cell, even when a sentence runs over two lines."""
    found = lesson(SOURCE, "01_a_title")
    assert (found.number, found.title, found.minutes, found.idea) == ("01", "01 · A title", 7, "It happens here.")
    assert found.exercises == ("01a",)
    with pytest.raises(SettingsError, match="must begin with"):
        lesson("# %% [markdown]\n# # Just a title\n", "01_a_title")


def test_every_page_agrees_with_the_notebooks() -> None:
    """The README's table and both timetables are what `python -m supalab.course.timetable` would write."""
    made = pages()
    assert [path.name for path in made] == ["README.md", "INSTRUCTOR.md"]
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text
    course = lessons()
    assert sum(one.minutes for one in course) == int(re.findall(r"\| all \| (\d+) \|", README)[0])
    assert course_table(course).count("\n") == len(course) + 2


@pytest.mark.parametrize("workshop", WORKSHOPS, ids=lambda one: one.name)
def test_a_workshop_fits_its_time(workshop: Workshop) -> None:
    """The clock goes up by each part's minutes to exactly the workshop's end, and every notebook has a place."""
    course = lessons()
    rows = re.findall(r"^\| (\d):(\d\d) \| (.+?) \| (\d+) \|$", timetable(workshop, course), re.MULTILINE)
    begins, takes = [60 * int(row[0]) + int(row[1]) for row in rows], [int(row[3]) for row in rows]
    assert begins[0] == 0
    assert all(end - begin == spent for begin, end, spent in zip(begins, begins[1:], takes, strict=False))
    assert begins[-1] + takes[-1] == workshop.minutes
    assert takes[-1] >= 5, "no reserve"
    numbers = [step for step in workshop.steps if isinstance(step, str)]
    assert sorted([*numbers, *workshop.left_out]) == [one.number for one in course]


def test_a_plan_that_cannot_be_is_refused() -> None:
    """Too much for the time, or a notebook forgotten: said in one line."""
    course = [lesson(SOURCE, "01_a_title")]
    assert "| 0:10 | In reserve | 2 |" in timetable(Workshop("x", 12, 3, ("01",), {}), course)
    with pytest.raises(SettingsError, match="takes 15 minutes, not 12"):
        timetable(Workshop("x", 12, 3, ("01", Item("Pause", 5)), {}), course)
    with pytest.raises(SettingsError, match="must name each of 01 once"):
        timetable(Workshop("x", 12, 3, (), {}), course)


def test_a_block_is_filled_and_nothing_else_is_touched() -> None:
    """What stands before and after the marks stays; a page without them is an error, not a silent no."""
    page = "before\n<!-- a -->\nold\n<!-- end of a -->\nafter\n"
    assert filled(page, "a", "new") == "before\n<!-- a -->\n\nnew\n\n<!-- end of a -->\nafter\n"
    assert filled(filled(page, "a", "new"), "a", "new") == filled(page, "a", "new")
    with pytest.raises(SettingsError, match="no block"):
        filled(page, "b", "new")


def test_every_notebook_has_words_for_the_instructor() -> None:
    """A heading for each, in order, with two to four lines below it."""
    said = re.findall(r"^### (\d\d · .+)\n\n((?:.+\n)+)", NOTES, re.MULTILINE)
    assert [title for title, _ in said] == [one.title for one in lessons()]
    assert all(2 <= words.count("\n") <= 4 for _, words in said)


def test_questions_have_answers_with_sources() -> None:
    """At least ten, and each but the last, about a neighbour's numbers, names a source with a link or a folder."""
    section = NOTES.partition("## Questions people always ask")[2].partition("\n## ")[0]
    questions = re.findall(r"^\*\*(.+?\?|My numbers.+?)\*\* ((?:.+\n)+)", section, re.MULTILINE)
    assert len(questions) >= 10
    unsourced = [question for question, answer in questions if not re.search(r"Source: .*?\]\(|`tests/", answer, re.S)]
    assert unsourced == ["My numbers differ from my neighbour's."]


def test_every_term_is_used_and_every_link_has_its_term() -> None:
    """No dead anchor, no term that nobody links to, at most four links in a notebook, each term once in one."""
    anchors = {term.replace(" ", "-") for term in entries()}
    assert list(entries()) == sorted(entries())
    assert all(re.fullmatch(r"[a-z0-9 -]+", term) for term in entries()), "GitHub and JupyterLab must agree on anchors"
    assert set(itertools.chain(*LINKED.values())) == anchors
    assert set(re.findall(r"\(#([^)]+)\)", GLOSSARY)) <= anchors
    for found in LINKED.values():
        assert 1 <= len(found) <= 4
        assert len(found) == len(set(found))


@pytest.mark.parametrize("term", entries())
def test_a_term_is_met_where_the_glossary_says(term: str) -> None:
    """That notebook uses its words, none links to it earlier, and it takes one to three sentences."""
    said = entries()[term]
    met = re.search(r"Met\s+in\s+\[(\d\d)\]\((\d\d\w+)\.ipynb\)\.$", said)
    assert met
    number, stem = met.groups()
    assert stem.startswith(number)
    plain = re.sub(r"\*\*|\]\([^)]*\)|\*\*Next:.*", " ", PROSE[stem], flags=re.S if number == "12" else 0).lower()
    assert all(re.search(rf"\b{re.escape(word)}", plain) for word in term.split())
    assert min(book for book, found in LINKED.items() if term.replace(" ", "-") in found) >= stem
    assert len(re.findall(r"[.?](?=\s)", said[: met.start()])) <= 3


def local_links(text: str) -> list[tuple[str, str]]:
    found = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", text)
    return [*found, *re.findall(r'href="(?!https?:)([^"#]*)(?:#([^"]*))?"', text)]


def headings(text: str) -> set[str]:
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in found}


PAGES = [*sorted(BOOKS.glob("*.md")), *sorted(BOOKS.glob("*.ipynb")), *sorted((BOOKS / "solutions").glob("*.ipynb"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_link_leads_somewhere(path: Path) -> None:
    """Files exist, from the solved notebooks' folder too, and a page linked at a heading has that heading."""
    text = prose(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    found = local_links(text)
    assert found
    for target, heading in found:
        file = (path.parent / target) if target else path
        assert file.is_file() or (file.is_dir() and not heading), target
        if heading:
            assert heading in headings(file.read_text(encoding="utf-8")), f"{target}#{heading}"


def test_binders_address_stands_in_one_place() -> None:
    """The README's badge alone has it; a placeholder says so, and another repository is put in by one command."""
    block = re.search(r"<!-- binder -->\n\n(.*?)\n\n<!-- end of binder -->", README, re.S)
    assert block
    repository = binder.repository_of(README)
    assert block[1] == binder.badge(repository)
    assert ("**placeholder**" in block[1]) == repository.startswith("YOUR-ORG/")
    mine = filled(README, "binder", binder.badge("ada/engine"))
    assert binder.repository_of(mine) == "ada/engine"
    assert "placeholder" not in mine
    done = subprocess.run(["git", "grep", "-lF", repository], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode > 1:
        pytest.skip("not a git checkout")
    assert done.stdout.split() == ["README.md"]
    assert (BOOKS / "00_start_here.ipynb").is_file()
    assert README.count("urlpath=lab/tree/notebooks/00_start_here.ipynb") == 1


@pytest.mark.parametrize("name", ["nobody", "", "a/b/c", "a b/c", "https://github.com/a/b"])
def test_what_is_no_repository_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line and exit code 2, and the README stays as it was."""
    assert binder.main([name]) == 2
    assert "is no repository" in capsys.readouterr().err
    assert (ROOT / "README.md").read_text(encoding="utf-8") == README


def test_the_command_writes_the_readers_own_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One command, and the badge is theirs."""
    page = tmp_path / "README.md"
    page.write_text(README, encoding="utf-8", newline="\n")
    monkeypatch.setattr(binder, "shipped", lambda name: tmp_path / name)
    assert binder.main(["ada/engine"]) == 0
    assert binder.repository_of(page.read_text(encoding="utf-8")) == "ada/engine"
    assert binder.main([]) == 2


def test_a_dev_container_installs_and_opens_the_course() -> None:
    """Strict JSON, a Python that the project supports, and the first notebook."""
    made = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert re.fullmatch(r"mcr\.microsoft\.com/devcontainers/python:3\.1[1-4]", made["image"])
    assert "pip install" in made["postCreateCommand"]
    assert made["waitFor"] == "postCreateCommand", "the notebook opens before the course is installed"
    assert all((ROOT / name).is_file() for name in made["customizations"]["codespaces"]["openFiles"])


def workflow() -> dict[Any, Any]:
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    made = yaml.safe_load(text)
    assert isinstance(made, dict)
    return made


def test_actions_run_the_tests_on_three_systems_and_four_pythons() -> None:
    """The matrix is the promise of pyproject.toml; once a week the newest dependencies and pre-releases come in."""
    made = workflow()
    matrix = made["jobs"]["tests"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    when = made[True]  # YAML 1.1 reads a bare "on" as true
    assert {"push", "pull_request", "schedule"} <= set(when)
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", when["schedule"][0]["cron"])
    assert made["jobs"]["tomorrow"]["strategy"]["matrix"] == {"pre": [False, True]}
    assert made["permissions"] == {"contents": "read"}


def test_actions_render_and_build_binders_image() -> None:
    """First the recipe alone, which needs no docker, then the image; and every job ends by itself."""
    jobs = workflow()["jobs"]
    lines = [step["run"] for step in jobs["binder"]["steps"] if "run" in step]
    assert any("jupyter-repo2docker --no-build --debug" in line for line in lines)
    assert any("environment.yml" in line and "recipe.txt" in line for line in lines), "which Python is in the recipe?"
    assert any("jupyter-repo2docker --no-run" in line for line in lines)
    assert all("timeout-minutes" in job for job in jobs.values())


def test_actions_are_pinned_by_major_version() -> None:
    """Not a branch that moves, not a patch that rots."""
    used = [step["uses"] for job in workflow()["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", name) for name in used)


def test_memory_is_told_by_process() -> None:
    """The last look and the largest one, each summed; a process is known by its command line."""
    assert role(["python", "-m", "jupyterlab"]) == "JupyterLab"
    assert role(["python", "-m", "ipykernel_launcher", "-f", "x.json"]) == "the kernel"
    assert role(["python", "-m", "supalab.lab"]) == "the lab"
    assert role(["python", "-c", "from multiprocessing.spawn import spawn_main"]) == "a race's workers"
    peak = Peak()
    for seen in ({"JupyterLab": 80.0}, {"JupyterLab": 90.0, "a race's workers": 60.0}, {"JupyterLab": 100.0}):
        peak.add(seen)
    rows = {line[:18].strip(): line[18:].split() for line in told(peak).splitlines()}
    assert rows["together"] == ["100", "150"]
    assert rows["a race's workers"] == ["0", "60"]
