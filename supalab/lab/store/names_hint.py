"""Which name was meant: a wrong name and the right ones flow in, PostgreSQL's or PostgREST's hint flows out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supalab.lab.dialect.refusal import Refusal, pg_refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from supalab.lab.store.schema import Table

__all__ = ["closest", "missing_column", "missing_table"]

_FURTHEST = 3  # PostgreSQL's own limit for a hint at a column, besides half the name's length
_LIKENESS = 0.75  # PostgREST's limit for a hint at a table or function


def _distance(left: str, right: str) -> int:
    """Return how many letters must be changed, added or dropped to make one name the other."""
    row = list(range(len(right) + 1))
    for place, char in enumerate(left, 1):
        diagonal, row[0] = row[0], place
        for column, other in enumerate(right, 1):
            diagonal, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, diagonal + (char != other)),
            )
    return row[-1]


def closest(name: str, names: Iterable[str], least: float = _LIKENESS) -> str | None:
    """Return the name most like ``name`` (1 is the same, 0 has nothing in common), if it is like enough."""
    wanted = name.lower()[:100]
    scored = [(1 - _distance(wanted, own.lower()) / max(len(wanted), len(own), 1), own) for own in names]
    score, best = max(scored, default=(0.0, ""))
    return best if score >= least else None


def missing_column(table: Table, name: str, known: Iterable[str] | None = None) -> Refusal:
    """Return 42703, with PostgreSQL's hint when one or two columns have nearly that name; ``known``: of only these."""
    short = name[:100]
    distances = sorted((_distance(short, own), own) for own in known or table.columns)
    near = [own for size, own in distances if size == distances[0][0] and size <= min(_FURTHEST, len(short) // 2)]
    hints = " or the column ".join(f'"{table.name}.{own}"' for own in near[:2])
    hint = f"Perhaps you meant to reference the column {hints}." if near and len(near) <= 2 else None
    return pg_refusal("42703", f"column {table.name}.{name} does not exist", hint=hint)


def missing_table(name: str, names: Iterable[str]) -> Refusal:
    """Return PGRST205, with PostgREST's hint when a table has nearly that name."""
    meant = closest(name, names)
    hint = f"Perhaps you meant the table 'public.{meant}'" if meant else None
    message = f"Could not find the table 'public.{name}' in the schema cache"
    return Refusal(404, "PGRST205", message, hint=hint)
