"""Settings are checked when they are built, and no message ever holds the key."""

from __future__ import annotations

import pytest

from supalab import Settings, SupabaseAsync
from supalab.clients.transports import pooled_transport
from supalab.errors import SettingsError

KEY = "sb_secret_SECRETKEY"
#: More digits than Python writes.
HUGE = pytest.param(10**5000, id="huge")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "abc.supabase.co",
        "ftp://abc.supabase.co",
        "http://",
        "http://me:hunter2@abc.supabase.co",
        "http://me:hunter2@abc.supabase.co:99999",
        "http://me:hunter2/@abc.supabase.co",
        "me:hunter2@abc.supabase.co",
        "http://abc.supabase.co:0",
        "http://abc .supabase.co",
        "http://abc.supabase.co\n",
        "http://abc:99999",
        "http://abc:port",
        "http://abc.supabase.co/?a=1",
        "http://abc.supabase.co/#top",
        "http://äbc.supabase.co",
        "http://[::1",
        "http://[::1]x:80",
        "http://[v1.a]",
        "http://256.256.256.256",
        "http://*",
        "http://{project}.supabase.co",
        "http://abc.supabase.co\\rest",
        "https://abc.supabase.co?",
        "https://abc.supabase.co/#",
        None,
        7,
    ],
)
def test_an_address_that_cannot_work_is_refused(url: object) -> None:
    """A bad address fails when the settings are built, in one line, without a password that it may hold."""
    with pytest.raises(SettingsError) as caught:
        Settings(url, KEY)  # type: ignore[arg-type]
    assert str(caught.value).startswith("url ")
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://abc.supabase.co", "https://abc.supabase.co/rest/v1"),
        ("https://abc.supabase.co/", "https://abc.supabase.co/rest/v1"),
        ("https://abc.supabase.co/rest/v1", "https://abc.supabase.co/rest/v1"),
        ("https://abc.supabase.co/rest/v1/", "https://abc.supabase.co/rest/v1"),
        ("http://127.0.0.1:54321/proxy", "http://127.0.0.1:54321/proxy/rest/v1"),
        ("HTTPS://abc.supabase.co", "https://abc.supabase.co/rest/v1"),
        ("http://[::1]:3000/", "http://[::1]:3000/rest/v1"),
    ],
)
def test_the_base_address_is_made_once_however_the_url_ends(url: str, base: str) -> None:
    """With or without slash and /rest/v1, requests go to the same place."""
    assert Settings(url, KEY).base == base


@pytest.mark.parametrize(
    "url",
    ["http://a_b:3000", "http://127.0.0.1:", "http://[fe80::1%25eth0]", "http://xn--mnchen-3ya.de", "http://xn--a.de"],
)
def test_an_address_that_is_accepted_can_be_connected_to(url: str) -> None:
    """Nothing else refuses it, neither when the client is made nor at the first request."""
    SupabaseAsync(url, KEY)
    pooled_transport(Settings(url, KEY))


def test_a_plain_postgrest_server_has_no_prefix_and_needs_no_key() -> None:
    """rest_path="" and key=None fit a PostgREST server without a gateway."""
    plain = Settings("http://127.0.0.1:3000", None, rest_path="")
    assert plain.base == "http://127.0.0.1:3000"
    assert plain.headers == {}


@pytest.mark.parametrize(
    "key", ["", "SECRETKEY\n", " SECRETKEY", "SECRETKEY ", "SECRETKEYë", "SECRET KEY", 7, b"SECRETKEY"]
)
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(key: object) -> None:
    """httpx and requests would print such a key whole; here only the field is named."""
    with pytest.raises(SettingsError, match=r"^key ") as caught:
        Settings("http://127.0.0.1:1", key)  # type: ignore[arg-type]
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/?apikey=SECRET", "http://127.0.0.1:1#SECRET", "x?SECRET "])
def test_a_query_is_not_repeated(url: str) -> None:
    """It may hold a key."""
    with pytest.raises(SettingsError, match="query or fragment") as caught:
        Settings(url, KEY)
    assert "SECRET" not in str(caught.value)


def test_the_key_is_not_in_the_representation() -> None:
    """Printing settings in a notebook shows no key."""
    assert "SECRETKEY" not in repr(Settings("http://127.0.0.1:1", KEY))


@pytest.mark.parametrize("limit", [0, -1, 10_001, HUGE, 2.5, True, "10", None])
def test_a_limit_is_a_number_of_requests(limit: object) -> None:
    """0, negative, huge or not whole: refused, with the value."""
    with pytest.raises(SettingsError, match="limit .* is not a whole number from 1 to 10,000"):
        Settings("http://127.0.0.1:1", KEY, limit=limit)  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [0, -1, 1e9, 10**400, HUGE, float("inf"), float("nan"), True, "30", None])
def test_a_timeout_is_a_number_of_seconds(timeout: object) -> None:
    """No timeout at all is not on offer."""
    with pytest.raises(SettingsError, match="timeout .* is not a number of seconds above 0"):
        Settings("http://127.0.0.1:1", KEY, timeout=timeout)  # type: ignore[arg-type]


@pytest.mark.parametrize("schema", [5, "", "é", "a,b", " a", "a ", "a\nb", "x" * 64, b"a", True])
def test_a_schema_can_stand_in_a_header(schema: object) -> None:
    """Where nothing but printable ASCII can be sent; names with blanks or dashes inside can."""
    with pytest.raises(SettingsError, match="schema"):
        Settings("http://127.0.0.1:1", KEY, schema=schema)  # type: ignore[arg-type]
    for good in ("private", "my-schema", "my schema", "2024", "R&D", None):
        assert Settings("http://127.0.0.1:1", KEY, schema=good).schema == good


@pytest.mark.parametrize("name", ["url", "key", "limit", "timeout", "ca_file", "rest_path", "schema", "token"])
@pytest.mark.parametrize("odd", [object(), b"x", [1], {}, 1j, HUGE, -1, True, "\ud800", "\0", "é"])
def test_any_odd_argument_is_named(name: str, odd: object) -> None:
    """Never an OverflowError, an AttributeError or a UnicodeEncodeError."""
    with pytest.raises(SettingsError, match=f"^{name} "):
        Settings(**{"url": "http://127.0.0.1:1", "key": None, name: odd})  # type: ignore[arg-type]


def test_a_ca_file_must_be_there() -> None:
    """A wrong path is named when the settings are built, not at the first request."""
    with pytest.raises(SettingsError, match="no-such.pem"):
        Settings("https://127.0.0.1:1", KEY, ca_file="no-such.pem")


def test_settings_come_from_the_environment() -> None:
    """SUPABASE_URL and SUPABASE_KEY are the names that Supabase itself uses."""
    found = Settings.from_env({"SUPABASE_URL": "https://abc.supabase.co", "SUPABASE_KEY": KEY})
    assert (found.url, found.key) == ("https://abc.supabase.co", KEY)
    with pytest.raises(SettingsError, match="SUPABASE_URL is not set"):
        Settings.from_env({})
