"""A record of loads goes in, its table comes out: what was asked, what was sent, what came back, and how late."""

from __future__ import annotations

from supalab.load.run import LoadRecord
from supalab.load.shots import LATE_S, Load
from supalab.report.format import NEVER, counts, ms
from supalab.report.table import Table

__all__ = ["RANKS", "percentiles", "table"]

RANKS = (50, 95, 99)
COLUMNS = ("asked", "sent\n/s", "answered\n/s", "response ms\np50 / p95 / p99", "requests", "errors", "late ms\np99")


def table(record: LoadRecord) -> Table:
    """Return one row for each load."""
    rows = [_row(load) for load in record.loads]
    return Table(COLUMNS, rows, notes=_notes(record) if rows else (), empty="No load was finished.")


def _row(load: Load) -> list[str]:
    failed = sum(load.errors.values())
    return [
        asked(load),
        f"{load.sent_per_s:.1f}",
        f"{load.answered_per_s:.1f}",
        percentiles(*(load.response(rank) for rank in RANKS)),
        str(len(load.shots)),
        str(failed) + "*" * bool(failed),
        f"{1000 * load.slip_p99:.1f}" + "!" * load.late,
    ]


def percentiles(*seconds: float | None) -> str:
    """Return seconds as ``151 / 163 / 190`` milliseconds; a response that never came is ``never``."""
    return " / ".join(ms(value, NEVER) for value in seconds)


def asked(load: Load) -> str:
    """Return what was asked of the load: ``20/s`` or ``5 callers``."""
    return f"{load.rate:g}/s" if load.rate is not None else f"{load.callers} callers"


def _notes(record: LoadRecord) -> list[str]:
    first = record.loads[0]
    said = [
        f"{first.duration:g} s each, {record.about}.",
        "Response time runs from the intended start; a failed request counts as one that never was answered.",
    ]
    said += [f"* {asked(load)}: {counts(load.errors)}" for load in record.loads if load.errors]
    if any(load.late for load in record.loads):
        said.append(f"! sent more than {1000 * LATE_S:.0f} ms late: the generator did not keep pace, run it again")
    return said if record.finished else [*said, "Interrupted: loads are missing."]
