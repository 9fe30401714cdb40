"""Judge the article's claims by the rules of ``data/rules.toml`` from the measured numbers.

A rule names numbers by experiment, arm and name: ``before.total_s``, ``wide kept-100.cpu_ms``, ``facts.methods``. The
file explains how to write a rule.
"""

from __future__ import annotations

import operator
import re
import string
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from supalab.measure.case import Trial
from supalab.measure.compare import median_item
from supalab.report.format import count, duration, number, size
from supalab.shipped import shipped_text

Verdict = Literal["holds", "holds, for another reason", "does not hold", "cannot be tested here"]
HOLDS: Verdict = "holds"
OTHER: Verdict = "holds, for another reason"
NOT: Verdict = "does not hold"
CANNOT: Verdict = "cannot be tested here"

#: The burst of the article's table, to which other bursts are scaled.
REQUESTS = 100
#: A value is near another one if it is within this factor of it.
FACTOR = 1.5
#: Evidence about the claim itself: its figure, and the value of its rule.
OWN = "the claim"
SHOWN: Mapping[str, Callable[[Any], str]] = {
    "duration": duration,
    "size": size,
    "saving": lambda value: f"{value:.0f} % less" if value > 0 else f"{-value:.0f} % more",
    "thread": lambda value: count(value, "thread"),
    "connection": lambda value: count(value, "connection"),
    "wait": lambda seconds: "forever" if seconds < 0 else f"{number(seconds)} s",
    "is": lambda yes: "is" if yes else "is not",
    "same": lambda yes: "same" if yes else "different",
    "more": lambda yes: "catches more" if yes > 0 else "the same",
    "catches": lambda yes: "catches" if yes else "does not catch",
}


def near(value: float, figure: float) -> bool:
    """Return whether a value is within ``FACTOR`` of a number."""
    return figure / FACTOR <= value <= figure * FACTOR


#: The operators of a rule, from the weakest binding to the strongest.
OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "or": lambda one, other: one or other,
    "and": lambda one, other: one and other,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "~": near,
    "!~": lambda value, figure: not near(value, figure),
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


class NotSeen(Exception):
    """A number that a rule needs was not measured; the message says why."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The measured numbers in the form that rules read: ``evidence("before.total_s / after.total_s")``.

    ``numbers``: by experiment and arm, such as ``burst fake-3``; ``facts`` are the results of ``claims_facts``.
    """

    numbers: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, trials: Sequence[Trial], experiment: str = "burst", scale: float = 1.0) -> Evidence:
        """Read trials; their tags name the experiment and the divisor of its times, unless both are given."""
        grouped: dict[str, list[Trial]] = {}
        for trial in trials:
            name = trial.case.tags.get("experiment", experiment)
            grouped.setdefault(name if name == "facts" else f"{name} {trial.case.arm}", []).append(trial)
        return cls({key: numbers_of(found, found[0].case.tags.get("scale", scale)) for key, found in grouped.items()})

    def __call__(self, asked: str) -> Any:
        """Return a number, or the result of a calculation or comparison; raises NotSeen if a part was not measured."""
        for sign, operation in OPERATORS.items():
            left, found, right = asked.rpartition(f" {sign} ")
            if found:
                try:
                    return operation(self(left), self(right))
                except ZeroDivisionError:
                    raise NotSeen(f"there is no ratio {asked}") from None
        return self._one(asked)

    def _one(self, path: str) -> Any:
        if re.fullmatch(r"[\d.]+(e\d+)?", path):
            return float(path)
        short, _, name = (f"{OWN}.{path}" if path in {"value", "figure"} else path).rpartition(".")
        where = _file()["names"].get(short, short)
        found = self.numbers.get(where)
        if found is None:
            raise NotSeen(f"{where} was not measured in this run")
        if found.get("errors"):
            raise NotSeen(f"{found['errors']} of {found['requests']} requests of {where} failed")
        if found.get(name) is None:
            raise NotSeen(f"{where} has no {name.replace('_', ' ')}")
        return found[name]

    def meets(self, condition: str) -> bool:
        """Return whether comparisons, joined by ``and`` and ``or``, are true; no condition is never met."""
        return bool(condition) and bool(self(condition))


