"""Trials: what they refuse, what they keep, and that a file gives back what was put in."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from made_trials import made_set, made_trial

from supalab.errors import SettingsError, TrialError
from supalab.measure import records
from supalab.measure.trial import Backend, Span, TrialSet
from supalab.measure.workload import Workload


@pytest.mark.parametrize(
    "bad, named",
    [
        ({"requests": 0}, "requests 0"),
        ({"requests": True}, "requests True"),
        ({"latency": -1}, "latency -1"),
        ({"latency": float("nan")}, "latency nan"),
        ({"callers": 0}, "callers 0"),
        ({"limit": 0}, "limit 0"),
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


def test_no_request_of_a_trial_can_be_dropped():
    """A trial has as many spans as its workload has requests."""
    trial = made_trial("fake-3")
    with pytest.raises(TrialError, match="99 spans for 100 requests"):
        replace(trial, spans=trial.spans[:-1])


def test_a_record_gives_back_the_same_trials_and_the_same_bytes():
    """Trials → text → trials → text changes nothing, failures and unknown slots included."""
    odd = replace(made_trial("real-3", fail=2), memory=None, witness=None, loop_lag=None)
    odd = replace(odd, spans=(Span(0.0, None, 1.0, "DeadlineExceeded"), *odd.spans[1:]))
    trials = made_set(repeats=2) + TrialSet((odd,))
    text = records.dumps(trials)
    assert records.loads(text) == trials
    assert records.dumps(records.loads(text)) == text


def test_a_record_says_its_format_and_holds_a_summary():
    """Format, version and one summary object an arm stand in plain JSON."""
    whole = json.loads(records.dumps(made_set()))
    assert (whole["format"], whole["version"]) == ("supalab-trials", 1)
    assert [row["arm"] for row in whole["summary"]] == ["fake-3", "fake-10", "real-10"]


@pytest.mark.parametrize(
    "change, said",
    [
        ({"version": 2}, "version 2"),
        ({"format": "other"}, "'other'"),
        ({"trials": [{"arm": "x"}]}, "broken record"),
        ({"workload": {"requests": 0}}, "broken record"),
    ],
)
def test_an_unknown_or_broken_record_is_refused_in_one_line(change, said):
    """Another version, another format or missing parts end in a TrialError that says which."""
    whole = json.loads(records.dumps(made_set()))
    with pytest.raises(TrialError, match=said) as refused:
        records.loads(json.dumps({**whole, **change}))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "3", "{"])
def test_text_that_is_no_record_is_refused(text):
    """Neither an empty file nor other JSON is taken for trials."""
    with pytest.raises(TrialError, match="not a record"):
        records.loads(text)


def test_unlike_trials_are_never_put_together():
    """Adding another workload or backend names what differs."""
    with pytest.raises(TrialError, match=r"requests 100 and 50"):
        made_set() + made_set(workload=Workload(requests=50))
    with pytest.raises(TrialError, match=r"tls False and True"):
        made_set() + TrialSet((replace(made_trial("fake-3"), backend=Backend(tls=True)),))


def test_a_set_without_trials_says_so():
    """An empty set can be kept as a record, but has no workload and no arm."""
    assert records.loads(records.dumps(TrialSet())) == TrialSet()
    with pytest.raises(TrialError, match="no trials"):
        _ = TrialSet().workload
    with pytest.raises(TrialError, match="'fake-3'"):
        TrialSet().of("fake-3")


def test_files_that_cannot_be_used_are_named(tmp_path):
    """Reading a missing file and writing into a missing folder name the path, with no traceback of the system's."""
    with pytest.raises(SettingsError, match="nowhere"):
        records.load(tmp_path / "nowhere.json")
    with pytest.raises(SettingsError, match="missing"):
        records.save(made_set(), tmp_path / "missing" / "trials.json")
    assert records.load(records.save(made_set(), tmp_path / "trials.json")) == made_set()
