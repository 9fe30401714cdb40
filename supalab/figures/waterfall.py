"""An explanation goes in, its waterfall comes out: from the article's "before" down to ours, a bar for each factor.

A row for each factor, on two shared scales: the seconds that it earned, hung below the row before, and the CPU of a
request before and after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from supalab.measure.explain.chain import ARTICLE_FACTORS
from supalab.measure.explain.result import Earned, Explanation, Side, Step
from supalab.measure.explain.words import about, cpu_line, failures, headline, sums
from supalab.report.plot import CLEAR, INK, MUTED, WIDTH_IN, Picture, colour, describe_on, head, styled

__all__ = ["EARNED", "LOST", "UNTOLD", "Look", "draw_cpu", "draw_waterfall", "key", "look_of", "waterfall"]

ROW_IN, HEAD_IN, FOOT_IN = 0.46, 1.35, 1.45
BAR, KEY_IN = 0.6, 0.62
#: A remainder is drawn if it is more than this part of the whole.
SHOWN = 0.01


@dataclass(frozen=True, slots=True)
class Look:
    """How a change is drawn and what it is called: lightness and hatch tell as much as the hue."""

    name: str
    face: str
    hatch: str
    edge: str


EARNED = Look("earned", "#2a9d8f", "", "#1d6f65")
LOST = Look("lost", "#e3b3c6", "////", "#b3446c")
UNTOLD = Look("not to be told from noise", "#dfe3e7", "....", "#7d8790")
LEFT = Look("not explained by the factors", "white", "xxxx", INK)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a level (``side``) that was measured at once, a factor (``step``), or what the factors leave."""

    name: str
    about: str
    top: float
    bottom: float
    side: Side | None = None
    step: Step | None = None


def waterfall(found: Explanation, *, fig: Figure | None = None) -> Figure:
    """Draw what each factor earned, in seconds and in CPU of a request; draws on ``fig`` if one is given.

    The article's "before" and "after" and ours are levels measured at once; if the factors between them do not add up
    to the difference, to within one per cent of the whole, the remainder has a row of its own.
    """
    rows = _rows(found)
    with styled():
        fig = fig or Picture(figsize=(WIDTH_IN, HEAD_IN + ROW_IN * len(rows) + FOOT_IN))
        height = fig.get_figheight()
        grid = fig.add_gridspec(
            1, 2, width_ratios=(2.1, 1), left=0.255, right=0.985, wspace=0.1,
            top=1 - HEAD_IN / height, bottom=FOOT_IN / height,
        )  # fmt: skip
        left, right = fig.add_subplot(grid[0, 0]), fig.add_subplot(grid[0, 1])
        draw_waterfall(left, found)
        draw_cpu(right, found)
        _names(left, rows)
        head(fig, _title(found), about(found))
        key(fig, [EARNED, LOST, UNTOLD, *([LEFT] if any(_is_left(row) for row in rows) else [])])
        fig.text(16 / 72 / WIDTH_IN, 0.2 / height, _foot(found), fontsize=9.5, color=MUTED)
    describe_on(fig, _described(found))
    return fig


def draw_waterfall(ax: Axes, found: Explanation) -> None:
    """Draw the seconds: levels from zero, factors between the levels they lead from and to, spread as a whisker."""
    rows = _rows(found)
    for place, row in enumerate(rows):
        if row.side is not None:
            ax.barh(place, row.top, BAR, color=colour(row.side.arm))
            _say(ax, row.top, place, f"{row.top:.2f} s", "bold")
        else:
            got = found.seconds(row.step) if row.step else None
            _bar(ax, place, row.top, row.bottom, look_of(got) if got else LEFT)
            ends = [row.top - got.lowest, row.top - got.highest] if got else []
            ax.plot(ends, [place] * len(ends), "-", color=INK, linewidth=1.4, marker="|", markersize=6, zorder=5)
            _say(ax, max(row.top, row.bottom, *ends), place, _change(row.bottom - row.top, found), "normal")
        if place + 1 < len(rows):
            ax.plot([row.bottom] * 2, [place + BAR / 2, place + 1 - BAR / 2], color=MUTED, linewidth=0.8, zorder=1)
    _frame(ax, len(rows), max(max(row.top, row.bottom) for row in rows) * 1.16)
    ax.set_title("Seconds for the whole burst", pad=12)
    ax.set_xlabel("seconds")


def draw_cpu(ax: Axes, found: Explanation) -> None:
    """Draw the CPU of a request: a bar for a level, and for a factor what it made of the cost before it."""
    rows = _rows(found)
    most = max(side.cpu for row in rows for side in _sides(row))
    for place, row in enumerate(rows):
        if row.side is not None:
            ax.barh(place, row.side.cpu, BAR, color=colour(row.side.arm))
            _say(ax, row.side.cpu, place, f"{row.side.cpu:.2f} ms", "bold")
        elif row.step is not None:
            before, after = row.step.before.cpu, row.step.after.cpu
            _bar(ax, place, before, after, look_of(found.cpu_ms(row.step)))
            _say(ax, max(before, after), place, f"{before:.2f} → {after:.2f}", "normal")
    # Room for the words of the longest bar.
    _frame(ax, len(rows), most * 1.65)
    ax.set_title("CPU of one request", pad=12)
    ax.set_xlabel("milliseconds")


