"""The claims' experiments for real, in part, and the command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commandwork import refused
from declared import NUMBERS

from supalab.cli import main
from supalab.experiments import Experiment, claims
from supalab.experiments.claims_rules import CANNOT, HOLDS, NOT, OTHER
from supalab.measure.record import Record
from supalab.measure.run import Interrupted, Progress
from supalab.shipped import shipped

HEAD = ",".join(claims.COLUMNS)


@pytest.fixture
def recorded() -> Record:
    return Record.load(shipped("data", "reference", "claims.json"))


def some_claims(folder: Path, *names: str) -> str:
    """Write a table with a few of the claims."""
    lines = shipped("data", "claims.csv").read_text(encoding="utf-8").splitlines()
    chosen = [line for line in lines[1:] if line.partition(",")[0] in names]
    assert len(chosen) == len(names)
    path = folder / "some.csv"
    path.write_text("\n".join([HEAD, *chosen]) + "\n", encoding="utf-8")
    return str(path)


def test_a_few_claims_for_real(tmp_path: Path) -> None:
    """Only what these claims need is run; connections, exceptions, timeouts and cancelling give the known verdicts."""
    expected = {
        "problem-pooling": OTHER,
        "step-lazy": HOLDS,
        "step-request": HOLDS,
        "step-context": HOLDS,
        "pooling-before": HOLDS,
        "pooling-after": HOLDS,
        "caution-exceptions": HOLDS,
        "caution-mapping": NOT,
        "caution-pooling": NOT,
        "caution-timeouts": NOT,
        "end-resources": HOLDS,
        "learning-after": CANNOT,
    }
    said: list[Progress] = []
    found = claims.claims(quick=True, claims=some_claims(tmp_path, *expected), progress=said.append)
    assert dict(claims.verdicts(found)["verdict"]) == expected
    assert {trial.case.tags["experiment"] for trial in found.trials} == {"reuse", "facts"}
    assert found.finished
    assert found.machine["cpus"]
    assert {"httpx", "requests"} <= set(found.versions)
    fractions = [so_far.fraction for so_far in said]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert Record.load(found.save(tmp_path / "found.json")) == found
    *bursts, facts = found.trials
    assert facts["crowd_peak"] == facts["default_connections"]
    assert {name for trial in bursts for name in trial.numbers} <= set(NUMBERS)


def test_claims_that_need_nothing_run_nothing(tmp_path: Path) -> None:
    """A table of what cannot be tested is judged at once."""
    found = claims.claims(claims=some_claims(tmp_path, "learning-before"))
    assert list(claims.verdicts(found)["verdict"]) == [CANNOT]
    assert not found.trials


def test_a_blogs_table_is_read_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is measured; the sentences go to stdout."""
    words = ("--table", "limit=3,response=450ms,rate=6.7", "--table", "limit=10,response=150ms,rate=20,n=100,total=5")
    assert main(["claims", *words]) == 0
    out = capsys.readouterr().out
    assert "contradict" in out
    assert "before" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--table", "limit=3", "--quick"), "--quick: --table measures nothing"),
        (("--table", "limit=3", "--table", "limit=3", "--table", "limit=3"), "given 3 times"),
        (("--table", "speed=3"), "'speed=3'"),
        (("--figure", "ledger.gif"), "cannot draw"),
        (("--json", "a.png", "--figure", "a.png"), "written twice"),
        (("--claims", "no_such.csv"), "cannot read 'no_such.csv'"),
    ],
)
def test_words_that_cannot_work_are_refused_first(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, before anything is measured."""
    monkeypatch.chdir(tmp_path)
    assert re.search(said, refused("claims", *words))


def test_the_command_prints_and_writes_the_record(
    recorded: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Table and words of the figure on stdout, what was written on stderr; the record can be read again."""
    monkeypatch.setattr(Experiment, "run", lambda *_, **__: recorded)
    record, picture = tmp_path / "claims.json", tmp_path / "claims.png"
    assert main(["claims", "--quick", "--json", str(record), "--figure", str(picture)]) == 0
    out, err = capsys.readouterr()
    assert claims.notes(recorded)[0] in " ".join(out.split())
    assert str(record) in err
    assert Record.load(record, "claims") == recorded
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize("nothing", [True, False])
def test_an_interrupted_command_prints_what_there_is(
    nothing: bool, recorded: Record, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 130, and the table says that it was interrupted; with nothing to show, one line says so."""

    def stopped(*_: object, **__: object) -> None:
        raise Interrupted(None if nothing else Record("claims", recorded.trials[:2], {}, finished=False))

    monkeypatch.setattr(Experiment, "run", stopped)
    assert main(["claims", "--quick"]) == 130
    out, err = capsys.readouterr()
    assert ("Interrupted" in out) is not nothing
    assert ("stopped before the first trial" in err) is nothing
