"""Embedded resources: rows of another table inside rows, found by the foreign keys between the two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_helpers import ask, header, open_rest, rows

from supalab.lab.postgrest.rest import Rest

SCRIPT = """
CREATE TABLE teams(id integer primary key, name text, lead_id integer references people(id));
CREATE TABLE people(
  id integer primary key, name text, team_id integer references teams(id), boss integer references people(id)
);
CREATE TABLE badges(id integer primary key, label text, person_id integer unique references people(id));
CREATE TABLE alone(id integer primary key);
INSERT INTO teams VALUES (1, 'red', null), (2, 'blue', null), (3, 'empty', null);
INSERT INTO people VALUES (1, 'ann', 1, null), (2, 'bob', 1, 1), (3, 'cy', 2, 1), (4, 'dee', null, 2);
INSERT INTO badges VALUES (1, 'gold', 1), (2, 'tin', 3);
"""
MEMBERS = "people!people_team_id_fkey"


@pytest.fixture
def rest(tmp_path: Path) -> Iterator[Rest]:
    opened = open_rest(tmp_path, SCRIPT)
    yield opened
    opened.close()


def test_many_rows_have_one_of_the_other_table(rest: Rest) -> None:
    """Along a foreign key the other row is an object, or null; the key's column and name mean it as well."""
    query = "/people?select=name,team:teams!team_id(name)&order=id"
    assert rows(ask(rest, "GET", query)) == [
        {"name": "ann", "team": {"name": "red"}},
        {"name": "bob", "team": {"name": "red"}},
        {"name": "cy", "team": {"name": "blue"}},
        {"name": "dee", "team": None},
    ]
    for name in ("team_id", "people_team_id_fkey"):
        assert rows(ask(rest, "GET", f"/people?select={name}(name)&id=eq.3")) == [{name: {"name": "blue"}}]


def test_one_row_has_many_of_the_other_table(rest: Rest) -> None:
    """Against a foreign key it is an array, with conditions, order and limits of its own."""
    query = f"/teams?select=id,people:{MEMBERS}(id)&people.order=id.desc&order=id"
    assert [[item["id"] for item in row["people"]] for row in rows(ask(rest, "GET", query))] == [[2, 1], [3], []]
    narrowed = rows(ask(rest, "GET", f"{query}&people.limit=1&people.name=neq.bob"))
    assert [[item["id"] for item in row["people"]] for row in narrowed] == [[1], [3], []]


def test_a_unique_foreign_key_gives_one_row_each_way(rest: Rest) -> None:
    """One to one is an object in both directions, and resources may lie in resources."""
    query = "/badges?select=label,people(name,team:teams!team_id(name))&id=eq.2"
    assert rows(ask(rest, "GET", query)) == [{"label": "tin", "people": {"name": "cy", "team": {"name": "blue"}}}]
    assert rows(ask(rest, "GET", "/people?select=badges(label)&id=in.(1,2)&order=id")) == [
        {"badges": {"label": "gold"}},
        {"badges": None},
    ]


def test_inner_and_null_filters_choose_the_rows(rest: Rest) -> None:
    """``!inner`` and ``is.null`` on a resource keep or drop rows, and a count counts what is kept."""
    inner = ask(rest, "GET", "/people?select=id,badges!inner(label)&badges.label=eq.tin", prefer="count=exact")
    assert (rows(inner), header(inner, "Content-Range")) == ([{"id": 3, "badges": {"label": "tin"}}], "0-0/1")
    without = ask(rest, "GET", "/people?select=id,badges()&badges=is.null&order=id")
    assert rows(without) == [{"id": 2}, {"id": 4}]
    with_one = ask(rest, "GET", "/people?select=id,badges()&badges=not.is.null&order=id")
    assert rows(with_one) == [{"id": 1}, {"id": 3}]
    nested = ask(rest, "GET", f"/teams?select=id,people:{MEMBERS}!inner(badges!inner(label))&order=id")
    assert [row["id"] for row in rows(nested)] == [1, 2]


