"""Tables of any length: pages end or raise, the next page is read ahead, insert_many always says how far it came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supalab import SupabaseAsync, replies
from supalab.errors import ApiError, BadResponse, SettingsError

URL = "http://127.0.0.1:9"
KEY = "sb_publishable_test"
Handler = Callable[[httpx.Request], Any]


def client(handler: Handler) -> SupabaseAsync:
    return SupabaseAsync(URL, KEY, transport=lambda _: httpx.MockTransport(handler))


def asked(request: httpx.Request) -> dict[str, str]:
    return dict(parse_qsl(request.url.query.decode(), keep_blank_values=True))


class Numbers:
    """A table whose key is written digit by digit; it counts the requests, and knows a key of NULL."""

    def __init__(self, *keys: str, nulls: int = 0) -> None:
        self.keys, self.nulls, self.requests = keys, nulls, 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        query = asked(request)
        if "and" in query:
            assert query["and"] == "(n.is.null)"
            found = ["null"] * self.nulls
        else:
            place = query.get("n", "").removeprefix("gt.")
            found = [key for key in self.keys if not place or Decimal(key) > Decimal(place)]
            found += [] if place else ["null"] * self.nulls
        body = ",".join(f'{{"n":{key}}}' for key in found[: int(query["limit"])])
        return httpx.Response(200, content=f"[{body}]".encode())


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "keys",
    [
        ("1700000000.000000011", "1700000000.000000012", "1700000001"),
        ("0.10000000000000000001", "0.10000000000000000002", "0.2", "1e2"),
        ("9007199254740993", "9007199254740994", "90071992547409940000001"),
    ],
)
async def test_a_key_of_any_length_moves_on(size: int, keys: tuple[str, ...]) -> None:
    """More digits than a float keeps: every row comes once, whatever the size of a page."""
    async with client(Numbers(*keys)) as db:
        rows = [row async for page in db.pages("t", key="n", size=size) for row in page]
    assert [row["n"] for row in rows] == [json.loads(key) for key in keys]


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
async def test_a_key_that_is_null_raises_for_every_size(size: int, ahead: int) -> None:
    """Rows without a key come after no other row, so they must never be lost silently."""
    async with client(Numbers("1", "2", "3", "4", nulls=2)) as db:
        with pytest.raises(SettingsError, match="must never be null"):
            _ = [page async for page in db.pages("t", key="n", size=size, ahead=ahead)]


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_a_server_that_ignores_filters_is_found_out(size: int) -> None:
    """The same page again is an error and no endless loop; nothing is handed out twice."""

    def ignores(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[{"id": 1}, {"id": 2}][: int(asked(request)["limit"])])

    seen: list[int] = []

    async def read(db: SupabaseAsync) -> None:
        async for page in db.pages("t", size=size):
            seen.extend(row["id"] for row in page)

    async with client(ignores) as db:
        with pytest.raises(BadResponse, match="ignores filters"):
            await read(db)
    assert len(seen) == len(set(seen))


async def test_a_server_that_goes_round_in_circles_is_found_out() -> None:
    """Pages that differ and come again."""
    answers = iter([3, 1, 2] * 10)
    async with client(lambda _: httpx.Response(200, json=[{"id": next(answers)}])) as db:
        with pytest.raises(BadResponse, match="second page"):
            _ = [page async for page in db.pages("t", size=1)]


@pytest.mark.parametrize("key", ["First Name", "2024", "R&D", "a.b", "नाम", 'a"b'])
async def test_any_column_may_be_the_key(key: str) -> None:
    """Its name is quoted in the order and in the condition, and found as it is in the rows."""
    targets = []

    def serve(request: httpx.Request) -> httpx.Response:
        query = asked(request)
        targets.append(query)
        return httpx.Response(200, json=[{key: 1}] if len(targets) == 1 else [])

    quoted = '"' + key.replace('"', '\\"') + '"'
    async with client(serve) as db:
        assert [page async for page in db.pages("t", key=key, size=1)] == [[{key: 1}]]
    assert [query["order"] for query in targets] == [quoted] * 3
    assert targets[1][quoted] == "gt.1"


class Slow:
    """Three pages of one row; ``open`` requests wait until ``go`` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.started: list[str] = []
        self.finished = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        place = asked(request).get("id", "gt.0")
        self.started.append(place)
        if place != "gt.0":
            await self.go.wait()
        self.finished += 1
        number = int(place.removeprefix("gt.")) + 1
        return httpx.Response(200, json=[{"id": number}] if number < 4 and "and" not in asked(request) else [])


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("ahead", "started"), [(1, ["gt.0", "gt.1"]), (0, ["gt.0"])])
async def test_the_next_page_is_asked_for_meanwhile(ahead: int, started: list[str]) -> None:
    """Before the caller gets a page, which may hold up the loop with it; ahead=0 switches it off."""
    slow = Slow()
    async with client(slow) as db:
        pages = db.pages("t", size=1, ahead=ahead)
        assert await anext(pages) == [{"id": 1}]
        assert slow.started == started
        slow.go.set()
        assert [page async for page in pages] == [[{"id": 2}], [{"id": 3}]]


