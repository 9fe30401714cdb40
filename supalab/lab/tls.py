"""TLS for the lab's connections: a certificate made on the spot flows out to a file, encrypted bytes flow through.

It is a layer of its own, on OpenSSL's memory buffers, because it must stand on a simulated distance as well as on a
socket: a TLS handshake then costs its real number of round trips.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Any

from supalab.lab.layer import Layer

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

__all__ = ["TlsLayer", "make_certificate"]

CHUNK = 64 * 1024


def make_certificate(host: str, ca_file: Path) -> ssl.SSLContext:
    """Return a server's context with a fresh certificate for ``host``; its authority is written to ``ca_file``."""
    import trustme

    authority = trustme.CA(organization_name="supalab")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    authority.issue_cert(host, organization_name="supalab").configure_cert(context)
    authority.cert_pem.write_to_path(str(ca_file))
    return context


class TlsLayer(Layer):
    """The server's side of TLS: encrypted below, plain above."""

    def __init__(self, above: asyncio.Protocol, context: ssl.SSLContext) -> None:
        super().__init__(above)
        self._context = context
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._shaken = False

    def data_received(self, data: bytes) -> None:
        """Decrypt bytes and pass them up; a caller who speaks no TLS is hung up on."""
        self._incoming.write(data)
        try:
            self._advance()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError:
            self._flush()  # an alert that says why
            self.below.close()

    def _advance(self) -> None:
        if not self._shaken:
            self._tls.do_handshake()
            self._shaken = True
            self._flush()
        while not self.is_closing():
            plain = self._read()
            if not plain:
                return self._end()
            self.above.data_received(plain)
        return None

    def _end(self) -> None:
        if not self.above.eof_received():
            self.close()

    def _read(self) -> bytes:
        try:
            return self._tls.read(CHUNK)
        except ssl.SSLZeroReturnError:
            return b""

    def _flush(self) -> None:
        if self._outgoing.pending and not self.is_closing():
            self.below.write(self._outgoing.read())

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Encrypt bytes and pass them down."""
        rest = memoryview(data)
        while rest and self._shaken and not self.is_closing():
            rest = rest[self._tls.write(rest) :]
        self._flush()

    def close(self) -> None:
        """Say goodbye in TLS's words, then hang up."""
        if self._shaken and not self.is_closing():
            self._goodbye()
        self.below.close()

    def _goodbye(self) -> None:
        with contextlib.suppress(ssl.SSLError):  # the caller's own goodbye is not waited for
            self._tls.unwrap()
        self._flush()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection, and that it speaks TLS."""
        own = {"sslcontext": self._context, "ssl_object": self._tls}
        return own[name] if name in own else self.below.get_extra_info(name, default)
