"""PostgreSQL's types over SQLite's values: text flows in by a type's ``read``, JSON flows out by its ``json``.

SQLite would take "abc" into an integer column; PostgreSQL refuses it with 22P02. So every value that comes from a
request passes the type that its column was declared with, and is stored in one form only: integers and booleans as
integers, numbers as numbers, all others as text that sorts as PostgreSQL sorts the type (numeric is kept to 15 digits,
and ``char(n)`` is not padded: the two differences).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from supalab.lab.dialect.refusal import pg_refusal
from supalab.lab.types import pgreaders as readers
from supalab.lab.types.pgjson import JsonText

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PgType", "Value", "cast_type", "declared_type", "payload_text"]

Value = int | float | str | None
_ARGUMENTS = re.compile(r"\(\s*(-?[0-9]+)\s*(?:,\s*(-?[0-9]+)\s*)?\)")


@dataclass(frozen=True, slots=True)
class PgType:
    """One type: ``name`` as PostgreSQL writes it in messages, ``family`` what it compares and casts with."""

    name: str
    family: str
    read: Callable[[str], Value]
    json: Callable[[Any], Any] | None = None
    show: Callable[[Any], str] = str

    def text(self, value: Value) -> str:
        """Return the value as PostgreSQL writes it as text; ``null`` for NULL."""
        return "null" if value is None else self.show(value)

    def from_json(self, value: object) -> Value:
        """Return the stored form of a value that came in a JSON body; raises ``Refusal`` 22P02 and its kin."""
        if value is None:
            return None
        if self.family in ("json", "jsonb"):
            return self.read(value if isinstance(value, JsonText) else json.dumps(value, ensure_ascii=False))
        return self.read(payload_text(value))


def payload_text(value: object) -> str:
    """Return the text that PostgreSQL's ``json_to_recordset`` hands to a type for one JSON value."""
    if isinstance(value, str):
        if "\0" in value:
            details = "\\u0000 cannot be converted to text."
            raise pg_refusal("22P05", "unsupported Unicode escape sequence", details=details)
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _json_value(stored: str | int | float) -> object:
    """Return stored JSON as a value; SQLite keeps a bare number in a column declared as JSON as a number."""
    return json.loads(stored) if isinstance(stored, str) else stored


def _json_float(value: float) -> float | str:
    if value in (float("inf"), float("-inf")):
        return _float_text(value)
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def _float_text(value: Any) -> str:
    return str(float(value)).replace("inf", "Infinity").removesuffix(".0")


def _text_type(name: str, limit: int | None) -> PgType:
    if limit is None:
        return PgType(name, "text", readers.read_text)
    return PgType(name, "text", readers.limited_text(f"{name}({limit})", limit))


def _numeric_type(precision: int | None, scale: int | None) -> PgType:
    return PgType("numeric", "number", readers.numeric_reader(precision, scale))


def _float_type(name: str) -> PgType:
    return PgType(name, "number", readers.float_reader(name), _json_float, _float_text)


def _bool_text(value: int) -> str:
    return "t" if value else "f"


_SIMPLE: dict[str, PgType] = {
    "text": _text_type("text", None),
    "smallint": PgType("smallint", "integer", readers.integer_reader("smallint", 15)),
    "integer": PgType("integer", "integer", readers.integer_reader("integer", 31)),
    "bigint": PgType("bigint", "integer", readers.integer_reader("bigint", 63)),
    "real": _float_type("real"),
    "double precision": PgType(
        "double precision", "number", readers.float_reader("double precision"), _json_float, _float_text
    ),
    "boolean": PgType("boolean", "boolean", readers.read_boolean, bool, _bool_text),
    "json": PgType("json", "json", readers.read_json, _json_value),
    "jsonb": PgType("jsonb", "jsonb", readers.read_jsonb, _json_value),
    "uuid": PgType("uuid", "uuid", readers.read_uuid),
    "date": PgType("date", "date", readers.read_date),
    "time": PgType("time without time zone", "time", readers.read_time),
    "timestamp": PgType(
        "timestamp without time zone", "timestamp", readers.read_timestamp, None, readers.show_timestamp
    ),
    "timestamptz": PgType(
        "timestamp with time zone", "timestamptz", readers.read_timestamptz, None, readers.show_timestamp
    ),
    "bytea": PgType("bytea", "bytea", readers.read_bytea),
}
_ALIASES = {
    "int2": "smallint",
    "smallserial": "smallint",
    "int": "integer",
    "int4": "integer",
    "serial": "integer",
    "int8": "bigint",
    "bigserial": "bigint",
    "float4": "real",
    "float8": "double precision",
    "float": "double precision",
    "double": "double precision",
    "bool": "boolean",
    "blob": "bytea",
    "datetime": "timestamp",
    "name": "text",
    "citext": "text",
    "clob": "text",
    "string": "text",
    "time without time zone": "time",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
}
_LIMITED = {
    "varchar": "character varying",
    "character varying": "character varying",
    "char": "character",
    "character": "character",
    "bpchar": "bpchar",
    "nvarchar": "character varying",
}


def _find(name: str, first: int | None, second: int | None) -> PgType | None:
    name = _ALIASES.get(name, name)
    if name in _LIMITED:
        return _text_type(_LIMITED[name], first)
    if name in ("numeric", "decimal", "dec"):
        return _numeric_type(first, second)
    return _SIMPLE.get(name)


@lru_cache(maxsize=256)
def declared_type(declaration: str) -> PgType:
    """Return the type of a column declared so in a seed; what PostgreSQL does not know is text."""
    match = _ARGUMENTS.search(declaration)
    first, second = (int(number) if number else None for number in match.group(1, 2)) if match else (None, None)
    name = " ".join(_ARGUMENTS.sub(" ", declaration).lower().split())
    return _find(name, first, second) or _SIMPLE["text"]


@lru_cache(maxsize=256)
def cast_type(name: str) -> PgType:
    """Return the type that ``::name`` names; raises ``Refusal`` 42704 for one that PostgreSQL does not know."""
    found = _find(re.sub(r"\s+", " ", name.lower()), 1 if name.lower() in ("char", "character") else None, None)
    if found is None or name.lower() in ("blob", "datetime", "string", "clob", "double", "citext", "nvarchar"):
        raise pg_refusal("42704", f'type "{name.lower()}" does not exist')
    return found
