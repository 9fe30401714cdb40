"""Read a CSV file as a table: find the separator, infer each column's type without losing a digit, load the rows."""

from __future__ import annotations

import csv
import re
import sqlite3
from io import TextIOWrapper
from itertools import islice
from typing import TYPE_CHECKING

from supalab.errors import SettingsError
from supalab.lab.postgrest.refusal import Refusal
from supalab.lab.postgrest.schema import q
from supalab.lab.postgrest.types import DIGITS, find_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Row = tuple[int, list[str]]

CELL = 32 * 1024 * 1024  # bytes of the largest value
BATCH = 5_000
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
WHOLE = re.compile(r"-?[1-9][0-9]{0,18}|0")
FRACTION = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+")
FLOATING = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
DATE = re.compile(DAY)
MOMENT = re.compile(
    DAY + r"[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?( ?(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?))?"
)
TRUTH = re.compile(r"true|false", re.I)
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class CsvFile:
    """A CSV file that can be read from its start several times; ``tick`` is told the bytes read so far."""

    def __init__(self, path: Path, tick: Callable[[int], None]) -> None:
        self.path, self._tick, self._first = path, tick, 0
        self.separator = self._find_separator()
        rows = self.rows(header=True)
        self.names = [name.strip() for name in next(rows, (0, []))[1]]
        self._check_names()

    def _lines(self) -> Iterator[str]:
        with self.path.open("rb") as binary, TextIOWrapper(binary, "utf-8-sig", newline="") as file:
            for number, line in enumerate(file, 1):
                if "\0" in line:
                    raise self.error(f"line {number}: holds a NUL character, which no text may; remove it")
                if not number % 1_000:
                    self._tick(binary.tell())
                if number > self._first:
                    yield line

    def error(self, what: str) -> SettingsError:
        """Return an error that names the file."""
        return SettingsError(f"seed {self.path}: {what}")

    def _find_separator(self) -> str:
        sample = list(islice(self._lines(), 20))
        named = re.fullmatch(r"sep=(.)\r?\n?", sample[0] if sample else "")
        if named:
            self._first = 1
            if named[1] not in SEPARATORS:
                raise self.error(f"line 1: the separator {named[1]!r} is not known; use a comma, semicolon, tab or |")
            return named[1]
        header = re.sub(r'"[^"]*"', "", sample[0] if sample else "")
        found = [(self._width(sample, one), one) for one in SEPARATORS if one in header]
        return max(found, key=lambda pair: pair[0])[1] if found else ","

    def _width(self, sample: list[str], separator: str) -> int:
        """Return how many columns a separator gives, 0 when lines differ, as they do with a wrong one."""
        try:
            rows = [row for row in csv.reader(sample, delimiter=separator) if row]
        except csv.Error:
            return 0
        widths = {len(row) for row in (rows if len(sample) < 20 else rows[:-1])}
        return widths.pop() if len(widths) == 1 else 0

    def _check_names(self) -> None:
        if not any(self.names):
            raise self.error("has no header line; the first line must name the columns")
        if not all(self.names) or len({name.lower() for name in self.names}) != len(self.names):
            raise self.error(
                f"line {1 + self._first}: every column needs a name of its own, got {','.join(self.names)[:200]}"
            )

    def rows(self, *, header: bool = False) -> Iterator[Row]:
        """Yield the rows, each with the number of its last line."""
        csv.field_size_limit(CELL)
        reader = csv.reader(self._lines(), delimiter=self.separator, strict=True)
        width = 0
        try:
            for row in reader:
                if not row:
                    continue
                if width and len(row) != width:
                    raise self.error(
                        f"line {reader.line_num + self._first}: {len(row)} fields where the header has {width}"
                        f" (columns are separated by {SEPARATORS[self.separator]})"
                    )
                if width or header:
                    yield reader.line_num + self._first, row
                width = len(row)
        except csv.Error as error:
            words = "a value is larger than 32 MB" if "field limit" in str(error) else str(error)
            raise self.error(f"line {reader.line_num + self._first}: {words}") from None


