"""Arguments become requests, responses become rows or errors; nothing is sent in these tests."""

from __future__ import annotations

from collections import ChainMap, OrderedDict, UserDict, UserList, deque
from datetime import date
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supalab import filters as f
from supalab import replies, wire
from supalab.errors import ApiError, BadResponse, SettingsError
from supalab.query_values import RESERVED
from supalab.replies import Reply

#: What no table or function can be called: it would lead to another address, however it is encoded.
BAD_PATHS = [".", "..", "../auth/v1/admin", "a/b", "a\\b", "http://evil/x", "a%2fb", "%2e%2E"]
#: What nothing can be called.
NO_NAMES = ["", "x" * 64, "a\0b", "a\ud800"]


def asked(call: wire.Call) -> list[tuple[str, str]]:
    """The parameters as a server decodes them."""
    return parse_qsl(urlsplit(call.target).query, keep_blank_values=True)


@pytest.mark.parametrize(
    ("condition", "written"),
    [
        (7, "eq.7"),
        ("kaggle", "eq.kaggle"),
        ("a,b(c)", "eq.a,b(c)"),
        (True, "eq.true"),
        (None, "is.null"),
        (date(2026, 1, 2), "eq.2026-01-02"),
        (Decimal("1.50"), "eq.1.50"),
        (f.neq("x"), "neq.x"),
        (f.gt(1), "gt.1"),
        (f.gte(1), "gte.1"),
        (f.lt(1), "lt.1"),
        (f.lte(1.5), "lte.1.5"),
        (f.like("Win*"), "like.Win*"),
        (f.ilike("%cup"), "ilike.%cup"),
        (f.match("^a"), "match.^a"),
        (f.imatch("^a"), "imatch.^a"),
        (f.is_(False), "is.false"),
        (f.is_("unknown"), "is.unknown"),
        (f.distinct_from(3), "isdistinct.3"),
        (f.in_([1, "a,b", 'say "hi"', "back\\slash"]), 'in.(1,"a,b","say \\"hi\\"","back\\\\slash")'),
        (f.in_([]), "in.()"),
        (f.contains(["a", "b"]), 'cs.{"a","b"}'),
        (f.contains({"a": 1}), 'cs.{"a": 1}'),
        (f.contained_by(["a"]), 'cd.{"a"}'),
        (f.overlaps(["a"]), 'ov.{"a"}'),
        (f.text_search("fat cat", config="english", kind="w"), "wfts(english).fat cat"),
        (~f.eq(7), "not.eq.7"),
        (~~f.eq(7), "eq.7"),
    ],
)
def test_a_condition_is_written_in_postgrests_words(condition: Any, written: str) -> None:
    """Every operator has a function, a plain value means equal, and ~ negates."""
    assert asked(wire.select("contests", filters={"id": condition}))[1:] == [("id", written)]


def test_several_conditions_on_one_column_are_all_sent() -> None:
    """A list of filters means all of them."""
    call = wire.select("contests", filters={"prize": [f.gt(500), f.lte(15000)], "host": "zindi"})
    assert asked(call)[1:] == [("prize", "gt.500"), ("prize", "lte.15000"), ("host", "eq.zindi")]


def test_groups_nest_and_quote_their_values() -> None:
    """Inside a group commas and brackets mean something, so every text stands in quotes; words and lists do not."""
    group = f.any_of({"title": "a,b", "id": f.gt(3)}, {"host": None}, ~f.all_of({"id": f.in_([1, 2])}))
    assert asked(wire.select("contests", filters=group))[1:] == [
        ("or", '(and(title.eq."a,b",id.gt."3"),host.is.null,not.and(id.in.(1,2)))')
    ]
    assert asked(wire.select("contests", filters=[{"id": 1}, ~f.any_of({"id": 2})]))[1:] == [
        ("id", "eq.1"),
        ("not.or", '(id.eq."2")'),
    ]


