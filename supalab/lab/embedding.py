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

__all__ = ["Joined", "join_embeds"]


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


def join_embeds(schema: Schema, table: Table, embeds: Sequence[Embed], query: Query) -> tuple[Joined, ...]:
    """Return how each embedded resource is joined; raises PGRST200 without a foreign key, PGRST108 for a stray path."""
    names = {embed.alias or embed.name for embed in embeds} | {embed.name for embed in embeds}
    for path in [*[path for path, _ in query.filters], *[path for path, _ in query.logic]]:
        if path and path[0] not in names:
            message = f"'{path[0]}' is not an embedded resource in this request"
            hint = f"Verify that '{path[0]}' is included in the 'select' query parameter."
            raise Refusal(400, "PGRST108", message, hint=hint)
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
