"""Declared types and constraints over SQLite: what a seed declares is kept as PostgreSQL would keep it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_helpers import ask, header, open_rest, rows

from supalab.lab.postgrest.functions import pattern, pg_pattern
from supalab.lab.postgrest.http import known_zone
from supalab.lab.postgrest.refusal import Refusal
from supalab.lab.postgrest.rest import Rest
from supalab.lab.postgrest.seed import open_seed
from supalab.lab.postgrest.store import Store

SCRIPT = """
CREATE TABLE teams(
  id integer primary key autoincrement, name text not null check (length(name) > 1), active boolean default true,
  made timestamptz, score numeric(6,2), meta jsonb, raw json, tag varchar(3), key uuid unique, day date, rate float8,
  small smallint, big bigint, loud text generated always as (upper(name)) stored
);
CREATE TABLE members(
  id serial primary key, team_id integer references teams(id), nick text, constraint nick_len check (nick <> 'bad'),
  unique (team_id, nick)
);
INSERT INTO teams(name, active, made, score, meta, raw, day, rate) VALUES
  ('Alpha', 'yes', '2026-01-02 03:04:05+01', '1.50', '{"b": {"c": [1, 2]}, "a": "x"}', '[1]', '2026-01-02', 0.1),
  ('Beta', 0, NULL, 10, NULL, NULL, NULL, NULL);
INSERT INTO members VALUES (1, 1, 'ann'), (2, 1, 'bob');
"""


@pytest.fixture
def rest(tmp_path: Path) -> Iterator[Rest]:
    opened = open_rest(tmp_path, SCRIPT)
    yield opened
    opened.close()


def test_values_of_a_seed_take_the_form_of_their_type(rest: Rest) -> None:
    """Booleans, times, numbers and JSON come out as PostgREST writes them, whatever the script put in."""
    row = rows(ask(rest, "GET", "/teams?id=eq.1&select=active,made,score,meta,raw,day,rate,loud"))[0]
    assert row == {
        "active": True,
        "made": "2026-01-02T02:04:05+00:00",
        "score": 1.5,
        "meta": {"a": "x", "b": {"c": [1, 2]}},
        "raw": [1],
        "day": "2026-01-02",
        "rate": 0.1,
        "loud": "ALPHA",
    }


@pytest.mark.parametrize(
    ("column", "value", "code", "message"),
    [
        ("active", "maybe", "22P02", 'invalid input syntax for type boolean: "maybe"'),
        ("active", "o", "22P02", 'invalid input syntax for type boolean: "o"'),
        ("made", "soon", "22007", 'invalid input syntax for type timestamp with time zone: "soon"'),
        ("made", "2026-02-30", "22008", 'date/time field value out of range: "2026-02-30"'),
        ("day", "x", "22007", 'invalid input syntax for type date: "x"'),
        ("day", "2026-1", "22007", 'invalid input syntax for type date: "2026-1"'),
        ("score", 123456, "22003", "numeric field overflow"),
        ("score", "1,5", "22P02", 'invalid input syntax for type numeric: "1,5"'),
        ("tag", "abcd", "22001", "value too long for type character varying(3)"),
        ("key", "zz", "22P02", 'invalid input syntax for type uuid: "zz"'),
        ("rate", "1e-999", "22003", '"1e-999" is out of range for type double precision'),
        ("rate", "1e999", "22003", '"1e999" is out of range for type double precision'),
        ("small", 40000, "22003", 'value "40000" is out of range for type smallint'),
        ("big", 2**63, "22003", f'value "{2**63}" is out of range for type bigint'),
        ("loud", "x", "428C9", 'cannot insert a non-DEFAULT value into column "loud"'),
        ("name", "x", "23514", 'new row for relation "teams" violates check constraint "teams_name_check"'),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_refused(
    rest: Rest, column: str, value: object, code: str, message: str
) -> None:
    """SQLite would store nearly all of these; PostgreSQL's code and words come instead."""
    answer = ask(rest, "POST", "/teams", {"name": "Gamma", column: value})
    assert (rows(answer)["code"], rows(answer)["message"]) == (code, message)


