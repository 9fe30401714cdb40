"""A record of loads goes in, its table comes out: what was asked, what was sent, what came back, and how late."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from supalab.load.printed import grid, milliseconds, notes
from supalab.load.run import LoadRecord
from supalab.load.shots import LATE_S, Load

__all__ = ["RANKS", "table"]

RANKS = (50, 95, 99)


def table(record: LoadRecord) -> RenderableType:
    """Return one row for each load."""
    if not record.loads:
        return Text("No load was finished.")
    rows = grid(
        "asked", "sent\n/s", "answered\n/s", "response ms\np50 / p95 / p99", "requests", "errors", "late ms\np99"
    )
    for load in record.loads:
        response = milliseconds([load.response(q) for q in RANKS])
        failed = sum(load.errors.values())
        rows.add_row(
            asked(load),
            f"{load.sent_per_s:.1f}",
            f"{load.answered_per_s:.1f}",
            response,
            str(len(load.shots)),
            str(failed) + "*" * bool(failed),
            f"{1000 * load.slip_p99:.1f}" + "!" * load.late,
        )
    return Group(rows, notes(*_notes(record)))


def asked(load: Load) -> str:
    """Return what was asked of the load: ``20/s`` or ``5 callers``."""
    return f"{load.rate:g}/s" if load.rate is not None else f"{load.callers} callers"


def _notes(record: LoadRecord) -> list[str]:
    first = record.loads[0]
    said = [
        f"{first.duration:g} s each, {record.about}.",
        "Response time runs from the intended start; a failed request counts as one that never was answered.",
    ]
    said += [
        f"* {asked(load)}: {', '.join(f'{count} x {kind}' for kind, count in load.errors.items())}"
        for load in record.loads
        if load.errors
    ]
    if any(load.late for load in record.loads):
        said.append(f"! sent more than {1000 * LATE_S:.0f} ms late: the generator did not keep pace, run it again")
    return said if record.finished else [*said, "Interrupted: loads are missing."]
