"""Trials as a file: a TrialSet goes in, JSON with a format and a version comes out, and back.

The text is stable (same trials, same bytes) and small: times are rounded to microseconds, a span is one short row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from supalab.errors import TrialError
from supalab.measure import textfile
from supalab.measure.summary import summary
from supalab.measure.trial import Backend, Lag, Memory, Span, Trial, TrialSet, Witnessed, Workload

__all__ = ["FORMAT", "VERSION", "dumps", "load", "loads", "save", "span_from_row", "span_to_row"]

FORMAT = "supalab-trials"
VERSION = 1
DECIMALS = 6
PARTS: Mapping[str, Any] = {"memory": Memory, "loop_lag": Lag}


def dumps(trials: TrialSet) -> str:
    """Return the trials and their summary as JSON text, one short line for each list of numbers."""
    whole = {
        "format": FORMAT,
        "version": VERSION,
        "workload": asdict(trials.workload) if len(trials) else None,
        "backend": asdict(trials.trials[0].backend) if len(trials) else None,
        "summary": summary(trials),
        "trials": [_trial_to_dict(trial) for trial in trials],
    }
    lines = [f" {json.dumps(key)}: {_block(_rounded(value))}" for key, value in whole.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _block(value: Any) -> str:
    """A list of objects gets a line for each of their members, everything else gets one line."""
    if not isinstance(value, list) or not value:
        return json.dumps(value, allow_nan=False)
    return "[\n" + ",\n".join("  {\n" + _members(item) + "\n  }" for item in value) + "\n ]"


def _members(item: Mapping[str, Any]) -> str:
    return ",\n".join(
        f"   {json.dumps(key)}: {json.dumps(value, separators=(',', ':'), allow_nan=False)}"
        for key, value in item.items()
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, Mapping):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, (list, tuple)) else value


def span_to_row(span: Span) -> list[Any]:
    """Return ``[asked, started, done]``, with the outcome behind it only if it is not ``"ok"``."""
    times = [_rounded(time) for time in (span.asked, span.started, span.done)]
    return times if span.ok else [*times, span.outcome]


def span_from_row(row: list[Any]) -> Span:
    """Return the span of such a row."""
    return Span(*row)


def _trial_to_dict(trial: Trial) -> dict[str, Any]:
    plain = asdict(trial)
    del plain["workload"], plain["backend"]
    witness = plain.pop("witness")
    # Numbers before rows: who opens the file sees what the trial is before the long lines.
    return {**plain, "witness": witness, "spans": [span_to_row(span) for span in trial.spans]}


def loads(text: str) -> TrialSet:
    """Return the trials of JSON text; raises TrialError, in one line, for text that is not such a record."""
    try:
        whole = json.loads(text)
    except ValueError as error:
        raise TrialError(f"not a record of trials: {error}") from None
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        found = whole.get("format") if isinstance(whole, dict) else type(whole).__name__
        raise TrialError(f"not a record of trials: its format is {found!r}, not {FORMAT!r}")
    if whole.get("version") != VERSION:
        raise TrialError(f"version {whole.get('version')!r} of {FORMAT} is unknown here: this supalab reads {VERSION}")
    try:
        return _trials_from_dict(whole)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TrialError(f"a broken record of trials: {type(error).__name__}: {error}") from None


def _trials_from_dict(whole: dict[str, Any]) -> TrialSet:
    if not whole["trials"]:
        return TrialSet()
    workload, backend = Workload(**whole["workload"]), Backend(**whole["backend"])
    return TrialSet(tuple(_trial_from_dict(plain, workload, backend) for plain in whole["trials"]))


def _trial_from_dict(plain: dict[str, Any], workload: Workload, backend: Backend) -> Trial:
    parts = {name: kind(**plain[name]) for name, kind in PARTS.items() if plain[name] is not None}
    witness = plain["witness"]
    if witness is not None:
        parts["witness"] = Witnessed(**{**witness, "timeline": tuple(map(tuple, witness["timeline"]))})
    spans = tuple(span_from_row(row) for row in plain["spans"])
    return Trial(**{**plain, **parts, "spans": spans, "workload": workload, "backend": backend})


def save(trials: TrialSet, path: str | Path) -> Path:
    """Write the trials to a file and return its path; raises SettingsError if it cannot be written."""
    return textfile.write(dumps(trials), path)


def load(path: str | Path) -> TrialSet:
    """Read trials from a file; raises SettingsError if it cannot be read, TrialError if it is no such record."""
    return loads(textfile.read(path, "supalab race"))
