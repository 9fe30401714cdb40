"""Explain: measure which part of the change from fake to real made the difference.

Each factor is a pair of arms that differ in one thing (``data/factors.csv``); the second arm of a pair is the first arm
of the next one. Pairs and the whole step are measured separately: if the factors add up to the whole, this is a result
and not a definition. Differences are taken within a round, between trials that ran next to each other.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from supalab.errors import SettingsError, TrialError
from supalab.experiments import Experiment, drawn_by
from supalab.measure.case import Case, Workload
from supalab.measure.compare import Difference, compare, noise_of
from supalab.measure.record import Record, failures
from supalab.measure.run import Plan, checked_repeat, rotated
from supalab.report.format import duration, stated
from supalab.report.table import Cell, Content, Table
from supalab.settings import checked_limit
from supalab.shipped import shipped_text

NAME, ABOUT = "explain", "the step from the article's client to ours, one factor at a time, over several networks"
#: The key of the trials of the whole step, and the number of factors in the article's own step.
WHOLE, ARTICLE_FACTORS = "whole", 4
#: Server times in seconds: the article's, the usual one up to a limit of ``CROWD``, and the one for more slots.
ARTICLE_S, USUAL_S, CROWD_S, CROWD = 0.45, 0.15, 0.05, 30
FULL = {"requests": 100, "latency": ARTICLE_S}
QUICK = {"requests": 40, "latency": 0.05, "repeat": 2, "links": False}
#: Links between client and lab: seconds of a round trip, and whether they use TLS.
LINKS = {"HTTP": (0.0, False), "TLS": (0.0, True)} | {f"TLS, {ms} ms": (ms / 1000, True) for ms in (20, 40, 100)}
#: Reuse depends on the link most, so it is measured over all links; the other factors about connections over two.
LINKS_OF = {"reuse": tuple(LINKS)} | dict.fromkeys(("library", "async", "keepalive"), ("HTTP", "TLS, 40 ms"))
#: A link's round trips are added to any server time: a short server time and a few waves of requests show the same
#: milliseconds per request in a fraction of the time.
LINK_WAVES, LINK_LATENCY_S = 4, 0.05
#: The factors should add up to the whole to within this part of it; shares smaller than ``MUCH`` are not mentioned.
SUM_WITHIN, MUCH = 0.10, 0.01
#: The headline names a second factor with this share, and says "almost all" from this share on.
LARGE, NEARLY = 0.2, 0.97
#: A note says so if this part of what reuse saved is lost.
MOST = 0.5
NOISE = "within noise"


class Factor(NamedTuple):
    """One thing that changes between two arms: in a few words, as the subject of a sentence, and in a short form."""

    key: str
    before: str
    change: str
    said: str
    brief: str
    after: str


def chain(before: int = 3, limit: int = 10) -> tuple[Factor, ...]:
    """Return the factors in order, from ``before`` threads to our client with a limit of ``limit``.

    Raises SettingsError unless 0 < before < limit.
    """
    if checked_limit(before, "before") >= checked_limit(limit):
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
    repeat: int = 3,
    links: bool = True,
) -> Plan:
    """Run a pair of arms for each factor, the whole step, and pairs over links if asked for; ``repeat`` rounds of all.

    A trial runs after a warm-up that does not count, and measures only CPU time and time. Raises SettingsError for
    values that cannot work.

    Args:
        requests: requests of each trial (default: ten for each slot)
        latency: seconds that the server takes for a request (0.15, or 0.05 with many slots; 0.45 in the article)
        before: threads before the change
        limit: concurrency limit after the change
        repeat: trials of each, taking turns
        links: measure over TLS and long round trips too
    """
    checked_repeat(repeat)
    factors = chain(before, limit)
    usual = USUAL_S if limit <= CROWD else CROWD_S
    load = Workload(10 * limit if requests is None else requests, usual if latency is None else latency)
    few = min(load.requests, LINK_WAVES * limit)
    short = replace(load, requests=few, latency=min(load.latency or 0.0, LINK_LATENCY_S))
    runs = [(one.key, "", [one.before, one.after]) for one in factors]
    # In the middle of a round, so that a machine that gets slower affects factors on both sides of it.
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
    """One factor, perhaps over a link, or a step of several factors: the rounds of both arms, and what is saved.

    ``saved``: seconds of the burst; over a link, milliseconds for which a request holds its slot. ``cpu``: milliseconds
    of CPU time per request.
    """

    factor: Factor
    link: str
    before: pd.DataFrame
    after: pd.DataFrame
    saved: Difference
    cpu: Difference

    def ends(self, number: str = "makespan_s") -> tuple[float, float]:
        """Return the medians of a number, before and after the change."""
        return float(self.before[number].median()), float(self.after[number].median())


class Explained(NamedTuple):
    """The results of the finished rounds: each factor, each factor over links, and the two steps measured directly.

    ``article``: the article's own step; ``ours``: the whole step, to our client.
    """

    steps: list[Step]
    links: list[Step]
    article: Step
    ours: Step

    @property
    def sections(self) -> list[tuple[list[Step], Step]]:
        """Return the article's factors with the article's step, then the other factors with the whole step."""
        return [(self.steps[:ARTICLE_FACTORS], self.article), (self.steps[ARTICLE_FACTORS:], self.ours)]

    def left(self, way: Step) -> float:
        """Return the seconds of a step that its factors leave unexplained; negative if they sum to more."""
        factors = self.steps[:ARTICLE_FACTORS] if way is self.article else self.steps
        return way.saved.median - sum(step.saved.median for step in factors)

    def share(self, seconds: float) -> float | None:
        """Return a part of the whole step, 0 to 1 or beyond; ``None`` if the step saved nothing."""
        whole = self.ours.saved.median
        return seconds / whole if whole > 0 else None


def explained(record: Record) -> Explained:
    """Return the results of the finished rounds; raises TrialError if no round was finished."""
    rows, in_a_round = record.rows, sum(1 for _ in plan(**{**record.asked, "repeat": 1}))
    if len(rows):
        rows = rows.sort_values("repeat", kind="stable")
        rows = rows[rows.groupby("repeat")["arm"].transform("size") == in_a_round]
    if rows.empty:
        raise TrialError("no round was finished: there is nothing to show")
    waves = -(-rows["requests"] // rows["limit"])
    rows = rows.assign(slot_ms=1000 * rows["makespan_s"] / waves)
    sides = dict(list(rows.groupby(["link", "factor", "arm"], sort=False)))

    def step(one: Factor, link: str = "") -> Step:
        before, after = (sides[link, one.key, arm] for arm in (one.before, one.after))
        alike = [(str(arm), side) for (over, _, arm), side in sides.items() if over == link]

        def saved(number: str) -> Difference:
            noise = noise_of([(arm, list(side[number])) for arm, side in alike], {one.before, one.after})
            return compare(list(before[number]), list(after[number]), noise)

        return Step(one, link, before, after, saved("slot_ms" if link else "makespan_s"), saved("cpu_ms"))

    factors = chain(record.asked["before"], record.asked["limit"])
    links = [step(one, link) for one in factors for link in LINKS if (link, one.key, one.before) in sides]
    start, middle, end = factors[0].before, factors[ARTICLE_FACTORS].before, factors[-1].after
    article = Factor(WHOLE, start, "= the article's step", "the article's step", "the article's after", middle)
    whole = "the whole step to SupabaseAsync"
    ours = Factor(WHOLE, start, f"= {whole}", whole, "SupabaseAsync", end)
    return Explained([step(one) for one in factors], links, step(article), step(ours))


def headline(record: Record) -> str:
    """Say the seconds before, after the article's step and with our client, and what saved most of them."""
    seen = explained(record)
    ends = " to ".join(f"{seconds:.1f} s" for seconds in (*seen.article.ends(), seen.ours.ends()[1]))
    whole = seen.ours.saved.median
    if whole <= 0:
        return f"{ends}: nothing was saved"
    shares = [(step.saved.median / whole, step.factor.brief) for step in seen.steps if step.saved.above_noise]
    shares.sort(reverse=True)
    best = [one for one in shares[:2] if one[0] >= LARGE] or [one for one in shares[:1] if one[0] > 0]
    if not best:
        return f"{ends}: no factor is above noise"
    if len(best) == 1 and best[0][0] >= NEARLY:
        return f"{ends}: almost all of the gain comes from {best[0][1]}"
    return f"{ends}: saved {', '.join(f'{share:.0%} by {brief}' for share, brief in best)}"


