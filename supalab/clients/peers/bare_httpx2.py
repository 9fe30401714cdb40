"""httpx2, Pydantic's fork of httpx with the same API: what flows in and out is what it is in ``bare_httpx``."""

from __future__ import annotations

from importlib import import_module

from supalab.clients.peers.bare_httpx import BareHttpx

__all__ = ["BareHttpx2"]


class BareHttpx2(BareHttpx):
    """``httpx2.AsyncClient`` as bare as the original."""

    library = import_module("httpx2")  # by name, so that types can be checked where it is not installed
