"""The conditions: latency, jitter, errors, round trips and TLS, at the start and later, in counts and ratios."""

from __future__ import annotations

import asyncio
import socket
import ssl
import statistics
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from labwork import again, call, close, connect, get_request, raw, read_answer, seconds, soon, told

import supalab
from supalab.errors import SettingsError
from supalab.lab.conditions import Conditions, LiveConditions
from supalab.lab.connections import WINDOW, at_a_distance
from supalab.lab.handle import Lab

BAD = [
    {"latency": -1},
    {"latency": float("nan")},
    {"latency": 150_000},
    {"jitter": -0.1},
    {"rtt": float("inf")},
    {"error_rate": 1.1},
    {"error_rate": -0.1},
    {"latency": "fast"},
    {"latency": True},
    {"tls": "yes"},
]


@pytest.mark.parametrize("values", BAD)
def test_a_condition_that_cannot_be_played_is_refused(values: dict[str, Any]) -> None:
    """The refusal is one line that names the condition and its value, when a lab is made."""
    with pytest.raises(SettingsError) as caught:
        Lab(**values)
    ((name, value),) = values.items()
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_condition_is_refused() -> None:
    """The refusal names the conditions that there are."""
    with pytest.raises(SettingsError, match="latency, jitter, rtt, tls, error_rate"):
        Conditions().changed({"speed": 1})


def test_jitter_is_uniform_and_never_below_zero() -> None:
    """Delays fill latency ± jitter, and where that would be below 0 they are 0."""
    live = LiveConditions(Conditions(latency=0.1, jitter=0.04))
    delays = [live.delay() for _ in range(4_000)]
    assert 0.06 <= min(delays) < 0.061
    assert 0.139 < max(delays) <= 0.14
    assert statistics.mean(delays) == pytest.approx(0.1, abs=0.002)
    live.conditions = Conditions(latency=0.01, jitter=0.1)
    assert min(live.delay() for _ in range(100)) == 0.0


def test_chance_is_seeded_and_starts_again() -> None:
    """The same seed draws the same delays and failures, again after a reset; another seed draws others."""

    def drawn(live: LiveConditions) -> list[tuple[float, bool]]:
        return [(live.delay(), live.fails()) for _ in range(50)]

    rough = Conditions(latency=0.1, jitter=0.05, error_rate=0.5)
    live = LiveConditions(rough, 7)
    first = drawn(live)
    live.reseed()
    assert drawn(live) == first == drawn(LiveConditions(rough, 7))
    assert drawn(LiveConditions(rough, 8)) != first


def test_the_error_rate_does_not_shift_the_delays() -> None:
    """Requests meet the same delays whether or not some of them fail."""
    calm, rough = LiveConditions(Conditions(jitter=0.1)), LiveConditions(Conditions(jitter=0.1, error_rate=0.5))
    assert [calm.delay() for _ in range(20)] == [(rough.fails(), rough.delay())[1] for _ in range(20)]


def test_the_error_rate_fails_the_drawn_requests_and_no_others() -> None:
    """As many requests fail as the seed says, with a 503 in PostgREST's shape, and a failed write changes nothing."""
    live = LiveConditions(Conditions(error_rate=0.3), 5)
    fated = [503 if live.fails() else 200 for _ in range(60)]
    with Lab(error_rate=0.3, random_seed=5) as lab:
        connection = connect(lab)
        answers = [again(connection, lab) for _ in range(60)]
        connection.close()
        seen = lab.witness()
        lab.set(error_rate=1.0)
        call(lab, "/rest/v1/contests?id=eq.1", "DELETE")
        lab.set(error_rate=0.0)
        assert told(call(lab)[2]) == [{"id": 1}]
    assert [status for status, _, _ in answers] == fated
    assert seen.errors == fated.count(503)
    failed = next(body for status, _, body in answers if status == 503)
    assert set(told(failed)) == {"code", "message", "details", "hint"}


def test_latency_is_what_was_asked_for_and_can_be_changed() -> None:
    """Doubling the latency of a running lab doubles the time, on the same connection."""
    with Lab(latency=0.1) as lab:
        connection = connect(lab)
        again(connection, lab)
        single = min(seconds(lambda: again(connection, lab)) for _ in range(3))
        assert lab.set(latency=0.2) == Conditions(latency=0.2) == lab.conditions
        double = min(seconds(lambda: again(connection, lab)) for _ in range(3))
        connection.close()
    assert double / single == pytest.approx(2, rel=0.15)
    assert single == pytest.approx(0.1, rel=0.15)


