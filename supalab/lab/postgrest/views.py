"""Infer what the columns of a view are: SQLite declares a type for plain columns alone, so expressions are read here.

A column whose expression does not tell its type gets the type of the values that it has.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from supalab.lab.postgrest.script import Token, bare, closing, split, tokens
from supalab.lab.postgrest.types import find_type, known_type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Columns = dict[str, str]  # declared types by name

TRUTHS = frozenset(("not", "and", "or", "in", "is", "like", "glob", "between", "exists", "regexp", "isnull", "notnull"))
TRUTHS |= {"=", "<", ">", "<=", ">=", "<>", "!="}
NUMBERS = {"integer": "bigint", "number": "double precision"}
RETURNS = {
    "bigint": "count length instr unicode row_number rank dense_rank ntile char_length total_changes",
    "double precision": "avg total round",
    "text": "upper lower trim ltrim rtrim btrim substr substring replace printf format group_concat string_agg concat"
    " hex char date datetime time strftime typeof quote left right md5",
    "jsonb": "json_object json_array json_group_object json_group_array json",
    "timestamp with time zone": "now",
    "uuid": "gen_random_uuid uuid_generate_v4",
    "boolean": "bool_and bool_or every json_valid starts_with",
}
KNOWN = {name: kind for kind, names in RETURNS.items() for name in names.split()}
FIRST_TEXT = "coalesce ifnull nullif min max abs first_value last_value lag lead greatest least"
FIRST = frozenset(FIRST_TEXT.split())
ENDS_TEXT = "where group having order limit offset union except intersect window"
ENDS = frozenset(ENDS_TEXT.split())
SAMPLE_S = 0.5


@dataclass(frozen=True)
class Item:
    """One column that a view selects: its declared type ("" when unknown) and, for a plain column, where it is from."""

    declared: str
    origin: tuple[str, str] | None = None


@dataclass(frozen=True)
class View:
    """What a view's text tells: its columns in order (None if it does not tell them), and the one table it shows."""

    items: list[Item] | None
    base: str = ""


