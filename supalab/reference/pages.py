"""Pages that show recorded tables: a page's text goes in, the same text with every table made anew comes out.

A table stands in a block of text below a mark that names its record: ``<!-- recorded: race -->``. So a figure on a page
is always one that was measured, and a test says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from supalab.errors import SettingsError
from supalab.reference.recipe import AnyRecipe

__all__ = ["marked", "refreshed"]

BLOCK = re.compile(r"(<!-- recorded: (\S+) -->\n+```text\n)(.*?)(^```)", re.MULTILINE | re.DOTALL)


def marked(page: str) -> list[str]:
    """Return the names of the records whose tables are on a page."""
    return [found[2] for found in BLOCK.finditer(page)]


def refreshed(page: str, recipes: Sequence[AnyRecipe], folder: Path) -> str:
    """Return the page with each table made from the record in ``folder``; raises SettingsError for an unknown one."""
    known = {one.name: one for one in recipes}

    def table(found: re.Match[str]) -> str:
        one = known.get(found[2])
        if one is None:
            raise SettingsError(f"a page shows a record {found[2]!r}: choose from {', '.join(known)}")
        return f"{found[1]}{one.text(one.load(folder / one.record)).rstrip()}\n{found[4]}"

    return BLOCK.sub(table, page)
