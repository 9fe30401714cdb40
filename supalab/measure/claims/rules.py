"""All rules and experiments by their names: a claim and the evidence go in, a judgement comes out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from supalab.errors import SettingsError
from supalab.measure.claims.catalogue import Claim
from supalab.measure.claims.evidence import Evidence
from supalab.measure.claims.judging import Judgement, Rule, judged
from supalab.measure.claims.rules_costs import COST_RULES
from supalab.measure.claims.rules_figures import FIGURE_RULES
from supalab.measure.claims.rules_manners import MANNER_RULES
from supalab.measure.claims.rules_service import SERVICE_RULES

__all__ = ["EXPERIMENTS", "RULES", "checked", "judge"]

#: What a claim can be bound to: the races, what is tried out, a service under load, or nothing.
EXPERIMENTS = ("burst", "far", "wide", "reuse", "tries", "production", "none")
RULES: Mapping[str, Rule] = {**FIGURE_RULES, **COST_RULES, **MANNER_RULES, **SERVICE_RULES}


def checked(claims: Sequence[Claim]) -> tuple[Claim, ...]:
    """Return the claims; raises SettingsError for one that is bound to an experiment or rule that is not there."""
    for claim in claims:
        if not claim.experiments or not set(claim.experiments) <= set(EXPERIMENTS):
            known = ", ".join(EXPERIMENTS)
            raise SettingsError(f"claim {claim.id!r} has experiment {claim.experiment!r}: use one or some of {known}")
        if claim.rule not in RULES:
            raise SettingsError(f"claim {claim.id!r} has rule {claim.rule!r}: use one of {', '.join(RULES)}")
    return tuple(claims)


def judge(claim: Claim, evidence: Evidence) -> Judgement:
    """Judge one claim by its rule."""
    return judged(claim, evidence, RULES[claim.rule])
