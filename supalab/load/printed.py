"""Tables of loads: rows go in, a table for a terminal or as plain text comes out."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

__all__ = ["grid", "milliseconds", "notes", "plain", "show"]

WIDTH = 100
NEVER = "never"


def show(what: RenderableType, file: IO[str] | None = None) -> None:
    """Print with colours to a terminal, as plain text of ``WIDTH`` columns to a pipe or a file."""
    console = Console(file=file or sys.stdout)
    if not console.is_terminal:
        console.file.write(plain(what))
        return
    Console(file=console.file, width=max(console.width, WIDTH)).print(what)


def plain(what: RenderableType, width: int = WIDTH) -> str:
    """Return it as plain text, no line longer than ``width``, none with blanks at its end."""
    console = Console(file=io.StringIO(), force_jupyter=False, width=width, color_system=None, legacy_windows=False)
    console.print(what)
    written = console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO from above
    return "\n".join(line.rstrip() for line in written.splitlines()) + "\n"


def grid(first: str, *titles: str) -> Table:
    """Return an empty table: the first column names the row, the others are figures."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True, vertical="bottom")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def notes(*lines: str) -> Padding:
    """Return lines that stand below a table."""
    return Padding(Group(*(Text(line, style="dim") for line in lines)), (1, 0, 0, 0))


def milliseconds(values: Sequence[float | None]) -> str:
    """Return seconds as ``151 / 163 / 190``; a response that never came is ``never``."""
    return " / ".join(NEVER if value is None else f"{1000 * value:.0f}" for value in values)
