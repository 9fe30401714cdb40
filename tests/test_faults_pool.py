"""Rows 1-12 of the fault table: queues, connections, event loops, closing; compared with the article's client."""

from __future__ import annotations

import asyncio
import cProfile
import gc
import pstats
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from faultserver import FaultServer, hang, reply, slow

from supalab import ArticleSupabaseAsync, SupabaseAsync
from supalab.clients.base import Client
from supalab.clients.transports import pooled_transport
from supalab.errors import ClientClosed, ClientError, DeadlineExceeded

KEY = "sb_publishable_of_these_tests"


async def burst(client: Client, callers: int) -> list[Any]:
    return await asyncio.gather(*(client.select("t") for _ in range(callers)), return_exceptions=True)


async def cancel_in_the_queue(client: Client, rounds: int) -> None:
    """Callers queue and are cancelled, at random moments, while others are served."""
    chance = random.Random(1)

    async def worker() -> None:
        for _ in range(rounds):
            call = asyncio.create_task(client.select("t"))
            await asyncio.sleep(chance.uniform(0, 0.03))
            call.cancel()
            with suppress(asyncio.CancelledError, httpx.HTTPError):
                await call

    await asyncio.gather(*(worker() for _ in range(20)))


KEEPS_CONNECTIONS = pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="in httpx's pool a caller who is cancelled as his turn comes keeps his connection: soon none is left",
)


@pytest.mark.parametrize("kind", [SupabaseAsync, pytest.param(ArticleSupabaseAsync, marks=KEEPS_CONNECTIONS)])
async def test_row_01_cancelled_callers_leave_the_queue_whole(kind: type[Client]) -> None:
    """After hundreds of cancellations in the queue, ``limit`` plain calls run at once."""
    with FaultServer(slow(0.02)) as server:
        async with kind(server.url, KEY, limit=2, timeout=2) as client:  # type: ignore[call-arg]
            await cancel_in_the_queue(client, 30)
            await server.calm(slow(0.2))
            assert await burst(client, 2) == [[{"id": 1}]] * 2
            assert server.peak == 2


async def test_row_02_the_deadline_covers_the_wait_for_a_slot() -> None:
    """Six waves of 0.3 s on a limit of 5 with 0.5 s of time: the first wave is served, the late are told so in time."""
    with FaultServer(slow(0.3)) as server:
        async with SupabaseAsync(server.url, KEY, limit=5, timeout=0.5) as client:
            start = time.perf_counter()
            results = await burst(client, 30)
            took = time.perf_counter() - start
    served = [one for one in results if isinstance(one, list)]
    late = [one for one in results if isinstance(one, DeadlineExceeded)]
    assert len(served) >= 1
    assert len(served) + len(late) == 30
    assert {"slot"} <= {one.phase for one in late} <= {"slot", "response"}
    assert took < 1.2  # all waves take 1.8 s


async def test_row_02_in_the_articles_client_nothing_bounds_the_whole() -> None:
    """A timeout of 0.5 s counts for each phase alone: 0.4 s in the queue and 0.4 s of service are both in time."""
    took = []

    async def timed(client: Client) -> None:
        start = time.perf_counter()
        await client.select("t")
        took.append(time.perf_counter() - start)

    with FaultServer(slow(0.4)) as server:
        async with ArticleSupabaseAsync(server.url, KEY, limit=2, timeout=0.5) as client:
            await asyncio.gather(*(timed(client) for _ in range(4)), return_exceptions=True)
    assert max(took) > 0.7


async def calls_per_request(client: Client, callers: int) -> float:
    """Function calls in this thread for each of ``callers`` requests made at once."""
    await burst(client, callers)  # connections are there
    profile = cProfile.Profile()
    with profile:
        results = await burst(client, callers)
    assert not [one for one in results if isinstance(one, BaseException)]
    return int(pstats.Stats(profile).total_calls) / callers  # type: ignore[attr-defined]


async def test_row_03_a_long_queue_costs_no_more_for_each() -> None:
    """The work per request is the same whether 100 or 400 callers wait."""
    with FaultServer(reply()) as server:
        async with SupabaseAsync(server.url, KEY, limit=10) as client:
            short, long = [await calls_per_request(client, callers) for callers in (100, 400)]
    assert long < 1.3 * short


async def test_row_03_the_articles_queue_costs_more_the_longer_it_is() -> None:
    """httpx looks through its whole queue at each step: with four times the callers each request costs more."""
    with FaultServer(reply()) as server:
        async with ArticleSupabaseAsync(server.url, KEY, limit=10) as client:
            short, long = [await calls_per_request(client, callers) for callers in (100, 400)]
    assert long > 1.3 * short


