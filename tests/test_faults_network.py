"""Rows 17-22 and 27 of the fault table: connections that break, servers that are busy or slow."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import Any

import httpx
import pytest
from faultserver import (
    Exchange,
    Fault,
    FaultServer,
    break_off,
    close_after_reply,
    die,
    die_reading,
    drip,
    half_body,
    hang,
    in_turn,
    raw,
    reply,
    slow,
)

from supalab import ArticleSupabaseAsync, FakeSupabaseAsync, SupabaseAsync
from supalab.clients import responses
from supalab.clients.base import Client
from supalab.errors import ApiError, ConnectionLost, DeadlineExceeded, OutcomeUnknown
from supalab.replies import Reply

KEY = "sb_publishable_of_these_tests"
ONE = [{"id": 1}]
WRITES: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "insert": lambda db: db.insert("t", {"text": "x" * 10_000}),
    "upsert": lambda db: db.upsert("t", {"id": 1}),
    "update": lambda db: db.update("t", {"id": 1}, filters={"id": 1}),
    "delete": lambda db: db.delete("t", filters={"id": 1}),
    "rpc": lambda db: db.rpc("f"),
}


async def test_row_17_reads_survive_servers_that_close_kept_connections() -> None:
    """The server closes the connection after each response, which the next request may meet: fifty reads succeed."""
    with FaultServer(close_after_reply) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            for _ in range(50):
                assert await client.select("t") == ONE


async def test_row_17_the_articles_read_does_not() -> None:
    """The same once, for certain: the kept connection dies under the second request, and the caller gets the error."""
    with FaultServer(in_turn(reply(), die, reply())) as server:
        async with ArticleSupabaseAsync(server.url, KEY) as client:
            await client.select("t")
            with pytest.raises(httpx.RemoteProtocolError):
                await client.select("t")
        server.requests.clear()
        async with SupabaseAsync(server.url, KEY) as ours:
            assert [await ours.select("t"), await ours.select("t")] == [ONE, ONE]
        assert len(server.requests) == 3


@pytest.mark.parametrize("fault", [die, break_off, die_reading], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("verb", list(WRITES))
async def test_row_18_a_write_is_sent_once_whatever_happens(verb: str, fault: Fault) -> None:
    """On a kept connection or a new one: the server saw one request, the caller learns that it may be applied."""
    with FaultServer(fault) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            with pytest.raises(OutcomeUnknown, match="may have been applied"):
                await WRITES[verb](client)
            assert len(server.requests) == 1
            server.requests.clear()
            server.fault = in_turn(reply(), fault)
            await client.select("t")
            with pytest.raises(OutcomeUnknown):
                await WRITES[verb](client)
    assert [one.method == "GET" for one in server.requests] == [True, False]


async def test_row_18_a_write_that_never_left_is_not_unknown() -> None:
    """Nobody listens at the address, so nothing was applied: ConnectionLost, but not OutcomeUnknown."""
    with FaultServer(reply()) as server:
        pass
    async with SupabaseAsync(server.url, KEY) as client:
        with pytest.raises(ConnectionLost, match="127.0.0.1") as caught:
            await client.insert("t", {"id": 1})
    assert type(caught.value) is ConnectionLost


@pytest.mark.parametrize("status", [429, 502, 503, 504, 520])
async def test_row_19_a_busy_server_is_asked_three_times_in_all(status: int) -> None:
    """A read is repeated twice and the last answer is the error; a write is never repeated."""
    with FaultServer(reply(f"{status} Busy", b'{"message":"busy"}')) as server:
        async with SupabaseAsync(server.url, KEY, timeout=20) as client:
            with pytest.raises(ApiError, match=f"{status}: busy"):
                await client.select("t")
            assert len(server.requests) == 3
            with pytest.raises(ApiError, match=f"{status}: busy"):
                await client.insert("t", {"id": 1})
            assert len(server.requests) == 4


@pytest.mark.parametrize("status", [400, 401, 404, 409, 500])
async def test_row_19_an_error_that_will_not_pass_is_not_repeated(status: int) -> None:
    """Asking again would change nothing."""
    with FaultServer(reply(f"{status} No", b"{}")) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            with pytest.raises(ApiError):
                await client.select("t")
    assert len(server.requests) == 1


async def test_row_19_a_server_that_recovers_is_not_noticed() -> None:
    """Two failures and then an answer: the caller gets the answer, and no more requests hold a slot than one."""
    with FaultServer(in_turn(reply("503 Busy", b"{}"), die, reply())) as server:
        async with SupabaseAsync(server.url, KEY, limit=1) as client:
            assert await client.select("t") == ONE
    assert (len(server.requests), server.peak) == (3, 1)


async def test_row_19_a_pause_does_not_hold_a_slot() -> None:
    """With a limit of one, a second caller is served while the first one waits for its next try."""
    with FaultServer(in_turn(reply("503 Busy", b"{}", "Retry-After: 1"), reply())) as server:
        async with SupabaseAsync(server.url, KEY, limit=1) as client:
            ended: list[int] = []

            async def caller(number: int) -> None:
                await client.select("t")
                ended.append(number)

            await asyncio.gather(caller(1), caller(2))
    assert ended == [2, 1]
    assert len(server.requests) == 3


def test_row_19_pauses_double_and_are_random() -> None:
    """No two clients that failed together come back together, and the second pause may be twice the first."""
    chance = Random(1)
    busy = Reply(503, {}, b"")
    first, second = [[responses.pause(attempt, busy, chance) for _ in range(500)] for attempt in (1, 2)]
    assert len(set(first)) == 500
    assert 0.9 * responses.FIRST_PAUSE < max(first) <= responses.FIRST_PAUSE
    assert 1.9 * responses.FIRST_PAUSE < max(second) <= 2 * responses.FIRST_PAUSE
    assert min(first) < 0.1 * responses.FIRST_PAUSE


NOW = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1", 1.0),
        (" 120 ", 120.0),
        ("1000000000", 1e9),
        ("Wed, 18 Nov 2026 12:00:30 GMT", 30.0),
        ("Wed, 18 Nov 2026 11:00:00 GMT", 0.0),
        ("Wednesday, 18-Nov-26 12:00:30 GMT", 30.0),
        ("-5", None),
        ("abc", None),
        ("1e9", None),
        ("", None),
        ("٣", None),
        ("9" * 400, None),
        ("Wed, 99 Nov 2026 12:00:30 GMT", None),
        ("Wed, 18 Nov 99999 12:00:30 GMT", None),
        (f"Wed, 18 Nov {'9' * 300} 12:00:30 GMT", None),
        (f"Wed, 18 Nov {'9' * 5000} 12:00:30 GMT", None),
        (f"Wed, 18 Nov 2026 12:00:30 +{'9' * 300}", None),
        (f"Wed, {'9' * 300} Nov 2026 12:00:30 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
    ],
)
def test_row_20_retry_after_is_read_in_every_form(written: str, seconds: float | None) -> None:
    """Seconds or a date; what makes no sense is as if it were missing."""
    assert responses.retry_after({"retry-after": written}, NOW) == seconds


@pytest.mark.parametrize(("form", "ahead"), [("seconds", 1), ("date", 3)])
async def test_row_20_a_server_that_asks_for_time_gets_it(form: str, ahead: int) -> None:
    """Seconds or a date (which has whole seconds only): the second request comes no earlier than the server said."""
    times = []

    async def busy(exchange: Exchange) -> None:
        times.append(time.monotonic())
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
        await reply("429 Slow down", b"{}", f"Retry-After: {ahead if form == 'seconds' else date}")(exchange)

    with FaultServer(in_turn(busy, slow(0))) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            assert await client.select("t") == ONE
            times.append(time.monotonic())
    assert times[1] - times[0] >= (0.95 if form == "seconds" else 1.9)


@pytest.mark.parametrize("asked", ["1000000000", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_row_20_a_wait_beyond_the_deadline_is_not_begun(asked: str) -> None:
    """The caller gets the server's error immediately, not after a deadline that would pass anyway."""
    with FaultServer(reply("429 Slow down", b'{"message":"slow down"}', f"Retry-After: {asked}")) as server:
        async with SupabaseAsync(server.url, KEY, timeout=10) as client:
            start = time.perf_counter()
            with pytest.raises(ApiError, match="slow down"):
                await client.select("t")
            assert time.perf_counter() - start < 5
    assert len(server.requests) == 1