def test_a_table_can_refer_to_itself(rest: Rest) -> None:
    """By the table's name it is those that refer here, by the column the one referred to."""
    answer = ask(rest, "GET", "/people?select=id,boss(name),people(id)&people.order=id&id=eq.1")
    assert rows(answer) == [{"id": 1, "boss": None, "people": [{"id": 2}, {"id": 3}]}]
    assert rows(ask(rest, "GET", "/people?select=people!boss(id)&id=eq.2")) == [{"people": [{"id": 4}]}]


def test_people_who_know_people_are_not_embedded(tmp_path: Path) -> None:
    """PostgREST finds no many-to-many relationship of a table with itself, not even through the name of the table."""
    script = """create table people (id integer primary key); create table knows (
      one integer references people(id), two integer references people(id), primary key (one, two));"""
    rest = open_rest(tmp_path, script)
    for embed in ("people", "people!knows", "people!knows_one_fkey"):
        assert rows(ask(rest, "GET", f"/people?select={embed}(id)"))["code"] == "PGRST200"
    rest.close()


def test_a_column_as_a_hint_means_a_foreign_key(tmp_path: Path) -> None:
    """Never the way through a table in the middle, for which that table's name is the hint."""
    script = """create table people (id integer primary key);
    create table notes (id integer primary key, owner integer references people(id));
    create table readers (
      note integer references notes(id), person integer references people(id), primary key (note, person));
    insert into people values (1); insert into notes values (1, 1);"""
    rest = open_rest(tmp_path, script)
    assert rows(ask(rest, "GET", "/notes?select=people!id(id)")) == [{"people": {"id": 1}}]
    assert rows(ask(rest, "GET", "/notes?select=people!readers(id)")) == [{"people": []}]
    rest.close()


def test_embedded_rows_are_at_most_max_rows(tmp_path: Path) -> None:
    """Each array is cut as silently as the rows around it, whatever limit it asks for; a count counts all."""
    rest = open_rest(tmp_path, SCRIPT, max_rows=1)
    for limit in ("", "&people.limit=5"):
        answer = ask(rest, "GET", f"/teams?select=people:{MEMBERS}(id)&people.order=id&id=eq.1{limit}")
        assert rows(answer) == [{"people": [{"id": 1}]}]
    assert rows(ask(rest, "GET", f"/teams?select={MEMBERS}(count)&id=eq.1")) == [{"people": [{"count": 2}]}]
    rest.close()


def test_spread_and_related_order(rest: Rest) -> None:
    """Three dots put the other row's columns into this one, and a sort key may lie in a row of the other table."""
    query = "/people?select=id,...teams!team_id(team:name)&id=lt.4&order=id.desc"
    assert rows(ask(rest, "GET", query))[0] == {"id": 3, "team": "blue"}
    ordered = rows(ask(rest, "GET", "/people?select=id,teams!team_id(name)&order=teams(name),id&teams=not.is.null"))
    assert [row["id"] for row in ordered] == [3, 1, 2]


def test_written_rows_come_back_with_what_belongs_to_them(rest: Rest) -> None:
    """A write can embed, too: the resource is as it is after the write."""
    target = "/people?select=name,teams!team_id(name)&id=eq.4"
    answer = ask(rest, "PATCH", target, {"team_id": 3}, prefer="return=representation")
    assert rows(answer) == [{"name": "dee", "teams": {"name": "empty"}}]


