"""Count and draw the sockets that a client leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from supalab.report.plot import INK, WIDTH_IN, Picture, colour, describe_on, head, styled

if TYPE_CHECKING:
    from supalab.lab.handle import Lab

__all__ = ["open_sockets", "sockets_chart"]

#: How each case is drawn, so that they can be distinguished without colour.
LOOKS = (("fake-1", "o", "-"), ("article-1", "s", (0, (4, 2))), ("real-1", "^", "-"))
HEIGHT_IN, HEAD_IN, FOOT_IN = 4.2, 1.1, 0.8


def open_sockets(lab: Lab) -> int:
    """Count the sockets of this process that are connected to the lab, as the operating system lists them."""
    import psutil

    port = int(lab.url.rpartition(":")[2])
    found = psutil.Process().net_connections("tcp")
    return sum(bool(one.raddr) and one.raddr.port == port and one.status != psutil.CONN_TIME_WAIT for one in found)


def sockets_chart(ways: Mapping[str, list[int]]) -> Figure:
    """Draw the sockets open after each turn, a line for each way (three at most)."""
    turns, most = max(map(len, ways.values())), max(max(counts) for counts in ways.values())
    with styled():
        fig = Picture(figsize=(WIDTH_IN, HEIGHT_IN))
        ax = fig.add_axes((0.07, FOOT_IN / HEIGHT_IN, 0.72, 1 - (HEAD_IN + FOOT_IN) / HEIGHT_IN))
        heights = _apart([counts[-1] for counts in ways.values()], 0.09 * max(most, 1))
        for (name, counts), (arm, marker, line), height in zip(ways.items(), LOOKS, heights, strict=False):
            ax.plot(range(1, len(counts) + 1), counts, marker=marker, linestyle=line, color=colour(arm), clip_on=False)
            ax.annotate(
                f"{name}: {counts[-1]}",
                (turns, height),
                xytext=(14, 0),
                textcoords="offset points",
                va="center",
                color=INK,
                annotation_clip=False,
            )
        ax.set(xlim=(0.5, turns), ylim=(0, max(most, 1) * 1.08), xlabel="clients made so far, one after another")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(visible=True, axis="y")
        head(
            fig, "Sockets left open", "after each client had done its one request, as the operating system counts them"
        )
    describe_on(fig, _described(ways))
    return fig


def _apart(places: list[int], gap: float) -> list[float]:
    """Move names that would meet upwards, the lowest first."""
    found, floor = [0.0] * len(places), float("-inf")
    for index in sorted(range(len(places)), key=lambda index: places[index]):
        found[index] = floor = max(float(places[index]), floor + gap)
    return found


def _described(ways: Mapping[str, list[int]]) -> str:
    said = [
        f"{name}: {counts[-1]} open after {len(counts)} clients, {max(counts)} at most."
        for name, counts in ways.items()
    ]
    return f"Sockets to the lab left open. {' '.join(said)}"
