"""What memory costs goes in, a picture comes out: megabytes against requests in flight, and kilobytes for each."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.measure.costs.memory_result import Cell, MemoryCosts
from supalab.measure.costs.words import memory_headline, memory_notes
from supalab.report.format import size
from supalab.report.lines import against
from supalab.report.plot import WIDTH_IN, Picture, describe_on, foot, head, panel_title, styled

__all__ = ["memory_against_in_flight"]

HEIGHT_IN = 6.0
PANELS: tuple[tuple[str, str, Callable[[Cell, float], float]], ...] = (
    ("Memory held", "megabytes above the process without a client", lambda cell, held: held / 1e6),
    ("Memory of one request", "kilobytes for each in flight", lambda cell, held: held / cell.in_flight / 1e3),
)
ABOUT = "Memory held while all requests are in flight, and for each of them, one line for each client."


def memory_against_in_flight(found: MemoryCosts, *, fig: Figure | None = None) -> Figure:
    """Draw both; a point is the mean of the processes, the bar through it reaches from the lowest to the highest.

    A hollow point is a cell whose requests were not all in flight together. Draws on ``fig`` if one is given.
    """
    with styled():
        fig = fig or Picture(figsize=(WIDTH_IN, HEIGHT_IN))
        grid = fig.add_gridspec(1, 2, left=0.055, right=0.985, top=0.76, bottom=0.185, wspace=0.15)
        for column, (title, note, figure) in enumerate(PANELS):
            ax = fig.add_subplot(grid[0, column])
            panel_title(ax, title, note)
            _panel(ax, found, figure, log=column == 0)
        head(fig, memory_headline(found), _about(found))
        foot(fig, "\n".join(_foot(found)))
    describe_on(fig, _described(found))
    return fig


def _panel(ax: Axes, found: MemoryCosts, figure: Callable[[Cell, float], float], *, log: bool) -> None:
    lines: dict[str, dict[int, list[float]]] = {kind: {} for kind in found.kinds}
    for cell in found.cells:
        lines[cell.kind][cell.in_flight] = [figure(cell, value) for value in cell.values]
    hollow = {(cell.kind, cell.in_flight) for cell in found.cells if not cell.sound}
    against(ax, lines, "requests in flight at once", log=log, middle=mean, hollow=hollow)


def _about(found: MemoryCosts) -> str:
    repeats = len({run.repeat for run in found.runs})
    processes = f"mean of {repeats} fresh processes" if repeats > 1 else "one fresh process for each point"
    return f"Memory that no other process shares, read once while all wait for their answers; {processes}"


def _foot(found: MemoryCosts) -> list[str]:
    notes = memory_notes(found)
    first = [note for note in notes if note.startswith("Each further")]
    worst = max((cell.variation or 0.0 for cell in found.cells), default=0.0)
    spread = [f"Bars from the lowest to the highest process; coefficient of variation at most {worst:.1%}."]
    hollow = ["Hollow: not all were in flight together."] * any(not cell.sound for cell in found.cells)
    return [*first, " ".join([*spread * (worst > 0), *hollow])]


def _described(found: MemoryCosts) -> str:
    said = [ABOUT]
    for kind in found.kinds:
        cells = [cell for cell in found.cells if cell.kind == kind]
        parts = [f"{size(cell.mean)} at {cell.in_flight:,} ({cell.each / 1000:.0f} KB each)" for cell in cells]
        said.append(f"{kind}: {', '.join(parts)}.")
    return " ".join([*said, *memory_notes(found)])
