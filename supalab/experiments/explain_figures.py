"""The figures of an explanation: a waterfall of what each factor saves, and what connections save by link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from supalab.errors import TrialError
from supalab.experiments.explain import (
    ARTICLE_FACTORS,
    Explained,
    Step,
    about,
    explained,
    headline,
    link_headline,
    link_notes,
    notes,
)  # fmt: skip
from supalab.measure.compare import Difference
from supalab.measure.record import Record
from supalab.report.plot import CLEAR, INK, MUTED, WIDTH_IN, colour, sheet

__all__ = ["LOST", "NOISE", "SAVED", "Look", "by_link", "key", "look_of", "waterfall"]

LEFT_IN, BAR = 0.255, 0.6
#: A remainder is drawn if it is more than this part of the whole.
SHOWN = 0.01


@dataclass(frozen=True, slots=True)
class Look:
    """How a change is drawn and what it is called: lightness and hatch tell as much as the hue."""

    name: str
    face: str
    hatch: str
    edge: str


SAVED = Look("saved", "#2a9d8f", "", "#1d6f65")
LOST = Look("lost", "#e3b3c6", "////", "#b3446c")
NOISE = Look("within noise", "#dfe3e7", "....", "#7d8790")
LEFT = Look("not explained by the factors", "white", "xxxx", INK)


def look_of(got: Difference) -> Look:
    """Return how a difference is drawn: by its sign, or as noise."""
    if not got.above_noise:
        return NOISE
    return SAVED if got.median > 0 else LOST


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the waterfall: a level that was measured at once (``side``), a factor, or what the factors leave."""

    name: str
    about: str
    top: float
    bottom: float
    side: pd.DataFrame | None = None
    step: Step | None = None


def _rows(seen: Explained) -> list[Row]:
    start = float(seen.before["makespan_s"].median())
    rows = [Row("before", seen.before["arm"].iloc[0], start, start, seen.before)]
    article, ours = seen.steps[:ARTICLE_FACTORS], seen.steps[ARTICLE_FACTORS:]
    for steps, name, end in ((article, "the article's after", seen.article), (ours, "SupabaseAsync", seen.ours)):
        level = rows[-1].bottom
        for step in steps:
            failed = max(step.before["errors"].max(), step.after["errors"].max())
            arms = f"{step.factor.before} → {step.factor.after}" + f", {failed} failed" * bool(failed)
            rows.append(Row(_arrow(step), arms, level, level - step.saved.median, step=step))
            level -= step.saved.median
        reached = float(end["makespan_s"].median())
        if abs(level - reached) > SHOWN * abs(seen.whole(seen.ours).median):
            rows.append(Row("remainder", "not explained by the factors", level, reached))
        rows.append(Row(name, end["arm"].iloc[0], reached, reached, end))
    return rows


def _arrow(step: Step) -> str:
    return step.factor.change.replace(", then ", " → ")


def _explained(found: Record) -> Explained:
    seen = explained(found)
    if seen is None:
        raise TrialError("no round was finished: there is nothing to draw")
    return seen


def waterfall(found: Record, *, fig: Figure | None = None) -> Figure:
    """Draw what each factor saved, in seconds and in CPU time per request; draws on ``fig`` if one is given.

    The article's "before" and "after" and ours are levels measured at once; if the factors between them do not add up
    to the difference, to within one per cent of the whole, the remainder has a row of its own.
    """
    seen = _explained(found)
    rows = _rows(seen)
    said = [f"Waterfall: what each change saves. {headline(found)}.", f"{about(seen)}.", *notes(found)]
    title, words = headline(found).replace(" s to ", " s → "), [line.removeprefix("- ") for line in said if line]
    with sheet(
        title, about(seen), words, (1, 2), 0.46 * len(rows), foot=_foot(seen), fig=fig, head_in=1.35, foot_in=1.45,
        left=LEFT_IN, wspace=0.1, width_ratios=(2.1, 1),
    ) as (fig, (time, cpu)):  # fmt: skip
        _seconds_panel(time, rows, seen)
        _cpu_panel(cpu, rows)
        for place, row in enumerate(rows):
            _name(time, place, row.name, -LEFT_IN, 6, fontweight="normal" if row.side is None else "bold")
            _name(time, place, row.about, -LEFT_IN, -7.5, fontsize=8.5, color=MUTED)
        key(fig, [SAVED, LOST, NOISE, *[LEFT] * any(row.name == "remainder" for row in rows)])
    return fig


