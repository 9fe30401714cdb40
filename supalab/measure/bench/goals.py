"""What our client must reach: a bench goes in, each goal with its measured ratio comes out. Pure.

Every value is a ratio or a count within one run on one machine; what was not run is ``None``, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from supalab.measure.bench.result import Bench

__all__ = ["Goal", "goals"]


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal: ``value`` must be at most ``target``; ``beside`` is what must be known to judge it."""

    name: str
    target: float
    value: float | None
    beside: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether it was reached, ``None`` if it was not measured."""
        return None if self.value is None else self.value <= self.target


def goals(bench: Bench) -> tuple[Goal, ...]:
    """Return all goals, measured as far as the bench went."""
    return (
        _cpu(
            "CPU, limit 10: ours / official client", 0.40, bench, "limit-10", "real-10", "supabase-10",
            _elsewhere(bench, "supabase", {"cold-10": "making the client counted", "zero-10": "no latency"}),
        ),
        _cpu("CPU, limit 100: ours / official, same limit", 0.12, bench, "limit-100", "real-100", "supabase-100"),
        _pace("makespan / ideal, limit 10: ours", 1.08, bench, "limit-10", "real-10", ()),
        _pace(
            "makespan / ideal, limit 100: ours", 2.0, bench, "limit-100", "real-100",
            ("real-httpx-100", "httpx-100"),
        ),
        _cpu(
            "CPU, limit 10: ours / bare aiohttp", 1.9, bench, "limit-10", "real-10", "aiohttp-10",
            _elsewhere(bench, "aiohttp", {"zero-1": "no latency, one by one", "zero-10": "10 callers"}),
        ),
        _cpu(
            "CPU, no latency: ours / bare httpx on our transport", 1.20, bench, "zero-10", "real-10",
            "httpx-over-ours-10", _elsewhere(bench, "httpx-over-ours", {"zero-1": "one by one"}),
        ),
        _errors("errors, 2,000 at once, limit 1,000: ours", bench, "limit-1000", "real-1000"),
    )  # fmt: skip


def _cpu(name: str, target: float, bench: Bench, case: str, ours: str, theirs: str, beside: str = "") -> Goal:
    mine, other = bench.find(case, ours), bench.find(case, theirs)
    if mine is None or other is None or not other.cpu:
        return Goal(name, target, None, _not_run(bench, case, (ours, theirs)))
    milliseconds = f"{mine.cpu:.2f} / {other.cpu:.2f} ms"
    return Goal(name, target, mine.cpu / other.cpu, _said(milliseconds, beside, _failed(bench, case, (ours, theirs))))


def _pace(name: str, target: float, bench: Bench, case: str, ours: str, others: tuple[str, ...]) -> Goal:
    mine = bench.find(case, ours)
    if mine is None or mine.ratio is None:
        return Goal(name, target, None, _not_run(bench, case, (ours,)))
    found = [row for other in others if (row := bench.find(case, other)) is not None and row.ratio is not None]
    beside = ", ".join(f"{row.arm} {row.ratio:.1f}" for row in found)
    return Goal(name, target, mine.ratio, _said(beside, _failed(bench, case, (ours, *others))))


def _errors(name: str, bench: Bench, case: str, ours: str) -> Goal:
    mine = bench.find(case, ours)
    if mine is None:
        return Goal(name, 0, None, _not_run(bench, case, (ours,)))
    made = f"{mine.connections} connections" if mine.connections is not None else ""
    return Goal(name, 0, mine.errors, _said(made, _failed(bench, case, (ours,))))


def _elsewhere(bench: Bench, kind: str, cases: Mapping[str, str]) -> str:
    """The same ratio in other cases, by name and what is said of them."""
    said = []
    for case, words in cases.items():
        limit = case.rpartition("-")[2]
        mine, other = (bench.find(case, f"{name}-{limit}") for name in ("real", kind))
        if mine is not None and other is not None and other.cpu:
            said.append(f"{words} {mine.cpu / other.cpu:.2f}")
    return ", ".join(said)


def _not_run(bench: Bench, case: str, arms: tuple[str, ...]) -> str:
    lacking = [arm for arm in arms if bench.find(case, arm) is None]
    return f"not measured: {', '.join(lacking)} did not run"


def _failed(bench: Bench, case: str, arms: tuple[str, ...]) -> str:
    rows = [row for arm in arms if (row := bench.find(case, arm)) is not None and row.errors]
    return ", ".join(f"{row.arm}: {row.errors} errors" for row in rows)


def _said(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
