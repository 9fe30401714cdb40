"""JSON in bodies: what PostgreSQL says of a broken one, and nested values kept as they were written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from supalab.lab.postgrest.http import Request
from supalab.lab.postgrest.json_text import load_json
from supalab.lab.postgrest.refusal import Refusal
from supalab.lab.postgrest.rest import Rest

# From PostgreSQL 15.
BROKEN = [
    ("", "The input string ended unexpectedly."),
    ('{"a":', "The input string ended unexpectedly."),
    ("}{", 'Expected JSON value, but found "}".'),
    ("{]", 'Expected string or "}", but found "]".'),
    ('{"a"}', 'Expected ":", but found "}".'),
    ('{"a":1,}', 'Expected string, but found "}".'),
    ('{"a":1 "b"}', 'Expected "," or "}", but found ""b"".'),
    ("[1,]", 'Expected JSON value, but found "]".'),
    ("[1 2]", 'Expected "," or "]", but found "2".'),
    ("[] []", 'Expected end of input, but found "[".'),
    ("{'a':1}", 'Token "\'" is invalid.'),
    ("nope", 'Token "nope" is invalid.'),
    ("01", 'Token "01" is invalid.'),
    ('{"a":NaN}', 'Token "NaN" is invalid.'),
    ('"abc', 'Token ""abc" is invalid.'),
]


def syntax_details(text: str) -> str:
    """Return what PostgreSQL says of a text in the details of its error, or nothing for whole JSON."""
    try:
        load_json(text)
    except Refusal as refusal:
        return str(refusal.shape["details"])
    return ""


@pytest.mark.parametrize("text, details", BROKEN)
def test_a_broken_text_is_told_in_postgresqls_words(text: str, details: str) -> None:
    """The first error decides, and the text at that place is shown."""
    assert syntax_details(text) == details


@pytest.mark.parametrize("text", ["1", ' {"a": [1, {"b": null}], "c": "\\u00eb"} ', "[[], {}]", "-1.5e+3"])
def test_whole_json_has_nothing_wrong(text: str) -> None:
    """The reader accepts valid JSON to its end."""
    assert syntax_details(text) == ""


def test_nesting_without_end_is_told_and_not_fatal() -> None:
    """A text nested a hundred thousand deep gets details as well."""
    assert syntax_details("[" * 100_000) == "The input is nested too deeply."


@pytest.mark.parametrize(
    "body, expected",
    [
        ('{"a": {"x": 1}, "b": [1,  2]}', [{"a": '{"x": 1}', "b": "[1,  2]"}]),
        ('[{"a":[]},\n {"a": {"x":{"y":[{}]}} } ]', [{"a": "[]"}, {"a": '{"x":{"y":[{}]}}'}]),
        ('[{"a":"{"}, {"a":{"b":"}"}}]', [{"a": "{"}, {"a": '{"b":"}"}'}]),
        ('{"a": [1], "a": [2]}', [{"a": "[2]"}]),
        ('{"a": [1], "a": "x"}', [{"a": "x"}]),
    ],
)
def test_nested_values_are_kept_letter_by_letter(tmp_path: Path, body: str, expected: list[dict[str, Any]]) -> None:
    """Blanks, order and braces inside strings stay in a text column; of a key that comes twice the last counts."""
    seed = tmp_path / "seed.sql"
    seed.write_text("create table t(a text, b text);")
    rest = Rest(seed)
    answer = rest.answer(Request("POST", "/t", "", {"prefer": "return=representation"}, body.encode()))
    assert json.loads(answer.body) == [{"a": None, "b": None, **row} for row in expected]
    rest.close()


def test_a_bare_number_is_json_too(tmp_path: Path) -> None:
    """SQLite keeps it as a number: it is still read, compared, sorted and contained as JSON."""
    seed = tmp_path / "seed.sql"
    seed.write_text("create table t(id integer primary key, j jsonb);insert into t values (1,'7'),(2,'[7]'),(3,'1.5');")
    store = Rest(seed)
    for query, ids in {"j=eq.7": [1], "j=gt.2&j=lt.8": [1], "j=cs.7&order=id": [1, 2], "order=j": [3, 1, 2]}.items():
        answer = store.answer(Request("GET", "/t", f"select=id&{query}", {}))
        assert [row["id"] for row in json.loads(answer.body)] == ids
    store.close()
