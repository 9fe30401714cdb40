"""What to read, worked out once: a typed query and its table flow in, SQL and the shape of each row flow out.

A plan holds no rows and knows no headers, so it can be kept and used again for the same URL.
"""

# ruff: noqa: S608  (SQL is built here: names come from the schema and are quoted, values are always bound)

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supalab.lab.casts import caster
from supalab.lab.embedding import Joined, join_embeds, not_embedded
from supalab.lab.operators import field_sql, where
from supalab.lab.query import Embed, Field, SelectField
from supalab.lab.refusal import Refusal, pg_refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from supalab.lab.operators import Piece
    from supalab.lab.pgtypes import PgType, Value
    from supalab.lab.query import OrderTerm, Query, Tree
    from supalab.lab.schema import Schema, Table

__all__ = ["Output", "ReadPlan", "converters", "order_sql", "outputs", "plan_read", "shape_rows"]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Output:
    """One column of the answer: its name, its SQL, its type, and what a cast still does to the stored value."""

    name: str
    field: Field
    piece: Piece
    type: PgType
    cast: Callable[[Value], Value] | None = None

    def convert(self) -> Callable[[Any], Any] | None:
        """Return what turns a stored value into its JSON form, or None when it already has it."""
        to_json, cast = self.type.json, self.cast
        if cast is None:
            return None if to_json is None else lambda value: None if value is None else to_json(value)
        if to_json is None:
            return cast
        return lambda value: None if value is None else to_json(cast(value))


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """SQL for the rows (to be followed by LIMIT and OFFSET) and for their count, with the values they bind."""

    sql: str
    values: tuple[Value, ...]
    count_sql: str
    count_values: tuple[Value, ...]
    outputs: tuple[Output, ...]
    converters: tuple[tuple[int, Callable[[Any], Any]], ...]
    embeds: tuple[Joined, ...] = ()


def outputs(table: Table, items: Iterable[SelectField], alias: str | None = None) -> tuple[Output, ...]:
    """Return the columns that a select list names, ``*`` spread out; raises 42703, 42704, 42846 or PGRST123."""
    found: list[Output] = []
    for item in items:
        if item.aggregate is not None:
            raise Refusal(400, "PGRST123", "Use of aggregate functions is not allowed")
        fields = [Field(name) for name in table.columns] if item.field.name == "*" else [item.field]
        found += [_output(table, item, field, alias) for field in fields]
    return tuple(found)


def _output(table: Table, item: SelectField, field: Field, alias: str | None) -> Output:
    piece, kind = field_sql(table, field, alias)
    name = item.alias or _path_name(field)
    if item.cast is None:
        return Output(name, field, piece, kind)
    target, cast = caster(kind, item.cast)
    return Output(name, field, piece, target, cast)


def _path_name(field: Field) -> str:
    """Return the last name in a JSON path: an index has none of its own."""
    return next((step.key for step in reversed(field.path) if isinstance(step.key, str)), field.name)


def order_sql(table: Table, terms: Iterable[OrderTerm], alias: str | None = None) -> Piece:
    """Return ``ORDER BY …``; NULLs stand where PostgreSQL puts them, ties in the order in which rows were stored."""
    parts: list[str] = []
    values: tuple[Value, ...] = ()
    for term in terms:
        (sql, bound), kind = field_sql(table, term.field, alias)
        if kind.family == "json":
            hint = "Use an explicit ordering operator or modify the query."
            raise pg_refusal("42883", "could not identify an ordering operator for type json", hint=hint)
        nulls_first = term.descending if term.nulls_first is None else term.nulls_first
        parts.append(f"{sql} {'DESC' if term.descending else 'ASC'} NULLS {'FIRST' if nulls_first else 'LAST'}")
        values += bound
    if table.row_id:
        parts.append(f"{alias}.{table.row_id}" if alias else table.row_id)
    return (f" ORDER BY {', '.join(parts)}" if parts else ""), values


def plan_read(schema: Schema, table: Table, query: Query, source: Piece | None = None) -> ReadPlan:
    """Return the plan of a GET on a table; raises ``Refusal`` for whatever PostgREST or PostgreSQL would refuse.

    ``source``: SQL that gives the table's rows when it is not a table of the database but what a function returns.
    """
    fields = [item for item in query.select if isinstance(item, SelectField)]
    embeds = [item for item in query.select if isinstance(item, Embed)]
    if not fields and not embeds:
        fields = [SelectField(Field("*"))]
    joins = join_embeds(schema, table, embeds, query)
    named = outputs(table, fields)
    hidden = tuple(
        Output("", Field(name), (table.columns[name].sql, ()), table.columns[name].type) for name in _keys(joins)
    )
    columns = named + hidden
    filters = where(table, _own_conditions(query, joins))
    narrowed = _narrowed(filters, joins)
    order, order_values = order_sql(table, _own_order(query))
    origin, origin_values = source or (table.sql, ())
    selected = ", ".join(output.piece[0] for output in columns) or "NULL"
    select_values = tuple(value for output in columns for value in output.piece[1])
    return ReadPlan(
        f"SELECT {selected} FROM {origin}{narrowed[0]}{order} LIMIT ? OFFSET ?",
        select_values + origin_values + narrowed[1] + order_values,
        f"SELECT count(*) FROM {origin}{narrowed[0]}",
        origin_values + narrowed[1],
        named,
        converters(named),
        joins,
    )


def _keys(joins: Sequence[Joined]) -> list[str]:
    return [name for join in joins for name in join.own_columns]


def _own_conditions(query: Query, joins: Sequence[Joined]) -> list[Tree]:
    names = {join.name for join in joins}
    return [
        tree
        for tree in query.conditions
        if not (getattr(tree, "field", None) is not None and tree.field.name in names)  # type: ignore[union-attr]
    ]


def _own_order(query: Query) -> list[OrderTerm]:
    for term in query.sort:
        if term.relation is not None:
            raise not_embedded(term.relation)
    return list(query.sort)


def _narrowed(filters: Piece, joins: Sequence[Joined]) -> Piece:
    """Add what the embedded resources demand: a row without its inner partner is not in the answer."""
    sql, values = filters
    for join in joins:
        if join.demand is not None:
            sql += f"{' AND' if sql else ' WHERE'} {join.demand[0]}"
            values += join.demand[1]
    return sql, values


def converters(found: Sequence[Output]) -> tuple[tuple[int, Callable[[Any], Any]], ...]:
    """Return which places of a row still need converting, and how."""
    return tuple((place, made) for place, output in enumerate(found) if (made := output.convert()) is not None)


def shape_rows(
    found: Sequence[Output], converting: Sequence[tuple[int, Callable[[Any], Any]]], rows: Sequence[tuple[Any, ...]]
) -> list[Row]:
    """Return rows as the objects that become JSON, without what is embedded in them."""
    names = [output.name for output in found]
    if not converting:
        return [dict(zip(names, row, strict=False)) for row in rows]
    shaped = []
    for row in rows:
        values = list(row)
        for place, convert in converting:
            values[place] = convert(values[place])
        shaped.append(dict(zip(names, values, strict=False)))
    return shaped
