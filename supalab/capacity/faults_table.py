"""The tables of faults in production: one for each fault, a row for each client."""

from __future__ import annotations

from supalab.capacity.faults_result import FAULTS, Faults, Spell, reached
from supalab.capacity.recovery import WINDOW
from supalab.load.shots import LATE_S
from supalab.report.format import NEVER, counts, ms, stated
from supalab.report.table import Table

__all__ = ["recovery_words", "tables"]

VERDICTS = {True: "reached", False: "missed"}
#: Why a kind of client stays ill after a fault; said only where that was measured.
REASONS = {
    ("article", "left"): "callers cancelled in the queue of httpx's pool break it for good (encode/httpcore issue 1093)"
}


COLUMNS = (
    "client", "p95 ms\nbefore", "p95 ms\nduring", "well again\nafter", "lost", "of them\nafter", "left",
    "worked for\nnobody", "of that\nnoticed", "in flight\npeak",
)  # fmt: skip


def tables(found: Faults) -> list[Table]:
    """Return a table for each fault, and what the columns mean."""
    if not found.spells:
        return [Table((), (), empty="No fault was tried to its end.")]
    return [*(_one(found, fault) for fault in found.faults), Table((), (), notes=_notes(found))]


def _one(found: Faults, fault: str) -> Table:
    spells = [spell for arm in found.arms if (spell := found.find(arm, fault)) is not None]
    length = spells[0].end - spells[0].begin
    return Table(COLUMNS, [_row(spell) for spell in spells], headline=f"{FAULTS[fault]}, {length:.0f} s")


def _row(spell: Spell) -> list[str]:
    numbers = (sum(spell.lost.values()), spell.lost_after, spell.left, spell.for_nobody, spell.abandoned, spell.peak)
    p95 = (ms(spell.p95_before, NEVER), ms(spell.p95_during, NEVER))
    return [spell.arm, *p95, recovery_words(spell), *map(str, numbers)]


def recovery_words(spell: Spell) -> str:
    """Return how long the service took to be well again: ``at once``, ``1.9 s`` or that it was not seen."""
    if spell.recovery_s is None:
        return "not seen"
    return "at once" if spell.recovery_s == 0 else f"{spell.recovery_s:.1f} s"


def _notes(found: Faults) -> list[str]:
    said = [
        f"{found.rate:g} requests a second at random, the same for all; clients time out after {found.timeout:g} s.",
        f"Well again: the first request from which on p95 of {WINDOW} is below twice the idle response time.",
        f"Lost: callers who stayed and had no answer. Left: a crowd that comes besides, {found.crowd:g} a second,",
        f"and hangs up after {stated(found.leave_after)}. Worked for nobody: good answers of the backend that "
        "reached no caller;",
        "noticed: those whose connection the client had closed, so that the backend could have stopped.",
    ]
    for fault in found.faults:
        kinds = [
            f"{arm} {counts(spell.lost)}"
            for arm in found.arms
            if (spell := found.find(arm, fault)) is not None and spell.lost
        ]
        said += [f"{fault}, lost: {'; '.join(kinds)}"] if kinds else []
    said += [
        f"{spell.arm} stays ill: {reason}."
        for spell in found.spells
        if spell.recovery_s is None and (reason := REASONS.get((spell.arm.rpartition("-")[0], spell.fault)))
    ]
    late = [f"{spell.arm} {spell.fault}" for spell in found.spells if spell.late_s > LATE_S]
    if late:
        said.append(f"A busy machine: more than {1000 * LATE_S:.0f} ms late (p99) were sent {', '.join(late)}.")
    verdict = reached(found)
    if verdict is not None:
        said.append(f"Goal: real-10 well again within one service time of the slow spell's end: {VERDICTS[verdict]}.")
    return said if found.finished else [*said, "Interrupted: spells are missing."]
