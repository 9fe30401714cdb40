"""POST, PATCH, PUT and DELETE on a table: a request flows in, a checked ``Mutation`` and then its result flow out.

PostgREST's rules on top of SQL: what a PUT must name, which rows an upsert counts as new, when a write is taken back
because its result is not what the client allows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from supalab.lab.dialect.media import negotiate
from supalab.lab.dialect.parse import parse_query, requested_span
from supalab.lab.dialect.payload import Payload, read_payload
from supalab.lab.dialect.preferences import parse_preferences
from supalab.lab.dialect.query import Filter
from supalab.lab.dialect.refusal import Refusal, pg_refusal
from supalab.lab.store.answers import check_geo, check_single
from supalab.lab.store.attach import attach_embeds, key_columns
from supalab.lab.store.embedding import join_embeds
from supalab.lab.store.outputs import converters, refuse_aggregates, shape_rows
from supalab.lab.store.returned import check_order, returned_outputs, shown_values, sorted_rows
from supalab.lab.store.writing import Conflict, count_rows, delete_rows, insert_rows, typed_rows, update_rows
from supalab.lab.store.zones import show_in_zone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from supalab.lab.dialect.media import Media
    from supalab.lab.dialect.preferences import Preferences
    from supalab.lab.dialect.query import Query, Tree
    from supalab.lab.messages import Request
    from supalab.lab.store.database import Store
    from supalab.lab.store.embedding import Joined
    from supalab.lab.store.outputs import Output
    from supalab.lab.store.schema import Schema, Table

__all__ = ["Mutation", "Written", "plan_mutation", "run_mutation"]


@dataclass(frozen=True, slots=True)
class Mutation:
    """A write that was checked as far as that goes without touching the table."""

    method: str
    table: Table
    query: Query
    payload: Payload
    preferences: Preferences
    media: Media
    outputs: tuple[Output, ...]
    joins: tuple[Joined, ...]

    @property
    def full(self) -> bool:
        """Whether the client wants the rows back."""
        return self.preferences.returning == "representation"


@dataclass(frozen=True, slots=True)
class Written:
    """What a write did: the stored rows it touched, how many of them are new (None: it was no upsert), and the body.

    ``shown``: the rows as asked for, in stored form; ``objects``: the same as objects for JSON.
    """

    rows: list[tuple[Any, ...]]
    new: int | None = None
    shown: list[tuple[Any, ...]] | None = None
    objects: list[dict[str, Any]] | None = None


def plan_mutation(schema: Schema, find_table: Callable[[str], Table], name: str, request: Request) -> Mutation:
    """Return a checked write; raises ``Refusal`` in PostgREST's order of checks."""
    method = request.method
    query = parse_query(request.query)
    requested_span(query, method, None)
    preferences = parse_preferences(request.headers.get("prefer", ""))
    payload = Payload((), ())
    if method != "DELETE":
        columns = query.columns if method in ("POST", "PATCH") else None
        content_type = request.headers.get("content-type", "application/json")
        payload = read_payload(request.body, content_type, columns, use_defaults=preferences.missing == "default")
    table = find_table(name)
    joins = join_embeds(schema, table, _returned_part(query))
    refuse_aggregates(query.select)
    if method == "PUT":
        _check_put(table, query)
    _check_columns(table, payload)
    preferences.check()
    media = negotiate(request.headers.get("accept", "*/*"))
    found = returned_outputs(table, query) if preferences.returning in ("representation", "headers-only") else ()
    if preferences.returning == "representation":
        check_order(table, found, query)
        check_geo(media)
    return Mutation(method, table, query, payload, preferences, media, found, joins)


def _returned_part(query: Query) -> Query:
    """Return the query as it is for the rows that come back: the table's own conditions chose what to write."""
    filters = tuple(part for part in query.filters if part[0])
    return replace(query, filters=filters, logic=tuple(part for part in query.logic if part[0]))


def _check_columns(table: Table, payload: Payload) -> None:
    for name in payload.columns:
        if name not in table.columns:
            message = f"Could not find the '{name}' column of '{table.name}' in the schema cache"
            raise Refusal(400, "PGRST204", message)