@pytest.mark.parametrize("bad", [2, -1, 0.5, None, "1"])
async def test_ahead_is_one_or_none(bad: Any) -> None:
    """Each page starts behind the last one, so no more than one can be asked for."""
    async with client(Slow()) as db:
        with pytest.raises(SettingsError, match="ahead"):
            await anext(db.pages("t", ahead=bad))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('{}[]":,\\ é'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('{}":,\\ a'), inner, max_size=3),
    max_leaves=20,
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(st.dictionaries(st.text('{}":,\\ a', max_size=4), JSON, max_size=5)), st.sampled_from([None, 1]))
def test_the_last_row_is_found_from_the_end(rows: list[dict[str, Any]], indent: int | None) -> None:
    """Whatever it holds: braces and quotes in texts, in names and in objects inside it."""
    body = json.dumps(rows, indent=indent).encode()
    written = json.loads(body, parse_float=str)
    assert replies.last_row(replies.Reply(200, {}, body)) == (written[-1] if written else None)


@pytest.mark.parametrize(
    "body", [b"", b"[", b"[5]", b'[{"id":1},5]', b'["{"]', b'[[{"id":1}]]', b"<html>{</html>", b"\xff{"]
)
def test_no_last_row_is_seen_where_there_is_none(body: bytes) -> None:
    """A text that is not an array of rows is left to the code that reads all of it."""
    assert replies.last_row(replies.Reply(200, {}, body)) is None


async def test_the_next_page_is_asked_for_before_this_one_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last key is read first, so that the server and the decoder work at the same time."""
    slow, at = Slow(), list[int]()
    decode = replies.rows

    def counted(*args: Any) -> Any:
        at.append(len(slow.started))
        return decode(*args)

    monkeypatch.setattr(replies, "rows", counted)
    slow.go.set()
    async with client(slow) as db:
        assert [page async for page in db.pages("t", size=1)] == [[{"id": 1}], [{"id": 2}], [{"id": 3}]]
    assert at == [2, 3, 4, 5, 5]


async def test_an_early_end_leaves_no_task() -> None:
    """A break, an error of the caller's, a cancellation: the request that was sent ahead is ended too."""

    async def with_break(db: SupabaseAsync) -> None:
        async for _ in db.pages("t", size=1):
            await settle()
            break

    async def with_an_error(db: SupabaseAsync) -> None:
        async for _ in db.pages("t", size=1):
            await settle()
            raise ValueError("the caller's own")

    async def without_end(db: SupabaseAsync) -> None:
        async for _ in db.pages("t", size=1):
            await asyncio.Event().wait()

    for work in (with_break, with_an_error, without_end):
        slow = Slow()
        async with client(slow) as db:
            before = asyncio.all_tasks()
            task = asyncio.create_task(work(db))
            await settle()
            task.cancel()
            await asyncio.wait([task])
            await settle()
            assert asyncio.all_tasks() == before
        assert slow.started == ["gt.0", "gt.1"]
        assert slow.finished == 1


async def test_an_error_of_the_next_page_comes_after_this_one() -> None:
    """The page that is there is handed out first."""

    def serve(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"message": "no"}) if "id" in asked(request) else rows(1)

    def rows(number: int) -> httpx.Response:
        return httpx.Response(200, json=[{"id": number}])

    async with client(serve) as db:
        pages = db.pages("t", size=1)
        assert await anext(pages) == [{"id": 1}]
        with pytest.raises(ApiError, match="400: no"):
            await anext(pages)


class Inbox:
    """Takes portions of rows; the ``refuse``-th one is an error of the server."""

    def __init__(self, refuse: int = 0) -> None:
        self.rows: list[Any] = []
        self.portions, self.refuse = 0, refuse

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.portions += 1
        if self.portions == self.refuse:
            return httpx.Response(409, json={"message": "taken"})
        self.rows += json.loads(request.content)
        return httpx.Response(201)


