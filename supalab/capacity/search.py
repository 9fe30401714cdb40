"""The search for a capacity: rates that were tried go in, the rate to try next comes out. Pure.

First up the steps until one is bad, and one step further to see how bad it gets; then halving between the last good
and the first bad rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

__all__ = ["FINE", "MOST_RATE", "bracket", "next_rate", "search"]

#: The search ends when the bad rate is no more than this part above the good one.
FINE = 0.05
#: Beyond the steps a rate is doubled up to here; a service that takes this has a capacity of "at least".
MOST_RATE = 640.0


def bracket(tried: Mapping[float, bool]) -> tuple[float | None, float | None]:
    """Return the highest good rate below the lowest bad one, and that bad one; ``None`` for what was not found."""
    bad = min((rate for rate, good in tried.items() if not good), default=None)
    below = [rate for rate, good in tried.items() if good and (bad is None or rate < bad)]
    return max(below, default=None), bad


def next_rate(
    tried: Mapping[float, bool], steps: Sequence[float], fine: float = FINE, most: float = MOST_RATE
) -> float | None:
    """Return the rate to try next; ``None`` when the bracket is no wider than ``fine``, or there is nowhere to go.

    Behind the last step rates are doubled as long as they are good, up to ``most``.
    """
    good, bad = bracket(tried)
    if bad is None:
        ahead = [rate for rate in steps if rate not in tried]
        if ahead:
            return ahead[0]
        doubled = 2 * max(tried, default=1.0)
        return doubled if doubled <= most else None
    beyond = next((rate for rate in steps if rate > bad), None)
    if beyond is not None and beyond not in tried:
        return beyond
    low = good or 0.0
    if bad - low <= fine * bad:
        return None
    middle = round((low + bad) / 2, 2)
    return middle if low < middle < bad and middle >= fine * steps[0] else None


def search(is_good: Callable[[float], bool], steps: Sequence[float], fine: float = FINE) -> dict[float, bool]:
    """Run a whole search over a response function; returns the rates in the order in which they were tried."""
    tried: dict[float, bool] = {}
    while (rate := next_rate(tried, steps, fine)) is not None:
        tried[rate] = is_good(rate)
    return tried
