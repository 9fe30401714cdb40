"""Faults in production go in, their picture comes out: response time over time, a row for each client.

A dot is a request at its intended start (hollow for a fair control); a cross at the top edge is one that was lost;
the spell is shaded.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from supalab.capacity.faults_result import FAULTS, Faults, Spell
from supalab.capacity.faults_table import recovery_words
from supalab.experiments.race import control_of
from supalab.load.shots import stayed
from supalab.report.format import duration
from supalab.report.plot import (
    CLEAR,
    INK,
    MUTED,
    WIDTH_IN,
    Picture,
    colour,
    describe_on,
    head,
    not_seen,
    row_label,
    styled,
)

__all__ = ["draw_spell", "recovery_picture"]

ROW_IN, HEAD_IN, FOOT_IN = 1.3, 1.5, 0.95
LOW_S, MARGIN, LOST = 0.1, 1.9, 1.25
TICKS = (0.1, 0.3, 1.0, 3.0, 10.0)
SHADE = "#e9ecef"


def recovery_picture(found: Faults, *, fig: Figure | None = None) -> Figure:
    """Draw every spell: a row for each client, a column for each fault, on shared scales.

    Draws on ``fig`` if one is given. A spell that did not run is said, not drawn.
    """
    arms, faults = found.arms, found.faults
    with styled():
        height = HEAD_IN + ROW_IN * max(len(arms), 1) + FOOT_IN
        fig = fig or Picture(figsize=(WIDTH_IN, height))
        if arms:
            _panels(fig, found, arms, faults, height)
        head(fig, _headline(found), _about(found))
        fig.text(16 / 72 / WIDTH_IN, 0.2 / height, _foot(), fontsize=9.5, color=MUTED)
    describe_on(fig, _described(found))
    return fig


def _panels(fig: Figure, found: Faults, arms: Sequence[str], faults: Sequence[str], height: float) -> None:
    grid = fig.add_gridspec(
        len(arms), len(faults), left=0.16, right=0.975, top=1 - HEAD_IN / height, bottom=FOOT_IN / height,
        hspace=0.3, wspace=0.1,
    )  # fmt: skip
    top = _top(found)
    for row, arm in enumerate(arms):
        for column, fault in enumerate(faults):
            ax = fig.add_subplot(grid[row, column])
            spell = found.find(arm, fault)
            if spell is None:
                not_seen(ax, "not run")
                continue
            draw_spell(ax, spell, top, hollow=control_of(arm, arms) is not None)
            ax.tick_params(labelbottom=row == len(arms) - 1, labelleft=column == 0)
            if row == 0:
                ax.set_title(FAULTS[fault], pad=8)
            if row == len(arms) - 1:
                ax.set_xlabel("seconds", loc="left")
            if column == 0:
                _name(ax, arm, arms)


def _name(ax: Axes, arm: str, arms: Sequence[str]) -> None:
    real = control_of(arm, arms)
    row_label(ax, arm, [f"fair control of {real}"] if real else [])


def _top(found: Faults) -> float:
    """Where lost requests are drawn: above the slowest answer."""
    answered = [shot.response_s for spell in found.spells for shot in spell.shots if shot.ok]
    return MARGIN * max([2 * found.timeout, *answered])


def draw_spell(ax: Axes, spell: Spell, top: float, *, hollow: bool = False) -> None:
    """Draw the requests of one spell; those that were lost are put just below ``top`` seconds."""
    shots = stayed(spell.shots)
    ax.axvspan(spell.begin, spell.end, color=SHADE, zorder=0)
    ax.axhline(spell.threshold_s, color=MUTED, linewidth=1.0, linestyle=(0, (2, 2)), zorder=1)
    good, bad = [s for s in shots if s.ok], [s for s in shots if not s.ok]
    ax.plot(
        [s.intended for s in good], [s.response_s for s in good], "o", markersize=3.6, color=colour(spell.arm),
        markerfacecolor="white" if hollow else colour(spell.arm), markeredgewidth=0.9, zorder=3,
    )  # fmt: skip
    ax.plot(
        [s.intended for s in bad],
        [top / LOST] * len(bad),
        "x",
        markersize=4.5,
        color=INK,
        markeredgewidth=0.9,
        zorder=3,
    )
    ax.set(yscale="log", ylim=(LOW_S, top), xlim=(0, max((s.intended for s in shots), default=1.0)))
    ticks = [tick for tick in TICKS if tick < top / 2]
    ax.set_yticks([*ticks, top / LOST], [*(f"{tick:g}" for tick in ticks), "lost"])
    ax.yaxis.set_minor_locator(NullLocator())
    if spell.recovery_s:
        ax.axvline(spell.end + spell.recovery_s, color=INK, linewidth=1.2, zorder=2)
    ax.annotate(
        _verdict(spell), (1, 0.62), xycoords="axes fraction", xytext=(-5, 0), textcoords="offset points", ha="right",
        va="center", fontsize=9.5, bbox=CLEAR, zorder=6,
    )  # fmt: skip


def _verdict(spell: Spell) -> str:
    if spell.recovery_s is None:
        watched = max((shot.intended for shot in spell.shots), default=spell.end) - spell.end
        return f"not well in {watched:.0f} s"
    return "well all the time" if _untouched(spell) else f"well again: {recovery_words(spell)}"


def _untouched(spell: Spell) -> bool:
    during = spell.p95_during
    return during is not None and during < spell.threshold_s and spell.recovery_s == 0


def _headline(found: Faults) -> str:
    unwell = [arm for arm in found.arms if any(s.recovery_s != 0 for s in found.spells if s.arm == arm)]
    if not found.spells:
        return "Faults in production, by the service's client"
    if not unwell:
        return "When a spell is over, every client's service is well at once"
    names = " and ".join([", ".join(unwell[:-1]), unwell[-1]] if unwell[1:] else unwell)
    return f"When a spell is over, {names} {'are' if unwell[1:] else 'is'} not well at once"


def _after(spell: Spell) -> str:
    words = recovery_words(spell)
    return words if words == "at once" else "later than was watched" if words == "not seen" else f"after {words}"


def _about(found: Faults) -> str:
    return (
        f"contest-agent over a backend of {duration(found.latency)}, {found.rate:g} requests a second at random; "
        f"a client's timeout is {found.timeout:g} s"
    )


def _foot() -> str:
    return (
        "Response time in seconds from the intended start. Shaded: the spell. x: lost. Dotted: twice the idle response "
        "time. Line: well again.\nCallers who hang up are not drawn: they are the load, and wait for nothing."
    )


def _described(found: Faults) -> str:
    said = [f"Response time over time, a row for each client, a column for each fault. {_headline(found)}."]
    for spell in found.spells:
        lost = sum(spell.lost.values())
        said.append(
            f"{spell.arm}, {FAULTS[spell.fault]} for {spell.end - spell.begin:.1f} s: well again {_after(spell)}, "
            f"{lost} of {len(stayed(spell.shots))} callers who stayed were lost, "
            f"{spell.for_nobody} answers of the backend reached nobody."
        )
    return " ".join(said)
