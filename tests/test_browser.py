"""The course in a real JupyterLab, in a real browser: opened, Run All, looked at, and an exercise solved by typing.

Needs a Chromium: the system's own, or ``python -m playwright install chromium``. Without one these tests are skipped.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browserwork import QUIET, Book, chromium, jupyter_lab
from labwork import soon

pytest.importorskip("playwright.sync_api", exc_type=ImportError)
from playwright.sync_api import Page, sync_playwright

pytestmark = pytest.mark.timeout(360)


@pytest.fixture(scope="module")
def executable() -> str:
    found = chromium()
    if found is None:
        pytest.skip("no Chromium here: `python -m playwright install chromium`")
    return found


@pytest.fixture(scope="module")
def address(executable: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with jupyter_lab(tmp_path_factory.mktemp("jupyter")) as found:
        yield found


@pytest.fixture
def page(executable: str, tmp_path: Path) -> Iterator[Page]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch_persistent_context(
            str(tmp_path / "profile"), executable_path=executable, args=QUIET, viewport={"width": 1280, "height": 900}
        )
        page = browser.pages[0]
        yield page
        # The next test must not meet a kernel that is still working.
        page.evaluate("() => window.jupyterapp?.serviceManager.sessions.shutdownAll()")
        browser.close()


def images(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [image for cell in cells for image in cell["images"]]


def wrong(cells: list[dict[str, Any]]) -> list[Any]:
    """Return the outputs that no reader should see: errors, and text on stderr."""
    outputs = [output for cell in cells for output in cell["outputs"]]
    return [one for one in outputs if one["output_type"] == "error" or one.get("name") == "stderr"]


def ran_without_a_fault(book: Book, cells: list[dict[str, Any]]) -> None:
    """Check: no error or warning, every picture has a description, the live view moved, no network was used."""
    assert wrong(cells) == []
    assert images(cells)
    assert all(image["painted"] and len(image["alt"]) >= 40 for image in images(cells))
    assert book.outside == set()
    live = [at for at, cell in enumerate(cells) if "watch=True" in cell["source"] or "live_view(" in cell["source"]]
    assert live
    for at in live:
        assert book.states(at) >= 3, f"the live view of cell {at} did not move"


def test_run_all_shows_every_figure_and_no_error(page: Page, address: str) -> None:
    """Every cell of a notebook runs in a real JupyterLab, and what it shows can be seen."""
    book = Book.opened(page, address, "07_side_by_side.ipynb")
    *_, last = book.run_all()
    ran_without_a_fault(book, last)


def test_the_first_picture_of_the_course_comes_with_the_first_measurement(page: Page, address: str) -> None:
    """The first picture appears while the first requests still run, not with a later cell."""
    book = Book.opened(page, address, "00_start_here.ipynb")
    states = list(book.run_all())
    first = next(cells for cells in states if images(cells))
    begun = next(at for at, cell in enumerate(first) if cell["images"])
    assert "observe(" in first[begun]["source"]
    assert all("observe(" not in cell["source"] for cell in first[:begun])
    assert "*" in first[begun]["prompt"], "the first picture came only when its cell was done"
    ran_without_a_fault(book, states[-1])


def test_an_exercise_is_solved_by_typing(page: Page, address: str) -> None:
    """After Run All the stub is not done; its line is typed over, run with Shift+Enter, and the check passes."""
    book = Book.opened(page, address, "01_see_the_ceiling.ipynb")
    *_, cells = book.run_all()
    ran_without_a_fault(book, cells)
    at = next(at for at, cell in enumerate(cells) if "def makespan" in cell["source"])
    checked = next(at for at, cell in enumerate(cells) if 'check("01a"' in cell["source"])
    before = said(cells[checked])
    assert "not done yet" in before
    book.code(at).locator(".cm-line", has_text="raise NotDone").click()
    for key in ("Home", "Shift+End", "Backspace"):
        page.keyboard.press(key)
    page.keyboard.type("return math.ceil(requests / threads) * latency")
    page.keyboard.press("Shift+Enter")
    book.code(checked).click()
    page.keyboard.press("Shift+Enter")
    assert soon(lambda: said(book.cells()[checked]) != before and book.idle(book.cells()), 60)
    assert re.match(r"● Exercise 01a\b.*: done\. ", said(book.cells()[checked]))


def test_a_working_copy_from_the_first_command_to_the_hosts_table(
    page: Page, executable: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """``supalab course`` in an empty folder: no news, no unsaved mark; an exercise is done, shown, and reset."""
    home = tmp_path_factory.mktemp("course")
    mine = home / "mine"
    with jupyter_lab(home) as address:
        book = Book.opened(page, address, "00_primer.ipynb")
        assert not page.evaluate(
            "() => [...window.jupyterapp.shell.widgets('main')].some(w => w.context?.model?.dirty)"
        )
        assert page.locator(".Toastify__toast").count() == 0
        cells = book.cells()
        at = next(at for at, cell in enumerate(cells) if "def fetch_all" in cell["source"])
        checked = next(at for at, cell in enumerate(cells) if 'check("00a"' in cell["source"])
        for place in (0, at):
            book.code(place).click()
            page.keyboard.press("Shift+Enter")
        book.code(at).locator(".cm-line", has_text="raise NotDone").click()
        for key in ("Home", "Shift+End", "Backspace"):
            page.keyboard.press(key)
        page.keyboard.insert_text(SOLUTION)
        page.keyboard.press("Shift+Enter")
        book.code(checked).click()
        page.keyboard.press("Shift+Enter")
        assert soon(lambda: re.match(r"● Exercise 00a\b", said(book.cells()[checked])), 60)
        page.keyboard.press("Control+s")
        assert soon(lambda: "Semaphore(3)" in (mine / "00_primer.ipynb").read_text(encoding="utf-8"), 20)
        page.goto("about:blank")  # otherwise the page would look for a server that has stopped
    assert "Done: 1 of 15" in supalab("progress", str(mine))
    assert "mine" in supalab("progress", str(home), str(mine))
    assert "your version is 00_primer.yours-1.ipynb" in supalab("course", str(mine), "--fresh", "00")
    assert "raise NotDone" in (mine / "00_primer.ipynb").read_text(encoding="utf-8")


def test_a_link_opens_the_page_where_the_learner_is(page: Page, address: str) -> None:
    """A link opens the glossary at its term and leads back; the file list shows the handout with drawings."""
    Book.opened(page, address, "01_see_the_ceiling.ipynb")
    page.locator(".jp-Notebook a", has_text="makespan").first.click()
    entry = page.locator(".jp-MarkdownViewer h2", has_text="makespan")
    entry.wait_for(state="visible", timeout=30_000)
    assert soon(lambda: 0 <= entry.bounding_box()["y"] < 900, 10), "it is open, but not at its term"
    page.locator(".jp-MarkdownViewer a[href*='01_see_the_ceiling']").first.click()
    assert soon(lambda: page.locator(".jp-NotebookPanel:visible h1", has_text="See the ceiling").count(), 30)
    page.locator(".jp-DirListing-item", has_text="HANDOUT.md").dblclick()
    shown = page.locator(".jp-MarkdownViewer:visible", has_text="What you take home").locator("img")
    assert soon(lambda: [shown.nth(at).evaluate("i => i.naturalWidth > 30") for at in range(2)] == [True] * 2, 30)


#: What is typed instead of the stub's line, which is already indented.
SOLUTION = """gate = asyncio.Semaphore(3)

    async def limited(number):
        async with gate:
            return await fetch(number)

    return await asyncio.gather(*(limited(number) for number in numbers))"""


def supalab(*words: str) -> str:
    """Return the output of a command, which must succeed."""
    done = subprocess.run([sys.executable, "-m", "supalab", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def said(cell: dict[str, Any]) -> str:
    """Return the text of a cell's outputs."""
    return " ".join("".join(output.get("data", {}).get("text/plain", "")) for output in cell["outputs"])


