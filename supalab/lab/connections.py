"""Accept and count the lab's connections; each keeps the round-trip time and TLS setting of the moment it was opened.

A round-trip time is simulated by a socket pair between the client and the server, which forwards bytes with a delay in
each direction. TLS and HTTP run on the server's end as on any socket, so a TLS handshake costs its real number of round
trips.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Any

from supalab.process.serving import ManagedServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from supalab.lab.conditions import Conditions, LiveConditions
    from supalab.lab.witness import Tally

#: Seconds for a TLS handshake; after that the connection is closed.
HANDSHAKE_S = 10.0
#: Seconds until the next try when the system has no descriptor or memory left for a new connection.
PAUSE_S = 0.2
#: Seconds that the lab, when it stops, waits for answers on their way to distant clients.
ON_THEIR_WAY_S = 1.0

log = logging.getLogger("supalab.lab")


class Connections(ManagedServer):
    """uvicorn's server with its own accept loop, because each connection keeps the conditions of its start."""

    def __init__(
        self, app: Any, listener: socket.socket, ending: Event, ready: Callable[[], None],
        live: LiveConditions, tally: Tally,
    ) -> None:  # fmt: skip
        super().__init__(app, listener, ending, ready)
        self._live, self._tally = live, tally
        self._far_away: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections, then call ``ready``."""
        await self.lifespan.startup()
        self.listener.setblocking(False)
        self.servers, self.started = [], True
        self._accepting = asyncio.create_task(self._accept())
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, finish requests in flight as uvicorn does, and let the responses arrive."""
        self._accepting.cancel()
        await asyncio.wait([self._accepting])
        await super().shutdown(sockets)
        if self._far_away:
            await asyncio.wait(self._far_away, timeout=ON_THEIR_WAY_S)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        failing = False
        async with asyncio.TaskGroup() as entering:
            while True:
                try:
                    caller, _ = await loop.sock_accept(self.listener)
                except OSError as error:  # no descriptor left, or a client that disconnected immediately
                    if not failing:
                        log.warning("a connection could not be accepted: %s", error.strerror)
                    failing = True
                    await asyncio.sleep(PAUSE_S)
                    continue
                failing = False
                self._tally.connections += 1
                entering.create_task(self._enter(caller, self._live.conditions))

    async def _enter(self, caller: socket.socket, conditions: Conditions) -> None:
        served = caller
        try:
            caller.setblocking(False)
            if conditions.rtt:
                served = await at_a_distance(caller, conditions.rtt, self._far_away)
            context = self._live.tls if conditions.tls else None
            limit = {"ssl_handshake_timeout": HANDSHAKE_S + 3 * conditions.rtt} if context else {}
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(self.new_protocol, served, ssl=context, **limit)
        except BaseException as error:
            served.close()
            if not isinstance(error, OSError):  # no TLS, too slow or disconnected; or no descriptor is left
                raise


# Distance

PIECE = 4 * 1024
WINDOW = 64 * PIECE
"""So many bytes, in 64 pieces, may be on their way in one direction; then whoever sends more has to wait."""
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def at_a_distance(caller: socket.socket, rtt: float, ways: set[asyncio.Task[None]]) -> socket.socket:
    """Return a socket to serve instead of ``caller``, with a round-trip time of ``rtt`` seconds between them.

    The client's first bytes are delayed by one more round trip, which TCP's handshake would take. ``ways`` holds a task
    for the connection while it is open, so that a server can wait until everything has arrived.
    """
    opened = asyncio.get_running_loop().time() + rtt
    here, served = socket.socketpair()
    try:
        near, far = await asyncio.open_connection(sock=caller), await asyncio.open_connection(sock=here)
    except BaseException:
        here.close()
        served.close()
        raise
    way = asyncio.create_task(_both_ways(near, far, rtt / 2, opened))
    ways.add(way)
    way.add_done_callback(ways.discard)
    return served


async def _both_ways(near: Streams, far: Streams, delay: float, opened: float) -> None:
    """Forward bytes in both directions until both have ended or one fails."""
    try:
        async with asyncio.TaskGroup() as group:
            for source, target in ((near[0], far[1]), (far[0], near[1])):
                on_their_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WINDOW // PIECE)
                group.create_task(_receive(source, on_their_way, delay, opened))
                group.create_task(_deliver(on_their_way, target))
    except* OSError:
        pass  # the client has disconnected and needs nothing more
    finally:
        near[1].close()
        far[1].close()


async def _receive(
    source: asyncio.StreamReader, pieces: asyncio.Queue[tuple[float, bytes]], delay: float, opened: float
) -> None:
    """Put bytes from ``source`` into ``pieces`` with the time at which they are due; an empty piece is the end."""
    piece = b"the first"
    while piece:
        piece = await source.read(PIECE)
        now = asyncio.get_running_loop().time()
        await pieces.put((max(now, opened) + delay, piece))


async def _deliver(pieces: asyncio.Queue[tuple[float, bytes]], target: asyncio.StreamWriter) -> None:
    """Write each piece when it is due, in the same order, and then the end."""
    piece = b"the first"
    while piece:
        due, piece = await pieces.get()
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        target.write(piece)
        await target.drain()
    if not target.is_closing():
        target.write_eof()
