"""The pages around the course: timetables, glossary, the README's table, Binder, dev container, Actions."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from supalab.course.board import DRAWINGS
from supalab.course.build import Cell, cells, minutes, sources
from supalab.course.copies import DEFAULT, FIRST
from supalab.report.plot import description

ROOT = Path(__file__).parents[1]
BOOKS = ROOT / "notebooks"
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTES = (BOOKS / "INSTRUCTOR.md").read_text(encoding="utf-8")
GLOSSARY = (BOOKS / "glossary.md").read_text(encoding="utf-8")


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


OPENING = re.compile(r"\A# (\d\d · [^\n]+)\n+\*\*(\d+) minutes\.\*\* (.+?)\n\n", re.S)


def openings() -> dict[str, tuple[str, int, str]]:
    """For each notebook, as its first cell announces it: title, minutes, and what happens in it."""
    found = {stem: OPENING.match(text) for stem, text in PROSE.items()}
    assert all(found.values()), "a notebook must begin with '# 01 · Title' and '**8 minutes.** What happens in it.'"
    return {stem: (one[1], int(one[2]), " ".join(one[3].split())) for stem, one in found.items() if one}


def test_the_readmes_table_is_what_the_notebooks_say() -> None:
    """Each notebook in order with its link, minutes and idea, and the sum of the minutes."""
    rows = re.findall(r"^\| \[(.+?)\]\(notebooks/(.+?)\.ipynb\) \| (\d+) \| (.+?) \|$", README, re.MULTILINE)
    assert {stem: (title, int(minutes), idea) for title, stem, minutes, idea in rows} == openings()
    assert [row[1] for row in rows] == sorted(PROSE)
    total = re.search(r"^\| all \| (\d+) \|", README, re.MULTILINE)
    assert total
    assert int(total[1]) == sum(int(row[2]) for row in rows)


SOURCE = {path.stem: cells(path.read_text(encoding="utf-8")) for path in sources()}


def until(stem: str, heading: str) -> list[Cell]:
    """Return a notebook's cells before the one with this heading (its first words are enough)."""
    found = list(
        itertools.takewhile(
            lambda cell: not (cell.prose and f"\n## {heading}" in f"\n{cell.text(solved=False)}"), SOURCE[stem]
        )
    )
    assert 0 < len(found) < len(SOURCE[stem]), f"{stem} has no heading {heading!r}"
    return found


def test_minutes_follow_the_rule() -> None:
    """Words, lines of code, exercises, cells and announced seconds, each as the instructor's notes say."""
    long = Cell(True, None, ("# " + "word " * 150, "# (About 54 seconds.)", "# ```python", *["# x = 1"] * 12, "# ```"))
    code = Cell(False, None, ("x = 1",) * 12)
    solved = Cell(False, "01a", ("# hint: think", "# <solution>", *["y = 2"] * 30, "# </solution>", "#: raise NotDone"))
    assert minutes([Cell(True, None, ("# " + "word " * 150,))]) == 1
    assert minutes([Cell(True, None, ("# " + "- | " * 500 + "word " * 151,))]) == 2  # marks are not words
    assert minutes([long]) == 3  # 1 to read, 1 of code, 54 s of running and 3 more words
    assert minutes([code]) == minutes([code] * 29) / 30 + 1 == 2
    assert minutes([solved]) == minutes([solved, Cell(True, None, ("# word",))]) == 6  # the stub's line alone is read
    rule = NOTES.partition("## How the minutes are counted")[2].partition("\n## ")[0]
    for said in ("each 150 words", "each 12 lines", "| 5 |", "2 seconds for each cell"):
        assert said in rule


@pytest.mark.parametrize("stem", SOURCE)
def test_declared_minutes_are_computed(stem: str) -> None:
    """At most one minute away from the rule, so that a changed sentence does not change four pages."""
    computed = minutes(SOURCE[stem])
    assert abs(openings()[stem][1] - computed) <= 1, f"declare {computed} minutes in {stem} and in the README"


