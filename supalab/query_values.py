"""The types behind ``filters=`` and how they are written as query parameters; values are never glued in by hand. Pure.

Source of the grammar: PostgREST's documentation, "Tables and Views", operators and reserved characters.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, TypeAlias
from uuid import UUID

from supalab.errors import SettingsError

Scalar: TypeAlias = str | int | float | bool | Decimal | date | time | UUID
#: A name, and perhaps a path into a JSON column: ``data->owner->>name``.
COLUMN = re.compile(r"[^\W\d]\w{0,62}(->>?\w{1,63})*")
#: Larger than any column of numbers needs; str() itself refuses numbers of thousands of digits.
TOO_LARGE = 10**1000
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
#: Sequences to Python, but no lists of anything that a filter could mean.
NO_LIST = (str, bytes, bytearray, memoryview)
#: What means something else as a parameter's name, to PostgREST or (``apikey``) to Supabase's gateway.
RESERVED = frozenset({"select", "columns", "on_conflict", "order", "limit", "offset", "and", "or", "apikey"})


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on one column; made by ``eq``, ``gte``, … and negated by ``~``."""

    operator: str
    operand: str
    #: ``text`` is quoted inside a group; ``list`` and ``word`` are already in the grammar's form.
    form: Literal["text", "list", "word"] = "text"
    negated: bool = False

    def __invert__(self) -> Filter:
        """The opposite condition. Rows with NULL in the column fit neither, as in SQL."""
        return replace(self, negated=not self.negated)

    def _written(self, operand: str) -> str:
        return f"{'not.' if self.negated else ''}{self.operator}.{operand}"

    def as_parameter(self) -> str:
        """The form for a parameter of its own, where PostgREST takes a text as it stands."""
        return self._written(self.operand)

    def in_group(self) -> str:
        """The form inside ``or=(…)``, where commas and brackets mean something, so texts are quoted."""
        return self._written(quoted(self.operand) if self.form == "text" else self.operand)


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined by ``or`` / ``and``; made by ``any_of`` and ``all_of``, negated by ``~``."""

    joined_by: Literal["or", "and"]
    members: tuple[tuple[str, Filter] | Group, ...]
    negated: bool = False

    def __invert__(self) -> Group:
        """The opposite condition."""
        return replace(self, negated=not self.negated)

    @property
    def name(self) -> str:
        """The parameter's name: ``or``, ``not.and``, …"""
        return f"not.{self.joined_by}" if self.negated else self.joined_by

    def as_parameter(self) -> str:
        """The members in brackets."""
        return f"({','.join(map(_member, self.members))})"


Condition: TypeAlias = Scalar | Filter | Sequence[Filter] | None
#: What every method's ``filters=`` takes.
Filters: TypeAlias = Mapping[str, Condition] | Group | Sequence["Mapping[str, Condition] | Group"]


def parameters(filters: Filters | None) -> list[tuple[str, str]]:
    """Write filters as query parameters, in the order given; raises SettingsError for what cannot be one.

    Every parameter is a condition, whatever its column is called.
    """
    return [_parameter(member) for member in members_of(filters)]


def _parameter(member: tuple[str, Filter] | Group) -> tuple[str, str]:
    if isinstance(member, Group):
        return member.name, member.as_parameter()
    name, condition = member
    if name.lower() in RESERVED:
        # As a parameter, a column called "columns" would be no condition at all; inside a group it is a column.
        return _parameter(Group("and", (member,)))
    return name, condition.as_parameter()


def column_name(name: object) -> str:
    """Return ``name`` if it can be a column (or a path into a JSON column), else raise SettingsError."""
    if not isinstance(name, str) or not COLUMN.fullmatch(name):
        raise SettingsError(
            f"{name!r} is not a column name: use letters, digits and _, and -> or ->> for paths into JSON"
        )
    return name


def listed(name: str, given: object, cure: str = "a list of values") -> list[Any]:
    """The elements of a list, or of another iterable; raises SettingsError, which names ``cure``, for what is none."""
    if isinstance(given, (*NO_LIST, Mapping)) or not isinstance(given, Iterable):
        raise SettingsError(f"{name} {given!r}: pass {cure}")
    return list(given)


def texts(name: str, given: object) -> list[str]:
    """The parts of a text with commas, or of a list of texts; raises SettingsError for what is neither."""
    if isinstance(given, str):
        return given.split(",") if given else []
    cure = "a text such as 'id,title', or a list of texts"
    parts = listed(name, given, cure)
    if not all(isinstance(part, str) for part in parts):
        raise SettingsError(f"{name} {given!r}: pass {cure}")
    return parts


def quoted(value: str) -> str:
    """``value`` in double quotes, with quotes and backslashes escaped."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _member(member: tuple[str, Filter] | Group) -> str:
    if isinstance(member, Group):
        return member.name + member.as_parameter()
    return f"{member[0]}.{member[1].in_group()}"


def members_of(filters: Filters | None) -> list[tuple[str, Filter] | Group]:
    """Flatten filters into single conditions and groups; raises SettingsError for what is neither."""
    if filters is None:
        return []
    if isinstance(filters, Group):
        return [filters]
    if isinstance(filters, Mapping):
        return [(column_name(name), one) for name, condition in filters.items() for one in _conditions(condition)]
    if isinstance(filters, Sequence) and not isinstance(filters, NO_LIST):
        return [member for part in filters for member in members_of(part)]
    raise SettingsError(
        f"filters {filters!r} must be a mapping such as {{'prize': gte(1000)}}, or any_of(…), all_of(…)"
    )


def _conditions(condition: object) -> list[Filter]:
    if isinstance(condition, Filter):
        return [condition]
    if condition is None:
        return [Filter("is", "null", "word")]
    if isinstance(condition, Sequence) and not isinstance(condition, NO_LIST):
        if not condition:  # dropped, it would widen the whole to rows that nobody meant
            raise SettingsError(
                "an empty list as a filter says nothing: write in_([]) for 'no row', or leave the column out"
            )
        if all(isinstance(one, Filter) for one in condition):
            return list(condition)
        raise SettingsError(f"{condition!r} as a filter: write in_({condition!r}) for 'one of these'")
    return [Filter("eq", text_of(condition))]


def text_of(value: object) -> str:
    """Write a scalar as PostgreSQL reads it; raises SettingsError for what is none, or cannot be stored."""
    if isinstance(value, Enum):
        return text_of(value.value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingsError(f"{value} cannot be a filter's value: use a finite number")
    if isinstance(value, str) and UNSTORABLE.search(value):
        raise SettingsError("a filter's value holds a NUL or half a surrogate pair, which no text column can store")
    if isinstance(value, int) and not -TOO_LARGE < value < TOO_LARGE:
        raise SettingsError("a number of more than 1,000 digits cannot be written into a request")
    if isinstance(value, (str, int, float, Decimal, UUID)):
        return str(value)
    raise SettingsError(
        f"{value!r} cannot be a filter's value: use text, a number, True/False or a date (None: is_(None))"
    )


def json_bytes(value: object, what: str) -> bytes:
    """Write ``value`` as JSON, dates and decimals as text; raises SettingsError, which names ``what`` it is."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=text_of).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingsError(f"{what} cannot be written as JSON: {error}") from error
