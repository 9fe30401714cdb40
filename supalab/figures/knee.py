"""A bench goes in, the picture of the knee comes out: what a request costs, and how slow it gets, as the limit grows.

One line for each client, over the cases that have a latency; log axes on both sides, names at the ends of the lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.measure.bench.cases import Case
from supalab.measure.bench.result import Bench, Row
from supalab.report.lines import against
from supalab.report.plot import MUTED, WIDTH_IN, Picture, describe_on, head, panel_title, styled

__all__ = ["draw_against_limit", "knee"]

HEIGHT_IN = 6.4
WHO_IS_WHO = (
    ("real", "real: ours"),
    ("real-httpx", "real-httpx: ours over httpx's own pool"),
    ("supabase", "supabase: the official client, gated"),
    ("to-thread", "to-thread: its sync one"),
    ("fake", "fake, session: requests in threads"),
    ("httpx", "all others: bare"),
)
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
            panel_title(ax, title, note)
        head(fig, _headline(bench, cases), _about(bench, cases))
        fig.text(16 / 72 / WIDTH_IN, 0.2 / HEIGHT_IN, _foot(bench, cases), fontsize=9.5, color=MUTED)
    describe_on(fig, _described(bench, cases))
    return fig


def draw_against_limit(ax: Axes, bench: Bench, cases: Sequence[Case], figure: Callable[[Row], Sequence[float]]) -> None:
    """Draw one line for each client over the limits of these cases, with its name at the end."""
    lines = {kind: points for kind in _kinds(bench, cases) if (points := _points(bench, cases, kind, figure))}
    failed = {kind: _errors(bench, cases, kind) for kind in lines}
    against(ax, lines, "limit: requests in flight at once", room=0.33, notes=failed)


def _kinds(bench: Bench, cases: Sequence[Case]) -> list[str]:
    """The clients to draw: a line needs two limits, unless there is but one."""
    names = [row.kind for row in bench.rows if row.case in {case.name for case in cases}]
    return [kind for kind in dict.fromkeys(names) if names.count(kind) > 1 or len(cases) < 2]


def _points(
    bench: Bench, cases: Sequence[Case], kind: str, figure: Callable[[Row], Sequence[float]]
) -> dict[int, Sequence[float]]:
    rows = [(case.limit, bench.find(case.name, f"{kind}-{case.limit}")) for case in cases]
    return dict(sorted((limit, figure(row)) for limit, row in rows if row is not None and figure(row)))


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
