"""Odd requests never break the lab: each gets rows or an error in PostgREST's form, and no word of it becomes SQL."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lab_helpers import ask, open_rest, rows

from supalab.lab.postgrest.http import Answer, Request
from supalab.lab.postgrest.rest import Rest

SCRIPT = """
CREATE TABLE kinds(
  id integer primary key autoincrement, parent_id integer references kinds(id), name text not null default 'new',
  small smallint, big bigint, money numeric(8,2), wide numeric, rate float8, ok boolean, tag varchar(5), code char(3),
  meta jsonb, raw json, words text[], numbers integer[], made timestamptz, local timestamp, day date, at time,
  key uuid unique, file bytea, loud text generated always as (upper(name)) stored, check (length(name) < 500)
);
CREATE TABLE labels(id serial primary key, label text unique);
CREATE TABLE kinds_labels(
  kind_id integer references kinds(id), label_id integer references labels(id), primary key (kind_id, label_id)
);
CREATE TABLE notes(
  id serial primary key, kind_id integer references kinds(id) on delete cascade, body text, "odd name" text
);
CREATE TABLE contests(id integer primary key, title text, prize integer, category text, status text default 'open');
CREATE VIEW okay AS SELECT id, name, ok, meta, parent_id FROM kinds WHERE name <> 'hidden';
INSERT INTO kinds(parent_id, name, small, big, money, wide, rate, ok, tag, code, meta, raw, words, numbers, made, local,
  day, at, key, file) VALUES
  (NULL, 'root', 1, 9007199254740993, '1.50', '0.25', 0.5, true, 'a', 'abc', '{"a": {"b": [1, "x", null]}}', '[1, 2]',
   '{a,"b c"}', '{1,2}', '2026-01-02 03:04:05+01', '2026-01-02 03:04:05', '2026-01-02', '03:04',
   '11111111-2222-3333-4444-555555555555', '\\x00ff'),
  (1, 'leaf', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
   NULL);