@pytest.mark.parametrize(
    ("heading", "whole"), [("Ninety minutes", 90), ("Two times ninety minutes", 180), ("Three hours", 180)]
)
def test_a_timetable_adds_up_with_a_tenth_in_reserve(heading: str, whole: int) -> None:
    """The clock goes up by each part's minutes to the end; a notebook, or its part up to a heading, has some talk."""
    table = NOTES.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d):(\d\d) \| (.+?) \| (\d+) \|$", table, re.MULTILINE)
    clock = reserve = notebooks = 0
    for hours, past, what, spent in rows:
        assert 60 * int(hours) + int(past) == clock
        clock += int(spent)
        reserve += int(spent) * (what == "In reserve")
        part = re.fullmatch(r"\[(.+?)\]\((.+?)\.ipynb\)(?:, until \*(.+?)\*)?: (\d+), and (\d+) to talk", what)
        if part:
            title, stem, end, own, talk = part.groups()
            needed = minutes(until(stem, end) if end else SOURCE[stem])
            assert abs(int(own) - needed) <= 1, f"{title} until {end} needs {needed} minutes"
            assert (title, int(own) + int(talk)) == (openings()[stem][0], int(spent))
            notebooks += 1
    assert notebooks == sum(".ipynb" in what for _, _, what, _ in rows), "a row of a notebook was not understood"
    assert clock == whole
    assert rows[-1][2] == "In reserve"
    assert reserve >= whole / 10


def test_every_notebook_has_words_for_the_instructor() -> None:
    """A heading for each, in order, two to five lines, the usual wrong guess and the number that comes out."""
    said = re.findall(r"^### (\d\d · .+)\n\n((?:.+\n)+)", NOTES, re.MULTILINE)
    assert [title for title, _ in said] == [title for title, _, _ in openings().values()]
    for _, words in said:
        assert 2 <= words.count("\n") <= 5
        assert re.search(r"^Usual guess: .+ Result: .*\d.*\.$", words, re.MULTILINE)


def test_a_hub_opens_the_working_copy_that_its_accounts_begin_with() -> None:
    """The link leads to what the command puts into every new account."""
    assert f"supalab course /etc/skel/{DEFAULT} --copy-only" in NOTES
    assert f"/hub/user-redirect/lab/tree/{DEFAULT}/{FIRST}`" in NOTES


def test_questions_have_answers_with_sources() -> None:
    """At least ten; each, except the last about a neighbour's numbers, names a source with a link or a folder."""
    section = NOTES.partition("## Questions people always ask")[2].partition("\n## ")[0]
    questions = re.findall(r"^\*\*(.+?\?|My numbers.+?)\*\* ((?:.+\n)+)", section, re.MULTILINE)
    assert len(questions) >= 10
    unsourced = [question for question, answer in questions if not re.search(r"Source: .*?\]\(|`tests/", answer, re.S)]
    assert unsourced == ["My numbers differ from my neighbour's."]


