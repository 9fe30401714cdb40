"""Little's law, in flight = throughput times time: a trial goes in, how well its numbers agree with it comes out.

The law needs no model and has no exceptions for a burst that starts and ends empty. So when a client's own
throughput and service time do not give the number in flight that the lab saw, one of the three is wrong.
"""

from __future__ import annotations

from supalab.measure.trial import Trial

__all__ = ["in_flight", "law", "mean_in_flight", "seconds_each", "throughput"]


def in_flight(throughput: float, seconds: float) -> float:
    """Return the mean number in flight for so many requests per second of so many seconds each."""
    return throughput * seconds


def throughput(in_flight: float, seconds: float) -> float:
    """Return the requests per second that so many in flight give, at so many seconds each."""
    return in_flight / seconds


def seconds_each(in_flight: float, throughput: float) -> float:
    """Return the seconds each request takes, with so many in flight at so many per second."""
    return in_flight / throughput


def mean_in_flight(trial: Trial) -> float | None:
    """Return how many requests the lab saw in flight on average over the makespan; ``None`` if not witnessed."""
    if trial.witness is None or trial.makespan_s <= 0:
        return None
    return trial.witness.busy_s / trial.makespan_s


def law(trial: Trial) -> float | None:
    """Return throughput times mean service time over the mean in flight that the lab saw: 1 when they agree.

    All requests that took a slot count, failed ones too, as the lab saw them too. Above 1 by what is
    done beside the latency, by the client above all; below 1 when the lab was busy for longer than the client says
    it was served. ``None`` if nothing was witnessed or no slot is known.
    """
    seen = mean_in_flight(trial)
    services = [span.service for span in trial.spans if span.service is not None]
    if not seen or not services:
        return None
    mean_service = sum(services) / len(services)
    return in_flight(len(services) / trial.makespan_s, mean_service) / seen
