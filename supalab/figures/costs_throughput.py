"""A knee goes in, a picture comes out: requests per second against the limit, and the CPU that explains it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.figures.panels import not_seen
from supalab.measure.costs.knee_result import NEAR, Knee
from supalab.measure.costs.words_more import knee_headline, knee_notes
from supalab.report.format import duration
from supalab.report.plot import (
    INK,
    MUTED,
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

__all__ = ["throughput_against_limit"]

HEIGHT_IN = 6.4
TICKS = (3, 5, 10, 20, 30, 50, 100, 200, 400)
WHAT = "Requests per second against the limit, with each client's best limit, and CPU of a request."


def throughput_against_limit(found: Knee, *, fig: Figure | None = None) -> Figure:
    """Draw throughput and CPU against the limit, one line for each client, a star at its best limit.

    A point is the median of the repeats, the bar through it reaches from the lowest to the highest. Draws on ``fig``
    if one is given.
    """
    with styled():
        fig = fig or Picture(figsize=(WIDTH_IN, HEIGHT_IN))
        grid = fig.add_gridspec(
            1, 2, width_ratios=(6, 4.4), left=0.06, right=0.985, top=0.77, bottom=0.225, wspace=0.17
        )
        rate, cpu = fig.add_subplot(grid[0, 0]), fig.add_subplot(grid[0, 1])
        panel_title(rate, "Throughput", "answered requests per second; dotted: if nothing but latency took time")
        panel_title(cpu, "CPU of a request", "milliseconds of the client's process")
        if found.points:
            _throughput(rate, found)
            _cpu(cpu, found)
        else:
            for ax in (rate, cpu):
                ax.set(xticks=[], yticks=[])
                not_seen(ax, "not measured")
        head(fig, knee_headline(found), _about(found))
        foot(fig, _foot(found))
    describe_on(fig, " ".join([WHAT, *knee_notes(found)]))
    return fig


def _throughput(ax: Axes, found: Knee) -> None:
    log_values(ax)
    ends = {}
    for kind in found.kinds:
        line, best = found.line(kind), found.best(kind)
        spans = [[point.per_s for point in found.at(kind, limit)] for limit in line]
        _line(ax, kind, list(line), spans)
        ends[kind] = (float(max(line)), line[max(line)])
        ax.plot(
            best,
            line[best],
            "*",
            color=look(kind)[0],
            markersize=20,
            markeredgecolor=INK,
            markeredgewidth=1.0,
            zorder=6,
        )
    low, high = found.limits[0], found.limits[-1]
    ax.plot([low, high], [found.ideal(low), found.ideal(high)], ":", color=MUTED, linewidth=1.6, zorder=1)
    _axis(ax, found)
    names = {kind: f", best {found.best(kind)}{'+' if found.at_its_end(kind) else ''}" for kind in found.kinds}
    name_lines(ax, ends, names)


def _cpu(ax: Axes, found: Knee) -> None:
    log_values(ax)
    ends = {}
    for kind in found.kinds:
        limits = list(found.line(kind))
        spans = [[point.cpu_ms for point in found.at(kind, limit)] for limit in limits]
        _line(ax, kind, limits, spans)
        ends[kind] = (float(limits[-1]), median(spans[-1]))
    _axis(ax, found)
    name_lines(ax, ends)


def _axis(ax: Axes, found: Knee) -> None:
    # The axis reaches from the first tick to the last.
    ticks = [limit for limit in found.limits if limit in {*TICKS, found.limits[0], found.limits[-1]}]
    log_axis(ax, ticks, "limit: requests in flight at once")


def _line(ax: Axes, kind: str, limits: Sequence[int], spans: Sequence[Sequence[float]]) -> None:
    shade, marker, dash = look(kind)
    thick = kind == "real"
    ax.plot(
        limits, [median(span) for span in spans], dash, color=shade, marker=marker, markersize=7.5 if thick else 6.5,
        linewidth=3.2 if thick else 1.9, markeredgecolor="white", markeredgewidth=0.7, zorder=4 if thick else 3,
    )  # fmt: skip
    ax.vlines(limits, [min(span) for span in spans], [max(span) for span in spans], color=shade, linewidth=1.2)


def _about(found: Knee) -> str:
    repeats = len({point.repeat for point in found.points})
    again = f"median of {repeats} runs" if repeats > 1 else "one run of each"
    return (
        f"As many callers as slots ask again and again, each request {duration(found.latency)} at the server; {again}; "
        f"client and lab on {found.machine.get('cpus', '?')} processors"
    )


def _kinds(found: Knee) -> list[str]:
    """Return what the kinds in the picture are."""
    threads = [kind for kind in ("fake", "session") if kind in found.kinds]
    said = {"kept": "kept: httpx over its own pool, all connections kept", "real": "real: ours"}
    return [f"{', '.join(threads)}: requests in threads"] * bool(threads) + [said[k] for k in said if k in found.kinds]


def _foot(found: Knee) -> str:
    said = [f"Star: the smallest limit whose throughput is within {NEAR:.0%} of the client's highest"]
    said += ["+: it still grew at the largest limit"] * any(found.at_its_end(kind) for kind in found.kinds)
    lines = [
        "; ".join(said) + ".",
        "; ".join(_kinds(found)) + ".",
        *["A line that ends early: the client had become too slow for the next limit."] * bool(found.left_out),
    ]
    return "\n".join(lines)
