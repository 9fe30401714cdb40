"""Reading through the whole dialect: conditions, NULLs, order, casts, counts, media types, and the shape of errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lab_helpers import ask, encoded, header, ids, open_rest, rows

from supalab.lab.postgrest.rest import Rest

ARRAY = "application/vnd.pgrst.array+json"
OBJECT = "application/vnd.pgrst.object+json"


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    opened = open_rest(tmp_path_factory.mktemp("reads"))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("prize=is.null", [4, 9]),
        ("prize=is.not_null&id=lt.4", [1, 2, 3]),
        ("prize=neq.0&id=in.(4,5,6)", [6]),
        ("prize=not.eq.0&id=in.(4,5,6)", [6]),
        ("host=isdistinct.zindi&id=gte.8", [8, 9, 10, 12]),
        ("host=not.in.()", list(range(1, 13))),
        ("host=in.()", []),
        ("id=eq(any).{1,2,NULL}", [1, 2]),
        ("id=gt(all).{9,10}", [11, 12]),
        ("id=not.eq(any).{1,2,NULL}", []),
        ("id=not.gt(all).{10,NULL}&id=gt.8", [9, 10]),
        ("id=eq(any).{}", []),
        ("id=eq(all).{}&id=lt.3", [1, 2]),
        ("title=like.*Cup", [2, 7]),
        ("title=like.*cup", [8]),
        ("title=ilike.*CUP", [2, 7, 8]),
        (f"title=ilike.{encoded('üNÏCODE')}*", [7]),
        ("title=like.open_data*", [5]),
        (r"title=like.a\*b*", []),  # a star is always a wildcard: what is escaped here is the percent sign
        ("title=match.^a[*]b", [11]),
        ("title=like(any).{Grand*,Winter*}", [2, 12]),
        ("title=ilike(all).{winter*,*cup}", [2, 8]),
        ("title=match.^W.*p$", [2]),
        ("title=imatch.^w.*P$", [2, 8]),
        (r"title=match.\d%2B%25", [4]),
        ("title=fts.vision%26cup", [2, 8]),
        ("title=wfts.-cup+winter", []),
        ("title=phfts.vision+cup", [2, 8]),
        ("or=(id.eq.1,and(id.gt.10,id.lt.12))", [1, 11]),
        ("and=(id.gt.1,or(id.eq.3,not.and(id.lt.10,id.gt.2)))&id=lt.4", [2, 3]),
        ("id=gt.2&id=lt.5", [3, 4]),
        ("id=eq.%207%20", [7]),
        ("id->x=is.null&id=eq.1", [1]),
    ],
)
def test_conditions_find_what_postgresql_would_find(rest: Rest, query: str, expected: list[int]) -> None:
    """Each operator has PostgreSQL's meaning, NULL included: it is neither equal nor unequal to anything."""
    assert ids(rest, query) == expected


