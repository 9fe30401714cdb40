"""The figures of an explanation: what each factor saved, and how the link changes it.

The look of a bar says saved, lost or within noise; words and the spread of the rounds are at its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.errors import TrialError
from supalab.experiments import explain
from supalab.experiments.explain import Explained, Step, about, effect, explained, link_headline, link_notes
from supalab.measure.compare import Difference, compare
from supalab.measure.record import Record
from supalab.report.plot import INK, MARGIN_IN, MUTED, WIDTH_IN, colour, label, legend, sheet

#: The height of a bar as a part of the space for it.
BAR = 0.6
#: The panels' left edge in the waterfall, and the part of the whole from which a remainder is drawn.
LEFT_IN, SHOWN = 0.255, 0.01


class Look(NamedTuple):
    """How a kind of change is drawn and what it is called; lightness and hatch say as much as the colour."""

    name: str
    face: str
    hatch: str
    edge: str


SAVED = Look("saved", "#2a9d8f", "", "#1d6f65")
LOST = Look("lost", "#e3b3c6", "////", "#b3446c")
NOISE = Look(explain.NOISE, "#dfe3e7", "....", "#7d8790")
LEFT = Look("not explained by the factors", "white", "xxxx", INK)


class Bar(NamedTuple):
    """A bar with words at its end, in the colour of a level or the look of a change; ``spread``: over the rounds."""

    start: float
    end: float
    said: str
    look: Look | str
    spread: Sequence[float] = ()

    @property
    def most(self) -> float:
        """Return where the words begin."""
        return max(self.start, self.end, *self.spread)


class Row(NamedTuple):
    """A row of the waterfall: its name, small words below it, its seconds, and its CPU time if that is known."""

    name: str
    small: str
    seconds: Bar
    cpu: Bar | None = None


def look_of(got: Difference) -> Look:
    """Return how a difference is drawn: by its sign, or as noise."""
    if not got.above_noise:
        return NOISE
    return SAVED if got.median > 0 else LOST


def legend_of(fig: Figure, looks: Iterable[Look]) -> None:
    """Explain the looks in a line at the lower left."""
    legend(fig, looks, line=1.0, bbox_to_anchor=(10 / 72 / WIDTH_IN, 0.62 / fig.get_figheight()))


def bars(ax: Axes, drawn: Mapping[Any, Bar], unit: str, across: tuple[float, float]) -> None:
    """Draw bars at their places from top to bottom."""
    for place, bar in drawn.items():
        how: dict[str, Any] = {"color": bar.look}
        if isinstance(bar.look, Look):  # the edge keeps a bar visible that is thinner than a pixel
            how = {"color": bar.look.face, "hatch": bar.look.hatch, "edgecolor": bar.look.edge, "linewidth": 1.0}
        ax.barh(place, abs(bar.end - bar.start), BAR, left=min(bar.start, bar.end), zorder=3, **how)
        ax.plot(bar.spread, [place] * len(bar.spread), color=INK, linewidth=1.4, marker="|", markersize=6, zorder=5)
        weight = "bold" if isinstance(bar.look, str) else "normal"
        label(ax, bar.said, (bar.most, place), (9, 0), color=INK, fontsize=10, fontweight=weight, zorder=6)
    ax.set(xlim=across, ylim=(max(drawn) + 0.6, -0.6), yticks=[])
    ax.set_xlabel(unit, loc="left")
    ax.spines["left"].set_visible(False)
    ax.grid(visible=True, axis="x")


def margin(ax: Axes, place: float, said: str, left: float, up: float = 0, **how: Any) -> None:
    """Write words in the left margin; ``left``: where, as a part of the figure's width from the panel's edge."""
    at: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "va": "center"}
    by = (72 * (left * WIDTH_IN + MARGIN_IN), up)
    ax.annotate(said, (0, place), xytext=by, annotation_clip=False, **{"fontsize": 11, "color": INK, **at, **how})


def waterfall(record: Record, *, fig: Figure | None = None) -> Figure:
    """Draw what each factor saved, in seconds and in CPU time per request; draws on ``fig`` if one is given.

    The article's "before" and "after" and our client are levels that were measured directly; if the factors between
    them do not add up to the difference within one per cent of the whole, the remainder has its own row.
    """
    seen, said = explained(record), explain.headline(record)
    rows = dict(enumerate(_rows(seen)))
    words = [f"Waterfall: what each change saves. {said}.", f"{about(seen.ours)}.", *explain.notes(record)]
    with sheet(
        said.replace(" s to ", " s → "), about(seen.ours), [line.removeprefix("- ") for line in words if line], (1, 2),
        0.46 * len(rows), foot=_foot(seen), fig=fig, head_in=1.35, foot_in=1.45, left=LEFT_IN, wspace=0.1,
        width_ratios=(2.1, 1),
    ) as (fig, (time, work)):  # fmt: skip
        seconds = {place: row.seconds for place, row in rows.items()}
        cpu = {place: row.cpu for place, row in rows.items() if row.cpu}
        bars(time, seconds, "seconds", (0, 1.22 * max(max(bar.start, bar.end) for bar in seconds.values())))
        bars(work, cpu, "milliseconds", (0, 1.65 * max(bar.most for bar in cpu.values())))
        time.set_title("Seconds for the whole burst", pad=12)
        work.set_title("CPU time per request", pad=12)
        for place, (name, small, bar, _) in rows.items():
            margin(time, place, name, -LEFT_IN, 6, fontweight="bold" if isinstance(bar.look, str) else "normal")
            margin(time, place, small, -LEFT_IN, -7.5, fontsize=8.5, color=MUTED)
            if place + 1 in rows:
                gap = [place + BAR / 2, place + 1 - BAR / 2]
                time.plot([bar.end] * 2, gap, color=MUTED, linewidth=0.8, zorder=1)
        used = [bar.look for bar in seconds.values()]
        legend_of(fig, [look for look in (SAVED, LOST, NOISE, LEFT) if look is not LEFT or LEFT in used])
    return fig


def _rows(seen: Explained) -> list[Row]:
    """Yield the rows: levels, measured directly, start at zero; each factor leads from one level to the next."""
    whole = abs(seen.ours.saved.median)
    form = "{:.2f} s" if whole >= 2 else "{:.3f} s"
    rows, level = [_level("before", seen.ours, 0)], seen.ours.ends()[0]
    for steps, way in seen.sections:
        for step in steps:
            rows.append(_factor(step, level, form))
            level -= step.saved.median
        left, end = compare([level], [way.ends()[1]]), way.ends()[1]
        if abs(left.median) > SHOWN * whole:
            rows.append(Row("remainder", LEFT.name, Bar(level, end, effect(left, form), LEFT)))
        rows.append(_level(way.factor.brief, way, 1))
        level = end
    return rows


def _factor(step: Step, level: float, form: str) -> Row:
    got, (old, new) = step.saved, step.ends("cpu_ms")
    failed = max(step.before["errors"].max(), step.after["errors"].max())
    arms = f"{step.factor.before} → {step.factor.after}" + (f", {failed} failed" if failed else "")
    spread = (level - got.lowest, level - got.highest)
    seconds = Bar(level, level - got.median, effect(got, form), look_of(got), spread)
    return Row(_arrow(step), arms, seconds, Bar(old, new, f"{old:.2f} → {new:.2f}", look_of(step.cpu)))


def _level(name: str, way: Step, end: int) -> Row:
    """Return the row of a level: the first or the last arm of a step."""
    arm, seconds, cpu = (way.factor.before, way.factor.after)[end], way.ends()[end], way.ends("cpu_ms")[end]
    time = Bar(0, seconds, f"{seconds:.2f} s", colour(arm))
    return Row(name, arm, time, Bar(0, cpu, f"{cpu:.2f} ms", colour(arm)))


def _arrow(step: Step) -> str:
    return step.factor.change.replace(", then ", " → ")


def _foot(seen: Explained) -> str:
    left = seen.left(seen.ours)
    share = seen.share(abs(left))
    part = "" if share is None else f", {share:.1%} of the whole"
    return (
        "Bars: medians; the line at a bar's end: from the lowest to the highest round. Bars that start at zero are "
        f"end-to-end measurements.\nAll factors together leave {left:.3f} s unexplained{part}."
    )


def by_link(record: Record, *, fig: Figure | None = None) -> Figure:
    """Draw how much shorter a request holds its slot, for each factor and link; draws on ``fig`` if one is given.

    Raises TrialError if no links were measured.
    """
    seen = explained(record)
    if not seen.links:
        raise TrialError("this explanation has no links: measure it with links=True")
    factors = list(dict.fromkeys(step.factor for step in seen.links))
    places = {row + 0.55 * factors.index(step.factor): step for row, step in enumerate(seen.links)}
    said, asked = link_headline(seen), about(seen.links[0])
    foot = "Numbers: service time before → after, medians of the rounds. It runs from the slot to the response."
    with sheet(
        said, asked, [f"{said}, {asked}.", *link_notes(seen)], (1, 1), 0.36 * (max(places) + 1), foot=foot, fig=fig,
        head_in=1.1, foot_in=1.3, left=0.4, right=0.975,
    ) as (fig, (ax,)):  # fmt: skip
        drawn = {place: _slot(step) for place, step in places.items()}
        low, most = min(0.0, *(min(bar.spread) for bar in drawn.values())), max(bar.most for bar in drawn.values())
        wide = most - low or 1.0
        unit = "milliseconds saved (to the right) or lost (to the left) per request"
        bars(ax, drawn, unit, (low - 0.04 * wide, most + 0.22 * wide))
        for place, step in places.items():
            margin(ax, place, step.link, -0.115, fontsize=10)
            if step.factor in factors:  # its first row
                factors.remove(step.factor)
                margin(ax, place, _arrow(step), -0.4, fontweight="bold")
        ax.axvline(0, color=INK, linewidth=1.0, zorder=4)
        legend_of(fig, [SAVED, LOST, NOISE])
    return fig


def _slot(step: Step) -> Bar:
    said = "{:.0f} → {:.0f} ms".format(*step.ends("slot_ms"))
    return Bar(0.0, step.saved.median, said, look_of(step.saved), (step.saved.lowest, step.saved.highest))
