"""Time zones: ``Prefer: timezone=…`` and the rows of an answer flow in, the same rows in that zone's time flow out."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supalab.lab.store.outputs import Output, Row

__all__ = ["known_zone", "show_in_zone"]


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def known_zone(name: str) -> bool:
    """Whether the machine knows a time zone of this name; one without a zone database knows none."""
    return name in _zones()


def show_in_zone(found: Sequence[Output], rows: Sequence[Row], name: str) -> None:
    """Turn the moments with a time zone in ``rows`` into the zone ``name``, as PostgreSQL shows them."""
    zone = ZoneInfo(name)
    for column in [output.name for output in found if output.type.family == "timestamptz"]:
        for row in rows:
            if row[column] is not None:
                row[column] = _shown(datetime.fromisoformat(row[column]).astimezone(zone))


def _shown(moment: datetime) -> str:
    """Write a moment in ISO form, without the zeros that end a fraction of a second."""
    return re.sub(r"(\.\d*?)0+(?=[+-])", r"\1", moment.isoformat())
