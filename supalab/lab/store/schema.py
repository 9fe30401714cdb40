"""What the lab knows of its tables: SQLite's own catalogue flows in, typed tables with their constraints flow out.

Constraints get the names that PostgreSQL would have chosen (``contests_pkey``, ``contests_url_key``), because its
error messages name them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from supalab.lab.types.pgtypes import PgType, declared_type

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

__all__ = ["Column", "ForeignKey", "Schema", "Table", "Unique", "quoted_name", "read_schema"]

_SERIAL = re.compile(r"(small|big)?serial\b", re.I)
_NAMED_CHECK = re.compile(r"[\w.]+")


def quoted_name(name: str) -> str:
    """Return a name from the catalogue as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its declared type, whether NULL may stand in it, and the SQL of its default, if it has one.

    ``identity``: numbers itself when left out. ``generated``: computed, so nothing may be written to it.
    """

    name: str
    type: PgType
    nullable: bool = True
    default: str | None = None
    identity: bool = False
    generated: bool = False

    @property
    def sql(self) -> str:
        """The name as an SQL identifier."""
        return quoted_name(self.name)


@dataclass(frozen=True, slots=True)
class Unique:
    """A primary key or a unique constraint over ``columns``."""

    name: str
    columns: tuple[str, ...]
    primary: bool = False


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """``columns`` of ``table`` refer to ``target_columns`` of ``target``."""

    name: str
    table: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table or view; ``row_id`` is the SQL that sorts its rows as they were stored, or empty."""

    name: str
    columns: Mapping[str, Column]
    primary_key: tuple[str, ...] = ()
    uniques: tuple[Unique, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    row_id: str = ""
    writable: bool = True

    @property
    def sql(self) -> str:
        """The name as an SQL identifier."""
        return quoted_name(self.name)

    def unique_over(self, columns: tuple[str, ...]) -> Unique | None:
        """Return the constraint over exactly these columns, in any order."""
        wanted = sorted(columns)
        return next((unique for unique in self.uniques if sorted(unique.columns) == wanted), None)

    def check_name(self, reported: str) -> str:
        """Return the name of a check constraint from what SQLite reports: its name, or else its text."""
        used = [word for word in _NAMED_CHECK.findall(reported) if word in self.columns]
        if not used and _NAMED_CHECK.fullmatch(reported):
            return reported
        return "_".join([self.name, *(dict.fromkeys(used) if len(set(used)) == 1 else []), "check"])


@dataclass(frozen=True, slots=True)
class Schema:
    """All tables by name, and the foreign keys that refer to each."""

    tables: Mapping[str, Table]

    def referring_to(self, name: str) -> tuple[ForeignKey, ...]:
        """Return the foreign keys of other tables (or of its own) that refer to a table."""
        return tuple(key for table in self.tables.values() for key in table.foreign_keys if key.target == name)


def read_schema(connection: sqlite3.Connection) -> Schema:
    """Return the tables and views of a database; SQLite's own are left out."""
    rows = connection.execute("PRAGMA main.table_list").fetchall()
    names = [(name, kind, without_rowid) for _, name, kind, _, without_rowid, *_ in rows]
    own = [item for item in names if not item[0].startswith("sqlite_") and item[1] in ("table", "view")]
    tables = {name: _table(connection, name, kind, bool(bare)) for name, kind, bare in sorted(own)}
    return Schema(tables)


def _table(connection: sqlite3.Connection, name: str, kind: str, without_rowid: bool) -> Table:
    info = connection.execute(f"PRAGMA table_xinfo({quoted_name(name)})").fetchall()
    keyed = sorted((row[5], row[1]) for row in info if row[5])
    primary_key = tuple(column for _, column in keyed)
    found = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ? AND type = ?", (name, kind)).fetchone()
    counts_itself = "autoincrement" in str(found[0]).lower() if found else False
    columns = {row[1]: _column(row, counts_itself=counts_itself) for row in info if row[6] != 1}
    row_id = next((word for word in ("rowid", "_rowid_", "oid") if word not in columns), "")
    return Table(
        name,
        columns,
        primary_key,
        _uniques(connection, name, primary_key),
        _foreign_keys(connection, name),
        "" if kind == "view" or without_rowid else row_id,
        kind == "table",
    )


def _column(row: tuple[int, str, str, int, str | None, int, int], *, counts_itself: bool) -> Column:
    _, name, declared, not_null, default, key_place, hidden = row
    identity = bool(_SERIAL.match(declared or "")) or (bool(key_place) and counts_itself)
    nullable = not (not_null or key_place)
    return Column(name, declared_type(declared or "text"), nullable, default, identity, hidden in (2, 3))


def _uniques(connection: sqlite3.Connection, name: str, primary_key: tuple[str, ...]) -> tuple[Unique, ...]:
    found = [Unique(f"{name}_pkey", primary_key, primary=True)] if primary_key else []
    indexes = connection.execute(f"PRAGMA index_list({quoted_name(name)})").fetchall()
    for _, index, unique, origin, partial in reversed(indexes):
        rows = connection.execute(f"PRAGMA index_info({quoted_name(index)})").fetchall()
        columns = tuple(row[2] for row in rows if row[2] is not None)
        if unique and not partial and origin != "pk" and len(columns) == len(rows):
            made_up = "_".join([name, *columns, "key"])
            found.append(Unique(index if origin == "c" else made_up, columns))
    return tuple(found)


def _foreign_keys(connection: sqlite3.Connection, name: str) -> tuple[ForeignKey, ...]:
    parts: dict[int, list[tuple[str, str, str | None]]] = {}
    for number, _, target, column, target_column, *_ in connection.execute(
        f"PRAGMA foreign_key_list({quoted_name(name)})"
    ).fetchall():
        parts.setdefault(number, []).append((target, column, target_column))
    return tuple(_foreign_key(connection, name, part) for _, part in sorted(parts.items(), reverse=True))


def _foreign_key(connection: sqlite3.Connection, name: str, part: list[tuple[str, str, str | None]]) -> ForeignKey:
    target = part[0][0]
    columns = tuple(column for _, column, _ in part)
    named = [column for _, _, column in part if column]
    if not named:  # "references contests" alone means its primary key
        info = connection.execute(f"PRAGMA table_xinfo({quoted_name(target)})").fetchall()
        named = [column for _, column in sorted((row[5], row[1]) for row in info if row[5])]
    return ForeignKey("_".join([name, *columns, "fkey"]), name, columns, target, tuple(named))
