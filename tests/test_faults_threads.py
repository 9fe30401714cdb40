"""Rows 13-16 of the fault table: the threads of the fake client, whose faults the course teaches."""

from __future__ import annotations

import asyncio
import time

import pytest
import requests
from faultserver import FaultServer, hang, reply, slow
from labwork import soon

from supalab import ArticleSupabaseAsync, FakeSupabaseAsync, SupabaseAsync
from supalab.clients.base import Client
from supalab.clients.session import SessionSupabaseAsync

KEY = "sb_publishable_of_these_tests"
ONE = [{"id": 1}]


async def until(server: FaultServer, seen: int) -> None:
    async with asyncio.timeout(5):
        while len(server.requests) < seen:
            await asyncio.sleep(0.01)


async def test_row_13_cancelling_fake_async_does_not_stop_a_write() -> None:
    """The caller is cancelled immediately, but the row is written: nobody can stop a thread."""
    server_s = 2.0
    with FaultServer(slow(server_s)) as server:
        async with FakeSupabaseAsync(server.url, KEY) as client:
            call = asyncio.create_task(client.insert("t", {"id": 1}))
            await until(server, 1)
            call.cancel()
            start = time.perf_counter()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert time.perf_counter() - start < server_s / 2, "the caller is free at once"
            assert server.finished == []
        # Leaving waits for the thread, so the time that cancelling seemed to save is spent here.
        assert soon(lambda: len(server.finished) == 1), "the server notes it after the thread has its response"
        assert server.left == []


NOBODY_STOPS_A_THREAD = pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="nobody can stop a thread: the caller is told 'cancelled', and the row is written all the same",
)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(FakeSupabaseAsync, marks=NOBODY_STOPS_A_THREAD),
        pytest.param(SessionSupabaseAsync, marks=NOBODY_STOPS_A_THREAD),
        ArticleSupabaseAsync,
        SupabaseAsync,
    ],
)
async def test_row_13_cancelling_a_write_hangs_up(kind: type[Client]) -> None:
    """The server sees the disconnect, and never finishes the write."""
    with FaultServer(slow(0.5)) as server:
        async with kind(server.url, KEY) as client:  # type: ignore[call-arg]
            call = asyncio.create_task(client.insert("t", {"id": 1}))
            await until(server, 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        while server.now:
            await asyncio.sleep(0.01)
        assert (len(server.left), server.finished) == (1, [])


@pytest.mark.parametrize("kind", [FakeSupabaseAsync, SessionSupabaseAsync])
async def test_row_13_closing_drops_what_still_waits_for_a_thread(kind: type[FakeSupabaseAsync]) -> None:
    """Close with ten calls and one thread: what the thread has begun is finished, the rest is never sent."""
    with FaultServer(slow(0.3)) as server:
        client = kind(server.url, KEY, limit=1)
        calls = [asyncio.create_task(client.select("t")) for _ in range(10)]
        await until(server, 1)
        await client.aclose()
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert results[0] == ONE
    assert [type(one) for one in results[1:]] == [asyncio.CancelledError] * 9
    assert len(server.requests) == 1


def test_row_14_a_server_that_never_answers_holds_the_fake_client_no_longer_than_its_timeout() -> None:
    """requests waits forever by default; the fake client sets a timeout, so a program ends."""

    async def program() -> None:
        async with FakeSupabaseAsync(server.url, KEY, timeout=0.5) as client:
            with pytest.raises(requests.Timeout):
                await client.select("t")

    with FaultServer(hang) as server:
        start = time.perf_counter()
        asyncio.run(program())
        assert 0.4 < time.perf_counter() - start < 3


@pytest.mark.parametrize("kind", [FakeSupabaseAsync, SessionSupabaseAsync])
async def test_row_15_there_are_as_many_threads_as_the_limit_says(kind: type[FakeSupabaseAsync]) -> None:
    """The default executor's size depends on the machine's cores; our own has the requested size."""
    with FaultServer(slow(0.1)) as server:
        async with kind(server.url, KEY, limit=12) as client:
            await asyncio.gather(*(client.select("t") for _ in range(36)))
    assert server.peak == 12


@pytest.mark.parametrize(("kind", "most"), [(FakeSupabaseAsync, 60), (SessionSupabaseAsync, 12)])
async def test_row_16_connections_of_threads(kind: type[FakeSupabaseAsync], most: int) -> None:
    """requests.get opens a connection for each request; a Session whose pool is as large as the limit keeps its own."""
    with FaultServer(reply()) as server:
        async with kind(server.url, KEY, limit=12) as client:
            await asyncio.gather(*(client.select("t") for _ in range(60)))
    assert server.accepted == 60 if most == 60 else server.accepted <= 12
