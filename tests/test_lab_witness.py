"""The lab's counters: requests in flight, connections, disconnected clients, and a record that never grows."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from dataclasses import asdict

import pytest
from labwork import ROWS, again, call, close, connect, get_request, raw, read_answer, soon

from supalab.lab.handle import Lab
from supalab.lab.witness import Tally, Witness


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def area(timeline: tuple[tuple[float, int], ...]) -> float:
    """Return the integral of a stepped timeline."""
    return sum(number * (after - before) for (before, number), (after, _) in itertools.pairwise(timeline))


def test_busy_seconds_are_the_area_under_the_timeline() -> None:
    """Requests in flight, integrated over time, are the same from the sum and from the timeline."""
    clock = Clock()
    tally = Tally(clock=clock)
    for step, change in ((0, tally.enter), (2, tally.enter), (1, tally.leave), (4, tally.leave)):
        clock.now += step
        change()
    seen = tally.reading()
    assert seen.timeline == ((0.0, 1), (2.0, 2), (3.0, 1), (7.0, 0))
    assert seen.busy_s == pytest.approx(2 + 2 + 4)
    assert area(seen.timeline) == pytest.approx(seen.busy_s)


def test_a_reset_starts_again_from_what_is_in_flight() -> None:
    """After a reset every count is 0 but those in flight, who are the new peak and still take time."""
    clock = Clock()
    tally = Tally(clock=clock)
    for _ in range(3):
        tally.enter()
    tally.leave()
    tally.served = tally.connections = tally.abandoned = tally.errors = tally.refused = 9
    tally.reset()
    clock.now += 2
    seen = tally.reading()
    assert seen == Witness(2, 2, 0, 0, 0, 4.0, ((0.0, 2),), second=2.0)


def test_idle_time_before_the_first_request_counts_for_nothing() -> None:
    """The timeline begins with the first request, however long the lab had waited for it."""
    clock = Clock()
    tally = Tally(clock=clock)
    clock.now += 50
    tally.enter()
    clock.now += 1
    tally.leave()
    assert tally.reading().timeline == ((0.0, 1), (1.0, 0))
    assert tally.reading().busy_s == pytest.approx(1)


@pytest.mark.parametrize("pairs", [3, 4, 5, 8, 50, 333])
def test_a_long_record_is_thinned_and_stays_whole(pairs: int) -> None:
    """A timeline of any length fits its room, keeps its order, its start and its end, and sums stay exact."""
    clock = Clock()
    tally = Tally(room=8, clock=clock)
    for _ in range(pairs):
        tally.enter()
        clock.now += 1
        tally.leave()
        clock.now += 1
    seen = tally.reading()
    assert len(seen.timeline) <= 9
    assert seen.timeline[0] == (0.0, 1)
    assert seen.timeline[-1] == (2.0 * pairs - 1, 0)
    assert list(seen.timeline) == sorted(seen.timeline)
    assert seen.busy_s == pytest.approx(pairs)


def test_a_reading_survives_json() -> None:
    """What is read on the far side of the control path equals what was written."""
    tally = Tally()
    tally.enter()
    tally.leave()
    seen = tally.reading()
    assert Witness.from_json(json.loads(json.dumps(asdict(seen)))) == seen


async def test_a_burst_is_seen_as_it_was() -> None:
    """Ten callers at once on connections of their own: ten in flight, ten connections, ten served, then none."""
    with Lab(latency=0.2) as lab:
        ends = [await raw(lab, get_request(lab)) for _ in range(10)]
        assert soon(lambda: lab.witness().current == 10)
        answers = [await read_answer(reader) for reader, _ in ends]
        seen = lab.witness()
        for _, writer in ends:
            await close(writer)
    assert {status for status, _ in answers} == {200}
    assert (seen.peak, seen.current, seen.served, seen.connections, seen.abandoned) == (10, 0, 10, 10, 0)
    assert area(seen.timeline) == pytest.approx(seen.busy_s)
    assert seen.busy_s == pytest.approx(10 * 0.2, rel=0.25)


def test_kept_connections_are_counted_once_and_looking_never() -> None:
    """Five requests on one connection and five on their own make six; reading the witness adds none."""
    with Lab() as lab:
        connection = connect(lab)
        for _ in range(5):
            assert again(connection, lab)[0] == 200
            lab.witness()
        connection.close()
        for _ in range(5):
            call(lab)
        seen = lab.witness()
        lab.reset()
        after = lab.witness()
    assert (seen.served, seen.connections, seen.peak) == (10, 6, 1)
    assert (after.served, after.connections, after.peak, after.timeline) == (0, 0, 0, ())


async def test_a_caller_who_leaves_does_not_stop_the_work() -> None:
    """A write whose client disconnects is still done, takes its whole time, and counts as abandoned."""
    row = b'{"id": 900002, "title": "left behind"}'
    with Lab(latency=0.5) as lab:
        head = f"POST /rest/v1/contests HTTP/1.1\r\nHost: {lab.url.partition('//')[2]}\r\napikey: {lab.key}\r\n"
        request = f"{head}Content-Type: application/json\r\nContent-Length: {len(row)}\r\n\r\n".encode() + row
        _, writer = await raw(lab, request)
        await asyncio.sleep(0.1)
        await close(writer)
        await asyncio.sleep(0.1)
        during = lab.witness()
        assert soon(lambda: lab.witness().abandoned)
        seen = lab.witness()
        lab.set(latency=0)
        status, _, body = call(lab, "/rest/v1/contests?id=eq.900002&select=title")
    assert (during.current, during.abandoned) == (1, 0)
    assert (seen.current, seen.served, seen.abandoned) == (0, 1, 1)
    assert seen.busy_s >= 0.49
    assert (status, json.loads(body)) == (200, [{"title": "left behind"}])


async def test_a_caller_who_never_finished_speaking_is_forgotten() -> None:
    """A connection that ends in the middle of a body was in flight, and is neither served nor abandoned."""
    with Lab() as lab:
        head = f"POST {ROWS} HTTP/1.1\r\nHost: {lab.url.partition('//')[2]}\r\napikey: {lab.key}\r\n"
        _, writer = await raw(lab, f"{head}Content-Length: 100\r\n\r\nhalf".encode())
        assert soon(lambda: lab.witness().current == 1)
        await close(writer)
        assert soon(lambda: lab.witness().current == 0)
        seen = lab.witness()
    assert (seen.peak, seen.served, seen.abandoned) == (1, 0, 0)


def test_an_answer_is_out_of_flight_before_its_caller_can_ask_again() -> None:
    """One caller who asks again and again is never seen as two."""
    with Lab() as lab:
        connection = connect(lab)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            again(connection, lab)
        connection.close()
        assert lab.witness().peak == 1