def _seconds_panel(ax: Axes, rows: Sequence[Row], seen: Explained) -> None:
    """Levels from zero, factors between the levels they lead from and to, spread as a whisker."""
    digits = 2 if abs(seen.whole(seen.ours).median) >= 2 else 3
    for place, row in enumerate(rows):
        if row.side is not None:
            _level(ax, place, row, row.top, "s")
        else:
            got = row.step.saved if row.step else None
            _bar(ax, place, row.top, row.bottom, look_of(got) if got else LEFT)
            ends = [row.top - got.lowest, row.top - got.highest] if got else []
            ax.plot(ends, [place] * len(ends), "-", color=INK, linewidth=1.4, marker="|", markersize=6, zorder=5)
            change = f"{'costs' if row.bottom > row.top else 'saves'} {abs(row.bottom - row.top):.{digits}f} s"
            change = NOISE.name if got and not got.above_noise else change
            _say(ax, max(row.top, row.bottom, *ends), place, change)
        if place + 1 < len(rows):
            ax.plot([row.bottom] * 2, [place + BAR / 2, place + 1 - BAR / 2], color=MUTED, linewidth=0.8, zorder=1)
    _frame(ax, (0, max(max(row.top, row.bottom) for row in rows) * 1.22), (len(rows) - 0.4, -0.6))
    ax.set_title("Seconds for the whole burst", pad=12)
    ax.set_xlabel("seconds")


def _cpu_panel(ax: Axes, rows: Sequence[Row]) -> None:
    """A bar for a level, and for a factor what it made of the cost before it."""
    costs = [0.0]
    for place, row in enumerate(rows):
        if row.side is not None:
            costs.append(float(row.side["cpu_ms"].median()))
            _level(ax, place, row, costs[-1], "ms")
        elif row.step is not None:
            old, new = (float(side["cpu_ms"].median()) for side in (row.step.before, row.step.after))
            _bar(ax, place, old, new, look_of(row.step.cpu))
            _say(ax, max(old, new), place, f"{old:.2f} → {new:.2f}")
            costs += [old, new]
    _frame(ax, (0, max(costs) * 1.65), (len(rows) - 0.4, -0.6))  # room for the words of the longest bar
    ax.set_title("CPU time per request", pad=12)
    ax.set_xlabel("milliseconds")


def _level(ax: Axes, place: int, row: Row, value: float, unit: str) -> None:
    ax.barh(place, value, BAR, color=colour(row.about))
    _say(ax, value, place, f"{value:.2f} {unit}", fontweight="bold")


def _foot(seen: Explained) -> str:
    spread = "Bars: medians; the line at a bar's end: from the lowest to the highest round. " * (seen.rounds > 1)
    left = seen.left(seen.ours)
    share = seen.share(abs(left))
    part = "" if share is None else f", {share:.1%} of the whole"
    direct = "Bars that start at zero are end-to-end measurements."
    return f"{spread}{direct}\nAll factors together leave {left:.3f} s unexplained{part}."