class Reader:
    """Reads the expressions of one SELECT; ``known`` gives the columns of a table or view."""

    def __init__(self, known: Callable[[str], Columns | None]) -> None:
        self.known = known
        self.sources: list[tuple[str, str, Columns]] = []

    def read(self, every: list[Token]) -> View:
        """Return what the first SELECT of some tokens selects."""
        start = _at(every, ("select",))
        if start is None:
            return View(None)
        begin = _at(every, ("from", *ENDS), start) or len(every)
        sure = start == 0 and self._from(every, begin)
        listed = every[start + 1 : begin]
        distinct = bool(listed) and listed[0].low in ("distinct", "all")
        items: list[Item] = []
        for part in split(listed[1:] if distinct else listed):
            if part and part[-1].low == "*" and (len(part) == 1 or part[-2].low == "."):
                if not sure:
                    return View(None)
                wanted = bare(part[0].text).lower() if len(part) > 1 else None
                for alias, table, columns in self.sources:
                    if wanted in (None, alias.lower()):
                        items += [Item(kind, (table, name)) for name, kind in columns.items()]
            else:
                expression = _without_alias(part)
                items.append(Item(self.type_of(expression), self._origin(expression)))
        words = {token.low for token in every}
        simple = sure and len(self.sources) == 1 and not distinct
        simple = simple and not words & {"group", "having", "limit", "offset", "union", "except", "intersect", "over"}
        simple = simple and any(item.origin for item in items)
        return View(items, self.sources[0][1] if simple else "")

    def _from(self, every: list[Token], begin: int) -> bool:
        """Note the tables of the FROM clause; False when there is more in it than tables."""
        end = _at(every, tuple(ENDS), begin) or len(every)
        rest, sure = every[begin + 1 : end], True
        wanted = bool(rest)
        at = 0
        while at < len(rest):
            low = rest[at].low
            if wanted and low == "(":
                sure, wanted, at = False, False, closing(rest, at)
            elif wanted and rest[at].kind in ("word", "name"):
                table, alias = bare(rest[at].text), bare(rest[at].text)
                if at + 1 < len(rest) and rest[at + 1].low == "as":
                    at += 1
                if at + 1 < len(rest) and rest[at + 1].kind in ("word", "name") and rest[at + 1].low not in JOINS:
                    at += 1
                    alias = bare(rest[at].text)
                columns = self.known(table)
                sure = sure and columns is not None
                self.sources.append((alias, table, columns or {}))
                wanted = False
            elif low in (",", "join"):
                wanted = True
            elif low in ("natural", "using"):
                sure = False
            elif low == "(":
                at = closing(rest, at)
            at += 1
        return sure

    def _origin(self, part: list[Token]) -> tuple[str, str] | None:
        if not part or part[-1].kind not in ("word", "name") or len(part) not in (1, 3):
            return None
        if len(part) == 3 and part[1].low != ".":
            return None
        alias, name = (bare(part[0].text).lower() if len(part) == 3 else None), bare(part[-1].text).lower()
        for other, table, columns in self.sources:
            for column in columns:
                if alias in (None, other.lower()) and column.lower() == name:
                    return table, column
        return None

    def type_of(self, part: list[Token]) -> str:
        """Return the declared type of an expression, "" when its words do not tell."""
        while part and part[0].low == "(" and closing(part, 0) == len(part) - 1:
            part = part[1:-1]
        if not part:
            return ""
        if part[0].low == "select":
            found = Reader(self.known)
            found.sources = list(self.sources)
            items = found.read(part).items
            return items[0].declared if items else ""
        if (origin := self._origin(part)) is not None:
            columns = next(columns for _, table, columns in self.sources if table == origin[0])
            return columns[origin[1]]
        if len(part) == 1:
            return self._literal(part[0])
        return self._compound(part, _outside(part))

    def _compound(self, part: list[Token], outside: set[str]) -> str:
        """Return the type of an expression of several parts, by the words and signs ``outside`` its parentheses."""
        if outside & TRUTHS:
            return "boolean"
        if "||" in outside or "->>" in outside:
            return "text"
        if "->" in outside:
            return "jsonb"
        if part[0].low == "case" and part[-1].low == "end":
            return self._first(_results(part))
        if part[0].kind in ("word", "name") and part[1].low == "(":
            end = closing(part, 1)
            if end == len(part) - 1 or part[end + 1].low in ("over", "filter"):
                return self._call(part[0].text.lower(), part[2:end])
        if outside & {"+", "-", "*", "/", "%"}:
            return self._arithmetic(part)
        return ""

    @staticmethod
    def _literal(token: Token) -> str:
        if token.low in ("true", "false"):
            return "boolean"
        if token.low in ("current_timestamp", "current_date", "current_time"):
            return "text"
        if token.kind == "number":
            return "bigint" if token.text.isdigit() else "double precision"
        return "text" if token.kind == "text" else ""

    def _first(self, parts: list[list[Token]]) -> str:
        found = [kind for kind in map(self.type_of, parts) if kind]
        if len({find_type(kind).family for kind in found}) > 1:
            families = {find_type(kind).family for kind in found}
            return "double precision" if families == {"integer", "number"} else ""
        return found[0] if found else ""

    def _call(self, name: str, inside: list[Token]) -> str:
        parts = split(inside)
        if name == "cast":
            at = max((place for place, token in enumerate(inside) if token.low == "as"), default=0)
            kind = known_type(" ".join(token.text for token in inside[at + 1 :]))
            return kind.declaration if kind else ""
        if name == "pg_to":
            return parts[1][0].text.strip("'")
        if name in FIRST:
            return self._first(parts)
        if name == "iif":
            return self._first(parts[1:])
        if name == "sum":
            return NUMBERS.get(find_type(self.type_of(parts[0])).family, "")
        return KNOWN.get(name, "")

    def _arithmetic(self, part: list[Token]) -> str:
        families, last = set(), 0
        depth = 0
        for at, token in enumerate([*part, Token("sign", "+")]):
            depth += {"(": 1, ")": -1}.get(token.low, 0)
            if token.low in ("+", "-", "*", "/", "%") and not depth:
                piece = part[last:at]
                families.add(find_type(self.type_of(piece) or "text").family if piece else "integer")
                last = at + 1
        if families <= {"integer", "boolean"}:
            return "bigint"
        return "double precision" if families <= {"integer", "number", "boolean"} else ""


