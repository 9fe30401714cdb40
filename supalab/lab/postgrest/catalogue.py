"""Read the schema of a database from SQLite's own description of it."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from supalab.lab.postgrest.schema import Column, Key, Schema, Table, q

if TYPE_CHECKING:
    from supalab.lab.postgrest.translate import Names
    from supalab.lab.postgrest.views import View

SAMPLE_S = 0.5
UNIQUE = """
    SELECT list.name, list.origin, info.name FROM pragma_index_list(?) AS list, pragma_index_info(list.name) AS info
    WHERE list."unique" AND NOT list.partial AND list.origin <> 'pk' ORDER BY list.seq DESC, info.seqno"""


def read_schema(connection: sqlite3.Connection) -> Schema:
    """Return the tables and views of a database; SQLite's own are left out."""
    catalogue = _Catalogue(connection)
    found = ((name, catalogue.find(name)) for name in sorted(catalogue.texts))
    return Schema({name: table for name, table in found if table})


class _Catalogue:
    """SQLite's description of a database; ``texts`` are the kind and the SQL of each table and view."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        listed = connection.execute(
            "SELECT name, type, sql FROM pragma_table_list JOIN sqlite_schema USING (name, type)"
            " WHERE schema = 'main' AND type IN ('table', 'view') AND name NOT GLOB 'sqlite_*'"
        )
        self.texts = {name: (kind, text) for name, kind, text in listed}
        self.made: dict[str, Table | None] = {}  # None while it is being read

    def find(self, name: str) -> Table | None:
        """Return a table or view by its name, in upper or lower case; None if there is none or it is being read."""
        if name not in self.texts:
            name = next((own for own in self.texts if own.lower() == name.lower()), "")
        if name and name not in self.made:
            self.made[name] = None
            kind, text = self.texts[name]
            self.made[name] = self._view(name, text) if kind == "view" else self._table(name, text)
        return self.made.get(name)

    def _info(self, name: str) -> list[tuple[int, str, str, int, str | None, int, int]]:
        return self.connection.execute("SELECT * FROM pragma_table_xinfo(?)", (name,)).fetchall()

    def _table(self, name: str, text: str) -> Table:
        info = self._info(name)
        types = self._sampled(name, [row[1] for row in info if not row[2]])
        counts = "autoincrement" in text.lower()
        columns = {}
        for _, column, declared, required, default, place, hidden in info:
            identity = "nextval" in (default or "").lower() or (bool(place) and counts)
            kind, nullable = (declared or types[column]).strip('"'), not (required or place)
            columns[column] = Column(column, kind, nullable, default, identity, hidden in (2, 3), (name, column))
        return Table(name, columns, tuple(self._keys(name, text)), _row_id(columns), name, q(name), q(name))

    def _keys(self, name: str, text: str) -> Iterator[Key]:
        names: Names = {}
        if "constraint" in text.lower():
            from supalab.lab.postgrest.translate import key_names  # loads a parser that most seeds do not need

            names = key_names(text)
        if own := self._primary_key(name):
            yield Key("p", names.get(("p", own), f"{name}_pkey"), own)
        for (index, origin), rows in groupby(self.connection.execute(UNIQUE, (name,)), itemgetter(0, 1)):
            columns = tuple(row[2] for row in rows)
            if None not in columns:
                made = index if origin == "c" else "_".join([name, *columns, "key"])
                yield Key("u", names.get(("u", columns), made), columns)
        foreign = self.connection.execute("SELECT * FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq", (name,))
        for (_, target), found in groupby(foreign, itemgetter(0, 2)):
            columns, its = zip(*((row[3], row[4]) for row in found), strict=True)
            if None in its:  # "references contests" alone means its primary key
                its = self._primary_key(target)
            yield Key("f", names.get(("f", columns), "_".join([name, *columns, "fkey"])), columns, target, its)

    def _primary_key(self, name: str) -> tuple[str, ...]:
        return tuple(column for _, column in sorted((row[5], row[1]) for row in self._info(name) if row[5]))

    def _view(self, name: str, text: str) -> Table:
        from supalab.lab.postgrest.views import read_view  # loads a parser that a seed without views does not need

        view = read_view(text, [Column(row[1], row[2]) for row in self._info(name)], self.find)
        types = self._sampled(name, [column.name for column in view.columns if not column.declared])
        columns = {one.name: replace(one, declared=one.declared or types[one.name]) for one in view.columns}
        table = Table(name, columns, rows=q(name), every=q(name))
        names = table.shown
        keys = [
            replace(key, columns=tuple(names[source.name, column] for column in key.columns))
            for source in filter(None, map(self.find, dict.fromkeys(source for source, _ in names)))
            for key in source.keys
            if all((source.name, column) in names for column in key.columns)
        ]
        table = replace(table, keys=tuple(keys))
        below = self.find(view.base)
        if below and below.row_id and _row_id(columns):
            with contextlib.suppress(sqlite3.Error):  # a view that cannot be read in this way accepts no writes
                simple = _with_row_ids(table, view, below)
                self.connection.execute(f"SELECT 1 FROM {simple.rows}, {simple.every} LIMIT 0")
                return simple
        return table

    def _sampled(self, name: str, columns: list[str]) -> Mapping[str, str]:
        """Return the types of values in columns without a declared type, as far as half a second shows them."""
        found, end = dict.fromkeys(columns, "text"), time.monotonic() + SAMPLE_S
        self.connection.set_progress_handler(lambda: int(time.monotonic() > end), 20_000)
        for column in columns:
            with contextlib.suppress(sqlite3.Error):
                rows = self.connection.execute(f"SELECT DISTINCT typeof({q(column)}) FROM {q(name)}")
                kinds = {kind for (kind,) in rows} - {"null"}
                if kinds and kinds <= {"integer", "real"}:
                    found[column] = "bigint" if kinds == {"integer"} else "double precision"
        self.connection.set_progress_handler(None, 0)
        return found


def _row_id(columns: Collection[str]) -> str:
    return next((word for word in ("rowid", "_rowid_", "oid") if word not in columns), "")


def _with_row_ids(table: Table, view: View, below: Table) -> Table:
    """Return a simple view together with the ids of its rows in the table or view ``below``."""
    row_id = _row_id(table.columns)
    head = f"{q(table.name)}({', '.join([row_id, *map(q, table.columns)])})"

    def source(rows: str, shown: str) -> str:
        named = "" if below.writable else f"{q(below.name)} AS (SELECT * FROM {rows}), "
        select = f"SELECT {q(view.alias)}.{below.row_id}, {shown}"
        return f"(WITH {named}{head} AS ({select}\n) SELECT * FROM {q(table.name)})"

    rows, every = source(below.rows, view.shown), source(below.every, view.every)
    return replace(table, row_id=row_id, base=below.base, rows=rows, every=every)