def test_a_lab_has_delays_and_an_error_rate_and_no_other_fault() -> None:
    """Faults are the tests' own: the package neither holds nor imports them, and no public request sets a condition."""
    assert [field.name for field in fields(Conditions)] == ["latency", "jitter", "rtt", "tls", "error_rate"]
    package = Path(supalab.__file__).parent
    assert not [path for path in package.rglob("*.py") if "faultserver" in path.read_text(encoding="utf-8")]
    with Lab(latency=0.01) as lab:
        change = {"body": b'{"latency": 1, "error_rate": 1}', "content_type": "application/json"}
        asked = [
            call(lab, "/conditions", "PATCH", **change)[0],
            call(lab, "/rest/v1/conditions", "PATCH", **change)[0],
            call(lab, "/rest/v1/contests?error_rate=1")[0],
            call(lab, "/rest/v1/contests?select=id&id=eq.1", prefer="latency=1,error_rate=1")[0],
            call(lab, "/rest/v1/contests?select=id&id=eq.1", latency="1", error_rate="1")[0],
            call(lab, "/rest/v1/rpc/pg_sleep?seconds=1")[0],
        ]
        assert asked == [404, 404, 400, 200, 200, 404]
        assert lab.conditions == Conditions(latency=0.01)
        assert lab.witness().errors == 0


def test_a_refused_change_changes_nothing() -> None:
    """A bad value is refused by name and the lab keeps its conditions; so does the control path itself."""
    with Lab(latency=0.01) as lab:
        with pytest.raises(SettingsError, match="latency"):
            lab.set(latency=-1)
        with pytest.raises(SettingsError, match="there is no condition 'speed'"):
            lab._ask("PATCH", "/conditions", {"latency": 1, "speed": 1})
        with pytest.raises(SettingsError, match="not a JSON object"):
            lab._ask("PATCH", "/conditions", None)
        assert lab.conditions == Conditions(latency=0.01)


@pytest.mark.parametrize(("tls", "fresh_trips"), [(False, 2), (True, 3)])
def test_a_distance_costs_round_trips(tls: bool, fresh_trips: int) -> None:
    """A reused connection costs one round trip per request, a new one TCP's more, and TLS one more again."""
    rtt = 0.2
    with Lab(rtt=rtt, tls=tls) as lab:
        fresh = min(seconds(lambda: call(lab)) for _ in range(3))
        connection = connect(lab)
        again(connection, lab)
        kept = min(seconds(lambda: again(connection, lab)) for _ in range(3))
        connection.close()
    assert kept / rtt == pytest.approx(1, abs=0.3)
    assert fresh / rtt == pytest.approx(fresh_trips, abs=0.4)


def test_distance_and_tls_are_for_new_connections_on_the_same_port() -> None:
    """A connection keeps the conditions it was opened under; the address changes its scheme and nothing else."""
    with Lab() as lab:
        plain = lab.url
        old = connect(lab)
        again(old, lab)
        lab.set(tls=True, rtt=0.1)
        assert lab.url == plain.replace("http:", "https:")
        assert seconds(lambda: again(old, lab)) < 0.1 < seconds(lambda: call(lab))
        assert call(lab)[0] == 200
        old.close()
        lab.set(tls=False, rtt=0.0)
        assert (lab.url, lab.ca_file) == (plain, None)
        assert call(lab)[0] == 200


def test_the_certificate_is_good_for_this_lab_only() -> None:
    """With the lab's authority a client connects, with the system's it does not; the file goes when the lab goes."""
    with Lab(tls=True) as lab:
        ca_file = lab.ca_file
        assert ca_file is not None
        assert call(lab)[0] == 200
        port = int(lab.url.rpartition(":")[2])
        with pytest.raises(ssl.SSLCertVerificationError):
            asyncio.run(asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context()))
        seen = lab.witness()
    assert seen.connections == 2
    assert not ca_file.exists()
    assert not ca_file.parent.exists()


@pytest.mark.parametrize("tls", [False, True])
def test_large_bodies_cross_the_distance_whole(tls: bool) -> None:
    """Half a megabyte up and down, through every layer, arrives letter for letter."""
    row = b'{"id": 900003, "title": "' + b"0123456789" * 60_000 + b'"}'
    with Lab(rtt=0.02, tls=tls) as lab:
        kind = {"content_type": "application/json", "prefer": "return=representation"}
        status, _, body = call(lab, "/rest/v1/contests?select=title", "POST", row, **kind)
    assert status == 201
    assert told(body)[0]["title"] == "0123456789" * 60_000


async def test_a_caller_far_away_who_leaves_is_noticed() -> None:
    """A disconnect is noticed over a long round trip too; nothing of the connection remains."""
    with Lab(latency=0.3, rtt=0.05) as lab:
        _, writer = await raw(lab, get_request(lab))
        assert soon(lambda: lab.witness().current == 1)
        await close(writer)
        assert soon(lambda: lab.witness().abandoned == 1)
        assert lab.witness().current == 0
        assert call(lab)[0] == 200


