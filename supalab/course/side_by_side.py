"""Show two versions of a class side by side as a two-column diff.

The code is read from the files that run, so it is always up to date. Changes are marked by signs, not by colour alone.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from supalab.errors import SettingsError
from supalab.report import table
from supalab.report.table import Cell, Column

__all__ = ["Difference", "difference"]

#: (mark, line) on the left and on the right; a missing line is empty.
Side = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """The lines of two versions of some code; displays itself in a notebook."""

    titles: tuple[str, str]
    old: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def rows(self) -> tuple[tuple[Side, Side], ...]:
        """Put lines side by side; ``-`` marks removed lines and ``+`` new ones."""
        return tuple(_rows(self.old, self.new))

    def __str__(self) -> str:
        return "\n".join(difflib.unified_diff(self.old, self.new, *self.titles, lineterm="", n=len(self.old)))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": str(self)}

    def html(self) -> str:
        """Return two columns that inherit the theme's colours."""
        columns = [Column(title) for name in self.titles for title in ("", name)]
        return table.html(table.Table(columns, [[*_cells(left), *_cells(right)] for left, right in self.rows]))


def _cells(side: Side) -> tuple[str, Cell]:
    mark, line = side
    return mark if line.strip() else "", Cell(line or "\N{NO-BREAK SPACE}", "changed" if mark else "code")


def _rows(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[Side, Side]]:
    for tag, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        left, right = old[i:j], new[k:m]
        for at in range(max(len(left), len(right))):
            yield (
                ("" if tag == "equal" or at >= len(left) else "-", left[at] if at < len(left) else ""),
                ("" if tag == "equal" or at >= len(right) else "+", right[at] if at < len(right) else ""),
            )


def difference(old: type, new: type, *methods: str) -> Difference:
    """Return how two classes differ in these methods, as their files have them; a method may be in one alone.

    Raises SettingsError for a method that neither class defines itself.
    """
    for name in methods:
        if name not in vars(old) and name not in vars(new):
            raise SettingsError(f"neither {old.__name__} nor {new.__name__} defines {name!r}: name a method of theirs")
    return Difference((_title(old), _title(new)), _lines(old, methods), _lines(new, methods))


def _title(one: type) -> str:
    return f"{one.__name__} ({one.__module__.replace('.', '/')}.py)"


def _lines(one: type, methods: Sequence[str]) -> tuple[str, ...]:
    source = textwrap.dedent(inspect.getsource(one))
    body = ast.parse(source).body[0]
    found = {
        node.name: ast.get_source_segment(source, node, padded=True) or ""
        for node in getattr(body, "body", [])
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in methods
    }
    blocks = [textwrap.dedent(found[name]) for name in methods if name in found]
    return tuple("\n\n".join(blocks).splitlines())
