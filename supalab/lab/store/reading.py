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
    from collections.abc import Callable, Sequence

    from supalab.lab.dialect.query import Query
    from supalab.lab.store.embedding import Joined
    from supalab.lab.store.operators import Piece
    from supalab.lab.store.outputs import Output
    from supalab.lab.store.schema import Schema, Table
    from supalab.lab.types.pgtypes import Value

__all__ = ["ReadPlan", "plan_read"]

_MOST_PAIRS = 50  # SQLite functions take at most 100 arguments, or 127


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """SQL for the rows (to be followed by LIMIT and OFFSET) and for their count, with the values they bind.

    Each row has the columns of ``outputs``, then the keys of ``joins``. ``texts``: SQL and values for the same rows,
    each as the text of its JSON object, which the database writes faster; None where that would not do.
    """

    sql: str
    values: tuple[Value, ...]
    count_sql: str
    count_values: tuple[Value, ...]
    outputs: tuple[Output, ...]
    converting: tuple[tuple[int, Callable[[Any], Any]], ...]
    joins: tuple[Joined, ...] = ()
    texts: Piece | None = None


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
    rest_values = origin_values + filter_values
    tail = f"{rest}{order} LIMIT ? OFFSET ?"
    row = None if joins else _row_text(found)
    return ReadPlan(
        f"SELECT {', '.join(selected)} {tail}",
        select_values + rest_values + order_values,
        f"SELECT count(*) {rest}",
        rest_values,
        found,
        converters(found),
        joins,
        None if row is None else (f"SELECT {row[0]} {tail}", row[1] + rest_values + order_values),
    )


def _row_text(found: Sequence[Output]) -> Piece | None:
    """Return SQL for a row as the text of a JSON object; None where values still need converting.

    Numbers with a fraction are Python's to write, moments may be asked for in a time zone.
    """
    left_alone = all(
        output.convert() is None and output.type.family not in ("number", "timestamptz") for output in found
    )
    if not left_alone or len(found) > _MOST_PAIRS:
        return None
    pairs = ", ".join(f"?, {output.piece[0]}" for output in found)
    return f"json_object({pairs})", tuple(value for output in found for value in (output.name, *output.piece[1]))
