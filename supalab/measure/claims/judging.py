"""What every rule is made of: verdicts and margins. Pure.

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
    "ALIKE", "CANNOT", "FACTOR", "HOLDS", "NOT", "OTHER", "VERDICTS", "Judgement", "Rule", "Verdict", "judged", "near",
    "seen", "stated",
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
