"""Draw the evidence of the probe's verdicts: what waited for the requests, and how many were in flight.

There is one row per client: a bar of shares, and next to it the requests in flight during the two bursts.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from supalab.errors import SettingsError
from supalab.probe.seen import Burst
from supalab.probe.verdict import WAITERS, Verdict
from supalab.report.plot import CLEAR, INK, MUTED, WIDTH_IN, Picture, describe_on, head, styled

__all__ = ["draw_burst", "draw_waiters", "evidence"]

ROW_IN, HEAD_IN, FOOT_IN = 1.5, 1.5, 1.25
WRAP = 66
# By what waits: face, edge of the hatch, hatch. They differ in lightness and hatch as well as in hue.
LOOKS: Mapping[str, tuple[str, str, str]] = {
    "share_loop_sockets": ("#1d4f91", "white", ""),
    "share_other_loops": ("#6f8fd0", "white", "//"),
    "share_threads_read": ("#f0a02f", "white", ".."),
    "share_threads_outside": ("#c9772b", "white", "oo"),
    "share_loop_read": ("#1b2733", "white", "xx"),
    "share_processes": ("#2a9d8f", "white", "--"),
    "share_unseen": ("#d5dae0", "white", ""),
}
ON_LIGHT = {"share_threads_read", "share_threads_outside", "share_unseen", "share_other_loops"}
BURSTS = ("#a9bde6", "#1d4f91")
# Narrower parts have no room for their number.
ROOM = 0.09


def evidence(*verdicts: Verdict, fig: Figure | None = None) -> Figure:
    """Draw the evidence of verdicts, one row for each; a client that could not be judged has its reason in its row.

    Draws on ``fig`` if one is given. Raises SettingsError without a verdict.
    """
    if not verdicts:
        raise SettingsError("evidence() draws verdicts: give at least one, e.g. evidence(await probe(SupabaseAsync))")
    with styled():
        height = HEAD_IN + ROW_IN * len(verdicts) + FOOT_IN
        fig = fig or Picture(figsize=(WIDTH_IN, height))
        grid = fig.add_gridspec(len(verdicts), 2, width_ratios=(5, 3), left=0.025, right=0.975, wspace=0.12, hspace=0.5)
        grid.update(top=1 - HEAD_IN / fig.get_figheight(), bottom=FOOT_IN / fig.get_figheight())
        right = [fig.add_subplot(grid[row, 1]) for row in range(len(verdicts))]
        for row, verdict in enumerate(verdicts):
            draw_waiters(fig.add_subplot(grid[row, 0]), verdict)
            _bursts(right[row], verdict.seen.bursts)
        _share(right, verdicts)
        head(fig, _title(verdicts), "What the probe saw while 20 and 50 calls were started at once")
        _key(fig, verdicts)
    describe_on(fig, _described(verdicts))
    return fig


def draw_waiters(ax: Axes, verdict: Verdict) -> None:
    """Draw what waited for the requests as one bar of shares, under the client's name and verdict."""
    ax.set(xlim=(0, 1), ylim=(-0.5, 1.9), xticks=[], yticks=[])
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.text(0, 1.75, verdict.name, fontsize=13, fontweight="bold", color=INK, va="center")
    said = textwrap.shorten(verdict.headline, 2 * WRAP, placeholder=" …")
    ax.text(0, 1.42, textwrap.fill(said, WRAP), fontsize=10.5, color=MUTED, va="top")
    if not verdict.seen.bursts:
        reason = textwrap.shorten(verdict.sentences[0], 3 * WRAP, placeholder=" …")
        ax.text(0, 0.45, textwrap.fill(reason, WRAP), fontsize=10, color=INK, va="center")
        return
    left = 0.0
    for name, share in _shares(verdict):
        face, edge, hatch = LOOKS[name]
        ax.barh(0, share, 0.72, left, color=face, edgecolor=edge, hatch=hatch, linewidth=0.6)
        if share >= ROOM:
            ink, box = (INK, {"boxstyle": "round,pad=0.2", "facecolor": face, "edgecolor": "none"})
            ax.text(
                left + share / 2, 0, f"{share:.0%}", color=ink if name in ON_LIGHT else "white", ha="center",
                va="center", fontweight="bold", bbox=box,
            )  # fmt: skip
        left += share


