"""Arms go in; what a request costs of CPU and threads, and how late the event loop is beside it, come out.

The ticker comes every 5 ms, in the loop that the clients run in; its own CPU is taken off theirs. It is late by what
the machine does to any loop (``idle``), by the client's work on the loop, and, with threads, by waiting for their turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median, median_high

from supalab.clients.arms import arm
from supalab.errors import TrialError
from supalab.lab.handle import Lab
from supalab.measure.archive import Form, rounded
from supalab.measure.campaign import Campaign, CampaignInterrupted, Experiment, run
from supalab.measure.campaign import expected_s as campaign_s
from supalab.measure.child import job, run_worker
from supalab.measure.costs.idle import IDLE_S
from supalab.measure.costs.lab import kept_conditions, now
from supalab.measure.race import START_S, Progress
from supalab.measure.run import Interrupted, checked_names, checked_repeat
from supalab.measure.trial import Lag, Trial, Workload
from supalab.settings import Settings

__all__ = ["ARMS", "LAG", "TICKER_S", "LagCosts", "LagRun", "expected_s", "lag_costs"]

ARMS = ("blocking-1", "fake-10", "session-10", "article-10", "real-10", "fake-100", "article-100", "real-100")
TICKER_S = 0.005
LATENCY_S = 0.15
REPEAT = 3
# Every arm goes round its slots as often; a blocking one, which has but one slot, a little more.
ROUNDS, BLOCKING_ROUNDS = 10, 20


@dataclass(frozen=True, slots=True)
class LagRun:
    """One burst: ``requests`` by as many closed callers as the limit, answered after ``makespan_s`` seconds.

    ``cpu_ms``: milliseconds of CPU of a request, the making of the client included. ``threads``: most at once, the
    main one included. ``lag``: how late the ticks came, seconds. ``errors``: requests that failed.
    """

    arm: str
    limit: int
    repeat: int
    requests: int
    makespan_s: float
    cpu_ms: float
    threads: int
    lag: Lag
    errors: int


@dataclass(frozen=True, slots=True)
class LagCosts:
    """All bursts at a lab of this latency (seconds), and the ticks of a loop that had nothing to do, once for each."""

    latency: float
    ticker_s: float
    idle: tuple[Lag, ...]
    runs: tuple[LagRun, ...]
    when: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms' names, in the order in which they are compared."""
        return tuple(dict.fromkeys(run.arm for run in self.runs))

    def of(self, arm: str) -> tuple[LagRun, ...]:
        """Return the repeats of one arm; raises TrialError if it did not run."""
        found = tuple(run for run in self.runs if run.arm == arm)
        if not found:
            raise TrialError(f"no lag of arm {arm!r}: there are {', '.join(self.arms) or 'none'}")
        return found

    def middle(self, arm: str) -> LagRun:
        """Return an arm's figures, each the median of its repeats, counts those of a real one; errors are all."""
        runs = self.of(arm)
        return replace(
            runs[0],
            makespan_s=median(run.makespan_s for run in runs),
            cpu_ms=median(run.cpu_ms for run in runs),
            threads=median_high(run.threads for run in runs),
            lag=middle_lag([run.lag for run in runs]),
            errors=sum(run.errors for run in runs),
        )


LAG = Form("supalab-costs-lag", 1, LagCosts, "supalab costs lag")


def middle_lag(lags: Sequence[Lag]) -> Lag:
    """Return the medians of repeated lags; raises TrialError for none."""
    if not lags:
        raise TrialError("no lag was measured")
    return Lag(*(median(getattr(lag, part) for lag in lags) for part in ("p50", "p99", "max")))


def expected_s(arms: Sequence[str] = ARMS, repeat: int = REPEAT, latency: float = LATENCY_S) -> float:
    """Return the seconds that ``lag_costs`` should take on a quiet machine."""
    return 1.0 + repeat * (START_S + IDLE_S) + campaign_s(_experiments(arms, repeat, latency))


def lag_costs(
    arms: Sequence[str] = ARMS,
    *,
    latency: float = LATENCY_S,
    repeat: int = REPEAT,
    lab: Lab | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> LagCosts:
    """Run each arm with as many closed callers as its limit, beside a ticker, and an idle loop for comparison.

    In a lab of its own unless one is given, which gets its latency back. Raises SettingsError for values that cannot
    work, LabError, TrialError when a worker breaks, Interrupted on Ctrl-C.
    """
    experiments = _experiments(arms, repeat, latency)
    when = now()
    try:
        with kept_conditions(lab) as here:
            ticks = [_idle(here) for _ in range(repeat)]
            campaign = run(experiments, lab=here, progress=progress)
    except CampaignInterrupted as interrupted:
        part = interrupted.campaign
        raise Interrupted(_found(part, ticks, latency, arms, when) if part.trials else None) from None
    return _found(campaign, ticks, latency, arms, when)


def _experiments(arms: Sequence[str], repeat: int, latency: float) -> list[Experiment]:
    """One for each limit: trials of one race share a workload, and so they are compared with their like."""
    checked_repeat(repeat)
    chosen = [arm(name) for name in checked_names("arms", arms, ARMS)]
    groups = dict.fromkeys((one.kind == "blocking", one.limit) for one in chosen)
    return [
        Experiment(
            f"{'blocking' if blocking else 'limit'} {limit}",
            tuple(one.name for one in chosen if (one.kind == "blocking", one.limit) == (blocking, limit)),
            Workload(BLOCKING_ROUNDS if blocking else ROUNDS * limit, latency, callers=None if blocking else limit),
            repeat=repeat,
            ticker_s=TICKER_S,
        )
        for blocking, limit in groups
    ]


def _idle(lab: Lab) -> Lag:
    asked = job("idle", "real-1", Settings(lab.url, lab.key), Workload(1)) | {"ticker": TICKER_S}
    raw = run_worker(asked, limit_s=60, tick=lambda _: None, who="the idle worker")
    return Lag(**{part: rounded(value) for part, value in raw["loop_lag"].items()})


def _found(campaign: Campaign, ticks: Sequence[Lag], latency: float, arms: Sequence[str], when: str) -> LagCosts:
    runs = [_figures(trial) for trials in campaign.trials.values() for trial in trials if trial.loop_lag]
    order = {arm(name).name: place for place, name in enumerate(arms)}
    runs.sort(key=lambda one: (order[one.arm], one.repeat))
    return LagCosts(latency, TICKER_S, tuple(ticks), tuple(runs), when, campaign.machine, campaign.versions)


def _figures(trial: Trial) -> LagRun:
    return LagRun(
        arm=trial.arm,
        limit=trial.limit,
        repeat=trial.repeat,
        requests=trial.workload.requests,
        makespan_s=rounded(trial.makespan_s),
        cpu_ms=rounded(1000 * (trial.cpu_s or 0.0) / trial.workload.requests),
        threads=trial.threads_peak or 1,
        lag=trial.loop_lag or Lag(0.0, 0.0, 0.0),
        errors=trial.errors,
    )
