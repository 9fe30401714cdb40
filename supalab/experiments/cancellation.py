"""Cancellation: when all callers are cancelled, measure when each part is free, and which requests keep running.

The client reports when its callers were free; the lab reports what kept running after that. Like many servers, the lab
finishes every request even if its client has gone. It notices only clients that disconnected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.clients.arms import arm
from supalab.errors import SettingsError
from supalab.experiments import Experiment
from supalab.measure.case import Case, Trial, Workload
from supalab.measure.compare import median_item
from supalab.measure.record import Record, each, medians
from supalab.measure.run import Plan, checked_names, checked_repeat, rotated
from supalab.measure.worker import THENS
from supalab.report.format import count, duration, listed, ms
from supalab.report.plot import INK, MUTED, label, legend, look, row_label, sheet
from supalab.report.table import Table

NAME, ABOUT = "cancel", "which requests keep running when their callers are cancelled"
ARMS = ("fake-10", "session-10", "article-10", "real-10")
#: How long a new caller waits at most beyond the latency: a pool that the cancellation broke never gives a slot.
TIMEOUT_S = 10.0
WHAT = "Requests in flight at the lab before and after all callers are cancelled, one row for each client."
FROM_WHEN = (
    "Times count from the moment at which the cancellation was due. Disconnected: the client closed the connection, so "
    "the lab noticed it. Still running: it did not, and the slot stayed taken."
)
#: How requests are drawn: name, colour, hatch and edge.
CALLED = ("for a caller", INK, "", INK)
WASTED = ("wasted: the client keeps working", "#c9ced4", "////", MUTED)
LEFT = ("client disconnected: only the lab works", "#eef0f2", "....", MUTED)

FOOT = (
    "The lab finishes every request even if its client has gone, as many servers do; only a client that disconnects "
    "tells it.\nTriangle: process exit of a program that just ends. Times next to marks count from the cancellation; "
    "the numbers are medians of the runs."
)


def plan(
    arms: Sequence[str] = ARMS, *, callers: int = 20, latency: float = 0.5, at_s: float = 0.1, repeat: int = 3
) -> Plan:
    """Cancel all callers of each arm after ``at_s`` seconds; then send a new request, or close the client, or exit.

    Raises SettingsError for values that cannot work.

    Args:
        arms: clients with their limits, separated by commas
        callers: callers that are cancelled, each of which has made one request
        latency: seconds that the server takes for a request (0.45 in the article)
        at_s: seconds after which the callers are cancelled
        repeat: trials of each, taking turns
    """
    checked_repeat(repeat)
    load = Workload(callers, latency)
    if not 0 < at_s < latency:
        raise SettingsError(
            f"at_s {at_s!r} is not between 0 and the latency, {latency} s: nothing would be left to cancel"
        )
    chosen = [arm(name) for name in checked_names("arms", arms, ARMS)]
    for turn in range(repeat):
        for one in rotated(chosen, turn):
            for then in THENS:
                options = {"at_s": at_s, "then": then, "timeout": TIMEOUT_S + 2 * latency}
                yield Case(one.name, load, "cancel", turn, tags={"then": then}, options=options)


def arms(record: Record) -> pd.DataFrame:
    """Return a row for each arm with the medians of its repeats, in the order in which they first ran.

    ``free_s`` (every caller had ended), ``run_s`` (``asyncio.run`` returned) and ``exit_s`` (the process ended) count
    from the intended moment of the cancellation, because a blocked loop cancels late and this delay must count.
    ``wasted``: requests that the lab finished without a caller; ``still_running``: those that the client itself
    finished, in its own slots; ``broken``: new callers with an error.
    """
    rows = record.rows
    late, answered = rows["cancelled_s"] - record.asked["at_s"], rows["late_outcome"] == "ok"
    # One request made the client ready, one was the new caller's.
    wasted = rows["served"] - 1 - rows["answered"] - answered
    rows = rows.assign(
        free_s=rows["free_s"] + late,
        run_s=(rows["run_s"] + late).where(rows["then"] == "leave"),
        exit_s=(rows["exit_s"] + late).where(rows["then"] == "leave"),
        closed_s=rows["closed_s"].where(rows["then"] == "close"),
        late_ratio=rows["late_s"] / rows["latency"],
        wasted=wasted,
        still_running=wasted - rows["abandoned"],
        broken=rows["late_outcome"].notna() & ~answered,
    )
    groups = rows.groupby("arm", sort=False)
    worst = {"failed": groups["failed"].max(), "broken": groups["broken"].sum()}
    return medians(rows, "arm").set_index("arm").assign(**worst).reset_index()


def headline(record: Record) -> str:
    """Say which clients keep working after the cancellation."""
    seen = list(each(arms(record)))
    busy = [one.arm for one in seen if one.still_running]
    if busy:
        return f"After cancellation, {listed(busy)} {'keep' if busy[1:] else 'keeps'} working"
    free = [one.arm for one in seen if not one.answered]
    return f"After cancellation, no client keeps working ({listed(free)})" if free else "Nothing could be cancelled"


def notes(record: Record) -> list[str]:
    """Say for each arm when callers were free, what kept running, how long a new caller waited, when all had ended."""
    return [*(" ".join(_said(one, record)) for one in each(arms(record))), FROM_WHEN]


def _said(one: Any, record: Record) -> Iterator[str]:
    callers = record.asked["callers"]
    if one.answered == callers:
        yield (
            f"{one.arm}: the cancellation, due after {duration(record.asked['at_s'])}, came after "
            f"{duration(one.cancelled_s)}, when all {callers} callers had their responses: a blocked loop cannot "
            "cancel callers."
        )
        return
    yield f"{one.arm}: {callers} callers free after {duration(one.free_s)};"
    if one.still_running:
        yield f"{one.still_running:.0f} of its requests kept running;"
    else:
        yield f"it disconnected {one.abandoned:.0f} requests, which the lab finished anyway;"
    if pd.notna(one.late_s):
        yield f"a new caller had a response after {duration(one.late_s)}, {one.late_ratio:.1f} times the server time;"
    if one.failed:
        yield f"{count(int(one.failed), 'caller')} had an error instead of the cancellation;"
    if one.broken:
        yield f"{count(int(one.broken), 'new caller')} had an error, because the pool was broken;"
    if pd.notna(one.exit_s):
        yield f"asyncio.run returned after {duration(one.run_s)} and the process exited after {duration(one.exit_s)}."


def table(record: Record) -> Table:
    """Return what happened to callers, slots, the client and the process, a row for each arm."""
    seen = arms(record)
    ends = {name: seen[f"{name}_s"].map(ms, na_action="ignore") for name in ("free", "closed", "run", "exit")}
    return Table.of(seen.assign(**ends), {
        "arm": "{arm}", "callers\nfree ms": "{free}", "still\nrunning": "{still_running:.0f}",
        "dis-\nconnected": "{abandoned:.0f}",
        "new caller\nx server time": lambda one: "broken" if one.broken else f"{one.late_ratio:.2f}",
        "client\nclosed ms": "{closed}", "asyncio.run\nreturned ms": "{run}", "process\nexited ms": "{exit}",
    }, headline=headline(record), notes=notes(record))  # fmt: skip


def figure(record: Record) -> Figure:
    """Draw requests in flight at the lab over time, one row for each arm, with the cancellation and a new caller.

    Of several repeats, the one with the median wait of its new caller is drawn.
    """
    every = list(each(arms(record)))
    shown = [_shown(record, one.arm) for one in every]
    ends = [step for trial in shown for step in (_came(trial), *(at for at, _ in trial.timeline))]
    asked, right, top = record.asked, max(ends) * 1.04, max(trial["peak"] for trial in shown)
    about = f"{asked['callers']} callers, each request {duration(asked['latency'])} at the server; "
    about += f"all are cancelled after {duration(asked['at_s'])}, and a new caller sends a request right then"
    words, shape = [WHAT, *notes(record)], (len(every), 1)
    with sheet(
        headline(record), about, words, shape, 1.25 * len(every), foot=FOOT, foot_in=1.15, left=0.16, hspace=0.42
    ) as (fig, panels):  # fmt: skip
        for ax, one, trial in zip(panels, every, shown, strict=True):
            ax.set(xlim=(0, right), ylim=(0, top * 1.5), yticks=[tick for tick in (0, trial.limit) if tick <= top])
            _requests(ax, one, trial)
            _ends(ax, one, trial, record)
            ax.grid(visible=True, axis="x")
            ax.tick_params(labelbottom=ax is panels[-1])
        panels[-1].set_xlabel("seconds since the callers asked", loc="left")
        legend(
            panels[0], [CALLED, WASTED, LEFT], bbox_to_anchor=(0, 1.05), borderaxespad=0, alignment="left",
            title="Requests in flight, as the lab counted them", title_fontproperties={"weight": "bold", "size": 12},
        )  # fmt: skip
    return fig


def _shown(record: Record, name: str) -> Trial:
    mine = record.of(name)
    asking = [trial for trial in mine if trial["late_s"] is not None]
    return median_item(asking, lambda trial: trial["late_s"]) if asking else mine[0]


def _came(trial: Trial) -> float:
    """Return when the new caller had its response, or when it would have sent its request."""
    return float(trial["cancelled_s"] + trial["free_s"] + (trial["late_s"] or 0.0))


def _requests(ax: Axes, one: Any, trial: Trial) -> None:
    """Fill the requests in flight before the cancellation, those after it, and the new caller's, which comes last."""
    at, shade = trial["cancelled_s"], look(trial.case.kind)[0]
    before = [(0.0, 0), *(step for step in trial.timeline if step[0] <= at)]
    turn = (at, before[-1][1])
    after = [turn, *(step for step in trial.timeline if step[0] > at)]
    _, face, hatch, _ = WASTED if one.still_running else LEFT
    _fill(ax, [*before, turn], facecolor=shade, edgecolor="white", linewidth=0.1)
    _fill(ax, after, facecolor=face, hatch=hatch, edgecolor=MUTED, linewidth=0.0)
    if trial["late_outcome"] == "ok" and trial.timeline:
        end = trial.timeline[-1][0]
        new = [end - (trial.workload.latency or 0.0), end]
        ax.fill_between(new, [1, 1], facecolor=shade, edgecolor="white", linewidth=0.3, zorder=3)
    ax.axvline(at, color=INK, linewidth=1.4, linestyle="--", zorder=4)


