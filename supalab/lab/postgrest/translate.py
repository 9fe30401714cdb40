"""Translate PostgreSQL's SQL to SQLite's with sqlglot, and find the types of a view's columns.

Only grammar is translated. Functions keep their names, so a function that SQLite lacks is refused by its name and not
replaced by a similar one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from sqlglot import errors, exp
from sqlglot.dialects.dialect import NormalizationStrategy
from sqlglot.dialects.postgres import Postgres
from sqlglot.generators.sqlite import SQLiteGenerator
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.parsers.postgres import PostgresParser

from supalab.lab.postgrest.refusal import Unusable
from supalab.lab.postgrest.types import Type, known_type

logging.getLogger("sqlglot").disabled = True  # what it warns of is refused here

SCHEMAS = ("", "public", "main", "pg_catalog", "extensions")
COLLATIONS = ("nocase", "binary", "rtrim")
RESERVED_TEXT = "add alter commit delete drop escape index indexed insert nothing set transaction update values"
RESERVED = set(RESERVED_TEXT.split())  # words that only SQLite does not take as a name
LEFT_OUT = (exp.TemporaryProperty, exp.UnloggedProperty)
RULES = (
    exp.PrimaryKey, exp.PrimaryKeyColumnConstraint, exp.UniqueColumnConstraint, exp.ForeignKey, exp.Reference,
    exp.CheckColumnConstraint, exp.NotNullColumnConstraint, exp.DefaultColumnConstraint, exp.ComputedColumnConstraint,
    exp.GeneratedAsIdentityColumnConstraint, exp.AutoIncrementColumnConstraint, exp.CollateColumnConstraint,
)  # fmt: skip


def column_type(node: exp.DataType) -> Type:
    """Return the lab's type for a written one; raises Unusable."""
    shown = node.sql("postgres").lower()
    kind = known_type(shown.replace('"', "").removeprefix("pg_catalog.").removeprefix("public."))
    if kind is None:
        known = "PostgreSQL's types from smallint to jsonb and their arrays are supported"
        raise Unusable(f"the lab has no type {shown}; declare the column as text ({known})")
    return kind


class Seed(Postgres):
    """PostgreSQL's grammar, written as SQLite's, with the lab's types."""

    NORMALIZATION_STRATEGY = NormalizationStrategy.CASE_INSENSITIVE

    class Parser(PostgresParser):
        """A parser to which every function is just a name."""

        FUNCTIONS: ClassVar = {}
        FUNCTION_PARSERS: ClassVar = {"CAST": PostgresParser.FUNCTION_PARSERS["CAST"]}
        NO_PAREN_FUNCTIONS: ClassVar = {}

    class Generator(SQLiteGenerator):
        """SQLite's grammar, with what the lab adds to it."""

        RESERVED_KEYWORDS: ClassVar = RESERVED
        TRANSFORMS: ClassVar = {
            **SQLiteGenerator.TRANSFORMS,
            exp.Array: lambda self, node: self.func("json_array", *node.expressions),
            exp.Cast: lambda self, node: self.written_cast(node),
            exp.AtTimeZone: lambda self, node: self.func("timezone", node.args["zone"], node.this),
            exp.ILike: lambda self, node: self.binary(node, "LIKE"),
            exp.ComputedColumnConstraint: lambda self, node: f"GENERATED ALWAYS AS ({self.sql(node.this.unnest())})",
            exp.ColumnDef: lambda self, node: self.columndef_sql(node),
            exp.DefaultColumnConstraint: lambda self, node: f"DEFAULT ({self.sql(node.this.unnest())})",
            exp.GeneratedAsIdentityColumnConstraint: lambda self, node: self.numbered(node),
            exp.CollateColumnConstraint: lambda _, node: (
                f"COLLATE {node.name}" if node.name.lower() in COLLATIONS else ""
            ),
        }

        def datatype_sql(self, expression: exp.DataType) -> str:
            """Write a type as its columns are declared."""
            words = column_type(expression).declaration
            plain = all(letter.isalnum() or letter in " (),_" for letter in words)
            return words if plain else f'"{words}"'

        def written_cast(self, node: exp.Cast) -> str:
            """Write a cast as a call of the lab's own function."""
            value = self.sql(node, "this")
            if node.to.sql("postgres").lower().removeprefix("pg_catalog.") in ("regclass", "regproc"):
                return value
            return f"pg_to({value}, '{column_type(node.to).declaration}')"

        def numbered(self, node: exp.Expression) -> str:
            """Write that a column numbers itself as a default."""
            table, column = node.root().find(exp.Table), node.find_ancestor(exp.ColumnDef)
            sequence = exp.Literal.string(f"{table and table.name}_{column and column.name}_seq")
            return f"NOT NULL DEFAULT ({self.func('nextval', sequence)})"

        def eq_sql(self, expression: exp.EQ) -> str:
            """Write ``= ANY (array)`` as a call, and ``= ANY (SELECT …)`` as IN."""
            if not isinstance(expression.expression, exp.Any):
                return super().eq_sql(expression)
            value, many = self.sql(expression, "this"), expression.expression.this.unnest()
            return f"{value} IN ({self.sql(many)})" if many.find(exp.Query) else f"in_list({self.sql(many)}, {value})"


