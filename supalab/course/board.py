"""Draw the two sketches for the instructor's board: three slots with a queue, and a semaphore with a pool.

The handout shows them too. To draw them again: ``python -m supalab.course.board``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle

from supalab.report.plot import INK, MUTED, Picture, colour, describe_on, save, styled
from supalab.shipped import shipped

WIDE_IN, HIGH_IN = 7.5, 2.1


def three_slots() -> Figure:
    """Draw callers who wait for one of three threads, and the threads that wait for the server."""
    said = "Three threads serve callers; a fourth caller waits in the queue, although the server has room for it."
    return _drawn(
        said, [(0.9, "callers", ("1", "2", "3", "4")), (3.4, "3 threads", ("1", "2", "3"))], "fake-3",
        "The fourth caller waits in your process.\nNo server log shows this queue.",
    )  # fmt: skip


def gate_and_pool() -> Figure:
    """Draw callers who wait at a semaphore, and a pool that never has more callers than connections."""
    said = (
        "Callers wait at a semaphore, the gate. Only three at a time pass it to the pool, which has three connections. "
        "A caller that is cancelled leaves the gate and closes its connection."
    )
    return _drawn(
        said, [(0.9, "callers", ("1", "2", "3", "4")), (3.4, "pool", ("1", "2", "3"))], "real-3",
        "Callers wait at the gate, not in the pool.\nA cancelled caller frees its slot immediately.", gate=True,
    )  # fmt: skip


DRAWINGS = {"board-slots.png": three_slots, "board-gate.png": gate_and_pool}


def _drawn(
    said: str, columns: Sequence[tuple[float, str, Sequence[str]]], arm: str, note: str, *, gate: bool = False
) -> Figure:
    with styled():
        fig = Picture(figsize=(WIDE_IN, HIGH_IN))
        ax = fig.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, WIDE_IN), ylim=(0, HIGH_IN))
        ax.axis("off")
        (left, *_), (right, *_) = columns
        for x, title, names in columns:
            ax.text(x, HIGH_IN - 0.2, title, ha="center", weight="bold", color=INK)
            for place, name in enumerate(names):
                _caller_or_slot(ax, x, _row(place), name, arm, slot=x == right)
        if gate:
            ax.add_patch(Rectangle((2.2, 0.55), 0.1, 1.2, facecolor=MUTED, edgecolor=INK, linewidth=1.0, zorder=3))
            ax.text(2.25, HIGH_IN - 0.2, "gate", ha="center", weight="bold", color=INK)
        ax.add_patch(Rectangle((5.3, 0.45), 0.9, 1.2, facecolor="white", edgecolor=INK, linewidth=1.4))
        ax.text(5.75, 1.05, "server", ha="center", va="center", color=INK)
        for place in range(3):
            _arrow(ax, (left + 0.2, _row(place)), (right - 0.25, _row(place)))
            _arrow(ax, (right + 0.25, _row(place)), (5.25, 1.05 + 0.25 * (1 - place)))
        ax.text(left + 0.32, _row(3), "waits", va="center", color=MUTED)
        ax.text(right - 0.3, 0.17, note, va="center", color=MUTED, fontsize=9)
    describe_on(fig, said)
    return fig


def _row(place: int) -> float:
    return HIGH_IN - 0.5 - 0.42 * place


def _caller_or_slot(ax: Axes, x: float, y: float, name: str, arm: str, *, slot: bool) -> None:
    """Draw a caller as a circle and a slot as a square, so that the drawing also works without colour."""
    if slot:
        ax.add_patch(Rectangle((x - 0.16, y - 0.13), 0.32, 0.26, facecolor=colour(arm), edgecolor=INK, linewidth=1.0))
    else:
        ax.add_patch(Circle((x, y), 0.14, facecolor="white", edgecolor=INK, linewidth=1.4))
        ax.text(x, y, name, ha="center", va="center", color=INK, fontsize=9)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color=INK, linewidth=1))


def main() -> int:
    """Write both drawings into the handout's folder."""
    folder: Path = shipped("notebooks")
    for name, draw in DRAWINGS.items():
        sys.stdout.write(f"{save(draw(), folder / name).name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
