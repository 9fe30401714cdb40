"""Functions that PostgreSQL has and SQLite has not: a connection flows in, and has them for our SQL to call."""

from __future__ import annotations

import json
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from supalab.lab.dialect.query import JsonStep
from supalab.lab.dialect.refusal import Refusal
from supalab.lab.types.like import ilike, like
from supalab.lab.types.patterns import compile_pattern
from supalab.lab.types.search import matches_search

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

__all__ = ["contains_json", "follow_path", "json_order", "leads_to_itself", "path_text", "register_functions"]

_SIGN = 1 << 63
_LARGEST = 1.7e308
_MISSING = object()


def _match(value: object, pattern: str) -> bool | None:
    return None if value is None else compile_pattern(pattern, fold=False)(str(value))


def _imatch(value: object, pattern: str) -> bool | None:
    return None if value is None else compile_pattern(pattern, fold=True)(str(value))


def follow_path(document: Any, path: tuple[JsonStep, ...], missing: Any = None) -> Any:
    """Return what lies at the end of a JSON path, or ``missing``; a last ``->>`` gives it as text."""
    for step in path:
        if isinstance(document, dict) and isinstance(step.key, str):
            found = step.key in document
        elif isinstance(document, list) and isinstance(step.key, int):
            found = -len(document) <= step.key < len(document)
        else:  # of a lone scalar jsonb makes an array of one
            found = not isinstance(document, dict | list) and step.key in (0, -1)
        if not found:
            return missing
        if isinstance(document, dict | list):
            document = cast("Any", document)[step.key]
        if step.as_text and document is not None and not isinstance(document, str):
            document = json.dumps(document, ensure_ascii=False)
    return document


def leads_to_itself(path: tuple[JsonStep, ...]) -> bool:
    """Whether a path, followed from a lone scalar, ends where it began: it asks for the first or the last element."""
    return all(step.key in (0, -1) for step in path)


def path_text(path: tuple[JsonStep, ...]) -> str:
    """Return a JSON path as one text, to be bound as a parameter."""
    return json.dumps([[step.key, step.as_text] for step in path], ensure_ascii=False)


@lru_cache(maxsize=256)
def _path(text: str) -> tuple[JsonStep, ...]:
    return tuple(JsonStep(key, as_text) for key, as_text in json.loads(text))


def _json_path(value: object, path: str) -> str | None:
    """Follow a path through stored JSON: text for ``->>``, JSON in its one form for ``->``."""
    if value is None:
        return None
    steps = _path(path)
    found = follow_path(json.loads(str(value)), steps, _MISSING)
    if found is _MISSING or (found is None and steps[-1].as_text):
        return None
    return str(found) if steps[-1].as_text else json.dumps(found, ensure_ascii=False)


def contains_json(outer: Any, inner: Any) -> bool:
    """Whether jsonb ``outer @> inner`` holds."""
    if isinstance(outer, dict) and isinstance(inner, dict):
        return all(key in outer and contains_json(outer[key], value) for key, value in inner.items())
    if isinstance(outer, list):
        items = inner if isinstance(inner, list) else [inner]
        return all(any(_item_contains(own, item) for own in outer) for item in items)
    return type(outer) is type(inner) and bool(outer == inner)


def _item_contains(own: Any, item: Any) -> bool:
    if isinstance(own, dict | list) != isinstance(item, dict | list):
        return False
    return contains_json(own, item)


def _json_contains(outer: str | float | None, inner: str | float | None) -> bool | None:
    return None if outer is None or inner is None else contains_json(json.loads(str(outer)), json.loads(str(inner)))


def json_order(text: str | float | None) -> str | None:
    """Return a text that sorts as jsonb does: null, text, number, truth value, array, object; None for NULL.

    An empty array comes before all else: that is how PostgreSQL has it.
    """
    if text is None:
        return None
    value = json.loads(str(text))  # SQLite keeps a bare number as a number
    if isinstance(value, bool):
        return f"3{value:d}"
    if isinstance(value, int | float):
        (bits,) = struct.unpack(">Q", struct.pack(">d", min(max(value, -_LARGEST), _LARGEST) + 0.0))
        return f"2{bits ^ (_SIGN * 2 - 1 if bits & _SIGN else _SIGN):016x}"
    if value == []:
        return " "
    if isinstance(value, list | dict):
        return f"{4 if isinstance(value, list) else 5}{len(value):08}{text}"
    return "0" if value is None else f"1{value}"


def register_functions(connection: sqlite3.Connection) -> list[Refusal]:
    """Give a connection the functions that the lab's SQL calls; return the list where their refusals will be."""
    functions: dict[str, tuple[int, Callable[..., str | bool | None]]] = {
        "pg_like": (2, like),
        "pg_ilike": (2, ilike),
        "pg_match": (2, _match),
        "pg_imatch": (2, _imatch),
        "pg_search": (3, matches_search),
        "pg_json_path": (2, _json_path),
        "pg_json_contains": (2, _json_contains),
        "pg_json_order": (1, json_order),
    }
    refused: list[Refusal] = []
    for name, (arity, function) in functions.items():
        connection.create_function(name, arity, _guarded(function, refused), deterministic=True)
    return refused


def _guarded(function: Callable[..., str | bool | None], refused: list[Refusal]) -> Callable[..., str | bool | None]:
    """SQLite swallows what a function raises: keep a refusal, so that the store can raise it again."""

    def call(*arguments: object) -> str | bool | None:
        try:
            return function(*arguments)
        except Refusal as refusal:
            refused.append(refusal)
            raise

    return call