@pytest.mark.parametrize(
    ("column", "value", "stored"),
    [
        ("active", "T", True),
        ("active", "of", False),
        ("score", 2.555, 2.56),
        ("score", "7", 7),
        ("tag", "ab   ", "ab "),
        ("key", "{A0EEBC99-9C0B4EF8-BB6D6BB9-BD380A11}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("day", "2026-02-03T10:00:00", "2026-02-03"),
        ("day", "2026-2-3", "2026-02-03"),
        ("made", "2026-02-03", "2026-02-03T00:00:00+00:00"),
        ("made", "2026-02-03T10:00:00.500-02:30", "2026-02-03T12:30:00.5+00:00"),
        ("meta", [{"b": None}], [{"b": None}]),
        ("meta", "text", "text"),
        ("rate", "Infinity", "Infinity"),
        ("big", 2**63 - 1, 2**63 - 1),
        ("small", "  -5 ", -5),
    ],
)
def test_a_value_takes_the_one_form_of_its_type(rest: Rest, column: str, value: object, stored: object) -> None:
    """What PostgreSQL accepts in several spellings is stored and given back in one."""
    target = f"/teams?select={column}"
    answer = ask(rest, "POST", target, {"name": "Gamma", column: value}, prefer="return=representation")
    assert rows(answer) == [{column: stored}]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("active=is.true", [1]),
        ("active=not.is.true", [2]),
        ("active=eq.f", [2]),
        ("active=in.(yes,no)", [1, 2]),
        ("score=gt.1.5", [2]),
        ("rate=in.(Infinity,0.1)", [1]),
        ("rate=lt(all).{Infinity,0.2}", [1]),
        ("made=lt.2026-01-02T03:00:00Z", [1]),
        ("day=eq.2026-01-02", [1]),
        ("meta->>a=eq.x", [1]),
        ('meta->b=eq.{"c":[1,2]}', [1]),
        ("meta->b->c->>-1=eq.2", [1]),
        ('meta=cs.{"b":{"c":[2]}}', [1]),
        ('meta=cd.{"a":"x","b":{"c":[1,2]},"z":1}', [1]),
        ('meta=eq.{"a":"x","b":{"c":[1,2]}}', [1]),
    ],
)
def test_conditions_compare_by_type(rest: Rest, query: str, found: list[int]) -> None:
    """Truth values, numbers, moments and JSON are compared as such, not as their texts."""
    assert [row["id"] for row in rows(ask(rest, "GET", f"/teams?select=id&order=id&{query}"))] == found


def test_csv_and_casts_show_the_text_of_a_type(rest: Rest) -> None:
    """CSV holds what PostgreSQL writes as text: moments with a blank, all digits, arrays in braces, embedded JSON."""
    query = "/teams?select=id,active,made,score,meta,raw,rate,day,members(id)&id=eq.1&members.order=id"
    names, row = ask(rest, "GET", query, accept="text/csv").body.decode().split("\n")
    assert names == "id,active,made,score,meta,raw,rate,day,members"
    meta = '"{""a"": ""x"", ""b"": {""c"": [1, 2]}}"'
    members = '"[{""id"":1},{""id"":2}]"'
    assert row == f'1,t,"2026-01-02 02:04:05+00",1.50,{meta},[1],0.1,2026-01-02,{members}'
    moved = ask(rest, "GET", "/teams?select=made&id=eq.1", accept="text/csv", prefer="timezone=Asia/Tokyo")
    assert moved.body.decode() == 'made\n"2026-01-02 11:04:05+09"'
    cast = rows(ask(rest, "GET", "/teams?select=score::text,active::text&order=id"))
    assert cast == [{"score": "1.50", "active": "true"}, {"score": "10.00", "active": "false"}]


def test_stripped_nulls_are_stripped_at_every_depth(tmp_path: Path) -> None:
    """Members of objects are left out wherever they are, elements of arrays stay."""
    rest = open_rest(tmp_path, """create table t (a int, j json); insert into t values (1, '{"b":null,"c":[null]}');""")
    answer = ask(rest, "GET", "/t", accept="application/vnd.pgrst.array+json;nulls=stripped")
    assert rows(answer) == [{"a": 1, "j": {"c": [None]}}]
    rest.close()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("raw=eq.1", "42883"),
        ("order=raw", "42883"),
        ("active=like.x", "42883"),
        ("key=eq.1", "22P02"),
        ("made=gte.2026-01-02T03:04:05+01:00", "22007"),  # in a URL this plus sign means a space
        ("made=gte.2026-01-02T03:04:65Z", "22008"),
    ],
)
def test_what_a_type_cannot_do_says_so(rest: Rest, query: str, code: str) -> None:
    """json has no equality and no order, booleans no LIKE; moments tell a wrong form from a wrong number."""
    assert rows(ask(rest, "GET", f"/teams?{query}"))["code"] == code


