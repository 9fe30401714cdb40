"""Run an SQL script as a seed: SQLite's own, one from pg_dump, or one for Supabase's editor.

Words that only PostgreSQL has are translated. Statements without meaning for the lab (owners, grants, policies) are
skipped and reported. Unsupported statements raise ``Unusable`` with the line and what to do.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from sqlglot import exp
from sqlglot.errors import SqlglotError

from supalab.lab.postgrest.catalogue import read_schema
from supalab.lab.postgrest.loading import Loading
from supalab.lab.postgrest.refusal import Refusal, Unusable
from supalab.lab.postgrest.schema import q
from supalab.lab.postgrest.translate import (
    NAME,
    PIECE,
    SPACE,
    Seed,
    TableDraft,
    column_type,
    numbers,
    parse,
    prepare,
    translate,
    unescaped,
    written,
)
from supalab.lab.postgrest.types import find_type
from supalab.lab.postgrest.views import types_of, use_decimals

INSERT = re.compile(r'insert\s+into\s+(?:"?(?:public|main)"?\s*\.\s*)?(?="([^"]+)"|(\w+))', re.I)
TRANSACTION = re.compile(r"(?P<begin>begin|start\s+transaction)\b|(?:commit|end)\b", re.I)
COMPUTING = re.compile(r"[-+*/]|\bsum\b", re.I)
VIEW = re.compile(r"create\s+(?:\w+\s+){0,3}view\b", re.I)
TRIGGER = re.compile(r"create\s+(?:temp\w*\s+)?trigger\b.*\bbegin\b", re.I | re.S)
DEFINITION = re.compile(r"create\s+(?:(?:global|local|temp\w*|unlogged)\s+)*table\b|alter\s+table\b", re.I)
SEQUENCE = re.compile(
    rf"(?:create|alter)\s+(?:temp\w*\s+)?sequence\s+(?:if\s+(?:not\s+)?exists\s+)?{NAME}(.*)", re.I | re.S
)
TRUNCATE = re.compile(
    r"truncate\s+(?:table\s+)?(?:only\s+)?([^;]+?)(\s+restart\s+identity)?(\s+continue\s+identity)?(\s+cascade|\s+restrict)?\s*;?\Z",
    re.I,
)
COPY = re.compile(rf"copy\s+{NAME}\s*(\([^)]*\))?\s*from\s+stdin\b(.*?);?\Z", re.I | re.S)
COPY_END = re.compile(r"^\\\.[ \t\r]*$", re.M)
COPY_OPTIONS = re.compile(r"\s*(?:with)?\s*(?:\(\s*format\s+'?text'?\s*\))?\s*", re.I)
# Statements that the lab does not need; the words in the group are reported.
SKIPPED = re.compile(
    r"(\\\w*)"
    r"|(set|reset|grant|revoke|notify|listen|analyze|lock|comment\s+on|alter\s+default\s+privileges)\b"
    r"|(vacuum)\b(?!.*\binto\b)"
    r"|(pragma\s+(?:foreign_keys|journal_mode|synchronous|encoding|user_version|application_id|page_size|cache_size"
    r"|temp_store|auto_vacuum|defer_foreign_keys|locking_mode|busy_timeout|secure_delete|integrity_check"
    r"|foreign_key_check|optimize|legacy_alter_table))\b"
    r"|(?:create|alter|drop)\s+(extension|policy|role|user|group|publication|subscription|schema)\b"
    r"|drop\s+(sequence|type|function|procedure|domain)\b"
    r"|alter\s.*\s(owner\s+to)\b"
    r"|alter\s+table\s.*\b(row\s+level\s+security|replica\s+identity|cluster\s+on|attach\s+partition"
    r"|set\s+(?:statistics|storage|logged|unlogged)|(?:enable|disable)\s+trigger)\b"
    r"|select\s+(?:pg_catalog\.)?(set_config)\b"
    r"|create\s+index\s.*\b(using\s+(?:gin|gist|brin|hash|spgist))\b",
    re.I | re.S,
)
REFUSED = {
    r"create\s+(?:or\s+replace\s+)?(?:function|procedure|aggregate)\b": "functions of its own; remove it",
    r"create\s+type\b": "types of its own, such as enums; use text, with a CHECK for its values",
    r"create\s+domain\b": "domains; declare the columns with the type itself, with a CHECK",
    r"create\s+.*\btrigger\b.*\bexecute\s+(?:function|procedure)\b": "triggers that call functions; "
    "write it with BEGIN … END as SQLite does, or remove it",
    r"create\s+.*\bpragma_\w": "views or triggers that read a PRAGMA; remove it",
    r"(?:create|alter)\s+foreign\b": "foreign tables; remove it",
    r"create\s+(?:server|rule|operator|cast|language|event)\b": "objects of this kind; remove it",
    r"(?:do|call)\b": "PL/pgSQL; write plain statements",
    r"copy\b": "COPY with another file; use COPY … FROM stdin, or INSERT",
}
# PRAGMAs that describe the database; SQLite's own text search reads the version.
DESCRIBING = ("table_list", "table_xinfo", "index_list", "index_info", "foreign_key_list", "data_version")
FORBIDDEN = (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA)


class Statement(NamedTuple):
    """One statement: where it starts and ends in the script, its text, and the rows that follow a ``COPY``."""

    start: int
    line: int
    end: int
    text: str
    data: str | None = None


def statements(text: str) -> Iterator[Statement]:
    """Yield the statements of a script; raises Unusable for a quote or a comment without an end."""
    end, line, counted = 0, 1, 0

    def piece(start: int) -> int:
        end = _end(PIECE, text, start)
        if end < len(text) and text[end] != ";":
            what = "a comment" if text[end] == "/" else f"the quote {text[end]}"
            raise Unusable(f"{what} is not closed", 1 + text.count("\n", 0, end))
        return end

    while (start := _end(SPACE, text, end)) < len(text):
        line, counted = line + text.count("\n", counted, start), start
        if text[start] == "\\":  # a line for psql, such as \connect
            end = (text.find("\n", start) + 1 or len(text) + 1) - 1
            yield Statement(start, line, end, text[start:end])
            continue
        end = piece(start)
        if TRIGGER.match(text, start, end):
            while end < len(text) and not sqlite3.complete_statement(text[start : end + 1]):
                end = piece(end + 1)
        words, data = text[start : end + 1].rstrip(), None
        if COPY.match(words):
            begin = text.find("\n", end) + 1 or len(text)
            closed = COPY_END.search(text, begin)
            if closed is None:
                raise Unusable("the data of COPY (a line with \\. ends it) is not closed", line)
            data, end = text[begin : closed.start()], closed.end()
        yield Statement(start, line, end, words, data)


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found else start


def run_script(loading: Loading) -> dict[str, int]:
    """Run all statements of a script; return the line of each table's first rows. Raises Unusable."""
    script = _Script(loading)
    loading.connection.set_authorizer(_authorize)
    script.run(loading.path.read_bytes().decode("utf-8-sig"))
    loading.connection.set_authorizer(None)
    loading.connection.set_progress_handler(None, 0)
    return script.filled


