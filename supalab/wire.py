"""What a method call becomes on the wire. Pure: no I/O, shared by every rung.

The arguments of ``select(…)``, ``insert(…)``, … → ``Call`` (method, target, headers, body), which a rung sends.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args
from urllib.parse import quote, urlencode

from supalab.errors import SettingsError
from supalab.query_values import COLUMN, Filters, column_name, json_bytes, parameters, text_of, texts

__all__ = ["Call", "Row", "call_function", "delete", "insert", "select", "update"]

Row: TypeAlias = dict[str, Any]
Count: TypeAlias = Literal["exact", "planned", "estimated"]
Return: TypeAlias = Literal["representation", "minimal"]
Resolution: TypeAlias = Literal["merge-duplicates", "ignore-duplicates"]

OBJECT = "application/vnd.pgrst.object+json"
#: Everything that PostgREST's select grammar uses, and nothing that could leave the parameter.
COLUMNS = re.compile(r'[\w\s*,:()!.>"-]+')
JSON_BODY = {"Content-Type": "application/json"}
#: httpx sends at most 65,536 characters of address, many servers take less.
LONGEST = 60_000
ORDER_WORDS = {"asc", "desc", "nullsfirst", "nullslast"}


def nobody_is_watching() -> None:
    """The default for ``Call.started``: no one times this request."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, ready to be sent: ``target`` is path and query, percent-encoded, behind the base address."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    #: Called by the rung at the moment the request leaves the queue and takes a slot; how a trial times the wait.
    started: Callable[[], None] = nobody_is_watching
    #: The first row asked for and how many, to tell whether an answer was cut.
    offset: int = 0
    limit: int | None = None


def select(
    table: str,
    *,
    columns: str | Sequence[str] = "*",
    filters: Filters | None = None,
    order: str | Sequence[str] | None = None,
    limit: int | None = None,
    offset: int | None = None,
    count: Count | None = None,
    single: bool = False,
    head: bool = False,
) -> Call:
    """Write a read; ``single`` asks for one object, and the server refuses any other number of rows."""
    params = [("select", _columns(columns)), *parameters(filters)]
    terms = [] if order is None else _order(order)
    if terms:
        params.append(("order", ",".join(terms)))
    params += [(name, _not_negative(name, n)) for name, n in (("limit", limit), ("offset", offset)) if n is not None]
    headers = {"Accept": OBJECT if single else "application/json"} | _prefer(
        "" if count is None else _wish("count", count, Count)
    )
    return Call("HEAD" if head else "GET", _target(_table(table), params), headers, offset=offset or 0, limit=limit)


def insert(
    table: str,
    new: Row | Sequence[Row],
    *,
    columns: str | Sequence[str] = "*",
    return_: Return = "representation",
    on_conflict: str | Sequence[str] | None = None,
    resolution: Resolution | None = None,
) -> Call:
    """Write an insert, or an upsert when ``resolution`` is given; a key that a row lacks takes its default."""
    wishes = [_wish("return", return_, Return)]
    if resolution is not None:
        wishes.append(_wish("resolution", resolution, Resolution))
    params = [("select", _columns(columns))] if return_ == "representation" else []
    conflict = [] if on_conflict is None else texts("on_conflict", on_conflict)
    if conflict:
        params.append(("on_conflict", _names(conflict)))
    keys = _all_keys(new)
    if keys:
        params.append(("columns", _names(keys)))
    prefer = _prefer(*wishes, "missing=default" if keys else "")
    return Call("POST", _target(_table(table), params), prefer | JSON_BODY, _json(new))


def update(
    table: str,
    values: Row,
    *,
    filters: Filters,
    columns: str | Sequence[str] = "*",
    return_: Return = "representation",
) -> Call:
    """Write an update of the rows that fit the filters; raises SettingsError without any."""
    params = _where("update", filters) + ([("select", _columns(columns))] if return_ == "representation" else [])
    prefer = _prefer(_wish("return", return_, Return))
    return Call("PATCH", _target(_table(table), params), prefer | JSON_BODY, _json(_mapping("values", values)))


