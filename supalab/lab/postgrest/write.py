"""Insert, update and delete rows: values are checked by type, violated constraints give PostgreSQL's errors."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from supalab.lab.postgrest.http import Asked
from supalab.lab.postgrest.json_text import JsonText
from supalab.lab.postgrest.query import Filter, Query
from supalab.lab.postgrest.refusal import Refusal, pg
from supalab.lab.postgrest.schema import Column, Table, check_name, q
from supalab.lab.postgrest.sql import Sql
from supalab.lab.postgrest.store import Store
from supalab.lab.postgrest.types import Value, find_type, read_json

__all__ = ["Write", "check_filtered", "write_target"]

_SHOWN = 64  # bytes of each value that PostgreSQL shows of a failing row
# The SQL word of each method, the kind of trigger that PostgreSQL names, and how its hint calls it.
_VERBS = {
    "POST": ("insert into", "INSERT", "inserting into"),
    "PUT": ("insert into", "INSERT", "inserting into"),
    "PATCH": ("update", "UPDATE", "updating"),
    "DELETE": ("delete from", "DELETE", "deleting from"),
}
Row = dict[str, Value]


@dataclass(frozen=True)
class Target:
    """What a request writes to: the table that holds the rows, and its columns by the names that the request uses.

    For a view, ``rows`` is SQL for its rows with their ids, and ``every`` the same without its conditions.
    """

    table: Table
    columns: Mapping[str, str]
    rows: str = ""
    every: str = ""


def write_target(store: Store, table: Table, method: str) -> Target:
    """Return what a write to a table or view really writes to; raises 55000 for a view that takes no writes."""
    if table.writable:
        return Target(table, {name: name for name in table.columns})
    view = store.relations.views[table.name]
    if not view.base:
        verb, kind, doing = _VERBS[method]
        raise pg(
            "55000",
            f'cannot {verb} view "{table.name}"',
            "The lab writes to a view of one table that shows the table's primary key."
            if table.base
            else "Views that do not select from a single table or view are not automatically updatable.",
            f"To enable {doing} the view, provide an INSTEAD OF {kind} trigger or an unconditional "
            f"ON {kind} DO INSTEAD rule.",
        )
    columns = {name: column for name, (_, column) in view.origins.items()}
    return Target(store.schema[view.base], columns, view.rows, view.every)


def check_filtered(query: Query, method: str) -> None:
    """Raise 21000 for a write to all rows: Supabase's databases refuse it."""
    if not query.conditions:
        raise pg("21000", f"{'UPDATE' if method == 'PATCH' else method} requires a WHERE clause")


