"""The judge of the probe with hand-made observations: what decides, what must not decide, and the words."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import pytest

from supalab.errors import TrialError
from supalab.measure.record import rounded
from supalab.probe import VERDICT, Verdict, look
from supalab.probe.judge import BLOCKING, CANNOT_TELL, FAKE, KINDS, MIXED, OUTSIDE, PROCESSES, REAL
from supalab.probe.look import Heartbeat, Pause
from supalab.probe.seen import Burst, Seen, row, shares
from supalab.probe.verdict import BAR, WAITERS, concluded
from supalab.report.table import WIDTH
from supalab.report.table import text as text_of

PIN = Path(__file__).parent / "pins" / "probe.json"
LATENCY = 0.3
SECONDS = 1.2


def made_burst(calls: int = 20, peak: int = 10, **changes: object) -> Burst:
    """A burst watched for four latencies that kept ``peak`` requests in flight, waited for by nobody yet."""
    rounds = [(LATENCY * turn, peak) for turn in range(5)]
    timeline = [step for second, number in rounds for step in ((second, number), (second + 0.29, number - 1))]
    numbers: dict[str, Any] = {
        "calls": calls, "latency_s": LATENCY, "watched": SECONDS, "peak": peak, "requests": calls, "connections": peak,
        "busy": peak * SECONDS, "loop_rest": SECONDS, "own": peak * SECONDS, "finished": calls, "connects_loop": peak,
        "gap_s": 0.02,
    }  # fmt: skip
    failed = changes.pop("failed", {})
    timeline = changes.pop("timeline", timeline)
    # To the microsecond, as the probe counts and as a record keeps it.
    return Burst(rounded(numbers | changes), tuple(map(tuple, rounded(timeline))), failed)


def made(waits: dict[str, float], *, requests: int = 6, connections: int = 0, **changes: object) -> Seen:
    """Two bursts, of 20 and 50, with the same waits for a peak of 10, after 6 calls one after another."""
    bursts = tuple(made_burst(calls, **{"loop_rest": 0.0, "own": 0.0} | waits | changes) for calls in (20, 50))
    return Seen(6, requests, connections, bursts=bursts, loop="a loop")


ALL = 10 * SECONDS
AWAKE = {"loop_rest": SECONDS, "own": ALL}
STILL = {"blocked": SECONDS, "peak": 1, "busy": SECONDS}
CASES = {
    "the loop's sockets": (made(AWAKE | {"loop_sockets": ALL}), REAL),
    "more sockets than requests: idle ones": (made(AWAKE | {"loop_sockets": 3 * ALL}), REAL),
    "real, though half of it was missed": (made(AWAKE | {"loop_sockets": ALL / 3}), REAL),
    "threads": (made(AWAKE | {"threads_read": ALL}, connects_loop=0), FAKE),
    "threads beside idle sockets of a loop": (made(AWAKE | {"threads_read": ALL, "loop_sockets": ALL}), FAKE),
    "real beside threads at another server": (made(AWAKE | {"loop_sockets": ALL, "threads_elsewhere": ALL}), REAL),
    "real beside threads with files": (made(AWAKE | {"loop_sockets": ALL, "threads_work": ALL}), REAL),
    "real beside threads that look up names": (made(AWAKE | {"loop_sockets": ALL, "threads_resolving": ALL}), REAL),
    "a loop in another thread": (made(AWAKE | {"other_loops": ALL}, connects_loop=0, connects_threads=9), REAL),
    "half and half": (made(AWAKE | {"loop_sockets": ALL / 2, "threads_read": ALL / 2}), MIXED),
    "one in ten by a thread": (made(AWAKE | {"loop_sockets": ALL * 0.9, "threads_read": ALL * 0.1}), MIXED),
    "processes": (made({"loop_rest": SECONDS, "processes": ALL}, connects_loop=0), PROCESSES),
    "processes and a loop": (made(AWAKE | {"processes": ALL / 2, "loop_sockets": ALL / 2}), MIXED),
    "nobody, but our connections": (made(AWAKE, connects_loop=0), OUTSIDE),
    "nobody, and a thread for each": (made(AWAKE | {"threads_work": ALL}, connects_loop=0), FAKE),
    "sockets in the loop that Python never opened": (
        made(AWAKE | {"loop_sockets": ALL}, connects_loop=0),
        OUTSIDE,
    ),
    "nobody at all": (made({"loop_rest": SECONDS}), CANNOT_TELL),
    "a loop in a read": (made({"loop_read": SECONDS}, **STILL), BLOCKING),
    "a loop in a read on a busy machine": (made({"loop_read": SECONDS / 2}, **{**STILL, "blocked": 0.1}), BLOCKING),
    "a loop that waits for its threads": (made({"threads_read": SECONDS, "loop_stuck": SECONDS}, **STILL), BLOCKING),
    "a loop in code outside Python": (made({"loop_stuck": SECONDS}, **STILL), BLOCKING),
    "a loop held up by starting processes": (made({"processes": ALL / 2, "loop_stuck": 1}, blocked=1.0), PROCESSES),
    "a loop that gets no processor": (made({"loop_sockets": ALL, "loop_stuck": 0.2}, blocked=SECONDS), REAL),
    "a loop that sleeps beside real requests": (
        made({"loop_sockets": ALL, "loop_stuck": SECONDS}, blocked=SECONDS, peak=3),
        BLOCKING,
    ),
    "some calls block, others not": (
        made({"loop_read": ALL / 4, "loop_sockets": ALL / 4}, blocked=SECONDS, peak=5),
        MIXED,
    ),
    "late, because it works": (
        made(AWAKE | {"loop_rest": 0.1, "loop_sockets": ALL}, gap_s=1.0, gap_cpu_s=0.9, blocked=0.1),
        REAL,
    ),
    "late, because the machine is busy": (made(AWAKE | {"loop_sockets": ALL}, gap_s=0.9, blocked=0.8), REAL),
}


@pytest.mark.parametrize("name", CASES)
def test_who_waits_decides(name: str) -> None:
    """The kind follows from who waited for the lab; everything else that happens meanwhile changes nothing."""
    seen, kind = CASES[name]
    assert made_verdict(seen).kind == kind


def test_a_loop_that_hides_its_sockets_gets_the_benefit_of_the_doubt() -> None:
    """If the loop watches its sockets in C, requests without another waiter count as the loop's."""
    seen = replace(made(AWAKE, connects_loop=0), loop_shows_sockets=False, connects_heard=False)
    assert made_verdict(seen).kind == REAL
    threads = made(AWAKE | {"threads_read": ALL}, connects_loop=0)
    assert made_verdict(replace(threads, loop_shows_sockets=False, connects_heard=False)).kind == FAKE


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bursts": ()}, "saw none of the requests"),
        ({"trouble": "its first call failed with KeyError"}, "KeyError"),
        (
            {"bursts": (made_burst(failed={"ReadError": 15, "OSError": 2}, finished=3),)},
            "17 of 20, most with ReadError",
        ),
        ({"bursts": (made_burst(peak=400),)}, "somebody else"),
        ({"bursts": (made_burst(refused=5),)}, "larger max_in_flight"),
        ({"bursts": (made_burst(busy=0.01, peak=2),)}, "refuses these requests"),
    ],
)
def test_what_cannot_be_told_has_its_reason(changes: dict, told: str) -> None:
    """Without enough evidence there is no verdict, and the sentence gives the reason."""
    seen = replace(made(AWAKE), **changes)
    found = made_verdict(seen)
    assert found.kind == CANNOT_TELL
    assert found.headline == CANNOT_TELL
    assert told in found.sentences[0]


