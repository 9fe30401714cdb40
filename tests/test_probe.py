"""The probe in a running loop: what it accepts and refuses, what it cannot decide, and that nothing remains."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import httpx
import pytest
import requests

from supalab import FakeSupabaseAsync, Lab, SupabaseAsync
from supalab.errors import LabError, SettingsError
from supalab.probe import Verdict, look, probe, subject
from supalab.probe import run as running
from supalab.probe.judge import BLOCKING, CANNOT_TELL, FAKE, REAL
from supalab.probe.seen import Burst


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use shorter bursts and timeouts, for tests of behaviour and not of verdicts."""
    monkeypatch.setattr(running, "LATENCY_S", 0.1)
    monkeypatch.setattr(running, "WARM_S", 1.0)


@pytest.fixture
async def db(lab: Lab) -> Any:
    async with SupabaseAsync(lab.url, lab.key) as client:
        yield client


@pytest.fixture
def as_it_was(lab: Lab) -> Iterator[None]:
    """Fail if the lab's conditions, the threads of this process or the hook are not what they were before."""
    conditions, threads = lab.conditions, set(threading.enumerate())
    yield
    assert lab.conditions == conditions
    assert {thread.name for thread in set(threading.enumerate()) - threads} == set()
    assert look._heard is None


async def test_the_lines_a_learner_writes_all_work(lab: Lab, db: SupabaseAsync, brief: None) -> None:
    """A class, a factory, a lambda with the lab, an object with its method: the same verdict."""

    async def made_later(url: str, key: str) -> Any:
        return SupabaseAsync(url, key)

    given: list[tuple[Any, dict[str, Any]]] = [
        (SupabaseAsync, {}),
        (made_later, {"lab": lab}),
        (lambda url, key: SupabaseAsync(url, key, limit=10), {"lab": lab}),
        (lambda: db.select("contests", limit=3), {"lab": lab}),
        (db, {"lab": lab, "method": "select", "args": ("contests",)}),
    ]
    verdicts = [await probe(what, **how) for what, how in given]
    assert {one.headline for one in verdicts} == {"real async, limited to 10"}
    assert verdicts[0].name == verdicts[4].name == "SupabaseAsync"
    assert {len(one.seen.bursts) for one in verdicts} == {2}


async def test_everything_is_put_back(as_it_was: None, brief: None) -> None:
    """Conditions, threads, tasks, timers and every attribute of the loop are what they were, and so is a client."""
    loop = asyncio.get_running_loop()
    with Lab(latency=0.02, jitter=0.01, error_rate=0.5) as lab:
        async with SupabaseAsync(lab.url, lab.key) as db:
            before = lab.conditions, set(asyncio.all_tasks()), dict(vars(loop)), set(threading.enumerate())
            verdict = await probe(lambda: db.select("contests", limit=1), lab=lab)
            assert (lab.conditions, asyncio.all_tasks()) == before[:2]
            assert set(threading.enumerate()) <= before[3]  # one of an earlier test may end meanwhile
            after = dict(vars(loop))
            changed = {name for name in before[2] | after if before[2].get(name) is not after.get(name)}
            # Its clockwork: what is scheduled and ready changes with every step of any program.
            assert changed <= {"_scheduled", "_ready", "_timer_cancelled_count", "_current_handle", "_asyncgens"}
            assert not [timer for timer in loop._scheduled if not timer.cancelled() and "Heartbeat" in repr(timer)]
            lab.set(error_rate=0.0)
            assert len(await db.select("contests", limit=2)) == 2
    assert verdict.kind == REAL


def test_it_works_in_a_script_and_twice_in_one_loop(lab: Lab, as_it_was: None, brief: None) -> None:
    """``asyncio.run(probe(…))`` is all there is to it; a second probe finds the same."""

    async def twice() -> list[Verdict]:
        return [await probe(FakeSupabaseAsync, lab=lab) for _ in range(2)]

    assert [one.headline for one in asyncio.run(twice())] == [
        "fake async (threads), limited to 3, no connection reuse"
    ] * 2
    assert asyncio.run(probe(SupabaseAsync, lab=lab)).kind == REAL


