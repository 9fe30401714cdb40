"""Find the relationships between tables and views by PostgREST's rules, and the table behind a view.

The rules are those of https://docs.postgrest.org/en/stable/references/api/resource_embedding.html: a foreign key
relates two tables both ways, a table whose primary key holds two foreign keys relates the tables of both, and a view
has the keys of the columns that it shows.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from supalab.lab.postgrest.refusal import Refusal
from supalab.lab.postgrest.schema import Key, Schema, Table, q

if TYPE_CHECKING:
    from supalab.lab.postgrest.query import Embed

__all__ = ["Relation", "Relations", "View"]


@dataclass(frozen=True)
class Junction:
    """The table in the middle of a many-to-many relationship, with its columns for each side."""

    table: str
    own: tuple[str, ...]
    its: tuple[str, ...]
    names: tuple[str, str]


@dataclass(frozen=True)
class Relation:
    """``own`` columns of table ``source`` equal ``its`` columns of ``table``; ``name`` is the foreign key's."""

    source: str
    table: Table
    name: str
    own: tuple[str, ...]
    its: tuple[str, ...]
    cardinality: str
    junction: Junction | None = None

    @property
    def to_one(self) -> bool:
        """Whether at most one row of ``table`` fits."""
        return self.cardinality.endswith("to-one")

    @property
    def owns_key(self) -> bool:
        """Whether the foreign key is the source's own."""
        return self.cardinality in ("many-to-one", "one-to-one")

    def meant_by(self, embed: Embed) -> bool:
        """Return whether a request means this relationship when it embeds ``embed`` in ``source``."""
        single = self.own[0] if len(self.own) == 1 else None
        other = self.its[0] if len(self.its) == 1 else None
        by_name = embed.name == self.table.name
        if self.source == self.table.name:  # one key gives two relationships: only a column's name means the parent
            if embed.hint is None:
                children = by_name and not self.owns_key
                return children or (self.owns_key and embed.name == single)
            hints = {self.name, other} if not self.owns_key else {other}
            return by_name and embed.hint in hints
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
            sides = f"{self.source}({', '.join(self.own)}) and {self.table.name}({', '.join(self.its)})"
            how = f"{self.name} using {sides}"
        embedding = f"{self.source} with {self.table.name}"
        return {"cardinality": self.cardinality, "embedding": embedding, "relationship": how}


@dataclass(frozen=True)
class View:
    """The sources of a view: where each column comes from, and the view's parts if it reads just one table.

    ``origins``: (table, column) by the view's column. ``base`` is the table that is changed by writes to the view, or
    empty; ``rows`` is SQL for the view's rows with their ids in ``base``, ``every`` also has rows that left the view.
    """

    origins: Mapping[str, tuple[str, str]]
    base: str = ""
    rows: str = ""
    every: str = ""


def _origins(schema: Schema, view: Table) -> dict[str, tuple[str, str]]:
    """Return (table, column) for each column that a view shows as it is, through views of views."""
    found = {}
    for name, column in view.columns.items():
        origin = column.origin
        while origin and origin[0] in schema and not schema[origin[0]].writable:
            below = schema[origin[0]].columns.get(origin[1])
            origin = below.origin if below else None
        if origin and origin[0] in schema and origin[1] in schema[origin[0]].columns:
            found[name] = origin
    return found


def _view(schema: Schema, view: Table) -> View:
    """Return the sources of a view; it can be written if it shows the whole primary key of its one table."""
    origins = _origins(schema, view)
    base = schema.get(view.base)
    shown = {column: name for name, (table, column) in reversed(list(origins.items())) if table == view.base}
    if base is None or not base.row_id or not base.primary_key or not set(base.primary_key) <= set(shown):
        return View(origins)
    same = " AND ".join(f"b.{q(column)} = v.{q(shown[column])}" for column in base.primary_key)
    columns = ", ".join(
        f"{f'b.{q(origins[name][1])}' if name in origins else f'v.{q(name)}'} AS {q(name)}" for name in view.columns
    )
    select = f"SELECT b.{base.row_id} AS {base.row_id}, {columns} FROM {q(base.name)} AS b"
    rows = f"({select} JOIN {q(view.name)} AS v ON {same})"
    return View(origins, base.name, rows, f"({select} LEFT JOIN {q(view.name)} AS v ON {same})")