def load_csv(
    connection: sqlite3.Connection, path: Path, known: dict[str, str] | None, tick: Callable[[int], None]
) -> None:
    """Make one table of a CSV file; ``known`` gives the types of its columns. Raises SettingsError."""
    file = CsvFile(path, lambda done: tick(done // 2))
    size = path.stat().st_size
    types = known if known and list(known) == file.names else infer(file)
    file._tick = lambda done: tick((size + done) // 2)
    table = q(path.stem)
    readers = [_reader(types[name]) for name in file.names]
    try:
        connection.execute(f"CREATE TABLE {table} ({', '.join(f'{q(name)} {types[name]}' for name in file.names)})")
        connection.execute("BEGIN")
        insert = f"INSERT INTO {table} VALUES ({', '.join('?' * len(file.names))})"
        connection.executemany(insert, _values(file, readers))
        connection.execute("COMMIT")
    except (sqlite3.Error, OverflowError) as error:
        full = "it needs more than the 1 GB that the lab gives a seed; make it smaller"
        raise file.error(f"cannot be loaded ({full if 'full' in str(error) else error})") from None


def _values(file: CsvFile, readers: list[Callable[[str], object] | None]) -> Iterator[list[object]]:
    changed = [(at, reader) for at, reader in enumerate(readers) if reader is not None]
    for _, row in file.rows():
        values: list[object] = [value or None for value in row]
        for at, reader in changed:
            if row[at]:
                values[at] = reader(row[at])
        yield values


def _reader(declared: str) -> Callable[[str], object] | None:
    """Return what turns a value into its stored form; None where SQLite's own rules do so."""
    kind = find_type(re.sub(r" (primary key|unique|not null|default).*", "", declared))
    return None if kind.family in ("text", "integer", "number", "uuid") else kind.read


class Guess:
    """What one column can be, after all its values so far."""

    def __init__(self) -> None:
        self.can = {"whole", "number", "date", "moment", "truth", "uuid"}
        self.seen = self.small = self.exponents = self.fractions = self.zoned = self.ragged = 0
        self.scales: set[int] = set()
        self.digits = 0

    def add(self, values: list[str]) -> None:
        """Look at more values, none of them empty."""
        self.seen += len(values)
        for kind, pattern in (("whole", WHOLE), ("date", DATE), ("truth", TRUTH), ("uuid", UUID)):
            if kind in self.can and not all(map(pattern.fullmatch, values)):
                self.can.discard(kind)
        if "whole" in self.can:
            numbers = list(map(int, values))
            low, high = min(numbers), max(numbers)
            self.small = max(self.small, high, -low - 1)
        elif "number" in self.can:
            self._number(values)
        self._check_moments(values)

    def _number(self, values: list[str]) -> None:
        if not all(map(FLOATING.fullmatch, values)):
            self.can.discard("number")
            return
        if self.seen > len(values) and not self.scales:  # whole numbers came before
            self.scales.add(0)
            self.digits = len(str(self.small))
        for value in values:
            mantissa, _, exponent = value.lower().partition("e")
            whole, dot, rest = mantissa.partition(".")
            if exponent:
                self.exponents += 1
            else:
                self.fractions += bool(dot)
                self.scales.add(len(rest))
                self.ragged += rest.endswith("0") and rest != "0"
            self.digits = max(self.digits, len((whole + rest).lstrip("-0")), len(whole.lstrip("-")))
            if value.startswith("-") and not float(value):
                self.can.discard("number")  # minus zero

    def _check_moments(self, values: list[str]) -> None:
        if not self.can & {"date", "moment"}:
            return
        found = [MOMENT.fullmatch(value) for value in values]
        if not all(found):
            self.can.discard("moment")
        kind = find_type("timestamptz" if "moment" in self.can else "date")
        if self.can & {"date", "moment"}:
            self.zoned += sum(bool(one and one[1]) for one in found)
            try:
                for value in values:
                    kind.read(value)
            except Refusal:
                self.can -= {"date", "moment"}

    def declared(self) -> str:
        """Return the type as which every value stays what it is."""
        if not self.seen:
            return "text"
        for kind, name in (("date", "date"), ("truth", "boolean"), ("uuid", "uuid")):
            if kind in self.can:
                return name
        if "moment" in self.can:
            return f'"timestamp with{"" if self.zoned else "out"} time zone"'
        if "whole" in self.can:
            return "integer" if self.small < 2**31 else "bigint" if self.small < 2**63 else "text"
        return self._number_type() if "number" in self.can else "text"

    def _number_type(self) -> str:
        if self.digits > DIGITS or (self.exponents and not self.fractions):
            return "text"  # 1e5 alone may be a name
        if not self.ragged:
            return "double precision"
        # 9.90 beside 12.50 is a price; 1.10 beside 1.9 is a version
        return f"numeric({DIGITS},{self.scales.pop()})" if len(self.scales) == 1 and not self.exponents else "text"


def infer(file: CsvFile) -> dict[str, str]:
    """Return each column's type; ``id`` becomes the key if its values are whole, all there and different."""
    guesses = [Guess() for _ in file.names]
    rows, total = file.rows(), 0
    key = file.names.index("id") if "id" in file.names else None
    ids: set[str] = set()
    while batch := [row for _, row in islice(rows, BATCH)]:
        total += len(batch)
        if key is not None and "whole" in guesses[key].can:
            ids.update(row[key] for row in batch)
        for guess, values in zip(guesses, zip(*batch, strict=True), strict=True):
            given = [value for value in values if value]
            if given and guess.can:
                guess.add(given)
            guess.seen += 0 if guess.can else len(given)
    types = {name: guess.declared() for name, guess in zip(file.names, guesses, strict=True)}
    if types.get("id") in ("integer", "bigint") and len(ids) == total and "" not in ids:
        types["id"] += " primary key"
        if types["id"].startswith("bigint"):
            types["id"] += " not null"
    return types