def test_a_view_keeps_its_own_order(tmp_path: Path) -> None:
    """Through another view and with conditions, until a request asks for another one."""
    script = """
    create table a (id integer primary key, n int, b int references b(id)); create table b (id integer primary key);
    insert into b values (1); insert into a values (1, 5, 1), (2, 9, 1), (3, 7, 1);
    create view falling as select * from a order by n desc; create view again as select id, n, b from falling;
    """
    rest = open_rest(tmp_path, script)
    for view in ("falling", "again"):
        assert [row["id"] for row in rows(ask(rest, "GET", f"/{view}?select=id"))] == [2, 3, 1]
        assert [row["id"] for row in rows(ask(rest, "GET", f"/{view}?id=gt.1&select=id&limit=1"))] == [2]
        assert [row["id"] for row in rows(ask(rest, "GET", f"/{view}?select=id&order=id"))] == [1, 2, 3]
    back = ask(rest, "PATCH", "/again?n=gt.5", {"b": 1}, prefer="return=representation")
    assert len(rows(back)) == 2
    rest.close()


def test_a_write_that_wants_headers_alone_may_embed(rest: Rest) -> None:
    """What is embedded, filtered or sorted by is checked, and the row's place is told all the same."""
    target = "/people?select=id,team:teams!team_id(name)&team.name=eq.red&order=team(name)"
    made = ask(rest, "POST", target, {"id": 9, "name": "eve", "team_id": 1}, prefer="return=headers-only")
    assert (made.status, header(made, "location")) == (201, "/people?id=eq.9")
    wrong = ask(rest, "POST", "/people?select=nope", {"id": 10}, prefer="return=headers-only")
    assert rows(wrong)["code"] == "42703"


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/teams?select=*,alone(*)", 400, "PGRST200"),
        ("/teams?select=*,people!nope(*)", 400, "PGRST200"),
        ("/teams?select=*,people(*)", 300, "PGRST201"),
        ("/people?select=id,badges(nope)", 400, "42703"),
        ("/people?select=id&badges.id=eq.1", 400, "PGRST108"),
        ("/people?select=id&order=badges(id)", 400, "PGRST108"),
        (f"/teams?select=id,{MEMBERS}(id)&order=people(id)", 400, "PGRST118"),
    ],
)
def test_what_cannot_be_embedded_is_explained(rest: Rest, target: str, status: int, code: str) -> None:
    """No relationship, several, an unknown column inside, or a path that leads to nothing selected."""
    answer = ask(rest, "GET", target)
    assert (answer.status, rows(answer)["code"]) == (status, code)


def test_several_relationships_are_listed(rest: Rest) -> None:
    """The error offers each relationship with the hint that chooses it."""
    error = rows(ask(rest, "GET", "/teams?select=people(*)"))
    assert {item["cardinality"] for item in error["details"]} == {"many-to-one", "one-to-many"}
    assert "'people!people_team_id_fkey'" in error["hint"]


CIRCLE = """
create table teams (id integer primary key, next integer references players(id), name text);
create table players (id integer primary key, team integer references teams(id), name text);
insert into teams values (1, 1, 'red');
insert into players values (1, 1, 'Ann');
"""


def nested(depth: int) -> str:
    """A select that goes around the circle."""
    select = "name"
    for level in range(depth, 0, -1):
        name = "players!next" if level % 2 else "teams!team"
        select = f"name,{name}({select})"
    return select


def test_resources_may_be_embedded_eight_levels_deep_and_beyond_the_error_says_what_to_do(tmp_path: Path) -> None:
    """Eight levels work with every SQLite; one that takes fewer than were asked for is told of with the cure."""
    rest = open_rest(tmp_path, CIRCLE)
    (row,) = rows(ask(rest, "GET", f"/teams?select={nested(8)}"))
    names = []
    while row:
        names.append(row["name"])
        row = row.get("players") or row.get("teams")
    assert names == ["red", "Ann"] * 4 + ["red"]
    for depth in (9, 12, 18, 30):
        answer = ask(rest, "GET", f"/teams?select={nested(depth)}")
        said = rows(answer)
        assert answer.status == 200 or (answer.status == 400 and (said["hint"] or said["details"]))
        assert answer.status == 200 or said["code"] in ("54001", "PGRST100")
    rest.close()