FOREIGN: list[tuple[str, str, Any, str, str]] = [
    (
        "POST",
        "/members",
        {"team_id": 99, "nick": "x"},
        'insert or update on table "members" violates foreign key constraint "members_team_id_fkey"',
        'Key (team_id)=(99) is not present in table "teams".',
    ),
    (
        "PATCH",
        "/members?id=eq.1",
        {"team_id": 98},
        'insert or update on table "members" violates foreign key constraint "members_team_id_fkey"',
        'Key (team_id)=(98) is not present in table "teams".',
    ),
    (
        "DELETE",
        "/teams?id=eq.1",
        None,
        'update or delete on table "teams" violates foreign key constraint "members_team_id_fkey" on table "members"',
        'Key (id)=(1) is still referenced from table "members".',
    ),
    (
        "POST",
        "/members",
        {"team_id": 1, "nick": "ann"},
        'duplicate key value violates unique constraint "members_team_id_nick_key"',
        "Key (team_id, nick)=(1, ann) already exists.",
    ),
    (
        "PATCH",
        "/members?id=eq.1",
        {"nick": "bob"},
        'duplicate key value violates unique constraint "members_team_id_nick_key"',
        "Key (team_id, nick)=(1, bob) already exists.",
    ),
]


@pytest.mark.parametrize(("method", "target", "body", "message", "details"), FOREIGN)
def test_broken_keys_name_the_constraint_and_the_key(
    rest: Rest, method: str, target: str, body: object, message: str, details: str
) -> None:
    """409 with PostgreSQL's made-up constraint name and the values in question; nothing is changed."""
    answer = ask(rest, method, target, body)
    assert (answer.status, rows(answer)["message"], rows(answer)["details"]) == (409, message, details)
    assert len(rows(ask(rest, "GET", "/members"))) == 2


def test_a_named_check_keeps_its_name(rest: Rest) -> None:
    """A constraint that the script names is named in the error, on insert and on update."""
    for method, target in (("POST", "/members"), ("PATCH", "/members?id=eq.1")):
        error = rows(ask(rest, method, target, {"nick": "bad"}))
        assert error["message"] == 'new row for relation "members" violates check constraint "nick_len"'


def test_columns_that_number_themselves_do(rest: Rest) -> None:
    """AUTOINCREMENT and serial give the next number, in one request and over several."""
    many = ask(rest, "POST", "/members?select=id", [{"nick": "x"}, {"nick": "y"}], prefer="return=representation")
    assert [row["id"] for row in rows(many)] == [3, 4]
    one = ask(rest, "POST", "/teams?select=id", {"name": "Gamma"}, prefer="return=representation")
    assert rows(one) == [{"id": 3}]


def test_a_statement_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    """A query over a huge join is interrupted and answered as PostgreSQL's statement timeout."""
    (tmp_path / "seed.sql").write_text(
        "CREATE TABLE n(i int); INSERT INTO n WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c LIMIT 2000)"
        " SELECT i FROM c; CREATE VIEW v AS SELECT a.i FROM n a, n b, n c WHERE a.i + b.i + c.i < 0;"
    )
    store = Store(open_seed(tmp_path / "seed.sql"), time_limit=0.2)
    started = time.monotonic()
    with pytest.raises(Refusal, match="57014"):
        store.rows('SELECT * FROM "v"')
    assert time.monotonic() - started < 20
    store.close()


@pytest.mark.parametrize(
    "sql", ["ATTACH 'x.db' AS x", "PRAGMA writable_schema = 1", "DROP TABLE contests", "CREATE TABLE t(a)"]
)
def test_the_database_refuses_what_no_request_may_do(sql: str) -> None:
    """Should SQL of another's making ever get there, it opens no file and changes no setting or schema."""
    store = Store(open_seed(None))
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        store.rows(sql)
    store.close()


