"""What earned the speed-up, in sentences: an Explanation goes in, plain words with its numbers come out. Pure.

A difference that noise could have made is said to be none, whatever its median is.
"""

from __future__ import annotations

from supalab.measure.explain.result import Earned, Explanation, LinkStep, Side, Step
from supalab.report.format import duration, stated

__all__ = [
    "NOTHING",
    "about",
    "cpu_line",
    "failures",
    "headline",
    "link_about",
    "link_headline",
    "link_lines",
    "sentence",
    "sums",
    "what",
]

NOTHING = "nothing that can be told from noise here"
#: The sum of the factors should be the whole to within this part of it.
SUM_WITHIN = 0.10
MUCH = 0.01
MOST = 0.5
#: A second factor is named in the headline from this share of the whole on.
LARGE = 0.2


def what(factor: str, limits: tuple[int, int]) -> str:
    """Return what a factor changes, as the subject of a sentence."""
    before, after = limits
    subjects = {
        "limit": f"{after} threads in place of {before}",
        "reuse": "One requests.Session in place of a new connection for each request",
        "library": f"httpx in place of requests, still in threads, which keeps {after // 2} connections open "
        "as the article's does",
        "async": "Async in place of threads, same library and same pool",
        "keepalive": f"Keeping all {after} connections open in place of {after // 2}",
        "gate": "A gate before httpx's pool in place of its own queue",
        "around": "What ours adds (one deadline, safe retries, checked answers) in place of a bare AsyncClient",
        "transport": "a faster connection pool instead of httpx's",
    }
    return subjects[factor]


def _seconds(number: float) -> str:
    return duration(number, places=2)


def sentence(step: Step, found: Explanation) -> str:
    """Return what a factor earned, in time, in CPU and in connections."""
    said = [_time(found.seconds(step), found.share(step)), _cpu(found.cpu_ms(step), step)]
    reused = _connections(step.before, step.after)
    return f"{what(step.factor, found.limits)}: {'; '.join(part for part in (*said, reused) if part)}."


def _time(got: Earned, share: float | None) -> str:
    if not got.told:
        return f"{NOTHING} ({got.middle:+.3f} s)"
    part = f", {abs(share):.0%} of the whole" if share is not None and abs(share) >= MUCH else ""
    return f"{'earns' if got.middle > 0 else 'costs'} {_seconds(abs(got.middle))}{part}"


def _cpu(got: Earned, step: Step) -> str:
    if not got.told:
        return ""
    way = "falls" if got.middle > 0 else "rises"
    return f"CPU of a request {way} from {step.before.cpu:.2f} to {step.after.cpu:.2f} ms"


def _connections(before: Side, after: Side) -> str:
    """Say how many connections the lab counted, if that changed by half or more."""
    few, many = sorted((_middle(before), _middle(after)))
    if not few or many < 1.5 * few:
        return ""
    return f"the lab saw {_middle(before)} connections for {before.requests} requests, then {_middle(after)}"


