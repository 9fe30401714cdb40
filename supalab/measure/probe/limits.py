"""What a client keeps to: bursts and calls one after another flow in, its limit and its reuse flow out. Pure."""

from __future__ import annotations

from supalab.measure.probe.seen import Burst, Seen

__all__ = ["limit_of", "new_connections", "requests_per_call"]

# A peak of so much of a burst is the burst's own.
FULL = 0.9
PLATEAU = 0.6


def requests_per_call(seen: Seen) -> float:
    """Return how many requests of the lab one call makes, as counted one after another."""
    return max(seen.sequence.served / seen.sequence.calls, 1.0) if seen.sequence and seen.sequence.calls else 1.0


def new_connections(seen: Seen) -> float | None:
    """Return connections opened for each request one after another: 0 is full reuse, 1 none; None if not known."""
    if seen.sequence is None or seen.sequence.served < 2:
        return None
    return seen.sequence.connections / seen.sequence.served


def limit_of(seen: Seen) -> int | None:
    """Return how many requests the client keeps in flight at most; None if none of the bursts came up against it.

    Two sizes of burst with one peak are a limit; one peak below its burst is, if it was held for a while.
    """
    bursts = [one for one in seen.bursts if one.peak]
    if not bursts or bursts[-1].peak >= FULL * bursts[-1].calls:
        return None
    peaks = [one.peak for one in bursts if one.peak < FULL * one.calls]
    if len(peaks) > 1 and len(set(peaks)) == 1:
        return peaks[-1]
    return bursts[-1].peak if _held(bursts[-1]) else None


def _held(burst: Burst) -> bool:
    """Whether the peak was held, through at least one change of guard."""
    at = [second for second, number in burst.timeline if number == burst.peak]
    if not at or at[-1] - at[0] < burst.latency_s:
        return False
    steps = zip(burst.timeline, burst.timeline[1:], strict=False)
    held = sum(
        after - second for (second, number), (after, _) in steps if number == burst.peak and at[0] <= second < at[-1]
    )
    return held >= PLATEAU * (at[-1] - at[0])
