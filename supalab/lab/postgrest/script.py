"""Split an SQL script into statements, and a statement into tokens, as PostgreSQL and SQLite write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ESCAPED = re.compile(r"[eE]'(?:[^'\\]|\\.|'')*'", re.S)
TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*)|(?P<block>/\*)|(?P<escaped>[eE]'(?:[^'\\]|\\.|'')*')
    |(?P<text>[xX]?'[^']*(?:''[^']*)*')|(?P<name>"[^"]*(?:""[^"]*)*"|`[^`]*`|(?<![\w\]])\[[^\]\d'][^\]]*\])
    |(?P<dollar>\$(?:[^\W\d]\w*)?\$)|(?P<word>[^\W\d][\w$]*)|(?P<number>\d[\w.]*(?:(?<=[eE])[+-]\d+)?)
    |(?P<sign>::|->>|->|\|\||<<|>>|<=|>=|<>|!=|.)""",
    re.S | re.X,
)
SPECIAL = re.compile(r"""['"`;$]|--|/\*""")
IN_TRIGGER = re.compile(r"""['"`;$]|--|/\*|\b(?:begin|case|end)\b""", re.I)
CLOSED = {"'": re.compile(r"'[^']*(?:''[^']*)*'"), '"': re.compile(r'"[^"]*"'), "`": re.compile(r"`[^`]*`")}
DOLLAR = re.compile(r"(?<!\w)\$(?:[^\W\d]\w*)?\$")
TRIGGER = re.compile(r"\s*create\s+(?:or\s+replace\s+)?(?:constraint\s+)?(?:temp\w*\s+)?trigger\b", re.I)
COPY = re.compile(r"\s*copy\s.*\sfrom\s+stdin\b", re.I | re.S)
COMMENT = re.compile(r"/\*|\*/")
NESTED = 65_536
COPY_END = re.compile(r"^\\\.[ \t\r]*$", re.M)
SIMPLE_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


@dataclass(frozen=True)
class Statement:
    """One statement, the line it starts on, where it ends in the script, and the rows that follow a ``COPY``."""

    line: int
    text: str
    end: int
    data: str | None = None


class NotClosed(ValueError):
    """A quote or a comment that does not end; ``line`` is where it starts."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"{what} is not closed")
        self.line = line


def comment_end(text: str, start: int, *, nested: bool = True) -> tuple[int, bool]:
    """Return where a block comment ends, 0 for nowhere, and whether comments nest, as they do in PostgreSQL alone.

    In a script where one does not close within 64 KB if it nests, none is nested: SQLite wrote it.
    """
    depth, first = 0, text.find("*/", start + 2) + 2
    if first < 2:
        return 0, nested
    if nested and text.find("/*", start + 2, first) >= 0:
        for mark in COMMENT.finditer(text, start, max(first, min(start + NESTED, len(text)))):
            depth += 1 if mark[0] == "/*" else -1
            if not depth:
                return mark.end(), True
        return first, False
    return first, nested


class _Splitter:
    """The place in a script up to which it is split."""

    def __init__(self, text: str) -> None:
        self.text, self.start, self.at, self.counted, self.line = text, 0, 0, 0, 1
        self.nested = True

    def line_of(self, place: int) -> int:
        self.line += self.text.count("\n", self.counted, place)
        self.counted = place
        return self.line

    def skip(self, mark: str, place: int) -> int:
        """Return the end of a quoted text or a comment that begins at ``place``."""
        text = self.text
        end = 0
        if mark == "--":
            end = text.find("\n", place)
            return len(text) if end < 0 else end
        if mark == "/*":
            end, self.nested = comment_end(text, place, nested=self.nested)
        elif mark == "$":
            tag = DOLLAR.match(text, place)
            if tag is None:
                return place + 1
            end = text.find(tag[0], tag.end())
            end = end + len(tag[0]) if end >= 0 else 0
        else:
            escaped = mark == "'" and place > self.start and re.match(r"(?:^|\W)[eE]$", text[max(place - 2, 0) : place])
            found = ESCAPED.match(text, place - 1) if escaped else CLOSED[mark].match(text, place)
            end = found.end() if found else 0
        if not end:
            raise NotClosed(self.line_of(place), "a comment" if mark == "/*" else f"the quote {mark}")
        return end

    def blank(self, end: int) -> bool:
        """Return whether nothing but space stands between the statement's start and ``end``."""
        space = re.compile(r"\s*").match(self.text, self.start, end)
        assert space is not None
        return space.end() == end

    def next_end(self) -> int:
        """Return where the present statement ends."""
        depth, text = 0, self.text
        trigger: bool | None = None
        while True:
            if trigger is None and not self.blank(self.at):
                trigger = TRIGGER.match(text, self.start) is not None
            found = (IN_TRIGGER if trigger else SPECIAL).search(text, self.at)
            if found is None:
                return len(text)
            mark = found[0].lower()
            if trigger is None:
                trigger = None if self.blank(found.start()) else TRIGGER.match(text, self.start) is not None
                if trigger:
                    self.at = self.start
                    continue
            if mark == ";" and not depth:
                return found.end()
            if mark in (";", "begin", "case", "end"):
                depth += {"begin": 1, "case": 1, "end": -1}.get(mark, 0)
                self.at = found.end()
                continue
            self.at = self.skip(mark, found.start())
            if mark in ("--", "/*") and self.blank(found.start()):
                self.start = self.at