@pytest.mark.parametrize(("kind", "expect"), [(SupabaseAsync, REAL), (FakeSupabaseAsync, FAKE)])
def test_another_event_loop_is_no_hindrance(kind: Any, expect: str, lab: Lab, as_it_was: None, brief: None) -> None:
    """uvloop watches its sockets in C, where they are invisible; the verdict is the same and says so."""
    uvloop = pytest.importorskip("uvloop")
    verdict = uvloop.run(probe(kind, lab=lab))
    assert verdict.kind == expect
    assert "uvloop" in verdict.seen.loop
    assert any("does not show them" in row.seen for row in verdict.evidence)


def test_a_lab_with_tls_and_a_round_trip_is_one_too(brief: None) -> None:
    """Sockets that speak TLS are seen through."""
    with Lab(tls=True, rtt=0.02) as lab:
        for kind, expect in ((SupabaseAsync, REAL), (FakeSupabaseAsync, FAKE)):
            make = kind

            async def probed(make: Any = make) -> Verdict:
                return await probe(lambda url, key: make(url, key, ca_file=str(lab.ca_file)), lab=lab)

            assert asyncio.run(probed()).kind == expect
        assert lab.conditions.rtt == 0.02


async def test_what_was_missed_on_a_busy_machine_is_looked_at_once_more(
    lab: Lab, db: SupabaseAsync, brief: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If nothing was seen waiting in two bursts, a third burst decides."""
    whole = running._Probe._burst

    async def half_blind(probing: running._Probe, size: int, latency: float) -> Burst:
        seen = await whole(probing, size, latency)
        bursts = probing._seen.bursts
        if len(bursts) <= 2:
            blind = replace(seen, numbers={**seen.numbers, "loop_sockets": 0, "own": 0})
            probing._seen = replace(probing._seen, bursts=(*bursts[:-1], blind))
        return seen

    monkeypatch.setattr(running._Probe, "_burst", half_blind)
    verdict = await probe(lambda: db.select("contests", limit=1), lab=lab)
    assert verdict.kind == REAL
    assert [one["calls"] for one in verdict.seen.bursts] == [20, 50, 50]


async def test_progress_only_goes_up(lab: Lab, db: SupabaseAsync, brief: None) -> None:
    """From 0 to 1, with a word for each step."""
    told: list[tuple[float, str]] = []
    await probe(lambda: db.select("contests"), lab=lab, progress=lambda share, doing: told.append((share, doing)))
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert (told[0][0], told[-1][0]) == (0.0, 1.0)
    assert len({doing for _, doing in told}) == len(told) >= 5


class OnlyByName:
    """A client that is not made from a url and a key in their places."""

    def __init__(self, *, url: str, key: str) -> None: ...

    async def select(self, table: str) -> None: ...


@pytest.mark.parametrize(
    ("what", "how", "cure"),
    [
        (lambda: None, {}, "lab=lab"),
        (lambda: [1, 2], {"lab": True}, "async def call()"),
        (FakeSupabaseAsync, {"method": "fetch", "lab": True}, "no method 'fetch'"),
        (3, {"lab": True}, "no method 'select'"),
        (lambda: None, {"lab": True, "args": "contests"}, "args=('contests',)"),
        (lambda url, key: 1 / 0, {"lab": True}, "ZeroDivisionError"),
        (lambda url, key: None, {"lab": True}, "returned None"),
        (lambda: Future[Any](), {"lab": True}, "asyncio.wrap_future(future)"),
        (OnlyByName, {"lab": True}, "probe(lambda url, key: MyClient(url, key))"),
    ],
)
async def test_what_cannot_be_probed_is_told_what_to_write(
    what: Any, how: dict[str, Any], cure: str, lab: Lab, as_it_was: None
) -> None:
    """One line with the cure, before anything is measured."""
    with pytest.raises(SettingsError) as told:
        await probe(what, **{**how, **({"lab": lab} if "lab" in how else {})})
    assert cure in str(told.value)
    assert "\n" not in str(told.value)


async def test_a_call_already_made_and_a_lab_that_is_none_are_refused(lab: Lab, db: SupabaseAsync) -> None:
    """A coroutine is closed, so that no warning follows; the lab's address is not the lab."""
    with pytest.raises(SettingsError, match="without parentheses"):
        await probe(db.select("contests"), lab=lab)
    with pytest.raises(SettingsError, match="lab is a str"):
        await probe(lambda: db.select("contests"), lab=lab.url)  # type: ignore[arg-type]
    stopped = Lab()
    with pytest.raises(LabError, match="not running"):
        await probe(lambda: db.select("contests"), lab=stopped)


async def test_a_sync_function_by_mistake_gets_the_line_to_write(lab: Lab, as_it_was: None) -> None:
    """A plain function that asks the lab is not called blocking: the cure is named."""

    def plain() -> Any:
        return requests.get(f"{lab.url}/rest/v1/contests", headers={"apikey": lab.key}, timeout=5)

    with pytest.raises(SettingsError, match="a Response, nothing to await"):
        await probe(plain, lab=lab)


async def test_calls_that_fail_are_no_verdict(lab: Lab, as_it_was: None, brief: None) -> None:
    """The error's name and words are told, never the key."""

    async def broken() -> None:
        raise KeyError(f"no {lab.key} here")

    verdict = await probe(broken, lab=lab)
    assert verdict.kind == CANNOT_TELL
    assert "KeyError" in verdict.sentences[0]
    assert lab.key not in str(verdict) + repr(verdict.seen)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (asyncio.CancelledError(), "a call failed with CancelledError"),
        (ExceptionGroup("two", [ValueError("one"), OSError()]), "a call failed with ValueError: one"),
    ],
)
async def test_errors_of_unusual_kinds_are_told(error: BaseException, told: str, lab: Lab, brief: None) -> None:
    """A call that cancels itself, and a group of which the first error is the reason."""

    async def broken() -> None:
        raise error

    assert told in (await probe(broken, lab=lab)).sentences[0]


