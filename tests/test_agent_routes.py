"""The service's routes with each kind of client against the lab: the client's class makes no difference."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from agentwork import CLIENTS, caller_of, options_for, problem_in

from supalab import Lab
from supalab.lab.postgrest.seed import SHIPPED

with SHIPPED.open(encoding="utf-8", newline="") as file:
    ROWS = list(csv.DictReader(file))


@pytest.fixture(params=CLIENTS)
async def caller(request: pytest.FixtureRequest, lab: Lab) -> AsyncIterator[httpx.AsyncClient]:
    async with caller_of(options_for(lab, request.param)) as calling:
        yield calling


async def got(caller: httpx.AsyncClient, path: str, **params: Any) -> Any:
    response = await caller.get(path, params=params)
    assert response.status_code == 200, response.text
    return response.json()


def prize(row: dict[str, str]) -> int:
    return int(row["prize"] or -1)


async def test_a_list_has_pages_and_a_total(caller: httpx.AsyncClient) -> None:
    """Pages have no gap and no overlap, and each says how many contests there are in all."""
    pages = [await got(caller, "/contests", page=page, size=7) for page in (1, 2, 3)]
    assert {page["total"] for page in pages} == {len(ROWS)}
    assert [contest["id"] for page in pages for contest in page["items"]] == list(range(1, 22))


async def test_a_page_behind_the_last_is_empty_and_still_knows_the_total(caller: httpx.AsyncClient) -> None:
    """PostgREST answers 416 there; a caller who continues gets an empty page."""
    assert await got(caller, "/contests", page=1_000) == {"items": [], "total": len(ROWS), "page": 1_000, "size": 20}
    short = await got(caller, "/contests", page=3, host="nobody")
    assert (short["items"], short["total"]) == ([], 0)


async def test_filters_are_joined_by_and(caller: httpx.AsyncClient) -> None:
    """Host, status, category and least prize together find the right rows of the shipped table."""
    wanted = {"host": "kaggle", "status": "closed", "category": "vision"}
    fitting = [row for row in ROWS if all(row[name] == value for name, value in wanted.items()) and prize(row) >= 5_000]
    assert fitting, "the table should hold some"
    found = await got(caller, "/contests", **wanted, min_prize=5_000, size=100)
    assert [contest["id"] for contest in found["items"]] == [int(row["id"]) for row in fitting]
    assert found["total"] == len(fitting)


async def test_text_is_searched_literally_and_in_any_case(caller: httpx.AsyncClient) -> None:
    """A word in other letter case finds the titles with it; pattern characters stand for themselves."""
    fitting = {int(row["id"]) for row in ROWS if "lunar" in row["title"].lower()}
    found = await got(caller, "/contests", q="LUNAR", size=100)
    assert {contest["id"] for contest in found["items"]} == fitting
    assert (await got(caller, "/contests", q="%"))["total"] == 0
    assert (await got(caller, "/contests", q="a,b).(c\"\\'"))["total"] == 0


@pytest.mark.parametrize(("order", "turned"), [("prize", False), ("-prize", True)])
async def test_order_puts_what_is_empty_last(caller: httpx.AsyncClient, order: str, turned: bool) -> None:
    """In both directions, contests without a prize come last, and equal prizes are ordered by number."""
    filled = sorted((row for row in ROWS if row["prize"]), key=lambda row: int(row["id"]))
    filled.sort(key=prize, reverse=turned)
    first = await got(caller, "/contests", order=order, size=100)
    assert [contest["id"] for contest in first["items"]] == [int(row["id"]) for row in filled[:100]]
    last = await got(caller, "/contests", order=order, size=100, page=5)
    assert last["items"][-1]["prize"] is None


async def test_one_contest_or_404(caller: httpx.AsyncClient) -> None:
    """An existing number gives the contest with all its fields, another number a problem that names it."""
    row, contest = ROWS[2], await got(caller, "/contests/3")
    assert contest["prize"] == int(row["prize"])
    assert {name: str(value) for name, value in contest.items()} == row
    assert "501" in problem_in(await caller.get("/contests/501"), 404)["detail"]


async def test_deadlines_are_merged_from_one_query_for_each_category(caller: httpx.AsyncClient, lab: Lab) -> None:
    """The next deadlines of each category are one list, ordered by day; the backend gets six queries."""
    lab.reset()
    items = (await got(caller, "/deadlines", each=2))["items"]
    assert lab.witness().served == 6
    running = [row for row in ROWS if row["status"] != "closed"]
    expected = []
    for category in {row["category"] for row in running}:
        expected += sorted((r for r in running if r["category"] == category), key=lambda r: r["ends_at"])[:2]
    expected.sort(key=lambda row: (row["ends_at"], int(row["id"])))
    assert [contest["id"] for contest in items] == [int(row["id"]) for row in expected]
    assert len(items) == 12


async def test_deadlines_can_be_of_some_categories_and_after_a_day(caller: httpx.AsyncClient, lab: Lab) -> None:
    """Only the named categories, one query each, and nothing that ends before the given moment in any zone."""
    lab.reset()
    wanted = {"category": ["nlp", "rl", "nlp"], "after": "2026-06-01T02:00:00+02:00", "each": 20}
    items = (await got(caller, "/deadlines", **wanted))["items"]
    assert lab.witness().served == 2
    assert {contest["category"] for contest in items} == {"nlp", "rl"}
    assert min(contest["ends_at"] for contest in items) > "2026-06-01T00:00:00Z"


async def test_deadlines_are_asked_for_at_once(lab: Lab) -> None:
    """The six queries of one call are in flight together, as far as the client allows."""
    for client, most in (("fake-3", 3), ("real-10", 6)):
        lab.reset()
        lab.set(latency=0.3)
        try:
            async with caller_of(options_for(lab, client)) as calling:
                await got(calling, "/deadlines")
            assert lab.witness().peak == most
        finally:
            lab.set(latency=0.0)


async def test_a_contest_is_added_changed_and_found(caller: httpx.AsyncClient, lab: Lab) -> None:
    """A new contest is at its address; a change affects only its fields, null empties a field, times are UTC."""
    new = {
        "id": 9_001,
        "title": "Añadido, \"quoted\" (and) 'more'",
        "category": "nlp",
        "prize": 100,
        "starts_at": "2026-12-01T01:30:00+02:00",
        "url": "https://contests.test/c/9001",
    }
    try:
        added = await caller.post("/contests", json=new)
        assert added.status_code == 201, added.text
        assert added.headers["location"] == "/contests/9001"
        assert added.json() | {"starts_at": None} == await got(caller, "/contests/9001") | {"starts_at": None}
        assert added.json()["starts_at"] == "2026-11-30T23:30:00Z"
        assert added.json()["status"] == "upcoming"
        changed = await caller.patch("/contests/9001", json={"prize": None, "status": "open"})
        assert changed.json() == added.json() | {"prize": None, "status": "open"}
    finally:
        await clean_up(lab)


async def test_a_conflict_is_409(caller: httpx.AsyncClient, lab: Lab) -> None:
    """A number or an address that exists already is a conflict, for a new contest and for a change."""
    taken = ROWS[0]["url"]
    try:
        assert (await caller.post("/contests", json={"id": 9_001, "title": "x"})).status_code == 201
        for request in (
            caller.post("/contests", json={"id": 9_001, "title": "x"}),
            caller.post("/contests", json={"id": 9_002, "title": "x", "url": taken}),
            caller.patch("/contests/9001", json={"url": taken}),
        ):
            assert "exists already" in problem_in(await request, 409)["detail"]
    finally:
        await clean_up(lab)


async def test_a_change_of_nothing_that_exists_is_404(caller: httpx.AsyncClient) -> None:
    """A change of a contest that does not exist says so and adds none."""
    problem_in(await caller.patch("/contests/8000", json={"prize": 1}), 404)
    problem_in(await caller.get("/contests/8000"), 404)


async def test_health_needs_no_backend_and_readiness_asks_it(caller: httpx.AsyncClient, lab: Lab) -> None:
    """Both name the arm; only readiness sends a request to the backend."""
    lab.reset()
    health = await got(caller, "/health")
    assert (health["status"], lab.witness().served) == ("ok", 0)
    assert await got(caller, "/ready") == health
    assert lab.witness().served == 1


async def clean_up(lab: Lab) -> None:
    async with httpx.AsyncClient(headers={"apikey": lab.key}) as client:
        (await client.delete(f"{lab.url}/rest/v1/contests?id=gt.9000")).raise_for_status()