def nested() -> list[Any]:
    """A list that holds itself."""
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    "filters",
    [
        {"id": object()},
        {"id": [1, 2]},
        {"id": []},
        {"id": ()},
        {"host": "kaggle", "id": []},
        [{"host": "kaggle"}, {"id": []}],
        {"id": b""},
        {"id": b"12"},
        {"id": {}},
        {"id": {1}},
        b"",
        "",
        0,
        {"id": float("nan")},
        {"id": "a\0b"},
        {"a.": 1},
        {".or": 1},
        {"a..b": 1},
        {"a->": 1},
        {'"a"b': 1},
        {"": 1},
        {5: 1},
        nested(),
        "id=eq.1",
        {"id": f.eq},
    ],
)
def test_what_cannot_be_a_filter_is_refused(filters: Any) -> None:
    """Nothing is guessed and nothing is sent: the message names the value."""
    for make in (wire.select, wire.delete, partial(wire.update, values={"a": 1})):
        with pytest.raises(SettingsError):
            make("contests", filters=filters)


def test_groups_of_any_depth_are_written_or_refused() -> None:
    """Deeper than Python's stack: a SettingsError, when the request is made."""
    group = f.any_of({"a": 1})
    for number in range(5000):
        group = f.all_of(group) if number % 2 else f.any_of(group)
    with pytest.raises(SettingsError, match="nested too deeply"):
        wire.select("t", filters=group)
    assert asked(wire.select("t", filters=f.any_of(f.all_of({"o.a": 1}))))[1:] == [("o.or", '(and(a.eq."1"))')]


def test_nothing_in_a_list_of_filters_asks_for_nothing() -> None:
    """All parts of a list must fit, so an empty part takes no row away and adds none."""
    assert asked(wire.select("t", filters=[{}, {"id": 1}])) == [("select", "*"), ("id", "eq.1")]
    assert f.all_of({}, {"id": 1}) == f.all_of({"id": 1})


@pytest.mark.parametrize(
    "make",
    [
        lambda: f.in_("abc"),
        lambda: f.Filter("eq", 5),
        lambda: f.is_("maybe"),
        f.any_of,
        lambda: f.any_of({}, {"id": 1}),
        lambda: f.any_of({"id": 1}, {}),
        lambda: f.any_of({"id": 1}, {"id": []}),
        lambda: f.all_of({}),
        lambda: f.in_(5),
        lambda: f.in_(b"ab"),
        lambda: f.in_({"id": 1}),
        lambda: f.contains(5),
        lambda: f.contains(b"ab"),
        lambda: f.contains({"a": object()}),
        lambda: f.contains({"a": float("nan")}),
        lambda: f.overlaps(5),
        lambda: f.any_value(f.eq, 5),
        lambda: f.any_value("like", ["a"]),
        lambda: f.any_value(str, ["a"]),
        lambda: f.every_value(f.eq, b"ab"),
        lambda: f.text_search("a", config=5),
        lambda: f.text_search("a", kind="x"),
        lambda: f.literally(None),
        lambda: f.text_search("a", config="a)b"),
    ],
)
def test_filters_that_make_no_sense_are_refused_when_made(make: Any) -> None:
    """The mistake is shown at its own line."""
    with pytest.raises(SettingsError):
        make()


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_arrives_as_it_was(text: str) -> None:
    """Whatever a value holds, the server decodes that value and no other parameter."""
    assert asked(wire.select("t", filters={"a": f.eq(text)})) == [("select", "*"), ("a", f"eq.{text}")]


@pytest.mark.parametrize("name", BAD_PATHS + NO_NAMES)
def test_a_name_cannot_lead_to_another_path(name: str) -> None:
    """Tables and functions are names, never addresses; the message says which argument is wrong."""
    for make in (
        lambda: wire.select(name),
        lambda: wire.insert(name, {}),
        lambda: wire.update(name, {}, filters={"id": 1}),
        lambda: wire.delete(name, filters={"id": 1}),
        lambda: wire.call_function(name),
    ):
        with pytest.raises(SettingsError, match="name"):
            make()


