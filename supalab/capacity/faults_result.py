"""What the faults in production did: a frozen record of every spell on every client; recoveries, losses come out. Pure.

Times are seconds since the load began; a spell lasts from ``begin`` to ``end``, as it really did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from supalab.capacity import recovery
from supalab.capacity.slots import TOO_SLOW
from supalab.load.shots import Shot
from supalab.measure.archive import Form

__all__ = ["FAULTS", "FORM", "Faults", "Spell", "reached"]

#: The faults by name, and what they are.
FAULTS: Mapping[str, str] = {
    "slow": "the backend takes 2 s",
    "down": "the backend answers 503",
    "left": "a crowd comes and hangs up",
}


@dataclass(frozen=True)
class Spell:
    """One fault on the service of one client: every request of the load, and what the lab witnessed in all.

    ``idle_s``: the service's response time when idle. ``served``: requests the backend finished, ``spoiled`` of them
    as errors on purpose, ``abandoned`` after their connection was closed. ``peak``: in flight at the backend.
    """

    arm: str
    fault: str
    idle_s: float
    begin: float
    end: float
    served: int
    spoiled: int
    abandoned: int
    peak: int
    late_s: float
    shots: tuple[Shot, ...]

    @property
    def threshold_s(self) -> float:
        """Twice the idle response time."""
        return TOO_SLOW * self.idle_s

    @property
    def recovery_s(self) -> float | None:
        """Seconds from the spell's end until the service is well again; ``None`` if that was not seen."""
        return recovery.recovery_s(self.shots, self.end, self.threshold_s)

    @property
    def lost(self) -> Mapping[str, int]:
        """Callers who stayed and had no answer, by kind."""
        return recovery.lost(self.shots)

    @property
    def lost_after(self) -> int:
        """How many of them came when the spell was over."""
        return sum(recovery.lost([shot for shot in self.shots if shot.intended >= self.end]).values())

    @property
    def left(self) -> int:
        """Callers who hung up early, as they were meant to."""
        return recovery.left(self.shots)

    @property
    def for_nobody(self) -> int:
        """Good answers that the backend made and that reached no caller."""
        return recovery.for_nobody(self.shots, self.served, self.spoiled)

    @property
    def p95_before(self) -> float | None:
        """Response time before the spell."""
        return recovery.response_in(self.shots, 0.0, self.begin)

    @property
    def p95_during(self) -> float | None:
        """Response time of those who came during the spell and stayed."""
        return recovery.response_in(self.shots, self.begin, self.end)


@dataclass(frozen=True)
class Faults:
    """All spells of an experiment. ``rate``: of callers who stay, a second. ``timeout``: of the services' clients.

    ``latency``: the backend's, ``slow``: in the slow spell. ``crowd``: a second, who leave after ``leave_after``.
    """

    when: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    path: str
    latency: float
    slow: float
    rate: float
    crowd: float
    leave_after: float
    timeout: float
    patience: float
    seed: int
    finished: bool
    spells: tuple[Spell, ...]

    @property
    def arms(self) -> tuple[str, ...]:
        """The clients, in the order in which they ran."""
        return tuple(dict.fromkeys(spell.arm for spell in self.spells))

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults that were tried."""
        return tuple(dict.fromkeys(spell.fault for spell in self.spells))

    def find(self, arm: str, fault: str) -> Spell | None:
        """Return one fault on one client, ``None`` if it did not run."""
        return next((spell for spell in self.spells if (spell.arm, spell.fault) == (arm, fault)), None)


FORM = Form("supalab-faults", 1, Faults, "supalab faults")


def reached(found: Faults) -> bool | None:
    """Say whether real is well again within one service time after the slow spell; ``None`` if it was not measured."""
    spell = found.find("real-10", "slow")
    if spell is None:
        return None
    return spell.recovery_s is not None and spell.recovery_s <= spell.idle_s
