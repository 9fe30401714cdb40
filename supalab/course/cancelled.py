"""Draw what happens at the lab when callers are cancelled, and how long a new caller then waits.

For the measured version, with repeats and fresh processes, see ``supalab.experiments.cancellation``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.lab.witness import Witness
from supalab.report.format import duration
from supalab.report.plot import CLEAR, INK, WIDTH_IN, Picture, colour, describe_on, head, pale, row_label, styled

__all__ = ["Cancelled", "cancellation_chart"]

ROW_IN, HEAD_IN, FOOT_IN = 1.45, 1.1, 0.75
ARROW = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}


class Cancelled(NamedTuple):
    """Callers were cancelled ``at`` seconds after they had asked, and one new caller then waited ``waited`` seconds."""

    at: float
    waited: float
    witness: Witness

    @property
    def reached(self) -> float:
        """When the new caller's request, which is the last one, reached the server, in seconds from the first."""
        changes = self.witness.timeline
        before = [0, *(number for _, number in changes)]
        return max(second for (second, number), last in zip(changes, before, strict=False) if number > last)

    @property
    def for_a_slot(self) -> float:
        """How long the new caller waited, in seconds, before its request reached the server."""
        return max(self.reached - self.at, 0.0)


def cancellation_chart(found: Mapping[str, tuple[float, float, Witness]]) -> Figure:
    """Draw for each arm the requests at the lab over time.

    ``found``, by arm: after how many seconds all callers were cancelled, how many seconds a new caller then waited for
    its rows, and the lab's witness.
    """
    seen = {arm: Cancelled(*one) for arm, one in found.items()}
    height = HEAD_IN + ROW_IN * len(seen) + FOOT_IN
    with styled():
        fig = Picture(figsize=(WIDTH_IN, height))
        grid = fig.add_gridspec(
            len(seen), 1, left=0.16, right=0.975, top=1 - HEAD_IN / height, bottom=FOOT_IN / height, hspace=0.35
        )
        axes = [fig.add_subplot(grid[row, 0]) for row in range(len(seen))]
        right = 1.05 * max(max(one.at + one.waited, one.witness.timeline[-1][0]) for one in seen.values())
        top = 1.9 * max(one.witness.peak for one in seen.values())
        for ax, (arm, one) in zip(axes, seen.items(), strict=True):
            _row(ax, arm, one)
            ax.set(xlim=(0, right), ylim=(0, top), yticks=range(one.witness.peak + 1))
            ax.tick_params(labelbottom=ax is axes[-1])
            row_label(ax, arm, ["requests at the lab"])
        axes[-1].set_xlabel("seconds since the first request")
        what = "dashed: all callers are cancelled; arrow: a new caller, from its request to its rows"
        head(fig, "The callers are cancelled. Which requests continue?", what)
    describe_on(fig, _described(seen))
    return fig


def _row(ax: Axes, arm: str, one: Cancelled) -> None:
    seconds, numbers = zip(*one.witness.timeline, strict=True)
    ax.fill_between(seconds, numbers, step="post", color=pale(arm))
    ax.step(seconds, numbers, where="post", color=colour(arm), linewidth=2)
    ax.axvline(one.at, color=INK, linestyle=(0, (4, 3)), linewidth=1.6)
    # Above the steps, where nothing else is.
    height = 1.42 * one.witness.peak
    ax.annotate("", (one.at + one.waited, height), (one.at, height), arrowprops=ARROW)
    ax.annotate(
        f"rows after {duration(one.waited)}; waiting for a slot: {duration(one.for_a_slot)}",
        (one.at + one.waited / 2, height),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
        va="bottom",
        bbox=CLEAR,
    )
    ax.grid(visible=True, axis="x")


def _described(seen: Mapping[str, Cancelled]) -> str:
    said = [
        f"{arm}: all callers are cancelled after {duration(one.at)}; a new caller's request reaches the lab "
        f"{duration(one.for_a_slot)} later and is answered {duration(one.waited)} after the cancellation; "
        f"the lab saw {one.witness.abandoned} clients disconnect."
        for arm, one in seen.items()
    ]
    return f"Requests at the lab over time. {' '.join(said)}"
