"""Writing through the whole dialect: bodies, defaults, constraints, upserts, and what is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lab_helpers import ask, encoded, header, ids, open_rest, rows

from supalab.lab.postgrest.rest import Rest

BACK = "return=representation"
COLUMN = st.sampled_from(["id", "title", "host", "prize", "url", "nope"])
FORM = "application/x-www-form-urlencoded"
OBJECT = "application/vnd.pgrst.object+json"


@pytest.fixture
def rest(tmp_path: Path) -> Iterator[Rest]:
    opened = open_rest(tmp_path)
    yield opened
    opened.close()


def row_13(**others: Any) -> dict[str, Any]:
    return {"id": 13, "title": "New", **others}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"id":13,"title":"a b"}'),
        ("application/json; charset=utf-8", b'[{"id":"13","title":"a b"}]'),
        ("text/csv", b"id,title\n13,a b\n"),
        (FORM, b"id=13&title=a+b"),
    ],
)
def test_each_kind_of_body_makes_the_same_row(rest: Rest, content_type: str, body: bytes) -> None:
    """Objects, arrays, CSV and forms are read alike; what is left out gets its default."""
    answer = ask(rest, "POST", "/contests?select=id,title,status", body, content_type=content_type, prefer=BACK)
    assert (answer.status, rows(answer)) == (201, [{"id": 13, "title": "a b", "status": "upcoming"}])


@pytest.mark.parametrize(
    ("target", "body", "status", "code", "message"),
    [
        ("", b"", 400, "PGRST102", "Empty or invalid json"),
        ("", b"{", 400, "PGRST102", "Empty or invalid json"),
        ("", b'{"id":NaN}', 400, "PGRST102", "Empty or invalid json"),
        ("", b"\xff", 400, "PGRST102", "Empty or invalid json"),
        ("", b'{"id":13,"title":"\\ud800"}', 400, "PGRST102", "Empty or invalid json"),
        ("", b"[" * 100_000, 400, "PGRST102", "Empty or invalid json"),
        ("", b'[{"id":13},{"title":"x"}]', 400, "PGRST102", "All object keys must match"),
        ("", b"[1]", 400, "PGRST102", "All object keys must match"),
        ("", b'{"nope":1}', 400, "PGRST204", "Could not find the 'nope' column of 'contests' in the schema cache"),
        ("?columns=id,x", b"{}", 400, "PGRST204", "Could not find the 'x' column of 'contests' in the schema cache"),
        ("?columns=id", b"{", 400, "22P02", "invalid input syntax for type json"),
        ("?columns=id", b"1", 400, "22023", "cannot call json_to_recordset on a scalar"),
        ("", b'{"id":"x","title":"a"}', 400, "22P02", 'invalid input syntax for type integer: "x"'),
        ("", b'{"id":1.5,"title":"a"}', 400, "22P02", 'invalid input syntax for type integer: "1.5"'),
        ("", b'{"id":true,"title":"a"}', 400, "22P02", 'invalid input syntax for type integer: "true"'),
        ("", b'{"id":3000000000,"title":"a"}', 400, "22003", 'value "3000000000" is out of range for type integer'),
        ("", b'{"id":13,"title":"\\u0000"}', 400, "22P05", "unsupported Unicode escape sequence"),
        ("?select=nope", b'{"id":13,"title":"a"}', 400, "42703", "column contests.nope does not exist"),
        ("?select=id&order=title", b'{"id":13,"title":"a"}', 400, "42703", "column contests.title does not exist"),
    ],
)
def test_a_body_that_cannot_be_used_changes_nothing(
    rest: Rest, target: str, body: bytes, status: int, code: str, message: str
) -> None:
    """Each has PostgREST's or PostgreSQL's code and words, and no row is written."""
    answer = ask(rest, "POST", f"/contests{target}", body, prefer=BACK)
    error = rows(answer)
    assert (answer.status, error["code"], error["message"]) == (status, code, message)
    assert len(ids(rest, "")) == 12


def test_json_values_become_text_as_postgresql_writes_them(rest: Rest) -> None:
    """A number keeps its digits, a truth value its word, an object its JSON as it was written."""
    body = b'{"id":13,"title":1.50,"host":true,"category":{"a":[1]}}'
    answer = ask(rest, "POST", "/contests?select=title,host,category", body, prefer=BACK)
    assert rows(answer) == [{"title": "1.50", "host": "true", "category": '{"a":[1]}'}]


@pytest.mark.parametrize(
    ("content_type", "body", "stored"),
    [
        ("text/csv", b'id,word,data,many\n1,1.50,a b,"{x,""y z"",NULL}"\n', ["1.50", "a b", ["x", "y z", None]]),
        (FORM, b"id=1&word=null&data=%7B%7D&many={}", ["null", "{}", []]),
        (
            "application/json",
            b'{"id":1,"word":1.50,"data":1.50,"many":["x",1.50,null]}',
            ["1.50", 1.5, ["x", "1.50", None]],
        ),
        ("application/json", b'{"id":1,"word":[1, 2],"data":"null","many":null}', ["[1, 2]", "null", None]),
        ("application/json", b'{"id":1,"word":null,"data":null,"many":[]}', [None, None, []]),
    ],
)
def test_text_json_and_arrays_take_what_each_body_means(
    tmp_path: Path, content_type: str, body: bytes, stored: list[object]
) -> None:
    """CSV and forms hold texts, also for a JSON column; a number, a list and a null of JSON are what they are."""
    rest = open_rest(tmp_path, "create table t (id integer primary key, word text, data jsonb, many text[]);")
    answer = ask(rest, "POST", "/t?select=word,data,many", body, content_type=content_type, prefer=BACK)
    assert [list(row.values()) for row in rows(answer)] == [stored], answer.body
    rest.close()


@pytest.mark.parametrize("lines", [b"13", b"12,a\n13", b'13\n14,"a"'])
def test_a_line_of_csv_has_as_many_fields_as_the_first(rest: Rest, lines: bytes) -> None:
    """Fewer are refused, wherever they stand, and nothing is written."""
    answer = ask(rest, "POST", "/contests", b"id,title\n" + lines + b"\n", content_type="text/csv")
    assert (rows(answer)["code"], rows(answer)["message"]) == ("PGRST102", "All lines must have same number of fields")
    assert ids(rest, "id=eq.13") == []


def test_nothing_to_insert_is_still_created(rest: Rest) -> None:
    """An empty array inserts no row and answers 201 all the same."""
    answer = ask(rest, "POST", "/contests", [], prefer=f"{BACK},count=exact")
    assert (answer.status, rows(answer), header(answer, "Content-Range")) == (201, [], "*/0")


def test_headers_only_says_where_the_row_is(rest: Rest) -> None:
    """``Location`` has the primary key of the one row; for two rows there is none."""
    one = ask(rest, "POST", "/contests", row_13(), prefer="return=headers-only")
    assert (header(one, "Location"), header(one, "Content-Length"), one.body) == ("/contests?id=eq.13", "0", b"")
    two = ask(
        rest, "POST", "/contests", [{"id": 14, "title": "a"}, {"id": 15, "title": "b"}], prefer="return=headers-only"
    )
    assert header(two, "Location") is None


def test_a_missing_value_shows_the_failing_row(rest: Rest) -> None:
    """23502 lists the row as PostgreSQL would have stored it, defaults in, long values cut."""
    answer = ask(rest, "POST", "/contests", {"id": 13, "host": "x" * 70})
    expected = f"Failing row contains (13, null, {'x' * 64}..., null, null, upcoming, null, null)."
    assert (rows(answer)["code"], rows(answer)["details"]) == ("23502", expected)


def test_duplicates_name_the_first_broken_constraint(rest: Rest) -> None:
    """The primary key is looked at before ``url``, as PostgreSQL does."""
    both = rows(ask(rest, "POST", "/contests", {"id": 1, "title": "x", "url": "https://contests.test/c/2"}))
    assert (both["code"], both["details"]) == ("23505", "Key (id)=(1) already exists.")
    url = rows(ask(rest, "POST", "/contests", row_13(url="https://contests.test/c/2")))
    assert url["message"] == 'duplicate key value violates unique constraint "contests_url_key"'
    assert url["details"] == "Key (url)=(https://contests.test/c/2) already exists."


def test_upserts_count_what_is_new(rest: Rest) -> None:
    """Merging is 201 as soon as one row is new, else 200; columns left out keep their values."""
    prefer = f"{BACK},resolution=merge-duplicates"
    old = ask(rest, "POST", "/contests?select=id,title,host", {"id": 1, "title": "M"}, prefer=prefer)
    assert (old.status, rows(old)) == (200, [{"id": 1, "title": "M", "host": "kaggle"}])
    mixed = ask(rest, "POST", "/contests?select=id", [{"id": 1, "title": "M"}, row_13()], prefer=prefer)
    assert (mixed.status, rows(mixed)) == (201, [{"id": 1}, {"id": 13}])
    ignored = ask(
        rest, "POST", "/contests?select=id", {"id": 1, "title": "Z"}, prefer=f"{BACK},resolution=ignore-duplicates"
    )
    assert (ignored.status, rows(ignored)) == (201, [])
    assert rows(ask(rest, "GET", "/contests?id=eq.1&select=title")) == [{"title": "M"}]


@pytest.mark.parametrize(
    ("target", "body", "status", "code"),
    [
        ("?on_conflict=host", {"id": 13, "title": "a"}, 400, "42P10"),
        ("?on_conflict=nope", {"id": 13, "title": "a"}, 400, "42703"),
        ("", [{"id": 13, "title": "a"}, {"id": 13, "title": "b"}], 500, "21000"),
        ("", {"id": 1, "host": "x"}, 400, "23502"),
        ("?on_conflict=url", {"id": 1, "title": "a", "url": "u"}, 409, "23505"),
    ],
)
def test_an_upsert_that_cannot_be_decided_is_refused(
    rest: Rest, target: str, body: object, status: int, code: str
) -> None:
    """No constraint over the columns, one row twice, a NULL before the conflict, or another constraint broken."""
    answer = ask(rest, "POST", f"/contests{target}", body, prefer="resolution=merge-duplicates")
    assert (answer.status, rows(answer)["code"]) == (status, code)
    assert len(ids(rest, "")) == 12


def test_put_writes_exactly_the_row_it_names(rest: Rest) -> None:
    """A PUT names the whole primary key, in the URL and the body alike."""
    new = ask(rest, "PUT", "/contests?id=eq.13", row_13(), prefer=BACK)
    again = ask(rest, "PUT", "/contests?id=eq.13", row_13(), prefer=BACK)
    silent = ask(rest, "PUT", "/contests?id=eq.13", row_13(title="T"))
    assert (new.status, again.status, silent.status, silent.body) == (201, 200, 204, b"")
    refused = {
        "?id=eq.14": (400, "PGRST115"),
        "?id=gt.13": (405, "PGRST105"),
        "?title=eq.New": (405, "PGRST105"),
        "?id=eq.13&or=(id.eq.13)": (405, "PGRST105"),
        "": (405, "PGRST105"),
        "?id=eq.13&limit=1": (400, "PGRST114"),
    }
    for target, expected in refused.items():
        answer = ask(rest, "PUT", f"/contests{target}", row_13())
        assert (answer.status, rows(answer)["code"]) == expected
    assert len(ids(rest, "")) == 13


def test_patch_changes_what_fits_and_says_how_many(rest: Rest) -> None:
    """The range counts the changed rows; nothing to set or nothing found is no error."""
    changed = ask(rest, "PATCH", "/contests?host=eq.kaggle", {"status": "x"}, prefer="count=exact")
    assert (changed.status, header(changed, "Content-Range")) == (204, "0-2/3")
    for target, body in (("?id=eq.99", {"status": "x"}), ("?id=eq.1", {}), ("", {})):
        answer = ask(rest, "PATCH", f"/contests{target}", body, prefer=BACK)
        assert (answer.status, header(answer, "Content-Range"), rows(answer)) == (200, "*/*", [])
    sorted_back = ask(rest, "PATCH", "/contests?host=eq.zindi&select=id&order=id.desc", {"prize": 1}, prefer=BACK)
    assert rows(sorted_back) == [{"id": 11}, {"id": 5}, {"id": 3}]


def test_columns_choose_what_a_body_may_set(rest: Rest) -> None:
    """Keys besides ``columns`` are not looked at; missing ones are NULL, or defaults when asked for."""
    target = "/contests?id=eq.1&columns=status,prize&select=title,status,prize"
    null = ask(rest, "PATCH", target, {"title": "no", "prize": 5}, prefer=BACK)
    assert rows(null) == [{"title": "Tabular Sprint: Round 1", "status": None, "prize": 5}]
    default = ask(rest, "PATCH", target, {}, prefer=f"{BACK},missing=default")
    assert rows(default) == [{"title": "Tabular Sprint: Round 1", "status": "upcoming", "prize": None}]
    assert header(default, "Preference-Applied") == "missing=default, return=representation"


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_write_to_all_rows_is_refused(rest: Rest, method: str) -> None:
    """Without a condition on the table it is 21000, as on Supabase."""
    verb = "UPDATE" if method == "PATCH" else "DELETE"
    for target in ("", "?limit=1", "?select=id"):
        answer = ask(rest, method, f"/contests{target}", {"status": "x"})
        assert (answer.status, rows(answer)["message"]) == (400, f"{verb} requires a WHERE clause")
    assert ids(rest, "status=eq.x") == []


def test_more_than_was_allowed_is_taken_back(rest: Rest) -> None:
    """``max-affected`` (strict only) and a single object both undo a write that hits more rows."""
    limited = ask(rest, "DELETE", "/contests?host=eq.kaggle", prefer="handling=strict,max-affected=2")
    assert (limited.status, rows(limited)["code"], rows(limited)["details"]) == (
        400,
        "PGRST124",
        "The query affects 3 rows",
    )
    single = ask(rest, "PATCH", "/contests?host=eq.kaggle", {"status": "x"}, accept=OBJECT)
    assert (single.status, rows(single)["code"]) == (406, "PGRST116")
    inserted = ask(rest, "POST", "/contests", [row_13(), {"id": 14, "title": "b"}], accept=OBJECT)
    assert inserted.status == 406
    assert (ids(rest, "host=eq.kaggle"), ids(rest, "status=eq.x"), len(ids(rest, ""))) == ([1, 6, 12], [], 12)
    lenient = ask(rest, "DELETE", "/contests?host=eq.kaggle", prefer="max-affected=2,count=exact")
    assert (lenient.status, header(lenient, "Content-Range")) == (204, "*/3")


def test_without_rows_back_select_is_not_looked_at(rest: Rest) -> None:
    """PostgREST returns nothing then, so an unknown column in ``select`` does not matter."""
    assert ask(rest, "POST", "/contests?select=nope&order=nope", row_13()).status == 201


def test_written_rows_come_back_as_csv(rest: Rest) -> None:
    """A write answers in the form that ``Accept`` asks for."""
    answer = ask(rest, "POST", "/contests?select=id,title", row_13(title="a,b"), prefer=BACK, accept="text/csv")
    assert (answer.status, answer.body) == (201, b'id,title\n13,"a,b"')


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30))
def test_any_text_that_was_written_is_found_again(rest: Rest, text: str) -> None:
    """A text goes in by JSON and is found by ``eq``, ``in`` and ``or``, whatever is in it."""
    ask(rest, "PATCH", "/contests?id=eq.1", {"host": text})
    quoted = encoded('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
    for query in (f"host=eq.{encoded(text)}", f"host=in.({quoted},{quoted})", f"or=(host.eq.{quoted},id.eq.0)"):
        assert 1 in ids(rest, query)
    assert rows(ask(rest, "GET", "/contests?id=eq.1&select=host")) == [{"host": text}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(COLUMN, inner, max_size=4),
    max_leaves=8,
)
TARGETS = [
    "",
    "?id=eq.1",
    "?columns=id,title",
    "?on_conflict=url",
    "?select=id,x:title::int&id=gt.1",
    "?id=in.(1,2)&order=id",
]
PREFERS = [BACK, "resolution=merge-duplicates", f"{BACK},missing=default", "return=headers-only,count=exact"]


VIEWED = """
create table pets (id integer primary key, name text not null, kg integer);
insert into pets values (1, 'Rex', 30);
create view dogs as select id as number, name, kg from pets;
create view names as select name from pets;
"""


def test_a_put_on_a_view_goes_by_the_key_that_it_shows(tmp_path: Path) -> None:
    """The view's own name of the key is what counts, in the filter, the body, ``Allow`` and ``Location``."""
    rest = open_rest(tmp_path, VIEWED)
    row = {"number": 2, "name": "Ada", "kg": 9}
    assert ask(rest, "PUT", "/dogs?number=eq.2", row, prefer=BACK).status == 201
    again = ask(rest, "PUT", "/dogs?number=eq.2", {**row, "kg": 10}, prefer=BACK)
    assert (again.status, rows(again)) == (200, [{**row, "kg": 10}])
    assert ask(rest, "PUT", "/dogs?name=eq.Ada", row).status == 405
    assert ask(rest, "PUT", "/names?name=eq.Ada", {"name": "Ada"}).status == 405
    assert rows(ask(rest, "GET", "/pets?select=id,kg&order=id")) == [{"id": 1, "kg": 30}, {"id": 2, "kg": 10}]
    assert "PUT" in (header(ask(rest, "OPTIONS", "/dogs"), "allow") or "")
    made = ask(rest, "POST", "/dogs", {"number": 3, "name": "Bo", "kg": 5}, prefer="return=headers-only")
    assert header(made, "location") == "/dogs?number=eq.3"
    rest.close()


