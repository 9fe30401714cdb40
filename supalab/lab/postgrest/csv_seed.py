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
FLOATING = r"(?!-0(?:\.0*)?(?:[eE]|\Z))-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?"  # but not minus zero
DAY, CLOCK, ZONE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?", r"[+-][0-9]{2}"
KINDS = {
    "date": re.compile(DAY),
    "boolean": re.compile(r"true|false", re.I),
    "uuid": re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "timestamptz": re.compile(rf"{DAY}[ T]{CLOCK}(?: ?(?:[Zz]|{ZONE}(?::?[0-9]{{2}})?))?"),
    "whole": re.compile(r"-?[1-9][0-9]{0,18}|0"),
    "number": re.compile(FLOATING),
}
ZONED = re.compile(r".*(?:[Zz]|:[0-9.]+ ?[+-][0-9:]+)")


class CsvFile:
    """A CSV file that can be read from its start several times; ``tick`` receives the bytes read so far."""

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
        return max((one for one in SEPARATORS if one in header), key=lambda one: _width(sample, one), default=",")

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


def _width(sample: list[str], separator: str) -> int:
    """Return how many columns a separator gives, 0 when lines differ, as they do with a wrong one."""
    try:
        rows = [row for row in csv.reader(sample, delimiter=separator) if row]
    except csv.Error:
        return 0
    widths = {len(row) for row in (rows if len(sample) < 20 else rows[:-1])}
    return widths.pop() if len(widths) == 1 else 0


def _reader(declared: str) -> Callable[[str], object] | None:
    """Return what turns a value into its stored form; None where SQLite's own rules do so."""
    kind = find_type(re.sub(r" (primary key|unique|not null|default).*", "", declared))
    return None if kind.family in ("text", "integer", "number", "uuid") else kind.read


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
                self._number(value.lower())
        for kind in {"date", "timestamptz"} & self.can.keys():
            self.zoned = self.zoned or any(map(ZONED.fullmatch, values))
            try:
                for value in values:
                    find_type(kind).read(value)
            except Refusal:
                del self.can[kind]

    def _number(self, value: str) -> None:
        mantissa, _, exponent = value.partition("e")
        whole, _, rest = mantissa.lstrip("-").partition(".")
        self.digits = max(self.digits, len((whole + rest).lstrip("0")), len(whole))
        if exponent:
            self.exponents = True
        else:
            self.scales.add(len(rest))
            self.ragged = self.ragged or (rest.endswith("0") and rest != "0")

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
    rows, total, ids = file.rows(), 0, set[str]()
    while batch := [row for _, row in islice(rows, BATCH)]:
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
