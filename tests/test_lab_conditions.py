"""The conditions: latency, jitter, errors, distance and TLS, at the start and while running, in counts and ratios."""

from __future__ import annotations

import asyncio
import ssl
import statistics
from typing import TYPE_CHECKING, Any

import pytest
from labwork import again, call, close, connect, get_request, raw, read_answer, seconds, soon, told

from supalab.errors import SettingsError
from supalab.lab.conditions import Conditions, Weather
from supalab.lab.handle import Lab
from supalab.lab.link import FULL, DelayLine, Link

if TYPE_CHECKING:
    from collections.abc import Callable

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
    weather = Weather(Conditions(latency=0.1, jitter=0.04))
    delays = [weather.delay() for _ in range(4_000)]
    assert 0.06 <= min(delays) < 0.061
    assert 0.139 < max(delays) <= 0.14
    assert statistics.mean(delays) == pytest.approx(0.1, abs=0.002)
    weather.conditions = Conditions(latency=0.01, jitter=0.1)
    assert min(weather.delay() for _ in range(100)) == 0.0


def test_chance_is_seeded_and_starts_again() -> None:
    """The same seed draws the same delays and failures, again after a reset; another seed draws others."""

    def drawn(weather: Weather) -> list[tuple[float, bool]]:
        return [(weather.delay(), weather.fails()) for _ in range(50)]

    rough = Conditions(latency=0.1, jitter=0.05, error_rate=0.5)
    weather = Weather(rough, 7)
    first = drawn(weather)
    weather.reseed()
    assert drawn(weather) == first == drawn(Weather(rough, 7))
    assert drawn(Weather(rough, 8)) != first


def test_the_error_rate_does_not_shift_the_delays() -> None:
    """Requests meet the same delays whether or not some of them fail."""
    calm, rough = Weather(Conditions(jitter=0.1)), Weather(Conditions(jitter=0.1, error_rate=0.5))
    assert [calm.delay() for _ in range(20)] == [(rough.fails(), rough.delay())[1] for _ in range(20)]


def test_the_error_rate_fails_the_drawn_requests_and_no_others() -> None:
    """As many requests fail as the seed says, with a 503 in PostgREST's shape, and a failed write changes nothing."""
    weather = Weather(Conditions(error_rate=0.3), 5)
    fated = [503 if weather.fails() else 200 for _ in range(60)]
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
    """A kept connection costs one round trip a request, a new one TCP's more, and with TLS one more again."""
    rtt = 0.1
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
    """Hanging up crosses the distance too; nothing of the connection stays behind."""
    with Lab(latency=0.3, rtt=0.05) as lab:
        _, writer = await raw(lab, get_request(lab))
        assert soon(lambda: lab.witness().current == 1)
        await close(writer)
        assert soon(lambda: lab.witness().abandoned == 1)
        assert lab.witness().current == 0
        assert call(lab)[0] == 200


async def test_plain_words_to_a_tls_lab_are_hung_up_on() -> None:
    """A client that speaks no TLS gets no answer, and the lab serves on."""
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


async def test_a_delay_line_keeps_order_and_says_when_it_is_full() -> None:
    """Actions come out in the order they went in, and a full line stops whoever fills it until there is room."""
    out: list[int] = []
    crowd: list[bool] = []
    line = DelayLine(0.02, crowd.append)

    def act(number: int) -> Callable[[], None]:
        return lambda: out.append(number)

    for number in range(10):
        line.put(act(number), FULL // 5)
    assert (out, crowd) == ([], [True])
    await asyncio.sleep(0.1)
    assert (out, crowd) == (list(range(10)), [True, False])
    line.put(act(10))
    line.hold(True)
    await asyncio.sleep(0.05)
    assert len(out) == 10
    line.hold(False)
    await asyncio.sleep(0.01)
    assert out[-1] == 10


class Above(asyncio.Protocol):
    """An HTTP protocol that only keeps a diary."""

    def __init__(self) -> None:
        self.diary: list[object] = []

    def data_received(self, data: bytes) -> None:
        self.diary.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.diary.append("lost")


class Below(asyncio.Transport):
    """A socket that only keeps a diary."""

    def __init__(self) -> None:
        super().__init__()
        self.diary: list[object] = []

    def write(self, data: Any) -> None:
        self.diary.append(bytes(data))

    def close(self) -> None:
        self.diary.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.diary


async def test_what_was_written_before_hanging_up_arrives_first() -> None:
    """Closing waits for the bytes on their way, and nothing is written afterwards."""
    above, below = Above(), Below()
    link = Link(above, 0.02)
    link.connection_made(below)
    link.write(b"last words")
    link.close()
    link.write(b"too late")
    link.close()
    await asyncio.sleep(0.05)
    assert below.diary == [b"last words", "closed"]
    link.connection_lost(None)
    assert above.diary == ["lost"]


async def test_bytes_sent_before_a_lost_connection_arrive_before_the_news() -> None:
    """The end is told once, after everything that came before it, even if this end hangs up in between."""
    above, below = Above(), Below()
    link = Link(above, 0.02)
    link.connection_made(below)
    link.data_received(b"hello")
    link.connection_lost(ConnectionResetError())
    assert above.diary == []
    await asyncio.sleep(0.05)
    assert above.diary == [b"hello", "lost"]
    link.close()
    await asyncio.sleep(0.02)
    assert above.diary == [b"hello", "lost"]


async def test_hanging_up_on_a_caller_who_is_gone_is_told_too() -> None:
    """If this end closes while the news is still on its way, the protocol still learns that it is over."""
    above, below = Above(), Below()
    link = Link(above, 10.0)
    link.connection_made(below)
    link.connection_lost(None)
    link.close()
    await asyncio.sleep(0.02)
    assert above.diary == ["lost"]
