"""The arms of a race: a name such as ``fake-3`` → what it is and how to build its client.

An arm is a kind of client and a limit. Arms differ in one thing each, so that a comparison has a cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from supalab.clients.base import Client
from supalab.errors import SettingsError
from supalab.settings import Settings, checked_limit

__all__ = ["DEFAULT_ARMS", "KINDS", "Arm", "Kind", "arm"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of client: ``home`` is ``module:class``, imported only when an arm is built."""

    home: str
    about: str

    def load(self) -> Callable[..., Client]:
        """Import the client's class."""
        module, _, name = self.home.partition(":")
        client: Callable[..., Client] = getattr(import_module(module), name)
        return client


KINDS = {
    "fake": Kind("supalab.clients.fake:FakeSupabaseAsync", "requests in threads, a new connection for each request"),
    "session": Kind("supalab.clients.session:SessionSupabaseAsync", "requests in threads, connections used again"),
    "article": Kind("supalab.clients.article:ArticleSupabaseAsync", "httpx as the article prints it"),
    "real": Kind("supalab.clients.real:SupabaseAsync", "httpx over aiohttp, with a gate and one deadline"),
}

DEFAULT_ARMS = ("fake-3", "fake-10", "session-10", "article-10", "real-3", "real-10")


@dataclass(frozen=True, slots=True)
class Arm:
    """One named way of doing the same work, e.g. ``fake-3``: the kind ``fake`` with at most 3 requests in flight."""

    name: str
    kind: str
    limit: int

    def build(self, settings: Settings) -> Client:
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
    """Look up ``kind-limit``, e.g. ``real-10``; raises SettingsError that names what there is."""
    found = re.fullmatch(r"([a-z0-9-]+)-(\d{1,6})", name)
    if not found or found[1] not in KINDS:
        kinds = ", ".join(f"{kind}-N" for kind in KINDS)
        raise SettingsError(f"no arm is called {name!r}: use {kinds} with N requests in flight, e.g. fake-3")
    return Arm(name, found[1], checked_limit(int(found[2])))