def test_calls_that_failed_and_calls_that_were_given_up_are_two_things() -> None:
    """A client that is slow by its own rate limit does not fail."""
    real = AWAKE | {"loop_sockets": ALL}
    bursts = (made_burst(**real, lost=5), made_burst(**real, failed={"OSError": 2}))
    remarks = made_verdict(replace(made(AWAKE), bursts=bursts)).remarks
    assert [said for said in remarks if "of the bursts" in said] == [
        "2 of 40 calls of the bursts failed", "5 of 40 calls of the bursts did not return in time",
    ]  # fmt: skip


def test_shares_never_count_a_request_twice() -> None:
    """The parts are at most the whole, reads come before sockets, and the rest is unseen."""
    found = shares([made_burst(threads_read=ALL * 0.7, loop_sockets=ALL, processes=ALL)])
    assert found["share_threads_read"] == pytest.approx(0.7)
    assert found["share_loop_sockets"] == pytest.approx(0.3)
    assert found["share_processes"] == 0
    assert sum(found.values()) == pytest.approx(1)
    assert found.keys() == WAITERS.keys()
    assert not any(shares([]).values())


def test_the_limit_is_what_two_sizes_share_or_what_was_held() -> None:
    """Equal peaks are a limit, a peak as high as the burst is none, a short summit of a slow start is none."""
    for peaks, limit in (((3, 3), 3), ((20, 32), 32), ((20, 50), None), ((20, 47), None)):
        bursts = tuple(made_burst(calls, peak) for calls, peak in zip((20, 50), peaks, strict=True))
        assert row(replace(made(AWAKE), bursts=bursts)).limit == limit
    summit = made_burst(50, 30, timeline=tuple((0.01 * i, i) for i in range(31)))
    assert row(replace(made(AWAKE), bursts=(made_burst(20, 20), summit))).limit is None


