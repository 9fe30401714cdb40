"""The figure of throughput against the limit, and the CPU that explains it."""

from __future__ import annotations

from matplotlib.figure import Figure

from supalab.experiments.throughput import NEAR, at_its_end, best, headline, ideal, line, notes
from supalab.measure.record import Record
from supalab.report.format import duration
from supalab.report.lines import against
from supalab.report.plot import MUTED, WIDTH_IN, Picture, describe_on, foot, head, panel_title, styled

__all__ = ["figure"]

HEIGHT_IN = 6.4
TICKS = (3, 5, 10, 20, 30, 50, 100, 200, 400)
WHAT = "Requests per second against the concurrency limit, with each client's best limit, and CPU time per request."
LABEL = "concurrency limit"


def figure(found: Record, *, fig: Figure | None = None) -> Figure:
    """Draw throughput and CPU against the limit, one line for each client, a star at its best limit.

    A point is the median of the repeats, the bar through it reaches from the lowest to the highest. Draws on ``fig``
    if one is given.
    """
    kinds = list(dict.fromkeys(trial.case.kind for trial in found.trials))
    limits = sorted({trial.case.limit for trial in found.trials})
    ticks = [limit for limit in limits if limit in {*TICKS, limits[0], limits[-1]}]
    every = {kind: line(found, kind) for kind in kinds}
    names = {kind: f", best {best(one)}{'+' if at_its_end(one) else ''}" for kind, one in every.items()}
    with styled():
        fig = fig or Picture(figsize=(WIDTH_IN, HEIGHT_IN))
        grid = fig.add_gridspec(
            1, 2, width_ratios=(6, 4.4), left=0.06, right=0.985, top=0.77, bottom=0.225, wspace=0.17
        )
        rate, cpu = fig.add_subplot(grid[0, 0]), fig.add_subplot(grid[0, 1])
        panel_title(rate, "Throughput", "answered requests per second; dotted: if only server time counted")
        panel_title(cpu, "CPU time per request", "milliseconds of the client's process")
        stars = {kind: best(one) for kind, one in every.items()}
        against(rate, _values(found, kinds, "per_s"), LABEL, ticks=ticks, stars=stars, notes=names)
        against(cpu, _values(found, kinds, "cpu_ms"), LABEL, ticks=ticks)
        if limits:
            ends = (limits[0], limits[-1])
            rate.plot(ends, [ideal(found, limit) for limit in ends], ":", color=MUTED, linewidth=1.6, zorder=1)
        head(fig, headline(found), _about(found))
        foot(fig, _foot(found, kinds, any(map(at_its_end, every.values()))))
    describe_on(fig, " ".join([WHAT, *notes(found)]))
    return fig


def _values(found: Record, kinds: list[str], name: str) -> dict[str, dict[int, list[float]]]:
    values: dict[str, dict[int, list[float]]] = {kind: {} for kind in kinds}
    for trial in sorted(found.trials, key=lambda one: one.case.limit):
        values[trial.case.kind].setdefault(trial.case.limit, []).append(float(trial[name]))
    return values


def _about(found: Record) -> str:
    again = f"median of {found.repeats} runs" if found.repeats > 1 else "one run of each"
    return (
        f"Closed loop: as many callers as the limit, each request {duration(found.asked['latency'])} at the server; "
        f"{again}; client and lab on {found.machine.get('cpus', '?')} processors"
    )


def _foot(found: Record, kinds: list[str], grew: bool) -> str:
    said = [f"Star: the smallest limit whose throughput is within {NEAR:.0%} of the client's highest"]
    said += ["+: it still grew at the largest limit"] * grew
    threads = [kind for kind in ("fake", "session") if kind in kinds]
    about = {"kept": "kept: httpx over its own pool, keep-alive for all connections", "real": "real: SupabaseAsync"}
    who = [f"{', '.join(threads)}: requests in threads"] * bool(threads) + [about[k] for k in about if k in kinds]
    early = ["A line that ends early: the client had become too slow for the next limit."] * bool(found.remarks)
    return "\n".join(["; ".join(said) + ".", "; ".join(who) + ".", *early])