@pytest.mark.parametrize(
    ("query", "status", "code", "message"),
    [
        ("id=eq.abc", 400, "22P02", 'invalid input syntax for type integer: "abc"'),
        ("id=eq.1.5", 400, "22P02", 'invalid input syntax for type integer: "1.5"'),
        ("id=in.(1,x)", 400, "22P02", 'invalid input syntax for type integer: "x"'),
        ("id=eq.2147483648", 400, "22003", 'value "2147483648" is out of range for type integer'),
        ("id=eq(any).1", 400, "22P02", 'malformed array literal: "1"'),
        ("id=like.1", 404, "42883", "operator does not exist: integer ~~ unknown"),
        ("title=cs.x", 404, "42883", "operator does not exist: text @> unknown"),
        ("title=cd.x", 400, "42725", "operator is not unique: text <@ unknown"),
        ("title=adj.x", 404, "42883", "operator does not exist: text -|- unknown"),
        ("id=sl.1", 400, "42804", "argument of WHERE must be type boolean, not type integer"),
        ("id=is.true", 400, "42804", "argument of IS TRUE must be type boolean, not type integer"),
        ("id=fts.x", 404, "42883", "function to_tsvector(integer) does not exist"),
        ("title=fts.a+b", 400, "42601", 'syntax error in tsquery: "a b"'),
        ("title=fts(foo).a", 400, "42704", 'text search configuration "foo" does not exist'),
        ("title=match.(", 400, "2201B", "invalid regular expression: parentheses () not balanced"),
        ("title=match.*", 400, "2201B", "invalid regular expression: quantifier operand invalid"),
        (r"title=like.Gra\\"[:-1], 400, "22025", "LIKE pattern must not end with escape character"),
        ("title=eq.%00", 400, "22021", 'invalid byte sequence for encoding "UTF8": 0x00'),
        ("select=id::foo", 400, "42704", 'type "foo" does not exist'),
        ("select=id::date", 400, "42846", "cannot cast type integer to date"),
        ("select=title::int", 400, "22P02", 'invalid input syntax for type integer: "Tabular Sprint: Round 1"'),
        ("select=count()", 400, "PGRST123", "Use of aggregate functions is not allowed"),
        ("select=prize.sum()", 400, "PGRST123", "Use of aggregate functions is not allowed"),
        ("nope.id=eq.1", 400, "PGRST108", "'nope' is not an embedded resource in this request"),
        (
            "select=*,nope(*)",
            400,
            "PGRST200",
            "Could not find a relationship between 'contests' and 'nope' in the schema cache",
        ),
    ],
)
def test_what_postgresql_refuses_is_refused_in_its_words(
    rest: Rest, query: str, status: int, code: str, message: str
) -> None:
    """The same status, code and message as from a real server; SQLite would have answered most of these."""
    answer = ask(rest, "GET", f"/contests?{query}")
    error = rows(answer)
    assert (answer.status, error["code"], error["message"]) == (status, code, message)


def test_a_list_may_be_long(rest: Rest) -> None:
    """Thousands of values in one list are one condition and quick, of numbers as of texts."""
    assert ids(rest, f"id=in.({','.join(map(str, range(3, 5000)))})") == list(range(3, 13))
    assert ids(rest, f"host=in.(zindi,{','.join(f'h{number}' for number in range(2000))})") == [3, 5, 11]
    assert ids(rest, f"id=eq(any).{{{','.join(map(str, range(5, 30_000)))}}}") == list(range(5, 13))


def test_a_nearly_right_name_gets_a_hint(rest: Rest) -> None:
    """Columns and tables that are off by a letter are named in the hint, others are not."""
    near = rows(ask(rest, "GET", "/contests?select=titel"))
    assert near["hint"] == 'Perhaps you meant to reference the column "contests.title".'
    assert rows(ask(rest, "GET", "/contests?select=nope"))["hint"] is None
    assert rows(ask(rest, "GET", "/contest"))["hint"] == "Perhaps you meant the table 'public.contests'"
    assert rows(ask(rest, "GET", "/nope"))["hint"] is None


@pytest.mark.parametrize(
    ("select", "row"),
    [
        ("id::text,n:prize", {"id": "1", "n": 25000}),
        ("id::bool,prize::float8", {"id": True, "prize": 25000}),
        ("%22id%22,%20title%20", {"id": 1, "title": "Tabular Sprint: Round 1"}),
        ("id,id", {"id": 1}),
        ("host::char", {"host": "k"}),
        ("a:title->x,title->>y", {"a": None, "y": None}),
    ],
)
def test_select_shapes_the_row(rest: Rest, select: str, row: dict[str, object]) -> None:
    """Aliases name, casts convert to the JSON of their type, quotes and blanks do not matter."""
    assert rows(ask(rest, "GET", f"/contests?select={select}&id=eq.1")) == [row]


