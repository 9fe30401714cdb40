"""Write the request of each method of a client: ``select(…)``, ``insert(…)``, … return a ``Call``. Pure, no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Literal, TypeAlias, TypedDict, Unpack, get_args
from urllib.parse import quote, unquote

from supalab.errors import SettingsError, shown
from supalab.filters import Filters
from supalab.query_values import clause, field_name, is_list, json_bytes, listed, members_of, parameters, written_name
from supalab.settings import checked_number

Row: TypeAlias = dict[str, Any]
#: A name, several names, or text in PostgREST's grammar.
Names: TypeAlias = str | Sequence[str]
Count: TypeAlias = Literal["exact", "planned", "estimated"]
Return: TypeAlias = Literal["representation", "minimal"]
Resolution: TypeAlias = Literal["merge-duplicates", "ignore-duplicates"]

OBJECT = "application/vnd.pgrst.object+json"
JSON_BODY = {"Content-Type": "application/json"}
#: Characters without a special meaning in an address; they stay readable.
SAFE = "*,.:()"
#: httpx sends addresses of at most 65,536 characters; many servers accept less.
LONGEST = 60_000


class Embedded(TypedDict, total=False):
    """Which rows of an embedded resource each row brings, and in what order: ``{"order": "name.desc", "limit": 3}``."""

    order: Names
    limit: int
    offset: int


class Returned(TypedDict, total=False):
    """What a write returns: all or some ``columns`` of its rows, or nothing with ``return_="minimal"``."""

    columns: Names
    return_: Return


class Query(TypedDict, total=False):
    """The keyword arguments of ``select``; see there."""

    columns: Names
    filters: Filters | None
    order: Names | None
    limit: int | None
    offset: int | None
    embedded: Mapping[str, Embedded] | None
    count: Count | None
    head: bool


def no_op() -> None:
    """Do nothing: the default for ``Call.started``, if nobody times this request."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, ready to be sent: ``target`` is path and query, percent-encoded, behind the base address."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    #: Called by the client when the request leaves the queue and takes a slot; a trial measures the queue time with it.
    started: Callable[[], None] = no_op
    #: The number of the first requested row and how many rows, to find out whether a response was cut.
    offset: int = 0
    limit: int | None = None


def select(
    table: str,
    *,
    columns: Names = "*",
    filters: Filters | None = None,
    order: Names | None = None,
    limit: int | None = None,
    offset: int | None = None,
    embedded: Mapping[str, Embedded] | None = None,
    count: Count | None = None,
    single: bool = False,
    head: bool = False,
) -> Call:
    """Write a read request; with ``single`` the server returns one object and refuses any other number of rows."""
    params = [("select", _clause("columns", columns)), *parameters(filters), *_which("", order, limit, offset)]
    params += _embedded(embedded)
    preferences = [] if count is None else [_preference("count", count, Count)]
    headers = {"Accept": OBJECT if single else "application/json"} | _prefer(preferences)
    return Call("HEAD" if head else "GET", _target(table, params), headers, offset=offset or 0, limit=limit)


def insert(
    table: str,
    new: Row | Sequence[Row],
    *,
    on_conflict: Names | None = None,
    resolution: Resolution | None = None,
    first: int = 1,
    **returned: Unpack[Returned],
) -> Call:
    """Write an insert, or an upsert when ``resolution`` is given; a key that a row lacks takes its default.

    ``first`` is the number of the first row, for error messages.
    """
    params, preferences = _returned(**returned)
    if on_conflict is not None and (columns := _clause("on_conflict", on_conflict)):
        params.append(("on_conflict", columns))
    if resolution is not None:
        preferences.append(_preference("resolution", resolution, Resolution))
    if keys := _all_keys(new):
        params.append(("columns", ",".join(map(written_name, keys))))
        preferences.append("missing=default")
    return Call("POST", _target(table, params), _prefer(preferences) | JSON_BODY, _json("row", new, first))


def update(table: str, values: Row, *, filters: Filters, **returned: Unpack[Returned]) -> Call:
    """Write an update of the rows that fit the filters; raises SettingsError without any."""
    params, preferences = _returned(**returned)
    body = _json("values", _mapping("values", values))
    return Call("PATCH", _target(table, _where("update", filters) + params), _prefer(preferences) | JSON_BODY, body)


def delete(table: str, *, filters: Filters, **returned: Unpack[Returned]) -> Call:
    """Write a delete of the rows that fit the filters; raises SettingsError without any."""
    params, preferences = _returned(**returned)
    return Call("DELETE", _target(table, _where("delete", filters) + params), _prefer(preferences))


def call_function(name: str, arguments: Mapping[str, Any] | None = None) -> Call:
    """Write a call of a database function with named arguments."""
    given = {} if arguments is None else _mapping("arguments", arguments)
    return Call("POST", f"/rpc{_path(name)}", dict(JSON_BODY), _json("arguments", given))


