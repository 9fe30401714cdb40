"""The zoo: many kinds of client, and what the probe must say about each.

``python tests/probe_clients.py --runs 4`` probes every kind four times and prints a table and the mistakes.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import multiprocessing
import os
import queue
import shutil
import socket
import tempfile
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import anyio.to_thread
import httpx
import requests

from supalab import ArticleSupabaseAsync, FakeSupabaseAsync, SessionSupabaseAsync, SupabaseAsync
from supalab.probe.judge import BLOCKING, FAKE, MIXED, OUTSIDE, PROCESSES, REAL

PATH = "/rest/v1/contests?select=id&limit=5"
Call = Callable[[], Any]


@dataclass(frozen=True)
class Kind:
    """One kind of client: ``make(url, key)`` opens it; ``expect``: the verdict; ``remark``: one that it must have."""

    make: Callable[[str, str], Any]
    expect: str
    remark: str | None = None
    needs: str | None = None

    @property
    def name(self) -> str:
        return self.make.__name__

    def remarked(self, verdict: Any) -> bool:
        """Return whether the verdict has the remark; after one that ends with `` for``, a measured time follows."""
        if self.remark and self.remark.endswith(" for"):
            return any(said.startswith(self.remark) for said in verdict.remarks)
        return self.remark is None or self.remark in verdict.remarks

    def lacking(self) -> bool:
        """Return whether a package or program that it needs is missing."""
        if self.needs is None:
            return False
        if self.needs.startswith("/"):
            return shutil.which(self.needs[1:]) is None
        try:
            importlib.import_module(self.needs)
        except ImportError:
            return True
        return False


ZOO: list[Kind] = []


def kind(expect: str, remark: str | None = None, needs: str | None = None) -> Callable[[Any], Any]:
    """Add a client to the zoo."""

    def put(make: Any) -> Any:
        opener = asynccontextmanager(make)
        ZOO.append(Kind(functools.wraps(make)(opener), expect, remark, needs))
        return make

    return put


def headers(key: str) -> dict[str, str]:
    return {"apikey": key, "Authorization": f"Bearer {key}"}


def get(url: str, key: str, session: Any = requests) -> Any:
    return session.get(url + PATH, headers=headers(key), proxies={"http": "", "https": ""}, timeout=30).json()


async def in_threads(call: Callable[[], Any], pool: ThreadPoolExecutor) -> Any:
    return await asyncio.get_running_loop().run_in_executor(pool, call)


def answered(future: asyncio.Future[Any], rows: Any = None) -> None:
    if not future.done():
        future.set_result(rows)


# Blocking: an async def that never lets the loop run.


@kind(BLOCKING, "no connection reuse")
async def blocking_requests(url: str, key: str) -> AsyncIterator[Call]:
    async def call() -> Any:
        return get(url, key)

    yield call


@kind(BLOCKING)
async def blocking_session(url: str, key: str) -> AsyncIterator[Call]:
    with requests.Session() as session:

        async def call() -> Any:
            return get(url, key, session)

        yield call


@kind(BLOCKING)
async def blocking_httpx(url: str, key: str) -> AsyncIterator[Call]:
    with httpx.Client(headers=headers(key), trust_env=False) as client:

        async def call() -> Any:
            return client.get(url + PATH).json()

        yield call


@kind(BLOCKING, needs="supabase")
async def blocking_supabase(url: str, key: str) -> AsyncIterator[Call]:
    supabase = importlib.import_module("supabase")
    with httpx.Client(trust_env=False) as http:
        client = supabase.create_client(url, key, supabase.ClientOptions(httpx_client=http))

        async def call() -> Any:
            return client.table("contests").select("id").limit(5).execute().data

        yield call


@kind(BLOCKING, "no connection reuse")
async def blocking_urllib(url: str, key: str) -> AsyncIterator[Call]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    async def call() -> Any:
        with opener.open(urllib.request.Request(url + PATH, headers=headers(key))) as answer:
            return answer.read()

    yield call


@kind(BLOCKING)
async def generator_over_a_sync_one(url: str, key: str) -> AsyncIterator[Call]:
    def rows() -> Any:
        yield from get(url, key)

    async def call() -> Any:
        for row in rows():
            yield row

    yield call


@kind(BLOCKING)
async def pool_waited_for_by_the_loop(url: str, key: str) -> AsyncIterator[Call]:
    with ThreadPoolExecutor(10) as pool:

        async def call() -> Any:
            return pool.submit(get, url, key).result()

        yield call


@kind(BLOCKING, needs="pycurl")
async def blocking_pycurl(url: str, key: str) -> AsyncIterator[Call]:
    async def call() -> None:
        curl_easy(url, key)

    yield call


# Fake async: threads wait.


@kind(FAKE, "limited to 3")
async def our_fake(url: str, key: str) -> AsyncIterator[Call]:
    async with FakeSupabaseAsync(url, key) as db:
        yield lambda: db.select("contests", limit=5)


@kind(FAKE, "limited to 3")
async def our_session(url: str, key: str) -> AsyncIterator[Call]:
    async with SessionSupabaseAsync(url, key, limit=3) as db:
        yield lambda: db.select("contests", limit=5)


@kind(FAKE)
async def default_to_thread(url: str, key: str) -> AsyncIterator[Call]:
    yield lambda: asyncio.to_thread(get, url, key)


@kind(FAKE)
async def pool_of_200(url: str, key: str) -> AsyncIterator[Call]:
    with ThreadPoolExecutor(200) as pool:
        yield lambda: in_threads(lambda: get(url, key), pool)


@kind(FAKE, "limited to 8")
async def warm_pool(url: str, key: str) -> AsyncIterator[Call]:
    with ThreadPoolExecutor(8) as pool:
        await asyncio.gather(*(in_threads(lambda: time.sleep(0.05), pool) for _ in range(8)))
        yield lambda: in_threads(lambda: get(url, key), pool)


@kind(FAKE)
async def pool_per_call(url: str, key: str) -> AsyncIterator[Call]:
    async def call() -> Any:
        pool = ThreadPoolExecutor(1)
        try:
            return await in_threads(lambda: get(url, key), pool)
        finally:
            pool.shutdown(wait=False)

    yield call


@kind(FAKE)
async def anyio_threads(url: str, key: str) -> AsyncIterator[Call]:
    yield lambda: anyio.to_thread.run_sync(get, url, key)


@kind(FAKE, "limited to 10")
async def session_for_each_thread(url: str, key: str) -> AsyncIterator[Call]:
    own = threading.local()

    def work() -> Any:
        if not hasattr(own, "session"):
            own.session = requests.Session()
        return get(url, key, own.session)

    with ThreadPoolExecutor(10) as pool:
        yield lambda: in_threads(work, pool)


@kind(FAKE)
async def sync_httpx_in_threads(url: str, key: str) -> AsyncIterator[Call]:
    with httpx.Client(headers=headers(key), trust_env=False) as client:
        yield lambda: asyncio.to_thread(client.get, url + PATH)


@kind(FAKE, needs="supabase")
async def sync_supabase_in_threads(url: str, key: str) -> AsyncIterator[Call]:
    supabase = importlib.import_module("supabase")
    with httpx.Client(trust_env=False) as http:
        client = supabase.create_client(url, key, supabase.ClientOptions(httpx_client=http))
        query = client.table("contests").select("id")
        yield lambda: asyncio.to_thread(query.execute)


@kind(FAKE)
async def generator_in_threads(url: str, key: str) -> AsyncIterator[Call]:
    async def call() -> Any:
        for row in await asyncio.to_thread(get, url, key):
            yield row

    yield call


@kind(FAKE)
async def a_loop_in_each_thread(url: str, key: str) -> AsyncIterator[Call]:
    async def one() -> Any:
        async with httpx.AsyncClient(headers=headers(key), trust_env=False, verify=False) as client:
            return (await client.get(url + PATH)).json()

    with ThreadPoolExecutor(4) as pool:
        yield lambda: in_threads(lambda: asyncio.run(one()), pool)


@kind(FAKE)
async def own_threads_and_a_queue(url: str, key: str) -> AsyncIterator[Call]:
    jobs: queue.Queue[Any] = queue.Queue()
    loop = asyncio.get_running_loop()

    def worker() -> None:
        while (future := jobs.get()) is not None:
            rows = get(url, key)
            loop.call_soon_threadsafe(answered, future, rows)

    threads = [threading.Thread(target=worker) for _ in range(5)]
    for thread in threads:
        thread.start()

    async def call() -> Any:
        future = loop.create_future()
        jobs.put(future)
        return await future

    yield call
    for _ in threads:
        jobs.put(None)
    for thread in threads:
        thread.join()


@kind(FAKE, needs="pycurl")
async def pycurl_in_threads(url: str, key: str) -> AsyncIterator[Call]:
    with ThreadPoolExecutor(6) as pool:
        yield lambda: in_threads(lambda: curl_easy(url, key), pool)


@kind(FAKE, needs="curl_cffi")
async def sync_curl_cffi_in_threads(url: str, key: str) -> AsyncIterator[Call]:
    curl = importlib.import_module("curl_cffi.requests")
    with ThreadPoolExecutor(6) as pool:
        yield lambda: in_threads(lambda: curl.get(url + PATH, headers=headers(key)), pool)


# Real async: the event loop waits.


@kind(REAL)
async def httpx_async(url: str, key: str) -> AsyncIterator[Call]:
    async with httpx.AsyncClient(headers=headers(key), trust_env=False) as client:
        yield lambda: client.get(url + PATH)


@kind(REAL)
async def aiohttp_session(url: str, key: str) -> AsyncIterator[Call]:
    async with aiohttp.ClientSession(headers=headers(key)) as session:

        async def call() -> Any:
            async with session.get(url + PATH) as answer:
                return await answer.json()

        yield call


@kind(REAL, needs="httpx2")
async def httpx2_async(url: str, key: str) -> AsyncIterator[Call]:
    httpx2 = importlib.import_module("httpx2")
    async with httpx2.AsyncClient(headers=headers(key), trust_env=False) as client:
        yield lambda: client.get(url + PATH)


@kind(REAL, needs="supabase")
async def official_async(url: str, key: str) -> AsyncIterator[Call]:
    supabase = importlib.import_module("supabase")
    async with httpx.AsyncClient(trust_env=False) as http:
        client = await supabase.create_async_client(url, key, supabase.AsyncClientOptions(httpx_client=http))
        yield lambda: client.table("contests").select("id").limit(5).execute()


@kind(REAL, "limited to 10")
async def our_real(url: str, key: str) -> AsyncIterator[Call]:
    async with SupabaseAsync(url, key) as db:
        yield lambda: db.select("contests", limit=5)


@kind(REAL, "limited to 10")
async def the_articles(url: str, key: str) -> AsyncIterator[Call]:
    async with ArticleSupabaseAsync(url, key) as db:
        yield lambda: db.select("contests", limit=5)


@kind(REAL, "no connection reuse")
async def asyncio_streams(url: str, key: str) -> AsyncIterator[Call]:
    host, port = url.removeprefix("http://").split(":")

    async def call() -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port))
        lines = [f"GET {PATH} HTTP/1.1", f"Host: {host}:{port}", "Connection: close", f"apikey: {key}", "", ""]
        writer.write("\r\n".join(lines).encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    yield call


@kind(REAL, "no connection reuse")
async def loop_sock_calls(url: str, key: str) -> AsyncIterator[Call]:
    host, port = url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()

    async def call() -> bytes:
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, (host, int(port)))
            lines = [f"GET {PATH} HTTP/1.1", f"Host: {host}:{port}", "Connection: close", f"apikey: {key}", "", ""]
            await loop.sock_sendall(sock, "\r\n".join(lines).encode())
            answer = b""
            while part := await loop.sock_recv(sock, 65536):
                answer += part
            return answer

    yield call


@kind(REAL, "limited to 3")
async def semaphore_of_3(url: str, key: str) -> AsyncIterator[Call]:
    gate = asyncio.Semaphore(3)
    async with aiohttp.ClientSession(headers=headers(key)) as session:

        async def call() -> Any:
            async with gate, session.get(url + PATH) as answer:
                return await answer.json()

        yield call


@kind(REAL, "limited to 1")
async def a_lock_around_it(url: str, key: str) -> AsyncIterator[Call]:
    gate = asyncio.Lock()
    async with httpx.AsyncClient(headers=headers(key), trust_env=False) as client:

        async def call() -> Any:
            async with gate:
                return await client.get(url + PATH)

        yield call


@kind(REAL, "no connection reuse")
async def client_per_request(url: str, key: str) -> AsyncIterator[Call]:
    async def call() -> Any:
        async with httpx.AsyncClient(headers=headers(key), trust_env=False) as client:
            return (await client.get(url + PATH)).json()

    yield call


@kind(REAL)
async def by_hostname(url: str, key: str) -> AsyncIterator[Call]:
    named = url.replace("127.0.0.1", "localhost")  # threads look up the address
    connector = aiohttp.TCPConnector(use_dns_cache=False, force_close=True)
    async with aiohttp.ClientSession(headers=headers(key), connector=connector) as session:

        async def call() -> Any:
            async with session.get(named + PATH) as answer:
                return await answer.json()

        yield call


@kind(REAL)
async def files_in_threads_beside(url: str, key: str) -> AsyncIterator[Call]:
    def write(data: bytes) -> None:
        with tempfile.TemporaryFile() as file:
            for _ in range(50):
                file.write(data * 100)
                file.flush()
            time.sleep(0.1)

    async with aiohttp.ClientSession(headers=headers(key)) as session:

        async def call() -> None:
            async with session.get(url + PATH) as answer:
                await asyncio.to_thread(write, await answer.read())

        yield call


@kind(REAL)
async def telemetry_thread_beside(url: str, key: str) -> AsyncIterator[Call]:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stop = threading.Event()

        def post() -> None:
            while not stop.is_set():
                with socket.create_connection(silent.getsockname()) as out:
                    out.settimeout(0.2)
                    with suppress(TimeoutError):
                        out.recv(1)

        threads = [threading.Thread(target=post) for _ in range(4)]
        for thread in threads:
            thread.start()
        async with aiohttp.ClientSession(headers=headers(key)) as session:

            async def call() -> Any:
                async with session.get(url + PATH) as answer:
                    return await answer.json()

            yield call
        stop.set()
        for thread in threads:
            thread.join()


@kind(REAL)
async def work_on_the_processor_beside(url: str, key: str) -> AsyncIterator[Call]:
    async with aiohttp.ClientSession(headers=headers(key)) as session:

        async def call() -> int:
            async with session.get(url + PATH) as answer:
                await answer.read()
            return sum(range(400_000))

        yield call


@kind(REAL, "in an event loop of another thread")
async def real_in_another_loop(url: str, key: str) -> AsyncIterator[Call]:
    other = asyncio.new_event_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers=headers(key))

    async def ask() -> Any:
        async with session.get(url + PATH) as answer:
            return await answer.json()

    def there(doing: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(doing, other)

    session = await asyncio.wrap_future(there(make()))
    yield lambda: asyncio.wrap_future(there(ask()))
    await asyncio.wrap_future(there(session.close()))
    other.call_soon_threadsafe(other.stop)
    await asyncio.to_thread(thread.join)
    other.close()


@kind(REAL, "2 requests for each call")
async def two_requests_a_call(url: str, key: str) -> AsyncIterator[Call]:
    async with aiohttp.ClientSession(headers=headers(key)) as session:

        async def call() -> None:
            for _ in range(2):
                async with session.get(url + PATH) as answer:
                    await answer.read()

        yield call


# Worker processes, and code outside Python.


@kind(PROCESSES, "limited to 3")
async def process_pool(url: str, key: str) -> AsyncIterator[Call]:
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        started: set[int] = set()
        while len(started) < 3:  # a process that is still being started would share the CPU with the probe
            started |= set(await asyncio.gather(*(loop.run_in_executor(pool, process_id) for _ in range(3))))
        yield lambda: loop.run_in_executor(pool, fetch, url + PATH, key)


def process_id() -> int:
    time.sleep(0.2)
    return os.getpid()


def fetch(url: str, key: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, headers=headers(key))) as answer:
        return answer.read()


@kind(PROCESSES, needs="/curl")
async def curl_as_a_command(url: str, key: str) -> AsyncIterator[Call]:
    async def call() -> bytes:
        words = ("curl", "-s", "--noproxy", "*", "-H", f"apikey: {key}", url + PATH)
        made = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        return (await made.communicate())[0]

    yield call


@kind(OUTSIDE, needs="pycurl")
async def pycurl_multi_in_a_thread(url: str, key: str) -> AsyncIterator[Call]:
    pycurl = importlib.import_module("pycurl")
    jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
    loop, stop = asyncio.get_running_loop(), threading.Event()

    def work() -> None:
        multi = pycurl.CurlMulti()
        waiting: dict[Any, Any] = {}
        while not stop.is_set():
            while not jobs.empty():
                handle, future = curl_handle(url, key), jobs.get()
                waiting[handle] = future
                multi.add_handle(handle)
            multi.perform()
            for handle in [*multi.info_read()[1], *(bad[0] for bad in multi.info_read()[2])]:
                multi.remove_handle(handle)
                loop.call_soon_threadsafe(answered, waiting.pop(handle))
                handle.close()
            multi.select(0.01) if waiting else time.sleep(0.005)
        multi.close()

    thread = threading.Thread(target=work)
    thread.start()

    async def call() -> Any:
        future = loop.create_future()
        jobs.put(future)
        return await future

    yield call
    stop.set()
    thread.join()


@kind(OUTSIDE, needs="curl_cffi")
async def curl_cffi_async(url: str, key: str) -> AsyncIterator[Call]:
    curl = importlib.import_module("curl_cffi.requests")
    async with curl.AsyncSession(max_clients=64) as session:
        yield lambda: session.get(url + PATH, headers=headers(key))


# Mixed.


@kind(MIXED)
async def every_other_call_in_threads(url: str, key: str) -> AsyncIterator[Call]:
    turn = iter(range(10**9))
    async with aiohttp.ClientSession(headers=headers(key)) as session:

        async def call() -> Any:
            if next(turn) % 2:
                return await asyncio.to_thread(get, url, key)
            async with session.get(url + PATH) as answer:
                return await answer.json()

        yield call


@kind(MIXED)
async def every_other_call_blocks(url: str, key: str) -> AsyncIterator[Call]:
    turn = iter(range(10**9))
    async with aiohttp.ClientSession(headers=headers(key)) as session:

        async def call() -> Any:
            if next(turn) % 2:
                return get(url, key)
            async with session.get(url + PATH) as answer:
                return await answer.json()

        yield call


# Clients that once misled the probe: shared requests, other threads' requests, a loop that each call blocks a little.


@kind(REAL, "calls share requests (50 calls, 1 request)")
async def one_request_for_all_callers(url: str, key: str) -> AsyncIterator[Call]:
    under_way: list[asyncio.Future[Any]] = []
    async with httpx.AsyncClient(headers=headers(key), trust_env=False) as client:

        async def ask() -> Any:
            try:
                return await client.get(url + PATH)
            finally:
                under_way.clear()

        async def call() -> Any:
            if not under_way:
                under_way.append(asyncio.ensure_future(ask()))
            return await asyncio.shield(under_way[0])

        yield call


@kind(REAL, "calls share requests (50 calls, 5 requests)")
async def data_loader_of_10(url: str, key: str) -> AsyncIterator[Call]:
    waiting: list[asyncio.Future[Any]] = []
    async with aiohttp.ClientSession(headers=headers(key)) as session:

        async def load() -> None:
            await asyncio.sleep(0.01)
            batches = [waiting[at : at + 10] for at in range(0, len(waiting), 10)]
            waiting.clear()
            await asyncio.gather(*map(answer, batches))

        async def answer(batch: list[asyncio.Future[Any]]) -> None:
            async with session.get(url + PATH) as response:
                rows = await response.json()
            for future in batch:
                answered(future, rows)

        async def call() -> Any:
            future = asyncio.get_running_loop().create_future()
            waiting.append(future)
            loading = asyncio.ensure_future(load()) if len(waiting) == 1 else None
            rows = await future
            if loading is not None:
                await loading
            return rows

        yield call


@kind(FAKE, "calls share requests (50 calls, 1 request)")
async def one_thread_for_all_callers(url: str, key: str) -> AsyncIterator[Call]:
    under_way: list[asyncio.Future[Any]] = []

    async def call() -> Any:
        if not under_way:
            under_way.append(asyncio.ensure_future(asyncio.to_thread(get, url, key)))
            under_way[0].add_done_callback(lambda _: under_way.clear())
        return await asyncio.shield(under_way[0])

    yield call


@kind(REAL)
async def httpx_by_hostname(url: str, key: str) -> AsyncIterator[Call]:
    async with httpx.AsyncClient(headers=headers(key), trust_env=False) as client:
        yield lambda: client.get(url.replace("127.0.0.1", "localhost") + PATH)


@kind(FAKE, "limited to 3")
async def our_fake_by_hostname(url: str, key: str) -> AsyncIterator[Call]:
    async with FakeSupabaseAsync(url.replace("127.0.0.1", "localhost"), key) as db:
        yield lambda: db.select("contests", limit=5)


@asynccontextmanager
async def a_thread_that_asks(work: Callable[[], Any], pause: float, name: str) -> AsyncIterator[None]:
    stop = threading.Event()

    def poll() -> None:
        while not stop.wait(pause):
            work()

    thread = threading.Thread(target=poll, name=name)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        await asyncio.to_thread(thread.join)


@kind(REAL, "other threads of this process send requests too: telemetry")
async def telemetry_at_the_lab_beside(url: str, key: str) -> AsyncIterator[Call]:
    async with (
        a_thread_that_asks(lambda: get(url, key), 0.03, "telemetry"),
        httpx.AsyncClient(headers=headers(key), trust_env=False) as client,
    ):
        yield lambda: client.get(url + PATH)


@kind(REAL, "limited to 3")
async def polling_without_pause_beside_a_limit(url: str, key: str) -> AsyncIterator[Call]:
    gate = asyncio.Semaphore(3)
    with requests.Session() as polling:
        async with (
            a_thread_that_asks(lambda: get(url, key, polling), 0.0, "polling"),
            aiohttp.ClientSession(headers=headers(key)) as session,
        ):

            async def call() -> Any:
                async with gate, session.get(url + PATH) as answer:
                    return await answer.json()

            yield call


@kind(REAL, "limited to 1")
async def seldom_polling_beside_a_lock(url: str, key: str) -> AsyncIterator[Call]:
    gate = asyncio.Lock()
    async with (
        a_thread_that_asks(lambda: get(url, key), 0.5, "polling"),
        httpx.AsyncClient(headers=headers(key), trust_env=False) as client,
    ):

        async def call() -> Any:
            async with gate:
                return await client.get(url + PATH)

        yield call


@kind(FAKE, "limited to 3")
async def our_fake_beside_polling(url: str, key: str) -> AsyncIterator[Call]:
    async with a_thread_that_asks(lambda: get(url, key), 0.05, "polling"), FakeSupabaseAsync(url, key) as db:
        yield lambda: db.select("contests", limit=5)


@kind(REAL, "limited to 10")
async def timers_that_ask_beside(url: str, key: str) -> AsyncIterator[Call]:
    timers: list[threading.Timer] = []
    over = threading.Event()

    def tick() -> None:
        if not over.is_set():
            timers.append(threading.Timer(0.4, tick))
            timers[-1].start()
            get(url, key)

    await asyncio.to_thread(tick)
    async with SupabaseAsync(url, key) as db:
        yield lambda: db.select("contests", limit=5)
    over.set()
    for timer in timers:
        await asyncio.to_thread(timer.join)


def blocks_each_call(before: Callable[[], Any] | None = None, after: Callable[[], Any] | None = None) -> Any:
    """A real async client that works on the loop's thread in each call."""

    @asynccontextmanager
    async def opened(url: str, key: str) -> AsyncIterator[Call]:
        async with aiohttp.ClientSession(headers=headers(key)) as session:

            async def call() -> None:
                if before:
                    before()
                async with session.get(url + PATH) as answer:
                    await answer.read()
                if after:
                    after()

            yield call

    return opened


