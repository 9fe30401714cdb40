"""Read a CSV file as a table: find the separator, infer column types without losing a digit, load the rows."""

from __future__ import annotations

import contextlib
import csv
import re
import sqlite3
from io import TextIOWrapper
from itertools import islice
from typing import TYPE_CHECKING

from supalab.lab.postgrest.loading import CELL, Loading
from supalab.lab.postgrest.refusal import Refusal, Unusable
from supalab.lab.postgrest.schema import q
from supalab.lab.postgrest.types import DIGITS, find_type

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator
    from pathlib import Path

BATCH = 5_000
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SAMPLE = 20  # how many lines are searched for the separator
DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
MOMENT = rf"{DAY}[ T][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]{{1,6}})?)?"
ZONE = r" ?(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)"
# The digits before the decimal point: not minus zero, and no more digits than a number keeps.
NUMBER = rf"(?!-[0.]*(?:[eE]|\Z))(?!-?[0.]*[1-9](?:\.?[0-9]){{{DIGITS}}})-?(?:0|[1-9][0-9]*)"
# The types of columns: a column gets the first type whose pattern fits every value, because it changes none of them.
TYPES = {
    "date": DAY,
    "boolean": "(?i:true|false)",
    "uuid": "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "timestamp without time zone": MOMENT,
    "timestamp with time zone": f"{MOMENT}(?:{ZONE})?",
    "integer": "-?[1-9][0-9]{0,9}|0",
    "bigint": "-?[1-9][0-9]{0,18}|0",
    "double precision": rf"(?!.*\.[0-9]+0\Z){NUMBER}(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{{1,2}})?",
    # 9.90 and 12.50 are prices and keep their zeros; 1.10 and 1.9 are versions and stay text.
    **{f"numeric({DIGITS},{scale})": rf"{NUMBER}\.[0-9]{{{scale}}}" for scale in range(2, DIGITS)},
}
PATTERNS = {declared: re.compile(pattern) for declared, pattern in TYPES.items()}
BOUNDED = ("date", "timestamp", "timestamptz", "integer")  # a fitting text may be invalid: 2023-02-29


class CsvFile:
    """A CSV file that can be read several times; ``tick`` receives the number of bytes read so far."""

    def __init__(self, path: Path, tick: Callable[[int], None]) -> None:
        self.path, self.tick, self._first = path, tick, 0
        sample = list(islice(self._lines(), SAMPLE))
        if named := re.fullmatch(r"sep=(.)\r?\n?", sample[0] if sample else ""):
            self.separator, self._first = named[1], 1
            if self.separator not in SEPARATORS:
                what = f"the separator {self.separator!r} is not known; use a comma, semicolon, tab or |"
                raise Unusable(what, 1)
        else:
            header = re.sub(r'"[^"]*"', "", sample[0] if sample else "")
            found = (one for one in SEPARATORS if one in header)
            self.separator = max(found, key=lambda one: _width(sample, one), default=",")
        self.names = [name.strip() for name in next(self._records(), [])]
        if not any(self.names):
            raise Unusable("has no header line; the first line must name the columns")
        if not all(self.names) or len({name.lower() for name in self.names}) != len(self.names):
            what = f"every column needs a name of its own, got {','.join(self.names)[:200]}"
            raise Unusable(what, self._first + 1)

    def _lines(self) -> Generator[str, None, None]:
        with self.path.open("rb") as binary, TextIOWrapper(binary, "utf-8-sig", newline="") as file:
            for number, line in enumerate(islice(file, self._first, None)):
                if not number % 1_000:
                    self.tick(binary.tell())
                yield line

    def _records(self) -> Iterator[list[str]]:
        """Yield the header and then the rows, which must have the same number of fields."""
        csv.field_size_limit(CELL)
        width = 0
        with contextlib.closing(self._lines()) as lines:
            reader = csv.reader(lines, delimiter=self.separator, strict=True)
            try:
                for row in filter(None, reader):
                    width = width or len(row)
                    if len(row) != width:
                        what = f"{len(row)} fields where the header has {width}"
                        separated = f"columns are separated by {SEPARATORS[self.separator]}"
                        raise Unusable(f"{what} ({separated})", reader.line_num + self._first)
                    yield row
            except csv.Error as error:
                words = "a value is larger than 32 MB" if "field limit" in str(error) else error
                raise Unusable(words, reader.line_num + self._first) from None

    def rows(self) -> Iterator[list[str]]:
        """Yield the rows without the header; raises Unusable for one with more or fewer fields."""
        return islice(self._records(), 1, None)


def _width(sample: list[str], separator: str) -> int:
    """Return how many columns a separator gives; 0 if the lines differ, as with a wrong separator."""
    try:
        rows = [row for row in csv.reader(sample, delimiter=separator) if row]
    except csv.Error:
        return 0
    widths = {len(row) for row in (rows if len(sample) < SAMPLE else rows[:-1])}
    return widths.pop() if len(widths) == 1 else 0


def load_csv(loading: Loading, columns: str | None) -> None:
    """Make a table from a CSV file, with values as SQLite stores their text; ``columns`` declares its columns if known.

    An empty field is NULL. Raises Unusable.
    """
    path, connection = loading.path, loading.connection
    file = CsvFile(path, lambda done: loading.tick(done // 2))
    columns = columns or ", ".join(f"{q(name)} {declared}" for name, declared in infer(file).items())
    file.tick = lambda done: loading.tick((loading.size + done) // 2)
    rows = ([value or None for value in row] for row in file.rows())
    try:
        connection.execute(f"CREATE TABLE {q(path.stem)} ({columns})")
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO {q(path.stem)} VALUES ({', '.join('?' * len(file.names))})", rows)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise Unusable(f"cannot be loaded ({loading.reason(error)})") from None


def infer(file: CsvFile) -> dict[str, str]:
    """Return each column's type; ``id`` becomes the key if its values are whole numbers, all there and different."""
    possible: dict[str, Collection[str]] = {}
    rows, total, ids, fractions = file.rows(), 0, set[str](), set[str]()
    while batch := list(islice(rows, BATCH)):
        total += len(batch)
        for name, values in zip(file.names, zip(*batch, strict=True), strict=True):
            if given := [value for value in values if value]:
                possible[name] = [declared for declared in possible.get(name, TYPES) if _fits(declared, given)]
                if "double precision" in possible[name] and any("." in value for value in given):
                    fractions.add(name)
            if name == "id" and "bigint" in possible.get(name, ()):
                ids.update(given)
    types = {
        name: next((one for one in possible.get(name, ()) if one != "double precision" or name in fractions), "text")
        for name in file.names  # a column that has only numbers like 1e5 may contain names
    }
    if types.get("id") in ("integer", "bigint") and len(ids) == total:
        types["id"] += " primary key" + " not null" * (types["id"] == "bigint")
    return types


def _fits(declared: str, values: list[str]) -> bool:
    """Return whether no value changes in a column of this type."""
    kind = find_type(declared)
    if not all(map(PATTERNS[declared].fullmatch, values)):
        return False
    try:
        for value in values if kind.family in BOUNDED else ():
            kind.read(value)
    except Refusal:
        return False
    return True
