"""Embedded resources: ``select=*,other(*)`` and the foreign keys flow in, plans to fetch what belongs to rows flow out.

What is embedded is fetched by its keys after the rows it belongs to; only what it demands of them (``!inner``, or a
filter such as ``other=is.null``) is part of their own SQL.
"""

# ruff: noqa: S608  (SQL is built here: names come from the schema and are quoted, values are always bound)

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supalab.lab.dialect.query import Embed, Filter, Query, SelectField
from supalab.lab.dialect.refusal import Refusal
from supalab.lab.store.operators import condition, field_sql, joined
from supalab.lab.store.outputs import converters, order_sql, outputs
from supalab.lab.store.relationships import find_relationship

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from supalab.lab.dialect.query import OrderTerm, Span, Tree
    from supalab.lab.store.operators import Piece
    from supalab.lab.store.outputs import Output
    from supalab.lab.store.relationships import Relationship
    from supalab.lab.store.schema import Schema, Table
    from supalab.lab.types.pgtypes import PgType

__all__ = ["Joined", "check_paths", "demands", "join_embeds", "own_conditions", "related_order"]


@dataclass(frozen=True, slots=True)
class Joined:
    """One embedded resource: what it is called, how it belongs to its owner, and the SQL that fetches it by its keys.

    ``fetch`` is to be followed by the keys as VALUES, then by ``order``; the keys are its last columns.
    """

    name: str
    embed: Embed
    relation: Relationship
    outputs: tuple[Output, ...]
    converting: tuple[tuple[int, Callable[[Any], Any]], ...]
    conditions: tuple[Tree, ...]
    fetch: Piece
    order: Piece
    span: Span
    joins: tuple[Joined, ...]


def check_paths(embeds: Sequence[Embed], query: Query) -> None:
    """Raise PGRST108 when a condition, sort key or limit names a resource that is not embedded."""
    names = {embed.alias or embed.name for embed in embeds}
    for path in [path for path, _ in (*query.order, *query.filters, *query.logic, *query.spans)]:
        if path and path[0] not in names:
            raise _not_embedded(path[0])


def _not_embedded(name: str) -> Refusal:
    hint = f"Verify that '{name}' is included in the 'select' query parameter."
    return Refusal(400, "PGRST108", f"'{name}' is not an embedded resource in this request", hint=hint)


def _within(query: Query, name: str, embed: Embed) -> Query:
    """Return what a query says of one embedded resource, as a query on that resource."""

    def below(parts: tuple[tuple[tuple[str, ...], Any], ...]) -> tuple[tuple[tuple[str, ...], Any], ...]:
        return tuple((path[1:], part) for path, part in parts if path[:1] == (name,))

    return Query(
        select=embed.items,
        filters=below(query.filters),
        logic=below(query.logic),
        order=below(query.order),
        spans=below(query.spans),
    )


def join_embeds(schema: Schema, table: Table, query: Query) -> tuple[Joined, ...]:
    """Return how each embedded resource of ``select`` is joined; raises PGRST200, 201 or 108."""
    embeds = [item for item in query.select if isinstance(item, Embed)]
    check_paths(embeds, query)
    return tuple(_join(schema, table, embed, query) for embed in embeds)


def _join(schema: Schema, table: Table, embed: Embed, query: Query) -> Joined:
    relation = find_relationship(schema, table, embed)
    name = embed.alias or embed.name
    own = _within(query, name, embed)
    target = relation.table
    joins = join_embeds(schema, target, own)
    fields = [item for item in embed.items if isinstance(item, SelectField)]
    found = outputs(target, fields)
    keys = [key for inner in joins for key in inner.relation.own_columns]
    selected = [output.piece for output in found]
    selected += [(target.columns[key].sql, ()) for key in (*keys, *relation.its_columns)]
    tests = [condition(target, tree) for tree in own_conditions(own, joins)] + demands(target.sql, joins, own)
    filters = joined(tests, " AND ") if tests else ("1", ())
    its = ", ".join(target.columns[key].sql for key in relation.its_columns)
    sql = f"SELECT {', '.join(sql for sql, _ in selected)} FROM {target.sql} WHERE {filters[0]} AND ({its}) IN "
    values = tuple(value for _, bound in selected for value in bound) + filters[1]
    conditions = tuple(own_conditions(own, joins))
    order = order_sql(target, own.sort, related=related_order(target, joins))
    return Joined(name, embed, relation, found, converters(found), conditions, (sql, values), order, own.span, joins)


def own_conditions(query: Query, joins: Sequence[Joined]) -> list[Tree]:
    """Return the conditions on the table itself, without those that ask whether something embedded is there."""
    return [tree for tree in query.conditions if _asked(tree, joins) is None]


def _asked(tree: Tree, joins: Sequence[Joined]) -> tuple[Joined, bool] | None:
    """Return the resource that a filter such as ``other=not.is.null`` asks for, and whether it must be there."""
    if not isinstance(tree, Filter) or tree.operator != "is" or tree.field.path:
        return None
    join = next((join for join in joins if join.name == tree.field.name), None)
    if join is None or tree.values[0] not in ("null", "not_null"):
        return None
    return join, (tree.values[0] == "not_null") != tree.negated


def demands(owner: str, joins: Sequence[Joined], query: Query, depth: int = 0) -> list[Piece]:
    """Return what embedded resources demand of the rows of ``owner``: that an inner one, or one asked for, is there."""
    found = [_exists(owner, join, depth) for join in joins if join.embed.inner]
    for tree in query.conditions:
        asked = _asked(tree, joins)
        if asked is not None:
            sql, values = _exists(owner, asked[0], depth)
            found.append((sql if asked[1] else f"NOT {sql}", values))
    return found


def _exists(owner: str, join: Joined, depth: int) -> Piece:
    alias = f"e{depth}"
    tests: list[Piece] = [(_matches(owner, alias, join), ())]
    tests += [condition(join.relation.table, tree, alias) for tree in join.conditions]
    tests += demands(alias, join.joins, Query(), depth + 1)
    sql, values = joined(tests, " AND ")
    return f"EXISTS (SELECT 1 FROM {join.relation.table.sql} AS {alias} WHERE {sql})", values


def _matches(owner: str, alias: str, join: Joined) -> str:
    target = join.relation.table
    pairs = zip(join.relation.own_columns, join.relation.its_columns, strict=True)
    quoted = [(name.replace('"', '""'), target.columns[its].sql) for name, its in pairs]
    return " AND ".join(f'{alias}.{its} = {owner}."{own}"' for own, its in quoted)


def related_order(table: Table, joins: Sequence[Joined]) -> Callable[[OrderTerm], tuple[Piece, PgType]]:
    """Return what turns ``order=other(column)`` into SQL; it raises PGRST108 or PGRST118."""

    def resolve(term: OrderTerm) -> tuple[Piece, PgType]:
        name = term.relation or ""
        join = next((join for join in joins if join.name == name), None)
        if join is None:
            raise _not_embedded(name)
        if not join.relation.to_one:
            details = f"'{table.name}' and '{name}' do not form a many-to-one or one-to-one relationship"
            raise Refusal(400, "PGRST118", f"A related order on '{name}' is not possible", details=details)
        (sql, values), kind = field_sql(join.relation.table, term.field, "o")
        match = _matches(table.sql, "o", join)
        return (f"(SELECT {sql} FROM {join.relation.table.sql} AS o WHERE {match})", values), kind

    return resolve
