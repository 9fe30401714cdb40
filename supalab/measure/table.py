"""The table of a race: an arm a row, medians over its repeats, and the sentences that belong under it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any

from supalab.measure.summary import UNSTABLE_SPREAD, summary
from supalab.measure.trial import TrialSet
from supalab.report import table as report
from supalab.report.format import counts
from supalab.report.table import Cell, Content, Table

__all__ = ["footnotes", "show", "table"]

LAW_WITHIN = 0.10
ABOVE_ONE = "above 1 the rest is work beside the latency"
BELOW_ONE = "below 1 the lab was busy for longer than the client says it was served"
# Title, and how a row's cell is written; both lines of a title are short, so that eleven columns fit.
COLUMNS = (
    ("in\nflight", "{peak_in_flight:d}"),
    ("conn-\nections", "{connections:d}"),
    ("makespan\ns", "{makespan_s:.2f}"),
    ("x\nideal", "{ideal_ratio:.2f}"),
    ("requests\n/s", "{throughput_per_s:.1f}"),
    ("wait ms\np50/p99", "{wait_p50_ms:.0f}/{wait_p99_ms:.0f}"),
    ("service ms\np50/p99", "{service_p50_ms:.0f}/{service_p99_ms:.0f}"),
    ("CPU ms/\nrequest", "{cpu_ms_per_request:.2f}"),
    ("memory\n+MB", "{memory_added_mb:.1f}"),
    ("errors", "{errors}"),
)


def table(trials: TrialSet) -> Table:
    """Return the table with its footnotes; what was not seen stays blank."""
    rows = [[row["arm"], *(_cell(form, row) for _, form in COLUMNS[:-1]), _errors_of(row)] for row in summary(trials)]
    titles = ["arm", *(title for title, _ in COLUMNS)]
    return Table(titles, rows, notes=footnotes(trials), empty="No trial was finished.")


def _errors_of(row: dict[str, Any]) -> Content:
    return Cell(str(row["errors"]), "bad" if row["errors"] else "")


def _cell(form: str, row: dict[str, Any]) -> str:
    """Write a cell; what was not seen stays blank."""
    shown = dict(row)
    for name in ("wait_p50", "wait_p99", "service_p50", "service_p99"):
        shown[f"{name}_ms"] = None if row[f"{name}_s"] is None else 1000 * row[f"{name}_s"]
    added = row["memory_added_bytes"]
    shown["memory_added_mb"] = None if added is None else added / 1e6
    try:
        return form.format(**shown)
    except TypeError:  # a None in a place for a number
        return ""


def show(trials: TrialSet, file: IO[str] | None = None) -> None:
    """Print the table: with colours to a terminal, as plain text to a pipe or a file."""
    report.show(table(trials), file)


def footnotes(trials: TrialSet) -> list[str]:
    """Return the sentences that belong under the table: controls, Little's law, spread, blanks, errors."""
    rows = summary(trials)
    if not rows:
        return []
    said = [*_control(rows), *_law(trials, rows), *_spread(rows), *_errors(trials)]
    if any(row["peak_in_flight"] is None for row in rows):
        said.append("Blank: only a lab can witness it (in flight, connections), or nobody knows the ideal.")
    return said


def _control(rows: Sequence[dict[str, Any]]) -> list[str]:
    limits: dict[int, list[str]] = {}
    for row in rows:
        limits.setdefault(row["limit"], []).append(row["arm"])
    pairs = [f"{', '.join(arms)} (limit {limit})" for limit, arms in limits.items() if len(arms) > 1]
    if pairs:
        return [f"Fair to compare, because they share a limit: {'; '.join(pairs)}."]
    return ["No two arms share a limit: this race cannot tell a better client from a larger limit."] if rows[1:] else []


def _law(trials: TrialSet, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Check the law only where lab and client time the same thing: no wire between them, no pause before a retry."""
    ratios = {row["arm"]: row["littles_law"] for row in rows if row["littles_law"] is not None and not row["errors"]}
    backend = trials.trials[0].backend
    if not ratios or backend.rtt or backend.tls or backend.error_rate or not trials.workload.latency:
        return []
    off = [f"{arm} {ratio:.2f}" for arm, ratio in ratios.items() if abs(ratio - 1) > LAW_WITHIN]
    law = "Little's law (throughput x service time / in flight as witnessed)"
    if off:
        why = [ABOVE_ONE] * any(ratio > 1 + LAW_WITHIN for ratio in ratios.values())
        why += [BELOW_ONE] * any(ratio < 1 - LAW_WITHIN for ratio in ratios.values())
        return [f"{law} is off by more than {LAW_WITHIN:.0%}: {', '.join(off)}; {'; '.join(why)}."]
    return [f"{law}: {min(ratios.values()):.2f} to {max(ratios.values()):.2f}, it holds."]


def _spread(rows: Sequence[dict[str, Any]]) -> list[str]:
    shaky = [
        f"{row['arm']} {row['makespan_spread']:.0%}"
        for row in rows
        if row["makespan_spread"] is not None and row["makespan_spread"] > UNSTABLE_SPREAD
    ]
    if not shaky:
        return []
    return [f"May be unstable, the makespans of the repeats are far apart: {', '.join(shaky)}. Is the machine busy?"]


def _errors(trials: TrialSet) -> list[str]:
    said = []
    for arm in trials.arms:
        worst = max(trials.of(arm), key=lambda trial: trial.errors)
        if worst.errors:
            kinds = counts({name: times for name, times in worst.outcomes.items() if name != "ok"})
            said.append(
                f"{arm}: {worst.errors} of {len(worst.spans)} failed ({kinds}); wait and service leave them out."
            )
    return said
