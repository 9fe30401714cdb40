"""Serve the application until it is told to stop, and then finish every accepted request.

First the listener accepts the connections in its queue and closes; then, for a moment, idle connections may still send
a request, which is answered with ``Connection: close``; then the server waits for requests in flight; last the lifespan
closes the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from threading import Event
from typing import Any, cast

from supalab.contest_agent.app import create_app, start_logging
from supalab.contest_agent.options import AgentOptions
from supalab.process import serving

#: Seconds during which an idle connection may still send a request after the stop request.
LAST_CALL_S = 1.0
LOOK_EVERY_S = 0.02


class LosingNothing(serving.ManagedServer):
    """uvicorn's server with a graceful stop: see the module's docstring."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept waiting connections, take last requests, then stop as uvicorn does."""
        loop = asyncio.get_running_loop()
        cast("Any", self.config.app).state.leaving = True
        queues = [sock.dup() for sock in sockets or []]
        for server in self.servers:
            server.close()
        for connection in [one for queue in queues for one in _waiting_in(queue)]:
            await loop.connect_accepted_socket(self.new_protocol, connection)
        end = loop.time() + LAST_CALL_S
        # There is no event for a closed connection, so they are checked regularly.
        while self.server_state.connections and loop.time() < end and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)
        await super().shutdown(sockets)


def _waiting_in(queue: socket.socket) -> list[socket.socket]:
    """Accept all connections in a listener's queue, then close it: closing alone would reset them."""
    accepted = []
    with queue, contextlib.suppress(OSError):  # BlockingIOError: the queue is empty
        queue.setblocking(False)
        while sys.platform != "win32":  # its event loop has already accepted, and owns the queue
            accepted.append(queue.accept()[0])
    return accepted


def serve(options: AgentOptions, ready: Callable[[str], None], ending: Event) -> None:
    """Serve until ``ending`` is set; ``ready`` is called once with the address, when the service accepts requests.

    Raises LabError if the port cannot be used.
    """
    with serving.listen(options.port, options.host) as sock:
        host = f"[{options.host}]" if ":" in options.host else options.host
        address = f"http://{host}:{sock.getsockname()[1]}"
        start_logging(options)
        app, grace = create_app(options), int(options.grace) + 1
        serving.serve(LosingNothing(app, sock, ending, lambda: ready(address), grace=grace, lifespan="on"))
