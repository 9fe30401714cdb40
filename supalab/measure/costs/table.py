"""What it costs, as tables: a frozen result goes in, a table with its notes comes out; for a terminal or plain text."""

from __future__ import annotations

from typing import IO, TypeAlias

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from supalab.measure import printed
from supalab.measure.costs import words
from supalab.measure.costs import words_more as more
from supalab.measure.costs.cancellation import Cancellations
from supalab.measure.costs.knee_result import Knee
from supalab.measure.costs.lag import LagCosts, middle_lag
from supalab.measure.costs.memory_result import Cell, MemoryCosts
from supalab.measure.printed import WIDTH
from supalab.measure.trial import Lag

__all__ = ["WIDTH", "Cost", "headline", "notes", "show", "table", "text"]

BLANK = ""
# So many columns stand closer together, so that none is cut.
MANY = 8

Cost: TypeAlias = MemoryCosts | LagCosts | Cancellations | Knee


def headline(found: Cost) -> str:
    """Return the one line that says what was found."""
    match found:
        case MemoryCosts():
            return words.memory_headline(found)
        case LagCosts():
            return words.lag_headline(found)
        case Cancellations():
            return more.cancel_headline(found)
        case Knee():
            return more.knee_headline(found)


def notes(found: Cost) -> list[str]:
    """Return the sentences that belong under the table."""
    match found:
        case MemoryCosts():
            return words.memory_notes(found)
        case LagCosts():
            return words.lag_notes(found)
        case Cancellations():
            return more.cancel_notes(found)
        case Knee():
            return more.knee_notes(found)


def table(found: Cost) -> Group:
    """Return headline, table and notes for ``rich``."""
    match found:
        case MemoryCosts():
            grid = _memory(found)
        case LagCosts():
            grid = _lag(found)
        case Cancellations():
            grid = _cancelled(found)
        case Knee():
            grid = _knee(found)
    under = [Text(note, style="dim") for note in notes(found)]
    return Group(Text(headline(found), style="bold"), Padding(grid, (1, 0)), *under)


def show(found: Cost, file: IO[str] | None = None) -> None:
    """Print it: with colours to a terminal, as plain text of ``WIDTH`` columns to a pipe or a file."""
    printed.show(table(found), file)


def text(found: Cost, width: int = WIDTH) -> str:
    """Return headline, table and notes as plain text, no line longer than ``width``."""
    return printed.plain(table(found), width)


def _grid(first: str, *titles: str) -> Table:
    gap = 2 if len(titles) < MANY else 1
    grid = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    deep = max(title.count("\n") for title in (first, *titles))
    for place, title in enumerate((first, *titles)):
        above = "\n" * (deep - title.count("\n"))
        grid.add_column(above + title, justify="right" if place else "left", no_wrap=True)
    return grid


def _memory(found: MemoryCosts) -> Table:
    grid = _grid("in\nflight", *(f"{kind}\nMB ± sd" for kind in found.kinds), *(f"{k}\nKB each" for k in found.kinds))
    cells = {(cell.kind, cell.in_flight): cell for cell in found.cells}
    for number in found.in_flight:
        row = [cells.get((kind, number)) for kind in found.kinds]
        grid.add_row(f"{number:,}", *map(_held, row), *(f"{cell.each / 1000:.0f}" if cell else BLANK for cell in row))
    return grid


def _held(cell: Cell | None) -> str:
    """Mean and standard deviation in MB; a question mark where not all were in flight."""
    if cell is None:
        return BLANK
    sd = f" ± {cell.variation * cell.mean / 1e6:.2f}" if cell.variation is not None else ""
    return f"{cell.mean / 1e6:.2f}{sd}{'' if cell.sound else ' ?'}"


def _lag(found: LagCosts) -> Table:
    grid = _grid("arm", "requests", "CPU ms/\nrequest", "threads", "lag ms\np50", "\np99", "\nlongest", "errors")
    if found.idle:
        grid.add_row("idle loop", BLANK, BLANK, "1", *_lags(middle_lag(found.idle)), BLANK)
    for arm in found.arms:
        run = found.middle(arm)
        count = Text(str(run.errors), "bold red" if run.errors else "")
        grid.add_row(arm, str(run.requests), f"{run.cpu_ms:.2f}", str(run.threads), *_lags(run.lag), count)
    return grid


def _lags(lag: Lag) -> list[str]:
    return [f"{1000 * value:,.1f}" for value in (lag.p50, lag.p99, lag.max)]


def _cancelled(found: Cancellations) -> Table:
    grid = _grid(
        "arm",
        "callers\nfree ms",
        "worked on\nfor nobody",
        "hung up",
        "new caller\nx latency",
        "client\nclosed ms",
        "asyncio.run\nover ms",
        "process\nover ms",
    )
    for arm in found.arms:
        one = more.middle_of(found, arm)
        ratio = BLANK if one.late_ratio is None else f"{one.late_ratio:.2f}"
        counts = (str(one.carried_on), str(one.hung_up), "broken" if one.broken else ratio)
        grid.add_row(arm, _ms(one.free_s), *counts, _ms(one.closed_s), _ms(one.run_s), _ms(one.exit_s))
    return grid


def _ms(value: float | None) -> str:
    return BLANK if value is None else f"{1000 * value:,.0f}" if value >= 0.01 else f"{1000 * value:.1f}"


def _knee(found: Knee) -> Table:
    """A limit a row: throughput of each client, a star at its best limit."""
    grid = _grid("limit", *(f"{kind}\nrequests/s" for kind in found.kinds), "ideal")
    best = {kind: found.best(kind) for kind in found.kinds}
    for limit in found.limits:
        lines = [found.line(kind).get(limit) for kind in found.kinds]
        cells = [
            BLANK if per_s is None else f"{per_s:,.0f}{'*' if best[kind] == limit else ' '}"
            for kind, per_s in zip(found.kinds, lines, strict=True)
        ]
        grid.add_row(str(limit), *cells, f"{found.ideal(limit):,.0f}")
    return grid
