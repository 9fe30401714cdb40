"""Shared helpers for tests of the lab's API: the conformance table as a seed, and a short way to send a request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from supalab.lab.postgrest.http import Answer, Request
from supalab.lab.postgrest.rest import Rest

BOOK: dict[str, Any] = json.loads(
    (Path(__file__).parent / "conformance" / "postgrest_cases.json").read_text(encoding="utf-8")
)


def literal(value: object) -> str:
    """Return a JSON value as an SQL literal."""
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int | float) else "'" + str(value).replace("'", "''") + "'"


def seed_script(book: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Return the script that creates and fills the table of a conformance file."""
    inserts = [
        f"INSERT INTO {book['table']} ({', '.join(row)}) VALUES ({', '.join(map(literal, row.values()))});"
        for row in rows
    ]
    return "\n".join([book["ddl_postgres"] + ";", *inserts])


def open_rest(folder: Path, script: str | None = None, **options: Any) -> Rest:
    """Return a lab over a script; by default, over the table of the conformance cases."""
    path = folder / "seed.sql"
    path.write_text(seed_script(BOOK, BOOK["rows"]) if script is None else script, encoding="utf-8")
    return Rest(path, **options)


def ask(rest: Rest, method: str, target: str, body: object = None, **headers: str) -> Answer:
    """Send one request; ``target`` is path and query in URL form, ``_`` in a header's name stands for ``-``."""
    path, _, query = target.partition("?")
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    named = {"accept": "*/*", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return rest.answer(Request(method, path, query, named, data))


def rows(answer: Answer) -> Any:
    """Return the JSON of an answer."""
    return json.loads(answer.body)


def header(answer: Answer, name: str) -> str | None:
    """Return one header of an answer, or None."""
    return next((value for key, value in answer.headers if key.lower() == name.lower()), None)


def ids(rest: Rest, query: str) -> list[int]:
    """Return the ids of the contests that a query finds, in order."""
    answer = ask(rest, "GET", f"/contests?select=id&order=id&{query}")
    assert answer.status == 200, answer.body
    return [row["id"] for row in rows(answer)]


def encoded(text: str) -> str:
    """Return a value percent-encoded for a query string."""
    return quote(text, safe="")
