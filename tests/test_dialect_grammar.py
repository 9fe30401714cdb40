"""The grammar alone: how a query string is read, and which place an error names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab_helpers import encoded

from supalab.lab.postgrest.http import row_range
from supalab.lab.postgrest.query import Column, Embed, Field, Filter, Logic, Order, parse_query
from supalab.lab.postgrest.refusal import Refusal

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def spanned(query: str, method: str, range_header: str | None) -> tuple[int, int | None]:
    parsed = parse_query(query)
    return row_range(parsed.limits.get((), (None, 0)), method, range_header)


def only_filter(query: str) -> Filter:
    ((_, condition),) = parse_query(query).where
    assert isinstance(condition, Filter)
    return condition


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("id=eq.7", Filter(Field("id"), "eq", "7")),
        ("id=not.gte.7", Filter(Field("id"), "gte", "7", True)),
        ("id=in.(1,2)", Filter(Field("id"), "in", ("1", "2"))),
        ("t=in.(%22a,b%22,c)", Filter(Field("t"), "in", ("a,b", "c"))),
        (r't=in.("a\"b","c\\d")', Filter(Field("t"), "in", ('a"b', "c\\d"))),
        ("t=like(any).{a*,b}", Filter(Field("t"), "like", "{a*,b}", False, "any")),
        ("t=IS.NULL", None),
        ("t=is.NOT_NULL", Filter(Field("t"), "is", "not_null")),
        ("t=plfts(english).a+b", Filter(Field("t"), "plfts", "a b", False, "english")),
        ("t=eq.a.b(c),d", Filter(Field("t"), "eq", "a.b(c),d")),
        ("%22a.b%22=eq.1", Filter(Field("a.b"), "eq", "1")),
    ],
)
def test_a_filter_is_read_as_postgrest_reads_it(query: str, expected: Filter | None) -> None:
    """Operators, negation, modifiers, lists and quotes mean what PostgREST's grammar says; operators are lower case."""
    if expected is None:
        with pytest.raises(Refusal, match="PGRST100"):
            parse_query(query)
    else:
        assert only_filter(query) == expected


def test_and_and_or_nest_with_negation_and_quotes() -> None:
    """``and``/``or`` are trees: nested, negated, with quoted values and lists inside."""
    ((_, tree),) = parse_query('not.or=(a.eq."x,y",not.and(b.gt.1,c.in.(1,2)),d.is.null)').where
    inner = Logic("and", (Filter(Field("b"), "gt", "1"), Filter(Field("c"), "in", ("1", "2"))), True)
    last = Filter(Field("d"), "is", "null")
    assert tree == Logic("or", (Filter(Field("a"), "eq", "x,y"), inner, last), True)


def test_select_knows_alias_cast_path_and_embedded_resources() -> None:
    """``select`` is read with blanks, aliases, casts, JSON paths and resources inside resources."""
    select = parse_query("select=a, b:c::text,d->e->>0,x:f!h!inner(g,...i(*))").select
    assert select[:2] == (Column(Field("a")), Column(Field("c"), "b", "text"))
    assert isinstance(select[2], Column)
    assert select[2].field.path == (("e", False), (0, True))
    spread = Embed("i", (Column(Field("*")),), spread=True)
    assert select[3] == Embed("f", (Column(Field("g")), spread), "x", "h", inner=True)


def test_order_keys_have_a_direction_and_a_place_for_nulls() -> None:
    """Each sort key may say where it goes and where NULL stands, in this order."""
    assert parse_query("order=a,b.desc,c.nullsfirst,d.asc.nullslast").order == [
        (
            (),
            (
                Order(Field("a")),
                Order(Field("b"), True),
                Order(Field("c"), False, "first"),
                Order(Field("d"), False, "last"),
            ),
        ),
    ]


@pytest.mark.parametrize(
    ("query", "message", "details"),
    [
        ("id=foo.1", '"failed to parse filter (foo.1)" (line 1, column 1)', "operator (eq, gt, ...)"),
        ("id=eq().1", '"failed to parse filter (eq().1)" (line 1, column 4)', 'unexpected ")"'),
        ("id=in.1", '"failed to parse filter (in.1)" (line 1, column 4)', 'expecting "("'),
        ("id=is().1", '"failed to parse filter (is().1)" (line 1, column 3)', "operator (eq, gt, ...)"),
        ("id=is.maybe", '"failed to parse filter (is.maybe)" (line 1, column 4)', "null, not_null, true"),
        ("order=id.down", '"failed to parse order (id.down)" (line 1, column 4)', '"asc", "desc"'),
        ("select=id::", '"failed to parse select parameter (id::)" (line 1, column 5)', "end of input"),
        ("select=id;", None, ""),
        ("or=()", '"failed to parse logic tree (())" (line 1, column 4)', 'unexpected ")"'),
        ("or=(id.eq.1", '"failed to parse logic tree ((id.eq.1)" (line 1, column 11)', "end of input"),
        ("columns=%3A", '"failed to parse columns parameter (:)" (line 1, column 1)', "field name"),
        ("on_conflict=a,", '"failed to parse on_conflict parameter (a,)" (line 1, column 3)', "field name"),
        ("t=in.(%22a", '"failed to parse filter (in.("a)" (line 1, column 7)', "end of input"),
    ],
)
def test_an_unreadable_query_names_the_place(query: str, message: str | None, details: str) -> None:
    """PGRST100 says which parameter, which column of it, and what was wanted there, in PostgREST's form."""
    if message is None:
        assert parse_query(query).select == (Column(Field("id")),)  # ";" parts parameters, as "&" does
        return
    with pytest.raises(Refusal) as caught:
        parse_query(query)
    assert (caught.value.status, caught.value.code, caught.value.shape["message"]) == (400, "PGRST100", message)
    assert details in (caught.value.shape["details"] or "")


