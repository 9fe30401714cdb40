"""The table of a cancellation, with its headline and notes."""

from __future__ import annotations

from supalab.measure.costs import words_more as more
from supalab.measure.costs.cancellation import Cancellations
from supalab.report.format import ms
from supalab.report.table import Content, Table

__all__ = ["table"]

BLANK = ""


def table(found: Cancellations) -> Table:
    """Return headline, table and notes."""
    titles, rows = _cancelled(found)
    return Table(titles, rows, headline=more.cancel_headline(found), notes=more.cancel_notes(found))


def _cancelled(found: Cancellations) -> tuple[list[str], list[list[Content]]]:
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
