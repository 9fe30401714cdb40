"""A verdict goes in; its words, who waited and the evidence come out, for a terminal or as plain text."""

from __future__ import annotations

from typing import IO

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from supalab.measure import printed
from supalab.measure.printed import WIDTH
from supalab.measure.probe.judge import BLOCKING, CANNOT_TELL, FAKE, REAL
from supalab.measure.probe.verdict import TITLES, WAITERS, Verdict

__all__ = ["show", "text"]

BAR = 30
STYLES = {REAL: "bold green", FAKE: "bold yellow", BLOCKING: "bold red", CANNOT_TELL: "bold magenta"}


def show(verdict: Verdict, file: IO[str] | None = None) -> None:
    """Print a verdict: with colours to a terminal, as plain text of ``WIDTH`` columns to a pipe or a file."""
    printed.show(_all(verdict), file, at_least=60, at_most=WIDTH)


def text(verdict: Verdict, width: int = WIDTH) -> str:
    """Return the verdict as plain text, no line longer than ``width``."""
    return printed.plain(_all(verdict), width)


def _all(verdict: Verdict) -> Group:
    style = STYLES.get(verdict.kind, "bold cyan")
    parts: list[RenderableType] = [
        Text.assemble((f"{verdict.name}: ", ""), (verdict.headline, style)),
        Padding(Text(" ".join(verdict.sentences)), (1, 0, 1, 0)),
    ]
    if not verdict.evidence:
        return Group(*parts)
    took = Text(f"The probe took {verdict.seconds:.1f} s. {_sizes(verdict)}", style="dim")
    return Group(*parts, _waiters(verdict), Padding(_evidence(verdict), (1, 0, 1, 0)), took)


def _sizes(verdict: Verdict) -> str:
    bursts = " and ".join(f"{one.calls} calls at once" for one in verdict.seen.bursts)
    waiting = verdict.numbers.get("waiting_s") or 0.0
    return f"Evidence from {bursts}: requests waited for {waiting:.0f} s in all."


def _waiters(verdict: Verdict) -> Table:
    """Who waited for the requests, as bars."""
    grid = _grid("who waited for the requests", "", "")
    for name, who in WAITERS.items():
        share = verdict.numbers.get(name) or 0.0
        if share >= 0.005 or name in {"share_loop_sockets", "share_threads_read", "share_loop_read"}:
            grid.add_row(who, f"{share:.0%}", "█" * round(BAR * share))
    return grid


def _evidence(verdict: Verdict) -> Table:
    grid = _grid(*TITLES)
    for row in verdict.evidence:
        grid.add_row(row.looked_at, row.seen, row.speaks_for)
    return grid


def _grid(*titles: str) -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for place, title in enumerate(titles):
        grid.add_column(title, no_wrap=place == 0)
    return grid
