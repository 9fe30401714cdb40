"""Conditions as SQL: a typed ``Filter`` or ``Logic`` and its table flow in, SQL with bound values flows out.

Each operator that PostgreSQL lacks for a column's type is refused with PostgreSQL's own words. No value and no name
from a request becomes part of the SQL text: values are bound, names are looked up in the schema.
"""

# ruff: noqa: S608  (SQL is built here: names come from the schema and are quoted, values are always bound)

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

from supalab.lab.dialect.query import Filter
from supalab.lab.dialect.refusal import pg_refusal
from supalab.lab.store.functions import leads_to_itself, path_text
from supalab.lab.store.names_hint import missing_column
from supalab.lab.types.arrays import read_array
from supalab.lab.types.patterns import compile_pattern
from supalab.lab.types.pgtypes import PgType, cast_type
from supalab.lab.types.search import check_search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from supalab.lab.dialect.query import Field, Tree
    from supalab.lab.store.schema import Table
    from supalab.lab.types.pgtypes import Value

__all__ = ["Piece", "condition", "field_sql", "joined", "where"]

Piece = tuple[str, tuple["Value", ...]]
COMPARISONS = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
PATTERNS = {"like": "pg_like", "ilike": "pg_ilike", "match": "pg_match", "imatch": "pg_imatch"}
SIGNS = {
    **COMPARISONS,
    "like": "~~",
    "ilike": "~~*",
    "match": "~",
    "imatch": "~*",
    "cs": "@>",
    "cd": "<@",
    "ov": "&&",
    "sl": "<<",
    "sr": ">>",
    "nxr": "&<",
    "nxl": "&>",
    "adj": "-|-",
}
_ADD_CASTS = "You might need to add explicit type casts."
_IN_A_ROW = 500  # more values than this go as one bound JSON list
_TEXT = cast_type("text")
_JSONB = cast_type("jsonb")


def field_sql(table: Table, field: Field, alias: str | None = None) -> tuple[Piece, PgType]:
    """Return a field as SQL and its type; ``alias`` is the table's name in the SQL. Raises 42703 for no such column."""
    column = table.columns.get(field.name)
    if column is None:
        raise missing_column(table, field.name)
    sql = f"{alias}.{column.sql}" if alias else column.sql
    if not field.path:
        return (sql, ()), column.type
    for step, following in pairwise(field.path):
        if step.as_text:
            arrow = "->>" if following.as_text else "->"
            raise _no_operator(_TEXT, arrow, "unknown" if isinstance(following.key, str) else "integer")
    kind = _TEXT if field.path[-1].as_text else _JSONB if column.type.family != "json" else column.type
    if column.type.family in ("json", "jsonb"):
        return (f"pg_json_path({sql}, ?)", (path_text(field.path),)), kind
    if column.type.family != "boolean" and leads_to_itself(field.path):
        return (f"pg_json_path(json_quote({sql}), ?)", (path_text(field.path),)), kind
    return ("NULL", ()), kind


def where(table: Table, trees: Iterable[Tree], alias: str | None = None) -> Piece:
    """Return ``WHERE …`` over conditions that must all hold; empty without any."""
    pieces = [condition(table, tree, alias) for tree in trees]
    if not pieces:
        return "", ()
    sql, values = joined(pieces, " AND ")
    return f" WHERE {sql}", values


def joined(pieces: list[Piece], word: str) -> Piece:
    """Join conditions by AND or OR as a balanced tree, because SQLite limits how deep an expression may be."""
    if len(pieces) == 1:
        return pieces[0]
    middle = len(pieces) // 2
    left, left_values = joined(pieces[:middle], word)
    right, right_values = joined(pieces[middle:], word)
    return f"({left}{word}{right})", left_values + right_values


def condition(table: Table, tree: Tree, alias: str | None = None) -> Piece:
    """Return one condition as SQL, with PostgreSQL's three-valued logic (which SQLite shares)."""
    if isinstance(tree, Filter):
        field, kind = field_sql(table, tree.field, alias)
        sql, values = _operation(field, kind, tree)
    else:
        sql, values = joined([condition(table, child, alias) for child in tree.children], f" {tree.operator.upper()} ")
    return (f"NOT ({sql})" if tree.negated else f"({sql})"), values


def _operation(field: Piece, kind: PgType, filter_: Filter) -> Piece:
    operator = filter_.operator
    if operator == "in":
        return _in(field, kind, filter_.values)
    if operator == "is":
        return _is(field, kind, filter_.values[0])
    if operator == "isdistinct":
        _require_equality(kind, "=")
        return f"{field[0]} IS NOT ?", (*field[1], kind.read(filter_.values[0]))
    if operator.endswith("fts"):
        return _search(field, kind, filter_)
    if operator not in COMPARISONS and operator not in PATTERNS:
        return _special(field, kind, filter_)
    return _compared(field, kind, filter_)