@pytest.mark.parametrize("asked", ["-5", "abc", "1e9"])
async def test_row_20_a_wish_that_makes_no_sense_is_ignored(asked: str) -> None:
    """An invalid Retry-After is ignored: three tries with the usual pauses."""
    with FaultServer(reply("429 Slow down", b"{}", f"Retry-After: {asked}")) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            with pytest.raises(ApiError):
                await client.select("t")
    assert len(server.requests) == 3


BOUNDS_ONLY_GAPS = pytest.mark.xfail(
    strict=True,
    raises=pytest.fail.Exception,
    reason="the timeout of requests and of httpx counts from byte to byte: a body that drips may take for ever",
)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(FakeSupabaseAsync, marks=BOUNDS_ONLY_GAPS),
        pytest.param(ArticleSupabaseAsync, marks=BOUNDS_ONLY_GAPS),
        SupabaseAsync,
    ],
)
async def test_row_21_a_body_that_drips_ends_at_the_deadline(kind: type[Client]) -> None:
    """Each byte comes in time, the whole does not."""
    with FaultServer(drip(25)) as server:
        async with kind(server.url, KEY, timeout=0.5) as client:  # type: ignore[call-arg]
            start = time.perf_counter()
            with pytest.raises(DeadlineExceeded, match="the response") as caught:
                await client.select("t")
            assert 0.45 < time.perf_counter() - start < 2  # the whole body takes 2.5 s
    assert caught.value.phase == "response"


