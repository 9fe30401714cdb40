"""The table of a case: each suspect with what its two arms show of the article's figures."""

from __future__ import annotations

from supalab.measure.detective.case import ARTICLE, Account, Case
from supalab.report.table import Cell, Column, Content, Table

__all__ = ["notes", "table"]

TICK, CROSS = "✓", "✕"
SEEN_BY = (
    "At once: the arm's limit, and how many of it were ever used, as the client has it, since over a distance the lab "
    "counts a request only while it serves it. Response: from slot to answer, without the wait for a slot."
)


def table(case: Case) -> Table:
    """Return the matrix of suspects and figures."""
    columns = [Column("suspect", wide=True), Column("", width=6), *(Column(name, width=13) for name in ARTICLE)]
    stated = [[Cell(_stated(case, figure, when)) for when in ("before", "after")] for figure in ARTICLE]
    when = [Cell("before"), Cell("after")]
    rows: list[list[Content]] = [["the article", when, *stated]]
    for account in case.accounts:
        shown = Cell(f"{account.explained}/{len(account.cells)}", "dim" if account.missed else "good")
        words = [Cell(f"\n{account.suspect.letter}  {account.suspect.story}"), shown]
        rows.append([words, [Cell("\nbefore"), Cell("after")], *(_pair(account, figure) for figure in ARTICLE)])
    return Table(columns, rows, notes=notes(case))


def _pair(account: Account, figure: str) -> list[Cell]:
    found = [cell for cell in account.cells if cell.figure == figure]
    return [
        Cell("\n" * (not place) + f"{TICK if cell.fits else CROSS} {cell.text}", "good" if cell.fits else "bad")
        for place, cell in enumerate(found)
    ]


def _stated(case: Case, figure: str, when: str) -> str:
    cells = case.accounts[0].cells if case.accounts else ()
    return next((f"  {cell.stated}" for cell in cells if (cell.figure, cell.when) == (figure, when)), "")


def notes(case: Case) -> list[str]:
    """Return the sentences under the matrix: the solution, and how it was measured."""
    said = [case.solution, SEEN_BY]
    if case.quick:
        by = ", ".join(f"{name} x {scale:g}" for name, scale in case.scale.items() if scale != 1)
        said.append(f"Quick: fewer requests and shorter times; figures are scaled back ({by}), so trust ratios.")
    return said
