"""A CSV file as a seed: every value stays unchanged, whatever separates the columns."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_helpers import ask, encoded, rows

from supalab.errors import SettingsError
from supalab.lab.postgrest.rest import Rest
from supalab.lab.postgrest.seed import open_seed


def served(folder: Path, text: str) -> Rest:
    path = folder / "things.csv"
    path.write_bytes(text.encode())
    return Rest(path)


@pytest.mark.parametrize(
    ("values", "declared"),
    [
        (["7", "-12"], "integer"),
        (["9223372036854775807", "1"], "bigint"),
        (["9223372036854775808", "1"], "text"),
        (["0.5", "12.25"], "double precision"),
        (["0.1234567890123456", "1.5"], "text"),
        (["9.90", "12.55"], "numeric(15,2)"),
        (["2.10", "2.9"], "text"),
        (["+49301234", "+49305678"], "text"),
        (["0042", "17"], "text"),
        (["3e4", "5e6"], "text"),
        (["0.5", "7e400"], "text"),
        (["0.5", "-3e4"], "double precision"),
        (["3.00", "4.50"], "numeric(15,2)"),
        (["2024-05-06 07:08", "2024-05-07 07:08+02"], "timestamp with time zone"),
        (["2147483648", "1"], "bigint"),
        (["0x1F", "2"], "text"),
        ([" 8 ", "9"], "text"),
        (["-0", "1"], "text"),
        (["-0.0", "1.5"], "text"),
        (["NaN", "1.5"], "text"),
        (["2023-02-28", "2024-02-29"], "date"),
        (["2023-02-29", "2024-02-29"], "text"),
        (["2024-05-06T07:08:09Z", "2024-05-06 07:08:09.25+02"], "timestamp with time zone"),
        (["2024-05-06 07:08:09", "2024-05-07 07:08"], "timestamp without time zone"),
        (["true", "FALSE"], "boolean"),
        (["1b4e28ba-2fa1-11d2-883f-0016d3cca427"], "uuid"),
        (["1B4E28BA-2FA1-11D2-883F-0016D3CCA427"], "text"),
    ],
)
def test_a_column_gets_the_type_in_which_no_value_changes(tmp_path: Path, values: list[str], declared: str) -> None:
    """Text columns and whole numbers come back letter by letter."""
    rest = served(tmp_path, "v\n" + "\n".join(values) + "\n")
    assert rest.schema["things"].columns["v"].declared.lower() == declared
    if declared in ("text", "bigint", "integer"):
        assert [str(row["v"]) for row in rows(ask(rest, "GET", "/things"))] == values
    rest.close()


def test_large_ids_are_a_key(tmp_path: Path) -> None:
    """Numbers of 19 digits that differ in the last one are two rows, and the key knows both."""
    rest = served(tmp_path, "id,t\n7234567890123456701,a\n7234567890123456702,b\n")
    assert rows(ask(rest, "GET", "/things?id=eq.7234567890123456702")) == [{"id": 7234567890123456702, "t": "b"}]
    assert rows(ask(rest, "POST", "/things", {"id": 7234567890123456701}))["code"] == "23505"
    rest.close()


def test_prices_keep_their_decimals(tmp_path: Path) -> None:
    """A price is compared as a number and written with the decimals that it has."""
    rest = served(tmp_path, "id,price\n1,9.90\n2,12.50\n")
    assert ask(rest, "GET", "/things?select=price&price=gt.10").body == b'[{"price":12.50}]'
    rest.close()


def test_moments_are_compared_as_moments(tmp_path: Path) -> None:
    """Half past eight in Paris is before eight in London, however the two are written."""
    rest = served(tmp_path, "id,at\n1,2024-06-01 08:30:00+02\n2,2024-06-01T08:00:00+01:00\n3,2024-06-01T09:00:00Z\n")
    found = rows(ask(rest, "GET", f"/things?select=id&at=gte.{encoded('2024-06-01T07:00:00Z')}&order=id"))
    assert [row["id"] for row in found] == [2, 3]
    rest.close()


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
@pytest.mark.parametrize("announced", [False, True])
def test_separators_are_found(tmp_path: Path, sign: str, announced: bool) -> None:
    """Columns may be separated as Excel does it in any country, with its ``sep=`` line or without."""
    first = f"sep={sign}\r\n" if announced else ""
    rest = served(tmp_path, f'{first}id{sign}name\r\n1{sign}"a{sign}b"\r\n2{sign}c\r\n')
    assert rows(ask(rest, "GET", "/things?order=id")) == [{"id": 1, "name": f"a{sign}b"}, {"id": 2, "name": "c"}]
    rest.close()


@pytest.mark.parametrize("value", ["one\r\ntwo", "one\ntwo\n", "w" * 200_000])
def test_long_values_and_line_ends_stay(tmp_path: Path, value: str) -> None:
    """Within quotes a line end is part of the value, and a value may be long."""
    rest = served(tmp_path, f'id,note\r\n1,"{value}"\r\n')
    assert rows(ask(rest, "GET", "/things")) == [{"id": 1, "note": value}]
    rest.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n1,\x00\n", "line 2: contains a NUL character"),
        (b"a,b\n1,2\n\xe9,2\n", "line 3: not UTF-8 text"),
        (b"a;b\n1;2;3\n", "line 2: 3 fields where the header has 2 (columns are separated by semicolons)"),
        (b"sep=#\na#b\n", "the separator '#' is not known"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, content: bytes, words: str) -> None:
    """One line: the file, the place and the cure."""
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        open_seed(path)
    assert words in str(caught.value)
    assert "broken.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_progress_is_reported_while_a_file_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reports grow up to the size of the file."""
    monkeypatch.setattr("supalab.lab.postgrest.loading.TICK_S", 0.0)
    path = tmp_path / "many.csv"
    path.write_text("id,name\n" + "".join(f"{number},name {number}\n" for number in range(20_000)))
    reports: list[tuple[int, int]] = []
    open_seed(path, lambda done, whole: reports.append((done, whole))).close()
    done = [report[0] for report in reports]
    assert len(done) > 10
    assert done == sorted(done)
    assert {report[1] for report in reports} == {path.stat().st_size}
