"""When requests are meant to start: a rate, a duration and a seed go in, times in seconds come out. Pure."""

from __future__ import annotations

import math
import re
from itertools import accumulate, takewhile
from random import Random

from supalab.errors import SettingsError

__all__ = ["MOST_PER_S", "leavers", "poisson", "rates"]

#: More than one process of this kind can keep pace with.
MOST_PER_S = 2_000.0
CURE = "give one rate (20), a list (5,10,20) or a range (5..40)"


def poisson(rate: float, duration: float, seed: int = 1) -> tuple[float, ...]:
    """Return seeded Poisson arrivals from 0 to ``duration`` seconds, ``rate`` a second on average.

    One seed gives one pattern of bursts, which a higher rate only runs through faster: two rates, or two services,
    meet the same luck.
    """
    dice = Random(f"arrivals {seed}")
    # Twice as many as expected, and some more: too few would be a miracle, and a miracle only ends the load early.
    gaps = (dice.expovariate(1.0) / rate for _ in range(math.ceil(2 * rate * duration) + 100))
    return tuple(takewhile(lambda at: at < duration, accumulate(gaps)))


def leavers(count: int, share: float, seed: int = 1) -> tuple[bool, ...]:
    """Say for each of ``count`` callers whether it leaves early; each does with probability ``share`` (0 to 1)."""
    dice = Random(f"leavers {seed}")
    return tuple(dice.random() < share for _ in range(count))


def rates(text: str, step: float | None = None) -> tuple[float, ...]:
    """Read rates a second: ``20``, ``5,10,15`` or ``5..40``, which doubles, or goes up by ``step``, to its end.

    Raises SettingsError for other words, and for a rate that is not above 0 or more than one process can send.
    """
    found = re.fullmatch(r"([\d.]+?)\.\.([\d.]+)", text.strip())
    given = tuple(_rate(part) for part in (found.groups() if found else text.split(",")))
    if step is not None and (not found or not math.isfinite(step) or step <= 0):
        raise SettingsError(f"step {step!r} with rate {text!r}: a step is above 0 and goes with a range such as 5..40")
    if not found:
        return given
    low, high = given
    if low > high:
        raise SettingsError(f"rate {text!r} goes down: write the lower rate first")
    return _climb(low, high, step)


def _climb(low: float, high: float, step: float | None) -> tuple[float, ...]:
    way = [low]
    while way[-1] < high and len(way) <= MOST_PER_S:
        way.append(min(way[-1] * 2 if step is None else way[-1] + step, high))
    return tuple(way)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        raise SettingsError(f"rate {text!r} is not a number: {CURE}") from None
    if not 0 < rate <= MOST_PER_S:
        raise SettingsError(f"rate {text!r} is not above 0 and up to {MOST_PER_S:.0f} requests a second: {CURE}")
    return rate