class Write:
    """One request that writes, within ``Store.transaction``.

    ``ids`` are the rows that it wrote (or, before ``delete``, means), ``new`` counts those that were not there before.
    """

    def __init__(self, store: Store, asked: Asked, target: Target) -> None:
        self.store, self.asked, self.target, self.table = store, asked, target, target.table
        self.defaults = asked.prefer.get("missing") == "default"
        self.ids: list[int] = []
        self.new = 0

    def run(self, conditions: Sql) -> None:
        """Insert, merge or update; for a deletion, only find the rows. ``conditions`` select the rows."""
        query, method = self.asked.query, self.asked.method
        found = self._found(conditions) if method in ("PATCH", "DELETE") and query.conditions else []
        if method == "DELETE":
            self.ids = found
        if method == "DELETE" or (method == "PATCH" and not self.asked.columns):
            return  # nothing to set: PostgREST then updates nothing, whatever the filters
        columns = [self._column(name) for name in self.asked.columns]
        rows = [{self.target.columns.get(name, name): value for name, value in row.items()} for row in self.asked.rows]
        if method != "PATCH":
            self._post_or_put(columns, self._typed(rows, columns))
        elif found or not query.conditions:  # PostgreSQL has no use for the values when it finds no row
            for row in self._typed(rows, columns)[:1]:
                check_filtered(query, method)
                self._update(found, row)

    def _column(self, name: str) -> str:
        """Return the column of the table behind a view's column; raises 0A000 for a computed one."""
        if name in self.target.columns:
            return self.target.columns[name]
        details = "View columns that are not columns of their base relation are not updatable."
        verb = _VERBS[self.asked.method][0]
        raise pg("0A000", f'cannot {verb} column "{name}" of view "{self.asked.name}"', details)

    def _found(self, conditions: Sql) -> list[int]:
        """Return the ids of the rows that an update or a deletion means."""
        level = conditions.top
        level.source = self.target.rows or level.source
        sql = f"SELECT {level.alias}.{self.table.row_id} {conditions.origin()}"
        return [number for (number,) in self.store.rows(sql, conditions.values)]

    def _post_or_put(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        query, resolution = self.asked.query, self.asked.prefer.get("resolution")
        conflict = self.table.primary_key
        if self.asked.method == "POST":
            if query.on_conflict is not None:
                conflict = tuple(self.target.columns.get(name, name) for name in query.on_conflict)
            self._insert(columns, rows, conflict if resolution else (), merge=resolution == "merge-duplicates")
            return
        wanted = {tree.field.name: tree.value for tree in query.conditions if isinstance(tree, Filter)}
        for name in wanted:
            if name not in self.asked.columns:
                raise pg("42703", f"column pgrst_body.{name} does not exist")
        key = {self.target.columns[name]: text for name, text in wanted.items()}
        read = {name: self.table.columns[name].type.read(text) for name, text in key.items()}
        self._insert(columns, [row for row in rows if read.items() <= row.items()], conflict, merge=True)
        if len(self.ids) != 1:
            raise Refusal(400, "PGRST115", "Payload values do not match URL in primary key column(s)")

    # Values

    def _typed(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[Row]:
        """Return rows with every value read by its column's type; what is missing is NULL, or its default."""
        return [{name: self._value(self.table.columns[name], row) for name in columns} for row in rows]

    def _value(self, column: Column, row: Mapping[str, Any]) -> Value:
        if not self.defaults:
            return column.type.from_json(row.get(column.name))
        if column.name not in row:
            return self._default(column)
        value = row[column.name]  # to fill in defaults, PostgREST turns the body into jsonb
        if isinstance(value, float):
            value = JsonText(format(Decimal(str(value)), "f"))
        return column.type.from_json(
            JsonText(read_json(find_type("jsonb"), value)) if isinstance(value, JsonText) else value
        )

    def _default(self, column: Column) -> Value:
        if column.identity:
            sql = f"SELECT coalesce(max({q(column.name)}), 0) + 1 FROM {q(self.table.name)}"
            return int(self.store.rows(sql)[0][0])
        if column.default is None:
            return None
        value = self.store.rows(f"SELECT {column.default}")[0][0]  # the seed's own words, not a request's
        return None if value is None else column.type.read(str(value))

    def _check_generated(self, names: Sequence[str], *, update: bool) -> None:
        for name in names:
            if self.table.columns[name].generated:
                insert = f'cannot insert a non-DEFAULT value into column "{name}"'
                message = f'column "{name}" can only be updated to DEFAULT' if update else insert
                raise pg("428C9", message, f'Column "{name}" is a generated column.')

    # The three kinds of writes

    def _insert(
        self, columns: Sequence[str], rows: Sequence[Row], conflict: Sequence[str] = (), *, merge: bool = False
    ) -> None:
        """Insert rows; rows whose ``conflict`` columns exist already are merged or skipped."""
        self._check_generated(columns, update=False)
        self._check_conflict(conflict)
        sets = ", ".join(f"{q(name)} = excluded.{q(name)}" for name in columns)
        then = f"DO UPDATE SET {sets}" if merge and sets else "DO NOTHING"
        clause = f" ON CONFLICT ({', '.join(map(q, conflict))}) {then}" if conflict else ""
        written = [column for column in self.table.columns.values() if not column.generated]
        names, marks = ", ".join(q(column.name) for column in written), ", ".join("?" * len(written))
        into = f"INSERT INTO {q(self.table.name)} ({names}) VALUES ({marks}){clause}"
        if not written:
            into = f"INSERT INTO {q(self.table.name)} DEFAULT VALUES"
        seen: set[tuple[Value, ...]] = set()
        for row in rows:
            full = {c.name: row[c.name] if c.name in row else self._default(c) for c in written}
            self._check_not_null(full)
            key = tuple(full[name] for name in conflict)
            known = bool(conflict) and self._exists(self.table, conflict, key)
            if merge and None not in key and key in seen:
                hint = "Ensure that no rows proposed for insertion within the same command have duplicate constrained "
                message = "ON CONFLICT DO UPDATE command cannot affect row a second time"
                raise pg("21000", message, hint=f"{hint}values.")
            seen.add(key)
            try:
                found = self.store.rows(f"{into} RETURNING {self.table.row_id}", tuple(full.values()))
            except sqlite3.IntegrityError as error:
                raise self._broken(str(error), full, inserted=not conflict) from None
            self.ids += [number for (number,) in found]
            self.new += bool(found) and not known

    def _check_conflict(self, conflict: Sequence[str]) -> None:
        for name in conflict:
            if name not in self.table.columns:
                raise pg("42703", f'column "{name}" does not exist')
        if conflict and not self.table.unique(conflict):
            raise pg("42P10", "there is no unique or exclusion constraint matching the ON CONFLICT specification")

    def _update(self, ids: Sequence[int], row: Row) -> None:
        """Set the values of ``row`` in the rows with these ids."""
        self._check_generated(list(row), update=True)
        listed, among = json.dumps(ids), f"{self.table.row_id} IN (SELECT value FROM json_each(?))"
        for old in self.store.rows(f"SELECT * FROM {q(self.table.name)} WHERE {among} LIMIT 1", (listed,)):
            full = {**dict(zip(self.table.columns, old, strict=True)), **row}
            self._check_not_null(full)
            sets = ", ".join(f"{q(name)} = ?" for name in row)
            sql = f"UPDATE {q(self.table.name)} SET {sets} WHERE {among} RETURNING {self.table.row_id}"
            try:
                self.ids = [number for (number,) in self.store.rows(sql, (*row.values(), listed))]
            except sqlite3.IntegrityError as error:
                raise self._broken(str(error), full, ids=ids) from None

    def delete(self) -> None:
        """Delete the rows that were found."""
        among = f"{self.table.row_id} IN (SELECT value FROM json_each(?))"
        try:
            self.store.rows(f"DELETE FROM {q(self.table.name)} WHERE {among}", (json.dumps(self.ids),))
        except sqlite3.IntegrityError:
            raise self._still_referenced(self.ids) from None

    # Violated constraints: SQLite says little, PostgreSQL names the constraint and shows the key

    def _exists(self, table: Table, columns: Sequence[str], key: Sequence[Value]) -> bool:
        tests = " AND ".join(f"{q(name)} = ?" for name in columns)
        return None not in key and bool(self.store.rows(f"SELECT 1 FROM {q(table.name)} WHERE {tests}", tuple(key)))

    def _row(self, row: Row) -> str:
        texts = [column.type.text(row.get(column.name)).encode() for column in self.table.columns.values()]
        shown = [
            text.decode() if len(text) <= _SHOWN else text[:_SHOWN].decode(errors="ignore") + "..." for text in texts
        ]
        return f"Failing row contains ({', '.join(shown)})."

    def _check_not_null(self, row: Row) -> None:
        for column in self.table.columns.values():
            if row.get(column.name) is None and not column.nullable and not column.generated:
                of = f'null value in column "{column.name}" of relation "{self.table.name}"'
                raise pg("23502", f"{of} violates not-null constraint", self._row(row))

    def _key(self, columns: Sequence[str], key: Sequence[Value]) -> str:
        pairs = zip(columns, key, strict=True)
        shown = ", ".join(self.table.columns[name].type.text(value) for name, value in pairs)
        return f"Key ({', '.join(columns)})=({shown})"

    def _broken(self, report: str, row: Row, *, inserted: bool = False, ids: Sequence[int] = ()) -> Refusal:
        if report.startswith("CHECK"):
            check = check_name(self.table, report.partition(": ")[2])
            message = f'new row for relation "{self.table.name}" violates check constraint "{check}"'
            return pg("23514", message, self._row(row))
        if report.startswith("UNIQUE"):
            return self._duplicate(report, row, inserted=inserted)
        for key in self.table.keys:
            own = tuple(row.get(column) for column in key.columns)
            target = self.store.schema.get(key.target)
            if target and None not in own and not self._exists(target, key.its, own):
                details = f'{self._key(key.columns, own)} is not present in table "{key.target}".'
                of = f'insert or update on table "{self.table.name}"'
                return pg("23503", f'{of} violates foreign key constraint "{key.name}"', details)
        return self._still_referenced(ids)

    def _duplicate(self, report: str, row: Row, *, inserted: bool) -> Refusal:
        """Return 23505; for a plain insert PostgreSQL names the first violated constraint in its order."""
        reported = self.table.unique([part.rpartition(".")[2] for part in report.partition(": ")[2].split(", ")])
        broken = [
            key
            for key in self.table.keys
            if inserted and key.kind in "pu" and self._exists(self.table, key.columns, [row[c] for c in key.columns])
        ]
        key = broken[0] if broken else reported
        if key is None:
            return pg("23505", "duplicate key value violates unique constraint", self._row(row))
        details = f"{self._key(key.columns, [row[column] for column in key.columns])} already exists."
        return pg("23505", f'duplicate key value violates unique constraint "{key.name}"', details)

    def _still_referenced(self, ids: Sequence[int]) -> Refusal:
        name = self.table.name
        for other in self.store.schema.values():
            for key in other.keys:
                if key.kind != "f" or key.target != name:
                    continue
                pairs = zip(key.columns, key.its, strict=True)
                test = " AND ".join(f"c.{q(own)} = t.{q(its)}" for own, its in pairs)
                shown = ", ".join(f"t.{q(column)}" for column in key.its)
                among = f"t.{self.table.row_id} IN (SELECT value FROM json_each(?))"
                held = f"EXISTS (SELECT 1 FROM {q(other.name)} AS c WHERE {test})"
                sql = f"SELECT {shown} FROM {q(name)} AS t WHERE {among} AND {held} LIMIT 1"
                for found in self.store.rows(sql, (json.dumps(ids),)):
                    of = f'update or delete on table "{name}" violates foreign key constraint "{key.name}"'
                    details = f'{self._key(key.its, found)} is still referenced from table "{other.name}".'
                    return pg("23503", f'{of} on table "{other.name}"', details)
        return pg("23503", f'update or delete on table "{name}" violates a foreign key constraint')