async def test_row_22_the_deadline_says_it_waited_for_a_slot() -> None:
    """Another call holds the only slot."""
    with FaultServer(hang) as server:
        async with SupabaseAsync(server.url, KEY, limit=1, timeout=0.3) as client:
            results = await asyncio.gather(client.select("t"), client.insert("t", {}), return_exceptions=True)
    assert [one.phase for one in results if isinstance(one, DeadlineExceeded)] == ["response", "slot"]
    assert "applied" not in str(results[1])


async def test_row_22_the_deadline_says_it_waited_for_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other side takes the connection and never answers the TLS handshake: not a byte of the request was sent."""
    loop, ahead = asyncio.get_running_loop(), 0.0
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + ahead)  # no machine is too slow for this clock
    with FaultServer(hang) as server:
        async with SupabaseAsync(server.url.replace("http:", "https:"), KEY, timeout=60) as client:
            call = asyncio.create_task(client.insert("t", {"id": 1}))
            while not server.accepted:
                await asyncio.sleep(0.01)
            ahead = 60.0
            with pytest.raises(DeadlineExceeded, match="it waited for a connection$") as caught:
                await call
    assert (caught.value.phase, server.requests) == ("connect", [])
    assert type(caught.value.__cause__) is TimeoutError
    # What the deadline interrupted, exactly: the transport was connecting.
    interrupted = traceback.extract_tb(chain(caught.value)[-1].__traceback__)
    assert "_connected" in [frame.name for frame in interrupted]
    assert "exchange" not in [frame.name for frame in interrupted]


def chain(error: BaseException | None) -> list[BaseException]:
    """An error and its causes, the first cause last."""
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__
    return found


@pytest.mark.parametrize("verb", ["select", "insert"])
async def test_row_22_the_deadline_says_it_waited_for_the_answer(verb: str) -> None:
    """A write that got no answer may have been applied, and the error says so."""
    with FaultServer(hang) as server:
        async with SupabaseAsync(server.url, KEY, timeout=0.3) as client:
            with pytest.raises(TimeoutError) as caught:
                await (client.select("t") if verb == "select" else client.insert("t", {"id": 1}))
    assert isinstance(caught.value, DeadlineExceeded)
    assert caught.value.phase == "response"
    assert ("may have been applied" in str(caught.value)) == (verb == "insert")
    assert isinstance(caught.value.__cause__, TimeoutError)


async def test_row_22_the_deadline_says_it_waited_for_its_next_try() -> None:
    """A pause ends before the deadline by plan; only a blocked loop can make it last longer."""
    with FaultServer(reply("503 Busy", b"{}", "Retry-After: 1")) as server:
        async with SupabaseAsync(server.url, KEY, timeout=1.5) as client:
            call = asyncio.create_task(client.select("t"))
            while not server.finished:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            time.sleep(1.7)  # somebody blocks the loop
            with pytest.raises(DeadlineExceeded, match="its retry") as caught:
                await call
    assert caught.value.phase == "pause"


@pytest.mark.parametrize(
    "fault",
    [half_body, die, break_off, raw(b"garbage\r\n\r\n"), raw(b"HTTP/1.1 abc OK\r\n\r\n"), raw(b"\x00" * 100)],
    ids=["half body", "no answer", "reset", "garbage", "garbage status", "zeros"],
)
async def test_row_27_a_broken_answer_is_a_lost_connection(fault: Fault) -> None:
    """A read is tried three times, then ConnectionLost with a text; one good answer in between is enough."""
    with FaultServer(fault) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            with pytest.raises(ConnectionLost, match="no response from http") as caught:
                await client.select("t")
            assert isinstance(caught.value.__cause__, httpx.TransportError)
            assert len(server.requests) == 3
            server.requests.clear()
            server.fault = in_turn(fault, reply())
            assert await client.select("t") == ONE
            server.fault = fault
            with pytest.raises(OutcomeUnknown):
                await client.insert("t", {"id": 1})


async def test_the_deadline_covers_all_tries_together() -> None:
    """Three slow failures would take 1.2 s and more: the time given is for all of them."""
    with FaultServer(slow(0.4, reply("503 Busy", b"{}"))) as server:
        async with SupabaseAsync(server.url, KEY, timeout=0.6) as client:
            start = time.perf_counter()
            with pytest.raises((DeadlineExceeded, ApiError)):
                await client.select("t")
            assert time.perf_counter() - start < 1.1
    assert len(server.requests) <= 2
