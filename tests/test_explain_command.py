"""``supalab explain``: its words become the right run, mistakes are one line, outputs are written."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_explain import made_explanation

from supalab.commands import explain as commands_explain
from supalab.commands.explain import add_explain
from supalab.errors import SettingsError
from supalab.experiments import Experiment
from supalab.experiments.explain import plan
from supalab.measure.case import Case
from supalab.measure.record import Record
from supalab.measure.run import Interrupted
from supalab.measure.workload import Workload


def _options(*words: str) -> Namespace:
    parser = ArgumentParser()
    add_explain(parser)
    return parser.parse_args(words)


def _run(*words: str) -> int:
    options = _options(*words)
    code: int = options.run(options)
    return code


@pytest.mark.parametrize(
    ("words", "workload", "rest"),
    [
        ((), Workload(100, 0.15), {"before": 3, "limit": 10, "repeat": 3, "links": True}),
        (("--as-in-article",), Workload(100, 0.45), {"links": True}),
        (("--quick",), Workload(40, 0.05), {"repeat": 2, "links": False}),
        (("--quick", "--links", "--repeat", "1"), Workload(40, 0.05), {"repeat": 1, "links": True}),
        (("--limit", "100", "--no-links"), Workload(1000, 0.05), {"limit": 100, "links": False}),
        (("--requests", "7", "--latency", "0"), Workload(7, 0.0), {}),
    ],
)
def test_words_become_the_run_they_name(words: tuple[str, ...], workload: Workload, rest: dict[str, Any]) -> None:
    """Defaults, the article's size, a quick look, another limit; what is said in full wins."""
    how = commands_explain._how(_options(*words))
    first = next(plan(**how))
    assert isinstance(first, Case)
    assert first.workload == workload
    assert {name: how[name] for name in rest} == rest


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--limit", "3"), "let the second be larger"),
        (("--limit", "0"), "limit 0"),
        (("--before", "-1"), "limit -1"),
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
    with pytest.raises(SettingsError) as caught:
        _run(*words)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_was_found_is_printed_written_and_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The time it takes is said first; then table, record, both pictures with their words."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Experiment, "run", lambda *_, **__: made_explanation())
    assert _run("--json", "out.json", "--figure", "out.png") == 0
    said = capsys.readouterr()
    assert "minutes on a quiet machine" in said.err
    assert "= the article's step" in said.out
    assert "Waterfall:" in said.out
    assert Record.load(tmp_path / "out.json") == made_explanation()
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("out.png", "out-links.png"))


@pytest.mark.parametrize("trials", [0, 45])
def test_an_interrupt_reports_the_finished_rounds(
    trials: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends with 130 and the table of what there is, or a line that there is nothing."""
    whole = made_explanation(links=False)

    def interrupted(*_: object, **__: object) -> None:
        raise Interrupted(replace(whole, trials=whole.trials[:trials], finished=False) if trials else None)

    monkeypatch.setattr(Experiment, "run", interrupted)
    assert _run("--no-links") == 130
    said = capsys.readouterr()
    assert ("fake-3 -> fake-10" in said.out) is (trials > 0)
    assert ("before the first trial" in said.err) is (trials == 0)
