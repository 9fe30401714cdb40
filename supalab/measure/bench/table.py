"""A bench goes in, tables come out: one of clients and cases, one of goals; for a terminal or as plain text."""

from __future__ import annotations

from typing import IO

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from supalab.measure import printed
from supalab.measure.bench.cases import Remark
from supalab.measure.bench.goals import Goal, goals
from supalab.measure.bench.result import Bench, Row
from supalab.measure.printed import WIDTH

__all__ = ["remark_text", "show", "text"]

VERDICTS = {True: "reached", False: "missed", None: "not measured"}
STYLES = {True: "green", False: "bold red", None: "dim"}


def show(bench: Bench, file: IO[str] | None = None) -> None:
    """Print both tables: with colours to a terminal, as plain text of ``WIDTH`` columns to a pipe or a file."""
    printed.show(_all(bench), file)


def text(bench: Bench, width: int = WIDTH) -> str:
    """Return both tables and the remarks as plain text, no line longer than ``width``."""
    return printed.plain(_all(bench), width)


def remark_text(remark: Remark) -> str:
    """Return a remark as one line."""
    return f"{remark.arm}{f' ({remark.case})' if remark.case else ''} {remark.text}"


def _all(bench: Bench) -> Group:
    if not bench.rows:
        return Group(Text("No trial was finished."))
    notes = [Text(note, style="dim") for note in _notes(bench)]
    return Group(_clients(bench), Padding(Group(*notes), (1, 0, 1, 0)), _goals(goals(bench)))


def _clients(bench: Bench) -> Table:
    """A client a row, a case a column: CPU of a request, and makespan over the ideal where there is one."""
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("CPU ms/request\nx ideal", no_wrap=True)
    for case in bench.cases:
        grid.add_column(f"{case.name}\nn = {case.workload.requests}", justify="right", no_wrap=True)
    for kind in dict.fromkeys(row.kind for row in bench.rows):
        rows = [bench.find(case.name, f"{kind}-{case.limit}") for case in bench.cases]
        grid.add_row(kind, *(_cell(row) for row in rows))
    return grid


def _cell(row: Row | None) -> str:
    """``0.71  1.06x``; what did not run is a dash, a star leads to the errors below."""
    if row is None:
        return "-"
    pace = f"  {row.ratio:5.2f}x" if row.ratio is not None else ""
    return f"{row.cpu:.2f}{pace}" + ("*" if row.errors else "")


def _notes(bench: Bench) -> list[str]:
    times = "one trial of each" if bench.repeat == 1 else f"medians of {bench.repeat} trials of each, taking turns"
    said = [f"{times}; CPU of the client's process after a warm-up (cold: none); -: did not run."]
    said += [remark_text(remark) for remark in bench.remarks]
    failed = [row for row in bench.rows if row.errors]
    said += [f"* {row.arm} ({row.case}), the worst trial: {_outcomes(row)}" for row in failed]
    return said if bench.finished else [*said, "Interrupted: cases and repeats are missing."]


def _outcomes(row: Row) -> str:
    return ", ".join(f"{count} x {name}" for name, count in row.outcomes.items())


def _goals(found: tuple[Goal, ...]) -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("goal")  # may wrap: errors can make what stands beside a goal long
    for title in ("at most", "measured", ""):
        grid.add_column(title, justify="right" if title else "left", no_wrap=True)
    for goal in found:
        digits = 0 if goal.target == 0 else 2
        measured = "" if goal.value is None else f"{goal.value:.{digits}f}"
        verdict = Text(VERDICTS[goal.reached], STYLES[goal.reached])
        grid.add_row(goal.name, f"{goal.target:.{digits}f}", measured, verdict)
        if goal.beside:
            grid.add_row(Text(f"  {goal.beside}", style="dim"))
    return grid
