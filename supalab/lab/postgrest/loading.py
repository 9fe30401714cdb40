"""The database into which a seed is loaded: its SQL functions, its limits of time and size, and its reports."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from supalab.lab.postgrest.functions import pg_order, pg_pattern, pg_zone, register
from supalab.lab.postgrest.refusal import Refusal
from supalab.lab.postgrest.types import DIGITS, Value, find_type, pg_number, read_array

Progress = Callable[[int, int], None]
CELL = 32 * 1024 * 1024  # bytes of the largest value
PAGES = 262_144  # of 4 KB each: 1 GB for the whole database
STATEMENT_S = 20.0  # shorter than the silence after which a Lab's owner gives up, so that it receives the reason
STEPS = 20_000  # SQLite's instructions between two checks of the clock, where signals are handled too
TICK_S = 0.25
REASONS = {  # parts of SQLite's messages about statements that it cannot run, and our messages about the seed
    "is full": "it needs more than the 1 GB that the lab gives a seed; make it smaller",
    "too big": "a value has more than 32 MB, which the lab does not keep; make it smaller",
    "parser stack": "the statement is nested too deeply; make it simpler",
    "too many columns": "a table of the lab has at most 2,000 columns; remove some",
    "generate_series": "the lab has no generate_series; write WITH RECURSIVE or the rows themselves",
    "no such function": "{} in SQLite, which runs the lab; write the value itself, or remove the statement",
    "syntax error": "{} for SQLite, which runs the lab; write it as SQLite does, or remove it",
    "Cannot add a": "{}; write it into CREATE TABLE",
    "values were supplied": "{}; name the columns that they are for",
}
CAUSES: dict[type[BaseException], str] = {MemoryError: "is full", RecursionError: "parser stack"}


class Loading:
    """Loads one file into ``connection``, a new database in memory."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        self.path, self.size, self.progress = path, path.stat().st_size, progress
        self.done, self.told, self.deadline = 0, time.monotonic(), float("inf")
        self.connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=512)
        self.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, CELL)
        self.connection.execute(f"PRAGMA max_page_count = {PAGES}")
        self.connection.execute("PRAGMA foreign_keys = OFF")
        self.refused = register(self.connection, FUNCTIONS)
        register(self.connection, {**CHANGING, **_sequences()}, deterministic=False)

    def tick(self, done: int) -> None:
        """Note the progress, and report it if the last report is old enough."""
        self.done = done
        if self.progress is not None and time.monotonic() - self.told > TICK_S:
            self.told = time.monotonic()
            self.progress(min(done, self.size), self.size)

    def begin(self) -> None:
        """Start the time limit of the next statement."""
        self.deadline = time.monotonic() + STATEMENT_S
        self.connection.set_progress_handler(self._watch, STEPS)

    def _watch(self) -> int:
        """Return whether SQLite should stop a statement."""
        self.tick(self.done)
        return int(time.monotonic() > self.deadline)

    def reason(self, error: BaseException) -> object:
        """Return why a statement failed: the refusal of one of our functions, the time, the size, or SQLite's words."""
        refusal = self.refused.pop() if self.refused else error
        if isinstance(refusal, Refusal):
            return refusal.shape["message"]
        if time.monotonic() > self.deadline:
            return f"this statement takes longer than {STATEMENT_S:g} s; make it smaller"
        said = CAUSES.get(type(error), str(error))
        return next((reason for words, reason in REASONS.items() if words in said), "{}").format(said)


# Functions that PostgreSQL has and SQLite lacks: for defaults, checks, views and triggers of seeds, and for arrays


def pg_to(value: Value, declared: str) -> Value:
    """Return a value as another type: ``value::type`` in a seed."""
    kind = find_type(declared)
    if kind.family == "integer" and isinstance(value, float):
        return find_type("double precision").cast(value, kind)
    read = kind.read(pg_number(value).strip('"') if isinstance(value, float) else str(value))
    return pg_fraction(read) if kind.name == "numeric" else read