INSERT INTO labels(label) VALUES ('red'), ('blue');
INSERT INTO kinds_labels VALUES (1, 1), (1, 2), (2, 1);
INSERT INTO notes(kind_id, body) VALUES (1, 'first'), (1, 'second'), (2, NULL);
INSERT INTO contests(id, title, prize, category) VALUES (1, 'one', 100, 'nlp'), (2, 'two', NULL, NULL);
"""


def words(*lines: str) -> list[str]:
    """Return the words of some lines."""
    return " ".join(lines).split()


MARK = "zqx"  # stands in no name and no value of the seed, so that the words of a request can be told in SQL
COLUMNS = words(
    "id parent_id name small big money wide rate ok tag code meta raw words numbers made local day at key file loud",
    "body label kind_id label_id title prize",
)
TABLES = ("kinds", "labels", "kinds_labels", "notes", "contests", "okay")
CALLS = ("top_contests", "count_by_status", "total_prize")
OPERATORS = words(
    "eq neq gt gte lt lte like ilike match imatch in is isdistinct cs cd ov sl sr nxr nxl adj fts plfts phfts wfts",
    "eq(any) eq(all) like(any) fts(english) nope",
)
TYPES = words(
    "text integer bigint smallint numeric float8 boolean date timestamptz timestamp time uuid bytea json jsonb"
)
VALUES = (
    *("1", "-1", "0", "1e400", "NaN", "infinity", "null", "true", "99999999999999999999", "0.1", "*", "%", "\\", '"'),
    *("{}", "{1,2}", '{a,"b}', "{{1}}", "(1,2)", '("a,b",c)', "()", '{"a":1}', "[1]", '"\\ud800"', "[[[", "a & b"),
    *("2026-01-02", "2026-13-40", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "24:00", "now", "(a+)+$"),
    *("11111111-2222-3333-4444-555555555555", "\\x0g", "\\x00", "\0", "'; DROP TABLE kinds; --", "[", "(?", "a|b"),
)

marked = st.integers(0, 99).map(lambda number: f"{MARK}{number}")
odd_text = st.one_of(marked, st.text(max_size=12), st.builds("{}{}".format, marked, st.sampled_from(VALUES)))
column = st.one_of(
    st.sampled_from(COLUMNS), st.sampled_from(COLUMNS), marked, st.sampled_from(['"odd name"', "*", "count"])
)
path = st.sampled_from(["", "", "", "->a", "->a->>b", "->0", "->-1", "->>a", "->>a->b", f"->{MARK}", "->a->b->1"])
field = st.builds("{}{}".format, column, path)
value = st.one_of(st.sampled_from(VALUES), st.sampled_from(VALUES), odd_text)
test = st.builds("{}{}.{}".format, st.sampled_from(["", "", "not."]), st.sampled_from(OPERATORS), value)
condition = st.recursive(
    st.builds("{}.{}".format, field, test),
    lambda inner: st.builds(
        "{}({})".format, st.sampled_from(["and", "or", "not.and"]), st.lists(inner, max_size=3).map(",".join)
    ),
    max_leaves=4,
)
item = st.builds(
    "{}{}{}".format,
    st.one_of(st.just(""), st.just(""), marked.map(lambda name: f"{name}:")),
    field,
    st.one_of(
        st.just(""), st.sampled_from(TYPES).map(lambda name: f"::{name}"), st.just(f"::{MARK}"), st.just(".sum()")
    ),
)
related = st.one_of(st.sampled_from(TABLES), st.sampled_from(["parent_id", "kind_id", "kinds_parent_id_fkey"]), marked)
select = st.recursive(
    st.lists(item, max_size=3).map(",".join),
    lambda inner: (
        st.builds(
            "{}{}{}({})".format,
            st.one_of(st.just(""), st.just("..."), marked.map(lambda name: f"{name}:")),
            related,
            st.one_of(st.sampled_from(["", "", "!inner", "!left", "!parent_id", f"!{MARK}"])),
            inner,
        )
        | st.lists(inner, min_size=1, max_size=3).map(",".join)
    ),
    max_leaves=4,
)
term = st.builds("{}{}".format, field, st.sampled_from(["", ".asc", ".desc", ".desc.nullslast", ".nullsfirst", ".up"]))
sort = st.one_of(st.lists(term, min_size=1, max_size=3).map(",".join), st.builds("{}({})".format, related, field))
below = st.one_of(st.just(""), st.just(""), related.map(lambda name: f"{name}."))
number = st.one_of(st.integers(-2, 5).map(str), st.sampled_from(["9" * 18, "9" * 30, "x", "", " 1 "]))
parameter = st.one_of(
    st.tuples(st.just("select"), select),
    st.tuples(st.builds("{}{}".format, below, field), test),
    st.tuples(st.builds("{}{}".format, below, field), test),
    st.tuples(st.builds("{}{}".format, below, st.just("order")), sort),
    st.tuples(st.builds("{}{}".format, below, st.sampled_from(["limit", "offset"])), number),
    st.tuples(
        st.builds("{}{}".format, below, st.sampled_from(["or", "and", "not.or"])),
        st.lists(condition, max_size=3).map(lambda several: f"({','.join(several)})"),
    ),
    st.tuples(st.sampled_from(["columns", "on_conflict"]), st.lists(column, max_size=3).map(",".join)),
    st.tuples(st.sampled_from(["how_many", "of_category"]), value),
    st.tuples(odd_text, odd_text),
)


# Most odd requests are refused before SQL is made of them; these fit the table "kinds", so that it is.
sound = st.one_of(
    st.tuples(
        st.sampled_from(["name", "loud", "meta->>a", f"meta->>{MARK}", "raw->>a", "file"]),
        st.builds(
            "{}{}.{}".format,
            st.sampled_from(["", "not."]),
            st.sampled_from(["eq", "neq", "gt", "isdistinct"]),
            odd_text,
        ),
    ),
    st.tuples(
        st.sampled_from(["name", "loud", "labels.label", "notes.body", "parent.name"]),
        st.builds("{}.{}".format, st.sampled_from(["like", "ilike", "match", "plfts", "wfts", "in"]), marked).map(
            lambda text: text.replace("in.", "in.(a,") + ")" if text.startswith("in.") else text
        ),
    ),
    st.tuples(st.just("words"), st.builds("{}.{{{}}}".format, st.sampled_from(["cs", "cd", "ov", "eq"]), marked)),
    st.tuples(st.just("meta"), marked.map(lambda text: f'cs.{{"{text}": 1}}')),
    st.tuples(st.just("or"), marked.map(lambda text: f"(name.eq.{text},and(id.gt.0,meta->{text}.is.null))")),
    st.tuples(st.just("order"), marked.map(lambda text: f"meta->{text}.desc,name")),
    st.tuples(st.just("notes.order"), st.just("body.desc.nullslast,id")),
)
sound_select = st.builds(
    "{0}:name,meta->{0},{0}x:raw->>a,{1}labels(label),notes({0}:body),parent:parent_id({0}:name)".format,
    marked,
    marked.map(lambda name: f"{name}:") | st.just(""),
)
sound_parameters = st.builds(
    lambda items, others: [("select", items), *others],
    sound_select,
    st.lists(sound, max_size=3),
)


def encoded(pairs: Sequence[tuple[str, str]]) -> str:
    """Write parameters as they stand in a URL."""
    return "&".join(f"{quote(name)}={quote(text)}" for name, text in pairs)


raw_query = st.one_of(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
    st.binary(max_size=8).map(lambda data: f"name=eq.{quote(data)}"),
)
query = st.one_of(*[st.lists(parameter, max_size=3).map(encoded)] * 4, raw_query)
place = st.one_of(
    *[st.sampled_from(TABLES).map(lambda name: f"/{name}")] * 6,
    st.sampled_from(CALLS).map(lambda name: f"/rpc/{name}"),
    st.sampled_from(["/", "", "//", "/rpc", "/rpc/", "/kinds/1", "/%ff", "/%00", "/sqlite_master", "/%22kinds%22"]),
    odd_text.map(lambda text: f"/{quote(text)}"),
    marked.map(lambda text: f"/rpc/{text}"),
)
method = st.sampled_from(
    ["GET"] * 6 + ["POST"] * 3 + ["PATCH", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "ZQX"]
)
wire_text = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20)
accept = st.sampled_from(
    words(
        "*/* application/json text/csv application/vnd.pgrst.object+json application/geo+json text/plain a/b;q=0",
        "application/vnd.pgrst.array+json;nulls=stripped application/vnd.pgrst.object+json;nulls=stripped",
        f"application/vnd.pgrst.plan+json application/octet-stream text/csv,*/*;q=9 {MARK}/* ;",
    )
)
preference = st.sampled_from(
    words(
        "return=representation return=minimal return=headers-only count=exact count=planned count=estimated",
        "resolution=merge-duplicates resolution=ignore-duplicates missing=default handling=strict handling=lenient",
        f"tx=rollback max-affected=1 max-affected=x timezone=Europe/Berlin timezone=../../etc timezone={MARK} {MARK}",
    )
)
ranges = st.sampled_from(["0-0", "0-", "5-2", "-1", "9-9", "x", "0-999999999999999999", "9" * 40 + "-"])
content = st.sampled_from(
    words(
        "application/json application/json text/csv application/x-www-form-urlencoded text/plain x ; application/zqx",
        "application/json;charset=latin-1 application/vnd.pgrst.array+json",
    )
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "accept": accept | wire_text,
        "prefer": st.lists(preference, max_size=4).map(", ".join) | wire_text,
        "range": ranges | wire_text,
        "content-type": content | wire_text,
        "accept-profile": st.sampled_from(["public", MARK]),
    },
)
json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | value,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_text, inner, max_size=3),
    max_leaves=5,
)
row = st.dictionaries(column, json_value, max_size=4)
payload: st.SearchStrategy[Any] = st.one_of(row, row, st.lists(row, max_size=3), json_value)
body = st.one_of(
    payload.map(json.dumps).map(str.encode),
    payload.map(json.dumps).map(str.encode),
    st.lists(st.lists(value, min_size=1, max_size=3), min_size=1, max_size=3).map(
        lambda lines: "\n".join(",".join(line) for line in lines).encode()
    ),
    st.sampled_from([b"", b"id,name\n1,a\n", b"name\n" + MARK.encode() + b"\n", b'{"name":"\\ud800"}', b"[" * 5000]),
    st.sampled_from(
        [b'{"id":1e999}', b'{"name":"\\u0000"}', b'{"big":' + b"9" * 5000 + b"}", b"id=1&name=zqx", b"[1]"]
    ),
    st.binary(max_size=20),
)
bounded = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


class Watched:
    """A lab whose statements are kept: the SQL, and what it binds."""

    def __init__(self, rest: Rest) -> None:
        self.rest, self.statements = rest, list[tuple[str, Mapping[str, object] | Sequence[object]]]()
        self._rows = rest.store.rows
        rest.store.rows = self.rows  # type: ignore[method-assign]

    def rows(self, sql: str, values: Mapping[str, object] | Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Keep a statement and run it."""
        self.statements.append((sql, values))
        return self._rows(sql, values)

    def check(self, request: Request, caplog: pytest.LogCaptureFixture) -> Answer:
        """Send a request; what holds for the answer to any request is asserted."""
        self.statements.clear()
        caplog.clear()
        answer = self.rest.answer(request)
        assert not caplog.records, caplog.text
        assert 200 <= answer.status < 600
        assert not [sql for sql, _ in self.statements if MARK in sql.lower()]
        if request.method == "HEAD":
            assert answer.body == b""
        elif answer.status >= 400:
            error = json.loads(answer.body)
            assert error.keys() == {"code", "message", "details", "hint"}
            assert error["code"] != "XX000"
            # PostgREST itself answers 500 for these classes of PostgreSQL's errors, and for no other.
            assert answer.status < 500 or error["code"][:2] in ("21", "25", "54", "55", "57"), error
        elif any("json" in text for name, text in answer.headers if name == "Content-Type"):
            json.loads(answer.body, parse_constant=not_json)
        plain = ask(self.rest, "GET", "/labels?select=label&label=eq.red&limit=1", prefer="count=exact")
        assert (plain.status, rows(plain)) == (200, [{"label": "red"}])
        return answer


