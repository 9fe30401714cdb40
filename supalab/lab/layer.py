"""One storey between the socket and the HTTP protocol: bytes flow through it both ways, unchanged here.

To what is below it is a protocol, to what is above it is a transport, so storeys can stand on each other.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

__all__ = ["Layer"]


class Layer(asyncio.Protocol, asyncio.Transport):
    """A storey that passes everything on; the useful ones override what they change."""

    below: asyncio.Transport

    def __init__(self, above: asyncio.Protocol) -> None:
        super().__init__()
        self.above = above

    # What comes up from below.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass the news up, with this layer as the transport."""
        self.below = cast("asyncio.Transport", transport)
        self.above.connection_made(self)

    def data_received(self, data: bytes) -> None:
        """Pass bytes up."""
        self.above.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass the end of the caller's bytes up; true keeps the connection open."""
        return self.above.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the end of the connection up."""
        self.above.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass up that nothing more should be written for now."""
        self.above.pause_writing()

    def resume_writing(self) -> None:
        """Pass up that writing may go on."""
        self.above.resume_writing()

    # What comes down from above.

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Pass bytes down."""
        self.below.write(data)

    def close(self) -> None:
        """Hang up, after what was written."""
        self.below.close()

    def abort(self) -> None:
        """Hang up at once."""
        self.below.abort()

    def is_closing(self) -> bool:
        """Return whether the connection is closed or about to be."""
        return self.below.is_closing()

    def pause_reading(self) -> None:
        """Ask for no more bytes for now."""
        self.below.pause_reading()

    def resume_reading(self) -> None:
        """Ask for bytes again."""
        self.below.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the socket below knows of itself."""
        return self.below.get_extra_info(name, default)
