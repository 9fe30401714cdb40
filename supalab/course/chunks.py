"""Draw when each chunk of a slow response arrived, compared with the length of a read timeout."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.report.format import count, duration
from supalab.report.plot import CLEAR, INK, MUTED, WIDTH_IN, Picture, colour, describe_on, head, row_label, styled

__all__ = ["Chunks", "chunks_chart", "read_chunks"]

ROW_IN, HEAD_IN, FOOT_IN = 0.95, 1.1, 0.75


@dataclass(frozen=True, slots=True)
class Chunks:
    """When each chunk of a response arrived and the caller continued, in seconds, and ``ok`` or an error's name."""

    pieces: tuple[float, ...]
    done: float
    outcome: str

    @property
    def longest_gap(self) -> float:
        """The longest wait for one piece, in seconds: what a read timeout is compared with."""
        return max((after - before for before, after in zip((0.0, *self.pieces), self.pieces, strict=False)), default=0)


async def read_chunks(client: httpx.AsyncClient, url: str, *, within: float | None = None) -> Chunks:
    """Read an answer and note when each piece came; ``within``: seconds for the whole, ``None`` for no limit."""
    began, pieces = time.perf_counter(), list[float]()

    def now() -> float:
        return time.perf_counter() - began

    try:
        async with asyncio.timeout(within), client.stream("GET", url) as answer:
            async for _ in answer.aiter_raw():
                pieces.append(now())
    except (httpx.HTTPError, TimeoutError) as error:
        return Chunks(tuple(pieces), now(), type(error).__name__)
    return Chunks(tuple(pieces), now(), "ok")


def chunks_chart(read: Mapping[str, Chunks], *, read_timeout: float) -> Figure:
    """Draw each answer as a row of drops on one time axis; ``read_timeout`` (seconds) is drawn as a measure."""
    height = HEAD_IN + ROW_IN * len(read) + FOOT_IN
    with styled():
        fig = Picture(figsize=(WIDTH_IN, height))
        grid = fig.add_gridspec(
            len(read), 1, left=0.16, right=0.975, top=1 - HEAD_IN / height, bottom=FOOT_IN / height, hspace=0.25
        )
        axes = [fig.add_subplot(grid[row, 0]) for row in range(len(read))]
        right = 1.16 * max(one.done for one in read.values())
        for ax, (name, one) in zip(axes, read.items(), strict=True):
            _row(ax, name, one, right)
        _measure(axes[0], read_timeout)
        for ax in axes[:-1]:
            ax.tick_params(labelbottom=False)
        axes[-1].set_xlabel("seconds")
        head(fig, "A read timeout limits the gap, not the whole", "each dot is one chunk of the response as it arrived")
    describe_on(fig, _described(read, read_timeout))
    return fig


def _row(ax: Axes, name: str, one: Chunks, right: float) -> None:
    ax.plot(one.pieces, [0.0] * len(one.pieces), "o", color=colour("real-1"), markersize=5.5, clip_on=False)
    ax.axvline(one.done, color=INK, linewidth=1.6, linestyle="-" if one.outcome == "ok" else (0, (4, 2)))
    said = "answered" if one.outcome == "ok" else one.outcome
    ax.annotate(
        f"{said}\nafter {duration(one.done)}",
        (one.done, 0),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        bbox=CLEAR,
    )
    ax.set(xlim=(0, right), ylim=(-1, 1), yticks=[])
    ax.grid(visible=True, axis="x")
    first, _, second = name.partition(", ")
    row_label(ax, first, [second] if second else [])


def _measure(ax: Axes, seconds: float) -> None:
    """Draw the length of a read timeout, for comparison with the gaps."""
    ax.annotate(
        "",
        (0, 0.62),
        (seconds, 0.62),
        arrowprops={
            "arrowstyle": "|-|,widthA=.25,widthB=.25",
            "color": MUTED,
            "linewidth": 1.4,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )
    ax.annotate(
        f"read timeout: {duration(seconds)}",
        (seconds, 0.62),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        color=MUTED,
    )


def _described(read: Mapping[str, Chunks], read_timeout: float) -> str:
    said = [
        f"{name}: {count(len(one.pieces), 'chunk')}, the longest gap {duration(one.longest_gap)}, "
        f"{'answered' if one.outcome == 'ok' else one.outcome} after {duration(one.done)}."
        for name, one in read.items()
    ]
    return f"Responses that arrive in chunks, with a read timeout of {duration(read_timeout)}. {' '.join(said)}"
