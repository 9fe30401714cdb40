"""The tables of what a client costs: memory, cancellation; each with its headline and notes."""

from __future__ import annotations

from typing import TypeAlias

from supalab.measure.costs import words
from supalab.measure.costs import words_more as more
from supalab.measure.costs.cancellation import Cancellations
from supalab.measure.costs.memory_result import Cell as MemoryCell
from supalab.measure.costs.memory_result import MemoryCosts
from supalab.report.format import ms
from supalab.report.table import Content, Table

__all__ = ["Cost", "headline", "notes", "table"]

BLANK = ""

Cost: TypeAlias = MemoryCosts | Cancellations


def headline(found: Cost) -> str:
    """Return the one line that says what was found."""
    match found:
        case MemoryCosts():
            return words.memory_headline(found)
        case Cancellations():
            return more.cancel_headline(found)


def notes(found: Cost) -> list[str]:
    """Return the sentences that belong under the table."""
    match found:
        case MemoryCosts():
            return words.memory_notes(found)
        case Cancellations():
            return more.cancel_notes(found)


def table(found: Cost) -> Table:
    """Return headline, table and notes."""
    match found:
        case MemoryCosts():
            titles, rows = _memory(found)
        case Cancellations():
            titles, rows = _cancelled(found)
    return Table(titles, rows, headline=headline(found), notes=notes(found))


#: Titles and rows of a table.
Grid: TypeAlias = "tuple[list[str], list[list[Content]]]"


def _memory(found: MemoryCosts) -> Grid:
    titles = [f"{kind}\nMB ± sd" for kind in found.kinds] + [f"{kind}\nKB each" for kind in found.kinds]
    cells = {(cell.kind, cell.in_flight): cell for cell in found.cells}
    rows: list[list[Content]] = []
    for number in found.in_flight:
        row = [cells.get((kind, number)) for kind in found.kinds]
        rows.append([f"{number:,}", *map(_held, row), *(f"{c.each / 1000:.0f}" if c else BLANK for c in row)])
    return ["in\nflight", *titles], rows


def _held(cell: MemoryCell | None) -> str:
    """Mean and standard deviation in MB; a question mark where not all were in flight."""
    if cell is None:
        return BLANK
    sd = f" ± {cell.variation * cell.mean / 1e6:.2f}" if cell.variation is not None else ""
    return f"{cell.mean / 1e6:.2f}{sd}{'' if cell.sound else ' ?'}"


def _cancelled(found: Cancellations) -> Grid:
    titles = [
        "arm", "callers\nfree ms", "worked on\nfor nobody", "hung up", "new caller\nx latency", "client\nclosed ms",
        "asyncio.run\nover ms", "process\nover ms",
    ]  # fmt: skip
    rows: list[list[Content]] = []
    for arm in found.arms:
        one = more.middle_of(found, arm)
        ratio = BLANK if one.late_ratio is None else f"{one.late_ratio:.2f}"
        counts = (str(one.carried_on), str(one.hung_up), "broken" if one.broken else ratio)
        rows.append([arm, ms(one.free_s), *counts, ms(one.closed_s), ms(one.run_s), ms(one.exit_s)])
    return titles, rows