def notes(record: Record) -> list[str]:
    """Say what each factor saved, whether they add up to the whole, what CPU time did, what failed or is missing."""
    seen = explained(record)
    said = [*(f"- {_sentence(step, seen)}" for step in seen.steps), ""]
    said += [*(_sum(way, seen) for _, way in seen.sections), _cpu(seen), *failures(record)]
    if not record.finished:
        said.append(f"Interrupted: only finished rounds count, {seen.ours.saved.rounds} of them.")
    return said


def _sentence(step: Step, seen: Explained) -> str:
    """Say what a factor saved in time, CPU time and connections."""
    got, share = step.saved.median, seen.share(step.saved.median)
    part = f", {abs(share):.0%} of the whole" if share is not None and abs(share) >= MUCH else ""
    clear = f"{'saves' if got > 0 else 'costs'} {duration(abs(got), places=2)}{part}"
    said = [clear if step.saved.above_noise else f"{NOISE} ({got:+.3f} s)"]
    if step.cpu.above_noise:
        way = "falls" if step.cpu.median > 0 else "rises"
        said.append("CPU time per request {} from {:.2f} to {:.2f} ms".format(way, *step.ends("cpu_ms")))
    old, new = step.ends("connections")
    if min(old, new) and max(old, new) >= 1.5 * min(old, new):
        said.append(f"the lab saw {old:.0f} connections for {step.before['served'].iloc[0]} requests, then {new:.0f}")
    return f"{step.factor.said}: {'; '.join(said)}."