def _middle(side: Side) -> int:
    return sorted(side.connections)[len(side.connections) // 2] if side.connections else 0


def headline(found: Explanation) -> str:
    """Return the way down in seconds (before, the article's after, ours), and what earned the most of it."""
    whole = found.whole
    ends = " to ".join(f"{side.seconds:.1f} s" for side in (whole.before, whole.article, whole.ours))
    if found.earned_s <= 0:
        return f"{ends}: nothing was earned"
    told = [(found.share(step) or 0.0, step.factor) for step in found.steps if found.seconds(step).told]
    best = [one for one in sorted(told, reverse=True)[:2] if one[0] >= LARGE] or sorted(told, reverse=True)[:1]
    if not best or best[0][0] <= 0:
        return f"{ends}: no factor can be told from noise"
    if len(best) > 1:
        return (
            f"{ends}: earned {', '.join(f'{share:.0%} by {_briefly(factor, found.limits)}' for share, factor in best)}"
        )
    share, factor = best[0]
    part = "nearly all" if 0.97 <= share <= 1.03 else "more than all" if share > 1.03 else f"{share:.0%}"
    instead = f" in place of {found.limits[0]}" if factor == "limit" else ""
    return f"{ends}: {part} of it earned by {_briefly(factor, found.limits)}{instead}"


def _briefly(factor: str, limits: tuple[int, int]) -> str:
    names = {
        "limit": f"{limits[1]} threads",
        "reuse": "reuse of connections",
        "library": "httpx for requests",
        "async": "async for threads",
        "keepalive": f"keeping all {limits[1]} open",
        "gate": "a gate before the pool",
        "around": "what ours adds",
        "transport": "a faster connection pool",
    }
    return names[factor]


def about(found: Explanation) -> str:
    """Return what was asked of every arm, and how often."""
    load = found.workload
    again = f"medians of {found.rounds} rounds" if found.rounds > 1 else "one round"
    each = f"{stated(load.latency or 0)} each at the server"
    return f"{load.requests:,} requests at once, {each}; {again}, after a warm-up"


def sums(found: Explanation) -> list[str]:
    """Return whether the factors add up to the whole: for the article's own step, and for the way to ours."""
    whole = found.whole
    return [
        _sum("the article's step", whole.before, whole.article, found.article_s, found.article_remainder_s),
        _sum("the way to ours", whole.before, whole.ours, found.earned_s, found.remainder_s),
    ]


def cpu_line(found: Explanation) -> str:
    """Return the CPU of a request on the whole way, and which factors cut it most: seconds alone would hide them."""
    whole = found.whole
    names = ((whole.before, "before"), (whole.article, "the article's after"), (whole.ours, "ours"))
    ends = ", ".join(f"{side.cpu:.2f} ms {name}" for side, name in names)
    saved = sorted(((found.cpu_ms(step), step) for step in found.steps), key=lambda one: -one[0].middle)
    best = [_briefly(step.factor, found.limits) for got, step in saved if got.told and got.middle > 0][:2]
    return f"CPU of a request: {ends}" + (f"; cut most by {' and '.join(best)}." if best else ".")


def _sum(name: str, before: Side, after: Side, whole: float, left: float) -> str:
    ends = f"{before.arm} {_seconds(before.seconds)}, {after.arm} {_seconds(after.seconds)}"
    said = f"Measured at once, {name} ({ends}) earns {_seconds(whole)}; its factors sum to {_seconds(whole - left)}"
    if whole <= 0:
        return f"{said}, which leaves {_seconds(left)}."
    verdict = "" if abs(left) <= SUM_WITHIN * whole else ": they do not add up, was the machine busy? Run it again"
    return f"{said}, which leaves {_seconds(left)} ({abs(left) / whole:.1%}){verdict}."


def link_headline(found: Explanation) -> str:
    """Return by how much the link changes what reuse of connections earns."""
    reuse = [found.slot_ms(step).middle for step in found.links if step.factor == "reuse"]
    if not reuse:
        return "What connections earn depends on the link"
    low, high = min(reuse), max(reuse)
    return f"What connections earn depends on the link: reuse {low:.0f} to {high:.0f} ms a request"


def link_about(found: Explanation) -> str:
    """Return what was asked of every arm over the links."""
    load = found.link_workload or found.workload
    again = f"; medians of {found.rounds} rounds" if found.rounds > 1 else ""
    each = f"{stated(load.latency or 0)} each at the server"
    return f"{load.requests} requests, {found.limits[1]} at a time, {each} and the link's round trips{again}"


def link_lines(found: Explanation) -> list[str]:
    """Return, for each factor that was measured over several links, where it matters and where it does not."""
    keys = dict.fromkeys(step.factor for step in found.links)
    said = [_link_line([step for step in found.links if step.factor == key], found) for key in keys]
    return said + _thrown_away(found)


def _link_line(steps: list[LinkStep], found: Explanation) -> str:
    parts = [f"{_slot(found.slot_ms(step))} ({step.link})" for step in steps]
    return f"{what(steps[0].factor, found.limits)}: {', '.join(parts)}."


def _slot(got: Earned) -> str:
    if not got.told:
        return "not told from noise"
    return f"{'earns' if got.middle > 0 else 'costs'} {abs(got.middle):.0f} ms"


def _thrown_away(found: Explanation) -> list[str]:
    """Say so where the article's pool, which keeps half of its connections, loses most of what reuse earned."""
    reuse = {step.link: found.slot_ms(step) for step in found.links if step.factor == "reuse"}
    said = []
    for step in found.links:
        got, lost = reuse.get(step.link), found.slot_ms(step)
        if step.factor == "library" and got and got.told and lost.told and -lost.middle >= MOST * got.middle > 0:
            counted = f"the lab saw {_middle(step.after)} connections for {step.after.requests} requests"
            part = f"{-lost.middle / got.middle:.0%} of what reuse earned"
            said.append(f"Over {step.link}, a pool that keeps {found.limits[1] // 2} loses {part}: {counted}.")
    return said


def failures(found: Explanation) -> list[str]:
    """Return the arms whose requests failed, if any did: their times are not to be trusted."""
    pairs: list[Step | LinkStep] = [*found.steps, *found.links]
    sides = [side for step in pairs for side in (step.before, step.after)]
    sides += [found.whole.before, found.whole.article, found.whole.ours]
    worst: dict[str, int] = {}
    for side in sides:
        worst[side.arm] = max(worst.get(side.arm, 0), side.errors)
    return [
        f"{arm}: {errors} requests failed in its worst trial, so its figures are not to be trusted."
        for arm, errors in worst.items()
        if errors
    ]
