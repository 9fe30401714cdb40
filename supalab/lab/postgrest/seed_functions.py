"""What PostgreSQL has and SQLite has not: functions for defaults, checks, views and triggers of seeds, and arrays."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from supalab.lab.postgrest.functions import pg_order
from supalab.lab.postgrest.refusal import Refusal
from supalab.lab.postgrest.types import Value, find_type, read_array, trimmed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable


def now() -> str:
    """Return this moment in the stored form of timestamptz."""
    return trimmed(datetime.now(UTC).replace(tzinfo=None).isoformat()) + "+00:00"


def new_uuid() -> str:
    """Return a random UUID."""
    return str(uuid.uuid4())


def pg_to(value: Value, declared: str) -> Value:
    """Return a value read as a type: ``value::type`` in a seed."""
    if value is None:
        return None
    kind = find_type(declared)
    if kind.family == "integer" and isinstance(value, float):
        return find_type("double precision").cast(value, kind)
    if kind.family == "array" and str(value).startswith("["):
        return kind.from_json(json.loads(str(value)))
    return kind.read(str(value))


def in_list(values: str | None, value: Value) -> bool | None:
    """Return whether a value is in a list: ``value = ANY (ARRAY[…])``."""
    if values is None or value is None:
        return None
    listed = json.loads(values) if values.startswith("[") else read_array(values)
    return value in listed


def pg_array(value: str | None, operator: str, other: str | None) -> bool | None:
    """Return whether an array contains another (``cs``), is contained in it (``cd``) or shares an element (``ov``)."""
    if value is None or other is None:
        return None
    own, its = (json.loads(one) for one in (value, other))
    if operator == "ov":
        return any(item is not None and item in its for item in own)
    inner, outer = (its, own) if operator == "cs" else (own, its)
    return all(item is not None and item in outer for item in inner)


def pg_array_order(value: str | None) -> str | None:
    """Return a text that sorts as PostgreSQL sorts arrays: element by element, NULL last, shorter ones first."""
    if value is None:
        return None
    items = json.loads(value)
    return "".join(
        f"\x02{'9' if item is None else pg_order(json.dumps(item, ensure_ascii=False))}\x01" for item in items
    )


def pg_scaled(value: Value, scale: int) -> str:
    """Return a number of the type numeric(p, s) in JSON, with all its decimals."""
    return "null" if value is None else f"{Decimal(str(value)):.{scale}f}"


def concat(*values: Value) -> str:
    """Return the texts of values one after another; NULL is nothing."""
    return "".join("" if value is None else str(value) for value in values)


def _extreme(choose: Callable[..., Value]) -> Callable[..., Value]:
    def chosen(*values: Value) -> Value:
        given = [value for value in values if value is not None]
        return choose(given) if given else None

    return chosen


def _text(function: Callable[..., Value]) -> Callable[..., Value]:
    return lambda *given: None if None in given else function(str(given[0]), *given[1:])


class _All:
    """The aggregate ``bool_and``; ``bool_or`` is ``max``."""

    def __init__(self) -> None:
        self.found: bool | None = None

    def step(self, value: Value) -> None:
        if value is not None:
            self.found = bool(value) and self.found is not False

    def finalize(self) -> bool | None:
        return self.found


class _Any(_All):
    def step(self, value: Value) -> None:
        if value is not None:
            self.found = bool(value) or self.found is True


class _Joined:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.between = ""

    def step(self, value: Value, between: Value) -> None:
        if value is not None:
            self.parts.append(str(value))
            self.between = str(between or "")

    def finalize(self) -> str | None:
        return self.between.join(self.parts) if self.parts else None


class Sequences:
    """The sequences of a script by name."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}

    def next(self, name: str) -> int:
        """Return a sequence's next number."""
        name = _plain(name)
        self.last[name] = self.last.get(name, 0) + 1
        return self.last[name]

    def set(self, name: str, value: int, called: int = 1) -> int:
        """Continue a sequence after a number, or with it when it is not ``called`` yet."""
        self.last[_plain(name)] = value if called else value - 1
        return value


def _plain(name: str) -> str:
    return name.replace('"', "").rpartition(".")[2]


def _register_defaults(connection: sqlite3.Connection) -> None:
    """Add the functions that columns are given as defaults."""
    sequences = Sequences()
    for name in ("now", "clock_timestamp", "statement_timestamp", "transaction_timestamp"):
        connection.create_function(name, 0, now)
    for name in ("gen_random_uuid", "uuid_generate_v4"):
        connection.create_function(name, 0, new_uuid)
    connection.create_function("nextval", 1, sequences.next)
    connection.create_function("setval", 2, sequences.set)
    connection.create_function("setval", 3, sequences.set)


def register(connection: sqlite3.Connection) -> list[Refusal]:
    """Give a connection these functions; return the list where their refusals will be, for SQLite swallows them."""
    refused: list[Refusal] = []

    def cast(value: Value, declared: str) -> Value:
        try:
            return pg_to(value, declared)
        except Refusal as refusal:
            refused.append(refusal)
            raise

    _register_defaults(connection)
    for name, arity, function in (
        ("pg_to", 2, cast),
        ("in_list", 2, in_list),
        ("pg_array", 3, pg_array),
        ("pg_array_order", 1, pg_array_order),
        ("pg_scaled", 2, pg_scaled),
        ("concat", -1, concat),
        ("greatest", -1, _extreme(max)),
        ("least", -1, _extreme(min)),
        ("left", 2, _text(lambda text, count: text[:count])),
        ("right", 2, _text(lambda text, count: text[-count:] if count else "")),
        ("btrim", 1, _text(lambda text: text.strip(" "))),
        ("char_length", 1, _text(len)),
        ("md5", 1, _text(lambda text: hashlib.md5(text.encode(), usedforsecurity=False).hexdigest())),
    ):
        connection.create_function(name, arity, function, deterministic=True)
    for name, arity, aggregate in (("bool_and", 1, _All), ("bool_or", 1, _Any), ("string_agg", 2, _Joined)):
        connection.create_aggregate(name, arity, aggregate)  # type: ignore[arg-type]
    return refused
