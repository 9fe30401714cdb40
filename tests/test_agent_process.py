"""The service as a process: it starts or says why not, loses nothing when it stops, and never outlives its owner."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from labwork import soon

from supalab import Lab
from supalab.contest_agent.handle import Agent
from supalab.errors import AgentError, SettingsError
from supalab.measure.instruments import uss

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
SLOW = 0.4


@pytest.fixture(scope="module")
def slow_lab() -> Iterator[Lab]:
    """A lab slow enough that a test can catch a request in flight."""
    with Lab(latency=SLOW) as running:
        yield running


@pytest.mark.parametrize("client", ["fake", "article", "real"])
def test_a_service_starts_serves_and_ends(client: str, lab: Lab) -> None:
    """With each client: an address, a process, its memory, its own log, and a clean end that leaves nothing.

    The key is in none of these: the handle, the process's arguments and environment, the log, even if a caller puts it
    into a path.
    """
    agent = Agent(client=client, url=lab.url, key=lab.key)
    with agent:
        assert httpx.get(f"{agent.url}/contests/3").json()["id"] == 3
        httpx.get(f"{agent.url}/contests/{lab.key}?q={lab.key}", headers={"X-Request-ID": lab.key})
        if sys.platform != "darwin":  # on systems that do not show another process's memory
            assert 10 * 2**20 < (uss(psutil.Process(agent.pid)) or 0) < 500 * 2**20
        # The log lines come after the responses.
        assert soon(lambda: agent.log.read_text(encoding="utf-8").count("\n") == 2)
        log, pid, folder, process = agent.log.read_text(encoding="utf-8"), agent.pid, agent.log.parent, repr(agent)
        seen = log + process + " ".join(psutil.Process(pid).cmdline()) + str(psutil.Process(pid).environ())
    assert agent.client in process
    assert str(pid) in process
    good, bad = map(json.loads, log.splitlines())
    assert (good["path"], good["status"], good["client"]) == ("/contests/3", 200, agent.client)
    assert (bad["path"], bad["status"]) == ("/contests/(key)", 422)
    assert lab.key not in seen
    assert not psutil.pid_exists(pid)
    assert not folder.exists()
    assert repr(agent) == f"<Agent {agent.client}, not running>"


def test_three_services_start_at_once(lab: Lab) -> None:
    """Each has its own port and process, and knows its client."""
    agents = [Agent(client=client, url=lab.url, key=lab.key) for client in ("fake-10", "session", "real-3")]
    try:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(Agent.start, agents))
        assert len({agent.url for agent in agents}) == len({agent.pid for agent in agents}) == 3
        told = [httpx.get(f"{agent.url}/health").json()["client"] for agent in agents]
        assert told == ["fake-10", "session-10", "real-3"]
    finally:
        for agent in agents:
            agent.stop()


def test_stopping_and_starting_twice_is_harmless(lab: Lab) -> None:
    """A running service stays as it is, a stopped one stays stopped and can start again; a clean end is code 0."""
    agent = Agent(client="real", url=lab.url, key=lab.key)
    assert agent.stop() is None
    first = agent.start().pid
    assert agent.start().pid == first
    assert agent.stop() == 0
    assert agent.stop() is None
    for use in ("url", "pid", "log"):
        with pytest.raises(AgentError, match="not running: use it inside"):
            getattr(agent, use)
    with agent:
        assert agent.pid != first


async def test_async_with_runs_it_too(lab: Lab) -> None:
    """The asynchronous form starts and stops the same service."""
    async with Agent(client="real", url=lab.url, key=lab.key) as agent, httpx.AsyncClient() as caller:
        assert (await caller.get(f"{agent.url}/ready")).status_code == 200
        pid = agent.pid
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"client": "swift-3"}, "swift-3"),
        ({"client": "fake-0"}, "limit 0"),
        ({"client": "aiohttp-10"}, "only reads"),
        ({"url": "abc.supabase.co"}, "abc.supabase.co"),
        ({"key": "two words"}, "key has a space"),
        ({"port": 65_536}, "port is 65536"),
        ({"timeout": 0}, "timeout 0"),
        ({"ca_file": "no/such.pem"}, "no/such.pem"),
        ({"rest_path": "rest"}, "rest_path 'rest'"),
    ],
)
def test_a_bad_argument_is_refused_before_anything_starts(values: dict[str, Any], told: str) -> None:
    """The refusal names the argument and its value in one line, and never a key."""
    with pytest.raises(SettingsError) as caught:
        Agent(**{"client": "real", "url": "http://127.0.0.1:9", "key": "k", **values})
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "two words" not in str(caught.value)


def test_a_port_in_use_is_named() -> None:
    """One line says which port and what to do; no child stays."""
    before = psutil.Process().children()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        agent = Agent(client="real", url="http://127.0.0.1:9", key="k", port=port)
        with pytest.raises(AgentError, match=f"port {port} is in use: .*port 0") as caught:
            agent.start()
    assert "\n" not in str(caught.value)
    assert psutil.Process().children() == before


def test_a_service_whose_process_died_says_so(lab: Lab) -> None:
    """After its process was killed, every call says so, and stopping still works."""
    with Agent(client="real", url=lab.url, key=lab.key) as agent:
        process = psutil.Process(agent.pid)
        process.kill()
        assert soon(lambda: agent._child is not None and agent._child.exit_code() is not None)
        for use in ("url", "pid", "log"):
            with pytest.raises(AgentError, match="process is gone"):
                getattr(agent, use)


@posix_only
def test_the_service_leaves_when_its_owner_is_killed(lab: Lab) -> None:
    """After SIGKILL of the owner, the service ends immediately and removes its files."""
    code = """
        import os, time
        from supalab.contest_agent.handle import Agent
        agent = Agent(client="fake", url=os.environ["URL"], key="k").start()
        print(agent.pid, agent.log.parent, flush=True)
        time.sleep(60)
    """
    words = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ | {"URL": lab.url}) as owner:
        assert owner.stdout is not None
        pid, folder = owner.stdout.readline().split(maxsplit=1)
        assert psutil.pid_exists(int(pid))
        owner.kill()
    assert soon(lambda: not psutil.pid_exists(int(pid)))
    assert soon(lambda: not Path(folder.strip()).exists())


def test_a_service_that_was_never_stopped_warns_and_ends(lab: Lab) -> None:
    """Forgetting one gives a ResourceWarning and ends its process."""
    agent = Agent(client="real", url=lab.url, key=lab.key).start()
    pid = agent.pid
    with pytest.warns(ResourceWarning, match="never stopped"):
        del agent
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(("client", "abandoned"), [("fake-3", 0), ("article-10", 3), ("real-10", 3)])
async def test_callers_who_hang_up(client: str, abandoned: int, slow_lab: Lab) -> None:
    """Three callers disconnect early: real async stops and the lab notices; fake async keeps working.

    In both cases the service counts 499 for each, and its slots are free again for the next caller.
    """
    with Agent(client=client, url=slow_lab.url, key=slow_lab.key) as agent:
        slow_lab.reset()
        writers = [await sent(agent, "/contests/3") for _ in range(3)]
        assert await asyncio.to_thread(soon, lambda: slow_lab.witness().current == 3)
        for _, writer in writers:
            writer.close()
        assert await asyncio.to_thread(soon, lambda: counted(agent, "499") == 3)
        assert await asyncio.to_thread(soon, lambda: slow_lab.witness().current == 0)
        assert slow_lab.witness().abandoned == abandoned
        async with httpx.AsyncClient() as caller:
            assert (await caller.get(f"{agent.url}/contests/3")).status_code == 200


async def test_a_write_is_finished_for_a_caller_who_left(slow_lab: Lab) -> None:
    """A write that has begun is not interrupted: its contest exists afterwards."""
    body = b'{"id": 9001, "title": "left alone"}'
    head = (
        f"POST /contests HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with Agent(client="real", url=slow_lab.url, key=slow_lab.key) as agent:
        slow_lab.reset()
        _, writer = await opened(agent)
        writer.write(head.encode() + body)
        assert await asyncio.to_thread(soon, lambda: slow_lab.witness().current == 1)
        writer.close()
        assert await asyncio.to_thread(soon, lambda: counted(agent, "201") == 1)
        assert httpx.get(f"{agent.url}/contests/9001").json()["title"] == "left alone"


def counted(agent: Agent, status: str) -> float:
    """Return how many requests have ended with ``status``, by the service's count."""
    lines = httpx.get(f"{agent.url}/metrics").text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("contest_agent_requests_total") and f'status="{status}"' in line
    )


