"""What all peers share: a project's address, key and limit in, the parts of a read out; the library does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

from supalab.settings import Settings

__all__ = ["Peer", "parameters"]


class Peer(ABC):
    """One library under the same conditions as ours: at most ``limit`` requests in flight, the same two key headers.

    ``timeout``: seconds for each phase of a request; waiting for a free connection is never cut short, because a race
    asks how long that takes. HTTP/1.1 only. No proxy and no ~/.netrc is used where the library lets us say so.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        limit: int = 10,
        timeout: float = 30.0,
        ca_file: str | None = None,
        rest_path: str = "/rest/v1",
    ) -> None:
        self._settings = Settings(url, key, limit, timeout, ca_file, rest_path)
        self._headers = {**self._settings.headers, "Accept": "application/json"}

    @abstractmethod
    async def select(self, table: str, *, columns: str = "*", limit: int | None = None) -> Any:
        """Read rows; an error is the library's own."""

    @abstractmethod
    async def aclose(self) -> None:
        """Give back connections and threads."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _table(self, table: str) -> str:
        return f"{self._settings.base}/{table}"


def parameters(columns: str, limit: int | None) -> dict[str, str]:
    """Return the query of a read, for the library to encode."""
    return {"select": columns} | ({} if limit is None else {"limit": str(limit)})
