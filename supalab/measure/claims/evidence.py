"""What the experiments brought, in the article's units: trials go in, one set of figures for each arm comes out. Pure.

A quick run is the same in small: its times are divided by a factor, its requests are fewer. Figures are scaled back
here, once, so that every rule reads them as if they were of full size; ``Evidence.scale`` says by how much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median_low

from supalab.measure.trial import Span, Trial, TrialSet

__all__ = ["REQUESTS", "Evidence", "Figures", "NotSeen", "figures_of", "from_spans", "reduced"]

#: The burst of the article's table.
REQUESTS = 100

Fact = bool | int | float | str | None


class NotSeen(Exception):
    """No figure to judge by; the message says why."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One arm in one experiment; seconds, bytes and counts; ``None`` where nobody saw it.

    ``peak``, ``connections``: as the lab witnessed them. ``at_once``, ``in_flight``: most and mean requests between
    slot and answer as the client has them, which over a distance is more than the lab sees. ``response_s``: mean from
    slot to answer; ``caller_s``: from asking to answer. ``total_s``: for a burst of 100.
    ``threads``: beside the main one. ``lag_s``: the loop's lag at the 99th percentile, not scaled.
    """

    arm: str
    limit: int
    requests: int
    errors: int
    at_once: int
    in_flight: float
    response_s: float
    caller_s: float
    per_s: float
    total_s: float
    peak: int | None = None
    connections: int | None = None
    process_bytes: int | None = None
    added_bytes: int | None = None
    threads: int | None = None
    cpu_ms: float | None = None
    lag_s: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was found: figures by experiment and arm, and the ``facts`` of what was tried out.

    ``scale``: by experiment, what times were multiplied by. ``production``: figures of a service under load.
    """

    races: Mapping[str, Mapping[str, Figures]] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)
    production: Mapping[str, float] = field(default_factory=dict)
    scale: Mapping[str, float] = field(default_factory=dict)

    def of(self, race: str, arm: str) -> Figures:
        """Return an arm's figures; raises NotSeen when it did not run, or when requests of it failed."""
        found = self.races.get(race, {}).get(arm)
        if found is None:
            raise NotSeen(f"{arm} did not run in the experiment {race}")
        if found.errors:
            raise NotSeen(f"{found.errors} of {found.requests} requests of {arm} failed in the experiment {race}")
        return found

    def count(self, name: str) -> float:
        """Return a fact that is a number; raises NotSeen if it is not there."""
        value = self.fact(name)
        if isinstance(value, str):
            raise NotSeen(f"{name} is {value}")
        return float(value)

    def fact(self, name: str) -> bool | int | float | str:
        """Return a fact; raises NotSeen if it is not there."""
        value = self.facts.get(name)
        if value is None:
            raise NotSeen(f"what was tried out did not tell {name.replace('_', ' ')}")
        return value

    def served(self, name: str) -> float:
        """Return a figure of the service under load; raises NotSeen if it is not there."""
        value = self.production.get(name)
        if not self.production:
            raise NotSeen("no service was put under load in this run; a quick one never does")
        if value is None:
            raise NotSeen(f"under load the service's {name.replace('_', ' ')} was not found")
        return value


def reduced(trials: TrialSet, scale: float = 1.0) -> dict[str, Figures]:
    """Return the figures of every arm: those of its trial with the median makespan, a real one; times scaled.

    Of two it is the quicker: what a busy machine does to a trial only ever makes it longer. Errors are all trials'.
    """
    return {arm: _counted(trials.of(arm), scale) for arm in trials.arms}


def _counted(trials: Sequence[Trial], scale: float) -> Figures:
    return replace(figures_of(_middle(trials), scale), errors=sum(trial.errors for trial in trials))


def _middle(trials: Sequence[Trial]) -> Trial:
    wanted = median_low(trial.makespan_s for trial in trials)
    return next(trial for trial in trials if trial.makespan_s == wanted)


def figures_of(trial: Trial, scale: float = 1.0) -> Figures:
    """Return the figures of one trial, its times multiplied by ``scale``."""
    w, memory = trial.witness, trial.memory
    return from_spans(
        trial.arm,
        trial.limit,
        trial.spans,
        scale,
        peak=w.peak if w else None,
        connections=w.connections if w else None,
        process_bytes=memory.peak_bytes if memory else None,
        added_bytes=memory.added_bytes if memory else None,
        threads=None if trial.threads_peak is None else trial.threads_peak - 1,
        cpu_ms=None if trial.cpu_s is None else 1000 * trial.cpu_s / len(trial.spans),
        lag_s=trial.loop_lag.p99 if trial.loop_lag else None,
    )


def from_spans(arm: str, limit: int, spans: Sequence[Span], scale: float, **others: int | float | None) -> Figures:
    """Return the figures of these requests; ``others`` are what spans cannot tell."""
    answered = [span for span in spans if span.ok]
    held = [(span.asked if span.started is None else span.started, span.done) for span in answered]
    lasted = max(span.done for span in spans) - min(span.asked for span in spans)
    response = fmean(done - began for began, done in held) if held else 0.0
    per_s = len(answered) / lasted if lasted else 0.0
    return Figures(
        arm=arm,
        limit=limit,
        requests=len(spans),
        errors=len(spans) - len(answered),
        # A thread passes its slot on before the loop hears of its answer, so spans may overlap where slots do not.
        at_once=min(_at_once(held), limit),
        in_flight=per_s * response,
        response_s=scale * response,
        caller_s=scale * fmean(span.latency for span in answered) * REQUESTS / len(spans) if answered else 0.0,
        per_s=per_s / scale,
        total_s=scale * lasted * REQUESTS / len(spans),
        **others,  # type: ignore[arg-type]  # the counts are whole numbers where the field is one
    )


def _at_once(held: Sequence[tuple[float, float]]) -> int:
    now = most = 0
    # An answer comes before the next start of the same moment: the slot was handed over.
    for _, change in sorted([(began, 1) for began, _ in held] + [(done, -1) for _, done in held]):
        now += change
        most = max(most, now)
    return most
