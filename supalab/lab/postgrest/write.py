"""Insert, update and delete rows: values are checked by type, and violated constraints give PostgreSQL's errors."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from supalab.lab.postgrest.http import Asked
from supalab.lab.postgrest.refusal import Refusal
from supalab.lab.postgrest.schema import Column, Table, check_name, q
from supalab.lab.postgrest.sql import Sql
from supalab.lab.postgrest.store import Store
from supalab.lab.postgrest.types import Value

_SHOWN = 64  # how many bytes of each value PostgreSQL shows of a failing row
_VERBS = {"POST": "insert into", "PUT": "insert into", "PATCH": "update", "DELETE": "delete from"}
Row = dict[str, Value]


class Write:
    """One request that writes to a table, or through a simple view to the table below it; see ``Store.transaction``.

    ``ids`` are the rows that it wrote (before ``delete``: will delete); ``new`` counts those that did not exist before.
    Raises 55000 for a view that accepts no writes.
    """

    def __init__(self, store: Store, asked: Asked, table: Table) -> None:
        self.verb = _VERBS[asked.method]
        if not table.base:
            details = "Views that do not select from a single table or view are not automatically updatable."
            raise Refusal("55000", f'cannot {self.verb} view "{table.name}"', details)
        self.store, self.asked, self.table = store, asked, store.schema[table.base]
        self.names = {own: name for (source, name), own in table.shown.items() if source == table.base}
        self.columns = {own: self.table.columns[name] for own, name in self.names.items()}
        self.among = f"{self.table.row_id} IN (SELECT value FROM json_each(?))"
        self.ids: list[int] = []
        self.new = 0

    def run(self, conditions: Sql) -> None:
        """Insert, merge or update; for a deletion, only find the rows. ``conditions`` select the rows."""
        method = self.asked.method
        if method in ("POST", "PUT"):
            self._check_columns()
            self._insert()
            conditions.top.source = conditions.top.table.every
            if method == "PUT" and (len(self.ids) != 1 or self._found(conditions) != self.ids):
                raise Refusal("PGRST115", "Payload values do not match URL in primary key column(s)")
        elif method == "DELETE" or self.asked.columns:  # if there is nothing to set, PostgREST updates nothing
            self._check_columns()
            if not conditions.top.where:  # Supabase's databases refuse a write to all rows
                message = f"{'UPDATE' if method == 'PATCH' else method} requires a WHERE clause"
                raise Refusal("21000", message, status=400)
            self.ids = self._found(conditions)
            if method == "PATCH" and self.ids:  # PostgreSQL does not read the values if it finds no row
                self.ids = [number for row in self._typed()[:1] for number in self._updated(row)]

    def _found(self, conditions: Sql) -> list[int]:
        level = conditions.top
        sql = f"SELECT {level.alias}.{level.table.row_id} {conditions.origin(level)}"
        return [number for (number,) in self.store.rows(sql, conditions.values)]

    # Values

    def _check_columns(self) -> None:
        """Raise 0A000 for a computed column of a view, 428C9 for one of the table or one that always numbers itself."""
        for name in self.asked.columns:
            if name not in self.columns:
                details = "View columns that are not columns of their base relation are not updatable."
                raise Refusal("0A000", f'cannot {self.verb} column "{name}" of view "{self.asked.name}"', details)
            own = self.columns[name]
            if own.generated or own.always:
                message = f'cannot insert a non-DEFAULT value into column "{own.name}"'
                if self.asked.method == "PATCH":
                    message = f'column "{own.name}" can only be updated to DEFAULT'
                what = "a generated column" if own.generated else "an identity column defined as GENERATED ALWAYS"
                raise Refusal("428C9", message, f'Column "{own.name}" is {what}.')

    def _typed(self) -> list[Row]:
        """Return the rows with every value read by its column's type; missing values become NULL or the default."""
        defaults = self.asked.prefer.get("missing") == "default"
        columns = [(name, self.columns[name]) for name in self.asked.columns]
        return [
            {
                own.name: self._default(own) if defaults and name not in row else own.type.from_body(row.get(name))
                for name, own in columns
            }
            for row in self.asked.rows
        ]

    def _default(self, column: Column) -> Value:
        if column.identity:
            free = f"(SELECT coalesce(max({q(column.name)}), 0) + 1 FROM {q(self.table.name)})"
            sql = f"SELECT max({free}, {column.default or 0})"  # its default is the next number of its sequence
            return int(self.store.rows(sql)[0][0])
        if column.default is None:
            return None
        value = self.store.rows(f"SELECT {column.default}")[0][0]  # text of the seed, not of a request
        return None if value is None else column.type.read(str(value))

    # The three kinds of writes

    def _conflict(self) -> Sequence[str]:
        """Return the columns whose unique key finds existing rows; nothing for a plain insert."""
        names = self.asked.query.on_conflict
        if self.asked.method != "PUT" and "resolution" not in self.asked.prefer:
            return ()
        if self.asked.method == "PUT" or names is None:
            return self.table.primary_key
        columns = [self.names.get(name, name) for name in names]
        for name in columns:
            if name not in self.table.columns:
                raise Refusal("42703", f'column "{name}" does not exist')
        if not self.table.unique(columns):
            message = "there is no unique or exclusion constraint matching the ON CONFLICT specification"
            raise Refusal("42P10", message)
        return columns

    def _insert(self) -> None:
        """Insert rows; in an upsert or PUT, existing rows are merged or skipped."""
        conflict, written = self._conflict(), [one for one in self.table.columns.values() if not one.generated]
        names, marks = ", ".join(q(column.name) for column in written), ", ".join("?" * len(written))
        into = f"INSERT INTO {q(self.table.name)} ({names}) VALUES ({marks})"
        if conflict:
            sets = ", ".join(f"{q(own)} = excluded.{q(own)}" for own in map(self.names.get, self.asked.columns) if own)
            skipped = not sets or self.asked.prefer.get("resolution") == "ignore-duplicates"
            then = "DO NOTHING" if skipped and self.asked.method != "PUT" else f"DO UPDATE SET {sets}"
            into += f" ON CONFLICT ({', '.join(map(q, conflict))}) {then}"
        seen: set[int] = set()
        for row in self._typed():
            full = {c.name: row[c.name] if c.name in row else self._default(c) for c in written}
            known = bool(conflict) and self._exists(self.table, conflict, [full[name] for name in conflict])
            self._check_not_null(full)
            found = self._run(into, tuple(full.values()), full)
            if not seen.isdisjoint(found):
                hint = "Ensure that no rows proposed for insertion within the same command have duplicate constrained "
                message = "ON CONFLICT DO UPDATE command cannot affect row a second time"
                raise Refusal("21000", message, hint=f"{hint}values.")
            seen.update(found)
            self.ids += found
            self.new += bool(found) and not known

    def _updated(self, row: Row) -> list[int]:
        """Set the values of ``row`` in the rows that were found, and return their ids."""
        listed = json.dumps(self.ids)
        old = self.store.rows(f"SELECT * FROM {q(self.table.name)} WHERE {self.among} LIMIT 1", (listed,))[0]
        full = {**dict(zip(self.table.columns, old, strict=True)), **row}
        self._check_not_null(full)
        sets = ", ".join(f"{q(name)} = ?" for name in row)
        sql = f"UPDATE {q(self.table.name)} SET {sets} WHERE {self.among}"
        return self._run(sql, (*row.values(), listed), full)

    def delete(self) -> None:
        """Delete the rows that were found."""
        self._run(f"DELETE FROM {q(self.table.name)} WHERE {self.among}", (json.dumps(self.ids),), {})

    def _run(self, sql: str, values: Sequence[Value], row: Row) -> list[int]:
        try:
            return [number for (number,) in self.store.rows(f"{sql} RETURNING {self.table.row_id}", values)]
        except sqlite3.IntegrityError as error:
            raise self._broken(str(error), row) from None

    # Violated constraints: SQLite reports little; PostgreSQL names the constraint and shows the key

    def _exists(self, table: Table, columns: Sequence[str], key: Sequence[Value]) -> bool:
        tests = " AND ".join(f"{q(name)} = ?" for name in columns)
        return None not in key and bool(self.store.rows(f"SELECT 1 FROM {q(table.name)} WHERE {tests}", tuple(key)))

    def _row(self, row: Row) -> str:
        texts = [column.type.text(row.get(column.name)).encode() for column in self.table.columns.values()]
        shown = [text[:_SHOWN].decode(errors="ignore") + "..." * (len(text) > _SHOWN) for text in texts]
        return f"Failing row contains ({', '.join(shown)})."

    def _check_not_null(self, row: Row) -> None:
        for column in self.table.columns.values():
            if row.get(column.name) is None and not column.nullable and not column.generated:
                of = f'null value in column "{column.name}" of relation "{self.table.name}"'
                raise Refusal("23502", f"{of} violates not-null constraint", self._row(row))

    def _key(self, columns: Sequence[str], key: Sequence[Value]) -> str:
        pairs = zip(columns, key, strict=True)
        shown = ", ".join(self.table.columns[name].type.text(value) for name, value in pairs)
        return f"Key ({', '.join(columns)})=({shown})"

    def _broken(self, report: str, row: Row) -> Refusal:
        """Return PostgreSQL's error for SQLite's report about a write; ``row`` is empty for a deletion."""
        name, (kind, _, what) = self.table.name, report.partition(" constraint failed")
        if kind == "CHECK":
            check = check_name(self.table, what.removeprefix(": "))
            message = f'new row for relation "{name}" violates check constraint "{check}"'
            return Refusal("23514", message, self._row(row))
        if kind == "UNIQUE":
            return self._duplicate(what.removeprefix(": "), row)
        if kind != "FOREIGN KEY":
            return Refusal("P0001", report)  # the error of a trigger in the seed
        for key in self.table.keys:
            own = tuple(row.get(column) for column in key.columns)
            target = self.store.schema.get(key.target)
            if target and None not in own and not self._exists(target, key.its, own):
                message = f'insert or update on table "{name}" violates foreign key constraint "{key.name}"'
                details = f'{self._key(key.columns, own)} is not present in table "{key.target}".'
                return Refusal("23503", message, details)
        return self._still_referenced()

    def _duplicate(self, what: str, row: Row) -> Refusal:
        key = self.table.unique([part.rpartition(".")[2] for part in what.split(", ")])
        if key is None:
            return Refusal("23505", "duplicate key value violates unique constraint", self._row(row))
        details = f"{self._key(key.columns, [row[column] for column in key.columns])} already exists."
        return Refusal("23505", f'duplicate key value violates unique constraint "{key.name}"', details)

    def _still_referenced(self) -> Refusal:
        name = self.table.name
        message = f'update or delete on table "{name}" violates '
        for other in self.store.schema.values():
            for key in other.keys if other.writable else ():
                if key.kind == "f" and key.target == name:
                    sql = f"SELECT {', '.join(map(q, key.its))} FROM {q(name)} WHERE {self.among}"
                    for values in self.store.rows(sql, (json.dumps(self.ids),)):
                        if self._exists(other, key.columns, values):
                            details = f'{self._key(key.its, values)} is still referenced from table "{other.name}".'
                            message += f'foreign key constraint "{key.name}" on table "{other.name}"'
                            return Refusal("23503", message, details)
        return Refusal("23503", f"{message}a foreign key constraint")
