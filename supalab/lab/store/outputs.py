"""The columns of an answer: a select list, sort keys and a table flow in, SQL and the shape of each row flow out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supalab.lab.dialect.query import Field, SelectField
from supalab.lab.dialect.refusal import Refusal, pg_refusal
from supalab.lab.store.operators import field_sql
from supalab.lab.types.casts import caster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from supalab.lab.dialect.query import Embed, OrderTerm
    from supalab.lab.store.operators import Piece
    from supalab.lab.store.schema import Table
    from supalab.lab.types.pgtypes import PgType, Value

__all__ = ["Output", "Row", "converters", "order_sql", "outputs", "refuse_aggregates", "shape_rows"]

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


def refuse_aggregates(items: Iterable[SelectField | Embed]) -> None:
    """Raise PGRST123 for an aggregate: they are off, as on Supabase."""
    if any(isinstance(item, SelectField) and item.aggregate is not None for item in items):
        raise Refusal(400, "PGRST123", "Use of aggregate functions is not allowed")


def outputs(table: Table, items: Sequence[SelectField]) -> tuple[Output, ...]:
    """Return the columns that a select list names, ``*`` spread out; raises 42703, 42704, 42846 or PGRST123."""
    refuse_aggregates(items)
    found: list[Output] = []
    for item in items:
        fields = [Field(name) for name in table.columns] if item.field.name == "*" else [item.field]
        found += [_output(table, item, field) for field in fields]
    return tuple(found)


def _output(table: Table, item: SelectField, field: Field) -> Output:
    piece, kind = field_sql(table, field)
    alias = item.alias if field is item.field else None  # what "*" spreads into keeps its names
    name = alias or _path_name(field)
    if item.cast is None:
        return Output(name, field, piece, kind)
    target, cast = caster(kind, item.cast)
    return Output(name, field, piece, target, cast)


def _path_name(field: Field) -> str:
    """Return the last name in a JSON path: an index has none of its own."""
    return next((step.key for step in reversed(field.path) if isinstance(step.key, str)), field.name)


def order_sql(
    table: Table, terms: Iterable[OrderTerm], *, related: Callable[[OrderTerm], tuple[Piece, PgType]]
) -> Piece:
    """Return ``ORDER BY …``; NULLs stand where PostgreSQL puts them, ties in the order in which rows were stored.

    ``related`` gives the SQL of a sort key that lies in an embedded resource.
    """
    parts: list[str] = []
    values: tuple[Value, ...] = ()
    for term in terms:
        (sql, bound), kind = related(term) if term.relation else field_sql(table, term.field)
        if kind.family == "json":
            hint = "Use an explicit ordering operator or modify the query."
            raise pg_refusal("42883", "could not identify an ordering operator for type json", hint=hint)
        sql = f"pg_json_order({sql})" if kind.family == "jsonb" else sql
        nulls_first = term.descending if term.nulls_first is None else term.nulls_first
        parts.append(f"{sql} {'DESC' if term.descending else 'ASC'} NULLS {'FIRST' if nulls_first else 'LAST'}")
        values += bound
    if table.row_id:
        parts.append(f"{table.sql}.{table.row_id}")
    return (f" ORDER BY {', '.join(parts)}" if parts else ""), values


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