KEYLESS = """
create table pets (id integer primary key autoincrement, name text, kg integer);
insert into pets (name, kg) values ('Rex', 30), ('Tom', 4), ('Kit', 3);
create view "all names" as select all name /* no key */ from pets -- all of them
;
create view light(called, twice, "where") as select p.name, p.kg * 2, kg from pets as p where kg < 10 order by kg;
create view lightest as select called as oid, "where" as rowid from light where "where" < 4;
create view counted as select kg, count(*) as n from pets group by kg;
"""


def test_a_view_that_does_not_show_the_key_takes_writes(tmp_path: Path) -> None:
    """The rows of a simple view are those of its table, through conditions, other names and views of views."""
    rest = open_rest(tmp_path, KEYLESS)
    assert rows(ask(rest, "PATCH", "/all%20names?name=eq.Rex", {"name": "Max"}, prefer=BACK)) == [{"name": "Max"}]
    assert ask(rest, "PATCH", "/light?called=eq.Max", {"where": 1}, prefer=BACK).body == b"[]"
    left = ask(rest, "PATCH", "/light?called=eq.Tom", {"where": 40}, prefer=BACK)
    assert rows(left) == [{"called": "Tom", "twice": 80, "where": 40}]
    assert rows(ask(rest, "GET", "/light")) == [{"called": "Kit", "twice": 6, "where": 3}]
    assert rows(ask(rest, "PATCH", "/lightest?rowid=eq.3", {"oid": "Ada"}, prefer=BACK)) == [{"oid": "Ada", "rowid": 3}]
    assert ask(rest, "POST", "/lightest", {"oid": "Bo", "rowid": 1}).status == 201
    assert rows(ask(rest, "DELETE", "/lightest?oid=eq.Bo", prefer=BACK)) == [{"oid": "Bo", "rowid": 1}]
    assert rows(ask(rest, "PATCH", "/light?called=eq.Ada", {"twice": 1}))["code"] == "0A000"
    assert rows(ask(rest, "PATCH", "/counted?kg=eq.3", {"kg": 1}))["code"] == "55000"
    named = [(row["name"], row["kg"]) for row in rows(ask(rest, "GET", "/pets?order=id"))]
    assert named == [("Max", 30), ("Tom", 40), ("Ada", 3)]
    rest.close()


