"""Broken constraints: what SQLite reports and the rows at hand flow in, PostgreSQL's error flows out.

SQLite says little (``UNIQUE constraint failed: contests.id``); PostgreSQL names the constraint and shows the key.
"""

# ruff: noqa: S608  (SQL is built here: names come from the schema and are quoted, values are always bound)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supalab.lab.dialect.refusal import Refusal, pg_refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from supalab.lab.store.database import Store
    from supalab.lab.store.operators import Piece
    from supalab.lab.store.schema import ForeignKey, Table, Unique
    from supalab.lab.types.pgtypes import Value

__all__ = ["check_not_null", "exists", "on_insert", "on_update", "still_referenced"]

Row = "Mapping[str, Value]"
_SHOWN = 64  # bytes of each value that PostgreSQL shows of a failing row


def exists(store: Store, table: Table, columns: Sequence[str], key: Sequence[Value]) -> bool:
    """Whether a row has these values in these columns; never with a NULL among them."""
    test = " AND ".join(f"{table.columns[name].sql} = ?" for name in columns)
    return bool(store.rows(f"SELECT 1 FROM {table.sql} WHERE {test} LIMIT 1", tuple(key)))


def _failing_row(table: Table, row: Mapping[str, Value]) -> str:
    texts = [_clipped(column.type.text(row.get(column.name))) for column in table.columns.values()]
    return f"Failing row contains ({', '.join(texts)})."


def _clipped(text: str) -> str:
    data = text.encode()
    return text if len(data) <= _SHOWN else data[:_SHOWN].decode(errors="ignore") + "..."


def check_not_null(table: Table, row: Mapping[str, Value]) -> None:
    """Raise 23502 for the first column that must not be NULL and is."""
    for column in table.columns.values():
        if row.get(column.name) is None and not column.nullable and not column.generated:
            message = f'null value in column "{column.name}" of relation "{table.name}" violates not-null constraint'
            raise pg_refusal("23502", message, details=_failing_row(table, row))


def _key_text(table: Table, columns: Sequence[str], key: Sequence[Value]) -> str:
    shown = ", ".join(table.columns[name].type.text(value) for name, value in zip(columns, key, strict=True))
    return f"Key ({', '.join(columns)})=({shown})"


def _duplicate(table: Table, unique: Unique, row: Mapping[str, Value]) -> Refusal:
    message = f'duplicate key value violates unique constraint "{unique.name}"'
    key = [row.get(name) for name in unique.columns]
    return pg_refusal("23505", message, details=f"{_key_text(table, unique.columns, key)} already exists.")


def _reported_unique(table: Table, report: str) -> Unique | None:
    names = [part.rpartition(".")[2] for part in report.partition(": ")[2].split(", ")]
    return table.unique_over(tuple(names))


def _unique(store: Store, table: Table, row: Mapping[str, Value], report: str, *, look: bool) -> Refusal:
    """Return 23505: for a plain insert the first broken constraint, as PostgreSQL looks at them in order."""
    for unique in table.uniques if look else ():
        key = [row.get(name) for name in unique.columns]
        if None not in key and exists(store, table, unique.columns, key):
            return _duplicate(table, unique, row)
    found = _reported_unique(table, report)
    if found is None:
        return pg_refusal("23505", f'duplicate key value violates unique constraint on "{table.name}"')
    return _duplicate(table, found, row)


def _check(table: Table, row: Mapping[str, Value], report: str) -> Refusal:
    name = table.check_name(report.partition(": ")[2])
    message = f'new row for relation "{table.name}" violates check constraint "{name}"'
    return pg_refusal("23514", message, details=_failing_row(table, row))


def _not_present(store: Store, table: Table, row: Mapping[str, Value]) -> Refusal | None:
    for key in table.foreign_keys:
        values = [row.get(name) for name in key.columns]
        target = store.schema.tables.get(key.target)
        if None in values or (target and exists(store, target, key.target_columns, values)):
            continue
        message = f'insert or update on table "{table.name}" violates foreign key constraint "{key.name}"'
        details = f'{_key_text(table, key.columns, values)} is not present in table "{key.target}".'
        return pg_refusal("23503", message, details=details)
    return None


def on_insert(store: Store, table: Table, row: Mapping[str, Value], report: str, *, plain: bool) -> Refusal:
    """Return the error for a row that could not be inserted; ``plain``: there was no ON CONFLICT."""
    if report.startswith("CHECK"):
        return _check(table, row, report)
    if report.startswith("UNIQUE"):
        return _unique(store, table, row, report, look=plain)
    return _not_present(store, table, row) or pg_refusal("23503", f'insert on table "{table.name}" was refused')


def on_update(store: Store, table: Table, new: Mapping[str, Value], filters: Piece, report: str) -> Refusal:
    """Return the error for an update that could not be done; the first matching row stands for all."""
    old: list[tuple[Any, ...]] = store.rows(f"SELECT * FROM {table.sql}{filters[0]} LIMIT 1", filters[1])
    row = {**dict(zip(table.columns, old[0], strict=False)), **new} if old else dict(new)
    if report.startswith("CHECK"):
        return _check(table, row, report)
    if report.startswith("UNIQUE"):
        return _unique(store, table, row, report, look=False)
    return _not_present(store, table, row) or still_referenced(store, table, filters)


def still_referenced(store: Store, table: Table, filters: Piece) -> Refusal:
    """Return 23503 for the first foreign key that still refers to one of the rows that fit ``filters``."""
    for key in store.schema.referring_to(table.name):
        found = _referred(store, table, key, filters)
        if found:
            message = (
                f'update or delete on table "{table.name}" violates foreign key constraint "{key.name}"'
                f' on table "{key.table}"'
            )
            details = f'{_key_text(table, key.target_columns, found)} is still referenced from table "{key.table}".'
            return pg_refusal("23503", message, details=details)
    return pg_refusal("23503", f'update or delete on table "{table.name}" violates a foreign key constraint')


def _referred(store: Store, table: Table, key: ForeignKey, filters: Piece) -> tuple[Any, ...]:
    child = store.schema.tables[key.table]
    own = ", ".join(f"{table.sql}.{table.columns[name].sql}" for name in key.target_columns)
    pairs = zip(key.columns, key.target_columns, strict=True)
    test = " AND ".join(f"c.{child.columns[mine].sql} = {table.sql}.{table.columns[its].sql}" for mine, its in pairs)
    sql = f"SELECT {own} FROM {table.sql}{filters[0]} AND EXISTS (SELECT 1 FROM {child.sql} AS c WHERE {test}) LIMIT 1"
    rows = store.rows(sql, filters[1])
    return rows[0] if rows else ()
