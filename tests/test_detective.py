"""The detective: requests that arrive at a rate, what each hypothesis explains, and the solution."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from declared import NUMBERS

from supalab import Lab
from supalab.experiments import detective
from supalab.experiments.detective import ARTICLE, cells, hypotheses, solution
from supalab.measure.case import Case, Trial, Workload
from supalab.measure.record import Record
from supalab.measure.run import Plan, run, trials_of
from supalab.measure.traffic import burst
from supalab.report.plot import description

HYPOTHESES = hypotheses()
# The two columns if everything were as the article says.
RIGHT = {
    "before": {"makespan_s": 15.0, "per_s": 6.7, "service_mean_s": 0.45, "at_once": 3, "errors": 0},
    "after": {"makespan_s": 5.0, "per_s": 20.0, "service_mean_s": 0.15, "at_once": 10, "errors": 0},
}
SLOW = {"service_mean_s": 0.45}


def made(changes: dict[str, dict[str, Any]] | None = None) -> Record:
    """All experiments of the case; every arm shows the article's numbers unless a change says otherwise."""
    found: dict[str, dict[str, Any]] = {}
    for one in HYPOTHESES:
        for when, where in (("before", one.before), ("after", one.after)):
            found[where] = {**RIGHT[when], **(changes or {}).get(where, {})}
    trials = [
        Trial(Case(where.split()[1], Workload(100, 0.15), "burst", tags={"experiment": where.split()[0]}), numbers)
        for where, numbers in found.items()
    ]
    return Record("detective", tuple(trials), {"quick": True})


def missed(found: Record, letter: str) -> list[tuple[str, str]]:
    every = cells(found)
    return [(cell.figure, cell.when) for cell in every[(every["letter"] == letter) & ~every["fits"]].itertuples()]


def test_an_arm_that_shows_the_articles_numbers_explains_them_all() -> None:
    """Eight numbers, four before and four after; those that match are ticks."""
    every = cells(made())
    mine = every[every["letter"] == "A"]
    assert (len(mine), mine["fits"].all()) == (2 * len(ARTICLE), True)
    assert list(mine["when"]) == ["before"] * 4 + ["after"] * 4


@pytest.mark.parametrize(
    ("change", "figure"),
    [
        (SLOW, "response"),
        ({"per_s": 66.7}, "throughput"),
        ({"makespan_s": 1.5}, "100 requests"),
    ],
)
def test_each_number_can_miss_alone(change: dict[str, Any], figure: str) -> None:
    """A number that is off by more than a factor of 1.5 is a cross, named with both numbers."""
    found = made({"burst article-10": change})
    assert missed(found, "A") == [(figure, "after")]
    assert missed(found, "B") == []
    said = description(detective.figure(found))
    assert f"explains 7 of 8 numbers, but not {figure} after: " in said


def test_a_limit_is_the_very_number() -> None:
    """A limit of three never counts as ten, even if the other numbers fit."""
    assert missed(made(), "C") == missed(made(), "D") == [("at once", "after")]


def test_a_limit_that_is_never_filled_is_said() -> None:
    """A limit of ten with seven slots in use counts as ten, and the seven are shown."""
    found = made({"burst article-10": {"at_once": 7}})
    assert missed(found, "A") == []
    assert "10, 7 used" in set(cells(found)["text"])


def test_the_solution_follows_from_the_matrix() -> None:
    """With many, one or no hypothesis: it names those that explain everything, or the nearest and its misses."""
    tens = [one for one in HYPOTHESES if one.after.endswith("-10")]
    assert f"in {len(tens)} hypotheses" in solution(made())
    slow = {one.after: SLOW for one in HYPOTHESES if one.letter not in "HI"}
    one = made({**slow, "open-far session-10": {"makespan_s": 15.0}})
    assert "in one hypothesis: H, " in solution(one)
    assert "Each of the others misses at least 1." in solution(one)
    assert detective.headline(one).endswith("only in H")
    none = made({one.after: SLOW for one in HYPOTHESES})
    assert solution(none).startswith(f"In none of {len(HYPOTHESES)} hypotheses")
    assert "explains 7 of 8 numbers" in solution(none)
    assert detective.headline(none).endswith("7 of 8 at best")
    assert solution(Record("detective")).startswith("No hypothesis could be tested")


def test_a_hypothesis_whose_arm_failed_is_left_out() -> None:
    """Requests that failed are no numbers: hypotheses that rest on them are left out."""
    letters = list(dict.fromkeys(cells(made({"far session-3": {"errors": 2}}))["letter"]))
    assert letters == [one.letter for one in HYPOTHESES if one.letter != "C"]


