"""Show tables: with colours in a terminal, as plain text in a file, as HTML at the end of a notebook's cell.

::

    Table(["arm", "total s"], [["fake-3", "5.22"]], headline="One arm", notes=["A sentence below."])
"""

from __future__ import annotations

import html as escaping
import io
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from rich import table as rich_table
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

#: Width of a table in a file, and the smallest width in a terminal: cut numbers would be worse than wrapped lines.
WIDTH, NARROW, UNLIMITED = 100, 80, 10_000
MONO = "white-space:pre-wrap;font-family:monospace"
#: A style's look in a terminal, and whether a notebook shows it in bold; symbols and words always say the same.
STYLES = {
    "bold": ("bold", True, ""),
    "dim": ("dim", False, "font-size:smaller"),
    "good": ("bold green", True, ""),
    "other": ("bold yellow", True, ""),
    "bad": ("bold red", True, ""),
    "code": ("", False, MONO),
    "changed": ("bold", True, MONO),
}
LEFT = "text-align:left;vertical-align:top;padding:3px 10px"
NO_BREAK = ";white-space:nowrap"


@dataclass(frozen=True, slots=True)
class Cell:
    """Text in one of the ``STYLES``, or in none; ``indent`` in letters."""

    text: str
    style: str = ""
    indent: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """A column that differs from the default (words in the first, numbers in the others): ``words`` are left-aligned.

    ``width`` in letters; a ``wide`` column takes the remaining width and wraps.
    """

    title: str
    words: bool = True
    width: int | None = None
    wide: bool = False


Line: TypeAlias = "str | Cell"
#: The content of one cell of a table: one line or several.
Content: TypeAlias = "Line | Sequence[Cell]"