def by_link(found: Record, *, fig: Figure | None = None) -> Figure:
    """Draw for how much shorter a request holds its slot, for each factor and link; draws on ``fig`` if one is given.

    Raises TrialError if no links were measured.
    """
    seen = _explained(found)
    if not seen.links:
        raise TrialError("this explanation has no links: measure it with links=True")
    factors, asked = list(dict.fromkeys(step.factor for step in seen.links)), about(seen, seen.links)
    places = [place + 0.55 * factors.index(step.factor) for place, step in enumerate(seen.links)]
    words = [f"{link_headline(seen)}, {asked}.", *link_notes(seen)]
    foot = "Slot time: from acquiring the slot to the response; before → after, medians of the rounds."
    with sheet(
        link_headline(seen), asked, words, (1, 1), 0.36 * (places[-1] + 1), foot=foot, fig=fig, head_in=1.1,
        foot_in=1.3, left=0.4, right=0.975,
    ) as (fig, (ax,)):  # fmt: skip
        ends = [0.0]
        for step, place in zip(seen.links, places, strict=True):
            got = step.saved
            _bar(ax, place, 0.0, got.median, look_of(got))
            ax.plot([got.lowest, got.highest], [place] * 2, "-", color=INK, lw=1.4, marker="|", markersize=6, zorder=5)
            old, new = (side["slot_ms"].median() for side in (step.before, step.after))
            _say(ax, max(0.0, got.highest), place, f"{old:.0f} → {new:.0f} ms")
            _name(ax, place, step.link, -0.115, 0, fontsize=10)
            if step.factor in factors:
                factors.remove(step.factor)
                _name(ax, place, _arrow(step), -0.4, 0, fontweight="bold")
            ends += [got.lowest, got.highest]
        low, wide = min(ends), max(ends) - min(ends) or 1.0
        _frame(ax, (low - 0.04 * wide, max(ends) + 0.22 * wide), (places[-1] + 0.6, -0.6))
        ax.axvline(0, color=INK, linewidth=1.0, zorder=4)
        ax.set_xlabel("milliseconds saved (to the right) or lost (to the left) per request", loc="left")
        key(fig, [SAVED, LOST, NOISE])
    return fig


def key(fig: Figure, looks: Sequence[Look]) -> None:
    """Name the looks in a line at the lower left."""
    patches = [
        Patch(facecolor=look.face, hatch=look.hatch, edgecolor=look.edge, linewidth=1.0, label=look.name)
        for look in looks
    ]
    fig.legend(
        handles=patches, loc="lower left", bbox_to_anchor=(10 / 72 / WIDTH_IN, 0.62 / fig.get_figheight()),
        ncols=len(looks), frameon=False, fontsize=9.5, handlelength=1.4, columnspacing=1.6, borderpad=0,
    )  # fmt: skip


def _bar(ax: Axes, place: float, one: float, other: float, look: Look) -> None:
    # The edge keeps a bar visible that is thinner than a pixel.
    ax.barh(
        place, abs(one - other), BAR, left=min(one, other), color=look.face, hatch=look.hatch, edgecolor=look.edge,
        linewidth=1.0, zorder=3,
    )  # fmt: skip


def _say(ax: Axes, at: float, place: float, said: str, **how: Any) -> None:
    ax.annotate(
        said, (at, place), xytext=(9, 0), textcoords="offset points", va="center", color=INK, fontsize=10, bbox=CLEAR,
        zorder=6, **how,
    )  # fmt: skip


def _name(ax: Axes, place: float, said: str, left: float, up: float, **how: Any) -> None:
    """Write words in the left margin; ``left``: where, as a part of the figure's width from the panel's edge."""
    ax.annotate(
        said, (0, place), xycoords=ax.get_yaxis_transform(), xytext=(left * WIDTH_IN * 72 + 16, up), va="center",
        textcoords="offset points", annotation_clip=False, **{"fontsize": 11, "color": INK, **how},
    )  # fmt: skip


def _frame(ax: Axes, across: tuple[float, float], down: tuple[float, float]) -> None:
    ax.set(xlim=across, ylim=down, yticks=[])
    ax.spines["left"].set_visible(False)
    ax.grid(visible=True, axis="x")