def not_json(word: str) -> NoReturn:
    """NaN and infinity are no JSON, though Python reads them."""
    raise AssertionError(f"{word} in JSON")


@pytest.fixture
def watched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Watched]:
    """A lab over tables with all types and all kinds of relations, and a view."""
    caplog.set_level(logging.WARNING)
    opened = open_rest(tmp_path, SCRIPT, max_rows=20)
    yield Watched(opened)
    opened.close()


def test_reads_of_any_form_are_answered(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """Each read has an answer, and no word of it becomes SQL; both rows and refusals occur."""
    seen = set[int]()

    @settings(bounded, max_examples=500)
    @given(st.sampled_from(["GET", "GET", "GET", "HEAD"]), place, query, headers)
    def reads(verb: str, where: str, asked: str, sent: dict[str, str]) -> None:
        seen.add(watched.check(Request(verb, where, asked, sent), caplog).status)

    reads()
    assert {200, 400, 404, 406} <= seen


def test_reads_that_fit_bind_all_their_words(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """Values, aliases and keys of JSON in reads that SQL is made of are bound, never part of the SQL."""
    seen, bound = list[int](), 0

    @settings(bounded, max_examples=250)
    @given(sound_parameters)
    def reads(pairs: list[tuple[str, str]]) -> None:
        nonlocal bound
        seen.append(watched.check(Request("GET", "/kinds", encoded(pairs), {}), caplog).status)
        bound += any(MARK in repr(values) for _, values in watched.statements)

    reads()
    assert seen.count(200) > len(seen) / 2
    assert bound >= seen.count(200)


def test_requests_of_any_method_with_any_body_are_answered(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """Writes and calls too: whatever the body and its type say, the lab answers and goes on."""
    seen = set[tuple[str, int]]()

    @settings(bounded, max_examples=500)
    @given(method, place, query, headers, body)
    def requests(verb: str, where: str, asked: str, sent: dict[str, str], data: bytes) -> None:
        ask(watched.rest, "POST", "/labels?on_conflict=label", {"label": "red"}, prefer="resolution=ignore-duplicates")
        # The row of the plain read stays: only a write to its table could take it away.
        verb = "GET" if where == "/labels" and verb in ("PATCH", "DELETE") else verb
        answer = watched.check(Request(verb, where, asked, sent, data), caplog)
        seen.add((verb, answer.status))

    requests()
    assert {"GET", "POST", "PATCH", "PUT", "DELETE"} <= {verb for verb, status in seen if status >= 400}
    assert ("POST", 201) in seen


def test_values_of_any_kind_are_written_or_refused(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """One column, one value of JSON: it is stored and given back, or PostgreSQL's error says why not."""
    seen = set[int]()

    @settings(bounded, max_examples=500)
    @given(st.sampled_from(COLUMNS[1:22]), json_value, st.sampled_from(["", ", missing=default"]))
    def writes(name: str, wanted: object, more: str) -> None:
        sent = {"prefer": f"return=representation{more}", "accept": "application/json"}
        data = json.dumps({name: wanted}).encode()
        asked = f"select={name}" + ("&columns=" + name if more else "")
        answer = watched.check(Request("POST", "/kinds", asked, sent, data), caplog)
        seen.add(answer.status)
        if answer.status == 201:
            assert [row.keys() for row in rows(answer)] == [{name}]

    writes()
    assert {201, 400} <= seen
