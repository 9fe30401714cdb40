"""Accept and count the lab's connections; each gets the round-trip time and TLS setting that apply when it is opened.

A round-trip time is simulated by a socket pair between the client and the server, which forwards bytes with a delay in
each direction. TLS and HTTP run on the server's end as on any socket, so a TLS handshake costs its real number of round
trips.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import TYPE_CHECKING, Any, cast

from supalab.errors import LabError
from supalab.process.serving import ManagedServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from threading import Event

    import uvicorn

    from supalab.lab.conditions import Conditions, LiveConditions
    from supalab.lab.witness import Tally

__all__ = ["WINDOW", "Connections", "at_a_distance", "make_certificate"]

#: Seconds for a TLS handshake; after that the connection is closed.
HANDSHAKE_S = 10.0
#: Seconds until the next try when the system has no descriptor or memory left for a new connection.
PAUSE_S = 0.2
#: How long the end waits, in seconds, for answers that are still on their way over the distance.
ON_THEIR_WAY_S = 1.0

log = logging.getLogger("supalab.lab")


def make_certificate(ca_file: Path) -> ssl.SSLContext:
    """Return a server's context with a fresh certificate for this machine; its authority is written to ``ca_file``.

    Raises LabError when the file cannot be written.
    """
    # Loaded here because most labs do not use TLS and should start fast.
    import trustme

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    try:
        authority = trustme.CA(organization_name="supalab")
        # This too writes a file for a moment, because Python reads a key from files alone.
        authority.issue_cert("127.0.0.1", "localhost", organization_name="supalab").configure_cert(context)
        authority.cert_pem.write_to_path(str(ca_file))
    except OSError as error:
        raise LabError(
            f"the certificate's authority cannot be written to {str(ca_file)!r} ({error.strerror or error}): "
            "make room there, or set TMPDIR to another folder before the lab is started"
        ) from None
    return context


class Connections(ManagedServer):
    """uvicorn's server with its own accept loop, because each connection keeps the conditions at its opening.

    ``ca_file`` is the file of the certificate authority; it exists once TLS has been switched on.
    """

    _context: ssl.SSLContext | None = None

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], None],
        ending: Event,
        *,
        live: LiveConditions,
        tally: Tally,
        ca_file: Path,
    ) -> None:
        super().__init__(config, ready, ending)
        self._live, self._tally, self.ca_file = live, tally, ca_file
        self._far_away: set[asyncio.Task[None]] = set()

    def prepare(self, conditions: Conditions) -> None:
        """Make what new connections need under ``conditions``; call it before they become the live ones.

        Raises LabError when that does not work; then nothing has changed.
        """
        if conditions.tls and self._context is None:
            self._context = make_certificate(self.ca_file)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections, then call ``ready``."""
        await self.lifespan.startup()
        (listener,) = sockets or []
        listener.setblocking(False)
        self.servers, self.started = [], True
        self._accepting = asyncio.create_task(self._accept(listener))
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, finish requests in flight as uvicorn does, and let the responses arrive."""
        self._accepting.cancel()
        await asyncio.wait([self._accepting])
        await super().shutdown(sockets)
        if self._far_away:
            await asyncio.wait(self._far_away, timeout=ON_THEIR_WAY_S)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        failing = False
        async with asyncio.TaskGroup() as entering:
            while True:
                try:
                    caller, _ = await loop.sock_accept(listener)
                except OSError as error:  # no descriptor left, or a client that disconnected at once
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
            context = self._context if conditions.tls else None
            limit = {"ssl_handshake_timeout": HANDSHAKE_S + 3 * conditions.rtt} if context else {}
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(self._protocol, served, ssl=context, **limit)
        except BaseException as error:
            served.close()
            if not isinstance(error, OSError):  # no TLS, too slow or disconnected; or no descriptor is left
                raise

    def _protocol(self) -> asyncio.Protocol:
        make = cast("Any", self.config.http_protocol_class)
        return cast("asyncio.Protocol", make(config=self.config, server_state=self.server_state, app_state={}))


# Distance

WINDOW = 256 * 1024
"""So many bytes may be on their way in one direction; then whoever sends more has to wait."""
PIECE = 64 * 1024
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
            for way in (_Way(near, far, delay), _Way(far, near, delay)):
                group.create_task(way.hear(opened))
                group.create_task(way.hand_on())
    except* OSError:
        pass  # a client that has disconnected needs nothing more
    finally:
        near[1].close()
        far[1].close()


class _Way:
    """One direction: what ``hear`` reads, ``hand_on`` writes ``delay`` seconds later, in the same order."""

    def __init__(self, source: Streams, target: Streams, delay: float) -> None:
        self.reader, self.writer, self.delay = source[0], target[1], delay
        self.time = asyncio.get_running_loop().time
        self.pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self.size, self.room = 0, asyncio.Event()

    async def hear(self, opened: float) -> None:
        piece = b"the first"
        while piece:
            while self.size > WINDOW:
                self.room.clear()
                await self.room.wait()
            piece = await self.reader.read(PIECE)
            self.size += len(piece)
            self.pieces.put_nowait((max(self.time(), opened) + self.delay, piece))

    async def hand_on(self) -> None:
        piece = b"the first"
        while piece:
            due, piece = await self.pieces.get()
            await asyncio.sleep(due - self.time())
            self.writer.write(piece)
            await self.writer.drain()
            self.size -= len(piece)
            self.room.set()
        if not self.writer.is_closing():
            self.writer.write_eof()