@pytest.mark.parametrize("hangs", [True, False])
async def test_a_client_that_cannot_be_opened_or_closed(
    hangs: bool, lab: Lab, as_it_was: None, brief: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not opened: refused with the reason. Not closed: the verdict has a remark. Neither waits for ever."""
    monkeypatch.setattr(subject, "MAKE_S", 0.3)
    why = "TimeoutError: more than" if hangs else "OSError: no, (the key)"

    async def fails() -> None:
        if hangs:
            await asyncio.Event().wait()
        raise OSError(f"no, {lab.key}")

    class Opened(SupabaseAsync):
        async def __aenter__(self) -> Any:
            await fails()

    class Closed(SupabaseAsync):
        async def __aexit__(self, *error: object) -> None:
            await super().__aexit__(*error)  # type: ignore[arg-type]
            await fails()

    with pytest.raises(SettingsError) as told:
        await probe(Opened, lab=lab)
    assert f"did not make a client: {why}" in str(told.value)
    verdict = await probe(Closed, lab=lab)
    assert verdict.kind == REAL
    assert verdict.remarks[-1].startswith(f"closing it failed ({why}")


async def test_failures_of_bursts_are_counted(lab: Lab, db: SupabaseAsync, brief: None) -> None:
    """Most fail: cannot tell. Some fail: a remark with the number."""
    calls = iter(range(10**6))

    async def sometimes(share: int) -> None:
        number = next(calls)
        await db.select("contests", limit=1)
        if number > 7 and number % share:
            raise ValueError(number)

    verdict = await probe(lambda: sometimes(10), lab=lab)
    assert verdict.kind == CANNOT_TELL
    assert "ValueError" in verdict.sentences[0]
    calls = iter(range(10**6))

    async def seldom() -> None:
        await db.select("contests", limit=1)
        if next(calls) % 10 == 9:
            raise ValueError

    verdict = await probe(seldom, lab=lab)
    assert verdict.kind == REAL
    assert verdict.remarks[-1] == "7 of 70 calls of the bursts failed"


async def test_what_never_reaches_the_lab_is_no_verdict(lab: Lab, db: SupabaseAsync, as_it_was: None) -> None:
    """No request, an answer kept from the first one, another server, another name: each has its own reason."""
    kept: list[Any] = []

    async def nothing() -> None:
        await asyncio.sleep(0)

    async def remembers() -> Any:
        if not kept:
            kept.append(await db.select("contests", limit=1))
        return kept

    async def by_name() -> None:
        other = {"Host": "lab.example"}
        await asyncio.to_thread(requests.get, f"{lab.url}/rest/v1/contests", headers=other, timeout=5)

    for call, told in ((nothing, "saw no request"), (remembers, "cache the response"), (by_name, "lab's own url")):
        verdict = await probe(call, lab=lab)
        assert verdict.kind == CANNOT_TELL
        assert told in verdict.sentences[0]
        assert verdict.seen.bursts == ()
    # The loop's own threads, which to_thread made, are the loop's.
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_a_wrong_key_is_named(lab: Lab, brief: None) -> None:
    """A client that does not look at the answer is turned away at once, without latency."""

    async def wrong() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(lab.url.rpartition(":")[2]))
        host = lab.url.removeprefix("http://")
        writer.write(f"GET /rest/v1/contests HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        await reader.read()
        writer.close()
        await writer.wait_closed()

    verdict = await probe(wrong, lab=lab)
    assert verdict.kind == CANNOT_TELL
    assert "refuses these requests" in verdict.sentences[0]


async def test_a_lab_that_is_full_is_no_limit_of_the_client(brief: None) -> None:
    """The server's own cap would look like the client's: it is named instead."""
    with Lab(max_in_flight=5) as small:
        verdict = await probe(lambda url, key: FakeSupabaseAsync(url, key, limit=20), lab=small)
    assert verdict.kind == CANNOT_TELL
    assert "larger max_in_flight" in verdict.sentences[0]


async def test_another_load_on_the_lab_is_noticed(lab: Lab, db: SupabaseAsync) -> None:
    """Somebody else's requests would count as the client's: the probe asks for a lab of its own."""

    async def load() -> None:
        while True:
            await db.select("contests", limit=1)

    task = asyncio.create_task(load())
    verdict = await probe(lambda: db.select("contests"), lab=lab)
    task.cancel()
    assert verdict.kind == CANNOT_TELL
    assert "somebody else" in verdict.sentences[0]


async def test_a_call_that_hangs_is_given_up(lab: Lab, as_it_was: None, brief: None) -> None:
    """In time, with the reason, and the hanging call is cancelled; all patience together stays under 10 seconds."""
    ended = []

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    verdict = await probe(hangs, lab=lab)
    assert verdict.seconds < 10
    assert verdict.kind == CANNOT_TELL
    assert "did not return within 1 s" in verdict.sentences[0]
    assert ended == [True]


async def test_a_crowd_that_hangs_is_given_up(lab: Lab, db: SupabaseAsync, as_it_was: None, brief: None) -> None:
    """Single calls return, many at once never do: the probe ends, and none of its tasks remains."""
    inside = []

    async def jams() -> None:
        inside.append(True)
        try:
            if len(inside) > 1:
                await asyncio.Event().wait()
            await asyncio.sleep(0.01)
            if len(inside) > 1:
                await asyncio.Event().wait()
            await db.select("contests", limit=1)
        finally:
            inside.pop()

    tasks = asyncio.all_tasks()
    verdict = await probe(jams, lab=lab)
    assert verdict.kind == CANNOT_TELL
    assert "came back" in verdict.sentences[0]
    assert asyncio.all_tasks() == tasks


@pytest.mark.parametrize("after", [0.35, 0.8])
async def test_a_cancelled_probe_leaves_nothing(after: float, as_it_was: None, brief: None) -> None:
    """At whatever step: conditions are put back, threads and tasks are gone, and the next probe works."""
    with Lab(latency=0.07) as lab:
        tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
        probing = asyncio.create_task(probe(SupabaseAsync, lab=lab))
        await asyncio.sleep(after)
        assert probing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probing
        assert lab.conditions.latency == 0.07
        assert asyncio.all_tasks() == tasks
        assert set(threading.enumerate()) <= threads  # one of an earlier test may end meanwhile
        assert look._heard is None
        assert (await probe(SupabaseAsync, lab=lab)).kind == REAL


async def test_two_probes_at_once_are_refused(lab: Lab, brief: None) -> None:
    """They would take each other's threads for the client's."""
    first = asyncio.create_task(probe(SupabaseAsync, lab=lab))
    await asyncio.sleep(0.1)
    with pytest.raises(SettingsError, match="one after the other"):
        await probe(SupabaseAsync, lab=lab)
    assert (await first).kind == REAL


async def test_a_client_that_the_probe_made_is_closed(lab: Lab, brief: None) -> None:
    """By its context manager, by aclose() or by close(); one that was handed over is left open."""
    ended: list[str] = []

    class Mine:
        def __init__(self, url: str, key: str) -> None:
            self.db = SupabaseAsync(url, key)

        async def select(self, table: str) -> Any:
            return await self.db.select(table, limit=1)

    class WithClose(Mine):
        async def aclose(self) -> None:
            ended.append("aclose")
            await self.db.aclose()

    class WithExit(WithClose):
        async def __aenter__(self) -> Any:
            return self

        async def __aexit__(self, *error: object) -> None:
            ended.append("exit")
            await self.db.aclose()

    for kind in (WithClose, WithExit):
        assert (await probe(kind, lab=lab)).kind == REAL
    assert ended == ["aclose", "exit"]
    mine = WithClose(lab.url, lab.key)
    assert (await probe(mine, lab=lab)).kind == REAL
    assert ended == ["aclose", "exit"]
    await mine.aclose()


async def test_sleeping_on_the_loop_is_blocking_too(lab: Lab, db: SupabaseAsync) -> None:
    """``time.sleep`` in an async function holds up everything, whatever makes the request."""

    async def sleepy() -> None:
        time.sleep(0.15)
        await db.select("contests", limit=1)

    assert (await probe(sleepy, lab=lab)).kind == BLOCKING


def test_the_hook_sleeps_unless_a_probe_runs() -> None:
    """It is added once, records connections only during a probe, and raises no error."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with look.connects() as heard:
            socket.create_connection(("127.0.0.1", port)).close()
            sys.audit("socket.connect", None, b"an address that is no pair")
        socket.create_connection(("127.0.0.1", port)).close()
    assert [one.port for one in heard] == [port, 0]
    assert {one.thread for one in heard} == {threading.get_ident()}


class Query:
    """A query in the manner of the official client: nothing is sent before ``execute``."""

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        self.client = client

    def select(self, *columns: str) -> Query:
        return self

    def limit(self, rows: int) -> Query:
        return self

    async def execute(self) -> Any:
        assert self.client
        return (await self.client.get("/rest/v1/contests?limit=5")).raise_for_status().json()


class Official:
    """A client in the manner of the official one."""

    def __init__(self, url: str, key: str) -> None:
        self.http = httpx.AsyncClient(base_url=url, headers={"apikey": key}, trust_env=False)

    def table(self, name: str) -> Query:
        return Query(self.http)


async def acreate(url: str, key: str) -> Official:
    return Official(url, key)


async def late_query() -> Query:
    return Query()


@pytest.mark.parametrize(
    ("what", "cure"),
    [
        (Query().limit(5), "lambda: builder.execute()"),
        (Query().select("*"), "lambda: builder.execute()"),
        (lambda: Query().select("*"), "lambda: builder.execute()"),
        (late_query, "lambda: builder.execute()"),
        (acreate, '.table("contests").select("*").limit(10).execute(); db is what acreate makes'),
        (Official, '.table("contests").select("*").limit(10).execute(); db is what Official makes'),
        (Official("http://127.0.0.1:1", "key"), 'lambda: db.table("contests").select("*").limit(10).execute()'),
    ],
    ids=["builder", "selected", "returned", "awaited", "acreate", "class", "client"],
)
async def test_the_official_clients_users_are_led_to_the_call_that_works(what: Any, cure: str, lab: Lab) -> None:
    """A builder is told that it is not sent yet, a client what a whole request is; in one line."""
    with pytest.raises(SettingsError) as told:
        await probe(what, lab=lab)
    assert cure in str(told.value)
    assert "blocks" not in str(told.value)
    assert "\n" not in str(told.value)


async def test_the_call_that_they_are_led_to_works(lab: Lab, brief: None) -> None:
    """As a lambda, and as what an own factory returns."""
    db = Official(lab.url, lab.key)
    assert (await probe(lambda: db.table("contests").select("*").limit(10).execute(), lab=lab)).kind == REAL
    await db.http.aclose()

    async def make(url: str, key: str) -> Any:
        made.append(await acreate(url, key))
        return lambda: made[0].table("contests").select("*").limit(10).execute()

    made: list[Official] = []
    assert (await probe(make)).kind == REAL
    await made[0].http.aclose()
