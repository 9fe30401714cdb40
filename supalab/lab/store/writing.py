"""Writes: a table and a payload flow in, the rows that were inserted, updated or deleted flow out.

Each function runs inside ``Store.writing``: what it raises rolls everything back. Rows go in and out in the stored
form of their types, one value per column of the table.
"""

# ruff: noqa: S608  (SQL is built here: names come from the schema and are quoted, values are always bound)

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from supalab.lab.dialect.refusal import Refusal, pg_refusal
from supalab.lab.store import violations
from supalab.lab.store.names_hint import missing_column
from supalab.lab.store.operators import where
from supalab.lab.types.pgjson import jsonb_form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supalab.lab.dialect.payload import Payload
    from supalab.lab.dialect.query import Tree
    from supalab.lab.store.database import Store
    from supalab.lab.store.schema import Column, Table
    from supalab.lab.types.pgtypes import Value

__all__ = ["Conflict", "count_rows", "delete_rows", "insert_rows", "typed_rows", "update_rows"]

Row = tuple[Any, ...]
NewRow = dict[str, "Value"]


class Conflict:
    """What to do with a row whose ``columns`` are already there: ``merge`` it into that row, or leave it out."""

    def __init__(self, table: Table, columns: tuple[str, ...], *, merge: bool) -> None:
        for name in columns:
            if name not in table.columns:
                raise pg_refusal("42703", f'column "{name}" does not exist')
        if table.unique_over(columns) is None:
            message = "there is no unique or exclusion constraint matching the ON CONFLICT specification"
            raise pg_refusal("42P10", message)
        self.columns, self.merge = columns, merge
        self._seen: set[tuple[Value, ...]] = set()

    def clause(self, table: Table, names: Sequence[str]) -> str:
        """Return the ON CONFLICT clause of an INSERT of these columns."""
        target = ", ".join(table.columns[name].sql for name in self.columns)
        if not (self.merge and names):
            return f" ON CONFLICT ({target}) DO NOTHING"
        sets = ", ".join(f"{sql} = excluded.{sql}" for sql in (table.columns[name].sql for name in names))
        return f" ON CONFLICT ({target}) DO UPDATE SET {sets}"

    def finds(self, store: Store, table: Table, row: NewRow) -> bool:
        """Whether the row that ``row`` is in conflict with exists; raises 21000 when this write already touched it."""
        key = tuple(row.get(name) for name in self.columns)
        if None in key:
            return False
        if self.merge and key in self._seen:
            hint = (
                "Ensure that no rows proposed for insertion within the same command have duplicate constrained values."
            )
            message = "ON CONFLICT DO UPDATE command cannot affect row a second time"
            raise pg_refusal("21000", message, hint=hint)
        self._seen.add(key)
        return violations.exists(store, table, self.columns, key)


def typed_rows(store: Store, table: Table, payload: Payload, *, use_defaults: bool) -> list[NewRow]:
    """Return the payload with every value read by its column's type; ``use_defaults``: what is missing is a default.

    Raises PGRST204 for a name that is no column, and the errors of the types.
    """
    for name in payload.columns:
        if name not in table.columns:
            message = f"Could not find the '{name}' column of '{table.name}' in the schema cache"
            raise Refusal(400, "PGRST204", message)
    columns = [table.columns[name] for name in payload.columns]
    rows: list[NewRow] = []
    for given in payload.rows:
        row: NewRow = {}
        for column in columns:
            missing = use_defaults and column.name not in given
            value = given.get(column.name)
            if missing:
                row[column.name] = _default(store, table, column)
            else:  # to fill in defaults, PostgREST turns the body into jsonb
                row[column.name] = column.type.from_json(jsonb_form(value) if use_defaults else value)
        rows.append(row)
    return rows


def _default(store: Store, table: Table, column: Column) -> Value:
    if column.identity:
        return int(store.rows(f"SELECT coalesce(max({column.sql}), 0) + 1 FROM {table.sql}")[0][0])
    if column.default is None:
        return None
    value = store.rows(f"SELECT {column.default}")[0][0]  # the seed's own words, not a request's
    return None if value is None else column.type.read(str(value))


