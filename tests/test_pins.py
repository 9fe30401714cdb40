"""What users see of the experiments, whatever the modules behind it: tables, figures, help, errors, Ctrl-C.

The expected values are in ``tests/pins``; after an intended change, ``python tests/test_pins.py`` writes them again.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
from commandwork import said as _said
from made_explanation import made_explanation

from supalab.cli import EXPERIMENTS
from supalab.commands import COSTS
from supalab.experiments import Experiment, claims, recorded
from supalab.measure.run import Progress
from supalab.reference import chosen
from supalab.report.plot import description
from supalab.report.table import text

PINS = Path(__file__).parent / "pins"
NUMBER = re.compile(r"(?<![\w.])[-+~]?\d+(?:,\d{3})*(?:\.\d+)?")

#: Common mistakes; each gives one line on stderr and exit code 2, and nothing is measured.
WRONG: Sequence[Sequence[str]] = (
    ["race", "--arms", "fake"],
    ["race", "--arms", "quick-3"],
    ["race", "--arms", "fake-0"],
    ["race", "--requests", "0"],
    ["race", "--requests", "many"],
    ["race", "--callers", "0"],
    ["race", "--latency", "-1"],
    ["race", "--repeat", "0"],
    ["race", "--columns", ""],
    ["race", "--rows", "-1"],
    ["race", "--key", "secret"],
    ["race", "--url", "nowhere", "--latency", "1"],
    ["race", "--url", "nowhere"],
    ["race", "--figure", "race.gif"],
    ["race", "--json", "no/such/folder/race.json"],
    ["race", "--json", "same.png", "--figure", "same.png"],
    ["race", "--nonsense"],
    ["explain", "--limit", "0"],
    ["explain", "--before", "10", "--limit", "10"],
    ["explain", "--repeat", "0"],
    ["explain", "--requests", "0"],
    ["explain", "--latency", "-1"],
    ["explain", "--figure", "x.txt"],
    ["claims", "--table", "limit=three"],
    ["claims", "--table", "limit=3,response=450ms,rate=6.7", "--quick"],
    ["claims", "--claims", "no-such.csv"],
    ["claims", "--figure", "x.gif"],
    ["costs", "speed"],
    ["costs", "lag", "--repeat", "0"],
    ["costs", "memory", "--figure", "x.gif"],
    ["bench", "--clients", "real,nothing"],
    ["bench", "--clients", "real-10"],
    ["bench", "--repeat", "0"],
    ["bench", "--json", "no/such/folder/bench.json"],
    ["load", "--rate", "x"],
    ["load", "--rate", "0"],
    ["load", "--rate", "40..5"],
    ["load", "--callers", "0"],
    ["load", "--duration", "0"],
    ["load", "--step", "-1"],
    ["load", "--timeout", "0"],
    ["load", "--path", "contests"],
    ["load", "http://127.0.0.1:1", "--client", "fake"],
    ["load", "--client", "nothing"],
    ["capacity", "--arms", "nothing-3"],
    ["capacity", "--seed", "x"],
    ["faults", "--faults", "rain"],
    ["faults", "--arms", "real"],
    ["faults", "--timeout", "0"],
    ["record", "--only", "nothing"],
    ["record", "--into", "no-such-folder"],
    ["nothing"],
    ["rac"],
    ["race", "--latency", "150"],
    ["race", "--requests", "99999999999999999999"],
    ["race", "--repeat", "1000000000"],
    ["race", "--rows", "999999999999"],
)  # fmt: skip


def _plain(words: str) -> str:
    """Return only the words: line breaks and boxes depend on the terminal."""
    return " ".join(re.sub("[─│╭╮╰╯]", " ", words).split())


def tables() -> dict[str, list[str]]:
    """Return the numbers of each record's table, in the order in which a reader meets them."""
    return {one.name: NUMBER.findall(_plain(text(one.table(recorded(one.name))))) for one in chosen()}


def descriptions() -> dict[str, dict[str, str]]:
    """Return the descriptions of each record's figures."""
    return {
        one.name: {f"{name}.png": description(draw(recorded(one.name))) for name, draw in one.figures.items()}
        for one in chosen()
    }


