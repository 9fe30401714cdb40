"""Write the names of columns, tables and keys as PostgREST reads them, whatever they hold. Pure.

A plain name stays as it is. Any other stands in double quotes, with a backslash before quotes and backslashes inside,
so that no name can leave its place.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from supalab.errors import SettingsError, shown

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
#: Characters in the longest name that PostgreSQL gives to anything.
LONGEST = 63

QUOTED = r'"(?:[^"\\]|\\.)*"'
_QUOTED = re.compile(QUOTED, re.DOTALL)


def _name_without(symbols: str) -> str:
    """A pattern for a name in quotes, or one without quotes, ``symbols`` and arrows."""
    return rf'(?:{QUOTED}|(?!")(?:[^{symbols}-]|-(?!>))+)'


def _tokens(symbols: str, symbol: str, mistake: str = "(?!)") -> re.Pattern[str]:
    name = _name_without(symbols)
    return re.compile(rf"\s*(?!{mistake})(?:({symbol})|(->>?)(?!>)\s*({name})|({name})|\Z)", re.DOTALL)


_PART = _name_without(".")
_FIELD = re.compile(rf"((?:{_PART}\.)*)({_PART})((?:->>?(?!>){_PART})*)", re.DOTALL)
_PARTS = re.compile(_PART, re.DOTALL)
_STEPS = re.compile(rf"(->>?)(?!>)({_PART})", re.DOTALL)
#: What stands between the names of an argument, as PostgREST's grammar has it.
_GRAMMAR = {
    "columns": _tokens('":.,()!', r"\.\.\.|::[\w $]+|\.(?:sum|avg|count|max|min)\(\)|count\(\)|:(?!:)|[,()!]"),
    # Written as in SQL, a direction would become part of the name.
    "order": _tokens(
        '".,()',
        r"\.(?:asc|desc|nullsfirst|nullslast)(?=\s*[.,]|\s*\Z)|[,()]",
        r"[^\".,()]*\s(?i:asc|desc)\s*(?:[.,]|\Z)",
    ),
    "on_conflict": _tokens(",", ","),
}


def quoted(text: str) -> str:
    """``text`` in double quotes: as a name it stands for itself, with its dots, arrows and commas."""
    if not isinstance(text, str):
        raise SettingsError(f"{shown(text)} cannot be quoted: use text")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquoted(name: str) -> str:
    """The name itself, without the double quotes that may stand around it."""
    if not isinstance(name, str):
        raise SettingsError(f"{shown(name)} is not a name: use text")
    return re.sub(r"\\(.)", r"\1", name[1:-1], flags=re.DOTALL) if _QUOTED.fullmatch(name) else name


@lru_cache(maxsize=2048)
def written_name(name: str, longest: int = LONGEST) -> str:
    """Write one name, whatever it holds; plain ones stay as they are. Raises SettingsError for what cannot be one."""
    if not isinstance(name, str) or not 0 < len(name) <= longest or UNSTORABLE.search(name):
        raise SettingsError(f"{shown(name)} cannot be a name: use a text of 1 to {longest} characters, without NUL")
    # PostgREST takes any letters without quotes, but not the combining signs of Hindi or Thai.
    plain = not name[0].isdigit() and all(sign.isalpha() or sign in "_0123456789" for sign in name)
    return name if plain else quoted(name)


def _as_given(text: str, longest: int = LONGEST) -> str:
    """Write a name that may be given in quotes, and then stays so."""
    name = unquoted(text)
    written = written_name(name, longest)
    return written if name is text else text


def _key(key: str) -> str:
    return key if re.fullmatch("-?[0-9]+", key) else _as_given(key, 10_000)


@lru_cache(maxsize=2048)
def field_name(name: str) -> tuple[str, str]:
    """Write a column in two parts: the embedded resource before it (``owners.``), itself with its path into JSON."""
    found = _FIELD.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise SettingsError(
            f"{shown(name)} is no column's name: write owners.name for a column of an embedded resource, data->>key for"
            " a path into JSON, and a name that holds dots or arrows in double quotes"
        )
    resource = "".join(f"{_as_given(part)}." for part in _PARTS.findall(found[1]))
    path = "".join(arrow + _key(key) for arrow, key in _STEPS.findall(found[3]))
    return resource, _as_given(found[2]) + path


@lru_cache(maxsize=1024)
def clause(argument: Literal["columns", "order", "on_conflict"], text: str) -> str:
    """Write an argument in PostgREST's grammar, every name in it as it must be; raises SettingsError."""
    written, at = [], 0
    while at < len(text) and (found := _GRAMMAR[argument].match(text, at)):
        symbol, arrow, key, name = (part and part.strip() for part in found.groups())
        if arrow:
            written.append(arrow + _key(key))
        elif symbol or name:
            written.append(symbol or (name if name == "*" else _as_given(name)))
        at = found.end()
    if at < len(text) or not written:
        raise SettingsError(
            f"{argument} {shown(text)}, at {text[at : at + 20]!r}: write names such as 'id,title', and one that holds"
            """ any of . , : ( ) ! " in double quotes: '"v1.2"'"""
        )
    return "".join(written)