def counted(number: int, *more: Any) -> Iterator[Any]:
    yield from ({"id": n} for n in range(number))
    for one in more:
        if isinstance(one, Exception):
            raise one
        yield one


class Abroad(Exception):
    """Not one of ours."""


def stop(done: int) -> None:
    if done == 4:
        raise Abroad


async def stop_async(done: int) -> None:
    await asyncio.sleep(0)
    stop(done)


@pytest.mark.parametrize(
    ("new", "options", "inbox", "error"),
    [
        (lambda: counted(5, {"id": float("nan")}), {}, Inbox(), SettingsError),
        (lambda: counted(5, "no row"), {}, Inbox(), SettingsError),
        (lambda: counted(5, Abroad()), {}, Inbox(), Abroad),
        (lambda: counted(9), {"progress": stop}, Inbox(), Abroad),
        (lambda: counted(9), {"progress": stop_async}, Inbox(), Abroad),
        (lambda: counted(9), {}, Inbox(refuse=3), ApiError),
    ],
)
async def test_every_way_out_says_how_many_rows_are_in(new: Any, options: Any, inbox: Inbox, error: Any) -> None:
    """A bad row, an error of the source or of progress, a refusal: the number is in the error and its text."""
    async with client(inbox) as db:
        with pytest.raises(error) as caught:
            await db.insert_many("t", new(), size=2, **options)
    assert caught.value.rows_in == len(inbox.rows) == 4
    assert any("4 rows of t" in note for note in caught.value.__notes__)


async def test_a_cancellation_says_how_many_rows_are_in() -> None:
    """And that the portion under way may be in as well."""
    inbox, hanging = Inbox(), asyncio.Event()

    async def serve(request: httpx.Request) -> httpx.Response:
        if inbox.portions == 2:
            hanging.set()
            await asyncio.Event().wait()
        return inbox(request)

    async with client(serve) as db:
        task = asyncio.create_task(db.insert_many("t", counted(9), size=2))
        await hanging.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    assert caught.value.rows_in == len(inbox.rows) == 4  # type: ignore[attr-defined]
    assert any("4 rows of t" in note and "the next 2 may be in too" in note for note in caught.value.__notes__)


async def test_an_answer_that_cannot_be_read_leaves_a_portion_in_doubt() -> None:
    """The server said that it had stored the rows."""
    async with client(lambda _: httpx.Response(201, content=b"<html>")) as db:
        with pytest.raises(BadResponse) as caught:
            await db.insert_many("t", counted(2), size=2)
    assert caught.value.__notes__ == ["0 rows of t had been inserted before this; the next 2 may be in too"]


async def test_a_bad_row_is_named_by_its_number_among_all() -> None:
    """Counted from 1 over the whole, with the column and the cure."""
    rows = [*({"id": n, "score": 1.0} for n in range(1002)), {"id": 1002, "score": float("nan")}]
    async with client(Inbox()) as db:
        with pytest.raises(SettingsError, match=r"row 1003, column 'score', .*None for NULL"):
            await db.insert_many("t", rows)


async def test_rows_and_progress_may_be_async() -> None:
    """An async generator brings the rows, an async function is told of them."""
    inbox, said = Inbox(), list[int]()

    async def rows() -> AsyncIterator[dict[str, int]]:
        for number in range(5):
            await asyncio.sleep(0)
            yield {"id": number}

    async def progress(done: int) -> None:
        await asyncio.sleep(0)
        said.append(done)

    async with client(inbox) as db:
        assert await db.insert_many("t", rows(), size=2, progress=progress) == 5
    assert said == [2, 4, 5]
    assert [row["id"] for row in inbox.rows] == [0, 1, 2, 3, 4]


async def test_a_progress_that_cannot_be_called_is_found_before_anything_is_sent() -> None:
    """Otherwise a first portion would be in."""
    inbox = Inbox()
    async with client(inbox) as db:
        with pytest.raises(SettingsError, match="progress 5 cannot be called"):
            await db.insert_many("t", counted(3), progress=5)  # type: ignore[arg-type]
    assert inbox.portions == 0


async def test_an_empty_table_is_one_request() -> None:
    """Without a first page there is no row without a key either."""
    numbers = Numbers()
    async with client(numbers) as db:
        assert [page async for page in db.pages("t", key="n")] == []
    assert numbers.requests == 1