@pytest.mark.parametrize("name", [*NO_NAMES, 5, None])
def test_what_cannot_be_a_name_is_refused_everywhere(name: Any) -> None:
    """Empty, too long, not storable, or no text at all."""
    for make in (
        lambda: wire.select("t", filters={name: 1}),
        lambda: wire.select("t", filters=f.any_of({name: 1}, {"id": 1})),
        lambda: wire.select("t", order=[name]),
        lambda: wire.select("t", columns=[name]),
        lambda: wire.insert("t", {}, on_conflict=[name]),
        lambda: wire.insert("t", [{name: 1}, {"id": 1}]),
        lambda: wire.select("t", embedded={name: {"limit": 1}}),
    ):
        with pytest.raises(SettingsError):
            make()


ODD_NAMES = [
    "First Name",
    "first-name",
    "2024",
    "R&D",
    "% done",
    "a+b",
    "né?",
    "\U0001f642",
    "नाम",
    "ที่",
    'a"b',
    "a;b#c",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_quoted_wherever_it_stands(name: str) -> None:
    """Tables, functions, columns, filters, groups, orders, conflicts and rows that differ in their keys."""
    quoted = f.quoted(name)
    call = wire.select(name, columns=["id", quoted], filters={name: 1}, order=f"{quoted}.desc,id", limit=1)
    assert unquote(urlsplit(call.target).path) == f"/{name}"
    assert asked(call) == [
        ("select", f"id,{quoted}"),
        (quoted, "eq.1"),
        ("order", f"{quoted}.desc,id"),
        ("limit", "1"),
    ]
    assert asked(wire.select("t", filters=f.any_of({name: 1}, {"id": 2})))[1] == ("or", f'({quoted}.eq."1",id.eq."2")')
    assert asked(wire.select("t", filters={quoted: 1}))[1] == (quoted, "eq.1")
    assert asked(wire.select("t", filters={f"data->>{name}": 1}))[1] == (
        f"data->>{name if name.isdigit() else quoted}",
        "eq.1",
    )
    assert asked(wire.insert("t", {}, on_conflict=[name]))[1] == ("on_conflict", quoted)
    assert asked(wire.insert("t", [{name: 1}, {"id": 1}], return_="minimal")) == [("columns", f"{quoted},id")]
    assert unquote(wire.call_function(name).target) == f"/rpc/{name}"


@pytest.mark.parametrize("name", [name for name in ODD_NAMES if '"' not in name])
def test_an_odd_name_needs_no_quotes_by_hand(name: str) -> None:
    """In texts with commas too, as long as the name holds nothing of the grammar itself."""
    quoted = f.quoted(name)
    assert asked(wire.select("t", columns=f"id, {name}", order=f"id,{name}.desc")) == [
        ("select", f"id,{quoted}"),
        ("order", f"id,{quoted}.desc"),
    ]
    assert asked(wire.insert("t", {}, on_conflict=f"id, {name}"))[1] == ("on_conflict", f"id,{quoted}")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=63))
@example("a.b")
@example("a->>b")
@example('"a"')
@example("a\\")
def test_any_name_can_be_written(name: str) -> None:
    """In quotes a name stands for itself, so nothing in it reaches the grammar around it."""
    inside = f.quoted(name)
    call = wire.select("t", columns=[inside, "id"], filters={inside: 1, f"owners.{inside}": 2}, order=f"{inside}.asc")
    assert asked(call) == [
        ("select", f"{inside},id"),
        (inside, "eq.1"),
        (f"owners.{inside}", "eq.2"),
        ("order", f"{inside}.asc"),
    ]
    columns = asked(wire.insert("t", [{name: 1}, {}], return_="minimal"))
    assert columns in ([("columns", name)], [("columns", inside)])


