"""``select=column::type``: a stored value and two types flow in, the value in the new type or 42846/22P02 flows out."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from supalab.lab.dialect.refusal import pg_refusal
from supalab.lab.types.pgtypes import PgType, cast_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from supalab.lab.types.pgtypes import Value

__all__ = ["caster"]

_TEMPORAL = ("date", "time", "timestamp", "timestamptz")
# Which families PostgreSQL casts into which besides text, into and from which everything goes.
_ALLOWED = {
    "integer": {"integer", "number", "boolean"},
    "number": {"integer", "number"},
    "boolean": {"boolean", "integer"},
    "json": {"json", "jsonb"},
    "jsonb": {"json", "jsonb", "boolean", "integer", "number"},
    "uuid": {"uuid"},
    "date": {"date", "timestamp", "timestamptz"},
    "time": {"time"},
    "timestamp": set(_TEMPORAL),
    "timestamptz": set(_TEMPORAL),
    "bytea": {"bytea"},
}


def caster(source: PgType, target_name: str) -> tuple[PgType, Callable[[Value], Value]]:
    """Return the type that ``::target_name`` gives, and the function that casts one stored value into it.

    Raises ``Refusal`` 42704 for an unknown type and 42846 for a cast that PostgreSQL does not have; the function
    raises 22P02 or 22003 for a value that does not fit.
    """
    target = cast_type(target_name)
    free = "text" in (source.family, target.family)
    if not free and target.family not in _ALLOWED[source.family]:
        raise pg_refusal("42846", f"cannot cast type {source.name} to {target.name}")
    mixed = {source.family, target.family} == {"integer", "boolean"} and "integer" not in (source.name, target.name)
    if mixed:
        raise pg_refusal("42846", f"cannot cast type {source.name} to {target.name}")
    return target, lambda value: None if value is None else _cast(source, target, value)


def _cast(source: PgType, target: PgType, value: Value) -> Value:
    if target.family == "integer" and source.family in ("integer", "number"):
        return _whole(target, value)
    if target.family == "boolean" and source.family == "integer":
        return int(bool(value))
    if target.family == "integer" and source.family == "boolean":
        return value
    text = source.text(value)
    if target.family == "text" and "(" not in target.name:
        return _cut(target, text)
    return target.read(text)


def _cut(target: PgType, text: str) -> Value:
    """An explicit cast to ``char`` cuts where an insert would refuse."""
    return text[:1] if target.name == "character" else text


def _whole(target: PgType, value: Value) -> Value:
    rounded = int(Decimal(str(value)).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    bits = {"smallint": 15, "integer": 31}.get(target.name, 63)
    if not -(2**bits) <= rounded < 2**bits:
        raise pg_refusal("22003", f"{target.name} out of range")
    return rounded