def statements(text: str) -> Iterator[Statement]:
    """Yield the statements of a script in time that grows with its length; raises ``NotClosed``."""
    place = _Splitter(text)
    while place.start < len(text):
        space = re.compile(r"[\s;]*").match(text, place.start)
        assert space is not None
        place.start = place.at = space.end()
        if text.startswith("\\", place.start):  # a line for psql, such as \connect
            end = text.find("\n", place.start)
            end = len(text) if end < 0 else end
        else:
            end = place.next_end()
        piece = text[place.start : end].strip()
        line, data = place.line_of(place.start), None
        if COPY.match(piece):
            begin = text.find("\n", end) + 1 or len(text)
            closed = COPY_END.search(text, begin)
            if closed is None:
                raise NotClosed(line, "the data of COPY (a line with \\. ends it)")
            data, end = text[begin : closed.start()], closed.end()
        place.start = place.at = end
        if piece.rstrip(";").strip():
            yield Statement(line, piece, end, data)


@dataclass(frozen=True)
class Token:
    """``kind``: word, name (in quotes), text, number or sign; ``text`` is how SQLite writes it."""

    kind: str
    text: str

    @property
    def low(self) -> str:
        """The word in lower case; nothing for what is quoted."""
        return self.text.lower() if self.kind in ("word", "sign") else ""


def quoted(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def bare(name: str) -> str:
    """Return a name as it is stored, from how a script writes it."""
    if name[:1] == '"':
        return name[1:-1].replace('""', '"')
    return name[1:-1] if name[:1] in ("`", "[") else name


def _unescaped(literal: str) -> str:
    def one(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 8))
        if found[2]:
            return chr(int(found[2][1:], 16))
        return SIMPLE_ESCAPES.get(found[3], found[3])

    inside = literal[2:-1].replace("''", "'")
    return re.sub(r"\\(?:([0-7]{1,3})|(x[0-9a-f]{1,2}|u[0-9a-f]{4}|U[0-9a-f]{8})|(.))", one, inside, flags=re.S | re.I)


def tokens(text: str) -> list[Token]:
    """Return the tokens of a statement without comments; PostgreSQL's strings become plain ones."""
    found: list[Token] = []
    at, nested = 0, True
    while at < len(text):
        match = TOKEN.match(text, at)
        assert match is not None
        kind, value, at = str(match.lastgroup), match[0], match.end()
        if kind == "block":
            end, nested = comment_end(text, match.start(), nested=nested)
            at = end or len(text)
        elif kind == "dollar":
            end = text.find(value, at)
            found.append(Token("text", quoted(text[at:end])))
            at = end + len(value)
        elif kind == "escaped":
            found.append(Token("text", quoted(_unescaped(value))))
        elif kind != "space":
            found.append(Token(kind, value))
    return found


def split(inside: list[Token]) -> list[list[Token]]:
    """Split tokens at the commas that stand outside all parentheses."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in inside:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.low, 0)
        if token.low == "," and not depth:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def closing(every: list[Token], start: int) -> int:
    """Return the place of the parenthesis or bracket that closes the one at ``start``."""
    depth = 0
    for at in range(start, len(every)):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(every[at].low, 0)
        if not depth:
            return at
    return len(every) - 1


def joined(every: list[Token]) -> str:
    """Return tokens as SQL."""
    parts: list[str] = []
    for token in every:
        if parts and (token.low in (".", ";", ",", ")", "[", "]") or parts[-1] in (".", "(", "[")):
            parts.append(token.text)
        else:
            parts += [" ", token.text] if parts else [token.text]
    return "".join(parts)