def parse(text: str) -> exp.Expression:
    """Return the syntax tree of one statement without the schema ``public``; raises Unusable if it cannot be run."""
    try:
        trees = [tree for tree in Seed().parse(text) if tree is not None]
    except errors.ParseError as error:
        found: dict[str, Any] = error.errors[0] if error.errors else {}
        near = f" near {found['highlight']!r}" if found.get("highlight") else ""
        raise Unusable(f"not understood as PostgreSQL's SQL ({found.get('description', error)}{near})") from None
    except errors.SqlglotError as error:
        raise Unusable(str(error).partition("\n")[0]) from None
    if len(trees) != 1 or isinstance(trees[0], exp.Command | exp.Block):
        raise Unusable("the lab does not know this statement; write it as SQLite does, or remove it")
    return trees[0].transform(_without_schema, copy=False)


def _without_schema(node: exp.Expression) -> exp.Expression:
    call = isinstance(node, exp.Dot) and isinstance(node.expression, exp.Anonymous)
    schema = node.this if call else node.args.get("db") if isinstance(node, exp.Table | exp.Column) else None
    if schema and schema.name.lower() not in SCHEMAS:
        place = "move what is in it into public, or remove what refers to it"
        raise Unusable(f"the lab serves the schema public alone, not {schema.name}; {place}")
    if call:
        return cast("exp.Expression", node.expression)
    if schema:
        node.set("db", None)
    return node


def written(tree: exp.Expression) -> str:
    """Return a tree as SQLite's SQL."""
    return tree.sql(Seed, normalize_functions=False, comments=False)


def translate(text: str, defaults: Callable[[str], Mapping[str, str | None]]) -> str:
    """Return a statement as SQLite's SQL; ``defaults`` gives a table's columns with the SQL of their defaults."""
    tree = parse(text)
    for part in tree.find_all(exp.Ordered) if isinstance(tree, exp.Create) and tree.kind == "INDEX" else ():
        part.set("nulls_first", bool(part.args.get("desc")))  # the order that needs no words
    if isinstance(tree, exp.Insert) and isinstance(tree.expression, exp.Values):
        named = tree.this if isinstance(tree.this, exp.Schema) else None
        known = defaults(tree.find(exp.Table).name)  # type: ignore[union-attr]
        columns = [column.name for column in named.expressions] if named else list(known)
        for row in tree.expression.expressions:
            for at, value in enumerate(row.expressions):
                if isinstance(value, exp.Column | exp.Var) and value.sql().lower() == "default" and at < len(columns):
                    value.replace(exp.Var(this=known.get(columns[at]) or "NULL"))
    return written(tree)


# Tables


