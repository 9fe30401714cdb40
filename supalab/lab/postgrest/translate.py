"""Rewrite PostgreSQL's SQL as SQLite reads it: casts, schemas, strings, arrays, and the definition of a table."""

from __future__ import annotations

from dataclasses import dataclass, field

from supalab.lab.postgrest.script import Token, bare, closing, joined, quoted, split, tokens
from supalab.lab.postgrest.types import Type, known_type

TABLE_RULES = ("constraint", "primary", "unique", "check", "foreign", "exclude", "like")
COLUMN_RULES = (*TABLE_RULES[:4], "not", "null", "default", "collate", "references", "generated", "as", "storage")
NATIVE_CASTS = ("integer", "int", "text", "real", "numeric", "blob")  # those stay SQLite's own casts
COLLATIONS = ("nocase", "binary", "rtrim")
EXPECTED = "PostgreSQL's types from smallint to jsonb and their arrays are supported"


class Unsupported(ValueError):
    """Something of a script that the lab does not have."""


def q(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def typed(words: list[Token]) -> Type | None:
    """Return the type that a column is declared with, or None when it has none; raises Unsupported."""
    if not words:
        return None
    declared = joined(words)
    kind = known_type(declared.removeprefix("pg_catalog.").removeprefix("public.").replace('"', ""))
    if kind is None:
        raise Unsupported(f"the lab has no type {declared}; declare the column as text ({EXPECTED})")
    return kind


# Expressions


def _operand(out: list[Token]) -> int:
    """Return where the operand begins that ends at the end of ``out``: a token, a call, or something in parentheses."""
    start = len(out) - 1
    if start >= 0 and out[start].low in (")", "]"):
        depth = 0
        for start in range(len(out) - 1, -1, -1):
            depth += {")": 1, "]": 1, "(": -1, "[": -1}.get(out[start].low, 0)
            if not depth:
                break
        if start and out[start - 1].kind in ("word", "name") and out[start - 1].low not in WORDS_BEFORE:
            start -= 1
    while start > 1 and out[start - 1].low == ".":
        start -= 2
    return max(start, 0)


WORDS_BEFORE_TEXT = "and or not in as when then else case select where on default check any all values by"
WORDS_BEFORE = frozenset(WORDS_BEFORE_TEXT.split())


def _type_length(every: list[Token], start: int) -> int:
    """Return how many tokens from ``start`` on are a type's name."""
    at = start + 1
    while at + 1 < len(every) and every[at].low == ".":
        at += 2
    first = every[at - 1].text.lower()
    follow = {"double": ("precision",), "character": ("varying",)}.get(first, ())
    if at < len(every) and every[at].low in follow:
        at += 1
    if at < len(every) and every[at].low == "(":
        at = closing(every, at) + 1
    if first in ("timestamp", "time") and at < len(every) and every[at].low in ("with", "without"):
        at += 3
    while at < len(every) and every[at].low == "[":
        at = closing(every, at) + 1
    return at - start


def rewrite(every: list[Token]) -> list[Token]:
    """Return tokens with PostgreSQL's own ways of writing replaced by what SQLite understands."""
    out: list[Token] = []
    at = 0
    while at < len(every):
        token = every[at]
        following = every[at + 1].low if at + 1 < len(every) else ""
        if token.text.lower().strip('"') in ("public", "pg_catalog") and following == ".":
            at += 2
        elif token.low == "::":
            length = _type_length(every, at + 1)
            start = _operand(out)
            out[start:] = [_cast(out[start:], every[at + 1 : at + 1 + length])]
            at += 1 + length
        elif token.low == "cast" and following == "(":
            end = closing(every, at + 1)
            out.append(_written_cast(every[at + 2 : end]))
            at = end + 1
        elif token.low == "array" and following == "[":
            end = closing(every, at + 1)
            out.append(Token("made", f"json_array({joined(rewrite(every[at + 2 : end]))})"))
            at = end + 1
        elif token.low == "=" and following == "any":
            out.append(Token("word", "REGEXP"))  # SQLite calls regexp(list, value), which the lab defines
            at += 2
        elif token.low == "ilike":
            out.append(Token("word", "LIKE"))
            at += 1
        else:
            out.append(token)
            at += 1
    return out


def _cast(operand: list[Token], name: list[Token]) -> Token:
    shown = joined(name).replace("pg_catalog.", "").replace("public.", "")
    if shown in ("regclass", "regproc"):
        return Token("made", joined(operand))
    kind = typed(name)
    assert kind is not None
    if kind.name == "text" and len(operand) == 1 and operand[0].kind == "text":
        return operand[0]
    return Token("made", f"pg_to({joined(operand)}, {quoted(kind.declaration)})")


def _written_cast(inside: list[Token]) -> Token:
    at = max((place for place, token in enumerate(inside) if token.low == "as"), default=0)
    value, name = rewrite(inside[:at]), inside[at + 1 :]
    if joined(name).lower() in NATIVE_CASTS:
        return Token("made", f"CAST({joined(value)} AS {joined(name)})")
    return _cast(value, name)


# Tables


@dataclass
class ColumnDraft:
    """A column of a ``CREATE TABLE`` in the making: its name, its type, and its rules one by one."""

    name: str
    kind: Type | None
    rules: list[list[Token]] = field(default_factory=list)

    def has(self, *words: str) -> bool:
        """Return whether a rule begins with these words, its constraint's name left out."""
        return any(tuple(token.low for token in unnamed(rule)[: len(words)]) == words for rule in self.rules)

    def remove(self, *words: str) -> None:
        """Remove the rules that begin with these words."""
        self.rules = [rule for rule in self.rules if tuple(t.low for t in unnamed(rule)[: len(words)]) != words]

    def number(self, table: str) -> None:
        """Make the column number itself, as serial and identity columns do."""
        self.remove("default")
        name = quoted(f"{table}_{self.name}_seq")
        self.rules += [tokens("NOT NULL"), tokens(f"DEFAULT (nextval({name}))")]


@dataclass
class TableDraft:
    """A ``CREATE TABLE`` in the making, to which later ``ALTER TABLE`` statements add."""

    name: str
    columns: dict[str, ColumnDraft]
    rules: list[list[Token]]
    if_not_exists: bool = False
    strict: bool = False

    def sql(self) -> str:
        """Return the statement for SQLite: every key is NOT NULL, and every table has row ids."""
        keys = [c.name for c in self.columns.values() if c.has("primary", "key")]
        for rule in map(unnamed, self.rules):
            if rule[0].low == "primary":
                keys += [bare(part[0].text) for part in split(rule[3:-1])]
        for key in keys:
            column = self.columns.get(key)
            alone = len(keys) == 1 and column is not None and column.kind is not None and column.kind.name == "integer"
            if column is not None and not alone and not column.has("not", "null"):
                column.rules.append(tokens("NOT NULL"))
        parts = [self.column_sql(column) for column in self.columns.values()]
        parts += [joined(rewrite(rule)) for rule in self.rules]
        exists = "IF NOT EXISTS " if self.if_not_exists else ""
        return f"CREATE TABLE {exists}{q(self.name)} ({', '.join(parts)}){' STRICT' if self.strict else ''}"

    def column_sql(self, column: ColumnDraft) -> str:
        """Return the definition of one column for SQLite."""
        kind = "" if column.kind is None else column.kind.declaration
        if not all(letter.isalnum() or letter in " (),_" for letter in kind):
            kind = q(kind)
        return " ".join([q(column.name), kind, *(joined(_rule(rule)) for rule in column.rules)])


def unnamed(rule: list[Token]) -> list[Token]:
    """Return a rule without the name of its constraint."""
    return rule[2:] if rule and rule[0].low == "constraint" else rule


def _rule(rule: list[Token]) -> list[Token]:
    if rule[0].low == "default" and len(rule) > 2 and rule[1].low != "(":
        return [rule[0], Token("made", f"({joined(rewrite(rule[1:]))})")]
    return rewrite(rule)


def read_table(every: list[Token]) -> TableDraft | None:
    """Return the draft of a ``CREATE TABLE … (…)``; None for one that selects its rows. Raises Unsupported."""
    words = [token for token in every if token.low != ";"]
    start = next(at for at, token in enumerate(words) if token.low == "table") + 1
    there = [token.low for token in words[start : start + 3]] == ["if", "not", "exists"]
    start += 3 * there
    name, at = table_name(words, start)
    if at >= len(words) or words[at].low != "(":
        if any(token.low == "as" for token in words[at : at + 1]):
            return None
        raise Unsupported("a table needs its columns in parentheses; the lab knows no partitions and no OF")
    end = closing(words, at)
    tail = words[end + 1 :]
    if any(token.low in ("inherits", "partition") for token in tail):
        raise Unsupported("the lab knows no inheritance and no partitions; declare a plain table")
    draft = TableDraft(name, {}, [], there, any(token.low == "strict" for token in tail))
    for part in split(words[at + 1 : end]):
        if not part:
            raise Unsupported("a column or constraint is missing beside a comma")
        if part[0].low in TABLE_RULES:
            draft.rules.append(table_rule(part))
        else:
            column = read_column(part, name)
            if column.name in draft.columns:
                raise Unsupported(f"the column {column.name} is declared twice")
            draft.columns[column.name] = column
    return draft


def table_name(words: list[Token], at: int) -> tuple[str, int]:
    """Return the table named at a place, and the place after it; only the schema public is served."""
    if at + 2 < len(words) and words[at + 1].low == ".":
        schema = bare(words[at].text)
        if schema.lower() not in ("public", "main"):
            raise Unsupported(f"the lab serves the schema public alone, not {schema}; move the table into public")
        at += 2
    if at >= len(words):
        raise Unsupported("a table's name is missing")
    name = words[at]
    return bare(name.text), at + 1


def table_rule(part: list[Token]) -> list[Token]:
    """Return a table's constraint as SQLite reads it."""
    rule = unnamed(part)
    if not rule or rule[0].low in ("exclude", "like"):
        raise Unsupported(f"the lab knows no {rule[0].text if rule else 'such'} constraint; remove it")
    return _references(part)


def _references(rule: list[Token]) -> list[Token]:
    """Check where a foreign key points to, and leave out NOT VALID."""
    at = next((at for at, token in enumerate(rule) if token.low == "references"), len(rule))
    if [token.low for token in rule[at + 2 : at + 3]] == ["."] and bare(rule[at + 1].text).lower() != "public":
        name = f"{bare(rule[at + 1].text)}.{bare(rule[at + 3].text)}"
        raise Unsupported(f"the table {name} is of a schema that the lab does not have; remove the reference")
    if [token.low for token in rule[-2:]] == ["not", "valid"]:
        return rule[:-2]
    return rule


def read_column(part: list[Token], table: str) -> ColumnDraft:
    """Return the draft of one column; raises Unsupported for its type."""
    end = 1
    while end < len(part) and part[end].low not in COLUMN_RULES:
        end = closing(part, end) + 1 if part[end].low in ("(", "[") else end + 1
    words = part[1:end]
    serial = words[0].low if words else ""
    numbers = {"smallserial": "smallint", "serial2": "smallint", "serial": "integer", "serial4": "integer"}
    numbers |= {"bigserial": "bigint", "serial8": "bigint"}
    column = ColumnDraft(bare(part[0].text), typed(tokens(numbers.get(serial, "")) or words))
    numbered = serial in numbers
    for rule in _rules(part[end:]):
        plain = [token.low for token in unnamed(rule)]
        if plain[0] == "generated" and "identity" in plain:
            numbered = True
        elif plain[0] == "collate":
            if bare(rule[-1].text).lower() in COLLATIONS:
                column.rules.append(rule)
        elif plain[0] not in ("null", "storage"):
            column.rules.append(_references(rule))
    if numbered:
        column.number(table)
    return column


def _rules(rest: list[Token]) -> list[list[Token]]:
    """Split what follows a column's type into its rules."""
    rules: list[list[Token]] = []
    at = 0
    while at < len(rest):
        start = at
        at += 2 if rest[at].low == "constraint" else 0
        first = rest[at].low if at < len(rest) else ""
        at += 2 if first in ("default", "not", "primary", "generated", "references", "collate") else 1
        while at < len(rest) and not _begins(rest, at, first):
            at = closing(rest, at) + 1 if rest[at].low in ("(", "[") else at + 1
        rules.append(rest[start:at])
    return rules


def _begins(rest: list[Token], at: int, first: str) -> bool:
    word, after = rest[at].low, rest[at + 1].low if at + 1 < len(rest) else ""
    if word == "null":
        return first not in ("references", "not") and rest[at - 1].low != "set"
    if word == "default":
        return rest[at - 1].low not in ("set", "by")
    if word == "not":
        return after == "null"
    if word == "as":
        return first != "generated"
    return word in COLUMN_RULES
