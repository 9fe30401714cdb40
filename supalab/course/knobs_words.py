"""What a computed burst shows, in words: bursts go in, titles and sentences come out. Pure text."""

from __future__ import annotations

from dataclasses import replace

from supalab.course.knobs_schedule import Computed, Setting, makespan
from supalab.measure.trial import Trial
from supalab.report.format import count, duration

__all__ = [
    "BURST", "LINK", "burst_line", "burst_title", "connections", "fits", "link_line", "link_title", "measured_line",
    "other",
]  # fmt: skip

#: What every computed picture says of itself.
BURST = "computed: nothing but latency takes time"
LINK = "computed: nothing but round trips and latency takes time"


def burst_title(one: Setting) -> str:
    """Return a burst in a few words, without its link."""
    rounds = count(one.rounds, "round")
    last = f", {one.in_last} in the last" if one.rounds > 1 and one.in_last < one.limit else ""
    return f"{one.limit} at a time, {duration(one.each)} each: {rounds}{last}, done after {duration(makespan(one))}"


def burst_line(now: Computed) -> str:
    """Return makespan, throughput and mean wait in a sentence, and what the slots were good for in another."""
    one = now.setting
    said = f"{count(one.requests, 'request')}, {one.limit} at a time, {duration(one.latency)} each: {_figures(now)}"
    return f"{said} {_slots(one)}"


def _figures(now: Computed) -> str:
    wait = f"mean wait {duration(now.mean_wait_s)}" if now.mean_wait_s else "nobody waits for a slot"
    return f"makespan {duration(now.makespan_s)}, {now.throughput_per_s:.3g} requests/s, {wait}."


def _slots(one: Setting) -> str:
    rounds = f"{count(one.rounds, 'round')} of {duration(one.each)}"
    if one.limit > one.requests:
        return f"{rounds}; {count(one.limit - one.requests, 'slot')} never used."
    if one.in_last == one.limit:
        return f"{rounds}, all of them full."
    return f"{rounds}; the last one has {count(one.in_last, 'request')} for {count(one.limit, 'slot')}."


def other(one: Setting) -> Setting:
    """Return the same burst over the same link with the other manner of connections."""
    return replace(one, kept=not one.kept)


def connections(one: Setting) -> str:
    """Return how a burst treats its connections, in two words."""
    return "connections kept" if one.kept else "dialled anew"


def fits(one: Setting) -> str:
    """Return the link in a few words."""
    return f"{'TLS' if one.tls else 'plain'}, round trip {_trip(one.rtt)}"


def _trip(seconds: float) -> str:
    return duration(seconds) if seconds else "0"


def link_title(one: Setting) -> str:
    """Return a burst and its link in a few words."""
    return f"{connections(one).capitalize()}, {fits(one)}, {one.limit} at a time: done after {duration(makespan(one))}"


def link_line(now: Computed) -> str:
    """Return makespan, throughput and mean wait in a sentence, and what the other manner would take in another."""
    one, rival = now.setting, makespan(other(now.setting))
    trips = count(2 if one.tls else 1, "round trip")
    dialled = f"{count(one.dialled, 'connection')} dialled, each for {trips}" if one.rtt else "Dialling takes no time"
    if abs(rival - now.makespan_s) < 1e-9:
        beside = f"{connections(other(one)).capitalize()}: just as long."
    else:
        more = max(rival, now.makespan_s) / min(rival, now.makespan_s)
        way = "longer" if rival > now.makespan_s else "shorter"
        beside = f"{connections(other(one)).capitalize()}: {duration(rival)}, {way} by a factor of {more:.2g}."
    about = f"{count(one.requests, 'request')}, {one.limit} at a time, {duration(one.latency)} each at the server"
    return f"{about}, {connections(one)}, {fits(one)}: {_figures(now)} {dialled}. {beside}"


def measured_line(one: Setting, trial: Trial) -> str:
    """Return how far the computation carries, in a sentence; failed requests are counted."""
    expected, failed = makespan(one), f" {trial.errors} of {len(trial.spans)} failed." if trial.errors else ""
    share = min(expected / trial.makespan_s, 1.0)
    waits = "round trips and latency explain" if one.rtt else "latency alone explains"
    said = f"Computed {duration(expected)}, measured {duration(trial.makespan_s)} at the lab: "
    return f"{said}{waits} {share:.0%}, work of client and lab the rest.{failed}"
