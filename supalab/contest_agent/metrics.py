"""What Prometheus is told: finished requests flow in, its text format flows out. Each app has a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

__all__ = ["CONTENT_TYPE", "Meters"]

#: The text format's own version, which has not changed since 2014 (prometheus.io, exposition formats).
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: In seconds, around the article's 0.15 and 0.45 and the service's own deadline.
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.9, 1.5, 3.0, 6.0, 10.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})


class Meters:
    """A count, a duration and a gauge; ``client`` labels them all, so that two services can share a dashboard."""

    def __init__(self, client: str) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "contest_agent_requests",
            "Requests that have ended, by route and status; 499 is a caller who left.",
            ("client", "method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "contest_agent_request_seconds",
            "How long requests took, from their head to the end of the answer.",
            ("client", "method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._in_progress = Gauge(
            "contest_agent_requests_in_progress", "Requests being worked on.", ("client",), registry=self.registry
        ).labels(client)
        self._client = client

    def begun(self) -> None:
        """A request has come in."""
        self._in_progress.inc()

    def ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request has ended; ``route`` is its template, so that there are as many series as routes."""
        known = method if method in METHODS else "other"
        self._in_progress.dec()
        self._requests.labels(self._client, known, route, str(status)).inc()
        self._seconds.labels(self._client, known, route).observe(seconds)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
