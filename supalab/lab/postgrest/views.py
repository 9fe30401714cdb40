"""Find the types of a view's columns from its text, and the columns of tables that they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import errors, exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify

from supalab.lab.postgrest.schema import Column, Table
from supalab.lab.postgrest.translate import Seed, written
from supalab.lab.postgrest.types import known_type

CALLS = dict.fromkeys(("json", "json_object", "json_array", "json_group_array", "json_group_object"), "jsonb")
CALLS |= dict.fromkeys(("in_list", "pg_pattern"), "boolean")
RESULTS: dict[type[exp.Expression], str] = {
    exp.CurrentTimestamp: "timestamptz", exp.Uuid: "uuid", exp.JSONExtract: "jsonb", exp.JSONExtractScalar: "text",
}  # fmt: skip
# Types whose limits do not apply to a computed value.
UNLIMITED = {"character varying": "text", "character": "text", "numeric": "double precision"}
GATHERING = ("group", "having", "limit", "offset", "distinct")


@dataclass(frozen=True)
class View:
    """The content of a view's text: its columns and, for a simple view, the one table that it shows row by row.

    ``alias`` is its name for that table; ``shown`` is its text after SELECT, ``every`` the same without conditions.
    """

    columns: list[Column]
    base: str = ""
    alias: str = ""
    shown: str = ""
    every: str = ""


def read_view(sql: str, columns: list[Column], find: Callable[[str], Table | None]) -> View:
    """Read a ``CREATE VIEW``; ``columns`` are its columns in SQLite, ``find`` returns a table by its name.

    A type that neither SQLite nor the text shows stays empty.
    """
    try:
        tree = Postgres().parse(sql)[0].expression.transform(_with_type)  # type: ignore[union-attr]
        known = {table.name.lower(): find(table.name) for table in tree.find_all(exp.Table)}
        tree = _typed(tree, {low: types_of(table) for low, table in known.items() if table})
    except UNKNOWN:
        return View(columns)
    select = tree
    while isinstance(select, exp.SetOperation):
        select = select.this
    if len(select.selects) != len(columns) or any(isinstance(one.unalias(), exp.Star) for one in select.selects):
        return View(columns)
    sources = {table.alias_or_name.lower(): known[table.name.lower()] for table in select.find_all(exp.Table)}
    columns = [_told(own, one.unalias(), sources) for own, one in zip(columns, select.selects, strict=True)]
    many = tree is not select or len(list(tree.find_all(exp.Table, exp.Query))) != 2
    gathers = any(tree.args.get(part) for part in GATHERING) or tree.find(exp.AggFunc, exp.Window)
    if many or gathers or not any(column.origin for column in columns):
        return View(columns)
    return _simple(sql, columns, tree.find(exp.Table))


Types = Mapping[str, Mapping[str, str]]
UNKNOWN = (errors.SqlglotError, AttributeError, RecursionError)


def types_of(table: Table) -> dict[str, str]:
    """Return the names of a table's types by column, in lower case as ``use_decimals`` looks for them."""
    return {column.name.lower(): column.type.name for column in table.columns.values()}


def _typed(tree: Any, types: Types) -> Any:
    options: dict[str, Any] = {"schema": types, "dialect": Seed}
    tree = qualify(tree, validate_qualify_columns=False, quote_identifiers=False, **options)
    return annotate_types(tree, **options)


def use_decimals(query: exp.Expression, types: Types) -> bool:
    """Change a query so that SQLite computes values of the type numeric as PostgreSQL does; return whether it changed.

    SQLite divides the whole numbers 7 and 2 as integers, and adds 0.1 and 0.2 in binary. ``types``: those of columns,
    by table and column. A query whose types cannot be found stays as it is.
    """
    try:
        typed = _typed(Postgres().parse(written(query))[0].transform(_with_type), types)  # type: ignore[union-attr]
    except UNKNOWN:
        return False
    own, known = ([node for node in tree.dfs(prune=_orders) if _computes(node)] for tree in (query, typed))
    if list(map(_computes, own)) != list(map(_computes, known)):
        return False
    pairs = [(node, told) for node, told in zip(own, known, strict=True) if told.is_type(exp.DataType.Type.DECIMAL)]
    for node, _ in reversed(pairs):  # the inner ones first
        if isinstance(node, exp.Div):
            node.this.replace(exp.func("pg_fraction", node.this.copy(), dialect=Seed))
        while isinstance(node.parent, exp.Window | exp.Filter) and node.arg_key == "this":
            node = node.parent  # sum(…) OVER (…) as a whole
        node.replace(exp.func("pg_rounded", node.copy(), dialect=Seed))
    return bool(pairs)


def _orders(node: Any) -> bool:
    return isinstance(node, exp.Group | exp.Order)  # in which typing puts other nodes


def _computes(node: Any) -> str:
    """Return what a node computes, if SQLite's numbers may differ from PostgreSQL's there."""
    if isinstance(node, exp.Sum) or (isinstance(node, exp.Anonymous) and node.name.lower() == "sum"):
        return "sum"
    return type(node).__name__ if isinstance(node, exp.Add | exp.Sub | exp.Mul | exp.Div) else ""


def _simple(sql: str, columns: list[Column], table: exp.Table) -> View:
    tokens = [(token.token_type.name, token.start, token.end + 1) for token in Postgres().tokenize(sql)]
    at = next(number for number, (word, *_) in enumerate(tokens) if word == "SELECT")
    start = tokens[at + (tokens[at + 1][0] == "ALL")][2]
    end = next((begin for word, begin, _ in tokens if word == "WHERE"), len(sql))
    return View(columns, table.name, table.alias_or_name, sql[start:], sql[start:end])


def _with_type(node: exp.Expression) -> exp.Expression:
    """Cast an expression to its type if the lab adds that type to SQLite or sqlglot does not know it."""
    declared = RESULTS.get(type(node), "")
    if isinstance(node, exp.Literal) and not node.is_string and "." in node.name:
        declared = "numeric"
    if isinstance(node, exp.Anonymous):
        if node.name.lower() == "pg_to":
            return exp.cast(node.expressions[0], node.expressions[1].name.replace(" text", ""), dialect="postgres")
        declared = CALLS.get(node.name.lower(), "")
    if not declared or isinstance(node.parent, exp.Cast):
        return node
    return exp.cast(node.copy(), declared, dialect="postgres")


def _told(column: Column, selected: exp.Expression, sources: Mapping[str, Table | None]) -> Column:
    """Return a column of a view with its type, and with its origin if it only shows a column of a table."""
    if isinstance(selected, exp.Column):
        table = sources.get(selected.table.lower())
        for own in table.columns.values() if table else ():
            if own.name.lower() == selected.name.lower():
                return replace(column, declared=own.declared, origin=own.origin)
    kind = known_type(selected.type.sql("postgres")) if selected.type else None
    return replace(column, declared=UNLIMITED.get(kind.name, kind.declaration)) if kind else column
