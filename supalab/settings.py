"""Where a project is and how hard to lean on it: arguments or environment in, one checked, frozen object out."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from supalab.errors import SettingsError

__all__ = ["Settings"]

MAX_LIMIT = 10_000
URL_CURE = "give the project's address, e.g. https://abc.supabase.co or http://127.0.0.1:3000"


@dataclass(frozen=True, slots=True)
class Settings:
    """One project and the bounds that a client keeps; checked when built, so that no request can fail on it.

    ``url``: the project's address. ``key``: a publishable, secret or JWT key, never printed; ``None`` sends none
    (a plain PostgREST server). ``limit``: requests in flight at once. ``timeout``: seconds; what it bounds is
    the rung's own lesson (a gap between bytes, each phase, or everything). ``ca_file``: a PEM file to trust
    instead of the system's authorities. ``rest_path``: what Supabase puts in front of PostgREST, ``""`` for
    a plain server. ``schema``: the database schema to use, None for the server's first. ``token``: the JWT of a
    signed-in user, who then takes the key's place in ``Authorization``; never printed either.

    Raises SettingsError, which names the argument and the cure, and never holds the key.
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
        object.__setattr__(self, "url", _checked_url(self.url))
        object.__setattr__(self, "key", _checked_key("key", self.key))
        object.__setattr__(self, "token", _checked_key("token", self.token))
        object.__setattr__(self, "limit", checked_limit(self.limit))
        object.__setattr__(self, "timeout", _checked_timeout(self.timeout))
        object.__setattr__(self, "ca_file", _checked_ca_file(self.ca_file))
        object.__setattr__(self, "rest_path", _checked_path(self.rest_path))
        if self.schema is not None and not self.schema.isidentifier():
            raise SettingsError(f"schema {self.schema!r} is not a schema's name: use letters, digits and _")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read ``SUPABASE_URL`` and ``SUPABASE_KEY``; raises SettingsError when the address is missing."""
        if not environ.get("SUPABASE_URL"):
            raise SettingsError(
                "SUPABASE_URL is not set: set it to your project's address, and SUPABASE_KEY to its key"
            )
        return cls(environ["SUPABASE_URL"], environ.get("SUPABASE_KEY") or None)

    @property
    def base(self) -> str:
        """The address that table names are appended to, without a trailing slash."""
        return self.url if self.url.endswith(self.rest_path) else self.url + self.rest_path

    @property
    def headers(self) -> dict[str, str]:
        """The headers every request carries; both official clients send the key in these two places."""
        keys = {"apikey": self.key} if self.key else {}
        if self.token or self.key:
            keys["Authorization"] = f"Bearer {self.token or self.key}"
        return keys | ({"Accept-Profile": self.schema, "Content-Profile": self.schema} if self.schema else {})

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may hold: the key and the token, as far as there are any."""
        return Secrets(secret for secret in (self.token, self.key) if secret)


class Secrets(tuple[str, ...]):
    """Secrets that do not show themselves: tools print the variables of every frame that an error keeps."""

    def __repr__(self) -> str:
        return f"<{len(self)} secrets>"


def _checked_url(url: object) -> str:
    if not isinstance(url, str):
        raise SettingsError(f"url must be text, not {type(url).__name__}: {URL_CURE}")
    parts = _split(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError(f"url {url!r} is not an http:// or https:// address: {URL_CURE}")
    if parts.query or parts.fragment:
        raise SettingsError(f"url {url!r} has a query or a fragment: {URL_CURE}")
    return url.rstrip("/")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")  # what no name server takes: an empty or too long label
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_valid = urlsplit(""), False
    # Before anything may print the address: it may hold a password.
    if parts.username is not None or parts.password is not None:
        raise SettingsError("url holds a user name or password: put the key into key=, not into the address")
    if not url.isascii() or not url.isprintable() or " " in url or not port_is_valid:
        raise SettingsError(f"url {url!r} is not a valid address: {URL_CURE}")
    return parts


def _checked_path(path: object) -> str:
    if not isinstance(path, str) or not re.fullmatch(r"(/[\w~-]+)*/?", path, re.ASCII):
        raise SettingsError(f"rest_path {path!r} is not a path such as '/rest/v1', or '' for none")
    return path.rstrip("/")


def _checked_key(name: str, key: object) -> str | None:
    if key is None:
        return None
    # Only the field is named: httpx and requests print a key with a stray newline whole in their own errors.
    if not isinstance(key, str) or not key:
        raise SettingsError(
            f"{name} is empty or not text: pass the project's publishable or secret key, or a user's JWT"
        )
    if not all("!" <= letter <= "~" for letter in key):
        raise SettingsError(
            f"{name} has a space, a line break or a letter outside ASCII: copy it again, without blanks around it"
        )
    return key


def checked_limit(limit: object) -> int:
    """Return ``limit`` if it is a number of requests that may be in flight, else raise SettingsError."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_LIMIT:
        raise SettingsError(
            f"limit {limit!r} is not a number from 1 to {MAX_LIMIT}: it is how many requests may be in flight"
        )
    return limit


def checked_size(name: str, size: int) -> int:
    """Return ``size`` if it is a whole number from 1 up, else raise SettingsError."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise SettingsError(f"{name} {size!r} is not a whole number from 1 up")
    return size


def _checked_timeout(timeout: object) -> float:
    good = (
        isinstance(timeout, (int, float)) and not isinstance(timeout, bool) and math.isfinite(timeout) and timeout > 0
    )
    if not good:
        raise SettingsError(f"timeout {timeout!r} is not a number of seconds above 0")
    return float(timeout)  # type: ignore[arg-type]  # checked above


def _checked_ca_file(ca_file: str | os.PathLike[str] | None) -> str | None:
    if ca_file is None:
        return None
    if not Path(ca_file).is_file():
        raise SettingsError(
            f"ca_file {str(ca_file)!r} is not a file: give a PEM file, or None for the system's authorities"
        )
    return os.fspath(ca_file)
