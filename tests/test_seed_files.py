"""The lab's data: the shipped contests, a user's CSV and SQL, and unusable files."""

from __future__ import annotations

import runpy
import time
from pathlib import Path

import pytest
from lab_helpers import ask, encoded, header, rows

from supalab.errors import SettingsError
from supalab.lab.postgrest.rest import Rest
from supalab.lab.postgrest.seed import SHIPPED
from supalab.shipped import shipped


def serve(folder: Path, name: str, content: str | bytes) -> Rest:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Rest(path)


def test_the_shipped_file_is_what_its_script_makes() -> None:
    """Byte for byte, so that nobody edits the data without the script that describes it."""
    generator = runpy.run_path(str(shipped("data", "make_contests.py")))
    assert SHIPPED.read_bytes() == generator["contests_csv"]().encode()


def test_contests_compare_as_moments() -> None:
    """``Z`` and ``+00:00`` are one moment: a filter with either finds the row that starts then."""
    rest = Rest()
    first = rows(ask(rest, "GET", "/contests?select=id,starts_at&order=starts_at,id&limit=1"))[0]
    for written in (first["starts_at"], first["starts_at"].replace("+00:00", "Z")):
        found = rows(ask(rest, "GET", f"/contests?select=id&starts_at=lte.{encoded(written)}&order=id"))
        assert first["id"] in [row["id"] for row in found]
        assert len(rows(ask(rest, "GET", f"/contests?select=id&starts_at=gte.{encoded(written)}"))) == 500
    rest.close()


def test_the_shipped_table_has_five_hundred_rows_and_its_constraints() -> None:
    """500 contests; the key asks for a value, titles are needed, addresses are unique, the status has a default."""
    rest = Rest()
    counted = ask(rest, "HEAD", "/contests", prefer="count=exact")
    assert header(counted, "Content-Range") == "0-499/500"
    first = rows(ask(rest, "GET", "/contests?limit=1"))[0]
    assert list(first)[:8] == ["id", "title", "host", "category", "prize", "status", "starts_at", "url"]
    assert rows(ask(rest, "POST", "/contests", {"title": "x"}))["code"] == "23502"
    assert rows(ask(rest, "POST", "/contests", {"id": 501}))["code"] == "23502"
    assert rows(ask(rest, "POST", "/contests", {"id": 501, "title": "x", "url": first["url"]}))["code"] == "23505"
    new = ask(rest, "POST", "/contests?select=status", {"id": 501, "title": "x"}, prefer="return=representation")
    assert rows(new) == [{"status": "upcoming"}]
    rest.close()


def test_writes_never_reach_the_seed_file(tmp_path: Path) -> None:
    """The lab works on a copy: after a delete the file is as it was, and a new lab has all rows again."""
    text = "id,name\n1,a\n2,b\n"
    rest = serve(tmp_path, "things.csv", text)
    assert ask(rest, "DELETE", "/things?id=gt.0").status == 204
    rest.close()
    assert (tmp_path / "things.csv").read_text() == text
    again = Rest(tmp_path / "things.csv")
    assert len(rows(ask(again, "GET", "/things"))) == 2
    again.close()


def test_a_csv_file_gets_the_types_of_its_values(tmp_path: Path) -> None:
    """Integers, numbers, booleans and text are told apart; ``id`` becomes the key; an empty field is NULL."""
    rest = serve(
        tmp_path,
        "my things.csv",
        'id,big,ratio,ok,code,note\n1,3000000000,0.5,true,007,"a,\nb"\n2,,-1e3,FALSE,008,\n',
    )
    assert rows(ask(rest, "GET", "/my%20things?order=id")) == [
        {"id": 1, "big": 3000000000, "ratio": 0.5, "ok": True, "code": "007", "note": "a,\nb"},
        {"id": 2, "big": None, "ratio": -1000.0, "ok": False, "code": "008", "note": None},
    ]
    duplicate = rows(ask(rest, "POST", "/my%20things", {"id": 1}))
    assert duplicate["message"] == 'duplicate key value violates unique constraint "my things_pkey"'
    rest.close()