def pg_fraction(value: Value) -> Value:
    """Return a whole number of the type numeric in the form in which SQLite divides it as a fraction."""
    return float(value) if isinstance(value, int) and abs(value) < 2**53 else value


def pg_rounded(value: Value) -> Value:
    """Return a computed numeric without the error of binary fractions."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def in_list(values: str, value: Value) -> bool:
    """Return whether a value is in a list: ``value = ANY (ARRAY[…])``."""
    return value in (json.loads(values) if values.startswith("[") else read_array(values))


def pg_array(value: str, operator: str, other: str) -> bool:
    """Return whether an array contains another (``cs``), is contained in it (``cd``) or shares an element (``ov``)."""
    own, its = json.loads(value), json.loads(other)
    if operator == "ov":
        return any(item is not None and item in its for item in own)
    inner, outer = (its, own) if operator == "cs" else (own, its)
    return all(item is not None and item in outer for item in inner)


def pg_array_order(value: str) -> str:
    """Return a text that sorts like PostgreSQL's arrays: element by element, NULL last, shorter arrays first."""
    items = (item if item is None else json.dumps(item, ensure_ascii=False) for item in json.loads(value))
    return "".join(f"\x02{'9' if item is None else pg_order(item)}\x01" for item in items)


def clock_in_zone(zone: str, value: Value) -> str:
    """Return the clock time of a time zone at a moment: ``moment AT TIME ZONE zone``."""
    moment = str(find_type("timestamptz").read(str(value)))
    return pg_zone(moment, "UTC" if zone.lower() == "utc" else zone)[: -len("+00:00")]


def _given(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if value is not None]


def _sequences() -> dict[str, Callable[..., Value]]:
    """Return the functions that number rows, by the name of a sequence without its schema."""
    last: dict[str, int] = {}
    steps: dict[str, int] = {}

    def key(name: str) -> str:
        return name.replace('"', "").rpartition(".")[2]

    def setval(name: str, value: int | None, called: int = 1) -> int | None:
        if value is not None:
            last[key(name)] = value if called else value - steps.get(key(name), 1)
        return value

    def nextval(name: str, start: int = 1, step: int = 1, _: str = "") -> int | None:
        step = steps.setdefault(key(name), step)
        return setval(name, last.get(key(name), start - step) + step)

    def pg_sequence(name: str, start: int | None = None, step: int | None = None) -> int | None:
        if step is not None:
            steps[key(name)] = step
        return setval(name, start, 0)

    return {
        "setval": setval,
        "nextval": nextval,
        "currval": lambda name: last.get(key(name)),
        "pg_sequence": pg_sequence,
        "pg_restart": lambda name: last.pop(key(name), None),
    }


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "pg_to": pg_to,
    "pg_fraction": pg_fraction,
    "pg_rounded": pg_rounded,
    "in_list": in_list,
    "pg_array": pg_array,
    "pg_array_order": pg_array_order,
    "pg_pattern": pg_pattern,
    "like": lambda sought, value: pg_pattern(value, "like", str(sought)),  # SQLite's own ignores the case of letters
    "pg_get_serial_sequence": lambda table, column: f"{table}_{column}_seq",
    "timezone": clock_in_zone,
    "concat": lambda *values: "".join(map(str, _given(values))),
    "greatest": lambda *values: max(_given(values), default=None),
    "least": lambda *values: min(_given(values), default=None),
    "left": lambda text, count: str(text)[:count],
    "right": lambda text, count: str(text)[-count:] if count else "",
    "md5": lambda text: hashlib.md5(str(text).encode(), usedforsecurity=False).hexdigest(),
}
CHANGING: dict[str, Callable[..., Value]] = {
    **dict.fromkeys(
        ("now", "clock_timestamp", "statement_timestamp", "transaction_timestamp"),
        lambda: find_type("timestamptz").read("now"),
    ),
    **dict.fromkeys(("gen_random_uuid", "uuid_generate_v4"), lambda: str(uuid.uuid4())),
}
