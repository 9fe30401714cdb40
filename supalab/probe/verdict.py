"""Present what a probe found: the kind of client, sentences for learners, and rows of evidence for experts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from supalab.measure.instruments import machine, versions
from supalab.measure.record import Form, rounded
from supalab.probe.judge import BLOCKING, CANNOT_TELL, FAKE, MIXED, NEW_EACH, NO_REUSE, OUTSIDE, PROCESSES, REAL, judge
from supalab.probe.seen import Row, Seen, row
from supalab.report.table import Cell, Column, Table, html, text

__all__ = ["VERDICT", "WAITERS", "Evidence", "Verdict", "concluded"]

BAR = 30
BLOCKED = "it is blocked"
NO_THREADS, NO_LOOP = "threads do not wait for the requests", "no event loop waits for the requests"
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
#: What is often misread, and is no evidence: a number of a burst, its title, and what the threads do.
MISLEADING = {
    "threads_elsewhere": ("threads at other servers", "in a read of another server"),
    "threads_work": ("threads at other work", "at work that is no read of the lab"),
    "threads_resolving": ("name look-ups", "looking up a name"),
    "background": ("threads with own requests", "waiting for requests that no call made"),
}


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
        head = Cell(f"{self.name}: {self.headline}", STYLES.get(self.kind, "bold"))
        above = [Table((), (), about=[head]), Table((), (), about=[Cell(" ".join(self.sentences))])]
        if not self.evidence:
            return above
        found = {name: self.numbers.get(name) or 0.0 for name in WAITERS}
        bars = [
            [WAITERS[name], f"{share:.0%}", "█" * round(BAR * share)]
            for name, share in found.items()
            if share >= 0.005 or name in ALWAYS
        ]
        bursts = " and ".join(f"{burst['calls']} calls at once" for burst in self.seen.bursts)
        waited = f"requests waited for {self.numbers.get('waiting_s') or 0.0:.0f} s in all"
        note = f"The probe took {self.seconds:.1f} s. Evidence from {bursts}: {waited}."
        rows = [[row.looked_at, row.seen, row.speaks_for] for row in self.evidence]
        columns = [Column("looked at"), Column("seen", wide=True), Column("speaks for", wide=True)]
        waiters = Table(["who waited for the requests", Column(""), Column("")], bars)
        return [*above, waiters, Table(columns, rows, notes=[note])]

    def __str__(self) -> str:
        return text(self.tables())

    def _repr_html_(self) -> str:
        return html(self.tables())

    # So that the last expression of a cell in a terminal can be read, too.
    __repr__ = __str__


VERDICT = Form("supalab-probe", 3, Verdict, "supalab probe --json")


def concluded(name: str, seen: Seen, seconds: float, when: str) -> Verdict:
    """Return the verdict on what was seen of a client; ``seconds`` and ``when`` are the probe's."""
    n = row(seen)
    kind, remarks = judge(n)
    numbers = {name: rounded(value) for name, value in vars(n).items() if isinstance(value, int | float | None)}
    evidence = (*_waiting(n), *_counts(n)) if n.bursts else ()
    if kind == CANNOT_TELL:
        said: tuple[str, ...] = (f"This client could not be judged: {remarks[0].rstrip('.?!')}.",)
        remarks = ()
    else:
        said = (MEANING[kind], *_sentences(n, kind, remarks))
    return Verdict(name, kind, remarks, said, evidence, numbers, seen, seconds, when, machine(), versions())


def _sentences(n: Row, kind: str, remarks: tuple[str, ...]) -> Iterator[str]:
    """What the verdict means for a program; the kind alone does not say it."""
    if kind == MIXED:
        parts = [f"{getattr(n, name):.0%} {who}" for name, who in WAITERS.items() if rounded(getattr(n, name))]
        yield f"Of the waiting: {'; '.join(parts)}."
    limit = f"limited to {n.limit}"
    if limit in remarks:
        yield f"It keeps at most {n.limit} in flight; further calls wait in a queue of its own."
    if n.shared:
        yield "Calls for the same data at the same time share a request, so its limit, if it has one, was not reached."
    if NO_REUSE in remarks:
        yield "It opens a new connection for each request, which costs one more round trip, with TLS two."
    elif n.new_connections_per_request == 0:
        yield "It reuses its connections."
    for remark in remarks:
        if remark not in {limit, NO_REUSE}:
            yield f"{remark[:1].upper()}{remark[1:]}."


