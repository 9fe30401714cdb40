"""Conditions, order and limit inside an embedded resource, and rows ordered by one; a served lab is the judge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from supalab import Lab, SupabaseAsync
from supalab.errors import SettingsError
from supalab.filters import Filters, all_of, any_of, gt, in_

SEED = """
CREATE TABLE owners (id INTEGER PRIMARY KEY, name TEXT, town TEXT);
CREATE TABLE pets (id INTEGER PRIMARY KEY, owner_id INTEGER REFERENCES owners(id), name TEXT, age INTEGER);
INSERT INTO owners VALUES (1, 'Ann', 'Graz'), (2, 'Bob', 'Linz'), (3, 'Cem', 'Graz');
INSERT INTO pets VALUES (1, 1, 'Rex', 3), (2, 2, 'Tom', 9), (3, 1, 'Kit', 5), (4, 1, 'Bo', 7), (5, 3, 'Max', 1);
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    seed = tmp_path_factory.mktemp("seed") / "pets.sql"
    seed.write_text(SEED)
    with Lab(seed=seed) as served:
        yield served


@pytest.fixture
async def db(lab: Lab) -> AsyncIterator[SupabaseAsync]:
    async with SupabaseAsync(lab.url, lab.key) as client:
        yield client


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"owners.name": "Ann"}, [1, 3, 4]),
        ({"owners.name": in_(["Ann", "Cem"]), "age": gt(4)}, [3, 4]),
        (any_of({"owners.name": "Ann"}, {"owners.town": "Linz"}), [1, 2, 3, 4]),
        (any_of({"owners.name": "Ann", "owners.town": "Graz"}, {"owners.id": 3}), [1, 3, 4, 5]),
        (~any_of({"owners.name": "Ann"}, {"owners.name": "Bob"}), [5]),
        ([all_of({"owners.town": "Graz"}), {"age": gt(3)}], [3, 4]),
    ],
)
async def test_rows_are_chosen_by_an_embedded_resource(db: SupabaseAsync, filters: Filters, ids: list[int]) -> None:
    """With !inner, rows without a fitting one stay out; groups stand inside the resource that they are about."""
    rows = await db.select("pets", columns="id,owners!inner(name)", filters=filters, order="id")
    assert [row["id"] for row in rows] == ids


async def test_what_is_embedded_is_filtered_ordered_and_limited(db: SupabaseAsync) -> None:
    """Each owner brings some of their pets, in an order of its own."""
    rows = await db.select(
        "owners",
        columns="name,pets(name)",
        filters={"pets.age": gt(2)},
        order="name.desc",
        embedded={"pets": {"order": "age.desc", "limit": 2, "offset": 0}},
    )
    assert [(row["name"], [pet["name"] for pet in row["pets"]]) for row in rows] == [
        ("Cem", []),
        ("Bob", ["Tom"]),
        ("Ann", ["Bo", "Kit"]),
    ]


@pytest.mark.parametrize("ahead", [0, 1])
async def test_pages_take_the_same_query_as_select(db: SupabaseAsync, ahead: int) -> None:
    """What each row brings is chosen, ordered and limited on every page, not on the first one alone."""
    query: dict[str, Any] = {
        "columns": "id,name,pets(name)",
        "filters": {"pets.age": gt(2), "id": gt(0)},
        "embedded": {"pets": {"order": "age.desc", "limit": 2}},
    }
    whole = await db.select("owners", order="id", **query)
    assert [len(row["pets"]) for row in whole] == [2, 1, 0]
    for size in (1, 2, 5):
        assert [row async for page in db.pages("owners", size=size, ahead=ahead, **query) for row in page] == whole


async def test_rows_are_ordered_by_an_embedded_resource(db: SupabaseAsync) -> None:
    """By a column of the one row that belongs to each."""
    rows = await db.select("pets", columns="id,owners(name)", order="owners(name).desc,id")
    assert [row["id"] for row in rows] == [5, 2, 1, 3, 4]


async def test_a_table_whose_names_are_odd_is_served_whole(tmp_path: Path) -> None:
    """A file's name and its header may hold blanks, dashes, digits and signs; read, changed, removed, by pages too."""
    header = ["id", "First Name", "R&D", "km/h", "v1.2", "नाम", "🙂"]
    seed = tmp_path / "2024-sales.csv"
    seed.write_text(f"{','.join(header)}\n1,Ann,10,5,a,x,y\n2,Bob,20,6,b,x,y\n", encoding="utf-8")
    with Lab(seed=seed) as served:
        async with SupabaseAsync(served.url, served.key) as db:
            table = "2024-sales"
            found = await db.select(
                table,
                columns=["First Name", "R&D", "km/h", '"v1.2"', "नाम", "🙂"],
                filters=[{"First Name": "Bob", '"v1.2"': "b"}, any_of({"R&D": 20}, {"नाम": "no"})],
                order="km/h.desc,First Name",
            )
            assert found == [dict(zip(header[1:], ["Bob", 20, 6, "b", "x", "y"], strict=True))]
            new: list[dict[str, Any]] = [{"id": 3, "First Name": "Cem"}, {"id": 4, "R&D": 1}]
            assert len(await db.insert(table, new)) == 2
            assert len(await db.upsert(table, {"id": 3, "First Name": "C"}, on_conflict=["id"])) == 1
            assert len(await db.update(table, {"🙂": "z"}, filters={"First Name": "C"})) == 1
            pages = [page async for page in db.pages(table, key="id", size=3)]
            assert [row["First Name"] for page in pages for row in page] == ["Ann", "Bob", "C", None]
            assert len(await db.delete(table, filters={"R&D": in_([1, 10, 20])})) == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda db: db.select("pets", filters=any_of({"owners.name": "Ann"}, {"age": 3})),
        lambda db: db.select("pets", filters=any_of({"owners.name": "Ann"}, {"vets.name": "Ann"})),
        lambda db: db.select("pets", filters=any_of({"not.id": 1}, {"not.id": 2})),
        lambda db: db.update("pets", {"age": 1}, filters={"owners.name": "Ann"}),
        lambda db: db.delete("pets", filters={"owners.name": "Ann"}, columns="*,owners(name)"),
        lambda db: db.delete("pets", filters=[{"id": 1}, any_of({"owners.name": "Ann"})]),
        lambda db: db.select("pets", embedded={"owners": 5}),
        lambda db: db.select("pets", embedded={"owners": {"limit": -1}}),
        lambda db: db.select("pets", embedded={"owners": {"filters": {}}}),
        lambda db: db.select("pets", embedded=[]),
    ],
)
async def test_what_would_mean_something_else_is_refused(db: SupabaseAsync, lab: Lab, call: Any) -> None:
    """A group over two resources, or a write chosen by a resource that is only shown: nothing is sent."""
    served = lab.witness().served
    with pytest.raises(SettingsError):
        await call(db)
    assert lab.witness().served == served