def test_an_id_column_with_repeats_is_no_key(tmp_path: Path) -> None:
    """Only different whole numbers make a key, and a header without rows makes an empty table."""
    rest = serve(tmp_path, "t.csv", "id\n1\n1\n")
    assert ask(rest, "POST", "/t", {"id": 1}).status == 201
    rest.close()
    empty = serve(tmp_path, "e.csv", "id,name\n")
    assert rows(ask(empty, "GET", "/e")) == []
    empty.close()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", "", "has no header line"),
        ("t.csv", "\n\n", "has no header line"),
        ("t.csv", "a,\n1,2\n", "line 1: every column needs a name of its own"),
        ("t.csv", "a,A\n1,2\n", "line 1: every column needs a name of its own"),
        ("t.csv", "a,b\n1,2\n3\n", "line 3: 1 fields where the header has 2"),
        ("t.csv", 'a\n"x', "line 2: unexpected end of data"),
        ("t.csv", b"a\n\xff\n", "not UTF-8 text (byte 2)"),
        ("t.txt", "a\n1\n", "the name must end in .csv or .sql"),
        ("t.sql", "", "makes no table"),
        ("t.sql", "-- nothing\n", "makes no table"),
        (
            "t.sql",
            "create table t(a);\n\nselec 1;\n",
            'line 3: near "selec": syntax error for SQLite, which runs the lab; write it as SQLite does, or remove it,'
            " in: selec 1;",
        ),
        ("t.csv", f"{','.join(f'c{number}' for number in range(2001))}\n", "at most 2,000 columns; remove some"),
        (
            "t.sql",
            "create table t(a int);\nselect 1;\ninsert into u values (1)",
            "line 3: no such table: u",
        ),
        (
            "t.sql",
            "create table t(a int);\ninsert into t values ('x');",
            "column a: invalid input syntax for type integer",
        ),
        ("t.sql", "attach 'other.db' as o;", "line 1: not authorized"),
        ("t.sql", "create table t(a);\nvacuum into 'copy.db';", "line 2: "),
        ("t.sql", b"create table t(a);\nselect '\xff';", "not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str | bytes, words: str
) -> None:
    """The message names the file and what is wrong where; nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as caught:
        serve(tmp_path, name, content)
    message = str(caught.value)
    assert words in message
    assert name in message
    assert "\n" not in message
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    """Neither is a traceback of the operating system."""
    with pytest.raises(SettingsError, match="there is no such file"):
        Rest(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(SettingsError, match="this is a directory"):
        Rest(tmp_path / "folder.csv")


def test_a_dump_with_triggers_views_and_transactions_is_served(tmp_path: Path) -> None:
    """What SQLite's own dump writes can be read, semicolons inside a trigger included."""
    rest = serve(
        tmp_path,
        "dump.sql",
        """PRAGMA foreign_keys=OFF;
        BEGIN TRANSACTION;
        CREATE TABLE t(id integer primary key autoincrement, name text, seen int default 0);
        INSERT INTO t VALUES (1, 'a;b', 0);
        CREATE TRIGGER seen AFTER INSERT ON t BEGIN UPDATE t SET seen = 1 WHERE id = new.id; SELECT 1; END;
        CREATE VIEW names AS SELECT name FROM t;
        COMMIT;
        -- the end""",
    )
    assert rows(ask(rest, "GET", "/names")) == [{"name": "a;b"}]
    assert ask(rest, "POST", "/t", {"name": "c"}).status == 201
    assert rows(ask(rest, "GET", "/t?id=eq.2")) == [{"id": 2, "name": "c", "seen": 1}]
    assert ask(rest, "POST", "/names", {"name": "x"}).status == 201
    assert rows(ask(rest, "GET", "/t?id=eq.3")) == [{"id": 3, "name": "x", "seen": 1}]
    rest.close()


def test_a_table_may_have_any_name(tmp_path: Path) -> None:
    """Names of every script are served; the headers that repeat them stay ASCII."""
    rest = serve(tmp_path, "any.sql", 'CREATE TABLE "日本 ""x"(id integer primary key, "a b" text);')
    target = "/%E6%97%A5%E6%9C%AC%20%22x"
    made = ask(rest, "POST", target, {"id": 1, "a b": "c"}, prefer="return=headers-only")
    read = ask(rest, "GET", f"{target}?select=%22a%20b%22")
    assert rows(read) == [{"a b": "c"}]
    assert all(value.isascii() for answer in (made, read) for _, value in answer.headers)
    rest.close()


def test_an_answer_needs_room_for_a_row() -> None:
    """A ``max_rows`` below 1 is a setting that cannot work."""
    with pytest.raises(SettingsError, match="max_rows 0"):
        Rest(max_rows=0)


ENDLESS = (
    "create table t(id int); with recursive c(x) as (select 1 union all select x+1 from c) select count(*) from c;"
)


def test_a_script_that_does_not_end_is_refused_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says where the script was, for how long it may run and what to do."""
    monkeypatch.setattr("supalab.lab.postgrest.loading.STATEMENT_S", 0.2)
    with pytest.raises(
        SettingsError, match=r"endless\.sql: line 1: this statement takes longer than 0\.2 s; make it smaller"
    ):
        serve(tmp_path, "endless.sql", ENDLESS)


def test_the_time_of_the_script_is_not_the_time_of_the_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the seed is loaded its limit is over, however long the lab runs."""
    monkeypatch.setattr("supalab.lab.postgrest.loading.STATEMENT_S", 0.3)
    rest = serve(tmp_path, "many.sql", "create table many(id integer primary key);")
    time.sleep(0.4)
    assert ask(rest, "POST", "/many", [{"id": number} for number in range(3000)]).status == 201
    rest.close()
