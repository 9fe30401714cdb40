"""The official Python client with the lab's API, without a socket between them: its usual calls must work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from lab_helpers import open_rest
from postgrest import CountMethod, SyncPostgrestClient
from postgrest.exceptions import APIError

from supalab.lab.postgrest.http import Request


@pytest.fixture
def client(tmp_path: Path) -> Iterator[SyncPostgrestClient]:
    rest = open_rest(tmp_path)

    def handle(request: httpx.Request) -> httpx.Response:
        path, _, query = request.url.raw_path.decode().partition("?")
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = rest.answer(Request(request.method, path.removeprefix("/rest/v1"), query, headers, request.read()))
        return httpx.Response(answer.status, headers=list(answer.headers), content=answer.body)

    base_url = "http://lab.test/rest/v1"
    with httpx.Client(transport=httpx.MockTransport(handle), base_url=base_url) as http:
        yield SyncPostgrestClient(base_url, http_client=http)
    rest.close()


def test_its_filters_order_and_range_find_rows(client: SyncPostgrestClient) -> None:
    """Every kind of filter that the client can build finds what it should."""
    table = client.from_("contests")
    found = table.select("id").gt("prize", 400).ilike("title", "%cup%").order("prize", desc=True).order("id").execute()
    assert [row["id"] for row in found.data] == [2, 8, 7]
    listed = client.from_("contests").select("id").in_("title", ["Grand Final", "Graph, Text & (Maybe) Speech"])
    assert [row["id"] for row in listed.order("id").execute().data] == [3, 12]
    either = client.from_("contests").select("id").or_("id.eq.1,host.is.null").order("id").execute()
    assert [row["id"] for row in either.data] == [1, 9]
    page = client.from_("contests").select("id", count=CountMethod.exact).order("id").range(3, 5).execute()
    assert ([row["id"] for row in page.data], page.count) == ([4, 5, 6], 12)


def test_its_single_rows_are_objects_or_errors(client: SyncPostgrestClient) -> None:
    """``single`` wants one row, ``maybe_single`` takes none."""
    assert client.from_("contests").select("id").eq("id", 7).single().execute().data == {"id": 7}
    assert client.from_("contests").select("id").eq("id", 99).maybe_single().execute() is None
    with pytest.raises(APIError) as caught:
        client.from_("contests").select("id").single().execute()
    assert caught.value.code == "PGRST116"


def test_its_writes_come_back(client: SyncPostgrestClient) -> None:
    """Insert, upsert, update and delete work and return the rows."""
    table = client.from_("contests")
    made = table.insert([{"id": 13, "title": "a"}, {"id": 14, "title": "b", "host": "x"}]).execute()
    assert [row["id"] for row in made.data] == [13, 14]
    merged = table.upsert({"id": 13, "title": "c"}).execute()
    assert merged.data[0]["title"] == "c"
    assert table.update({"host": "y"}).eq("id", 13).execute().data[0]["host"] == "y"
    assert [row["id"] for row in table.delete().in_("id", [13, 14]).execute().data] == [13, 14]
    with pytest.raises(APIError) as caught:
        table.insert({"id": 1, "title": "dup"}).execute()
    assert caught.value.code == "23505"


def test_its_calls_reach_the_functions(client: SyncPostgrestClient) -> None:
    """``rpc`` posts its arguments, or sends them in the URL."""
    assert client.rpc("total_prize", {"of_category": "nlp"}).execute().data == 13000
    assert len(client.rpc("top_contests", {"how_many": 2}, get=True).execute().data) == 2
