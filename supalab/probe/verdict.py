"""Present what a probe found: the kind of client, sentences for learners, and rows of evidence for experts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from supalab.measure.instruments import machine, versions
from supalab.measure.record import Form, rounded
from supalab.probe.judge import BLOCKING, CANNOT_TELL, FAKE, MIXED, NO_REUSE, OUTSIDE, PROCESSES, REAL, judge
from supalab.probe.seen import Row, Seen, row
from supalab.report.table import Cell, Column, Table, html, text

BAR = 30
SOCKETS = "sockets that the loop watches"
ALWAYS = {"share_loop_sockets", "share_threads_read", "share_loop_read"}
STYLES = {REAL: "good", FAKE: "other", BLOCKING: "bad", CANNOT_TELL: "other"}
#: What can wait for a request, by the name of its number in a verdict.
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
#: Rows of evidence: what was checked, how to read it, and a template for the observed numbers.
EVIDENCE = (
    ("other threads", "one for each request: fake async",
     "on average {mean[threads_read]:.1f} waiting to read from the lab, {mean[threads_work]:.1f} at other work, for "
     "{mean[busy]:.1f} requests in flight there"),
    ("the event loop's thread", "time in a read: blocking",
     "{mean[loop_rest]:.0%} of the time waiting for events, {mean[loop_read]:.0%} in a read from the lab"),
    ("the event loop's delays", "long ones without CPU work: blocking",
     "blocked for {loop_blocked:.0%} of the time; the longest pause was {worst[gap_s]:.2f} s, {worst[gap_cpu_s]:.2f} s "
     "of it CPU work; each call blocks it for {call_blocks_s:.3f} s"),
    (SOCKETS, "one for each request: real async",
     "on average {mean[loop_sockets]:.1f} to the lab, {mean[other_loops]:.1f} in loops of other threads"),
    ("who holds connections", "others': worker processes",
     "on average {mean[own]:.1f} to the lab belong to this process, {mean[processes]:.1f} to others"),
    ("who opens connections", "none by Python: code outside Python",
     "the lab saw {total[connections]} new ones; Python opened {total[connects_loop]} in the loop's thread, "
     "{total[connects_threads]} in others"),
    ("peak in flight at the lab", "a limit, but not the kind of client", "{peaks} calls at once"),
    ("one call after another", "a new connection each: no reuse",
     "{requests} requests on {connections} new connections"),
    ("threads with other work", "nothing: real async has such threads too",
     "on average {mean[threads_elsewhere]:.1f} in a read of another server, {mean[threads_resolving]:.1f} looking up a "
     "name, {mean[background]:.1f} waiting for requests that no call made"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Evidence:
    """One row of evidence: what was checked, what was observed, and how to read it."""

    looked_at: str
    seen: str
    meaning: str


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

    @property
    def waited(self) -> dict[str, float]:
        """Return what waited for the requests, as shares of all waiting; tiny shares are left out."""
        return {name: share for name in WAITERS if (share := self.numbers.get(name) or 0.0) >= 0.005}

    def tables(self) -> list[Table]:
        """Return the headline with its sentences, bars for what waited, and the evidence."""
        head = Cell(f"{self.name}: {self.headline}", STYLES.get(self.kind, "bold"))
        above = [Table((), (), about=[head]), Table((), (), about=[Cell(" ".join(self.sentences))])]
        if not self.evidence:
            return above
        shares = {name: self.waited.get(name, 0.0) for name in WAITERS if name in ALWAYS or name in self.waited}
        bars = [[WAITERS[name], f"{share:.0%}", "█" * round(BAR * share)] for name, share in shares.items()]
        bursts = " and ".join(f"{burst['calls']} calls at once" for burst in self.seen.bursts)
        waited = f"requests waited for {self.numbers.get('waiting_s') or 0.0:.0f} s in all"
        note = f"The probe took {self.seconds:.1f} s. Evidence from {bursts}: {waited}."
        rows = [[row.looked_at, row.seen, row.meaning] for row in self.evidence]
        columns = [Column("looked at"), Column("seen", wide=True), Column("how to read it", wide=True)]
        waiters = Table(["who waited for the requests", Column(""), Column("")], bars)
        return [*above, waiters, Table(columns, rows, notes=[note])]

    def __str__(self) -> str:
        return text(self.tables())

    def _repr_html_(self) -> str:
        return html(self.tables())

    # For the last expression of a cell in a front end without HTML.
    __repr__ = __str__


VERDICT = Form("supalab-probe", 4, Verdict, "supalab probe --json")


def concluded(name: str, seen: Seen, seconds: float, when: str) -> Verdict:
    """Return the verdict on the observations of a client; ``seconds`` and ``when`` are those of the probe."""
    n = row(seen)
    kind, remarks = judge(n)
    numbers = {name: rounded(value) for name, value in vars(n).items() if isinstance(value, int | float | None)}
    evidence = tuple(_evidence(n)) if n.bursts else ()
    if kind == CANNOT_TELL:
        said: tuple[str, ...] = (f"This client could not be judged: {remarks[0].rstrip('.?!')}.",)
        remarks = ()
    else:
        said = (MEANING[kind], *_sentences(n, kind, remarks))
    return Verdict(name, kind, remarks, said, evidence, numbers, seen, seconds, when, machine(), versions())


def _sentences(n: Row, kind: str, remarks: tuple[str, ...]) -> Iterator[str]:
    """Say what the verdict means for a program, which the kind alone does not say."""
    if kind == MIXED:
        parts = [f"{getattr(n, name):.0%} {who}" for name, who in WAITERS.items() if rounded(getattr(n, name))]
        yield f"Of the waiting: {'; '.join(parts)}."
    limit = f"limited to {n.limit}"
    if limit in remarks:
        yield f"It keeps at most {n.limit} in flight; further calls wait in its own queue."
    if n.shared:
        yield "Calls for the same data at the same time share a request, so its limit, if it has one, was not reached."
    if NO_REUSE in remarks:
        yield "It opens a new connection for each request, which costs one more round trip, or two with TLS."
    elif n.new_connections_per_request == 0:
        yield "It reuses its connections."
    for remark in remarks:
        if remark not in {limit, NO_REUSE}:
            yield f"{remark[:1].upper()}{remark[1:]}."


def _evidence(n: Row) -> Iterator[Evidence]:
    peaks = ", ".join(f"{one['peak']} of {one['calls']}" for one in n.bursts)
    for title, meaning, form in EVIDENCE:
        hidden = title == SOCKETS and not n.loop_shows_sockets
        said = f"{n.loop} does not show them" if hidden else form.format(**vars(n), peaks=peaks)
        yield Evidence(title, said, meaning)