JOINS = frozenset(("join", "left", "right", "inner", "cross", "full", "outer", "natural", "on", "using", ",", *ENDS))


def _at(every: list[Token], words: tuple[str, ...], start: int = 0) -> int | None:
    depth = 0
    for at in range(start, len(every)):
        if every[at].low in words and not depth:
            return at
        depth += {"(": 1, ")": -1}.get(every[at].low, 0)
    return None


def _outside(part: list[Token]) -> set[str]:
    """Return the words and signs outside all parentheses and CASE expressions."""
    found, depth = set(), 0
    for token in part:
        if token.low in (")", "end"):
            depth -= 1
        elif not depth:
            found.add(token.low)
        if token.low in ("(", "case"):
            depth += 1
    return found


def _results(part: list[Token]) -> list[list[Token]]:
    """Return what a CASE expression can result in."""
    results: list[list[Token]] = []
    depth, open_ = 0, False
    for token in part[1:-1]:
        low = token.low
        if not depth and low in ("then", "else"):
            results.append([])
            open_ = True
            continue
        if not depth and low == "when":
            open_ = False
        depth += {"(": 1, "case": 1, ")": -1, "end": -1}.get(low, 0)
        if open_:
            results[-1].append(token)
    return results


def _without_alias(part: list[Token]) -> list[Token]:
    at = _last_as(part)
    if at is not None:
        return part[:at]
    if len(part) > 1 and part[-1].kind in ("word", "name") and part[-1].low not in ("end", "null", "true", "false"):
        before = part[-2]
        if before.low in (")", "end") or before.kind in ("number", "text", "name"):
            return part[:-1]
        if before.kind == "word" and before.low not in TRUTHS:
            return part[:-1]
    return part


def _last_as(part: list[Token]) -> int | None:
    depth, found = 0, None
    for at, token in enumerate(part):
        depth += {"(": 1, ")": -1}.get(token.low, 0)
        if token.low == "as" and not depth:
            found = at
    return found


def read_view(sql: str, known: Callable[[str], Columns | None]) -> View:
    """Return what the text of a ``CREATE VIEW`` tells of its columns."""
    every = tokens(sql)
    start = _at(every, ("as",))
    return Reader(known).read(every[start + 1 :]) if start is not None else View(None)


def sampled(connection: sqlite3.Connection, name: str, columns: list[str]) -> Mapping[str, str]:
    """Return the types that the values of columns have, as far as half a second shows them."""
    table = '"' + name.replace('"', '""') + '"'
    found = dict.fromkeys(columns, "text")
    end = time.monotonic() + SAMPLE_S
    connection.set_progress_handler(lambda: int(time.monotonic() > end), 20_000)
    try:
        for column in columns:
            this = '"' + column.replace('"', '""') + '"'
            with contextlib.suppress(sqlite3.Error):
                rows = connection.execute(f"SELECT DISTINCT typeof({this}) FROM {table}").fetchall()
                kinds = {kind for (kind,) in rows} - {"null"}
                if kinds and kinds <= {"integer", "real"}:
                    found[column] = "bigint" if kinds == {"integer"} else "double precision"
    finally:
        connection.set_progress_handler(None, 0)
    return found
