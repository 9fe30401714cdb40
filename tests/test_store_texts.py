"""Rows that the database itself writes as JSON: they must be those that Python would have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lab_helpers import ask, encoded, open_rest, rows

from supalab.lab.postgrest.rest import Rest

KINDS = """
CREATE TABLE kinds (id integer primary key, flag boolean, amount numeric, size double precision, at timestamptz,
                    day date, data jsonb, word text);
INSERT INTO kinds VALUES (1, 'true', 1.50, 2, '2026-01-10T09:00:00Z', '2026-01-10', '{"a": [1]}', 'w'),
                         (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
"""


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Any:
    rest = open_rest(tmp_path_factory.mktemp("texts"))
    yield rest
    rest.close()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
def test_any_text_comes_back_as_it_went_in(rest: Rest, text: str) -> None:
    """Quotes, controls, line ends and letters of all planes survive, as values and as names."""
    target = f"/contests?id=eq.9&select=title,{encoded(json.dumps(text or 'x', ensure_ascii=False))}:id"
    written = ask(rest, "PATCH", "/contests?id=eq.9", {"title": text})
    assert written.status == 204, written.body
    answer = ask(rest, "GET", target)
    if answer.status == 200:  # a name in JSON's quotes is not always one in PostgREST's
        assert rows(answer)[0]["title"] == text
        assert len(rows(answer)[0]) == 2


def test_both_ways_to_write_rows_agree(rest: Rest) -> None:
    """The body is byte for byte the compact JSON of its rows, one row or many, none or all columns."""
    for query in ("order=id", "select=id,title&order=id.desc&limit=3", "id=eq.99", "select=n:id,t:title::text&id=lt.4"):
        answer = ask(rest, "GET", f"/contests?{query}")
        assert answer.body == json.dumps(rows(answer), ensure_ascii=False, separators=(",", ":")).encode()
    one = ask(rest, "GET", "/contests?id=eq.7", accept="application/vnd.pgrst.object+json")
    assert rows(one)["title"].startswith("Ünïcode")


def test_values_of_every_kind_are_written_as_json(tmp_path: Path) -> None:
    """Truth values, fractions, moments and JSON come out in the form that their type has in JSON."""
    rest = open_rest(tmp_path, KINDS)
    first = rows(ask(rest, "GET", "/kinds?order=id"))[0]
    assert first == {
        "id": 1,
        "flag": True,
        "amount": 1.5,
        "size": 2,
        "at": "2026-01-10T09:00:00+00:00",
        "day": "2026-01-10",
        "data": {"a": [1]},
        "word": "w",
    }
    rest.close()


def test_more_columns_than_a_function_takes(tmp_path: Path) -> None:
    """A table of 120 columns is served whole, although SQLite's functions take fewer arguments."""
    names = [f"c{number}" for number in range(120)]
    script = f"CREATE TABLE wide ({', '.join(f'{name} text' for name in names)});"
    rest = open_rest(tmp_path, f"{script} INSERT INTO wide VALUES ({', '.join(repr(name) for name in names)});")
    assert rows(ask(rest, "GET", "/wide")) == [{name: name for name in names}]
    rest.close()