def _sum(way: Step, seen: Explained) -> str:
    """Say whether the factors add up to the whole."""
    whole, left = way.saved.median, seen.left(way)
    arms = zip((way.factor.before, way.factor.after), way.ends(), strict=True)
    ends = ", ".join(f"{arm} {duration(seconds, places=2)}" for arm, seconds in arms)
    saved, summed, rest = (duration(number, places=2) for number in (whole, whole - left, left))
    said = f"Measured directly, {way.factor.said} ({ends}) saves {saved}; its factors sum to {summed}"
    apart = abs(left) > SUM_WITHIN * whole > 0
    verdict = ": they do not add up. If the machine was busy, run it again" if apart else ""
    return f"{said}, which leaves {rest}{verdict}."


def _cpu(seen: Explained) -> str:
    """Say the CPU time per request and what reduced it most, because seconds alone would hide it."""
    before, after = seen.article.ends("cpu_ms")
    _, ours = seen.ours.ends("cpu_ms")
    cut = [step for step in seen.steps if step.cpu.above_noise and step.cpu.median > 0]
    best = sorted(cut, key=lambda step: -step.cpu.median)[:2]
    most = "; reduced most by " + " and ".join(step.factor.brief for step in best) if best else ""
    levels = f"{before:.2f} ms before, {after:.2f} ms after the article's step, {ours:.2f} ms with SupabaseAsync"
    return f"CPU time per request: {levels}{most}."


def about(step: Step) -> str:
    """Say what was asked of every arm, over links or not, and how often."""
    one, rounds = step.after.iloc[0], step.saved.rounds
    again = f"medians of {rounds} rounds" if rounds > 1 else "one round"
    network = " and the network's round trips" if step.link else ""
    each = f"{stated(one['latency'])} each at the server{network}"
    sent = f"{one['limit']} at a time" if step.link else "at once"
    return f"{one['requests']:,} requests, {sent}, {each}; {again}, after a warm-up"


def effect(got: Difference, form: str) -> str:
    """Say what a change does, with the number in a form such as ``{:.0f} ms``."""
    return f"{'saves' if got.median > 0 else 'costs'} {form.format(abs(got.median))}" if got.above_noise else NOISE


def link_headline(seen: Explained) -> str:
    """Say how much connection reuse saves at most, of all links."""
    most = max(step.saved.median for step in seen.links if step.factor.key == "reuse")
    return f"Connection reuse saves up to {most:.0f} ms per request, depending on the network"


