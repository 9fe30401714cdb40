"""Write names, conditions and values into a request with safe quoting, so that none can change its meaning. Pure.

A plain name is not changed. Other names are put in double quotes, with a backslash before quotes and backslashes
inside. Source of the grammar: PostgREST's documentation, "Tables and Views", operators and reserved characters.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias, TypeGuard
from uuid import UUID

from supalab.errors import SettingsError, shown

Scalar: TypeAlias = str | int | float | bool | Decimal | date | time | UUID
#: More than any column of numbers needs; str() itself refuses numbers of thousands of digits.
TOO_LARGE = 10**1000
#: Sequences in Python, but not lists of values for a filter.
NO_LIST = (str, bytes, bytearray, memoryview)
#: Names that have another meaning as a parameter, for PostgREST or (``apikey``) for Supabase's gateway.
RESERVED = frozenset({"select", "columns", "on_conflict", "order", "limit", "offset", "and", "or", "apikey"})


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on one column; created by ``eq``, ``gte``, … and negated by ``~``."""

    operator: str
    operand: str
    #: ``text`` is quoted inside a group; ``list`` and ``word`` are already in the grammar's form.
    form: Literal["text", "list", "word"] = "text"
    negated: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.operator, str) or not isinstance(self.operand, str):
            raise SettingsError(f"Filter({shown(self.operator)}, {shown(self.operand)}): make one with eq(…), …")

    def __invert__(self) -> Filter:
        """The opposite condition. Rows with NULL in the column fit neither, as in SQL."""
        return replace(self, negated=not self.negated)

    def as_parameter(self) -> str:
        """Return the form for a separate parameter, in which PostgREST reads text without quotes."""
        return f"{'not.' if self.negated else ''}{self.operator}.{self.operand}"

    def in_group(self) -> str:
        """Return the form inside ``or=(…)``, where commas and parentheses have a meaning, so text is quoted."""
        return (replace(self, operand=quoted(self.operand)) if self.form == "text" else self).as_parameter()


class On(NamedTuple):
    """A condition with its column (or path) and the embedded resource (``owners.``) before it, or ``""``."""

    resource: str
    column: str
    condition: Filter


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined by ``or`` / ``and``; created by ``any_of`` and ``all_of``, negated by ``~``."""

    joined_by: Literal["or", "and"]
    members: tuple[On | Group, ...]
    negated: bool = False
    #: The embedded resource of all its members.
    resource: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "resource", self.members[0].resource)
        if "not." in self.resource or any(member.resource != self.resource for member in self.members):
            raise SettingsError(
                "any_of and all_of take columns of one table or of one embedded resource, but none of a resource 'not'"
            )

    def __invert__(self) -> Group:
        """The opposite condition."""
        return replace(self, negated=not self.negated)


Condition: TypeAlias = Scalar | Filter | Sequence[Filter] | None
#: What every method's ``filters=`` takes.
Filters: TypeAlias = Mapping[str, Condition] | Group | Sequence["Mapping[str, Condition] | Group"]


def parameters(filters: Filters | None) -> list[tuple[str, str]]:
    """Write filters as query parameters, in the order given; raises SettingsError for invalid filters."""
    try:
        return [_parameter(member) for member in members_of(filters)]
    except RecursionError:
        raise SettingsError("filters contain themselves, or are nested too deeply for a request") from None


def _parameter(member: On | Group) -> tuple[str, str]:
    if isinstance(member, On):
        if member.column.lower() not in RESERVED:
            return member.resource + member.column, member.condition.as_parameter()
        # As a parameter, a column called "columns" would not be a condition; inside a group it is a column.
        member = Group("and", (member,))
    word, bracket, inside = _in_group(member).partition("(")
    return member.resource + word, bracket + inside


def _in_group(member: On | Group) -> str:
    if isinstance(member, On):
        return f"{member.column}.{member.condition.in_group()}"
    return f"{'not.' if member.negated else ''}{member.joined_by}({','.join(map(_in_group, member.members))})"


def members_of(filters: Filters | None) -> list[On | Group]:
    """Flatten filters into single conditions and groups; raises SettingsError for anything else."""
    if filters is None:
        return []
    if isinstance(filters, Group):
        return [filters]
    if isinstance(filters, Mapping):
        return [On(*field_name(name), one) for name, condition in filters.items() for one in _conditions(condition)]
    if is_list(filters):
        return [member for part in filters for member in members_of(part)]
    raise SettingsError(
        f"filters {shown(filters)} must be a mapping such as {{'prize': gte(1000)}}, or any_of(…), all_of(…)"
    )


def _conditions(condition: object) -> list[Filter]:
    if isinstance(condition, Filter):
        return [condition]
    if condition is None:
        return [Filter("is", "null", "word")]
    if is_list(condition):
        if not condition:  # without it, the filter would fit rows that the caller did not mean
            raise SettingsError("an empty list has no meaning as a filter: write in_([]) for no row, or leave it out")
        if all(isinstance(one, Filter) for one in condition):
            return list(condition)
        raise SettingsError(f"{shown(condition)} as a filter: write in_({shown(condition)}) for 'one of these'")
    return [Filter("eq", text_of(condition))]


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Return whether a value is a list of others, which a text or bytes is not."""
    return isinstance(value, Sequence) and not isinstance(value, NO_LIST)


