"""The arms of a race: look up a name such as ``fake-3``, and build its client.

An arm is a kind of client and a limit. Two arms that are compared differ in one thing only, so the cause of a
difference is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from supalab.errors import SettingsError
from supalab.settings import Settings, checked_limit

if TYPE_CHECKING:
    from supalab.clients.base import BaseClient

CURE = 'pip install -e ".[peers]"'


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of client: ``home`` is its ``module:class``, ``needs`` a package that supalab does not install."""

    home: str
    needs: str | None = None


KINDS = {
    "fake": Kind("fake:FakeSupabaseAsync"),
    "session": Kind("session:SessionSupabaseAsync"),
    "article": Kind("article:ArticleSupabaseAsync"),
    "real": Kind("real:SupabaseAsync"),
    "blocking": Kind("variants:BlockingSupabaseAsync"),
    "httpx-threads": Kind("variants:HttpxInThreads"),
    "kept": Kind("variants:KeptSupabaseAsync"),
    "gated": Kind("variants:GatedSupabaseAsync"),
    "real-httpx": Kind("variants:RealOverHttpx"),
    "httpx": Kind("peers:BareHttpx"),
    "httpx-over-ours": Kind("peers:OwnTransport"),
    "httpx2": Kind("peers:BareHttpx2", "httpx2"),
    "aiohttp": Kind("peers:BareAiohttp", "aiohttp"),
    "supabase": Kind("peers:OfficialAsync", "supabase"),
    "to-thread": Kind("peers:OfficialInThreads", "supabase"),
}

DEFAULT_ARMS = ("fake-3", "fake-10", "session-10", "article-10", "real-3", "real-10")
#: What ``supalab race --peers`` runs in addition.
PEER_ARMS = ("httpx-10", "httpx2-10", "aiohttp-10", "supabase-10", "to-thread-10")
ALIASES = {"to-thread": "to-thread-10"}


@dataclass(frozen=True, slots=True)
class Arm:
    """One configuration to measure, e.g. ``fake-3``: the kind ``fake`` with at most 3 requests in flight."""

    name: str
    kind: str
    limit: int

    def build(self, settings: Settings) -> BaseClient:
        """Create this arm's client for a project; the arm's limit replaces the limit of the settings."""
        return self.load()(**asdict(replace(settings, limit=self.limit)))

    def load(self) -> Callable[..., BaseClient]:
        """Import the client's class and its library only; a trial does this before it measures."""
        kind = KINDS[self.kind]
        if kind.needs:
            import_module(kind.needs)
        module, _, name = kind.home.partition(":")
        client: Callable[..., BaseClient] = getattr(import_module(f"supalab.clients.{module}"), name)
        return client


def arm(name: str) -> Arm:
    """Look up ``kind-limit``, e.g. ``real-10``; raises SettingsError with the known names or with what to install.

    ``to-thread`` alone is ``to-thread-10``.
    """
    name = ALIASES.get(name, name)
    # No leading zeros: a table would show one arm under two names as two arms.
    found = re.fullmatch(r"([a-z0-9-]+)-(0|[1-9]\d{0,5})", name)
    if not found or found[1] not in KINDS:
        kinds = ", ".join(f"{kind}-N" for kind in KINDS)
        raise SettingsError(f"no arm is called {name!r}: use {kinds} with N requests in flight, e.g. fake-3")
    lacking = missing(found[1])
    if lacking:
        raise SettingsError(f"arm {name!r} {lacking}")
    return Arm(name, found[1], checked_limit(int(found[2])))


def missing(kind: str) -> str | None:
    """Return which package a kind of client needs and how to install it, or ``None``; imports nothing."""
    needs = KINDS[kind].needs
    return None if needs is None or find_spec(needs) else f"needs {needs}, which is not installed: {CURE}"
