"""PostgREST as the standard: cases record its responses, and the lab must respond in the same way.

The cases of ``postgrest_cases.json`` were observed on a real server. Those of ``more_cases.json`` are our own, from its
specs and source and from PostgreSQL 15's results for the SQL that it builds. ``SUPALAB_CONFORMANCE=FILE`` runs another
file of the same form. Gateway cases are the server's own and are left to it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from lab_helpers import BOOK as TABLE
from lab_helpers import open_rest, seed_script

from supalab.lab.postgrest.http import Answer, Request

if TYPE_CHECKING:
    from supalab.lab.postgrest.rest import Rest

OTHER = os.environ.get("SUPALAB_CONFORMANCE")
FOLDER = Path(__file__).parent / "conformance"
FILES = [Path(OTHER)] if OTHER else [FOLDER / "postgrest_cases.json", FOLDER / "more_cases.json"]
OTHER_TABLES = [] if OTHER else [FOLDER / "related_tables.json"]


def read_books() -> list[dict[str, Any]]:
    """Return the files' tables, each with its cases; the first ones share one table."""
    shared: dict[str, Any] = {**TABLE, "cases": []}
    for file in FILES:
        more = json.loads(file.read_text(encoding="utf-8"))
        shared |= {**more, "cases": [*shared["cases"], *more.get("cases", []), *more.get("more_cases", [])]}
    return [shared, *[json.loads(file.read_text(encoding="utf-8")) for file in OTHER_TABLES]]


PAIRS = [(book, case) for book in read_books() for case in book["cases"] if "gateway" not in case["tags"]]
CASES = [case for _, case in PAIRS]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seeds")


def send(rest: Rest, case: dict[str, Any]) -> Answer:
    path, _, query = case["path"].partition("?")
    headers = {"accept": "*/*", **{name.lower(): value for name, value in case.get("headers", {}).items()}}
    return rest.answer(Request(case["method"], path, query, headers, (case.get("body") or "").encode()))


def canonical(rows: list[Any]) -> Counter[str]:
    return Counter(json.dumps(row, sort_keys=True) for row in rows)


def differences(answer: Answer, expect: dict[str, Any]) -> list[str]:
    """Return what is not as expected, one line each; an empty list is a pass."""
    found = [] if answer.status == expect["status"] else [f"status {answer.status}, not {expect['status']}"]
    headers = {name.lower(): value for name, value in answer.headers}
    for name, value in (expect.get("headers") or {}).items():
        if headers.get(name.lower()) != value:
            found.append(f"{name}: {headers.get(name.lower())!r}, not {value!r}")
    found += [f"{name} is there" for name in expect.get("headers_absent", []) if name.lower() in headers]
    if expect.get("empty_body") and answer.body:
        found.append(f"the body is not empty: {answer.body!r}")
    if "text" in expect and answer.body.decode().rstrip("\n") != expect["text"].rstrip("\n"):
        found.append(f"text {answer.body.decode()!r}, not {expect['text']!r}")
    return found + body_differences(answer, expect)


def body_differences(answer: Answer, expect: dict[str, Any]) -> list[str]:
    if not {"json", "json_unordered", "json_subset", "json_keys"} & expect.keys():
        return []
    body = json.loads(answer.body or b"null")
    found = []
    if "json" in expect and body != expect["json"]:
        found.append(f"json {body!r}, not {expect['json']!r}")
    if "json_unordered" in expect and canonical(body) != canonical(expect["json_unordered"]):
        found.append(f"rows {body!r}, not {expect['json_unordered']!r}")
    if "json_keys" in expect and sorted(body) != sorted(expect["json_keys"]):
        found.append(f"keys {sorted(body)}, not {expect['json_keys']}")
    for name, value in (expect.get("json_subset") or {}).items():
        if body.get(name) != value:
            found.append(f"{name} {body.get(name)!r}, not {value!r}")
    return found


@pytest.mark.parametrize(("book", "case"), PAIRS, ids=[case["name"] for case in CASES])
def test_the_lab_answers_as_postgrest_did(seeds: Path, book: dict[str, Any], case: dict[str, Any]) -> None:
    """Status, body and headers of every case are those that the real server gave, follow-up requests included."""
    rest = open_rest(seeds, seed_script(book, case.get("setup_rows", book["rows"])))
    try:
        answer = send(rest, case)
        tries = [differences(answer, expect) for expect in [case["expect"], *case.get("accept_also", [])]]
        assert [] in tries, tries[0]
        for follow_up in case.get("then", []):
            assert differences(send(rest, follow_up), follow_up["expect"]) == []
    finally:
        rest.close()


def test_the_cases_are_not_forgotten() -> None:
    """The files still contain all their cases, so that none is lost silently, and each has its own name."""
    if not OTHER:
        assert len(CASES) == 58 + 438 + 18
    assert len({case["name"] for case in CASES}) == len(CASES)
