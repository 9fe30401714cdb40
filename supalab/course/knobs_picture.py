"""Pictures that follow a knob, and their static twins: settings go in, drawings with their descriptions come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from supalab.course import knobs_words as words
from supalab.course.knobs_schedule import MOST, Computed, Setting, compute, makespan
from supalab.course.knobs_svg import (
    FILLS,
    WIDTH,
    Bar,
    Box,
    Drawn,
    Line,
    chart,
    lanes,
    marked,
    sheet,
    text,
    time_axis,
    waiting,
)
from supalab.figures.lanes import in_lanes
from supalab.measure.trial import Trial
from supalab.report.format import duration
from supalab.report.plot import INK, colour

__all__ = ["beside_measured", "burst_picture", "burst_twin", "link_picture", "link_twin"]

LEFT, TOP, WIDE, HIGH, QUEUE, FOOT = 92.0, 66.0, 500.0, 160.0, 54.0, 34.0
ROOM = 1.02
KEY = (("server", "at the server"), ("trip", "its round trip"), ("tcp", "TCP set-up"), ("tls", "TLS set-up"))


def bars(computed: Computed) -> list[Bar]:
    """Return the parts of every request: dialling (TCP, TLS), its round trip, its time at the server."""
    one, found = computed.setting, list[Bar]()
    for turn in computed.turns:
        at = turn.span.started or 0.0
        trips = [("tcp", one.rtt), *([("tls", one.rtt)] if one.tls else [])] if turn.set_up else []
        for fill, seconds in [*trips, ("trip", one.rtt), ("server", one.latency)]:
            if seconds:
                found.append(Bar(turn.lane, at, at + seconds, fill))
            at += seconds
    return found


def burst_picture(now: Setting, start: Setting, *, most: int, latencies: tuple[float, float]) -> Drawn:
    """Draw a burst, its queue, and the makespan at every limit up to ``most``; dashed: the setting it started from.

    ``latencies`` (seconds): the least and the most that the knob can say, so that the scale stays.
    """
    parts = [*_timeline(now, max(makespan(start), makespan(now)), words.burst_title(now), words.BURST)]
    if now != start:
        place = Box(LEFT, TOP, WIDE, HIGH + QUEUE + 16, max(makespan(start), makespan(now)) * ROOM)
        parts += marked(place, makespan(start), f"at the start: {duration(makespan(start))}", dashed=True, y=252)
    low, high = latencies[0], latencies[1] * now.requests
    ticks = [(low, ""), *((t, duration(t)) for t in (0.01, 0.1, 1.0, 10.0, 100.0) if low < t < high), (high, "")]
    lines = [Line(_staircase(start, most), dashed=True)] * (start.latency != now.latency)
    place = Box(676, TOP + 34, 190, HIGH + QUEUE - 18, most + 1)
    parts += [
        text(640, TOP + 6, "makespan", bold=True, ink=INK),
        text(640, TOP + 21, "at every limit, log scale", size=11),
    ]
    parts += chart(
        place, [*lines, Line(_staircase(now, most))], (now.limit, makespan(now)), logarithmic=True,
        x_ticks=[(one, str(one)) for one in (1, now.requests // 2, now.requests, most)], y_ticks=ticks,
    )  # fmt: skip
    said = f"The staircase beside it: {_steps(now)}"
    return Drawn(_sheet(parts), f"Timeline, {words.BURST}. {words.burst_line(compute(now))} {said}")


def _staircase(one: Setting, most: int) -> tuple[tuple[float, float], ...]:
    heights = [(limit, makespan(replace(one, limit=limit))) for limit in range(1, most + 1)]
    return tuple(point for limit, high in heights for point in ((float(limit), high), (limit + 1.0, high)))


def _steps(one: Setting) -> str:
    """The end of the staircase in words: what the last limits before all at once have in common."""
    n, half = one.requests, -(-one.requests // 2)
    if n < 3:
        return f"from a limit of {n} on, the makespan stays the same."
    two, single = makespan(replace(one, limit=half)), makespan(replace(one, limit=n))
    return (
        f"limits from {half} to {n - 1} take {duration(two)} alike, {n} takes {duration(single)}, "
        "and more change nothing."
    )


def link_picture(now: Setting, start: Setting, *, most: float) -> Drawn:
    """Draw a burst with what it dials, and the makespan at every round trip up to ``most`` seconds.

    Dashed: the same burst with the other manner of connections. ``start``: whose time axis is kept where it suffices.
    """
    rival = words.other(now)
    until = max(makespan(one) for one in (now, rival, start, words.other(start)))
    parts = [*_timeline(now, until, words.link_title(now), words.LINK), *_key(412, 48)]
    place = Box(LEFT, TOP, WIDE, HIGH + QUEUE + 16, until * ROOM)
    if abs(makespan(rival) - makespan(now)) > 1e-9:
        note = f"{words.connections(rival)}: {duration(makespan(rival))}"
        parts += marked(place, makespan(rival), note, dashed=True, y=252)
    high = makespan(replace(now, kept=False, tls=True, rtt=most))
    lines = [
        Line(
            tuple((rtt, makespan(replace(one, rtt=rtt))) for rtt in (0.0, most)),
            one is rival, _name(one, rounds=now.rounds),
        )
        for one in (rival, now)
    ]  # fmt: skip
    parts += [text(640, TOP + 6, "makespan", bold=True, ink=INK), text(640, TOP + 21, "at every round trip", size=11)]
    parts += chart(
        Box(676, TOP + 34, 190, HIGH + QUEUE - 18, most), lines, (now.rtt, makespan(now)),
        x_ticks=[(0, "0"), (most / 2, duration(most / 2)), (most, duration(most))],
        y_ticks=[(0, "0"), (high / 2, duration(high / 2)), (high, duration(high))],
    )  # fmt: skip
    return Drawn(_sheet(parts), f"Timeline, {words.LINK}. {words.link_line(compute(now))}")


def _name(one: Setting, *, rounds: int) -> str:
    if rounds == 1:  # the two lines lie on each other
        return "either way" if one.kept else ""
    return "kept" if one.kept else "dialled anew"


def _timeline(now: Setting, until: float, title: str, about: str) -> list[str]:
    """A burst's lanes, and below them how many requests still wait, under a title."""
    computed = compute(now)
    above, below = (
        Box(LEFT, TOP, WIDE, HIGH, until * ROOM),
        Box(LEFT, TOP + HIGH + 16, WIDE, QUEUE, until * ROOM),
    )
    whole = Box(LEFT, TOP, WIDE, HIGH + QUEUE + 16, until * ROOM)
    parts = [text(16, 26, title, size=15, bold=True, ink=INK), text(16, 46, about)]
    parts += [*time_axis(whole), *lanes(above, bars(computed), now.limit)]
    parts += waiting(below, [turn.span.started or 0.0 for turn in computed.turns])
    parts += marked(whole, computed.makespan_s, "")
    parts += [text(16, TOP + 12, "the slots", bold=True, ink=INK), text(16, TOP + 27, f"{now.limit}", size=11)]
    return [*parts, text(16, below.top + 32, "the queue", bold=True, ink=INK)]


