"""The README is correct: its code runs, CI runs its commands, its tables are the recorded ones."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
#: The README, and the pages of the rooms that it leads to.
PAGES = [ROOT / "README.md", *sorted((ROOT / "supalab").glob("*/README.md"))]


def blocks(language: str, page: Path = ROOT / "README.md") -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


EXAMPLES = [(page, code) for page in PAGES for code in blocks("python", page)]


def test_the_readme_is_short_and_leads_to_the_rooms() -> None:
    """Whoever opens the repository reads it in a few minutes; each room's page is linked."""
    assert len(TEXT.splitlines()) <= 130
    assert [page.parent.name for page in PAGES[1:]] == ["clients", "contest_agent", "experiments", "lab"]
    assert all(f"]({page.relative_to(ROOT).as_posix()})" in TEXT for page in PAGES[1:])


def test_set_up_is_two_lines_and_ci_runs_the_second() -> None:
    """A newcomer copies one line to see the race and one to run the tests."""
    race, tests = blocks("sh")[0].splitlines()
    assert race == "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/supalab race"
    assert tests == 'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/pytest'
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    pattern = re.search(r"grep -m1 -E '([^']+)' README.md", ci)
    assert pattern
    assert re.findall(pattern[1], TEXT, re.MULTILINE) == [tests]


@pytest.mark.parametrize(("page", "code"), EXAMPLES, ids=[page.parent.name for page, _ in EXAMPLES])
def test_every_python_block_runs_and_prints_what_is_shown(page: Path, code: str) -> None:
    """If an output block follows, the code prints exactly that: counts do not depend on the machine."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    following = page.read_text(encoding="utf-8").split(code, 1)[1].removeprefix("```\n\n")
    shown = re.match(r"```text\n(.*?)^```", following, re.MULTILINE | re.DOTALL)
    assert done.stdout == (shown[1] if shown else "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link and picture is a file of the project."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ["supalab/experiments/README.md", "data/reference/README.md"])
def test_every_table_is_the_recorded_one(page: str) -> None:
    """The tables come from the reference runs and were not edited by hand."""
    from supalab.reference import marked, refreshed

    text = (ROOT / page).read_text(encoding="utf-8")
    assert marked(text)
    assert refreshed(text, ROOT / "data" / "reference") == text