async def test_plain_words_to_a_tls_lab_are_hung_up_on() -> None:
    """A client without TLS is disconnected without a response, and the lab still serves."""
    with Lab(tls=True) as lab:
        reader, writer = await raw(lab, get_request(lab))
        assert not (await reader.read()).startswith(b"HTTP")
        await close(writer)
        assert call(lab)[0] == 200


async def test_requests_sent_together_are_answered_in_order() -> None:
    """Pipelined requests over a distance keep their order."""
    with Lab(rtt=0.05) as lab:
        both = get_request(lab) + get_request(lab, "/rest/v1/contests?select=id&id=eq.2")
        reader, writer = await raw(lab, both)
        assert [told((await read_answer(reader))[1]) for _ in range(2)] == [[{"id": 1}], [{"id": 2}]]
        await close(writer)


async def _line(rtt: float, ends: set[asyncio.Task[None]]) -> tuple[socket.socket, socket.socket]:
    """Two sockets ``rtt`` away from each other: a caller's and a server's."""
    caller, accepted = socket.socketpair()
    for end in (caller, accepted):
        end.setblocking(False)
    served = await at_a_distance(accepted, rtt, ends)
    served.setblocking(False)
    return caller, served


async def _empty(ends: set[asyncio.Task[None]]) -> bool:
    """Whether nothing of the connection stays open."""
    for _ in range(500):
        if not ends:
            await asyncio.sleep(0)
            return True
        await asyncio.sleep(0.01)
    return False


async def _all(end: socket.socket) -> bytes:
    loop, parts = asyncio.get_running_loop(), []
    while part := await loop.sock_recv(end, 65_536):
        parts.append(part)
    return b"".join(parts)


async def test_bytes_arrive_whole_and_in_order_and_their_end_after_them() -> None:
    """Many small pieces come out as they went in, in both directions, and a hung-up caller's words arrive first."""
    loop, ends = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    caller, served = await _line(0.02, ends)
    said = b"".join(b"%d;" % number for number in range(20_000))
    await loop.sock_sendall(served, b"hello")
    assert await loop.sock_recv(caller, 100) == b"hello"
    sending = asyncio.create_task(_all(served))
    for start in range(0, len(said), 1_000):
        await loop.sock_sendall(caller, said[start : start + 1_000])
    caller.close()
    assert await sending == said
    served.close()
    assert await _empty(ends)


async def test_one_direction_can_end_before_the_other() -> None:
    """A caller who has said everything still gets the answer."""
    loop, ends = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    caller, served = await _line(0.02, ends)
    await loop.sock_sendall(caller, b"question")
    caller.shutdown(socket.SHUT_WR)
    assert await _all(served) == b"question"
    await loop.sock_sendall(served, b"answer")
    served.close()
    assert await _all(caller) == b"answer"
    caller.close()
    assert await _empty(ends)


@pytest.mark.parametrize("far", [False, True], ids=["from the caller", "from the server"])
async def test_whoever_sends_more_than_a_window_waits(far: bool) -> None:
    """If nobody reads on the other side, the sender is stopped until somebody reads."""
    loop, ends = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    sockets = await _line(0.02, ends)
    sender, reader = reversed(sockets) if far else sockets
    flood = b"x" * (64 * WINDOW)
    sending = asyncio.create_task(loop.sock_sendall(sender, flood))
    await asyncio.sleep(0.5)
    assert not sending.done()
    read = 0
    while read < len(flood):
        read += len(await loop.sock_recv(reader, 65_536))
    await sending
    assert read == len(flood)
    for one in sockets:
        one.close()
    assert await _empty(ends)


async def test_an_answer_under_way_arrives_although_the_lab_stops() -> None:
    """The end of a lab far away waits for what it has sent."""
    lab = Lab(latency=0.3, rtt=0.4).start()
    reader, writer = await raw(lab, get_request(lab))
    assert soon(lambda: lab.witness().current == 1)
    stopping = asyncio.create_task(asyncio.to_thread(lab.stop))
    assert (await read_answer(reader))[0] == 200
    await stopping
    await close(writer)


async def test_callers_who_do_not_finish_the_tls_handshake_do_not_hold_up_the_end() -> None:
    """They hold no place in flight, others are served beside them, and the lab stops with code 0."""
    lab = Lab(tls=True).start()
    port = int(lab.url.rpartition(":")[2])
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    assert call(lab)[0] == 200
    assert lab.witness().connections == 21
    assert await asyncio.to_thread(lab.stop) == 0
    for one in silent:
        one.close()
