"""PostgREST's dialect of URLs: a raw query string flows in, a typed ``Query`` or PGRST100/PGRST103 flows out.

Nothing here knows a table; what was parsed once is cached, because a busy client asks the same few things.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_plus, unquote_to_bytes

from supalab.lab.dialect.filtering import filter_value, logic_path, logic_tree
from supalab.lab.dialect.grammar import order_terms, select_list
from supalab.lab.dialect.names import column_list, tree_path
from supalab.lab.dialect.query import ALL, EMPTY, NOTHING, Filter, Logic, Query, Span
from supalab.lab.dialect.refusal import Refusal
from supalab.lab.dialect.scanner import parse

if TYPE_CHECKING:
    from supalab.lab.dialect.query import OrderTerm

__all__ = ["header_span", "parse_query", "requested_span"]

_SEPARATORS = re.compile("[&;]")  # PostgREST's HTTP library parts parameters at both
_RESERVED = frozenset({"select", "columns", "on_conflict"})
_LAST_WORDS = frozenset({"order", "limit", "offset", "and", "or"})
_RANGE = re.compile(r"([0-9]+)-([0-9]*)")
_INTEGER = re.compile(r"\s*(-?[0-9]{1,18})\s*")

Path = tuple[str, ...]


@lru_cache(maxsize=512)
def parse_query(query: str, *, is_call: bool = False) -> Query:
    """Return the typed form of a raw query string; ``is_call``: parameters without an operator are arguments.

    Raises ``Refusal`` PGRST100 for what does not fit the grammar.
    """
    pairs = [_pair(part) for part in _SEPARATORS.split(query) if part]
    given = [(key, value) for key, value in pairs if value is not None]
    first: dict[str, str] = {}
    for key, value in given:
        first.setdefault(key, value)
    order = tuple(_order(key, value) for key, value in given if _last(key) == "order")
    logic = tuple(_logic(key, value) for key, value in given if _last(key) in ("and", "or"))
    columns = _names(first, "columns")
    select = first.get("select", "*")
    items = parse(select, select_list, f"select parameter ({select})")
    filters, arguments = _filters(given, is_call=is_call)
    return Query(
        select=items,
        filters=filters,
        logic=logic,
        order=order,
        spans=_spans(given),
        columns=columns,
        on_conflict=_names(first, "on_conflict"),
        arguments=arguments,
        filter_names=frozenset(key for key, _ in given if _is_filter(key)),
        canonical=_canonical(query),
    )


def _pair(part: str) -> tuple[str, str | None]:
    key, equals, value = part.partition("=")
    return unquote_plus(key, errors="replace"), unquote_plus(value, errors="replace") if equals else None


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _is_filter(key: str) -> bool:
    return key not in _RESERVED and _last(key) not in _LAST_WORDS


def _names(first: dict[str, str], key: str) -> tuple[str, ...] | None:
    value = first.get(key)
    return None if value is None else parse(value, column_list, f"{key} parameter ({value})")


def _order(key: str, value: str) -> tuple[Path, tuple[OrderTerm, ...]]:
    path, _ = parse(key, tree_path, f"tree path ({key})")
    return path, parse(value, order_terms, f"order ({value})")


def _logic(key: str, value: str) -> tuple[Path, Logic]:
    path, operator = parse(key, logic_path, f"logic path ({key})")
    tree = parse(operator + value, logic_tree, f"logic tree ({value})")
    return path, tree if isinstance(tree, Logic) else Logic("and", (tree,))


def _filters(
    given: list[tuple[str, str]], *, is_call: bool
) -> tuple[tuple[tuple[Path, Filter], ...], tuple[tuple[str, str], ...]]:
    filters: list[tuple[Path, Filter]] = []
    arguments: list[tuple[str, str]] = []
    for key, value in given:
        if not _is_filter(key):
            continue
        path, field = parse(key, tree_path, f"tree path ({key})")
        try:
            condition = parse(value, partial(filter_value, target=field), f"filter ({value})")
        except Refusal:
            if not is_call:
                raise
            arguments.append((field.name, value))
        else:
            filters.append((path, condition))
    return tuple(filters), tuple(arguments)


def _integer(value: str) -> int | None:
    match = _INTEGER.fullmatch(value)
    return int(match[1]) if match else None


def _spans(given: list[tuple[str, str]]) -> tuple[tuple[Path, Span], ...]:
    limits = {_owner(key): _integer(value) for key, value in given if _last(key) == "limit"}
    offsets = {_owner(key): _integer(value) or 0 for key, value in given if _last(key) == "offset"}
    spans = {}
    for path in limits | offsets:
        limit, lower = limits.get(path), offsets.get(path, 0)
        spans[path] = Span(lower, None if limit is None else lower + limit - 1)
    return tuple(spans.items())


def _owner(key: str) -> Path:
    return tuple(key.split(".")[:-1])


def _canonical(query: str) -> str:
    """Return the query as ``Content-Location`` shows it: sorted by name, the values of one name joined by commas."""
    values: dict[str, list[str]] = {}
    for part in _SEPARATORS.split(query):
        key, _, value = part.partition("=")
        if part:
            values.setdefault(_encoded(key), []).append(_encoded(value))
    return "&".join(f"{key}={','.join(values[key])}" for key in sorted(values, key=unquote_to_bytes))


def _encoded(text: str) -> str:
    """Encode a part anew. PostgREST encodes bytes as if each were a character of its own, and so does this."""
    return quote(unquote_to_bytes(text.replace("+", " ")).decode("latin-1"), safe="-_.~")


def header_span(value: str | None) -> Span:
    """Return the rows that a ``Range`` header asks for; a header that is not of the form ``0-9`` asks for all."""
    match = _RANGE.fullmatch(value or "")
    if match is None:
        return ALL
    lower, upper = int(match[1][:18]), match[2]
    span = Span(lower, int(upper[:18]) if upper else None)
    return EMPTY if span.empty else span


def requested_span(query: Query, method: str, range_header: str | None) -> Span:
    """Return the rows asked for by ``limit``, ``offset`` and (GET only) the ``Range`` header together.

    Raises ``Refusal`` PGRST103 when no row could ever lie in them, unless ``limit=0`` asks for just that, and
    PGRST114 for a PUT with any.
    """
    header = header_span(range_header) if method == "GET" else ALL
    asked = query.span
    if asked.upper == -1 and asked.limit == 0:
        span = NOTHING
    else:
        span = header.meet(asked if asked.lower >= 0 or asked.empty else Span(0, asked.upper))
        if span.empty:
            raise _out_of_range(header)
    if method == "PUT" and span != ALL:
        raise Refusal(400, "PGRST114", "limit/offset querystring parameters are not allowed for PUT")
    return span


def _out_of_range(header: Span) -> Refusal:
    why = "Limit should be greater than or equal to zero."
    if header.empty:
        why = "The lower boundary must be lower than or equal to the upper boundary in the Range header."
    return Refusal(416, "PGRST103", "Requested range not satisfiable", details=why)
