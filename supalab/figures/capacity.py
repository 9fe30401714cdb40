"""Capacity and loads go in, pictures of response time against arrival rate come out; measures nothing.

A response that never came is drawn at the top edge, at the patience of a caller: it took at least that long.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from supalab.capacity.result import ARTICLE, ArmCapacity, Capacity
from supalab.experiments.race import control_of
from supalab.load.run import LoadRecord
from supalab.report.format import duration, size
from supalab.report.plot import CLEAR, INK, MUTED, WIDTH_IN, Picture, colour, describe_on, head, not_seen, styled

__all__ = ["capacity_picture", "draw_in_flight_against_rate", "draw_response_against_rate", "load_picture"]

HEIGHT_IN, LOAD_HEIGHT_IN = 6.2, 5.0
MARKERS = ("X", "s", "D", "o", "^", "v", "P")
RANKS = ((50, "median", "-", "o"), (95, "p95", "--", "s"), (99, "p99", ":", "^"))


def capacity_picture(found: Capacity, *, fig: Figure | None = None) -> Figure:
    """Draw p95 against arrival rate, a line for each client with its capacity marked, and what was in flight.

    Draws on ``fig`` if one is given; steps that did not run are not drawn.
    """
    arms = [arm for arm in found.arms if arm.steps]
    with styled():
        fig = fig or Picture(figsize=(WIDTH_IN, HEIGHT_IN))
        grid = fig.add_gridspec(
            1, 2, width_ratios=(2.1, 1), left=0.075, right=0.975, top=0.735, bottom=0.17, wspace=0.2
        )
        left, right = fig.add_subplot(grid[0, 0]), fig.add_subplot(grid[0, 1])
        draw_response_against_rate(left, arms, found.patience)
        draw_in_flight_against_rate(right, arms)
        _title(left, "Response time", "p95 from the intended start, seconds; a diamond marks the capacity")
        _title(right, "In flight at the backend", "mean of a step, as the lab counted")
        head(fig, _headline(found), _about(found))
        fig.text(16 / 72 / WIDTH_IN, 0.22 / HEIGHT_IN, _foot(arms), fontsize=9.5, color=MUTED, linespacing=1.4)
    describe_on(fig, _described(found))
    return fig


def _title(ax: Axes, title: str, note: str) -> None:
    ax.set_title(title, pad=24)
    ax.annotate(
        note, (0, 1), xytext=(0, 9), xycoords="axes fraction", textcoords="offset points", color=MUTED, fontsize=9.5
    )


def draw_response_against_rate(ax: Axes, arms: Sequence[ArmCapacity], top_s: float) -> None:
    """Draw one line for each client: p95 in seconds against the rate asked, with twice idle and the capacity."""
    names = [arm.arm for arm in arms]
    for place, arm in enumerate(arms):
        shade, control = colour(arm.arm), control_of(arm.arm, names)
        points = [(step.rate, min(step.p95 or top_s, top_s)) for step in arm.steps]
        ax.plot(
            [rate for rate, _ in points], [p95 for _, p95 in points], "--" if control else "-", color=shade,
            marker=MARKERS[place % len(MARKERS)], markersize=7, markeredgecolor=INK if control else "white",
            markeredgewidth=0.8, markerfacecolor="white" if control else shade, linewidth=2.4, clip_on=False,
            label=_label(arm, control), zorder=3 + place,
        )  # fmt: skip
        if arm.capacity is not None:
            ax.plot(
                arm.capacity, arm.threshold_s, marker="d", markersize=11, color=shade, markeredgecolor=INK,
                markeredgewidth=1.2, zorder=12,
            )  # fmt: skip
    _scales(ax, [step.rate for arm in arms for step in arm.steps], top_s)
    if arms:
        _line(ax, sum(arm.threshold_s for arm in arms) / len(arms), "twice the idle response time", 0.31)
        ax.legend(loc="upper left", bbox_to_anchor=(0.0, 1.0), framealpha=1.0, edgecolor="none", fontsize=10)


def _label(arm: ArmCapacity, control: str | None) -> str:
    good, bad = arm.bracket
    said = "no rate was good" if good is None else f"{'' if bad is not None else 'at least '}{good:.1f}/s"
    return f"{arm.arm}: {said}" + (f", fair control of {control}" if control else "")


def _line(ax: Axes, height: float, text: str, left: float = 0.0) -> None:
    ax.axhline(height, color=MUTED, linewidth=1.2, linestyle=(0, (2, 2)), zorder=2)
    ax.annotate(
        text, (left, height), xycoords=("axes fraction", "data"), xytext=(6, 4), textcoords="offset points",
        color=MUTED, fontsize=9.5, bbox=CLEAR,
    )  # fmt: skip


def _scales(ax: Axes, rates: Sequence[float], top_s: float) -> None:
    ax.set(yscale="log", ylim=(0.1, top_s), xlim=(0, 1.04 * max(rates, default=1.0)))
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("arrival rate: requests a second", loc="left")
    ax.grid(visible=True)


def draw_in_flight_against_rate(ax: Axes, arms: Sequence[ArmCapacity]) -> None:
    """Draw the mean of requests in flight at the backend against the rate, a line for each client."""
    names = [arm.arm for arm in arms]
    for place, arm in enumerate(arms):
        control, shade = control_of(arm.arm, names), colour(arm.arm)
        rates, means = [step.rate for step in arm.steps], [step.in_flight_mean for step in arm.steps]
        ax.plot(
            rates, means, "--" if control else "-", color=shade, marker=MARKERS[place % len(MARKERS)], markersize=6,
            markeredgecolor=INK if control else "white", markeredgewidth=0.8, linewidth=2.2, zorder=3 + place,
            markerfacecolor="white" if control else shade,
        )  # fmt: skip
    for limit in sorted({arm.limit for arm in arms}):
        _line(ax, limit, f"limit {limit}")
    ax.set(xlim=(0, 1.04 * max((s.rate for a in arms for s in a.steps), default=1.0)))
    ax.set_ylim(0, 1.15 * max((arm.limit for arm in arms), default=1))
    ax.set_xlabel("requests a second", loc="left")
    ax.grid(visible=True)


def _headline(found: Capacity) -> str:
    few, control, real = (found.of(name) for name in ("fake-3", "fake-10", "real-10"))
    if few is None or control is None or real is None or not (few.capacity and control.capacity and real.capacity):
        return "What a service can take, by its client"
    return (
        f"3 threads: {few.capacity:.3g} requests a second.  10 threads: {control.capacity:.3g}.  "
        f"10 at once with async: {real.capacity:.3g}."
    )


def _about(found: Capacity) -> str:
    return (
        f"contest-agent, a service on each client in turn, over a backend of {duration(found.latency)}; open arrivals "
        "at random (Poisson), the same for all"
    )


def _foot(arms: Sequence[ArmCapacity]) -> str:
    weights = ", ".join(f"{arm.arm} {size(arm.memory_peak_bytes)}" for arm in arms if arm.memory_peak_bytes is not None)
    response, memory, capacity = (ARTICLE[name] for name in ("response_s", "memory_mb", "capacity"))
    article = (
        f"{1000 * response[0]:.0f} to {1000 * response[1]:.0f} ms, {memory[0]:.0f} to {memory[1]:.0f} MB, "
        f"{capacity[0]:.0f} to {capacity[1]:.0f} at once"
    )
    return f"Memory of the service at most: {weights}.\nThe article says of its own service: {article}."


def _described(found: Capacity) -> str:
    said = [
        f"Response time (p95, logarithmic) against arrival rate, a line for each client. {_headline(found)}",
        "Capacity is the highest rate with p95 below twice the idle response time.",
    ]
    for arm in found.arms:
        errors = sum(sum(step.errors.values()) for step in arm.steps)
        at = arm.at_capacity
        there = f", {at.in_flight_mean:.1f} in flight on average there" if at is not None else ""
        failed = f", {errors} requests failed in all steps" if errors else ""
        peak = arm.memory_peak_bytes
        memory = "" if peak is None else f", {size(peak)} of memory at most"
        said.append(f"{_label(arm, None)}, idle {duration(arm.idle_s)}{there}{memory}{failed}.")
    apart = found.ratio("real-10", "fake-10")
    if apart is not None:
        said.append(f"fake-10 is the fair control of real-10, whose capacity is {apart:.2f} times its own.")
    return " ".join(said)


def load_picture(record: LoadRecord, *, fig: Figure | None = None) -> Figure:
    """Draw median, p95 and p99 of the response time against the rate, with errors counted under each rate."""
    loads = [load for load in record.loads if load.rate is not None]
    rates = [load.rate or 0.0 for load in loads]
    top = max((load.timeout for load in loads), default=10.0)
    with styled():
        fig = fig or Picture(figsize=(WIDTH_IN, LOAD_HEIGHT_IN))
        ax = fig.add_axes((0.075, 0.17, 0.9, 0.6))
        for q, name, dash, marker in RANKS:
            times = [min(load.response(q) or top, top) for load in loads]
            ax.plot(rates, times, dash, marker=marker, label=name, color=INK, clip_on=False)
        slow = max((load.response(99) or top for load in loads), default=1.0)
        quick = min((load.response(50) or top for load in loads), default=0.1)
        _scales(ax, rates, min(top, 2 * slow))
        ax.set_ylim(quick / 2, min(top, 2 * slow))
        for rate, load in zip(rates, loads, strict=True):
            if failed := sum(load.errors.values()):
                ax.annotate(
                    f"{failed} failed", (rate, 1), xycoords=("data", "axes fraction"), ha="center",
                    xytext=(0, 7), textcoords="offset points", color=INK,
                )  # fmt: skip
        if loads:
            ax.legend(loc="upper left", framealpha=1.0, edgecolor="none")
        else:
            not_seen(ax, "closed callers have no rate to draw against")
        if any(load.response(99) is None for load in loads):
            note = f"At the top edge: after {top:g} s and more, or never; what fails was never answered."
            fig.text(16 / 72 / WIDTH_IN, 0.2 / LOAD_HEIGHT_IN, note, fontsize=9.5, color=MUTED)
        head(fig, "Response time against arrival rate", f"{record.about}; seconds from the intended start")
    describe_on(fig, _loads_described(record))
    return fig


def _loads_described(record: LoadRecord) -> str:
    said = [f"Response time against arrival rate: {record.about}."]
    for load in record.loads:
        asked = f"{load.rate:g} a second" if load.rate is not None else f"{load.callers} callers"
        times = [f"{name} {_time(load.response(q))}" for q, name, *_ in RANKS]
        said.append(f"{asked}: {', '.join(times)}, {sum(load.errors.values())} of {len(load.shots)} failed.")
    return " ".join(said)


def _time(seconds: float | None) -> str:
    return "never" if seconds is None else duration(seconds)