def test_every_term_is_used_and_every_link_has_its_term() -> None:
    """No dead anchor, no term that nobody links to, few links in a notebook, each term once in one."""
    anchors = {term.replace(" ", "-") for term in entries()}
    assert list(entries()) == sorted(entries())
    assert all(re.fullmatch(r"[a-z0-9 -]+", term) for term in entries()), "GitHub and JupyterLab must agree on anchors"
    assert set(itertools.chain(*LINKED.values())) == anchors
    assert set(re.findall(r"\(#([^)]+)\)", GLOSSARY)) <= anchors
    for stem, found in LINKED.items():
        assert 1 <= len(found) <= (7 if stem == "00_primer" else 4)  # the primer is there to introduce words
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
    """In the README alone, as a placeholder that a person replaces by hand; it opens notebook 00 of a working copy."""
    address = "https://mybinder.org/v2/gh/YOUR-ORG/supalab/HEAD?urlpath=lab/tree/supalab-course/00_start_here.ipynb"
    assert README.count(address) == README.count("mybinder.org") == 1
    done = subprocess.run(["git", "grep", "-lF", "YOUR-ORG/"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode > 1:
        pytest.skip("not a git checkout")
    assert set(done.stdout.split()) <= {"README.md", "tests/test_course_pages.py"}


def test_a_dev_container_installs_and_opens_the_course() -> None:
    """Strict JSON, a Python that the project supports, and the first notebook of a working copy that it makes."""
    made = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert re.fullmatch(r"mcr\.microsoft\.com/devcontainers/python:3\.1[1-4]", made["image"])
    install, copy = made["postCreateCommand"].split(" && ")
    assert "pip install" in install
    assert copy == "supalab course --copy-only"
    assert made["waitFor"] == "postCreateCommand", "the notebook opens before the course is installed"
    assert made["customizations"]["codespaces"]["openFiles"] == [f"{DEFAULT}/{FIRST}"]


@pytest.mark.skipif(os.name == "nt", reason="Binder runs Linux")
def test_binder_makes_the_copy_that_its_link_opens(tmp_path: Path) -> None:
    """The script that Binder runs after the installation, with this Python's commands, in an empty folder."""
    place = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    place |= {"JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    assert (ROOT / ".binder" / "postBuild").read_text(encoding="utf-8").startswith("#!/bin/sh\n")
    done = subprocess.run(
        ["sh", str(ROOT / ".binder" / "postBuild")], cwd=tmp_path, env={**os.environ, **place}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    opened = re.search(r"urlpath=lab/tree/([\w/.-]+)", README)
    assert opened
    assert (tmp_path / opened[1]).is_file()
    assert not (tmp_path / DEFAULT / "solutions").exists()
    settings = {path.stem: json.loads(path.read_text("utf-8")) for path in (tmp_path / "config").glob("labconfig/*")}
    assert settings["page_config"]["disabledExtensions"] == {"@jupyterlab/apputils-extension:announcements": True}
    assert "default_setting_overrides" in settings


SHELL = [
    (page, block)
    for page in [ROOT / "README.md", *sorted(ROOT.glob("*/**/*.md"))]
    if not {".venv", "node_modules"} & set(page.parts)
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
]


@pytest.mark.parametrize(("page", "block"), SHELL, ids=lambda value: value.stem if isinstance(value, Path) else "")
def test_a_block_of_commands_can_be_pasted_into_any_shell(page: Path, block: str) -> None:
    """zsh takes a comment at a line's end for arguments; what runs in the background is ended; a server comes last."""
    assert not re.search(r"(^|\s)#", block), f"{page.name}: say it in the text above"
    assert not re.search(r"&\s*$", block, re.MULTILINE) or "kill " in block, f"{page.name}: nobody ends it"
    *before, _ = block.splitlines()
    stays = re.compile(r"supalab (serve|agent|course)\b(?!.*(&$|--copy-only|--fresh))")
    assert not any(stays.search(line) for line in before), f"{page.name}: the lines after it never run"


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


def test_the_handout_is_one_page_with_the_code_of_the_course_and_generated_drawings() -> None:
    """The client is the one of notebook 05, the drawings are what the code draws, and their words are their own."""
    page = (BOOKS / "HANDOUT.md").read_text(encoding="utf-8")
    assert len(page.splitlines()) <= 70
    code = re.search(r"```python\n(.*?)```", page, re.S)
    assert code
    assert code[1].strip() in "\n".join(
        "".join(cell["source"])
        for cell in json.loads((BOOKS / "05_step_3_the_context_manager.ipynb").read_text(encoding="utf-8"))["cells"]
    )
    shown = dict(re.findall(r"!\[(.+?)\]\((board-\w+\.png)\)", page))
    assert {name: words for words, name in shown.items()} == {
        name: description(draw()) for name, draw in DRAWINGS.items()
    }
    for name, draw in DRAWINGS.items():
        with Image.open(BOOKS / name) as kept:
            assert kept.info["Description"] == description(draw())
