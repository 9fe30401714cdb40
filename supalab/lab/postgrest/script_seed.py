"""Run an SQL script as a seed: SQLite's own, pg_dump's, or one for Supabase's editor.

Statements without meaning for the lab (owners, grants, policies) are skipped and reported. Statements that the lab does
not support raise ``SettingsError`` with the file, the line and what to do.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlglot import exp

from supalab.errors import SettingsError
from supalab.lab.postgrest.refusal import Refusal
from supalab.lab.postgrest.schema import q, read_schema
from supalab.lab.postgrest.translate import TableDraft, Unsupported, parse, prepare_column, translate, written
from supalab.lab.postgrest.types import known_type

# What may hold a semicolon; all repetitions are possessive, so that time grows with the length of the text alone.
ESCAPED = r"(?<!\w)[eE]'(?:[^'\\]|\\.|'')*+'"
DOLLAR = r"(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$(?P<inside>.*?)\$(?P=tag)\$"
NESTING = r"--[^\n]*+|" + r"/\*(?:[^*/]|\*(?!/)|/(?!\*)|" * 3 + r"/\*.*?\*/" + r")*+\*/" * 3  # PostgreSQL's comments
FLAT = r"--[^\n]*+|/\*.*?\*/"  # SQLite's
QUOTED = r"""'[^']*+'|"[^"]*+"|`[^`]*+`"""
SPACE, PIECE = {}, {}
for nests, comment in ((True, NESTING), (False, FLAT)):
    SPACE[nests] = re.compile(rf"(?:[\s;]|{comment})*+", re.S)
    PIECE[nests] = re.compile(
        rf"(?:[^;'\"`$/\-eE]++|{ESCAPED}|{QUOTED}|{comment}|{DOLLAR}|/(?!\*)|-(?!-)|[$eE])*+", re.S
    )