def _authorize(action: int, what: str | None, name: str | None, *_: str | None) -> int:
    describes = action == sqlite3.SQLITE_PRAGMA and what in DESCRIBING
    refused = action in FORBIDDEN or name == "load_extension"
    return sqlite3.SQLITE_DENY if refused and not describes else sqlite3.SQLITE_OK


class _Script:
    """One run of a script over an empty database."""

    def __init__(self, loading: Loading) -> None:
        self.loading, self.connection = loading, loading.connection
        self.skipped: Counter[str] = Counter()
        self.filled: dict[str, int] = {}
        self.drafts: dict[str, TableDraft] = {}
        self.plans: dict[int, TableDraft | list[exp.Alter]] = {}  # by their start in the script

    def run(self, text: str) -> None:
        """Read all statements before running the first one, so that tables have the additions of ALTER TABLE."""
        for before, action in ((0, self._plan), (len(text), self._run)):
            for statement in statements(text):
                self.loading.begin()
                try:
                    action(statement)
                except (sqlite3.Error, sqlite3.Warning, ValueError, ArithmeticError, MemoryError, RecursionError,
                        Refusal) as error:  # fmt: skip
                    if isinstance(error, Unusable) and error.line:
                        raise
                    raise Unusable(self.loading.reason(error), statement.line, statement.text) from None
                self.loading.tick((before + statement.end) // 2)
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")
        if self.skipped:
            kinds = ", ".join(f"{count} {name}" for name, count in sorted(self.skipped.items()))
            sys.stderr.write(f"seed {self.loading.path.name}: skipped, because the lab does not need it: {kinds}\n")

    def _plan(self, statement: Statement) -> None:
        if found := INSERT.match(statement.text) or (statement.data is not None and COPY.match(statement.text)):
            name = found[1] or found[2] if statement.data is None else found[1].strip('"')
            if draft := self.drafts.get(name.lower()):
                draft.filled = True
            return
        head = statement.text[:2_000]
        if found := SKIPPED.match(head):
            words = found[found.lastindex or 0]
            self.skipped[" ".join(words.upper().split())] += 1
            self.plans[statement.start] = []
            return
        for pattern, what in REFUSED.items():
            if re.match(pattern, head, re.I | re.S):
                raise Unusable(f"a seed for the lab, which runs on SQLite, cannot have {what}")
        if DEFINITION.match(head):
            tree = parse(statement.text)
            if isinstance(tree, exp.Create):
                self.plans[statement.start] = draft = TableDraft(tree)
                self.drafts.setdefault(draft.name.lower(), draft)
            else:
                self.plans[statement.start] = self._alter(tree)

    def _alter(self, tree: exp.Expression) -> list[exp.Alter]:
        """Apply an ``ALTER TABLE`` to the draft of its table; return what SQLite has to run instead."""
        draft, actions = self.drafts.get(tree.this.name.lower()), tree.args["actions"]
        if draft is not None:
            actions = [action for action in actions if not self._drafted(draft, action)]
        for action in actions:
            if isinstance(action, exp.ColumnDef):
                prepare(action)
                action.set("exists", False)
        return [exp.Alter(this=tree.this, kind="TABLE", actions=[action]) for action in actions]

    def _drafted(self, draft: TableDraft, action: exp.Expression) -> bool:
        drafted = draft.alter(action)
        if drafted and (default := draft.default(action.name)):
            self._check_default(f"{draft.name}.{action.name}", *default)
        return drafted

    def _run(self, statement: Statement) -> None:
        plan = self.plans.get(statement.start)
        if statement.data is not None:
            self._copy(statement)
        elif found := TRANSACTION.match(statement.text):
            # PostgreSQL only warns about a second BEGIN, and about a COMMIT without a BEGIN.
            if self.connection.in_transaction is not bool(found["begin"]):
                self.connection.execute("BEGIN" if found["begin"] else "COMMIT")
        elif isinstance(plan, TableDraft) and plan.select is not None:
            self._create_as(plan.name, written(plan.select))
        elif isinstance(plan, TableDraft):
            types = {name: column_type(one.kind).name for name, one in plan.columns.items() if one.kind}
            for rule in plan.tree.find_all(exp.ComputedColumnConstraint):
                query = exp.select(rule.this.copy()).from_("t")
                if use_decimals(query, {"t": types}):
                    rule.set("this", query.selects[0])
            self.connection.execute(plan.sql())
            self._check_defaults(plan.name)
        elif plan is not None:
            for change in plan:
                self.connection.execute(written(change))
                self._check_defaults(change.this.name)
        else:
            self._execute(statement)

    def _execute(self, statement: Statement) -> None:
        sql = statement.text
        if found := SEQUENCE.match(sql):
            self.connection.execute("SELECT pg_sequence(?, ?, ?)", (found[1], *numbers(found[2])))
            return
        if found := TRUNCATE.match(sql):
            for name in re.findall(NAME, found[1]):
                self._truncate(name.strip('"'), restart=bool(found[2]))
            return
        if found := INSERT.match(sql):
            self.filled.setdefault(found[1] or found[2], statement.line)
            sql = f"INSERT INTO {sql[found.end() :]}"
        sql = translate(sql, self._columns)
        for _ in self.connection.execute(self._with_decimals(sql) if VIEW.match(sql) else sql):
            pass
        if VIEW.match(sql):
            newest = "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY rowid DESC LIMIT 1"
            for (name,) in self.connection.execute(newest).fetchall():
                self.connection.execute(f"SELECT * FROM {q(name)} LIMIT 0")

    def _with_decimals(self, view: str) -> str:
        """Return a ``CREATE VIEW`` that computes with the type numeric as PostgreSQL does."""
        if not COMPUTING.search(view):
            return view
        types = {name.lower(): types_of(table) for name, table in read_schema(self.connection).items()}
        try:
            tree = Seed().parse(view)[0]
        except SqlglotError:
            return view
        if isinstance(tree, exp.Create) and use_decimals(tree.expression, types):
            return written(tree)
        return view

    def _columns(self, table: str) -> list[tuple[str, str, str | None, int]]:
        sql = "SELECT name, type, dflt_value, hidden FROM pragma_table_xinfo(?)"
        return self.connection.execute(sql, (table,)).fetchall()

    def _check_defaults(self, table: str) -> None:
        for column, declared, default, _ in self._columns(table):
            if default is not None:
                self._check_default(f"{table}.{column}", declared, default)

    def _check_default(self, column: str, declared: str, default: str) -> None:
        """Refuse a default that gives no value of its column's type."""
        try:
            for (value,) in self.connection.execute(f"SELECT {default}") if "nextval" not in default.lower() else ():
                if value is not None:
                    find_type(declared).read(str(value))
        except (sqlite3.Error, Refusal) as error:
            raise Unusable(f"the default of {column} cannot be used: {self.loading.reason(error)}") from None

    def _truncate(self, table: str, *, restart: bool) -> None:
        self.connection.execute(f"DELETE FROM {q(table)}")
        for column, _, default, _ in self._columns(table) if restart else ():
            if "nextval" in (default or ""):
                self.connection.execute("SELECT pg_restart(?)", (f"{table}_{column}_seq",))

    def _create_as(self, name: str, select: str) -> None:
        view = f"rows of {name}"
        self.connection.execute(self._with_decimals(f"CREATE VIEW {q(view)} AS {select}"))
        told = read_schema(self.connection)[view]
        self.loading.begin()
        columns = ", ".join(f"{q(c.name)} {q(c.type.declaration)}" for c in told.columns.values())
        self.connection.execute(f"CREATE TABLE {q(name)} ({columns})")
        self.connection.execute(f"INSERT INTO {q(name)} SELECT * FROM {q(view)}")
        self.connection.execute(f"DROP VIEW {q(view)}")

    def _copy(self, statement: Statement) -> None:
        found = COPY.match(statement.text)
        assert found is not None
        if not COPY_OPTIONS.fullmatch(found[3]):
            raise Unusable("the lab reads COPY in PostgreSQL's text format without options; use INSERT or a .csv file")
        name, data = found[1].strip('"'), (statement.data or "").split("\n")[:-1]
        named = re.sub(r'"[^"]*"', "", found[2] or "").count(",")
        width = 1 + (named if found[2] else "".join(data[:1]).count("\t"))
        insert = f"INSERT INTO {q(name)} {found[2] or ''} VALUES ({', '.join('?' * width)})"
        self.filled.setdefault(name, statement.line)
        for number, line in enumerate(data, statement.line + statement.text.count("\n") + 1):
            if not number % 1_000:
                self.loading.begin()  # arriving rows are progress
            fields = line.removesuffix("\r").split("\t")
            try:
                if len(fields) != width:
                    raise Unusable(f"{len(fields)} values where COPY names {width} columns")
                values = [None if field == "\\N" else unescaped(field) for field in fields]
                self.connection.execute(insert, values)
            except (sqlite3.Error, ValueError) as error:
                raise Unusable(self.loading.reason(error), number, statement.text) from None
