"""Format numbers and durations for people. All tables, figures and sentences use these functions. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

NEVER = "never"


def duration(seconds: float | None, places: int = 1) -> str:
    """Return measured seconds as ``5.3 s``, ``154 ms`` or ``0.8 ms``, and ``never`` for ``None``.

    ``places``: decimals for times from one second, for tables that compare hundredths.
    """
    if seconds is None:
        return NEVER
    if abs(seconds) >= 0.9995:
        return f"{seconds:.{places}f} s" if abs(seconds) < 99.95 else f"{seconds:.0f} s"
    return f"{1000 * seconds:.0f} ms" if abs(seconds) >= 0.01 else f"{1000 * seconds:.1f} ms"


def stated(seconds: float) -> str:
    """Return seconds that were chosen, not measured, as ``15 s``, ``1.5 s`` or ``450 ms``: at most three digits."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def ms(seconds: float | None, missing: str = "") -> str:
    """Return seconds as milliseconds without the unit, for a column with the unit in its title: ``154``, ``0.8``.

    ``None``, and NaN as pandas' form of it, become ``missing``.
    """
    if seconds is None or math.isnan(seconds):
        return missing
    return f"{1000 * seconds:,.0f}" if seconds >= 0.01 else f"{1000 * seconds:.1f}"


def estimate(seconds: float) -> str:
    """Return an expected time as ``about 40 s``, ``about 9 minutes`` or ``about 3 hours``."""
    if seconds < 100:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} minutes" if seconds < 7200 else f"about {seconds / 3600:.0f} hours"


def size(number: float) -> str:
    """Return bytes as megabytes (10^6): ``102 MB``, ``65.9 MB``, ``0.21 MB``."""
    if abs(number) >= 99.95e6:
        return f"{number / 1e6:.0f} MB"
    return f"{number / 1e6:.1f} MB" if abs(number) >= 9.95e5 else f"{number / 1e6:.2f} MB"


def number(value: float) -> str:
    """Return a number as ``3``, ``4.5`` or ``120``: no decimals for whole numbers and from 100 on."""
    return f"{value:.0f}" if value == round(value) or abs(value) >= 99.95 else f"{value:.1f}"


def count(value: float, noun: str) -> str:
    """Return a number with its noun: ``1 request``, ``2,000 requests``."""
    written = f"{value:,}" if isinstance(value, int) else number(value)
    return f"{written} {noun}{'' if value == 1 else 's'}"


def runs(number: int, middle: str = "median") -> str:
    """Say of how many runs a number is the median: ``median of 5 runs``, ``one run of each``."""
    return f"{middle} of {number} runs" if number > 1 else "one run of each"


def counts(found: Mapping[str, int]) -> str:
    """Say how often each thing happened: ``3 x HTTP 504, 1 x timeout``."""
    return ", ".join(f"{value} x {name}" for name, value in found.items())


def listed(parts: Iterable[object], last_by: str = "and") -> str:
    """Return ``a``, ``a and b``, ``a, b and c``."""
    *most, last = [str(part) for part in parts] or [""]
    return f"{', '.join(most)} {last_by} {last}" if most else last