def work(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@kind(REAL, "blocks the event loop for")
async def short_sleep_before_each(url: str, key: str) -> AsyncIterator[Call]:
    async with blocks_each_call(before=lambda: time.sleep(0.02))(url, key) as call:
        yield call


@kind(REAL, "blocks the event loop for")
async def short_sleep_after_each(url: str, key: str) -> AsyncIterator[Call]:
    async with blocks_each_call(after=lambda: time.sleep(0.02))(url, key) as call:
        yield call


@kind(REAL, "blocks the event loop for")
async def cpu_work_in_each(url: str, key: str) -> AsyncIterator[Call]:
    async with blocks_each_call(after=lambda: work(0.02))(url, key) as call:
        yield call


def curl_handle(url: str, key: str) -> Any:
    pycurl = importlib.import_module("pycurl")
    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, url + PATH)
    handle.setopt(pycurl.NOPROXY, "*")
    handle.setopt(pycurl.NOSIGNAL, 1)
    handle.setopt(pycurl.HTTPHEADER, [f"apikey: {key}"])
    handle.setopt(pycurl.WRITEFUNCTION, lambda data: len(data))
    return handle


def curl_easy(url: str, key: str) -> None:
    handle = curl_handle(url, key)
    handle.perform()
    handle.close()


async def one_verdict(one: Kind, lab: Any) -> Any:
    """Open a client of this kind in the lab, probe it, and close it."""
    from supalab.probe import probe

    async with one.make(lab.url, lab.key) as call:
        return await probe(call, lab=lab, name=one.name)


