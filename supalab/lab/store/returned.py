"""What a write gives back: the stored rows it touched and the query flow in, objects for the answer flow out.

PostgREST selects from the written rows as from a table; here that is done on the rows at hand.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from supalab.lab.dialect.query import Field, SelectField
from supalab.lab.store.functions import follow_path, json_order
from supalab.lab.store.names_hint import missing_column
from supalab.lab.store.operators import field_sql
from supalab.lab.store.outputs import outputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supalab.lab.dialect.query import OrderTerm, Query
    from supalab.lab.store.outputs import Output
    from supalab.lab.store.schema import Table

__all__ = ["check_order", "location", "returned_outputs", "shown_values", "sorted_rows"]

_MISSING = object()


def returned_outputs(table: Table, query: Query) -> tuple[Output, ...]:
    """Return what ``select`` asks of the written rows; raises what it would raise of a GET.

    An empty ``select`` gives the primary key: PostgREST has the database return nothing else.
    """
    fields = [item for item in query.select if isinstance(item, SelectField)]
    if not query.select:
        fields = [SelectField(Field(name)) for name in table.primary_key]
    return outputs(table, fields)


def check_order(table: Table, found: Sequence[Output], query: Query) -> None:
    """Raise 42703 for a sort key that is not among the columns given back (the primary key always is)."""
    known = {output.field.name for output in found} | set(table.primary_key)
    for term in query.sort:
        if term.field.name not in known:
            raise missing_column(table, term.field.name, known)


def sorted_rows(table: Table, query: Query, rows: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return whole stored rows by column name, sorted as asked."""
    dicts = [dict(zip(table.columns, row, strict=True)) for row in rows]
    for term in reversed(query.sort):
        dicts = _sorted_by(table, dicts, term)
    return dicts


def shown_values(table: Table, found: Sequence[Output], rows: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return the stored values of the columns asked for, not yet cast nor in their JSON form."""
    return [tuple(_at(table, row, output.field) for output in found) for row in rows]


def _at(table: Table, row: dict[str, Any], field: Field) -> Any:
    value = row[field.name]
    if not field.path or value is None:
        return value
    stored_json = table.columns[field.name].type.family in ("json", "jsonb")
    found = follow_path(json.loads(str(value)) if stored_json else value, field.path, _MISSING)
    if found is _MISSING or field.path[-1].as_text:
        return None if found is _MISSING else found
    return json.dumps(found, ensure_ascii=False)


def _sorted_by(table: Table, rows: list[dict[str, Any]], term: OrderTerm) -> list[dict[str, Any]]:
    _, kind = field_sql(table, term.field)
    keys = [_at(table, row, term.field) for row in rows]
    with_keys = list(zip(map(json_order, keys) if kind.family == "jsonb" else keys, rows, strict=True))
    there = [pair for pair in with_keys if pair[0] is not None]
    nulls = [row for key, row in with_keys if key is None]
    there.sort(key=lambda pair: pair[0], reverse=term.descending)
    nulls_first = term.descending if term.nulls_first is None else term.nulls_first
    found = [row for _, row in there]
    return nulls + found if nulls_first else found + nulls


def location(table: Table, rows: Sequence[tuple[Any, ...]]) -> tuple[tuple[str, str], ...]:
    """Return the ``Location`` header of the one row that was inserted; none for more rows or without a primary key."""
    if len(rows) != 1 or not table.primary_key:
        return ()
    row = dict(zip(table.columns, rows[0], strict=True))
    parts = []
    for name in table.primary_key:
        value = row[name]
        test = "is.null" if value is None else f"eq.{table.columns[name].type.text(value)}"
        parts.append(f"{quote(name, safe='-_.~')}={quote(test, safe='-_.~')}")
    return (("Location", f"/{quote(table.name)}?{'&'.join(parts)}"),)
