"""What PostgreSQL has and SQLite has not: functions for defaults, checks, views and triggers of seeds, and arrays."""

from __future__ import annotations

import hashlib
import json
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from supalab.lab.postgrest.functions import pg_order
from supalab.lab.postgrest.refusal import Refusal
from supalab.lab.postgrest.types import Value, find_type, read_array

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable


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


def _given(function: Callable[[list[Any]], Value]) -> Callable[..., Value]:
    """Return a function of any number of values that leaves NULL out."""

    def call(*values: Value) -> Value:
        given = [value for value in values if value is not None]
        return function(given) if given else None

    return call


def _text(function: Callable[..., Value]) -> Callable[..., Value]:
    """Return a function of a text that is NULL when one of its values is."""
    return lambda *given: None if None in given else function(str(given[0]), *given[1:])


def _aggregate(function: Callable[[list[Any]], Value]) -> type:
    """Return an aggregate over the values that are not NULL."""

    class Gathered:
        def __init__(self) -> None:
            self.rows: list[Any] = []

        def step(self, *row: Value) -> None:
            if row[0] is not None:
                self.rows.append(row)

        def finalize(self) -> Value:
            return function(self.rows) if self.rows else None

    return Gathered


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


def register(connection: sqlite3.Connection) -> list[Refusal]:
    """Give a connection these functions; return the list where their refusals will be, for SQLite swallows them."""
    refused: list[Refusal] = []

    def cast(value: Value, declared: str) -> Value:
        try:
            return pg_to(value, declared)
        except Refusal as refusal:
            refused.append(refusal)
            raise

    sequences = Sequences()
    for name in ("now", "clock_timestamp", "statement_timestamp", "transaction_timestamp"):
        connection.create_function(name, 0, lambda: find_type("timestamptz").read("now"))
    for name in ("gen_random_uuid", "uuid_generate_v4"):
        connection.create_function(name, 0, lambda: str(uuid.uuid4()))
    connection.create_function("nextval", 1, sequences.next)
    connection.create_function("setval", 2, sequences.set)
    connection.create_function("setval", 3, sequences.set)
    functions: dict[tuple[str, int], Callable[..., Value]] = {
        ("pg_to", 2): cast,
        ("in_list", 2): in_list,
        ("pg_array", 3): pg_array,
        ("pg_array_order", 1): pg_array_order,
        ("pg_scaled", 2): pg_scaled,
        ("concat", -1): lambda *values: "".join(str(value) for value in values if value is not None),
        ("greatest", -1): _given(max),
        ("least", -1): _given(min),
        ("left", 2): _text(lambda text, count: text[:count]),
        ("right", 2): _text(lambda text, count: text[-count:] if count else ""),
        ("btrim", 1): _text(lambda text: text.strip(" ")),
        ("char_length", 1): _text(len),
        ("md5", 1): _text(lambda text: hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()),
    }
    for (name, arity), function in functions.items():
        connection.create_function(name, arity, function, deterministic=True)
    connection.create_aggregate("bool_and", 1, _aggregate(lambda rows: all(value for (value,) in rows)))
    connection.create_aggregate("bool_or", 1, _aggregate(lambda rows: any(value for (value,) in rows)))
    joined = _aggregate(lambda rows: str(rows[-1][1] or "").join(str(value) for value, _ in rows))
    connection.create_aggregate("string_agg", 2, joined)
    return refused
