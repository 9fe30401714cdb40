"""Present what a probe found: the kind of client, sentences for learners, and rows of evidence for experts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from supalab.measure.record import Form, rounded
from supalab.probe.judge import BLOCKING, CANNOT_TELL, FAKE, MIXED, NO_REUSE, OUTSIDE, PROCESSES, REAL, Finding
from supalab.probe.seen import Burst, Seen, Shares, shares
from supalab.report.table import Cell, Column, Table, html, text

__all__ = ["VERDICT", "WAITERS", "Evidence", "Verdict", "evidence", "numbers", "sentences"]

BAR = 30
ALWAYS = {"share_loop_sockets", "share_threads_read", "share_loop_read"}
STYLES = {REAL: "good", FAKE: "other", BLOCKING: "bad", CANNOT_TELL: "other"}
# A share of the waiting, or of the time, from which on it decides; a smaller one from which on it is worth a word.
MUCH, LITTLE = 0.5, 0.08
#: What can wait for a request, by the number's name in a verdict.
WAITERS = {
    "share_loop_sockets": "the event loop, for events",
    "share_other_loops": "event loops in other threads",
    "share_threads_read": "threads, one for each request",
    "share_threads_outside": "threads, in code outside Python",
    "share_loop_read": "the event loop's thread, blocked",
    "share_processes": "other processes",
    "share_unseen": "nothing that Python can see",
}
MEANING = {
    BLOCKING: "While one of its requests is in flight, the whole event loop is blocked: no other request starts, "
    "and nothing else in the program runs.",
    FAKE: "Each of its requests occupies a thread that waits for the response. The event loop stays responsive, but "
    "there are never more requests in flight than threads, and cancelling a caller does not stop its thread.",
    REAL: "The event loop itself waits for all of its requests at once; no thread waits for them.",
    PROCESSES: "Its requests are made by other processes, which wait for the responses instead of the event loop.",
    OUTSIDE: "Its requests run at the same time, and the code that makes them is not Python: neither threads of "
    "Python nor sockets of Python wait for them.",
    MIXED: "Not all of its requests are made in the same way: some are waited for by the event loop, others by a "
    "thread, by a process, or while the loop is blocked.",
}
SHARED = "Calls that want the same at the same time share a request, so its limit, if it has one, was not reached."


@dataclass(frozen=True, slots=True)
class Evidence:
    """One row of evidence: what was checked, what was observed, and what it indicates."""

    looked_at: str
    seen: str
    speaks_for: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a probe.

    ``kind``: ``blocking``, ``fake async (threads)``, ``real async``, ``worker processes``, ``concurrent, outside
    Python``, ``mixed`` or ``cannot tell``. ``remarks``: such as ``limited to 3``. ``sentences``: the same in words for
    learners; for ``cannot tell`` also why. ``numbers``: the basis of the decision, shares from 0 to 1 and counts.
    ``seen``: all counts. ``seconds``: how long the probe took. ``when``: UTC, ISO 8601.
    """

    name: str
    kind: str
    remarks: tuple[str, ...]
    sentences: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    numbers: Mapping[str, float | None]
    seen: Seen
    seconds: float
    when: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def headline(self) -> str:
        """The kind and the remarks in one line."""
        return ", ".join((self.kind, *self.remarks))

    def tables(self) -> list[Table]:
        """Return the headline with its sentences, bars for what waited, and the evidence."""
        head = Table((), (), about=[Cell(f"{self.name}: {self.headline}", STYLES.get(self.kind, "bold"))])
        meaning = Table((), (), about=[Cell(" ".join(self.sentences))])
        if not self.evidence:
            return [head, meaning]
        found = {name: self.numbers.get(name) or 0.0 for name in WAITERS}
        bars = [
            [WAITERS[name], f"{share:.0%}", "█" * round(BAR * share)]
            for name, share in found.items()
            if share >= 0.005 or name in ALWAYS
        ]
        waiters = Table(["who waited for the requests", Column(""), Column("")], bars)
        bursts = " and ".join(f"{burst.calls} calls at once" for burst in self.seen.bursts)
        waited = f"requests waited for {self.numbers.get('waiting_s') or 0.0:.0f} s in all"
        notes = [f"The probe took {self.seconds:.1f} s. Evidence from {bursts}: {waited}."]
        rows = [[row.looked_at, row.seen, row.speaks_for] for row in self.evidence]
        columns = [Column("looked at"), Column("seen", wide=True), Column("speaks for", wide=True)]
        return [head, meaning, waiters, Table(columns, rows, notes=notes)]

    def __str__(self) -> str:
        return text(self.tables())

    def _repr_html_(self) -> str:
        return html(self.tables())

    # So that the last expression of a cell in a terminal can be read, too.
    __repr__ = __str__