@pytest.mark.parametrize(
    ("kind", "most", "least"), [(SupabaseAsync, 1.5, 0.5), (ArticleSupabaseAsync, 11, 3)], ids=["real", "article"]
)
async def test_row_04_connections_are_kept(kind: type[Client], most: float, least: float) -> None:
    """Ours opens as many connections as the limit; the article's keeps only half and reconnects all the time."""
    limit = 30
    with FaultServer(slow(0.02)) as server:
        async with kind(server.url, KEY, limit=limit) as client:  # type: ignore[call-arg]
            await burst(client, 300)
    assert least * limit <= server.accepted <= most * limit


@pytest.mark.parametrize("callers", [1, 50])
def test_row_05_and_06_one_client_in_three_event_loops(callers: int) -> None:
    """Each asyncio.run gets a pool and a gate of its own; the one before was closed with its loop."""
    with FaultServer(reply()) as server:
        client = SupabaseAsync(server.url, KEY, limit=5)
        for _ in range(3):
            assert asyncio.run(burst(client, callers)) == [[{"id": 1}]] * callers
        gc.collect()
        wait_for(lambda: server.open == 0)
        assert server.accepted <= 3 * 5
        asyncio.run(client.aclose())


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not what() and time.monotonic() < end:
        time.sleep(0.01)
    assert what()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_row_05_the_articles_client_breaks_in_a_second_loop() -> None:
    """Its kept connection belongs to a loop that is gone: the second asyncio.run fails, though it looks open."""
    with FaultServer(reply()) as server:
        client = ArticleSupabaseAsync(server.url, KEY)
        asyncio.run(client.select("t"))
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            asyncio.run(client.select("t"))
        del client
        gc.collect()


async def test_row_07_fifty_first_calls_make_one_pool() -> None:
    """However many callers come first, they share what is made once."""
    made = []

    def counted(settings: Any) -> httpx.AsyncBaseTransport:
        made.append(settings)
        return pooled_transport(settings)

    with FaultServer(slow(0.02)) as server:
        async with SupabaseAsync(server.url, KEY, limit=5, transport=counted) as client:
            await burst(client, 50)
    assert (len(made), server.accepted) == (1, 5)