def test_nulls_sort_as_in_postgresql(rest: Rest) -> None:
    """NULL is last going up and first going down, unless the request says otherwise."""

    def order(terms: str) -> list[int]:
        return [row["id"] for row in rows(ask(rest, "GET", f"/contests?select=id&order={terms}"))]

    assert order("prize,id")[-2:] == [4, 9]
    assert order("prize.desc,id")[:2] == [4, 9]
    assert order("prize.nullsfirst,id.desc")[:2] == [9, 4]
    assert order("prize.desc.nullslast,id")[-2:] == [4, 9]
    assert order("title")[0] == 4  # code-point order: digits before capitals before small letters
    assert order("title")[-1] == 7


def test_a_count_tells_how_much_of_it_this_is(rest: Rest) -> None:
    """206 for a part, 200 for all, 416 behind the end; ``*/12`` when no row lies in the range."""
    part = ask(rest, "GET", "/contests?limit=5&offset=10", prefer="count=exact")
    assert (part.status, header(part, "Content-Range")) == (206, "10-11/12")
    whole = ask(rest, "HEAD", "/contests", prefer="count=planned")
    assert (whole.status, header(whole, "Content-Range"), whole.body) == (200, "0-11/12", b"")
    at_end = ask(rest, "GET", "/contests?offset=12", prefer="count=estimated")
    assert (at_end.status, header(at_end, "Content-Range"), at_end.body) == (206, "*/12", b"[]")
    behind = ask(rest, "GET", "/contests", prefer="count=exact", range="13-")
    assert (behind.status, header(behind, "Content-Range")) == (416, "*/12")
    assert rows(behind)["details"] == "An offset of 13 was requested, but there are only 12 rows."


def test_no_answer_is_longer_than_max_rows(tmp_path: Path) -> None:
    """The cut is silent, as PostgREST's is, but a count shows it; pages still reach every row."""
    short = open_rest(tmp_path, max_rows=5)
    cut = ask(short, "GET", "/contests?select=id&order=id&limit=9", prefer="count=exact")
    assert (cut.status, header(cut, "Content-Range"), len(rows(cut))) == (206, "0-4/12", 5)
    pages = [rows(ask(short, "GET", f"/contests?select=id&order=id&offset={start}")) for start in (0, 5, 10)]
    assert [row["id"] for page in pages for row in page] == list(range(1, 13))
    short.close()


def test_media_types_shape_the_answer(rest: Rest) -> None:
    """Objects, CSV and answers without nulls are chosen by ``Accept``; what cannot be written is 406."""
    one = ask(rest, "GET", "/contests?id=eq.9&select=id,host", accept=f"{OBJECT};nulls=stripped")
    assert (rows(one), header(one, "Content-Type")) == ({"id": 9}, f"{OBJECT};nulls=stripped; charset=utf-8")
    many = ask(
        rest,
        "GET",
        "/contests?select=id,host&id=gte.9&id=lte.10",
        accept=f"{ARRAY};nulls=stripped",
    )
    assert rows(many) == [{"id": 9}, {"id": 10, "host": "drivendata"}]
    table = ask(rest, "GET", "/contests?select=id,title,host&id=in.(6,9)&order=id", accept="text/csv")
    assert table.body.decode() == 'id,title,host\n6,"O\'Brien ""Fast"" Sprint",kaggle\n9,"No Host Yet",'
    assert header(table, "Content-Type") == "text/csv; charset=utf-8"
    none = ask(rest, "GET", "/contests", accept="text/html, image/png;q=0.5")
    assert (none.status, rows(none)["code"]) == (406, "PGRST107")
    assert rows(none)["message"] == "None of these media types are available: text/html, image/png"
    liked = ask(rest, "GET", "/contests?limit=1", accept="text/csv;q=0.1, application/json")
    assert header(liked, "Content-Type") == "application/json; charset=utf-8"


