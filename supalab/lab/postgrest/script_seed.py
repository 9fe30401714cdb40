"""Run an SQL script as a seed: SQLite's own, pg_dump's, or one for Supabase's editor.

What has no meaning for the lab (owners, grants, policies) is skipped and reported; what the lab does not have is a
``SettingsError`` that names the file, the line and the cure.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from collections import Counter
from typing import TYPE_CHECKING

from supalab.errors import SettingsError
from supalab.lab.postgrest.refusal import Refusal
from supalab.lab.postgrest.schema import Schema, q
from supalab.lab.postgrest.script import NotClosed, Statement, Token, bare, joined, split, statements, tokens
from supalab.lab.postgrest.translate import (
    TableDraft,
    Unsupported,
    read_column,
    read_table,
    rewrite,
    table_name,
    table_rule,
    typed,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLAIN = re.compile(r"insert\s+into\s+[\"\w]+\s*[(v]", re.I)  # an INSERT that SQLite reads as it is …
FOREIGN = re.compile(  # … unless one of these stands in it
    r"::|\$|\bpublic\b|\be'|--|/\*|\barray\b|\bcast\b|\boverriding\b|\bilike\b|\bany\b|pg_catalog", re.I
)
SKIPPED = re.compile(
    r"(?P<set>set|reset)\b(?!\s+constraints)|(?P<psql>\\)|(?P<grant>grant|revoke)\b|(?P<comment>comment\s+on)\b"
    r"|(?P<extension>(?:create|alter|drop)\s+extension)\b|(?P<policy>(?:create|alter|drop)\s+policy)\b"
    r"|(?P<role>(?:create|alter|drop)\s+(?:role|user|group))\b"
    r"|(?P<publication>(?:create|alter|drop)\s+(?:publication|subscription))\b"
    r"|(?P<privileges>alter\s+default\s+privileges)\b|(?P<schema>(?:create|alter|drop)\s+schema)\b"
    r"|(?P<owner>alter\s.*\sowner\s+to)\b"
    r"|(?P<rls>alter\s+table\s.*\b(?:enable|disable|force)\s+row\s+level\s+security)\b"
    r"|(?P<storage>alter\s+table\s.*\b(?:replica\s+identity|cluster\s+on|set\s+(?:statistics|storage"
    r"|logged|unlogged)|attach\s+partition))\b"
    r"|(?P<trigger>alter\s+table\s.*\b(?:enable|disable)\s+trigger)\b"
    r"|(?P<settings>select\s+(?:pg_catalog\.)?set_config)\b|(?P<notify>notify|listen|analyze|lock)\b"
    r"|(?P<vacuum>vacuum\s*;?$)|(?P<index>create\s+index\s.*\busing\s+(?:gin|gist|brin|hash|spgist)\b)",
    re.I | re.S,
)
NAMES = {
    "set": "SET", "psql": "psql command", "grant": "GRANT/REVOKE", "comment": "COMMENT ON", "extension": "EXTENSION",
    "policy": "POLICY", "role": "ROLE", "publication": "PUBLICATION", "privileges": "DEFAULT PRIVILEGES",
    "schema": "SCHEMA", "owner": "OWNER TO", "rls": "ROW LEVEL SECURITY", "storage": "storage option",
    "trigger": "TRIGGER switch", "settings": "set_config", "notify": "NOTIFY/ANALYZE/LOCK", "vacuum": "VACUUM",
    "index": "INDEX USING", "pragma": "PRAGMA", "sequence": "SEQUENCE",
}  # fmt: skip
REFUSED = (
    (r"create\s+(?:or\s+replace\s+)?(?:function|procedure|aggregate)\b", "functions of its own", "remove it"),
    (r"create\s+type\b", "types of its own, such as enums", "use text, with a CHECK for its values"),
    (r"create\s+domain\b", "domains", "declare the columns with the type itself, with a CHECK"),
    (
        r"create\s+.*\btrigger\b.*\bexecute\s+(?:function|procedure)\b",
        "triggers that call functions",
        "write it with BEGIN … END as SQLite does, or remove it",
    ),
    (r"(?:create|alter)\s+foreign\b", "foreign tables", "remove it"),
    (r"create\s+(?:server|rule|operator|cast|language|event)\b", "objects of this kind", "remove it"),
    (r"do\b|call\b", "PL/pgSQL", "write plain statements"),
    (r"copy\b(?!.*\bstdin\b)", "COPY with another file", "use COPY … FROM stdin, or INSERT"),
)
PRAGMAS_TEXT = (
    "foreign_keys journal_mode synchronous encoding user_version application_id page_size cache_size "
    "temp_store auto_vacuum defer_foreign_keys locking_mode busy_timeout secure_delete integrity_check "
    "foreign_key_check optimize legacy_alter_table"
)
PRAGMAS = frozenset(PRAGMAS_TEXT.split())
COPY_HEAD = re.compile(r"copy\s+(.+?)\s*(?:\(([^)]*)\))?\s+from\s+stdin\s*(.*?);?$", re.I | re.S)
COPY_SIGNS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
NEAR = re.compile(r"near \"|unrecognized token|no such function|unknown database|incomplete input")
FULL = "the script needs more than the 1 GB that the lab gives a seed; make it smaller"


class ScriptSeed:
    """One run of a script over an empty database."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        begin: Callable[[], None],
        late: Callable[[], str],
        describe: Callable[[], Schema],
    ) -> None:
        self.connection, self.path = connection, path
        self.begin, self.late, self.describe = begin, late, describe
        self.skipped: Counter[str] = Counter()
        self.lines: dict[str, int] = {}  # where a table or view is made
        self.drafts: dict[str, TableDraft] = {}

    def error(self, line: int, what: object, text: str = "") -> SettingsError:
        """Return an error that names the file and the line, and shows the statement."""
        words = " ".join(text[:400].split())
        shown = words if len(words) <= 60 else words[:57] + "..."
        return SettingsError(f"seed {self.path}: line {line}: {what}{', in: ' + shown if shown else ''}")

    def run(self, text: str, tick: Callable[[int], None]) -> None:
        """Run all statements; ``tick`` is told the characters done so far."""
        try:
            every = list(statements(text))
        except NotClosed as error:
            raise self.error(error.line, error) from None
        plans = [self._guarded(statement, self._plan, statement) for statement in every]
        for statement, plan in zip(every, plans, strict=True):
            self.begin()
            self._guarded(statement, self._run, statement, plan)
            tick(statement.end)
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")
        if self.skipped:
            kinds = ", ".join(f"{count} {name}" for name, count in sorted(self.skipped.items()))
            sys.stderr.write(f"seed {self.path.name}: skipped, as it means nothing to the lab: {kinds}\n")

    def _guarded(self, statement: Statement, action: Callable[..., object], *arguments: object) -> object:
        try:
            return action(*arguments)
        except Unsupported as error:
            raise self.error(statement.line, error, statement.text) from None
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
        if isinstance(error, RecursionError):
            return "the statement nests too deep"
        return said

    # First all statements are looked at, so that what ALTER TABLE adds later is part of its table from the start

    def _plan(self, statement: Statement) -> object:
        text = statement.text
        if PLAIN.match(text) and not FOREIGN.search(text):
            return text
        if statement.data is not None:
            return None
        head = text[:2_000]
        found = SKIPPED.match(head)
        if found:
            self._skip(str(found.lastgroup))
            return None
        for pattern, what, cure in REFUSED:
            if re.match(pattern, head, re.I | re.S):
                raise Unsupported(f"a seed for the lab, which runs on SQLite, cannot have {what}; {cure}")
        return self._planned(tokens(text))

    def _skip(self, kind: str) -> object:
        self.skipped[NAMES[kind]] += 1
        return None

    def _planned(self, every: list[Token]) -> object:
        while every and every[-1].low == ";":
            every = every[:-1]
        opened, closed = (sum(token.low == sign for token in every) for sign in "()")
        if opened != closed:
            raise Unsupported(f"{opened} opening and {closed} closing brackets; add or remove one")
        words = [token.low for token in every[:8]]
        if not words:
            return None
        if words[0] == "pragma":
            name = joined(every[1:2]).lower()
            if name not in PRAGMAS:
                raise Unsupported(f"PRAGMA {name} has no place in a seed for SQLite (not authorized); remove it")
            self._skip("pragma")
            return None
        if words[0] == "create" and "table" in words[1:3] and "virtual" not in words:
            return self._create(every)
        if words[:2] == ["alter", "table"] and self._alter(every):
            return None
        if words[:2] in (["create", "sequence"], ["alter", "sequence"], ["drop", "sequence"]):
            self._skip("sequence")
            return None
        return _other(every)

    def _create(self, every: list[Token]) -> object:
        draft = read_table(every)
        if draft is None:
            at = next(place for place, token in enumerate(every) if token.low == "table") + 1
            at += 3 if every[at].low == "if" else 0
            name, at = table_name(every, at)
            return (name, joined(rewrite(every[at + 1 :])))
        self.drafts.setdefault(draft.name, draft)
        return draft

    def _alter(self, every: list[Token]) -> bool:
        """Add what an ``ALTER TABLE`` says to its table's draft; False when SQLite has to do it."""
        at = 2
        while every[at].low in ("only", "if", "exists"):
            at += 1
        name, at = table_name(every, at)
        draft = self.drafts.get(name)
        actions = split(every[at:])
        if draft is None or not all(self._known(part) for part in actions):
            return False
        for part in actions:
            self._apply(draft, part)
        return True

    @staticmethod
    def _known(part: list[Token]) -> bool:
        low = [token.low for token in part]
        return low[0] == "alter" or (
            low[0] == "add" and low[1] in ("constraint", "primary", "unique", "foreign", "check")
        )

    def _apply(self, draft: TableDraft, part: list[Token]) -> None:
        if part[0].low == "add":
            if "using" in [token.low for token in part]:
                raise Unsupported("the lab makes no constraint of an index; name its columns")
            draft.rules.append(table_rule(part[1:]))
            return
        at = 2 if part[1].low == "column" else 1
        column = draft.columns.get(bare(part[at].text))
        if column is None:
            raise Unsupported(f"the table {draft.name} has no column {bare(part[at].text)}")
        what, low = part[at + 1 :], [token.low for token in part[at + 1 :]]
        if low[0] in ("set", "drop") and low[1] in ("default", "not"):
            column.remove(low[1])
            column.rules += [what[1:]] if low[0] == "set" else []
        elif low[:2] == ["add", "generated"]:
            column.number(draft.name)
        elif "type" in low[:3:2]:
            name = what[low.index("type") + 1 :]
            end = next((place for place, token in enumerate(name) if token.low in ("using", "collate")), len(name))
            column.kind = typed(name[:end])
        elif low[:2] not in (["set", "statistics"], ["set", "storage"]):
            raise Unsupported("the lab does not know this change of a column; write it into CREATE TABLE")

    # Then they are run

    def _run(self, statement: Statement, plan: object) -> None:
        if statement.data is not None:
            self._copy(statement)
        elif isinstance(plan, TableDraft):
            self.lines.setdefault(plan.name, statement.line)
            self.connection.execute(plan.sql())
        elif isinstance(plan, tuple):
            self._create_as(*plan)
            self.lines.setdefault(plan[0], statement.line)
        elif isinstance(plan, str):
            if found := re.match(
                r'CREATE (?:TEMP(?:ORARY)? )?VIEW (?:IF NOT EXISTS )?("(?:[^"]|"")*"|\w+)', plan, re.I
            ):
                self.lines[bare(found[1])] = statement.line
            self._execute(plan)

    def _execute(self, sql: str) -> None:
        upper = sql[:30].upper()
        if upper.startswith(("BEGIN", "START TRANSACTION")):
            if not self.connection.in_transaction:
                self.connection.execute("BEGIN")
        elif re.match(r"(COMMIT|END)\b", upper):
            if self.connection.in_transaction:
                self.connection.execute("COMMIT")
        else:
            for _ in self.connection.execute(sql):
                pass

    def _create_as(self, name: str, select: str) -> None:
        self.connection.execute(f"CREATE VIEW {q(name)} AS {select}")
        view = self.describe()[name]
        self.connection.execute(f"DROP VIEW {q(name)}")
        columns = ", ".join(f"{q(c.name)} {q(c.type.declaration)}" for c in view.columns.values())
        self.connection.execute(f"CREATE TABLE {q(name)} ({columns})")
        self.connection.execute(f"INSERT INTO {q(name)} {select}")

    def _copy(self, statement: Statement) -> None:
        found = COPY_HEAD.match(statement.text)
        if found is None or "csv" in found[3].lower() or "binary" in found[3].lower():
            raise Unsupported("the lab reads COPY in PostgreSQL's text format alone; use INSERT or a .csv file")
        name, _ = table_name(tokens(found[1]), 0)
        columns = f" ({found[2]})" if found[2] else ""
        data = statement.data or ""
        first = statement.line + statement.text.count("\n")
        width = len(split(tokens(found[2]))) if found[2] else data.partition("\n")[0].count("\t") + 1
        number = 0

        def values() -> object:
            nonlocal number
            for number, line in enumerate(  # noqa: B007 - the error below names it
                data.split("\n")[:-1] if data else [], 1
            ):
                fields = line.removesuffix("\r").split("\t")
                if len(fields) != width:
                    raise ValueError(f"{len(fields)} values where COPY names {width} columns")
                yield [_copied(one) for one in fields]

        table = '"' + name.replace('"', '""') + '"'
        try:
            with_places = f"INSERT INTO {table}{columns} VALUES ({', '.join('?' * width)})"
            inside = self.connection.in_transaction
            if not inside:
                self.connection.execute("BEGIN")
            self.connection.executemany(with_places, values())  # type: ignore[arg-type]
            if not inside:
                self.connection.execute("COMMIT")
        except (sqlite3.Error, ValueError) as error:
            raise self.error(first + number, self._reason(error), statement.text) from None


