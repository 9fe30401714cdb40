"""Whatever value goes out comes back as it was, and no string becomes SQL or another path; the lab is the judge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from supalab import Lab, SupabaseAsync
from supalab.errors import ApiError, SettingsError
from supalab.filters import any_of, any_value, eq, gte, ilike, in_, like, literally, match, neq
from supalab.query_values import RESERVED

SEED = """
CREATE TABLE things (id INTEGER PRIMARY KEY, text TEXT, data JSON);
INSERT INTO things VALUES (1, 'never touched', '{"a": 1}');
CREATE TABLE odd (id INTEGER PRIMARY KEY, "select" TEXT, columns TEXT, on_conflict TEXT, "order" TEXT, "limit" TEXT,
  "offset" TEXT, "and" TEXT, "or" TEXT, apikey TEXT, "not" TEXT);
"""
#: What a text column of PostgreSQL stores: anything but NUL and half surrogate pairs.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
#: Texts made of what means something in addresses, in PostgREST's grammar, in patterns and in SQL.
TRICKY = st.text(st.sampled_from(list("abA ,.:;()[]{}\"'\\%_*&=?#+-/~!<>@\n\té🙂0")), max_size=30)
ANY_TEXT = TEXT | TRICKY
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
FEW = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Table:
    """A client on a loop of its own thread, since Hypothesis calls plain functions; ``run`` waits for a call."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.db = SupabaseAsync(lab.url, lab.key)
        self.loop = asyncio.new_event_loop()
        self.thread = Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, call: Any) -> Any:
        done: Future[Any] = asyncio.run_coroutine_threadsafe(call, self.loop)
        return done.result(20)

    def store(self, **row: Any) -> None:
        self.run(self.db.upsert("things", {"id": 2, **row}, return_="minimal"))

    def ids(self, filters: Any) -> list[int]:
        return [row["id"] for row in self.run(self.db.select("things", columns="id", filters=filters, order="id"))]

    def status(self, call: Callable[[], Any]) -> int:
        """How the lab judged a call: 200 for any success, 0 when it never left."""
        try:
            self.run(call())
        except SettingsError:
            return 0
        except ApiError as error:
            return error.status
        return 200

    def close(self) -> None:
        self.run(self.db.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """Two columns of text and JSON, one row that no test may touch, and row 2 for all of them."""
    seed = tmp_path_factory.mktemp("seed") / "things.sql"
    seed.write_text(SEED)
    with Lab(seed=seed) as lab:
        made = Table(lab)
        yield made
        rows = made.run(made.db.select("things", filters={"id": 1}))
        made.close()
    assert rows == [{"id": 1, "text": "never touched", "data": {"a": 1}}]


@FEW
@given(text=ANY_TEXT)
@example(text="")
@example(text="null")
@example(text='x",id.gt.0,"y')
@example(text="x)&id=gt.0")
def test_any_text_finds_its_row_by_every_equality(table: Table, text: str) -> None:
    """eq, in_, any_value and groups find the row that holds the text; their opposites find the other one."""
    table.store(text=text)
    for condition in (text, eq(text), in_([text]), in_(["no", text]), any_value(eq, ["no", text]), ~neq(text)):
        assert table.ids({"text": condition}) == [2]
        assert table.ids(any_of({"text": condition}, {"id": -1})) == [2]
        assert table.ids(any_of({"text": condition, "id": 2}, {"id": -1})) == [2]
    assert table.ids({"text": ~in_([text])}) == [1]
    assert table.ids({"text": neq(text)}) == [1]
    assert table.ids(~any_of({"text": text}, {"id": -1})) == [1]


@FEW
@given(text=ANY_TEXT, before=TRICKY, after=TRICKY)
def test_any_text_finds_its_row_as_a_literal_pattern(table: Table, text: str, before: str, after: str) -> None:
    """Escaped, a text stands for itself in a pattern, alone, in groups and amid wildcards."""
    table.store(text=before + text + after)
    for pattern in (
        f"*{literally(text)}*",
        f"{literally(before)}%{literally(after)}",
        literally(before + text + after),
    ):
        for make in (like, ilike):
            assert 2 in table.ids({"text": make(pattern)})
            assert 2 in table.ids(any_of({"text": make(pattern)}, {"id": -1}))
            assert 2 in table.ids({"text": any_value(make, ["no such", pattern])})


@FEW
@given(text=TRICKY.filter(lambda text: "*" not in text), other=TRICKY)
def test_a_literal_pattern_finds_nothing_else(table: Table, text: str, other: str) -> None:
    """No wildcard survives the escaping: another text does not fit. A star alone, which PostgREST always reads, may."""
    table.store(text=other)
    assert (2 in table.ids({"text": like(literally(text))})) == (text == other)


@FEW
@given(value=JSON, text=ANY_TEXT)
@example(value=[], text="[]")
@example(value="", text="")
@example(value=None, text="null")
def test_any_json_comes_back_as_it_was(table: Table, value: Any, text: str) -> None:
    """Insert, update and upsert: the row returned and the row read are the row sent."""
    row = {"id": 2, "text": text, "data": value}
    table.run(table.db.delete("things", filters={"id": 2}))
    assert table.run(table.db.insert("things", row)) == [row]
    assert table.run(table.db.select("things", filters={"id": 2}, single=True)) == row
    changed = {"text": text[::-1], "data": [value, {"again": value}]}
    assert table.run(table.db.update("things", changed, filters={"id": 2})) == [{"id": 2, **changed}]
    assert table.run(table.db.upsert("things", [row])) == [row]


@pytest.mark.parametrize("name", [*sorted(RESERVED), "not"])
def test_a_column_called_like_a_parameter_is_a_column(table: Table, name: str) -> None:
    """Read, changed and deleted by it: the rows that fit and no others, alone and beside another condition."""
    db = table.db
    table.run(db.upsert("odd", [{"id": 1, name: 'a,"b)'}, {"id": 2, name: "other"}, {"id": 3, name: None}]))
    conditions = (('a,"b)', [1]), (neq("other"), [1]), (in_(["other"]), [2]), (None, [3]), (like("*th*"), [2]))
    for condition, ids in conditions:
        for filters in ({name: condition}, {"id": gte(1), name: condition}, any_of({name: condition}, {"id": -1})):
            found = table.run(db.select("odd", columns="id", filters=filters, order="id", limit=9))
            assert [row["id"] for row in found] == ids
    assert [row["id"] for row in table.run(db.update("odd", {name: "new"}, filters={name: "other"}))] == [2]
    assert table.run(db.delete("odd", filters={name: "no row has this"})) == []
    assert [row["id"] for row in table.run(db.delete("odd", filters={"id": gte(1), name: "new"}))] == [2]
    assert len(table.run(db.delete("odd", filters={"id": gte(0)}))) == 2


@pytest.mark.parametrize("number", [0, 7, -1.5])
def test_a_bare_number_comes_back_as_json(table: Table, number: float) -> None:
    """A JSON column may hold a number and nothing around it."""
    row = {"id": 2, "text": "", "data": number}
    assert table.run(table.db.upsert("things", row)) == [row]


@FEW
@given(name=ANY_TEXT | st.text(max_size=80))
@example(name="things;drop table things")
@example(name='id"; --')
@example(name="text->>a")
def test_no_name_becomes_sql_or_another_path(table: Table, name: str) -> None:
    """As table, column, order, columns or path: refused here, or refused there as a name that does not exist.

    A 500 would be a name that reached SQL; a request to another path would be one the lab counts but cannot answer.
    """
    db = table.db
    calls: list[Callable[[], Any]] = [
        lambda: db.select(name),
        lambda: db.select("things", columns=name),
        lambda: db.select("things", filters={name: 1}),
        lambda: db.select("things", order=[name]),
        lambda: db.select("things", filters=any_of({name: 1})),
        lambda: db.update("things", {name: 1}, filters={"id": -1}),
        lambda: db.insert("things", [{name: 1, "id": 1}, {"id": 1}]),
        lambda: db.rpc(name),
    ]
    assert {table.status(call) for call in calls} <= {0, 200, 400, 404, 409}
    assert table.run(db.select("things", filters={"id": 1}, columns="text")) == [{"text": "never touched"}]


@FEW
@given(pattern=ANY_TEXT)
def test_no_value_becomes_sql(table: Table, pattern: str) -> None:
    """Any text as pattern or regular expression: rows, or an error in the server's words, never a failure."""
    conditions = [like(pattern), ilike(pattern), match(pattern), any_value(like, [pattern])]
    judged = {table.status(partial(table.db.select, "things", filters={"text": one})) for one in conditions}
    assert judged <= {200, 400}