def test_hypotheses_differ_and_are_measured() -> None:
    """Letters and words differ, no two rest on the same two arms, and the plan has all arms, quick or not."""
    assert len({one.letter for one in HYPOTHESES}) == len({one.said for one in HYPOTHESES}) == len(HYPOTHESES)
    assert len({(one.before, one.after) for one in HYPOTHESES}) == len(HYPOTHESES)
    needed = {where for one in HYPOTHESES for where in (one.before, one.after)}
    for quick in (True, False):
        planned = list(trials_of(detective.plan(quick=quick), lambda case: Trial(case, {})))
        assert {f"{one.case.tags['experiment']} {one.arm}" for one in planned if isinstance(one, Trial)} == needed
    seconds = detective.EXPERIMENT.expected_s
    assert seconds(quick=True) < 60 < seconds(quick=False) < 120


def test_the_record_survives_its_file_and_is_printed_in_100_columns(tmp_path: Path) -> None:
    """Same record after its file; every hypothesis is in the table with its cells; a notebook gets the same as HTML."""
    found = made({"burst fake-10": {"makespan_s": 20.0}})
    assert Record.load(found.save(tmp_path / "case.json")) == found
    text = str(found)
    assert max(map(len, text.splitlines())) <= 100
    for one in HYPOTHESES:
        assert f"\n{one.letter}  " in text
    assert text.count("✕") == (~cells(found)["fits"]).sum() == 3
    assert found._repr_mimebundle_()["text/html"].count("<tr>") == len(HYPOTHESES) + 2


def test_the_figure_says_what_it_shows() -> None:
    """The description has the solution and what each hypothesis explains; one with no trials is drawn too."""
    found = made({"far session-3": {"makespan_s": 20.0}})
    words = description(detective.figure(found))
    assert solution(found) in words
    for one in HYPOTHESES:
        assert f"{one.letter} ({one.said}) explains " in words
    assert solution(Record("detective")) in description(detective.figure(Record("detective")))


class Counting:
    """A client that counts how many of its callers are inside; every third one fails."""

    def __init__(self) -> None:
        self.now = self.most = self.asked = self.closed = 0

    async def select(self, table: str, *, columns: str = "*", limit: int | None = None) -> list[Any]:
        self.asked += 1
        failing = self.asked % 3 == 0
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.05)
        self.now -= 1
        if failing:
            raise LookupError
        return []

    async def aclose(self) -> None:
        self.closed += 1

    async def __aenter__(self) -> Counting:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()


async def test_arrivals_are_seeded_and_of_the_rate_asked_for() -> None:
    """The same times for each seed, rising, as many as asked for, and stretched to the rate exactly."""
    first, again, other = [
        [span.asked for span in await burst(Counting(), Workload(100), rate=200.0, seed=seed)] for seed in (1, 1, 2)
    ]
    assert first == again != other
    assert first == sorted(first)
    assert (len(first), first[0], first[-1]) == (100, 0.0, pytest.approx(99 / 200))
    gaps = [b - a for a, b in pairwise(first)]
    assert max(gaps) > 3 * sum(gaps) / len(gaps)


async def test_arrivals_do_not_wait_for_answers() -> None:
    """Nine requests that start together are in flight together; failures are outcomes."""
    client = Counting()
    spans = await burst(client, Workload(9), rate=100_000.0)
    assert (client.most, client.asked) == (9, 9)
    assert [span.outcome for span in spans].count("LookupError") == 3
    assert all(span.done - span.asked >= 0.05 for span in spans)


async def test_arrivals_keep_their_times() -> None:
    """No request starts before its time: far apart, each is alone."""
    client = Counting()
    spans = await burst(client, Workload(2), rate=4.0)
    assert client.most == 1
    assert [span.asked for span in spans] == [0.0, 0.25]


def test_arrivals_over_a_distance_use_few_connections_and_slots(lab: Lab) -> None:
    """In a real run, reused connections need one round trip and new ones three, at any rate; nothing fails."""

    def plan() -> Plan:
        conditions = {"rtt": 0.05, "tls": True}
        for name in ("fake-3", "real-10"):
            yield Case(name, Workload(20, 0.0), conditions=conditions, options={"rate": 20.0, "seconds": 1.0})

    found = run(plan, name="detective", lab=lab)
    fake, real = found.trials
    assert fake["errors"] == real["errors"] == 0
    assert (fake["connections"], real["served"]) == (20, 20)
    assert real["connections"] < 10
    assert fake["service_mean_s"] > 1.5 * real["service_mean_s"]
    assert set(fake.numbers) <= set(NUMBERS)
    assert {"python", "requests", "httptools"} <= set(found.versions)