LEXEME = re.compile(rf"(?P<escaped>{ESCAPED})|(?P<comment>{NESTING})|{DOLLAR}|{QUOTED}", re.S)
BLANK = re.compile(
    rf"""(?P<schema>"(?:public|pg_catalog|extensions)"\s*\.)|(?<!\w)(?P<mark>e)'(?:[^'\\]|\\.|'')*+'|(?:{QUOTED}|{FLAT})++""",
    re.S | re.I,
)
FOREIGN = re.compile(  # PostgreSQL's words which SQLite lacks or reads in another way
    r"::|\$|/\*|\barray\s*\[|\bcast\b|\bilike\b|\b(?:any|some)\b|\bdistinct\s+on\b"
    r"|\b(?:public|pg_catalog|extensions)\"?\s*\.|\bat\s+time\s+zone\b|(?<!\w)e'|\bdefault\s*[,)]"
    r"|\boverriding\s+(?:system|user)\b",
    re.I,
)
# An INSERT is recognized by its first words and its plain casts are rewritten here: a parser is slow with many rows.
INSERT = re.compile(r'insert\s+into\s+(?:"?(?:public|main)"?\s*\.\s*)?(?="([^"]+)"|(\w+))', re.I)
LITERAL_CAST = re.compile(
    r""""[^"]*+"|(?P<value>'(?:[^']|'')*+'|\b(?:null|true|false)\b|\b\d[\d.]*+)(?:\s*::\s*(?P<type>\w+(?:\s+precision"""
    r"""|\s+varying)?(?:\([\d,\s]+\))?(?:\s+with(?:out)?\s+time\s+zone)?(?:\[\])?+)(?!\s*(?:::|[.\[])))?""",
    re.I,
)
NAME = r'(?:"?(?:public|main)"?\s*\.\s*)?("[^"]+"|\w+)'
TRIGGER = re.compile(r"create\s+(?:temp\w*\s+)?trigger\b.*\bbegin\b", re.I | re.S)
TRIGGER_END = re.compile(rf"(?:[\s;]|{FLAT})*end\s*", re.I | re.S)
TABLE = re.compile(r"create\s+(?:(?:global|local|temp\w*|unlogged)\s+)*table\b", re.I)
ALTER = re.compile(r"alter\s+table\b", re.I)
VIEW = re.compile(rf"create\s+(?:temp\w*\s+)?view\s+(?:if\s+not\s+exists\s+)?{NAME}", re.I)
COPY = re.compile(rf"copy\s+{NAME}\s*(\([^)]*\))?\s*from\s+stdin\b(.*?);?\Z", re.I | re.S)
COPY_END = re.compile(r"^\\\.[ \t\r]*$", re.M)
COPY_OPTIONS = re.compile(r"\s*(?:with)?\s*(?:\(\s*format\s+'?text'?\s*\))?\s*", re.I)
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|(x[0-9a-f]{1,2}|u[0-9a-f]{4}|U[0-9a-f]{8})|(.))", re.S | re.I)
SKIPPED = {
    "SET": r"(?:set|reset)\b(?!\s+constraints)",
    "psql command": r"\\",
    "PRAGMA": r"pragma\s+(?:foreign_keys|journal_mode|synchronous|encoding|user_version|application_id|page_size"
    r"|cache_size|temp_store|auto_vacuum|defer_foreign_keys|locking_mode|busy_timeout|secure_delete|integrity_check"
    r"|foreign_key_check|optimize|legacy_alter_table)\b",
    "GRANT/REVOKE": r"(?:grant|revoke)\b",
    "COMMENT ON": r"comment\s+on\b",
    "EXTENSION": r"(?:create|alter|drop)\s+extension\b",
    "POLICY": r"(?:create|alter|drop)\s+policy\b",
    "ROLE": r"(?:create|alter|drop)\s+(?:role|user|group)\b",
    "PUBLICATION": r"(?:create|alter|drop)\s+(?:publication|subscription)\b",
    "DEFAULT PRIVILEGES": r"alter\s+default\s+privileges\b",
    "SCHEMA": r"(?:create|alter|drop)\s+schema\b",
    "SEQUENCE": r"(?:create|alter|drop)\s+sequence\b",
    "OWNER TO": r"alter\s.*\sowner\s+to\b",
    "ROW LEVEL SECURITY": r"alter\s+table\s.*\b(?:enable|disable|force)\s+row\s+level\s+security\b",
    "storage option": r"alter\s+table\s.*\b(?:replica\s+identity|cluster\s+on|attach\s+partition"
    r"|set\s+(?:statistics|storage|logged|unlogged))\b",
    "TRIGGER switch": r"alter\s+table\s.*\b(?:enable|disable)\s+trigger\b",
    "set_config": r"select\s+(?:pg_catalog\.)?set_config\b",
    "NOTIFY/ANALYZE/LOCK": r"(?:notify|listen|analyze|lock)\b",
    "VACUUM": r"vacuum\b(?!.*\binto\b)",
    "INDEX USING": r"create\s+index\s.*\busing\s+(?:gin|gist|brin|hash|spgist)\b",
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
    r"\A(create)\s+or\s+replace\b": r"\1",
    r"\A(create)\s+materialized\b": r"\1",
    r'\A(create\s+view\s+[\w."]+)\s+with\s*\([^)]*\)': r"\1",
    r"\A(create\s+(?:unique\s+)?index)\s+concurrently\b": r"\1",
    r"\A(create\s[^(]*\sindex\s[^(]*\son)\s+only\b": r"\1",
    r"\A(create\s+(?:unique\s+)?index\s[^(]*)\susing\s+\"?\w+\"?": r"\1 ",
    r"\A(drop\s[^;]*)\b(?:cascade|restrict)\b": r"\1",
    r"\A(insert\s+into\s[^']*?)\soverriding\s+(?:system|user)\s+value\b": r"\1",
    r"\Atruncate\s+(?:table\s+)?(?:only\s+)?([^\s;]+)[^;]*": r"delete from \1",
    r"\Astart\s+transaction\b": "begin",
    r"(\badd)\s+generated\s.*\bas\s+identity\b[^;]*": "set default nextval('')",
    r"(\))\s*(?:(?:without\s+rowid|strict)\b\s*,?\s*)+;?\s*\Z": r"\1",
}
FULL = "the script needs more than the 1 GB that the lab gives a seed; make it smaller"


@dataclass(frozen=True)
class Statement:
    """One statement: where it starts and ends in the script, its text, and the rows that follow a ``COPY``."""

    start: int
    line: int
    end: int
    text: str
    data: str | None = None


