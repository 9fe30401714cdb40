"""Which tables and views belong together, by PostgREST's rules, and which table stands behind a view.

The rules are those of https://docs.postgrest.org/en/stable/references/api/resource_embedding.html: a foreign key
relates two tables both ways, a table whose primary key holds two foreign keys relates the tables of both, and a view
has the keys of the columns that it shows.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from supalab.lab.postgrest.refusal import Refusal
from supalab.lab.postgrest.schema import Key, Schema, Table, q

if TYPE_CHECKING:
    import sqlite3

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
        """Return how PostgREST tells this relationship from others."""
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
    """What a view is made of: where each of its columns comes from, and its parts when it reads just one table.

    ``origins``: (table, column) by the view's column. ``base`` is the table that takes what is written to the view, or
    empty; ``rows`` is SQL for the view's rows with their ids in ``base``, ``every`` the same without its conditions.
    """

    origins: Mapping[str, tuple[str, str]]
    base: str = ""
    rows: str = ""
    every: str = ""


_WORD = r'(?:"(?:[^"]|"")+"|\[[^\]]+\]|`[^`]+`|[^\W\d]\w*)'
_VIEW = re.compile(
    rf"create\s+(?:temp\w*\s+)?view\s+(?:if\s+not\s+exists\s+)?(?:\w+\.)?{_WORD}\s*(?P<names>\([^)]*\))?\s*as\s+"
    r"select\s+(?P<items>(?!distinct\b).+?)\s+from\s+(?P<tables>.+?)(?P<where>\s+where\s.+?)?(?P<tail>\s+(?:order\s+by\s.+?))?\s*;?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_TABLE = re.compile(rf"(?:\w+\.)?(?P<table>{_WORD})(?:\s+(?:as\s+)?(?P<alias>{_WORD}))?$", re.IGNORECASE)
_ITEM = re.compile(rf"(?:(?P<of>{_WORD})\s*\.\s*)?(?P<column>{_WORD}|\*)(?:\s+(?:as\s+)?{_WORD})?$", re.IGNORECASE)
_JOIN = re.compile(r"\s+(?:(?:natural|left|right|full|inner|cross|outer)\s+)*join\s+|\s*,\s*", re.IGNORECASE)
_NOT_SIMPLE = re.compile(
    r"\b(?:group\s+by|having|limit|union|intersect|except|window|with|select|distinct)\b", re.IGNORECASE
)
_LITERAL = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)


def _bare(word: str) -> str:
    return word[1:-1].replace('""', '"') if word[0] in '"[`' else word


def _parts(text: str) -> list[str]:
    """Split a list at the commas that stand outside brackets and quotes."""
    parts, depth, start = [], 0, 0
    for sign in re.finditer(r"""[(),]|"(?:[^"]|"")*"|'(?:[^']|'')*'""", text):
        depth += {"(": 1, ")": -1}.get(sign[0], 0)
        if sign[0] == "," and depth == 0:
            parts.append(text[start : sign.start()].strip())
            start = sign.end()
    return [*parts, text[start:].strip()]


def _read_view(sql: str, view: Table, schema: Mapping[str, Table]) -> View:
    """Return what can be said with certainty of a view from its own SQL; of others, nothing."""
    found = _VIEW.match(_LITERAL.sub(lambda text: " " if text[0][0] in "-/" else text[0], sql))
    if found is None or _NOT_SIMPLE.search(_LITERAL.sub("''", found[0].partition(found["items"])[2])):
        return View({})
    tables: dict[str, Table] = {}
    for part in _JOIN.split(found["tables"]):
        named = _TABLE.match(re.split(r"\s+(?:on|using)\b", part, flags=re.IGNORECASE)[0].strip())
        if named is None or _bare(named["table"]) not in schema:
            return View({})
        tables[_bare(named["alias"] or named["table"]).lower()] = schema[_bare(named["table"])]
    sources: list[tuple[str, str] | None] = []
    for item in _parts(found["items"]):
        sources += _sources(item, tables)
    if len(sources) != len(view.columns):
        return View({})
    origins = {name: source for name, source in zip(view.columns, sources, strict=True) if source}
    (base,) = tables.values() if len(tables) == 1 else (None,)
    if base is None or not base.writable or not base.row_id:
        return View(origins)
    names = ", ".join(f"{q(at)}.{q(base.row_id)} AS {q(base.row_id)}" for at in tables)
    shown = ", ".join(
        f"{item} AS {q(name)}" for item, name in zip(_expanded(found["items"], base), view.columns, strict=True)
    )
    every = f"(SELECT {names}, {shown} FROM {found['tables']})"
    return View(origins, base.name, f"{every[:-1]}{found['where'] or ''})", every)


def _sources(item: str, tables: Mapping[str, Table]) -> list[tuple[str, str] | None]:
    """Return (table, column) for each column that one item of a view's list gives; None for a computed one."""
    plain = _ITEM.match(item)
    if plain is None:
        return [None]
    of, column = plain["of"], plain["column"]
    chosen = [tables[_bare(of).lower()]] if of and _bare(of).lower() in tables else [] if of else list(tables.values())
    if column == "*":
        return [(table.name, name) for table in chosen for name in table.columns]
    named = [(table.name, name) for table in chosen for name in table.columns if name.lower() == _bare(column).lower()]
    return [named[0] if len(named) == 1 else None]


def _expanded(items: str, base: Table) -> Iterator[str]:
    """Return the expressions of a view's list without their aliases, with ``*`` written out."""
    for item in _parts(items):
        plain = _ITEM.match(item)
        if plain and plain["column"] == "*":
            yield from (f"{plain['of'] + '.' if plain['of'] else ''}{q(name)}" for name in base.columns)
        elif plain:
            yield f"{plain['of'] + '.' if plain['of'] else ''}{plain['column']}"
        else:
            yield re.sub(rf"\s+as\s+{_WORD}\s*$", "", item, flags=re.IGNORECASE)


class Relations:
    """All relationships of a schema, and its views."""

    def __init__(self, connection: sqlite3.Connection, schema: Schema) -> None:
        self.schema = schema
        listed = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'view'").fetchall()
        self.views = {
            name: _read_view(sql, schema[name], {n: t for n, t in schema.items() if t.writable})
            for name, sql in listed
            if name in schema
        }
        self._all = list(self._found())

    def of(self, table: str) -> list[Relation]:
        """Return the relationships of a table or view."""
        return [relation for relation in self._all if relation.source == table]

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