@pytest.mark.parametrize(
    ("columns", "written"),
    [
        ("id,n:title::text,data->>k,org(name)", "id,n:title::text,data->>k,org(name)"),
        ("*, owners ( name , *)", "*,owners(name,*)"),
        ("...owners!inner(First Name)", '...owners!inner("First Name")'),
        ("owner:people!fk-1!left(id)", 'owner:people!"fk-1"!left(id)'),
        ("count(),total:prize.sum()::int", "count(),total:prize.sum()::int"),
        ("Full Name:name,data->0->>@type", '"Full Name":name,data->0->>"@type"'),
        (["id", "R&D"], 'id,"R&D"'),
        ('"a,b"', '"a,b"'),
        ("id;drop", '"id;drop"'),
        ("id&a=1", '"id&a=1"'),
        ("id'", '"id\'"'),
        ("a\\b", '"a\\\\b"'),
        (["id", "a/b"], 'id,"a/b"'),
    ],
)
def test_columns_keep_the_select_grammar_and_quote_the_rest(columns: Any, written: str) -> None:
    """Alias, cast, arrows, hints, aggregates and embedding stay; a name that is not plain is quoted."""
    assert asked(wire.select("t", columns=columns)) == [("select", written)]


@pytest.mark.parametrize("columns", ["", [], "owners.name", 'a"b', '"a', "a::text[]::", ["", "id"], "a.max"])
def test_columns_that_are_no_grammar_are_refused(columns: Any) -> None:
    """The message names the argument, the place and the cure."""
    with pytest.raises(SettingsError, match="columns"):
        wire.select("t", columns=columns)


@pytest.mark.parametrize("order", ["id.down", "id desc", ["prize.desc; drop"]])
def test_an_order_has_only_known_words(order: Any) -> None:
    """Direction and the place of NULLs, nothing else; the message shows how a direction is written."""
    assert asked(wire.select("t", order="prize.desc.nullslast, id"))[1] == ("order", "prize.desc.nullslast,id")
    with pytest.raises(SettingsError, match="such as 'prize.desc,id'"):
        wire.select("t", order=order)


@pytest.mark.parametrize("bad", [-1, 1.5, True, "3"])
def test_limit_and_offset_are_whole_numbers(bad: Any) -> None:
    """A page is counted in rows."""
    for name in ("limit", "offset"):
        with pytest.raises(SettingsError, match=name):
            wire.select("t", **{name: bad})


def test_writes_carry_json_and_their_wishes() -> None:
    """Insert, upsert, update and delete differ in method, Prefer header and parameters."""
    new = wire.insert("t", {"a": "ü"})
    assert (new.method, new.body, new.headers["Prefer"]) == ("POST", '{"a": "ü"}'.encode(), "return=representation")
    mixed = wire.insert("t", [{"a": 1}, {"b": 2}], return_="minimal")
    assert asked(mixed) == [("columns", "a,b")]
    assert mixed.headers["Prefer"] == "return=minimal,missing=default"
    up = wire.insert("t", [{"a": 1}], on_conflict="a", resolution="merge-duplicates")
    assert asked(up) == [("select", "*"), ("on_conflict", "a")]
    assert up.headers["Prefer"] == "return=representation,resolution=merge-duplicates"
    assert wire.update("t", {"a": 1}, filters={"id": 1}).method == "PATCH"
    assert wire.delete("t", filters={"id": 1}, return_="minimal").headers == {"Prefer": "return=minimal"}
    assert wire.call_function("f", {"n": 1}).target == "/rpc/f"


