"""Tables as people read them: anything that ``rich`` can draw goes in, a coloured or a plain table comes out."""

from __future__ import annotations

import io
import sys
from typing import IO

from rich.console import Console, RenderableType

__all__ = ["WIDTH", "plain", "show"]

#: Columns of a table in a file, and at least so many in a terminal: cut numbers would be worse than wrapped lines.
WIDTH = 100


def show(
    what: RenderableType, file: IO[str] | None = None, *, at_least: int = WIDTH, at_most: int | None = None
) -> None:
    """Print with colours to a terminal (so many columns), as plain text of ``WIDTH`` columns to a pipe or a file."""
    console = Console(file=file or sys.stdout)
    if not console.is_terminal:
        console.file.write(plain(what))
        return
    width = max(console.width, at_least)
    Console(file=console.file, width=width if at_most is None else min(width, at_most)).print(what)


def plain(what: RenderableType, width: int = WIDTH) -> str:
    """Return it as plain text, no line longer than ``width``, none with blanks at its end.

    The same everywhere: in a notebook's kernel ``rich`` would send it to the cell in place of returning it.
    """
    console = Console(
        file=io.StringIO(), force_jupyter=False, width=width, color_system=None, legacy_windows=False, highlight=False
    )
    console.print(what)
    written = console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO from above
    return "\n".join(line.rstrip() for line in written.splitlines()) + "\n"
