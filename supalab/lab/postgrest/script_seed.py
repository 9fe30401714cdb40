"""Run an SQL script as a seed: SQLite's own, pg_dump's, or one for Supabase's editor.

Words that only PostgreSQL has are translated. Statements without meaning for the lab (owners, grants, policies) are
skipped and reported. What the lab does not support raises ``Unusable`` with the line and what to do.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from sqlglot import exp

from supalab.lab.postgrest.refusal import Refusal, Unusable
from supalab.lab.postgrest.schema import q, read_schema
from supalab.lab.postgrest.translate import TableDraft, parse, prepare, translate, written
from supalab.lab.postgrest.types import TEXT, known_type

# What may hold a semicolon; all repetitions are possessive, so that time grows with the length of the text alone.
ESCAPED = r"(?<!\w)[eE]'(?:[^'\\]|\\.|'')*+'"
DOLLAR = r"(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$(?P<inside>.*?)\$(?P=tag)\$"
NESTING = r"--[^\n]*+|" + r"/\*(?:[^*/]|\*(?!/)|/(?!\*)|" * 3 + r"/\*.*?\*/" + r")*+\*/" * 3  # PostgreSQL's comments
FLAT = r"--[^\n]*+|/\*.*?\*/"  # SQLite's
NAMES = r'"[^"]*+"|`[^`]*+`'
SPACE, PIECE = {}, {}
for nests, comment in ((True, NESTING), (False, FLAT)):
    SPACE[nests] = re.compile(rf"(?:[\s;]|{comment})*+", re.S)
    PIECE[nests] = re.compile(
        rf"(?:[^;'\"`$/\-eE]++|{ESCAPED}|'[^']*+'|{NAMES}|{comment}|{DOLLAR}|/(?!\*)|-(?!-)|[$eE])*+", re.S
    )
# PostgreSQL's words which SQLite lacks or reads in another way, and functions that it has under another name.
WORDS = (
    r"::|\$|\barray\s*\[|\bcast\b|\bilike\b|\b(?:any|some)\b|\bdistinct\s+on\b|\bat\s+time\s+zone\b|\bdefault\s*[,)]"
    r"|\b(?:public|pg_catalog|extensions)\s*\.|\"(?:public|pg_catalog|extensions)\"\s*\."
)
RENAMED = {
    "bool_and": "min", "bool_or": "max", "string_agg": "group_concat", "char_length": "length", "btrim": "trim",
}  # fmt: skip
FOREIGN = re.compile(rf"{WORDS}|/\*|(?<!\w)e'|\b(?:{'|'.join(RENAMED)})\b", re.I)
# What is read as one piece. Casts of values are rewritten here, because a parser is slow with many rows.
PIECES = re.compile(
    rf"""(?P<comment>{NESTING})|"?\b(?P<call>{"|".join(RENAMED)})"?(?=\s*\()|(?P<foreign>{WORDS})|{NAMES}
    |(?P<value>{ESCAPED}|{DOLLAR}|'[^']*+(?:''[^']*+)*+'|\b(?:null|true|false)\b|\b\d[\d.]*+)
    (?:\s*::\s*(?P<type>"?\w+"?(?:\s+precision|\s+varying)?(?:\([\d,\s]+\))?(?:\s+with(?:out)?\s+time\s+zone)?
    (?:\[\])?+)(?!\s*(?:::|[.\[])))?""",
    re.I | re.S | re.X,
)
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|(x[0-9a-f]{1,2}|u[0-9a-f]{4}|U[0-9a-f]{8})|(.))", re.S | re.I)
INSERT = re.compile(r'insert\s+into\s+(?:"?(?:public|main)"?\s*\.\s*)?(?="([^"]+)"|(\w+))', re.I)
NAME = r'(?:"?(?:public|main)"?\s*\.\s*)?("[^"]+"|\w+)'
TRIGGER = re.compile(r"create\s+(?:temp\w*\s+)?trigger\b.*\bbegin\b", re.I | re.S)
DEFINITION = re.compile(r"create\s+(?:(?:global|local|temp\w*|unlogged)\s+)*table\b|alter\s+table\b", re.I)
VIEW = re.compile(
    rf"create\s+(?:(?:or\s+replace|temp\w*|materialized)\s+)*view\s+(?:if\s+not\s+exists\s+)?{NAME}", re.I
)
TRANSACTION = re.compile(r"(?P<begin>begin|start\s+transaction)\b|(?:commit|end)\b", re.I)
COPY = re.compile(rf"copy\s+{NAME}\s*(\([^)]*\))?\s*from\s+stdin\b(.*?);?\Z", re.I | re.S)
COPY_END = re.compile(r"^\\\.[ \t\r]*$", re.M)
COPY_OPTIONS = re.compile(r"\s*(?:with)?\s*(?:\(\s*format\s+'?text'?\s*\))?\s*", re.I)
SKIPPED = {  # what is reported of a statement
    r"(?:set|reset)\b(?!\s+constraints)": "SET",
    r"\\": "psql command",
    r"pragma\s+(?:foreign_keys|journal_mode|synchronous|encoding|user_version|application_id|page_size|cache_size"
    r"|temp_store|auto_vacuum|defer_foreign_keys|locking_mode|busy_timeout|secure_delete|integrity_check"
    r"|foreign_key_check|optimize|legacy_alter_table)\b": "PRAGMA",
    r"(?:grant|revoke)\b": "GRANT/REVOKE",
    r"comment\s+on\b": "COMMENT ON",
    r"(?:create|alter|drop)\s+(extension|policy|role|user|group|publication|subscription|schema|sequence)\b": r"\1",
    r"alter\s+default\s+privileges\b": "DEFAULT PRIVILEGES",
    r"alter\s.*\sowner\s+to\b": "OWNER TO",
    r"alter\s+table\s.*\b(?:enable|disable|force)\s+row\s+level\s+security\b": "ROW LEVEL SECURITY",
    r"alter\s+table\s.*\b(?:replica\s+identity|cluster\s+on|attach\s+partition|set\s+(?:statistics|storage|logged"
    r"|unlogged))\b": "storage option",
    r"alter\s+table\s.*\b(?:enable|disable)\s+trigger\b": "TRIGGER switch",
    r"select\s+(?:pg_catalog\.)?set_config\b": "set_config",
    r"(notify|listen|analyze|lock|vacuum)\b(?!.*\binto\b)": r"\1",
    r"create\s+index\s.*\busing\s+(?:gin|gist|brin|hash|spgist)\b": "INDEX USING",
}
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
REWRITTEN = {  # the beginning or end of a statement, where one word more keeps SQLite from reading it
    r"(create)\s+(?:or\s+replace|materialized)\b": r"\1",
    r'(create\s+view\s+[\w."]+)\s+with\s*\([^)]*\)': r"\1",
    r"(create\s+(?:unique\s+)?index)\s+concurrently\b": r"\1",
    r"(create\s[^(]*\sindex\s[^(]*\son)\s+only\b": r"\1",
    r"(create\s+(?:unique\s+)?index\s[^(]*)\susing\s+\"?\w+\"?": r"\1 ",
    r"(drop\s[^;]*)\b(?:cascade|restrict)\b": r"\1",
    r"(insert\s+into\s[^']*?)\soverriding\s+(?:system|user)\s+value\b": r"\1",
    r"truncate\s+(?:table\s+)?(?:only\s+)?([^\s;]+)[^;]*": r"delete from \1",
    r"(alter\b.*)\badd\s+generated\s.*\bas\s+identity\b[^;]*": r"\1set default nextval('')",
    r"(create\b.*\))\s*(?:(?:without\s+rowid|strict)\b\s*,?\s*)+;?\s*\Z": r"\1",
}


class Statement(NamedTuple):
    """One statement: where it starts and ends in the script, its text, and the rows that follow a ``COPY``."""

    start: int
    line: int
    end: int
    text: str
    data: str | None = None


def statements(text: str) -> Iterator[Statement]:
    """Yield the statements of a script; raises Unusable for a quote or a comment that does not end."""
    nests = text.count("/*") == text.count("*/")
    end, line, counted = 0, 1, 0

    def piece(start: int) -> int:
        end = _end(PIECE[nests], text, start)
        if end < len(text) and text[end] != ";":
            what = "a comment" if text[end] == "/" else f"the quote {text[end]}"
            raise Unusable(f"{what} is not closed", 1 + text.count("\n", 0, end))
        return end

    while (start := _end(SPACE[nests], text, end)) < len(text):
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


class ScriptSeed:
    """One run of a script over an empty database.

    ``begin`` starts a statement's time limit; ``reason`` returns why a statement failed, from SQLite's error.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        begin: Callable[[], None],
        reason: Callable[[BaseException], object],
    ) -> None:
        self.connection, self.path, self.begin, self.reason = connection, path, begin, reason
        self.skipped: Counter[str] = Counter()
        self.lines: dict[str, int] = {}  # where a table or view is made
        self.filled: dict[str, int] = {}  # where a table gets its first rows
        self.drafts: dict[str, TableDraft] = {}
        self.plans: dict[int, TableDraft | list[str]] = {}  # by the start of the statement

    def run(self, text: str, tick: Callable[[int], None]) -> None:
        """Run all statements; ``tick`` receives the characters done so far.

        All are read before the first is run, so that the additions of ALTER TABLE are part of the table from the start.
        """
        for before, action in ((0, self._plan), (len(text), self._run)):
            for statement in statements(text):
                self.begin()
                try:
                    action(statement)
                except (sqlite3.Error, sqlite3.Warning, ValueError, ArithmeticError, MemoryError, RecursionError,
                        Refusal) as error:  # fmt: skip
                    if isinstance(error, Unusable) and error.line:
                        raise
                    raise Unusable(self.reason(error), statement.line, statement.text) from None
                tick((before + statement.end) // 2)
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")
        if self.skipped:
            kinds = ", ".join(f"{count} {name}" for name, count in sorted(self.skipped.items()))
            sys.stderr.write(f"seed {self.path.name}: skipped, as it means nothing to the lab: {kinds}\n")

    def _plan(self, statement: Statement) -> None:
        if INSERT.match(statement.text) or statement.data is not None:
            return
        head = statement.text[:2_000]
        for pattern, shown in SKIPPED.items():
            if found := re.match(pattern, head, re.I | re.S):
                self.skipped[found.expand(shown).upper() if "\\" in shown else shown] += 1
                self.plans[statement.start] = []
                return
        for pattern, what in REFUSED.items():
            if re.match(pattern, head, re.I | re.S):
                raise Unusable(f"a seed for the lab, which runs on SQLite, cannot have {what}")
        if DEFINITION.match(head):
            tree = parse(_rewritten(plain(statement.text)[0]))
            if isinstance(tree, exp.Create):
                self.plans[statement.start] = draft = TableDraft(tree)
                self.drafts.setdefault(draft.name, draft)
            else:
                self.plans[statement.start] = self._alter(tree)

    def _alter(self, tree: exp.Expression) -> list[str]:
        """Apply an ``ALTER TABLE`` to the draft of its table; return what SQLite has to run instead."""
        draft, actions = self.drafts.get(tree.this.name), tree.args["actions"]
        if draft is not None and draft.alter(actions):
            return []
        changes = []
        for action in actions:
            if isinstance(action, exp.ColumnDef):
                prepare(action)
            verb = "ADD COLUMN " * isinstance(action, exp.ColumnDef)
            changes.append(f"ALTER TABLE {q(tree.this.name)} {verb}{written(action).removeprefix('IF NOT EXISTS ')}")
        return changes

    def _run(self, statement: Statement) -> None:
        plan = self.plans.get(statement.start)
        if statement.data is not None:
            self._copy(statement)
        elif isinstance(plan, TableDraft):
            self.lines.setdefault(plan.name, statement.line)
            if plan.select is None:
                self.connection.execute(plan.sql())
            else:
                self._create_as(plan.name, written(plan.select))
        elif plan is not None:
            for sql in plan:
                self.connection.execute(sql)
        elif found := TRANSACTION.match(statement.text):
            if self.connection.in_transaction is not bool(found["begin"]):
                self.connection.execute("BEGIN" if found["begin"] else "COMMIT")
        else:
            self._execute(statement)

    def _execute(self, statement: Statement) -> None:
        """Run a statement; one with words of PostgreSQL is rewritten, in the cheapest way that leaves none."""
        sql = statement.text
        if found := INSERT.match(sql):
            self.filled.setdefault(found[1] or found[2], statement.line)
            sql = f"INSERT INTO {sql[found.end() :]}"
        elif view := VIEW.match(sql):
            self.lines[view[1].strip('"')] = statement.line
        foreign = False
        if FOREIGN.search(sql):  # where it is not within a string
            sql, foreign = plain(sql)
        sql = _rewritten(sql)
        if foreign:
            sql = translate(sql, self._defaults)
        for _ in self.connection.execute(sql):
            pass

    def _defaults(self, table: str) -> dict[str, str | None]:
        return {row[1]: row[4] for row in self.connection.execute(f"PRAGMA table_xinfo({q(table)})") if not row[6]}

    def _create_as(self, name: str, select: str) -> None:
        self.connection.execute(f"CREATE VIEW {q(name)} AS {select}")
        view = read_schema(self.connection)[name]
        self.connection.execute(f"DROP VIEW {q(name)}")
        self.begin()
        columns = ", ".join(f"{q(c.name)} {q(c.type.declaration)}" for c in view.columns.values())
        self.connection.execute(f"CREATE TABLE {q(name)} ({columns})")
        self.connection.execute(f"INSERT INTO {q(name)} {select}")

    def _copy(self, statement: Statement) -> None:
        found = COPY.match(statement.text)
        assert found is not None
        if not COPY_OPTIONS.fullmatch(found[3]):
            raise Unusable("the lab reads COPY in PostgreSQL's text format without options; use INSERT or a .csv file")
        name, data = found[1].strip('"'), (statement.data or "").split("\n")[:-1]
        width = 1 + (found[2].count(",") if found[2] else "".join(data[:1]).count("\t"))
        insert = f"INSERT INTO {q(name)} {found[2] or ''} VALUES ({', '.join('?' * width)})"
        self.filled.setdefault(name, statement.line)
        for number, line in enumerate(data, statement.line + statement.text.count("\n") + 1):
            if not number % 1_000:
                self.begin()  # rows that arrive are progress
            fields = line.removesuffix("\r").split("\t")
            try:
                if len(fields) != width:
                    raise Unusable(f"{len(fields)} values where COPY names {width} columns")
                values = [None if field == "\\N" else _unescaped(field) for field in fields]
                self.connection.execute(insert, values)
            except (sqlite3.Error, ValueError) as error:
                raise Unusable(self.reason(error), number, statement.text) from None


def plain(text: str) -> tuple[str, bool]:
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
        inside = _unescaped(value[2:-1].replace("''", "'")) if value[0] in "eE" else found["inside"]
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
    """Return a statement without the words of its beginning and end that SQLite does not know."""
    for pattern, new in REWRITTEN.items():
        if found := re.match(pattern, text, re.I | re.S):
            text = found.expand(new) + text[found.end() :]
    return text


def _unescaped(text: str) -> str:
    """Return a text with backslashes as PostgreSQL reads it."""

    def one(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 8))
        return chr(int(found[2][1:], 16)) if found[2] else ESCAPES.get(found[3], found[3])

    return ESCAPE.sub(one, text) if "\\" in text else text
