"""Faults in production: clients go in; each service meets a slow backend, a failing one, a crowd that hangs up.

A load of open arrivals runs before, through and after each spell; a ``Faults`` record comes out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from supalab.capacity.faults_result import FAULTS, Faults, Spell
from supalab.capacity.scene import ARMS, PATH, Scene, scene
from supalab.errors import SettingsError, TrialError
from supalab.load.plan import Plan
from supalab.load.run import load, made_on
from supalab.load.shots import Load

__all__ = ["QUICK", "FaultsInterrupted", "expected_s", "faults"]

LATENCY_S, SLOW_S = 0.15, 2.0
#: Half of what three slots of 150 ms can take, and what ten can take even while each request runs into a timeout.
RATE = 5.0
#: A page that is reloaded by the impatient: more than ten slots can serve to the end, much less if they can be freed.
CROWD, LEAVE_AFTER_S = 80.0, 0.05
#: One second is what a caller of an interactive service may wait; the same for every client.
TIMEOUT_S, PATIENCE_S = 1.0, 10.0
BEFORE_S, SPELL_S, AFTER_S = 4.0, 10.0, 12.0
IDLE_S, START_S, AROUND_S = 1.5, 1.2, 3.0
QUICK: dict[str, Any] = {"before": 2.0, "spell": 3.0, "after": 6.0}
CONDITIONS: Mapping[str, tuple[dict[str, float], dict[str, float]]] = {
    "slow": ({"latency": SLOW_S}, {"latency": LATENCY_S}),
    "down": ({"error_rate": 1.0}, {"error_rate": 0.0}),
    "left": ({}, {}),
}

Progress = Callable[[float, str, int, int], None]


class FaultsInterrupted(KeyboardInterrupt):
    """Ctrl-C during the experiment: nothing runs any more; ``found`` holds the spells that are over."""

    def __init__(self, found: Faults) -> None:
        self.found = found
        super().__init__(f"interrupted after {len(found.spells)} spells")


@dataclass(frozen=True)
class _Times:
    before: float
    spell: float
    after: float

    @property
    def whole(self) -> float:
        return self.before + self.spell + self.after


def faults(
    arms: Sequence[str] = ARMS,
    kinds: Sequence[str] = tuple(FAULTS),
    *,
    before: float = BEFORE_S,
    spell: float = SPELL_S,
    after: float = AFTER_S,
    rate: float = RATE,
    crowd: float = CROWD,
    leave_after: float = LEAVE_AFTER_S,
    timeout: float = TIMEOUT_S,
    seed: int = 1,
    progress: Progress = lambda *_: None,
) -> Faults:
    """Let the service on each arm's client live through each kind of fault, and return every request of it.

    Seconds ``before``, in the ``spell`` and ``after`` it; ``rate`` of open arrivals all the time, the same for all;
    ``crowd``: how many a second come besides in the spell ``left``, and hang up after ``leave_after`` seconds;
    ``timeout``: of the services' clients. ``progress`` is called with the share done (0 to 1), arm and fault, spells
    done and spells in all.

    Raises SettingsError for arguments that cannot work, LabError, AgentError, TrialError, FaultsInterrupted on Ctrl-C.
    """
    unknown = next((kind for kind in kinds if kind not in FAULTS), None)
    if unknown is not None:
        raise SettingsError(f"no fault is called {unknown!r}: use {', '.join(FAULTS)}")
    times, kept = _Times(before, spell, after), list[Spell]()
    whole = Faults(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        **made_on(),
        path=PATH,
        latency=LATENCY_S,
        slow=SLOW_S,
        rate=rate,
        crowd=crowd,
        leave_after=leave_after,
        timeout=timeout,
        patience=PATIENCE_S,
        seed=seed,
        finished=False,
        spells=(),
    )
    try:
        with scene(arms, latency=LATENCY_S, timeout=timeout) as here:
            _all(here, whole, kinds, times, kept, progress)
    except KeyboardInterrupt:
        raise FaultsInterrupted(replace(whole, spells=tuple(kept))) from None
    return replace(whole, spells=tuple(kept), finished=True)


def expected_s(
    arms: Sequence[str] = ARMS,
    kinds: Sequence[str] = tuple(FAULTS),
    *,
    before: float = BEFORE_S,
    spell: float = SPELL_S,
    after: float = AFTER_S,
) -> float:
    """Return the seconds that such an experiment needs."""
    return len(arms) * len(kinds) * (before + spell + after + IDLE_S + START_S + AROUND_S)


def _all(
    here: Scene, whole: Faults, kinds: Sequence[str], times: _Times, kept: list[Spell], progress: Progress
) -> None:
    total = len(kinds) * len(here.agents)
    # The arms take turns: what disturbs the machine for a minute disturbs one fault of each.
    for done, (kind, arm) in enumerate((kind, arm) for kind in kinds for arm in here.agents):

        def tell(seconds: float, arm: str = arm, kind: str = kind, done: int = done) -> None:
            progress((done + min(seconds / (times.whole + START_S), 1.0)) / total, f"{arm} {kind}", done, total)

        if any(one.arm == arm for one in kept):
            # What one fault broke for good must not be blamed on the next one.
            here.restart(arm)
        kept.append(_spell(here, whole, arm, kind, times, tell))


def _spell(here: Scene, whole: Faults, arm: str, kind: str, times: _Times, tell: Callable[[float], None]) -> Spell:
    idle = here.idle_s(arm, load(here.plan(arm, IDLE_S, callers=1), tick=lambda _: tell(0.0)))
    here.lab.reset()
    weather = _Weather(here, kind, time.time() + START_S, times)

    def tick(seconds: float) -> None:
        weather.look()
        tell(seconds)

    try:
        found = load(_plan(here, whole, arm, kind, times), start=weather.start, tick=tick)
    finally:
        weather.clear()
    here.settle()
    seen = here.lab.witness()
    begin, end = weather.lasted(found, times)
    return Spell(
        arm=arm,
        fault=kind,
        idle_s=idle,
        begin=round(begin, 6),
        end=round(end, 6),
        served=seen.served,
        spoiled=seen.errors,
        abandoned=seen.abandoned,
        peak=seen.peak,
        late_s=round(found.slip_p99, 6),
        shots=found.shots,
    )


def _plan(here: Scene, whole: Faults, arm: str, kind: str, times: _Times) -> Plan:
    crowd: dict[str, float] = {}
    if kind == "left":
        crowd = {"crowd_rate": whole.crowd, "crowd_from": times.before, "crowd_until": times.before + times.spell}
    how = {"seed": whole.seed, "timeout": whole.patience, "leave_after": whole.leave_after}
    return here.plan(arm, times.whole, rate=whole.rate, **how, **crowd)


class _Weather:
    """Changes the lab's conditions when it is time, and notes when that really was (``time.time``)."""

    def __init__(self, here: Scene, kind: str, start: float, times: _Times) -> None:
        self._lab, self.start = here.lab, start
        into, back = CONDITIONS[kind]
        self._due = [(start + times.before, into), (start + times.before + times.spell, back)]
        self._back = back
        self.changed: list[float] = []

    def look(self) -> None:
        """Change what is due; called about ten times a second."""
        if self._due and time.time() >= self._due[0][0]:
            _, change = self._due.pop(0)
            if change:
                self._lab.set(**change)  # type: ignore[arg-type]
            self.changed.append(time.time())

    def clear(self) -> None:
        """Put the conditions back, whatever happened."""
        if self._back and self._due:
            self._lab.set(**self._back)  # type: ignore[arg-type]

    def lasted(self, found: Load, times: _Times) -> tuple[float, float]:
        """Return the spell's begin and end in the load's own seconds; a crowd keeps the generator's time."""
        if not self._back:
            return times.before, times.before + times.spell
        if len(self.changed) < 2:
            raise TrialError("the load was over before the spell was: use a higher rate or more seconds after it")
        begin, end = self.changed
        return begin - found.epoch, end - found.epoch
