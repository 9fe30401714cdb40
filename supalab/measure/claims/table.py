"""The table of claims: each with the article's figure, the one found here, a verdict and a sentence."""

from __future__ import annotations

from itertools import groupby

from supalab.measure.claims.judging import CANNOT, HOLDS, NOT, OTHER, Verdict
from supalab.measure.claims.ledger import Ledger, Line
from supalab.report.table import Cell, Column, Content, Table

__all__ = ["MARKS", "WIDEST", "notes", "table"]

# A shape for each verdict, so that nothing rests on a colour.
MARKS: dict[Verdict, str] = {HOLDS: "●", OTHER: "◆", NOT: "✕", CANNOT: "○"}
KEY = "for another reason: it comes out as claimed, but not by what the article puts it down to."
STYLES: dict[Verdict, str] = {HOLDS: "good", OTHER: "other", NOT: "bad", CANNOT: "dim"}
#: In a wider terminal the figures would stand too far from their claims.
WIDEST = 130
COLUMNS = (
    Column("claim, and what was found", wide=True),
    Column("the article", width=12),
    Column("here", width=12),
    Column("verdict", width=26),
)


def table(ledger: Ledger) -> Table:
    """Return the ledger as a table, a heading for each section of the article."""
    rows: list[list[Content]] = []
    for section, lines in groupby(ledger.lines, key=lambda line: line.claim.section):
        rows += [[Cell(f"\n{section}", "bold")], *map(_row, lines)]
    return Table(COLUMNS, rows, notes=notes(ledger))


def _row(line: Line) -> list[Content]:
    verdict = Cell(f"{MARKS[line.verdict]} {line.verdict}", STYLES[line.verdict])
    return [(Cell(line.claim.claim), Cell(line.sentence, "dim", 2)), line.claim.stated, line.here, verdict]


def notes(ledger: Ledger) -> list[str]:
    """Return the sentences under the table: the count of verdicts, and how it was measured."""
    said = [ledger.summary, f"{MARKS[OTHER]} {KEY}"]
    if ledger.quick:
        by = ", ".join(f"{name} x {scale:g}" for name, scale in ledger.evidence.scale.items() if scale != 1)
        said.append(f"Quick: fewer requests and shorter times; the figures are scaled back ({by}), so trust ratios.")
    if not ledger.finished:
        said.append("Interrupted: what did not run any more is not tested.")
    return said
