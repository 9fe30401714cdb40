"""The claims' trial: claims and a size go in, what they need is measured, and a ledger comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from supalab.lab.handle import Lab
from supalab.measure import campaign
from supalab.measure.campaign import Campaign, CampaignInterrupted
from supalab.measure.claims import production, tries
from supalab.measure.claims.catalogue import Claim, catalogue
from supalab.measure.claims.evidence import Evidence, Fact
from supalab.measure.claims.experiments import Sized, gathered, planned
from supalab.measure.claims.ledger import Ledger, ledger_of
from supalab.measure.claims.rules import checked
from supalab.measure.race import Progress

__all__ = ["LedgerInterrupted", "claims", "expected_s"]


class LedgerInterrupted(KeyboardInterrupt):
    """Ctrl-C: nothing runs any more; ``ledger`` judges by what was finished."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        super().__init__("interrupted: the ledger has what was finished")


def claims(
    *,
    quick: bool = False,
    path: str | Path | None = None,
    lab: Lab | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Ledger:
    """Measure what the claims of ``path`` (``data/claims.csv``) need, and judge each.

    In a lab of its own unless one is given. ``quick``: the same in small, in less than a minute. Raises SettingsError
    for a table that is none of claims, LabError, TrialError, and LedgerInterrupted on Ctrl-C.
    """
    chosen = checked(catalogue(path))
    todo = _Todo.of(chosen, quick)
    found = _Found(Campaign({}, datetime.now(UTC).isoformat(timespec="seconds")))
    try:
        _measure(todo, found, lab, progress or (lambda _: None))
    except KeyboardInterrupt as stopped:
        if isinstance(stopped, CampaignInterrupted):
            found.races = stopped.campaign
        raise LedgerInterrupted(_ledger(chosen, todo, found, finished=False)) from None
    return _ledger(chosen, todo, found, finished=True)


def expected_s(quick: bool = False, path: str | Path | None = None) -> float:
    """Return the seconds that the trial of the claims should take on a quiet machine."""
    return _Todo.of(checked(catalogue(path)), quick).expected_s


@dataclass(frozen=True, slots=True)
class _Todo:
    """What the claims need: the races, in their order, and whether anything is tried out or put under load."""

    races: tuple[Sized, ...]
    trying: bool
    serving: bool
    quick: bool

    @classmethod
    def of(cls, chosen: Sequence[Claim], quick: bool) -> _Todo:
        needed = {name for claim in chosen for name in claim.experiments}
        races = tuple(one for one in planned(quick) if one.race in needed)
        return cls(races, "tries" in needed, "production" in needed and not quick, quick)

    @property
    def races_s(self) -> float:
        return sum(one.expected_s for one in self.races)

    @property
    def tries_s(self) -> float:
        return tries.EXPECTED_S * self.trying

    @property
    def expected_s(self) -> float:
        return self.races_s + self.tries_s + (production.expected_s() if self.serving else 0.0)

    @property
    def trials(self) -> int:
        return sum(one.experiment.repeat * len(one.experiment.arms) for one in self.races)


@dataclass
class _Found:
    """What was measured so far."""

    races: Campaign
    facts: Mapping[str, Fact] = field(default_factory=dict)
    served: Mapping[str, float] = field(default_factory=dict)


def _measure(todo: _Todo, found: _Found, lab: Lab | None, progress: Callable[[Progress], None]) -> None:
    whole = max(todo.expected_s, 1.0)

    def tell(seconds: float, what: str, done: int = todo.trials) -> None:
        progress(Progress(min(seconds / whole, 1.0), what, done, todo.trials))

    if todo.races:
        found.races = campaign.run(
            [one.experiment for one in todo.races],
            lab=lab,
            progress=lambda now: tell(now.fraction * todo.races_s, now.arm, now.done),
        )
    if todo.trying:
        found.facts = tries.facts(lambda now: tell(todo.races_s + min(now, todo.tries_s), "tried out"))
    if todo.serving:
        found.served = production.served(lambda now: tell(todo.races_s + todo.tries_s + now, "service"))
    tell(whole, "judged")


def _ledger(chosen: Sequence[Claim], todo: _Todo, found: _Found, *, finished: bool) -> Ledger:
    scale = {one.race: one.scale for one in todo.races}
    races = gathered(found.races.trials, todo.races)
    evidence = Evidence(races, found.facts, found.served, scale)
    where = (found.races.when, found.races.machine, found.races.versions)
    return Ledger(ledger_of(chosen, evidence), evidence, todo.quick, finished, *where)
