"""The two messages between the lab's server and its PostgREST: one request and its answer.

Both are plain values: the server builds a ``Request`` from what came over the wire and sends an ``Answer`` as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Answer", "Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came over the wire.

    ``path`` is what stands after ``/rest/v1`` (``/contests``) and ``query`` what stands after the question mark; both
    still percent-encoded. The names in ``headers`` are in lower case.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, ready for the wire; ``headers`` holds ``Content-Length`` only where PostgREST sends it itself."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
