"""The charts of the notebooks, for the measurements of a cell. Each chart has a text description.

The charts of an experiment come from its record: ``record.figure()``.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from supalab.course.heartbeat import EVERY_S, Heartbeat
from supalab.course.predict import Guess
from supalab.errors import SettingsError, TrialError
from supalab.experiments.explain_figure import LOST, NOISE, SAVED, legend_of, look_of
from supalab.experiments.race import control_of
from supalab.experiments.race_figure import guessed, side_by_side, timeline
from supalab.lab.witness import Witness
from supalab.measure.case import Trial
from supalab.measure.compare import Difference
from supalab.probe.figure import evidence
from supalab.report.format import count, duration
from supalab.report.plot import INK, MUTED, colour, dots, label, look, pale, panel_title, row_label, rule, sheet

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "cancellation", "chunks", "evidence", "lag", "responses", "rows_found", "savings", "side_by_side", "sockets",
    "timeline",
]  # fmt: skip

#: The space for the names at the left of the rows.
NAMED: Mapping[str, Any] = {"left": 0.16, "right": 0.975, "head_in": 1.1, "foot_in": 0.7}
GUESS: Mapping[str, Any] = {"color": INK, "linestyle": (0, (4, 3)), "linewidth": 1.6}


def _on_one_axis(axes: Sequence[Axes], right: float, label: str = "seconds") -> None:
    """Give rows one time axis, with its numbers below the last row."""
    for ax in axes:
        ax.set_xlim(0, right)
        ax.tick_params(labelbottom=ax is axes[-1])
        ax.grid(visible=True, axis="x")
    axes[-1].set_xlabel(label)


# Notebook 02: how late a ticker is.

TICKS_IN, CALLER_IN, GAP_IN, MOST_CALLERS = 0.42, 0.1, 0.42, 20
#: A silence of so many ticks is shaded, and gets a label if it takes this part of the chart's width.
SHADED, ROOM_FOR_WORDS = 5, 0.15


def lag(
    beats: Sequence[Heartbeat], *, guess: float | None = None, title: str = "Which client keeps the loop responsive?"
) -> Figure:
    """Draw a row for each run: its ticks as strokes, and below them a line for each caller, on one time axis.

    ``guess``: the expected lag of the first row, in seconds; drawn as a dashed bracket above the row.
    """
    if not beats:
        raise SettingsError("there is no heartbeat to draw: make one with `await heartbeat(…)`")
    said = [f"Ticks of an event loop during the work of {count(len(beats), 'client')}."]
    said += [
        f"{beat.name}: {count(len(beat.callers), 'caller')}, done after {duration(beat.took)}, "
        f"longest time that a tick came late {duration(beat.longest_lag)}."
        for beat in beats
    ]
    said += [f"The guess for {beats[0].name} was {duration(guess)}."] if guess is not None else []
    about = f"Each short vertical line is a tick; one is due every {duration(EVERY_S)}."
    about += " Each line below is a call, from its start to its end."
    tall = [TICKS_IN + CALLER_IN * min(len(beat.callers), MOST_CALLERS) for beat in beats]
    body, right = sum(tall) + GAP_IN * (len(beats) - 1), 1.01 * max(beat.ticks[-1] for beat in beats)
    shares: dict[str, Any] = {"height_ratios": tall, "hspace": GAP_IN * len(tall) / sum(tall)}
    with sheet(title, about, said, (len(beats), 1), body, **NAMED, **shares) as (fig, axes):
        for ax, beat, height in zip(axes, beats, tall, strict=True):
            _ticks(ax, beat, TICKS_IN / height, right)
        _on_one_axis(axes, right)
        if guess is not None:
            began = min(start for start, _ in beats[0].callers)
            axes[0].plot([began, began + guess], [1.03, 1.03], clip_on=False, **GUESS)
            label(axes[0], f"guess: {duration(guess)}", (began, 1.03), (1, 3), color=MUTED, annotation_clip=False)
    return fig


def _ticks(ax: Axes, beat: Heartbeat, ceiling: float, right: float) -> None:
    """Draw one row; ``ceiling`` is the part of its height that the ticks have."""
    ax.vlines(beat.ticks, 1 - 0.8 * ceiling, 1, color=INK, linewidth=1.1)
    lines = beat.callers[:MOST_CALLERS]
    heights = [(1 - ceiling) * (1 - (place + 0.5) / len(lines)) for place in range(len(lines))]
    starts, ends = zip(*lines, strict=True)
    ends = tuple(max(end, start + right / 400) for start, end in lines)
    ax.hlines(heights, starts, ends, color=colour(beat.name), linewidth=3.2)
    start, end = max(itertools.pairwise(beat.ticks), key=lambda pair: pair[1] - pair[0])
    if end - start > SHADED * EVERY_S:
        ax.axvspan(
            start, end, ymin=1 - 0.8 * ceiling, facecolor=pale("fake-3"), hatch="//", edgecolor="white", linewidth=0
        )
    if end - start > ROOM_FOR_WORDS * right:
        label(ax, f"no tick for {duration(end - start)}", ((start + end) / 2, 1 - 0.4 * ceiling), (0, 0))
    ax.set(ylim=(0, 1), yticks=[])
    row_label(ax, beat.name, [f"done after {duration(beat.took)}", f"lag up to {duration(beat.longest_lag)}"])


# Notebook 04: which rows a search finds.

#: The ids that came back, or the reason why none could.
Found = Collection[int] | str
ACROSS, WAYS = 50, ("glued into the address", "passed as data")


def rows_found(typed: Mapping[str, tuple[Found, Found]], ids: Sequence[int]) -> Figure:
    """Draw the table once for each text and each way: a square for each row, large and dark if it was found.

    ``typed``: for each text, what it found when it was glued into the address and when it was passed as data. ``ids``:
    the ids of all rows.
    """

    def said(found: Found) -> str:
        return found if isinstance(found, str) else f"{len(found)} of {len(ids)} rows"

    words = [f"{text!r}: {said(one)} {WAYS[0]}, {said(other)} {WAYS[1]}." for text, (one, other) in typed.items()]
    title, about = "What was typed, and which rows came back", "a square is a row of the table; dark: it was found"
    places = {**NAMED, "head_in": 1.45, "foot_in": 0.15, "hspace": 0.5}
    whole = [(text, way, found) for text, both in typed.items() for way, found in zip(WAYS, both, strict=True)]
    across, down = [place % ACROSS for place in range(len(ids))], [place // ACROSS for place in range(len(ids))]
    description = ["Rows found for what was typed.", *words]
    with sheet(title, about, description, (len(typed), 2), 1.12 * len(typed), **places) as (fig, axes):
        for ax, (text, way, found) in zip(axes, whole, strict=True):
            hits = [not isinstance(found, str) and one in found for one in ids]
            shades = [colour("real-1") if hit else "#d5dade" for hit in hits]
            ax.scatter(across, down, s=[26 if hit else 9 for hit in hits], c=shades, marker="s", linewidths=0)
            ax.set(xlim=(-1, ACROSS), ylim=(max(down) + 0.7, -0.7))
            ax.axis("off")
            label(ax, said(found), (0, -0.7), (4, 2), fontsize=10, color=MUTED)
            if way == WAYS[0]:
                row_label(ax, text, [])
        for ax, way in zip(axes, WAYS, strict=False):
            ax.set_title(way, pad=24)
    return fig


# Notebook 05: sockets that stay open, and callers who are cancelled.

ARROW: dict[str, Any] = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}


def sockets(ways: Mapping[str, Sequence[int]]) -> Figure:
    """Draw how many sockets are open after each client, a line for each way of closing (three at most)."""
    about = "after each client had done its one request, as the operating system counts them"
    said = [f"{way}: {each[-1]} open after {len(each)} clients, {max(each)} at most." for way, each in ways.items()]
    words = ["Sockets to the lab left open.", *said]
    with sheet("Sockets left open", about, words, (1, 1), 2.4, head_in=1.1, foot_in=0.8) as (fig, (ax,)):
        for (way, counts), kind in zip(ways.items(), ("fake", "article", "real"), strict=False):
            shade, marker, dash = look(kind)
            name = f"{way}: {counts[-1]} open"
            ax.plot(range(1, len(counts) + 1), counts, dash, marker=marker, color=shade, label=name, clip_on=False)
        ax.set(ylim=(0, 1.08 * max(1, *map(max, ways.values()))), xlabel="clients made so far, one after another")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(visible=True, axis="y")
        ax.legend(loc="upper left", framealpha=1.0, edgecolor="none")
    return fig


def cancellation(found: Mapping[str, tuple[float, float, Witness]]) -> Figure:
    """Draw for each arm the requests at the lab over time.

    ``found``, by arm: the second at which all callers were cancelled, the seconds that a new caller then waited for its
    rows, and the lab's witness.
    """
    right = 1.05 * max(max(at + waited, seen.timeline[-1][0]) for at, waited, seen in found.values())
    top = 1.9 * max(seen.peak for *_, seen in found.values())
    slots = {arm: max(seen.last_arrival_s - at, 0.0) for arm, (at, _, seen) in found.items()}  # waits for a slot
    title = "The callers are cancelled. Which requests continue?"
    about = "dashed: all callers are cancelled; arrow: a new caller, from its request to its rows"
    said = ["Requests at the lab over time."]
    said += [
        f"{arm}: all callers are cancelled after {duration(at)}; a new caller's request reaches the lab "
        f"{duration(slots[arm])} later and is answered {duration(waited)} after the cancellation; "
        f"the lab saw {seen.abandoned} clients disconnect."
        for arm, (at, waited, seen) in found.items()
    ]
    with sheet(title, about, said, (len(found), 1), 1.45 * len(found), hspace=0.35, **NAMED) as (fig, axes):
        for ax, (arm, (at, waited, seen)) in zip(axes, found.items(), strict=True):
            _in_flight(ax, arm, seen.timeline)
            ax.axvline(at, **GUESS)
            height = 1.42 * seen.peak  # above the steps, where nothing else is
            ax.annotate("", (at + waited, height), (at, height), arrowprops=ARROW)
            words = f"rows after {duration(waited)}; waiting for a slot: {duration(slots[arm])}"
            label(ax, words, (at + waited / 2, height), (0, 4))
            ax.set(ylim=(0, top), yticks=range(seen.peak + 1))
            row_label(ax, arm, ["requests at the lab"])
        _on_one_axis(axes, right, "seconds since the first request")
    return fig


def _in_flight(ax: Axes, arm: str, steps: Sequence[tuple[float, int]]) -> None:
    """Fill the number of requests that the lab had in flight over time."""
    times, numbers = zip(*steps, strict=True)
    ax.fill_between(times, numbers, step="post", color=pale(arm))
    ax.step(times, numbers, where="post", color=colour(arm), linewidth=1.8)


# Notebook 06: a response in chunks.


def chunks(read: Mapping[str, tuple[Sequence[float], float, str]], *, read_timeout: float) -> Figure:
    """Draw each response as a row of dots on one time axis, with ``read_timeout`` (seconds) as a measure.

    ``read``, by name: the second at which each chunk came, the second of the end, and ``answered`` or an error's name.
    """
    right = 1.16 * max(end for _, end, _ in read.values())
    title, about = "A read timeout limits the gap, not the whole", "each dot is one chunk of the response as it arrived"
    said = [f"Responses that arrive in chunks, with a read timeout of {duration(read_timeout)}."]
    for name, (arrived, end, outcome) in read.items():
        gap = max((after - before for before, after in itertools.pairwise([0.0, *arrived])), default=0.0)
        longest = f"{count(len(arrived), 'chunk')}, the longest gap {duration(gap)}"
        said.append(f"{name}: {longest}, {outcome} after {duration(end)}.")
    with sheet(title, about, said, (len(read), 1), 0.95 * len(read), hspace=0.25, **NAMED) as (fig, axes):
        for ax, (name, (arrived, end, outcome)) in zip(axes, read.items(), strict=True):
            ax.plot(arrived, [0.0] * len(arrived), "o", color=colour("real-1"), markersize=5.5, clip_on=False)
            ax.axvline(end, color=INK, linewidth=1.6, linestyle="-" if outcome == "answered" else "--")
            label(ax, f"{outcome}\nafter {duration(end)}", (end, 0), (8, 0))
            ax.set(ylim=(-1, 1), yticks=[])
            first, _, second = name.partition(", ")
            row_label(ax, first, [second] if second else [])
        axes[0].plot([0, read_timeout], [0.62, 0.62], "|-", color=MUTED, linewidth=1.4)
        label(axes[0], f"read timeout: {duration(read_timeout)}", (read_timeout, 0.62), color=MUTED)
        _on_one_axis(axes, right)
    return fig


# Notebook 08: what each change saved.

#: The column in which an arm is compared with itself: the difference is the noise.
NOTHING = "nothing"


def savings(saved: pd.DataFrame, *, guesses: Mapping[str, Guess] | None = None) -> Figure:
    """Draw the seconds that each change saved: a bar is the median of the rounds, a dot is one round.

    A change is above noise if all rounds have the same sign and the median is larger than every difference in the
    column ``nothing``, if there is one. ``guesses``: by column, in seconds or in % of all columns together.
    Raises TrialError for a table without rounds or changes.
    """
    if saved.empty:
        raise TrialError("there is nothing to draw: give a table with a row for each round, a column for each change")
    noise = float(saved[NOTHING].abs().max()) if NOTHING in saved else 0.0
    found = {
        str(change): Difference(float(each.median()), float(each.min()), float(each.max()), noise, len(each))
        for change, each in saved.items()
    }
    whole = float(saved.sum(axis="columns").median())
    given = {change: _seconds(guess, whole) for change, guess in (guesses or {}).items() if change in found}
    expected = {change: seconds for change, seconds in given.items() if seconds is not None}
    title, about = _title(found), f"Seconds saved: median of {count(len(saved), 'round')}; a dot is one round"
    said = [f"{name}: {_words(got, whole)} ({got.lowest:+.3f} to {got.highest:+.3f})." for name, got in found.items()]
    said += guessed(expected)
    foot = "Pale band: the noise, an arm against itself. " if noise else ""
    foot += "Dashed: your guess." if expected else ""
    places: dict[str, Any] = {"foot": foot, "head_in": 1.05, "foot_in": 1.35, "left": 0.13}
    with sheet(title, about, [f"{title}. {about}.", *said], (1, 1), 0.5 * len(found), **places) as (fig, (ax,)):
        for place, (change, got) in enumerate(found.items()):
            shade, end = look_of(got), max(got.highest, expected.get(change, 0.0), 0.0)
            ax.barh(place, got.median, 0.56, color=shade.face, hatch=shade.hatch, edgecolor=shade.edge, zorder=3)
            dots(ax, list(saved[change]), place)
            if change in expected:
                ax.plot([expected[change]] * 2, [place - 0.42, place + 0.42], zorder=6, **GUESS)
            label(ax, _words(got, whole), (end, place), (10, 0))
        ax.axvspan(-noise, noise, color="#e3e7eb", zorder=0.5)
        ax.axvline(0, color=INK, linewidth=1.0, zorder=4)
        ticks = {"yticks": range(len(found)), "yticklabels": list(found), "ylim": (len(found) - 0.45, -0.55)}
        low, high = ax.get_xlim()
        ax.set(xlim=(low, high + 0.4 * (high - low)), **ticks)  # room for the words
        ax.set_xlabel("seconds saved (to the right) or lost (to the left)", loc="left")
        legend_of(fig, [SAVED, LOST, NOISE])
    return fig


def _seconds(guess: Guess, whole: float) -> float | None:
    """Return a guess in seconds; a percentage of a total that saved nothing gives no number."""
    if guess.value is None or not guess.unit.startswith("%"):
        return guess.value
    return guess.value / 100 * whole if whole > 0 else None


def _words(got: Difference, whole: float) -> str:
    if not got.above_noise:
        return f"{got.median:+.3f} s, {NOISE.name}"
    part = f", {abs(got.median) / whole:.0%} of the whole" if whole > 0 else ""
    return f"{got.median:+.3f} s, {look_of(got).name}{part}"


def _title(found: Mapping[str, Difference]) -> str:
    clear = {change: got for change, got in found.items() if got.above_noise and change != NOTHING}
    saved = max(clear, key=lambda change: clear[change].median, default="")
    if not saved:
        return "No change can be distinguished from noise"
    if clear[saved].median > 0:
        return f"“{saved}” saved the most: {clear[saved].median:.3f} s"
    return "Nothing saved time; " + ", ".join(f"“{change}” lost {-got.median:.3f} s" for change, got in clear.items())


# Notebook 10: a service under load.

#: Above the slowest response there is room for the lost requests, and above them for the row's note.
ROOM, LOST_AT = 1.5, 0.76


def responses(services: Sequence[Trial], *, guesses: Mapping[str, float | None] | None = None) -> Figure:
    """Draw response time against the intended start, and requests in flight at the lab, a row for each service.

    ``guesses``: the p95 that the learner expected, in seconds by arm; ``None`` for no guess.
    """
    arms, expected = [one.arm for one in services], {arm: s for arm, s in (guesses or {}).items() if s is not None}
    slowest = [span.latency for one in services for span in one.answered]
    top = ROOM * max([*slowest, *expected.values()], default=1.0)
    right = max(span.done for one in services for span in one.spans)
    traffic = services[0].case.options["traffic"]
    each = "one after another, the same arrivals" if len(services) > 1 else "one service"
    about = f"{traffic['rate']:g} requests per second at random for {traffic['duration']:g} s; "
    about += f"a dot is a request; {each}"
    title = "p95: " + ", ".join(f"{one.arm} {duration(one['response_p95_s'])}" for one in services)
    said = [f"Response time against each request's intended start, and requests in flight at the lab. {about}."]
    said += [
        f"{one.arm}: {count(len(one.spans), 'request')}, p95 {duration(one['response_p95_s'])}, {one.errors} lost; "
        f"at most {one['peak']} in flight at the lab."
        for one in services
    ]
    said += guessed(expected)
    places = {**NAMED, "head_in": 1.45, "hspace": 0.3, "wspace": 0.12}
    with sheet(title, about, said, (len(services), 2), 1.6 * len(services), **places) as (fig, axes):
        left, at_lab = axes[::2], axes[1::2]
        for ax, lab, one in zip(left, at_lab, services, strict=True):
            control = control_of(one.arm, arms)
            _answers(ax, one, top, control is not None, expected.get(one.arm))
            row_label(ax, one.arm, ["fair control", f"of {control}"] if control else [])
            began = min((span.started or 0.0 for span in one.spans), default=0.0)
            _in_flight(lab, one.arm, [(0.0, 0), *((began + second, n) for second, n in one.timeline)])
            rule(lab, one.limit, f"limit {one.limit}")
            lab.set(ylim=(0, 1.3 * max(each.limit for each in services)), yticks=sorted({0, one.limit}))
        _on_one_axis(left, traffic["duration"], "intended start, seconds")
        _on_one_axis(at_lab, right)
        panel_title(left[0], "Response time", "seconds")
        panel_title(at_lab[0], "In flight at the lab", "requests")
    return fig


def _answers(ax: Axes, one: Trial, top: float, hollow: bool, guess: float | None) -> None:
    """Draw a dot for each response and a cross for each lost request."""
    lost = [span for span in one.spans if not span.ok]
    how: dict[str, Any] = {"color": colour(one.arm), "markerfacecolor": "white" if hollow else colour(one.arm)}
    asked, took = [span.asked for span in one.answered], [span.latency for span in one.answered]
    ax.plot(asked, took, "o", markersize=4.5, clip_on=False, zorder=3, **how)
    ax.plot([span.asked for span in lost], [LOST_AT * top] * len(lost), "x", markersize=5, color=INK, zorder=3)
    if guess is not None:
        ax.axhline(guess, zorder=2, **GUESS)
        label(ax, "your guess", (one.case.options["traffic"]["duration"], guess), (-4, 3), zorder=4)
    note = f"p95: {duration(one['response_p95_s'])}" + (f", {one.errors} lost (x)" if lost else "")
    label(ax, note, (0, top), (6, -5), zorder=5)
    ax.set(ylim=(0, top))