def test_a_single_object_is_exactly_one(rest: Rest) -> None:
    """None and several are both 406 with the number of rows."""
    for query, count in (("id=eq.99", 0), ("host=eq.kaggle", 3)):
        answer = ask(rest, "GET", f"/contests?{query}", accept=OBJECT)
        assert (answer.status, rows(answer)["details"]) == (406, f"The result contains {count} rows")


def test_preferences_are_applied_or_named(rest: Rest) -> None:
    """The header tells which were applied, in PostgREST's order; strict handling refuses unknown ones."""
    mixed = ask(rest, "GET", "/contests?limit=1", prefer="handling=lenient, count=exact, return=minimal, foo")
    assert header(mixed, "Preference-Applied") == "count=exact, handling=lenient"
    strict = ask(rest, "GET", "/contests", prefer="handling=strict, foo=1, count=exact, bar")
    assert (strict.status, rows(strict)["code"]) == (400, "PGRST122")
    assert rows(strict)["details"] == "Invalid preferences: foo=1, bar"
    assert header(ask(rest, "GET", "/contests"), "Preference-Applied") is None


def test_schemas_and_paths_and_methods(rest: Rest) -> None:
    """Only ``public`` is there, two parts of a path lead nowhere, and odd methods are 405."""
    named = ask(rest, "GET", "/contests?limit=1", accept_profile="public")
    assert header(named, "Content-Profile") == "public"
    wrong = ask(rest, "POST", "/contests", {}, content_profile="secret")
    assert (wrong.status, rows(wrong)["code"]) == (406, "PGRST106")
    codes = {
        ("GET", "/contests/1"): (404, "PGRST125"),
        ("TRACE", "/contests"): (405, "PGRST117"),
        ("POST", "/"): (405, "PGRST117"),
        ("PUT", "/rpc/top_contests"): (405, "PGRST101"),
    }
    for (method, path), expected in codes.items():
        answer = ask(rest, method, path)
        assert (answer.status, rows(answer)["code"]) == expected
    allow = ask(rest, "OPTIONS", "/contests")
    assert (allow.status, header(allow, "Allow")) == (200, "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE")


def test_the_root_describes_tables_and_functions(rest: Rest) -> None:
    """``/`` is an OpenAPI document with the columns and their types."""
    answer = ask(rest, "GET", "/")
    document = rows(answer)
    assert header(answer, "Content-Type") == "application/openapi+json; charset=utf-8"
    assert document["definitions"]["contests"]["properties"]["prize"] == {"format": "integer", "type": "integer"}
    assert {"/contests", "/rpc/top_contests"} <= document["paths"].keys()


def test_functions_are_called_by_get_and_post(rest: Rest) -> None:
    """Rows of a function can be selected, filtered and sorted; a scalar is one JSON value."""
    best = ask(rest, "GET", "/rpc/top_contests?how_many=2&select=id,prize")
    assert rows(best) == [{"id": 12, "prize": 100000}, {"id": 1, "prize": 25000}]
    posted = ask(rest, "POST", "/rpc/top_contests?select=id&id=neq.12&order=id", {"how_many": 3})
    assert rows(posted) == [{"id": 1}, {"id": 2}]
    assert len(rows(ask(rest, "POST", "/rpc/top_contests", {"how_many": None}))) == 10  # LIMIT NULL is no limit
    counts = rows(ask(rest, "GET", "/rpc/count_by_status?status=is.not_null&order=status"))
    assert counts == [
        {"status": name, "contests": number} for name, number in (("closed", 3), ("open", 5), ("upcoming", 3))
    ]
    assert rows(ask(rest, "POST", "/rpc/total_prize", b"")) == 191000
    assert rows(ask(rest, "GET", "/rpc/total_prize?of_category=nlp&select=total_prize->x,total_prize")) is None
    assert rows(ask(rest, "GET", "/rpc/total_prize?of_category=nlp")) == 13000
    for none in ("limit=0", "offset=1", "total_prize=lt.0"):
        answer = ask(rest, "GET", f"/rpc/total_prize?{none}")
        assert (answer.status, rows(answer)) == (200, None)


