"""A bench goes in, the picture of the knee comes out: what a request costs, and how slow it gets, as the limit grows.

One line for each client, over the cases that have a latency; log axes on both sides, names at the ends of the lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from supalab.measure.bench.cases import Case
from supalab.measure.bench.result import Bench, Row
from supalab.report.plot import CLEAR, COLOURS, INK, MUTED, OTHER, WIDTH_IN, Picture, describe_on, head, styled

__all__ = ["draw_against_limit", "knee"]

HEIGHT_IN = 6.4
# Lightness, marker and dash differ as well as hue; ours is the thick one.
LOOKS: Mapping[str, tuple[str, str, str]] = {
    "real": (COLOURS["real"], "o", "-"),
    "real-httpx": (COLOURS["real"], "o", "--"),
    "httpx": ("#6f8fd0", "s", "-"),
    "httpx2": ("#a9bde6", "D", "-"),
    "aiohttp": ("#2a9d8f", "^", "-"),
    "niquests": ("#8463a8", "v", "-."),
    "supabase": ("#b3446c", "P", "-"),
    "to-thread": ("#d48aa6", "P", ":"),
    "fake": (COLOURS["fake"], "X", "--"),
    "session": (COLOURS["session"], "X", "-"),
}
WHO_IS_WHO = (
    ("real", "real: ours"),
    ("real-httpx", "real-httpx: ours over httpx's own pool"),
    ("supabase", "supabase: the official client, gated"),
    ("to-thread", "to-thread: its sync one"),
    ("fake", "fake, session: requests in threads"),
    ("httpx", "all others: bare"),
)
LABEL_GAP_PT = 13.0
PANELS: tuple[tuple[str, str, Callable[[Row], Sequence[float]]], ...] = (
    ("CPU of a request", "milliseconds of the client's process", lambda row: row.cpu_ms),
    ("Makespan / ideal", "1 is what latency alone would take", lambda row: row.ideal_ratio),
)


def knee(bench: Bench, *, fig: Figure | None = None) -> Figure:
    """Draw CPU per request and makespan over the ideal against the limit, one line for each client.

    A point is the median of its repeats, the bar through it reaches from the lowest to the highest. Draws on ``fig``
    if one is given. Cases without latency or without warm-up are left out; if none is left, the picture says so.
    """
    cases = [case for case in bench.cases if case.workload.latency and case.warm_up]
    with styled():
        fig = fig or Picture(figsize=(WIDTH_IN, HEIGHT_IN))
        grid = fig.add_gridspec(1, 2, left=0.055, right=0.985, top=0.78, bottom=0.155, wspace=0.14)
        for column, (title, note, figure) in enumerate(PANELS):
            ax = fig.add_subplot(grid[0, column])
            draw_against_limit(ax, bench, cases, figure)
            ax.set_title(title, pad=24)
            ax.annotate(
                note, (0, 1), xytext=(0, 9), xycoords="axes fraction", textcoords="offset points", color=MUTED,
                fontsize=9.5,
            )  # fmt: skip
        head(fig, _headline(bench, cases), _about(bench, cases))
        fig.text(16 / 72 / WIDTH_IN, 0.2 / HEIGHT_IN, _foot(bench, cases), fontsize=9.5, color=MUTED)
    describe_on(fig, _described(bench, cases))
    return fig


def draw_against_limit(ax: Axes, bench: Bench, cases: Sequence[Case], figure: Callable[[Row], Sequence[float]]) -> None:
    """Draw one line for each client over the limits of these cases, with its name at the end."""
    lines = {kind: points for kind in _kinds(bench, cases) if (points := _points(bench, cases, kind, figure))}
    if not lines:
        ax.set(xticks=[], yticks=[])
        ax.annotate(
            "not measured: no case with a latency was finished", (0.5, 0.5), xycoords="axes fraction", ha="center"
        )
        return
    limits = sorted({case.limit for case in cases})
    # Room for the names at the right of the last limit.
    ax.set(xscale="log", yscale="log", xlim=(limits[0] * 0.8, limits[-1] * 4.5))
    for kind, points in lines.items():
        _line(ax, kind, points)
    ax.set_xticks(limits, [f"{limit:,}" for limit in limits])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("limit: requests in flight at once", loc="left")
    ax.grid(visible=True)
    _name(ax, bench, cases, lines)


def _kinds(bench: Bench, cases: Sequence[Case]) -> list[str]:
    """The clients to draw: a line needs two limits, unless there is but one."""
    names = [row.kind for row in bench.rows if row.case in {case.name for case in cases}]
    return [kind for kind in dict.fromkeys(names) if names.count(kind) > 1 or len(cases) < 2]


def _points(
    bench: Bench, cases: Sequence[Case], kind: str, figure: Callable[[Row], Sequence[float]]
) -> list[tuple[int, Sequence[float]]]:
    rows = [(case.limit, bench.find(case.name, f"{kind}-{case.limit}")) for case in cases]
    return sorted((limit, sorted(figure(row))) for limit, row in rows if row is not None and figure(row))


def _middle(values: Sequence[float]) -> float:
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def _line(ax: Axes, kind: str, points: Sequence[tuple[int, Sequence[float]]]) -> None:
    shade, marker, dash = LOOKS.get(kind, (OTHER, "o", "-"))
    ours = kind == "real"
    limits, middles = [limit for limit, _ in points], [_middle(values) for _, values in points]
    ax.plot(
        limits, middles, dash, color=shade, marker=marker, markersize=8 if ours else 6.5,
        linewidth=3.6 if ours else 1.8, markeredgecolor="white", markeredgewidth=0.7, zorder=4 if ours else 3,
    )  # fmt: skip
    ax.vlines(limits, [values[0] for _, values in points], [values[-1] for _, values in points], color=shade, lw=1.2)


def _name(
    ax: Axes, bench: Bench, cases: Sequence[Case], lines: Mapping[str, Sequence[tuple[int, Sequence[float]]]]
) -> None:
    """Write each client's name beside the end of its line; names that end at one limit make way for each other."""
    ends: dict[int, list[tuple[float, str]]] = {}
    for kind, points in lines.items():
        limit, values = points[-1]
        height = float(ax.transData.transform((limit, _middle(values)))[1])
        ends.setdefault(limit, []).append((height, kind))
    points_each = 72.0 / ax.figure.dpi
    floor = ax.get_window_extent().y0 * points_each + LABEL_GAP_PT / 2
    for limit, found in ends.items():
        found.sort()
        places = _apart([height * points_each for height, _ in found], LABEL_GAP_PT, floor)
        for (height, kind), place in zip(found, places, strict=True):
            at = (limit, _middle(lines[kind][-1][1]))
            _write(ax, at, place - height * points_each, kind + _errors(bench, cases, kind), kind)