def main() -> None:
    """Probe every kind several times and print the results."""
    import argparse

    from supalab import Lab
    from supalab.probe.judge import CANNOT_TELL

    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    kinds = [one for one in ZOO if not one.lacking() and options.only in one.name]
    print(f"{len(kinds)} kinds, not here: {', '.join(one.name for one in ZOO if one.lacking()) or 'none'}")
    wrong, unknown, unremarked, done, slowest = 0, 0, 0, 0, 0.0
    for one in kinds:
        seen: list[Any] = []
        for _ in range(options.runs):
            with Lab() as lab:
                verdict = asyncio.run(one_verdict(one, lab))
            seen.append(verdict)
            wrong += verdict.kind not in {one.expect, CANNOT_TELL}
            unknown += verdict.kind == CANNOT_TELL
            unremarked += not one.remarked(verdict)
            done += 1
            slowest = max(slowest, verdict.seconds)
            if verdict.kind != one.expect or not one.remarked(verdict):
                print(f"!! expected {one.expect}, {one.remark}\n{verdict}\n{dict(verdict.numbers)}")
        said = " | ".join(sorted({verdict.headline for verdict in seen}))
        print(f"{one.name:30} {max(v.seconds for v in seen):4.1f} s  {said}", flush=True)
    print(
        f"{done} verdicts: {wrong} wrong, {unknown} cannot tell, {unremarked} without their remark; {slowest} s at most"
    )


if __name__ == "__main__":
    main()