def _key(left: float, y: float) -> list[str]:
    parts = []
    for place, (fill, name) in enumerate(KEY):
        x = left + 122 * place
        parts.append(f'<rect x="{x}" y="{y - 11}" width="16" height="11" fill="{FILLS[fill]}" stroke="#3b4754"/>')
        parts.append(text(x + 21, y - 1, name, size=11))
    return parts


def _sheet(parts: Sequence[str]) -> str:
    return sheet(TOP + HIGH + 16 + QUEUE + FOOT, parts)


def burst_twin(start: Setting) -> Drawn:
    """Draw six settings of one burst on one scale: the point of turning limit and latency, without a knob."""
    n = start.requests
    few, beyond = max(n // 6, 1), min(n + n // 3, MOST)
    settings = [replace(start, limit=limit) for limit in (few, few, -(-n // 2), max(n - 1, 1), n, beyond)]
    settings[1] = replace(settings[1], latency=2 * start.latency)
    titles = [f"{one.limit} at a time, {duration(one.latency)} each" for one in settings]
    notes = [_rounds(one) for one in settings]
    title = "Twice the latency is twice the makespan. A limit just below n is as slow as half of n."
    return _multiples(settings, titles, notes, title, f"{n} requests at once, {words.BURST}", [])


def _rounds(one: Setting) -> str:
    return words.burst_title(one).partition(": ")[2]


def link_twin(start: Setting) -> Drawn:
    """Draw six bursts on one scale: three links or limits, above with connections kept, below dialled anew."""
    far = replace(start, rtt=start.rtt or 0.04, tls=True)
    columns = [replace(far, rtt=0.0, tls=False), far, replace(far, limit=start.requests)]
    settings = [replace(one, kept=kept) for kept in (True, False) for one in columns]
    titles = [words.connections(one).capitalize() for one in settings]
    notes = [f"{words.fits(one)}, {one.limit} at a time: {duration(makespan(one))}" for one in settings]
    title = "Keeping connections pays where round trips take time, from a slot's second request on."
    return _multiples(settings, titles, notes, title, words.LINK, _key(412, 48))


def _multiples(
    settings: Sequence[Setting], titles: Sequence[str], notes: Sequence[str], title: str, about: str, key: list[str]
) -> Drawn:
    """Six timelines in two rows on one scale of seconds."""
    until, high, parts = max(map(makespan, settings)) * ROOM, 84.0, [text(16, 26, title, size=15, bold=True, ink=INK)]
    parts += [text(16, 46, about), *key]
    for place, one in enumerate(settings):
        row, column = divmod(place, 3)
        box = Box(24 + 294 * column, 106 + (high + 66) * row, 262, high, until)
        parts += [text(box.left, box.top - 24, titles[place], bold=True, ink=INK)]
        parts += [text(box.left, box.top - 8, notes[place], size=11)]
        parts += [*time_axis(box, labels=row == 1, most=5), *lanes(box, bars(compute(one)), one.limit)]
        parts += marked(box, makespan(one), "")
    each = [f"{head}: {note}." for head, note in zip(titles, notes, strict=True)]
    return Drawn(sheet(106 + 2 * high + 66 + 26, parts), f"Six timelines, {about}. {title} {' '.join(each)}")


def beside_measured(one: Setting, trial: Trial) -> Drawn:
    """Draw the same setting twice on one scale of seconds: as computed, and as a trial at the lab measured it."""
    computed, placed = compute(one), in_lanes(trial.spans, trial.limit)
    until = max(computed.makespan_s, trial.makespan_s) * ROOM
    seen = [Bar(lane, span.started or 0.0, span.done, colour(trial.arm)) for lane, span in placed]
    rows = [
        ("computed", computed.makespan_s, bars(computed), one.limit),
        (trial.arm, trial.makespan_s, seen, max([one.limit, *(bar.lane + 1 for bar in seen)])),
    ]
    line, parts = words.measured_line(one, trial), list[str]()
    parts += [text(16, 26, "The same burst, computed and measured", size=15, bold=True, ink=INK), text(16, 46, line)]
    for place, (name, seconds, found, number) in enumerate(rows):
        box = Box(LEFT, 70 + 116 * place, WIDTH - LEFT - 24, 100, until)
        parts += [*time_axis(box, labels=place == 1), *lanes(box, found, number), *marked(box, seconds, "")]
        parts += [text(16, box.top + 14, name, bold=True, ink=INK), text(16, box.top + 30, duration(seconds), size=11)]
    return Drawn(sheet(70 + 216 + FOOT, parts), f"Two timelines of one burst, computed and at the lab. {line}")