@pytest.mark.parametrize("name", [*sorted(RESERVED), "Order"])
def test_a_column_may_be_called_like_a_parameter(name: str) -> None:
    """Its condition is written inside a group, where the name is a column's, and replaces no parameter."""
    written = [("and", f'({name}.eq."x)")')]
    assert asked(wire.select("t", filters={name: "x)"}, order="id", limit=1)) == [
        ("select", "*"),
        *written,
        ("order", "id"),
        ("limit", "1"),
    ]
    assert asked(wire.update("t", {"a": 1}, filters={name: "x)"}, return_="minimal")) == written
    assert asked(wire.delete("t", filters={name: "x)"}, return_="minimal")) == written
    assert asked(wire.delete("t", filters={name: ~f.in_([1])}, return_="minimal")) == [("and", f"({name}.not.in.(1))")]
    assert asked(wire.delete("t", filters={f"{name}->>a": 1}, return_="minimal")) == [(f"{name}->>a", "eq.1")]


@pytest.mark.parametrize("bad", [5, None, True, {"id": 1}, [1], ["id", None], b"id", [b"id"], object()])
def test_names_are_text_or_a_list_of_texts(bad: Any) -> None:
    """Columns, an order and the columns of a conflict: anything else is an error of ours, never a TypeError."""
    calls = [
        lambda: wire.select("t", columns=bad),
        lambda: wire.insert("t", {}, columns=bad),
        lambda: wire.update("t", {}, filters={"id": 1}, columns=bad),
        lambda: wire.delete("t", filters={"id": 1}, columns=bad),
    ]
    if bad is not None:  # which means that there is none
        calls += [lambda: wire.select("t", order=bad), lambda: wire.insert("t", {}, on_conflict=bad)]
    for call in calls:
        with pytest.raises(SettingsError, match="a list of texts|not a column name"):
            call()


def test_any_list_of_names_will_do() -> None:
    """The keys of a mapping, a tuple, a generator; nothing in it means no order and no conflict."""
    row = {"id": 1, "title": "a"}
    for columns in (row.keys(), ("id", "title"), (name for name in row), "id,title"):
        assert asked(wire.select("t", columns=columns)) == [("select", "id,title")]  # type: ignore[arg-type]
    for nothing in (None, "", [], ()):
        assert asked(wire.select("t", order=nothing)) == [("select", "*")]
        assert asked(wire.insert("t", {}, on_conflict=nothing)) == [("select", "*")]


@pytest.mark.parametrize("bad", ["exact\r\nX: y", "bogus", "", 0, False, 5, ["exact"], "Exact", "minimal,count=exact"])
def test_wishes_are_words_that_the_server_knows(bad: Any) -> None:
    """They stand in a header, which no line break may end and no comma may lengthen."""
    for call in (
        lambda: wire.select("t", count=bad),
        lambda: wire.insert("t", {}, return_=bad),
        lambda: wire.insert("t", {}, resolution=bad),
        lambda: wire.update("t", {}, filters={"id": 1}, return_=bad),
        lambda: wire.delete("t", filters={"id": 1}, return_=bad),
    ):
        with pytest.raises(SettingsError, match="use one of"):
            call()


@pytest.mark.parametrize("row", [MappingProxyType({"a": 1}), UserDict(a=1), ChainMap({"a": 1}), OrderedDict(a=1)])
def test_any_mapping_is_a_row(row: Any) -> None:
    """A column's value and what a column contains may be one too; many rows may be any kind of list."""
    assert wire.insert("t", row).body == wire.update("t", row, filters={"id": 1}).body == b'{"a": 1}'
    for rows in ([row], (row,), deque([row]), UserList([row])):
        assert wire.insert("t", rows).body == b'[{"a": 1}]'
    assert wire.insert("t", {"j": deque([row])}).body == b'{"j": [{"a": 1}]}'
    assert f.contains(row).operand == '{"a": 1}'


@pytest.mark.parametrize("bad", [[1], [{"id": 1}, 5], [None], 5, None, "", b"", "row", b"row", [["id", 1]], {1}])
def test_rows_and_arguments_are_mappings(bad: Any) -> None:
    """One row or a list of them to insert, one to update with, and arguments by name."""
    with pytest.raises(SettingsError, match="list of rows"):
        wire.insert("t", bad)
    with pytest.raises(SettingsError, match="mapping"):
        wire.update("t", bad, filters={"id": 1})
    if bad is not None:  # which means that there are none
        with pytest.raises(SettingsError, match="mapping"):
            wire.call_function("f", bad)


