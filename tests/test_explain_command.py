"""``supalab explain``: its words become the right run, mistakes are one line, outputs are written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commandwork import refused, said
from made_explanation import made_explanation

from supalab.experiments import Experiment
from supalab.experiments.explain import plan
from supalab.measure.case import Case, Workload
from supalab.measure.record import Record
from supalab.measure.run import Interrupted, Progress


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the experiment was run with; nothing is measured."""
    found: list[dict[str, Any]] = []

    def run(*_: object, progress: Any, **asked: Any) -> Record:
        progress(Progress(1.0, "fake-3", 1, 1))
        found.append(asked)
        return made_explanation()

    monkeypatch.setattr(Experiment, "run", run)
    return found


@pytest.mark.parametrize(
    ("words", "workload", "rest"),
    [
        ((), Workload(100, 0.15), {}),
        (("--latency", "0.45"), Workload(100, 0.45), {}),
        (("--quick",), Workload(40, 0.05), {"repeat": 2, "links": False}),
        (("--quick", "--links", "--repeat", "1"), Workload(40, 0.05), {"repeat": 1, "links": True}),
        (("--limit", "100", "--no-links"), Workload(1000, 0.05), {"limit": 100, "links": False}),
        (("--requests", "7", "--latency", "0"), Workload(7, 0.0), {}),
    ],
)
def test_words_become_the_run_they_name(
    words: tuple[str, ...], workload: Workload, rest: dict[str, Any], called: list[dict[str, Any]]
) -> None:
    """Defaults, the article's server time, a quick look, another limit; what is said in full wins."""
    assert said("explain", *words)[0] == 0
    first = next(plan(**called[0]))
    assert isinstance(first, Case)
    assert first.workload == workload
    assert {name: called[0][name] for name in rest} == rest


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--limit", "3"), "make the second larger"),
        (("--limit", "0"), "limit 0"),
        (("--before", "-1"), "before -1"),
        (("--requests", "0"), "requests 0"),
        (("--latency", "nan"), "latency nan"),
        (("--repeat", "0"), "repeat 0"),
        (("--figure", "out.gif"), "out.gif"),
        (("--figure", "nowhere/out.png"), "nowhere"),
        (("--json", "nowhere/out.json"), "nowhere"),
        (("--json", "a.png", "--figure", "a.png"), "written twice"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(
    words: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each names the value; no minutes are lost to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Experiment, "run", lambda *_, **__: pytest.fail("it ran"))
    assert told in refused("explain", *words)
    assert not list(tmp_path.iterdir())


def test_what_was_found_is_printed_written_and_drawn(
    called: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time it takes is said first; then table, record and both figures, whose descriptions are not repeated."""
    monkeypatch.chdir(tmp_path)
    code, out, err = said("explain", "--json", "out.json", "--figure", "out.png")
    assert code == 0
    assert "minutes on a quiet machine" in err
    assert "= the article's step" in out
    assert "Waterfall:" not in out
    assert Record.load(tmp_path / "out.json") == made_explanation()
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("out.png", "out-links.png"))


@pytest.mark.parametrize("trials", [0, 45])
def test_an_interrupt_reports_the_finished_rounds(trials: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with 130 and the table of what there is, or a line that there is nothing."""
    whole = made_explanation(links=False)

    def interrupted(*_: object, **__: object) -> None:
        raise Interrupted(replace(whole, trials=whole.trials[:trials], finished=False) if trials else None)

    monkeypatch.setattr(Experiment, "run", interrupted)
    code, out, err = said("explain", "--no-links")
    assert code == 130
    assert ("fake-3 -> fake-10" in out) is (trials > 0)
    assert ("before the first trial" in err) is (trials == 0)
