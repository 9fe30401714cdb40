"""Errors of the service: one shape for all, the right status, and no key anywhere."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import requests
from agentwork import CLIENTS, caller_of, options_for, problem_in

from supalab import Lab, errors
from supalab.clients.real import SupabaseAsync
from supalab.contest_agent.app import JsonLines
from supalab.contest_agent.journal import MAX_BODY
from supalab.contest_agent.options import AgentOptions
from supalab.contest_agent.problems import RETRY, problem_of
from supalab.settings import Settings

REQUEST = httpx.Request("GET", "http://backend.test")


def httpx_status(status: int) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError("no", request=REQUEST, response=httpx.Response(status, request=REQUEST))


def requests_status(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError("no", response=response)


def api_status(status: int) -> errors.ApiError:
    return errors.ApiError(status, "no")


STATUSES = {
    400: 422, 401: 502, 403: 502, 404: 502, 406: 502, 409: 409, 418: 502, 422: 422, 429: 503,
    500: 502, 502: 503, 503: 503, 504: 504, 521: 503,
}  # fmt: skip


@pytest.mark.parametrize("kind", [httpx_status, requests_status, api_status])
def test_a_status_of_the_backend_means_the_same_from_every_client(kind: Any) -> None:
    """Each of the three libraries' errors for an error status is recognised by that status alone."""
    for status, expected in STATUSES.items():
        trouble = problem_of(kind(status))
        assert trouble is not None
        assert (status, trouble.status_code) == (status, expected)
        assert (trouble.headers == RETRY) == (expected == 503)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (requests.ConnectionError("x"), 503),
        (requests.exceptions.SSLError("x"), 503),
        (requests.ReadTimeout("x"), 504),
        (requests.ConnectTimeout("x"), 503),
        (requests.exceptions.ChunkedEncodingError("x"), 503),
        (requests.exceptions.InvalidURL("x"), 502),
        (httpx.ConnectError("x"), 503),
        (httpx.ReadError("x"), 503),
        (httpx.RemoteProtocolError("x"), 503),
        (httpx.PoolTimeout("x"), 503),
        (httpx.ConnectTimeout("x"), 503),
        (httpx.ReadTimeout("x"), 504),
        (httpx.DecodingError("x"), 502),
        (errors.ConnectionLost("x"), 503),
        (errors.OutcomeUnknown("x"), 502),
        (errors.DeadlineExceeded("x", phase="slot"), 503),
        (errors.DeadlineExceeded("x", phase="connect"), 503),
        (errors.DeadlineExceeded("x", phase="response"), 504),
        (errors.ClientClosed("x"), 503),
        (errors.ResponseTooLarge("x"), 502),
        (errors.SettingsError("x"), 422),
        (ExceptionGroup("several", [httpx.ReadTimeout("x"), httpx.ReadError("x")]), 504),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_without_an_answer_the_kind_of_error_decides(error: Exception, status: int) -> None:
    """Unreachable or full gives 503, late 504, broken 502, whichever library raises the error."""
    trouble = problem_of(error)
    assert trouble is not None
    assert trouble.status_code == status
    assert (trouble.headers == RETRY) == (status == 503)


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyError("x"), ZeroDivisionError(), TimeoutError("x")])
def test_what_no_client_raises_is_a_bug(error: Exception) -> None:
    """No other error is treated as a problem with the backend."""
    assert problem_of(error) is None


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def caller(lab: Lab) -> AsyncIterator[httpx.AsyncClient]:
    async with caller_of(options_for(lab, "real")) as calling:
        yield calling


