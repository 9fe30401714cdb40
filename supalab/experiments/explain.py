"""Explain: which part of the change from fake to real made the difference?

Each factor is a pair of arms that differ in one thing (``data/factors.csv``); the second arm of one is the first arm of
the next. Pairs and the whole way are measured apart, so it is a finding if the factors add up to the whole. Differences
are taken within a round, between trials that ran next to each other.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import pandas as pd
from matplotlib.figure import Figure

from supalab.errors import SettingsError, TrialError
from supalab.experiments import Experiment
from supalab.experiments.changes import BAR, LEFT, LOST, NOISE, SAVED, Bar, bars, key_of, look_of, margin
from supalab.measure.case import Case, Workload
from supalab.measure.compare import Difference, compare, noise_of
from supalab.measure.record import Record
from supalab.measure.run import Plan, checked_repeat, rotated
from supalab.report.format import duration, stated
from supalab.report.plot import INK, MUTED, colour, sheet
from supalab.report.table import Cell, Content, Table
from supalab.settings import checked_limit
from supalab.shipped import shipped_text

__all__ = [
    "ARTICLE_FACTORS", "EXPERIMENT", "by_link", "chain", "explain", "explained", "headline", "link_notes", "notes",
    "plan", "tables", "waterfall",
]  # fmt: skip

WHOLE, REPEAT = "whole", 3
#: So many of the factors make the article's own step; those after it lead on to ours.
ARTICLE_FACTORS = 4
#: Seconds of the article's server time; of the usual one up to a limit of ``CROWD``, and of one with more slots.
ARTICLE_S, USUAL_S, CROWD_S, CROWD = 0.45, 0.15, 0.05, 30
#: Links between client and lab: seconds of a round trip, and whether it speaks TLS.
LINKS = {"HTTP": (0.0, False), "TLS": (0.0, True)} | {f"TLS, {ms} ms": (ms / 1000, True) for ms in (20, 40, 100)}
#: Reuse depends on the link more than all others: it has them all. The others that touch connections have two.
LINKS_OF = {"reuse": tuple(LINKS)} | dict.fromkeys(("library", "async", "keepalive"), ("HTTP", "TLS, 40 ms"))
#: A link's round trips come on top of the service time, whatever that is: a short one and a few waves of requests
#: show the same milliseconds per request in a fraction of the time.
LINK_WAVES, LINK_LATENCY_S = 4, 0.05
#: The sum of the factors should be the whole to within this part of it; smaller shares than ``MUCH`` are not said.
SUM_WITHIN, MUCH, LARGE, MOST, NEARLY = 0.10, 0.01, 0.2, 0.5, 0.97
LEFT_IN = 0.255
#: A remainder is drawn if it is more than this part of the whole.
SHOWN = 0.01


class Factor(NamedTuple):
    """One thing that changes between two arms: in a few words, as the subject of a sentence, and in short."""

    key: str
    before: str
    change: str
    said: str
    brief: str
    after: str


def chain(before: int = 3, limit: int = 10) -> tuple[Factor, ...]:
    """Return the factors in order, from ``before`` threads to ours with a limit of ``limit``.

    Raises SettingsError unless 0 < before < limit.
    """
    if checked_limit(before) >= checked_limit(limit):
        raise SettingsError(f"limits {before} and {limit} are not a step up: make the second larger, e.g. 3 and 10")
    written = shipped_text("data", "factors.csv").format(before=before, limit=limit, half=limit // 2)
    rows = list(csv.DictReader(io.StringIO(written)))
    ends = [row["before"] for row in rows[1:]] + [f"real-{limit}"]
    return tuple(Factor(**row, after=end) for row, end in zip(rows, ends, strict=True))


def plan(
    requests: int | None = None,
    *,
    latency: float | None = None,
    before: int = 3,
    limit: int = 10,
    repeat: int = REPEAT,
    links: bool = True,
) -> Plan:
    """A pair of arms for each factor, the whole way, and pairs over links if asked for; ``repeat`` rounds of all.

    A trial runs after a warm-up that does not count, without instruments but CPU and time. Raises SettingsError for
    values that cannot work.

    Args:
        requests: requests of a trial (default: ten for each slot)
        latency: seconds that the server takes for a request; the article's: 0.45 (0.15, or 0.05 with many slots)
        before: threads before the change
        limit: concurrency limit after the change
        repeat: trials of each, taking turns
        links: measure over TLS and distance too
    """
    checked_repeat(repeat)
    factors = chain(before, limit)
    usual = USUAL_S if limit <= CROWD else CROWD_S
    load = Workload(10 * limit if requests is None else requests, usual if latency is None else latency)
    few = min(load.requests, LINK_WAVES * limit)
    short = replace(load, requests=few, latency=min(load.latency or 0.0, LINK_LATENCY_S))
    runs = [(one.key, "", [one.before, one.after]) for one in factors]
    # In the middle of a round, so that what gets worse on the way does so to factors on both sides of it.
    runs.insert(ARTICLE_FACTORS, (WHOLE, "", [factors[0].before, factors[ARTICLE_FACTORS].before, factors[-1].after]))
    if links:
        runs += [(one.key, link, [one.before, one.after]) for one in factors for link in LINKS_OF.get(one.key, ())]
    for turn in range(repeat):
        for factor, link, arms in runs:
            rtt, tls = LINKS[link or "HTTP"]
            for name in rotated(arms, turn):
                tags, conditions = {"factor": factor, "link": link}, {"rtt": rtt, "tls": tls}
                yield Case(name, short if link else load, "bare", turn, conditions, tags, {"warm_up": limit})


class Step(NamedTuple):
    """One factor, perhaps over a link: the rounds of both arms, and what the change saves.

    ``saved``: seconds of the burst; over a link milliseconds for which a request holds its slot. ``cpu``: milliseconds
    of CPU for a request.
    """

    factor: Factor
    link: str
    before: pd.DataFrame
    after: pd.DataFrame
    saved: Difference
    cpu: Difference

    def ends(self, number: str) -> tuple[float, float]:
        """Return the medians of a number, before and after the change."""
        return middle(self.before, number), middle(self.after, number)


class Explained(NamedTuple):
    """What the finished rounds of a record say: each factor, each factor over links, and the whole way at once.

    ``rows`` are all trials; ``before``, ``article`` and ``ours`` those of the whole way.
    """

    rows: pd.DataFrame
    steps: list[Step]
    links: list[Step]
    before: pd.DataFrame
    article: pd.DataFrame
    ours: pd.DataFrame

    @property
    def rounds(self) -> int:
        """How many rounds were finished."""
        return len(self.before)

    def whole(self, end: pd.DataFrame) -> Difference:
        """Return the seconds saved from the article's "before" to an end of the way, measured at once."""
        return compare(list(self.before["makespan_s"]), list(end["makespan_s"]))

    def left(self, end: pd.DataFrame) -> float:
        """Return the seconds of it that the factors leave unexplained; negative if they sum to more."""
        steps = self.steps[:ARTICLE_FACTORS] if end is self.article else self.steps
        return self.whole(end).median - sum(step.saved.median for step in steps)

    def share(self, seconds: float) -> float | None:
        """Return a part of the whole way, 0 to 1 or beyond; ``None`` if the way saved nothing."""
        whole = self.whole(self.ours).median
        return seconds / whole if whole > 0 else None


