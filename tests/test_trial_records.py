"""Trials and records: what they refuse, what they keep, and that a file gives back what was put in."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from made_race import made_race, made_trial, of_spans

from supalab.errors import SettingsError, TrialError
from supalab.measure.case import Span, Workload
from supalab.measure.record import Record


@pytest.mark.parametrize(
    "bad, named",
    [
        ({"requests": 0}, "requests 0"),
        ({"requests": True}, "requests True"),
        ({"latency": -1}, "latency -1"),
        ({"latency": float("nan")}, "latency nan"),
        ({"callers": 0}, "callers 0"),
        ({"limit": 0}, "rows 0"),
        ({"table": " "}, "table ' '"),
        ({"columns": ""}, "columns ''"),
    ],
)
def test_a_workload_that_cannot_work_is_refused_by_name_and_value(bad, named):
    """The message names the argument, its value and a cure, in one line."""
    with pytest.raises(SettingsError, match=named) as refused:
        Workload(**bad)
    assert ":" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "callers, limit, ideal", [(None, 3, 34 * 0.15), (None, 10, 1.5), (2, 10, 50 * 0.15), (500, 1000, 0.15)]
)
def test_the_ideal_is_whole_waves_of_the_narrowest_of_limit_callers_and_requests(callers, limit, ideal):
    """ceil(n / limit) times latency, where callers fewer than the limit narrow it."""
    assert Workload(callers=callers).ideal_s(limit) == pytest.approx(ideal)


def test_a_span_splits_latency_into_wait_and_service():
    """The two parts add up, and are unknown together when no slot is known."""
    span = Span(1.0, 1.5, 1.75)
    assert (span.wait, span.service, span.latency) == (0.5, 0.25, 0.75)
    assert (Span(1.0, None, 2.0).wait, Span(1.0, None, 2.0).service) == (None, None)


def test_time_cannot_run_backwards():
    """A span that is done before it started is refused."""
    with pytest.raises(TrialError, match="asked, started and done in this order"):
        replace(made_trial("fake-3"), spans=(Span(0.0, 2.0, 1.0),))


def test_a_record_gives_back_the_same_trials_and_the_same_bytes(tmp_path):
    """Trials → file → trials → file changes nothing, failures and unknown slots included."""
    odd = made_trial("real-3", fail=2)
    odd = of_spans(odd, [Span(0.0, None, 1.0, "DeadlineExceeded"), *odd.spans[1:]])
    found = replace(made_race(repeats=2), remarks=("a remark",), finished=False)
    found = replace(found, trials=(*found.trials, odd))
    path = found.save(tmp_path / "a.json")
    assert Record.load(path) == found
    assert Record.load(path).save(tmp_path / "b.json").read_bytes() == path.read_bytes()
    assert Record.load(Record("race").save(tmp_path / "none.json")) == Record("race")


@pytest.mark.parametrize(
    "change, said",
    [
        ({"version": 2}, "version 2"),
        ({"format": "other"}, "'other'"),
        ({"trials": [{"arm": "x"}]}, "broken record"),
        ({"trials": [{"case": {"arm": "x", "workload": {"requests": 0}}, "numbers": {}}]}, "broken record"),
    ],
)
def test_an_unknown_or_broken_record_is_refused_in_one_line(change, said, tmp_path):
    """Another version, another format or missing parts end in a TrialError that says which."""
    path = made_race().save(tmp_path / "race.json")
    whole = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**whole, **change}), encoding="utf-8")
    with pytest.raises(TrialError, match=said) as refused:
        Record.load(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "3", "{"])
def test_text_that_is_no_record_is_refused(text, tmp_path):
    """Neither an empty file nor other JSON is taken for trials."""
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    with pytest.raises(TrialError, match="not a record"):
        Record.load(tmp_path / "x.json")


def test_a_record_without_trials_says_so():
    """An empty record can be kept, but has no arm."""
    with pytest.raises(TrialError, match="'fake-3': there are none"):
        Record("race").of("fake-3")


def test_files_that_cannot_be_used_are_named(tmp_path):
    """Reading a missing file and writing into a missing folder name the path, with no traceback of the system's."""
    with pytest.raises(SettingsError, match="nowhere"):
        Record.load(tmp_path / "nowhere.json")
    with pytest.raises(SettingsError, match="missing"):
        made_race().save(tmp_path / "missing" / "race.json")
