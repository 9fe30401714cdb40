"""The scene of an experiment: a lab and a service for each client, every one a process of its own, flow out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from supalab.clients.arms import arm
from supalab.contest_agent.handle import Agent
from supalab.errors import SettingsError, TrialError
from supalab.lab.handle import Lab
from supalab.load.plan import Plan, target
from supalab.load.shots import Load

__all__ = ["ARMS", "PATH", "Scene", "scene"]

#: The article's before, its fair control, the article's after, and ours.
ARMS = ("fake-3", "fake-10", "article-10", "real-10")
#: One request of the service makes exactly one of the backend.
PATH = "/contests?size=10"
QUIET_S, LOOK_S, SETTLE_S = 0.3, 0.05, 20.0


@dataclass(frozen=True)
class Scene:
    """A running lab and the services over it, by arm."""

    lab: Lab
    agents: dict[str, Agent]
    path: str

    def plan(self, arm: str, duration: float, **how: object) -> Plan:
        """Return a plan of load on one service; ``how`` as in ``Plan``."""
        return Plan(target(self.agents[arm].url, self.path), duration, **how)  # type: ignore[arg-type]

    def restart(self, arm: str) -> None:
        """Start one service afresh, in a new process: a load may have broken the old one for good."""
        self.agents[arm].stop()
        self.agents[arm].start()

    def idle_s(self, arm: str, found: Load) -> float:
        """Return the median of a load of one caller, in seconds; raises TrialError if a service fails even so."""
        median = found.response(50)
        if median is None or found.errors:
            raise TrialError(f"the service on {arm} fails when idle: {dict(found.errors)}")
        return round(median, 6)

    def settle(self) -> None:
        """Wait until the lab has had nothing to do for a while: what one load left behind is not the next one's."""
        latest = time.monotonic() + SETTLE_S
        quiet_since, served = time.monotonic(), -1
        while time.monotonic() < latest:
            seen = self.lab.witness()
            if seen.current or seen.served != served:
                quiet_since, served = time.monotonic(), seen.served
            elif time.monotonic() - quiet_since >= max(QUIET_S, 2 * self.lab.conditions.latency):
                return
            time.sleep(LOOK_S)


@contextmanager
def scene(arms: Sequence[str], *, latency: float, timeout: float, path: str = PATH) -> Iterator[Scene]:
    """Start a lab and a service for each arm; ``timeout`` is that of the services' clients. All end with the block.

    Raises SettingsError for an arm that is none or is named twice, LabError, AgentError.
    """
    if isinstance(arms, str) or not arms:
        raise SettingsError(f"arms {arms!r} is not a list of names: use e.g. {list(ARMS)}")
    names = [arm(name).name for name in arms]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingsError(f"arm {twice!r} is named twice: name it once")
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(latency=latency))
        agents = {
            name: stack.enter_context(Agent(client=name, url=lab.url, key=lab.key, timeout=timeout)) for name in names
        }
        yield Scene(lab, agents, path)
