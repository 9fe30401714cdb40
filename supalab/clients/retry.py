"""When to ask again: how a try ended flows in, whether another is worth it and after what pause flows out. Pure.

Only reads are ever sent again: a write whose answer is lost may have been applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random

from supalab.errors import ClientError, ConnectionLost
from supalab.replies import Reply

__all__ = ["TRIES", "is_read", "pause", "retry_after", "worth_another"]

#: Times a read is sent at most.
TRIES = 3
#: Seconds that the first pause lasts at most; each further one may last twice as long.
FIRST_PAUSE = 0.2
#: Too many requests, or a server or gateway that is not itself just now (52x: Cloudflare before a Supabase project).
PASSING = frozenset({429, 502, 503, 504, 520, 521, 522, 523, 524})


def is_read(method: str) -> bool:
    """Whether a request changes nothing, so that it may be sent again."""
    return method in {"GET", "HEAD"}


def worth_another(method: str, outcome: Reply | ClientError, attempt: int) -> bool:
    """Whether a request whose ``attempt``-th try (from 1) had this outcome is worth another one."""
    passing = outcome.status in PASSING if isinstance(outcome, Reply) else isinstance(outcome, ConnectionLost)
    return passing and is_read(method) and attempt < TRIES


def pause(attempt: int, outcome: Reply | ClientError, chance: Random) -> float:
    """Seconds to wait after the ``attempt``-th try: what the server asks for, else a random part of a doubling pause.

    Random, because clients that failed together would come back together.
    """
    asked = retry_after(outcome.headers) if isinstance(outcome, Reply) else None
    return asked if asked is not None else chance.uniform(0, FIRST_PAUSE * 2 ** (attempt - 1))


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Read Retry-After, in seconds or as a date (RFC 9110); None when it is missing or makes no sense."""
    written = headers.get("retry-after", "").strip()
    if written.isdecimal() and written.isascii() and len(written) < 12:
        return float(written)
    try:
        when = parsedate_to_datetime(written)
    except (TypeError, ValueError, OverflowError):  # a year of 300 digits overflows
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())