async def test_a_backend_out_of_reach_is_503_with_retry_after(client: str) -> None:
    """Nothing listens at the address: every route says so, except the one for the process's health."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with caller_of(AgentOptions(client, Settings(url, "k", timeout=1.0))) as caller:
        for path in ("/contests", "/contests/3", "/deadlines", "/ready"):
            response = await caller.get(path)
            problem_in(response, 503)
            assert int(response.headers["retry-after"]) >= 1
        assert (await caller.get("/health")).status_code == 200


async def test_a_backend_that_fails_is_503_with_retry_after(client: str, lab: Lab) -> None:
    """The backend answers 503 to everything: so does the service, for reads, several at once, and writes."""
    lab.set(error_rate=1.0)
    try:
        async with caller_of(options_for(lab, client)) as caller:
            asked = [caller.get("/contests/3"), caller.get("/deadlines?category=rl"), caller.get("/ready")]
            for response in await asyncio.gather(*asked, caller.post("/contests", json={"id": 9_001, "title": "x"})):
                problem_in(response, 503)
                assert int(response.headers["retry-after"]) >= 1
    finally:
        lab.set(error_rate=0.0)


async def test_a_backend_that_is_late_is_504(client: str, lab: Lab) -> None:
    """The backend takes longer than the client waits."""
    lab.set(latency=0.8)
    try:
        async with caller_of(options_for(lab, client, timeout=0.2)) as caller:
            response = await caller.get("/contests/3")
            problem_in(response, 504)
            assert "retry-after" not in response.headers
    finally:
        lab.set(latency=0.0)


@pytest.mark.parametrize(("client", "last"), [("fake-1", 504), ("article-1", 503), ("real-1", 503)])
async def test_a_full_client_is_503_and_a_queue_that_hides_is_504(client: str, last: int, lab: Lab) -> None:
    """Three callers, one slot: a caller without a slot gets 503 if the client can tell; fake async cannot.

    The first is served, the second has the slot when its time is up, the third waits for a slot until the end.
    """
    async with caller_of(options_for(lab, client, timeout=0.8)) as caller:
        assert (await caller.get("/ready")).status_code == 200
        lab.set(latency=0.6)
        try:
            answers = await asyncio.gather(*(caller.get(f"/contests/{number}") for number in (3, 4, 5)))
        finally:
            lab.set(latency=0.0)
    assert [answer.status_code for answer in answers] == [200, 504, last]


async def test_the_service_has_a_deadline_of_its_own(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever delays a request, its caller gets a response: here, nothing in the client limits the delay."""

    async def for_ever(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(SupabaseAsync, "select", for_ever)
    monkeypatch.setattr(SupabaseAsync, "insert", for_ever)
    async with caller_of(options_for(lab, "real", timeout=0.2)) as caller:
        problem_in(await caller.get("/contests/3"), 504)
        problem_in(await caller.post("/contests", json={"id": 9_001, "title": "x"}), 504)


async def test_a_refused_key_is_the_services_trouble(client: str, lab: Lab) -> None:
    """The backend's 401 is not the caller's fault: 502, without the key."""
    wrong = "sb_secret_not_the_right_one"
    async with caller_of(AgentOptions(client, Settings(lab.url, wrong))) as caller:
        response = await caller.get("/contests/3")
        problem_in(response, 502)
        assert wrong not in response.text + str(response.headers)


@pytest.mark.parametrize(
    "row", [{"title": "x"}, {"id": "many", "title": "x"}, {"id": 1, "title": "x", "ends_at": "soon"}]
)
async def test_a_row_that_is_no_contest_is_502(
    caller: httpx.AsyncClient, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend whose table has other columns counts neither as a bug nor as the caller's mistake."""

    async def answer(*_: object, **__: object) -> dict[str, Any]:
        return row

    monkeypatch.setattr("supalab.clients.real.SupabaseAsync.select", answer)
    problem_in(await caller.get("/contests/3"), 502)


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ("page=0", "query.page"),
        ("size=101", "query.size"),
        ("min_prize=-1", "query.min_prize"),
        ("min_prize=2147483648", "query.min_prize"),
        ("order=host", "query.order"),
        ("status=maybe", "query.status"),
        ("category=chess", "query.category"),
        ("q=", "query.q"),
        ("q=%00", "query.q"),
        ("colour=red", "query.colour"),
    ],
)
async def test_a_bad_query_is_422_and_named(caller: httpx.AsyncClient, lab: Lab, query: str, at: str) -> None:
    """Each mistake is named with its place, and the backend gets no request."""
    lab.reset()
    problem = problem_in(await caller.get(f"/contests?{query}"), 422)
    assert [error["at"] for error in problem["errors"]] == [at]
    assert lab.witness().served == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": 0, "title": "x"},
        {"id": 9_001},
        {"id": 9_001, "title": ""},
        {"id": 9_001, "title": "x\0y"},
        {"id": 9_001, "title": "x", "prize": 2**31},
        {"id": 9_001, "title": "x", "starts_at": "2026-01-01"},
        {"id": 9_001, "title": "x", "starts_at": "2026-01-01T00:00:00"},
        {"id": 9_001, "title": "x", "starts_at": 1_700_000_000},
        {"id": 9_001, "title": "x", "url": "javascript:alert(1)"},
        {"id": 9_001, "title": "x", "winner": "me"},
        {"id": 9_001, "title": "x", "starts_at": "2026-01-02T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"},
    ],
    ids=str,
)
async def test_a_bad_contest_is_422_and_not_stored(caller: httpx.AsyncClient, lab: Lab, body: dict[str, Any]) -> None:
    """What cannot be a contest never reaches the backend."""
    lab.reset()
    assert problem_in(await caller.post("/contests", json=body), 422)["errors"]
    assert lab.witness().served == 0


