"""The tables of a verdict: its words, who waited, the evidence."""

from __future__ import annotations

from supalab.measure.probe.judge import BLOCKING, CANNOT_TELL, FAKE, REAL
from supalab.measure.probe.verdict import TITLES, WAITERS, Verdict
from supalab.report.table import Cell, Column, Table

__all__ = ["tables"]

BAR = 30
STYLES = {REAL: "good", FAKE: "other", BLOCKING: "bad", CANNOT_TELL: "other"}


def tables(verdict: Verdict) -> list[Table]:
    """Return the headline with its sentences, and what they rest on."""
    said = Table((), (), about=[Cell(f"{verdict.name}: {verdict.headline}", STYLES.get(verdict.kind, "bold"))])
    meaning = Table((), (), about=[Cell(" ".join(verdict.sentences))])
    if not verdict.evidence:
        return [said, meaning]
    took = f"The probe took {verdict.seconds:.1f} s. {_sizes(verdict)}"
    rows = [[row.looked_at, row.seen, row.speaks_for] for row in verdict.evidence]
    evidence = Table([TITLES[0], *(Column(title, wide=True) for title in TITLES[1:])], rows, notes=[took])
    return [said, meaning, _waiters(verdict), evidence]


def _sizes(verdict: Verdict) -> str:
    bursts = " and ".join(f"{one.calls} calls at once" for one in verdict.seen.bursts)
    waiting = verdict.numbers.get("waiting_s") or 0.0
    return f"Evidence from {bursts}: requests waited for {waiting:.0f} s in all."


def _waiters(verdict: Verdict) -> Table:
    """Who waited for the requests, as bars."""
    always = {"share_loop_sockets", "share_threads_read", "share_loop_read"}
    shares = {name: verdict.numbers.get(name) or 0.0 for name in WAITERS}
    rows = [
        [WAITERS[name], f"{share:.0%}", "█" * round(BAR * share)]
        for name, share in shares.items()
        if share >= 0.005 or name in always
    ]
    return Table(["who waited for the requests", Column(""), Column("")], rows)