@pytest.mark.parametrize("number", [10**5000, -(10**5000)], ids=["large", "small"])
def test_a_number_without_end_is_refused(number: int) -> None:
    """Python itself will not write it."""
    for call in (
        lambda: wire.select("t", limit=abs(number)),
        lambda: wire.select("t", filters={"id": number}),
        lambda: f.in_([number]),
        lambda: wire.insert("t", {"id": number}),
    ):
        with pytest.raises(SettingsError):
            call()


@pytest.mark.parametrize("filters", [None, {}, [], [{}], [[], {}]])
def test_no_write_reaches_every_row_by_accident(filters: Any) -> None:
    """Update and delete without a condition are refused before they are sent."""
    for make in (lambda: wire.update("t", {"a": 1}, filters=filters), lambda: wire.delete("t", filters=filters)):
        with pytest.raises(SettingsError, match="every row"):
            make()


@pytest.mark.parametrize("row", [{"a": float("nan")}, {"a": object()}, {"a": {1, 2}}])
def test_a_row_must_be_json(row: Any) -> None:
    """NaN and Python's own objects have no place in JSON; dates and decimals are written as text."""
    assert wire.insert("t", {"a": date(2026, 1, 2)}).body == b'{"a": "2026-01-02"}'
    with pytest.raises(SettingsError):
        wire.insert("t", row)


def ok(body: bytes, total: str = "", status: int = 200) -> Reply:
    return Reply(status, {"content-range": f"0-0/{total}"} if total else {}, body)


def test_rows_know_the_total_and_whether_they_were_cut() -> None:
    """If the total is known, a server that silently sends fewer rows is detected."""
    everything = wire.select("t", count="exact")
    assert replies.rows(everything, ok(b'[{"a":1}]')).truncated is None
    cut = replies.rows(everything, ok(b'[{"a":1}]', "3"))
    assert (cut, cut.total, cut.truncated) == ([{"a": 1}], 3, True)
    page = replies.rows(wire.select("t", count="exact", limit=1), ok(b'[{"a":1}]', "3"))
    assert (page.total, page.truncated) == (3, False)
    last = replies.rows(wire.select("t", count="exact", offset=2, limit=5), ok(b'[{"a":1}]', "3"))
    assert last.truncated is False
    assert replies.rows(wire.select("t", count="exact", head=True), ok(b"", "3")).total == 3
    assert replies.rows(everything, ok(b"[]", "*")).total is None


@pytest.mark.parametrize("body", [b"{not json", b"[" * 100_000, b"\xff\xfe", b"7", b'"text"'])
def test_an_answer_outside_the_dialect_is_named_as_such(body: bytes) -> None:
    """Broken or unexpected JSON with status 200 is an error, not data."""
    with pytest.raises(BadResponse):
        replies.rows(wire.select("t"), ok(body))


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"code":"42P01","message":"no such table","details":null,"hint":"look"}', "no such table", "42P01"),
        (b'{"message":"No API key found in request"}', "No API key found in request", None),
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>", None),
        (b'"just text"', "just text", None),
        (b"", "the server gave no reason", None),
        (b"[1]", "[1]", None),
        (b'{"code":5}', "the server gave no reason", "5"),
    ],
)
def test_every_error_body_becomes_one_error(body: bytes, message: str, code: str | None) -> None:
    """PostgREST's, the gateway's, a page of HTML, text or nothing: status, message, and a code if there is one."""
    with pytest.raises(ApiError) as caught:
        replies.value(Reply(502, {}, body))
    assert (caught.value.status, caught.value.message, caught.value.code) == (502, message, code)
    assert str(caught.value).startswith("502")
