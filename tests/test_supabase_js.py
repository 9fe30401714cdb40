"""The official JavaScript client, unchanged, works against the lab: reading, writing, calling and giving up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from supalab import Lab

SCRIPT = Path(__file__).parent / "supabase_js.mjs"
BASE = 3_000_000
INSTALL_S, RUN_S = 100, 60

# Each worker of pytest-xdist has a folder and a lab of its own, so that none waits for another.
pytestmark = pytest.mark.timeout(240)

Told = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def client_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the client is installed; a machine without Node.js or without a registry skips these tests."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs node and npm")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    command = [npm, "install", "--no-audit", "--no-fund", "@supabase/supabase-js@2"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=INSTALL_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm could not install the client: {error}")
    if done.returncode:
        pytest.skip(f"npm could not install the client: {done.stderr.decode('utf-8', 'replace')[-300:]}")
    return folder


@pytest.fixture(scope="module")
def told(client_folder: Path, lab: Lab) -> Told:
    """What the client's script printed: for each request its data, count, status and the error's code."""
    environment = {**os.environ, "LAB_URL": lab.url, "LAB_KEY": lab.key}
    done = subprocess.run(
        [str(shutil.which("node")), str(SCRIPT)],
        cwd=client_folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=RUN_S,
    )
    assert done.returncode == 0, done.stderr
    answers: Told = json.loads(done.stdout)
    return answers


def ids(answer: dict[str, Any]) -> list[int]:
    """Return the ids of an answer's rows."""
    return [row["id"] for row in answer["data"]]


def test_reading(told: Told) -> None:
    """Filters, order, ranges, one row or none, a count without rows, and CSV."""
    assert ids(told["select"]) == [1]
    assert told["select"]["data"][0].keys() == {"id", "name"}
    assert ids(told["filters"]) == [3, 7, 8]
    assert ids(told["in"]) == [7, 2]
    assert ids(told["range"]) == [11, 12, 13]
    assert told["single"]["data"] == told["maybe"]["data"] == {"id": 5}
    assert (told["single of none"]["status"], told["single of none"]["code"]) == (406, "PGRST116")
    assert (told["maybe none"]["data"], told["maybe none"]["code"]) == (None, None)
    assert (told["count"]["count"], told["count"]["data"]) == (20, None)
    lines = told["csv"]["data"].splitlines()
    assert lines[0] == "id,prize"
    assert [line.partition(",")[0] for line in lines[1:]] == ["1", "2"]


def test_writing(told: Told) -> None:
    """Rows are inserted, merged, ignored, changed and deleted, and text with every sign finds its row again."""
    assert (told["insert"]["status"], told["insert"]["data"]) == (201, None)
    assert ids(told["odd text"]) == [BASE]
    assert ids(told["insert several"]) == ids(told["odd list"]) == [BASE + 1, BASE + 2]
    assert (told["insert again"]["status"], told["insert again"]["code"]) == (409, "23505")
    assert told["upsert"]["data"] == [{"id": BASE + 1, "title": "up"}, {"id": BASE + 3, "title": "up"}]
    assert told["upsert ignored"]["data"] == []
    assert told["update"]["data"] == {"id": BASE + 2, "title": "new"}
    assert (told["delete"]["status"], told["delete"]["count"]) == (204, 4)
    assert told["gone"]["data"] == []


def test_calling_and_errors(told: Told) -> None:
    """Functions are called by POST and by GET; a function or table that is not there has PostgREST's code."""
    assert len(ids(told["rpc"])) == 2
    assert told["rpc by GET"]["data"] > 0
    assert (told["rpc unknown"]["status"], told["rpc unknown"]["code"]) == (404, "PGRST202")
    assert (told["no table"]["status"], told["no table"]["code"]) == (404, "PGRST205")


def test_giving_up(told: Told) -> None:
    """A request that is aborted says so, and the next one is answered."""
    assert told["abort"]["data"] is None
    assert "AbortError" in told["abort"]["said"]
    assert ids(told["after abort"]) == [1]