def listed(name: str, given: object, cure: str = "a list of values") -> list[Any]:
    """Return the elements of an iterable; raises SettingsError with ``cure`` for anything else."""
    if isinstance(given, (*NO_LIST, Mapping)) or not isinstance(given, Iterable):
        raise SettingsError(f"{name} {shown(given)}: pass {cure}")
    return list(given)


def text_of(value: object, what: str = "a filter's value") -> str:
    """Write a scalar as PostgreSQL reads it; raises SettingsError for any other value, which it calls ``what``."""
    if isinstance(value, Enum):
        return text_of(value.value, what)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (date, time)) and value == value:  # pandas' NaT is a date, unlike itself
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingsError(f"{what} is {value}: use a finite number, or None for NULL")
    if isinstance(value, str) and UNSTORABLE.search(value):
        raise SettingsError(f"{what} holds a NUL or half a surrogate pair, which no text column can store")
    if isinstance(value, int) and not -TOO_LARGE < value < TOO_LARGE:
        raise SettingsError(f"{what} is a number of more than 1,000 digits, which cannot be written into a request")
    if isinstance(value, (str, int, float, Decimal, UUID)):
        return str(value)
    if hasattr(value, "dtype"):
        raise SettingsError(f"{what} is a NumPy {type(value).__name__}: pass .item(), or .tolist() for an array")
    raise SettingsError(f"{what} cannot be {shown(value)}: use text, a number, True/False, None, a date or a time")


def json_bytes(value: object, what: str) -> bytes:
    """Write ``value`` as JSON, dates and decimals as text; raises SettingsError, which calls the value ``what``."""

    def plain(other: object) -> object:
        if isinstance(other, Enum):
            return other.value
        if isinstance(other, Mapping):
            return dict(other)
        return list(other) if is_list(other) else text_of(other, "a value")

    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        reason = "it has no NaN and no infinity: use None for NULL" if "Out of range" in str(error) else error
        raise SettingsError(f"{what} cannot be sent as JSON: {reason}") from error


# Names.

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
#: How many characters the longest name in PostgreSQL has.
LONGEST = 63

QUOTED = r'"(?:[^"\\]|\\.)*"'
_QUOTED = re.compile(QUOTED, re.DOTALL)


def _name_without(symbols: str) -> str:
    """Return a pattern for a name in quotes, or for one without quotes, ``symbols`` and arrows."""
    return rf'(?:{QUOTED}|(?!")(?:[^{symbols}-]|-(?!>))+)'


def _tokens(symbols: str, symbol: str, mistake: str = "(?!)") -> re.Pattern[str]:
    name = _name_without(symbols)
    return re.compile(rf"\s*(?!{mistake})(?:({symbol})|(->>?)(?!>)\s*({name})|({name})|\Z)", re.DOTALL)


