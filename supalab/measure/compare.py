"""Decide whether a difference is above noise, and compute percentiles, in the same way for all experiments. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import TypeVar

T = TypeVar("T")

#: Noise is the difference that an arm, compared with itself, stays below in so many of a hundred comparisons.
NOISE_PERCENTILE = 90
#: If two arms have fewer comparisons, they are judged by the noise of all arms.
ENOUGH = 6


def percentile(values: Iterable[float], q: float) -> float | None:
    """Return the q-th percentile (0 to 100), linear between neighbours; ``None`` if there are no values.

    A request that was never answered counts as infinitely slow. ``None`` is also returned if the percentile itself is
    infinite.
    """
    ordered = sorted(values)
    if not ordered:
        return None
    place = (len(ordered) - 1) * q / 100
    low, high, part = ordered[math.floor(place)], ordered[math.ceil(place)], place - math.floor(place)
    found = low + (high - low) * part if part else low
    return found if math.isfinite(found) else None


def median_item(items: Iterable[T], key: Callable[[T], float]) -> T:
    """Return the item whose key is the median; of the two in the middle of an even number, the lower one."""
    ordered = sorted(items, key=key)
    return ordered[(len(ordered) - 1) // 2]


@dataclass(frozen=True, slots=True)
class Difference:
    """How much a change saves: the median over the rounds, the lowest and the highest. Positive numbers are savings.

    ``noise``: how much an arm seems to save when it is compared with itself. All are in the unit of the compared
    numbers.
    """

    median: float
    lowest: float
    highest: float
    noise: float = 0.0
    rounds: int = 1

    @property
    def above_noise(self) -> bool:
        """Whether all rounds have the same sign and the median is larger than the noise.

        A single round shows no spread, so it must be twice as large as the noise.
        """
        least = self.noise * (1 if self.rounds > 1 else 2)
        return not self.lowest <= 0 <= self.highest and abs(self.median) > least


def compare(before: Sequence[float], after: Sequence[float], noise: float = 0.0) -> Difference:
    """Return what the change from one arm to another saves; both lists are of the same rounds in the same order.

    Differences are taken within a round, between trials that ran next to each other. ``noise``: a share, as
    ``noise_of`` returns it.
    """
    found = [one - other for one, other in zip(before, after, strict=True)]
    return Difference(median(found), min(found), max(found), noise * max(median(before), median(after)), len(found))


def noise_of(sides: Sequence[tuple[str, Sequence[float]]], arms: Collection[str]) -> float:
    """Return how much trials of one arm differ within a round, as a share of the number itself.

    ``sides``: an arm and its numbers, one for each round. An arm that was run several times in a round is listed
    several times. ``arms``: those to judge; if they ran too few times for a comparison with themselves, all arms count.
    """
    apart = [
        (name, 2 * abs(a - b) / (a + b))
        for (name, one), (other_name, other) in combinations(sides, 2)
        if name == other_name
        for a, b in zip(one, other, strict=True)
        if a + b
    ]
    own = [share for name, share in apart if name in arms]
    return percentile(own if len(own) >= ENOUGH else [share for _, share in apart], NOISE_PERCENTILE) or 0.0
