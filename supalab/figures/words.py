"""Words for pictures: trials go in, short labels and sentences with their numbers come out. Pure text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median_low
from typing import Any

from supalab.measure.summary import summary
from supalab.measure.trial import TrialSet
from supalab.measure.workload import Workload
from supalab.report.format import count, duration, size

__all__ = [
    "control_of",
    "describe",
    "guessed",
    "headline",
    "made_guesses",
    "same_pace",
    "shown_arms",
    "subtitle",
]

USUAL = ("fake-3", "fake-10", "real-10")
REAL_KINDS = ("real", "article")
# Makespans that differ by no more are said in one breath.
SAME_PACE = 0.10
MOST_IN_TITLE = 3
#: So few arms have room in the title for what the lab saw of them.
WITH_PEAKS = 2
MOST_ROWS = 6


def shown_arms(trials: TrialSet, arms: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the arms to draw: those asked for, else the usual three if all ran, else the first that ran."""
    if arms is not None:
        return tuple(dict.fromkeys(arm for name in arms for arm in (trials.of(name)[0].arm,)))
    return USUAL if set(USUAL) <= set(trials.arms) else trials.arms[:MOST_ROWS]


def control_of(arm: str, arms: Sequence[str]) -> str | None:
    """Return the async arm that ``arm``, threads of the same limit, is the fair control for; else ``None``."""
    kind, _, limit = arm.rpartition("-")
    rivals = [other for other in arms if other.rpartition("-")[0] in REAL_KINDS and other.endswith(f"-{limit}")]
    return rivals[-1] if kind == "fake" and rivals else None


def same_pace(trials: TrialSet, one: str, other: str) -> float:
    """Return the difference of two arms' median makespans over the smaller: 0.03 is three per cent."""
    a, b = _took(trials, one), _took(trials, other)
    return abs(a - b) / min(a, b)


def _took(trials: TrialSet, arm: str) -> float:
    return median_low(trial.makespan_s for trial in trials.of(arm))


def _peaks(trials: TrialSet, arms: Sequence[str]) -> list[int | None]:
    """The most in flight that the lab saw of each arm; ``None`` where no lab counted, or where it saw little of it.

    Over a long way a request is on the way for most of its time, and not yet, or no longer, at the lab.
    """
    if any(trial.backend.rtt > (trial.workload.latency or 0.0) for trial in trials):
        return [None for _ in arms]
    seen = [[trial.witness for trial in trials.of(arm)] for arm in arms]
    return [max((one.peak for one in found if one), default=None) if all(found) else None for found in seen]


def headline(trials: TrialSet, arms: Sequence[str]) -> str:
    """Return a title with the makespans; it says "threads or async" only if the control kept pace."""
    took = {arm: _took(trials, arm) for arm in arms}
    failed = {arm: max(trial.errors for trial in trials.of(arm)) for arm in arms}
    pairs = [(arm, control_of(arm, arms)) for arm in arms]
    pair = next(((control, real) for control, real in pairs if real), None)
    slow = [arm for arm in arms if pair and arm not in pair]
    if len(arms) > MOST_IN_TITLE:
        first, last = duration(min(took.values())), duration(max(took.values()))
        return f"{len(arms)} arms: {first} to {last}" + (f", {sum(failed.values())} failures" * any(failed.values()))
    if not pair or len(slow) != 1 or any(failed.values()) or same_pace(trials, *pair) > SAME_PACE:
        if len(arms) <= WITH_PEAKS and not any(failed.values()) and None not in (peaks := _peaks(trials, arms)):
            return ".  ".join(
                f"{arm}: at most {peak} at once, {duration(took[arm])}" for arm, peak in zip(arms, peaks, strict=True)
            )
        said = {arm: f" ({failed[arm]} failed)" * (failed[arm] > 0) for arm in arms}
        return ", ".join(f"{arm} {duration(took[arm])}{said[arm]}" for arm in arms)
    few, many = trials.of(slow[0])[0].limit, trials.of(pair[1])[0].limit
    return (
        f"{few} at a time: {duration(took[slow[0]])}.  {many} at a time: {duration(took[pair[1]])}, "
        "with threads or with async."
    )


def subtitle(workload: Workload, repeats: int = 1, dots: str = ", a dot for each") -> str:
    """Return what was asked of every arm, and of how many runs a median is shown."""
    asked, n = count(workload.requests, "request"), workload.callers
    if workload.requests > 1:
        asked += " all at once" if n is None or n >= workload.requests else f" from {count(n, 'caller')}"
    each = f", each {duration(workload.latency)} at the server" if workload.latency else ""
    again = f", median of {repeats} runs{dots}" if repeats > 1 else ""
    return f"{asked}{each}{again}"


def made_guesses(guesses: Mapping[str, float | None] | None, arms: Sequence[str]) -> dict[str, float]:
    """Return the makespans that somebody expected, in seconds, of the arms that are shown; who skipped is left out."""
    return {arm: guess for arm, guess in (guesses or {}).items() if guess is not None and arm in arms}


def guessed(expected: Mapping[str, float]) -> str:
    """Return guesses as sentences that follow a description."""
    return "".join(f" The guess for {arm} was {duration(guess)}." for arm, guess in expected.items())


def describe(trials: TrialSet, arms: Sequence[str] | None = None) -> str:
    """Return the sentences that say what the pictures of these trials show, for those who cannot see them."""
    if not len(trials):
        return "No trial was finished, so there is nothing to show."
    names = shown_arms(trials, arms)
    rows = {row["arm"]: row for row in summary(trials)}
    said = [subtitle(trials.workload, len(trials.of(names[0])), dots="") + "."]
    said += [_row_in_words(rows[arm]) for arm in names]
    said += [_pair_in_words(trials, arm, real) for arm in names if (real := control_of(arm, names))]
    return " ".join(said)


def _row_in_words(row: dict[str, Any]) -> str:
    said = []
    if row["peak_in_flight"] is not None:
        said.append(f"at most {row['peak_in_flight']} in flight over {count(row['connections'], 'connection')}")
    else:
        said.append("not witnessed by a lab")
    said.append(f"done after {duration(row['makespan_s'])}")
    if row["wait_p50_s"] is not None:
        said.append(f"median wait {duration(row['wait_p50_s'])}, median service {duration(row['service_p50_s'])}")
    if row["memory_added_bytes"] is not None:
        said.append(f"{size(row['memory_added_bytes'])} of memory added")
    if row["errors"]:
        said.append(f"{row['errors']} of {row['requests']} requests failed")
    return f"{row['arm']}: {', '.join(said)}."


def _pair_in_words(trials: TrialSet, control: str, real: str) -> str:
    apart = same_pace(trials, control, real)
    said = f"{control} is the fair control of {real}: with the same limit"
    if apart <= SAME_PACE:
        return f"{said} they finish within {'less than 1%' if apart < 0.005 else f'{apart:.0%}'} of each other."
    first, last = sorted((control, real), key=lambda arm: _took(trials, arm))
    return f"{said} {last} finishes {duration(_took(trials, last) - _took(trials, first))} ({apart:.0%}) after {first}."