@dataclass(frozen=True, slots=True)
class Table:
    """One table: ``headline`` and ``about`` above it, ``notes`` below; a note that begins with ``- `` is a list item.

    The first column names the row. A row that is shorter than the table is a heading for the next rows, or continues
    the row above. A table without rows shows its ``empty`` sentence.
    """

    columns: Sequence[str | Column]
    rows: Sequence[Sequence[Content]]
    headline: str = ""
    about: Sequence[Line] = ()
    notes: Sequence[Line] = ()
    empty: str = ""

    @classmethod
    def of(cls, rows: pd.DataFrame, columns: Mapping[str, str | Callable[[Any], Content]], **words: Any) -> Table:
        """Make a table of a DataFrame: ``columns`` are titles, with a form such as ``{cpu_ms:.2f}`` or a function.

        A function gets the row. A value that a form names but that was not measured stays blank. ``words``: headline,
        notes, …
        """
        made = [[_cell(form, row) for form in columns.values()] for _, row in rows.iterrows()]
        return cls(list(columns), made, **words)

    def __str__(self) -> str:
        return text(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": html(self), "text/plain": text(self)}


def _cell(form: str | Callable[[Any], Content], row: pd.Series[Any]) -> Content:
    if callable(form):
        return form(row)
    named = [name for _, name, _, _ in Formatter().parse(form) if name]
    return "" if row[named].isna().any() else form.format(**row)


class Tables(tuple[Table, ...]):
    """Several tables that belong together; displayed in a notebook like a single table."""

    __str__, _repr_mimebundle_ = Table.__str__, Table._repr_mimebundle_


def show(tables: Table | Iterable[Table], file: IO[str] | None = None, *, at_most: int | None = None) -> None:
    """Print with colours to a terminal (at most ``at_most`` wide), or as plain text of ``WIDTH`` columns elsewhere."""
    console = Console(file=file or sys.stdout)
    if not console.is_terminal:
        console.file.write(text(tables))
        return
    width = max(console.width, NARROW)
    _print(tables, Console(file=console.file, width=width if at_most is None else min(width, at_most)))


def text(tables: Table | Iterable[Table], width: int = WIDTH) -> str:
    """Return plain text with lines of at most ``width`` letters; the same in a notebook's kernel as in a terminal."""
    out = io.StringIO()
    plain: dict[str, Any] = {"color_system": None, "legacy_windows": False, "highlight": False}
    _print(tables, Console(file=out, force_jupyter=False, width=width, **plain))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"


def html(tables: Table | Iterable[Table]) -> str:
    """Return HTML that takes the notebook's own colours, so that it is readable in a light and in a dark theme."""
    return "".join(_as_html(one) for one in _several(tables))


def _several(tables: Table | Iterable[Table]) -> list[Table]:
    return [tables] if isinstance(tables, Table) else list(tables)


def _print(tables: Table | Iterable[Table], console: Console) -> None:
    """Print the tables, with an empty line between two parts."""
    for one in _several(tables):
        for part in _parts(one, console):
            console.print(part)
            console.print()


def _above(one: Table) -> list[Line]:
    return [*([Cell(one.headline, "bold")] if one.headline else []), *one.about]


def _parts(one: Table, console: Console) -> list[RenderableType]:
    if not one.rows and one.empty:
        return [Text(one.empty)]
    above, below = ([Group(*map(_line, lines))] if lines else [] for lines in (_above(one), one.notes))
    return [*above, *([_grid(one, console)] if one.columns else []), *below]


def _line(line: Line) -> RenderableType:
    cell = Cell(line, "dim") if isinstance(line, str) else line
    if not cell.text.startswith("- "):
        return _styled(cell)
    item = rich_table.Table.grid(padding=(0, 1, 0, 0))
    item.add_row("-", _styled(Cell(cell.text[2:])))
    return item


def _styled(cell: Line) -> RenderableType:
    if isinstance(cell, str):
        return Text(cell)
    words = Text(cell.text, STYLES[cell.style][0] if cell.style else "")
    return Padding(words, (0, 0, 0, cell.indent)) if cell.indent else words


def _content(found: Content) -> RenderableType:
    return _styled(found) if isinstance(found, (str, Cell)) else Group(*map(_styled, found))


def _columns(one: Table) -> list[Column]:
    return [
        named if isinstance(named, Column) else Column(named, words=not place)
        for place, named in enumerate(one.columns)
    ]


def _grid(one: Table, console: Console) -> rich_table.Table:
    columns = _columns(one)
    wide = any(column.wide for column in columns)
    grid = rich_table.Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", expand=wide)
    deep = max(column.title.count("\n") for column in columns)
    for column in columns:
        grid.add_column(
            "\n" * (deep - column.title.count("\n")) + column.title,
            justify="left" if column.words else "right",
            width=column.width,
            ratio=1 if column.wide else None,
            no_wrap=not (column.wide or column.width),
        )
    for row in one.rows:
        grid.add_row(*map(_content, row))
    # The columns move closer together if otherwise one would be cut.
    if wide or console.measure(grid, options=console.options.update(width=UNLIMITED)).maximum > console.width:
        grid.padding = (0, 1, 0, 0)
    return grid


def _as_html(one: Table) -> str:
    if not one.rows and one.empty:
        return f"<p>{escaping.escape(one.empty)}</p>"
    above, below = ("".join(f"<p>{_html_line(line)}</p>" for line in lines) for lines in (_above(one), one.notes))
    return above + (_html_table(one) if one.columns else "") + below


def _html_table(one: Table) -> str:
    titles = [escaping.escape(column.title.strip()).replace("\n", "<br>") for column in _columns(one)]
    head = "".join(f'<th style="{LEFT}">{title}</th>' for title in titles)
    body = "".join(f"<tr>{_html_row(row, len(titles))}</tr>" for row in one.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_row(row: Sequence[Content], columns: int) -> str:
    """Return the cells of a row; the last cell of a short row fills the rest of it."""
    spans = [""] * (len(row) - 1) + [f' colspan="{columns - len(row) + 1}"' if len(row) < columns else ""]
    cells = zip(spans, map(_html_content, row), strict=True)
    # A name such as article-10 stays in one piece.
    return "".join(f'<td{span} style="{LEFT}{"" if " " in cell else NO_BREAK}">{cell}</td>' for span, cell in cells)


def _html_content(found: Content) -> str:
    return _html_line(found) if isinstance(found, (str, Cell)) else "<br>".join(map(_html_line, found))


def _html_line(line: Line) -> str:
    cell = Cell(line) if isinstance(line, str) else line
    words = escaping.escape(cell.text.removeprefix("- ")).replace("\n", "<br>")
    _, bold, css = STYLES[cell.style] if cell.style else ("", False, "")
    words = f"<strong>{words}</strong>" if bold else words
    return f'<span style="{css}">{words}</span>' if css else words
