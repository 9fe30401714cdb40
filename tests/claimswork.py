"""Hand-made evidence for the tests of the claims' rules: typical results of a quiet machine, with changes."""

from __future__ import annotations

from typing import Any

from supalab.experiments.claims_rules import Evidence

__all__ = ["changed", "made", "numbers"]

FACTS: dict[str, Any] = {
    "status_requests": "HTTPError",
    "status_httpx": "HTTPStatusError",
    "status_caught_by_old_name": False,
    "status_caught_by_new_name": True,
    "refused_requests": "ConnectionError",
    "refused_httpx": "ConnectError",
    "refused_caught_by_old_name": False,
    "refused_caught_by_new_name": True,
    "refused_requests_is_oserror": True,
    "refused_httpx_is_oserror": False,
    "default_timeout_requests_s": -1.0,
    "default_timeout_httpx_s": 5.0,
    "default_connections": 100,
    "drip_requests": "ok",
    "drip_httpx": "ok",
    "in_turn": 20,
    "in_turn_requests": 20,
    "in_turn_session": 1,
    "in_turn_httpx": 1,
    "clients_before": 0,
    "clients_made": 1,
    "clients_calls": 20,
    "methods": 4,
    "methods_good": 4,
    "open_after_close": 0,
    "threads_after_close": 0,
    "loop_inside_is_running": True,
    "loop_outside": "RuntimeError",
    "left_latency_s": 1.0,
    "left_next_fake_s": 1.86,
    "left_next_article_s": 1.01,
    "queue_asked": 4,
    "queue_timeout_s": 1.8,
    "queue_answered_fake": 4,
    "queue_answered_article": 2,
    "queue_error_article": "PoolTimeout",
    "crowd": 150,
    "crowd_peak": 100,
}
SERVICES: dict[str, dict[str, Any]] = {
    "fake-3": {"peak": 3, "idle_s": 0.155, "response_p50_s": 2.4, "memory_bytes": 44e6},
    "article-10": {"peak": 10, "idle_s": 0.158, "response_p50_s": 0.157, "memory_bytes": 52e6},
    "fake-10": {"peak": 10, "idle_s": 0.158, "response_p50_s": 0.156, "memory_bytes": 44e6},
}


def numbers(arm: str, response_s: float, total_s: float, connections: int, mb: float, added: float) -> dict[str, Any]:
    """Return one arm's numbers: as many in flight as its limit, and threads only if the arm uses threads."""
    limit = int(arm.rpartition("-")[2])
    per_s = 100 / total_s
    return {
        "limit": limit,
        "requests": 100,
        "errors": 0,
        "at_once": limit,
        "in_flight": per_s * response_s,
        "response_s": response_s,
        "caller_s": total_s / 2,
        "per_s": per_s,
        "total_s": total_s,
        "peak": limit,
        "connections": connections,
        "process_bytes": int(mb * 1e6),
        "added_bytes": int(added * 1e6),
        "threads": limit if arm.startswith(("fake", "session")) else 0,
        "cpu_ms": {"fake-100": 1.3, "kept-100": 12.5, "real-100": 0.4}.get(arm, 2.0),
        "lag_s": 0.005,
    }


RACES: dict[str, tuple[tuple[str, float, float, int, float, float], ...]] = {
    "burst": (
        ("fake-3", 0.46, 15.4, 100, 21.0, 0.6),
        ("fake-10", 0.47, 4.7, 100, 22.0, 1.0),
        ("article-10", 0.47, 4.9, 100, 30.0, 2.6),
        ("real-3", 0.454, 15.2, 3, 34.0, 1.0),
    ),
    "far": (
        ("fake-3", 0.47, 15.7, 100, 23.0, 1.5),
        ("session-3", 0.165, 5.5, 3, 23.0, 1.2),
    ),
    "wide": (
        ("fake-100", 0.16, 0.2, 400, 29.0, 8.1),
        ("kept-100", 0.23, 1.8, 179, 36.0, 9.0),
        ("real-100", 0.17, 0.19, 100, 35.0, 3.5),
    ),
    "reuse": (
        ("fake-3", 0.055, 1.8, 100, 21.0, 1.0),
        ("session-3", 0.053, 1.8, 3, 21.0, 0.9),
        ("article-10", 0.062, 0.68, 100, 31.0, 3.3),
        ("kept-10", 0.053, 0.6, 10, 31.0, 3.1),
    ),
}


def made() -> Evidence:
    """Return typical evidence."""
    races = {f"{name} {row[0]}": numbers(*row) for name, rows in RACES.items() for row in rows}
    return Evidence(
        {**races, **{f"production {arm}": dict(one) for arm, one in SERVICES.items()}, "facts": dict(FACTS)}
    )


def changed(**changes: Any) -> Evidence:
    """Return typical evidence with changes: ``burst={"fake-3": {"peak": 4}}``, ``facts={…}``."""
    found = {name: dict(known) for name, known in made().numbers.items()}
    for experiment, arms in changes.items():
        for arm, values in {"": arms}.items() if experiment == "facts" else arms.items():
            found[f"{experiment} {arm}".strip()] |= values
    return Evidence(found)
