"""Every notebook, found by glob: built from its source, without outputs, and running as people run it."""

from __future__ import annotations

import errno
import gc
import itertools
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.manager import KernelManager
from labwork import soon
from processes import running

from supalab.course.build import built
from supalab.course.kernel import INTERRUPTED

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
either = pytest.mark.parametrize("path", NOTEBOOKS + SOLUTIONS, ids=lambda path: f"{path.parent.name}-{path.stem}")
SHOWN = {"display_data", "execute_result"}
# jupyter_client leaves sockets to the garbage collector; that is no fault of the notebooks.
pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore::ResourceWarning")]


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def test_every_source_has_its_notebooks_and_they_agree() -> None:
    """Byte for byte, learner's and solved ones: nobody edits one without the other (python -m supalab.course.build)."""
    made = built()
    assert sorted(made) == sorted(NOTEBOOKS + SOLUTIONS)
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text


@either
def test_a_notebook_is_valid_and_holds_no_outputs(path: Path) -> None:
    """Nothing of a run is committed: no outputs, no counts, no random ids."""
    import nbformat  # its import is slow, and one process of the tests needs it

    nbformat.validate(nbformat.read(path, as_version=4))
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells(path, "code"))
    ids = [cell["id"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    assert ids == [f"{path.stem[:2]}-{number:02}" for number in range(1, len(ids) + 1)]


@each
def test_a_notebook_has_the_houses_shape(path: Path) -> None:
    """20 to 30 cells, short code, about as much prose, minutes at the top, headings in order.

    asyncio.run stands only where its failure is the subject.
    """
    code, prose = cells(path, "code"), cells(path, "markdown")
    assert 20 <= len(code) + len(prose) <= 30
    assert len(code) / 2 <= len(prose) <= 2 * len(code)
    lines = sorted(len([line for line in cell["source"] if line.strip()]) for cell in code)
    # One cell of 05 is longer: it holds the whole migrated client, which people want to see in one piece.
    assert lines.pop() <= (30 if path.stem.startswith("05") else 20)
    assert lines[-1] <= 20
    assert re.search(r"\*\*\d+ minutes", "".join(prose[0]["source"]))
    levels = [len(mark) for cell in prose for mark in re.findall(r"^(#+) ", "".join(cell["source"]), re.MULTILINE)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    running = [text for text in map("".join, (cell["source"] for cell in code)) if "asyncio.run(" in text]
    assert all("except RuntimeError" in text for text in running)


def look_at(outputs: list[dict[str, Any]]) -> list[str]:
    """Find no error, no path of this machine, pictures that carry their description; return what checks have said."""
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    shown = [output["data"] for output in outputs if "data" in output]
    pictures = [data["text/html"] for data in shown if "<img" in data.get("text/html", "")]
    assert pictures
    assert all(re.search(r'alt="[^"]{40,}"', picture) for picture in pictures)
    # Without the pictures' own data, in which any few letters may come.
    text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", json.dumps(outputs))
    assert str(Path.home()) not in text
    assert "Traceback" not in text
    return [data["text/plain"] for data in shown if re.match(r"[○◐●] Exercise ", data.get("text/plain", ""))]


def exercises(path: Path) -> int:
    return sum("tags" in cell["metadata"] for cell in cells(path, "code"))


@dataclass(frozen=True)
class Place:
    """Where a kernel runs: with the network off, and with a folder of its own for what it writes for a while."""

    outside: Path
    temporary: Path
    beside: frozenset[Path]

    @property
    def environment(self) -> dict[str, str]:
        paths = [str(ROOT / "tests" / "offline"), os.environ.get("PYTHONPATH", "")]
        folders = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self.temporary))
        # A proxy where nobody listens, as on a laptop outside its company: the lab's traffic must not go there.
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
        return {
            **os.environ,
            **folders,
            **proxies,
            "OUTSIDE": str(self.outside),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }

    def untouched(self) -> bool:
        """Whether nobody went out, and no file is left: neither among those for a while nor beside the notebooks."""
        assert not self.outside.exists(), self.outside.read_text(encoding="utf-8")
        assert soon(lambda: not [*self.temporary.iterdir()]), sorted(self.temporary.rglob("*"))
        return beside() == self.beside


def beside() -> frozenset[Path]:
    return frozenset((ROOT / "notebooks").rglob("*"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "temporary").mkdir()
    return Place(tmp_path / "outside.log", tmp_path / "temporary", beside())


def test_the_network_of_these_kernels_is_off(place: Place) -> None:
    """Loopback works; an address outside is refused and noted, so is the search for one; a file left behind is seen."""
    tries = "import socket, tempfile; socket.create_server(('127.0.0.1', 0)).close(); tempfile.mkdtemp()\n"
    outside = "create_connection(('192.0.2.1', 9))", "getaddrinfo('example.com', 1)", "gethostbyname('example.com')"
    for what in outside:
        tries += f"try:\n    socket.{what}\nexcept OSError as error:\n    print(error.errno)\n"
    done = subprocess.run([sys.executable, "-c", tries], env=place.environment, capture_output=True, text=True)
    assert done.stdout.split() == [str(errno.ENETUNREACH)] * 3, done.stderr
    noted = place.outside.read_text(encoding="utf-8")
    assert "192.0.2.1" in noted
    assert "example.com" in noted
    assert len([*place.temporary.iterdir()]) == 1


@pytest.fixture
def kernel(place: Place) -> Iterator[KernelManager]:
    """A kernel in the notebooks' folder, with the network off."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(ROOT / "notebooks"), env=place.environment)
    yield manager
    manager.shutdown_kernel(now=True)
    del manager
    gc.collect()  # its sockets are collected while their warnings are ignored


def answers_to(client: Any, asked: list[str], seconds: float) -> dict[str, str]:
    """Wait for every cell's own answer: a late one to the kernel's greeting does not count."""
    answers: dict[str, str] = {}
    end = time.monotonic() + seconds
    while not all(one in answers for one in asked) and time.monotonic() < end:
        with suppress(queue.Empty):
            message = client.get_shell_msg(timeout=1)
            answers[message["parent_header"].get("msg_id")] = message["content"]["status"]
    return answers


def outputs_of(client: Any, asked: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """What these cells have shown, as a notebook would keep it, and which cell it was; what was written over later is
    shown once more."""
    found = []
    with suppress(queue.Empty):
        while True:
            message = client.get_iopub_msg(timeout=1)
            kind = message["msg_type"].removeprefix("update_")
            cell = message["parent_header"].get("msg_id")
            if cell in asked and kind in {*SHOWN, "stream", "error"}:
                found.append((cell, message["content"] | {"output_type": kind}))
    return found


INTERRUPTED_BEGIN = """from supalab import FakeSupabaseAsync
from supalab.course import observe, start_lab
lab = start_lab(latency=0.5)
db = FakeSupabaseAsync(lab.url, lab.key, limit=1)"""


@pytest.mark.parametrize("cell", ["await observe(db, lab, 'fake-1', requests=40)", "import time; time.sleep(30)"])
def test_an_interrupted_cell_or_a_wrong_setting_ends_in_one_line(cell: str, kernel: KernelManager) -> None:
    """As the stop button does it, in a coroutine and in a blocking call: no screen of traceback."""
    client = kernel.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        assert client.execute_interactive(INTERRUPTED_BEGIN, timeout=60)["content"]["status"] == "ok"
        shown: list[dict[str, Any]] = []
        threading.Timer(1.5, kernel.interrupt_kernel).start()
        reply = client.execute_interactive(cell, timeout=60, output_hook=shown.append)["content"]
        assert reply["status"] == "error"
        errors = [one["content"]["traceback"] for one in shown if one["msg_type"] == "error"]
        assert errors == [[INTERRUPTED]]
        shown.clear()
        cancelled = "import asyncio\ntask = asyncio.create_task(asyncio.sleep(9))\ntask.cancel()\nawait task"
        client.execute_interactive(cancelled, timeout=60, output_hook=shown.append)
        [own] = [one["content"] for one in shown if one["msg_type"] == "error"]
        assert own["ename"] == "CancelledError"
        assert own["traceback"] != [INTERRUPTED], "nobody has interrupted this one"
        shown.clear()
        client.execute_interactive("FakeSupabaseAsync(lab.url, lab.key, limit=0)", timeout=60, output_hook=shown.append)
        [refused] = [one["content"] for one in shown if one["msg_type"] == "error"]
        assert refused["traceback"] == ["SettingsError: limit 0 is not a whole number from 1 to 10,000"]
        assert client.execute_interactive("1 + 1", timeout=60)["content"]["status"] == "ok"
    finally:
        client.stop_channels()


@each
def test_run_all_as_shipped_and_then_solved_loses_no_cell_and_leaves_nothing(
    path: Path, kernel: KernelManager, place: Place
) -> None:
    """As JupyterLab's Run All does it: every cell is queued at once, and all of them a second time with the solutions.

    Both times through there is no error. The first time every exercise is as it is shipped: not done. The second time,
    in the same kernel and in the solutions' own folder, every exercise is done. Then the kernel is killed, and no
    process and no file stays.
    """
    solved = path.parent / "solutions" / path.name
    solved = solved if solved.exists() else path  # one notebook has no exercise
    shipped, again = (["".join(cell["source"]) for cell in cells(one, "code")] for one in (path, solved))
    client = kernel.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        asked = [client.execute(text) for text in shipped]
        moved = client.execute(f"__import__('os').chdir({str(solved.parent)!r})")
        asked_again = [client.execute(text) for text in again]
        every = [*asked, moved, *asked_again]
        answers = answers_to(client, every, 250)
        assert [answers.get(one, "lost") for one in every] == ["ok"] * len(every)
        shown = outputs_of(client, [*asked, *asked_again])
        for these, said in ((asked, ": not done yet. "), (asked_again, ": done. ")):
            checks = look_at([output for one, output in shown if one in these])
            assert len(checks) >= exercises(path)
            assert all(said in check for check in checks), checks
        children = psutil.Process(kernel.provisioner.pid).children(recursive=True)
        assert running(psutil.Process(kernel.provisioner.pid), "supalab.lab")
        psutil.Process(kernel.provisioner.pid).kill()
        _, left = psutil.wait_procs(children, timeout=10)
        assert not left
        assert place.untouched()
    finally:
        client.stop_channels()
