"""Find the relationships between tables and views by PostgREST's rules.

The rules are those of https://docs.postgrest.org/en/stable/references/api/resource_embedding.html: a foreign key
relates two tables both ways, a table whose primary key holds two foreign keys relates the tables of both, and a view
has the keys of the columns that it shows.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

from supalab.lab.postgrest.refusal import Refusal
from supalab.lab.postgrest.schema import Key, Schema, Table

if TYPE_CHECKING:
    from typing import Any

    from supalab.lab.postgrest.query import Embed

__all__ = ["Relation", "Relations"]


@dataclass(frozen=True)
class Junction:
    """The table in the middle of a many-to-many relationship, with its columns for each side."""

    table: str
    own: tuple[str, ...]
    its: tuple[str, ...]
    names: tuple[str, str]


@dataclass(frozen=True)
class Relation:
    """``own`` columns of ``source`` equal ``its`` columns of ``table``; ``name`` is the foreign key's.

    ``owns_key``: whether the foreign key is the source's own.
    """

    source: Table
    table: Table
    name: str
    own: tuple[str, ...]
    its: tuple[str, ...]
    cardinality: str
    owns_key: bool = False
    junction: Junction | None = None

    @property
    def to_one(self) -> bool:
        """Whether at most one row of ``table`` fits."""
        return self.cardinality.endswith("to-one")

    def meant_by(self, embed: Embed) -> bool:
        """Return whether a request means this relationship when it embeds ``embed`` in ``source``."""
        single = self.own[0] if len(self.own) == 1 else None
        other = self.its[0] if len(self.its) == 1 else None
        by_name = embed.name == self.table.name
        if self.source is self.table:  # one key gives two relationships: only a column's name means the parent
            if embed.hint is None:
                return embed.name == single if self.owns_key else by_name
            return by_name and embed.hint in ({other} if self.owns_key else {self.name, other})
        if embed.hint is not None:
            junction = self.junction.table if self.junction else None
            return by_name and embed.hint in {self.name, single, other, junction} - {None, ""}
        # A key's or a column's name means the table that holds the rows, never a view over it.
        by_key = self.table.writable and embed.name in {self.name, single if self.owns_key else None} - {None, ""}
        return by_name or by_key

    def described(self) -> dict[str, str]:
        """Return the name by which PostgREST distinguishes this relationship from others."""
        if self.junction:
            one, two = self.junction.names
            using = f"{one}({', '.join(self.junction.own)}) and {two}({', '.join(self.junction.its)})"
            how = f"{self.junction.table} using {using}"
        else:
            sides = f"{self.source.name}({', '.join(self.own)}) and {self.table.name}({', '.join(self.its)})"
            how = f"{self.name} using {sides}"
        embedding = f"{self.source.name} with {self.table.name}"
        return {"cardinality": self.cardinality, "embedding": embedding, "relationship": how}


def _shown_as(schema: Schema, key: Key) -> Iterator[tuple[Table, tuple[str, ...]]]:
    """Yield the table and the views that show the columns to which a foreign key refers."""
    for table in schema.values():
        shown = table.shown
        if all((key.target, column) in shown for column in key.its):
            yield table, tuple(shown[key.target, column] for column in key.its)


def _all(schema: Schema) -> Iterator[Relation]:
    direct = []
    for source in schema.values():
        for key in source.keys:
            if key.kind == "f":
                way = "one-to-one" if source.unique(key.columns) else "many-to-one"
                direct += [
                    Relation(source, table, key.name, key.columns, its, way, owns_key=True)
                    for table, its in _shown_as(schema, key)
                ]
    yield from direct
    for one in direct:
        way = "one-to-one" if one.cardinality == "one-to-one" else "one-to-many"
        yield Relation(one.table, one.source, one.name, one.its, one.own, way, owns_key=way == "one-to-one")
    for one, two in permutations(direct, 2):
        middle = one.source
        if (
            middle is two.source
            and one.name != two.name
            and "one-to-one" not in (one.cardinality, two.cardinality)
            and {*one.own, *two.own} <= {*middle.primary_key}
        ):
            junction = Junction(middle.name, one.own, two.own, (one.name, two.name))
            yield Relation(one.table, two.table, "", one.its, two.its, "many-to-many", junction=junction)


class Relations:
    """All relationships of a schema, by the names of their sources."""

    def __init__(self, schema: Schema) -> None:
        self.of: dict[str, list[Relation]] = defaultdict(list)
        self.shown: dict[Any, tuple[str, dict[str, object]]] = {}
        for relation in _all(schema):
            self.of[relation.source.name].append(relation)

    def find(self, table: Table, embed: Embed) -> Relation:
        """Return the one relationship that an embedded resource means; raises PGRST200 or PGRST201."""
        every = self.of.get(table.name, [])
        found = [relation for relation in every if relation.meant_by(embed)]
        if len(found) == 1:
            return found[0]
        pair = f"'{table.name}' and '{embed.name}'"
        if found:
            choices = ", ".join(
                f"'{one.table.name}!{one.junction.table if one.junction else one.name}'" for one in found
            )
            message = f"Could not embed because more than one relationship was found for {pair}"
            hint = f"Try changing '{embed.name}' to one of the following: {choices}."
            hint += " Find the desired relationship in the 'details' key."
            raise Refusal("PGRST201", message, [one.described() for one in found], hint)
        meant = difflib.get_close_matches(embed.name, {one.table.name for one in every} - {embed.name}, 1, 0.33)
        nearly = f"Perhaps you meant '{meant[0]}' instead of '{embed.name}'." if meant else None
        searched = pair[:-1] + (f"' using the hint '{embed.hint}'" if embed.hint else "'")
        details = f"Searched for a foreign key relationship between {searched} in the schema 'public'"
        message = f"Could not find a relationship between {pair} in the schema cache"
        raise Refusal("PGRST200", message, f"{details}, but no matches were found.", nearly)