def insert_rows(
    store: Store, table: Table, names: Sequence[str], rows: Sequence[NewRow], conflict: Conflict | None
) -> tuple[list[Row], int]:
    """Insert rows; return those that were inserted or merged, and how many of them are new."""
    _check_writable(table, names, "insert into")
    written: list[Row] = []
    new = 0
    for row in rows:
        known = conflict is not None and conflict.finds(store, table, row)
        found = _insert(store, table, names, row, conflict)
        new += bool(found) and not known
        written += found
    return written, new


def _insert(store: Store, table: Table, names: Sequence[str], row: NewRow, conflict: Conflict | None) -> list[Row]:
    full = {
        column.name: row[column.name] if column.name in row else _default(store, table, column)
        for column in table.columns.values()
        if not column.generated
    }
    violations.check_not_null(table, full)
    columns = ", ".join(table.columns[name].sql for name in full)
    clause = conflict.clause(table, names) if conflict else ""
    marks = ", ".join("?" * len(full))
    sql = f"INSERT INTO {table.sql} ({columns}) VALUES ({marks}){clause} RETURNING {_all(table)}"
    try:
        return store.rows(sql, tuple(full.values()))
    except sqlite3.IntegrityError as error:
        raise violations.on_insert(store, table, full, str(error), plain=conflict is None) from None


def update_rows(store: Store, table: Table, row: NewRow, trees: Sequence[Tree]) -> list[Row]:
    """Set the values of ``row`` in all rows that fit the conditions; return those rows as they are now."""
    _check_writable(table, tuple(row), "update")
    filters, values = where(table, trees)
    if not filters:
        raise pg_refusal("21000", "UPDATE requires a WHERE clause")
    if any(value is None and not table.columns[name].nullable for name, value in row.items()):
        for old in store.rows(f"SELECT {_all(table)} FROM {table.sql}{filters} LIMIT 1", values):
            violations.check_not_null(table, {**dict(zip(table.columns, old, strict=True)), **row})
        return []
    sets = ", ".join(f"{table.columns[name].sql} = ?" for name in row)
    sql = f"UPDATE {table.sql} SET {sets}{filters} RETURNING {_all(table)}"
    try:
        return store.rows(sql, (*row.values(), *values))
    except sqlite3.IntegrityError as error:
        raise violations.on_update(store, table, row, (filters, values), str(error)) from None


def count_rows(store: Store, table: Table, trees: Sequence[Tree]) -> int:
    """Return how many rows fit the conditions."""
    filters, values = where(table, trees)
    return int(store.rows(f"SELECT count(*) FROM {table.sql}{filters}", values)[0][0])


def delete_rows(store: Store, table: Table, trees: Sequence[Tree]) -> list[Row]:
    """Delete all rows that fit the conditions; return them as they were."""
    _check_writable(table, (), "delete from")
    filters, values = where(table, trees)
    if not filters:
        raise pg_refusal("21000", "DELETE requires a WHERE clause")
    try:
        return store.rows(f"DELETE FROM {table.sql}{filters} RETURNING {_all(table)}", values)
    except sqlite3.IntegrityError:
        raise violations.still_referenced(store, table, (filters, values)) from None


def _all(table: Table) -> str:
    return ", ".join(column.sql for column in table.columns.values())


def _check_writable(table: Table, names: Sequence[str], verb: str) -> None:
    if not table.writable:
        raise pg_refusal("55000", f'cannot {verb} view "{table.name}"')
    for name in names:
        if name not in table.columns:
            raise missing_column(table, name)
        if table.columns[name].generated:
            message = f'cannot insert a non-DEFAULT value into column "{name}"'
            if verb == "update":
                message = f'column "{name}" can only be updated to DEFAULT'
            raise pg_refusal("428C9", message, details=f'Column "{name}" is a generated column.')