def test_nesting_without_end_is_refused_and_not_a_crash() -> None:
    """Ten thousand parentheses give an error response."""
    with pytest.raises(Refusal, match="PGRST100"):
        parse_query("or=" + "(or" * 10_000)


@pytest.mark.parametrize(
    "query",
    [
        "select=" + ",".join(["id"] * 1001),
        "order=" + ",".join(["id"] * 1001),
        "or=(" + ",".join(["id.eq.1"] * 1001) + ")",
        "&".join(["id=eq.1"] * 1001),
    ],
    ids=["select", "order", "or", "filters"],
)
def test_more_parts_than_the_database_takes_are_refused(query: str) -> None:
    """A thousand parts are read, one more is refused, in a short message; the values of ``in`` do not count."""
    parse_query(query.replace("id.eq.1,", "", 1).replace("id=eq.1&", "", 1).replace("id,", "", 1))
    with pytest.raises(Refusal, match="PGRST100") as caught:
        parse_query(query)
    assert "1000 parts" in caught.value.shape["details"]
    assert len(caught.value.shape["message"]) < 200
    assert len(only_filter("id=in.(" + ",".join(["1"] * 5000) + ")").value) == 5000


@given(TEXT)
def test_any_text_survives_eq_as_it_is(value: str) -> None:
    """The value of ``eq`` is everything after the dot, whatever is in it."""
    assert only_filter(f"t=eq.{encoded(value)}").value == value


@given(st.lists(TEXT, min_size=1, max_size=4))
def test_any_text_survives_quotes_in_a_list(values: list[str]) -> None:
    """Quoted and backslash-escaped, every text is one element of ``in``."""
    quoted = ",".join('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    assert only_filter(f"t=in.({encoded(quoted)})").value == tuple(values)


@given(TEXT)
def test_any_text_survives_quotes_inside_or(value: str) -> None:
    """Quoted inside ``or``, no text can end its condition early."""
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    ((_, tree),) = parse_query(f"or=(t.eq.{encoded(quoted)},u.eq.1)").where
    assert isinstance(tree, Logic)
    assert tree.children[0] == Filter(Field("t"), "eq", value)


@given(st.text(max_size=60))
def test_no_query_string_makes_the_parser_fail_otherwise(query: str) -> None:
    """Whatever is sent, the parser returns a query or refuses with PGRST100."""
    code = "PGRST100"
    try:
        parse_query(query)
    except Refusal as refusal:
        code = refusal.code
    assert code == "PGRST100"


@pytest.mark.parametrize(
    ("query", "range_header", "span"),
    [
        ("", None, (0, None)),
        ("limit=5", None, (0, 5)),
        ("limit=5&offset=10", None, (10, 5)),
        ("offset=10", None, (10, None)),
        ("limit=0", None, (0, 0)),
        ("limit=abc", None, (0, None)),
        ("limit=2&offset=-1", None, (0, 1)),
        ("", "3-6", (3, 4)),
        ("", "3-", (3, None)),
        ("", "items=3-6", (0, None)),
        ("limit=2", "1-9", (1, 1)),
    ],
)
def test_limit_offset_and_range_meet(query: str, range_header: str | None, span: tuple[int, int | None]) -> None:
    """The rows asked for are those that lie in both; what is no range is not one."""
    assert spanned(query, "GET", range_header) == span


@pytest.mark.parametrize(
    ("query", "range_header", "words"),
    [
        ("limit=-1", None, "Limit should be greater"),
        ("", "5-4", "The lower boundary must be lower"),
        ("limit=2&offset=10", "0-4", "Limit should be greater"),
    ],
)
def test_an_impossible_range_is_416(query: str, range_header: str | None, words: str) -> None:
    """PGRST103 says whether the limit or the range was impossible."""
    with pytest.raises(Refusal) as caught:
        spanned(query, "GET", range_header)
    assert (caught.value.status, caught.value.code) == (416, "PGRST103")
    assert words in (caught.value.shape["details"] or "")


def test_a_range_header_counts_for_get_only() -> None:
    """A HEAD or a write takes no notice of ``Range``; a PUT may have no limit at all."""
    assert spanned("", "HEAD", "5-4") == (0, None)
    with pytest.raises(Refusal, match="PGRST114"):
        spanned("limit=1", "PUT", None)
    assert spanned("", "GET", "99999999999999999999-") == (0, None)