def _check_put(table: Table, query: Query) -> None:
    plain = all(
        item.operator == "eq" and not item.negated and item.modifier is None for path, item in query.filters if not path
    )
    if query.logic or not table.primary_key or query.filter_names != set(table.primary_key) or not plain:
        message = "Filters must include all and only primary key columns with 'eq' operators"
        raise Refusal(405, "PGRST105", message)


def run_mutation(store: Store, mutation: Mutation) -> Written:
    """Do a write inside ``store.writing``; raises ``Refusal``, whereupon all of it is taken back."""
    written = _RUN[mutation.method](store, mutation)
    if mutation.method != "PUT":
        check_single(mutation.media, len(written.rows))
    if mutation.method in ("PATCH", "DELETE"):
        mutation.preferences.check_affected(len(written.rows))
    return _with_objects(store, mutation, written) if mutation.full else written


def _with_objects(store: Store, mutation: Mutation, written: Written) -> Written:
    """Add the rows that come back, with what is embedded in them as it is now."""
    rows = sorted_rows(mutation.table, mutation.query, written.rows)
    shown = shown_values(mutation.table, mutation.outputs, rows)
    objects = shape_rows(mutation.outputs, converters(mutation.outputs), shown)
    if mutation.preferences.timezone is not None:
        show_in_zone(mutation.outputs, objects, mutation.preferences.timezone)
    keys = [tuple(row[name] for name in key_columns(mutation.joins)) for row in rows]
    attach_embeds(store, mutation.joins, objects, keys)
    return replace(written, shown=shown, objects=objects)


def _post(store: Store, mutation: Mutation) -> Written:
    table, payload, preferences = mutation.table, mutation.payload, mutation.preferences
    rows = typed_rows(store, table, payload, use_defaults=preferences.missing == "default")
    target = table.primary_key if mutation.query.on_conflict is None else mutation.query.on_conflict
    merge = preferences.resolution == "merge-duplicates"
    conflict = Conflict(table, target, merge=merge) if preferences.resolution and target else None
    written, new = insert_rows(store, table, payload.columns, rows, conflict)
    return Written(written, new if merge else None)


def _put(store: Store, mutation: Mutation) -> Written:
    table, payload = mutation.table, mutation.payload
    rows = typed_rows(store, table, payload, use_defaults=False)
    wanted = [(item.field.name, item.values[0]) for _, item in mutation.query.filters]
    absent = next((name for name, _ in wanted if name not in payload.columns), None)
    if absent is not None:
        raise pg_refusal("42703", f"column pgrst_body.{absent} does not exist")
    keys = [(name, table.columns[name].type.read(text)) for name, text in wanted]
    fitting = [row for row in rows if all(row.get(name) == value for name, value in keys)]
    conflict = Conflict(table, table.primary_key, merge=True)
    written, new = insert_rows(store, table, payload.columns, fitting, conflict)
    if len(written) != 1:
        raise Refusal(400, "PGRST115", "Payload values do not match URL in primary key column(s)")
    return Written(written, new)


def _patch(store: Store, mutation: Mutation) -> Written:
    payload, table = mutation.payload, mutation.table
    if not payload.columns:
        return Written([])  # nothing to set: PostgREST then updates nothing, whatever the filters
    use_defaults = mutation.preferences.missing == "default"
    conditions = mutation.query.conditions
    try:
        rows: Sequence[Any] = typed_rows(store, table, payload, use_defaults=use_defaults)
    except Refusal:
        if _by_unique_key(table, conditions) and not count_rows(store, table, conditions):
            return Written([])  # PostgreSQL looks for the row first, and then has no use for the values
        raise
    return Written(update_rows(store, table, rows[0], conditions) if rows else [])


def _by_unique_key(table: Table, conditions: Sequence[Tree]) -> bool:
    """Whether at most one row can fit, because a unique column must have one value."""
    return any(
        isinstance(tree, Filter)
        and (tree.operator, tree.negated, tree.modifier, tree.field.path) == ("eq", False, None, ())
        and table.unique_over((tree.field.name,)) is not None
        for tree in conditions
    )


def _delete(store: Store, mutation: Mutation) -> Written:
    return Written(delete_rows(store, mutation.table, mutation.query.conditions))


_RUN: dict[str, Callable[[Store, Mutation], Written]] = {
    "POST": _post,
    "PUT": _put,
    "PATCH": _patch,
    "DELETE": _delete,
}
