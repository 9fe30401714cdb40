"""The limits of a request in the service: deadline and disconnect as ASGI messages, and a loop that nothing blocks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from agentwork import caller_of, options_for
from blockbuster import blockbuster_ctx
from prometheus_client import CollectorRegistry
from starlette.datastructures import State

from supalab import Lab
from supalab.contest_agent.journal import Journal

Message = dict[str, Any]
START: Message = {"type": "http.response.start", "status": 200, "headers": []}
END: Message = {"type": "http.response.body", "body": b"done"}


class Line:
    """The server's side of one request: what it sends to the app, what it receives, when its caller leaves."""

    def __init__(self, method: str) -> None:
        self.scope: Message = {"type": "http", "method": method, "path": "/contests", "state": {}}
        self.got: list[Message] = []
        self.gone = asyncio.Event()
        self._sent = False

    async def receive(self) -> Message:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.got.append(message)

    @property
    def status(self) -> int | None:
        return next((message["status"] for message in self.got if "status" in message), None)


App = Callable[[Any, Any, Any], Awaitable[None]]


async def through(app: App, line: Line, seconds: float = 30.0) -> int | None:
    """Send a request through the middleware; return the status that was counted for it."""
    state = State({"registry": CollectorRegistry(), "options": SimpleNamespace(client="real-10"), "leaving": False})
    try:
        await Journal(app, seconds, state)(line.scope, line.receive, line.send)
    finally:
        samples = [sample for metric in state.registry.collect() for sample in metric.samples]
        (counted,) = [int(one.labels["status"]) for one in samples if one.name == "contest_agent_requests_total"]
        assert [one.value for one in samples if one.name == "contest_agent_requests_in_progress"] == [0]
    return counted


@pytest.mark.parametrize("breaks", [False, True])
async def test_a_read_is_cancelled_when_its_caller_leaves(breaks: bool) -> None:
    """The app is stopped where it waits; an error that it raises meanwhile is ignored."""
    line, stopped = Line("GET"), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        line.gone.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
            if breaks:
                raise RuntimeError("broken off")

    assert await through(app, line) == 499
    assert stopped.is_set()
    assert line.got == []


async def test_a_write_goes_on_when_its_caller_leaves() -> None:
    """Once begun it is finished, and the app still gets its whole body."""
    line = Line("POST")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["more_body"] is False
        line.gone.set()
        await asyncio.sleep(0.01)
        await send(START)
        await send(END)

    await through(app, line)
    assert line.got == [START, END]


async def test_leaving_after_the_answer_is_no_departure() -> None:
    """The server reports a disconnect after every response; the app's last steps are not interrupted."""
    line, finished = Line("GET"), False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal finished
        await send(START)
        await send(END)
        line.gone.set()
        await asyncio.sleep(0.01)
        finished = True

    await through(app, line)
    assert finished


async def test_the_deadline_gives_a_504_or_hangs_up_on_half_an_answer() -> None:
    """Before the response has begun, the caller gets a whole 504; later, only the closed connection can tell."""

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def halfway(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await asyncio.Event().wait()

    for method in ("GET", "POST"):
        line = Line(method)
        assert await through(silent, line, 0.02) == line.status == 504
        half = Line(method)
        with pytest.raises(TimeoutError):
            await through(halfway, half, 0.02)
        assert half.got == [START]


async def test_an_apps_own_timeout_is_its_own() -> None:
    """A TimeoutError from inside is a bug, and is not mistaken for the deadline."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise TimeoutError("from inside")

    for method in ("GET", "PATCH"):
        assert await through(app, Line(method)) == 500


async def test_no_task_is_left_behind(lab: Lab) -> None:
    """Hundreds of requests leave no watcher on the loop."""
    async with caller_of(options_for(lab, "real")) as caller:
        await caller.get("/contests/3")
        before = len(asyncio.all_tasks())
        await asyncio.gather(*(caller.get("/contests/3") for _ in range(100)))
        await asyncio.gather(*(caller.get("/health") for _ in range(100)))
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) <= before


@pytest.mark.parametrize("client", ["fake-3", "real-10"])
async def test_nothing_blocks_the_services_loop(client: str, lab: Lab) -> None:
    """blockbuster turns any blocking call on the loop into an error: no route makes one."""
    async with caller_of(options_for(lab, client)) as caller:
        with blockbuster_ctx():
            for path in ("/contests?q=a", "/contests/3", "/deadlines", "/ready", "/health", "/metrics", "/nix"):
                assert (await caller.get(path)).status_code == (404 if path == "/nix" else 200)


@pytest.mark.parametrize("client", ["fake-3", "article-10", "real-10"])
def test_a_service_loads_no_other_clients_library(client: str) -> None:
    """Its memory is compared, so a service with one library must not load the others."""
    kind = client.partition("-")[0]
    libraries = {"fake": {"requests"}, "article": {"httpx"}, "real": {"httpx"}}
    code = (
        "import sys, supalab.contest_agent.server\n"
        "from supalab.contest_agent.options import client_arm\nfrom supalab.settings import Settings\n"
        f"client_arm({client!r}).build(Settings('http://127.0.0.1:9', 'k'))\n"
        "print(*({'requests', 'httpx', 'aiohttp', 'psutil', 'matplotlib', 'sqlite3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == libraries[kind]
