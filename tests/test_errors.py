"""Every error survives a copy, a pickle and another process, and repeats the server's message."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import httpx
import pandas as pd
import pytest

from supalab import SupabaseAsync, errors, replies
from supalab.errors import ApiError, ClientError, DeadlineExceeded, SupalabError
from supalab.probe import subject
from supalab.replies import Reply
from supalab.wire import Call

MAKE: dict[type[SupalabError], Callable[[], SupalabError]] = {
    ApiError: lambda: ApiError(404, "no such table", code="42P01", details="d", hint="h"),
    DeadlineExceeded: lambda: DeadlineExceeded("late", phase="slot"),
}


def kinds(of: type[SupalabError] = SupalabError) -> Iterator[type[SupalabError]]:
    yield of
    for kind in of.__subclasses__():
        yield from kinds(kind)


def made(kind: type[SupalabError]) -> SupalabError:
    error = MAKE.get(kind, partial(kind, "what went wrong"))()
    error.add_note("a note")
    error.__dict__["rows_in"] = 7
    return error


def test_all_kinds_are_tried() -> None:
    """The errors of the tree, and those of other modules."""
    assert {getattr(errors, name) for name in errors.__all__} | {subject.PlainCall} <= set(kinds())


def pickled(protocol: int, error: SupalabError) -> Any:
    return pickle.loads(pickle.dumps(error, protocol))


@pytest.mark.parametrize("kind", dict.fromkeys(kinds()), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, *(partial(pickled, level) for level in range(6))])
def test_an_error_comes_back_whole(kind: type[SupalabError], again: Callable[[Any], Any]) -> None:
    """Type, text, arguments and attributes, those that were added later too."""
    error = made(kind)
    other = again(error)
    assert type(other) is kind
    assert other is not error
    assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))
    assert repr(other) == repr(error)


def fail(kind: type[SupalabError]) -> None:
    raise made(kind)


def test_an_error_crosses_processes() -> None:
    """A pool hands it to whoever waits, and goes on working."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for kind in (ApiError, DeadlineExceeded, errors.OutcomeUnknown, errors.SettingsError):
            error = pool.submit(fail, kind).exception(60)
            assert type(error) is kind
            assert str(error) == str(made(kind))
            assert error.__dict__["rows_in"] == 7


def said(body: bytes, status: int = 500, hide: tuple[str, ...] = ()) -> ApiError:
    with pytest.raises(ApiError) as caught:
        replies.value(Reply(status, {}, body), hide)
    return caught.value


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error":"requested path is invalid"}', "requested path is invalid", None),
        (b'{"code":500,"msg":"invalid JWT: token is expired"}', "invalid JWT: token is expired", None),
        (b'{"code":401,"msg":"no"}', "no", "401"),
        (b'{"detail":"Not Found"}', "Not Found", None),
        (b'{"detail":[{"loc":["body"],"msg":"field required"}]}', "field required", None),
        (b'{"errors":[{"message":"first"},{"message":"second"}]}', "first", None),
        (b'{"error":{"message":"nested","code":7}}', "nested", None),
        (b'{"error":"invalid_grant","error_description":"wrong password"}', "wrong password", None),
        (b'{"message":"","error":"the other"}', "the other", None),
        (b'{"why":"because"}', '{"why":"because"}', None),
        (b'{"message":null,"details":null}', "the server gave no reason", None),
        (b"{}", "the server gave no reason", None),
        (b"  ", "the server gave no reason", None),
    ],
)
def test_the_reason_is_found_wherever_it_stands(body: bytes, message: str, code: str | None) -> None:
    """Gateways, auth servers and frameworks have words of their own for it."""
    error = said(body)
    assert (error.message, error.code) == (message, code)


def test_a_long_reason_is_cut() -> None:
    """About 2 KB of it, so that an error is no copy of a page; no key in it, not even a part."""
    for body in (b'{"message":"%s"}', b'{"error":{"message":"%s"}}'):
        error = said(body % (b"x" * 30_000_000))
        assert 1000 < len(error.message) <= 2000
    error = said(b'{"message":"m","details":"%s","hint":"SECRET"}' % (b"x" * 5000), hide=("SECRET",))
    assert len(error.details or "") <= 2000
    assert error.hint == "(key)"
    edge = said(b'{"message":"%sSECRETKEY"}' % (b"x" * 1995), hide=("SECRETKEY",))
    assert "SEC" not in edge.message


@pytest.mark.parametrize("status", [200, 502])
def test_a_page_of_a_gateway_is_told_in_one_line(status: int) -> None:
    """However it is broken into lines, and without what would colour or clear a terminal."""
    with pytest.raises(ClientError) as caught:
        replies.rows(Call("GET", "/t"), Reply(status, {}, b"<html>\r\n\t<title>Busy\x1b[2J</title>\r\n</html>\n"))
    assert str(caught.value).endswith("<html> <title>Busy [2J</title> </html>")


def test_a_value_is_shown_in_one_line() -> None:
    """A data frame's has many."""
    assert errors.shown(pd.DataFrame({"a": [1, 2]})).count("\n") == 0


@pytest.mark.parametrize("body", [b'[{"a":1e999}]', b'[{"a":-1E+400}]', b'[{"a":' + b"9" * 400 + b".5}]"])
def test_a_number_larger_than_any_float_is_refused(body: bytes) -> None:
    """It would become infinity."""
    with pytest.raises(errors.BadResponse, match="larger than any float"):
        replies.value(Reply(200, {}, body))


async def test_two_rows_are_not_the_one() -> None:
    """A server that ignores the request for a single row gives an error, whatever it sends."""
    for rows in ([{"id": 1}, {"id": 2}], []):
        transport = httpx.MockTransport(lambda _, rows=rows: httpx.Response(200, json=rows))  # type: ignore[misc]
        async with SupabaseAsync("http://127.0.0.1:9", None, transport=lambda _, over=transport: over) as db:
            with pytest.raises(errors.BadResponse, match=f"one row of 't', got {len(rows)} "):
                await db.select("t", single=True)


@pytest.mark.parametrize("body", [b"", b"null", b" "])
async def test_rows_that_do_not_come_are_no_empty_table(body: bytes) -> None:
    """A read, or a write that asked for its rows, is answered with rows."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    async with SupabaseAsync("http://127.0.0.1:9", None, transport=lambda _: transport) as db:
        for call in (db.select("t"), db.insert("t", {"id": 1}), db.delete("t", filters={"id": 1})):
            with pytest.raises(errors.BadResponse):
                await call
        if body != b" ":
            assert await db.insert("t", {"id": 1}, return_="minimal") == []
            assert await db.rpc("f") is None


def test_without_asyncio_the_error_is_ours() -> None:
    """Another library's loop, or none at all, drives the coroutine; the message says what is missing."""
    db = SupabaseAsync("http://127.0.0.1:9", None)
    for call in (db.select("t"), db.insert("t", {"id": 1}), db.rpc("f"), db.insert_many("t", [{"id": 1}])):
        with pytest.raises(ClientError, match="asyncio"):
            call.send(None)
    with pytest.raises(ClientError, match="asyncio"):
        anext(db.pages("t")).__await__().send(None)