def _write(ax: Axes, at: tuple[float, float], shift: float, name: str, kind: str) -> None:
    shade = LOOKS.get(kind, (OTHER, "o", "-"))[0]
    ax.annotate(
        name, at, xytext=(26, shift), textcoords="offset points", va="center", color=INK, fontsize=10,
        fontweight="bold" if kind == "real" else "normal", bbox=CLEAR, zorder=5,
        arrowprops={"arrowstyle": "-", "color": shade, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 4},
    )  # fmt: skip


def _apart(places: Sequence[float], gap: float, floor: float) -> list[float]:
    """Move ascending places apart to at least ``gap``, as little as that takes, and none below ``floor``.

    Places that are too close form a group, which spreads around its middle.
    """
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        while len(groups) > 1 and _spread(groups[-2], gap, floor)[-1] + gap > _spread(groups[-1], gap, floor)[0]:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [place for group in groups for place in _spread(group, gap, floor)]


def _spread(group: Sequence[float], gap: float, floor: float) -> list[float]:
    bottom = max(sum(group) / len(group) - gap * (len(group) - 1) / 2, floor)
    return [bottom + gap * index for index in range(len(group))]


def _errors(bench: Bench, cases: Sequence[Case], kind: str) -> str:
    errors = sum(row.errors for case in cases if (row := bench.find(case.name, f"{kind}-{case.limit}")))
    return f" ({errors} failed)" if errors else ""


def _headline(bench: Bench, cases: Sequence[Case]) -> str:
    """Say how much the cost of a request grows from the first limit to the second: of bare httpx, and of ours."""
    grows = {kind: _growth(bench, cases, kind) for kind in ("httpx", "real")}
    if grows["httpx"] is None or grows["real"] is None:
        return "What a request costs as the limit grows"
    few, many = (case.limit for case in cases[:2])
    return (
        f"From {few} to {many} at once: CPU of a request x {grows['httpx']:.1f} with bare httpx, "
        f"x {grows['real']:.1f} with ours"
    )


def _growth(bench: Bench, cases: Sequence[Case], kind: str) -> float | None:
    rows = [bench.find(case.name, f"{kind}-{case.limit}") for case in cases[:2]]
    if len(rows) < 2 or rows[0] is None or rows[1] is None or not rows[0].cpu:
        return None
    return rows[1].cpu / rows[0].cpu


def _about(bench: Bench, cases: Sequence[Case]) -> str:
    sizes = ", ".join(
        f"{case.workload.requests:,} requests of {1000 * (case.workload.latency or 0):g} ms (limit {case.limit:,})"
        for case in cases
    )
    fewer = "up to " * any("times only" in remark.text for remark in bench.remarks)
    again = f", median of {fewer}{bench.repeat} runs" if bench.repeat > 1 else ", one run of each"
    return f"{sizes}{again}"


def _foot(bench: Bench, cases: Sequence[Case]) -> str:
    """Who is who, and why a line ends early."""
    kinds = _kinds(bench, cases)
    early = any("left out" in remark.text and remark.case for remark in bench.remarks)
    said = [text for kind, text in WHO_IS_WHO if kind in kinds]
    return "; ".join(said) + ("\nA line that ends early: the next limit would take too long." if early else "")


def _described(bench: Bench, cases: Sequence[Case]) -> str:
    said: list[Any] = [
        f"The knee: CPU of a request and makespan over the ideal against the limit. {_headline(bench, cases)}."
    ]
    for kind in _kinds(bench, cases):
        rows = [row for case in cases if (row := bench.find(case.name, f"{kind}-{case.limit}"))]
        parts = [f"{row.cpu:.2f} ms and {row.ratio or 0:.2f} times the ideal at {row.limit:,}" for row in rows]
        said.append(f"{kind}{_errors(bench, cases, kind)}: {', '.join(parts)}.")
    return " ".join(said)
