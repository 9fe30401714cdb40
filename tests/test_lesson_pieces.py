"""The parts of notebooks 04 to 06: a small client, faulty servers, charts of rows, sockets, callers and chunks."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import httpx
import pytest
import requests

from supalab import ArticleSupabaseAsync, Lab
from supalab.course import charts
from supalab.course.exercises.clients import open_sockets
from supalab.course.faulty_servers import faulty_server
from supalab.course.small import SmallClient
from supalab.errors import ApiError, SettingsError
from supalab.lab.witness import Witness
from supalab.report.plot import description as describe


@pytest.fixture
def lab() -> Lab:
    with Lab() as lab:
        yield lab


@pytest.fixture
async def client() -> httpx.AsyncClient:
    async with httpx.AsyncClient(timeout=0.5, trust_env=False) as client:
        yield client


async def test_the_small_client_reads_raises_and_stays_open(lab: Lab) -> None:
    """One way out for rows and errors; nothing is opened before the first request, and nothing is closed after it."""
    db = SmallClient(lab.url, lab.key)
    assert (db._client, open_sockets(lab)) == (None, 0)
    assert [row["id"] for row in await db.select("contests", limit="2", order="id")] == [1, 2]
    assert await db._request("PATCH", "contests", params={"id": "eq.1"}, json={"prize": 1}) == []
    with pytest.raises(ApiError, match="404 PGRST205"):
        await db.select("no_such_table")
    assert (open_sockets(lab), lab.witness().connections) == (1, 1)
    await db._client.aclose()


async def after_each(job: Callable[[], Awaitable[object]], lab: Lab, *, times: int) -> list[int]:
    """As notebook 05 has it on the page."""
    before, counts = open_sockets(lab), []
    for _ in range(times):
        await job()
        counts.append(open_sockets(lab) - before)
    return counts


async def test_sockets_are_counted_for_each_way_of_closing(lab: Lab) -> None:
    """What is kept adds up, a block leaves nothing, and neither is charged with what was open before."""
    kept: list[SmallClient] = []

    async def keep() -> None:
        kept.append(SmallClient(lab.url, lab.key))
        await kept[-1].select("contests", limit="1")

    async def close() -> None:
        async with ArticleSupabaseAsync(lab.url, lab.key) as db:
            await db.select("contests", limit=1)

    ways = {"kept": await after_each(keep, lab, times=3), "closed": await after_each(close, lab, times=3)}
    for one in kept:
        await one._client.aclose()
    assert ways == {"kept": [1, 2, 3], "closed": [0, 0, 0]}
    assert describe(charts.sockets(ways)).endswith(
        "kept: 3 open after 3 clients, 3 at most. closed: 0 open after 3 clients, 0 at most."
    )


def test_a_chart_of_sockets_names_every_way() -> None:
    """Lines that end at one height differ in marker and dash, and the legend has all of them."""
    ways = {"one": [1, 2], "two": [2, 2], "three": [0, 2]}
    ax = charts.sockets(ways).axes[0]
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["one: 2 open", "two: 2 open", "three: 2 open"]
    assert len({(line.get_marker(), line.get_linestyle(), line.get_color()) for line in ax.lines}) == 3


@pytest.mark.parametrize(
    ("server", "old", "new"),
    [
        ("closes", requests.ConnectionError, httpx.RemoteProtocolError),
        ("silent", requests.Timeout, httpx.ConnectTimeout),
    ],
)
async def test_a_server_fails_both_libraries_in_its_own_manner(
    server: str, old: type[Exception], new: type[Exception], client: httpx.AsyncClient
) -> None:
    """Blocking and asyncio callers meet the same fault, twice."""
    with faulty_server(server) as url:
        for _ in range(2):
            with pytest.raises(old):
                await asyncio.to_thread(requests.get, url, timeout=0.2)
            with pytest.raises(new):
                await client.get(url)


async def test_a_page_is_a_good_answer_that_is_no_json(client: httpx.AsyncClient) -> None:
    """Its status shows no error."""
    with faulty_server("html") as url:
        answer = await client.get(url)
    assert answer.is_success
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()


async def test_nobody_listens_at_a_closed_port(client: httpx.AsyncClient) -> None:
    """It was free a moment ago."""
    with faulty_server("refuses") as url, pytest.raises(httpx.ConnectError):
        await client.get(url)


def test_an_unknown_fault_is_refused_in_one_line() -> None:
    """The message names the faults that there are."""
    with pytest.raises(SettingsError, match="no fault 'odd': choose from refuses, closes"), faulty_server("odd"):
        pass


def test_odd_servers_leave_no_thread_and_no_listener() -> None:
    """Even if a client is still waiting for a byte."""
    threads = set(threading.enumerate())
    with faulty_server("silent") as url, faulty_server("slow", gap_s=30.0) as slow:
        address = urlsplit(url)
        waiting = socket.create_connection((address.hostname, address.port))
        reader = socket.create_connection((address.hostname, urlsplit(slow).port))
        reader.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert reader.recv(10) == b"HTTP/1.1 2"
    waiting.close()
    reader.close()
    assert set(threading.enumerate()) == threads
    with pytest.raises(OSError):
        socket.create_connection((address.hostname, address.port), timeout=1)


async def test_a_slow_server_is_never_slow_enough_for_a_read_timeout(client: httpx.AsyncClient) -> None:
    """Chunks that come faster than the timeout all arrive, long after it; slower ones are a timeout."""
    with faulty_server("slow", gap_s=0.1, size=12) as url:
        began = time.perf_counter()
        assert len((await client.get(url)).content) == 12
        assert 2 * 0.5 < time.perf_counter() - began < 10
    with faulty_server("slow", gap_s=2.0, size=3) as url, pytest.raises(httpx.ReadTimeout):
        await client.get(url)


def test_a_picture_of_drops_says_how_each_answer_ended() -> None:
    """With the longest gap, which is what a read timeout is compared with."""
    read = {"a, first": ((0.1, 0.2, 0.5), 0.5, "answered"), "b": ((0.1,), 0.4, "TimeoutError")}
    said = describe(charts.chunks(read, read_timeout=0.35))
    assert "a, first: 3 chunks, the longest gap 300 ms, answered after 500 ms." in said
    assert "b: 1 chunk, the longest gap 100 ms, TimeoutError after 400 ms." in said


def seen(*timeline: tuple[float, int], abandoned: int = 0) -> Witness:
    peak = max(number for _, number in timeline)
    return Witness(peak, 0, len(timeline) // 2, 1, abandoned, 1.0, timeline)


def test_a_new_callers_wait_for_a_slot_is_read_off_the_labs_record() -> None:
    """The last request to arrive is the new caller's, whatever else comes and goes."""
    fake = 0.1, 0.9, seen((0.0, 1), (0.01, 2), (0.5, 1), (0.51, 2), (0.52, 1), (1.0, 0))
    real = 0.1, 0.5, seen((0.0, 1), (0.01, 2), (0.099, 3), (0.5, 2), (0.5, 1), (0.6, 0), abandoned=2)
    assert (fake[2].last_arrival_s, real[2].last_arrival_s) == (0.51, 0.099)
    said = describe(charts.cancellation({"fake-2": fake, "real-2": real}))
    assert "fake-2: all callers are cancelled after 100 ms; a new caller's request reaches the lab 410 ms later" in said
    assert "the lab saw 2 clients disconnect" in said