VERDICT = Form("supalab-probe", 2, Verdict, "supalab probe --json")


def sentences(finding: Finding, seen: Seen) -> tuple[str, ...]:
    """Return what the finding means for a program, in a few sentences."""
    if finding.kind == CANNOT_TELL:
        return (f"This client could not be judged: {finding.why.rstrip('.?!')}.",)
    said, limit, no_reuse = [MEANING[finding.kind]], f"limited to {seen.limit}", "no connection reuse"
    if finding.kind == MIXED:
        found = numbers(seen)
        said.append(
            f"Of the waiting: {'; '.join(f'{found[name]:.0%} {WAITERS[name]}' for name in WAITERS if found[name])}."
        )
    if limit in finding.remarks:
        said.append(f"It keeps at most {seen.limit} in flight; further calls wait in a queue of its own.")
    if seen.shared:
        said.append(SHARED)
    if no_reuse in finding.remarks:
        said.append("It opens a new connection for each request, which costs one more round trip, with TLS two.")
    elif seen.new_connections == 0:
        said.append("It reuses its connections.")
    said += [f"{remark[:1].upper()}{remark[1:]}." for remark in finding.remarks if remark not in {limit, no_reuse}]
    return tuple(said)


def numbers(seen: Seen) -> dict[str, float | None]:
    """Return the numbers that the judge went by: shares of the waiting, counts, the limit if there is one."""
    bursts, found = seen.useful, shares(seen.useful)
    values: dict[str, float | None] = {
        "waiting_s": sum(burst.busy_s for burst in bursts),
        "watched_s": sum(burst.watched_s for burst in bursts),
        "share_loop_read": found.loop,
        "share_threads_read": found.threads,
        "share_loop_sockets": found.events,
        "share_other_loops": found.other_loops,
        "share_processes": found.processes,
        "share_threads_outside": found.outside,
        "share_unseen": found.unseen - found.outside,
        "loop_blocked": _means(bursts)["blocked_s"] if bursts else None,
        "call_blocks_s": seen.call_blocks_s,
        "peak": max((burst.peak for burst in bursts), default=None),
        "limit": seen.limit,
        "requests_per_call": seen.requests_per_call,
        "new_connections_per_request": seen.new_connections,
    }
    return {name: rounded(value) for name, value in values.items()}


def evidence(seen: Seen) -> tuple[Evidence, ...]:
    """Return one row for each check; nothing if no burst was observed."""
    bursts, found = seen.useful, shares(seen.useful)
    if not bursts:
        return ()
    mean = _means(bursts)
    return (*_waiting(seen, bursts, found, mean), *_counts(seen, bursts, mean), *_misleading(found, mean))


def _means(bursts: Sequence[Burst]) -> dict[str, float]:
    """How many there were of each thing on average; of what the loop's one thread does, the part of the time."""
    names = [name for name in Burst.__slots__ if isinstance(getattr(bursts[0], name), (int, float))]
    watched = sum(burst.watched_s for burst in bursts)
    return {name: sum(getattr(burst, name) for burst in bursts) / watched for name in names}


