"""What every rule is made of: verdicts, margins and the words for numbers. Pure.

Margins are wide on purpose: a verdict must be the same on a busy machine, so a figure holds if it is within a factor of
1.5, and two arms are alike unless they differ by more than 1.4; what is compared differs by a factor of three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from supalab.measure.claims.catalogue import Claim
from supalab.measure.claims.evidence import Evidence, NotSeen

__all__ = [
    "ALIKE", "CANNOT", "FACTOR", "HOLDS", "NOT", "OTHER", "VERDICTS", "Judgement", "Rule", "Verdict", "judged", "many",
    "mb", "near", "num", "sec", "seen", "stated",
]  # fmt: skip

Verdict = Literal["holds", "holds, for another reason", "does not hold", "cannot be tested here"]
HOLDS: Verdict = "holds"
OTHER: Verdict = "holds, for another reason"
NOT: Verdict = "does not hold"
CANNOT: Verdict = "cannot be tested here"
VERDICTS: tuple[Verdict, ...] = (HOLDS, OTHER, NOT, CANNOT)

FACTOR = 1.5
ALIKE = 1.4


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, the figure found here (as text and, where the claim has one, as a number in its unit), and why."""

    verdict: Verdict
    here: str
    sentence: str
    value: float | None = None


Rule = Callable[[Claim, Evidence], Judgement]


def judged(claim: Claim, evidence: Evidence, rule: Rule) -> Judgement:
    """Apply a rule; what it did not find makes the claim one that cannot be tested here, and says why."""
    try:
        return rule(claim, evidence)
    except NotSeen as why:
        return Judgement(CANNOT, "", f"Not tested: {why}.")


def near(value: float, figure: float, factor: float = FACTOR) -> bool:
    """Say whether a value is within a factor of a figure."""
    return figure / factor <= value <= figure * factor


def stated(claim: Claim) -> float:
    """Return the article's figure; raises NotSeen for a claim that has none."""
    if claim.figure is None:
        raise NotSeen("the claim has no figure")
    return claim.figure


def seen(value: float | None, what: str) -> float:
    """Return what was seen; raises NotSeen if nobody saw it."""
    if value is None:
        raise NotSeen(f"nobody saw the {what}")
    return value


def sec(seconds: float) -> str:
    """Return seconds for people: ``5.3 s``, ``154 ms``."""
    return f"{seconds:.1f} s" if seconds >= 0.9995 else f"{1000 * seconds:.0f} ms"


def mb(number: float) -> str:
    """Return bytes as megabytes (10^6) for people."""
    return f"{number / 1e6:.1f} MB" if abs(number) < 9.95e6 else f"{number / 1e6:.0f} MB"


def many(number: float, noun: str) -> str:
    """Return a number with its noun: ``1 thread``, ``2 threads``."""
    return f"{num(number)} {noun}" if number == 1 else f"{num(number)} {noun}s"


def num(value: float) -> str:
    """Return a number for people: whole ones without a point, others with one decimal."""
    return f"{value:.0f}" if value == round(value) or abs(value) >= 99.95 else f"{value:.1f}"