def delete(
    table: str, *, filters: Filters, columns: str | Sequence[str] = "*", return_: Return = "representation"
) -> Call:
    """Write a delete of the rows that fit the filters; raises SettingsError without any."""
    params = _where("delete", filters) + ([("select", _columns(columns))] if return_ == "representation" else [])
    return Call("DELETE", _target(_table(table), params), _prefer(_wish("return", return_, Return)))


def call_function(name: str, arguments: Mapping[str, Any] | None = None) -> Call:
    """Write a call of a database function with named arguments."""
    given = {} if arguments is None else _mapping("arguments", arguments)
    return Call("POST", _target(f"/rpc{_table(name)}", []), dict(JSON_BODY), _json(given))


def _target(path: str, params: list[tuple[str, str]]) -> str:
    target = f"{path}?{urlencode(params, quote_via=quote, safe='*,.:()')}" if params else path
    if len(target) > LONGEST:
        raise SettingsError(
            f"the request's address would be {len(target)} characters long, and the longest that is sent has {LONGEST}:"
            " ask in portions, with fewer values in each in_([…])"
        )
    return target


def _table(table: object) -> str:
    # quote() is not enough: httpx resolves ".." even when it is written as %2e%2e.
    if not isinstance(table, str) or not table.isidentifier() or len(table) > 63:
        raise SettingsError(f"{table!r} is not a table's or function's name: use letters, digits and _, at most 63")
    return f"/{quote(table)}"


def _columns(columns: str | Sequence[str]) -> str:
    written = ",".join(texts("columns", columns))
    if not COLUMNS.fullmatch(written):
        raise SettingsError(f"columns {columns!r}: use names such as 'id,title', with PostgREST's :alias and ::cast")
    return written


def _names(names: Sequence[object]) -> str:
    return ",".join(column_name(name.strip() if isinstance(name, str) else name) for name in names)


def _order(order: str | Sequence[str]) -> list[str]:
    terms = [term.strip() for term in texts("order", order)]
    for term in terms:
        name, *words = term.split(".")
        if not COLUMN.fullmatch(name) or not set(words) <= ORDER_WORDS:
            raise SettingsError(f"order {term!r}: write a column's name, then .asc or .desc, .nullsfirst or .nullslast")
    return terms


def _not_negative(name: str, number: object) -> str:
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise SettingsError(f"{name} {number!r} is not a whole number from 0 up")
    return text_of(number)


def _wish(name: str, word: object, known: object) -> str:
    # Checked though typed: it becomes part of a header, which a line break would end.
    if word not in get_args(known):
        raise SettingsError(f"{name} {word!r}: use one of {', '.join(map(repr, get_args(known)))}")
    return f"{name}={word}"


def _prefer(*wishes: str) -> dict[str, str]:
    said = [wish for wish in wishes if wish]
    return {"Prefer": ",".join(said)} if said else {}


def _where(verb: str, filters: Filters) -> list[tuple[str, str]]:
    where = parameters(filters)  # conditions and nothing else
    if not where:
        raise SettingsError(f"{verb} without filters would change every row of the table: pass filters={{…}}")
    return where


def _all_keys(new: Row | Sequence[Row]) -> list[str]:
    """Every key of rows that differ in their keys, in the order first seen; empty when they agree."""
    if isinstance(new, Mapping):
        return []
    if not isinstance(new, Sequence) or not all(isinstance(row, Mapping) for row in new):
        raise SettingsError(
            f"{reprlib.repr(new)} cannot be inserted: pass a row such as {{'id': 1}}, or a list of rows"
        )
    if len({frozenset(row) for row in new}) < 2:
        return []
    return list(dict.fromkeys(key for row in new for key in row))


def _mapping(name: str, given: object) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise SettingsError(f"{name} {reprlib.repr(given)}: pass a mapping such as {{'id': 1}}")
    return dict(given)


def _json(body: object) -> bytes:
    return json_bytes(body, "the row")