def test_a_full_database_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write beyond the lab's bound is PostgreSQL's full disk, and reads go on."""
    monkeypatch.setattr("supalab.lab.postgrest.loading.PAGES", 60)
    small = open_rest(tmp_path, "create table t (id int primary key, word text);")
    refused = ask(small, "POST", "/t", {"id": 1, "word": "x" * 900_000})
    assert (refused.status, rows(refused)["code"]) == (503, "53100")
    assert rows(ask(small, "GET", "/t")) == []
    small.close()


def test_a_regular_expression_cannot_run_away() -> None:
    """An expression that takes a backtracking engine for ever ends like any statement that takes too long."""
    with pytest.raises(Refusal, match="57014"):
        pg_pattern("x" * 5_000, "match", "(x+x+)+y")


@pytest.mark.parametrize(
    ("expression", "text", "found"),
    [
        ("^a.*z$", "abcz", True),
        ("a{2,3}b", "aab", True),
        ("^a{2,3}b", "ab", False),
        ("[[:digit:]]+[^0-9]", "12x", True),
        (r"\mcup\M", "a cup!", True),
        (r"\mcup\M", "cupboard", False),
        ("(?:ab|cd){2}", "abcd", True),
        ("[]a]+", "]", True),
        ("cup$", "cup\n", False),
        ("[$]", "a$", True),
        (r"a\$", "a$b", True),
        (r"\ycup\y", "a cup", True),
        ("a|", "", True),
        (r"\u", "u", None),
        ("[z-a]", "b", None),
        ("(a", "a", None),
        ("a)", "a", None),
        ("a{3,2}", "a", None),
        ("{2}a", "a", None),
        ("a{x", "a{x", True),
    ],
)
def test_expressions_mean_what_postgresql_means(expression: str, text: str, found: bool | None) -> None:
    """The usual signs work, broken expressions (None) are 2201B."""
    if found is None:
        with pytest.raises(Refusal, match="2201B"):
            pattern("match", expression)
    else:
        assert pg_pattern(text, "match", expression) is found


@pytest.mark.skipif(not known_zone("America/Los_Angeles"), reason="this machine has no time zone database")
def test_moments_are_shown_in_the_time_zone_that_is_preferred(rest: Rest) -> None:
    """``Prefer: timezone`` moves moments with a zone; an unknown zone is ignored, or refused by strict handling."""
    known = ask(rest, "GET", "/teams?select=made&id=eq.1", prefer="timezone=America/Los_Angeles")
    assert rows(known) == [{"made": "2026-01-01T18:04:05-08:00"}]
    assert header(known, "Preference-Applied") == "timezone=America/Los_Angeles"
    unknown = ask(rest, "GET", "/teams?select=made&id=eq.1", prefer="timezone=Invalid/Zone")
    assert (rows(unknown), header(unknown, "Preference-Applied")) == ([{"made": "2026-01-02T02:04:05+00:00"}], None)
    strict = ask(rest, "GET", "/teams", prefer="handling=strict, timezone=Invalid/Zone")
    assert rows(strict)["details"] == "Invalid preferences: timezone=Invalid/Zone"


INSIDE = [
    "10",
    "9",
    "-3",
    "1.5",
    "0",
    '"b"',
    '"a"',
    "null",
    "true",
    "false",
    "[1]",
    "[]",
    '{"a":1}',
    "{}",
    "1e2",
    "-2.5",
]


def test_values_inside_jsonb_compare_as_postgresql_compares_them(tmp_path: Path) -> None:
    """Numbers by size, and kinds in the order that PostgreSQL 15 gave, in filters, in order, and after a write."""
    values = ", ".join(f"({number}, '{{\"n\": {value}}}')" for number, value in enumerate(INSIDE))
    rest = open_rest(tmp_path, f"CREATE TABLE held(id integer primary key, d jsonb); INSERT INTO held VALUES {values};")
    by_value = [11, 7, 6, 5, 2, 15, 4, 3, 1, 0, 14, 9, 8, 10, 13, 12]
    found = rows(ask(rest, "GET", "/held?select=id&order=d->n,id"))
    assert [row["id"] for row in found] == by_value
    above = rows(ask(rest, "GET", "/held?select=id&d->n=gt.9&order=id"))
    assert [row["id"] for row in above] == [0, 8, 9, 10, 12, 13, 14]
    assert rows(ask(rest, "GET", "/held?select=id&d->n=eq.100.0")) == [{"id": 14}]
    assert rows(ask(rest, "GET", "/held?select=id&d->n=is.null")) == []
    assert rows(ask(rest, "GET", "/held?select=id&d->>n=is.null")) == [{"id": 7}]
    written = ask(rest, "DELETE", "/held?select=id,d&id=gte.0&order=d->n", prefer="return=representation")
    assert [row["id"] for row in rows(written)] == by_value
    rest.close()


def test_a_function_of_null_is_null_unless_it_takes_any_number_of_values(tmp_path: Path) -> None:
    """PostgreSQL's strict functions are not called with NULL; those of a list of values leave it out."""
    view = "select concat('a', null, 'b') as c, greatest(1, null, 3) as g, left(null, 2) as l, md5(null) as m"
    rest = open_rest(
        tmp_path, f"create view v as {view}; create table t (n numeric(5, 2)); insert into t values (null);"
    )
    assert rows(ask(rest, "GET", "/v")) == [{"c": "ab", "g": 3, "l": None, "m": None}]
    assert rows(ask(rest, "GET", "/t")) == [{"n": None}]
    rest.close()