def _target(table: str, params: list[tuple[str, str]]) -> str:
    path = _path(table)
    query = "&".join(f"{_quoted_name(name)}={quote(value, SAFE)}" for name, value in params)
    target = f"{path}?{query}" if query else path
    if len(target) > LONGEST:
        raise SettingsError(f"the address has {len(target)} characters, and the limit is {LONGEST}: split the request")
    return target


@lru_cache(maxsize=1024)
def _quoted_name(name: str) -> str:
    return quote(name, SAFE)


def _path(name: object) -> str:
    # Libraries and gateways interpret "..", "/" and double encodings even after quote().
    if not isinstance(name, str) or unquote(name) in {".", ".."} or re.search(r"[/\\]", unquote(name)):
        raise SettingsError(f"{shown(name)} is not a table's or function's name: it would lead to another address")
    written_name(name)  # raises for an empty or too long name
    return f"/{quote(name, safe='')}"


def _clause(argument: Literal["columns", "order", "on_conflict"], given: object) -> str:
    if isinstance(given, str):
        return clause(argument, given) if given or argument == "columns" else ""
    parts = listed(argument, given, cure := "a text such as 'id,title', or a list of texts")
    if not all(isinstance(part, str) for part in parts) or not (parts or argument != "columns"):
        raise SettingsError(f"{argument} {shown(given)}: pass {cure}")
    return ",".join(map(written_name if argument == "on_conflict" else partial(clause, argument), parts))


def _returned(columns: Names = "*", return_: Return = "representation") -> tuple[list[tuple[str, str]], list[str]]:
    """Return the parameters and preferences that say what a write returns."""
    params = [("select", _clause("columns", columns))] if return_ == "representation" else []
    return params, [_preference("return", return_, Return)]


def _which(resource: str, order: object = None, limit: object = None, offset: object = None) -> list[tuple[str, str]]:
    """Return the parameters that choose rows of the table (``""``) or of an embedded resource (``owners.``)."""
    terms = "" if order is None else _clause("order", order)
    params = [(f"{resource}order", terms)] if terms else []
    for name, number in (("limit", limit), ("offset", offset)):
        params += [] if number is None else [(f"{resource}{name}", str(checked_number(name, number, 0)))]
    return params


def _embedded(given: object) -> list[tuple[str, str]]:
    params = []
    for name, which in ({} if given is None else _mapping("embedded", given)).items():
        if not set(_mapping(f"embedded {shown(name)}", which)) <= set(Embedded.__annotations__):
            raise SettingsError(f"embedded {shown(name)}: {shown(which)} may have order, limit and offset")
        params += _which("".join(field_name(name)) + ".", **which)
    return params


def _preference(name: str, word: object, known: object) -> str:
    # Checked although it is typed: it becomes part of a header, which a line break would end.
    if not isinstance(word, str) or word not in get_args(known):
        raise SettingsError(f"{name} {shown(word)}: use one of {', '.join(map(repr, get_args(known)))}")
    return f"{name}={word}"


def _prefer(preferences: list[str]) -> dict[str, str]:
    return {"Prefer": ",".join(preferences)} if preferences else {}


def _where(verb: str, filters: Filters) -> list[tuple[str, str]]:
    where = parameters(filters)  # conditions and nothing else
    if not where:
        raise SettingsError(f"{verb} without filters would change every row of the table: pass filters={{…}}")
    if any(member.resource for member in members_of(filters)):
        raise SettingsError(f"{verb}: filters on an embedded resource cannot choose rows: use the table's own columns")
    return where


def _all_keys(new: Row | Sequence[Row]) -> list[str]:
    """Return every key of rows with different keys, in the order first seen; empty if all have the same keys."""
    if isinstance(new, Mapping):
        new = [new]
    if not is_list(new) or not all(isinstance(row, Mapping) for row in new):
        raise SettingsError(f"{shown(new)} cannot be inserted: pass a row such as {{'id': 1}}, or a list of rows")
    if len({frozenset(row) for row in new}) < 2:
        return []
    return list(dict.fromkeys(key for row in new for key in row))


def _mapping(name: str, given: object) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise SettingsError(f"{name} {shown(given)}: pass a mapping such as {{'id': 1}}")
    return dict(given)


def _json(what: str, given: Row | Sequence[Row], first: int = 1) -> bytes:
    """Write one mapping or several as JSON; raises SettingsError, which names the row and the column."""
    rows = [given] if isinstance(given, Mapping) else given
    if not all(isinstance(key, str) for key in set().union(*rows)):
        raise SettingsError(f"{what}: each key must be a column's name, as text")
    try:
        return json_bytes(given, what)
    except SettingsError:
        for number, row in enumerate(rows, first):  # again, one by one, to find the value that fails
            for column, value in row.items():
                json_bytes(value, f"{what if rows is not given else f'{what} {number}'}, column {column!r},")
        raise