def _fill(ax: Axes, steps: Sequence[tuple[float, int]], **how: Any) -> None:
    times, counts = zip(*steps, strict=True)
    ax.fill_between(times, counts, step="post", **how)


def _ends(ax: Axes, one: Any, trial: Trial, record: Record) -> None:
    """Mark when the new caller had its response and when a program that just ends had exited; label the row."""
    shade, top = look(trial.case.kind)[0], 0.93 * ax.get_ylim()[1]
    if trial["late_outcome"] == "ok":
        at = _came(trial)
        ax.plot(at, 0.5, "o", color=shade, markeredgecolor=INK, markersize=7, clip_on=False, zorder=5)
        said = f"new caller: {duration(one.late_s)}, {one.late_ratio:.1f} x server time"
        _beside(ax, said, at, 0.5, 7, color=INK)
    if pd.notna(one.exit_s):
        at = record.asked["at_s"] + one.exit_s
        ax.plot(at, top, "v", color=INK, markersize=8, clip_on=False, zorder=6)
        _beside(ax, f"process exited after {duration(one.exit_s)}", at, top, 0, color=MUTED, fontsize=9.5)
    if one.answered == record.asked["callers"]:
        row_label(ax, one.arm, ["cannot be", "cancelled"])
    elif one.still_running:
        row_label(ax, one.arm, [f"{one.still_running:.0f} requests", "keep running"])
    else:
        row_label(ax, one.arm, [f"{one.abandoned:.0f} disconnected,", "slots free at once"])


def _beside(ax: Axes, said: str, x: float, y: float, up: float, **how: Any) -> None:
    """Write words to the right of a mark, or to its left if there is no room on the right."""
    label(ax, said, (x, y), (-9 if x > 0.8 * ax.get_xlim()[1] else 9, up), zorder=6, **how)


def compared(record: Record) -> dict[str, float]:
    """Return how many requests each client wasted, and how long a new caller waited."""
    every = list(each(arms(record)))
    wasted = {f"{one.arm}: wasted requests": one.wasted for one in every}
    return wasted | {f"{one.arm}: one more caller, s": one.late_s for one in every if pd.notna(one.late_s)}


EXPERIMENT = Experiment(NAME, ABOUT, plan, headline, notes, table, {NAME: figure}, compared, quick={"repeat": 1})
cancellation = EXPERIMENT.run
