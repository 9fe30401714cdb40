"""Where the lab's data comes from: a CSV or SQL file flows in, a filled SQLite database in memory flows out.

The file is only read. What cannot be used is a ``SettingsError`` of one line that names the file, the place and the
cure; nothing of the file is then served.
"""

# ruff: noqa: S608  (SQL is built here: names come from the schema and are quoted, values are always bound)

from __future__ import annotations

import csv
import io
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from supalab.errors import SettingsError
from supalab.lab.dialect.refusal import Refusal
from supalab.lab.store.infer import column_types
from supalab.lab.store.schema import quoted_name, read_schema
from supalab.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from supalab.lab.store.schema import Column, Table

__all__ = ["CONTESTS_COLUMNS", "open_seed"]

# The shipped table, declared as the conformance cases declare it, then what a contest needs besides.
CONTESTS_COLUMNS = {
    "id": "integer primary key",
    "title": "text not null",
    "host": "text",
    "category": "text",
    "prize": "integer",
    "status": "text default 'upcoming'",
    "starts_at": "text",
    "url": "text unique",
    "ends_at": "text",
    "team_size_max": "integer",
    "description": "text",
}
_LARGEST = 256 * 1024 * 1024
# Below the 30 seconds after which a Lab's owner gives its child up, so that the reason is heard.
_SCRIPT_S = 20.0
_STEPS = 20_000  # SQLite's instructions between two looks at the clock, where signals are handled too


