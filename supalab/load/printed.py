"""The parts of a table of loads: titles, seconds and lines go in, pieces that ``rich`` can draw come out."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

__all__ = ["NEVER", "grid", "milliseconds", "notes"]

NEVER = "never"


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