async def opened(agent: Agent) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", urlsplit(agent.url).port)


async def sent(agent: Agent, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await opened(agent)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return reader, writer


@dataclass
class Log:
    """The outcomes of a load's requests: each has a response, was refused before it was sent, or was lost."""

    answered: list[int] = field(default_factory=list)
    refused: int = 0
    lost: list[str] = field(default_factory=list)


async def keep_asking(agent_port: int, log: Log, pause: float, *, keep: bool) -> None:
    """Send requests until the service accepts no more, over one connection while it is open, or a new one each time."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", agent_port)
        except OSError:
            log.refused += 1
            return
        again = True
        while again:
            again = keep and await asked_once(reader, writer, log)
            if not keep:
                await asked_once(reader, writer, log)
            await asyncio.sleep(pause)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def asked_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: Log) -> bool:
    """Send one request and note the outcome; return whether the connection can be used again."""
    try:
        writer.write(b"GET /contests/3 HTTP/1.1\r\nHost: x\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        json.loads(await reader.readexactly(length))
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        log.lost.append(repr(error))
        return False
    log.answered.append(int(head.split()[1]))
    return b"connection: close" not in head


@posix_only
@pytest.mark.parametrize("client", ["fake-3", "article-10", "real-10"])
async def test_an_end_under_load_loses_nothing_that_was_accepted(client: str) -> None:
    """SIGTERM with old and new callers: every request that was accepted gets its whole response, a 200.

    Some callers keep their connections, some open a new one for each request, some pause between two requests. Callers
    who come too late are refused before they have sent anything. The process ends with code 0.
    """
    with Lab(latency=0.1) as lab, Agent(client=client, url=lab.url, key=lab.key) as agent:
        port, log = urlsplit(agent.url).port or 0, Log()
        async with asyncio.TaskGroup() as group:
            for number in range(24):
                pause = (0.0, 0.01, 0.3)[number % 3]
                group.create_task(keep_asking(port, log, pause, keep=number % 2 == 0))
            while len(log.answered) < 24:  # on a busy machine that takes a while
                await asyncio.sleep(0.05)
            before = len(log.answered)
            os.kill(agent.pid, signal.SIGTERM)
        assert log.lost == []
        assert set(log.answered) == {200}
        assert 0 < before < len(log.answered)
        assert log.refused == 24
        child = agent._child
        assert child is not None
        assert await asyncio.to_thread(soon, lambda: child.exit_code() is not None)
        assert child.exit_code() == 0


@posix_only
async def test_who_stands_in_the_queue_at_the_end_is_let_in() -> None:
    """So many new callers that, at the stop, some have connected and sent a request but are not yet accepted."""
    with Lab(latency=0.05) as lab, Agent(client="real-100", url=lab.url, key=lab.key) as agent:
        port, log = urlsplit(agent.url).port or 0, Log()
        async with asyncio.TaskGroup() as group:
            for number in range(60):
                group.create_task(keep_asking(port, log, (0.0, 0.005, 0.02)[number % 3], keep=False))
            await asyncio.sleep(0.5)
            os.kill(agent.pid, signal.SIGTERM)
    assert log.lost == []
    assert set(log.answered) == {200}
    assert log.refused == 60
