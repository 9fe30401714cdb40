"""Update the recorded tables in the project's Markdown pages.

A table is a code block below a comment that names its record: ``<!-- recorded: race -->``. A test checks that the
numbers on a page are those of the record.
"""

from __future__ import annotations

import re
from pathlib import Path

from supalab.errors import SettingsError
from supalab.experiments import MODULES
from supalab.measure.record import Record
from supalab.report.files import write
from supalab.report.table import text
from supalab.shipped import shipped

__all__ = ["PAGES", "marked", "refresh", "refreshed"]

PAGES = ("supalab/experiments/README.md", "data/reference/README.md")
BLOCK = re.compile(r"(<!-- recorded: (\S+) -->\n+```text\n)(.*?)(^```)", re.MULTILINE | re.DOTALL)


def marked(page: str) -> list[str]:
    """Return the names of the records whose tables are on a page."""
    return [found[2] for found in BLOCK.finditer(page)]


def refreshed(page: str, folder: Path) -> str:
    """Return the page with each table made from the record in ``folder``; raises SettingsError for an unknown one."""

    def table(found: re.Match[str]) -> str:
        if found[2] not in MODULES:
            raise SettingsError(f"a page shows a record {found[2]!r}: choose from {', '.join(MODULES)}")
        record = Record.load(folder / f"{found[2]}.json", found[2])
        return f"{found[1]}{text(record.table()).rstrip()}\n{found[4]}"

    return BLOCK.sub(table, page)


def refresh() -> None:
    """Update the tables on all of the project's pages."""
    for name in PAGES:
        page = shipped(*name.split("/"))
        if page.is_file():
            write(refreshed(page.read_text(encoding="utf-8"), shipped("data", "reference")), page)
