"""The claims' trial for real, in part, its command and its picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
from test_claims import CLAIMS, made_ledger

from supalab.capacity.result import ArmCapacity, Capacity, Step
from supalab.commands import claims as commands_claims
from supalab.errors import SettingsError
from supalab.figures.ledger import LOOKS, ledger_picture
from supalab.measure.campaign import Campaign, CampaignInterrupted
from supalab.measure.claims import production, run
from supalab.measure.claims.catalogue import COLUMNS, catalogue
from supalab.measure.claims.evidence import Evidence
from supalab.measure.claims.judging import CANNOT, HOLDS, NOT, OTHER
from supalab.measure.claims.ledger import LEDGER, ledger_of
from supalab.measure.race import Progress
from supalab.report.plot import description

HEAD = ",".join(COLUMNS)


def some_claims(folder: Path, *names: str) -> Path:
    """Write a table with a few of the claims."""
    lines = Path(catalogue_path()).read_text(encoding="utf-8").splitlines()
    chosen = [line for line in lines[1:] if line.partition(",")[0] in names]
    assert len(chosen) == len(names)
    path = folder / "some.csv"
    path.write_text("\n".join([HEAD, *chosen]) + "\n", encoding="utf-8")
    return path


def catalogue_path() -> Path:
    return Path(__file__).parents[1] / "data" / "claims.csv"


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    commands_claims.add_claims(parser)
    return parser.parse_args(words)


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
    path = some_claims(tmp_path, *expected)
    found = run.claims(quick=True, path=path, progress=said.append)
    assert {line.claim.id: line.verdict for line in found.lines} == expected
    assert set(found.evidence.races) == {"reuse"}
    assert found.finished
    assert found.machine["cpus"]
    assert {"httpx", "requests"} <= set(found.versions)
    fractions = [so_far.fraction for so_far in said]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert LEDGER.loads(LEDGER.dumps(found)).summary == found.summary
    assert found.evidence.facts["crowd_peak"] == found.evidence.facts["default_connections"]


def test_claims_that_need_nothing_run_nothing(tmp_path: Path) -> None:
    """A table of what cannot be tested is judged at once."""
    found = run.claims(path=some_claims(tmp_path, "learning-before"))
    assert [line.verdict for line in found.lines] == [CANNOT]
    assert not found.evidence.races
    assert run.expected_s(path=some_claims(tmp_path, "learning-before")) == 0


def test_after_ctrl_c_what_was_finished_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger says that it was interrupted, and what did not run cannot be tested."""

    def stopped(*_: object, **__: object) -> None:
        raise CampaignInterrupted(Campaign({}, "2026-11-22T20:00:00+00:00"))

    monkeypatch.setattr(run.campaign, "run", stopped)
    with pytest.raises(run.LedgerInterrupted) as caught:
        run.claims(quick=True)
    found = caught.value.ledger
    assert not found.finished
    assert {line.verdict for line in found.lines} == {CANNOT}


def step(rate: float, p50: float | None, *, good: bool, peak: int = 3) -> Step:
    return Step(rate, rate, rate, 40, p50, p50, p50, {}, peak, 2.0, 40, 44_000_000, 0.001, good)


def test_the_service_under_load_is_read_off_its_record() -> None:
    """Requests at once, pace, response when idle and overrun, and memory; what lacks is left out."""
    few = ArmCapacity("fake-3", 3, 0.155, 20, 20, 40_000_000, (step(10, 0.16, good=True), step(40, 2.4, good=False)))
    many = ArmCapacity("article-10", 10, 0.158, 20, 20, 50_000_000, (step(40, 0.16, good=True, peak=7),))
    about: dict[str, Any] = {"when": "", "machine": {}, "versions": {}, "path": "/", "latency": 0.15, "seed": 1}
    about |= {"duration": 4.0, "requests": 40, "timeout": 5.0, "patience": 10.0, "steps": (10.0, 40.0), "fine": 0.3}
    found = production.reduced(Capacity(**about, finished=True, arms=(few, many)))
    assert (found["pace_before"], found["pace_after"]) == (10, 40)
    assert (found["in_flight_before"], found["in_flight_after"]) == (3, 7)
    assert (found["overrun_before"], found["overrun_after"]) == (2.4, 0.16)
    assert found["memory_before"] == 44_000_000
    assert not any(name.endswith("_control") for name in found)
    lines = ledger_of([CLAIMS["production-capacity"]], Evidence(production=found))
    assert lines[0].verdict == CANNOT


def test_a_quick_run_puts_no_service_under_load() -> None:
    """It takes minutes: only the whole trial does."""
    path = catalogue_path()
    assert {"production"} & {name for claim in catalogue(path) for name in claim.experiments}
    assert run.expected_s(False) - run.expected_s(True) > production.expected_s()


def test_a_blogs_table_is_read_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is measured; the sentences go to stdout."""
    words = ("--table", "limit=3,response=450ms,rate=6.7", "--table", "limit=10,response=150ms,rate=20,n=100,total=5")
    assert commands_claims.claims(options(*words)) == 0
    out = capsys.readouterr().out
    assert "contradict" in out
    assert "before" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--table", "limit=3", "--detective"), "--detective: --table only checks"),
        (("--table", "limit=3", "--table", "limit=3", "--table", "limit=3"), "given 3 times"),
        (("--table", "speed=3"), "'speed=3'"),
        (("--detective", "--claims", "mine.csv"), "--claims goes with the ledger"),
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
    with pytest.raises(SettingsError, match=said) as caught:
        commands_claims.claims(options(*words))
    assert "\n" not in str(caught.value)


def test_the_command_prints_and_writes_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Table and words of the picture on stdout, what was written on stderr; the record can be read again."""
    ledger = made_ledger(quick=True)
    monkeypatch.setattr(run, "claims", lambda **_: ledger)
    record, picture = tmp_path / "ledger.json", tmp_path / "ledger.png"
    assert commands_claims.claims(options("--quick", "--json", str(record), "--figure", str(picture))) == 0
    out, err = capsys.readouterr()
    assert ledger.summary in " ".join(out.split())
    assert str(record) in err
    assert LEDGER.load(record).summary == ledger.summary
    assert picture.stat().st_size > 10_000


def test_an_interrupted_command_prints_what_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 130, and the table says that it was interrupted."""

    def stopped(**_: object) -> None:
        raise run.LedgerInterrupted(made_ledger(finished=False))

    monkeypatch.setattr(run, "claims", stopped)
    assert commands_claims.claims(options("--quick")) == 130
    assert "Interrupted" in capsys.readouterr().out


def test_the_picture_of_the_ledger_has_every_figure_and_verdict() -> None:
    """A mark for each claim by its verdict's shape, a row for each figure, and all of it in words."""
    ledger = made_ledger()
    drawn = ledger_picture(ledger)
    marks, rows = drawn.axes
    assert sum(len(line.get_xdata()) for line in marks.lines) == len(ledger.lines)
    labels = [label.get_text() for label in rows.get_yticklabels()]
    figures = [line for line in ledger.lines if line.claim.figure is not None and line.value is not None]
    assert len(labels) == len(figures) > 15
    assert len(set(LOOKS.values())) == 4
    words = description(drawn)
    assert ledger.summary in words
    for line in figures:
        assert f"{line.claim.stated} claimed, {line.here} here" in words


def test_a_ledger_without_figures_is_drawn_all_the_same() -> None:
    """When nothing ran, the picture says so."""
    empty = made_ledger(Evidence())
    drawn = ledger_picture(empty)
    assert "no claim with a figure was tested" in [text.get_text() for text in drawn.axes[1].texts]
