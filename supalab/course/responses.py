"""Draw services that were put under load: response times, and requests in flight at the lab."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.course.service import Served
from supalab.experiments.race import control_of
from supalab.report.format import count, duration
from supalab.report.plot import CLEAR, INK, MUTED, WIDTH_IN, Picture, colour, describe_on, head, pale, row_label, styled

__all__ = ["responses_chart"]

ROW_IN, HEAD_IN, FOOT_IN = 1.6, 1.45, 0.75
#: Above the slowest answer there is room for the lost ones, and above them for the row's note.
ROOM, LOST = 1.5, 0.76


def responses_chart(served: Sequence[Served], *, guesses: Mapping[str, float | None] | None = None) -> Figure:
    """Draw response time against the intended start, and requests in flight at the lab, a row for each service.

    ``guesses``: p95 of the response time that somebody expected, in seconds by arm, ``None`` for no guess.
    """
    arms, expected = [one.arm for one in served], {arm: s for arm, s in (guesses or {}).items() if s is not None}
    height = HEAD_IN + ROW_IN * len(served) + FOOT_IN
    with styled():
        fig = Picture(figsize=(WIDTH_IN, height))
        grid = fig.add_gridspec(
            len(served), 2, left=0.16, right=0.975, top=1 - HEAD_IN / height, bottom=FOOT_IN / height, hspace=0.3,
            wspace=0.12,
        )  # fmt: skip
        top = ROOM * max([_slowest(one) for one in served] + list(expected.values()))
        right = max(max(span.done for span in one.spans) for one in served)
        for row, one in enumerate(served):
            left, lab = fig.add_subplot(grid[row, 0]), fig.add_subplot(grid[row, 1])
            control = control_of(one.arm, arms)
            _responses(left, one, top, control is not None, expected.get(one.arm))
            _in_flight(lab, one, right, max(each.limit for each in served))
            row_label(left, one.arm, ["fair control", f"of {control}"] if control else [])
            for ax in (left, lab):
                ax.tick_params(labelbottom=row == len(served) - 1)
        _titles(fig, right)
        head(fig, _headline(served), _about(served))
    guessed = "".join(f" The guess for {arm} was {duration(second)}." for arm, second in expected.items())
    describe_on(fig, _described(served) + guessed)
    return fig


def _slowest(one: Served) -> float:
    return max((span.latency for span in one.spans if span.ok), default=1.0)


def _responses(ax: Axes, one: Served, top: float, hollow: bool, guess: float | None) -> None:
    good, bad = [span for span in one.spans if span.ok], [span for span in one.spans if not span.ok]
    ax.plot(
        [span.asked for span in good], [span.latency for span in good], "o", markersize=4.5, color=colour(one.arm),
        markerfacecolor="white" if hollow else colour(one.arm), clip_on=False, zorder=3,
    )  # fmt: skip
    ax.plot([span.asked for span in bad], [LOST * top] * len(bad), "x", markersize=5, color=INK, zorder=3)
    if guess is not None:
        ax.axhline(guess, color=INK, linestyle=(0, (4, 3)), linewidth=1.6, zorder=2)
        ax.annotate(
            "your guess", (1, guess), xycoords=("axes fraction", "data"), xytext=(-4, 3), textcoords="offset points",
            ha="right", va="bottom", fontsize=9.5, bbox=CLEAR, zorder=4,
        )  # fmt: skip
    lost = f", {one.lost} lost (x)" if bad else ""
    _note(ax, f"p95: {_p95(one)}{lost}")
    ax.set(xlim=(0, one.traffic.duration), ylim=(0, top))
    ax.grid(visible=True)


def _in_flight(ax: Axes, one: Served, right: float, most: int) -> None:
    changes = one.witness.timeline
    first = min((span.started or 0.0 for span in one.spans), default=0.0)
    times, numbers = [0.0, *(first + second for second, _ in changes)], [0, *(number for _, number in changes)]
    ax.fill_between(times, numbers, step="post", color=pale(one.arm))
    ax.step(times, numbers, where="post", color=colour(one.arm), linewidth=1.6)
    ax.axhline(one.limit, color=MUTED, linewidth=1.2, linestyle=(0, (2, 2)))
    ax.annotate(
        f"limit {one.limit}", (0, one.limit), xycoords=("axes fraction", "data"), xytext=(5, 3),
        textcoords="offset points", color=MUTED, fontsize=9.5,
    )  # fmt: skip
    ax.set(xlim=(0, right), ylim=(0, 1.3 * most), yticks=sorted({0, one.limit}))


def _note(ax: Axes, text: str) -> None:
    ax.annotate(
        text, (0, 1), xycoords="axes fraction", xytext=(6, -5), textcoords="offset points", va="top", bbox=CLEAR,
        fontsize=10.5, zorder=5,
    )  # fmt: skip


def _titles(fig: Figure, right: float) -> None:
    axes = fig.axes
    axes[0].set_title("Response time, seconds", pad=8)
    axes[1].set_title("In flight at the lab", pad=8)
    axes[-2].set_xlabel("intended start, seconds", loc="left")
    axes[-1].set_xlabel("seconds", loc="left")


def _headline(served: Sequence[Served]) -> str:
    return "p95: " + ", ".join(f"{one.arm} {_p95(one)}" for one in served)


def _p95(one: Served) -> str:
    return duration(one.p95_s if math.isfinite(one.p95_s) else None)


def _about(served: Sequence[Served]) -> str:
    first = served[0].traffic
    each = "each in turn, the same arrivals" if len(served) > 1 else "one service"
    return f"{first.rate:g} requests per second at random for {first.duration:g} s; a dot is a request; {each}"


def _described(served: Sequence[Served]) -> str:
    said = [f"Response time against when each request was asked, and requests in flight at the lab. {_about(served)}."]
    said += [
        f"{one.arm}: {count(len(one.spans), 'request')}, p95 {_p95(one)}, {one.lost} lost; "
        f"at most {one.witness.peak} in flight at the lab."
        for one in served
    ]
    return " ".join(said)
