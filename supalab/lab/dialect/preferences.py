"""The ``Prefer`` header: its text flows in, typed preferences and the ``Preference-Applied`` header flow out."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from supalab.lab.dialect.refusal import Refusal
from supalab.lab.store.zones import known_zone

__all__ = ["Preferences", "parse_preferences"]

# In the order in which PostgREST reports them.
_CHOICES = {
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "return": ("representation", "minimal", "headers-only"),
    "count": ("exact", "planned", "estimated"),
    "handling": ("strict", "lenient"),
}
_TRANSACTION = ("tx=commit", "tx=rollback")  # known, but without effect: Supabase does not let a request choose


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a client prefers; None where it did not say. ``invalid`` lists what is none of PostgREST's preferences."""

    resolution: str | None = None
    missing: str | None = None
    returning: str | None = None
    count: str | None = None
    handling: str | None = None
    timezone: str | None = None
    max_affected: int | None = None
    invalid: tuple[str, ...] = ()

    @property
    def strict(self) -> bool:
        """Whether an unknown preference is an error."""
        return self.handling == "strict"

    def check(self) -> None:
        """Raise PGRST122 for unknown preferences when the client asked for strict handling."""
        if self.strict and self.invalid:
            details = f"Invalid preferences: {', '.join(self.invalid)}"
            message = "Invalid preferences given with handling=strict"
            raise Refusal(400, "PGRST122", message, details=details)

    def applied(self, *dropped: str) -> tuple[tuple[str, str], ...]:
        """Return the ``Preference-Applied`` header (none, if nothing was preferred), without the names given."""
        said = [
            ("resolution", self.resolution),
            ("missing", self.missing),
            ("return", self.returning),
            ("count", self.count),
            ("handling", self.handling),
            ("timezone", self.timezone),
            ("max-affected", self.max_affected if self.strict else None),
        ]
        parts = [f"{name}={value}" for name, value in said if value is not None and name not in dropped]
        return (("Preference-Applied", ", ".join(parts)),) if parts else ()

    def check_affected(self, count: int) -> None:
        """Raise PGRST124 when more rows are affected than the client allows (with strict handling only)."""
        if self.strict and self.max_affected is not None and count > self.max_affected:
            message = "Query result exceeds max-affected preference constraint"
            raise Refusal(400, "PGRST124", message, details=f"The query affects {count} rows")


NONE = Preferences()


@lru_cache(maxsize=512)
def parse_preferences(header: str) -> Preferences:
    """Return the preferences in a ``Prefer`` header; the first of a kind counts, unknown ones are kept as invalid."""
    found: dict[str, str] = {}
    invalid: list[str] = []
    for part in (part.strip() for part in header.split(",")) if header else ():
        name, _, value = part.partition("=")
        if value in _CHOICES.get(name, ()) or _open_choice(name, value):
            found.setdefault(name, value)
        elif part not in _TRANSACTION and name != "max-affected":
            invalid.append(part)
    limit = found.pop("max-affected", None)
    preferences = Preferences(
        resolution=found.get("resolution"),
        missing=found.get("missing"),
        returning=found.get("return"),
        count=found.get("count"),
        handling=found.get("handling"),
        timezone=found.get("timezone"),
        max_affected=int(limit) if limit else None,
    )
    return replace(preferences, invalid=tuple(invalid))


def _open_choice(name: str, value: str) -> bool:
    if name == "max-affected":
        return re.fullmatch(r"-?[0-9]{1,18}", value) is not None
    return name == "timezone" and known_zone(value)
