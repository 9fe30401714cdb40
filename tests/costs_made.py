"""Hand-made results of the costs experiments, for tests of words, tables and figures; no lab, no process."""

from __future__ import annotations

from supalab.measure.case import Case, Trial, Workload
from supalab.measure.record import Record

WHEN = "2026-11-22T20:00:00+00:00"
MACHINE = {"system": "Linux", "cpus": "2"}
VERSIONS = {"python": "3.11.7"}


def held(kind: str, asked: int, *values: int, peak: int | None = None, answered: int = 0) -> list[Trial]:
    """Return processes of one cell that held so many bytes each; with clean pages, 4,096 more."""
    more = {"threads": 0, "peak": asked if peak is None else peak, "answered": answered, "at_rest": True}
    return [
        Trial(
            Case(f"{kind}-{asked}", Workload(asked, 1.0), "held", turn),
            {"base_bytes": 20_000_000, "held_bytes": value, "uss_bytes": value + 4096, "settle_s": 0.3, **more},
        )
        for turn, value in enumerate(values)
    ]


def memory(*more: list[Trial]) -> Record:
    """Return threads with 60 KB per request and our client with 20 KB, at 10 and 1,000; and further cells."""
    cells = (
        held("fake", 10, 600_000, 610_000),
        held("real", 10, 200_000, 210_000),
        held("fake", 1_000, 60_000_000, 60_200_000),
        held("real", 1_000, 20_000_000, 20_100_000),
        *more,
    )
    return Record("memory", tuple(run for cell in cells for run in cell), {}, (), WHEN, MACHINE, VERSIONS)


def lag_run(arm: str, p99: float, longest: float, *, repeat: int = 0, cpu_ms: float = 1.0, errors: int = 0) -> Trial:
    """Return a burst of ten waves, or of twenty for a blocking arm."""
    limit = int(arm.rpartition("-")[2])
    load = Workload(20 if arm.startswith("blocking") else 10 * limit, 0.15)
    lags = {"lag_p50_s": 0.0002, "lag_p99_s": p99, "lag_max_s": longest}
    failed = {"errors": errors, "failures": f"{errors} x ReadError"}
    numbers = {"threads": 1 + limit if arm.startswith("fake") else 1, "cpu_ms": cpu_ms, **failed, **lags}
    return Trial(Case(arm, load, "burst", repeat), numbers)


def lag(*runs: Trial) -> Record:
    """Return these runs, by default: three seconds of blocking, some ms with threads and with ours; an idle loop."""
    made = runs or [
        lag_run(arm, p99 * (1 + turn), longest * (1 + turn), repeat=turn, cpu_ms=cpu)
        for arm, p99, longest, cpu in (
            ("blocking-1", 2.0, 2.0, 1.9),
            ("fake-10", 0.004, 0.012, 1.5),
            ("real-10", 0.002, 0.004, 0.5),
        )
        for turn in range(2)
    ]
    ticks = {"lag_p50_s": 0.0001, "lag_p99_s": 0.001, "lag_max_s": 0.002}
    idle = Trial(Case("real-1", Workload(1, 0.15), "idle"), ticks)
    asked = {"arms": list(dict.fromkeys(trial.case.arm for trial in made)), "latency": 0.15}
    return Record("lag", (idle, *made), asked, (), WHEN, MACHINE, VERSIONS)


def cancelled(arm: str, then: str, repeat: int = 0, **changed: object) -> Trial:
    """Return a trial: threads finish their requests, our client disconnects, blocking cannot be cancelled."""
    kind = arm.rpartition("-")[0]
    late = {"fake": 0.9, "real": 0.5, "blocking": 0.5}[kind] if then == "ask" else None
    busy = {"fake": 0.4, "real": 0.003, "blocking": 0.001}[kind]
    nobody, answered = (0, 20) if kind == "blocking" else (10, 0)
    timeline = ((0.01, 10), (0.5, 5), (0.51, 0)) if then != "ask" else ((0.01, 10), (0.5, 1), (0.1 + (late or 0), 0))
    numbers = {
        "cancelled_s": 10.0 if kind == "blocking" else 0.1,
        "free_s": 0.001,
        "run_s": 0.002,
        "exit_s": busy,
        "late_s": late,
        "late_outcome": "ok" if late else None,
        "closed_s": None if then == "leave" else busy,
        "answered": answered,
        "failed": 0,
        "served": 1 + answered + nobody + bool(late),
        "abandoned": nobody if kind == "real" else 0,
        "peak": 10,
    }
    case = Case(arm, Workload(20, 0.5), "cancel", repeat, tags={"then": then})
    return Trial(case, {**numbers, **changed}, timeline=timeline)  # type: ignore[dict-item]  # any number of a trial


def cancellations(*arms: str) -> Record:
    """Return each arm once for each of the three endings."""
    trials = tuple(cancelled(arm, then) for arm in arms or ("fake-10", "real-10") for then in ("ask", "close", "leave"))
    return Record("cancel", trials, {"callers": 20, "latency": 0.5, "at_s": 0.1}, (), WHEN, MACHINE, VERSIONS)


def point(kind: str, limit: int, per_s: float, *, repeat: int = 0, errors: int = 0) -> Trial:
    """Return one run of two seconds."""
    load = Workload(round(2 * per_s), 0.1, callers=limit)
    numbers = {"makespan_s": 2.0, "per_s": per_s, "errors": errors, "failures": f"{errors} x ReadError", "cpu_ms": 1.0}
    return Trial(Case(f"{kind}-{limit}", load, repeat=repeat), numbers)


def knee(*more: Trial) -> Record:
    """Our client grows to the end, threads level off at 30, httpx's pool falls after 10 and is left out at 100."""
    lines = {
        "real": {3: 30.0, 10: 98.0, 30: 280.0, 100: 900.0},
        "fake": {3: 29.0, 10: 95.0, 30: 240.0, 100: 250.0},
        "kept": {3: 29.0, 10: 94.0, 30: 40.0},
    }
    points = [point(kind, limit, per_s) for kind, line in lines.items() for limit, per_s in line.items()]
    out = "kept was left out at 100: it had become too slow (two rounds: 11 s)."
    return Record("throughput", (*points, *more), {"latency": 0.1}, (out,), WHEN, MACHINE, VERSIONS)