def link_notes(seen: Explained) -> Iterator[str]:
    """Say for each factor over which links it matters, and where the article's pool loses what reuse saves."""
    for factor in dict.fromkeys(step.factor for step in seen.links):
        mine = [f"{effect(step.saved, '{:.0f} ms')} ({step.link})" for step in seen.links if step.factor == factor]
        yield f"{factor.said}: {', '.join(mine)}."
    reused = {step.link: step.saved for step in seen.links if step.factor.key == "reuse"}
    for step in seen.links:
        if step.factor.key != "library" or not (step.saved.above_noise and reused[step.link].above_noise):
            continue
        lost, one = -step.saved.median / reused[step.link].median, step.after.iloc[0]
        if lost >= MOST:
            yield (
                f"Over {step.link}, keep-alive for {one['limit'] // 2} connections loses {lost:.0%} of what reuse "
                f"saved: the lab saw {step.ends('connections')[1]:.0f} connections for {one['served']} requests."
            )


def tables(record: Record) -> list[Table]:
    """Return the factors' table and, if links were measured, that of the links."""
    try:
        seen = explained(record)
    except TrialError:
        return [Table((), (), empty="No round was finished.")]
    titles = [
        "factor", "before\ns", "after\ns", "saved s\nmedian (lowest..highest)", "of the\nwhole",
        "CPU ms/request\nbefore -> after",
    ]  # fmt: skip
    rows: list[list[Content]] = []
    for steps, way in seen.sections:
        for step in steps:
            rows.append([*_cells(seen, step)])
            rows.append([Cell(f"{step.factor.before} -> {step.factor.after}", "dim", 2)])
        left = seen.left(way)
        rest = ["  not explained by the factors", "", "", f"{left:+.3f}", _part(seen.share(left))]
        rows.append([Cell(cell, "bold") for cell in _cells(seen, way)])
        rows.append([Cell(cell, "dim") for cell in rest])
    factors = Table(titles, rows, headline=headline(record), about=[about(seen.ours)], notes=notes(record))
    return [factors, _links(seen)] if seen.links else [factors]


def _cells(seen: Explained, step: Step) -> list[str]:
    got = step.saved
    places = _places(max(abs(got.lowest), abs(got.highest)))
    spread = f" ({got.lowest:+.{places}f}..{got.highest:+.{places}f})" if got.rounds > 1 else ""
    seconds = [f"{end:.{min(_places(end), 2)}f}" for end in step.ends()]
    cpu = "{:.2f} -> {:.2f}".format(*step.ends("cpu_ms"))
    return [step.factor.change, *seconds, f"{got.median:+.{places}f}{spread}", _part(seen.share(got.median)), cpu]


def _part(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _places(seconds: float) -> int:
    """Return the decimals that fit into a column: three below ten, two below a hundred, else one."""
    return next((places for below, places in ((9.9995, 3), (99.995, 2)) if seconds < below), 1)


def _links(seen: Explained) -> Table:
    """Return a row for each factor, a column for each link; a tilde for values within noise, a dash if not measured."""
    cells = {
        (step.factor.change, step.link): f"{'' if step.saved.above_noise else '~'}{step.saved.median:+.0f}"
        for step in seen.links
    }
    changes = dict.fromkeys(change for change, _ in cells)
    rows = [[change, *(cells.get((change, link), "-") for link in LINKS)] for change in changes]
    unit = "Milliseconds of service time saved per request, by network (20 ms is the round trip)"
    said = ["~: within noise, -: not measured", "", *(f"- {line}" for line in link_notes(seen))]
    words = [unit, about(seen.links[0])]
    return Table(["factor", *LINKS], rows, headline=link_headline(seen), about=words, notes=said)


def compared(record: Record) -> dict[str, float]:
    """Return each factor's share of the whole, the unexplained rest, and the CPU time per request of each arm."""
    seen = explained(record)
    parts = {"remainder / whole": seen.share(seen.left(seen.ours))}
    parts |= {f"{step.factor.key}: share of the whole": seen.share(step.saved.median) for step in seen.steps}
    cpu = {f"{step.factor.after}: CPU ms/request": step.ends("cpu_ms")[1] for step in seen.steps}
    return {name: part for name, part in parts.items() if part is not None} | cpu


FIGURES = {"explain": drawn_by("explain_figure", "waterfall"), "explain-links": drawn_by("explain_figure", "by_link")}
EXPERIMENT = Experiment(NAME, ABOUT, plan, headline, notes, tables, FIGURES, compared, full=FULL, quick=QUICK)
explain = EXPERIMENT.run