def _compared(field: Piece, kind: PgType, filter_: Filter) -> Piece:
    operator, value = filter_.operator, filter_.values[0]
    if operator in PATTERNS:
        if kind.family != "text":
            raise _no_operator(kind, SIGNS[operator])
        build, read = _pattern_builder(operator)
    else:
        _require_equality(kind, SIGNS[operator])
        build, read = _comparison_builder(operator, kind), kind.read
    if operator in ("like", "ilike"):
        value = value.replace("*", "%")
    if filter_.modifier is None:
        return build(field, read(value))
    elements = [None if text is None else read(text) for text in read_array(value)]
    pieces = [build(field, element) for element in elements]
    if filter_.modifier == "any":
        return joined(pieces, " OR ") if pieces else ("0", ())
    return joined(pieces, " AND ") if pieces else ("1", ())


def _comparison_builder(operator: str, kind: PgType) -> Callable[[Piece, Value], Piece]:
    sign = COMPARISONS[operator]
    if kind.family == "jsonb":
        return lambda field, value: (f"pg_json_order({field[0]}) {sign} pg_json_order(?)", (*field[1], value))
    return lambda field, value: (f"{field[0]} {sign} ?", (*field[1], value))


def _pattern_builder(operator: str) -> tuple[Callable[[Piece, Value], Piece], Callable[[str], Value]]:
    function = PATTERNS[operator]

    def read(pattern: str) -> Value:
        _TEXT.read(pattern)
        if not operator.endswith("like"):
            compile_pattern(pattern, fold=operator == "imatch")
        return pattern

    return (lambda field, value: (f"{function}({field[0]}, ?)", (*field[1], value))), read


def _in(field: Piece, kind: PgType, texts: tuple[str, ...]) -> Piece:
    _require_equality(kind, "=")
    if texts == ("",):
        return "0", ()
    values = tuple(kind.read(text) for text in texts)
    if len(values) <= _IN_A_ROW:
        return f"{field[0]} IN ({', '.join('?' * len(values))})", (*field[1], *values)
    listed = json.dumps(values, ensure_ascii=False)
    return f"{field[0]} IN (SELECT value FROM json_each(?))", (*field[1], listed)


def _is(field: Piece, kind: PgType, value: str) -> Piece:
    if value in ("null", "not_null"):
        return f"{field[0]} IS {'NOT ' if value == 'not_null' else ''}NULL", field[1]
    if kind.family != "boolean":
        raise pg_refusal("42804", f"argument of IS {value.upper()} must be type boolean, not type {kind.name}")
    return f"{field[0]} IS { {'true': '1', 'false': '0', 'unknown': 'NULL'}[value] }", field[1]


def _search(field: Piece, kind: PgType, filter_: Filter) -> Piece:
    if kind.family not in ("text", "json", "jsonb"):
        signature = f"{kind.name}" if filter_.modifier is None else f"unknown, {kind.name}"
        hint = f"No function matches the given name and argument types. {_ADD_CASTS}"
        raise pg_refusal("42883", f"function to_tsvector({signature}) does not exist", hint=hint)
    text = str(_TEXT.read(filter_.values[0]))
    check_search(filter_.operator, filter_.modifier, text)
    return f"pg_search({field[0]}, ?, ?)", (*field[1], filter_.operator, text)


def _special(field: Piece, kind: PgType, filter_: Filter) -> Piece:
    """Operators of arrays, ranges and jsonb: containment in jsonb is here, the rest is what PostgreSQL answers."""
    operator, sign = filter_.operator, SIGNS[filter_.operator]
    if kind.family == "jsonb" and operator in ("cs", "cd"):
        value = kind.read(filter_.values[0])
        order = f"{field[0]}, ?" if operator == "cs" else f"?, {field[0]}"
        values = (*field[1], value) if operator == "cs" else (value, *field[1])
        return f"pg_json_contains({order})", values
    if kind.family == "integer" and operator in ("sl", "sr"):
        word = "NOT" if filter_.negated else "WHERE"
        raise pg_refusal("42804", f"argument of {word} must be type boolean, not type {kind.name}")
    if operator == "cd" and kind.family != "json":
        hint = f"Could not choose a best candidate operator. {_ADD_CASTS}"
        raise pg_refusal("42725", f"operator is not unique: {kind.name} {sign} unknown", hint=hint)
    raise _no_operator(kind, sign)


def _require_equality(kind: PgType, sign: str) -> None:
    if kind.family == "json":
        raise _no_operator(kind, sign)


def _no_operator(kind: PgType, sign: str, operand: str = "unknown") -> Exception:
    hint = f"No operator matches the given name and argument types. {_ADD_CASTS}"
    return pg_refusal("42883", f"operator does not exist: {kind.name} {sign} {operand}", hint=hint)