def compared() -> dict[str, dict[str, float]]:
    """Return the numbers of each record that two runs are compared by."""
    found = {one.name: one.compared(recorded(one.name)) for one in chosen()}
    return {name: {key: round(value, 9) for key, value in figures.items()} for name, figures in found.items()}


def verdicts() -> dict[str, list[str]]:
    """Return verdict, figure and sentence of each claim, judged by the recorded evidence."""
    judged = claims.verdicts(recorded("claims"))
    return {name: list(line) for name, *line in judged[["id", "verdict", "here", "sentence"]].itertuples(index=False)}


def helped() -> dict[str, str]:
    """Return what ``--help`` says, of the program and of every command."""
    commands: list[list[str]] = [[], *(["costs"] * (name in COSTS) + [name] for name in EXPERIMENTS), ["costs"]]
    commands += [["probe"], ["agent"], ["serve"], ["record"], ["course"], ["progress"]]
    return {" ".join(["supalab", *words]): _plain(_said(*words, "--help")[1]) for words in commands}


def refused() -> dict[str, str]:
    """Return the line that each wrong command gets."""
    return {" ".join(words): _said(*words)[2].replace(r"\\", "/") for words in WRONG}


def listed() -> list[str]:
    """Return the lines of ``supalab record --list``."""
    return _said("record", "--list")[1].splitlines()


def listed_anywhere() -> list[str]:
    """Return the list without the time of the bench, which depends on whose clients are installed."""
    return [re.sub(r"^(bench +)about \d+ minutes +", r"\1", line) for line in listed()]


PINNED = {
    "tables": tables,
    "descriptions": descriptions,
    "compared": compared,
    "verdicts": verdicts,
    "help": helped,
    "errors": refused,
    "list": listed_anywhere,
}


@pytest.mark.parametrize("name", PINNED)
def test_what_users_see_stays(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each text and number is exactly the recorded one."""
    for variable, value in _ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)
    expected, found = json.loads((PINS / f"{name}.json").read_text(encoding="utf-8")), PINNED[name]()
    assert found == expected
    assert not list(tmp_path.iterdir()), "a command that is refused leaves no file"


_ENVIRONMENT: Mapping[str, str] = {"COLUMNS": "100", "NO_COLOR": "1"}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_a_mistake_is_one_line_and_exit_code_2(
    words: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback, nothing on stdout, and no secret."""
    monkeypatch.chdir(tmp_path)
    code, out, err = _said(*words)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert "secret" not in err


#: A command, what its table says of what was finished, and the experiments' name in its record.
STOPPED: Mapping[str, tuple[Sequence[str], str]] = {
    "race": (["race", "--arms", "real-2,fake-2", "--requests", "4", "--latency", "0", "--figure", "f.png"], "real-2"),
    "lag": (["costs", "lag", "--quick"], "idle loop|fake-|real-|blocking-"),
    "cancel": (["costs", "cancel", "--quick"], "fake-|session-"),
    "throughput": (["costs", "throughput", "--quick"], r"^3\s"),
    "load": (["load", "--rate", "5,7", "--duration", "0.5"], "^5/s"),
}


def test_a_figure_that_lacks_something_says_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One figure is drawn; the other has no data in a quick run, which gives one line and is no failure."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Experiment, "run", lambda *_, **__: made_explanation(links=False))
    code, out, err = _said("explain", "--quick", "--figure", "e.png")
    assert (code, "not drawn: e-links.png: this explanation has no links" in err) == (0, True), err
    assert [path.name for path in tmp_path.iterdir()] == ["e.png"]
    assert "saved" in out


@pytest.mark.parametrize("name", STOPPED)
def test_ctrl_c_keeps_what_is_finished(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first finished step: its table and its record are there, and the exit code is 130."""
    from supalab import output

    def stop(so_far: Progress) -> None:
        if so_far.done >= 1:
            raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "progress_bar", lambda **_: nullcontext(stop))
    words, row = STOPPED[name]
    code, out, err = _said(*words, "--json", "found.json")
    assert code == 130, err
    assert re.search(row, out, re.MULTILINE), out
    assert json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    os.environ.update(_ENVIRONMENT)
    for name in sys.argv[1:] or PINNED:
        pinned = json.dumps(PINNED[name](), indent=1, ensure_ascii=False)
        (PINS / f"{name}.json").write_text(f"{pinned}\n", encoding="utf-8", newline="\n")
