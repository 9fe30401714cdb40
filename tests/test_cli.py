"""The command line as people run it: two lines for the shell, a table, one clear line for a mistake."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from commandwork import refused
from processes import running

from supalab import Lab
from supalab.cli import main
from supalab.course import copies
from supalab.measure import run
from supalab.measure.case import Case


def recorded(path: Path) -> list[dict[str, Any]]:
    """The trials of a record, each with its arm."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["trials"]
    return [{"arm": one["case"]["arm"], **one["numbers"]} for one in found]


def supalab(*words: object, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "supalab", *map(str, words)],
        cwd=cwd,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_a_race_prints_the_table_and_writes_record_and_pictures(tmp_path: Path) -> None:
    """One command gives a table, a JSON record with the agreed keys, and two figures."""
    done = supalab(
        "race", "--arms", "fake-3,real-10", "--requests", 20, "--latency", 0.03, "--repeat", 2,
        "--json", "out.json", "--figure", "picture.png", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "fake-3" in done.stdout
    assert "written: " in done.stderr
    assert "Traceback" not in done.stderr
    trials = recorded(tmp_path / "out.json")
    assert [one["arm"] for one in trials] == ["fake-3", "real-10", "real-10", "fake-3"]
    fake, real = trials[:2]
    assert (fake["peak"], fake["connections"], fake["errors"]) == (3, 20, 0)
    assert (real["peak"], real["connections"]) == (10, 10)
    for picture in ("picture.png", "picture-timeline.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--arms", "fake-3,swift-9"], "swift-9"),
        (["--arms", "fake-0"], "limit 0"),
        (["--arms", "fake-3,fake-3"], "fake-3'"),
        (["--requests", "0"], "requests 0"),
        (["--requests", "many"], "many"),
        (["--latency", "-1"], "latency -1"),
        (["--repeat", "0"], "repeat 0"),
        (["--callers", "0"], "callers 0"),
        (["--table", "no_such_table"], "no_such_table"),
        (["--columns", "no_such_column"], "no_such_column"),
        (["--json", "no/such/folder/out.json"], "no/such/folder"),
        (["--figure", "."], "'.'"),
        (["--figure", "picture.jpg"], "picture.jpg"),
        (["--url", "http://127.0.0.1:9", "--key", "k"], "127.0.0.1:9"),
        (["--url", "abc.supabase.co", "--key", "k"], "abc.supabase.co"),
        (["--key", "sb_secret_XYZ"], "--url"),
        (["--json", "f.png"], "'f.png' would be written twice"),
        (["--json", "./f-timeline.png"], "f-timeline.png' would be written twice"),
        (["--url", "http://127.0.0.1:9", "--rtt", "0.1", "--tls"], "--rtt, --tls: only a lab's"),
        (["--url", "http://127.0.0.1:9", "--latency", "0"], "--latency: only a lab's"),
        (["--table", "../x"], "'../x' is not a table's"),
        (["--arms", "real-0010"], "real-0010"),
        (["--arms", "to-thread,to-thread-10"], "to-thread-10"),
        (["--nonsense"], "--nonsense"),
        (["--rtt", "-0.1"], "rtt"),
        (["--rows", "10.5"], "'10.5' is not a whole number"),
        (["--latency", "150ms"], "'150ms' is not a number: write e.g. 0.15"),
        (["--rest-path", "/rest"], "--rest-path goes with --url"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_bad_input_to_a_race_is_one_clear_line(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, one line on stderr that names the value, nothing on stdout, no file left behind."""
    figure = [] if "--figure" in words else ["--figure", "f.png"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUPABASE_KEY", "")
    line = refused("race", *figure, *words)
    assert told in line
    assert "Traceback" not in line
    assert "XYZ" not in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "missing.csv"], "missing.csv"),
        (["--data", "broken.sql"], "broken.sql"),
        (["--data", "."], "'.'"),
        (["--latency", "-1"], "latency"),
        (["--error-rate", "2"], "error_rate"),
        (["--port", "70000"], "70000"),
        (["--port", "{taken}"], "{taken}"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_bad_input_to_serve_is_one_clear_line(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port in use, an unusable seed, an impossible number: named, exit code 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.sql").write_text("create table a(id int); insert into nowhere values (1);\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = refused("serve", *(word.replace("{taken}", port) for word in words))
    assert told.replace("{taken}", port) in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["costs", "lag", "--nonsense"], "(see supalab costs lag --help)"),
        (["claims", "--table", "limit=3,rate=6.7", "--json", "x.json"], "--json: --table measures nothing"),
        (["capacity", "--fine", "0"], "fine 0.0 is not a share"),
        (["capacity", "--most", "nan"], "most nan is not"),
        (["capacity", "--requests", "0"], "requests 0 is not"),
        (["capacity", "--steps", "20,10"], "steps (20.0, 10.0) are not rates that go up"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_what_other_commands_cannot_use_is_one_clear_line(words: list[str], told: str) -> None:
    """The option as it was written, and the help of the command that was called."""
    assert told in refused(*words)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("words", [["--help"], ["record", "--list"]])
def test_a_full_disk_behind_the_output_is_one_clear_line(words: list[str]) -> None:
    """The table cannot be printed: exit code 2, and no traceback when Python flushes at its end."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "supalab", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("supalab: cannot print (")
    assert done.stderr.count("\n") == 1


def test_a_wrong_key_is_one_clear_line_without_the_key(tmp_path: Path) -> None:
    """The project says 401; the line says so, and does not repeat the key."""
    with Lab() as lab:
        done = supalab("race", "--url", lab.url, "--key", "sb_secret_WRONG", cwd=tmp_path)
    assert done.returncode == 2
    assert "401" in done.stderr
    assert "WRONG" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_real_project_is_raced_without_a_witness(tmp_path: Path) -> None:
    """Values that only a lab can count stay blank (null); the key may come from the environment."""
    with Lab(latency=0.02) as lab:
        done = supalab(
            "race", "--url", lab.url, "--arms", "fake-2,real-2", "--requests", 6, "--json", "out.json",
            cwd=tmp_path, env={"SUPABASE_KEY": lab.key},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        text = (tmp_path / "out.json").read_text(encoding="utf-8")
        assert lab.key not in text + done.stdout + done.stderr
    for trial in recorded(tmp_path / "out.json"):
        assert not trial.keys() & {"peak", "connections"}
        assert trial["errors"] == 0


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT as a terminal does")
def test_ctrl_c_keeps_finished_trials_and_leaves_no_process(tmp_path: Path) -> None:
    """The second trial is interrupted: the first one's row and record are there, exit code 130, no child lives on."""
    command = [
        sys.executable, "-m", "supalab", "race", "--arms", "real-10,fake-1", "--requests", "40", "--latency", "0.2",
        "--json", "out.json",
    ]  # fmt: skip
    racing = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        me = psutil.Process(racing.pid)
        end = time.monotonic() + 60
        # The worker of the slow second arm is the one that has run for two seconds.
        while time.monotonic() < end:
            workers = running(me, "supalab.measure.worker")
            if any(time.time() - worker.create_time() > 4 for worker in workers):
                break
            time.sleep(0.1)
        children = me.children(recursive=True)
        assert children
        os.killpg(racing.pid, signal.SIGINT)
        out, err = racing.communicate(timeout=30)
    finally:
        racing.kill()  # its worker and its lab notice
        racing.communicate(timeout=30)
    assert racing.returncode == 130
    assert "real-10" in out
    assert "Traceback" not in err
    assert [one["arm"] for one in recorded(tmp_path / "out.json")] == ["real-10"]
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_a_lab_that_dies_takes_no_finished_trial_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second arm has no lab: the first one's row, record and figures exist, then one line and code 2."""
    whole = run._measured

    def dying(case: Case, context: run.Context, tick: Callable[[float], None]) -> Any:
        if case.arm == "real-2":
            assert context.lab is not None
            assert context.lab.pid is not None
            psutil.Process(context.lab.pid).kill()
        return whole(case, context, tick)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "_measured", dying)
    assert (
        main(
            [
                "race",
                "--arms",
                "fake-2,real-2",
                "--requests",
                "4",
                "--latency",
                "0",
                "--json",
                "out.json",
                "--figure",
                "race.png",
            ]
        )
        == 2
    )
    said = capsys.readouterr()
    assert "fake-2" in said.out
    assert "supalab: the lab" in said.err
    assert [one["arm"] for one in recorded(tmp_path / "out.json")] == ["fake-2"]
    assert (tmp_path / "race.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """``supalab serve`` on a seed of its own, and the two lines it printed."""
    (tmp_path / "seed.sql").write_text(
        "create table cups(id integer primary key, name text);insert into cups values (1,'a');"
    )
    serving = subprocess.Popen(
        [sys.executable, "-m", "supalab", "serve", "--data", "seed.sql"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert serving.stdout is not None
    lines = [serving.stdout.readline().strip() for _ in range(2)]
    yield serving, dict(line.split("=", 1) for line in lines)
    serving.kill()
    serving.communicate(timeout=10)


def test_serve_prints_two_lines_for_the_shell_and_serves(served: tuple[subprocess.Popen[str], dict[str, str]]) -> None:
    """SUPABASE_URL=… and SUPABASE_KEY=…: any HTTP client can use them."""
    _, env = served
    assert list(env) == ["SUPABASE_URL", "SUPABASE_KEY"]
    assert env["SUPABASE_URL"].startswith("http://127.0.0.1:")
    request = urllib.request.Request(f"{env['SUPABASE_URL']}/rest/v1/cups", headers={"apikey": env["SUPABASE_KEY"]})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer) == [{"id": 1, "name": "a"}]
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(f"{env['SUPABASE_URL']}/rest/v1/cups", timeout=10)
    refused.value.close()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_cleanly(sent: signal.Signals, served: tuple[subprocess.Popen[str], dict[str, str]]) -> None:
    """Ctrl-C and SIGTERM both end it with exit code 0 and no traceback."""
    serving, _ = served
    serving.send_signal(sent)
    out, err = serving.communicate(timeout=15)
    assert (serving.returncode, out) == (0, "")
    assert "Traceback" not in err


def test_a_word_too_many_and_no_word_at_all(tmp_path: Path) -> None:
    """Without a command the help is shown; for an unknown one, a similar command is suggested."""
    done = supalab(cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "race" in done.stdout
    wrong = supalab("rac", cwd=tmp_path)
    assert (wrong.returncode, wrong.stdout, len(wrong.stderr.strip().splitlines())) == (2, "", 1)
    assert 'Did you mean "race"?' in wrong.stderr


def answered(url: str) -> Any:
    """The JSON at an address that will be there soon."""
    end = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


@pytest.mark.skipif(os.name == "nt", reason="ends it with SIGTERM")
def test_lab_opens_jupyterlab_on_the_first_notebook(tmp_path: Path) -> None:
    """JupyterLab opens the first notebook and does not ask for news."""
    command = [sys.executable, "-m", "supalab", "course", "mine", "--no-browser", "--allow-root", "--ServerApp.port=0"]
    private = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("RUNTIME", "CONFIG", "DATA")}
    opening = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | private, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert opening.stderr is not None
    try:
        url = next(word for line in opening.stderr for word in line.split() if word.startswith("http://127.0.0.1:"))
        assert "/lab/tree/00_start_here.ipynb?token=" in url
        # It says so a moment before it listens.
        assert answered(url.replace("/lab/tree/", "/api/contents/"))["type"] == "notebook"
    finally:
        opening.terminate()
        opening.communicate(timeout=30)


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("terminal", [True, False])
def test_progress_that_is_watched_clears_a_terminal_and_nothing_else(terminal: bool, tmp_path: Path) -> None:
    """Each table replaces the previous one in a terminal; in a pipe or a file, they follow each other."""
    import pty

    copies.working_copy(tmp_path / "ann")
    ours, theirs = pty.openpty() if terminal else os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "supalab", "progress", "--watch", str(tmp_path)],
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL, env=os.environ | {"TERM": "xterm"},
    ) as watching:  # fmt: skip
        os.close(theirs)
        said = more = os.read(ours, 4096)
        while more and b"\n" not in said:
            said += (more := os.read(ours, 4096))
        watching.terminate()
    os.close(ours)
    assert said.startswith(b"\x1b[2J") is terminal
    assert (b"\x1b" in said) is terminal


def test_a_record_is_written_though_nobody_reads_the_table(tmp_path: Path) -> None:
    """A closed pipe ends the table, but the record is written."""
    record = tmp_path / "claims.json"
    code = (
        "import sys\nfrom supalab.cli import main\nfrom supalab.experiments import Experiment\n"
        "from supalab.measure.record import Record\nfrom supalab.shipped import shipped\n"
        "Experiment.run = lambda *_, **how: Record.load(shipped('data', 'reference', 'claims.json'))\n"
        f"sys.exit(main(['claims', '--quick', '--json', {str(record)!r}]))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) in {0, 141}
    assert record.stat().st_size > 10_000


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_marks_that_a_terminal_does_not_know_are_no_error(encoding: str, tmp_path: Path) -> None:
    """On Windows, a file's encoding may lack our symbols: each becomes a question mark."""
    code = (
        "import sys\nfrom supalab.cli import main\nfrom supalab.experiments import Experiment\n"
        "from supalab.measure.record import Record\nfrom supalab.shipped import shipped\n"
        "Experiment.run = lambda *_, **how: Record.load(shipped('data', 'reference', 'claims.json'))\n"
        "sys.exit(main(['claims', '--quick']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert b"? holds" in done.stdout
