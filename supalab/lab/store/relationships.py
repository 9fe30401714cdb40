"""How two tables belong together: the schema's foreign keys and a name flow in, one relationship or 200/201 flows out.

A name in ``select`` may be that of the other table, of the foreign key, or of its only column; a hint narrows it down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from supalab.lab.dialect.refusal import Refusal
from supalab.lab.store.names_hint import closest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from supalab.lab.dialect.query import Embed
    from supalab.lab.store.schema import ForeignKey, Schema, Table

__all__ = ["Relationship", "find_relationship"]


@dataclass(frozen=True, slots=True)
class Relationship:
    """``own_columns`` of a table equal ``its_columns`` of ``table``; ``to_one``: at most one row of it fits."""

    table: Table
    key: ForeignKey
    own_columns: tuple[str, ...]
    its_columns: tuple[str, ...]
    cardinality: str

    @property
    def to_one(self) -> bool:
        """Whether at most one row of the other table belongs to a row of this one."""
        return self.cardinality.endswith("to-one")

    def named(self, name: str) -> bool:
        """Whether ``name`` means this relationship: its table, its foreign key, or the only column of that."""
        if name in (self.table.name, self.key.name):
            return True
        return self.cardinality != "one-to-many" and self.key.columns == (name,)

    def hinted(self, hint: str) -> bool:
        """Whether a hint after ``!`` means this relationship."""
        return hint == self.key.name or (hint,) in (self.key.columns, self.key.target_columns)


def _relationships(schema: Schema, table: Table) -> Iterator[Relationship]:
    for key in table.foreign_keys:
        if key.target in schema.tables:
            target = schema.tables[key.target]
            cardinality = "one-to-one" if table.unique_over(key.columns) else "many-to-one"
            yield Relationship(target, key, key.columns, key.target_columns, cardinality)
    for key in schema.referring_to(table.name):
        other = schema.tables[key.table]
        cardinality = "one-to-one" if other.unique_over(key.columns) else "one-to-many"
        yield Relationship(other, key, key.target_columns, key.columns, cardinality)


def find_relationship(schema: Schema, table: Table, embed: Embed) -> Relationship:
    """Return the one relationship that an embedded resource means; raises PGRST200 for none, PGRST201 for several."""
    every = list(_relationships(schema, table))
    found = [item for item in every if item.named(embed.name)]
    if embed.hint is not None:
        found = [item for item in found if item.table.name == embed.name and item.hinted(embed.hint)]
    elif len(found) > 1 and all(item.table.name == table.name for item in found):
        found = [item for item in found if item.cardinality == "one-to-many" or embed.name != table.name]
    if not found:
        raise _none(schema, table, embed, every)
    if len(found) > 1:
        raise _several(table, embed, found)
    return found[0]


def _none(schema: Schema, table: Table, embed: Embed, every: list[Relationship]) -> Refusal:
    hinted = f"' using the hint '{embed.hint}" if embed.hint else ""
    details = (
        f"Searched for a foreign key relationship between '{table.name}' and '{embed.name}{hinted}'"
        " in the schema 'public', but no matches were found."
    )
    message = f"Could not find a relationship between '{table.name}' and '{embed.name}' in the schema cache"
    if every:
        meant, instead = closest(embed.name, {item.table.name for item in every} - {embed.name}, 0.33), embed.name
    else:
        related = {key.table for own in schema.tables.values() for key in own.foreign_keys}
        meant, instead = closest(table.name, related, 0.33), table.name
    hint = f"Perhaps you meant '{meant}' instead of '{instead}'." if meant else None
    return Refusal(400, "PGRST200", message, details=details, hint=hint)


def _several(table: Table, embed: Embed, found: list[Relationship]) -> Refusal:
    details = [
        {
            "cardinality": item.cardinality,
            "embedding": f"{table.name} with {item.table.name}",
            "relationship": f"{item.key.name} using {table.name}({', '.join(item.own_columns)})"
            f" and {item.table.name}({', '.join(item.its_columns)})",
        }
        for item in found
    ]
    choices = ", ".join(f"'{item.table.name}!{item.key.name}'" for item in found)
    hint = (
        f"Try changing '{embed.name}' to one of the following: {choices}."
        " Find the desired relationship in the 'details' key."
    )
    message = f"Could not embed because more than one relationship was found for '{table.name}' and '{embed.name}'"
    return Refusal(300, "PGRST201", message, details=details, hint=hint)
