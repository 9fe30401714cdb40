"""The verdict: a kind, sentences for a learner, rows of evidence for an expert; it shows itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from supalab.measure.archive import Form
from supalab.measure.probe.seen import Seen
from supalab.report.table import Cell, Column, Table
from supalab.report.table import html as as_html

__all__ = ["TITLES", "VERDICT", "WAITERS", "Evidence", "Verdict"]

TITLES = ("looked at", "seen", "speaks for")
#: Who can wait for a request, by the number's name in a verdict.
WAITERS = {
    "share_loop_sockets": "the event loop, for events",
    "share_other_loops": "event loops in other threads",
    "share_threads_read": "threads, one for each request",
    "share_threads_outside": "threads, in code outside Python",
    "share_loop_read": "the event loop's thread, blocked",
    "share_processes": "other processes",
    "share_unseen": "nobody that Python can see",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One row: what was looked at, what was seen, and what it speaks for."""

    looked_at: str
    seen: str
    speaks_for: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the probe says of a client.

    ``kind``: ``blocking``, ``fake async (threads)``, ``real async``, ``worker processes``, ``concurrent, outside
    Python``, ``mixed`` or ``cannot tell``. ``remarks``: such as ``limited to 3``. ``sentences``: the same in words for
    learners; for ``cannot tell`` also why. ``numbers``: what the judge went by, shares from 0 to 1 and counts.
    ``seen``: all that was counted. ``seconds``: how long the probe took. ``when``: UTC, ISO 8601.
    """

    name: str
    kind: str
    remarks: tuple[str, ...]
    sentences: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    numbers: Mapping[str, float | None]
    seen: Seen
    seconds: float
    when: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def headline(self) -> str:
        """The kind and the remarks in one line."""
        return f"{self.kind}, {', '.join(self.remarks)}" if self.remarks else self.kind

    def __str__(self) -> str:
        wide = max((len(row.looked_at) for row in self.evidence), default=0)
        rows = [f"  {row.looked_at:<{wide}}  {row.seen} → {row.speaks_for}" for row in self.evidence]
        return "\n".join([f"{self.name}: {self.headline}", " ".join(self.sentences), *rows])

    def _repr_html_(self) -> str:
        rows = [[row.looked_at, row.seen, row.speaks_for] for row in self.evidence]
        headline, said = f"{self.name}: {self.headline}", Cell(" ".join(self.sentences))
        return as_html(Table([Column(title) for title in TITLES], rows, headline=headline, about=[said]))

    # So that the last expression of a cell in a terminal can be read, too.
    __repr__ = __str__


VERDICT = Form("supalab-probe", 1, Verdict, "supalab probe --json")