def _copied(field: str) -> str | None:
    """Return a value of COPY's text format."""
    if "\\" not in field:
        return field
    if field == "\\N":
        return None

    def one(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 8))
        return chr(int(found[2][1:], 16)) if found[2] else COPY_SIGNS.get(found[3], found[3])

    return re.sub(r"\\(?:([0-7]{1,3})|(x[0-9a-fA-F]{1,2})|(.))", one, field, flags=re.S)


def _other(every: list[Token]) -> str:
    """Return any other statement as SQLite reads it."""
    low = [token.low for token in every]
    if low[0] == "create" and any(bare(token.text).lower().startswith("pragma_") for token in every):
        raise Unsupported("a view or trigger that reads a PRAGMA is not authorized; remove it")
    if low[0] == "truncate":
        return f"DELETE FROM {joined(rewrite([t for t in every[1:] if t.low not in ('table', 'only')]))}"
    if low[:2] == ["create", "or"]:
        every, low = every[:1] + every[3:], low[:1] + low[3:]
    if low[:2] == ["create", "materialized"]:
        every, low = every[:1] + every[2:], low[:1] + low[2:]
    if low[:2] == ["create", "view"] and "with" in low and low.index("with") < low.index("as"):
        start = low.index("with")
        every = every[:start] + every[low.index("as") :]
    elif low[0] == "create" and "index" in low[1:3]:
        every = [token for token in every if token.low not in ("concurrently", "only")]
        at = next((place for place, token in enumerate(every) if token.low == "using"), None)
        every = every if at is None else every[:at] + every[at + 2 :]
    elif low[0] == "drop":
        every = [token for token in every if token.low not in ("cascade", "restrict")]
    elif low[0] == "insert" and "overriding" in low:
        at = low.index("overriding")
        every = every[:at] + every[at + 3 :]
    elif low[:2] == ["alter", "table"]:
        return _alter_in_sqlite(every)
    return joined(rewrite(every))


def _alter_in_sqlite(every: list[Token]) -> str:
    words = [token for token in every if token.low not in ("only",)]
    low = [token.low for token in words]
    if "add" in low and low[low.index("add") + 1] not in ("constraint", "primary", "unique", "foreign", "check"):
        at = low.index("add") + 1
        at += 1 if low[at] == "column" else 0
        at += 3 if low[at : at + 3] == ["if", "not", "exists"] else 0
        column = read_column(words[at:], "t")
        draft = TableDraft("t", {}, [])
        return f"{joined(rewrite(words[: low.index('add')]))} ADD COLUMN {draft.column_sql(column)}"
    return joined(rewrite(words))
