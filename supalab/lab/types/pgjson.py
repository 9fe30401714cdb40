"""JSON as PostgreSQL treats it: a body's text flows in, nested values as they were written or a complaint flow out.

A column of text keeps a nested value letter by letter; Python's parser forgets the letters. And where PostgREST hands
a body on unread, it is PostgreSQL that says what is wrong with it.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

from supalab.lab.types.pgreaders import read_jsonb

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

__all__ = ["JsonText", "jsonb_form", "keep_texts", "syntax_details"]


class JsonText(str):
    """JSON as it was written, in place of the object or array that it stands for."""

    __slots__ = ()


_BETWEEN = re.compile(r"[ \t\n\r\[\]{},]*")
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode


def keep_texts(text: str, rows: Sequence[MutableMapping[str, Any]]) -> None:
    """Replace nested values in ``rows`` by their text; ``text`` is an object, or an array of them, and was parsed."""
    row, at = -1, 0
    while True:
        between = _BETWEEN.match(text, at)
        at = between.end() if between else len(text)
        if at >= len(text):
            return
        row += between[0].count("{") if between else 0
        key, at = _decode(text, at)
        colon = _COLON.match(text, at)
        start = colon.end() if colon else at
        _, at = _decode(text, start)
        if isinstance(rows[row][key], dict | list | JsonText) and text[start] in "{[":
            rows[row][key] = JsonText(text[start:at])


def jsonb_form(value: object) -> object:
    """Return a value as ``jsonb`` has it: numbers written out, nested values in their one form."""
    if isinstance(value, JsonText):
        return JsonText(read_jsonb(value))
    if isinstance(value, float):
        return JsonText(format(Decimal(str(value)), "f"))
    return value


# What is wrong with a text

_TOKEN = re.compile(
    r"""(?P<sign>[{}\[\],:])|(?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")"""
    r"|(?P<scalar>(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)(?![\w.]))"
)
_BLANKS = re.compile(r"[ \t\n\r]*")
_WORD = re.compile(r"\".*|-?\w+[.\w]*|.", re.DOTALL)


class _Wrong(Exception):
    """The text is not JSON; its argument says why."""


class _Reader:
    """PostgreSQL's reading of JSON, one token ahead; values are not kept, only looked at."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.kind, self.token = "", ""
        self.next()

    def next(self) -> None:
        blanks = _BLANKS.match(self.text, self.at)
        self.at = blanks.end() if blanks else self.at
        found = _TOKEN.match(self.text, self.at)
        if found is None and self.at < len(self.text):
            word = _WORD.match(self.text, self.at)
            raise _Wrong(f'Token "{word[0] if word else ""}" is invalid.')
        self.kind = str(found.lastgroup) if found else ""
        self.token = found[0] if found else ""
        self.at = found.end() if found else self.at

    def fail(self, wanted: str) -> NoReturn:
        raise _Wrong(
            f'Expected {wanted}, but found "{self.token}".' if self.kind else "The input string ended unexpectedly."
        )

    def take(self, token: str) -> bool:
        if self.token != token or self.kind != "sign":
            return False
        self.next()
        return True

    def value(self) -> None:
        if self.take("{"):
            self.members()
        elif self.take("["):
            self.elements()
        elif self.kind in ("string", "scalar"):
            self.next()
        else:
            self.fail("JSON value")

    def members(self) -> None:
        if self.take("}"):
            return
        wanted = 'string or "}"'
        while True:
            if self.kind != "string":
                self.fail(wanted)
            self.next()
            if not self.take(":"):
                self.fail('":"')
            self.value()
            if self.take("}"):
                return
            if not self.take(","):
                self.fail('"," or "}"')
            wanted = "string"

    def elements(self) -> None:
        if self.take("]"):
            return
        self.value()
        while self.take(","):
            self.value()
        if not self.take("]"):
            self.fail('"," or "]"')


def syntax_details(text: str) -> str:
    """Return PostgreSQL's details for a text that is not JSON; empty when its grammar finds nothing wrong."""
    try:
        reader = _Reader(text)
        reader.value()
        if reader.kind:
            reader.fail("end of input")
    except _Wrong as wrong:
        return str(wrong)
    except RecursionError:
        return "The input is nested too deeply."
    return ""