def test_a_trigger_that_refuses_a_write_is_heard(tmp_path: Path) -> None:
    """What a trigger of the seed raises is the message of the error, not a guess about keys."""
    trigger = "before {0} on t begin select raise(abort, 'no {0} here'); end;"
    script = "create table t (id integer primary key, a int); insert into t values (1, 1);"
    verbs = {"insert": "POST", "update": "PATCH", "delete": "DELETE"}
    rest = open_rest(tmp_path, script + "".join(f"create trigger on_{verb} {trigger.format(verb)}" for verb in verbs))
    for verb, method in verbs.items():
        answer = ask(rest, method, "/t" if method == "POST" else "/t?id=eq.1", {"id": 2, "a": 2})
        assert (answer.status, rows(answer)["code"], rows(answer)["message"]) == (400, "P0001", f"no {verb} here")
    rest.close()


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(["POST", "PATCH", "PUT", "DELETE"]), st.sampled_from(TARGETS), JSON, st.sampled_from(PREFERS))
def test_no_body_makes_the_lab_fail(rest: Rest, method: str, target: str, body: object, prefer: str) -> None:
    """Whatever JSON is sent to whatever target, the answer is a success or a refusal with its reason."""
    answer = ask(rest, method, f"/contests{target}", body, prefer=prefer)
    assert answer.status in (200, 201, 204, 400, 404, 405, 409), answer.body
    assert ask(rest, "GET", "/contests?limit=1").status == 200
