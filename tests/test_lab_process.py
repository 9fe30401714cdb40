"""The lab as a process: it starts or says why not, stops when told, and never outlives its owner."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import psutil
import pytest
from labwork import call, close, get_request, raw, read_answer, soon, told

from supalab.errors import LabError, SettingsError
from supalab.lab.handle import Lab
from supalab.process.child import Child


def children() -> list[psutil.Process]:
    """Return this process's children, without the helper that multiprocessing keeps after another test's pool."""
    helper = getattr(resource_tracker, "_resource_tracker")._pid  # noqa: B009
    return [child for child in psutil.Process().children() if child.pid != helper]


posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def test_ten_labs_start_at_once() -> None:
    """Ten labs started together get ten ports and ten keys, and each knows only its own."""
    labs = [Lab() for _ in range(10)]
    try:
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(Lab.start, labs))
        assert len({lab.url for lab in labs}) == len({lab.key for lab in labs}) == len({lab.pid for lab in labs}) == 10
        assert {call(lab)[0] for lab in labs} == {200}
        assert call(labs[0], apikey=labs[1].key)[0] == 401
    finally:
        for lab in labs:
            lab.stop()


def test_nothing_is_left_after_many_labs() -> None:
    """Starting and stopping leaves no descriptor, no thread, no child and no file behind."""

    def cycle() -> Path:
        with Lab(tls=True) as lab:
            call(lab)
            lab.witness()
            assert lab.ca_file is not None
            return lab.ca_file.parent

    cycle()
    me = psutil.Process()
    count = me.num_handles if sys.platform == "win32" else me.num_fds
    before = count(), threading.active_count(), len(me.children())
    folders = [cycle() for _ in range(6)]
    assert (count(), threading.active_count(), len(me.children())) == before
    assert not any(folder.exists() for folder in folders)


async def test_async_with_leaves_no_thread() -> None:
    """The asynchronous form starts and stops the same lab while the loop goes on, with no thread left behind."""
    before = threading.active_count()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticker = asyncio.create_task(tick())
    async with Lab() as lab:
        started = ticks
        assert (await asyncio.to_thread(call, lab))[0] == 200
        pid = lab.pid
    ticker.cancel()
    assert started > 3
    assert not psutil.pid_exists(pid)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert threading.active_count() == before


async def test_a_cancelled_start_leaves_no_child() -> None:
    """Cancelling ``async with`` during the start ends what was started."""
    lab = Lab()
    entering = asyncio.create_task(lab.__aenter__())
    await asyncio.sleep(0.05)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert children() == []


def test_stopping_and_starting_twice_is_harmless() -> None:
    """A cell may be run a second time: a running lab stays itself, a stopped one stays stopped, and can start anew."""
    lab = Lab()
    lab.stop()
    first = lab.start().pid
    assert lab.start().pid == first
    lab.stop()
    lab.stop()
    with lab:
        assert lab.pid != first
        assert call(lab)[0] == 200


@pytest.mark.parametrize("use", ["url", "key", "pid", "ca_file", "conditions"])
def test_a_stopped_lab_says_that_it_is_not_running(use: str) -> None:
    """Whatever is asked of it, the answer is one line with the cure."""
    with Lab() as lab:
        getattr(lab, use)
    with pytest.raises(LabError, match="not running: use it inside"):
        getattr(lab, use)


def test_a_lab_whose_process_died_says_so() -> None:
    """After its process was killed every question is answered with that fact, and stopping still works."""
    with Lab() as lab:
        psutil.Process(lab.pid).kill()
        assert soon(lambda: lab._child is not None and lab._child.exit_code() is not None)
        for use in (lab.witness, lab.reset, lambda: lab.url, lambda: lab.set(latency=1)):
            with pytest.raises(LabError, match="process is gone"):
                use()
        # And starting it anew works, as the message says.
        assert lab.start().witness().served == 0


def test_a_lab_that_was_never_stopped_warns_and_ends() -> None:
    """Forgetting a lab gives a ResourceWarning and ends its process."""
    lab = Lab().start()
    pid = lab.pid
    with pytest.warns(ResourceWarning, match="never stopped"):
        del lab
    assert not psutil.pid_exists(pid)


def test_the_key_is_never_shown() -> None:
    """Neither the handle's text nor the process's arguments or environment hold the key or the token."""
    with Lab() as lab:
        child = lab._child
        assert child is not None
        lab_process = psutil.Process(lab.pid)
        seen = repr(lab) + str(lab) + " ".join(lab_process.cmdline()) + str(lab_process.environ())
        assert lab.key not in seen
        assert child.ready["token"] not in seen
        assert str(lab.pid) in seen
    assert repr(lab) == "<Lab, not running>"


def test_a_port_in_use_is_named() -> None:
    """One line says which port and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LabError, match=f"port {port} is in use: .*port 0") as caught:
            Lab(port=port).start()
    assert "\n" not in str(caught.value)
    with Lab(port=port) as lab:
        assert lab.url.endswith(f":{port}")


