"""Read a CSV file as a table: find the separator, infer each column's type without losing a digit, load the rows."""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from io import TextIOWrapper
from itertools import islice
from typing import TYPE_CHECKING

from supalab.lab.postgrest.refusal import Refusal, Unusable
from supalab.lab.postgrest.schema import q
from supalab.lab.postgrest.types import DIGITS, find_type

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from pathlib import Path

CELL = 32 * 1024 * 1024  # bytes of the largest value
BATCH = 5_000
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SAMPLE = 20  # lines in which the separator is looked for
DAY, CLOCK, ZONE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?", r"[+-][0-9]{2}"
KINDS = {
    "date": re.compile(DAY),
    "boolean": re.compile(r"true|false", re.I),
    "uuid": re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "timestamptz": re.compile(rf"{DAY}[ T]{CLOCK}(?: ?(?:[Zz]|{ZONE}(?::?[0-9]{{2}})?))?"),
    "whole": re.compile(r"-?[1-9][0-9]{0,18}|0"),
    "number": re.compile(  # but not minus zero
        r"(?!-0(?:\.0*)?(?:[eE]|\Z))-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?"
    ),
}
ZONED = re.compile(r".*(?:[Zz]|:[0-9.]+ ?[+-][0-9:]+)")


class CsvFile:
    """A CSV file that can be read from its start several times; ``tick`` receives the bytes read so far."""

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
        self.names = [name.strip() for name in next(self.rows(), [])]
        if not any(self.names):
            raise Unusable("has no header line; the first line must name the columns")
        if not all(self.names) or len({name.lower() for name in self.names}) != len(self.names):
            what = f"every column needs a name of its own, got {','.join(self.names)[:200]}"
            raise Unusable(what, self._first + 1)

    def _lines(self) -> Iterator[str]:
        with self.path.open("rb") as binary, TextIOWrapper(binary, "utf-8-sig", newline="") as file:
            for number, line in enumerate(islice(file, self._first, None), self._first + 1):
                if "\0" in line:
                    raise Unusable("holds a NUL character, which no text may; remove it", number)
                if not number % 1_000:
                    self.tick(binary.tell())
                yield line

    def rows(self) -> Iterator[list[str]]:
        """Yield the header, and then the rows, which must have as many fields."""
        csv.field_size_limit(CELL)
        reader = csv.reader(self._lines(), delimiter=self.separator, strict=True)
        width = 0
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


def _width(sample: list[str], separator: str) -> int:
    """Return how many columns a separator gives, 0 when lines differ, as they do with a wrong one."""
    try:
        rows = [row for row in csv.reader(sample, delimiter=separator) if row]
    except csv.Error:
        return 0
    widths = {len(row) for row in (rows if len(sample) < SAMPLE else rows[:-1])}
    return widths.pop() if len(widths) == 1 else 0


def load_csv(connection: sqlite3.Connection, path: Path, columns: str | None, tick: Callable[[int], None]) -> None:
    """Make one table of a CSV file, its values as SQLite stores their text; ``columns`` declares its columns if known.

    An empty field is NULL. Raises Unusable.
    """
    file, size = CsvFile(path, lambda done: tick(done // 2)), path.stat().st_size
    columns = columns or ", ".join(f"{q(name)} {declared}" for name, declared in infer(file).items())
    file.tick = lambda done: tick((size + done) // 2)
    connection.execute(f"CREATE TABLE {q(path.stem)} ({columns})")
    connection.execute("BEGIN")
    rows = ([value or None for value in row] for row in islice(file.rows(), 1, None))
    connection.executemany(f"INSERT INTO {q(path.stem)} VALUES ({', '.join('?' * len(file.names))})", rows)
    connection.execute("COMMIT")


class Guess:
    """What one column can be, after all its values so far."""

    def __init__(self) -> None:
        self.can = dict(KINDS)
        self.seen = self.zoned = self.ragged = self.exponents = False
        self.small = self.digits = 0
        self.scales: set[int] = set()

    def add(self, values: list[str]) -> None:
        """Look at more values, none of them empty."""
        self.seen = True
        self.can = {kind: one for kind, one in self.can.items() if all(map(one.fullmatch, values))}
        if "whole" in self.can:
            numbers = list(map(int, values))
            self.small = max(self.small, max(numbers), -min(numbers) - 1)
            self.scales, self.digits = {0}, len(str(self.small))
        elif "number" in self.can:
            for value in values:
                _, digits, exponent = Decimal(value).as_tuple()
                self.digits = max(self.digits, len(digits))
                if "e" in value.lower():
                    self.exponents = True
                else:
                    self.scales.add(-int(exponent))
                    self.ragged = self.ragged or ("." in value and value[-1] == "0" and value[-2:] != ".0")
        for kind in {"date", "timestamptz"} & self.can.keys():
            self.zoned = self.zoned or any(map(ZONED.fullmatch, values))
            try:
                for value in values:
                    find_type(kind).read(value)
            except Refusal:
                del self.can[kind]

    def declared(self) -> str:
        """Return the type as which every value stays what it is."""
        kind = next(iter(self.can), "text") if self.seen else "text"
        if kind == "timestamptz":
            return f'"timestamp with{"" if self.zoned else "out"} time zone"'
        if kind == "whole":
            return "integer" if self.small < 2**31 else "bigint" if self.small < 2**63 else "text"
        if kind != "number":
            return kind
        if self.digits > DIGITS or (self.exponents and not self.scales - {0}):
            return "text"  # 1e5 alone may be a name
        if not self.ragged:
            return "double precision"
        # 9.90 and 12.50 are prices; 1.10 and 1.9 are versions
        return f"numeric({DIGITS},{max(self.scales)})" if len(self.scales) == 1 and not self.exponents else "text"


def infer(file: CsvFile) -> dict[str, str]:
    """Return each column's type; ``id`` becomes the key if its values are whole, all there and different."""
    guesses = {name: Guess() for name in file.names}
    rows, total, ids = islice(file.rows(), 1, None), 0, set[str]()
    while batch := list(islice(rows, BATCH)):
        total += len(batch)
        for (name, guess), values in zip(guesses.items(), zip(*batch, strict=True), strict=True):
            if given := [value for value in values if value]:
                guess.add(given)
            if name == "id" and "whole" in guess.can:
                ids.update(given)
    types = {name: guess.declared() for name, guess in guesses.items()}
    if types.get("id") in ("integer", "bigint") and len(ids) == total:
        types["id"] += " primary key" + " not null" * (types["id"] == "bigint")
    return types