def _change(seconds: float, found: Explanation) -> str:
    """Write seconds with a sign, and a third decimal where the whole is short."""
    digits = 2 if abs(found.earned_s) >= 2 else 3
    return f"{seconds:+.{digits}f} s".replace("-", "\N{MINUS SIGN}")


def look_of(got: Earned) -> Look:
    """Return how something earned is drawn: by its sign, or as noise."""
    if not got.told:
        return UNTOLD
    return EARNED if got.middle > 0 else LOST


def key(fig: Figure, looks: Sequence[Look]) -> None:
    """Name the looks in a line at the lower left."""
    patches = [
        Patch(facecolor=look.face, hatch=look.hatch, edgecolor=look.edge, linewidth=1.0, label=look.name)
        for look in looks
    ]
    corner = (10 / 72 / WIDTH_IN, KEY_IN / fig.get_figheight())
    fig.legend(
        handles=patches, loc="lower left", bbox_to_anchor=corner, ncols=len(looks),
        frameon=False, fontsize=9.5, handlelength=1.4, columnspacing=1.6, borderpad=0,
    )  # fmt: skip


def _rows(found: Explanation) -> list[Row]:
    whole = found.whole
    rows = [Row("before", whole.before.arm, whole.before.seconds, whole.before.seconds, side=whole.before)]
    _add(rows, found, found.steps[:ARTICLE_FACTORS], "the article's after", whole.article)
    _add(rows, found, found.steps[ARTICLE_FACTORS:], "ours", whole.ours)
    return rows


def _add(rows: list[Row], found: Explanation, steps: Sequence[Step], name: str, end: Side) -> None:
    """Add factors below the last level, and then the next level, which was measured for itself."""
    level = rows[-1].bottom
    for step in steps:
        lower = level - found.seconds(step).middle
        failed = max(step.before.errors, step.after.errors)
        arms = f"{step.before.arm} → {step.after.arm}" + f", {failed} failed" * (failed > 0)
        rows.append(Row(step.change.replace(", then ", " → "), arms, level, lower, step=step))
        level = lower
    if abs(level - end.seconds) > SHOWN * abs(found.earned_s):
        rows.append(Row("remainder", "not explained by the factors", level, end.seconds))
    rows.append(Row(name, end.arm, end.seconds, end.seconds, side=end))


def _is_left(row: Row) -> bool:
    return row.side is None and row.step is None


def _sides(row: Row) -> list[Side]:
    if row.step is not None:
        return [row.step.before, row.step.after]
    return [] if row.side is None else [row.side]


def _bar(ax: Axes, place: int, one: float, other: float, look: Look) -> None:
    # The edge keeps a bar visible that is thinner than a pixel.
    ax.barh(
        place, abs(one - other), BAR, left=min(one, other), color=look.face, hatch=look.hatch, edgecolor=look.edge,
        linewidth=1.0, zorder=3,
    )  # fmt: skip


def _say(ax: Axes, at: float, place: int, said: str, weight: str) -> None:
    ax.annotate(
        said, (at, place), xytext=(9, 0), textcoords="offset points", va="center", color=INK, fontsize=10,
        fontweight=weight, bbox=CLEAR, zorder=6,
    )  # fmt: skip


def _frame(ax: Axes, rows: int, right: float) -> None:
    ax.set(xlim=(0, right), ylim=(rows - 0.4, -0.6))
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.grid(visible=True, axis="x")


def _names(ax: Axes, rows: Sequence[Row]) -> None:
    """Write what a row is at the left edge of the picture, and its arms in small print below."""
    left = -0.255 * WIDTH_IN * 72 + 16
    for place, row in enumerate(rows):
        weight = "bold" if row.side is not None else "normal"
        for text, shift, size, shade in ((row.name, 6, 11, INK), (row.about, -7.5, 8.5, MUTED)):
            ax.annotate(
                text, (0, place), xycoords=ax.get_yaxis_transform(), xytext=(left, shift), va="center",
                textcoords="offset points", fontsize=size, color=shade, annotation_clip=False,
                fontweight=weight if size > 10 else "normal",
            )  # fmt: skip


def _title(found: Explanation) -> str:
    return headline(found).replace(" s to ", " s → ")


def _foot(found: Explanation) -> str:
    spread = "Bars: medians; the line at a bar's end: from the lowest to the highest round. "
    left, whole = found.remainder_s, found.earned_s
    part = f", {abs(left) / whole:.1%} of the whole" if whole > 0 else ""
    return (
        f"{spread if found.rounds > 1 else ''}What starts at zero was measured at once.\n"
        f"All factors together leave {left:.3f} s unexplained{part}."
    )


def _described(found: Explanation) -> str:
    said = [f"Waterfall: what each factor of the step earned. {headline(found)}.", f"{about(found)}."]
    said += [_factor(step, found) for step in found.steps]
    return " ".join([*said, *sums(found), cpu_line(found), *failures(found)])


def _factor(step: Step, found: Explanation) -> str:
    got = found.seconds(step)
    verdict = look_of(got).name
    spread = f" ({got.lowest:+.3f} to {got.highest:+.3f})" if found.rounds > 1 else ""
    cpu = f"CPU of a request {step.before.cpu:.2f} to {step.after.cpu:.2f} ms"
    return f"{step.change}: {got.middle:+.3f} s{spread}, {verdict}; {cpu}, {look_of(found.cpu_ms(step)).name}."