def middle(side: pd.DataFrame, number: str = "makespan_s") -> float:
    """Return the median of a number over the rounds of an arm."""
    return float(side[number].median())


def explained(found: Record) -> Explained:
    """Return what the finished rounds of a record say; raises TrialError if no round was finished."""
    rows, whole = found.rows, sum(1 for _ in plan(**{**found.asked, "repeat": 1}))
    if len(rows):
        rows = rows.sort_values("repeat", kind="stable")
        rows = rows[rows.groupby("repeat")["arm"].transform("size") == whole]
    if rows.empty:
        raise TrialError("no round was finished: there is nothing to show")
    rows = rows.assign(slot_ms=1000 * rows["makespan_s"] / -(-rows["requests"] // rows["limit"]))  # by waves
    sides = dict(list(rows.groupby(["link", "factor", "arm"], sort=False)))
    factors = chain(found.asked["before"], found.asked["limit"])

    def step(one: Factor, link: str) -> Step:
        before, after = (sides[link, one.key, arm] for arm in (one.before, one.after))
        alike = [(str(arm), side) for (over, _, arm), side in sides.items() if over == link]

        def saved(number: str) -> Difference:
            noise = noise_of([(arm, list(side[number])) for arm, side in alike], {one.before, one.after})
            return compare(list(before[number]), list(after[number]), noise)

        return Step(one, link, before, after, saved("slot_ms" if link else "makespan_s"), saved("cpu_ms"))

    links = [step(one, link) for one in factors for link in LINKS if (link, one.key, one.before) in sides]
    ends = (factors[0].before, factors[ARTICLE_FACTORS].before, factors[-1].after)
    return Explained(rows, [step(one, "") for one in factors], links, *(sides["", WHOLE, arm] for arm in ends))


def headline(found: Record) -> str:
    """Return the way down in seconds (before, the article's after, ours), and what saved the most of it."""
    seen = explained(found)
    ends = " to ".join(f"{middle(side):.1f} s" for side in (seen.before, seen.article, seen.ours))
    if seen.whole(seen.ours).median <= 0:
        return f"{ends}: nothing was saved"
    clear = [step for step in seen.steps if step.saved.above_noise]
    shares = sorted(((seen.share(one.saved.median) or 0.0, one.factor) for one in clear), key=lambda one: -one[0])
    best = [one for one in shares[:2] if one[0] >= LARGE] or shares[:1]
    if not best or best[0][0] <= 0:
        return f"{ends}: no factor is above noise"
    share, most = best[0]
    if len(best) == 1 and share >= NEARLY:
        return f"{ends}: almost all of it comes from {most.said if most.key == 'limit' else most.brief}"
    return f"{ends}: saved {', '.join(f'{share:.0%} by {factor.brief}' for share, factor in best)}"


def notes(found: Record) -> list[str]:
    """Say what each factor saved, whether all add up to the whole, what CPU did, and what failed or is missing."""
    seen = explained(found)
    said = [*(f"- {_sentence(step, seen)}" for step in seen.steps), ""]
    said += [_sum("the article's step", seen, seen.article), _sum("the way to SupabaseAsync", seen, seen.ours)]
    # CPU of a request on the whole way, and what cut it most: seconds alone would hide it.
    names = {"before": seen.before, "the article's after": seen.article, "SupabaseAsync": seen.ours}
    ends = ", ".join(f"{middle(side, 'cpu_ms'):.2f} ms {name}" for name, side in names.items())
    cut = sorted((step for step in seen.steps if step.cpu.above_noise), key=lambda step: -step.cpu.median)
    best = " and ".join(step.factor.brief for step in cut[:2] if step.cpu.median > 0)
    said.append(f"CPU time per request: {ends}" + f"; reduced most by {best}" * bool(best) + ".")
    failed = seen.rows.groupby("arm", sort=False)["errors"].max()
    for arm, most in failed[failed > 0].items():
        said.append(f"{arm}: {most} requests failed in its worst trial, so its numbers are not reliable.")
    return said if found.finished else [*said, f"Interrupted: only finished rounds count, {seen.rounds} of them."]


def _sentence(step: Step, seen: Explained) -> str:
    """What a factor saved, in time, in CPU and in connections."""
    got, share = step.saved.median, seen.share(step.saved.median)
    said = [f"{NOISE.name} ({got:+.3f} s)"]
    if step.saved.above_noise:
        part = f", {abs(share):.0%} of the whole" if share is not None and abs(share) >= MUCH else ""
        said = [f"{'saves' if got > 0 else 'costs'} {duration(abs(got), places=2)}{part}"]
    if step.cpu.above_noise:
        old, new = step.ends("cpu_ms")
        way = "falls" if step.cpu.median > 0 else "rises"
        said.append(f"CPU time per request {way} from {old:.2f} to {new:.2f} ms")
    old, new = step.ends("connections")
    if min(old, new) and max(old, new) >= 1.5 * min(old, new):
        said.append(f"the lab saw {old:.0f} connections for {step.before['served'].iloc[0]} requests, then {new:.0f}")
    return f"{step.factor.said}: {'; '.join(said)}."


def _sum(name: str, seen: Explained, end: pd.DataFrame) -> str:
    """Whether the factors add up to the whole."""
    whole, left = seen.whole(end).median, seen.left(end)
    ends = ", ".join(f"{side['arm'].iloc[0]} {duration(middle(side), places=2)}" for side in (seen.before, end))
    saved, summed, rest = (duration(number, places=2) for number in (whole, whole - left, left))
    said = f"Measured directly, {name} ({ends}) saves {saved}; its factors sum to {summed}, which leaves {rest}"
    if whole <= 0:
        return f"{said}."
    verdict = "" if abs(left) <= SUM_WITHIN * whole else ": they do not add up, was the machine busy? Run it again"
    return f"{said} ({abs(left) / whole:.1%}){verdict}."


def about(seen: Explained, steps: Sequence[Step] = ()) -> str:
    """Return what was asked of every arm, over links or not, and how often."""
    one = (steps[0].after if steps else seen.before).iloc[0]
    again = f"medians of {seen.rounds} rounds" if seen.rounds > 1 else "one round"
    each = f"{stated(one['latency'])} each at the server"
    if steps:
        return f"{one['requests']} requests, {one['limit']} at a time, {each} and the network's round trips; {again}"
    return f"{one['requests']:,} requests at once, {each}; {again}, after a warm-up"


def link_headline(seen: Explained) -> str:
    """Return by how much the link changes what reuse of connections saves."""
    reuse = [step.saved.median for step in seen.links if step.factor.key == "reuse"]
    return f"Connection reuse saves {min(reuse):.0f} to {max(reuse):.0f} ms per request, depending on the network"


def link_notes(seen: Explained) -> Iterator[str]:
    """Say for each factor over which links it matters, and where the article's pool gives away what reuse saves."""
    for factor in dict.fromkeys(step.factor for step in seen.links):
        mine = {step.link: step.saved for step in seen.links if step.factor == factor}
        said = [f"{_effect(got, '{:.0f} ms')} ({link})" for link, got in mine.items()]
        yield f"{factor.said}: {', '.join(said)}."
    reused = {step.link: step.saved for step in seen.links if step.factor.key == "reuse"}
    for step in seen.links:
        got, lost, one = reused.get(step.link), -step.saved.median, step.after.iloc[0]
        if step.factor.key != "library" or got is None or not (got.above_noise and step.saved.above_noise):
            continue
        if lost >= MOST * got.median > 0:
            yield (
                f"Over {step.link}, keep-alive for {one['limit'] // 2} connections loses {lost / got.median:.0%} of "
                f"what reuse saved: the lab saw {step.ends('connections')[1]:.0f} connections for {one['served']} "
                "requests."
            )


def tables(found: Record) -> list[Table]:
    """Return the factors' table and, if links were measured, that of the links."""
    try:
        seen = explained(found)
    except TrialError:
        return [Table((), (), empty="No round was finished.")]
    titles = [
        "factor", "before\ns", "after\ns", "saved s\nmedian (lowest..highest)", "of the\nwhole",
        "CPU ms/request\nbefore -> after",
    ]  # fmt: skip
    rows: list[list[Content]] = []
    for place, step in enumerate(seen.steps):
        if place == ARTICLE_FACTORS:
            rows += _total("= the article's step", seen, seen.article)
        rows.append([step.factor.change, *_cells(seen, step.before, step.after, step.saved)])
        rows.append([Cell(f"{step.factor.before} -> {step.factor.after}", "dim", 2)])
    rows += _total("= the way to SupabaseAsync", seen, seen.ours)
    factors = Table(titles, rows, headline=headline(found), about=[about(seen)], notes=notes(found))
    return [factors, _links(seen)] if seen.links else [factors]


def _total(name: str, seen: Explained, end: pd.DataFrame) -> list[list[Content]]:
    """The way measured at once, and below it what the factors above leave of it."""
    left = seen.left(end)
    rest = ["  not explained by the factors", "", "", f"{left:+.3f}", _part(seen.share(left))]
    whole = [name, *_cells(seen, seen.before, end, seen.whole(end))]
    return [[Cell(cell, "bold") for cell in whole], [Cell(cell, "dim") for cell in rest]]


def _cells(seen: Explained, before: pd.DataFrame, after: pd.DataFrame, got: Difference) -> list[str]:
    digits = _digits(max(abs(got.lowest), abs(got.highest))) + 1
    spread = f" ({got.lowest:+.{digits}f}..{got.highest:+.{digits}f})" if got.rounds > 1 else ""
    seconds = [f"{middle(side):.{min(_digits(middle(side)) + 1, 2)}f}" for side in (before, after)]
    cpu = " -> ".join(f"{middle(side, 'cpu_ms'):.2f}" for side in (before, after))
    return [*seconds, f"{got.median:+.{digits}f}{spread}", _part(seen.share(got.median)), cpu]


def _part(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _digits(number: float) -> int:
    """Decimals that leave room: two below ten, one below a hundred, then none."""
    return 2 - (number >= 9.9995) - (number >= 99.995)


def _links(seen: Explained) -> Table:
    """A factor a row, a link a column; what noise could have made has a tilde, what was not measured is a dash."""
    saved = {(step.factor, step.link): step.saved for step in seen.links}
    names = [link for link in LINKS if any(over == link for _, over in saved)]
    rows = [
        [factor.change, *(_link_cell(saved.get((factor, name))) for name in names)]
        for factor in dict.fromkeys(factor for factor, _ in saved)
    ]
    unit = "Milliseconds saved of the time for which a request holds its slot, by network (20 ms: its round trip)"
    said = ["~: within noise, -: not measured", "", *(f"- {line}" for line in link_notes(seen))]
    lines = [unit, about(seen, seen.links)]
    return Table(["factor", *names], rows, headline=link_headline(seen), about=lines, notes=said)


def _link_cell(got: Difference | None) -> str:
    return "-" if got is None else f"{'' if got.above_noise else '~'}{got.median:+.0f}"


def compared(found: Record) -> dict[str, float]:
    """Return each factor's share of the whole, what is left of it, and CPU of a request with each arm."""
    seen = explained(found)
    parts = {"remainder / whole": seen.share(seen.left(seen.ours))}
    parts |= {f"{step.factor.key}: share of the whole": seen.share(step.saved.median) for step in seen.steps}
    cpu = {f"{step.factor.after}: CPU ms/request": step.ends("cpu_ms")[1] for step in seen.steps}
    return {name: part for name, part in parts.items() if part is not None} | cpu


#: One row of the waterfall: its name, what it is in small, its seconds, and its CPU time unless that is not known.
Row: TypeAlias = tuple[str, str, Bar, Bar | None]


def _rows(seen: Explained) -> list[Row]:
    """Levels that were measured at once start at zero; each factor leads from the level before it to the next one."""
    whole, article, ours = abs(seen.whole(seen.ours).median), seen.steps[:ARTICLE_FACTORS], seen.steps[ARTICLE_FACTORS:]
    form, rows, level = "{:.2f} s" if whole >= 2 else "{:.3f} s", [_level("before", seen.before)], middle(seen.before)
    for steps, name, end in ((article, "the article's after", seen.article), (ours, "SupabaseAsync", seen.ours)):
        for step in steps:
            got, (old, new) = step.saved, step.ends("cpu_ms")
            failed = max(step.before["errors"].max(), step.after["errors"].max())
            arms = f"{step.factor.before} → {step.factor.after}" + f", {failed} failed" * bool(failed)
            ends = (level - got.lowest, level - got.highest)
            seconds = Bar(level, level - got.median, _effect(got, form), look_of(got), ends)
            rows.append((_arrow(step), arms, seconds, Bar(old, new, f"{old:.2f} → {new:.2f}", look_of(step.cpu))))
            level -= got.median
        if abs(level - middle(end)) > SHOWN * whole:
            rows.append(
                (
                    "remainder",
                    LEFT.name,
                    Bar(level, middle(end), _effect(compare([level], [middle(end)]), form), LEFT),
                    None,
                )
            )
        rows.append(_level(name, end))
        level = middle(end)
    return rows


def _level(name: str, side: pd.DataFrame) -> Row:
    arm, seconds, cpu = str(side["arm"].iloc[0]), middle(side), middle(side, "cpu_ms")
    return name, arm, Bar(0, seconds, f"{seconds:.2f} s", colour(arm)), Bar(0, cpu, f"{cpu:.2f} ms", colour(arm))


def _effect(got: Difference, form: str) -> str:
    """Say what a change does, with the number in a form such as ``{:.0f} ms``."""
    return f"{'saves' if got.median > 0 else 'costs'} {form.format(abs(got.median))}" if got.above_noise else NOISE.name


def _arrow(step: Step) -> str:
    return step.factor.change.replace(", then ", " → ")


def waterfall(found: Record, *, fig: Figure | None = None) -> Figure:
    """Draw what each factor saved, in seconds and in CPU time per request; draws on ``fig`` if one is given.

    The article's "before" and "after" and ours are levels measured at once; if the factors between them do not add up
    to the difference, to within one per cent of the whole, the remainder has a row of its own.
    """
    seen, said = explained(found), headline(found)
    rows, left = _rows(seen), seen.left(seen.ours)
    share, spread = seen.share(abs(left)), "the line at a bar's end: from the lowest to the highest round."
    foot = f"Bars: medians; {spread} " * (seen.rounds > 1) + "Bars that start at zero are end-to-end measurements.\n"
    foot += f"All factors together leave {left:.3f} s unexplained{f', {share:.1%} of the whole' if share else ''}."
    words = [f"Waterfall: what each change saves. {said}.", f"{about(seen)}.", *notes(found)]
    with sheet(
        said.replace(" s to ", " s → "), about(seen), [line.removeprefix("- ") for line in words if line], (1, 2),
        0.46 * len(rows), foot=foot, fig=fig, head_in=1.35, foot_in=1.45, left=LEFT_IN, wspace=0.1,
        width_ratios=(2.1, 1),
    ) as (fig, (left_ax, right_ax)):  # fmt: skip
        seconds = {place: bar for place, (_, _, bar, _) in enumerate(rows)}
        cpu = {place: bar for place, (*_, bar) in enumerate(rows) if bar}
        bars(left_ax, seconds, "seconds", (0, 1.22 * max(max(bar.start, bar.end) for bar in seconds.values())))
        bars(right_ax, cpu, "milliseconds", (0, 1.65 * max(bar.most for bar in cpu.values())))
        left_ax.set_title("Seconds for the whole burst", pad=12)
        right_ax.set_title("CPU time per request", pad=12)
        for place, (name, small, bar, _) in enumerate(rows):
            bold = isinstance(bar.look, str)
            margin(left_ax, place, name, -LEFT_IN, 6, fontweight="bold" if bold else "normal")
            margin(left_ax, place, small, -LEFT_IN, -7.5, fontsize=8.5, color=MUTED)
            if place + 1 < len(rows):
                gap = [place + BAR / 2, place + 1 - BAR / 2]
                left_ax.plot([bar.end] * 2, gap, color=MUTED, linewidth=0.8, zorder=1)
        key_of(fig, [SAVED, LOST, NOISE, *[LEFT] * any(bar.look == LEFT for bar in seconds.values())])
    return fig


def by_link(found: Record, *, fig: Figure | None = None) -> Figure:
    """Draw for how much shorter a request holds its slot, for each factor and link; draws on ``fig`` if one is given.

    Raises TrialError if no links were measured.
    """
    seen = explained(found)
    if not seen.links:
        raise TrialError("this explanation has no links: measure it with links=True")
    factors, drawn = list(dict.fromkeys(step.factor for step in seen.links)), dict[float, Bar]()
    words = [f"{link_headline(seen)}, {about(seen, seen.links)}.", *link_notes(seen)]
    foot = "Slot time: from acquiring the slot to the response; before → after, medians of the rounds."
    high = 0.36 * (len(seen.links) + 0.55 * (len(factors) - 1))
    with sheet(
        link_headline(seen), about(seen, seen.links), words, (1, 1), high, foot=foot, fig=fig, head_in=1.1,
        foot_in=1.3, left=0.4, right=0.975,
    ) as (fig, (ax,)):  # fmt: skip
        for row, step in enumerate(seen.links):
            got, place = step.saved, row + 0.55 * factors.index(step.factor)
            said = "{:.0f} → {:.0f} ms".format(*step.ends("slot_ms"))
            drawn[place] = Bar(0.0, got.median, said, look_of(got), (got.lowest, got.highest))
            margin(ax, place, step.link, -0.115, 0, fontsize=10)
            if row == 0 or seen.links[row - 1].factor != step.factor:
                margin(ax, place, _arrow(step), -0.4, 0, fontweight="bold")
        low, most = min(0.0, *(min(bar.spread) for bar in drawn.values())), max(bar.most for bar in drawn.values())
        wide = most - low or 1.0
        unit = "milliseconds saved (to the right) or lost (to the left) per request"
        bars(ax, drawn, unit, (low - 0.04 * wide, most + 0.22 * wide))
        ax.axvline(0, color=INK, linewidth=1.0, zorder=4)
        key_of(fig, [SAVED, LOST, NOISE])
    return fig


EXPERIMENT = Experiment(
    name="explain",
    about="the step from the article's client to ours, a factor at a time, over several links",
    plan=plan, headline=headline, notes=notes, tables=tables,
    figures={"explain": waterfall, "explain-links": by_link}, compared=compared,
    full={"requests": 100, "latency": ARTICLE_S},
    quick={"requests": 40, "latency": 0.05, "repeat": 2, "links": False},
)  # fmt: skip
explain = EXPERIMENT.run