class TableDraft:
    """A ``CREATE TABLE`` in the making, to which later ``ALTER TABLE`` statements add."""

    def __init__(self, tree: exp.Create) -> None:
        """Take the tree of a statement; raises Unusable for what the lab does not have."""
        self.tree, self.select = tree, tree.expression
        self.name = tree.find(exp.Table).name  # type: ignore[union-attr]
        for one in tree.args.get("properties") or ():
            if not isinstance(one, LEFT_OUT):
                shown = one.sql("postgres").partition("(")[0].strip()
                raise Unusable(f"the lab has no tables with {shown}; declare a plain table")
        tree.set("properties", None)
        if self.select is None and not isinstance(tree.this, exp.Schema):
            raise Unusable("a table needs its columns in parentheses; the lab knows no partitions and no OF")
        self.columns: dict[str, exp.ColumnDef] = {}
        for part in [] if self.select is not None else tree.this.expressions:
            if isinstance(part, exp.Identifier):  # a column without a type
                part.replace(part := exp.ColumnDef(this=part.copy(), constraints=[]))
            if isinstance(part, exp.ColumnDef):
                self.columns[part.name] = part
            prepare(part)

    def sql(self) -> str:
        """Return the statement for SQLite, in which every key is NOT NULL."""
        for kind, names, _ in _keys(self.tree):
            for name in names if kind == "p" else ():
                if name in self.columns:
                    _set_rule(self.columns[name], exp.NotNullColumnConstraint())
        return written(self.tree)

    def alter(self, actions: list[exp.Expression]) -> bool:
        """Apply an ``ALTER TABLE``; return False when SQLite has to run it."""
        if not all(isinstance(action, exp.AddConstraint | exp.AlterColumn) for action in actions):
            return False
        for action in actions:
            if isinstance(action, exp.AlterColumn):
                self._alter_column(action)
            for rule in action.expressions:
                prepare(rule)
                self.tree.this.append("expressions", rule)
        return True

    def _alter_column(self, action: exp.Expression) -> None:
        column, given = self.columns.get(action.name), action.args
        if column is None:
            raise Unusable(f"the table {self.name} has no column {action.name}")
        if given.get("dtype"):
            column.set("kind", given["dtype"])
            prepare(column)
        elif given.get("allow_null") is not None:
            _set_rule(column, exp.NotNullColumnConstraint(), drop=bool(given.get("drop")))
        elif given.get("default") or given.get("drop"):
            _set_rule(column, exp.DefaultColumnConstraint(this=given.get("default")), drop=bool(given.get("drop")))
        else:
            raise Unusable("the lab does not know this change of a column; write it into CREATE TABLE")


def prepare(part: exp.Expression) -> None:
    """Check a column or a constraint of a table, and let a serial column number itself; raises Unusable."""
    rules = part.expressions if isinstance(part, exp.Constraint) else [part]
    if isinstance(part, exp.ColumnDef):
        rules = [rule.kind for rule in part.constraints]
        if part.kind and column_type(part.kind) and "serial" in part.kind.sql("postgres").lower():
            _set_rule(part, exp.GeneratedAsIdentityColumnConstraint())
    for rule in rules:
        if not isinstance(rule, RULES):
            raise Unusable(f"the lab knows no {rule.sql('postgres')[:40]} in a table; remove it")


def _set_rule(column: exp.ColumnDef, new: exp.Expression, *, drop: bool = False) -> None:
    """Put a rule in the place of the column's rules of that kind, or only drop those."""
    for rule in [rule for rule in column.constraints if isinstance(rule.kind, type(new))]:
        rule.pop()
    if not drop:
        column.append("constraints", exp.ColumnConstraint(kind=new))


Names = dict[tuple[str, tuple[str, ...]], str]
PRIMARY = (exp.PrimaryKey, exp.PrimaryKeyColumnConstraint)


def _keys(tree: exp.Expression) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield the constraints of a ``CREATE TABLE``: their kind (p, u, or f for others), their columns and their name."""
    for part in tree.this.expressions if isinstance(tree.this, exp.Schema) else ():
        own = (part.name,) if isinstance(part, exp.ColumnDef) else ()
        for rule in part.constraints if own else [part]:
            named = isinstance(rule, exp.Constraint | exp.ColumnConstraint)
            for one in [rule.kind] if own else rule.expressions if named else [rule]:
                listed = one.this.expressions if isinstance(one.this, exp.Schema) else one.expressions
                kind = "p" if isinstance(one, PRIMARY) else "u" if isinstance(one, exp.UniqueColumnConstraint) else "f"
                yield kind, own or tuple(column.name for column in listed), rule.name if named else ""


def key_names(text: str) -> Names:
    """Return the names that a ``CREATE TABLE`` gives its keys, by kind and columns."""
    try:
        return {(kind, columns): name for kind, columns, name in _keys(parse(text)) if name}
    except Unusable:
        return {}


# Views

JSON_CALLS = ("json", "json_object", "json_array", "json_group_array", "json_group_object")
RESULTS: dict[type[exp.Expression], str] = {
    exp.CurrentTimestamp: "timestamptz", exp.Uuid: "uuid", exp.JSONExtract: "jsonb", exp.JSONExtractScalar: "text",
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One column that a view selects: its declared type ("" when unknown) and the table and column that it shows."""

    declared: str
    origin: tuple[str, str] | None = None


