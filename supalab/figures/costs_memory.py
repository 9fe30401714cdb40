"""What memory costs goes in, a picture comes out: megabytes against requests in flight, and kilobytes for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.figures.panels import not_seen
from supalab.measure.costs.memory_result import Cell, MemoryCosts
from supalab.measure.costs.words import memory_headline, memory_notes
from supalab.report.format import size
from supalab.report.plot import (
    WIDTH_IN,
    Picture,
    describe_on,
    foot,
    head,
    log_axis,
    log_values,
    look,
    name_lines,
    panel_title,
    styled,
)

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
    if not found.runs:
        ax.set(xticks=[], yticks=[])
        not_seen(ax, "not measured: no process was read")
        return
    if log:
        log_values(ax)
    ends = {}
    for kind in found.kinds:
        cells = [cell for cell in found.cells if cell.kind == kind]
        _line(ax, kind, cells, figure)
        ends[kind] = (float(cells[-1].in_flight), figure(cells[-1], cells[-1].mean))
    log_axis(ax, found.in_flight, "requests in flight at once")
    if not log:
        ax.set_ylim(bottom=0)
    name_lines(ax, ends)


def _line(ax: Axes, kind: str, cells: Sequence[Cell], figure: Callable[[Cell, float], float]) -> None:
    shade, marker, dash = look(kind)
    at, means = [cell.in_flight for cell in cells], [figure(cell, cell.mean) for cell in cells]
    thick = kind == "real"
    ax.plot(at, means, dash, color=shade, linewidth=3.2 if thick else 1.9, zorder=3)
    for cell, mean in zip(cells, means, strict=True):
        ax.plot(
            cell.in_flight, mean, marker, color=shade if cell.sound else "white", markersize=8 if thick else 7,
            markeredgecolor="white" if cell.sound else shade, markeredgewidth=0.8 if cell.sound else 1.5, zorder=4,
        )  # fmt: skip
    low, high = ([figure(cell, pick(cell.values)) for cell in cells] for pick in (min, max))
    ax.vlines(at, low, high, color=shade, linewidth=1.4, zorder=4)


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