def test_reuse_is_judged_one_call_after_another() -> None:
    """Connections of a burst say nothing of reuse, but more than there were requests at once are drops."""
    real = AWAKE | {"loop_sockets": ALL}
    assert row(made(real, connections=6)).new_connections_per_request == 1
    assert "no connection reuse" in made_verdict(made(real, connections=6)).remarks
    assert made_verdict(made(real)).remarks == ("limited to 10",)
    assert (
        "drops connections under load"
        in made_verdict(replace(made(real), bursts=(made_burst(connections=27, loop_sockets=ALL),))).remarks
    )
    early = made_burst(connections=27, loop_sockets=ALL, own=25 * SECONDS)  # opened, with no request on them yet
    assert "drops connections under load" not in made_verdict(replace(made(real), bursts=(early,))).remarks
    assert "2 requests for each call" in made_verdict(made(real, requests=12)).remarks
    assert row(Seen()).new_connections_per_request is None


@pytest.mark.parametrize("name", CASES)
def test_every_kind_has_words_and_evidence(name: str) -> None:
    """Sentences for learners, rows for experts, shares between 0 and 1."""
    seen, kind = CASES[name]
    found = made_verdict(seen)
    assert all(one.endswith(".") and not one.endswith("..") for one in found.sentences)
    assert len(found.evidence) >= 8
    assert all(0 <= (value or 0) <= 1 for key, value in found.numbers.items() if key.startswith("share_"))
    assert kind in KINDS


def made_verdict(seen: Seen, name: str = "<mine>") -> Verdict:
    return concluded(name, seen, 3.2, "2026-11-22T20:00:00+00:00")


@pytest.mark.parametrize("name", CASES)
def test_a_verdict_survives_its_record(name: str, tmp_path: Path) -> None:
    """What is loaded equals what was saved, for every kind; another file is refused in one line."""
    verdict = made_verdict(CASES[name][0])
    assert VERDICT.load(VERDICT.save(verdict, tmp_path / "verdict.json")) == verdict
    with pytest.raises(TrialError, match="not a record of supalab probe"):
        VERDICT.loads("{}")


def test_a_verdict_shows_itself() -> None:
    """As the last expression of a cell: text with kind and evidence, HTML with the client's name escaped."""
    verdict = made_verdict(CASES["threads"][0])
    assert str(verdict).startswith("<mine>: fake async (threads), limited to 10")
    assert repr(verdict) == str(verdict)
    page = verdict._repr_html_()
    assert "&lt;mine&gt;: fake async (threads)" in page
    assert all(escape(row.seen) in page and escape(row.meaning) in page for row in verdict.evidence)
    assert "threads, one for each request" in page


@pytest.mark.parametrize("name", CASES)
def test_the_table_is_short_and_names_who_waited(name: str) -> None:
    """No line is too long; bars are as long as the shares; every row of evidence is there."""
    verdict = made_verdict(CASES[name][0])
    text = text_of(verdict.tables())
    assert max(map(len, text.splitlines())) <= WIDTH
    assert verdict.headline in " ".join(text.split())
    assert all(row.looked_at in text for row in verdict.evidence)
    full = [line for line in text.splitlines() if line.count("█") == BAR]
    assert len(full) == sum(verdict.numbers[name] == 1 for name in WAITERS)


async def test_the_heartbeat_tells_waiting_from_work() -> None:
    """By a made clock: a pause without use of the CPU is a blocked loop, one with some of it is work on a busy machine,
    short ones are the machine's.
    """
    now, cpu = [0.0], [0.0]
    with Heartbeat(clock=lambda: Pause(now[0], cpu[0])) as heart:
        for seconds, worked in ((0.01, 0.001), (0.3, 0.001), (0.5, 0.1), (0.09, 0.0)):
            now[0] += seconds
            cpu[0] += worked
            heart.beat()
    assert heart.blocked_s == pytest.approx(0.3)
    assert max(heart.pauses).cpu_s == pytest.approx(0.1)
    assert not [timer for timer in asyncio.get_running_loop()._scheduled if not timer.cancelled()]
    heart.pauses = [Pause(0.2, 0.3), Pause(0.2, 0.0)]
    assert heart.blocked_s == 0.2


