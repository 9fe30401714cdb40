"""Puts a caller far away: what is sent over the returned socket arrives half a round trip later, in both directions.

A socket pair stands between the caller and the server, and each direction hands on what it hears. So TLS and HTTP run
on the far side as on any socket, and a TLS handshake costs its real number of round trips.
"""

from __future__ import annotations

import asyncio
import socket

__all__ = ["WINDOW", "at_a_distance"]

WINDOW = 256 * 1024
"""So many bytes may be on their way in one direction; then whoever sends more has to wait."""
PIECE = 64 * 1024
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def at_a_distance(caller: socket.socket, rtt: float, ways: set[asyncio.Task[None]]) -> socket.socket:
    """Return a socket to serve in place of ``caller``, who is ``rtt`` seconds away and back.

    The caller's first bytes are late by one whole round trip more: that is what TCP's handshake takes. ``ways`` holds
    a task for the connection while it is open, so that a server can wait until everything has arrived.
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
    """Hand on both directions until both have ended, or one breaks."""
    try:
        async with asyncio.TaskGroup() as group:
            for way in (_Way(near, far, delay), _Way(far, near, delay)):
                group.create_task(way.hear(opened))
                group.create_task(way.hand_on())
    except* OSError:
        pass  # whoever hung up needs nothing more
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
