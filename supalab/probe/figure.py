"""Draw the evidence of the probe's verdicts: what waited for the requests, and how many were in flight.

There is one row per client: a bar of shares, and next to it the requests in flight during the two bursts.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.errors import SettingsError
from supalab.probe.verdict import WAITERS, Verdict
from supalab.report.plot import INK, MUTED, label, legend, panel_title, sheet

ROW_IN, HEAD_IN, FOOT_IN = 1.5, 1.5, 1.25
WRAP = 66
# How each waiter is drawn: face, edge of the hatch, hatch, and text colour. They differ in lightness and hatch as well
# as in hue.
LOOKS: Mapping[str, tuple[str, str, str]] = {
    "share_loop_sockets": ("#1d4f91", "", "white"),
    "share_other_loops": ("#6f8fd0", "//", INK),
    "share_threads_read": ("#f0a02f", "..", INK),
    "share_threads_outside": ("#c9772b", "oo", INK),
    "share_loop_read": ("#1b2733", "xx", "white"),
    "share_processes": ("#2a9d8f", "--", "white"),
    "share_unseen": ("#d5dae0", "", INK),
}
BURSTS = ("#a9bde6", "#1d4f91", "#1d4f91")
# Narrower parts have no room for their number.
ROOM = 0.09


def evidence(*verdicts: Verdict) -> Figure:
    """Draw the evidence of verdicts, a row for each; the row of a client without a verdict shows the reason.

    Raises SettingsError without a verdict.
    """
    if not verdicts:
        raise SettingsError("evidence() draws verdicts: give at least one, e.g. evidence(await probe(SupabaseAsync))")
    rows = len(verdicts)
    title = f"{verdicts[0].name}: {verdicts[0].kind}" if rows == 1 else "Who waits for the requests?"
    about = "What the probe saw while 20 and 50 calls were started at once"
    what = "Evidence of the probe: who waited for the requests, and how many were in flight."
    with sheet(
        title, about, [what, *map(_sentence, verdicts)], (rows, 2), ROW_IN * rows, head_in=HEAD_IN, foot_in=FOOT_IN,
        left=0.025, right=0.975, width_ratios=(5, 3), wspace=0.12, hspace=0.5,
    ) as (drawn, panels):  # fmt: skip
        for verdict, ax in zip(verdicts, panels[::2], strict=True):
            _draw_waiters(ax, verdict)
        _draw_bursts(panels[1::2], verdicts)
        there = [name for name in LOOKS if any(name in verdict.waited for verdict in verdicts)]
        if there:
            parts = [(f"waited: {WAITERS[name]}", *LOOKS[name][:2], "white") for name in there]
            legend(drawn, parts, ncols=2, bbox_to_anchor=(0.018, 0.0), handlelength=1.6, columnspacing=1.6)
    return drawn


def _draw_waiters(ax: Axes, verdict: Verdict) -> None:
    """Draw what waited for the requests as one bar of shares, under the client's name and verdict."""
    ax.set(xlim=(0, 1), ylim=(-0.5, 1.9), xticks=[], yticks=[])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.text(0, 1.75, verdict.name, fontsize=13, fontweight="bold", color=INK, va="center")
    ax.text(0, 1.42, _filled(verdict.headline, 2), fontsize=10.5, color=MUTED, va="top")
    if not verdict.seen.bursts:
        ax.text(0, 0.45, _filled(verdict.sentences[0], 3), fontsize=10, color=INK, va="center")
        return
    left = 0.0
    for name, share in verdict.waited.items():
        face, hatch, ink = LOOKS[name]
        ax.barh(0, share, 0.72, left, color=face, edgecolor="white", hatch=hatch, linewidth=0.6)
        if share >= ROOM:
            ground = {"boxstyle": "round,pad=0.2", "facecolor": face, "edgecolor": "none"}
            label(ax, f"{share:.0%}", (left + share / 2, 0), (0, 0), color=ink, fontweight="bold", bbox=ground)
        left += share


def _filled(words: str, lines: int) -> str:
    return textwrap.fill(textwrap.shorten(words, lines * WRAP, placeholder=" …"), WRAP)


def _draw_bursts(axes: Sequence[Axes], verdicts: Sequence[Verdict]) -> None:
    """Draw the requests in flight at the lab, on one scale for all rows, so that heights can be compared."""
    bursts = [burst for verdict in verdicts for burst in verdict.seen.bursts]
    high = max((burst["peak"] for burst in bursts), default=1)
    long = max((burst["watched"] for burst in bursts), default=1.0)
    for ax, verdict in zip(axes, verdicts, strict=True):
        for burst, shade in zip(verdict.seen.bursts, BURSTS, strict=False):
            shown = [(0.0, 0), *(step for step in burst.timeline if step[0] <= burst["watched"])]
            times, numbers = zip(*shown, (burst["watched"], shown[-1][1]), strict=True)
            ax.step(times, numbers, where="post", color=shade, linewidth=1.6)
        said = f"at most {_peaks(verdict, ', ')}" if verdict.seen.bursts else "not measured"
        label(ax, said, (0.985, 0.94), (-1, -1), xycoords="axes fraction", fontsize=9.5, color=INK)
        ax.set(xlim=(0, 1.02 * long), ylim=(0, 1.3 * high))
        ax.tick_params(labelbottom=ax is axes[-1])
        ax.grid(visible=True)
    panel_title(axes[0], "Requests in flight at the lab", "pale: 20 calls at once, dark: 50")
    axes[-1].set_xlabel("seconds", loc="left")


def _peaks(verdict: Verdict, between: str) -> str:
    return between.join(f"{burst['peak']} of {burst['calls']}" for burst in verdict.seen.bursts)


def _sentence(verdict: Verdict) -> str:
    if not verdict.seen.bursts:
        return f"{verdict.name}: {verdict.kind}; {verdict.sentences[0]}"
    parts = ", ".join(f"{share:.0%} {WAITERS[name]}" for name, share in verdict.waited.items()) or "nothing"
    peaks = _peaks(verdict, " and ")
    return f"{verdict.name}: {verdict.headline}; waited for by {parts}; at most {peaks} in flight."