@dataclass(frozen=True)
class View:
    """What the text of a view says: its columns in order (None if they are unknown), and the one table it shows.

    ``alias`` is what it calls that table; ``shown`` its text after SELECT, ``every`` the same without its conditions.
    """

    items: list[Item] | None
    base: str = ""
    alias: str = ""
    shown: str = ""
    every: str = ""


def read_view(sql: str, find: Callable[[str], Any]) -> View:
    """Read the columns of a ``CREATE VIEW``; ``find`` gives each ``Table`` that it names, or None."""
    try:
        tree = Postgres().parse(sql)[0].expression.transform(_with_type)  # type: ignore[union-attr]
        known = {table.name.lower(): find(table.name) for table in tree.find_all(exp.Table)}
        types = {
            low: {column.name.lower(): column.type.name for column in table.columns.values()}
            for low, table in known.items()
            if table
        }
        options: dict[str, Any] = {"schema": types, "dialect": Seed}
        tree = qualify(tree, validate_qualify_columns=False, quote_identifiers=False, **options)
        tree = annotate_types(tree, **options)
    except (errors.SqlglotError, AttributeError, RecursionError):
        return View(None)
    select = tree
    while isinstance(select, exp.SetOperation):
        select = select.this
    sources = {table.alias_or_name.lower(): known[table.name.lower()] for table in select.find_all(exp.Table)}
    items = [_item(one, sources) for one in select.selects]
    if any(isinstance(one.unalias(), exp.Star) for one in select.selects):
        return View(None)
    simple = tree is select and len(list(tree.find_all(exp.Table, exp.Query))) == 2
    simple = simple and not any(tree.args.get(part) for part in ("group", "having", "limit", "offset", "distinct"))
    simple = simple and not tree.find(exp.AggFunc, exp.Window) and any(item.origin for item in items)
    if not simple:
        return View(items)
    tokens = [(token.token_type.name, token.start, token.end + 1) for token in Postgres().tokenize(sql)]
    at = next(number for number, (word, *_) in enumerate(tokens) if word == "SELECT")
    start = tokens[at + (tokens[at + 1][0] == "ALL")][2]
    end = next((begin for word, begin, _ in tokens if word == "WHERE"), len(sql))
    base = tree.find(exp.Table)
    return View(items, base.name, base.alias_or_name, sql[start:], sql[start:end])


def _with_type(node: exp.Expression) -> exp.Expression:
    """Cast an expression to its type if the lab adds it to SQLite or sqlglot does not know its type."""
    declared = RESULTS.get(type(node), "")
    if isinstance(node, exp.Anonymous):
        if node.name.lower() == "pg_to":
            return exp.cast(node.expressions[0], node.expressions[1].name.replace(" text", ""), dialect="postgres")
        declared = "jsonb" if node.name.lower() in JSON_CALLS else ""
    if not declared or isinstance(node.parent, exp.Cast):
        return node
    return exp.cast(node.copy(), declared, dialect="postgres")


def _item(selected: exp.Expression, sources: Mapping[str, Any]) -> Item:
    column = selected.unalias()
    if isinstance(column, exp.Column):
        table = sources.get(column.table.lower())
        for own in table.columns.values() if table else ():
            if own.name.lower() == column.name.lower():
                return Item(own.declared, own.origin)
    kind = known_type(selected.type.sql("postgres")) if selected.type else None
    if kind is None:
        return Item("")
    changed = {"character varying": "text", "character": "text", "numeric": "double precision"}
    return Item(changed.get(kind.name, kind.declaration))