@pytest.mark.parametrize(
    ("method", "target", "body", "message", "hint"),
    [
        (
            "GET",
            "/rpc/nope",
            None,
            "Could not find the function public.nope without parameters in the schema cache",
            None,
        ),
        (
            "POST",
            "/rpc/top_contests",
            {"howmany": 1},
            "Could not find the function public.top_contests(howmany) in the schema cache",
            "Perhaps you meant to call the function public.top_contests(how_many)",
        ),
    ],
)
def test_an_unknown_function_is_404(
    rest: Rest, method: str, target: str, body: object, message: str, hint: str | None
) -> None:
    """PGRST202 names the function with the arguments it was called with, and what may have been meant."""
    answer = ask(rest, method, target, body)
    error = rows(answer)
    assert (answer.status, error["code"], error["message"], error["hint"]) == (404, "PGRST202", message, hint)


@pytest.mark.parametrize(
    "target",
    ["/nope", "/a/b", "/contests?id=foo", "/contests?id=eq.x", "/contests?limit=-1", "/rpc/nope", "/contests?select=x"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_error_has_one_shape(rest: Rest, method: str, target: str) -> None:
    """Four keys, JSON, ``Proxy-Status`` with the code; a HEAD has the headers and no body."""
    answer = ask(rest, method, target)
    assert 400 <= answer.status < 500
    assert header(answer, "Content-Type") == "application/json; charset=utf-8"
    proxy = header(answer, "Proxy-Status") or ""
    if method == "HEAD":
        assert answer.body == b""
        assert proxy.startswith("PostgREST; error=")
    else:
        error = rows(answer)
        assert list(error) == ["code", "details", "hint", "message"]
        assert proxy == f"PostgREST; error={error['code']}"


def test_a_failure_of_the_lab_tells_nothing(
    rest: Rest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected exception is a 500 of the same shape without a word of it; the log has all of it."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("/secret/path")

    monkeypatch.setattr(rest.store, "rows", broken)
    answer = ask(rest, "GET", "/contests?id=eq.404")
    assert (answer.status, list(rows(answer))) == (500, ["code", "details", "hint", "message"])
    assert b"secret" not in answer.body
    assert b"ZeroDivision" not in answer.body
    assert "ZeroDivisionError: /secret/path" in caplog.text


NAMES = ["id", "title", "host", "nope", '"', "'", ";", "--", "drop table contests", "1=1", "(", ")", ","]
SIGNS = ["eq.", "in.(", "not.", "or=", "select=", "order=", "&", "=", "::text", "->>", "*", "%00", "\\"]
COLUMNS = {"id", "title", "host", "category", "prize", "status", "starts_at", "url"}
PARTS = st.sampled_from(NAMES + SIGNS)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PARTS | st.text(max_size=4), max_size=12))
def test_no_query_reaches_the_database_as_sql(rest: Rest, parts: list[str]) -> None:
    """Whatever a query is made of, the answer is rows or a refusal, never a 500, and the table stays whole."""
    answer = ask(rest, "GET", "/contests?" + "".join(parts))
    assert answer.status in (200, 206, 300, 400, 404, 406, 416), answer.body
    json.loads(answer.body)
    assert len(ids(rest, "")) == 12


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=25))
def test_no_name_reaches_the_database_as_sql(rest: Rest, name: str) -> None:
    """A quoted name that is no column is 42703 or unreadable in every place where a name may stand."""
    quoted = encoded('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"')
    for query in (f"select={quoted}", f"order={quoted}", f"{quoted}=eq.1", f"or=({quoted}.eq.1)"):
        answer = ask(rest, "GET", f"/contests?{query}")
        assert answer.status in (200, 400)
        assert answer.status == 400 or name in COLUMNS or (name in ("*", "count") and query.startswith("select"))