async def test_a_change_to_nothing_or_to_no_title_is_422(caller: httpx.AsyncClient) -> None:
    """A change needs something to change, and a title or status cannot be emptied."""
    for body in ({}, {"title": None}, {"status": None}, {"id": 4}):
        problem_in(await caller.patch("/contests/3", json=body), 422)


async def test_the_frameworks_own_refusals_have_the_same_shape(caller: httpx.AsyncClient) -> None:
    """An unknown path, an extra slash, an unknown method, a broken body, bytes that are not text."""
    problem_in(await caller.get("/nothing"), 404)
    problem_in(await caller.get("/contests/"), 404)
    for path, methods in (("/contests", "GET, POST"), ("/contests/3", "GET, PATCH"), ("/metrics", "GET")):
        response = await caller.delete(path)
        assert problem_in(response, 405)["title"] == "Method Not Allowed"
        assert response.headers["allow"] == methods
    kind = {"Content-Type": "application/json"}
    problem_in(await caller.post("/contests", content=b"{", headers=kind), 422)
    assert (await caller.post("/contests", content=b"\xff\xfe{}", headers=kind)).status_code in {400, 422}
    problem_in(await caller.post("/contests", content=b"id=1", headers={"Content-Type": "text/plain"}), 422)


async def test_a_body_that_is_too_long_is_413(caller: httpx.AsyncClient) -> None:
    """With or without a declared length, a long body is refused before it is complete."""
    sent = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 10_000
            yield b" " * 10_000

    kind = {"Content-Type": "application/json"}
    problem_in(await caller.post("/contests", content=b" " * (MAX_BODY + 1), headers=kind), 413)
    problem_in(await caller.post("/contests", content=parts(), headers=kind), 413)
    assert sent < 100 * 10_000


@pytest.mark.parametrize("given", ["a" * 65, "two words", "käse", "x\ty", ""])
async def test_a_request_id_that_is_not_sane_is_replaced(caller: httpx.AsyncClient, given: str) -> None:
    """An id that does not fit into a log line is not used."""
    response = await caller.get("/health", headers={b"X-Request-ID": given.encode("latin-1")})
    assert response.headers["x-request-id"] not in {given, ""}


async def test_a_request_id_is_kept_or_made(caller: httpx.AsyncClient) -> None:
    """A valid id comes back, in a problem too; without one, each request gets its own."""
    for path in ("/health", "/nothing", "/contests/501", "/contests?page=0"):
        assert (await caller.get(path, headers={"X-Request-ID": "abc-1.2:3_4"})).headers[
            "x-request-id"
        ] == "abc-1.2:3_4"
    assert len({(await caller.get("/health")).headers["x-request-id"] for _ in range(5)}) == 5


async def test_a_bug_is_a_500_that_tells_the_log_and_not_the_caller(
    caller: httpx.AsyncClient, lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller gets the request's id, the log has the traceback under this id, and neither has the key."""

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"surprise with {lab.key}")

    monkeypatch.setattr(SupabaseAsync, "select", broken)
    with caplog.at_level(logging.INFO, "supalab.contest_agent"):
        response = await caller.get("/contests/3")
    problem = problem_in(response, 500)
    assert "surprise" not in response.text
    lines = formatted(caplog, lab)
    traces = [line for line in lines if "traceback" in line]
    assert [line["request_id"] for line in traces] == [problem["request_id"]]
    assert "surprise with (key)" in traces[0]["traceback"]