def test_rows_that_were_found_are_drawn_and_counted() -> None:
    """A square for each row, larger if it was found; a refusal is said in its own words."""
    fig = charts.rows_found({"a": ([1, 2], [1]), "b": ("an error, 400", [])}, range(1, 121))
    sizes = [ax.collections[0].get_sizes() for ax in fig.axes]  # type: ignore[attr-defined]
    assert [(len(each), sum(each > min(sizes[0]))) for each in sizes] == [(120, 2), (120, 1), (120, 0), (120, 0)]
    said = describe(fig)
    assert "'a': 2 of 120 rows glued into the address, 1 of 120 rows passed as data." in said
    assert "'b': an error, 400 glued into the address, 0 of 120 rows passed as data." in said


async def test_a_read_timeout_limits_gaps_and_a_deadline_the_whole() -> None:
    """Chunks that come faster than the timeout all arrive; a deadline ends the same response in the middle."""

    async def read(client: httpx.AsyncClient, url: str) -> list[float]:
        began, arrived = time.perf_counter(), []
        async with client.stream("GET", url) as response:
            async for _ in response.aiter_raw():
                arrived.append(time.perf_counter() - began)
        return arrived

    async with httpx.AsyncClient(timeout=0.6, trust_env=False) as client:
        with faulty_server("slow", gap_s=0.1, size=12) as url:
            alone, within = await asyncio.gather(
                read(client, url), asyncio.wait_for(read(client, url), 0.7), return_exceptions=True
            )
        with faulty_server("slow", gap_s=2.0, size=3) as url, pytest.raises(httpx.ReadTimeout):
            await read(client, url)
    assert not isinstance(alone, BaseException)
    assert len(alone) == 12
    assert alone[-1] > 2 * 0.5
    assert isinstance(within, TimeoutError)