def test_row_07_thirty_threads_with_loops_of_their_own() -> None:
    """One thread has the client; the others are told so in words, or have it after that one's loop has ended."""
    results: list[Any] = []
    together = threading.Barrier(30)

    def thread() -> None:
        together.wait()
        results.append(asyncio.run(burst(client, 2)))

    with FaultServer(slow(0.1)) as server:
        client = SupabaseAsync(server.url, KEY)
        threads = [threading.Thread(target=thread) for _ in range(30)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        asyncio.run(client.aclose())
    good = [result for result in results if result == [[{"id": 1}]] * 2]
    refused = [result for result in results if "another event loop" in str(result[0])]
    assert good
    assert len(good) + len(refused) == 30
    assert all(type(one) is ClientError for result in refused for one in result)


async def test_row_08_closed_is_closed_and_open_is_open_once() -> None:
    """A call after the end, a second opening and an opening after the end: each error names the cure."""
    with FaultServer(reply()) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            await client.select("t")
            with pytest.raises(ClientError, match="use one"):
                await client.__aenter__()
    with pytest.raises(ClientClosed, match="async with"):
        await client.select("t")
    with pytest.raises(ClientClosed, match="async with"):
        async with client:
            pass


async def forgotten(*clients: Client) -> None:
    for client in clients:
        await client.select("t")
    del client, clients
    gc.collect()


async def test_row_09_a_client_that_is_never_closed_is_reported() -> None:
    """A ResourceWarning when it is thrown away; its connections are closed all the same."""
    with FaultServer(reply()) as server:
        with pytest.warns(ResourceWarning, match="never closed"):
            await forgotten(SupabaseAsync(server.url, KEY))
        await asyncio.to_thread(wait_for, lambda: server.open == 0)


def test_row_09_a_client_that_was_never_used_has_nothing_to_report(recwarn: pytest.WarningsRecorder) -> None:
    """Nothing was opened, so nothing was left open."""
    SupabaseAsync("http://127.0.0.1:9", KEY)
    gc.collect()
    assert not recwarn.list


@pytest.mark.parametrize("verb", ["read", "write"])
async def test_row_11_closing_ends_every_call_in_words(verb: str) -> None:
    """A call in flight, one in the queue and one before its next try all raise ClientClosed, at once."""
    with FaultServer(hang) as server:
        client = SupabaseAsync(server.url, KEY, limit=1, timeout=20)
        calls = [
            asyncio.create_task(client.select("t") if verb == "read" else client.insert("t", {"id": 1}))
            for _ in range(3)
        ]
        await asyncio.to_thread(wait_for, lambda: len(server.requests) == 1)
        start = time.perf_counter()
        await client.aclose()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert time.perf_counter() - start < 5
        assert [type(one) for one in results] == [ClientClosed] * 3
        assert ("may have been applied" in str(results[0])) == (verb == "write")
        assert len(server.requests) == 1
        await asyncio.to_thread(wait_for, lambda: server.open == 0)


async def test_row_11_closing_ends_a_pause_between_tries() -> None:
    """A call that waits for its next try does not outlive its client."""
    with FaultServer(reply("503 Busy", b"{}", "Retry-After: 15")) as server:
        client = SupabaseAsync(server.url, KEY, timeout=20)
        call = asyncio.create_task(client.select("t"))
        await asyncio.to_thread(wait_for, lambda: len(server.finished) == 1)
        await asyncio.sleep(0.05)
        await client.aclose()
        with pytest.raises(ClientClosed):
            await asyncio.wait_for(call, 5)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_row_11_the_articles_calls_end_without_a_word() -> None:
    """httpx ends the calls with an error whose text is empty."""
    with FaultServer(hang) as server:
        client = ArticleSupabaseAsync(server.url, KEY)
        call = asyncio.create_task(client.select("t"))
        await asyncio.to_thread(wait_for, lambda: len(server.requests) == 1)
        await client.aclose()
        with pytest.raises(httpx.ReadError) as caught:
            await call
    assert str(caught.value) == ""


async def test_row_12_a_cancelled_call_gives_back_its_connection() -> None:
    """The server sees the caller leave, and the next call is served with a limit of one."""
    with FaultServer(hang) as server:
        async with SupabaseAsync(server.url, KEY, limit=1) as client:
            call = asyncio.create_task(client.select("t"))
            await asyncio.to_thread(wait_for, lambda: len(server.requests) == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.to_thread(wait_for, lambda: len(server.left) == 1)
            server.fault = reply()
            assert await client.select("t") == [{"id": 1}]


async def test_closing_from_another_loop_closes_the_pool_where_it_lives() -> None:
    """aclose in a second thread's loop: the calls here end with ClientClosed and the connection is closed."""
    with FaultServer(hang) as server:
        client = SupabaseAsync(server.url, KEY)
        call = asyncio.create_task(client.select("t"))
        await asyncio.to_thread(wait_for, lambda: len(server.requests) == 1)
        await asyncio.to_thread(lambda: asyncio.run(client.aclose()))
        with pytest.raises(ClientClosed):
            await asyncio.wait_for(call, 5)
        await asyncio.to_thread(wait_for, lambda: server.open == 0)


class SlowToClose(httpx.AsyncBaseTransport):
    """A transport whose end takes a while, and says when it is reached; ``wrong`` is raised there."""

    def __init__(self, wrong: Exception | None = None) -> None:
        self.closed = False
        self.wrong = wrong

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[{"id": 1}])

    async def aclose(self) -> None:
        await asyncio.sleep(0.3)
        self.closed = True
        if self.wrong:
            raise self.wrong


async def test_closing_from_another_loop_is_done_when_it_returns() -> None:
    """aclose waits for the client's own loop, so whoever called it may count on the end of all connections."""
    transport = SlowToClose()
    client = SupabaseAsync("http://db.test", KEY, transport=lambda _: transport)
    await client.select("t")

    async def elsewhere() -> bool:
        await client.aclose()
        return transport.closed

    assert await asyncio.to_thread(lambda: asyncio.run(elsewhere()))


async def test_what_goes_wrong_while_closing_from_another_loop_is_told_there() -> None:
    """The error of the transport's end reaches the caller of aclose, not only a log."""
    client = SupabaseAsync("http://db.test", KEY, transport=lambda _: SlowToClose(OSError("no end")))
    await client.select("t")
    with pytest.raises(OSError, match="no end"):
        await asyncio.to_thread(lambda: asyncio.run(client.aclose()))


async def test_closing_from_another_loop_waits_no_longer_than_the_timeout() -> None:
    """The client's loop is blocked by the very thread that closes: no deadlock, and the loop closes it afterwards."""
    transport = SlowToClose()
    client = SupabaseAsync("http://db.test", KEY, timeout=0.3, transport=lambda _: transport)
    await client.select("t")
    thread = threading.Thread(target=lambda: asyncio.run(client.aclose()))
    thread.start()
    thread.join(10)  # on the loop, on purpose
    assert not thread.is_alive()
    assert not transport.closed
    async with asyncio.timeout(5):
        while not transport.closed:
            await asyncio.sleep(0.01)


def test_closing_for_a_loop_that_rests_does_not_wait_for_it() -> None:
    """A loop between two calls closes the pool when it next runs; nobody waits for that."""
    transport = SlowToClose()
    client = SupabaseAsync("http://db.test", KEY, transport=lambda _: transport)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(client.select("t"))
        asyncio.run(asyncio.wait_for(client.aclose(), 5))
        assert not transport.closed
        loop.run_until_complete(asyncio.sleep(0.6))
        assert transport.closed
    finally:
        loop.close()
