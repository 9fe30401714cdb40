"""Embedded resources: ``select=*,other(*)`` and the foreign keys flow in, joins or PostgREST's refusal flow out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from supalab.lab.names_hint import closest
from supalab.lab.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supalab.lab.operators import Piece
    from supalab.lab.query import Embed, Query
    from supalab.lab.schema import Schema, Table

__all__ = ["Joined", "check_paths", "join_embeds", "not_embedded"]


@dataclass(frozen=True, slots=True)
class Joined:
    """One embedded resource, joined to its owner by ``own_columns`` = ``its_columns``."""

    name: str
    embed: Embed
    table: Table
    own_columns: tuple[str, ...]
    its_columns: tuple[str, ...]
    to_one: bool
    demand: Piece | None = None


def check_paths(embeds: Sequence[Embed], query: Query) -> None:
    """Raise PGRST108 when a condition, sort key or limit names a resource that is not embedded."""
    names = {embed.alias or embed.name for embed in embeds}
    parts = (*query.order, *query.filters, *query.logic, *query.spans)
    for path in [path for path, _ in parts]:
        if path and path[0] not in names:
            raise not_embedded(path[0])


def not_embedded(name: str) -> Refusal:
    """Return PGRST108 for a resource that is named but not selected."""
    hint = f"Verify that '{name}' is included in the 'select' query parameter."
    return Refusal(400, "PGRST108", f"'{name}' is not an embedded resource in this request", hint=hint)


def join_embeds(schema: Schema, table: Table, embeds: Sequence[Embed], query: Query) -> tuple[Joined, ...]:
    """Return how each embedded resource is joined; raises PGRST200 without a foreign key, PGRST108 for a stray path."""
    check_paths(embeds, query)
    for embed in embeds:
        raise _no_relationship(schema, table, embed)
    return ()


def _no_relationship(schema: Schema, table: Table, embed: Embed) -> Refusal:
    hinted = f"' using the hint '{embed.hint}" if embed.hint else ""
    details = (
        f"Searched for a foreign key relationship between '{table.name}' and '{embed.name}{hinted}'"
        f" in the schema 'public', but no matches were found."
    )
    message = f"Could not find a relationship between '{table.name}' and '{embed.name}' in the schema cache"
    meant = closest(embed.name, (own for own in schema.tables if own != embed.name))
    hint = f"Perhaps you meant '{meant}' instead of '{embed.name}'." if meant else None
    return Refusal(400, "PGRST200", message, details=details, hint=hint)
