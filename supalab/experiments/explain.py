"""Explain: which part of the change from fake to real made the difference?

Each factor is a pair of arms that differ in one thing; the second arm of one is the first arm of the next. Pairs and
the whole way are measured apart, so it is a finding if the factors add up to the whole. Differences are taken within a
round, between trials that ran next to each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from supalab.errors import SettingsError
from supalab.experiments import Experiment, drawn_by
from supalab.measure.case import Case, Workload
from supalab.measure.compare import Difference, compare, noise_of
from supalab.measure.record import Record
from supalab.measure.run import Plan, checked_repeat, rotated
from supalab.report.format import duration, stated
from supalab.report.table import Cell, Content, Table
from supalab.settings import checked_limit

if TYPE_CHECKING:
    pass

__all__ = [
    "ARTICLE_FACTORS", "EXPERIMENT", "Explained", "Factor", "Step", "about", "chain", "compared", "explain",
    "explained", "headline", "link_headline", "link_notes", "notes", "plan", "tables",
]  # fmt: skip

NAME, WHOLE, REPEAT = "explain", "whole", 3
#: So many of the factors make the article's own step; those after it lead on to ours.
ARTICLE_FACTORS = 4
#: Seconds of the article's server time; of the usual one up to a limit of ``CROWD``, and of one with more slots.
ARTICLE_S, USUAL_S, CROWD_S, CROWD = 0.45, 0.15, 0.05, 30
#: Links between client and lab: seconds of a round trip, and whether it speaks TLS.
LINKS = {
    "HTTP": (0.0, False),
    "TLS": (0.0, True),
    "TLS, 20 ms": (0.02, True),
    "TLS, 40 ms": (0.04, True),
    "TLS, 100 ms": (0.1, True),
}
#: Reuse depends on the link more than all others: it has them all. The others that touch connections have two.
LINKS_OF = {"reuse": tuple(LINKS)} | dict.fromkeys(("library", "async", "keepalive"), ("HTTP", "TLS, 40 ms"))
#: A link's round trips come on top of the service time, whatever that is: a short one and a few waves of requests
#: show the same milliseconds per request in a fraction of the time.
LINK_WAVES, LINK_LATENCY_S = 4, 0.05
#: The sum of the factors should be the whole to within this part of it; smaller shares than ``MUCH`` are not said.
SUM_WITHIN, MUCH, LARGE, MOST = 0.10, 0.01, 0.2, 0.5
NOTHING = "within noise"


@dataclass(frozen=True, slots=True)
class Factor:
    """One thing that changes between two arms: in a few words, as the subject of a sentence, and in short."""

    key: str
    change: str
    said: str
    brief: str
    before: str
    after: str


def chain(before: int = 3, limit: int = 10) -> tuple[Factor, ...]:
    """Return the factors in order, from ``before`` threads to ours with a limit of ``limit``.

    Raises SettingsError unless 0 < before < limit.
    """
    if checked_limit(before) >= checked_limit(limit):
        raise SettingsError(f"limits {before} and {limit} explain no step up: let the second be larger, e.g. 3 and 10")
    half = limit // 2
    rows = (
        ("limit", f"{before} at once, then {limit}", f"{limit} threads instead of {before}", f"{limit} threads",
         f"fake-{before}"),
        ("reuse", "new connections, then reuse", "One requests.Session instead of a new connection for each request",
         "reuse of connections", f"fake-{limit}"),
        ("library", f"requests, then httpx (keeps {half})",
         f"httpx instead of requests, still in threads (keep-alive for {half} connections, as in the article)",
         "httpx instead of requests", f"session-{limit}"),
        ("async", "threads, then async", "Async instead of threads, with the same library and pool",
         "async instead of threads", f"httpx-threads-{limit}"),
        ("keepalive", f"keep-alive for {half}, then for {limit}",
         f"Keep-alive for all {limit} connections instead of {half}", f"keep-alive for all {limit}",
         f"article-{limit}"),
        ("gate", "pool's queue, then a semaphore",
         "A semaphore in front of httpx's pool instead of the pool's own queue", "a semaphore in front of the pool",
         f"kept-{limit}"),
        ("around", "bare, then with our checks",
         "What SupabaseAsync adds to a bare AsyncClient (one deadline, safe retries, checked responses)",
         "what SupabaseAsync adds", f"gated-{limit}"),
        ("transport", "httpx's pool, then a faster one", "A faster connection pool instead of httpx's",
         "a faster connection pool", f"real-httpx-{limit}"),
    )  # fmt: skip
    ends = [row[-1] for row in rows[1:]] + [f"real-{limit}"]
    return tuple(Factor(*row, end) for row, end in zip(rows, ends, strict=True))


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

    By default a burst of ten requests for each slot, 150 ms each; 50 ms with many slots. A trial runs after a warm-up
    that does not count, without instruments but CPU and time. Raises SettingsError for values that cannot work.
    """
    checked_repeat(repeat)
    factors = chain(before, limit)
    usual = USUAL_S if limit <= CROWD else CROWD_S
    load = Workload(10 * limit if requests is None else requests, usual if latency is None else latency)
    few, shorter = min(load.requests, LINK_WAVES * limit), min(load.latency or 0.0, LINK_LATENCY_S)
    short = replace(load, requests=few, latency=shorter)
    runs = [(one.key, "", [one.before, one.after]) for one in factors]
    # In the middle of a round, so that what gets worse on the way does so to factors on both sides of it.
    runs.insert(ARTICLE_FACTORS, (WHOLE, "", [factors[0].before, factors[ARTICLE_FACTORS].before, factors[-1].after]))
    if links:
        runs += [(one.key, link, [one.before, one.after]) for one in factors for link in LINKS_OF.get(one.key, ())]
    for turn in range(repeat):
        for key, link, arms in runs:
            rtt, tls = LINKS[link or "HTTP"]
            for name in rotated(arms, turn):
                tags, conditions = {"factor": key, "link": link}, {"rtt": rtt, "tls": tls}
                yield Case(name, short if link else load, "bare", turn, conditions, tags, {"warm_up": limit})


