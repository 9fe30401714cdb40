"""Translate PostgreSQL's SQL to SQLite's with sqlglot.

Only grammar is translated. Functions keep their names, so a function that SQLite lacks is refused by its name and not
replaced by a similar one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, cast

from sqlglot import errors, exp
from sqlglot.dialects.dialect import NormalizationStrategy
from sqlglot.dialects.postgres import Postgres
from sqlglot.generators.sqlite import SQLiteGenerator
from sqlglot.parsers.postgres import PostgresParser

from supalab.lab.postgrest.refusal import Unusable
from supalab.lab.postgrest.types import TEXT, Type, known_type

logging.getLogger("sqlglot").disabled = True  # statements that it warns about are refused here

SCHEMAS = ("", "public", "main", "pg_catalog", "extensions")
# Parts that may contain a semicolon; all repetitions are possessive, so that time grows only with the length of the
# text.
ESCAPED = r"(?<!\w)[eE]'(?:[^'\\]|\\.|'')*+'"
DOLLAR = r"(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$(?P<inside>.*?)\$(?P=tag)\$"
COMMENT = r"--[^\n]*+|" + r"/\*(?:[^*/]|\*(?!/)|/(?!\*)|" * 3 + r"/\*.*?\*/" + r")*+\*/" * 3
NAMES = r'"[^"]*+"|`[^`]*+`'
NAME = r'(?:"?(?:public|main)"?\s*\.\s*)?("[^"]+"|\w+)'
SPACE = re.compile(rf"(?:[\s;]|{COMMENT})*+", re.S)
PIECE = re.compile(rf"(?:[^;'\"`$/\-eE]++|{ESCAPED}|'[^']*+'|{NAMES}|{COMMENT}|{DOLLAR}|/(?!\*)|-(?!-)|[$eE])*+", re.S)
# PostgreSQL's words that SQLite lacks or reads differently.
WORDS = (
    r"::|\$|\barray\s*\[|\bcast\b|\bilike\b|\b(?:any|some)\b|\bdistinct\s+on\b|\bat\s+time\s+zone\b|\bdefault\s*[,)]"
    r"|\b(?:public|pg_catalog|extensions)\s*\.|\"(?:public|pg_catalog|extensions)\"\s*\."
)
# PostgreSQL's functions that SQLite has under another name, or reads as joins.
RENAMED = {"bool_and": "min", "bool_or": "max", "string_agg": "group_concat", "char_length": "length", "btrim": "trim"}
RENAMED |= {"left": '"left"', "right": '"right"'}
CALLS = "|".join(RENAMED)
FOREIGN = re.compile(rf"{WORDS}|/\*|(?<!\w)e'|\b(?:{CALLS})\b", re.I)
# Parts that are read as one piece. Casts of values are rewritten here, because a parser is slow with many rows.
PIECES = re.compile(
    rf"""(?P<comment>{COMMENT})
    |(?P<value>{ESCAPED}|{DOLLAR}|'[^']*+(?:''[^']*+)*+'|\b(?:null|true|false)\b|\b\d[\d.]*+)
    (?:\s*::\s*(?P<type>"?\w+"?(?:\s+precision|\s+varying)?(?:\([\d,\s]+\))?(?:\s+with(?:out)?\s+time\s+zone)?
    (?:\[\])?+)(?!\s*(?:::|[.\[])))?
    |(?P<foreign>{WORDS})|"?\b(?P<call>{CALLS})\b"?(?=\s*\()|{NAMES}""",
    re.I | re.S | re.X,
)
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|(x[0-9a-f]{1,2}|u[0-9a-f]{4}|U[0-9a-f]{8})|(.))", re.S | re.I)
REWRITTEN = {  # the beginning or end of a statement, where one more word makes it unreadable for SQLite
    r"(create)\s+(?:or\s+replace|materialized)\b": r"\1",
    r'(create\s+view\s+[\w."]+)\s+with\s*\([^)]*\)': r"\1",
    r"(create\s+(?:unique\s+)?index)\s+concurrently\b": r"\1",
    r"(create\s[^(]*\sindex\s[^(]*\son)\s+only\b": r"\1",
    r"(create\s+(?:unique\s+)?index\s[^(]*)\susing\s+\"?\w+\"?": r"\1 ",
    r"(drop\s[^;]*)\b(?:cascade|restrict)\b": r"\1",
    r"(insert\s+into\s[^']*?)\soverriding\s+(?:system|user)\s+value\b": r"\1",
    r"(create\s+(?:unique\s+)?index\s.*)\s+(?:varchar|text|bpchar)_pattern_ops\b": r"\1",
    r"(create\b.*\))\s*(?:(?:without\s+rowid|strict)\b\s*,?\s*)+;?\s*\Z": r"\1",
}
REWRITING = [(re.compile(pattern, re.I | re.S), new) for pattern, new in REWRITTEN.items()]
# What makes a column number itself, in CREATE TABLE or in ALTER TABLE, with the options of its sequence.
IDENTITY = re.compile(
    rf"(?:(alter\s+table\s+(?:only\s+)?{NAME}\s+alter\s+(?:column\s+)?{NAME}\s+)add\s+generated\s+(?:(always)|by\s+default)\s+)?"
    r"\bas\s+identity\b(?:\s*\(([^()]*)\))?",
    re.I,
)
START = re.compile(r"\b(?:re)?start\s+(?:with\s+)?(-?\d+)", re.I)
STEP = re.compile(r"\bincrement\s+(?:by\s+)?(-?\d+)", re.I)
SEQUENCE_NAME = re.compile(rf"\bsequence\s+name\s+{NAME}", re.I)
COLLATIONS = ("nocase", "binary", "rtrim")
RESERVED_TEXT = "add alter commit delete drop escape index indexed insert nothing set transaction update values"
RESERVED = set(RESERVED_TEXT.split())  # words that SQLite alone does not accept as a name
FILLED = (exp.GeneratedAsIdentityColumnConstraint, exp.DefaultColumnConstraint)
LEFT_OUT = (exp.TemporaryProperty, exp.UnloggedProperty)
RULES = (
    exp.PrimaryKey, exp.PrimaryKeyColumnConstraint, exp.UniqueColumnConstraint, exp.ForeignKey, exp.Reference,
    exp.CheckColumnConstraint, exp.NotNullColumnConstraint, exp.DefaultColumnConstraint, exp.ComputedColumnConstraint,
    exp.GeneratedAsIdentityColumnConstraint, exp.AutoIncrementColumnConstraint, exp.CollateColumnConstraint,
)  # fmt: skip


Columns = Callable[[str], Iterable[tuple[str, str, str | None, int]]]
"""Gives the columns of a table: name, type, default, and whether they are computed."""


def column_type(node: exp.DataType) -> Type:
    """Return the lab's type for a declared type; raises Unusable."""
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
        """A parser that reads every function as just a name."""

        FUNCTIONS: ClassVar = {}
        FUNCTION_PARSERS: ClassVar = {"CAST": PostgresParser.FUNCTION_PARSERS["CAST"]}
        NO_PAREN_FUNCTIONS: ClassVar = {}

    class Generator(SQLiteGenerator):
        """Writes SQLite's grammar, with the additions of the lab."""

        RESERVED_KEYWORDS: ClassVar = RESERVED
        TRANSFORMS: ClassVar = {
            **SQLiteGenerator.TRANSFORMS,
            exp.Array: lambda self, node: self.func("json_array", *node.expressions),
            exp.Cast: lambda self, node: self.written_cast(node),
            exp.AtTimeZone: lambda self, node: self.func("timezone", node.args["zone"], node.this),
            exp.ILike: lambda self, node: self.matching(node, "ilike"),
            exp.RegexpLike: lambda self, node: self.matching(node, "match"),
            exp.RegexpILike: lambda self, node: self.matching(node, "imatch"),
            exp.ComputedColumnConstraint: lambda self, node: f"GENERATED ALWAYS AS ({self.sql(node.this.unnest())})",
            exp.ColumnDef: lambda self, node: self.columndef_sql(node),
            exp.DefaultColumnConstraint: lambda self, node: f"DEFAULT ({self.sql(node.this.unnest())})",
            exp.GeneratedAsIdentityColumnConstraint: lambda self, node: self.numbered(node),
            exp.CollateColumnConstraint: lambda _, node: (
                f"COLLATE {node.name}" if node.name.lower() in COLLATIONS else ""
            ),
        }

        def datatype_sql(self, expression: exp.DataType) -> str:
            """Write a type as columns declare it."""
            words, column = column_type(expression).declaration, expression.parent
            if words == "integer" and isinstance(column, exp.ColumnDef) and column.find(*FILLED):
                words = "int"  # SQLite gives an "integer primary key" numbers of its own
            return f'"{words}"' if re.search(r"\[|json|zone\(", words) else words  # else it cannot be read again

        def written_cast(self, node: exp.Cast) -> str:
            """Write a cast as a call of the lab's own function."""
            value = self.sql(node, "this")
            if node.to.sql("postgres").lower().removeprefix("pg_catalog.") in ("regclass", "regproc"):
                return value
            return f"pg_to({value}, '{column_type(node.to).declaration}')"

        def matching(self, node: exp.Expression, operator: str) -> str:
            """Write a comparison with a pattern as a call of the lab's own function."""
            return self.func("pg_pattern", node.this, exp.Literal.string(operator), node.expression)

        def numbered(self, node: exp.Expression) -> str:
            """Write that a column numbers itself as a default."""
            table, column = node.root().find(exp.Table), node.find_ancestor(exp.ColumnDef)
            sequence = exp.Literal.string(f"{table and table.name}_{column and column.name}_seq")
            start, step = node.args.get("start") or "1", node.args.get("increment") or "1"
            options = [start, step, exp.Literal.string("always")] if node.this else [start, step]
            return f"NOT NULL DEFAULT ({self.func('nextval', sequence, *options)})"

        def eq_sql(self, expression: exp.EQ) -> str:
            """Write ``= ANY (array)`` as a call, and ``= ANY (SELECT …)`` as IN."""
            if not isinstance(expression.expression, exp.Any):
                return super().eq_sql(expression)
            value, many = self.sql(expression, "this"), expression.expression.this.unnest()
            return f"{value} IN ({self.sql(many)})" if many.find(exp.Query) else f"in_list({self.sql(many)}, {value})"


def _plain(text: str) -> tuple[str, bool]:
    """Return SQL with SQLite's strings and no comments, and whether words remain that only PostgreSQL has."""
    foreign = False

    def one(found: re.Match[str]) -> str:
        nonlocal foreign
        if found["comment"]:
            return " "
        if found["call"]:
            return RENAMED[found["call"].lower()]
        value, declared = found["value"], (found["type"] or "").replace('"', "")
        if value is None:
            foreign = foreign or found["foreign"] is not None
            return found[0]
        inside = unescaped(value[2:-1].replace("''", "'")) if value[0] in "eE" else found["inside"]
        if inside is not None:
            value = "'" + inside.replace("'", "''") + "'"
        kind = known_type(declared)
        if kind is not None and not (kind == TEXT and value[0] == "'"):
            return f"pg_to({value}, '{kind.declaration}')"
        if declared and kind is None:
            foreign, value = True, f"{value}::{declared}"
        return value

    return PIECES.sub(one, text), foreign


def _rewritten(text: str) -> str:
    """Return a statement without words at its beginning and end that SQLite does not know."""
    for pattern, new in REWRITING:
        if found := pattern.match(text):
            text = found.expand(new) + text[found.end() :]
    return text


def numbers(options: str) -> list[int | None]:
    """Return the first number and the step that the options of a sequence give."""
    return [int(found[1]) if (found := option.search(options)) else None for option in (START, STEP)]


def _identity(found: re.Match[str]) -> str:
    (start, step), named = numbers(found[5] or ""), SEQUENCE_NAME.search(found[5] or "")
    if found[1]:
        name, always = named[1] if named else f"{found[2]}_{found[3]}_seq", ", 'always'" * bool(found[4])
        return f"{found[1]}set default nextval('{name}', {start or 1}, {step or 1}{always})"
    return f"as identity (start with {start or 1} increment by {step or 1})" if start or step else "as identity"


def unescaped(text: str) -> str:
    """Return a text with backslashes as PostgreSQL reads it."""

    def one(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 8))
        return chr(int(found[2][1:], 16)) if found[2] else ESCAPES.get(found[3], found[3])

    return ESCAPE.sub(one, text) if "\\" in text else text


def parse(text: str) -> exp.Expression:
    """Return the syntax tree of one statement without the schema ``public``; raises Unusable if it cannot be run."""
    return _tree(IDENTITY.sub(_identity, _rewritten(_plain(text)[0])))


def _tree(text: str) -> exp.Expression:
    try:
        trees = [tree for tree in Seed().parse(text) if tree is not None]
    except errors.SqlglotError as error:
        found: dict[str, Any] = {"description": error, "highlight": None} | dict(*getattr(error, "errors", ())[:1])
        near = f" near {found['highlight']!r}" if found["highlight"] else ""
        raise Unusable(f"not understood as PostgreSQL's SQL ({found['description']}{near})") from None
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


def translate(text: str, columns: Columns) -> str:
    """Return a statement as SQLite's SQL; raises Unusable."""
    foreign = False
    if FOREIGN.search(text):  # outside strings
        text, foreign = _plain(text)
    text = _rewritten(text)
    if not foreign:
        return text
    tree = _tree(text)
    for part in tree.find_all(exp.Ordered) if isinstance(tree, exp.Create) and tree.kind == "INDEX" else ():
        part.set("nulls_first", bool(part.args.get("desc")))  # the default order
    if isinstance(tree, exp.Insert) and isinstance(tree.expression, exp.Values):
        _fill(tree, list(columns(tree.find(exp.Table).name)))  # type: ignore[union-attr]
    return written(tree)


def _fill(tree: exp.Insert, columns: list[tuple[str, str, str | None, int]]) -> None:
    """Put defaults in the place of the word DEFAULT, and leave out columns without a value or with a computed one."""
    named, rows = isinstance(tree.this, exp.Schema), tree.expression.expressions
    known = {name.lower(): (default, hidden) for name, _, default, hidden in columns}
    names = [one.name for one in tree.this.expressions] if named else [name for name, *_ in columns]
    names = names[: len(rows[0].expressions)]
    left = set()
    for row in rows:
        for name, value in zip(names, row.expressions, strict=False):
            if isinstance(value, exp.Column | exp.Var) and value.sql().lower() == "default":
                default, computed = known.get(name.lower(), (None, 0))
                value.replace(exp.Var(this=default or "NULL"))
                left.update([name] if computed else [])
    if left or (not named and len(names) < len(columns)):
        for row in rows if left else ():
            values = zip(names, row.expressions, strict=False)
            row.set("expressions", [value for name, value in values if name not in left or value.sql() != "NULL"])
        listed = [exp.to_identifier(name, quoted=True) for name in names if name not in left]
        tree.set("this", exp.Schema(this=tree.this.this if named else tree.this, expressions=listed))


# Tables


class TableDraft:
    """A ``CREATE TABLE`` in the making, to which later ``ALTER TABLE`` statements add."""

    def __init__(self, tree: exp.Create) -> None:
        """Take the tree of a statement; raises Unusable for something that the lab does not support."""
        self.tree, self.select, self.filled = tree, tree.expression, False
        self.name = tree.find(exp.Table).name  # type: ignore[union-attr]
        for one in tree.args.get("properties") or ():
            if not isinstance(one, LEFT_OUT):
                shown = one.sql("postgres").partition("(")[0].strip()
                raise Unusable(f"the lab has no tables with {shown}; declare a plain table")
        tree.set("properties", None)
        if self.select is None and not isinstance(tree.this, exp.Schema):
            raise Unusable("a table needs its columns in parentheses; the lab supports neither partitions nor OF")
        self.columns: dict[str, exp.ColumnDef] = {}
        for part in [] if self.select is not None else tree.this.expressions:
            if isinstance(part, exp.Identifier):  # a column without a type
                part.replace(part := exp.ColumnDef(this=part.copy(), constraints=[]))
            if isinstance(part, exp.ColumnDef):
                self.columns[part.name.lower()] = part
            prepare(part)

    def sql(self) -> str:
        """Return the statement for SQLite, in which every key is NOT NULL."""
        for kind, names, _ in _keys(self.tree):
            for name in names if kind == "p" else ():
                if name.lower() in self.columns:
                    _set_rule(self.columns[name.lower()], exp.NotNullColumnConstraint())
        parts = sorted(self.tree.this.expressions, key=lambda part: not isinstance(part, exp.ColumnDef))
        self.tree.this.set("expressions", parts)  # SQLite wants the columns first
        return written(self.tree)

    def alter(self, action: exp.Expression) -> bool:
        """Apply one change of an ``ALTER TABLE``; return False when SQLite has to run it, as the table has rows."""
        if isinstance(action, exp.ColumnDef) and not self.filled:
            if action.name.lower() not in self.columns or not action.args.get("exists"):
                prepare(action)
                self.columns[action.name.lower()] = action
                self.tree.this.append("expressions", action)
        elif isinstance(action, exp.AlterColumn):
            self._alter_column(action)
        elif isinstance(action, exp.AddConstraint):
            for rule in action.expressions:
                prepare(rule)
                for _, names, _ in _keys(exp.Create(this=exp.Schema(expressions=[rule.copy()]))):
                    for name in names:
                        self._column(name)
                self.tree.this.append("expressions", rule)
        else:
            return False
        return True

    def default(self, name: str) -> tuple[str, str] | None:
        """Return the type and the default of a column, if it has both."""
        column = self.columns.get(name.lower())
        given = column and next(
            (rule.kind.this for rule in column.constraints if isinstance(rule.kind, FILLED[1])), None
        )
        return (column_type(column.kind).declaration, written(given)) if column and column.kind and given else None

    def _column(self, name: str) -> exp.ColumnDef:
        if name.lower() in self.columns:
            return self.columns[name.lower()]
        raise Unusable(f"the table {self.name} has no column {name} in CREATE TABLE; write this change there")

    def _alter_column(self, action: exp.Expression) -> None:
        column, given = self._column(action.name), action.args
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
        rules = [rule.args.get("kind", rule) for rule in part.constraints]
    for rule in rules:
        if not isinstance(rule, RULES):
            raise Unusable(f"the lab knows no {rule.sql('postgres')[:40]} in a table; remove it")
    if isinstance(part, exp.ColumnDef) and part.kind:
        column_type(part.kind)
        if "serial" in part.kind.sql("postgres").lower():
            _set_rule(part, exp.GeneratedAsIdentityColumnConstraint())


def _set_rule(column: exp.ColumnDef, new: exp.Expression, *, drop: bool = False) -> None:
    """Replace the column's rules of this kind with a rule, or only remove them."""
    for rule in [rule for rule in column.constraints if isinstance(rule.kind, type(new))]:
        rule.pop()
    if not drop:
        column.append("constraints", exp.ColumnConstraint(kind=new))


Names = dict[tuple[str, tuple[str, ...]], str]
KINDS: dict[str, tuple[type[exp.Expression], ...]] = {
    "p": (exp.PrimaryKey, exp.PrimaryKeyColumnConstraint),
    "u": (exp.UniqueColumnConstraint,),
    "f": (exp.ForeignKey, exp.Reference),
}


def _keys(tree: exp.Expression) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield the constraints of a ``CREATE TABLE``: their kind (p, u, f, or c for others), columns and name."""
    for part in tree.this.expressions if isinstance(tree.this, exp.Schema) else ():
        own = (part.name,) if isinstance(part, exp.ColumnDef) else ()
        for rule in part.constraints if own else [part]:
            named = isinstance(rule, exp.Constraint | exp.ColumnConstraint)
            for one in [rule.kind] if own else rule.expressions if named else [rule]:
                listed = one.this.expressions if isinstance(one.this, exp.Schema) else one.expressions
                kind = next((kind for kind, classes in KINDS.items() if isinstance(one, classes)), "c")
                yield kind, own or tuple(column.name for column in listed), rule.name if named else ""


def key_names(text: str) -> Names:
    """Return the names of the keys of a ``CREATE TABLE``, by kind and columns."""
    try:
        return {(kind, columns): name for kind, columns, name in _keys(parse(text)) if name}
    except Unusable:
        return {}
