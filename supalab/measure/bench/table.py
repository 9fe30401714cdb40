"""The tables of a bench: one of clients and cases, one of goals."""

from __future__ import annotations

from collections.abc import Sequence

from supalab.measure.bench.cases import Remark
from supalab.measure.bench.goals import Goal, goals
from supalab.measure.bench.result import Bench, Row
from supalab.report.format import counts
from supalab.report.table import Cell, Column, Content, Table

__all__ = ["remark_text", "tables"]

VERDICTS = {True: "reached", False: "missed", None: "not measured"}
STYLES = {True: "good", False: "bad", None: "dim"}


def tables(bench: Bench) -> list[Table]:
    """Return both tables, the remarks between them."""
    if not bench.rows:
        return [Table((), (), empty="No trial was finished.")]
    return [_clients(bench), _goals(goals(bench))]


def remark_text(remark: Remark) -> str:
    """Return a remark as one line."""
    return f"{remark.arm}{f' ({remark.case})' if remark.case else ''} {remark.text}"


def _clients(bench: Bench) -> Table:
    """A client a row, a case a column: CPU of a request, and makespan over the ideal where there is one."""
    titles = ["CPU ms/request\nx ideal", *(f"{case.name}\nn = {case.workload.requests}" for case in bench.cases)]
    kinds = dict.fromkeys(row.kind for row in bench.rows)
    found = [[bench.find(case.name, f"{kind}-{case.limit}") for case in bench.cases] for kind in kinds]
    rows = [[kind, *map(_cell, line)] for kind, line in zip(kinds, found, strict=True)]
    return Table(titles, rows, notes=_notes(bench))


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
    said += [f"* {row.arm} ({row.case}), the worst trial: {counts(row.outcomes)}" for row in failed]
    return said if bench.finished else [*said, "Interrupted: cases and repeats are missing."]


def _goals(found: Sequence[Goal]) -> Table:
    rows: list[list[Content]] = []
    for goal in found:
        digits = 0 if goal.target == 0 else 2
        measured = "" if goal.value is None else f"{goal.value:.{digits}f}"
        verdict = Cell(VERDICTS[goal.reached], STYLES[goal.reached])
        beside = (Cell(goal.beside, "dim", 2),) if goal.beside else ()
        rows.append([(Cell(goal.name), *beside), f"{goal.target:.{digits}f}", measured, verdict])
    # The goal may wrap: errors can make what stands below it long.
    return Table(
        [Column("goal", wide=True), Column("at most", words=False), Column("measured", words=False), Column("")], rows
    )