@dataclass(frozen=True, slots=True)
class Step:
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


@dataclass(frozen=True, slots=True)
class Explained:
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


def explained(found: Record) -> Explained | None:
    """Return what the finished rounds of a record say; ``None`` if no round was finished."""
    if not found.trials:
        return None
    rows = found.rows.sort_values("repeat", kind="stable")
    whole = sum(1 for _ in plan(**{**found.asked, "repeat": 1}))
    rows = rows[rows.groupby("repeat")["arm"].transform("size") == whole]
    rows = rows.assign(slot_ms=1000 * rows["makespan_s"] / -(-rows["requests"] // rows["limit"]))  # by waves
    if rows.empty:
        return None
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
    way = [sides["", WHOLE, arm] for arm in ends]
    return Explained(rows, [step(one, "") for one in factors], links, *way)


def headline(found: Record) -> str:
    """Return the way down in seconds (before, the article's after, ours), and what saved the most of it."""
    seen = explained(found)
    if seen is None:
        return "Nothing is explained"
    ends = " to ".join(f"{side['makespan_s'].median():.1f} s" for side in (seen.before, seen.article, seen.ours))
    if seen.whole(seen.ours).median <= 0:
        return f"{ends}: nothing was saved"
    told = [step for step in seen.steps if step.saved.above_noise]
    shares = sorted(((seen.share(one.saved.median) or 0.0, one.factor) for one in told), key=lambda one: -one[0])
    best = [one for one in shares[:2] if one[0] >= LARGE] or shares[:1]
    if not best or best[0][0] <= 0:
        return f"{ends}: no factor is above noise"
    if len(best) > 1:
        return f"{ends}: saved {', '.join(f'{share:.0%} by {factor.brief}' for share, factor in best)}"
    share, factor = best[0]
    part = "almost all" if 0.97 <= share <= 1.03 else "more than all" if share > 1.03 else f"{share:.0%}"
    return f"{ends}: {part} of it comes from {factor.said if factor.key == 'limit' else factor.brief}"


def notes(found: Record) -> list[str]:
    """Say what each factor saved, whether all add up to the whole, what CPU did, and what failed or is missing."""
    seen = explained(found)
    if seen is None:
        return ["No round was finished."]
    said = [f"- {_sentence(step, seen)}" for step in seen.steps]
    said += [
        "",
        _sum("the article's step", seen, seen.article),
        _sum("the way to SupabaseAsync", seen, seen.ours),
        _cpu(seen),
    ]
    said += [f"{arm}: {most} requests failed in its worst trial, so its numbers are not reliable."
             for arm, most in seen.rows.groupby("arm", sort=False)["errors"].max().items() if most]  # fmt: skip
    return said if found.finished else [*said, f"Interrupted: only finished rounds count, {seen.rounds} of them."]


def _sentence(step: Step, seen: Explained) -> str:
    """What a factor saved, in time, in CPU and in connections."""
    got, share = step.saved.median, seen.share(step.saved.median)
    said = [f"{NOTHING} ({got:+.3f} s)"]
    if step.saved.above_noise:
        part = f", {abs(share):.0%} of the whole" if share is not None and abs(share) >= MUCH else ""
        said = [f"{'saves' if got > 0 else 'costs'} {duration(abs(got), places=2)}{part}"]
    if step.cpu.above_noise:
        way = "falls" if step.cpu.median > 0 else "rises"
        ends = [side["cpu_ms"].median() for side in (step.before, step.after)]
        said.append(f"CPU time per request {way} from {ends[0]:.2f} to {ends[1]:.2f} ms")
    old, new = (side["connections"].median() for side in (step.before, step.after))
    if min(old, new) and max(old, new) >= 1.5 * min(old, new):
        said.append(f"the lab saw {old:.0f} connections for {step.before['served'].iloc[0]} requests, then {new:.0f}")
    return f"{step.factor.said}: {'; '.join(said)}."


def _sum(name: str, seen: Explained, end: pd.DataFrame) -> str:
    """Whether the factors add up to the whole."""
    whole, left = seen.whole(end).median, seen.left(end)
    ends = ", ".join(
        f"{side['arm'].iloc[0]} {duration(side['makespan_s'].median(), places=2)}" for side in (seen.before, end)
    )
    saved, summed, rest = (duration(number, places=2) for number in (whole, whole - left, left))
    said = f"Measured directly, {name} ({ends}) saves {saved}; its factors sum to {summed}, which leaves {rest}"
    if whole <= 0:
        return f"{said}."
    verdict = "" if abs(left) <= SUM_WITHIN * whole else ": they do not add up, was the machine busy? Run it again"
    return f"{said} ({abs(left) / whole:.1%}){verdict}."


def _cpu(seen: Explained) -> str:
    """CPU of a request on the whole way, and which factors cut it most: seconds alone would hide them."""
    names = {"before": seen.before, "the article's after": seen.article, "SupabaseAsync": seen.ours}
    ends = ", ".join(f"{side['cpu_ms'].median():.2f} ms {name}" for name, side in names.items())
    cut = sorted((step for step in seen.steps if step.cpu.above_noise), key=lambda step: -step.cpu.median)
    best = [step.factor.brief for step in cut[:2] if step.cpu.median > 0]
    return f"CPU time per request: {ends}" + f"; reduced most by {' and '.join(best)}" * bool(best) + "."


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
    saved = f"{min(reuse):.0f} to {max(reuse):.0f} ms per request" if reuse else "time"
    return f"Connection reuse saves {saved}, depending on the network"


def link_notes(seen: Explained) -> Iterator[str]:
    """Say for each factor over which links it matters, and where the article's pool gives away what reuse saves."""
    for factor in dict.fromkeys(step.factor for step in seen.links):
        parts = [f"{_slot(step.saved)} ({step.link})" for step in seen.links if step.factor == factor]
        yield f"{factor.said}: {', '.join(parts)}."
    saved = {(step.factor.key, step.link): step for step in seen.links}
    for (key, link), step in saved.items():
        reuse = saved.get(("reuse", link))
        if key != "library" or reuse is None or not (reuse.saved.above_noise and step.saved.above_noise):
            continue
        got, lost, one = reuse.saved.median, -step.saved.median, step.after.iloc[0]
        if lost >= MOST * got > 0:
            yield (
                f"Over {link}, keep-alive for {one['limit'] // 2} connections loses {lost / got:.0%} of what reuse "
                "saved: "
                f"the lab saw {step.after['connections'].median():.0f} connections for {one['served']} requests."
            )


def _slot(got: Difference) -> str:
    if not got.above_noise:
        return "within noise"
    return f"{'saves' if got.median > 0 else 'costs'} {abs(got.median):.0f} ms"


def tables(found: Record) -> list[Table]:
    """Return the factors' table and, if links were measured, that of the links."""
    seen = explained(found)
    if seen is None:
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
    ends = [side["makespan_s"].median() for side in (before, after)]
    digits = _digits(max(abs(got.lowest), abs(got.highest))) + 1
    spread = f" ({got.lowest:+.{digits}f}..{got.highest:+.{digits}f})" if got.rounds > 1 else ""
    cpu = " -> ".join(f"{side['cpu_ms'].median():.2f}" for side in (before, after))
    seconds = [f"{number:.{min(_digits(number) + 1, 2)}f}" for number in ends]
    return [*seconds, f"{got.median:+.{digits}f}{spread}", _part(seen.share(got.median)), cpu]


def _part(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _digits(number: float) -> int:
    """Decimals that leave room: two below ten, one below a hundred, then none."""
    return 2 - (number >= 9.9995) - (number >= 99.995)


def _links(seen: Explained) -> Table:
    """A factor a row, a link a column."""
    names = [link for link in LINKS if any(step.link == link for step in seen.links)]
    saved = {(step.factor, step.link): step.saved for step in seen.links}
    rows = [
        [factor.change, *(_link_cell(saved.get((factor, name))) for name in names)]
        for factor in dict.fromkeys(step.factor for step in seen.links)
    ]
    unit = "Milliseconds saved of the time for which a request holds its slot, by network (20 ms: its round trip)"
    said = ["~: within noise, -: not measured", "", *(f"- {line}" for line in link_notes(seen))]
    asked = about(seen, seen.links)
    return Table(["factor", *names], rows, headline=link_headline(seen), about=[unit, asked], notes=said)


def _link_cell(got: Difference | None) -> str:
    """``+84``; what noise could have made has a tilde, what was not measured is a dash."""
    return "-" if got is None else f"{'' if got.above_noise else '~'}{got.median:+.0f}"


def compared(found: Record) -> dict[str, float]:
    """Return each factor's share of the whole, what is left of it, and CPU of a request with each arm."""
    seen = explained(found)
    if seen is None:
        return {}
    parts = {"remainder / whole": seen.share(seen.left(seen.ours))}
    parts |= {f"{step.factor.key}: share of the whole": seen.share(step.saved.median) for step in seen.steps}
    cpu = {f"{step.factor.after}: CPU ms/request": float(step.after["cpu_ms"].median()) for step in seen.steps}
    return {name: part for name, part in parts.items() if part is not None} | cpu


EXPERIMENT = Experiment(
    name=NAME,
    about="the step from the article's client to ours, a factor at a time, over several links",
    plan=plan,
    headline=headline,
    notes=notes,
    tables=tables,
    figures={
        "explain": drawn_by("explain_figures", "waterfall"),
        "explain-links": drawn_by("explain_figures", "by_link"),
    },
    compared=compared,
    full={"requests": 100, "latency": ARTICLE_S},
    quick={"requests": 40, "latency": 0.05, "repeat": 2, "links": False},
)
explain = EXPERIMENT.run