def draw_burst(ax: Axes, burst: Burst, shade: str = INK) -> None:
    """Draw the requests in flight at the lab during a burst, as far as it was watched."""
    shown = [(second, number) for second, number in burst.timeline if second <= burst.watched_s]
    if shown:
        times, numbers = zip(*((0.0, 0), *shown, (burst.watched_s, shown[-1][1])), strict=True)
        ax.step(times, numbers, where="post", color=shade, linewidth=1.6)


def _bursts(ax: Axes, bursts: Sequence[Burst]) -> None:
    for burst, shade in zip(bursts, BURSTS, strict=False):
        draw_burst(ax, burst, shade)
    ax.grid(visible=True)
    peaks = ", ".join(f"{burst.peak} of {burst.calls}" for burst in bursts)
    said = f"at most {peaks}" if bursts else "not measured"
    ax.text(0.985, 0.94, said, transform=ax.transAxes, ha="right", va="top", fontsize=9.5, color=INK, bbox=CLEAR)


def _share(axes: Sequence[Axes], verdicts: Sequence[Verdict]) -> None:
    """One scale for all rows, so that heights can be compared."""
    bursts = [burst for verdict in verdicts for burst in verdict.seen.bursts]
    high = max((burst.peak for burst in bursts), default=1)
    long = max((burst.watched_s for burst in bursts), default=1.0)
    for ax in axes:
        ax.set(xlim=(0, 1.02 * long), ylim=(0, 1.3 * high))
        ax.tick_params(labelbottom=ax is axes[-1])
    axes[0].set_title("Requests in flight at the lab", pad=22)
    axes[0].annotate(
        "pale: 20 calls at once, dark: 50", (0, 1), xytext=(0, 8), xycoords="axes fraction",
        textcoords="offset points", color=MUTED, fontsize=9.5,
    )  # fmt: skip
    axes[-1].set_xlabel("seconds", loc="left")


def _shares(verdict: Verdict) -> list[tuple[str, float]]:
    return [(name, share) for name in LOOKS if (share := verdict.numbers.get(name) or 0.0) >= 0.005]


def _key(fig: Figure, verdicts: Sequence[Verdict]) -> None:
    """Name the parts that occur, below the rows."""
    there = dict.fromkeys(name for name in LOOKS for verdict in verdicts if name in dict(_shares(verdict)))
    patches = [
        Patch(
            facecolor=LOOKS[name][0], edgecolor=LOOKS[name][1], hatch=LOOKS[name][2], label=f"waited: {WAITERS[name]}"
        )
        for name in there
    ]
    if patches:
        fig.legend(
            handles=patches, loc="lower left", bbox_to_anchor=(0.018, 0.0), ncols=2, frameon=False, fontsize=9.5,
            handlelength=1.6, columnspacing=1.6,
        )  # fmt: skip


def _title(verdicts: Sequence[Verdict]) -> str:
    if len(verdicts) == 1:
        return f"{verdicts[0].name}: {verdicts[0].kind}"
    return "Who waits for the requests?"


def _described(verdicts: Sequence[Verdict]) -> str:
    return "Evidence of the probe: who waited for the requests, and how many were in flight. " + " ".join(
        _sentence(verdict) for verdict in verdicts
    )


def _sentence(verdict: Verdict) -> str:
    if not verdict.seen.bursts:
        return f"{verdict.name}: {verdict.kind}; {verdict.sentences[0]}"
    parts = ", ".join(f"{share:.0%} {WAITERS[name]}" for name, share in _shares(verdict))
    peaks = " and ".join(f"{burst.peak} of {burst.calls}" for burst in verdict.seen.bursts)
    return f"{verdict.name}: {verdict.headline}; waited for by {parts or 'nothing'}; at most {peaks} in flight."
