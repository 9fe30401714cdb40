"""What memory costs, in words: a frozen result goes in, sentences with its numbers come out. Pure text."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from supalab.measure.costs.memory_result import Cell, MemoryCosts
from supalab.report.format import listed, size

__all__ = ["GOAL", "memory_headline", "memory_notes"]

#: The coefficient of variation that memory figures should not exceed.
GOAL = 0.05


def memory_headline(found: MemoryCosts) -> str:
    """Say what the clients hold at the largest number in flight."""
    if not found.runs:
        return "Memory was not measured"
    most = [cell for cell in found.cells if cell.in_flight == found.in_flight[-1]]
    held = listed([f"{cell.kind} {size(cell.mean)}" for cell in most])
    return f"{found.in_flight[-1]:,} requests in flight: {held}"


def memory_notes(found: MemoryCosts) -> list[str]:
    """Say what one more request costs, where clients do not differ, how far repeats are apart, and what is unsound."""
    if not found.runs:
        return ["No process was read."]
    return [*_each_more(found), *_no_difference(found), *_spread(found), *_unsound(found)]


def _each_more(found: MemoryCosts) -> Iterator[str]:
    said = []
    for kind in found.kinds:
        cells = [cell for cell in found.cells if cell.kind == kind]
        if len(cells) > 1:
            few, many = cells[0], cells[-1]
            said.append(f"{kind} {(many.mean - few.mean) / (many.in_flight - few.in_flight) / 1000:.0f} KB")
    if said:
        span = f"from {found.in_flight[0]:,} to {found.in_flight[-1]:,}"
        yield f"Each further request in flight, {span}, takes {listed(said)}."


def _no_difference(found: MemoryCosts) -> Iterator[str]:
    if len({run.repeat for run in found.runs}) < 2:
        yield "One process of each was read: no difference can be told from chance."
        return
    cells = {(cell.kind, cell.in_flight): cell for cell in found.cells}
    pairs = list(combinations(found.kinds, 2))
    alike = [
        f"{a} and {b} at {n:,} in flight"
        for n in found.in_flight
        for a, b in pairs
        if (a, n) in cells and (b, n) in cells and cells[a, n].like(cells[b, n])
    ]
    if alike:
        yield f"No difference: {'; '.join(alike)} (their repeats overlap)."
    elif pairs:
        yield "No two clients are alike at any number: their repeats never overlap."
    orders: dict[str, list[str]] = {}
    for n in found.in_flight:
        orders.setdefault(_order(found, cells, n), []).append(f"{n:,}")
    if pairs and len(orders) > 1:
        said = "; ".join(f"{order} at {listed(numbers)}" for order, numbers in orders.items())
        yield f"Who holds least depends on the number: {said}."


def _order(found: MemoryCosts, cells: dict[tuple[str, int], Cell], number: int) -> str:
    there = [cells[kind, number] for kind in found.kinds if (kind, number) in cells]
    return " < ".join(cell.kind for cell in sorted(there, key=lambda cell: cell.mean))


def _spread(found: MemoryCosts) -> Iterator[str]:
    varied = [cell for cell in found.cells if cell.variation is not None]
    if not varied:
        return
    worst = max(varied, key=lambda cell: cell.variation or 0.0)
    plain = max(cell.uss_variation or 0.0 for cell in varied)
    above = [f"{cell.kind} at {cell.in_flight:,}" for cell in varied if (cell.variation or 0.0) > GOAL]
    verdict = f"above the goal of {GOAL:.0%}: {listed(above)}" if above else f"the goal is {GOAL:.0%}"
    yield (
        f"Coefficient of variation over {max(len(cell.runs) for cell in varied)} processes: at most "
        f"{worst.variation or 0.0:.1%} ({worst.kind} at {worst.in_flight:,}; {verdict}). With the clean pages of "
        f"program files, which count only while nothing else that runs shares them, it would be {plain:.1%}."
    )


def _unsound(found: MemoryCosts) -> Iterator[str]:
    for cell in found.cells:
        if not cell.sound:
            worst = min(cell.runs, key=lambda run: (run.sound, run.peak))
            yield (
                f"{cell.kind} at {cell.in_flight:,}: not sound, at most {worst.peak:,} were in flight together and "
                f"{worst.answered:,} were answered when it was read."
            )
