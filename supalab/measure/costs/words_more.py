"""What cancellation costs, in words: a frozen result goes in, sentences with its numbers come out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median, median_high

from supalab.measure.costs.cancellation import Cancellations, Cancelled
from supalab.report.format import duration, listed

__all__ = ["Middle", "cancel_headline", "cancel_notes", "middle_of"]


FROM_WHEN = (
    "Times count from the moment at which the cancellation was meant to come. Hung up: the lab was told that nobody "
    "waits any more; worked on: it was not, and the slot stayed taken."
)


@dataclass(frozen=True, slots=True)
class Middle:
    """One arm's figures, medians over its repeats; what no run of it asked for is ``None``.

    ``free_s``, ``run_s`` and ``exit_s`` count from the moment at which the cancellation was meant to come: a loop that
    is blocked cancels late, and its callers are none the better for being free at once then.
    ``late_ratio``: the newcomer's seconds over the latency; ``failed``: callers with an error, in the worst
    run; ``broken``: newcomers with one.
    """

    arm: str
    free_s: float
    for_nobody: int
    hung_up: int
    carried_on: int
    late_s: float | None
    late_ratio: float | None
    closed_s: float | None
    run_s: float | None
    exit_s: float | None
    cancelled_s: float
    answered: int
    failed: int
    broken: int


def middle_of(found: Cancellations, arm: str) -> Middle:
    """Return one arm's figures; ``run_s`` and ``exit_s`` are those of programs that just end."""
    runs = found.of(arm)
    leaving = [run for run in runs if run.then == "leave"]
    late = _median([run.late_s for run in runs])
    return Middle(
        arm=arm,
        free_s=median(run.free_s + _late(run, found) for run in runs),
        for_nobody=median_high(run.for_nobody for run in runs),
        hung_up=median_high(run.hung_up for run in runs),
        carried_on=median_high(run.carried_on for run in runs),
        late_s=late,
        late_ratio=None if late is None else late / found.latency,
        closed_s=_median([run.closed_s for run in runs if run.then == "close"]),
        run_s=_median([run.run_s + _late(run, found) for run in leaving]),
        exit_s=_median([run.exit_s + _late(run, found) for run in leaving]),
        cancelled_s=median(run.cancelled_s for run in runs),
        answered=median_high(run.answered for run in runs),
        failed=max(run.failed for run in runs),
        broken=sum(_broken(run) for run in runs),
    )


def _late(run: Cancelled, found: Cancellations) -> float:
    return run.cancelled_s - found.at_s


def _broken(run: Cancelled) -> bool:
    return run.late_outcome not in {None, "ok"}


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def cancel_headline(found: Cancellations) -> str:
    """Say whose slots stay taken after the cancellation."""
    middles = [middle_of(found, arm) for arm in found.arms]
    busy = [one.arm for one in middles if one.carried_on]
    if busy:
        return f"Callers cancelled: {listed(busy)} {'work' if busy[1:] else 'works'} on for nobody"
    free = [one.arm for one in middles if not one.answered]
    return f"Callers cancelled: nothing works on for nobody ({listed(free)})" if free else "Nothing could be cancelled"


def cancel_notes(found: Cancellations) -> list[str]:
    """Say for each arm who was free when, who worked on, how a new caller fared, and when the process ended."""
    if not found.arms:
        return ["No arm was run."]
    return [" ".join(_arm(middle_of(found, arm), found)) for arm in found.arms] + [FROM_WHEN]


def _arm(one: Middle, found: Cancellations) -> Iterator[str]:
    if one.answered == found.callers:
        yield (
            f"{one.arm}: the cancellation, meant after {duration(found.at_s)}, came after {duration(one.cancelled_s)}, "
            f"when all {found.callers} callers had their answers: a loop that is blocked cancels nobody."
        )
        return
    yield f"{one.arm}: {found.callers} callers free after {duration(one.free_s)};"
    if one.carried_on:
        yield f"{one.carried_on} of its slots worked on for nobody;"
    else:
        yield f"it hung up on {one.hung_up} requests, which the lab alone finished;"
    if one.late_s is not None and one.late_ratio is not None:
        yield f"a new caller had an answer after {duration(one.late_s)}, {one.late_ratio:.1f} times the latency;"
    if one.failed:
        yield f"{one.failed} callers had an error in place of the cancellation;"
    if one.broken:
        yield f"{one.broken} new callers had an error, as the pool was broken;"
    if one.run_s is not None and one.exit_s is not None:
        yield f"asyncio.run returned after {duration(one.run_s)} and the process ended after {duration(one.exit_s)}."
