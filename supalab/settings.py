"""``Settings`` holds what a client needs to know about its project, checked once: URL, keys, limit, timeout."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from supalab.errors import SettingsError, shown

#: A name, or an IPv6 address in brackets, maybe with its zone; then a port and a path.
ADDRESS = re.compile(r"(?ai)https?://([\w.-]+|\[[\da-f:.]+(%\w+)?\])(:\d*)?(/[\w/.~!$&'()*+,;=:%-]*)?")
MAX_LIMIT = 10_000
#: Seconds, because event loops and sockets cannot wait for any length of time.
MAX_TIMEOUT = 86_400
URL_CURE = "give the project's address, e.g. https://abc.supabase.co or http://127.0.0.1:3000"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a client, checked when they are made, so that no request can fail because of them.

    ``url``: the project's address. ``key``: a publishable, secret or JWT key, never printed; ``None`` sends none (a
    plain PostgREST server). ``limit``: requests in flight at once. ``timeout``: seconds; what it limits depends on the
    client (a gap between bytes, each phase, or everything). ``ca_file``: a PEM file to trust instead of the system's
    authorities. ``rest_path``: the path of PostgREST on Supabase, ``""`` for a plain server. ``schema``: the database
    schema to use, None for the server's first. ``token``: the JWT of a signed-in user, which then replaces the key in
    ``Authorization``; never printed either. Raises SettingsError with the argument and what to do, but never with the
    key.
    """

    url: str
    key: str | None = field(repr=False)
    limit: int = 10
    timeout: float = 30.0
    ca_file: str | None = None
    rest_path: str = "/rest/v1"
    schema: str | None = None
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, checked in CHECKS.items():
            object.__setattr__(self, name, checked(name, getattr(self, name)))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read ``SUPABASE_URL`` and ``SUPABASE_KEY``; raises SettingsError when the address is missing."""
        if not environ.get("SUPABASE_URL"):
            raise SettingsError("SUPABASE_URL is not set: set it to the project's address, SUPABASE_KEY to its key")
        return cls(environ["SUPABASE_URL"], environ.get("SUPABASE_KEY") or None)

    @property
    def base(self) -> str:
        """The address that table names are appended to, without a trailing slash."""
        return self.url if self.url.endswith(self.rest_path) else self.url + self.rest_path

    @property
    def headers(self) -> dict[str, str]:
        """The headers that every request has; both official clients send the key in these two places."""
        keys = {"apikey": self.key} if self.key else {}
        if self.token or self.key:
            keys["Authorization"] = f"Bearer {self.token or self.key}"
        return keys | ({"Accept-Profile": self.schema, "Content-Profile": self.schema} if self.schema else {})

    @property
    def secrets(self) -> tuple[str, ...]:
        """The key and the token, if given: no message may contain them."""
        return Secrets(secret for secret in (self.token, self.key) if secret)


class Secrets(tuple[str, ...]):
    """Secrets whose ``repr`` does not show them: tools print the variables of every frame that an error keeps."""

    def __repr__(self) -> str:
        return f"<{len(self)} secrets>"


def _checked_url(name: str, url: object) -> str:
    if not isinstance(url, str):
        raise SettingsError(f"url must be text, not {type(url).__name__}: {URL_CURE}")
    if "@" in url:  # before any message prints the address, because it may contain a password
        raise SettingsError("url contains a user name or password: put the key into key=, not into the address")
    if "?" in url or "#" in url:  # a query may hold a key
        raise SettingsError(f"url has a query or fragment: {URL_CURE}")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host.encode("idna")  # raises for labels that no name server accepts: empty or too long
        if re.fullmatch(r"\d+(\.\d+){3}|.*:.*", host):
            ip_address(host)
        is_valid = ADDRESS.fullmatch(url) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise SettingsError(f"url {shown(url)} is not an http(s) address: {URL_CURE}")
    return parts.geturl().rstrip("/")  # with the scheme in lower case


def _checked_path(name: str, path: object) -> str:
    if not isinstance(path, str) or not re.fullmatch(r"(/[\w~-]+)*/?", path, re.ASCII):
        raise SettingsError(f"rest_path {shown(path)} is not a path such as '/rest/v1', or '' for none")
    return path.rstrip("/")


def _checked_key(name: str, key: object) -> str | None:
    # Only the field is named: httpx and requests, in their own errors, print the whole key if it contains a newline.
    if key is not None and (not isinstance(key, str) or not key):
        raise SettingsError(f"{name} is empty or not text: pass the project's key, or a user's JWT")
    if key is not None and not re.fullmatch("[!-~]+", key):
        raise SettingsError(
            f"{name} has a space, a line break or a letter outside ASCII: copy it again without such characters"
        )
    return key


def _checked_schema(name: str, schema: Any) -> str | None:
    # It is sent as a header, which allows only these characters; a comma would separate two values.
    if schema is not None and not (isinstance(schema, str) and re.fullmatch(r"(?! )[ -+\x2d-~]{1,63}(?<! )", schema)):
        raise SettingsError(f"schema {shown(schema)} cannot be sent: use 1 to 63 ASCII characters, no comma")
    return schema


def checked_limit(limit: object, name: str = "limit") -> int:
    """Return ``limit`` if it is a number of requests that may be in flight, else raise SettingsError."""
    return int(checked_number(name, limit, 1, MAX_LIMIT))


def checked_number(
    name: str, value: Any, least: float = 1, most: float = sys.maxsize, cure: str = "", unit: str = ""
) -> Any:
    """Return ``value`` if it is a number from ``least`` to ``most``; without a ``unit``, a whole one.

    Raises SettingsError that ends with ``cure``, what to do.
    """
    kinds = (int, float) if unit else int
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        what = f"number of {unit}" if unit else "whole number"
        said = f"{name} {shown(value)} is not a {what} from {least:,} to {most:,}"
        raise SettingsError(f"{said}: {cure}" if cure else said)
    return value


def _checked_timeout(name: str, timeout: Any) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= MAX_TIMEOUT:
        raise SettingsError(f"timeout {shown(timeout)} is not a number of seconds above 0 and up to {MAX_TIMEOUT:,}")
    return float(timeout)


def _checked_ca_file(name: str, ca_file: Any) -> str | None:
    if ca_file is not None and not (isinstance(ca_file, (str, os.PathLike)) and Path(ca_file).is_file()):
        raise SettingsError(f"ca_file {shown(ca_file)} is not a file: give a PEM file, or None for the system's own")
    return None if ca_file is None else os.fspath(ca_file)


CHECKS: dict[str, Callable[[str, Any], object]] = {
    "url": _checked_url,
    "key": _checked_key,
    "limit": lambda _, limit: checked_limit(limit),
    "timeout": _checked_timeout,
    "ca_file": _checked_ca_file,
    "rest_path": _checked_path,
    "schema": _checked_schema,
    "token": _checked_key,
}