class Relations:
    """All relationships of a schema, and its views."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.views = {name: _view(schema, table) for name, table in schema.items() if not table.writable}
        self._all = list(self._found())
        self.shown: dict[Any, tuple[str, dict[str, object]]] = {}

    def of(self, table: str) -> list[Relation]:
        """Return the relationships of a table or view."""
        return [relation for relation in self._all if relation.source == table]

    def primary_key(self, name: str) -> tuple[str, ...]:
        """Return the columns of a table's primary key, or those of a view that show it; nothing if there is none."""
        return next((key.columns for key in self._keys(name, "p")), ())

    def _keys(self, name: str, kind: str) -> Iterator[Key]:
        """Yield the keys of a table, or those of a view whose columns it shows."""
        view = self.views.get(name)
        if view is None:
            yield from (key for key in self.schema[name].keys if key.kind in kind)
            return
        for table in {origin[0] for origin in view.origins.values()}:
            shown = {origin[1]: column for column, origin in reversed(list(view.origins.items())) if origin[0] == table}
            for key in self.schema[table].keys:
                if key.kind in kind and all(column in shown for column in key.columns):
                    yield replace(key, columns=tuple(shown[column] for column in key.columns))

    def _shown_as(self, target: str, its: tuple[str, ...]) -> Iterator[tuple[Table, tuple[str, ...]]]:
        """Yield the table and the views that show these columns of it."""
        if target in self.schema:
            yield self.schema[target], its
        for name, view in self.views.items():
            shown = {origin: column for column, origin in reversed(list(view.origins.items()))}
            if all((target, column) in shown for column in its):
                yield self.schema[name], tuple(shown[target, column] for column in its)

    def _found(self) -> Iterator[Relation]:
        direct = []
        for source in self.schema:
            unique = [set(key.columns) for key in self._keys(source, "pu")]
            for key in self._keys(source, "f"):
                way = "one-to-one" if set(key.columns) in unique else "many-to-one"
                direct += [
                    Relation(source, table, key.name, key.columns, its, way)
                    for table, its in self._shown_as(key.target, key.its)
                ]
        yield from direct
        for one in direct:
            way = "one-to-one" if one.cardinality == "one-to-one" else "one-to-many"
            yield Relation(one.table.name, self.schema[one.source], one.name, one.its, one.own, way)
        for one in direct:
            primary = {column for key in self._keys(one.source, "p") for column in key.columns}
            for two in direct:
                if (
                    two.source == one.source
                    and two.name != one.name
                    and "one-to-one" not in (one.cardinality, two.cardinality)
                    and {*one.own, *two.own} <= primary
                ):
                    junction = Junction(one.source, one.own, two.own, (one.name, two.name))
                    yield Relation(one.table.name, two.table, "", one.its, two.its, "many-to-many", junction)

    def find(self, table: Table, embed: Embed) -> Relation:
        """Return the one relationship that an embedded resource means; raises PGRST200 or PGRST201."""
        every = self.of(table.name)
        found = [relation for relation in every if relation.meant_by(embed)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise self._missing(table, embed, every)
        choices = ", ".join(f"'{one.table.name}!{one.junction.table if one.junction else one.name}'" for one in found)
        raise Refusal(
            300,
            "PGRST201",
            f"Could not embed because more than one relationship was found for '{table.name}' and '{embed.name}'",
            [one.described() for one in found],
            f"Try changing '{embed.name}' to one of the following: {choices}. "
            "Find the desired relationship in the 'details' key.",
        )

    def _missing(self, table: Table, embed: Embed, every: list[Relation]) -> Refusal:
        names = {one.table.name for one in every} - {embed.name}
        meant = difflib.get_close_matches(embed.name, names, 1, 0.33)
        hinted = f"' using the hint '{embed.hint}" if embed.hint else ""
        return Refusal(
            400,
            "PGRST200",
            f"Could not find a relationship between '{table.name}' and '{embed.name}' in the schema cache",
            f"Searched for a foreign key relationship between '{table.name}' and '{embed.name}{hinted}' "
            "in the schema 'public', but no matches were found.",
            f"Perhaps you meant '{meant[0]}' instead of '{embed.name}'." if meant else None,
        )
