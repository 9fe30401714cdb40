"""The ledger: claims and evidence go in, every claim with its verdict, figures and sentence comes out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from supalab.errors import TrialError
from supalab.measure.archive import Form
from supalab.measure.claims.catalogue import Claim
from supalab.measure.claims.evidence import Evidence
from supalab.measure.claims.judging import CANNOT, HOLDS, NOT, OTHER, Verdict
from supalab.measure.claims.rules import judge

__all__ = ["LEDGER", "Ledger", "Line", "ledger_of"]


@dataclass(frozen=True, slots=True)
class Line:
    """One claim with its verdict: the figure found here, as text and in the claim's unit, and one sentence."""

    claim: Claim
    verdict: Verdict
    here: str
    sentence: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every claim with its verdict, and the evidence. ``quick``: measured in small, times scaled back.

    ``finished`` is False if Ctrl-C ended it early. ``when``: UTC, ISO 8601.
    """

    lines: tuple[Line, ...]
    evidence: Evidence
    quick: bool
    finished: bool
    when: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many claims have each verdict."""
        found = Counter(line.verdict for line in self.lines)
        return {verdict: found[verdict] for verdict in (HOLDS, OTHER, NOT, CANNOT)}

    @property
    def summary(self) -> str:
        """The counts as one sentence."""
        n = self.counts
        said = f"{n[HOLDS]} hold, {n[OTHER]} hold for another reason, {n[NOT]} do not hold, {n[CANNOT]} cannot be "
        return f"Of {len(self.lines)} claims {said}tested here."

    def of(self, name: str) -> Line:
        """Return the line of a claim by its id; raises TrialError if there is none."""
        found = next((line for line in self.lines if line.claim.id == name), None)
        if found is None:
            raise TrialError(f"no claim {name!r}: there are {', '.join(line.claim.id for line in self.lines)}")
        return found

    def _repr_html_(self) -> str:
        from supalab.measure.claims.table import table
        from supalab.report.table import html

        return html(table(self))


LEDGER = Form("supalab-claims", 1, Ledger, "supalab claims")


def ledger_of(chosen: Sequence[Claim], evidence: Evidence) -> tuple[Line, ...]:
    """Judge claims by evidence, so that an old record can be judged anew."""
    lines = []
    for claim in chosen:
        found = judge(claim, evidence)
        lines.append(Line(claim, found.verdict, found.here, found.sentence, found.value))
    return tuple(lines)