def _waiting(n: Row) -> Iterator[Evidence]:
    """What waited: threads, the loop's thread, the loop."""
    mean, loops = n.mean, n.share_loop_sockets + n.share_other_loops
    said = f"on average {mean['threads_read']:.1f} threads were waiting to read from the lab"
    said += f", {mean['threads_work']:.1f} were in code outside Python" if n.share_threads_outside else ""
    speaks = "threads wait for some of the requests" if n.most_threads > LITTLE else NO_THREADS
    if n.share_threads_read > MUCH or n.share_threads_outside:
        speaks = "a thread waits for each request"
    yield Evidence("other threads", f"{said}, for {mean['busy']:.1f} requests in flight there", speaks)
    said = f"{mean['loop_rest']:.0%} of the time waiting for events, {mean['loop_read']:.0%} in a read from the lab"
    yield Evidence("the event loop's thread", said, BLOCKED if n.share_loop_read > MUCH else "it is not in a read")
    gap_ms, work_ms = 1000 * n.worst["gap_s"], 1000 * n.worst["gap_cpu_s"]
    said = (
        f"blocked for {n.loop_blocked:.0%} of the time; the longest pause was {gap_ms:.0f} ms, {work_ms:.0f} ms of it "
    )
    said += f"CPU work; each call blocks it for {1000 * n.call_blocks_s:.0f} ms"
    busy = gap_ms > 1000 * LITTLE and work_ms > MUCH * gap_ms
    speaks = "it was busy with CPU work, not blocked" if busy else "it is not blocked"
    yield Evidence("the event loop's delays", said, BLOCKED if n.loop_blocked > MUCH else speaks)
    said = f"on average {mean['loop_sockets']:.1f} sockets to the lab were watched by the loop"
    said += f", {mean['other_loops']:.1f} by loops in other threads" if n.share_other_loops else ""
    speaks = "an event loop waits for some of the requests" if loops > LITTLE else NO_LOOP
    speaks = "the event loop waits for the requests" if loops > MUCH else speaks
    hidden = (f"{n.loop} does not show them", "nothing")
    yield Evidence("sockets in the loop", *((said, speaks) if n.loop_shows_sockets else hidden))


def _counts(n: Row) -> Iterator[Evidence]:
    """Connections, requests in flight, how connections are reused, and what is often misread."""
    mean, total = n.mean, n.total
    said = f"on average {mean['own']:.1f} connections to the lab are this process's, {mean['processes']:.1f} others'"
    speaks = "other processes make requests" if mean["processes"] > LITTLE else "no other process makes requests"
    yield Evidence("who holds connections", said, speaks)
    opened, by_loop, by_threads = (total[name] for name in ("connections", "connects_loop", "connects_threads"))
    said = f"the lab saw {opened} new connections; Python opened {by_loop} in the loop's thread, {by_threads} in others"
    speaks = "threads connect" if by_threads > by_loop else "the loop's thread connects"
    if not by_loop and not by_threads:
        speaks = "somebody outside this Python connects" if opened and n.connects_heard else "nothing"
    yield Evidence("who opens connections", said, speaks)
    peaks = ", ".join(f"{one['peak']} of {one['calls']}" for one in n.bursts)
    limit = f"at most {n.limit} at once" if n.limit else "no limit below the last burst"
    yield Evidence("peak in flight at the lab", f"{peaks} calls at once", f"{limit}; does not show the kind")
    said, speaks = f"{n.requests} requests on {n.connections} new connections", "too few to say"
    if n.new_connections_per_request is not None:
        speaks = "a new connection each" if n.new_connections_per_request >= NEW_EACH else "connections are kept"
    yield Evidence("one call after another", said, speaks)
    for name, (title, doing) in MISLEADING.items():
        if mean[name] > LITTLE and not (name == "threads_work" and n.share_threads_outside):
            yield Evidence(title, f"on average {mean[name]:.1f} threads {doing}", "nothing: real async has those too")
