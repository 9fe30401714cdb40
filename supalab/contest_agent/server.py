"""The service, running: options flow in, its address flows out, and requests are served until it is told to end.

The end loses nothing that was accepted. First the listener goes, and whoever stands in its queue is let in; then, for
a moment, connections that rest are still answered, with ``Connection: close``; then those in flight are waited for;
last the lifespan closes the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from supalab.contest_agent.app import create_app
from supalab.contest_agent.journal import start_logging
from supalab.contest_agent.options import KEEP_ALIVE_S
from supalab.process.serving import HttpProtocol, ManagedServer, listen
from supalab.process.tuning import loop_factory, raise_file_limit

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from fastapi import FastAPI

    from supalab.contest_agent.options import AgentOptions

__all__ = ["run", "serve"]

#: How long a connection that rests may still bring a request once the end was asked for, in seconds.
LAST_CALL_S = 1.0
LOOK_EVERY_S = 0.02


class LosingNothing(ManagedServer):
    """uvicorn's server, whose end begins softly: see the module's first lines."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, ready: Callable[[], None], ending: Event) -> None:
        super().__init__(config, ready, ending)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let in who has connected, take last requests, then do as uvicorn does."""
        self._app.state.leaving = True
        queues = [sock.dup() for sock in sockets or []]
        for server in self.servers:
            server.close()
        for connection in [one for queue in queues for one in _standing_in(queue)]:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        await self._last_call()
        await super().shutdown(sockets)

    async def _last_call(self) -> None:
        now = asyncio.get_running_loop().time
        end = now() + LAST_CALL_S
        # Connections tell nobody that they have gone, so they are looked at.
        while self.server_state.connections and now() < end and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)

    def _protocol(self) -> asyncio.Protocol:
        make = cast("Any", self.config.http_protocol_class)
        made = make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return cast("asyncio.Protocol", made)


def _standing_in(queue: socket.socket) -> list[socket.socket]:
    """Accept all who stand in a listener's queue and close it: closing alone would reset their connections."""
    accepted = []
    with queue:
        queue.setblocking(False)
        with contextlib.suppress(OSError):  # BlockingIOError: nobody else
            while sys.platform != "win32":  # its event loop has accepted ahead, and owns the queue
                accepted.append(queue.accept()[0])
    return accepted


def run(options: AgentOptions, ready: Callable[[int], None], ending: Event) -> None:
    """Serve until ``ending`` is set; ``ready`` is called once with the port, when requests may come.

    Raises LabError when the port cannot be had.
    """
    with listen(options.port, options.host) as sock:
        raise_file_limit()
        port = sock.getsockname()[1]
        app = create_app(options)
        start_logging(options.settings.secrets, options.client)
        server = LosingNothing(_config(app, options), app, lambda: ready(port), ending)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(server.serve(sockets=[sock]))


def serve(options: AgentOptions, ready: Callable[[str], None], ending: Event) -> None:
    """Do as ``run``, for a command: ``ready`` is called with the address."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    run(options, lambda port: ready(f"http://{host}:{port}"), ending)


def _config(app: FastAPI, options: AgentOptions) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=HttpProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # the journal has its own line for each request
        server_header=False,
        proxy_headers=False,
        workers=1,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(options.grace) + 1,
    )
