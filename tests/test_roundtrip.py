"""Every value that is written comes back unchanged, and no string becomes SQL or another path; the lab decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from supalab import Lab, SupabaseAsync
from supalab.errors import ApiError, SettingsError
from supalab.filters import all_of, any_of, any_value, eq, gte, ilike, in_, like, literally, match, neq, quoted
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

    def refusal(self, call: Any) -> str:
        """What the lab says of a call that it cannot answer."""
        with pytest.raises(ApiError) as caught:
            self.run(call)
        assert caught.value.status in {400, 404}
        return caught.value.message

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


NAME = ANY_TEXT.filter(lambda text: 0 < len(text) < 64)


@FEW
@given(name=NAME, value=ANY_TEXT)
@example(name="id.eq.1", value="")
@example(name="owners.id", value="")
@example(name="data->>a", value="")
@example(name="id,text", value="x)")
@example(name="not", value="null")
@example(name='"id"', value="")
@example(name="a\\", value='"')
@example(name="or", value="(id.eq.1)")
@example(name="नाम", value="ที่")
def test_any_name_arrives_as_it_was(table: Table, name: str, value: str) -> None:
    """In quotes it is one column, wherever a name can stand: the lab looks for it, and says what it looked for."""
    db, inside = table.db, quoted(name)
    if name in {"id", "text", "data", "*"}:  # a star means all columns to PostgREST, in quotes too
        return
    calls = [
        db.select("things", filters={inside: value}),
        db.select("things", filters=any_of({inside: value}, {"id": 1})),
        db.select("things", filters=~any_of({"id": 1}, all_of({inside: in_([value])}))),
        db.select("things", columns=["id", inside]),
        db.select("things", columns=f"id,alias:{inside}::text,data"),
        db.select("things", order=f"{inside}.desc,id"),
        db.select("things", order=[f"{inside}.asc.nullsfirst"]),
        db.delete("things", filters={inside: value}),
    ]
    for call in calls:
        assert table.refusal(call) == f"column things.{name} does not exist"
    missing = f"Could not find the '{name}' column of 'things' in the schema cache"
    assert table.refusal(db.insert("things", [{name: 1}, {"id": 9}])) == missing
    assert table.run(db.select("things", filters={"id": 1}, columns="text")) == [{"text": "never touched"}]


@FEW
@given(key=ANY_TEXT.filter(len))
@example(key="@type")
@example(key="first-name")
@example(key="0")
@example(key="-1")
@example(key="a->>b")
@example(key="a.b")
@example(key="x" * 100)
def test_any_key_of_json_is_found(table: Table, key: str) -> None:
    """A key in quotes is that key in a column, a condition and an order, alone and in a group."""
    path = f"data->>{quoted(key)}"
    table.store(data={key: "found"})
    for filters in ({path: "found"}, any_of({path: "found"}, {"id": -1}), {path: in_(["found"])}):
        assert table.run(table.db.select("things", columns=f"id,it:{path}", filters=filters, order=f"{path},id")) == [
            {"id": 2, "it": "found"}
        ]


@FEW
@given(name=NAME)
@example(name="a?b")
@example(name="a#b")
@example(name="...")
@example(name="rpc")
@example(name="%")
def test_any_name_of_a_table_is_one_part_of_the_path(table: Table, name: str) -> None:
    """The lab looks for that table or function; what would lead elsewhere never leaves."""
    if name in {"things", "odd"}:
        return
    decoded = unquote(name)
    if decoded in {".", ".."} or "/" in decoded or "\\" in decoded:
        assert {table.status(partial(call, name)) for call in (table.db.select, table.db.rpc)} == {0}
        return
    assert table.refusal(table.db.select(name)) == f"Could not find the table 'public.{name}' in the schema cache"
    assert table.refusal(table.db.rpc(name)).startswith(f"Could not find the function public.{name} ")


@FEW
@given(name=st.sampled_from(["owners", "First Name", "R&D"]), value=ANY_TEXT)
def test_a_condition_on_an_embedded_resource_stays_there(table: Table, name: str, value: str) -> None:
    """Whatever its value: the lab says that the resource is not in the request; no row is deleted by it."""
    resource = f"{name}.text"
    for filters in ({resource: value}, any_of({resource: value}, {f"{name}.id": 1}), {f"{name}.order": value}):
        assert f"'{name}' is not an embedded resource" in table.refusal(table.db.select("things", filters=filters))
        assert table.status(partial(table.db.delete, "things", filters=filters)) == 0


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