@pytest.mark.parametrize(
    "values",
    [
        {"port": -1},
        {"port": 65_536},
        {"port": "80"},
        {"max_in_flight": 0},
        {"random_seed": 1.5},
        {"seed": "no/such.csv"},
        {"seed": "tests"},
    ],
)
def test_a_bad_argument_is_refused_before_anything_starts(values: dict[str, Any]) -> None:
    """The refusal names the argument and its value in one line."""
    with pytest.raises(SettingsError) as caught:
        Lab(**values)
    ((name, value),) = values.items()
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)


def test_a_seed_that_cannot_be_served_is_refused_by_the_start(tmp_path: Path) -> None:
    """A broken script's reason comes back from the child as a SettingsError, and no child stays."""
    broken = tmp_path / "broken.sql"
    broken.write_text("create table t (id integer;\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        Lab(seed=broken).start()
    assert "broken.sql" in str(caught.value)
    assert children() == []


def test_a_seed_is_served_and_never_written(tmp_path: Path) -> None:
    """A script's own tables are served; what clients write is not in the file."""
    script = "create table pets (id integer primary key, name text);\ninsert into pets values (1, 'Rex');\n"
    seed = tmp_path / "pets.sql"
    seed.write_text(script, encoding="utf-8")
    with Lab(seed=seed) as lab:
        kind = {"content_type": "application/json"}
        assert call(lab, "/rest/v1/pets", "POST", b'{"id": 2, "name": "Mia"}', **kind)[0] == 201
        assert told(call(lab, "/rest/v1/pets?select=name&order=id")[2]) == [{"name": "Rex"}, {"name": "Mia"}]
    assert seed.read_text(encoding="utf-8") == script


@posix_only
def test_a_child_that_crashes_at_the_start_shows_the_end_of_its_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """When the child dies without a word, the error holds its exit code and what it wrote last."""
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'out of luck' >&2\nexit 7\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(LabError, match=r"exit code 7.*(?s:.*)out of luck"):
        Lab().start()


@posix_only
def test_a_child_that_never_gets_ready_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hanging start ends at its limit, with an error and no process left."""
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    lab = Lab()
    with pytest.raises(LabError, match=r"said nothing for 0.3 s before it was ready"):
        Child(lab._program, lab._job).wait_until_ready(0.3)
    assert children() == []


def test_a_learners_own_modules_do_not_break_the_lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Files named like modules of Python's in the working folder are not imported by the child."""
    for name in ("uvicorn.py", "random.py", "json.py", "supalab.py"):
        (tmp_path / name).write_text("raise SystemExit('imported by mistake')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with Lab() as lab:
        assert call(lab)[0] == 200


async def test_work_in_flight_is_finished_before_the_end() -> None:
    """Stopping lets a running request end well: its client gets 200, and new ones are refused."""
    lab = Lab(latency=0.6).start()
    reader, writer = await raw(lab, get_request(lab))
    assert soon(lambda: lab.witness().current == 1)
    stopping = asyncio.create_task(asyncio.to_thread(lab.stop))
    assert (await read_answer(reader))[0] == 200
    await stopping
    await close(writer)


@posix_only
async def test_sigterm_finishes_the_work_and_exits_with_0() -> None:
    """SIGTERM does the same as stopping."""
    lab = Lab(latency=0.6).start()
    child = lab._child
    assert child is not None
    reader, writer = await raw(lab, get_request(lab))
    assert soon(lambda: lab.witness().current == 1)
    os.kill(lab.pid, signal.SIGTERM)
    assert (await read_answer(reader))[0] == 200
    assert soon(lambda: child.exit_code() is not None)
    assert child.exit_code() == 0
    await close(writer)
    lab.stop()


async def test_work_that_takes_too_long_is_cut_short() -> None:
    """A request far from its end gets a 503 after the grace, and the lab is gone well before its answer was due."""
    lab = Lab(latency=60).start()
    pid = lab.pid
    reader, writer = await raw(lab, get_request(lab))
    assert soon(lambda: lab.witness().current == 1)
    start = time.monotonic()
    await asyncio.to_thread(lab.stop)
    assert time.monotonic() - start < 15
    assert not psutil.pid_exists(pid)
    assert (await reader.readline()).startswith(b"HTTP/1.1 503")
    await close(writer)


@posix_only
def test_an_interrupt_does_not_reach_the_lab() -> None:
    """Neither SIGINT itself nor one sent to the program's whole group ends the lab."""
    with Lab() as lab:
        assert os.getpgid(lab.pid) != os.getpgid(0)
        os.kill(lab.pid, signal.SIGINT)
        time.sleep(0.3)
        assert call(lab)[0] == 200


OWNER = """
    import os, sys, time
    from supalab.lab.handle import Lab
    lab = Lab(latency=60).start()
    {more}
    print(lab.pid, lab._child.folder, flush=True)
    time.sleep(60)
"""

BUSY = """
import socket
caller = socket.create_connection(("127.0.0.1", int(lab.url.rpartition(":")[2])))
host = lab.url.partition("//")[2]
caller.sendall(f"GET /rest/v1/contests HTTP/1.1\\r\\nHost: {host}\\r\\napikey: {lab.key}\\r\\n\\r\\n".encode())
while not lab.witness().current: time.sleep(0.01)
"""

FORKED = """
sibling = os.fork()
if not sibling: time.sleep(60)
print(sibling, flush=True)
"""


def _owner(more: str = "") -> subprocess.Popen[str]:
    code = textwrap.dedent(OWNER).replace("{more}", more)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("more", ["", BUSY], ids=["idle", "busy"])
def test_the_lab_leaves_when_its_owner_is_killed(more: str) -> None:
    """After SIGKILL of the owner, the lab ends immediately, also with requests in flight, and removes its files."""
    with _owner(more) as owner:
        assert owner.stdout is not None
        pid, folder = owner.stdout.readline().split(maxsplit=1)
        assert psutil.pid_exists(int(pid))
        owner.kill()
    assert soon(lambda: not psutil.pid_exists(int(pid)))
    assert soon(lambda: not Path(folder.strip()).exists())


@posix_only
def test_the_lab_leaves_even_if_a_forked_process_holds_its_pipe() -> None:
    """A process forked by the owner keeps the lab's input open; the lab notices the owner's end all the same."""
    with _owner(FORKED) as owner:
        assert owner.stdout is not None
        sibling = int(owner.stdout.readline())
        pid = int(owner.stdout.readline().split()[0])
        owner.kill()
        owner.wait()
        try:
            assert soon(lambda: not psutil.pid_exists(pid))
            assert psutil.pid_exists(sibling)
        finally:
            os.kill(sibling, signal.SIGKILL)


@posix_only
def test_a_forked_copy_of_the_handle_leaves_the_lab_alone() -> None:
    """Stopping or forgetting the handle in a forked process does not end the parent's lab."""
    code = """
        import os
        from supalab.lab.handle import Lab
        with Lab() as lab:
            child = os.fork()
            if not child:
                lab.stop()
                del lab
                os._exit(0)
            os.waitpid(child, 0)
            print(lab.witness().served, lab._child.folder.exists())
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.split() == ["0", "True"]


def test_an_owner_who_ends_without_stopping_takes_the_lab_along() -> None:
    """A script that just ends leaves neither process nor files."""
    code = "from supalab.lab.handle import Lab\nlab = Lab().start()\nprint(lab.pid, lab._child.folder)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    pid, folder = run.stdout.split(maxsplit=1)
    assert soon(lambda: not psutil.pid_exists(int(pid)))
    assert soon(lambda: not Path(folder.strip()).exists())


def test_a_talkative_log_never_blocks_the_lab() -> None:
    """Ten thousand requests, each with a log line, far more than a pipe can hold: the lab still serves."""
    times = 10_000
    with Lab() as lab:
        port = int(lab.url.rpartition(":")[2])
        for _ in range(times // 100):
            callers = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
            for caller in callers:
                caller.sendall(b"not HTTP at all\r\n\r\n")
            for caller in callers:
                assert caller.recv(100).startswith(b"HTTP/1.1 400")
                caller.close()
        child = lab._child
        assert child is not None
        assert child.log.read_bytes().count(b"\n") == times
        assert call(lab)[0] == 200
        assert lab.witness().connections == times + 1


def written(pid: int) -> int:
    """Bytes of memory that a process has written to; on other systems than Linux all that it shares with nobody.

    What nobody else uses at the moment grows when another process ends that had the same libraries loaded.
    """
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    if not rollup.exists():
        return int(psutil.Process(pid).memory_full_info().uss)
    [kilobytes] = re.findall(r"^Private_Dirty: +(\d+) kB$", rollup.read_text(encoding="ascii"), re.MULTILINE)
    return 1024 * int(kilobytes)


#: A few hundred of its answers are all that the lab keeps.
BULKY = "/rest/v1/contests?select=*&limit=100"


@pytest.mark.parametrize("kept", [True, False], ids=["answers kept", "not kept"])
async def test_thousands_of_requests_leave_no_memory_behind(kept: bool) -> None:
    """The most memory of some thousands of requests, and of as many later ones, differ by almost nothing.

    The store of answers is emptied whenever it is full, so memory goes up and down; only the highest values can be
    compared.
    """
    times = 6_000
    with Lab() as lab:
        reader, writer = await raw(lab, b"")
        number = itertools.count()

        async def most() -> int:
            found = []
            for _ in range(times // 50):
                paths = [f"{BULKY}{'' if kept else f'&id=gt.-{next(number)}'}" for _ in range(50)]
                writer.write(b"".join(get_request(lab, path) for path in paths))
                assert {(await read_answer(reader))[0] for _ in paths} == {200}
                found.append(written(lab.pid))
            return max(found)

        before = await most()
        grown = await most() - before
        await close(writer)
    assert grown / times < 64


FULL_DISK = """
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    {start}
"""


@posix_only
@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("from supalab.cli import main; raise SystemExit(main(['serve']))", "the lab needs a temporary folder"),
        (
            "from supalab.errors import LabError\n    from supalab.lab.handle import Lab\n"
            "    try: Lab().start()\n    except LabError as error: raise SystemExit(2 * (print(error) is None))",
            "the lab needs a temporary folder",
        ),
    ],
    ids=["serve", "Lab"],
)
def test_a_full_disk_at_the_start_is_one_line(start: str, words: str) -> None:
    """No byte can be written anywhere: one line with the cure, code 2, no traceback."""
    code = textwrap.dedent(FULL_DISK.replace("{start}", start))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    said = run.stdout + run.stderr
    assert run.returncode == 2
    assert said.count("\n") == 1
    assert words in said
    assert "set TMPDIR" in said


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process")
def test_a_disk_that_fills_up_stops_nothing_but_what_needs_it() -> None:
    """The log stays empty; requests are served; TLS, which needs a file, is refused with the cure; the end is clean."""
    import resource

    lab = Lab().start()
    child = lab._child
    assert child is not None
    resource.prlimit(lab.pid, resource.RLIMIT_FSIZE, (0, 0))
    port = int(lab.url.rpartition(":")[2])
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port)) as nonsense:
            nonsense.sendall(b"not HTTP at all\r\n\r\n")
            nonsense.recv(100)
    assert call(lab)[0] == 200
    assert child.log.stat().st_size == 0
    with pytest.raises(LabError, match="cannot be written to .*: make room there") as caught:
        lab.set(tls=True)
    assert "\n" not in str(caught.value)
    assert not lab.conditions.tls
    assert call(lab)[0] == 200
    assert lab.stop() == 0
    assert not child.folder.exists()
