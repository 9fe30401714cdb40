"""What a request is about: its path, method and profile headers flow in, a checked ``Resource`` flows out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from supalab.lab.dialect.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SCHEMA", "Resource", "find_resource", "profile_headers"]

SCHEMA = "public"
_WRITES = frozenset({"POST", "PATCH", "PUT", "DELETE"})
_METHODS = {
    "root": frozenset({"GET", "HEAD", "OPTIONS"}),
    "table": frozenset({"GET", "HEAD", "OPTIONS"}) | _WRITES,
    "call": frozenset({"GET", "HEAD", "OPTIONS", "POST"}),
}


@dataclass(frozen=True, slots=True)
class Resource:
    """The root, a ``table``, or a function (``call``), with its name."""

    kind: str
    name: str = ""


@lru_cache(maxsize=1024)
def _at(path: str) -> Resource:
    parts = [unquote(part, errors="replace") for part in path.removeprefix("/").split("/")] if path else [""]
    if parts == [""]:
        return Resource("root")
    if len(parts) == 1:
        return Resource("table", parts[0])
    if len(parts) == 2 and parts[0] == "rpc":
        return Resource("call", parts[1])
    raise Refusal(404, "PGRST125", "Invalid path specified in request URL")


def _profile(method: str, headers: Mapping[str, str]) -> str | None:
    return headers.get("content-profile" if method in _WRITES else "accept-profile")


def find_resource(method: str, path: str, headers: Mapping[str, str]) -> Resource:
    """Return what a request is about.

    Raises PGRST125 for a path that leads nowhere, PGRST106 for a schema that is not exposed, and PGRST101 or PGRST117
    for a method that does not go there.
    """
    resource = _at(path)
    profile = _profile(method, headers)
    if profile is not None and profile != SCHEMA:
        hint = f"Only the following schemas are exposed: {SCHEMA}"
        raise Refusal(406, "PGRST106", f"Invalid schema: {profile}", hint=hint)
    if method not in _METHODS[resource.kind]:
        if resource.kind == "call":
            raise Refusal(405, "PGRST101", f"Cannot use the {method} method on RPC")
        raise Refusal(405, "PGRST117", f"Unsupported HTTP method: {method}")
    return resource


def profile_headers(method: str, headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the ``Content-Profile`` header when the client chose the schema by name."""
    return (("Content-Profile", SCHEMA),) if _profile(method, headers) is not None else ()