class NotClosed(ValueError):
    """A quote or a comment that does not end; ``line`` is where it starts."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"{what} is not closed")
        self.line = line


def statements(text: str) -> Iterator[Statement]:
    """Yield the statements of a script; raises ``NotClosed``."""
    nests = text.count("/*") == text.count("*/")
    end, line, counted = 0, 1, 0

    def piece(start: int) -> int:
        end = _end(PIECE[nests], text, start)
        if end < len(text) and text[end] != ";":
            what = "a comment" if text[end] == "/" else f"the quote {text[end]}"
            raise NotClosed(1 + text.count("\n", 0, end), what)
        return end

    while (start := _end(SPACE[nests], text, end)) < len(text):
        line, counted = line + text.count("\n", counted, start), start
        if text[start] == "\\":  # a line for psql, such as \connect
            end = (text.find("\n", start) + 1 or len(text) + 1) - 1
            yield Statement(start, line, end, text[start:end])
            continue
        end = last = piece(start)
        if TRIGGER.match(text, start, end):
            while end < len(text) and not TRIGGER_END.fullmatch(text, last, end):
                last, end = end, piece(end + 1)
        words, data = text[start : end + 1].rstrip(), None
        if COPY.match(words):
            begin = text.find("\n", end) + 1 or len(text)
            closed = COPY_END.search(text, begin)
            if closed is None:
                raise NotClosed(line, "the data of COPY (a line with \\. ends it)")
            data, end = text[begin : closed.start()], closed.end()
        yield Statement(start, line, end, words, data)


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found else start


def _unescaped(text: str) -> str:
    """Return a text with backslashes as PostgreSQL reads it."""

    def one(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 8))
        return chr(int(found[2][1:], 16)) if found[2] else ESCAPES.get(found[3], found[3])

    return ESCAPE.sub(one, text) if "\\" in text else text


def _plain(text: str) -> str:
    """Return SQL without comments, its strings of PostgreSQL's kinds as plain ones."""

    def one(found: re.Match[str]) -> str:
        if found["comment"]:
            return " "
        if found["escaped"]:
            return _literal(_unescaped(found[0][2:-1].replace("''", "'")))
        return found[0] if found["inside"] is None else _literal(found["inside"])

    return LEXEME.sub(one, text)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _call(found: re.Match[str]) -> str:
    """Return a literal with a cast as a call of the lab's function."""
    kind = known_type(found["type"] or "")
    return found[0] if kind is None else f"pg_to({found['value']}, '{kind.declaration}')"


def _foreign(text: str) -> bool:
    """Return whether a statement holds words of PostgreSQL outside its strings."""
    return bool(FOREIGN.search(text) and FOREIGN.search(BLANK.sub(r"\g<schema>\g<mark>''", text)))