def open_seed(seed: Path | None) -> sqlite3.Connection:
    """Return a new database in memory with the shipped contests (None), a CSV table or the tables of an SQL script."""
    path = shipped("data", "contests.csv") if seed is None else Path(seed)
    text = _read(path) if seed is not None or path.exists() else _made_anew()
    # The server answers from one thread at a time but may not be the thread that opened the database.
    connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=512, check_same_thread=False)
    try:
        if path.suffix.lower() == ".sql":
            _run_script(connection, path, text)
        else:
            _load_csv(connection, path, text, CONTESTS_COLUMNS if seed is None else None)
        _check_values(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _made_anew() -> str:
    """The shipped contests where their file is not: in an installed wheel. They are the same, byte for byte."""
    from supalab.lab.store.make_contests import contests_csv  # here, because it needs this module's columns

    return contests_csv()


def _read(path: Path) -> str:
    if path.suffix.lower() not in (".csv", ".sql"):
        raise SettingsError(f"seed {path}: the name must end in .csv or .sql")
    if path.is_dir():
        raise SettingsError(f"seed {path}: this is a directory; name a .csv or .sql file")
    try:
        if path.stat().st_size > _LARGEST:
            raise SettingsError(f"seed {path}: larger than 256 MB, which would not fit into the lab's memory")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SettingsError(f"seed {path}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"seed {path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(f"seed {path}: cannot be read ({error.strerror or error})") from None


# CSV


def _load_csv(connection: sqlite3.Connection, path: Path, text: str, known: dict[str, str] | None) -> None:
    rows = _csv_rows(path, text)
    header = next(rows, None)
    if header is None or not any(name.strip() for name in header[1]):
        raise SettingsError(f"seed {path}: has no header line; the first line must name the columns")
    names = [name.strip() for name in header[1]]
    folded = [name.lower() for name in names]
    if not all(names) or len(set(folded)) != len(folded):
        raise SettingsError(f"seed {path}: line 1: every column needs a name of its own, got {','.join(names)}")
    data: list[list[str | None]] = []
    for line, row in rows:
        if len(row) != len(names):
            raise SettingsError(f"seed {path}: line {line}: {len(row)} fields where the header has {len(names)}")
        data.append([value or None for value in row])
    types = known if known and list(known) == names else column_types(names, data)
    columns = ", ".join(f"{quoted_name(name)} {types[name]}" for name in names)
    marks = ", ".join("?" * len(names))
    table = quoted_name(path.stem)
    try:
        connection.execute(f"CREATE TABLE {table} ({columns})")
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", data)
        connection.execute("COMMIT")
    except (sqlite3.Error, OverflowError) as error:
        raise SettingsError(f"seed {path}: cannot be loaded ({error})") from None


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise SettingsError(f"seed {path}: line {reader.line_num}: {error}") from None


# SQL


def _run_script(connection: sqlite3.Connection, path: Path, text: str) -> None:
    connection.set_authorizer(_no_other_files)
    deadline = time.monotonic() + _SCRIPT_S
    connection.set_progress_handler(lambda: int(time.monotonic() > deadline), _STEPS)
    try:
        for line, statement in _statements(text):
            try:
                connection.execute(statement)
            except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
                words = " ".join(statement.split())
                shown = words if len(words) <= 60 else words[:57] + "..."
                late = time.monotonic() > deadline
                reason = f"the script takes longer than {_SCRIPT_S:g} s; make it smaller" if late else error
                raise SettingsError(f"seed {path}: line {line}: {reason}, in: {shown}") from None
        if connection.in_transaction:
            connection.execute("COMMIT")
    finally:
        connection.set_progress_handler(None, 0)
        connection.set_authorizer(None)
    if not read_schema(connection).tables:
        raise SettingsError(f"seed {path}: makes no table; there is nothing to serve")


def _no_other_files(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_DENY if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH) else sqlite3.SQLITE_OK


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement of a script with the line it starts on; a trigger's inner semicolons do not end it."""
    start = end = 0
    line = 1
    while (found := text.find(";", end)) != -1:
        end = found + 1
        piece = text[start:end]
        if sqlite3.complete_statement(piece):
            lead = len(piece) - len(piece.lstrip())
            yield line + piece.count("\n", 0, lead), piece.strip()
            line += piece.count("\n")
            start = end
    tail = text[start:]
    if _is_code(tail):
        lead = len(tail) - len(tail.lstrip())
        yield line + tail.count("\n", 0, lead), tail.strip()


def _is_code(text: str) -> bool:
    """Whether anything but blanks and line comments is in the text."""
    return any(line.strip() and not line.strip().startswith("--") for line in text.splitlines())


# Both


def _check_values(connection: sqlite3.Connection, path: Path) -> None:
    """Put every value into the one form that its column's type is stored in."""
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("BEGIN")
    for table in read_schema(connection).tables.values():
        if table.writable and (table.row_id or table.primary_key):
            _check_table(connection, path, table)
    connection.execute("COMMIT")


def _check_table(connection: sqlite3.Connection, path: Path, table: Table) -> None:
    keys = [table.row_id] if table.row_id else [quoted_name(name) for name in table.primary_key]
    columns = [column for column in table.columns.values() if not column.generated]
    names = ", ".join([*keys, *[column.sql for column in columns]])
    where = " AND ".join(f"{key} = ?" for key in keys)
    for row in connection.execute(f"SELECT {names} FROM {table.sql}").fetchall():
        given = row[len(keys) :]
        stored = [_stored(path, table, column, value) for column, value in zip(columns, given, strict=True)]
        changed = [(column, new) for column, old, new in zip(columns, given, stored, strict=True) if _differ(old, new)]
        if changed:
            sets = ", ".join(f"{column.sql} = ?" for column, _ in changed)
            values = [value for _, value in changed]
            connection.execute(f"UPDATE {table.sql} SET {sets} WHERE {where}", [*values, *row[: len(keys)]])


def _differ(old: object, new: object) -> bool:
    return old != new or type(old) is not type(new)


def _stored(path: Path, table: Table, column: Column, value: object) -> object:
    if value is None or (isinstance(value, str) and column.type.family == "text"):
        return value
    text = "\\x" + value.hex() if isinstance(value, bytes) else str(value)
    if column.type.family == "integer" and isinstance(value, float) and value.is_integer():
        text = str(int(value))
    try:
        return column.type.read(text)
    except Refusal as refusal:
        place = f"table {table.name}, column {column.name}"
        raise SettingsError(f"seed {path}: {place}: {refusal.message}") from None
