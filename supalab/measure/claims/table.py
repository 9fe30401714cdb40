"""A ledger goes in, its table comes out: for a terminal, as plain text of at most 100 columns, or as HTML."""

from __future__ import annotations

import html as escaping
from collections.abc import Iterator
from itertools import groupby
from typing import IO

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from supalab.measure import printed
from supalab.measure.claims.judging import CANNOT, HOLDS, NOT, OTHER, Verdict
from supalab.measure.claims.ledger import Ledger, Line
from supalab.measure.printed import WIDTH

__all__ = ["MARKS", "html", "notes", "show", "text"]

# A shape for each verdict, so that nothing rests on a colour.
MARKS: dict[Verdict, str] = {HOLDS: "●", OTHER: "◆", NOT: "✕", CANNOT: "○"}
SHORT: dict[Verdict, str] = {
    HOLDS: "holds",
    OTHER: "for another reason",
    NOT: "does not hold",
    CANNOT: "cannot be tested",
}
KEY = "for another reason: it comes out as claimed, but not by what the article puts it down to."
STYLES: dict[Verdict, str] = {HOLDS: "bold blue", OTHER: "bold yellow", NOT: "bold magenta", CANNOT: "dim"}
SHADES: dict[Verdict, str] = {HOLDS: "#1d4f91", OTHER: "#8a5a00", NOT: "#8b2252", CANNOT: "#5b6773"}
CELL = "text-align:left;vertical-align:top;padding:4px 10px;border-top:1px solid #d5dae0"


def show(ledger: Ledger, file: IO[str] | None = None) -> None:
    """Print the ledger: with colours to a terminal, as plain text of ``WIDTH`` columns to a pipe or a file."""
    printed.show(_all(ledger), file, at_most=WIDTH + 30)


def text(ledger: Ledger, width: int = WIDTH) -> str:
    """Return the ledger as plain text, no line longer than ``width``."""
    return printed.plain(_all(ledger), width)


def notes(ledger: Ledger) -> list[str]:
    """Return the sentences under the table: the count of verdicts, and how it was measured."""
    said = [ledger.summary, f"{MARKS[OTHER]} {KEY}"]
    if ledger.quick:
        by = ", ".join(f"{name} x {scale:g}" for name, scale in ledger.evidence.scale.items() if scale != 1)
        said.append(f"Quick: fewer requests and shorter times; the figures are scaled back ({by}), so trust ratios.")
    if not ledger.finished:
        said.append("Interrupted: what did not run any more is not tested.")
    return said


def _sections(ledger: Ledger) -> Iterator[tuple[str, list[Line]]]:
    for section, lines in groupby(ledger.lines, key=lambda line: line.claim.section):
        yield section, list(lines)


def _all(ledger: Ledger) -> Group:
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", expand=True)
    grid.add_column("claim, and what was found", ratio=1)
    grid.add_column("the article", width=12)
    grid.add_column("here", width=12)
    grid.add_column("verdict", width=20, no_wrap=True)
    for section, lines in _sections(ledger):
        grid.add_row(Text(f"\n{section}", "bold underline"))
        for line in lines:
            mark = Text(f"{MARKS[line.verdict]} {SHORT[line.verdict]}", STYLES[line.verdict])
            said = Group(Text(line.claim.claim), Padding(Text(line.sentence, "dim"), (0, 0, 0, 2)))
            grid.add_row(Padding(said, (0, 2, 0, 0)), line.claim.stated, line.here, mark)
    return Group(grid, Text(""), *(Text(note) for note in notes(ledger)))


def html(ledger: Ledger) -> str:
    """Return the ledger as an HTML table, for a notebook in either theme."""
    rows = []
    for section, lines in _sections(ledger):
        rows.append(f'<tr><th colspan="4" style="text-align:left;padding:14px 10px 4px">{_safe(section)}</th></tr>')
        rows += [_row(line) for line in lines]
    head = "".join(f'<th style="{CELL}">{title}</th>' for title in ("claim", "the article", "here", "verdict"))
    below = "".join(f"<p>{_safe(note)}</p>" for note in notes(ledger))
    style = "background:white;color:#1b2733;border-collapse:collapse;max-width:62em"
    return f'<table style="{style}"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>{below}'


def _row(line: Line) -> str:
    verdict = f'<b style="color:{SHADES[line.verdict]}">{MARKS[line.verdict]}&nbsp;{line.verdict}</b>'
    said = f'{_safe(line.claim.claim)}<br><small style="color:#5b6773">{_safe(line.sentence)}</small>'
    cells = (said, _safe(line.claim.stated), _safe(line.here), verdict)
    return "<tr>" + "".join(f'<td style="{CELL}">{cell}</td>' for cell in cells) + "</tr>"


def _safe(words: str) -> str:
    return escaping.escape(words)