def _waiting(seen: Seen, bursts: Sequence[Burst], found: Shares, mean: Mapping[str, float]) -> Iterator[Evidence]:
    """Yield evidence of what waited: threads, the loop's thread, the loop."""
    worst = max(bursts, key=lambda burst: burst.gap_s)
    said = f"on average {mean['threads_read']:.1f} threads were waiting to read from the lab, "
    said += f"for {mean['busy_s']:.1f} requests in flight there"
    some = max(shares([burst]).threads for burst in bursts) > LITTLE
    speaks = "threads wait for some of the requests" if some else "threads do not wait for the requests"
    if found.threads > MUCH:
        speaks = "a thread waits for each request"
    elif found.outside:
        said += f"; {mean['threads_work']:.1f} were in code outside Python"
        speaks = "a thread waits for each request, outside Python"
    yield Evidence("other threads", said, speaks)
    said = (
        f"{mean['loop_rest']:.0%} of the time waiting for events, {mean['loop_read']:.0%} waiting to read from the lab"
    )
    yield Evidence("the event loop's thread", said, "it is blocked" if found.loop > MUCH else "it is not in a read")
    said = f"blocked for {mean['blocked_s']:.0%} of the time; the longest pause was {1000 * worst.gap_s:.0f} ms, "
    said += (
        f"{1000 * worst.gap_cpu_s:.0f} ms of it CPU work; each call blocks it for {1000 * seen.call_blocks_s:.0f} ms"
    )
    speaks = "it is blocked" if mean["blocked_s"] > MUCH else "it is not blocked"
    if mean["blocked_s"] <= MUCH and worst.gap_s > LITTLE and worst.gap_cpu_s > MUCH * worst.gap_s:
        speaks = "it was busy with CPU work, not blocked"
    yield Evidence("the event loop's delays", said, speaks)
    events = found.events + found.other_loops
    said = f"on average {mean['loop_sockets']:.1f} sockets to the lab were watched by the loop"
    said += f", {mean['other_loops']:.1f} by loops in other threads" if mean["other_loops"] else ""
    speaks = (
        "an event loop waits for some of the requests" if events > LITTLE else "no event loop waits for the requests"
    )
    speaks = "the event loop waits for the requests" if events > MUCH else speaks
    if not seen.loop_shows_sockets:
        said, speaks = f"{seen.loop} does not show them", "nothing"
    yield Evidence("sockets in the loop", said, speaks)


def _counts(seen: Seen, bursts: Sequence[Burst], mean: Mapping[str, float]) -> Iterator[Evidence]:
    """Connections, requests in flight, and how connections are reused."""
    said = f"on average {mean['own']:.1f} connections to the lab are this process's, {mean['processes']:.1f} others'"
    speaks = "other processes make requests" if mean["processes"] > LITTLE else "no other process makes requests"
    yield Evidence("who holds connections", said, speaks)
    by_loop, by_threads = (
        sum(getattr(burst, name) for burst in bursts) for name in ("connects_loop", "connects_threads")
    )
    opened = sum(burst.connections for burst in bursts)
    said = f"the lab saw {opened} new connections; Python opened {by_loop} in the loop's thread, {by_threads} in others"
    speaks = "threads connect" if by_threads > by_loop else "the loop's thread connects"
    if not by_loop and not by_threads:
        speaks = "somebody outside this Python connects" if opened and seen.connects_heard else "nothing"
    yield Evidence("who opens connections", said, speaks)
    peaks = ", ".join(f"{burst.peak} of {burst.calls}" for burst in bursts)
    limit = f"at most {seen.limit} at once" if seen.limit else "no limit below the last burst"
    yield Evidence("peak in flight at the lab", f"{peaks} calls at once", f"{limit}; not for a kind of client")
    said, speaks = "too few to say", "nothing"
    if seen.new_connections is not None:
        said = f"{seen.requests} requests on {seen.connections} new connections"
        speaks = "a new connection each" if seen.new_connections >= NO_REUSE else "connections are kept"
    yield Evidence("one call after another", said, speaks)


def _misleading(found: Shares, mean: Mapping[str, float]) -> Iterator[Evidence]:
    """Yield observations that are often misread: they are shown but are not evidence."""
    for title, name, what in (
        ("threads at other servers", "threads_elsewhere", "in a read of another server"),
        ("threads at other work", "threads_work", "at work that is no read of the lab"),
        ("name look-ups", "threads_resolving", "looking up a name"),
        ("threads with own requests", "background_s", "waiting for requests that no call made"),
    ):
        if mean[name] > LITTLE and not (name == "threads_work" and found.outside):
            yield Evidence(title, f"on average {mean[name]:.1f} threads {what}", "nothing: real async has those too")
