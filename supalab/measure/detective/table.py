"""A case goes in, its matrix of suspects and figures comes out: for a terminal, as text of 100 columns, or as HTML."""

from __future__ import annotations

import html as escaping
from typing import IO

from rich.console import Group
from rich.table import Table
from rich.text import Text

from supalab.measure import printed
from supalab.measure.detective.case import ARTICLE, Account, Case, Cell
from supalab.measure.printed import WIDTH

__all__ = ["html", "notes", "show", "text"]

TICK, CROSS = "✓", "✕"
CELL = "text-align:left;padding:4px 10px;border-top:1px solid #d5dae0"
SEEN_BY = (
    "At once: the arm's limit, and how many of it were ever used, as the client has it, since over a distance the lab "
    "counts a request only while it serves it. Response: from slot to answer, without the wait for a slot."
)


def show(case: Case, file: IO[str] | None = None) -> None:
    """Print the case: with colours to a terminal, as plain text of ``WIDTH`` columns to a pipe or a file."""
    printed.show(_all(case), file)


def text(case: Case, width: int = WIDTH) -> str:
    """Return the case as plain text, no line longer than ``width``."""
    return printed.plain(_all(case), width)


def notes(case: Case) -> list[str]:
    """Return the sentences under the matrix: the solution, and how it was measured."""
    said = [case.solution, SEEN_BY]
    if case.quick:
        by = ", ".join(f"{name} x {scale:g}" for name, scale in case.scale.items() if scale != 1)
        said.append(f"Quick: fewer requests and shorter times; figures are scaled back ({by}), so trust ratios.")
    return said


def _all(case: Case) -> Group:
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", expand=True)
    grid.add_column("suspect", ratio=1)
    grid.add_column("", width=6)
    for figure in ARTICLE:
        grid.add_column(figure, width=13, no_wrap=True)
    grid.add_row("the article", "before", *(_stated(case, figure, "before") for figure in ARTICLE))
    grid.add_row("", "after", *(_stated(case, figure, "after") for figure in ARTICLE))
    for account in case.accounts:
        share = f"{account.explained}/{len(account.cells)}  "
        shown = (share, "dim" if account.missed else "bold blue")
        title = Text.assemble((f"\n{account.suspect.letter}  ", "bold"), shown, account.suspect.story)
        grid.add_row(title, "\nbefore\nafter", *(_pair(account, figure) for figure in ARTICLE))
    return Group(grid, Text(""), *(Text(f"{note}\n") for note in notes(case)))


def _pair(account: Account, figure: str) -> Text:
    said = Text()
    for cell in account.cells:
        if cell.figure == figure:
            said.append(f"\n{TICK if cell.fits else CROSS} {cell.text}", "bold blue" if cell.fits else "magenta")
    return said


def _stated(case: Case, figure: str, when: str) -> str:
    cells = case.accounts[0].cells if case.accounts else ()
    return next((f"  {cell.stated}" for cell in cells if (cell.figure, cell.when) == (figure, when)), "")


def html(case: Case) -> str:
    """Return the case as an HTML table, for a notebook in either theme."""
    titles = [f"{figure} {when}" for when in ("before", "after") for figure in ARTICLE]
    head = "".join(f'<th style="{CELL}">{title}</th>' for title in ("suspect", *titles))
    stated = [_safe(cell.stated) for cell in case.accounts[0].cells] if case.accounts else []
    rows = ["".join(f'<td style="{CELL}"><b>{words}</b></td>' for words in ("the article", *stated))]
    rows += ["".join(f'<td style="{CELL}">{words}</td>' for words in _words(account)) for account in case.accounts]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    below = "".join(f"<p>{_safe(note)}</p>" for note in notes(case))
    style = "background:white;color:#1b2733;border-collapse:collapse"
    return f'<table style="{style}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}'


def _words(account: Account) -> list[str]:
    return [f"<b>{account.suspect.letter}</b> {_safe(account.suspect.story)}", *map(_marked, account.cells)]


def _marked(cell: Cell) -> str:
    shade, mark = ("#1d4f91", TICK) if cell.fits else ("#8b2252", CROSS)
    return f'<b style="color:{shade}">{mark}</b>&nbsp;{_safe(cell.text)}'


def _safe(words: str) -> str:
    return escaping.escape(words)