class ScriptSeed:
    """One run of a script over an empty database.

    ``begin`` starts a statement's time limit; ``late`` returns why a statement was stopped.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path, *, begin: Callable[[], None], late: Callable[[], str]
    ) -> None:
        self.connection, self.path, self.begin, self.late = connection, path, begin, late
        self.skipped: Counter[str] = Counter()
        self.lines: dict[str, int] = {}  # where a table or view is made
        self.filled: dict[str, int] = {}  # where a table gets its first rows
        self.drafts: dict[str, TableDraft] = {}
        self.plans: dict[int, TableDraft | list[str]] = {}  # by the start of the statement

    def error(self, line: int, what: object, text: str = "") -> SettingsError:
        """Return an error that names the file and the line, and shows the statement."""
        words = " ".join(text[:400].split())
        shown = words if len(words) <= 60 else words[:57] + "..."
        said = " ".join(str(what).split())
        return SettingsError(f"seed {self.path}: line {line}: {said}{', in: ' + shown if shown else ''}")

    def run(self, text: str, tick: Callable[[int], None]) -> None:
        """Run all statements; ``tick`` receives the characters done so far.

        All are read before the first is run, so that the additions of ALTER TABLE are part of the table from the start.
        """
        try:
            for statement in statements(text):
                self._guarded(statement, self._plan)
            for statement in statements(text):
                self.begin()
                self._guarded(statement, self._run)
                tick(statement.end)
        except NotClosed as error:
            raise self.error(error.line, error) from None
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")
        if self.skipped:
            kinds = ", ".join(f"{count} {name}" for name, count in sorted(self.skipped.items()))
            sys.stderr.write(f"seed {self.path.name}: skipped, as it means nothing to the lab: {kinds}\n")

    def _guarded(self, statement: Statement, action: Callable[[Statement], None]) -> None:
        try:
            action(statement)
        except Refusal as refusal:
            raise self.error(statement.line, refusal.shape["message"], statement.text) from None
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError, RecursionError) as error:
            raise self.error(statement.line, self._reason(error), statement.text) from None

    def _reason(self, error: BaseException) -> str:
        said = str(error)
        if late := self.late():
            return late
        if "full" in said or isinstance(error, MemoryError):
            return FULL
        if "too big" in said:
            return f"{said}: a value of more than 32 MB, which the lab does not keep"
        deep = isinstance(error, RecursionError) or "parser stack" in said
        return "the statement nests too deep; make it simpler" if deep else said

    def _plan(self, statement: Statement) -> None:
        if INSERT.match(statement.text) or statement.data is not None:
            return
        head = statement.text[:2_000]
        for name, pattern in SKIPPED.items():
            if re.match(pattern, head, re.I | re.S):
                self.skipped[name] += 1
                self.plans[statement.start] = []
                return
        for pattern, what in REFUSED.items():
            if re.match(pattern, head, re.I | re.S):
                raise Unsupported(f"a seed for the lab, which runs on SQLite, cannot have {what}")
        if TABLE.match(head):
            tree = parse(_rewritten(_plain(statement.text)))
            assert isinstance(tree, exp.Create)
            self.plans[statement.start] = draft = TableDraft(tree)
            self.drafts.setdefault(draft.name, draft)
        elif ALTER.match(head):
            self.plans[statement.start] = self._alter(parse(_rewritten(_plain(statement.text))))

    def _alter(self, tree: exp.Expression) -> list[str]:
        """Apply an ``ALTER TABLE`` to the draft of its table; return what SQLite has to run instead."""
        draft, actions = self.drafts.get(tree.this.name), tree.args["actions"]
        if draft is not None and draft.alter(actions):
            return []
        for action in actions:
            if isinstance(action, exp.ColumnDef):
                prepare_column(action, tree.this.name)
        verbs = ("ADD COLUMN " * isinstance(action, exp.ColumnDef) for action in actions)
        return [
            f"ALTER TABLE {q(tree.this.name)} {verb}{written(action).removeprefix('IF NOT EXISTS ')}"
            for verb, action in zip(verbs, actions, strict=True)
        ]

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
        else:
            self._execute(statement)

    def _execute(self, statement: Statement) -> None:
        sql = statement.text
        if found := INSERT.match(sql):
            self.filled.setdefault(found[1] or found[2], statement.line)
            sql = f"INSERT INTO {sql[found.end() :]}"
        if not found or _foreign(sql):
            sql = _rewritten(sql)
            if _foreign(sql) and _foreign(sql := _plain(sql)) and _foreign(sql := LITERAL_CAST.sub(_call, sql)):
                sql = translate(sql, self._defaults)
            if made := VIEW.match(sql):
                self.lines[made[1].strip('"')] = statement.line
            if re.match(r"(?:begin|commit|end)\b", sql, re.I):
                if self.connection.in_transaction != sql[:5].lower().startswith("begin"):
                    self.connection.execute("COMMIT" if self.connection.in_transaction else "BEGIN")
                return
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
            raise Unsupported(
                "the lab reads COPY in PostgreSQL's text format without options; use INSERT or a .csv file"
            )
        data, line = statement.data or "", statement.line + statement.text.count("\n")
        width = found[2].count(",") + 1 if found[2] else data.partition("\n")[0].count("\t") + 1

        def values() -> Iterator[list[str | None]]:
            nonlocal line
            for one in data.split("\n")[:-1]:
                line += 1
                if not line % 1_000:
                    self.begin()  # rows that arrive are progress
                fields = one.removesuffix("\r").split("\t")
                if len(fields) != width:
                    raise ValueError(f"{len(fields)} values where COPY names {width} columns")
                yield [None if field == "\\N" else _unescaped(field) for field in fields]

        name, inside = found[1].strip('"'), self.connection.in_transaction
        self.filled.setdefault(name, statement.line)
        try:
            if not inside:
                self.connection.execute("BEGIN")
            insert = f"INSERT INTO {q(name)} {found[2] or ''} VALUES ({', '.join('?' * width)})"
            self.connection.executemany(insert, values())
            if not inside:
                self.connection.execute("COMMIT")
        except (sqlite3.Error, ValueError) as error:
            raise self.error(line, self._reason(error), statement.text) from None


def _rewritten(text: str) -> str:
    """Return a statement without the words of its beginning and end that SQLite does not know."""
    for pattern, new in REWRITTEN.items():
        text = re.sub(pattern, new, text, count=1, flags=re.I | re.S)
    return text
