"""Say what a client is: a kind, sentences for learners, rows of evidence for experts; in a terminal, a cell, a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from supalab.measure.archive import Form, rounded
from supalab.probe.judge import BLOCKING, CANNOT_TELL, FAKE, MIXED, OUTSIDE, PROCESSES, REAL, Finding
from supalab.probe.seen import Burst, Seen, Shares, shares
from supalab.report.table import Cell, Column, Table
from supalab.report.table import html as as_html

__all__ = ["VERDICT", "WAITERS", "Evidence", "Verdict", "evidence", "numbers", "sentences"]

TITLES = ("looked at", "seen", "speaks for")
BAR = 30
STYLES = {REAL: "good", FAKE: "other", BLOCKING: "bad", CANNOT_TELL: "other"}
# A share of the waiting, or of the time, from which on it decides; a smaller one from which on it is worth a word.
MUCH, LITTLE = 0.5, 0.08
#: Who can wait for a request, by the number's name in a verdict.
WAITERS = {
    "share_loop_sockets": "the event loop, for events",
    "share_other_loops": "event loops in other threads",
    "share_threads_read": "threads, one for each request",
    "share_threads_outside": "threads, in code outside Python",
    "share_loop_read": "the event loop's thread, blocked",
    "share_processes": "other processes",
    "share_unseen": "nobody that Python can see",
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
    """One row: what was looked at, what was seen, and what it speaks for."""

    looked_at: str
    seen: str
    speaks_for: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the probe says of a client.

    ``kind``: ``blocking``, ``fake async (threads)``, ``real async``, ``worker processes``, ``concurrent, outside
    Python``, ``mixed`` or ``cannot tell``. ``remarks``: such as ``limited to 3``. ``sentences``: the same in words for
    learners; for ``cannot tell`` also why. ``numbers``: what the judge went by, shares from 0 to 1 and counts.
    ``seen``: all that was counted. ``seconds``: how long the probe took. ``when``: UTC, ISO 8601.
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
        """Return the headline with its sentences, who waited as bars, and the evidence."""
        said = Table((), (), about=[Cell(f"{self.name}: {self.headline}", STYLES.get(self.kind, "bold"))])
        meaning = Table((), (), about=[Cell(" ".join(self.sentences))])
        if not self.evidence:
            return [said, meaning]
        always = {"share_loop_sockets", "share_threads_read", "share_loop_read"}
        shown = {name: self.numbers.get(name) or 0.0 for name in WAITERS}
        bars = [
            [WAITERS[name], f"{share:.0%}", "█" * round(BAR * share)]
            for name, share in shown.items()
            if share >= 0.005 or name in always
        ]
        waiters = Table(["who waited for the requests", Column(""), Column("")], bars)
        bursts = " and ".join(f"{burst.calls} calls at once" for burst in self.seen.bursts)
        waited = f"requests waited for {self.numbers.get('waiting_s') or 0.0:.0f} s in all"
        notes = [f"The probe took {self.seconds:.1f} s. Evidence from {bursts}: {waited}."]
        columns = [Column(title, wide=title != TITLES[0]) for title in TITLES]
        return [said, meaning, waiters, Table(columns, self._rows(), notes=notes)]

    def _rows(self) -> list[list[str]]:
        return [[row.looked_at, row.seen, row.speaks_for] for row in self.evidence]

    def __str__(self) -> str:
        wide = max((len(row.looked_at) for row in self.evidence), default=0)
        rows = [f"  {row.looked_at:<{wide}}  {row.seen} → {row.speaks_for}" for row in self.evidence]
        return "\n".join([f"{self.name}: {self.headline}", " ".join(self.sentences), *rows])

    def _repr_html_(self) -> str:
        headline, said = f"{self.name}: {self.headline}", Cell(" ".join(self.sentences))
        return as_html(Table([Column(title) for title in TITLES], self._rows(), headline=headline, about=[said]))

    # So that the last expression of a cell in a terminal can be read, too.
    __repr__ = __str__


VERDICT = Form("supalab-probe", 2, Verdict, "supalab probe --json")


def sentences(finding: Finding, seen: Seen) -> tuple[str, ...]:
    """Return what the finding means for a program, in a few sentences."""
    if finding.kind == CANNOT_TELL:
        return (f"This client could not be judged: {finding.why.rstrip('.?!')}.",)
    said = [MEANING[finding.kind]]
    if finding.kind == MIXED:
        found = shares(seen.useful)
        parts = {
            "the blocked loop": found.loop,
            "threads": found.threads,
            "an event loop": found.events + found.other_loops,
            "other processes": found.processes,
        }
        done = ", ".join(f"{share:.0%} is done by {who}" for who, share in parts.items() if share > 0)
        said.append(f"Of the waiting, {done}.")
    limit = f"limited to {seen.limit}"
    if limit in finding.remarks:
        said.append(f"It keeps at most {seen.limit} in flight; further calls wait in a queue of its own.")
    if seen.shared:
        said.append(SHARED)
    if "no connection reuse" in finding.remarks:
        said.append("It opens a new connection for each request, which costs one more round trip, with TLS two.")
    elif seen.new_connections == 0:
        said.append("It reuses its connections.")
    rest = [remark for remark in finding.remarks if remark not in {limit, "no connection reuse"}]
    return (*said, *(f"{remark[:1].upper()}{remark[1:]}." for remark in rest))


def numbers(seen: Seen) -> dict[str, float | None]:
    """Return the numbers that the judge went by: shares of the waiting, counts, the limit if there is one."""
    bursts, watched = seen.useful, sum(burst.watched_s for burst in seen.useful)
    found = shares(bursts)
    values: dict[str, float | None] = {
        "waiting_s": sum(burst.busy_s for burst in bursts),
        "watched_s": watched,
        "share_loop_read": found.loop,
        "share_threads_read": found.threads,
        "share_loop_sockets": found.events,
        "share_other_loops": found.other_loops,
        "share_processes": found.processes,
        "share_threads_outside": found.outside,
        "share_unseen": found.unseen - found.outside,
        "loop_blocked": sum(burst.blocked_s for burst in bursts) / watched if watched else None,
        "call_blocks_s": seen.call_blocks_s,
        "peak": max((burst.peak for burst in bursts), default=None),
        "limit": seen.limit,
        "requests_per_call": seen.requests_per_call,
        "new_connections_per_request": seen.new_connections,
    }
    return {name: rounded(value) for name, value in values.items()}


def evidence(seen: Seen) -> tuple[Evidence, ...]:
    """Return one row for each thing that was looked at; nothing if no burst was seen."""
    bursts = seen.useful
    if not bursts:
        return ()
    found, mean = shares(bursts), _means(bursts)
    opened, by_loop, by_threads = (
        sum(getattr(burst, name) for burst in bursts) for name in ("connections", "connects_loop", "connects_threads")
    )
    most = max(burst.threads_most for burst in bursts)
    worst = max(bursts, key=lambda burst: burst.gap_s)
    children = max(burst.processes_most for burst in bursts)
    peaks = ", ".join(f"{burst.peak} of {burst.calls}" for burst in bursts)
    limit = f"at most {seen.limit} at once" if seen.limit else "no limit below the last burst"
    outside = f"; {mean['threads_work']:.1f} were in code outside Python" if found.outside else ""
    rows = [
        (
            "other threads",
            f"on average {mean['threads_read']:.1f} threads were waiting to read from the lab, at most "
            f"{most}, for {mean['busy_s']:.1f} requests in flight there{outside}",
            _threads(bursts, found),
        ),
        (
            "the event loop's thread",
            f"{mean['loop_rest']:.0%} of the time waiting for events, {mean['loop_read']:.0%} waiting to read from "
            "the lab",
            "the loop is blocked" if found.loop > MUCH else "the loop is not in a read",
        ),
        (
            "the event loop's delays",
            f"blocked for {mean['blocked_s']:.0%} of the time; the longest pause was {1000 * worst.gap_s:.0f} ms, "
            f"{1000 * worst.gap_cpu_s:.0f} ms of it CPU work; each call blocks it for "
            f"{1000 * seen.call_blocks_s:.0f} ms",
            _delays(mean["blocked_s"], worst),
        ),
        ("sockets in the loop", *_sockets(seen, mean, found)),
        (
            "who holds connections",
            f"on average {mean['own']:.1f} connections to the lab are this process's, {mean['processes']:.1f} those of "
            "child processes" + (f" ({children} of them)" if children else ""),
            "other processes make requests" if children else "no other process makes requests",
        ),
        (
            "who opens connections",
            f"the lab saw {opened} new connections; Python opened {by_loop} in the loop's thread, {by_threads} in "
            "others",
            _connects(opened, by_loop, by_threads, seen.connects_heard),
        ),
        ("peak in flight at the lab", f"{peaks} calls at once", f"{limit}; not for a kind of client"),
        ("one call after another", *_reuse(seen)),
        *_misleading(mean, found),
    ]
    return tuple(Evidence(*row) for row in rows)


def _means(bursts: Sequence[Burst]) -> dict[str, float]:
    """How many there were of each thing on average; for the one thread of the loop, its part of the time."""
    names = [name for name in Burst.__slots__ if isinstance(getattr(bursts[0], name), (int, float))]
    watched = sum(burst.watched_s for burst in bursts)
    return {name: sum(getattr(burst, name) for burst in bursts) / watched for name in names}


def _threads(bursts: Sequence[Burst], found: Shares) -> str:
    if found.threads > MUCH:
        return "a thread waits for each request"
    if found.outside:
        return "a thread waits for each request, outside Python"
    some = max(shares([burst]).threads for burst in bursts) > LITTLE
    return "threads wait for some of the requests" if some else "threads do not wait for the requests"


def _delays(blocked: float, worst: Burst) -> str:
    if blocked > MUCH:
        return "it waits and does nothing: it is blocked"
    busy = worst.gap_cpu_s > MUCH * worst.gap_s and worst.gap_s > LITTLE
    return "it was busy with CPU work, not blocked" if busy else "it is not blocked"


def _sockets(seen: Seen, mean: Mapping[str, float], found: Shares) -> tuple[str, str]:
    if not seen.loop_shows_sockets:
        return f"{seen.loop} does not show them", "nothing"
    said = f"on average {mean['loop_sockets']:.1f} sockets to the lab were watched by the loop"
    said += f", {mean['other_loops']:.1f} by loops in other threads" if mean["other_loops"] else ""
    events = found.events + found.other_loops
    if events > MUCH:
        return said, "the event loop waits for the requests"
    return (
        said,
        f"{'an' if events > LITTLE else 'no'} event loop waits for {'some of ' * (events > LITTLE)}the requests",
    )


def _connects(opened: int, by_loop: int, by_threads: int, heard: bool) -> str:
    if by_loop or by_threads:
        return "threads connect" if by_threads > by_loop else "the loop's thread connects"
    return "somebody outside this Python connects" if opened and heard else "nothing"


def _reuse(seen: Seen) -> tuple[str, str]:
    if seen.new_connections is None:
        return "too few to say", "nothing"
    each = "a new connection each" if seen.new_connections >= 0.8 else "connections are kept"
    return f"{seen.requests} requests on {seen.connections} new connections", each


def _misleading(mean: Mapping[str, float], found: Shares) -> list[tuple[str, str, str]]:
    """What is there now and then, and misleads: it is said, and speaks for nothing."""
    rows = {
        "threads at other servers": (mean["threads_elsewhere"], "in a read of another server"),
        "threads at other work": (0.0 if found.outside else mean["threads_work"], "at work that is no read of the lab"),
        "name look-ups": (mean["threads_resolving"], "looking up a name"),
        "threads with own requests": (mean["background_s"], "waiting for requests that no call made"),
    }
    return [
        (title, f"on average {number:.1f} threads {what}", "nothing: real async has those too")
        for title, (number, what) in rows.items()
        if number > LITTLE
    ]