async def test_each_request_has_one_line(caller: httpx.AsyncClient, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """Method, path, template, status, time and id; after a failure also the error's name; never the query."""
    with caplog.at_level(logging.INFO, "supalab.contest_agent"):
        await caller.get("/contests?q=secret+wish")
        await caller.get("/contests/501", headers={"X-Request-ID": "mine"})
        await caller.get("/nothing")
        await caller.get("/metrics")
    lines = formatted(caplog, lab)
    assert [(line["method"], line["path"], line["route"], line["status"]) for line in lines] == [
        ("GET", "/contests", "/contests", 200),
        ("GET", "/contests/501", "/contests/{contest_id}", 404),
        ("GET", "/nothing", "(none)", 404),
    ]
    assert lines[1]["request_id"] == "mine"
    assert {line["client"] for line in lines} == {"real-10"}
    assert all(line["ms"] >= 0 for line in lines)
    assert "secret" not in json.dumps(lines)


def formatted(caplog: pytest.LogCaptureFixture, lab: Lab) -> list[dict[str, Any]]:
    """Return the lines as the service would write them."""
    lines = JsonLines([lab.key], "real-10")
    return [json.loads(lines.format(record)) for record in caplog.records if record.name == "supalab.contest_agent"]


async def test_no_answer_line_or_metric_holds_the_key(client: str, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """After success and every kind of failure, even if a caller puts the key into the address."""
    seen = []
    lines = JsonLines([lab.key], client)
    with caplog.at_level(logging.DEBUG, "supalab.contest_agent"):
        async with caller_of(options_for(lab, client, timeout=0.2)) as caller:
            for conditions in ({"error_rate": 1.0}, {"error_rate": 0.0, "latency": 0.5}, {"latency": 0.0}):
                lab.set(**conditions)
                for path in ("/contests/3", "/deadlines?category=rl", "/contests?page=0", f"/contests/{lab.key}"):
                    response = await caller.get(path, headers={"X-Request-ID": lab.key})
                    seen += [response.text, lines.format(caplog.records[-1])]
            seen.append((await caller.get("/metrics")).text)
    assert len(seen) == 25
    assert not [text for text in seen if lab.key in text]


async def test_metrics_count_by_template_and_status(caller: httpx.AsyncClient) -> None:
    """Requests are counted by route, not by path; reading the counts does not change them."""
    for path in ("/contests/3", "/contests/4", "/contests/501", "/contests?page=0", "/no/such", "/other"):
        await caller.get(path)
    await caller.request("BREW", "/contests")
    first, second = [(await caller.get("/metrics")) for _ in range(2)]
    assert first.headers["content-type"].startswith("text/plain; version=")
    counts = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in first.text.splitlines()
        if line.startswith(("contest_agent_requests_total", "contest_agent_requests_in_progress"))
    }

    def total(method: str, route: str, status: int) -> float:
        labels = f'client="real-10",method="{method}",route="{route}",status="{status}"'
        return counts.pop(f"contest_agent_requests_total{{{labels}}}")

    assert total("GET", "/contests/{contest_id}", 200) == 2
    assert total("GET", "/contests/{contest_id}", 404) == 1
    assert total("GET", "/contests", 422) == 1
    assert total("GET", "(none)", 404) == 2
    assert total("other", "/contests", 405) == 1
    assert counts == {'contest_agent_requests_in_progress{client="real-10"}': 0}
    assert (
        'contest_agent_request_seconds_count{client="real-10",method="GET",route="/contests/{contest_id}"} 3.0'
        in first.text
    )
    assert first.text == second.text


async def test_each_app_counts_for_itself(lab: Lab) -> None:
    """Two apps in one process share no count, and a new one begins at zero."""
    async with caller_of(options_for(lab, "real")) as one, caller_of(options_for(lab, "fake")) as other:
        await one.get("/health")
        assert 'route="/health"' in (await one.get("/metrics")).text
        assert "/health" not in (await other.get("/metrics")).text
