"""``supalab probe`` as people type it: a verdict, the evidence, a record; one clear line for a mistake."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from supalab.probe import VERDICT
from supalab.report.table import WIDTH

CLIENTS = """
import os
import requests
from supalab import FakeSupabaseAsync, SupabaseAsync

def make(url, key):
    return SupabaseAsync(url, key, limit=4)

def from_environment():
    return FakeSupabaseAsync(os.environ["SUPABASE_URL"], os.environ["SUPABASE_KEY"])

db = SupabaseAsync.from_env() if "SUPABASE_URL" in os.environ else None

async def one():
    return await db.rpc("top_contests", {"how_many": 1})

async def fails(url, key):
    raise ConnectionError(f"no luck with {key}")

def plain():
    return requests.get(os.environ["SUPABASE_URL"], timeout=5)

def leaves(url, key):
    raise SystemExit(3)

async def leaves_later(url, key):
    raise SystemExit(3)

def broken(url, key):
    raise RuntimeError(f"not today, {key}")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_clients.py").write_text(CLIENTS, encoding="utf-8")
    (tmp_path / "half_baked.py").write_text("import not_there_at_all\n", encoding="utf-8")
    (tmp_path / "script.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    (tmp_path / "wrong.py").write_text("1 / 0\n", encoding="utf-8")
    return tmp_path


def supalab(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    # What a terminal has: no project of anybody's, and the output in UTF-8 on every system.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SUPABASE_")}
    return subprocess.run(
        [sys.executable, "-m", "supalab", "probe", *map(str, words)],
        cwd=cwd, env={**clean, "PYTHONIOENCODING": "utf-8"}, capture_output=True, encoding="utf-8", check=False,
        timeout=60,
    )  # fmt: skip


def test_a_factory_in_this_folder_gets_a_verdict_and_a_record(folder: Path) -> None:
    """The verdict in words and the evidence in rows; the chart says who waited; the record holds the same."""
    done = supalab("my_clients:make", "--json", "verdict.json", "--figure", "who.png", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("my_clients:make: real async, limited to 4\n")
    assert "The event loop itself waits" in done.stdout
    assert "looked at" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= WIDTH
    with Image.open(folder / "who.png") as drawn:
        waited = re.search(r"(\d+)% the event loop, for events", drawn.info["Description"])
        assert waited
        assert int(waited[1]) > 90, "the rest are looks that saw nothing wait"
    verdict = VERDICT.load(folder / "verdict.json")
    assert verdict.headline == "real async, limited to 4"
    assert {burst["calls"] for burst in verdict.seen.bursts} == {20, 50}
    assert verdict.versions["python"]


@pytest.mark.parametrize(
    ("words", "headline"),
    [
        (["from_environment"], "fake async (threads), limited to 3"),
        (["db", "--method", "select", "--args", "contests"], "real async, limited to 10"),
        (["one"], "real async, limited to 10"),
        (["fails"], "cannot tell"),
        (["leaves_later"], "cannot tell"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_every_form_of_factory_works(words: list[str], headline: str, folder: Path) -> None:
    """With url and key or with the environment, a client or a coroutine function; every verdict ends with 0."""
    done = supalab(f"my_clients:{words[0]}", *words[1:], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"my_clients:{words[0]}: {headline}")
    assert "Traceback" not in done.stdout + done.stderr
    assert "(the key)" in done.stdout or words != ["fails"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["my_clients"], "is not module:factory"),
        (["my_clients.py:make"], "names a file"),
        (["nowhere:make"], "No module named 'nowhere'"),
        (["half_baked:make"], "No module named 'not_there_at_all'"),
        (["wrong:make"], "ZeroDivisionError"),
        (["script:make"], "SystemExit: 3"),
        (["my_clients:leaves"], "SystemExit: 3"),
        (["my_clients:mike"], "did you mean 'make'?"),
        (["my_clients:make", "--method", "fetch"], "no method 'fetch'"),
        (["my_clients:plain"], "returned a Response"),
        (["my_clients:broken"], "RuntimeError: not today, (the key)"),
        (["my_clients:make", "--json", "no/such/file.json"], "no/such"),
        (["my_clients:make", "--figure", "picture.jpg"], "picture.jpg"),
        (["my_clients:make", "--figure", "a.png", "--json", "a.png"], "'a.png' would be written twice"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_clear_line(words: list[str], told: str, folder: Path) -> None:
    """Exit code 2, nothing on stdout, one line that names the value and the cure."""
    done = supalab(*words, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert [line.startswith("supalab") for line in lines] == [True], done.stderr
