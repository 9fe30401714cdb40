"""The arms of a race: a name such as ``fake-3`` → what it is and how to build its client.

An arm is a kind of client and a limit. Arms differ in one thing each, so that a comparison has a cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Protocol, Self

from supalab.errors import SettingsError
from supalab.settings import Settings, checked_limit

__all__ = ["DEFAULT_ARMS", "KINDS", "PEER_ARMS", "Arm", "Kind", "Racer", "arm", "missing"]

PEERS_CURE = 'pip install -e ".[peers]"'
#: niquests brings a fork of urllib3 that replaces urllib3 itself, also for ``requests``; built this way it does not.
NIQUESTS_CURE = "URLLIB3_NO_OVERRIDE=1 pip install niquests --no-binary urllib3-future"


class Racer(Protocol):
    """What an arm builds: a client that reads and closes. The rungs can do more, the peers need not."""

    async def select(self, table: str, *, columns: str = "*", limit: int | None = None) -> Any:
        """Return rows of a table."""

    async def aclose(self) -> None:
        """Give back connections and threads."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of client: ``home`` is ``module:class``, imported only when an arm is built.

    ``needs``: a package that is not installed with supalab, and ``cure`` how to get it.
    """

    home: str
    about: str
    needs: str | None = None
    cure: str = PEERS_CURE

    def load(self) -> Callable[..., Racer]:
        """Import the client's class."""
        module, _, name = self.home.partition(":")
        client: Callable[..., Racer] = getattr(import_module(module), name)
        return client


KINDS = {
    "fake": Kind("supalab.clients.fake:FakeSupabaseAsync", "requests in threads, a new connection for each request"),
    "session": Kind("supalab.clients.session:SessionSupabaseAsync", "requests in threads, connections used again"),
    "article": Kind("supalab.clients.article:ArticleSupabaseAsync", "httpx as the article prints it"),
    "real": Kind("supalab.clients.real:SupabaseAsync", "httpx over our own connections, with a gate and one deadline"),
    "blocking": Kind("supalab.clients.variants.blocking:BlockingSupabaseAsync", "requests straight on the event loop"),
    "httpx-threads": Kind("supalab.clients.variants.httpx_threads:HttpxInThreads", "a shared httpx.Client in threads"),
    "kept": Kind("supalab.clients.variants.kept:KeptSupabaseAsync", "the article's client, all connections kept"),
    "gated": Kind("supalab.clients.variants.kept:GatedSupabaseAsync", "the same with a gate before its pool"),
    "real-httpx": Kind("supalab.clients.peers.ours:RealOverHttpx", "ours over httpx's own connections"),
    "httpx": Kind("supalab.clients.peers.bare_httpx:BareHttpx", "bare httpx"),
    "httpx-over-ours": Kind("supalab.clients.peers.bare_httpx:OwnTransport", "bare httpx on our transport"),
    "httpx2": Kind("supalab.clients.peers.bare_httpx2:BareHttpx2", "bare httpx2, a fork of httpx", "httpx2"),
    "aiohttp": Kind("supalab.clients.peers.bare_aiohttp:BareAiohttp", "bare aiohttp", "aiohttp"),
    "niquests": Kind(
        "supalab.clients.peers.bare_niquests:BareNiquests", "bare niquests", "niquests", cure=NIQUESTS_CURE
    ),
    "supabase": Kind("supalab.clients.peers.official:OfficialAsync", "the official async client", "supabase"),
    "to-thread": Kind("supalab.clients.peers.official:OfficialInThreads", "official sync, in threads", "supabase"),
}

DEFAULT_ARMS = ("fake-3", "fake-10", "session-10", "article-10", "real-3", "real-10")
#: What ``supalab race --peers`` runs beside them.
PEER_ARMS = ("httpx-10", "httpx2-10", "aiohttp-10", "niquests-10", "supabase-10", "to-thread-10")
ALIASES = {"to-thread": "to-thread-10"}


@dataclass(frozen=True, slots=True)
class Arm:
    """One named way of doing the same work, e.g. ``fake-3``: the kind ``fake`` with at most 3 requests in flight."""

    name: str
    kind: str
    limit: int

    def build(self, settings: Settings) -> Racer:
        """Make this arm's client for a project; the settings' own limit gives way to the arm's."""
        return KINDS[self.kind].load()(
            settings.url,
            settings.key,
            limit=self.limit,
            timeout=settings.timeout,
            ca_file=settings.ca_file,
            rest_path=settings.rest_path,
        )

    def load(self) -> None:
        """Import what the client needs and nothing else, so that its imports are not measured as its work."""
        KINDS[self.kind].load()


def arm(name: str) -> Arm:
    """Look up ``kind-limit``, e.g. ``real-10``; raises SettingsError that names what there is, or what to install.

    ``to-thread`` alone is ``to-thread-10``.
    """
    name = ALIASES.get(name, name)
    # No leading zeros: one arm under two names would be two arms to a table.
    found = re.fullmatch(r"([a-z0-9-]+)-(0|[1-9]\d{0,5})", name)
    if not found or found[1] not in KINDS:
        kinds = ", ".join(f"{kind}-N" for kind in KINDS)
        raise SettingsError(f"no arm is called {name!r}: use {kinds} with N requests in flight, e.g. fake-3")
    lacking = missing(found[1])
    if lacking:
        raise SettingsError(f"arm {name!r} {lacking}")
    return Arm(name, found[1], checked_limit(int(found[2])))


def missing(kind: str) -> str | None:
    """Say what a kind of client lacks to run here and the cure, ``None`` if nothing; imports nothing."""
    needs = KINDS[kind].needs
    if needs is None or find_spec(needs) is not None:
        return None
    return f"needs {needs}, which is not installed: {KINDS[kind].cure}"