async def test_the_longest_block_is_the_clients_and_not_the_machines() -> None:
    """A sleep counts as long as it lasts, CPU work as long as the CPU worked; then it counts from the beginning."""
    now, cpu = [0.0], [0.0]
    with Heartbeat(clock=lambda: Pause(now[0], cpu[0])) as heart:
        for seconds, worked, expected in ((0.02, 0.001, 0.02), (0.08, 0.02, 0.02), (0.003, 0.003, 0.003)):
            now[0] += seconds
            cpu[0] += worked
            assert heart.longest_block_s() == pytest.approx(expected)


async def test_the_garbage_collector_is_off_while_the_heart_beats() -> None:
    """And on again afterwards; where it was off, it stays so."""
    for before in (True, False):
        (gc.enable if before else gc.disable)()
        try:
            with Heartbeat():
                assert not gc.isenabled()
            assert gc.isenabled() == before
        finally:
            gc.enable()


def test_time_between_looks_belongs_to_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that comes late takes half of what the one before it saw."""
    looks = [Counter({"threads_read": 4, ("loop", 7): 1, ("loop", 8): 2}), Counter({"loop_sockets": 3, ("loop", 7): 1})]
    clock, over = iter([0.0, 0.1, 0.3, 0.3]), iter([False, True])
    monkeypatch.setattr(look.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(look, "CONNECTIONS_EVERY_S", 10.0)
    watcher = look.Watcher(None, look.LabAddress(1))
    monkeypatch.setattr(watcher, "_look", lambda: looks.pop(0))
    watcher.watch(lambda _: next(over))
    assert watcher.seconds["threads_read"] == pytest.approx(4 * (0.05 + 0.1))
    assert watcher.seconds["loop", 7] == pytest.approx(0.05 + 0.1 + 0.1)
    assert watcher.seconds["loop", 8] == pytest.approx(2 * (0.05 + 0.1))
    assert watcher.seconds["loop_sockets"] == pytest.approx(0.3)
    assert (watcher.most["threads_read"], watcher.most["loop", 8]) == (4, 2)


def with_requests(burst: Burst, requests: float) -> Burst:
    return replace(burst, numbers={**burst.numbers, "requests": requests})


def test_calls_that_share_requests_have_no_limit() -> None:
    """One request for 50 calls is no limit of 1; as many requests as calls are none of it shared."""
    real = AWAKE | {"loop_sockets": ALL}
    shared = made(real, peak=1, requests=6)
    one = replace(shared, bursts=tuple(with_requests(burst, 1) for burst in shared.bursts))
    assert made_verdict(one).remarks == ("calls share requests (50 calls, 1 request)",)
    assert "limited to 1" in made_verdict(shared).remarks
    few = replace(shared, bursts=tuple(with_requests(burst, burst.numbers["calls"] // 2) for burst in shared.bursts))
    assert "calls share requests (50 calls, 25 requests)" in made_verdict(few).remarks


def test_a_block_in_each_call_is_a_remark_unless_it_is_long() -> None:
    """Many requests in flight are real async with a remark, few beside a loop that stands still are blocking."""
    stuck = {"loop_sockets": ALL, "loop_stuck": SECONDS}
    for seconds, peak, kind, remarked in ((0.02, 10, REAL, True), (0.002, 10, REAL, False), (0.15, 3, BLOCKING, False)):
        seen = replace(made(stuck, blocked=SECONDS, peak=peak), call_blocks_s=seconds)
        found = made_verdict(seen)
        assert (found.kind, any("blocks the event loop" in said for said in found.remarks)) == (kind, remarked)
    seen = replace(made(stuck, blocked=SECONDS), call_blocks_s=0.02)
    assert "blocks the event loop for 20 ms in each call" in made_verdict(seen).remarks


def test_processes_that_were_seen_at_few_looks_are_worker_processes() -> None:
    """On a busy machine most looks may miss them; what nobody was seen doing stays unknown."""
    rare = {"loop_rest": SECONDS, "processes": 0.05 * ALL}
    assert made_verdict(made(rare, connects_loop=0)).kind == PROCESSES
    assert made_verdict(made({"loop_rest": SECONDS}, connects_loop=0)).kind == CANNOT_TELL


def test_what_users_read_of_a_verdict_is_pinned() -> None:
    """Kind, remarks and sentences of every case are, to the word, those in ``pins/probe.json``.

    After a change that is meant: ``python tests/test_probe_judge.py``.
    """
    assert json.loads(PIN.read_text(encoding="utf-8")) == said_of_cases()


def said_of_cases() -> dict[str, list[str]]:
    return {
        name: [made_verdict(seen).kind, *made_verdict(seen).remarks, *made_verdict(seen).sentences]
        for name, (seen, _) in CASES.items()
    }


if __name__ == "__main__":
    PIN.write_text(json.dumps(said_of_cases(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