def test_knobs_are_turned_with_the_keyboard_alone(page: Page, address: str) -> None:
    """Tab leads from the cell into the panel, arrow keys turn a knob, and the timeline and its words change."""
    book = Book.opened(page, address, "01_see_the_ceiling.ipynb")
    panel = next(at for at, cell in enumerate(book.cells()) if "turn_the_knobs(" in cell["source"])
    for at in (0, panel):
        book.code(at).click()
        page.keyboard.press("Shift+Enter")
    assert soon(lambda: len(book.cells()[panel]["images"]) == 1 and book.cells()[panel]["count"], 60)
    knobs, below = book.cells()[panel]["images"][0]["alt"], said(book.cells()[panel])
    assert "6 at a time" in knobs
    book.code(panel).click()
    page.keyboard.press("Escape")
    assert soon(lambda: _tabbed(page) == "number")
    page.keyboard.press("ArrowUp")
    assert soon(lambda: book.cells()[panel]["images"][0]["alt"] != knobs)
    assert "7 at a time" in book.cells()[panel]["images"][0]["alt"]
    assert "A limit of n - 1 is as slow as n / 2." in below
    assert said(book.cells()[panel]) == below, "the table of settings stays"


def _tabbed(page: Page) -> str:
    """Press Tab and return the kind of field that now has the focus."""
    page.keyboard.press("Tab")
    return str(page.evaluate("() => document.activeElement.type || ''"))
