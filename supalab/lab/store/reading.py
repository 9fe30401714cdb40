"""What to read, worked out once: a typed query and its table flow in, SQL and the shape of each row flow out.

A plan holds no rows and knows no headers, so it can be kept and used again for the same URL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supalab.lab.dialect.query import Field, SelectField
from supalab.lab.store.attach import key_columns
from supalab.lab.store.embedding import demands, join_embeds, own_conditions, related_order
from supalab.lab.store.operators import condition, joined
from supalab.lab.store.outputs import converters, order_sql, outputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from supalab.lab.dialect.query import Query
    from supalab.lab.store.embedding import Joined
    from supalab.lab.store.operators import Piece
    from supalab.lab.store.outputs import Output
    from supalab.lab.store.schema import Schema, Table
    from supalab.lab.types.pgtypes import Value

__all__ = ["ReadPlan", "plan_read"]


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """SQL for the rows (to be followed by LIMIT and OFFSET) and for their count, with the values they bind.

    Each row has the columns of ``outputs``, then the keys of ``joins``.
    """

    sql: str
    values: tuple[Value, ...]
    count_sql: str
    count_values: tuple[Value, ...]
    outputs: tuple[Output, ...]
    converting: tuple[tuple[int, Callable[[Any], Any]], ...]
    joins: tuple[Joined, ...] = ()


def plan_read(schema: Schema, table: Table, query: Query, source: Piece | None = None) -> ReadPlan:
    """Return the plan of a GET on a table; raises ``Refusal`` for whatever PostgREST or PostgreSQL would refuse.

    ``source``: SQL that gives the table's rows when it is not a table of the database but what a function returns.
    """
    fields = [item for item in query.select if isinstance(item, SelectField)]
    joins = join_embeds(schema, table, query)
    found = outputs(table, fields if query.select else [SelectField(Field("*"))])
    tests = [condition(table, tree) for tree in own_conditions(query, joins)] + demands(table.sql, joins, query)
    filters, filter_values = joined(tests, " AND ") if tests else ("1", ())
    order, order_values = order_sql(table, query.sort, related=related_order(table, joins))
    origin, origin_values = (table.sql, ()) if source is None else (f"{source[0]} AS {table.sql}", source[1])
    selected = [output.piece[0] for output in found] + [table.columns[name].sql for name in key_columns(joins)]
    select_values = tuple(value for output in found for value in output.piece[1])
    rest = f"FROM {origin} WHERE {filters}" if tests else f"FROM {origin}"
    return ReadPlan(
        f"SELECT {', '.join(selected)} {rest}{order} LIMIT ? OFFSET ?",
        select_values + origin_values + filter_values + order_values,
        f"SELECT count(*) {rest}",
        origin_values + filter_values,
        found,
        converters(found),
        joins,
    )