_PART = _name_without(".")
_FIELD = re.compile(rf"((?:{_PART}\.)*)({_PART})((?:->>?(?!>){_PART})*)", re.DOTALL)
_PARTS = re.compile(_PART, re.DOTALL)
_STEPS = re.compile(rf"(->>?)(?!>)({_PART})", re.DOTALL)
#: The characters between the names of an argument, by PostgREST's grammar.
_GRAMMAR = {
    "columns": _tokens('":.,()!', r"\.\.\.|::[\w $]+|\.(?:sum|avg|count|max|min)\(\)|count\(\)|:(?!:)|[,()!]"),
    # If a direction were written as in SQL, it would become part of the name.
    "order": _tokens(
        '".,()',
        r"\.(?:asc|desc|nullsfirst|nullslast)(?=\s*[.,]|\s*\Z)|[,()]",
        r"[^\".,()]*\s(?i:asc|desc)\s*(?:[.,]|\Z)",
    ),
    "on_conflict": _tokens(",", ","),
}


def quoted(text: str) -> str:
    """Return ``text`` in double quotes: a name whose dots, arrows and commas have no special meaning."""
    if not isinstance(text, str):
        raise SettingsError(f"{shown(text)} cannot be quoted: use text")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquoted(name: str) -> str:
    """Return a name without its double quotes, if it has any."""
    if not isinstance(name, str):
        raise SettingsError(f"{shown(name)} is not a name: use text")
    return re.sub(r"\\(.)", r"\1", name[1:-1], flags=re.DOTALL) if _QUOTED.fullmatch(name) else name


@lru_cache(maxsize=2048)
def written_name(name: str, longest: int = LONGEST) -> str:
    """Write one name with any characters; plain names are not changed. Raises SettingsError for an invalid name."""
    if not isinstance(name, str) or not 0 < len(name) <= longest or UNSTORABLE.search(name):
        raise SettingsError(f"{shown(name)} cannot be a name: use a text of 1 to {longest} characters, without NUL")
    # PostgREST accepts any letters without quotes, but not the combining signs of Hindi or Thai.
    plain = not name[0].isdigit() and all(sign.isalpha() or sign in "_0123456789" for sign in name)
    return name if plain else quoted(name)


def _as_given(text: str, longest: int = LONGEST) -> str:
    """Write a name; if it is given in quotes, it keeps them."""
    name = unquoted(text)
    written = written_name(name, longest)
    return written if name is text else text


def _key(key: str) -> str:
    return key if re.fullmatch("-?[0-9]+", key) else _as_given(key, 10_000)


@lru_cache(maxsize=2048)
def field_name(name: str) -> tuple[str, str]:
    """Return a column in two parts: the embedded resource before it (``owners.``), and the column with its path."""
    found = _FIELD.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise SettingsError(
            f"{shown(name)} is not a column: write owners.name for a column of an embedded resource, data->>key for"
            " a path into JSON, and a name that holds dots or arrows in double quotes"
        )
    resource = "".join(f"{_as_given(part)}." for part in _PARTS.findall(found[1]))
    path = "".join(arrow + _key(key) for arrow, key in _STEPS.findall(found[3]))
    return resource, _as_given(found[2]) + path


@lru_cache(maxsize=1024)
def clause(argument: Literal["columns", "order", "on_conflict"], text: str) -> str:
    """Write an argument in PostgREST's grammar, with every name quoted where needed; raises SettingsError."""
    written, at = [], 0
    while at < len(text) and (found := _GRAMMAR[argument].match(text, at)):
        symbol, arrow, key, name = (part and part.strip() for part in found.groups())
        if arrow:
            written.append(arrow + _key(key))
        elif symbol or name:
            written.append(symbol or (name if name == "*" else _as_given(name)))
        at = found.end()
    if at < len(text) or not written:
        example = "prize.desc,id" if argument == "order" else "id,title"
        raise SettingsError(
            f"{argument} {shown(text)}, at {text[at : at + 20]!r}: write names such as {example!r}, and one that holds"
            """ any of . , : ( ) ! " in double quotes: '"v1.2"'"""
        )
    return "".join(written)