def numbers_of(trials: Sequence[Trial], scale: float = 1.0) -> dict[str, Any]:
    """Return the numbers of one arm in the article's units: those of the trial with the median makespan, times scaled.

    Of two trials, the faster one counts, because a busy machine only makes trials longer. Errors are those of all
    trials. ``at_once``, ``in_flight``: most and mean requests between slot and response, as the client counts them;
    over a long round trip, the lab sees fewer. ``response_s``: mean from slot to response, ``caller_s`` from the call
    to the response. ``total_s``: for a burst of 100. ``threads``: in addition to the main one. ``lag_s``: of the loop,
    p99, not scaled.
    """
    if "makespan_s" not in trials[0].numbers:
        return dict(trials[0].numbers)
    one = median_item(trials, lambda trial: trial.makespan_s)
    seen: Mapping[str, Any] = one.numbers
    requests = one.case.workload.requests
    share, service = scale * REQUESTS / requests, seen.get("service_mean_s", seen.get("latency_mean_s", 0.0))
    found = {
        **seen,
        "limit": one.limit,
        "requests": requests,
        "errors": sum(trial.errors for trial in trials),
        "response_s": scale * service,
        "caller_s": share * seen.get("latency_mean_s", 0.0),
        "per_s": one["per_s"] / scale,
        "in_flight": one["per_s"] * service,
        "total_s": share * one.makespan_s,
        "lag_s": seen.get("lag_p99_s"),
    }
    if "at_once" in seen:  # a thread may take its next request before the loop ends the last span
        found["at_once"] = min(seen["at_once"], one.limit)
    if "threads" in seen:
        found["threads"] = seen["threads"] - 1
    if "added_bytes" in seen:
        found |= {"process_bytes": seen["base_bytes"] + seen["added_bytes"], "added_bytes": max(seen["added_bytes"], 0)}
    return found


@dataclass(frozen=True, slots=True)
class Rule:
    """How a claim is judged, as in ``data/rules.toml``."""

    value: str
    sentence: str
    here: str = "{value}"
    holds: str = "value ~ figure"
    other: str = ""
    cannot: str = ""


@cache
def _file() -> Mapping[str, Any]:
    return tomllib.loads(shipped_text("data", "rules.toml"))


@cache
def rules() -> Mapping[str, Rule]:
    """Return all rules by their names."""
    return {name: Rule(**rule) for name, rule in _file()["rule"].items()}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, its reason, and the value found: as text and, for a claim with a figure, as a number in its unit."""

    verdict: Verdict
    here: str
    sentence: str
    value: float | None = None


class _Words(string.Formatter):
    """Fills ``{before.total_s:duration}`` with what was measured."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        return self._evidence(field_name), field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        return SHOWN[format_spec](value) if format_spec in SHOWN else format(value, format_spec)


def judge(name: str, figure: float | None, evidence: Evidence) -> Judgement:
    """Judge by the rule of this name; a missing measurement makes the claim untestable, and the sentence says why."""
    rule, own = rules()[name], {"figure": figure}
    try:
        value = Evidence({**evidence.numbers, OWN: own})(rule.value)
        known = Evidence({**evidence.numbers, OWN: {**own, "value": value}})
        holds = OTHER if known.meets(rule.other) else HOLDS
        verdict = CANNOT if known.meets(rule.cannot) else holds if known.meets(rule.holds) else NOT
        here, sentence = (_Words(known).format(words) for words in (rule.here, rule.sentence))
    except NotSeen as why:
        return Judgement(CANNOT, "", f"Not tested: {why}.")
    return Judgement(verdict, here, sentence, None if figure is None else float(value))
