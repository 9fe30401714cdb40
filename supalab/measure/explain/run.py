"""What earned the speed-up: a workload and two limits go in, pairs of arms run in rounds, an Explanation comes out.

One repeat of every pair and of the whole makes a round; then comes the next round. So a machine that gets busier
half-way does so to every factor and to the whole alike, and differences are taken between neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from supalab.lab.handle import Lab
from supalab.measure.campaign import Campaign, CampaignInterrupted, run
from supalab.measure.explain.chain import LINKS_OF
from supalab.measure.explain.plan import WHOLE, Plan, link_name, plan, usual
from supalab.measure.explain.result import Explanation, LinkStep, Side, Step, Whole, side
from supalab.measure.race import Progress
from supalab.measure.trial import TrialSet
from supalab.measure.workload import Workload

__all__ = ["ExplainInterrupted", "explain", "explained", "planned"]

REPEAT = 3


class ExplainInterrupted(KeyboardInterrupt):
    """Ctrl-C: nothing runs any more; ``explanation`` has the rounds that were finished, ``None`` if there is none."""

    def __init__(self, explanation: Explanation | None) -> None:
        self.explanation = explanation
        super().__init__(f"interrupted after {explanation.rounds if explanation else 0} rounds")


def planned(
    workload: Workload | None = None, *, before: int = 3, after: int = 10, repeat: int = REPEAT, links: bool = True
) -> Plan:
    """Return what ``explain`` with the same arguments would run, and for how long; raises SettingsError as it does."""
    return plan(workload or usual(after), before, after, repeat, links=links)


def explain(
    workload: Workload | None = None,
    *,
    before: int = 3,
    after: int = 10,
    repeat: int = REPEAT,
    links: bool = True,
    lab: Lab | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Explanation:
    """Take the step from ``before`` threads to ours with a limit of ``after`` apart, and return what earned how much.

    By default a burst of ten requests for each slot, 150 ms each, in ``repeat`` rounds. ``links``: also measure what
    connections earn over TLS and distance. A trial runs after a warm-up that does not count, without instruments
    but CPU and time. Without ``lab`` one is started. ``progress`` is called in this thread, about ten times a second.

    Raises SettingsError for arguments that cannot work, before any trial, LabError, TrialError when a worker breaks,
    ExplainInterrupted on Ctrl-C.
    """
    todo = planned(workload, before=before, after=after, repeat=repeat, links=links)
    try:
        found = run(todo.experiments, lab=lab, progress=progress, rounds=todo.rounds)
    except CampaignInterrupted as interrupted:
        raise ExplainInterrupted(explained(todo, interrupted.campaign)) from None
    result = explained(todo, found)
    assert result is not None, "a campaign that was not interrupted has all its rounds"
    return result


def explained(todo: Plan, found: Campaign) -> Explanation | None:
    """Return what the trials of a plan say, from its finished rounds alone; ``None`` if no round was finished."""
    rounds = min(_rounds(found.trials.get(one.name), one.arms) for one in todo.experiments)
    if not rounds:
        return None
    sides = {one.name: [side(found[one.name].of(name)[:rounds]) for name in one.arms] for one in todo.experiments}
    before, article, ours = sides[WHOLE]
    return Explanation(
        workload=found[WHOLE].workload,
        limits=todo.limits,
        rounds=rounds,
        steps=tuple(Step(one.key, one.change, *sides[one.key]) for one in todo.factors),
        whole=Whole(before, article, ours),
        links=_over_links(todo, sides),
        link_workload=todo.link_workload,
        when=found.when,
        machine=found.machine,
        versions=found.versions,
        finished=rounds == todo.rounds,
    )


def _rounds(trials: TrialSet | None, arms: tuple[str, ...]) -> int:
    names = [] if trials is None else [trial.arm for trial in trials]
    return min(names.count(name) for name in arms)


def _over_links(todo: Plan, sides: Mapping[str, list[Side]]) -> tuple[LinkStep, ...]:
    return tuple(
        LinkStep(one.key, one.change, link.name, link.rtt, link.tls, *sides[link_name(one.key, link)])
        for one in todo.factors
        for link in LINKS_OF.get(one.key, ())
        if link_name(one.key, link) in sides
    )
